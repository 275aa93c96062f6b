#include "compress/strategies/builtin.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/prune/filters.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

Result<prune::FilterPruningOptions> read_options(const std::string& text) {
  const std::string where = "prune_filters";
  MCOMP_TRY(json, mcomp::detail::parse_json(text, where));
  ObjectReader reader(json, where);
  prune::FilterPruningOptions options;
  options.fraction = reader.number("fraction");
  const std::string score = reader.text("score", "l1"), scope = reader.text("scope", "uniform");
  options.channel_multiple = reader.integer("channel_multiple", 1);
  if (!(options.fraction >= 0 && options.fraction < 1))
    reader.fail("fraction", fmt::format("{} is not in [0, 1)", options.fraction),
                "give the share of filters to remove");
  if (options.channel_multiple < 1)
    reader.fail("channel_multiple", fmt::format("{}", options.channel_multiple), "give 1 or more");
  if (scope != "uniform" && scope != "global")
    reader.fail("scope", fmt::format("'{}' is not known", scope), "use uniform or global");
  options.scope = scope == "global" ? prune::PruningScope::global : prune::PruningScope::uniform;
  const auto kind = prune::filter_score_from_string(score);
  if (!kind) reader.fail(kind.error().within(where));
  MCOMP_CHECK(reader.finish());
  options.score = *kind;
  return options;
}

Json selection_to_json(const prune::FilterSelection& selection) {
  Json removed = Json::object();
  for (const auto& [layer, keep] : selection.keep) {
    Json channels = Json::array();
    for (std::size_t k = 0; k < keep.size(); ++k)
      if (!keep[k]) channels.push_back(k);
    if (!channels.empty()) removed[layer] = std::move(channels);
  }
  return {{"removed_channels", std::move(removed)}};
}

/// `check_selection` of the prune room judges what this reads; here only the form counts.
Result<prune::FilterSelection> selection_from_json(const std::string& text, const graph::Network& network) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, "prune_filters"));
  MCOMP_TRY(shapes, graph::infer_shapes(network));
  ObjectReader reader(json, "prune_filters");
  prune::FilterSelection selection;
  for (std::size_t i = 0; i < network.layers.size(); ++i)
    selection.keep[network.layers[i].name] = std::vector<bool>(static_cast<std::size_t>(shapes.output[i][0]), true);
  const Json* removed = reader.child("removed_channels");
  if (!removed || !removed->is_object())
    return Error(ErrorCode::corrupt, "prune_filters: removed_channels", "an object is needed", "plan again");
  for (const auto& [layer, channels] : removed->items()) {
    const auto found = selection.keep.find(layer);
    for (const Json& channel : channels) {
      const bool good = found != selection.keep.end() && channel.is_number_unsigned() &&
                        channel.get<std::uint64_t>() < found->second.size();
      if (!good)
        return Error(ErrorCode::corrupt, fmt::format("prune_filters: layer '{}'", layer),
                     "a removed channel is not one of the network's", "plan again for this network");
      found->second[channel.get<std::size_t>()] = false;
    }
  }
  return selection;
}

class PruneFilters final : public Strategy {
 public:
  std::string name() const override { return "prune_filters"; }
  Status check(const std::string& options) const override {
    if (auto parsed = read_options(options); !parsed) return parsed.error();
    return {};
  }
  StepKind kind() const override { return StepKind::structure; }
  Status check_place(const StepPlace& place) const override {
    return require_images(name(), place.model, "prune filters of convolutions");
  }

  Result<Decision> decide(const Model& model, const std::string& text, const Workbench&) const override {
    MCOMP_CHECK(require_full_precision(name(), model));
    MCOMP_TRY(options, read_options(text));
    MCOMP_TRY(selection, prune::select_filters(model.network, model.weights, options));
    MCOMP_TRY(pruned, prune::remove_filters(model.network, model.weights, selection));
    Decision decision{name(), text, selection_to_json(selection).dump(), {}};
    for (const graph::Layer& layer : model.network.layers) {
      const auto* c = std::get_if<graph::Convolution>(&layer.operation);
      if (!c) continue;
      const auto before = *model.weights.find(c->weight), after = *pruned.weights.find(c->weight);
      if (before.shape() == after.shape()) continue;
      decision.entries.push_back({c->weight, fmt::format("{} -> {}", before.shape(), after.shape()),
                                  fmt::format("lowest {} of its coupling group", options.score), before.bytes(),
                                  after.bytes(), std::nullopt, std::nullopt});
    }
    return decision;
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    MCOMP_TRY(selection, selection_from_json(decision.parameters, model.network));
    MCOMP_TRY(pruned, prune::remove_filters(model.network, model.weights, selection));
    Model result = model;
    result.network = std::move(pruned.network);
    result.weights = std::move(pruned.weights);
    return result;
  }
};

} // namespace

std::unique_ptr<Strategy> make_prune_filters() {
  return std::make_unique<PruneFilters>();
}

} // namespace mcomp::inline v0::compress::detail
