#pragma once

#include <map>
#include <optional>

#include "mcomp/graph/network.hpp"

// Decoders of the Llama family (Touvron et al. 2023): RMS normalization, rotary embedding, grouped-query attention,
// gated feed-forward with SiLU.
//
//     auto file = mcomp::io::read_safetensors("model.safetensors").value();
//     auto options = mcomp::graph::llama_options(file.tensors, file.metadata, {.heads = 8}).value();
//     auto network = mcomp::graph::llama(options).value();
//     auto logits = mcomp::graph::reference_runner(network, file.tensors).value()->run(tokens).value();

namespace mcomp::inline v0::graph {

struct LlamaOptions {
  std::string name = "llama";
  std::int64_t vocabulary = 0;
  std::int64_t features = 0; ///< of the hidden states
  std::int64_t hidden = 0;   ///< features of the gated feed-forward layer
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;   ///< 0: as many as heads
  std::int64_t head_size = 0;  ///< 0: features / heads
  std::int64_t context = 2048; ///< the longest row of tokens
  double epsilon = 1e-5;
  double theta = 10000;
  RotaryPairing pairing = RotaryPairing::half_split; ///< that of Hugging Face's files
  bool tied = false;                                 ///< the head is the embedding's table
  friend bool operator==(const LlamaOptions&, const LlamaOptions&) = default;
};

/// The decoder as a network from tokens [samples, length] to logits [samples, length, vocabulary]. Layers and tensors
/// carry Hugging Face's names: model.embed_tokens, model.layers.0.self_attn.q_proj ... model.norm, lm_head. What a
/// linear layer takes is the output of: input_layernorm (q, k, v), self_attn.attention (o), post_attention_layernorm
/// (gate, up), mlp.gated (down), model.norm (head).
/// Errors: invalid_argument for sizes that do not fit together, and those of infer_shapes.
[[nodiscard]] MCOMP_API Result<Network> llama(const LlamaOptions& options);

/// What shapes cannot tell. Absent ones come from the metadata, else from the defaults of `LlamaOptions`; `heads` has
/// no default.
struct LlamaHints {
  std::optional<std::int64_t> heads{};
  std::optional<std::int64_t> context{};
  std::optional<double> epsilon{};
  std::optional<double> theta{};
  std::optional<RotaryPairing> pairing{};
};

/// Derives the options from the shapes of the tensors: vocabulary, features, hidden, layers, kv_heads, head_size, and
/// tied where there is no lm_head.weight. Metadata keys that are read: "heads", "kv_heads", "context", "tied_head" ("0"
/// where it is not), "rope" (the words "interleaved" or "half", and "theta NUMBER"), "norm" ("eps NUMBER").
/// Errors: not_found for a missing tensor, or heads that neither source gives; invalid_shape; corrupt for metadata that
/// contradict the shapes; unsupported for tensors of model layers that `llama` does not have (biases, query
/// normalization, experts).
[[nodiscard]] MCOMP_API Result<LlamaOptions> llama_options(const TensorStore& weights,
                                                           const std::map<std::string, std::string>& metadata = {},
                                                           const LlamaHints& hints = {});

} // namespace mcomp::inline v0::graph
