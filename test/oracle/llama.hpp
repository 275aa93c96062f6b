#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "mcomp/core/tensor.hpp"

// llama.cpp's own library, loaded at run time: whether a GGUF file loads, and what the engine computes from it. From
// the same package as ggml (see oracle/ggml.hpp), whose version the layout of its option structs belongs to.

namespace mcomp_test {

class Llama {
 public:
  /// The library with its CPU backend, loaded once; null where it is absent, then the reason is printed and counted as
  /// a skip.
  [[nodiscard]] static const Llama* load();

  /// Logits [samples, length, vocabulary] of int32 tokens [samples, length], each sample a context of its own, with a
  /// key-value cache in F32 and without flash attention. The error tells what the engine refused.
  [[nodiscard]] mcomp::Result<mcomp::Tensor> logits(const std::filesystem::path& file,
                                                    const mcomp::TensorView& tokens) const;

  /// The engine's own quantization of a file, every matrix to one type where its shape allows.
  /// @param file_type a value of llama.h's llama_ftype: 8 is Q5_0, 10 Q2_K, 15 Q4_K_M ...
  [[nodiscard]] mcomp::Status quantize(const std::filesystem::path& from, const std::filesystem::path& to,
                                       std::int32_t file_type) const;

 private:
  Llama() = default;
  struct Functions;
  const Functions* functions_ = nullptr;
};

} // namespace mcomp_test
