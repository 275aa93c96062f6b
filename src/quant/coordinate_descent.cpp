#include "quant/coordinate_descent.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/matrix_product.hpp"
#include "quant/rounding.hpp"

namespace mcomp::inline v0::quant::detail {

namespace {

constexpr std::int64_t tile_rows = 64;
constexpr int lanes = 16;

MCOMP_ALWAYS_INLINE void add_scaled_body(const float* x, float factor, std::int64_t n, float* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}
MCOMP_DISPATCH(add_scaled, (const float* x, float factor, std::int64_t n, float* y), (x, factor, n, y))

/// sum x y and sum x over the same n, lane by lane.
MCOMP_ALWAYS_INLINE void dot_and_sum_body(const float* x, const float* y, std::int64_t n, double* dot, double* sum) {
  float d[lanes] = {}, s[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int j = 0; j < lanes; ++j) {
      d[j] += x[i + j] * y[i + j];
      s[j] += x[i + j];
    }
  for (; i < n; ++i) {
    d[0] += x[i] * y[i];
    s[0] += x[i];
  }
  double all_d = 0, all_s = 0;
  for (int j = 0; j < lanes; ++j) {
    all_d += static_cast<double>(d[j]);
    all_s += static_cast<double>(s[j]);
  }
  *dot = all_d;
  *sum = all_s;
}
MCOMP_DISPATCH(dot_and_sum, (const float* x, const float* y, std::int64_t n, double* dot, double* sum),
               (x, y, n, dot, sum))

/// What a step of code i would change beside a step `delta` of code j: the least over all i of s (s h_ii - 2 (g - delta
/// h_j)_i) for s = up_i and s = -down_i.
MCOMP_ALWAYS_INLINE void best_response_body(const float* g, const float* hj, float delta, const float* up,
                                            const float* down, const float* diagonal, std::int64_t n, float* least) {
  float low[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) {
      const float twice = 2 * (g[i + l] - delta * hj[i + l]), u = up[i + l], d = down[i + l], h = diagonal[i + l];
      const float rise = u * (u * h - twice), fall = d * (d * h + twice);
      const float best = rise < fall ? rise : fall;
      low[l] = best < low[l] ? best : low[l];
    }
  for (; i < n; ++i) {
    const float twice = 2 * (g[i] - delta * hj[i]);
    const float rise = up[i] * (up[i] * diagonal[i] - twice), fall = down[i] * (down[i] * diagonal[i] + twice);
    const float best = rise < fall ? rise : fall;
    low[0] = best < low[0] ? best : low[0];
  }
  for (int l = 1; l < lanes; ++l) low[0] = low[l] < low[0] ? low[l] : low[0];
  *least = low[0];
}
MCOMP_DISPATCH(best_response,
               (const float* g, const float* hj, float delta, const float* up, const float* down, const float* diagonal,
                std::int64_t n, float* least),
               (g, hj, delta, up, down, diagonal, n, least))

/// Small normal equations: scales and offsets of the sub-blocks of one block.
constexpr std::size_t most_unknowns = 2 * BlockGrid::max_sub_blocks;
struct Normal {
  std::size_t size = 0;
  std::array<double, most_unknowns * most_unknowns> a{};
  std::array<double, most_unknowns> b{};

  [[nodiscard]] double& at(std::size_t i, std::size_t j) { return a[i * most_unknowns + j]; }
  [[nodiscard]] double at(std::size_t i, std::size_t j) const { return a[i * most_unknowns + j]; }

  /// x with (A + ridge) x = b by Cholesky; the ridge keeps unknowns without influence at zero.
  [[nodiscard]] std::array<double, most_unknowns> solve() const {
    std::array<double, most_unknowns * most_unknowns> l{};
    std::array<double, most_unknowns> x{};
    double trace = 0;
    for (std::size_t i = 0; i < size; ++i) trace = std::max(trace, at(i, i));
    const auto low = [&](std::size_t i, std::size_t j) -> double& { return l[i * most_unknowns + j]; };
    for (std::size_t i = 0; i < size; ++i)
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = at(i, j) + (i == j ? 1e-9 * trace + 1e-300 : 0);
        for (std::size_t k = 0; k < j; ++k) sum -= low(i, k) * low(j, k);
        if (i == j && !(sum > 1e-12 * trace)) return {}; // nothing to gain from a singular block
        low(i, j) = i == j ? std::sqrt(sum) : sum / low(j, j);
      }
    for (std::size_t i = 0; i < size; ++i) {
      double sum = b[i];
      for (std::size_t k = 0; k < i; ++k) sum -= low(i, k) * x[k];
      x[i] = sum / low(i, i);
    }
    for (std::size_t i = size; i-- > 0;) {
      for (std::size_t k = i + 1; k < size; ++k) x[i] -= low(k, i) * x[k];
      x[i] /= low(i, i);
    }
    return x;
  }

