#include "mcomp/rollout/bucketing.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/rollout/hash.hpp"

using namespace mcomp;
using namespace mcomp::rollout;

namespace {

/// Owned positions by name, added up here.
std::map<std::string, std::uint64_t> shares(const Ledger& ledger) {
  std::map<std::string, std::uint64_t> sums;
  for (const LedgerInterval& i : ledger.intervals) sums[ledger.arms[i.arm]] += i.end - i.begin;
  return sums;
}

/// Twice the total variation distance of two ledgers' shares, in positions.
std::uint64_t distance(const Ledger& a, const Ledger& b) {
  const auto x = shares(a), y = shares(b);
  std::uint64_t sum = 0;
  const auto at = [](const auto& map, const std::string& key) {
    const auto found = map.find(key);
    return found == map.end() ? std::uint64_t{0} : found->second;
  };
  for (const auto& [name, width] : x) sum += std::max(width, at(y, name)) - std::min(width, at(y, name));
  for (const auto& [name, width] : y)
    if (!x.contains(name)) sum += width;
  return sum;
}

std::vector<ArmWeight> random_weights(Random& random, std::size_t arms) {
  // Now and then a sum of 100,000; now and then small or huge ones; zeros are common.
  const std::uint64_t scales[] = {3, 100, 100000, 200000000};
  const std::uint64_t scale = scales[random.below(4)];
  std::vector<ArmWeight> weights;
  for (std::size_t i = 0; i < arms; ++i)
    weights.push_back({std::string(1, static_cast<char>('a' + i)), random.below(3) == 0 ? 0 : random.below(scale + 1)});
  weights[random.below(arms)].weight += 1;
  return weights;
}

} // namespace

TEST_CASE("A change of weights moves exactly the least possible share, over 10^4 random schedules", "[rollout]") {
  Random random(8);
  std::uint64_t moved = 0, fewest = 0;
  std::size_t most_intervals = 0;
  for (int schedule = 0; schedule < 10000; ++schedule) {
    const std::size_t arms = 1 + random.below(8);
    Ledger ledger = Ledger::create(random_weights(random, arms)).value();
    for (int change = 0; change < 6; ++change) {
      auto weights = random_weights(random, arms);
      // Arms may leave, and be listed in any order.
      random.shuffle(std::span(weights));
      if (weights.size() > 1 && weights.back().weight == 0) weights.pop_back();
      const Ledger next = ledger.reweighed(weights).value();
      REQUIRE(next.check());
      const std::uint64_t sum = moved_positions(ledger, next);
      REQUIRE(2 * sum == distance(ledger, next));
      REQUIRE(sum == fewest_moves(ledger, next));
      moved += sum;
      fewest += distance(ledger, next) / 2;
      most_intervals = std::max(most_intervals, next.intervals.size());
      ledger = next;
    }
  }
  CHECK(static_cast<double>(moved) / static_cast<double>(fewest) == 1.0);
  CHECK(most_intervals < 64);
}

TEST_CASE("The position of a unit is MurmurHash3 of salt and unit, for all lengths of both", "[rollout]") {
  const std::string text = "The quick brown fox jumps over the lazy dog";
  for (std::size_t salt = 0; salt < 13; ++salt)
    for (std::size_t size = salt; size <= text.size(); ++size)
      REQUIRE(unit_hash(text.substr(0, salt), text.substr(salt, size - salt)) == murmur3_32(text.substr(0, size)));
}

TEST_CASE("Shares are the weights, to less than one position each", "[rollout]") {
  Random random(9);
  for (int round = 0; round < 2000; ++round) {
    const auto weights = random_weights(random, 1 + random.below(8));
    const Ledger ledger = Ledger::create(weights).value();
    std::uint64_t sum = 0;
    for (const ArmWeight& w : weights) sum += w.weight;
    for (const ArmWeight& w : weights) {
      // |owned * sum - weight * 2^32| < sum, in integers: |owned - exact share| < 1.
      const std::uint64_t product = ledger.owned(w.arm) * sum, exact = w.weight << 32;
      REQUIRE(std::max(product, exact) - std::min(product, exact) < sum);
      REQUIRE((w.weight == 0) == (ledger.owned(w.arm) == 0));
    }
  }
}

TEST_CASE("What moves is counted as a sample of units sees it", "[rollout]") {
  const Ledger before = Ledger::create({{"a", 50}, {"b", 30}, {"c", 20}}).value();
  const Ledger after = before.reweighed({{"a", 40}, {"b", 30}, {"c", 30}}).value();
  int moved = 0, wrong_way = 0;
  constexpr int units = 100000;
  for (int i = 0; i < units; ++i) {
    const std::uint32_t h = unit_hash("salt", std::to_string(i));
    if (before.arm(h) == after.arm(h)) continue;
    ++moved;
    if (before.arm(h) != "a" || after.arm(h) != "c") ++wrong_way;
  }
  // 10 % in expectation; 4 standard deviations.
  CHECK(std::abs(moved - units / 10) < 4 * 95);
  CHECK(wrong_way == 0);
}

