#include "mcomp/cost/trace.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

template <class T> void check_error(const Result<T>& result, ErrorCode code) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
}

Result<RequestTrace> parse(const std::string& rows, Gaps gaps = Gaps::fill) {
  return RequestTrace::parse("minute,requests\n" + rows, "text", {.gaps = gaps});
}

using Counts = std::vector<double>;

/// Mean and variance.
std::pair<double, double> moments(const Counts& x) {
  const auto n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double square = 0;
  for (const double value : x) square += (value - mean) * (value - mean);
  return {mean, square / (n - 1)};
}

} // namespace

TEST_CASE("a recording of requests per minute is read as it stands") {
  const RequestTrace trace = parse("3,10\n4,0\n5,2.5\n").value();
  CHECK(trace == RequestTrace{.interval_seconds = 60, .first_interval = 3, .requests = {10, 0, 2.5}});
  const auto other = RequestTrace::parse("\xEF\xBB\xBFregion,hits,hour\r\neu,7,0\r\n\r\neu,9,1\r\n", "text",
                                         {.columns = {.time = "hour", .requests = "hits"}, .interval_seconds = 3600});
  CHECK(other.value().requests == Counts{7, 9});
  // Quotes, blanks and whole numbers as tables of floating point write them; a comma in a quoted field is none.
  const auto quoted =
      RequestTrace::parse("\"minute\", \"place, \"\"x\"\"\" ,requests\r\n\"3\",\"a,b\",\"10\"\r\n4.0, ,\t0 \r\n"
                          "  5.0 ,\",\",2.5\n",
                          "text");
  CHECK(quoted.value() == trace);
  const TraceSummary summary = trace.summary().value();
  CHECK(summary.requests == 12.5);
  CHECK(summary.mean_per_second == Approx(12.5 / 180));
  CHECK(summary.peak_per_second == Approx(10.0 / 60));
  CHECK(summary.peak_interval == 0);
  CHECK(summary.peak_to_mean == Approx(2.4));
}

TEST_CASE("gaps of a recording are filled by a line, silence is kept") {
  // Zeros between busy minutes and left-out minutes alike.
  const RequestTrace filled = parse("0,100\n1,0\n2,0\n3,130\n6,100\n").value();
  CHECK(filled.requests == Counts{100, 110, 120, 130, 120, 110, 100});
  CHECK(filled.filled == 4);
  CHECK(filled.summary().value().filled == 4);
  // At either end the one neighbour is all that is known.
  CHECK(parse("0,0\n1,50\n2,0\n").value().requests == Counts{50, 50, 50});
  // The minute in which the recording broke off holds what came until then.
  CHECK(parse("0,100\n1,100\n2,9\n3,0\n4,100\n").value().requests == Counts{100, 100, 100, 100, 100});
  CHECK(parse("0,100\n1,100\n2,11\n3,0\n4,100\n").value().requests == Counts{100, 100, 11, 0, 100});
  CHECK(parse("0,100\n1,0\n2,3\n3,160\n").value().requests == Counts{100, 120, 140, 160});
  // A quiet service may well be silent for a minute.
  const RequestTrace quiet = parse("0,19\n1,0\n2,300\n").value();
  CHECK(quiet.requests == Counts{19, 0, 300});
  CHECK(quiet.filled == 0);
  CHECK(parse("0,100\n1,0\n4,130\n", Gaps::silence).value().requests == Counts{100, 0, 0, 0, 130});
  check_error(parse("0,100\n1,0\n2,130\n", Gaps::refuse), ErrorCode::invalid_value);
  check_error(parse("0,1\n2,1\n", Gaps::refuse), ErrorCode::invalid_value);
  CHECK(parse("0,1\n1,0\n2,1\n", Gaps::refuse).value().requests == Counts{1, 0, 1});
  CHECK(parse("0,0\n1,0\n").value().requests == Counts{0, 0});
}

