// libFuzzer program for the reader of token lists: a refusal is a whole Error, and an accepted list has a token for
// each line.

#include <algorithm>

#include "mcomp/io/token_list.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = mcomp_fuzz::text(data, size);
  const auto list = mcomp::io::parse_token_list(text, "fuzz");
  if (!list) {
    mcomp_fuzz::demand_whole(list.error());
    return 0;
  }
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + !text.ends_with('\n');
  mcomp_fuzz::demand(list->tokens.size() == lines);
  return 0;
}
