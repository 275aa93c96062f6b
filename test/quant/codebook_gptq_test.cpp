// GPTQ into values of a table.

#include <cmath>

#include "correlated_layer.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/gptq.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;

TEST_CASE("levels for a normal distribution are the published ones") {
  // Max 1960, table I: output levels and mean squared errors for 4, 8 and 16 levels.
  const std::vector<std::vector<double>> published{
      {0.4528, 1.510}, {0.2451, 0.7560, 1.344, 2.152}, {0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733}};
  for (std::size_t b = 0; b < published.size(); ++b) {
    const auto levels = normal_levels(static_cast<int>(b) + 2).value();
    const std::size_t half = published[b].size();
    REQUIRE(levels.size() == 2 * half);
    for (std::size_t i = 0; i < half; ++i) {
      CHECK(static_cast<double>(levels[half + i]) == Approx(published[b][i]).epsilon(4e-4));
      CHECK(levels[half - 1 - i] == -levels[half + i]);
    }
  }
  for (int bits = 2; bits <= 8; ++bits) {
    const auto levels = normal_levels(bits).value();
    CHECK(std::is_sorted(levels.begin(), levels.end()));
    // The condition of Max holds: each level is the mean of its cell, by the trapezoidal rule.
    for (std::size_t i = levels.size() / 2; i + 1 < levels.size(); ++i) {
      const double low = static_cast<double>(levels[i - 1] + levels[i]) / 2,
                   high = static_cast<double>(levels[i] + levels[i + 1]) / 2;
      double mass = 0, first = 0;
      constexpr int steps = 2000;
      for (int k = 0; k <= steps; ++k) {
        const double x = low + (high - low) * k / steps, p = std::exp(-x * x / 2) * (k % steps == 0 ? 0.5 : 1);
        mass += p, first += p * x;
      }
      CHECK(first / mass == Approx(static_cast<double>(levels[i])).epsilon(1e-5).margin(1e-5));
    }
  }
  CHECK(error_code(normal_levels(1)) == ErrorCode::invalid_argument);
  CHECK(error_code(normal_levels(9)) == ErrorCode::invalid_argument);
}

TEST_CASE("GPTQ into a table beats its nearest codes, refinement more, and gives what it reports") {
  Random random(8);
  const Tensor w = mcomp_test::normals(random, {24, 100}), x = mcomp_test::inputs(random, 400, 100);
  const auto gram = mcomp_test::gram_of(x);
  const double nearest = output_error(w, dequantize(quantize_nf4(w, {.group_size = 32}).value()).value(), gram).value();
  const auto plain = gptq_codebook(w, gram, CodebookGptqOptions{.group_size = 32}).value();
  const auto refined = gptq_codebook(w, gram, CodebookGptqOptions{.group_size = 32, .refine = {.rounds = 16}}).value();
  CHECK(plain.report.output_error < 0.75 * nearest);
  CHECK(refined.report.output_error < plain.report.output_error);
  for (const auto& q : {plain, refined}) {
    const auto back = matrix(dequantize(q.tensor).value());
    CHECK(mcomp_test::relative_error(matrix(x), matrix(w), back) == Approx(q.report.output_error).epsilon(1e-3));
    CHECK(q.tensor.scales.shape() == Shape{24, 4});
    CHECK(q.tensor.stored_bytes() == 24 * 100 / 2 + 24 * 4 * 4); // NF4's table is a constant
  }
  ThreadPool pool(3);
  CHECK(gptq_codebook(w, gram, CodebookGptqOptions{.group_size = 32}, {.executor = &pool}).value().tensor.codes ==
        plain.tensor.codes);
}

TEST_CASE("normal levels beat integers of the same size on normal weights") {
  Random random(9);
  const Tensor w = mcomp_test::normals(random, {64, 256}), x = mcomp_test::inputs(random, 600, 256);
  const auto gram = mcomp_test::gram_of(x);
  for (int bits : {3, 4}) {
    const auto integers =
        gptq(w, gram, {.scheme = {.dtype = integer_dtype(bits, true), .full_range = true}, .refine = {.rounds = 8}})
            .value();
    const auto normal =
        gptq_codebook(w, gram, CodebookGptqOptions{.levels = normal_levels(bits).value(), .refine = {.rounds = 8}})
            .value();
    CAPTURE(bits, integers.report.output_error, normal.report.output_error);
    CHECK(normal.tensor.stored_bytes() == integers.tensor.stored_bytes());
    CHECK(normal.report.output_error < 0.95 * integers.report.output_error);
  }
}

TEST_CASE("tables that are no constant are stored, zeros stay zero, and narrow scales are kept") {
  Random random(10);
  Tensor w = mcomp_test::normals(random, {3, 16});
  for (std::size_t i = 16; i < 32; ++i) w.mutable_values<float>()[i] = 0;
  const auto gram = mcomp_test::gram_of(mcomp_test::inputs(random, 50, 16));
  const auto q =
      gptq_codebook(w, gram, CodebookGptqOptions{.levels = {-1.5f, -0.5f, 0.25f, 2}, .scale_dtype = DType::f16})
          .value();
  CHECK(q.tensor.stored_bytes() == 3 * 16 * 2 / 8 + 3 * 2 + 4 * 4);
  const Tensor back = dequantize(q.tensor).value();
  for (std::size_t i = 16; i < 32; ++i) CHECK(back.values<float>("b").value()[i] == 0);
  for (const float s : q.tensor.scales.values<float>("s").value()) CHECK(to_float(to_half(s)) == s);
  for (const std::int64_t rows : {1, 2})
    CHECK(gptq_codebook(mcomp_test::normals(random, {rows, 1}), mcomp_test::gram_of(mcomp_test::inputs(random, 5, 1)),
                        CodebookGptqOptions{.refine = {.rounds = 4}}));
}

TEST_CASE("what is no table is refused") {
  Random random(11);
  const Tensor w = mcomp_test::normals(random, {2, 8});
  const auto gram = mcomp_test::gram_of(mcomp_test::inputs(random, 20, 8));
  const auto refuse = [&](const CodebookGptqOptions& options) { return error_code(gptq_codebook(w, gram, options)); };
  CHECK(refuse({.levels = {1, 2, 3}}) == ErrorCode::invalid_argument);
  CHECK(refuse({.levels = {1, 2, 2, 3}}) == ErrorCode::invalid_argument);
  CHECK(refuse({.levels = {1, 2, 3, NAN}}) == ErrorCode::invalid_argument);
  CHECK(refuse({.group_size = -1}) == ErrorCode::invalid_argument);
  CHECK(refuse({.damping = -1}) == ErrorCode::invalid_argument);
  CHECK(refuse({.scale_dtype = DType::int8}) == ErrorCode::invalid_dtype);
}
