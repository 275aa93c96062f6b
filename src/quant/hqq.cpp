#include "mcomp/quant/hqq.hpp"

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "quant/clip_options.hpp"
#include "quant/rounding.hpp"
#include "quant/scheme_codes.hpp"
#include "quant/weight_matrix.hpp"

namespace mcomp::inline v0::quant {

namespace {

/// One group of weights.
class Group {
 public:
  /// @param importance one a weight, or empty
  Group(std::span<const float> w, std::span<const float> importance, const Scheme& scheme,
        const detail::SchemeValues& values, const HqqOptions& options)
      : w_(w), importance_(importance), scheme_(scheme), values_(values), options_(options), levels_(w.size()),
        target_(w.size()) {}

  struct Outcome {
    BlockGrid grid;
    double before = 0, after = 0;
    int iterations = 0;
  };

  Outcome run() {
    Range range;
    for (const float x : w_) range = {std::min(range.min, x), std::max(range.max, x)};
    Outcome best;
    for (int start = 0; start < options_.starts; ++start) {
      const float share = 1 - 0.1f * static_cast<float>(start);
      const auto parameters = parameters_for({range.min * share, range.max * share}, scheme_.dtype, scheme_.symmetric);
      BlockGrid grid = values_.grid(parameters->scale, parameters->zero_point);
      double last = distance(grid), beta = options_.beta;
      if (start == 0) best = {grid, last, last, 0};
      if (last < best.after) best.after = last, best.grid = grid;
      for (int i = 1; i <= options_.iterations && best.after > 0; ++i, beta *= options_.kappa) {
        shrink(grid, beta);
        grid = fit(grid);
        best.iterations = std::max(best.iterations, i);
        const double now = distance(grid);
        if (!(now < last)) break;
        last = now;
        if (now < best.after) best.after = now, best.grid = grid;
      }
    }
    return best;
  }

 private:
  [[nodiscard]] float level(float x, const BlockGrid& grid) const {
    const auto levels = values_.levels();
    return detail::round_clamped((x - grid.offset[0]) / grid.scale[0], levels.front(), levels.back());
  }

  [[nodiscard]] double importance(std::size_t i) const {
    return importance_.empty() ? 1 : static_cast<double>(importance_[i]);
  }

  /// sum h |w - q|^judge
  [[nodiscard]] double distance(const BlockGrid& grid) const {
    double sum = 0;
    for (std::size_t i = 0; i < w_.size(); ++i) {
      const float q = block_value(grid.scale[0], level(w_[i], grid), grid.offset[0]);
      const double e = std::abs(static_cast<double>(w_[i]) - static_cast<double>(q));
      sum += importance(i) * (options_.judge == 2 ? e * e : options_.judge == 1 ? e : std::pow(e, options_.judge));
    }
    return sum;
  }

  /// The weights without the part of their errors that the lp norm tolerates: e -> sign(e) max(|e| - |e|^(p-1) / beta,
  /// 0).
  void shrink(const BlockGrid& grid, double beta) {
    for (std::size_t i = 0; i < w_.size(); ++i) {
      levels_[i] = level(w_[i], grid);
      const double error = static_cast<double>((w_[i] - grid.offset[0]) / grid.scale[0] - levels_[i]);
      const double size = std::abs(error);
      const double kept = size > 0 ? std::max(size - std::pow(size, options_.p - 1) / beta, 0.0) : 0;
      target_[i] = static_cast<double>(w_[i]) - std::copysign(kept, error) * static_cast<double>(grid.scale[0]);
    }
  }

  /// Scale and zero point that bring the codes nearest to the targets; of the whole zero points beside the real optimum
  /// the one with the smaller error.
  [[nodiscard]] BlockGrid fit(const BlockGrid& grid) const {
    double n = 0, l = 0, ll = 0, t = 0, tl = 0;
    for (std::size_t i = 0; i < w_.size(); ++i) {
      const double level = static_cast<double>(levels_[i]), h = importance(i);
      n += h, l += h * level, ll += h * level * level, t += h * target_[i], tl += h * target_[i] * level;
    }
    if (scheme_.symmetric) return scaled(grid, 0, tl, ll);
    const double determinant = n * ll - l * l;
    if (!(determinant > 1e-9 * n * ll)) return grid;
    const double scale = (n * tl - l * t) / determinant, offset = (ll * t - l * tl) / determinant;
    if (!(scale > 0)) return grid;
    BlockGrid best = grid;
    double least = distance(grid);
    for (const double z : {std::floor(-offset / scale), std::ceil(-offset / scale)}) {
      const BlockGrid candidate = scaled(grid, z, tl - z * t, ll - 2 * z * l + z * z * n);
      if (const double now = distance(candidate); now < least) least = now, best = candidate;
    }
    return best;
  }

