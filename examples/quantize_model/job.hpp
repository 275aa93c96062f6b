#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/compress/sensitivity.hpp"
#include "mcomp/compress/weight_format.hpp"
#include "program.hpp"

namespace example {

/// What the command line asks for.
struct Job {
  std::filesystem::path model, calibration, data, out;
  std::string network; ///< "llama", "resnet-cifar:DEPTH", or a description (JSON)
  std::vector<std::string> format_texts;
  std::vector<mcomp::compress::WeightFormat> formats; ///< one, or with a budget those to choose from
  double budget = 0;                                  ///< bits a weight; 0: none
  mcomp::compress::SensitivityMeasure measure = mcomp::compress::SensitivityMeasure::output_divergence;
  std::int64_t measure_samples = 32;
  std::string method_text;
  mcomp::compress::WeightMethod method;
  std::int64_t samples = 512;    ///< of the calibration set, at most
  std::vector<std::string> keep; ///< tensors that stay as they are
  bool linear_only = false;      ///< decoders: embedding and head stay as they are
  bool sequential = true;
  mcomp::compress::LayerTarget target = mcomp::compress::LayerTarget::own_output;
  std::string target_text;
  int threads = 1;
  // Decoders
  std::optional<std::int64_t> heads;
  std::filesystem::path tokenizer; ///< a token list, for GGUF files
};

/// A decoder: perplexity and divergence before and after, and a GGUF or compressed-tensors file.
[[nodiscard]] mcomp::Result<ExitStatus> quantize_decoder(const Job& job, Report& report);
/// A classifier of images: accuracy before and after, with eight-bit activations, and an artifact.
[[nodiscard]] mcomp::Result<ExitStatus> quantize_classifier(const Job& job, Report& report);

} // namespace example
