#include "mcomp/stats/distance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/distributions.hpp"

namespace mcomp::inline v0::stats {

namespace {

Result<double> checked_sum(std::span<const double> values, const char* subject) {
  double sum = 0;
  for (const double x : values) {
    if (!(x >= 0 && x <= std::numeric_limits<double>::max()))
      return Error(ErrorCode::invalid_value, subject, fmt::format("it holds {}", x), "pass counts or shares, >= 0");
    sum += x;
  }
  if (!(sum > 0 && sum <= std::numeric_limits<double>::max()))
    return Error(ErrorCode::invalid_value, subject, fmt::format("its sum is {}", sum), "pass counts of something");
  return sum;
}

struct Sums {
  double p = 1, q = 1;
};
Result<Sums> checked(std::span<const double> p, std::span<const double> q) {
  if (p.size() != q.size())
    return Error(ErrorCode::invalid_shape, "q", fmt::format("{} bins here and {} there", p.size(), q.size()),
                 "count both in the same bins");
  MCOMP_TRY(sum_p, checked_sum(p, "p"));
  MCOMP_TRY(sum_q, checked_sum(q, "q"));
  return Sums{sum_p, sum_q};
}

/// Adds up a term of the shares of each bin.
template <class Term> Result<double> over_bins(std::span<const double> p, std::span<const double> q, const Term& term) {
  MCOMP_TRY(sums, checked(p, q));
  double total = 0;
  for (std::size_t i = 0; i < p.size(); ++i) total += term(p[i] / sums.p, q[i] / sums.q);
  return total;
}

/// p ln(p / q), 0 where p is.
double relative_entropy(double p, double q) {
  return p == 0 ? 0 : p * std::log(p / q);
}

Result<std::vector<double>> sorted(std::span<const double> values, const char* subject) {
  if (values.empty()) return Error(ErrorCode::insufficient_data, subject, "it is empty", "pass at least one value");
  for (const double x : values)
    if (!std::isfinite(x))
      return Error(ErrorCode::invalid_value, subject, fmt::format("it holds {}", x), "leave such values out");
  std::vector<double> result(values.begin(), values.end());
  std::sort(result.begin(), result.end());
  return result;
}

} // namespace

Result<double> population_stability_index(std::span<const double> p, std::span<const double> q, double floor) {
  if (!(floor > 0 && floor <= 0.1))
    return Error(ErrorCode::invalid_argument, "floor", fmt::format("{} is not within (0, 0.1]", floor), "pass 1e-4");
  return over_bins(p, q, [floor](double a, double b) {
    a = std::max(a, floor);
    b = std::max(b, floor);
    return (b - a) * std::log(b / a);
  });
}

Result<double> kl_divergence(std::span<const double> p, std::span<const double> q) {
  MCOMP_TRY(sum, over_bins(p, q, relative_entropy));
  return std::max(sum, 0.0); // rounding
}

Result<double> jensen_shannon_divergence(std::span<const double> p, std::span<const double> q) {
  MCOMP_TRY(nats, over_bins(p, q, [](double a, double b) {
              const double middle = 0.5 * (a + b);
              return 0.5 * (relative_entropy(a, middle) + relative_entropy(b, middle));
            }));
  return std::clamp(nats / std::log(2.0), 0.0, 1.0);
}

Result<double> jensen_shannon_distance(std::span<const double> p, std::span<const double> q) {
  MCOMP_TRY(bits, jensen_shannon_divergence(p, q));
  return std::sqrt(bits);
}

Result<double> hellinger_distance(std::span<const double> p, std::span<const double> q) {
  // Half of the squared differences of roots, which is the same without cancellation.
  MCOMP_TRY(sum, over_bins(p, q, [](double a, double b) {
              const double d = std::sqrt(a) - std::sqrt(b);
              return 0.5 * d * d;
            }));
  return std::sqrt(std::min(sum, 1.0));
}

Result<double> total_variation_distance(std::span<const double> p, std::span<const double> q) {
  return over_bins(p, q, [](double a, double b) { return 0.5 * std::abs(a - b); });
}

Result<double> largest_share_difference(std::span<const double> p, std::span<const double> q) {
  double largest = 0;
  MCOMP_TRY(unused, over_bins(p, q, [&](double a, double b) {
              largest = std::max(largest, std::abs(a - b));
              return 0.0;
            }));
  static_cast<void>(unused);
  return largest;
}

namespace {

/// A statistic that is a sum over bins of a term of observed and expected counts.
template <class Term>
Result<ShiftTest> fit(std::span<const double> observed, std::span<const double> expected, const Term& term) {
  MCOMP_TRY(sums, checked(observed, expected));
  ShiftTest test;
  for (std::size_t i = 0; i < observed.size(); ++i) {
    if (expected[i] == 0) {
      if (observed[i] > 0)
        return Error(ErrorCode::invalid_value, "expected",
                     fmt::format("none is expected in bin {}, which holds {}", i, observed[i]),
                     "join bins, or compare two samples");
      continue;
    }
    test.distance += term(observed[i], expected[i] / sums.q * sums.p);
    test.degrees_of_freedom += 1;
  }
  test.degrees_of_freedom -= 1;
  if (test.degrees_of_freedom < 1)
    return Error(ErrorCode::insufficient_data, "expected", "there is but one bin", "count in at least two");
  test.distance = std::max(test.distance, 0.0);
  test.p_value = chi_squared_tail(test.distance, test.degrees_of_freedom);
  return test;
}

} // namespace

Result<ShiftTest> chi_squared_fit(std::span<const double> observed, std::span<const double> expected) {
  return fit(observed, expected, [](double o, double e) { return (o - e) * (o - e) / e; });
}

Result<ShiftTest> g_fit(std::span<const double> observed, std::span<const double> expected) {
  return fit(observed, expected, [](double o, double e) { return 2 * relative_entropy(o, e); });
}

Result<ShiftTest> chi_squared_two_samples(std::span<const double> a, std::span<const double> b) {
  MCOMP_TRY(sums, checked(a, b));
  ShiftTest test;
  const double all = sums.p + sums.q;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double both = a[i] + b[i];
    if (both == 0) continue;
    const double expected_a = both * (sums.p / all), expected_b = both * (sums.q / all), d = a[i] - expected_a;
    test.distance += d * d / expected_a + d * d / expected_b; // deviations of the rows are opposite
    test.degrees_of_freedom += 1;
  }
  test.degrees_of_freedom -= 1;
  if (test.degrees_of_freedom < 1)
    return Error(ErrorCode::insufficient_data, "a", "there is but one bin that is not empty", "count in at least two");
  test.p_value = chi_squared_tail(test.distance, test.degrees_of_freedom);
  return test;
}

