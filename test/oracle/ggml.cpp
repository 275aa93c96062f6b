#include "oracle/ggml.hpp"

#include <cstdio>

#include <dlfcn.h>

namespace mcomp_test {

namespace {

const std::filesystem::path folder = MCOMP_TEST_ORACLE_DIR;

template <class Function> Function symbol(void* library, const char* name) {
  void* address = dlsym(library, name);
  if (!address) std::fprintf(stderr, "the oracle has no %s\n", name);
  return reinterpret_cast<Function>(address);
}

const char* decoder_of(mcomp::quant::BlockFormat format) {
  using enum mcomp::quant::BlockFormat;
  switch (format) {
  case q4_0:
    return "dequantize_row_q4_0";
  case q4_1:
    return "dequantize_row_q4_1";
  case q5_0:
    return "dequantize_row_q5_0";
  case q5_1:
    return "dequantize_row_q5_1";
  case q8_0:
    return "dequantize_row_q8_0";
  case q2_k:
    return "dequantize_row_q2_K";
  case q3_k:
    return "dequantize_row_q3_K";
  case q4_k:
    return "dequantize_row_q4_K";
  case q5_k:
    return "dequantize_row_q5_K";
  case q6_k:
    return "dequantize_row_q6_K";
  case iq4_nl:
    return "dequantize_row_iq4_nl";
  case iq4_xs:
    return "dequantize_row_iq4_xs";
  case mxfp4:
    return "dequantize_row_mxfp4";
  }
  return "";
}

int type_of(mcomp::quant::BlockFormat format) {
  return static_cast<int>(mcomp::quant::block_layout(format).gguf_type);
}

} // namespace

std::optional<std::filesystem::path> oracle_file(const std::string& name) {
  std::error_code ignored;
  if (folder.empty() || !std::filesystem::is_directory(folder, ignored)) return std::nullopt;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, ignored))
    if (entry.path().filename() == name) return entry.path();
  return std::nullopt;
}

const Ggml* Ggml::load() {
  static const Ggml* const loaded = []() -> const Ggml* {
    const auto path = oracle_file("libggml-base.so");
    if (!path) return nullptr;
    void* library = dlopen(path->c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      std::fprintf(stderr, "the oracle does not load: %s\n", dlerror());
      return nullptr;
    }
    static const Ggml ggml(library);
    return ggml.quantize_ && ggml.row_size_ ? &ggml : nullptr;
  }();
  return loaded;
}

Ggml::Ggml(void* library)
    : library_(library), quantize_(symbol<Quantize>(library, "ggml_quantize_chunk")),
      row_size_(symbol<RowSize>(library, "ggml_row_size")) {}

std::vector<std::uint8_t> Ggml::quantize(mcomp::quant::BlockFormat format, const std::vector<float>& weight,
                                         std::int64_t columns, const std::vector<float>& importance) const {
  const auto rows = static_cast<std::int64_t>(weight.size()) / columns;
  std::vector<std::uint8_t> bytes(row_size(format, columns) * static_cast<std::size_t>(rows));
  quantize_(type_of(format), weight.data(), bytes.data(), 0, rows, columns,
            importance.empty() ? nullptr : importance.data());
  return bytes;
}

std::vector<float> Ggml::dequantize(mcomp::quant::BlockFormat format, const std::vector<std::uint8_t>& bytes) const {
  const auto& layout = mcomp::quant::block_layout(format);
  const auto count = static_cast<std::int64_t>(bytes.size()) / layout.block_bytes * layout.block_size;
  std::vector<float> values(static_cast<std::size_t>(count));
  symbol<Dequantize>(library_, decoder_of(format))(bytes.data(), values.data(), count);
  return values;
}

std::size_t Ggml::row_size(mcomp::quant::BlockFormat format, std::int64_t columns) const {
  return row_size_(type_of(format), columns);
}

} // namespace mcomp_test
