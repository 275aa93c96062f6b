#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mcomp/core/tensor_store.hpp"

// A network as data: layers, the tensors they use by name, and the edges between them. It says what is computed, never
// how; runners execute it. The same value drives compression, simulation and execution, and has a JSON form.

namespace mcomp::inline v0::graph {

/// Height and width.
using Pair = std::array<std::int64_t, 2>;

/// y = W * x + b over NCHW activations; W is [out_channels, in_channels / groups, kernel]. Padding is with zeros.
struct Convolution {
  std::int64_t out_channels = 0;
  Pair kernel{1, 1};
  Pair stride{1, 1};
  Pair padding{0, 0};
  std::int64_t groups = 1;
  std::string weight{}; ///< name of the tensor
  std::string bias{};   ///< name of the tensor [out_channels]; empty: none
  friend bool operator==(const Convolution&, const Convolution&) = default;
};

/// y = W x + b over the last axis of [samples, features] or [samples, length, features]; W is [out_features,
/// in_features]. A tied output head names the tensor of the embedding.
struct Linear {
  std::int64_t out_features = 0;
  std::string weight{};
  std::string bias{}; ///< empty: none
  friend bool operator==(const Linear&, const Linear&) = default;
};

/// Inference form: y = weight * (x - running_mean) / sqrt(running_var + epsilon) + bias, per channel.
struct BatchNorm {
  double epsilon = 1e-5;
  std::string weight, bias, running_mean, running_var;
  friend bool operator==(const BatchNorm&, const BatchNorm&) = default;
};

enum class ActivationKind { relu, relu6, sigmoid, tanh, silu, gelu };

struct Activation {
  ActivationKind kind = ActivationKind::relu;
  friend bool operator==(const Activation&, const Activation&) = default;
};

/// Elementwise sum of two inputs of one shape.
struct Add {
  friend bool operator==(const Add&, const Add&) = default;
};

enum class PoolingKind { max, average };

/// Pooling over height and width. Average counts padded zeros, as PyTorch does by default.
struct Pooling {
  PoolingKind kind = PoolingKind::average;
  bool global = false; ///< one window over the whole plane; kernel, stride and padding are then ignored
  Pair kernel{1, 1};
  Pair stride{1, 1};
  Pair padding{0, 0};
  friend bool operator==(const Pooling&, const Pooling&) = default;
};

/// [samples, ...] to [samples, features].
struct Flatten {
  friend bool operator==(const Flatten&, const Flatten&) = default;
};

/// The parameter-free shortcut of CIFAR residual networks (He et al. 2016, option A): takes every `stride`-th row and
/// column and adds channels of zeros in front and behind.
struct SubsamplePad {
  Pair stride{1, 1};
  std::int64_t channels_before = 0;
  std::int64_t channels_after = 0;
  friend bool operator==(const SubsamplePad&, const SubsamplePad&) = default;
};

/// Over the features of [samples, features].
struct Softmax {
  friend bool operator==(const Softmax&, const Softmax&) = default;
};

/// Elementwise product of two inputs of one shape: the gate of a gated feed-forward layer.
struct Multiply {
  friend bool operator==(const Multiply&, const Multiply&) = default;
};

/// Tokens [samples, length] to the rows of a table [vocabulary, features]: [samples, length, features].
struct Embedding {
  std::int64_t vocabulary = 0;
  std::int64_t features = 0;
  std::string weight{};
  friend bool operator==(const Embedding&, const Embedding&) = default;
};

/// y = weight * x / sqrt(mean(x^2) + epsilon) over the last axis (Zhang and Sennrich 2019).
struct RmsNorm {
  double epsilon = 1e-5;
  std::string weight{}; ///< [features]
  friend bool operator==(const RmsNorm&, const RmsNorm&) = default;
};

/// Which two features of a head a rotary embedding turns together.
enum class RotaryPairing {
  interleaved, ///< (2j, 2j + 1): the paper's, Llama's own files and GGUF's "llama"
  half_split,  ///< (j, j + d/2): Hugging Face's files
};

/// Rotary position embedding (Su et al. 2021) of [samples, length, heads * d]: in each head, pair j at position p turns
/// by the angle p * theta^(-2j / d). The first row is position 0.
struct RotaryEmbedding {
  std::int64_t heads = 1;
  double theta = 10000;
  RotaryPairing pairing = RotaryPairing::interleaved;
  friend bool operator==(const RotaryEmbedding&, const RotaryEmbedding&) = default;
};

/// Causal grouped-query attention (Ainslie et al. 2023). Inputs: queries [samples, length, heads * d], keys and values
/// [samples, length, kv_heads * d]. Query head h attends with key head h / (heads / kv_heads), to its own position and
/// those before it: softmax(q k^T / sqrt(d)) v.
struct Attention {
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;
  friend bool operator==(const Attention&, const Attention&) = default;
};

using Operation = std::variant<Convolution, Linear, BatchNorm, Activation, Add, Pooling, Flatten, SubsamplePad, Softmax,
                               Multiply, Embedding, RmsNorm, RotaryEmbedding, Attention>;

/// "convolution", "linear", ...: the word of the JSON form.
[[nodiscard]] MCOMP_API std::string operation_name(const Operation& operation);

/// The tensors that a layer multiplies by and adds, by name.
struct WeightNames {
  const std::string* weight = nullptr; ///< null for operations without weights
  const std::string* bias = nullptr;   ///< an empty name: none
  [[nodiscard]] explicit operator bool() const noexcept { return weight != nullptr; }
};

/// Of a convolution or linear layer; no names for all others. Valid as long as the operation.
[[nodiscard]] MCOMP_API WeightNames weight_names(const Operation& operation) noexcept;

/// [samples] + shape
[[nodiscard]] MCOMP_API Shape with_samples(std::int64_t samples, const Shape& shape);

struct Layer {
  std::string name;
  Operation operation;
  std::vector<std::string> inputs; ///< names of layers before this one, or `network_input`
  friend bool operator==(const Layer&, const Layer&) = default;
};

/// The name by which layers take the input of the network.
inline constexpr std::string_view network_input = "input";

enum class InputKind {
  values, ///< f32
  tokens, ///< int32, numbers of a vocabulary
};

/// What enters the network, and how raw data becomes it: x = (raw * scale - mean) / std per channel. Tokens enter as
/// they are; their shape [length] is the longest row that the network takes, and every shape and count is given for
/// it. A run may have rows of any length from 1 to that.
struct Input {
  Shape shape;                   ///< of one sample, without the axis of samples: [channels, height, width]
  double scale = 1.0 / 255;      ///< for images of bytes
  std::vector<double> mean{0.0}; ///< one value a channel, or one for all
  std::vector<double> stddev{1.0};
  InputKind kind = InputKind::values;
  friend bool operator==(const Input&, const Input&) = default;
};

/// Layers in an order in which every input comes before its user.
struct Network {
  std::string name;
  Input input;
  std::vector<Layer> layers;
  std::string output; ///< name of the layer whose result is the network's

