// The whole way of one compression: a trained classifier is made smaller by a recipe, executed in int8, compared with
// its baseline, priced, judged, and kept as an artifact that the same program runs again.

#include <chrono>

#include "inputs.hpp"
#include "mcomp/compress/artifact.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/core/version.hpp"
#include "mcomp/evaluate/verdict.hpp"
#include "mcomp/kernels/runner.hpp"
#include "mcomp/prune/batch_norm_folding.hpp"
#include "mcomp/stats/paired.hpp"
#include "measurement.hpp"
#include "program.hpp"
#include "progress_line.hpp"

namespace {

using namespace example;
using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
using mcomp::compress::Model;
using Json = Report::Json;

struct Options {
  InputOptions input{.network = {},
                     .model = {},
                     .calibration = {},
                     .data = {},
                     .recipe = {},
                     .prices = {},
                     .fashion_mnist = "/usr/share/datasets/fashion-mnist"};
  std::filesystem::path artifact;
  std::int64_t batch = 32;
  int threads = 1;
  int rounds = 400;
  std::string instance = "c5.large";
  double requests_per_second = 20000;
  double objective_milliseconds = 100;
  double objective_quantile = 0.99;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("--network", o.input.network,
                 "Description of the network (JSON), or resnet-cifar:DEPTH; default: the Fashion-MNIST classifier");
  app.add_option("--model", o.input.model, "Its weights (safetensors)");
  app.add_option("--calibration", o.input.calibration,
                 "Samples for ranges and confidence: 'images' and 'labels' (safetensors)");
  app.add_option("--data", o.input.data, "Samples to be judged on: 'images' and 'labels' (safetensors)");
  app.add_option("--recipe", o.input.recipe, "Steps and criteria (JSON); default: int8");
  app.add_option("--prices", o.input.prices, "Prices of machines (JSON)");
  app.add_option("--fashion-mnist", o.input.fashion_mnist, "Folder of the four Fashion-MNIST files")
      ->capture_default_str();
  app.add_option("--artifact", o.artifact, "Run the artifact of this folder on the data instead of compressing");
  app.add_option("--batch", o.batch, "Samples a call when throughput is measured")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--threads", o.threads, "Threads of oneDNN")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_option("--rounds", o.rounds, "Calls of each model when latency is measured")
      ->capture_default_str()
      ->check(CLI::Range(10, 1000000));
  app.add_option("--instance", o.instance, "Type of machine that serves, out of the prices")->capture_default_str();
  app.add_option("--requests-per-second", o.requests_per_second, "Traffic to be served")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--objective-milliseconds", o.objective_milliseconds, "Latency objective of a request")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--objective-quantile", o.objective_quantile, "Share of requests within the objective")
      ->capture_default_str()
      ->check(CLI::Range(0.5, 0.9999));
}

/// One run of the program: what it reads, what it reports to.
class Run {
 public:
  Run(const Options& options, std::filesystem::path out, Report& report)
      : options_(options), out_(std::move(out)), report_(report) {}

  Result<ExitStatus> compress();
  Result<ExitStatus> run_artifact();

 private:
  [[nodiscard]] Ticker ticker(const char* stage) {
    return [this, stage](std::int64_t done, std::int64_t total) {
      progress_.show(fmt::format("{} {}/{}", stage, done, total));
    };
  }
  [[nodiscard]] mcomp::kernels::ExecutionOptions execution() const { return {.threads = options_.threads}; }
  [[nodiscard]] Result<std::unique_ptr<mcomp::quant::ProgramRunner>> executed(const Model& model) const {
    auto program = model.program();
    if (!program) return program.error();
    return mcomp::kernels::executed_runner(std::move(*program), execution());
  }
  void heading(const char* text) {
    progress_.clear();
    fmt::print("\n{}\n", text);
  }

