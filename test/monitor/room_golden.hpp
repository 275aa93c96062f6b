#pragma once

#include "../golden.hpp"

namespace mcomp_test {

/// What version 1 wrote of a type of this room.
inline std::string golden(const std::string& name) {
  return golden(MCOMP_TEST_MONITOR_DIR, name);
}

} // namespace mcomp_test
