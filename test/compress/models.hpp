#pragma once

#include <string>

#include "data.hpp"
#include "mcomp/compress/plan.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/resnet.hpp"
#include "random_network.hpp"

// Small models with random weights, and samples for them.

namespace mcomp_test {

inline mcomp::compress::Model random_decoder(const mcomp::graph::LlamaOptions& options, std::uint64_t seed = 1) {
  mcomp::compress::Model model;
  model.network = mcomp::graph::llama(options).value();
  mcomp::Random random(seed);
  model.weights = random_weights(model.network, random);
  return model;
}

/// Grouped queries; the head is tied or not.
inline mcomp::graph::LlamaOptions grouped_decoder(bool tied = true) {
  return {.vocabulary = 23,
          .features = 32,
          .hidden = 48,
          .layers = 2,
          .heads = 4,
          .kv_heads = 2,
          .context = 16,
          .tied = tied};
}

inline mcomp::compress::Samples random_tokens(std::int64_t rows, std::int64_t length, std::int64_t vocabulary) {
  mcomp::Random random(5);
  mcomp::Tensor tokens = mcomp::Tensor::zeros(mcomp::DType::int32, {rows, length}).value();
  for (std::int32_t& t : tokens.mutable_values<std::int32_t>())
    t = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary)));
  mcomp::compress::Samples samples;
  samples.tensors.put("tokens", std::move(tokens));
  return samples;
}

inline mcomp::compress::Model random_resnet(std::uint64_t seed = 1) {
  mcomp::compress::Model model;
  model.network = mcomp::graph::cifar_resnet({.depth = 8, .image = {3, 8, 8}}).value();
  mcomp::Random random(seed);
  model.weights = random_weights(model.network, random);
  return model;
}

inline mcomp::compress::Samples random_images(std::int64_t count) {
  mcomp::Random random(7);
  mcomp::Tensor images = mcomp::Tensor::zeros(mcomp::DType::uint8, {count, 3, 8, 8}).value();
  for (auto& x : images.mutable_values<std::uint8_t>()) x = static_cast<std::uint8_t>(random.below(256));
  mcomp::compress::Samples samples;
  samples.tensors.put("images", std::move(images));
  return samples;
}

/// A recipe of these steps (JSON objects, one behind the other).
inline mcomp::compress::Recipe recipe_of(const std::string& steps) {
  return mcomp::compress::Recipe::parse(R"({"schema": "mcomp-recipe-1", "name": "r", "steps": [)" + steps + "]}", "r")
      .value();
}

/// What a model computes from samples.
inline mcomp::Tensor outputs(const mcomp::compress::Model& model, const mcomp::compress::Samples& samples) {
  auto runner = mcomp::compress::Workbench{}.runner(model).value();
  return mcomp::graph::run_batches(*runner, samples.input(model.network.input).value(), 8).value();
}

/// The largest difference as a share of the largest output.
inline double relative_difference(const mcomp::Tensor& a, const mcomp::Tensor& b) {
  double largest = 0;
  for (const float x : a.values<float>("a").value()) largest = std::max(largest, std::abs(static_cast<double>(x)));
  return largest_difference(a, b) / largest;
}

} // namespace mcomp_test
