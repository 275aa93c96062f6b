// Sections as charts.

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "report/page.hpp"
#include "report/scale.hpp"

namespace mcomp::inline v0::report::detail {

namespace {

double metric(const TrialSection::Trial& trial, const Measure& measure) {
  const auto found = trial.metrics.find(measure.name);
  return found == trial.metrics.end() ? not_known : found->second;
}

/// Numbered by their time, whatever order they were added in.
std::vector<ChartMark> marks_of(std::vector<TimelineMark> marks) {
  std::stable_sort(marks.begin(), marks.end(),
                   [](const TimelineMark& a, const TimelineMark& b) { return a.time < b.time; });
  std::vector<ChartMark> result;
  for (const TimelineMark& mark : marks) result.push_back({static_cast<double>(mark.time), mark.label, mark.detail});
  return result;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return text;
}

} // namespace

std::string label_of(const Measure& measure) {
  return measure.label.empty() ? measure.name : measure.label;
}

ScatterChart trial_chart(const TrialSection& section) {
  ScatterChart chart{.text = {},
                     .x = {.label = label_of(section.across), .unit = section.across.unit},
                     .y = {.label = label_of(section.up), .unit = section.up.unit},
                     .higher_x_better = section.across.higher_better,
                     .higher_y_better = section.up.higher_better};
  for (const auto& trial : section.trials)
    chart.points.push_back({.name = trial.name.empty() ? trial.id : trial.name,
                            .x = metric(trial, section.across),
                            .y = metric(trial, section.up),
                            .group = trial.status,
                            .contends = trial.status != "failed"});
  // Sizes of one network differ by factors.
  Range sizes;
  for (const auto& p : chart.points) sizes.add(p.x, Scale::logarithmic);
  if (section.across.unit == "bytes" && sizes.any && sizes.upper > 4 * sizes.lower) chart.x.scale = Scale::logarithmic;
  const std::vector<std::string> front = pareto_front(chart);
  chart.text.title = fmt::format("Trials: {} against {}", label_of(section.up), label_of(section.across));
  chart.text.summary =
      front.empty()
          ? std::string("No trial has both numbers.")
          : fmt::format("Of {} trials {} {} beaten by no other: {}.", section.trials.size(), front.size(),
                        front.size() == 1 ? "is" : "are",
                        joined({front.begin(),
                                front.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(front.size(), 6))}) +
                            (front.size() > 6 ? " and others" : ""));
  return chart;
}

HeatMap layer_chart(const LayerSection& section) {
  HeatMap chart{.text = {.title = section.subject.empty() ? "Layers" : section.subject, .summary = {}},
                .row_label = "layer"};
  for (const Measure& measure : section.measures) chart.columns.push_back({label_of(measure), measure.unit});
  // What all names end in tells none apart.
  const auto suffixed = [](const auto& layer) { return layer.name.ends_with(".weight"); };
  const bool suffix = std::all_of(section.layers.begin(), section.layers.end(), suffixed);
  for (const auto& layer : section.layers) {
    chart.rows.push_back(suffix ? layer.name.substr(0, layer.name.size() - 7) : layer.name);
    chart.values.push_back(layer.values);
  }
  chart.text.summary = fmt::format("{} layers, {} measures; darker or lighter against the page means more of a column.",
                                   section.layers.size(), section.measures.size());
  return chart;
}

ReliabilityChart reliability_chart(const ReliabilitySection& section) {
  return {.text = {.title = fmt::format("Reliability: {}", section.name.empty() ? "model" : section.name),
                   .summary = fmt::format(
                       "{} rows; mean confidence {}, accuracy {}, expected calibration error {}.",
                       compact(static_cast<double>(section.rows)), format_number(section.confidence, "fraction"),
                       format_number(section.accuracy, "fraction"), number_text(section.ece, "", 3))},
          .bins = section.bins};
}

Histogram latency_histogram(const LatencySection& section) {
  Histogram chart{.text = {.title = "Latency, distribution", .summary = {}},
                  .x = {.label = "latency", .unit = "seconds", .scale = Scale::logarithmic}};
  for (const auto& model : section.models) {
    if (!model.bins.empty()) chart.samples.push_back({model.name, model.bins});
    chart.text.summary +=
        fmt::format("{}{}: p50 {}, p99 {}", chart.text.summary.empty() ? "" : "; ", model.name,
                    format_number(model.p50.value, "seconds"), format_number(model.p99.value, "seconds"));
  }
  chart.text.summary += ".";
  if (section.p99_limit) chart.limits.push_back({"p99 limit", *section.p99_limit});
  return chart;
}

