// libFuzzer program for descriptions of networks: what is accepted has shapes and multiply-adds, and is the same when
// written and read again.

#include "mcomp/graph/network.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::graph;
  mcomp_fuzz::round_trip(
      mcomp_fuzz::text(data, size), [](std::string_view text) { return network_from_json(text, "fuzz"); },
      [](const Network& network) {
        mcomp_fuzz::demand(infer_shapes(network).has_value());
        if (const auto operations = multiply_adds(network); !operations) mcomp_fuzz::demand_whole(operations.error());
        return to_json(network);
      });
  return 0;
}
