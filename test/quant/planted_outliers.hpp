#pragma once

// Outliers planted into the layers of trained networks, and what is done against them. 1 % of the channels (at least
// one) between two layers is 50 times as large, and the weights behind it 50 times as small, so that the network
// computes what it did. Layers then run with int8 weights, one scale a channel, and eight-bit inputs, one scale a
// tensor, whose range is that of other samples.

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "mcomp/core/eigen.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/prune/batch_norm_folding.hpp"
#include "mcomp/quant/channel_scaling.hpp"
#include "mcomp/quant/quantize.hpp"
#include "mcomp/quant/rotation.hpp"

namespace mcomp_test {

constexpr float outlier = 50;

/// Squared errors relative to the squared output of the layers as they are trained.
struct OutlierErrors {
  std::string layer;
  double unplanted = 0;       ///< W8A8 without outliers
  double planted = 0;         ///< W8A8 with them
  double treated = 0;         ///< and after the treatment
  double function_change = 0; ///< of the treatment, without quantization: a norm, not its square
};

using Rows = mcomp::RowMajorMatrix<double>;

inline Rows rows_of(const mcomp::TensorView& x) {
  const std::int64_t features = x.size(x.rank() - 1);
  return mcomp::as_matrix<float>(
             mcomp::TensorView(x.data(), x.dtype(), mcomp::Shape{x.elements() / features, features}), "x")
      ->cast<double>();
}
inline double relative_square(const Rows& y, const Rows& reference) {
  return (y - reference).squaredNorm() / reference.squaredNorm();
}
/// Weights as int8 codes mean them.
inline mcomp::Tensor int8_weight(const mcomp::Tensor& w) {
  return mcomp::quant::dequantize(mcomp::quant::quantize(w, {.dtype = mcomp::DType::int8}).value()).value();
}
/// Inputs as eight-bit codes over the range of `fit` mean them.
inline mcomp::Tensor eight_bit(const mcomp::Tensor& x, const mcomp::Tensor& fit) {
  mcomp::quant::Range range;
  for (const float v : fit.values<float>("x").value()) range = {std::min(range.min, v), std::max(range.max, v)};
  const auto parameters = mcomp::quant::parameters_for(range, mcomp::DType::uint8, false).value();
  return mcomp::quant::dequantize_activations(mcomp::quant::quantize_activations(x, parameters).value(), parameters)
      .value();
}
inline mcomp::Tensor largest_magnitudes(const mcomp::Tensor& x) { // of the last axis
  mcomp::Tensor result = mcomp::Tensor::zeros(mcomp::DType::f32, {x.size(x.rank() - 1)}).value();
  const Eigen::RowVectorXd largest = rows_of(x).cwiseAbs().colwise().maxCoeff();
  for (Eigen::Index i = 0; i < largest.size(); ++i)
    result.mutable_values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(largest[i]);
  return result;
}
/// Of the channels of images, NCHW.
inline mcomp::Tensor largest_channels(const mcomp::Tensor& x) {
  mcomp::Tensor result = mcomp::Tensor::zeros(mcomp::DType::f32, {x.size(1)}).value();
  const std::int64_t area = x.size(2) * x.size(3);
  auto largest = result.mutable_values<float>();
  const auto values = x.values<float>("x").value();
  for (std::size_t i = 0; i < values.size(); ++i) {
    float& m = largest[i / static_cast<std::size_t>(area) % largest.size()];
    m = std::max(m, std::abs(values[i]));
  }
  return result;
}
/// f32 [channels]: 1, and the outlier in one channel of a hundred, drawn from those that reach a tenth of the largest
/// value: what a channel that is always nearly zero is multiplied by does not matter.
inline mcomp::Tensor planted_factors(const mcomp::Tensor& largest, mcomp::Random& random) {
  const auto sizes = largest.values<float>("largest").value();
  std::vector<std::size_t> alive;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i] >= 0.1f * *std::max_element(sizes.begin(), sizes.end())) alive.push_back(i);
  mcomp::Tensor factors = mcomp::Tensor::zeros(mcomp::DType::f32, largest.shape()).value();
  auto f = factors.mutable_values<float>();
  std::fill(f.begin(), f.end(), 1.0f);
  for (std::size_t i = 0; i < std::max<std::size_t>(1, sizes.size() / 100); ++i)
    f[alive[random.below(alive.size())]] = outlier;
  return factors;
}
inline mcomp::Tensor inverse(const mcomp::Tensor& factors) {
  mcomp::Tensor result = factors;
  for (float& x : result.mutable_values<float>()) x = 1 / x;
  return result;
}

