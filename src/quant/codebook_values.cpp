#include "quant/codebook_values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/scheme.hpp"
#include "quant/importance.hpp"
#include "quant/weight_matrix.hpp"

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

Result<std::vector<float>> checked_levels(const std::vector<float>& levels, std::int64_t group_size) {
  if (group_size < 0)
    return Error(ErrorCode::invalid_argument, "group_size", fmt::format("{} weights", group_size),
                 "use 64, or 0 for whole rows");
  std::vector<float> table = levels;
  if (table.empty()) table.assign(nf4_values().begin(), nf4_values().end());
  bool good = table.size() >= 4 && table.size() <= 256 && std::has_single_bit(table.size());
  for (std::size_t i = 0; i < table.size(); ++i)
    good = good && std::isfinite(table[i]) && (i == 0 || table[i] > table[i - 1]);
  if (!good)
    return Error(ErrorCode::invalid_argument, "levels", fmt::format("{} values that are no table", table.size()),
                 "pass 4, 8, ... 256 finite numbers in ascending order");
  return table;
}

CodebookTensor to_codebook(const BlockCodes& codes, const CodebookValues& values, DType scale_dtype,
                           const Shape& shape) {
  const auto levels = values.levels();
  CodebookTensor q{std::countr_zero(levels.size()),
                   *Tensor::uninitialized(DType::uint8, shape),
                   *Tensor::from(levels, {1, static_cast<std::int64_t>(levels.size())}),
                   *Tensor::uninitialized(DType::f32, {codes.rows, codes.blocks()}),
                   codes.block_size,
                   scale_dtype};
  std::copy(codes.codes.begin(), codes.codes.end(), static_cast<std::uint8_t*>(q.codes.data()));
  auto scales = q.scales.mutable_values<float>();
  for (std::size_t i = 0; i < codes.grids.size(); ++i) scales[i] = codes.grids[i].scale[0];
  return q;
}

} // namespace mcomp::inline v0::quant::detail

namespace mcomp::inline v0::quant {

Result<CodebookTensor> quantize_levels(const TensorView& weight, const LevelsOptions& options, const Context& context) {
  MCOMP_TRY(levels, detail::checked_levels(options.levels, options.group_size));
  MCOMP_CHECK(check(Scheme{.scale_dtype = options.scale_dtype}));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  MCOMP_TRY(importance, detail::importance_values(options.importance, w.columns));
  const std::int64_t size = options.group_size > 0 ? std::min(options.group_size, w.columns) : w.columns;
  const detail::CodebookValues values(levels, size, options.scale_dtype);
  const detail::NearestLevel nearest(values.levels());
  detail::BlockCodes codes(w.rows, w.columns, values);
  context.executor_or_serial().run(static_cast<std::size_t>(w.rows), [&](std::size_t task) {
    const auto r = static_cast<std::int64_t>(task);
    for (std::int64_t b = 0; b < codes.blocks(); ++b) {
      const auto first = static_cast<std::size_t>(b * codes.block_size), n = static_cast<std::size_t>(codes.size(b));
      BlockGrid& grid = codes.grid(r, b);
      const std::span<const float> group(w.row(r) + first, n);
      values.fit(group, importance.empty() ? importance : importance.subspan(first, n), grid);
      const float inverse = grid.scale[0] == 0 ? 0 : 1 / grid.scale[0];
      for (std::size_t i = 0; i < n; ++i) codes.row_codes(r)[first + i] = nearest(group[i] * inverse);
    }
  });
  return detail::to_codebook(codes, values, options.scale_dtype, weight.shape());
}

} // namespace mcomp::inline v0::quant
