// Drift of windows against a reference, and accuracy without labels.

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "room_golden.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/calibrate/temperature.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/monitor/drift.hpp"
#include "mcomp/monitor/label_free.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

const std::vector<FeatureName> features{
    {.name = "brightness"}, {.name = "size"}, {.name = "country", .categories = {"de", "fr", "it"}}};

std::vector<double> row(Random& random, double shift = 0, double missing = 0, bool french = false) {
  const double country = french ? 1 : static_cast<double>(random.below(3));
  return {shift + random.normal(), random.uniform() < missing ? nan_value : std::exp(random.normal()), country};
}

DriftReference reference(std::uint64_t seed = 1, std::size_t rows = 4000) {
  Random random(seed);
  std::vector<double> all;
  for (std::size_t i = 0; i < rows; ++i)
    for (const double v : row(random)) all.push_back(v);
  const auto view = TensorView::of<double>(std::span<const double>(all), {static_cast<std::int64_t>(rows), 3}).value();
  return DriftReference::build(features, view).value();
}

} // namespace

TEST_CASE("a reference counts in quantiles, categories and a bin for what is missing", "[drift]") {
  std::vector<float> values;
  for (int i = 1; i <= 20; ++i) values.insert(values.end(), {static_cast<float>(i), static_cast<float>(i % 2)});
  values[0] = std::numeric_limits<float>::quiet_NaN(); // 2 .. 20 remain
  values[3] = 7;                                       // no such category
  const auto view = TensorView::of<float>(std::span<const float>(values), {20, 2}).value();
  const auto made =
      DriftReference::build({{.name = "n"}, {.name = "c", .categories = {"even", "odd"}}}, view, {.bins = 4}).value();
  const FeatureReference& n = made.features[0];
  CHECK(n.edges == std::vector<double>{6, 11, 16}); // ranks 19/4, 19/2, 57/4, from below
  CHECK(n.counts == std::vector<std::int64_t>{5, 5, 5, 4, 1});
  CHECK(n.deviation == Approx(std::sqrt((19.0 * 19 - 1) / 12)));
  CHECK(n.bin(6) == 0);
  CHECK(n.bin(6.1) == 1);
  CHECK(n.bin(1e9) == 3);
  CHECK(made.features[1].counts == std::vector<std::int64_t>{9, 10, 1});
  CHECK(made.sample.size() == 40);
}

TEST_CASE("the feature and slice that moved most is named, and the others are quiet", "[drift]") {
  DriftWindow window = DriftWindow::create(reference(), {.permutations = 99}).value();
  Random random(2);
  for (int i = 0; i < 1500; ++i) {
    REQUIRE(window.add(row(random, 0), "region=us"));
    if (i % 3 == 0) REQUIRE(window.add(row(random, 0.9), "region=eu"));
    if (i % 100 == 0) REQUIRE(window.add(row(random, 5), "region=aq"));
  }
  const DriftAnswer answer = window.answer().value();
  CHECK(answer.rows == 1500 + 500 + 15);
  CHECK(answer.too_few == std::vector<std::string>{"region=aq"});
  REQUIRE(answer.most_moved() != nullptr);
  CHECK(answer.most_moved()->feature == "brightness");
  CHECK(answer.most_moved()->slice == "region=eu");
  CHECK(*answer.most_moved()->wasserstein == Approx(0.9).margin(0.15));
  for (const FeatureDrift& d : answer.features)
    if (d.slice == "region=us" || d.feature != "brightness") CHECK_FALSE(d.drifted);
  REQUIRE(answer.joint.size() == 3);
  for (const JointDrift& j : answer.joint)
    if (j.slice == "region=us") CHECK_FALSE(j.drifted);
  CHECK(to_string(answer).find("drift: brightness in region=eu moved most") == 0);
  window.clear();
  CHECK(window.rows() == 0);
  CHECK_FALSE(window.answer().value().drifted());
  CHECK(to_string(window.answer().value()).find("too few rows to tell") == 0);
}

