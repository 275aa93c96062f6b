#include "mcomp/stats/sequential_difference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "stats/interval.hpp"
#include "stats/root.hpp"
#include "stats/stakes.hpp"

namespace mcomp::inline v0::stats {

namespace {

/// Gaps beyond the null hypothesis: .98 of the largest there is, then smaller by sqrt(2) each.
double gap_size(std::size_t k, double null) {
  return 0.98 * (1 - null) * std::exp2(-0.5 * static_cast<double>(k));
}

struct Pair {
  double first, second; ///< success probabilities
};

/// The pair with first - second = `difference` that the counts so far speak for, within the unit square with room for
/// either outcome. `expected` counts as much as two trials.
Pair pair_at(double difference, const SuccessCounts& first, const SuccessCounts& second, double expected) {
  const auto n1 = static_cast<double>(first.trials), n2 = static_cast<double>(second.trials);
  const double sum =
      2 * expected + static_cast<double>(first.successes) + static_cast<double>(second.successes) + n2 * difference;
  const double low = std::max(difference, 0.0), high = 1 + std::min(difference, 0.0);
  const double room = std::min(1e-4, 0.25 * (high - low));
  const double p = std::clamp(sum / (n1 + n2 + 2), low + room, high - room);
  return {p, p - difference};
}

/// Of the pairs with first - second = `null` the one with the least n1 KL(p.first || .) + n2 KL(p.second || .).
Pair nearest(const Pair& p, double null, double n1, double n2) {
  const double low = std::max(null, 0.0), high = 1 + std::min(null, 0.0);
  const auto slope = [&](double x) {
    const double y = x - null;
    return n1 * (x - p.first) / (x * (1 - x)) + n2 * (y - p.second) / (y * (1 - y));
  };
  // Between what either probability likes best, and within the square.
  constexpr double edge = 1e-12;
  const double from = std::max(p.second + null, low + edge), to = std::min(p.first, high - edge);
  const double x = detail::find_root(slope, from, to, 1e-15);
  return {x, x - null};
}

/// log of the likelihood of p by that of q.
double log_ratio(const SuccessCounts& counts, double p, double q) {
  return static_cast<double>(counts.successes) * std::log(p / q) +
         static_cast<double>(counts.trials - counts.successes) * std::log((1 - p) / (1 - q));
}

bool possible(const SuccessCounts& counts) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  return counts.successes >= 0 && counts.successes <= counts.trials && counts.trials <= most;
}

} // namespace

SequentialDifferenceTest::SequentialDifferenceTest(const SequentialDifferenceOptions& options) noexcept
    : options_(options), sides_(options.alternative == Alternative::two_sided ? 2 : 1) {
  const auto sides = static_cast<double>(sides_);
  const double variance = 2 * options.expected_success * (1 - options.expected_success);
  for (std::size_t side = 0; side < sides_; ++side) {
    // The gap that the planned trials of either group can just find.
    const double null =
        (side == 0) == (options.alternative != Alternative::less) ? options.null_loss : -options.null_loss;
    const auto weights = detail::stakes<bets>(
        gap_size(0, null), std::sqrt(2 * std::log(sides / options.alpha) * variance / options.planned_trials));
    for (std::size_t k = 0; k < bets; ++k) log_capital_[side * bets + k] = std::log(weights[k] / sides);
  }
}

Result<SequentialDifferenceTest> SequentialDifferenceTest::create(const SequentialDifferenceOptions& options) {
  MCOMP_CHECK(detail::check_level(options.alpha, "alpha"));
  MCOMP_CHECK(detail::check_level(options.expected_success, "expected_success"));
  if (!(options.null_loss > -1 && options.null_loss < 1))
    return Error(ErrorCode::invalid_argument, "null_loss",
                 fmt::format("a loss lies within (-1, 1), it is {}", options.null_loss),
                 "pass a difference of two probabilities");
  if (!(options.planned_trials > 0 && std::isfinite(options.planned_trials)))
    return Error(ErrorCode::invalid_argument, "planned_trials",
                 fmt::format("it must be positive and finite, it is {}", options.planned_trials),
                 "pass how many observations are expected");
  return SequentialDifferenceTest(options);
}

Status SequentialDifferenceTest::update(const SuccessCounts& baseline, const SuccessCounts& candidate) {
  for (const SuccessCounts& counts : {baseline, candidate})
    if (!possible(counts))
      return Error(ErrorCode::invalid_value, "counts",
                   fmt::format("{} successes of {} trials", counts.successes, counts.trials),
                   "give what was seen since the last look");
  for (const std::size_t arm : {0U, 1U}) {
    const SuccessCounts& counts = arm == 0 ? baseline : candidate;
    block_[arm].successes += counts.successes;
    block_[arm].trials += counts.trials;
  }
  if (std::min(block_[0].trials, block_[1].trials) >= block) close_block();
  return {};
}

void SequentialDifferenceTest::close_block() noexcept {
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t side = 0; side < sides_; ++side) {
    // That the loss is less is that the other group's loss is greater.
    const bool greater = (side == 0) == (options_.alternative != Alternative::less);
    const std::size_t first = greater ? 0 : 1, second = 1 - first;
    const double null = greater ? options_.null_loss : -options_.null_loss;
    const double expected = std::clamp(options_.expected_success - (greater ? 0 : options_.null_loss), 0.0, 1.0);
    const auto n1 = static_cast<double>(block_[first].trials), n2 = static_cast<double>(block_[second].trials);
    for (std::size_t k = 0; k < bets; ++k) {
      // Only what was seen before the block decides what is bet on it.
      const Pair p = pair_at(null + gap_size(k, null), closed_[first], closed_[second], expected);
      const Pair q = nearest(p, null, n1, n2);
      double& capital = log_capital_[side * bets + k];
      capital += log_ratio(block_[first], p.first, q.first) + log_ratio(block_[second], p.second, q.second);
      capital = std::min(capital, std::log(detail::most_capital) - std::log(static_cast<double>(2 * bets)));
      largest = std::max(largest, capital);
    }
  }
  double sum = 0;
  for (std::size_t k = 0; k < sides_ * bets; ++k) sum += std::exp(log_capital_[k] - largest);
  evidence_.update(std::exp(std::min(largest + std::log(sum), 640.0)));
  for (const std::size_t arm : {0U, 1U}) {
    closed_[arm].successes += block_[arm].successes;
    closed_[arm].trials += block_[arm].trials;
    block_[arm] = {};
  }
}

SuccessCounts SequentialDifferenceTest::baseline() const noexcept {
  return {closed_[0].successes + block_[0].successes, closed_[0].trials + block_[0].trials};
}
SuccessCounts SequentialDifferenceTest::candidate() const noexcept {
  return {closed_[1].successes + block_[1].successes, closed_[1].trials + block_[1].trials};
}

double SequentialDifferenceTest::loss() const noexcept {
  const auto rate = [](const SuccessCounts& counts) {
    return static_cast<double>(counts.successes) / static_cast<double>(counts.trials);
  };
  if (baseline().trials == 0 || candidate().trials == 0) return std::numeric_limits<double>::quiet_NaN();
  return rate(baseline()) - rate(candidate());
}

} // namespace mcomp::inline v0::stats
