#pragma once

namespace mcomp::inline v0::stats {

/// Which departures from the null hypothesis a test looks for; the others then belong to the null hypothesis.
enum class Alternative {
  two_sided,
  greater, ///< the quantity is above its value under the null hypothesis
  less,    ///< below
};

} // namespace mcomp::inline v0::stats
