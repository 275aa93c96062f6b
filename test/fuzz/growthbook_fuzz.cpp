// libFuzzer program for contexts of GrowthBook: what is read is also asked.

#include "mcomp/rollout/growthbook.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::rollout;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const auto condition = growthbook_condition(input, R"({"id": "1", "n": 3, "v": "1.2.3", "tags": ["a", {"b": 1}]})");
  if (!condition) mcomp_fuzz::demand_whole(condition.error());
  const auto flags = GrowthBook::parse(input);
  if (!flags) return mcomp_fuzz::demand_whole(flags.error()), 0;
  for (const char* name : {"f", "g", "feature"}) {
    const auto feature = flags->feature(name);
    if (!feature)
      mcomp_fuzz::demand_whole(feature.error());
    else
      mcomp_fuzz::demand(!to_json(*feature).empty());
  }
  const auto result = flags->run(input);
  if (!result) mcomp_fuzz::demand_whole(result.error());
  return 0;
}
