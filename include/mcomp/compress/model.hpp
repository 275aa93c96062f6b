#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "mcomp/graph/network.hpp"
#include "mcomp/quant/program.hpp"

namespace mcomp::inline v0::compress {

/// A network with all that belongs to it: what a recipe starts from and what it ends with.
struct Model {
  graph::Network network;
  TensorStore weights;                     ///< of layers in `quantization` only the bias is used
  quant::NetworkQuantization quantization; ///< empty: everything in floating point
  std::optional<double> temperature;       ///< divides the logits before the softmax

  /// The fused program that runners execute. Errors: those of quant::lower.
  [[nodiscard]] MCOMP_API Result<quant::Program> program() const;
  /// Bytes of the tensors that the network uses, as they are stored.
  [[nodiscard]] MCOMP_API std::int64_t stored_bytes() const;
};

[[nodiscard]] MCOMP_API std::string to_string(const Model& model);

/// Hexadecimal SHA-256 over the network, the weights it uses, the quantization and the temperature.
[[nodiscard]] MCOMP_API std::string fingerprint(const Model& model);

/// Reads weights (safetensors) for a network. Errors: those of io::read_safetensors and graph::check_weights.
[[nodiscard]] MCOMP_API Result<Model> load(const std::filesystem::path& weights, graph::Network network);

/// Samples with what is known of them, kept alive together.
struct Samples {
  TensorStore tensors; ///< "images": raw [samples, input shape]; "labels": int32 or int64 [samples], may be absent

  [[nodiscard]] MCOMP_API Result<TensorView> images() const;
  /// The labels as int32. Errors: not_found, invalid_dtype, invalid_shape, invalid_value outside int32 or negative.
  [[nodiscard]] MCOMP_API Result<std::vector<std::int32_t>> labels() const;
  [[nodiscard]] MCOMP_API std::int64_t count() const noexcept;
};

/// Reads a safetensors file with `images` and, where there are any, `labels` (any integer type).
/// Errors: those of io::read_safetensors; not_found without images; invalid_shape where counts differ or are zero.
[[nodiscard]] MCOMP_API Result<Samples> load_samples(const std::filesystem::path& path);

} // namespace mcomp::inline v0::compress

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<compress::Model> = true;
} // namespace mcomp::inline v0
