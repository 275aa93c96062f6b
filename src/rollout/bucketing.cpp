#include "mcomp/rollout/bucketing.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include "rollout/ledger_json.hpp"
#include "rollout/salted_hash.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr const char* ledger_schema = "mcomp-ledger-1";
constexpr const char* sticky_schema = "mcomp-sticky-1";

Status check_names(std::span<const ArmWeight> weights) {
  const auto wrong = [](const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, "weights", rule, remedy);
  };
  if (weights.empty()) return wrong("no arm is given", "name at least one arm");
  if (weights.size() > Ledger::most_arms)
    return wrong(fmt::format("there are {} arms, at most {} can be", weights.size(), Ledger::most_arms),
                 "split in two steps");
  std::set<std::string_view> seen;
  for (const ArmWeight& w : weights) {
    if (w.arm.empty()) return wrong("an arm has no name", "name it");
    if (!seen.insert(w.arm).second) return wrong("the arm \"" + w.arm + "\" is given twice", "add its weights up");
  }
  return {};
}

/// How many positions each arm is to own: its exact share rounded down, and what is left to the largest remainders; of
/// equal ones the first by name, so that the order in which arms are given decides nothing.
Result<std::vector<std::uint64_t>> targets_of(std::span<const ArmWeight> weights) {
  MCOMP_CHECK(check_names(weights));
  constexpr std::uint64_t largest_sum = std::numeric_limits<std::int32_t>::max();
  std::uint64_t sum = 0;
  for (const ArmWeight& w : weights) {
    if (w.weight > largest_sum - sum)
      return Error(ErrorCode::invalid_argument, "weights", "they sum to more than 2^31 - 1",
                   "divide them by a common factor");
    sum += w.weight;
  }
  if (sum == 0) return Error(ErrorCode::invalid_argument, "weights", "they sum to 0", "give at least one arm a weight");
  std::vector<std::uint64_t> targets, remainders;
  std::vector<std::size_t> order;
  std::uint64_t left = Ledger::positions;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::uint64_t product = weights[i].weight << 32; // below 2^63
    targets.push_back(product / sum);
    remainders.push_back(product % sum);
    left -= targets.back();
    order.push_back(i);
  }
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return remainders[a] != remainders[b] ? remainders[a] > remainders[b] : weights[a].arm < weights[b].arm;
  });
  for (std::size_t k = 0; k < left; ++k) ++targets[order[k]];
  return targets;
}

/// Sorted, neighbours of one arm joined, empty ones dropped.
void normalize(std::vector<LedgerInterval>& intervals) {
  std::erase_if(intervals, [](const LedgerInterval& interval) { return interval.begin == interval.end; });
  std::ranges::sort(intervals, {}, &LedgerInterval::begin);
  std::vector<LedgerInterval> joined;
  for (const LedgerInterval& interval : intervals) {
    if (!joined.empty() && joined.back().arm == interval.arm)
      joined.back().end = interval.end;
    else
      joined.push_back(interval);
  }
  intervals = std::move(joined);
}

/// Takes `excess` positions from the intervals of one arm: its shortest ones whole, so that a ledger that changes often
/// does not fall into ever more pieces, then the end of the next.
void release(std::vector<LedgerInterval>& intervals, std::uint32_t arm, std::uint64_t excess,
             std::vector<LedgerInterval>& released) {
  std::vector<LedgerInterval*> own;
  for (LedgerInterval& interval : intervals)
    if (interval.arm == arm) own.push_back(&interval);
  std::ranges::stable_sort(own, {}, [](const LedgerInterval* i) { return i->end - i->begin; });
  for (LedgerInterval* interval : own) {
    const std::uint64_t taken = std::min(excess, interval->end - interval->begin);
    if (taken == 0) break;
    released.push_back({.begin = interval->end - taken, .end = interval->end, .arm = arm});
    interval->end -= taken;
    excess -= taken;
  }
}

/// Position by position, where both ledgers are piecewise constant: calls f(width, arm in a, arm in b).
template <class F> void each_common_piece(const Ledger& a, const Ledger& b, const F& f) {
  std::size_t i = 0, k = 0;
  std::uint64_t at = 0;
  while (i < a.intervals.size() && k < b.intervals.size()) {
    const std::uint64_t end = std::min(a.intervals[i].end, b.intervals[k].end);
    f(end - at, a.intervals[i].arm, b.intervals[k].arm);
    at = end;
    if (a.intervals[i].end == end) ++i;
    if (b.intervals[k].end == end) ++k;
  }
}

} // namespace