namespace {

/// Calls step(width, F - G) for each stretch between neighbouring values of the pooled sample.
template <class Step> void along(const std::vector<double>& a, const std::vector<double>& b, const Step& step) {
  const auto n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    const double x = j == b.size() || (i < a.size() && a[i] <= b[j]) ? a[i] : b[j];
    while (i < a.size() && a[i] == x) ++i;
    while (j < b.size() && b[j] == x) ++j;
    const double next = i < a.size() && (j == b.size() || a[i] < b[j]) ? a[i] : j < b.size() ? b[j] : x;
    step(next - x, static_cast<double>(i) / n - static_cast<double>(j) / m);
  }
}

/// The share of lattice paths from (0, 0) to (n, m) that touch |i / n - j / m| >= d. A path to (i, j) came from
/// (i - 1, j) with probability i / (i + j), as all are equally likely.
double share_of_paths(std::size_t n, std::size_t m, double d) {
  const auto rows = static_cast<double>(n), columns = static_cast<double>(m);
  // In units of 1 / (n m) all positions are whole numbers; half a unit takes up the rounding of d.
  const double limit = d * rows * columns - 0.5;
  std::vector<double> touched(m + 1);
  for (std::size_t i = 0; i <= n; ++i)
    for (std::size_t j = 0; j <= m; ++j) {
      const auto x = static_cast<double>(i), y = static_cast<double>(j);
      if (std::abs(x * columns - y * rows) >= limit)
        touched[j] = 1;
      else if (i + j == 0)
        touched[j] = 0;
      else
        touched[j] = (x * (i > 0 ? touched[j] : 0) + y * (j > 0 ? touched[j - 1] : 0)) / (x + y);
    }
  return touched[m];
}

