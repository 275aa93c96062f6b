// libFuzzer program for features of Unleash: what is read is also asked.

#include "mcomp/rollout/unleash.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::rollout;
  const auto flags = Unleash::parse(mcomp_fuzz::text(data, size));
  if (!flags) return mcomp_fuzz::demand_whole(flags.error()), 0;
  const UnleashContext context{.user_id = "7",
                               .remote_address = "10.1.2.3",
                               .hostname = "h",
                               .current_time = "2026-01-02T03:04:05+01:00",
                               .properties = {{"x", "1.2.3"}},
                               .random = 5};
  for (const char* name : {"f", "g", "h"}) {
    const UnleashVariant variant = flags->variant(name, context);
    mcomp_fuzz::demand(variant.feature_enabled == flags->enabled(name, context));
  }
  return 0;
}