  /// The grid of zero point `z` with the scale numerator / denominator.
  [[nodiscard]] BlockGrid scaled(const BlockGrid& grid, double z, double numerator, double denominator) const {
    if (!(denominator > 0) || !(numerator > 0)) return grid;
    BlockGrid wish = grid;
    wish.scale[0] = static_cast<float>(numerator / denominator);
    wish.offset[0] = static_cast<float>(-z * static_cast<double>(wish.scale[0]));
    values_.round_scales({}, wish);
    return wish;
  }

  std::span<const float> w_, importance_;
  const Scheme& scheme_;
  const detail::SchemeValues& values_;
  const HqqOptions& options_;
  std::vector<float> levels_;
  std::vector<double> target_;
};

} // namespace

Result<HqqResult> hqq(const TensorView& weight, const HqqOptions& options, const Context& context) {
  MCOMP_CHECK(check(options.scheme));
  if (detail::shares_rows(options.scheme))
    return Error(ErrorCode::invalid_argument, "HQQ options",
                 fmt::format("scales {} belong to several rows", options.scheme.granularity),
                 "use per_channel or per_group");
  if (!(options.p > 0) || options.p > 1 || !(options.beta > 0) || !(options.kappa >= 1) || options.iterations < 0 ||
      options.starts < 1 || options.starts > 10 || !(options.judge >= 1) || options.judge > 2)
    return Error(ErrorCode::invalid_argument, "HQQ options",
                 fmt::format("p {}, beta {}, kappa {}, {} iterations from {} starts, judged by the power {}", options.p,
                             options.beta, options.kappa, options.iterations, options.starts, options.judge),
                 "use p in (0, 1], a positive beta, kappa of at least 1, 0 or more iterations, 1 to 10 starts and a "
                 "power in [1, 2]");
  MCOMP_TRY(w, detail::weight_matrix(weight));
  MCOMP_TRY(importance, detail::check_importance(options.importance, w.columns));
  const detail::SchemeValues values(options.scheme, detail::block_columns(options.scheme, w.columns));
  detail::BlockCodes codes(w.rows, w.columns, values);
  const detail::NearestLevel nearest(values.levels());
  std::vector<HqqReport> reports(static_cast<std::size_t>(w.rows));
  context.executor_or_serial().run(reports.size(), [&](std::size_t task) {
    const auto r = static_cast<std::int64_t>(task);
    for (std::int64_t b = 0; b < codes.blocks(); ++b) {
      const std::int64_t first = b * codes.block_size, n = codes.size(b);
      const auto size = static_cast<std::size_t>(n);
      std::span<const float> own;
      if (!importance.empty()) own = std::span(importance).subspan(static_cast<std::size_t>(first), size);
      if (std::all_of(own.begin(), own.end(), [](float h) { return h == 0; })) own = {}; // as if they were equal
      const auto outcome = Group({w.row(r) + first, size}, own, options.scheme, values, options).run();
      codes.grid(r, b) = outcome.grid;
      for (std::int64_t c = first; c < first + n; ++c)
        codes.row_codes(r)[c] = nearest((w.row(r)[c] - outcome.grid.offset[0]) / outcome.grid.scale[0]);
      reports[task].error_before += outcome.before;
      reports[task].error_after += outcome.after;
      reports[task].iterations = std::max(reports[task].iterations, outcome.iterations);
    }
  });
  HqqReport report;
  for (const HqqReport& r : reports) {
    report.error_before += r.error_before;
    report.error_after += r.error_after;
    report.iterations = std::max(report.iterations, r.iterations);
  }
  return HqqResult{detail::to_quantized(codes, options.scheme, values, weight.shape()), report};
}

} // namespace mcomp::inline v0::quant
