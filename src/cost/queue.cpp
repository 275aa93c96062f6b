#include "mcomp/cost/queue.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"

namespace mcomp::inline v0::cost {

namespace {

Status check_quantile(double quantile) {
  if (quantile >= 0 && quantile < 1) return {};
  return Error(ErrorCode::invalid_argument, "quantile", fmt::format("{} is not within [0, 1)", quantile),
               "pass 0.99 for the time that 99% of requests stay below");
}

/// The least t with tail(t) <= 1 - quantile, for a tail that falls, by bisection.
template <class Tail> double invert(double quantile, double guess, const Tail& tail) {
  const double share = 1 - quantile;
  if (tail(0.0) <= share) return 0;
  double low = 0, high = guess;
  while (tail(high) > share) low = high, high *= 2;
  while (high - low > 1e-13 * high) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (tail(middle) > share ? low : high) = middle;
  }
  return high;
}

/// Probabilities of the number in the system of M/D/1, cumulated: P(N <= n). By Ramaswami's recursion for M/G/1
/// (Stochastic Models 4, 1988), which only adds: p(n+1) a(0) = p(0) A(n) + sum_i p(i) A(n+1-i), A(m) = P(Poisson > m).
class DeterministicLengths {
 public:
  explicit DeterministicLengths(double load) : a0_(std::exp(-load)) {
    double probability = a0_;
    // A(m) from its series upwards would cancel: sum from the far end instead.
    std::vector<double> point{a0_};
    for (int m = 1; m < 60; ++m) point.push_back(probability *= load / m);
    tails_.assign(60, 0);
    for (std::size_t m = 59; m-- > 0;) tails_[m] = tails_[m + 1] + point[m + 1];
    p_.push_back(1 - load);
    cumulated_.push_back(1 - load);
  }
  double at_most(std::size_t n) {
    while (cumulated_.size() <= n) {
      const std::size_t k = cumulated_.size() - 1;
      double sum = k < tails_.size() ? p_[0] * tails_[k] : 0;
      for (std::size_t m = 1; m <= std::min<std::size_t>(k, tails_.size() - 1); ++m) sum += p_[k + 1 - m] * tails_[m];
      p_.push_back(sum / a0_);
      cumulated_.push_back(cumulated_.back() + p_.back());
    }
    return cumulated_[n];
  }

 private:
  double a0_;
  std::vector<double> tails_, p_, cumulated_;
};

/// P(W > seconds): the sum of Franx, equation (6) there, for one server.
double deterministic_tail(DeterministicLengths& lengths, double rate, double service, double seconds) {
  const double k = std::floor(seconds / service) + 1;
  const double mean = std::max(0.0, rate * (k * service - seconds));
  double probability = std::exp(-mean), sum = 0;
  for (double j = 0; j < k && j < 60; ++j) {
    if (j > 0) probability *= mean / j;
    sum += probability * lengths.at_most(static_cast<std::size_t>(k - j)); // k - 1 - j wait: k - j in the system
  }
  return std::max(0.0, 1 - sum);
}

} // namespace

SingleServer::SingleServer(double rate, ServiceTime service)
    : rate_(rate), utilization_(rate * service.mean()), service_(std::move(service)) {}

Result<SingleServer> SingleServer::create(double arrivals_per_second, const ServiceTime& service) {
  // Checks rate and load as for any queue.
  MCOMP_TRY(line, waiting({.arrivals_per_second = arrivals_per_second,
                           .service_seconds = service.mean(),
                           .servers = 1,
                           .service_variability = service.variability()}));
  SingleServer result(arrivals_per_second, service);
  if (service.kind() == ServiceKind::exponential) result.terms_ = {{line.probability, line.decay}};
  if (service.kind() == ServiceKind::hyperexponential) {
    // The residual service is one of the two exponentials, each with probability 1/2, so the transform of the wait has
    // its poles where z^2 - z (m1 + m2)(1 - rho/2) + m1 m2 (1 - rho) = 0.
    const double rho = result.utilization_;
    const double p = (1 + std::sqrt((service.variability() - 1) / (service.variability() + 1))) / 2;
    const double fast = 2 * p / service.mean(), slow = 2 * (1 - p) / service.mean();
    const double half = (fast + slow) * (1 - rho / 2) / 2, product = fast * slow * (1 - rho);
    const double large = half + std::sqrt(std::max(0.0, half * half - product)), small = product / large;
    if (rho == 0 || large - small < 1e-9 * large) {
      result.terms_ = {{line.probability, rho == 0 ? 1 : rho / line.mean()}};
    } else {
      // The weights sum to rho, and weight / rate to the mean.
      const double mean = line.mean();
      const double second = (mean - rho / large) / (1 / small - 1 / large);
      result.terms_ = {{rho - second, large}, {second, small}};
    }
  }
  return result;
}

double SingleServer::mean_wait() const noexcept {
  return utilization_ / (1 - utilization_) * service_.mean() * (1 + service_.variability()) / 2;
}

