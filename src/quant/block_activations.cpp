#include "mcomp/quant/block_activations.hpp"

#include <algorithm>
#include <cmath>

namespace mcomp::inline v0::quant {

namespace {

/// Codes are rounded by the scale in f32, but mean multiples of the scale that is stored, in fp16.
void round_q8_0(std::span<float> block) noexcept {
  float largest = 0;
  for (const float x : block) largest = std::max(largest, std::abs(x));
  const float scale = largest / 127, inverse = largest > 0 ? 127 / largest : 0;
  const float stored = to_float(to_half(scale));
  for (float& x : block) x = std::nearbyint(x * inverse) * stored;
}

void round_q8_k(std::span<float> block) noexcept {
  float largest = 0;
  for (const float x : block)
    if (std::abs(x) > std::abs(largest)) largest = x;
  const float inverse = largest != 0 ? -127 / largest : 0, scale = largest != 0 ? 1 / inverse : 0;
  for (float& x : block) x = std::min(std::nearbyint(x * inverse), 127.0f) * scale;
}

} // namespace

void round_activations(BlockFormat weights, std::span<float> values) noexcept {
  const auto size = static_cast<std::size_t>(block_layout(weights).block_size);
  for (std::size_t begin = 0; begin + size <= values.size(); begin += size) {
    if (size == 256)
      round_q8_k(values.subspan(begin, size));
    else
      round_q8_0(values.subspan(begin, size));
  }
}

} // namespace mcomp::inline v0::quant
