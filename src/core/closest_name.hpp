#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mcomp::inline v0::detail {

/// A remedy for a name that is not known: the closest known one where it is close, else the known ones.
[[nodiscard]] std::string did_you_mean(std::string_view name, const std::vector<std::string>& known);

} // namespace mcomp::inline v0::detail
