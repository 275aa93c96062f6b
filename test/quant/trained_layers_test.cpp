// Bars on the layers of trained networks, in the setting of bench/quant/compensation_quality.cpp: squared output error
// on samples not used for fitting, ratio to round-to-nearest with clipped scales, mean over layers.

#include <functional>

#include "correlated_layer.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/patches.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/quant/adaround.hpp"
#include "mcomp/quant/awq.hpp"
#include "mcomp/quant/bias_correction.hpp"
#include "mcomp/quant/gptq.hpp"
#include "mcomp/quant/hqq.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::Matrix;
using mcomp_test::matrix;

namespace {

struct Layer {
  std::size_t index;
  Tensor weight; ///< [out, in]
  stats::Gram fit, held_out;
};

std::vector<Layer> layers_of(const graph::Network& network, const TensorStore& weights,
                             const std::function<bool(std::size_t)>& wanted) {
  std::vector<Layer> layers;
  std::size_t count = 0;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const auto names = graph::weight_names(network.layers[i].operation);
    const bool matrix_product = std::holds_alternative<graph::Convolution>(network.layers[i].operation) ||
                                std::holds_alternative<graph::Linear>(network.layers[i].operation);
    if (!matrix_product || network.layers[i].name == network.output || !wanted(count++)) continue;
    const TensorView w = weights.find(*names.weight).value();
    const std::int64_t out = w.size(0), in = w.elements() / out;
    layers.push_back({i, Tensor::copy_of(w).value().reshaped({out, in}).value(), stats::Gram(in), stats::Gram(in)});
  }
  return layers;
}

void observe(graph::Runner& runner, const Tensor& input, stats::Gram Layer::*gram, std::vector<Layer>& layers) {
  const auto tap = [&](std::string_view name, const TensorView& output) {
    for (Layer& layer : layers) {
      const graph::Layer& source = runner.network().layers[layer.index];
      if (source.inputs[0] != name) continue;
      const std::int64_t features = output.size(output.rank() - 1);
      const auto* c = std::get_if<graph::Convolution>(&source.operation);
      const Tensor rows =
          c ? graph::convolution_patches(*c, output).value()
            : Tensor::copy_of(output).value().reshaped({output.elements() / features, features}).value();
      (layer.*gram).update(rows).value();
    }
  };
  runner.run(input, tap).value();
}

struct Outcome {
  Tensor weight, bias{};
};
using Method = std::function<Outcome(const Layer&, const Scheme&)>;

double held_out_error(const Layer& layer, const Outcome& q) {
  const Tensor moments = layer.held_out.second_moment();
  const Matrix e = matrix(layer.weight) - matrix(q.weight);
  double error = (e * *as_matrix<double>(moments, "H")).cwiseProduct(e).sum();
  if (q.bias.elements() != 0) {
    const std::vector<double> mean = layer.held_out.mean();
    const Eigen::VectorXd b = matrix(q.bias);
    error += b.squaredNorm() - 2 * b.dot(e * Eigen::Map<const Eigen::VectorXd>(mean.data(), e.cols()));
  }
  return error;
}

Outcome clipped(const Layer& layer, const Scheme& scheme) {
  return {dequantize(quantize_clipped(layer.weight, scheme, {.clip = {.refit = false}}).value().tensor).value()};
}

double mean_ratio(const std::vector<Layer>& layers, Scheme scheme, const Method& method) {
  double sum = 0;
  for (const Layer& layer : layers) {
    Scheme own = scheme;
    if (scheme.group_size != 0 && layer.weight.size(1) % scheme.group_size != 0)
      own.granularity = Granularity::per_channel, own.group_size = 0;
    sum += held_out_error(layer, method(layer, own)) / held_out_error(layer, clipped(layer, own));
  }
  return sum / static_cast<double>(layers.size());
}

Method compensated(int rounds) {
  return [=](const Layer& layer, const Scheme& scheme) {
    const auto q =
        gptq(layer.weight, layer.fit, {.scheme = scheme, .refine = {.rounds = rounds}, .relative_error = false});
    return Outcome{dequantize(q.value().tensor).value()};
  };
}

Outcome bias_corrected(const Layer& layer, const Scheme& scheme) {
  Outcome q = clipped(layer, scheme);
  q.bias = correct_bias(layer.weight, q.weight, layer.fit).value().bias;
  return q;
}

Outcome rounded(const Layer& layer, const Scheme& scheme) {
  return {
      dequantize(
          adaround(layer.weight, layer.fit, {.scheme = scheme, .clip = {.refit = false}, .steps = 300}).value().tensor)
          .value()};
}

