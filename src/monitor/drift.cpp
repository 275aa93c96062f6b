#include "mcomp/monitor/drift.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/json_schema.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distance.hpp"
#include "mcomp/stats/multiple_testing.hpp"

namespace mcomp::inline v0::monitor {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

constexpr std::int64_t least_sample = 10, most_sample = 2000;

Error bad(const char* name, const std::string& rule, const char* remedy) {
  return Error(ErrorCode::invalid_argument, name, rule, remedy);
}

Status check_names(const std::vector<FeatureName>& features) {
  if (features.empty()) return bad("features", "there are none", "name at least one");
  std::set<std::string> once;
  for (const FeatureName& f : features)
    if (f.name.empty() || !once.insert(f.name).second)
      return bad("features", fmt::format("the name '{}' is empty or comes twice", f.name), "give each its own name");
  return {};
}

Status check(const DriftOptions& options) {
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  const DriftThresholds& t = options.thresholds;
  if (!(positive(t.population_stability) && positive(t.jensen_shannon) && positive(t.kolmogorov_smirnov) &&
        positive(t.wasserstein)))
    return bad("thresholds", "one is not finite and > 0", "pass distances that matter, or keep the defaults");
  if (!(options.significance > 0 && options.significance < 1))
    return bad("significance", fmt::format("{} is not within (0, 1)", options.significance), "pass for example 0.01");
  if (options.least < 2) return bad("least", fmt::format("{}", options.least), "pass at least 2");
  if (options.sample < least_sample || options.sample > most_sample)
    return bad("sample", fmt::format("{}", options.sample), "pass 10 to 2000");
  constexpr std::int64_t most_slices = 10'000, most_permutations = 10'000;
  if (options.max_slices < 0 || options.max_slices > most_slices)
    return bad("max_slices", fmt::format("{}", options.max_slices), "pass 0 to 10,000");
  if (options.seed >> 63 != 0) return bad("seed", fmt::format("{} is beyond 2^63", options.seed), "pass a smaller one");
  if (options.permutations < 0 || options.permutations > most_permutations)
    return bad("permutations", fmt::format("{}", options.permutations), "pass 0 to 10,000");
  return {};
}

/// Keeps a row with equal chance among all that came (Vitter's algorithm R).
void keep(std::vector<double>& sample, std::span<const double> row, std::int64_t nth, std::int64_t most,
          Random& random) {
  if (nth <= most) {
    sample.insert(sample.end(), row.begin(), row.end());
    return;
  }
  const std::uint64_t place = random.below(static_cast<std::uint64_t>(nth));
  if (place < static_cast<std::uint64_t>(most))
    std::copy(row.begin(), row.end(), sample.begin() + static_cast<std::ptrdiff_t>(place * row.size()));
}

std::vector<double> column(const std::vector<double>& rows, std::size_t features, std::size_t place) {
  std::vector<double> values;
  for (std::size_t i = place; i < rows.size(); i += features)
    if (std::isfinite(rows[i])) values.push_back(rows[i]);
  return values;
}

/// Whether the parts of a reference belong together.
Status check(const DriftReference& reference) {
  const auto corrupt = [](const std::string& rule) {
    return Error(ErrorCode::corrupt, "reference", rule, "build it anew");
  };
  std::vector<FeatureName> names;
  for (const FeatureReference& f : reference.features) names.push_back(f.feature);
  if (const Status status = check_names(names); !status) return corrupt(status.error().rule());
  for (const FeatureReference& f : reference.features) {
    const std::size_t bins = f.feature.categories.empty() ? f.edges.size() + 2 : f.feature.categories.size() + 1;
    const auto sound = [](std::int64_t n) { return n >= 0 && n <= std::int64_t{1} << 52; };
    if (f.counts.size() != bins || !std::all_of(f.counts.begin(), f.counts.end(), sound) ||
        std::all_of(f.counts.begin(), f.counts.end(), [](std::int64_t n) { return n == 0; }))
      return corrupt(fmt::format("'{}' has no {} counts, or none above 0", f.feature.name, bins));
    if (!f.feature.categories.empty() && !f.edges.empty())
      return corrupt(fmt::format("'{}' has categories and edges", f.feature.name));
    for (std::size_t i = 0; i < f.edges.size(); ++i)
      if (!std::isfinite(f.edges[i]) || (i > 0 && !(f.edges[i - 1] < f.edges[i])))
        return corrupt(fmt::format("the edges of '{}' do not ascend", f.feature.name));
    if (!(f.deviation >= 0 && std::isfinite(f.deviation)))
      return corrupt(fmt::format("the deviation of '{}' is {}", f.feature.name, f.deviation));
  }
  const std::size_t width = reference.features.size();
  if (reference.sample.size() % width != 0 || reference.sample.size() / width > static_cast<std::size_t>(most_sample))
    return corrupt(fmt::format("a sample of {} values is not made of at most {} rows of {} features",
                               reference.sample.size(), most_sample, width));
  return {};
}

} // namespace

