#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "mcomp/core/result.hpp"
#include "report.hpp"

namespace example {

/// How every example program ends; a script branches on it.
enum class ExitStatus : int {
  done = 0,      ///< the work is done and, where there are criteria, accepted
  failed = 1,    ///< an Error, printed on standard error
  usage = 2,     ///< the command line is wrong
  rejected = 3,  ///< the work is done, and the criteria reject its result
  undecided = 4, ///< the work is done, and the data are too few for the criteria to decide
};

[[nodiscard]] std::string to_string(ExitStatus status);

/// The conventions of the example programs in one place: `--help`, `--out DIR` for everything that is written, a
/// `report.json` in it, errors as subject, rule and remedy on standard error, and the exit status.
///
///     int main(int argc, char** argv) {
///       example::Program program("train", "Trains a network.");
///       int epochs = 10;
///       program.options().add_option("--epochs", epochs, "Passes over the images")->capture_default_str();
///       return program.run(argc, argv, [&](example::Report& report) -> mcomp::Result<example::ExitStatus> { ... });
///     }
class Program {
 public:
  /// The work: fills the report and says how it ended. An Error means `failed`.
  using Body = std::function<mcomp::Result<ExitStatus>(Report&)>;

  /// @param out the folder where `--out` is not given; empty: it must be given
  Program(std::string name, const std::string& description, std::filesystem::path out = {});

  /// For the program's own options; add them before `run`.
  [[nodiscard]] CLI::App& options() noexcept { return options_; }
  /// The folder of `--out`; it exists while the body runs.
  [[nodiscard]] const std::filesystem::path& out() const noexcept { return out_; }

  /// Reads the command line, runs the body, writes `report.json` (with the keys `program` and `status` beside the
  /// body's own; also after a failure of the body, with what it had found and the error) and returns the status.
  [[nodiscard]] int run(int argc, const char* const* argv, const Body& body);

 private:
  [[nodiscard]] ExitStatus work(Report& report, const Body& body);
  void print(const mcomp::Error& error) const;

  std::string name_;
  CLI::App options_;
  std::filesystem::path out_;
};

} // namespace example
