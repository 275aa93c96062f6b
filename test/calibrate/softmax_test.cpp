#include "mcomp/calibrate/softmax.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {
constexpr double infinity = std::numeric_limits<double>::infinity();
}

TEST_CASE("softmax is the textbook formula, for any number of classes") {
  Random random(1);
  for (const std::size_t classes : {1u, 2u, 10u, 15u, 16u, 17u, 100u, 1000u})
    for (const double temperature : {0.3, 1.0, 7.0}) {
      std::vector<double> z(classes), p(classes);
      for (double& x : z) x = 5 * random.normal();
      REQUIRE(softmax_into(z, temperature, p));
      double sum = 0, worst = 0;
      for (const double x : z) sum += std::exp(x / temperature);
      for (std::size_t j = 0; j < classes; ++j)
        worst = std::max(worst, std::abs(p[j] * sum / std::exp(z[j] / temperature) - 1));
      CHECK(worst < 1e-13);
    }
}

TEST_CASE("softmax does not overflow, and knows its limits") {
  const std::vector<double> z{1000, 1000, -1e9, -infinity};
  std::vector<double> p(4);
  REQUIRE(softmax_into(z, 1, p));
  CHECK(p == std::vector<double>{0.5, 0.5, 0, 0});
  REQUIRE(softmax_into(z, 0, p));
  CHECK(p == std::vector<double>{0.5, 0.5, 0, 0});
  REQUIRE(softmax_into(z, infinity, p));
  CHECK(p == std::vector<double>{1. / 3, 1. / 3, 1. / 3, 0});
  REQUIRE(softmax_into(z, 1e-320, p)); // 1 / T is infinite
  CHECK(p == std::vector<double>{0.5, 0.5, 0, 0});
}

TEST_CASE("rows of a tensor are independent of the executor and of each other") {
  Random random(2);
  std::vector<float> z(300 * 7);
  for (float& x : z) x = static_cast<float>(random.normal());
  const Tensor logits = Tensor::from(z, {300, 7}).value();
  ThreadPool pool(2);
  const Tensor p = softmax(logits, 2).value();
  CHECK(p == softmax(logits, 2, &pool).value());
  std::vector<float> row(7);
  REQUIRE(softmax_into(std::span<const float>(z).subspan(299 * 7, 7), 2, row));
  for (std::size_t j = 0; j < 7; ++j) CHECK(row[j] == p.values<float>("p").value()[299 * 7 + j]);
  CHECK(softmax(Tensor::zeros(DType::f32, {0, 3}).value()).value().elements() == 0);
}

TEST_CASE("rows that are no logits are refused by number") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::vector<double>& row :
       {std::vector<double>{1, nan}, {1, infinity}, {-infinity, -infinity}, {1, 1e301}}) {
    std::vector<double> p(2);
    const auto refused = softmax_into(row, 1, p);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(refused.error()));
    std::vector<double> two{0, 0};
    two.insert(two.end(), row.begin(), row.end());
    CHECK(softmax(Tensor::from(two, {2, 2}).value()).error().rule().find("row 1") != std::string::npos);
  }
  std::vector<float> one(1), two(2);
  CHECK(softmax_into(one, 1, two).error().code() == ErrorCode::invalid_shape);
  CHECK_FALSE(softmax_into(std::span<const float>(), 1, std::span<float>()));
  for (const double t : {-1.0, nan}) CHECK(softmax_into(two, t, two).error().code() == ErrorCode::invalid_argument);
  CHECK_FALSE(softmax(Tensor::zeros(DType::int32, {2, 2}).value()));
  CHECK_FALSE(softmax(Tensor::zeros(DType::f32, {4}).value()));
  CHECK_FALSE(softmax(Tensor::zeros(DType::f32, {4, 0}).value()));
}
