#include "mcomp/stats/sequential_test.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/uniform_boundary.hpp"
#include "stats/beta_mixture.hpp"
#include "stats/interval.hpp"
#include "stats/root.hpp"
#include "stats/stakes.hpp"

namespace mcomp::inline v0::stats {

namespace {

using detail::most_capital;
using detail::stakes;

/// The k-th bet as a part of the largest one that cannot ruin: .98, then smaller by sqrt(2) each.
double bet_size(std::size_t k) {
  return 0.98 * std::exp2(-0.5 * static_cast<double>(k));
}

Status check_planned(double planned, const char* name) {
  if (planned > 0 && std::isfinite(planned)) return {};
  return Error(ErrorCode::invalid_argument, name, fmt::format("it must be positive and finite, it is {}", planned),
               "pass how many observations are expected");
}

} // namespace

SequentialProportion::SequentialProportion(const SequentialProportionOptions& options,
                                           const BetaBinomialMixture& mixture) noexcept
    : options_(options), mixture_(mixture),
      concentration_(detail::CentredBetaMixture{options.planned_trials, options.alpha}.concentration()) {}

Result<SequentialProportion> SequentialProportion::create(const SequentialProportionOptions& options) {
  MCOMP_CHECK(detail::check_level(options.alpha, "alpha"));
  MCOMP_CHECK(detail::check_level(options.null_value, "null_value"));
  MCOMP_CHECK(check_planned(options.planned_trials, "planned_trials"));
  const double p = options.null_value, q = 1 - p;
  const bool one_sided = options.alternative != Alternative::two_sided;
  const bool less = options.alternative == Alternative::less; // failures above 1 - p
  MCOMP_TRY(mixture, BetaBinomialMixture::create({.variance = p * q * options.planned_trials, .alpha = options.alpha},
                                                 less ? q : p, less ? p : q, one_sided));
  return SequentialProportion(options, mixture);
}

void SequentialProportion::update(bool success) noexcept {
  const double p = options_.null_value, q = 1 - p;
  // The predictive probability of what came, under the Beta(c p, c q) prior, by that under the null hypothesis.
  const auto n = static_cast<double>(successes_ + failures_), c = concentration_;
  log_e_ += success ? std::log((c * p + static_cast<double>(successes_)) / ((c + n) * p))
                    : std::log((c * q + static_cast<double>(failures_)) / ((c + n) * q));
  ++(success ? successes_ : failures_);
  double log_e = log_e_;
  if (options_.alternative != Alternative::two_sided) {
    const double sum = q * static_cast<double>(successes_) - p * static_cast<double>(failures_);
    log_e = mixture_.log_mixture(options_.alternative == Alternative::greater ? sum : -sum, p * q * (n + 1));
  }
  evidence_.update(std::exp(std::min(log_e, 640.0)));
}

Interval SequentialProportion::interval() const noexcept {
  const Interval everything{0, 1, 1 - options_.alpha};
  if (trials() == 0) return everything;
  return bernoulli_confidence_interval(successes_, trials(),
                                       {.level = 1 - options_.alpha, .planned_trials = options_.planned_trials})
      .value_or(everything);
}

SequentialPairedDifference::SequentialPairedDifference(const SequentialPairedOptions& options) noexcept
    : options_(options), sides_(options.alternative == Alternative::two_sided ? 2 : 1) {
  // Against variance v a bet of sqrt(2 log(1 / alpha) / (n v)) is the best for what n pairs can just find.
  const double level = static_cast<double>(sides_) / options.alpha;
  weights_ = stakes<bets>(bet_size(0),
                          std::sqrt(2 * std::log(level) / (options.planned_pairs * options.expected_disagreement)));
  for (std::size_t k = 0; k < 2 * bets; ++k) capital_[k] = weights_[k % bets] / static_cast<double>(sides_);
  const bool less_first = options.alternative == Alternative::less;
  const double null = options.null_loss;
  for (std::size_t side = 0; side < 2; ++side)
    for (std::size_t k = 0; k < bets; ++k) {
      // A bet on a greater loss is ruined by -1 - null at 1 / (1 + null), one on a smaller loss by 1 - null.
      const bool greater = (side == 0) != less_first;
      const double lambda = greater ? bet_size(k) / (1 + null) : -bet_size(k) / (1 - null);
      for (int x = -1; x <= 1; ++x)
        factors_[static_cast<std::size_t>(x + 1)][side * bets + k] = 1 + lambda * (x - null);
    }
}

Result<SequentialPairedDifference> SequentialPairedDifference::create(const SequentialPairedOptions& options) {
  MCOMP_CHECK(detail::check_level(options.alpha, "alpha"));
  if (!(options.null_loss > -1 && options.null_loss < 1))
    return Error(ErrorCode::invalid_argument, "null_loss",
                 fmt::format("a loss lies within (-1, 1), it is {}", options.null_loss),
                 "pass a fraction of the inputs");
  MCOMP_CHECK(check_planned(options.planned_pairs, "planned_pairs"));
  MCOMP_CHECK(detail::check_level(options.expected_disagreement, "expected_disagreement"));
  return SequentialPairedDifference(options);
}

void SequentialPairedDifference::update(bool baseline_right, bool candidate_right) noexcept {
  const int x = static_cast<int>(baseline_right) - static_cast<int>(candidate_right);
  ++(x == 0 ? (baseline_right ? counts_.both_right : counts_.both_wrong)
            : (x > 0 ? counts_.only_baseline_right : counts_.only_candidate_right));
  // Equal answers say nothing about the loss being 0.
  if (x == 0 && options_.null_loss == 0) return;
  const auto& factors = factors_[static_cast<std::size_t>(x + 1)];
  const std::size_t n = sides_ * bets;
  double sum = 0;
  for (std::size_t k = 0; k < n; ++k) sum += capital_[k] *= factors[k];
  if (sum > most_capital)
    for (std::size_t k = 0; k < n; ++k) capital_[k] = std::min(capital_[k], most_capital / static_cast<double>(n));
  evidence_.update(sum);
}

Status SequentialPairedDifference::update(const PairedCounts& counts) {
  constexpr std::int64_t most = std::int64_t{1} << 53;
  for (const std::int64_t count :
       {counts.both_right, counts.only_baseline_right, counts.only_candidate_right, counts.both_wrong})
    if (count < 0 || count > most)
      return Error(ErrorCode::invalid_value, "counts", fmt::format("one is {}", count), "give 0 to 2^53 pairs");
  if (counts.pairs() == 0) return {};
  counts_ += counts;
  const std::array<double, 3> times = {static_cast<double>(counts.only_candidate_right),
                                       static_cast<double>(counts.both_right + counts.both_wrong),
                                       static_cast<double>(counts.only_baseline_right)};
  const std::size_t n = sides_ * bets;
  double sum = 0;
  for (std::size_t k = 0; k < n; ++k) {
    double log_gain = 0;
    for (std::size_t x = 0; x < 3; ++x) log_gain += times[x] * std::log(factors_[x][k]);
    const double most_log = std::log(most_capital) - std::log(static_cast<double>(n));
    sum += capital_[k] = std::exp(std::min(std::log(capital_[k]) + log_gain, most_log));
  }
  evidence_.update(sum);
  return {};
}

Interval SequentialPairedDifference::loss_interval() const noexcept {
  const Interval everything{-1, 1, 1 - options_.alpha};
  const std::int64_t n = counts_.pairs();
  if (n == 0) return everything;
  const double mean = counts_.loss(), threshold = std::log(2 / options_.alpha);
  // log of the mean capital of the bets that the loss is greater than delta, after b ones, c minus ones and zeros. It
  // falls with delta, since each bet theta / (1 + delta) gains theta ((x + 1) / (1 + delta) - 1).
  const auto excess = [&](double b, double c, double delta) {
    const auto zeros = static_cast<double>(n) - b - c;
    double logs[bets], largest = -1e300;
    for (std::size_t k = 0; k < bets; ++k) {
      const double lambda = bet_size(k) / (1 + delta);
      logs[k] =
          b * std::log1p(lambda * (1 - delta)) + zeros * std::log1p(-lambda * delta) + c * std::log1p(-bet_size(k));
      largest = std::max(largest, logs[k]);
    }
    double sum = 0;
    for (std::size_t k = 0; k < bets; ++k) sum += weights_[k] * std::exp(logs[k] - largest);
    return largest + std::log(sum) - threshold;
  };
  const auto lower = [&](double b, double c, double estimate) {
    constexpr double edge = -1 + 0x1p-50;
    const auto at = [&](double delta) { return excess(b, c, delta); };
    if (estimate <= edge || at(edge) <= 0) return -1.0;
    return detail::find_root(at, edge, std::min(estimate, 1 - 0x1p-50), 1e-12);
  };
  const auto b = static_cast<double>(counts_.only_baseline_right),
             c = static_cast<double>(counts_.only_candidate_right);
  return {lower(b, c, mean), -lower(c, b, -mean), 1 - options_.alpha};
}

SequentialABTest::SequentialABTest(const SequentialABOptions& options) noexcept : options_(options) {
  // The information on a log odds ratio is p (1 - p) n / 4.
  constexpr double largest = 4;
  const double sides = options.alternative == Alternative::two_sided ? 2 : 1, p = options.expected_success;
  const double information = p * (1 - p) * options.planned_observations / 4;
  const auto weights = stakes<bets>(largest, std::sqrt(2 * std::log(sides / options.alpha) / information));
  for (std::size_t k = 0; k < 2 * bets; ++k) capital_[k] = weights[k % bets] / sides;
  for (std::size_t k = 0; k < bets; ++k) {
    // Odds ratios from e^4 = 55 down to e^.006, each logarithm smaller by sqrt(2).
    const double log_odds = largest * std::exp2(-0.5 * static_cast<double>(k));
    odds_[k] = std::exp(log_odds);
    odds_[bets + k] = std::exp(-log_odds);
  }
  if (options.alternative == Alternative::less) std::rotate(odds_.begin(), odds_.begin() + bets, odds_.end());
}

Result<SequentialABTest> SequentialABTest::create(const SequentialABOptions& options) {
  MCOMP_CHECK(detail::check_level(options.alpha, "alpha"));
  MCOMP_CHECK(check_planned(options.planned_observations, "planned_observations"));
  MCOMP_CHECK(detail::check_level(options.expected_success, "expected_success"));
  return SequentialABTest(options);
}

void SequentialABTest::update(int arm, bool success) noexcept {
  ++trials_[arm];
  successes_[arm] += success;
  ++block_trials_[arm];
  block_successes_[arm] += success;
  if (block_trials_[0] >= block && block_trials_[1] >= block) close_block();
}

void SequentialABTest::close_block() noexcept {
  // The arm that came last has exactly `block` observations; the weights of its successes j, given the total, are
  // C(block, j) C(others, total - j) odds^j with the odds of that arm.
  const int small = block_trials_[0] == block ? 0 : 1;
  const std::int64_t others = block_trials_[1 - small], total = block_successes_[0] + block_successes_[1];
  const std::int64_t first = std::max<std::int64_t>(0, total - others), last = std::min(block, total);
  if (first < last) { // otherwise the total says it all
    std::array<double, static_cast<std::size_t>(block) + 1> weights{};
    const auto count = static_cast<std::size_t>(last - first) + 1;
    weights[0] = 1;
    double sum = 1;
    for (std::size_t i = 1; i < count; ++i) {
      const auto j = first + static_cast<std::int64_t>(i);
      weights[i] = weights[i - 1] * static_cast<double>(block - j + 1) / static_cast<double>(j) *
                   (static_cast<double>(total - j + 1) / static_cast<double>(others - total + j));
      sum += weights[i];
    }
    const auto seen = static_cast<std::size_t>(block_successes_[small] - first);
    const std::size_t n = options_.alternative == Alternative::two_sided ? 2 * bets : bets;
    double wealth = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const double odds = small == 1 ? odds_[k] : 1 / odds_[k];
      double power = 1, noncentral = 0, at_seen = 1;
      for (std::size_t i = 0; i < count; ++i) {
        noncentral += weights[i] * power;
        if (i == seen) at_seen = power;
        power *= odds;
      }
      capital_[k] *= at_seen * sum / noncentral;
      wealth += capital_[k];
    }
    if (wealth > most_capital)
      for (std::size_t k = 0; k < n; ++k) capital_[k] = std::min(capital_[k], most_capital / static_cast<double>(n));
    evidence_.update(wealth);
  }
  for (const int arm : {0, 1}) block_trials_[arm] = block_successes_[arm] = 0;
}

