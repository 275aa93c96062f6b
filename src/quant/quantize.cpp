#include "mcomp/quant/quantize.hpp"

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "quant/grouping.hpp"
#include "quant/rounding.hpp"

namespace mcomp::inline v0::quant {

namespace {

using detail::Grouping;

/// Smallest and largest of n numbers, kept in lanes so that compilers vectorize without reordering rules.
MCOMP_ALWAYS_INLINE void extremes_body(const float* x, std::int64_t n, float* low, float* high) {
  constexpr int lanes = 64;
  float lo[lanes], hi[lanes];
  for (int j = 0; j < lanes; ++j) lo[j] = 0, hi[j] = 0;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int j = 0; j < lanes; ++j) {
      lo[j] = x[i + j] < lo[j] ? x[i + j] : lo[j];
      hi[j] = x[i + j] > hi[j] ? x[i + j] : hi[j];
    }
  for (; i < n; ++i) {
    lo[0] = x[i] < lo[0] ? x[i] : lo[0];
    hi[0] = x[i] > hi[0] ? x[i] : hi[0];
  }
  for (int j = 1; j < lanes; ++j) {
    lo[0] = lo[j] < lo[0] ? lo[j] : lo[0];
    hi[0] = hi[j] > hi[0] ? hi[j] : hi[0];
  }
  *low = lo[0];
  *high = hi[0];
}
MCOMP_DISPATCH(extremes, (const float* x, std::int64_t n, float* low, float* high), (x, n, low, high))

/// Codes as bytes; two's complement makes int8 and uint8 the same store.
MCOMP_ALWAYS_INLINE void divide_and_round_body(const float* x, std::int64_t n, float scale, float low, float high,
                                               std::int32_t zero, std::uint8_t* codes) {
  for (std::int64_t i = 0; i < n; ++i)
    codes[i] =
        static_cast<std::uint8_t>(static_cast<std::int32_t>(detail::round_clamped(x[i] / scale, low, high)) + zero);
}
MCOMP_DISPATCH(divide_and_round,
               (const float* x, std::int64_t n, float scale, float low, float high, std::int32_t zero,
                std::uint8_t* codes),
               (x, n, scale, low, high, zero, codes))

MCOMP_ALWAYS_INLINE void multiply_and_round_body(const float* x, std::int64_t n, float inverse, float low, float high,
                                                 std::int32_t zero, std::uint8_t* codes) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float scaled = x[i] == x[i] ? x[i] * inverse : 0.0f;
    codes[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(detail::round_clamped(scaled, low, high)) + zero);
  }
}
MCOMP_DISPATCH(multiply_and_round,
               (const float* x, std::int64_t n, float inverse, float low, float high, std::int32_t zero,
                std::uint8_t* codes),
               (x, n, inverse, low, high, zero, codes))

DType byte_type(DType dtype) {
  return is_signed_integer(dtype) ? DType::int8 : DType::uint8;
}

std::int32_t code_at(const Tensor& codes, std::int64_t i) {
  return codes.dtype() == DType::int8 ? static_cast<const std::int8_t*>(codes.data())[i]
                                      : static_cast<const std::uint8_t*>(codes.data())[i];
}

Status check_parts(const QuantizedTensor& q) {
  MCOMP_CHECK(check(q.scheme));
  const Grouping g(q.shape(), q.scheme);
  const Shape parameters{g.row_groups, g.groups};
  if (q.codes.dtype() != byte_type(q.scheme.dtype) || q.scales.dtype() != DType::f32 ||
      q.zero_points.dtype() != DType::int32 || q.scales.shape() != parameters || q.zero_points.shape() != parameters)
    return Error(ErrorCode::invalid_shape, "quantized tensor",
                 fmt::format("codes {}, scales {}, zero points {} do not fit scheme {}", q.codes, q.scales,
                             q.zero_points, q.scheme),
                 fmt::format("pass scales and zero points of shape {}", parameters));
  return {};
}

} // namespace

