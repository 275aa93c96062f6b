// libFuzzer program for the options of the anomaly detector, and for the detector on any numbers: what it says stays
// within its bounds.

#include <cmath>
#include <cstring>

#include "mcomp/monitor/anomaly.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::monitor;
  mcomp_fuzz::round_trip(
      mcomp_fuzz::text(data, size), [](std::string_view text) { return AnomalyOptions::parse(text); },
      [](const AnomalyOptions& options) { return to_json(options); });

  // Few rows are at hand: short windows and blocks, so that every part is in use.
  AnomalyDetector detector =
      AnomalyDetector::create(
          {.warm_up = 0, .quiet = 1, .level_window = 3, .season_window = 2, .block = 2, .blocks = 4, .tail = 2})
          .value();
  double time = 0;
  for (std::size_t i = 0; i + sizeof(double) <= size; i += sizeof(double)) {
    double value = 0;
    std::memcpy(&value, data + i, sizeof value);
    const auto point = detector.update(time, value);
    if (!point) {
      mcomp_fuzz::demand_whole(point.error());
      continue;
    }
    time += 1e4;
    mcomp_fuzz::demand(point->score >= 0 && point->score <= 1 && std::isfinite(point->expected));
    mcomp_fuzz::demand(point->surprise >= 0 && point->surprise <= 5 * (1 + 1e-12));
    for (const double surprise : point->surprises) mcomp_fuzz::demand(surprise >= 0 && surprise <= 5);
  }
  return 0;
}
