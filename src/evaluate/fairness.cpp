#include "mcomp/evaluate/fairness.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

double rate(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? nan : static_cast<double>(part) / static_cast<double>(whole);
}

/// Numbers that exist.
std::vector<double> known(const std::vector<double>& values) {
  std::vector<double> kept;
  std::copy_if(values.begin(), values.end(), std::back_inserter(kept), [](double v) { return !std::isnan(v); });
  return kept;
}

double ratio_of(double a, double b) {
  const double low = std::min(a, b), high = std::max(a, b);
  return high == low ? 1 : low / high;
}

double spread(const std::vector<double>& all) {
  const auto values = known(all);
  if (values.empty()) return nan;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *high - *low;
}

double spread_ratio(const std::vector<double>& all) {
  const auto values = known(all);
  if (values.empty()) return nan;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return ratio_of(*low, *high);
}

std::vector<double> column(const MetricFrame& frame, std::size_t metric) {
  std::vector<double> values;
  for (const GroupMetrics& group : frame.groups)
    if (metric < group.values.size()) values.push_back(group.values[metric]);
  return known(values);
}

std::vector<std::int64_t> all_rows(std::int64_t count) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

Status check_metrics(const std::vector<std::pair<std::string, RowMetric>>& metrics) {
  if (metrics.empty()) return Error(ErrorCode::invalid_argument, "metrics", "there are none", "name at least one");
  for (const auto& [name, metric] : metrics)
    if (!metric)
      return Error(ErrorCode::invalid_argument, fmt::format("metric '{}'", name), "it is no function",
                   "pass a callable");
  return {};
}

MetricFrame frame_of(const std::vector<std::pair<std::string, RowMetric>>& metrics, const Slicing& slicing,
                     const std::vector<std::int64_t>& all, const std::vector<std::vector<std::int64_t>>& by_group) {
  MetricFrame frame{.dimension = slicing.dimension};
  for (const auto& [name, metric] : metrics) {
    frame.metrics.push_back(name);
    frame.overall.push_back(all.empty() ? nan : metric(all));
  }
  for (std::size_t g = 0; g < by_group.size(); ++g) {
    GroupMetrics group{.group = slicing.groups[g], .rows = static_cast<std::int64_t>(by_group[g].size())};
    for (const auto& [name, metric] : metrics) group.values.push_back(by_group[g].empty() ? nan : metric(by_group[g]));
    frame.groups.push_back(std::move(group));
  }
  return frame;
}

Status check_classes(std::span<const std::int32_t> labels, std::span<const std::int32_t> predicted) {
  if (labels.size() != predicted.size())
    return Error(ErrorCode::invalid_shape, "predicted",
                 fmt::format("{} predictions for {} labels", predicted.size(), labels.size()),
                 "give one of each for every row");
  if (labels.empty()) return Error(ErrorCode::insufficient_data, "labels", "there are no rows", "give at least one");
  return {};
}

} // namespace

double MetricFrame::smallest(std::size_t metric) const noexcept {
  const auto values = column(*this, metric);
  return values.empty() ? nan : *std::min_element(values.begin(), values.end());
}

double MetricFrame::largest(std::size_t metric) const noexcept {
  const auto values = column(*this, metric);
  return values.empty() ? nan : *std::max_element(values.begin(), values.end());
}

