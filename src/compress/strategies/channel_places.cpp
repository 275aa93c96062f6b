#include "compress/strategies/channel_places.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "mcomp/core/format.hpp"
#include "mcomp/graph/patches.hpp"
#include "mcomp/quant/channel_scaling.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

using graph::Convolution;
using graph::Layer;
using graph::Linear;
using graph::Network;

constexpr int largest_exponent = 126; // 2^126 and its inverse are normal numbers of f32

class Finder {
 public:
  Finder(const Network& network, const graph::Shapes& shapes) : network_(network), shapes_(shapes) {
    for (const Layer& layer : network.layers)
      for (const std::string& name : graph::tensor_names({network.name, network.input, {layer}, layer.name}))
        ++uses_[name];
  }

  [[nodiscard]] std::vector<ChannelPlace> find() const {
    std::vector<ChannelPlace> places;
    for (std::size_t i = 0; i < network_.layers.size(); ++i) {
      ChannelPlace place;
      if (!producer(i, place)) continue;
      place.value = network_.layers[i].name;
      if (consumers(place)) places.push_back(std::move(place));
    }
    return places;
  }

 private:
  [[nodiscard]] bool alone(const std::string& tensor) const { return uses_.at(tensor) == 1; }
  [[nodiscard]] const Shape& shape(const std::string& layer) const {
    return shapes_.output[static_cast<std::size_t>(network_.index(layer))];
  }

  [[nodiscard]] bool producer(std::size_t i, ChannelPlace& place) const {
    const Layer& layer = network_.layers[i];
    place.producer = layer.name;
    if (const auto* norm = std::get_if<graph::RmsNorm>(&layer.operation)) {
      place.weight = norm->weight;
      place.normalization = true;
    } else if (const auto names = graph::weight_names(layer.operation)) {
      place.weight = *names.weight;
      place.bias = *names.bias;
    } else {
      return false;
    }
    const Shape& out = shapes_.output[i];
    place.channels = std::holds_alternative<Convolution>(layer.operation) ? out[0] : out[out.rank() - 1];
    return alone(place.weight) && (place.bias.empty() || alone(place.bias));
  }

  /// Follows the value to the layers that multiply it; false where something in between does not commute with scales.
  [[nodiscard]] bool consumers(ChannelPlace& place) const {
    while (place.value != network_.output) {
      const std::vector<std::size_t> users = network_.users(place.value);
      if (users.empty()) return false;
      const auto multiplies = [&](std::size_t u) {
        return static_cast<bool>(graph::weight_names(network_.layers[u].operation));
      };
      if (std::all_of(users.begin(), users.end(), multiplies)) return take(place, users);
      if (users.size() != 1 || !commutes(place, network_.layers[users[0]])) return false;
      place.value = network_.layers[users[0]].name;
    }
    return false;
  }

  [[nodiscard]] bool commutes(const ChannelPlace& place, const Layer& user) const {
    const Shape& in = shape(place.value);
    if (const auto* activation = std::get_if<graph::Activation>(&user.operation))
      return activation->kind == graph::ActivationKind::relu;
    if (std::holds_alternative<graph::Pooling>(user.operation)) return in.rank() == 3;
    // Channels stay together in [channels, height, width], but not in [length, channels].
    if (std::holds_alternative<graph::Flatten>(user.operation)) return in.rank() == 3 || in.rank() == 1;
    if (place.normalization) return false;
    if (std::holds_alternative<graph::Multiply>(user.operation)) return user.inputs[0] != user.inputs[1];
    // Attention mixes positions, each channel of the values for itself; grouped queries share channels.
    if (const auto* attention = std::get_if<graph::Attention>(&user.operation))
      return attention->heads == attention->kv_heads && user.inputs[2] == place.value &&
             user.inputs[0] != place.value && user.inputs[1] != place.value;
    return false;
  }

