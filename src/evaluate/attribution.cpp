#include "mcomp/evaluate/attribution.hpp"

#include <algorithm>
#include <set>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

Status check_rows(const std::vector<std::int64_t>& rows, const RowScores& scores) {
  for (const std::int64_t row : rows)
    if (row < 0 || row >= scores.rows())
      return Error(ErrorCode::invalid_argument, "rows",
                   fmt::format("row {} is asked about, {} are scored", row, scores.rows()),
                   "name rows that are scored");
  return {};
}

Result<AttributedChange> change(const RowScores& before, const RowScores& after, const AttributionOptions& options) {
  if (before.rows() != after.rows())
    return Error(ErrorCode::invalid_shape, "scores",
                 fmt::format("one network was scored on {} rows, another on {}", before.rows(), after.rows()),
                 "score the same rows every time");
  AttributedChange result;
  double increase = 0;
  std::int64_t n = 0;
  const auto add = [&](std::size_t i) {
    const bool was = before.correct[i] != 0, is = after.correct[i] != 0;
    ++(was ? (is ? result.accuracy.both_right : result.accuracy.only_baseline_right)
           : (is ? result.accuracy.only_candidate_right : result.accuracy.both_wrong));
    // Two infinities are no change.
    if (before.loss[i] != after.loss[i]) increase += after.loss[i] - before.loss[i];
    ++n;
  };
  if (options.rows.empty())
    for (std::size_t i = 0; i < before.correct.size(); ++i) add(i);
  else
    for (const std::int64_t row : options.rows) add(static_cast<std::size_t>(row));
  result.loss_increase = increase / static_cast<double>(n);
  MCOMP_TRY(interval, stats::tango_interval(result.accuracy, options.level));
  result.accuracy_loss = interval;
  return result;
}

/// Gains, for losses are stored; 0 less a loss, which is never minus zero.
std::string points(const AttributedChange& change) {
  return fmt::format("{:+.2f} [{:+.2f}, {:+.2f}]", 0 - 100 * change.accuracy.loss(),
                     0 - 100 * change.accuracy_loss.upper, 0 - 100 * change.accuracy_loss.lower);
}

Error no_function(const char* name) {
  return {ErrorCode::invalid_argument, name, "it is no function", "pass a callable"};
}

} // namespace

Result<Attribution> attribute_layers(const std::vector<std::string>& layers, const VariantScorer& scorer,
                                     const AttributionOptions& options, const Context& context) {
  if (layers.empty())
    return Error(ErrorCode::invalid_argument, "layers", "there are none", "name the layers that were compressed");
  if (!scorer) return no_function("scorer");
  std::set<std::string_view> names;
  for (const std::string& layer : layers)
    if (!names.insert(layer).second)
      return Error(ErrorCode::invalid_argument, "layers", fmt::format("'{}' is named twice", layer), "name it once");
  const auto total = static_cast<std::int64_t>(2 + layers.size() * (options.alone ? 2 : 1));
  std::int64_t done = 0;
  const auto scored = [&](const std::vector<std::string>& compressed) -> Result<RowScores> {
    MCOMP_CHECK(context.check("attribution"));
    context.report("attribution", done++, total);
    MCOMP_TRY(scores, scorer(compressed));
    MCOMP_CHECK(check(scores, "scores"));
    return std::move(scores);
  };
  Attribution attribution;
  MCOMP_TRY(original, scored({}));
  MCOMP_CHECK(check_rows(options.rows, original));
  MCOMP_TRY(compressed, scored(layers));
  MCOMP_TRY(all, change(original, compressed, options));
  attribution.total = all;
  for (const std::string& layer : layers) {
    std::vector<std::string> others;
    std::copy_if(layers.begin(), layers.end(), std::back_inserter(others),
                 [&](const auto& other) { return other != layer; });
    LayerAttribution entry{.layer = layer};
    MCOMP_TRY(without, scored(others));
    MCOMP_TRY(put_back, change(compressed, without, options));
    entry.put_back = put_back;
    if (options.alone) {
      MCOMP_TRY(with, scored({layer}));
      MCOMP_TRY(alone, change(original, with, options));
      entry.alone = alone;
    }
    attribution.layers.push_back(std::move(entry));
  }
  context.report("attribution", total, total);
  std::stable_sort(attribution.layers.begin(), attribution.layers.end(),
                   [](const auto& a, const auto& b) { return a.put_back.loss_increase < b.put_back.loss_increase; });
  return attribution;
}

