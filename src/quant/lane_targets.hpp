#pragma once

#include "quant/lane_search.hpp"

// The search of lane_search.hpp by instruction set; those that a processor lacks must not be called.

namespace mcomp::inline v0::quant::detail {

#define MCOMP_FIT(name)                                                                                                \
  void name(BlockFormat format, std::span<const float> w, std::span<const float> importance,                           \
            const SearchEffort& effort, BlockGrid& grid);
MCOMP_FIT(fit_portable)
MCOMP_FIT(fit_avx2)
MCOMP_FIT(fit_avx512)
#undef MCOMP_FIT

} // namespace mcomp::inline v0::quant::detail
