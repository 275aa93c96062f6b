// libFuzzer program for the values of records: what is accepted is written, and read back the same.

#include "mcomp/catalog/records.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::catalog;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const auto write = [](const auto& value) { return to_json(value).value(); };
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return parse_experiment(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return parse_target(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return parse_decision(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return parse_recipe_entry(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return parse_investigation(text); }, write);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return parse_benchmark_suite(text); }, write);
  return 0;
}
