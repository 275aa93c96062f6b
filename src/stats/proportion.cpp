#include "mcomp/stats/proportion.hpp"

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/stats/distributions.hpp"
#include "stats/interval.hpp"

namespace mcomp::inline v0::stats {

Result<Interval> wilson_interval(std::int64_t successes, std::int64_t trials, double level) {
  MCOMP_CHECK(detail::check_level(level));
  MCOMP_CHECK(detail::check_counts(successes, trials));
  const double n = static_cast<double>(trials), p = static_cast<double>(successes) / n;
  const double z = -normal_quantile((1 - level) / 2), z2 = z * z;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = z * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  return Interval{successes == 0 ? 0 : std::max(0.0, centre - half),
                  successes == trials ? 1 : std::min(1.0, centre + half), level};
}

Result<Interval> clopper_pearson_interval(std::int64_t successes, std::int64_t trials, double level) {
  MCOMP_CHECK(detail::check_level(level));
  MCOMP_CHECK(detail::check_counts(successes, trials));
  const double n = static_cast<double>(trials), k = static_cast<double>(successes), tail = (1 - level) / 2;
  return Interval{successes == 0 ? 0 : beta_quantile(k, n - k + 1, tail),
                  successes == trials ? 1 : beta_quantile(k + 1, n - k, 1 - tail), level};
}

} // namespace mcomp::inline v0::stats
