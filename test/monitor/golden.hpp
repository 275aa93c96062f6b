#pragma once

#include <fstream>
#include <sstream>
#include <string>

#include "catch.hpp"

namespace mcomp_test {

/// What version 1 wrote.
inline std::string golden(const std::string& name) {
  std::ifstream file(std::string(MCOMP_TEST_MONITOR_DIR) + "/golden/" + name + ".json");
  std::stringstream text;
  text << file.rdbuf();
  std::string content = text.str();
  INFO(name);
  REQUIRE(content.size() > 2);
  if (content.back() == '\n') content.pop_back();
  return content;
}

} // namespace mcomp_test
