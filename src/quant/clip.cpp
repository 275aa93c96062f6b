#include "mcomp/quant/clip.hpp"

#include <cmath>

#include "mcomp/core/format.hpp"
#include "quant/clip_options.hpp"
#include "quant/scheme_codes.hpp"
#include "quant/weight_matrix.hpp"

namespace mcomp::inline v0::quant {

Status detail::check_clip(const ClipOptions& clip) {
  if (!(clip.lowest > 0) || clip.lowest > 1 || clip.steps < 1 || clip.steps > 4096)
    return Error(ErrorCode::invalid_argument, "clip options",
                 fmt::format("{} ranges from {} of the full one", clip.steps, clip.lowest),
                 "use a lowest share in (0, 1] and 1 to 4096 steps");
  return {};
}

Result<std::vector<float>> detail::check_importance(const std::vector<double>& importance, std::int64_t columns) {
  if (!importance.empty() && static_cast<std::int64_t>(importance.size()) != columns)
    return Error(ErrorCode::invalid_shape, "importance",
                 fmt::format("{} weights for {} columns", importance.size(), columns),
                 "pass one for each column of [out, the rest], or none");
  double most = 0;
  for (const double h : importance) {
    if (!(h >= 0) || !std::isfinite(h))
      return Error(ErrorCode::invalid_value, "importance", fmt::format("a weight of {}", h),
                   "pass finite weights of zero or more");
    most = std::max(most, h);
  }
  std::vector<float> result; // relative to the largest, so that f32 holds any
  for (const double h : importance) result.push_back(static_cast<float>(most > 0 ? h / most : 1));
  return result;
}

Result<ClippedTensor> quantize_clipped(const TensorView& weight, const Scheme& scheme, const ClippedOptions& options,
                                       const Context& context) {
  MCOMP_CHECK(check(scheme));
  MCOMP_CHECK(detail::check_clip(options.clip));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  MCOMP_TRY(importance, detail::check_importance(options.importance, w.columns));
  const detail::SchemeValues values(scheme, detail::block_columns(scheme, w.columns), options.clip);
  detail::BlockCodes codes(w.rows, w.columns, values);
  detail::fit_scales(w.data, importance, scheme, values, codes, context.executor_or_serial());
  const detail::NearestLevel nearest(values.levels());
  const auto levels = values.levels();
  ClipReport report;
  double signal = 0, noise = 0;
  std::int64_t clipped = 0;
  for (std::int64_t r = 0; r < w.rows; ++r)
    for (std::int64_t c = 0; c < w.columns; ++c) {
      const BlockGrid& grid = codes.grid(r, c / codes.block_size);
      const float x = w.row(r)[c], level = (x - grid.offset[0]) / grid.scale[0];
      const std::uint8_t code = nearest(level);
      codes.row_codes(r)[c] = code;
      const double h = importance.empty() ? 1 : static_cast<double>(importance[static_cast<std::size_t>(c)]);
      const double d = static_cast<double>(x - block_value(grid.scale[0], levels[code], grid.offset[0]));
      signal += h * static_cast<double>(x) * static_cast<double>(x);
      noise += h * d * d;
      clipped += level < levels.front() - 0.5f || level > levels.back() + 0.5f;
    }
  report.weight_error = signal > 0 ? noise / signal : 0;
  report.clipped_share = static_cast<double>(clipped) / static_cast<double>(w.rows * w.columns);
  return ClippedTensor{detail::to_quantized(codes, scheme, values, weight.shape()), report};
}

} // namespace mcomp::inline v0::quant
