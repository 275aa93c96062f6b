#include "mcomp/compress/plan.hpp"

#include <algorithm>
#include <numeric>

#include "compress/strategies/builtin.hpp"
#include "core/json.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::compress {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

constexpr const char* schema = "mcomp-plan-1";

const StrategyRegistry& registry_or_builtin(const StrategyRegistry* registry) {
  static const StrategyRegistry builtin;
  return registry ? *registry : builtin;
}

/// Draws the rows that set ranges; the rest is for what must not be fitted on the same rows.
Status draw_rows(const Recipe& recipe, Workbench& bench) {
  const std::int64_t count = bench.calibration->count();
  if (count == 0)
    return Error(ErrorCode::insufficient_data, "calibration set", "it holds no samples", "give at least one sample");
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  Random(recipe.seed).shuffle(std::span(rows));
  const std::int64_t taken = std::min(count, recipe.calibration_samples);
  bench.range_rows.assign(rows.begin(), rows.begin() + taken);
  bench.other_rows.assign(rows.begin() + taken, rows.end());
  std::sort(bench.range_rows.begin(), bench.range_rows.end());
  std::sort(bench.other_rows.begin(), bench.other_rows.end());
  return {};
}

/// The rules of the kinds of steps, and what each step itself demands of its place.
Status check_order(const Model& model, const Recipe& recipe, const Workbench& bench,
                   const std::vector<const Strategy*>& steps) {
  const auto refuse = [&](std::size_t i, std::string rule, std::string remedy) {
    return Error(ErrorCode::invalid_argument, fmt::format("recipe '{}', step {}: {}", recipe.name, i, steps[i]->name()),
                 std::move(rule), std::move(remedy));
  };
  std::string quantized, fitted; // by which step
  if (!model.in_full_precision()) quantized = "the model that it starts from";
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const StepKind kind = steps[i]->kind();
    const bool changes_weights = kind == StepKind::structure || kind == StepKind::transform;
    if (changes_weights && !quantized.empty())
      return refuse(i, fmt::format("it changes weights that are quantized already, by {}", quantized),
                    "put it before the step that quantizes");
    if (kind == StepKind::quantization && !quantized.empty())
      return refuse(i, fmt::format("weights are quantized already, by {}", quantized),
                    "quantize once in a recipe; a format for each tensor is an option of quantize_weights");
    if (kind == StepKind::correction && quantized.empty())
      return refuse(i, "nothing is quantized yet that it could correct", "put it after the step that quantizes");
    if (!fitted.empty() && (changes_weights || kind == StepKind::quantization || kind == StepKind::correction))
      return refuse(i, fmt::format("it changes the network whose confidence {} has fitted", fitted),
                    fmt::format("put {} last", fitted));
    if (const Status fits = steps[i]->check_place({model, bench, steps, i, recipe.steps[i].options}); !fits)
      return fits.error().within(fmt::format("recipe '{}', step {}", recipe.name, i));
    if (kind == StepKind::quantization) quantized = fmt::format("step {}: {}", i, steps[i]->name());
    if (kind == StepKind::confidence) fitted = fmt::format("step {}: {}", i, steps[i]->name());
  }
  return {};
}

/// `fingerprint` of the rows together, with few of them in memory.
Result<std::string> rows_fingerprint(const TensorView& images, const std::vector<std::int64_t>& rows) {
  Shape shape = images.shape();
  shape[0] = static_cast<std::int64_t>(rows.size());
  Sha256 hash;
  hash.update(to_string(TensorView(nullptr, images.dtype(), shape)) + "\n");
  constexpr std::int64_t batch = 32;
  for (std::int64_t begin = 0; begin < shape[0]; begin += batch) {
    MCOMP_TRY(part, detail::gather_rows(images, rows, begin, std::min(shape[0], begin + batch)));
    hash.update(std::span(static_cast<const std::byte*>(part.data()), static_cast<std::size_t>(part.bytes())));
  }
  return to_hex(hash.finish());
}

/// A string field that holds JSON, as JSON.
Json embedded(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json(text) : json;
}

} // namespace

Result<Plan> plan(const Model& model, const Recipe& recipe, Workbench bench, const StrategyRegistry* registry) {
  const StrategyRegistry& strategies = registry_or_builtin(registry);
  std::vector<const Strategy*> steps;
  for (std::size_t i = 0; i < recipe.steps.size(); ++i) {
    const auto where = fmt::format("recipe '{}', step {}", recipe.name, i);
    const auto found = strategies.find(recipe.steps[i].strategy);
    if (!found) return found.error().within(where);
    if (const Status checked = (*found)->check(recipe.steps[i].options); !checked) return checked.error().within(where);
    steps.push_back(*found);
  }
  MCOMP_CHECK(check(model)); // everything about the model is checked before the first step works
  MCOMP_CHECK(check_order(model, recipe, bench, steps));
  Plan result{.recipe = recipe.name,
              .recipe_fingerprint = sha256(to_json(recipe)),
              .model_fingerprint = fingerprint(model),
              .calibration_fingerprint = {},
              .decisions = {},
              .bytes_before = model.stored_bytes()};
  if (bench.calibration) {
    MCOMP_CHECK(draw_rows(recipe, bench));
    MCOMP_TRY(raw, bench.calibration->input(model.network.input));
    MCOMP_TRY(rows, rows_fingerprint(raw, bench.range_rows));
    result.calibration_fingerprint = std::move(rows);
  }
  Model current = model;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    MCOMP_CHECK(bench.context.check("planning"));
    MCOMP_TRY(decision, steps[i]->decide(current, recipe.steps[i].options, bench));
    MCOMP_TRY(next, steps[i]->apply(current, decision));
    current = std::move(next);
    result.decisions.push_back(std::move(decision));
    bench.context.report("planning", static_cast<std::int64_t>(i + 1), static_cast<std::int64_t>(steps.size()));
  }
  result.bytes_after = current.stored_bytes();
  return result;
}

