#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/calibrate/calibrator.hpp"
#include "mcomp/compress/quantized_weight.hpp"
#include "mcomp/graph/network.hpp"
#include "mcomp/quant/program.hpp"

namespace mcomp::inline v0::compress {

/// A network with all that belongs to it: what a recipe starts from and what it ends with.
///
/// Weights are quantized in one of two ways. Layers in `quantization` run in integers, on codes of their inputs.
/// Tensors in `quantized` are stored in few bits and computed with as the real numbers that they stand for. A weight
/// may be quantized in one of these ways only, and what `weights` still holds of it is no longer used, but for the
/// correction of what its rounding shifted.
struct Model {
  graph::Network network;
  TensorStore weights;                                ///< of layers in `quantization` only the bias is used
  quant::NetworkQuantization quantization;            ///< layers that run in integers; empty: none
  std::optional<double> temperature;                  ///< divides the logits before the softmax
  std::map<std::string, QuantizedWeight> quantized{}; ///< weight-only, by name of the tensor
  std::optional<calibrate::Calibrator> calibrator{};  ///< makes probabilities of logits, in place of a temperature

  /// True where nothing is quantized, in either way.
  [[nodiscard]] MCOMP_API bool in_full_precision() const noexcept;
  /// The weights with f32 tensors in place of those in `quantized`. Errors: those of `dequantize`.
  [[nodiscard]] MCOMP_API Result<TensorStore> real_weights() const;
  /// The fused program that runners of networks over images execute; what is quantized weight-only is in f32 there.
  /// Errors: those of quant::lower and `real_weights`.
  [[nodiscard]] MCOMP_API Result<quant::Program> program() const;
  /// Calibrated probabilities f64 [samples, classes] of what the network gives: logits, or probabilities where it ends
  /// in a softmax. Errors: those of calibrate::Calibrator::probabilities.
  [[nodiscard]] MCOMP_API Result<Tensor> probabilities(const TensorView& outputs) const;
  /// Bytes of the tensors that the network uses, as they are stored.
  [[nodiscard]] MCOMP_API std::int64_t stored_bytes() const;
};

/// "llama: 64 layers, 33 tensors quantized weight-only (int4 symmetric per group of 32), 163840 bytes"
[[nodiscard]] MCOMP_API std::string to_string(const Model& model);

/// Whether all parts fit together: the network, the weights it uses, both ways of quantization.
/// Errors: those of graph::check_weights and quant::lower; not_found for quantized tensors that no layer multiplies by;
/// invalid_shape, also for a calibrator of another number of classes; invalid_argument for a weight that is quantized
/// in both ways, and for a model with both a temperature and a calibrator.
[[nodiscard]] MCOMP_API Status check(const Model& model);

/// Hexadecimal SHA-256 over the network, the weights it uses, both ways of quantization and the temperature or
/// calibrator.
[[nodiscard]] MCOMP_API std::string fingerprint(const Model& model);

/// Reads weights (safetensors) for a network. Errors: those of io::read_safetensors and graph::check_weights.
[[nodiscard]] MCOMP_API Result<Model> load(const std::filesystem::path& weights, graph::Network network);

/// Samples with what is known of them, kept alive together: images, or rows of tokens.
struct Samples {
  /// "images": raw [samples, input shape], and "labels": int32 or int64 [samples], which may be absent; or
  /// "tokens": int32 [rows, length]
  TensorStore tensors;

  /// Errors: not_found, which says where there are tokens instead.
  [[nodiscard]] MCOMP_API Result<TensorView> images() const;
  /// Errors: not_found, which says where there are images instead; invalid_dtype, invalid_shape.
  [[nodiscard]] MCOMP_API Result<TensorView> tokens() const;
  /// What a network takes: images or tokens, by the kind of its input.
  /// Errors: as above; invalid_shape where they are not the network's.
  [[nodiscard]] MCOMP_API Result<TensorView> input(const graph::Input& input) const;
  /// The labels as int32. Errors: not_found, invalid_dtype, invalid_shape, invalid_value outside int32 or negative.
  [[nodiscard]] MCOMP_API Result<std::vector<std::int32_t>> labels() const;
  [[nodiscard]] MCOMP_API std::int64_t count() const noexcept;
};

/// Reads a safetensors file with `images` and, where there are any, `labels` (any integer type), or with rows of tokens
/// (int32).
/// @param tokens the name that rows of tokens have in the file
/// Errors: those of io::read_safetensors; not_found without images and tokens; invalid_argument with both;
/// invalid_dtype; invalid_shape where counts differ or are zero.
[[nodiscard]] MCOMP_API Result<Samples> load_samples(const std::filesystem::path& path,
                                                     const std::string& tokens = "tokens");

} // namespace mcomp::inline v0::compress

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<compress::Model> = true;
} // namespace mcomp::inline v0
