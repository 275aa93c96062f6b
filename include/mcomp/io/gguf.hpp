#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mcomp/core/tensor.hpp"
#include "mcomp/quant/block_format.hpp"

// GGUF: the file format of llama.cpp and other engines on ggml. Metadata of typed values by name, the list of tensors,
// and their elements behind it, aligned, little-endian (ggml-org/ggml, docs/gguf.md, version 3; version 2 is the same
// but for the number).
//
// Files are taken for hostile. What the format's description or its reference reader demands is checked before any
// memory is asked for: lengths and counts against the rest of the file, sums and products for overflow, names for
// repetition, offsets for being the running padded sum. Stricter than the reference reader are refused: a boolean that
// is neither 0 nor 1, NUL in a key or a name, empty names, and bytes behind the last tensor's padding. Arrays within
// arrays, which the description allows and no engine reads, are refused as unsupported.

namespace mcomp::inline v0::io {

/// How the elements of a tensor are stored; the values are the format's numbers. Block types hold several elements of a
/// row in one block of bytes.
enum class GgufType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  nvfp4 = 40,
  q1_0 = 41,
  q2_0 = 42,
};

struct GgufTypeInfo {
  GgufType type;
  std::string_view name;   ///< "Q4_K"
  std::int64_t block_size; ///< elements of a row in one block
  std::int64_t block_bytes;
  [[nodiscard]] constexpr double bits_per_weight() const noexcept {
    return 8.0 * static_cast<double>(block_bytes) / static_cast<double>(block_size);
  }
};

/// Every type that the reader and the writer know.
[[nodiscard]] MCOMP_API std::span<const GgufTypeInfo> gguf_types() noexcept;
/// Of a member of the enumeration.
[[nodiscard]] MCOMP_API const GgufTypeInfo& gguf_type_info(GgufType type) noexcept;
[[nodiscard]] MCOMP_API std::string to_string(GgufType type);
/// The inverse of `to_string`, in any case of letters. Error: not_found.
[[nodiscard]] MCOMP_API Result<GgufType> gguf_type_from_string(std::string_view name);
/// True for types with a scale to a block; false for plain numbers.
[[nodiscard]] MCOMP_API bool is_quantized(GgufType type) noexcept;
/// Bytes of a tensor. Errors: invalid_shape for a negative size, a rank above 4, an overflow, or a row that blocks do
/// not divide.
[[nodiscard]] MCOMP_API Result<std::int64_t> gguf_bytes(GgufType type, const Shape& shape, const std::string& subject);

/// An array of one type.
using GgufArray = std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                               std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                               std::vector<float>, std::vector<bool>, std::vector<std::string>,
                               std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>;
/// A value of the metadata. Strings are bytes: usually UTF-8, but nothing demands it of them.
using GgufValue = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t,
                               float, bool, std::string, std::uint64_t, std::int64_t, double, GgufArray>;
/// In the order of the file.
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;

/// A tensor of a file; its bytes belong to the file.
struct GgufTensor {
  std::string name;
  GgufType type = GgufType::f32;
  Shape shape; ///< outermost first, as everywhere in mcomp (the file counts the other way round)
  std::span<const std::byte> bytes;
};

/// The content of a file. Copies share the mapping, which lives as long as one of them.
class MCOMP_API GgufFile {
 public:
  GgufMetadata metadata{};
  std::vector<GgufTensor> tensors{};
  std::int64_t alignment = 32;
  std::shared_ptr<const void> owner{}; ///< of the bytes of all tensors

  /// Null where the key is absent.
  [[nodiscard]] const GgufValue* find(std::string_view key) const noexcept;
  /// The value as T. Errors: not_found; invalid_dtype where it is of another type.
  template <class T> [[nodiscard]] Result<T> get(std::string_view key) const {
    auto value = demand(key);
    if (!value) return value.error();
    if (const T* typed = std::get_if<T>(*value)) return *typed;
    return wrong_type(key);
  }
  /// An array as its vector: `get_array<std::string>("tokenizer.ggml.tokens")`. Errors as of `get`.
  template <class T> [[nodiscard]] Result<std::vector<T>> get_array(std::string_view key) const {
    auto value = demand(key);
    if (!value) return value.error();
    if (const auto* array = std::get_if<GgufArray>(*value))
      if (const auto* typed = std::get_if<std::vector<T>>(array)) return *typed;
    return wrong_type(key);
  }
  /// A whole number of any integer type. Errors: not_found, invalid_dtype, invalid_value beyond int64.
  [[nodiscard]] Result<std::int64_t> get_integer(std::string_view key) const;
  /// Error: not_found.
  [[nodiscard]] Result<GgufTensor> find_tensor(std::string_view name) const;

