#include "catch.hpp"
#include "models.hpp"

// Combinations of steps that make no sense are errors of `plan`, before the first step works.

using namespace mcomp;
using namespace mcomp::compress;
using namespace mcomp_test;

namespace {

const std::string fold = R"({"strategy": "fold_batch_norm"}, )",
                  prune = R"({"strategy": "prune_filters", "fraction": 0.25})",
                  quantize = R"({"strategy": "quantize"})",
                  weights = R"({"strategy": "quantize_weights", "format": "int8"})",
                  gptq = R"({"strategy": "quantize_weights", "format": "int4:g16", "method": "gptq"})",
                  equalize = R"({"strategy": "equalize"})", smooth = R"({"strategy": "smooth"})",
                  awq = R"({"strategy": "awq", "format": "int4:g16"})", rotate = R"({"strategy": "rotate"})",
                  correct = R"({"strategy": "bias_correction"})",
                  temperature = R"({"strategy": "calibrate_temperature"})";

std::string formatted(const std::string& format, const std::string& more = "") {
  return R"({"strategy": "quantize_weights", "format": ")" + format + "\"" + more + "}";
}

/// Plans and expects an error that names these words, and that no step has worked.
void refused(const Model& model, const Samples* samples, const std::string& steps, ErrorCode code,
             const std::vector<std::string>& words) {
  INFO(steps);
  Workbench bench{.calibration = samples};
  int worked = 0;
  bench.context.progress = [&](const ProgressEvent&) { ++worked; };
  const auto made = plan(model, recipe_of(steps), bench);
  REQUIRE_FALSE(made);
  INFO(made.error().what());
  CHECK(well_formed(made.error()));
  CHECK(made.error().code() == code);
  for (const std::string& word : words) {
    INFO("'" << word << "'");
    CHECK(std::string(made.error().what()).find(word) != std::string::npos);
  }
  CHECK(worked == 0);
}

} // namespace

