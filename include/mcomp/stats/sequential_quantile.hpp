#pragma once

// Quantiles, latencies above all, of two streams compared at any time: Howard and Ramdas, Sequential estimation of
// quantiles with applications to A/B testing and best-arm identification (Bernoulli 28, 2022).
//
//     auto test = mcomp::stats::quantile_ab_test(baseline_seconds, candidate_seconds, 0.99).value();
//     if (test.p_value < 0.05) ...              // at this look; for many looks feed an EProcess with test.e_value

#include <cstdint>
#include <span>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/interval.hpp"
#include "mcomp/stats/quantile.hpp"
#include "mcomp/stats/sketch.hpp"

namespace mcomp::inline v0::stats {

struct SequentialQuantileOptions {
  double level = 0.95;         ///< 1 - alpha; of `quantile_ab_test` only where it is sharpest
  double planned_count = 1000; ///< observations (of each stream) where the result is sharpest
};

/// Against "both streams have the same quantile", at this time.
struct SequentialQuantileTest {
  double e_value = 1;
  double p_value = 1; ///< min(1, 1 / e_value)

  friend bool operator==(const SequentialQuantileTest&, const SequentialQuantileTest&) = default;
};

/// The least evidence, over all values x, against x being the quantile of both: the product of two beta-binomial
/// mixtures of the observations at or below x. Valid at all times at once. Ties are allowed. Cost: sorting.
/// Errors: insufficient_data for an empty sample, invalid_value for NaN, invalid_argument for a probability or level
/// outside (0, 1), or a planned count that is not positive.
[[nodiscard]] MCOMP_API Result<SequentialQuantileTest> quantile_ab_test(std::span<const double> baseline,
                                                                        std::span<const double> candidate,
                                                                        double probability,
                                                                        const SequentialQuantileOptions& options = {});
/// The same for samples that are sorted already; invalid_value where they are not. Cost: linear.
[[nodiscard]] MCOMP_API Result<SequentialQuantileTest>
quantile_ab_test_sorted(std::span<const double> baseline, std::span<const double> candidate, double probability,
                        const SequentialQuantileOptions& options = {});

/// From sketches, for streams that are looked at after every observation: memory stays fixed and a look costs the
/// number of bins. A value is known only up to its bin, which can only take evidence away. Error beside those above:
/// invalid_argument for sketches with different options or joined bins.
[[nodiscard]] MCOMP_API Result<SequentialQuantileTest> quantile_ab_test(const QuantileSketch& baseline,
                                                                        const QuantileSketch& candidate,
                                                                        double probability,
                                                                        const SequentialQuantileOptions& options = {});

/// A quantile with limits that hold at all sample sizes at once, by the same mixture. Wider than `estimate_quantile` by
/// a factor of about 1.5 near the planned count. Errors as above.
[[nodiscard]] MCOMP_API Result<QuantileEstimate> sequential_quantile(std::span<const double> values, double probability,
                                                                     const SequentialQuantileOptions& options = {});

} // namespace mcomp::inline v0::stats
