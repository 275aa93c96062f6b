// libFuzzer program for canonical JSON: a canonical form is its own.

#include "mcomp/catalog/canonical_json.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::catalog::canonical_json;
  const auto canonical = canonical_json(mcomp_fuzz::text(data, size), "fuzz");
  if (!canonical) return mcomp_fuzz::demand_whole(canonical.error()), 0;
  mcomp_fuzz::demand(canonical_json(*canonical).value() == *canonical);
  return 0;
}
