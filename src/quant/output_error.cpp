#include "quant/output_error.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/matrix_product.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/gptq.hpp"
#include "quant/weight_matrix.hpp"

namespace mcomp::inline v0::quant {

double detail::quadratic_form(const float* m, std::int64_t rows, std::int64_t columns, const float* h,
                              Executor& executor) {
  constexpr std::int64_t tile = 64;
  const std::int64_t tiles = (rows + tile - 1) / tile;
  std::vector<double> parts(static_cast<std::size_t>(tiles));
  executor.run(parts.size(), [&](std::size_t task) {
    const std::int64_t first = static_cast<std::int64_t>(task) * tile, count = std::min(tile, rows - first);
    std::vector<float> transposed(static_cast<std::size_t>(columns * count)), product(transposed.size());
    for (std::int64_t r = 0; r < count; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        transposed[static_cast<std::size_t>(c * count + r)] = m[(first + r) * columns + c];
    mcomp::detail::add_product(
        {count, columns, columns, transposed.data(), count, h, columns, product.data(), columns, 1});
    double sum = 0;
    for (std::int64_t r = 0; r < count; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        sum += static_cast<double>(product[static_cast<std::size_t>(r * columns + c)]) *
               static_cast<double>(m[(first + r) * columns + c]);
    parts[task] = sum;
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

Result<Tensor> detail::hessian(const stats::Gram& gram, std::int64_t columns, const Context& context) {
  if (gram.features() != columns)
    return Error(ErrorCode::invalid_shape, "Gram matrix",
                 fmt::format("{} features for a weight of {} columns", gram.features(), columns),
                 "collect the inputs of this layer");
  Tensor h = gram.second_moment_f32(context);
  for (const float x : h.mutable_values<float>())
    if (!std::isfinite(x))
      return Error(ErrorCode::invalid_value, "Gram matrix", "second moments exceed f32",
                   "scale the activations down, or leave this layer alone");
  return h;
}

Result<double> output_error(const TensorView& weight, const TensorView& quantized, const stats::Gram& gram,
                            const Context& context) {
  MCOMP_TRY(w, detail::weight_matrix(weight));
  MCOMP_TRY(q, detail::weight_matrix(quantized));
  if (weight.shape() != quantized.shape())
    return Error(ErrorCode::invalid_shape, "quantized weight",
                 fmt::format("shape {}, that of the weight is {}", quantized.shape(), weight.shape()),
                 "pass two forms of one weight");
  MCOMP_TRY(h, detail::hessian(gram, w.columns, context));
  const auto* moments = static_cast<const float*>(h.data());
  std::vector<float> error(static_cast<std::size_t>(w.rows * w.columns));
  for (std::size_t i = 0; i < error.size(); ++i) error[i] = w.data[i] - q.data[i];
  Executor& executor = context.executor_or_serial();
  const double signal = detail::quadratic_form(w.data, w.rows, w.columns, moments, executor);
  return signal > 0 ? detail::quadratic_form(error.data(), w.rows, w.columns, moments, executor) / signal : 0.0;
}

} // namespace mcomp::inline v0::quant