/// 2 sum over k of (-1)^(k - 1) exp(-2 k^2 x^2).
double kolmogorov_tail(double x) {
  if (x < 0.2) return 1; // 1 - 10^-12 and more
  double sum = 0;
  constexpr int terms = 100;
  for (int k = 1; k <= terms; ++k) {
    const double term = std::exp(-2.0 * k * k * x * x);
    sum += k % 2 == 1 ? term : -term;
    if (term < 1e-18) break;
  }
  return std::clamp(2 * sum, 0.0, 1.0);
}

} // namespace

Result<ShiftTest> kolmogorov_smirnov(std::span<const double> a, std::span<const double> b) {
  MCOMP_TRY(x, sorted(a, "a"));
  MCOMP_TRY(y, sorted(b, "b"));
  ShiftTest test;
  along(x, y, [&](double, double gap) { test.distance = std::max(test.distance, std::abs(gap)); });
  if (test.distance == 0) return test;
  constexpr double most_paths = 1e6;
  const auto n = static_cast<double>(x.size()), m = static_cast<double>(y.size());
  if (n * m <= most_paths) {
    test.p_value = share_of_paths(x.size(), y.size(), test.distance);
  } else {
    const double root = std::sqrt(n / (n + m) * m);
    test.p_value = kolmogorov_tail((root + 0.12 + 0.11 / root) * test.distance);
  }
  return test;
}

Result<double> wasserstein_distance(std::span<const double> a, std::span<const double> b) {
  MCOMP_TRY(x, sorted(a, "a"));
  MCOMP_TRY(y, sorted(b, "b"));
  double area = 0;
  along(x, y, [&](double width, double gap) { area += width * std::abs(gap); });
  return area;
}

namespace {

Result<std::vector<double>> rows_of(const TensorView& view, const char* subject, std::int64_t features) {
  if (view.rank() != 2)
    return Error(ErrorCode::invalid_shape, subject, fmt::format("{} is no [rows, features]", view.shape()),
                 "pass a row for each observation");
  if (view.size(1) < 1 || (features > 0 && view.size(1) != features))
    return Error(ErrorCode::invalid_shape, subject, fmt::format("{} has no or other features", view.shape()),
                 "pass the same features for both");
  if (view.size(0) < 2)
    return Error(ErrorCode::insufficient_data, subject, fmt::format("{} rows", view.size(0)), "pass at least two");
  std::vector<double> rows;
  if (view.dtype() == DType::f32) {
    MCOMP_TRY(values, view.values<float>(subject));
    rows.assign(values.begin(), values.end());
  } else {
    MCOMP_TRY(values, view.values<double>(subject));
    rows.assign(values.begin(), values.end());
  }
  for (const double v : rows)
    if (!std::isfinite(v))
      return Error(ErrorCode::invalid_value, subject, fmt::format("it holds {}", v), "leave such rows out");
  return rows;
}

/// A symmetric kernel matrix without its diagonal, with what permutations share.
struct Kernel {
  std::size_t all = 0;
  std::vector<double> values{}, row_sums{};
  double sum = 0;
};

/// The unbiased estimate with `chosen` as one sample and all others as the other one: only the rows and columns of the
/// chosen, the smaller sample, are looked at.
double squared_mmd(const Kernel& kernel, std::span<const std::size_t> chosen) {
  double within = 0, with_all = 0;
  for (const std::size_t i : chosen) {
    const double* row = kernel.values.data() + i * kernel.all;
    double in_row = 0;
    for (const std::size_t j : chosen) in_row += row[j];
    within += in_row;
    with_all += kernel.row_sums[i];
  }
  const double between = with_all - within, others = kernel.sum - within - 2 * between;
  const auto n = static_cast<double>(chosen.size()), m = static_cast<double>(kernel.all) - n;
  return within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * between / (n * m);
}

} // namespace

