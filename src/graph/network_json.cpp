#include "core/json.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/network.hpp"

namespace mcomp::inline v0::graph {

using detail::Json;
using detail::ObjectReader;

namespace {

constexpr const char* schema = "mcomp-network-1";

constexpr std::array<std::pair<ActivationKind, const char*>, 6> activation_names{{{ActivationKind::relu, "relu"},
                                                                                  {ActivationKind::relu6, "relu6"},
                                                                                  {ActivationKind::sigmoid, "sigmoid"},
                                                                                  {ActivationKind::tanh, "tanh"},
                                                                                  {ActivationKind::silu, "silu"},
                                                                                  {ActivationKind::gelu, "gelu"}}};
constexpr std::array<std::pair<PoolingKind, const char*>, 2> pooling_names{
    {{PoolingKind::max, "max"}, {PoolingKind::average, "average"}}};

constexpr std::array<std::pair<RotaryPairing, const char*>, 2> pairing_names{
    {{RotaryPairing::interleaved, "interleaved"}, {RotaryPairing::half_split, "half_split"}}};
constexpr std::array<std::pair<InputKind, const char*>, 2> input_names{
    {{InputKind::values, "values"}, {InputKind::tokens, "tokens"}}};

template <class Names, class Kind> const char* name_of(const Names& names, Kind kind) {
  for (const auto& [value, name] : names)
    if (value == kind) return name;
  return "";
}

struct OperationWriter {
  Json& json;
  void operator()(const Convolution& c) const {
    json["out_channels"] = c.out_channels;
    json["kernel"] = c.kernel;
    json["stride"] = c.stride;
    json["padding"] = c.padding;
    json["groups"] = c.groups;
    json["weight"] = c.weight;
    if (!c.bias.empty()) json["bias"] = c.bias;
  }
  void operator()(const Linear& l) const {
    json["out_features"] = l.out_features;
    json["weight"] = l.weight;
    if (!l.bias.empty()) json["bias"] = l.bias;
  }
  void operator()(const BatchNorm& b) const {
    json["epsilon"] = b.epsilon;
    json["weight"] = b.weight;
    json["bias"] = b.bias;
    json["running_mean"] = b.running_mean;
    json["running_var"] = b.running_var;
  }
  void operator()(const Activation& a) const { json["kind"] = name_of(activation_names, a.kind); }
  void operator()(const Add&) const {}
  void operator()(const Pooling& p) const {
    json["kind"] = name_of(pooling_names, p.kind);
    if (p.global) {
      json["global"] = true;
      return;
    }
    json["kernel"] = p.kernel;
    json["stride"] = p.stride;
    json["padding"] = p.padding;
  }
  void operator()(const Flatten&) const {}
  void operator()(const SubsamplePad& s) const {
    json["stride"] = s.stride;
    json["channels_before"] = s.channels_before;
    json["channels_after"] = s.channels_after;
  }
  void operator()(const Softmax&) const {}
  void operator()(const Multiply&) const {}
  void operator()(const Embedding& e) const {
    json["vocabulary"] = e.vocabulary;
    json["features"] = e.features;
    json["weight"] = e.weight;
  }
  void operator()(const RmsNorm& n) const {
    json["epsilon"] = n.epsilon;
    json["weight"] = n.weight;
  }
  void operator()(const RotaryEmbedding& r) const {
    json["heads"] = r.heads;
    json["theta"] = r.theta;
    json["pairing"] = name_of(pairing_names, r.pairing);
  }
  void operator()(const Attention& a) const {
    json["heads"] = a.heads;
    json["kv_heads"] = a.kv_heads;
  }
};

Pair read_pair(ObjectReader& reader, const char* key, Pair fallback) {
  if (!reader.has(key)) return fallback;
  const auto values = reader.integers(key);
  if (values.size() != 2) {
    reader.fail(key, fmt::format("{} numbers, [height, width] is needed", values.size()), "write two whole numbers");
    return fallback;
  }
  return {values[0], values[1]};
}

template <class Names>
auto read_kind(ObjectReader& reader, const Names& names, const char* fallback, const char* key = "kind") {
  const std::string word = reader.text(key, fallback);
  for (const auto& [value, name] : names)
    if (word == name) return value;
  std::string known;
  for (const auto& [value, name] : names) known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  reader.fail(key, fmt::format("'{}' is not known", word), "use one of " + known);
  return names.front().first;
}

std::optional<Operation> read_decoder_operation(ObjectReader& reader, const std::string& op, const std::string& name) {
  if (op == "multiply") return Multiply{};
  if (op == "embedding") {
    Embedding e;
    e.vocabulary = reader.integer("vocabulary");
    e.features = reader.integer("features");
    e.weight = reader.text("weight", name + ".weight");
    return e;
  }
  if (op == "rms_norm") {
    RmsNorm n;
    n.epsilon = reader.number("epsilon", 1e-5);
    n.weight = reader.text("weight", name + ".weight");
    return n;
  }
  if (op == "rotary_embedding") {
    RotaryEmbedding r;
    r.heads = reader.integer("heads");
    r.theta = reader.number("theta", 10000);
    r.pairing = read_kind(reader, pairing_names, "interleaved", "pairing");
    return r;
  }
  if (op == "attention") {
    Attention a;
    a.heads = reader.integer("heads");
    a.kv_heads = reader.integer("kv_heads", a.heads);
    return a;
  }
  return std::nullopt;
}

Operation read_operation(ObjectReader& reader, const std::string& op, const std::string& name) {
  if (auto decoder = read_decoder_operation(reader, op, name)) return *std::move(decoder);
  if (op == "convolution") {
    Convolution c;
    c.out_channels = reader.integer("out_channels");
    if (!reader.has("kernel")) reader.fail("kernel", "the key is missing", "add it: [height, width]");
    c.kernel = read_pair(reader, "kernel", {1, 1});
    c.stride = read_pair(reader, "stride", {1, 1});
    c.padding = read_pair(reader, "padding", {0, 0});
    c.groups = reader.integer("groups", 1);
    c.weight = reader.text("weight", name + ".weight");
    c.bias = reader.text("bias", "");
    return c;
  }
  if (op == "linear") {
    Linear l;
    l.out_features = reader.integer("out_features");
    l.weight = reader.text("weight", name + ".weight");
    l.bias = reader.text("bias", "");
    return l;
  }
  if (op == "batch_norm") {
    BatchNorm b;
    b.epsilon = reader.number("epsilon", 1e-5);
    b.weight = reader.text("weight", name + ".weight");
    b.bias = reader.text("bias", name + ".bias");
    b.running_mean = reader.text("running_mean", name + ".running_mean");
    b.running_var = reader.text("running_var", name + ".running_var");
    return b;
  }
  if (op == "activation") return Activation{read_kind(reader, activation_names, "relu")};
  if (op == "add") return Add{};
  if (op == "pooling") {
    Pooling p;
    p.kind = read_kind(reader, pooling_names, "average");
    p.global = reader.boolean("global", false);
    p.kernel = read_pair(reader, "kernel", {1, 1});
    p.stride = read_pair(reader, "stride", p.kernel);
    p.padding = read_pair(reader, "padding", {0, 0});
    return p;
  }
  if (op == "flatten") return Flatten{};
  if (op == "subsample_pad") {
    SubsamplePad s;
    s.stride = read_pair(reader, "stride", {1, 1});
    s.channels_before = reader.integer("channels_before", 0);
    s.channels_after = reader.integer("channels_after", 0);
    return s;
  }
  if (op == "softmax") return Softmax{};
  reader.fail("op", fmt::format("'{}' is not known", op),
              "use one of convolution, linear, batch_norm, activation, add, pooling, flatten, subsample_pad, softmax, "
              "multiply, embedding, rms_norm, rotary_embedding, attention");
  return Flatten{};
}

} // namespace

std::string to_json(const Network& network) {
  Json json;
  json["schema"] = schema;
  json["name"] = network.name;
  if (network.input.kind == InputKind::tokens)
    json["input"] = {{"kind", name_of(input_names, network.input.kind)}, {"shape", network.input.shape.sizes()}};
  else
    json["input"] = {{"shape", network.input.shape.sizes()},
                     {"scale", network.input.scale},
                     {"mean", network.input.mean},
                     {"std", network.input.stddev}};
  json["layers"] = Json::array();
  for (const Layer& layer : network.layers) {
    Json entry{{"name", layer.name}, {"op", operation_name(layer.operation)}, {"inputs", layer.inputs}};
    std::visit(OperationWriter{entry}, layer.operation);
    json["layers"].push_back(std::move(entry));
  }
  json["output"] = network.output;
  return json.dump(1);
}

Result<Network> network_from_json(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, detail::parse_json(text, subject));
  ObjectReader reader(json, subject);
  if (const std::string found = reader.text("schema"); found != schema)
    reader.fail("schema", fmt::format("'{}' is not '{}'", found, schema), "give a description of that schema");
  Network network;
  network.name = reader.text("name");
  if (const Json* input = reader.child("input")) {
    ObjectReader part(*input, reader.where("input"));
    network.input.kind = read_kind(part, input_names, "values");
    network.input.shape = Shape(part.integers("shape"));
    network.input.scale = part.number("scale", 1.0 / 255);
    if (part.has("mean")) network.input.mean = part.numbers("mean");
    if (part.has("std")) network.input.stddev = part.numbers("std");
    MCOMP_CHECK(part.finish());
  } else {
    reader.fail("input", "the key is missing", "add it");
  }
  for (const Json& entry : reader.array("layers")) {
    const std::string where = fmt::format("{}: layer {}", subject, network.layers.size());
    ObjectReader part(entry, where);
    Layer layer;
    layer.name = part.text("name");
    const std::string op = part.text("op");
    if (part.has("inputs"))
      layer.inputs = part.texts("inputs");
    else
      layer.inputs = {network.layers.empty() ? std::string(network_input) : network.layers.back().name};
    layer.operation = read_operation(part, op, layer.name);
    MCOMP_CHECK(part.finish());
    network.layers.push_back(std::move(layer));
  }
  network.output = reader.text("output", network.layers.empty() ? "" : network.layers.back().name);
  MCOMP_CHECK(reader.finish());
  if (const auto shapes = infer_shapes(network); !shapes) return shapes.error().within(subject);
  return network;
}

} // namespace mcomp::inline v0::graph
