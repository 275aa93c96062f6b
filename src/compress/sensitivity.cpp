#include "mcomp/compress/sensitivity.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "quant/output_error.hpp"

namespace mcomp::inline v0::compress {

namespace {

constexpr std::array<std::pair<SensitivityMeasure, const char*>, 6> measures{{
    {SensitivityMeasure::weight_error, "weight_error"},
    {SensitivityMeasure::output_error, "output_error"},
    {SensitivityMeasure::curvature, "curvature"},
    {SensitivityMeasure::gradient, "gradient"},
    {SensitivityMeasure::output_divergence, "output_divergence"},
    {SensitivityMeasure::network_error, "network_error"},
}};

/// Errors by which a candidate refuses one weight; any other ends the work.
bool refuses(ErrorCode code) {
  return code == ErrorCode::invalid_shape || code == ErrorCode::invalid_dtype || code == ErrorCode::invalid_argument ||
         code == ErrorCode::unsupported;
}

class Measurement {
 public:
  Measurement(const graph::Network& network, const TensorStore& weights, const SampleSource& samples,
              const std::vector<FormatCandidate>& candidates, const SensitivityOptions& options, const Context& context)
      : network_(network), weights_(weights), samples_(samples), candidates_(candidates), options_(options),
        context_(context) {}

  Result<SensitivityTable> run() {
    MCOMP_CHECK(check_options());
    SensitivityTable table{options_.measure, {}};
    const LayerMethod method = [&](const LayerProblem& problem, const Context&) -> Result<QuantizedWeight> {
      if (runs_network() && reference_.empty()) MCOMP_CHECK(keep_reference());
      QuantizedWeight any;
      MCOMP_TRY(row, measure(problem, any));
      table.tensors.push_back(std::move(row));
      return any;
    };
    MCOMP_TRY(shown, quantize_layers(network_, weights_, samples_, method,
                                     {.tensors = options_.tensors,
                                      .sequential = !options_.single_pass,
                                      .replace = false,
                                      .batch = options_.batch,
                                      .make_runner = options_.make_runner},
                                     context_));
    static_cast<void>(shown);
    return table;
  }

 private:
  Status check_options() const {
    if (candidates_.empty())
      return Error(ErrorCode::invalid_argument, "candidates", "there are none", "pass at least one way to quantize");
    std::set<std::string> names;
    for (const FormatCandidate& c : candidates_)
      if (c.name.empty() || !c.quantize || !names.insert(c.name).second)
        return Error(ErrorCode::invalid_argument, fmt::format("candidate '{}'", c.name),
                     c.quantize ? "its name is empty or stands twice" : "it has no method",
                     "give every candidate a name of its own and a method");
    if (options_.divergence_samples < 1)
      return Error(ErrorCode::invalid_argument, "divergence_samples",
                   fmt::format("{} samples", options_.divergence_samples), "use at least one");
    for (const std::string& tensor : options_.tensors) MCOMP_CHECK(check_given(tensor));
    return {};
  }

  /// What the caller must give for a weight.
  Status check_given(const std::string& tensor) const {
    if (options_.measure == SensitivityMeasure::curvature) {
      const auto found = options_.curvature.find(tensor);
      if (found == options_.curvature.end())
        return Error(ErrorCode::invalid_argument, tensor, "its curvature is not given",
                     "estimate it by search::hutchinson_trace, or use another measure");
      if (!(found->second >= 0) || !std::isfinite(found->second))
        return Error(ErrorCode::invalid_value, tensor, fmt::format("a curvature of {}", found->second),
                     "a trained network has a curvature of zero or more; use more probes");
    }
    if (options_.measure == SensitivityMeasure::gradient) {
      const auto gradient = options_.gradients.find(tensor);
      if (!gradient)
        return Error(ErrorCode::invalid_argument, tensor, "its gradient is not given",
                     "pass the gradient of the loss by this name, or use another measure");
      MCOMP_TRY(weight, weights_.find(tensor));
      if (gradient->shape() != weight.shape() || gradient->dtype() != DType::f32 || !gradient->contiguous())
        return Error(ErrorCode::invalid_shape, tensor, fmt::format("gradient {} of a weight {}", *gradient, weight),
                     "pass f32 in the weight's shape");
      MCOMP_CHECK(require_finite(*gradient, tensor + " (gradient)"));
    }
    return {};
  }

  Result<std::unique_ptr<graph::Runner>> runner(TensorStore weights, Executor* executor) const {
    if (options_.make_runner) return options_.make_runner(network_, std::move(weights));
    return graph::reference_runner(network_, std::move(weights), executor);
  }

