#include "mcomp/cost/online_commitment.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "online_traces.hpp"

using namespace mcomp;
using cost::OnlinePrices;

namespace {

using Demand = std::vector<std::int64_t>;

/// One machine: the best of paying for the hour and of reserving for the term that begins with it.
double offline_of_one(const Demand& demand, const OnlinePrices& prices) {
  std::vector<double> best(demand.size() + 1, 0.0);
  for (std::size_t t = demand.size(); t-- > 0;) {
    const auto at = [&](std::size_t hour) { return static_cast<double>(demand[hour]); };
    best[t] = best[t + 1] + prices.on_demand_per_hour * at(t);
    const std::size_t end = std::min(demand.size(), t + static_cast<std::size_t>(prices.term_hours));
    double reserved = prices.fee + best[end];
    for (std::size_t hour = t; hour < end; ++hour) reserved += prices.reserved_per_hour * at(hour);
    best[t] = std::min(best[t], reserved);
  }
  return best[0];
}

/// All numbers of reservations in every hour.
double brute_force(const Demand& demand, const OnlinePrices& prices, Demand& reserved, std::size_t t) {
  if (t == demand.size()) {
    double cost = 0;
    for (std::size_t hour = 0; hour < demand.size(); ++hour) {
      std::int64_t active = 0;
      for (std::size_t start = 0; start <= hour; ++start)
        if (hour - start < static_cast<std::size_t>(prices.term_hours)) active += reserved[start];
      cost += prices.fee * static_cast<double>(reserved[hour]) +
              prices.reserved_per_hour * static_cast<double>(std::min(active, demand[hour])) +
              prices.on_demand_per_hour * static_cast<double>(std::max<std::int64_t>(0, demand[hour] - active));
    }
    return cost;
  }
  double best = std::numeric_limits<double>::infinity();
  for (reserved[t] = 0; reserved[t] <= 2; ++reserved[t])
    best = std::min(best, brute_force(demand, prices, reserved, t + 1));
  reserved[t] = 0;
  return best;
}

} // namespace

TEST_CASE("competitive ratios: the small EC2 machine of 2013, part E of the reference values") {
  const OnlinePrices prices{.on_demand_per_hour = 0.08, .fee = 69, .reserved_per_hour = 0.039};
  const auto ratios = cost::competitive_ratios(prices).value();
  CHECK(ratios.alpha == Approx(0.4875).epsilon(1e-14));
  CHECK(ratios.deterministic == Approx(1.5125).epsilon(1e-14));
  CHECK(ratios.randomized == Approx(1.232344).margin(5e-7));
  CHECK(ratios.break_even == Approx(69 / 0.5125).epsilon(1e-14));
  CHECK(ratios.break_even_hours == Approx(69 / (0.08 - 0.039)).epsilon(1e-14));
}

TEST_CASE("the random threshold has its density below the break-even point and else never reserves") {
  const OnlinePrices prices{.on_demand_per_hour = 0.5, .fee = 3, .reserved_per_hour = 0.2, .term_hours = 100};
  const auto ratios = cost::competitive_ratios(prices).value();
  CHECK(cost::random_threshold(prices, 0).value() == 0);
  const double atom = ratios.alpha / (std::numbers::e - 1 + ratios.alpha);
  CHECK(std::isinf(cost::random_threshold(prices, 1 - 0.99 * atom).value()));
  CHECK(cost::random_threshold(prices, 1 - 1.01 * atom).value() < ratios.break_even);
  // dz / du is one over the density.
  for (const double u : {0.1, 0.3, 0.5}) {
    const double z = cost::random_threshold(prices, u).value(), h = 1e-6;
    const double slope =
        (cost::random_threshold(prices, u + h).value() - cost::random_threshold(prices, u - h).value()) / (2 * h);
    const double density = (1 - ratios.alpha) * std::exp(z * (1 - ratios.alpha) / prices.fee) /
                           (prices.fee * (std::numbers::e - 1 + ratios.alpha));
    CHECK(slope == Approx(1 / density).epsilon(1e-6));
  }
}

