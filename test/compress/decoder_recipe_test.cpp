#include <map>

#include "catch.hpp"
#include "mcomp/compress/artifact.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/io/safetensors.hpp"
#include "models.hpp"

// Recipes for decoders, from the file to the perplexity of the artifact.

using namespace mcomp;
using namespace mcomp::compress;
using namespace mcomp_test;

namespace {

double perplexity(const Model& model, const Samples& samples, Executor& executor) {
  auto runner = Workbench{.context = {.executor = &executor}}.runner(model).value();
  const TensorView tokens = samples.tokens().value();
  evaluate::NextTokenLoss loss;
  for (std::int64_t begin = 0; begin < tokens.size(0); begin += 8) {
    const TensorView rows = tokens.rows(begin, std::min<std::int64_t>(begin + 8, tokens.size(0))).value();
    loss.update(runner->run(rows).value(), rows).value();
  }
  return loss.report().value().perplexity;
}

Recipe recipe_on(int samples, const std::string& steps) {
  Recipe recipe = recipe_of(steps);
  recipe.calibration_samples = samples;
  return recipe;
}

} // namespace

TEST_CASE("transforms leave a trained decoder's perplexity, and what follows them loses less than rounding", "[slow]") {
  const auto weights = data("language/stories260k.safetensors"), rows = data("language/tinystories_tokens.safetensors");
  if (!weights || !rows) return;
  const auto file = io::read_safetensors(*weights).value();
  const Model model =
      load(*weights, graph::llama(graph::llama_options(file.tensors, file.metadata).value()).value()).value();
  const Samples calibration = load_samples(*rows, "calibration").value(),
                evaluation = load_samples(*rows, "evaluation").value();
  ThreadPool pool(2);
  const auto measured = [&](const std::string& steps) {
    const Plan made =
        plan(model, recipe_on(48, steps), {.calibration = &calibration, .context = {.executor = &pool}}).value();
    return perplexity(apply(made, model).value(), evaluation, pool);
  };
  const double baseline = perplexity(model, evaluation, pool);
  CHECK(baseline == Approx(4.4988).margin(1e-4)); // as the data's description has it
  for (const char* step : {R"({"strategy": "rotate"})", R"({"strategy": "smooth"})",
                           R"({"strategy": "rotate"}, {"strategy": "smooth"})"}) {
    INFO(step);
    CHECK(measured(step) == Approx(baseline).epsilon(1e-5));
  }
  const auto step = [](const std::string& method) {
    return R"({"strategy": "quantize_weights", "format": "int4:g32", "method": ")" + method + "\"}";
  };
  const std::string awq = R"({"strategy": "awq", "format": "int4:g32"}, )",
                    correct = R"(, {"strategy": "bias_correction"})";
  const double nearest = measured(step("nearest"));
  CHECK(nearest < 1.3 * baseline);
  std::map<std::string, double> found;
  for (const std::string method : {"search", "hqq", "adaround", "gptq"}) found[method] = measured(step(method));
  found["awq, search"] = measured(awq + step("search"));
  found["awq, gptq"] = measured(awq + step("gptq"));
  found["rotate, search"] = measured(R"({"strategy": "rotate"}, )" + step("search"));
  found["nearest, bias_correction"] = measured(step("nearest") + correct);
  found["search, bias_correction"] = measured(step("search") + correct);
  for (const auto& [steps, value] : found) {
    INFO(steps << ": " << value << ", nearest " << nearest);
    CHECK(value < nearest);
    CHECK(value > baseline);
  }
  CHECK(found["gptq"] < found["search"]);
  CHECK(found["search, bias_correction"] < found["search"]);
}

TEST_CASE("a trained decoder in a format of GGUF files is the same when it comes back from its artifact", "[slow]") {
  const auto weights = data("language/wide256.safetensors"), rows = data("language/tinystories_tokens.safetensors");
  if (!weights || !rows) return;
  const auto file = io::read_safetensors(*weights).value();
  const Model model =
      load(*weights, graph::llama(graph::llama_options(file.tensors, file.metadata).value()).value()).value();
  const Samples evaluation = load_samples(*rows, "evaluation").value();
  ThreadPool pool(2);
  const Recipe recipe = recipe_of(R"({"strategy": "quantize_weights", "format": "Q4_K",
    "formats": {"model.embed_tokens.weight": "Q6_K"}})");
  const Plan made = plan(model, recipe, {.context = {.executor = &pool}}).value();
  const Model small = apply(made, model).value();
  CHECK(made.bytes_before > 6 * made.bytes_after);
  const auto folder = temporary_folder();
  REQUIRE(write_artifact(folder, small, recipe, made));
  const Artifact artifact = read_artifact(folder).value();
  CHECK(fingerprint(artifact.model) == fingerprint(small));
  const double before = perplexity(model, evaluation, pool), after = perplexity(artifact.model, evaluation, pool);
  CHECK(before == Approx(5.2962).margin(1e-4)); // as the data's description has it
  CHECK(after < 1.05 * before);
}

TEST_CASE("weights of sixteen bits take part, and the plan counts what they become") {
  Model model = random_decoder(grouped_decoder());
  for (const std::string& name : graph::tensor_names(model.network)) {
    const Tensor values = Tensor::copy_of(model.weights.find(name).value()).value();
    Tensor narrow = Tensor::zeros(DType::f16, values.shape()).value();
    for (std::size_t i = 0; i < static_cast<std::size_t>(values.elements()); ++i)
      narrow.mutable_values<half>()[i] = to_half(values.values<float>(name).value()[i]);
    model.weights.put(name, std::move(narrow));
  }
  const Samples samples = random_tokens(6, 16, 23);
  const Tensor expected = outputs(model, samples);
  for (const char* steps :
       {R"({"strategy": "rotate"})", R"({"strategy": "smooth"})",
        R"({"strategy": "rotate"}, {"strategy": "smooth"}, {"strategy": "quantize_weights", "format": "int8:g16"})"}) {
    INFO(steps);
    const Plan made = plan(model, recipe_of(steps), {.calibration = &samples}).value();
    const Model result = apply(made, model).value();
    CHECK(result.stored_bytes() == made.bytes_after);
    std::int64_t bytes = made.bytes_before;
    for (const Decision& decision : made.decisions)
      for (const PlanEntry& entry : decision.entries) bytes += entry.bytes_after - entry.bytes_before;
    CHECK(bytes == made.bytes_after);
    CHECK(relative_difference(expected, outputs(result, samples)) < (made.decisions.size() < 3 ? 1e-5 : 0.1));
  }
}
