// A compression that is good on average and bad for some: accepted by the average check, rejected for one slice of the
// inputs, traced to the layers that cause it, repaired by giving these more bits, and accepted.

#include <algorithm>

#include "comparison.hpp"
#include "fashion_classifier.hpp"
#include "fashion_mnist.hpp"
#include "mcomp/compress/plan.hpp"
#include "mcomp/compress/put_back.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/attribution.hpp"
#include "mcomp/evaluate/corruption.hpp"
#include "mcomp/kernels/runner.hpp"
#include "progress_line.hpp"

namespace {

using namespace example;
namespace compress = mcomp::compress;
namespace evaluate = mcomp::evaluate;
using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
using Json = Report::Json;

struct Options {
  std::filesystem::path recipe = std::filesystem::path(MCOMP_EXAMPLE_FOLDER) / "recipe.json";
  std::filesystem::path fashion_mnist = fashion_mnist_folder;
  std::string repair = "int8";
  std::int64_t batch = 100;
  int threads = 1;
  bool corruptions = false;
};

/// Garments by class, and images by how much of them is lit.
Result<evaluate::Suite> make_suite(const compress::Samples& test) {
  const auto labels = test.labels();
  const auto images = test.images();
  if (!labels) return labels.error();
  if (!images) return images.error();
  const auto pixels = images->values<std::uint8_t>("images");
  if (!pixels) return pixels.error();
  evaluate::Slicing garment{.dimension = "garment", .groups = {}, .group = *labels};
  for (const std::string_view name : fashion_classes) garment.groups.emplace_back(name);
  evaluate::Slicing brightness{.dimension = "brightness", .groups = {"dark", "medium", "bright"}, .group = {}};
  const std::size_t size = pixels->size() / labels->size();
  for (std::size_t i = 0; i < labels->size(); ++i) {
    double mean = 0;
    for (std::size_t k = 0; k < size; ++k) mean += (*pixels)[i * size + k] / 255.0 / static_cast<double>(size);
    brightness.group.push_back(mean < 0.2 ? 0 : mean < 0.35 ? 1 : 2);
  }
  auto inputs = mcomp::Tensor::copy_of(*images);
  auto label_tensor = mcomp::Tensor::from(*labels, mcomp::Shape{static_cast<std::int64_t>(labels->size())});
  if (!inputs) return inputs.error();
  if (!label_tensor) return label_tensor.error();
  return evaluate::Suite::freeze({.name = "Fashion-MNIST test images",
                                  .version = "1",
                                  .inputs = std::move(*inputs),
                                  .labels = std::move(*label_tensor),
                                  .slicings = {std::move(garment), std::move(brightness)},
                                  .versions = {{"slices", "garment: label; brightness: mean pixel below .2, .35"}}});
}

class Run {
 public:
  Run(const Options& options, std::filesystem::path out, Report& report)
      : options_(options), out_(std::move(out)), report_(report), pool_(options.threads) {}

  Result<ExitStatus> operator()();

 private:
  /// The model as the suite's images see it.
  [[nodiscard]] Result<evaluate::Contender> serve(const std::string& name, const compress::Model& model) {
    auto program = model.program();
    if (!program) return program.error();
    // The same numbers either way: what is simulated is what runs.
    auto runner = mcomp::kernels::require_execution()
                      ? mcomp::kernels::executed_runner(std::move(*program), {.threads = options_.threads})
                      : mcomp::quant::simulated_runner(std::move(*program), {.executor = &pool_, .float_step = {}});
    if (!runner) return runner.error();
    const std::shared_ptr<mcomp::graph::Runner> shared = std::move(*runner);
    evaluate::Contender contender{.name = name, .probabilities = true};
    contender.bytes = model.stored_bytes();
    contender.predict = [shared, model](const mcomp::TensorView& raw) -> Result<evaluate::Answer> {
      const auto input = mcomp::graph::normalize(shared->network().input, raw);
      if (!input) return input.error();
      const auto outputs = shared->run(*input);
      if (!outputs) return outputs.error();
      auto probabilities = model.probabilities(*outputs); // weights and calibrator belong together
      if (!probabilities) return probabilities.error();
      return evaluate::Answer{.outputs = std::move(*probabilities)};
    };
    return contender;
  }

