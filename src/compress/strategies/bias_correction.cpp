#include "mcomp/quant/bias_correction.hpp"

#include <algorithm>

#include "compress/strategies/channel_places.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

constexpr const char* strategy = "bias_correction";

using graph::Convolution;
using graph::Layer;

/// A layer with a quantized weight, or one group of its convolution.
struct Part {
  std::size_t layer = 0; ///< index in the network
  std::int64_t group = 0, groups = 1;
};

/// What the weight of a layer stands for now; none where it is not quantized.
Result<std::optional<Tensor>> quantized_values(const Model& model, const Layer& layer) {
  const std::string* tensor = graph::weight_names(layer.operation).weight;
  if (!tensor) return std::optional<Tensor>();
  if (const auto integers = model.quantization.weights.find(layer.name); integers != model.quantization.weights.end()) {
    MCOMP_TRY(values, quant::dequantize(integers->second));
    return std::optional<Tensor>(std::move(values));
  }
  if (const auto weight = model.quantized.find(*tensor); weight != model.quantized.end()) {
    MCOMP_TRY(values, dequantize(weight->second));
    return std::optional<Tensor>(std::move(values));
  }
  return std::optional<Tensor>();
}

/// The model before it was quantized. Error: not_found where its weights are gone.
Result<Model> original(const Model& model) {
  Model result{model.network, model.weights, {}, std::nullopt};
  if (const Status whole = compress::check(result); !whole)
    return Error(ErrorCode::not_found, strategy,
                 fmt::format("the weights before their quantization are needed: {}", whole.error().what()),
                 "put the step into the recipe that quantizes");
  return result;
}

std::string corrected_name(const std::string& layer) {
  return layer + ".corrected_bias";
}

/// Sets the bias of layers, each under a name of its own, and removes those that no layer uses any more.
Result<Model> with_biases(const Model& model, const std::map<std::string, Tensor>& biases) {
  Model result = model;
  std::vector<std::string> replaced;
  for (const auto& [name, bias] : biases) {
    const auto i = result.network.index(name);
    Layer* layer = i < 0 ? nullptr : &result.network.layers[static_cast<std::size_t>(i)];
    auto* convolution = layer ? std::get_if<Convolution>(&layer->operation) : nullptr;
    auto* linear = layer ? std::get_if<graph::Linear>(&layer->operation) : nullptr;
    std::string* tensor = convolution ? &convolution->bias : linear ? &linear->bias : nullptr;
    const std::int64_t out = convolution ? convolution->out_channels : linear ? linear->out_features : 0;
    if (!tensor || bias.elements() != out)
      return Error(ErrorCode::corrupt, fmt::format("{}: layer '{}'", strategy, name),
                   fmt::format("the network has no such layer with {} outputs", bias.elements()), "plan again");
    if (!tensor->empty()) replaced.push_back(*tensor);
    *tensor = corrected_name(name);
    result.weights.put(*tensor, bias);
  }
  const std::vector<std::string> used = graph::tensor_names(result.network);
  for (const std::string& tensor : replaced)
    if (std::find(used.begin(), used.end(), tensor) == used.end()) result.weights.erase(tensor);
  MCOMP_CHECK(check(result));
  return result;
}

class BiasCorrectionStep final : public Strategy {
 public:
  std::string name() const override { return strategy; }
  Status check(const std::string& options) const override { return check_no_options(name(), options); }
  StepKind kind() const override { return StepKind::correction; }
  Status check_place(const StepPlace& place) const override {
    if (place.follows(strategy)) return twice("an earlier step");
    MCOMP_CHECK(require_uncorrected(place.model));
    return require_samples(strategy, place.bench, "see the inputs of layers on");
  }