TEST_CASE("missing values and categories drift too", "[drift]") {
  DriftWindow window = DriftWindow::create(reference()).value();
  Random random(3);
  for (int i = 0; i < 600; ++i) REQUIRE(window.add(row(random, 0, 0.5)));
  DriftAnswer answer = window.answer().value();
  REQUIRE(answer.most_moved() != nullptr);
  CHECK(answer.most_moved()->feature == "size");
  CHECK_FALSE(answer.features[1].drifted);
  window.clear();
  for (int i = 0; i < 600; ++i) REQUIRE(window.add(row(random, 0, 0, true)));
  answer = window.answer().value();
  REQUIRE(answer.most_moved() != nullptr);
  CHECK(answer.most_moved()->feature == "country");
  CHECK_FALSE(answer.most_moved()->kolmogorov_smirnov);
}

TEST_CASE("windows without a shift are quiet, as are shifts that are real but small", "[drift]") {
  DriftWindow window = DriftWindow::create(reference(4, 20'000), {.least = 200}).value();
  int alarms = 0;
  for (std::uint64_t round = 0; round < 60; ++round) {
    Random random(100 + round);
    for (int i = 0; i < 300; ++i) REQUIRE(window.add(row(random), i % 2 == 0 ? "a" : "b"));
    alarms += window.answer().value().drifted();
    window.clear();
  }
  CHECK(alarms <= 3); // 1% of 60 windows, and chance
  Random random(9);
  for (int i = 0; i < 40'000; ++i) REQUIRE(window.add(row(random, 0.05)));
  const DriftAnswer small = window.answer().value();
  CHECK_FALSE(small.drifted());
  for (const FeatureDrift& d : small.features)
    if (d.feature == "brightness") CHECK(d.chi_squared_p < 1e-3); // significant, and does not matter
}

TEST_CASE("slices beyond those that have room count as overflow, and the same rows give the same answer", "[drift]") {
  const auto fill = [](DriftWindow& window) {
    Random random(5);
    for (int i = 0; i < 900; ++i) REQUIRE(window.add(row(random), "s" + std::to_string(i % 9)));
  };
  DriftWindow a = DriftWindow::create(reference(), {.least = 50, .max_slices = 2}).value(), b = a;
  fill(a);
  fill(b);
  CHECK(to_json(a.answer().value()) == to_json(b.answer().value()));
  std::int64_t overflow = 0;
  for (const FeatureDrift& d : a.answer().value().features)
    if (d.slice == "overflow") overflow = d.count;
  CHECK(overflow == 700);
}

TEST_CASE("a drift window refuses what it cannot serve", "[drift]") {
  const DriftReference good = reference();
  const auto refused = [&](const DriftOptions& options) {
    const auto made = DriftWindow::create(good, options);
    return !made && mcomp_test::well_formed(made.error());
  };
  CHECK(refused({.thresholds = {.wasserstein = 0}}));
  CHECK(refused({.significance = 1}));
  CHECK(refused({.least = 1}));
  CHECK(refused({.sample = 1}));
  CHECK(refused({.max_slices = -1}));
  CHECK(refused({.permutations = -1}));
  DriftReference broken = good;
  broken.features[0].counts.pop_back();
  CHECK_FALSE(DriftWindow::create(broken));
  CHECK_FALSE(DriftWindow::create(DriftReference{}));
  DriftWindow window = DriftWindow::create(good).value();
  CHECK_FALSE(window.add(std::vector<double>{1, 2}));
  const std::vector<double> few(9, 1.0);
  const auto view = TensorView::of<double>(std::span<const double>(few), {3, 3}).value();
  CHECK_FALSE(DriftReference::build(features, view));
  CHECK_FALSE(DriftReference::build({{.name = "a"}, {.name = "a"}, {.name = "b"}}, view));
  CHECK_FALSE(DriftReference::build({{.name = "a"}}, view));
}

TEST_CASE("accuracy without labels is what temperature-scaled networks reach", "[label_free]") {
  struct Row {
    const char* file;
    double raw, estimated, truth; // published-numbers, part G
  };
  for (const Row& r : {Row{"calibration/wideresnet-16-4-cifar-10.safetensors", .966373, .914823, .9112},
                       Row{"calibration/densenet-bc-100-cifar-100.safetensors", .898026, .758754, .7538},
                       Row{"calibration/lenet-5-cifar-10.safetensors", .641464, .543373, .5222}}) {
    const auto path = mcomp_test::data(r.file);
    if (!path) return;
    INFO(r.file);
    const TensorStore tensors = io::read_safetensors(*path).value().tensors;
    const auto rows = [&](std::int64_t begin, std::int64_t end) { // log p serves as logits
      const TensorView recorded = tensors.find("probabilities").value().rows(begin, end).value();
      std::vector<double> logits;
      for (const float p : recorded.values<float>("probabilities").value()) logits.push_back(std::log(double{p}));
      return Tensor::from(logits, recorded.shape()).value();
    };
    const TensorView labels = tensors.find("labels").value();
    const auto scaling = calibrate::fit_temperature(rows(0, 5000), labels.rows(0, 5000).value()).value();
    const Tensor fresh = rows(5000, 10'000);
    for (const double temperature : {1.0, scaling.temperature}) {
      const auto scores = calibrate::outcomes_of_logits(fresh, labels.rows(5000, 10'000).value(), temperature).value();
      const auto estimate = estimate_accuracy(scores.confidence, {.calibration_rows = 5000}).value();
      CHECK(estimate.accuracy == Approx(temperature == 1 ? r.raw : r.estimated).margin(2e-6));
      double right = 0;
      for (const auto c : scores.correct) right += c / 5000.0;
      CHECK(right == Approx(r.truth).margin(1e-9));
    }
  }
}

TEST_CASE("the interval holds the accuracy of calibrated answers as often as it says", "[label_free]") {
  int held = 0, held_without = 0;
  constexpr int rounds = 1000, rows = 300, calibration_rows = 300;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    Random random(round, 6);
    // A calibrator that was fitted on 300 rows: all its confidences are off by the mean gap of those rows.
    const auto p_of = [&] { return 0.5 + 0.4 * random.uniform(); };
    double gap = 0;
    for (int i = 0; i < calibration_rows; ++i) {
      const double p = p_of();
      gap += ((random.uniform() < p ? 1 : 0) - p) / calibration_rows;
    }
    std::vector<double> confidences;
    double right = 0;
    for (int i = 0; i < rows; ++i) {
      const double p = p_of();
      confidences.push_back(std::min(p + gap, 1.0));
      right += (random.uniform() < p ? 1.0 : 0.0) / rows;
    }
    held += estimate_accuracy(confidences, {.calibration_rows = calibration_rows}).value().interval.contains(right);
    held_without += estimate_accuracy(confidences).value().interval.contains(right);
  }
  CHECK(held >= 930); // 950, less 3 standard deviations
  CHECK(held_without < 900);
}

TEST_CASE("accuracy without labels by slice, from what instruments counted", "[label_free]") {
  ServiceSnapshot snapshot;
  snapshot.dimensions = {"model_version", "region", "cohort", "latency_tier", "edge_case", "device"};
  SeriesSnapshot eu, us;
  eu.labels[1] = "eu";
  eu.confident = 100;
  eu.confidence = 80'000'000;
  eu.confidence_variance = 16'000'000;
  us.labels[1] = "us";
  us.confident = 300;
  us.confidence = 180'000'000;
  us.confidence_variance = 72'000'000;
  snapshot.series = {eu, us};
  const auto by = estimate_accuracy_by(snapshot, "region").value();
  REQUIRE(by.size() == 2);
  CHECK(by[0].slice == "region=us");
  CHECK(by[0].accuracy == Approx(0.6));
  CHECK(by[1].accuracy == Approx(0.8));
  CHECK(by[1].interval.upper - 0.8 == Approx(1.959964 * std::sqrt(0.16 / 100)).epsilon(1e-6));
  CHECK(estimate_accuracy(snapshot.total()).value().accuracy == Approx(0.65));
  CHECK(to_string(by[0]).find("region=us: accuracy 0.6000") == 0);
  CHECK(to_string(by[0]).find("calibrated") != std::string::npos); // the assumption is printed beside
  CHECK_FALSE(estimate_accuracy(SeriesSnapshot{}));
  CHECK_FALSE(estimate_accuracy(std::vector<double>{1.5}));
  CHECK_FALSE(estimate_accuracy(std::vector<double>{0.5}, {.level = 1}));
  CHECK_FALSE(estimate_accuracy(std::vector<double>{0.5}, {.calibration_rows = -1}));
  CHECK_FALSE(estimate_accuracy_by(snapshot, "planet"));
}

TEST_CASE("references, options and answers of version 1 read and are written as they were", "[drift]") {
  const std::vector<double> values{1, 0, 2, 1, 3, 1, 4, 2, 5, 0, 6, 0, 7, 0, nan_value, 0, 9, 9, 10, 0};
  const auto view = TensorView::of<double>(std::span<const double>(values), {10, 2}).value();
  const DriftReference made =
      DriftReference::build({{.name = "n"}, {.name = "c", .categories = {"a", "b"}}}, view, {.bins = 3}).value();
  CHECK(to_json(made) == mcomp_test::golden("drift_reference"));
  CHECK(to_json(DriftReference::parse(mcomp_test::golden("drift_reference")).value()) == to_json(made));
  const DriftOptions options{.thresholds = {.jensen_shannon = 0.25}, .least = 5, .permutations = 10};
  CHECK(to_json(options) == mcomp_test::golden("drift_options"));
  CHECK(drift_options_from_json(mcomp_test::golden("drift_options")).value() == options);
  const DriftAnswer answer{.features = {{.feature = "n",
                                         .slice = "region=eu",
                                         .count = 100,
                                         .population_stability = 0.5,
                                         .jensen_shannon = 0.25,
                                         .chi_squared_p = 0.001,
                                         .kolmogorov_smirnov = 0.5,
                                         .kolmogorov_smirnov_p = 0.002,
                                         .wasserstein = 1.5,
                                         .p_value = 0.004,
                                         .moved = 5,
                                         .drifted = true},
                                        {.feature = "c", .count = 200}},
                           .joint = {{.slice = "", .count = 200, .squared_mmd = 0.125, .p_value = 0.5}},
                           .too_few = {"region=aq"},
                           .rows = 200};
  CHECK(to_json(answer) == mcomp_test::golden("drift_answer"));
  const std::vector<double> sure{0.5, 1};
  CHECK(to_json(estimate_accuracy(sure, {.calibration_rows = 8}).value()) == mcomp_test::golden("accuracy_estimate"));
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string text = to_json(made);
    text.replace(text.find(from), from.size(), to);
    const auto read = DriftReference::parse(text);
    return !read && mcomp_test::well_formed(read.error());
  };
  CHECK(refused("reference-1", "reference-2"));
  CHECK(refused("\"rows\":10", "\"rows\":-1"));
  CHECK(refused("\"name\":\"c\"", "\"name\":\"n\""));
  CHECK(refused("\"counts\":[", "\"counts\":[1,"));
  CHECK(refused("\"sample\":[", "\"sample\":[1,"));
  CHECK(refused("\"sample\":[", "\"sample\":[\"a\","));
  CHECK_FALSE(drift_options_from_json("{\"schema\":\"mcomp-drift-options-1\",\"least\":0}"));
}
