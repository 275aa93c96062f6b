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

/// The first part of a text in parts between dots, which is taken off; nothing behind the last.
std::optional<std::string_view> next_part(std::optional<std::string_view>& rest) noexcept {
  if (!rest) return std::nullopt;
  const std::size_t dot = rest->find('.');
  const std::string_view part = rest->substr(0, dot);
  rest = dot == std::string_view::npos ? std::nullopt : std::optional(rest->substr(dot + 1));
  return part;
}

template <class F> bool all_parts(std::optional<std::string_view> text, const F& f) noexcept {
  while (const auto part = next_part(text))
    if (!f(*part)) return false;
  return true;
}

std::strong_ordering compare_numbers(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return a.size() <=> b.size();
  return a.compare(b) <=> 0;
}

std::strong_ordering compare_identifiers(std::string_view a, std::string_view b) noexcept { // 11.4
  const bool a_number = digits(a), b_number = digits(b);
  if (a_number != b_number) return a_number ? std::strong_ordering::less : std::strong_ordering::greater;
  return a_number ? compare_numbers(a, b) : a.compare(b) <=> 0;
}

} // namespace

std::optional<Semver> Semver::parse(std::string_view text, SemverSyntax syntax) noexcept {
  if (syntax.leading_v && !text.empty() && (text[0] == 'v' || text[0] == 'V')) text.remove_prefix(1);
  if (const std::size_t plus = text.find('+'); plus != std::string_view::npos) {
    if (!all_parts(text.substr(plus + 1), identifier)) return std::nullopt;
    text = text.substr(0, plus);
  }
  Semver version;
  if (const std::size_t hyphen = text.find('-'); hyphen != std::string_view::npos) {
    version.prerelease = text.substr(hyphen + 1);
    const auto sound = [](std::string_view part) { return identifier(part) && (!digits(part) || number(part)); };
    if (!all_parts(version.prerelease, sound)) return std::nullopt;
    text = text.substr(0, hyphen);
  }
  std::optional rest = text;
  for (std::string_view& part : version.core) {
    const auto next = next_part(rest);
    if (next ? !number(*next) : !syntax.partial) return std::nullopt;
    part = next.value_or("0");
  }
  if (rest) return std::nullopt;
  return version;
}

std::strong_ordering compare(const Semver& a, const Semver& b) noexcept {
  for (std::size_t i = 0; i < 3; ++i)
    if (const auto order = compare_numbers(a.core[i], b.core[i]); order != 0) return order;
  // 11.3: a release is behind its prereleases.
  if (a.prerelease.empty() || b.prerelease.empty()) return a.prerelease.empty() <=> b.prerelease.empty();
  std::optional x = a.prerelease, y = b.prerelease;
  while (true) {
    const auto p = next_part(x), q = next_part(y);
    if (!p || !q) return p.has_value() <=> q.has_value();
    if (const auto order = compare_identifiers(*p, *q); order != 0) return order;
  }
}

} // namespace mcomp::inline v0::rollout::detail
