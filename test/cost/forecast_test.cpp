#include "mcomp/cost/forecast.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/forecast_log.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

template <class T> void check_error(const Result<T>& result, ErrorCode code, const std::string& word = "") {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
  INFO(result.error().what());
  CHECK(std::string(result.error().what()).find(word) != std::string::npos);
}

RequestTrace constant(double per_second, std::size_t minutes) {
  return RequestTrace{.requests = std::vector<double>(minutes, 60 * per_second)};
}

ScalingPolicy fixed(std::int64_t instances) {
  return Scheduled{.entries = {{.hour = 0, .instances = instances}}};
}

PriceCatalogue price_list() {
  return {.currency = "USD",
          .date = "2026-07-20",
          .source = "test",
          .instances = {{.name = "large", .on_demand_per_hour = 0.2, .reserved_per_hour = 0.1, .term = "1 year"},
                        {.name = "small", .on_demand_per_hour = 0.05}},
          .storage = {{.name = "ssd", .per_gib_month = 0.08}},
          .egress = {{.from_gib = 0, .per_gib = 0}, {.from_gib = 100, .per_gib = 0.09}}};
}

/// 100 requests a second for a day, ten machines before and six after.
ForecastInputs ten_to_six() {
  return {.baseline = {.label = "before",
                       .service = ServiceTime::exponential(0.05).value(),
                       .instance = "large",
                       .policy = fixed(10)},
          .candidate = {.label = "after",
                        .service = ServiceTime::exponential(0.03).value(),
                        .instance = "large",
                        .policy = fixed(6)},
          .trace = constant(100, 1440),
          .prices = price_list(),
          .objective = {.p95_seconds = 0.5},
          .tokens_per_request = 50,
          .compress_cost = 1000,
          .evaluate_cost = 168};
}

/// The day of a service, with days that differ.
ForecastInputs diurnal(std::int64_t days, double interval_seconds = 600) {
  ForecastInputs in{.baseline = {.label = "before", .instance = "large"},
                    .candidate = {.label = "after", .instance = "large"},
                    .trace = diurnal_trace({.mean_per_second = 400,
                                            .weekend_factor = 0.7,
                                            .noise = 0.1,
                                            .days = days,
                                            .interval_seconds = interval_seconds})
                                 .value(),
                    .prices = price_list(),
                    .scaling = {.decision_seconds = interval_seconds},
                    .objective = {.p95_seconds = 0.5}};
  Random random(5);
  for (int i = 0; i < 100; ++i) {
    in.baseline.service_seconds.push_back(0.05 * std::exp(0.2 * random.normal()));
    in.candidate.service_seconds.push_back(0.03 * std::exp(0.2 * random.normal()));
  }
  return in;
}

const Sensitivity& moved(const Forecast& f, const std::string& input) {
  for (const Sensitivity& s : f.sensitivity)
    if (s.input == input) return s;
  FAIL("no sensitivity to " << input);
  return f.sensitivity.front();
}

} // namespace

TEST_CASE("forecast: a constant load on fixed fleets costs what it does by hand") {
  const Forecast f = forecast(ten_to_six()).value();
  CHECK(f.baseline.mean_instances == 10); // whole machines, exactly
  CHECK(f.baseline.peak_instances == 10);
  CHECK(f.candidate.mean_instances == Approx(6));
  CHECK(f.baseline.instance_hours == Approx(240));
  CHECK(f.baseline.per_month == Approx(10 * 0.2 * 730));
  CHECK(f.candidate.per_month == Approx(6 * 0.2 * 730));
  CHECK(f.baseline.utilization == Approx(0.5).epsilon(1e-3));
  const double requests_per_month = 100 * 3600. * 730;
  CHECK(f.baseline.per_million_requests.value() == Approx(1460 / requests_per_month * 1e6));
  CHECK(f.baseline.per_million_tokens.value() == Approx(1460 / requests_per_month * 1e6 / 50));
  CHECK(f.saving.per_month == Approx(584));
  CHECK(f.saving.relative == Approx(0.4));
  CHECK(f.break_even.one_off == 1168);
  CHECK(f.break_even.months.value() == Approx(2));
  CHECK(f.decision == ForecastDecision::adopt);
  CHECK(f.advice.find("saves 584.00 USD a month (40.0%") != std::string::npos);
  CHECK(f.baseline.objective_kept);
  CHECK(f.policy == "scheduled 10 from 0 h; the candidate: scheduled 6 from 0 h");
  // 11 and 7 machines, 9 and 5: rounded.
  CHECK(moved(f, "scheduled instances").saving_at_high == Approx(4 * 0.2 * 730));
  CHECK(moved(f, "scheduled instances").high == Approx(11));
  // One day and declared service times: nothing that an interval could come from, and it says so.
  CHECK_FALSE(f.saving.per_month_interval);
  CHECK(f.saving.interval_covers.find("too few whole days") != std::string::npos);
  CHECK(to_string(f).find("no interval: the trace has too few") != std::string::npos);
}

