#include "mcomp/cost/autoscale.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "core/try.hpp"
#include "cost/replay_parts.hpp"
#include "cost/scaling_controller.hpp"
#include "cost/variates.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/erlang.hpp"
#include "mcomp/stats/quantile.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr int steps_per_interval = 10;

Status check(const AutoscaleOptions& options) {
  const auto number = [](const char* what, double value, bool allowed, const char* range) -> Status {
    if (allowed && std::isfinite(value)) return {};
    return Error(ErrorCode::invalid_value, fmt::format("autoscale: {}", what),
                 fmt::format("{} is not finite and {}", value, range), "pass a value in that range");
  };
  const auto count = [](const char* what, std::int64_t value, std::int64_t low, std::int64_t high) -> Status {
    if (value >= low && value <= high) return {};
    return Error(ErrorCode::invalid_argument, fmt::format("autoscale: {}", what),
                 fmt::format("{} is not within {} and {}", value, low, high), "pass a number in that range");
  };
  const AutoscaleOptions& o = options;
  MCOMP_CHECK(count("servers_per_instance", o.servers_per_instance, 1, 1024));
  MCOMP_CHECK(number("decision_seconds", o.decision_seconds, o.decision_seconds > 0, "> 0"));
  MCOMP_CHECK(number("boot_seconds", o.boot_seconds, o.boot_seconds >= 0, ">= 0"));
  MCOMP_CHECK(number("cooldown_out_seconds", o.cooldown_out_seconds, o.cooldown_out_seconds >= 0, ">= 0"));
  MCOMP_CHECK(number("cooldown_in_seconds", o.cooldown_in_seconds, o.cooldown_in_seconds >= 0, ">= 0"));
  MCOMP_CHECK(count("max_instances", o.max_instances, 1, 1'000'000));
  MCOMP_CHECK(count("min_instances", o.min_instances, 1, o.max_instances));
  MCOMP_CHECK(count("max_surge", o.max_surge, 1, std::numeric_limits<std::int64_t>::max()));
  if (o.initial_instances != 0) MCOMP_CHECK(count("initial_instances", o.initial_instances, 1, o.max_instances));
  if (o.queue_limit) MCOMP_CHECK(count("queue_limit", *o.queue_limit, 0, std::int64_t{1} << 50));
  const double between = o.mean_seconds_between_interruptions;
  MCOMP_CHECK(number("mean_seconds_between_interruptions", between, between == 0 || between >= 1, "0 or >= 1"));
  MCOMP_CHECK(number("price_per_hour", o.price_per_hour, o.price_per_hour >= 0, ">= 0"));
  MCOMP_CHECK(number("hours_per_month", o.hours_per_month, o.hours_per_month > 0 && o.hours_per_month <= 744,
                     "> 0 and <= 744"));
  if (const auto* target = std::get_if<TargetUtilization>(&o.policy)) {
    MCOMP_CHECK(number("policy.target", target->target, target->target > 0 && target->target <= 1, "within (0, 1]"));
    MCOMP_CHECK(number("policy.tolerance", target->tolerance, target->tolerance >= 0 && target->tolerance < 1,
                       "within [0, 1)"));
  } else if (const auto* length = std::get_if<QueueLengthTarget>(&o.policy)) {
    MCOMP_CHECK(number("policy.low", length->low, length->low >= 0, ">= 0"));
    MCOMP_CHECK(number("policy.high", length->high, length->high >= length->low, ">= low"));
    MCOMP_CHECK(number("policy.step", length->step, length->step > 0, "> 0"));
    MCOMP_CHECK(number("policy.utilization", length->utilization, length->utilization > 0 && length->utilization <= 1,
                       "within (0, 1]"));
  } else if (const auto* ahead = std::get_if<Predictive>(&o.policy)) {
    MCOMP_CHECK(number("policy.target", ahead->target, ahead->target > 0 && ahead->target <= 1, "within (0, 1]"));
    MCOMP_CHECK(number("policy.lookahead_seconds", ahead->lookahead_seconds,
                       ahead->lookahead_seconds >= 0 && ahead->lookahead_seconds <= 86400, "within [0, 86400]"));
  } else {
    const auto& entries = std::get<Scheduled>(o.policy).entries;
    MCOMP_CHECK(count("policy.entries", static_cast<std::int64_t>(entries.size()), 1, 100'000));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const double hour = entries[i].hour;
      MCOMP_CHECK(number("policy.entries.hour", hour, hour >= 0 && hour < 24 && (i == 0 || hour > entries[i - 1].hour),
                         "ascending within [0, 24)"));
      MCOMP_CHECK(count("policy.entries.instances", entries[i].instances, 0, 1'000'000));
    }
  }
  return {};
}

/// Steady M/G/c by utilization: how many wait, and which share of requests does.
struct SteadyLine {
  std::vector<double> utilization, waiting, probability;
};

/// Tables by number of servers. Above 1,000 servers three digits of the number suffice: what waits changes slowly.
class SteadyLines {
 public:
  explicit SteadyLines(double variability) : factor_((1 + variability) / 2) {
    for (int i = 0; i < 48; ++i) grid_.push_back(i / 50.0);
    for (double idle = 0.04; idle > 5e-5; idle *= 0.8) grid_.push_back(1 - idle);
  }
  const SteadyLine& of(std::int64_t servers) {
    if (last_ != nullptr && servers == last_servers_) return *last_;
    last_servers_ = servers;
    std::int64_t unit = 1;
    while (servers / unit >= 1000) unit *= 10;
    servers = servers / unit * unit;
    auto& line = lines_[servers];
    if (!line) {
      line = std::make_unique<SteadyLine>();
      line->utilization = grid_;
      for (const double rho : grid_) {
        // Below a part in 10^12 nobody waits: spares Erlang's recursion for fleets with little to do.
        const double c = static_cast<double>(servers);
        const bool idle = c * (1 - rho) * (1 - rho) / 2 > 40;
        const double probability = idle ? 0 : erlang_c(servers, rho * c).value();
        line->probability.push_back(probability);
        line->waiting.push_back(probability * rho / (1 - rho) * factor_);
      }
    }
    last_ = line.get();
    return *line;
  }

 private:
  double factor_;
  std::vector<double> grid_;
  std::map<std::int64_t, std::unique_ptr<SteadyLine>> lines_;
  const SteadyLine* last_ = nullptr;
  std::int64_t last_servers_ = 0;
};

/// Waits of many steps: some share of requests with an exponential wait, some with a certain one, counted by the
/// logarithm of the mean.
class Waits {
 public:
  explicit Waits(double service_seconds) : least_(service_seconds * 1e-3) {}
  /// `requests` of which a share waits, exponentially or for certain, `seconds` on average.
  void add(double requests, double share, double seconds, bool certain) {
    all_ += requests;
    // A share so small that the wait divided by it overflows, as when a line drains in silence, is nobody's.
    if (!(requests * share > 0) || !(seconds > 0) || !std::isfinite(seconds)) return;
    total_ += requests * share * seconds;
    const double place = std::max(0.0, std::log(seconds / least_) * (1 / log_ratio));
    const auto bin = std::min(bins - 1, static_cast<std::size_t>(place));
    auto& item = (certain ? certain_ : exponential_)[bin];
    item.requests += requests * share;
    item.seconds += requests * share * seconds;
  }
  [[nodiscard]] double mean() const noexcept { return all_ > 0 ? total_ / all_ : 0; }
  /// P(wait > seconds).
  [[nodiscard]] double exceeds(double seconds) const {
    if (seconds < 0) return 1;
    if (all_ <= 0) return 0;
    double sum = 0;
    for (const Item& item : exponential_)
      if (item.requests > 0) sum += item.requests * std::exp(-seconds * item.requests / item.seconds);
    for (const Item& item : certain_)
      if (item.requests > 0)
        // Evenly over the width of the bin, not all at its mean.
        sum += item.requests * std::clamp((item.seconds / item.requests / seconds - 1) / log_ratio + 0.5, 0.0, 1.0);
    return sum / all_;
  }
  [[nodiscard]] double longest() const {
    double most = least_;
    for (const Item& item : exponential_)
      if (item.requests > 0) most = std::max(most, 40 * item.seconds / item.requests);
    for (const Item& item : certain_)
      if (item.requests > 0) most = std::max(most, item.seconds / item.requests);
    return most;
  }
  [[nodiscard]] double least() const noexcept { return least_; }

 private:
  struct Item {
    double requests = 0, seconds = 0;
  };
  static constexpr std::size_t bins = 1400;
  static constexpr double log_ratio = 0.015; ///< 1,400 bins span nine decades
  double least_, all_ = 0, total_ = 0;
  std::vector<Item> exponential_ = std::vector<Item>(bins), certain_ = std::vector<Item>(bins);
};

/// The least t with tail(t) <= share.
template <class Tail> double least_with(double share, double high, const Tail& tail) {
  if (tail(0.0) <= share) return 0;
  double low = 0;
  while (tail(high) > share) high *= 2;
  while (high - low > 1e-6 * high) {
    const double middle = (low + high) / 2;
    (tail(middle) > share ? low : high) = middle;
  }
  return high;
}

void summarize(Replay& result, const Waits& waits, const ServiceTime& service) {
  // The tail of the wait on a grid, since the response needs it at many places.
  constexpr int points = 1200;
  const double growth = std::log(waits.longest() / waits.least()) / points;
  std::vector<double> tail;
  for (int i = 0; i <= points; ++i) tail.push_back(waits.exceeds(waits.least() * std::exp(growth * i)));
  const double at_once = waits.exceeds(0);
  const auto wait = [&](double t) {
    if (t < 0) return 1.0;
    if (t <= waits.least()) return at_once + t / waits.least() * (tail[0] - at_once);
    const double place = std::log(t / waits.least()) / std::max(growth, 1e-12);
    if (place >= points) return waits.exceeds(t);
    const auto i = static_cast<std::size_t>(place);
    return tail[i] + (place - static_cast<double>(i)) * (tail[i + 1] - tail[i]);
  };
  // Wait and service are independent: the mean over services.
  const auto strata = detail::service_strata(service);
  const auto response = [&](double t) {
    double sum = 0;
    for (const auto& [seconds, share] : strata) sum += share * wait(t - seconds);
    return sum;
  };
  result.wait.mean = waits.mean();
  result.response.mean = waits.mean() + service.mean();
  for (const auto& [member, share] :
       {std::pair{&LatencyPoint::p50, 0.5}, std::pair{&LatencyPoint::p95, 0.05}, std::pair{&LatencyPoint::p99, 0.01}}) {
    result.wait.*member = least_with(share, service.mean(), wait);
    result.response.*member = least_with(share, service.mean(), response);
  }
}

/// The fleet of the replay by intervals.
class Fleet {
 public:
  Fleet(std::int64_t up, double boot_seconds) : up_(up), boot_(boot_seconds) {}
  void become(std::int64_t wanted, double now) {
    for (; up_ + booting() < wanted;) {
      const std::int64_t more = wanted - up_ - booting();
      boots_.push_back({now + boot_, more});
    }
    while (up_ + booting() > wanted) {
      const std::int64_t fewer = up_ + booting() - wanted;
      if (boots_.empty()) {
        up_ -= fewer;
      } else {
        const std::int64_t youngest = std::min(fewer, boots_.back().second);
        if ((boots_.back().second -= youngest) == 0) boots_.pop_back();
      }
    }
  }
  void lose(std::int64_t instances, double now) {
    instances = std::min(instances, up_);
    if (instances == 0) return;
    up_ -= instances;
    boots_.push_back({now + boot_, instances});
  }
  /// Those ready by `now` serve.
  void arrive(double now) {
    while (!boots_.empty() && boots_.front().first <= now) {
      up_ += boots_.front().second;
      boots_.pop_front();
    }
  }
  [[nodiscard]] std::int64_t up() const noexcept { return up_; }
  [[nodiscard]] std::int64_t booting() const noexcept {
    std::int64_t sum = 0;
    for (const auto& boot : boots_) sum += boot.second;
    return sum;
  }

 private:
  std::int64_t up_;
  double boot_;
  std::deque<std::pair<double, std::int64_t>> boots_; ///< when, how many
};

/// Requests of a line that grows, by time of arrival: each waits until those before it are gone. Arrivals and
/// departures are even within a step.
class Backlog {
 public:
  void add(double time, double seconds, double requests) {
    if (requests <= 0) return;
    line_.push_back({time, seconds / requests, requests});
    total_ += requests;
  }
  /// The first ones leave, from `now` on for `seconds`, until `left` are left.
  void shorten(double left, double now, double seconds, Waits& waits) {
    const double leaving = left <= 0 ? total_ : total_ - left;
    if (line_.empty() || leaving <= 0) return;
    for (double gone = 0; !line_.empty() && gone < leaving * (1 - 1e-12);) {
      Cohort& first = line_.front();
      const double part = std::min(first.requests, leaving - gone);
      const double leaves = now + seconds * (gone + part / 2) / leaving;
      waits.add(part, 1, std::max(0.0, leaves - (first.time + first.gap * part / 2)), true);
      gone += part;
      first.time += first.gap * part;
      first.requests -= part;
      if (first.requests <= 0) line_.pop_front();
    }
    total_ -= leaving;
    if (left <= 0) line_.clear();
    if (line_.empty()) total_ = 0;
  }
  [[nodiscard]] double requests() const noexcept { return total_; }

 private:
  struct Cohort {
    double time, gap, requests; ///< of the first arrival, between arrivals, how many
  };
  std::deque<Cohort> line_;
  double total_ = 0;
};

/// What has happened since the last decision.
struct Period {
  double seconds = 0, requests = 0, busy = 0, up = 0, waiting = 0;
};

} // namespace

