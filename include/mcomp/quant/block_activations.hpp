#pragma once

#include <span>

#include "mcomp/quant/block_format.hpp"

namespace mcomp::inline v0::quant {

/// Rounds activations as the CPU backend of llama.cpp does before it multiplies them with weights of a block format: to
/// 8-bit codes with one scale for each 32 (Q8_0 beside formats of 32, fp16 scale = largest magnitude / 127) or 256
/// values (Q8_K beside formats of 256, f32 scale = value of the largest magnitude / -127). What comes out is what the
/// codes mean. With it the loss of a quantized file can be predicted without the engine: see `io::engine_runner`.
/// `values` are whole rows whose length the format's block divides; NaN and infinities give NaN.
MCOMP_API void round_activations(BlockFormat weights, std::span<float> values) noexcept;

} // namespace mcomp::inline v0::quant
