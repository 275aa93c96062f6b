#include "mcomp/kernels/layers.hpp"

#include "core/try.hpp"
#include "kernels/layer_kernel.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::kernels {

namespace {

using detail::LayerKernel;
using detail::LayerSpec;
using quant::Parameters;

Status check_codes(const std::optional<Parameters>& codes, const char* what) {
  if (!codes) return {};
  if ((codes->dtype != DType::uint8 && codes->dtype != DType::int8) || !(codes->scale > 0) || codes->scale > 3.4e38f)
    return Error(ErrorCode::invalid_argument, what, fmt::format("{} cannot be executed", *codes),
                 "use uint8 or int8 and a positive scale");
  const auto range = *quant::code_range(codes->dtype, codes->symmetric);
  if (codes->zero_point < range.lowest || codes->zero_point > range.highest)
    return Error(ErrorCode::invalid_argument, what, fmt::format("zero point {} is not a code", codes->zero_point),
                 "give a code");
  return {};
}

Status check_activation(const std::optional<graph::ActivationKind>& kind) {
  if (!kind || *kind == graph::ActivationKind::relu || *kind == graph::ActivationKind::relu6) return {};
  return Error(ErrorCode::unsupported, "activation", "only relu and relu6 are fused",
               "run other activations as a layer of their own");
}

/// The bias as numbers, and whether the weights fit; shared by both kinds of layer.
Result<std::vector<float>> bias_values(const TensorView& bias, std::int64_t channels) {
  if (bias.elements() == 0) return std::vector<float>();
  MCOMP_CHECK(require(bias, "bias", DType::f32, 1));
  if (bias.size(0) != channels)
    return Error(ErrorCode::invalid_shape, "bias", fmt::format("shape {}, [{}] is needed", bias.shape(), channels),
                 "pass one value a channel");
  MCOMP_CHECK(require_finite(bias, "bias"));
  MCOMP_TRY(values, bias.values<float>("bias"));
  return std::vector<float>(values.begin(), values.end());
}

Result<detail::PrimitiveShape> convolution_shape(const TensorView& weight, const Conv2dOptions& o) {
  if (weight.rank() != 4)
    return Error(ErrorCode::invalid_shape, "weight",
                 fmt::format("shape {} is not [out, in / groups, kernel height, kernel width]", weight.shape()),
                 "pass a convolution's weights");
  graph::Network one;
  graph::Convolution geometry = o.geometry;
  geometry.weight = "weight";
  constexpr std::int64_t most_groups = 1 << 20;
  if (geometry.groups <= 0 || geometry.groups > most_groups)
    return Error(ErrorCode::invalid_argument, "groups", fmt::format("{}", geometry.groups), "give 1 to 2^20");
  one.input.shape = {weight.size(1) * geometry.groups, o.height, o.width};
  one.layers.push_back({"layer", geometry, {std::string(graph::network_input)}});
  one.output = "layer";
  MCOMP_TRY(shapes, graph::infer_shapes(one));
  if (weight.size(0) != geometry.out_channels || weight.size(2) != geometry.kernel[0] ||
      weight.size(3) != geometry.kernel[1])
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("shape {} does not fit the geometry", weight.shape()),
                 "let out_channels and kernel agree with the weights");
  detail::PrimitiveShape s;
  s.in_channels = one.input.shape[0];
  s.in_height = o.height;
  s.in_width = o.width;
  s.out_channels = geometry.out_channels;
  s.out_height = shapes.output[0][1];
  s.out_width = shapes.output[0][2];
  s.kernel_height = geometry.kernel[0];
  s.kernel_width = geometry.kernel[1];
  s.stride_height = geometry.stride[0];
  s.stride_width = geometry.stride[1];
  s.pad_top = geometry.padding[0];
  s.pad_left = geometry.padding[1];
  s.pad_bottom = geometry.padding[0];
  s.pad_right = geometry.padding[1];
  s.groups = geometry.groups;
  return s;
}

Result<detail::PrimitiveShape> linear_shape(const TensorView& weight) {
  if (weight.rank() != 2 || weight.elements() == 0)
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("shape {} is not [out, in]", weight.shape()),
                 "pass a linear layer's weights");
  detail::PrimitiveShape s;
  s.in_channels = weight.size(1);
  s.out_channels = weight.size(0);
  return s;
}

template <class Options>
Result<LayerSpec> make_spec(const detail::PrimitiveShape& shape, const Options& o, bool integer) {
  MCOMP_CHECK(check_activation(o.activation));
  MCOMP_CHECK(check_codes(o.residual_codes, "residual"));
  MCOMP_CHECK(check_codes(o.output, "output"));
  for (const auto* codes : {&o.residual_codes, &o.output})
    if (*codes && (*codes)->dtype != DType::uint8)
      return Error(ErrorCode::unsupported, "codes", "residual and output codes are uint8",
                   "use uint8 with a zero point");
  LayerSpec spec{shape, std::nullopt, o.activation, o.residual, o.residual_codes, o.output};
  if (integer) {
    spec.input_codes = o.input;
    MCOMP_CHECK(check_codes(spec.input_codes, "input"));
  }
  return spec;
}