TEST_CASE("the offline optimum equals brute force, and dynamic programming for one machine") {
  Random random(5);
  for (int i = 0; i < 200; ++i) {
    OnlinePrices prices{
        .on_demand_per_hour = 1, .fee = 0.5 + 3 * random.uniform(), .reserved_per_hour = 0.9 * random.uniform()};
    prices.term_hours = 1 + static_cast<std::int64_t>(random.below(6));
    Demand demand(1 + random.below(6));
    for (auto& d : demand) d = static_cast<std::int64_t>(random.below(3));
    Demand reserved(demand.size(), 0);
    CHECK(cost::offline_commitment_cost(demand, prices).value() ==
          Approx(brute_force(demand, prices, reserved, 0)).epsilon(1e-12).margin(1e-12));
    Demand one(60);
    for (auto& d : one) d = static_cast<std::int64_t>(random.below(2));
    prices.term_hours = 5 + static_cast<std::int64_t>(random.below(30));
    CHECK(cost::offline_commitment_cost(one, prices).value() == Approx(offline_of_one(one, prices)).epsilon(1e-12));
  }
}

TEST_CASE("the rule by hand") {
  // Break-even at three hours: the fourth hour of use is reserved, and the term holds for four hours.
  const OnlinePrices prices{.on_demand_per_hour = 1, .fee = 1.5, .reserved_per_hour = 0.5, .term_hours = 4};
  const auto ratios = cost::competitive_ratios(prices).value();
  CHECK(ratios.break_even == 3);
  const Demand steady(9, 1);
  const auto run = cost::reserve_online(steady, prices, ratios.break_even).value();
  CHECK(run.reserved == Demand{0, 0, 0, 1, 0, 0, 0, 0, 0});
  CHECK(run.reservations == 1);
  CHECK(run.on_demand_hours == 5);
  CHECK(run.cost == Approx(1.5 + 5 + 4 * 0.5));
  // A threshold of nothing reserves at the first hour of use, and again when the term is over.
  const auto eager = cost::reserve_online(steady, prices, 0).value();
  CHECK(eager.reserved == Demand{1, 0, 0, 0, 1, 0, 0, 0, 1});
  CHECK(eager.cost == Approx(3 * 1.5 + 9 * 0.5));
  // Two machines are reserved at the same hour where both have passed the threshold.
  CHECK(cost::reserve_online(Demand{2, 2, 2, 2}, prices, 3).value().reserved == Demand{0, 0, 0, 2});
  // A term shorter than the break-even point is never worth the fee.
  CHECK(cost::reserve_online(Demand(20, 3), {.on_demand_per_hour = 1, .fee = 10, .term_hours = 5}, 10)
            .value()
            .reservations == 0);
}

TEST_CASE("the expected cost is the average over draws of the threshold") {
  const OnlinePrices prices{.on_demand_per_hour = 1, .fee = 3.3, .reserved_per_hour = 0.3, .term_hours = 12};
  Random random(1);
  Demand demand(60);
  for (auto& d : demand) d = static_cast<std::int64_t>(random.below(4));
  const double expected = cost::expected_online_cost(demand, prices).value();
  constexpr int draws = 4000;
  double sum = 0, squares = 0;
  for (int i = 0; i < draws; ++i) {
    const double threshold = cost::random_threshold(prices, random.uniform()).value();
    const double one = cost::reserve_online(demand, prices, threshold).value().cost;
    sum += one;
    squares += one * one;
  }
  const double mean = sum / draws, error = std::sqrt((squares / draws - mean * mean) / draws);
  INFO(mean << " +- " << error << " against " << expected);
  CHECK(std::abs(mean - expected) < 4 * error);
}

TEST_CASE("a single stretch of use costs the promised ratio in expectation, however long it is") {
  // With hours that are short against the fee, as the ratio is that of continuous time.
  const OnlinePrices prices{.on_demand_per_hour = 0.01, .fee = 3, .reserved_per_hour = 0.004, .term_hours = 4000};
  const auto ratios = cost::competitive_ratios(prices).value();
  for (const double share : {0.2, 0.9, 1.01, 2.0, 5.0}) {
    const Demand demand(static_cast<std::size_t>(share * ratios.break_even_hours), 1);
    const auto regret = cost::regret(demand, prices).value();
    CHECK(regret.randomized / regret.offline == Approx(ratios.randomized).epsilon(3e-3));
    CHECK(regret.randomized <= ratios.randomized * regret.offline);
  }
}