TEST_CASE("steps that make no sense where they stand are refused before any step works") {
  const Model network = random_resnet(), decoder = random_decoder(grouped_decoder());
  const Samples images = random_images(40), tokens = random_tokens(8, 16, 23);
  const auto invalid = ErrorCode::invalid_argument, unsupported = ErrorCode::unsupported;

  // What changes weights, after they were quantized.
  for (const std::string& step : {prune, equalize, smooth, std::string(R"({"strategy": "fold_batch_norm"})")})
    refused(network, &images, fold + quantize + ", " + step, invalid,
            {"step 2", "quantized already", "step 1: quantize"});
  for (const std::string& step : {smooth, rotate})
    refused(decoder, &tokens, weights + ", " + step, invalid, {"step 1", "before the step that quantizes"});
  // Twice, in whichever way.
  refused(network, &images, fold + quantize + ", " + quantize, invalid, {"step 2", "quantize once"});
  refused(network, &images, fold + quantize + ", " + weights, invalid, {"step 2", "quantize once"});
  refused(decoder, &tokens, weights + ", " + gptq, invalid, {"step 1", "quantize once"});
  // Corrections of nothing.
  refused(network, &images, fold + correct + ", " + quantize, invalid, {"step 1", "after the step that quantizes"});
  refused(decoder, &tokens, correct, invalid, {"step 0", "nothing is quantized yet"});
  refused(decoder, &tokens, weights + ", " + correct + ", " + correct, invalid, {"step 2", "corrected already"});
  // Confidence before what changes it.
  refused(network, &images, fold + temperature + ", " + quantize, invalid,
          {"step 2", "step 1: calibrate_temperature", "last"});
  // Steps for another kind of network.
  refused(network, &images, fold + rotate, unsupported, {"step 1", "rotate", "no decoder"});
  refused(decoder, &tokens, quantize, unsupported, {"quantize", "takes tokens", "quantize_weights"});
  refused(decoder, &tokens, temperature, unsupported, {"calibrate_temperature", "classifiers"});
  refused(decoder, &tokens, prune, unsupported, {"prune_filters", "takes tokens"});
  refused(decoder, &tokens, equalize, unsupported, {"equalize", "smooth"});
  // Batch normalization in the way.
  for (const std::string& step : {equalize, smooth})
    refused(network, &images, step, invalid, {"step 0", "batch normalizations", "fold_batch_norm"});
  refused(network, &images, awq + ", " + weights, invalid, {"step 0", "fold_batch_norm"});
  // Without samples.
  for (const std::string& step : {smooth, gptq, awq + ", " + weights})
    refused(decoder, nullptr, step, ErrorCode::insufficient_data, {"step 0", "calibration"});
  refused(decoder, nullptr, weights + ", " + correct, ErrorCode::insufficient_data, {"step 1", "bias_correction"});
  refused(network, nullptr, fold + quantize + ", " + temperature, ErrorCode::insufficient_data, {"step 1", "quantize"});
  // Nothing to work on.
  refused(network, &images, fold + awq + ", " + weights, invalid, {"step 1", "awq", "no linear layer"});
  graph::Network single = graph::network_from_json(R"({"schema": "mcomp-network-1", "name": "single",
    "input": {"shape": [3, 8, 8]}, "layers": [
      {"name": "a", "op": "convolution", "out_channels": 4, "kernel": [3, 3]},
      {"name": "r", "op": "activation", "kind": "sigmoid"},
      {"name": "b", "op": "convolution", "out_channels": 2, "kernel": [1, 1]}]})",
                                                   "single")
                              .value();
  Random random(1);
  TensorStore tensors = random_weights(single, random);
  const Model apart{std::move(single), std::move(tensors), {}, std::nullopt};
  for (const std::string& step : {equalize, smooth})
    refused(apart, &images, fold + step, invalid, {"step 1", "leave the step out"});
  refused(apart, &images, fold + formatted("int4", R"(, "keep": ["a.weight", "b.weight"])"), invalid,
          {"step 1", "every weight stays"});
  refused(apart, &images, formatted("Q4_0"), ErrorCode::invalid_shape, {"a.weight", "Q4_0"});
  // Scales that nothing uses, and scales that are taken back.
  refused(decoder, &tokens, awq, invalid, {"awq", "a later step quantizes", "quantize_weights"});
  refused(decoder, &tokens, smooth + ", " + rotate, invalid, {"step 1", "rotate", "before smooth"});
  refused(decoder, &tokens, awq + ", " + rotate + ", " + weights, invalid, {"step 1", "before awq"});
  // Formats that do not fit.
  refused(decoder, &tokens, smooth + ", " + formatted("Q4_K"), ErrorCode::invalid_shape,
          {"step 1", "model.embed_tokens.weight", "Q4_K", "256", "fallback"});
  refused(decoder, &tokens, formatted("Q4_0", R"(, "fallback": "Q4_K")"), ErrorCode::invalid_shape,
          {"down_proj", "fallback Q4_K"});
  refused(decoder, &tokens, formatted("fp8", R"(, "method": "gptq")"), invalid, {"fp8", "use the method nearest"});
  refused(decoder, &tokens, formatted("Q4_0", R"(, "method": "adaround")"), invalid, {"Q4_0", "nearest, search, gptq"});
  refused(decoder, &tokens, formatted("int4:tensor", R"(, "method": "hqq")"), invalid, {"hqq", "int4:tensor"});
  refused(decoder, &tokens, formatted("Q4_0", R"(, "method": "search", "refine": 4)"), invalid, {"refine"});
  refused(decoder, &tokens, formatted("int9"), invalid, {"int9"});
  refused(decoder, &tokens, formatted("int4", R"(, "method": "best")"), invalid, {"best", "gptq"});
  refused(decoder, &tokens, R"({"strategy": "awq", "format": "Q4_0"}, )" + weights, invalid,
          {"awq", "Q4_0", "int4:g32"});
  // Names, and options that contradict each other.
  refused(decoder, &tokens, formatted("int4", R"(, "keep": ["model.norm.weight"])"), ErrorCode::not_found,
          {"keep", "model.norm.weight"});
  refused(decoder, &tokens, R"({"strategy": "quantize_weights", "formats": {"lm_hed.weight": "int4"}})",
          ErrorCode::not_found, {"formats", "lm_hed.weight"});
  refused(
      decoder, &tokens,
      formatted("int4", R"(, "keep": ["model.embed_tokens.weight"], "formats": {"model.embed_tokens.weight": "int8"})"),
      invalid, {"keep", "formats"});
  refused(decoder, &tokens, R"({"strategy": "quantize_weights"})", ErrorCode::corrupt, {"format"});
  refused(network, &images, fold + formatted("int4", R"(, "linear_only": true)"), invalid, {"linear_only", "keep"});
  // Samples of the other kind.
  refused(decoder, &images, weights, ErrorCode::not_found, {"tokens", "these samples are images"});
  refused(network, &tokens, fold + weights, ErrorCode::not_found, {"images", "rows of tokens"});
  const Samples longer = random_tokens(2, 17, 23);
  refused(decoder, &longer, weights, ErrorCode::invalid_shape, {"17", "16"});
}

