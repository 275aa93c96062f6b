#include "quant/scheme_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/rounding.hpp"

namespace mcomp::inline v0::quant::detail {

namespace {

constexpr int lanes = 16;

/// sum h (w - value)^2 of the nearest codes; lanes keep the order of additions the same for every instruction set.
MCOMP_ALWAYS_INLINE void squared_error_body(const float* w, const float* h, std::size_t n, float scale, float inverse,
                                            float offset, float low, float high, double* result) {
  double sum[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int j = 0; j < lanes; ++j) {
      const float x = w[i + static_cast<std::size_t>(j)];
      const float level = round_clamped((x - offset) * inverse, low, high);
      const float d = x - (scale * level + offset);
      sum[j] += static_cast<double>(h ? h[i + static_cast<std::size_t>(j)] * d * d : d * d);
    }
  for (; i < n; ++i) {
    const float level = round_clamped((w[i] - offset) * inverse, low, high);
    const float d = w[i] - (scale * level + offset);
    sum[0] += static_cast<double>(h ? h[i] * d * d : d * d);
  }
  for (int j = 1; j < lanes; ++j) sum[0] += sum[j];
  *result = sum[0];
}
MCOMP_DISPATCH(squared_error,
               (const float* w, const float* h, std::size_t n, float scale, float inverse, float offset, float low,
                float high, double* result),
               (w, h, n, scale, inverse, offset, low, high, result))

Range range_of(std::span<const float> w) {
  Range range;
  for (const float x : w) range = {std::min(range.min, x), std::max(range.max, x)};
  return range;
}

} // namespace

SchemeValues::SchemeValues(const Scheme& scheme, std::int64_t block_size, const ClipOptions& clip)
    : scheme_(scheme), block_size_(static_cast<std::size_t>(block_size)), clip_(clip), range_(*code_range(scheme)) {
  if (scheme.symmetric) { // the middle of the range without the lowest code
    const CodeRange narrow = *code_range(scheme.dtype, true);
    middle_ = (narrow.lowest + narrow.highest) / 2;
  }
  for (std::int32_t code = range_.lowest; code <= range_.highest; ++code)
    levels_.push_back(static_cast<float>(code - middle_));
}

std::int32_t SchemeValues::zero_point(const BlockGrid& grid) const noexcept {
  return scheme_.symmetric ? middle_ : range_.lowest + grid.super[0];
}

BlockGrid SchemeValues::grid(float scale, std::int32_t zero_point) const noexcept {
  BlockGrid result;
  scale = stored_scale(scale, scheme_);
  result.scale[0] = scale;
  if (scheme_.symmetric) return result;
  result.offset[0] = -static_cast<float>(zero_point) * scale;
  result.super[0] = static_cast<std::uint16_t>(zero_point - range_.lowest);
  return result;
}

double SchemeValues::error(std::span<const float> w, std::span<const float> importance, const BlockGrid& grid) const {
  double result = 0;
  squared_error(w.data(), importance.empty() ? nullptr : importance.data(), w.size(), grid.scale[0], 1 / grid.scale[0],
                grid.offset[0], levels_.front(), levels_.back(), &result);
  return result;
}

bool SchemeValues::refit(std::span<const float> w, std::span<const float> importance, BlockGrid& grid) const {
  double h_sum = 0, hl = 0, hll = 0, hw = 0, hwl = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double h = importance.empty() ? 1 : static_cast<double>(importance[i]), x = static_cast<double>(w[i]);
    const double level =
        static_cast<double>(round_clamped((w[i] - grid.offset[0]) / grid.scale[0], levels_.front(), levels_.back()));
    h_sum += h, hl += h * level, hll += h * level * level, hw += h * x, hwl += h * x * level;
  }
  BlockGrid next = grid;
  const double determinant = h_sum * hll - hl * hl;
  if (!scheme_.symmetric && determinant > 1e-9 * h_sum * hll) {
    next.scale[0] = static_cast<float>((h_sum * hwl - hl * hw) / determinant);
    next.offset[0] = static_cast<float>((hll * hw - hl * hwl) / determinant);
    round_scales({}, next);
  }
  // With the zero point decided, the scale alone.
  const double z = static_cast<double>(zero_point(next) - middle_);
  const double numerator = hwl - z * hw, denominator = hll - 2 * z * hl + z * z * h_sum;
  if (denominator > 0 && numerator > 0)
    next = this->grid(static_cast<float>(numerator / denominator), zero_point(next));
  round_scales({}, next);
  if (!(error(w, importance, next) < error(w, importance, grid))) return false;
  grid = next;
  return true;
}

