#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/json.hpp"
#include "io/bit_packing.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/io/compressed_tensors.hpp"

namespace mcomp::inline v0::io {

namespace {

using mcomp::detail::Json;
using quant::Granularity;
using quant::MicroscaledTensor;
using quant::QuantizedTensor;
using quant::ScaledFloatTensor;

Tensor tensor(DType dtype, Shape shape) {
  return Tensor::zeros(dtype, std::move(shape)).value();
}

/// What one layer becomes: its tensors, the format's name, and its scheme.
struct Written {
  std::string format;
  Json scheme;
};

class Writer {
 public:
  Writer(const CompressedTensorsOptions& options, TensorStore& tensors) : options_(options), tensors_(tensors) {}

  Result<Written> layer(const CompressedLayer& layer) {
    return std::visit([&](const auto& weight) { return write(layer, weight); }, layer.weight);
  }

 private:
  Result<Written> write(const CompressedLayer& layer, const QuantizedTensor& q) {
    MCOMP_CHECK(check_matrix(layer, q.shape()));
    MCOMP_TRY(arguments, integer_arguments(layer, q));
    MCOMP_CHECK(put_scales(layer.name, q.scheme.granularity, q.scales, q.scheme.scale_dtype));
    const int bits = bit_width(q.scheme.dtype);
    const bool packed = bits < 8 || options_.packed_int8;
    if (packed)
      pack(layer, q, bits);
    else
      MCOMP_CHECK(put_bytes(layer, q));
    Json activations = nullptr;
    if (options_.dynamic_activations)
      activations = {{"num_bits", 8},   {"type", "int"},         {"symmetric", true},         {"strategy", "token"},
                     {"dynamic", true}, {"group_size", nullptr}, {"block_structure", nullptr}};
    return Written{packed ? "pack-quantized" : "int-quantized", scheme(std::move(arguments), std::move(activations))};
  }

  Result<Written> write(const CompressedLayer& layer, const ScaledFloatTensor& q) {
    MCOMP_CHECK(check_matrix(layer, q.shape()));
    MCOMP_CHECK(no_group_index(layer));
    if (q.format.element != e4m3)
      return Error(ErrorCode::unsupported, layer.name,
                   fmt::format("float-quantized has no {} weights", q.format.element), "use e4m3");
    MCOMP_CHECK(dequantize(q)); // that the parts fit together
    MCOMP_CHECK(put_scales(layer.name, q.format.granularity, q.scales, DType::f32));
    Tensor weight = tensor(DType::f8_e4m3, q.shape());
    std::copy_n(static_cast<const std::byte*>(q.codes.data()), q.codes.bytes(), static_cast<std::byte*>(weight.data()));
    tensors_.put(layer.name + ".weight", std::move(weight));
    Json arguments{{"num_bits", 8}, {"type", "float"}, {"symmetric", true}, {"dynamic", false}};
    put_strategy(arguments, q.format.granularity, q.format.group_size, q.format.group_rows);
    Json activations = nullptr;
    if (options_.dynamic_activations)
      activations = {{"num_bits", 8},   {"type", "float"},       {"symmetric", true},         {"strategy", "token"},
                     {"dynamic", true}, {"group_size", nullptr}, {"block_structure", nullptr}};
    return Written{"float-quantized", scheme(std::move(arguments), std::move(activations))};
  }

