#include <algorithm>
#include <map>
#include <set>

#include "compress/strategies/builtin.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/rotation.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

constexpr const char* strategy = "rotate";

using graph::Layer;
using graph::Linear;
using graph::Network;

Result<std::uint64_t> read_seed(const std::string& text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, strategy));
  ObjectReader reader(json, strategy);
  const std::int64_t seed = reader.integer("seed", 1);
  if (seed < 0) reader.fail("seed", fmt::format("{}", seed), "give a number of zero or more");
  MCOMP_CHECK(reader.finish());
  return static_cast<std::uint64_t>(seed);
}

/// A linear layer that reads the residual stream, through a normalization or not.
struct Reader {
  std::string layer, tensor;
  std::string norm; ///< weight of the normalization; empty: none
};

/// The residual stream of a decoder: who makes it, adds to it and reads it.
struct Stream {
  std::string table; ///< of the embedding
  std::int64_t features = 0;
  std::vector<std::string> norms; ///< weights
  std::vector<Reader> readers;
  std::vector<std::string> writers; ///< layers
  std::string tied_head;            ///< layer that multiplies by the table; empty: none
};

class StreamFinder {
 public:
  explicit StreamFinder(const Network& network) : network_(network) {}

  Result<Stream> find() {
    for (const Layer& layer : network_.layers) {
      if (const auto* embedding = std::get_if<graph::Embedding>(&layer.operation)) {
        if (!stream_.table.empty()) return unfit(layer, "the network has a second embedding");
        stream_.table = embedding->weight;
        stream_.features = embedding->features;
        values_.insert(layer.name);
        continue;
      }
      const bool reads =
          std::any_of(layer.inputs.begin(), layer.inputs.end(), [&](const auto& i) { return values_.contains(i); });
      if (reads) MCOMP_CHECK(add(layer));
    }
    if (stream_.table.empty())
      return Error(ErrorCode::unsupported, strategy,
                   fmt::format("the network '{}' has no embedding: it is no decoder", network_.name),
                   "use equalize or smooth for other networks");
    if (values_.contains(network_.output))
      return unfit(*network_.find(network_.output), "the residual stream is the output of the network");
    MCOMP_CHECK(check_sharing());
    return std::move(stream_);
  }

 private:
  static Error unfit(const Layer& layer, const std::string& rule) {
    return {ErrorCode::unsupported, fmt::format("{}: layer '{}'", strategy, layer.name), rule,
            "rotate decoders whose residual stream is read by normalizations and linear layers alone"};
  }

  Status add(const Layer& layer) {
    if (std::holds_alternative<graph::Add>(layer.operation)) {
      for (const std::string& input : layer.inputs) {
        if (values_.contains(input)) continue;
        const Layer* writer = network_.find(input);
        if (!writer || !std::holds_alternative<Linear>(writer->operation) || network_.users(input).size() != 1)
          return unfit(layer, fmt::format("'{}', which it adds, is no linear layer of its own", input));
        stream_.writers.push_back(input);
      }
      values_.insert(layer.name);
      return {};
    }
    if (const auto* linear = std::get_if<Linear>(&layer.operation)) return read(layer, *linear, "");
    const auto* norm = std::get_if<graph::RmsNorm>(&layer.operation);
    if (!norm) return unfit(layer, fmt::format("{} reads the residual stream", graph::operation_name(layer.operation)));
    if (layer.name == network_.output) return unfit(layer, "a normalization is the output of the network");
    stream_.norms.push_back(norm->weight);
    for (const std::size_t user : network_.users(layer.name)) {
      const auto* linear = std::get_if<Linear>(&network_.layers[user].operation);
      if (!linear) return unfit(network_.layers[user], "it reads a normalization, and is no linear layer");
      MCOMP_CHECK(read(network_.layers[user], *linear, norm->weight));
    }
    return {};
  }

  Status read(const Layer& layer, const Linear& linear, const std::string& norm) {
    if (linear.weight == stream_.table) {
      if (!stream_.tied_head.empty()) return unfit(layer, "a second layer multiplies by the embedding's table");
      stream_.tied_head = layer.name;
    }
    stream_.readers.push_back({layer.name, linear.weight, norm});
    return {};
  }

  /// What is rotated must belong to one layer; the table may belong to the head too.
  Status check_sharing() const {
    std::map<std::string, int> uses;
    for (const Layer& layer : network_.layers)
      if (const auto names = graph::weight_names(layer.operation)) {
        ++uses[*names.weight];
        if (!names.bias->empty()) ++uses[*names.bias];
      }
    for (const Reader& reader : stream_.readers)
      if (uses[reader.tensor] != 1)
        return unfit(*network_.find(reader.layer), fmt::format("other layers use its weight '{}' too", reader.tensor));
    for (const std::string& writer : stream_.writers) {
      const auto names = graph::weight_names(network_.find(writer)->operation);
      if (uses[*names.weight] != 1 || (!names.bias->empty() && uses[*names.bias] != 1))
        return unfit(*network_.find(writer), "other layers use its tensors too");
      for (const Reader& reader : stream_.readers)
        if (reader.layer == writer) return unfit(*network_.find(writer), "it both reads and writes the stream");
    }
    return {};
  }

  const Network& network_;
  Stream stream_;
  std::set<std::string> values_; ///< layers whose outputs are the stream
};

/// The name that the head's own table gets.
std::string head_tensor(const Network& network, const Stream& stream) {
  const std::vector<std::string> names = graph::tensor_names(network);
  std::string name = stream.tied_head + ".weight";
  while (std::find(names.begin(), names.end(), name) != names.end()) name += "_untied";
  return name;
}

