#pragma once

#include <cmath>
#include <limits>
#include <utility>

namespace mcomp::inline v0::stats::detail {

/// A root of a continuous `f` between `a` and `b`, where it has opposite signs, by Chandrupatla's method (Advances in
/// Engineering Software 28, 1997): inverse quadratic interpolation where that is safe, else bisection.
/// @param tolerance how far the answer may be from a change of sign, beside a few units of the last place
template <class F> double find_root(const F& f, double a, double b, double tolerance = 0) {
  double fa = f(a), fb = f(b);
  if (fa == 0) return a;
  if (fb == 0) return b;
  double c = a, fc = fa, t = 0.5;
  for (int step = 0; step < 300; ++step) {
    const double x = a + t * (b - a), fx = f(x);
    if ((fx > 0) == (fa > 0)) {
      c = std::exchange(a, x);
      fc = std::exchange(fa, fx);
    } else {
      c = std::exchange(b, std::exchange(a, x));
      fc = std::exchange(fb, std::exchange(fa, fx));
    }
    const double best = std::abs(fa) < std::abs(fb) ? a : b;
    const double slack = 2 * std::numeric_limits<double>::epsilon() * std::abs(best) + 0.5 * tolerance;
    const double least = slack / std::abs(b - a);
    if (least > 0.5 || fa == 0) return best;
    const double xi = (a - b) / (c - b), phi = (fa - fb) / (fc - fb);
    const bool interpolate = phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi;
    t = interpolate ? fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb) : 0.5;
    t = t < least ? least : t > 1 - least ? 1 - least : t;
  }
  return std::abs(fa) < std::abs(fb) ? a : b;
}

/// Where a function that first falls and then rises is least within [a, b], by golden section.
template <class F> double find_minimum(const F& f, double a, double b, double tolerance) {
  constexpr double golden = 0.6180339887498949;
  double x = b - golden * (b - a), y = a + golden * (b - a), fx = f(x), fy = f(y);
  for (int step = 0; step < 200 && b - a > tolerance; ++step) {
    if (fx <= fy) {
      b = std::exchange(y, x);
      fy = std::exchange(fx, f(x = a + (1 - golden) * (b - a)));
    } else {
      a = std::exchange(x, y);
      fx = std::exchange(fy, f(y = a + golden * (b - a)));
    }
  }
  return 0.5 * (a + b);
}

} // namespace mcomp::inline v0::stats::detail
