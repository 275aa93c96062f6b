#include "mcomp/stats/distributions.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"

using namespace mcomp::stats;

TEST_CASE("normal quantiles are those of the tables and invert the distribution function far into the tails") {
  CHECK(normal_quantile(0.5) == Approx(0).margin(1e-15));
  CHECK(normal_quantile(0.975) == Approx(1.959963984540054).epsilon(1e-14)); // as in every table
  CHECK(normal_quantile(0.995) == Approx(2.575829303548901).epsilon(1e-14));
  CHECK(normal_quantile(0.95) == Approx(1.644853626951473).epsilon(1e-14));
  for (const double x : {-37.0, -20.0, -8.0, -3.0, -1.0, -1e-3, 0.5, 2.0, 5.0})
    CHECK(normal_quantile(normal_cdf(x)) == Approx(x).epsilon(1e-9));
  CHECK(std::isinf(normal_quantile(0)));
  CHECK(normal_quantile(1) == std::numeric_limits<double>::infinity());
  for (const double p : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) CHECK(std::isnan(normal_quantile(p)));
}

TEST_CASE("MLPerf's sample size for a tail latency follows from the normal quantile") {
  // MLPerf Inference (Reddi et al. 2020), table of queries for 99% confidence at a margin of (1 - p) / 20.
  const double z = normal_quantile(0.995);
  const double expected[][2] = {{0.90, 23886}, {0.95, 50425}, {0.97, 85811}, {0.99, 262742}};
  for (const auto& [p, n] : expected) {
    const double margin = (1 - p) / 20;
    CHECK(std::round(z * z * p * (1 - p) / (margin * margin)) == n);
  }
}

TEST_CASE("the incomplete beta function has its closed forms") {
  for (const double x : {1e-8, 0.1, 0.5, 0.9}) {
    CHECK(incomplete_beta(1, 1, x) == Approx(x).epsilon(1e-14));
    CHECK(incomplete_beta(3, 1, x) == Approx(x * x * x).epsilon(1e-13));
    CHECK(incomplete_beta(1, 4, x) == Approx(-std::expm1(4 * std::log1p(-x))).epsilon(1e-13));
    CHECK(incomplete_beta(0.5, 0.5, x) == Approx(2 / 3.141592653589793 * std::asin(std::sqrt(x))).epsilon(1e-12));
  }
  for (const double a : {0.5, 3.0, 50.0, 1e4, 1e7}) CHECK(incomplete_beta(a, a, 0.5) == Approx(0.5).epsilon(1e-12));
  // Beta(a, b) is normal to first order: mean 1/2, variance 1 / (8 a).
  CHECK(incomplete_beta(1e8, 1e8, 0.5 + 1 / std::sqrt(8e8)) == Approx(normal_cdf(1)).epsilon(1e-7));
  CHECK(incomplete_beta(2, 3, 0) == 0);
  CHECK(incomplete_beta(2, 3, 1) == 1);
  CHECK(std::isnan(incomplete_beta(0, 1, 0.5)));
  CHECK(std::isnan(incomplete_beta(1, 1, 1.5)));
}

TEST_CASE("MLPerf's early stopping counts follow from the incomplete beta function") {
  // The least n with I_p(n - t, t + 1) <= 0.01 after t late queries.
  const int late[] = {0, 1, 2, 5, 10, 50, 100};
  const struct {
    double p;
    int n[7];
  } rows[] = {{0.90, {44, 64, 81, 127, 197, 681, 1246}},
              {0.95, {90, 130, 165, 259, 398, 1372, 2504}},
              {0.97, {152, 219, 277, 433, 667, 2293, 4182}},
              {0.99, {459, 662, 838, 1307, 2010, 6898, 12571}},
              {0.999, {4603, 6636, 8403, 13105, 20140, 69058, 125826}}};
  for (const auto& row : rows)
    for (int i = 0; i < 7; ++i) {
      const int n = row.n[i], t = late[i];
      INFO("p " << row.p << ", t " << t);
      CHECK(incomplete_beta(n - t, t + 1, row.p) <= 0.01);
      CHECK(incomplete_beta(n - 1 - t, t + 1, row.p) > 0.01);
    }
}

TEST_CASE("beta quantiles invert the incomplete beta function") {
  for (const double a : {0.5, 1.0, 7.0, 2000.0})
    for (const double b : {0.7, 3.0, 150.0})
      for (const double p : {1e-10, 0.025, 0.5, 0.999})
        CHECK(incomplete_beta(a, b, beta_quantile(a, b, p)) == Approx(p).epsilon(1e-9));
  CHECK(beta_quantile(2, 2, 0) == 0);
  CHECK(beta_quantile(2, 2, 1) == 1);
  CHECK(std::isnan(beta_quantile(-1, 2, 0.5)));
}

TEST_CASE("binomial probabilities add up to their distribution function") {
  double sum = 0;
  for (int k = 0; k <= 30; ++k) {
    sum += binomial_probability(k, 30, 0.3);
    CHECK(binomial_cdf(k, 30, 0.3) == Approx(sum).epsilon(1e-12));
  }
  CHECK(sum == Approx(1).epsilon(1e-13));
  CHECK(binomial_probability(3, 5, 0.5) == Approx(10. / 32).epsilon(1e-14));
  CHECK(binomial_cdf(-1, 5, 0.5) == 0);
  CHECK(binomial_cdf(5, 5, 0.5) == 1);
  CHECK(binomial_cdf(2, 5, 0) == 1);
  CHECK(binomial_cdf(2, 5, 1) == 0);
  CHECK(binomial_probability(2, 5, 1) == 0);
  CHECK(binomial_probability(0, 5, 0) == 1);
}

