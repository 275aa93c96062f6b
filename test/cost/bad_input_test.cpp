// The bad input that a bill must survive, each kind with its clear error or its stated treatment, from the file to the
// forecast. What single functions refuse is tested beside them.

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/carbon.hpp"
#include "mcomp/cost/fleet_cost.hpp"
#include "mcomp/cost/forecast.hpp"
#include "mcomp/cost/price_import.hpp"
#include "mcomp/cost/queue.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

template <class T> void check_error(const Result<T>& result, ErrorCode code, const std::string& word) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
  INFO(result.error().what());
  CHECK(std::string(result.error().what()).find(word) != std::string::npos);
}

ForecastInputs usual() {
  return {.baseline = {.label = "before", .service = ServiceTime::exponential(0.05).value(), .instance = "a.1"},
          .candidate = {.label = "after", .service = ServiceTime::exponential(0.03).value(), .instance = "a.1"},
          .trace = {.requests = std::vector<double>(120, 6000)},
          .prices = {.currency = "USD",
                     .date = "2026-07-20",
                     .source = "test",
                     .instances = {{.name = "a.1", .on_demand_per_hour = 0.2}}},
          .objective = {.p95_seconds = 0.5}};
}

bool says(const std::vector<std::string>& sentences, const std::string& part) {
  for (const std::string& sentence : sentences)
    if (sentence.find(part) != std::string::npos) return true;
  return false;
}

} // namespace

TEST_CASE("bad input: gaps are filled, kept as silence or refused, and a forecast says what was filled") {
  std::string text = "minute,requests\n";
  for (int minute = 0; minute < 120; ++minute)
    if (minute < 30 || minute >= 45) text += fmt::format("{},6000\n", minute);
  ForecastInputs in = usual();
  const Forecast whole = forecast(in).value();
  in.trace = RequestTrace::parse(text, "gap.csv").value();
  const Forecast filled = forecast(in).value();
  CHECK(filled.saving.per_month == Approx(whole.saving.per_month));
  CHECK(filled.trace.filled == 15);
  CHECK(says(filled.notes, "15 intervals of the trace were not recorded"));
  CHECK_FALSE(says(whole.notes, "not recorded"));
  in.trace = RequestTrace::parse(text, "gap.csv", {.gaps = Gaps::silence}).value();
  CHECK(forecast(in).value().baseline.requests == Approx(105 * 6000.));
  check_error(RequestTrace::parse(text, "gap.csv", {.gaps = Gaps::refuse}), ErrorCode::invalid_value,
              "the first at time 30");
}

TEST_CASE("bad input: negative and non-monotone times name their line") {
  check_error(RequestTrace::parse("minute,requests\n-3,1\n", "t.csv"), ErrorCode::corrupt, "t.csv: line 2");
  check_error(RequestTrace::parse("minute,requests\n3,1\n2,1\n", "t.csv"), ErrorCode::corrupt, "t.csv: line 3");
  check_error(ArrivalTrace::parse("TIMESTAMP,ContextTokens,GeneratedTokens\n5,1,1\n4,1,1\n", "t.csv"),
              ErrorCode::corrupt, "t.csv: line 3");
  check_error(ServiceTime::empirical(std::vector<double>{0.1, -0.1}), ErrorCode::invalid_value, "-0.1");
  ForecastInputs in = usual();
  in.trace.first_interval = -1;
  check_error(forecast(in), ErrorCode::invalid_value, "first_interval");
}

TEST_CASE("bad input: a price that is unavailable is absent, not zero") {
  const std::string list = "Instance-Type , Memory , CPUs , Linux On Demand cost , Linux Reserved cost\n"
                           "a.1 , 16.0 GiB , 8 vCPUs , $146.00 monthly , unavailable\n"
                           "b.1 , 16.0 GiB , 8 vCPUs , unavailable , $73.00 monthly\n";
  const PriceImport prices = parse_price_list(list, "list_2026-07-20.csv").value();
  CHECK(prices.without_on_demand == std::vector<std::string>{"b.1"});
  ForecastInputs in = usual();
  in.prices = prices.catalogue;
  in.commitment = OfferOptions{};
  const Forecast f = forecast(in).value();
  CHECK(f.baseline.price_per_hour == Approx(0.2));
  REQUIRE(f.baseline.commitment);
  CHECK(f.baseline.commitment->shares.size() == 1); // on demand alone
  in.baseline.instance = "b.1";
  check_error(forecast(in), ErrorCode::not_found, "a.1");
}