  [[nodiscard]] Result<evaluate::Evaluation> compared(const compress::Model& baseline, const compress::Model& candidate,
                                                      const std::string& name, const evaluate::Suite& suite,
                                                      const evaluate::Criteria& criteria) {
    const auto before = serve("f32", baseline);
    const auto after = serve(name, candidate);
    if (!before) return before.error();
    if (!after) return after.error();
    auto evaluation = evaluate::compare(*before, *after, suite, criteria,
                                        {.batch = options_.batch, .warm_up = 1, .fairness_dimensions = {"brightness"}},
                                        {.executor = &pool_, .progress = progress_.sink(), .cancellation = {}});
    progress_.clear();
    return evaluation;
  }

  [[nodiscard]] Result<compress::Model> compressed(const compress::Model& model, const compress::Samples& calibration,
                                                   const compress::Recipe& recipe) {
    const auto plan = compress::plan(model, recipe, {.calibration = &calibration});
    if (!plan) return plan.error();
    return compress::apply(*plan, model);
  }

  [[nodiscard]] mcomp::Status attribute_steps(const FashionClassifier& own, const compress::Recipe& recipe,
                                              const evaluate::Suite& suite);

  const Options& options_;
  std::filesystem::path out_;
  Report& report_;
  mcomp::ThreadPool pool_;
  ProgressLine progress_;
};

/// The steps of a recipe that calibrate confidence.
compress::Recipe confidence_of(compress::Recipe recipe) {
  std::erase_if(recipe.steps, [](const auto& step) { return !step.strategy.starts_with("calibrate_"); });
  return recipe;
}

/// Which step brought which gain at which loss: the recipe, one step more every time.
mcomp::Status Run::attribute_steps(const FashionClassifier& own, const compress::Recipe& recipe,
                                   const evaluate::Suite& suite) {
  std::vector<std::string> names;
  for (const auto& step : recipe.steps) names.push_back(step.strategy);
  const auto measure = [&](std::size_t done) -> Result<evaluate::StepMeasurement> {
    compress::Recipe first = recipe;
    first.steps.resize(done);
    const auto model = done == 0 ? Result(own.model) : compressed(own.model, own.calibration, first);
    if (!model) return model.error();
    const auto contender = serve("", *model);
    if (!contender) return contender.error();
    const evaluate::CompareOptions options{.batch = options_.batch, .exemplars = 0, .resamples = 0};
    evaluate::StepMeasurement measurement;
    // Twice the same model: what is wanted is how fast it is, and what it says.
    const auto evaluation = evaluate::compare(*contender, *contender, suite, {.min_samples = 1}, options);
    if (!evaluation) return evaluation.error();
    measurement.latency_seconds = evaluation->candidate_use->latency.p50.value;
    measurement.bytes = model->stored_bytes();
    const auto answer = contender->predict(suite.inputs());
    if (!answer) return answer.error();
    auto scores = evaluate::score_probabilities(answer->outputs, suite.labels());
    if (!scores) return scores.error();
    measurement.scores = std::move(*scores);
    return measurement;
  };
  const auto steps = evaluate::attribute_steps(names, measure, {}, {.progress = progress_.sink()});
  progress_.clear();
  if (!steps) return steps.error();
  Json table = Json::array();
  for (const auto& step : *steps)
    table.push_back({{"step", step.step},
                     {"accuracy_loss_fraction", step.change.accuracy.loss()},
                     {"mean_loss", step.change.loss_increase},
                     {"bytes_ratio", *step.bytes_ratio},
                     {"speedup_ratio", *step.speedup}});
  report_.say("steps", std::move(table), fmt::format("\nBy step of the recipe, all images:\n\n{}", to_string(*steps)));
  return {};
}

std::vector<std::string> failed_slices(const evaluate::Evaluation& evaluation) {
  std::vector<std::string> names;
  for (const auto& check : evaluation.verdict.checks)
    if (check.outcome == evaluate::Outcome::fail && check.name.find('[') != std::string::npos) {
      const auto from = check.name.find('[') + 1;
      names.push_back(check.name.substr(from, check.name.size() - from - 1));
    }
  return names;
}

/// Rows of a slice by its name.
std::vector<std::int64_t> rows_of_slice(const evaluate::Suite& suite, const std::string& name) {
  for (const auto& slicing : suite.slicings())
    for (std::size_t g = 0; g < slicing.groups.size(); ++g)
      if (evaluate::slice_name(slicing, g) == name) return evaluate::rows_of(slicing, g);
  return {};
}

/// A part of a suite as a suite of its own.
Result<evaluate::Suite> rows_of_suite(const evaluate::Suite& suite, const std::vector<std::int64_t>& rows) {
  const auto images = suite.inputs().values<std::uint8_t>("images");
  const auto labels = suite.labels().values<std::int32_t>("labels");
  if (!images) return images.error();
  if (!labels) return labels.error();
  const std::size_t size = images->size() / labels->size();
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> classes;
  for (const std::int64_t row : rows) {
    const auto image = images->subspan(static_cast<std::size_t>(row) * size, size);
    pixels.insert(pixels.end(), image.begin(), image.end());
    classes.push_back((*labels)[static_cast<std::size_t>(row)]);
  }
  const auto& shape = suite.inputs().shape();
  const auto count = static_cast<std::int64_t>(rows.size());
  auto inputs = mcomp::Tensor::from(pixels, mcomp::Shape{count, shape[1], shape[2], shape[3]});
  auto label_tensor = mcomp::Tensor::from(classes, mcomp::Shape{count});
  if (!inputs) return inputs.error();
  if (!label_tensor) return label_tensor.error();
  return evaluate::Suite::freeze({.name = suite.name() + ", some rows",
                                  .version = suite.version(),
                                  .inputs = std::move(*inputs),
                                  .labels = std::move(*label_tensor),
                                  .slicings = {},
                                  .versions = suite.versions()});
}

Result<ExitStatus> Run::operator()() {
  const auto own = read_fashion_classifier(MCOMP_FASHION_WEIGHTS, options_.fashion_mnist);
  if (!own) return own.error();
  const auto recipe = compress::Recipe::read(options_.recipe);
  if (!recipe) return recipe.error();
  const auto suite = make_suite(own->test);
  if (!suite) return suite.error();
  report_.say("suite_fingerprint", suite->fingerprint(), fmt::format("{}", *suite));

  // The baseline with what costs nothing done as well, so that layers can be put back one by one.
  compress::Recipe fold = *recipe, finer = *recipe;
  std::erase_if(fold.steps, [](const auto& step) { return step.strategy == "quantize"; });
  for (auto& step : finer.steps)
    if (step.strategy == "quantize") {
      Json options = Json::parse(step.options, nullptr, false);
      options["weights"]["dtype"] = options_.repair;
      step.options = options.dump();
    }
  const auto baseline = compressed(own->model, own->calibration, fold);
  if (!baseline) return baseline.error();
  const auto candidate = compressed(own->model, own->calibration, *recipe);
  if (!candidate) return candidate.error();
  const auto fine = compressed(own->model, own->calibration, finer);
  if (!fine) return fine.error();

  const auto first = compared(*baseline, *candidate, recipe->name, *suite, recipe->criteria);
  if (!first) return first.error();
  if (const auto written = mcomp::write_file(out_ / "rejected.json", to_json(*first)); !written) return written.error();
  report_.say("first", Json::parse(to_json(*first)), fmt::format("\n{}", *first));
  const std::vector<std::string> slices = failed_slices(*first);
  if (first->verdict.outcome != evaluate::Outcome::fail || slices.empty()) {
    report_.say("repaired", false, "No slice is worse than its margin; there is nothing to repair.");
    return report_evaluation(report_, *first);
  }

  if (const auto done = attribute_steps(*own, *recipe, *suite); !done) return done.error();

  // Who is guilty: each layer back in f32 in turn, and alone in few bits, on the rows of the slice.
  std::vector<std::int64_t> rows;
  for (const std::string& slice : slices) {
    const auto more = rows_of_slice(*suite, slice);
    rows.insert(rows.end(), more.begin(), more.end());
  }
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  const auto guilty_rows = rows_of_suite(*suite, rows);
  if (!guilty_rows) return guilty_rows.error();
  const std::vector<std::string> layers = compress::compressed_layers(*candidate);
  const auto scorer = [&](const std::vector<std::string>& compressed) -> Result<evaluate::RowScores> {
    const auto variant = compress::with_only(*candidate, *baseline, compressed);
    if (!variant) return variant.error();
    const auto contender = serve("", *variant);
    if (!contender) return contender.error();
    const auto answer = contender->predict(guilty_rows->inputs());
    if (!answer) return answer.error();
    return evaluate::score_probabilities(answer->outputs, guilty_rows->labels());
  };
  const mcomp::Context context{.executor = nullptr, .progress = progress_.sink(), .cancellation = {}};
  const auto guilty = evaluate::attribute_layers(layers, scorer, {}, context);
  progress_.clear();
  if (!guilty) return guilty.error();
  Json table = Json::array();
  for (const auto& layer : guilty->layers)
    table.push_back({{"layer", layer.layer},
                     {"put_back_accuracy_fraction", -layer.put_back.accuracy.loss()},
                     {"put_back_mean_loss", layer.put_back.loss_increase},
                     {"alone_accuracy_loss_fraction", layer.alone->accuracy.loss()},
                     {"alone_mean_loss", layer.alone->loss_increase}});
  report_.say("attribution", std::move(table),
              fmt::format("On the rows of {}:\n\n{}", fmt::join(slices, ", "), *guilty));

  // The guiltiest layers get more bits, one more at a time, until the criteria are kept.
  std::vector<std::string> repaired;
  for (const auto& layer : guilty->layers) {
    repaired.push_back(layer.layer);
    auto weights = compress::put_back(*candidate, *fine, repaired);
    if (!weights) return weights.error();
    // Other weights, other confidence: the calibrator is fitted again.
    weights->calibrator.reset();
    const auto model = compressed(*weights, own->calibration, confidence_of(*recipe));
    if (!model) return model.error();
    auto second = compared(*baseline, *model,
                           fmt::format("{}, {} in {}", recipe->name, fmt::join(repaired, " "), options_.repair), *suite,
                           recipe->criteria);
    if (!second) return second.error();
    if (!second->verdict.passed()) continue;
    report_.say("repaired_layers", repaired,
                fmt::format("{} of {} layers in {} keep every margin: {} -> {} bytes (f32 {})", repaired.size(),
                            layers.size(), options_.repair, candidate->stored_bytes(), model->stored_bytes(),
                            baseline->stored_bytes()));
    report_.keep("baseline_bytes", baseline->stored_bytes());
    report_.keep("candidate_bytes", candidate->stored_bytes());
    report_.keep("repaired_bytes", model->stored_bytes());
    const auto changed = evaluate::changes(*first, *second);
    if (!changed) return changed.error();
    for (const auto& change : *changed)
      report_.row("changes", {{"name", change.name}, {"before", change.before}, {"after", change.after}},
                  fmt::format("  {:<44} {:.6g} -> {:.6g}", change.name, change.before, change.after));
    if (options_.corruptions) {
      const auto before = serve("f32", *baseline), after = serve("repaired", *model);
      if (!before) return before.error();
      if (!after) return after.error();
      const auto robust =
          evaluate::robustness(*before, *after, *suite, {.severities = {1, 3, 5}, .batch = options_.batch},
                               {.executor = &pool_, .progress = progress_.sink(), .cancellation = {}});
      progress_.clear();
      if (!robust) return robust.error();
      report_.say("mean_corrupted_loss_fraction", robust->mean_baseline_accuracy() - robust->mean_candidate_accuracy(),
                  fmt::format("\n{}", *robust));
    }
    if (const auto written = write_evaluation(out_, *second); !written) return written.error();
    return report_evaluation(report_, *second);
  }
  return Error(ErrorCode::insufficient_data, "repair",
               fmt::format("with all {} layers in {} a margin is still broken", layers.size(), options_.repair),
               "give layers more bits, or the slice a wider margin");
}

} // namespace

int main(int argc, char** argv) {
  example::Program program("protect_slice",
                           "A compression that one slice pays for: found by its check, attributed to layers, repaired.",
                           "protect-slice-report");
  Options options;
  CLI::App& app = program.options();
  app.add_option("--recipe", options.recipe, "Steps and criteria (JSON)")->capture_default_str();
  app.add_option("--repair", options.repair, "What the weights of guilty layers become")
      ->capture_default_str()
      ->check(CLI::IsMember({"int4", "int5", "int6", "int7", "int8"}));
  app.add_option("--fashion-mnist", options.fashion_mnist, "Folder of the four Fashion-MNIST files")
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Images in a request")->capture_default_str()->check(CLI::Range(1, 10000));
  app.add_option("--threads", options.threads, "Threads")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_flag("--corruptions", options.corruptions, "Measure the repaired network on corrupted images too");
  return program.run(argc, argv, [&](Report& report) { return Run(options, program.out(), report)(); });
}
