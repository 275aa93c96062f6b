// libFuzzer program for pages of metrics: what is accepted is written, and the written page is accepted and stays.

#include "mcomp/monitor/metrics_text.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::monitor;
  const auto families = parse_open_metrics(mcomp_fuzz::text(data, size), "fuzz");
  if (!families) {
    mcomp_fuzz::demand_whole(families.error());
    return 0;
  }
  const auto page = to_open_metrics(*families);
  mcomp_fuzz::demand(page.has_value());
  const auto again = parse_open_metrics(*page, "again");
  mcomp_fuzz::demand(again && to_open_metrics(*again).value() == *page);
  static_cast<void>(to_prometheus_text(*families));
  return 0;
}
