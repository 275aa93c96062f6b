// Steps that choose a format for every tensor within a budget.

#include <set>

#include "catch.hpp"
#include "mcomp/compress/artifact.hpp"
#include "mcomp/compress/weight_format.hpp"
#include "mcomp/core/format.hpp"
#include "models.hpp"

using namespace mcomp;
using namespace mcomp::compress;
using namespace mcomp_test;

namespace {

double bits_of_quantized(const Model& model) {
  std::int64_t bytes = 0, elements = 0;
  for (const auto& [name, weight] : model.quantized)
    bytes += stored_bytes(weight), elements += model.weights.find(name).value().elements();
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
}

ErrorCode refused(const Model& model, const Samples* samples, const std::string& steps) {
  const auto recipe = Recipe::parse(R"({"schema": "mcomp-recipe-1", "name": "r", "steps": [)" + steps + "]}", "r");
  if (!recipe) return recipe.error().code();
  const auto made = plan(model, *recipe, {.calibration = samples});
  REQUIRE_FALSE(made);
  CHECK(well_formed(made.error()));
  return made.error().code();
}

} // namespace

TEST_CASE("a decoder's tensors share a budget, and the plan says what each was worth") {
  const Model model = random_decoder(grouped_decoder());
  const Samples samples = random_tokens(6, 12, 23);
  const Recipe recipe = recipe_of(R"({"strategy": "quantize_weights", "method": "gptq", "target": "residual_sum",
      "formats": {"model.embed_tokens.weight": "int8"}, "keep": ["model.layers.0.mlp.down_proj.weight"],
      "budget": {"bits_per_weight": 5, "formats": ["int3", "normal4:f16", "int6", "Q8_0"], "samples": 4}})");
  const Plan made = plan(model, recipe, {.calibration = &samples}).value();
  const Model small = apply(made, model).value();
  CHECK(small.quantized.size() == 14);
  CHECK_FALSE(small.quantized.contains("model.layers.0.mlp.down_proj.weight"));
  CHECK(format_name(small.quantized.at("model.embed_tokens.weight")) == "int8 symmetric per channel");
  Model free = small;
  free.quantized.erase("model.embed_tokens.weight");
  CHECK(bits_of_quantized(free) <= 5);
  CHECK(bits_of_quantized(free) > 4.5);
  CHECK(small.stored_bytes() == made.bytes_after);
  std::set<std::string> formats;
  bool refusal = false;
  for (const PlanEntry& entry : made.decisions[0].entries) {
    if (!free.quantized.contains(entry.subject)) continue;
    formats.insert(entry.action);
    CHECK(entry.reason.find("output_divergence") != std::string::npos);
    refusal = refusal || entry.reason.find("no Q8_0: rows of 48") != std::string::npos;
  }
  CHECK(formats.size() > 1);
  CHECK(refusal); // the second down projection, whose rows no whole blocks make

  const auto folder = temporary_folder();
  REQUIRE(write_artifact(folder, small, recipe, made));
  CHECK(fingerprint(read_artifact(folder).value().model) == fingerprint(small));
  ThreadPool pool(3);
  CHECK(plan(model, recipe, {.calibration = &samples, .context = {.executor = &pool}}).value() == made);
}

TEST_CASE("a classifier's layers take bits of their own and run in integers") {
  const Model model = random_resnet();
  const Samples samples = random_images(24);
  for (const char* method : {"nearest", "gptq"}) {
    const Recipe recipe = recipe_of(fmt::format(
        R"({{"strategy": "fold_batch_norm"}}, {{"strategy": "quantize", "weights": {{"method": "{}",
           "budget": {{"bits_per_weight": 4.8, "measure": "output_error"}}}}}})",
        method));
    const Plan made = plan(model, recipe, {.calibration = &samples}).value();
    const Model small = apply(made, model).value();
    std::set<DType> dtypes;
    std::int64_t bytes = 0, elements = 0;
    for (const auto& [layer, q] : small.quantization.weights)
      dtypes.insert(q.scheme.dtype), bytes += q.stored_bytes(), elements += q.codes.elements();
    CHECK(dtypes.size() > 1);
    CHECK(8.0 * static_cast<double>(bytes) / static_cast<double>(elements) <= 4.8);
    const auto folder = temporary_folder();
    REQUIRE(write_artifact(folder, small, recipe, made));
    const Artifact back = read_artifact(folder).value();
    CHECK(fingerprint(back.model) == fingerprint(small));
    CHECK(outputs(back.model, samples) == outputs(small, samples));
  }
}

TEST_CASE("budgets that make no sense are refused") {
  const Model decoder = random_decoder(grouped_decoder()), classifier = random_resnet();
  const Samples tokens = random_tokens(6, 12, 23), images = random_images(8);
  const auto weights = [](const std::string& more) { return R"({"strategy": "quantize_weights", )" + more + "}"; };
  const auto budget = [&](const std::string& inside) { return weights(R"("budget": {)" + inside + "}"); };
  CHECK(refused(decoder, &tokens, budget("")) == ErrorCode::corrupt);
  CHECK(refused(decoder, &tokens, budget(R"("bits_per_weight": -1)")) == ErrorCode::corrupt);
  CHECK(refused(decoder, &tokens, budget(R"("bits_per_weight": 4, "formats": [])")) == ErrorCode::corrupt);
  CHECK(refused(decoder, &tokens, budget(R"("bits_per_weight": 4, "formats": ["int4", "int4"])")) ==
        ErrorCode::corrupt);
  CHECK(refused(decoder, &tokens, budget(R"("bits_per_weight": 4, "formats": ["int99"])")) ==
        ErrorCode::invalid_argument);
  CHECK(refused(decoder, &tokens, budget(R"("bits_per_weight": 4, "measure": "gradient")")) == ErrorCode::corrupt);
  CHECK(refused(decoder, &tokens, budget(R"("bits_per_weight": 4, "samples": 0)")) == ErrorCode::corrupt);
  CHECK(refused(decoder, &tokens, budget(R"("bits_per_weight": 1, "formats": ["int4", "int5"])")) ==
        ErrorCode::invalid_argument);
  CHECK(refused(decoder, &tokens, weights(R"("format": "int4", "budget": {"bits_per_weight": 4})")) ==
        ErrorCode::corrupt);
  CHECK(refused(decoder, &tokens, weights(R"("method": "hqq", "budget": {"bits_per_weight": 4})")) ==
        ErrorCode::invalid_argument);
  CHECK(refused(decoder, nullptr, budget(R"("bits_per_weight": 4)")) == ErrorCode::insufficient_data);
  CHECK(refused(decoder, &tokens, weights(R"("format": "int4", "method": "gptq", "target": "nothing")")) ==
        ErrorCode::corrupt);
  CHECK(refused(decoder, &tokens,
                weights(R"("format": "int4", "method": "gptq", "sequential": false, "target": "residual_sum")")) ==
        ErrorCode::corrupt);
  const auto integers = [&](const std::string& inside) {
    return refused(classifier, &images,
                   R"({"strategy": "fold_batch_norm"}, {"strategy": "quantize", "weights": {)" + inside + "}}");
  };
  CHECK(integers(R"("dtype": "int4", "budget": {"bits_per_weight": 4})") == ErrorCode::corrupt);
  CHECK(integers(R"("budget": {"bits_per_weight": 4, "formats": ["uint4"]})") == ErrorCode::corrupt);
  CHECK(integers(R"("budget": {"bits_per_weight": 4, "formats": ["int4:g32"]})") == ErrorCode::corrupt);
}
