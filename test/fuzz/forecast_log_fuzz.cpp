// libFuzzer program for logs of forecasts.

#include "mcomp/cost/forecast_log.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::cost::ForecastLog;
  mcomp_fuzz::round_trip(
      mcomp_fuzz::text(data, size), [](std::string_view text) { return ForecastLog::parse(text, "fuzz"); },
      [](const ForecastLog& log) { return to_json(log); });
  return 0;
}
