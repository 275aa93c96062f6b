#include "compress/strategies/weight_step.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

constexpr const char* strategy = "quantize_weights";

/// What a budget chooses from where the recipe does not say: levels for normal weights, which lose least, and integers
/// with zero points, for weights that are not normal.
std::vector<std::string> default_formats() {
  return {"normal2:f16",     "normal3:f16", "normal4:f16", "normal5:f16", "normal6:f16", "normal3:g32:f16",
          "normal4:g32:f16", "uint3:f16",   "uint4:f16",   "uint5:f16",   "uint6:f16",   "int8:f16"};
}

Result<WeightStepOptions> read_options(const std::string& text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, strategy));
  ObjectReader reader(json, strategy);
  WeightStepOptions options;
  const auto format = [&](const char* key, const std::string& word) -> std::optional<WeightFormat> {
    auto parsed = weight_format_from_string(word);
    if (parsed) return std::move(*parsed);
    reader.fail(parsed.error().within(reader.where(key)));
    return std::nullopt;
  };
  if (reader.has("format")) options.format = format("format", reader.text("format"));
  if (const Json* formats = reader.child("formats")) {
    if (!formats->is_object())
      reader.fail("formats", "it is no object", R"(write {"TENSOR": "FORMAT"})");
    else
      for (const auto& [tensor, word] : formats->items()) {
        if (!word.is_string())
          reader.fail("formats", fmt::format("the format of '{}' is no word", tensor), R"(write "int4:g32")");
        else if (auto parsed = format("formats", word.get<std::string>()))
          options.formats.emplace(tensor, std::move(*parsed));
      }
  }
  const std::string method = reader.text("method", "nearest"), fallback = reader.text("fallback", "");
  const auto algorithm = weight_algorithm_from_string(method);
  if (!algorithm) reader.fail(algorithm.error().within(reader.where("method")));
  const std::int64_t refine = reader.integer("refine", 0);
  if (refine < 0 || refine > 1000) reader.fail("refine", fmt::format("{} rounds", refine), "use 16, or 0 for none");
  options.fallback_keeps = fallback == "keep";
  if (!fallback.empty() && !options.fallback_keeps) options.fallback = format("fallback", fallback);
  if (reader.has("keep")) options.keep = reader.texts("keep");
  options.linear_only = reader.boolean("linear_only", false);
  options.sequential = reader.boolean("sequential", true);
  options.target = read_target(reader, LayerTarget::own_output);
  if (options.target != LayerTarget::own_output && !options.sequential)
    reader.fail("target", "weights make up for errors of earlier ones in a sequential walk alone",
                "leave \"sequential\" out, or use own_output");
  if (const Json* budget = reader.child("budget")) {
    auto read = read_budget(*budget, reader.where("budget"), default_formats(), SensitivityMeasure::output_divergence);
    if (!read) return read.error();
    options.budget = std::move(*read);
    if (options.format) reader.fail("format", "the budget chooses formats", "leave one of both out");
  } else if (!options.format && options.formats.empty()) {
    reader.fail("format", "neither it nor 'formats' nor a 'budget' says what weights become", "give a format");
  }
  MCOMP_CHECK(reader.finish());
  options.method = {*algorithm, static_cast<int>(refine)};
  MCOMP_CHECK(check_weight_step(strategy, options));
  return options;
}

class QuantizeWeights final : public Strategy {
 public:
  std::string name() const override { return strategy; }
  Status check(const std::string& options) const override {
    if (auto parsed = read_options(options); !parsed) return parsed.error();
    return {};
  }
  StepKind kind() const override { return StepKind::quantization; }

  Status check_place(const StepPlace& place) const override {
    MCOMP_TRY(options, read_options(place.options));
    if (needs_samples(options.method) || options.budget)
      MCOMP_CHECK(require_samples(strategy, place.bench, "see the inputs of layers on"));
    bool decoder = false;
    for (const graph::Layer& layer : place.model.network.layers)
      decoder = decoder || std::holds_alternative<graph::Embedding>(layer.operation);
    if (options.linear_only && !decoder)
      return Error(ErrorCode::invalid_argument, "quantize_weights: linear_only",
                   fmt::format("the network '{}' has no embedding", place.model.network.name),
                   "name the tensors that stay in \"keep\"");
    // Whether formats fit is known now, unless an earlier step may change shapes or add a tensor.
    bool same_weights = true;
    for (std::size_t i = 0; i < place.step; ++i) {
      const std::string name = place.steps[i]->name();
      same_weights = same_weights &&
                     (name == "fold_batch_norm" || (place.steps[i]->kind() == StepKind::transform && name != "rotate"));
    }
    if (!same_weights || options.budget) return {};
    const auto targets = weight_targets(strategy, place.model, options);
    return targets ? Status() : targets.error();
  }

  Result<Decision> decide(const Model& model, const std::string& text, const Workbench& bench) const override {
    MCOMP_TRY(options, read_options(text));
    return decide_weights(strategy, text, model, options, bench);
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    return apply_weights(model, decision);
  }
};

} // namespace

std::unique_ptr<Strategy> make_quantize_weights() {
  return std::make_unique<QuantizeWeights>();
}

} // namespace mcomp::inline v0::compress::detail
