#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/verdict.hpp"

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

Status check_evidence(const Evidence& evidence) {
  constexpr double most = 1e300;
  for (const auto& [name, latency] : {std::pair{"baseline_latency", &evidence.baseline_latency},
                                      std::pair{"candidate_latency", &evidence.candidate_latency}})
    if (*latency) {
      MCOMP_CHECK(check_estimate(name, (*latency)->p50));
      MCOMP_CHECK(check_estimate(name, (*latency)->p99));
    }
  if (evidence.paired_speedup) MCOMP_CHECK(check_estimate("paired_speedup", *evidence.paired_speedup));
  for (const auto& [name, bytes] :
       {std::pair{"baseline_bytes", &evidence.baseline_bytes}, std::pair{"candidate_bytes", &evidence.candidate_bytes}})
    if (*bytes && **bytes < 1) return impossible(name, fmt::format("at least 1 byte is needed, it is {}", **bytes));
  MCOMP_CHECK(check_number("baseline_ece", evidence.baseline_ece, true, 1));
  MCOMP_CHECK(check_number("candidate_ece", evidence.candidate_ece, true, 1));
  MCOMP_CHECK(check_number("baseline_monthly_cost", evidence.baseline_monthly_cost, false, most));
  MCOMP_CHECK(check_number("candidate_monthly_cost", evidence.candidate_monthly_cost, true, most));
  return {};
}

// --- One function a criterion

Check missing(const char* name, const char* what) {
  return {.name = name, .outcome = Outcome::insufficient_data, .sentence = fmt::format("{} not measured", what)};
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

Result<Check> judge_accuracy(double margin, double confidence, const Evidence& evidence) {
  if (!evidence.accuracy || *evidence.accuracy == stats::PairedCounts{})
    return missing("max_accuracy_loss", "accuracy was");
  const stats::PairedCounts& counts = *evidence.accuracy;
  MCOMP_TRY(upper, stats::tango_upper_limit(counts, confidence));
  MCOMP_TRY(lower, stats::tango_upper_limit(counts, 1 - confidence));
  MCOMP_TRY(resolvable, stats::smallest_resolvable_margin(counts, confidence));
  Check check{.name = "max_accuracy_loss",
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
Check explain(const char* name, const Bounded& b, double required, const std::string& found, const char* unit) {
  Check check{.name = name, .outcome = decide(b, required)};
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
                          : std::string(": measure more requests");
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

Check judge_latency(double bound, double required, const Evidence& evidence) {
  constexpr const char* name = "max_latency_p99_seconds";
  if (!evidence.candidate_latency) return missing(name, "latency of the candidate was");
  const stats::QuantileEstimate& p99 = evidence.candidate_latency->p99;
  const Bounded b{p99.value, bound, one_sided(p99), p99.lower, p99.upper, true};
  return explain(name, b, required, fmt::format("p99 {:.4g} seconds of {} requests", p99.value, p99.count), "_seconds");
}

Check judge_plain(const char* name, double value, double bound, std::string found, std::vector<Measurement> numbers) {
  numbers.insert(numbers.begin(), {{"value", value}, {"bound", bound}});
  return {.name = name,
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

Check judge_ece(double bound, const Evidence& evidence) {
  constexpr const char* name = "max_ece_increase";
  if (!evidence.baseline_ece || !evidence.candidate_ece) return missing(name, "calibration errors of both models were");
  const double before = *evidence.baseline_ece, after = *evidence.candidate_ece;
  return judge_plain(name, after - before, bound,
                     fmt::format("calibration error {:.4g} -> {:.4g}, {:+.4g}", before, after, after - before),
                     {{"baseline_ece", before}, {"candidate_ece", after}});
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
  if (criteria.max_accuracy_loss) {
    auto accuracy = judge_accuracy(*criteria.max_accuracy_loss, criteria.confidence, evidence);
    if (!accuracy) return impossible("accuracy", accuracy.error().rule());
    checks.push_back(*std::move(accuracy));
  }
  if (criteria.min_speedup) checks.push_back(judge_speedup(*criteria.min_speedup, criteria.confidence, evidence));
  if (criteria.max_latency_p99_seconds)
    checks.push_back(judge_latency(*criteria.max_latency_p99_seconds, criteria.confidence, evidence));
  if (criteria.max_size_ratio) checks.push_back(judge_size(*criteria.max_size_ratio, evidence));
  if (criteria.max_ece_increase) checks.push_back(judge_ece(*criteria.max_ece_increase, evidence));
  if (criteria.max_monthly_cost_ratio) checks.push_back(judge_cost(*criteria.max_monthly_cost_ratio, evidence));
  if (criteria.min_samples) checks.push_back(judge_samples(*criteria.min_samples, evidence));
  verdict.outcome = joined(checks);
  return verdict;
}

} // namespace mcomp::inline v0::evaluate
