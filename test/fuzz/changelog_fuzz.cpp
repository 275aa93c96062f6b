// libFuzzer program for changelogs: what is accepted is written, and read back the same; and its Markdown is made.

#include "mcomp/catalog/changelog.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::catalog;
  mcomp_fuzz::round_trip(
      mcomp_fuzz::text(data, size), [](std::string_view text) { return parse_changelog(text); },
      [](const std::vector<ChangelogEntry>& entries) {
        static_cast<void>(to_markdown(entries));
        return to_json(entries).value();
      });
  return 0;
}
