#include "mcomp/quant/adaround.hpp"

#include <cmath>
#include <numbers>

#include "core/matrix_product.hpp"
#include "mcomp/core/format.hpp"
#include "quant/clip_options.hpp"
#include "quant/output_error.hpp"
#include "quant/scheme_codes.hpp"
#include "quant/weight_matrix.hpp"

namespace mcomp::inline v0::quant {

namespace {

constexpr std::int64_t tile_rows = 32;
constexpr float zeta = 1.1f, gamma = -0.1f; // the stretch of the rectified sigmoid, equation 23

/// Rows that are optimized together, so that the gradient is one matrix product.
class Tile {
 public:
  Tile(const detail::WeightMatrix& w, const float* h, double unit, const detail::SchemeValues& values,
       const AdaRoundOptions& options, detail::BlockCodes& codes, std::int64_t first)
      : h_(h), options_(options), codes_(codes), first_(first), rows_(std::min(tile_rows, w.rows - first)),
        columns_(w.columns), last_code_(static_cast<float>(values.levels().size() - 1)) {
    const auto size = static_cast<std::size_t>(rows_ * columns_);
    for (auto* v : {&step_, &base_, &fraction_, &soft_, &first_moment_, &second_moment_, &error_, &gradient_})
      v->assign(size, 0.0f);
    importance_ = 1 / static_cast<float>(unit);
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < columns_; ++c) {
        const BlockGrid& grid = codes.grid(first + r, c / codes.block_size);
        const std::size_t i = index(r, c);
        step_[i] = grid.scale[0];
        // The weight in steps from the lowest level.
        const float x = (w.row(first + r)[c] - grid.offset[0]) / grid.scale[0] - values.levels().front();
        base_[i] = std::floor(std::min(std::max(x, 0.0f), last_code_));
        fraction_[i] = x - base_[i];
        const float inside = std::min(std::max(fraction_[i], 0.01f), 0.99f);
        soft_[i] = -std::log((zeta - gamma) / (inside - gamma) - 1); // h(V) is the fraction: no change at the start
      }
  }

  void run() {
    for (int step = 0; step < options_.steps; ++step) {
      measure();
      const double done = static_cast<double>(step) / options_.steps;
      const double after = (done - options_.warm_up) / (1 - options_.warm_up);
      const double beta = options_.last_beta + 0.5 * (options_.first_beta - options_.last_beta) *
                                                   (1 + std::cos(std::numbers::pi * std::max(after, 0.0)));
      update(step, after > 0 ? options_.regularization : 0, beta);
    }
    harden();
  }

  std::int64_t undecided = 0, turned = 0;

 private:
  [[nodiscard]] std::size_t index(std::int64_t r, std::int64_t c) const {
    return static_cast<std::size_t>(r * columns_ + c);
  }
  static float sigmoid(float v) { return 1 / (1 + std::exp(-v)); }
  static float rectified(float v) { return std::min(std::max(sigmoid(v) * (zeta - gamma) + gamma, 0.0f), 1.0f); }
  /// Where a decision leads: codes end at the highest.
  [[nodiscard]] float up(std::size_t i) const { return base_[i] < last_code_ ? 1.0f : 0.0f; }

  /// gradient = e H, e in real numbers.
  void measure() {
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < columns_; ++c) {
        const std::size_t i = index(r, c);
        error_[static_cast<std::size_t>(c * rows_ + r)] = step_[i] * (fraction_[i] - up(i) * rectified(soft_[i]));
      }
    std::fill(gradient_.begin(), gradient_.end(), 0.0f);
    mcomp::detail::add_product(
        {rows_, columns_, columns_, error_.data(), rows_, h_, columns_, gradient_.data(), columns_, 1});
  }

  void update(int step, double regularization, double beta) {
    const double b1 = 0.9, b2 = 0.999;
    const double rate = options_.learning_rate * std::sqrt(1 - std::pow(b2, step + 1)) / (1 - std::pow(b1, step + 1));
    for (std::size_t i = 0; i < soft_.size(); ++i) {
      const float s = sigmoid(soft_[i]), h = rectified(soft_[i]);
      const float slope = h > 0 && h < 1 ? s * (1 - s) * (zeta - gamma) : 0.0f;
      // The loss in units of this weight's squared step and the mean second moment.
      float g = up(i) == 0 ? 0 : -2 * gradient_[i] / step_[i] * importance_ * slope;
      if (regularization > 0 && slope > 0) {
        const double x = 2 * static_cast<double>(h) - 1;
        const double pull = -2 * beta * std::copysign(std::pow(std::abs(x), beta - 1), x); // of 1 - |2h - 1|^beta
        g += static_cast<float>(regularization * pull) * slope;
      }
      first_moment_[i] = static_cast<float>(b1) * first_moment_[i] + static_cast<float>(1 - b1) * g;
      second_moment_[i] = static_cast<float>(b2) * second_moment_[i] + static_cast<float>(1 - b2) * g * g;
      soft_[i] -= static_cast<float>(rate) * first_moment_[i] / (std::sqrt(second_moment_[i]) + 1e-8f);
    }
  }

