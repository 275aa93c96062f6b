#include "rollout/ip_network.hpp"

#include <algorithm>
#include <charconv>

namespace mcomp::inline v0::rollout::detail {

namespace {

/// A number without sign or space that fills the text and is at most `largest`.
std::optional<unsigned> number(std::string_view text, int base, std::size_t most_digits, unsigned largest) noexcept {
  unsigned value = 0;
  if (text.empty() || text.size() > most_digits) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || value > largest) return std::nullopt;
  return value;
}

bool dotted(std::string_view text, std::uint8_t* out) noexcept {
  for (int i = 0; i < 4; ++i) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return false;
    const auto part = number(text.substr(0, dot), 10, 3, 255);
    if (!part) return false;
    out[i] = static_cast<std::uint8_t>(*part);
    if (i < 3) text.remove_prefix(dot + 1);
  }
  return true;
}

/// Groups of a part of an IPv6 address without "::"; how many bytes they are, or nothing.
std::optional<std::size_t> groups(std::string_view text, std::uint8_t* out, std::size_t room, bool last_part) noexcept {
  std::size_t used = 0;
  if (text.empty()) return used;
  while (true) {
    const std::size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    const bool last = colon == std::string_view::npos;
    if (last && last_part && group.find('.') != std::string_view::npos) { // RFC 4291, 2.2, 3.
      if (used + 4 > room || !dotted(group, out + used)) return std::nullopt;
      return used + 4;
    }
    const auto value = number(group, 16, 4, 0xffff);
    if (!value || used + 2 > room) return std::nullopt;
    out[used++] = static_cast<std::uint8_t>(*value >> 8);
    out[used++] = static_cast<std::uint8_t>(*value & 0xff);
    if (last) return used;
    text.remove_prefix(colon + 1);
  }
}

} // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) noexcept {
  IpAddress address;
  if (text.find(':') == std::string_view::npos) {
    address.bits = 32;
    if (!dotted(text, address.bytes.data())) return std::nullopt;
    return address;
  }
  address.bits = 128;
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    const auto used = groups(text, address.bytes.data(), 16, true);
    if (used != 16U) return std::nullopt;
    return address;
  }
  std::array<std::uint8_t, 16> tail{};
  const auto front = groups(text.substr(0, gap), address.bytes.data(), 14, false);
  const auto back = groups(text.substr(gap + 2), tail.data(), 14, true);
  if (!front || !back || *front + *back > 14) return std::nullopt;
  std::copy_n(tail.begin(), *back, address.bytes.end() - static_cast<std::ptrdiff_t>(*back));
  return address;
}

bool in_network(const IpAddress& address, std::string_view network) noexcept {
  const std::size_t slash = network.find('/');
  const auto base = IpAddress::parse(network.substr(0, slash));
  if (!base || base->bits != address.bits) return false;
  auto length = static_cast<unsigned>(address.bits);
  if (slash != std::string_view::npos) {
    const auto given = number(network.substr(slash + 1), 10, 3, length);
    if (!given) return false;
    length = *given;
  }
  for (unsigned bit = 0; bit < length; bit += 8) {
    const unsigned mask = length - bit >= 8 ? 0xffU : 0xffU << (8 - (length - bit)) & 0xffU;
    if (((address.bytes[bit / 8] ^ base->bytes[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

} // namespace mcomp::inline v0::rollout::detail
