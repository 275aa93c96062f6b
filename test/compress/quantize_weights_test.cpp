#include <cmath>
#include <set>

#include "catch.hpp"
#include "mcomp/compress/artifact.hpp"
#include "mcomp/compress/weight_format.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/io/safetensors.hpp"
#include "models.hpp"

using namespace mcomp;
using namespace mcomp::compress;
using namespace mcomp_test;

namespace {

std::string step(const std::string& format, const std::string& more = "") {
  return R"({"strategy": "quantize_weights", "format": ")" + format + "\"" + more + "}";
}

/// Rows of 256 and 512 features, which the blocks of every format divide.
graph::LlamaOptions wide_decoder() {
  return {.vocabulary = 17, .features = 256, .hidden = 512, .layers = 1, .heads = 4, .kv_heads = 2, .context = 16};
}

Model small(const Model& model, const Samples* samples, const std::string& steps) {
  return apply(plan(model, recipe_of(steps), {.calibration = samples}).value(), model).value();
}

} // namespace

TEST_CASE("weights in every format go into an artifact and come back equal") {
  const Model model = random_decoder(wide_decoder());
  const Samples samples = random_tokens(3, 16, 17);
  for (const char* format : {"Q4_K",
                             "Q8_0",
                             "IQ4_NL",
                             "MXFP4",
                             "int2",
                             "int4:g32",
                             "int8:tensor",
                             "uint3:g64",
                             "uint8",
                             "int5:b8x128",
                             "mxfp4",
                             "mxfp6_e2m3",
                             "mxfp8_e5m2",
                             "nvfp4",
                             "fp8",
                             "fp8_e5m2:b128x128",
                             "nf4",
                             "codebook3",
                             "codebook4:tensor",
                             "normal3",
                             "normal4:g64:f16",
                             "int4:g32:full:f16",
                             "uint3:bf16"}) {
    INFO(format);
    const Recipe recipe = recipe_of(step(format));
    const Plan made = plan(model, recipe, {}).value();
    const Model quantized = apply(made, model).value();
    CHECK(quantized.quantized.size() == 9);
    CHECK(quantized.stored_bytes() == made.bytes_after);
    CHECK(made.bytes_after < made.bytes_before / 2);
    CHECK(to_string(quantized).find("9 tensors quantized weight-only (" +
                                    format_name(quantized.quantized.begin()->second)) != std::string::npos);
    const auto folder = temporary_folder(), again = temporary_folder();
    REQUIRE(write_artifact(folder, quantized, recipe, made));
    REQUIRE(write_artifact(again, quantized, recipe, made));
    for (const char* file : {"model.safetensors", "manifest.json"})
      CHECK(read_file(folder / file).value() == read_file(again / file).value());
    CHECK(static_cast<std::int64_t>(std::filesystem::file_size(folder / "model.safetensors")) <
          quantized.stored_bytes() + 6000);
    const Artifact artifact = read_artifact(folder).value();
    CHECK(artifact.plan == made);
    CHECK(fingerprint(artifact.model) == fingerprint(quantized));
    CHECK(artifact.model.stored_bytes() == quantized.stored_bytes());
    CHECK(outputs(artifact.model, samples) == outputs(quantized, samples));
    CHECK(fingerprint(quantized) != fingerprint(model));
    // The plan, read from the artifact, does it again: these codes follow from the weights alone.
    CHECK(fingerprint(apply(artifact.plan, model).value()) == fingerprint(quantized));
  }
}

