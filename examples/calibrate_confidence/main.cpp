// Fits a confidence calibrator on one range of rows of a network's outputs, and reports on another: metrics before and
// after with intervals, by slice, whether the rows are calibrated at all, prediction sets, and reliability diagrams.

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "mcomp/calibrate/calibration_test.hpp"
#include "mcomp/calibrate/conformal.hpp"
#include "mcomp/calibrate/kernel_calibration_error.hpp"
#include "mcomp/calibrate/reliability_diagram.hpp"
#include "mcomp/calibrate/selection.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "program.hpp"
#include "recorded_rows.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::calibrate;
using example::Report;
using example::Rows;
using Json = Report::Json;

struct Job {
  std::string fit, report, method = "select", json, svg, criterion = "nll";
  example::TensorNames names{}, report_names{};
  std::size_t slice_column = 0;
  int bins = 15, folds = 5, threads = 1, resamples = 999;
  std::uint64_t seed = 1;
  double coverage = 0.9;
};

/// JSON has no infinity: null then.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Json json_of(const stats::Interval& interval) {
  return Json::array({number(interval.lower), number(interval.upper)});
}

Json json_of(const CalibrationMetrics& m) {
  return {{"rows", m.count},
          {"accuracy_fraction", m.accuracy},
          {"confidence_fraction", m.confidence},
          {"nll_nats", number(m.nll)},
          {"brier", m.brier},
          {"ece", m.ece},
          {"ece_mass", m.ece_mass},
          {"ece_debiased", m.ece_debiased},
          {"ece_sweep", m.ece_sweep},
          {"sweep_bins", m.sweep_bins},
          {"rms_calibration_error", m.rms},
          {"mce", m.mce},
          {"ace", m.ace},
          {"ks", m.ks},
          {"classwise_ece", m.classwise_ece},
          {"top_label_brier",
           {{"reliability", m.top_label.reliability},
            {"resolution", m.top_label.resolution},
            {"uncertainty", m.top_label.uncertainty},
            {"within_bin", m.top_label.within_bin}}}};
}

Json bins_of(const ReliabilityDiagram& diagram) {
  Json bins = Json::array();
  for (std::size_t b = 0; b < diagram.metrics.bins.size(); ++b) {
    const ReliabilityBin& bin = diagram.metrics.bins[b];
    Json entry{{"lower", bin.lower},
               {"upper", bin.upper},
               {"rows", bin.count},
               {"confidence_fraction", bin.confidence},
               {"accuracy_fraction", bin.accuracy}};
    if (b < diagram.bands.size()) entry["if_calibrated"] = json_of(diagram.bands[b]);
    bins.push_back(std::move(entry));
  }
  return bins;
}

Json described(const Rows& rows) {
  return {{"file", rows.source.file},      {"tensor", rows.tensor}, {"first_row", *rows.source.first},
          {"last_row", *rows.source.last}, {"rows", rows.count()},  {"classes", rows.classes()}};
}

/// Rows of one state, before or after, measured in every way.
struct Measured {
  CalibrationMetrics metrics{};
  RowOutcomes rows{};
  MetricIntervals intervals{};
  CalibrationTest test{};
  KernelError kernel{};
  ReliabilityDiagram diagram{};
  std::vector<std::vector<CalibrationMetrics>> slices{}; ///< by column and group
};

