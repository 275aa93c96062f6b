#pragma once

// A whole report from records that the other rooms made: an evaluation on a suite, a forecast on a trace, a rollout
// that was replayed, a catalogue with its log. Seeded, so that it is the same every time.

#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/monitor/instruments.hpp"
#include "mcomp/report/sections.hpp"

namespace report_sample {

using namespace mcomp;

inline constexpr std::int64_t day = 86400, start = 1'780'272'000; // 2026-06-01

/// 6,000 requests of four regions and two cohorts; the candidate loses a little, and more in the small region.
inline evaluate::Evaluation evaluation() {
  constexpr int rows = 6000;
  Random random(7);
  evaluate::RowScores before, after;
  Tensor labels = Tensor::zeros(DType::int32, Shape{rows}).value();
  evaluate::Slicing region{.dimension = "region", .groups = {"eu", "us", "apac", "latam"}, .group = {}};
  evaluate::Slicing cohort{.dimension = "cohort", .groups = {"new users", "regular users"}, .group = {}};
  const auto add = [&](evaluate::RowScores& scores, bool right, double confidence) {
    scores.correct.push_back(right ? 1 : 0);
    scores.predicted.push_back(right ? 0 : 1);
    scores.confidence.push_back(confidence);
    scores.loss.push_back(-std::log(right ? confidence : (1 - confidence) * 0.5 + 1e-6));
  };
  for (int i = 0; i < rows; ++i) {
    const double u = random.uniform();
    const int where = u < 0.4 ? 0 : u < 0.75 ? 1 : u < 0.93 ? 2 : 3;
    region.group.push_back(where);
    cohort.group.push_back(random.uniform() < 0.3 ? 0 : 1);
    const double confidence = 1 - 0.5 * std::pow(random.uniform(), 3);
    const bool right = random.uniform() < confidence - 0.02;
    const double flip = where == 3 ? 0.045 : 0.012;
    const bool changed = random.uniform() < flip, better = changed && random.uniform() < 0.35;
    add(before, right, confidence);
    add(after, changed ? better : right, std::min(1 - 1e-6, confidence * (1 + 0.01 * random.normal()) + 0.004));
  }
  const auto suite = evaluate::Suite::freeze(
                         {.name = "support-intents", .version = "3", .labels = labels, .slicings = {region, cohort}})
                         .value();
  evaluate::Evidence measured;
  std::vector<double> slow, fast;
  for (int i = 0; i < 4000; ++i) {
    slow.push_back(0.0112 * std::exp(0.22 * random.normal()));
    fast.push_back(0.0061 * std::exp(0.25 * random.normal()));
  }
  measured.baseline_latency = stats::summarize_latencies(slow).value();
  measured.candidate_latency = stats::summarize_latencies(fast).value();
  measured.baseline_bytes = 2'361'344, measured.candidate_bytes = 402'112;
  auto result = evaluate::compare_scores(before, after, suite,
                                         {.max_accuracy_loss = 0.01,
                                          .min_speedup = 1.5,
                                          .max_latency_p99_seconds = 0.015,
                                          .max_size_ratio = 0.25,
                                          .max_slice_accuracy_loss = 0.02},
                                         {.resamples = 100, .seed = 1}, measured)
                    .value();
  result.baseline = "fp32", result.candidate = "w4a8";
  return result;
}

inline report::TrialSection trials() {
  report::TrialSection section;
  section.others = {{.name = "latency_p99_seconds", .label = "p99", .unit = "seconds", .higher_better = false},
                    {.name = "ece", .label = "calibration error", .higher_better = false}};
  const struct {
    const char *name, *status, *bits, *method;
    double bytes, accuracy, p99, ece;
  } rows[] = {{"fp32", "won", "32", "none", 2361344, 0.9217, 0.0187, 0.041},
              {"w8a8", "won", "8", "nearest", 612352, 0.9216, 0.0098, 0.042},
              {"w8a8 clipped", "lost", "8", "clipped", 612352, 0.9209, 0.0099, 0.040},
              {"w6a8", "won", "6", "gptq", 498176, 0.9205, 0.0097, 0.043},
              {"w4a8 nearest", "lost", "4", "nearest", 402112, 0.8987, 0.0096, 0.055},
              {"w4a8 adaround", "lost", "4", "adaround", 402112, 0.9149, 0.0096, 0.047},
              {"w4a8", "won", "4", "gptq", 402112, 0.9178, 0.0097, 0.044},
              {"mixed 3.5", "won", "3.5", "gptq", 371200, 0.9132, 0.0101, 0.048},
              {"w3a8", "lost", "3", "gptq", 350720, 0.8951, 0.0103, 0.061},
              {"w2a8", "failed", "2", "gptq", 301568, 0.8512, 0.0109, report::not_known},
              {"pruned 30 %", "lost", "8", "nearest", 430080, 0.9066, 0.0081, 0.045}};
  int id = 0;
  for (const auto& row : rows) {
    catalog::Experiment e{.name = row.name, .owner = "search", .status = row.status};
    e.metrics = {{"bytes", row.bytes}, {"accuracy", row.accuracy}, {"latency_p99_seconds", row.p99}};
    if (std::isfinite(row.ece)) e.metrics["ece"] = row.ece;
    e.parameters = {{"weight bits", row.bits}, {"method", row.method}, {"activation bits", "8"}};
    section.trials.push_back(report::trial("e" + std::to_string(++id), e));
  }
  return section;
}

inline report::LayerSection layers() {
  compress::SensitivityTable table{.measure = compress::SensitivityMeasure::output_divergence, .tensors = {}};
  Random random(3);
  const char* names[] = {"stem.weight",
                         "stage1.block1.conv1.weight",
                         "stage1.block1.conv2.weight",
                         "stage2.block1.conv1.weight",
                         "stage2.block1.conv2.weight",
                         "stage2.block1.shortcut.weight",
                         "stage3.block1.conv1.weight",
                         "stage3.block1.conv2.weight",
                         "head.weight"};
  double scale = 0.03;
  for (const char* name : names) {
    compress::TensorSensitivity tensor{.tensor = name, .elements = 4096, .entries = {}, .refused = {}};
    for (const auto& [format, factor] :
         {std::pair("int8", 0.002), std::pair("int6", 0.02), std::pair("int4", 0.25), std::pair("int3", 1.1)})
      if (!(std::string(name) == "stem.weight" && std::string(format) == "int3"))
        tensor.entries.push_back({format, scale * factor * std::exp(0.5 * random.normal()), 2048});
    table.tensors.push_back(std::move(tensor));
    scale *= 0.8;
  }
  return report::layer_section(table);
}

inline std::vector<report::ReliabilitySection> reliability() {
  std::vector<report::ReliabilitySection> sections;
  for (const auto& [name, bias] : {std::pair("before calibration", 0.06), std::pair("after calibration", 0.0)}) {
    Random random(11);
    calibrate::RowOutcomes rows;
    for (int i = 0; i < 3000; ++i) {
      const double p = 1 - 0.6 * std::pow(random.uniform(), 2);
      rows.confidence.push_back(p);
      rows.correct.push_back(random.uniform() < p - bias ? 1 : 0);
      rows.nll.push_back(0.1), rows.brier.push_back(0.1);
    }
    sections.push_back(
        report::reliability_section(calibrate::reliability_diagram(rows, {.title = name, .resamples = 199}).value()));
  }
  return sections;
}

inline report::LatencySection latency() {
  report::LatencySection section{.models = {}, .p99_limit = 0.015};
  Random random(5);
  for (const auto& [name, median, spread] : {std::tuple("fp32", 0.0112, 0.2), std::tuple("w4a8", 0.0061, 0.24)}) {
    auto sketch = stats::QuantileSketch::create({.negative_values = false}).value();
    for (int i = 0; i < 20000; ++i)
      sketch.add(median * std::exp(spread * random.normal() + (random.uniform() < 0.02 ? 0.5 : 0)));
    section.models.push_back(report::latency_model(name, sketch));
  }
  return section;
}

inline report::RolloutSection rollout() {
  using rollout::EventKind;
  const rollout::RolloutPolicy policy{.with_shadow = true,
                                      .shadow_duration = 4 * 3600,
                                      .steps = {{1000, 6 * 3600}, {5000, 6 * 3600}, {25000, 6 * 3600}}};
  auto state = rollout::begin_rollout("w4a8", "fp32", start);
  std::vector<rollout::RolloutEvent> history;
  auto now = state.now;
  rollout::RolloutState begin = state;
  const auto happen = [&](rollout::RolloutEvent event) {
    event.time = now;
    history.push_back(event);
    state = rollout::advance(state, event, policy).state;
  };
  const auto gate = [&](rollout::Gate verdict, const std::string& why = "") {
    happen({.kind = EventKind::gate, .text = why, .stage = state.stage, .step = state.step, .verdict = verdict});
  };
  happen({.kind = EventKind::start, .text = "release of week 23"});
  const auto pass = [&](std::int64_t seconds) {
    for (std::int64_t t = 0; t < seconds; t += 250) now += 250, happen({.kind = EventKind::heartbeat});
  };
  pass(2 * 3600), happen({.kind = EventKind::approve,
                          .artifact = "w4a8",
                          .stage = rollout::Stage::canary,
                          .approver = "ana",
                          .role = "quality"});
  for (int step = 0; step < 4; ++step) {
    pass((step == 0 ? 2 : 6) * 3600 + 500);
    if (step == 2)
      happen({.kind = EventKind::approve,
              .artifact = "w4a8",
              .stage = rollout::Stage::full,
              .approver = "ben",
              .role = "product"});
    gate(rollout::Gate::pass);
  }
  pass(5 * 3600);
  return report::rollout_section(begin, history, policy, now + 4 * 3600);
}

/// A day in service: a region that errs more than the others, and one that few requests come from.
inline monitor::ServiceSnapshot service() {
  auto instruments = monitor::Instruments::create({.waiting = 1 << 15}).value();
  auto recorder = instruments.recorder().value();
  Random random(17);
  std::uint64_t id = 0;
  for (const auto& [name, requests, errors, pride] :
       {std::tuple("eu", 4000, 0.004, 0.01), std::tuple("us", 3500, 0.005, 0.0), std::tuple("apac", 1800, 0.03, 0.02),
        std::tuple("latam", 250, 0.004, 0.06)}) {
    const auto region = instruments.name(monitor::Dimension::region, name).value();
    for (int i = 0; i < requests; ++i) {
      const double p = 1 - 0.5 * std::pow(random.uniform(), 3);
      recorder.record({.region = region}, {.seconds = 0.0061 * std::exp(0.25 * random.normal()),
                                           .error = random.uniform() < errors,
                                           .confidence = p,
                                           .cost = 2.2e-7,
                                           .request = ++id,
                                           .predicted = 1});
      if (random.uniform() < 0.5) recorder.label(id, random.uniform() < p - pride ? 1 : 0);
      if (random.uniform() < 0.1) recorder.feedback(id, random.uniform() < 0.87 ? 1 : 0);
    }
  }
  REQUIRE(instruments.collect(1));
  return instruments.since_start();
}

inline report::DriftSection drift() {
  report::DriftSection section;
  Random random(21);
  report::DriftSection::Series psi{.name = "PSI of the inputs, region=eu", .unit = "", .readings = {}, .limit = 0.2};
  report::DriftSection::Series accuracy{
      .name = "estimated error without labels", .unit = "fraction", .readings = {}, .limit = 0.12};
  for (int d = 0; d < 90; ++d) {
    const double moved = d < 52 ? 0 : d < 66 ? 0.02 * (d - 51) : 0.02;
    psi.readings.push_back({start + d * day, std::max(0., 0.05 + moved + 0.012 * random.normal())});
    accuracy.readings.push_back(
        {start + d * day, d >= 30 && d < 33 ? report::not_known : 0.085 + 0.2 * moved + 0.004 * random.normal()});
  }
  section.series = {psi, accuracy};
  section.marks = {{start + 12 * day, "w4a8 released", "all traffic since then"},
                   {start + 60 * day, "drift alert", "PSI of region=eu above 0.2"},
                   {start + 61 * day, "calibrated anew", "same recipe, ranges from live samples"},
                   {start + 66 * day, "w4a8 (second) released", "PSI is measured against the new samples since"}};
  return section;
}

inline cost::Forecast forecast() {
  cost::ForecastInputs in{
      .baseline = {.label = "fp32", .instance = "c5.large", .storage_gib = 20, .storage = "ssd"},
      .candidate = {.label = "w4a8", .instance = "c5.large", .storage_gib = 4, .storage = "ssd"},
      .trace = cost::diurnal_trace(
                   {.mean_per_second = 900, .weekend_factor = 0.7, .noise = 0.1, .days = 7, .interval_seconds = 3600})
                   .value(),
      .prices = {.currency = "USD",
                 .date = "2026-06-01",
                 .source = "test",
                 .instances = {{.name = "c5.large", .on_demand_per_hour = 0.085}},
                 .storage = {{.name = "ssd", .per_gib_month = 0.08}}},
      .scaling = {.decision_seconds = 3600},
      .objective = {.p95_seconds = 0.1},
      .compress_cost = 300,
      .evaluate_cost = 120,
      .slices = {{.name = "region=latam", .traffic_share = 0.07, .accuracy_loss = 0.025}}};
  Random random(9);
  for (int i = 0; i < 60; ++i) {
    in.baseline.service_seconds.push_back(0.0112 * std::exp(0.1 * random.normal()));
    in.candidate.service_seconds.push_back(0.0061 * std::exp(0.1 * random.normal()));
  }
  return cost::forecast(in, {.replicates = 20}).value();
}

/// Events, records and a decision in a catalogue of its own, verified.
inline void audit(report::Report& report) {
  auto catalog = catalog::Catalog::open(mcomp_test::temporary_folder() / "team.mcomp").value();
  const catalog::Decision decision{
      .title = "w4a8 for all regions but latam",
      .owner = "ana",
      .status = "accepted",
      .context = "The forecast saves almost half of the machines.",
      .options = {"w8a8", "w4a8", "mixed 3.5"},
      .evidence = {"e7", "forecast of 2026-06-01"},
      .rationale = "It is the smallest trial that keeps the margin of one point; latam stays on fp32 "
                   "until its slice passes.",
      .consequences = "Two artifacts are served until then.",
      .review_by = start + 75 * day};
  const auto record =
      catalog.put(catalog::draft(decision, {.id = "d12", .author = "ana", .time = start + day}).value()).value();
  report.decisions.push_back(report::decision_entry(record).value());
  for (int i = 0; i < 14; ++i)
    (void)catalog
        .append({.kind = i % 3 == 0 ? "gate" : "rollout-step",
                 .subject = "sha256:7f3a" + std::to_string(1000 + i),
                 .actor = i % 4 == 0 ? "ana" : "loop",
                 .time = start + i * 7200})
        .value();
  (void)catalog.redact(3, "ana", start + 2 * day, "names a user").value();
  const auto verified = catalog.verify().value();
  report.audit = report::audit_section(catalog.events(0).value(), &verified);
}

/// 90 days with one finding of some kinds.
inline report::Review review() {
  Random random(31);
  report::ReviewInputs in{.from = start, .until = start + 90 * day};
  const auto target = [&](const char* name, const char* metric, const char* unit, const char* bound, double value,
                          double usual, double noise, double late) {
    report::TargetHistory history{
        .target =
            {.name = name, .status = "in force", .metric = metric, .bound = bound, .value = value, .source = "product"},
        .unit = unit,
        .readings = {}};
    for (int d = 0; d < 90; ++d)
      history.readings.push_back({start + d * day, usual + noise * random.normal() + (d >= 55 ? late : 0)});
    in.targets.push_back(history);
  };
  target("answers are right", "accuracy", "fraction", "at least", 0.9, 0.917, 0.003, 0);
  target("nobody waits", "latency p99", "seconds", "at most", 0.015, 0.0118, 0.0005, 0.0045);
  target("confidence is honest", "ece", "", "at most", 0.06, 0.044, 0.003, 0);
  for (int d = 0; d < 90; ++d) {
    report::FeedbackCount count{.time = start + d * day, .good = 0, .all = 60};
    for (int i = 0; i < 60; ++i) count.good += random.uniform() < 0.87 ? 1 : 0;
    in.satisfaction.push_back(count);
  }
  in.benchmarks = {{.name = "machines, per million requests",
                    .unit = "USD",
                    .measured = 0.221,
                    .benchmark = 0.215,
                    .source = "forecast of 2026-06-01"}};
  cost::ForecastRecord record{.date = "2026-06-01", .recipe = "w4a8", .currency = "USD"};
  record.baseline.per_month = 1260, record.candidate.per_month = 702, record.saving_per_month = 558;
  record.saving_interval = stats::Interval{500, 616, 0.95};
  record.measured_baseline.per_month = 1298, record.measured_candidate.per_month = 731;
  in.forecasts = {record};
  in.margins = {{.name = "max_accuracy_loss", .unit = "fraction", .margin = 0.01, .used = {}},
                {.name = "max_size_ratio", .unit = "", .margin = 0.25, .used = {}}};
  for (int w = 0; w < 12; ++w) {
    in.margins[0].used.push_back({start + w * 7 * day, 0.006 + 0.001 * random.normal()});
    in.margins[1].used.push_back({start + w * 7 * day, 0.17});
  }
  in.recipes = {
      {.id = "w4a8", .name = "w4a8", .since = start - 40 * day, .uses = {{start + 61 * day, "classifier", true}}},
      {.id = "w8a8-kl",
       .name = "w8a8 with divergence ranges",
       .since = start - 300 * day,
       .uses = {{start - 60 * day, "classifier", true}}}};
  in.alerts = {{.name = "drift of region=eu", .fired = {start + 60 * day}, .open = false}};
  in.ideas = {"NVFP4 for the stages that int4 hurts, once the new machines are there."};
  return report::review(in).value();
}

inline report::Report whole() {
  report::Report r{
      .title = "Support-intent classifier: w4a8",
      .subject = "review of June to August 2026",
      .summary =
          "The 4-bit candidate serves all regions since June, at a little more than half of the machines. Inputs "
          "of region eu drifted in July and ranges were calibrated anew.",
      .time = start + 90 * day};
  const auto e = evaluation();
  r.verdict = report::verdict_section(e);
  r.slices = report::slice_section(e).value();
  r.service = report::service_section(service(), "region", "w4a8").value();
  r.trials = trials();
  r.layers = {layers()};
  r.reliability = reliability();
  r.latency = latency();
  r.rollout = rollout();
  r.drift = drift();
  r.cost = report::cost_section(forecast());
  r.review = review();
  r.playbooks = {
      report::playbook({.name = "PSI of region=eu above 0.2",
                        .kind = report::AlertKind::drift,
                        .slice = "region=eu",
                        .layer = "stage3.block1.conv2",
                        .version = "w4a8",
                        .baseline = "fp32",
                        .time = start + 60 * day,
                        .value = 0.23,
                        .limit = 0.2,
                        .numbers = {{.name = "values beyond their range", .value = 0.031, .unit = "fraction"}},
                        .links = {{"Drift chart", "#drift"}, {"Dashboard", "https://grafana.example/d/drift"}}})};
  audit(r);
  return r;
}

} // namespace report_sample