  Result<mcomp::compress::Plan> make_plan(const Inputs& in, const mcomp::compress::Recipe& recipe, bool timed);
  void report_plan(const mcomp::compress::Plan& plan, const Model& candidate);
  mcomp::Status report_latency(mcomp::graph::Runner& baseline, mcomp::graph::Runner& candidate,
                               const mcomp::compress::Samples& test, mcomp::evaluate::Evidence& evidence,
                               Latencies& single);
  mcomp::Status report_cost(const Latencies& single, const mcomp::cost::PriceCatalogue& prices,
                            mcomp::evaluate::Evidence& evidence);

  const Options& options_;
  std::filesystem::path out_;
  Report& report_;
  ProgressLine progress_;
};

Result<mcomp::compress::Plan> Run::make_plan(const Inputs& in, const mcomp::compress::Recipe& recipe, bool timed) {
  mcomp::compress::Workbench bench{.calibration = &in.calibration};
  bench.context.progress = progress_.sink();
  bench.make_runner = [this](const Model& model) -> Result<std::unique_ptr<mcomp::graph::Runner>> {
    auto runner = executed(model);
    if (!runner) return runner.error();
    return std::unique_ptr<mcomp::graph::Runner>(std::move(*runner));
  };
  if (timed)
    bench.time_layers = [&](const mcomp::quant::Program& program) -> Result<std::map<std::string, double>> {
      const auto images = in.calibration.images();
      if (!images) return images.error();
      const auto rows = images->rows(0, std::min(options_.batch, in.calibration.count()));
      if (!rows) return rows.error();
      const auto input = mcomp::graph::normalize(program.network.input, *rows);
      if (!input) return input.error();
      constexpr int repeats = 31;
      const auto times = mcomp::kernels::time_steps(program, *input, repeats, execution());
      if (!times) return times.error();
      std::map<std::string, double> seconds;
      for (const auto& step : *times) seconds[step.layer] = step.seconds;
      return seconds;
    };
  return mcomp::compress::plan(in.model, recipe, bench);
}

void Run::report_plan(const mcomp::compress::Plan& plan, const Model& candidate) {
  heading("Plan");
  Json rows = Json::array();
  for (const auto& decision : plan.decisions)
    for (const auto& e : decision.entries) {
      Json row{
          {"strategy", decision.strategy},  {"subject", e.subject},        {"action", e.action}, {"reason", e.reason},
          {"before_bytes", e.bytes_before}, {"after_bytes", e.bytes_after}};
      std::string timing;
      if (e.seconds_before && e.seconds_after) {
        row["f32_seconds"] = *e.seconds_before;
        row["int8_seconds"] = *e.seconds_after;
        timing = fmt::format("{:6.0f} -> {:4.0f} us", *e.seconds_before * 1e6, *e.seconds_after * 1e6);
      }
      report_.row("plan", std::move(row),
                  fmt::format("  {:<28} {:<27} {:<18} {}", e.subject, e.action, timing, e.reason));
    }
  const auto program = candidate.program();
  if (!program) return;
  if (const auto share = mcomp::quant::arithmetic_share(*program))
    report_.say("f32_multiply_adds_fraction", share->f32_share(),
                fmt::format("  {:.2f} % of {} multiply-adds stay in f32", 100 * share->f32_share(), share->total));
}

Json to_json(const mcomp::stats::LatencySummary& s) {
  const auto quantile = [](const mcomp::stats::QuantileEstimate& q) {
    Json json{{"seconds", q.value}, {"lower_seconds", nullptr}, {"upper_seconds", nullptr}};
    if (q.lower) json["lower_seconds"] = *q.lower;
    if (q.upper) json["upper_seconds"] = *q.upper;
    return json;
  };
  return {{"calls", s.count},
          {"mean_seconds", s.mean},
          {"p50", quantile(s.p50)},
          {"p95", quantile(s.p95)},
          {"p99", quantile(s.p99)}};
}

