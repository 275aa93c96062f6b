#include "mcomp/cost/carbon.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using cost::Carbon;
using cost::CarbonInput;

TEST_CASE("carbon intensity by hand") {
  // Four machines of 120 W for a month of 730 hours: 350.4 kWh; at 400 g each 140.16 kg. A machine of 1,000 kg over
  // four years, half of it ours: 4 x 1e6 g x 730 / 35040 / 2 = 41,666.67 g.
  const CarbonInput input{.watts_per_machine = 120,
                          .machines = 4,
                          .hours = 730,
                          .requests = 1e9,
                          .grams_per_kwh = 400,
                          .embodied_grams_per_machine = 1e6,
                          .resource_share = 0.5};
  const Carbon result = cost::carbon(input).value();
  CHECK(result.energy_kwh == Approx(350.4).epsilon(1e-14));
  CHECK(result.operational_grams == Approx(140160).epsilon(1e-14));
  CHECK(result.embodied_grams == Approx(125000.0 / 3).epsilon(1e-14));
  CHECK(result.grams_per_request == Approx((140160 + 125000.0 / 3) / 1e9).epsilon(1e-14));
  CHECK(result.kwh_per_request == Approx(350.4e-9).epsilon(1e-14));
  CHECK(fmt::format("{}", result) == "350.4 kWh, 181827 g CO2e (41666.7 g embodied), 0.000181827 g per request");
  CHECK(to_json(result).find("\"energy_kwh\": 350.4") != std::string::npos);

  CarbonInput other = input;
  other.facility_factor = 1.5;
  CHECK(cost::carbon(other)->operational_grams == Approx(1.5 * 140160).epsilon(1e-14));
  CHECK(cost::carbon(other)->embodied_grams == result.embodied_grams);
  // Half the machines, as after a compression, halve all of it; 10^12 requests are only a large number.
  other = input;
  other.machines = 2;
  CHECK(cost::carbon(other)->grams_per_request == Approx(result.grams_per_request / 2).epsilon(1e-14));
  other.requests = 1e12;
  CHECK(cost::carbon(other)->grams_per_request == Approx(result.grams_per_request / 2000).epsilon(1e-14));
}

TEST_CASE("carbon of what cannot be is refused") {
  const CarbonInput good{.watts_per_machine = 120, .machines = 4, .hours = 730, .requests = 1, .grams_per_kwh = 400};
  CHECK(cost::carbon(good));
  const auto refused = [&](auto&& change) {
    CarbonInput input = good;
    change(input);
    const auto result = cost::carbon(input);
    return !result && result.error().code() == ErrorCode::invalid_value && mcomp_test::well_formed(result.error());
  };
  CHECK(refused([](auto& i) { i.watts_per_machine = -1; }));
  CHECK(refused([](auto& i) { i.watts_per_machine = NAN; }));
  CHECK(refused([](auto& i) { i.machines = -1; }));
  CHECK(refused([](auto& i) { i.hours = std::numeric_limits<double>::infinity(); }));
  CHECK(refused([](auto& i) { i.requests = 0; }));
  CHECK(refused([](auto& i) { i.grams_per_kwh = -400; }));
  CHECK(refused([](auto& i) { i.facility_factor = 0.9; }));
  CHECK(refused([](auto& i) { i.embodied_grams_per_machine = NAN; }));
  CHECK(refused([](auto& i) { i.lifetime_hours = 0; }));
  CHECK(refused([](auto& i) { i.lifetime_hours = 700; }));
  CHECK(refused([](auto& i) { i.resource_share = 1.1; }));
  CHECK(refused([](auto& i) { i.watts_per_machine = i.machines = 1e200; }));
}
