#include "mcomp/quant/gptq.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <Eigen/Dense>

#include "correlated_layer.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::gram_of;
using mcomp_test::inputs;
using mcomp_test::Matrix;
using mcomp_test::matrix;
using mcomp_test::tensor;

namespace {

Matrix hessian(const stats::Gram& gram) {
  const Tensor m = gram.second_moment();
  return *as_matrix<double>(m, "H");
}

double error_of(const Matrix& w, const Matrix& q, const Matrix& h) {
  return ((w - q) * h * (w - q).transpose()).trace();
}

/// The paper's algorithm 1 column by column in double, with the Cholesky factor of the inverse and given scales.
Matrix textbook(Matrix w, const Matrix& hessian, double damping, const Matrix& scale, std::int64_t group, int highest) {
  const auto n = w.cols();
  Matrix h = hessian;
  h.diagonal().array() += damping * h.diagonal().mean();
  const Matrix inverse = h.inverse();
  const Matrix upper = Eigen::LLT<Eigen::MatrixXd>(inverse).matrixU();
  Matrix q = w;
  for (Eigen::Index j = 0; j < n; ++j)
    for (Eigen::Index r = 0; r < w.rows(); ++r) {
      const double s = scale(r, j / group);
      q(r, j) =
          s * std::clamp(std::nearbyint(w(r, j) / s), -static_cast<double>(highest), static_cast<double>(highest));
      const double error = (w(r, j) - q(r, j)) / upper(j, j);
      for (Eigen::Index c = j; c < n; ++c) w(r, c) -= error * upper(j, c);
    }
  return q;
}

std::vector<Scheme> all_schemes() {
  std::vector<Scheme> schemes;
  for (int bits = 2; bits <= 8; ++bits)
    for (const bool is_signed : {true, false})
      for (const bool symmetric : {true, false}) {
        Scheme s{.dtype = integer_dtype(bits, is_signed), .symmetric = symmetric};
        switch (bits % 4) {
        case 0:
          s.granularity = Granularity::per_group;
          s.group_size = 5;
          s.full_range = symmetric;
          break;
        case 1:
          s.granularity = Granularity::per_block;
          s.group_size = 4, s.group_rows = 2;
          break;
        case 2:
          s.granularity = Granularity::per_tensor;
          break;
        default:
          break;
        }
        schemes.push_back(s);
      }
  return schemes;
}

ErrorCode code_of(const Error& error) {
  CHECK(mcomp_test::well_formed(error));
  return error.code();
}

} // namespace

TEST_CASE("GPTQ of uncorrelated inputs is rounding to nearest") {
  Random random(1);
  const Tensor w = mcomp_test::normals(random, {7, 12});
  stats::Gram gram(12);
  Tensor x = Tensor::zeros(DType::f32, {12, 12}).value();
  for (std::size_t i = 0; i < 12; ++i) x.mutable_values<float>()[13 * i] = static_cast<float>(1 + i % 5);
  gram.update(x).value();
  for (const bool act_order : {false, true}) {
    const Scheme scheme{.dtype = DType::int4, .granularity = Granularity::per_group, .group_size = 4};
    const auto q = gptq(w, gram, {.scheme = scheme, .act_order = act_order, .weighted_clip = false}).value();
    const auto nearest = quantize_clipped(w, scheme).value();
    CHECK(q.tensor.codes == nearest.tensor.codes);
    CHECK(q.tensor.scales == nearest.tensor.scales);
  }
}