mcomp::Status Run::report_latency(mcomp::graph::Runner& baseline, mcomp::graph::Runner& candidate,
                                  const mcomp::compress::Samples& test, mcomp::evaluate::Evidence& evidence,
                                  Latencies& single) {
  std::vector<std::pair<std::int64_t, int>> settings{{1, options_.rounds}};
  if (options_.batch > 1) settings.emplace_back(options_.batch, std::max(10, options_.rounds / 4));
  std::vector<Latencies> measured;
  for (const auto& [batch, rounds] : settings) {
    auto latencies = measure_latencies(baseline, candidate, test, batch, rounds, ticker("measuring latency"));
    if (!latencies) return latencies.error();
    measured.push_back(std::move(*latencies));
  }
  heading("Speed, side by side and alternating");
  fmt::print("  {:<26} {:>10} {:>10} {:>10} {:>14}\n", "", "p50 ms", "p95 ms", "p99 ms", "samples/s");
  for (const Latencies& l : measured) {
    const auto line = [&](const char* name, const mcomp::stats::LatencySummary& s, double throughput) {
      Json json = to_json(s);
      json["model"] = name;
      json["batch_samples"] = l.batch;
      json["samples_per_second"] = throughput;
      report_.row("latency", std::move(json),
                  fmt::format("  {:<26} {:>10.3f} {:>10.3f} {:>10.3f} {:>14.0f}",
                              fmt::format("{}, batch {}", name, l.batch), s.p50.value * 1e3, s.p95.value * 1e3,
                              s.p99.value * 1e3, throughput));
    };
    line("baseline", l.baseline_summary, l.baseline_samples_per_second());
    line("candidate", l.candidate_summary, l.candidate_samples_per_second());
    report_.row("speedup",
                {{"batch_samples", l.batch},
                 {"ratio", l.speedup.value},
                 {"lower_ratio", l.speedup.lower ? Json(*l.speedup.lower) : Json()},
                 {"upper_ratio", l.speedup.upper ? Json(*l.speedup.upper) : Json()}},
                fmt::format("  {:<26} {:>10.2f}x", fmt::format("speedup, batch {}", l.batch), l.speedup.value));
  }
  single = measured.front();
  evidence.baseline_latency = measured.back().baseline_summary;
  evidence.candidate_latency = measured.back().candidate_summary;
  evidence.paired_speedup = measured.back().speedup;
  return {};
}

mcomp::Status Run::report_cost(const Latencies& single, const mcomp::cost::PriceCatalogue& prices,
                               mcomp::evaluate::Evidence& evidence) {
  const mcomp::cost::Traffic traffic{.requests_per_second = options_.requests_per_second};
  const mcomp::cost::Objective objective{options_.objective_quantile, options_.objective_milliseconds / 1e3};
  const auto fleet = [&](const std::vector<double>& seconds) {
    return mcomp::cost::fleet_cost({.seconds = seconds, .threads = options_.threads}, traffic, objective, prices,
                                   options_.instance);
  };
  const auto baseline = fleet(single.baseline), candidate = fleet(single.candidate);
  heading("Cost");
  report_.keep("cost_assumptions", {{"instance", options_.instance},
                                    {"requests_per_second", traffic.requests_per_second},
                                    {"objective_quantile", objective.quantile},
                                    {"objective_seconds", objective.seconds},
                                    {"currency", prices.currency},
                                    {"price_date", prices.date},
                                    {"price_source", prices.source}});
  fmt::print("  {} requests/s on {}, {:g} % within {:g} ms, one request at a time, prices of {}\n",
             options_.requests_per_second, options_.instance, 100 * objective.quantile, options_.objective_milliseconds,
             prices.date);
  for (const auto& [name, result] : {std::pair("baseline", &baseline), std::pair("candidate", &candidate)}) {
    if (!*result) { // an objective that no fleet meets, or too few calls to tell, is a finding, not a failure
      const Error& error = (*result).error();
      if (error.subject() != "objective" && error.code() != ErrorCode::insufficient_data) return error;
      report_.row("cost", {{"model", name}, {"error", (*result).error().what()}},
                  fmt::format("  {:<10} {}", name, (*result).error().what()));
      continue;
    }
    const auto& f = **result;
    Json json{{"model", name},
              {"instances", f.instances},
              {"utilisation_fraction", f.utilisation},
              {"latency_seconds", f.latency_seconds},
              {"on_demand_per_month", f.on_demand.per_month},
              {"on_demand_per_million_requests", f.on_demand.per_million_requests}};
    std::string reserved;
    if (f.reserved) {
      json["reserved_per_month"] = f.reserved->per_month;
      json["reserved_per_million_requests"] = f.reserved->per_million_requests;
      json["term"] = f.term;
      reserved = fmt::format(", reserved {:.2f} a month, {:.5f} a million requests", f.reserved->per_month,
                             f.reserved->per_million_requests);
    }
    report_.row("cost", std::move(json),
                fmt::format("  {:<10} {} instances, on demand {:.2f} {} a month, {:.5f} a million requests{}", name,
                            f.instances, f.on_demand.per_month, f.currency, f.on_demand.per_million_requests,
                            reserved));
  }
  if (!baseline || !candidate) return {};
  const auto saving = mcomp::cost::compare(*baseline, *candidate);
  if (!saving) return saving.error();
  report_.say("saving",
              {{"on_demand_per_month", saving->on_demand.per_month}, {"relative_fraction", saving->on_demand.relative}},
              fmt::format("  saving     {:.2f} {} a month on demand ({:.0f} %)", saving->on_demand.per_month,
                          saving->currency, 100 * saving->on_demand.relative));
  evidence.baseline_monthly_cost = baseline->on_demand.per_month;
  evidence.candidate_monthly_cost = candidate->on_demand.per_month;
  return {};
}

