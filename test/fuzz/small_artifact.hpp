#pragma once

// A small compressed model, the same in every program that makes it.

#include <filesystem>

#include "mcomp/compress/artifact.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp_fuzz {

inline const char* const small_recipe = R"({"schema": "mcomp-recipe-1", "name": "small", "description": "a seed",
  "calibration": {"samples": 4, "seed": 3},
  "steps": [{"strategy": "quantize", "weights": {"dtype": "int4"}, "keep_f32": ["fc"], "never_slower": false},
            {"strategy": "calibrate_temperature", "held_out": true}],
  "criteria": {"max_accuracy_loss": 0.01, "min_speedup": 1.5, "confidence": 0.9}})";

inline const char* const small_network = R"({"schema": "mcomp-network-1", "name": "small",
  "input": {"shape": [2, 4, 4], "scale": 0.5, "mean": [0.5], "std": [0.25, 0.5]},
  "layers": [
    {"name": "conv", "op": "convolution", "out_channels": 3, "kernel": [3, 3], "padding": [1, 1], "bias": "conv.bias"},
    {"name": "act", "op": "activation", "kind": "relu"},
    {"name": "mean", "op": "pooling", "global": true},
    {"name": "flat", "op": "flatten"},
    {"name": "fc", "op": "linear", "out_features": 2, "bias": "fc.bias"}]})";

/// What `plan` decides about a small model on four images.
inline mcomp::compress::Artifact small_artifact() {
  using namespace mcomp;
  Random random(1);
  const auto numbers = [&](Shape shape) {
    Tensor t = Tensor::zeros(DType::f32, std::move(shape)).value();
    for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.normal());
    return t;
  };
  compress::Model model;
  model.network = graph::network_from_json(small_network, "small").value();
  model.weights.put("conv.weight", numbers({3, 2, 3, 3}));
  model.weights.put("conv.bias", numbers({3}));
  model.weights.put("fc.weight", numbers({2, 3}));
  model.weights.put("fc.bias", numbers({2}));
  compress::Samples samples;
  Tensor images = Tensor::zeros(DType::uint8, {8, 2, 4, 4}).value(), labels = Tensor::zeros(DType::int32, {8}).value();
  for (auto& x : images.mutable_values<std::uint8_t>()) x = static_cast<std::uint8_t>(random.below(256));
  for (auto& x : labels.mutable_values<std::int32_t>()) x = static_cast<std::int32_t>(random.below(2));
  samples.tensors.put("images", std::move(images));
  samples.tensors.put("labels", std::move(labels));
  compress::Artifact artifact;
  artifact.recipe = compress::Recipe::parse(small_recipe, "small").value();
  artifact.plan = compress::plan(model, artifact.recipe, {.calibration = &samples}).value();
  artifact.model = compress::apply(artifact.plan, model).value();
  artifact.model.temperature = 1.25;
  return artifact;
}

/// Writes it into a folder.
inline void write_small_artifact(const std::filesystem::path& folder) {
  const auto artifact = small_artifact();
  mcomp::compress::write_artifact(folder, artifact.model, artifact.recipe, artifact.plan).value();
}

} // namespace mcomp_fuzz
