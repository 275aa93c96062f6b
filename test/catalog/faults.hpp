#pragma once

// Faults of the operating system, on purpose: the calls that write, sync, rename, send and receive are this program's
// own, which hand on to the real ones but for the one that is to fail. So every library in the process meets them,
// SQLite and libpq too.

#include <cstdint>

namespace mcomp_test {

enum class FaultKind {
  fail, ///< the call fails
  kill, ///< the process is killed in its middle
};

/// While it lives, call number `at` (from 0) of those that change files or talk to a server, in this thread, fails:
/// with "no space left" where it writes, with an input/output error where it syncs or renames, with a lost connection
/// where it sends or receives. A write or message fails, or kills, after half of its bytes.
class Fault {
 public:
  explicit Fault(std::int64_t at, FaultKind kind = FaultKind::fail) noexcept;
  ~Fault();
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
  /// How many calls there were.
  [[nodiscard]] std::int64_t calls() const noexcept;
  [[nodiscard]] bool happened() const noexcept;
};

} // namespace mcomp_test
