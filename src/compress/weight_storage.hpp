#pragma once

#include <string>

#include "core/json.hpp"
#include "mcomp/compress/quantized_weight.hpp"
#include "mcomp/core/tensor_store.hpp"

// A quantized weight as an artifact and a decision keep it: tensors under the weight's name, and an entry of JSON that
// gives them their meaning. Codes of fewer than eight bits are packed without gaps, as uint8.

namespace mcomp::inline v0::compress::detail {

/// Puts the tensors ("NAME", "NAME.scale", "NAME.zero_point", "NAME.codebook": those that the form has) and returns the
/// entry. Error: unsupported for forms that could not be read back.
[[nodiscard]] Result<mcomp::detail::Json> put_weight(TensorStore& store, const std::string& name,
                                                     const QuantizedWeight& weight);

/// The inverse. Nothing is believed: whatever comes back can be dequantized.
/// @param where for messages: "manifest.json: quantized: NAME"
/// Errors: corrupt, not_found.
[[nodiscard]] Result<QuantizedWeight> take_weight(const TensorStore& store, const std::string& name,
                                                  const mcomp::detail::Json& entry, const std::string& where);

/// Removes the tensors that `put_weight` put.
void erase_weight(TensorStore& store, const std::string& name);

} // namespace mcomp::inline v0::compress::detail
