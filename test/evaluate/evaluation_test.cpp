#include "mcomp/evaluate/evaluation.hpp"

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::evaluate;

namespace {

constexpr std::int64_t rows = 400;

/// Inputs are the row's label and its number; models look the answer up.
Suite numbered_suite(std::int64_t count = rows) {
  Tensor inputs = Tensor::zeros(DType::f32, Shape{count, 2}).value();
  Tensor labels = Tensor::zeros(DType::int32, Shape{count}).value();
  Slicing region{.dimension = "region", .groups = {"eu", "us", "nowhere"}};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int32_t>(i % 2);
    labels.mutable_values<std::int32_t>()[static_cast<std::size_t>(i)] = label;
    inputs.mutable_values<float>()[static_cast<std::size_t>(2 * i)] = static_cast<float>(label);
    inputs.mutable_values<float>()[static_cast<std::size_t>(2 * i + 1)] = static_cast<float>(i);
    region.group.push_back(i < count / 4 ? 1 : 0);
  }
  return Suite::freeze({.name = "numbered",
                        .version = "7",
                        .inputs = std::move(inputs),
                        .labels = std::move(labels),
                        .slicings = {region},
                        .versions = {{"labels", "by hand"}}})
      .value();
}

/// Right but where `wrong` says, with the given margin of its logits.
Contender model(std::string name, std::function<bool(std::int64_t)> wrong, float margin = 3) {
  Contender contender{.name = std::move(name)};
  contender.predict = [wrong = std::move(wrong), margin](const TensorView& inputs) -> Result<Answer> {
    const auto x = inputs.values<float>("inputs").value();
    Tensor logits = Tensor::zeros(DType::f32, Shape{inputs.size(0), 2}).value();
    for (std::int64_t i = 0; i < inputs.size(0); ++i) {
      const auto row = static_cast<std::int64_t>(x[static_cast<std::size_t>(2 * i + 1)]);
      const bool one = (x[static_cast<std::size_t>(2 * i)] != 0) != wrong(row);
      logits.mutable_values<float>()[static_cast<std::size_t>(2 * i + (one ? 1 : 0))] = margin;
    }
    return Answer{.outputs = std::move(logits), .stages = {{"queue", 0.001}, {"model", 0.002}}};
  };
  return contender;
}

const Contender always_right = model("fp32", [](std::int64_t) { return false; });
/// Wrong on 6 of the first 100 rows, which are those of "us".
const Contender slice_loser = model("w4", [](std::int64_t i) { return i < 100 && i % 16 == 3; });

void refused(const Result<Evaluation>& result, ErrorCode code) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
}

} // namespace

TEST_CASE("compare: outcomes, times and slices of both models", "[evaluation]") {
  const Suite suite = numbered_suite();
  Contender candidate = slice_loser;
  candidate.bytes = 25;
  Contender baseline = always_right;
  baseline.bytes = 100;
  const Evaluation e = compare(baseline, candidate, suite, {.max_accuracy_loss = 0.05, .max_size_ratio = 0.5}).value();
  CHECK(e.suite_fingerprint == suite.fingerprint());
  CHECK(e.suite == "numbered");
  CHECK(e.suite_versions.at("labels") == "by hand");
  CHECK(e.evidence.accuracy == stats::PairedCounts{393, 7, 0, 0});
  CHECK(e.verdict.passed());
  REQUIRE(e.evidence.slices.size() == 3);
  const SliceEvidence &eu = e.evidence.slices[0], &us = e.evidence.slices[1], &nowhere = e.evidence.slices[2];
  CHECK(us.name == "region=us");
  CHECK(us.accuracy == stats::PairedCounts{93, 7, 0, 0});
  CHECK(us.changed == 7);
  CHECK(eu.accuracy == stats::PairedCounts{300, 0, 0, 0});
  CHECK(nowhere.accuracy.pairs() == 0);
  CHECK_FALSE(nowhere.candidate_loss);
  REQUIRE(e.candidate_use);
  CHECK(e.candidate_use->latency.count == rows);
  REQUIRE(e.candidate_use->stages.size() == 2);
  CHECK(e.candidate_use->stages[1].first == "model");
  CHECK(e.candidate_use->stages[1].second.p99.value == 0.002);
  REQUIRE(us.candidate_latency);
  CHECK(us.candidate_latency->count == 100);
  CHECK(eu.candidate_latency->count == 300);
  // Confidence sigmoid(3), always: the calibration error is how far that is from the accuracy.
  const double confidence = 1 / (1 + std::exp(-3.0));
  CHECK(e.evidence.baseline_ece.value() == Approx(1 - confidence).epsilon(1e-6));
  CHECK(us.candidate_ece.value() == Approx(std::abs(0.93 - confidence)).epsilon(1e-6));
  CHECK(e.evidence.candidate_loss.value() == Approx(std::log1p(std::exp(-3.0)) + 3 * 7.0 / 400).epsilon(1e-6));
  CHECK(e.evidence.loss_increase->value == Approx(3 * 7.0 / 400).epsilon(1e-6));
  REQUIRE(e.evidence.loss_increase->interval);
  CHECK(e.evidence.loss_increase->interval->contains(3 * 7.0 / 400));
  CHECK(e.evidence.loss_increase->interval->lower > 0);
  REQUIRE(e.evidence.fairness.size() == 1);
  CHECK(e.evidence.fairness[0].worst_flip_group == "us");
  CHECK(e.evidence.fairness[0].disparate_flip_ratio.value() == Approx(4));
  REQUIRE(e.exemplars.size() == 7);
  CHECK(e.exemplars[0].row == 3);
  CHECK(e.exemplars[0].slices == std::vector<std::string>{"region=us"});
  CHECK(e.exemplars[0].loss_increase.value() == Approx(3).epsilon(1e-6));
}

