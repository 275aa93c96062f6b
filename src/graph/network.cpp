#include "mcomp/graph/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::graph {

std::string operation_name(const Operation& operation) {
  constexpr std::array<const char*, std::variant_size_v<Operation>> names{
      "convolution",   "linear",  "batch_norm", "activation", "add",      "pooling",          "flatten",
      "subsample_pad", "softmax", "multiply",   "embedding",  "rms_norm", "rotary_embedding", "attention"};
  return names.at(operation.index());
}

WeightNames weight_names(const Operation& operation) noexcept {
  if (const auto* c = std::get_if<Convolution>(&operation)) return {&c->weight, &c->bias};
  if (const auto* l = std::get_if<Linear>(&operation)) return {&l->weight, &l->bias};
  return {};
}

Result<Network> truncated(const Network& network, std::string_view layer) {
  const std::ptrdiff_t last = network.index(layer);
  if (last < 0) {
    std::vector<std::string> known;
    for (const Layer& l : network.layers) known.push_back(l.name);
    return Error(ErrorCode::not_found, fmt::format("layer '{}'", layer), "the network has no layer of that name",
                 mcomp::detail::did_you_mean(layer, known));
  }
  std::set<std::string_view> needed{layer};
  for (std::ptrdiff_t i = last; i >= 0; --i)
    if (const Layer& l = network.layers[static_cast<std::size_t>(i)]; needed.contains(l.name))
      needed.insert(l.inputs.begin(), l.inputs.end());
  Network part{network.name, network.input, {}, std::string(layer)};
  for (std::ptrdiff_t i = 0; i <= last; ++i)
    if (const Layer& l = network.layers[static_cast<std::size_t>(i)]; needed.contains(l.name)) part.layers.push_back(l);
  return part;
}

Shape with_samples(std::int64_t samples, const Shape& shape) {
  Shape result{samples};
  for (const std::int64_t size : shape.sizes()) result.push_back(size);
  return result;
}

const Layer* Network::find(std::string_view layer) const noexcept {
  const std::ptrdiff_t i = index(layer);
  return i < 0 ? nullptr : &layers[static_cast<std::size_t>(i)];
}

std::ptrdiff_t Network::index(std::string_view layer) const noexcept {
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const Layer& l) { return l.name == layer; });
  return found == layers.end() ? -1 : found - layers.begin();
}

std::vector<std::size_t> Network::users(std::string_view layer) const {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (std::find(layers[i].inputs.begin(), layers[i].inputs.end(), layer) != layers[i].inputs.end())
      result.push_back(i);
  return result;
}

std::string to_string(const Network& network) {
  std::string text = fmt::format("{}: input {}", network.name, network.input.shape);
  const auto shapes = infer_shapes(network);
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    text += fmt::format("\n  {:<24} {:<13}", layer.name, operation_name(layer.operation));
    if (shapes) text += fmt::format(" {}", shapes->output[i]);
    text += " <-";
    for (const std::string& input : layer.inputs) text += " " + input;
  }
  return text;
}

std::vector<std::string> tensor_names(const Network& network) {
  std::vector<std::string> names;
  std::set<std::string_view> seen; // a tied head uses the embedding's tensor again
  const auto add = [&](const std::string& name) {
    if (!name.empty() && seen.insert(name).second) names.push_back(name);
  };
  for (const Layer& layer : network.layers) {
    if (const WeightNames used = weight_names(layer.operation)) add(*used.weight), add(*used.bias);
    if (const auto* b = std::get_if<BatchNorm>(&layer.operation))
      add(b->weight), add(b->bias), add(b->running_mean), add(b->running_var);
    if (const auto* e = std::get_if<Embedding>(&layer.operation)) add(e->weight);
    if (const auto* n = std::get_if<RmsNorm>(&layer.operation)) add(n->weight);
  }
  return names;
}

Status check_weights(const Network& network, const TensorStore& weights) {
  MCOMP_TRY(shapes, infer_shapes(network));
  const auto check = [&](const std::string& name, const Shape& shape) -> Status {
    MCOMP_TRY(tensor, weights.find(name));
    if (!is_floating(tensor.dtype()))
      return Error(ErrorCode::invalid_dtype, fmt::format("tensor '{}'", name),
                   fmt::format("elements are {}, a floating type is needed", tensor.dtype()),
                   "give weights in f32, f16 or bf16");
    if (tensor.shape() != shape)
      return Error(ErrorCode::invalid_shape, fmt::format("tensor '{}'", name),
                   fmt::format("shape is {}, the network needs {}", tensor.shape(), shape),
                   "use the network description that belongs to these weights");
    return require_finite(tensor, fmt::format("tensor '{}'", name));
  };
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    if (const auto* c = std::get_if<Convolution>(&layer.operation)) {
      MCOMP_CHECK(check(c->weight, {c->out_channels, shapes.input[i][0] / c->groups, c->kernel[0], c->kernel[1]}));
      if (!c->bias.empty()) MCOMP_CHECK(check(c->bias, {c->out_channels}));
    } else if (const auto* l = std::get_if<Linear>(&layer.operation)) {
      MCOMP_CHECK(check(l->weight, {l->out_features, shapes.input[i].sizes().back()}));
      if (!l->bias.empty()) MCOMP_CHECK(check(l->bias, {l->out_features}));
    } else if (const auto* b = std::get_if<BatchNorm>(&layer.operation)) {
      for (const std::string* name : {&b->weight, &b->bias, &b->running_mean, &b->running_var})
        MCOMP_CHECK(check(*name, {shapes.input[i][0]}));
      const Tensor variance = to_f32(*weights.find(b->running_var), b->running_var).value();
      for (const float v : variance.values<float>(b->running_var).value())
        if (!(static_cast<double>(v) + b->epsilon > 0))
          return Error(ErrorCode::invalid_value, fmt::format("tensor '{}'", b->running_var),
                       fmt::format("variance {} plus epsilon {} is not positive", v, b->epsilon),
                       "repair the statistics");
    } else if (const auto* e = std::get_if<Embedding>(&layer.operation)) {
      MCOMP_CHECK(check(e->weight, {e->vocabulary, e->features}));
    } else if (const auto* n = std::get_if<RmsNorm>(&layer.operation)) {
      MCOMP_CHECK(check(n->weight, {shapes.input[i].sizes().back()}));
    }
  }
  return {};
}

