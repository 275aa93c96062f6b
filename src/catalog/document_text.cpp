#include "catalog/document_text.hpp"

#include <algorithm>
#include <chrono>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

std::string plain(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == '\t') {
      result += ' ';
      continue;
    }
    if (std::string_view("\\`*_{}[]<>#|~").find(c) != std::string_view::npos) result += '\\';
    result += c;
  }
  return result;
}

std::string timestamp(std::int64_t seconds) {
  constexpr std::int64_t end_of_9999 = 253'402'300'799;
  const std::chrono::sys_seconds time{std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, end_of_9999))};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

} // namespace mcomp::inline v0::catalog::detail
