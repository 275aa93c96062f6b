#pragma once

// How far two distributions are apart: of counts in the same bins or categories, and of samples. Effects and tests
// stand apart, since with enough data every difference is "significant": a distance says how much, a p-value whether
// chance explains it.
//
//     double psi = stats::population_stability_index(reference_counts, current_counts).value();
//     auto ks = stats::kolmogorov_smirnov(reference, current).value();     // ks.distance, ks.p_value

#include <cstdint>
#include <span>

#include "mcomp/core/result.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::stats {

// Of counts or shares, any numbers >= 0, in the same bins: each side is divided by its sum. Errors of all:
// invalid_shape where they are not equally many; invalid_value for NaN, infinite or negative numbers, or a side whose
// sum is 0 or infinite. O(bins).

/// Sum of (q - p) ln(q / p). Shares below `floor` are raised to it (and not divided anew), so that an empty bin counts
/// as a large shift and not an infinite one. Rules of thumb: below 0.1 stable, above 0.2 another distribution. Error:
/// invalid_argument for a floor outside (0, 0.1].
[[nodiscard]] MCOMP_API Result<double> population_stability_index(std::span<const double> p, std::span<const double> q,
                                                                  double floor = 1e-4);
/// Sum of p ln(p / q), in nats: Kullback and Leibler's, infinite where q has an empty bin that p has not.
[[nodiscard]] MCOMP_API Result<double> kl_divergence(std::span<const double> p, std::span<const double> q);
/// Jensen and Shannon's divergence, in bits: within [0, 1], of p and q alike. Its root is a metric.
[[nodiscard]] MCOMP_API Result<double> jensen_shannon_divergence(std::span<const double> p, std::span<const double> q);
[[nodiscard]] MCOMP_API Result<double> jensen_shannon_distance(std::span<const double> p, std::span<const double> q);
/// sqrt(1 - sum sqrt(p q)), within [0, 1].
[[nodiscard]] MCOMP_API Result<double> hellinger_distance(std::span<const double> p, std::span<const double> q);
/// Half of the sum of |p - q|: the greatest difference in the probability of any event.
[[nodiscard]] MCOMP_API Result<double> total_variation_distance(std::span<const double> p, std::span<const double> q);
/// The greatest |p - q| of a bin.
[[nodiscard]] MCOMP_API Result<double> largest_share_difference(std::span<const double> p, std::span<const double> q);

struct ShiftTest {
  double distance = 0; ///< the statistic
  double degrees_of_freedom = 0;
  double p_value = 1;

  friend bool operator==(const ShiftTest&, const ShiftTest&) = default;
};

/// Pearson's test of counts against expected ones (scaled to the same sum). Chi-squared with bins - 1 degrees of
/// freedom, which is good where few are expected below 5. Bins where none is expected must be empty, and do not count.
/// Errors: as above; invalid_value where a count lies in a bin in which none is expected; insufficient_data for one
/// bin.
[[nodiscard]] MCOMP_API Result<ShiftTest> chi_squared_fit(std::span<const double> observed,
                                                          std::span<const double> expected);
/// The same with the likelihood ratio, 2 sum of O ln(O / E).
[[nodiscard]] MCOMP_API Result<ShiftTest> g_fit(std::span<const double> observed, std::span<const double> expected);
/// Pearson's test that two rows of counts come from one distribution, neither of which is the truth: a 2 x k table.
/// Bins that are empty in both do not count.
[[nodiscard]] MCOMP_API Result<ShiftTest> chi_squared_two_samples(std::span<const double> a, std::span<const double> b);

// Of samples. Errors: insufficient_data for an empty one, invalid_value for NaN or infinities.

/// The greatest difference of the two empirical distribution functions, and its p-value: by counting all lattice paths
/// (Hodges, Arkiv foer Matematik 3, 1958) where the sizes multiply to at most 10^6, else Kolmogorov's limit with
/// Stephens' correction. With ties it is conservative. O(n log n), and the counting.
[[nodiscard]] MCOMP_API Result<ShiftTest> kolmogorov_smirnov(std::span<const double> a, std::span<const double> b);

/// The area between the two distribution functions (Wasserstein-1, the earth mover's distance), in the unit of the
/// values: how far the mass must move on average. O(n log n).
[[nodiscard]] MCOMP_API Result<double> wasserstein_distance(std::span<const double> a, std::span<const double> b);

struct MmdOptions {
  double bandwidth = 0;            ///< sigma of exp(-d^2 / (2 sigma^2)); 0: the median distance of all pairs
  std::int64_t permutations = 200; ///< for the p-value, at most 10^5; 0 leaves it at 1
  std::uint64_t seed = 1;
};
struct MmdTest {
  double squared = 0; ///< unbiased estimate of MMD^2; may be a little below 0
  double bandwidth = 0;
  double p_value = 1; ///< (1 + permutations at least as large) / (1 + permutations)

  friend bool operator==(const MmdTest&, const MmdTest&) = default;
};

/// Maximum mean discrepancy of rows of features with a Gaussian kernel, its unbiased estimate and permutation test
/// (Gretton, Borgwardt, Rasch, Schoelkopf and Smola, JMLR 13, 2012, lemma 6): sees differences between features that no
/// single one shows. O((n + m)^2) time and memory,
/// and the square of the smaller sample for each permutation.
/// @param a, b [rows, features], f32 or f64, at least 2 rows each and together at most 4096
/// Errors: invalid_dtype, invalid_shape, insufficient_data, invalid_value, invalid_argument for the options.
[[nodiscard]] MCOMP_API Result<MmdTest> maximum_mean_discrepancy(const TensorView& a, const TensorView& b,
                                                                 const MmdOptions& options = {});

} // namespace mcomp::inline v0::stats