double MetricFrame::group_mean(std::size_t metric) const noexcept {
  const auto values = column(*this, metric);
  return values.empty() ? nan : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double MetricFrame::difference(std::size_t metric, Against against) const noexcept {
  const auto values = column(*this, metric);
  if (against == Against::each_other) return values.size() < 2 ? nan : largest(metric) - smallest(metric);
  if (values.empty() || metric >= overall.size()) return nan;
  double worst = 0;
  for (const double v : values) worst = std::max(worst, std::abs(v - overall[metric]));
  return worst;
}

double MetricFrame::ratio(std::size_t metric, Against against) const noexcept {
  const auto values = column(*this, metric);
  if (against == Against::each_other) return values.size() < 2 ? nan : ratio_of(smallest(metric), largest(metric));
  if (values.empty() || metric >= overall.size()) return nan;
  double worst = std::numeric_limits<double>::infinity();
  for (const double v : values) worst = std::min(worst, ratio_of(v, overall[metric]));
  return worst;
}

std::string to_string(const MetricFrame& frame) {
  std::string text = fmt::format("| {} | rows |", frame.dimension);
  for (const std::string& name : frame.metrics) text += fmt::format(" {} |", name);
  text += "\n| --- | --- |";
  for (std::size_t m = 0; m < frame.metrics.size(); ++m) text += " --- |";
  text += "\n| (all) | |";
  for (const double value : frame.overall) text += fmt::format(" {:.6g} |", value);
  for (const GroupMetrics& group : frame.groups) {
    text += fmt::format("\n| {} | {} |", group.group, group.rows);
    for (const double value : group.values) text += fmt::format(" {:.6g} |", value);
  }
  return text;
}

Result<MetricFrame> metric_frame(const std::vector<std::pair<std::string, RowMetric>>& metrics,
                                 const Slicing& slicing) {
  MCOMP_CHECK(check_metrics(metrics));
  MCOMP_CHECK(check(slicing, slicing.rows()));
  return frame_of(metrics, slicing, all_rows(slicing.rows()), rows_by_group(slicing));
}

Result<std::vector<std::pair<std::string, MetricFrame>>>
metric_frames_within(const Slicing& control, const std::vector<std::pair<std::string, RowMetric>>& metrics,
                     const Slicing& slicing) {
  MCOMP_CHECK(check_metrics(metrics));
  MCOMP_CHECK(check(slicing, slicing.rows()));
  MCOMP_CHECK(check(control, slicing.rows()));
  std::vector<std::pair<std::string, MetricFrame>> frames;
  const auto controlled = rows_by_group(control);
  for (std::size_t c = 0; c < controlled.size(); ++c) {
    std::vector<std::vector<std::int64_t>> by_group(slicing.groups.size());
    for (const std::int64_t row : controlled[c])
      if (const std::int32_t g = slicing.group[static_cast<std::size_t>(row)]; g >= 0)
        by_group[static_cast<std::size_t>(g)].push_back(row);
    frames.emplace_back(control.groups[c], frame_of(metrics, slicing, controlled[c], by_group));
  }
  return frames;
}

Result<GroupFairness> group_fairness(std::span<const std::int32_t> labels, std::span<const std::int32_t> predicted,
                                     const Slicing& slicing, std::int32_t positive_class) {
  MCOMP_CHECK(check_classes(labels, predicted));
  MCOMP_CHECK(check(slicing, static_cast<std::int64_t>(labels.size())));
  GroupFairness fairness{.dimension = slicing.dimension, .positive_class = positive_class};
  std::vector<double> selection, sensitivity, fall_out, precision;
  const auto by_group = rows_by_group(slicing);
  for (std::size_t g = 0; g < by_group.size(); ++g) {
    GroupRates rates{.group = slicing.groups[g], .rows = static_cast<std::int64_t>(by_group[g].size())};
    std::int64_t hits = 0;
    for (const std::int64_t row : by_group[g]) {
      const bool positive = labels[static_cast<std::size_t>(row)] == positive_class;
      const bool chosen = predicted[static_cast<std::size_t>(row)] == positive_class;
      rates.positives += positive;
      rates.predicted += chosen;
      hits += positive && chosen;
    }
    rates.selection_rate = rate(rates.predicted, rates.rows);
    rates.true_positive_rate = rate(hits, rates.positives);
    rates.false_positive_rate = rate(rates.predicted - hits, rates.rows - rates.positives);
    rates.precision = rate(hits, rates.predicted);
    selection.push_back(rates.selection_rate);
    sensitivity.push_back(rates.true_positive_rate);
    fall_out.push_back(rates.false_positive_rate);
    precision.push_back(rates.precision);
    fairness.groups.push_back(std::move(rates));
  }
  fairness.demographic_parity_difference = spread(selection);
  fairness.demographic_parity_ratio = spread_ratio(selection);
  fairness.equal_opportunity_difference = spread(sensitivity);
  fairness.equal_opportunity_ratio = spread_ratio(sensitivity);
  // fmax and fmin pass over a rate that no group has.
  fairness.equalized_odds_difference = std::fmax(spread(sensitivity), spread(fall_out));
  fairness.equalized_odds_ratio = std::fmin(spread_ratio(sensitivity), spread_ratio(fall_out));
  fairness.predictive_parity_difference = spread(precision);
  fairness.predictive_parity_ratio = spread_ratio(precision);
  return fairness;
}

Result<GroupFairness> worst_class_fairness(std::span<const std::int32_t> labels,
                                           std::span<const std::int32_t> predicted, const Slicing& slicing,
                                           std::int32_t classes) {
  if (classes < 1)
    return Error(ErrorCode::invalid_argument, "classes", fmt::format("at least 1 is needed, it is {}", classes),
                 "give the number of classes");
  MCOMP_TRY(worst, group_fairness(labels, predicted, slicing, 0));
  double parity = worst.demographic_parity_difference, parity_ratio = worst.demographic_parity_ratio;
  for (std::int32_t c = 1; c < classes; ++c) {
    MCOMP_TRY(other, group_fairness(labels, predicted, slicing, c));
    parity = std::fmax(parity, other.demographic_parity_difference);
    parity_ratio = std::fmin(parity_ratio, other.demographic_parity_ratio);
    if (!(other.equalized_odds_difference <= worst.equalized_odds_difference)) worst = other;
  }
  worst.demographic_parity_difference = parity;
  worst.demographic_parity_ratio = parity_ratio;
  return worst;
}

std::string to_string(const GroupFairness& fairness) {
  std::string text =
      fmt::format("{}, class {}: demographic parity {:.4g} apart (ratio {:.4g}), equalized odds {:.4g} "
                  "(ratio {:.4g}), equal opportunity {:.4g}, predictive parity {:.4g}",
                  fairness.dimension, fairness.positive_class, fairness.demographic_parity_difference,
                  fairness.demographic_parity_ratio, fairness.equalized_odds_difference, fairness.equalized_odds_ratio,
                  fairness.equal_opportunity_difference, fairness.predictive_parity_difference);
  for (const GroupRates& g : fairness.groups)
    text +=
        fmt::format("\n  {}: {} rows, selected {:.4g}, true positives {:.4g}, false positives {:.4g}, precision {:.4g}",
                    g.group, g.rows, g.selection_rate, g.true_positive_rate, g.false_positive_rate, g.precision);
  return text;
}

Result<double> generalized_entropy(std::span<const double> benefits, double alpha) {
  if (benefits.empty()) return Error(ErrorCode::insufficient_data, "benefits", "there are none", "give at least one");
  if (!std::isfinite(alpha))
    return Error(ErrorCode::invalid_argument, "alpha", fmt::format("a finite number is needed, it is {}", alpha),
                 "use 2, 1 or 0");
  double mean = 0;
  for (std::size_t i = 0; i < benefits.size(); ++i) {
    if (!(benefits[i] >= 0 && std::isfinite(benefits[i])))
      return Error(ErrorCode::invalid_value, "benefits", fmt::format("number {} is {}", i, benefits[i]),
                   "benefits are finite and not negative");
    mean += benefits[i] / static_cast<double>(benefits.size());
  }
  if (mean == 0)
    return Error(ErrorCode::invalid_value, "benefits", "all are zero, so that none has a share",
                 "measure inequality where there is a benefit");
  double sum = 0;
  for (const double benefit : benefits) {
    const double share = benefit / mean;
    if (alpha == 1)
      sum += share == 0 ? 0 : share * std::log(share);
    else if (alpha == 0)
      sum += -std::log(share);
    else
      sum += (std::pow(share, alpha) - 1) / (alpha * (alpha - 1));
  }
  return sum / static_cast<double>(benefits.size());
}

Result<double> generalized_entropy_of_decisions(std::span<const std::int32_t> labels,
                                                std::span<const std::int32_t> predicted, std::int32_t positive_class,
                                                double alpha) {
  MCOMP_CHECK(check_classes(labels, predicted));
  std::vector<double> benefits(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i)
    benefits[i] = 1.0 + (predicted[i] == positive_class ? 1 : 0) - (labels[i] == positive_class ? 1 : 0);
  return generalized_entropy(benefits, alpha);
}

namespace {

Result<GroupDelta> delta_of(std::string name, const RowScores& baseline, const RowScores& candidate,
                            const std::vector<std::int64_t>& rows, double level) {
  GroupDelta delta{.group = std::move(name)};
  const bool classes = !baseline.predicted.empty() && !candidate.predicted.empty();
  for (const std::int64_t row : rows) {
    const auto i = static_cast<std::size_t>(row);
    const bool before = baseline.correct[i] != 0, after = candidate.correct[i] != 0;
    ++(before ? (after ? delta.accuracy.both_right : delta.accuracy.only_baseline_right)
              : (after ? delta.accuracy.only_candidate_right : delta.accuracy.both_wrong));
    if (classes && baseline.predicted[i] != candidate.predicted[i]) ++delta.changed;
  }
  delta.negative_flip_rate = rate(delta.accuracy.only_baseline_right, delta.accuracy.pairs());
  if (!rows.empty()) {
    MCOMP_TRY(interval, stats::tango_interval(delta.accuracy, level));
    delta.loss = interval;
  }
  return delta;
}

} // namespace

Result<CompressionFairness> compression_fairness(const RowScores& baseline, const RowScores& candidate,
                                                 const Slicing& slicing, std::int64_t min_rows, double level) {
  MCOMP_CHECK(check(baseline, "baseline"));
  MCOMP_CHECK(check(candidate, "candidate"));
  if (baseline.rows() != candidate.rows())
    return Error(ErrorCode::invalid_shape, "candidate",
                 fmt::format("{} rows, the baseline has {}", candidate.rows(), baseline.rows()), "score the same rows");
  MCOMP_CHECK(check(slicing, baseline.rows()));
  CompressionFairness fairness{.dimension = slicing.dimension};
  MCOMP_TRY(overall, delta_of("", baseline, candidate, all_rows(baseline.rows()), level));
  fairness.overall = overall;
  const auto by_group = rows_by_group(slicing);
  double worst = 0;
  for (std::size_t g = 0; g < by_group.size(); ++g) {
    MCOMP_TRY(delta, delta_of(slicing.groups[g], baseline, candidate, by_group[g], level));
    if (delta.accuracy.pairs() >= std::max<std::int64_t>(1, min_rows) && delta.negative_flip_rate > worst) {
      worst = delta.negative_flip_rate;
      fairness.worst_group = delta.group;
    }
    fairness.groups.push_back(std::move(delta));
  }
  if (worst > 0) fairness.disparate_flip_ratio = worst / overall.negative_flip_rate;
  return fairness;
}

std::string to_string(const CompressionFairness& fairness) {
  std::string text = fmt::format("{}: negative flips {:.4g} of all rows, {:.3g} times as many in the worst group{}",
                                 fairness.dimension, fairness.overall.negative_flip_rate, fairness.disparate_flip_ratio,
                                 fairness.worst_group.empty() ? "" : " (" + fairness.worst_group + ")");
  for (const GroupDelta& g : fairness.groups) {
    text += fmt::format("\n  {}: {}, {} changed", g.group, g.accuracy, g.changed);
    if (g.loss) text += fmt::format(", loss {:+.4g} {}", g.accuracy.loss(), *g.loss);
  }
  return text;
}

namespace {

/// The most frequent class of a row and its share.
std::pair<std::int32_t, double> mode(const std::vector<std::vector<std::int32_t>>& models, std::size_t row) {
  std::map<std::int32_t, std::int64_t> votes;
  for (const auto& model : models) ++votes[model[row]];
  const auto top =
      std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return {top->first, static_cast<double>(top->second) / static_cast<double>(models.size())};
}

} // namespace

Result<std::vector<CompressionExemplar>>
compression_exemplars(const std::vector<std::vector<std::int32_t>>& baselines,
                      const std::vector<std::vector<std::int32_t>>& candidates) {
  if (baselines.empty() || candidates.empty())
    return Error(ErrorCode::invalid_argument, baselines.empty() ? "baselines" : "candidates", "there is no model",
                 "give predictions of at least one");
  for (const auto* side : {&baselines, &candidates})
    for (const auto& model : *side)
      if (model.size() != baselines.front().size())
        return Error(ErrorCode::invalid_shape, side == &baselines ? "baselines" : "candidates",
                     fmt::format("a model predicted {} rows, the first one {}", model.size(), baselines.front().size()),
                     "predict the same rows with every model");
  std::vector<CompressionExemplar> exemplars;
  for (std::size_t i = 0; i < baselines.front().size(); ++i) {
    const auto [before, before_share] = mode(baselines, i);
    const auto [after, after_share] = mode(candidates, i);
    if (before != after) exemplars.push_back({static_cast<std::int64_t>(i), before, after, before_share, after_share});
  }
  std::stable_sort(exemplars.begin(), exemplars.end(), [](const auto& a, const auto& b) {
    return a.baseline_share * a.candidate_share > b.baseline_share * b.candidate_share;
  });
  return exemplars;
}

} // namespace mcomp::inline v0::evaluate
