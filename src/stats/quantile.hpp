#pragma once

#include <cstddef>

namespace mcomp::inline v0::stats::detail {

/// ceil(n p) within 1 .. n. A product such as 100 * 0.07 = 7.000000000000001 means 7.
[[nodiscard]] std::size_t nearest_rank(std::size_t n, double p);

/// The largest rank r with P(B < r) <= tail, B ~ Binomial(n, p): the observation of that rank exceeds the quantile with
/// probability at most `tail`. 0 where there is none.
[[nodiscard]] std::size_t lower_rank(std::size_t n, double p, double tail);

} // namespace mcomp::inline v0::stats::detail
