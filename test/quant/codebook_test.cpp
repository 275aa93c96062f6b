#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/quant/codebook.hpp"
#include "mcomp/stats/distributions.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {
std::vector<float> floats(const Tensor& t) {
  const auto v = t.values<float>("floats").value();
  return {v.begin(), v.end()};
}
Tensor random_weight(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Tensor t = Tensor::zeros(DType::f32, {rows, columns}).value();
  Random random(seed);
  for (float& w : t.mutable_values<float>()) w = static_cast<float>(random.normal());
  return t;
}
double weighted_error(const std::vector<float>& w, const std::vector<float>& v, const std::vector<float>& h) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i)
    sum += static_cast<double>(h[i % h.size()]) * std::pow(static_cast<double>(w[i]) - static_cast<double>(v[i]), 2);
  return sum;
}
/// The least error of cutting sorted points into k runs, by trying every cut.
double least_error(const std::vector<double>& x, const std::vector<double>& h, std::size_t begin, int k) {
  if (begin == x.size()) return 0;
  if (k == 0) return std::numeric_limits<double>::infinity();
  double best = std::numeric_limits<double>::infinity(), weight = 0, first = 0;
  for (std::size_t end = begin; end < x.size(); ++end) {
    weight += h[end], first += h[end] * x[end];
    double error = 0;
    for (std::size_t i = begin; i <= end; ++i) error += h[i] * std::pow(x[i] - first / weight, 2);
    best = std::min(best, error + least_error(x, h, end + 1, k - 1));
  }
  return best;
}
} // namespace

TEST_CASE("NF4's values are the quantiles that QLoRA defines") {
  // Appendix E of the paper: quantiles of the normal distribution at evenly spaced probabilities, eight above and seven
  // below zero, with the outermost probability the mean of 1 - 1/30 and 1 - 1/32, divided by the largest.
  const double outermost = 0.5 * (1 - 1.0 / 30 + 1 - 1.0 / 32);
  const double largest = stats::normal_quantile(outermost);
  for (int i = 0; i < 8; ++i) {
    const double positive = stats::normal_quantile(0.5 + (outermost - 0.5) * (i + 1) / 8) / largest;
    CHECK(std::fabs(static_cast<double>(nf4_values()[static_cast<std::size_t>(8 + i)]) - positive) < 1e-6);
    const double negative = -stats::normal_quantile(outermost - (outermost - 0.5) * i / 7) / largest;
    CHECK(std::fabs(static_cast<double>(nf4_values()[static_cast<std::size_t>(i)]) - negative) < 1e-6);
  }
}

TEST_CASE("NF4 takes the nearest of its values times the largest magnitude of each group") {
  const Tensor weight = random_weight(3, 150, 5);
  const auto q = quantize_nf4(weight, {.group_size = 64}).value();
  REQUIRE(q.scales.shape() == Shape{3, 3});
  const auto w = floats(weight), back = floats(dequantize(q).value()), scales = floats(q.scales);
  for (std::size_t i = 0; i < w.size(); ++i) {
    const float scale = scales[i / 150 * 3 + i % 150 / 64];
    float best = std::numeric_limits<float>::infinity();
    for (const float v : nf4_values()) best = std::min(best, std::fabs(v * scale - w[i]));
    CHECK(std::fabs(back[i] - w[i]) <= best * 1.000001f + 1e-7f);
  }
  CHECK(q.stored_bytes() == 450 / 2 + 9 * 4);
  // Every code comes back to itself.
  const auto all = quantize_nf4(Tensor::from(std::span<const float>(nf4_values()), Shape{1, 16}).value()).value();
  for (std::uint8_t i = 0; i < 16; ++i) CHECK(all.codes.values<std::uint8_t>("codes").value()[i] == i);
}

TEST_CASE("a fitted table is the optimum of all tables on rows small enough to try every cut") {
  Random random(3);
  for (int trial = 0; trial < 40; ++trial) {
    std::vector<float> w, h;
    for (int i = 0; i < 11; ++i) {
      w.push_back(static_cast<float>(random.normal()));
      h.push_back(trial % 2 ? static_cast<float>(std::exp(random.normal())) : 1.0f);
    }
    const auto q = quantize_codebook(Tensor::from(w, Shape{1, 11}).value(),
                                     {.bits = 2, .importance = TensorView(h.data(), DType::f32, Shape{11})})
                       .value();
    std::vector<std::pair<double, double>> sorted;
    for (std::size_t i = 0; i < w.size(); ++i) sorted.emplace_back(w[i], h[i]);
    std::sort(sorted.begin(), sorted.end());
    std::vector<double> x, weight;
    for (const auto& [value, importance] : sorted) x.push_back(value), weight.push_back(importance);
    const double optimum = least_error(x, weight, 0, 4);
    CHECK(weighted_error(w, floats(dequantize(q).value()), h) <= optimum * (1 + 1e-5) + 1e-9);
  }
}

