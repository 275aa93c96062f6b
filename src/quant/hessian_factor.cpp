#include "quant/hessian_factor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/matrix_product.hpp"

namespace mcomp::inline v0::quant::detail {

namespace {

constexpr std::int64_t block = 128, strip = 256;

/// Factors in place the lower triangle of M = T^T T, T lower triangular, from the last block to the first, since R =
/// T^T gives M = R R^T. False where a pivot is not clearly positive.
class Factorization {
 public:
  Factorization(float* m, std::int64_t n, Executor& executor) : m_(m), n_(n), executor_(executor) {}

  [[nodiscard]] bool run() {
    for (std::int64_t end = n_; end > 0;) {
      const std::int64_t begin = (end - 1) / block * block;
      if (!factor_diagonal(begin, end)) return false;
      if (begin > 0) {
        solve_rows(begin, end);
        mcomp::detail::add_self_product(begin, end - begin, row(begin), n_, m_, n_, -1, executor_);
      }
      end = begin;
    }
    return true;
  }

 private:
  [[nodiscard]] float* row(std::int64_t i) const { return m_ + i * n_; }

  bool factor_diagonal(std::int64_t begin, std::int64_t end) {
    const std::int64_t size = end - begin;
    std::vector<double> t(static_cast<std::size_t>(size * size));
    const auto at = [&](std::int64_t k, std::int64_t i) -> double& {
      return t[static_cast<std::size_t>(k * size + i)];
    };
    for (std::int64_t k = 0; k < size; ++k)
      for (std::int64_t i = 0; i <= k; ++i) at(k, i) = static_cast<double>(row(begin + k)[begin + i]);
    for (std::int64_t k = size - 1; k >= 0; --k) {
      const double pivot = at(k, k);
      if (!(pivot > least_pivot)) return false;
      const double root = std::sqrt(pivot);
      for (std::int64_t i = 0; i <= k; ++i) at(k, i) /= root;
      for (std::int64_t j = 0; j < k; ++j) // M_ji -= T_kj T_ki
        for (std::int64_t i = 0; i <= j; ++i) at(j, i) -= at(k, j) * at(k, i);
    }
    inverse_.assign(static_cast<std::size_t>(size * size), 0.0f);
    std::vector<double> column(static_cast<std::size_t>(size));
    for (std::int64_t c = 0; c < size; ++c) // T X = 1, column by column
      for (std::int64_t k = c; k < size; ++k) {
        double sum = k == c ? 1 : 0;
        for (std::int64_t i = c; i < k; ++i) sum -= at(k, i) * column[static_cast<std::size_t>(i)];
        column[static_cast<std::size_t>(k)] = sum / at(k, k);
        inverse_[static_cast<std::size_t>(k * size + c)] = static_cast<float>(column[static_cast<std::size_t>(k)]);
      }
    for (std::int64_t k = 0; k < size; ++k)
      for (std::int64_t i = 0; i <= k; ++i) row(begin + k)[begin + i] = static_cast<float>(at(k, i));
    return true;
  }

  /// T_{J,i} = T_JJ^-T M_{J,i} for all columns i before the block.
  void solve_rows(std::int64_t begin, std::int64_t end) {
    const std::int64_t size = end - begin;
    executor_.run(static_cast<std::size_t>((begin + strip - 1) / strip), [&](std::size_t task) {
      const std::int64_t first = static_cast<std::int64_t>(task) * strip, columns = std::min(strip, begin - first);
      std::vector<float> source(static_cast<std::size_t>(size * columns));
      for (std::int64_t k = 0; k < size; ++k) {
        float* from = row(begin + k) + first;
        std::copy_n(from, columns, source.data() + k * columns);
        std::fill_n(from, columns, 0.0f);
      }
      mcomp::detail::add_product({.rows = size,
                                  .columns = columns,
                                  .depth = size,
                                  .a = inverse_.data(),
                                  .a_stride = size,
                                  .b = source.data(),
                                  .b_stride = columns,
                                  .c = row(begin) + first,
                                  .c_stride = n_});
    });
  }

  /// The diagonal is near 1; below this a pivot is rounding noise of f32.
  static constexpr double least_pivot = 1e-6;

  float* m_;
  std::int64_t n_;
  Executor& executor_;
  std::vector<float> inverse_; ///< of the current diagonal block
};

/// m = H / unit with rows and columns in order, dead columns with a diagonal of 1, damping on the diagonal; the lower
/// triangle.
void fill(float* m, const float* h, const std::vector<std::int32_t>& order, double unit, double damping,
          Executor& executor) {
  const auto n = static_cast<std::int64_t>(order.size());
  const double inverse = 1 / unit;
  executor.run(static_cast<std::size_t>((n + strip - 1) / strip), [&](std::size_t task) {
    const std::int64_t begin = static_cast<std::int64_t>(task) * strip, end = std::min(n, begin + strip);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t source = order[static_cast<std::size_t>(i)];
      const float* from = h + source * n;
      float* to = m + i * n;
      for (std::int64_t j = 0; j <= i; ++j)
        to[j] = static_cast<float>(static_cast<double>(from[order[static_cast<std::size_t>(j)]]) * inverse);
      const double diagonal = static_cast<double>(from[source]) * inverse;
      to[i] = static_cast<float>((diagonal > 0 ? diagonal : 1) + damping);
    }
  });
}

/// The transposed of the lower triangle into the upper one.
void mirror(float* m, std::int64_t n, Executor& executor) {
  constexpr std::int64_t side = 64;
  executor.run(static_cast<std::size_t>((n + side - 1) / side), [&](std::size_t task) {
    const std::int64_t ib = static_cast<std::int64_t>(task) * side;
    for (std::int64_t jb = ib; jb < n; jb += side)
      for (std::int64_t i = ib; i < std::min(n, ib + side); ++i)
        for (std::int64_t j = std::max(jb, i + 1); j < std::min(n, jb + side); ++j) m[i * n + j] = m[j * n + i];
  });
}

} // namespace

HessianFactor factor_hessian(Tensor h, std::vector<std::int32_t> order, double damping, Executor& executor) {
  const auto n = static_cast<std::int64_t>(order.size());
  const auto* source = static_cast<const float*>(h.data());
  HessianFactor factor;
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const float diagonal = source[i * n + i];
    sum += static_cast<double>(std::max(diagonal, 0.0f));
    factor.dead += !(diagonal > 0);
  }
  const std::int64_t live = n - factor.dead;
  factor.unit =
      live == 0 ? 1 : std::max(sum / static_cast<double>(live), static_cast<double>(std::numeric_limits<float>::min()));
  factor.r = Tensor::uninitialized(DType::f32, {n, n}).value();
  auto* m = factor.r.mutable_values<float>().data();
  for (factor.damping = damping;; factor.damping = std::max(factor.damping * 10, 1e-6), ++factor.attempts) {
    fill(m, source, order, factor.unit, factor.damping, executor);
    if (Factorization(m, n, executor).run()) break;
  }
  h = Tensor();
  mirror(m, n, executor);
  factor.order = std::move(order);
  return factor;
}

} // namespace mcomp::inline v0::quant::detail
