#pragma once

#include <memory>
#include <optional>

#include "mcomp/graph/network.hpp"
#include "mcomp/kernels/capabilities.hpp"
#include "mcomp/quant/quantize.hpp"

// Single layers for engines that keep their own graph: describe once, then run many times. Activations are channels
// last, [samples, height, width, channels], which is what integer kernels want. uint8 activations are the fast path;
// int8 ones are shifted to uint8 first.
//
//     auto q = mcomp::quant::quantize(weights, {}).value();
//     auto layer = mcomp::kernels::Conv2d::create_int8(q, bias, {.geometry = conv, .height = 32, .width = 32,
//         .input = in, .activation = graph::ActivationKind::relu, .output = out}).value();
//     mcomp::Tensor y = layer.run(x).value();

namespace mcomp::inline v0::kernels {

namespace detail {
class LayerKernel;
struct Workspace;
} // namespace detail

struct Conv2dOptions {
  graph::Convolution geometry{}; ///< kernel, stride, padding, groups; the names of tensors are ignored
  std::int64_t height = 0;       ///< of the input
  std::int64_t width = 0;
  quant::Parameters input{};                         ///< of int8 and uint8 activations; not used in fp32
  std::optional<graph::ActivationKind> activation{}; ///< relu or relu6, fused
  bool residual = false;                             ///< a tensor of the output's shape is added before the activation
  std::optional<quant::Parameters> residual_codes{}; ///< how the residual is quantized; none: f32
  std::optional<quant::Parameters> output{};         ///< how the output is quantized; none: f32
};

struct LinearOptions {
  quant::Parameters input{};
  std::optional<graph::ActivationKind> activation{};
  bool residual = false;
  std::optional<quant::Parameters> residual_codes{};
  std::optional<quant::Parameters> output{};
};

/// How many threads of oneDNN a call may use.
struct RunOptions {
  int threads = 1;
};

/// Memory that layers need while they run. Kept between calls, a call allocates nothing, which is how an engine should
/// run them: allocation is a tenth to a fifth of the time of a layer of 10 microseconds. Any number of layers may share
/// one, one call at a time.
class MCOMP_KERNELS_API Workspace {
 public:
  Workspace();
  ~Workspace();
  Workspace(Workspace&&) noexcept;
  Workspace& operator=(Workspace&&) noexcept;

  /// For the layers.
  [[nodiscard]] detail::Workspace& memory();

 private:
  std::unique_ptr<detail::Workspace> memory_;
};

/// Convolution. Packed weights are made at creation, primitives once for each number of samples; `run` may be called
/// from several threads at once.
class MCOMP_KERNELS_API Conv2d {
 public:
  /// @param weight [out, in / groups, kernel height, kernel width], int8 or int4 symmetric, per tensor or per channel
  /// @param bias   f32 [out], or an empty view
  /// The arithmetic is that of `quant::Program`. Errors at creation: unsupported, invalid_shape, invalid_argument.
  [[nodiscard]] static Result<Conv2d> create_int8(const quant::QuantizedTensor& weight, const TensorView& bias,
                                                  const Conv2dOptions& options);
  /// @param weight f32 [out, in / groups, kernel height, kernel width]
  [[nodiscard]] static Result<Conv2d> create_f32(const TensorView& weight, const TensorView& bias,
                                                 const Conv2dOptions& options);

  ~Conv2d();
  Conv2d(Conv2d&&) noexcept;
  Conv2d& operator=(Conv2d&&) noexcept;

  /// @param x        [samples, height, width, in], codes or f32 as created
  /// @param residual of the output's shape where created with one
  /// @return [samples, out height, out width, out]. Errors: invalid_shape, invalid_dtype.
  [[nodiscard]] Result<Tensor> run(const TensorView& x, const TensorView& residual = {},
                                   const RunOptions& options = {}) const;
  /// The same into `output`, which is allocated anew only where its type or shape is another one.
  [[nodiscard]] Status run(const TensorView& x, Tensor& output, Workspace& workspace, const TensorView& residual = {},
                           const RunOptions& options = {}) const;
  /// The int32 accumulators of integer layers, before any scaling. Error: unsupported for fp32.
  [[nodiscard]] Result<Tensor> accumulate(const TensorView& x, const RunOptions& options = {}) const;
  /// What oneDNN chose, "brgconv:avx512_core_vnni"; two names where exact sums need two passes on this processor.
  [[nodiscard]] Result<std::string> implementation(std::int64_t samples) const;

 private:
  explicit Conv2d(std::unique_ptr<detail::LayerKernel> kernel);
  std::unique_ptr<detail::LayerKernel> kernel_;
};

/// Fully connected layer over [samples, features].
class MCOMP_KERNELS_API Linear {
 public:
  [[nodiscard]] static Result<Linear> create_int8(const quant::QuantizedTensor& weight, const TensorView& bias,
                                                  const LinearOptions& options);
  [[nodiscard]] static Result<Linear> create_f32(const TensorView& weight, const TensorView& bias,
                                                 const LinearOptions& options = {});

  ~Linear();
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  [[nodiscard]] Result<Tensor> run(const TensorView& x, const TensorView& residual = {},
                                   const RunOptions& options = {}) const;
  [[nodiscard]] Status run(const TensorView& x, Tensor& output, Workspace& workspace, const TensorView& residual = {},
                           const RunOptions& options = {}) const;
  [[nodiscard]] Result<Tensor> accumulate(const TensorView& x, const RunOptions& options = {}) const;
  [[nodiscard]] Result<std::string> implementation(std::int64_t samples) const;

 private:
  explicit Linear(std::unique_ptr<detail::LayerKernel> kernel);
  std::unique_ptr<detail::LayerKernel> kernel_;
};

} // namespace mcomp::inline v0::kernels
