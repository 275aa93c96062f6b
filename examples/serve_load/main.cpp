// Does reality follow the forecast? The compressed classifier is served in this process under an open-loop Poisson
// load, and its latencies are compared with those that the queueing model gave before the first request came.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "fashion_classifier.hpp"
#include "fashion_mnist.hpp"
#include "mcomp/compress/plan.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/simulate.hpp"
#include "mcomp/kernels/runner.hpp"
#include "program.hpp"
#include "progress_line.hpp"

namespace {

using namespace mcomp;
using example::ExitStatus;
using example::Report;
using Clock = std::chrono::steady_clock;

struct Options {
  std::filesystem::path weights = MCOMP_FASHION_WEIGHTS;
  std::filesystem::path recipe = MCOMP_FASHION_RECIPE;
  std::filesystem::path data = example::fashion_mnist_folder;
  std::vector<double> utilizations{0.3, 0.6, 0.8};
  std::int64_t requests = 5000;
  std::int64_t runs = 5;
  std::int64_t passes = 8;
  std::uint64_t seed = 1;
};

double quantile(std::vector<double> values, double p) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(p * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Moments of every request, in seconds since the start.
struct Served {
  std::vector<double> due; ///< when the load wanted it to arrive
  std::vector<double> arrived, begun, done;

  /// From when it was due: a load generator that is late makes no request look faster.
  [[nodiscard]] std::vector<double> responses() const { return differences(done, due); }
  [[nodiscard]] std::vector<double> services() const { return differences(done, begun); }
  [[nodiscard]] std::vector<double> lateness() const { return differences(arrived, due); }

 private:
  static std::vector<double> differences(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> result(a.size());
    std::transform(a.begin(), a.end(), b.begin(), result.begin(), std::minus<>());
    return result;
  }
};

class Server {
 public:
  /// @param passes of the network for one request, as for an image that is seen in so many crops
  Server(graph::Runner& runner, Tensor images, std::int64_t passes)
      : runner_(runner), images_(std::move(images)), passes_(passes) {}

  /// One worker; arrivals do not wait for it. Requests are served in the order of arrival, so a count of those that are
  /// there is the whole line.
  Result<Served> serve(double requests_per_second, std::int64_t requests, Random random) {
    Served times;
    double at = 0;
    for (std::int64_t i = 0; i < requests; ++i) {
      at -= std::log1p(-random.uniform()) / requests_per_second;
      times.due.push_back(at);
    }
    const auto count = static_cast<std::size_t>(requests);
    times.arrived.resize(count);
    times.begun.resize(count);
    times.done.resize(count);
    std::atomic<std::size_t> there{0};
    std::atomic<bool> failed{false};
    const auto start = Clock::now();
    const auto now = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    std::thread load([&] {
      for (std::size_t i = 0; i < count && !failed.load(std::memory_order_relaxed); ++i) {
        constexpr double spin = 1e-3; // a sleep may last so much longer than it was asked to
        if (const double left = times.due[i] - now(); left > 2 * spin)
          std::this_thread::sleep_for(std::chrono::duration<double>(left - spin));
        while (now() < times.due[i]) {
        }
        times.arrived[i] = now();
        there.store(i + 1, std::memory_order_release);
      }
    });
    Status status;
    for (std::size_t i = 0; i < count && status; ++i) {
      while (there.load(std::memory_order_acquire) <= i) {
      }
      times.begun[i] = now();
      for (std::int64_t pass = 0; pass < passes_ && status; ++pass) {
        const auto image = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(images_.size(0))));
        const auto row = TensorView(images_).rows(image, image + 1);
        if (!row) {
          status = row.error();
          break;
        }
        if (const auto output = runner_.run(*row); !output) status = output.error();
      }
      times.done[i] = now();
    }
    failed.store(!status, std::memory_order_relaxed);
    load.join();
    if (!status) return status.error();
    return times;
  }

 private:
  graph::Runner& runner_;
  Tensor images_;
  std::int64_t passes_;
};

class Run {
 public:
  Run(const Options& options, Report& report) : options_(options), report_(report) {}

