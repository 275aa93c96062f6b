#include "mcomp/cost/erlang.hpp"

#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "cost/limits.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

Status check_load(std::int64_t servers, double load, const char* subject) {
  if (servers < 0 || servers > detail::most_servers)
    return Error(ErrorCode::invalid_argument, subject,
                 fmt::format("{} servers are not within 0 and {}", servers, detail::most_servers),
                 "pass a number in that range");
  if (!(load >= 0) || !std::isfinite(load))
    return Error(ErrorCode::invalid_value, subject, fmt::format("a load of {} erlangs is not finite and >= 0", load),
                 "pass arrival rate times mean service time");
  return {};
}

double blocking(std::int64_t servers, double load) {
  double b = 1;
  for (std::int64_t k = 1; k <= servers; ++k) {
    const double carried = load * b;
    b = carried / (static_cast<double>(k) + carried);
  }
  return b;
}

} // namespace

Result<double> erlang_b(std::int64_t servers, double load) {
  MCOMP_CHECK(check_load(servers, load, "erlang_b"));
  return blocking(servers, load);
}

Result<double> erlang_c(std::int64_t servers, double load) {
  MCOMP_CHECK(check_load(servers, load, "erlang_c"));
  const auto c = static_cast<double>(servers);
  if (load >= c)
    return Error(
        ErrorCode::invalid_argument, "erlang_c",
        fmt::format("{} servers cannot carry a load of {} erlangs: the line grows without bound", servers, load),
        "take more servers than erlangs");
  const double b = blocking(servers, load);
  return c * b / (c - load * (1 - b));
}

double Waiting::mean() const noexcept {
  return probability == 0 ? 0 : probability / decay;
}

double Waiting::exceeds(double seconds) const noexcept {
  if (seconds < 0) return 1;
  // Without this an infinite decay at zero seconds would be infinity times zero.
  if (probability == 0) return seconds == seconds ? 0 : seconds;
  return probability * std::exp(-decay * seconds);
}

Result<double> Waiting::quantile(double quantile) const {
  if (!(quantile >= 0 && quantile < 1))
    return Error(ErrorCode::invalid_argument, "quantile", fmt::format("{} is not within [0, 1)", quantile),
                 "pass 0.99 for the wait that 99% of requests stay below");
  if (probability <= 1 - quantile) return 0.0;
  return std::log(probability / (1 - quantile)) / decay;
}

Result<Waiting> waiting(const Queue& queue) {
  const auto bad = [](const char* what, double value, const char* range) {
    return Error(ErrorCode::invalid_value, fmt::format("queue: {}", what),
                 fmt::format("{} is not finite and {}", value, range), "pass a measured value");
  };
  const auto non_negative = [](double x) { return x >= 0 && std::isfinite(x); };
  if (!non_negative(queue.arrivals_per_second)) return bad("arrivals_per_second", queue.arrivals_per_second, ">= 0");
  if (!non_negative(queue.service_seconds) || queue.service_seconds == 0)
    return bad("service_seconds", queue.service_seconds, "> 0");
  if (!non_negative(queue.arrival_variability)) return bad("arrival_variability", queue.arrival_variability, ">= 0");
  if (!non_negative(queue.service_variability)) return bad("service_variability", queue.service_variability, ">= 0");
  if (queue.servers < 1)
    return Error(ErrorCode::invalid_argument, "queue: servers", fmt::format("{} is less than 1", queue.servers),
                 "pass at least one server");
  const double load = queue.arrivals_per_second * queue.service_seconds;
  const auto probability = erlang_c(queue.servers, load);
  if (!probability) return probability.error().within("queue");
  const double variability = (queue.arrival_variability + queue.service_variability) / 2;
  if (variability == 0) return Waiting{.probability = 0, .decay = std::numeric_limits<double>::infinity()};
  return Waiting{.probability = *probability,
                 .decay = (static_cast<double>(queue.servers) - load) / queue.service_seconds / variability};
}

std::string to_string(const Waiting& waiting) {
  return fmt::format("{:.3g}% wait, {:.3g} s on average", 100 * waiting.probability, waiting.mean());
}

} // namespace mcomp::inline v0::cost
