// Distances between distributions against published values, closed forms and simulations of their level.

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/distance.hpp"
#include "mcomp/stats/distributions.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {

using Values = std::vector<double>;
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

Values normals(std::uint64_t seed, std::size_t count, double mean = 0) {
  Random random(seed);
  Values values(count);
  for (double& v : values) v = mean + random.normal();
  return values;
}

template <class T> bool refused(const Result<T>& result, ErrorCode code) {
  return !result && result.error().code() == code && mcomp_test::well_formed(result.error());
}

} // namespace

TEST_CASE("distances of (.1, .2, .4, .2, .1) and (.15, .25, .3, .2, .1) are those computed elsewhere", "[distance]") {
  const Values p{.1, .2, .4, .2, .1}, q{.15, .25, .3, .2, .1};
  CHECK(population_stability_index(p, q).value() == Approx(.0601986402).margin(5e-11));
  CHECK(kl_divergence(q, p).value() == Approx(.0303010323).margin(5e-11));
  CHECK(jensen_shannon_divergence(p, q).value() == Approx(.0108092146).margin(5e-11));
  CHECK(jensen_shannon_distance(p, q).value() == Approx(.1039673729).margin(5e-11));
  CHECK(hellinger_distance(p, q).value() == Approx(.0866519105).margin(5e-11));
  CHECK(total_variation_distance(p, q).value() == Approx(.1).margin(1e-15));
  CHECK(largest_share_difference(p, q).value() == Approx(.1).margin(1e-15));
  const Values counts{10, 20, 40, 20, 10}; // shares or counts, it is the same
  CHECK(population_stability_index(counts, q).value() == Approx(population_stability_index(p, q).value()));
}

TEST_CASE("tests of counts give the p-values of Evidently's tests", "[distance]") {
  const Values a{16, 18, 16, 14, 12, 12}, b{16, 16, 16, 16, 16, 8};
  CHECK(chi_squared_fit(b, a).value().p_value == Approx(.67309).margin(5e-6));
  CHECK(hellinger_distance(a, b).value() == Approx(.06812).margin(1e-5));
  const Values c{5, 5, 8}, d{4, 6, 8};
  CHECK(g_fit(d, c).value().p_value == Approx(.8176).margin(5e-5));
}

TEST_CASE("NannyML's categories abcd and abce are half a unit apart", "[distance]") {
  const Values p{1, 1, 1, 1, 0}, q{1, 1, 1, 0, 1};
  CHECK(jensen_shannon_distance(p, q).value() == Approx(.5));
  CHECK(largest_share_difference(p, q).value() == Approx(.25));
  CHECK(std::isinf(kl_divergence(p, q).value()));
  // One of four moved: an empty bin counts as a share of 10^-4.
  CHECK(population_stability_index(p, q).value() == Approx(2 * (.25 - 1e-4) * std::log(2500)));
  CHECK(jensen_shannon_distance(Values{1, 0}, Values{0, 3}).value() == 1);
  CHECK(hellinger_distance(Values{1, 0}, Values{0, 3}).value() == Approx(1));
}

TEST_CASE("a 2 x 2 table by hand", "[distance]") {
  // (12, 5 | 3, 7): n (ad - bc)^2 / (row and column sums) = 27 (84 - 15)^2 / (17 10 15 12).
  const auto test = chi_squared_two_samples(Values{12, 5, 0}, Values{3, 7, 0}).value();
  CHECK(test.distance == Approx(27.0 * 69 * 69 / (17.0 * 10 * 15 * 12)));
  CHECK(test.degrees_of_freedom == 1);
  CHECK(test.p_value == Approx(std::erfc(std::sqrt(test.distance / 2))));
}

TEST_CASE("Kolmogorov and Smirnov's p-value counts paths", "[distance]") {
  // Two and two, apart: of the six orders two are as extreme.
  CHECK(kolmogorov_smirnov(Values{1, 2}, Values{3, 4}).value().p_value == Approx(1. / 3));
  CHECK(kolmogorov_smirnov(Values{1, 2}, Values{3, 4}).value().distance == 1);
  // n and n, apart: 2 of binomial(2n, n) orders.
  const auto ten = kolmogorov_smirnov(normals(1, 10), normals(1, 10, 100)).value();
  CHECK(ten.p_value == Approx(2. / 184756));
  // Equal sizes have a closed form (Gnedenko and Korolyuk 1951): with d = c / n,
  // p = 2 (C(2n, n - c) - C(2n, n - 2c) + ...) / C(2n, n). n = 6, c = 3: 2 (C(12, 3) - C(12, 0)) / C(12, 6).
  const auto six = kolmogorov_smirnov(Values{1, 2, 3, 7, 8, 9}, Values{4, 5, 6, 10, 11, 12}).value();
  CHECK(six.distance == Approx(.5));
  CHECK(six.p_value == Approx(2. * (220 - 1) / 924));
  CHECK(kolmogorov_smirnov(Values{1, 2}, Values{1, 2}).value().p_value == 1);
  // Beyond 10^6 paths the limit: 1500 and 1500 values, 75 steps apart, against the closed form.
  Values grid, moved;
  for (int i = 0; i < 1500; ++i) grid.push_back(i), moved.push_back(i + 74.5);
  const auto limit = kolmogorov_smirnov(grid, moved).value();
  CHECK(limit.distance == Approx(.05));
  const auto log_choose = [](double n, double k) { return log_gamma(n + 1) - log_gamma(k + 1) - log_gamma(n - k + 1); };
  CHECK(limit.p_value == Approx(2 * std::exp(log_choose(3000, 1425) - log_choose(3000, 1500))).epsilon(0.05));
}

