#include <algorithm>
#include <set>

#include "io/bit_packing.hpp"
#include "io/compressed_tensors_config.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/io/compressed_tensors.hpp"

namespace mcomp::inline v0::io {

namespace {

using detail::Strategy;
using detail::WeightScheme;
using quant::Granularity;

Granularity granularity(Strategy strategy) {
  switch (strategy) {
  case Strategy::tensor:
    return Granularity::per_tensor;
  case Strategy::channel:
    return Granularity::per_channel;
  case Strategy::group:
    return Granularity::per_group;
  case Strategy::block:
    return Granularity::per_block;
  }
  return Granularity::per_channel;
}

/// The tensors of one layer, each checked when it is asked for.
class LayerReader {
 public:
  LayerReader(const TensorStore& store, std::string layer, const WeightScheme& scheme)
      : store_(store), layer_(std::move(layer)), scheme_(scheme) {}

  Result<CompressedLayer> read() {
    if (scheme_.format == "pack-quantized") return packed();
    if (scheme_.format == "int-quantized") return bytes();
    if (scheme_.format == "float-quantized") return floats();
    return microscaled(scheme_.format == "nvfp4-pack-quantized" ? quant::microscaling::nvfp4
                                                                : quant::microscaling::mxfp4);
  }

 private:
  Error corrupt(const std::string& tensor, const std::string& rule) const {
    return {ErrorCode::corrupt, layer_ + "." + tensor, rule, "check the checkpoint against its quantization_config"};
  }
  Result<TensorView> find(const std::string& tensor, DType dtype, std::size_t rank) const {
    MCOMP_TRY(view, store_.find(layer_ + "." + tensor));
    if (view.dtype() != dtype || view.rank() != rank)
      return corrupt(tensor, fmt::format("it is {}, not {} of rank {}", view, dtype, rank));
    return view;
  }
  bool has(const std::string& tensor) const { return store_.contains(layer_ + "." + tensor); }

  /// Number of scales along rows and columns.
  Shape scale_shape(std::int64_t rows, std::int64_t columns) const {
    const auto up = [](std::int64_t n, std::int64_t d) { return (n + d - 1) / d; };
    switch (scheme_.strategy) {
    case Strategy::tensor:
      return {1, 1};
    case Strategy::channel:
      return {rows, 1};
    case Strategy::group:
      return {rows, up(columns, scheme_.group_size)};
    case Strategy::block:
      return {up(rows, scheme_.block_rows), up(columns, scheme_.group_size)};
    }
    return {1, 1};
  }
  Result<DType> scale_dtype() const {
    MCOMP_TRY(view, store_.find(layer_ + ".weight_scale"));
    return view.dtype();
  }
  /// The scales in f32, in the shape that QuantizedTensor wants.
  Result<Tensor> scales(std::int64_t rows, std::int64_t columns) const {
    MCOMP_TRY(view, store_.find(layer_ + ".weight_scale"));
    const Shape shape = scale_shape(rows, columns);
    if (view.dtype() != DType::f32 && view.dtype() != DType::f16 && view.dtype() != DType::bf16)
      return corrupt("weight_scale", fmt::format("scales are {}", view.dtype()));
    if (view.elements() != shape.elements() || view.rank() > 2)
      return corrupt("weight_scale", fmt::format("it is {}, but {} scales are needed", view, shape));
    MCOMP_TRY(values, to_f32(view, layer_ + ".weight_scale"));
    return std::move(values).reshaped(shape);
  }

  Result<CompressedLayer> packed() const {
    MCOMP_TRY(words, find("weight_packed", DType::int32, 2));
    MCOMP_TRY(shape, matrix_shape());
    const std::int64_t rows = shape[0], columns = shape[1];
    const bool dense = words.size(1) == detail::dense_words(columns, scheme_.bits);
    if (words.size(0) != rows || (!dense && words.size(1) != detail::padded_words(columns, scheme_.bits)))
      return corrupt("weight_packed",
                     fmt::format("{} words cannot hold {} codes of {} bits", words.shape(), shape, scheme_.bits));
    MCOMP_TRY(group_scales, scales(rows, columns));
    MCOMP_TRY(data, words.values<std::int32_t>(layer_ + ".weight_packed"));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(shape.elements()));
    for (std::int64_t r = 0; r < rows; ++r)
      detail::unpack(reinterpret_cast<const std::uint32_t*>(data.data()) + r * words.size(1), 1, columns, scheme_.bits,
                     dense, codes.data() + r * columns, 1);

