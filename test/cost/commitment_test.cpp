#include "mcomp/cost/commitment.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/price_import.hpp"

using namespace mcomp;
using cost::CommitmentOffer;
using cost::CommitmentPlan;

namespace {

/// The cost of given numbers of every offer: hour by hour, the machines that are cheapest to use first.
double cost_of(const std::vector<std::int64_t>& demand, const std::vector<CommitmentOffer>& offers,
               const std::vector<std::int64_t>& counts) {
  std::vector<std::size_t> order(offers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return offers[a].used_per_hour < offers[b].used_per_hour; });
  double cost = 0;
  for (const std::int64_t machines : demand) {
    std::int64_t left = machines;
    for (const std::size_t j : order) {
      cost += offers[j].always_per_hour * static_cast<double>(counts[j]);
      const std::int64_t used = std::min(left, counts[j]);
      cost += offers[j].used_per_hour * static_cast<double>(used);
      left -= used;
    }
    if (left > 0) return std::numeric_limits<double>::infinity();
  }
  return cost;
}

/// A tier that is taken stands on full ones.
bool allowed(const std::vector<CommitmentOffer>& offers, const std::vector<std::int64_t>& counts) {
  for (std::size_t j = 0; j < offers.size(); ++j)
    for (std::size_t below = 0; below < offers.size(); ++below)
      if (counts[j] > 0 && offers[j].after == offers[below].name && counts[below] < offers[below].most) return false;
  return true;
}

/// All numbers of all offers up to the largest demand, or to a limit above it, which a tier may be filled to.
double brute_force(const std::vector<std::int64_t>& demand, const std::vector<CommitmentOffer>& offers) {
  const std::int64_t largest = *std::max_element(demand.begin(), demand.end());
  std::vector<std::int64_t> counts(offers.size(), 0);
  double best = std::numeric_limits<double>::infinity();
  for (;;) {
    if (allowed(offers, counts)) best = std::min(best, cost_of(demand, offers, counts));
    std::size_t j = 0;
    while (j < counts.size() && counts[j] == offers[j].most.value_or(largest)) counts[j++] = 0;
    if (j == counts.size()) return best;
    ++counts[j];
  }
}

const std::vector<double> example{10, 12, 15, 20, 30, 40, 50, 60, 60, 50, 40, 30, 20, 15, 12, 10};

} // namespace

TEST_CASE("newsvendor: the demand of part E of the reference values, r / o = .6") {
  const auto plan = cost::newsvendor(example, 1, 0.6).value();
  CHECK(plan.reserved == 20);
  CHECK(plan.cost == Approx(392).epsilon(1e-14));
  CHECK(plan.on_demand_cost == 474);
  // The least quantile: exactly half of the hours need more than 20.
  CHECK(cost::newsvendor(example, 1, 0.5).value().reserved == 20);
  CHECK(cost::newsvendor(example, 1, 0.4999).value().reserved == 30);
  CHECK(cost::newsvendor(example, 1, 0).value().reserved == 60);
  CHECK(cost::newsvendor(example, 1, 1).value() == cost::Newsvendor{0, 474, 474});
  CHECK(cost::newsvendor(std::vector<double>{0, 0, 0}, 1, 0.5).value() == cost::Newsvendor{0, 0, 0});
  // The same through the general method.
  const std::vector<std::int64_t> whole(example.begin(), example.end());
  const CommitmentPlan general =
      cost::commit(whole, std::vector<CommitmentOffer>{{.name = "on demand", .used_per_hour = 1},
                                                       {.name = "1 year", .always_per_hour = 0.6}})
          .value();
  CHECK(general.cost == Approx(392).epsilon(1e-14));
  CHECK(general.uncommitted_cost == 474);
  CHECK(general.shares[1].count == 20);
  CHECK(general.shares[0].count == 40);
  CHECK(general.shares[0].used_hours == 200);
  CHECK(fmt::format("{}", general) == "40 of on demand, 20 of 1 year: 392 for 16 hours, 474 without commitment");
  CHECK(to_json(general).find("\"count\": 20") != std::string::npos);
  CHECK(to_json(general).find("\"uncommitted_cost\": 474.0") != std::string::npos);
}