TEST_CASE("the second of two equal inputs makes up for the first's error") {
  // Both inputs are always equal, so only the sum of the weights matters: 0.4 + 0.4 rounds to 0 + 1, not 0 + 0.
  const Tensor w = tensor({0.4f, 0.4f, 7, 0}, {1, 4});
  const Tensor x = tensor({1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, {3, 4});
  const auto q = gptq(w, gram_of(x),
                      {.scheme = {.dtype = DType::int4},
                       .act_order = false,
                       .damping = 1e-4,
                       .clip = {.lowest = 1, .steps = 1, .refit = false}})
                     .value();
  const Tensor back = dequantize(q.tensor).value();
  CHECK(matrix(back) == (Matrix(1, 4) << 0, 1, 7, 0).finished());
  CHECK(q.report.error == Approx(0.2 * 0.2 / 3).epsilon(1e-3));
}

TEST_CASE("GPTQ equals the paper's algorithm in double, with and without groups") {
  Random random(2);
  for (const std::int64_t group : {200, 32}) {
    const Tensor w = mcomp_test::normals(random, {40, 200});
    const auto gram = gram_of(inputs(random, 700, 200));
    const Scheme scheme =
        group == 200 ? Scheme{.dtype = DType::int3}
                     : Scheme{.dtype = DType::int3, .granularity = Granularity::per_group, .group_size = group};
    const auto q = gptq(w, gram, {.scheme = scheme, .act_order = false, .static_groups = true, .block = 64}).value();
    const Matrix expected = textbook(matrix(w), hessian(gram), 0.01, matrix(q.tensor.scales), group, 3);
    const Matrix found = matrix(dequantize(q.tensor).value());
    // In f32 a number may fall to the other side of a middle, and all later columns of its row then differ.
    std::int64_t equal_rows = 0;
    for (Eigen::Index r = 0; r < 40; ++r) equal_rows += (expected.row(r) - found.row(r)).cwiseAbs().maxCoeff() < 1e-4;
    CHECK(equal_rows >= 38);
    CHECK(error_of(matrix(w), found, hessian(gram)) ==
          Approx(error_of(matrix(w), expected, hessian(gram))).epsilon(0.01));
  }
}

TEST_CASE("the reported error is that of the output, before and after refinement") {
  Random random(3);
  const Tensor w = mcomp_test::normals(random, {150, 70}); // two tiles of rows
  const Tensor x = inputs(random, 300, 70);
  const auto gram = gram_of(x);
  for (const int rounds : {0, 8})
    for (const bool fixed : {true, false}) {
      const auto q = gptq(w, gram,
                          {.scheme = {.dtype = DType::uint3,
                                      .symmetric = false,
                                      .granularity = Granularity::per_group,
                                      .group_size = 16},
                           .static_groups = fixed,
                           .refine = {.rounds = rounds}})
                         .value();
      const Tensor back = dequantize(q.tensor).value();
      const double noise = ((matrix(w) - matrix(back)) * matrix(x).transpose()).squaredNorm();
      const double signal = (matrix(w) * matrix(x).transpose()).squaredNorm();
      CHECK(q.report.error == Approx(noise / 300).epsilon(1e-3));
      CHECK(q.report.output_error == Approx(noise / signal).epsilon(1e-3));
      CHECK(output_error(w, back, gram).value() == Approx(noise / signal).epsilon(1e-4));
      CHECK((rounds == 0 ? q.report.error == q.report.gptq_error : q.report.error < 0.9 * q.report.gptq_error));
    }
}

TEST_CASE("refinement ends near the best of all codes, and no single code could then be better") {
  Random random(4);
  double refined = 0, best = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const Tensor w = mcomp_test::normals(random, {1, 7});
    const auto gram = gram_of(inputs(random, 30, 7));
    const auto q = gptq(w, gram, {.scheme = {.dtype = DType::int2}, .refine = {.rounds = 16}}).value();
    CHECK(q.report.converged);
    const Matrix h = hessian(gram), target = matrix(w), found = matrix(dequantize(q.tensor).value());
    const double scale = matrix(q.tensor.scales)(0, 0);
    const double error = error_of(target, found, h);
    CHECK(error == Approx(q.report.error).epsilon(1e-4));
    double least = error;
    for (int index = 0; index < 2187; ++index) { // all of {-1, 0, 1}^7 with the scale found
      Matrix candidate(1, 7);
      for (int c = 0, rest = index; c < 7; ++c, rest /= 3) candidate(0, c) = scale * (rest % 3 - 1);
      const double e = error_of(target, candidate, h);
      if (((candidate - found).array() != 0).count() == 1) CHECK(e > error * (1 - 1e-4));
      least = std::min(least, e);
    }
    refined += error, best += least;
  }
  CHECK(refined < 1.1 * best);
}

