#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "mcomp/compress/layerwise.hpp"

// The words by which recipes and command lines name what weights become, and how: a format and a method.
//
//     const auto format = compress::weight_format_from_string("int4:g32").value();
//     const auto method = compress::layer_method(format, {WeightAlgorithm::gptq, 16}).value();
//     auto result = compress::quantize_layers(network, weights, samples, method).value();

namespace mcomp::inline v0::compress {

/// A table of values for every channel, or for the whole tensor, fitted to the weights (quant::quantize_codebook).
struct FittedCodebook {
  int bits = 4; ///< 2 .. 8
  bool per_channel = true;
  friend bool operator==(const FittedCodebook&, const FittedCodebook&) = default;
};

/// The levels of least error for normal weights (quant::normal_levels) under one scale a group of consecutive weights.
struct NormalLevels {
  int bits = 4;                ///< 2 .. 8
  std::int64_t group_size = 0; ///< 0: a whole row
  DType scale_dtype = DType::f32;
  friend bool operator==(const NormalLevels&, const NormalLevels&) = default;
};

/// A format of GGUF files, integers under scales, microscaling, eight-bit floats, NF4, a fitted codebook.
using WeightFormat = std::variant<quant::BlockFormat, quant::Scheme, quant::Microscaling, quant::ScaledFloatOptions,
                                  quant::Nf4Options, FittedCodebook, NormalLevels>;

/// | word                                                  | format                                              |
/// | "Q4_K", "IQ4_NL" ...                                  | the block formats of GGUF files                     |
/// | "int2" ... "int8"                                     | symmetric integers                                  |
/// | "uint2" ... "uint8"                                   | integers with zero points                           |
/// | "mxfp4", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp8_e4m3",    | microscaling; the word in capitals, "MXFP4", is     |
/// | "mxfp8_e5m2", "nvfp4"                                 | GGUF's own form of it                               |
/// | "fp8", "fp8_e5m2"                                     | E4M3 or E5M2 under f32 scales                       |
/// | "nf4"                                                 | NF4 in groups of 64                                 |
/// | "codebook2" ... "codebook8"                           | tables of 4 ... 256 fitted values                   |
/// | "normal2" ... "normal8"                               | levels for normally distributed weights             |
///
/// Integers and "fp8" may say which weights share a scale: ":channel" (the default), ":tensor", ":g32" (32 consecutive
/// weights), ":b128x64" (blocks of 128 rows and 64 columns); "nf4" takes ":g32", codebooks ":channel" and ":tensor",
/// "normal..." ":channel" and ":g32". Integers and "normal..." may also say how scales are stored, ":f16" or ":bf16",
/// and symmetric integers ":full" for codes down to the lowest one: "int4:g32:full:f16". Errors: invalid_argument, with
/// the words that there are.
[[nodiscard]] MCOMP_API Result<WeightFormat> weight_format_from_string(std::string_view word);
/// The word that reads back to an equal format; of a format that no word names, a description.
[[nodiscard]] MCOMP_API std::string to_string(const WeightFormat& format);

/// Bytes that a weight takes in a format, exactly those of the quantized weight itself, known before any work.
/// Errors: invalid_shape (no elements, or rows that the blocks of a format do not divide), invalid_argument.
[[nodiscard]] MCOMP_API Result<std::int64_t> stored_bytes(const WeightFormat& format, const Shape& weight);

/// How codes are chosen.
enum class WeightAlgorithm : std::uint8_t {
  nearest,  ///< the nearest codes in the full range (GGUF: the published rounding; codebooks: the best table)
  search,   ///< scales with the least error, each column weighted by the second moment of its inputs
  hqq,      ///< scales and zero points that forgive outliers, without samples
  adaround, ///< codes rounded up or down such that the layer's output changes least
  gptq,     ///< codes that make up for the errors of those before
};

/// "nearest", "search", "hqq", "adaround", "gptq"
[[nodiscard]] MCOMP_API std::string to_string(WeightAlgorithm algorithm);
/// Error: invalid_argument, with the words that there are.
[[nodiscard]] MCOMP_API Result<WeightAlgorithm> weight_algorithm_from_string(std::string_view word);

struct WeightMethod {
  WeightAlgorithm algorithm = WeightAlgorithm::nearest;
  /// Rounds that fit codes and scales to the layer's output afterwards (quant::RefineOptions): of integers by any
  /// method, of GGUF formats after gptq. 16 is plenty.
  int refine = 0;
  friend bool operator==(const WeightMethod&, const WeightMethod&) = default;
};

/// "gptq", "gptq refined"
[[nodiscard]] MCOMP_API std::string to_string(const WeightMethod& method);
/// Whether codes follow from samples too: `LayerProblem::inputs` may be null where they do not.
[[nodiscard]] MCOMP_API bool needs_samples(const WeightMethod& method) noexcept;

/// How one weight is quantized.
///
/// | format        | methods                                                             |
/// | GGUF          | nearest, search, gptq                                               |
/// | integers      | nearest, search, adaround, gptq; hqq with a scale a channel or group |
/// | mx..., nvfp4  | nearest, search, gptq                                               |
/// | codebooks     | nearest, search                                                     |
/// | nf4, normal   | nearest (the largest magnitude is kept; normal: the scale of least error), search, gptq |
/// | fp8           | nearest                                                             |
///
/// Errors: invalid_argument for a method or a refinement that the format does not have.
[[nodiscard]] MCOMP_API Result<LayerMethod> layer_method(const WeightFormat& format, const WeightMethod& method);

} // namespace mcomp::inline v0::compress

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<compress::WeightFormat> = true;
template <> inline constexpr bool enable_format<compress::WeightAlgorithm> = true;
template <> inline constexpr bool enable_format<compress::WeightMethod> = true;
} // namespace mcomp::inline v0
