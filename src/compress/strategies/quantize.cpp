#include <algorithm>
#include <set>

#include "compress/strategies/builtin.hpp"
#include "compress/strategies/weight_method.hpp"
#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/observer.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

struct Options {
  WeightMethodOptions weights;
  quant::ObserverOptions observer{.kind = quant::ObserverKind::mean_squared_error};
  std::vector<std::string> keep_f32;
  bool never_slower = true;
};

Result<Options> read_options(const std::string& text) {
  const std::string where = "quantize";
  MCOMP_TRY(json, mcomp::detail::parse_json(text, where));
  ObjectReader reader(json, where);
  Options options;
  if (const Json* weights = reader.child("weights")) {
    MCOMP_TRY(read, read_weight_method(*weights, reader.where("weights")));
    options.weights = read;
  }
  if (const Json* activations = reader.child("activations")) {
    ObjectReader part(*activations, reader.where("activations"));
    const std::string kind = part.text("observer", to_string(options.observer.kind));
    options.observer.percentile = part.number("percentile", options.observer.percentile);
    options.observer.averaging_constant = part.number("averaging_constant", options.observer.averaging_constant);
    options.observer.bins = part.integer("bins", options.observer.bins);
    MCOMP_CHECK(part.finish());
    const auto parsed = quant::observer_kind_from_string(kind);
    if (!parsed) return parsed.error().within(reader.where("activations"));
    options.observer.kind = *parsed;
    if (auto observer = quant::make_observer(options.observer); !observer)
      return observer.error().within(reader.where("activations"));
  }
  if (reader.has("keep_f32")) options.keep_f32 = reader.texts("keep_f32");
  options.never_slower = reader.boolean("never_slower", true);
  MCOMP_CHECK(reader.finish());
  return options;
}

/// The layers that run in integers and the codes of their inputs; `apply` makes the weights from it.
struct Choice {
  std::vector<std::string> layers;
  std::map<std::string, quant::Parameters> activations;
  std::map<std::string, DType> dtypes{}; ///< of weights that have not the one of the options

  [[nodiscard]] quant::Scheme scheme(const std::string& weight, const Options& options) const {
    quant::Scheme result = options.weights.scheme;
    if (const auto own = dtypes.find(weight); own != dtypes.end()) result.dtype = own->second;
    return result;
  }
};

/// @param solved codes and scales that a method made from samples; null: by the nearest codes
Result<quant::NetworkQuantization> carry_out(const Model& model, const Options& options, const Choice& choice,
                                             const TensorStore* solved) {
  quant::NetworkQuantization result;
  for (const std::string& name : choice.layers) {
    const graph::Layer* layer = model.network.find(name);
    const std::string* weight = layer ? graph::weight_names(layer->operation).weight : nullptr;
    if (!weight)
      return Error(ErrorCode::corrupt, fmt::format("quantize: layer '{}'", name),
                   "the network has no such layer with weights", "plan again");
    MCOMP_TRY(view, model.weights.find(*weight));
    const quant::Scheme scheme = choice.scheme(*weight, options);
    auto quantized = solved ? quantized_from_store(*solved, *weight, scheme) : quant::quantize(view, scheme);
    if (!quantized) return quantized.error().within(*weight);
    if (quantized->shape() != view.shape())
      return Error(ErrorCode::corrupt, *weight,
                   fmt::format("codes {} for a weight {}", quantized->shape(), view.shape()), "plan again");
    result.weights.emplace(name, std::move(*quantized));
  }
  result.activations = choice.activations;
  return result;
}

std::vector<std::string> weights_of(const Model& model, const Choice& choice) {
  std::vector<std::string> weights;
  for (const std::string& layer : choice.layers)
    weights.push_back(*graph::weight_names(model.network.find(layer)->operation).weight);
  return weights;
}

/// Codes and scales of the chosen layers by a method that needs samples.
Result<TensorStore> solve(const Model& model, const Options& options, const Choice& choice, const Workbench& bench) {
  LayerwiseOptions walk = walk_options(bench);
  walk.target = options.weights.target;
  std::map<std::string, LayerMethod> methods;
  for (const std::string& weight : weights_of(model, choice)) {
    walk.tensors.push_back(weight);
    MCOMP_TRY(method, layer_method(WeightFormat(choice.scheme(weight, options)), options.weights.method));
    methods.emplace(weight, std::move(method));
  }
  MCOMP_TRY(rows, range_samples(model, bench));
  MCOMP_TRY(result, quantize_layers(
                        model.network, model.weights, rows,
                        [&](const LayerProblem& p, const Context& context) { return methods.at(p.tensor)(p, context); },
                        walk, bench.context));
  TensorStore store;
  for (const auto& [name, weight] : result.tensors)
    put_quantized(store, name, std::get<quant::QuantizedTensor>(weight));
  return store;
}

class Quantize final : public Strategy {
 public:
  std::string name() const override { return "quantize"; }
  Status check(const std::string& options) const override {
    if (auto parsed = read_options(options); !parsed) return parsed.error();
    return {};
  }
  StepKind kind() const override { return StepKind::quantization; }
  Status check_place(const StepPlace& place) const override {
    MCOMP_CHECK(require_images(name(), place.model, instead));
    return require_samples(name(), place.bench, "set ranges on");
  }

