#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "mcomp/compress/artifact.hpp"
#include "models.hpp"

// Steps that change weights and not what a network computes.

using namespace mcomp;
using namespace mcomp::compress;
using namespace mcomp_test;

namespace {

/// conv -> relu -> depthwise -> relu -> conv -> max pooling -> flatten -> linear -> relu -> linear
Model chain() {
  Model model;
  model.network = graph::network_from_json(R"({"schema": "mcomp-network-1", "name": "chain",
    "input": {"shape": [3, 8, 8]},
    "layers": [
      {"name": "a", "op": "convolution", "inputs": ["input"], "out_channels": 6, "kernel": [3, 3], "padding": [1, 1], "bias": "a.bias"},
      {"name": "ra", "op": "activation", "kind": "relu"},
      {"name": "depthwise", "op": "convolution", "out_channels": 6, "kernel": [3, 3], "padding": [1, 1], "groups": 6},
      {"name": "rd", "op": "activation", "kind": "relu"},
      {"name": "b", "op": "convolution", "out_channels": 5, "kernel": [1, 1]},
      {"name": "pool", "op": "pooling", "kind": "max", "kernel": [2, 2]},
      {"name": "flat", "op": "flatten"},
      {"name": "c", "op": "linear", "out_features": 12, "bias": "c.bias"},
      {"name": "rc", "op": "activation", "kind": "relu"},
      {"name": "d", "op": "linear", "out_features": 10}]})",
                                           "chain")
                      .value();
  Random random(3);
  model.weights = random_weights(model.network, random);
  // Uneven channels, so that there is something to equalize.
  for (const char* name : {"a.weight", "b.weight", "c.weight"}) {
    Tensor t = Tensor::copy_of(model.weights.find(name).value()).value();
    const std::int64_t row = t.elements() / t.size(0);
    auto values = t.mutable_values<float>();
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] *= std::exp2(static_cast<float>(static_cast<std::int64_t>(i) / row % 5 - 2));
    model.weights.put(name, std::move(t));
  }
  return model;
}

/// Plans, checks that the decision survives as text and gives the same bytes again, and returns what came out.
Model applied(const Model& model, const Samples& samples, const std::string& steps) {
  const Plan made = plan(model, recipe_of(steps), {.calibration = &samples}).value();
  ThreadPool pool(2);
  CHECK(plan(model, recipe_of(steps), {.calibration = &samples, .context = {.executor = &pool}}).value() == made);
  const Plan read = plan_from_json(to_json(made), "plan").value();
  CHECK(read == made);
  Model result = apply(made, model).value();
  CHECK(fingerprint(apply(read, model).value()) == fingerprint(result));
  CHECK(made.bytes_after == result.stored_bytes());
  std::int64_t bytes = made.bytes_before;
  for (const Decision& decision : made.decisions)
    for (const PlanEntry& entry : decision.entries) {
      CHECK_FALSE(entry.action.empty());
      CHECK_FALSE(entry.reason.empty());
      bytes += entry.bytes_after - entry.bytes_before;
    }
  CHECK(bytes == made.bytes_after);
  return result;
}

/// Largest over smallest of the largest magnitudes of rows.
double spread(const Model& model, const std::string& tensor) {
  const Tensor t = Tensor::copy_of(model.weights.find(tensor).value()).value();
  const auto values = t.values<float>(tensor).value();
  std::vector<double> rows(static_cast<std::size_t>(t.size(0)), 0.0);
  for (std::size_t i = 0; i < values.size(); ++i)
    rows[i / (values.size() / rows.size())] =
        std::max(rows[i / (values.size() / rows.size())], static_cast<double>(std::abs(values[i])));
  return *std::max_element(rows.begin(), rows.end()) / *std::min_element(rows.begin(), rows.end());
}

const PlanEntry& entry_of(const Plan& plan, const std::string& subject) {
  for (const Decision& decision : plan.decisions)
    for (const PlanEntry& entry : decision.entries)
      if (entry.subject == subject) return entry;
  FAIL("no entry about " << subject);
  throw std::logic_error("unreachable");
}

bool same(const Model& a, const Model& b, const std::string& tensor) {
  return Tensor::copy_of(a.weights.find(tensor).value()).value() ==
         Tensor::copy_of(b.weights.find(tensor).value()).value();
}

} // namespace