TEST_CASE("newsvendor equals the best of all demand values") {
  Random random(7);
  for (int i = 0; i < 1000; ++i) {
    std::vector<double> demand;
    const auto hours = 1 + random.below(30);
    for (std::uint64_t h = 0; h < hours; ++h) demand.push_back(static_cast<double>(random.below(12)) / 4);
    const double o = 0.1 + random.uniform(), r = 1.2 * random.uniform() * o;
    double best = 0;
    for (const double d : demand) best += o * d;
    for (const double reserved : demand) {
      double cost = r * reserved * static_cast<double>(hours);
      for (const double d : demand) cost += o * std::max(0.0, d - reserved);
      best = std::min(best, cost);
    }
    CHECK(cost::newsvendor(demand, o, r).value().cost == Approx(best).epsilon(1e-12));
  }
}

TEST_CASE("the optimal mix equals brute force on 1000 random instances") {
  Random random(2026);
  int limited = 0, mixed = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t largest = 1 + static_cast<std::int64_t>(random.below(6));
    std::vector<std::int64_t> demand(1 + random.below(12));
    for (auto& d : demand) d = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(largest) + 1));
    std::vector<CommitmentOffer> offers{{.name = "on demand", .used_per_hour = 0.5 + random.uniform()}};
    const auto others = 1 + random.below(3);
    for (std::uint64_t j = 0; j < others; ++j) {
      CommitmentOffer offer{.name = fmt::format("offer {}", j)};
      // Fees, cheap use with a fee (as EC2's light and heavy utilization), and spot.
      if (random.below(4) != 0) offer.always_per_hour = 0.8 * random.uniform();
      if (random.below(2) != 0 || offer.always_per_hour == 0) offer.used_per_hour = 0.6 * random.uniform();
      if (random.below(2) != 0) offer.most = static_cast<std::int64_t>(random.below(4));
      limited += offer.most.has_value();
      offers.push_back(offer);
    }
    if (random.below(3) == 0) std::swap(offers.front(), offers.back());
    const CommitmentPlan plan = cost::commit(demand, offers).value();
    INFO("instance " << i);
    CHECK(plan.cost == Approx(brute_force(demand, offers)).epsilon(1e-12).margin(1e-12));
    std::vector<std::int64_t> counts;
    double sum = 0, used = 0;
    int taken = 0;
    for (std::size_t j = 0; j < offers.size(); ++j) {
      counts.push_back(plan.shares[j].count);
      CHECK(plan.shares[j].count <= offers[j].most.value_or(largest));
      sum += plan.shares[j].cost;
      used += plan.shares[j].used_hours;
      taken += plan.shares[j].count > 0;
    }
    mixed += taken > 1;
    // The shares themselves cost what the plan says.
    CHECK(cost_of(demand, offers, counts) == Approx(plan.cost).epsilon(1e-12).margin(1e-12));
    CHECK(sum == Approx(plan.cost).epsilon(1e-12).margin(1e-12));
    CHECK(used == static_cast<double>(std::accumulate(demand.begin(), demand.end(), std::int64_t{0})));
  }
  CHECK(limited > 500);
  CHECK(mixed > 300);
}