template <class Options>
Result<std::unique_ptr<LayerKernel>> integer_kernel(const detail::PrimitiveShape& shape,
                                                    const quant::QuantizedTensor& weight, const TensorView& bias,
                                                    const Options& options) {
  MCOMP_CHECK(require_execution());
  MCOMP_TRY(spec, make_spec(shape, options, true));
  if (!weight.scheme.symmetric || weight.scheme.granularity == quant::Granularity::per_group ||
      weight.codes.dtype() != DType::int8)
    return Error(ErrorCode::unsupported, "weight",
                 fmt::format("integer layers cannot use weights of {}", weight.scheme),
                 "use int8 or int4, symmetric, per channel or per tensor");
  MCOMP_TRY(real, quant::dequantize(weight)); // checks that the parts fit
  static_cast<void>(real);
  const std::int64_t out = shape.out_channels, depth = weight.codes.elements() / out;
  constexpr std::int64_t deepest = ((std::int64_t{1} << 31) - 1) / (255 * 128);
  if (depth > deepest)
    return Error(ErrorCode::unsupported, "weight",
                 fmt::format("sums of {} products could leave int32, at most {} fit", depth, deepest),
                 "use an f32 layer");
  MCOMP_TRY(biases, bias_values(bias, out));
  biases.resize(static_cast<std::size_t>(out), 0.0f);
  const auto* scales = static_cast<const float*>(weight.scales.data());
  std::vector<float> multiplier;
  for (std::int64_t c = 0; c < out; ++c)
    multiplier.push_back(options.input.scale * scales[weight.scales.elements() == 1 ? 0 : c]);
  return LayerKernel::integer(std::move(spec), weight.codes, multiplier, biases);
}

template <class Options>
Result<std::unique_ptr<LayerKernel>> real_kernel(const detail::PrimitiveShape& shape, const TensorView& weight,
                                                 const TensorView& bias, const Options& options) {
  MCOMP_CHECK(require_execution());
  MCOMP_TRY(spec, make_spec(shape, options, false));
  MCOMP_CHECK(require_finite(weight, "weight"));
  MCOMP_TRY(weights, to_f32(weight, "weight"));
  MCOMP_TRY(biases, bias_values(bias, shape.out_channels));
  return LayerKernel::real(std::move(spec), std::move(weights), std::move(biases));
}

Status check_samples(const LayerKernel& kernel, const TensorView& x) {
  const LayerSpec& spec = kernel.spec();
  const auto& s = spec.shape;
  const Shape expected = s.linear() ? Shape{x.rank() > 0 ? x.size(0) : 0, s.in_channels}
                                    : Shape{x.rank() > 0 ? x.size(0) : 0, s.in_height, s.in_width, s.in_channels};
  const DType dtype = spec.input_codes ? spec.input_codes->dtype : DType::f32;
  MCOMP_CHECK(require(x, "x", dtype, expected.rank()));
  if (x.shape() != expected || x.size(0) == 0 || !x.contiguous() || x.data() == nullptr)
    return Error(ErrorCode::invalid_shape, "x",
                 fmt::format("shape {}, contiguous {} with at least one sample is needed", x.shape(), expected),
                 "pass channels-last samples of the layer's input");
  return {};
}

Shape output_shape(const LayerKernel& kernel, std::int64_t samples) {
  const auto& s = kernel.spec().shape;
  return s.linear() ? Shape{samples, s.out_channels} : Shape{samples, s.out_height, s.out_width, s.out_channels};
}

Status run_layer(const LayerKernel& kernel, const TensorView& x, Tensor& y, detail::Workspace& workspace,
                 const TensorView& residual, const RunOptions& options) {
  MCOMP_CHECK(check_samples(kernel, x));
  const LayerSpec& spec = kernel.spec();
  const Shape shape = output_shape(kernel, x.size(0));
  const DType residual_dtype = spec.residual_codes ? DType::uint8 : DType::f32;
  if (spec.residual && (residual.dtype() != residual_dtype || residual.shape() != shape || !residual.contiguous() ||
                        residual.data() == nullptr))
    return Error(ErrorCode::invalid_shape, "residual",
                 fmt::format("{} is not a contiguous {} {}", residual, residual_dtype, shape),
                 "pass a residual of the output's shape");
  if (const DType dtype = spec.output_codes ? DType::uint8 : DType::f32; y.dtype() != dtype || y.shape() != shape) {
    MCOMP_TRY(fresh, Tensor::uninitialized(dtype, shape));
    y = std::move(fresh);
  }
  const detail::ThreadBound bound(options.threads);
  return kernel.run(x.size(0), x.data(), spec.residual ? residual.data() : nullptr, y.data(), workspace);
}

