#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "io/gguf_format.hpp"
#include "io/gguf_llama_names.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/io/gguf_llama.hpp"

namespace mcomp::inline v0::io {

namespace detail {

std::vector<LlamaTensorName> llama_tensor_names(const graph::LlamaOptions& model) {
  std::vector<LlamaTensorName> names{{"model.embed_tokens.weight", "token_embd.weight"}};
  for (std::int64_t layer = 0; layer < model.layers; ++layer) {
    const auto add = [&](const char* name, const char* stored, std::int64_t heads = 0) {
      names.push_back({fmt::format("model.layers.{}.{}.weight", layer, name),
                       fmt::format("blk.{}.{}.weight", layer, stored), heads});
    };
    add("input_layernorm", "attn_norm");
    add("self_attn.q_proj", "attn_q", model.heads);
    add("self_attn.k_proj", "attn_k", model.kv_heads == 0 ? model.heads : model.kv_heads);
    add("self_attn.v_proj", "attn_v");
    add("self_attn.o_proj", "attn_output");
    add("post_attention_layernorm", "ffn_norm");
    add("mlp.gate_proj", "ffn_gate");
    add("mlp.up_proj", "ffn_up");
    add("mlp.down_proj", "ffn_down");
  }
  names.push_back({"model.norm.weight", "output_norm.weight"});
  if (!model.tied) names.push_back({"lm_head.weight", "output.weight"});
  return names;
}

} // namespace detail

namespace {

/// llama.cpp's substitute of a format of 256 (and its Q2_0), src/llama-quant.cpp; nothing where it has none.
std::optional<GgufType> substitute(GgufType type) {
  switch (type) {
  case GgufType::iq1_s:
  case GgufType::iq1_m:
  case GgufType::iq2_xxs:
  case GgufType::iq2_xs:
  case GgufType::iq2_s:
  case GgufType::iq3_xxs:
  case GgufType::iq3_s:
  case GgufType::iq4_xs:
    return GgufType::iq4_nl;
  case GgufType::q2_0:
  case GgufType::q2_k:
  case GgufType::q3_k:
  case GgufType::tq1_0:
  case GgufType::tq2_0:
    return GgufType::q4_0;
  case GgufType::q4_k:
    return GgufType::q5_0;
  case GgufType::q5_k:
    return GgufType::q5_1;
  case GgufType::q6_k:
    return GgufType::q8_0;
  default:
    return std::nullopt;
  }
}

bool can_make(GgufType type) {
  return type == GgufType::f32 || type == GgufType::f16 || type == GgufType::bf16 ||
         quant::block_format_from_gguf_type(static_cast<std::uint32_t>(type));
}

GgufMetadata metadata_of(const LlamaGgufOptions& options) {
  const graph::LlamaOptions& m = options.model;
  const auto u32 = [](std::int64_t value) { return static_cast<std::uint32_t>(value); };
  GgufMetadata metadata{{"general.architecture", std::string(detail::llama_architecture)},
                        {"general.name", m.name},
                        {"llama.vocab_size", u32(m.vocabulary)},
                        {"llama.context_length", u32(m.context)},
                        {"llama.embedding_length", u32(m.features)},
                        {"llama.block_count", u32(m.layers)},
                        {"llama.feed_forward_length", u32(m.hidden)},
                        {"llama.attention.head_count", u32(m.heads)},
                        {"llama.attention.head_count_kv", u32(m.kv_heads)},
                        {"llama.attention.key_length", u32(m.head_size)},
                        {"llama.attention.value_length", u32(m.head_size)},
                        {"llama.rope.dimension_count", u32(m.head_size)},
                        {"llama.rope.freq_base", static_cast<float>(m.theta)},
                        {"llama.attention.layer_norm_rms_epsilon", static_cast<float>(m.epsilon)}};
  if (!options.tokenizer) {
    metadata.emplace_back("tokenizer.ggml.model", std::string("no_vocab"));
    return metadata;
  }
  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<std::int32_t> kinds;
  for (const Token& token : options.tokenizer->tokens) {
    pieces.push_back(token.piece);
    scores.push_back(token.score);
    kinds.push_back(static_cast<std::int32_t>(token.kind));
  }
  metadata.emplace_back("tokenizer.ggml.model", std::string("llama"));
  metadata.emplace_back("tokenizer.ggml.tokens", GgufArray(std::move(pieces)));
  metadata.emplace_back("tokenizer.ggml.scores", GgufArray(std::move(scores)));
  metadata.emplace_back("tokenizer.ggml.token_type", GgufArray(std::move(kinds)));
  metadata.emplace_back("tokenizer.ggml.unknown_token_id", u32(options.tokenizer->unknown));
  metadata.emplace_back("tokenizer.ggml.bos_token_id", u32(options.tokenizer->begin));
  metadata.emplace_back("tokenizer.ggml.eos_token_id", u32(options.tokenizer->end));
  metadata.emplace_back("tokenizer.ggml.add_bos_token", true);
  metadata.emplace_back("tokenizer.ggml.add_eos_token", false);
  return metadata;
}

Status check_names(const LlamaGgufOptions& options, const std::vector<detail::LlamaTensorName>& names) {
  std::vector<std::string> known;
  for (const auto& name : names) known.push_back(name.name);
  const auto check = [&](const std::string& name) -> Status {
    if (std::find(known.begin(), known.end(), name) != known.end()) return {};
    return Error(ErrorCode::not_found, fmt::format("tensor '{}'", name), "the decoder has no such tensor",
                 mcomp::detail::did_you_mean(name, known));
  };
  for (const auto& [name, type] : options.types) MCOMP_CHECK(check(name));
  for (const auto& [name, blocks] : options.blocks) MCOMP_CHECK(check(name));
  return {};
}

/// The shapes of all tensors of the decoder, from its layers.
std::map<std::string, Shape> tensor_shapes(const graph::Network& network, const graph::Shapes& shapes) {
  std::map<std::string, Shape> result;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const auto& operation = network.layers[i].operation;
    if (const auto* l = std::get_if<graph::Linear>(&operation))
      result[l->weight] = {l->out_features, shapes.input[i].sizes().back()};
    if (const auto* e = std::get_if<graph::Embedding>(&operation)) result[e->weight] = {e->vocabulary, e->features};
    if (const auto* n = std::get_if<graph::RmsNorm>(&operation)) result[n->weight] = {shapes.input[i].sizes().back()};
  }
  return result;
}

Result<GgufPlannedTensor> plan_tensor(const LlamaGgufOptions& options, const detail::LlamaTensorName& name,
                                      const Shape& shape) {
  GgufPlannedTensor planned{.name = name.name, .stored = name.stored, .shape = shape};
  const std::string subject = fmt::format("tensor '{}'", name.name);
  const auto blocks = options.blocks.find(name.name);
  const auto type = options.types.find(name.name);
  planned.wanted = blocks != options.blocks.end() ? gguf_type(blocks->second.format)
                   : type != options.types.end()  ? type->second
                                                  : options.type;
  if (shape.rank() == 1) {
    if (blocks != options.blocks.end())
      return Error(ErrorCode::unsupported, subject, "the engine reads vectors in F32 only", "quantize matrices only");
    planned.type = GgufType::f32;
    if (planned.wanted != GgufType::f32) planned.reason = "vectors stay F32";
  } else {
    if (blocks != options.blocks.end() && blocks->second.shape != shape)
      return Error(ErrorCode::invalid_shape, subject,
                   fmt::format("its blocks are {}, the decoder needs {}", blocks->second.shape, shape),
                   "quantize the weights of this decoder");
    auto choice = gguf_type_for_rows(planned.wanted, shape.sizes().back());
    planned.type = choice.type;
    planned.reason = std::move(choice.reason);
  }
  if (!can_make(planned.type))
    return Error(ErrorCode::unsupported, subject, fmt::format("{} cannot be made here", planned.type),
                 "choose F32, F16, BF16 or one of quant::block_formats");
  MCOMP_TRY(bytes, gguf_bytes(planned.type, shape, subject));
  planned.bytes = bytes;
  planned.reorder = name.rotary_heads > 0 && options.model.pairing == graph::RotaryPairing::half_split;
  return planned;
}

/// Rows of each head from halves (j, j + d/2) to neighbours (2j, 2j + 1).
std::vector<std::byte> interleave(const std::vector<std::byte>& bytes, std::int64_t rows, std::int64_t head_size) {
  std::vector<std::byte> result(bytes.size());
  const std::size_t row_bytes = rows == 0 ? 0 : bytes.size() / static_cast<std::size_t>(rows);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t head = row / head_size, j = row % head_size, half = head_size / 2;
    const std::int64_t target = head * head_size + (j < half ? 2 * j : 2 * (j - half) + 1);
    std::memcpy(result.data() + static_cast<std::size_t>(target) * row_bytes,
                bytes.data() + static_cast<std::size_t>(row) * row_bytes, row_bytes);
  }
  return result;
}