TEST_CASE("A ramp never takes the candidate from a unit that has it", "[rollout]") {
  Ledger ledger = Ledger::create({{"baseline", 100}, {"candidate", 0}}).value();
  std::vector<bool> exposed(20000, false);
  for (const std::uint64_t percent : {1U, 5U, 25U, 50U, 100U}) {
    ledger = ledger.reweighed({{"baseline", 100 - percent}, {"candidate", percent}}).value();
    for (std::size_t i = 0; i < exposed.size(); ++i) {
      const bool now = ledger.arm(unit_hash("r", std::to_string(i))) == "candidate";
      REQUIRE((now || !exposed[i]));
      exposed[i] = now;
    }
  }
  CHECK(ledger.owned("candidate") == Ledger::positions);
  CHECK(ledger.revision == 6);
}

TEST_CASE("The first and last position have an arm, and so has one of weight 1 among two billion", "[rollout]") {
  const Ledger ledger = Ledger::create({{"rare", 1}, {"rest", 2147483646}}).value();
  CHECK(ledger.owned("rare") == 2);
  CHECK(ledger.arm(0) == "rare");
  CHECK(ledger.arm(1) == "rare");
  CHECK(ledger.arm(2) == "rest");
  CHECK(ledger.arm(0xffffffffU) == "rest");
}

TEST_CASE("The order in which arms are given decides nothing about their shares", "[rollout]") {
  const Ledger a = Ledger::create({{"x", 1}, {"y", 1}, {"z", 1}}).value();
  const Ledger b = Ledger::create({{"z", 1}, {"x", 1}, {"y", 1}}).value();
  CHECK(shares(a) == shares(b));
  CHECK(a.reweighed({{"y", 2}, {"z", 2}, {"x", 2}}).value().owned("x") == a.owned("x"));
  CHECK(moved_positions(a, a.reweighed({{"y", 2}, {"z", 2}, {"x", 2}}).value()) == 0);
}

TEST_CASE("A sticky unit keeps its arm until that arm is rolled back", "[rollout]") {
  const Ledger before = Ledger::create({{"a", 50}, {"b", 50}}).value();
  const Ledger after = before.reweighed({{"a", 90}, {"b", 10}}).value();
  std::vector<std::string> units;
  for (int i = 0; i < 1000; ++i) units.push_back(std::to_string(i));
  const StickyArms sticky = keep_arms(before, after, {}, "s", units);
  // Only those that would have moved are recorded: 40 % of them, within 4 standard deviations.
  CHECK(std::abs(static_cast<int>(sticky.arms.size()) - 400) < 62);
  for (const std::string& unit : units) CHECK(assign(after, sticky, "s", unit).arm == before.arm(unit_hash("s", unit)));
  const Ledger rolled_back = after.reweighed({{"a", 1}}).value();
  for (const std::string& unit : units) CHECK(assign(rolled_back, sticky, "s", unit).arm == "a");
  CHECK(StickyArms::parse(to_json(sticky)).value() == sticky);
}

TEST_CASE("A ledger's JSON reads back, and anything that is no whole ledger is refused", "[rollout]") {
  const Ledger ledger = Ledger::create({{"a", 2}, {"b", 1}}).value().reweighed({{"a", 1}, {"b", 1}, {"c", 3}}).value();
  CHECK(Ledger::parse(to_json(ledger)).value() == ledger);
  CHECK(fmt::format("{}", Ledger::create({{"a", 3}, {"b", 1}}).value()) ==
        "a 75.000 %, b 25.000 % (revision 1, 2 intervals)");
  const auto refused = [](const std::string& text, ErrorCode code = ErrorCode::corrupt) {
    const auto result = Ledger::parse(text);
    INFO(text);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == code);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  const std::string head = R"({"schema": "mcomp-ledger-1", "revision": 1, "arms": ["a", "b"], "intervals": )";
  CHECK(Ledger::parse(head + "[[0, 1, 0], [1, 4294967296, 1]]}"));
  refused(head + "[[0, 1, 0], [2, 4294967296, 1]]}");
  refused(head + "[[0, 1, 0], [1, 4294967295, 1]]}");
  refused(head + "[[0, 1, 0], [1, 4294967297, 1]]}");
  refused(head + "[[0, 1, 0], [1, 4294967296, 2]]}");
  refused(head + "[[0, 1, 0], [1, 4294967296, 4294967297]]}");
  refused(head + "[[0, 1, 0], [1, 4294967296, 0]]}");
  refused(head + "[[0, -1, 0]]}");
  refused(head + "[5]}");
  refused(head + "[]}");
  refused(R"({"schema": "mcomp-ledger-2", "revision": 1, "arms": ["a"], "intervals": [[0, 4294967296, 0]]})",
          ErrorCode::version_mismatch);
  refused(R"({"schema": "mcomp-ledger-1", "revision": 1, "arms": ["a", "a"], "intervals": [[0, 4294967296, 0]]})");
  refused("[");
}

TEST_CASE("Weights that make no split are refused", "[rollout]") {
  const auto refused = [](const std::vector<ArmWeight>& weights) {
    const auto result = Ledger::create(weights);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  refused({});
  refused({{"a", 0}});
  refused({{"", 1}});
  refused({{"a", 1}, {"a", 1}});
  refused({{"a", 2147483648ULL}});
  refused({{"a", 1}, {"b", ~std::uint64_t{0}}});
}