  /// The samples of the divergence, and what the original network makes of them.
  Status keep_reference() {
    MCOMP_TRY(original, runner(weights_, context_.executor));
    const std::int64_t count = std::min(options_.divergence_samples, samples_.count),
                       batch = std::max<std::int64_t>(1, options_.batch);
    for (std::int64_t begin = 0; begin < count; begin += batch) {
      MCOMP_CHECK(context_.check("measuring sensitivity"));
      MCOMP_TRY(raw, samples_.read(begin, std::min(count, begin + batch)));
      MCOMP_TRY(input, graph::normalize(network_.input, raw));
      MCOMP_TRY(output, original->run(input));
      inputs_.push_back(std::move(input));
      reference_.push_back(std::move(output));
    }
    return {};
  }

  Result<TensorSensitivity> measure(const LayerProblem& problem, QuantizedWeight& any) const {
    MCOMP_CHECK(check_given(problem.tensor));
    TensorSensitivity row{problem.tensor, problem.weight.elements(), {}, {}};
    MCOMP_TRY(weight, to_f32(problem.weight, problem.tensor));
    Tensor moment;
    if (options_.measure == SensitivityMeasure::output_error) {
      MCOMP_TRY(h, quant::detail::hessian(*problem.inputs, weight.elements() / weight.size(0), context_));
      moment = std::move(h);
    }
    struct Outcome {
      std::optional<Result<SensitivityEntry>> entry;
      QuantizedWeight weight;
    };
    std::vector<Outcome> outcomes(candidates_.size());
    const auto solve = [&](std::size_t i, Executor* inner) {
      outcomes[i].entry =
          entry(problem, weight, moment, candidates_[i], {inner, {}, context_.cancellation}, outcomes[i].weight);
    };
    // A caller's runner may not be ready to be made by several threads.
    if (options_.make_runner)
      for (std::size_t i = 0; i < outcomes.size(); ++i) solve(i, context_.executor);
    else
      context_.executor_or_serial().run(outcomes.size(), [&](std::size_t i) { solve(i, nullptr); });
    std::optional<Error> first;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      auto& result = *outcomes[i].entry;
      if (result) {
        row.entries.push_back(std::move(*result));
        any = std::move(outcomes[i].weight);
        continue;
      }
      if (!refuses(result.error().code())) return result.error();
      row.refused[candidates_[i].name] = result.error().rule();
      if (!first) first = result.error();
    }
    if (row.entries.empty()) return *first;
    return row;
  }

  Result<SensitivityEntry> entry(const LayerProblem& problem, const Tensor& weight, const Tensor& moment,
                                 const FormatCandidate& candidate, const Context& context,
                                 QuantizedWeight& result) const {
    MCOMP_TRY(quantized, candidate.quantize(problem, context));
    const std::int64_t bytes = candidate.bytes ? candidate.bytes(quantized) : stored_bytes(quantized);
    MCOMP_TRY(values, dequantize(quantized));
    if (values.shape() != weight.shape())
      return Error(ErrorCode::invalid_shape, problem.tensor,
                   fmt::format("its quantized form has shape {}, not {}", values.shape(), weight.shape()),
                   "quantize the weight as it is");
    MCOMP_TRY(loss, this->loss(problem, weight, std::move(values), moment, context));
    if (!std::isfinite(loss))
      return Error(ErrorCode::invalid_value, problem.tensor, fmt::format("a loss of {} with {}", loss, candidate.name),
                   "check weights and samples for overflow");
    result = std::move(quantized);
    return SensitivityEntry{candidate.name, loss, bytes};
  }

  Result<double> loss(const LayerProblem& problem, const Tensor& weight, Tensor values, const Tensor& moment,
                      const Context& context) const {
    if (runs_network()) return network_loss(problem.tensor, std::move(values));
    auto e = values.mutable_values<float>();
    const auto* w = static_cast<const float*>(weight.data());
    for (std::size_t i = 0; i < e.size(); ++i) e[i] = w[i] - e[i];
    if (options_.measure == SensitivityMeasure::output_error)
      return quant::detail::quadratic_form(e.data(), weight.size(0), problem.inputs->features(),
                                           static_cast<const float*>(moment.data()), context.executor_or_serial());
    const float* gradient = nullptr;
    if (options_.measure == SensitivityMeasure::gradient) {
      MCOMP_TRY(view, options_.gradients.find(problem.tensor));
      gradient = static_cast<const float*>(view.data());
    }
    double sum = 0;
    for (std::size_t i = 0; i < e.size(); ++i) {
      const double term = static_cast<double>(e[i]) * (gradient ? static_cast<double>(gradient[i]) : 1);
      sum += term * term;
    }
    if (options_.measure == SensitivityMeasure::curvature) sum *= options_.curvature.at(problem.tensor) / 2;
    return sum;
  }

