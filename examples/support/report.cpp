#include "report.hpp"

#include <cmath>
#include <cstdio>

#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace example {

namespace {

/// The path of the first number that is not finite, or nothing.
std::string not_finite(const Report::Json& json, const std::string& where) {
  if (json.is_number_float() && !std::isfinite(json.get<double>())) return where;
  if (json.is_structured())
    for (const auto& item : json.items())
      if (std::string found = not_finite(item.value(), where + "/" + item.key()); !found.empty()) return found;
  return {};
}

} // namespace

void Report::say(const std::string& key, Json value, std::string_view line) {
  content_[key] = std::move(value);
  fmt::print("{}\n", line);
}

void Report::row(const std::string& key, Json value, std::string_view line) {
  content_[key].push_back(std::move(value));
  fmt::print("{}\n", line);
  std::fflush(stdout); // a row is often all that long work says for minutes
}

mcomp::Status Report::write(const std::filesystem::path& path) const {
  if (const std::string where = not_finite(content_, ""); !where.empty())
    return mcomp::Error(mcomp::ErrorCode::invalid_value, path.string(), where + " is not a finite number",
                        "look for the step that diverged");
  // Names and fields of a user's file may hold bytes that are no UTF-8; JSON may not.
  return mcomp::write_file(path, content_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

} // namespace example
