// libFuzzer program for flags, ledgers and sticky arms.

#include "mcomp/rollout/flags.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::rollout;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const auto written = [](const auto& value) { return to_json(value); };
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return Ledger::parse(text); }, written);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return StickyArms::parse(text); }, written);
  const auto set = FlagSet::parse(input);
  if (!set) return mcomp_fuzz::demand_whole(set.error()), 0;
  mcomp_fuzz::demand(FlagSet::parse(to_json(*set).value()).value() == *set);
  const auto snapshot = FlagSnapshot::compile(*set);
  if (!snapshot) return mcomp_fuzz::demand_whole(snapshot.error()), 0;
  const Attribute attributes[] = {{"region", "eu"}, {"age", 3}, {"beta", true}, {"version", "1.2.3-rc.1"}};
  for (const Flag& flag : set->flags) {
    const Decision decision = (*snapshot)->decide(flag.key, {.unit = "u", .attributes = attributes});
    mcomp_fuzz::demand(!decision.variant.empty() && decision.reason != Reason::unknown_flag);
    for (const Rule& rule : flag.rules)
      if (rule.split) {
        const auto next = rule.split->reweighed({{"a", 1}, {rule.split->arms[0] + "x", 2}});
        mcomp_fuzz::demand(next && next->check() &&
                           moved_positions(*rule.split, *next) == fewest_moves(*rule.split, *next));
      }
  }
  return 0;
}
