#include "mcomp/rollout/hash.hpp"

#include <fstream>
#include <iterator>
#include <vector>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"

using namespace mcomp;
using namespace mcomp::rollout;
using Json = nlohmann::json;

TEST_CASE("MurmurHash3 x86-32 gives the published values, for every length of the tail", "[rollout]") {
  CHECK(murmur3_32("") == 0);
  CHECK(murmur3_32("", 1) == 0x514e28b7U);
  CHECK(murmur3_32("", 0xffffffffU) == 0x81f16f39U);
  CHECK(murmur3_32("hello") == 0x248bfa47U);
  CHECK(murmur3_32("The quick brown fox jumps over the lazy dog", 0x9747b28cU) == 0x2fa826cdU);
  // flagd's testbed: keys whose hash lies at the borders.
  CHECK(murmur3_32("ejOoVL") == 0);
  CHECK(murmur3_32("bY9fO-") == 1);
  CHECK(murmur3_32("SI7p-") == 2147483647U);
  CHECK(murmur3_32("6LvT0") == 2147483648U);
  CHECK(murmur3_32("ceQdGm") == 4294967295U);
}

TEST_CASE("A hash maps to slots in integers, as flagd v2 does", "[rollout]") {
  const std::vector<std::string> suits = {"clubs", "diamonds", "hearts", "spades"};
  const auto suit = [&](const std::string& key) { return suits[slot_of(murmur3_32(key), 100) / 25]; };
  CHECK(murmur3_32("fractional-flagjack") == 2682799072U);
  CHECK(murmur3_32("fractional-flagqueen") == 4278517551U);
  CHECK(murmur3_32("fractional-flagten") == 801845258U);
  CHECK(murmur3_32("fractional-flagnine") == 1406129861U);
  CHECK(murmur3_32("fractional-flag3") == 604371928U);
  CHECK(suit("fractional-flagjack") == "hearts");
  CHECK(suit("fractional-flagqueen") == "spades");
  CHECK(suit("fractional-flagten") == "clubs");
  CHECK(suit("fractional-flagnine") == "diamonds");
  CHECK(suit("fractional-flag3") == "clubs");
  CHECK(suit("shared-seedseven") == "hearts");
  CHECK(suit("shared-seedeight") == "diamonds");
  CHECK(suit("shared-seednine") == "clubs");
  CHECK(suit("shared-seedtwo") == "spades");
  CHECK(slot_of(0xffffffffU, 0x7fffffffU) == 0x7ffffffeU);
  CHECK(slot_of(7, 0) == 0);
}

TEST_CASE("FNV-1a gives the published values", "[rollout]") {
  // draft-eastlake-fnv, 32-bit test vectors.
  CHECK(fnv1a_32("") == 0x811c9dc5U);
  CHECK(fnv1a_32("a") == 0xe40c292cU);
  CHECK(fnv1a_32("foobar") == 0xbf9cf968U);
}

TEST_CASE("Buckets of LaunchDarkly are those of its SDKs", "[rollout]") {
  const LaunchDarklyRollout plain{.flag_key = "hashKey", .salt = "saltyA", .seed = {}};
  CHECK(launchdarkly_bucket(plain, "userKeyA").value() == Approx(0.42157587).margin(1e-7));
  CHECK(launchdarkly_bucket(plain, "userKeyB").value() == Approx(0.6708485).margin(1e-7));
  CHECK(launchdarkly_bucket(plain, "userKeyC").value() == Approx(0.10343106).margin(1e-7));
  const LaunchDarklyRollout seeded{.flag_key = "hashKey", .salt = "saltyA", .seed = 61};
  CHECK(launchdarkly_bucket(seeded, "userKeyA").value() == Approx(0.09801207).margin(1e-7));
  CHECK(launchdarkly_bucket(seeded, "userKeyB").value() == Approx(0.14483777).margin(1e-7));
  CHECK(launchdarkly_bucket(seeded, "userKeyC").value() == Approx(0.9242641).margin(1e-7));
  CHECK(launchdarkly_bucket(plain, 33333.0).value() == Approx(0.54771423).margin(1e-7));
  CHECK(launchdarkly_bucket(plain, "33333").value() == launchdarkly_bucket(plain, 33333.0).value());
  CHECK(launchdarkly_bucket(plain, 999.999).value() == 0);
  CHECK(launchdarkly_bucket(plain, 1e300).value() == 0);
}

