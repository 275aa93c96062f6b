#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/verdict.hpp"
#include "mcomp/stats/distributions.hpp"
#include "mcomp/stats/multiple_testing.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

// --- Evidence that cannot be

Error impossible(const char* name, const std::string& rule) {
  return Error(ErrorCode::invalid_value, std::string("evidence: ") + name, rule, "measure it again, or leave it out");
}

Status check_number(const char* name, const std::optional<double>& value, bool zero_allowed, double largest) {
  if (!value || (*value <= largest && (*value > 0 || (zero_allowed && *value == 0)))) return {};
  return impossible(name, fmt::format("a number {} 0 and at most {} is needed, it is {}",
                                      zero_allowed ? "of at least" : "above", largest, *value));
}

Status check_estimate(const char* name, const stats::QuantileEstimate& estimate) {
  const double lower = estimate.lower.value_or(0), upper = estimate.upper.value_or(1e300);
  if (!(lower >= 0 && lower <= estimate.value && estimate.value <= upper && upper <= 1e300))
    return impossible(name, fmt::format("limits around the value are needed and nothing negative, it is {}", estimate));
  if (!(estimate.level > 0 && estimate.level < 1))
    return impossible(name, fmt::format("the level must lie between 0 and 1, it is {}", estimate.level));
  return {};
}

Status check_latency(const char* name, const std::optional<stats::LatencySummary>& latency) {
  if (!latency) return {};
  MCOMP_CHECK(check_estimate(name, latency->p50));
  return check_estimate(name, latency->p99);
}

Status check_increase(const char* name, const std::optional<Increase>& increase) {
  if (!increase) return {};
  if (!std::isfinite(increase->value))
    return impossible(name, fmt::format("a finite number is needed, it is {}", increase->value));
  if (!increase->interval) return {};
  const stats::Interval& i = *increase->interval;
  if (!(i.lower <= i.upper && i.level >= 0 && i.level < 1))
    return impossible(name, fmt::format("limits in order and a level within [0, 1) are needed, it is {}", i));
  return {};
}

/// A number that may have either sign, or none at all.
Status check_finite(const char* name, const std::optional<double>& value) {
  if (!value || std::isfinite(*value)) return {};
  return impossible(name, fmt::format("a finite number is needed, it is {}", *value));
}

Status check_slice(const SliceEvidence& slice) {
  if (slice.name.empty()) return impossible("slices", "a slice has no name");
  MCOMP_CHECK(check_latency("baseline_latency", slice.baseline_latency));
  MCOMP_CHECK(check_latency("candidate_latency", slice.candidate_latency));
  MCOMP_CHECK(check_number("baseline_ece", slice.baseline_ece, true, 1));
  MCOMP_CHECK(check_number("candidate_ece", slice.candidate_ece, true, 1));
  MCOMP_CHECK(check_increase("ece_increase", slice.ece_increase));
  MCOMP_CHECK(check_finite("baseline_loss", slice.baseline_loss));
  MCOMP_CHECK(check_finite("candidate_loss", slice.candidate_loss));
  MCOMP_CHECK(check_increase("loss_increase", slice.loss_increase));
  for (const std::int64_t count : {slice.accuracy.both_right, slice.accuracy.only_baseline_right,
                                   slice.accuracy.only_candidate_right, slice.accuracy.both_wrong, slice.changed})
    if (count < 0 || count > (std::int64_t{1} << 53))
      return impossible("accuracy", fmt::format("{} is no count", count));
  return {};
}

Status check_fairness(const FairnessEvidence& fairness) {
  if (fairness.dimension.empty()) return impossible("fairness", "a dimension has no name");
  for (const auto& [name, value] : {std::pair{"baseline_demographic_parity", &fairness.baseline_demographic_parity},
                                    std::pair{"candidate_demographic_parity", &fairness.candidate_demographic_parity},
                                    std::pair{"baseline_equalized_odds", &fairness.baseline_equalized_odds},
                                    std::pair{"candidate_equalized_odds", &fairness.candidate_equalized_odds}})
    MCOMP_CHECK(check_number(name, *value, true, 1));
  MCOMP_CHECK(check_increase("demographic_parity_increase", fairness.demographic_parity_increase));
  MCOMP_CHECK(check_increase("equalized_odds_increase", fairness.equalized_odds_increase));
  MCOMP_CHECK(check_number("disparate_flip_ratio", fairness.disparate_flip_ratio, true, 1e300));
  return {};
}

