#pragma once

// An interval for any statistic of rows that come in clusters: requests of one user resemble each other, and treating
// them as independent makes intervals too short. Whole clusters are drawn with replacement (Davison and Hinkley,
// Bootstrap Methods, 1997, section 3.8; Efron, Better bootstrap confidence intervals, JASA 82, 1987, for BCa). Tails
// are widened as Student's t demands for the number of clusters (Hesterberg, The American Statistician 69, 2015).
//
//     auto p95 = mcomp::stats::cluster_bootstrap(user_of_row, [&](std::span<const std::int64_t> rows) {
//       return quantile_of(latency, rows);
//     }).value();

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "mcomp/core/context.hpp"
#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::stats {

enum class BootstrapMethod {
  percentile, ///< quantiles of the replicates
  bca,        ///< corrected for bias and for a variance that changes with the statistic
};

struct BootstrapOptions {
  std::int64_t replicates = 2000;
  double level = 0.95;
  BootstrapMethod method = BootstrapMethod::bca;
  std::uint64_t seed = 1;
};

struct BootstrapEstimate {
  double estimate = 0; ///< of the rows as they are
  double standard_error = 0;
  double bias = 0; ///< mean of the replicates - estimate
  Interval interval{};
  std::int64_t clusters = 0, rows = 0, replicates = 0;
  friend bool operator==(const BootstrapEstimate&, const BootstrapEstimate&) = default;
};
/// "0.913 +- 0.004 [0.905, 0.921] (95%) of 20000 rows in 431 clusters"
[[nodiscard]] MCOMP_API std::string to_string(const BootstrapEstimate& estimate);

/// A statistic of rows by number; a row may stand in them several times. Called from several threads at once where the
/// context has an executor for it.
using RowStatistic = std::function<double(std::span<const std::int64_t> rows)>;

/// @param clusters  for every row the cluster that it belongs to, any numbers
/// The same seed gives the same result on any number of threads. Cost: replicates, and for BCa up to 1,000 more, times
/// that of the statistic. A dozen clusters is the least that an interval means something for; its level is reached as
/// they grow in number. Errors: insufficient_data for fewer than 2 clusters; invalid_argument for a level outside (0,
/// 1), fewer than 20 replicates or so few that the interval's ends would be extremes; invalid_value where the statistic
/// is not finite (of which rows the text says); cancelled.
[[nodiscard]] MCOMP_API Result<BootstrapEstimate> cluster_bootstrap(std::span<const std::int64_t> clusters,
                                                                    const RowStatistic& statistic,
                                                                    const BootstrapOptions& options = {},
                                                                    const Context& context = {});
/// Every row a cluster of its own.
[[nodiscard]] MCOMP_API Result<BootstrapEstimate> bootstrap(std::int64_t rows, const RowStatistic& statistic,
                                                            const BootstrapOptions& options = {},
                                                            const Context& context = {});

} // namespace mcomp::inline v0::stats

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<stats::BootstrapEstimate> = true;
}