std::size_t FeatureReference::bin(double value) const noexcept {
  const std::size_t last = counts.empty() ? 0 : counts.size() - 1;
  if (!std::isfinite(value)) return last;
  if (feature.categories.empty())
    return static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), value) - edges.begin());
  return value >= 0 && value < static_cast<double>(feature.categories.size()) ? static_cast<std::size_t>(value) : last;
}

Result<DriftReference> DriftReference::build(std::vector<FeatureName> names, const TensorView& rows,
                                             const ReferenceOptions& options) {
  MCOMP_CHECK(check_names(names));
  if (options.bins < 2 || options.bins > 1000) return bad("bins", fmt::format("{}", options.bins), "pass 2 to 1000");
  if (options.sample < least_sample || options.sample > most_sample)
    return bad("sample", fmt::format("{}", options.sample), "pass 10 to 2000");
  if (rows.rank() != 2 || rows.size(1) != static_cast<std::int64_t>(names.size()))
    return Error(ErrorCode::invalid_shape, "rows", fmt::format("{} for {} features", rows.shape(), names.size()),
                 "pass [rows, features]");
  if (rows.size(0) < least_sample)
    return Error(ErrorCode::insufficient_data, "rows", fmt::format("{}", rows.size(0)), "pass at least 10");
  std::vector<double> values;
  if (rows.dtype() == DType::f32) {
    MCOMP_TRY(floats, rows.values<float>("rows"));
    values.assign(floats.begin(), floats.end());
  } else {
    MCOMP_TRY(doubles, rows.values<double>("rows"));
    values.assign(doubles.begin(), doubles.end());
  }
  DriftReference result;
  result.rows = rows.size(0);
  const std::size_t width = names.size();
  for (std::size_t f = 0; f < width; ++f) {
    FeatureReference reference;
    reference.feature = std::move(names[f]);
    if (reference.feature.categories.empty()) {
      std::vector<double> sorted = column(values, width, f);
      std::sort(sorted.begin(), sorted.end());
      double mean = 0, squares = 0;
      for (std::size_t i = 0; i < sorted.size(); ++i) { // Welford
        const double gap = sorted[i] - mean;
        mean += gap / static_cast<double>(i + 1);
        squares += gap * (sorted[i] - mean);
      }
      if (!sorted.empty()) reference.deviation = std::sqrt(squares / static_cast<double>(sorted.size()));
      if (!std::isfinite(reference.deviation))
        return Error(ErrorCode::invalid_value, "rows",
                     fmt::format("the variance of '{}' is beyond the range of doubles", reference.feature.name),
                     "scale it");
      const auto bins = static_cast<std::size_t>(options.bins);
      for (std::size_t b = 1; b < bins && !sorted.empty(); ++b) {
        const double edge = sorted[(b * sorted.size() - 1) / bins];
        if (reference.edges.empty() || edge > reference.edges.back()) reference.edges.push_back(edge);
      }
      reference.counts.resize(reference.edges.size() + 2);
    } else {
      reference.counts.resize(reference.feature.categories.size() + 1);
    }
    for (std::size_t i = f; i < values.size(); i += width) ++reference.counts[reference.bin(values[i])];
    result.features.push_back(std::move(reference));
  }
  Random random(options.seed);
  for (std::int64_t i = 0; i < result.rows; ++i)
    keep(result.sample, std::span(values).subspan(static_cast<std::size_t>(i) * width, width), i + 1, options.sample,
         random);
  return result;
}

