#pragma once

#include "core/try.hpp"
#include "mcomp/core/context.hpp"
#include "quant/block_codes.hpp"

namespace mcomp::inline v0::quant::detail {

struct DescentOptions {
  int rounds = 16;          ///< of codes, then scales
  int sweeps = 64;          ///< over the columns of a row in one round, at most
  bool pairs = true;        ///< whether to try steps of two codes at once where single ones no longer help
  bool refit_scales = true; ///< false where several rows share a scale
};

struct DescentReport {
  double before = 0, after = 0;   ///< tr(E H E^T)
  std::int64_t code_changes = 0;  ///< accepted steps of one code
  std::int64_t scale_changes = 0; ///< accepted re-fits of one block
  int rounds = 0;                 ///< the most that a row took
  bool converged = true;          ///< no single step helps any more in any row
};

/// Lowers tr((W - Q) H (W - Q)^T) of codes and scales that are there. Each step is exact and taken only where it lowers
/// the sum: a code moves to the value nearest to q_j + (e H)_j / H_jj, its optimum with all others fixed; the scales
/// (and offsets) of a block move to their least-squares optimum with all codes fixed, rounded to what the format holds.
/// Rows are independent.
/// @param h f32 [columns, columns], symmetric; its diagonal is near 1
/// Cost: rows * columns^2 multiply-adds in matrix products, then columns for each step and for each row and round
/// columns * block.
[[nodiscard]] Result<DescentReport> descend(const float* weight, const float* h, const BlockValues& values,
                                            const DescentOptions& options, BlockCodes& codes, const Context& context);

} // namespace mcomp::inline v0::quant::detail
