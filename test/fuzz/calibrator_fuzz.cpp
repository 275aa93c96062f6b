// libFuzzer program for stored calibrators.

#include "mcomp/calibrate/calibrator.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::calibrate::Calibrator;
  const auto calibrator = Calibrator::from_json(mcomp_fuzz::text(data, size), "fuzz");
  if (!calibrator) return mcomp_fuzz::demand_whole(calibrator.error()), 0;
  const auto again = Calibrator::from_json(calibrator->to_json(), "fuzz");
  mcomp_fuzz::demand(again && again->to_json() == calibrator->to_json());
  return 0;
}
