#pragma once

#include <string>

#include "mcomp/core/export.hpp"
#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

// Energy and carbon by the Software Carbon Intensity specification of the Green Software Foundation (ISO/IEC
// 21031:2024):
//
//     SCI = (E I + M) / R,     M = total embodied emissions x (time used / lifetime) x (resources used / resources)
//
// with the energy E in kWh, the grid's intensity I in grams of CO2 equivalent per kWh, the embodied emissions M of the
// share of the hardware that is used, and R functional units, here requests. Power and intensity are inputs: measure
// the one, and take the other from the grid's operator, for the place and time of use.
//
//     auto sci = mcomp::cost::carbon({.watts_per_machine = 120, .machines = 4, .hours = 730, .requests = 1e9,
//                                     .grams_per_kwh = 400}).value();
//     sci.grams_per_request;

namespace mcomp::inline v0::cost {

struct CarbonInput {
  double watts_per_machine = 0; ///< mean, at the load that is served
  double machines = 0;          ///< mean number over the hours
  double hours = 0;
  double requests = 0;      ///< R, served in the hours; > 0
  double grams_per_kwh = 0; ///< I
  /// Energy that the building takes over what its machines take (power usage effectiveness), >= 1.
  double facility_factor = 1;
  double embodied_grams_per_machine = 0; ///< of making it; 0 leaves M out
  double lifetime_hours = 35040;         ///< that a machine is expected to run: four years
  double resource_share = 1;             ///< of a machine that is reserved for this service: its processors over all
};

struct Carbon {
  double energy_kwh = 0;
  double operational_grams = 0; ///< E I
  double embodied_grams = 0;    ///< M
  double grams_per_request = 0; ///< SCI
  double kwh_per_request = 0;
  friend bool operator==(const Carbon&, const Carbon&) = default;
};

/// Errors: invalid_value for inputs that are negative, NaN or infinite, requests or a lifetime of 0, a facility factor
/// below 1, a share above 1, hours beyond the lifetime, and results that overflow.
[[nodiscard]] MCOMP_API Result<Carbon> carbon(const CarbonInput& input);

/// "350.4 kWh, 140160 g CO2e (0 g embodied), 0.00014016 g per request"
[[nodiscard]] MCOMP_API std::string to_string(const Carbon& carbon);
/// One JSON object with the members above.
[[nodiscard]] MCOMP_API std::string to_json(const Carbon& carbon);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::Carbon> = true;
} // namespace mcomp::inline v0
