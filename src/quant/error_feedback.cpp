#include "quant/error_feedback.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "core/matrix_product.hpp"
#include "core/try.hpp"
#include "quant/rounding.hpp"

namespace mcomp::inline v0::quant::detail {

namespace {

constexpr std::int64_t tile_rows = 256;  // rows that a task works on, side by side in registers
constexpr std::int64_t run_columns = 32; // columns whose errors are fed back one by one

/// One column of a tile of rows: x = w + s / r, its nearest value and the error e = w - value. `code` is the number of
/// the level; levels are `first + code / inverse_step`.
MCOMP_ALWAYS_INLINE void round_uniform_body(const float* w, const float* s, float inverse_r, std::int64_t n,
                                            const float* scale, const float* inverse, const float* offset, float first,
                                            float inverse_step, float step, float last, float* error,
                                            std::uint8_t* code) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float x = (w[i] + s[i] * inverse_r - offset[i]) * inverse[i];
    const float c = round_clamped((x - first) * inverse_step, 0.0f, last);
    error[i] = w[i] - (scale[i] * (first + c * step) + offset[i]);
    code[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(c));
  }
}
MCOMP_DISPATCH(round_uniform,
               (const float* w, const float* s, float inverse_r, std::int64_t n, const float* scale,
                const float* inverse, const float* offset, float first, float inverse_step, float step, float last,
                float* error, std::uint8_t* code),
               (w, s, inverse_r, n, scale, inverse, offset, first, inverse_step, step, last, error, code))

/// s[c] += r[c] * e for the columns after one, [columns][stride].
MCOMP_ALWAYS_INLINE void feed_body(const float* r, std::int64_t columns, const float* error, std::int64_t n, float* s,
                                   std::int64_t stride) {
  for (std::int64_t c = 0; c < columns; ++c)
    for (std::int64_t i = 0; i < n; ++i) s[c * stride + i] += r[c] * error[i];
}
MCOMP_DISPATCH(feed,
               (const float* r, std::int64_t columns, const float* error, std::int64_t n, float* s,
                std::int64_t stride),
               (r, columns, error, n, s, stride))

/// sum += (e r + s)^2 - damping e^2, lane by lane.
MCOMP_ALWAYS_INLINE void add_loss_body(const float* error, const float* s, float r, float damping, std::int64_t n,
                                       double* sum) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float out = error[i] * r + s[i];
    sum[i] += static_cast<double>(out * out - damping * error[i] * error[i]);
  }
}
MCOMP_DISPATCH(add_loss, (const float* error, const float* s, float r, float damping, std::int64_t n, double* sum),
               (error, s, r, damping, n, sum))

/// Consecutive positions that are handled together: parts of `Tile::run`.
struct Span {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const noexcept { return end - begin; }
};

/// The rows [first_row, first_row + rows) of the weight. Matrices are [column position][row], rows side by side.
class Tile {
 public:
  Tile(const float* weight, const HessianFactor& factor, const BlockValues& values, const NearestLevel& nearest,
       std::span<const float> importance, const FeedbackOptions& options, BlockCodes& codes, std::int64_t first_row)
      : weight_(weight), factor_(factor), values_(values), nearest_(nearest), importance_(importance),
        options_(options), codes_(codes), first_row_(first_row), rows_(std::min(tile_rows, codes.rows - first_row)),
        columns_(codes.columns),
        sub_block_(std::min<std::int64_t>(static_cast<std::int64_t>(values.sub_block_size()), codes.block_size)) {
    const auto area = static_cast<std::size_t>(columns_ * rows_);
    errors_ = std::make_unique_for_overwrite<float[]>(area);
    sub_blocks_ = codes.blocks() * ((codes.block_size + sub_block_ - 1) / sub_block_);
    for (auto* table : {&scale_, &inverse_, &offset_}) table->resize(static_cast<std::size_t>(sub_blocks_ * rows_));
    loss_.assign(static_cast<std::size_t>(rows_), 0.0);
    if (options.static_grids)
      for (std::int64_t b = 0; b < codes.blocks(); ++b) read_grids(b);
  }

  double run() {
    for (Span block{0, 0}; block.begin < columns_; block.begin = block.end) {
      block.end = std::min(columns_, block.begin + options_.block);
      if (!options_.static_grids) // blocks of the format stay whole
        for (block.end = block.begin; block.end < columns_ && block.size() < options_.block;)
          block.end += codes_.size(column(block.end) / codes_.block_size);
      run_block(block);
    }
    return std::accumulate(loss_.begin(), loss_.end(), 0.0);
  }

 private:
  [[nodiscard]] const float* r(std::int64_t i) const { return factor_.data() + i * columns_; }
  [[nodiscard]] std::int64_t column(std::int64_t position) const {
    return factor_.order[static_cast<std::size_t>(position)];
  }
  [[nodiscard]] float* error(std::int64_t position) const { return errors_.get() + position * rows_; }
  [[nodiscard]] float* sum(std::int64_t position) { return sums_.data() + (position - base_) * rows_; }
  [[nodiscard]] std::uint8_t* code(std::int64_t position) { return block_codes_.data() + (position - base_) * rows_; }
  [[nodiscard]] float* target(std::int64_t position) { return targets_.data() + (position - base_) * rows_; }