TEST_CASE("compare: passes on average and is rejected for one slice", "[evaluation]") {
  const Suite suite = numbered_suite();
  const Criteria criteria{.max_accuracy_loss = 0.05, .max_slice_accuracy_loss = 0.05};
  const Evaluation e = compare(always_right, slice_loser, suite, criteria).value();
  CHECK(e.verdict.outcome == Outcome::fail);
  CHECK(e.verdict.find("max_accuracy_loss")->outcome == Outcome::pass);
  CHECK(e.verdict.find("max_slice_accuracy_loss[region=eu]")->outcome == Outcome::pass);
  CHECK(e.verdict.find("max_slice_accuracy_loss[region=us]")->outcome == Outcome::fail);
  CHECK(e.verdict.find("max_slice_accuracy_loss[region=nowhere]")->outcome == Outcome::insufficient_data);

  // The protected slice has a margin of its own.
  const Criteria lenient{.max_accuracy_loss = 0.05, .protected_slices = {{"region=us", 0.2}}};
  CHECK(judge_again(e, lenient).value().verdict.passed());
  const Criteria absent{.protected_slices = {{"region=mars", 0.2}}};
  CHECK(judge_again(e, absent).value().verdict.outcome == Outcome::insufficient_data);
  const Criteria large{.protected_slices = {{"region=us", 0.2}}, .min_slice_samples = 101};
  CHECK(judge_again(e, large).value().verdict.outcome == Outcome::insufficient_data);

  const auto outcome = [&](const Criteria& c) { return judge_again(e, c).value().verdict.outcome; };
  CHECK(outcome({.max_negative_flip_fraction = 0.05}) == Outcome::pass);
  CHECK(outcome({.max_negative_flip_fraction = 0.005}) == Outcome::fail);
  CHECK(outcome({.max_negative_flip_fraction = 0.02}) == Outcome::insufficient_data);
  CHECK(outcome({.max_disparate_flip_ratio = 1.5}) == Outcome::fail);
  CHECK(outcome({.max_disparate_flip_ratio = 9}) == Outcome::pass);
  CHECK(outcome({.max_loss_increase = 0.2}) == Outcome::pass);
  CHECK(outcome({.max_loss_increase = 0.001}) == Outcome::fail);
  CHECK(outcome({.max_equalized_odds_increase = 0.5}) == Outcome::pass);
  CHECK(outcome({.max_equalized_odds_increase = 0.01}) == Outcome::fail);
  CHECK(outcome({.max_demographic_parity_increase = 0.5}) == Outcome::pass);
  CHECK(outcome({.slice_latency_p99_seconds = {{"region=us", 3600.0}}}) != Outcome::fail);
  CHECK(outcome({.slice_latency_p99_seconds = {{"region=nowhere", 3600.0}}}) == Outcome::insufficient_data);
  CHECK(outcome({.max_memory_ratio = 1}) == Outcome::insufficient_data);
}

