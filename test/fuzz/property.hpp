#pragma once

// What the fuzzers demand of every reader.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mcomp/core/result.hpp"

namespace mcomp_fuzz {

/// A property that must hold; where it does not, the program ends and libFuzzer keeps the input.
inline void demand(bool property) {
  if (!property) std::abort();
}

/// A refusal names its subject, a rule and a remedy.
inline void demand_whole(const mcomp::Error& error) {
  demand(!error.subject().empty() && !error.rule().empty() && !error.remedy().empty());
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// What a reader of text accepts is written again, and read back it is the same.
template <class Read, class Write> void round_trip(std::string_view input, const Read& read, const Write& write) {
  const auto value = read(input);
  if (!value) return demand_whole(value.error());
  const auto again = read(write(*value));
  demand(again && *again == *value);
}

} // namespace mcomp_fuzz
