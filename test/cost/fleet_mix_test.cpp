#include "mcomp/cost/fleet_mix.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using cost::FleetMix;
using cost::MachineType;

namespace {

/// Every slice to every type.
double brute_force(const std::vector<double>& rates, const std::vector<MachineType>& types, std::size_t slices) {
  std::vector<std::size_t> choice(rates.size() * slices, 0);
  double best = std::numeric_limits<double>::infinity();
  for (;;) {
    std::vector<double> load(types.size(), 0.0);
    for (std::size_t s = 0; s < choice.size(); ++s) {
      const std::size_t i = s / slices;
      if (rates[i] > 0) load[choice[s]] += rates[i] / types[choice[s]].throughput[i] / static_cast<double>(slices);
    }
    double price = 0;
    for (std::size_t j = 0; j < types.size(); ++j) {
      const double machines = std::ceil(load[j] - 1e-9);
      price += machines * types[j].price_per_hour;
      if (types[j].most && machines > static_cast<double>(*types[j].most))
        price = std::numeric_limits<double>::infinity();
    }
    best = std::min(best, price);
    std::size_t s = 0;
    while (s < choice.size() && choice[s] + 1 == types.size()) choice[s++] = 0;
    if (s == choice.size()) return best;
    ++choice[s];
  }
}

// config/example.json of the Melange repository: four classes of a total of 30 requests per second.
const std::vector<double> rates{0.2 * 30, 0.1 * 30, 0.5 * 30, 0.2 * 30};
const std::vector<MachineType> types{{.name = "A10G", .price_per_hour = 1.01, .throughput = {2, 1, 5, 2}},
                                     {.name = "A100-80GB", .price_per_hour = 3.67, .throughput = {20, 20, 40, 20}}};

} // namespace

TEST_CASE("the example of Melange: three A10G and one A100 for 6.70 an hour") {
  const FleetMix mix = cost::fleet_mix(rates, types).value();
  CHECK(mix.price_per_hour == Approx(6.70).epsilon(1e-14));
  CHECK(mix.shares[0].machines == 3);
  CHECK(mix.shares[1].machines == 1);
  CHECK(mix.price_per_hour == Approx(brute_force(rates, types, 1)).epsilon(1e-14));
  CHECK(mix.shares[0].utilization == 1);
  CHECK(to_json(mix).find("\"machines\": 3") != std::string::npos);
  CHECK(fmt::format("{}", mix).substr(0, 17) == "3 x A10G (100%), ");
  // One type alone costs 12 and 2 machines: 12.12 and 7.34.
  CHECK(cost::fleet_mix(rates, std::vector<MachineType>{types[0]}).value().price_per_hour == Approx(12.12));
  CHECK(cost::fleet_mix(rates, std::vector<MachineType>{types[1]}).value().price_per_hour == Approx(7.34));
  // A class in parts need not keep three small machines busy: one takes a third of a class.
  const FleetMix parts = cost::fleet_mix(rates, types, {.slices = 4}).value();
  CHECK(parts.price_per_hour == Approx(brute_force(rates, types, 4)).epsilon(1e-14));
  CHECK(parts.price_per_hour < 6.7);
}

