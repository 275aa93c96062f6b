// How many inputs a comparison needs, paired and not: ResNet-20 in fp32 against its W4A8 forms, on the images of the
// test data. Prints Markdown.
//
//     bench_paired_design DATA_DIR

#include <fmt/format.h>

#include "mcomp/compress/plan.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/scores.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/stats/power.hpp"

using namespace mcomp;

namespace {

/// Right and wrong on every image.
stats::PairedCounts counts(const evaluate::RowScores& before, const evaluate::RowScores& after) {
  stats::PairedCounts result;
  for (std::size_t i = 0; i < before.correct.size(); ++i)
    ++(before.correct[i] != 0 ? (after.correct[i] != 0 ? result.both_right : result.only_baseline_right)
                              : (after.correct[i] != 0 ? result.only_candidate_right : result.both_wrong));
  return result;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) return fmt::print(stderr, "usage: {} DATA_DIR\n", argv[0]), 2;
  const std::string vision = std::string(argv[1]) + "/vision/";
  ThreadPool pool(0);
  const Context context{.executor = &pool, .progress = {}, .cancellation = {}};
  const auto model =
      compress::load(vision + "resnet20_cifar10.safetensors", graph::cifar_resnet({.depth = 20}).value()).value();
  const auto calibration = compress::load_samples(vision + "cifar10_calib.safetensors").value();
  const auto test = compress::load_samples(vision + "cifar10_test_a.safetensors").value();
  const auto labels = test.labels().value();
  const auto label_tensor = Tensor::from(labels, {static_cast<std::int64_t>(labels.size())}).value();
  const auto scored = [&](const compress::Model& m) {
    auto runner = quant::simulated_runner(m.program().value(), {.executor = &pool, .float_step = {}}).value();
    return evaluate::score_logits(graph::run_batches(*runner, test.images().value(), 50).value(), label_tensor).value();
  };
  const auto baseline = scored(model);
  fmt::print(
      "# Inputs that a comparison needs, paired and not\n\nWritten by `bench_paired_design DATA_DIR`. ResNet-20 in "
      "fp32 "
      "against its W4A8 forms on the 5,000 images of `cifar10_test_a`: inputs to see a loss of one point with power "
      ".8 at level .05, if the models disagree as often as was found. Paired, both models answer each input; not "
      "paired, each model has inputs of its own, so that twice the number has to be labelled.\n\n");
  fmt::print("| W4A8 by | fp32 | quantized | disagree | paired: inputs | not paired: inputs of each model | ratio |\n"
             "| --- | --- | --- | --- | --- | --- | --- |\n");
  for (const auto& [name, method] : {std::pair("the nearest codes", R"("method": "nearest")"),
                                     std::pair("GPTQ", R"("method": "gptq", "target": "residual_sum")")}) {
    const auto recipe = compress::Recipe::parse(fmt::format(R"({{"schema": "mcomp-recipe-1", "name": "w4a8",
          "calibration": {{"samples": 512}}, "steps": [{{"strategy": "fold_batch_norm"}},
          {{"strategy": "quantize", "weights": {{"dtype": "int4", {}}}}}]}})",
                                                            method),
                                                "recipe")
                            .value();
    const auto plan = compress::plan(model, recipe, {.calibration = &calibration, .context = context}).value();
    const auto candidate = scored(compress::apply(plan, model, context).value());
    const stats::PairedCounts found = counts(baseline, candidate);
    const auto n = static_cast<double>(found.pairs());
    const double discordant = static_cast<double>(found.only_baseline_right + found.only_candidate_right) / n;
    // Power .8 at level .05 to see a loss of one point, with the disagreement that was found.
    constexpr double loss = 0.01;
    const auto paired = stats::sample_size_paired({.discordant = discordant, .loss = loss}).value();
    const double accuracy = found.baseline_accuracy();
    const auto separate = stats::sample_size_proportions(accuracy, accuracy - loss).value();
    fmt::print("| {} | {:.2f} % | {:.2f} % | {:.2f} % | {} | {} | {:.1f} |\n", name, 100 * found.baseline_accuracy(),
               100 * found.candidate_accuracy(), 100 * discordant, paired, separate,
               static_cast<double>(separate) / static_cast<double>(paired));
  }
  return 0;
}