    quant::QuantizedTensor q;
    // One bit has no type of its own: its codes -1 and 0 are codes of two bits as well.
    const int bits = std::max(scheme_.bits, 2);
    q.scheme = {.dtype = integer_dtype(bits, scheme_.symmetric),
                .symmetric = scheme_.symmetric,
                .granularity = granularity(scheme_.strategy),
                .group_size = scheme_.group_size,
                .group_rows = scheme_.block_rows,
                .scale_dtype = *scale_dtype()};
    q.codes = *Tensor::uninitialized(scheme_.symmetric ? DType::int8 : DType::uint8, shape);
    // Symmetric codes are stored from 0 on; affine ones keep that form together with their zero points.
    const int offset = scheme_.symmetric ? 1 << (scheme_.bits - 1) : 0;
    auto* out = static_cast<std::uint8_t*>(q.codes.data());
    for (std::size_t i = 0; i < codes.size(); ++i) out[i] = static_cast<std::uint8_t>(codes[i] - offset);
    q.zero_points = *Tensor::zeros(DType::int32, group_scales.shape());
    q.scales = std::move(group_scales);
    if (!scheme_.symmetric) MCOMP_CHECK(packed_zero_points(q.zero_points));
    CompressedLayer layer{layer_, std::move(q)};
    if (scheme_.activation_order || has("weight_g_idx")) MCOMP_CHECK(read_group_index(layer, columns));
    return layer;
  }

  Result<Shape> matrix_shape() const {
    MCOMP_TRY(view, store_.find(layer_ + ".weight_shape"));
    if ((view.dtype() != DType::int64 && view.dtype() != DType::int32) || view.rank() != 1 || view.size(0) != 2)
      return corrupt("weight_shape", fmt::format("it is {}, not two whole numbers", view));
    Shape shape;
    for (std::int64_t i = 0; i < 2; ++i)
      shape.push_back(view.dtype() == DType::int64
                          ? (*view.values<std::int64_t>("shape"))[static_cast<std::size_t>(i)]
                          : (*view.values<std::int32_t>("shape"))[static_cast<std::size_t>(i)]);
    if (shape[0] < 1 || shape[1] < 1 || !byte_size(DType::f32, shape, layer_))
      return corrupt("weight_shape", fmt::format("{} is no shape of a weight", shape));
    return shape;
  }

  /// Packed along the rows.
  Status packed_zero_points(Tensor& zero_points) const {
    MCOMP_TRY(words, find("weight_zero_point", DType::int32, 2));
    const std::int64_t rows = zero_points.size(0), groups = zero_points.size(1);
    const bool dense = words.size(0) == detail::dense_words(rows, scheme_.bits);
    if (words.size(1) != groups || (!dense && words.size(0) != detail::padded_words(rows, scheme_.bits)))
      return corrupt("weight_zero_point", fmt::format("{} words cannot hold {} zero points of {} bits", words.shape(),
                                                      zero_points.shape(), scheme_.bits));
    MCOMP_TRY(data, words.values<std::int32_t>(layer_ + ".weight_zero_point"));
    std::vector<std::uint8_t> points(static_cast<std::size_t>(rows * groups));
    for (std::int64_t g = 0; g < groups; ++g)
      detail::unpack(reinterpret_cast<const std::uint32_t*>(data.data()) + g, groups, rows, scheme_.bits, dense,
                     points.data() + g, groups);
    std::copy(points.begin(), points.end(), zero_points.mutable_values<std::int32_t>().begin());
    return {};
  }

