#include <cmath>

#include "catch.hpp"
#include "mcomp/compress/weight_format.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/gptq.hpp"
#include "models.hpp"

using namespace mcomp;
using namespace mcomp::compress;

namespace {

const std::vector<std::string> words{"Q4_0",
                                     "Q4_1",
                                     "Q5_0",
                                     "Q5_1",
                                     "Q8_0",
                                     "Q2_K",
                                     "Q3_K",
                                     "Q4_K",
                                     "Q5_K",
                                     "Q6_K",
                                     "IQ4_NL",
                                     "IQ4_XS",
                                     "MXFP4",
                                     "int2",
                                     "int3",
                                     "int8",
                                     "uint4",
                                     "int4:tensor",
                                     "int4:g32",
                                     "uint3:g64",
                                     "int4:b2x128",
                                     "mxfp4",
                                     "nvfp4",
                                     "mxfp6_e2m3",
                                     "mxfp6_e3m2",
                                     "mxfp8_e4m3",
                                     "mxfp8_e5m2",
                                     "fp8",
                                     "fp8:tensor",
                                     "fp8_e5m2",
                                     "fp8:b4x64",
                                     "nf4",
                                     "nf4:g32",
                                     "codebook3",
                                     "codebook2:tensor",
                                     "normal3",
                                     "normal4:g32:f16",
                                     "normal2:bf16",
                                     "int4:g32:full:f16",
                                     "uint3:bf16",
                                     "int5:full"};

/// A weight [6, 256] and correlated inputs for it.
struct Layer {
  Tensor weight;
  stats::Gram gram{256};
  Layer() {
    Random random(11);
    weight = mcomp_test::normals(random, {6, 256});
    Tensor x = mcomp_test::normals(random, {300, 256});
    auto values = x.mutable_values<float>();
    for (std::size_t i = 1; i < values.size(); ++i)
      if (i % 256 != 0) values[i] = 0.7f * values[i - 1] + (i % 16 == 3 ? 3.0f : 0.5f) * values[i];
    gram.update(x).value();
  }
  [[nodiscard]] Result<QuantizedWeight> quantized(const std::string& word, const WeightMethod& method) const {
    const auto quantize = layer_method(weight_format_from_string(word).value(), method);
    if (!quantize) return quantize.error();
    return (*quantize)({"layer", "weight", weight, &gram}, {});
  }
  [[nodiscard]] double error(const QuantizedWeight& q) const {
    return quant::output_error(weight, dequantize(q).value(), gram).value();
  }
};

} // namespace

TEST_CASE("a word reads back to its format, and the bytes of a weight are known before any work") {
  Random random(2);
  const Tensor weight = mcomp_test::normals(random, {6, 512}), kernel = mcomp_test::normals(random, {4, 5, 3, 3});
  for (const std::string& word : words) {
    INFO(word);
    const WeightFormat format = weight_format_from_string(word).value();
    CHECK(to_string(format) == word);
    CHECK(fmt::format("{}", format) == word);
    const LayerMethod method = layer_method(format, {}).value();
    const QuantizedWeight q = method({"layer", "weight", weight, nullptr}, {}).value();
    CHECK(stored_bytes(q) == stored_bytes(format, weight.shape()).value());
    const auto bytes = stored_bytes(format, kernel.shape());
    const auto convolution = method({"layer", "weight", kernel, nullptr}, {});
    REQUIRE(bytes.has_value() == convolution.has_value());
    if (bytes)
      CHECK(stored_bytes(*convolution) == *bytes);
    else
      CHECK(bytes.error().code() == ErrorCode::invalid_shape);
  }
  CHECK(to_string(weight_format_from_string("q4_k").value()) == "Q4_K");
  CHECK(to_string(weight_format_from_string("int4:channel").value()) == "int4");
  for (const char* word : {"",
                           "int9",
                           "float",
                           "int4:",
                           "int4:g",
                           "int4:g0",
                           "int4:g-3",
                           "int4:gx",
                           "int4:b4",
                           "int4:b0x3",
                           "nf4:tensor",
                           "codebook",
                           "codebook1",
                           "codebook9",
                           "codebook4:g32",
                           "Q4_9",
                           "mxfp4:g32",
                           "normal1",
                           "normal9",
                           "normal4:tensor",
                           "normal4:full",
                           "uint4:full",
                           "int4:f16:f16",
                           "int4:full:full",
                           "int4:g32:g32",
                           "fp8:f16",
                           "nf4:f16",
                           "codebook4:f16",
                           "int16",
                           "fp8:g"}) {
    INFO("'" << word << "'");
    const auto format = weight_format_from_string(word);
    REQUIRE_FALSE(format);
    CHECK(format.error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(format.error()));
  }
  CHECK(stored_bytes(quant::BlockFormat::q4_k, {4, 128}).error().code() == ErrorCode::invalid_shape);
  CHECK(stored_bytes(quant::Scheme{}, Shape{}).error().code() == ErrorCode::invalid_shape);
  CHECK(stored_bytes(quant::Scheme{}, {0, 4}).error().code() == ErrorCode::invalid_shape);
  CHECK(stored_bytes(quant::Scheme{.granularity = quant::Granularity::per_group}, {4, 4}).error().code() ==
        ErrorCode::invalid_argument);
}

