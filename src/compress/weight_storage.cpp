#include "compress/weight_storage.hpp"
#include "mcomp/core/format.hpp"

#include <array>

#include "mcomp/compress/weight_format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

constexpr const char *scale_suffix = ".scale", *zero_point_suffix = ".zero_point", *codebook_suffix = ".codebook";

constexpr std::array<std::pair<quant::Granularity, const char*>, 4> granularity_words{
    {{quant::Granularity::per_tensor, "per_tensor"},
     {quant::Granularity::per_channel, "per_channel"},
     {quant::Granularity::per_group, "per_group"},
     {quant::Granularity::per_block, "per_block"}}};

const char* word_of(quant::Granularity granularity) {
  for (const auto& [value, word] : granularity_words)
    if (value == granularity) return word;
  return "";
}

/// The unsigned type of so many bits.
DType code_type(int bits) {
  for (const DType d : {DType::uint2, DType::uint3, DType::uint4, DType::uint5, DType::uint6, DType::uint7})
    if (bit_width(d) == bits) return d;
  return DType::uint8;
}

/// Codes without gaps, as bytes; those of eight bits as they are.
Result<Tensor> pack(const Tensor& codes, DType dtype) {
  quant::QuantizedTensor q;
  q.scheme = {.dtype = dtype, .symmetric = true, .granularity = quant::Granularity::per_tensor};
  q.codes = codes;
  MCOMP_TRY(scale, Tensor::from(std::vector<float>{1}, {1, 1}));
  MCOMP_TRY(zero, Tensor::zeros(DType::int32, {1, 1}));
  q.scales = std::move(scale);
  q.zero_points = std::move(zero);
  MCOMP_TRY(packed, quant::pack_codes(q));
  if (bit_width(dtype) == 8) return std::move(packed);
  return Tensor::copy_of(TensorView(packed.data(), DType::uint8, {packed.bytes()}));
}

/// Reads one weight's parts out of a store.
class Parts {
 public:
  Parts(const TensorStore& store, const std::string& name, const std::string& where)
      : store_(store), name_(name), where_(where) {}

  [[nodiscard]] Error refuse(const std::string& rule) const {
    return {ErrorCode::corrupt, where_, rule, "write the artifact anew"};
  }

  [[nodiscard]] Result<Tensor> tensor(const char* suffix, DType dtype, const Shape& shape) const {
    MCOMP_TRY(view, store_.find(name_ + suffix));
    if (view.dtype() != dtype || view.shape() != shape)
      return refuse(fmt::format("'{}{}' is {}, not {} {}", name_, suffix, view, dtype, shape));
    return Tensor::copy_of(view);
  }

  /// In f32.
  [[nodiscard]] Result<Tensor> scales(DType dtype, const Shape& shape) const {
    MCOMP_TRY(stored, tensor(scale_suffix, dtype, shape));
    return to_f32(stored, name_);
  }

  /// One code a byte.
  [[nodiscard]] Result<Tensor> codes(const char* suffix, DType dtype, const Shape& shape) const {
    const std::int64_t bits = bit_width(dtype);
    if (bits == 8) return tensor(suffix, dtype, shape);
    MCOMP_TRY(bytes, byte_size(DType::f64, shape, where_)); // no product below overflows
    static_cast<void>(bytes);
    MCOMP_TRY(packed, tensor(suffix, DType::uint8, {(shape.elements() * bits + 7) / 8}));
    return quant::unpack_codes(TensorView(packed.data(), dtype, shape));
  }

 private:
  const TensorStore& store_;
  const std::string& name_;
  const std::string& where_;
};

/// A quantized weight of any form can be dequantized, and has the shape that its entry says.
template <class T> Result<QuantizedWeight> proven(T weight, const Shape& shape, const Parts& parts) {
  QuantizedWeight result(std::move(weight));
  const auto values = dequantize(result);
  if (!values) return parts.refuse(fmt::format("its parts do not fit together: {}", values.error().rule()));
  if (values->shape() != shape) return parts.refuse(fmt::format("it has shape {}, not {}", values->shape(), shape));
  return result;
}

