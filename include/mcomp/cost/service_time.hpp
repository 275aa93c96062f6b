#pragma once

// How long one request, or one batch, occupies a server.
//
//     auto service = mcomp::cost::ServiceTime::lognormal(0.020, 1.5).value(); // 20 ms, variance 1.5 times squared mean
//     auto measured = mcomp::cost::ServiceTime::empirical(seconds).value();   // as it was measured

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::cost {

enum class ServiceKind { deterministic, exponential, lognormal, hyperexponential, empirical };
[[nodiscard]] MCOMP_API std::string to_string(ServiceKind kind);

/// A distribution of positive times, in seconds; a plain value. `variability` is the squared coefficient of variation:
/// variance over squared mean.
class MCOMP_API ServiceTime {
 public:
  /// Errors of all: invalid_value for a mean that is not finite and > 0.
  [[nodiscard]] static Result<ServiceTime> deterministic(double seconds);
  [[nodiscard]] static Result<ServiceTime> exponential(double mean);
  /// Error: invalid_value for a variability that is not finite and > 0, or above 10^6.
  [[nodiscard]] static Result<ServiceTime> lognormal(double mean, double variability);
  /// One of two exponentials that carry half of the work each (balanced means; Tijms, A First Course in Stochastic
  /// Models, 2003, appendix B): many short requests and a few long ones. Error: invalid_value for a variability that is
  /// not finite, below 1 or above 10^6.
  [[nodiscard]] static Result<ServiceTime> hyperexponential(double mean, double variability);
  /// Each measured time with the same probability. Errors: insufficient_data for none, invalid_value for one that is
  /// not finite and > 0.
  [[nodiscard]] static Result<ServiceTime> empirical(std::span<const double> seconds);

  /// Every time multiplied by `factor`, the shape kept. Errors: invalid_value for a factor that is not finite and > 0,
  /// or a mean that overflows.
  [[nodiscard]] Result<ServiceTime> scaled(double factor) const;

  [[nodiscard]] ServiceKind kind() const noexcept { return kind_; }
  [[nodiscard]] double mean() const noexcept { return mean_; }
  [[nodiscard]] double variability() const noexcept { return variability_; }
  /// P(service time <= seconds).
  [[nodiscard]] double cdf(double seconds) const noexcept;
  /// The time that a share `probability` in [0, 1] does not exceed; NaN outside. Infinite at 1 where there is no bound.
  [[nodiscard]] double quantile(double probability) const noexcept;
  /// P(R <= seconds) for what is left of the service in progress at a random time: integral of 1 - cdf, over the mean.
  [[nodiscard]] double residual_cdf(double seconds) const noexcept;
  /// One time.
  [[nodiscard]] double draw(Random& random) const noexcept;
  /// The same, and into `partner` an exponential time of mean 1 that grows with it: made of the same random numbers,
  /// for control variates. Independent of the time where the kind is deterministic.
  [[nodiscard]] double draw(Random& random, double& partner) const noexcept;

  friend bool operator==(const ServiceTime&, const ServiceTime&) = default;

 private:
  ServiceTime() = default;
  ServiceKind kind_ = ServiceKind::deterministic;
  double mean_ = 0, variability_ = 0;
  double a_ = 0, b_ = 0, first_ = 0;  ///< lognormal: mu, sigma; hyperexponential: the two means, P(first)
  std::vector<double> sorted_, sums_; ///< empirical: the times and their running sums
};

/// "lognormal, mean 0.02 s, squared coefficient of variation 1.5"
[[nodiscard]] MCOMP_API std::string to_string(const ServiceTime& service);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::ServiceKind> = true;
template <> inline constexpr bool enable_format<cost::ServiceTime> = true;
} // namespace mcomp::inline v0
