#include "quant/scale_sweep.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace mcomp::inline v0::quant::detail {

namespace {

/// A weight's code passes from one level to the next, away from zero, at `t`.
struct Step {
  float t;
  std::uint32_t at; ///< weight << 8 | level reached
};

constexpr std::size_t most_weights = 32, most_steps = most_weights * 128;

/// Points of one sign of t; left uninitialized, since blocks are many and small.
struct Workspace {
  std::size_t count;
  std::array<Step, most_steps> steps, sorted;
  std::array<std::uint32_t, most_steps + 1> first; ///< of each bucket
};

/// The points of one sign are spread evenly in t, so buckets in t leave each nearly sorted; the rest is insertion.
void sort_steps(Workspace& work, float t_max) {
  const std::size_t n = work.count;
  std::fill_n(work.first.begin(), n + 1, 0u);
  const float per_bucket = static_cast<float>(n) / t_max;
  const auto bucket = [&](const Step& s) { return std::min(static_cast<std::size_t>(s.t * per_bucket), n - 1); };
  for (std::size_t i = 0; i < n; ++i) ++work.first[bucket(work.steps[i]) + 1];
  for (std::size_t b = 1; b <= n; ++b) work.first[b] += work.first[b - 1];
  for (std::size_t i = 0; i < n; ++i) work.sorted[work.first[bucket(work.steps[i])]++] = work.steps[i];
  for (std::size_t i = 1; i < n; ++i) {
    const Step s = work.sorted[i];
    std::size_t j = i;
    for (; j > 0 && work.sorted[j - 1].t > s.t; --j) work.sorted[j] = work.sorted[j - 1];
    work.sorted[j] = s;
  }
}

double nearest_level(std::span<const float> levels, double x) {
  std::size_t low = 0, high = levels.size() - 1;
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (x < static_cast<double>(levels[middle]) ? high : low) = middle;
  }
  const auto a = static_cast<double>(levels[low]), b = static_cast<double>(levels[high]);
  return x - a < b - x ? a : b;
}

struct Sweep {
  std::span<const float> w{}, h{}, levels{};
  double total = 0; ///< A
  double best_change = 0;
  ScaleChoice best{};

