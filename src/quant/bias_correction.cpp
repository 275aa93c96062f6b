#include "mcomp/quant/bias_correction.hpp"

#include <algorithm>

#include "mcomp/core/format.hpp"
#include "quant/output_error.hpp"
#include "quant/weight_matrix.hpp"

namespace mcomp::inline v0::quant {

Result<BiasCorrection> correct_bias(const TensorView& weight, const TensorView& quantized, const stats::Gram& gram,
                                    const TensorView& bias, const Context& context) {
  MCOMP_TRY(w, detail::weight_matrix(weight));
  MCOMP_TRY(q, detail::weight_matrix(quantized));
  if (weight.shape() != quantized.shape())
    return Error(ErrorCode::invalid_shape, "quantized weight",
                 fmt::format("shape {}, that of the weight is {}", quantized.shape(), weight.shape()),
                 "pass two forms of one weight");
  if (gram.count() == 0)
    return Error(ErrorCode::insufficient_data, "Gram matrix", "it has seen no sample", "collect inputs of the layer");
  MCOMP_TRY(h, detail::hessian(gram, w.columns, context));
  MCOMP_TRY(corrected, Tensor::zeros(DType::f32, {w.rows}));
  auto out = corrected.mutable_values<float>();
  if (bias.elements() != 0) {
    MCOMP_TRY(old, bias.values<float>("bias"));
    if (bias.elements() != w.rows)
      return Error(ErrorCode::invalid_shape, "bias", fmt::format("{} for {} outputs", bias.shape(), w.rows),
                   "pass one number for each output");
    MCOMP_CHECK(require_finite(bias, "bias"));
    std::copy(old.begin(), old.end(), out.begin());
  }
  const std::vector<double> mean = gram.mean();
  std::vector<float> error(static_cast<std::size_t>(w.rows * w.columns));
  for (std::size_t i = 0; i < error.size(); ++i) error[i] = w.data[i] - q.data[i];
  double removed = 0; // E||e x - e m||^2 = E||e x||^2 - ||e m||^2
  for (std::int64_t r = 0; r < w.rows; ++r) {
    double shift = 0;
    for (std::int64_t c = 0; c < w.columns; ++c)
      shift +=
          static_cast<double>(error[static_cast<std::size_t>(r * w.columns + c)]) * mean[static_cast<std::size_t>(c)];
    out[static_cast<std::size_t>(r)] += static_cast<float>(shift);
    removed += shift * shift;
  }
  const auto* moments = static_cast<const float*>(h.data());
  Executor& executor = context.executor_or_serial();
  const double signal = detail::quadratic_form(w.data, w.rows, w.columns, moments, executor),
               noise = detail::quadratic_form(error.data(), w.rows, w.columns, moments, executor);
  BiasCorrectionReport report;
  if (signal > 0) report = {noise / signal, std::max(noise - removed, 0.0) / signal};
  return BiasCorrection{std::move(corrected), report};
}

} // namespace mcomp::inline v0::quant
