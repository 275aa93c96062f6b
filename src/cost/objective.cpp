#include "mcomp/cost/objective.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/json.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

constexpr const char* schema = "mcomp-latency-table-1";

bool is_positive(double value) {
  return std::isfinite(value) && value > 0;
}

Result<LayerChoices> read_layer(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  LayerChoices layer{.layer = reader.text("layer"), .weights = reader.integer("weights", 0), .choices = {}};
  for (const Json& item : reader.array("choices")) {
    ObjectReader choice(item, fmt::format("{}: choices[{}]", where, layer.choices.size()));
    layer.choices.push_back({choice.text("name"), choice.number("bits"), choice.number("seconds")});
    MCOMP_CHECK(choice.finish());
  }
  MCOMP_CHECK(reader.finish());
  return layer;
}

} // namespace

Result<double> cost_per_million(double seconds, const ServingCost& serving) {
  const auto bad = [](const char* name, double value, const char* remedy) {
    return Error(ErrorCode::invalid_value, name, fmt::format("{} is out of range", value), remedy);
  };
  if (!std::isfinite(seconds) || seconds < 0) return bad("seconds_per_request", seconds, "pass a time >= 0");
  if (!is_positive(serving.price_per_hour)) return bad("price_per_hour", serving.price_per_hour, "pass a price > 0");
  if (serving.workers_per_instance < 1)
    return bad("workers_per_instance", static_cast<double>(serving.workers_per_instance), "pass at least 1");
  if (!(serving.utilization > 0 && serving.utilization <= 1))
    return bad("utilization", serving.utilization, "pass a share within (0, 1]");
  constexpr double requests = 1e6, seconds_per_hour = 3600;
  const double cost = requests * seconds * serving.price_per_hour /
                      (seconds_per_hour * static_cast<double>(serving.workers_per_instance) * serving.utilization);
  if (!std::isfinite(cost)) return bad("seconds_per_request", seconds, "check the units: the cost overflows");
  return cost;
}

Status LatencyTable::check() const {
  const auto bad = [](const std::string& subject, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_value, subject, rule, remedy);
  };
  if (layers.empty())
    return Error(ErrorCode::insufficient_data, "latency table", "it has no layers", "give the layers of a network");
  if (!std::isfinite(other_seconds) || other_seconds < 0)
    return bad("latency table", "other_seconds must be finite and >= 0", "correct it");
  std::set<std::string_view> names;
  for (const LayerChoices& layer : layers) {
    const std::string subject = fmt::format("latency table: layer '{}'", layer.layer);
    if (layer.layer.empty() || !names.insert(layer.layer).second)
      return bad(subject, "layers need names of their own", "name each once");
    if (layer.weights < 0) return bad(subject, "weights must be >= 0", "give their number");
    if (layer.choices.empty())
      return Error(ErrorCode::insufficient_data, subject, "it has no choices", "give at least one");
    std::set<std::string_view> choices;
    for (const LatencyChoice& choice : layer.choices) {
      if (choice.name.empty() || !choices.insert(choice.name).second)
        return bad(subject, "choices need names of their own", "name each once");
      constexpr double most_bits = 64;
      if (!(choice.bits > 0 && choice.bits <= most_bits))
        return bad(subject, fmt::format("'{}' has {} bits", choice.name, choice.bits), "give bits within (0, 64]");
      if (!is_positive(choice.seconds))
        return bad(subject, fmt::format("'{}' takes {} seconds", choice.name, choice.seconds), "give a time > 0");
    }
  }
  return {};
}

Result<LatencyTable> LatencyTable::parse(std::string_view json, const std::string& subject) {
  MCOMP_TRY(root, mcomp::detail::parse_json(json, subject));
  ObjectReader reader(root, subject);
  if (const std::string found = reader.text("schema"); found != schema)
    reader.fail("schema", fmt::format("'{}' is not {}", found, schema), "write the table anew");
  LatencyTable table{
      .source = reader.text("source", std::string()), .other_seconds = reader.number("other_seconds", 0), .layers = {}};
  for (const Json& item : reader.array("layers")) {
    MCOMP_TRY(layer, read_layer(item, fmt::format("{}: layers[{}]", subject, table.layers.size())));
    table.layers.push_back(std::move(layer));
  }
  MCOMP_CHECK(reader.finish());
  if (const Status status = table.check(); !status) {
    const Error& e = status.error();
    return Error(ErrorCode::corrupt, subject, fmt::format("{}: {}", e.subject(), e.rule()), e.remedy());
  }
  return table;
}

Result<LatencyTable> LatencyTable::read(const std::filesystem::path& path) {
  constexpr std::int64_t most_bytes = 64 << 20;
  MCOMP_TRY(text, read_file(path, most_bytes));
  return parse(text, path.string());
}