  void harden() {
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < columns_; ++c) {
        const std::size_t i = index(r, c);
        const float h = rectified(soft_[i]);
        undecided += h > 0.01f && h < 0.99f;
        const bool rise = h >= 0.5f && up(i) > 0;
        turned += rise != (fraction_[i] >= 0.5f && up(i) > 0);
        codes_.row_codes(first_ + r)[c] = static_cast<std::uint8_t>(base_[i] + (rise ? 1.0f : 0.0f));
      }
  }

  const float* h_;
  const AdaRoundOptions& options_;
  detail::BlockCodes& codes_;
  std::int64_t first_, rows_, columns_;
  float last_code_, importance_ = 1;
  std::vector<float> step_, base_, fraction_; ///< scale, floor and rest of each weight
  std::vector<float> soft_, first_moment_, second_moment_, error_, gradient_;
};

Status check_options(const AdaRoundOptions& o) {
  MCOMP_CHECK(check(o.scheme));
  MCOMP_CHECK(detail::check_clip(o.clip));
  if (o.steps < 1 || !(o.learning_rate > 0) || !(o.regularization >= 0) || !(o.warm_up >= 0) || !(o.warm_up < 1) ||
      !(o.first_beta >= 1) || !(o.last_beta >= 1))
    return Error(ErrorCode::invalid_argument, "AdaRound options",
                 fmt::format("{} steps of {}, regularization {}, warm-up {}, beta {} to {}", o.steps, o.learning_rate,
                             o.regularization, o.warm_up, o.first_beta, o.last_beta),
                 "use at least one step, a positive rate, a warm-up in [0, 1) and exponents of at least 1");
  return {};
}

} // namespace

Result<AdaRoundResult> adaround(const TensorView& weight, const stats::Gram& gram, const AdaRoundOptions& options,
                                const Context& context) {
  MCOMP_CHECK(check_options(options));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  MCOMP_TRY(h, detail::hessian(gram, w.columns, context));
  const auto* moments = static_cast<const float*>(h.data());
  double unit = 0;
  for (std::int64_t i = 0; i < w.columns; ++i) unit += static_cast<double>(moments[i * w.columns + i]);
  unit = unit > 0 ? unit / static_cast<double>(w.columns) : 1;
  const detail::SchemeValues values(options.scheme, detail::block_columns(options.scheme, w.columns), options.clip);
  detail::BlockCodes codes(w.rows, w.columns, values);
  detail::fit_scales(w.data, {}, options.scheme, values, codes, context.executor_or_serial());
  const std::int64_t tiles = (w.rows + tile_rows - 1) / tile_rows;
  std::vector<std::int64_t> undecided(static_cast<std::size_t>(tiles)), turned(undecided);
  constexpr std::int64_t round = 16;
  for (std::int64_t done = 0; done < tiles; done += round) {
    MCOMP_CHECK(context.check("AdaRound"));
    context.report("AdaRound", done, tiles);
    context.executor_or_serial().run(static_cast<std::size_t>(std::min(round, tiles - done)), [&](std::size_t task) {
      const std::size_t tile = static_cast<std::size_t>(done) + task;
      Tile work(w, moments, unit, values, options, codes, static_cast<std::int64_t>(tile) * tile_rows);
      work.run();
      undecided[tile] = work.undecided, turned[tile] = work.turned;
    });
  }
  AdaRoundReport report;
  const auto error = [&](bool nearest) {
    std::vector<float> e(static_cast<std::size_t>(w.rows * w.columns));
    const detail::NearestLevel round_to(values.levels());
    for (std::int64_t r = 0; r < w.rows; ++r)
      for (std::int64_t c = 0; c < w.columns; ++c) {
        const BlockGrid& grid = codes.grid(r, c / codes.block_size);
        const float x = w.row(r)[c];
        const std::uint8_t code = nearest ? round_to((x - grid.offset[0]) / grid.scale[0]) : codes.row_codes(r)[c];
        e[static_cast<std::size_t>(r * w.columns + c)] =
            x - block_value(grid.scale[0], values.levels()[code], grid.offset[0]);
      }
    return detail::quadratic_form(e.data(), w.rows, w.columns, moments, context.executor_or_serial());
  };
  const double signal = detail::quadratic_form(w.data, w.rows, w.columns, moments, context.executor_or_serial());
  if (signal > 0) report.error_before = error(true) / signal, report.error_after = error(false) / signal;
  std::int64_t open = 0;
  for (std::size_t i = 0; i < undecided.size(); ++i) open += undecided[i], report.turned += turned[i];
  report.undecided = static_cast<double>(open) / static_cast<double>(w.rows * w.columns);
  return AdaRoundResult{detail::to_quantized(codes, options.scheme, values, weight.shape()), report};
}

} // namespace mcomp::inline v0::quant