TEST_CASE("harmed slices: exact tests of all slices together", "[evaluation]") {
  Evidence evidence;
  const auto add = [&](std::string name, std::int64_t b, std::int64_t c, std::int64_t n) {
    evidence.slices.push_back({.name = std::move(name), .accuracy = {n - b - c, b, c, 0}});
  };
  add("a=hurt", 12, 0, 100);
  add("a=even", 5, 5, 100);
  add("a=unclear", 4, 0, 100);
  add("a=better", 0, 9, 100);
  add("a=empty", 0, 0, 0);
  const auto harmed = harmed_slices(evidence).value();
  REQUIRE(harmed.size() == 1);
  CHECK(harmed[0].name == "a=hurt");
  CHECK(harmed[0].loss == 0.12);
  CHECK(harmed[0].p_value == Approx(std::pow(0.5, 12)).epsilon(1e-9));
  // Four tests, the smallest of them: p x 4 x (1 + 1/2 + 1/3 + 1/4).
  CHECK(harmed[0].adjusted_p_value == Approx(std::pow(0.5, 12) * 4 * 25 / 12).epsilon(1e-9));
  const auto lenient = harmed_slices(evidence, 0.4).value();
  REQUIRE(lenient.size() == 2);
  CHECK(lenient[1].name == "a=unclear");
  CHECK(harmed_slices({}).value().empty());
  CHECK_FALSE(harmed_slices(evidence, 0));
  evidence.slices[0].accuracy.both_right = -1;
  CHECK_FALSE(harmed_slices(evidence));
}

TEST_CASE("compare: the same numbers whatever the batch, and from recorded scores", "[evaluation]") {
  const Suite suite = numbered_suite();
  const Criteria criteria{.max_accuracy_loss = 0.05};
  const Evaluation one = compare(always_right, slice_loser, suite, criteria).value();
  ThreadPool pool(3);
  const Evaluation many =
      compare(always_right, slice_loser, suite, criteria, {.batch = 150}, {.executor = &pool}).value();
  CHECK(many.candidate_use->latency.count == 3);
  CHECK_FALSE(many.evidence.slices[1].candidate_latency); // no request is of "us" alone
  CHECK(many.exemplars == one.exemplars);
  Evidence a = one.evidence, b = many.evidence;
  for (Evidence* e : {&a, &b}) {
    e->baseline_latency = e->candidate_latency = std::nullopt;
    e->paired_speedup = std::nullopt;
    for (SliceEvidence& slice : e->slices) slice.baseline_latency = slice.candidate_latency = std::nullopt;
  }
  CHECK(a == b);

  const auto scores = [&](const Contender& contender) {
    const Tensor outputs = contender.predict(suite.inputs()).value().outputs;
    return score_logits(outputs, suite.labels()).value();
  };
  const Evaluation recorded = compare_scores(scores(always_right), scores(slice_loser), suite, criteria).value();
  CHECK(recorded.evidence == a);
  CHECK_FALSE(recorded.baseline_use);
}

TEST_CASE("compare: bootstrap intervals cover", "[evaluation]") {
  // The candidate's true accuracy in the slice is five points lower; of 60 draws at 90 % some 54 intervals hold it.
  int covered = 0;
  constexpr int draws = 60;
  for (int d = 0; d < draws; ++d) {
    Random random(100, static_cast<std::uint64_t>(d));
    RowScores before, after;
    Tensor labels = Tensor::zeros(DType::int32, Shape{300}).value();
    for (int i = 0; i < 300; ++i) {
      const double loss = random.uniform();
      before.correct.push_back(1);
      after.correct.push_back(1);
      before.loss.push_back(loss);
      after.loss.push_back(loss + (random.uniform() < 0.1 ? 0.5 : 0)); // mean 0.05
    }
    const Suite suite = Suite::freeze({.name = "draw", .labels = labels}).value();
    const auto e = compare_scores(before, after, suite, {.max_loss_increase = 1}, {.resamples = 200}).value();
    covered += e.evidence.loss_increase->interval->contains(0.05);
    CHECK_FALSE(e.evidence.baseline_ece); // no confidences, no calibration error
  }
  CHECK(covered >= 47);
  CHECK(covered < 60);
}

