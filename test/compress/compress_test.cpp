#include <cmath>
#include <set>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/compress/artifact.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/io/safetensors.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::compress;
using mcomp_test::replaced;

namespace {

/// A small residual network with random weights.
Model small_model(std::uint64_t seed = 1) {
  Model model;
  model.network = graph::cifar_resnet({.depth = 8, .image = {3, 8, 8}}).value();
  Random random(seed);
  model.weights = mcomp_test::random_weights(model.network, random);
  return model;
}

/// Random images; six of ten labels are what the small model says, so that confidence can be calibrated.
Samples random_samples(std::int64_t count) {
  Random random(9);
  Samples samples;
  Tensor images = Tensor::zeros(DType::uint8, {count, 3, 8, 8}).value();
  for (auto& x : images.mutable_values<std::uint8_t>()) x = static_cast<std::uint8_t>(random.below(256));
  const Model model = small_model();
  auto runner = graph::reference_runner(model.network, model.weights).value();
  const auto predicted = graph::predicted_classes(graph::run_batches(*runner, images, 50).value()).value();
  Tensor labels = Tensor::zeros(DType::uint8, {count}).value();
  for (std::size_t i = 0; i < predicted.size(); ++i)
    labels.mutable_values<std::uint8_t>()[i] =
        static_cast<std::uint8_t>(random.below(10) < 6 ? static_cast<std::uint64_t>(predicted[i]) : random.below(10));
  samples.tensors.put("images", std::move(images));
  samples.tensors.put("labels", std::move(labels));
  return samples;
}

const char* const full_recipe =
    R"({"schema": "mcomp-recipe-1", "name": "all", "calibration": {"samples": 40, "seed": 3},
  "steps": [{"strategy": "prune_filters", "fraction": 0.25, "score": "batch_norm_scale"}, {"strategy": "fold_batch_norm"},
            {"strategy": "quantize", "keep_f32": ["conv1"]}, {"strategy": "calibrate_temperature"}],
  "criteria": {"max_accuracy_loss": 0.01, "min_speedup": 1.5}})";

Tensor run(const Model& model, const Samples& samples) {
  auto runner = Workbench{}.runner(model).value();
  return graph::run_batches(*runner, samples.images().value(), 16).value();
}

/// What a user of the library might add: scales every weight of the last layer, which the temperature must undo.
class ScaleLogits final : public Strategy {
 public:
  std::string name() const override { return "scale_logits"; }
  Status check(const std::string& options) const override {
    if (options.find("factor") != std::string::npos) return {};
    return Error(ErrorCode::invalid_argument, "scale_logits: factor", "the key is missing", "add it");
  }
  Result<Decision> decide(const Model&, const std::string& options, const Workbench&) const override {
    return Decision{
        name(), options, "{}", {{"linear.weight", "doubled", "asked for", 0, 0, std::nullopt, std::nullopt}}};
  }
  Result<Model> apply(const Model& model, const Decision&) const override {
    Model result = model;
    for (const char* tensor : {"linear.weight", "linear.bias"}) {
      Tensor t = Tensor::copy_of(*model.weights.find(tensor)).value();
      for (float& x : t.mutable_values<float>()) x *= 2;
      result.weights.put(tensor, std::move(t));
    }
    return result;
  }
};

} // namespace

TEST_CASE("a recipe reads, prints and reads back") {
  const Recipe recipe = Recipe::parse(full_recipe, "recipe.json").value();
  CHECK(recipe.steps.size() == 4);
  CHECK(recipe.calibration_samples == 40);
  CHECK(recipe.criteria.min_speedup == 1.5);
  CHECK(Recipe::parse(to_json(recipe), "again").value() == recipe);
  CHECK(fmt::format("{}", recipe) == "all: prune_filters fold_batch_norm quantize calibrate_temperature");
}

