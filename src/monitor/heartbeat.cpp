#include "mcomp/monitor/heartbeat.hpp"

#include <cmath>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::monitor {

std::string to_string(Pulse pulse) {
  switch (pulse) {
  case Pulse::unknown:
    return "unknown";
  case Pulse::alive:
    return "alive";
  case Pulse::lost:
    return "lost";
  }
  return "unknown";
}

Result<Heartbeat> Heartbeat::create(const HeartbeatOptions& options, double start_seconds) {
  for (const double timeout : {options.timeout_seconds, options.first_timeout_seconds})
    if (!std::isfinite(timeout) || timeout <= 0)
      return Error(ErrorCode::invalid_argument, "timeout", fmt::format("{} seconds", timeout), "pass a time > 0");
  if (!std::isfinite(start_seconds))
    return Error(ErrorCode::invalid_argument, "start_seconds", "it is not finite", "pass the time of a clock");
  return Heartbeat(options, start_seconds);
}

void Heartbeat::beat(double seconds) noexcept {
  if (!std::isfinite(seconds) || seconds < last_) return;
  last_ = seconds;
  ++beats_;
}

Pulse Heartbeat::pulse(double now) const noexcept {
  const double limit = beats_ == 0 ? options_.first_timeout_seconds : options_.timeout_seconds;
  if (!(now - last_ <= limit)) return Pulse::lost;
  return beats_ == 0 ? Pulse::unknown : Pulse::alive;
}

} // namespace mcomp::inline v0::monitor