Interval SequentialABTest::difference_interval() const noexcept {
  Interval interval{-1, 1, 1 - options_.alpha};
  if (trials_[0] == 0 || trials_[1] == 0) return interval;
  const double half = 0.5 * options_.planned_observations, threshold = -std::log(options_.alpha);
  const detail::CentredBetaMixture mixture{.planned = half, .alpha = options_.alpha};
  const auto s0 = static_cast<double>(successes_[0]), n0 = static_cast<double>(trials_[0]);
  const auto s1 = static_cast<double>(successes_[1]), n1 = static_cast<double>(trials_[1]);
  const double p0 = s0 / n0, p1 = s1 / n1;
  constexpr double edge = 1e-12;
  // The least evidence against any pair (p, p + delta); it lies between what either stream likes best, or a little
  // beside, where the mixtures are not quite least at their own estimates.
  const auto excess = [&](double delta) {
    const double low = std::max(edge, edge - delta), high = std::min(1 - edge, 1 - edge - delta);
    const auto evidence = [&](double p) {
      return mixture.log_mixture(s0, n0 - s0, p) + mixture.log_mixture(s1, n1 - s1, p + delta);
    };
    const double a = std::min(p0, p1 - delta), b = std::max(p0, p1 - delta), slack = (b - a) + 1 / std::min(n0, n1);
    const double from = std::clamp(a - slack, low, high), to = std::clamp(b + slack, low, high);
    return evidence(detail::find_minimum(evidence, from, to, 1e-5 * (to - from))) - threshold;
  };
  const double estimate = p1 - p0, lowest = -1 + 4 * edge, highest = 1 - 4 * edge;
  if (estimate > lowest && excess(lowest) > 0) interval.lower = detail::find_root(excess, lowest, estimate, 1e-9);
  if (estimate < highest && excess(highest) > 0) interval.upper = detail::find_root(excess, estimate, highest, 1e-9);
  return interval;
}

} // namespace mcomp::inline v0::stats