// Window.

DriftWindow::DriftWindow(DriftReference reference, const DriftOptions& options)
    : reference_(std::move(reference)), options_(options) {
  for (const FeatureReference& f : reference_.features) {
    first_bin_.push_back(bins_);
    bins_ += f.counts.size();
  }
  clear();
}

Result<DriftWindow> DriftWindow::create(DriftReference reference, const DriftOptions& options) {
  MCOMP_CHECK(check(options));
  MCOMP_CHECK(check(reference));
  return DriftWindow(std::move(reference), options);
}

void DriftWindow::clear() {
  parts_.clear();
  static_cast<void>(part({}));
}

std::int64_t DriftWindow::rows() const noexcept {
  return parts_.find(std::string_view())->second.count;
}

DriftWindow::Part& DriftWindow::part(std::string_view slice) {
  if (const auto found = parts_.find(slice); found != parts_.end()) return found->second;
  Part fresh;
  fresh.counts.resize(bins_);
  fresh.random = Random(options_.seed, parts_.size());
  return parts_.emplace(std::string(slice), std::move(fresh)).first->second;
}

void DriftWindow::add(Part& part, std::span<const double> row) {
  ++part.count;
  for (std::size_t f = 0; f < row.size(); ++f) ++part.counts[first_bin_[f] + reference_.features[f].bin(row[f])];
  keep(part.sample, row, part.count, options_.sample, part.random);
}

Status DriftWindow::add(std::span<const double> row, std::string_view slice) {
  if (row.size() != reference_.features.size())
    return Error(ErrorCode::invalid_shape, "row",
                 fmt::format("{} of {} features", row.size(), reference_.features.size()),
                 "pass a value for each, NaN where it is missing");
  add(part({}), row);
  if (slice.empty()) return {};
  const bool room = parts_.size() <= static_cast<std::size_t>(options_.max_slices); // one is that of all rows
  add(part(room || parts_.contains(slice) ? slice : "overflow"), row);
  return {};
}

namespace {

/// A p-value of two tests together.
double of_both(double p, double q) {
  return std::min(1.0, 2 * std::min(p, q));
}

} // namespace