std::int32_t symmetric_zero_point(DType dtype) {
  return is_signed_integer(dtype) ? 0 : std::int32_t{1} << (bit_width(dtype) - 1);
}

/// Scales in the type that they are stored in, which holds them exactly.
Result<Tensor> narrowed(const Tensor& scales, DType dtype, const std::string& name) {
  if (dtype == DType::f32) return Tensor::copy_of(scales);
  MCOMP_TRY(from, scales.values<float>(name));
  MCOMP_TRY(result, Tensor::uninitialized(dtype, scales.shape()));
  for (std::size_t i = 0; i < from.size(); ++i) {
    float kept = 0;
    if (dtype == DType::f16) {
      result.mutable_values<half>()[i] = to_half(from[i]);
      kept = to_float(result.mutable_values<half>()[i]);
    } else {
      result.mutable_values<bfloat16>()[i] = to_bfloat16(from[i]);
      kept = to_float(result.mutable_values<bfloat16>()[i]);
    }
    if (kept != from[i])
      return Error(ErrorCode::invalid_value, name,
                   fmt::format("scale {} is {}, which {} cannot hold", i, from[i], dtype),
                   "quantize it again with this library");
  }
  return std::move(result);
}

/// The table that a reader knows by a word; empty: none.
std::string table_word(const quant::CodebookTensor& q) {
  const auto table = q.codebook.values<float>("codebook");
  if (!table || q.codebook.shape() != Shape{1, std::int64_t{1} << q.bits}) return "";
  const auto same = [&](std::span<const float> levels) {
    return std::equal(table->begin(), table->end(), levels.begin(), levels.end());
  };
  if (same(quant::nf4_values())) return "nf4";
  const auto normal = quant::normal_levels(q.bits);
  return normal && same(*normal) ? "normal" : "";
}

struct Writer {
  TensorStore& store;
  const std::string& name;

  Result<Json> operator()(const quant::QuantizedTensor& q) const {
    const DType dtype = q.scheme.dtype;
    MCOMP_TRY(codes, pack(q.codes, dtype));
    MCOMP_TRY(zero_points, q.zero_points.values<std::int32_t>(name));
    if (q.scheme.symmetric) {
      for (const std::int32_t z : zero_points)
        if (z != symmetric_zero_point(dtype))
          return Error(ErrorCode::unsupported, name, fmt::format("a zero point {} in a symmetric scheme", z),
                       "quantize it with a scheme that has zero points");
    } else {
      MCOMP_TRY(narrow, Tensor::uninitialized(q.codes.dtype(), q.zero_points.shape()));
      MCOMP_TRY(range, quant::code_range(q.scheme));
      auto* bytes = static_cast<std::uint8_t*>(narrow.data());
      for (std::size_t i = 0; i < zero_points.size(); ++i) {
        if (zero_points[i] < range.lowest || zero_points[i] > range.highest)
          return Error(ErrorCode::unsupported, name,
                       fmt::format("the zero point {} is no code of {}", zero_points[i], dtype),
                       "quantize it again with this library");
        bytes[i] = static_cast<std::uint8_t>(zero_points[i]);
      }
      MCOMP_TRY(packed, pack(narrow, dtype));
      store.put(name + zero_point_suffix, std::move(packed));
    }
    MCOMP_TRY(scales, narrowed(q.scales, q.scheme.scale_dtype, name));
    store.put(name, std::move(codes));
    store.put(name + scale_suffix, std::move(scales));
    return Json{{"form", "integers"},
                {"shape", q.shape().sizes()},
                {"dtype", mcomp::to_string(dtype)},
                {"symmetric", q.scheme.symmetric},
                {"granularity", word_of(q.scheme.granularity)},
                {"group_size", q.scheme.group_size},
                {"group_rows", q.scheme.group_rows},
                {"full_range", q.scheme.full_range},
                {"scale_dtype", mcomp::to_string(q.scheme.scale_dtype)},
                {"scales", q.scales.shape().sizes()}};
  }