TEST_CASE("a damaged artifact of few bits is refused, whatever is damaged") {
  const Model model = random_decoder(wide_decoder());
  struct Case {
    const char* format;
    std::vector<std::pair<std::string, std::string>> changes;
  };
  for (const Case& c :
       {Case{"uint4:g32",
             {{"mcomp-artifact-2", "mcomp-artifact-3"},
              {"mcomp-artifact-2", "mcomp-artifact-1"},
              {"\"quantized\"", "\"quantised\""},
              {"\"form\": \"integers\"", "\"form\": \"integer\""},
              {"\"form\": \"integers\"", "\"form\": \"blocks\""},
              {"\"dtype\": \"uint4\"", "\"dtype\": \"uint5\""},
              {"\"dtype\": \"uint4\"", "\"dtype\": \"f32\""},
              {"\"symmetric\": false", "\"symmetric\": 0"},
              {"\"granularity\": \"per_group\"", "\"granularity\": \"per_channel\""},
              {"\"group_size\": 32", "\"group_size\": 64"},
              {"\"group_size\": 32", "\"group_size\": -1"},
              {"\"group_rows\": 0", "\"group_rows\": \"x\""},
              {"\"mcomp-plan-1\"", "\"mcomp-plan-9\""}}},
        Case{"Q4_K",
             {{"\"form\": \"blocks\"", "\"form\": 3"},
              {"\"format\": \"Q4_K\"", "\"format\": \"Q5_K\""},
              {"\"format\": \"Q4_K\"", "\"format\": \"int4\""}}},
        Case{"nvfp4",
             {{"\"format\": \"nvfp4\"", "\"format\": \"mxfp4\""}, {"\"global_scale\": ", "\"global_scale\": -"}}},
        Case{"fp8", {{"\"element\": \"e4m3\"", "\"element\": \"e3m3\""}}},
        Case{"nf4",
             {{"\"bits\": 4", "\"bits\": 3"},
              {"\"tables\": 1", "\"tables\": 2"},
              {"\"group_size\": 64", "\"group_size\": 0"}}}}) {
    const Recipe recipe =
        recipe_of(R"({"strategy": "quantize_weights", "formats": {"model.layers.0.mlp.up_proj.weight": ")" +
                  std::string(c.format) + "\"}}");
    const Plan made = plan(model, recipe, {}).value();
    const auto folder = temporary_folder();
    REQUIRE(write_artifact(folder, apply(made, model).value(), recipe, made));
    REQUIRE(read_artifact(folder));
    const std::string manifest = read_file(folder / "manifest.json").value();
    for (const auto& [from, to] : c.changes) {
      INFO(c.format << ": " << from << " -> " << to);
      write_file(folder / "manifest.json", replaced(manifest, from, to)).value();
      const auto artifact = read_artifact(folder);
      REQUIRE_FALSE(artifact);
      CHECK(well_formed(artifact.error()));
    }
  }
}

TEST_CASE("models whose parts do not fit together are refused") {
  const Model model = random_decoder(wide_decoder());
  const auto codes = [](const Shape& shape) {
    return QuantizedWeight(quant::quantize(Tensor::zeros(DType::f32, shape).value(), {}).value());
  };
  CHECK(check(model));
  Model bad = model;
  bad.quantized.emplace("model.norm.weight", codes({256}));
  CHECK(check(bad).error().code() == ErrorCode::not_found);
  bad = model;
  bad.quantized.emplace("lm_head.weight", codes({17, 255}));
  CHECK(check(bad).error().code() == ErrorCode::invalid_shape);
  bad = model;
  bad.quantization.weights.emplace("lm_head", std::get<quant::QuantizedTensor>(codes({17, 256})));
  CHECK(check(bad).error().code() == ErrorCode::unsupported); // decoders do not run in integers
  bad = random_resnet();
  bad.quantization.weights.emplace("linear", std::get<quant::QuantizedTensor>(codes({10, 64})));
  bad.quantized.emplace("linear.weight", codes({10, 64}));
  CHECK(check(bad).error().code() == ErrorCode::invalid_argument);
  // Tensors that are quantized need not be there any more.
  Model alone = model;
  alone.quantized.emplace("lm_head.weight", codes({17, 256}));
  const std::string before = fingerprint(alone);
  alone.weights.erase("lm_head.weight");
  CHECK(check(alone));
  CHECK(fingerprint(alone) == before);
}

