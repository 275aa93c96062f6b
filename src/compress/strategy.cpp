#include "mcomp/compress/strategy.hpp"

#include "compress/strategies/builtin.hpp"
#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/reference_runner.hpp"

namespace mcomp::inline v0::compress {

Strategy::~Strategy() = default;

StepKind Strategy::kind() const {
  return StepKind::other;
}

Status Strategy::check_place(const StepPlace&) const {
  return {};
}

bool StepPlace::follows(std::string_view name) const {
  for (std::size_t i = 0; i < step && i < steps.size(); ++i)
    if (steps[i]->name() == name) return true;
  return false;
}

bool StepPlace::precedes(StepKind kind) const {
  for (std::size_t i = step + 1; i < steps.size(); ++i)
    if (steps[i]->kind() == kind) return true;
  return false;
}

Result<std::unique_ptr<graph::Runner>> Workbench::runner(const Model& model) const {
  if (make_runner) return make_runner(model);
  if (model.quantization.weights.empty() && model.quantization.activations.empty()) {
    MCOMP_TRY(weights, model.real_weights());
    return graph::reference_runner(model.network, std::move(weights), context.executor);
  }
  MCOMP_TRY(program, model.program());
  MCOMP_TRY(simulated, quant::simulated_runner(std::move(program), {.executor = context.executor}));
  return std::unique_ptr<graph::Runner>(std::move(simulated));
}

StrategyRegistry::StrategyRegistry() {
  for (const auto make :
       {detail::make_fold_batch_norm, detail::make_prune_filters, detail::make_rotate, detail::make_equalize,
        detail::make_smooth, detail::make_awq, detail::make_quantize, detail::make_quantize_weights,
        detail::make_bias_correction, detail::make_calibrate_temperature, detail::make_calibrate_confidence}) {
    auto strategy = make();
    strategies_.emplace(strategy->name(), std::move(strategy));
  }
}
StrategyRegistry::~StrategyRegistry() = default;
StrategyRegistry::StrategyRegistry(StrategyRegistry&&) noexcept = default;
StrategyRegistry& StrategyRegistry::operator=(StrategyRegistry&&) noexcept = default;

Status StrategyRegistry::add(std::unique_ptr<Strategy> strategy) {
  if (!strategy || strategy->name().empty() || strategies_.contains(strategy->name()))
    return Error(ErrorCode::invalid_argument, fmt::format("strategy '{}'", strategy ? strategy->name() : std::string()),
                 "there is none, or its name is empty or taken", "give a strategy a name of its own");
  std::string name = strategy->name();
  strategies_.emplace(std::move(name), std::move(strategy));
  return {};
}

Result<const Strategy*> StrategyRegistry::find(const std::string& name) const {
  if (const auto found = strategies_.find(name); found != strategies_.end())
    return static_cast<const Strategy*>(found->second.get());
  return Error(ErrorCode::not_found, fmt::format("strategy '{}'", name), "no strategy has that name",
               mcomp::detail::did_you_mean(name, names()));
}

std::vector<std::string> StrategyRegistry::names() const {
  std::vector<std::string> result;
  for (const auto& [name, strategy] : strategies_) result.push_back(name);
  return result;
}

} // namespace mcomp::inline v0::compress
