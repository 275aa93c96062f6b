#include "evaluate/paired_bootstrap.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::evaluate::detail {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int32_t most_classes = 1000;

/// Positions of a target's numbers in the flat list that a resample gives.
enum TargetNumber : std::size_t { ece_before, ece_after, loss_before, loss_after, target_numbers };
enum GroupNumber : std::size_t { parity_before, parity_after, odds_before, odds_after, flip_ratio, group_numbers };

/// Largest less smallest of what is no NaN.
class Spread {
 public:
  void add(double value) {
    if (std::isnan(value)) return;
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
  }
  [[nodiscard]] double value() const { return high_ >= low_ ? high_ - low_ : nan; }

 private:
  double low_ = std::numeric_limits<double>::infinity(), high_ = -std::numeric_limits<double>::infinity();
};

/// NaN of fewer than `least` rows: 0 of 1 says nothing.
double rate(double part, double whole, double least) {
  return whole == 0 || whole < least ? nan : part / whole;
}

/// Weighted counts of one class in one group.
struct ClassCounts {
  double labelled = 0, chosen_before = 0, chosen_after = 0, hit_before = 0, hit_after = 0;
};

class Measurer {
 public:
  explicit Measurer(const BootstrapInput& input)
      : input_(input), rows_(input.baseline.correct.size()),
        confident_(!input.baseline.confidence.empty() && !input.candidate.confidence.empty()) {
    bins_ = static_cast<std::size_t>(input.ece_bins);
    if (confident_)
      for (const auto& [scores, bin] :
           {std::pair{&input.baseline, &bin_before_}, std::pair{&input.candidate, &bin_after_}}) {
        bin->reserve(rows_);
        for (const double p : scores->confidence)
          bin->push_back(static_cast<std::uint32_t>(std::max(0.0, std::ceil(p * static_cast<double>(bins_)) - 1)));
      }
    offset_.push_back(1);
    for (const Slicing& slicing : input.slicings) offset_.push_back(offset_.back() + slicing.groups.size());
    if (!input.baseline.predicted.empty() && !input.candidate.predicted.empty()) {
      if (input.positive_class) {
        classes_ = 1;
      } else {
        std::int32_t last = *std::max_element(input.labels.begin(), input.labels.end());
        for (const auto* predicted : {&input.baseline.predicted, &input.candidate.predicted})
          last = std::max(last, *std::max_element(predicted->begin(), predicted->end()));
        if (last < most_classes) classes_ = static_cast<std::size_t>(last) + 1;
      }
    }
  }

  [[nodiscard]] std::size_t targets() const { return offset_.back(); }
  [[nodiscard]] std::size_t offset(std::size_t slicing) const { return offset_[slicing]; }
  [[nodiscard]] std::size_t numbers() const {
    return targets() * target_numbers + input_.slicings.size() * group_numbers;
  }
  [[nodiscard]] std::size_t group_offset(std::size_t slicing) const {
    return targets() * target_numbers + slicing * group_numbers;
  }

  /// All numbers of rows that count `weight` times each.
  [[nodiscard]] std::vector<double> measure(std::span<const std::uint32_t> weight) const {
    std::vector<double> numbers(this->numbers(), nan);
    measure_targets(weight, numbers);
    for (std::size_t s = 0; s < input_.slicings.size(); ++s)
      if (input_.fair[s]) measure_groups(s, weight, numbers);
    return numbers;
  }