TEST_CASE("evaluation: JSON gives an equal value", "[evaluation]") {
  const Criteria criteria{.max_accuracy_loss = 0.05,
                          .protected_slices = {{"region=us", 0.2}},
                          .slice_latency_p99_seconds = {{"region=us", 1.0}},
                          .min_slice_samples = 5,
                          .max_disparate_flip_ratio = 3};
  const Evaluation e = compare(always_right, slice_loser, numbered_suite(), criteria).value();
  const std::string json = to_json(e);
  const auto back = evaluation_from_json(json, "evaluation.json");
  REQUIRE(back);
  CHECK(*back == e);
  CHECK(criteria_from_json(to_json(criteria), "criteria").value() == criteria);

  const auto broken = [&](const std::string& from, const std::string& to) {
    std::string text = json;
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    const auto result = evaluation_from_json(text, "evaluation.json");
    REQUIRE_FALSE(result);
    CHECK(mcomp_test::well_formed(result.error()));
    CHECK(result.error().subject().find("evaluation.json") == 0);
  };
  broken("mcomp-evaluation-1", "mcomp-evaluation-9");
  broken("\"rows\"", "\"rowz\"");
  broken("\"rows\": 400", "\"rows\": \"many\"");
  broken("insufficient_data", "maybe");
  broken("\"level\": ", "\"extra\": 1, \"level\": ");
  broken("\"both_right\": 393", "\"both_right\": 1e99");
  CHECK_FALSE(evaluation_from_json("[]", "x"));
  CHECK_FALSE(evaluation_from_json("", "x"));
  for (std::size_t cut = 0; cut < json.size(); cut += 97) CHECK_FALSE(evaluation_from_json(json.substr(0, cut), "x"));
}

TEST_CASE("evaluation: text, Markdown and JUnit name every check", "[evaluation]") {
  Contender odd = slice_loser;
  odd.name = "a <b> & \"c\" | d";
  const Evaluation e = compare(always_right, odd, numbered_suite(),
                               {.max_accuracy_loss = 0.05, .max_memory_ratio = 1, .max_slice_accuracy_loss = 0.05})
                           .value();
  const std::string text = fmt::format("{}", e), markdown = to_markdown(e), junit = to_junit_xml(e);
  for (const Check& check : e.verdict.checks) {
    CHECK(text.find(check.name) != std::string::npos);
    CHECK(markdown.find(check.name) != std::string::npos);
    CHECK(junit.find(check.name) != std::string::npos);
  }
  CHECK(markdown.find("a &lt;b> & \"c\" \\| d") != std::string::npos);
  CHECK(junit.find("a &lt;b&gt; &amp; &quot;c&quot; | d") != std::string::npos);
  CHECK(junit.find("tests=\"5\" failures=\"1\" errors=\"0\" skipped=\"2\"") != std::string::npos);
  CHECK(markdown.find(e.suite_fingerprint) != std::string::npos);
}

TEST_CASE("evaluation: only those on the same suite are compared", "[evaluation]") {
  const Criteria criteria{.max_accuracy_loss = 0.05};
  const Evaluation a = compare(always_right, slice_loser, numbered_suite(), criteria).value();
  const Evaluation b = compare(always_right, always_right, numbered_suite(), criteria).value();
  const auto found = changes(a, b).value();
  const auto number = [&](const std::string& name) {
    for (const EvaluationChange& c : found)
      if (c.name == name) return std::pair(c.before, c.after);
    return std::pair(std::nan(""), std::nan(""));
  };
  CHECK(number("candidate_accuracy").first == Approx(393.0 / 400));
  CHECK(number("candidate_accuracy").second == 1);
  CHECK(number("accuracy_loss[region=us]").first == Approx(0.07));
  const Evaluation other = compare(always_right, slice_loser, numbered_suite(200), criteria).value();
  const auto mixed = changes(a, other);
  REQUIRE_FALSE(mixed);
  CHECK(mcomp_test::well_formed(mixed.error()));
  CHECK(mixed.error().rule().find(a.suite_fingerprint) != std::string::npos);
}