Result<MmdTest> maximum_mean_discrepancy(const TensorView& a, const TensorView& b, const MmdOptions& options) {
  constexpr std::int64_t most_rows = 4096, most_permutations = 100'000;
  if (!(options.bandwidth >= 0 && options.bandwidth <= std::numeric_limits<double>::max()))
    return Error(ErrorCode::invalid_argument, "bandwidth", fmt::format("{}", options.bandwidth),
                 "pass a number > 0, or 0 for the median distance");
  if (options.permutations < 0 || options.permutations > most_permutations)
    return Error(ErrorCode::invalid_argument, "permutations", fmt::format("{}", options.permutations),
                 "pass 0 to 100,000");
  MCOMP_TRY(x, rows_of(a, "a", 0));
  const std::int64_t features = a.size(1);
  MCOMP_TRY(y, rows_of(b, "b", features));
  if (a.size(0) + b.size(0) > most_rows)
    return Error(ErrorCode::invalid_shape, "rows",
                 fmt::format("{} and {}, together more than {}", a.size(0), b.size(0), most_rows),
                 "pass random parts of them");
  const auto n = static_cast<std::size_t>(a.size(0)), all = n + static_cast<std::size_t>(b.size(0)),
             d = static_cast<std::size_t>(features);
  x.insert(x.end(), y.begin(), y.end());
  Kernel kernel{.all = all, .values = std::vector<double>(all * all), .row_sums = std::vector<double>(all)};
  std::vector<double> distances;
  distances.reserve(all * (all - 1) / 2);
  for (std::size_t i = 0; i < all; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      double squared = 0;
      for (std::size_t f = 0; f < d; ++f) {
        const double gap = x[i * d + f] - x[j * d + f];
        squared += gap * gap;
      }
      kernel.values[i * all + j] = squared;
      distances.push_back(squared);
    }
  MmdTest test;
  test.bandwidth = options.bandwidth;
  if (options.bandwidth == 0) {
    const auto middle = distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / 2);
    std::nth_element(distances.begin(), middle, distances.end());
    test.bandwidth = std::sqrt(*middle);
    if (!(test.bandwidth > 0)) test.bandwidth = 1; // most rows are equal
  }
  const double scale = -0.5 / test.bandwidth / test.bandwidth;
  for (std::size_t i = 0; i < all; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const double k = std::exp(scale * kernel.values[i * all + j]);
      kernel.values[i * all + j] = k;
      kernel.values[j * all + i] = k;
      kernel.row_sums[i] += k;
      kernel.row_sums[j] += k;
      kernel.sum += 2 * k;
    }
  // The rows of the smaller sample, and then all others.
  std::vector<std::size_t> order(all);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t smaller = std::min(n, all - n);
  if (smaller < n) std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end());
  const std::span<const std::size_t> chosen = std::span(order).first(smaller);
  test.squared = squared_mmd(kernel, chosen);
  if (options.permutations > 0) {
    Random random(options.seed);
    std::int64_t as_large = 0;
    for (std::int64_t k = 0; k < options.permutations; ++k) {
      random.shuffle(std::span(order));
      if (squared_mmd(kernel, chosen) >= test.squared) ++as_large;
    }
    test.p_value = static_cast<double>(1 + as_large) / static_cast<double>(1 + options.permutations);
  }
  return test;
}

} // namespace mcomp::inline v0::stats