/// A normalization and the linear layers that take its output.
struct NormalizedLayers {
  std::string name;
  mcomp::Tensor norm;                 ///< f32 [features]
  std::vector<mcomp::Tensor> weights; ///< [out, features]
  mcomp::Tensor fit, held_out;        ///< normalized rows, before the weight of the normalization
};

/// Queries, keys and values, and gate and up, of every layer of a decoder.
inline std::vector<NormalizedLayers> normalized_layers(const std::filesystem::path& model_file,
                                                       const std::filesystem::path& token_file) {
  using namespace mcomp;
  const auto model = io::read_safetensors(model_file).value(), data = io::read_safetensors(token_file).value();
  const auto network = graph::llama(graph::llama_options(model.tensors, model.metadata).value()).value();
  std::vector<NormalizedLayers> result;
  for (const graph::Layer& layer : network.layers)
    if (const auto* norm = std::get_if<graph::RmsNorm>(&layer.operation)) {
      NormalizedLayers group{layer.name, to_f32(model.tensors.find(norm->weight).value(), "norm").value(), {}, {}, {}};
      for (const std::size_t user : network.users(layer.name))
        if (const auto* l = std::get_if<graph::Linear>(&network.layers[user].operation);
            l && network.layers[user].name != network.output)
          group.weights.push_back(to_f32(model.tensors.find(l->weight).value(), "w").value());
      if (!group.weights.empty()) result.push_back(std::move(group));
    }
  const auto runner = graph::reference_runner(network, model.tensors).value();
  for (const char* part : {"calibration", "evaluation"}) {
    const TensorView tokens = data.tensors.find(part).value();
    constexpr std::int64_t texts = 16;
    const std::int64_t length = tokens.size(1);
    runner
        ->run(Tensor::copy_of(tokens.rows(0, texts).value()).value(),
              [&](std::string_view name, const TensorView& output) {
                for (NormalizedLayers& group : result) {
                  if (group.name != name) continue;
                  const std::int64_t features = output.size(output.rank() - 1);
                  const Tensor rows = Tensor::copy_of(output).value().reshaped({texts * length, features}).value();
                  (part[0] == 'c' ? group.fit : group.held_out) =
                      quant::scale_columns(rows, inverse(group.norm)).value();
                }
              })
        .value();
  }
  return result;
}

/// Outputs of all weights beside each other.
inline Rows outputs(const mcomp::Tensor& x, const std::vector<mcomp::Tensor>& weights) {
  Eigen::Index out = 0, at = 0;
  for (const mcomp::Tensor& w : weights) out += w.size(0);
  Rows y(x.size(0), out);
  for (const mcomp::Tensor& w : weights) {
    y.middleCols(at, w.size(0)) = rows_of(x) * rows_of(w).transpose();
    at += w.size(0);
  }
  return y;
}
inline Rows w8a8_outputs(const mcomp::Tensor& x, const mcomp::Tensor& fit, std::vector<mcomp::Tensor> weights) {
  for (mcomp::Tensor& w : weights) w = int8_weight(w);
  return outputs(eight_bit(x, fit), weights);
}

enum class Treatment { smoothing, rotation };

