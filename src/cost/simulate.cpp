#include "mcomp/cost/simulate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <utility>

#include "core/try.hpp"
#include "cost/event_engine.hpp"
#include "cost/simulate_checks.hpp"
#include "cost/variates.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/erlang.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr std::int64_t most_requests = 10'000'000'000;
constexpr std::size_t least_batches = 10;
constexpr std::int32_t sketch_bins = 16384;

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double x : values) sum += x;
  return sum / static_cast<double>(values.size());
}

double error_of(const std::vector<double>& values) {
  if (values.size() < least_batches) return std::numeric_limits<double>::infinity();
  const double mean = mean_of(values);
  double square = 0;
  for (const double x : values) square += (x - mean) * (x - mean);
  const auto n = static_cast<double>(values.size());
  return std::sqrt(square / (n - 1) / n);
}

/// One of wait and response: the sketch of all and of the batch that is under way.
class Series {
 public:
  explicit Series(const stats::QuantileSketch& empty) : empty_(empty), batch_(empty), all_(empty) {}

  void add(double seconds) noexcept { batch_.add(seconds); }
  [[nodiscard]] Status close(bool full) {
    if (full) {
      means_.push_back(batch_.mean());
      for (std::size_t i = 0; i < 3; ++i) {
        MCOMP_TRY(value, batch_.quantile(probabilities[i]));
        quantiles_[i].push_back(value);
      }
    }
    MCOMP_CHECK(all_.merge(batch_));
    batch_ = empty_;
    return {};
  }
  [[nodiscard]] Result<TimeSummary> summary() const {
    TimeSummary result{.mean = {all_.mean(), error_of(means_)}, .sketch = all_};
    Estimate* const into[] = {&result.p50, &result.p95, &result.p99};
    for (std::size_t i = 0; i < 3; ++i) {
      MCOMP_TRY(value, all_.quantile(probabilities[i]));
      *into[i] = {value, error_of(quantiles_[i])};
    }
    return result;
  }
  [[nodiscard]] const std::vector<double>& means() const noexcept { return means_; }

 private:
  static constexpr double probabilities[] = {0.5, 0.95, 0.99};
  stats::QuantileSketch empty_, batch_, all_;
  std::vector<double> means_, quantiles_[3];
};

/// M/M/c beside the simulated line: the same arrivals, and service times from the same random numbers.
class MarkovPartner {
 public:
  MarkovPartner(std::int64_t servers, double service_seconds) : service_(service_seconds) {
    for (std::int64_t i = 0; i < servers; ++i) free_at_.push(0);
  }
  double wait(double arrival, double partner) {
    const double start = std::max(arrival, free_at_.top());
    free_at_.pop();
    free_at_.push(start + service_ * partner);
    return start - arrival;
  }

 private:
  double service_;
  std::priority_queue<double, std::vector<double>, std::greater<>> free_at_;
};

struct Source {
  double rate = 0; ///< of a Poisson stream, or:
  std::span<const double> times, work;
  std::int64_t total = 0, warm_up = 0;
};

class Recorder {
 public:
  Recorder(const Source& source, const ServerPool& pool, const SimulationOptions& options,
           const stats::QuantileSketch& empty)
      : source_(source), pool_(pool), random_(options.seed, 0), wait_(empty), response_(empty),
        batch_size_(std::max<std::int64_t>(1, (source.total - source.warm_up) / options.batches)),
        partner_(options.control_variate ? pool.servers : 0, pool.service.mean()), paired_(options.control_variate) {}

  double next_arrival() noexcept {
    if (arrived_ == source_.total) return detail::never;
    const double time = source_.times.empty() ? last_ += detail::exponential(random_) / source_.rate
                                              : source_.times[static_cast<std::size_t>(arrived_)];
    if (arrived_++ == source_.warm_up) counted_from_ = time;
    return time;
  }
  detail::Request request(double time) const noexcept {
    return {.arrival = time, .work = source_.work.empty() ? -1 : source_.work[static_cast<std::size_t>(arrived_ - 1)]};
  }
  double service(double arrival, double work, std::size_t n) {
    double seconds = work;
    if (paired_) {
      double partner = 0;
      seconds = pool_.service.draw(random_, partner);
      const double wait = partner_.wait(arrival, partner);
      if (arrival >= counted_from_) control(wait);
    } else if (work < 0) {
      seconds = pool_.service.draw(random_);
    }
    return n == 1 && pool_.batching.scale.empty() ? seconds : seconds * pool_.batching.scale[n - 1];
  }
  void done(double arrival, double start, double now) {
    if (arrival < counted_from_) return;
    wait_.add(start - arrival);
    response_.add(now - arrival);
    if (++in_batch_ == batch_size_) close(true);
  }
  void dropped(double arrival) noexcept { dropped_ += arrival >= counted_from_; }
  void lost(double arrival) noexcept { lost_ += arrival >= counted_from_; }
  template <class Engine> double control(const Engine&, double) const noexcept { return detail::never; }