TEST_CASE("a plan says what happens to every tensor, and applying it gives the same bytes every time") {
  const Model model = small_model();
  const Samples samples = random_samples(200);
  const Recipe recipe = Recipe::parse(full_recipe, "recipe.json").value();
  const Plan first = plan(model, recipe, {.calibration = &samples}).value();
  ThreadPool pool(2);
  CHECK(plan(model, recipe, {.calibration = &samples, .context = {.executor = &pool}}).value() == first);
  CHECK(plan_from_json(to_json(first), "plan").value() == first);
  CHECK(first.bytes_after < first.bytes_before / 3);
  CHECK_FALSE(first.calibration_fingerprint.empty());
  std::set<std::string> subjects;
  for (const Decision& decision : first.decisions)
    for (const PlanEntry& entry : decision.entries) {
      CHECK_FALSE(entry.action.empty());
      CHECK_FALSE(entry.reason.empty());
      subjects.insert(entry.subject);
    }
  for (const char* tensor : {"conv1.weight", "layer3.0.conv2.weight", "linear.weight", "bn1", "temperature"})
    CHECK(subjects.contains(tensor));
  const std::string text = fmt::format("{}", first);
  CHECK(text.find("the recipe keeps it") != std::string::npos);

  const Model small = apply(first, model).value();
  CHECK(fingerprint(small) == fingerprint(apply(first, model).value()));
  CHECK(small.stored_bytes() == first.bytes_after);
  CHECK(small.temperature.has_value());
  CHECK(small.quantization.weights.size() == 7);
  CHECK_FALSE(small.quantization.weights.contains("conv1"));
  CHECK(small.network.find("bn1") == nullptr);
  CHECK(apply(first, small_model(2)).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("an int8 model stays close to its baseline") {
  const Model model = small_model();
  const Samples samples = random_samples(64);
  const Recipe recipe = Recipe::parse(R"({"schema": "mcomp-recipe-1", "name": "w8a8",
    "steps": [{"strategy": "fold_batch_norm"}, {"strategy": "quantize"}]})",
                                      "w8a8")
                            .value();
  const Model small = apply(plan(model, recipe, {.calibration = &samples}).value(), model).value();
  const Tensor a = run(model, samples), b = run(small, samples);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < 640; ++i) {
    const double x = a.values<float>("a").value()[i], y = b.values<float>("b").value()[i];
    error += (x - y) * (x - y);
    size += x * x;
  }
  CHECK(error < 1e-3 * size);
}

