#pragma once

#include <vector>

#include "mcomp/quant/clip.hpp"
#include "quant/block_codec.hpp"

namespace mcomp::inline v0::quant::detail {

/// The values of an integer scheme. A block is whatever shares one scale: a group, or the row of a channel. Code number
/// i is `code_range().lowest + i`. A grid keeps the zero point, from the lowest code, in `super[0]`.
class SchemeValues final : public BlockValues {
 public:
  SchemeValues(const Scheme& scheme, std::int64_t block_size, const ClipOptions& clip = {});

  [[nodiscard]] std::size_t block_size() const noexcept override { return block_size_; }
  [[nodiscard]] std::size_t sub_block_size() const noexcept override { return block_size_; }
  [[nodiscard]] std::span<const float> levels() const noexcept override { return levels_; }
  [[nodiscard]] bool has_offset() const noexcept override { return !scheme_.symmetric; }
  /// Takes any number of weights.
  void fit(std::span<const float> w, std::span<const float> importance, BlockGrid& grid) const override;
  void round_scales(std::span<const float> weight, BlockGrid& grid) const override;

  [[nodiscard]] CodeRange range() const noexcept { return range_; }
  [[nodiscard]] std::int32_t zero_point(const BlockGrid& grid) const noexcept;
  /// The grid of stored parameters.
  [[nodiscard]] BlockGrid grid(float scale, std::int32_t zero_point) const noexcept;

 private:
  [[nodiscard]] BlockGrid fit_symmetric(std::span<const float> w, std::span<const float> importance, Range range) const;
  [[nodiscard]] BlockGrid fit_affine(std::span<const float> w, std::span<const float> importance, Range range) const;
  [[nodiscard]] double error(std::span<const float> w, std::span<const float> importance, const BlockGrid& grid) const;
  /// Least squares with the codes that are nearest now. False where nothing changed.
  [[nodiscard]] bool refit(std::span<const float> w, std::span<const float> importance, BlockGrid& grid) const;

  Scheme scheme_;
  std::size_t block_size_;
  ClipOptions clip_;
  CodeRange range_;
  std::int32_t middle_ = 0; ///< zero point of symmetric schemes
  std::vector<float> levels_;
};

} // namespace mcomp::inline v0::quant::detail
