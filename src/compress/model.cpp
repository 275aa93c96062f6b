#include "mcomp/compress/model.hpp"

#include <bit>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/io/safetensors.hpp"

namespace mcomp::inline v0::compress {

Result<quant::Program> Model::program() const {
  return quant::lower(network, weights, quantization);
}

std::int64_t Model::stored_bytes() const {
  std::int64_t bytes = 0;
  std::map<std::string, std::int64_t> quantized; // weight name -> bytes
  for (const auto& [layer, tensor] : quantization.weights)
    if (const graph::Layer* found = network.find(layer))
      if (const std::string* name = graph::weight_names(found->operation).weight)
        quantized[*name] = tensor.stored_bytes();
  for (const std::string& name : graph::tensor_names(network)) {
    if (const auto found = quantized.find(name); found != quantized.end())
      bytes += found->second;
    else if (const auto tensor = weights.find(name))
      bytes += tensor->bytes();
  }
  return bytes;
}

std::string to_string(const Model& model) {
  return fmt::format("{}: {} layers, {} of them in integers, {} bytes{}", model.network.name,
                     model.network.layers.size(), model.quantization.weights.size(), model.stored_bytes(),
                     model.temperature ? fmt::format(", temperature {:.4f}", *model.temperature) : std::string());
}

std::string fingerprint(const Model& model) {
  Sha256 hash;
  hash.update(graph::to_json(model.network));
  for (const std::string& name : graph::tensor_names(model.network)) {
    hash.update(name);
    if (const auto tensor = model.weights.find(name)) hash.update(mcomp::fingerprint(*tensor));
  }
  for (const auto& [layer, q] : model.quantization.weights) {
    hash.update(fmt::format("{} {}", layer, q.scheme));
    for (const Tensor* part : {&q.codes, &q.scales, &q.zero_points}) hash.update(mcomp::fingerprint(*part));
  }
  for (const auto& [value, p] : model.quantization.activations)
    hash.update(fmt::format("{} {} {} {} {}", value, p.dtype, std::bit_cast<std::uint32_t>(p.scale), p.zero_point,
                            p.symmetric));
  if (model.temperature) hash.update(fmt::format("{}", std::bit_cast<std::uint64_t>(*model.temperature)));
  return to_hex(hash.finish());
}

Result<Model> load(const std::filesystem::path& path, graph::Network network) {
  MCOMP_TRY(file, io::read_safetensors(path));
  if (const Status fits = graph::check_weights(network, file.tensors); !fits) return fits.error().within(path.string());
  return Model{std::move(network), std::move(file.tensors), {}, std::nullopt};
}

Result<TensorView> Samples::images() const {
  return tensors.find("images");
}

std::int64_t Samples::count() const noexcept {
  const auto view = tensors.find("images");
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

Result<Samples> load_samples(const std::filesystem::path& path) {
  MCOMP_TRY(file, io::read_safetensors(path));
  Samples samples{std::move(file.tensors)};
  const auto images = samples.images();
  if (!images) return images.error().within(path.string());
  if (samples.count() == 0)
    return Error(ErrorCode::invalid_shape, path.string() + ": images", fmt::format("{} holds no samples", *images),
                 "give at least one sample");
  if (samples.tensors.contains("labels"))
    if (const auto labels = samples.labels(); !labels) return labels.error().within(path.string());
  return samples;
}

} // namespace mcomp::inline v0::compress