  /// What levels cannot reach with scale 1 / t of the given sign: no assignment of codes has a smaller error.
  [[nodiscard]] double clipped(double scale) const {
    const double a = scale * static_cast<double>(levels.front()), b = scale * static_cast<double>(levels.back());
    const double low = std::min(a, b), high = std::max(a, b);
    double sum = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const auto x = static_cast<double>(w[i]);
      const double beyond = std::max({x - high, low - x, 0.0});
      sum += static_cast<double>(h[i]) * beyond * beyond;
    }
    return sum;
  }

  [[nodiscard]] double error_at(double scale) const {
    if (scale == 0) return total;
    double sum = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const auto x = static_cast<double>(w[i]);
      const double r = x - scale * nearest_level(levels, x / scale);
      sum += static_cast<double>(h[i]) * r * r;
    }
    return sum;
  }

  /// A first choice to prune by.
  void try_scale(double scale) {
    const half storable = to_finite_half(scale);
    const double error = error_at(static_cast<double>(to_float(storable)));
    if (error >= best.error) return;
    best_change = error - total;
    best = {storable, error};
  }

  /// Compares what a scale changes against the error of scale zero, which is exact also where the scales that can be
  /// stored reach only a trifle of the weights.
  void consider(double b, double c) {
    if (!(c > 0) || -b * b / c >= best_change) return;
    const half scale = to_finite_half(b / c);
    const auto s = static_cast<double>(to_float(scale));
    const double change = s * (s * c - 2 * b);
    if (change >= best_change) return;
    best_change = change;
    best = {scale, total + change};
  }

  /// The smallest scale, in magnitude, that does not clip too much; by bisection on its logarithm.
  [[nodiscard]] double smallest(double sign, double largest_weight) const {
    double good = largest_weight, bad = 0x1p-26;
    if (!(clipped(sign * good) < best.error)) return good;
    if (clipped(sign * bad) < best.error) return bad;
    while (good > bad * 1.001) {
      const double middle = std::sqrt(good * bad);
      (clipped(sign * middle) < best.error ? good : bad) = middle;
    }
    return bad;
  }

  void run(double sign, double largest_weight, Workspace& work) {
    const auto t_max = static_cast<float>(1.0 / smallest(sign, largest_weight));
    const std::size_t zero = nearest_to_zero();
    double b = 0, c = 0;
    work.count = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double x = sign * static_cast<double>(w[i]), hi = static_cast<double>(h[i]);
      const auto level = static_cast<double>(levels[zero]);
      b += hi * x * level;
      c += hi * level * level;
      if (x == 0 || hi == 0) continue;
      add_steps(i, x, zero, t_max, work);
    }
    consider(sign * b, c);
    if (work.count == 0) return;
    sort_steps(work, t_max);
    for (std::size_t n = 0; n < work.count; ++n) {
      const Step step = work.sorted[n];
      const std::size_t i = step.at >> 8, k = step.at & 0xffu;
      const double x = sign * static_cast<double>(w[i]), hi = static_cast<double>(h[i]);
      const auto to = static_cast<double>(levels[k]), from = static_cast<double>(levels[x > 0 ? k - 1 : k + 1]);
      b += hi * x * (to - from);
      c += hi * (to * to - from * from);
      consider(sign * b, c);
    }
  }

  void add_steps(std::size_t i, double x, std::size_t zero, float t_max, Workspace& work) const {
    const bool up = x > 0;
    for (std::size_t k = zero; up ? k + 1 < levels.size() : k > 0;) {
      const std::size_t next = up ? k + 1 : k - 1;
      const double middle = (static_cast<double>(levels[k]) + static_cast<double>(levels[next])) / 2;
      const auto t = static_cast<float>(middle / x);
      if (t > t_max) break;
      // A middle on the other side of zero belongs to no positive t.
      if (t >= 0) work.steps[work.count++] = {t, static_cast<std::uint32_t>(i << 8 | next)};
      k = next;
    }
  }

  /// The level whose range of nearest numbers holds zero: every code at t = 0.
  [[nodiscard]] std::size_t nearest_to_zero() const {
    std::size_t best_level = 0;
    for (std::size_t k = 1; k < levels.size(); ++k)
      if (std::abs(levels[k]) < std::abs(levels[best_level])) best_level = k;
    return best_level;
  }
};

float largest_magnitude(std::span<const float> w) {
  float largest = 0;
  for (const float x : w) largest = std::max(largest, std::abs(x));
  return largest;
}

} // namespace

half to_finite_half(double value) noexcept {
  return to_half(static_cast<float>(std::clamp(value, -65504.0, 65504.0)));
}

ScaleChoice best_scale(std::span<const float> w, std::span<const float> importance, std::span<const float> levels) {
  Sweep sweep{w, importance, levels};
  for (std::size_t i = 0; i < w.size(); ++i)
    sweep.total += static_cast<double>(importance[i]) * static_cast<double>(w[i]) * static_cast<double>(w[i]);
  sweep.best = {half{}, sweep.total};
  const auto largest = static_cast<double>(largest_magnitude(w));
  if (largest == 0) return sweep.best;
  for (const float end : {levels.front(), levels.back()})
    for (const double clip : {0.8, 1.0})
      if (end != 0)
        for (const double sign : {1.0, -1.0}) sweep.try_scale(sign * clip * largest / static_cast<double>(end));
  Workspace work;
  for (const double sign : {1.0, -1.0}) sweep.run(sign, largest, work);
  return sweep.best;
}

std::uint8_t best_exponent(std::span<const float> w, std::span<const float> importance, std::span<const float> levels) {
  Sweep sweep{w, importance, levels};
  const auto largest = static_cast<double>(largest_magnitude(w));
  if (largest == 0) return 0;
  // Scale of exponent byte e is 2^(e - 128). At twice the largest weight all codes are zero.
  const int top = std::clamp(std::ilogb(largest) + 2 + 128, 0, 254);
  int best = top;
  double least = sweep.error_at(std::ldexp(1.0, top - 128));
  for (int e = top - 1; e >= 0; --e) {
    const double scale = std::ldexp(1.0, e - 128);
    if (sweep.clipped(scale) >= least) break;
    const double error = sweep.error_at(scale);
    if (error < least) {
      least = error;
      best = e;
    }
  }
  return static_cast<std::uint8_t>(best);
}

} // namespace mcomp::inline v0::quant::detail
