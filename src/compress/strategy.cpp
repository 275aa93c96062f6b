#include "mcomp/compress/strategy.hpp"

#include "compress/strategies/builtin.hpp"
#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress {

Strategy::~Strategy() = default;

Result<std::unique_ptr<graph::Runner>> Workbench::runner(const Model& model) const {
  if (make_runner) return make_runner(model);
  MCOMP_TRY(program, model.program());
  MCOMP_TRY(simulated, quant::simulated_runner(std::move(program), {.executor = context.executor}));
  return std::unique_ptr<graph::Runner>(std::move(simulated));
}

StrategyRegistry::StrategyRegistry() {
  for (const auto make : {detail::make_fold_batch_norm, detail::make_prune_filters, detail::make_quantize,
                          detail::make_calibrate_temperature}) {
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
