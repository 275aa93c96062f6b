#pragma once

#include <algorithm>
#include <vector>

#include "quant/block_codec.hpp"

namespace mcomp::inline v0::quant::detail {

/// A weight [rows, columns] in the values of a format: a grid for each block of each row, and the number of a level for
/// each weight.
struct BlockCodes {
  std::int64_t rows = 0, columns = 0, block_size = 0;
  std::vector<BlockGrid> grids;    ///< [rows, blocks()]
  std::vector<std::uint8_t> codes; ///< [rows, columns]

  BlockCodes(std::int64_t all_rows, std::int64_t all_columns, const BlockValues& values)
      : rows(all_rows), columns(all_columns),
        block_size(std::min<std::int64_t>(static_cast<std::int64_t>(values.block_size()), all_columns)) {
    grids.resize(static_cast<std::size_t>(rows * blocks()));
    codes.resize(static_cast<std::size_t>(rows * columns));
  }

  [[nodiscard]] std::int64_t blocks() const noexcept { return (columns + block_size - 1) / block_size; }
  /// Columns of a block; the last may be shorter.
  [[nodiscard]] std::int64_t size(std::int64_t block) const noexcept {
    return std::min(block_size, columns - block * block_size);
  }
  [[nodiscard]] BlockGrid& grid(std::int64_t row, std::int64_t block) noexcept {
    return grids[static_cast<std::size_t>(row * blocks() + block)];
  }
  [[nodiscard]] const BlockGrid& grid(std::int64_t row, std::int64_t block) const noexcept {
    return grids[static_cast<std::size_t>(row * blocks() + block)];
  }
  [[nodiscard]] std::uint8_t* row_codes(std::int64_t row) noexcept { return codes.data() + row * columns; }
  [[nodiscard]] const std::uint8_t* row_codes(std::int64_t row) const noexcept { return codes.data() + row * columns; }
};

/// Finds the nearest level: by rounding where levels are equally far apart, else by bisection between their middles.
class NearestLevel {
 public:
  explicit NearestLevel(std::span<const float> levels) : levels_(levels) {
    const float step = levels.size() > 1 ? levels[1] - levels[0] : 1;
    uniform_ = step > 0;
    for (std::size_t i = 1; i < levels.size(); ++i) {
      uniform_ = uniform_ && levels[i] - levels[i - 1] == step;
      middles_.push_back(0.5f * (levels[i - 1] + levels[i]));
    }
    first_ = levels.front();
    inverse_step_ = uniform_ ? 1 / step : 0;
    last_ = static_cast<float>(levels.size() - 1);
  }

  [[nodiscard]] bool uniform() const noexcept { return uniform_; }
  [[nodiscard]] float first() const noexcept { return first_; }
  [[nodiscard]] float inverse_step() const noexcept { return inverse_step_; }
  [[nodiscard]] std::span<const float> levels() const noexcept { return levels_; }
  [[nodiscard]] std::span<const float> middles() const noexcept { return middles_; }

  /// @param x the weight on the scale of the levels: (w - offset) / scale
  [[nodiscard]] std::uint8_t operator()(float x) const noexcept {
    if (!uniform_)
      return static_cast<std::uint8_t>(std::upper_bound(middles_.begin(), middles_.end(), x) - middles_.begin());
    const float step = (x - first_) * inverse_step_;
    return static_cast<std::uint8_t>(step > 0 ? (step < last_ ? step + 0.5f : last_) : 0);
  }

 private:
  std::span<const float> levels_;
  std::vector<float> middles_;
  bool uniform_ = false;
  float first_ = 0, inverse_step_ = 0, last_ = 0;
};

} // namespace mcomp::inline v0::quant::detail