LineChart latency_distribution(const LatencySection& section) {
  LineChart chart{
      .text = {.title = "Latency, cumulative", .summary = "Share of requests that were answered within a time."},
      .x = {.label = "latency", .unit = "seconds", .scale = Scale::logarithmic},
      .y = {.label = "share of requests", .unit = "fraction", .from_zero = true}};
  chart.y.lower = 0, chart.y.upper = 1;
  for (const auto& model : section.models) {
    double total = 0, sum = 0;
    for (const auto& bin : model.bins) total += static_cast<double>(std::max<std::int64_t>(bin.count, 0));
    if (total <= 0) continue;
    LineChart::Line line{.name = model.name, .x = {model.bins.front().lower}, .y = {0}};
    for (const auto& bin : model.bins) {
      sum += static_cast<double>(std::max<std::int64_t>(bin.count, 0));
      line.x.push_back(bin.upper), line.y.push_back(sum / total);
    }
    chart.lines.push_back(std::move(line));
  }
  chart.limits.push_back({"99 in 100", 0.99});
  return chart;
}

BarChart slice_chart(const SliceSection& section, std::size_t m) {
  const Measure& measure = section.measures[m];
  BarChart chart{.text = {.title = "By slice: " + label_of(measure), .summary = {}},
                 .value = {.label = label_of(measure), .unit = measure.unit},
                 .name_label = "slice",
                 .reference = measure.limit,
                 .reference_name = measure.higher_better ? "at least" : "at most",
                 .dots = true};
  double worst = not_known;
  std::string name;
  bool alike = true;
  for (const auto& slice : section.slices) {
    const Estimate value = m < slice.values.size() ? slice.values[m] : Estimate{};
    alike = alike && (std::isnan(worst) || value.value == worst);
    if (std::isfinite(value.value) &&
        (std::isnan(worst) || (measure.higher_better ? value.value < worst : value.value > worst)))
      worst = value.value, name = slice.name;
    chart.bars.push_back(
        {.name = slice.name, .value = value, .note = fmt::format("{} rows", compact(static_cast<double>(slice.rows)))});
  }
  chart.text.summary = name.empty() ? "Nothing was measured."
                       : alike && section.slices.size() > 1
                           ? fmt::format("All alike: {}.", number_text(worst, measure.unit, 3))
                           : fmt::format("Worst: {} with {}.", name, number_text(worst, measure.unit, 3));
  return chart;
}

LineChart drift_chart(const DriftSection& section, std::size_t s) {
  const auto& series = section.series[s];
  LineChart chart{.text = {.title = series.name, .summary = {}},
                  .x = {.label = "time", .scale = Scale::time},
                  .y = {.label = series.name, .unit = series.unit, .from_zero = true},
                  .marks = marks_of(section.marks)};
  LineChart::Line line{.name = series.name, .x = {}, .y = {}};
  std::size_t above = 0;
  for (const Reading& r : series.readings) {
    line.x.push_back(static_cast<double>(r.time)), line.y.push_back(r.value);
    if (series.limit && r.value > *series.limit) ++above;
  }
  chart.lines.push_back(std::move(line));
  if (series.limit) {
    chart.limits.push_back({"limit", *series.limit});
    chart.text.summary = fmt::format("{} of {} readings are above the limit of {}.", above, series.readings.size(),
                                     format_number(*series.limit, series.unit));
  } else {
    chart.text.summary = fmt::format("{} readings.", series.readings.size());
  }
  return chart;
}

LineChart rollout_chart(const RolloutSection& section) {
  LineChart chart{.text = {.title = "Rollout: share of the traffic", .summary = {}},
                  .x = {.label = "time", .scale = Scale::time},
                  .y = {.label = "share of users", .unit = "fraction", .from_zero = true},
                  .marks = marks_of(section.marks)};
  chart.y.lower = 0, chart.y.upper = 1;
  LineChart::Line line{.name = "candidate", .x = {}, .y = {}, .step = true};
  double most = 0;
  for (const auto& stage : section.stages) {
    line.x.push_back(static_cast<double>(stage.from)), line.y.push_back(stage.share);
    chart.spans.push_back({static_cast<double>(stage.from), static_cast<double>(stage.until), stage.name});
    most = std::max(most, stage.share);
  }
  if (!section.stages.empty()) {
    const auto& last = section.stages.back();
    line.x.push_back(static_cast<double>(last.until)), line.y.push_back(last.share);
    chart.text.summary = fmt::format("At most {} of the users saw the candidate; at the end it is {} with {}.",
                                     format_number(most, "fraction"), last.name, format_number(last.share, "fraction"));
  }
  chart.lines.push_back(std::move(line));
  return chart;
}