Result<Measured> measure(const TensorView& outputs, bool probabilities, const Rows& rows, const Job& job,
                         const std::string& title, Executor* executor) {
  Measured result;
  const MetricOptions options{.bins = job.bins, .executor = executor};
  auto metrics = probabilities ? measure_probabilities(outputs, rows.labels, options)
                               : measure_logits(outputs, rows.labels, 1, options);
  if (!metrics) return metrics.error();
  auto outcomes = probabilities ? outcomes_of_probabilities(outputs, rows.labels, executor)
                                : outcomes_of_logits(outputs, rows.labels, 1, executor);
  if (!outcomes) return outcomes.error();
  result.metrics = std::move(*metrics);
  result.rows = std::move(*outcomes);
  const ResamplingOptions resampling{
      .resamples = job.resamples, .bins = job.bins, .seed = job.seed, .executor = executor};
  auto intervals = bootstrap_intervals(result.rows, resampling);
  if (!intervals) return intervals.error();
  result.intervals = *intervals;
  auto test = calibration_test(result.rows.confidence, result.rows.correct, CalibrationStatistic::ks, resampling);
  if (!test) return test.error();
  result.test = *test;
  auto diagram = reliability_diagram(
      result.rows,
      {.title = title, .bins = job.bins, .resamples = job.resamples, .seed = job.seed, .executor = executor});
  if (!diagram) return diagram.error();
  result.diagram = std::move(*diagram);
  if (rows.count() >= 2) {
    Tensor p;
    if (!probabilities) {
      auto from_logits = Calibrator().probabilities(outputs, {.executor = executor});
      if (!from_logits) return from_logits.error();
      p = std::move(*from_logits);
    }
    auto kernel = kernel_calibration_error(probabilities ? outputs : p.view(), rows.labels, {.executor = executor});
    if (!kernel) return kernel.error();
    result.kernel = *kernel;
  }
  for (const evaluate::Slicing& column : rows.slices) {
    const auto groups = static_cast<std::int32_t>(column.groups.size());
    auto by_slice = probabilities ? measure_probabilities_by_slice(outputs, rows.labels, column.group, groups, options)
                                  : measure_logits_by_slice(outputs, rows.labels, column.group, groups, 1, options);
    if (!by_slice) return by_slice.error();
    result.slices.push_back(std::move(*by_slice));
  }
  return result;
}

void keep(Report& report, const std::string& key, const Measured& measured) {
  Json json = json_of(measured.metrics);
  json["infinite_nll_rows"] =
      std::count_if(measured.rows.nll.begin(), measured.rows.nll.end(), [](double nll) { return std::isinf(nll); });
  const MetricIntervals& i = measured.intervals;
  json["intervals"] = {{"level", i.accuracy.level},  {"accuracy_fraction", json_of(i.accuracy)},
                       {"nll_nats", json_of(i.nll)}, {"brier", json_of(i.brier)},
                       {"ece", json_of(i.ece)},      {"ece_debiased", json_of(i.ece_debiased)},
                       {"ks", json_of(i.ks)}};
  json["calibration_test"] = {{"statistic", "ks"},
                              {"value", measured.test.statistic},
                              {"expected_if_calibrated", measured.test.expected},
                              {"p_value", measured.test.p_value},
                              {"resamples", measured.test.resamples}};
  if (measured.kernel.blocks > 0)
    json["kernel_calibration_error"] = {{"value", number(measured.kernel.value)},
                                        {"standard_error", number(measured.kernel.standard_error)},
                                        {"p_value", number(measured.kernel.p_value)},
                                        {"bandwidth", measured.kernel.bandwidth}};
  json["bins"] = bins_of(measured.diagram);
  report.keep(key, std::move(json));
}

