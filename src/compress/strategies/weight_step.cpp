#include "compress/strategies/weight_step.hpp"

#include <algorithm>
#include <set>

#include "compress/weight_storage.hpp"
#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

/// Weights by name, with the convolution that is in groups where there is one.
struct Weights {
  std::vector<std::string> names;             ///< in order of the layers
  std::set<std::string> tables;               ///< of embeddings, and of the head
  std::map<std::string, std::string> grouped; ///< tensor -> layer
};

Weights weights_of(const graph::Network& network) {
  Weights result;
  for (const graph::Layer& layer : network.layers) {
    const std::string* name = graph::weight_names(layer.operation).weight;
    if (const auto* embedding = std::get_if<graph::Embedding>(&layer.operation)) name = &embedding->weight;
    if (!name) continue;
    if (std::find(result.names.begin(), result.names.end(), *name) == result.names.end()) result.names.push_back(*name);
    const bool head = layer.name == network.output && std::holds_alternative<graph::Linear>(layer.operation);
    if (head || std::holds_alternative<graph::Embedding>(layer.operation)) result.tables.insert(*name);
    if (const auto* c = std::get_if<graph::Convolution>(&layer.operation); c && c->groups != 1)
      result.grouped.emplace(*name, layer.name);
  }
  return result;
}

Status known_names(const std::string& strategy, const WeightStepOptions& options, const Weights& weights) {
  const auto known = [&](const char* option, const std::string& name) -> Status {
    if (std::find(weights.names.begin(), weights.names.end(), name) != weights.names.end()) return {};
    return Error(ErrorCode::not_found, fmt::format("{}: {}: '{}'", strategy, option, name),
                 "no layer of the network has that weight", mcomp::detail::did_you_mean(name, weights.names));
  };
  for (const std::string& name : options.keep) {
    MCOMP_CHECK(known("keep", name));
    if (options.formats.contains(name))
      return Error(ErrorCode::invalid_argument, fmt::format("{}: keep: '{}'", strategy, name),
                   "'formats' gives the same tensor a format", "name it in one of both");
  }
  for (const auto& [name, format] : options.formats) MCOMP_CHECK(known("formats", name));
  return {};
}

/// The format that a tensor takes where the blocks of the wanted one do not divide its rows.
Result<WeightTarget> fitting(const std::string& strategy, const std::string& name, const WeightFormat& wanted,
                             const Shape& shape, const WeightStepOptions& options) {
  const auto bytes = stored_bytes(wanted, shape);
  if (bytes) return WeightTarget{name, wanted, "asked for"};
  const Error& why = bytes.error();
  if (options.fallback_keeps) return WeightTarget{name, std::nullopt, why.rule()};
  if (options.fallback && stored_bytes(*options.fallback, shape))
    return WeightTarget{name, options.fallback, why.rule()};
  return Error(why.code(), fmt::format("{}: '{}'", strategy, name),
               options.fallback
                   ? fmt::format("{}, nor does the fallback {} fit", why.rule(), to_string(*options.fallback))
                   : why.rule(),
               R"(give a format in "fallback", or "keep" there, or name the tensor in "keep")");
}

/// Without samples: each weight for itself.
Result<std::map<std::string, QuantizedWeight>> quantize_alone(const Model& model,
                                                              const std::map<std::string, WeightFormat>& formats,
                                                              const WeightMethod& method, const Context& context) {
  std::map<std::string, QuantizedWeight> result;
  for (const auto& [name, format] : formats) {
    MCOMP_CHECK(context.check("quantizing weights"));
    MCOMP_TRY(view, model.weights.find(name));
    MCOMP_TRY(quantize, layer_method(format, method));
    auto weight = quantize({{}, name, view, nullptr}, {context.executor, {}, context.cancellation});
    if (!weight) return weight.error().within(name);
    result.emplace(name, std::move(*weight));
    context.report("quantizing weights", static_cast<std::int64_t>(result.size()),
                   static_cast<std::int64_t>(formats.size()));
  }
  return result;
}

Result<std::map<std::string, QuantizedWeight>> quantize_on_samples(const Model& model,
                                                                   const std::map<std::string, WeightFormat>& formats,
                                                                   const WeightStepOptions& options,
                                                                   const Workbench& bench) {
  LayerwiseOptions walk = walk_options(bench);
  walk.sequential = options.sequential;
  walk.target = options.target;
  std::map<std::string, LayerMethod> methods;
  for (const auto& [name, format] : formats) {
    walk.tensors.push_back(name);
    MCOMP_TRY(method, layer_method(format, options.method));
    methods.emplace(name, std::move(method));
  }
  MCOMP_TRY(rows, range_samples(model, bench));
  MCOMP_TRY(result, quantize_layers(
                        model.network, model.weights, rows,
                        [&](const LayerProblem& p, const Context& context) { return methods.at(p.tensor)(p, context); },
                        walk, bench.context));
  return std::move(result.tensors);
}

} // namespace

