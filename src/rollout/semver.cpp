#include "rollout/semver.hpp"

#include <algorithm>

namespace mcomp::inline v0::rollout::detail {

namespace {

constexpr bool digit(char c) noexcept {
  return c >= '0' && c <= '9';
}
bool digits(std::string_view text) noexcept {
  return !text.empty() && std::ranges::all_of(text, digit);
}
bool number(std::string_view text) noexcept { // without leading zeros
  return digits(text) && (text.size() == 1 || text[0] != '0');
}
bool identifier(std::string_view text) noexcept {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  });
}

std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t dot = text.find('.');
    parts.push_back(text.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    text.remove_prefix(dot + 1);
  }
}

std::strong_ordering compare_numbers(const std::string& a, const std::string& b) noexcept {
  if (a.size() != b.size()) return a.size() <=> b.size();
  return a.compare(b) <=> 0;
}

} // namespace

std::optional<Semver> Semver::parse(std::string_view text, SemverSyntax syntax) {
  if (syntax.leading_v && !text.empty() && (text[0] == 'v' || text[0] == 'V')) text.remove_prefix(1);
  if (const std::size_t plus = text.find('+'); plus != std::string_view::npos) {
    for (const std::string_view part : parts_of(text.substr(plus + 1)))
      if (!identifier(part)) return std::nullopt;
    text = text.substr(0, plus);
  }
  Semver version;
  if (const std::size_t hyphen = text.find('-'); hyphen != std::string_view::npos) {
    for (const std::string_view part : parts_of(text.substr(hyphen + 1))) {
      if (!identifier(part) || (digits(part) && !number(part))) return std::nullopt;
      version.prerelease.emplace_back(part);
    }
    text = text.substr(0, hyphen);
  }
  const auto parts = parts_of(text);
  if (parts.size() > 3 || (parts.size() < 3 && !syntax.partial)) return std::nullopt;
  for (std::size_t i = 0; i < 3; ++i) {
    if (i < parts.size() && !number(parts[i])) return std::nullopt;
    version.core[i] = i < parts.size() ? std::string(parts[i]) : "0";
  }
  return version;
}

std::strong_ordering compare(const Semver& a, const Semver& b) noexcept {
  for (std::size_t i = 0; i < 3; ++i)
    if (const auto order = compare_numbers(a.core[i], b.core[i]); order != 0) return order;
  // 11.3: a release is behind its prereleases.
  if (a.prerelease.empty() || b.prerelease.empty()) return b.prerelease.size() <=> a.prerelease.size();
  const std::size_t common = std::min(a.prerelease.size(), b.prerelease.size());
  for (std::size_t i = 0; i < common; ++i) { // 11.4
    const std::string &x = a.prerelease[i], &y = b.prerelease[i];
    const bool x_number = digits(x), y_number = digits(y);
    if (x_number != y_number) return x_number ? std::strong_ordering::less : std::strong_ordering::greater;
    if (const auto order = x_number ? compare_numbers(x, y) : x.compare(y) <=> 0; order != 0) return order;
  }
  return a.prerelease.size() <=> b.prerelease.size();
}

} // namespace mcomp::inline v0::rollout::detail