/// Fits what was asked for, or what cross-validation chooses.
Result<FittedCalibrator> fit(const Job& job, const Rows& rows, Executor* executor, Report& report) {
  CalibratorOptions options{.seed = job.seed, .executor = executor};
  if (!rows.slices.empty()) options.slices = rows.slices[job.slice_column].group;
  if (job.method == "select") {
    // Nested cross-validation costs as many fits again; beyond so many numbers that is minutes.
    const bool nested = rows.logits.elements() <= 20'000'000 && job.folds >= 3;
    auto selection = select_calibrator(rows.logits, rows.labels,
                                       {.criterion = job.criterion == "brier" ? Criterion::brier : Criterion::nll,
                                        .folds = job.folds,
                                        .nested = nested,
                                        .fit = options});
    if (!selection) return selection.error();
    report.say("method", to_string(selection->chosen.method), fmt::format("Chosen: {}", to_string(*selection)));
    report.keep("method_reason", fmt::format("least {} in {}-fold cross-validation on the rows of the fit",
                                             to_string(selection->criterion), selection->folds));
    for (const CandidateScore& candidate : selection->candidates) {
      Json entry{{"method", to_string(candidate.method)}};
      if (candidate.refused.empty()) {
        entry["score"] = number(candidate.score);
        entry["gain"] = number(candidate.gain);
        entry["gain_standard_error"] = number(candidate.standard_error);
      } else {
        entry["refused"] = candidate.refused;
      }
      Json candidates = report.content().value("candidates", Json::array());
      candidates.push_back(std::move(entry));
      report.keep("candidates", std::move(candidates));
    }
    if (selection->nested) report.keep("nested_score", number(selection->nested_score));
    return std::move(selection->chosen);
  }
  const auto method = method_from_string(job.method);
  if (!method) return method.error();
  options.folds = static_cast<int>(std::min<std::int64_t>(job.folds, rows.count()));
  if (options.folds < 2) options.folds = 0;
  auto fitted = fit_calibrator(*method, rows.logits, rows.labels, options);
  if (!fitted) return fitted.error();
  report.say("method", job.method, fmt::format("Asked for: {}", to_string(*fitted)));
  report.keep("method_reason", "named on the command line");
  if (fitted->guard.checked)
    report.keep("guard", {{"folds", fitted->guard.folds},
                          {"rows", fitted->guard.count},
                          {"nll_before_nats", number(fitted->guard.nll_before)},
                          {"nll_after_nats", number(fitted->guard.nll_after)},
                          {"rejected", fitted->guard.rejected}});
  return fitted;
}

/// Coverage of prediction sets on the reported rows, with thresholds from the rows of the fit. Of probabilities as they
/// came: the calibrator has seen the rows of the fit, so that after it the two are no longer exchangeable.
Status conformal(const Job& job, const Rows& fit_rows, const Rows& rows, Executor* executor, Report& report) {
  const auto fit_p = Calibrator().probabilities(fit_rows.logits, {.executor = executor});
  if (!fit_p) return fit_p.error();
  const auto p = Calibrator().probabilities(rows.logits, {.executor = executor});
  if (!p) return p.error();
  for (const auto score : {ConformalScore::lac, ConformalScore::aps, ConformalScore::raps}) {
    const auto predictor =
        fit_conformal(*fit_p, fit_rows.labels, {.score = score, .miscoverage = 1 - job.coverage, .seed = job.seed});
    if (!predictor) return predictor.error();
    const auto sets = prediction_sets(*predictor, *p);
    if (!sets) return sets.error();
    const auto metrics = measure_sets(*sets, rows.labels);
    if (!metrics) return metrics.error();
    report.row("conformal",
               {{"score", to_string(score)},
                {"promised_fraction", job.coverage},
                {"threshold", number(predictor->threshold)},
                {"covered_fraction", metrics->coverage},
                {"mean_size", metrics->mean_size},
                {"empty_fraction", metrics->empty}},
               fmt::format("Sets by {:<5} promise {:.1f}%, cover {:.2f}% with {:.2f} classes on average",
                           to_string(score), 100 * job.coverage, 100 * metrics->coverage, metrics->mean_size));
  }
  return {};
}

void report_slices(const Rows& rows, const Measured& before, const Measured& after, Report& report) {
  for (std::size_t c = 0; c < rows.slices.size(); ++c)
    for (std::size_t g = 0; g < rows.slices[c].groups.size(); ++g) {
      const CalibrationMetrics &b = before.slices[c][g], &a = after.slices[c][g];
      report.row("slices",
                 {{"column", rows.slices[c].dimension},
                  {"slice", rows.slices[c].groups[g]},
                  {"rows", b.count},
                  {"before", json_of(b)},
                  {"after", json_of(a)}},
                 b.count == 0 ? fmt::format("{} {}: no rows", rows.slices[c].dimension, rows.slices[c].groups[g])
                              : fmt::format("{} {}: {} rows, accuracy {:.2f}%, NLL {:.4f} -> {:.4f}, debiased ECE "
                                            "{:.4f} -> {:.4f}",
                                            rows.slices[c].dimension, rows.slices[c].groups[g], b.count,
                                            100 * a.accuracy, b.nll, a.nll, b.ece_debiased, a.ece_debiased));
    }
}