TEST_CASE("the optimal mix with volume discounts equals brute force") {
  Random random(77);
  int reached = 0, wasteful = 0;
  for (int i = 0; i < 400; ++i) {
    const std::int64_t largest = 1 + static_cast<std::int64_t>(random.below(5));
    std::vector<std::int64_t> demand(1 + random.below(8));
    for (auto& d : demand) d = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(largest) + 1));
    const double first = 0.3 + 0.6 * random.uniform();
    std::vector<CommitmentOffer> offers{
        {.name = "tier 2", .always_per_hour = first * 0.8 * random.uniform(), .after = "tier 1"},
        {.name = "on demand", .used_per_hour = 1},
        {.name = "tier 1", .always_per_hour = first, .most = static_cast<std::int64_t>(random.below(4))}};
    if (random.below(4) == 0) offers[2] = {.name = "tier 1", .always_per_hour = 0.1, .used_per_hour = 0.8, .most = 2};
    if (random.below(2) != 0) {
      offers[0].most = 1 + static_cast<std::int64_t>(random.below(2));
      offers.push_back(
          {.name = "tier 3", .always_per_hour = 0.1 * random.uniform(), .used_per_hour = 0.2, .after = "tier 2"});
    }
    const CommitmentPlan plan = cost::commit(demand, offers).value();
    INFO("instance " << i);
    CHECK(plan.cost == Approx(brute_force(demand, offers)).epsilon(1e-12).margin(1e-12));
    std::vector<std::int64_t> counts;
    for (const auto& share : plan.shares) counts.push_back(share.count);
    CHECK(allowed(offers, counts));
    CHECK(cost_of(demand, offers, counts) == Approx(plan.cost).epsilon(1e-12).margin(1e-12));
    reached += counts[0] > 0;
    wasteful += counts[0] + counts[2] > *std::max_element(demand.begin(), demand.end());
  }
  CHECK(reached > 50);
  CHECK(wasteful > 5);
  // A tier that is filled for the next one's sake alone: 2 x 2 x 0.1 for machines that never run.
  const std::vector<CommitmentOffer> offers{{.name = "on demand", .used_per_hour = 1},
                                            {.name = "tier 1", .always_per_hour = 0.1, .used_per_hour = 0.8, .most = 2},
                                            {.name = "tier 2", .always_per_hour = 0.05, .after = "tier 1"}};
  const CommitmentPlan plan = cost::commit(std::vector<std::int64_t>{2, 2}, offers).value();
  CHECK(plan.cost == Approx(0.6).epsilon(1e-12));
  CHECK(plan.shares[1].count == 2);
  CHECK(plan.shares[1].used_hours == 0);
  CHECK(plan.shares[2].count == 2);
}

TEST_CASE("families are separate optima") {
  Random random(3);
  std::vector<cost::CommitmentFamily> families;
  double sum = 0;
  for (int f = 0; f < 3; ++f) {
    cost::CommitmentFamily family{.name = fmt::format("family {}", f), .demand = {}, .offers = {}};
    for (int h = 0; h < 20; ++h) family.demand.push_back(static_cast<std::int64_t>(random.below(5)));
    family.offers = {{.name = "on demand", .used_per_hour = 1 + f * 0.5},
                     {.name = "1 year", .always_per_hour = 0.6},
                     {.name = "3 years", .always_per_hour = 0.5, .most = 2}};
    sum += brute_force(family.demand, family.offers);
    families.push_back(family);
  }
  CHECK(cost::commit_families(families).value().cost == Approx(sum).epsilon(1e-12));
  families[1].demand[3] = -1;
  const auto bad = cost::commit_families(families);
  REQUIRE_FALSE(bad);
  CHECK(bad.error().subject() == "family 'family 1': demand");
  families[1].demand.resize(3);
  CHECK(cost::commit_families(families).error().code() == ErrorCode::invalid_argument);
  CHECK(cost::commit_families({}).error().code() == ErrorCode::insufficient_data);
}

