#include "mcomp/cost/autoscale.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/erlang.hpp"
#include "mcomp/cost/queue.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

template <class T> void check_error(const Result<T>& result, ErrorCode code) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
}

RequestTrace constant(double per_second, std::size_t minutes) {
  return RequestTrace{.requests = std::vector<double>(minutes, 60 * per_second)};
}

ScalingPolicy fixed(std::int64_t instances) {
  return Scheduled{.entries = {{.hour = 0, .instances = instances}}};
}

std::vector<double> instances(const Replay& replay) {
  std::vector<double> result;
  for (const ScalingPoint& point : replay.timeline) result.push_back(point.instances);
  return result;
}

const ServiceTime tenth = ServiceTime::exponential(0.1).value();

/// The mean over some seeds of the replay by requests.
Replay by_requests(const RequestTrace& trace, AutoscaleOptions options, int seeds) {
  Replay mean;
  for (int i = 1; i <= seeds; ++i) {
    options.seed = static_cast<std::uint64_t>(i);
    const Replay one = replay_requests(trace, options).value();
    mean.instance_hours += one.instance_hours / seeds;
    mean.dropped += one.dropped / seeds;
    for (const auto member : {&LatencyPoint::mean, &LatencyPoint::p50, &LatencyPoint::p95, &LatencyPoint::p99}) {
      mean.wait.*member += one.wait.*member / seeds;
      mean.response.*member += one.response.*member / seeds;
    }
  }
  return mean;
}

} // namespace

TEST_CASE("both replays of an hour of a recorded service agree within 3%") {
  const auto path = mcomp_test::data("traffic/twitter_requests_per_minute.csv");
  if (!path) return;
  const RequestTrace trace = RequestTrace::read(*path).value();
  const std::int64_t peak = trace.summary().value().peak_interval;
  const auto agree = [](const RequestTrace& hour, const AutoscaleOptions& options, int seeds) {
    const Replay fast = replay(hour, options).value(), slow = by_requests(hour, options, seeds);
    INFO(to_string(fast) << "\nby requests: " << slow.instance_hours << " hours, response mean " << slow.response.mean
                         << ", p95 " << slow.response.p95);
    CHECK(fast.instance_hours == Approx(slow.instance_hours).epsilon(0.03));
    CHECK(fast.response.mean == Approx(slow.response.mean).epsilon(0.03));
    CHECK(fast.response.p95 == Approx(slow.response.p95).epsilon(0.03));
    CHECK(fast.cost == Approx(fast.instance_hours * 0.17));
  };
  AutoscaleOptions options{
      .service = ServiceTime::lognormal(0.05, 1.5).value(), .servers_per_instance = 2, .price_per_hour = 0.17};
  const RequestTrace usual = trace.part(600, 60).value().scaled(5).value();
  const RequestTrace surge = trace.part(peak - 30, 60).value();
  for (const ScalingPolicy& policy :
       std::vector<ScalingPolicy>{TargetUtilization{.target = 0.6}, Predictive{.target = 0.8}, QueueLengthTarget{}}) {
    INFO("policy " << policy.index());
    options.policy = policy;
    agree(usual, options, 2);
    agree(surge, options, 6);
    agree(surge.scaled(5).value(), options, 1);
  }
}