  Result<Written> write(const CompressedLayer& layer, const MicroscaledTensor& q) {
    MCOMP_CHECK(check_matrix(layer, q.shape()));
    MCOMP_CHECK(no_group_index(layer));
    const bool nv = q.format == quant::microscaling::nvfp4;
    if (!nv && q.format != quant::microscaling::mxfp4)
      return Error(ErrorCode::unsupported, layer.name, fmt::format("{} has no packed form", q.format),
                   "use mxfp4 or nvfp4");
    if (options_.dynamic_activations)
      return Error(ErrorCode::invalid_argument, "dynamic_activations",
                   fmt::format("inputs of {} layers need scales that are measured", q.format),
                   "leave dynamic_activations off for these layers");
    const std::int64_t rows = q.shape()[0], columns = q.shape()[1];
    if (columns % q.format.group_size != 0)
      return Error(ErrorCode::invalid_shape, layer.name,
                   fmt::format("{} columns are no whole groups of {}", columns, q.format.group_size),
                   "keep this layer in another format");
    MCOMP_CHECK(dequantize(q)); // that the parts fit together
    Tensor packed = tensor(DType::uint8, {rows, columns / 2});
    const auto* codes = static_cast<const std::uint8_t*>(q.codes.data());
    auto* bytes = static_cast<std::uint8_t*>(packed.data());
    for (std::int64_t i = 0; i < packed.elements(); ++i)
      bytes[i] = static_cast<std::uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4);
    tensors_.put(layer.name + ".weight_packed", std::move(packed));
    Tensor scales = tensor(nv ? DType::f8_e4m3 : DType::uint8, q.scales.shape());
    std::copy_n(static_cast<const std::byte*>(q.scales.data()), q.scales.bytes(),
                static_cast<std::byte*>(scales.data()));
    tensors_.put(layer.name + ".weight_scale", std::move(scales));
    if (nv)
      tensors_.put(layer.name + ".weight_global_scale", *Tensor::from(std::vector<float>{q.global_scale}, Shape{1}));
    const Json arguments{{"num_bits", 4},
                         {"type", "float"},
                         {"symmetric", true},
                         {"strategy", nv ? "tensor_group" : "group"},
                         {"group_size", q.format.group_size},
                         {"block_structure", nullptr},
                         {"dynamic", false},
                         {"scale_dtype", nv ? "torch.float8_e4m3fn" : "torch.uint8"}};
    return Written{nv ? "nvfp4-pack-quantized" : "mxfp4-pack-quantized", scheme(arguments, nullptr)};
  }

  static Status check_matrix(const CompressedLayer& layer, const Shape& shape) {
    if (shape.rank() == 2 && shape.elements() > 0) return {};
    return Error(ErrorCode::invalid_shape, layer.name, fmt::format("weight of shape {} is no matrix", shape),
                 "compressed-tensors holds linear layers [out, in]");
  }
  static Status no_group_index(const CompressedLayer& layer) {
    if (layer.group_index.empty()) return {};
    return Error(ErrorCode::invalid_argument, layer.name, "a group index belongs to integer weights with groups",
                 "leave group_index empty");
  }

  static void put_strategy(Json& arguments, Granularity granularity, std::int64_t group_size, std::int64_t group_rows) {
    arguments["group_size"] = nullptr;
    arguments["block_structure"] = nullptr;
    switch (granularity) {
    case Granularity::per_tensor:
      arguments["strategy"] = "tensor";
      break;
    case Granularity::per_channel:
      arguments["strategy"] = "channel";
      break;
    case Granularity::per_group:
      arguments["strategy"] = "group";
      arguments["group_size"] = group_size;
      break;
    case Granularity::per_block:
      arguments["strategy"] = "block";
      arguments["block_structure"] = {group_rows, group_size};
      break;
    }
  }

  Result<Json> integer_arguments(const CompressedLayer& layer, const QuantizedTensor& q) {
    MCOMP_CHECK(quant::dequantize(q)); // that the parts fit together
    const std::int64_t columns = q.shape()[1];
    const bool grouped = q.scheme.granularity == Granularity::per_group;
    if (grouped && columns % q.scheme.group_size != 0)
      return Error(ErrorCode::unsupported, layer.name,
                   fmt::format("{} columns are no whole groups of {}", columns, q.scheme.group_size),
                   "choose a group size that divides the columns, or one scale a channel");
    Json arguments{{"num_bits", bit_width(q.scheme.dtype)},
                   {"type", "int"},
                   {"symmetric", q.scheme.symmetric},
                   {"dynamic", false}};
    put_strategy(arguments, q.scheme.granularity, q.scheme.group_size, q.scheme.group_rows);
    if (!layer.group_index.empty()) {
      if (!grouped)
        return Error(ErrorCode::invalid_argument, layer.name, "a group index needs groups", "leave it empty");
      const std::int64_t groups = columns / q.scheme.group_size;
      if (static_cast<std::int64_t>(layer.group_index.size()) != columns)
        return Error(ErrorCode::invalid_shape, layer.name,
                     fmt::format("{} group indices for {} columns", layer.group_index.size(), columns),
                     "pass one for each column");
      for (const std::int32_t g : layer.group_index)
        if (g < 0 || g >= groups)
          return Error(ErrorCode::invalid_value, layer.name, fmt::format("group {} of {}", g, groups),
                       "pass indices of groups");
      arguments["actorder"] = "group";
      tensors_.put(layer.name + ".weight_g_idx", *Tensor::from(layer.group_index, Shape{columns}));
    }
    return arguments;
  }

