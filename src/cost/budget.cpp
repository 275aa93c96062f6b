#include "mcomp/cost/budget.hpp"

#include <cmath>
#include <functional>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"

namespace mcomp::inline v0::cost {

namespace {

using mcomp::detail::Json;

Status check(std::span<const DailySpending> spending, const Budget& budget) {
  const auto bad = [](ErrorCode code, const char* subject, const std::string& rule, const char* remedy) {
    return Error(code, subject, rule, remedy);
  };
  constexpr std::int64_t most_days = 3660;
  if (!std::isfinite(budget.limit) || !(budget.limit > 0))
    return bad(ErrorCode::invalid_value, "limit", fmt::format("{} is not finite and > 0", budget.limit),
               "pass what may be spent in the period");
  if (budget.days < 1 || budget.days > most_days)
    return bad(ErrorCode::invalid_argument, "days", fmt::format("{} is not within 1 and {}", budget.days, most_days),
               "pass the length of the period");
  if (!(budget.level > 0 && budget.level < 1))
    return bad(ErrorCode::invalid_argument, "level", fmt::format("{} is not within (0, 1)", budget.level), "pass 0.95");
  if (spending.empty())
    return bad(ErrorCode::insufficient_data, "spending", "there is no day", "pass what the first day cost");
  for (std::size_t i = 0; i < spending.size(); ++i) {
    if (spending[i].day < 0 || spending[i].day >= budget.days)
      return bad(ErrorCode::invalid_value, "spending",
                 fmt::format("day {} is not within a period of {} days, from 0", spending[i].day, budget.days),
                 "pass the days of this period");
    if (i > 0 && spending[i].day <= spending[i - 1].day)
      return bad(ErrorCode::invalid_argument, "spending",
                 fmt::format("day {} stands behind day {}", spending[i].day, spending[i - 1].day),
                 "sort the days, and add up what one day cost");
    if (!std::isfinite(spending[i].amount))
      return bad(ErrorCode::invalid_value, "spending",
                 fmt::format("day {} cost {}", spending[i].day, spending[i].amount),
                 "leave out a day that is not known");
  }
  return {};
}

/// When a forecast passes the limit, `at(k)` being the sum k days after the elapsed ones; within a day spending is
/// even.
std::optional<double> crossing(const BudgetStatus& status, const std::function<double(double)>& at) {
  const std::int64_t left = status.days - status.elapsed_days;
  double before = at(0);
  if (before >= status.limit) return static_cast<double>(status.elapsed_days);
  for (std::int64_t k = 1; k <= left; ++k) {
    const double after = at(static_cast<double>(k));
    if (after >= status.limit)
      return static_cast<double>(status.elapsed_days + k - 1) + (status.limit - before) / (after - before);
    before = after;
  }
  return std::nullopt;
}

/// The day that recorded spending alone passes the limit for the first time.
std::optional<double> recorded_crossing(std::span<const DailySpending> spending, double limit) {
  double sum = 0;
  for (const DailySpending& day : spending) {
    if (sum + day.amount >= limit) return static_cast<double>(day.day) + (limit - sum) / day.amount;
    sum += day.amount;
  }
  return std::nullopt;
}

Json json_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

} // namespace

Result<BudgetStatus> budget_status(std::span<const DailySpending> spending, const Budget& budget) {
  MCOMP_CHECK(check(spending, budget));
  BudgetStatus status{.currency = budget.currency, .limit = budget.limit, .days = budget.days};
  status.elapsed_days = spending.back().day + 1;
  status.recorded_days = static_cast<std::int64_t>(spending.size());
  const auto n = static_cast<double>(status.recorded_days);
  for (const DailySpending& day : spending) {
    status.spent += day.amount;
    if (day.amount < 0) status.refunds -= day.amount;
  }
  status.per_day = status.spent / n;
  status.burn_rate = status.per_day * static_cast<double>(status.days) / status.limit;
  const double gaps = static_cast<double>(status.elapsed_days) - n;
  status.estimated_gaps = gaps * status.per_day;
  double squares = 0;
  for (const DailySpending& day : spending) squares += (day.amount - status.per_day) * (day.amount - status.per_day);
  const bool varies = status.recorded_days > 1;
  const double reach =
      varies ? stats::student_t_quantile((1 + budget.level) / 2, n - 1) * std::sqrt(squares / (n - 1)) : 0;
  // The sum after `days` further ones; gaps are days that are not known either.
  const auto sum = [&](double days, double side) {
    const double m = days + gaps;
    return status.spent + m * status.per_day + side * reach * std::sqrt(m + m * m / n);
  };
  const auto left = static_cast<double>(status.days - status.elapsed_days);
  status.forecast = sum(left, 0);
  status.overrun = status.forecast - status.limit;
  if (varies) status.forecast_interval = stats::Interval{sum(left, -1), sum(left, 1), budget.level};
  for (const double value : {status.spent, status.burn_rate, sum(left, -1), sum(left, 1)})
    if (!std::isfinite(value))
      return Error(ErrorCode::invalid_value, "spending", "the sum overflows", "check the unit of the amounts");

  if (const auto passed = recorded_crossing(spending, status.limit); passed && status.spent >= status.limit) {
    status.reached = {passed, passed, passed};
  } else {
    const auto side = [&](double sign) { return crossing(status, [&](double days) { return sum(days, sign); }); };
    status.reached.expected = side(0);
    if (varies) {
      status.reached.earliest = side(1);
      status.reached.latest = side(-1);
    }
  }
  if (status.spent > status.limit)
    status.state = BudgetState::exceeded;
  else if (status.forecast > status.limit)
    status.state = BudgetState::will_exceed;
  else if (!varies ? left > 0 : status.forecast_interval->upper > status.limit)
    status.state = BudgetState::at_risk;
  return status;
}

std::string to_string(BudgetState state) {
  switch (state) {
  case BudgetState::within:
    return "within";
  case BudgetState::at_risk:
    return "at risk";
  case BudgetState::will_exceed:
    return "will exceed";
  case BudgetState::exceeded:
    return "exceeded";
  }
  return "unknown";
}

std::string to_string(const BudgetStatus& status) {
  std::string text =
      fmt::format("{}: {:.6g} of {:.6g}{}{} spent in {} of {} days, burn rate {:.3g}, forecast {:.6g}",
                  to_string(status.state), status.spent, status.limit, status.currency.empty() ? "" : " ",
                  status.currency, status.elapsed_days, status.days, status.burn_rate, status.forecast);
  if (status.forecast_interval) text += " " + to_string(*status.forecast_interval);
  // A moment within a day is that day, counted from 1; the end of a day is still that day.
  if (status.reached.expected)
    text += fmt::format(", limit reached on day {:.0f}", std::ceil(*status.reached.expected));
  return text;
}

std::string to_json(const BudgetStatus& status) {
  Json interval;
  if (status.forecast_interval)
    interval = {{"lower", status.forecast_interval->lower},
                {"upper", status.forecast_interval->upper},
                {"level", status.forecast_interval->level}};
  const Json root = {{"state", to_string(status.state)},
                     {"currency", status.currency},
                     {"limit", status.limit},
                     {"days", status.days},
                     {"elapsed_days", status.elapsed_days},
                     {"recorded_days", status.recorded_days},
                     {"spent", status.spent},
                     {"refunds", status.refunds},
                     {"estimated_gaps", status.estimated_gaps},
                     {"per_day", status.per_day},
                     {"burn_rate", status.burn_rate},
                     {"forecast", status.forecast},
                     {"forecast_interval", interval},
                     {"overrun", status.overrun},
                     {"reached",
                      {{"expected", json_or_null(status.reached.expected)},
                       {"earliest", json_or_null(status.reached.earliest)},
                       {"latest", json_or_null(status.reached.latest)}}}};
  return root.dump(2, ' ', false, Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::cost
