// Quantizes a trained model, decoder or classifier, and says what that costs: to a format of GGUF files or of
// compressed-tensors checkpoints, by the nearest codes or by codes that make up for each other's errors.

#include "job.hpp"

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
  app.add_option("--format", job.format_text,
                 "Q4_K, IQ4_NL ... (GGUF); int4, int4:g32, uint3:g64 ...; mxfp4, nvfp4, fp8, nf4 ...")
      ->required();
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
    auto format = mcomp::compress::weight_format_from_string(job.format_text);
    if (!format) return format.error();
    const bool refined = job.method_text == "gptq-refined";
    const auto algorithm = mcomp::compress::weight_algorithm_from_string(refined ? "gptq" : job.method_text);
    if (!algorithm) return algorithm.error();
    job.format = std::move(*format);
    job.method = {*algorithm, refined ? refinement_rounds : 0};
    job.out = program.out();
    report.keep("network", job.network);
    report.keep("format", job.format_text);
    report.keep("method", job.method_text);
    return job.network == "llama" ? quantize_decoder(job, report) : quantize_classifier(job, report);
  });
}
