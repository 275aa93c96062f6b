#include "mcomp/stats/gram.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {

ErrorCode code_of(const Status& status) {
  REQUIRE_FALSE(status);
  CHECK(mcomp_test::well_formed(status.error()));
  return status.error().code();
}

/// Mean of x_i x_j in double, term by term.
double moment(const Tensor& x, std::int64_t i, std::int64_t j) {
  const auto v = x.values<float>("x").value();
  const std::int64_t n = x.size(1);
  double sum = 0;
  for (std::int64_t k = 0; k < x.size(0); ++k)
    sum += static_cast<double>(v[static_cast<std::size_t>(k * n + i)]) *
           static_cast<double>(v[static_cast<std::size_t>(k * n + j)]);
  return sum / static_cast<double>(x.size(0));
}

} // namespace

TEST_CASE("the Gram matrix of two samples is what a reader computes by hand") {
  Gram gram(2);
  REQUIRE(gram.update(Tensor::from(std::vector<float>{1, 2, 3, -4}, {2, 2}).value()));
  const Tensor m = gram.second_moment();
  const auto values = m.values<double>("m").value();
  CHECK(std::vector<double>(values.begin(), values.end()) == std::vector<double>{5, -5, -5, 10});
  CHECK(gram.diagonal() == std::vector<double>{5, 10});
  CHECK(gram.mean() == std::vector<double>{2, -1});
  CHECK(gram.count() == 2);
}

TEST_CASE("the Gram matrix equals the sums in double within the rounding of f32 blocks") {
  Random random(1);
  for (const Shape& shape : {Shape{1, 1}, Shape{5, 7}, Shape{1030, 33}, Shape{2500, 300}}) {
    const Tensor x = mcomp_test::normals(random, shape);
    Gram gram(shape[1]);
    REQUIRE(gram.update(x));
    const Tensor exact = gram.second_moment(), rounded = gram.second_moment_f32();
    const auto m = exact.values<double>("m").value();
    const auto f = rounded.values<float>("f").value();
    const std::int64_t n = shape[1];
    for (std::int64_t i = 0; i < n; i += 1 + n / 17)
      for (std::int64_t j = 0; j < n; j += 1 + n / 13) {
        const auto at = static_cast<std::size_t>(i * n + j);
        CHECK(m[at] == Approx(moment(x, i, j)).margin(2e-6));
        CHECK(m[at] == m[static_cast<std::size_t>(j * n + i)]);
        CHECK(f[at] == static_cast<float>(m[at]));
        if (i == j) CHECK(gram.diagonal()[static_cast<std::size_t>(i)] == Approx(m[at]).epsilon(1e-6));
      }
  }
}

TEST_CASE("neither threads nor the cut of the stream change a bit of a Gram matrix") {
  Random random(2);
  const Tensor x = mcomp_test::normals(random, {2600, 270});
  Gram whole(270), parts(270);
  REQUIRE(whole.update(x));
  ThreadPool pool(3);
  std::int64_t at = 0;
  for (const std::int64_t size : {1, 1023, 7, 1025, 300, 244}) {
    REQUIRE(parts.update(x.view().rows(at, at + size).value(), {.executor = &pool}));
    at += size;
  }
  REQUIRE(at == 2600);
  CHECK(whole.second_moment() == parts.second_moment());
  CHECK(whole.second_moment_f32() == parts.second_moment_f32());
  CHECK(whole.mean() == parts.mean());
}

TEST_CASE("merging two streams is the stream of both") {
  Random random(3);
  const Tensor x = mcomp_test::normals(random, {1500, 20});
  Gram whole(20), first(20), second(20);
  REQUIRE(whole.update(x));
  REQUIRE(first.update(x.view().rows(0, 900).value()));
  REQUIRE(second.update(x.view().rows(900, 1500).value()));
  REQUIRE(first.merge(second));
  CHECK(first.count() == 1500);
  const Tensor a = whole.second_moment(), b = first.second_moment();
  for (std::size_t i = 0; i < 400; ++i)
    CHECK(a.values<double>("a").value()[i] == Approx(b.values<double>("b").value()[i]).margin(1e-6));
  CHECK(first.mean()[3] == Approx(whole.mean()[3]).margin(1e-9));
  CHECK(code_of(first.merge(Gram(21))) == ErrorCode::invalid_shape);
}

TEST_CASE("a Gram matrix refuses what would poison it, and keeps its state") {
  Gram gram(2);
  REQUIRE(gram.update(Tensor::from(std::vector<float>{1, 2}, {1, 2}).value()));
  const Tensor before = gram.second_moment();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    CHECK(code_of(gram.update(Tensor::from(std::vector<float>{1, 2, 3, bad}, {2, 2}).value())) ==
          ErrorCode::invalid_value);
  CHECK(code_of(gram.update(Tensor::zeros(DType::f32, {2, 3}).value())) == ErrorCode::invalid_shape);
  CHECK(code_of(gram.update(Tensor::zeros(DType::f32, {2}).value())) == ErrorCode::invalid_shape);
  CHECK(code_of(gram.update(Tensor::zeros(DType::f64, {2, 2}).value())) == ErrorCode::invalid_dtype);
  CHECK(code_of(Gram(0).update(Tensor::zeros(DType::f32, {2, 0}).value())) == ErrorCode::invalid_shape);
  CHECK(gram.second_moment() == before);
  CHECK(Gram(3).second_moment() == Tensor::zeros(DType::f64, {3, 3}).value());
}
