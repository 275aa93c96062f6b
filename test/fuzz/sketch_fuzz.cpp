// libFuzzer program for the reader of sketches: a refusal is a whole Error, and an accepted sketch writes the bytes
// that it was read from and works.

#include <algorithm>
#include <vector>

#include "mcomp/stats/sketch.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  auto sketch = mcomp::stats::QuantileSketch::from_bytes(bytes);
  if (!sketch) {
    mcomp_fuzz::demand_whole(sketch.error());
    return 0;
  }
  const auto written = sketch->to_bytes();
  mcomp_fuzz::demand(std::equal(written.begin(), written.end(), bytes.begin(), bytes.end()));
  if (const auto median = sketch->quantile(0.5))
    mcomp_fuzz::demand(sketch->min() <= *median && *median <= sketch->max());
  auto twice = *sketch;
  if (const auto merged = twice.merge(*sketch); !merged) mcomp_fuzz::demand_whole(merged.error()); // beyond 2^62 values
  twice.add(1e300);
  twice.add(-1e-300);
  return 0;
}
