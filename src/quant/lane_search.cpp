#include "quant/lane_search.hpp"

#include <array>

#include "mcomp/core/cpu.hpp"
#include "quant/lane_targets.hpp"

namespace mcomp::inline v0::quant::detail {

SearchEffort effort_of(BlockFormat format, BlockSearch search) noexcept {
  const bool thorough = search == BlockSearch::thorough;
  switch (format) {
  case BlockFormat::q4_1:
  case BlockFormat::q5_1:
    return thorough ? SearchEffort{.starts = 8, .ranges = 4, .alternations = 1, .exchanges = 3, .candidates = 4}
                    : SearchEffort{.starts = 8, .ranges = 2, .alternations = 3, .candidates = 1};
  case BlockFormat::q2_k:
  case BlockFormat::q4_k:
  case BlockFormat::q5_k:
    return thorough ? SearchEffort{.starts = 8,
                                   .ranges = 2,
                                   .alternations = 6,
                                   .models = 256,
                                   .candidates = 6,
                                   .reach = 7,
                                   .refinements = 6,
                                   .rounds = 3}
                    : SearchEffort{.starts = 4,
                                   .ranges = 1,
                                   .alternations = 2,
                                   .models = 96,
                                   .candidates = 1,
                                   .refinements = 2,
                                   .rounds = 2};
  default:
    return thorough ? SearchEffort{.starts = format == BlockFormat::q6_k ? 96 : 48,
                                   .alternations = 4,
                                   .models = 512,
                                   .candidates = 16,
                                   .reach = 5,
                                   .refinements = 6,
                                   .rounds = 3}
                    : SearchEffort{.starts = format == BlockFormat::q6_k ? 24 : 16,
                                   .alternations = 2,
                                   .models = 128,
                                   .candidates = 3,
                                   .reach = 1,
                                   .refinements = 2,
                                   .rounds = 2};
  }
}

std::span<const LaneSearch> available_lane_searches() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  static constexpr std::array<LaneSearch, 3> all{fit_portable, fit_avx2, fit_avx512};
  const CpuFeatures& cpu = cpu_features();
  return std::span(all).first(cpu.avx512 ? 3u : cpu.avx2 ? 2u : 1u);
#else
  static constexpr std::array<LaneSearch, 1> all{fit_portable};
  return all;
#endif
}

} // namespace mcomp::inline v0::quant::detail
