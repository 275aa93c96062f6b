#include "mcomp/graph/llama.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::graph {

namespace {

const std::string embedding_name = "model.embed_tokens", head_name = "lm_head";

class Builder {
 public:
  Builder(Network& network, const LlamaOptions& options) : network_(network), o_(options) {}

  std::string add(const std::string& name, Operation operation, std::vector<std::string> inputs) {
    network_.layers.push_back({name, std::move(operation), std::move(inputs)});
    return name;
  }
  std::string norm(const std::string& name, const std::string& x) {
    return add(name, RmsNorm{o_.epsilon, name + ".weight"}, {x});
  }
  std::string linear(const std::string& name, std::int64_t out, const std::string& x) {
    return add(name, Linear{out, name + ".weight", ""}, {x});
  }

  std::string attention(const std::string& block, const std::string& x) {
    const std::string prefix = block + "self_attn.";
    const std::string in = norm(block + "input_layernorm", x);
    const std::string q = linear(prefix + "q_proj", o_.heads * o_.head_size, in);
    const std::string k = linear(prefix + "k_proj", o_.kv_heads * o_.head_size, in);
    const std::string v = linear(prefix + "v_proj", o_.kv_heads * o_.head_size, in);
    const std::string turned_q = add(prefix + "q_rotary", RotaryEmbedding{o_.heads, o_.theta, o_.pairing}, {q});
    const std::string turned_k = add(prefix + "k_rotary", RotaryEmbedding{o_.kv_heads, o_.theta, o_.pairing}, {k});
    const std::string mixed = add(prefix + "attention", Attention{o_.heads, o_.kv_heads}, {turned_q, turned_k, v});
    return add(prefix + "residual", Add{}, {x, linear(prefix + "o_proj", o_.features, mixed)});
  }

  std::string feed_forward(const std::string& block, const std::string& x) {
    const std::string prefix = block + "mlp.";
    const std::string in = norm(block + "post_attention_layernorm", x);
    const std::string gate =
        add(prefix + "act", Activation{ActivationKind::silu}, {linear(prefix + "gate_proj", o_.hidden, in)});
    const std::string gated = add(prefix + "gated", Multiply{}, {gate, linear(prefix + "up_proj", o_.hidden, in)});
    return add(prefix + "residual", Add{}, {x, linear(prefix + "down_proj", o_.features, gated)});
  }

 private:
  Network& network_;
  const LlamaOptions& o_;
};

/// The number that follows a word in a line of metadata: "eps 1e-5".
std::optional<double> number_after(const std::string& text, std::string_view word) {
  auto at = text.find(word);
  if (at == std::string::npos) return std::nullopt;
  at = text.find_first_not_of(" =:", at + word.size());
  if (at == std::string::npos) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

/// Reads hints out of the metadata of a file.
class Metadata {
 public:
  explicit Metadata(const std::map<std::string, std::string>& values) : values_(values) {}

  [[nodiscard]] std::optional<double> number(const std::string& key, std::string_view word) const {
    const auto found = values_.find(key);
    return found == values_.end() ? std::nullopt : number_after(found->second, word);
  }
  [[nodiscard]] Result<std::optional<std::int64_t>> integer(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return std::optional<std::int64_t>();
    const std::string& text = found->second;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value <= 0)
      return Error(ErrorCode::corrupt, fmt::format("metadata '{}'", key),
                   fmt::format("'{}' is not a positive whole number", text), "repair the metadata");
    return std::optional(value);
  }
  [[nodiscard]] bool is(const std::string& key, std::string_view text) const {
    const auto found = values_.find(key);
    return found != values_.end() && found->second == text;
  }
  [[nodiscard]] std::optional<RotaryPairing> pairing() const {
    const auto found = values_.find("rope");
    if (found == values_.end()) return std::nullopt;
    if (found->second.find("interleaved") != std::string::npos) return RotaryPairing::interleaved;
    if (found->second.find("half") != std::string::npos) return RotaryPairing::half_split;
    return std::nullopt;
  }

 private:
  const std::map<std::string, std::string>& values_;
};

Result<Shape> matrix_shape(const TensorStore& weights, const std::string& name) {
  MCOMP_TRY(view, weights.find(name));
  if (view.rank() != 2 || view.size(0) <= 0 || view.size(1) <= 0)
    return Error(ErrorCode::invalid_shape, fmt::format("tensor '{}'", name),
                 fmt::format("shape {} is not [out, in]", view.shape()), "use the weights of a decoder");
  return view.shape();
}

std::int64_t count_layers(const TensorStore& weights) {
  std::int64_t layers = 0;
  while (weights.contains(fmt::format("model.layers.{}.self_attn.q_proj.weight", layers))) ++layers;
  return layers;
}

Status fill_heads(LlamaOptions& options, const TensorStore& weights, std::optional<std::int64_t> heads,
                  std::optional<std::int64_t> kv_heads) {
  const std::string first = "model.layers.0.self_attn.";
  MCOMP_TRY(q, matrix_shape(weights, first + "q_proj.weight"));
  MCOMP_TRY(k, matrix_shape(weights, first + "k_proj.weight"));
  if (!heads)
    return Error(ErrorCode::not_found, "heads", "neither the hints nor the metadata tell how many there are",
                 "give LlamaHints::heads (num_attention_heads of the model's configuration)");
  if (*heads <= 0 || q[0] % *heads != 0 || k[0] % (q[0] / *heads) != 0)
    return Error(ErrorCode::invalid_shape, fmt::format("tensor '{}q_proj.weight'", first),
                 fmt::format("{} query rows and {} key rows do not divide into {} heads", q[0], k[0], *heads),
                 "give the number of heads of this model");
  options.heads = *heads;
  options.head_size = q[0] / *heads;
  options.kv_heads = k[0] / options.head_size;
  if (kv_heads && *kv_heads != options.kv_heads)
    return Error(ErrorCode::corrupt, "metadata 'kv_heads'",
                 fmt::format("it says {}, the shapes say {}", *kv_heads, options.kv_heads), "repair the metadata");
  return {};
}

/// A tensor of a layer that the network would leave out changes the model's function.
Status check_all_used(const LlamaOptions& options, const TensorStore& weights) {
  MCOMP_TRY(network, llama(options));
  std::vector<std::string> used = tensor_names(network);
  std::sort(used.begin(), used.end());
  for (const std::string& name : weights.names()) {
    const bool derived = name.ends_with(".rotary_emb.inv_freq"); // older files store theta^(-2j / d)
    if (!derived && (name.starts_with("model.") || name.starts_with(head_name)) &&
        !std::binary_search(used.begin(), used.end(), name))
      return Error(ErrorCode::unsupported, fmt::format("tensor '{}'", name), "a Llama decoder has no such tensor",
                   "describe this network layer by layer instead");
  }
  return {};
}

} // namespace