TEST_CASE("forecast: a fleet on a target follows the load, and the candidate's share of it") {
  ForecastInputs in = ten_to_six();
  in.baseline.policy = in.candidate.policy = TargetUtilization{.target = 0.5};
  const Forecast f = forecast(in).value();
  // Loads of 5 and 3 busy servers at half utilization; the first minute starts at 60%.
  CHECK(f.baseline.peak_instances == Approx(10));
  CHECK(f.candidate.peak_instances == Approx(6));
  CHECK(f.saving.relative == Approx(0.4).epsilon(0.01));
}

TEST_CASE("forecast: growth shortens the time to break-even, and shrinking may prevent it") {
  ForecastInputs in = ten_to_six();
  in.growth_per_month = 0.1;
  // The saving up to T months is 584 (1.1^T - 1) / log 1.1.
  const double months = forecast(in).value().break_even.months.value();
  CHECK(584 * (std::pow(1.1, months) - 1) / std::log(1.1) == Approx(1168));
  in.growth_per_month = -0.5; // 584 / log 2 = 842 in all
  const Forecast never = forecast(in).value();
  CHECK_FALSE(never.break_even.months);
  CHECK(never.decision == ForecastDecision::reject);
  CHECK(to_string(never).find("never") != std::string::npos);
  in.compress_cost = 1e308;
  in.evaluate_cost = 0;
  in.candidate.other_per_month = 583.999; // pays back after more months than a number holds
  for (const double growth : {-0.1, 0.0, 0.1}) {
    in.growth_per_month = growth;
    CHECK_FALSE(forecast(in).value().break_even.months);
  }
  in.candidate.other_per_month = 0;
  in.evaluate_cost = 1e308;
  CHECK(forecast(in).error().code() == ErrorCode::invalid_value);
  in.evaluate_cost = 168;
  in.growth_per_month = 0;
  in.compress_cost = 10'000;
  const Forecast late = forecast(in).value();
  CHECK(late.break_even.months.value() == Approx(10'168 / 584.));
  CHECK(late.decision == ForecastDecision::reject);
  CHECK(late.advice.find("Not worth it within 12 months") != std::string::npos);
}

TEST_CASE("forecast: a candidate that costs more is not worth it, and never breaks even") {
  ForecastInputs in = ten_to_six();
  std::swap(in.baseline, in.candidate);
  const Forecast f = forecast(in).value();
  CHECK(f.saving.per_month == Approx(-584));
  CHECK_FALSE(f.break_even.months);
  CHECK(f.decision == ForecastDecision::reject);
  CHECK(f.advice.find("Not worth it: before costs 584.00 USD more a month") != std::string::npos);
  CHECK(f.advice.find("never pays") != std::string::npos);
  CHECK(nlohmann::json::parse(to_json(f))["break_even"]["months"].is_null());
}

TEST_CASE("forecast: a candidate equal to the baseline saves exactly nothing") {
  ForecastInputs in = diurnal(4);
  in.candidate = in.baseline;
  const Forecast f = forecast(in, {.replicates = 20}).value();
  CHECK(f.saving.per_month == 0);
  REQUIRE(f.saving.per_month_interval);
  CHECK(f.saving.per_month_interval->lower == 0);
  CHECK(f.saving.per_month_interval->upper == 0);
  CHECK(moved(f, "price of large").moves == 0);
  CHECK(moved(f, "traffic").moves == 0);
  CHECK(moved(f, "service time of the baseline").moves > 0);
  CHECK(f.decision == ForecastDecision::reject);
}

TEST_CASE("forecast: each sensitivity is the saving of a forecast with that input moved") {
  ForecastInputs in = diurnal(3);
  in.candidate.instance = "small";
  in.scaling.boot_seconds = 900;
  const ForecastOptions options{.replicates = 0, .step = 0.2};
  const Forecast f = forecast(in, options).value();
  CHECK(std::is_sorted(f.sensitivity.begin(), f.sensitivity.end(),
                       [](const Sensitivity& a, const Sensitivity& b) { return a.moves > b.moves; }));
  const auto saving = [&](const ForecastInputs& other) { return forecast(other, options).value().saving.per_month; };
  const auto check = [&](const std::string& name, const ForecastInputs& low, const ForecastInputs& high) {
    INFO(name);
    const Sensitivity& s = moved(f, name);
    CHECK(s.saving_at_low == Approx(saving(low)).epsilon(1e-9));
    CHECK(s.saving_at_high == Approx(saving(high)).epsilon(1e-9));
    CHECK(s.moves == Approx(std::max(std::abs(s.saving_at_low - f.saving.per_month),
                                     std::abs(s.saving_at_high - f.saving.per_month))));
  };
  const auto with = [&](const auto& change) {
    ForecastInputs other = in;
    change(other);
    return other;
  };
  for (const std::size_t k : {0u, 1u})
    check(fmt::format("price of {}", k == 0 ? "large" : "small"),
          with([&](auto& i) { i.prices.instances[k].on_demand_per_hour *= 0.8; }),
          with([&](auto& i) { i.prices.instances[k].on_demand_per_hour *= 1.2; }));
  for (const double factor : {0.8, 1.2}) {
    const ForecastInputs slower = with([&](auto& i) {
      for (double& x : i.candidate.service_seconds) x *= factor;
    });
    const Sensitivity& s = moved(f, "service time of the candidate");
    CHECK((factor < 1 ? s.saving_at_low : s.saving_at_high) == Approx(saving(slower)).epsilon(1e-6));
  }
  check("traffic", with([](auto& i) { i.trace = i.trace.scaled(0.8).value(); }),
        with([](auto& i) { i.trace = i.trace.scaled(1.2).value(); }));
  check("boot delay", with([](auto& i) { i.scaling.boot_seconds *= 0.8; }),
        with([](auto& i) { i.scaling.boot_seconds *= 1.2; }));
  check("target utilization", with([](auto& i) { i.scaling.policy = TargetUtilization{.target = 0.48}; }),
        with([](auto& i) { i.scaling.policy = TargetUtilization{.target = 0.72}; }));
  check("least instances", in, with([](auto& i) { i.scaling.min_instances = 2; }));
}

TEST_CASE("forecast: the interval holds the saving of the month that follows as often as it says") {
  // Days that are alike but for a factor of their own, 30% apart; ten are recorded, the next thirty are what comes.
  constexpr int trials = 40;
  int held = 0, held_by_one_stage = 0;
  for (int trial = 0; trial < trials; ++trial) {
    Random random(7, static_cast<std::uint64_t>(trial));
    const auto days = [&](int count) {
      RequestTrace trace{.interval_seconds = 3600, .requests = {}};
      for (int day = 0; day < count; ++day) {
        const double level = 400 * std::exp(0.3 * random.normal());
        for (int hour = 0; hour < 24; ++hour)
          trace.requests.push_back(3600 * level * (1 + 0.5 * std::sin(hour * 0.2618)));
      }
      return trace;
    };
    ForecastInputs in = diurnal(2, 3600);
    in.trace = days(10);
    const Forecast f = forecast(in, {.replicates = 40, .level = 0.9, .seed = 11}).value();
    // What comes, with the service times that the samples were drawn from.
    ForecastInputs truth = in;
    truth.trace = days(30);
    for (ForecastSide* side : {&truth.baseline, &truth.candidate}) {
      side->service_seconds.clear();
      side->service =
          ServiceTime::lognormal((side == &truth.baseline ? 0.05 : 0.03) * std::exp(0.02), std::expm1(0.04)).value();
    }
    const double saving = replay_side(truth, truth.baseline).value().cost_per_month -
                          replay_side(truth, truth.candidate).value().cost_per_month;
    held += f.saving.per_month_interval->contains(saving) ? 1 : 0;
    // An interval for the mean of thirty days alone would be too short: the ten days are themselves a sample.
    const double half = f.saving.per_month_interval->width() / 2 / 2; // sqrt(1/30) against sqrt(1/10 + 1/30)
    held_by_one_stage += std::abs(saving - f.saving.per_month) < half ? 1 : 0;
  }
  INFO(held << " of " << trials << " intervals of 90% hold the saving, " << held_by_one_stage << " of half the width");
  CHECK(held >= 30); // 36 expected; percentiles of ten days are a little short
  CHECK(held_by_one_stage < held);
}

TEST_CASE("forecast: the interval of a short trace covers the measurement alone") {
  ForecastInputs in = diurnal(1, 600);
  const Forecast f = forecast(in, {.replicates = 100}).value();
  REQUIRE(f.saving.per_month_interval);
  CHECK(f.saving.interval_covers.find("not how days differ") != std::string::npos);
  CHECK(f.saving.per_month_interval->contains(f.saving.per_month));
  CHECK(f.saving.per_month_interval->width() > 0);
  // Declared times leave no scatter; then the days alone are what varies.
  ForecastInputs declared = diurnal(4);
  for (ForecastSide* side : {&declared.baseline, &declared.candidate}) {
    side->service = ServiceTime::empirical(side->service_seconds).value();
    side->service_seconds.clear();
  }
  const Forecast days = forecast(declared, {.replicates = 40}).value();
  REQUIRE(days.saving.per_month_interval);
  CHECK(days.saving.interval_covers.find("declared") != std::string::npos);
}

TEST_CASE("forecast: the same seed gives the same forecast on any number of threads") {
  const ForecastInputs in = diurnal(3);
  const Forecast one = forecast(in, {.replicates = 20}).value();
  ThreadPool pool(3);
  CHECK(forecast(in, {.replicates = 20}, {.executor = &pool}).value() == one);
  CHECK(forecast(in, {.replicates = 20, .seed = 2}).value().saving.per_month_interval != one.saving.per_month_interval);
  CancellationToken token;
  token.cancel();
  check_error(forecast(in, {}, {.cancellation = token}), ErrorCode::cancelled);
}

TEST_CASE("forecast: head-room is what the formula of M/M/1 allows") {
  ForecastInputs in = ten_to_six();
  in.trace = constant(2, 60);
  in.baseline.policy = in.candidate.policy = fixed(1);
  const Forecast f = forecast(in).value();
  // P(response > t) = exp(-(mu - lambda) t): 5% at 0.5 s.
  const double mu = 1 / 0.05, most = mu - std::log(20) / 0.5;
  CHECK(f.baseline.at_peak_fleet.requests_per_second == Approx(most).epsilon(0.01));
  CHECK(f.baseline.at_peak_fleet.factor.value() == Approx(most / 2).epsilon(0.01));
  CHECK(f.baseline.at_most_instances.requests_per_second == Approx(1000 / 0.05).epsilon(0.01));
  // Without an objective capacity is the limit.
  in.objective = {};
  CHECK(forecast(in).value().baseline.at_peak_fleet.requests_per_second == Approx(mu).epsilon(1e-4));
  // A service that is slower than the objective has none.
  in.objective = {.p50_seconds = 0.01};
  in.scaling.max_instances = 1'000'000; // the search for a rate ends, also where each try takes long
  const Forecast none = forecast(in).value();
  in.scaling.max_instances = 1000;
  CHECK(none.baseline.at_peak_fleet.requests_per_second < 1e-3);
  CHECK(none.baseline.at_most_instances.requests_per_second == 0);
  CHECK_FALSE(none.baseline.objective_kept);
  // Two fleets that both miss it are no comparison.
  in = ten_to_six();
  in.objective = {.p50_seconds = 0.01};
  CHECK(forecast(in).value().decision == ForecastDecision::undecided);
}

TEST_CASE("forecast: users come before money") {
  ForecastInputs in = ten_to_six();
  in.candidate.policy = fixed(3); // a load of three
  const Forecast f = forecast(in).value();
  CHECK(f.saving.per_month > 0);
  CHECK(f.baseline.objective_kept);
  CHECK_FALSE(f.candidate.objective_kept);
  CHECK(f.decision == ForecastDecision::reject);
  CHECK(f.advice.find("misses the objective") != std::string::npos);
  // A baseline that is overloaded is cheap.
  in = ten_to_six();
  in.baseline.policy = fixed(4); // a load of five
  const Forecast cheap = forecast(in).value();
  CHECK(cheap.saving.per_month < 0);
  CHECK(cheap.candidate.objective_kept);
  CHECK(cheap.decision == ForecastDecision::undecided);
  CHECK(cheap.advice.find("keeps the objective that before misses, and costs 292.00 USD more") != std::string::npos);
  in = ten_to_six();
  in.objective.p95_seconds = 0.16; // of exponential service alone 0.1498
  const Forecast tight = forecast(in).value();
  CHECK(std::any_of(tight.concerns.begin(), tight.concerns.end(),
                    [](const std::string& c) { return c.find("p95 of before is 0.1") != std::string::npos; }));
}

TEST_CASE("forecast: hours in which the least number of instances holds save nothing, slices lose what they lose") {
  ForecastInputs in = ten_to_six();
  in.baseline.policy = in.candidate.policy = TargetUtilization{.target = 0.5};
  in.scaling.min_instances = 4;
  for (std::size_t minute = 0; minute < 6 * 60; ++minute) in.trace.requests[minute] = 60; // 1/s at night
  in.slices = {{.name = "night shift", .traffic_share = 0.03, .accuracy_loss = 0.02},
               {.name = "all others", .traffic_share = 0.97, .accuracy_loss = 0.001}};
  const Forecast f = forecast(in).value();
  REQUIRE(f.hours.size() == 24);
  for (const HourForecast& hour : f.hours) {
    INFO(hour.hour);
    CHECK(hour.little == (hour.hour < 6));
    if (hour.hour < 6) {
      CHECK(hour.saving_per_month == Approx(0).margin(1e-9));
      CHECK(hour.candidate_at_minimum == 1);
      CHECK(hour.baseline_per_month == Approx(4 * 0.2 * 730 / 24));
    }
  }
  double sum = 0;
  for (const HourForecast& hour : f.hours) sum += hour.saving_per_month;
  CHECK(sum == Approx(f.saving.per_month));
  CHECK(std::any_of(f.concerns.begin(), f.concerns.end(), [](const std::string& c) {
    return c.find("00:00 to 06:00") == 0 && c.find("least number of instances holds 100%") != std::string::npos;
  }));
  REQUIRE(f.slices.size() == 2);
  CHECK(f.slices[0].name == "night shift");
  CHECK(f.slices[0].risky);
  CHECK_FALSE(f.slices[1].risky);
  CHECK(f.slices[0].saving_per_month == Approx(0.03 * f.saving.per_month));
  const double month = f.candidate.requests / 24 * 730;
  CHECK(f.slices[0].lost_answers_per_month == Approx(0.03 * 0.02 * month));
  CHECK(f.slices[0].saving_per_lost_answer.value() == Approx(f.saving.per_month / 0.02 / month));
  CHECK(std::any_of(f.concerns.begin(), f.concerns.end(), [](const std::string& c) {
    return c.find("slice night shift: 3% of the traffic, loses 2 points, saves ") == 0;
  }));
  CHECK(f.advice.find("1 slice loses more than 1 points") != std::string::npos);
}

TEST_CASE("forecast: commitments and reservations that run out") {
  ForecastInputs in = ten_to_six();
  in.commitment = OfferOptions{};
  in.reservations = ExpiringReservations{.expiring = 10, .reserved_per_hour = 0.1};
  const Forecast f = forecast(in).value();
  CHECK(f.baseline.committed_per_month.value() == Approx(10 * 0.1 * 730));
  CHECK(f.candidate.committed_per_month.value() == Approx(6 * 0.1 * 730));
  CHECK(f.saving.committed_per_month.value() == Approx(4 * 0.1 * 730));
  REQUIRE(f.reservations);
  CHECK(f.reservations->renew == 6);
  CHECK(f.reservations->let_expire == 4);
  in.candidate.instance = "small";
  const Forecast other = forecast(in).value();
  CHECK_FALSE(other.reservations);
  CHECK(std::any_of(other.notes.begin(), other.notes.end(),
                    [](const std::string& n) { return n.find("reservations of large") == 0; }));
}

TEST_CASE("forecast: storage, egress and whatever else is in the bill") {
  ForecastInputs in = ten_to_six();
  in.baseline.storage = in.candidate.storage = "ssd";
  in.baseline.storage_gib = 100;
  in.candidate.storage_gib = 25;
  in.baseline.egress_gib_per_request = 1e-6;
  in.candidate.other_per_month = 7;
  const Forecast f = forecast(in).value();
  const double gib = 100 * 3600. * 730 * 1e-6;
  CHECK(f.baseline.storage_per_month == Approx(8));
  CHECK(f.baseline.egress_per_month == Approx((gib - 100) * 0.09));
  CHECK(f.baseline.per_month == Approx(1460 + 8 + (gib - 100) * 0.09));
  CHECK(f.candidate.per_month == Approx(876 + 2 + 7));
  in.candidate.storage = "tape";
  check_error(forecast(in), ErrorCode::not_found, "tape");
}

TEST_CASE("forecast: batches are fewer customers, and wait to be full") {
  ForecastInputs in = ten_to_six();
  in.baseline.batch_size = 4;
  in.baseline.batch_wait_seconds = 0.1;
  const Replay batched = replay_side(in, in.baseline).value();
  ForecastInputs quarter = ten_to_six();
  quarter.trace = constant(25, 1440);
  const Replay customers = replay_side(quarter, quarter.baseline).value();
  CHECK(batched.utilization == Approx(customers.utilization));
  CHECK(batched.requests == Approx(100 * 86400));
  CHECK(batched.response.p95 == Approx(customers.response.p95 + 3 / 100.));
  CHECK(batched.cost_per_million_requests == Approx(customers.cost_per_million_requests / 4));
  // Ten requests a second fill no batch of four within a tenth of a second: two are served together.
  in.trace = constant(10, 1440);
  quarter.trace = constant(5, 1440);
  CHECK(replay_side(in, in.baseline).value().utilization ==
        Approx(replay_side(quarter, quarter.baseline).value().utilization));
  in.baseline.batch_wait_seconds = 0;
  check_error(replay_side(in, in.baseline), ErrorCode::invalid_value, "batch_wait_seconds");
}

TEST_CASE("forecast: no traffic, an hour of it, and 10^12 requests a minute") {
  ForecastInputs in = ten_to_six();
  in.baseline.policy = in.candidate.policy = TargetUtilization{};
  in.trace = constant(0, 1440);
  const Forecast idle = forecast(in).value();
  CHECK(idle.baseline.per_month == Approx(0.2 * 730)); // the one instance that must run
  CHECK(idle.saving.per_month == 0);
  CHECK_FALSE(idle.baseline.per_million_requests);
  CHECK_FALSE(idle.baseline.per_million_tokens);
  CHECK_FALSE(idle.baseline.at_peak_fleet.factor);
  CHECK(idle.baseline.objective_kept);
  CHECK(idle.mix.hour_share.empty());
  CHECK(idle.notes.front().find("no requests") != std::string::npos);
  CHECK_FALSE(to_json(idle).empty());

  in.trace = constant(100, 60);
  const Forecast hour = forecast(in).value();
  CHECK(hour.hours.size() == 1);
  CHECK(std::any_of(hour.notes.begin(), hour.notes.end(),
                    [](const std::string& n) { return n.find("1 hours long") != std::string::npos; }));

  in.trace = constant(1e12 / 60, 60);
  const Forecast flood = forecast(in).value();
  CHECK(flood.baseline.peak_instances <= 1000);
  CHECK_FALSE(flood.baseline.objective_kept);
  CHECK(flood.baseline.requests == Approx(6e13));
  CHECK(std::isfinite(flood.baseline.per_month));
  CHECK(std::isfinite(flood.baseline.response.p95));
  CHECK(flood.decision != ForecastDecision::adopt);

  // Tokens so many that their price is no longer told from nothing stay a number.
  in.trace = constant(100, 60);
  in.tokens_per_request = 1e300;
  CHECK(forecast(in).value().baseline.per_million_tokens.value() >= 0);
}

TEST_CASE("forecast: the trace is scaled until the baseline needs so many instances at its peak") {
  ForecastInputs in = diurnal(2);
  const double factor = scale_for_peak(in, in.baseline, 50).value();
  in.scaling.max_instances = 500;
  in.trace = in.trace.scaled(factor).value();
  CHECK(replay_side(in, in.baseline).value().peak_instances >= 50);
  in.trace = in.trace.scaled(0.97).value();
  CHECK(replay_side(in, in.baseline).value().peak_instances < 50);
  in.scaling.policy = fixed(3);
  check_error(scale_for_peak(in, in.baseline, 50), ErrorCode::invalid_argument, "policy");
  in.trace = constant(0, 60);
  check_error(scale_for_peak(in, in.baseline, 50), ErrorCode::insufficient_data, "no requests");
}

TEST_CASE("forecast: inputs that cannot be are errors that name them") {
  const auto refuse = [](const auto& change, ErrorCode code, const char* word) {
    ForecastInputs in = ten_to_six();
    change(in);
    INFO(word);
    check_error(forecast(in), code, word);
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  refuse([](auto& i) { i.baseline.service.reset(); }, ErrorCode::insufficient_data, "before");
  refuse([](auto& i) { i.baseline.service_seconds = {1}; }, ErrorCode::invalid_argument, "both measured and declared");
  refuse(
      [](auto& i) {
        i.candidate.service.reset(), i.candidate.service_seconds = {0.1, -1};
      },
      ErrorCode::invalid_value, "-1");
  refuse([](auto& i) { i.candidate.instance = "larg"; }, ErrorCode::not_found, "large");
  refuse([](auto& i) { i.trace.requests.clear(); }, ErrorCode::insufficient_data, "trace");
  refuse([](auto& i) { i.trace.requests[3] = -1; }, ErrorCode::invalid_value, "interval 3");
  refuse([](auto& i) { i.prices.instances[0].on_demand_per_hour = nan; }, ErrorCode::invalid_value, "large");
  refuse([](auto& i) { i.objective.p95_seconds = 0; }, ErrorCode::invalid_value, "p95");
  refuse([](auto& i) { i.tokens_per_request = 0; }, ErrorCode::invalid_value, "tokens_per_request");
  refuse([](auto& i) { i.compress_cost = nan; }, ErrorCode::invalid_value, "compress_cost");
  refuse([](auto& i) { i.growth_per_month = -1; }, ErrorCode::invalid_value, "growth_per_month");
  refuse([](auto& i) { i.drop_share = 2; }, ErrorCode::invalid_value, "drop_share");
  refuse([](auto& i) { i.slices = {{.name = "x", .traffic_share = 1.5}}; }, ErrorCode::invalid_value, "slice 'x'");
  refuse([](auto& i) { i.baseline.batch_size = 0; }, ErrorCode::invalid_argument, "batch_size");
  refuse([](auto& i) { i.baseline.servers_per_instance = 0; }, ErrorCode::invalid_argument, "servers_per_instance");
  refuse([](auto& i) { i.baseline.policy = TargetUtilization{.target = 1.2}; }, ErrorCode::invalid_value, "target");
  refuse([](auto& i) { i.prices.egress.clear(), i.baseline.egress_gib_per_request = 1; }, ErrorCode::not_found,
         "egress");
  check_error(forecast(ten_to_six(), {.replicates = 5}), ErrorCode::invalid_argument, "replicates");
  check_error(forecast(ten_to_six(), {.level = 1}), ErrorCode::invalid_value, "level");
  check_error(forecast(ten_to_six(), {.step = 0}), ErrorCode::invalid_value, "step");
}

TEST_CASE("forecast: text and JSON say what the value holds") {
  ForecastInputs in = ten_to_six();
  in.recipe = "int8 \"a\"";
  const Forecast f = forecast(in).value();
  const auto json = nlohmann::json::parse(to_json(f));
  CHECK(json["schema"] == "mcomp-forecast-1");
  CHECK(json["saving"]["per_month"].get<double>() == Approx(584));
  CHECK(json["baseline"]["response_seconds"]["p95"].get<double>() == f.baseline.response.p95);
  CHECK(json["recipe"] == in.recipe);
  CHECK(json["sensitivity"].size() == f.sensitivity.size());
  const std::string text = fmt::format("{}", f);
  CHECK(text.find("saving 584.00 USD a month (40.0%)") != std::string::npos);
  CHECK(text.find(f.advice) != std::string::npos);
}

TEST_CASE("the population stability index has its value by hand") {
  // 0.1 log 1.2 - 0.1 log 0.8
  CHECK(population_stability({0.5, 0.5}, {0.6, 0.4}).value() == Approx(0.1 * std::log(1.2) - 0.1 * std::log(0.8)));
  CHECK(population_stability({5, 5}, {30, 20}).value() == Approx(0.0405465108));
  CHECK(population_stability({0.2, 0.8}, {0.2, 0.8}).value() == 0);
  CHECK(population_stability({1, 0}, {0.5, 0.5}).value() ==
        Approx(0.5 * std::log(2.) + (0.5 - 1e-4) * std::log(0.5 / 1e-4)));
  check_error(population_stability({1}, {0.5, 0.5}), ErrorCode::invalid_shape);
  check_error(population_stability({1, -1}, {0.5, 0.5}), ErrorCode::invalid_value);
  check_error(population_stability({0, 0}, {0.5, 0.5}), ErrorCode::invalid_value);
}

TEST_CASE("a traffic mix counts hours and levels") {
  RequestTrace trace{.interval_seconds = 3600, .first_interval = 23, .requests = {}};
  for (int i = 0; i < 48; ++i)
    trace.requests.push_back(3600. * (i % 24 == 0 ? 2 : 1)); // the hour from 23 is twice as busy
  const TrafficMix mix = traffic_mix(trace).value();
  REQUIRE(mix.hour_share.size() == 24);
  CHECK(mix.hour_share[23] == Approx(2 / 25.));
  CHECK(mix.hour_share[0] == Approx(1 / 25.));
  CHECK(mix.level_edges == std::vector<double>{1});
  CHECK(mix.level_share[1] == Approx(2 / 48.));
  CHECK(std::accumulate(mix.level_share.begin(), mix.level_share.end(), 0.0) == Approx(1));
}

TEST_CASE("a new forecast is due on schedule and when recipe, prices or traffic change") {
  ForecastInputs in = diurnal(7);
  in.recipe = "a";
  const Forecast f = forecast(in, {.replicates = 20}).value();
  const ForecastRecord last = record(f, "2026-01-31").value();
  const auto due = [&](const ForecastState& now) { return needs_new_forecast(last, now).value(); };
  const auto only = [&](const ForecastState& now, ForecastReason reason) {
    const DueForecast result = due(now);
    INFO(to_string(result));
    REQUIRE(result.reasons.size() >= 1);
    for (const DueReason& one : result.reasons) CHECK(one.reason == reason);
    CHECK(nlohmann::json::parse(to_json(result))["needed"] == true);
  };
  PriceCatalogue prices = price_list();
  CHECK_FALSE(due({.date = "2026-03-01", .recipe = "a", .prices = &prices, .trace = &in.trace}).needed); // 29 days
  only({.date = "2026-03-02"}, ForecastReason::schedule);
  only({.date = "2026-02-01", .recipe = "b"}, ForecastReason::recipe);
  prices.instances[0].on_demand_per_hour = 0.205;
  only({.date = "2026-02-01", .prices = &prices}, ForecastReason::prices);
  prices.instances[0].on_demand_per_hour = 0.203; // within 2%
  CHECK_FALSE(due({.date = "2026-02-01", .prices = &prices}).needed);
  const RequestTrace more = in.trace.scaled(1.3).value();
  only({.date = "2026-02-01", .trace = &more}, ForecastReason::traffic);
  RequestTrace later = in.trace; // the same requests, eight hours later in the day
  std::rotate(later.requests.begin(), later.requests.end() - 48, later.requests.end());
  const DueForecast shifted = due({.date = "2026-02-01", .trace = &later});
  REQUIRE(shifted.reasons.size() == 1);
  CHECK(shifted.reasons[0].sentence.find("hours of the day") != std::string::npos);
  prices.currency = "EUR";
  check_error(needs_new_forecast(last, {.date = "2026-02-01", .prices = &prices}), ErrorCode::invalid_argument, "EUR");
  prices = price_list();
  prices.instances.erase(prices.instances.begin());
  check_error(needs_new_forecast(last, {.date = "2026-02-01", .prices = &prices}), ErrorCode::not_found, "large");
  check_error(needs_new_forecast(last, {.date = "2026-01-30"}), ErrorCode::invalid_value, "before");
  check_error(needs_new_forecast(last, {.date = "2026-02-30"}), ErrorCode::invalid_value, "no date");
  check_error(record(f, "yesterday"), ErrorCode::invalid_value, "no date");
  check_error(needs_new_forecast(last, {.date = "2026-02-01"}, {.price_change = 0}), ErrorCode::invalid_value,
              "price_change");
}

TEST_CASE("the error of a forecast is forecast over measured, and the log keeps both") {
  ForecastInputs in = diurnal(3);
  ForecastRecord last = record(forecast(in, {.replicates = 20}).value(), "2026-01-31").value();
  check_error(forecast_error(last), ErrorCode::insufficient_data, "2026-01-31");
  last.measured_baseline = {.mean_instances = *last.baseline.mean_instances * 1.25,
                            .per_month = *last.baseline.per_month};
  last.measured_candidate = {.per_month = *last.candidate.per_month + 10,
                             .p95_seconds = *last.candidate.p95_seconds / 2};
  const ForecastError error = forecast_error(last).value();
  CHECK(error.baseline.mean_instances.value() == Approx(-0.2));
  CHECK(error.baseline.per_month.value() == Approx(0));
  CHECK(error.candidate.p95_seconds.value() == Approx(1));
  CHECK_FALSE(error.candidate.mean_instances);
  CHECK(error.saving_error.value() == Approx(10));
  CHECK(error.within_interval.value() == last.saving_interval->contains(last.saving_per_month - 10));
  CHECK(nlohmann::json::parse(to_json(error))["saving_error"].get<double>() == Approx(10));
  CHECK(fmt::format("{}", error).find("saving 10 too high") != std::string::npos);

  ForecastLog log{.records = {last, last}};
  log.records[1].date = "2026-03-01";
  log.records[1].saving_interval.reset();
  CHECK(ForecastLog::parse(to_json(log), "log").value() == log);
  const std::string text = to_json(log);
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string other = text;
    other.replace(other.find(from), from.size(), to);
    return other;
  };
  check_error(ForecastLog::parse(replaced("log-1", "log-2"), "log"), ErrorCode::corrupt, "schema");
  check_error(ForecastLog::parse(replaced("2026-01-31", "2026-01-32"), "log"), ErrorCode::corrupt, "no date");
  check_error(ForecastLog::parse(replaced("2026-01-31", "2026-03-31"), "log"), ErrorCode::corrupt, "before");
  check_error(ForecastLog::parse(replaced("\"recipe\"", "\"recipes\""), "log"), ErrorCode::corrupt);
  check_error(ForecastLog::parse("[]", "log"), ErrorCode::corrupt);
  last.measured_candidate.per_month = 0;
  check_error(forecast_error(last), ErrorCode::invalid_value, "candidate");
}

TEST_CASE("a service time scaled is the same shape at another mean") {
  for (const ServiceTime& service :
       {ServiceTime::deterministic(2).value(), ServiceTime::exponential(2).value(),
        ServiceTime::lognormal(2, 1.5).value(), ServiceTime::hyperexponential(2, 3).value(),
        ServiceTime::empirical(std::vector{1., 2., 6.}).value()}) {
    const ServiceTime longer = service.scaled(1.5).value();
    CHECK(longer.mean() == Approx(1.5 * service.mean()));
    CHECK(longer.variability() == Approx(service.variability()));
    for (const double p : {0.1, 0.5, 0.9}) CHECK(longer.quantile(p) == Approx(1.5 * service.quantile(p)));
  }
  check_error(ServiceTime::exponential(1).value().scaled(0), ErrorCode::invalid_value);
  check_error(ServiceTime::exponential(1e300).value().scaled(1e300), ErrorCode::invalid_value);
}