  bool runs_network() const {
    return options_.measure == SensitivityMeasure::output_divergence ||
           options_.measure == SensitivityMeasure::network_error;
  }

  Result<double> network_loss(const std::string& tensor, Tensor values) const {
    TensorStore changed = weights_;
    changed.put(tensor, std::move(values));
    MCOMP_TRY(candidate, runner(std::move(changed), nullptr));
    evaluate::LogitsDivergence divergence;
    double error = 0, square = 0;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      MCOMP_CHECK(context_.check("measuring sensitivity"));
      MCOMP_TRY(output, candidate->run(inputs_[i]));
      if (options_.measure == SensitivityMeasure::output_divergence) {
        MCOMP_CHECK(divergence.update(reference_[i], output));
        continue;
      }
      MCOMP_TRY(original, reference_[i].values<float>("output"));
      MCOMP_TRY(changed_output, output.values<float>("output"));
      if (changed_output.size() != original.size())
        return Error(ErrorCode::invalid_shape, "output of the network",
                     fmt::format("{} before and {} with '{}' quantized", reference_[i].shape(), output.shape(), tensor),
                     "use a runner that gives the output the shape that the network says");
      for (std::size_t k = 0; k < original.size(); ++k) {
        const double y = static_cast<double>(original[k]), d = static_cast<double>(changed_output[k]) - y;
        error += d * d, square += y * y;
      }
    }
    if (options_.measure == SensitivityMeasure::network_error) return square > 0 ? error / square : error;
    MCOMP_TRY(report, divergence.report());
    return report.mean_kl;
  }

  const graph::Network& network_;
  const TensorStore& weights_;
  const SampleSource& samples_;
  const std::vector<FormatCandidate>& candidates_;
  const SensitivityOptions& options_;
  const Context& context_;
  std::vector<Tensor> inputs_, reference_; ///< by batch: normalized samples, and outputs of the original network
};

Error unknown_tensor(const char* option, const std::string& tensor, const SensitivityTable& table) {
  std::vector<std::string> known;
  for (const TensorSensitivity& row : table.tensors) known.push_back(row.tensor);
  return {ErrorCode::not_found, fmt::format("{}: tensor '{}'", option, tensor), "the table has no such weight",
          mcomp::detail::did_you_mean(tensor, known)};
}

const TensorSensitivity* find(const SensitivityTable& table, const std::string& tensor) {
  for (const TensorSensitivity& row : table.tensors)
    if (row.tensor == tensor) return &row;
  return nullptr;
}

/// Costs of one candidate for the further budgets.
Status add_costs(const MixedPrecisionOptions& options, const std::string& tensor, search::Choice& choice) {
  if (options.budgets.empty()) return {};
  const auto of_tensor = options.costs.find(tensor);
  const std::vector<double>* costs = nullptr;
  if (of_tensor != options.costs.end())
    if (const auto found = of_tensor->second.find(choice.name); found != of_tensor->second.end())
      costs = &found->second;
  if (!costs || costs->size() != options.budgets.size())
    return Error(ErrorCode::invalid_argument, fmt::format("costs: '{}' as {}", tensor, choice.name),
                 fmt::format("{} numbers for {} budgets", costs ? costs->size() : 0, options.budgets.size()),
                 "give one cost for each budget, for every weight and candidate");
  choice.costs.insert(choice.costs.end(), costs->begin(), costs->end());
  return {};
}

Status check_names(const SensitivityTable& table, const MixedPrecisionOptions& options) {
  for (const auto& [tensor, candidate] : options.forced) {
    const TensorSensitivity* row = find(table, tensor);
    if (!row) return unknown_tensor("forced", tensor, table);
    std::vector<std::string> known;
    for (const SensitivityEntry& entry : row->entries) known.push_back(entry.candidate);
    if (std::find(known.begin(), known.end(), candidate) == known.end())
      return Error(ErrorCode::not_found, fmt::format("forced: '{}' as {}", tensor, candidate),
                   "the weight has no such candidate", mcomp::detail::did_you_mean(candidate, known));
  }
  for (const auto& [tensor, tie] : options.ties)
    if (!find(table, tensor)) return unknown_tensor("ties", tensor, table);
  for (const auto& [tensor, costs] : options.costs)
    if (!find(table, tensor)) return unknown_tensor("costs", tensor, table);
  return {};
}

} // namespace

std::string to_string(SensitivityMeasure measure) {
  for (const auto& [value, name] : measures)
    if (value == measure) return name;
  return "unknown measure";
}

Result<SensitivityMeasure> sensitivity_measure_from_string(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& [value, text] : measures) {
    if (name == text) return value;
    known.emplace_back(text);
  }
  return Error(ErrorCode::not_found, fmt::format("measure '{}'", name), "there is no such measure of sensitivity",
               mcomp::detail::did_you_mean(name, known));
}