std::string to_string(const Attribution& a) {
  std::string text =
      fmt::format("all layers: accuracy {} points, mean loss {:+.4g}\n\n| layer | put back: accuracy, points "
                  "| mean loss | alone: accuracy, points | mean loss |\n| --- | --- | --- | --- | --- |\n",
                  points(a.total), a.total.loss_increase);
  for (const LayerAttribution& layer : a.layers) {
    text += fmt::format("| {} | {} | {:+.4g} |", layer.layer, points(layer.put_back), layer.put_back.loss_increase);
    text += layer.alone ? fmt::format(" {} | {:+.4g} |\n", points(*layer.alone), layer.alone->loss_increase) : " | |\n";
  }
  return text;
}

Result<std::vector<StepAttribution>>
attribute_steps(const std::vector<std::string>& steps,
                const std::function<Result<StepMeasurement>(std::size_t done)>& measure,
                const AttributionOptions& options, const Context& context) {
  if (steps.empty())
    return Error(ErrorCode::invalid_argument, "steps", "there are none", "name the steps of the recipe");
  if (!measure) return no_function("measure");
  const auto measured = [&](std::size_t done) -> Result<StepMeasurement> {
    MCOMP_CHECK(context.check("steps"));
    context.report("steps", static_cast<std::int64_t>(done), static_cast<std::int64_t>(steps.size() + 1));
    MCOMP_TRY(measurement, measure(done));
    MCOMP_CHECK(check(measurement.scores, "scores"));
    if ((measurement.bytes && *measurement.bytes < 1) ||
        (measurement.latency_seconds && !(*measurement.latency_seconds > 0)))
      return Error(ErrorCode::invalid_value, "measurement",
                   fmt::format("after {} steps bytes or seconds are not positive", done),
                   "leave out what was not measured");
    return std::move(measurement);
  };
  MCOMP_TRY(original, measured(0));
  MCOMP_CHECK(check_rows(options.rows, original.scores));
  StepMeasurement before = original;
  std::vector<StepAttribution> attribution;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    MCOMP_TRY(after, measured(i + 1));
    StepAttribution entry{.step = steps[i]};
    MCOMP_TRY(by_step, change(before.scores, after.scores, options));
    MCOMP_TRY(so_far, change(original.scores, after.scores, options));
    entry.change = by_step;
    entry.so_far = so_far;
    if (before.bytes && after.bytes)
      entry.bytes_ratio = static_cast<double>(*after.bytes) / static_cast<double>(*before.bytes);
    if (before.latency_seconds && after.latency_seconds)
      entry.speedup = *before.latency_seconds / *after.latency_seconds;
    attribution.push_back(std::move(entry));
    before = std::move(after);
  }
  return attribution;
}

std::string to_string(const std::vector<StepAttribution>& steps) {
  std::string text = "| step | accuracy, points | mean loss | so far, points | bytes | speed |\n| --- | --- | --- | "
                     "--- | --- | --- |\n";
  for (const StepAttribution& s : steps)
    text += fmt::format("| {} | {} | {:+.4g} | {} | {} | {} |\n", s.step, points(s.change), s.change.loss_increase,
                        points(s.so_far), s.bytes_ratio ? fmt::format("{:.3f}x", *s.bytes_ratio) : "",
                        s.speedup ? fmt::format("{:.2f}x", *s.speedup) : "");
  return text;
}

} // namespace mcomp::inline v0::evaluate
