// libFuzzer program for price lists of others: what is accepted must also be a catalogue that reads back.

#include "mcomp/cost/price_import.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::cost::PriceCatalogue;
  const auto list = mcomp::cost::parse_price_list(mcomp_fuzz::text(data, size), "fuzz", {.date = "2026-07-20"});
  if (!list) {
    mcomp_fuzz::demand_whole(list.error());
    return 0;
  }
  const auto again = PriceCatalogue::parse(to_json(list->catalogue), "again");
  mcomp_fuzz::demand(again && *again == list->catalogue);
  return 0;
}
