#include "mcomp/cost/objective.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

const LatencyTable table{.source = "by hand",
                         .other_seconds = 0.001,
                         .layers = {{"a", 1000, {{"int8", 8, 0.002}, {"f32", 32, 0.008}, {"int4", 4, 0.0015}}},
                                    {"b", 100, {{"f32", 32, 0.001}, {"int8", 8, 0.0012}}}}};

} // namespace

TEST_CASE("money for a million requests by hand") {
  // 1e6 requests x 0.0036 s = 3600 s of a worker; two workers that are busy half of the time: an instance hour.
  CHECK(cost_per_million(0.0036, {.price_per_hour = 0.17, .workers_per_instance = 2, .utilization = 0.5}).value() ==
        Approx(0.17).epsilon(1e-14));
  CHECK(cost_per_million(0, {.price_per_hour = 1}).value() == 0);
  const auto rejected = [](double seconds, const ServingCost& serving) {
    const auto cost = cost_per_million(seconds, serving);
    return !cost && cost.error().code() == ErrorCode::invalid_value && mcomp_test::well_formed(cost.error());
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(rejected(-1, {.price_per_hour = 1}));
  CHECK(rejected(nan, {.price_per_hour = 1}));
  CHECK(rejected(1, {}));
  CHECK(rejected(1, {.price_per_hour = nan}));
  CHECK(rejected(1, {.price_per_hour = 1, .workers_per_instance = 0}));
  CHECK(rejected(1, {.price_per_hour = 1, .utilization = 0}));
  CHECK(rejected(1, {.price_per_hour = 1, .utilization = 1.01}));
  CHECK(rejected(1e300, {.price_per_hour = 1e300}));
}

TEST_CASE("the objective adds up the choices of all layers") {
  const CostObjective objective = CostObjective::create(table, {.price_per_hour = 3.6, .utilization = 1}).value();
  const std::vector<std::size_t> choices{1, 0};
  CHECK(objective.seconds(choices).value() == Approx(0.010));
  CHECK(objective(choices).value() == Approx(1e6 * 0.010 * 3.6 / 3600));
  CHECK(objective.per_million_seconds() == Approx(1000));
  LatencyTable slow = table;
  slow.other_seconds = 1e300;
  const CostObjective dear = CostObjective::create(slow, {.price_per_hour = 1e9}).value();
  CHECK(dear(choices).error().code() == ErrorCode::invalid_value); // no infinite cost
  CHECK(objective(std::vector<std::size_t>{1}).error().rule() == "there are 1 for 2 layers");
  CHECK(objective(std::vector<std::size_t>{1, 2}).error().rule() == "layer 'b' has 2 choices, none of index 2");
}

TEST_CASE("a bit has its price in every layer, and a negative one where fewer bits are slower") {
  const auto values = value_of_bits(table, {.price_per_hour = 3.6, .utilization = 1}, 1e9).value();
  REQUIRE(values.size() == 3);
  // int8 -> int4 of a: .0005 s of 1e9 requests at 0.001 a second: 500 a month, 125 a bit.
  CHECK(to_string(values[0]) == "a: f32 -> int8 saves 6000 us a request, 6000 a month (250 a bit), 3000 bytes");
  CHECK(values[1].from == "int8");
  CHECK(values[1].to == "int4");
  CHECK(values[1].saved_per_month == Approx(500));
  CHECK(values[1].saved_per_bit == Approx(125));
  CHECK(values[1].bytes_saved == 500);
  CHECK(values[2].layer == "b");
  CHECK(values[2].saved_per_bit == Approx(-200.0 / 24));
  CHECK(value_of_bits(table, {.price_per_hour = 1}, -1).error().code() == ErrorCode::invalid_value);
  CHECK(value_of_bits(table, {.price_per_hour = 1e300}, 1e30).error().code() == ErrorCode::invalid_value);
}

TEST_CASE("latency tables survive their text, and wrong ones are errors") {
  const std::string json = to_json(table);
  CHECK(LatencyTable::parse(json, "table").value() == table);
  const auto path = mcomp_test::temporary_folder() / "table.json";
  REQUIRE(write_file(path, json));
  CHECK(LatencyTable::read(path).value() == table);
  CHECK(LatencyTable::read("absent.json").error().code() == ErrorCode::not_found);
  const auto rejected = [](const auto& change) {
    LatencyTable wrong = table;
    change(wrong);
    const Status status = wrong.check();
    return !status && mcomp_test::well_formed(status.error()) &&
           LatencyTable::parse(to_json(wrong), "table").error().code() == ErrorCode::corrupt;
  };
  CHECK(rejected([](LatencyTable& t) { t.layers.clear(); }));
  CHECK(rejected([](LatencyTable& t) { t.other_seconds = -1; }));
  CHECK(rejected([](LatencyTable& t) { t.layers[1].layer = "a"; }));
  CHECK(rejected([](LatencyTable& t) { t.layers[0].choices.clear(); }));
  CHECK(rejected([](LatencyTable& t) { t.layers[0].choices[1].name = "int8"; }));
  CHECK(rejected([](LatencyTable& t) { t.layers[0].choices[1].bits = 0; }));
  CHECK(rejected([](LatencyTable& t) { t.layers[0].choices[1].seconds = 0; }));
  CHECK(rejected([](LatencyTable& t) { t.layers[0].weights = -1; }));
}

TEST_CASE("a table of what a model predicts") {
  DeviceProfile declared{.device = {.name = "d"},
                         .declared = DeclaredDevice{.peaks = {{DType::f32, 1e9}, {DType::int8, 4e9}},
                                                    .bytes_per_second = 1e15,
                                                    .efficiency_lower = 1,
                                                    .efficiency_upper = 1}};
  const LatencyModel model = LatencyModel::fit(declared).value();
  const std::vector<NamedLayer> layers{{"in", {.kind = LayerKind::movement, .samples = 2, .moved_bytes = 2'000'000}},
                                       {"a", {.samples = 2, .in_channels = 1000, .out_channels = 100}}};
  const LatencyTable made = latency_table(model, layers, executed_precisions()).value();
  CHECK(made.other_seconds == Approx(1e-9)); // 1e6 bytes a request
  REQUIRE(made.layers.size() == 1);
  CHECK(made.layers[0].weights == 100'000);
  CHECK(made.layers[0].choices[0].seconds == Approx(1e-4));
  CHECK(made.layers[0].choices[1].seconds == Approx(2.5e-5));
  CHECK(made.source.find("profile ") != std::string::npos);
  CHECK(latency_table(model, layers, {}).error().code() == ErrorCode::invalid_argument);
  CHECK(latency_table(model, {}, executed_precisions()).error().code() == ErrorCode::invalid_argument);
  const std::vector<NamedLayer> twice{layers[1], layers[1]};
  CHECK(latency_table(model, twice, executed_precisions()).error().code() == ErrorCode::invalid_argument);
  const std::vector<Precision> unknown{{.name = "int4", .bits = 4, .weights = DType::int4}};
  CHECK(latency_table(model, layers, unknown).error().code() == ErrorCode::unsupported);
}