TEST_CASE("a model that is quantized already is not quantized again, nor changed") {
  const Model decoder = random_decoder(grouped_decoder());
  const Samples tokens = random_tokens(8, 16, 23);
  const Model small = apply(plan(decoder, recipe_of(weights), {.calibration = &tokens}).value(), decoder).value();
  for (const std::string& step : {weights, smooth, rotate})
    refused(small, &tokens, step, ErrorCode::invalid_argument, {"step 0", "the model that it starts from"});
  // Those who call strategies themselves meet the same rules.
  const StrategyRegistry registry;
  for (const char* name : {"fold_batch_norm", "smooth", "rotate", "quantize_weights", "awq"}) {
    const std::string options =
        std::string(name) == "quantize_weights" || std::string(name) == "awq" ? R"({"format": "int4"})" : "{}";
    INFO(name);
    const auto decision = registry.find(name).value()->decide(small, options, {.calibration = &tokens});
    REQUIRE_FALSE(decision);
    CHECK(decision.error().code() == ErrorCode::invalid_argument);
  }
  for (const std::string& step : {smooth, rotate, weights}) {
    const Decision made = plan(decoder, recipe_of(step), {.calibration = &tokens}).value().decisions[0];
    CHECK(registry.find(made.strategy).value()->apply(small, made).error().code() == ErrorCode::invalid_argument);
  }
  // A correction may follow in a recipe of its own, once, as long as the weights before are there.
  const Model corrected = apply(plan(small, recipe_of(correct), {.calibration = &tokens}).value(), small).value();
  refused(corrected, &tokens, correct, ErrorCode::invalid_argument, {"corrected already", ".corrected_bias"});
  const Model untied = random_decoder(grouped_decoder(false));
  const auto nothing = plan(
      untied,
      recipe_of(R"({"strategy": "quantize_weights", "formats": {"model.embed_tokens.weight": "int8"}}, )" + correct),
      {.calibration = &tokens});
  REQUIRE_FALSE(nothing);
  CHECK(nothing.error().rule() == "no layer multiplies by a quantized weight");
  Model alone = small;
  for (const auto& [name, weight] : small.quantized) alone.weights.erase(name);
  const auto gone = plan(alone, recipe_of(correct), {.calibration = &tokens});
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code() == ErrorCode::not_found);
  CHECK(std::string(gone.error().what()).find("before their quantization") != std::string::npos);
}

TEST_CASE("a step of another kind takes part in the rules of order") {
  class Sharpen final : public Strategy {
   public:
    std::string name() const override { return "sharpen"; }
    Status check(const std::string&) const override { return {}; }
    StepKind kind() const override { return StepKind::transform; }
    Status check_place(const StepPlace& place) const override {
      if (!place.precedes(StepKind::quantization))
        return Error(ErrorCode::invalid_argument, "sharpen", "nothing is quantized after it", "quantize");
      return {};
    }
    Result<Decision> decide(const Model&, const std::string& options, const Workbench&) const override {
      return Decision{"sharpen", options, "{}", {}, {}};
    }
    Result<Model> apply(const Model& model, const Decision&) const override { return model; }
  };
  StrategyRegistry registry;
  registry.add(std::make_unique<Sharpen>()).value();
  const Model decoder = random_decoder(grouped_decoder());
  const std::string own = R"({"strategy": "sharpen"})";
  CHECK(plan(decoder, recipe_of(own + ", " + weights), {}, &registry));
  const auto late = plan(decoder, recipe_of(weights + ", " + own), {}, &registry);
  CHECK(late.error().rule().find("quantized already") != std::string::npos);
  const auto alone = plan(decoder, recipe_of(own), {}, &registry);
  CHECK(alone.error().rule() == "nothing is quantized after it");
}