  void read_grids(std::int64_t block) {
    const std::int64_t per_block = sub_blocks_ / codes_.blocks();
    for (std::int64_t s = 0; s < per_block; ++s)
      for (std::int64_t i = 0; i < rows_; ++i) {
        const BlockGrid& grid = codes_.grid(first_row_ + i, block);
        const auto at = static_cast<std::size_t>((block * per_block + s) * rows_ + i);
        const float scale = grid.scale[static_cast<std::size_t>(s)];
        scale_[at] = scale;
        // That of a denormal scale may be infinite, and nothing times it no number.
        constexpr float most = std::numeric_limits<float>::max();
        inverse_[at] = scale == 0 ? 0 : std::clamp(1 / scale, -most, most);
        offset_[at] = grid.offset[static_cast<std::size_t>(s)];
      }
  }

  /// s of `to` += errors of `from` times R.
  void add_errors(Span from, Span to) {
    mcomp::detail::add_product({.rows = to.size(),
                                .columns = rows_,
                                .depth = from.size(),
                                .a = r(from.begin) + to.begin,
                                .a_stride = columns_,
                                .b = error(from.begin),
                                .b_stride = rows_,
                                .c = sum(to.begin),
                                .c_stride = rows_});
  }

  void run_block(Span block) {
    base_ = block.begin;
    sums_.assign(static_cast<std::size_t>(block.size() * rows_), 0.0f);
    targets_.resize(sums_.size());
    block_codes_.resize(sums_.size());
    by_rows(block,
            [&](std::int64_t p, std::int64_t i) { target(p)[i] = weight_[(first_row_ + i) * columns_ + column(p)]; });
    add_errors({0, block.begin}, block);
    if (options_.static_grids)
      run_columns_of(block);
    else
      run_units_of(block);
    by_rows(block, [&](std::int64_t p, std::int64_t i) { codes_.row_codes(first_row_ + i)[column(p)] = code(p)[i]; });
  }

  /// Calls `use` for all positions and rows, a few rows at a time: rows of the weight lie a power of two apart more
  /// often than not, where a cache holds few of them.
  template <class Use> void by_rows(Span block, const Use& use) {
    constexpr std::int64_t few = 8;
    for (std::int64_t first = 0; first < rows_; first += few)
      for (std::int64_t p = block.begin; p < block.end; ++p)
        for (std::int64_t i = first; i < std::min(rows_, first + few); ++i) use(p, i);
  }

  /// Blocks of the format one by one, each with a grid of its own.
  void run_units_of(Span block) {
    for (Span unit{block.begin, block.begin}; unit.begin < block.end; unit.begin = unit.end) {
      const std::int64_t index = column(unit.begin) / codes_.block_size;
      unit.end = unit.begin + codes_.size(index);
      add_errors({block.begin, unit.begin}, unit);
      fit(index, unit);
      run_columns_of(unit);
    }
  }

  void run_columns_of(Span unit) {
    for (Span part{unit.begin, unit.begin}; part.begin < unit.end; part.begin = part.end) {
      part.end = std::min(unit.end, part.begin + run_columns);
      add_errors({unit.begin, part.begin}, part);
      for (std::int64_t p = part.begin; p < part.end; ++p) {
        round_column(p);
        feed(r(p) + p + 1, part.end - p - 1, error(p), rows_, sum(p) + rows_, rows_);
      }
    }
  }

  void round_column(std::int64_t p) {
    const std::int64_t c = column(p), per_block = sub_blocks_ / codes_.blocks();
    const std::int64_t sub = c / codes_.block_size * per_block + c % codes_.block_size / sub_block_;
    const float *scale = scale_.data() + sub * rows_, *inverse = inverse_.data() + sub * rows_,
                *offset = offset_.data() + sub * rows_, *w = target(p), *s = sum(p);
    const float pivot = r(p)[p], inverse_pivot = 1 / pivot;
    std::uint8_t* codes = code(p);
    if (nearest_.uniform()) {
      round_uniform(w, s, inverse_pivot, rows_, scale, inverse, offset, nearest_.first(), nearest_.inverse_step(),
                    1 / nearest_.inverse_step(), static_cast<float>(nearest_.levels().size() - 1), error(p), codes);
    } else {
      for (std::int64_t i = 0; i < rows_; ++i) {
        codes[i] = nearest_((w[i] + s[i] * inverse_pivot - offset[i]) * inverse[i]);
        error(p)[i] = w[i] - block_value(scale[i], nearest_.levels()[codes[i]], offset[i]);
      }
    }
    add_loss(error(p), s, pivot, static_cast<float>(factor_.damping), rows_, loss_.data());
  }

