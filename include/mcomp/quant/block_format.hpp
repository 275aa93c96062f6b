#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "mcomp/core/context.hpp"
#include "mcomp/core/tensor.hpp"

// The block formats of GGUF files: runs of 32 or 256 consecutive weights of a row that share a few bytes of scales, as
// llama.cpp, and everything else that reads GGUF, computes with them.
//
//     auto q = mcomp::quant::quantize_blocks(weights, BlockFormat::q4_k, {.importance = second_moments}).value();
//     fmt::print("{}\n", q);                                     // "[256, 256] Q4_K, 36864 bytes (7.11x smaller ...)"
//     auto back = mcomp::quant::dequantize_blocks(q).value();    // bit for bit what ggml decodes
//
// Layouts: ggml, src/ggml-common.h. In every format a weight is scale * level + offset in f32, with one scale and
// offset for each sub-block; the formats differ in the levels and in how scales are stored.

namespace mcomp::inline v0::quant {

/// | format | block | scale of a sub-block            | levels                     |
/// | Q4_0   | 32    | fp16                            | -8 .. 7                    |
/// | Q4_1   | 32    | fp16, offset fp16               | 0 .. 15                    |
/// | Q5_0   | 32    | fp16                            | -16 .. 15                  |
/// | Q5_1   | 32    | fp16, offset fp16               | 0 .. 31                    |
/// | Q8_0   | 32    | fp16                            | -128 .. 127                |
/// | Q2_K   | 256   | 16 x fp16 * 4 bits, offset too  | 0 .. 3                     |
/// | Q3_K   | 256   | 16 x fp16 * 6 bits signed       | -4 .. 3                    |
/// | Q4_K   | 256   | 8 x fp16 * 6 bits, offset too   | 0 .. 15                    |
/// | Q5_K   | 256   | 8 x fp16 * 6 bits, offset too   | 0 .. 31                    |
/// | Q6_K   | 256   | 16 x fp16 * 8 bits signed       | -32 .. 31                  |
/// | IQ4_NL | 32    | fp16                            | 16 unequal steps           |
/// | IQ4_XS | 256   | 8 x fp16 * 6 bits signed        | those of IQ4_NL            |
/// | MXFP4  | 32    | power of two (E8M0)             | E2M1                       |
enum class BlockFormat : std::uint8_t {
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  mxfp4,
};

inline constexpr std::array<BlockFormat, 13> block_formats{
    BlockFormat::q4_0,   BlockFormat::q4_1,   BlockFormat::q5_0, BlockFormat::q5_1, BlockFormat::q8_0,
    BlockFormat::q2_k,   BlockFormat::q3_k,   BlockFormat::q4_k, BlockFormat::q5_k, BlockFormat::q6_k,
    BlockFormat::iq4_nl, BlockFormat::iq4_xs, BlockFormat::mxfp4};

/// What is fixed by a format.
struct BlockLayout {
  std::string_view name;           ///< as GGUF tools print it, "Q4_K"
  std::uint32_t gguf_type = 0;     ///< number of the tensor type in a GGUF file
  std::int64_t block_size = 0;     ///< weights in a block
  std::int64_t sub_block_size = 0; ///< weights that share a scale
  std::int64_t block_bytes = 0;
  bool has_offset = false;   ///< whether sub-blocks have an offset beside their scale
  bool has_rounding = false; ///< whether there is a published round-to-nearest, which `BlockSearch::nearest` reproduces

  [[nodiscard]] double bits_per_weight() const noexcept {
    return 8.0 * static_cast<double>(block_bytes) / static_cast<double>(block_size);
  }
};

[[nodiscard]] MCOMP_API const BlockLayout& block_layout(BlockFormat format) noexcept;
/// "Q4_K"
[[nodiscard]] MCOMP_API std::string to_string(BlockFormat format);
/// The inverse of `to_string`, in upper or lower case. Error: not_found, with the name that was probably meant.
[[nodiscard]] MCOMP_API Result<BlockFormat> block_format_from_string(std::string_view name);
/// Error: not_found for types that are not block formats of this library.
[[nodiscard]] MCOMP_API Result<BlockFormat> block_format_from_gguf_type(std::uint32_t type);

/// A tensor in one of the formats, as a file holds it.
struct BlockTensor {
  BlockFormat format = BlockFormat::q8_0;
  Shape shape;  ///< of the weights
  Tensor bytes; ///< uint8 [rows, bytes of a row], rows = product of all sizes but the last

