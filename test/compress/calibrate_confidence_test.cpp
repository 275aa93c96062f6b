#include <cmath>

#include "catch.hpp"
#include "mcomp/compress/artifact.hpp"
#include "mcomp/core/file.hpp"
#include "models.hpp"

using namespace mcomp;
using namespace mcomp::compress;
using namespace mcomp_test;

namespace {

/// A network that gives its four pixels, centred and spread, as logits z.
Model reader() {
  Model model;
  model.network = graph::network_from_json(R"({"schema": "mcomp-network-1", "name": "reader",
    "input": {"shape": [1, 2, 2], "mean": [0.5], "std": [0.1]},
    "layers": [{"name": "flat", "op": "flatten", "inputs": ["input"]},
               {"name": "head", "op": "linear", "out_features": 4}]})",
                                           "reader")
                      .value();
  std::vector<float> eye(16, 0.0f);
  for (std::size_t i = 0; i < 4; ++i) eye[5 * i] = 1;
  model.weights.put("head.weight", Tensor::from(eye, Shape{4, 4}).value());
  return model;
}

/// Random images whose labels are drawn from softmax(z / temperature).
Samples drawn(double temperature, std::int64_t count = 4000) {
  Random random(21);
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < count; ++i) {
    double p[4], sum = 0;
    for (double& e : p) {
      pixels.push_back(static_cast<std::uint8_t>(random.below(256)));
      sum += e = std::exp((pixels.back() / 255.0 - 0.5) / 0.1 / temperature);
    }
    double u = random.uniform() * sum;
    std::int32_t label = 0;
    while (label < 3 && u >= p[label]) u -= p[label++];
    labels.push_back(label);
  }
  Samples samples;
  samples.tensors.put("images", Tensor::from(pixels, Shape{count, 1, 2, 2}).value());
  samples.tensors.put("labels", Tensor::from(labels, Shape{count}).value());
  return samples;
}

} // namespace

TEST_CASE("weights and calibrator are one artifact: confidence is a step of a recipe") {
  const Model model = reader();
  const Samples samples = drawn(2);
  const std::string quantize = R"({"strategy": "quantize_weights", "format": "int8"}, )";
  for (const char* method : {"select", "temperature", "vector", "isotonic"}) {
    INFO(method);
    const Recipe recipe =
        recipe_of(quantize + R"({"strategy": "calibrate_confidence", "method": ")" + method + R"("})");
    const Plan made = plan(model, recipe, {.calibration = &samples}).value();
    CHECK(plan_from_json(to_json(made), "plan").value() == made);
    const Model calibrated = apply(made, model).value();
    REQUIRE(calibrated.calibrator);
    CHECK_FALSE(calibrated.temperature);
    if (std::string(method) != "select") CHECK(to_string(calibrated.calibrator->method()) == method);
    const Tensor logits = outputs(calibrated, samples);
    const Tensor p = calibrated.probabilities(logits).value();
    // The probabilities that the labels were drawn from.
    const auto z = logits.values<float>("z").value();
    const auto found = p.values<double>("p").value();
    double distance = 0;
    for (std::size_t row = 0; row < found.size(); row += 4) {
      double sum = 0;
      for (std::size_t k = 0; k < 4; ++k) sum += std::exp(static_cast<double>(z[row + k]) / 2);
      for (std::size_t k = 0; k < 4; ++k)
        distance += std::abs(found[row + k] - std::exp(static_cast<double>(z[row + k]) / 2) / sum);
    }
    CHECK(distance / static_cast<double>(found.size()) < (std::string(method) == "isotonic" ? 0.06 : 0.03));
    CHECK(calibrated.probabilities(logits).value() == p);

    const auto folder = temporary_folder();
    REQUIRE(write_artifact(folder, calibrated, recipe, made));
    const Artifact read = read_artifact(folder).value();
    REQUIRE(read.model.calibrator);
    CHECK(read.model.probabilities(logits).value() == p);
    CHECK(fingerprint(read.model) == fingerprint(calibrated));
    Model without = calibrated;
    without.calibrator.reset();
    CHECK(fingerprint(without) != fingerprint(calibrated));

    std::string manifest = read_file(folder / "manifest.json").value();
    const auto at = manifest.find("\"calibrator\"");
    REQUIRE(at != std::string::npos);
    manifest.replace(at, 12, "\"calibratos\"");
    REQUIRE(write_file(folder / "manifest.json", manifest));
    CHECK(read_artifact(folder).error().code() == ErrorCode::corrupt);
  }
}

TEST_CASE("confidence is not raised on samples that may have been trained on, unless they are held out") {
  const Model model = reader();
  const Samples samples = drawn(0.5);
  const Plan kept =
      plan(model, recipe_of(R"({"strategy": "calibrate_confidence"})"), {.calibration = &samples}).value();
  CHECK(kept.decisions[0].entries[0].action == "left as it is");
  CHECK(kept.decisions[0].entries[0].reason.find("held_out") != std::string::npos);
  CHECK_FALSE(apply(kept, model).value().calibrator);
  const Plan raised =
      plan(model, recipe_of(R"({"strategy": "calibrate_confidence", "held_out": true})"), {.calibration = &samples})
          .value();
  CHECK(apply(raised, model).value().calibrator);
  // A later step takes the place of an earlier one, either way.
  Model scaled = model;
  scaled.temperature = 3;
  const Model replaced =
      apply(raised, apply(plan(model, recipe_of(R"({"strategy": "fold_batch_norm"})"), {}).value(), model).value())
          .value();
  CHECK(replaced.calibrator);
  scaled.calibrator = replaced.calibrator;
  CHECK(check(scaled).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("calibrate_confidence: what is refused before the first step works") {
  const Model model = reader();
  const Samples samples = drawn(1, 200);
  for (const char* options : {R"("method": "temprature")", R"("method": "slice_temperature")", R"("folds": 1)",
                              R"("folds": 1000)", R"("seed": -1)", R"("colour": 1)", R"("method": 3)"}) {
    INFO(options);
    const auto refused = plan(model, recipe_of(R"({"strategy": "calibrate_confidence", )" + std::string(options) + "}"),
                              {.calibration = &samples});
    REQUIRE_FALSE(refused);
    CHECK(well_formed(refused.error()));
  }
  CHECK_FALSE(plan(model, recipe_of(R"({"strategy": "calibrate_confidence"})"), {}));
  // Nothing may change the weights that a calibrator was fitted on.
  CHECK_FALSE(plan(
      model, recipe_of(R"({"strategy": "calibrate_confidence"}, {"strategy": "quantize_weights", "format": "int8"})"),
      {.calibration = &samples}));
  Model other = model;
  other.calibrator = calibrate::Calibrator::of(calibrate::TemperatureScaling{.temperature = 2}).value();
  CHECK(check(other).has_value());
  CHECK(other.probabilities(Tensor::from(std::vector<float>{1, 2, 3, 4}, Shape{1, 4}).value()).has_value());
}
