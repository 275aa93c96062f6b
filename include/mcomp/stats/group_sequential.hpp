#pragma once

// Rollouts in planned stages: a test with a few looks whose times are known as fractions of the information that the
// last look has (traffic, so to speak). It needs less information than a test that may be looked at always
// (stats/sequential_test.hpp), and tells before the start how much. Error spending after Lan and DeMets (Biometrika 70,
// 1983), boundaries by recursive quadrature after Armitage, McPherson and Rowe (JRSS A 132, 1969); see Jennison and
// Turnbull, Group Sequential Methods (2000).
//
//     auto design = mcomp::stats::design_group_sequential({.information = {0.25, 0.5, 1}, .power = 0.9}).value();
//     auto most = design.inflation * fixed_sample_size;        // stats/power.hpp
//     if (z > design.efficacy[0]) stop_for_success();          // at the first look
//
// All is on the scale of a statistic Z that is standard normal under the null hypothesis and has mean drift *
// sqrt(information) under an alternative; larger Z speaks against the null hypothesis.

#include <optional>
#include <string>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::stats {

enum class SpendingFamily {
  obrien_fleming,    ///< Lan and DeMets: 2 - 2 Phi(z_(1 - level / 2) / sqrt(t)); next to nothing at first
  pocock,            ///< Lan and DeMets: level log(1 + (e - 1) t)
  hwang_shih_decani, ///< level (1 - exp(-gamma t)) / (1 - exp(-gamma)); gamma 0 is linear, -4 near O'Brien-Fleming
  power,             ///< Kim and DeMets: level t^rho, rho > 0
};

/// How much of an error rate may be used up by information fraction t.
struct ErrorSpending {
  SpendingFamily family = SpendingFamily::obrien_fleming;
  double parameter = 0; ///< gamma or rho; the other families have none

  /// Of `level` by t; all of it from t = 1 on. NaN for a level outside (0, 1), negative t or a parameter without
  /// meaning.
  [[nodiscard]] MCOMP_API double spent(double t, double level) const noexcept;
  friend bool operator==(const ErrorSpending&, const ErrorSpending&) = default;
};

/// Boundaries that are not made by spending: constants for looks that are evenly spread.
enum class ClassicalBoundary {
  obrien_fleming, ///< C / sqrt(t)
  pocock,         ///< C
};

struct GroupSequentialOptions {
  double alpha = 0.025;                                  ///< of the one side, or of both together where `two_sided`
  bool two_sided = false;                                ///< symmetric boundaries
  double power = 0.9;                                    ///< against the drift that the design then states
  std::vector<double> information = {1. / 3, 2. / 3, 1}; ///< increasing fractions, the last is 1
  ErrorSpending alpha_spending{};
  std::optional<ClassicalBoundary> classical{}; ///< in place of `alpha_spending`
  std::optional<ErrorSpending> beta_spending{}; ///< stop for futility too; one-sided designs only
  bool binding_futility = false; ///< the futility boundary will be obeyed, so that it may lower the one for efficacy
};

/// A design and what it costs.
struct GroupSequentialDesign {
  double alpha = 0, power = 0;
  bool two_sided = false;
  std::vector<double> information{};
  std::vector<double> efficacy{}; ///< stop and reject where Z (two-sided: |Z|) is at least this; infinite where no look
  std::vector<double> futility{}; ///< stop and accept where Z is below this; empty without, the last equals efficacy
  std::vector<double> alpha_spent{}; ///< up to each look; of one side
  std::vector<double> beta_spent{};  ///< up to each look
  std::vector<double> power_by{};    ///< rejected by each look under the alternative
  double drift = 0;                  ///< mean of Z at the last look under the alternative that has `power`
  double fixed_information = 0;      ///< of a test without interim looks, for effect 1: (z_alpha + z_beta)^2
  double inflation = 0;              ///< information of the last look in units of the fixed one: drift^2 / fixed
  double expected_null = 0;          ///< mean information used, in units of the fixed one, without an effect
  double expected_alternative = 0;   ///< and under the alternative
};

/// "3 looks, alpha 0.025, power 0.9: reject at Z 3.71, 2.51, 1.99; inflation 1.013, expected 0.99 (null) 0.79"
[[nodiscard]] MCOMP_API std::string to_string(const GroupSequentialDesign& design);

/// Errors: invalid_argument for an alpha or power outside (0, 1) or with alpha >= power; information that is empty,
/// does not increase by at least 0.001 from look to look, has more than 100 looks or does not end at 1; classical
/// boundaries at uneven looks; futility in a two-sided design; a spending parameter that is not finite (power: not
/// positive); beta spending so fast that no drift has the power. Cost: milliseconds for a few looks, some 50 for
/// 20.
[[nodiscard]] MCOMP_API Result<GroupSequentialDesign> design_group_sequential(const GroupSequentialOptions& options);

/// What happens in a design where the mean of Z at the last look is `drift`.
struct GroupSequentialOutcome {
  std::vector<double> reject{};     ///< probability to stop at each look above the efficacy boundary
  std::vector<double> reject_low{}; ///< below its mirror image; zeros unless two-sided
  std::vector<double> accept{};     ///< below the futility boundary; at the last look everything that is not rejected
  double power = 0;                 ///< sum of `reject`
  double expected_information = 0;  ///< mean information used, as a fraction of the last look's
};
/// Futility boundaries count as obeyed. Error: invalid_argument for a drift that is not finite or a design whose
/// vectors do not fit together.
[[nodiscard]] MCOMP_API Result<GroupSequentialOutcome> evaluate_design(const GroupSequentialDesign& design,
                                                                       double drift);

/// The chance that |Z| ever exceeds `z` at looks at these information fractions without any effect: what comes of
/// repeating a fixed-sample test. Errors as of `design_group_sequential`; invalid_argument for a z that is not
/// positive.
[[nodiscard]] MCOMP_API Result<double> repeated_test_error(const std::vector<double>& information, double z);

} // namespace mcomp::inline v0::stats

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<stats::GroupSequentialDesign> = true;
}
