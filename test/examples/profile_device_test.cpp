// profile_device as a user runs it.

#include "mcomp/cost/latency_model.hpp"
#include "mcomp/kernels/capabilities.hpp"
#include "run_program.hpp"

TEST_CASE("a profile is measured once and predicts networks") {
  using namespace mcomp;
  const auto profile = mcomp_test::temporary_folder() / "profile.json";
  const std::string arguments = "--profile '" + profile.string() +
                                "' --layers-per-family 12 --check 10 --network resnet-cifar:8 --batch 1 --batch 3";
  if (!kernels::require_execution()) {
    mcomp_test::run_program(MCOMP_PROFILE_DEVICE, arguments, 1);
    return;
  }
  const auto report = mcomp_test::run_program(MCOMP_PROFILE_DEVICE, arguments);
  const auto kept = cost::DeviceProfile::read(profile).value();
  CHECK(report["profile_fingerprint"] == kept.fingerprint());
  CHECK(kept.layers.size() == 48);
  CHECK(report["families"].size() == 4);
  CHECK(report["layers"].size() == 40);
  REQUIRE(report["networks"].size() == 4);
  for (const auto& network : report["networks"]) {
    CHECK(network["predicted_seconds"] > 0);
    CHECK(network["lower_seconds"] < network["predicted_seconds"]);
    CHECK(network["upper_seconds"] > network["predicted_seconds"]);
  }
  CHECK(report["networks"][0]["weight_bytes"] > 3.9 * report["networks"][2]["weight_bytes"].get<double>()); // f32, int8
  const auto again = mcomp_test::run_program(MCOMP_PROFILE_DEVICE, arguments);
  CHECK(again["profile_fingerprint"] == report["profile_fingerprint"]);
  CHECK(again["networks"][3]["predicted_seconds"] == report["networks"][3]["predicted_seconds"]);
  mcomp_test::run_program(MCOMP_PROFILE_DEVICE, "--network absent.json --check 0 --profile '" + profile.string() + "'",
                          1);
  mcomp_test::run_program(MCOMP_PROFILE_DEVICE, "--threads 0", 2);
}
