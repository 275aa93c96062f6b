#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "mcomp/quant/block_format.hpp"

// ggml's own library, loaded at run time: what a GGUF block must be, byte for byte. Fetched by test/oracle/fetch.sh
// into the folder that the cache variable MCOMP_TEST_ORACLE_DIR names.

namespace mcomp_test {

/// A file of the fetched package, wherever it lies below the folder; nothing where the folder is not set or lacks it.
[[nodiscard]] std::optional<std::filesystem::path> oracle_file(const std::string& name);

class Ggml {
 public:
  /// The library, loaded once; null where it is absent.
  [[nodiscard]] static const Ggml* load();

  /// ggml_quantize_chunk of whole rows; `importance` is empty or has one number for each column.
  [[nodiscard]] std::vector<std::uint8_t> quantize(mcomp::quant::BlockFormat format, const std::vector<float>& weight,
                                                   std::int64_t columns,
                                                   const std::vector<float>& importance = {}) const;
  /// dequantize_row_* of the format.
  [[nodiscard]] std::vector<float> dequantize(mcomp::quant::BlockFormat format,
                                              const std::vector<std::uint8_t>& bytes) const;
  [[nodiscard]] std::size_t row_size(mcomp::quant::BlockFormat format, std::int64_t columns) const;

 private:
  explicit Ggml(void* library);

  using Quantize = std::size_t (*)(int type, const float* source, void* target, std::int64_t start, std::int64_t rows,
                                   std::int64_t columns, const float* importance);
  using Dequantize = void (*)(const void* source, float* target, std::int64_t count);
  using RowSize = std::size_t (*)(int type, std::int64_t columns);

  void* library_ = nullptr;
  Quantize quantize_ = nullptr;
  RowSize row_size_ = nullptr;
};

/// What a test says that has no library to compare with.
inline constexpr const char* no_ggml = "ggml's library: not loaded (test/oracle/fetch.sh DIR, MCOMP_TEST_ORACLE_DIR)";

} // namespace mcomp_test