  /// Change of the objective by a change x of the unknowns: x^T A x - 2 b x.
  [[nodiscard]] double change(const std::array<double, most_unknowns>& x) const {
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
      sum -= 2 * b[i] * x[i];
      for (std::size_t j = 0; j < size; ++j) sum += x[i] * at(i, j) * x[j];
    }
    return sum;
  }
};

struct RowReport {
  std::int64_t code_changes = 0, scale_changes = 0;
  int rounds = 0;
  bool converged = false;
};

/// One row: its values q, and g = e H that every step keeps up to date.
class Row {
 public:
  Row(const float* h, std::span<const float> largest, const BlockValues& values, const NearestLevel& nearest,
      const DescentOptions& options, BlockCodes& codes, std::int64_t row, std::span<float> gradient)
      : h_(h), largest_(largest), values_(values), nearest_(nearest), options_(options), codes_(codes), row_(row),
        code_(codes.row_codes(row)), gradient_(gradient), columns_(codes.columns),
        sub_block_(std::min<std::int64_t>(static_cast<std::int64_t>(values.sub_block_size()), codes.block_size)) {}

  RowReport run() {
    RowReport report;
    for (report.rounds = 1;; ++report.rounds) {
      bool moved = move_codes(report);
      if (options_.pairs) moved = move_pairs(report) || moved;
      const bool rescaled = options_.refit_scales && refit(report);
      report.converged = !moved && !rescaled;
      if (!rescaled || report.rounds == options_.rounds) break;
    }
    return report;
  }

 private:
  [[nodiscard]] const float* h(std::int64_t j) const { return h_ + j * columns_; }

  /// Cyclic sweeps. True where the last one still changed something.
  bool move_codes(RowReport& report) {
    for (int sweep = 0; sweep < options_.sweeps; ++sweep) {
      const std::int64_t before = report.code_changes;
      for (std::int64_t block = 0; block < codes_.blocks(); ++block) move_codes_of(block, report);
      if (report.code_changes == before) return false;
    }
    return true;
  }

  void move_codes_of(std::int64_t block, RowReport& report) {
    const BlockGrid& grid = codes_.grid(row_, block);
    const std::int64_t first = block * codes_.block_size, last = first + codes_.size(block);
    const auto levels = nearest_.levels();
    for (std::int64_t j = first; j < last; ++j) {
      const auto sub = static_cast<std::size_t>((j - first) / sub_block_);
      const float scale = grid.scale[sub], diagonal = h(j)[j], g = gradient_[static_cast<std::size_t>(j)];
      if (scale == 0 || !(diagonal > 0)) continue;
      const std::uint8_t code = code_[j], wish = nearest_(levels[code] + g / (diagonal * scale));
      if (wish == code) continue;
      const float step =
          block_value(scale, levels[wish], grid.offset[sub]) - block_value(scale, levels[code], grid.offset[sub]);
      if (!(step * step * diagonal - 2 * step * g < -1e-6f * std::abs(step * g))) continue;
      add_scaled(h(j), -step, columns_, gradient_.data());
      code_[j] = wish;
      ++report.code_changes;
    }
  }