BlockGrid SchemeValues::fit_symmetric(std::span<const float> w, std::span<const float> importance, Range range) const {
  const float full = parameters_for(range, scheme_.dtype, true)->scale;
  BlockGrid best = grid(full, middle_); // stays where squares overflow
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < clip_.steps; ++i) { // from the full range down: among equals the one that clips least
    const double share = clip_.steps == 1 ? 1 : 1 - (1 - clip_.lowest) * i / (clip_.steps - 1);
    const BlockGrid candidate = grid(
        std::max(static_cast<float>(static_cast<double>(full) * share), std::numeric_limits<float>::min()), middle_);
    if (const double e = error(w, importance, candidate); e < least) least = e, best = candidate;
  }
  return best;
}

BlockGrid SchemeValues::fit_affine(std::span<const float> w, std::span<const float> importance, Range range) const {
  const Parameters full = *parameters_for(range, scheme_.dtype, false);
  BlockGrid best = grid(full.scale, full.zero_point); // stays where squares overflow
  double least = std::numeric_limits<double>::infinity();
  const int steps = clip_.steps == 1 ? 1 : std::max(2, clip_.steps / 3);
  const auto share = [&](int i) {
    return steps == 1 ? 1.0f : static_cast<float>(1 - (1 - clip_.lowest) * i / (steps - 1));
  };
  for (int i = 0; i < (range.min < 0 ? steps : 1); ++i)
    for (int j = 0; j < (range.max > 0 ? steps : 1); ++j) {
      const Parameters p = *parameters_for({range.min * share(i), range.max * share(j)}, scheme_.dtype, false);
      const BlockGrid candidate = grid(p.scale, p.zero_point);
      if (const double e = error(w, importance, candidate); e < least) least = e, best = candidate;
    }
  return best;
}

void SchemeValues::fit(std::span<const float> w, std::span<const float> importance, BlockGrid& result) const {
  if (std::all_of(importance.begin(), importance.end(), [](float h) { return h == 0; })) importance = {};
  const Range range = range_of(w);
  if (range.min == 0 && range.max == 0) {
    result = grid(1, scheme_.symmetric ? middle_ : std::max(range_.lowest, 0));
    return;
  }
  result = scheme_.symmetric ? fit_symmetric(w, importance, range) : fit_affine(w, importance, range);
  constexpr int most_refits = 16;
  for (int i = 0; clip_.refit && i < most_refits && refit(w, importance, result); ++i) {
  }
}

void SchemeValues::round_scales(std::span<const float>, BlockGrid& grid) const {
  constexpr float least = std::numeric_limits<float>::min();
  const float reach = static_cast<float>(range_.highest - range_.lowest);
  const float most = std::numeric_limits<float>::max() / reach;
  float scale = std::isfinite(grid.scale[0]) ? std::abs(grid.scale[0]) : least;
  scale = stored_scale(std::clamp(scale, least, most), scheme_);
  std::int32_t zero = middle_;
  if (!scheme_.symmetric) {
    const double wish = -static_cast<double>(grid.offset[0]) / static_cast<double>(scale);
    zero =
        static_cast<std::int32_t>(std::clamp(std::isfinite(wish) ? std::nearbyint(wish) : 0.0,
                                             static_cast<double>(range_.lowest), static_cast<double>(range_.highest)));
  }
  grid = this->grid(scale, zero);
}

} // namespace mcomp::inline v0::quant::detail