/// W diag(g); weights of normalizations may be negative or zero.
Result<Tensor> times_norm(const TensorView& weight, const std::string& tensor, const TensorView& norm) {
  MCOMP_TRY(w, to_f32(weight, tensor));
  MCOMP_TRY(g, to_f32(norm, "normalization"));
  auto values = w.mutable_values<float>();
  const auto factors = g.mutable_values<float>();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= factors[i % factors.size()];
  return std::move(w);
}

Result<Model> rotated(const Model& model, std::uint64_t seed) {
  MCOMP_CHECK(require_full_precision(strategy, model));
  MCOMP_TRY(stream, StreamFinder(model.network).find());
  MCOMP_TRY(rotation, quant::Rotation::random(stream.features, seed));
  Model result = model;
  const auto rotate_rows = [&](const std::string& tensor) -> Status {
    MCOMP_TRY(view, model.weights.find(tensor));
    MCOMP_TRY(values, to_f32(view, tensor));
    MCOMP_TRY(turned, rotation.rotate_rows(values));
    result.weights.put(tensor, std::move(turned));
    return {};
  };
  MCOMP_TRY(table, model.weights.find(stream.table));
  MCOMP_TRY(table_values, to_f32(table, stream.table));
  MCOMP_TRY(turned_table, rotation.rotate_columns(table_values));
  result.weights.put(stream.table, std::move(turned_table));
  for (const Reader& reader : stream.readers) {
    MCOMP_TRY(view, model.weights.find(reader.tensor));
    Tensor values;
    if (reader.norm.empty()) {
      MCOMP_TRY(plain, to_f32(view, reader.tensor));
      values = std::move(plain);
    } else {
      MCOMP_TRY(norm, model.weights.find(reader.norm));
      MCOMP_TRY(scaled, times_norm(view, reader.tensor, norm));
      values = std::move(scaled);
    }
    MCOMP_TRY(turned, rotation.rotate_columns(values));
    std::string tensor = reader.tensor;
    if (reader.layer == stream.tied_head) {
      tensor = head_tensor(model.network, stream);
      const auto head = static_cast<std::size_t>(result.network.index(stream.tied_head));
      std::get<Linear>(result.network.layers[head].operation).weight = tensor;
    }
    result.weights.put(tensor, std::move(turned));
  }
  for (const std::string& writer : stream.writers) {
    const auto names = graph::weight_names(model.network.find(writer)->operation);
    MCOMP_CHECK(rotate_rows(*names.weight));
    if (!names.bias->empty()) MCOMP_CHECK(rotate_rows(*names.bias));
  }
  for (const std::string& norm : stream.norms) {
    MCOMP_TRY(ones, Tensor::from(std::vector<float>(static_cast<std::size_t>(stream.features), 1), {stream.features}));
    result.weights.put(norm, std::move(ones));
  }
  MCOMP_CHECK(check(result));
  return result;
}

class Rotate final : public Strategy {
 public:
  std::string name() const override { return strategy; }
  Status check(const std::string& options) const override {
    if (auto seed = read_seed(options); !seed) return seed.error();
    return {};
  }
  StepKind kind() const override { return StepKind::transform; }
  Status check_place(const StepPlace& place) const override {
    for (const char* earlier : {"smooth", "awq"})
      if (place.follows(earlier))
        return Error(ErrorCode::invalid_argument, strategy,
                     fmt::format("it moves the weights of normalizations into the layers behind them, and takes back "
                                 "what {} has moved out",
                                 earlier),
                     fmt::format("put it before {}", earlier));
    const auto stream = StreamFinder(place.model.network).find();
    return stream ? Status() : stream.error();
  }

  Result<Decision> decide(const Model& model, const std::string& text, const Workbench&) const override {
    MCOMP_TRY(seed, read_seed(text));
    MCOMP_CHECK(require_full_precision(strategy, model));
    MCOMP_TRY(stream, StreamFinder(model.network).find());
    if (auto rotation = quant::Rotation::random(stream.features, seed); !rotation)
      return rotation.error().within(strategy);
    Decision decision{name(), text, Json{{"seed", seed}}.dump(), {}};
    const auto add = [&](const std::string& tensor, std::string action, std::string reason) {
      if (const auto view = model.weights.find(tensor))
        decision.entries.push_back({tensor, std::move(action), std::move(reason), view->bytes(), view->elements() * 4,
                                    std::nullopt, std::nullopt});
    };
    add(stream.table, "columns rotated", fmt::format("the residual stream of {} features turns", stream.features));
    for (const std::string& norm : stream.norms)
      add(norm, "set to 1", "its weights move into the layers behind it, since a rotation does not commute with them");
    for (const Reader& reader : stream.readers)
      if (reader.layer != stream.tied_head)
        add(reader.tensor, "columns rotated", reader.norm.empty() ? "reads the stream" : "behind " + reader.norm);
    for (const std::string& writer : stream.writers) {
      const auto names = graph::weight_names(model.network.find(writer)->operation);
      add(*names.weight, "rows rotated", "writes the stream");
      if (!names.bias->empty()) add(*names.bias, "rotated", "writes the stream");
    }
    if (!stream.tied_head.empty()) {
      MCOMP_TRY(table, model.weights.find(stream.table));
      decision.entries.push_back(
          {head_tensor(model.network, stream), fmt::format("untied from {}", stream.table),
           "the head takes the weights of the last normalization, which the embedding must not have", 0,
           table.elements() * 4, std::nullopt, std::nullopt});
    }
    return decision;
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    MCOMP_TRY(seed, read_seed(decision.parameters));
    return rotated(model, seed);
  }
};

} // namespace

std::unique_ptr<Strategy> make_rotate() {
  return std::make_unique<Rotate>();
}

} // namespace mcomp::inline v0::compress::detail