Status detail::check_replay(const RequestTrace& trace, const AutoscaleOptions& options) {
  MCOMP_CHECK(trace.check());
  MCOMP_CHECK(check(options));
  if (options.decision_seconds < trace.interval_seconds / 100)
    return Error(ErrorCode::invalid_argument, "autoscale: decision_seconds",
                 fmt::format("{} s are less than a hundredth of an interval of the trace", options.decision_seconds),
                 "decide less often, or record shorter intervals");
  return {};
}

std::vector<std::pair<double, double>> detail::service_strata(const ServiceTime& service) {
  std::vector<std::pair<double, double>> strata;
  double left = 1;
  for (int k = 0; k < 400 && left > 1e-7; ++k) {
    const double share = k < 90 ? 0.01 : left * 0.05;
    strata.emplace_back(service.quantile(1 - left + share / 2), share);
    left -= share;
  }
  strata.back().second += left;
  return strata;
}

double detail::clock_of(const RequestTrace& trace) {
  return static_cast<double>(trace.first_interval) * trace.interval_seconds;
}

void detail::price(Replay& result, const RequestTrace& trace, const AutoscaleOptions& options) {
  const double hours = static_cast<double>(trace.requests.size()) * trace.interval_seconds / 3600;
  result.cost = result.instance_hours * options.price_per_hour;
  result.cost_per_month = result.cost / hours * options.hours_per_month;
  const double answered = result.requests - result.dropped;
  if (answered > 0) result.cost_per_million_requests = result.cost / answered * 1e6;
  for (const ScalingPoint& point : result.timeline) {
    result.mean_instances += point.instances / static_cast<double>(result.timeline.size());
    result.peak_instances = std::max(result.peak_instances, point.instances);
  }
  // Whole machines all the time are a mean of steps: not 0.999... of one by rounding.
  for (double* count : {&result.mean_instances, &result.peak_instances})
    if (const double whole = std::round(*count); std::abs(*count - whole) < 1e-9 * std::max(1.0, whole)) *count = whole;
}

