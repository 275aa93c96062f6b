#include "quant/block_codecs.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/simd_dispatch.hpp"
#include "quant/block_bytes.hpp"
#include "quant/lane_search.hpp"
#include "quant/rounding.hpp"
#include "quant/scale_sweep.hpp"

namespace mcomp::inline v0::quant {

namespace {

using detail::levels_of;

constexpr std::size_t longest_block = 256;

MCOMP_ALWAYS_INLINE void even_codes_body(const float* w, std::size_t n, float offset, float inverse, float low,
                                         float high, std::uint8_t* codes) {
  for (std::size_t i = 0; i < n; ++i)
    codes[i] = static_cast<std::uint8_t>(
        static_cast<std::int32_t>(detail::round_clamped((w[i] - offset) * inverse, low, high) - low));
}
MCOMP_DISPATCH(even_codes,
               (const float* w, std::size_t n, float offset, float inverse, float low, float high, std::uint8_t* codes),
               (w, n, offset, inverse, low, high, codes))

/// Counts the middles between levels that a weight passes.
MCOMP_ALWAYS_INLINE void uneven_codes_body(const float* w, std::size_t n, float inverse, const float* middles,
                                           std::uint8_t* codes) {
  for (std::size_t i = 0; i < n; ++i) codes[i] = 0;
  for (std::size_t k = 0; k < 15; ++k)
    for (std::size_t i = 0; i < n; ++i)
      codes[i] = static_cast<std::uint8_t>(codes[i] + (w[i] * inverse > middles[k] ? 1 : 0));
}
MCOMP_DISPATCH(uneven_codes, (const float* w, std::size_t n, float inverse, const float* middles, std::uint8_t* codes),
               (w, n, inverse, middles, codes))

std::array<float, 15> middles_of(std::span<const float> levels) {
  std::array<float, 15> middles;
  for (std::size_t k = 0; k < 15; ++k) middles[k] = (levels[k] + levels[k + 1]) / 2;
  // Of two zeros (MXFP4) the positive one is taken.
  for (std::size_t k = 1; k < 15; ++k)
    if (levels[k] == levels[k + 1]) middles[k] = middles[k - 1];
  return middles;
}

bool one_scale(BlockFormat format) {
  const BlockLayout& layout = block_layout(format);
  return layout.block_size == layout.sub_block_size && !layout.has_offset;
}

/// The codes that scales of a K format can have, as levels of a sweep over the super-block scale.
std::span<const float> scale_levels(BlockFormat format) {
  static constexpr auto unsigned_6 = [] {
    std::array<float, 64> levels{};
    for (std::size_t i = 0; i < 64; ++i) levels[i] = static_cast<float>(i);
    return levels;
  }();
  switch (format) {
  case BlockFormat::q2_k:
    return levels_of(BlockFormat::q4_1);
  case BlockFormat::q6_k:
    return levels_of(BlockFormat::q8_0);
  case BlockFormat::q3_k:
  case BlockFormat::iq4_xs:
    return levels_of(BlockFormat::q6_k);
  default:
    return unsigned_6;
  }
}

/// Codes of the nearest multiples of the best super-block scale; `at` is 0 for scales and 1 for minima.
void round_to_super(BlockFormat format, std::span<const float> wished, std::span<const float> weight, std::size_t at,
                    BlockGrid& grid) {
  const auto levels = scale_levels(format);
  const half d = detail::best_scale(wished, weight, levels).scale;
  const float step = to_float(d);
  grid.super[at] = d.bits;
  for (std::size_t s = 0; s < wished.size(); ++s) {
    const float code = step != 0 ? std::clamp(std::nearbyint(wished[s] / step), levels.front(), levels.back()) : 0.0f;
    grid.small[2 * s + at] = static_cast<std::uint8_t>(static_cast<int>(code) + detail::scale_codes_of(format).bias);
  }
}

class Codec final : public BlockCodec {
 public:
  explicit Codec(BlockFormat format) : format_(format) {}

  [[nodiscard]] std::size_t block_size() const noexcept override {
    return static_cast<std::size_t>(block_layout(format_).block_size);
  }
  [[nodiscard]] std::size_t sub_block_size() const noexcept override {
    return static_cast<std::size_t>(block_layout(format_).sub_block_size);
  }
  [[nodiscard]] std::size_t block_bytes() const noexcept override {
    return static_cast<std::size_t>(block_layout(format_).block_bytes);
  }
  [[nodiscard]] std::span<const float> levels() const noexcept override { return levels_of(format_); }
  [[nodiscard]] bool has_offset() const noexcept override { return block_layout(format_).has_offset; }