TEST_CASE("refinement of any start never raises the output error, in every scheme") {
  Random random(5);
  const Tensor w = mcomp_test::normals(random, {6, 23});
  const auto gram = gram_of(inputs(random, 60, 23));
  for (const Scheme& scheme : all_schemes()) {
    INFO(fmt::format("{}", scheme));
    const auto start = quantize_clipped(w, scheme).value().tensor;
    const auto r = refine(w, start, gram).value();
    CHECK(r.report.error <= r.report.gptq_error);
    CHECK(output_error(w, dequantize(r.tensor).value(), gram).value() <=
          output_error(w, dequantize(start).value(), gram).value() * (1 + 1e-5));
    CHECK(r.tensor.scheme == scheme);
  }
}

TEST_CASE("GPTQ does not depend on threads or on the width of its blocks") {
  Random random(6);
  const Tensor w = mcomp_test::normals(random, {300, 190});
  const auto gram = gram_of(inputs(random, 400, 190));
  for (const bool fixed : {true, false}) {
    GptqOptions options{.scheme = {.dtype = DType::int4, .granularity = Granularity::per_group, .group_size = 32},
                        .static_groups = fixed,
                        .refine = {.rounds = 2}};
    const auto serial = gptq(w, gram, options).value();
    for (const int threads : {2, 8}) {
      ThreadPool pool(threads);
      const auto parallel = gptq(w, gram, options, {.executor = &pool}).value();
      CHECK(parallel.tensor.codes == serial.tensor.codes);
      CHECK(parallel.tensor.scales == serial.tensor.scales);
      CHECK(parallel.report.error == serial.report.error);
    }
    options.block = 1;
    CHECK(gptq(w, gram, options).value().report.error == Approx(serial.report.error).epsilon(0.02));
  }
}

TEST_CASE("a hundred singular Hessians are no failure, an empty one gives rounding to nearest") {
  Random random(7);
  for (int trial = 0; trial < 100; ++trial) {
    const auto n = static_cast<std::int64_t>(2 + random.below(60)),
               samples = static_cast<std::int64_t>(random.below(8));
    Tensor x = mcomp_test::normals(random, {samples, n}, std::pow(10, random.uniform() * 20 - 10));
    auto values = x.mutable_values<float>();
    for (std::size_t i = 0; i < values.size(); ++i)
      if ((i % static_cast<std::size_t>(n)) % 3 == static_cast<std::size_t>(trial % 4)) values[i] = 0; // dead columns
    const auto gram = gram_of(x);
    const Tensor w = mcomp_test::normals(random, {3, n});
    const auto q = gptq(w, gram, {.damping = trial % 2 == 0 ? 0.01 : 0.0, .refine = {.rounds = trial % 3}});
    REQUIRE(q);
    const Tensor back = dequantize(q->tensor).value();
    CHECK(matrix(back).allFinite());
    CHECK(q->report.output_error < 0.5);
    if (samples == 0) {
      CHECK(q->report.dead_columns == n);
      CHECK(q->tensor.codes == quantize_clipped(w, {.dtype = DType::int4}).value().tensor.codes);
    }
  }
}

