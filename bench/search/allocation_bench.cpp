// Allocation of 1,000 layers with 8 choices: one budget proven optimal, two to a certified gap of 1e-6 and proven
// optimal. Arguments: family, budgets, gap as a power of ten (0 proves optimality). Counters: certified relative gap,
// that of the linear relaxation, nodes.

#include <cmath>
#include <cstdint>

#include <benchmark/benchmark.h>

#include "random_allocation.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::search;
using mcomp_test::Family;

void allocation(benchmark::State& state) {
  const AllocationProblem problem =
      mcomp_test::random_problem({.family = static_cast<Family>(state.range(0)),
                                  .items = 1000,
                                  .choices = 8,
                                  .budgets = static_cast<std::size_t>(state.range(1)),
                                  .tightness = state.range(0) == static_cast<std::int64_t>(Family::heavy) ? .003 : .3,
                                  .seed = 1});
  const double gap = state.range(2) == 0 ? 0 : std::pow(10.0, static_cast<double>(state.range(2)));
  Allocation result;
  for ([[maybe_unused]] auto iteration : state) {
    auto allocated = allocate(problem, {.relative_gap = gap});
    if (!allocated) {
      state.SkipWithError(allocated.error().what());
      return;
    }
    result = *allocated;
  }
  const Certificate& c = result.certificate;
  state.counters["gap"] = c.relative_gap;
  state.counters["relaxation_gap"] = (result.loss - c.relaxation_bound) / std::abs(result.loss);
  state.counters["nodes"] = static_cast<double>(c.nodes);
}

void cases(benchmark::internal::Benchmark* bench) {
  for (std::int64_t family = 0; family < static_cast<std::int64_t>(mcomp_test::family_count); ++family) {
    bench->Args({family, 1, 0});
    bench->Args({family, 2, -6});
    bench->Args({family, 2, 0});
  }
}

BENCHMARK(allocation)->ArgNames({"family", "budgets", "gap"})->Apply(cases)->Unit(benchmark::kMillisecond);

} // namespace

BENCHMARK_MAIN();
