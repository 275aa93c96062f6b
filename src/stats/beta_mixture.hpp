#pragma once

#include <algorithm>
#include <cmath>

#include "mcomp/stats/distributions.hpp"
#include "mcomp/stats/uniform_boundary.hpp"

namespace mcomp::inline v0::stats::detail {

/// The two-sided beta-binomial mixture against the success probability p, with a prior of mean p and as tight as is
/// best for `planned` trials. r = max(rho - p q, p q / 1000) with rho = p q planned / k: the prior is
/// Beta(c p, c q) with c = max(planned / k - 1, 1 / 1000).
struct CentredBetaMixture {
  double planned, alpha;

  [[nodiscard]] double concentration() const noexcept {
    return std::max(TwoSidedNormalMixture::best_rho(planned, alpha) - 1, 1e-3);
  }
  /// log of the mean likelihood ratio after s successes and f failures.
  [[nodiscard]] double log_mixture(double s, double f, double p) const noexcept {
    const double c = concentration(), a = c * p, b = c * (1 - p);
    return log_beta(a + s, b + f) - log_beta(a, b) - s * std::log(p) - f * std::log1p(-p);
  }
};

} // namespace mcomp::inline v0::stats::detail
