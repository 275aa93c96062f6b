// libFuzzer program for traffic plans, rollout policies, states and events; a state that is read goes on.

#include "mcomp/rollout/stage_machine.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::rollout;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const auto written = [](const auto& value) { return to_json(value); };
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return TrafficPlan::parse(text); }, written);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return RolloutPolicy::parse(text); }, written);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return RolloutEvent::parse(text); }, written);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return RolloutState::parse(text); }, written);
  const RolloutPolicy policy;
  if (const auto state = RolloutState::parse(input)) {
    const Transition step = advance(
        *state, {.kind = EventKind::rollback, .time = 5, .text = {}, .artifact = {}, .approver = {}, .role = {}},
        policy);
    mcomp_fuzz::demand(exposed_share(step.state, policy) == 0);
  }
  if (const auto event = RolloutEvent::parse(input))
    mcomp_fuzz::demand(exposed_share(advance(begin_rollout("a", "b", 0), *event, policy).state, policy) == 0);
  return 0;
}