Status check_weight_step(const std::string& strategy, const WeightStepOptions& options) {
  const auto has = [&](const std::string& option, const WeightFormat& format) -> Status {
    const auto method = layer_method(format, options.method);
    return method ? Status() : method.error().within(fmt::format("{}: {}", strategy, option));
  };
  if (options.format) MCOMP_CHECK(has("format", *options.format));
  for (const auto& [name, format] : options.formats) MCOMP_CHECK(has(fmt::format("formats: '{}'", name), format));
  if (options.fallback) MCOMP_CHECK(has("fallback", *options.fallback));
  if (options.budget)
    for (const WeightFormat& format : options.budget->formats) MCOMP_CHECK(has("budget: formats", format));
  return {};
}

Result<std::vector<WeightTarget>> weight_targets(const std::string& strategy, const Model& model,
                                                 const WeightStepOptions& options) {
  const Weights weights = weights_of(model.network);
  MCOMP_CHECK(known_names(strategy, options, weights));
  std::vector<WeightTarget> targets;
  bool any = false;
  for (const std::string& name : weights.names) {
    const auto own = options.formats.find(name);
    const bool named = own != options.formats.end();
    if (std::find(options.keep.begin(), options.keep.end(), name) != options.keep.end()) {
      targets.push_back({name, std::nullopt, "the recipe keeps it"});
    } else if (!named && options.linear_only && weights.tables.contains(name)) {
      targets.push_back({name, std::nullopt, "the embedding or the head"});
    } else if (!named && !options.format) {
      targets.push_back({name, std::nullopt, "no format is given for it"});
    } else {
      MCOMP_TRY(view, model.weights.find(name));
      MCOMP_TRY(target, fitting(strategy, name, named ? own->second : *options.format, view.shape(), options));
      if (const auto grouped = weights.grouped.find(name);
          target.format && grouped != weights.grouped.end() && needs_samples(options.method))
        return Error(ErrorCode::unsupported, fmt::format("{}: '{}'", strategy, name),
                     fmt::format("layer '{}' convolves in groups, and the method {} works on one input for all outputs",
                                 grouped->second, options.method),
                     "name the tensor in \"keep\", or use the method nearest or hqq");
      any = any || target.format;
      targets.push_back(std::move(target));
    }
  }
  if (!any) return Error(ErrorCode::invalid_argument, strategy, "every weight stays as it is", "leave the step out");
  return targets;
}

