#pragma once

#include "core/try.hpp"
#include "mcomp/core/context.hpp"
#include "mcomp/core/tensor.hpp"
#include "mcomp/stats/gram.hpp"

namespace mcomp::inline v0::quant::detail {

/// tr(M H M^T) for M [rows, columns] and symmetric H [columns, columns], all f32; rows side by side, sums in double.
[[nodiscard]] double quadratic_form(const float* m, std::int64_t rows, std::int64_t columns, const float* h,
                                    Executor& executor);

/// The Hessian as f32. Errors: invalid_shape where it does not fit `columns`, invalid_value where it is not finite.
[[nodiscard]] Result<Tensor> hessian(const stats::Gram& gram, std::int64_t columns, const Context& context);

} // namespace mcomp::inline v0::quant::detail