Result<Model> apply(const Plan& plan, const Model& model, const Context& context, const StrategyRegistry* registry) {
  const StrategyRegistry& strategies = registry_or_builtin(registry);
  if (plan.model_fingerprint != fingerprint(model))
    return Error(ErrorCode::invalid_argument, fmt::format("plan of recipe '{}'", plan.recipe),
                 "it was made for another model", "plan again for this model");
  Model current = model;
  for (std::size_t i = 0; i < plan.decisions.size(); ++i) {
    MCOMP_CHECK(context.check("applying"));
    MCOMP_TRY(strategy, strategies.find(plan.decisions[i].strategy));
    MCOMP_TRY(next, strategy->apply(current, plan.decisions[i]));
    current = std::move(next);
    context.report("applying", static_cast<std::int64_t>(i + 1), static_cast<std::int64_t>(plan.decisions.size()));
  }
  return current;
}

std::string to_string(const Plan& plan) {
  std::string text =
      fmt::format("plan of recipe '{}': {} -> {} bytes", plan.recipe, plan.bytes_before, plan.bytes_after);
  for (const Decision& decision : plan.decisions) {
    text += fmt::format("\n{}", decision.strategy);
    for (const PlanEntry& entry : decision.entries) {
      text += fmt::format("\n  {:<28} {:<28} {}", entry.subject, entry.action, entry.reason);
      if (entry.bytes_before != entry.bytes_after)
        text += fmt::format(" ({} -> {} bytes)", entry.bytes_before, entry.bytes_after);
    }
  }
  return text;
}

std::string to_json(const Plan& plan) {
  Json json{{"schema", schema},
            {"recipe", plan.recipe},
            {"recipe_fingerprint", plan.recipe_fingerprint},
            {"model_fingerprint", plan.model_fingerprint},
            {"calibration_fingerprint", plan.calibration_fingerprint},
            {"bytes_before", plan.bytes_before},
            {"bytes_after", plan.bytes_after},
            {"decisions", Json::array()}};
  for (const Decision& decision : plan.decisions) {
    Json entries = Json::array();
    for (const PlanEntry& entry : decision.entries) {
      Json row{{"subject", entry.subject},
               {"action", entry.action},
               {"reason", entry.reason},
               {"bytes_before", entry.bytes_before},
               {"bytes_after", entry.bytes_after}};
      if (entry.seconds_before) row["seconds_before"] = *entry.seconds_before;
      if (entry.seconds_after) row["seconds_after"] = *entry.seconds_after;
      entries.push_back(std::move(row));
    }
    json["decisions"].push_back({{"strategy", decision.strategy},
                                 {"options", embedded(decision.options)},
                                 {"parameters", embedded(decision.parameters)},
                                 {"entries", std::move(entries)}});
  }
  return json.dump(1);
}

Result<Plan> plan_from_json(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  ObjectReader reader(json, subject);
  if (const std::string found = reader.text("schema"); found != schema)
    return Error(ErrorCode::version_mismatch, subject + ": schema", fmt::format("'{}' is not '{}'", found, schema),
                 "plan again with this version");
  Plan plan{.recipe = reader.text("recipe"),
            .recipe_fingerprint = reader.text("recipe_fingerprint"),
            .model_fingerprint = reader.text("model_fingerprint"),
            .calibration_fingerprint = reader.text("calibration_fingerprint"),
            .decisions = {},
            .bytes_before = reader.integer("bytes_before"),
            .bytes_after = reader.integer("bytes_after")};
  for (const Json& entry : reader.array("decisions")) {
    ObjectReader part(entry, fmt::format("{}: decision {}", subject, plan.decisions.size()));
    Decision decision{part.text("strategy"), "{}", "{}", {}};
    if (const Json* options = part.child("options")) decision.options = options->dump();
    if (const Json* parameters = part.child("parameters")) decision.parameters = parameters->dump();
    for (const Json& row : part.array("entries")) {
      ObjectReader cells(row, part.where("entries"));
      PlanEntry e{
          cells.text("subject"),        cells.text("action"), cells.text("reason"), cells.integer("bytes_before"),
          cells.integer("bytes_after"), std::nullopt,         std::nullopt};
      if (cells.has("seconds_before")) e.seconds_before = cells.number("seconds_before");
      if (cells.has("seconds_after")) e.seconds_after = cells.number("seconds_after");
      MCOMP_CHECK(cells.finish());
      decision.entries.push_back(std::move(e));
    }
    MCOMP_CHECK(part.finish());
    plan.decisions.push_back(std::move(decision));
  }
  MCOMP_CHECK(reader.finish());
  return plan;
}

} // namespace mcomp::inline v0::compress