  [[nodiscard]] MCOMP_API const Layer* find(std::string_view layer) const noexcept;
  /// Position of a layer, or -1 (also for `network_input`).
  [[nodiscard]] MCOMP_API std::ptrdiff_t index(std::string_view layer) const noexcept;
  /// Indices of the layers that take `layer` as an input.
  [[nodiscard]] MCOMP_API std::vector<std::size_t> users(std::string_view layer) const;
  friend bool operator==(const Network&, const Network&) = default;
};

/// One line a layer.
[[nodiscard]] MCOMP_API std::string to_string(const Network& network);

/// Shapes of one sample, without the axis of samples.
struct Shapes {
  std::vector<Shape> input;  ///< of the first input of each layer
  std::vector<Shape> output; ///< of each layer
};

/// The part of a network that computes the output of `layer`, which becomes its output.
/// Error: not_found, with the name that was probably meant.
[[nodiscard]] MCOMP_API Result<Network> truncated(const Network& network, std::string_view layer);

/// Checks the whole network (names, edges, options) and computes every shape.
/// Errors: invalid_argument or invalid_shape, naming the layer.
[[nodiscard]] MCOMP_API Result<Shapes> infer_shapes(const Network& network);

/// Multiply-adds of each layer for one sample (of the greatest length): those of convolutions, linear layers and the
/// two products of attention, masked ones left out; others count as 0.
[[nodiscard]] MCOMP_API Result<std::vector<std::int64_t>> multiply_adds(const Network& network);

/// Checks that every tensor the network names is there, floating, finite and of the right shape.
/// Errors: not_found, invalid_dtype, invalid_shape, invalid_value, naming the tensor.
[[nodiscard]] MCOMP_API Status check_weights(const Network& network, const TensorStore& weights);

/// The names of all tensors that the network uses, in order of the layers that use them first; each once.
[[nodiscard]] MCOMP_API std::vector<std::string> tensor_names(const Network& network);

/// JSON (schema "mcomp-network-1"):
///
///     {"schema": "mcomp-network-1", "name": "tiny",
///      "input": {"shape": [3, 32, 32], "scale": 0.00392156862745098, "mean": [0.5], "std": [0.25]},
///      "layers": [
///        {"name": "conv1", "op": "convolution", "inputs": ["input"], "out_channels": 8, "kernel": [3, 3],
///         "stride": [1, 1], "padding": [1, 1], "groups": 1, "weight": "conv1.weight", "bias": "conv1.bias"},
///        {"name": "bn1", "op": "batch_norm", "inputs": ["conv1"], "epsilon": 1e-5},
///        {"name": "relu1", "op": "activation", "inputs": ["bn1"], "kind": "relu"},
///        {"name": "shortcut", "op": "subsample_pad", "inputs": ["relu1"], "stride": [2, 2],
///         "channels_before": 4, "channels_after": 4},
///        {"name": "pool", "op": "pooling", "inputs": ["relu1"], "kind": "average", "global": true},
///        {"name": "flat", "op": "flatten", "inputs": ["pool"]},
///        {"name": "fc", "op": "linear", "inputs": ["flat"], "out_features": 10, "bias": "fc.bias"}],
///      "output": "fc"}
///
/// Further operations: "add" and "multiply" (two inputs), "softmax". Token networks have the input {"kind": "tokens",
/// "shape": [512]} and
///
///        {"name": "embed", "op": "embedding", "vocabulary": 512, "features": 64},
///        {"name": "norm", "op": "rms_norm", "epsilon": 1e-5},
///        {"name": "turn", "op": "rotary_embedding", "heads": 8, "theta": 10000, "pairing": "interleaved"},
///        {"name": "attend", "op": "attention", "inputs": ["q", "k", "v"], "heads": 8, "kv_heads": 4}
///
/// ("pairing" may be "half_split"). Defaults: inputs = the layer before; stride [1, 1]; padding
/// [0, 0]; groups 1; weight = name + ".weight"; no bias unless named; batch normalization: name + ".weight", ".bias",
/// ".running_mean", ".running_var", epsilon 1e-5; output = the last layer.
[[nodiscard]] MCOMP_API std::string to_json(const Network& network);
/// Reads and checks. Errors: corrupt, invalid_argument, invalid_shape, naming `subject` and the layer.
[[nodiscard]] MCOMP_API Result<Network> network_from_json(std::string_view json, const std::string& subject);

/// Raw samples of any element type [samples, input.shape] as the network's f32 input, by `Input`'s rule. For token
/// networks: integers [samples, length] as int32.
/// Errors: invalid_shape, invalid_argument (number of means), invalid_value, invalid_dtype.
[[nodiscard]] MCOMP_API Result<Tensor> normalize(const Input& input, const TensorView& raw);

/// One activation value; the single definition that every runner uses.
[[nodiscard]] MCOMP_API float activate(ActivationKind kind, float x) noexcept;

} // namespace mcomp::inline v0::graph

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<graph::Network> = true;
} // namespace mcomp::inline v0
