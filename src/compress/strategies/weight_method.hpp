#pragma once

#include <string>

#include "core/json.hpp"
#include "mcomp/compress/layerwise.hpp"
#include "mcomp/quant/gptq.hpp"

// Which codes a recipe's step gives to a weight: the part of its options that is called "weights".

namespace mcomp::inline v0::compress::detail {

enum class WeightMethod { nearest, clipped, gptq };

struct WeightMethodOptions {
  quant::Scheme scheme{};
  WeightMethod method = WeightMethod::nearest;
  int refine = 0; ///< rounds after gptq
};

/// "int4 symmetric per channel", "int4 symmetric per channel, gptq"
[[nodiscard]] std::string to_string(const WeightMethodOptions& options);

/// Whether codes follow from the calibration samples too.
[[nodiscard]] inline bool needs_samples(const WeightMethodOptions& options) {
  return options.method != WeightMethod::nearest;
}

/// Errors: corrupt, invalid_argument, naming the key.
[[nodiscard]] Result<WeightMethodOptions> read_weight_method(const mcomp::detail::Json& json, const std::string& where);

/// The method as the walk over layers calls it; its results are QuantizedTensors.
[[nodiscard]] LayerMethod weight_method(const WeightMethodOptions& options);

/// Keeps a quantized tensor in a store under its weight's name, and takes it out again.
void put_quantized(TensorStore& store, const std::string& name, const quant::QuantizedTensor& tensor);
/// Error: not_found for parts that are missing.
[[nodiscard]] Result<quant::QuantizedTensor> quantized_from_store(const TensorStore& store, const std::string& name,
                                                                  const quant::Scheme& scheme);

} // namespace mcomp::inline v0::compress::detail