TEST_CASE("every scheme and awkward weights have finite results") {
  Random random(8);
  const auto largest = std::numeric_limits<float>::max(), tiny = std::numeric_limits<float>::denorm_min();
  for (const auto& [rows, columns] : std::vector<std::array<std::int64_t, 2>>{{1, 1}, {1, 13}, {9, 1}, {5, 11}}) {
    const auto gram = gram_of(inputs(random, 20, columns));
    for (const Scheme& scheme : all_schemes())
      for (int kind = 0; kind < 6; ++kind) {
        INFO(fmt::format("{} [{}, {}] kind {}", scheme, rows, columns, kind));
        Tensor w = mcomp_test::normals(random, {rows, columns});
        for (float& v : w.mutable_values<float>())
          v = kind == 0   ? v
              : kind == 1 ? 0.0f
              : kind == 2 ? 3.0f
              : kind == 3 ? (v > 0 ? tiny * 3 : -tiny)
              : kind == 4 ? v * 1e-30f
                          : (v > 0 ? 0.5f : -0.25f) * largest;
        for (const bool fixed : {true, false}) {
          const auto q = gptq(w, gram, {.scheme = scheme, .static_groups = fixed, .refine = {.rounds = 2}}).value();
          CHECK(matrix(dequantize(q.tensor).value()).allFinite());
          const auto range = code_range(scheme).value();
          const Tensor codes = to_f32(q.tensor.codes, "codes").value();
          CHECK(matrix(codes).minCoeff() >= range.lowest);
          CHECK(matrix(codes).maxCoeff() <= range.highest);
          if (kind == 1) CHECK(matrix(dequantize(q.tensor).value()).cwiseAbs().maxCoeff() == 0);
        }
      }
  }
}

TEST_CASE("what GPTQ cannot do is refused before any work, by name") {
  const Tensor w = tensor({1, 2, 3, 4}, {2, 2});
  const auto gram = gram_of(tensor({1, 2, 3, 5}, {2, 2}));
  const auto code = [](const auto& result) {
    REQUIRE_FALSE(result);
    return code_of(result.error());
  };
  CHECK(code(gptq(w, stats::Gram(3))) == ErrorCode::invalid_shape);
  CHECK(code(gptq(tensor({1, NAN}, {1, 2}), gram)) == ErrorCode::invalid_value);
  CHECK(code(gptq(Tensor::zeros(DType::f32, {0, 2}).value(), gram)) == ErrorCode::invalid_shape);
  CHECK(code(gptq(w, gram, {.scheme = {.dtype = DType::f16}})) == ErrorCode::invalid_dtype);
  CHECK(code(gptq(w, gram, {.damping = -1})) == ErrorCode::invalid_argument);
  CHECK(code(gptq(w, gram, {.damping = NAN})) == ErrorCode::invalid_argument);
  CHECK(code(gptq(w, gram, {.block = 0})) == ErrorCode::invalid_argument);
  CHECK(code(gptq(w, gram, {.clip = {.steps = 0}})) == ErrorCode::invalid_argument);
  CHECK(code(gptq(w, gram, {.clip = {.lowest = 0}})) == ErrorCode::invalid_argument);
  CHECK(code(gptq(w, gram, {.refine = {.rounds = -1}})) == ErrorCode::invalid_argument);
  CHECK(code(gptq(w, gram_of(tensor({1e30f, 2}, {1, 2})))) == ErrorCode::invalid_value);
  CHECK(code(refine(tensor({1, 2}, {1, 2}), quantize(w, {}).value(), gram)) == ErrorCode::invalid_shape);
  CHECK(code(output_error(w, tensor({1, 2}, {1, 2}), gram)) == ErrorCode::invalid_shape);
  CHECK(code(quantize_clipped(w, {}, {.importance = {1}})) == ErrorCode::invalid_shape);
  CHECK(code(quantize_clipped(w, {}, {.importance = {1, -1}})) == ErrorCode::invalid_value);
  Context cancelled;
  cancelled.cancellation.cancel();
  CHECK(code(gptq(w, gram, {}, cancelled)) == ErrorCode::cancelled);
}

