// The simulator against exact results: 200 random settings of M/M/c, M/D/1 and M/G/1, control variate off. Prints every
// setting with its standard errors, then the largest deviations. Wanted: means of the wait and of the response within
// 1%, p99 of the wait within 3%.
//
//     bench_simulate_accuracy [settings]
//
// Runs are lengthened until the standard error of the mean wait is below a quarter of the bar, as far as 2^28 requests
// go.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "mcomp/core/random.hpp"
#include "mcomp/cost/queue.hpp"
#include "mcomp/cost/simulate.hpp"

using namespace mcomp;
using namespace mcomp::cost;

int main(int argc, char** argv) {
  const int settings = argc > 1 ? std::atoi(argv[1]) : 200;
  Random random(2024);
  double worst_wait = 0, worst_response = 0, worst_p99 = 0, requests = 0;
  int misses = 0;
  std::printf("| setting | utilization | requests | mean wait: simulated +- error | exact | %% | p99 wait +- error | "
              "exact | %% |\n"
              "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (int i = 0; i < settings; ++i) {
    const double mean = std::exp(2 * random.normal()), rho = 0.2 + 0.65 * random.uniform();
    std::int64_t servers = 1;
    ServiceTime service = ServiceTime::deterministic(mean).value();
    double wait_mean = 0, wait_p99 = 0;
    if (i % 4 == 0) {
      // More servers only where at least a twentieth waits: else the mean is that of rare events.
      servers = static_cast<std::int64_t>(1 + random.below(12));
      while (erlang_c(servers, rho * static_cast<double>(servers)).value() < 0.05) --servers;
      service = ServiceTime::exponential(mean).value();
    } else if (i % 4 == 2) {
      service = ServiceTime::lognormal(mean, 0.1 + 1.9 * random.uniform()).value();
    } else if (i % 4 == 3) {
      service = ServiceTime::hyperexponential(mean, 1 + 3 * random.uniform()).value();
    }
    const double rate = rho * static_cast<double>(servers) / mean;
    std::string name;
    if (i % 4 == 0) {
      const auto exact = waiting({.arrivals_per_second = rate, .service_seconds = mean, .servers = servers}).value();
      wait_mean = exact.mean();
      wait_p99 = exact.quantile(0.99).value();
      name = "M/M/" + std::to_string(servers);
    } else {
      const auto exact = SingleServer::create(rate, service).value();
      wait_mean = exact.mean_wait();
      wait_p99 = exact.wait_quantile(0.99).value();
      name = i % 4 == 1 ? "M/D/1" : (i % 4 == 2 ? "M/LN/1, cv2 " : "M/H2/1, cv2 ");
      if (i % 4 > 1) name += std::to_string(service.variability()).substr(0, 4);
    }
    SimulationOptions options{.requests = 1 << 21, .warm_up = 100'000, .seed = static_cast<std::uint64_t>(i)};
    auto run = simulate(rate, {.service = service, .servers = servers}, options).value();
    for (requests += static_cast<double>(options.requests); options.requests < 1 << 28;
         requests += static_cast<double>(options.requests)) {
      const double wanted = 0.0025 * wait_mean;
      const double factor = run.wait.mean.standard_error / wanted;
      if (factor <= 1) break;
      options.requests =
          std::min<std::int64_t>(1 << 28, static_cast<std::int64_t>(static_cast<double>(options.requests) *
                                                                    std::max(2.0, 1.1 * factor * factor)));
      run = simulate(rate, {.service = service, .servers = servers}, options).value();
    }
    const auto off = [](double value, double exact) { return 100 * (value / exact - 1); };
    const double wait = off(run.wait.mean.value, wait_mean), p99 = off(run.wait.p99.value, wait_p99),
                 response = off(run.response.mean.value, wait_mean + mean);
    worst_wait = std::max(worst_wait, std::abs(wait));
    worst_p99 = std::max(worst_p99, std::abs(p99));
    worst_response = std::max(worst_response, std::abs(response));
    misses += std::abs(wait) > 1 || std::abs(response) > 1 || std::abs(p99) > 3;
    std::printf("| %s | %.3f | %lld | %.6g +- %.2g | %.6g | %+.2f | %.6g +- %.2g | %.6g | %+.2f |\n", name.c_str(), rho,
                static_cast<long long>(run.requests), run.wait.mean.value, run.wait.mean.standard_error, wait_mean,
                wait, run.wait.p99.value, run.wait.p99.standard_error, wait_p99, p99);
    std::fflush(stdout);
  }
  std::printf(
      "\n%d settings, %.3g requests: largest deviation of the mean wait %.2f%%, of the mean response %.2f%%, of "
      "p99 of the wait %.2f%%; %d settings beyond 1%% or 3%%\n",
      settings, requests, worst_wait, worst_response, worst_p99, misses);
  return misses == 0 ? 0 : 1;
}
