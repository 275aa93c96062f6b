#include "mcomp/search/curvature.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::search {

HessianProduct central_difference(Gradient gradient, std::span<const double> point, double step) {
  return [gradient = std::move(gradient), x = std::vector<double>(point.begin(), point.end()),
          step](std::span<const double> v) -> Result<std::vector<double>> {
    if (!gradient || !(step > 0) || !std::isfinite(step))
      return Error(ErrorCode::invalid_argument, "central difference",
                   gradient ? fmt::format("a step of {}", step) : std::string("there is no gradient"),
                   "pass a gradient and a small positive step");
    if (v.size() != x.size())
      return Error(ErrorCode::invalid_shape, "vector", fmt::format("{} numbers, the point has {}", v.size(), x.size()),
                   "multiply by a vector of the point's length");
    double norm_x = 0, norm_v = 0;
    for (std::size_t i = 0; i < x.size(); ++i) norm_x += x[i] * x[i], norm_v += v[i] * v[i];
    if (norm_v == 0) return std::vector<double>(x.size(), 0.0);
    const double h = step * std::max(1.0, std::sqrt(norm_x)) / std::sqrt(norm_v);
    std::vector<double> ahead = x, behind = x;
    for (std::size_t i = 0; i < x.size(); ++i) ahead[i] += h * v[i], behind[i] -= h * v[i];
    MCOMP_TRY(result, gradient(ahead));
    MCOMP_TRY(subtrahend, gradient(behind));
    if (result.size() != x.size() || subtrahend.size() != x.size())
      return Error(ErrorCode::invalid_shape, "gradient",
                   fmt::format("{} and {} numbers at a point of {}", result.size(), subtrahend.size(), x.size()),
                   "return one partial derivative for each number of the point");
    for (std::size_t i = 0; i < x.size(); ++i) result[i] = (result[i] - subtrahend[i]) / (2 * h);
    return std::move(result);
  };
}

std::string to_string(const TraceEstimate& e) {
  return fmt::format("trace {:.6g} +- {:.2g} ({} probes)", e.trace, e.standard_error, e.probes);
}

Result<TraceEstimate> hutchinson_trace(const HessianProduct& product, std::int64_t size, const TraceOptions& options,
                                       const Context& context) {
  if (!product || size < 1 || options.probes < 2)
    return Error(ErrorCode::invalid_argument, "trace",
                 product ? fmt::format("{} numbers and {} probes", size, options.probes)
                         : std::string("there is no product with the Hessian"),
                 "pass a product, a positive size and at least 2 probes");
  Random random(options.seed);
  std::vector<double> v(static_cast<std::size_t>(size));
  double mean = 0, squares = 0; // Welford
  for (int probe = 1; probe <= options.probes; ++probe) {
    MCOMP_CHECK(context.check("estimating a trace"));
    context.report("estimating a trace", probe - 1, options.probes);
    for (double& sign : v) sign = random.uniform() < 0.5 ? -1 : 1;
    MCOMP_TRY(hv, product(v));
    if (hv.size() != v.size())
      return Error(ErrorCode::invalid_shape, "product",
                   fmt::format("{} numbers for a vector of {}", hv.size(), v.size()), "return H v");
    double form = 0;
    for (std::size_t i = 0; i < v.size(); ++i) form += v[i] * hv[i];
    if (!std::isfinite(form))
      return Error(ErrorCode::invalid_value, "product", fmt::format("v^T H v is {}", form),
                   "check the loss for NaN and overflow near this point");
    const double delta = form - mean;
    mean += delta / probe;
    squares += delta * (form - mean);
  }
  const double variance = squares / (options.probes - 1);
  return TraceEstimate{mean, std::sqrt(variance / options.probes), options.probes};
}

} // namespace mcomp::inline v0::search
