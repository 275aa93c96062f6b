#pragma once

#include <string>
#include <variant>

#include "mcomp/quant/block_format.hpp"
#include "mcomp/quant/codebook.hpp"
#include "mcomp/quant/microscaling.hpp"
#include "mcomp/quant/quantize.hpp"
#include "mcomp/quant/scaled_float.hpp"

namespace mcomp::inline v0::compress {

/// A weight in any form that `quant` knows.
using QuantizedWeight = std::variant<quant::QuantizedTensor, quant::BlockTensor, quant::MicroscaledTensor,
                                     quant::ScaledFloatTensor, quant::CodebookTensor>;

/// The real numbers, f32. Errors: those of the form's own function.
[[nodiscard]] MCOMP_API Result<Tensor> dequantize(const QuantizedWeight& weight);
/// Bytes when stored, scales included.
[[nodiscard]] MCOMP_API std::int64_t stored_bytes(const QuantizedWeight& weight) noexcept;
/// "int4 symmetric per group of 32", "Q4_K", "mxfp4"
[[nodiscard]] MCOMP_API std::string format_name(const QuantizedWeight& weight);
/// Hexadecimal SHA-256 over the form, its options, codes and scales: equal for equal weights.
[[nodiscard]] MCOMP_API std::string fingerprint(const QuantizedWeight& weight);

} // namespace mcomp::inline v0::compress
