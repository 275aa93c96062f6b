#include "mcomp/quant/scheme.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "quant/rounding.hpp"

namespace mcomp::inline v0::quant {

std::string to_string(Granularity granularity) {
  switch (granularity) {
  case Granularity::per_tensor:
    return "per tensor";
  case Granularity::per_channel:
    return "per channel";
  case Granularity::per_group:
    return "per group";
  case Granularity::per_block:
    return "per block";
  }
  return "unknown granularity";
}

std::string to_string(const Scheme& scheme) {
  std::string text = fmt::format("{} {} {}", scheme.dtype,
                                 scheme.full_range  ? "symmetric full-range"
                                 : scheme.symmetric ? "symmetric"
                                                    : "affine",
                                 scheme.granularity);
  if (scheme.granularity == Granularity::per_group) text += fmt::format(" of {}", scheme.group_size);
  if (scheme.granularity == Granularity::per_block)
    text += fmt::format(" of {} x {}", scheme.group_rows, scheme.group_size);
  if (scheme.scale_dtype != DType::f32) text += fmt::format(", {} scales", scheme.scale_dtype);
  return text;
}

std::string to_string(const Parameters& p) {
  return fmt::format("{} scale {:.6g} zero point {}", p.dtype, p.scale, p.zero_point);
}

Result<CodeRange> code_range(DType dtype, bool symmetric) {
  const int bits = bit_width(dtype);
  if (!is_integer(dtype) || bits > 8)
    return Error(ErrorCode::invalid_dtype, "quantization scheme", fmt::format("codes cannot be {}", dtype),
                 "use int2 .. int8 or uint2 .. uint8");
  const std::int32_t half = 1 << (bits - 1);
  if (is_signed_integer(dtype)) return CodeRange{symmetric ? 1 - half : -half, half - 1};
  return CodeRange{symmetric ? 1 : 0, 2 * half - 1};
}

Result<CodeRange> code_range(const Scheme& scheme) {
  return code_range(scheme.dtype, scheme.symmetric && !scheme.full_range);
}

Status check(const Scheme& scheme) {
  if (scheme.full_range && !scheme.symmetric)
    return Error(ErrorCode::invalid_argument, "quantization scheme", "the full range is an affine scheme's anyway",
                 "set full_range with symmetric schemes only");
  if (auto range = code_range(scheme.dtype, scheme.symmetric); !range) return range.error();
  if (scheme.scale_dtype != DType::f32 && scheme.scale_dtype != DType::f16 && scheme.scale_dtype != DType::bf16)
    return Error(ErrorCode::invalid_dtype, "quantization scheme",
                 fmt::format("scales cannot be {}", scheme.scale_dtype), "use f32, f16 or bf16");
  const bool block = scheme.granularity == Granularity::per_block;
  const bool grouped = block || scheme.granularity == Granularity::per_group;
  if (grouped && scheme.group_size <= 0)
    return Error(ErrorCode::invalid_argument, "quantization scheme", fmt::format("group size {}", scheme.group_size),
                 "give the number of weights in a group, such as 32 or 128");
  if (!grouped && scheme.group_size != 0)
    return Error(ErrorCode::invalid_argument, "quantization scheme",
                 fmt::format("a group size of {} with scales {}", scheme.group_size, scheme.granularity),
                 "leave the group size 0 or choose per_group or per_block");
  if (block ? scheme.group_rows <= 0 : scheme.group_rows != 0)
    return Error(ErrorCode::invalid_argument, "quantization scheme",
                 fmt::format("{} rows in a group with scales {}", scheme.group_rows, scheme.granularity),
                 "give the rows of a block, such as 128, with per_block only");
  return {};
}

float stored_scale(float scale, const Scheme& scheme) noexcept {
  switch (scheme.scale_dtype) {
  case DType::f16: {
    constexpr float least = 0x1p-24f, most = 65504;
    return to_float(to_half(std::clamp(scale, least, most)));
  }
  case DType::bf16: {
    // No code may become infinite when the scale is rounded up.
    const float most = 0x1.fep127f / static_cast<float>(1 << bit_width(scheme.dtype));
    return to_float(to_bfloat16(std::clamp(scale, std::numeric_limits<float>::min(), most)));
  }
  default:
    return scale;
  }
}

Result<Parameters> parameters_for(const Range& range, DType dtype, bool symmetric) {
  MCOMP_TRY(codes, code_range(dtype, symmetric));
  if (!std::isfinite(range.min) || !std::isfinite(range.max) || range.max < range.min)
    return Error(ErrorCode::invalid_value, "range",
                 fmt::format("[{}, {}] is not a finite interval", range.min, range.max),
                 "pass finite bounds with min <= max");
  const double low = std::min(static_cast<double>(range.min), 0.0),
               high = std::max(static_cast<double>(range.max), 0.0);
  const std::int32_t middle = symmetric ? (codes.lowest + codes.highest) / 2 : 0;
  const double extent =
      symmetric ? std::max(-low, high) / (codes.highest - middle) : (high - low) / (codes.highest - codes.lowest);
  Parameters p{dtype, 1.0f, middle, symmetric};
  if (high == low) {
    if (!symmetric) p.zero_point = std::max(codes.lowest, 0);
    return p;
  }
  p.scale = std::max(static_cast<float>(extent), std::numeric_limits<float>::min());
  if (!symmetric) {
    const double zero = codes.lowest - std::nearbyint(low / static_cast<double>(p.scale));
    p.zero_point = static_cast<std::int32_t>(std::clamp(zero, double(codes.lowest), double(codes.highest)));
  }
  // The outermost code must stay finite, also where the range ends at the largest f32.
  const float reach = static_cast<float>(std::max(p.zero_point - codes.lowest, codes.highest - p.zero_point));
  while (!std::isfinite(reach * p.scale))
    p.scale = std::min(p.scale * 0.99999f, std::numeric_limits<float>::max() / reach);
  return p;
}

std::int32_t quantize_value(float x, const Parameters& p) noexcept {
  const auto codes = code_range(p.dtype, p.symmetric);
  const CodeRange range = codes ? *codes : CodeRange{0, 0};
  if (x != x) return p.zero_point;
  const float inverse = 1.0f / p.scale;
  const auto zero = static_cast<float>(p.zero_point);
  return static_cast<std::int32_t>(detail::round_clamped(x * inverse, static_cast<float>(range.lowest) - zero,
                                                         static_cast<float>(range.highest) - zero) +
                                   zero);
}

} // namespace mcomp::inline v0::quant
