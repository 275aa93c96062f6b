#include "mcomp/quant/compensation.hpp"

#include <cmath>
#include <numeric>

#include "core/simd_dispatch.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "quant/hessian_factor.hpp"

namespace mcomp::inline v0::quant {

namespace {

/// y -= a * x
MCOMP_ALWAYS_INLINE void subtract_body(const float* x, double a, std::int64_t n, double* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] -= a * static_cast<double>(x[i]);
}
MCOMP_DISPATCH(subtract, (const float* x, double a, std::int64_t n, double* y), (x, a, n, y))

/// d M^-1 in place, with M = R R^T and R upper triangular; `r` holds R, and below the diagonal R^T.
void solve_row(const float* r, std::int64_t n, double* d) {
  // z R^T = d, from the last column, which R^T alone has, to the first
  for (std::int64_t j = n - 1; j >= 0; --j) {
    d[j] /= static_cast<double>(r[j * n + j]);
    subtract(r + j * n, d[j], j, d); // row j of R^T, left of the diagonal
  }
  // x R = z, from the first column on
  for (std::int64_t j = 0; j < n; ++j) {
    d[j] /= static_cast<double>(r[j * n + j]);
    subtract(r + j * n + j + 1, d[j], n - j - 1, d + j + 1);
  }
}

} // namespace

Result<Tensor> compensate(const TensorView& weight, const stats::Gram& gram, const stats::CrossMoment& difference,
                          double damping, const Context& context) {
  if (!is_floating(weight.dtype()) || weight.rank() < 2 || weight.elements() == 0)
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("{} is no weight of a layer", weight),
                 "pass floating-point numbers [out, ...]");
  const std::int64_t rows = weight.size(0), columns = weight.elements() / rows;
  if (gram.features() != columns || difference.right() != columns || difference.left() != rows ||
      gram.count() != difference.count())
    return Error(ErrorCode::invalid_shape, "moments",
                 fmt::format("[{}, {}] of {} samples and {} features of {} samples do not fit a weight {}",
                             difference.left(), difference.right(), difference.count(), gram.features(), gram.count(),
                             weight.shape()),
                 "observe the inputs of the layer and what its output lacks on the same samples");
  if (!(damping >= 0) || !std::isfinite(damping))
    return Error(ErrorCode::invalid_argument, "damping", fmt::format("{} is no share of the diagonal", damping),
                 "use 0.01 or another number that is not negative");
  MCOMP_CHECK(require_finite(weight, "weight"));
  MCOMP_TRY(result, to_f32(weight, "weight"));
  std::vector<std::int32_t> order(static_cast<std::size_t>(columns));
  std::iota(order.begin(), order.end(), 0);
  Executor& executor = context.executor_or_serial();
  Tensor moment = gram.second_moment_f32(context);
  MCOMP_CHECK(require_finite(moment, "second moments"));
  const detail::HessianFactor factor = detail::factor_hessian(std::move(moment), std::move(order), damping, executor);
  Tensor change = difference.mean();
  auto* d = static_cast<double*>(change.data());
  auto* w = static_cast<float*>(result.data());
  executor.run(static_cast<std::size_t>(rows), [&](std::size_t task) {
    const auto r = static_cast<std::int64_t>(task);
    double* of_row = d + r * columns;
    solve_row(factor.data(), columns, of_row);
    for (std::int64_t c = 0; c < columns; ++c)
      w[r * columns + c] = static_cast<float>(static_cast<double>(w[r * columns + c]) + of_row[c] / factor.unit);
  });
  MCOMP_CHECK(require_finite(result, "compensated weight"));
  return std::move(result);
}

} // namespace mcomp::inline v0::quant