  /// Steps of two codes. True where the last pass still changed something.
  bool move_pairs(RowReport& report) {
    for (int pass = 0; pass < options_.sweeps; ++pass) {
      const std::int64_t before = report.code_changes;
      read_steps();
      for (std::int64_t j = 0; j < columns_; ++j) {
        try_pair(j, up_[index(j)], report);
        try_pair(j, -down_[index(j)], report);
      }
      if (report.code_changes == before) return false;
      if (move_codes(report)) return true;
    }
    return true;
  }

  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  void read_steps() {
    for (auto* v : {&up_, &down_, &diagonal_}) v->assign(index(columns_), 0.0f);
    for (std::int64_t j = 0; j < columns_; ++j) {
      diagonal_[index(j)] = h(j)[j];
      read_step(j);
    }
    widest_ = std::max(*std::max_element(up_.begin(), up_.end()), *std::max_element(down_.begin(), down_.end()));
  }
  /// How far code j may rise and fall by one level; 0 at the ends.
  void read_step(std::int64_t j) {
    const auto levels = nearest_.levels();
    const float scale = codes_.grid(row_, j / codes_.block_size).scale[index(j % codes_.block_size / sub_block_)];
    const std::size_t code = code_[j];
    const float above = code + 1 < levels.size() ? levels[code + 1] - levels[code] : 0,
                below = code > 0 ? levels[code] - levels[code - 1] : 0;
    up_[index(j)] = std::abs(scale) * (scale > 0 ? above : below);
    down_[index(j)] = std::abs(scale) * (scale > 0 ? below : above);
  }

  /// Moves code j by `delta` to its neighbour, and another code in answer, where both together lower the sum.
  void try_pair(std::int64_t j, float delta, RowReport& report) {
    const float diagonal = diagonal_[index(j)];
    if (delta == 0 || !(diagonal > 0)) return;
    const float cost = delta * (delta * diagonal - 2 * gradient_[index(j)]);
    // Where no single step helps, an answer of d gains at most 2 d |delta h_ij|: most pairs of weakly correlated inputs
    // need no look.
    if (cost >= 2 * std::abs(delta) * widest_ * largest_[index(j)]) return;
    const float up = up_[index(j)], down = down_[index(j)];
    up_[index(j)] = down_[index(j)] = 0; // j answers itself by no step
    float least = 0;
    best_response(gradient_.data(), h(j), delta, up_.data(), down_.data(), diagonal_.data(), columns_, &least);
    if (cost + least < -1e-5f * (std::abs(cost) + std::abs(least))) {
      for (std::int64_t i = 0; i < columns_ && least < 0; ++i) {
        const float twice = 2 * (gradient_[index(i)] - delta * h(j)[i]), u = up_[index(i)], d = down_[index(i)];
        const float rise = u * (u * diagonal_[index(i)] - twice), fall = d * (d * diagonal_[index(i)] + twice);
        if (rise != least && fall != least) continue;
        step_code(i, rise == least ? u : -d);
        read_step(i);
        ++report.code_changes;
        break;
      }
      step_code(j, delta); // helps alone where an earlier pair has moved the optimum, and there is no answer
      read_step(j);
      ++report.code_changes;
      return;
    }
    up_[index(j)] = up;
    down_[index(j)] = down;
  }

  void step_code(std::int64_t j, float delta) {
    const float scale = codes_.grid(row_, j / codes_.block_size).scale[index(j % codes_.block_size / sub_block_)];
    code_[j] = static_cast<std::uint8_t>((delta > 0) == (scale > 0) ? code_[j] + 1 : code_[j] - 1);
    add_scaled(h(j), -delta, columns_, gradient_.data());
  }

  bool refit(RowReport& report) {
    const std::int64_t before = report.scale_changes;
    for (std::int64_t block = 0; block < codes_.blocks(); ++block) report.scale_changes += refit(block);
    return report.scale_changes != before;
  }

  /// Unknowns: changes of the scale of each sub-block, then of the offsets.
  void set_up(std::int64_t block, std::int64_t subs, Normal& normal) {
    const std::int64_t first = block * codes_.block_size, size = codes_.size(block);
    const auto levels = nearest_.levels();
    level_.resize(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i) level_[static_cast<std::size_t>(i)] = levels[code_[first + i]];
    const bool offsets = values_.has_offset();
    normal.size = static_cast<std::size_t>(subs * (offsets ? 2 : 1));
    for (std::int64_t i = 0; i < size; ++i) {
      const auto s = static_cast<std::size_t>(i / sub_block_), so = s + static_cast<std::size_t>(subs);
      const double level = static_cast<double>(level_[static_cast<std::size_t>(i)]),
                   g = static_cast<double>(gradient_[static_cast<std::size_t>(first + i)]);
      normal.b[s] += g * level;
      if (offsets) normal.b[so] += g;
      for (std::int64_t t = 0; t < subs; ++t) {
        const std::int64_t begin = t * sub_block_, n = std::min(sub_block_, size - begin);
        double with_level = 0, with_one = 0;
        dot_and_sum(h(first + i) + first + begin, level_.data() + begin, n, &with_level, &with_one);
        const auto at = static_cast<std::size_t>(t), ato = at + static_cast<std::size_t>(subs);
        normal.at(s, at) += level * with_level;
        if (!offsets) continue;
        normal.at(s, ato) += level * with_one;
        normal.at(so, at) += with_level;
        normal.at(so, ato) += with_one;
      }
    }
  }

