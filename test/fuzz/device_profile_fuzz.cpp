// libFuzzer program for device profiles: what is accepted must survive its own text.

#include "mcomp/cost/device_profile.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::cost::DeviceProfile;
  const auto profile = DeviceProfile::parse(mcomp_fuzz::text(data, size), "fuzz");
  if (!profile) {
    mcomp_fuzz::demand_whole(profile.error());
    return 0;
  }
  const auto again = DeviceProfile::parse(to_json(*profile), "again");
  mcomp_fuzz::demand(again && *again == *profile);
  return 0;
}