  Result<Decision> decide(const Model& model, const std::string& options, const Workbench& bench) const override {
    MCOMP_CHECK(require_samples(strategy, bench, "see the inputs of layers on"));
    if (model.quantization.weights.empty() && model.quantized.empty())
      return Error(ErrorCode::invalid_argument, strategy, "nothing is quantized yet that it could correct",
                   "put it after the step that quantizes");
    MCOMP_CHECK(require_uncorrected(model));
    MCOMP_TRY(before, original(model));
    std::vector<Part> parts;
    std::vector<GramRequest> requests;
    for (std::size_t i = 0; i < model.network.layers.size(); ++i) {
      const Layer& layer = model.network.layers[i];
      MCOMP_TRY(values, quantized_values(model, layer));
      if (!values) continue;
      const auto* convolution = std::get_if<Convolution>(&layer.operation);
      const std::int64_t groups = convolution ? convolution->groups : 1;
      const std::int64_t features = values->elements() / values->size(0);
      for (std::int64_t g = 0; g < groups; ++g) {
        parts.push_back({i, g, groups});
        requests.push_back({layer.inputs[0], convolution ? std::optional(*convolution) : std::nullopt, g, features});
      }
    }
    if (parts.empty())
      return Error(ErrorCode::invalid_argument, strategy, "no layer multiplies by a quantized weight",
                   "leave the step out");
    std::map<std::string, Tensor> biases;
    std::map<std::string, std::string> found;
    const auto correct = [&](std::size_t i, const stats::Gram& gram) -> Status {
      return correct_part(before, model, parts[i], gram, biases, found);
    };
    MCOMP_CHECK(observe_grams(before, bench, requests, "observing inputs", correct));

    Json parameters = Json::object();
    Decision decision{name(), options, {}, {}};
    for (const Layer& layer : model.network.layers) {
      const auto bias = biases.find(layer.name);
      if (bias == biases.end()) continue;
      Json numbers = Json::array();
      const auto* b = static_cast<const float*>(bias->second.data());
      for (std::int64_t c = 0; c < bias->second.elements(); ++c) numbers.push_back(static_cast<double>(b[c]));
      parameters[layer.name] = std::move(numbers);
      const std::string& old = *graph::weight_names(layer.operation).bias;
      std::int64_t bytes = 0;
      if (!old.empty()) {
        MCOMP_TRY(view, model.weights.find(old));
        bytes = view.bytes();
      }
      decision.entries.push_back({corrected_name(layer.name), old.empty() ? "a new bias" : "corrects " + old,
                                  found.at(layer.name), bytes, bias->second.bytes(), std::nullopt, std::nullopt});
    }
    decision.parameters = Json{{"biases", std::move(parameters)}}.dump();
    return decision;
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    MCOMP_TRY(json, mcomp::detail::parse_json(decision.parameters, strategy));
    ObjectReader reader(json, strategy);
    const Json* all = reader.child("biases");
    MCOMP_CHECK(reader.finish());
    if (!all || !all->is_object())
      return Error(ErrorCode::corrupt, "bias_correction: biases", "an object is needed", "plan again");
    std::map<std::string, Tensor> biases;
    ObjectReader layers(*all, "bias_correction: biases");
    for (const auto& [layer, numbers] : all->items()) {
      std::vector<float> values;
      for (const double b : layers.numbers(layer.c_str())) values.push_back(static_cast<float>(b));
      MCOMP_TRY(bias, Tensor::from(values, {static_cast<std::int64_t>(values.size())}));
      biases.emplace(layer, std::move(bias));
    }
    MCOMP_CHECK(layers.finish());
    return with_biases(model, biases);
  }

 private:
  /// The shift would be taken back twice.
  static Error twice(const std::string& by) {
    return {ErrorCode::invalid_argument, strategy, fmt::format("biases are corrected already, by {}", by),
            "correct them once"};
  }
  static Status require_uncorrected(const Model& model) {
    for (const Layer& layer : model.network.layers)
      if (const auto names = graph::weight_names(layer.operation); names && *names.bias == corrected_name(layer.name))
        return twice(fmt::format("'{}'", *names.bias));
    return {};
  }

  static Status correct_part(const Model& before, const Model& model, const Part& part, const stats::Gram& gram,
                             std::map<std::string, Tensor>& biases, std::map<std::string, std::string>& found) {
    const Layer& layer = model.network.layers[part.layer];
    const auto names = graph::weight_names(layer.operation);
    MCOMP_TRY(weight, before.weights.find(*names.weight));
    MCOMP_TRY(quantized, quantized_values(model, layer));
    const std::int64_t out = weight.size(0) / part.groups, begin = part.group * out;
    Tensor old;
    if (!names.bias->empty()) {
      MCOMP_TRY(view, model.weights.find(*names.bias));
      MCOMP_TRY(values, to_f32(view, *names.bias));
      old = std::move(values);
    }
    MCOMP_TRY(weight_rows, weight.rows(begin, begin + out));
    MCOMP_TRY(quantized_rows, quantized->view().rows(begin, begin + out));
    TensorView bias_rows;
    if (old.elements() > 0) {
      MCOMP_TRY(rows, old.view().rows(begin, begin + out));
      bias_rows = rows;
    }
    auto corrected = quant::correct_bias(weight_rows, quantized_rows, gram, bias_rows);
    if (!corrected) return corrected.error().within(layer.name);
    if (part.group == 0) {
      MCOMP_TRY(whole, Tensor::zeros(DType::f32, {weight.size(0)}));
      biases.insert_or_assign(layer.name, std::move(whole));
      found[layer.name] = part.groups == 1 ? fmt::format("relative output error {:.3g} -> {:.3g}",
                                                         corrected->report.error_before, corrected->report.error_after)
                                           : fmt::format("means of {} groups", part.groups);
    }
    std::copy_n(static_cast<const float*>(corrected->bias.data()), out,
                biases.at(layer.name).mutable_values<float>().data() + begin);
    return {};
  }
};

} // namespace

std::unique_ptr<Strategy> make_bias_correction() {
  return std::make_unique<BiasCorrectionStep>();
}

} // namespace mcomp::inline v0::compress::detail