Status check_evidence(const Evidence& evidence) {
  constexpr double most = 1e300;
  MCOMP_CHECK(check_latency("baseline_latency", evidence.baseline_latency));
  MCOMP_CHECK(check_latency("candidate_latency", evidence.candidate_latency));
  if (evidence.paired_speedup) MCOMP_CHECK(check_estimate("paired_speedup", *evidence.paired_speedup));
  for (const auto& [name, bytes] :
       {std::pair{"baseline_bytes", &evidence.baseline_bytes}, std::pair{"candidate_bytes", &evidence.candidate_bytes},
        std::pair{"baseline_memory_bytes", &evidence.baseline_memory_bytes},
        std::pair{"candidate_memory_bytes", &evidence.candidate_memory_bytes}})
    if (*bytes && **bytes < 1) return impossible(name, fmt::format("at least 1 byte is needed, it is {}", **bytes));
  MCOMP_CHECK(check_number("baseline_ece", evidence.baseline_ece, true, 1));
  MCOMP_CHECK(check_number("candidate_ece", evidence.candidate_ece, true, 1));
  MCOMP_CHECK(check_number("baseline_monthly_cost", evidence.baseline_monthly_cost, false, most));
  MCOMP_CHECK(check_number("candidate_monthly_cost", evidence.candidate_monthly_cost, true, most));
  MCOMP_CHECK(check_increase("ece_increase", evidence.ece_increase));
  MCOMP_CHECK(check_finite("baseline_loss", evidence.baseline_loss));
  MCOMP_CHECK(check_finite("candidate_loss", evidence.candidate_loss));
  MCOMP_CHECK(check_increase("loss_increase", evidence.loss_increase));
  for (const SliceEvidence& slice : evidence.slices)
    if (const Status valid = check_slice(slice); !valid)
      return valid.error().within(fmt::format("slice '{}'", slice.name));
  for (const FairnessEvidence& fairness : evidence.fairness)
    if (const Status valid = check_fairness(fairness); !valid)
      return valid.error().within(fmt::format("fairness by '{}'", fairness.dimension));
  return {};
}

// --- One function a criterion

Check missing(std::string name, std::string_view what) {
  return {
      .name = std::move(name), .outcome = Outcome::insufficient_data, .sentence = fmt::format("{} not measured", what)};
}

std::string percent(double fraction) {
  return fmt::format("{:.3g}%", 100 * fraction);
}

Check judge_samples(std::int64_t needed, const Evidence& evidence) {
  if (!evidence.accuracy) return missing("min_samples", "accuracy was");
  const std::int64_t pairs = evidence.accuracy->pairs();
  const bool enough = pairs >= needed;
  return {.name = "min_samples",
          .outcome = enough ? Outcome::pass : Outcome::insufficient_data,
          .sentence = fmt::format("{} pairs, {} are needed", pairs, needed),
          .numbers = {{"pairs", static_cast<double>(pairs)}, {"min_samples", static_cast<double>(needed)}}};
}