TEST_CASE("22 days of a recorded service are replayed minute by minute") {
  const auto path = mcomp_test::data("traffic/twitter_requests_per_minute.csv");
  if (!path) return;
  const RequestTrace trace = RequestTrace::read(*path).value();
  const AutoscaleOptions options{.service = ServiceTime::lognormal(0.05, 1.5).value(), .price_per_hour = 2};
  const Replay whole = replay(trace, options).value();
  REQUIRE(whole.timeline.size() == trace.requests.size());
  // Every busy second is a request's service: the balance of the whole.
  double busy = 0, billed = 0;
  for (const ScalingPoint& point : whole.timeline) {
    busy += point.utilization * point.instances * 60;
    billed += point.billed / 60;
  }
  CHECK(busy == Approx(trace.summary().value().requests * 0.05).epsilon(1e-3));
  CHECK(whole.instance_hours == Approx(billed));
  CHECK(whole.cost == Approx(2 * billed));
  CHECK(whole.cost_per_month == Approx(2 * billed / (31'651.0 / 60) * 730));
  CHECK(whole.cost_per_million_requests == Approx(whole.cost / trace.summary().value().requests * 1e6));
  CHECK(whole == replay(trace, options).value());
  // Seeing the day before helps: shorter waits than by yesterday's utilization alone at no more than 1.5 times the
  // cost.
  AutoscaleOptions ahead = options;
  ahead.policy = Predictive{.target = 0.6};
  const Replay predicted = replay(trace, ahead).value();
  CHECK(predicted.wait.mean < whole.wait.mean);
  CHECK(predicted.cost < 1.5 * whole.cost);
}

TEST_CASE("a steady load on a fixed fleet waits as the formula says") {
  const AutoscaleOptions options{.service = tenth, .servers_per_instance = 2, .policy = fixed(5)};
  const RequestTrace trace = constant(80, 120);
  const auto exact = waiting({.arrivals_per_second = 80, .service_seconds = 0.1, .servers = 10}).value();
  const auto response = markov_response(80, 0.1, 10).value();
  const Replay fast = replay(trace, options).value(), slow = by_requests(trace, options, 2);
  for (const Replay* run : {&fast, &slow}) {
    CHECK(run->instance_hours == Approx(10).epsilon(1e-6));
    CHECK(run->wait.mean == Approx(exact.mean()).epsilon(0.03));
    CHECK(run->wait.p99 == Approx(exact.quantile(0.99).value()).epsilon(0.05));
    CHECK(run->response.p50 == Approx(response.quantile(0.5).value()).epsilon(0.02));
    CHECK(run->response.p95 == Approx(response.quantile(0.95).value()).epsilon(0.02));
    CHECK(run->dropped == 0);
  }
  CHECK(fast.utilization == Approx(0.8).epsilon(1e-3));
  CHECK(fast.peak_instances == Approx(5));
}

TEST_CASE("an overload waits as a fluid, and a bounded line drops it") {
  // 12 a second for ten minutes where 10 can be served, then 2: the line is 2 t long, and empty after 25 minutes.
  RequestTrace trace = constant(12, 10);
  trace.requests.resize(40, 2 * 60);
  AutoscaleOptions options{.service = ServiceTime::deterministic(0.1).value(), .policy = fixed(1)};
  // Waits grow to 1200 / 10 s at the tenth minute and fall to none over 150 s: half of that on average, for 7,200 and
  // 300 of 10,800 requests.
  const double mean = 60.0 * 7500 / 10'800;
  const Replay fast = replay(trace, options).value(), slow = by_requests(trace, options, 3);
  for (const Replay* run : {&fast, &slow}) {
    CHECK(run->wait.mean == Approx(mean).epsilon(0.03));
    CHECK(run->wait.p95 == Approx(111).epsilon(0.03)); // of 7,500 evenly spread ones 540 are above
  }
  // With a place for 600 the rest is dropped: 1200 - 600, and the line ends at 60 s of waiting.
  options.queue_limit = 600;
  const Replay bounded = replay(trace, options).value(), exact = by_requests(trace, options, 3);
  CHECK(bounded.dropped == Approx(600).epsilon(0.02));
  CHECK(exact.dropped == Approx(600).epsilon(0.15));
  CHECK(bounded.wait.p99 == Approx(60).epsilon(0.12));
  CHECK(exact.wait.p99 == Approx(60).epsilon(0.03));
}

TEST_CASE("instances come after their boot and leave after the cool-down") {
  // 10 erlangs for 5 minutes, then 30, then 10 again.
  RequestTrace trace = constant(100, 5);
  trace.requests.resize(10, 300 * 60);
  trace.requests.resize(20, 100 * 60);
  AutoscaleOptions options{.service = tenth,
                           .policy = TargetUtilization{.target = 0.5},
                           .boot_seconds = 120,
                           .cooldown_in_seconds = 300,
                           .max_instances = 50,
                           .initial_instances = 20};
  // The sixth minute is all busy: 20 / .5 = 40 are wanted at its end, serve two minutes later and work off what has
  // queued up; 50 is all there may be. They leave a cool-down after the last change.
  const auto run = instances(replay(trace, options).value());
  for (std::size_t i = 0; i < 8; ++i) CHECK(run[i] == Approx(20));
  CHECK(run[8] == Approx(40));
  CHECK(*std::max_element(run.begin(), run.end()) == Approx(50));
  CHECK(run.back() == Approx(20));
  const auto by_request = instances(replay_requests(trace, options).value());
  for (std::size_t i = 0; i < 9; ++i) CHECK(by_request[i] == Approx(run[i]).epsilon(1e-9));
  // At most three at a time, and every other decision.
  options.max_surge = 3;
  options.cooldown_out_seconds = 120;
  const auto slow = instances(replay(trace, options).value());
  CHECK(slow[7] == Approx(20));
  CHECK(slow[8] == Approx(23));
  CHECK(slow[9] == Approx(23));
  CHECK(slow[10] == Approx(26));
  // What boots is paid for.
  const Replay paid = replay(trace, options).value();
  CHECK(paid.timeline[6].billed == Approx(23));
  CHECK(paid.timeline[6].instances == Approx(20));
  options.min_instances = options.max_instances = 20;
  for (const double n : instances(replay(trace, options).value())) CHECK(n == Approx(20));
}

TEST_CASE("schedules follow the clock of the trace") {
  RequestTrace trace = constant(10, 1440);
  trace.first_interval = 600; // ten in the morning
  const AutoscaleOptions options{.service = tenth,
                                 .policy = Scheduled{{{.hour = 8, .instances = 6}, {.hour = 20.5, .instances = 2}}},
                                 .boot_seconds = 0,
                                 .cooldown_in_seconds = 0};
  for (const Replay& run : {replay(trace, options).value(), replay_requests(trace, options).value()}) {
    CHECK(run.timeline[0].instances == Approx(6));
    CHECK(run.timeline[629].instances == Approx(6));
    CHECK(run.timeline[630].instances == Approx(2).epsilon(0.01)); // 20:30; two may still serve a request
    CHECK(run.timeline[1319].instances == Approx(2));
    CHECK(run.timeline[1320].instances == Approx(6)); // eight
  }
}

TEST_CASE("predictions see the rush hour of yesterday coming") {
  // A jump from 20 to 100 a second at noon, three days long.
  RequestTrace trace;
  for (int day = 0; day < 3; ++day)
    for (int minute = 0; minute < 1440; ++minute)
      trace.requests.push_back(60 * (minute >= 720 && minute < 780 ? 100 : 20));
  AutoscaleOptions options{.service = tenth, .policy = Predictive{.target = 0.5, .lookahead_seconds = 300}};
  const Replay run = replay(trace, options).value();
  CHECK(run.timeline[721].utilization > 0.99);             // surprised on the first day
  CHECK(run.timeline[1440 + 719].instances == Approx(20)); // ready on the second
  CHECK(run.timeline[1440 + 721].utilization < 0.51);
  CHECK(run.timeline[1440 + 600].instances == Approx(4));
}

TEST_CASE("interrupted instances are replaced after a boot") {
  AutoscaleOptions options{
      .service = tenth, .policy = fixed(20), .boot_seconds = 600, .mean_seconds_between_interruptions = 5400};
  const RequestTrace trace = constant(20, 3000);
  // Up for 5,400 of every 6,000 seconds on average; paid for all the time.
  for (const Replay& run : {replay(trace, options).value(), replay_requests(trace, options).value()}) {
    CHECK(run.mean_instances == Approx(18).epsilon(0.02));
    CHECK(run.instance_hours == Approx(1000).epsilon(1e-6));
    CHECK(run.interruptions == Approx(18 * 180'000 / 5400.0).epsilon(0.15));
  }
}

TEST_CASE("the interval of the monthly cost is that of resampled days") {
  // Two kinds of days in turn, of 10 and 30 instances.
  RequestTrace trace{.interval_seconds = 600};
  for (int day = 0; day < 20; ++day) trace.requests.insert(trace.requests.end(), 144, 600.0 * (day % 2 ? 150 : 50));
  const AutoscaleOptions options{.service = tenth,
                                 .policy = TargetUtilization{.target = 0.5, .tolerance = 0},
                                 .decision_seconds = 600,
                                 .price_per_hour = 1};
  const MonthlyCostOptions how{.replicates = 300, .bootstrap = {.days = 30, .seed = 3}};
  const MonthlyCost bill = monthly_cost(trace, options, how).value();
  CHECK(bill.per_month == Approx(20 * 730).epsilon(0.02));
  const double mean = std::accumulate(bill.replicates.begin(), bill.replicates.end(), 0.0) / 300;
  // The mean of 30 days of 10 or 30 has the standard deviation 10 / sqrt(30).
  const double sd = 730 * 10 / std::sqrt(30.0);
  CHECK(mean == Approx(20 * 730).margin(4 * sd / std::sqrt(300.0) + 0.02 * 20 * 730));
  CHECK(bill.interval.width() == Approx(2 * 1.96 * sd).epsilon(0.15));
  CHECK(bill.interval.contains(bill.per_month));
  ThreadPool pool(2);
  CHECK(monthly_cost(trace, options, how, {.executor = &pool}).value() == bill);
  // Days that are all alike cost the same every month.
  const MonthlyCost same = monthly_cost(constant(50, 2880), options, {.replicates = 20}).value();
  CHECK(same.interval.width() < 1e-9 * same.per_month);
  CancellationToken token;
  token.cancel();
  check_error(monthly_cost(trace, options, how, {.cancellation = token}), ErrorCode::cancelled);
  check_error(monthly_cost(trace, options, {.replicates = 5}), ErrorCode::invalid_argument);
  check_error(monthly_cost(trace, options, {.level = 1}), ErrorCode::invalid_argument);
  check_error(monthly_cost(constant(1, 1440), options), ErrorCode::insufficient_data);
}

TEST_CASE("no traffic and 10^12 requests a minute") {
  const AutoscaleOptions options{.service = tenth, .min_instances = 2, .price_per_hour = 1};
  for (const Replay& run :
       {replay(constant(0, 60), options).value(), replay_requests(constant(0, 60), options).value()}) {
    CHECK(run.instance_hours == Approx(2));
    CHECK(run.cost == Approx(2));
    CHECK(run.requests == 0);
    CHECK(run.cost_per_million_requests == 0);
    CHECK(run.response == LatencyPoint{});
    CHECK(run.utilization == 0);
  }
  AutoscaleOptions many = options;
  many.service = ServiceTime::exponential(1e-6).value();
  many.max_instances = 1'000'000;
  const Replay run = replay(constant(1e12 / 60, 60), many).value();
  CHECK(run.requests == 6e13);
  CHECK(run.peak_instances == Approx(1e6 / 60 / 0.6).epsilon(0.11));
  check_error(replay_requests(constant(1e12 / 60, 60), many), ErrorCode::invalid_argument);
  CHECK(fmt::format("{}", run).find("requests") != std::string::npos);
}

TEST_CASE("options of scaling that cannot be are errors") {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const RequestTrace trace = constant(1, 2);
  const auto with = [&](auto change, ErrorCode code) {
    AutoscaleOptions options{.service = tenth};
    change(options);
    check_error(replay(trace, options), code);
    check_error(replay_requests(trace, options), code);
  };
  using Options = AutoscaleOptions;
  for (const double bad : {-1.0, nan, infinity}) {
    with([&](Options& o) { o.decision_seconds = bad; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.boot_seconds = bad; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.cooldown_in_seconds = bad; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.cooldown_out_seconds = bad; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.mean_seconds_between_interruptions = bad; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.price_per_hour = bad; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.hours_per_month = bad; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.policy = TargetUtilization{.target = bad}; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.policy = TargetUtilization{.tolerance = bad}; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.policy = QueueLengthTarget{.high = bad}; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.policy = Predictive{.target = bad}; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.policy = Predictive{.lookahead_seconds = bad}; }, ErrorCode::invalid_value);
    with([&](Options& o) { o.policy = Scheduled{{{.hour = bad, .instances = 1}}}; }, ErrorCode::invalid_value);
  }
  with([](Options& o) { o.policy = Scheduled{}; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.policy = Scheduled{{{.hour = 5}, {.hour = 5}}}; }, ErrorCode::invalid_value);
  with([](Options& o) { o.servers_per_instance = 0; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.min_instances = 0; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.max_instances = 0; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.max_instances = 10'000'000; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.min_instances = 1001; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.max_surge = 0; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.initial_instances = -1; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.queue_limit = -1; }, ErrorCode::invalid_argument);
  with([](Options& o) { o.decision_seconds = 0.01; }, ErrorCode::invalid_argument);
  check_error(replay(RequestTrace{}, {.service = tenth}), ErrorCode::insufficient_data);
  check_error(replay(RequestTrace{.requests = {nan}}, {.service = tenth}), ErrorCode::invalid_value);
}
