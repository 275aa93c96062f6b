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

Status detail::check_counts(std::int64_t successes, std::int64_t trials) {
  if (trials < 0 || successes < 0 || successes > trials || trials > std::int64_t{1} << 53)
    return Error(ErrorCode::invalid_argument, "proportion",
                 fmt::format("successes must lie within 0 .. trials and trials within 2^53, there are {} of {}",
                             successes, trials),
                 "pass counts of the same trials");
  if (trials == 0)
    return Error(ErrorCode::insufficient_data, "proportion", "no trials, so no proportion", "observe at least one");
  return {};
}

} // namespace mcomp::inline v0::stats