Status check(const Job& job, const Rows& fit_rows, const Rows& rows) {
  if (fit_rows.classes() != rows.classes())
    return Error(ErrorCode::invalid_shape, "--report",
                 fmt::format("{} classes, and the rows of the fit have {}", rows.classes(), fit_rows.classes()),
                 "pass outputs of the same network");
  if (fit_rows.are_probabilities != rows.are_probabilities)
    return Error(ErrorCode::invalid_argument, "--report", "one range has logits, the other probabilities",
                 "pass the same of both");
  if (job.slice_column >= std::max<std::size_t>(fit_rows.slices.size(), 1))
    return Error(ErrorCode::invalid_argument, "--slice-column",
                 fmt::format("column {} of {}", job.slice_column, fit_rows.slices.size()), "count from 0");
  if (fit_rows.slices.empty() != rows.slices.empty())
    return Error(ErrorCode::not_found, "slices", "one range has slices, the other has none",
                 "give both files the tensor, or name another with --slices");
  return {};
}

Result<example::ExitStatus> run(const Job& job, const std::filesystem::path& out, Report& report) {
  const auto fit_source = example::row_source(job.fit, "--fit"), source = example::row_source(job.report, "--report");
  if (!fit_source) return fit_source.error();
  if (!source) return source.error();
  const auto fit_rows = example::read_rows(*fit_source, job.names),
             rows = example::read_rows(*source, job.report_names);
  if (!fit_rows) return fit_rows.error();
  if (!rows) return rows.error();
  if (const auto checked = check(job, *fit_rows, *rows); !checked) return checked.error();
  report.keep("fit", described(*fit_rows));
  report.keep("report", described(*rows));
  std::int64_t overlap = 0;
  std::error_code no_matter;
  if (std::filesystem::equivalent(fit_rows->source.file, rows->source.file, no_matter) &&
      fit_rows->tensor == rows->tensor)
    overlap = std::max<std::int64_t>(0, std::min(*fit_rows->source.last, *rows->source.last) -
                                            std::max(*fit_rows->source.first, *rows->source.first) + 1);
  if (overlap > 0)
    report.say("overlapping_rows", overlap,
               fmt::format("{} of the reported rows were fitted on, and flatter", overlap));
  else
    report.keep("overlapping_rows", 0);

  ThreadPool pool(job.threads);
  auto fitted = fit(job, *fit_rows, &pool, report);
  if (!fitted) return fitted.error();
  report.keep("calibrator", to_string(fitted->calibrator));
  report.keep("calibrator_rejected", fitted->guard.rejected);
  report.keep("fit_report", {{"parameters", fitted->report.parameters},
                             {"nll_before_nats", number(fitted->report.nll_before)},
                             {"nll_after_nats", number(fitted->report.nll_after)},
                             {"penalty", fitted->report.penalty},
                             {"gradient_norm", fitted->report.gradient_norm},
                             {"iterations", fitted->report.iterations},
                             {"optimum_reached", fitted->report.optimum_reached}});

  ApplyOptions apply{.executor = &pool};
  if (!rows->slices.empty()) apply.slices = rows->slices[job.slice_column].group;
  const auto p = fitted->calibrator.probabilities(rows->logits, apply);
  if (!p) return p.error();
  const auto before = measure(rows->outputs, rows->are_probabilities, *rows, job, "before", &pool);
  if (!before) return before.error();
  const auto after = measure(*p, true, *rows, job, "after: " + to_string(fitted->calibrator.method()), &pool);
  if (!after) return after.error();
  keep(report, "before", *before);
  keep(report, "after", *after);
  fmt::print("Before: {}\n        {}\n", to_string(before->metrics), to_string(before->test));
  fmt::print("After:  {}\n        {}\n", to_string(after->metrics), to_string(after->test));
  report_slices(*rows, *before, *after, report);
  if (const auto done = conformal(job, *fit_rows, *rows, &pool, report); !done) return done.error();

  const ReliabilityDiagram diagrams[] = {before->diagram, after->diagram};
  const std::filesystem::path svg = job.svg.empty() ? out / "reliability.svg" : std::filesystem::path(job.svg);
  if (const auto written = write_file(svg, to_svg(diagrams)); !written) return written.error();
  const std::filesystem::path calibrator = out / "calibrator.json";
  if (const auto written = write_file(calibrator, fitted->calibrator.to_json()); !written) return written.error();
  report.keep("svg", svg.string());
  report.keep("calibrator_file", calibrator.string());
  if (!job.json.empty()) {
    report.keep("status", to_string(example::ExitStatus::done));
    if (const auto written = report.write(job.json); !written) return written.error();
  }
  return example::ExitStatus::done;
}

} // namespace

