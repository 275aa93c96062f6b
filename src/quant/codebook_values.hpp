#pragma once

#include <vector>

#include "mcomp/quant/codebook.hpp"
#include "quant/block_codec.hpp"
#include "quant/block_codes.hpp"

namespace mcomp::inline v0::quant::detail {

/// A table of levels times one scale for each group of consecutive weights.
class CodebookValues final : public BlockValues {
 public:
  CodebookValues(std::span<const float> levels, std::int64_t group_size, DType scale_dtype);

  [[nodiscard]] std::size_t block_size() const noexcept override { return group_size_; }
  [[nodiscard]] std::size_t sub_block_size() const noexcept override { return group_size_; }
  [[nodiscard]] std::span<const float> levels() const noexcept override { return levels_; }
  [[nodiscard]] bool has_offset() const noexcept override { return false; }
  /// Takes any number of weights.
  void fit(std::span<const float> w, std::span<const float> importance, BlockGrid& grid) const override;
  void round_scales(std::span<const float> weight, BlockGrid& grid) const override;

 private:
  [[nodiscard]] BlockGrid grid(double scale) const noexcept;
  [[nodiscard]] double error(std::span<const float> w, std::span<const float> importance, float scale) const;
  /// Least squares with the levels that are nearest now.
  [[nodiscard]] double refit(std::span<const float> w, std::span<const float> importance, float scale) const;

  std::vector<float> levels_;
  NearestLevel nearest_;
  std::size_t group_size_;
  DType scale_dtype_;
  float farthest_ = 0;    ///< largest magnitude of a level
  bool mirrored_ = false; ///< whether the negative of every level is one
};

/// The levels of a table, `nf4_values` where there are none. Error: invalid_argument.
[[nodiscard]] Result<std::vector<float>> checked_levels(const std::vector<float>& levels, std::int64_t group_size);
/// Codes and scales as a tensor.
[[nodiscard]] CodebookTensor to_codebook(const BlockCodes& codes, const CodebookValues& values, DType scale_dtype,
                                         const Shape& shape);

} // namespace mcomp::inline v0::quant::detail
