#include "mcomp/cost/budget.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using cost::Budget;
using cost::BudgetState;
using cost::BudgetStatus;
using cost::DailySpending;

namespace {
using Days = std::vector<DailySpending>;
}

TEST_CASE("budget by hand: three days of a month") {
  const Days days{{0, 90}, {1, 110}, {2, 100}};
  const BudgetStatus status = cost::budget_status(days, {.limit = 2000, .days = 31, .currency = "USD"}).value();
  CHECK(status.spent == 300);
  CHECK(status.per_day == 100);
  CHECK(status.burn_rate == Approx(1.55));
  CHECK(status.forecast == Approx(3100));
  CHECK(status.overrun == Approx(1100));
  CHECK(status.state == BudgetState::will_exceed);
  CHECK(status.elapsed_days == 3);
  CHECK(status.recorded_days == 3);
  CHECK(status.estimated_gaps == 0);
  // s = 10, t(.975; 2) = 4.302653 (tables): 28 further days after 3.
  const double half = 4.302652729911275 * 10 * std::sqrt(28 + 28.0 * 28 / 3);
  REQUIRE(status.forecast_interval);
  CHECK(status.forecast_interval->lower == Approx(3100 - half).epsilon(1e-9));
  CHECK(status.forecast_interval->upper == Approx(3100 + half).epsilon(1e-9));
  CHECK(status.reached.expected == Approx(20));
  REQUIRE(status.reached.earliest);
  REQUIRE(status.reached.latest);
  CHECK(*status.reached.earliest < 20);
  CHECK(*status.reached.latest > 20);
  CHECK(fmt::format("{}", status)
            .find("will exceed: 300 of 2000 USD spent in 3 of 31 days, burn rate 1.55, forecast 3100") == 0);
  CHECK(fmt::format("{}", status).find("limit reached on day 20") != std::string::npos);
  CHECK(to_json(status).find("\"state\": \"will exceed\"") != std::string::npos);

  // With another limit it is at risk, and with more it is within.
  CHECK(cost::budget_status(days, {.limit = 3300, .days = 31}).value().state == BudgetState::at_risk);
  const BudgetStatus within = cost::budget_status(days, {.limit = 5000, .days = 31}).value();
  CHECK(within.state == BudgetState::within);
  CHECK(within.reached == cost::BudgetReached{});
  CHECK(to_json(within).find("\"expected\": null") != std::string::npos);
}

TEST_CASE("budget: gaps, refunds, zero spending and one day") {
  // A gap is a day that cost as much as others, not nothing.
  const BudgetStatus gap = cost::budget_status(Days{{0, 100}, {3, 100}}, {.limit = 1000, .days = 10}).value();
  CHECK(gap.spent == 200);
  CHECK(gap.estimated_gaps == 200);
  CHECK(gap.elapsed_days == 4);
  CHECK(gap.recorded_days == 2);
  CHECK(gap.forecast == 1000);
  CHECK(gap.burn_rate == 1);
  CHECK(gap.reached.expected == Approx(10));

  const BudgetStatus refund =
      cost::budget_status(Days{{0, 300}, {1, -100}, {2, 100}}, {.limit = 250, .days = 3}).value();
  CHECK(refund.spent == 300);
  CHECK(refund.refunds == 100);
  CHECK(refund.state == BudgetState::exceeded);
  CHECK(refund.reached.expected == Approx(250.0 / 300));
  // Passed, but back under the limit by a refund.
  const BudgetStatus back = cost::budget_status(Days{{0, 300}, {1, -100}}, {.limit = 250, .days = 2}).value();
  CHECK(back.state == BudgetState::within);
  CHECK_FALSE(back.reached.expected);

  const BudgetStatus zero = cost::budget_status(Days{{0, 0}, {1, 0}}, {.limit = 250}).value();
  CHECK(zero.state == BudgetState::within);
  CHECK(zero.burn_rate == 0);
  CHECK(zero.forecast == 0);
  CHECK_FALSE(zero.reached.expected);
  const BudgetStatus negative = cost::budget_status(Days{{0, -10}, {1, -10}}, {.limit = 250}).value();
  CHECK(negative.forecast == Approx(-300));
  CHECK_FALSE(negative.reached.expected);

  const BudgetStatus one = cost::budget_status(Days{{0, 10}}, {.limit = 400}).value();
  CHECK_FALSE(one.forecast_interval);
  CHECK(one.state == BudgetState::at_risk);
  CHECK(one.forecast == 300);
  CHECK(cost::budget_status(Days{{0, 10}}, {.limit = 200}).value().state == BudgetState::will_exceed);
  // A period that is over has no interval to speak of.
  CHECK(cost::budget_status(Days{{0, 10}}, {.limit = 20, .days = 1}).value().state == BudgetState::within);
}

TEST_CASE("the interval of the forecast holds the final sum as often as it says, and so does that of the day") {
  Random random(4);
  constexpr int periods = 4000;
  int held = 0, day_held = 0;
  for (int i = 0; i < periods; ++i) {
    Days days;
    double sum = 0, reached = 31;
    constexpr double limit = 3000;
    for (std::int64_t d = 0; d < 30; ++d) {
      const double amount = 105 + 20 * random.normal();
      if (d < 10) days.push_back({d, amount});
      if (sum < limit && sum + amount >= limit) reached = static_cast<double>(d) + (limit - sum) / amount;
      sum += amount;
    }
    const BudgetStatus status = cost::budget_status(days, {.limit = limit, .days = 30, .level = 0.9}).value();
    held += status.forecast_interval->contains(sum);
    day_held += status.reached.earliest.value_or(31) <= reached && reached <= status.reached.latest.value_or(31);
  }
  // Four standard errors of 90%.
  CHECK(std::abs(held / static_cast<double>(periods) - 0.9) < 0.019);
  CHECK(std::abs(day_held / static_cast<double>(periods) - 0.9) < 0.019);
}

TEST_CASE("budgets that make no sense are refused") {
  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
  const auto code = [](const Days& days, const Budget& budget) {
    const auto status = cost::budget_status(days, budget);
    REQUIRE_FALSE(status);
    CHECK(mcomp_test::well_formed(status.error()));
    return status.error().code();
  };
  const Days days{{0, 1}, {1, 1}};
  CHECK(code({}, {.limit = 1}) == ErrorCode::insufficient_data);
  CHECK(code(days, {.limit = 0}) == ErrorCode::invalid_value);
  CHECK(code(days, {.limit = -1}) == ErrorCode::invalid_value);
  CHECK(code(days, {.limit = not_a_number}) == ErrorCode::invalid_value);
  CHECK(code(days, {.limit = 1, .days = 0}) == ErrorCode::invalid_argument);
  CHECK(code(days, {.limit = 1, .days = 1'000'000'000'000}) == ErrorCode::invalid_argument);
  CHECK(code(days, {.limit = 1, .days = 1}) == ErrorCode::invalid_value);
  CHECK(code(days, {.limit = 1, .level = 1}) == ErrorCode::invalid_argument);
  CHECK(code({{0, not_a_number}}, {.limit = 1}) == ErrorCode::invalid_value);
  CHECK(code({{-1, 1}}, {.limit = 1}) == ErrorCode::invalid_value);
  CHECK(code({{1, 1}, {0, 1}}, {.limit = 1}) == ErrorCode::invalid_argument);
  CHECK(code({{1, 1}, {1, 1}}, {.limit = 1}) == ErrorCode::invalid_argument);
  CHECK(code({{0, 1e308}, {1, 1e308}}, {.limit = 1}) == ErrorCode::invalid_value);
}
