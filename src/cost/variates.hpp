#pragma once

#include <algorithm>
#include <cmath>

#include "mcomp/core/random.hpp"
#include "mcomp/stats/distributions.hpp"

namespace mcomp::inline v0::cost::detail {

/// Exponential with mean 1.
inline double exponential(Random& random) noexcept {
  return -std::log1p(-random.uniform());
}

/// Poisson counts: by products of uniforms for small means, else by transformed rejection (Hoermann, Insurance:
/// Mathematics and Economics 12, 1993, algorithm PTRS). A double, since means may be 10^15.
inline double poisson(double mean, Random& random) noexcept {
  if (mean <= 0) return 0;
  if (mean < 10) {
    const double limit = std::exp(-mean);
    double product = random.uniform();
    double count = 0;
    for (; product > limit; product *= random.uniform()) ++count;
    return count;
  }
  const double b = 0.931 + 2.53 * std::sqrt(mean), a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  const double log_mean = std::log(mean);
  for (;;) {
    const double u = random.uniform() - 0.5, v = random.uniform();
    const double us = 0.5 - std::abs(u);
    const double k = std::floor((2 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v) + std::log(inverse_alpha) - std::log(a / (us * us) + b) <=
        k * log_mean - mean - stats::log_gamma(k + 1))
      return k;
  }
}

} // namespace mcomp::inline v0::cost::detail
