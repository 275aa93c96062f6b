#pragma once

#include <string_view>

#include "mcomp/core/context.hpp"

namespace example {

/// One line on standard error that overwrites itself while work runs and is gone at the end. Silent where standard
/// error is not a terminal, so that logs stay readable.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(std::string_view text);
  /// Removes the line, so that something else can be printed in its place.
  void clear();
  /// For `mcomp::Context::progress`; valid as long as this object lives.
  [[nodiscard]] mcomp::ProgressSink sink();

 private:
  bool terminal_;
  bool visible_ = false;
};

} // namespace example