TEST_CASE("the tail of chi-squared with one degree of freedom has its tabulated points") {
  CHECK(chi_squared_tail(3.841458820694124) == Approx(0.05).epsilon(1e-12));
  CHECK(chi_squared_tail(6.634896601021214) == Approx(0.01).epsilon(1e-12));
  CHECK(chi_squared_tail(0) == 1);
  CHECK(std::isnan(chi_squared_tail(-1)));
}

TEST_CASE("Student's t has its closed forms and tabulated quantiles") {
  const double pi = 3.141592653589793;
  for (const double t : {-50.0, -2.0, -0.1, 0.0, 0.7, 3.0}) {
    CHECK(student_t_cdf(t, 1) == Approx(0.5 + std::atan(t) / pi).epsilon(1e-12));              // Cauchy
    CHECK(student_t_cdf(t, 2) == Approx(0.5 + t / (2 * std::sqrt(2 + t * t))).epsilon(1e-11)); // df 2
    CHECK(student_t_cdf(t, 1e9) == Approx(normal_cdf(t)).margin(1e-8));
  }
  // Tables: t_.975 with 1, 5, 10, 30 and t_.995 with 10 degrees of freedom.
  CHECK(student_t_quantile(.975, 1) == Approx(12.7062047361747).epsilon(1e-11));
  CHECK(student_t_quantile(.975, 5) == Approx(2.5705818356).epsilon(1e-10));
  CHECK(student_t_quantile(.975, 10) == Approx(2.2281388520).epsilon(1e-10));
  CHECK(student_t_quantile(.975, 30) == Approx(2.0422724563).epsilon(1e-10));
  CHECK(student_t_quantile(.995, 10) == Approx(3.1692726726).epsilon(1e-10));
  CHECK(student_t_quantile(.975, std::numeric_limits<double>::infinity()) == normal_quantile(.975));
  for (const double v : {0.3, 1.0, 4.5, 77.0, 1e6})
    for (const double p : {1e-12, 0.01, 0.4999, 0.5, 0.8, 0.999})
      CHECK(student_t_cdf(student_t_quantile(p, v), v) == Approx(p).epsilon(1e-9));
  CHECK(student_t_quantile(0, 3) == -std::numeric_limits<double>::infinity());
  CHECK(std::isnan(student_t_cdf(1, 0)));
  CHECK(std::isnan(student_t_quantile(1.5, 3)));
}

TEST_CASE("gamma functions have their closed forms, far into the tails") {
  CHECK(log_gamma(1) == Approx(0).margin(1e-14));
  CHECK(log_gamma(0.5) == Approx(0.5 * std::log(3.141592653589793)).epsilon(1e-13));
  CHECK(log_gamma(11) == Approx(std::log(3628800.0)).epsilon(1e-14));
  CHECK(log_beta(2, 3) == Approx(std::log(1. / 12)).epsilon(1e-13));
  CHECK(log_beta(1, 1e9) == Approx(-std::log(1e9)).epsilon(1e-13)); // 1 / b
  for (const double x : {1e-3, 1.0, 5.0, 40.0, 800.0}) {
    CHECK(log_gamma_q(1, x) == Approx(-x).epsilon(1e-12));                                           // exponential
    CHECK(log_gamma_q(3, x) == Approx(-x + std::log1p(x + x * x / 2)).epsilon(1e-11).margin(1e-15)); // Erlang
    CHECK(log_gamma_p(1, x) == Approx(std::log(-std::expm1(-x))).margin(1e-14));
    CHECK(std::exp(log_gamma_p(2.5, x)) + std::exp(log_gamma_q(2.5, x)) == Approx(1).epsilon(1e-13));
  }
  // A gamma variable of large shape is normal to first order.
  CHECK(std::exp(log_gamma_p(1e8, 1e8)) == Approx(0.5).margin(1e-4));
  CHECK(chi_squared_tail(3.841458820694124, 1) == Approx(0.05).epsilon(1e-12));
  CHECK(chi_squared_tail(18.307038053275146, 10) == Approx(0.05).epsilon(1e-11));
  CHECK(chi_squared_tail(3, 2) == Approx(std::exp(-1.5)).epsilon(1e-13));
  CHECK(std::isnan(log_gamma_p(0, 1)));
  CHECK(std::isnan(log_gamma_q(1, -1)));
  CHECK(std::isnan(chi_squared_tail(1, 0)));
}

TEST_CASE("logarithms of tails stay finite where the tails underflow") {
  for (const double x : {-5.0, 0.0, 3.0}) CHECK(log_normal_cdf(x) == Approx(std::log(normal_cdf(x))).epsilon(1e-13));
  // Both branches meet, and the tail follows -x^2 / 2 - log(x sqrt(2 pi)).
  CHECK(log_normal_cdf(-30.0000001) == Approx(log_normal_cdf(-29.9999999)).epsilon(1e-7));
  CHECK(log_normal_cdf(-1e5) == Approx(-5e9 - std::log(1e5 * std::sqrt(2 * 3.141592653589793))).epsilon(1e-14));
  CHECK(log_incomplete_beta(1000, 1, 1e-3) == Approx(1000 * std::log(1e-3)).epsilon(1e-13));
  CHECK(log_incomplete_beta(2, 3, 0.4) == Approx(std::log(incomplete_beta(2, 3, 0.4))).epsilon(1e-13));
  CHECK(log_incomplete_beta(2, 3, 0.9) == Approx(std::log(incomplete_beta(2, 3, 0.9))).epsilon(1e-13));
}