TEST_CASE("tests of two equal distributions reject as often as they say", "[distance]") {
  int ks = 0, chi = 0, mmd = 0;
  constexpr int rounds = 400;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const Values a = normals(2 * round, 40), b = normals(2 * round + 1, 60);
    ks += kolmogorov_smirnov(a, b).value().p_value <= 0.1;
    Values in_a(4), in_b(4);
    const auto bin = [](double v) { return static_cast<std::size_t>(v < -0.7 ? 0 : v < 0 ? 1 : v < 0.7 ? 2 : 3); };
    for (const double v : a) in_a[bin(v)] += 1;
    for (const double v : b) in_b[bin(v)] += 1;
    chi += chi_squared_two_samples(in_a, in_b).value().p_value <= 0.1;
    if (round % 4 == 0)
      mmd += maximum_mean_discrepancy(TensorView::of<double>(std::span(a).first(20), {10, 2}).value(),
                                      TensorView::of<double>(std::span(b).first(24), {12, 2}).value(),
                                      {.permutations = 99, .seed = round})
                 .value()
                 .p_value <= 0.1;
  }
  // 40 and 10 are expected; 4 standard deviations of chance are 24 and 12. Counting is conservative.
  CHECK(ks <= 64);
  CHECK(ks >= 12);
  CHECK(chi <= 64);
  CHECK(chi >= 16);
  CHECK(mmd <= 22);
  CHECK(mmd >= 1);
}

TEST_CASE("the earth mover's distance of a shift is the shift", "[distance]") {
  Values a = normals(5, 300), b = a;
  for (double& v : b) v += 1.01;
  CHECK(wasserstein_distance(a, b).value() == Approx(1.01).epsilon(1e-12));
  CHECK(wasserstein_distance(a, a).value() == 0);
  CHECK(wasserstein_distance(Values{0, 1, 3}, Values{5, 6, 8}).value() == Approx(5));
  CHECK(wasserstein_distance(Values{0}, Values{1, 3}).value() == Approx(2));
  // N(0, 1) and N(1, 1), as NannyML has it: about 1.
  CHECK(wasserstein_distance(normals(6, 5000), normals(7, 5000, 1)).value() == Approx(1).margin(0.06));
}

TEST_CASE("MMD of four points by hand, and of features that only differ together", "[distance]") {
  const Values a{0, 1}, b{2, 4};
  const auto k = [](double d) { return std::exp(-d * d / 2); };
  const auto test = maximum_mean_discrepancy(TensorView::of<double>(std::span<const double>(a), {2, 1}).value(),
                                             TensorView::of<double>(std::span<const double>(b), {2, 1}).value(),
                                             {.bandwidth = 1, .permutations = 0})
                        .value();
  CHECK(test.squared == Approx(k(1) + k(2) - 0.5 * (k(2) + k(4) + k(1) + k(3))));
  CHECK(test.p_value == 1);
  // Equal margins, opposite correlation.
  std::vector<float> x, y;
  Random random(8);
  for (int i = 0; i < 100; ++i) {
    const double u = random.normal(), v = random.normal();
    x.push_back(static_cast<float>(u)), x.push_back(static_cast<float>(0.9 * u + 0.44 * v));
    const double s = random.normal(), t = random.normal();
    y.push_back(static_cast<float>(s)), y.push_back(static_cast<float>(-0.9 * s + 0.44 * t));
  }
  const auto both = maximum_mean_discrepancy(TensorView::of<float>(std::span<const float>(x), {100, 2}).value(),
                                             TensorView::of<float>(std::span<const float>(y), {100, 2}).value())
                        .value();
  CHECK(both.p_value == Approx(1. / 201));
  CHECK(both.squared > 0.05);
}

TEST_CASE("distances refuse what is no distribution", "[distance]") {
  const Values p{1, 2}, three{1, 2, 3}, none{0, 0}, empty;
  CHECK(refused(population_stability_index(p, three), ErrorCode::invalid_shape));
  CHECK(refused(population_stability_index(p, p, 0), ErrorCode::invalid_argument));
  CHECK(refused(jensen_shannon_distance(p, none), ErrorCode::invalid_value));
  CHECK(refused(kl_divergence(p, Values{1, -1}), ErrorCode::invalid_value));
  CHECK(refused(hellinger_distance(p, Values{nan_value, 1}), ErrorCode::invalid_value));
  CHECK(refused(total_variation_distance(empty, empty), ErrorCode::invalid_value));
  CHECK(refused(largest_share_difference(empty, empty), ErrorCode::invalid_value));
  CHECK(refused(chi_squared_fit(p, Values{1, 0}), ErrorCode::invalid_value));
  CHECK(refused(chi_squared_fit(Values{1}, Values{1}), ErrorCode::insufficient_data));
  CHECK(refused(chi_squared_two_samples(Values{1, 0}, Values{3, 0}), ErrorCode::insufficient_data));
  CHECK(refused(kolmogorov_smirnov(empty, p), ErrorCode::insufficient_data));
  CHECK(refused(wasserstein_distance(p, Values{nan_value}), ErrorCode::invalid_value));
  const TensorView rows = TensorView::of<double>(std::span<const double>(p), {2, 1}).value();
  const TensorView wide = TensorView::of<double>(std::span<const double>(p), {1, 2}).value();
  CHECK(refused(maximum_mean_discrepancy(rows, wide), ErrorCode::invalid_shape));
  CHECK(refused(maximum_mean_discrepancy(wide, wide), ErrorCode::insufficient_data));
  CHECK(refused(maximum_mean_discrepancy(rows, rows, {.bandwidth = -1}), ErrorCode::invalid_argument));
  CHECK(refused(maximum_mean_discrepancy(rows, rows, {.permutations = -1}), ErrorCode::invalid_argument));
}
