// Service times of a CIFAR ResNet in fp32 and executed in int8 (W8A8), measured in turn in one process on one thread:
// what bench/forecast.sh forecasts from. Writes fp32_B.csv and int8_B.csv for every batch size B, one line a round, and
// prints a Markdown table.
//
// What is written is, for every input, the least processor time of three passes over all of them: the calling thread
// does all the work, and what a shared machine adds (turns of others, and now and then some hundred milliseconds of its
// own) is not the model's. The table gives the median of all wall times beside it.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <limits>
#include <vector>

#include "mcomp/compress/model.hpp"
#include "mcomp/compress/plan.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/kernels/runner.hpp"
#include "mcomp/quant/program.hpp"
#include "mcomp/stats/quantile.hpp"

namespace {

using namespace mcomp;

struct Seconds {
  double processor = 0, wall = 0;
};

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Seconds seconds_of(graph::Runner& runner, const Tensor& input) {
  const auto begin = std::chrono::steady_clock::now();
  const double processor = processor_seconds();
  const auto output = runner.run(input).value();
  const double used = processor_seconds() - processor;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  return {used, elapsed.count()};
}

void write_times(const std::filesystem::path& path, const std::vector<double>& seconds) {
  std::string text = "seconds\n";
  for (const double x : seconds) text += fmt::format("{:.9f}\n", x);
  if (const auto written = write_file(path, text); !written) throw written.error();
}

int measure(const std::filesystem::path& data, const std::filesystem::path& out, std::int64_t depth, int rounds) {
  const auto model = compress::load(data / fmt::format("vision/resnet{}_cifar10.safetensors", depth),
                                    graph::cifar_resnet({.depth = depth}).value())
                         .value();
  const auto calibration = compress::load_samples(data / "vision/cifar10_calib.safetensors").value();
  const auto test = compress::load_samples(data / "vision/cifar10_test_a.safetensors").value();
  const compress::RecipeStep fold{"fold_batch_norm", "{}"};
  compress::Recipe baseline, candidate;
  baseline.name = "fp32";
  candidate.name = "w8a8";
  baseline.steps = {fold};
  candidate.steps = {fold, {"quantize", R"({"weights": {"dtype": "int8", "granularity": "per_channel"},
                                      "activations": {"observer": "mean_squared_error"}})"}};
  std::vector<std::unique_ptr<quant::ProgramRunner>> runners;
  for (const compress::Recipe* recipe : {&baseline, &candidate}) {
    const auto plan = compress::plan(model, *recipe, {.calibration = &calibration}).value();
    const auto made = compress::apply(plan, model).value();
    auto program = made.program().value();
    if (recipe == &candidate)
      fmt::print("ResNet-{}, {}; {:.2f}% of the candidate's multiply-adds in fp32. Both in turn, the order changing, "
                 "three passes; "
                 "one thread.\n\n",
                 depth, kernels::capabilities(), 100 * quant::arithmetic_share(program).value().f32_share());
    runners.push_back(kernels::executed_runner(std::move(program), {.threads = 1}).value());
  }
  fmt::print(
      "| batch | rounds | model | processor ms: p50 | p95 | mean | wall ms: p50 | p95 | fp32 / int8, median of the "
      "rounds' ratios |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  const auto images = test.images().value();
  for (const std::int64_t batch : {1, 32}) {
    const int own = batch == 1 ? rounds : std::max(100, rounds / 8);
    constexpr int passes = 3, warm_up = 5;
    std::vector<double> times[2], walls[2], ratios;
    for (std::vector<double>& least : times)
      least.assign(static_cast<std::size_t>(own), std::numeric_limits<double>::infinity());
    for (int pass = 0; pass < passes; ++pass)
      for (int round = -warm_up; round < own; ++round) {
        const std::int64_t begin = (round + warm_up) * batch % (test.count() - batch + 1);
        const auto input =
            graph::normalize(runners[0]->network().input, images.rows(begin, begin + batch).value()).value();
        for (const int k : {0, 1}) {
          const auto which = static_cast<std::size_t>((round + pass) % 2 == 0 ? k : 1 - k);
          const Seconds seconds = seconds_of(*runners[which], input);
          if (round < 0) continue;
          double& least = times[which][static_cast<std::size_t>(round)];
          least = std::min(least, seconds.processor);
          walls[which].push_back(seconds.wall);
        }
      }
    for (std::size_t i = 0; i < times[0].size(); ++i) ratios.push_back(times[0][i] / times[1][i]);
    const auto ratio = stats::estimate_quantile(ratios, 0.5).value();
    for (const std::size_t k : {0U, 1U}) {
      const auto own_times = stats::summarize_latencies(times[k]).value();
      const auto own_walls = stats::summarize_latencies(walls[k]).value();
      fmt::print("| {} | {} | {} | {:.3f} | {:.3f} | {:.3f} | {:.3f} | {:.3f} | {} |\n", batch, own,
                 k == 0 ? "fp32" : "int8", own_times.p50.value * 1e3, own_times.p95.value * 1e3, own_times.mean * 1e3,
                 own_walls.p50.value * 1e3, own_walls.p95.value * 1e3,
                 k == 0 ? ""
                        : fmt::format("{:.3f} [{:.3f}, {:.3f}]", ratio.value, ratio.lower.value_or(0),
                                      ratio.upper.value_or(0)));
    }
    write_times(out / fmt::format("fp32_{}.csv", batch), times[0]);
    write_times(out / fmt::format("int8_{}.csv", batch), times[1]);
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_classifier_latency DATA OUT [DEPTH] [ROUNDS]\n");
    return 2;
  }
  try {
    return measure(argv[1], argv[2], argc > 3 ? std::atoll(argv[3]) : 56, argc > 4 ? std::atoi(argv[4]) : 2000);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