TEST_CASE("a decoder computes the same after rotation, smoothing and the scales of AWQ") {
  for (const bool tied : {true, false})
    for (const std::int64_t kv_heads : {2, 4}) {
      auto options = grouped_decoder(tied);
      options.kv_heads = kv_heads;
      const Model model = random_decoder(options);
      const Samples samples = random_tokens(12, 16, options.vocabulary);
      const Tensor expected = outputs(model, samples);
      const std::string quantize = R"(, {"strategy": "quantize_weights", "format": "int8"})";
      for (const char* steps :
           {R"({"strategy": "rotate", "seed": 4})", R"({"strategy": "smooth", "alpha": 0.7})",
            R"({"strategy": "rotate"}, {"strategy": "smooth"})", R"({"strategy": "smooth"}, {"strategy": "smooth"})"}) {
        INFO(steps << ", tied " << tied << ", kv heads " << kv_heads);
        const Model result = applied(model, samples, steps);
        CHECK(relative_difference(expected, outputs(result, samples)) < 1e-5);
        CHECK_FALSE(same(model, result, "model.layers.1.mlp.up_proj.weight"));
      }
      // AWQ is for a step that quantizes; its own part of the recipe changes nothing.
      const std::string awq = R"({"strategy": "awq", "format": "int4:g16"})";
      const Plan made = plan(model, recipe_of(awq + quantize), {.calibration = &samples}).value();
      const StrategyRegistry registry;
      const Model scaled = registry.find("awq").value()->apply(model, made.decisions[0]).value();
      CHECK(relative_difference(expected, outputs(scaled, samples)) < 1e-5);
      CHECK_FALSE(same(model, scaled, "model.layers.0.input_layernorm.weight"));
      CHECK(relative_difference(expected, outputs(applied(model, samples, awq + quantize), samples)) < 0.2);
    }
}

TEST_CASE("scales move at every place of a decoder where nothing in between feels them") {
  const Samples samples = random_tokens(12, 16, 23);
  const auto subjects = [&](const graph::LlamaOptions& options) {
    const Plan made =
        plan(random_decoder(options), recipe_of(R"({"strategy": "smooth"})"), {.calibration = &samples}).value();
    std::vector<std::string> result;
    for (const PlanEntry& entry : made.decisions[0].entries)
      if (entry.action.starts_with("divided")) result.push_back(entry.subject);
    return result;
  };
  auto options = grouped_decoder();
  options.layers = 1;
  const std::vector<std::string> tied{"model.layers.0.input_layernorm.weight",
                                      "model.layers.0.post_attention_layernorm.weight",
                                      "model.layers.0.mlp.up_proj.weight"};
  CHECK(subjects(options) == tied); // a tied head cannot take scales, and grouped queries share the values' channels
  options.tied = false;
  options.kv_heads = options.heads;
  CHECK(subjects(options) == std::vector<std::string>{tied[0], "model.layers.0.self_attn.v_proj.weight", tied[1],
                                                      tied[2], "model.norm.weight"});
}

TEST_CASE("rotation spreads outliers, unties the head and says what that costs") {
  Model model = random_decoder(grouped_decoder());
  Tensor table = Tensor::copy_of(model.weights.find("model.embed_tokens.weight").value()).value();
  for (std::size_t i = 3; i < 23 * 32; i += 32) table.mutable_values<float>()[i] *= 50; // one loud channel
  model.weights.put("model.embed_tokens.weight", std::move(table));
  const Plan made = plan(model, recipe_of(R"({"strategy": "rotate"})"), {}).value();
  const PlanEntry& head = entry_of(made, "lm_head.weight");
  CHECK(head.action == "untied from model.embed_tokens.weight");
  CHECK(head.bytes_before == 0);
  CHECK(head.bytes_after == 23 * 32 * 4);
  CHECK(made.bytes_after == made.bytes_before + 23 * 32 * 4);
  const Model rotated = apply(made, model).value();
  CHECK(std::get<graph::Linear>(rotated.network.find("lm_head")->operation).weight == "lm_head.weight");
  const auto norm = Tensor::copy_of(rotated.weights.find("model.layers.0.input_layernorm.weight").value()).value();
  for (const float w : norm.values<float>("norm").value()) CHECK(w == 1);
  const auto kurtosis = [](const Model& m) {
    const Tensor t = Tensor::copy_of(m.weights.find("model.embed_tokens.weight").value()).value();
    double square = 0, fourth = 0;
    for (const float x : t.values<float>("table").value()) {
      const double xx = static_cast<double>(x) * static_cast<double>(x);
      square += xx, fourth += xx * xx;
    }
    return fourth * static_cast<double>(t.elements()) / (square * square);
  };
  CHECK(kurtosis(model) > 20);
  CHECK(kurtosis(rotated) < 6);
  const Samples samples = random_tokens(4, 16, 23);
  CHECK(relative_difference(outputs(model, samples), outputs(rotated, samples)) < 1e-5);
  CHECK(fingerprint(apply(plan(model, recipe_of(R"({"strategy": "rotate", "seed": 2})"), {}).value(), model).value()) !=
        fingerprint(rotated));
}

