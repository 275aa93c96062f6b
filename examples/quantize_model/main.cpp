// Quantizes a trained model, decoder or classifier, and says what that costs: to a format of GGUF files or of
// compressed-tensors checkpoints, by the nearest codes or by codes that make up for each other's errors.

#include "job.hpp"

namespace {
std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}
} // namespace

int main(int argc, char** argv) {
  example::Program program("quantize_model", "Quantizes a decoder or a classifier and measures what is lost.");
  example::Job job;
  job.method_text = "gptq-refined";
  CLI::App& app = program.options();
  app.add_option("--network", job.network, "llama, resnet-cifar:DEPTH, or a description (JSON)")->required();
  app.add_option("--model", job.model, "Weights (safetensors)")->required();
  app.add_option("--calibration", job.calibration,
                 "Samples to quantize on: 'images', or token rows 'calibration' or 'tokens' (safetensors)")
      ->required();
  app.add_option("--data", job.data,
                 "Samples to be judged on: 'images' and 'labels', or token rows 'evaluation' or 'tokens' (safetensors)")
      ->required();
  app.add_option(
         "--format", job.format_texts,
         "Q4_K, IQ4_NL ... (GGUF); int4, int4:g32, uint3:g64 ...; mxfp4, nvfp4, fp8, nf4, normal4 ... With a "
         "budget: those to choose from, separated by commas (default: of int2 ... int8 for classifiers, normal2 "
         "... normal6 and integers for decoders)")
      ->delimiter(',');
  app.add_option("--budget", job.budget, "Bits a weight, scales included: a format is chosen for every tensor")
      ->check(CLI::PositiveNumber);
  std::string measure;
  app.add_option("--sensitivity", measure,
                 "What a budget weighs: weight_error, output_error, output_divergence (default of decoders) or "
                 "network_error (of classifiers)")
      ->check(CLI::IsMember({"weight_error", "output_error", "output_divergence", "network_error"}));
  app.add_option("--sensitivity-samples", job.measure_samples, "Calibration samples for the divergence, at most")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option(
         "--target", job.target_text,
         "What a layer is fitted to: own_output, original_output, or residual_sum, which makes up for all errors "
         "of earlier layers (default where the method needs samples and layers are not parallel)")
      ->check(CLI::IsMember({"own_output", "original_output", "residual_sum"}));
  app.add_option("--method", job.method_text, "nearest, search, hqq, adaround, gptq or gptq-refined")
      ->capture_default_str()
      ->check(CLI::IsMember({"nearest", "search", "hqq", "adaround", "gptq", "gptq-refined"}));
  app.add_option("--samples", job.samples, "Calibration samples, at most")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--keep", job.keep, "Tensors (of classifiers: layers) that stay as they are");
  app.add_flag("--linear-only", job.linear_only, "Decoders: embedding and head stay as they are");
  app.add_flag("!--parallel-layers", job.sequential,
               "Let every layer see the inputs of the original network, in one pass");
  app.add_option("--heads", job.heads, "Decoders: heads of attention, where the file does not say");
  app.add_option("--tokenizer", job.tokenizer, "Decoders: the vocabulary for a GGUF file, one token a line");
  app.add_option("--threads", job.threads, "Threads")->capture_default_str()->check(CLI::Range(1, 1024));
  return program.run(argc, argv, [&](example::Report& report) -> mcomp::Result<example::ExitStatus> {
    constexpr int refinement_rounds = 16;
    if (job.format_texts.empty() && job.budget == 0)
      return mcomp::Error(mcomp::ErrorCode::invalid_argument, "--format", "neither it nor a budget is given",
                          "say what weights become, such as --format int4:g32");
    if (job.format_texts.size() > 1 && job.budget == 0)
      return mcomp::Error(mcomp::ErrorCode::invalid_argument, "--format", "several formats, and no budget to choose by",
                          "give --budget too, or one format");
    for (const std::string& text : job.format_texts) {
      auto format = mcomp::compress::weight_format_from_string(text);
      if (!format) return format.error();
      job.formats.push_back(std::move(*format));
    }
    const bool refined = job.method_text == "gptq-refined";
    const auto algorithm = mcomp::compress::weight_algorithm_from_string(refined ? "gptq" : job.method_text);
    if (!algorithm) return algorithm.error();
    job.method = {*algorithm, refined ? refinement_rounds : 0};
    if (measure.empty()) measure = job.network == "llama" ? "output_divergence" : "network_error";
    job.measure = *mcomp::compress::sensitivity_measure_from_string(measure);
    using mcomp::compress::LayerTarget;
    if (job.target_text.empty())
      job.target_text = job.sequential && needs_samples(job.method) ? "residual_sum" : "own_output";
    job.target = job.target_text == "residual_sum"      ? LayerTarget::residual_sum
                 : job.target_text == "original_output" ? LayerTarget::original_output
                                                        : LayerTarget::own_output;
    job.out = program.out();
    report.keep("network", job.network);
    report.keep("format", joined(job.format_texts));
    report.keep("method", job.method_text);
    report.keep("target", job.target_text);
    if (job.budget > 0) report.keep("budget_bits_per_weight", job.budget);
    return job.network == "llama" ? quantize_decoder(job, report) : quantize_classifier(job, report);
  });
}
