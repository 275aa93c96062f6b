#pragma once

#include <cstdint>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::quant::detail {

/// H + damping = R R^T with R upper triangular, columns taken in `order`.
///
/// GPTQ (Frantar et al. 2022) walks over the columns with the Cholesky factor of the inverse, H^-1 = U^T U. That factor
/// is U = R^-1, and with errors counted from the original weights, e_j = w_j - q_j, its update needs R alone:
/// ||e R||^2 = sum_j (e_j R_jj + sum_{i<j} e_i R_ij)^2, so the best value of column j given those before it is
/// w_j + sum_{i<j} e_i R_ij / R_jj (Babai's nearest plane). One factorization, and no inverse is formed.
struct HessianFactor {
  Tensor r;                        ///< f32 [n, n]: R, and below the diagonal R^T
  std::vector<std::int32_t> order; ///< column at each position
  double unit = 1;                 ///< mean of the diagonal over live columns; r belongs to H / unit
  double damping = 0;              ///< added to the diagonal, as a share of `unit`
  int attempts = 1;                ///< factorizations until one succeeded
  std::int64_t dead = 0;           ///< columns whose inputs are always zero; their diagonal is taken as 1

  [[nodiscard]] const float* data() const noexcept { return static_cast<const float*>(r.data()); }
};

/// Factors a symmetric f32 matrix [n, n] whose elements are finite. Always succeeds: damping grows tenfold until every
/// pivot is clearly positive. @param h is used up.
[[nodiscard]] HessianFactor factor_hessian(Tensor h, std::vector<std::int32_t> order, double damping,
                                           Executor& executor);

} // namespace mcomp::inline v0::quant::detail