 private:
  void measure_targets(std::span<const std::uint32_t> weight, std::vector<double>& numbers) const {
    std::vector<double> rows(targets()), loss_b(targets()), loss_c(targets());
    // Confidence less accuracy, summed in each bin: the calibration error is the sum of their magnitudes by all rows.
    std::vector<double> gap_b(targets() * bins_), gap_c(targets() * bins_);
    for (std::size_t i = 0; i < rows_; ++i) {
      if (weight[i] == 0) continue;
      const double w = weight[i];
      const auto add = [&](std::size_t target) {
        rows[target] += w;
        loss_b[target] += w * input_.baseline.loss[i];
        loss_c[target] += w * input_.candidate.loss[i];
        if (!confident_) return;
        gap_b[target * bins_ + bin_before_[i]] +=
            w * (input_.baseline.confidence[i] - (input_.baseline.correct[i] != 0));
        gap_c[target * bins_ + bin_after_[i]] +=
            w * (input_.candidate.confidence[i] - (input_.candidate.correct[i] != 0));
      };
      add(0);
      for (std::size_t s = 0; s < input_.slicings.size(); ++s)
        if (const std::int32_t g = input_.slicings[s].group[i]; g >= 0) add(offset_[s] + static_cast<std::size_t>(g));
    }
    for (std::size_t t = 0; t < targets(); ++t) {
      if (rows[t] == 0) continue;
      double* out = &numbers[t * target_numbers];
      out[loss_before] = loss_b[t] / rows[t];
      out[loss_after] = loss_c[t] / rows[t];
      if (!confident_) continue;
      double before = 0, after = 0;
      for (std::size_t k = 0; k < bins_; ++k) {
        before += std::abs(gap_b[t * bins_ + k]);
        after += std::abs(gap_c[t * bins_ + k]);
      }
      out[ece_before] = before / rows[t];
      out[ece_after] = after / rows[t];
    }
  }

  /// Which counter a class has; none for classes that are not compared.
  [[nodiscard]] std::optional<std::size_t> counter(std::int32_t c) const {
    if (!input_.positive_class) return static_cast<std::size_t>(c);
    return c == *input_.positive_class ? std::optional<std::size_t>(0) : std::nullopt;
  }

  void measure_groups(std::size_t s, std::span<const std::uint32_t> weight, std::vector<double>& numbers) const {
    const Slicing& slicing = input_.slicings[s];
    const std::size_t groups = slicing.groups.size();
    std::vector<double> rows(groups), flips(groups);
    std::vector<ClassCounts> counts(groups * classes_);
    double all_rows = 0, all_flips = 0;
    for (std::size_t i = 0; i < rows_; ++i) {
      if (weight[i] == 0) continue;
      const double w = weight[i];
      const bool flip = input_.baseline.correct[i] != 0 && input_.candidate.correct[i] == 0;
      all_rows += w;
      if (flip) all_flips += w;
      if (slicing.group[i] < 0) continue;
      const auto g = static_cast<std::size_t>(slicing.group[i]);
      rows[g] += w;
      if (flip) flips[g] += w;
      if (classes_ == 0) continue;
      const std::int32_t label = input_.labels[i], before = input_.baseline.predicted[i],
                         after = input_.candidate.predicted[i];
      if (const auto c = counter(label)) counts[g * classes_ + *c].labelled += w;
      if (const auto c = counter(before)) {
        counts[g * classes_ + *c].chosen_before += w;
        if (before == label) counts[g * classes_ + *c].hit_before += w;
      }
      if (const auto c = counter(after)) {
        counts[g * classes_ + *c].chosen_after += w;
        if (after == label) counts[g * classes_ + *c].hit_after += w;
      }
    }
    double* out = &numbers[group_offset(s)];
    const auto least = static_cast<double>(input_.min_group_rows);
    for (std::size_t c = 0; c < classes_; ++c) {
      Spread selected_b, selected_c, hit_b, hit_c, false_b, false_c;
      for (std::size_t g = 0; g < groups; ++g) {
        const ClassCounts& n = counts[g * classes_ + c];
        const double others = rows[g] - n.labelled;
        selected_b.add(rate(n.chosen_before, rows[g], least));
        selected_c.add(rate(n.chosen_after, rows[g], least));
        hit_b.add(rate(n.hit_before, n.labelled, least));
        hit_c.add(rate(n.hit_after, n.labelled, least));
        false_b.add(rate(n.chosen_before - n.hit_before, others, least));
        false_c.add(rate(n.chosen_after - n.hit_after, others, least));
      }
      // fmax passes over NaN.
      out[parity_before] = std::fmax(out[parity_before], selected_b.value());
      out[parity_after] = std::fmax(out[parity_after], selected_c.value());
      out[odds_before] = std::fmax(out[odds_before], std::fmax(hit_b.value(), false_b.value()));
      out[odds_after] = std::fmax(out[odds_after], std::fmax(hit_c.value(), false_c.value()));
    }
    if (all_flips == 0) {
      out[flip_ratio] = 1;
      return;
    }
    double worst = 0;
    for (std::size_t g = 0; g < groups; ++g)
      if (rows[g] > 0 && rows[g] >= static_cast<double>(input_.min_group_rows))
        worst = std::max(worst, flips[g] / rows[g]);
    out[flip_ratio] = worst == 0 ? 1 : worst / (all_flips / all_rows);
  }

