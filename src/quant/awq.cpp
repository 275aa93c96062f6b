#include "mcomp/quant/awq.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mcomp/core/format.hpp"
#include "quant/clip_options.hpp"
#include "quant/output_error.hpp"
#include "quant/scheme_codes.hpp"
#include "quant/weight_matrix.hpp"

namespace mcomp::inline v0::quant {

namespace {

/// All weights of one input, one below the other.
struct Stack {
  std::vector<float> values; ///< [rows, columns]
  std::int64_t rows = 0, columns = 0;
};

struct Search {
  const Stack& w;
  const float* h; ///< [columns, columns]
  const detail::SchemeValues& values;
  const Scheme& scheme;
  Executor& executor;

  [[nodiscard]] Stack scaled(const std::vector<float>& s) const {
    Stack result = w;
    for (std::int64_t r = 0; r < w.rows; ++r)
      for (std::int64_t c = 0; c < w.columns; ++c)
        result.values[static_cast<std::size_t>(r * w.columns + c)] *= s[static_cast<std::size_t>(c)];
    return result;
  }

  /// Rounds to nearest with the grids of `codes`.
  void round(const Stack& x, detail::BlockCodes& codes) const {
    const detail::NearestLevel nearest(values.levels());
    for (std::int64_t r = 0; r < x.rows; ++r)
      for (std::int64_t c = 0; c < x.columns; ++c) {
        const BlockGrid& grid = codes.grid(r, c / codes.block_size);
        codes.row_codes(r)[c] =
            nearest((x.values[static_cast<std::size_t>(r * x.columns + c)] - grid.offset[0]) / grid.scale[0]);
      }
  }

  /// tr(E H E^T) of e = (w s - q) / s.
  [[nodiscard]] double error(const Stack& x, const std::vector<float>& s, const detail::BlockCodes& codes) const {
    std::vector<float> e(x.values.size());
    for (std::int64_t r = 0; r < x.rows; ++r)
      for (std::int64_t c = 0; c < x.columns; ++c) {
        const auto i = static_cast<std::size_t>(r * x.columns + c);
        const BlockGrid& grid = codes.grid(r, c / codes.block_size);
        e[i] = (x.values[i] - block_value(grid.scale[0], values.levels()[codes.row_codes(r)[c]], grid.offset[0])) /
               s[static_cast<std::size_t>(c)];
      }
    return detail::quadratic_form(e.data(), x.rows, x.columns, h, executor);
  }

  /// The range of each group with the least e H_gg e^T, e of that group alone.
  void clip(const Stack& x, const std::vector<float>& s, const AwqOptions& options, detail::BlockCodes& codes) const {
    executor.run(static_cast<std::size_t>(x.rows), [&](std::size_t task) {
      const auto r = static_cast<std::int64_t>(task);
      const detail::NearestLevel nearest(values.levels());
      std::vector<float> e;
      for (std::int64_t b = 0; b < codes.blocks(); ++b) {
        const std::int64_t first = b * codes.block_size, n = codes.size(b);
        const float* group = x.values.data() + r * x.columns + first;
        Range range;
        for (std::int64_t i = 0; i < n; ++i) range = {std::min(range.min, group[i]), std::max(range.max, group[i])};
        double least = std::numeric_limits<double>::infinity();
        for (int step = 0; step < options.clip_steps; ++step) {
          const double share =
              options.clip_steps == 1 ? 1 : 1 - (1 - options.lowest_clip) * step / (options.clip_steps - 1);
          const Parameters p =
              *parameters_for({static_cast<float>(share) * range.min, static_cast<float>(share) * range.max},
                              scheme.dtype, scheme.symmetric);
          const BlockGrid grid = values.grid(p.scale, p.zero_point);
          e.clear();
          for (std::int64_t i = 0; i < n; ++i) {
            const std::uint8_t code = nearest((group[i] - grid.offset[0]) / grid.scale[0]);
            e.push_back((group[i] - block_value(grid.scale[0], values.levels()[code], grid.offset[0])) /
                        s[static_cast<std::size_t>(first + i)]);
          }
          if (const double now = quadratic(e, first); now < least) least = now, codes.grid(r, b) = grid;
        }
      }
    });
    round(x, codes);
  }