/// SmoothQuant into the normalization's weight, or a rotation of what is normalized.
inline OutlierErrors normalized_errors(const NormalizedLayers& layers, Treatment treatment, std::uint64_t seed) {
  using namespace mcomp;
  using quant::scale_columns;
  Random random(seed);
  OutlierErrors errors{.layer = layers.name};
  const auto input = [](const Tensor& x, const Tensor& norm) { return scale_columns(x, norm).value(); };
  const Rows y = outputs(input(layers.held_out, layers.norm), layers.weights);
  errors.unplanted = relative_square(
      w8a8_outputs(input(layers.held_out, layers.norm), input(layers.fit, layers.norm), layers.weights), y);

  const Tensor factors = planted_factors(largest_magnitudes(input(layers.fit, layers.norm)), random);
  const Tensor fit = scale_columns(layers.fit, factors).value(), x = scale_columns(layers.held_out, factors).value();
  std::vector<Tensor> weights;
  for (const Tensor& w : layers.weights) weights.push_back(scale_columns(w, inverse(factors)).value());
  errors.planted = relative_square(w8a8_outputs(input(x, layers.norm), input(fit, layers.norm), weights), y);

  if (treatment == Treatment::smoothing) {
    const Tensor scales =
        quant::smoothing_scales(largest_magnitudes(input(fit, layers.norm)), {weights.begin(), weights.end()}).value();
    const Tensor norm = quant::divide_rows(layers.norm, scales).value();
    for (Tensor& w : weights) w = scale_columns(w, scales).value();
    errors.function_change = std::sqrt(relative_square(outputs(input(x, norm), weights), y));
    errors.treated = relative_square(w8a8_outputs(input(x, norm), input(fit, norm), weights), y);
  } else {
    const auto rotation = quant::Rotation::random(layers.norm.size(0), seed).value();
    for (Tensor& w : weights) w = rotation.rotate_columns(scale_columns(w, layers.norm).value()).value();
    const Tensor turned = rotation.rotate_columns(x).value(), turned_fit = rotation.rotate_columns(fit).value();
    errors.function_change = std::sqrt(relative_square(outputs(turned, weights), y));
    errors.treated = relative_square(w8a8_outputs(turned, turned_fit, weights), y);
  }
  return errors;
}

/// Two convolutions of a residual block with a ReLU between them, batch normalization folded.
struct ConvolutionPair {
  std::string name;
  mcomp::graph::Network first_half, second_half; ///< convolution and ReLU; convolution
  mcomp::TensorStore weights;
  mcomp::Tensor fit, held_out; ///< inputs, NCHW
};

inline std::vector<ConvolutionPair> convolution_pairs(const std::filesystem::path& model_file, std::int64_t depth,
                                                      const std::filesystem::path& image_file) {
  using namespace mcomp;
  const auto model = io::read_safetensors(model_file).value(), data = io::read_safetensors(image_file).value();
  const auto folded = prune::fold_batch_norm(graph::cifar_resnet({.depth = depth}).value(), model.tensors).value();
  const auto shapes = graph::infer_shapes(folded.network).value();
  const auto& layers = folded.network.layers;
  std::vector<ConvolutionPair> pairs;
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::vector<std::size_t> users = folded.network.users(layers[i].name);
    if (!std::holds_alternative<graph::Convolution>(layers[i].operation) || users.size() != 1) continue;
    const graph::Layer& between = layers[users[0]];
    const std::vector<std::size_t> next = folded.network.users(between.name);
    if (!std::holds_alternative<graph::Activation>(between.operation) || next.size() != 1 ||
        !std::holds_alternative<graph::Convolution>(layers[next[0]].operation))
      continue;
    ConvolutionPair pair{layers[i].name, {}, {}, folded.weights, {}, {}};
    const auto part = [](const char* name, const Shape& shape, std::vector<graph::Layer> own) {
      for (std::size_t k = 0; k < own.size(); ++k)
        own[k].inputs = {k == 0 ? std::string(graph::network_input) : own[k - 1].name};
      return graph::Network{name, {.shape = shape, .scale = 1}, own, own.back().name};
    };
    pair.first_half = part("first", shapes.input[i], {layers[i], between});
    pair.second_half = part("second", shapes.output[i], {layers[next[0]]});
    inputs.push_back(layers[i].inputs[0]);
    pairs.push_back(std::move(pair));
  }
  const auto runner = graph::reference_runner(folded.network, folded.weights).value();
  const TensorView images = data.tensors.find("images").value();
  for (const bool fit : {true, false}) {
    const std::int64_t begin = fit ? 0 : 512;
    const Tensor batch = graph::normalize(folded.network.input, images.rows(begin, begin + 16).value()).value();
    runner
        ->run(batch,
              [&](std::string_view name, const TensorView& output) {
                for (std::size_t i = 0; i < pairs.size(); ++i)
                  if (inputs[i] == name) (fit ? pairs[i].fit : pairs[i].held_out) = Tensor::copy_of(output).value();
              })
        .value();
  }
  return pairs;
}

