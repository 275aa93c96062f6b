#include "mcomp/evaluate/verdict.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::evaluate;

namespace {

/// b, c and n as in stats/paired.hpp, at a baseline that is right unless stated.
stats::PairedCounts counts(std::int64_t b, std::int64_t c, std::int64_t n) {
  return {.both_right = n - b - c, .only_baseline_right = b, .only_candidate_right = c, .both_wrong = 0};
}

stats::QuantileEstimate estimate(double probability, double value, std::optional<double> lower,
                                 std::optional<double> upper, double level = 0.95) {
  return {.probability = probability, .value = value, .lower = lower, .upper = upper, .level = level, .count = 500};
}

stats::LatencySummary latency(double median, double p99) {
  return {.count = 500,
          .mean = median,
          .p50 = estimate(0.5, median, 0.9 * median, 1.1 * median),
          .p95 = estimate(0.95, p99, 0.9 * p99, 1.1 * p99),
          .p99 = estimate(0.99, p99, 0.9 * p99, 1.1 * p99)};
}

Outcome outcome(const Criteria& criteria, const Evidence& evidence) {
  return judge(criteria, evidence).value().outcome;
}

/// Evidence that keeps every demand of `demanding`.
Evidence good_evidence() {
  Evidence evidence;
  evidence.accuracy = counts(20, 18, 10000);
  evidence.baseline_latency = latency(0.010, 0.020);
  evidence.candidate_latency = latency(0.004, 0.008);
  evidence.baseline_bytes = 1000;
  evidence.candidate_bytes = 250;
  evidence.baseline_ece = 0.010;
  evidence.candidate_ece = 0.012;
  evidence.baseline_monthly_cost = 100;
  evidence.candidate_monthly_cost = 40;
  return evidence;
}

Criteria demanding() {
  return {.max_accuracy_loss = 0.005,
          .confidence = 0.95,
          .min_speedup = 1.5,
          .max_latency_p99_seconds = 0.010,
          .max_size_ratio = 0.25,
          .max_ece_increase = 0.005,
          .max_monthly_cost_ratio = 0.5,
          .min_samples = 10000};
}

} // namespace

TEST_CASE("a candidate that keeps every criterion passes, with a check for each in their order") {
  const Verdict verdict = judge(demanding(), good_evidence()).value();
  CHECK(verdict.passed());
  std::vector<std::string> names;
  for (const Check& c : verdict.checks) {
    INFO(fmt::format("{}", c));
    CHECK(c.outcome == Outcome::pass);
    CHECK_FALSE(c.sentence.empty());
    CHECK_FALSE(c.numbers.empty());
    names.push_back(c.name);
  }
  CHECK(names == std::vector<std::string>{"max_accuracy_loss", "min_speedup", "max_latency_p99_seconds",
                                          "max_size_ratio", "max_ece_increase", "max_monthly_cost_ratio",
                                          "min_samples"});
}

TEST_CASE("each criterion alone turns to insufficient data where its evidence is missing, and never to a pass") {
  const Criteria each[] = {{.max_accuracy_loss = 0.99}, {.min_speedup = 0.01},     {.max_latency_p99_seconds = 1e9},
                           {.max_size_ratio = 1e9},     {.max_ece_increase = 1e9}, {.max_monthly_cost_ratio = 1e9},
                           {.min_samples = 1}};
  for (const Criteria& criteria : each) {
    INFO(fmt::format("{}", criteria));
    const Verdict nothing = judge(criteria, {}).value();
    CHECK(nothing.outcome == Outcome::insufficient_data);
    REQUIRE(nothing.checks.size() == 1);
    CHECK(nothing.checks[0].sentence.find("not measured") != std::string::npos);
    CHECK(outcome(criteria, good_evidence()) == Outcome::pass);
  }
  Evidence half = good_evidence();
  half.baseline_latency.reset();
  half.baseline_bytes.reset();
  half.baseline_ece.reset();
  half.baseline_monthly_cost.reset();
  for (const Criteria& criteria : {each[1], each[3], each[4], each[5]})
    CHECK(outcome(criteria, half) == Outcome::insufficient_data);
  Evidence no_pairs;
  no_pairs.accuracy = stats::PairedCounts{};
  CHECK(outcome(each[0], no_pairs) == Outcome::insufficient_data);
  CHECK(outcome(each[6], no_pairs) == Outcome::insufficient_data);
}

