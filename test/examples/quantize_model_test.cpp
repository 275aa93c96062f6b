// quantize_model as a user runs it: what it says in report.json, on the trained models of the test data. [slow]

#include "mcomp/core/format.hpp"
#include "run_program.hpp"

namespace {

using Json = nlohmann::json;

Json run(const std::string& arguments, int expected = 0) {
  return mcomp_test::run_program(MCOMP_QUANTIZE_MODEL, arguments, expected);
}

std::string decoder(const std::string& model) {
  const auto weights = mcomp_test::data("language/" + model + ".safetensors"),
             tokens = mcomp_test::data("language/tinystories_tokens.safetensors");
  if (!weights || !tokens) return "";
  return fmt::format("--network llama --model '{}' --calibration '{}' --data '{}' --threads 2 ", weights->string(),
                     tokens->string(), tokens->string());
}

double number(const Json& report, const char* key) {
  REQUIRE(report.contains(key));
  return report.at(key).get<double>();
}

} // namespace

TEST_CASE("quantize_model: a decoder within a budget, as an artifact and as files that engines load", "[slow]") {
  const std::string common = decoder("stories260k");
  if (common.empty()) return;
  // Formats and samples are few, so that it does not take long.
  const Json mixed = run(common + "--budget 4.5 --format normal3:f16,normal4:f16,normal5:f16 --sensitivity-samples 8");
  CHECK(number(mixed, "quantized_bits_per_weight") <= 4.5);
  CHECK(number(mixed, "quantized_bits_per_weight") > 4.4);
  CHECK(std::abs(number(mixed, "bits_per_weight") - number(mixed, "planned_bits_per_weight")) < 0.01);
  CHECK(number(mixed, "perplexity") < 1.05 * number(mixed, "baseline_perplexity"));
  CHECK(number(mixed, "baseline_perplexity") == Approx(4.4988).epsilon(1e-3));
  // Header and manifest aside, the file is as large as planned.
  CHECK(8 * (number(mixed, "file_bytes") - number(mixed, "planned_file_bytes")) / 260032 < 0.8);

  const Json gguf = run(common + "--budget 5 --format Q4_0,Q5_0,Q8_0 --sensitivity output_error --method gptq");
  CHECK(number(gguf, "quantized_bits_per_weight") <= 5);
  CHECK(number(gguf, "file_bytes") == number(gguf, "planned_file_bytes"));
  CHECK(number(gguf, "perplexity") < 1.06 * number(gguf, "baseline_perplexity"));

  const Json checkpoint = run(common + "--format int4:g32:full:f16 --method gptq --linear-only");
  CHECK(number(checkpoint, "perplexity") < 1.08 * number(checkpoint, "baseline_perplexity"));
  CHECK(number(checkpoint, "mean_kl_nats") < 0.08);
}

TEST_CASE("quantize_model: a classifier within a budget", "[slow]") {
  const auto weights = mcomp_test::data("vision/resnet20_cifar10.safetensors"),
             calibration = mcomp_test::data("vision/cifar10_calib.safetensors"),
             test = mcomp_test::data("vision/cifar10_test_a.safetensors");
  if (!weights || !calibration || !test) return;
  const Json report =
      run(fmt::format("--network resnet-cifar:20 --model '{}' --calibration '{}' --data '{}' --threads 2 "
                      "--samples 128 --budget 4.3 --sensitivity output_error --method gptq",
                      weights->string(), calibration->string(), test->string()));
  CHECK(number(report, "quantized_bits_per_weight") <= 4.3);
  CHECK(number(report, "lost_top1_fraction") < 0.01);
}

TEST_CASE("quantize_model: what it cannot do is said before any work", "[slow]") {
  const std::string common = decoder("stories260k");
  if (common.empty()) return;
  run(common, 1);
  run(common + "--format int4,int5", 1);
  run(common + "--format int99", 1);
  run(common + "--budget 0.5 --format int4,int5 --method nearest", 1);
}
