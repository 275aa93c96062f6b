#include "compress/strategies/budget.hpp"

#include <array>
#include <cmath>
#include <set>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

Result<WeightBudget> read_budget(const Json& json, const std::string& where, const std::vector<std::string>& formats,
                                 SensitivityMeasure usual) {
  ObjectReader reader(json, where);
  WeightBudget budget;
  budget.bits_per_weight = reader.number("bits_per_weight", 0);
  if (!(budget.bits_per_weight > 0) || !std::isfinite(budget.bits_per_weight))
    reader.fail("bits_per_weight", fmt::format("{} bits", budget.bits_per_weight), "give a number such as 4.5");
  std::set<std::string> seen;
  for (const std::string& word : reader.has("formats") ? reader.texts("formats") : formats) {
    auto format = weight_format_from_string(word);
    if (!format) {
      reader.fail(format.error().within(reader.where("formats")));
      continue;
    }
    if (!seen.insert(to_string(*format)).second)
      reader.fail("formats", fmt::format("'{}' stands twice", word), "name every format once");
    budget.formats.push_back(std::move(*format));
  }
  if (budget.formats.empty()) reader.fail("formats", "there is none to choose from", "name at least one format");
  const std::string measure = reader.text("measure", to_string(usual));
  const auto parsed = sensitivity_measure_from_string(measure);
  if (!parsed || *parsed == SensitivityMeasure::curvature || *parsed == SensitivityMeasure::gradient)
    reader.fail("measure", fmt::format("a recipe has no measure '{}'", measure),
                "use weight_error, output_error, output_divergence or network_error");
  budget.samples = reader.integer("samples", budget.samples);
  if (budget.samples < 1) reader.fail("samples", fmt::format("{} samples", budget.samples), "use at least one");
  MCOMP_CHECK(reader.finish());
  budget.measure = *parsed;
  return budget;
}

Result<BudgetChoice> spend(const WeightBudget& budget, const std::vector<std::string>& tensors,
                           const WeightMethod& method, const Model& model, const Workbench& bench) {
  std::vector<FormatCandidate> candidates;
  std::map<std::string, const WeightFormat*> by_name;
  for (const WeightFormat& format : budget.formats) {
    MCOMP_TRY(how, layer_method(format, method));
    FormatCandidate candidate{to_string(format), {}, {}};
    candidate.quantize = [how, format](const LayerProblem& problem, const Context& context) -> Result<QuantizedWeight> {
      MCOMP_CHECK(stored_bytes(format, problem.weight.shape())); // whether its blocks divide the rows
      return how(problem, context);
    };
    by_name[candidate.name] = &format;
    candidates.push_back(std::move(candidate));
  }
  MCOMP_TRY(samples, range_samples(model, bench));
  SensitivityOptions options{.tensors = tensors, .measure = budget.measure, .divergence_samples = budget.samples};
  options.make_runner = walk_options(bench).make_runner;
  MCOMP_TRY(table, sensitivity(model.network, model.weights, samples, candidates, options, bench.context));
  BudgetChoice choice;
  MCOMP_TRY(mixed, allocate(table, {.bits_per_weight = budget.bits_per_weight}, bench.context));
  for (const TensorSensitivity& row : table.tensors) {
    const std::string& name = mixed.candidates.at(row.tensor);
    choice.formats.emplace(row.tensor, *by_name.at(name));
    for (const SensitivityEntry& entry : row.entries)
      if (entry.candidate == name)
        choice.reasons[row.tensor] = fmt::format("{} {:.2e} of {:.2e} in all, within {} bits", budget.measure,
                                                 entry.loss, mixed.loss, budget.bits_per_weight);
    for (const auto& [refused, why] : row.refused)
      choice.reasons[row.tensor] += fmt::format("; no {}: {}", refused, why);
  }
  choice.mixed = std::move(mixed);
  return choice;
}

LayerTarget read_target(ObjectReader& reader, LayerTarget fallback) {
  constexpr std::array<std::pair<LayerTarget, const char*>, 3> words{{{LayerTarget::own_output, "own_output"},
                                                                      {LayerTarget::original_output, "original_output"},
                                                                      {LayerTarget::residual_sum, "residual_sum"}}};
  if (!reader.has("target")) return fallback;
  const std::string word = reader.text("target");
  for (const auto& [value, name] : words)
    if (word == name) return value;
  reader.fail("target", fmt::format("there is no target '{}'", word),
              "use own_output, original_output or residual_sum");
  return fallback;
}

} // namespace mcomp::inline v0::compress::detail
