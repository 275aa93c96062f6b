#define MCOMP_LANES_TARGET portable
#include "quant/lane_fit.hpp"
#include "quant/lane_targets.hpp"

namespace mcomp::inline v0::quant::detail {

void fit_portable(BlockFormat format, std::span<const float> w, std::span<const float> importance,
                  const SearchEffort& effort, BlockGrid& grid) {
  fit_body<Lanes<1>>(format, w, importance, effort, grid);
}

} // namespace mcomp::inline v0::quant::detail
