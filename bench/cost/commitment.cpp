// What the room `cost` promises about commitments, on 10^5 traces, and what it finds for a year of hours. Prints
// Markdown, and times to standard error; exit status 1 where a promise is not kept.
//
//   bench_commitment [TRACES]

#include <chrono>
#include <cmath>
#include <cstdlib>

#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/commitment.hpp"
#include "online_traces.hpp"

namespace {

using namespace mcomp;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A year of hours with a day, a week and noise, up to about `peak` machines.
std::vector<std::int64_t> year(double peak) {
  Random random(1);
  std::vector<std::int64_t> demand;
  for (int hour = 0; hour < 8760; ++hour) {
    const double day = 0.6 - 0.35 * std::cos(2 * 3.14159265358979 * hour / 24);
    const double week = hour / 24 % 7 < 5 ? 1 : 0.7;
    demand.push_back(static_cast<std::int64_t>(std::max(0.0, peak * day * week * (1 + 0.05 * random.normal()))));
  }
  return demand;
}

} // namespace

int main(int argc, char** argv) {
  const std::int64_t traces = argc > 1 ? std::atoll(argv[1]) : 100'000;
  auto start = std::chrono::steady_clock::now();
  const auto worst = mcomp_test::worst_ratios(traces, 42);
  const double online_seconds = seconds_since(start);
  fmt::print("| promise | traces | worst cost / (ratio x optimum) | violations |\n| --- | --- | --- | --- |\n");
  fmt::print("| deterministic, 2 - alpha | {} | {:.6f} | {} |\n", traces, worst.deterministic,
             worst.deterministic_violations);
  fmt::print("| randomized, e / (e - 1 + alpha), in expectation | {} | {:.6f} | {} |\n\n", traces, worst.randomized,
             worst.randomized_violations);
  fmt::print(stderr, "{} traces with their exact optimum and expectation: {:.1f} s\n", traces, online_seconds);

  fmt::print("A year of hours with a day, a week and 5% noise; rates relative to on demand:\n\n"
             "| peak about | optimal mix of five offers |\n| --- | --- |\n");
  for (const double peak : {100.0, 10'000.0, 1'000'000.0}) {
    const auto demand = year(peak);
    const std::vector<cost::CommitmentOffer> offers{
        {.name = "on demand", .used_per_hour = 1},
        {.name = "1 year", .always_per_hour = 0.62},
        {.name = "3 years", .always_per_hour = 0.4, .most = static_cast<std::int64_t>(peak / 5)},
        {.name = "light use", .always_per_hour = 0.2, .used_per_hour = 0.5},
        {.name = "spot", .used_per_hour = 0.45, .most = static_cast<std::int64_t>(peak / 10)}};
    start = std::chrono::steady_clock::now();
    const auto plan = cost::commit(demand, offers).value();
    fmt::print(stderr, "commit, peak {}: {:.4f} s\n", peak, seconds_since(start));
    fmt::print("| {} | {} |\n", peak, plan);
  }

  // The small EC2 machine of 2013 (Wang, Li and Liang 2013, table I).
  const cost::OnlinePrices prices{.on_demand_per_hour = 0.08, .fee = 69, .reserved_per_hour = 0.039};
  fmt::print("\nThe same year by rules that do not know the future, $0.08 an hour or $69 a year and $0.039 an hour:\n\n"
             "| peak about | cost |\n| --- | --- |\n");
  for (const double peak : {10.0, 100.0}) {
    start = std::chrono::steady_clock::now();
    const auto regret = cost::regret(year(peak), prices).value();
    fmt::print(stderr, "regret, peak {}: {:.2f} s\n", peak, seconds_since(start));
    fmt::print("| {} | {}; {:.6g} all on demand |\n", peak, regret, regret.on_demand);
  }
  return worst.deterministic_violations + worst.randomized_violations > 0 ? 1 : 0;
}
