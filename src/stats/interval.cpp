#include "mcomp/stats/interval.hpp"

#include "mcomp/core/format.hpp"
#include "stats/interval.hpp"

namespace mcomp::inline v0::stats {

std::string to_string(const Interval& interval) {
  return fmt::format("[{:.4g}, {:.4g}] ({:.4g}%)", interval.lower, interval.upper, 100 * interval.level);
}

Status detail::check_level(double level, const char* name) {
  if (level > 0 && level < 1) return {};
  return Error(ErrorCode::invalid_argument, name, fmt::format("it must lie between 0 and 1, it is {}", level),
               "pass a fraction such as 0.95");
}

} // namespace mcomp::inline v0::stats
