#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"

namespace mcomp_test {

/// Runs an example program as a user does; its report, or null where it writes none (wrong usage). The test fails where
/// the exit status is not `expected`.
/// @param folder receives where the results are
inline nlohmann::json run_program(const std::string& program, const std::string& arguments, int expected = 0,
                                  std::filesystem::path* folder = nullptr) {
  const auto out = temporary_folder() / "out";
  if (folder) *folder = out;
  const std::string log = out.string() + ".log";
  const std::string command = "'" + program + "' " + arguments + " --out '" + out.string() + "' >'" + log + "' 2>&1";
  const int status = std::system(command.c_str());
  if (status != expected * 256) {
    std::ifstream text(log);
    FAIL(command << "\nexit status " << status << "\n"
                 << std::string(std::istreambuf_iterator<char>(text), std::istreambuf_iterator<char>()));
  }
  std::ifstream file(out / "report.json");
  return file ? nlohmann::json::parse(file) : nlohmann::json();
}

} // namespace mcomp_test