TEST_CASE("terms and payments become rates that compare") {
  const cost::InstancePrice price{
      .name = "a",
      .on_demand_per_hour = 1,
      .reserved = {{.months = 12, .payment = cost::Payment::no_upfront, .per_hour = 0.6},
                   {.months = 36, .payment = cost::Payment::all_upfront, .per_hour = 0.4},
                   {.months = 12, .payment = cost::Payment::partial_upfront, .per_hour = 0.58}},
      .spot = cost::SpotPrice{.per_hour = 0.3, .interrupted_lower = 0.05, .interrupted_upper = 0.15}};
  const auto same = cost::offers(price).value();
  REQUIRE(same.size() == 4);
  CHECK(same[0] == CommitmentOffer{.name = "on demand", .used_per_hour = 1});
  CHECK(same[1].name == "12 months, no upfront, standard");
  CHECK(same[1].always_per_hour == Approx(0.6).epsilon(1e-14));
  CHECK(same[2].always_per_hour == Approx(0.4).epsilon(1e-14));
  // Two years of need: the three-year term is 36 months paid for 24.
  const auto shorter = cost::offers(price, {.horizon_months = 24}).value();
  CHECK(shorter[1].always_per_hour == Approx(0.6).epsilon(1e-14));
  CHECK(shorter[2].always_per_hour == Approx(0.6).epsilon(1e-14));
  // Interest: against monthly payments of the same sum, paying a year at its start costs 12 i / (1 - (1 + i)^-12).
  const auto interest = cost::offers(price, {.horizon_months = 12, .annual_interest = 0.08}).value();
  const double i = std::pow(1.08, 1.0 / 12) - 1, annuity = (1 - 1 / 1.08) / i;
  CHECK(interest[1].always_per_hour == Approx(0.6).epsilon(1e-12));
  CHECK(interest[2].always_per_hour == Approx(0.4 * 36 / annuity).epsilon(1e-12));
  CHECK(interest[3].always_per_hour == Approx(0.58 * (6 / annuity + 0.5)).epsilon(1e-12));
  const auto spot = cost::offers(price, {.cost_per_interruption = 2, .most_spot = 5}).value();
  REQUIRE(spot.size() == 5);
  CHECK(spot[4].most == 5);
  CHECK(spot[4].used_per_hour == Approx(0.3 - 2 * std::log(0.9) / 730).epsilon(1e-13));

  CHECK(cost::offers(price, {.horizon_months = 0}).error().code() == ErrorCode::invalid_argument);
  CHECK(cost::offers(price, {.annual_interest = -0.1}).error().code() == ErrorCode::invalid_argument);
  CHECK(cost::offers(price, {.cost_per_interruption = NAN}).error().code() == ErrorCode::invalid_argument);
  CHECK(cost::offers(price, {.most_spot = -1}).error().code() == ErrorCode::invalid_argument);
  CHECK(cost::offers({.name = "b", .on_demand_per_hour = 1}, {.most_spot = 1}).error().code() ==
        ErrorCode::invalid_argument);
  CHECK(cost::offers({.name = "b", .on_demand_per_hour = -1}).error().code() == ErrorCode::invalid_value);
}

TEST_CASE("advice on expiring reservations equals the sum over every hour of both futures") {
  Random random(11);
  int fewer = 0, staked = 0;
  for (int i = 0; i < 300; ++i) {
    cost::ExpiryQuestion q{.demand = std::vector<std::int64_t>(1 + random.below(20)),
                           .staying = static_cast<std::int64_t>(random.below(4)),
                           .expiring = static_cast<std::int64_t>(random.below(12)),
                           .on_demand_per_hour = 1,
                           .reserved_per_hour = 0.3 + 0.5 * random.uniform(),
                           .term_months = 12,
                           .reduction = 0.8 * random.uniform(),
                           .probability = random.uniform(),
                           .months_until = 14 * random.uniform(),
                           .reserve_again = random.below(2) != 0};
    for (auto& d : q.demand) d = static_cast<std::int64_t>(random.below(12));
    const double hours = 730.0 * 12, first = 730 * std::min(q.months_until, 12.0);
    const auto n = static_cast<double>(q.demand.size());
    // Mean on-demand spending of an hour at a capacity.
    const auto spending = [&](std::int64_t capacity, bool adopted) {
      double sum = 0;
      for (const std::int64_t d : q.demand) {
        const double need =
            adopted ? std::ceil((1 - q.reduction) * static_cast<double>(d) - 1e-9) : static_cast<double>(d);
        sum += std::max(0.0, need - static_cast<double>(capacity));
      }
      return sum / n;
    };
    const auto future = [&](std::int64_t renewed, bool adopted) {
      const std::int64_t capacity = q.staying + renewed;
      double rest = std::numeric_limits<double>::infinity();
      for (std::int64_t more = 0; more <= (q.reserve_again ? 12 : 0); ++more)
        rest = std::min(rest, q.reserved_per_hour * static_cast<double>(more) + spending(capacity + more, adopted));
      return q.reserved_per_hour * static_cast<double>(renewed) * hours + first * spending(capacity, false) +
             (hours - first) * rest;
    };
    const auto expected = [&](std::int64_t renewed, double p) {
      return p * future(renewed, true) + (1 - p) * future(renewed, false);
    };
    const auto best = [&](double p) {
      double least = std::numeric_limits<double>::infinity();
      for (std::int64_t r = 0; r <= q.expiring; ++r) least = std::min(least, expected(r, p));
      return least;
    };
    const auto advice = cost::advise_expiry(q).value();
    INFO("instance " << i);
    CHECK(advice.renew + advice.let_expire == q.expiring);
    CHECK(advice.expected_cost == Approx(best(q.probability)).epsilon(1e-12).margin(1e-9));
    CHECK(expected(advice.renew, q.probability) == Approx(advice.expected_cost).epsilon(1e-12).margin(1e-9));
    CHECK(advice.cost_if_adopted == Approx(future(advice.renew, true)).epsilon(1e-12).margin(1e-9));
    CHECK(advice.cost_if_not == Approx(future(advice.renew, false)).epsilon(1e-12).margin(1e-9));
    CHECK(expected(advice.renew_uninformed, 0) == Approx(best(0)).epsilon(1e-12).margin(1e-9));
    CHECK(advice.at_stake ==
          Approx(expected(advice.renew_uninformed, q.probability) - best(q.probability)).epsilon(1e-9).margin(1e-6));
    CHECK(advice.expected_cost_all_renewed == Approx(expected(q.expiring, q.probability)).epsilon(1e-12).margin(1e-9));
    CHECK(advice.expected_cost_none_renewed == Approx(expected(0, q.probability)).epsilon(1e-12).margin(1e-9));
    fewer += advice.renew < advice.renew_uninformed;
    staked += advice.at_stake > 0;
    // A smaller demand never asks for more reservations.
    if (!q.reserve_again) CHECK(advice.renew <= advice.renew_uninformed);
  }
  CHECK(fewer > 50);
  CHECK(staked > 50);
}