namespace {

Result<Decision> decide_targets(const std::string& strategy, const std::string& text, const Model& model,
                                const WeightStepOptions& options, const Workbench& bench,
                                const std::vector<WeightTarget>& targets) {
  std::map<std::string, WeightFormat> formats;
  for (const WeightTarget& target : targets)
    if (target.format) formats.emplace(target.tensor, *target.format);
  const bool sampled = needs_samples(options.method);
  if (sampled) MCOMP_CHECK(require_samples(strategy, bench, "see the inputs of layers on"));
  auto quantized = sampled ? quantize_on_samples(model, formats, options, bench)
                           : quantize_alone(model, formats, options.method, bench.context);
  if (!quantized) return quantized.error();

  Json parameters{
      {"method", to_string(options.method.algorithm)}, {"refine", options.method.refine}, {"tensors", Json::object()}};
  Decision decision{strategy, text, {}, {}, {}};
  for (const WeightTarget& target : targets) {
    MCOMP_TRY(view, model.weights.find(target.tensor));
    PlanEntry entry{
        target.tensor, fmt::format("kept in {}", view.dtype()), target.reason, view.bytes(), view.bytes(), std::nullopt,
        std::nullopt};
    if (target.format) {
      const QuantizedWeight& weight = quantized->at(target.tensor);
      entry.action = format_name(weight);
      if (options.method != WeightMethod{}) entry.action += fmt::format(", {}", options.method);
      entry.bytes_after = stored_bytes(weight);
      Json chosen{{"format", to_string(*target.format)}};
      if (sampled) {
        MCOMP_TRY(stored, put_weight(decision.tensors, target.tensor, weight));
        chosen["stored"] = std::move(stored);
      }
      parameters["tensors"][target.tensor] = std::move(chosen);
    }
    decision.entries.push_back(std::move(entry));
  }
  decision.parameters = parameters.dump();
  return decision;
}

/// Formats that the budget chooses, and then as if they had been asked for.
Result<Decision> decide_within_budget(const std::string& strategy, const std::string& text, const Model& model,
                                      const WeightStepOptions& options, const Workbench& bench) {
  MCOMP_CHECK(require_samples(strategy, bench, "measure sensitivity on"));
  const Weights weights = weights_of(model.network);
  MCOMP_CHECK(known_names(strategy, options, weights));
  std::vector<std::string> free;
  for (const std::string& name : weights.names) {
    const bool kept = std::find(options.keep.begin(), options.keep.end(), name) != options.keep.end() ||
                      (options.linear_only && weights.tables.contains(name));
    if (!kept && !options.formats.contains(name)) free.push_back(name);
  }
  if (free.empty())
    return Error(ErrorCode::invalid_argument, strategy + ": budget", "every weight has its format or is kept",
                 "leave the budget out");
  MCOMP_TRY(choice, spend(*options.budget, free, options.method, model, bench));
  WeightStepOptions chosen = options;
  chosen.formats.insert(choice.formats.begin(), choice.formats.end());
  MCOMP_TRY(targets, weight_targets(strategy, model, chosen));
  for (WeightTarget& target : targets)
    if (const auto reason = choice.reasons.find(target.tensor); reason != choice.reasons.end())
      target.reason = reason->second;
  return decide_targets(strategy, text, model, options, bench, targets);
}

} // namespace

Result<Decision> decide_weights(const std::string& strategy, const std::string& text, const Model& model,
                                const WeightStepOptions& options, const Workbench& bench) {
  MCOMP_CHECK(check_weight_step(strategy, options));
  MCOMP_CHECK(require_full_precision(strategy, model));
  if (options.budget) return decide_within_budget(strategy, text, model, options, bench);
  MCOMP_TRY(targets, weight_targets(strategy, model, options));
  return decide_targets(strategy, text, model, options, bench, targets);
}

Result<Model> apply_weights(const Model& model, const Decision& decision) {
  MCOMP_CHECK(require_full_precision(decision.strategy, model));
  MCOMP_TRY(json, mcomp::detail::parse_json(decision.parameters, decision.strategy));
  ObjectReader reader(json, decision.strategy);
  const std::string word = reader.text("method");
  WeightMethod method{.algorithm = {},
                      .refine = static_cast<int>(std::clamp<std::int64_t>(reader.integer("refine"), 0, 1000))};
  const Json* tensors = reader.child("tensors");
  MCOMP_CHECK(reader.finish());
  if (!tensors || !tensors->is_object())
    return Error(ErrorCode::corrupt, decision.strategy + ": tensors", "an object is needed", "plan again");
  MCOMP_TRY(algorithm, weight_algorithm_from_string(word));
  method.algorithm = algorithm;
  Model result = model;
  std::map<std::string, WeightFormat> alone;
  for (const auto& [name, entry] : tensors->items()) {
    const std::string where = fmt::format("{}: '{}'", decision.strategy, name);
    ObjectReader part(entry, where);
    const std::string format_word = part.text("format");
    const Json* stored = part.child("stored");
    MCOMP_CHECK(part.finish());
    MCOMP_TRY(format, weight_format_from_string(format_word));
    MCOMP_TRY(view, model.weights.find(name));
    if (!needs_samples(method)) {
      alone.emplace(name, format);
      continue;
    }
    if (!decision.tensors.contains(name) || !stored)
      return Error(ErrorCode::not_found, where, "the plan does not carry what was computed from samples",
                   "apply the plan as it was made, or read the artifact that holds the weights");
    MCOMP_TRY(weight, take_weight(decision.tensors, name, *stored, where));
    MCOMP_TRY(values, dequantize(weight));
    if (values.shape() != view.shape())
      return Error(ErrorCode::corrupt, where, fmt::format("codes {} for a weight {}", values.shape(), view.shape()),
                   "plan again");
    result.quantized.emplace(name, std::move(weight));
  }
  MCOMP_TRY(quantized, quantize_alone(model, alone, method, {}));
  result.quantized.merge(quantized);
  MCOMP_CHECK(check(result));
  return result;
}

} // namespace mcomp::inline v0::compress::detail