namespace {

template <class T> Result<Tensor> tokens_from(const TensorView& raw) {
  MCOMP_TRY(copy, Tensor::copy_of(raw));
  MCOMP_TRY(tokens, Tensor::uninitialized(DType::int32, raw.shape()));
  auto to = tokens.template mutable_values<std::int32_t>();
  const auto from = copy.template mutable_values<T>();
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] < 0 || static_cast<std::int64_t>(from[i]) > std::numeric_limits<std::int32_t>::max())
      return Error(ErrorCode::invalid_value, "samples", fmt::format("element {} is {}, no token", i, from[i]),
                   "number tokens from 0");
    to[i] = static_cast<std::int32_t>(from[i]);
  }
  return std::move(tokens);
}

Result<Tensor> tokens_as_int32(const Input& input, const TensorView& raw) {
  if (raw.rank() != 2 || input.shape.rank() != 1 || raw.size(1) < 1 || raw.size(1) > input.shape[0])
    return Error(ErrorCode::invalid_shape, "samples",
                 fmt::format("shape {} is not [samples, length] with a length of 1 to {}", raw.shape(), input.shape),
                 "pass rows of tokens that the network is long enough for");
  switch (raw.dtype()) {
  case DType::uint8:
    return tokens_from<std::uint8_t>(raw);
  case DType::int16:
    return tokens_from<std::int16_t>(raw);
  case DType::int32:
    return tokens_from<std::int32_t>(raw);
  case DType::int64:
    return tokens_from<std::int64_t>(raw);
  default:
    return Error(ErrorCode::invalid_dtype, "samples", fmt::format("tokens are {}", raw.dtype()),
                 "pass uint8, int16, int32 or int64");
  }
}

} // namespace

Result<Tensor> normalize(const Input& input, const TensorView& raw) {
  if (input.kind == InputKind::tokens) return tokens_as_int32(input, raw);
  if (raw.rank() != input.shape.rank() + 1 || input.shape.rank() == 0)
    return Error(ErrorCode::invalid_shape, "samples",
                 fmt::format("shape {} is not [samples] + {}", raw.shape(), input.shape),
                 "pass samples of the network's input shape");
  for (std::size_t axis = 0; axis < input.shape.rank(); ++axis)
    if (raw.size(axis + 1) != input.shape[axis])
      return Error(ErrorCode::invalid_shape, "samples",
                   fmt::format("shape {} is not [samples] + {}", raw.shape(), input.shape),
                   "pass samples of the network's input shape");
  const auto channels = static_cast<std::size_t>(input.shape[0]);
  for (const auto* values : {&input.mean, &input.stddev})
    if (values->size() != 1 && values->size() != channels)
      return Error(ErrorCode::invalid_argument, "input normalization",
                   fmt::format("{} values for {} channels", values->size(), channels),
                   "give one value, or one a channel");
  MCOMP_TRY(tensor, to_f32(raw, "samples"));
  MCOMP_CHECK(require_finite(tensor, "samples"));
  float* x = static_cast<float*>(tensor.data());
  const std::int64_t plane = channels == 0 ? 0 : input.shape.elements() / input.shape[0];
  for (std::int64_t sample = 0; sample < tensor.size(0); ++sample)
    for (std::size_t c = 0; c < channels; ++c) {
      // x = raw * a - b, in double so that every platform rounds once.
      const double mean = input.mean[input.mean.size() == 1 ? 0 : c];
      const double stddev = input.stddev[input.stddev.size() == 1 ? 0 : c];
      for (std::int64_t i = 0; i < plane; ++i, ++x)
        *x = static_cast<float>((static_cast<double>(*x) * input.scale - mean) / stddev);
    }
  return std::move(tensor);
}

float activate(ActivationKind kind, float x) noexcept {
  switch (kind) {
  case ActivationKind::relu:
    return x > 0 ? x : 0.0f;
  case ActivationKind::relu6:
    return x > 0 ? std::min(x, 6.0f) : 0.0f;
  case ActivationKind::sigmoid:
    return 1.0f / (1.0f + std::exp(-x));
  case ActivationKind::tanh:
    return std::tanh(x);
  case ActivationKind::silu:
    return x / (1.0f + std::exp(-x));
  case ActivationKind::gelu:
    return 0.5f * x * (1.0f + std::erf(x * 0.70710678f));
  }
  return x;
}

} // namespace mcomp::inline v0::graph
