// libFuzzer program for what a catalogue is asked and answers: what is accepted is written, and read back the same.

#include "mcomp/catalog/json.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::catalog;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const auto write = [](const auto& value) { return to_json(value); };
  mcomp_fuzz::round_trip(input, parse_records, write);
  mcomp_fuzz::round_trip(input, parse_record_draft, write);
  mcomp_fuzz::round_trip(input, parse_record_query, write);
  mcomp_fuzz::round_trip(input, parse_alias_state, write);
  mcomp_fuzz::round_trip(input, parse_promotion, write);
  mcomp_fuzz::round_trip(input, parse_rollback, write);
  mcomp_fuzz::round_trip(input, parse_due_events, write);
  mcomp_fuzz::round_trip(input, parse_catalog_report, write);
  mcomp_fuzz::round_trip(input, parse_store_report, write);
  mcomp_fuzz::round_trip(input, parse_garbage_report, write);
  mcomp_fuzz::round_trip(input, parse_machine, write);
  mcomp_fuzz::round_trip(input, parse_experiment_comparison, write);
  return 0;
}