int main(int argc, char** argv) {
  example::Program program("calibrate_confidence",
                           "Fits a confidence calibrator on recorded outputs of a network and reports on other rows.",
                           "calibration-report");
  Job job;
  CLI::App& app = program.options();
  app.add_option("--fit", job.fit, "Rows to fit on: FILE or FILE:A-B (safetensors; rows A to B, both included, from 0)")
      ->required();
  app.add_option("--report", job.report, "Rows to report on, in the same form")->required();
  app.add_option("--method", job.method,
                 "select (by cross-validation), identity, temperature, slice_temperature, vector, matrix, dirichlet, "
                 "platt, beta, isotonic, histogram, bbq, scaling_binning, spline or head")
      ->capture_default_str();
  app.add_option("--criterion", job.criterion, "What selects: nll or brier")
      ->capture_default_str()
      ->check(CLI::IsMember({"nll", "brier"}));
  auto* logits = app.add_option("--logits", job.names.logits, "Tensor of logits (default: logits, where it is there)");
  app.add_option("--probabilities", job.names.probabilities, "Tensor of probabilities (default: probabilities)")
      ->excludes(logits);
  app.add_option("--labels", job.names.labels, "Tensor of labels")->capture_default_str();
  auto* slices = app.add_option("--slices", job.names.slices, "Tensor of slices, int32 [rows] or [rows, k]")
                     ->capture_default_str();
  auto* report_logits = app.add_option("--report-logits", job.report_names.logits,
                                       "The same of the reported rows, where names differ (default: as of the fit)");
  auto* report_probabilities = app.add_option("--report-probabilities", job.report_names.probabilities);
  report_probabilities->excludes(report_logits);
  auto* report_labels = app.add_option("--report-labels", job.report_names.labels);
  auto* report_slices_option = app.add_option("--report-slices", job.report_names.slices);
  app.add_option("--slice-column", job.slice_column, "Of several columns the one that slice_temperature uses, from 0")
      ->capture_default_str();
  app.add_option("--json", job.json, "A second copy of report.json");
  app.add_option("--svg", job.svg, "Where the diagrams go (default: reliability.svg in --out)");
  app.add_option("--bins", job.bins, "Bins of diagrams and errors")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--folds", job.folds, "Folds of cross-validation")->capture_default_str()->check(CLI::Range(2, 100));
  app.add_option("--coverage", job.coverage, "What prediction sets promise")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 0.999));
  app.add_option("--resamples", job.resamples, "For intervals, bands and tests")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app.add_option("--seed", job.seed, "Of folds, resamples and sets")->capture_default_str();
  app.add_option("--threads", job.threads, "Threads")->capture_default_str()->check(CLI::Range(1, 1024));
  return program.run(argc, argv, [&](Report& report) -> Result<example::ExitStatus> {
    job.names.slices_required = slices->count() > 0;
    if (report_logits->count() == 0 && report_probabilities->count() == 0) {
      job.report_names.logits = job.names.logits;
      job.report_names.probabilities = job.names.probabilities;
    }
    if (report_labels->count() == 0) job.report_names.labels = job.names.labels;
    if (report_slices_option->count() == 0) job.report_names.slices = job.names.slices;
    job.report_names.slices_required = job.names.slices_required || report_slices_option->count() > 0;
    return run(job, program.out(), report);
  });
}