std::uint32_t unit_hash(std::string_view salt, std::string_view unit) noexcept {
  return detail::SaltedHash(salt)(unit);
}

Result<Ledger> Ledger::create(std::span<const ArmWeight> weights) {
  MCOMP_TRY(targets, targets_of(weights));
  Ledger ledger;
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    ledger.arms.push_back(weights[i].arm);
    ledger.intervals.push_back({.begin = at, .end = at + targets[i], .arm = static_cast<std::uint32_t>(i)});
    at += targets[i];
  }
  normalize(ledger.intervals);
  return ledger;
}

Result<Ledger> Ledger::reweighed(std::span<const ArmWeight> weights) const {
  MCOMP_CHECK(check());
  MCOMP_TRY(targets, targets_of(weights));
  Ledger next;
  next.revision = revision + 1;
  for (const ArmWeight& w : weights) next.arms.push_back(w.arm);
  // Old arms that are not named any more get numbers behind the new ones and give everything away.
  std::vector<std::uint32_t> renumbered;
  std::size_t count = weights.size();
  for (const std::string& name : arms) {
    const auto found = std::ranges::find(next.arms, name);
    renumbered.push_back(static_cast<std::uint32_t>(
        found != next.arms.end() ? static_cast<std::size_t>(found - next.arms.begin()) : count++));
  }
  targets.resize(count, 0);
  std::vector<std::uint64_t> has(count, 0);
  next.intervals = intervals;
  for (LedgerInterval& interval : next.intervals) {
    interval.arm = renumbered[interval.arm];
    has[interval.arm] += interval.end - interval.begin;
  }
  std::vector<LedgerInterval> released;
  for (std::uint32_t arm = 0; arm < count; ++arm)
    if (has[arm] > targets[arm]) release(next.intervals, arm, has[arm] - targets[arm], released);
  std::ranges::sort(released, {}, &LedgerInterval::begin);
  std::size_t piece = 0;
  for (std::uint32_t arm = 0; arm < count; ++arm) {
    for (std::uint64_t missing = targets[arm] > has[arm] ? targets[arm] - has[arm] : 0; missing > 0;) {
      LedgerInterval& from = released[piece];
      const std::uint64_t taken = std::min(missing, from.end - from.begin);
      next.intervals.push_back({.begin = from.begin, .end = from.begin + taken, .arm = arm});
      from.begin += taken;
      missing -= taken;
      if (from.begin == from.end) ++piece;
    }
  }
  normalize(next.intervals);
  return next;
}

std::uint32_t Ledger::arm_index(std::uint32_t position) const noexcept {
  const auto found = std::ranges::upper_bound(intervals, std::uint64_t{position}, {}, &LedgerInterval::end);
  return found->arm;
}

std::uint64_t Ledger::owned(std::string_view name) const noexcept {
  std::uint64_t sum = 0;
  for (const LedgerInterval& interval : intervals)
    if (arms[interval.arm] == name) sum += interval.end - interval.begin;
  return sum;
}

Status Ledger::check(const std::string& subject) const {
  const auto wrong = [&](std::string rule) {
    return Error(ErrorCode::corrupt, subject, std::move(rule), "make it with Ledger::create and reweighed");
  };
  std::set<std::string_view> seen;
  for (const std::string& name : arms)
    if (name.empty() || !seen.insert(name).second) return wrong("an arm has no name, or stands twice");
  if (arms.size() > most_arms) return wrong("it has too many arms");
  if (revision < 1) return wrong("its revision is below 1");
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const LedgerInterval& interval = intervals[i];
    if (interval.begin != at || interval.end <= at || interval.end > positions)
      return wrong(fmt::format("interval {} is [{}, {}), it must begin at {}", i, interval.begin, interval.end, at));
    if (interval.arm >= arms.size()) return wrong(fmt::format("interval {} is of arm {}", i, interval.arm));
    if (i > 0 && intervals[i - 1].arm == interval.arm)
      return wrong(fmt::format("intervals {} and {} are of one arm and not joined", i - 1, i));
    at = interval.end;
  }
  if (at != positions) return wrong(fmt::format("it ends at {}, not at 2^32", at));
  return {};
}