Result<DriftAnswer> DriftWindow::answer() const {
  DriftAnswer result;
  result.rows = rows();
  const std::size_t width = reference_.features.size();
  std::vector<double> p_values, joint_p_values;
  for (const auto& [slice, part] : parts_) {
    if (part.count < options_.least) {
      result.too_few.push_back(slice);
      continue;
    }
    for (std::size_t f = 0; f < width; ++f) {
      const FeatureReference& reference = reference_.features[f];
      FeatureDrift drift{.feature = reference.feature.name, .slice = slice, .count = part.count};
      const std::vector<double> before(reference.counts.begin(), reference.counts.end());
      const auto first = part.counts.begin() + static_cast<std::ptrdiff_t>(first_bin_[f]);
      const std::vector<double> now(first, first + static_cast<std::ptrdiff_t>(before.size()));
      MCOMP_TRY(psi, stats::population_stability_index(before, now));
      MCOMP_TRY(js, stats::jensen_shannon_distance(before, now));
      drift.population_stability = psi;
      drift.jensen_shannon = js;
      // Where all of both lies in one bin there is nothing to test.
      if (const auto test = stats::chi_squared_two_samples(before, now)) drift.chi_squared_p = test->p_value;
      const DriftThresholds& t = options_.thresholds;
      drift.moved = std::max(psi / t.population_stability, js / t.jensen_shannon);
      drift.p_value = drift.chi_squared_p;
      if (reference.feature.categories.empty()) {
        const std::vector<double> a = column(reference_.sample, width, f), b = column(part.sample, width, f);
        if (!a.empty() && !b.empty()) {
          MCOMP_TRY(ks, stats::kolmogorov_smirnov(a, b));
          MCOMP_TRY(moved, stats::wasserstein_distance(a, b));
          drift.kolmogorov_smirnov = ks.distance;
          drift.kolmogorov_smirnov_p = ks.p_value;
          drift.p_value = of_both(ks.p_value, drift.chi_squared_p);
          drift.moved = std::max(drift.moved, ks.distance / t.kolmogorov_smirnov);
          // A constant has no deviation: any other value is beyond every threshold, as the other distances say.
          if (reference.deviation > 0) {
            drift.wasserstein = moved / reference.deviation;
            drift.moved = std::max(drift.moved, *drift.wasserstein / t.wasserstein);
          }
        }
      }
      p_values.push_back(drift.p_value);
      result.features.push_back(std::move(drift));
    }
    if (options_.permutations == 0) continue;
    // Standardized numbers of the rows in which all of them are there.
    const auto standardized = [&](const std::vector<double>& sample) {
      std::vector<double> rows;
      for (std::size_t i = 0; i + width <= sample.size(); i += width) {
        std::vector<double> row;
        bool whole = true;
        for (std::size_t f = 0; f < width; ++f) {
          const FeatureReference& reference = reference_.features[f];
          if (!reference.feature.categories.empty()) continue;
          whole = whole && std::isfinite(sample[i + f]);
          row.push_back(sample[i + f] / (reference.deviation > 0 ? reference.deviation : 1));
        }
        if (whole) rows.insert(rows.end(), row.begin(), row.end());
      }
      return rows;
    };
    const auto numbers = std::count_if(reference_.features.begin(), reference_.features.end(),
                                       [](const FeatureReference& f) { return f.feature.categories.empty(); });
    const std::vector<double> a = standardized(reference_.sample), b = standardized(part.sample);
    const auto count = [&](const std::vector<double>& rows) {
      return numbers == 0 ? std::int64_t{0} : static_cast<std::int64_t>(rows.size()) / numbers;
    };
    if (count(a) < 2 || count(b) < 2) continue;
    MCOMP_TRY(view_a, TensorView::of<double>(a, {count(a), numbers}));
    MCOMP_TRY(view_b, TensorView::of<double>(b, {count(b), numbers}));
    MCOMP_TRY(mmd, stats::maximum_mean_discrepancy(view_a, view_b,
                                                   {.permutations = options_.permutations, .seed = options_.seed}));
    result.joint.push_back({.slice = slice, .count = part.count, .squared_mmd = mmd.squared});
    joint_p_values.push_back(mmd.p_value);
  }
  MCOMP_TRY(adjusted, stats::adjust_p_values(p_values, stats::Correction::benjamini_yekutieli));
  for (std::size_t i = 0; i < adjusted.size(); ++i) {
    FeatureDrift& drift = result.features[i];
    drift.p_value = adjusted[i];
    drift.drifted = drift.p_value <= options_.significance && drift.moved >= 1;
  }
  MCOMP_TRY(joint, stats::adjust_p_values(joint_p_values, stats::Correction::benjamini_yekutieli));
  for (std::size_t i = 0; i < joint.size(); ++i) {
    result.joint[i].p_value = joint[i];
    result.joint[i].drifted = joint[i] <= options_.significance;
  }
  std::stable_sort(result.features.begin(), result.features.end(), [](const FeatureDrift& a, const FeatureDrift& b) {
    return a.drifted != b.drifted ? a.drifted : a.moved > b.moved;
  });
  return result;
}

