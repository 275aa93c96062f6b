#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

// The seam between formats and algorithms. A format says which values a block of consecutive weights can take and how
// they become bytes; an algorithm (nearest rounding, importance-weighted search, GPTQ, coordinate descent) chooses
// codes and knows no format. Every small format of the field fits one form:
//
//     value(i, code) = scale[s] * levels[code] + offset[s],   s = i / sub_block
//
// computed in f32 in this order and without contraction, which makes it bit-exact with the reference decoders.

namespace mcomp::inline v0::quant {

/// What a block can represent once its scales are chosen.
struct BlockGrid {
  static constexpr std::size_t max_sub_blocks = 16;
  std::array<float, max_sub_blocks> scale{}; ///< of each sub-block, product of all levels of scales; may be negative
  /// -minimum of K formats, -zero_point * scale of affine ones; else -0, which changes no value it is added to, not
  /// even the sign of a zero.
  std::array<float, max_sub_blocks> offset{};
  /// What `pack` writes in place of `scale` and `offset` (super-block scales and the small scale codes), set by `fit`
  /// and `round_scales`: the codec's own.
  std::array<std::uint16_t, 2> super{};
  std::array<std::uint8_t, 2 * max_sub_blocks> small{};
};

/// The values that one format can represent: all that an algorithm needs to know. Implementations have no state that
/// changes; every function is safe from any thread.
class BlockValues {
 public:
  virtual ~BlockValues() = default;

  [[nodiscard]] virtual std::size_t block_size() const noexcept = 0;     ///< weights in a full block
  [[nodiscard]] virtual std::size_t sub_block_size() const noexcept = 0; ///< weights that share scale and offset
  /// Ascending; at most 256.
  [[nodiscard]] virtual std::span<const float> levels() const noexcept = 0;
  /// Whether `offset` is free (affine and K formats with minima).
  [[nodiscard]] virtual bool has_offset() const noexcept = 0;

  /// Chooses representable scales that make sum importance (w - nearest value)^2 small. `importance` is empty (all 1)
  /// or as long as `w` and not negative; `w` is finite, and shorter than a block only where the format allows it.
  virtual void fit(std::span<const float> w, std::span<const float> importance, BlockGrid& grid) const = 0;
  /// Replaces `scale` and `offset`, wished for by the caller, by representable ones near them. `weight` says what an
  /// error of each sub-block's scale costs (empty: all alike).
  virtual void round_scales(std::span<const float> weight, BlockGrid& grid) const = 0;
};

/// A format with its bytes.
class BlockCodec : public BlockValues {
 public:
  [[nodiscard]] virtual std::size_t block_bytes() const noexcept = 0;
  virtual void pack(const BlockGrid& grid, std::span<const std::uint8_t> codes, std::byte* bytes) const = 0;
  virtual void unpack(const std::byte* bytes, BlockGrid& grid, std::span<std::uint8_t> codes) const = 0;
};

/// scale * level + offset, in the order that decoders use.
[[nodiscard]] inline float block_value(float scale, float level, float offset) noexcept {
  return scale * level + offset;
}

} // namespace mcomp::inline v0::quant
