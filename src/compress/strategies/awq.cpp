#include "mcomp/quant/awq.hpp"

#include "compress/strategies/channel_places.hpp"
#include "mcomp/compress/weight_format.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::ObjectReader;

namespace {

constexpr const char* strategy = "awq";

struct Options {
  std::string format;
  quant::AwqOptions search;
};

Result<Options> read_options(const std::string& text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, strategy));
  ObjectReader reader(json, strategy);
  Options options;
  options.format = reader.text("format");
  const std::int64_t steps = reader.integer("steps", options.search.steps);
  if (steps < 1 || steps > 1000) reader.fail("steps", fmt::format("{} is not within 1 and 1000", steps), "use 20");
  MCOMP_CHECK(reader.finish());
  const auto format = weight_format_from_string(options.format);
  if (!format) return format.error().within(reader.where("format"));
  const auto* scheme = std::get_if<quant::Scheme>(&*format);
  if (!scheme || scheme->granularity == quant::Granularity::per_tensor ||
      scheme->granularity == quant::Granularity::per_block)
    return Error(
        ErrorCode::invalid_argument, reader.where("format"),
        fmt::format("scales are searched for integers with a scale a channel or a group, not for {}", options.format),
        "use the integers that come nearest, \"int4:g32\" for Q4_0");
  options.search.scheme = *scheme;
  options.search.steps = static_cast<int>(steps);
  options.search.clip_steps = 1; // ranges are clipped by the step that quantizes
  return options;
}

/// AWQ's scales belong to the features of linear layers.
Result<std::vector<ChannelPlace>> linear_places(const graph::Network& network) {
  MCOMP_TRY(places, channel_places(network));
  std::erase_if(places, [](const ChannelPlace& p) { return !p.linear; });
  if (places.empty())
    return Error(ErrorCode::invalid_argument, strategy,
                 "no linear layer's inputs come from a normalization or a layer that could take scales",
                 "leave the step out, or use equalize or smooth");
  return std::move(places);
}

class Awq final : public Strategy {
 public:
  std::string name() const override { return strategy; }
  Status check(const std::string& options) const override {
    if (auto parsed = read_options(options); !parsed) return parsed.error();
    return {};
  }
  StepKind kind() const override { return StepKind::transform; }
  Status check_place(const StepPlace& place) const override {
    MCOMP_CHECK(require_samples(strategy, place.bench, "see the inputs of layers on"));
    if (!place.precedes(StepKind::quantization))
      return Error(ErrorCode::invalid_argument, strategy, "its scales are for weights that a later step quantizes",
                   "add the step quantize_weights, with the method search");
    MCOMP_CHECK(require_folded(strategy, place.model, &place));
    return require_places(place, linear_places);
  }

  Result<Decision> decide(const Model& model, const std::string& text, const Workbench& bench) const override {
    MCOMP_TRY(options, read_options(text));
    MCOMP_CHECK(require_full_precision(strategy, model));
    MCOMP_CHECK(require_samples(strategy, bench, "see the inputs of layers on"));
    MCOMP_CHECK(require_folded(strategy, model, nullptr));
    MCOMP_TRY(places, linear_places(model.network));
    std::vector<GramRequest> requests;
    for (const ChannelPlace& place : places) requests.push_back({.value = place.value, .features = place.channels});
    Model scaled = model;
    std::vector<PlaceScales> scales;
    Decision decision{name(), text, {}, {}};
    const Context inner{bench.context.executor, {}, bench.context.cancellation};
    // What a place sees does not depend on the scales of others: the network computes the same with them.
    const auto search = [&](std::size_t i, const stats::Gram& gram) -> Status {
      const ChannelPlace& place = places[i];
      std::vector<Tensor> weights;
      for (const std::string& tensor : place.consumers) {
        MCOMP_TRY(view, scaled.weights.find(tensor));
        MCOMP_TRY(values, to_f32(view, tensor));
        weights.push_back(std::move(values));
      }
      const std::vector<TensorView> views(weights.begin(), weights.end());
      auto found = quant::awq(views, gram, options.search, inner);
      if (!found) return found.error().within(place.producer);
      scales.push_back({place.producer, std::move(found->scales)});
      add_entries(decision.entries, scaled, place, scales.back(),
                  fmt::format("alpha {:.2f}: relative output error {:.3g} -> {:.3g} in {}", found->report.alpha,
                              found->report.error_before, found->report.error_scaled, options.format));
      return scale_place(scaled, place, scales.back().scales);
    };
    MCOMP_CHECK(observe_grams(model, bench, requests, "observing inputs", search));
    decision.parameters = scales_to_json(scales);
    return decision;
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    return apply_scales(name(), model, decision.parameters);
  }
};

} // namespace

std::unique_ptr<Strategy> make_awq() {
  return std::make_unique<Awq>();
}

} // namespace mcomp::inline v0::compress::detail
