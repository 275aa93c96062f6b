#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "quant/lanes.hpp"
#include "quant/scale_sweep.hpp"

namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET {

/// One block, weight i of sub-block s at [i][s]. Eight sub-blocks stand in the lanes twice (`doubled`), so that two
/// candidates are tried at a time; a lone sub-block stands in all lanes. Weights are scaled by a power of two to a
/// largest magnitude in [1, 2), importances likewise, so that f32 sums neither overflow nor vanish.
struct LaneBlock {
  alignas(64) float w[32][lane_count]{};
  alignas(64) float h[32][lane_count]{};
  std::size_t length = 0;     ///< weights of a sub-block
  std::size_t sub_blocks = 0; ///< 1, 8 or 16
  double unit = 1;            ///< a weight is w * unit
  bool zero = false;          ///< all weights vanish beside the smallest fp16 scale

  LaneBlock(std::span<const float> weight, std::span<const float> importance, std::size_t sub_block_size) {
    length = sub_block_size;
    sub_blocks = weight.size() / sub_block_size;
    float largest = 0, heaviest = 0;
    for (std::size_t i = 0; i < weight.size(); ++i) {
      largest = std::max(largest, std::abs(weight[i]));
      heaviest = std::max(heaviest, importance[i]);
    }
    // Half of the smallest fp16 is 2^-25; what lies below rounds to zero in every format.
    zero = !(largest > 0x1p-26f) || !(heaviest > 0);
    if (zero) return;
    unit = std::ldexp(1.0, std::ilogb(largest));
    const double w_factor = 1 / unit, h_factor = std::ldexp(1.0, -std::ilogb(heaviest));
    // Where importance is zero the nearest code is still the best answer: a floor too low to matter elsewhere.
    constexpr float floor = 1e-12f;
    for (std::size_t s = 0; s < sub_blocks; ++s)
      for (std::size_t i = 0; i < length; ++i) {
        const std::size_t at = s * length + i;
        const auto x = static_cast<float>(static_cast<double>(weight[at]) * w_factor);
        const float weight_of = std::max(static_cast<float>(static_cast<double>(importance[at]) * h_factor), floor);
        for (std::size_t lane = s; lane < lane_count; lane += sub_blocks) {
          w[i][lane] = x;
          h[i][lane] = weight_of;
        }
      }
  }

  [[nodiscard]] bool doubled() const noexcept { return sub_blocks == 8; }
  /// The storable scale nearest to `d`, in units of w.
  [[nodiscard]] float storable(double d) const noexcept {
    return static_cast<float>(static_cast<double>(to_float(to_finite_half(d * unit))) / unit);
  }
  [[nodiscard]] std::uint16_t bits_of(float storable_scale) const noexcept {
    return to_finite_half(static_cast<double>(storable_scale) * unit).bits;
  }
};

using LaneArray = std::array<float, lane_count>;

/// `d` of the least model costs, best first; neighbours of a chosen one are passed over.
inline std::size_t least(std::span<float> costs, std::span<const float> values, std::span<float> chosen) {
  std::size_t found = 0;
  for (; found < chosen.size(); ++found) {
    std::size_t at = 0;
    for (std::size_t k = 1; k < costs.size(); ++k)
      if (costs[k] < costs[at]) at = k;
    if (!(costs[at] < HUGE_VALF)) break;
    chosen[found] = values[at];
    for (std::size_t k = at > 0 ? at - 1 : 0; k < std::min(at + 2, costs.size()); ++k) costs[k] = HUGE_VALF;
  }
  return found;
}

} // namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET
