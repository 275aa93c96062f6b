#include "mcomp/quant/microscaling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "quant/importance.hpp"
#include "quant/microscaled_values.hpp"

namespace mcomp::inline v0::quant {

namespace {

/// The exponent of the element format's largest number.
int highest_exponent(const MiniFloat& element) noexcept {
  return std::ilogb(largest(element));
}

} // namespace

int detail::highest_scale(const Microscaling& format) noexcept {
  return format.scale == ScaleType::e8m0 ? 254 - highest_exponent(format.element) : encode(e4m3, largest(e4m3));
}

float detail::global_scale_for(const Microscaling& format, float largest_of_tensor) noexcept {
  if (largest_of_tensor == 0) return 1;
  // Of a tensor so small that the quotient overflows, the largest number still represents the most.
  constexpr float most = std::numeric_limits<float>::max();
  float scale = std::min(largest(e4m3) * largest(format.element) / largest_of_tensor, most);
  // The rounding of both divisions must not carry the largest number of f32 beyond it.
  while (!(largest(e4m3) / scale * largest(format.element) <= most)) scale = std::nextafter(scale, most);
  return scale;
}

std::uint8_t detail::scale_code(const Microscaling& format, ScaleRule rule, float largest_of_group,
                                float global) noexcept {
  if (format.scale == ScaleType::e4m3_global) return encode(e4m3, global * largest_of_group / largest(format.element));
  if (largest_of_group == 0) return 0;
  int exponent = std::ilogb(largest_of_group);
  if (rule == ScaleRule::round && std::ldexp(largest_of_group, -exponent) >= 1.75f) ++exponent;
  return static_cast<std::uint8_t>(
      std::clamp(exponent - highest_exponent(format.element) + 127, 0, highest_scale(format)));
}

namespace {

using detail::global_scale_for;
using detail::highest_scale;
using detail::scale_code;

float largest_magnitude(std::span<const float> w) noexcept {
  float result = 0;
  for (const float x : w) result = std::max(result, std::fabs(x));
  return result;
}

void encode_group(const Microscaling& format, std::span<const float> w, float scale, std::uint8_t* codes) noexcept {
  for (std::size_t i = 0; i < w.size(); ++i) codes[i] = scale == 0 ? 0 : encode(format.element, w[i] / scale);
}

double squared_error(const Microscaling& format, std::span<const float> w, std::span<const float> importance,
                     float scale, const std::uint8_t* codes) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double difference = static_cast<double>(w[i]) - static_cast<double>(decode(format.element, codes[i]) * scale);
    sum += (importance.empty() ? 1.0 : static_cast<double>(importance[i])) * difference * difference;
  }
  return sum;
}

std::uint8_t quantize_group(const MicroscalingOptions& options, std::span<const float> w,
                            std::span<const float> importance, float global, std::uint8_t* codes) {
  const Microscaling& format = options.format;
  const std::uint8_t first = scale_code(format, options.rule, largest_magnitude(w), global);
  encode_group(format, w, scale_value(format, first, global), codes);
  if (options.rule != ScaleRule::minimum_error) return first;
  std::uint8_t best = first;
  double least = squared_error(format, w, importance, scale_value(format, first, global), codes);
  std::vector<std::uint8_t> tried(w.size());
  const int highest = highest_scale(format);
  const detail::ScaleWindow window = detail::scale_window(format.scale);
  for (int code = std::max(0, first - window.below); code <= std::min(highest, first + window.above); ++code) {
    if (code == first) continue;
    const float scale = scale_value(format, static_cast<std::uint8_t>(code), global);
    encode_group(format, w, scale, tried.data());
    const double error = squared_error(format, w, importance, scale, tried.data());
    if (error < least) {
      least = error;
      best = static_cast<std::uint8_t>(code);
      std::copy(tried.begin(), tried.end(), codes);
    }
  }
  return best;
}

} // namespace

Status detail::check_microscaling(const TensorView& weight, const MicroscalingOptions& options) {
  if (!is_floating(weight.dtype()))
    return Error(ErrorCode::invalid_dtype, "weight", fmt::format("elements are {}", weight.dtype()),
                 "pass f32, f16, bf16 or f64");
  if (weight.rank() == 0 || weight.elements() == 0)
    return Error(ErrorCode::invalid_shape, "weight",
                 fmt::format("shape {} has no rows to cut into groups", weight.shape()), "pass a tensor with elements");
  if (options.format.group_size < 1)
    return Error(ErrorCode::invalid_argument, "group_size",
                 fmt::format("{} is not positive", options.format.group_size),
                 "use 32 for the MX formats and 16 for NVFP4");
  if (!(options.global_scale >= 0) || !std::isfinite(options.global_scale))
    return Error(ErrorCode::invalid_argument, "global_scale", fmt::format("{} is no scale", options.global_scale),
                 "pass a positive number, or 0 to derive it from the tensor");
  if (options.global_scale > 0 && options.format.scale == ScaleType::e8m0)
    return Error(ErrorCode::invalid_argument, "global_scale",
                 fmt::format("{} has no scale of the tensor", options.format),
                 "leave it at 0, or use a format with E4M3 scales");
  MCOMP_CHECK(require_finite(weight, "weight"));
  MCOMP_CHECK(detail::importance_values(options.importance, weight.elements() / weight.size(0)));
  return {};
}

