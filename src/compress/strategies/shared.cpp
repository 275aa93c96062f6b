#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "compress/strategies/builtin.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/prune/batch_norm_folding.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

Status check_no_options(const std::string& strategy, const std::string& options) {
  MCOMP_TRY(json, mcomp::detail::parse_json(options, strategy));
  return ObjectReader(json, strategy).finish();
}

Result<Tensor> gather_rows(const TensorView& view, const std::vector<std::int64_t>& rows, std::int64_t begin,
                           std::int64_t end) {
  Shape shape = view.shape();
  shape[0] = end - begin;
  MCOMP_TRY(result, Tensor::uninitialized(view.dtype(), std::move(shape)));
  const std::int64_t row_bytes = (end - begin) == 0 ? 0 : result.bytes() / (end - begin);
  auto* to = static_cast<std::byte*>(result.data());
  for (std::int64_t i = begin; i < end; ++i, to += row_bytes) {
    const std::int64_t row = rows[static_cast<std::size_t>(i)];
    MCOMP_TRY(source, view.rows(row, row + 1));
    MCOMP_TRY(copy, Tensor::copy_of(source));
    std::memcpy(to, copy.data(), static_cast<std::size_t>(row_bytes));
  }
  return std::move(result);
}

Status require_samples(const std::string& strategy, const Workbench& bench, const char* purpose) {
  if (bench.calibration && bench.calibration->count() > 0) return {};
  return Error(ErrorCode::insufficient_data, strategy, fmt::format("there are no calibration samples to {}", purpose),
               "give the workbench a calibration set");
}

Status require_full_precision(const std::string& strategy, const Model& model) {
  if (model.in_full_precision()) return {};
  return Error(ErrorCode::invalid_argument, strategy, "the model is quantized already",
               "put it before the step that quantizes, and quantize once in a recipe");
}

Status require_images(const std::string& strategy, const Model& model, const char* remedy) {
  if (model.network.input.kind == graph::InputKind::values) return {};
  return Error(ErrorCode::unsupported, strategy,
               fmt::format("the network '{}' takes tokens: it is no classifier", model.network.name), remedy);
}

Status require_folded(const std::string& strategy, const Model& model, const StepPlace* place) {
  if (place && place->follows("fold_batch_norm")) return {};
  bool any = false;
  for (const graph::Layer& layer : model.network.layers)
    any = any || std::holds_alternative<graph::BatchNorm>(layer.operation);
  if (!any) return {};
  MCOMP_TRY(folded, prune::fold_batch_norm(model.network, model.weights));
  if (folded.folded.empty()) return {};
  return Error(
      ErrorCode::invalid_argument, strategy,
      fmt::format("{} batch normalizations ('{}' ...) stand between layers", folded.folded.size(), folded.folded[0]),
      "put the step fold_batch_norm before it");
}

Result<std::optional<graph::Network>> network_at(const StepPlace& place) {
  constexpr std::array<std::string_view, 6> known{"fold_batch_norm", "prune_filters", "rotate",
                                                  "equalize",        "smooth",        "awq"};
  for (std::size_t i = 0; i < place.step; ++i)
    if (std::find(known.begin(), known.end(), place.steps[i]->name()) == known.end())
      return std::optional<graph::Network>();
  if (!place.follows("fold_batch_norm")) return std::optional(place.model.network);
  MCOMP_TRY(folded, prune::fold_batch_norm(place.model.network, place.model.weights));
  return std::optional(std::move(folded.network));
}

Result<SampleSource> range_samples(const Model& model, const Workbench& bench) {
  MCOMP_TRY(raw, bench.calibration->input(model.network.input));
  return SampleSource{
      static_cast<std::int64_t>(bench.range_rows.size()),
      [raw, &bench](std::int64_t begin, std::int64_t end) { return gather_rows(raw, bench.range_rows, begin, end); }};
}

