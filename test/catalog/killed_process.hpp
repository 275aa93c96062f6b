#pragma once

// A process that works until it is killed, and says over a pipe what it has done.

#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>

#include <poll.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/faults.hpp"
#include "catch.hpp"

namespace mcomp_test {

/// When it dies: in the middle of a call that changes files, by its number, or wherever it is after a time.
struct Death {
  std::int64_t file_call = -1; ///< from 0; negative: by time
  int milliseconds = 0;
};

/// Runs `work(tell)` in a process of its own and returns what it told, which may end in the middle. `work` ends by
/// being killed, or with false or an exception where something does not hold, which fails the test.
template <class Work> std::string told_until_killed(const Death& death, const Work& work) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(ends[0]);
    const auto tell = [&](std::string_view text) {
      if (::write(ends[1], text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(3);
    };
    const auto live = [&] {
      try {
        while (work(tell)) {
        }
      } catch (...) {
      }
      ::_exit(1);
    };
    if (death.file_call >= 0) {
      const Fault fault(death.file_call, FaultKind::kill);
      live();
    }
    live();
  }
  ::close(ends[1]);
  if (death.file_call < 0) {
    ::poll(nullptr, 0, death.milliseconds);
    ::kill(child, SIGKILL);
  }
  std::string told;
  char buffer[4096];
  for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    told.append(buffer, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  INFO("exit code " << (WIFEXITED(status) ? WEXITSTATUS(status) : 0)
                    << ", last words: " << told.substr(told.size() - std::min<std::size_t>(told.size(), 300)));
  REQUIRE(WIFSIGNALED(status));
  return told;
}

} // namespace mcomp_test