std::vector<std::byte> bytes_of(const Tensor& tensor) {
  const auto* begin = static_cast<const std::byte*>(tensor.data());
  return {begin, begin + tensor.bytes()};
}

template <class Half> Result<std::vector<std::byte>> narrowed(const Tensor& tensor, Half (*convert)(float)) {
  const auto values = tensor.values<float>("weights");
  std::vector<std::byte> bytes(values->size() * sizeof(Half));
  for (std::size_t i = 0; i < values->size(); ++i) {
    const Half half_value = convert((*values)[i]);
    if (!std::isfinite(to_float(half_value)))
      return Error(ErrorCode::invalid_value, "weights", fmt::format("element {} is {}, too large", i, (*values)[i]),
                   "store the tensor as F32");
    std::memcpy(bytes.data() + i * sizeof(Half), &half_value, sizeof(Half));
  }
  return bytes;
}

/// The bytes of one tensor, rows in Hugging Face's order.
Result<std::vector<std::byte>> encode(const GgufPlannedTensor& planned, const LlamaGgufOptions& options,
                                      const TensorStore& weights, const Context& context) {
  if (const auto given = options.blocks.find(planned.name); given != options.blocks.end())
    if (gguf_type(given->second.format) == planned.type) return bytes_of(given->second.bytes);
  MCOMP_TRY(view, weights.find(planned.name));
  if (view.shape() != planned.shape || !is_floating(view.dtype()))
    return Error(ErrorCode::invalid_shape, "weights", fmt::format("{}, f32 {} is needed", view, planned.shape),
                 "pass the weights of this decoder");
  MCOMP_TRY(values, to_f32(view, planned.name));
  MCOMP_CHECK(require_finite(values, "weights"));
  if (planned.type == GgufType::f32) return bytes_of(values);
  if (planned.type == GgufType::f16) return narrowed<half>(values, to_half);
  if (planned.type == GgufType::bf16) return narrowed<bfloat16>(values, to_bfloat16);
  MCOMP_TRY(format, quant::block_format_from_gguf_type(static_cast<std::uint32_t>(planned.type)));
  MCOMP_TRY(blocks, quant::quantize_blocks(values, format, {.search = options.search}, context));
  return bytes_of(blocks.bytes);
}