std::string to_string(const SensitivityTable& table) {
  std::string text = fmt::format("| tensor | candidate | {} | bytes |\n| --- | --- | --- | --- |\n", table.measure);
  for (const TensorSensitivity& row : table.tensors) {
    for (const SensitivityEntry& entry : row.entries)
      text += fmt::format("| {} | {} | {:.3e} | {} |\n", row.tensor, entry.candidate, entry.loss, entry.bytes);
    for (const auto& [candidate, why] : row.refused)
      text += fmt::format("| {} | {} | {} | |\n", row.tensor, candidate, why);
  }
  return text;
}

Result<SensitivityTable> sensitivity(const graph::Network& network, const TensorStore& weights,
                                     const SampleSource& samples, const std::vector<FormatCandidate>& candidates,
                                     const SensitivityOptions& options, const Context& context) {
  return Measurement(network, weights, samples, candidates, options, context).run();
}

Result<SensitivityTable> sensitivity(const graph::Network& network, const TensorStore& weights,
                                     const TensorView& samples, const std::vector<FormatCandidate>& candidates,
                                     const SensitivityOptions& options, const Context& context) {
  return sensitivity(network, weights, source_of(samples), candidates, options, context);
}

std::string to_string(const MixedPrecision& mixed) {
  return fmt::format("{:.4f} bits a weight, {} bytes, loss {:.4g}, {}", mixed.bits_per_weight, mixed.bytes, mixed.loss,
                     mixed.certificate.optimal ? std::string("optimal")
                                               : fmt::format("gap {:.1e}", mixed.certificate.relative_gap));
}

Result<MixedPrecision> allocate(const SensitivityTable& table, const MixedPrecisionOptions& options,
                                const Context& context) {
  if (!(options.bits_per_weight >= 0) || !std::isfinite(options.bits_per_weight))
    return Error(ErrorCode::invalid_argument, "bits_per_weight", fmt::format("a budget of {}", options.bits_per_weight),
                 "use a number such as 4.5, or 0 for no budget");
  MCOMP_CHECK(check_names(table, options));
  search::AllocationProblem problem;
  std::int64_t elements = 0;
  for (const TensorSensitivity& row : table.tensors) {
    elements += row.elements;
    search::Item item{.name = row.tensor};
    if (const auto tie = options.ties.find(row.tensor); tie != options.ties.end()) item.tie = tie->second;
    const auto forced = options.forced.find(row.tensor);
    for (const SensitivityEntry& entry : row.entries) {
      if (forced != options.forced.end() && entry.candidate != forced->second) continue;
      search::Choice choice{entry.candidate, entry.loss, {static_cast<double>(entry.bytes)}};
      MCOMP_CHECK(add_costs(options, row.tensor, choice));
      item.choices.push_back(std::move(choice));
    }
    problem.items.push_back(std::move(item));
  }
  const double limit = options.bits_per_weight > 0 ? options.bits_per_weight * static_cast<double>(elements) / 8
                                                   : std::numeric_limits<double>::infinity();
  problem.budgets.push_back({"bytes", limit});
  problem.budgets.insert(problem.budgets.end(), options.budgets.begin(), options.budgets.end());
  MCOMP_TRY(allocation, search::allocate(problem, options.allocation, context));
  MixedPrecision mixed;
  mixed.loss = allocation.loss;
  mixed.certificate = allocation.certificate;
  for (std::size_t i = 0; i < table.tensors.size(); ++i) {
    const search::Choice& choice = problem.items[i].choices[allocation.choices[i]];
    mixed.candidates[table.tensors[i].tensor] = choice.name;
    mixed.bytes += static_cast<std::int64_t>(choice.costs[0]);
  }
  mixed.bits_per_weight = 8 * static_cast<double>(mixed.bytes) / static_cast<double>(elements);
  return mixed;
}

LayerMethod MixedPrecision::method(const std::vector<FormatCandidate>& formats) const {
  std::map<std::string, LayerMethod> by_tensor;
  for (const auto& [tensor, candidate] : candidates)
    for (const FormatCandidate& format : formats)
      if (format.name == candidate) by_tensor[tensor] = format.quantize;
  return [by_tensor = std::move(by_tensor)](const LayerProblem& problem,
                                            const Context& context) -> Result<QuantizedWeight> {
    const auto found = by_tensor.find(problem.tensor);
    if (found == by_tensor.end())
      return Error(ErrorCode::not_found, problem.tensor, "the allocation has no candidate for it",
                   "allocate for the weights that are quantized, and pass the same candidates");
    return found->second(problem, context);
  };
}

} // namespace mcomp::inline v0::compress
