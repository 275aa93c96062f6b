#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "kernels/onednn.hpp"
#include "kernels/rows.hpp"
#include "mcomp/core/tensor.hpp"
#include "mcomp/quant/scheme.hpp"

namespace mcomp::inline v0::kernels::detail {

/// A buffer that only grows, for one thread.
class Buffer {
 public:
  /// At least `bytes`, aligned; the content is lost when it grows.
  Result<std::byte*> reserve(std::size_t bytes);

 private:
  Tensor memory_;
};

/// Memory of one thread for running layers, and its calls of the primitives that it has met.
struct Workspace {
  Buffer scratchpad, high, low, source, real;
  std::map<const Primitive*, Call> calls;

  Call& call(const std::shared_ptr<const Primitive>& primitive) {
    return calls.try_emplace(primitive.get(), primitive).first->second;
  }
};

/// What a weight layer computes, apart from its weights. Activations are channels last.
struct LayerSpec {
  PrimitiveShape shape; ///< with samples = 1
  std::optional<quant::Parameters> input_codes;
  std::optional<graph::ActivationKind> activation;
  bool residual = false;
  std::optional<quant::Parameters> residual_codes;
  std::optional<quant::Parameters> output_codes;

  [[nodiscard]] std::int64_t in_elements() const { return shape.in_channels * shape.in_height * shape.in_width; }
  [[nodiscard]] std::int64_t out_elements() const { return shape.out_channels * shape.out_height * shape.out_width; }
};

/// A convolution or linear layer ready to run. Primitives are made once for each number of samples and of threads:
/// oneDNN cuts the work into parts when a primitive is made, and starts as many threads as there are parts.
class LayerKernel {
 public:
  /// @param codes int8 weights, plain
  static Result<std::unique_ptr<LayerKernel>>
  integer(LayerSpec spec, Tensor codes, const std::vector<float>& multiplier, const std::vector<float>& bias);
  /// @param weights f32, plain; @param bias empty for none
  static Result<std::unique_ptr<LayerKernel>> real(LayerSpec spec, Tensor weights, std::vector<float> bias);

  [[nodiscard]] const LayerSpec& spec() const noexcept { return spec_; }
  [[nodiscard]] bool is_integer() const noexcept { return integer_; }
  /// Makes the primitive for a number of samples and the threads that this call may use.
  Status prepare(std::int64_t samples) const;
  Result<std::string> implementation(std::int64_t samples) const;

  /// @param x codes of `input_codes`, or f32; @param residual null without; may be `output` itself
  Status run(std::int64_t samples, const void* x, const void* residual, void* output, Workspace& workspace,
             std::int32_t* accumulators = nullptr) const;
  /// Exact sums of (code - zero_point) * weight.
  Status accumulate(std::int64_t samples, const void* x, std::int32_t* accumulators, Workspace& workspace) const;

 private:
  struct Instance {
    std::shared_ptr<const Primitive> main; ///< f32, or all of the integer weights, or their upper seven bits
    std::shared_ptr<const Primitive> low;  ///< the lowest bit of the weights, where one pass would saturate
  };

  LayerKernel(LayerSpec spec, Tensor weights, bool integer)
      : spec_(std::move(spec)), weights_(std::move(weights)), integer_(integer) {}

  Result<Instance> instance(std::int64_t samples) const;
  Result<Instance> create_instance(std::int64_t samples) const;
  [[nodiscard]] bool pads_explicitly() const noexcept;
  [[nodiscard]] PrimitiveShape primitive_shape(std::int64_t samples) const;
  Result<const void*> integer_source(std::int64_t samples, const void* x, Workspace& workspace) const;
  Status integer_sums(const Instance& instance, std::int64_t samples, const void* x, std::int32_t* high,
                      std::int32_t* low, Workspace& workspace) const;
  Status run_integer(const Instance& instance, std::int64_t samples, const void* x, const void* residual, void* output,
                     Workspace& workspace, std::int32_t* accumulators) const;
  Status run_real(const Instance& instance, std::int64_t samples, const void* x, const void* residual, void* output,
                  Workspace& workspace) const;

  LayerSpec spec_;
  Tensor weights_;
  bool integer_;
  std::int32_t zero_point_ = 0; ///< of the input as uint8
  ChannelConstants constants_;
  std::vector<float> bias_; ///< of f32 layers
  mutable std::mutex mutex_;
  mutable std::map<std::pair<std::int64_t, int>, Instance> instances_; ///< by samples and threads
};

} // namespace mcomp::inline v0::kernels::detail
