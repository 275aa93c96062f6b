#include "mcomp/stats/power.hpp"

#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "stats/interval.hpp"
#include "stats/tango.hpp"

namespace mcomp::inline v0::stats {

namespace {

/// An effect and the deviation of one observation of its estimate, under the null hypothesis and under the truth.
struct Problem {
  double effect, null_deviation, true_deviation;
};

double critical(const ErrorRates& rates) {
  return -normal_quantile(rates.two_sided ? rates.alpha / 2 : rates.alpha);
}

Status check(const ErrorRates& rates) {
  MCOMP_CHECK(detail::check_level(rates.alpha, "alpha"));
  return detail::check_level(rates.power, "power");
}

Status check_deviation(double deviation) {
  if (deviation > 0 && std::isfinite(deviation)) return {};
  return Error(ErrorCode::invalid_argument, "deviation",
               fmt::format("it must be positive and finite, it is {}", deviation), "pass a standard deviation");
}

Status check_effect(double effect) {
  if (effect != 0 && std::isfinite(effect)) return {};
  return Error(ErrorCode::invalid_argument, "effect", fmt::format("no sample finds an effect of {}", effect),
               "pass the smallest effect that matters");
}

Result<std::int64_t> sample_size(const Problem& problem, const ErrorRates& rates) {
  const double reach = critical(rates) * problem.null_deviation + normal_quantile(rates.power) * problem.true_deviation;
  const double n = std::ceil(std::pow(std::max(reach, 0.0) / problem.effect, 2) * (1 - 1e-12));
  if (!(n <= 0x1p53))
    return Error(ErrorCode::invalid_argument, "effect",
                 fmt::format("an effect of {} takes more than 2^53 observations", problem.effect),
                 "pass a larger effect or margin");
  return std::max<std::int64_t>(2, static_cast<std::int64_t>(n));
}

Result<double> power(std::int64_t n, const Problem& problem, const ErrorRates& rates) {
  if (n < 2)
    return Error(ErrorCode::invalid_argument, "observations", fmt::format("at least 2, there are {}", n),
                 "pass the size of the sample");
  return normal_cdf(
      (std::sqrt(static_cast<double>(n)) * std::abs(problem.effect) - critical(rates) * problem.null_deviation) /
      problem.true_deviation);
}

Result<Problem> mean_problem(double difference, double deviation, const ErrorRates& rates) {
  MCOMP_CHECK(check(rates));
  MCOMP_CHECK(check_deviation(deviation));
  MCOMP_CHECK(check_effect(difference));
  return Problem{difference, deviation, deviation};
}

Result<Problem> means_problem(double difference, double a, double b, const ErrorRates& rates) {
  MCOMP_CHECK(check_deviation(a));
  MCOMP_CHECK(check_deviation(b));
  return mean_problem(difference, std::hypot(a, b), rates);
}

Result<Problem> proportions_problem(double a, double b, const ErrorRates& rates) {
  MCOMP_CHECK(check(rates));
  MCOMP_CHECK(detail::check_level(a, "p_a"));
  MCOMP_CHECK(detail::check_level(b, "p_b"));
  MCOMP_CHECK(check_effect(b - a));
  const double pooled = 0.5 * (a + b);
  return Problem{b - a, std::sqrt(2 * pooled * (1 - pooled)), std::sqrt(a * (1 - a) + b * (1 - b))};
}

Result<Problem> paired_problem(const PairedProportions& truth, ErrorRates& rates) {
  MCOMP_CHECK(check(rates));
  MCOMP_CHECK(detail::check_level(truth.discordant, "discordant"));
  if (!(std::abs(truth.loss) <= truth.discordant))
    return Error(
        ErrorCode::invalid_argument, "loss",
        fmt::format("a loss of {} needs at least as many disagreements, there are {}", truth.loss, truth.discordant),
        "pass fractions of the inputs");
  if (!(truth.margin >= 0 && truth.margin < 1) || (truth.margin > 0 && !(truth.loss < truth.margin)))
    return Error(ErrorCode::invalid_argument, "margin",
                 fmt::format("it must lie between the loss {} and 1, it is {}", truth.loss, truth.margin),
                 "pass a margin above the loss, or 0 to test for any loss");
  const double true_variance = truth.discordant - truth.loss * truth.loss;
  if (truth.margin == 0) {
    MCOMP_CHECK(check_effect(truth.loss));
    return Problem{truth.loss, std::sqrt(truth.discordant), std::sqrt(true_variance)};
  }
  rates.two_sided = false;
  const detail::Tango expected{0.5 * (truth.discordant + truth.loss), 0.5 * (truth.discordant - truth.loss), 1};
  return Problem{truth.margin - truth.loss, std::sqrt(expected.variance(truth.margin)), std::sqrt(true_variance)};
}

} // namespace

Result<std::int64_t> sample_size_mean(double difference, double deviation, const ErrorRates& rates) {
  MCOMP_TRY(problem, mean_problem(difference, deviation, rates));
  return sample_size(problem, rates);
}
Result<double> power_mean(std::int64_t observations, double difference, double deviation, const ErrorRates& rates) {
  MCOMP_TRY(problem, mean_problem(difference, deviation, rates));
  return power(observations, problem, rates);
}

Result<std::int64_t> sample_size_means(double difference, double deviation_a, double deviation_b,
                                       const ErrorRates& rates) {
  MCOMP_TRY(problem, means_problem(difference, deviation_a, deviation_b, rates));
  return sample_size(problem, rates);
}
Result<double> power_means(std::int64_t observations_each, double difference, double deviation_a, double deviation_b,
                           const ErrorRates& rates) {
  MCOMP_TRY(problem, means_problem(difference, deviation_a, deviation_b, rates));
  return power(observations_each, problem, rates);
}

Result<std::int64_t> sample_size_proportions(double p_a, double p_b, const ErrorRates& rates) {
  MCOMP_TRY(problem, proportions_problem(p_a, p_b, rates));
  return sample_size(problem, rates);
}
Result<double> power_proportions(std::int64_t observations_each, double p_a, double p_b, const ErrorRates& rates) {
  MCOMP_TRY(problem, proportions_problem(p_a, p_b, rates));
  return power(observations_each, problem, rates);
}

Result<std::int64_t> sample_size_paired(const PairedProportions& truth, const ErrorRates& rates) {
  ErrorRates used = rates;
  MCOMP_TRY(problem, paired_problem(truth, used));
  return sample_size(problem, used);
}
Result<double> power_paired(std::int64_t pairs, const PairedProportions& truth, const ErrorRates& rates) {
  ErrorRates used = rates;
  MCOMP_TRY(problem, paired_problem(truth, used));
  return power(pairs, problem, used);
}

} // namespace mcomp::inline v0::stats
