// libFuzzer program for definitions of flagd: what is read is also asked.

#include "mcomp/rollout/flagd.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::rollout;
  const auto flags = Flagd::parse(mcomp_fuzz::text(data, size));
  if (!flags) return mcomp_fuzz::demand_whole(flags.error()), 0;
  for (const char* name : {"f", "g"}) {
    const auto decision = flags->evaluate(name, R"({"targetingKey": "u", "user": {"name": "x"}, "n": [1, 2, 3]})", 5);
    if (!decision)
      mcomp_fuzz::demand_whole(decision.error());
    else
      mcomp_fuzz::demand(!decision->reason.empty());
  }
  return 0;
}
