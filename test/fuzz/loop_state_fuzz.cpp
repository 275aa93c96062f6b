// libFuzzer program for what the loop keeps: what is accepted is written, and read back the same.

#include "mcomp/loop/cycle.hpp"
#include "mcomp/loop/trigger.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::loop;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const auto write = [](const auto& value) { return to_json(value); };
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return Trigger::parse(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return Observation::parse(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return TriggerRules::parse(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return WatchState::parse(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return CycleState::parse(text); }, write);
  return 0;
}
