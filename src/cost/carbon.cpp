#include "mcomp/cost/carbon.hpp"

#include <cmath>
#include <utility>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

Result<Carbon> carbon(const CarbonInput& input) {
  const auto bad = [](const char* name, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_value, name, rule, remedy);
  };
  for (const auto& [name, value] :
       {std::pair("watts_per_machine", input.watts_per_machine), std::pair("machines", input.machines),
        std::pair("hours", input.hours), std::pair("requests", input.requests),
        std::pair("grams_per_kwh", input.grams_per_kwh), std::pair("facility_factor", input.facility_factor),
        std::pair("embodied_grams_per_machine", input.embodied_grams_per_machine),
        std::pair("lifetime_hours", input.lifetime_hours), std::pair("resource_share", input.resource_share)})
    if (!std::isfinite(value) || value < 0)
      return bad(name, fmt::format("{} is not finite and >= 0", value), "pass what was measured or declared");
  if (input.requests == 0) return bad("requests", "there is none to divide by", "pass the requests of the hours");
  if (input.lifetime_hours == 0) return bad("lifetime_hours", "it is 0", "pass for example four years, 35040");
  if (input.facility_factor < 1)
    return bad("facility_factor", fmt::format("{} is below 1", input.facility_factor), "pass 1 where it is not known");
  if (input.resource_share > 1)
    return bad("resource_share", fmt::format("{} is above 1", input.resource_share), "pass the share of one machine");
  if (input.hours > input.lifetime_hours)
    return bad("hours", fmt::format("{} are beyond the lifetime of {}", input.hours, input.lifetime_hours),
               "count a period within it");
  Carbon result;
  result.energy_kwh = input.watts_per_machine * input.machines * input.hours / 1000 * input.facility_factor;
  result.operational_grams = result.energy_kwh * input.grams_per_kwh;
  result.embodied_grams =
      input.embodied_grams_per_machine * input.machines * (input.hours / input.lifetime_hours) * input.resource_share;
  result.grams_per_request = (result.operational_grams + result.embodied_grams) / input.requests;
  result.kwh_per_request = result.energy_kwh / input.requests;
  for (const double value :
       {result.energy_kwh, result.operational_grams, result.embodied_grams, result.grams_per_request})
    if (!std::isfinite(value)) return bad("carbon", "it overflows", "check the units");
  return result;
}

std::string to_string(const Carbon& carbon) {
  return fmt::format("{:.6g} kWh, {:.6g} g CO2e ({:.6g} g embodied), {:.6g} g per request", carbon.energy_kwh,
                     carbon.operational_grams + carbon.embodied_grams, carbon.embodied_grams, carbon.grams_per_request);
}

std::string to_json(const Carbon& carbon) {
  const mcomp::detail::Json root = {{"energy_kwh", carbon.energy_kwh},
                                    {"operational_grams", carbon.operational_grams},
                                    {"embodied_grams", carbon.embodied_grams},
                                    {"grams_per_request", carbon.grams_per_request},
                                    {"kwh_per_request", carbon.kwh_per_request}};
  return root.dump(2, ' ', false, mcomp::detail::Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::cost