std::string to_string(const Microscaling& f) {
  if (f == microscaling::mxfp4) return "mxfp4";
  if (f == microscaling::nvfp4) return "nvfp4";
  return fmt::format("{}{} {} group {}", f.scale == ScaleType::e8m0 ? "mxfp" : "nvfp", f.element.bits(), f.element,
                     f.group_size);
}

std::int64_t MicroscaledTensor::stored_bytes() const noexcept {
  return (codes.elements() * format.element.bits() + 7) / 8 + scales.elements() +
         (format.scale == ScaleType::e4m3_global ? 4 : 0);
}

double MicroscaledTensor::bits_per_weight() const noexcept {
  return codes.elements() == 0 ? 0 : 8.0 * static_cast<double>(stored_bytes()) / static_cast<double>(codes.elements());
}

std::string to_string(const MicroscaledTensor& tensor) {
  return fmt::format("{} {}, {} bytes ({:.2f} bits a weight)", tensor.shape(), tensor.format, tensor.stored_bytes(),
                     tensor.bits_per_weight());
}

float scale_value(const Microscaling& format, std::uint8_t code, float global_scale) noexcept {
  return format.scale == ScaleType::e8m0 ? decode_e8m0(code) : decode(e4m3, code) / global_scale;
}

Result<MicroscaledTensor> quantize_microscaled(const TensorView& weight, const MicroscalingOptions& options,
                                               const Context& context) {
  MCOMP_CHECK(detail::check_microscaling(weight, options));
  MCOMP_TRY(w, to_f32(weight, "weight"));
  const std::span<const float> values = w.mutable_values<float>();
  const std::int64_t rows = weight.size(0), columns = weight.elements() / rows, size = options.format.group_size;
  const std::int64_t groups = (columns + size - 1) / size;
  std::span<const float> importance;
  if (options.importance.elements() > 0) importance = *options.importance.values<float>("importance");

  MicroscaledTensor q{options.format, *Tensor::uninitialized(DType::uint8, weight.shape()),
                      *Tensor::uninitialized(DType::uint8, {rows, groups}), 1};
  if (options.format.scale == ScaleType::e4m3_global)
    q.global_scale =
        options.global_scale > 0 ? options.global_scale : global_scale_for(options.format, largest_magnitude(values));
  auto* codes = static_cast<std::uint8_t*>(q.codes.data());
  auto* scales = static_cast<std::uint8_t*>(q.scales.data());
  context.executor_or_serial().run(static_cast<std::size_t>(rows), [&](std::size_t row) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t first = g * size, n = std::min(size, columns - first);
      const std::size_t at = row * static_cast<std::size_t>(columns) + static_cast<std::size_t>(first);
      scales[row * static_cast<std::size_t>(groups) + static_cast<std::size_t>(g)] = quantize_group(
          options, values.subspan(at, static_cast<std::size_t>(n)),
          importance.empty() ? importance
                             : importance.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n)),
          q.global_scale, codes + at);
    }
  });
  return q;
}

Result<Tensor> dequantize(const MicroscaledTensor& q) {
  const std::int64_t rows = q.codes.rank() == 0 ? 0 : q.codes.size(0), size = q.format.group_size;
  const std::int64_t columns = rows == 0 ? 0 : q.codes.elements() / rows;
  const std::int64_t groups = size < 1 ? 0 : (columns + size - 1) / size;
  if (q.codes.dtype() != DType::uint8 || q.scales.dtype() != DType::uint8 || groups == 0 ||
      q.scales.shape() != Shape{rows, groups})
    return Error(ErrorCode::invalid_shape, "microscaled tensor",
                 fmt::format("codes {} and scales {} do not fit groups of {}", q.codes, q.scales, size),
                 fmt::format("pass uint8 codes [rows, columns] and uint8 scales {}", Shape{rows, groups}));
  MCOMP_TRY(result, Tensor::uninitialized(DType::f32, q.shape()));
  const auto* codes = static_cast<const std::uint8_t*>(q.codes.data());
  const auto* scales = static_cast<const std::uint8_t*>(q.scales.data());
  auto out = result.mutable_values<float>();
  for (std::int64_t i = 0; i < q.codes.elements(); ++i)
    out[static_cast<std::size_t>(i)] =
        decode(q.format.element, codes[i]) *
        scale_value(q.format, scales[i / columns * groups + i % columns / size], q.global_scale);
  return std::move(result);
}

} // namespace mcomp::inline v0::quant