/// Cross-layer equalization of the pair.
inline OutlierErrors equalized_errors(const ConvolutionPair& pair, std::uint64_t seed) {
  using namespace mcomp;
  Random random(seed);
  const auto &first = std::get<graph::Convolution>(pair.first_half.layers[0].operation),
             &second = std::get<graph::Convolution>(pair.second_half.layers[0].operation);
  const auto tensor = [&](const std::string& name) { return to_f32(pair.weights.find(name).value(), name).value(); };
  struct Weights {
    Tensor first, bias, second;
  };
  const auto run = [](const graph::Network& network, const TensorStore& weights, const Tensor& x) {
    return graph::reference_runner(network, weights).value()->run(x).value();
  };
  const auto output = [&](const Weights& w, bool quantized) {
    TensorStore store = pair.weights;
    store.put(first.weight, quantized ? int8_weight(w.first) : w.first);
    store.put(first.bias, w.bias);
    store.put(second.weight, quantized ? int8_weight(w.second) : w.second);
    const Tensor fit = run(pair.first_half, store, quantized ? eight_bit(pair.fit, pair.fit) : pair.fit);
    Tensor x = run(pair.first_half, store, quantized ? eight_bit(pair.held_out, pair.fit) : pair.held_out);
    if (quantized) x = eight_bit(x, fit);
    return rows_of(run(pair.second_half, store, x));
  };
  const Weights plain{tensor(first.weight), tensor(first.bias), tensor(second.weight)};
  const Rows y = output(plain, false);
  const Tensor middle = run(pair.first_half, pair.weights, pair.fit);
  OutlierErrors errors{.layer = pair.name, .unplanted = relative_square(output(plain, true), y)};
  const Tensor factors = inverse(planted_factors(largest_channels(middle), random));
  const Weights planted{quant::divide_rows(plain.first, factors).value(),
                        quant::divide_rows(plain.bias, factors).value(),
                        quant::scale_columns(plain.second, factors).value()};
  errors.planted = relative_square(output(planted, true), y);
  auto equal = quant::equalize(planted.first, planted.bias, planted.second).value();
  const Weights treated{std::move(equal.first), std::move(equal.first_bias), std::move(equal.second)};
  errors.function_change = std::sqrt(relative_square(output(treated, false), output(planted, false)));
  errors.treated = relative_square(output(treated, true), y);
  return errors;
}

/// Means over layers of the logarithms of errors, so that no layer decides alone.
struct OutlierSummary {
  double unplanted = 0, planted = 0, treated = 0; ///< geometric means
  double least_gain = 0;                          ///< the smallest planted / treated of a layer
  double gain = 0;                                ///< the geometric mean of planted / treated
  double function_change = 0;                     ///< the largest
};

inline OutlierSummary summarize(const std::vector<OutlierErrors>& errors) {
  OutlierSummary s{.least_gain = INFINITY};
  const double n = static_cast<double>(errors.size());
  for (const OutlierErrors& e : errors) {
    s.unplanted += std::log(e.unplanted) / n, s.planted += std::log(e.planted) / n,
        s.treated += std::log(e.treated) / n;
    s.least_gain = std::min(s.least_gain, e.planted / e.treated);
    s.function_change = std::max(s.function_change, e.function_change);
  }
  s.unplanted = std::exp(s.unplanted), s.planted = std::exp(s.planted), s.treated = std::exp(s.treated);
  s.gain = s.planted / s.treated;
  return s;
}

} // namespace mcomp_test
