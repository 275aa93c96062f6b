#include "mcomp/calibrate/slice_temperature.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "calibrate/finite_rows.hpp"
#include "calibrate/row_kernels.hpp"
#include "core/try.hpp"
#include "mcomp/calibrate/temperature.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

/// Sum of NLL over rows at log T = u, and its derivatives in u.
struct Curve {
  double nll = 0, slope = 0, curvature = 0;
};

class Slice {
 public:
  Slice(const detail::FiniteRows& data, std::vector<std::size_t> rows) : data_(data), rows_(std::move(rows)) {}

  [[nodiscard]] std::size_t count() const noexcept { return rows_.size(); }
  [[nodiscard]] Curve at(double u) const {
    const double s = std::exp(-u);
    Curve sum;
    for (const std::size_t i : rows_) {
      const double* const z = data_.row(i);
      const double maximum = *std::max_element(z, z + data_.classes);
      const detail::RowMoments m = detail::row_kernels<double>().moments(z, data_.classes, maximum, s);
      const double mean = m.first / m.zeroth, label = s * (z[data_.label[i]] - maximum);
      const double first = mean - label, second = m.second / m.zeroth - mean * mean; // of NLL, times s and s^2
      sum.nll += std::log(m.zeroth) - label;
      sum.slope -= first;
      sum.curvature += first + second;
    }
    return sum;
  }
  /// Expected information about u: what the curvature is on average where T is right. Positive unless rows are flat.
  [[nodiscard]] double information(double u) const {
    const double s = std::exp(-u);
    double sum = 0;
    for (const std::size_t i : rows_) {
      const double* const z = data_.row(i);
      const double maximum = *std::max_element(z, z + data_.classes);
      const detail::RowMoments m = detail::row_kernels<double>().moments(z, data_.classes, maximum, s);
      const double mean = m.first / m.zeroth;
      sum += m.second / m.zeroth - mean * mean;
    }
    return sum;
  }

 private:
  const detail::FiniteRows& data_;
  std::vector<std::size_t> rows_;
};

/// The local minimum of NLL(u) + (u - mu)^2 / (2 tau^2) that a descent from mu reaches.
double posterior_mode(const Slice& slice, double mu, double tau) {
  if (tau == 0) return mu;
  const double precision = 1 / (tau * tau);
  const auto penalized = [&](double u) {
    Curve curve = slice.at(u);
    curve.nll += 0.5 * precision * (u - mu) * (u - mu);
    curve.slope += precision * (u - mu);
    curve.curvature += precision;
    return curve;
  };
  double u = mu;
  Curve here = penalized(u);
  for (int n = 0; n < 100; ++n) {
    double step = here.curvature > 0 ? -here.slope / here.curvature : here.slope > 0 ? -0.5 : 0.5;
    step = std::clamp(step, -1., 1.);
    Curve next = penalized(u + step);
    while (next.nll > here.nll && std::abs(step) > 1e-13) step /= 2, next = penalized(u + step);
    if (std::abs(step) <= 1e-12) return u;
    u += step, here = next;
  }
  return u;
}

/// The tau with the greatest likelihood of observations u_g ~ N(mu, tau^2 + v_g): golden section in log tau, and 0.
double between_slices(const std::vector<SliceTemperature>& slices, double mu) {
  const auto minus_log_likelihood = [&](double tau) {
    double sum = 0;
    for (const SliceTemperature& slice : slices) {
      const double variance = tau * tau + slice.standard_error * slice.standard_error;
      const double distance = std::log(slice.observed) - mu;
      sum += 0.5 * (std::log(variance) + distance * distance / variance);
    }
    return sum;
  };
  constexpr double golden = 0.6180339887498949;
  double lower = std::log(1e-3), upper = std::log(3.);
  for (int n = 0; n < 60; ++n) {
    const double left = upper - golden * (upper - lower), right = lower + golden * (upper - lower);
    if (minus_log_likelihood(std::exp(left)) <= minus_log_likelihood(std::exp(right)))
      upper = right;
    else
      lower = left;
  }
  const double tau = std::exp((lower + upper) / 2);
  return minus_log_likelihood(tau) < minus_log_likelihood(0) ? tau : 0;
}

} // namespace

double SliceTemperatures::of(std::int32_t slice) const noexcept {
  const auto at = std::lower_bound(slices.begin(), slices.end(), slice,
                                   [](const SliceTemperature& a, std::int32_t b) { return a.slice < b; });
  return at != slices.end() && at->slice == slice ? at->temperature : temperature;
}

std::string to_string(const SliceTemperatures& scaling) {
  return fmt::format("T {:.4g}, tau {:.3g} over {} slices: {}", scaling.temperature, scaling.tau, scaling.slices.size(),
                     scaling.report);
}

Result<SliceTemperatures> fit_slice_temperatures(const TensorView& logits, const TensorView& labels,
                                                 std::span<const std::int32_t> slices, Executor* executor) {
  MCOMP_TRY(data, detail::read_finite_rows(logits, labels));
  if (slices.size() != data.rows)
    return Error(ErrorCode::invalid_shape, "slices", fmt::format("{} numbers for {} rows", slices.size(), data.rows),
                 "pass one for each row");
  MCOMP_TRY(common, fit_temperature(logits, labels, {.executor = executor}));
  if (!common.interior())
    return Error(ErrorCode::insufficient_data, "logits", fmt::format("the common temperature is {}", common.optimum),
                 "fit on more rows, or on rows the model was not trained on");
  const double mu = std::log(common.temperature);
  std::map<std::int32_t, std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < data.rows; ++i)
    if (slices[i] >= 0) members[slices[i]].push_back(i);

  SliceTemperatures result{.temperature = common.temperature};
  std::vector<Slice> parts;
  for (auto& [number, rows] : members) {
    parts.emplace_back(data, std::move(rows));
    result.slices.push_back({.slice = number, .count = static_cast<std::int64_t>(parts.back().count())});
  }
  Executor& run = executor ? *executor : serial_executor();
  run.run(parts.size(), [&](std::size_t g) {
    // The slice's own optimum under a prior so wide that it only bounds it, and the curvature there.
    constexpr double wide = 3;
    const double own = posterior_mode(parts[g], mu, wide);
    double u = own, information = parts[g].at(own).curvature;
    if (std::abs(own - mu) > 1.5 || !(information > 0)) { // no optimum of its own worth the name
      information = parts[g].information(mu);
      u = information > 0 ? mu - std::clamp(parts[g].at(mu).slope / information, -1.5, 1.5) : mu;
    }
    result.slices[g].observed = std::exp(u);
    result.slices[g].standard_error = information > 0 ? 1 / std::sqrt(information) : 1e3;
  });
  if (result.slices.size() > 1) result.tau = between_slices(result.slices, mu);
  run.run(parts.size(),
          [&](std::size_t g) { result.slices[g].temperature = std::exp(posterior_mode(parts[g], mu, result.tau)); });

  double after = 0;
  for (std::size_t g = 0; g < parts.size(); ++g) {
    after += parts[g].at(std::log(result.slices[g].temperature)).nll;
  }
  std::vector<std::size_t> outside;
  for (std::size_t i = 0; i < data.rows; ++i)
    if (slices[i] < 0) outside.push_back(i);
  after += Slice(data, std::move(outside)).at(mu).nll;
  result.report = {.count = common.count,
                   .parameters = static_cast<std::int64_t>(result.slices.size()) + 2,
                   .nll_before = common.nll_before,
                   .nll_after = after / static_cast<double>(data.rows),
                   .iterations = common.iterations,
                   .optimum_reached = true};
  return result;
}

} // namespace mcomp::inline v0::calibrate
