#include "mcomp/quant/channel_scaling.hpp"

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::quant {

namespace {

/// A weight seen from the axis that is scaled: [before, channels, after].
struct Channels {
  std::int64_t before = 1, channels = 1, after = 1;
};

Result<Channels> channels(const TensorView& weight, std::size_t axis, std::int64_t count) {
  if (weight.rank() <= axis || weight.size(axis) != count)
    return Error(ErrorCode::invalid_shape, "weight",
                 fmt::format("shape {} for {} channels on axis {}", weight.shape(), count, axis),
                 "pass the weight of a layer with these channels");
  MCOMP_CHECK(weight.values<float>("weight").has_value() ? Status() : weight.values<float>("weight").error());
  MCOMP_CHECK(require_finite(weight, "weight"));
  Channels c;
  for (std::size_t i = 0; i < axis; ++i) c.before *= weight.size(i);
  c.channels = count;
  for (std::size_t i = axis + 1; i < weight.rank(); ++i) c.after *= weight.size(i);
  return c;
}

template <class Factor>
Result<Tensor> scaled(const TensorView& weight, std::size_t axis, const TensorView& scales, const Factor& factor) {
  MCOMP_CHECK(require(scales, "scales", DType::f32, 1));
  MCOMP_TRY(s, scales.values<float>("scales"));
  for (const float x : s)
    if (!(x > 0) || !std::isfinite(x))
      return Error(ErrorCode::invalid_value, "scales", fmt::format("a scale of {}", x), "pass positive numbers");
  MCOMP_TRY(c, channels(weight, axis, scales.size(0)));
  MCOMP_TRY(result, Tensor::copy_of(weight));
  float* x = static_cast<float*>(result.data());
  for (std::int64_t b = 0; b < c.before; ++b)
    for (std::int64_t j = 0; j < c.channels; ++j)
      for (std::int64_t a = 0; a < c.after; ++a, ++x) *x = factor(*x, s[static_cast<std::size_t>(j)]);
  return std::move(result);
}

/// Raises `largest` to the largest magnitude of each channel.
Status raise(const TensorView& weight, std::size_t axis, std::vector<double>& largest) {
  MCOMP_TRY(c, channels(weight, axis, static_cast<std::int64_t>(largest.size())));
  const float* x = static_cast<const float*>(weight.data());
  for (std::int64_t b = 0; b < c.before; ++b)
    for (double& m : largest)
      for (std::int64_t a = 0; a < c.after; ++a, ++x) m = std::max(m, static_cast<double>(std::abs(*x)));
  return {};
}

/// The power of two nearest to a positive number on the logarithmic scale; 1 for what is none.
float power_of_two(double x) {
  if (!(x > 0) || !std::isfinite(x)) return 1;
  return static_cast<float>(std::exp2(std::clamp(std::nearbyint(std::log2(x)), -60.0, 60.0)));
}

} // namespace

Result<Tensor> smoothing_scales(const TensorView& absmax, const std::vector<TensorView>& weights,
                                const SmoothingOptions& options) {
  if (!(options.alpha >= 0) || options.alpha > 1 || weights.empty())
    return Error(ErrorCode::invalid_argument, "smoothing",
                 fmt::format("alpha {} and {} weights", options.alpha, weights.size()),
                 "use alpha in [0, 1] and at least one weight");
  MCOMP_CHECK(require(absmax, "absmax", DType::f32, 1));
  MCOMP_CHECK(require_finite(absmax, "absmax"));
  MCOMP_TRY(x, absmax.values<float>("absmax"));
  std::vector<double> largest(x.size(), 0.0);
  for (const TensorView& weight : weights) MCOMP_CHECK(raise(weight, 1, largest));
  MCOMP_TRY(scales, Tensor::uninitialized(DType::f32, {absmax.size(0)}));
  auto s = scales.mutable_values<float>();
  for (std::size_t j = 0; j < x.size(); ++j)
    s[j] =
        x[j] > 0 && largest[j] > 0
            ? power_of_two(std::pow(static_cast<double>(x[j]), options.alpha) / std::pow(largest[j], 1 - options.alpha))
            : 1.0f;
  return std::move(scales);
}

Result<Tensor> scale_columns(const TensorView& weight, const TensorView& scales) {
  return scaled(weight, 1, scales, [](float x, float s) { return x * s; });
}

Result<Tensor> divide_rows(const TensorView& weight, const TensorView& scales) {
  return scaled(weight, 0, scales, [](float x, float s) { return x / s; });
}

Result<EqualizedPair> equalize(const TensorView& first, const TensorView& first_bias, const TensorView& second) {
  if (first.rank() == 0) return Error(ErrorCode::invalid_shape, "first weight", "it is a scalar", "pass [mid, ...]");
  const std::int64_t mid = first.size(0);
  std::vector<double> rows(static_cast<std::size_t>(mid), 0.0), columns(rows);
  MCOMP_CHECK(raise(first, 0, rows));
  MCOMP_CHECK(raise(second, 1, columns));
  MCOMP_TRY(scales, Tensor::uninitialized(DType::f32, {mid}));
  auto s = scales.mutable_values<float>();
  for (std::size_t i = 0; i < rows.size(); ++i)
    s[i] = rows[i] > 0 && columns[i] > 0 ? power_of_two(std::sqrt(rows[i] / columns[i])) : 1.0f;
  EqualizedPair pair;
  MCOMP_TRY(divided, divide_rows(first, scales));
  MCOMP_TRY(multiplied, scale_columns(second, scales));
  if (first_bias.elements() != 0) {
    MCOMP_TRY(bias, divide_rows(first_bias, scales));
    pair.first_bias = std::move(bias);
  }
  pair.first = std::move(divided);
  pair.second = std::move(multiplied);
  pair.scales = std::move(scales);
  return pair;
}

} // namespace mcomp::inline v0::quant
