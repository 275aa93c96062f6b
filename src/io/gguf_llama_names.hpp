#pragma once

#include <string>
#include <vector>

#include "mcomp/graph/llama.hpp"

// What the writer and the reader of Llama decoders must agree on.

namespace mcomp::inline v0::io::detail {

struct LlamaTensorName {
  std::string name;   ///< Hugging Face's
  std::string stored; ///< the file's
  /// Heads whose rows the rotary embedding pairs up; 0: none.
  std::int64_t rotary_heads = 0;
};

/// Every tensor of a decoder, in the order in which files of llama.cpp have them.
[[nodiscard]] std::vector<LlamaTensorName> llama_tensor_names(const graph::LlamaOptions& model);

inline constexpr const char* llama_architecture = "llama";

} // namespace mcomp::inline v0::io::detail
