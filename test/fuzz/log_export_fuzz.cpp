// libFuzzer program for exported logs, their events, and the governance that records hold.

#include "catalog/log_export.hpp"
#include "mcomp/catalog/governance.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::catalog;
  const std::string_view input = mcomp_fuzz::text(data, size);
  static const auto key = SigningKey::from_seed("log", std::array<std::uint8_t, 32>{7}).value().public_key();
  const auto report = mcomp::catalog::detail::verify_log_text(input, {&key, 1}, "log", {}).value();
  for (const auto& problem : report.problems) mcomp_fuzz::demand(!problem.where.empty() && !problem.rule.empty());
  const auto event = Event::parse(input);
  if (event)
    mcomp_fuzz::demand(to_json(*event).value() == input);
  else
    mcomp_fuzz::demand_whole(event.error());
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return Governance::parse(text); },
      [](const Governance& governance) { return to_json(governance).value(); });
  return 0;
}