TEST_CASE(
    "weights of few bits by GPTQ come closer to the baseline than the nearest ones, and are kept in the artifact") {
  const Model model = small_model();
  const Samples samples = random_samples(64);
  const auto with = [&](const std::string& weights) {
    const Recipe recipe = Recipe::parse(R"({"schema": "mcomp-recipe-1", "name": "r", "calibration": {"samples": 48},
      "steps": [{"strategy": "fold_batch_norm"}, {"strategy": "quantize", "weights": )" +
                                            weights + "}]}",
                                        "r")
                              .value();
    return std::pair(recipe, plan(model, recipe, {.calibration = &samples}).value());
  };
  const Tensor reference = run(model, samples);
  const auto error = [&](const Model& candidate) {
    const Tensor output = run(candidate, samples);
    double sum = 0;
    for (std::int64_t i = 0; i < output.elements(); ++i)
      sum += std::pow(static_cast<const float*>(output.data())[i] - static_cast<const float*>(reference.data())[i], 2);
    return sum;
  };
  const auto [nearest_recipe, nearest] = with(R"({"dtype": "int3"})");
  const auto [recipe, gptq] = with(R"({"dtype": "int3", "method": "gptq", "refine": 16})");
  const Model by_gptq = apply(gptq, model).value();
  CHECK(error(by_gptq) < 0.7 * error(apply(nearest, model).value()));
  CHECK(fingerprint(apply(gptq, model).value()) == fingerprint(by_gptq));
  CHECK(to_string(gptq).find("int3 symmetric per channel, gptq refined") != std::string::npos);

  const auto folder = mcomp_test::temporary_folder();
  write_artifact(folder, by_gptq, recipe, gptq).value();
  const Artifact artifact = read_artifact(folder).value();
  CHECK(run(artifact.model, samples) == run(by_gptq, samples));
  // What was computed from samples is not in a plan's JSON: it cannot be applied from there, and says so.
  const Plan read = plan_from_json(to_json(gptq), "plan").value();
  const auto again = apply(read, model);
  REQUIRE_FALSE(again);
  CHECK(again.error().code() == ErrorCode::not_found);
}

TEST_CASE("an artifact is read back with identical predictions, and equal artifacts are equal bytes") {
  const Model model = small_model();
  const Samples samples = random_samples(200);
  for (const char* dtype : {"int8", "int4"}) {
    const Recipe recipe = Recipe::parse(replaced(full_recipe, "\"keep_f32\"",
                                                 fmt::format(R"("weights": {{"dtype": "{}"}}, "keep_f32")", dtype)),
                                        "r")
                              .value();
    const Plan made = plan(model, recipe, {.calibration = &samples}).value();
    const Model small = apply(made, model).value();
    const auto folder = mcomp_test::temporary_folder(), second = mcomp_test::temporary_folder();
    CHECK(write_artifact(folder, small, recipe, made));
    CHECK(write_artifact(second, small, recipe, made));
    for (const char* file : {"model.safetensors", "manifest.json"})
      CHECK(read_file(folder / file).value() == read_file(second / file).value());
    const Artifact artifact = read_artifact(folder).value();
    CHECK(artifact.plan == made);
    CHECK(artifact.recipe == recipe);
    CHECK(artifact.model.temperature == small.temperature);
    CHECK(run(artifact.model, samples) == run(small, samples));
    CHECK(static_cast<std::int64_t>(std::filesystem::file_size(folder / "model.safetensors")) <
          small.stored_bytes() + 6000);
  }
}

TEST_CASE("a damaged artifact is refused, whatever is damaged") {
  const Model model = small_model();
  const Samples samples = random_samples(200);
  const Recipe recipe = Recipe::parse(full_recipe, "r").value();
  const Plan made = plan(model, recipe, {.calibration = &samples}).value();
  const auto folder = mcomp_test::temporary_folder();
  REQUIRE(write_artifact(folder, apply(made, model).value(), recipe, made));
  const std::string manifest = read_file(folder / "manifest.json").value(),
                    weights = read_file(folder / "model.safetensors").value();
  const auto refused = [&](const std::string& changed_manifest, const std::string& changed_weights) {
    write_file(folder / "manifest.json", changed_manifest).value();
    write_file(folder / "model.safetensors", changed_weights).value();
    const auto artifact = read_artifact(folder);
    REQUIRE_FALSE(artifact);
    CHECK(mcomp_test::well_formed(artifact.error()));
  };
  std::string flipped = weights;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  refused(manifest, flipped);
  refused(manifest, weights.substr(0, weights.size() - 1));
  refused(manifest, "");
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"mcomp-artifact-1", "mcomp-artifact-7"},
           {"\"weights_sha256\": \"", "\"weights_sha256\": \"0"},
           {"\"temperature\": ", "\"temperature\": -"},
           {"\"granularity\": \"per_channel\"", "\"granularity\": \"per_tensor\""},
           {"\"dtype\": \"int8\"", "\"dtype\": \"int4\""},
           {"\"dtype\": \"uint8\"", "\"dtype\": \"f32\""},
           {"\"activations\": {", "\"activation\": {"},
           {"\"quantization\"", "\"quantisation\""},
           {"mcomp-network-1", "mcomp-network-2"},
           {"mcomp-plan-1", "mcomp-plan-2"},
           {"mcomp-recipe-1", "mcomp-recipe-2"}}) {
    INFO(from);
    refused(replaced(manifest, from, to), weights);
  }
  refused(manifest.substr(0, manifest.size() / 2), weights);
  std::filesystem::remove(folder / "manifest.json");
  CHECK(read_artifact(folder).error().code() == ErrorCode::not_found);
  CHECK(write_artifact(folder / "absent", model, recipe, made).error().code() == ErrorCode::not_found);
}