  [[nodiscard]] Result<Simulation> result(double control_mean) {
    if (in_batch_ > 0) close(false);
    MCOMP_CHECK(status_);
    MCOMP_TRY(wait, wait_.summary());
    MCOMP_TRY(response, response_.summary());
    Simulation run{.requests = wait.sketch.count(),
                   .dropped = dropped_,
                   .lost = lost_,
                   .wait = std::move(wait),
                   .response = std::move(response)};
    if (paired_) {
      run.control_weight = correct(run.wait.mean, wait_.means(), control_mean);
      correct(run.response.mean, response_.means(), control_mean);
    }
    return run;
  }

 private:
  void control(double wait) {
    control_sum_ += wait;
    if (++in_control_ < batch_size_) return;
    controls_.push_back(control_sum_ / static_cast<double>(batch_size_));
    control_sum_ = 0;
    in_control_ = 0;
  }
  void close(bool full) {
    in_batch_ = 0;
    for (Series* series : {&wait_, &response_})
      if (const Status closed = series->close(full); !closed && status_) status_ = closed;
  }
  /// Regression of the batches' means on those of the partner (Asmussen and Glynn, Stochastic Simulation, 2007, section
  /// V.2): mean - weight (control - its exact mean). Returns the weight; 0 where nothing was changed.
  double correct(Estimate& estimate, const std::vector<double>& y, double control_mean) const {
    const std::size_t n = std::min(controls_.size(), y.size());
    if (n < least_batches) return 0;
    const std::span x(controls_.data(), n);
    const double mx = mean_of(x), my = mean_of(std::span(y.data(), n));
    double xx = 0, xy = 0;
    for (std::size_t i = 0; i < n; ++i) {
      xx += (x[i] - mx) * (x[i] - mx);
      xy += (x[i] - mx) * (y[i] - my);
    }
    if (!(xx > 0)) return 0;
    const double weight = xy / xx, shift = mx - control_mean, count = static_cast<double>(n);
    double residual = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double e = y[i] - my - weight * (x[i] - mx);
      residual += e * e;
    }
    estimate = {estimate.value - weight * shift, std::sqrt(residual / (count - 2) * (1 / count + shift * shift / xx))};
    return weight;
  }

  const Source& source_;
  const ServerPool& pool_;
  Random random_;
  Series wait_, response_;
  std::int64_t batch_size_, in_batch_ = 0, in_control_ = 0, arrived_ = 0, dropped_ = 0, lost_ = 0;
  double last_ = 0, counted_from_ = detail::never, control_sum_ = 0;
  std::vector<double> controls_;
  MarkovPartner partner_;
  bool paired_;
  Status status_;
};

Result<Simulation> run(const Source& source, const ServerPool& pool, const SimulationOptions& options,
                       double control_mean) {
  const double span = source.times.empty() ? static_cast<double>(source.total) / source.rate : source.times.back();
  const double between = pool.interruptions.mean_seconds_between;
  const double losses = between > 0 ? span / between * static_cast<double>(pool.servers) : 0;
  if (losses > static_cast<double>(most_requests))
    return Error(ErrorCode::invalid_argument, "pool: interruptions",
                 fmt::format("{:.2g} of them would happen in {:.3g} s, more than 10^10", losses, span),
                 "simulate a shorter time, or give the time between interruptions in seconds");
  MCOMP_TRY(empty,
            stats::QuantileSketch::create(
                {.relative_accuracy = options.relative_accuracy, .max_bins = sketch_bins, .negative_values = false}));
  Recorder recorder(source, pool, options, empty);
  detail::EventEngine<Recorder> engine({.max_batch = static_cast<std::size_t>(pool.batching.max_size),
                                        .max_wait = pool.batching.max_wait_seconds,
                                        .queue_limit = pool.queue_limit ? static_cast<std::size_t>(*pool.queue_limit)
                                                                        : std::numeric_limits<std::size_t>::max(),
                                        .boot = pool.boot_seconds,
                                        .mean_between_losses = pool.interruptions.mean_seconds_between,
                                        .retries = static_cast<std::int32_t>(pool.interruptions.retries)},
                                       recorder, options.seed);
  for (std::int64_t i = 0; i < pool.servers; ++i) engine.launch(pool.cold_start ? pool.boot_seconds : 0);
  engine.run();
  const auto result = recorder.result(control_mean);
  if (!result && result.error().code() == ErrorCode::insufficient_data)
    return Error(ErrorCode::insufficient_data, "simulation", "no counted request was answered",
                 "simulate more requests, with fewer before those that count");
  if (!result) return result.error();
  Simulation simulation = *result;
  simulation.interruptions = engine.interruptions();
  simulation.seconds = engine.now();
  if (engine.up_seconds() > 0) simulation.utilization = engine.busy_seconds() / engine.up_seconds();
  if (engine.services() > 0)
    simulation.mean_batch = static_cast<double>(engine.served()) / static_cast<double>(engine.services());
  return simulation;
}