namespace detail {

Result<Ledger> read_ledger(const Json& json, const std::string& subject) {
  ObjectReader object(json, subject);
  MCOMP_CHECK(check_schema(object, subject, ledger_schema));
  Ledger ledger;
  ledger.arms = object.texts("arms");
  ledger.revision = object.integer("revision");
  for (const auto& row : object.array("intervals")) {
    const auto whole = [&](std::size_t k) { return row[k].is_number_unsigned(); };
    if (!row.is_array() || row.size() != 3 || !whole(0) || !whole(1) || !whole(2)) {
      object.fail("intervals", "an interval is not [begin, end, arm]", "write three whole numbers");
      break;
    }
    const auto arm = row[2].get<std::uint64_t>();
    ledger.intervals.push_back({.begin = row[0].get<std::uint64_t>(),
                                .end = row[1].get<std::uint64_t>(),
                                .arm = static_cast<std::uint32_t>(std::min<std::uint64_t>(arm, 0xffffffffU))});
  }
  MCOMP_CHECK(object.finish());
  MCOMP_CHECK(ledger.check(subject));
  return ledger;
}

Json json_of(const Ledger& ledger) {
  Json rows = Json::array();
  for (const LedgerInterval& interval : ledger.intervals) rows.push_back({interval.begin, interval.end, interval.arm});
  return {{"schema", ledger_schema}, {"revision", ledger.revision}, {"arms", ledger.arms}, {"intervals", rows}};
}

} // namespace detail

Result<Ledger> Ledger::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  return detail::read_ledger(json, subject);
}

std::string to_json(const Ledger& ledger) {
  return detail::dumped(detail::json_of(ledger));
}

std::string to_string(const Ledger& ledger) {
  std::string text;
  for (const std::string& name : ledger.arms)
    text += fmt::format("{}{} {:.3f} %", text.empty() ? "" : ", ", name,
                        100.0 * static_cast<double>(ledger.owned(name)) / static_cast<double>(Ledger::positions));
  return text + fmt::format(" (revision {}, {} intervals)", ledger.revision, ledger.intervals.size());
}

std::uint64_t moved_positions(const Ledger& from, const Ledger& to) {
  std::uint64_t moved = 0;
  each_common_piece(from, to, [&](std::uint64_t width, std::uint32_t a, std::uint32_t b) {
    if (from.arms[a] != to.arms[b]) moved += width;
  });
  return moved;
}

std::uint64_t fewest_moves(const Ledger& from, const Ledger& to) {
  // What the arms lose in all is what others win.
  std::uint64_t lost = 0;
  for (const std::string& name : from.arms) {
    const std::uint64_t before = from.owned(name), after = to.owned(name);
    if (before > after) lost += before - after;
  }
  return lost;
}

Result<StickyArms> StickyArms::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  detail::ObjectReader object(json, subject);
  MCOMP_CHECK(detail::check_schema(object, subject, sticky_schema));
  StickyArms sticky;
  const detail::Json* units = object.child("units");
  if (!units || !units->is_object()) {
    object.fail("units", "an object from unit to arm is needed", "write {\"unit\": \"arm\"}");
  } else {
    for (const auto& [unit, arm] : units->items()) {
      if (!arm.is_string()) {
        object.fail("units", "the arm of a unit is no string", "write it in quotes");
        break;
      }
      sticky.arms.emplace(unit, arm.get<std::string>());
    }
  }
  MCOMP_CHECK(object.finish());
  return sticky;
}

std::string to_json(const StickyArms& sticky) {
  detail::Json units = detail::Json::object();
  auto& members = units.get_ref<detail::Json::object_t&>(); // a map has no key twice, so appending needs no search
  for (const auto& [unit, arm] : sticky.arms) members.push_back({unit, arm});
  return detail::dumped({{"schema", sticky_schema}, {"units", units}});
}

Assignment assign(const Ledger& ledger, const StickyArms& sticky, std::string_view salt, std::string_view unit) {
  const std::uint32_t position = unit_hash(salt, unit);
  if (const auto found = sticky.arms.find(unit); found != sticky.arms.end() && ledger.owned(found->second) > 0)
    return {.arm = found->second, .position = position, .sticky = true};
  return {.arm = ledger.arm(position), .position = position, .sticky = false};
}

StickyArms keep_arms(const Ledger& from, const Ledger& to, const StickyArms& sticky, std::string_view salt,
                     std::span<const std::string> units) {
  StickyArms kept = sticky;
  for (const std::string& unit : units) {
    const Assignment before = assign(from, sticky, salt, unit), after = assign(to, sticky, salt, unit);
    if (before.arm != after.arm) kept.arms[unit] = before.arm;
  }
  return kept;
}

} // namespace mcomp::inline v0::rollout