std::vector<GgufSource> sources_of(const LlamaGgufPlan& plan) {
  std::vector<GgufSource> sources;
  for (const GgufPlannedTensor& tensor : plan.tensors)
    sources.push_back({.name = tensor.stored, .type = tensor.type, .shape = tensor.shape});
  return sources;
}

} // namespace

GgufTypeChoice gguf_type_for_rows(GgufType wanted, std::int64_t row_length) {
  const std::int64_t block = gguf_type_info(wanted).block_size;
  if (row_length % block == 0) return {wanted, {}};
  const std::string why = fmt::format("rows of {} are not whole blocks of {} ({})", row_length, block, wanted);
  const auto second = substitute(wanted);
  if (!second) return {GgufType::f16, fmt::format("{}, which has no substitute: F16", why)};
  if (row_length % gguf_type_info(*second).block_size == 0)
    return {*second, fmt::format("{}: llama.cpp's substitute", why)};
  return {GgufType::f16, fmt::format("{}, nor of its substitute {}: F16", why, *second)};
}

Result<LlamaGgufPlan> plan_llama_gguf(LlamaGgufOptions options) {
  MCOMP_TRY(network, graph::llama(options.model));
  MCOMP_TRY(shapes, graph::infer_shapes(network));
  graph::LlamaOptions& model = options.model;
  if (model.kv_heads == 0) model.kv_heads = model.heads;
  if (model.head_size == 0) model.head_size = model.features / model.heads;
  if (options.tokenizer && static_cast<std::int64_t>(options.tokenizer->tokens.size()) != model.vocabulary)
    return Error(ErrorCode::invalid_argument, "tokenizer",
                 fmt::format("{} tokens, the model has {}", options.tokenizer->tokens.size(), model.vocabulary),
                 "give the vocabulary of this model");
  const auto names = detail::llama_tensor_names(model);
  MCOMP_CHECK(check_names(options, names));
  const auto by_name = tensor_shapes(network, shapes);
  LlamaGgufPlan plan;
  plan.metadata = metadata_of(options);
  std::int64_t bytes = 0, elements = 0;
  bool quantized = false;
  for (const auto& name : names) {
    MCOMP_TRY(planned, plan_tensor(options, name, by_name.at(name.name)));
    bytes += planned.bytes;
    elements += planned.shape.elements();
    quantized = quantized || is_quantized(planned.type);
    plan.tensors.push_back(std::move(planned));
  }
  if (quantized) plan.metadata.emplace_back(detail::gguf_quantization_key, std::uint32_t{2});
  plan.bits_per_weight = 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
  plan.options = std::move(options);
  MCOMP_TRY(file_bytes, gguf_file_bytes(plan.metadata, sources_of(plan)));
  plan.file_bytes = file_bytes;
  return plan;
}