TEST_CASE("every method that a format has works, and the better ones are better") {
  const Layer layer;
  using enum WeightAlgorithm;
  for (const std::string& word : words) {
    const WeightFormat format = weight_format_from_string(word).value();
    const double nearest_error = layer.error(layer.quantized(word, {nearest, 0}).value());
    for (const WeightMethod& method : {WeightMethod{search, 0}, WeightMethod{hqq, 0}, WeightMethod{adaround, 0},
                                       WeightMethod{gptq, 0}, WeightMethod{gptq, 4}}) {
      INFO(word << " " << to_string(method));
      const bool integers = std::holds_alternative<quant::Scheme>(format);
      const bool blocks = std::holds_alternative<quant::BlockFormat>(format);
      const bool own_rows = word.find(":tensor") == std::string::npos && word.find('x') == std::string::npos;
      const bool levels =
          std::holds_alternative<NormalLevels>(format) || std::holds_alternative<quant::Nf4Options>(format);
      const bool searched = std::holds_alternative<quant::Microscaling>(format) ||
                            std::holds_alternative<FittedCodebook>(format) || blocks || integers || levels;
      const bool expected = method.algorithm == search ? searched
                            : method.algorithm == hqq  ? integers && own_rows
                            : method.algorithm == adaround
                                ? integers
                                : integers || blocks || levels || std::holds_alternative<quant::Microscaling>(format);
      const auto q = layer.quantized(word, method);
      REQUIRE(q.has_value() == expected);
      if (!q) {
        CHECK(q.error().code() == ErrorCode::invalid_argument);
        CHECK(mcomp_test::well_formed(q.error()));
        continue;
      }
      CHECK(stored_bytes(*q) == stored_bytes(format, layer.weight.shape()).value());
      // HQQ does not look at inputs, and a search takes them for uncorrelated. Ternary codes of GPTQ may be worse.
      if (method.algorithm == search) CHECK(layer.error(*q) < 1.2 * nearest_error);
      if ((method.algorithm == adaround || method.algorithm == gptq) && word != "int2")
        CHECK(layer.error(*q) <= 1.001 * nearest_error);
    }
  }
  CHECK(layer_method(quant::BlockFormat::q4_0, {search, 3}).error().subject() == "refine");
  CHECK(layer_method(quant::microscaling::mxfp4, {nearest, 3}).error().subject() == "refine");
  for (const WeightAlgorithm a : {nearest, search, hqq, adaround}) { // integers of every method can be refined
    INFO(to_string(a));
    CHECK(layer.error(layer.quantized("int3:g32", {a, 4}).value()) <
          0.9 * layer.error(layer.quantized("int3:g32", {a, 0}).value()));
  }
  CHECK(needs_samples({nearest, 1}));
  CHECK(layer_method(quant::Scheme{}, {gptq, -1}).error().subject() == "refine");
  const LayerMethod without = layer_method(quant::Scheme{}, {gptq, 0}).value();
  CHECK(without({"layer", "weight", layer.weight, nullptr}, {}).error().code() == ErrorCode::insufficient_data);
  CHECK_FALSE(needs_samples({hqq, 0}));
  CHECK(needs_samples({search, 0}));
  for (const WeightAlgorithm a : {nearest, search, hqq, adaround, gptq})
    CHECK(weight_algorithm_from_string(to_string(a)).value() == a);
  CHECK(weight_algorithm_from_string("clipped").error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("the words give what a call of the algorithm gives") {
  const Layer layer;
  const auto direct =
      quant::gptq(layer.weight, layer.gram,
                  {.scheme = {.dtype = DType::int4, .granularity = quant::Granularity::per_group, .group_size = 32},
                   .refine = {.rounds = 3}})
          .value();
  CHECK(fingerprint(layer.quantized("int4:g32", {WeightAlgorithm::gptq, 3}).value()) ==
        fingerprint(QuantizedWeight(direct.tensor)));
  CHECK(fingerprint(layer.quantized("int4:g64", {WeightAlgorithm::gptq, 3}).value()) !=
        fingerprint(QuantizedWeight(direct.tensor)));
}