TEST_CASE("a clipped range is at least as good as the full one and as a fine search of ranges") {
  Random random(9);
  Tensor w = mcomp_test::normals(random, {16, 64});
  for (float& v : w.mutable_values<float>()) v = v * v * v; // heavy tails
  std::vector<double> importance;
  for (int i = 0; i < 64; ++i) importance.push_back(0.1 + random.uniform());
  for (const bool symmetric : {true, false}) {
    const Scheme scheme{.dtype = symmetric ? DType::int3 : DType::uint3,
                        .symmetric = symmetric,
                        .granularity = Granularity::per_group,
                        .group_size = 32};
    const auto weighted = [&](const QuantizedTensor& q) {
      const Matrix d = matrix(w) - matrix(dequantize(q).value());
      double sum = 0;
      for (Eigen::Index r = 0; r < d.rows(); ++r)
        for (Eigen::Index c = 0; c < 64; ++c) sum += importance[static_cast<std::size_t>(c)] * d(r, c) * d(r, c);
      return sum;
    };
    const auto q = quantize_clipped(w, scheme, {.importance = importance}).value();
    const auto fine =
        quantize_clipped(w, scheme, {.clip = {.lowest = 0.2, .steps = 400, .refit = false}, .importance = importance})
            .value();
    CHECK(weighted(q.tensor) < 0.95 * weighted(quantize(w, scheme).value()));
    CHECK(weighted(q.tensor) < 1.03 * weighted(fine.tensor));
    CHECK(q.report.clipped_share > 0);
    double signal = 0;
    for (Eigen::Index r = 0; r < 16; ++r)
      for (Eigen::Index c = 0; c < 64; ++c)
        signal += importance[static_cast<std::size_t>(c)] * matrix(w)(r, c) * matrix(w)(r, c);
    CHECK(q.report.weight_error == Approx(weighted(q.tensor) / signal).epsilon(1e-4));
  }
}

TEST_CASE("GPTQ into GGUF blocks beats their search at equal size, and refinement beats GPTQ") {
  Random random(10);
  const Tensor w = mcomp_test::normals(random, {40, 512});
  const auto gram = gram_of(inputs(random, 1500, 512));
  std::vector<float> importance;
  for (const double m : gram.diagonal()) importance.push_back(static_cast<float>(m));
  const Tensor moments = tensor(importance, {512});
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    const BlockTensor searched =
        quantize_blocks(w, format, {.search = BlockSearch::fast, .importance = moments}).value();
    const double baseline = output_error(w, dequantize_blocks(searched).value(), gram).value();
    double before = 0;
    for (const int rounds : {0, 4}) {
      const auto q = gptq(w, gram, format, {.refine = {.rounds = rounds}}).value();
      CHECK(q.tensor.stored_bytes() == searched.stored_bytes());
      const double error = output_error(w, dequantize_blocks(q.tensor).value(), gram).value();
      CHECK(error == Approx(q.report.output_error).epsilon(1e-2));
      CHECK(error < (rounds == 0 ? 0.8 * baseline : 0.95 * before));
      before = error;
    }
  }
}

TEST_CASE("GPTQ into GGUF blocks does not depend on threads, and refuses rows that blocks do not divide") {
  Random random(11);
  const Tensor w = mcomp_test::normals(random, {200, 256});
  const auto gram = gram_of(inputs(random, 300, 256));
  for (const BlockFormat format : {BlockFormat::q4_0, BlockFormat::q2_k})
    for (const bool fixed : {false, true}) {
      const BlockGptqOptions options{.static_groups = fixed, .refine = {.rounds = 1}};
      const auto serial = gptq(w, gram, format, options).value();
      ThreadPool pool(4);
      CHECK(gptq(w, gram, format, options, {.executor = &pool}).value().tensor.bytes == serial.tensor.bytes);
    }
  const auto odd = gptq(mcomp_test::normals(random, {2, 40}), stats::Gram(40), BlockFormat::q4_0);
  REQUIRE_FALSE(odd);
  CHECK(code_of(odd.error()) == ErrorCode::invalid_shape);
}