  bool refit(std::int64_t block) {
    const std::int64_t subs = (codes_.size(block) + sub_block_ - 1) / sub_block_;
    const auto count = static_cast<std::size_t>(subs);
    Normal normal;
    set_up(block, subs, normal);
    const BlockGrid old = codes_.grid(row_, block);
    std::array<float, BlockGrid::max_sub_blocks> cost{};
    for (std::size_t s = 0; s < count; ++s) cost[s] = static_cast<float>(normal.at(s, s));
    BlockGrid best = old;
    double least = 0;
    const auto consider = [&](BlockGrid wish) {
      values_.round_scales(std::span<const float>(cost.data(), count), wish);
      std::array<double, most_unknowns> x{};
      for (std::size_t s = 0; s < count; ++s) {
        x[s] = static_cast<double>(wish.scale[s]) - static_cast<double>(old.scale[s]);
        if (normal.size > count)
          x[count + s] = static_cast<double>(wish.offset[s]) - static_cast<double>(old.offset[s]);
      }
      if (const double change = normal.change(x); change < least) least = change, best = wish;
      return wish;
    };
    const auto x = normal.solve();
    BlockGrid wish = old;
    for (std::size_t s = 0; s < count; ++s) {
      wish.scale[s] += static_cast<float>(x[s]);
      if (normal.size > count) wish.offset[s] += static_cast<float>(x[count + s]);
    }
    const BlockGrid rounded = consider(wish);
    if (normal.size == 2) { // an offset that is a multiple of the scale: the scale alone, with either zero point
      consider(scaled(normal, old, old));
      consider(scaled(normal, old, rounded));
    }
    double tolerance = 0;
    for (std::size_t s = 0; s < count; ++s)
      tolerance += std::abs(normal.b[s] * static_cast<double>(best.scale[s] - old.scale[s]));
    if (!(least < -1e-6 * tolerance) || least == 0) return false;
    apply(block, old, best);
    return true;
  }

  /// The grid with `ratio`'s offset per scale whose scale is best.
  [[nodiscard]] static BlockGrid scaled(const Normal& normal, const BlockGrid& old, const BlockGrid& ratio) {
    if (ratio.scale[0] == 0) return old;
    const double z = static_cast<double>(ratio.offset[0]) / static_cast<double>(ratio.scale[0]);
    // value change = s (level + z) - (old scale * level + old offset), minimized over s
    const double s0 = static_cast<double>(old.scale[0]), o0 = static_cast<double>(old.offset[0]);
    const double aa = normal.at(0, 0), ab = normal.at(0, 1), bb = normal.at(1, 1);
    const double curvature = aa + 2 * z * ab + z * z * bb;
    const double slope = normal.b[0] + z * normal.b[1] + s0 * (aa + z * ab) + o0 * (ab + z * bb);
    BlockGrid result = ratio;
    if (curvature > 0) result.scale[0] = static_cast<float>(slope / curvature);
    result.offset[0] = static_cast<float>(z * static_cast<double>(result.scale[0]));
    return result;
  }

  void apply(std::int64_t block, const BlockGrid& old, const BlockGrid& next) {
    const std::int64_t first = block * codes_.block_size, size = codes_.size(block);
    for (std::int64_t i = 0; i < size; ++i) {
      const auto s = static_cast<std::size_t>(i / sub_block_);
      const float level = level_[static_cast<std::size_t>(i)];
      const float step =
          block_value(next.scale[s], level, next.offset[s]) - block_value(old.scale[s], level, old.offset[s]);
      if (step != 0) add_scaled(h(first + i), -step, columns_, gradient_.data());
    }
    codes_.grid(row_, block) = next;
  }

  const float* h_;
  std::span<const float> largest_; ///< |h_ij| beside the diagonal, by column
  const BlockValues& values_;
  const NearestLevel& nearest_;
  const DescentOptions& options_;
  BlockCodes& codes_;
  std::int64_t row_;
  std::uint8_t* code_;
  std::span<float> gradient_;
  std::int64_t columns_, sub_block_;
  std::vector<float> level_;
  std::vector<float> up_, down_, diagonal_; ///< of each column
  float widest_ = 0;                        ///< the largest step of any column
};

