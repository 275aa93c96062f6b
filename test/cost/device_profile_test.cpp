#include "mcomp/cost/device_profile.hpp"

#include <cmath>
#include <limits>
#include <set>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

const DeviceIdentity device{.name = "a device", .instruction_set = "AVX2", .engine = "an engine 1.0", .threads = 2};
const ProfileOptions quick{.layers_per_family = 10, .passes = 1, .seconds_per_layer = 1e-5};

/// Layers that do nothing, counted.
LayerMaker idle(std::int64_t& made) {
  return [&made](const LayerShape&) -> Result<LayerCall> {
    ++made;
    return LayerCall([]() -> Status { return {}; });
  };
}

} // namespace

TEST_CASE("layers are drawn by seed, within their range and of every family") {
  const ProfileOptions options{.layers_per_family = 300, .seed = 7};
  const auto layers = draw_layers(options).value();
  REQUIRE(layers.size() == 1200);
  CHECK(draw_layers(options).value() == layers);
  CHECK(draw_layers({.layers_per_family = 300, .seed = 8}).value() != layers);
  std::set<std::tuple<LayerKind, DType, DType>> families;
  std::int64_t residuals = 0, rounded = 0;
  for (const LayerShape& s : layers) {
    REQUIRE(s.check());
    CHECK(static_cast<double>(s.multiply_adds()) <= 1e9);
    families.insert({s.kind, s.weights, s.input});
    residuals += s.residual ? 1 : 0;
    rounded += s.out_channels % 8 == 0 ? 1 : 0;
    if (s.kind == LayerKind::linear) {
      CHECK(s.in_channels >= 8);
      CHECK(s.in_channels <= 4096);
      CHECK(s.samples <= 256);
    } else {
      CHECK(s.out_channels >= 3);
      CHECK(s.out_channels <= 512);
      CHECK(s.height >= 4);
      CHECK(s.kernel[0] % 2 == 1);
    }
  }
  CHECK(families.size() == 4);
  CHECK(residuals > 100);
  CHECK(rounded > 500);
  // A shorter list is the beginning of a longer one, so that a limit in time keeps what it has.
  const auto shorter = draw_layers({.layers_per_family = 20, .seed = 7}).value();
  CHECK(std::equal(shorter.begin(), shorter.end(), layers.begin()));
}

TEST_CASE("options that cannot be drawn from are errors") {
  const auto rejected = [](const ProfileOptions& options) {
    const auto layers = draw_layers(options);
    return !layers && layers.error().code() == ErrorCode::invalid_argument && !layers.error().remedy().empty();
  };
  CHECK(rejected({.layers_per_family = 9}));
  CHECK(rejected({.layers_per_family = 3000}));
  CHECK(rejected({.passes = 0}));
  CHECK(rejected({.seconds_per_layer = 0}));
  CHECK(rejected({.seconds_per_layer = std::numeric_limits<double>::quiet_NaN()}));
  CHECK(rejected({.seconds_limit = -1}));
  CHECK(rejected({.families = {{.kind = LayerKind::movement}}}));
  CHECK(rejected({.families = {{.outputs = {}}}}));
  CHECK(rejected({.range = {.features_lower = 10, .features_upper = 5}}));
  CHECK(rejected({.range = {.multiply_adds_upper = 1}}));
  CHECK(rejected({.range = {.multiply_adds_upper = std::numeric_limits<double>::quiet_NaN()}}));
}

TEST_CASE("a profile is measured through a callable, kept in a file and measured once") {
  const auto folder = mcomp_test::temporary_folder();
  const auto path = folder / "profile.json";
  std::int64_t made = 0;
  const DeviceProfile profile = cached_profile(path, device, idle(made), quick).value();
  CHECK(made == 40);
  CHECK(profile.device == device);
  CHECK(profile.layers.size() == 40);
  CHECK(profile.layers[5].shape == draw_layers(quick).value()[5]);
  CHECK(profile.layers[5].seconds > 0);
  CHECK(profile.copies.size() > 3);
  CHECK(profile.date.size() == 10);
  CHECK(cached_profile(path, device, idle(made), quick).value() == profile);
  CHECK(made == 40); // read, not measured
  CHECK(DeviceProfile::read(path).value() == profile);
  CHECK(profile.fingerprint().size() == 64);
  DeviceProfile other = profile;
  other.layers[0].seconds *= 1.0000001;
  CHECK(other.fingerprint() != profile.fingerprint());

  DeviceIdentity newer = device;
  newer.engine = "an engine 1.1";
  CHECK(cached_profile(path, newer, idle(made), quick).value().device == newer);
  CHECK(made == 80);
  REQUIRE(write_file(path, "{\"schema\": "));
  const auto broken = cached_profile(path, device, idle(made), quick);
  REQUIRE_FALSE(broken);
  CHECK(broken.error().code() == ErrorCode::corrupt);
  CHECK(read_file(path).value() == "{\"schema\": "); // not overwritten
  CHECK(made == 80);
}