 private:
  [[nodiscard]] double quadratic(const std::vector<float>& e, std::int64_t first) const {
    double sum = 0;
    for (std::size_t i = 0; i < e.size(); ++i) {
      const float* row = h + (first + static_cast<std::int64_t>(i)) * w.columns + first;
      double dot = 0;
      for (std::size_t j = 0; j < e.size(); ++j) dot += static_cast<double>(row[j]) * static_cast<double>(e[j]);
      sum += dot * static_cast<double>(e[i]);
    }
    return sum;
  }
};

/// rms^alpha, normalized so that the largest and smallest live scale are reciprocal, as powers of two.
std::vector<float> scales_of(const std::vector<double>& diagonal, double alpha) {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const double d : diagonal)
    if (d > 0) low = std::min(low, d), high = std::max(high, d);
  std::vector<float> s(diagonal.size(), 1.0f);
  for (std::size_t i = 0; i < s.size(); ++i)
    if (diagonal[i] > 0) {
      const double wish = alpha * 0.5 * (std::log2(diagonal[i]) - 0.5 * (std::log2(low) + std::log2(high)));
      s[i] = static_cast<float>(std::exp2(std::clamp(std::nearbyint(wish), -30.0, 30.0)));
    }
  return s;
}

/// Divides weights by a power of two where scaled columns and squares of errors might leave f32 otherwise.
float bring_within_range(std::vector<float>& values) {
  constexpr int usual = 10; // weights below 2^11 stay as they are
  float most = 0;
  for (const float x : values) most = std::max(most, std::abs(x));
  if (!(most > 0) || std::ilogb(most) <= usual) return 1;
  const float unit = std::ldexp(1.0f, std::ilogb(most) - usual);
  for (float& x : values) x /= unit;
  return unit;
}

Status check_options(const std::vector<TensorView>& weights, const AwqOptions& o) {
  MCOMP_CHECK(check(o.scheme));
  MCOMP_CHECK(detail::check_clip({.lowest = o.lowest_clip, .steps = o.clip_steps}));
  if (weights.empty() || o.steps < 0 || o.steps > 1000 || detail::shares_rows(o.scheme))
    return Error(ErrorCode::invalid_argument, "AWQ options",
                 fmt::format("{} weights, {} steps, scales {}", weights.size(), o.steps, o.scheme.granularity),
                 "pass at least one weight, 0 to 1000 steps, and scales per channel or per group");
  return {};
}

} // namespace

Result<AwqResult> awq(const std::vector<TensorView>& weights, const stats::Gram& gram, const AwqOptions& options,
                      const Context& context) {
  MCOMP_CHECK(check_options(weights, options));
  Stack w;
  w.columns = gram.features();
  for (const TensorView& weight : weights) {
    MCOMP_TRY(matrix, detail::weight_matrix(weight));
    if (weight.rank() != 2 || matrix.columns != w.columns)
      return Error(ErrorCode::invalid_shape, "weight",
                   fmt::format("shape {} for {} features", weight.shape(), w.columns),
                   "pass [out, in] weights of layers that take the same input");
    w.values.insert(w.values.end(), matrix.data, matrix.data + matrix.rows * matrix.columns);
    w.rows += matrix.rows;
  }
  const float unit = bring_within_range(w.values);
  MCOMP_TRY(h, detail::hessian(gram, w.columns, context));
  const auto* moments = static_cast<const float*>(h.data());
  const std::int64_t block = detail::block_columns(options.scheme, w.columns);
  const detail::SchemeValues full(options.scheme, block, {.lowest = 1, .steps = 1, .refit = false});
  const Search search{w, moments, full, options.scheme, context.executor_or_serial()};
  const double signal = detail::quadratic_form(w.values.data(), w.rows, w.columns, moments, search.executor);
  const double per_signal = signal > 0 ? 1 / signal : 0;

  AwqReport report;
  std::vector<float> best;
  detail::BlockCodes codes(w.rows, w.columns, full);
  double least = std::numeric_limits<double>::infinity();
  for (int step = 0; step <= options.steps; ++step) {
    MCOMP_CHECK(context.check("AWQ"));
    context.report("AWQ", step, options.steps + 1);
    const double alpha = options.steps == 0 ? 0 : static_cast<double>(step) / options.steps;
    const std::vector<float> s = scales_of(gram.diagonal(), alpha);
    const Stack x = search.scaled(s);
    detail::fit_scales(x.values.data(), {}, options.scheme, full, codes, search.executor);
    search.round(x, codes);
    const double now = search.error(x, s, codes);
    if (step == 0) report.error_before = now * per_signal;
    if (step == 0 || now < least) least = now, best = s, report.alpha = alpha, report.error_scaled = now * per_signal;
  }
  const Stack x = search.scaled(best);
  search.clip(x, best, options, codes);
  report.error_after = search.error(x, best, codes) * per_signal;

  AwqResult result{.tensors = {}, .scales = *Tensor::from(best, {w.columns}), .report = report};
  std::int64_t row = 0;
  for (const TensorView& weight : weights) {
    detail::BlockCodes part(weight.size(0), w.columns, full);
    for (std::int64_t r = 0; r < part.rows; ++r, ++row) {
      std::copy_n(codes.row_codes(row), w.columns, part.row_codes(r));
      for (std::int64_t b = 0; b < codes.blocks(); ++b) {
        part.grid(r, b) = codes.grid(row, b);
        part.grid(r, b).scale[0] *= unit;
        part.grid(r, b).offset[0] *= unit;
      }
    }
    result.tensors.push_back(detail::to_quantized(part, options.scheme, full, weight.shape()));
  }
  return result;
}

} // namespace mcomp::inline v0::quant
