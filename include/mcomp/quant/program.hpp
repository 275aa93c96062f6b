#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/graph/runner.hpp"
#include "mcomp/quant/quantize.hpp"

// What runs, in what arithmetic, decided once: `lower` turns a network and its quantization into a list of fused steps.
// The simulation here and the kernels execute the same list, so that what is simulated is what runs.
//
// Arithmetic of an integer step (convolution or linear), for each output number, in this order and with every operation
// rounded to f32:
//
//     acc  = sum (x_code - x_zero_point) * w_code          exact, int32
//     y    = f32(acc) * multiplier[c] + bias[c]            multiplier = x_scale * w_scale[c]
//     y    = y + residual                                  f32, or (code - zero_point) * scale
//     y    = activation(y)                                 relu or relu6 only
//     code = quantize_value(y)                             where the output is quantized
//
// Average pooling of codes: f32(sum (code - zero_point)) * (scale / count). Operations that only move or compare
// numbers (subsample_pad, flatten, max pooling) work on the codes themselves. Every other step takes f32.

namespace mcomp::inline v0::quant {

/// What quantization does to a network: the layers that run in integers, and the values that are kept as codes.
struct NetworkQuantization {
  std::map<std::string, QuantizedTensor> weights; ///< by layer: int2 .. int8 symmetric, per tensor or per channel
  std::map<std::string, Parameters> activations;  ///< by value, which carries the name of its layer or `network_input`
};

/// A tensor that flows between steps.
struct Value {
  std::string name;
  Shape shape;                     ///< of one sample
  std::optional<Parameters> codes; ///< how it is quantized; none: f32
};

/// Constants of an integer step.
struct IntegerWeights {
  Tensor codes;                  ///< int8, [out, in / groups, kernel] or [out, in]
  std::vector<float> multiplier; ///< per output channel
  std::vector<float> bias;       ///< per output channel, real numbers
};

struct Step {
  std::string layer; ///< whose operation it is
  graph::Operation operation;
  std::vector<std::size_t> inputs;     ///< indices of values
  std::optional<std::size_t> residual; ///< value added before the activation
  std::optional<graph::ActivationKind> activation;
  std::size_t output = 0;
  std::vector<std::string> covers;               ///< all layers that it computes, in order
  std::shared_ptr<const IntegerWeights> integer; ///< null: computed in f32
};

struct Program {
  graph::Network network;
  TensorStore weights;       ///< f32, of the steps that are computed in f32
  std::vector<Value> values; ///< the first is the input of the network
  std::vector<Step> steps;
  std::size_t output = 0;
};

/// One line a step: layers, arithmetic, output.
[[nodiscard]] MCOMP_API std::string to_string(const Program& program);

/// Fuses and orders. A convolution or linear layer runs in integers when it is in `quantization.weights` and its input
/// is in `quantization.activations`; the add and the activation that follow it, and have no other use, join its step.
/// @param weights f32, f16 or bf16; of layers that run in integers only the bias is read
/// Errors: those of `check_weights`; unsupported for weights that integers cannot execute (per group, affine), sums
/// that could leave int32, tokens and layers of decoders; invalid_shape; not_found for names that the network does not
/// have.
[[nodiscard]] MCOMP_API Result<Program> lower(const graph::Network& network, const TensorStore& weights,
                                              const NetworkQuantization& quantization = {});

/// Multiply-adds of one sample, in total and of steps computed in f32.
struct ArithmeticShare {
  std::int64_t total = 0;
  std::int64_t in_f32 = 0;
  [[nodiscard]] double f32_share() const noexcept {
    return total == 0 ? 0.0 : static_cast<double>(in_f32) / static_cast<double>(total);
  }
};
[[nodiscard]] MCOMP_API Result<ArithmeticShare> arithmetic_share(const Program& program);

/// Sees the int32 accumulators of every integer step: [samples, channels, height, width] or [samples, features]; part
/// by part where the runner cuts the batch.
using AccumulatorTap = std::function<void(std::string_view layer, const TensorView& accumulators)>;

/// A runner of a program. Its `run` taps only values that exist between steps.
class MCOMP_API ProgramRunner : public graph::Runner {
 public:
  ~ProgramRunner() override;
  [[nodiscard]] virtual const Program& program() const noexcept = 0;
  /// Calls `tap` for every integer step of the runs that follow; an empty function ends that.
  virtual void observe_accumulators(AccumulatorTap tap) = 0;
};

/// Computes one whole f32 step of convolution or linear (with its residual and activation) from f32 inputs.
using FloatStep = std::function<Result<Tensor>(const Step& step, const std::vector<const Tensor*>& inputs)>;

struct SimulationOptions {
  Executor* executor = nullptr; ///< runs samples side by side; the result does not depend on it
  /// Who computes the steps left in f32. Default: the reference on Eigen. Given the kernels' own function, the
  /// simulation equals the execution bit for bit.
  FloatStep float_step{};
};

/// Executes a program in plain arithmetic: the integer steps by exact sums, the rest by the reference runner's
/// functions.
[[nodiscard]] MCOMP_API Result<std::unique_ptr<ProgramRunner>> simulated_runner(Program program,
                                                                                const SimulationOptions& options = {});

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::Program> = true;
} // namespace mcomp::inline v0