  const BootstrapInput& input_;
  std::size_t rows_ = 0, bins_ = 0, classes_ = 0;
  bool confident_ = false;
  std::vector<std::uint32_t> bin_before_, bin_after_;
  std::vector<std::size_t> offset_;
};

std::optional<double> finite(double value) {
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

/// Percentiles of the numbers that are finite; none where most resamples gave none.
std::optional<stats::Interval> percentiles(std::vector<double> values, double level) {
  const std::size_t wanted = values.size();
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  if (values.size() < 20 || values.size() * 10 < wanted * 9) return std::nullopt;
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  const auto low = static_cast<std::size_t>(std::floor((1 - level) / 2 * (n - 1)));
  return stats::Interval{values[low], values[values.size() - 1 - low], level};
}

} // namespace

Result<BootstrapResult> paired_bootstrap(const BootstrapInput& input, const Context& context) {
  const Measurer measurer(input);
  const std::size_t rows = input.baseline.correct.size();
  const std::vector<double> point = measurer.measure(std::vector<std::uint32_t>(rows, 1));
  std::vector<std::vector<double>> resampled(static_cast<std::size_t>(std::max(0, input.resamples)));
  MCOMP_CHECK(context.check("bootstrap"));
  context.executor_or_serial().run(resampled.size(), [&](std::size_t r) {
    if (context.cancellation.cancelled()) return;
    Random random(input.seed, r);
    std::vector<std::uint32_t> weight(rows);
    for (std::size_t i = 0; i < rows; ++i) ++weight[random.below(rows)];
    resampled[r] = measurer.measure(weight);
  });
  MCOMP_CHECK(context.check("bootstrap"));

  const auto interval = [&](std::size_t at, std::optional<std::size_t> less) {
    std::vector<double> values;
    values.reserve(resampled.size());
    for (const auto& numbers : resampled) values.push_back(numbers[at] - (less ? numbers[*less] : 0));
    return percentiles(std::move(values), input.level);
  };
  const auto increase = [&](std::size_t before, std::size_t after) -> std::optional<Increase> {
    const double value = point[after] - point[before];
    if (!std::isfinite(value)) return std::nullopt;
    return Increase{value, interval(after, before)};
  };
  const auto target = [&](std::size_t t) {
    const std::size_t at = t * target_numbers;
    return TargetNumbers{.baseline_ece = finite(point[at + ece_before]),
                         .candidate_ece = finite(point[at + ece_after]),
                         .baseline_loss = finite(point[at + loss_before]),
                         .candidate_loss = finite(point[at + loss_after]),
                         .ece_increase = increase(at + ece_before, at + ece_after),
                         .loss_increase = increase(at + loss_before, at + loss_after)};
  };
  BootstrapResult result;
  result.all = target(0);
  for (std::size_t s = 0; s < input.slicings.size(); ++s) {
    std::vector<TargetNumbers> groups;
    for (std::size_t g = 0; g < input.slicings[s].groups.size(); ++g) groups.push_back(target(measurer.offset(s) + g));
    result.slices.push_back(std::move(groups));
    if (!input.fair[s]) continue;
    const std::size_t at = measurer.group_offset(s);
    result.fairness.push_back({.dimension = input.slicings[s].dimension,
                               .baseline_demographic_parity = finite(point[at + parity_before]),
                               .candidate_demographic_parity = finite(point[at + parity_after]),
                               .baseline_equalized_odds = finite(point[at + odds_before]),
                               .candidate_equalized_odds = finite(point[at + odds_after]),
                               .demographic_parity_increase = increase(at + parity_before, at + parity_after),
                               .equalized_odds_increase = increase(at + odds_before, at + odds_after),
                               .disparate_flip_ratio = finite(point[at + flip_ratio]),
                               .disparate_flip_interval = interval(at + flip_ratio, std::nullopt)});
  }
  return result;
}

} // namespace mcomp::inline v0::evaluate::detail