TEST_CASE("recordings that break the rules are errors with the line") {
  for (const char* rows : {"-1,5\n",
                           "1,5\n1,5\n",
                           "2,5\n1,5\n",
                           "0,-1\n",
                           "0,nan\n",
                           "0,inf\n",
                           "0,1e400\n",
                           "0,1e16\n",
                           "0,five\n",
                           "0.5,5\n",
                           "0\n",
                           "0,5 6\n",
                           "0,\"5\n",
                           "0,\"5\"6\n",
                           "1e300,5\n",
                           "x,5\n",
                           "0,\n",
                           "0,5\n100002,5\n",
                           "2000000000000000,5\n",
                           "0,5\n99999999999999999999,5\n"}) {
    INFO(rows);
    check_error(parse(rows), ErrorCode::corrupt);
  }
  const auto error = parse("0,5\n1,6\n1,7\n").error();
  CHECK(error.subject() == "text: line 4");
  check_error(parse(""), ErrorCode::insufficient_data);
  check_error(RequestTrace::parse("", "text"), ErrorCode::insufficient_data);
  check_error(RequestTrace::parse("minute,request\n0,1\n", "text"), ErrorCode::corrupt);
  check_error(RequestTrace::parse("minute,requests\n0,1\n", "text", {.interval_seconds = 0}),
              ErrorCode::invalid_argument);
  check_error(RequestTrace::read("no such file.csv"), ErrorCode::not_found);
  check_error(RequestTrace{}.summary(), ErrorCode::insufficient_data);
  check_error(RequestTrace{.requests = {1, -1}}.summary(), ErrorCode::invalid_value);
  check_error(RequestTrace{.requests = {std::nan("")}}.summary(), ErrorCode::invalid_value);
  CHECK(parse("0,5\n100001,5\n").value().requests.size() == 100'002);
  check_error(RequestTrace{.first_interval = std::numeric_limits<std::int64_t>::max(), .requests = {1}}.summary(),
              ErrorCode::invalid_value);
  check_error(RequestTrace{.first_interval = -1, .requests = {1}}.summary(), ErrorCode::invalid_value);
}

TEST_CASE("the recorded service has the totals that its description states") {
  const auto path = mcomp_test::data("traffic/twitter_requests_per_minute.csv");
  if (!path) return;
  const TraceSummary raw = RequestTrace::read(*path, {.gaps = Gaps::silence}).value().summary().value();
  CHECK(raw.intervals == 31'651);
  CHECK(raw.requests == 120'774'324);
  CHECK(raw.peak_per_second == Approx(300.1).epsilon(1e-3));
  const RequestTrace trace = RequestTrace::read(*path).value();
  // 592 zeros, and before 19 of the 22 gaps a minute of at most 12 requests where about 2,700 are usual.
  CHECK(trace.filled == 611);
  CHECK(*std::min_element(trace.requests.begin(), trace.requests.end()) > 500);
  CHECK(trace.summary().value().peak_per_second == raw.peak_per_second);
  CHECK(fmt::format("{}", trace.summary().value()).find("611 intervals filled") != std::string::npos);
}

TEST_CASE("arrivals with tokens are read with their times") {
  const auto path = mcomp_test::data("traffic/azure_llm_2023_conv.csv");
  if (!path) return;
  const ArrivalTrace trace = ArrivalTrace::read(*path).value();
  CHECK(trace.seconds.size() == 19'366);
  CHECK(trace.check());
  CHECK(trace.seconds.front() == 0);
  CHECK(trace.seconds[1] == Approx(4.3145790).margin(1e-6)); // 18:15:50.9951690 - 18:15:46.6805900
  CHECK(trace.seconds.back() == Approx(3501.721937).margin(1e-6));
  CHECK(trace.prompt_tokens[1] == 396);
  CHECK(trace.generated_tokens.front() == 44);
  const RequestTrace minutes = trace.per_interval().value();
  CHECK(minutes.requests.size() == 59);
  CHECK(minutes.summary().value().requests == 19'366);
  CHECK(trace.work_seconds(0.1, 0.001, 0.02).value()[0] == Approx(0.1 + 0.374 + 0.88));
}

TEST_CASE("arrivals that break the rules are errors with the line") {
  const std::string head = "TIMESTAMP,ContextTokens,GeneratedTokens\n", good = "2024-02-28T23:59:59Z,1,2\n";
  const auto read = [&](const std::string& rows) { return ArrivalTrace::parse(head + rows, "text"); };
  CHECK(read(good + "2024-03-01 00:00:00.5,1,2\n").value().seconds.back() == Approx(86'401.5)); // a leap year
  // Behind the time its distance from UTC, as in recordings of several days.
  CHECK(read("2024-05-10 00:00:00.25+00:00,1,2\n2024-05-10T02:00:01.5+02:00,1,2\n2024-05-09 18:00:02-0600,1,2\n"
             "2024-05-10 05:30:03+0530,1,2\n2024-05-10 01:00:04+01,1,2\n")
            .value()
            .seconds == std::vector<double>{0, 1.25, 1.75, 2.75, 3.75});
  CHECK(read("0.5,1,2\n0.75,1,2\n0.75,1,2\n").value().seconds == std::vector<double>{0, 0.25, 0.25});
  for (const char* rows : {"2024-02-28 23:59:58,1,2\n", "2024-02-30 00:00:00,1,2\n", "2024-03-01 24:00:00,1,2\n",
                           "2024-03-01,1,2\n", "2024-03-01 00:00:00.,1,2\n", "2024-03-01 00:00:00+,1,2\n",
                           "2024-03-01 00:00:00+1:00,1,2\n", "2024-03-01 00:00:00+01:0,1,2\n",
                           "2024-03-01 00:00:00 UTC,1,2\n", "2024-03-01 00:00:00,-1,2\n", "2024-03-01 00:00:00,1.5,2\n",
                           "2024-03-01 00:00:00,1\n", "2024-03-01 00:00:00,1,2000000000\n", "-5,1,2\n", "nan,1,2\n"}) {
    INFO(rows);
    check_error(read(good + rows), ErrorCode::corrupt);
  }
  check_error(read("-5,1,2\n"), ErrorCode::corrupt);
  check_error(read(""), ErrorCode::insufficient_data);
  check_error(ArrivalTrace::parse("time,a\n1,2\n", "text"), ErrorCode::corrupt);
  const ArrivalTrace plain =
      ArrivalTrace::parse("t\n1\n4\n", "text", {.time = "t", .prompt_tokens = "", .generated_tokens = ""}).value();
  CHECK(plain.seconds == std::vector<double>{0, 3});
  check_error(plain.work_seconds(1, 1, 0), ErrorCode::invalid_argument);
  CHECK(plain.work_seconds(1, 0, 0).value() == std::vector<double>{1, 1});
  check_error(plain.work_seconds(-1, 0, 0), ErrorCode::invalid_argument);
  check_error(plain.per_interval(1e-9), ErrorCode::invalid_argument);
  check_error(plain.per_interval(0), ErrorCode::invalid_argument);
  check_error(ArrivalTrace{.seconds = {1, 0}}.per_interval(), ErrorCode::invalid_value);
  check_error(ArrivalTrace{.seconds = {0, 1}, .prompt_tokens = {1}}.per_interval(), ErrorCode::invalid_shape);
}

TEST_CASE("a trace is scaled, and 10^12 requests a minute are counted exactly") {
  const RequestTrace trace{.requests = Counts(1000, 1e9)};
  const RequestTrace large = trace.scaled(1000).value();
  CHECK(large.summary().value().requests == 1e15);
  CHECK(large.summary().value().mean_per_second == Approx(1e12 / 60));
  check_error(trace.scaled(1e7), ErrorCode::invalid_value);
  for (const double factor : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    check_error(trace.scaled(factor), ErrorCode::invalid_argument);
  CHECK(trace.scaled(0).value().summary().value().peak_to_mean == 0);
  check_error(large.arrivals(1), ErrorCode::invalid_argument);
  CHECK(trace.part(990, 10).value().first_interval == 990);
  check_error(trace.part(991, 10), ErrorCode::invalid_argument);
  check_error(trace.part(-1, 10), ErrorCode::invalid_argument);
  check_error(trace.part(0, 0), ErrorCode::invalid_argument);
}

TEST_CASE("single arrivals of a trace are a Poisson stream with its counts") {
  const RequestTrace trace{.requests = {600, 0, 1200.5}};
  const auto times = trace.arrivals(5).value();
  CHECK(std::is_sorted(times.begin(), times.end()));
  CHECK(times == trace.arrivals(5).value());
  CHECK(times != trace.arrivals(6).value());
  const auto within = [&](double from, double to) {
    return std::count_if(times.begin(), times.end(), [&](double t) { return t >= from && t < to; });
  };
  CHECK(within(0, 60) == 600);
  CHECK(within(60, 120) == 0);
  CHECK((within(120, 180) == 1200 || within(120, 180) == 1201));
  // Given its number in the whole, the number of the first half of a minute is binomial: standard deviation 12.2.
  CHECK(std::abs(static_cast<double>(within(0, 30)) - 300) < 4 * 12.25);
  // Gaps are exponential: squared coefficient of variation 1 with standard error sqrt(8 / n).
  const auto many = RequestTrace{.requests = {200'000}}.arrivals(1).value();
  Counts gaps;
  for (std::size_t i = 1; i < many.size(); ++i) gaps.push_back(many[i] - many[i - 1]);
  const auto [mean, variance] = moments(gaps);
  CHECK(variance / (mean * mean) == Approx(1).margin(4 * std::sqrt(8.0 / 200'000)));
}

TEST_CASE("synthetic counts are Poisson counts for small and large means") {
  for (const double mean : {0.02, 3.0, 9.9, 10.1, 250.0, 1e6}) {
    INFO(mean);
    const RequestTrace trace =
        stationary_trace({.requests_per_second = mean / 60, .intervals = 40'000, .seed = 3}).value();
    const auto [average, variance] = moments(trace.requests);
    CHECK(std::abs(average - mean) < 4 * std::sqrt(mean / 40'000));
    // Var of the sample variance of Poisson counts: (mean + 2 mean^2) / n.
    CHECK(std::abs(variance - mean) < 4 * std::sqrt((mean + 2 * mean * mean) / 40'000));
    double skew = 0;
    for (const double x : trace.requests) skew += std::pow((x - mean) / std::sqrt(mean), 3) / 40'000;
    CHECK(std::abs(skew - 1 / std::sqrt(mean)) < 0.1 + 0.2 / std::sqrt(mean));
    CHECK(std::all_of(trace.requests.begin(), trace.requests.end(), [](double x) { return x == std::floor(x); }));
  }
  CHECK(stationary_trace({.requests_per_second = 0}).value().summary().value().requests == 0);
  CHECK(stationary_trace({.requests_per_second = 1e12}).value().check());
  for (const double rate : {-1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e15})
    check_error(stationary_trace({.requests_per_second = rate}), ErrorCode::invalid_argument);
  check_error(stationary_trace({.requests_per_second = 1, .intervals = 0}), ErrorCode::invalid_argument);
  check_error(stationary_trace({.requests_per_second = 1, .intervals = 1'000'000'000}), ErrorCode::invalid_argument);
}

TEST_CASE("a diurnal trace has its mean, its peak hour and its weekend") {
  const DiurnalLoad load{
      .mean_per_second = 50, .swing = 0.5, .peak_hour = 20, .weekend_factor = 0.6, .days = 14, .seed = 9};
  const RequestTrace trace = diurnal_trace(load).value();
  CHECK(trace == diurnal_trace(load).value());
  CHECK(trace.summary().value().mean_per_second == Approx(50).epsilon(2e-3));
  const auto hour = [&](std::int64_t day, std::int64_t h) {
    return trace.part(day * 1440 + h * 60, 60).value().summary().value().mean_per_second;
  };
  const double weekday = 50 / (6.2 / 7);
  // Around the peak the cosine falls to cos(pi / 24) at the hour's ends' centre: its mean over an hour is .9971.
  CHECK((hour(0, 19) + hour(0, 20)) / 2 == Approx(weekday * 1.5).epsilon(0.02));
  CHECK((hour(0, 7) + hour(0, 8)) / 2 == Approx(weekday * 0.5).epsilon(0.03));
  CHECK((hour(5, 19) + hour(6, 20)) / 2 == Approx(weekday * 1.5 * 0.6).epsilon(0.02));
  // Noise scatters more than Poisson's and keeps the mean.
  const RequestTrace noisy = diurnal_trace({.mean_per_second = 50, .swing = 0, .noise = 0.3, .days = 14}).value();
  const auto [mean, variance] = moments(noisy.requests);
  CHECK(mean == Approx(3000).epsilon(0.01));
  CHECK(variance == Approx(3000 + 0.09 * 9e6).epsilon(0.08));
  for (const auto& bad : {DiurnalLoad{.mean_per_second = -1}, DiurnalLoad{.mean_per_second = 1, .swing = 1.1},
                          DiurnalLoad{.mean_per_second = 1, .days = 0}, DiurnalLoad{.mean_per_second = 1, .noise = -1},
                          DiurnalLoad{.mean_per_second = 1, .interval_seconds = 7},
                          DiurnalLoad{.mean_per_second = 1, .peak_hour = std::nan("")},
                          DiurnalLoad{.mean_per_second = 1, .weekend_factor = -1}})
    check_error(diurnal_trace(bad), ErrorCode::invalid_argument);
}

TEST_CASE("the block bootstrap draws whole days from midnight to midnight") {
  // Days of constant counts 0, 1, 2, ... tell where a minute came from; the recording starts at noon.
  RequestTrace trace{.first_interval = 720, .requests = Counts(720, -0.0)};
  for (int day = 1; day <= 6; ++day) trace.requests.insert(trace.requests.end(), 1440, day);
  trace.requests.insert(trace.requests.end(), 100, 99); // not a whole day
  const RequestTrace month = bootstrap_days(trace, {.days = 600, .seed = 4}).value();
  CHECK(month.requests.size() == 600 * 1440);
  std::vector<int> drawn(7, 0);
  bool whole = true;
  for (std::size_t day = 0; day < 600; ++day) {
    const double value = month.requests[day * 1440];
    for (std::size_t minute = 0; minute < 1440; ++minute) whole &= month.requests[day * 1440 + minute] == value;
    REQUIRE((value >= 1 && value <= 6));
    ++drawn[static_cast<std::size_t>(value)];
  }
  CHECK(whole);
  for (std::size_t day = 1; day <= 6; ++day) CHECK(std::abs(drawn[day] - 100) < 4 * 9.13); // sd of binomial(600, 1/6)
  const RequestTrace pairs = bootstrap_days(trace, {.days = 9, .block_days = 2}).value();
  for (std::size_t day = 0; day + 1 < 9; day += 2)
    CHECK(pairs.requests[(day + 1) * 1440] == pairs.requests[day * 1440] + 1);
  CHECK(bootstrap_days(trace, {.seed = 4}).value() == bootstrap_days(trace, {.seed = 4}).value());
  check_error(bootstrap_days(trace, {.block_days = 6}), ErrorCode::insufficient_data);
  check_error(bootstrap_days(RequestTrace{.requests = {1}}), ErrorCode::insufficient_data);
  check_error(bootstrap_days(trace, {.days = 0}), ErrorCode::invalid_argument);
  check_error(bootstrap_days(trace, {.days = 1'000'000'000}), ErrorCode::invalid_argument);
  trace.interval_seconds = 7;
  check_error(bootstrap_days(trace), ErrorCode::invalid_argument);
}
