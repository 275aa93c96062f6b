// libFuzzer program for latency tables: what is accepted must survive its own text.

#include "mcomp/cost/objective.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::cost::LatencyTable;
  const auto table = LatencyTable::parse(mcomp_fuzz::text(data, size), "fuzz");
  if (!table) {
    mcomp_fuzz::demand_whole(table.error());
    return 0;
  }
  const auto again = LatencyTable::parse(to_json(*table), "again");
  mcomp_fuzz::demand(again && *again == *table);
  return 0;
}