  Status put_scales(const std::string& layer, Granularity granularity, const Tensor& scales, DType own) {
    const DType dtype = options_.scale_dtype.value_or(own);
    const Shape shape = granularity == Granularity::per_tensor ? Shape{1} : scales.shape();
    Tensor stored = tensor(dtype, shape);
    const auto values = *scales.values<float>("scales");
    for (std::size_t i = 0; i < values.size(); ++i) {
      float kept = values[i];
      if (dtype == DType::f16) {
        stored.mutable_values<half>()[i] = to_half(values[i]);
        kept = to_float(to_half(values[i]));
      } else if (dtype == DType::bf16) {
        stored.mutable_values<bfloat16>()[i] = to_bfloat16(values[i]);
        kept = to_float(to_bfloat16(values[i]));
      } else {
        stored.mutable_values<float>()[i] = values[i];
      }
      if (kept != values[i])
        return Error(ErrorCode::invalid_value, layer + ".weight_scale",
                     fmt::format("scale {} is {}, which {} cannot hold", i, values[i], dtype),
                     "quantize with scales of that type, or store them in f32");
    }
    tensors_.put(layer + ".weight_scale", std::move(stored));
    return {};
  }

  /// Codes and zero points as numbers from 0 on: 2^(bits - 1) is added to signed ones.
  void pack(const CompressedLayer& layer, const QuantizedTensor& q, int bits) {
    const std::int64_t rows = q.shape()[0], columns = q.shape()[1];
    const bool is_signed = is_signed_integer(q.scheme.dtype);
    const int offset = is_signed ? 1 << (bits - 1) : 0, mask = (1 << bits) - 1;
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * columns));
    const auto* from = static_cast<const std::uint8_t*>(q.codes.data());
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>((from[i] + offset) & mask);
    Tensor packed = tensor(DType::int32, {rows, detail::dense_words(columns, bits)});
    auto* words = static_cast<std::uint32_t*>(packed.data());
    for (std::int64_t r = 0; r < rows; ++r)
      detail::pack_dense(codes.data() + r * columns, columns, 1, bits, words + r * packed.size(1), 1);
    tensors_.put(layer.name + ".weight_packed", std::move(packed));
    tensors_.put(layer.name + ".weight_shape", *Tensor::from(std::vector<std::int64_t>{rows, columns}, Shape{2}));
    if (q.scheme.symmetric) return;