TEST_CASE("Weights of LaunchDarkly are hundred-thousandths, and the last takes the rest", "[rollout]") {
  const std::vector<std::uint32_t> weights = {60000, 40000};
  CHECK(launchdarkly_variation(0.42157587, weights) == 0);
  CHECK(launchdarkly_variation(0.6708485, weights) == 1);
  CHECK(launchdarkly_variation(0.10343106, weights) == 0);
  CHECK(launchdarkly_variation(1.0, weights) == 1);
  CHECK_FALSE(launchdarkly_variation(0.5, {}).has_value());
}

TEST_CASE("Buckets of Optimizely are those of its SDKs", "[rollout]") {
  CHECK(optimizely_bucket("ppid1", "1886780721") == 5254);
  CHECK(optimizely_bucket("ppid2", "1886780721") == 4299);
  const std::vector<std::uint32_t> ends = {5000, 5000, 9000};
  CHECK(optimizely_allocation(4299, ends) == 0);
  CHECK(optimizely_allocation(5254, ends) == 2);
  CHECK_FALSE(optimizely_allocation(9000, ends).has_value());
}

TEST_CASE("Unleash's normalized hash lies in 1 .. normalizer", "[rollout]") {
  // Unleash's own SDK tests: murmur3 with the two seeds.
  CHECK(unleash_normalized("123", "gr1") == 73);
  CHECK(unleash_normalized("999", "groupX") == 25);
  CHECK(unleash_normalized("123", "gr1", 100, unleash_variant_seed) == 96);
  CHECK(unleash_normalized("999", "groupX", 100, unleash_variant_seed) == 60);
  CHECK(unleash_normalized("x", "y", 0) == 1);
}

TEST_CASE("GrowthBook's SDK cases: hash, ranges, choice, namespaces, equal weights", "[rollout]") {
  const auto path = mcomp_test::data("flags/growthbook_cases.json");
  if (!path) return;
  std::ifstream file(*path);
  const Json cases = Json::parse(file);
  const auto ranges_of = [](const Json& json) {
    std::vector<BucketRange> ranges;
    for (const Json& range : json) ranges.emplace_back(range[0].get<double>(), range[1].get<double>());
    return ranges;
  };
  REQUIRE(cases["hash"].size() == 15);
  for (const Json& c : cases["hash"]) {
    INFO(c.dump());
    const auto n = growthbook_hash(c[0].get<std::string>(), c[1].get<std::string>(), c[2].get<int>());
    REQUIRE(n.has_value() == !c[3].is_null());
    if (n) CHECK(*n == c[3].get<double>());
  }
  for (const Json& c : cases["getBucketRange"]) {
    INFO(c.dump());
    const Json& arguments = c[1];
    const auto weights = arguments[2].is_null() ? std::vector<double>() : arguments[2].get<std::vector<double>>();
    const auto ranges = growthbook_bucket_ranges(arguments[0].get<int>(), arguments[1].get<double>(), weights);
    const auto expected = ranges_of(c[2]);
    REQUIRE(ranges.size() == expected.size());
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      CHECK(ranges[i].first == Approx(expected[i].first).margin(1e-9));
      CHECK(ranges[i].second == Approx(expected[i].second).margin(1e-9));
    }
  }
  for (const Json& c : cases["chooseVariation"]) {
    INFO(c.dump());
    CHECK(growthbook_choose_variation(c[1].get<double>(), ranges_of(c[2])) == c[3].get<int>());
  }
  for (const Json& c : cases["inNamespace"]) {
    INFO(c.dump());
    CHECK(growthbook_in_namespace(c[1].get<std::string>(), c[2][0].get<std::string>(),
                                  {c[2][1].get<double>(), c[2][2].get<double>()}) == c[3].get<bool>());
  }
  for (const Json& c : cases["getEqualWeights"]) {
    INFO(c.dump());
    const auto weights = growthbook_equal_weights(c[0].get<int>());
    REQUIRE(weights.size() == c[1].size());
    for (std::size_t i = 0; i < weights.size(); ++i) CHECK(weights[i] == Approx(c[1][i].get<double>()).margin(1e-8));
  }
}

TEST_CASE("Text beyond ASCII hashes as in each system's own language", "[rollout]") {
  // U+1F600 is one character of four bytes, two UTF-16 units d83d de00; both runs of FNV-1a written out here.
  const auto step = [](std::uint32_t h, std::uint32_t unit) { return (h ^ unit) * 0x01000193U; };
  const std::uint32_t units = step(step(0x811c9dc5U, 0xd83dU), 0xde00U);
  CHECK(*growthbook_hash("", "\xf0\x9f\x98\x80", 1) == (units % 1000) / 1000.0);
  // A lone continuation byte is a character of its own.
  CHECK(*growthbook_hash("", "\x80", 1) == (step(0x811c9dc5U, 0x80U) % 1000) / 1000.0);
}
