// libFuzzer program for plans.

#include "mcomp/compress/plan.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::compress;
  mcomp_fuzz::round_trip(
      mcomp_fuzz::text(data, size), [](std::string_view text) { return plan_from_json(text, "fuzz"); },
      [](const Plan& plan) { return to_json(plan); });
  return 0;
}