Result<Tensor> run_layer(const LayerKernel& kernel, const TensorView& x, const TensorView& residual,
                         const RunOptions& options) {
  Tensor y;
  detail::Workspace workspace;
  MCOMP_CHECK(run_layer(kernel, x, y, workspace, residual, options));
  return y;
}

Result<Tensor> accumulate_layer(const LayerKernel& kernel, const TensorView& x, const RunOptions& options) {
  if (!kernel.is_integer())
    return Error(ErrorCode::unsupported, "accumulate", "an f32 layer has no integer sums",
                 "create the layer with create_int8");
  MCOMP_CHECK(check_samples(kernel, x));
  MCOMP_TRY(sums, Tensor::uninitialized(DType::int32, output_shape(kernel, x.size(0))));
  detail::Workspace workspace;
  const detail::ThreadBound bound(options.threads);
  MCOMP_CHECK(kernel.accumulate(x.size(0), x.data(), static_cast<std::int32_t*>(sums.data()), workspace));
  return std::move(sums);
}

} // namespace

Workspace::Workspace() : memory_(std::make_unique<detail::Workspace>()) {}
Workspace::~Workspace() = default;
Workspace::Workspace(Workspace&&) noexcept = default;
Workspace& Workspace::operator=(Workspace&&) noexcept = default;
detail::Workspace& Workspace::memory() {
  if (!memory_) memory_ = std::make_unique<detail::Workspace>(); // after a move
  return *memory_;
}

Conv2d::Conv2d(std::unique_ptr<LayerKernel> kernel) : kernel_(std::move(kernel)) {}
Conv2d::~Conv2d() = default;
Conv2d::Conv2d(Conv2d&&) noexcept = default;
Conv2d& Conv2d::operator=(Conv2d&&) noexcept = default;

Result<Conv2d> Conv2d::create_int8(const quant::QuantizedTensor& weight, const TensorView& bias,
                                   const Conv2dOptions& options) {
  MCOMP_TRY(shape, convolution_shape(weight.codes, options));
  MCOMP_TRY(kernel, integer_kernel(shape, weight, bias, options));
  return Conv2d(std::move(kernel));
}
Result<Conv2d> Conv2d::create_f32(const TensorView& weight, const TensorView& bias, const Conv2dOptions& options) {
  MCOMP_TRY(shape, convolution_shape(weight, options));
  MCOMP_TRY(kernel, real_kernel(shape, weight, bias, options));
  return Conv2d(std::move(kernel));
}
Result<Tensor> Conv2d::run(const TensorView& x, const TensorView& residual, const RunOptions& options) const {
  return run_layer(*kernel_, x, residual, options);
}
Status Conv2d::run(const TensorView& x, Tensor& output, Workspace& workspace, const TensorView& residual,
                   const RunOptions& options) const {
  return run_layer(*kernel_, x, output, workspace.memory(), residual, options);
}
Result<Tensor> Conv2d::accumulate(const TensorView& x, const RunOptions& options) const {
  return accumulate_layer(*kernel_, x, options);
}
Result<std::string> Conv2d::implementation(std::int64_t samples) const {
  return kernel_->implementation(samples);
}

Linear::Linear(std::unique_ptr<LayerKernel> kernel) : kernel_(std::move(kernel)) {}
Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;

Result<Linear> Linear::create_int8(const quant::QuantizedTensor& weight, const TensorView& bias,
                                   const LinearOptions& options) {
  MCOMP_TRY(shape, linear_shape(weight.codes));
  MCOMP_TRY(kernel, integer_kernel(shape, weight, bias, options));
  return Linear(std::move(kernel));
}
Result<Linear> Linear::create_f32(const TensorView& weight, const TensorView& bias, const LinearOptions& options) {
  MCOMP_TRY(shape, linear_shape(weight));
  MCOMP_TRY(kernel, real_kernel(shape, weight, bias, options));
  return Linear(std::move(kernel));
}
Result<Tensor> Linear::run(const TensorView& x, const TensorView& residual, const RunOptions& options) const {
  return run_layer(*kernel_, x, residual, options);
}
Status Linear::run(const TensorView& x, Tensor& output, Workspace& workspace, const TensorView& residual,
                   const RunOptions& options) const {
  return run_layer(*kernel_, x, output, workspace.memory(), residual, options);
}
Result<Tensor> Linear::accumulate(const TensorView& x, const RunOptions& options) const {
  return accumulate_layer(*kernel_, x, options);
}
Result<std::string> Linear::implementation(std::int64_t samples) const {
  return kernel_->implementation(samples);
}

} // namespace mcomp::inline v0::kernels
