#pragma once

// Hashes that decide which side of a split a unit (a user, a session, a request) falls on, and how the known flag
// systems make a bucket of them, so that a team that moves to mcomp keeps the assignments it has. Bytes of a key are
// its UTF-8; none of this is for secrets.
//
//     const std::uint32_t h = rollout::murmur3_32("checkout" + user);
//     const std::uint32_t slot = rollout::slot_of(h, 100);                 // flagd v2: 0..99, in integers only
//     const double b = rollout::launchdarkly_bucket({.flag_key = "checkout", .salt = "s"}, user).value();

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::rollout {

/// MurmurHash3_x86_32 of Austin Appleby (public domain, SMHasher). O(size).
[[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t murmur3_32(std::string_view key, std::uint32_t seed = 0) noexcept;

/// FNV-1a, 32 bits (Fowler, Noll, Vo; draft-eastlake-fnv).
[[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t fnv1a_32(std::string_view key) noexcept;

/// Maps a hash evenly to 0 .. slots - 1 by multiplication and shift, as flagd's fractional operator does since v2: no
/// floating point, and every slot gets its share to within 2^-32. 0 slots give 0.
[[nodiscard]] constexpr std::uint32_t slot_of(std::uint32_t hash, std::uint32_t slots) noexcept {
  return static_cast<std::uint32_t>((std::uint64_t{hash} * slots) >> 32);
}

/// What a percentage rollout of LaunchDarkly hashes beside the attribute.
struct LaunchDarklyRollout {
  std::string flag_key{};
  std::string salt{};
  std::optional<std::int64_t> seed{}; ///< takes the place of key and salt

  /// Reads schema "mcomp-launchdarkly-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<LaunchDarklyRollout>
  parse(std::string_view json, const std::string& subject = "LaunchDarkly rollout");
  friend bool operator==(const LaunchDarklyRollout&, const LaunchDarklyRollout&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const LaunchDarklyRollout& value);

/// The bucket in [0, 1]: the first 15 hexadecimal digits of SHA-1("key.salt.attribute") over 0xFFFFFFFFFFFFFFF.
/// Error: unsupported, where libcrypto refuses SHA-1.
[[nodiscard]] MCOMP_WORKFLOW_API Result<double> launchdarkly_bucket(const LaunchDarklyRollout& rollout,
                                                                    std::string_view attribute);
/// A number: whole ones hash as their decimal digits, all others are bucket 0, as LaunchDarkly's SDKs have it.
[[nodiscard]] MCOMP_WORKFLOW_API Result<double> launchdarkly_bucket(const LaunchDarklyRollout& rollout,
                                                                    double attribute);
/// Which of the variations with these weights (1/100,000 each) the bucket falls on; the last one takes what rounding
/// leaves. Nothing where there is no variation.
[[nodiscard]] MCOMP_WORKFLOW_API std::optional<std::size_t>
launchdarkly_variation(double bucket, std::span<const std::uint32_t> weights) noexcept;

/// Optimizely's bucket value, 0 .. 9999, of a bucketing id and the id of the experiment or group.
[[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t optimizely_bucket(std::string_view bucketing_id,
                                                                 std::string_view parent_id);
/// The entry of a traffic allocation, given by the ends of its ranges in order, that the bucket falls on.
[[nodiscard]] MCOMP_WORKFLOW_API std::optional<std::size_t>
optimizely_allocation(std::uint32_t bucket, std::span<const std::uint32_t> ends) noexcept;

/// Unleash: a number 1 .. normalizer of "group:id". Variants use the seed `unleash_variant_seed`. A normalizer of 0
/// counts as 1.
[[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t
unleash_normalized(std::string_view id, std::string_view group, std::uint32_t normalizer = 100, std::uint32_t seed = 0);
inline constexpr std::uint32_t unleash_variant_seed = 86028157;

/// GrowthBook's hash of a value under a seed: version 1 in thousandths, version 2 (unbiased) in ten-thousandths of
/// [0, 1). Nothing for another version. FNV-1a runs over UTF-16 code units, as in the JavaScript SDK.
[[nodiscard]] MCOMP_WORKFLOW_API std::optional<double> growthbook_hash(std::string_view seed, std::string_view value,
                                                                       int version);
/// A half-open range of [0, 1].
using BucketRange = std::pair<double, double>;
/// n times 1/n; empty below 1 and above 10,000, beyond which no bucket of a hash is left for each.
[[nodiscard]] MCOMP_WORKFLOW_API std::vector<double> growthbook_equal_weights(int variations);
/// The ranges of the variations under a coverage (clamped to [0, 1]); weights that are of another number or do not sum
/// to 1 (within 1 %) are replaced by equal ones.
[[nodiscard]] MCOMP_WORKFLOW_API std::vector<BucketRange> growthbook_bucket_ranges(int variations, double coverage,
                                                                                   std::span<const double> weights);
/// The first range that holds n, -1 where none does.
[[nodiscard]] MCOMP_WORKFLOW_API int growthbook_choose_variation(double n,
                                                                 std::span<const BucketRange> ranges) noexcept;
/// Whether a unit lies in the part of a namespace, by the hash of version 1.
[[nodiscard]] MCOMP_WORKFLOW_API bool growthbook_in_namespace(std::string_view value, std::string_view name,
                                                              BucketRange range);

} // namespace mcomp::inline v0::rollout