TEST_CASE("a fail dominates a lack of data, which dominates a pass") {
  Evidence evidence = good_evidence();
  evidence.accuracy.reset();
  CHECK(outcome(demanding(), evidence) == Outcome::insufficient_data);
  evidence.candidate_bytes = 251;
  CHECK(outcome(demanding(), evidence) == Outcome::fail);
}

TEST_CASE("accuracy passes by the upper Tango limit, not by the observed loss") {
  const auto accuracy = [](std::int64_t b, std::int64_t c, std::int64_t n, double margin) {
    Evidence evidence;
    evidence.accuracy = counts(b, c, n);
    return judge({.max_accuracy_loss = margin}, evidence).value().checks[0];
  };
  // PropCIs' example: loss .125, 95% two-sided limits .0308645 and .2180642, so with confidence .975.
  Evidence example;
  example.accuracy = counts(40, 20, 160);
  const Criteria above{.max_accuracy_loss = 0.21807, .confidence = 0.975};
  const Criteria below{.max_accuracy_loss = 0.21806, .confidence = 0.975};
  CHECK(outcome(above, example) == Outcome::pass);
  CHECK(outcome(below, example) == Outcome::fail);
  const Check check = judge(above, example).value().checks[0];
  CHECK(check.number("loss").value() == Approx(0.125));
  CHECK(check.number("lower_limit").value() == Approx(.0308645331).margin(1e-9));
  CHECK(check.number("upper_limit").value() == Approx(.2180642442).margin(1e-9));
  CHECK_FALSE(check.number("absent").has_value());

  // No observed loss on 100 pairs cannot show a margin of half a per cent: (1.645)^2 / (100 + 1.645^2) = 2.6%.
  const Check few = accuracy(0, 0, 100, 0.005);
  CHECK(few.outcome == Outcome::insufficient_data);
  CHECK(few.number("smallest_resolvable_margin").value() == Approx(2.705543 / 102.705543).epsilon(1e-6));
  CHECK(few.sentence.find("so few pairs") != std::string::npos);
  CHECK(accuracy(0, 0, 1000, 0.005).outcome == Outcome::pass);
  // Plainly worse fails however small the sample and the margin.
  CHECK(accuracy(30, 0, 60, 0.005).outcome == Outcome::fail);
  // Enough pairs to show the margin, a loss within it that the data do not confirm: fails.
  CHECK(accuracy(100, 60, 10000, 0.005).outcome == Outcome::fail);
  // Better than the baseline passes a margin that an even split could not show.
  CHECK(accuracy(2, 30, 500, 0.005).outcome == Outcome::pass);
}

TEST_CASE("speedup is the ratio of medians with the least favourable limits of both") {
  Evidence evidence;
  evidence.baseline_latency = latency(0.010, 0.020);
  evidence.candidate_latency = latency(0.004, 0.008);
  const Check check = judge({.min_speedup = 2}, evidence).value().checks[0];
  CHECK(check.number("value").value() == Approx(2.5));
  CHECK(check.number("lower_limit").value() == Approx(2.5 * 0.9 / 1.1));
  CHECK(check.number("upper_limit").value() == Approx(2.5 * 1.1 / 0.9));
  CHECK(check.number("confidence").value() == Approx(0.95)); // two limits of .975 each
  CHECK(check.outcome == Outcome::pass);
  CHECK(outcome({.min_speedup = 2.2}, evidence) == Outcome::insufficient_data); // 2.5 keeps it, 2.05 does not
  CHECK(outcome({.min_speedup = 2.6}, evidence) == Outcome::fail);              // the estimate breaks it
  CHECK(outcome({.min_speedup = 3.1}, evidence) == Outcome::fail);              // so does the upper limit
  CHECK(outcome({.confidence = 0.96, .min_speedup = 2}, evidence) == Outcome::insufficient_data);
  evidence.candidate_latency->p50.upper.reset();
  CHECK(outcome({.min_speedup = 1}, evidence) == Outcome::insufficient_data);
  CHECK(outcome({.min_speedup = 2.6}, evidence) == Outcome::insufficient_data);
  CHECK(outcome({.min_speedup = 3.1}, evidence) == Outcome::fail);
  evidence.candidate_latency->p50 = estimate(0.5, 0, 0, 0);
  CHECK(outcome({.min_speedup = 1}, evidence) == Outcome::insufficient_data);
}