TEST_CASE("the cheapest mix equals brute force on random loads") {
  Random random(8);
  int mixed = 0;
  for (int i = 0; i < 300; ++i) {
    const std::size_t classes = 1 + random.below(3), kinds = 1 + random.below(3), slices = 1 + random.below(2);
    std::vector<double> load(classes);
    for (double& r : load) r = random.below(6) == 0 ? 0 : 10 * random.uniform();
    std::vector<MachineType> machines;
    for (std::size_t j = 0; j < kinds; ++j) {
      MachineType type{
          .name = fmt::format("type {}", j), .price_per_hour = 0.5 + 3 * random.uniform(), .throughput = {}};
      for (std::size_t c = 0; c < classes; ++c) type.throughput.push_back(0.5 + 8 * random.uniform());
      if (j > 0 && random.below(3) == 0) type.most = static_cast<std::int64_t>(random.below(4));
      machines.push_back(type);
    }
    const FleetMix mix = cost::fleet_mix(load, machines, {.slices = static_cast<std::int64_t>(slices)}).value();
    CHECK(mix.price_per_hour == Approx(brute_force(load, machines, slices)).epsilon(1e-12).margin(1e-12));
    // The shares serve everything, within the machines that are paid for.
    double price = 0;
    int used = 0;
    for (std::size_t j = 0; j < kinds; ++j) {
      double busy = 0;
      for (std::size_t c = 0; c < classes; ++c)
        busy += mix.shares[j].class_share[c] * load[c] / machines[j].throughput[c];
      CHECK(busy <= static_cast<double>(mix.shares[j].machines) + 1e-9);
      price += static_cast<double>(mix.shares[j].machines) * machines[j].price_per_hour;
      used += mix.shares[j].machines > 0;
    }
    CHECK(price == Approx(mix.price_per_hour).epsilon(1e-12).margin(1e-12));
    for (std::size_t c = 0; c < classes; ++c) {
      double share = 0;
      for (const auto& s : mix.shares) share += s.class_share[c];
      CHECK(share == Approx(load[c] > 0 ? 1 : 0).margin(1e-12));
    }
    mixed += used > 1;
  }
  CHECK(mixed > 20);
}

TEST_CASE("a type that cannot serve a class is not asked to") {
  const std::vector<double> load{1, 1};
  const std::vector<MachineType> machines{{.name = "small", .price_per_hour = 1, .throughput = {10, 0}},
                                          {.name = "large", .price_per_hour = 5, .throughput = {1, 1}}};
  const FleetMix mix = cost::fleet_mix(load, machines).value();
  CHECK(mix.shares[0].class_share == std::vector<double>{1, 0});
  CHECK(mix.shares[1].class_share == std::vector<double>{0, 1});
  CHECK(cost::fleet_mix(std::vector<double>{0, 0}, machines).value().price_per_hour == 0);
}

TEST_CASE("loads that make no sense are refused") {
  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
  const auto code = [](const std::vector<double>& r, const std::vector<MachineType>& t,
                       const cost::FleetMixOptions& options = {}) {
    const auto mix = cost::fleet_mix(r, t, options);
    REQUIRE_FALSE(mix);
    CHECK(mcomp_test::well_formed(mix.error()));
    return mix.error().code();
  };
  const auto with = [](auto&& change) {
    std::vector<MachineType> changed = types;
    change(changed[0]);
    return changed;
  };
  CHECK(code({}, types) == ErrorCode::insufficient_data);
  CHECK(code(rates, {}) == ErrorCode::insufficient_data);
  CHECK(code({1, -1, 1, 1}, types) == ErrorCode::invalid_value);
  CHECK(code({1, not_a_number, 1, 1}, types) == ErrorCode::invalid_value);
  CHECK(code({1e12, 1, 1, 1}, types) == ErrorCode::invalid_value);
  CHECK(code({1, 1}, types) == ErrorCode::invalid_argument);
  CHECK(code(rates, with([](auto& t) { t.price_per_hour = -1; })) == ErrorCode::invalid_value);
  CHECK(code(rates, with([](auto& t) { t.price_per_hour = 0; })) == ErrorCode::invalid_value);
  CHECK(code(rates, with([](auto& t) { t.throughput[0] = -1; })) == ErrorCode::invalid_value);
  CHECK(code(rates, with([](auto& t) { t.throughput[0] = not_a_number; })) == ErrorCode::invalid_value);
  CHECK(code(rates, with([](auto& t) { t.most = -1; })) == ErrorCode::invalid_value);
  CHECK(code({1, 1}, {{.name = "a", .price_per_hour = 1, .throughput = {1, 0}}}) == ErrorCode::invalid_argument);
  CHECK(code({5}, {{.name = "a", .price_per_hour = 1, .throughput = {1}, .most = 4}}) == ErrorCode::invalid_argument);
  CHECK(code(rates, types, {.slices = 0}) == ErrorCode::invalid_argument);
  CHECK(code(rates, types, {.most_steps = 0}) == ErrorCode::invalid_argument);
  CHECK(code(rates, types, {.slices = 5, .most_steps = 3}) == ErrorCode::unsupported);
}