Result<Replay> replay(const RequestTrace& trace, const AutoscaleOptions& options) {
  return detail::replay_intervals(trace, options, true);
}

Result<Replay> detail::replay_intervals(const RequestTrace& trace, const AutoscaleOptions& options, bool latency) {
  MCOMP_CHECK(detail::check_replay(trace, options));
  const double service = options.service.mean();
  const double limit =
      options.queue_limit ? static_cast<double>(*options.queue_limit) : std::numeric_limits<double>::infinity();
  detail::ScalingController controller(options, detail::clock_of(trace));
  Fleet fleet(controller.initial(trace.requests.front() / trace.interval_seconds), options.boot_seconds);
  SteadyLines lines(options.service.variability());
  Waits waits(service);
  Backlog backlog;
  Random random(options.seed, 1);
  Replay result;
  Period period;
  const double h = std::min(trace.interval_seconds, options.decision_seconds) /
                   (options.decision_seconds < trace.interval_seconds ? 1 : steps_per_interval);
  const auto steps = static_cast<std::int64_t>(std::ceil(trace.interval_seconds / h - 1e-9));
  const double step = trace.interval_seconds / static_cast<double>(steps);
  double in_system = 0, busy_seconds = 0, up_seconds = 0, next_decision = options.decision_seconds;
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    ScalingPoint point{.seconds = static_cast<double>(i) * trace.interval_seconds,
                       .requests_per_second = trace.requests[i] / trace.interval_seconds};
    const double rate = point.requests_per_second;
    double point_busy = 0, point_up = 0;
    for (std::int64_t k = 0; k < steps; ++k) {
      const double now = point.seconds + static_cast<double>(k) * step;
      if (now > next_decision - step / 2) {
        fleet.arrive(now + 1e-9);
        fleet.become(controller.decide(
                         {.now = now,
                          .requests_per_second = period.requests / period.seconds,
                          .utilization = period.up > 0 ? period.busy / period.up : 0,
                          .waiting = period.waiting / period.seconds,
                          .served_by = period.up / period.seconds / static_cast<double>(options.servers_per_instance),
                          .up = fleet.up(),
                          .booting = fleet.booting()}),
                     now);
        next_decision += options.decision_seconds;
        period = {};
      }
      fleet.arrive(now + step / 2);
      if (options.mean_seconds_between_interruptions > 0) {
        const double lost = detail::poisson(
            static_cast<double>(fleet.up()) * step / options.mean_seconds_between_interruptions, random);
        result.interruptions += lost;
        fleet.lose(static_cast<std::int64_t>(lost), now);
      }
      const std::int64_t servers = fleet.up() * options.servers_per_instance;
      const double c = static_cast<double>(servers), arrived = rate * step, wanted = in_system + arrived;
      // Implicit Euler: the utilization with c rho + waiting(rho) + c mu rho step = L + arrivals.
      double rho = 0, waiting = wanted, probability = 1, steady = std::numeric_limits<double>::infinity();
      if (servers > 0) {
        const SteadyLine& line = lines.of(servers);
        const double own = c + c / service * step;
        const auto value = [&](std::size_t j) { return own * line.utilization[j] + line.waiting[j]; };
        const std::size_t last = line.utilization.size() - 1;
        if (wanted >= value(last)) {
          rho = 1;
          waiting = wanted - own;
        } else {
          std::size_t low = 0, high = last;
          while (high - low > 1) {
            const std::size_t middle = (low + high) / 2;
            (value(middle) <= wanted ? low : high) = middle;
          }
          const double share = (wanted - value(low)) / (value(high) - value(low));
          const auto between = [&](const std::vector<double>& x) { return x[low] + share * (x[high] - x[low]); };
          rho = between(line.utilization);
          waiting = between(line.waiting);
          probability = between(line.probability);
        }
        waiting = std::max(waiting, 0.0);
        if (rate * service < c) {
          const double load = rate * service / c;
          const auto at = std::upper_bound(line.utilization.begin(), line.utilization.end(), load);
          steady = at == line.utilization.end() ? line.waiting.back()
                                                : line.waiting[static_cast<std::size_t>(at - line.utilization.begin())];
        } else {
          steady = 0;
        }
      }
      double dropped = std::max(0.0, waiting - limit);
      waiting -= dropped;
      const bool backed_up = servers == 0 || (rho > 0.9 && waiting > 2 * steady + 1e-9);
      if (dropped == 0 && limit < std::numeric_limits<double>::infinity() && !backed_up)
        dropped = arrived * probability * std::pow(std::min(rho, 1.0), limit);
      dropped = std::min(dropped, wanted);
      in_system = c * rho + waiting;
      const double admitted = std::max(arrived - dropped, 0.0);
      if (backed_up) {
        backlog.add(now, step, admitted);
        backlog.shorten(waiting, now, step, waits);
      } else {
        backlog.shorten(0, now, step, waits);
        // Little's law: c rho / service leave the line per second.
        const double mean_wait = rho > 0 ? waiting * service / (c * rho) : 0;
        waits.add(admitted, probability, probability > 0 ? mean_wait / probability : 0, false);
      }
      point.dropped += dropped;
      point.instances += static_cast<double>(fleet.up()) / static_cast<double>(steps);
      point.billed += static_cast<double>(fleet.up() + fleet.booting()) / static_cast<double>(steps);
      point.waiting += waiting / static_cast<double>(steps);
      point_busy += c * rho * step;
      point_up += c * step;
      period.seconds += step;
      period.requests += arrived;
      period.busy += c * rho * step;
      period.up += c * step;
      period.waiting += waiting * step;
    }
    point.utilization = point_up > 0 ? point_busy / point_up : 0;
    busy_seconds += point_busy;
    up_seconds += point_up;
    result.requests += trace.requests[i];
    result.dropped += point.dropped;
    result.instance_hours += point.billed * trace.interval_seconds / 3600;
    result.timeline.push_back(point);
  }
  if (up_seconds > 0) result.utilization = busy_seconds / up_seconds;
  const double end = static_cast<double>(trace.requests.size()) * trace.interval_seconds;
  const double servers_left = static_cast<double>(std::max<std::int64_t>(fleet.up() * options.servers_per_instance, 1));
  backlog.shorten(0, end, backlog.requests() * service / servers_left, waits);
  if (latency && result.requests > 0) summarize(result, waits, options.service);
  detail::price(result, trace, options);
  return result;
}