  Result<Decision> decide(const Model& model, const std::string& text, const Workbench& bench) const override {
    MCOMP_TRY(options, read_options(text));
    MCOMP_CHECK(require_images(name(), model, instead));
    MCOMP_CHECK(require_full_precision(name(), model));
    MCOMP_CHECK(require_samples(name(), bench, "set ranges on"));
    MCOMP_TRY(program, model.program());
    std::map<std::string, std::string> kept; // layer -> why it stays in f32
    MCOMP_CHECK(keep_asked(program, options, kept));
    keep_deep(program, model, kept);
    MCOMP_TRY(ranges, observe(model, program, options, bench));
    MCOMP_TRY(all, choose(program, kept, ranges));
    std::map<std::string, double> seconds_f32, seconds_int8;
    if (bench.time_layers) MCOMP_CHECK(measure(model, program, options, bench, all, kept, seconds_f32, seconds_int8));
    MCOMP_TRY(chosen, choose(program, kept, ranges));
    std::map<std::string, std::string> reasons; // of the budget, by weight
    if (options.weights.budget && !chosen.layers.empty()) {
      MCOMP_TRY(spent, spend(*options.weights.budget, weights_of(model, chosen), options.weights.method, model, bench));
      for (const auto& [weight, format] : spent.formats) chosen.dtypes[weight] = std::get<quant::Scheme>(format).dtype;
      reasons = std::move(spent.reasons);
    }
    TensorStore solved;
    if (!chosen.layers.empty() && needs_samples(options.weights.method)) {
      MCOMP_TRY(made, solve(model, options, chosen, bench));
      solved = std::move(made);
    }
    MCOMP_TRY(quantization, carry_out(model, options, chosen, solved.size() > 0 ? &solved : nullptr));

    Json parameters{{"layers", chosen.layers}, {"activations", Json::object()}};
    for (const auto& [value, p] : chosen.activations) parameters["activations"][value] = to_json_value(p);
    if (!chosen.dtypes.empty()) {
      parameters["dtypes"] = Json::object();
      for (const auto& [weight, dtype] : chosen.dtypes) parameters["dtypes"][weight] = mcomp::to_string(dtype);
    }
    Decision decision{name(), text, parameters.dump(), {}, solved};
    for (const quant::Step& step : program.steps) {
      const std::string* weight = graph::weight_names(step.operation).weight;
      if (!weight) continue;
      MCOMP_TRY(view, model.weights.find(*weight));
      PlanEntry entry{*weight, "kept in f32", "", view.bytes(), view.bytes(), std::nullopt, std::nullopt};
      if (const auto found = seconds_f32.find(step.layer); found != seconds_f32.end())
        entry.seconds_before = found->second;
      if (const auto found = seconds_int8.find(step.layer); found != seconds_int8.end())
        entry.seconds_after = found->second;
      if (const auto why = kept.find(step.layer); why != kept.end()) {
        entry.reason = why->second;
      } else {
        WeightMethodOptions own = options.weights;
        own.scheme = chosen.scheme(*weight, options);
        entry.action = to_string(own);
        entry.bytes_after = quantization.weights.at(step.layer).stored_bytes();
        entry.reason = entry.seconds_before && entry.seconds_after
                           ? fmt::format("measured {:.2f}x as fast", *entry.seconds_before / *entry.seconds_after)
                           : std::string("runs in integers");
        if (const auto spent = reasons.find(*weight); spent != reasons.end()) entry.reason += "; " + spent->second;
      }
      decision.entries.push_back(std::move(entry));
    }
    return decision;
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    MCOMP_TRY(options, read_options(decision.options));
    MCOMP_TRY(json, mcomp::detail::parse_json(decision.parameters, "quantize"));
    ObjectReader reader(json, "quantize");
    Choice choice{reader.texts("layers"), {}};
    const Json *activations = reader.child("activations"), *dtypes = reader.child("dtypes");
    MCOMP_CHECK(reader.finish());
    if (!activations || !activations->is_object())
      return Error(ErrorCode::corrupt, "quantize: activations", "an object is needed", "plan again");
    if (dtypes)
      for (const auto& [weight, word] : dtypes->items()) {
        const auto dtype = dtype_from_string(word.is_string() ? word.get<std::string>() : std::string());
        if (!dtype || !is_signed_integer(*dtype) || bit_width(*dtype) > 8)
          return Error(ErrorCode::corrupt, fmt::format("quantize: dtypes: '{}'", weight), "int2 ... int8 is needed",
                       "plan again");
        choice.dtypes.emplace(weight, *dtype);
      }
    for (const auto& [value, entry] : activations->items()) {
      MCOMP_TRY(p, parameters_from_json(entry, "quantize: activations: " + value));
      choice.activations.emplace(value, p);
    }
    Model result = model;
    const bool from_samples = needs_samples(options.weights.method) && !choice.layers.empty();
    MCOMP_TRY(quantization, carry_out(model, options, choice, from_samples ? &decision.tensors : nullptr));
    result.quantization = std::move(quantization);
    MCOMP_TRY(program, result.program()); // refuses what cannot run
    static_cast<void>(program);
    return result;
  }

