#pragma once

#include <optional>
#include <string>
#include <variant>

#include "mcomp/compress/layerwise.hpp"
#include "mcomp/quant/gptq.hpp"

namespace example {

/// What weights become: a format of GGUF files, integers under scales, or small floating-point numbers.
using Format = std::variant<mcomp::quant::BlockFormat, mcomp::quant::Scheme, mcomp::quant::Microscaling,
                            mcomp::quant::ScaledFloatOptions>;

/// "Q4_K"; "int4" (one scale a channel), "int4:tensor", "int4:g32", "uint3:g64" (with zero points); "mxfp4", "nvfp4";
/// "fp8". Errors: invalid_argument, with what was probably meant.
[[nodiscard]] mcomp::Result<Format> parse_format(const std::string& text);

enum class Method {
  nearest,     ///< the nearest codes in the full range
  search,      ///< scales with the least error, each column weighted by its inputs' second moment
  gptq,        ///< codes that make up for the errors of those before
  gptq_refined ///< then alternating scales and single codes until nothing helps
};

/// How one weight is quantized. Errors: invalid_argument for a method that the format does not have.
[[nodiscard]] mcomp::Result<mcomp::compress::LayerMethod> layer_method(const Format& format, Method method);

/// The word of the command line.
[[nodiscard]] std::string to_string(Method method);

} // namespace example