Waterfall cost_chart(const CostSection& section) {
  return {.text = {.title = "Cost per month, from baseline to candidate",
                   .summary =
                       fmt::format("Saving {} per month{}.", estimate_text(section.saving, section.currency),
                                   section.break_even_months ? fmt::format("; it has paid for itself after {} months",
                                                                           compact(*section.break_even_months, 2))
                                                             : "")},
          .unit = section.currency,
          .begin_name = section.baseline.empty() ? "baseline" : section.baseline,
          .end_name = section.candidate.empty() ? "candidate" : section.candidate,
          .begin = section.baseline_per_month,
          .steps = section.changes};
}

BarChart lever_chart(const CostSection& section) {
  BarChart chart{.text = {.title = "What moves the saving",
                          .summary = "Saving per month where one input is lower or higher, all else as it is."},
                 .value = {.label = "saving per month", .unit = section.currency},
                 .name_label = "input",
                 .reference = 0,
                 .reference_name = "no saving",
                 .dots = true};
  for (const auto& lever : section.levers) {
    const stats::Interval range{std::min(lever.saving_at_low, lever.saving_at_high),
                                std::max(lever.saving_at_low, lever.saving_at_high), 0};
    if (range.width() <= 0.002 * std::abs(section.saving.value)) continue; // it moves nothing
    chart.bars.push_back({.name = lever.input,
                          .value = {.value = section.saving.value, .interval = range},
                          .note = fmt::format("{} to {}", compact(lever.low, 3), compact(lever.high, 3)),
                          .shown = fmt::format("{} to {}", compact(range.lower, 3), compact(range.upper, 3))});
  }
  return chart;
}

LineChart hour_chart(const CostSection& section) {
  LineChart chart{.text = {.title = "Machines by hour of the day",
                           .summary = "Cost per month of the machines that run in each hour."},
                  .x = {.label = "hour of the day", .unit = "count"},
                  .y = {.label = "cost per month", .unit = section.currency, .from_zero = true}};
  chart.x.lower = 0, chart.x.upper = 24;
  LineChart::Line before{
      .name = section.baseline.empty() ? "baseline" : section.baseline, .x = {}, .y = {}, .step = true};
  LineChart::Line after{
      .name = section.candidate.empty() ? "candidate" : section.candidate, .x = {}, .y = {}, .step = true};
  for (const auto& hour : section.hours) {
    before.x.push_back(hour.hour), before.y.push_back(hour.baseline);
    after.x.push_back(hour.hour), after.y.push_back(hour.candidate);
  }
  if (!section.hours.empty()) {
    before.x.push_back(section.hours.back().hour + 1), before.y.push_back(section.hours.back().baseline);
    after.x.push_back(section.hours.back().hour + 1), after.y.push_back(section.hours.back().candidate);
  }
  chart.lines = {std::move(before), std::move(after)};
  return chart;
}

std::string estimate_text(const Estimate& estimate, const std::string& unit) {
  std::string text = number_text(estimate.value, unit, 3);
  if (!estimate.interval) return text;
  const ShownUnit shown = shown_unit(unit, std::isfinite(estimate.value) ? estimate.value : estimate.interval->upper);
  return text + fmt::format(" ({} to {})", in_unit(estimate.interval->lower, shown, 3),
                            in_unit(estimate.interval->upper, shown, 3));
}

Tone tone_of(std::string_view outcome) {
  if (outcome == "pass" || outcome == "met" || outcome == "won" || outcome == "adopt") return Tone::good;
  if (outcome == "fail" || outcome == "missed" || outcome == "failed" || outcome == "reject") return Tone::bad;
  if (outcome == "insufficient_data" || outcome == "not measured" || outcome == "undecided") return Tone::warn;
  return Tone::none;
}

std::string outcome_word(std::string_view outcome) {
  std::string word(outcome);
  std::replace(word.begin(), word.end(), '_', ' ');
  return word;
}

} // namespace mcomp::inline v0::report::detail
