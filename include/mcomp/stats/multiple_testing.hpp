#pragma once

// Many metrics on many slices are many tests, and some fail by chance. What may still be concluded: no false alarm at
// all with probability 1 - alpha (Bonferroni, Holm), or few among those raised (Benjamini-Hochberg and what holds
// under any dependence: Benjamini-Yekutieli, e-BH).
//
//     auto adjusted = mcomp::stats::adjust_p_values(p_values, mcomp::stats::Correction::holm).value();
//     bool alarm = adjusted[slice] <= 0.05;
//
// Results stand in the order of the arguments; ties get equal results.

#include <span>
#include <vector>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::stats {

enum class Correction {
  bonferroni,         ///< family-wise error, any dependence
  holm,               ///< the same, never less powerful (Scandinavian Journal of Statistics 6, 1979): the default
  benjamini_hochberg, ///< false discovery rate, for independent or positively dependent tests (JRSS B 57, 1995)
  benjamini_yekutieli ///< false discovery rate under any dependence (Annals of Statistics 29, 2001)
};

/// Adjusted p-values: a hypothesis is rejected at level alpha where its adjusted p-value is at most alpha. None for
/// none. Cost: sorting. Error: invalid_value for a p-value outside [0, 1] or NaN.
[[nodiscard]] MCOMP_API Result<std::vector<double>> adjust_p_values(std::span<const double> p_values,
                                                                    Correction correction = Correction::holm);

/// The base e-BH procedure (Wang and Ramdas, JRSS B 84, 2022): false discovery rate under any dependence, for e-values,
/// also of tests stopped at any time. Rejects the k largest for the largest k with e_(k) >= n / (alpha k).
/// Returns for each whether it is rejected. Errors: invalid_value for a negative e-value or NaN, invalid_argument for
/// an alpha outside (0, 1).
[[nodiscard]] MCOMP_API Result<std::vector<bool>> e_benjamini_hochberg(std::span<const double> e_values,
                                                                       double alpha = 0.05);
/// The least alpha at which e-BH rejects each hypothesis, at most 1. Error: invalid_value as above.
[[nodiscard]] MCOMP_API Result<std::vector<double>> adjust_e_values(std::span<const double> e_values);

/// One e-value from many for the hypothesis that all null hypotheses hold (Vovk and Wang, Annals of Statistics 49,
/// 2021). The mean is right under any dependence; the product only for independent e-values, or such that each is an
/// e-value given those before it. 1 for none. Errors: invalid_value as above.
[[nodiscard]] MCOMP_API Result<double> mean_e_value(std::span<const double> e_values);
[[nodiscard]] MCOMP_API Result<double> product_e_value(std::span<const double> e_values);
/// A weighted mean: weights are not negative and add up to 1 (within 1e-9). Error beside those above: invalid_argument
/// for such weights, invalid_shape for another number of them.
[[nodiscard]] MCOMP_API Result<double> mean_e_value(std::span<const double> e_values, std::span<const double> weights);

/// A p-value from an e-value, min(1, 1 / e); NaN for what is no e-value.
[[nodiscard]] MCOMP_API double p_value_of_e_value(double e_value) noexcept;
/// An e-value from a p-value: kappa p^(kappa - 1), kappa within (0, 1) (Shafer et al., Statistical Science 26, 2011).
/// NaN for what is no p-value.
[[nodiscard]] MCOMP_API double e_value_of_p_value(double p_value, double kappa = 0.5) noexcept;

} // namespace mcomp::inline v0::stats