TEST_CASE("what fails while measuring is named, and nothing is written") {
  const auto folder = mcomp_test::temporary_folder();
  const auto path = folder / "profile.json";
  std::int64_t made = 0;
  const LayerMaker fails = [&](const LayerShape& shape) -> Result<LayerCall> {
    if (++made < 5) return LayerCall([]() -> Status { return {}; });
    return Error(ErrorCode::unsupported, "layer", fmt::format("{} channels", shape.in_channels), "use others");
  };
  const auto failed = cached_profile(path, device, fails, quick);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code() == ErrorCode::unsupported);
  CHECK(failed.error().subject().find("->") != std::string::npos); // the shape
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(measure_profile(device, {}, quick).error().code() == ErrorCode::invalid_argument);
  CHECK(measure_profile({}, idle(made), quick).error().code() == ErrorCode::invalid_argument);
  Context context;
  context.cancellation.cancel();
  CHECK(measure_profile(device, idle(made), quick, context).error().code() == ErrorCode::cancelled);
  ProfileOptions hurried = quick;
  hurried.seconds_limit = 1e-9;
  CHECK(measure_profile(device, idle(made), hurried).error().code() == ErrorCode::insufficient_data);
  CHECK_FALSE(time_call([]() -> Status { return Error(ErrorCode::io_failure, "a", "b", "c"); }));
  CHECK(time_call([]() -> Status { return {}; }, -1).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("profiles survive their text, and texts that are no profile are errors") {
  DeviceProfile profile{.device = device,
                        .date = "2026-01-31",
                        .copies = {{1024, 1e10}, {4096, 8e9}},
                        .declared = DeclaredDevice{.peaks = {{DType::int8, 1e12}}, .bytes_per_second = 1e10},
                        .watts = 65};
  for (const LayerShape& shape : draw_layers({.layers_per_family = 10}).value())
    profile.layers.push_back({shape, 1e-3 / 3, 1.25});
  const std::string json = to_json(profile);
  CHECK(DeviceProfile::parse(json, "profile").value() == profile);
  CHECK(to_string(profile) == "a device, AVX2, an engine 1.0, 2 threads: 40 measured layers, a declared roofline");

  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = json;
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    const auto read = DeviceProfile::parse(text, "profile.json");
    REQUIRE_FALSE(read);
    CHECK(read.error().subject().find("profile.json") != std::string::npos);
    return read.error().code();
  };
  CHECK(changed("mcomp-device-profile-1", "mcomp-device-profile-9") == ErrorCode::corrupt);
  CHECK(changed("\"seconds\"", "\"second\"") == ErrorCode::corrupt);
  CHECK(changed("\"watts\": 65.0", "\"watts\": -1") == ErrorCode::corrupt);
  CHECK(changed("\"spread\": 1.25", "\"spread\": 0.5") == ErrorCode::corrupt);
  CHECK(changed("\"bytes\": 4096", "\"bytes\": 1000") == ErrorCode::corrupt);
  CHECK(changed("\"linear\"", "\"movement\"") == ErrorCode::corrupt);
  CHECK(changed("\"samples\": ", "\"samples\": -") == ErrorCode::corrupt);
  CHECK(changed("\"efficiency_lower\": 0.3", "\"efficiency_lower\": 0.9") == ErrorCode::corrupt);
  CHECK(changed("\"threads\": 2", "\"threads\": 0") == ErrorCode::corrupt);
  CHECK(DeviceProfile::read("absent.json").error().code() == ErrorCode::not_found);
}