/// @param family how many claims of harm are made together: the confidence of a failure holds for all of them
Result<Check> judge_accuracy(std::string name, double margin, double confidence, const stats::PairedCounts& counts,
                             std::size_t family = 1) {
  MCOMP_TRY(upper, stats::tango_upper_limit(counts, confidence));
  MCOMP_TRY(lower,
            stats::tango_upper_limit(counts, (1 - confidence) / static_cast<double>(std::max<std::size_t>(1, family))));
  MCOMP_TRY(resolvable, stats::smallest_resolvable_margin(counts, confidence));
  Check check{.name = std::move(name),
              .outcome = Outcome::pass,
              .numbers = {{"loss", counts.loss()},
                          {"lower_limit", lower},
                          {"upper_limit", upper},
                          {"margin", margin},
                          {"smallest_resolvable_margin", resolvable},
                          {"baseline_accuracy", counts.baseline_accuracy()},
                          {"candidate_accuracy", counts.candidate_accuracy()},
                          {"pairs", static_cast<double>(counts.pairs())}}};
  const std::string found = fmt::format("accuracy {} -> {} on {} pairs, a loss of {} and with {} confidence at most {}",
                                        percent(counts.baseline_accuracy()), percent(counts.candidate_accuracy()),
                                        counts.pairs(), percent(counts.loss()), percent(confidence), percent(upper));
  if (upper < margin) {
    check.sentence = fmt::format("{}; below {}", found, percent(margin));
  } else if (lower > margin || resolvable < margin) {
    check.outcome = Outcome::fail;
    check.sentence = fmt::format("{}; not below {}", found, percent(margin));
  } else {
    check.outcome = Outcome::insufficient_data;
    check.sentence = fmt::format("{}; so few pairs cannot show less than {}, and {} is asked", found,
                                 percent(resolvable), percent(margin));
  }
  return check;
}

/// One-sided confidence of one limit of a two-sided interval.
double one_sided(const stats::QuantileEstimate& estimate) {
  return (1 + estimate.level) / 2;
}

/// A number that should lie on one side of a bound, with the limits that could be found for it.
struct Bounded {
  double value, bound, confidence;
  std::optional<double> lower, upper;
  bool at_most; ///< the bound is one from above
};

/// Decides by the limits; `required` is the confidence they must have.
Outcome decide(const Bounded& b, double required) {
  // 1 - 2 (1 - 0.975) is a rounding short of 0.95.
  if (b.confidence < required - 1e-9) return Outcome::insufficient_data;
  const auto keeps = [&](double x) { return b.at_most ? x <= b.bound : x >= b.bound; };
  const std::optional<double>& worst = b.at_most ? b.upper : b.lower;
  const std::optional<double>& best = b.at_most ? b.lower : b.upper;
  if (worst && keeps(*worst)) return Outcome::pass;
  if (best && !keeps(*best)) return Outcome::fail;
  return worst && best && !keeps(b.value) ? Outcome::fail : Outcome::insufficient_data;
}

/// The sentence and the numbers of a decision. `found` names the value; `unit` stands behind names of numbers.
Check explain(std::string name, const Bounded& b, double required, const std::string& found, const char* unit,
              const char* remedy = "measure more requests") {
  Check check{.name = std::move(name), .outcome = decide(b, required)};
  const auto add = [&](const char* what, double value) {
    check.numbers.push_back({fmt::format("{}{}", what, unit), value});
  };
  add("value", b.value);
  if (b.lower) add("lower_limit", *b.lower);
  if (b.upper) add("upper_limit", *b.upper);
  add("bound", b.bound);
  check.numbers.push_back({"confidence", b.confidence});
  const std::optional<double>& worst = b.at_most ? b.upper : b.lower;
  const char* asked = b.at_most ? "at most" : "at least";
  check.sentence = found;
  if (worst) check.sentence += fmt::format(", with {} confidence {} {:.4g}", percent(b.confidence), asked, *worst);
  check.sentence += fmt::format("; {} {:.4g} is asked", asked, b.bound);
  if (check.outcome == Outcome::insufficient_data)
    check.sentence += b.confidence < required - 1e-9
                          ? fmt::format(", with {} confidence: take intervals of a higher level", percent(required))
                          : fmt::format(": {}", remedy);
  return check;
}

