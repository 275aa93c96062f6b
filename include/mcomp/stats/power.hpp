#pragma once

// How many observations a comparison takes before it is started, and what a given number can show: fixed-sample tests
// by the normal approximation. Group sequential designs multiply the number by their `inflation`
// (stats/group_sequential.hpp).
//
//     auto pairs = mcomp::stats::sample_size_paired({.discordant = 0.04, .margin = 0.01}).value();   // 4% disagree, no
//     loss auto each  = mcomp::stats::sample_size_proportions(0.91, 0.90).value();                        // of two
//     separate arms
//
// Errors of all: invalid_argument for probabilities or levels outside (0, 1), deviations that are not positive and
// finite, an effect of zero or beyond the margin, counts below 2, and a sample size above 2^53.

#include <cstdint>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::stats {

struct ErrorRates {
  double alpha = 0.05;
  double power = 0.8;    ///< used by sample sizes only
  bool two_sided = true; ///< a two-sided test still counts only rejections in the direction of the effect
};

/// Mean of one sample, such as of paired differences: observations (pairs) to tell a mean of `difference` from 0.
[[nodiscard]] MCOMP_API Result<std::int64_t> sample_size_mean(double difference, double deviation,
                                                              const ErrorRates& rates = {});
[[nodiscard]] MCOMP_API Result<double> power_mean(std::int64_t observations, double difference, double deviation,
                                                  const ErrorRates& rates = {});

/// Means of two independent arms: observations of each.
[[nodiscard]] MCOMP_API Result<std::int64_t> sample_size_means(double difference, double deviation_a,
                                                               double deviation_b, const ErrorRates& rates = {});
[[nodiscard]] MCOMP_API Result<double> power_means(std::int64_t observations_each, double difference,
                                                   double deviation_a, double deviation_b,
                                                   const ErrorRates& rates = {});

/// Proportions of two independent arms by the test with the pooled variance: observations of each (Fleiss, Levin and
/// Paik, Statistical Methods for Rates and Proportions, 2003, eq. 4.14; R's power.prop.test).
[[nodiscard]] MCOMP_API Result<std::int64_t> sample_size_proportions(double p_a, double p_b,
                                                                     const ErrorRates& rates = {});
[[nodiscard]] MCOMP_API Result<double> power_proportions(std::int64_t observations_each, double p_a, double p_b,
                                                         const ErrorRates& rates = {});

/// Two models on the same inputs. With margin 0 McNemar's test (Connor, Biometrics 43, 1987) finds `loss`. With a
/// margin the one-sided test by Tango's score shows that the loss is below it (Nam, Biometrics 53, 1997); that needs
/// loss < margin.
struct PairedProportions {
  double discordant = 0; ///< fraction of inputs on which exactly one of both is right
  double loss = 0;       ///< true loss of accuracy, |loss| <= discordant
  double margin = 0;     ///< 0: test for any loss; else non-inferiority, one-sided whatever `two_sided` says
};
/// Pairs.
[[nodiscard]] MCOMP_API Result<std::int64_t> sample_size_paired(const PairedProportions& truth,
                                                                const ErrorRates& rates = {});
[[nodiscard]] MCOMP_API Result<double> power_paired(std::int64_t pairs, const PairedProportions& truth,
                                                    const ErrorRates& rates = {});

} // namespace mcomp::inline v0::stats