TEST_CASE("merging neighbours before the exact solution costs next to nothing") {
  const Tensor weight = random_weight(1, 6000, 9);
  const auto w = floats(weight);
  const std::vector<float> ones{1};
  const auto exact = quantize_codebook(weight, {.bits = 4, .max_points = 6000}).value();
  const auto merged = quantize_codebook(weight, {.bits = 4, .max_points = 256}).value();
  const double least = weighted_error(w, floats(dequantize(exact).value()), ones);
  const double found = weighted_error(w, floats(dequantize(merged).value()), ones);
  CHECK(found >= least * (1 - 1e-9));
  CHECK(found <= least * 1.01);
  // Max 1960, table for 16 levels: a normal distribution keeps .009497 of its variance.
  CHECK(least / 6000 < 0.0102);
  CHECK(least / 6000 > 0.0080);
}

TEST_CASE("few different weights are kept exactly, and tables are shared or not as asked") {
  std::vector<float> w;
  for (int i = 0; i < 60; ++i) w.push_back(static_cast<float>(i % 3) - 0.5f + (i >= 30 ? 10.0f : 0.0f));
  const Tensor weight = Tensor::from(w, Shape{2, 30}).value();
  for (const bool per_channel : {true, false}) {
    const auto q = quantize_codebook(weight, {.bits = 3, .per_channel = per_channel}).value();
    CHECK(q.codebook.shape() == Shape{per_channel ? 2 : 1, 8});
    CHECK(floats(dequantize(q).value()) == w);
  }
  CHECK(floats(dequantize(quantize_codebook(Tensor::zeros(DType::f32, {1, 5}).value()).value()).value()) ==
        std::vector<float>(5, 0.0f));
}

TEST_CASE("codebooks are the same for every number of threads") {
  const Tensor weight = random_weight(24, 300, 2);
  ThreadPool two(2), eight(8);
  const auto serial = quantize_codebook(weight, {.bits = 3}).value();
  for (Executor* pool : {static_cast<Executor*>(&two), static_cast<Executor*>(&eight)}) {
    const auto q = quantize_codebook(weight, {.bits = 3}, {.executor = pool}).value();
    CHECK(q.codes == serial.codes);
    CHECK(q.codebook == serial.codebook);
  }
}

TEST_CASE("what has no codebook is an error") {
  const auto code = [](const auto& result) { return result.error().code(); }; // which throws where there is no error
  const Tensor weight = random_weight(2, 4, 1);
  const Tensor nan = Tensor::from(std::vector<float>{1, std::nanf("")}, Shape{1, 2}).value();
  CHECK(code(quantize_nf4(nan)) == ErrorCode::invalid_value);
  CHECK(code(quantize_codebook(nan)) == ErrorCode::invalid_value);
  CHECK(code(quantize_nf4(weight, {.group_size = 0})) == ErrorCode::invalid_argument);
  CHECK(code(quantize_codebook(weight, {.bits = 1})) == ErrorCode::invalid_argument);
  CHECK(code(quantize_codebook(weight, {.bits = 9})) == ErrorCode::invalid_argument);
  CHECK(code(quantize_codebook(weight, {.bits = 8, .max_points = 100})) == ErrorCode::invalid_argument);
  CHECK(code(quantize_codebook(Tensor::zeros(DType::f32, {3, 0}).value())) == ErrorCode::invalid_shape);
  CHECK(code(quantize_codebook(Tensor::zeros(DType::int32, {3, 2}).value())) == ErrorCode::invalid_dtype);
  auto q = quantize_codebook(weight, {.bits = 2}).value();
  q.codes.mutable_values<std::uint8_t>()[1] = 4;
  CHECK(code(dequantize(q)) == ErrorCode::invalid_value);
  q.codebook = Tensor::zeros(DType::f32, {1, 8}).value();
  CHECK(code(dequantize(q)) == ErrorCode::invalid_shape);
}