 private:
  [[nodiscard]] Result<const GgufValue*> demand(std::string_view key) const;
  [[nodiscard]] static Error wrong_type(std::string_view key);
};

/// "291 tensors (Q4_K 193, F32 65 ...), 24 keys"
[[nodiscard]] MCOMP_API std::string to_string(const GgufFile& file);

struct GgufReadOptions {
  /// Demand what the description demands of a model: general.architecture, and general.quantization_version where a
  /// tensor is quantized. Other files (importance matrices) have neither.
  bool model = true;
};

/// Opens a file of any size: it is mapped, not read (see `read_safetensors`).
///
///     auto file = mcomp::io::read_gguf("model.gguf").value();
///     auto layers = file.get_integer("llama.block_count").value();
///     auto q = file.find_tensor("blk.0.attn_q.weight").value();
///
/// Errors: not_found and io_failure for the file itself; corrupt for content that breaks the format; version_mismatch;
/// unsupported for a tensor type that is not known, big-endian files, and arrays within arrays.
[[nodiscard]] MCOMP_API Result<GgufFile> read_gguf(const std::filesystem::path& path,
                                                   const GgufReadOptions& options = {});

/// The same from memory.
/// @param owner   keeps `bytes` alive for as long as a tensor is in use; where null, the bytes are copied
/// @param subject what the bytes are, for messages
[[nodiscard]] MCOMP_API Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                                    const std::string& subject, const GgufReadOptions& options = {});

/// A tensor of plain numbers (F32 F16 BF16 F64 I8 I16 I32 I64) as a copy. Errors: unsupported for block types.
[[nodiscard]] MCOMP_API Result<Tensor> as_numbers(const GgufTensor& tensor);
/// A tensor in one of the block formats of `quant`, as a copy. Errors: unsupported for other types.
[[nodiscard]] MCOMP_API Result<quant::BlockTensor> as_blocks(const GgufTensor& tensor);
/// The real numbers of either, f32. Errors: unsupported.
[[nodiscard]] MCOMP_API Result<Tensor> as_f32(const GgufTensor& tensor);
/// The type of a block format.
[[nodiscard]] MCOMP_API GgufType gguf_type(quant::BlockFormat format) noexcept;

/// What the writer needs of a tensor: its bytes, or a function that makes them when their turn comes, so that one
/// tensor at a time is in memory.
struct GgufSource {
  std::string name;
  GgufType type = GgufType::f32;
  Shape shape;
  std::span<const std::byte> bytes{};
  std::function<Result<std::vector<std::byte>>()> make{}; ///< used where it is set
};

/// Bytes of the file that `write_gguf` writes. Errors as of `write_gguf`.
[[nodiscard]] MCOMP_API Result<std::int64_t> gguf_file_bytes(const GgufMetadata& metadata,
                                                             std::span<const GgufSource> tensors);

/// Writes a file (version 3) whole or not at all, keys and tensors in the order given. The alignment is that of the key
/// general.alignment (a power of two from 8 to 2^20), where there is one, else 32. Equal content gives equal bytes.
///
/// Errors: not_found and io_failure (a full disk among them; an older file is then untouched); invalid_argument for
/// keys or names that are empty, too long (65,535 and 63 bytes), contain NUL or stand twice, for an alignment that is
/// none; invalid_shape as of `gguf_bytes` and where a tensor's bytes are not as many as its shape demands; those of
/// `make`.
[[nodiscard]] MCOMP_API Status write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                                          std::span<const GgufSource> tensors);

} // namespace mcomp::inline v0::io

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<io::GgufType> = true;
template <> inline constexpr bool enable_format<io::GgufFile> = true;
} // namespace mcomp::inline v0