TEST_CASE("compare: what is refused, before any model runs or by what it says", "[evaluation]") {
  const Suite suite = numbered_suite(20);
  int calls = 0;
  Contender counted = always_right;
  counted.predict = [&](const TensorView& inputs) {
    ++calls;
    return always_right.predict(inputs);
  };
  const Criteria criteria{.max_accuracy_loss = 0.05};
  refused(compare(counted, counted, suite, {}), ErrorCode::invalid_argument);
  refused(compare(counted, counted, suite, criteria, {.batch = 0}), ErrorCode::invalid_argument);
  refused(compare(counted, counted, suite, criteria, {.warm_up = -1}), ErrorCode::invalid_argument);
  refused(compare(counted, counted, suite, criteria, {.resamples = -1}), ErrorCode::invalid_argument);
  refused(compare(counted, counted, suite, criteria, {.ece_bins = 0}), ErrorCode::invalid_argument);
  refused(compare(counted, counted, suite, criteria, {.fairness_dimensions = {"age"}}), ErrorCode::not_found);
  refused(compare(counted, Contender{.name = "none"}, suite, criteria), ErrorCode::invalid_argument);
  const Suite labels_only = Suite::freeze({.name = "l", .labels = suite.labels()}).value();
  refused(compare(counted, counted, labels_only, criteria), ErrorCode::invalid_argument);
  CHECK(calls == 0);

  const auto answers = [](Tensor outputs, std::vector<std::pair<std::string, double>> stages = {}) {
    Contender c{.name = "odd"};
    c.predict = [outputs, stages](const TensorView&) -> Result<Answer> { return Answer{outputs, stages}; };
    return c;
  };
  const auto logits = [](std::vector<float> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return Tensor::from(values, Shape{1, n}).value();
  };
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  refused(compare(always_right, answers(logits({1, nan})), suite, criteria), ErrorCode::invalid_value);
  refused(compare(always_right, answers(logits({1, inf})), suite, criteria), ErrorCode::invalid_value);
  refused(compare(always_right, answers(logits({1})), suite, criteria),
          ErrorCode::invalid_value); // label 1 of one class
  refused(compare(always_right, answers(Tensor::zeros(DType::f32, Shape{2, 2}).value()), suite, criteria),
          ErrorCode::invalid_shape);
  refused(compare(always_right, answers(logits({1, 2}), {{"a", -1.0}}), suite, criteria), ErrorCode::invalid_value);
  Contender failing{.name = "broken"};
  failing.predict = [](const TensorView&) -> Result<Answer> {
    return Error(ErrorCode::io_failure, "gpu", "it is gone", "plug it in");
  };
  const auto failed = compare(always_right, failing, suite, criteria);
  refused(failed, ErrorCode::io_failure);
  CHECK(failed.error().subject() == "candidate 'broken': gpu");

  Context context;
  context.cancellation.cancel();
  refused(compare(always_right, always_right, suite, criteria, {}, context), ErrorCode::cancelled);
  RowScores few;
  few.correct = {1};
  few.loss = {0};
  refused(compare_scores(few, few, suite, criteria), ErrorCode::invalid_shape);
}

TEST_CASE("row scores: closed forms of logits and probabilities", "[scores]") {
  const Tensor labels = Tensor::from(std::vector<std::int64_t>{1, 0, 2}, Shape{3}).value();
  const Tensor logits = Tensor::from(std::vector<double>{0, 1, 0, 2, 2, 0, 0, 0, -1e200}, Shape{3, 3}).value();
  const auto scores = score_logits(logits, labels, 2).value();
  CHECK(scores.predicted == std::vector<std::int32_t>{1, 0, 0});
  CHECK(scores.correct == std::vector<std::uint8_t>{1, 1, 0});
  CHECK(scores.loss[0] == Approx(std::log(1 + 2 * std::exp(-0.5))));
  CHECK(scores.confidence[1] == Approx(1 / (2 + std::exp(-1.0))));
  CHECK(scores.loss[2] > 1e199); // a probability of zero, and no detour over it
  CHECK(scores.accuracy() == Approx(2.0 / 3));
  const Tensor p =
      Tensor::from(std::vector<float>{0.2F, 0.5F, 0.3F, 0.25F, 0.5F, 0.25F, 0.5F, 0.5F, 0}, Shape{3, 3}).value();
  const auto from_p = score_probabilities(p, labels).value();
  CHECK(from_p.loss[0] == Approx(-std::log(0.5)));
  CHECK(from_p.correct == std::vector<std::uint8_t>{1, 0, 0});
  CHECK(std::isinf(from_p.loss[2]));
  CHECK_FALSE(score_logits(logits, labels, 0));
  CHECK_FALSE(score_logits(logits, labels, -1));
  CHECK_FALSE(score_probabilities(logits, labels));
  CHECK(score_logits(p, Tensor::from(std::vector<std::int64_t>{1, 3, 0}, Shape{3}).value()).error().code() ==
        ErrorCode::invalid_value);
}
