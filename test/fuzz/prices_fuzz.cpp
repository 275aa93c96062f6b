// libFuzzer program for price files.

#include "mcomp/cost/prices.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::cost::PriceCatalogue;
  mcomp_fuzz::round_trip(
      mcomp_fuzz::text(data, size), [](std::string_view text) { return PriceCatalogue::parse(text, "fuzz"); },
      [](const PriceCatalogue& catalogue) { return to_json(catalogue); });
  return 0;
}