std::int64_t QuantizedTensor::stored_bytes() const noexcept {
  const std::int64_t width = bit_width(scheme.dtype);
  const std::int64_t zero_bits = scheme.symmetric ? 0 : zero_points.elements() * width;
  return (codes.elements() * width + 7) / 8 + scales.elements() * bit_width(scheme.scale_dtype) / 8 +
         (zero_bits + 7) / 8;
}

double QuantizedTensor::compression() const noexcept {
  const std::int64_t stored = stored_bytes();
  return stored == 0 ? 1.0 : static_cast<double>(codes.elements() * 4) / static_cast<double>(stored);
}

std::string to_string(const QuantizedTensor& tensor) {
  return fmt::format("{} {}, {} bytes ({:.2f}x smaller than f32)", tensor.shape(), tensor.scheme, tensor.stored_bytes(),
                     tensor.compression());
}

Result<QuantizedTensor> quantize(const TensorView& weight, const Scheme& scheme, const Context& context) {
  MCOMP_CHECK(check(scheme));
  if (!is_floating(weight.dtype()))
    return Error(ErrorCode::invalid_dtype, "weight", fmt::format("elements are {}", weight.dtype()),
                 "pass f32, f16, bf16 or f64");
  if (weight.elements() == 0 || (weight.rank() == 0 && scheme.granularity != Granularity::per_tensor))
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("shape {} has no channels to scale", weight.shape()),
                 "pass a tensor with elements");
  MCOMP_CHECK(require_finite(weight, "weight"));
  Tensor converted;
  const float* w = static_cast<const float*>(weight.data());
  if (weight.dtype() != DType::f32 || !weight.contiguous()) {
    MCOMP_TRY(copy, to_f32(weight, "weight"));
    converted = std::move(copy);
    w = static_cast<const float*>(converted.data());
  }
  const Grouping g(weight.shape(), scheme);
  const CodeRange codes = *code_range(scheme);
  QuantizedTensor q{scheme, *Tensor::uninitialized(byte_type(scheme.dtype), weight.shape()),
                    *Tensor::uninitialized(DType::f32, {g.row_groups, g.groups}),
                    *Tensor::uninitialized(DType::int32, {g.row_groups, g.groups})};
  auto* bytes = static_cast<std::uint8_t*>(q.codes.data());
  auto scales = q.scales.mutable_values<float>();
  auto zero_points = q.zero_points.mutable_values<std::int32_t>();

  // Blocks of a constant number of groups, so that the work is cut the same way whatever the number of threads.
  const std::int64_t all_groups = g.row_groups * g.groups;
  const std::int64_t block =
      std::max<std::int64_t>(1, (std::int64_t{1} << 16) / std::max<std::int64_t>(1, g.group_size * g.rows_in_group));
  context.executor_or_serial().run(static_cast<std::size_t>((all_groups + block - 1) / block), [&](std::size_t b) {
    const std::int64_t begin = static_cast<std::int64_t>(b) * block, end = std::min(all_groups, begin + block);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / g.groups * g.rows_in_group, last_row = std::min(g.rows, row + g.rows_in_group);
      const std::int64_t first = i % g.groups * g.group_size, n = g.size(i % g.groups);
      Range range;
      for (std::int64_t r = row; r < last_row; ++r) {
        Range of_row;
        extremes(w + r * g.columns + first, n, &of_row.min, &of_row.max);
        range = {std::min(range.min, of_row.min), std::max(range.max, of_row.max)};
      }
      Parameters p = *parameters_for(range, scheme.dtype, scheme.symmetric);
      p.scale = stored_scale(p.scale, scheme);
      scales[static_cast<std::size_t>(i)] = p.scale;
      zero_points[static_cast<std::size_t>(i)] = p.zero_point;
      for (std::int64_t r = row; r < last_row; ++r)
        divide_and_round(w + r * g.columns + first, n, p.scale, static_cast<float>(codes.lowest - p.zero_point),
                         static_cast<float>(codes.highest - p.zero_point), p.zero_point, bytes + r * g.columns + first);
    }
  });
  return q;
}

