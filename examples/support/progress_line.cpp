#include "progress_line.hpp"

#include <cstdio>

#include "mcomp/core/format.hpp"

#include <unistd.h>

namespace example {

namespace {
constexpr const char* erase = "\r\x1b[K"; // to the first column, and clear to the end of the line
}

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressLine::show(std::string_view text) {
  if (!terminal_) return;
  fmt::print(stderr, "{}{}", erase, text);
  std::fflush(stderr);
  visible_ = true;
}

void ProgressLine::clear() {
  if (visible_) fmt::print(stderr, "{}", erase);
  visible_ = false;
}

mcomp::ProgressSink ProgressLine::sink() {
  return [this](const mcomp::ProgressEvent& event) {
    show(fmt::format("{} {}/{}", event.stage, event.done, event.total));
  };
}

} // namespace example