  Status read_group_index(CompressedLayer& layer, std::int64_t columns) const {
    MCOMP_TRY(view, find("weight_g_idx", DType::int32, 1));
    MCOMP_TRY(index, view.values<std::int32_t>(layer_ + ".weight_g_idx"));
    const std::int64_t groups = scale_shape(1, columns)[1];
    if (view.size(0) != columns || scheme_.strategy != Strategy::group)
      return corrupt("weight_g_idx", fmt::format("{} group indices for {} columns", view.size(0), columns));
    for (const std::int32_t g : index)
      if (g < 0 || g >= groups) return corrupt("weight_g_idx", fmt::format("group {} of {}", g, groups));
    bool runs = true;
    for (std::size_t c = 0; c < index.size(); ++c)
      runs = runs && index[c] == static_cast<std::int64_t>(c) / scheme_.group_size;
    if (!runs) layer.group_index.assign(index.begin(), index.end());
    return {};
  }

  Result<CompressedLayer> bytes() const {
    MCOMP_TRY(weight, find("weight", DType::int8, 2));
    if (weight.elements() == 0) return corrupt("weight", "it has no elements");
    MCOMP_TRY(group_scales, scales(weight.size(0), weight.size(1)));
    quant::QuantizedTensor q;
    q.scheme = {.dtype = DType::int8,
                .symmetric = scheme_.symmetric,
                .granularity = granularity(scheme_.strategy),
                .group_size = scheme_.group_size,
                .group_rows = scheme_.block_rows,
                .scale_dtype = *scale_dtype()};
    MCOMP_TRY(codes, Tensor::copy_of(weight));
    q.codes = std::move(codes);
    q.zero_points = *Tensor::zeros(DType::int32, group_scales.shape());
    q.scales = std::move(group_scales);
    if (!scheme_.symmetric) {
      MCOMP_TRY(view, store_.find(layer_ + ".weight_zero_point"));
      if (view.dtype() != DType::int8 || view.elements() != q.zero_points.elements())
        return corrupt("weight_zero_point",
                       fmt::format("it is {}, but int8 {} is needed", view, q.zero_points.shape()));
      MCOMP_TRY(points, view.values<std::int8_t>(layer_ + ".weight_zero_point"));
      std::copy(points.begin(), points.end(), q.zero_points.mutable_values<std::int32_t>().begin());
    }
    return CompressedLayer{layer_, std::move(q)};
  }

  Result<CompressedLayer> floats() const {
    MCOMP_TRY(weight, find("weight", DType::f8_e4m3, 2));
    if (weight.elements() == 0) return corrupt("weight", "it has no elements");
    MCOMP_TRY(group_scales, scales(weight.size(0), weight.size(1)));
    quant::ScaledFloatTensor q;
    q.format = {e4m3, granularity(scheme_.strategy), scheme_.group_size, scheme_.block_rows};
    MCOMP_TRY(codes, Tensor::copy_of(TensorView(weight.data(), DType::uint8, weight.shape())));
    q.codes = std::move(codes);
    q.scales = std::move(group_scales);
    return CompressedLayer{layer_, std::move(q)};
  }

  Result<CompressedLayer> microscaled(const quant::Microscaling& format) const {
    MCOMP_TRY(packed, find("weight_packed", DType::uint8, 2));
    const bool nv = format == quant::microscaling::nvfp4;
    const std::int64_t rows = packed.size(0), columns = 2 * packed.size(1);
    MCOMP_TRY(scale, find("weight_scale", nv ? DType::f8_e4m3 : DType::uint8, 2));
    if (packed.elements() == 0 || columns % format.group_size != 0 ||
        scale.shape() != Shape{rows, columns / format.group_size})
      return corrupt("weight_scale", fmt::format("it is {}, which does not fit weights {} in groups of {}", scale,
                                                 Shape{rows, columns}, format.group_size));
    quant::MicroscaledTensor q{format, *Tensor::uninitialized(DType::uint8, {rows, columns}), {}, 1};
    MCOMP_TRY(scales, Tensor::copy_of(TensorView(scale.data(), DType::uint8, scale.shape())));
    q.scales = std::move(scales);
    const auto* from = static_cast<const std::uint8_t*>(packed.data());
    auto* codes = static_cast<std::uint8_t*>(q.codes.data());
    for (std::int64_t i = 0; i < packed.elements(); ++i) {
      codes[2 * i] = from[i] & 0xf;
      codes[2 * i + 1] = from[i] >> 4;
    }
    if (nv) {
      MCOMP_TRY(global, find("weight_global_scale", DType::f32, 1));
      if (global.size(0) != 1) return corrupt("weight_global_scale", fmt::format("it is {}", global));
      q.global_scale = (*global.values<float>("global scale"))[0];
      if (!(q.global_scale > 0)) return corrupt("weight_global_scale", fmt::format("it is {}", q.global_scale));
    }
    return CompressedLayer{layer_, std::move(q)};
  }

