#include "mcomp/core/random.hpp"

#include <bit>
#include <cmath>

namespace mcomp::inline v0 {

std::uint64_t splitmix64(std::uint64_t& state) noexcept {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Random::Random(std::uint64_t seed) noexcept {
  for (std::uint64_t& word : state_) word = splitmix64(seed);
}

Random::Random(std::uint64_t seed, std::uint64_t index) noexcept : Random(splitmix64(seed) ^ splitmix64(index)) {}

Random Random::from_state(const std::array<std::uint64_t, 4>& state) noexcept {
  Random random(0);
  random.state_ = state;
  return random;
}

std::uint64_t Random::next() noexcept {
  auto& s = state_;
  const std::uint64_t result = std::rotl(s[0] + s[3], 23) + s[0];
  const std::uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = std::rotl(s[3], 45);
  return result;
}

double Random::uniform() noexcept {
  return static_cast<double>(next() >> 11) * 0x1p-53;
}

std::uint64_t Random::below(std::uint64_t bound) noexcept {
  if (bound == 0) return 0;
  // Values below 2^64 mod bound would be drawn once too often.
  const std::uint64_t threshold = (0 - bound) % bound;
  for (;;)
    if (const std::uint64_t x = next(); x >= threshold) return x % bound;
}

double Random::normal() noexcept {
  if (has_spare_) {
    has_spare_ = false;
    return spare_normal_;
  }
  for (;;) {
    const double u = 2 * uniform() - 1, v = 2 * uniform() - 1;
    const double s = u * u + v * v;
    if (s >= 1 || s == 0) continue;
    const double factor = std::sqrt(-2 * std::log(s) / s);
    spare_normal_ = v * factor;
    has_spare_ = true;
    return u * factor;
  }
}

} // namespace mcomp::inline v0
