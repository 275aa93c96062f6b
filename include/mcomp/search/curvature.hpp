#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/result.hpp"

// How sharply a loss bends, from products of its Hessian with random vectors: trace H = E[v^T H v] for v of independent
// signs (Hutchinson 1990). The mean of the diagonal weighs the error of a tensor in HAWQ-V2 (Dong et al. 2020): a
// tensor with a flat loss takes fewer bits.
//
//     const auto product = search::central_difference(gradient_of_my_loss, weights);
//     const auto t = search::hutchinson_trace(product, weights.size(), {.probes = 64}).value();
//     options.curvature["layer1.weight"] = t.trace / static_cast<double>(weights.size());

namespace mcomp::inline v0::search {

/// H v for one v.
using HessianProduct = std::function<Result<std::vector<double>>(std::span<const double> v)>;
/// The gradient of a scalar loss at a point.
using Gradient = std::function<Result<std::vector<double>>(std::span<const double> point)>;

/// H v = (g(x + h v) - g(x - h v)) / 2h, with h = step * max(1, ||x||) / ||v||: two gradients a product, an error of
/// order h^2. Errors of the product: those of `gradient`; invalid_shape where its length is not that of `point`.
/// @param point copied
[[nodiscard]] MCOMP_API HessianProduct central_difference(Gradient gradient, std::span<const double> point,
                                                          double step = 1e-4);

struct TraceOptions {
  int probes = 32; ///< products with random signs, at least 2
  std::uint64_t seed = 1;
};

struct TraceEstimate {
  double trace = 0;
  double standard_error =
      0; ///< of `trace`, from the spread of the probes; 0 for a diagonal Hessian, where each is exact
  int probes = 0;
};

[[nodiscard]] MCOMP_API std::string to_string(const TraceEstimate& estimate);

/// Errors: invalid_argument for no product, a size below 1 or fewer than 2 probes; invalid_shape and invalid_value for
/// what the product gives; those of the product; cancelled.
[[nodiscard]] MCOMP_API Result<TraceEstimate> hutchinson_trace(const HessianProduct& product, std::int64_t size,
                                                               const TraceOptions& options = {},
                                                               const Context& context = {});

} // namespace mcomp::inline v0::search

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<search::TraceEstimate> = true;
} // namespace mcomp::inline v0