Result<Tensor> dequantize(const QuantizedTensor& q) {
  MCOMP_CHECK(check_parts(q));
  const Grouping g(q.shape(), q.scheme);
  MCOMP_TRY(result, Tensor::uninitialized(DType::f32, q.shape()));
  const auto* scales = static_cast<const float*>(q.scales.data());
  const auto* zero_points = static_cast<const std::int32_t*>(q.zero_points.data());
  auto out = result.mutable_values<float>();
  for (std::int64_t i = 0; i < q.codes.elements(); ++i) {
    const std::int64_t group = g.scale_index(i / g.columns, i % g.columns);
    out[static_cast<std::size_t>(i)] = static_cast<float>(code_at(q.codes, i) - zero_points[group]) * scales[group];
  }
  return std::move(result);
}

Result<Tensor> pack_codes(const QuantizedTensor& q) {
  MCOMP_CHECK(check_parts(q));
  const int bits = bit_width(q.scheme.dtype);
  if (bits == 8) return Tensor::copy_of(q.codes);
  MCOMP_TRY(packed, Tensor::zeros(q.scheme.dtype, q.shape()));
  auto* bytes = static_cast<std::uint8_t*>(packed.data());
  const int mask = (1 << bits) - 1;
  for (std::int64_t i = 0; i < q.codes.elements(); ++i) {
    const std::int64_t at = i * bits;
    const int word = (code_at(q.codes, i) & mask) << (at % 8);
    bytes[at / 8] = static_cast<std::uint8_t>(bytes[at / 8] | (word & 0xff));
    if (word > 0xff) bytes[at / 8 + 1] = static_cast<std::uint8_t>(word >> 8);
  }
  return std::move(packed);
}

Result<Tensor> unpack_codes(const TensorView& packed) {
  if (!is_integer(packed.dtype()) || bit_width(packed.dtype()) > 8)
    return Error(ErrorCode::invalid_dtype, "packed codes", fmt::format("elements are {}", packed.dtype()),
                 "pass int2 .. int8 or uint2 .. uint8");
  if (bit_width(packed.dtype()) == 8) return Tensor::copy_of(packed);
  MCOMP_TRY(values, to_f32(packed, "packed codes"));
  MCOMP_TRY(codes, Tensor::uninitialized(byte_type(packed.dtype()), packed.shape()));
  auto* out = static_cast<std::uint8_t*>(codes.data());
  const auto* from = static_cast<const float*>(values.data());
  for (std::int64_t i = 0; i < packed.elements(); ++i)
    out[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(from[i]));
  return std::move(codes);
}

Result<Tensor> quantize_activations(const TensorView& x, const Parameters& p) {
  MCOMP_TRY(range, code_range(p.dtype, p.symmetric));
  MCOMP_TRY(values, x.values<float>("activations"));
  MCOMP_TRY(codes, Tensor::uninitialized(byte_type(p.dtype), x.shape()));
  multiply_and_round(values.data(), x.elements(), 1.0f / p.scale, static_cast<float>(range.lowest - p.zero_point),
                     static_cast<float>(range.highest - p.zero_point), p.zero_point,
                     static_cast<std::uint8_t*>(codes.data()));
  return std::move(codes);
}

Result<Tensor> dequantize_activations(const TensorView& codes, const Parameters& p) {
  if (codes.dtype() != byte_type(p.dtype) || !codes.contiguous())
    return Error(ErrorCode::invalid_dtype, "codes",
                 fmt::format("{} does not hold contiguous codes of {}", codes, p.dtype),
                 fmt::format("pass contiguous {}", byte_type(p.dtype)));
  MCOMP_TRY(result, to_f32(codes, "codes"));
  for (float& v : result.mutable_values<float>()) v = (v - static_cast<float>(p.zero_point)) * p.scale;
  return std::move(result);
}

} // namespace mcomp::inline v0::quant
