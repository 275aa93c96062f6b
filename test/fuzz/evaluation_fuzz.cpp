// libFuzzer program for evaluations, which hold criteria and a verdict too.

#include "mcomp/evaluate/evaluation.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::evaluate;
  mcomp_fuzz::round_trip(
      mcomp_fuzz::text(data, size), [](std::string_view text) { return evaluation_from_json(text, "fuzz"); },
      [](const Evaluation& evaluation) { return to_json(evaluation); });
  // Whatever was read prints, and is judged or refused.
  if (const auto evaluation = evaluation_from_json(mcomp_fuzz::text(data, size), "fuzz")) {
    static_cast<void>(to_string(*evaluation));
    static_cast<void>(to_junit_xml(*evaluation));
    static_cast<void>(to_markdown(*evaluation));
    static_cast<void>(judge_again(*evaluation, evaluation->criteria).has_value());
  }
  return 0;
}
