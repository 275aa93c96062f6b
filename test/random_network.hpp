#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "catch.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/network.hpp"

namespace mcomp_test {

/// Normal numbers of a standard deviation.
inline mcomp::Tensor normals(mcomp::Random& random, mcomp::Shape shape, double deviation = 1) {
  mcomp::Tensor t = mcomp::Tensor::zeros(mcomp::DType::f32, std::move(shape)).value();
  for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.normal() * deviation);
  return t;
}

/// Weights of any network, such that activations keep a sensible size; variances and scales are positive.
inline mcomp::TensorStore random_weights(const mcomp::graph::Network& network, mcomp::Random& random) {
  mcomp::TensorStore weights;
  const auto shapes = mcomp::graph::infer_shapes(network).value();
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const auto& operation = network.layers[i].operation;
    const bool image = shapes.output[i].rank() == 3;
    const std::int64_t in = image ? shapes.input[i][0] : shapes.input[i].sizes().back();
    const std::int64_t out = image ? shapes.output[i][0] : shapes.output[i].sizes().back();
    if (const auto* c = std::get_if<mcomp::graph::Convolution>(&operation)) {
      const double fan = static_cast<double>(in / c->groups * c->kernel[0] * c->kernel[1]);
      weights.put(c->weight, normals(random, {out, in / c->groups, c->kernel[0], c->kernel[1]}, std::sqrt(2 / fan)));
    }
    if (const auto* e = std::get_if<mcomp::graph::Embedding>(&operation))
      weights.put(e->weight, normals(random, {e->vocabulary, e->features}));
    if (const auto* n = std::get_if<mcomp::graph::RmsNorm>(&operation)) weights.put(n->weight, normals(random, {in}));
    if (const auto* l = std::get_if<mcomp::graph::Linear>(&operation); l && !weights.contains(l->weight)) // may be tied
      weights.put(l->weight, normals(random, {out, in}, 0.2));
    if (const auto names = mcomp::graph::weight_names(operation); names && !names.bias->empty())
      weights.put(*names.bias, normals(random, {out}, 0.2));
    if (const auto* b = std::get_if<mcomp::graph::BatchNorm>(&operation)) {
      for (const auto& name : {b->bias, b->running_mean}) weights.put(name, normals(random, {in}, 0.2));
      for (const auto& name : {b->weight, b->running_var}) {
        mcomp::Tensor t = normals(random, {in}, 0.1);
        for (float& x : t.mutable_values<float>()) x = 1 + std::abs(x);
        weights.put(name, std::move(t));
      }
    }
  }
  return weights;
}

inline double largest_difference(const mcomp::Tensor& a, const mcomp::Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const auto x = a.values<float>("a").value(), y = b.values<float>("b").value();
  double largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) largest = std::max(largest, static_cast<double>(std::abs(x[i] - y[i])));
  return largest;
}

/// The text with the first `from` replaced, which must be there.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace mcomp_test
