#include "mcomp/prune/batch_norm_folding.hpp"

#include <cmath>

#include "core/try.hpp"

namespace mcomp::inline v0::prune {

namespace {

using graph::BatchNorm;
using graph::Convolution;
using graph::Layer;
using graph::Linear;

struct Target {
  std::string *weight, *bias;
};

std::optional<Target> target_of(Layer& layer) {
  if (auto* c = std::get_if<Convolution>(&layer.operation)) return Target{&c->weight, &c->bias};
  if (auto* l = std::get_if<Linear>(&layer.operation)) return Target{&l->weight, &l->bias};
  return std::nullopt;
}

/// "conv1.weight" -> "conv1.folded_bias"
std::string bias_name(const std::string& weight) {
  constexpr std::string_view suffix = "weight";
  const std::string stem = weight.ends_with(suffix) ? weight.substr(0, weight.size() - suffix.size()) : weight + ".";
  return stem + "folded_bias";
}

Status fold_into(const Target& target, const BatchNorm& bn, TensorStore& weights) {
  const auto values = [&](const std::string& name) -> Result<Tensor> {
    MCOMP_TRY(view, weights.find(name));
    return to_f32(view, name);
  };
  MCOMP_TRY(w, values(*target.weight));
  MCOMP_TRY(gamma, values(bn.weight));
  MCOMP_TRY(beta, values(bn.bias));
  MCOMP_TRY(mean, values(bn.running_mean));
  MCOMP_TRY(var, values(bn.running_var));
  MCOMP_TRY(bias, target.bias->empty() ? Tensor::zeros(DType::f32, gamma.shape()) : values(*target.bias));
  const auto channels = static_cast<std::size_t>(gamma.elements());
  const std::size_t depth = static_cast<std::size_t>(w.elements()) / channels;
  auto ws = w.mutable_values<float>(), bs = bias.mutable_values<float>(), g = gamma.mutable_values<float>(),
       b = beta.mutable_values<float>(), m = mean.mutable_values<float>(), v = var.mutable_values<float>();
  for (std::size_t c = 0; c < channels; ++c) {
    const double factor = static_cast<double>(g[c]) / std::sqrt(static_cast<double>(v[c]) + bn.epsilon);
    for (std::size_t k = 0; k < depth; ++k)
      ws[c * depth + k] = static_cast<float>(static_cast<double>(ws[c * depth + k]) * factor);
    bs[c] = static_cast<float>((static_cast<double>(bs[c]) - static_cast<double>(m[c])) * factor +
                               static_cast<double>(b[c]));
  }
  if (target.bias->empty()) *target.bias = bias_name(*target.weight);
  weights.put(*target.weight, std::move(w));
  weights.put(*target.bias, std::move(bias));
  for (const std::string* name : {&bn.weight, &bn.bias, &bn.running_mean, &bn.running_var}) weights.erase(*name);
  return {};
}

} // namespace

Result<FoldedNetwork> fold_batch_norm(const graph::Network& network, const TensorStore& weights) {
  MCOMP_CHECK(graph::check_weights(network, weights));
  FoldedNetwork result{network, weights, {}, {}};
  result.network.layers.clear();
  std::map<std::string, std::string> replaced; // batch normalization -> the layer that computes its result
  const auto source = [&](const std::string& name) {
    const auto found = replaced.find(name);
    return found == replaced.end() ? name : found->second;
  };
  // A tensor that two layers share must not be changed for one of them.
  std::map<std::string, int> uses;
  for (const Layer& layer : network.layers) {
    graph::Network one;
    one.layers = {layer};
    for (const std::string& name : graph::tensor_names(one)) ++uses[name];
  }
  for (const Layer& original : network.layers) {
    Layer layer = original;
    for (std::string& input : layer.inputs) input = source(input);
    const auto* bn = std::get_if<BatchNorm>(&layer.operation);
    if (!bn) {
      result.network.layers.push_back(std::move(layer));
      continue;
    }
    const std::string& input = original.inputs[0];
    const std::ptrdiff_t position = result.network.index(input);
    std::optional<Target> target;
    if (position >= 0 && network.users(input).size() == 1 && input != network.output)
      target = target_of(result.network.layers[static_cast<std::size_t>(position)]);
    bool shared = false;
    if (target) {
      for (const std::string* name :
           {static_cast<const std::string*>(target->weight), static_cast<const std::string*>(target->bias), &bn->weight,
            &bn->bias, &bn->running_mean, &bn->running_var})
        if (!name->empty()) shared = shared || uses[*name] > 1;
      shared = shared || (target->bias->empty() && weights.contains(bias_name(*target->weight)));
    }
    if (!target || shared) {
      result.kept.push_back(layer.name);
      result.network.layers.push_back(std::move(layer));
      continue;
    }
    MCOMP_CHECK(fold_into(*target, *bn, result.weights));
    replaced[layer.name] = input;
    result.folded.push_back(layer.name);
  }
  result.network.output = source(network.output);
  return result;
}

} // namespace mcomp::inline v0::prune
