#include "kernels/layer_kernel.hpp"

#include <algorithm>
#include <cstring>

#include "core/try.hpp"

namespace mcomp::inline v0::kernels::detail {

Result<std::byte*> Buffer::reserve(std::size_t bytes) {
  if (static_cast<std::size_t>(memory_.bytes()) < bytes) {
    MCOMP_TRY(larger, Tensor::uninitialized(DType::uint8, {static_cast<std::int64_t>(bytes)}));
    memory_ = std::move(larger);
  }
  return static_cast<std::byte*>(memory_.data());
}

namespace {

/// How many kernel taps of an axis fall inside the image, for each output position.
std::vector<std::int64_t> taps(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                               std::int64_t pad) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(out));
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t k = 0; k < kernel; ++k)
      if (const std::int64_t i = o * stride + k - pad; i >= 0 && i < in) ++result[static_cast<std::size_t>(o)];
  return result;
}

/// Whether this primitive adds exactly: all inputs 255, all weights `weight`. Kernels for processors without VNNI add
/// pairs of products in 16 bits, which saturates above 32767; this finds them, whatever they are called.
Result<bool> adds_exactly(const PrimitiveShape& s, std::int8_t weight) {
  const std::int64_t depth = (s.linear() ? 1 : s.kernel_height * s.kernel_width) * s.in_channels / s.groups;
  MCOMP_TRY(weights, Tensor::uninitialized(DType::int8, {s.out_channels * depth}));
  std::fill_n(static_cast<std::int8_t*>(weights.data()), weights.elements(), weight);
  MCOMP_TRY(source, Tensor::uninitialized(DType::uint8, {s.samples * s.in_channels * s.in_height * s.in_width}));
  std::memset(source.data(), 255, static_cast<std::size_t>(source.bytes()));
  MCOMP_TRY(sums, Tensor::uninitialized(DType::int32, {s.samples * s.out_channels * s.out_height * s.out_width}));
  MCOMP_TRY(primitive, Primitive::create(s, {.arithmetic = Arithmetic::u8_s8_s32}, weights.data()));
  MCOMP_TRY(scratchpad,
            Tensor::uninitialized(DType::uint8, {static_cast<std::int64_t>(primitive->scratchpad_bytes())}));
  MCOMP_CHECK(Call(primitive).execute({source.data(), nullptr, sums.data(), scratchpad.data()}));
  const auto rows = s.linear() ? std::vector<std::int64_t>{1}
                               : taps(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.pad_top);
  const auto columns = s.linear() ? std::vector<std::int64_t>{1}
                                  : taps(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.pad_left);
  const auto* sum = static_cast<const std::int32_t*>(sums.data());
  for (std::int64_t n = 0; n < s.samples; ++n)
    for (const std::int64_t y : rows)
      for (const std::int64_t x : columns)
        for (std::int64_t c = 0; c < s.out_channels; ++c)
          if (*sum++ != 255 * weight * (s.in_channels / s.groups) * y * x) return false;
  return true;
}

} // namespace

Result<std::unique_ptr<LayerKernel>> LayerKernel::integer(LayerSpec spec, Tensor codes,
                                                          const std::vector<float>& multiplier,
                                                          const std::vector<float>& bias) {
  std::unique_ptr<LayerKernel> kernel(new LayerKernel(std::move(spec), std::move(codes), true));
  const quant::Parameters& input = *kernel->spec_.input_codes;
  kernel->zero_point_ = input.zero_point + (input.dtype == DType::int8 ? 128 : 0);
  const std::int64_t channels = kernel->spec_.shape.out_channels, depth = kernel->weights_.elements() / channels;
  const auto* w = static_cast<const std::int8_t*>(kernel->weights_.data());
  std::vector<std::int32_t> shifts;
  for (std::int64_t c = 0; c < channels; ++c) {
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < depth; ++k) sum += w[c * depth + k];
    shifts.push_back(kernel->zero_point_ * sum);
  }
  kernel->constants_ = ChannelConstants(shifts, multiplier, bias);
  const ThreadBound bound(1);
  MCOMP_CHECK(kernel->prepare(1));
  return kernel;
}

Result<std::unique_ptr<LayerKernel>> LayerKernel::real(LayerSpec spec, Tensor weights, std::vector<float> bias) {
  std::unique_ptr<LayerKernel> kernel(new LayerKernel(std::move(spec), std::move(weights), false));
  kernel->bias_ = std::move(bias);
  const ThreadBound bound(1);
  MCOMP_CHECK(kernel->prepare(1));
  return kernel;
}

