#pragma once

#include <array>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/tensor.hpp"

// Codes that are positions in a table of values: NF4, whose table is made for normally distributed weights, and tables
// fitted to the weights at hand.
//
//     auto q = mcomp::quant::quantize_nf4(weight, {.group_size = 64}).value();
//     auto k = mcomp::quant::quantize_codebook(weight, {.bits = 3}).value();   // k-means, one table a channel
//
// NF4: Dettmers et al. 2023, QLoRA, section 3. k-means in one dimension has an exact solution by dynamic programming:
// Wang and Song 2011, Ckmeans.1d.dp.

namespace mcomp::inline v0::quant {

/// value = codebook[code] * scale of the group; without scales codebook[code].
struct CodebookTensor {
  int bits = 4;
  Tensor codes;                   ///< uint8, one code a byte, in the shape of the source
  Tensor codebook;                ///< f32 [tables, 2^bits], ascending; one table for all rows or one for each
  Tensor scales;                  ///< f32 [rows, groups]; no elements where the table holds the values themselves
  std::int64_t group_size = 0;    ///< weights that share a scale
  DType scale_dtype = DType::f32; ///< how scales are stored: f32, f16 or bf16

  [[nodiscard]] const Shape& shape() const noexcept { return codes.shape(); }
  /// Bytes when stored: packed codes, scales in their type, and in f32 tables that are neither `nf4_values` nor
  /// `normal_levels`.
  [[nodiscard]] MCOMP_API std::int64_t stored_bytes() const noexcept;
  [[nodiscard]] MCOMP_API double compression() const noexcept;
};

[[nodiscard]] MCOMP_API std::string to_string(const CodebookTensor& tensor);

/// The values of NF4 times a group's largest magnitude, ascending from -1 to 1.
[[nodiscard]] MCOMP_API const std::array<float, 16>& nf4_values() noexcept;

/// The 2^bits values of least mean squared error for a standard normal variable, ascending: Max 1960, Lloyd 1982. A
/// table that needs no storage and serves weights under one scale a channel, at every number of bits. Error:
/// invalid_argument for anything but 2 to 8 bits.
[[nodiscard]] MCOMP_API Result<std::vector<float>> normal_levels(int bits);

struct Nf4Options {
  std::int64_t group_size = 64; ///< consecutive weights of a row; the last group may be shorter
};

/// @param weight floating [out, ...]. Errors: invalid_dtype, invalid_shape, invalid_value, invalid_argument.
[[nodiscard]] MCOMP_API Result<CodebookTensor> quantize_nf4(const TensorView& weight, const Nf4Options& options = {},
                                                            const Context& context = {});

struct LevelsOptions {
  std::vector<float> levels{};    ///< ascending, 4 to 256 and a power of two; empty: `nf4_values`
  std::int64_t group_size = 0;    ///< consecutive weights that share a scale; 0: a whole row
  DType scale_dtype = DType::f32; ///< f32, f16 or bf16
  TensorView importance{};        ///< f32 [columns]: weights of the squared error; no elements: all 1
};

/// The nearest levels under the scale of least weighted squared error for each group: 26 scales around the largest
/// magnitude, of both signs where the table is not symmetric, then least squares until codes stay as they are.
/// @param weight floating [out, ...]. Errors: invalid_dtype, invalid_shape, invalid_value, invalid_argument.
[[nodiscard]] MCOMP_API Result<CodebookTensor> quantize_levels(const TensorView& weight, const LevelsOptions& options,
                                                               const Context& context = {});

struct CodebookOptions {
  int bits = 4;            ///< 2 .. 8
  bool per_channel = true; ///< a table for each row of the weight, else one for all
  TensorView importance{}; ///< f32 [columns]: weights of the squared error; no elements: all 1
  std::int64_t max_points =
      2048; ///< of each table that enter the exact solution; more weights are merged to so many first
};

/// k-means: the table that makes sum importance (w - value)^2 smallest, exactly where a row has at most `max_points`
/// different weights; otherwise the exact solution over `max_points` merged neighbours, improved by Lloyd's iterations
/// over all weights until they change nothing. Complexity of a table: 2^bits * points * log(points) + weights *
/// log(weights). Rows with fewer different weights than codes keep each of them; the rest of the table repeats the
/// largest.
/// @param weight floating [out, ...]. Errors: invalid_dtype, invalid_shape, invalid_value, invalid_argument.
[[nodiscard]] MCOMP_API Result<CodebookTensor>
quantize_codebook(const TensorView& weight, const CodebookOptions& options = {}, const Context& context = {});

/// f32 values. Errors: invalid_shape where the parts do not fit together; invalid_value for a code beyond the table.
[[nodiscard]] MCOMP_API Result<Tensor> dequantize(const CodebookTensor& tensor);

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::CodebookTensor> = true;
} // namespace mcomp::inline v0