  [[nodiscard]] bool take(ChannelPlace& place, const std::vector<std::size_t>& users) const {
    place.linear = true;
    for (const std::size_t u : users) {
      const Layer& layer = network_.layers[u];
      const std::string& tensor = *graph::weight_names(layer.operation).weight;
      const auto* convolution = std::get_if<Convolution>(&layer.operation);
      const Shape& in = shapes_.input[u];
      const std::int64_t features = convolution ? in[0] : in[in.rank() - 1];
      if (!alone(tensor) || features % place.channels != 0) return false;
      if (convolution && (convolution->groups != 1 || features != place.channels)) return false;
      place.linear = place.linear && !convolution && features == place.channels;
      place.consumers.push_back(tensor);
    }
    return true;
  }

  const Network& network_;
  const graph::Shapes& shapes_;
  std::map<std::string, int> uses_; ///< layers by tensor
};

Result<Tensor> matrix_of_channels(const TensorView& weight, std::int64_t channels) {
  MCOMP_TRY(values, to_f32(weight, "weight"));
  const std::int64_t out = weight.rank() == 0 ? 0 : weight.size(0);
  const std::int64_t rest = out == 0 ? 0 : weight.elements() / (out * channels);
  return std::move(values).reshaped({out, channels, rest});
}

} // namespace

Result<std::vector<ChannelPlace>> channel_places(const Network& network) {
  MCOMP_TRY(shapes, graph::infer_shapes(network));
  return Finder(network, shapes).find();
}

Status require_places(const StepPlace& place, Result<std::vector<ChannelPlace>> (*find)(const Network&)) {
  MCOMP_TRY(network, network_at(place));
  if (!network) return {};
  const auto places = find(*network);
  return places ? Status() : places.error();
}

Result<std::vector<Tensor>> consumer_weights(const Model& model, const ChannelPlace& place) {
  std::vector<Tensor> result;
  for (const std::string& name : place.consumers) {
    MCOMP_TRY(view, model.weights.find(name));
    MCOMP_TRY(weight, matrix_of_channels(view, place.channels));
    result.push_back(std::move(weight));
  }
  return result;
}

Status scale_place(Model& model, const ChannelPlace& place, const TensorView& scales) {
  for (const std::string* name : {&place.weight, &place.bias}) {
    if (name->empty()) continue;
    MCOMP_TRY(view, model.weights.find(*name));
    MCOMP_TRY(values, to_f32(view, *name));
    MCOMP_TRY(divided, quant::divide_rows(values, scales));
    model.weights.put(*name, std::move(divided));
  }
  for (const std::string& name : place.consumers) {
    MCOMP_TRY(view, model.weights.find(name));
    const Shape shape = view.shape();
    MCOMP_TRY(matrix, matrix_of_channels(view, place.channels));
    MCOMP_TRY(multiplied, quant::scale_columns(matrix, scales));
    MCOMP_TRY(result, std::move(multiplied).reshaped(shape));
    model.weights.put(name, std::move(result));
  }
  return {};
}

std::string scales_to_json(const std::vector<PlaceScales>& all) {
  Json places = Json::array();
  for (const PlaceScales& place : all) {
    Json exponents = Json::array();
    const auto* s = static_cast<const float*>(place.scales.data());
    for (std::int64_t i = 0; i < place.scales.elements(); ++i) exponents.push_back(std::ilogb(s[i]));
    places.push_back({{"producer", place.producer}, {"exponents", std::move(exponents)}});
  }
  return Json{{"places", std::move(places)}}.dump();
}

Result<Model> apply_scales(const std::string& strategy, const Model& model, const std::string& text) {
  MCOMP_CHECK(require_full_precision(strategy, model));
  MCOMP_TRY(json, mcomp::detail::parse_json(text, strategy));
  MCOMP_TRY(places, channel_places(model.network));
  ObjectReader reader(json, strategy);
  Model result = model;
  for (const Json& entry : reader.array("places")) {
    ObjectReader part(entry, strategy + ": places");
    const std::string producer = part.text("producer");
    const std::vector<std::int64_t> exponents = part.integers("exponents");
    MCOMP_CHECK(part.finish());
    const auto place =
        std::find_if(places.begin(), places.end(), [&](const ChannelPlace& p) { return p.producer == producer; });
    if (place == places.end() || static_cast<std::int64_t>(exponents.size()) != place->channels)
      return Error(ErrorCode::corrupt, fmt::format("{}: '{}'", strategy, producer),
                   fmt::format("the network has no place for {} scales there", exponents.size()), "plan again");
    std::vector<float> scales;
    for (const std::int64_t e : exponents) {
      if (e < -largest_exponent || e > largest_exponent)
        return Error(ErrorCode::corrupt, fmt::format("{}: '{}'", strategy, producer), fmt::format("a scale of 2^{}", e),
                     "plan again");
      scales.push_back(std::ldexp(1.0f, static_cast<int>(e)));
    }
    MCOMP_TRY(view, TensorView::of(std::span<const float>(scales), {place->channels}));
    MCOMP_CHECK(scale_place(result, *place, view));
  }
  MCOMP_CHECK(reader.finish());
  MCOMP_CHECK(check(result)); // no scale left what f32 holds
  return result;
}