std::vector<double> SingleServer::tail(double step, std::size_t points) const {
  // psi(t) = rho (1 - F(t)) + rho int_0^t psi(t - u) dF(u), F the residual's distribution; psi taken linear in a step.
  std::vector<double> psi(points + 1), weight(points + 1);
  std::vector<double> residual(points + 1);
  for (std::size_t i = 0; i <= points; ++i) residual[i] = service_.residual_cdf(static_cast<double>(i) * step);
  // weight[i] of psi(t - i step): half of the probability on either side.
  for (std::size_t i = 1; i <= points; ++i) {
    const double mass = utilization_ * (residual[i] - residual[i - 1]) / 2;
    weight[i] += mass;
    weight[i - 1] += mass;
  }
  psi[0] = utilization_;
  for (std::size_t n = 1; n <= points; ++n) {
    double sum = utilization_ * (1 - residual[n]);
    for (std::size_t i = 1; i < n; ++i) sum += weight[i] * psi[n - i];
    // At the far end only half of weight[n] belongs to this interval.
    sum += utilization_ * (residual[n] - residual[n - 1]) / 2 * psi[0];
    psi[n] = sum / (1 - weight[0]);
  }
  return psi;
}

double SingleServer::exceeds(double seconds) const {
  if (std::isnan(seconds)) return seconds;
  if (seconds < 0) return 1;
  if (!terms_.empty()) {
    double sum = 0;
    for (const Exponential& term : terms_) sum += term.weight * std::exp(-term.rate * seconds);
    return sum;
  }
  if (service_.kind() == ServiceKind::deterministic) {
    DeterministicLengths lengths(utilization_);
    return deterministic_tail(lengths, rate_, service_.mean(), seconds);
  }
  if (seconds == 0) return utilization_;
  return tail(seconds / 4000, 4000).back();
}

Result<double> SingleServer::wait_quantile(double quantile) const {
  MCOMP_CHECK(check_quantile(quantile));
  if (utilization_ <= 1 - quantile) return 0.0;
  const double guess = std::max(mean_wait() / utilization_ * std::log(utilization_ / (1 - quantile)), service_.mean());
  if (!terms_.empty()) return invert(quantile, guess, [&](double t) { return exceeds(t); });
  if (service_.kind() == ServiceKind::deterministic) {
    DeterministicLengths lengths(utilization_);
    return invert(quantile, guess, [&](double t) { return deterministic_tail(lengths, rate_, service_.mean(), t); });
  }
  for (double horizon = 2 * guess;; horizon *= 2) {
    const std::vector<double> psi = tail(horizon / 4000, 4000);
    const auto below = std::find_if(psi.begin(), psi.end(), [&](double x) { return x <= 1 - quantile; });
    if (below == psi.end()) continue;
    // Logarithmic between points, as tails are.
    const auto at = static_cast<double>(below - psi.begin());
    const double before = std::log(*(below - 1)), after = std::log(*below), wanted = std::log(1 - quantile);
    return horizon / 4000 * (at - (wanted - after) / (before - after));
  }
}

Result<double> deterministic_wait(double arrivals_per_second, double service_seconds, std::int64_t servers) {
  MCOMP_CHECK(
      waiting({.arrivals_per_second = arrivals_per_second, .service_seconds = service_seconds, .servers = servers}));
  const double load = arrivals_per_second * service_seconds, c = static_cast<double>(servers);
  if (load == 0) return 0.0;
  // sum over m of E[(m D - T)^+] / m, T the time of m c arrivals. In units of 1 / rate, with n = m c and x = m load:
  // (x - n) P(T < m D) + n Poisson(n; x). Terms vary slowly for large m: there one stands for its neighbours.
  double sum = 0;
  for (double m = 1;;) {
    const double block = std::max(1.0, std::floor(m / 500));
    const double middle = m + (block - 1) / 2, n = middle * c, x = middle * load;
    const double log_point = n * std::log(x) - x - stats::log_gamma(n + 1);
    const double term = ((x - n) * std::exp(stats::log_gamma_p(n, x)) + n * std::exp(log_point)) / middle;
    sum += block * std::max(0.0, term);
    if (term * middle < 1e-16 * sum || sum == 0) break;
    m += block;
  }
  return sum / arrivals_per_second;
}

double MarkovResponse::mean() const noexcept {
  return service_seconds + (probability == 0 ? 0 : probability / decay);
}

double MarkovResponse::exceeds(double seconds) const noexcept {
  if (std::isnan(seconds)) return seconds;
  if (seconds < 0) return 1;
  // A share waits an exponential time first; the sum of two exponentials, written so that equal rates do not cancel.
  const double rate = 1 / service_seconds, gap = (decay - rate) * seconds;
  const double ratio = gap == 0 ? 1 : -std::expm1(-gap) / gap;
  // e^{-rate t} times a large factor where the wait is much the longer part.
  if (gap < -700) return probability * rate / (rate - decay) * std::exp(-decay * seconds);
  return std::exp(-rate * seconds) * (1 + probability * rate * seconds * ratio);
}

Result<double> MarkovResponse::quantile(double quantile) const {
  MCOMP_CHECK(check_quantile(quantile));
  return invert(quantile, service_seconds, [&](double t) { return exceeds(t); });
}

Result<MarkovResponse> markov_response(double arrivals_per_second, double service_seconds, std::int64_t servers) {
  MCOMP_TRY(
      line,
      waiting({.arrivals_per_second = arrivals_per_second, .service_seconds = service_seconds, .servers = servers}));
  return MarkovResponse{.probability = line.probability, .decay = line.decay, .service_seconds = service_seconds};
}

} // namespace mcomp::inline v0::cost
