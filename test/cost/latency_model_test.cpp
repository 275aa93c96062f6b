#include "mcomp/cost/latency_model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/carbon.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

/// A device whose times are a formula: launch, work in blocks of 16 outputs at 1e10 per second, bytes at 1e10 per
/// second, and a first-level cache within which all is a third faster.
double formula(const LayerShape& s) {
  const double blocks = std::ceil(static_cast<double>(s.out_channels) / 16) * 16 / static_cast<double>(s.out_channels);
  const double bytes = static_cast<double>(s.weight_bytes() + s.input_bytes() + s.output_bytes());
  const double seconds = 2e-6 + blocks * static_cast<double>(s.multiply_adds()) / 1e10 + bytes / 1e10;
  return bytes < 5e4 ? seconds / 1.5 : seconds;
}

DeviceProfile simulated(std::int64_t layers, std::uint64_t seed) {
  DeviceProfile profile{.device = {.name = "formula", .engine = "none"}, .date = "2026-01-31"};
  Random noise(seed);
  for (const LayerShape& shape : draw_layers({.layers_per_family = layers, .seed = seed}).value())
    profile.layers.push_back({shape, formula(shape) * std::exp(0.02 * noise.normal()), 1});
  profile.copies = {{1000, 1e9}, {100'000, 5e8}};
  return profile;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

} // namespace

TEST_CASE("layers count their work and their bytes") {
  const LayerShape conv{.kind = LayerKind::convolution,
                        .samples = 2,
                        .in_channels = 4,
                        .out_channels = 6,
                        .height = 9,
                        .width = 7,
                        .kernel = {3, 3},
                        .stride = {2, 1},
                        .padding = {1, 1},
                        .groups = 2,
                        .weights = DType::int4,
                        .input = DType::uint8,
                        .output = DType::f32,
                        .residual = true};
  REQUIRE(conv.check());
  CHECK(conv.out_height() == 5);
  CHECK(conv.out_width() == 7);
  CHECK(conv.multiply_adds() == 2 * 6 * 5 * 7 * 2 * 9);
  CHECK(conv.weight_bytes() == 6 * 2 * 9 / 2);
  CHECK(conv.output_bytes() == 2 * 6 * 5 * 7 * 4);
  CHECK(conv.input_bytes() == 2 * 4 * 9 * 7 + conv.output_bytes());
  CHECK(to_string(conv) ==
        "convolution 2 x 9 x 7 x 4 -> 6, 3 x 3, stride 2 x 1, 2 groups, int4 weights, uint8 -> f32, residual");
  const LayerShape linear{.samples = 3, .in_channels = 5, .out_channels = 7};
  CHECK(linear.multiply_adds() == 105);
  CHECK(linear.weight_bytes() == 140);
  CHECK(to_string(linear) == "linear 3 x 5 -> 7, f32 weights, f32 -> f32");
}

TEST_CASE("shapes that are no layer are errors") {
  const auto rule = [](LayerShape shape) {
    const Status status = shape.check();
    REQUIRE_FALSE(status);
    CHECK_FALSE(status.error().remedy().empty());
    return status.error().rule();
  };
  CHECK(rule({.samples = 0}).find("samples is 0") != std::string::npos);
  CHECK(rule({.kind = LayerKind::convolution, .kernel = {3, 3}}).find("larger than the padded input") !=
        std::string::npos);
  CHECK(rule({.kind = LayerKind::convolution, .in_channels = 4, .out_channels = 4, .groups = 3}).find("groups") !=
        std::string::npos);
  CHECK(rule({.height = 2}).find("linear layer") != std::string::npos);
  const std::int64_t big = std::int64_t{1} << 40;
  CHECK(rule({.samples = big, .in_channels = big, .out_channels = big}).find("2^56") != std::string::npos);
  CHECK(rule({.kind = LayerKind::convolution, .padding = {-1, 0}}).find("padding") != std::string::npos);
}

TEST_CASE("a model of measured layers predicts others, and says how well") {
  const LatencyModel model = LatencyModel::fit(simulated(200, 1)).value();
  REQUIRE(model.families().size() == 4);
  for (const FamilyFit& fit : model.families()) {
    INFO(to_string(fit));
    CHECK(fit.layers == 200);
    CHECK(fit.median_error < 0.05);
    CHECK(fit.median_error < fit.roofline_error);
    CHECK(fit.within_a_fifth > 0.85);
  }
  std::vector<double> errors;
  double covered = 0;
  for (const LayerShape& shape : draw_layers({.layers_per_family = 100, .seed = 2}).value()) {
    const LayerLatency latency = model.predict(shape).value();
    const double truth = formula(shape);
    errors.push_back(std::abs(latency.seconds / truth - 1));
    covered += latency.interval.contains(truth) ? 1 : 0;
  }
  CHECK(median(errors) < 0.05);
  CHECK(covered / static_cast<double>(errors.size()) > 0.92);
  // Far beyond what was measured the roofline remains, and the interval is wide.
  const LayerShape huge{.samples = 10'000, .in_channels = 20'000, .out_channels = 20'000};
  const LayerLatency far = model.predict(huge).value();
  CHECK(far.seconds > formula(huge) / 3);
  CHECK(far.seconds < formula(huge) * 3);
  const LayerShape known{.samples = 32, .in_channels = 256, .out_channels = 256};
  const LayerLatency near = model.predict(known).value();
  CHECK(far.interval.upper / far.interval.lower > 1.5 * near.interval.upper / near.interval.lower);
  CHECK(model.predict(known).value() == near);
}

TEST_CASE("a network is the sum of its layers, part by part") {
  DeviceProfile profile = simulated(60, 3);
  profile.watts = 80;
  const LatencyModel model = LatencyModel::fit(profile, {.level = 0.9}).value();
  const std::vector<LayerShape> layers{{.samples = 4, .in_channels = 64, .out_channels = 128},
                                       {.kind = LayerKind::movement, .samples = 4, .moved_bytes = 1000},
                                       {.samples = 4, .in_channels = 128, .out_channels = 10}};
  const NetworkLatency network = model.predict(layers).value();
  double sum = 0, lower = 0;
  for (const LayerShape& layer : layers) {
    sum += model.predict(layer).value().seconds;
    lower += model.predict(layer).value().interval.lower;
  }
  CHECK(network.samples == 4);
  CHECK(network.seconds == Approx(sum));
  CHECK(network.interval.lower == Approx(lower));
  CHECK(network.interval.level == 0.9);
  CHECK(network.layers[1].seconds == Approx(1e-6)); // 1000 bytes at 1e9 a second
  CHECK(model.predict({.kind = LayerKind::movement, .moved_bytes = 10'000}).value().seconds ==
        Approx(10'000 / 7.5e8)); // half way between the two speeds in the logarithm of the size
  CHECK(network.weight_bytes == 4 * (64 * 128 + 1280));
  CHECK(network.activation_bytes == 4 * 4 * (64 + 128));
  CHECK(network.samples_per_second == Approx(4 / sum));
  CHECK(network.joules_per_sample.value() == Approx(80 * sum / 4));
  CHECK_FALSE(network.grams_per_sample);
  const LatencyModel grid = LatencyModel::fit(profile, {.grams_per_kwh = 400}).value();
  const NetworkLatency carbonic = grid.predict(layers).value();
  // 1 kWh is 3.6 MJ; the same by the specification's formula, without embodied carbon.
  CHECK(carbonic.grams_per_sample.value() == Approx(80 * sum / 4 / 3.6e6 * 400));
  CHECK(carbonic.grams_per_sample.value() == Approx(carbon({.watts_per_machine = 80,
                                                            .machines = 1,
                                                            .hours = 1,
                                                            .requests = 3600 * carbonic.samples_per_second,
                                                            .grams_per_kwh = 400})
                                                        .value()
                                                        .grams_per_request));
  CHECK(to_json(carbonic).find("\"grams_per_sample\"") != std::string::npos);
  CHECK(LatencyModel::fit(profile, {.grams_per_kwh = -1}).error().code() == ErrorCode::invalid_argument);
  const NetworkLatency batch = model.predict(layers, 10).value();
  CHECK(batch.seconds == Approx(2.5 * sum));
  CHECK(to_json(batch).find("\"joules_per_sample\"") != std::string::npos);

  CHECK(model.predict(std::span<const LayerShape>()).error().code() == ErrorCode::invalid_argument);
  CHECK(model.predict(layers, -1).error().code() == ErrorCode::invalid_argument);
  auto mixed = layers;
  mixed[2].samples = 5;
  CHECK(model.predict(mixed).error().rule() == "one has 5 samples, the first has 4");
  // Nothing to do takes no time, and samples per second would be infinite.
  CHECK(model.predict(std::vector<LayerShape>{{.kind = LayerKind::movement, .moved_bytes = 0}}).error().code() ==
        ErrorCode::invalid_argument);
  const auto unknown = model.predict({.weights = DType::int4});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code() == ErrorCode::unsupported);
  CHECK(unknown.error().rule() == "the profile of 'formula' has no layer of linear, int4 weights, f32 input");
}

TEST_CASE("a declared device is a roofline, and devices stand side by side") {
  DeviceProfile accelerator{.device = {.name = "accelerator"},
                            .declared = DeclaredDevice{.peaks = {{DType::f32, 1e12}, {DType::int8, 4e12}},
                                                       .bytes_per_second = 1e11,
                                                       .launch_seconds = 5e-6,
                                                       .efficiency_lower = 0.25,
                                                       .efficiency_upper = 1}};
  const LatencyModel declared = LatencyModel::fit(accelerator).value();
  const LayerShape compute{.samples = 1000, .in_channels = 1000, .out_channels = 1000};
  const LayerLatency bound = declared.predict(compute).value();
  CHECK(bound.interval.lower == Approx(5e-6 + 1e9 / 1e12));
  CHECK(bound.seconds == Approx(5e-6 + 1e9 / 1e12 / 0.5)); // the geometric mean of the efficiencies
  CHECK(bound.interval.upper == Approx(5e-6 + 1e9 / 1e12 / 0.25));
  const LayerShape memory{.in_channels = 1000, .out_channels = 1000, .weights = DType::int8, .input = DType::uint8};
  CHECK(declared.predict(memory).value().interval.lower == Approx(5e-6 + (1e6 + 1000 + 4000) / 1e11));
  CHECK(declared.predict({.weights = DType::int4}).error().rule() == "it declares no peak for int4 weights");

  const std::vector<LatencyModel> devices{LatencyModel::fit(simulated(30, 4)).value(), declared};
  const auto table = side_by_side(devices, std::vector<LayerShape>{compute}).value();
  REQUIRE(table.size() == 2);
  CHECK(table[0].device == "accelerator");
  CHECK(table[0].seconds < table[1].seconds);
}

TEST_CASE("profiles that a model cannot be made of are errors") {
  DeviceProfile few = simulated(20, 5);
  few.layers.resize(30);
  CHECK(LatencyModel::fit(few).error().code() == ErrorCode::insufficient_data);
  DeviceProfile wrong = simulated(20, 5);
  // The inverse of the last overflows, and with it the fit.
  for (const double seconds : {std::numeric_limits<double>::quiet_NaN(), 0.0, 1e-320}) {
    wrong.layers[3].seconds = seconds;
    CHECK(LatencyModel::fit(wrong).error().code() == ErrorCode::invalid_value);
  }
  CHECK(LatencyModel::fit(DeviceProfile{.device = {.name = "empty"}}).error().code() == ErrorCode::insufficient_data);
  CHECK(LatencyModel::fit(simulated(20, 5), {.level = 1}).error().code() == ErrorCode::invalid_argument);
  DeviceProfile many{.device = {.name = "many"}};
  many.layers.assign(4001, {{.in_channels = 8, .out_channels = 8}, 1e-6, 1});
  CHECK(LatencyModel::fit(many).error().code() == ErrorCode::unsupported);
  // Equal shapes and equal times are no obstacle.
  DeviceProfile same = simulated(10, 6);
  std::erase_if(same.layers, [](const MeasuredLayer& layer) { return layer.shape.kind != LayerKind::linear; });
  std::erase_if(same.layers, [](const MeasuredLayer& layer) { return layer.shape.weights != DType::f32; });
  for (MeasuredLayer& layer : same.layers) layer = {{.in_channels = 8, .out_channels = 8}, 1e-6, 1};
  CHECK(LatencyModel::fit(same).value().predict({.in_channels = 8, .out_channels = 8}).value().seconds ==
        Approx(1e-6).epsilon(0.01));
}
