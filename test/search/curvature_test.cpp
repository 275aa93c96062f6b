#include "mcomp/search/curvature.hpp"

#include <cmath>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::search;

namespace {

using Vector = std::vector<double>;

/// H v for a dense symmetric matrix.
HessianProduct dense(const std::vector<Vector>& h) {
  return [h](std::span<const double> v) -> Result<Vector> {
    Vector y(v.size(), 0);
    for (std::size_t i = 0; i < v.size(); ++i)
      for (std::size_t j = 0; j < v.size(); ++j) y[i] += h[i][j] * v[j];
    return y;
  };
}

template <class T> ErrorCode code_of(const Result<T>& result) {
  REQUIRE_FALSE(result);
  CHECK(mcomp_test::well_formed(result.error()));
  return result.error().code();
}

} // namespace

TEST_CASE("every probe of a diagonal Hessian gives its trace") {
  const auto t = hutchinson_trace(dense({{3, 0, 0}, {0, -1, 0}, {0, 0, 0.5}}), 3, {.probes = 5}).value();
  CHECK(t.trace == Approx(2.5));
  CHECK(t.standard_error == Approx(0).margin(1e-12));
  CHECK(fmt::format("{}", t) == "trace 2.5 +- 0 (5 probes)");
}

TEST_CASE("the standard error says how far the estimate may be off") {
  constexpr std::size_t n = 20;
  Random random(3);
  std::vector<Vector> h(n, Vector(n));
  double trace = 0, off_diagonal = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      h[i][j] = h[j][i] = random.normal();
      if (i == j)
        trace += h[i][i];
      else
        off_diagonal += 2 * h[i][j] * h[i][j];
    }
  // The variance of v^T H v for random signs is twice the squares beside the diagonal.
  const double deviation = std::sqrt(2 * off_diagonal);
  int covered = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const auto t = hutchinson_trace(dense(h), n, {.probes = 100, .seed = seed}).value();
    covered += std::abs(t.trace - trace) <= 2 * t.standard_error;
    CHECK(t.standard_error == Approx(deviation / 10).epsilon(0.4));
  }
  CHECK(covered >= 182); // 95 % of 200 are 190; fewer than 182 happen once in 2,000 times
  CHECK(hutchinson_trace(dense(h), n, {.seed = 5}).value().trace ==
        hutchinson_trace(dense(h), n, {.seed = 5}).value().trace);
}

TEST_CASE("central differences of a gradient are products with the Hessian") {
  // f = x^4 / 4 + x y^2 at (2, 3): H = [[3 x^2, 2 y], [2 y, 2 x]] = [[12, 6], [6, 4]]
  const Gradient gradient = [](std::span<const double> p) -> Result<Vector> {
    return Vector{p[0] * p[0] * p[0] + p[1] * p[1], 2 * p[0] * p[1]};
  };
  const HessianProduct product = central_difference(gradient, Vector{2, 3});
  const Vector hv = product(Vector{1, -1}).value();
  CHECK(hv[0] == Approx(6).epsilon(1e-6));
  CHECK(hv[1] == Approx(2).epsilon(1e-6));
  CHECK(product(Vector{0, 0}).value() == Vector{0, 0});
  CHECK(hutchinson_trace(product, 2, {.probes = 400}).value().trace == Approx(16).epsilon(0.1));
}

TEST_CASE("what a trace cannot be estimated from is an error") {
  const HessianProduct good = dense({{1}});
  CHECK(code_of(hutchinson_trace({}, 1)) == ErrorCode::invalid_argument);
  CHECK(code_of(hutchinson_trace(good, 0)) == ErrorCode::invalid_argument);
  CHECK(code_of(hutchinson_trace(good, 1, {.probes = 1})) == ErrorCode::invalid_argument);
  CHECK(code_of(hutchinson_trace([](std::span<const double>) { return Vector{1, 2}; }, 1)) == ErrorCode::invalid_shape);
  CHECK(code_of(hutchinson_trace([](std::span<const double>) { return Vector{NAN}; }, 1)) == ErrorCode::invalid_value);
  CHECK(code_of(central_difference({}, Vector{1})(Vector{1})) == ErrorCode::invalid_argument);
  const Gradient wrong = [](std::span<const double>) { return Vector{1, 2}; };
  CHECK(code_of(central_difference(wrong, Vector{1})(Vector{1})) == ErrorCode::invalid_shape);
  CHECK(code_of(central_difference(wrong, Vector{1})(Vector{1, 2})) == ErrorCode::invalid_shape);
  CancellationToken cancelled;
  cancelled.cancel();
  CHECK(code_of(hutchinson_trace(good, 1, {}, {.cancellation = cancelled})) == ErrorCode::cancelled);
}