TEST_CASE("neither rule passes its ratio on random and adversarial traces") {
  // 10^5 of them: bench/cost/commitment.cpp.
  const auto worst = mcomp_test::worst_ratios(2000, 42);
  INFO("deterministic " << worst.deterministic << ", randomized " << worst.randomized);
  CHECK(worst.deterministic_violations == 0);
  CHECK(worst.randomized_violations == 0);
  // The adversary comes close to either bound: the ratios of cost to optimum, over the promised ones.
  CHECK(worst.deterministic > 0.9);
  CHECK(worst.randomized > 0.9);
  CHECK(worst.deterministic <= 1 + 1e-12);
  CHECK(worst.randomized <= 1 + 1e-12);
}

TEST_CASE("regret lies between foresight and the rule") {
  const OnlinePrices prices{.on_demand_per_hour = 1, .fee = 2, .reserved_per_hour = 0.5, .term_hours = 8};
  const Demand demand{0, 1, 2, 1, 1, 2, 2, 0, 0, 1, 1, 1, 1, 0, 3, 0};
  const auto regret = cost::regret(demand, prices).value();
  CHECK(regret.offline <= regret.deterministic);
  CHECK(regret.offline <= regret.randomized);
  CHECK(regret.offline <= regret.on_demand);
  CHECK(regret.on_demand == 16);
  CHECK(regret.deterministic == cost::reserve_online(demand, prices, regret.ratios.break_even).value().cost);
  CHECK(regret.randomized == cost::expected_online_cost(demand, prices).value());
  CHECK(fmt::format("{}", regret).find("with foresight") != std::string::npos);
  CHECK(to_json(regret).find("\"break_even\": 4.0") != std::string::npos);
}

TEST_CASE("online rules refuse what is no demand and no price") {
  const double infinite = std::numeric_limits<double>::infinity();
  const OnlinePrices good{.on_demand_per_hour = 1, .fee = 2, .reserved_per_hour = 0.5, .term_hours = 8};
  const auto refused = [&](auto&& change) {
    OnlinePrices prices = good;
    change(prices);
    const Demand demand{1};
    for (const Error& error :
         {cost::competitive_ratios(prices).error(), cost::random_threshold(prices, 0.5).error(),
          cost::reserve_online(demand, prices, 1).error(), cost::offline_commitment_cost(demand, prices).error(),
          cost::expected_online_cost(demand, prices).error(), cost::regret(demand, prices).error()})
      if (error.code() != ErrorCode::invalid_value || !mcomp_test::well_formed(error)) return false;
    return true;
  };
  CHECK(refused([](auto& p) { p.on_demand_per_hour = 0; }));
  CHECK(refused([](auto& p) { p.on_demand_per_hour = NAN; }));
  CHECK(refused([](auto& p) { p.on_demand_per_hour = -1; }));
  CHECK(refused([](auto& p) { p.fee = 0; }));
  CHECK(refused([&](auto& p) { p.fee = infinite; }));
  CHECK(refused([](auto& p) { p.fee = -69; }));
  CHECK(refused([](auto& p) { p.reserved_per_hour = 1; }));
  CHECK(refused([](auto& p) { p.reserved_per_hour = -0.1; }));
  CHECK(refused([](auto& p) { p.term_hours = 0; }));
  CHECK(refused([](auto& p) { p.term_hours = 1'000'000'000'000; }));
  CHECK(cost::regret({}, good).error().code() == ErrorCode::insufficient_data);
  CHECK(cost::regret(Demand{-1}, good).error().code() == ErrorCode::invalid_value);
  CHECK(cost::regret(Demand{1'000'000'000'000}, good).error().code() == ErrorCode::invalid_value);
  CHECK(cost::regret(Demand{10'000'000}, {.on_demand_per_hour = 1e305, .fee = 1e305}).error().code() ==
        ErrorCode::invalid_value);
  CHECK(cost::reserve_online(Demand{1}, good, -1).error().code() == ErrorCode::invalid_value);
  CHECK(cost::reserve_online(Demand{1}, good, NAN).error().code() == ErrorCode::invalid_value);
  CHECK(cost::random_threshold(good, 1).error().code() == ErrorCode::invalid_argument);
  CHECK(cost::regret(Demand{0, 0}, good).value().offline == 0);
}