bool DriftAnswer::drifted() const noexcept {
  return most_moved() != nullptr ||
         std::any_of(joint.begin(), joint.end(), [](const JointDrift& j) { return j.drifted; });
}
const FeatureDrift* DriftAnswer::most_moved() const noexcept {
  return !features.empty() && features.front().drifted ? &features.front() : nullptr;
}

std::string to_string(const DriftAnswer& answer) {
  const auto place = [](const std::string& slice) { return slice.empty() ? std::string() : " in " + slice; };
  std::string text;
  for (const FeatureDrift& d : answer.features) {
    if (!d.drifted) break;
    text += fmt::format("{}{}{} moved{} (PSI {:.3g}, JS {:.3g}", text.empty() ? "drift: " : "; ", d.feature,
                        place(d.slice), text.empty() ? " most" : "", d.population_stability, d.jensen_shannon);
    if (d.kolmogorov_smirnov) text += fmt::format(", KS {:.3g}", *d.kolmogorov_smirnov);
    if (d.wasserstein) text += fmt::format(", {:.3g} deviations", *d.wasserstein);
    text += fmt::format("; p {:.2g})", d.p_value);
  }
  for (const JointDrift& j : answer.joint)
    if (j.drifted)
      text += fmt::format("{}all numbers together{} (MMD^2 {:.3g}; p {:.2g})", text.empty() ? "drift: " : "; ",
                          place(j.slice), j.squared_mmd, j.p_value);
  if (text.empty()) text = answer.features.empty() ? "too few rows to tell" : "no drift";
  text += fmt::format(", {} rows", answer.rows);
  if (!answer.too_few.empty() && !answer.features.empty())
    text += fmt::format("; too few rows to tell in {} slices", answer.too_few.size());
  return text;
}

// JSON.

namespace {
constexpr const char* reference_schema = "mcomp-drift-reference-1";
constexpr const char* options_schema = "mcomp-drift-options-1";
constexpr const char* answer_schema = "mcomp-drift-answer-1";
} // namespace

std::string to_json(const DriftReference& reference) {
  Json features = Json::array(), sample = Json::array();
  for (const FeatureReference& f : reference.features) {
    Json one = {{"name", f.feature.name}};
    if (f.feature.categories.empty()) {
      one["edges"] = f.edges;
      one["deviation"] = f.deviation;
    } else {
      one["categories"] = f.feature.categories;
    }
    one["counts"] = f.counts;
    features.push_back(std::move(one));
  }
  for (const double v : reference.sample) sample.push_back(std::isfinite(v) ? Json(v) : Json(nullptr));
  return mcomp::detail::dumped(
      {{"schema", reference_schema}, {"rows", reference.rows}, {"features", features}, {"sample", sample}});
}

Result<DriftReference> DriftReference::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(mcomp::detail::check_schema(object, subject, reference_schema));
  DriftReference result;
  result.rows = object.integer("rows");
  if (result.rows < 0) object.fail("rows", "it is negative", "correct the count");
  for (const Json& one : object.array("features")) {
    ObjectReader inner(one, fmt::format("{}: {}", object.where("features"), result.features.size()));
    FeatureReference f;
    f.feature.name = inner.text("name");
    if (inner.has("categories")) {
      f.feature.categories = inner.texts("categories");
      if (f.feature.categories.empty()) inner.fail("categories", "there are none", "leave the key out for a number");
    } else {
      f.edges = inner.numbers("edges");
      f.deviation = inner.number("deviation");
    }
    f.counts = inner.integers("counts");
    MCOMP_CHECK(inner.finish());
    result.features.push_back(std::move(f));
  }
  for (const Json& value : object.array("sample")) {
    if (!value.is_null() && !value.is_number()) {
      object.fail("sample", "it holds what is no number", "give numbers, null for a missing one");
      break;
    }
    // Whatever was not finite is one: missing.
    result.sample.push_back(value.is_null() ? std::nan("") : value.get<double>());
  }
  MCOMP_CHECK(object.finish());
  if (const Status status = check(result); !status)
    return Error(ErrorCode::corrupt, subject, status.error().rule(), status.error().remedy());
  return result;
}

