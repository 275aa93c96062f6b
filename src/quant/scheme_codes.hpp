#pragma once

#include "mcomp/quant/quantize.hpp"
#include "quant/block_codes.hpp"
#include "quant/scheme_values.hpp"

namespace mcomp::inline v0::quant::detail {

/// Columns that share a scale in a row: the block of a `SchemeValues`.
[[nodiscard]] std::int64_t block_columns(const Scheme& scheme, std::int64_t columns) noexcept;

/// Whether a scale belongs to several rows, so that no row can choose it alone.
[[nodiscard]] constexpr bool shares_rows(const Scheme& scheme) noexcept {
  return scheme.granularity == Granularity::per_tensor || scheme.granularity == Granularity::per_block;
}

/// Fits the scales of a weight, each on the weights that share it.
/// @param importance [columns] or empty
void fit_scales(const float* weight, std::span<const float> importance, const Scheme& scheme,
                const SchemeValues& values, BlockCodes& codes, Executor& executor);

/// The public form. `shape` is that of the source.
[[nodiscard]] QuantizedTensor to_quantized(const BlockCodes& codes, const Scheme& scheme, const SchemeValues& values,
                                           const Shape& shape);
/// Its inverse.
[[nodiscard]] BlockCodes from_quantized(const QuantizedTensor& tensor, const SchemeValues& values);

} // namespace mcomp::inline v0::quant::detail