TEST_CASE("bad input: a utilization of 1 and more has no steady line, and a recording shows it as missed") {
  check_error(SingleServer::create(20, ServiceTime::exponential(0.05).value()), ErrorCode::invalid_argument, "");
  check_error(waiting({.arrivals_per_second = 20, .service_seconds = 0.05}), ErrorCode::invalid_argument, "");
  ForecastInputs in = usual(); // a load of five
  in.scaling.policy = Scheduled{.entries = {{.hour = 0, .instances = 4}}};
  const Forecast f = forecast(in).value();
  CHECK_FALSE(f.baseline.objective_kept);
  CHECK(f.baseline.utilization == Approx(1).epsilon(1e-3));
  // A fifth of what comes stays behind: the last of two hours waits half an hour.
  CHECK(f.baseline.response.p99 == Approx(0.99 * 7200 / 4).epsilon(0.02));
  CHECK(f.baseline.at_peak_fleet.factor.value() < 0.8);
  in.scaling.policy = TargetUtilization{.target = 1.01};
  check_error(forecast(in), ErrorCode::invalid_value, "target");
}

TEST_CASE("bad input: zero traffic costs what idles, and has no cost per request") {
  ForecastInputs in = usual();
  in.trace.requests.assign(120, 0);
  const Forecast f = forecast(in).value();
  CHECK(f.baseline.per_month == Approx(0.2 * 730));
  CHECK_FALSE(f.baseline.per_million_requests);
  CHECK(says(f.notes, "no requests"));
  check_error(scale_for_peak(in, in.baseline, 5), ErrorCode::insufficient_data, "no requests");
  check_error(fleet_cost({.seconds = std::vector<double>(200, 0.1)}, {}, {.seconds = 1}, in.prices, "a.1"),
              ErrorCode::invalid_value, "requests_per_second");
  check_error(carbon({.watts_per_machine = 100, .machines = 1, .hours = 730, .grams_per_kwh = 400}),
              ErrorCode::invalid_value, "");
}

TEST_CASE("bad input: 10^12 requests overflow nothing") {
  ForecastInputs in = usual();
  in.trace.requests.assign(120, 1e12);
  in.tokens_per_request = 1000;
  const Forecast f = forecast(in).value();
  CHECK(f.baseline.requests == 1.2e14);
  CHECK_FALSE(f.baseline.objective_kept);
  CHECK(says(f.notes, "reaches the limit of 1000 instances"));
  CHECK(f.baseline.per_million_tokens.value() == Approx(f.baseline.per_million_requests.value() / 1000));
  in.trace.requests.assign(120, 1e15);
  check_error(forecast(in), ErrorCode::invalid_value, "1e+15"); // the sensitivity moves traffic beyond what is counted
  check_error(fleet_cost({.seconds = std::vector<double>(200, 0.1)}, {.requests_per_second = 1e12}, {.seconds = 1},
                         in.prices, "a.1"),
              ErrorCode::invalid_argument, "units");
  const auto grams =
      carbon({.watts_per_machine = 100, .machines = 1, .hours = 730, .requests = 1e12, .grams_per_kwh = 400});
  CHECK(grams.value().grams_per_request == Approx(100 * 0.73 * 400 / 1e12));
}

TEST_CASE("bad input: tokens overflow nothing") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const ArrivalTrace huge{.seconds = {0, 1}, .prompt_tokens = {most, most}, .generated_tokens = {most, 0}};
  const auto work = huge.work_seconds(1, 1e-6, 1e-6).value();
  CHECK(work[0] == Approx(2 * 9.223372036854775807e12));
  check_error(ArrivalTrace{.seconds = {0}, .prompt_tokens = {-1}}.work_seconds(1, 1, 0), ErrorCode::invalid_value,
              "-1");
  check_error(ArrivalTrace::parse("TIMESTAMP,ContextTokens,GeneratedTokens\n0,99999999999999999999,1\n", "t.csv"),
              ErrorCode::corrupt, "line 2");
  ForecastInputs in = usual();
  in.tokens_per_request = 1e-320; // so few that the cost of a million overflows
  check_error(forecast(in), ErrorCode::invalid_value, "overflows");
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    in.tokens_per_request = bad;
    check_error(forecast(in), ErrorCode::invalid_value, "tokens_per_request");
  }
  in.tokens_per_request = 1e300;
  CHECK(forecast(in).value().baseline.per_million_tokens.value() >= 0);
}
