#pragma once

#include <optional>
#include <string>

#include "compress/strategies/budget.hpp"
#include "core/json.hpp"
#include "mcomp/compress/weight_format.hpp"

// Which codes the step `quantize` gives to a weight: the part of its options that is called "weights".

namespace mcomp::inline v0::compress::detail {

struct WeightMethodOptions {
  quant::Scheme scheme{};
  WeightMethod method{};
  LayerTarget target = LayerTarget::own_output;
  std::optional<WeightBudget> budget{}; ///< chooses the number of bits of every layer; all else is as in `scheme`
};

/// "int4 symmetric per channel", "int4 symmetric per channel, gptq refined"
[[nodiscard]] std::string to_string(const WeightMethodOptions& options);

/// Errors: corrupt, invalid_argument, naming the key.
[[nodiscard]] Result<WeightMethodOptions> read_weight_method(const mcomp::detail::Json& json, const std::string& where);

/// Keeps a quantized tensor in a store under its weight's name, and takes it out again.
void put_quantized(TensorStore& store, const std::string& name, const quant::QuantizedTensor& tensor);
/// Error: not_found for parts that are missing.
[[nodiscard]] Result<quant::QuantizedTensor> quantized_from_store(const TensorStore& store, const std::string& name,
                                                                  const quant::Scheme& scheme);

} // namespace mcomp::inline v0::compress::detail
