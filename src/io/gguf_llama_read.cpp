#include <map>

#include "core/try.hpp"
#include "io/gguf_llama_names.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/io/gguf_llama.hpp"
#include "mcomp/quant/block_activations.hpp"

namespace mcomp::inline v0::io {

namespace {

Result<double> number(const GgufFile& file, const std::string& key, double fallback) {
  const GgufValue* value = file.find(key);
  if (!value) return fallback;
  if (const auto* f = std::get_if<float>(value)) return static_cast<double>(*f);
  return file.get<double>(key);
}

Result<std::int64_t> integer(const GgufFile& file, const std::string& key, std::optional<std::int64_t> fallback = {}) {
  if (fallback && !file.find(key)) return *fallback;
  return file.get_integer(key);
}

Result<graph::LlamaOptions> read_options(const GgufFile& file) {
  const auto unsupported = [](const char* subject, std::string rule) {
    return Error(ErrorCode::unsupported, subject, std::move(rule), "describe this network layer by layer instead");
  };
  MCOMP_TRY(architecture, file.get<std::string>("general.architecture"));
  if (architecture != detail::llama_architecture)
    return unsupported("general.architecture", fmt::format("it is '{}', not 'llama'", architecture));
  if (const GgufValue* scaling = file.find("llama.rope.scaling.type"))
    if (const auto* type = std::get_if<std::string>(scaling); !type || *type != "none")
      return unsupported("llama.rope.scaling.type", "the rotary embedding is scaled");
  graph::LlamaOptions model;
  if (const GgufValue* name = file.find("general.name"))
    if (const auto* text = std::get_if<std::string>(name)) model.name = *text;
  const auto read = [&](std::int64_t& target, const char* key, std::optional<std::int64_t> fallback = {}) -> Status {
    MCOMP_TRY(value, integer(file, key, fallback));
    target = value;
    return {};
  };
  MCOMP_TRY(table, file.find_tensor("token_embd.weight"));
  if (table.shape.rank() != 2)
    return Error(ErrorCode::invalid_shape, "tensor 'token_embd.weight'",
                 fmt::format("shape {} is not [vocabulary, features]", table.shape), "use the file of a decoder");
  model.vocabulary = table.shape[0];
  MCOMP_CHECK(read(model.context, "llama.context_length"));
  MCOMP_CHECK(read(model.features, "llama.embedding_length"));
  MCOMP_CHECK(read(model.layers, "llama.block_count"));
  if (model.layers > static_cast<std::int64_t>(file.tensors.size())) // before anything is built for so many
    return Error(ErrorCode::not_found, "llama.block_count",
                 fmt::format("{} blocks, but the file has {} tensors", model.layers, file.tensors.size()),
                 "obtain the file anew");
  MCOMP_CHECK(read(model.hidden, "llama.feed_forward_length"));
  MCOMP_CHECK(read(model.heads, "llama.attention.head_count"));
  MCOMP_CHECK(read(model.kv_heads, "llama.attention.head_count_kv", model.heads));
  MCOMP_CHECK(read(model.head_size, "llama.attention.key_length", 0));
  if (model.head_size == 0 && model.heads > 0) model.head_size = model.features / model.heads;
  MCOMP_TRY(turned, integer(file, "llama.rope.dimension_count", model.head_size));
  if (turned != model.head_size)
    return unsupported("llama.rope.dimension_count",
                       fmt::format("{} of {} features of a head are turned", turned, model.head_size));
  MCOMP_TRY(epsilon, number(file, "llama.attention.layer_norm_rms_epsilon", model.epsilon));
  MCOMP_TRY(theta, number(file, "llama.rope.freq_base", model.theta));
  model.epsilon = epsilon;
  model.theta = theta;
  model.pairing = graph::RotaryPairing::interleaved;
  model.tied = !file.find_tensor("output.weight");
  return model;
}

/// A tokenizer of another kind, or none, is left out.
Result<std::optional<TokenList>> read_tokenizer(const GgufFile& file) {
  const GgufValue* model = file.find("tokenizer.ggml.model");
  const auto* name = model ? std::get_if<std::string>(model) : nullptr;
  if (!name || *name != "llama") return std::optional<TokenList>();
  MCOMP_TRY(pieces, file.get_array<std::string>("tokenizer.ggml.tokens"));
  MCOMP_TRY(scores, file.get_array<float>("tokenizer.ggml.scores"));
  MCOMP_TRY(kinds, file.get_array<std::int32_t>("tokenizer.ggml.token_type"));
  if (scores.size() != pieces.size() || kinds.size() != pieces.size())
    return Error(ErrorCode::corrupt, "tokenizer.ggml.tokens",
                 fmt::format("{} tokens, {} scores, {} types", pieces.size(), scores.size(), kinds.size()),
                 "obtain the file anew");
  TokenList list;
  for (std::size_t i = 0; i < pieces.size(); ++i)
    list.tokens.push_back({std::move(pieces[i]), scores[i], static_cast<TokenKind>(kinds[i])});
  const auto special = [&](std::int32_t& target, const char* key) -> Status {
    MCOMP_TRY(id, integer(file, key, target));
    if (!std::in_range<std::int32_t>(id))
      return Error(ErrorCode::corrupt, key, fmt::format("{} is no token", id), "obtain the file anew");
    target = static_cast<std::int32_t>(id);
    return {};
  };
  MCOMP_CHECK(special(list.unknown, "tokenizer.ggml.unknown_token_id"));
  MCOMP_CHECK(special(list.begin, "tokenizer.ggml.bos_token_id"));
  MCOMP_CHECK(special(list.end, "tokenizer.ggml.eos_token_id"));
  return std::optional(std::move(list));
}

/// The tensors of a decoder in the order of `names`, and no others.
Result<std::vector<const GgufTensor*>> tensors_of(const GgufFile& file,
                                                  const std::vector<detail::LlamaTensorName>& names) {
  std::map<std::string_view, const GgufTensor*> stored;
  for (const GgufTensor& tensor : file.tensors) stored.emplace(tensor.name, &tensor);
  std::vector<const GgufTensor*> result;
  for (const auto& name : names) {
    const auto found = stored.find(name.stored);
    if (found == stored.end()) return file.find_tensor(name.stored).error();
    result.push_back(found->second);
    stored.erase(found);
  }
  if (!stored.empty())
    return Error(ErrorCode::unsupported, fmt::format("tensor '{}'", stored.begin()->first),
                 "a Llama decoder has no such tensor", "describe this network layer by layer instead");
  return result;
}

template <class Half> void round_to(std::span<float> values, Half (*convert)(float)) {
  for (float& x : values) x = to_float(convert(x));
}

} // namespace

Result<LlamaGguf> llama_from_gguf(const GgufFile& file) {
  LlamaGguf result;
  MCOMP_TRY(model, read_options(file));
  result.model = std::move(model);
  MCOMP_TRY(network, graph::llama(result.model)); // before names are made: sizes are then within bounds
  const auto names = detail::llama_tensor_names(result.model);
  MCOMP_TRY(tensors, tensors_of(file, names));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i].name;
    const GgufTensor& tensor = *tensors[i];
    if (is_quantized(tensor.type)) {
      MCOMP_TRY(blocks, as_blocks(tensor));
      MCOMP_TRY(values, quant::dequantize_blocks(blocks));
      result.weights.put(name, std::move(values));
      result.blocks.emplace(name, std::move(blocks));
    } else {
      MCOMP_TRY(values, as_numbers(tensor));
      result.weights.put(name, std::move(values));
    }
  }
  MCOMP_TRY(tokenizer, read_tokenizer(file));
  result.tokenizer = std::move(tokenizer);
  MCOMP_CHECK(graph::check_weights(network, result.weights));
  return result;
}