TEST_CASE("a strategy written by a user plugs in without touching the library") {
  StrategyRegistry registry;
  CHECK(registry.add(std::make_unique<ScaleLogits>()));
  CHECK_FALSE(registry.add(std::make_unique<ScaleLogits>()));
  CHECK_FALSE(registry.add(nullptr));
  const Model model = small_model();
  const Samples samples = random_samples(300);
  const auto temperature = [&](const char* steps) {
    const Recipe recipe =
        Recipe::parse(fmt::format(R"({{"schema": "mcomp-recipe-1", "name": "mine", "steps": [{}]}})", steps), "mine")
            .value();
    const Plan made = plan(model, recipe, {.calibration = &samples}, &registry).value();
    CHECK(made.decisions[0].entries[0].subject != "");
    return *apply(made, model, {}, &registry).value().temperature;
  };
  const double plain = temperature(R"({"strategy": "calibrate_temperature"})");
  const double doubled =
      temperature(R"({"strategy": "scale_logits", "factor": 2}, {"strategy": "calibrate_temperature"})");
  CHECK(doubled == Approx(2 * plain).epsilon(1e-5));
  const Recipe unknown =
      Recipe::parse(R"({"schema": "mcomp-recipe-1", "name": "x", "steps": [{"strategy": "scale_logit", "factor": 2}]})",
                    "x")
          .value();
  const auto refused = plan(model, unknown, {.calibration = &samples}, &registry);
  CHECK(refused.error().remedy().find("scale_logits") != std::string::npos);
}

TEST_CASE("samples that were not held out never make a network more confident") {
  const Model model = small_model();
  const Samples labelled = random_samples(300);
  auto runner = Workbench{}.runner(model).value();
  const auto predicted =
      graph::predicted_classes(graph::run_batches(*runner, labelled.images().value(), 50).value()).value();
  Samples trained = labelled; // nearly always right, as on training samples
  Tensor labels = Tensor::zeros(DType::int32, {300}).value();
  for (std::size_t i = 0; i < 300; ++i)
    labels.mutable_values<std::int32_t>()[i] = i % 50 == 0 ? (predicted[i] + 1) % 10 : predicted[i];
  trained.tensors.put("labels", std::move(labels));
  const auto temperature = [&](const char* options) {
    const Recipe recipe{.name = "t",
                        .description = {},
                        .calibration_samples = 10,
                        .steps = {{"calibrate_temperature", options}},
                        .criteria = {}};
    const Plan made = plan(model, recipe, {.calibration = &trained}).value();
    CHECK(plan_from_json(to_json(made), "plan").value() == made);
    return apply(made, model).value().temperature;
  };
  CHECK_FALSE(temperature("{}"));
  REQUIRE(temperature(R"({"held_out":true})"));
  CHECK(*temperature(R"({"held_out":true})") < 1);
}

TEST_CASE("layers that a timer calls slower stay in f32 and say so") {
  const Model model = small_model();
  const Samples samples = random_samples(64);
  const Recipe recipe =
      Recipe::parse(
          R"({"schema": "mcomp-recipe-1", "name": "timed", "steps": [{"strategy": "fold_batch_norm"}, {"strategy": "quantize"}]})",
          "timed")
          .value();
  Workbench bench{.calibration = &samples};
  bench.time_layers = [](const quant::Program& program) -> Result<std::map<std::string, double>> {
    std::map<std::string, double> seconds;
    for (const quant::Step& step : program.steps)
      seconds[step.layer] = step.integer ? (step.layer == "conv1" ? 3e-6 : 1e-6) : 2e-6;
    return seconds;
  };
  const Plan made = plan(model, recipe, bench).value();
  const Model small = apply(made, model).value();
  CHECK(small.quantization.weights.size() == 7);
  CHECK_FALSE(small.quantization.weights.contains("conv1"));
  CHECK(fmt::format("{}", made).find("int8 would be slower: 3.0 us against 2.0 us") != std::string::npos);
}