Status write_llama_gguf(const std::filesystem::path& path, const LlamaGgufPlan& plan, const TensorStore& weights,
                        const Context& context) {
  std::vector<GgufSource> sources = sources_of(plan);
  for (std::size_t i = 0; i < sources.size(); ++i)
    sources[i].make = [&, i]() -> Result<std::vector<std::byte>> {
      const GgufPlannedTensor& tensor = plan.tensors[i];
      MCOMP_CHECK(context.check("write GGUF"));
      MCOMP_TRY(bytes, encode(tensor, plan.options, weights, context));
      context.report("write GGUF", static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(plan.tensors.size()));
      return tensor.reorder ? interleave(bytes, tensor.shape[0], plan.options.model.head_size) : std::move(bytes);
    };
  return write_gguf(path, plan.metadata, sources);
}

std::string to_string(const LlamaGgufPlan& plan) {
  std::string text = fmt::format("{}: {} tensors, {} bytes, {:.3f} bits per weight", plan.options.model.name,
                                 plan.tensors.size(), plan.file_bytes, plan.bits_per_weight);
  for (const GgufPlannedTensor& tensor : plan.tensors)
    text += fmt::format("\n  {:<26} {:<14} {:<7} {:>10}{}{}", tensor.stored, tensor.shape, tensor.type, tensor.bytes,
                        tensor.reason.empty() ? "" : "  ", tensor.reason);
  return text;
}

} // namespace mcomp::inline v0::io
