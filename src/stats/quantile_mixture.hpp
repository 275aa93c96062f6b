#pragma once

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/stats/uniform_boundary.hpp"
#include "stats/root.hpp"

namespace mcomp::inline v0::stats::detail {

/// The evidence against "x is the quantile p" in the share of observations at or below x.
struct QuantileMixture {
  double probability;
  BetaBinomialMixture mixture;

  [[nodiscard]] static Result<QuantileMixture> create(double p, double planned, double alpha) {
    if (!(planned > 0 && std::isfinite(planned)))
      return Error(ErrorCode::invalid_argument, "planned_count", "it must be positive and finite",
                   "pass how many observations are expected");
    MCOMP_TRY(mixture,
              BetaBinomialMixture::create({.variance = planned * p * (1 - p), .alpha = alpha}, p, 1 - p, false));
    return QuantileMixture{p, mixture};
  }
};

/// The same for one stream of n observations.
class ArmEvidence {
 public:
  ArmEvidence(const QuantileMixture& mixture, double n) : mixture_(mixture), n_(n) {
    favourite_ = find_minimum([this](double share) { return at(share); }, 0, 1, 1e-9);
  }
  /// The share of observations that speaks least against the quantile; near p.
  [[nodiscard]] double favourite() const { return favourite_; }
  /// The least evidence where between `below` and `up_to` observations lie at or below x.
  [[nodiscard]] double operator()(double below, double up_to) const {
    return at(std::clamp(favourite_, below / n_, up_to / n_));
  }

 private:
  [[nodiscard]] double at(double share) const {
    const double p = mixture_.probability;
    return mixture_.mixture.log_mixture((share - p) * n_, p * (1 - p) * n_);
  }
  QuantileMixture mixture_;
  double n_, favourite_;
};

} // namespace mcomp::inline v0::stats::detail
