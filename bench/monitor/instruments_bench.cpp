// What an event costs that is recorded: against the same loop without instruments, by more threads, and the memory
// after many events. Prints Markdown.
//
//     bench_instruments [--small]

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "mcomp/core/random.hpp"
#include "mcomp/monitor/instruments.hpp"

namespace {
std::atomic<std::int64_t> allocations{0};
}
// Not inlined, since GCC warns where it inlines one of a pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(std::max<std::size_t>(size, 1))) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

namespace {

using namespace mcomp;
using namespace mcomp::monitor;
using Clock = std::chrono::steady_clock;

/// A request as a server knows it when it is done.
struct Request {
  SeriesKey key{};
  double seconds = 0, confidence = 0, cost = 0;
  std::array<double, 2> stages{};
  std::uint64_t id = 0;
  std::uint32_t answer = 0;
};

/// Requests over 60 combinations of names, the more frequent ones first.
std::vector<Request> requests(Instruments& instruments, std::uint64_t seed) {
  const auto names = [&](Dimension d, const char* stem, int count) {
    std::vector<NameId> ids;
    for (int i = 0; i < count; ++i) ids.push_back(instruments.name(d, fmt::format("{}{}", stem, i)).value());
    return ids;
  };
  const auto versions = names(Dimension::model_version, "v", 2), regions = names(Dimension::region, "r", 5),
             cohorts = names(Dimension::cohort, "c", 3), tiers = names(Dimension::latency_tier, "t", 2),
             edges = names(Dimension::edge_case, "e", 2), devices = names(Dimension::device, "d", 2);
  Random random(seed, 1);
  std::vector<SeriesKey> keys;
  for (const NameId version : versions)
    for (const NameId region : regions)
      for (const NameId cohort : cohorts)
        for (std::size_t k = 0; k < 2; ++k)
          keys.push_back({.model_version = version,
                          .region = region,
                          .cohort = cohort,
                          .latency_tier = tiers[k],
                          .edge_case = edges[random.below(2)],
                          .device = devices[k]});
  std::vector<Request> result(1 << 14);
  for (Request& r : result) {
    const double u = random.uniform();
    r.key = keys[static_cast<std::size_t>(u * u * static_cast<double>(keys.size()))];
    r.stages = {0.001 * std::exp(random.normal()), 0.02 * std::exp(0.5 * random.normal())};
    r.seconds = r.stages[0] + r.stages[1];
    r.confidence = random.uniform();
    r.cost = 1e-6 * random.uniform();
    r.id = random.next();
    r.answer = static_cast<std::uint32_t>(random.below(1000));
  }
  return result;
}

/// Nanoseconds a request of a loop over all of them: the median of many laps.
template <class Body> double cost(const std::vector<Request>& all, int laps, const Body& body) {
  std::vector<double> times;
  times.reserve(static_cast<std::size_t>(laps));
  for (int lap = 0; lap < laps; ++lap) {
    const auto begin = Clock::now();
    for (const Request& r : all) body(r);
    times.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begin).count() /
                    static_cast<double>(all.size()));
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// What the loop does anyway: it touches the request. The compiler must not leave it out.
double sink = 0;
void serve(const Request& r) {
  sink += r.seconds + r.confidence + r.cost + r.stages[0];
  asm volatile("" : : "g"(&sink) : "memory");
}

InstrumentOptions options(std::int64_t waiting) {
  return {.stages = {"queue", "compute"}, .max_series = 128, .waiting = waiting};
}

std::int64_t resident(Instruments& instruments, double now) {
  instruments.collect(now).value();
  const auto usage = instruments.since_start().process;
  return usage ? usage->resident_bytes : 0;
}

} // namespace

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;
  const int laps = small ? 50 : 2000;

  fmt::print("## One event, one core\n\nSix dimensions, 60 combinations, {} requests a lap; the median over {} laps, "
             "less that of the same loop without instruments. Allocations are those of all laps.\n\n",
             1 << 14, laps);
  fmt::print("| what is recorded | ns | allocations |\n| --- | --- | --- |\n");
  {
    Instruments instruments = Instruments::create(options(1 << 16)).value();
    Recorder recorder = instruments.recorder().value();
    const auto all = requests(instruments, 1);
    std::vector<SeriesHandle> handles;
    for (const Request& r : all) handles.push_back(recorder.series(r.key));
    const double none = cost(all, laps, serve);
    fmt::print("| nothing: the loop itself | {:.1f} | 0 |\n", none);
    const auto row = [&](const char* name, const auto& record) {
      cost(all, 5, record);
      const std::int64_t before = allocations;
      const auto both = [&](const Request& r) {
        serve(r);
        record(r);
      };
      const double c = cost(all, laps, both);
      constexpr std::int64_t own = 1; // the list of times
      fmt::print("| {} | {:.1f} | {} |\n", name, c - none, allocations - before - own);
    };
    row("latency, by a handle", [&](const Request& r) {
      recorder.record(handles[static_cast<std::size_t>(&r - all.data())], {.seconds = r.seconds});
    });
    row("latency, by six ids", [&](const Request& r) { recorder.record(r.key, {.seconds = r.seconds}); });
    row("latency, error, confidence, cost, by six ids", [&](const Request& r) {
      recorder.record(r.key,
                      {.seconds = r.seconds, .error = r.answer == 7, .confidence = r.confidence, .cost = r.cost});
    });
    row("the same and two stages", [&](const Request& r) {
      recorder.record(r.key, {.seconds = r.seconds,
                              .stage_seconds = r.stages,
                              .error = r.answer == 7,
                              .confidence = r.confidence,
                              .cost = r.cost});
    });
    row("the same, and the request waits for its label", [&](const Request& r) {
      recorder.record(r.key, {.seconds = r.seconds,
                              .stage_seconds = r.stages,
                              .error = r.answer == 7,
                              .confidence = r.confidence,
                              .cost = r.cost,
                              .request = r.id,
                              .predicted = r.answer});
    });
    row("a label", [&](const Request& r) { recorder.label(r.id, r.answer); });
  }

  fmt::print(
      "\n## Threads\n\nEverything is recorded, as in the last row but one; a reader collects every 100 ms. This "
      "machine has {} processors.\n\n| threads | million events a second | ns of processor time an event |\n| --- | "
      "--- | --- |\n",
      std::thread::hardware_concurrency());
  for (const int threads : {1, 2, 4, 8}) {
    Instruments instruments = Instruments::create(options(1 << 20)).value();
    const auto all = requests(instruments, 2);
    const int rounds = small ? 4 : 100;
    std::atomic<int> running{threads};
    std::atomic<std::int64_t> processor{0};
    const auto begin = Clock::now();
    std::vector<std::thread> pool;
    for (int t = 0; t < threads; ++t)
      pool.emplace_back([&, t] {
        Recorder recorder = instruments.recorder().value();
        const auto cpu = [] {
          timespec now{};
          clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
          return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
        };
        const std::int64_t start = cpu();
        for (int round = 0; round < rounds; ++round)
          for (const Request& r : all)
            recorder.record(r.key, {.seconds = r.seconds,
                                    .stage_seconds = r.stages,
                                    .error = r.answer == 7,
                                    .confidence = r.confidence,
                                    .cost = r.cost,
                                    .request = r.id + static_cast<std::uint64_t>(t),
                                    .predicted = r.answer});
        processor += cpu() - start;
        --running;
      });
    double now = 0;
    while (running > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      instruments.collect(now += 0.1).value();
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    for (std::thread& thread : pool) thread.join();
    instruments.collect(now).value();
    const double events = static_cast<double>(threads) * rounds * static_cast<double>(all.size());
    if (static_cast<double>(instruments.since_start().total().events) != events) {
      fmt::print(stderr, "events were lost\n");
      return 1;
    }
    fmt::print("| {} | {:.1f} | {:.1f} |\n", threads, events / seconds / 1e6,
               static_cast<double>(processor.load()) / events);
  }

  const std::int64_t events = small ? 1'000'000 : 100'000'000;
  Instruments instruments = Instruments::create(options(1 << 16)).value();
  Recorder recorder = instruments.recorder().value();
  const auto all = requests(instruments, 3);
  std::int64_t done = 0, early = 0, fixed_early = 0;
  double now = 0;
  while (done < events) {
    for (const Request& r : all)
      recorder.record(r.key, {.seconds = r.seconds,
                              .stage_seconds = r.stages,
                              .confidence = r.confidence,
                              .cost = r.cost,
                              .request = r.id + static_cast<std::uint64_t>(done),
                              .predicted = r.answer});
    done += static_cast<std::int64_t>(all.size());
    // Windows of a minute, 60 of which are kept: all are in use long before the first look.
    instruments.collect(now += 60).value();
    if (early == 0 && done >= events / 10) {
      early = resident(instruments, now);
      fixed_early = instruments.fixed_bytes();
    }
  }
  const std::int64_t late = resident(instruments, now);
  fmt::print(
      "\n## Memory\n\nAfter {} events in {:.0f} windows, of which 60 are kept: {:.1f} MB resident, after a tenth "
      "of them {:.1f} MB. Recorders and waiting requests take {:.1f} MB, then as now ({}).\n",
      done, now / 60, static_cast<double>(late) / 1e6, static_cast<double>(early) / 1e6,
      static_cast<double>(instruments.fixed_bytes()) / 1e6,
      instruments.fixed_bytes() == fixed_early ? "equal" : "NOT equal");
  return 0;
}
