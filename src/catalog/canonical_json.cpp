#include "mcomp/catalog/canonical_json.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "catalog/canonical.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

Result<std::string> canonical_number(double value) {
  if (!std::isfinite(value))
    return Error(ErrorCode::invalid_value, "JSON", "a number is NaN or infinite", "write null or leave it out");
  if (value == 0) return std::string("0");
  // The shortest digits that give the double back, the nearest of them: those are s, k and n of ECMA-262, 6.1.6.1.20.
  std::array<char, 32> buffer;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value), std::chars_format::scientific).ptr;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t e = text.find('e');
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  const int k = static_cast<int>(digits.size());
  int n = 0;
  const char* exponent = text.data() + e + (text[e + 1] == '+' ? 2 : 1); // from_chars takes no plus sign
  std::from_chars(exponent, text.data() + text.size(), n);
  ++n;
  std::string out = value < 0 ? "-" : "";
  const auto zeros = [](int count) { return std::string(static_cast<std::size_t>(count), '0'); };
  if (k <= n && n <= 21) {
    out += digits + zeros(n - k);
  } else if (0 < n && n <= 21) {
    out += digits.substr(0, static_cast<std::size_t>(n)) + "." + digits.substr(static_cast<std::size_t>(n));
  } else if (-6 < n && n <= 0) {
    out += "0." + zeros(-n) + digits;
  } else {
    out += digits.substr(0, 1);
    if (k > 1) out += "." + digits.substr(1);
    out += fmt::format("e{:+}", n - 1);
  }
  return out;
}

Result<std::string> canonical_json(std::string_view text, const std::string& subject) {
  MCOMP_TRY(value, mcomp::detail::parse_json(text, subject));
  const auto canonical = detail::canonical_text(value);
  if (!canonical) return canonical.error().within(subject);
  return *canonical;
}

} // namespace mcomp::inline v0::catalog