TEST_CASE("advice by hand: ten steady machines, and a candidate that halves them for certain") {
  // At once: five are renewed, and ten would cost 5 * 0.6 more in every hour of the year.
  cost::ExpiryQuestion q{.demand = {10, 10, 10},
                         .expiring = 10,
                         .on_demand_per_hour = 1,
                         .reserved_per_hour = 0.6,
                         .reduction = 0.5,
                         .probability = 1};
  auto advice = cost::advise_expiry(q).value();
  CHECK(advice.renew == 5);
  CHECK(advice.let_expire == 5);
  CHECK(advice.at_stake == Approx(5 * 0.6 * 8760).epsilon(1e-12));
  // With probability p the upper five are needed for a share 1 - p of the time, which is worth it above r / o.
  q.probability = 0.39;
  CHECK(cost::advise_expiry(q).value().renew == 10);
  q.probability = 0.41;
  CHECK(cost::advise_expiry(q).value().renew == 5);
  // For certain after t months: the same with t / 12.
  q.probability = 1;
  q.months_until = 7.1;
  CHECK(cost::advise_expiry(q).value().renew == 5);
  q.months_until = 7.3;
  CHECK(cost::advise_expiry(q).value().renew == 10);
  // After the term it changes nothing.
  q.months_until = 12;
  advice = cost::advise_expiry(q).value();
  CHECK(advice.at_stake == 0);
  CHECK(advice.cost_if_adopted == advice.cost_if_not);
  q.months_until = 0;
  CHECK(fmt::format("{}", cost::advise_expiry(q).value()) ==
        "renew 5, let 5 expire: 26280 expected over the term, 26280 less than without knowing of the candidate");
  CHECK(to_json(cost::advise_expiry(q).value()).find("\"let_expire\": 5") != std::string::npos);
}

