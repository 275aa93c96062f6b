#include "mcomp/compress/model.hpp"

#include <bit>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/io/safetensors.hpp"

namespace mcomp::inline v0::compress {

namespace {

/// Weights by the layers in `quantization` that multiply by them.
std::map<std::string, const quant::QuantizedTensor*> integer_weights(const Model& model) {
  std::map<std::string, const quant::QuantizedTensor*> result;
  for (const auto& [layer, tensor] : model.quantization.weights)
    if (const graph::Layer* found = model.network.find(layer))
      if (const std::string* name = graph::weight_names(found->operation).weight) result[*name] = &tensor;
  return result;
}

/// The first layer that multiplies by a tensor, or looks its rows up; null where there is none.
const graph::Layer* layer_of(const graph::Network& network, const std::string& tensor) {
  for (const graph::Layer& layer : network.layers) {
    const std::string* weight = graph::weight_names(layer.operation).weight;
    if (const auto* embedding = std::get_if<graph::Embedding>(&layer.operation)) weight = &embedding->weight;
    if (weight && *weight == tensor) return &layer;
  }
  return nullptr;
}

} // namespace

bool Model::in_full_precision() const noexcept {
  return quantization.weights.empty() && quantization.activations.empty() && quantized.empty();
}

Result<TensorStore> Model::real_weights() const {
  TensorStore result = weights;
  for (const auto& [name, weight] : quantized) {
    auto values = dequantize(weight);
    if (!values) return values.error().within(name);
    result.put(name, std::move(*values));
  }
  return result;
}

Result<quant::Program> Model::program() const {
  MCOMP_TRY(real, real_weights());
  return quant::lower(network, real, quantization);
}

std::int64_t Model::stored_bytes() const {
  std::int64_t bytes = 0;
  const auto integers = integer_weights(*this);
  for (const std::string& name : graph::tensor_names(network)) {
    if (const auto found = integers.find(name); found != integers.end())
      bytes += found->second->stored_bytes();
    else if (const auto weight = quantized.find(name); weight != quantized.end())
      bytes += compress::stored_bytes(weight->second);
    else if (const auto tensor = weights.find(name))
      bytes += tensor->bytes();
  }
  return bytes;
}

std::string to_string(const Model& model) {
  std::string text = fmt::format("{}: {} layers", model.network.name, model.network.layers.size());
  if (const std::size_t count = model.quantization.weights.size(); count > 0 || model.quantized.empty())
    text += fmt::format(", {} of them in integers", count);
  if (!model.quantized.empty()) {
    std::map<std::string, int> formats;
    for (const auto& [name, weight] : model.quantized) ++formats[format_name(weight)];
    std::string list;
    for (const auto& [format, count] : formats)
      list +=
          fmt::format("{}{}{}", list.empty() ? "" : ", ", formats.size() > 1 ? fmt::format("{} ", count) : "", format);
    text += fmt::format(", {} tensors quantized weight-only ({})", model.quantized.size(), list);
  }
  text += fmt::format(", {} bytes", model.stored_bytes());
  if (model.temperature) text += fmt::format(", temperature {:.4f}", *model.temperature);
  if (model.calibrator) text += fmt::format(", confidence by {}", *model.calibrator);
  return text;
}

Result<Tensor> Model::probabilities(const TensorView& outputs) const {
  const graph::Layer* last = network.find(network.output);
  if (!last) return Error(ErrorCode::not_found, network.output, "the network has no such layer", "name its output");
  const bool distributions = std::holds_alternative<graph::Softmax>(last->operation);
  calibrate::Calibrator used;
  if (calibrator) {
    used = *calibrator;
  } else if (temperature) {
    MCOMP_TRY(scaled, calibrate::Calibrator::of(calibrate::TemperatureScaling{.temperature = *temperature}));
    used = std::move(scaled);
  }
  if (!distributions) return used.probabilities(outputs);
  MCOMP_TRY(logits, calibrate::log_probabilities(outputs));
  return used.probabilities(logits);
}

namespace {

/// Whether the calibrator is one for this network.
Status check_calibrator(const Model& model) {
  if (!model.calibrator) return {};
  if (model.temperature)
    return Error(ErrorCode::invalid_argument, "calibrator", "the model has a temperature too",
                 "keep one of them: a temperature is a calibrator");
  MCOMP_TRY(shapes, graph::infer_shapes(model.network));
  const Shape& output = shapes.output[static_cast<std::size_t>(model.network.index(model.network.output))];
  if (output.rank() != 1 || (model.calibrator->classes() != 0 && model.calibrator->classes() != output[0]))
    return Error(ErrorCode::invalid_shape, "calibrator",
                 fmt::format("it is for {} classes, the network gives {}", model.calibrator->classes(), output),
                 "fit it on outputs of this network");
  return {};
}

} // namespace

Status check(const Model& model) {
  MCOMP_CHECK(check_calibrator(model));
  const auto integers = integer_weights(model);
  for (const auto& [name, weight] : model.quantized) {
    if (!layer_of(model.network, name))
      return Error(ErrorCode::not_found, fmt::format("tensor '{}'", name), "no layer of the network multiplies by it",
                   "quantize weights that the network has");
    if (integers.contains(name))
      return Error(ErrorCode::invalid_argument, fmt::format("tensor '{}'", name),
                   "it is quantized weight-only, and its layer runs in integers", "quantize it in one of these ways");
  }
  if (!model.quantization.weights.empty() || !model.quantization.activations.empty()) {
    MCOMP_TRY(program, model.program());
    static_cast<void>(program);
    return {};
  }
  MCOMP_CHECK(graph::infer_shapes(model.network).has_value() ? Status() : graph::infer_shapes(model.network).error());
  MCOMP_TRY(weights, model.real_weights());
  return graph::check_weights(model.network, weights);
}

std::string fingerprint(const Model& model) {
  Sha256 hash;
  hash.update(graph::to_json(model.network));
  const auto integers = integer_weights(model);
  for (const std::string& name : graph::tensor_names(model.network)) {
    hash.update(name);
    if (integers.contains(name) || model.quantized.contains(name)) continue; // what it was is not used
    if (const auto tensor = model.weights.find(name)) hash.update(mcomp::fingerprint(*tensor));
  }
  for (const auto& [layer, q] : model.quantization.weights) {
    hash.update(fmt::format("{} {}", layer, q.scheme));
    for (const Tensor* part : {&q.codes, &q.scales, &q.zero_points}) hash.update(mcomp::fingerprint(*part));
  }
  for (const auto& [value, p] : model.quantization.activations)
    hash.update(fmt::format("{} {} {} {} {}", value, p.dtype, std::bit_cast<std::uint32_t>(p.scale), p.zero_point,
                            p.symmetric));
  for (const auto& [name, weight] : model.quantized) hash.update(fmt::format("{} {}", name, fingerprint(weight)));
  if (model.temperature) hash.update(fmt::format("{}", std::bit_cast<std::uint64_t>(*model.temperature)));
  if (model.calibrator) hash.update(model.calibrator->to_json());
  return to_hex(hash.finish());
}

Result<Model> load(const std::filesystem::path& path, graph::Network network) {
  MCOMP_TRY(file, io::read_safetensors(path));
  if (const Status fits = graph::check_weights(network, file.tensors); !fits) return fits.error().within(path.string());
  return Model{std::move(network), std::move(file.tensors), {}, std::nullopt};
}

Result<TensorView> Samples::images() const {
  if (!tensors.contains("images") && tensors.contains("tokens"))
    return Error(ErrorCode::not_found, "images", "these samples are rows of tokens, and images are needed",
                 "give samples with 'images' [samples, channels, height, width]");
  return tensors.find("images");
}

Result<TensorView> Samples::tokens() const {
  if (!tensors.contains("tokens") && tensors.contains("images"))
    return Error(ErrorCode::not_found, "tokens", "these samples are images, and rows of tokens are needed",
                 "give samples with 'tokens', int32 [rows, length]");
  MCOMP_TRY(view, tensors.find("tokens"));
  MCOMP_CHECK(require(view, "tokens", DType::int32, 2));
  return view;
}

Result<TensorView> Samples::input(const graph::Input& input) const {
  if (input.kind == graph::InputKind::values) return images();
  MCOMP_TRY(view, tokens());
  if (view.size(1) < 1 || input.shape.rank() != 1 || view.size(1) > input.shape[0])
    return Error(ErrorCode::invalid_shape, "tokens",
                 fmt::format("rows of {} tokens for a network that takes 1 to {}", view.size(1),
                             input.shape.rank() == 1 ? input.shape[0] : 0),
                 "cut the rows to a length that the network takes");
  return view;
}

std::int64_t Samples::count() const noexcept {
  const auto view = tensors.find(tensors.contains("images") ? "images" : "tokens");
  return view && view->rank() > 0 ? view->size(0) : 0;
}

Result<std::vector<std::int32_t>> Samples::labels() const {
  MCOMP_TRY(view, tensors.find("labels"));
  const Error wrong(ErrorCode::invalid_dtype, "labels", fmt::format("{} are not whole numbers in one row", view),
                    "give integers [samples]");
  if (!is_integer(view.dtype()) || bit_width(view.dtype()) < 8 || view.rank() != 1) return wrong;
  std::vector<std::int32_t> result;
  MCOMP_TRY(copy, Tensor::copy_of(view));
  const auto take = [&](const auto* values) -> Status {
    for (std::int64_t i = 0; i < copy.elements(); ++i) {
      const auto value = static_cast<std::int64_t>(values[i]);
      if (value < 0 || value > std::numeric_limits<std::int32_t>::max())
        return Error(ErrorCode::invalid_value, "labels", fmt::format("label {} of row {} is no class", value, i),
                     "number classes from 0");
      result.push_back(static_cast<std::int32_t>(value));
    }
    return {};
  };
  switch (view.dtype()) {
  case DType::int8:
    MCOMP_CHECK(take(static_cast<const std::int8_t*>(copy.data())));
    break;
  case DType::uint8:
    MCOMP_CHECK(take(static_cast<const std::uint8_t*>(copy.data())));
    break;
  case DType::int16:
    MCOMP_CHECK(take(static_cast<const std::int16_t*>(copy.data())));
    break;
  case DType::int32:
    MCOMP_CHECK(take(static_cast<const std::int32_t*>(copy.data())));
    break;
  case DType::int64:
    MCOMP_CHECK(take(static_cast<const std::int64_t*>(copy.data())));
    break;
  default:
    return wrong;
  }
  if (static_cast<std::int64_t>(result.size()) != count())
    return Error(ErrorCode::invalid_shape, "labels", fmt::format("{} labels for {} samples", result.size(), count()),
                 "give one label a sample");
  return result;
}

Result<Samples> load_samples(const std::filesystem::path& path, const std::string& tokens) {
  MCOMP_TRY(file, io::read_safetensors(path));
  Samples samples{std::move(file.tensors)};
  const bool images = samples.tensors.contains("images"), rows = samples.tensors.contains(tokens);
  if (images && rows)
    return Error(ErrorCode::invalid_argument, path.string(), fmt::format("it holds both images and '{}'", tokens),
                 "give images or rows of tokens");
  if (!images && !rows) {
    const auto missing = tokens == "tokens" ? samples.images() : samples.tensors.find(tokens);
    return missing.error().within(path.string());
  }
  if (rows) {
    MCOMP_TRY(view, samples.tensors.find(tokens));
    MCOMP_TRY(copy, Tensor::copy_of(view));
    Samples only;
    only.tensors.put("tokens", std::move(copy));
    if (const auto fits = only.tokens(); !fits) return fits.error().within(path.string());
    samples = std::move(only);
  }
  if (samples.count() == 0)
    return Error(ErrorCode::invalid_shape, fmt::format("{}: {}", path.string(), images ? "images" : tokens),
                 "it holds no samples", "give at least one sample");
  if (samples.tensors.contains("labels"))
    if (const auto labels = samples.labels(); !labels) return labels.error().within(path.string());
  return samples;
}

} // namespace mcomp::inline v0::compress