 private:
  static constexpr const char* instead = "use quantize_weights: layers of decoders do not run in integers";

  static Status keep_asked(const quant::Program& program, const Options& options,
                           std::map<std::string, std::string>& kept) {
    std::vector<std::string> known;
    for (const quant::Step& step : program.steps)
      if (graph::weight_names(step.operation)) known.push_back(step.layer);
    for (const std::string& layer : options.keep_f32) {
      if (std::find(known.begin(), known.end(), layer) == known.end())
        return Error(ErrorCode::not_found, fmt::format("quantize: keep_f32: '{}'", layer),
                     "no convolution or linear layer has that name", mcomp::detail::did_you_mean(layer, known));
      kept[layer] = "the recipe keeps it";
    }
    return {};
  }

  /// Layers whose sums could leave int32 stay in f32.
  static void keep_deep(const quant::Program& program, const Model& model, std::map<std::string, std::string>& kept) {
    for (const quant::Step& step : program.steps)
      if (const std::string* weight = graph::weight_names(step.operation).weight) {
        const auto view = model.weights.find(*weight);
        constexpr std::int64_t deepest = ((std::int64_t{1} << 31) - 1) / (255 * 128);
        if (view && view->size(0) > 0 && view->elements() / view->size(0) > deepest)
          kept.emplace(step.layer, fmt::format("sums of more than {} products could leave int32", deepest));
      }
  }

  static Result<std::map<std::string, quant::Parameters>> observe(const Model& model, const quant::Program& program,
                                                                  const Options& options, const Workbench& bench) {
    std::map<std::string, std::unique_ptr<quant::Observer>, std::less<>> observers;
    for (const quant::Step& step : program.steps)
      if (graph::weight_names(step.operation)) {
        MCOMP_TRY(observer, quant::make_observer(options.observer));
        observers.emplace(program.values[step.inputs[0]].name, std::move(observer));
      }
    MCOMP_TRY(runner, bench.runner(model));
    Status failure;
    const graph::Tap tap = [&](std::string_view value, const TensorView& output) {
      const auto found = observers.find(value);
      if (found == observers.end() || !failure) return;
      if (const Status status = found->second->update(output); !status)
        failure = status.error().within(fmt::format("value '{}'", value));
    };
    MCOMP_CHECK(
        run_rows(bench, *runner, bench.range_rows, "observing ranges", tap, [&](const Tensor&) { return failure; }));
    std::map<std::string, quant::Parameters> result;
    for (const auto& [value, observer] : observers) {
      auto range = observer->range(DType::uint8, false);
      if (!range)
        return Error(ErrorCode::insufficient_data, fmt::format("value '{}'", value),
                     "the runner showed no such value to its tap",
                     "use a runner that reports the inputs of convolutions and linear layers");
      MCOMP_TRY(p, quant::parameters_for(*range, DType::uint8, false));
      result.emplace(value, p);
    }
    return result;
  }

  static Result<Choice> choose(const quant::Program& program, const std::map<std::string, std::string>& kept,
                               const std::map<std::string, quant::Parameters>& ranges) {
    Choice choice;
    for (const quant::Step& step : program.steps)
      if (graph::weight_names(step.operation) && !kept.contains(step.layer)) {
        const std::string& value = program.values[step.inputs[0]].name;
        choice.layers.push_back(step.layer);
        choice.activations[value] = ranges.at(value);
      }
    return choice;
  }

  static Status measure(const Model& model, const quant::Program& program, const Options& options,
                        const Workbench& bench, const Choice& all, std::map<std::string, std::string>& kept,
                        std::map<std::string, double>& seconds_f32, std::map<std::string, double>& seconds_int8) {
    MCOMP_CHECK(bench.context.check("timing layers"));
    bench.context.report("timing layers", 0, 2);
    MCOMP_TRY(before, bench.time_layers(program));
    bench.context.report("timing layers", 1, 2);
    Model integer = model;
    MCOMP_TRY(quantization, carry_out(model, options, all, nullptr));
    integer.quantization = std::move(quantization);
    MCOMP_TRY(integer_program, integer.program());
    MCOMP_TRY(after, bench.time_layers(integer_program));
    bench.context.report("timing layers", 2, 2);
    for (const std::string& layer : all.layers) {
      const auto b = before.find(layer), a = after.find(layer);
      if (b == before.end() || a == after.end()) continue;
      seconds_f32[layer] = b->second;
      seconds_int8[layer] = a->second;
      if (options.never_slower && a->second >= b->second)
        kept[layer] =
            fmt::format("int8 would be slower: {:.1f} us against {:.1f} us in f32", a->second * 1e6, b->second * 1e6);
    }
    return {};
  }
};

} // namespace

std::unique_ptr<Strategy> make_quantize() {
  return std::make_unique<Quantize>();
}

} // namespace mcomp::inline v0::compress::detail
