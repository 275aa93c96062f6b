#include "mcomp/quant/bias_correction.hpp"

#include "correlated_layer.hpp"
#include "mcomp/quant/gptq.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;
using mcomp_test::tensor;

TEST_CASE("the corrected bias is what a reader computes by hand") {
  // E[x] = (2, 1); W - Q = (.5, -.25): shift 1 - .25 = .75
  const auto gram = mcomp_test::gram_of(tensor({1, 0, 3, 2}, {2, 2}));
  const auto c = correct_bias(tensor({1, 2}, {1, 2}), tensor({0.5f, 2.25f}, {1, 2}), gram, tensor({10}, {1})).value();
  CHECK(matrix(c.bias)(0, 0) == 10.75);
  // errors of the samples: .5 and 1.0, then -.25 and .25; outputs 1 and 7
  CHECK(c.report.error_before == Approx((0.25 + 1.0) / 50));
  CHECK(c.report.error_after == Approx((0.0625 + 0.0625) / 50));
}

TEST_CASE("bias correction lowers the error on other samples of inputs whose mean is not zero") {
  Random random(1);
  const Tensor w = mcomp_test::normals(random, {20, 50});
  Tensor x = mcomp_test::inputs(random, 2000, 50);
  for (float& v : x.mutable_values<float>()) v = std::max(v, 0.0f); // as behind a ReLU
  const Tensor fit = Tensor::copy_of(x.view().rows(0, 1000).value()).value(),
               other = Tensor::copy_of(x.view().rows(1000, 2000).value()).value();
  for (const DType dtype : {DType::int3, DType::int4}) {
    const Tensor q = dequantize(quantize_clipped(w, {.dtype = dtype}).value().tensor).value();
    const auto c = correct_bias(w, q, mcomp_test::gram_of(fit)).value();
    const mcomp_test::Matrix y = matrix(other) * (matrix(w) - matrix(q)).transpose();
    const Eigen::RowVectorXd shift = matrix(c.bias).transpose();
    CHECK((y.rowwise() - shift).squaredNorm() < 0.9 * y.squaredNorm());
    CHECK(c.report.error_after < c.report.error_before);
  }
}

TEST_CASE("bias correction refuses parts that do not fit together") {
  const Tensor w = tensor({1, 2}, {1, 2});
  const auto gram = mcomp_test::gram_of(w);
  CHECK(error_code(correct_bias(w, tensor({1}, {1, 1}), gram)) == ErrorCode::invalid_shape);
  CHECK(error_code(correct_bias(w, w, stats::Gram(2))) == ErrorCode::insufficient_data);
  CHECK(error_code(correct_bias(w, w, stats::Gram(3))) == ErrorCode::insufficient_data);
  CHECK(error_code(correct_bias(w, w, gram, tensor({1, 2}, {2}))) == ErrorCode::invalid_shape);
  CHECK(error_code(correct_bias(w, tensor({1, NAN}, {1, 2}), gram)) == ErrorCode::invalid_value);
}
