#include "mcomp/rollout/hash.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <openssl/evp.h>

#include "mcomp/core/format.hpp"
#include "rollout/code_points.hpp"
#include "rollout/salted_hash.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr std::uint32_t fnv_offset = 0x811c9dc5U, fnv_prime = 0x01000193U;

std::uint32_t fnv1a_utf16(std::string_view text) noexcept {
  std::uint32_t hash = fnv_offset;
  const auto unit = [&](std::uint32_t value) { hash = (hash ^ value) * fnv_prime; };
  for (std::size_t at = 0; at < text.size();) {
    const char32_t point = detail::next_code_point(text, at);
    if (point < 0x10000) {
      unit(point);
    } else {
      unit(0xd800 + ((point - 0x10000) >> 10));
      unit(0xdc00 + ((point - 0x10000) & 0x3ff));
    }
  }
  return hash;
}

} // namespace

std::uint32_t murmur3_32(std::string_view key, std::uint32_t seed) noexcept {
  using namespace detail;
  std::uint32_t h = seed;
  std::string_view rest = key;
  for (; rest.size() >= 4; rest.remove_prefix(4)) h = murmur3_mixed(h, little_endian(rest.data()));
  if (!rest.empty()) h ^= murmur3_scrambled(little_endian(rest.data(), rest.size()));
  return murmur3_finished(h ^ static_cast<std::uint32_t>(key.size()));
}

std::uint32_t fnv1a_32(std::string_view key) noexcept {
  std::uint32_t hash = fnv_offset;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * fnv_prime;
  return hash;
}

Result<double> launchdarkly_bucket(const LaunchDarklyRollout& rollout, std::string_view attribute) {
  const std::string text = rollout.seed ? fmt::format("{}.{}", *rollout.seed, attribute)
                                        : fmt::format("{}.{}.{}", rollout.flag_key, rollout.salt, attribute);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) != 1)
    return Error(ErrorCode::unsupported, "SHA-1", "libcrypto refuses it",
                 "enable SHA-1 in the provider, or use another hash");
  std::uint64_t top = 0;
  for (std::size_t i = 0; i < 8; ++i) top = top << 8 | digest[i];
  // 15 hexadecimal digits are 60 bits.
  return static_cast<double>(top >> 4) / static_cast<double>(0xFFFFFFFFFFFFFFFULL);
}

Result<double> launchdarkly_bucket(const LaunchDarklyRollout& rollout, double attribute) {
  constexpr double exact = 9007199254740992.0; // 2^53
  if (!(std::abs(attribute) <= exact) || attribute != std::floor(attribute)) return 0.0;
  return launchdarkly_bucket(rollout, fmt::format("{}", static_cast<std::int64_t>(attribute)));
}

std::optional<std::size_t> launchdarkly_variation(double bucket, std::span<const std::uint32_t> weights) noexcept {
  if (weights.empty()) return std::nullopt;
  double end = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    end += static_cast<double>(weights[i]) / 100000.0;
    if (bucket < end) return i;
  }
  return weights.size() - 1;
}

std::uint32_t optimizely_bucket(std::string_view bucketing_id, std::string_view parent_id) {
  const std::uint32_t hash = murmur3_32(std::string(bucketing_id) + std::string(parent_id), 1);
  return static_cast<std::uint32_t>(std::floor(static_cast<double>(hash) / 4294967296.0 * 10000.0));
}

std::optional<std::size_t> optimizely_allocation(std::uint32_t bucket, std::span<const std::uint32_t> ends) noexcept {
  const auto found = std::ranges::find_if(ends, [&](std::uint32_t end) { return bucket < end; });
  if (found == ends.end()) return std::nullopt;
  return static_cast<std::size_t>(found - ends.begin());
}

std::uint32_t unleash_normalized(std::string_view id, std::string_view group, std::uint32_t normalizer,
                                 std::uint32_t seed) {
  return murmur3_32(fmt::format("{}:{}", group, id), seed) % std::max(normalizer, 1U) + 1;
}

std::optional<double> growthbook_hash(std::string_view seed, std::string_view value, int version) {
  if (version == 1) return (fnv1a_utf16(std::string(value) + std::string(seed)) % 1000) / 1000.0;
  if (version == 2) {
    const std::uint32_t once = fnv1a_utf16(std::string(seed) + std::string(value));
    return (fnv1a_32(std::to_string(once)) % 10000) / 10000.0;
  }
  return std::nullopt;
}

std::vector<double> growthbook_equal_weights(int variations) {
  if (variations < 1 || variations > 10000) return {};
  return std::vector<double>(static_cast<std::size_t>(variations), 1.0 / variations);
}

std::vector<BucketRange> growthbook_bucket_ranges(int variations, double coverage, std::span<const double> weights) {
  const double covered = coverage >= 0 ? std::min(coverage, 1.0) : 0.0; // NaN covers nothing
  std::vector<double> used(weights.begin(), weights.end());
  double sum = 0;
  for (const double w : used) sum += w;
  if (used.size() != static_cast<std::size_t>(std::max(variations, 0)) || !(sum >= 0.99 && sum <= 1.01))
    used = growthbook_equal_weights(variations);
  std::vector<BucketRange> ranges;
  double begin = 0;
  for (const double w : used) {
    ranges.emplace_back(begin, begin + covered * w);
    begin += w;
  }
  return ranges;
}

int growthbook_choose_variation(double n, std::span<const BucketRange> ranges) noexcept {
  for (std::size_t i = 0; i < ranges.size(); ++i)
    if (n >= ranges[i].first && n < ranges[i].second) return static_cast<int>(i);
  return -1;
}

bool growthbook_in_namespace(std::string_view value, std::string_view name, BucketRange range) {
  const double n = *growthbook_hash("__" + std::string(name), value, 1);
  return n >= range.first && n < range.second;
}

} // namespace mcomp::inline v0::rollout
