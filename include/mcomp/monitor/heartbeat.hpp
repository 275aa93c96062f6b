#pragma once

// Whether something that should report still does. Silence is never a sign that all is well.

#include <cstdint>
#include <string>
#include <string_view>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::monitor {

enum class Pulse {
  unknown, ///< nothing has come yet, and there is still time
  alive,
  lost, ///< the last beat is too long ago, or the first one is overdue
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(Pulse pulse);

///     auto heart = mcomp::monitor::Heartbeat::create({.timeout_seconds = 30}, now).value();
///     heart.beat(now);
///     if (heart.pulse(now) == mcomp::monitor::Pulse::lost) ...
struct HeartbeatOptions {
  double timeout_seconds = 30;       ///< between two beats
  double first_timeout_seconds = 60; ///< until the first one

  /// Reads schema "mcomp-heartbeat-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<HeartbeatOptions> parse(std::string_view json,
                                                                         const std::string& subject = "heartbeat");
  friend bool operator==(const HeartbeatOptions&, const HeartbeatOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const HeartbeatOptions& value);

class MCOMP_WORKFLOW_API Heartbeat {
 public:
  /// Errors: invalid_argument for timeouts that are not finite and > 0, or a start that is not finite.
  [[nodiscard]] static Result<Heartbeat> create(const HeartbeatOptions& options, double start_seconds);

  /// A beat that comes from a clock before the last one, or that is not finite, changes nothing.
  void beat(double seconds) noexcept;
  /// Lost for a time that is not finite.
  [[nodiscard]] Pulse pulse(double now) const noexcept;
  [[nodiscard]] std::int64_t beats() const noexcept { return beats_; }

 private:
  Heartbeat(const HeartbeatOptions& options, double start) : options_(options), last_(start) {}
  HeartbeatOptions options_;
  double last_ = 0;
  std::int64_t beats_ = 0;
};

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::Pulse> = true;
}