  Result<ExitStatus> operator()() {
    if (const Status ready = kernels::require_execution(); !ready) return ready.error();
    auto own = example::read_fashion_classifier(options_.weights, options_.data);
    if (!own) return own.error();
    const auto recipe = compress::Recipe::read(options_.recipe);
    if (!recipe) return recipe.error();
    const auto plan = compress::plan(own->model, *recipe, {.calibration = &own->calibration});
    if (!plan) return plan.error();
    const auto small = compress::apply(*plan, own->model);
    if (!small) return small.error();
    auto program = small->program();
    if (!program) return program.error();
    auto runner = kernels::executed_runner(*std::move(program), {.threads = 1});
    if (!runner) return runner.error();
    const auto raw = own->test.images();
    if (!raw) return raw.error();
    auto images = graph::normalize(small->network.input, *raw);
    if (!images) return images.error();
    Server server(**runner, *std::move(images), options_.passes);

    // How long a request keeps the worker, at a load at which hardly any waits; then everything else is forecast.
    const std::int64_t measured = std::max<std::int64_t>(options_.requests, 1000);
    constexpr double careful = 1e3; // requests per second, until the service time is known
    auto first = server.serve(careful, 200, Random(options_.seed, 1000));
    if (!first) return first.error();
    constexpr double light = 0.2;
    const auto alone = server.serve(light / quantile(first->services(), 0.5), measured, Random(options_.seed, 1001));
    if (!alone) return alone.error();
    const auto service = cost::ServiceTime::empirical(alone->services());
    if (!service) return service.error();
    report_.say(
        "service_mean_seconds", service->mean(),
        fmt::format("A request keeps the worker for {:.1f} us (p50 {:.1f}, p99 {:.1f} us), measured beforehand on "
                    "{} requests.\n",
                    1e6 * service->mean(), 1e6 * service->quantile(0.5), 1e6 * service->quantile(0.99), measured));
    report_.keep("service_variability", service->variability());
    fmt::print(
        "utilization        p50 us            p95 us            p99 us       load generator late\n"
        "               forecast  seen    forecast  seen    forecast  seen    p50 us   p99 us   seen / forecast p95\n");
    for (const double utilization : options_.utilizations)
      if (const Status status = compare(server, *service, utilization); !status) return status.error();
    return ExitStatus::done;
  }

 private:
  Status compare(Server& server, const cost::ServiceTime& service, double utilization) {
    const double rate = utilization / service.mean();
    const auto forecast = cost::simulate(rate, {.service = service}, {.requests = 2'000'000, .seed = options_.seed});
    if (!forecast) return forecast.error();
    constexpr std::array shares{0.5, 0.95, 0.99};
    const std::array expected{forecast->response.p50.value, forecast->response.p95.value, forecast->response.p99.value};
    std::array<std::vector<double>, 3> seen;
    std::vector<double> late_p50, late_p99, busy;
    for (std::int64_t run = 0; run < options_.runs; ++run) {
      const auto times = server.serve(rate, options_.requests, Random(options_.seed, static_cast<std::uint64_t>(run)));
      if (!times) return times.error();
      const std::vector<double> responses = times->responses(), lateness = times->lateness();
      for (std::size_t i = 0; i < shares.size(); ++i) seen[i].push_back(quantile(responses, shares[i]));
      late_p50.push_back(quantile(lateness, 0.5));
      late_p99.push_back(quantile(lateness, 0.99));
      double total = 0;
      for (const double seconds : times->services()) total += seconds;
      busy.push_back(total / times->done.back());
      progress_.show(fmt::format("utilization {:.0f}%, run {}/{}", 100 * utilization, run + 1, options_.runs));
    }
    progress_.clear();
    std::array<double, 3> median{};
    for (std::size_t i = 0; i < median.size(); ++i) median[i] = quantile(seen[i], 0.5);
    const double p50 = quantile(late_p50, 0.5), p99 = quantile(late_p99, 0.5);
    constexpr double micro = 1e6;
    report_.row(
        "loads",
        {{"utilization_fraction", utilization},
         {"requests_per_second", rate},
         {"busy_fraction", quantile(busy, 0.5)},
         {"forecast_p50_seconds", expected[0]},
         {"forecast_p95_seconds", expected[1]},
         {"forecast_p99_seconds", expected[2]},
         {"p50_seconds", median[0]},
         {"p95_seconds", median[1]},
         {"p99_seconds", median[2]},
         {"runs_p95_seconds", seen[1]},
         {"generator_late_p50_seconds", p50},
         {"generator_late_p99_seconds", p99},
         {"p95_ratio", median[1] / expected[1]}},
        fmt::format("{:>10.0f}% {:>10.1f} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.2f} {:>8.2f} {:>12.3f}",
                    100 * utilization, micro * expected[0], micro * median[0], micro * expected[1], micro * median[1],
                    micro * expected[2], micro * median[2], micro * p50, micro * p99, median[1] / expected[1]));
    return {};
  }

  const Options& options_;
  Report& report_;
  example::ProgressLine progress_;
};

} // namespace

int main(int argc, char** argv) {
  example::Program program("serve_load",
                           "Serves the compressed classifier under load and compares its latencies with the forecast.",
                           "serve_load");
  Options o;
  auto& app = program.options();
  app.add_option("--weights", o.weights, "Weights of the shipped classifier (safetensors)");
  app.add_option("--recipe", o.recipe, "How it is compressed (JSON); default: int8");
  app.add_option("--fashion-mnist", o.data, "Folder of the four Fashion-MNIST files")->capture_default_str();
  app.add_option("--utilization", o.utilizations, "Shares of the time that the worker is busy")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 0.98));
  app.add_option("--requests", o.requests, "Requests of a run")
      ->capture_default_str()
      ->check(CLI::Range(200, 10'000'000));
  app.add_option("--runs", o.runs, "Runs at each load; medians are reported")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--passes", o.passes, "Images that one request asks for, one after the other")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  app.add_option("--seed", o.seed, "Of the arrivals")->capture_default_str();
  return program.run(argc, argv, [&](Report& report) { return Run(o, report)(); });
}