bool LayerKernel::pads_explicitly() const noexcept {
  const PrimitiveShape& s = spec_.shape;
  // oneDNN pads with code 0, which is zero only where the zero point is 0.
  return integer_ && zero_point_ != 0 && (s.pad_top | s.pad_left | s.pad_bottom | s.pad_right) != 0;
}

PrimitiveShape LayerKernel::primitive_shape(std::int64_t samples) const {
  PrimitiveShape s = spec_.shape;
  s.samples = samples;
  if (pads_explicitly()) {
    s.in_height += s.pad_top + s.pad_bottom;
    s.in_width += s.pad_left + s.pad_right;
    s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = 0;
  }
  return s;
}

Result<LayerKernel::Instance> LayerKernel::create_instance(std::int64_t samples) const {
  const PrimitiveShape shape = primitive_shape(samples);
  Instance result;
  if (!integer_) {
    const PrimitiveOptions options{Arithmetic::f32, !bias_.empty(), spec_.residual, spec_.activation};
    MCOMP_TRY(primitive, Primitive::create(shape, options, weights_.data()));
    result.main = std::move(primitive);
    return result;
  }
  const PrimitiveOptions options{.arithmetic = Arithmetic::u8_s8_s32};
  MCOMP_TRY(exact, adds_exactly(shape, 127));
  if (exact) {
    MCOMP_TRY(primitive, Primitive::create(shape, options, weights_.data()));
    result.main = std::move(primitive);
    return result;
  }
  // 255 * 64 * 2 = 32640 still fits 16 bits: w = 2 * high + low with high in [-64, 63] and low in {0, 1} is exact.
  MCOMP_TRY(exact_high, adds_exactly(shape, -64));
  if (!exact_high)
    return Error(ErrorCode::unsupported, "integer layer",
                 "no kernel of oneDNN adds these products exactly on this processor", "leave the layer in f32");
  Tensor high = weights_, low = weights_;
  for (std::int8_t& w : high.mutable_values<std::int8_t>()) w = static_cast<std::int8_t>(w >> 1);
  for (std::int8_t& w : low.mutable_values<std::int8_t>()) w = static_cast<std::int8_t>(w & 1);
  MCOMP_TRY(main, Primitive::create(shape, options, high.data()));
  MCOMP_TRY(rest, Primitive::create(shape, options, low.data()));
  result.main = std::move(main);
  result.low = std::move(rest);
  return result;
}

Result<LayerKernel::Instance> LayerKernel::instance(std::int64_t samples) const {
  const std::lock_guard lock(mutex_);
  const std::pair key(samples, bound_threads());
  if (const auto found = instances_.find(key); found != instances_.end()) return found->second;
  MCOMP_TRY(created, create_instance(samples));
  return instances_.emplace(key, std::move(created)).first->second;
}

Status LayerKernel::prepare(std::int64_t samples) const {
  auto made = instance(samples);
  if (!made) return made.error();
  return {};
}

Result<std::string> LayerKernel::implementation(std::int64_t samples) const {
  MCOMP_TRY(made, instance(samples));
  return made.low ? made.main->implementation() + " + " + made.low->implementation() : made.main->implementation();
}

Result<const void*> LayerKernel::integer_source(std::int64_t samples, const void* x, Workspace& workspace) const {
  const PrimitiveShape& s = spec_.shape;
  const bool is_signed = spec_.input_codes->dtype == DType::int8;
  const auto convert = [&](const std::byte* from, std::int64_t count, std::uint8_t* to) {
    if (is_signed)
      shift_codes(reinterpret_cast<const std::int8_t*>(from), count, to);
    else
      std::memcpy(to, from, static_cast<std::size_t>(count));
  };
  const auto* from = static_cast<const std::byte*>(x);
  if (!pads_explicitly()) {
    if (!is_signed) return x;
    const std::int64_t count = samples * spec_.in_elements();
    MCOMP_TRY(shifted, workspace.source.reserve(static_cast<std::size_t>(count)));
    convert(from, count, reinterpret_cast<std::uint8_t*>(shifted));
    return static_cast<const void*>(shifted);
  }
  const std::int64_t height = s.in_height + s.pad_top + s.pad_bottom, width = s.in_width + s.pad_left + s.pad_right;
  const std::int64_t row = width * s.in_channels;
  MCOMP_TRY(memory, workspace.source.reserve(static_cast<std::size_t>(samples * height * row)));
  auto* to = reinterpret_cast<std::uint8_t*>(memory);
  std::memset(to, zero_point_, static_cast<std::size_t>(samples * height * row));
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t y = 0; y < s.in_height; ++y)
      convert(from + (n * s.in_height + y) * s.in_width * s.in_channels, s.in_width * s.in_channels,
              to + (n * height + y + s.pad_top) * row + s.pad_left * s.in_channels);
  return static_cast<const void*>(memory);
}