LayerwiseOptions walk_options(const Workbench& bench) {
  LayerwiseOptions options;
  if (bench.make_runner)
    options.make_runner = [make = bench.make_runner](graph::Network network, TensorStore weights) {
      return make(Model{std::move(network), std::move(weights), {}, std::nullopt});
    };
  return options;
}

Status run_rows(const Workbench& bench, graph::Runner& runner, const std::vector<std::int64_t>& rows, const char* stage,
                const graph::Tap& tap, const std::function<Status(const Tensor& output)>& each) {
  const graph::Input& input_rule = runner.network().input;
  MCOMP_TRY(samples, bench.calibration->input(input_rule));
  // Constants: what observers see must not depend on the machine. Rows of tokens are many samples each.
  const std::int64_t batch = input_rule.kind == graph::InputKind::tokens ? 8 : 32;
  const auto count = static_cast<std::int64_t>(rows.size());
  for (std::int64_t begin = 0; begin < count; begin += batch) {
    MCOMP_CHECK(bench.context.check(stage));
    const std::int64_t end = std::min(count, begin + batch);
    MCOMP_TRY(raw, gather_rows(samples, rows, begin, end));
    MCOMP_TRY(input, graph::normalize(input_rule, raw));
    MCOMP_TRY(output, runner.run(input, tap));
    if (each) MCOMP_CHECK(each(output));
    bench.context.report(stage, end, count);
  }
  return {};
}

std::string LabelledLogits::samples() const {
  return fmt::format("{} calibration samples{}", labels.size(0), separate ? "" : " that also set ranges");
}

Result<LabelledLogits> labelled_logits(const std::string& strategy, const Model& model, const Workbench& bench,
                                       const char* stage) {
  MCOMP_TRY(labels, bench.calibration->labels());
  // Rows that set ranges would do, but others are one more step away from what was fitted.
  constexpr std::size_t enough = 100;
  const bool separate = bench.other_rows.size() >= enough;
  const std::vector<std::int64_t>& rows = separate ? bench.other_rows : bench.range_rows;
  MCOMP_TRY(runner, bench.runner(model));
  std::vector<float> logits;
  std::int64_t classes = 0;
  MCOMP_CHECK(run_rows(bench, *runner, rows, stage, {}, [&](const Tensor& output) -> Status {
    if (output.rank() != 2)
      return Error(ErrorCode::unsupported, strategy,
                   fmt::format("the network gives {}, not [samples, classes]", output), "calibrate classifiers");
    MCOMP_TRY(values, output.values<float>("logits"));
    classes = output.size(1);
    logits.insert(logits.end(), values.begin(), values.end());
    return {};
  }));
  if (std::holds_alternative<graph::Softmax>(model.network.find(model.network.output)->operation))
    for (float& p : logits) p = std::log(p);
  std::vector<std::int32_t> chosen;
  for (const std::int64_t row : rows) chosen.push_back(labels[static_cast<std::size_t>(row)]);
  const auto count = static_cast<std::int64_t>(rows.size());
  MCOMP_TRY(logits_tensor, Tensor::from(logits, {count, classes}));
  MCOMP_TRY(labels_tensor, Tensor::from(chosen, {count}));
  return LabelledLogits{std::move(logits_tensor), std::move(labels_tensor), separate};
}

Json to_json_value(const quant::Parameters& p) {
  return {{"dtype", to_string(p.dtype)},
          {"scale", static_cast<double>(p.scale)},
          {"zero_point", p.zero_point},
          {"symmetric", p.symmetric}};
}

Result<quant::Parameters> parameters_from_json(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  quant::Parameters p;
  const std::string dtype = reader.text("dtype");
  p.scale = static_cast<float>(reader.number("scale"));
  p.zero_point = static_cast<std::int32_t>(std::clamp<std::int64_t>(reader.integer("zero_point"), -1024, 1024));
  p.symmetric = reader.boolean("symmetric", false);
  MCOMP_CHECK(reader.finish());
  const auto type = dtype_from_string(dtype);
  if (!type) return type.error().within(where);
  p.dtype = *type;
  return p;
}

} // namespace mcomp::inline v0::compress::detail