TEST_CASE("every tensor takes the format that is asked for, or stays, and the plan says why") {
  const Model model = random_decoder(grouped_decoder(false));
  const auto actions = [&](const std::string& steps) {
    const Plan made = plan(model, recipe_of(steps), {}).value();
    std::map<std::string, std::pair<std::string, std::string>> result;
    for (const PlanEntry& e : made.decisions[0].entries) result[e.subject] = {e.action, e.reason};
    return result;
  };
  auto all = actions(step("int4:g16", R"(, "keep": ["lm_head.weight"],
      "formats": {"model.layers.0.mlp.up_proj.weight": "Q8_0", "model.embed_tokens.weight": "fp8"})"));
  CHECK(all.size() == 16);
  CHECK(all["lm_head.weight"] == std::pair<std::string, std::string>("kept in f32", "the recipe keeps it"));
  CHECK(all["model.layers.0.mlp.up_proj.weight"].first == "Q8_0");
  CHECK(all["model.embed_tokens.weight"].first == "e4m3 per channel");
  CHECK(all["model.layers.1.mlp.up_proj.weight"].first == "int4 symmetric per group of 16");
  all = actions(step("Q8_0", R"(, "linear_only": true, "fallback": "int8")"));
  CHECK(all["lm_head.weight"] == std::pair<std::string, std::string>("kept in f32", "the embedding or the head"));
  CHECK(all["model.embed_tokens.weight"].first == "kept in f32");
  CHECK(all["model.layers.0.mlp.down_proj.weight"].first == "int8 symmetric per channel");
  CHECK(all["model.layers.0.mlp.down_proj.weight"].second.find("rows of 48") != std::string::npos);
  CHECK(all["model.layers.0.mlp.up_proj.weight"].first == "Q8_0");
  all = actions(step("Q8_0", R"(, "fallback": "keep")"));
  CHECK(all["model.layers.0.mlp.down_proj.weight"].first == "kept in f32");
  all = actions(R"({"strategy": "quantize_weights", "formats": {"lm_head.weight": "nf4"}, "method": "nearest"})");
  CHECK(all["lm_head.weight"].first == "codebook of 4 bits");
  CHECK(all["model.layers.0.mlp.up_proj.weight"].second == "no format is given for it");
  const auto none = plan(model, recipe_of(step("Q4_K", R"(, "fallback": "keep")")), {});
  REQUIRE_FALSE(none);
  CHECK(none.error().remedy() == "leave the step out");
}

TEST_CASE("every method works on a decoder and on a classifier, and a plan gives the same bytes again") {
  auto options = grouped_decoder(false);
  options.layers = 1;
  const Model decoder = random_decoder(options), network = random_resnet();
  const Samples tokens = random_tokens(24, 16, 23), images = random_images(24);
  struct Subject {
    const Model& model;
    const Samples& samples;
    std::string before;
  };
  for (const Subject& s :
       {Subject{decoder, tokens, ""}, Subject{network, images, R"({"strategy": "fold_batch_norm"}, )"}}) {
    const Tensor expected = outputs(s.model, s.samples);
    const auto error = [&](const Model& model) {
      const Tensor found = outputs(model, s.samples);
      double sum = 0;
      const auto a = expected.values<float>("a").value(), b = found.values<float>("b").value();
      for (std::size_t i = 0; i < a.size(); ++i)
        sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
      return sum;
    };
    const double nearest = error(small(s.model, &s.samples, s.before + step("int3:g16")));
    for (const char* method : {"search", "hqq", "adaround", "gptq"}) {
      INFO(s.model.network.name << " " << method);
      const std::string refine = std::string(method) == "gptq" ? R"(, "refine": 4)" : "";
      const Recipe recipe =
          recipe_of(s.before + step("int3:g16", R"(, "method": ")" + std::string(method) + "\"" + refine));
      const Plan made = plan(s.model, recipe, {.calibration = &s.samples}).value();
      if (std::string(method) == "gptq") {
        ThreadPool pool(2);
        CHECK(plan(s.model, recipe, {.calibration = &s.samples, .context = {.executor = &pool}}).value() == made);
      }
      const Model result = apply(made, s.model).value();
      CHECK(fingerprint(apply(made, s.model).value()) == fingerprint(result));
      CHECK(result.stored_bytes() == made.bytes_after);
      CHECK(error(result) < (std::string(method) == "hqq" ? 1.5 : 0.9) * nearest);
      const auto folder = temporary_folder();
      REQUIRE(write_artifact(folder, result, recipe, made));
      CHECK(fingerprint(read_artifact(folder).value().model) == fingerprint(result));
      const auto again = apply(plan_from_json(to_json(made), "plan").value(), s.model);
      CHECK(again.has_value() == (std::string(method) == "hqq"));
      if (!again) CHECK(again.error().code() == ErrorCode::not_found);
    }
  }
  // Codes that see the inputs of the quantized network are other codes.
  const std::string gptq = R"(, "method": "gptq")";
  CHECK(fingerprint(small(decoder, &tokens, step("int3:g16", gptq))) !=
        fingerprint(small(decoder, &tokens, step("int3:g16", gptq + R"(, "sequential": false)"))));
}

