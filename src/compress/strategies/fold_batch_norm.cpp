#include "compress/strategies/builtin.hpp"
#include "mcomp/prune/batch_norm_folding.hpp"

namespace mcomp::inline v0::compress::detail {

namespace {

class FoldBatchNorm final : public Strategy {
 public:
  std::string name() const override { return "fold_batch_norm"; }
  Status check(const std::string& options) const override { return check_no_options(name(), options); }
  StepKind kind() const override { return StepKind::structure; }

  Result<Decision> decide(const Model& model, const std::string& options, const Workbench&) const override {
    MCOMP_CHECK(require_full_precision(name(), model));
    MCOMP_TRY(folded, prune::fold_batch_norm(model.network, model.weights));
    Decision decision{name(), options, "{}", {}};
    for (const auto* layers : {&folded.folded, &folded.kept})
      for (const std::string& layer : *layers) {
        const auto& bn = std::get<graph::BatchNorm>(model.network.find(layer)->operation);
        std::int64_t bytes = 0;
        for (const std::string* tensor : {&bn.weight, &bn.bias, &bn.running_mean, &bn.running_var})
          if (const auto view = model.weights.find(*tensor)) bytes += view->bytes();
        const bool gone = layers == &folded.folded;
        // Of its four vectors one remains, as the bias of the layer before it.
        decision.entries.push_back(
            {layer, gone ? "folded" : "kept",
             gone ? "into " + model.network.find(layer)->inputs[0] : "no layer of its own to fold into", bytes,
             gone ? bytes / 4 : bytes, std::nullopt, std::nullopt});
      }
    return decision;
  }

  Result<Model> apply(const Model& model, const Decision&) const override {
    MCOMP_TRY(folded, prune::fold_batch_norm(model.network, model.weights));
    Model result = model;
    result.network = std::move(folded.network);
    result.weights = std::move(folded.weights);
    return result;
  }
};

} // namespace

std::unique_ptr<Strategy> make_fold_batch_norm() {
  return std::make_unique<FoldBatchNorm>();
}

} // namespace mcomp::inline v0::compress::detail
