#include "mcomp/compress/put_back.hpp"

#include <algorithm>
#include <set>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress {

namespace {

/// The weight that a layer multiplies by; null for layers without one.
const std::string* weight_of(const graph::Operation& operation) {
  if (const auto* embedding = std::get_if<graph::Embedding>(&operation)) return &embedding->weight;
  return graph::weight_names(operation).weight;
}

bool runs_in_integers(const Model& model, const std::string& layer) {
  return model.quantization.weights.contains(layer);
}

bool is_stored_small(const Model& model, const graph::Layer& layer) {
  const std::string* weight = weight_of(layer.operation);
  return weight && model.quantized.contains(*weight);
}

/// Takes a tensor as the reference has it.
Status take(Model& model, const Model& reference, const std::string& name) {
  MCOMP_TRY(tensor, reference.weights.find(name));
  MCOMP_TRY(copy, Tensor::copy_of(tensor));
  model.weights.put(name, std::move(copy));
  return {};
}

} // namespace

std::vector<std::string> compressed_layers(const Model& model) {
  std::vector<std::string> names;
  for (const graph::Layer& layer : model.network.layers)
    if (runs_in_integers(model, layer.name) || is_stored_small(model, layer)) names.push_back(layer.name);
  return names;
}

Result<Model> put_back(const Model& model, const Model& reference, const std::vector<std::string>& layers) {
  if (model.network.layers != reference.network.layers)
    return Error(ErrorCode::invalid_argument, "reference",
                 fmt::format("it is another network: {} layers, the model has {}, and they must be the same",
                             reference.network.layers.size(), model.network.layers.size()),
                 "carry out the steps of the recipe that change layers (folding, pruning) on the reference too");
  std::set<std::string> names(layers.begin(), layers.end());
  for (const std::string& name : layers) {
    const graph::Layer* layer = model.network.find(name);
    if (!layer || !(runs_in_integers(model, name) || is_stored_small(model, *layer)))
      return Error(ErrorCode::not_found, fmt::format("layer '{}'", name), "it is not compressed in the model",
                   "name one of compressed_layers()");
  }
  Model result = model;
  // Layers that multiply by the same tensor cannot differ in it.
  std::set<std::string> shared;
  for (const graph::Layer& layer : model.network.layers)
    if (const std::string* weight = weight_of(layer.operation); weight && names.contains(layer.name))
      shared.insert(*weight);
  for (const graph::Layer& layer : model.network.layers) {
    const std::string* weight = weight_of(layer.operation);
    if (!weight || !shared.contains(*weight)) continue;
    result.quantization.weights.erase(layer.name);
    result.quantized.erase(*weight);
    if (const auto integers = reference.quantization.weights.find(layer.name);
        integers != reference.quantization.weights.end()) {
      result.quantization.weights.insert(*integers);
      for (const std::string& input : layer.inputs)
        if (const auto codes = reference.quantization.activations.find(input);
            codes != reference.quantization.activations.end())
          result.quantization.activations.insert(*codes); // where the model rounds the value too, its own range stays
    }
    if (const auto small = reference.quantized.find(*weight); small != reference.quantized.end())
      result.quantized.insert(*small);
    MCOMP_CHECK(take(result, reference, *weight));
    if (const auto bias = graph::weight_names(layer.operation).bias; bias && !bias->empty())
      MCOMP_CHECK(take(result, reference, *bias));
  }
  // A value stays rounded where an integer layer still takes it.
  std::set<std::string> rounded;
  for (const graph::Layer& layer : result.network.layers)
    if (runs_in_integers(result, layer.name)) rounded.insert(layer.inputs.begin(), layer.inputs.end());
  for (const graph::Layer& layer : model.network.layers)
    if (runs_in_integers(model, layer.name) && !runs_in_integers(result, layer.name))
      for (const std::string& input : layer.inputs)
        if (!rounded.contains(input)) result.quantization.activations.erase(input);
  if (result.quantization.weights.empty()) result.quantization.activations.clear();
  MCOMP_CHECK(check(result));
  return result;
}

Result<Model> with_only(const Model& model, const Model& reference, const std::vector<std::string>& layers) {
  const std::vector<std::string> compressed = compressed_layers(model);
  for (const std::string& name : layers)
    if (std::find(compressed.begin(), compressed.end(), name) == compressed.end())
      return Error(ErrorCode::not_found, fmt::format("layer '{}'", name), "it is not compressed in the model",
                   "name one of compressed_layers()");
  std::vector<std::string> others;
  std::copy_if(compressed.begin(), compressed.end(), std::back_inserter(others),
               [&](const std::string& name) { return std::find(layers.begin(), layers.end(), name) == layers.end(); });
  return put_back(model, reference, others);
}

} // namespace mcomp::inline v0::compress
