#pragma once

#include <vector>

#include "mcomp/cost/layer_shape.hpp"
#include "mcomp/quant/program.hpp"

namespace mcomp::inline v0::compress {

/// The steps of a program as work, for a latency model, in the order of execution; a step covers what was fused into
/// it.
///
///     auto shapes = mcomp::compress::layer_shapes(*model.program(), 1).value();
///     auto latency = latency_model.predict(shapes).value();
///
/// @param samples of one call; where the runner cuts a batch, those of a part (kernels::micro_batch)
/// Steps without weights become movements, and so does the change of the input to channels last. Errors:
/// invalid_argument for samples below 1.
[[nodiscard]] MCOMP_API Result<std::vector<cost::LayerShape>> layer_shapes(const quant::Program& program,
                                                                           std::int64_t samples);

} // namespace mcomp::inline v0::compress
