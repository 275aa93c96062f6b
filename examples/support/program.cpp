#include "program.hpp"

#include <cstdio>
#include <iostream>
#include <new>
#include <system_error>

#include "mcomp/core/format.hpp"

namespace example {

std::string to_string(ExitStatus status) {
  switch (status) {
  case ExitStatus::done:
    return "done";
  case ExitStatus::failed:
    return "failed";
  case ExitStatus::usage:
    return "usage";
  case ExitStatus::rejected:
    return "rejected";
  case ExitStatus::undecided:
    return "undecided";
  }
  return "unknown";
}

Program::Program(std::string name, const std::string& description, std::filesystem::path out)
    : name_(std::move(name)), options_(description, name_), out_(std::move(out)) {
  auto* option = options_.add_option(
      "--out", out_, "Folder that receives report.json and all other results; created where it is absent");
  if (out_.empty())
    option->required();
  else
    option->capture_default_str();
  options_.footer("Exit status: 0 done, 1 failed, 2 wrong usage, 3 rejected by the criteria, 4 undecided.");
}

void Program::print(const mcomp::Error& error) const {
  fmt::print(stderr, "{}: failed ({})\n  subject: {}\n  rule:    {}\n  remedy:  {}\n", name_,
             mcomp::to_string(error.code()), error.subject(), error.rule(), error.remedy());
}

ExitStatus Program::work(Report& report, const Body& body) {
  std::error_code failure;
  std::filesystem::create_directories(out_, failure);
  if (failure) {
    print(mcomp::Error(mcomp::ErrorCode::io_failure, out_.string(), "cannot be created: " + failure.message(),
                       "pass a folder that may be written with --out"));
    return ExitStatus::failed;
  }

  report.keep("program", name_);
  report.keep("status", nullptr); // holds its place at the head of the file
  const auto fail = [&](const mcomp::Error& error) {
    print(error);
    report.keep("error", {{"code", mcomp::to_string(error.code())},
                          {"subject", error.subject()},
                          {"rule", error.rule()},
                          {"remedy", error.remedy()}});
    return ExitStatus::failed;
  };
  ExitStatus status = ExitStatus::failed;
  try {
    const auto result = body(report);
    status = result ? *result : fail(result.error());
  } catch (const mcomp::Error& error) {
    status = fail(error);
  } catch (const std::bad_alloc&) {
    status = fail(mcomp::Error(mcomp::ErrorCode::unsupported, name_, "memory is short", "give the program more of it"));
  }
  report.keep("status", to_string(status));
  if (const auto written = report.write(out_ / "report.json"); !written) {
    print(written.error());
    return ExitStatus::failed;
  }
  return status;
}

int Program::run(int argc, const char* const* argv, const Body& body) {
  try {
    options_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = options_.exit(error, std::cout, std::cerr) == 0; // --help and its like
    return static_cast<int>(asked ? ExitStatus::done : ExitStatus::usage);
  }
  Report report;
  return static_cast<int>(work(report, body));
}

} // namespace example
