#include "kernels/rows.hpp"

#include <algorithm>

#include "core/simd_dispatch.hpp"
#include "quant/epilogue.hpp"

namespace mcomp::inline v0::kernels::detail {

namespace {

using quant::detail::ActivationBounds;
using quant::detail::CodeStore;

enum class Kind { none, f32, codes };

struct Pass {
  const std::int32_t* high;
  const std::int32_t* low;
  const std::int32_t* shift;
  const float* multiplier;
  const float* bias;
  std::int64_t period; ///< length of the repeated constants
  const void* residual;
  std::int32_t residual_zero;
  float residual_scale;
  ActivationBounds bounds;
  CodeStore store;
  void* output;
  std::int64_t count;
};

template <bool Split, Kind Residual, Kind Output> MCOMP_ALWAYS_INLINE void finish_kind(const Pass& p) {
  const ActivationBounds bounds = p.bounds;
  const CodeStore store = p.store;
  const float residual_scale = p.residual_scale;
  const std::int32_t residual_zero = p.residual_zero;
  const std::int32_t* __restrict shift = p.shift;
  const float* __restrict multiplier = p.multiplier;
  const float* __restrict bias = p.bias;
  for (std::int64_t begin = 0; begin < p.count; begin += p.period) {
    const std::int64_t n = std::min(p.period, p.count - begin);
    const std::int32_t* __restrict high = p.high + begin;
    const std::int32_t* __restrict low = Split ? p.low + begin : nullptr;
    // The residual may be the output itself (in place), so neither is restricted; each number is read before written.
    const auto* residual_f32 = static_cast<const float*>(p.residual) + (Residual == Kind::f32 ? begin : 0);
    const auto* residual_codes = static_cast<const std::uint8_t*>(p.residual) + (Residual == Kind::codes ? begin : 0);
    float* output_f32 = static_cast<float*>(p.output) + (Output == Kind::f32 ? begin : 0);
    std::uint8_t* output_codes = static_cast<std::uint8_t*>(p.output) + (Output == Kind::codes ? begin : 0);
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#elif defined(__GNUC__)
#pragma GCC ivdep
#endif
    for (std::int64_t i = 0; i < n; ++i) {
      std::int32_t sum = high[i];
      if constexpr (Split) sum = 2 * sum + low[i];
      float y = quant::detail::scaled(sum - shift[i], multiplier[i], bias[i]);
      if constexpr (Residual == Kind::f32) y = y + residual_f32[i];
      if constexpr (Residual == Kind::codes)
        y = y + static_cast<float>(static_cast<std::int32_t>(residual_codes[i]) - residual_zero) * residual_scale;
      y = quant::detail::activated(y, bounds);
      if constexpr (Output == Kind::codes)
        output_codes[i] = quant::detail::stored(y, store);
      else
        output_f32[i] = y;
    }
  }
}

template <bool Split> MCOMP_ALWAYS_INLINE void finish_split(const Pass& p, Kind residual, Kind output) {
  if (output == Kind::codes) {
    if (residual == Kind::none) finish_kind<Split, Kind::none, Kind::codes>(p);
    if (residual == Kind::f32) finish_kind<Split, Kind::f32, Kind::codes>(p);
    if (residual == Kind::codes) finish_kind<Split, Kind::codes, Kind::codes>(p);
  } else {
    if (residual == Kind::none) finish_kind<Split, Kind::none, Kind::f32>(p);
    if (residual == Kind::f32) finish_kind<Split, Kind::f32, Kind::f32>(p);
    if (residual == Kind::codes) finish_kind<Split, Kind::codes, Kind::f32>(p);
  }
}

MCOMP_ALWAYS_INLINE void finish_body(const Pass& p, Kind residual, Kind output) {
  if (p.low)
    finish_split<true>(p, residual, output);
  else
    finish_split<false>(p, residual, output);
}
MCOMP_DISPATCH(finish, (const Pass& p, Kind residual, Kind output), (p, residual, output))

MCOMP_ALWAYS_INLINE void join_body(std::int32_t* high, const std::int32_t* low, const std::int32_t* shift,
                                   std::int64_t period, std::int64_t count) {
  for (std::int64_t begin = 0; begin < count; begin += period)
    for (std::int64_t i = 0; i < std::min(period, count - begin); ++i)
      high[begin + i] = (low ? 2 * high[begin + i] + low[begin + i] : high[begin + i]) - shift[i];
}
MCOMP_DISPATCH(join,
               (std::int32_t * high, const std::int32_t* low, const std::int32_t* shift, std::int64_t period,
                std::int64_t count),
               (high, low, shift, period, count))

MCOMP_ALWAYS_INLINE void quantize_body(const float* __restrict x, std::int64_t count, const CodeStore& s,
                                       std::uint8_t* __restrict codes) {
  const CodeStore store = s;
  for (std::int64_t i = 0; i < count; ++i) codes[i] = quant::detail::stored(x[i] == x[i] ? x[i] : 0.0f, store);
}
MCOMP_DISPATCH(quantize, (const float* x, std::int64_t count, const CodeStore& s, std::uint8_t* codes),
               (x, count, s, codes))

MCOMP_ALWAYS_INLINE void dequantize_body(const std::uint8_t* __restrict codes, std::int64_t count, std::int32_t zero,
                                         float scale, float* __restrict x) {
  for (std::int64_t i = 0; i < count; ++i)
    x[i] = static_cast<float>(static_cast<std::int32_t>(codes[i]) - zero) * scale;
}
MCOMP_DISPATCH(dequantize, (const std::uint8_t* codes, std::int64_t count, std::int32_t zero, float scale, float* x),
               (codes, count, zero, scale, x))

template <class T> std::vector<T> repeated(const std::vector<T>& values, std::size_t times) {
  std::vector<T> result;
  result.reserve(values.size() * times);
  for (std::size_t i = 0; i < times; ++i) result.insert(result.end(), values.begin(), values.end());
  return result;
}

} // namespace

ChannelConstants::ChannelConstants(const std::vector<std::int32_t>& shifts, const std::vector<float>& multipliers,
                                   const std::vector<float>& biases)
    : channels(static_cast<std::int64_t>(shifts.size())) {
  // A row of a few channels would leave most of a vector loop to its tail; 256 numbers keep that below a tenth.
  constexpr std::size_t long_enough = 256;
  const std::size_t times =
      shifts.empty() ? 1 : std::max<std::size_t>(1, (long_enough + shifts.size() - 1) / shifts.size());
  shift = repeated(shifts, times);
  multiplier = repeated(multipliers, times);
  bias = repeated(biases, times);
}

void finish_rows(const Epilogue& e) {
  Pass p{.high = e.accumulators,
         .low = e.low_accumulators,
         .shift = e.constants->shift.data(),
         .multiplier = e.constants->multiplier.data(),
         .bias = e.constants->bias.data(),
         .period = static_cast<std::int64_t>(e.constants->shift.size()),
         .residual = e.residual,
         .residual_zero = 0,
         .residual_scale = 1,
         .bounds = ActivationBounds(e.activation),
         .store = CodeStore(e.output_codes ? *e.output_codes : quant::Parameters{}),
         .output = e.output,
         .count = e.count};
  Kind residual = Kind::none;
  if (e.residual) residual = e.residual_codes ? Kind::codes : Kind::f32;
  if (e.residual_codes) {
    p.residual_zero = e.residual_codes->zero_point;
    p.residual_scale = e.residual_codes->scale;
  }
  finish(p, residual, e.output_codes ? Kind::codes : Kind::f32);
}

void join_accumulators(std::int32_t* high, const std::int32_t* low, const ChannelConstants& constants,
                       std::int64_t count) {
  join(high, low, constants.shift.data(), static_cast<std::int64_t>(constants.shift.size()), count);
}

void quantize_rows(const float* x, std::int64_t count, const quant::Parameters& parameters, std::uint8_t* codes) {
  quantize(x, count, CodeStore(parameters), codes);
}

void dequantize_rows(const std::uint8_t* codes, std::int64_t count, const quant::Parameters& parameters, float* x) {
  dequantize(codes, count, parameters.zero_point, parameters.scale, x);
}

void shift_codes(const std::int8_t* codes, std::int64_t count, std::uint8_t* shifted) {
  for (std::int64_t i = 0; i < count; ++i) shifted[i] = static_cast<std::uint8_t>(codes[i] + 128);
}

} // namespace mcomp::inline v0::kernels::detail
