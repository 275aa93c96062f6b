#pragma once

#include "graph/reference_layers.hpp"

// The fp32 meaning of the operations of decoders over [samples, length, features]. Each sample is computed by itself,
// so that neither the executor nor the other samples of a batch change a bit of it.

namespace mcomp::inline v0::graph::detail {

[[nodiscard]] Result<Tensor> linear_rows(const LayerInputs& context, const Linear& linear, const Tensor& x);
/// Error: invalid_value for a token outside the vocabulary.
[[nodiscard]] Result<Tensor> embed(const LayerInputs& context, const Embedding& embedding, const Tensor& tokens);
[[nodiscard]] Result<Tensor> normalize_rms(const LayerInputs& context, const RmsNorm& norm, const Tensor& x);
[[nodiscard]] Result<Tensor> rotate(const LayerInputs& context, const RotaryEmbedding& rotary, const Tensor& x);
[[nodiscard]] Result<Tensor> attend(const LayerInputs& context, const Attention& attention, const Tensor& queries,
                                    const Tensor& keys, const Tensor& values);

} // namespace mcomp::inline v0::graph::detail
