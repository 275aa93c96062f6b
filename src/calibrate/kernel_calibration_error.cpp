#include "mcomp/calibrate/kernel_calibration_error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "calibrate/labelled_rows.hpp"
#include "calibrate/probability_rows.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"

namespace mcomp::inline v0::calibrate {

std::string to_string(const KernelError& error) {
  return fmt::format("kernel calibration error {:.3e} (standard error {:.1e}, p = {:.3g}) of {} rows in {} blocks",
                     error.value, error.standard_error, error.p_value, error.count, error.blocks);
}

Result<KernelError> kernel_calibration_error(const TensorView& probabilities, const TensorView& labels,
                                             const KernelErrorOptions& options) {
  if (options.block_size < 0 || options.block_size == 1)
    return Error(ErrorCode::invalid_argument, "block_size", fmt::format("it is {}", options.block_size),
                 "take at least 2, or 0 for all pairs");
  if (!(options.bandwidth >= 0 && std::isfinite(options.bandwidth)))
    return Error(ErrorCode::invalid_argument, "bandwidth", fmt::format("it is {}", options.bandwidth),
                 "take 0 for the median");
  MCOMP_TRY(p, detail::read_probability_rows(probabilities));
  const auto rows = static_cast<std::size_t>(probabilities.size(0)),
             K = static_cast<std::size_t>(probabilities.size(1));
  MCOMP_TRY(label, detail::read_labels(labels, rows, K));
  if (rows < 2)
    return Error(ErrorCode::insufficient_data, "probabilities", "a pair of rows is needed", "pass more rows");
  const auto distance = [&](std::size_t i, std::size_t j) {
    double sum = 0;
    for (std::size_t k = 0; k < K; ++k) {
      const double d = p[i * K + k] - p[j * K + k];
      sum += d * d;
    }
    return std::sqrt(sum);
  };
  KernelError error{.bandwidth = options.bandwidth};
  if (error.bandwidth == 0) {
    std::vector<double> distances;
    for (std::size_t i = 0; i + 1 < rows && distances.size() < 1000; ++i) distances.push_back(distance(i, i + 1));
    const auto middle = distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / 2);
    std::nth_element(distances.begin(), middle, distances.end());
    error.bandwidth = *middle > 0 ? *middle : 1;
  }
  const std::size_t size =
      options.block_size == 0 ? rows : std::min(rows, static_cast<std::size_t>(options.block_size));
  const std::size_t blocks = rows / size;
  // One task a row of a block, so that a single block is shared out too; sums stay in order.
  std::vector<double> sums(blocks * size);
  (options.executor ? *options.executor : serial_executor()).run(sums.size(), [&](std::size_t i) {
    const std::size_t end = (i / size + 1) * size;
    double sum = 0;
    for (std::size_t j = i + 1; j < end; ++j) {
      double product = 0; // (e_yi - p_i)^T (e_yj - p_j)
      for (std::size_t k = 0; k < K; ++k) product += p[i * K + k] * p[j * K + k];
      product += (label[i] == label[j] ? 1 : 0) - p[i * K + label[j]] - p[j * K + label[i]];
      sum += std::exp(-distance(i, j) / error.bandwidth) * product;
    }
    sums[i] = sum;
  });
  const double pairs = static_cast<double>(size) * static_cast<double>(size - 1) / 2, m = static_cast<double>(blocks);
  std::vector<double> means(blocks);
  for (std::size_t i = 0; i < sums.size(); ++i) means[i / size] += sums[i] / pairs;
  for (const double mean : means) error.value += mean / m;
  double squares = 0;
  for (const double mean : means) squares += (mean - error.value) * (mean - error.value);
  error.blocks = static_cast<std::int64_t>(blocks);
  error.count = static_cast<std::int64_t>(blocks * size);
  error.standard_error = blocks > 1 ? std::sqrt(squares / (m - 1) / m) : std::numeric_limits<double>::quiet_NaN();
  if (error.standard_error == 0)
    error.p_value = error.value > 0 ? 0 : 1;
  else
    error.p_value = stats::normal_cdf(-error.value / error.standard_error);
  return error;
}

} // namespace mcomp::inline v0::calibrate
