#include "mcomp/kernels/synthetic_layer.hpp"

#include <bit>
#include <utility>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/kernels/layers.hpp"

namespace mcomp::inline v0::kernels {

namespace {

/// Numbers whose values do not matter, made as fast as memory is written.
Result<Tensor> made_up(DType dtype, Shape shape) {
  MCOMP_TRY(tensor, Tensor::uninitialized(dtype, std::move(shape)));
  std::uint64_t state = 1;
  if (dtype == DType::f32) {
    for (float& x : tensor.mutable_values<float>()) // within [-.5, .5), so that no sum is denormal or infinite
      x = std::bit_cast<float>(0x3f800000U | static_cast<std::uint32_t>(splitmix64(state) >> 41)) - 1.5f;
  } else {
    auto* bytes = static_cast<std::uint8_t*>(tensor.data());
    for (std::int64_t i = 0; i < tensor.elements(); ++i) {
      const auto random = static_cast<std::uint8_t>(splitmix64(state) >> 56);
      bytes[i] = dtype == DType::int8 && random == 128 ? std::uint8_t{0} : random; // -128 is no symmetric code
    }
  }
  return std::move(tensor);
}

Status check(const SyntheticLayer& s) {
  MCOMP_CHECK(require_execution());
  constexpr std::int64_t largest = std::int64_t{1} << 31;
  for (const auto& [name, value] :
       {std::pair("in_channels", s.in_channels), std::pair("out_channels", s.out_channels),
        std::pair("samples", s.samples), std::pair("height", s.height), std::pair("width", s.width),
        std::pair("groups", s.groups), std::pair("threads", std::int64_t{s.threads})})
    if (value < 1 || value > largest)
      return Error(ErrorCode::invalid_argument, name, fmt::format("{}", value), "give 1 to 2^31");
  if (s.in_channels % s.groups != 0)
    return Error(ErrorCode::invalid_argument, "groups",
                 fmt::format("{} do not divide {} channels", s.groups, s.in_channels), "give a divisor");
  if (s.output != DType::f32 && s.output != DType::uint8)
    return Error(ErrorCode::unsupported, "output", fmt::format("{} is not executed", s.output), "use f32 or uint8");
  return {};
}

Result<quant::QuantizedTensor> codes(Shape shape) {
  const std::int64_t out = shape[0];
  MCOMP_TRY(values, made_up(DType::int8, std::move(shape)));
  MCOMP_TRY(scales, Tensor::zeros(DType::f32, {out, 1}));
  MCOMP_TRY(zero_points, Tensor::zeros(DType::int32, {out, 1}));
  for (float& s : scales.mutable_values<float>()) s = 0.01f;
  return quant::QuantizedTensor{{}, std::move(values), std::move(scales), std::move(zero_points)};
}

template <class Layer, class Options>
Result<std::function<Status()>> ready(const SyntheticLayer& s, Options options, const Shape& weight_shape,
                                      Shape input_shape, Shape output_shape) {
  const quant::Parameters input{DType::uint8, 0.02f, 0, false}, output{DType::uint8, 0.05f, 0, false};
  options.activation = graph::ActivationKind::relu;
  options.residual = s.residual;
  if (s.output == DType::uint8) options.output = output;
  if (s.residual && s.output == DType::uint8) options.residual_codes = output;
  if (s.integer) options.input = input;
  MCOMP_TRY(bias, made_up(DType::f32, {s.out_channels}));
  const auto create = [&]() -> Result<Layer> {
    if (s.integer) {
      MCOMP_TRY(weights, codes(weight_shape));
      return Layer::create_int8(weights, bias, options);
    }
    MCOMP_TRY(weights, made_up(DType::f32, weight_shape));
    return Layer::create_f32(weights, bias, options);
  };
  MCOMP_TRY(layer, create());
  MCOMP_TRY(x, made_up(s.integer ? DType::uint8 : DType::f32, std::move(input_shape)));
  Tensor residual;
  if (s.residual) {
    MCOMP_TRY(values, made_up(s.output, std::move(output_shape)));
    residual = std::move(values);
  }
  struct State {
    Layer layer;
    Tensor x, residual, y;
    Workspace workspace;
  };
  auto state = std::make_shared<State>(State{std::move(layer), std::move(x), std::move(residual), {}, {}});
  return std::function<Status()>([state, threads = s.threads] {
    return state->layer.run(state->x, state->y, state->workspace, state->residual, {.threads = threads});
  });
}

} // namespace

Result<std::function<Status()>> synthetic_layer(const SyntheticLayer& s) {
  MCOMP_CHECK(check(s));
  if (!s.convolution)
    return ready<Linear>(s, LinearOptions{}, {s.out_channels, s.in_channels}, {s.samples, s.in_channels},
                         {s.samples, s.out_channels});
  for (const auto& pair : {s.kernel, s.stride})
    if (pair[0] < 1 || pair[1] < 1)
      return Error(ErrorCode::invalid_argument, "kernel and stride", "one of them is below 1", "give 1 or more");
  if (s.padding[0] < 0 || s.padding[1] < 0 || s.kernel[0] > s.height + 2 * s.padding[0] ||
      s.kernel[1] > s.width + 2 * s.padding[1])
    return Error(ErrorCode::invalid_shape, "kernel", "it is larger than the padded input", "give a layer's geometry");
  const Conv2dOptions options{.geometry = {.out_channels = s.out_channels,
                                           .kernel = {s.kernel[0], s.kernel[1]},
                                           .stride = {s.stride[0], s.stride[1]},
                                           .padding = {s.padding[0], s.padding[1]},
                                           .groups = s.groups},
                              .height = s.height,
                              .width = s.width};
  const std::int64_t out_height = (s.height + 2 * s.padding[0] - s.kernel[0]) / s.stride[0] + 1;
  const std::int64_t out_width = (s.width + 2 * s.padding[1] - s.kernel[1]) / s.stride[1] + 1;
  return ready<Conv2d>(s, options, {s.out_channels, s.in_channels / s.groups, s.kernel[0], s.kernel[1]},
                       {s.samples, s.height, s.width, s.in_channels},
                       {s.samples, out_height, out_width, s.out_channels});
}

} // namespace mcomp::inline v0::kernels