Result<std::unique_ptr<graph::Runner>> engine_runner(const LlamaGguf& decoder, Executor* executor) {
  MCOMP_TRY(network, graph::llama(decoder.model));
  std::map<std::string, quant::BlockFormat> formats;
  std::map<std::string, DType> narrow;
  for (const auto& [name, blocks] : decoder.blocks) formats.emplace(name, blocks.format);
  for (const std::string& name : decoder.weights.names())
    if (const DType dtype = decoder.weights.find(name)->dtype(); dtype == DType::f16 || dtype == DType::bf16)
      narrow.emplace(name, dtype);
  graph::ReferenceOptions options{.executor = executor};
  options.before_linear = [formats = std::move(formats),
                           narrow = std::move(narrow)](const graph::Layer& layer, std::span<float> rows, std::int64_t) {
    const std::string& weight = std::get<graph::Linear>(layer.operation).weight;
    if (const auto format = formats.find(weight); format != formats.end())
      quant::round_activations(format->second, rows);
    else if (const auto dtype = narrow.find(weight); dtype != narrow.end())
      dtype->second == DType::f16 ? round_to<half>(rows, to_half) : round_to<bfloat16>(rows, to_bfloat16);
  };
  return graph::reference_runner(std::move(network), decoder.weights, options);
}

} // namespace mcomp::inline v0::io
