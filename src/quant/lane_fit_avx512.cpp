#if defined(__x86_64__) && defined(__GNUC__)

// What others define comes first, so that its inline functions keep the target of the whole library.
#include "core/simd_dispatch.hpp"
#include "quant/block_bytes.hpp"
#include "quant/lane_targets.hpp"
#include "quant/scale_sweep.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,prefer-vector-width=512")
#endif

#define MCOMP_LANES_TARGET avx512
#include "quant/lane_fit.hpp"

namespace mcomp::inline v0::quant::detail {

void fit_avx512(BlockFormat format, std::span<const float> w, std::span<const float> importance,
                const SearchEffort& effort, BlockGrid& grid) {
  fit_body<Lanes<16>>(format, w, importance, effort, grid);
}

} // namespace mcomp::inline v0::quant::detail

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