  [[nodiscard]] std::int64_t stored_bytes() const noexcept { return bytes.bytes(); }
  /// f32 bytes divided by `stored_bytes`.
  [[nodiscard]] MCOMP_API double compression() const noexcept;
};

/// "[256, 768] Q4_K, 110592 bytes (7.11x smaller than f32)"
[[nodiscard]] MCOMP_API std::string to_string(const BlockTensor& tensor);

/// How scales are chosen. All but `nearest` minimize sum importance[column] (w - q)^2.
enum class BlockSearch : std::uint8_t {
  /// The published round-to-nearest of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and MXFP4, byte for byte what ggml writes for every
  /// finite input (also where that overflows fp16); importance does not enter. Formats without one are searched as by
  /// `fast`.
  nearest,
  /// Formats with one scale a block (Q4_0, Q5_0, Q8_0, IQ4_NL, MXFP4) reach the optimum over all storable scales; the
  /// others take an alternating search from few starts.
  fast,
  /// As `fast`, with several times as many starts.
  thorough,
};

[[nodiscard]] MCOMP_API std::string to_string(BlockSearch search);

struct BlockOptions {
  BlockSearch search = BlockSearch::thorough;
  /// f32 [columns], not negative: the mean square of each input (an "imatrix"). Empty: all columns count alike. A block
  /// whose importances are all zero is searched as if they were equal.
  TensorView importance{};
};

/// Quantizes a floating tensor whose last size is a whole number of blocks. Rows are independent and cut by constants:
/// the bytes do not depend on the number of threads, nor on the instruction set.
/// Defined results: zeros give zeros; weights too small for the smallest fp16 scale become zero; a search keeps scales
/// at or below 65504.
/// Cost a weight with AVX-512, one thread: a published rounding 0.2 (Q4_0) to 4 ns; the exact search of formats with
/// one scale 150 to 700 ns; else `fast` 13 (K formats) to 60 ns, `thorough` 70 to 350 ns. Errors, before any work:
/// invalid_dtype, invalid_shape (no columns, or a row that blocks do not divide), invalid_value (NaN, infinity, a
/// negative importance), invalid_argument (importance beside `nearest` in a format with a published rounding);
/// cancelled.
[[nodiscard]] MCOMP_API Result<BlockTensor> quantize_blocks(const TensorView& weight, BlockFormat format,
                                                            const BlockOptions& options = {},
                                                            const Context& context = {});

/// The real numbers, f32 of `tensor.shape`, bit-exact with ggml's decoders for any bytes (up to the bits of a NaN).
/// Errors: invalid_shape where bytes and shape do not fit.
[[nodiscard]] MCOMP_API Result<Tensor> dequantize_blocks(const BlockTensor& tensor, const Context& context = {});

/// A block tensor taken apart, to look at or to bring codes of another algorithm into a format:
/// weight = scale * level(code) + offset, in f32 and in this order.
struct BlockParts {
  BlockFormat format = BlockFormat::q8_0;
  Tensor codes;   ///< uint8, shape of the weights: index into `block_levels`
  Tensor scales;  ///< f32 [rows, sub-blocks of a row]
  Tensor offsets; ///< f32 [rows, sub-blocks of a row]; -0 where the format has none
};

/// The levels of a format in ascending order, f32. MXFP4 has two zeros.
[[nodiscard]] MCOMP_API Tensor block_levels(BlockFormat format);
/// Errors: as `dequantize_blocks`.
[[nodiscard]] MCOMP_API Result<BlockParts> unpack_blocks(const BlockTensor& tensor);
/// Codes as they are, scales and offsets replaced by the nearest that the format can store: exact for formats with one
/// scale a block where they came from `unpack_blocks`; K formats choose their super-block scales anew.
/// Errors: invalid_dtype, invalid_shape (parts that do not fit together), invalid_value (a code beyond the levels, a
/// scale that is not finite, an offset in a format that has none).
[[nodiscard]] MCOMP_API Result<BlockTensor> pack_blocks(const BlockParts& parts);

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::BlockFormat> = true;
template <> inline constexpr bool enable_format<quant::BlockSearch> = true;
template <> inline constexpr bool enable_format<quant::BlockTensor> = true;
} // namespace mcomp::inline v0