Check judge_speedup(double bound, double required, const Evidence& evidence) {
  constexpr const char* name = "min_speedup";
  if (evidence.paired_speedup) {
    const stats::QuantileEstimate& ratio = *evidence.paired_speedup;
    const Bounded b{ratio.value, bound, one_sided(ratio), ratio.lower, ratio.upper, false};
    return explain(name, b, required,
                   fmt::format("{:.3g} times as fast, median of {} paired requests", ratio.value, ratio.count), "");
  }
  if (!evidence.baseline_latency || !evidence.candidate_latency) return missing(name, "latencies of both models were");
  const stats::QuantileEstimate &before = evidence.baseline_latency->p50, &after = evidence.candidate_latency->p50;
  if (after.value <= 0 || before.value <= 0)
    return {.name = name,
            .outcome = Outcome::insufficient_data,
            .sentence = "a median latency is 0 seconds: the clock is too coarse for a ratio",
            .numbers = {{"baseline_p50_seconds", before.value}, {"candidate_p50_seconds", after.value}}};
  // Both limits miss with at most the sum of their chances.
  Bounded b{before.value / after.value, bound, one_sided(before) + one_sided(after) - 1, {}, {}, false};
  if (before.lower && after.upper) b.lower = *before.lower / *after.upper;
  if (before.upper && after.lower && *after.lower > 0) b.upper = *before.upper / *after.lower;
  Check check = explain(name, b, required, fmt::format("{:.3g} times as fast by the median requests", b.value), "");
  check.numbers.push_back({"baseline_p50_seconds", before.value});
  check.numbers.push_back({"candidate_p50_seconds", after.value});
  return check;
}

Check judge_latency(std::string name, double bound, double required,
                    const std::optional<stats::LatencySummary>& latency) {
  if (!latency) return missing(std::move(name), "latency of the candidate was");
  const stats::QuantileEstimate& p99 = latency->p99;
  const Bounded b{p99.value, bound, one_sided(p99), p99.lower, p99.upper, true};
  return explain(std::move(name), b, required, fmt::format("p99 {:.4g} seconds of {} requests", p99.value, p99.count),
                 "_seconds");
}

Check judge_plain(std::string name, double value, double bound, std::string found, std::vector<Measurement> numbers) {
  numbers.insert(numbers.begin(), {{"value", value}, {"bound", bound}});
  return {.name = std::move(name),
          .outcome = value <= bound ? Outcome::pass : Outcome::fail,
          .sentence = fmt::format("{}; at most {:.4g} is asked", found, bound),
          .numbers = std::move(numbers)};
}

Check judge_size(double bound, const Evidence& evidence) {
  constexpr const char* name = "max_size_ratio";
  if (!evidence.baseline_bytes || !evidence.candidate_bytes) return missing(name, "sizes of both models were");
  const auto before = static_cast<double>(*evidence.baseline_bytes);
  const auto after = static_cast<double>(*evidence.candidate_bytes);
  return judge_plain(name, after / before, bound,
                     fmt::format("{} -> {} bytes, {:.4g} of the size", *evidence.baseline_bytes,
                                 *evidence.candidate_bytes, after / before),
                     {{"baseline_bytes", before}, {"candidate_bytes", after}});
}

Check judge_memory(double bound, const Evidence& evidence) {
  constexpr const char* name = "max_memory_ratio";
  if (!evidence.baseline_memory_bytes || !evidence.candidate_memory_bytes)
    return missing(name, "peak memory of both models was");
  const auto before = static_cast<double>(*evidence.baseline_memory_bytes);
  const auto after = static_cast<double>(*evidence.candidate_memory_bytes);
  return judge_plain(name, after / before, bound,
                     fmt::format("peak memory {} -> {} bytes, {:.4g} of it", *evidence.baseline_memory_bytes,
                                 *evidence.candidate_memory_bytes, after / before),
                     {{"baseline_memory_bytes", before}, {"candidate_memory_bytes", after}});
}

/// A number before and after, and its increase with an interval where there is one.
struct Change {
  const std::optional<double>&before, &after;
  const std::optional<Increase>& increase;
  const char* what; ///< "calibration error"
  const char* key;  ///< "ece"
};

/// Without an interval the numbers are compared as they are if `plain`, and are insufficient otherwise.
Check judge_change(std::string name, double bound, double required, const Change& change, bool plain) {
  if (!change.increase && !(change.before && change.after))
    return missing(std::move(name), fmt::format("{} of both models was", change.what));
  const double value = change.increase ? change.increase->value : *change.after - *change.before;
  const std::string found = change.before && change.after ? fmt::format("{} {:.4g} -> {:.4g}, {:+.4g}", change.what,
                                                                        *change.before, *change.after, value)
                                                          : fmt::format("{} {:+.4g}", change.what, value);
  std::vector<Measurement> numbers;
  if (change.before && change.after)
    numbers = {{fmt::format("baseline_{}", change.key), *change.before},
               {fmt::format("candidate_{}", change.key), *change.after}};
  if (change.increase && change.increase->interval) {
    const stats::Interval& i = *change.increase->interval;
    const Bounded b{value, bound, (1 + i.level) / 2, i.lower, i.upper, true};
    Check check = explain(std::move(name), b, required, found, "", "measure more rows");
    check.numbers.insert(check.numbers.end(), numbers.begin(), numbers.end());
    return check;
  }
  Check check = judge_plain(std::move(name), value, bound, found, std::move(numbers));
  if (!plain) {
    check.outcome = Outcome::insufficient_data;
    check.sentence += "; there is no interval";
  }
  return check;
}