TEST_CASE("paired ratios are used in place of the two medians") {
  Evidence evidence;
  evidence.baseline_latency = latency(0.010, 0.020);
  evidence.candidate_latency = latency(0.004, 0.008);
  evidence.paired_speedup = estimate(0.5, 2.4, 2.3, 2.5);
  const Check check = judge({.confidence = 0.975, .min_speedup = 2.3}, evidence).value().checks[0];
  CHECK(check.outcome == Outcome::pass);
  CHECK(check.number("value").value() == 2.4);
  CHECK(check.sentence.find("500 paired requests") != std::string::npos);
  CHECK(outcome({.confidence = 0.98, .min_speedup = 2.3}, evidence) == Outcome::insufficient_data);
}

TEST_CASE("tail latency passes by its upper limit, and without one only a sure fail is said") {
  Evidence evidence;
  evidence.candidate_latency = latency(0.004, 0.008);
  CHECK(outcome({.max_latency_p99_seconds = 0.0088}, evidence) == Outcome::pass);
  CHECK(outcome({.max_latency_p99_seconds = 0.0085}, evidence) == Outcome::insufficient_data);
  CHECK(outcome({.max_latency_p99_seconds = 0.0079}, evidence) == Outcome::fail);
  const std::vector<double> hundred(100, 0.005);
  evidence.candidate_latency = stats::summarize_latencies(hundred).value();
  const Check few = judge({.max_latency_p99_seconds = 1}, evidence).value().checks[0];
  CHECK(few.outcome == Outcome::insufficient_data);
  CHECK(few.sentence.find("measure more requests") != std::string::npos);
  CHECK(outcome({.max_latency_p99_seconds = 0.001}, evidence) == Outcome::fail);
  const std::vector<double> enough(400, 0.005);
  evidence.candidate_latency = stats::summarize_latencies(enough).value();
  CHECK(outcome({.max_latency_p99_seconds = 0.005}, evidence) == Outcome::pass);
}

TEST_CASE("plain numbers pass up to equality") {
  Evidence evidence = good_evidence();
  CHECK(outcome({.max_size_ratio = 0.25}, evidence) == Outcome::pass);
  CHECK(outcome({.max_size_ratio = 0.2499}, evidence) == Outcome::fail);
  CHECK(outcome({.max_monthly_cost_ratio = 0.4}, evidence) == Outcome::pass);
  CHECK(outcome({.max_monthly_cost_ratio = 0.39}, evidence) == Outcome::fail);
  CHECK(outcome({.max_ece_increase = 0.0021}, evidence) == Outcome::pass);
  CHECK(outcome({.max_ece_increase = 0.0019}, evidence) == Outcome::fail);
  CHECK(outcome({.max_ece_increase = -0.001}, evidence) == Outcome::fail);
  evidence.candidate_ece = 0.005;
  CHECK(outcome({.max_ece_increase = -0.001}, evidence) == Outcome::pass);
  CHECK(outcome({.min_samples = 10001}, evidence) == Outcome::insufficient_data);
}

TEST_CASE("verdicts print and serialize") {
  Evidence evidence;
  evidence.baseline_bytes = 8;
  evidence.candidate_bytes = 2;
  const Verdict verdict = judge({.max_size_ratio = 0.5, .min_samples = 5}, evidence).value();
  CHECK(fmt::format("{}", verdict) == "insufficient_data\n"
                                      "  pass max_size_ratio: 8 -> 2 bytes, 0.25 of the size; at most 0.5 is asked\n"
                                      "  insufficient_data min_samples: accuracy was not measured");
  CHECK(to_json(verdict) ==
        R"({"outcome":"insufficient_data","checks":[{"name":"max_size_ratio","outcome":"pass","sentence":)"
        R"("8 -> 2 bytes, 0.25 of the size; at most 0.5 is asked","numbers":{"value":0.25,"bound":0.5,)"
        R"("baseline_bytes":8.0,"candidate_bytes":2.0}},{"name":"min_samples","outcome":"insufficient_data",)"
        R"("sentence":"accuracy was not measured","numbers":{}}]})");
  REQUIRE(verdict.find("max_size_ratio"));
  CHECK(verdict.find("max_size_ratio")->outcome == Outcome::pass);
  CHECK(verdict.find("min_speedup") == nullptr);
  Verdict strange;
  strange.checks.push_back({.name = "\xff", .outcome = Outcome::pass, .sentence = "", .numbers = {}});
  CHECK_FALSE(to_json(strange).empty());
}

