#include "mcomp/quant/observer.hpp"

#include <cmath>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {

Tensor tensor(std::vector<float> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  return Tensor::from(values, {n}).value();
}

std::vector<float> normals(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& x : values) x = static_cast<float>(random.normal());
  return values;
}

const std::vector<ObserverKind> kinds{ObserverKind::min_max, ObserverKind::moving_average, ObserverKind::percentile,
                                      ObserverKind::mean_squared_error, ObserverKind::kl_entropy};

double squared_error(const std::vector<float>& x, const Range& range, DType dtype, bool symmetric) {
  const Parameters p = parameters_for(range, dtype, symmetric).value();
  double sum = 0;
  for (const float v : x) sum += std::pow(static_cast<double>(v - dequantize_value(quantize_value(v, p), p)), 2);
  return sum;
}

} // namespace

TEST_CASE("min-max and moving average are what a reader computes by hand") {
  auto observer = make_observer({}).value();
  observer->update(tensor({1, -2})).value();
  observer->update(tensor({3, 0})).value();
  CHECK(observer->range(DType::uint8, false).value() == Range{-2, 3});
  CHECK(observer->count() == 4);
  auto average = make_observer({.kind = ObserverKind::moving_average, .averaging_constant = 0.25}).value();
  average->update(tensor({0, 4})).value();
  average->update(tensor({-4, 8})).value();
  CHECK(average->range(DType::uint8, false).value() == Range{-1, 5});
}

TEST_CASE("a percentile of known data is within two bins of the exact one") {
  const auto values = normals(200000, 1);
  auto observer = make_observer({.kind = ObserverKind::percentile, .percentile = 0.99}).value();
  for (std::size_t i = 0; i < values.size(); i += 1000)
    observer->update(TensorView(values.data() + i, DType::f32, {1000})).value();
  auto sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const Range range = observer->range(DType::int8, true).value();
  CHECK(std::abs(range.min - sorted[1000]) < 2 * 16.0f / 4096);
  CHECK(std::abs(range.max - sorted[199000]) < 2 * 16.0f / 4096);
}

TEST_CASE("the histogram does not depend on the order in which its width grew") {
  std::vector<float> values = normals(5000, 2);
  values.push_back(37.5f);
  for (const ObserverKind kind :
       {ObserverKind::percentile, ObserverKind::mean_squared_error, ObserverKind::kl_entropy}) {
    auto forward = make_observer({.kind = kind}).value(), backward = make_observer({.kind = kind}).value();
    for (std::size_t i = 0; i < values.size(); ++i) {
      forward->update(tensor({values[i]})).value();
      backward->update(tensor({values[values.size() - 1 - i]})).value();
    }
    CHECK(forward->range(DType::int8, true).value() == backward->range(DType::int8, true).value());
  }
}

TEST_CASE("the squared-error range beats min-max and every coarse alternative on heavy tails") {
  std::vector<float> values = normals(20000, 3);
  for (std::size_t i = 0; i < 20; ++i) values[i] *= 8;
  for (const DType dtype : {DType::int4, DType::int8}) {
    auto observer = make_observer({.kind = ObserverKind::mean_squared_error}).value();
    observer->update(tensor(values)).value();
    const Range best = observer->range(dtype, true).value();
    const double error = squared_error(values, best, dtype, true);
    for (float clip = 1; clip < 32; clip *= 1.3f)
      CHECK(error <= 1.02 * squared_error(values, {-clip, clip}, dtype, true));
  }
}

TEST_CASE("the entropy range cuts outliers and keeps a uniform distribution whole") {
  std::vector<float> outlier = normals(50000, 4);
  outlier[0] = 100;
  auto observer = make_observer({.kind = ObserverKind::kl_entropy}).value();
  observer->update(tensor(outlier)).value();
  CHECK(observer->range(DType::int8, true).value().max < 20);
  CHECK(observer->range(DType::int8, true).value().max > 2);
  Random random(5);
  std::vector<float> uniform(50000);
  for (float& x : uniform) x = static_cast<float>(random.uniform());
  auto flat = make_observer({.kind = ObserverKind::kl_entropy}).value();
  flat->update(tensor(uniform)).value();
  CHECK(flat->range(DType::uint8, false).value().max > 0.9f);
}

TEST_CASE("every observer refuses non-finite values and keeps its state") {
  for (const ObserverKind kind : kinds) {
    INFO(fmt::format("{}", kind));
    CHECK(observer_kind_from_string(fmt::format("{}", kind)).value() == kind);
    auto observer = make_observer({.kind = kind}).value();
    CHECK(observer->range(DType::uint8, false).error().code() == ErrorCode::insufficient_data);
    observer->update(tensor({1, 2, 4})).value();
    const Range before = observer->range(DType::uint8, false).value();
    CHECK(observer->update(tensor({NAN, 100})).error().code() == ErrorCode::invalid_value);
    CHECK(observer->update(tensor({INFINITY})).error().code() == ErrorCode::invalid_value);
    CHECK(observer->update(Tensor::zeros(DType::int8, {2}).value()).error().code() == ErrorCode::invalid_dtype);
    CHECK(observer->update(Tensor::zeros(DType::f32, {0}).value()));
    CHECK(observer->range(DType::uint8, false).value() == before);
    CHECK(observer->count() == 3);
    CHECK(before.max <= 4);
    CHECK(before.max > 0);
  }
}

TEST_CASE("extreme magnitudes stay finite in every observer") {
  for (const ObserverKind kind : kinds) {
    INFO(fmt::format("{}", kind));
    auto observer = make_observer({.kind = kind}).value();
    observer->update(tensor({0, 0, 0})).value();
    CHECK(observer->range(DType::uint8, false).value() == Range{0, 0});
    observer->update(tensor({1e-42f, -1e-42f})).value();
    observer->update(tensor({3e38f, -3e38f, 1})).value();
    const Range range = observer->range(DType::int8, true).value();
    CHECK(std::isfinite(range.min));
    CHECK(std::isfinite(range.max));
    CHECK(parameters_for(range, DType::int8, true));
  }
}

TEST_CASE("observer options outside their bounds are refused") {
  for (const ObserverOptions& options :
       {ObserverOptions{.averaging_constant = 0}, ObserverOptions{.averaging_constant = NAN},
        ObserverOptions{.percentile = 0.5}, ObserverOptions{.percentile = 1.1}, ObserverOptions{.bins = 1000},
        ObserverOptions{.bins = 128}, ObserverOptions{.bins = -4096}}) {
    const auto observer = make_observer(options);
    REQUIRE_FALSE(observer);
    CHECK(mcomp_test::well_formed(observer.error()));
  }
  CHECK_FALSE(observer_kind_from_string("median"));
}
