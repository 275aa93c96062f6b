// libFuzzer program for the reader of token lists: a refusal is a whole Error, and an accepted list has a token for
// each line.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mcomp/io/token_list.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto list = mcomp::io::parse_token_list(text, "fuzz");
  if (!list) {
    const mcomp::Error& error = list.error();
    if (error.subject().empty() || error.rule().empty() || error.remedy().empty()) std::abort();
    return 0;
  }
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + !text.ends_with('\n');
  if (list->tokens.size() != lines) std::abort();
  return 0;
}
