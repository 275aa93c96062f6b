// serve_load as a user runs it. How well forecast and reality agree is the machine's matter and not tested.

#include "fashion_mnist.hpp"
#include "mcomp/kernels/capabilities.hpp"
#include "run_program.hpp"

TEST_CASE("the classifier is served at every load, and forecast beforehand") {
  const std::string arguments = "--requests 300 --runs 3 --passes 1 --utilization 0.2 --utilization 0.5";
  if (!std::filesystem::exists(std::filesystem::path(example::fashion_mnist_folder) / "t10k-images-idx3-ubyte.gz")) {
    mcomp_test::skip("Fashion-MNIST is not installed (Debian: dataset-fashion-mnist)");
    return;
  }
  if (!mcomp::kernels::require_execution()) {
    mcomp_test::run_program(MCOMP_SERVE_LOAD, arguments, 1);
    return;
  }
  const auto report = mcomp_test::run_program(MCOMP_SERVE_LOAD, arguments);
  const double service = report["service_mean_seconds"];
  REQUIRE(report["loads"].size() == 2);
  for (const auto& load : report["loads"]) {
    CHECK(load["requests_per_second"].get<double>() * service ==
          Approx(load["utilization_fraction"].get<double>()).epsilon(1e-9));
    CHECK(load["forecast_p50_seconds"] <= load["forecast_p95_seconds"]);
    CHECK(load["p50_seconds"] <= load["p95_seconds"]);
    CHECK(load["p95_seconds"] <= load["p99_seconds"]);
    CHECK(load["p50_seconds"] > 0);
    CHECK(load["busy_fraction"] <= 1);
    CHECK(load["runs_p95_seconds"].size() == 3);
  }
  CHECK(report["loads"][0]["forecast_p99_seconds"] < report["loads"][1]["forecast_p99_seconds"]);
  mcomp_test::run_program(MCOMP_SERVE_LOAD, "--utilization 1.2", 2);
  mcomp_test::run_program(MCOMP_SERVE_LOAD, "--recipe absent.json", 1);
}