  void fit(std::span<const float> w, std::span<const float> importance, BlockGrid& grid) const override {
    detail::fit_block(format_, BlockSearch::thorough, w, importance, grid);
  }

  void round_scales(std::span<const float> weight, BlockGrid& grid) const override {
    if (format_ == BlockFormat::mxfp4) {
      grid.super[0] = nearest_exponent(grid.scale[0]);
    } else if (block_size() == sub_block_size()) {
      grid.super = {detail::to_finite_half(static_cast<double>(grid.scale[0])).bits,
                    detail::to_finite_half(static_cast<double>(grid.offset[0])).bits};
    } else {
      round_sub_blocks(weight, grid);
    }
    detail::expand_scales(format_, grid);
  }

  void pack(const BlockGrid& grid, std::span<const std::uint8_t> codes, std::byte* bytes) const override {
    detail::pack_bytes(format_, grid, codes.data(), bytes);
  }
  void unpack(const std::byte* bytes, BlockGrid& grid, std::span<std::uint8_t> codes) const override {
    detail::unpack_bytes(format_, bytes, grid, codes.data());
  }

 private:
  static std::uint16_t nearest_exponent(float scale) {
    if (!(scale > 0)) return 0;
    const int below = std::ilogb(scale);
    const int exponent = scale > std::ldexp(1.5f, below) ? below + 1 : below;
    return static_cast<std::uint16_t>(std::clamp(exponent + 128, 0, 254));
  }

  void round_sub_blocks(std::span<const float> weight, BlockGrid& grid) const {
    std::array<float, BlockGrid::max_sub_blocks> wished{}, equal{};
    const std::size_t n = block_size() / sub_block_size();
    equal.fill(1.0f);
    if (weight.empty()) weight = std::span(equal).first(n);
    const bool offsets = has_offset();
    for (std::size_t s = 0; s < n; ++s) wished[s] = offsets ? std::max(grid.scale[s], 0.0f) : grid.scale[s];
    round_to_super(format_, std::span(wished).first(n), weight, 0, grid);
    if (!offsets) return;
    for (std::size_t s = 0; s < n; ++s) wished[s] = std::max(-grid.offset[s], 0.0f);
    round_to_super(format_, std::span(wished).first(n), weight, 1, grid);
  }

  BlockFormat format_;
};

template <std::size_t... I> std::array<Codec, sizeof...(I)> make_codecs(std::index_sequence<I...>) {
  return {Codec(block_formats[I])...};
}

} // namespace

const BlockCodec& codec(BlockFormat format) noexcept {
  static const auto codecs = make_codecs(std::make_index_sequence<block_formats.size()>());
  return codecs[static_cast<std::size_t>(format)];
}

namespace detail {

void fit_block(BlockFormat format, BlockSearch search, std::span<const float> w, std::span<const float> importance,
               BlockGrid& grid) {
  static constexpr auto ones = [] {
    std::array<float, longest_block> all{};
    for (float& x : all) x = 1;
    return all;
  }();
  const bool weighted = std::any_of(importance.begin(), importance.end(), [](float h) { return h > 0; });
  if (!weighted) importance = std::span(ones).first(w.size());
  if (one_scale(format)) {
    grid = {};
    grid.super[0] = format == BlockFormat::mxfp4 ? best_exponent(w, importance, levels_of(format))
                                                 : best_scale(w, importance, levels_of(format)).scale.bits;
    return expand_scales(format, grid);
  }
  available_lane_searches().back()(format, w, importance, effort_of(format, search), grid);
}

void nearest_codes(BlockFormat format, const BlockGrid& grid, std::span<const float> w, std::uint8_t* codes) noexcept {
  const auto levels = levels_of(format);
  const auto n = static_cast<std::size_t>(block_layout(format).sub_block_size);
  const bool even = levels[1] - levels[0] == levels.back() - levels[levels.size() - 2] && levels[1] - levels[0] == 1;
  for (std::size_t s = 0; s * n < w.size(); ++s) {
    const float scale = grid.scale[s], inverse = scale != 0 ? 1.0f / scale : 0.0f;
    // The inverse of the smallest scales overflows: weights beside them are too small to be anything but zero.
    const float usable = std::isfinite(inverse) ? inverse : 0.0f;
    if (even)
      even_codes(w.data() + s * n, n, grid.offset[s], usable, levels.front(), levels.back(), codes + s * n);
    else
      uneven_codes(w.data() + s * n, n, usable, middles_of(levels).data(), codes + s * n);
  }
}

} // namespace detail

} // namespace mcomp::inline v0::quant