Check judge_negative_flips(double bound, double confidence, const Evidence& evidence) {
  constexpr const char* name = "max_negative_flip_fraction";
  if (!evidence.accuracy || evidence.accuracy->pairs() == 0) return missing(name, "accuracy was");
  const auto flips = static_cast<double>(evidence.accuracy->only_baseline_right);
  const auto pairs = static_cast<double>(evidence.accuracy->pairs());
  // Clopper and Pearson's limits, each at the one-sided confidence.
  const double upper = flips == pairs ? 1 : stats::beta_quantile(flips + 1, pairs - flips, confidence);
  const double lower = flips == 0 ? 0 : stats::beta_quantile(flips, pairs - flips + 1, 1 - confidence);
  const Bounded b{flips / pairs, bound, confidence, lower, upper, true};
  return explain(name, b, confidence, fmt::format("{} of {} examples right before and wrong after", flips, pairs), "",
                 "measure more rows");
}

std::string of(const char* name, const std::string& part) {
  return fmt::format("{}[{}]", name, part);
}

// --- Slices and groups

Status judge_slices(const Criteria& criteria, const Evidence& evidence, std::vector<Check>& checks) {
  const auto margin_of = [&](const SliceEvidence& slice) -> std::optional<std::pair<const char*, double>> {
    if (const auto own = criteria.protected_slices.find(slice.name); own != criteria.protected_slices.end())
      return std::pair("protected_slices", own->second);
    if (criteria.max_slice_accuracy_loss)
      return std::pair("max_slice_accuracy_loss", *criteria.max_slice_accuracy_loss);
    return std::nullopt;
  };
  const auto too_small = [&](std::string name, const SliceEvidence& slice) -> std::optional<Check> {
    const std::int64_t pairs = slice.accuracy.pairs();
    if (pairs >= std::max<std::int64_t>(1, criteria.min_slice_samples.value_or(1))) return std::nullopt;
    return Check{.name = std::move(name),
                 .outcome = Outcome::insufficient_data,
                 .sentence = fmt::format("{} rows in the slice, {} are needed", pairs,
                                         std::max<std::int64_t>(1, criteria.min_slice_samples.value_or(1))),
                 .numbers = {{"pairs", static_cast<double>(pairs)}}};
  };
  const auto family = static_cast<std::size_t>(std::count_if(evidence.slices.begin(), evidence.slices.end(),
                                                             [&](const auto& s) { return margin_of(s).has_value(); }));
  if (criteria.max_slice_accuracy_loss && evidence.slices.empty())
    checks.push_back(missing("max_slice_accuracy_loss", "accuracy by slice was"));
  if (criteria.max_slice_ece_increase && evidence.slices.empty())
    checks.push_back(missing("max_slice_ece_increase", "calibration error by slice was"));
  for (const SliceEvidence& slice : evidence.slices) {
    if (const auto margin = margin_of(slice)) {
      std::string name = of(margin->first, slice.name);
      if (auto small = too_small(name, slice)) {
        checks.push_back(*std::move(small));
      } else {
        auto judged = judge_accuracy(std::move(name), margin->second, criteria.confidence, slice.accuracy, family);
        if (!judged) return impossible(slice.name.c_str(), judged.error().rule());
        checks.push_back(*std::move(judged));
      }
    }
    if (criteria.max_slice_ece_increase) {
      std::string name = of("max_slice_ece_increase", slice.name);
      if (auto small = too_small(name, slice))
        checks.push_back(*std::move(small));
      else
        checks.push_back(judge_change(
            std::move(name), *criteria.max_slice_ece_increase, criteria.confidence,
            {slice.baseline_ece, slice.candidate_ece, slice.ece_increase, "calibration error", "ece"}, true));
    }
  }
  const auto measured = [&](const std::string& name) -> const SliceEvidence* {
    const auto found = std::find_if(evidence.slices.begin(), evidence.slices.end(),
                                    [&](const SliceEvidence& s) { return s.name == name; });
    return found == evidence.slices.end() ? nullptr : &*found;
  };
  for (const auto& [name, margin] : criteria.protected_slices)
    if (!measured(name)) checks.push_back(missing(of("protected_slices", name), "accuracy of this slice was"));
  for (const auto& [name, bound] : criteria.slice_latency_p99_seconds) {
    const SliceEvidence* slice = measured(name);
    checks.push_back(judge_latency(of("slice_latency_p99_seconds", name), bound, criteria.confidence,
                                   slice ? slice->candidate_latency : std::nullopt));
  }
  return {};
}