Status LayerKernel::integer_sums(const Instance& made, std::int64_t samples, const void* x, std::int32_t* high,
                                 std::int32_t* low, Workspace& workspace) const {
  MCOMP_TRY(source, integer_source(samples, x, workspace));
  const std::size_t scratch = std::max(made.main->scratchpad_bytes(), made.low ? made.low->scratchpad_bytes() : 0);
  MCOMP_TRY(scratchpad, workspace.scratchpad.reserve(scratch));
  MCOMP_CHECK(workspace.call(made.main).execute({source, nullptr, high, scratchpad}));
  if (made.low) MCOMP_CHECK(workspace.call(made.low).execute({source, nullptr, low, scratchpad}));
  return {};
}

Status LayerKernel::run_integer(const Instance& made, std::int64_t samples, const void* x, const void* residual,
                                void* output, Workspace& workspace, std::int32_t* accumulators) const {
  const std::int64_t count = samples * spec_.out_elements();
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(std::int32_t);
  MCOMP_TRY(high_memory, workspace.high.reserve(bytes));
  auto* high = reinterpret_cast<std::int32_t*>(high_memory);
  std::int32_t* low = nullptr;
  if (made.low) {
    MCOMP_TRY(low_memory, workspace.low.reserve(bytes));
    low = reinterpret_cast<std::int32_t*>(low_memory);
  }
  MCOMP_CHECK(integer_sums(made, samples, x, high, low, workspace));
  if (accumulators) {
    std::memcpy(accumulators, high, bytes);
    join_accumulators(accumulators, low, constants_, count);
  }
  finish_rows({.accumulators = high,
               .low_accumulators = low,
               .constants = &constants_,
               .residual = residual,
               .residual_codes = spec_.residual_codes ? &*spec_.residual_codes : nullptr,
               .activation = spec_.activation,
               .output = output,
               .output_codes = spec_.output_codes ? &*spec_.output_codes : nullptr,
               .count = count});
  return {};
}

Status LayerKernel::run_real(const Instance& made, std::int64_t samples, const void* x, const void* residual,
                             void* output, Workspace& workspace) const {
  const std::int64_t count = samples * spec_.out_elements();
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
  void* destination = output;
  if (spec_.output_codes) {
    MCOMP_TRY(real, workspace.real.reserve(bytes));
    destination = real;
  }
  if (spec_.residual) {
    if (spec_.residual_codes)
      dequantize_rows(static_cast<const std::uint8_t*>(residual), count, *spec_.residual_codes,
                      static_cast<float*>(destination));
    else if (residual != destination)
      std::memcpy(destination, residual, bytes);
  }
  MCOMP_TRY(scratchpad, workspace.scratchpad.reserve(made.main->scratchpad_bytes()));
  MCOMP_CHECK(workspace.call(made.main).execute({x, bias_.empty() ? nullptr : bias_.data(), destination, scratchpad}));
  if (spec_.output_codes)
    quantize_rows(static_cast<const float*>(destination), count, *spec_.output_codes,
                  static_cast<std::uint8_t*>(output));
  return {};
}

Status LayerKernel::run(std::int64_t samples, const void* x, const void* residual, void* output, Workspace& workspace,
                        std::int32_t* accumulators) const {
  MCOMP_TRY(made, instance(samples));
  return integer_ ? run_integer(made, samples, x, residual, output, workspace, accumulators)
                  : run_real(made, samples, x, residual, output, workspace);
}

Status LayerKernel::accumulate(std::int64_t samples, const void* x, std::int32_t* accumulators,
                               Workspace& workspace) const {
  MCOMP_TRY(made, instance(samples));
  const std::int64_t count = samples * spec_.out_elements();
  std::int32_t* low = nullptr;
  if (made.low) {
    MCOMP_TRY(low_memory, workspace.low.reserve(static_cast<std::size_t>(count) * sizeof(std::int32_t)));
    low = reinterpret_cast<std::int32_t*>(low_memory);
  }
  MCOMP_CHECK(integer_sums(made, samples, x, accumulators, low, workspace));
  join_accumulators(accumulators, low, constants_, count);
  return {};
}

} // namespace mcomp::inline v0::kernels::detail