std::string to_json(const LatencyTable& table) {
  Json layers = Json::array();
  for (const LayerChoices& layer : table.layers) {
    Json choices = Json::array();
    for (const LatencyChoice& choice : layer.choices)
      choices.push_back({{"name", choice.name}, {"bits", choice.bits}, {"seconds", choice.seconds}});
    layers.push_back({{"layer", layer.layer}, {"weights", layer.weights}, {"choices", std::move(choices)}});
  }
  const Json root = {{"schema", schema},
                     {"source", table.source},
                     {"other_seconds", table.other_seconds},
                     {"layers", std::move(layers)}};
  return root.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::vector<Precision> executed_precisions() {
  return {{.name = "f32"},
          {.name = "int8", .bits = 8, .weights = DType::int8, .input = DType::uint8, .output = DType::uint8}};
}

Result<LatencyTable> latency_table(const LatencyModel& model, std::span<const NamedLayer> layers,
                                   std::span<const Precision> precisions) {
  const auto bad = [](const char* name, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, name, rule, remedy);
  };
  if (layers.empty()) return bad("layers", "there are none", "pass the layers of a network");
  if (precisions.empty()) return bad("precisions", "there are none", "pass at least one");
  constexpr std::size_t digits = 12;
  LatencyTable table{.source =
                         fmt::format("{}, profile {}", model.device(), model.profile_fingerprint().substr(0, digits)),
                     .layers = {}};
  for (const NamedLayer& layer : layers) {
    if (layer.shape.samples != layers.front().shape.samples)
      return bad("layers",
                 fmt::format("'{}' has {} samples, '{}' has {}", layer.name, layer.shape.samples, layers.front().name,
                             layers.front().shape.samples),
                 "pass the shapes of one call of the network");
    const auto requests = static_cast<double>(layer.shape.samples);
    if (layer.shape.kind == LayerKind::movement) {
      MCOMP_TRY(latency, model.predict(layer.shape));
      table.other_seconds += latency.seconds / requests;
      continue;
    }
    LayerChoices choices{.layer = layer.name, .choices = {}};
    for (const Precision& precision : precisions) {
      LayerShape shape = layer.shape;
      shape.weights = precision.weights, shape.input = precision.input, shape.output = precision.output;
      auto latency = model.predict(shape);
      if (!latency) return latency.error().within(fmt::format("layer '{}'", layer.name));
      choices.weights = shape.weight_bytes() * 8 / bit_width(shape.weights);
      choices.choices.push_back({precision.name, precision.bits, latency->seconds / requests});
    }
    table.layers.push_back(std::move(choices));
  }
  if (const Status status = table.check(); !status) {
    const Error& e = status.error();
    return Error(ErrorCode::invalid_argument, e.subject(), e.rule(), e.remedy());
  }
  return table;
}

Result<CostObjective> CostObjective::create(LatencyTable table, const ServingCost& serving) {
  MCOMP_CHECK(table.check());
  MCOMP_TRY(rate, cost_per_million(1, serving));
  return CostObjective(std::move(table), rate);
}

Result<double> CostObjective::seconds(std::span<const std::size_t> choices) const {
  if (choices.size() != table_.layers.size())
    return Error(ErrorCode::invalid_argument, "choices",
                 fmt::format("there are {} for {} layers", choices.size(), table_.layers.size()),
                 "pass one for every layer of the table");
  double seconds = table_.other_seconds;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const LayerChoices& layer = table_.layers[i];
    if (choices[i] >= layer.choices.size())
      return Error(
          ErrorCode::invalid_argument, "choices",
          fmt::format("layer '{}' has {} choices, none of index {}", layer.layer, layer.choices.size(), choices[i]),
          "pass an index below that");
    seconds += layer.choices[choices[i]].seconds;
  }
  return seconds;
}

Result<double> CostObjective::operator()(std::span<const std::size_t> choices) const {
  MCOMP_TRY(time, seconds(choices));
  const double cost = rate_ * time;
  if (!std::isfinite(cost))
    return Error(ErrorCode::invalid_value, "latency table", fmt::format("a request of {} s has no finite cost", time),
                 "check the units of times and price");
  return cost;
}

Result<std::vector<BitValue>> value_of_bits(const LatencyTable& table, const ServingCost& serving,
                                            double requests_per_month) {
  MCOMP_CHECK(table.check());
  MCOMP_TRY(per_million_seconds, cost_per_million(1, serving));
  if (!std::isfinite(requests_per_month) || requests_per_month < 0)
    return Error(ErrorCode::invalid_value, "requests_per_month", fmt::format("{}", requests_per_month),
                 "pass a finite number >= 0");
  constexpr double million = 1e6, bits_per_byte = 8;
  std::vector<BitValue> values;
  for (const LayerChoices& layer : table.layers) {
    std::vector<LatencyChoice> choices = layer.choices;
    std::stable_sort(choices.begin(), choices.end(),
                     [](const LatencyChoice& a, const LatencyChoice& b) { return a.bits > b.bits; });
    for (std::size_t i = 1; i < choices.size(); ++i) {
      const LatencyChoice &from = choices[i - 1], &to = choices[i];
      if (from.bits == to.bits) continue; // another way with as many bits: no bit to be paid for
      BitValue value{
          .layer = layer.layer, .from = from.name, .to = to.name, .seconds_saved = from.seconds - to.seconds};
      value.saved_per_month = per_million_seconds * value.seconds_saved * requests_per_month / million;
      value.saved_per_bit = value.saved_per_month / (from.bits - to.bits);
      if (!std::isfinite(value.saved_per_bit))
        return Error(ErrorCode::invalid_value, fmt::format("latency table: layer '{}'", layer.layer),
                     "what it saves overflows", "check the units of times, price and requests");
      value.bytes_saved = static_cast<double>(layer.weights) * (from.bits - to.bits) / bits_per_byte;
      values.push_back(std::move(value));
    }
  }
  std::stable_sort(values.begin(), values.end(),
                   [](const BitValue& a, const BitValue& b) { return a.saved_per_bit > b.saved_per_bit; });
  return values;
}

std::string to_string(const BitValue& v) {
  constexpr double micro = 1e6;
  return fmt::format("{}: {} -> {} saves {:.4g} us a request, {:.4g} a month ({:.3g} a bit), {:.0f} bytes", v.layer,
                     v.from, v.to, micro * v.seconds_saved, v.saved_per_month, v.saved_per_bit, v.bytes_saved);
}

} // namespace mcomp::inline v0::cost
