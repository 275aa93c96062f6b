#include "mcomp/stats/cross_moment.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/stats/gram.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::stats;

TEST_CASE("the cross moment of two pairs is what a reader computes by hand") {
  CrossMoment moment(2, 1);
  REQUIRE(moment.update(Tensor::from(std::vector<float>{1, 2, 3, -4}, {2, 2}).value(),
                        Tensor::from(std::vector<float>{5, 7}, {2, 1}).value()));
  const Tensor m = moment.mean();
  const auto values = m.values<double>("m").value();
  CHECK(std::vector<double>(values.begin(), values.end()) == std::vector<double>{13, -9});
  CHECK(moment.count() == 2);
}

TEST_CASE("of a stream with itself the cross moment is the Gram matrix, however it is cut") {
  Random random(4);
  for (const Shape& shape : {Shape{1, 1}, Shape{5, 7}, Shape{1030, 33}, Shape{2500, 300}}) {
    const Tensor x = mcomp_test::normals(random, shape);
    Gram gram(shape[1]);
    REQUIRE(gram.update(x));
    const Tensor expected = gram.second_moment();
    CrossMoment whole(shape[1], shape[1]), parts(shape[1], shape[1]);
    REQUIRE(whole.update(x, x));
    ThreadPool pool(3);
    for (std::int64_t at = 0; at < shape[0]; at += 700) {
      const TensorView rows = x.view().rows(at, std::min(shape[0], at + 700)).value();
      REQUIRE(parts.update(rows, rows, {.executor = &pool}));
    }
    CHECK(whole.mean() == parts.mean());
    const Tensor moment = whole.mean();
    const auto a = moment.values<double>("a").value(), b = expected.values<double>("b").value();
    for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(a[i] == Approx(b[i]).epsilon(1e-5).margin(1e-5));
  }
}

TEST_CASE("a cross moment refuses what is no pair of samples") {
  CrossMoment moment(2, 3);
  const Tensor a = Tensor::zeros(DType::f32, {4, 2}).value(), b = Tensor::zeros(DType::f32, {4, 3}).value();
  const auto code = [](const Status& status) {
    REQUIRE_FALSE(status);
    CHECK(mcomp_test::well_formed(status.error()));
    return status.error().code();
  };
  CHECK(code(moment.update(b, b)) == ErrorCode::invalid_shape);
  CHECK(code(moment.update(a, a)) == ErrorCode::invalid_shape);
  CHECK(code(moment.update(a, Tensor::zeros(DType::f32, {5, 3}).value())) == ErrorCode::invalid_shape);
  CHECK(code(moment.update(a, Tensor::zeros(DType::f64, {4, 3}).value())) == ErrorCode::invalid_dtype);
  Tensor bad = b;
  bad.mutable_values<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK(code(moment.update(a, bad)) == ErrorCode::invalid_value);
  CHECK(code(CrossMoment(0, 3).update(a, b)) == ErrorCode::invalid_shape);
  CHECK(moment.count() == 0);
  CHECK(moment.mean() == Tensor::zeros(DType::f64, {2, 3}).value());
}