Result<MonthlyCost> monthly_cost(const RequestTrace& trace, const AutoscaleOptions& options,
                                 const MonthlyCostOptions& how, const Context& context) {
  if (how.replicates < 20 || how.replicates > 1'000'000)
    return Error(ErrorCode::invalid_argument, "replicates",
                 fmt::format("{} are not within 20 and 10^6", how.replicates), "pass 200");
  if (!(how.level > 0 && how.level < 1))
    return Error(ErrorCode::invalid_argument, "level", fmt::format("{} is not within (0, 1)", how.level), "pass 0.95");
  MCOMP_TRY(whole, replay(trace, options));
  MCOMP_CHECK(bootstrap_days(trace, how.bootstrap));
  const auto n = static_cast<std::size_t>(how.replicates);
  MonthlyCost result{.per_month = whole.cost_per_month, .replicates = std::vector<double>(n)};
  std::vector<Status> status(n);
  context.executor_or_serial().run(n, [&](std::size_t i) {
    if (const Status go_on = context.check("monthly cost"); !go_on) {
      status[i] = go_on;
      return;
    }
    DayBootstrap bootstrap = how.bootstrap;
    bootstrap.seed = Random(how.bootstrap.seed, i).next();
    AutoscaleOptions own = options;
    own.seed = Random(options.seed, i).next();
    const auto drawn = bootstrap_days(trace, bootstrap);
    const auto month = drawn ? detail::replay_intervals(*drawn, own, false) : Result<Replay>(drawn.error());
    if (month)
      result.replicates[i] = month->cost_per_month;
    else
      status[i] = month.error();
  });
  for (const Status& one : status) MCOMP_CHECK(one);
  MCOMP_TRY(lower, stats::quantile(result.replicates, (1 - how.level) / 2));
  MCOMP_TRY(upper, stats::quantile(result.replicates, (1 + how.level) / 2));
  result.interval = {.lower = lower, .upper = upper, .level = how.level};
  return result;
}

std::string to_string(const Replay& replay) {
  std::string text = fmt::format(
      "instances: {:.4g} on average, {:.4g} at most, {:.5g} hours, {:.5g} in all, {:.5g} per month\n",
      replay.mean_instances, replay.peak_instances, replay.instance_hours, replay.cost, replay.cost_per_month);
  text += fmt::format("response: mean {:.4g}, p50 {:.4g}, p95 {:.4g}, p99 {:.4g} s; wait: mean {:.4g}, p95 {:.4g} s\n",
                      replay.response.mean, replay.response.p50, replay.response.p95, replay.response.p99,
                      replay.wait.mean, replay.wait.p95);
  text += fmt::format("{:.6g} requests, {:.4g} dropped, utilization {:.3g}", replay.requests, replay.dropped,
                      replay.utilization);
  return text;
}

} // namespace mcomp::inline v0::cost