TEST_CASE("commitments refuse what is no demand and no price") {
  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                   infinite = std::numeric_limits<double>::infinity();
  using Demand = std::vector<double>;
  CHECK(cost::newsvendor({}, 1, 0.5).error().code() == ErrorCode::insufficient_data);
  CHECK(cost::newsvendor(Demand{1, -1}, 1, 0.5).error().code() == ErrorCode::invalid_value);
  CHECK(cost::newsvendor(Demand{not_a_number}, 1, 0.5).error().code() == ErrorCode::invalid_value);
  CHECK(cost::newsvendor(Demand{infinite}, 1, 0.5).error().code() == ErrorCode::invalid_value);
  CHECK(cost::newsvendor(Demand{1}, -1, 0.5).error().code() == ErrorCode::invalid_value);
  CHECK(cost::newsvendor(Demand{1}, 0, 0.5).error().code() == ErrorCode::invalid_value);
  CHECK(cost::newsvendor(Demand{1}, not_a_number, 0.5).error().code() == ErrorCode::invalid_value);
  CHECK(cost::newsvendor(Demand{1}, 1, -0.5).error().code() == ErrorCode::invalid_value);
  CHECK(cost::newsvendor(Demand{1e308, 1e308}, 1, 0.5).error().code() == ErrorCode::invalid_value);
  // 10^12 of a unit are no trouble for a quantile, but no fleet.
  CHECK(cost::newsvendor(Demand{1e12, 1e12, 5e11}, 1, 0.6).value().reserved == 1e12);

  const std::vector<std::int64_t> demand{1, 2, 3};
  const std::vector<CommitmentOffer> good{{.name = "on demand", .used_per_hour = 1},
                                          {.name = "1 year", .always_per_hour = 0.5}};
  CHECK(cost::commit(std::vector<std::int64_t>{0, 0}, good).value().cost == 0);
  const auto code = [&](const std::vector<std::int64_t>& d, const std::vector<CommitmentOffer>& offers) {
    const auto plan = cost::commit(d, offers);
    REQUIRE_FALSE(plan);
    CHECK(mcomp_test::well_formed(plan.error()));
    return plan.error().code();
  };
  CHECK(code({}, good) == ErrorCode::insufficient_data);
  CHECK(code({-1}, good) == ErrorCode::invalid_value);
  CHECK(code({1'000'000'000'000}, good) == ErrorCode::invalid_value);
  CHECK(code(demand, {}) == ErrorCode::insufficient_data);
  CHECK(code(demand, {{.name = "x", .used_per_hour = -1}}) == ErrorCode::invalid_value);
  CHECK(code(demand, {{.name = "x", .used_per_hour = not_a_number}}) == ErrorCode::invalid_value);
  CHECK(code(demand, {{.name = "x", .always_per_hour = infinite}}) == ErrorCode::invalid_value);
  CHECK(code(demand, {{.name = "x", .used_per_hour = 1e308}}) == ErrorCode::invalid_value);
  CHECK(code(demand, {{.name = "x", .used_per_hour = 1, .most = -1}}) == ErrorCode::invalid_value);
  CHECK(code(demand, {{.name = "x", .used_per_hour = 1, .most = 2}}) == ErrorCode::invalid_argument);
  CHECK(code(demand, {{.name = "", .used_per_hour = 1}}) == ErrorCode::invalid_argument);
  CHECK(code(demand, {good[0], good[0]}) == ErrorCode::invalid_argument);
  CHECK(code(demand, {good[0], {.name = "tier", .after = "absent"}}) == ErrorCode::invalid_argument);
  CHECK(code(demand, {good[0], {.name = "tier", .after = "on demand"}}) == ErrorCode::invalid_argument);
  CHECK(code(demand, {good[0], {.name = "a", .most = 1, .after = "b"}, {.name = "b", .most = 1, .after = "a"}}) ==
        ErrorCode::invalid_argument);
  std::vector<CommitmentOffer> tiers{good[0], {.name = "tier 0", .always_per_hour = 0.5, .most = 1}};
  for (int i = 1; i <= 11; ++i)
    tiers.push_back(
        {.name = fmt::format("tier {}", i), .always_per_hour = 0.5, .most = 1, .after = fmt::format("tier {}", i - 1)});
  CHECK(code(demand, tiers) == ErrorCode::invalid_argument);
  tiers.pop_back();
  // Two machines are worth reserving, the third is needed in one hour of three.
  CHECK(cost::commit(demand, tiers)->cost == Approx(0.5 * 6 + 1).epsilon(1e-12));

  const cost::ExpiryQuestion question{.demand = {1, 2},
                                      .staying = 0,
                                      .expiring = 2,
                                      .on_demand_per_hour = 1,
                                      .reserved_per_hour = 0.6,
                                      .reduction = 0.5,
                                      .probability = 0.5};
  CHECK(cost::advise_expiry(question));
  const auto refused = [&](auto&& change) {
    cost::ExpiryQuestion q = question;
    change(q);
    const auto advice = cost::advise_expiry(q);
    return !advice && mcomp_test::well_formed(advice.error());
  };
  CHECK(refused([](auto& q) { q.demand.clear(); }));
  CHECK(refused([](auto& q) { q.demand[0] = -1; }));
  CHECK(refused([](auto& q) { q.demand[0] = 1'000'000'000'000; }));
  CHECK(refused([](auto& q) { q.staying = -1; }));
  CHECK(refused([](auto& q) { q.expiring = 1'000'000'000'000; }));
  CHECK(refused([](auto& q) { q.on_demand_per_hour = -1; }));
  CHECK(refused([](auto& q) { q.on_demand_per_hour = 1e305; }));
  CHECK(refused([](auto& q) { q.reserved_per_hour = not_a_number; }));
  CHECK(refused([](auto& q) { q.term_months = 0; }));
  CHECK(refused([](auto& q) { q.reduction = 1; }));
  CHECK(refused([](auto& q) { q.reduction = -0.1; }));
  CHECK(refused([](auto& q) { q.probability = 1.1; }));
  CHECK(refused([](auto& q) { q.probability = not_a_number; }));
  CHECK(refused([](auto& q) { q.months_until = -1; }));
  CHECK(refused([](auto& q) { q.hours_per_month = infinite; }));
}

