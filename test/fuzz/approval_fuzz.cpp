// libFuzzer program for envelopes and the approvals in them.

#include "mcomp/catalog/approval.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::catalog;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const auto check = [](std::string_view text) {
    const auto approval = Approval::parse(text);
    if (!approval) return mcomp_fuzz::demand_whole(approval.error());
    mcomp_fuzz::demand(to_json(*approval).value() == text);
  };
  check(input);
  const auto envelope = Envelope::parse(input);
  if (!envelope) return mcomp_fuzz::demand_whole(envelope.error()), 0;
  mcomp_fuzz::demand(Envelope::parse(to_json(*envelope).value()).value() == *envelope);
  check(envelope->payload);
  static const KeyRecord key{.key = SigningKey::from_seed("log", std::array<std::uint8_t, 32>{7}).value().public_key(),
                             .roles = {"reviewer"},
                             .valid_until = {}};
  const auto checked =
      check_approval({.change = "promote", .roles = {"reviewer"}}, {.subject = "a", .change = "promote", .author = "b"},
                     *envelope, {&key, 1}, 150, [](std::string_view) { return false; });
  if (!checked) mcomp_fuzz::demand_whole(checked.error());
  return 0;
}
