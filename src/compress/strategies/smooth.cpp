#include <algorithm>
#include <cmath>

#include "compress/strategies/channel_places.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/channel_scaling.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::ObjectReader;

namespace {

constexpr const char* strategy = "smooth";

Result<quant::SmoothingOptions> read_options(const std::string& text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, strategy));
  ObjectReader reader(json, strategy);
  quant::SmoothingOptions options;
  options.alpha = reader.number("alpha", options.alpha);
  if (!(options.alpha >= 0 && options.alpha <= 1))
    reader.fail("alpha", fmt::format("{} is not within 0 and 1", options.alpha), "use 0.5");
  MCOMP_CHECK(reader.finish());
  return options;
}

Result<std::vector<ChannelPlace>> all_places(const graph::Network& network) {
  MCOMP_TRY(places, channel_places(network));
  if (places.empty())
    return Error(ErrorCode::invalid_argument, strategy,
                 "no layer's inputs come from a normalization, a linear layer or a convolution that could take scales",
                 "leave the step out");
  return std::move(places);
}

/// Raises the largest |x| of each channel of a value: [samples, channels, ...] or [..., channels].
void raise(const TensorView& value, std::int64_t channels, std::vector<float>& largest) {
  const auto* x = static_cast<const float*>(value.data());
  const std::int64_t samples = value.size(0), each = samples == 0 ? 0 : value.elements() / samples;
  // [length, channels] has channels last; what was flattened from an image has them first.
  const std::int64_t run = value.rank() == 3 ? 1 : each / channels;
  for (std::int64_t i = 0; i < value.elements(); ++i) {
    float& l = largest[static_cast<std::size_t>(i % each / run % channels)];
    l = std::max(l, std::abs(x[i]));
  }
}

class Smooth final : public Strategy {
 public:
  std::string name() const override { return strategy; }
  Status check(const std::string& options) const override {
    if (auto parsed = read_options(options); !parsed) return parsed.error();
    return {};
  }
  StepKind kind() const override { return StepKind::transform; }
  Status check_place(const StepPlace& place) const override {
    MCOMP_CHECK(require_samples(strategy, place.bench, "see activations on"));
    MCOMP_CHECK(require_folded(strategy, place.model, &place));
    return require_places(place, all_places);
  }

  Result<Decision> decide(const Model& model, const std::string& text, const Workbench& bench) const override {
    MCOMP_TRY(options, read_options(text));
    MCOMP_CHECK(require_full_precision(strategy, model));
    MCOMP_CHECK(require_samples(strategy, bench, "see activations on"));
    MCOMP_CHECK(require_folded(strategy, model, nullptr));
    MCOMP_TRY(places, channel_places(model.network));
    if (places.empty())
      return Error(
          ErrorCode::invalid_argument, strategy,
          "no layer's inputs come from a normalization, a linear layer or a convolution that could take scales",
          "leave the step out");
    MCOMP_TRY(largest, observe(model, places, bench));
    Model smoothed = model;
    std::vector<PlaceScales> scales;
    Decision decision{name(), text, {}, {}};
    for (std::size_t i = 0; i < places.size(); ++i) {
      MCOMP_TRY(weights, consumer_weights(smoothed, places[i]));
      const std::vector<TensorView> views(weights.begin(), weights.end());
      MCOMP_TRY(absmax, TensorView::of(std::span<const float>(largest[i]), {places[i].channels}));
      MCOMP_TRY(s, quant::smoothing_scales(absmax, views, options));
      float before = 0, after = 0;
      for (std::size_t c = 0; c < largest[i].size(); ++c) {
        before = std::max(before, largest[i][c]);
        after = std::max(after, largest[i][c] / static_cast<const float*>(s.data())[c]);
      }
      scales.push_back({places[i].producer, std::move(s)});
      add_entries(decision.entries, smoothed, places[i], scales.back(),
                  fmt::format("largest activation {:.3g} -> {:.3g}", before, after));
      MCOMP_CHECK(scale_place(smoothed, places[i], scales.back().scales));
    }
    decision.parameters = scales_to_json(scales);
    return decision;
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    return apply_scales(name(), model, decision.parameters);
  }

 private:
  static Result<std::vector<std::vector<float>>> observe(const Model& model, const std::vector<ChannelPlace>& places,
                                                         const Workbench& bench) {
    std::vector<std::vector<float>> largest;
    for (const ChannelPlace& place : places) largest.emplace_back(static_cast<std::size_t>(place.channels), 0.0f);
    std::vector<bool> seen(places.size());
    MCOMP_TRY(runner, bench.runner(model));
    const graph::Tap tap = [&](std::string_view value, const TensorView& output) {
      for (std::size_t i = 0; i < places.size(); ++i)
        if (places[i].value == value) raise(output, places[i].channels, largest[i]), seen[i] = true;
    };
    MCOMP_CHECK(run_rows(bench, *runner, bench.range_rows, "observing activations", tap, {}));
    for (std::size_t i = 0; i < places.size(); ++i)
      if (!seen[i])
        return Error(ErrorCode::insufficient_data, fmt::format("value '{}'", places[i].value),
                     "the runner showed no such value to its tap",
                     "use a runner that reports the inputs of convolutions and linear layers");
    return largest;
  }
};

} // namespace

std::unique_ptr<Strategy> make_smooth() {
  return std::make_unique<Smooth>();
}

} // namespace mcomp::inline v0::compress::detail