TEST_CASE("published prices and traffic: the mix is the quantile of the cheapest term, and a short horizon avoids long "
          "ones") {
  const auto traffic_path = mcomp_test::data("traffic/twitter_requests_per_minute.csv");
  const auto prices_path = mcomp_test::data("prices/x2iedn.32xlarge_all_terms.json");
  if (!traffic_path || !prices_path) return;
  // Machines of five requests a second, by hour, for the hour's busiest minute.
  std::ifstream file(*traffic_path);
  std::string line;
  std::getline(file, line);
  std::vector<std::int64_t> demand;
  for (std::int64_t minute = 0; std::getline(file, line); ++minute) {
    if (minute % 60 == 0) demand.push_back(0);
    const double requests = std::stod(line.substr(line.find(',') + 1));
    demand.back() = std::max(demand.back(), static_cast<std::int64_t>(std::ceil(requests / 60 / 5)));
  }
  CHECK(demand.size() == 528);
  CHECK(*std::max_element(demand.begin(), demand.end()) == 61);

  const auto price =
      cost::import_prices(*prices_path, {.date = "2026-07-20"})->catalogue.find("x2iedn.32xlarge").value();
  std::vector<double> amounts(demand.begin(), demand.end());
  const auto check = [&](std::int64_t horizon, const char* name, double per_hour) {
    const auto offers = cost::offers(price, {.horizon_months = horizon}).value();
    REQUIRE(offers.size() == 13);
    const CommitmentPlan plan = cost::commit(demand, offers).value();
    const auto expected = cost::newsvendor(amounts, price.on_demand_per_hour, per_hour).value();
    CHECK(plan.cost == Approx(expected.cost).epsilon(1e-12));
    CHECK(plan.uncommitted_cost == Approx(expected.on_demand_cost).epsilon(1e-12));
    CHECK(plan.cost < 0.95 * *plan.uncommitted_cost);
    for (const auto& share : plan.shares)
      if (share.name == name)
        CHECK(static_cast<double>(share.count) == expected.reserved);
      else if (share.name != "on demand")
        CHECK(share.count == 0);
  };
  check(36, "36 months, all upfront, standard", 7.447412);
  check(12, "12 months, all upfront, standard", 15.319521);
  // With a third of the machines on spot the mix is cheaper still.
  const auto with_spot =
      cost::offers(price, {.cost_per_interruption = price.on_demand_per_hour / 2, .most_spot = 20}).value();
  const auto without = cost::offers(price).value();
  CHECK(cost::commit(demand, with_spot)->cost < cost::commit(demand, without)->cost);
}