    const std::int64_t scale_rows = q.zero_points.size(0), groups = q.zero_points.size(1);
    std::vector<std::uint8_t> zeros(static_cast<std::size_t>(scale_rows * groups));
    const auto points = *q.zero_points.values<std::int32_t>("zero points");
    for (std::size_t i = 0; i < zeros.size(); ++i) zeros[i] = static_cast<std::uint8_t>((points[i] + offset) & mask);
    Tensor packed_zeros = tensor(DType::int32, {detail::dense_words(scale_rows, bits), groups});
    for (std::int64_t g = 0; g < groups; ++g)
      detail::pack_dense(zeros.data() + g, scale_rows, groups, bits,
                         static_cast<std::uint32_t*>(packed_zeros.data()) + g, groups);
    tensors_.put(layer.name + ".weight_zero_point", std::move(packed_zeros));
  }

  /// int-quantized: int8 as it is. Unsigned codes move down by 128, and their zero points with them.
  Status put_bytes(const CompressedLayer& layer, const QuantizedTensor& q) {
    if (!layer.group_index.empty())
      return Error(ErrorCode::unsupported, layer.name, "int-quantized weights have no group index",
                   "set packed_int8 to store them packed");
    const int offset = is_signed_integer(q.scheme.dtype) ? 0 : 128;
    Tensor weight = tensor(DType::int8, q.shape());
    const auto* from = static_cast<const std::uint8_t*>(q.codes.data());
    auto* to = static_cast<std::uint8_t*>(weight.data());
    for (std::int64_t i = 0; i < weight.elements(); ++i) to[i] = static_cast<std::uint8_t>(from[i] - offset);
    tensors_.put(layer.name + ".weight", std::move(weight));
    if (q.scheme.symmetric) return {};
    Tensor zeros =
        tensor(DType::int8, q.scheme.granularity == Granularity::per_tensor ? Shape{1} : q.zero_points.shape());
    const auto points = *q.zero_points.values<std::int32_t>("zero points");
    for (std::size_t i = 0; i < points.size(); ++i)
      zeros.mutable_values<std::int8_t>()[i] = static_cast<std::int8_t>(points[i] - offset);
    tensors_.put(layer.name + ".weight_zero_point", std::move(zeros));
    return {};
  }

  static Json scheme(Json weights, Json activations) {
    return {{"weights", std::move(weights)},
            {"input_activations", std::move(activations)},
            {"output_activations", nullptr}};
  }

  const CompressedTensorsOptions& options_;
  TensorStore& tensors_;
};

} // namespace

Result<CompressedTensorsFile> to_compressed_tensors(std::span<const CompressedLayer> layers,
                                                    const CompressedTensorsOptions& options) {
  if (layers.empty())
    return Error(ErrorCode::invalid_argument, "layers", "there is no layer to write", "pass at least one");
  if (const DType scales = options.scale_dtype.value_or(DType::f32);
      scales != DType::f32 && scales != DType::f16 && scales != DType::bf16)
    return Error(ErrorCode::invalid_argument, "scale_dtype", fmt::format("scales cannot be {}", scales),
                 "choose f32, f16 or bf16");
  CompressedTensorsFile file;
  Writer writer(options, file.tensors);
  std::set<std::string> names;
  /// Layers of one scheme are one group of the configuration, in the order of their first.
  std::vector<std::pair<std::string, Json>> groups;
  std::set<std::string> formats;
  for (const CompressedLayer& layer : layers) {
    if (layer.name.empty() || !names.insert(layer.name).second)
      return Error(ErrorCode::invalid_argument, fmt::format("layer '{}'", layer.name),
                   layer.name.empty() ? "it has no name" : "it stands twice", "give every layer a name of its own");
    MCOMP_TRY(written, writer.layer(layer));
    Json scheme = written.scheme;
    scheme["format"] = written.format;
    formats.insert(written.format);
    const std::string key = scheme.dump();
    auto at = std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.first == key; });
    if (at == groups.end()) {
      scheme["targets"] = Json::array();
      at = groups.insert(groups.end(), {key, scheme});
    }
    at->second["targets"].push_back(layer.name);
  }
  Json config_groups = Json::object();
  for (std::size_t i = 0; i < groups.size(); ++i) {
    // One scheme for all: by class, as loaders of tensors under other names expect it.
    if (groups.size() == 1) groups[i].second["targets"] = {"Linear"};
    config_groups[fmt::format("group_{}", i)] = groups[i].second;
  }
  const Json config{{"quant_method", "compressed-tensors"},
                    {"format", formats.size() == 1 ? *formats.begin() : "mixed-precision"},
                    {"quantization_status", "compressed"},
                    {"config_groups", config_groups},
                    {"ignore", options.ignore},
                    {"kv_cache_scheme", nullptr},
                    {"global_compression_ratio", nullptr}};
  file.quantization_config = config.dump(2);
  return file;
}

} // namespace mcomp::inline v0::io