Result<Network> llama(const LlamaOptions& options) {
  LlamaOptions o = options;
  const auto refuse = [](std::string subject, std::string rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, std::move(subject), std::move(rule), remedy);
  };
  constexpr std::int64_t most = std::int64_t{1} << 31; // keeps every product below far from overflow
  const std::pair<const char*, std::int64_t> sizes[] = {{"vocabulary", o.vocabulary}, {"features", o.features},
                                                        {"hidden", o.hidden},         {"layers", o.layers},
                                                        {"heads", o.heads},           {"context", o.context}};
  for (const auto& [name, value] : sizes)
    if (value <= 0 || value > most)
      return refuse(name, fmt::format("{} is not within 1 and 2^31", value), "give the sizes of the model");
  if (o.layers > 10'000) return refuse("layers", fmt::format("{}", o.layers), "give at most 10,000");
  if (o.head_size == 0 && o.features % o.heads != 0)
    return refuse("heads", fmt::format("{} features do not divide into {} heads", o.features, o.heads),
                  "give head_size too");
  if (o.head_size == 0) o.head_size = o.features / o.heads;
  if (o.kv_heads == 0) o.kv_heads = o.heads;
  if (o.head_size < 0 || o.head_size > most || o.kv_heads < 0 || o.kv_heads > o.heads)
    return refuse("heads", fmt::format("{} key heads of {}, {} features each", o.kv_heads, o.heads, o.head_size),
                  "give no more key heads than heads");
  Network network;
  network.name = o.name;
  network.input = Input{.shape = {o.context}, .kind = InputKind::tokens};
  Builder build(network, o);
  std::string x = build.add(embedding_name, Embedding{o.vocabulary, o.features, embedding_name + ".weight"},
                            {std::string(network_input)});
  for (std::int64_t layer = 0; layer < o.layers; ++layer) {
    const std::string block = fmt::format("model.layers.{}.", layer);
    x = build.feed_forward(block, build.attention(block, x));
  }
  x = build.norm("model.norm", x);
  const std::string& head = o.tied ? embedding_name : head_name;
  network.output = build.add(head_name, Linear{o.vocabulary, head + ".weight", ""}, {x});
  MCOMP_TRY(shapes, infer_shapes(network));
  static_cast<void>(shapes);
  return network;
}

Result<LlamaOptions> llama_options(const TensorStore& weights, const std::map<std::string, std::string>& metadata,
                                   const LlamaHints& hints) {
  const Metadata known(metadata);
  LlamaOptions options;
  MCOMP_TRY(table, matrix_shape(weights, embedding_name + ".weight"));
  options.vocabulary = table[0];
  options.features = table[1];
  options.layers = count_layers(weights);
  options.tied = !weights.contains(head_name + ".weight");
  if (options.tied && known.is("tied_head", "0"))
    return Error(ErrorCode::not_found, fmt::format("tensor '{}.weight'", head_name),
                 "the metadata say that the head is not tied, but it is missing", "give all tensors of the model");
  MCOMP_TRY(gate, matrix_shape(weights, "model.layers.0.mlp.gate_proj.weight"));
  options.hidden = gate[0];
  MCOMP_TRY(heads, known.integer("heads"));
  MCOMP_TRY(kv_heads, known.integer("kv_heads"));
  MCOMP_TRY(context, known.integer("context"));
  MCOMP_CHECK(fill_heads(options, weights, hints.heads ? hints.heads : heads, kv_heads));
  options.context = hints.context.value_or(context.value_or(options.context));
  const auto epsilon = known.number("norm", "eps"), theta = known.number("rope", "theta");
  options.epsilon = hints.epsilon.value_or(epsilon.value_or(options.epsilon));
  options.theta = hints.theta.value_or(theta.value_or(options.theta));
  options.pairing = hints.pairing.value_or(known.pairing().value_or(options.pairing));
  MCOMP_CHECK(check_all_used(options, weights));
  MCOMP_TRY(network, llama(options));
  MCOMP_CHECK(check_weights(network, weights));
  return options;
}

} // namespace mcomp::inline v0::graph