void judge_fairness(const Criteria& criteria, const Evidence& evidence, std::vector<Check>& checks) {
  const auto each = [&](const char* name, const std::optional<double>& bound, const char* what, const auto& judged) {
    if (!bound) return;
    if (evidence.fairness.empty()) checks.push_back(missing(name, what));
    for (const FairnessEvidence& fairness : evidence.fairness)
      checks.push_back(judged(of(name, fairness.dimension), *bound, fairness));
  };
  each("max_demographic_parity_increase", criteria.max_demographic_parity_increase, "demographic parity was",
       [&](std::string name, double bound, const FairnessEvidence& f) {
         return judge_change(std::move(name), bound, criteria.confidence,
                             {f.baseline_demographic_parity, f.candidate_demographic_parity,
                              f.demographic_parity_increase, "demographic parity difference", "difference"},
                             true);
       });
  each("max_equalized_odds_increase", criteria.max_equalized_odds_increase, "equalized odds were",
       [&](std::string name, double bound, const FairnessEvidence& f) {
         return judge_change(std::move(name), bound, criteria.confidence,
                             {f.baseline_equalized_odds, f.candidate_equalized_odds, f.equalized_odds_increase,
                              "equalized odds difference", "difference"},
                             true);
       });
  each("max_disparate_flip_ratio", criteria.max_disparate_flip_ratio, "flips by group were",
       [&](std::string name, double bound, const FairnessEvidence& f) {
         if (!f.disparate_flip_ratio) return missing(std::move(name), "flips by group were");
         const std::string found =
             fmt::format("{:.3g} times as many negative flips in {} as in all rows", *f.disparate_flip_ratio,
                         f.worst_flip_group.empty() ? std::string("the worst group") : "'" + f.worst_flip_group + "'");
         if (!f.disparate_flip_interval) return judge_plain(std::move(name), *f.disparate_flip_ratio, bound, found, {});
         const stats::Interval& i = *f.disparate_flip_interval;
         return explain(std::move(name), {*f.disparate_flip_ratio, bound, (1 + i.level) / 2, i.lower, i.upper, true},
                        criteria.confidence, found, "", "measure more rows");
       });
}

Check judge_cost(double bound, const Evidence& evidence) {
  constexpr const char* name = "max_monthly_cost_ratio";
  if (!evidence.baseline_monthly_cost || !evidence.candidate_monthly_cost)
    return missing(name, "costs of both models were");
  const double before = *evidence.baseline_monthly_cost, after = *evidence.candidate_monthly_cost;
  return judge_plain(name, after / before, bound,
                     fmt::format("{:.2f} -> {:.2f} a month, {:.4g} of the cost", before, after, after / before),
                     {{"baseline_monthly_cost", before}, {"candidate_monthly_cost", after}});
}

Outcome joined(const std::vector<Check>& checks) {
  const auto any = [&](Outcome outcome) {
    return std::any_of(checks.begin(), checks.end(), [&](const Check& c) { return c.outcome == outcome; });
  };
  if (any(Outcome::fail)) return Outcome::fail;
  return any(Outcome::insufficient_data) ? Outcome::insufficient_data : Outcome::pass;
}

} // namespace