  /// Fits the grids of a block on the real numbers that would compensate all errors before it: w - y with
  /// y R_UU = -s, which makes every term of the block zero.
  void fit(std::int64_t block, Span unit) {
    const std::int64_t n = unit.size();
    std::vector<float> y(static_cast<std::size_t>(n * rows_)), rest(sum(unit.begin), sum(unit.begin) + n * rows_);
    for (std::int64_t k = 0; k < n; ++k) {
      const float* row = r(unit.begin + k) + unit.begin;
      const float inverse = -1 / row[k];
      for (std::int64_t i = 0; i < rows_; ++i)
        y[static_cast<std::size_t>(k * rows_ + i)] = rest[static_cast<std::size_t>(k * rows_ + i)] * inverse;
      feed(row + k + 1, n - k - 1, y.data() + k * rows_, rows_, rest.data() + (k + 1) * rows_, rows_);
    }
    const std::int64_t first = block * codes_.block_size;
    std::vector<float> w(static_cast<std::size_t>(n));
    const std::span<const float> h =
        importance_.empty() ? importance_ : importance_.subspan(static_cast<std::size_t>(first), w.size());
    for (std::int64_t i = 0; i < rows_; ++i) {
      for (std::int64_t k = 0; k < n; ++k) {
        // Weights near the largest f32 cannot make up for anything.
        const float own = target(unit.begin + k)[i], wish = own - y[static_cast<std::size_t>(k * rows_ + i)];
        w[static_cast<std::size_t>(column(unit.begin + k) - first)] = std::isfinite(wish) ? wish : own;
      }
      values_.fit(w, h, codes_.grid(first_row_ + i, block));
    }
    read_grids(block);
  }

  const float* weight_;
  const HessianFactor& factor_;
  const BlockValues& values_;
  const NearestLevel& nearest_;
  std::span<const float> importance_;
  const FeedbackOptions& options_;
  BlockCodes& codes_;
  std::int64_t first_row_, rows_, columns_, sub_block_, sub_blocks_ = 0;
  std::unique_ptr<float[]> errors_;             ///< e of all columns done
  std::vector<float> scale_, inverse_, offset_; ///< [sub-block][row]
  std::vector<double> loss_;                    ///< by row
  std::int64_t base_ = 0;                       ///< first position of the block at work
  std::vector<float> sums_, targets_;           ///< sum of e_i R_ij, and the weights, of that block
  std::vector<std::uint8_t> block_codes_;       ///< of that block
};

} // namespace

Result<double> feed_back_errors(const float* weight, const HessianFactor& factor, const BlockValues& values,
                                std::span<const float> importance, const FeedbackOptions& options, BlockCodes& codes,
                                const Context& context) {
  constexpr std::string_view stage = "GPTQ";
  const NearestLevel nearest(values.levels());
  const std::int64_t tiles = (codes.rows + tile_rows - 1) / tile_rows;
  std::vector<double> loss(static_cast<std::size_t>(tiles));
  // In rounds, so that cancelling takes effect between them; enough tiles a round to keep many threads busy.
  constexpr std::int64_t round = 64;
  for (std::int64_t done = 0; done < tiles; done += round) {
    MCOMP_CHECK(context.check(stage));
    context.report(stage, done, tiles);
    const std::int64_t count = std::min(round, tiles - done);
    context.executor_or_serial().run(static_cast<std::size_t>(count), [&](std::size_t task) {
      const std::int64_t tile = done + static_cast<std::int64_t>(task);
      loss[static_cast<std::size_t>(tile)] =
          Tile(weight, factor, values, nearest, importance, options, codes, tile * tile_rows).run();
    });
  }
  context.report(stage, tiles, tiles);
  return std::accumulate(loss.begin(), loss.end(), 0.0);
}

std::vector<std::int32_t> column_order(std::span<const float> diagonal, std::int64_t block_size, bool act_order,
                                       bool whole_blocks) {
  const auto n = static_cast<std::int64_t>(diagonal.size());
  std::vector<std::int32_t> order(diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  if (!act_order) return order;
  const auto larger = [&](std::int32_t a, std::int32_t b) {
    return diagonal[static_cast<std::size_t>(a)] > diagonal[static_cast<std::size_t>(b)];
  };
  if (!whole_blocks) {
    std::stable_sort(order.begin(), order.end(), larger);
    return order;
  }
  std::vector<std::pair<double, std::int64_t>> blocks; // minus mean diagonal, first column
  for (std::int64_t first = 0; first < n; first += block_size) {
    const std::int64_t size = std::min(block_size, n - first);
    double sum = 0;
    for (std::int64_t i = first; i < first + size; ++i)
      sum -= static_cast<double>(diagonal[static_cast<std::size_t>(i)]);
    blocks.emplace_back(sum / static_cast<double>(size), first);
  }
  std::sort(blocks.begin(), blocks.end());
  order.clear();
  for (const auto& [mean, first] : blocks) {
    const auto at = static_cast<std::ptrdiff_t>(order.size());
    for (std::int64_t i = first; i < std::min(n, first + block_size); ++i)
      order.push_back(static_cast<std::int32_t>(i));
    std::stable_sort(order.begin() + at, order.end(), larger);
  }
  return order;
}

} // namespace mcomp::inline v0::quant::detail