void add_entries(std::vector<PlanEntry>& entries, const Model& before, const ChannelPlace& place,
                 const PlaceScales& scales, const std::string& reason) {
  int lowest = largest_exponent, highest = -largest_exponent;
  const auto* s = static_cast<const float*>(scales.scales.data());
  for (std::int64_t i = 0; i < scales.scales.elements(); ++i) {
    lowest = std::min(lowest, std::ilogb(s[i]));
    highest = std::max(highest, std::ilogb(s[i]));
  }
  const std::string range = fmt::format("2^{} ... 2^{}", lowest, highest);
  const auto add = [&](const std::string& tensor, std::string action, const std::string& why) {
    if (const auto view = before.weights.find(tensor))
      entries.push_back(
          {tensor, std::move(action), why, view->bytes(), view->elements() * 4, std::nullopt, std::nullopt});
  };
  add(place.weight, "divided by " + range, reason);
  if (!place.bias.empty()) add(place.bias, "divided by " + range, "with " + place.weight);
  for (const std::string& tensor : place.consumers) add(tensor, "multiplied by " + range, "with " + place.weight);
}

Status observe_grams(const Model& model, const Workbench& bench, const std::vector<GramRequest>& requests,
                     const char* stage, const std::function<Status(std::size_t, const stats::Gram&)>& each) {
  constexpr std::int64_t largest = std::int64_t{1} << 25; // numbers in f64: 256 MiB
  MCOMP_TRY(runner, bench.runner(model));
  const Context inner{bench.context.executor, {}, bench.context.cancellation};
  for (std::size_t begin = 0; begin < requests.size();) {
    std::size_t end = begin;
    std::vector<stats::Gram> grams;
    for (std::int64_t size = 0; end < requests.size(); ++end) {
      size += requests[end].features * requests[end].features;
      if (end > begin && size > largest) break;
      grams.emplace_back(requests[end].features);
    }
    Status failure;
    const graph::Tap tap = [&](std::string_view value, const TensorView& output) {
      for (std::size_t i = begin; i < end && failure; ++i) {
        const GramRequest& request = requests[i];
        if (request.value != value) continue;
        Tensor patches;
        TensorView rows(output.data(), output.dtype(),
                        Shape{request.features == 0 ? 0 : output.elements() / request.features, request.features});
        if (request.convolution) {
          auto cut = graph::convolution_patches(*request.convolution, output, request.group);
          if (!cut) {
            failure = cut.error();
            return;
          }
          patches = std::move(*cut);
          rows = patches;
        }
        failure = grams[i - begin].update(rows, inner);
        if (!failure) failure = failure.error().within(fmt::format("value '{}'", value));
      }
    };
    MCOMP_CHECK(run_rows(bench, *runner, bench.range_rows, stage, tap, [&](const Tensor&) { return failure; }));
    for (std::size_t i = begin; i < end; ++i) {
      if (grams[i - begin].count() == 0)
        return Error(ErrorCode::insufficient_data, fmt::format("value '{}'", requests[i].value),
                     "the runner showed no such value to its tap",
                     "use a runner that reports the inputs of convolutions and linear layers");
      MCOMP_CHECK(each(i, grams[i - begin]));
    }
    begin = end;
  }
  return {};
}

} // namespace mcomp::inline v0::compress::detail