std::string to_json(const DriftOptions& o) {
  return mcomp::detail::dumped({{"schema", options_schema},
                                {"thresholds",
                                 {{"population_stability", o.thresholds.population_stability},
                                  {"jensen_shannon", o.thresholds.jensen_shannon},
                                  {"kolmogorov_smirnov", o.thresholds.kolmogorov_smirnov},
                                  {"wasserstein", o.thresholds.wasserstein}}},
                                {"significance", o.significance},
                                {"least", o.least},
                                {"sample", o.sample},
                                {"max_slices", o.max_slices},
                                {"permutations", o.permutations},
                                {"seed", o.seed}});
}

Result<DriftOptions> drift_options_from_json(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(mcomp::detail::check_schema(object, subject, options_schema));
  DriftOptions o;
  if (const Json* thresholds = object.child("thresholds")) {
    ObjectReader inner(*thresholds, object.where("thresholds"));
    DriftThresholds& t = o.thresholds;
    t.population_stability = inner.number("population_stability", t.population_stability);
    t.jensen_shannon = inner.number("jensen_shannon", t.jensen_shannon);
    t.kolmogorov_smirnov = inner.number("kolmogorov_smirnov", t.kolmogorov_smirnov);
    t.wasserstein = inner.number("wasserstein", t.wasserstein);
    MCOMP_CHECK(inner.finish());
  }
  o.significance = object.number("significance", o.significance);
  o.least = object.integer("least", o.least);
  o.sample = object.integer("sample", o.sample);
  o.max_slices = object.integer("max_slices", o.max_slices);
  o.permutations = object.integer("permutations", o.permutations);
  const std::int64_t seed = object.integer("seed", static_cast<std::int64_t>(o.seed));
  if (seed < 0) object.fail("seed", "it is negative", "give 0 or more");
  o.seed = static_cast<std::uint64_t>(seed);
  MCOMP_CHECK(object.finish());
  if (const Status status = check(o); !status)
    return Error(ErrorCode::corrupt, subject + ": " + status.error().subject(), status.error().rule(),
                 status.error().remedy());
  return o;
}

std::string to_json(const DriftAnswer& answer) {
  Json features = Json::array(), joint = Json::array();
  const auto optional = [](const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); };
  for (const FeatureDrift& d : answer.features)
    features.push_back({{"feature", d.feature},
                        {"slice", d.slice},
                        {"count", d.count},
                        {"population_stability", d.population_stability},
                        {"jensen_shannon", d.jensen_shannon},
                        {"chi_squared_p", d.chi_squared_p},
                        {"kolmogorov_smirnov", optional(d.kolmogorov_smirnov)},
                        {"kolmogorov_smirnov_p", optional(d.kolmogorov_smirnov_p)},
                        {"wasserstein", optional(d.wasserstein)},
                        {"p_value", d.p_value},
                        {"moved", d.moved},
                        {"drifted", d.drifted}});
  for (const JointDrift& j : answer.joint)
    joint.push_back({{"slice", j.slice},
                     {"count", j.count},
                     {"squared_mmd", j.squared_mmd},
                     {"p_value", j.p_value},
                     {"drifted", j.drifted}});
  return mcomp::detail::dumped({{"schema", answer_schema},
                                {"drifted", answer.drifted()},
                                {"rows", answer.rows},
                                {"features", features},
                                {"joint", joint},
                                {"too_few", answer.too_few}});
}

} // namespace mcomp::inline v0::monitor
