#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "mcomp/graph/network.hpp"
#include "mcomp/quant/scheme.hpp"
#include "quant/rounding.hpp"

// The arithmetic behind the accumulator, as documented in quant/program.hpp. The simulation calls it number by number,
// the kernels over rows; both inline the same expressions.

namespace mcomp::inline v0::quant::detail {

/// Clamp of a fused activation: [0, inf) for relu, [0, 6] for relu6, everything for none.
struct ActivationBounds {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();

  explicit ActivationBounds(std::optional<graph::ActivationKind> kind) {
    if (kind) low = 0;
    if (kind == graph::ActivationKind::relu6) high = 6;
  }
};

/// Constants of storing a number as a code.
struct CodeStore {
  float inverse = 1, low = 0, high = 0;
  std::int32_t zero = 0;

  explicit CodeStore(const Parameters& p) : inverse(1.0f / p.scale), zero(p.zero_point) {
    if (const auto range = code_range(p.dtype, p.symmetric)) {
      low = static_cast<float>(range->lowest - p.zero_point);
      high = static_cast<float>(range->highest - p.zero_point);
    }
  }
};

[[gnu::always_inline]] inline float scaled(std::int32_t accumulator, float multiplier, float bias) {
  const float product = static_cast<float>(accumulator) * multiplier;
  return product + bias;
}

[[gnu::always_inline]] inline float activated(float y, const ActivationBounds& bounds) {
  y = y > bounds.low ? y : bounds.low;
  return y < bounds.high ? y : bounds.high;
}

[[gnu::always_inline]] inline std::uint8_t stored(float y, const CodeStore& store) {
  return static_cast<std::uint8_t>(static_cast<std::int32_t>(round_clamped(y * store.inverse, store.low, store.high)) +
                                   store.zero);
}

} // namespace mcomp::inline v0::quant::detail
