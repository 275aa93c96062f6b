#include "mcomp/quant/fake_quantize.hpp"

#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::quant {

Result<Tensor> fake_quantize(const TensorView& x, const Parameters& parameters) {
  MCOMP_TRY(codes, quantize_activations(x, parameters));
  return dequantize_activations(codes, parameters);
}

Result<FakeQuantizeGradient> fake_quantize_gradient(const TensorView& x, const TensorView& output_gradient,
                                                    const Parameters& p, bool scale_gradient) {
  MCOMP_TRY(range, code_range(p.dtype, p.symmetric));
  MCOMP_TRY(values, x.values<float>("x"));
  MCOMP_TRY(upstream, output_gradient.values<float>("output gradient"));
  if (x.shape() != output_gradient.shape())
    return Error(ErrorCode::invalid_shape, "output gradient",
                 fmt::format("shape {} differs from that of x, {}", output_gradient.shape(), x.shape()),
                 "pass dL/dy in the shape of x");
  MCOMP_TRY(gradient, Tensor::uninitialized(DType::f32, x.shape()));
  auto dx = gradient.mutable_values<float>();
  const double low = range.lowest - p.zero_point, high = range.highest - p.zero_point;
  double ds = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    // Same product as the forward pass, so that both agree on what was clipped.
    const auto v = static_cast<double>(values[i] * (1.0f / p.scale));
    const auto g = static_cast<double>(upstream[i]);
    const bool inside = v >= low && v <= high;
    dx[i] = inside ? upstream[i] : 0.0f;
    ds += g * (inside ? std::nearbyint(v) - v : v < low ? low : high);
  }
  if (scale_gradient && !values.empty()) ds /= std::sqrt(static_cast<double>(values.size()) * high);
  return FakeQuantizeGradient{std::move(gradient), ds};
}

} // namespace mcomp::inline v0::quant