/// Output error of HQQ by that of rounding to nearest with the same scheme: no data are used.
double hqq_ratio(const std::vector<Layer>& layers, const Scheme& scheme) {
  double sum = 0;
  for (const Layer& layer : layers)
    sum += held_out_error(layer, {dequantize(hqq(layer.weight, {.scheme = scheme}).value().tensor).value()}) /
           held_out_error(layer, {dequantize(quantize(layer.weight, scheme).value()).value()});
  return sum / static_cast<double>(layers.size());
}

} // namespace

TEST_CASE("compensation on stories260k keeps the bars", "[slow]") {
  const auto file = mcomp_test::data("language/stories260k.safetensors"),
             data = mcomp_test::data("language/tinystories_tokens.safetensors");
  if (!file || !data) return;
  const auto model = io::read_safetensors(*file).value(), rows = io::read_safetensors(*data).value();
  const graph::Network network = graph::llama(graph::llama_options(model.tensors, model.metadata).value()).value();
  auto layers = layers_of(network, model.tensors, [](std::size_t) { return true; });
  REQUIRE(layers.size() == 35);
  const auto runner = graph::reference_runner(network, model.tensors).value();
  for (const auto& [name, count, gram] :
       {std::tuple{"calibration", 133, &Layer::fit}, std::tuple{"evaluation", 66, &Layer::held_out}}) {
    const TensorView tokens = rows.tensors.find(name).value();
    const std::int64_t length = tokens.size(1) - 1;
    Tensor input = Tensor::zeros(DType::int32, {count, length}).value();
    const auto from = tokens.values<std::int32_t>(name).value();
    for (std::int64_t r = 0; r < count; ++r)
      std::copy_n(from.begin() + r * (length + 1), length, input.mutable_values<std::int32_t>().begin() + r * length);
    observe(*runner, input, gram, layers);
  }
  for (const int bits : {4, 3}) {
    INFO(bits);
    const Scheme scheme{.dtype = integer_dtype(bits, true),
                        .granularity = Granularity::per_group,
                        .group_size = 32,
                        .full_range = true};
    CHECK(mean_ratio(layers, scheme, compensated(0)) <= 0.70);
    CHECK(mean_ratio(layers, scheme, compensated(16)) <= 0.63);
    CHECK(mean_ratio(layers, scheme, bias_corrected) <= 0.88);
    CHECK(mean_ratio(layers, scheme, rounded) <= 0.92);
    CHECK(mean_ratio(layers, scheme, [](const Layer& layer, const Scheme& own) {
            const auto q = awq({layer.weight}, layer.fit, {.scheme = own}).value();
            Outcome result{dequantize(q.tensors[0]).value()};
            const auto scales = q.scales.values<float>("scales").value();
            auto w = result.weight.mutable_values<float>();
            for (std::size_t i = 0; i < w.size(); ++i) w[i] /= scales[i % scales.size()];
            return result;
          }) <= 0.85);
    CHECK(hqq_ratio(layers, {.dtype = integer_dtype(bits, false),
                             .symmetric = false,
                             .granularity = Granularity::per_group,
                             .group_size = 32}) <= (bits == 4 ? 0.93 : 0.89));
  }
}

TEST_CASE("compensation on ResNet-56 keeps the bars", "[slow]") {
  const auto file = mcomp_test::data("vision/resnet56_cifar10.safetensors"),
             data = mcomp_test::data("vision/cifar10_calib.safetensors");
  if (!file || !data) return;
  const auto model = io::read_safetensors(*file).value(), samples = io::read_safetensors(*data).value();
  const graph::Network network = graph::cifar_resnet({.depth = 56}).value();
  auto layers = layers_of(network, model.tensors, [](std::size_t i) { return i % 3 == 0; });
  REQUIRE(layers.size() == 19);
  const auto runner = graph::reference_runner(network, model.tensors).value();
  const TensorView images = samples.tensors.find("images").value();
  for (const auto& [begin, end, gram] : {std::tuple{0, 128, &Layer::fit}, std::tuple{512, 576, &Layer::held_out}})
    observe(*runner, graph::normalize(network.input, images.rows(begin, end).value()).value(), gram, layers);
  for (const int bits : {4, 3}) {
    INFO(bits);
    const Scheme scheme{.dtype = integer_dtype(bits, true), .full_range = true};
    CHECK(mean_ratio(layers, scheme, compensated(0)) <= (bits == 4 ? 0.33 : 0.29));
    CHECK(mean_ratio(layers, scheme, compensated(16)) <= (bits == 4 ? 0.29 : 0.25));
    CHECK(mean_ratio(layers, scheme, bias_corrected) <= 0.7);
    CHECK(mean_ratio(layers, scheme, rounded) <= 0.7);
    CHECK(hqq_ratio(layers, {.dtype = integer_dtype(bits, false),
                             .symmetric = false,
                             .granularity = Granularity::per_group,
                             .group_size = 32}) <= (bits == 4 ? 0.96 : 0.87));
  }
}