  const TensorStore& store_;
  std::string layer_;
  const WeightScheme& scheme_;
};

/// Layers that are stored in a quantized form: those with a scale of their weight.
std::vector<std::string> quantized_layers(const TensorStore& tensors) {
  constexpr std::string_view suffix = ".weight_scale";
  std::vector<std::string> layers;
  for (const std::string& name : tensors.names())
    if (name.size() > suffix.size() && name.ends_with(suffix))
      layers.push_back(name.substr(0, name.size() - suffix.size()));
  return layers;
}

} // namespace

Result<std::vector<CompressedLayer>>
from_compressed_tensors(const TensorStore& tensors, std::string_view quantization_config, const std::string& subject) {
  MCOMP_TRY(schemes, detail::read_config(quantization_config, subject));
  std::vector<CompressedLayer> layers;
  for (const std::string& name : quantized_layers(tensors)) {
    const WeightScheme* found = nullptr;
    // The name itself before an expression, and that before the class.
    for (const auto rank : {0, 1, 2})
      for (const WeightScheme& scheme : schemes)
        for (const std::string& target : scheme.targets) {
          if ((target == "Linear" ? 2 : target.starts_with("re:") ? 1 : 0) != rank || found) continue;
          MCOMP_TRY(match, detail::matches(target, name, subject));
          if (match) found = &scheme;
        }
    if (!found)
      return Error(ErrorCode::corrupt, name, fmt::format("{} has no group for it, yet it is quantized", subject),
                   "check the targets of config_groups");
    MCOMP_TRY(layer, LayerReader(tensors, name, *found).read());
    layers.push_back(std::move(layer));
  }
  return layers;
}

Result<Tensor> dequantize(const CompressedLayer& layer) {
  if (layer.group_index.empty())
    return std::visit([](const auto& weight) { return quant::dequantize(weight); }, layer.weight);
  const auto* q = std::get_if<quant::QuantizedTensor>(&layer.weight);
  if (!q || q->shape().rank() != 2 || q->scheme.granularity != Granularity::per_group ||
      static_cast<std::int64_t>(layer.group_index.size()) != q->shape()[1])
    return Error(ErrorCode::invalid_shape, layer.name, "its group index does not belong to columns of integer weights",
                 "pass one group for each column of a weight with groups");
  MCOMP_CHECK(quant::dequantize(*q)); // that the parts fit together
  const std::int64_t groups = q->scales.size(1), columns = q->shape()[1];
  for (const std::int32_t g : layer.group_index)
    if (g < 0 || g >= groups)
      return Error(ErrorCode::invalid_value, layer.name, fmt::format("group {} of {}", g, groups),
                   "pass indices of groups");
  MCOMP_TRY(values, to_f32(q->codes, layer.name));
  auto out = values.mutable_values<float>();
  const auto* scales = static_cast<const float*>(q->scales.data());
  const auto* zeros = static_cast<const std::int32_t*>(q->zero_points.data());
  for (std::int64_t i = 0; i < values.elements(); ++i) {
    const std::int64_t group = i / columns * groups + layer.group_index[static_cast<std::size_t>(i % columns)];
    float& v = out[static_cast<std::size_t>(i)];
    v = (v - static_cast<float>(zeros[group])) * scales[group];
  }
  return std::move(values);
}

} // namespace mcomp::inline v0::io
