#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "mcomp/graph/network.hpp"
#include "mcomp/quant/scheme.hpp"

// Passes over rows of channels-last numbers: what happens behind the accumulators, and the changes of representation.
// Each is written once and compiled for several instruction sets (rows.cpp).

namespace mcomp::inline v0::kernels::detail {

/// Per-channel constants, repeated so often that one pass over them is long enough to fill vectors.
struct ChannelConstants {
  std::int64_t channels = 0;
  std::vector<std::int32_t> shift; ///< subtracted from the accumulator: zero_point * sum of the channel's weights
  std::vector<float> multiplier;
  std::vector<float> bias;

  ChannelConstants() = default;
  ChannelConstants(const std::vector<std::int32_t>& shifts, const std::vector<float>& multipliers,
                   const std::vector<float>& biases);
};

struct Epilogue {
  const std::int32_t* accumulators = nullptr;
  const std::int32_t* low_accumulators = nullptr; ///< the sum is 2 * accumulators + low where given
  const ChannelConstants* constants = nullptr;
  const void* residual = nullptr; ///< f32, or codes where residual_codes is set
  const quant::Parameters* residual_codes = nullptr;
  std::optional<graph::ActivationKind> activation;
  void* output = nullptr; ///< f32, or codes where output_codes is set
  const quant::Parameters* output_codes = nullptr;
  std::int64_t count = 0; ///< numbers, a multiple of the channels
};

void finish_rows(const Epilogue& epilogue);

/// acc = 2 * high + low - shift, in place of `high`.
void join_accumulators(std::int32_t* high, const std::int32_t* low, const ChannelConstants& constants,
                       std::int64_t count);

void quantize_rows(const float* x, std::int64_t count, const quant::Parameters& parameters, std::uint8_t* codes);
void dequantize_rows(const std::uint8_t* codes, std::int64_t count, const quant::Parameters& parameters, float* x);
/// int8 codes as uint8 ones, 128 higher.
void shift_codes(const std::int8_t* codes, std::int64_t count, std::uint8_t* shifted);

} // namespace mcomp::inline v0::kernels::detail
