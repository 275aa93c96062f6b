#include "quant/scale_sweep.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace mcomp::inline v0::quant::detail {

namespace {

/// A weight's code passes from one level to the next, away from zero, at `t`.
struct Step {
  float t;
  std::uint16_t bucket;
  std::uint8_t weight, level; ///< level reached
};

constexpr std::size_t most_weights = 32, most_steps = most_weights * 128;

/// Points of one sign of t; left uninitialized, since blocks are many and small. The points of a weight are spread
/// evenly in t, so buckets in t leave them nearly sorted; the rest is insertion.
struct Workspace {
  std::size_t count, buckets;
  double per_t; ///< buckets
  std::array<Step, most_steps> steps, sorted;
  std::array<std::uint32_t, most_steps + 1> first; ///< of each bucket

  void start(std::size_t wanted, float t_max) {
    count = 0;
    buckets = std::min(wanted, most_steps);
    per_t = static_cast<double>(buckets) / static_cast<double>(t_max);
    std::fill_n(first.begin(), buckets + 1, 0u);
  }
  void add(float t, std::size_t weight, std::size_t level) {
    const std::size_t bucket = std::min(static_cast<std::size_t>(static_cast<double>(t) * per_t), buckets - 1);
    steps[count++] = {t, static_cast<std::uint16_t>(bucket), static_cast<std::uint8_t>(weight),
                      static_cast<std::uint8_t>(level)};
    ++first[bucket + 1];
  }
  void sort() {
    for (std::size_t b = 1; b <= buckets; ++b) first[b] += first[b - 1];
    for (std::size_t i = 0; i < count; ++i) sorted[first[steps[i].bucket]++] = steps[i];
    for (std::size_t i = 1; i < count; ++i) {
      const Step s = sorted[i];
      std::size_t j = i;
      for (; j > 0 && sorted[j - 1].t > s.t; --j) sorted[j] = sorted[j - 1];
      sorted[j] = s;
    }
  }
};

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
    if (!(b * b > -best_change * c)) return; // the parabola's lowest point is no better
    const half scale = to_finite_half(b / c);
    const auto s = static_cast<double>(to_float(scale));
    const double change = s * (s * c - 2 * b);
    if (change >= best_change) return;
    best_change = change;
    best = {scale, total + change};
  }

  /// The smallest scale, in magnitude, that does not clip too much, or a little less; by bisection on its logarithm.
  [[nodiscard]] double smallest(double sign, double largest_weight) const {
    // A third of the scale that clips nothing clips too much, as a rule.
    const double reach = static_cast<double>(std::max(-levels.front(), levels.back()));
    double good = largest_weight, bad = largest_weight / (3 * reach);
    while (bad > 0x1p-26 && clipped(sign * bad) < best.error) {
      good = bad;
      bad /= 4;
    }
    while (good > bad * 1.05) {
      const double middle = std::sqrt(good * bad);
      (clipped(sign * middle) < best.error ? good : bad) = middle;
    }
    return bad;
  }

  void run(double sign, double largest_weight, Workspace& work) {
    // Finite, also for weights whose scales no format stores: an infinite bound would have no buckets.
    const auto t_max = static_cast<float>(
        std::min(1.0 / smallest(sign, largest_weight), static_cast<double>(std::numeric_limits<float>::max())));
    const std::size_t zero = nearest_to_zero();
    const auto level = static_cast<double>(levels[zero]);
    std::array<double, most_weights> hx;
    double b = 0, c = 0;
    work.start(w.size() * levels.size() / 2, t_max);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double x = sign * static_cast<double>(w[i]), hi = static_cast<double>(h[i]);
      hx[i] = hi * x;
      b += hx[i] * level;
      c += hi * level * level;
      if (hx[i] != 0) add_steps(i, x, zero, t_max, work);
    }
    consider(sign * b, c);
    work.sort();
    for (std::size_t n = 0; n < work.count; ++n) {
      const Step step = work.sorted[n];
      const auto to = static_cast<double>(levels[step.level]);
      const auto from = static_cast<double>(levels[hx[step.weight] > 0 ? step.level - 1u : step.level + 1u]);
      b += hx[step.weight] * (to - from);
      c += static_cast<double>(h[step.weight]) * (to * to - from * from);
      consider(sign * b, c);
    }
  }

  void add_steps(std::size_t i, double x, std::size_t zero, float t_max, Workspace& work) const {
    const bool up = x > 0;
    const double inverse = 1 / x;
    for (std::size_t k = zero; up ? k + 1 < levels.size() : k > 0;) {
      const std::size_t next = up ? k + 1 : k - 1;
      const double middle = (static_cast<double>(levels[k]) + static_cast<double>(levels[next])) / 2;
      const auto t = static_cast<float>(middle * inverse);
      if (t > t_max) break;
      // A middle on the other side of zero belongs to no positive t.
      if (t >= 0) work.add(t, i, next);
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
  const double farthest = static_cast<double>(
      *std::max_element(w.begin(), w.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
  // Levels of codes of scales begin at zero.
  sweep.try_scale(farthest / static_cast<double>(levels.front() < 0 ? levels.front() : levels.back()));
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