Result<ExitStatus> Run::compress() {
  if (const auto ready = mcomp::kernels::require_execution(); !ready) return ready.error();
  progress_.show("reading");
  auto inputs = read_inputs(options_.input);
  if (!inputs) return inputs.error();
  const Inputs& in = *inputs;
  if (const auto instance = in.prices.find(options_.instance); !instance) return instance.error();
  const auto labels = in.test.labels();
  if (!labels) return labels.error();
  progress_.clear();
  report_.keep("library_version", MCOMP_VERSION_STRING);
  report_.say("execution", fmt::format("{}", mcomp::kernels::capabilities()),
              fmt::format("mcomp {} with {}", MCOMP_VERSION_STRING, mcomp::kernels::capabilities()));
  report_.say("network", in.model.network.name,
              fmt::format("{}, recipe '{}', {} calibration and {} test samples", in.model, in.recipe.name,
                          in.calibration.count(), in.test.count()));
  report_.keep("recipe", in.recipe.name);
  report_.keep("calibration_samples", in.calibration.count());
  report_.keep("test_samples", in.test.count());

  // The baseline: the same network in f32, with what costs nothing done as well, so that the candidate wins no race
  // against a handicapped one.
  mcomp::compress::Recipe baseline_recipe = in.recipe;
  baseline_recipe.name = "baseline";
  std::erase_if(baseline_recipe.steps, [](const auto& step) { return step.strategy != "calibrate_temperature"; });
  baseline_recipe.steps.insert(baseline_recipe.steps.begin(), {"fold_batch_norm", "{}"});
  const auto baseline_plan = make_plan(in, baseline_recipe, false);
  if (!baseline_plan) return baseline_plan.error();
  const auto baseline = mcomp::compress::apply(*baseline_plan, in.model);
  if (!baseline) return baseline.error();

  const auto plan = make_plan(in, in.recipe, true);
  if (!plan) return plan.error();
  const auto candidate = mcomp::compress::apply(*plan, in.model);
  if (!candidate) return candidate.error();
  report_plan(*plan, *candidate);

  if (const auto written = mcomp::compress::write_artifact(out_, *candidate, in.recipe, *plan); !written)
    return written.error();
  auto baseline_runner = executed(*baseline), candidate_runner = executed(*candidate);
  if (!baseline_runner) return baseline_runner.error();
  if (!candidate_runner) return candidate_runner.error();
  const auto before = predict(**baseline_runner, in.test, ticker("baseline on test samples"));
  if (!before) return before.error();
  const auto after = predict(**candidate_runner, in.test, ticker("candidate on test samples"));
  if (!after) return after.error();

  mcomp::evaluate::Evidence evidence;
  const auto counts = mcomp::stats::count_pairs(before->classes, after->classes, *labels);
  if (!counts) return counts.error();
  const auto interval = mcomp::stats::tango_interval(*counts);
  const auto mcnemar = mcomp::stats::mcnemar(*counts);
  if (!interval) return interval.error();
  if (!mcnemar) return mcnemar.error();
  evidence.accuracy = *counts;
  heading("Accuracy");
  report_.say("baseline_top1_fraction", counts->baseline_accuracy(),
              fmt::format("  baseline (f32)  {:.2f} %", 100 * counts->baseline_accuracy()));
  report_.say("candidate_top1_fraction", counts->candidate_accuracy(),
              fmt::format("  candidate       {:.2f} %", 100 * counts->candidate_accuracy()));
  report_.say("paired_counts",
              {{"both_right", counts->both_right},
               {"only_baseline_right", counts->only_baseline_right},
               {"only_candidate_right", counts->only_candidate_right},
               {"both_wrong", counts->both_wrong}},
              fmt::format("  both right {}, only baseline {}, only candidate {}, both wrong {}", counts->both_right,
                          counts->only_baseline_right, counts->only_candidate_right, counts->both_wrong));
  report_.say("accuracy_loss",
              {{"fraction", counts->loss()},
               {"lower_fraction", interval->lower},
               {"upper_fraction", interval->upper},
               {"level", interval->level},
               {"mcnemar_exact_p_value", mcnemar->exact_p_value}},
              fmt::format("  loss {:+.2f} points, 95 % interval [{:+.2f}, {:+.2f}] (Tango), McNemar p {:.3f}",
                          100 * counts->loss(), 100 * interval->lower, 100 * interval->upper, mcnemar->exact_p_value));

  heading("Size");
  const std::int64_t baseline_bytes = baseline->stored_bytes(), candidate_bytes = candidate->stored_bytes();
  evidence.baseline_bytes = baseline_bytes;
  evidence.candidate_bytes = candidate_bytes;
  report_.say("baseline_bytes", baseline_bytes, fmt::format("  baseline   {} bytes", baseline_bytes));
  report_.say("candidate_bytes", candidate_bytes,
              fmt::format("  candidate  {} bytes, {:.2f}x smaller", candidate_bytes,
                          static_cast<double>(baseline_bytes) / static_cast<double>(candidate_bytes)));

  heading("Confidence (ECE, 15 bins)");
  const double baseline_temperature = baseline->temperature.value_or(1),
               candidate_temperature = candidate->temperature.value_or(1);
  const auto confidence = [&](const char* key, const char* name, const Model& model, const Predictions& predictions,
                              double temperature) -> Result<double> {
    const auto metrics = measure_confidence(model, predictions, *labels, temperature);
    if (!metrics) return metrics.error();
    report_.say(
        key,
        {{"ece_fraction", metrics->ece},
         {"nll_nats", metrics->nll},
         {"brier", metrics->brier},
         {"temperature", temperature}},
        fmt::format("  {:<40} ECE {:.4f}, NLL {:.4f}, T {:.4f}", name, metrics->ece, metrics->nll, temperature));
    return metrics->ece;
  };
  for (const auto& step : {confidence("confidence_baseline", "before compression", *baseline, *before, 1),
                           confidence("confidence_candidate", "after compression", *candidate, *after, 1)})
    if (!step) return step.error();
  const auto baseline_ece = confidence("confidence_baseline_calibrated", "before compression, with temperature",
                                       *baseline, *before, baseline_temperature);
  const auto candidate_ece = confidence("confidence_candidate_calibrated", "after compression, with temperature",
                                        *candidate, *after, candidate_temperature);
  if (!baseline_ece) return baseline_ece.error();
  if (!candidate_ece) return candidate_ece.error();
  evidence.baseline_ece = *baseline_ece;
  evidence.candidate_ece = *candidate_ece;

  Latencies single;
  if (const auto done = report_latency(**baseline_runner, **candidate_runner, in.test, evidence, single); !done)
    return done.error();
  if (const auto done = report_cost(single, in.prices, evidence); !done) return done.error();

  heading("Artifact");
  const auto artifact = mcomp::compress::read_artifact(out_);
  if (!artifact) return artifact.error();
  auto again_runner = executed(artifact->model);
  if (!again_runner) return again_runner.error();
  const auto again = predict(**again_runner, in.test, ticker("artifact on test samples"));
  if (!again) return again.error();
  const bool identical = again->logits == after->logits;
  report_.say("artifact_identical", identical,
              fmt::format("  {} read back: predictions {}", out_.string(), identical ? "identical" : "differ"));
  report_.say("predictions_sha256", mcomp::fingerprint(after->logits),
              fmt::format("  predictions {}", mcomp::fingerprint(after->logits)));
  if (!identical)
    return Error(ErrorCode::corrupt, out_.string(), "the artifact predicts otherwise than the model it was made of",
                 "report this as a defect");

  heading("Verdict");
  if (in.recipe.criteria == mcomp::evaluate::Criteria{}) {
    fmt::print("  the recipe has no criteria\n");
    return ExitStatus::done;
  }
  const auto verdict = mcomp::evaluate::judge(in.recipe.criteria, evidence);
  if (!verdict) return verdict.error();
  report_.say("verdict", Json::parse(mcomp::evaluate::to_json(*verdict)), fmt::format("{}", *verdict));
  switch (verdict->outcome) {
  case mcomp::evaluate::Outcome::pass:
    return ExitStatus::done;
  case mcomp::evaluate::Outcome::fail:
    return ExitStatus::rejected;
  case mcomp::evaluate::Outcome::insufficient_data:
    return ExitStatus::undecided;
  }
  return ExitStatus::undecided;
}