TEST_CASE("chains of layers and residual networks compute the same after equalization and smoothing") {
  const Samples samples = random_images(24);
  struct Case {
    Model model;
    std::string fold;
    std::string changed;
  };
  for (const Case& c : {Case{chain(), "", "b.weight"},
                        Case{random_resnet(), R"({"strategy": "fold_batch_norm"}, )", "layer2.0.conv2.weight"}}) {
    const Tensor expected = outputs(c.model, samples);
    for (const char* step : {R"({"strategy": "equalize"})", R"({"strategy": "smooth"})",
                             R"({"strategy": "equalize"}, {"strategy": "smooth", "alpha": 0.25})"}) {
      INFO(c.model.network.name << " " << step);
      const Model result = applied(c.model, samples, c.fold + step);
      CHECK(relative_difference(expected, outputs(result, samples)) < 1e-5);
      CHECK_FALSE(same(c.model, result, c.changed));
    }
  }
  // The pair (b, c) stands on both sides of pooling and flattening; what flows into convolutions in groups stays.
  const Model model = chain(), equalized = applied(model, samples, R"({"strategy": "equalize"})");
  CHECK(spread(equalized, "b.weight") < 0.5 * spread(model, "b.weight"));
  CHECK(same(model, equalized, "a.weight"));
}

TEST_CASE("equalized channels lose less in four bits with one scale for a tensor") {
  const Samples samples = random_images(32);
  const Model model = chain();
  const Tensor expected = outputs(model, samples);
  const std::string quantize = R"({"strategy": "quantize_weights", "format": "int4:tensor"})";
  const Model plain = applied(model, samples, quantize),
              equalized = applied(model, samples, R"({"strategy": "equalize"}, )" + quantize);
  CHECK(relative_difference(expected, outputs(equalized, samples)) <
        relative_difference(expected, outputs(plain, samples)));
}

TEST_CASE("AWQ scales the inputs of linear layers of classifiers too") {
  const Model model = chain();
  const Samples samples = random_images(32);
  const Plan made = plan(model, recipe_of(R"({"strategy": "awq", "format": "int3"},
                                      {"strategy": "quantize_weights", "formats": {"d.weight": "int3"}})"),
                         {.calibration = &samples})
                        .value();
  const StrategyRegistry registry;
  const Model scaled = registry.find("awq").value()->apply(model, made.decisions[0]).value();
  CHECK(relative_difference(outputs(model, samples), outputs(scaled, samples)) < 1e-5);
  CHECK_FALSE(same(model, scaled, "d.weight"));
  CHECK(same(model, scaled, "b.weight"));
  CHECK(entry_of(made, "c.weight").reason.find("in int3") != std::string::npos);
  const Model nearest = applied(model, samples, R"({"strategy": "quantize_weights", "formats": {"d.weight": "int3"}})"),
              awq = apply(made, model).value();
  const Tensor expected = outputs(model, samples);
  const auto error = [&](const Model& m) {
    double sum = 0;
    const Tensor found = outputs(m, samples);
    for (std::size_t i = 0; i < 320; ++i)
      sum += std::pow(static_cast<double>(found.values<float>("f").value()[i]) -
                          static_cast<double>(expected.values<float>("e").value()[i]),
                      2);
    return sum;
  };
  CHECK(error(awq) <= 1.0001 * error(nearest)); // the search measures exactly this
}

TEST_CASE("decisions that do not belong to a network are refused") {
  const StrategyRegistry registry;
  const Model decoder = random_decoder(grouped_decoder()), network = chain();
  const Samples samples = random_tokens(4, 16, 23);
  const Plan made = plan(decoder, recipe_of(R"({"strategy": "smooth"})"), {.calibration = &samples}).value();
  const auto refused = [&](const char* strategy, const Model& model, const std::string& parameters) {
    const auto result = registry.find(strategy).value()->apply(model, {strategy, "{}", parameters, {}});
    INFO(strategy << " " << parameters.substr(0, 60));
    REQUIRE_FALSE(result);
    CHECK(well_formed(result.error()));
    CHECK(result.error().code() == ErrorCode::corrupt);
  };
  refused("smooth", network, made.decisions[0].parameters);
  refused("smooth", network, R"({"places": [{"producer": "c", "exponents": [1]}]})");
  refused("equalize", network, R"({"places": [{"producer": "b", "exponents": [0, 0, 999, 0, 0]}]})");
  refused("equalize", network, R"({"place": []})");
  refused("awq", network, "[]");
  refused("rotate", decoder, R"({"seed": -1})");
  refused("bias_correction", network, R"({"biases": {"z": [0]}})");
  refused("bias_correction", network, R"({"biases": {"d": [0]}})");
  refused("quantize_weights", network, R"({"method": "nearest", "refine": 0, "tensors": 3})");
}