TEST_CASE("a classifier stored in few bits runs as a program, and its temperature is fitted on what it then says") {
  const Model model = random_resnet();
  Samples samples = random_images(150);
  const auto predicted = graph::predicted_classes(outputs(model, samples)).value();
  Tensor labels = Tensor::zeros(DType::int32, {150}).value();
  for (std::size_t i = 0; i < 150; ++i)
    labels.mutable_values<std::int32_t>()[i] = i % 3 == 0 ? static_cast<std::int32_t>(i % 10) : predicted[i];
  samples.tensors.put("labels", std::move(labels));
  const Model result = small(model, &samples,
                             R"({"strategy": "fold_batch_norm"}, )" + step("int6") +
                                 R"(, {"strategy": "bias_correction"}, {"strategy": "calibrate_temperature"})");
  CHECK(result.temperature);
  auto program = quant::simulated_runner(result.program().value()).value();
  const Tensor by_program = graph::run_batches(*program, samples.images().value(), 8).value();
  CHECK(relative_difference(outputs(result, samples), by_program) < 1e-6);
  CHECK(relative_difference(outputs(model, samples), by_program) < 0.2);
}

TEST_CASE("samples hold images or tokens") {
  const auto folder = temporary_folder();
  const auto write = [&](const std::vector<std::pair<std::string, Tensor>>& tensors) {
    TensorStore store;
    for (const auto& [name, tensor] : tensors) store.put(name, tensor);
    io::write_safetensors(folder / "s.safetensors", store).value();
    return folder / "s.safetensors";
  };
  const Tensor rows = Tensor::zeros(DType::int32, {3, 5}).value(),
               images = Tensor::zeros(DType::uint8, {2, 3, 8, 8}).value();
  Samples samples = load_samples(write({{"tokens", rows}})).value();
  CHECK(samples.count() == 3);
  CHECK(samples.tokens().value().shape() == Shape{3, 5});
  CHECK(samples.images().error().rule() == "these samples are rows of tokens, and images are needed");
  samples = load_samples(write({{"calibration", rows}, {"evaluation", Tensor::zeros(DType::int32, {4, 5}).value()}}),
                         "evaluation")
                .value();
  CHECK(samples.count() == 4);
  CHECK(load_samples(write({{"images", images}})).value().tokens().error().rule() ==
        "these samples are images, and rows of tokens are needed");
  const auto code = [&](const std::vector<std::pair<std::string, Tensor>>& tensors) {
    const auto loaded = load_samples(write(tensors));
    REQUIRE_FALSE(loaded);
    CHECK(well_formed(loaded.error()));
    return loaded.error().code();
  };
  CHECK(code({{"rows", rows}}) == ErrorCode::not_found);
  CHECK(code({{"tokens", rows}, {"images", images}}) == ErrorCode::invalid_argument);
  CHECK(code({{"tokens", Tensor::zeros(DType::f32, {3, 5}).value()}}) == ErrorCode::invalid_dtype);
  CHECK(code({{"tokens", Tensor::zeros(DType::int32, {3}).value()}}) == ErrorCode::invalid_shape);
  CHECK(code({{"tokens", Tensor::zeros(DType::int32, {0, 5}).value()}}) == ErrorCode::invalid_shape);
}

TEST_CASE("planning few bits can be cancelled") {
  const Model model = random_decoder(grouped_decoder());
  const Samples tokens = random_tokens(8, 16, 23);
  for (const char* method : {"nearest", "gptq"}) {
    Workbench bench{.calibration = &tokens};
    bench.context.progress = [&](const ProgressEvent& event) {
      if (event.done == 2) bench.context.cancellation.cancel();
    };
    CHECK(plan(model, recipe_of(step("int4", R"(, "method": ")" + std::string(method) + "\"")), bench).error().code() ==
          ErrorCode::cancelled);
  }
}
