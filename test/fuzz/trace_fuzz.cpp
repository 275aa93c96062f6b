// libFuzzer program for recorded traces, of counts and of arrivals: what is read keeps the rules of a trace.

#include "mcomp/cost/trace.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::cost;
  const auto text = mcomp_fuzz::text(data, size);
  for (const Gaps gaps : {Gaps::fill, Gaps::silence}) {
    const auto trace = RequestTrace::parse(text, "fuzz", {.gaps = gaps});
    if (trace)
      mcomp_fuzz::demand(trace->summary() && trace->summary()->filled <= trace->summary()->intervals);
    else
      mcomp_fuzz::demand_whole(trace.error());
  }
  const auto arrivals = ArrivalTrace::parse(text, "fuzz");
  if (arrivals)
    mcomp_fuzz::demand(arrivals->check().has_value());
  else
    mcomp_fuzz::demand_whole(arrivals.error());
  return 0;
}
