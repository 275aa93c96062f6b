#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0 {

/// Asks long work to stop between steps. Copies share one flag; safe from any thread.
class CancellationToken {
 public:
  MCOMP_API CancellationToken();
  MCOMP_API void cancel() const noexcept;
  [[nodiscard]] MCOMP_API bool cancelled() const noexcept;

 private:
  struct Flag;
  std::shared_ptr<Flag> flag_;
};

/// One report of progress: `done` of `total` units of a named stage.
struct ProgressEvent {
  std::string_view stage;
  std::int64_t done = 0;
  std::int64_t total = 0;
};

using ProgressSink = std::function<void(const ProgressEvent&)>;

/// How long work runs, reports and stops. Everything is optional.
struct Context {
  Executor* executor = nullptr; ///< null: the calling thread
  ProgressSink progress{};      ///< called from the thread that called the function
  CancellationToken cancellation{};

  [[nodiscard]] Executor& executor_or_serial() const noexcept { return executor ? *executor : serial_executor(); }
  void report(std::string_view stage, std::int64_t done, std::int64_t total) const {
    if (progress) progress({stage, done, total});
  }
  /// Error: cancelled, where the token is set.
  [[nodiscard]] MCOMP_API Status check(std::string_view stage) const;
};

} // namespace mcomp::inline v0