  Result<Json> operator()(const quant::BlockTensor& q) const {
    store.put(name, q.bytes);
    return Json{{"form", "blocks"}, {"shape", q.shape.sizes()}, {"format", quant::to_string(q.format)}};
  }

  Result<Json> operator()(const quant::MicroscaledTensor& q) const {
    const std::string format = to_string(WeightFormat(q.format));
    const auto back = weight_format_from_string(format);
    const auto* known = back ? std::get_if<quant::Microscaling>(&*back) : nullptr;
    if (!known || *known != q.format)
      return Error(ErrorCode::unsupported, name, fmt::format("artifacts have no word for the format {}", format),
                   "use one of the formats that have a name");
    MCOMP_TRY(codes, pack(q.codes, code_type(q.format.element.bits())));
    store.put(name, std::move(codes));
    store.put(name + scale_suffix, q.scales);
    return Json{{"form", "microscaling"},
                {"shape", q.shape().sizes()},
                {"format", format},
                {"scales", q.scales.shape().sizes()},
                {"global_scale", static_cast<double>(q.global_scale)}};
  }

  Result<Json> operator()(const quant::ScaledFloatTensor& q) const {
    const std::string element = to_string(q.format.element);
    if (q.format.element != e4m3 && q.format.element != e5m2)
      return Error(ErrorCode::unsupported, name, fmt::format("artifacts have no word for the element {}", element),
                   "use E4M3 or E5M2");
    store.put(name, q.codes);
    store.put(name + scale_suffix, q.scales);
    return Json{{"form", "scaled_float"},
                {"shape", q.shape().sizes()},
                {"element", element},
                {"granularity", word_of(q.format.granularity)},
                {"group_size", q.format.group_size},
                {"group_rows", q.format.group_rows},
                {"scales", q.scales.shape().sizes()}};
  }

  Result<Json> operator()(const quant::CodebookTensor& q) const {
    const bool scaled = q.scales.elements() > 0;
    MCOMP_TRY(codes, pack(q.codes, code_type(q.bits)));
    const std::string word = table_word(q);
    if (scaled) {
      MCOMP_TRY(scales, narrowed(q.scales, q.scale_dtype, name));
      store.put(name + scale_suffix, std::move(scales));
    }
    store.put(name, std::move(codes));
    if (word.empty()) store.put(name + codebook_suffix, q.codebook);
    return Json{{"form", "codebook"},
                {"shape", q.shape().sizes()},
                {"bits", q.bits},
                {"tables", q.codebook.size(0)},
                {"table", word},
                {"group_size", q.group_size},
                {"scale_dtype", mcomp::to_string(q.scale_dtype)},
                {"scales", scaled ? q.scales.shape().sizes() : std::span<const std::int64_t>{}}};
  }
};

quant::Granularity read_granularity(ObjectReader& reader) {
  const std::string word = reader.text("granularity");
  for (const auto& [value, known] : granularity_words)
    if (word == known) return value;
  reader.fail("granularity", fmt::format("'{}' is not known", word),
              "use per_tensor, per_channel, per_group or per_block");
  return quant::Granularity::per_channel;
}

DType read_scale_dtype(ObjectReader& reader) {
  const std::string word = reader.text("scale_dtype", "f32");
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    if (word == mcomp::to_string(dtype)) return dtype;
  reader.fail("scale_dtype", fmt::format("scales cannot be {}", word), "use f32, f16 or bf16");
  return DType::f32;
}

