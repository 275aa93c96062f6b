#include "mcomp/calibrate/softmax.hpp"

#include <atomic>
#include <limits>
#include <vector>

#include "calibrate/labelled_rows.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

/// False where the row is invalid. `scratch` has room for the row.
template <class T>
bool softmax_row(const T* logits, std::size_t classes, double temperature, double* scratch, T* probabilities) {
  const detail::RowRange range = detail::row_kernels<T>().range(logits, classes);
  if (!range.valid) return false;
  detail::exponentials_at(temperature, logits, classes, range.maximum, scratch);
  double sum = 0;
  for (std::size_t j = 0; j < classes; ++j) sum += scratch[j];
  for (std::size_t j = 0; j < classes; ++j) probabilities[j] = static_cast<T>(scratch[j] / sum);
  return true;
}

template <class T> Status softmax_span(std::span<const T> logits, double temperature, std::span<T> probabilities) {
  if (logits.empty() || logits.size() != probabilities.size())
    return Error(ErrorCode::invalid_shape, "logits",
                 fmt::format("{} logits and room for {} probabilities: the numbers must agree and be at least 1",
                             logits.size(), probabilities.size()),
                 "pass spans of one row");
  MCOMP_CHECK(detail::check_temperature(temperature));
  std::vector<double> scratch(logits.size());
  if (!softmax_row(logits.data(), logits.size(), temperature, scratch.data(), probabilities.data()))
    return detail::invalid_row("logits", 0);
  return {};
}

template <class T> Result<Tensor> softmax_rows(const TensorView& logits, double temperature, Executor* executor) {
  MCOMP_TRY(values, logits.values<T>("logits"));
  MCOMP_TRY(result, Tensor::uninitialized(logits.dtype(), logits.shape()));
  const auto rows = static_cast<std::size_t>(logits.size(0)), classes = static_cast<std::size_t>(logits.size(1));
  T* out = result.template mutable_values<T>().data();
  std::atomic<std::size_t> first_invalid{rows};
  detail::for_each_row_block(executor, rows, [&](std::size_t, std::size_t first, std::size_t last) {
    std::vector<double> scratch(classes);
    for (std::size_t i = first; i < last; ++i) {
      if (softmax_row(values.data() + i * classes, classes, temperature, scratch.data(), out + i * classes)) continue;
      std::size_t known = first_invalid;
      while (i < known && !first_invalid.compare_exchange_weak(known, i)) {
      }
      return;
    }
  });
  if (first_invalid < rows) return detail::invalid_row("logits", first_invalid);
  return std::move(result);
}

} // namespace

Status softmax_into(std::span<const float> logits, double temperature, std::span<float> probabilities) {
  return softmax_span(logits, temperature, probabilities);
}
Status softmax_into(std::span<const double> logits, double temperature, std::span<double> probabilities) {
  return softmax_span(logits, temperature, probabilities);
}

Result<Tensor> softmax(const TensorView& logits, double temperature, Executor* executor) {
  MCOMP_CHECK(detail::check_temperature(temperature));
  if (logits.rank() == 2 && logits.size(0) == 0 && is_floating(logits.dtype()))
    return Tensor::zeros(logits.dtype(), logits.shape());
  MCOMP_CHECK(detail::check_rows(logits, "logits"));
  return logits.dtype() == DType::f32 ? softmax_rows<float>(logits, temperature, executor)
                                      : softmax_rows<double>(logits, temperature, executor);
}

} // namespace mcomp::inline v0::calibrate