TEST_CASE("recipes that cannot be are refused before any work, by file and key") {
  struct Case {
    const char *from, *to, *word;
  };
  for (const Case& c :
       {Case{"mcomp-recipe-1", "mcomp-recipe-0", "schema"}, Case{"\"name\": \"all\"", "\"name\": \"\"", "name"},
        Case{"\"name\": \"all\"", "\"nmae\": \"all\"", "name"}, Case{"\"samples\": 40", "\"samples\": 0", "samples"},
        Case{"\"samples\": 40", "\"samples\": 1.5", "samples"}, Case{"\"seed\": 3", "\"seed\": -3", "seed"},
        Case{"\"seed\": 3", "\"sede\": 3", "sede"},
        Case{"\"strategy\": \"fold_batch_norm\"", "\"strategi\": \"fold_batch_norm\"", "step 1"},
        Case{"\"strategy\": \"fold_batch_norm\"", "\"strategy\": 3", "step 1"},
        Case{"\"criteria\"", "\"criterions\"", "criterions"},
        Case{"\"min_speedup\": 1.5", "\"min_speedup\": \"fast\"", "min_speedup"},
        Case{"\"min_speedup\"", "\"min_speedups\"", "min_speedups"},
        Case{"\"max_accuracy_loss\": 0.01", "\"max_accuracy_loss\": -7", "max_accuracy_loss"},
        Case{"\"steps\": [", "\"steps\": 3, \"x\": [", "steps"}}) {
    const auto recipe = Recipe::parse(replaced(full_recipe, c.from, c.to), "recipe.json");
    INFO(c.from << " -> " << c.to);
    REQUIRE_FALSE(recipe);
    CHECK(mcomp_test::well_formed(recipe.error()));
    CHECK(std::string(recipe.error().what()).find(c.word) != std::string::npos);
    CHECK(std::string(recipe.error().what()).find("recipe.json") != std::string::npos);
  }
  CHECK(Recipe::read("/nowhere/recipe.json").error().code() == ErrorCode::not_found);
  const Model model = small_model();
  const Samples samples = random_samples(200);
  for (const Case& c :
       {Case{"\"fraction\": 0.25", "\"fraction\": 1", "fraction"},
        Case{"\"fraction\": 0.25", "\"fractoin\": 0.25", "fraction"},
        Case{"\"score\": \"batch_norm_scale\"", "\"score\": \"l7\"", "l7"},
        Case{"\"score\": \"batch_norm_scale\"", "\"scope\": \"local\"", "local"},
        Case{"\"score\": \"batch_norm_scale\"", "\"channel_multiple\": 0", "channel_multiple"},
        Case{"\"fold_batch_norm\"", "\"fold_batch_norms\"", "fold_batch_norm"},
        Case{"\"fold_batch_norm\"", "\"fold_batch_norm\", \"x\": 1", "x"}, Case{"[\"conv1\"]", "[\"conv7\"]", "conv7"},
        Case{"[\"conv1\"]", "\"conv1\"", "keep_f32"}, Case{"\"keep_f32\"", "\"keep_f23\"", "keep_f23"},
        Case{"\"keep_f32\"", "\"weights\": {\"dtype\": \"int16\"}, \"keep_f32\"", "int16"},
        Case{"\"keep_f32\"", "\"weights\": {\"granularity\": \"per_group\"}, \"keep_f32\"", "per_group"},
        Case{"\"keep_f32\"", "\"activations\": {\"observer\": \"best\"}, \"keep_f32\"", "best"},
        Case{"\"keep_f32\"", "\"activations\": {\"percentile\": 7}, \"keep_f32\"", "percentile"},
        Case{"\"calibrate_temperature\"", "\"calibrate_temperature\", \"bins\": 3", "bins"}}) {
    const auto recipe = Recipe::parse(replaced(full_recipe, c.from, c.to), "recipe.json");
    INFO(c.from << " -> " << c.to);
    REQUIRE(recipe);
    const auto made = plan(model, *recipe, {.calibration = &samples});
    REQUIRE_FALSE(made);
    CHECK(mcomp_test::well_formed(made.error()));
    CHECK(std::string(made.error().what()).find(c.word) != std::string::npos);
  }
}