Result<Verdict> judge(const Criteria& criteria, const Evidence& evidence) {
  MCOMP_CHECK(check(criteria));
  MCOMP_CHECK(check_evidence(evidence));
  Verdict verdict;
  std::vector<Check>& checks = verdict.checks;
  const double confidence = criteria.confidence;
  if (criteria.max_accuracy_loss) {
    if (!evidence.accuracy || *evidence.accuracy == stats::PairedCounts{}) {
      checks.push_back(missing("max_accuracy_loss", "accuracy was"));
    } else {
      auto judged = judge_accuracy("max_accuracy_loss", *criteria.max_accuracy_loss, confidence, *evidence.accuracy);
      if (!judged) return impossible("accuracy", judged.error().rule());
      checks.push_back(*std::move(judged));
    }
  }
  if (criteria.min_speedup) checks.push_back(judge_speedup(*criteria.min_speedup, confidence, evidence));
  if (criteria.max_latency_p99_seconds)
    checks.push_back(judge_latency("max_latency_p99_seconds", *criteria.max_latency_p99_seconds, confidence,
                                   evidence.candidate_latency));
  if (criteria.max_size_ratio) checks.push_back(judge_size(*criteria.max_size_ratio, evidence));
  if (criteria.max_ece_increase)
    checks.push_back(judge_change(
        "max_ece_increase", *criteria.max_ece_increase, confidence,
        {evidence.baseline_ece, evidence.candidate_ece, evidence.ece_increase, "calibration error", "ece"}, true));
  if (criteria.max_monthly_cost_ratio) checks.push_back(judge_cost(*criteria.max_monthly_cost_ratio, evidence));
  if (criteria.max_memory_ratio) checks.push_back(judge_memory(*criteria.max_memory_ratio, evidence));
  if (criteria.max_loss_increase)
    checks.push_back(judge_change(
        "max_loss_increase", *criteria.max_loss_increase, confidence,
        {evidence.baseline_loss, evidence.candidate_loss, evidence.loss_increase, "mean loss", "loss"}, false));
  if (criteria.max_negative_flip_fraction)
    checks.push_back(judge_negative_flips(*criteria.max_negative_flip_fraction, confidence, evidence));
  MCOMP_CHECK(judge_slices(criteria, evidence, checks));
  judge_fairness(criteria, evidence, checks);
  if (criteria.min_samples) checks.push_back(judge_samples(*criteria.min_samples, evidence));
  verdict.outcome = joined(checks);
  return verdict;
}

Result<std::vector<SliceLoss>> harmed_slices(const Evidence& evidence, double level) {
  if (!(level > 0 && level < 1))
    return Error(ErrorCode::invalid_argument, "level", fmt::format("it is {}", level),
                 "use one within (0, 1), such as 0.05");
  std::vector<SliceLoss> losses;
  std::vector<double> p_values;
  for (const SliceEvidence& slice : evidence.slices) {
    if (const Status valid = check_slice(slice); !valid) return valid.error().within(slice.name);
    if (slice.accuracy.pairs() == 0) continue;
    const auto b = static_cast<double>(slice.accuracy.only_baseline_right);
    const auto c = static_cast<double>(slice.accuracy.only_candidate_right);
    losses.push_back(
        {.name = slice.name,
         .loss = slice.accuracy.loss(),
         .p_value = b == 0 ? 1 : stats::incomplete_beta(b, c + 1, 0.5)}); // P(B >= b), B ~ Binomial(b + c, 1/2)
    p_values.push_back(std::clamp(losses.back().p_value, 0.0, 1.0));
  }
  MCOMP_TRY(adjusted, stats::adjust_p_values(p_values, stats::Correction::benjamini_yekutieli));
  for (std::size_t i = 0; i < losses.size(); ++i) losses[i].adjusted_p_value = adjusted[i];
  std::erase_if(losses, [&](const SliceLoss& loss) { return loss.adjusted_p_value > level; });
  std::stable_sort(losses.begin(), losses.end(),
                   [](const SliceLoss& a, const SliceLoss& b) { return a.p_value < b.p_value; });
  return losses;
}

} // namespace mcomp::inline v0::evaluate
