#pragma once

#include <map>
#include <memory>
#include <optional>

#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/runner.hpp"
#include "mcomp/io/gguf.hpp"
#include "mcomp/io/token_list.hpp"

// Llama decoders as GGUF files of the architecture "llama", which llama.cpp loads.
//
//     auto plan = mcomp::io::plan_llama_gguf({.model = options, .tokenizer = tokens, .type = GgufType::q4_k}).value();
//     fmt::print("{}\n", plan);                                // every tensor: type, bytes, why
//     mcomp::io::write_llama_gguf("model.gguf", plan, weights).value();
//
// The engine turns pairs (2j, 2j + 1) by its rotary embedding. Weights of the other pairing (Hugging Face's files) have
// the rows of their query and key matrices reordered on the way, which changes nothing else.

namespace mcomp::inline v0::io {

/// The type that a matrix with rows of a length can have, and why it is not the wanted one.
struct GgufTypeChoice {
  GgufType type = GgufType::f32;
  std::string reason{}; ///< empty where it is the wanted one
};

/// Where blocks do not divide a row, llama.cpp's own substitutes for its formats of 256 (Q4_K -> Q5_0, Q5_K -> Q5_1,
/// Q6_K -> Q8_0, Q2_K and Q3_K -> Q4_0, IQ4_XS and below -> IQ4_NL), and F16 where those do not fit either or there is
/// none.
[[nodiscard]] MCOMP_API GgufTypeChoice gguf_type_for_rows(GgufType wanted, std::int64_t row_length);

struct LlamaGgufOptions {
  graph::LlamaOptions model{};
  std::optional<TokenList> tokenizer{};    ///< absent: the file says that it has none
  GgufType type = GgufType::f32;           ///< of matrices that neither `types` nor `blocks` name
  std::map<std::string, GgufType> types{}; ///< by Hugging Face's name
  /// Matrices that are quantized already (by an algorithm of the caller's choice), by Hugging Face's name and in its
  /// order of rows.
  std::map<std::string, quant::BlockTensor> blocks{};
  quant::BlockSearch search = quant::BlockSearch::thorough; ///< for all others that become blocks
};

struct GgufPlannedTensor {
  std::string name;   ///< Hugging Face's
  std::string stored; ///< the file's: "blk.0.attn_q.weight"
  Shape shape;
  GgufType wanted = GgufType::f32;
  GgufType type = GgufType::f32;
  std::string reason{};   ///< why `type` is not `wanted`
  std::int64_t bytes = 0; ///< without padding
  bool reorder = false;   ///< rows of heads from the other rotary pairing
};

struct LlamaGgufPlan {
  LlamaGgufOptions options;
  GgufMetadata metadata;
  std::vector<GgufPlannedTensor> tensors;
  std::int64_t file_bytes = 0; ///< exactly
  double bits_per_weight = 0;  ///< over all tensors, padding and metadata left out
};

/// One line a tensor, with the reason where a type was changed.
[[nodiscard]] MCOMP_API std::string to_string(const LlamaGgufPlan& plan);

/// What will be written, before any work. Vectors (the norms) are F32, as the engine demands.
/// Errors: those of graph::llama; not_found for names in `types` and `blocks` that the decoder does not have;
/// invalid_shape for blocks of another shape; unsupported for types that mcomp cannot make (only F32, F16, BF16 and the
/// formats of quant::BlockFormat); invalid_argument for a vocabulary of another size than the model's.
[[nodiscard]] MCOMP_API Result<LlamaGgufPlan> plan_llama_gguf(LlamaGgufOptions options);

/// Writes the file, whole or not at all; one tensor at a time is in memory.
/// @param weights by Hugging Face's names, f32, f16 or bf16; those in `options.blocks` may be absent
/// Errors: those of `write_gguf`; not_found, invalid_shape, invalid_value (NaN, infinities, values beyond F16) naming
/// the tensor; cancelled.
[[nodiscard]] MCOMP_API Status write_llama_gguf(const std::filesystem::path& path, const LlamaGgufPlan& plan,
                                                const TensorStore& weights, const Context& context = {});

/// A decoder read from a file, with its tensors under Hugging Face's names.
struct LlamaGguf {
  graph::LlamaOptions model; ///< of the interleaved pairing, which is the file's
  TensorStore weights;       ///< f32, f16, bf16 as stored; blocks as the f32 numbers that they mean
  std::map<std::string, quant::BlockTensor> blocks{};
  std::optional<TokenList> tokenizer{};
};

/// Errors: not_found and invalid_dtype for keys and tensors; unsupported for another architecture, scaled rotary
/// embeddings, a tokenizer that is not "llama" (it is left out, which is no error), and tensors that `graph::llama`
/// does not have; those of graph::llama and graph::check_weights.
[[nodiscard]] MCOMP_API Result<LlamaGguf> llama_from_gguf(const GgufFile& file);

/// Computes what llama.cpp's CPU backend computes from a file, but for the order of sums: weights as stored,
/// activations of quantized matrices rounded as by quant::round_activations, of F16 and BF16 matrices to that type.
/// Predicts the perplexity of the engine with a key-value cache in F32. Logits agree to the last bits in F32 only:
/// where activations are rounded, another order of sums turns into other codes, layer by layer, until two computations
/// of one file differ by about as much as the rounding itself (wide256 in Q8_0: 5e-5 nats between this and the engine,
/// 6e-5 between this and itself with a noise of 1e-6, 8e-5 to unrounded activations). Means over a text hardly feel
/// that.
/// @param executor runs samples side by side; null: the calling thread. The result does not depend on it.
[[nodiscard]] MCOMP_API Result<std::unique_ptr<graph::Runner>> engine_runner(const LlamaGguf& decoder,
                                                                             Executor* executor = nullptr);

} // namespace mcomp::inline v0::io

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<io::LlamaGgufPlan> = true;
} // namespace mcomp::inline v0