/// The largest magnitude of each row of H beside the diagonal.
std::vector<float> largest_beside_diagonal(const float* h, std::int64_t n, Executor& executor) {
  std::vector<float> largest(static_cast<std::size_t>(n));
  executor.run(largest.size(), [&](std::size_t task) {
    const auto i = static_cast<std::int64_t>(task);
    const float* row = h + i * n;
    float most = 0;
    for (std::int64_t j = 0; j < n; ++j) most = j != i && std::abs(row[j]) > most ? std::abs(row[j]) : most;
    largest[task] = most;
  });
  return largest;
}

/// e of a row, to [column][stride].
void write_error(const float* weight, const BlockCodes& codes, const NearestLevel& nearest, std::int64_t sub_block,
                 std::int64_t row, float* error, std::int64_t stride) {
  for (std::int64_t c = 0; c < codes.columns; ++c) {
    const BlockGrid& grid = codes.grid(row, c / codes.block_size);
    const auto s = static_cast<std::size_t>(c % codes.block_size / sub_block);
    error[c * stride] = weight[row * codes.columns + c] -
                        block_value(grid.scale[s], nearest.levels()[codes.row_codes(row)[c]], grid.offset[s]);
  }
}

} // namespace

Result<DescentReport> descend(const float* weight, const float* h, const BlockValues& values,
                              const DescentOptions& options, BlockCodes& codes, const Context& context) {
  constexpr std::string_view stage = "coordinate descent";
  const NearestLevel nearest(values.levels());
  const std::int64_t n = codes.columns, tiles = (codes.rows + tile_rows - 1) / tile_rows;
  const std::int64_t sub_block =
      std::min<std::int64_t>(static_cast<std::int64_t>(values.sub_block_size()), codes.block_size);
  std::vector<DescentReport> parts(static_cast<std::size_t>(tiles));
  const std::vector<float> largest = largest_beside_diagonal(h, n, context.executor_or_serial());
  const auto work = [&](std::int64_t tile) {
    DescentReport& part = parts[static_cast<std::size_t>(tile)];
    const std::int64_t first = tile * tile_rows, rows = std::min(tile_rows, codes.rows - first);
    std::vector<float> error(static_cast<std::size_t>(n * rows)), gradient(error.size());
    const auto objective = [&] {
      double sum = 0;
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < n; ++c)
          sum += static_cast<double>(error[static_cast<std::size_t>(c * rows + r)]) *
                 static_cast<double>(gradient[static_cast<std::size_t>(r * n + c)]);
      return sum;
    };
    const auto write_errors = [&] {
      for (std::int64_t r = 0; r < rows; ++r)
        write_error(weight, codes, nearest, sub_block, first + r, error.data() + r, rows);
    };
    write_errors();
    mcomp::detail::add_product({rows, n, n, error.data(), rows, h, n, gradient.data(), n, 1});
    part.before = objective();
    for (std::int64_t r = 0; r < rows; ++r) {
      const RowReport row = Row(h, largest, values, nearest, options, codes, first + r,
                                {gradient.data() + r * n, static_cast<std::size_t>(n)})
                                .run();
      part.code_changes += row.code_changes;
      part.scale_changes += row.scale_changes;
      part.rounds = std::max(part.rounds, row.rounds);
      part.converged = part.converged && row.converged;
    }
    write_errors();
    part.after = objective();
  };
  constexpr std::int64_t round = 64;
  for (std::int64_t done = 0; done < tiles; done += round) {
    MCOMP_CHECK(context.check(stage));
    context.report(stage, done, tiles);
    context.executor_or_serial().run(static_cast<std::size_t>(std::min(round, tiles - done)),
                                     [&](std::size_t task) { work(done + static_cast<std::int64_t>(task)); });
  }
  context.report(stage, tiles, tiles);
  DescentReport report;
  for (const DescentReport& part : parts) {
    report.before += part.before;
    report.after += part.after;
    report.code_changes += part.code_changes;
    report.scale_changes += part.scale_changes;
    report.rounds = std::max(report.rounds, part.rounds);
    report.converged = report.converged && part.converged;
  }
  return report;
}

} // namespace mcomp::inline v0::quant::detail
