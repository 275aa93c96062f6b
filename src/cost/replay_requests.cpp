#include <limits>
#include <span>
#include <utility>

#include "core/try.hpp"
#include "cost/event_engine.hpp"
#include "cost/replay_parts.hpp"
#include "cost/scaling_controller.hpp"
#include "mcomp/cost/autoscale.hpp"
#include "mcomp/stats/sketch.hpp"

namespace mcomp::inline v0::cost {

namespace {

class ReplayHooks {
 public:
  using Engine = detail::EventEngine<ReplayHooks>;

  ReplayHooks(const RequestTrace& trace, const AutoscaleOptions& options, std::span<const double> arrivals,
              const stats::QuantileSketch& empty)
      : wait(empty), response(empty), trace_(trace), options_(options), arrivals_(arrivals),
        controller_(options, detail::clock_of(trace)), random_(options.seed, 2),
        next_decision_(options.decision_seconds) {
    result.timeline.reserve(trace.requests.size());
  }

  [[nodiscard]] std::int64_t initial() const {
    return controller_.initial(trace_.requests.front() / trace_.interval_seconds);
  }
  double next_arrival() noexcept { return arrived_ < arrivals_.size() ? arrivals_[arrived_++] : detail::never; }
  detail::Request request(double time) noexcept {
    ++period_requests_;
    ++result.requests;
    return {.arrival = time};
  }
  double service(double, double, std::size_t) noexcept { return options_.service.draw(random_); }
  void done(double arrival, double start, double now) noexcept {
    wait.add(start - arrival);
    response.add(now - arrival);
  }
  void dropped(double) noexcept {
    ++result.dropped;
    ++point_dropped_;
  }
  void lost(double arrival) noexcept { dropped(arrival); }

  /// Closes intervals and periods that end now, and lets the policy decide.
  double control(Engine& engine, double now) {
    const double end = static_cast<double>(trace_.requests.size()) * trace_.interval_seconds;
    if (now == 0) return std::min(next_decision_, trace_.interval_seconds);
    const double interval_end = static_cast<double>(result.timeline.size() + 1) * trace_.interval_seconds;
    if (now >= interval_end - 1e-9) {
      const Areas areas = take(engine, point_);
      const std::size_t i = result.timeline.size();
      result.timeline.push_back({.seconds = static_cast<double>(i) * trace_.interval_seconds,
                                 .requests_per_second = trace_.requests[i] / trace_.interval_seconds,
                                 .instances = areas.up / slots() / trace_.interval_seconds,
                                 .billed = areas.billed / trace_.interval_seconds,
                                 .utilization = areas.up > 0 ? areas.busy / areas.up : 0,
                                 .waiting = areas.waiting / trace_.interval_seconds,
                                 .dropped = std::exchange(point_dropped_, 0)});
    }
    if (now >= end - 1e-9) return detail::never;
    if (now >= next_decision_ - 1e-9) {
      const Areas areas = take(engine, period_);
      const std::int64_t present = engine.up() + engine.booting();
      std::int64_t wanted = controller_.decide({.now = now,
                                                .requests_per_second = period_requests_ / options_.decision_seconds,
                                                .utilization = areas.up > 0 ? areas.busy / areas.up : 0,
                                                .waiting = areas.waiting / options_.decision_seconds,
                                                .served_by = areas.up / slots() / options_.decision_seconds,
                                                .up = engine.up(),
                                                .booting = engine.booting()});
      period_requests_ = 0;
      for (; wanted > present; --wanted) engine.launch(options_.boot_seconds);
      for (; wanted < present; ++wanted) engine.retire();
      next_decision_ += options_.decision_seconds;
    }
    return std::min(next_decision_, static_cast<double>(result.timeline.size() + 1) * trace_.interval_seconds);
  }

  Replay result;
  stats::QuantileSketch wait, response;

 private:
  struct Areas {
    double busy = 0, up = 0, billed = 0, waiting = 0;
  };
  /// What the engine's areas have grown since the last call for the same `before`.
  Areas take(Engine& engine, Areas& before) const {
    const Areas now{.busy = engine.busy_seconds(),
                    .up = engine.up_seconds(),
                    .billed = engine.billed_seconds(),
                    .waiting = engine.waiting_seconds()};
    const Areas grown{.busy = now.busy - before.busy,
                      .up = now.up - before.up,
                      .billed = now.billed - before.billed,
                      .waiting = now.waiting - before.waiting};
    before = now;
    return grown;
  }
  [[nodiscard]] double slots() const noexcept { return static_cast<double>(options_.servers_per_instance); }

  const RequestTrace& trace_;
  const AutoscaleOptions& options_;
  std::span<const double> arrivals_;
  detail::ScalingController controller_;
  Random random_;
  double next_decision_, period_requests_ = 0, point_dropped_ = 0;
  std::size_t arrived_ = 0;
  Areas point_, period_;
};

} // namespace

Result<Replay> replay_requests(const RequestTrace& trace, const AutoscaleOptions& options) {
  MCOMP_CHECK(detail::check_replay(trace, options));
  MCOMP_TRY(arrivals, trace.arrivals(options.seed));
  MCOMP_TRY(empty,
            stats::QuantileSketch::create({.relative_accuracy = 0.0025, .max_bins = 16384, .negative_values = false}));
  ReplayHooks hooks(trace, options, arrivals, empty);
  ReplayHooks::Engine engine({.slots = static_cast<std::size_t>(options.servers_per_instance),
                              .queue_limit = options.queue_limit ? static_cast<std::size_t>(*options.queue_limit)
                                                                 : std::numeric_limits<std::size_t>::max(),
                              .boot = options.boot_seconds,
                              .mean_between_losses = options.mean_seconds_between_interruptions,
                              .retries = std::numeric_limits<std::int32_t>::max() - 1},
                             hooks, options.seed);
  for (std::int64_t i = hooks.initial(); i > 0; --i) engine.launch(0);
  engine.run();
  Replay result = std::move(hooks.result);
  if (engine.up_seconds() > 0) result.utilization = engine.busy_seconds() / engine.up_seconds();
  result.interruptions = static_cast<double>(engine.interruptions());
  for (const ScalingPoint& point : result.timeline)
    result.instance_hours += point.billed * trace.interval_seconds / 3600;
  for (const auto& [sketch, into] :
       {std::pair{&hooks.wait, &result.wait}, std::pair{&hooks.response, &result.response}}) {
    if (sketch->count() == 0) continue;
    into->mean = sketch->mean();
    for (const auto& [member, probability] : {std::pair{&LatencyPoint::p50, 0.5}, std::pair{&LatencyPoint::p95, 0.95},
                                              std::pair{&LatencyPoint::p99, 0.99}}) {
      MCOMP_TRY(value, sketch->quantile(probability));
      into->*member = value;
    }
  }
  detail::price(result, trace, options);
  return result;
}

} // namespace mcomp::inline v0::cost