Status check_options(const SimulationOptions& options, std::int64_t requests, std::int64_t warm_up) {
  const auto bad = [](const char* what, std::int64_t value, const char* range) {
    return Error(ErrorCode::invalid_argument, what, fmt::format("{} is not {}", value, range),
                 "pass a number like that");
  };
  if (requests < 1 || requests > most_requests) return bad("requests", requests, "within 1 and 10^10");
  if (warm_up < 0 || warm_up > most_requests) return bad("warm_up", warm_up, "within 0 and 10^10");
  if (options.batches < 10 || options.batches > 1000) return bad("batches", options.batches, "within 10 and 1000");
  return {};
}

} // namespace

double detail::capacity(const ServerPool& pool) {
  double best = 1 / (pool.batching.scale.empty() ? 1 : pool.batching.scale.front());
  for (std::size_t n = 1; n < pool.batching.scale.size(); ++n)
    best = std::max(best, static_cast<double>(n + 1) / pool.batching.scale[n]);
  const double between = pool.interruptions.mean_seconds_between;
  const double available = between > 0 ? between / (between + pool.boot_seconds) : 1;
  return static_cast<double>(pool.servers) / pool.service.mean() * best * available;
}

Status detail::check_pool(const ServerPool& pool) {
  const auto number = [](const char* what, double value, bool allowed, const char* range) -> Status {
    if (allowed && std::isfinite(value)) return {};
    return Error(ErrorCode::invalid_value, fmt::format("pool: {}", what),
                 fmt::format("{} is not finite and {}", value, range), "pass a value in that range");
  };
  const auto count = [](const char* what, std::int64_t value, std::int64_t low, std::int64_t high) -> Status {
    if (value >= low && value <= high) return {};
    return Error(ErrorCode::invalid_argument, fmt::format("pool: {}", what),
                 fmt::format("{} is not within {} and {}", value, low, high), "pass a number in that range");
  };
  MCOMP_CHECK(count("servers", pool.servers, 1, 1'000'000));
  const Batching& batching = pool.batching;
  MCOMP_CHECK(count("batching.max_size", batching.max_size, 1, 65'536));
  MCOMP_CHECK(number("batching.max_wait_seconds", batching.max_wait_seconds, batching.max_wait_seconds >= 0, ">= 0"));
  const auto scales = static_cast<std::int64_t>(batching.scale.size());
  if (scales != batching.max_size && !(scales == 0 && batching.max_size == 1))
    return Error(ErrorCode::invalid_shape, "pool: batching.scale",
                 fmt::format("it has {} sizes, the largest batch has {}", scales, batching.max_size),
                 "give the service time of every batch size over that of one request");
  for (const double scale : batching.scale) MCOMP_CHECK(number("batching.scale", scale, scale > 0, "> 0"));
  MCOMP_CHECK(number("boot_seconds", pool.boot_seconds, pool.boot_seconds >= 0, ">= 0"));
  const double between = pool.interruptions.mean_seconds_between;
  MCOMP_CHECK(number("interruptions.mean_seconds_between", between, between >= 0, ">= 0"));
  MCOMP_CHECK(count("interruptions.retries", pool.interruptions.retries, 0, 1'000'000));
  if (pool.queue_limit) MCOMP_CHECK(count("queue_limit", *pool.queue_limit, batching.max_size - 1, most_requests));
  return {};
}

Result<Simulation> simulate(double arrivals_per_second, const ServerPool& pool, const SimulationOptions& options) {
  if (!std::isfinite(arrivals_per_second) || arrivals_per_second <= 0)
    return Error(ErrorCode::invalid_value, "arrivals_per_second",
                 fmt::format("{} is not finite and > 0", arrivals_per_second),
                 "without traffic there is nothing to simulate: nothing waits");
  MCOMP_CHECK(detail::check_pool(pool));
  const std::int64_t warm_up = options.warm_up.value_or(options.requests / 10);
  MCOMP_CHECK(check_options(options, options.requests, warm_up));
  if (!pool.queue_limit && arrivals_per_second >= detail::capacity(pool))
    return Error(ErrorCode::invalid_argument, "pool",
                 fmt::format("{} servers answer at most {:.4g} requests per second, {:.4g} arrive: the line grows "
                             "without bound",
                             pool.servers, detail::capacity(pool), arrivals_per_second),
                 "take more servers, or set a queue_limit");
  double control_mean = 0;
  if (options.control_variate) {
    if (pool.batching.max_size != 1 || pool.interruptions.mean_seconds_between > 0 || pool.queue_limit ||
        pool.cold_start)
      return Error(ErrorCode::invalid_argument, "control_variate",
                   "only plain lines (no batching, interruptions, queue_limit or cold_start) have an exact partner",
                   "leave it off");
    MCOMP_TRY(partner, waiting({.arrivals_per_second = arrivals_per_second,
                                .service_seconds = pool.service.mean(),
                                .servers = pool.servers}));
    control_mean = partner.mean();
  }
  return run(
      {.rate = arrivals_per_second, .times = {}, .work = {}, .total = options.requests + warm_up, .warm_up = warm_up},
      pool, options, control_mean);
}

Result<Simulation> simulate(std::span<const double> arrival_seconds, const ServerPool& pool,
                            const SimulationOptions& options, std::span<const double> work_seconds) {
  MCOMP_CHECK(detail::check_pool(pool));
  const auto total = static_cast<std::int64_t>(arrival_seconds.size());
  if (total == 0)
    return Error(ErrorCode::insufficient_data, "arrival_seconds", "nothing arrives", "pass at least one time");
  const std::int64_t warm_up = options.warm_up.value_or(0);
  MCOMP_CHECK(check_options(options, total, warm_up));
  if (warm_up >= total)
    return Error(ErrorCode::insufficient_data, "warm_up", fmt::format("{} of {} requests do not count", warm_up, total),
                 "let some count");
  if (options.control_variate)
    return Error(ErrorCode::invalid_argument, "control_variate", "recorded arrivals have no exact partner",
                 "leave it off");
  for (std::size_t i = 0; i < arrival_seconds.size(); ++i)
    if (!(arrival_seconds[i] >= (i > 0 ? arrival_seconds[i - 1] : 0)) || !std::isfinite(arrival_seconds[i]))
      return Error(ErrorCode::invalid_value, "arrival_seconds",
                   fmt::format("time {} is {} s, not finite, >= 0 and in order", i, arrival_seconds[i]),
                   "sort the times and count them from the first");
  if (!work_seconds.empty() && work_seconds.size() != arrival_seconds.size())
    return Error(ErrorCode::invalid_shape, "work_seconds",
                 fmt::format("{} requests have work, {} arrive", work_seconds.size(), total),
                 "give the work of every request, or of none");
  for (const double seconds : work_seconds)
    if (!std::isfinite(seconds) || seconds < 0)
      return Error(ErrorCode::invalid_value, "work_seconds", fmt::format("{} s is not finite and >= 0", seconds),
                   "pass measured seconds");
  return run({.times = arrival_seconds, .work = work_seconds, .total = total, .warm_up = warm_up}, pool, options, 0);
}

std::string to_string(const Simulation& simulation) {
  const auto line = [](const char* name, const TimeSummary& times) {
    const auto one = [](const Estimate& x) { return fmt::format("{:.4g} +- {:.1g}", x.value, x.standard_error); };
    return fmt::format("{}: mean {}, p50 {}, p95 {}, p99 {} s", name, one(times.mean), one(times.p50), one(times.p95),
                       one(times.p99));
  };
  std::string text = line("wait", simulation.wait) + "\n" + line("response", simulation.response);
  if (simulation.dropped > 0 || simulation.lost > 0)
    text += fmt::format("\n{} of {} requests dropped, {} lost", simulation.dropped,
                        simulation.requests + simulation.dropped + simulation.lost, simulation.lost);
  return text;
}

} // namespace mcomp::inline v0::cost
