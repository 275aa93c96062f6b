#include "quant/codebook_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mcomp/quant/scheme.hpp"

namespace mcomp::inline v0::quant::detail {

CodebookValues::CodebookValues(std::span<const float> levels, std::int64_t group_size, DType scale_dtype)
    : levels_(levels.begin(), levels.end()), nearest_(levels_), group_size_(static_cast<std::size_t>(group_size)),
      scale_dtype_(scale_dtype) {
  mirrored_ = true;
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    farthest_ = std::max(farthest_, std::abs(levels_[i]));
    mirrored_ = mirrored_ && levels_[i] == -levels_[levels_.size() - 1 - i];
  }
}

BlockGrid CodebookValues::grid(double scale) const noexcept {
  BlockGrid result;
  result.offset.fill(-0.0f);
  result.scale[0] = static_cast<float>(scale);
  round_scales({}, result);
  return result;
}

double CodebookValues::error(std::span<const float> w, std::span<const float> importance, float scale) const {
  double sum = 0;
  const float inverse = 1 / scale;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double d = static_cast<double>(w[i] - scale * levels_[nearest_(w[i] * inverse)]);
    sum += (importance.empty() ? 1 : static_cast<double>(importance[i])) * d * d;
  }
  return sum;
}

double CodebookValues::refit(std::span<const float> w, std::span<const float> importance, float scale) const {
  double numerator = 0, denominator = 0;
  const float inverse = 1 / scale;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double level = static_cast<double>(levels_[nearest_(w[i] * inverse)]),
                 h = importance.empty() ? 1 : static_cast<double>(importance[i]);
    numerator += h * level * static_cast<double>(w[i]);
    denominator += h * level * level;
  }
  return denominator > 0 ? numerator / denominator : 0;
}

void CodebookValues::fit(std::span<const float> w, std::span<const float> importance, BlockGrid& result) const {
  if (std::all_of(importance.begin(), importance.end(), [](float h) { return h == 0; })) importance = {};
  float largest = 0;
  for (const float x : w) largest = std::max(largest, std::abs(x));
  result = BlockGrid{};
  result.offset.fill(-0.0f);
  if (largest == 0) return; // a scale of zero: tables need not hold a zero
  constexpr int steps = 26;
  const double full = static_cast<double>(largest) / static_cast<double>(farthest_);
  double least = std::numeric_limits<double>::infinity();
  result = grid(full); // stays where squares overflow
  const auto consider = [&](double scale) {
    if (scale == 0 || !std::isfinite(scale)) return false;
    const BlockGrid candidate = grid(scale);
    const double now = error(w, importance, candidate.scale[0]);
    if (!(now < least)) return false;
    least = now, result = candidate;
    return true;
  };
  for (int i = 0; i < steps; ++i) {
    const double share = 1.1 - 0.6 * i / (steps - 1);
    consider(full * share);
    if (!mirrored_) consider(-full * share);
  }
  constexpr int most_refits = 16;
  for (int i = 0; i < most_refits && consider(refit(w, importance, result.scale[0])); ++i) {
  }
}

void CodebookValues::round_scales(std::span<const float>, BlockGrid& grid) const {
  const float most = std::numeric_limits<float>::max() / farthest_;
  const float size = std::isfinite(grid.scale[0])
                         ? std::clamp(std::abs(grid.scale[0]), std::numeric_limits<float>::min(), most)
                         : std::numeric_limits<float>::min();
  const float stored = stored_scale(size, {.scale_dtype = scale_dtype_});
  grid.scale[0] = grid.scale[0] < 0 ? -stored : stored;
}

} // namespace mcomp::inline v0::quant::detail