TEST_CASE("criteria survive JSON, whichever are set") {
  for (const Criteria& criteria : {demanding(), Criteria{.max_ece_increase = -0.125}, Criteria{.min_samples = 3}}) {
    const std::string json = to_json(criteria);
    INFO(json);
    CHECK(criteria_from_json(json, "recipe.json").value() == criteria);
  }
  CHECK(to_json(Criteria{.confidence = 0.975, .max_size_ratio = 0.5}) ==
        R"({"max_size_ratio":0.5,"confidence":0.975})");
  CHECK(fmt::format("{}", Criteria{.min_speedup = 2}) == "min_speedup 2, confidence 0.95");
}

TEST_CASE("criteria that cannot be read are refused by file and key") {
  const auto refuse = [](const char* json) {
    const auto refused = criteria_from_json(json, "recipe.json: criteria");
    INFO(json);
    REQUIRE_FALSE(refused);
    CHECK(mcomp_test::well_formed(refused.error()));
    CHECK(refused.error().subject().find("recipe.json: criteria") == 0);
    return refused.error();
  };
  const Error unknown = refuse(R"({"max_acuracy_loss": 0.01})");
  CHECK(unknown.code() == ErrorCode::corrupt);
  CHECK(unknown.remedy().find("max_accuracy_loss") != std::string::npos);
  CHECK(refuse("[]").code() == ErrorCode::corrupt);
  CHECK(refuse("{").code() == ErrorCode::corrupt);
  CHECK(refuse(R"({"min_speedup": "2"})").code() == ErrorCode::corrupt);
  CHECK(refuse(R"({"min_speedup": null})").code() == ErrorCode::corrupt);
  CHECK(refuse(R"({"min_samples": 1.5})").code() == ErrorCode::corrupt);
  CHECK(refuse("{}").code() == ErrorCode::invalid_argument);
  CHECK(refuse(R"({"min_speedup": -1})").code() == ErrorCode::invalid_argument);
  CHECK(refuse(R"({"min_speedup": 2, "confidence": 1})").code() == ErrorCode::invalid_argument);
}

TEST_CASE("criteria that demand nothing or the impossible are errors") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const Criteria bad[] = {{},
                          {.max_accuracy_loss = 0},
                          {.max_accuracy_loss = 1},
                          {.max_accuracy_loss = nan},
                          {.min_speedup = -1},
                          {.max_ece_increase = infinity},
                          {.max_size_ratio = 0},
                          {.min_samples = 0},
                          {.confidence = 0.4, .min_samples = 5},
                          {.confidence = 1, .min_samples = 5},
                          {.confidence = nan, .min_samples = 5}};
  for (const Criteria& criteria : bad) {
    const auto refused = judge(criteria, good_evidence());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(refused.error()));
  }
}

TEST_CASE("evidence that cannot be is an error, not a verdict") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refuse = [](const auto& change) {
    Evidence evidence = good_evidence();
    change(evidence);
    const auto refused = judge(demanding(), evidence);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(refused.error()));
  };
  refuse([](Evidence& e) { e.accuracy->only_baseline_right = -1; });
  refuse([&](Evidence& e) { e.candidate_latency->p99.value = nan; });
  refuse([&](Evidence& e) { e.candidate_latency->p50.lower = nan; });
  refuse([](Evidence& e) { e.baseline_latency->p50.lower = 1; });
  refuse([](Evidence& e) { e.baseline_latency->p50.level = 1; });
  refuse([](Evidence& e) { e.paired_speedup = estimate(0.5, -1, {}, {}); });
  refuse([](Evidence& e) { e.baseline_bytes = 0; });
  refuse([](Evidence& e) { e.candidate_bytes = -5; });
  refuse([&](Evidence& e) { e.candidate_ece = nan; });
  refuse([](Evidence& e) { e.baseline_ece = 1.5; });
  refuse([](Evidence& e) { e.baseline_monthly_cost = 0; });
  refuse([&](Evidence& e) { e.candidate_monthly_cost = nan; });
}