Result<ExitStatus> Run::run_artifact() {
  const auto artifact = mcomp::compress::read_artifact(options_.artifact);
  if (!artifact) return artifact.error();
  const auto test = read_test_samples(options_.input);
  if (!test) return test.error();
  const auto labels = test->labels();
  if (!labels) return labels.error();
  auto runner = executed(artifact->model);
  if (!runner) return runner.error();
  const auto predictions = predict(**runner, *test, ticker("artifact on test samples"));
  if (!predictions) return predictions.error();
  const auto metrics =
      measure_confidence(artifact->model, *predictions, *labels, artifact->model.temperature.value_or(1));
  if (!metrics) return metrics.error();
  progress_.clear();
  report_.say("network", artifact->model.network.name,
              fmt::format("{} of recipe '{}'", artifact->model, artifact->recipe.name));
  report_.say("candidate_top1_fraction", metrics->accuracy,
              fmt::format("  {:.2f} % of {} right", 100 * metrics->accuracy, metrics->count));
  report_.say("confidence_candidate_calibrated",
              {{"ece_fraction", metrics->ece},
               {"nll_nats", metrics->nll},
               {"brier", metrics->brier},
               {"temperature", artifact->model.temperature.value_or(1)}},
              fmt::format("  ECE {:.4f}, NLL {:.4f}", metrics->ece, metrics->nll));
  report_.say("predictions_sha256", mcomp::fingerprint(predictions->logits),
              fmt::format("  predictions {}", mcomp::fingerprint(predictions->logits)));
  return ExitStatus::done;
}

} // namespace

int main(int argc, char** argv) {
  example::Program program(
      "compress_classifier",
      "Compresses a trained classifier by a recipe, runs it in int8 on oneDNN, and judges it against its baseline.");
  Options options;
  add_options(program.options(), options);
  return program.run(argc, argv, [&](Report& report) -> Result<ExitStatus> {
    Run run(options, program.out(), report);
    return options.artifact.empty() ? run.compress() : run.run_artifact();
  });
}