Result<QuantizedWeight> take_integers(ObjectReader& reader, const Shape& shape, const Parts& parts) {
  quant::QuantizedTensor q;
  const std::string dtype = reader.text("dtype");
  q.scheme.symmetric = reader.boolean("symmetric", true);
  q.scheme.granularity = read_granularity(reader);
  q.scheme.group_size = reader.integer("group_size", 0);
  q.scheme.group_rows = reader.integer("group_rows", 0);
  q.scheme.full_range = reader.boolean("full_range", false);
  q.scheme.scale_dtype = read_scale_dtype(reader);
  const Shape scales(reader.integers("scales"));
  const auto type = dtype_from_string(dtype);
  if (!type || !is_integer(*type) || bit_width(*type) > 8)
    reader.fail("dtype", fmt::format("'{}'", dtype), "artifacts hold int2 ... int8 and uint2 ... uint8");
  MCOMP_CHECK(reader.finish());
  q.scheme.dtype = *type;
  if (const Status fits = quant::check(q.scheme); !fits) return parts.refuse(fits.error().rule());
  MCOMP_TRY(codes, parts.codes("", *type, shape));
  MCOMP_TRY(scale_values, parts.scales(q.scheme.scale_dtype, scales));
  MCOMP_TRY(zero_points, Tensor::zeros(DType::int32, scales));
  auto z = zero_points.mutable_values<std::int32_t>();
  if (q.scheme.symmetric) {
    for (std::int32_t& value : z) value = symmetric_zero_point(*type);
  } else {
    MCOMP_TRY(narrow, parts.codes(zero_point_suffix, *type, scales));
    MCOMP_TRY(values, to_f32(narrow, "zero points"));
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = static_cast<std::int32_t>(values.mutable_values<float>()[i]);
  }
  q.codes = std::move(codes);
  q.scales = std::move(scale_values);
  q.zero_points = std::move(zero_points);
  return proven(std::move(q), shape, parts);
}

Result<QuantizedWeight> take_blocks(ObjectReader& reader, const Shape& shape, const Parts& parts) {
  const std::string word = reader.text("format");
  MCOMP_CHECK(reader.finish());
  const auto format = quant::block_format_from_string(word);
  if (!format) return parts.refuse(fmt::format("there is no block format '{}'", word));
  const auto bytes = stored_bytes(WeightFormat(*format), shape);
  if (!bytes) return parts.refuse(bytes.error().rule());
  const std::int64_t rows = shape.elements() / shape[shape.rank() - 1];
  MCOMP_TRY(tensor, parts.tensor("", DType::uint8, {rows, *bytes / rows}));
  return proven(quant::BlockTensor{*format, shape, std::move(tensor)}, shape, parts);
}

Result<QuantizedWeight> take_microscaling(ObjectReader& reader, const Shape& shape, const Parts& parts) {
  quant::MicroscaledTensor q;
  const std::string word = reader.text("format");
  const Shape scales(reader.integers("scales"));
  q.global_scale = static_cast<float>(reader.number("global_scale", 1));
  MCOMP_CHECK(reader.finish());
  const auto format = weight_format_from_string(word);
  const auto* known = format ? std::get_if<quant::Microscaling>(&*format) : nullptr;
  if (!known) return parts.refuse(fmt::format("there is no microscaling format '{}'", word));
  if (!(q.global_scale > 0)) return parts.refuse(fmt::format("a global scale of {}", q.global_scale));
  q.format = *known;
  MCOMP_TRY(codes, parts.codes("", code_type(q.format.element.bits()), shape));
  MCOMP_TRY(scale_values, parts.tensor(scale_suffix, DType::uint8, scales));
  q.codes = std::move(codes);
  q.scales = std::move(scale_values);
  return proven(std::move(q), shape, parts);
}

