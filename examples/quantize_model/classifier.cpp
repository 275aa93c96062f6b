#include "job.hpp"
#include "mcomp/compress/artifact.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/stats/paired.hpp"
#include "network.hpp"
#include "progress_line.hpp"

namespace example {

namespace {

using namespace mcomp;
using Json = Report::Json;

/// A scheme that no classifier is executed in, where the format is none.
quant::Scheme scheme_of(const compress::WeightFormat& format) {
  const auto* scheme = std::get_if<quant::Scheme>(&format);
  return scheme ? *scheme : quant::Scheme{.symmetric = false};
}

/// The recipe that the command line describes.
Result<compress::Recipe> recipe(const Job& job) {
  const quant::Scheme first = job.formats.empty() ? quant::Scheme{} : scheme_of(job.formats[0]);
  for (std::size_t i = 0; i < job.formats.size(); ++i) {
    const quant::Scheme scheme = scheme_of(job.formats[i]);
    if (!scheme.symmetric || scheme.group_size > 0 || scheme.full_range || scheme.scale_dtype != DType::f32 ||
        scheme.granularity != first.granularity)
      return Error(ErrorCode::invalid_argument, fmt::format("--format {}", job.format_texts[i]),
                   "classifiers are executed in symmetric integers with one scale a channel, or all one a tensor",
                   "use int2 ... int8, with :tensor or without");
  }
  using compress::WeightAlgorithm;
  if (job.method.algorithm == WeightAlgorithm::hqq)
    return Error(ErrorCode::invalid_argument, fmt::format("--method {}", job.method_text),
                 "weights that are executed in integers do not have it", "use nearest, search, adaround or gptq");
  const std::string method =
      job.method.algorithm == WeightAlgorithm::search ? "clipped" : to_string(job.method.algorithm);
  Json weights{{"granularity", first.granularity == quant::Granularity::per_tensor ? "per_tensor" : "per_channel"},
               {"method", method},
               {"refine", job.method.refine},
               {"target", job.target_text}};
  if (job.budget > 0) {
    weights["budget"] = {
        {"bits_per_weight", job.budget}, {"measure", to_string(job.measure)}, {"samples", job.measure_samples}};
    if (!job.formats.empty()) weights["budget"]["formats"] = job.format_texts;
  } else {
    weights["dtype"] = to_string(first.dtype);
  }
  const Json steps = Json::array(
      {{{"strategy", "fold_batch_norm"}}, {{"strategy", "quantize"}, {"weights", weights}, {"keep_f32", job.keep}}});
  const Json text{
      {"schema", "mcomp-recipe-1"},
      {"name", fmt::format("{}-{}", job.budget > 0 ? fmt::format("{}-bits", job.budget) : job.format_texts[0],
                           job.method_text)},
      {"calibration", {{"samples", job.samples}}},
      {"steps", steps}};
  return compress::Recipe::parse(text.dump(), "recipe of the command line");
}

Result<Tensor> run_logits(const compress::Model& model, const compress::Samples& samples, Executor& executor,
                          ProgressLine& progress) {
  auto program = model.program();
  if (!program) return program.error();
  auto runner = quant::simulated_runner(std::move(*program), {.executor = &executor});
  if (!runner) return runner.error();
  const auto images = samples.images();
  if (!images) return images.error();
  const std::int64_t count = samples.count();
  return graph::run_batches(**runner, *images, 50,
                            [&](std::int64_t done) { progress.show(fmt::format("running {} of {}", done, count)); });
}

} // namespace

Result<ExitStatus> quantize_classifier(const Job& job, Report& report) {
  auto network = read_network(job.network);
  if (!network) return network.error();
  const auto steps = recipe(job);
  if (!steps) return steps.error();
  const auto model = compress::load(job.model, std::move(*network));
  if (!model) return model.error();
  const auto calibration = compress::load_samples(job.calibration), test = compress::load_samples(job.data);
  if (!calibration) return calibration.error();
  if (!test) return test.error();
  const auto labels = test->labels();
  if (!labels) return labels.error();

  ThreadPool pool(job.threads);
  ProgressLine progress;
  const Context context{.executor = &pool, .progress = progress.sink()};
  const auto plan = compress::plan(*model, *steps, {.calibration = &*calibration, .context = context});
  if (!plan) return plan.error();
  const auto small = compress::apply(*plan, *model, context);
  if (!small) return small.error();
  const auto reference = run_logits(*model, *test, pool, progress);
  if (!reference) return reference.error();
  const auto quantized = run_logits(*small, *test, pool, progress);
  if (!quantized) return quantized.error();
  const auto before = graph::predicted_classes(*reference), after = graph::predicted_classes(*quantized);
  if (!before) return before.error();
  if (!after) return after.error();
  evaluate::LogitsDivergence divergence;
  if (const Status updated = divergence.update(*reference, *quantized); !updated) return updated.error();
  const auto moved = divergence.report();
  if (!moved) return moved.error();
  progress.clear();

  for (const compress::Decision& decision : plan->decisions)
    for (const compress::PlanEntry& e : decision.entries)
      report.row("plan",
                 {{"subject", e.subject},
                  {"action", e.action},
                  {"reason", e.reason},
                  {"before_bytes", e.bytes_before},
                  {"after_bytes", e.bytes_after}},
                 fmt::format("  {:<28} {:<44} {}", e.subject, e.action, e.reason));
  std::int64_t right_before = 0, right_after = 0;
  for (std::size_t i = 0; i < labels->size(); ++i) {
    right_before += (*before)[i] == (*labels)[i];
    right_after += (*after)[i] == (*labels)[i];
  }
  const double n = static_cast<double>(labels->size());
  const double top1_before = static_cast<double>(right_before) / n, top1_after = static_cast<double>(right_after) / n;
  report.say("baseline_top1_fraction", top1_before, fmt::format("top-1 in f32       {:.2f} %", 100 * top1_before));
  report.say("top1_fraction", top1_after, fmt::format("top-1 quantized    {:.2f} %", 100 * top1_after));
  report.say("lost_top1_fraction", top1_before - top1_after,
             fmt::format("loss               {:+.2f} points", 100 * (top1_before - top1_after)));
  report.say("mean_kl_nats", moved->mean_kl, fmt::format("mean divergence    {:.5f} nats", moved->mean_kl));
  report.keep("top1_agreement_fraction", moved->top1_agreement);
  std::int64_t weights = 0, bytes = 0;
  for (const auto& [layer, q] : small->quantization.weights) weights += q.codes.elements(), bytes += q.stored_bytes();
  const double bits = weights == 0 ? 32 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  report.say("quantized_bits_per_weight", bits,
             fmt::format("bits a weight      {:.3f} in {} layers", bits, small->quantization.weights.size()));
  report.say("model_bytes", plan->bytes_after,
             fmt::format("size               {} -> {} bytes", plan->bytes_before, plan->bytes_after));
  report.keep("baseline_bytes", plan->bytes_before);
  report.keep("test_samples", labels->size());
  report.keep("calibration_samples", std::min(job.samples, calibration->count()));
  if (const Status written = compress::write_artifact(job.out, *small, *steps, *plan); !written) return written.error();
  std::uintmax_t file_bytes = 0;
  for (const char* file : {"model.safetensors", "manifest.json"})
    file_bytes += std::filesystem::file_size(job.out / file);
  report.say("file_bytes", file_bytes, fmt::format("files              {} bytes with the manifest", file_bytes));
  report.say("artifact", job.out.string(), fmt::format("artifact           {}", job.out.string()));
  return ExitStatus::done;
}

} // namespace example