TEST_CASE("bad models and samples are refused, and long work can be cancelled") {
  const Recipe recipe = Recipe::parse(full_recipe, "r").value();
  const Samples samples = random_samples(200);
  const auto refused = [&](const Model& model, const Samples* calibration, ErrorCode code) {
    const auto made = plan(model, recipe, {.calibration = calibration});
    REQUIRE_FALSE(made);
    CHECK(made.error().code() == code);
    CHECK(mcomp_test::well_formed(made.error()));
  };
  refused(small_model(), nullptr, ErrorCode::insufficient_data);
  const Samples none;
  refused(small_model(), &none, ErrorCode::insufficient_data);
  Model bad = small_model();
  bad.weights.put("linear.bias", Tensor::from(std::vector<float>(10, NAN), {10}).value());
  refused(bad, &samples, ErrorCode::invalid_value);
  bad = small_model();
  bad.weights.erase("conv1.weight");
  refused(bad, &samples, ErrorCode::not_found);
  Samples wrong = samples;
  wrong.tensors.put("images", Tensor::zeros(DType::uint8, {200, 3, 8, 9}).value());
  refused(small_model(), &wrong, ErrorCode::invalid_shape);
  wrong = samples;
  wrong.tensors.put("labels", Tensor::zeros(DType::uint8, {199}).value());
  refused(small_model(), &wrong, ErrorCode::invalid_shape);
  wrong.tensors.put("labels", Tensor::from(std::vector<std::int64_t>(200, -1), {200}).value());
  refused(small_model(), &wrong, ErrorCode::invalid_value);
  wrong.tensors.put("labels", Tensor::from(std::vector<std::int64_t>(200, 77), {200}).value());
  refused(small_model(), &wrong, ErrorCode::invalid_value);
  wrong.tensors.put("labels", Tensor::zeros(DType::f32, {200}).value());
  refused(small_model(), &wrong, ErrorCode::invalid_dtype);

  Workbench bench{.calibration = &samples};
  std::vector<std::string> stages;
  bench.context.progress = [&](const ProgressEvent& event) {
    stages.emplace_back(event.stage);
    if (event.stage == "observing ranges") bench.context.cancellation.cancel();
  };
  CHECK(plan(small_model(), recipe, bench).error().code() == ErrorCode::cancelled);
  CHECK(std::find(stages.begin(), stages.end(), "observing ranges") != stages.end());

  const auto folder = mcomp_test::temporary_folder();
  TensorStore store;
  store.put("pictures", Tensor::zeros(DType::uint8, {1, 3, 8, 8}).value());
  REQUIRE(io::write_safetensors(folder / "a.safetensors", store));
  CHECK(load_samples(folder / "a.safetensors").error().code() == ErrorCode::not_found);
  CHECK(load_samples(folder / "b.safetensors").error().code() == ErrorCode::not_found);
  store.put("images", Tensor::zeros(DType::uint8, {0, 3, 8, 8}).value());
  REQUIRE(io::write_safetensors(folder / "a.safetensors", store));
  CHECK(load_samples(folder / "a.safetensors").error().code() == ErrorCode::invalid_shape);
  CHECK(load(folder / "a.safetensors", small_model().network).error().code() == ErrorCode::not_found);
}