Result<QuantizedWeight> take_scaled_float(ObjectReader& reader, const Shape& shape, const Parts& parts) {
  quant::ScaledFloatTensor q;
  const std::string element = reader.text("element");
  q.format.granularity = read_granularity(reader);
  q.format.group_size = reader.integer("group_size", 0);
  q.format.group_rows = reader.integer("group_rows", 0);
  const Shape scales(reader.integers("scales"));
  MCOMP_CHECK(reader.finish());
  if (element != to_string(e4m3) && element != to_string(e5m2))
    return parts.refuse(fmt::format("there is no element '{}'", element));
  q.format.element = element == to_string(e4m3) ? e4m3 : e5m2;
  MCOMP_TRY(codes, parts.tensor("", DType::uint8, shape));
  MCOMP_TRY(scale_values, parts.tensor(scale_suffix, DType::f32, scales));
  q.codes = std::move(codes);
  q.scales = std::move(scale_values);
  return proven(std::move(q), shape, parts);
}

Result<Tensor> known_table(const std::string& word, int bits, std::int64_t tables, const Parts& parts) {
  if (tables != 1) return parts.refuse(fmt::format("{} tables of which one is known", tables));
  const Shape shape{1, std::int64_t{1} << bits};
  if (word == "nf4" && bits == 4) return Tensor::from(std::span<const float>(quant::nf4_values()), shape);
  if (word != "normal") return parts.refuse(fmt::format("there is no table '{}' of {} bits", word, bits));
  MCOMP_TRY(levels, quant::normal_levels(bits));
  return Tensor::from(levels, shape);
}

Result<QuantizedWeight> take_codebook(ObjectReader& reader, const Shape& shape, const Parts& parts) {
  quant::CodebookTensor q;
  const std::int64_t bits = reader.integer("bits"), tables = reader.integer("tables");
  const std::string word = reader.text("table", "");
  q.group_size = reader.integer("group_size", 0);
  q.scale_dtype = read_scale_dtype(reader);
  const Shape scales(reader.integers("scales"));
  if (bits < 2 || bits > 8) reader.fail("bits", fmt::format("{} is not within 2 and 8", bits), "use 2 to 8 bits");
  MCOMP_CHECK(reader.finish());
  q.bits = static_cast<int>(bits);
  MCOMP_TRY(codes, parts.codes("", code_type(q.bits), shape));
  auto codebook = word.empty() ? parts.tensor(codebook_suffix, DType::f32, {tables, std::int64_t{1} << bits})
                               : known_table(word, q.bits, tables, parts);
  if (!codebook) return codebook.error();
  if (scales.rank() > 0) {
    MCOMP_TRY(scale_values, parts.scales(q.scale_dtype, scales));
    q.scales = std::move(scale_values);
  }
  q.codes = std::move(codes);
  q.codebook = std::move(*codebook);
  return proven(std::move(q), shape, parts);
}

} // namespace

Result<Json> put_weight(TensorStore& store, const std::string& name, const QuantizedWeight& weight) {
  return std::visit(Writer{store, name}, weight);
}

Result<QuantizedWeight> take_weight(const TensorStore& store, const std::string& name, const Json& entry,
                                    const std::string& where) {
  ObjectReader reader(entry, where);
  const std::string form = reader.text("form");
  const Shape shape(reader.integers("shape"));
  const Parts parts(store, name, where);
  if (shape.rank() == 0 || !byte_size(DType::f64, shape, where) || shape.elements() == 0) {
    MCOMP_CHECK(form.empty() ? reader.finish() : Status());
    return parts.refuse(fmt::format("{} is no shape of a weight", shape));
  }
  if (form == "integers") return take_integers(reader, shape, parts);
  if (form == "blocks") return take_blocks(reader, shape, parts);
  if (form == "microscaling") return take_microscaling(reader, shape, parts);
  if (form == "scaled_float") return take_scaled_float(reader, shape, parts);
  if (form == "codebook") return take_codebook(reader, shape, parts);
  return parts.refuse(fmt::format("there is no form '{}'", form));
}

void erase_weight(TensorStore& store, const std::string& name) {
  store.erase(name);
  for (const char* suffix : {scale_suffix, zero_point_suffix, codebook_suffix}) store.erase(name + suffix);
}

} // namespace mcomp::inline v0::compress::detail
