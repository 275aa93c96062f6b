#include <cmath>

#include "compress/strategies/channel_places.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/channel_scaling.hpp"

namespace mcomp::inline v0::compress::detail {

namespace {

constexpr const char* strategy = "equalize";
constexpr const char* instead = "use smooth or awq, which scale the inputs of a decoder's linear layers";

/// Pairs of layers: places with one producer that has rows and one consumer.
Result<std::vector<ChannelPlace>> pairs(const graph::Network& network) {
  MCOMP_TRY(places, channel_places(network));
  std::erase_if(places, [](const ChannelPlace& p) { return p.normalization || p.consumers.size() != 1; });
  if (places.empty())
    return Error(ErrorCode::invalid_argument, strategy,
                 "no two layers follow each other with nothing but ReLU, pooling or flattening between them",
                 "leave the step out");
  return std::move(places);
}

class Equalize final : public Strategy {
 public:
  std::string name() const override { return strategy; }
  Status check(const std::string& options) const override { return check_no_options(name(), options); }
  StepKind kind() const override { return StepKind::transform; }
  Status check_place(const StepPlace& place) const override {
    MCOMP_CHECK(require_images(strategy, place.model, instead));
    MCOMP_CHECK(require_folded(strategy, place.model, &place));
    return require_places(place, pairs);
  }

  Result<Decision> decide(const Model& model, const std::string& options, const Workbench& bench) const override {
    MCOMP_CHECK(require_images(strategy, model, instead));
    MCOMP_CHECK(require_full_precision(strategy, model));
    MCOMP_CHECK(require_folded(strategy, model, nullptr));
    MCOMP_TRY(places, pairs(model.network));
    Model equalized = model;
    std::vector<PlaceScales> scales;
    for (const ChannelPlace& place : places)
      scales.push_back({place.producer, *Tensor::from(std::vector<float>(static_cast<std::size_t>(place.channels), 1),
                                                      {place.channels})});
    // Scales are powers of two: sweeps end when none moves any more. A pair changes its neighbours' ranges, so that a
    // long chain takes as many sweeps as it has pairs, and rounded scales might swing.
    const std::size_t most = 2 * places.size() + 2;
    bool moved = true;
    for (std::size_t sweep = 0; moved && sweep < most; ++sweep) {
      MCOMP_CHECK(bench.context.check("equalizing"));
      moved = false;
      for (std::size_t i = 0; i < places.size(); ++i) {
        MCOMP_TRY(changed, equalize_pair(equalized, places[i], scales[i].scales));
        moved = moved || changed;
      }
      bench.context.report("equalizing", static_cast<std::int64_t>(sweep + 1), static_cast<std::int64_t>(most));
    }
    Decision decision{name(), options, scales_to_json(scales), {}};
    Model counted = model; // a layer may stand in two pairs
    for (std::size_t i = 0; i < places.size(); ++i) {
      add_entries(decision.entries, counted, places[i], scales[i],
                  fmt::format("ranges of {} channels meet those of {}", places[i].channels, places[i].consumers[0]));
      MCOMP_CHECK(scale_place(counted, places[i], scales[i].scales));
    }
    return decision;
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    return apply_scales(name(), model, decision.parameters);
  }

 private:
  /// Multiplies `total` by the scales of one step; whether any is not 1.
  static Result<bool> equalize_pair(Model& model, const ChannelPlace& place, Tensor& total) {
    MCOMP_TRY(view, model.weights.find(place.weight));
    MCOMP_TRY(first, to_f32(view, place.weight));
    MCOMP_TRY(second, consumer_weights(model, place));
    MCOMP_TRY(pair, quant::equalize(first, {}, second[0]));
    MCOMP_CHECK(scale_place(model, place, pair.scales));
    bool changed = false;
    const auto* step = static_cast<const float*>(pair.scales.data());
    auto values = total.mutable_values<float>();
    for (std::size_t c = 0; c < values.size(); ++c) {
      values[c] *= step[c];
      changed = changed || step[c] != 1;
    }
    return changed;
  }
};

} // namespace

std::unique_ptr<Strategy> make_equalize() {
  return std::make_unique<Equalize>();
}

} // namespace mcomp::inline v0::compress::detail
