#include "catch.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "mcomp/core/minifloat.hpp"

using namespace mcomp;

namespace {
const MiniFloat formats[] = {e4m3, e5m2, e3m2, e2m3, e2m1};

/// The nearest finite code by looking at all of them; of two equally near the one with the even mantissa.
std::uint8_t nearest_by_search(const MiniFloat& f, float x) {
  int best = -1;
  double best_distance = 0;
  for (int code = 0; code < 1 << f.bits(); ++code) {
    const float value = decode(f, static_cast<std::uint8_t>(code));
    if (!std::isfinite(value) || std::signbit(value) != std::signbit(x)) continue;
    const double distance = std::fabs(static_cast<double>(value) - static_cast<double>(x));
    if (best < 0 || distance < best_distance || (distance == best_distance && code % 2 == 0))
      best = code, best_distance = distance;
  }
  return static_cast<std::uint8_t>(best);
}
} // namespace

TEST_CASE("every code of E2M1, E3M2 and E2M3 has the value of the OCP microscaling specification") {
  // Section 5.3.3 of the specification.
  const float e2m1_values[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (std::uint8_t code = 0; code < 8; ++code) {
    CHECK(decode(e2m1, code) == e2m1_values[code]);
    CHECK(decode(e2m1, static_cast<std::uint8_t>(code + 8)) == -e2m1_values[code]);
  }
  // Sections 5.3.2: smallest subnormal, largest subnormal, smallest normal, largest.
  CHECK(decode(e3m2, 1) == 0.0625f);
  CHECK(decode(e3m2, 3) == 0.1875f);
  CHECK(decode(e3m2, 4) == 0.25f);
  CHECK(decode(e3m2, 31) == 28.0f);
  CHECK(decode(e2m3, 1) == 0.125f);
  CHECK(decode(e2m3, 7) == 0.875f);
  CHECK(decode(e2m3, 8) == 1.0f);
  CHECK(decode(e2m3, 31) == 7.5f);
}

TEST_CASE("the extremes of E4M3 and E5M2 are those of the OFP8 specification") {
  // Table 2 of the specification.
  CHECK(largest(e4m3) == 448.0f);
  CHECK(decode(e4m3, 0x08) == std::ldexp(1.0f, -6));
  CHECK(decode(e4m3, 0x07) == 0.875f * std::ldexp(1.0f, -6));
  CHECK(decode(e4m3, 0x01) == std::ldexp(1.0f, -9));
  CHECK(std::isnan(decode(e4m3, 0x7f)));
  CHECK(std::isnan(decode(e4m3, 0xff)));
  CHECK(largest(e5m2) == 57344.0f);
  CHECK(decode(e5m2, 0x04) == std::ldexp(1.0f, -14));
  CHECK(decode(e5m2, 0x03) == 0.75f * std::ldexp(1.0f, -14));
  CHECK(decode(e5m2, 0x01) == std::ldexp(1.0f, -16));
  CHECK(decode(e5m2, 0x7c) == std::numeric_limits<float>::infinity());
  CHECK(decode(e5m2, 0xfc) == -std::numeric_limits<float>::infinity());
  for (const int code : {0x7d, 0x7e, 0x7f, 0xfd, 0xfe, 0xff})
    CHECK(std::isnan(decode(e5m2, static_cast<std::uint8_t>(code))));
}

TEST_CASE("E5M2 is the upper byte of binary16") {
  for (int code = 0; code < 256; ++code) {
    const float expected = to_float(half{static_cast<std::uint16_t>(code << 8)});
    const float value = decode(e5m2, static_cast<std::uint8_t>(code));
    CHECK((std::isnan(expected) ? std::isnan(value) : value == expected));
  }
}

TEST_CASE("every code of every small format is encoded to itself") {
  for (const MiniFloat& f : formats)
    for (int code = 0; code < 1 << f.bits(); ++code) {
      const float value = decode(f, static_cast<std::uint8_t>(code));
      if (!std::isfinite(value)) continue;
      INFO(to_string(f) << " code " << code);
      CHECK(encode(f, value) == code);
    }
}

TEST_CASE("encoding gives the nearest code for every half-precision number") {
  for (const MiniFloat& f : formats) {
    int wrong = 0;
    for (int bits = 0; bits < 65536; ++bits) {
      const float x = to_float(half{static_cast<std::uint16_t>(bits)});
      if (!std::isfinite(x)) continue;
      wrong += encode(f, x) != nearest_by_search(f, x);
    }
    INFO(to_string(f));
    CHECK(wrong == 0);
  }
}

TEST_CASE("infinities saturate, and NaN is NaN where there is one") {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const MiniFloat& f : formats) {
    CHECK(decode(f, encode(f, infinity)) == largest(f));
    CHECK(decode(f, encode(f, -infinity)) == -largest(f));
    CHECK(decode(f, encode(f, 3e38f)) == largest(f));
    CHECK(encode(f, 1e-45f) == 0);
  }
  CHECK(std::isnan(decode(e4m3, encode(e4m3, nan))));
  CHECK(std::isnan(decode(e5m2, encode(e5m2, nan))));
  CHECK(decode(e2m1, encode(e2m1, nan)) == 6.0f);
}

TEST_CASE("E8M0 is a power of two") {
  for (int code = 0; code < 255; ++code)
    CHECK(decode_e8m0(static_cast<std::uint8_t>(code)) == std::ldexp(1.0f, code - 127));
  CHECK(std::isnan(decode_e8m0(255)));
  CHECK(encode_e8m0_floor(1.0f) == 127);
  CHECK(encode_e8m0_floor(1.99f) == 127);
  CHECK(encode_e8m0_floor(0.99f) == 126);
  CHECK(encode_e8m0_floor(3e38f) == 254);
  CHECK(encode_e8m0_floor(std::ldexp(1.0f, -127)) == 0);
  CHECK(encode_e8m0_floor(1e-45f) == 0);
  CHECK(encode_e8m0_floor(0.0f) == 0);
  CHECK(encode_e8m0_floor(-1.0f) == 0);
  CHECK(encode_e8m0_floor(std::numeric_limits<float>::infinity()) == 255);
  CHECK(encode_e8m0_floor(std::numeric_limits<float>::quiet_NaN()) == 255);
}
