#include "mcomp/stats/cross_moment.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/matrix_product.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr std::int64_t block_samples = 1024;
constexpr std::int64_t strip = 256; // rows and columns of the part that one task works on

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// The samples of one side, contiguous and checked.
Result<TensorView> samples_of(const TensorView& samples, const char* name, std::int64_t features, Tensor& copy) {
  MCOMP_CHECK(require(samples, name, DType::f32, 2));
  if (features < 1 || samples.size(1) != features)
    return Error(ErrorCode::invalid_shape, name,
                 fmt::format("shape {}, {} features are needed", samples.shape(), features),
                 "pass [samples, features] with the features that the moment was made for, at least one");
  TensorView result = samples;
  if (!samples.contiguous()) {
    MCOMP_TRY(contiguous, Tensor::copy_of(samples));
    copy = std::move(contiguous);
    result = copy;
  }
  const auto* x = static_cast<const float*>(result.data());
  for (std::int64_t i = 0; i < result.elements(); ++i)
    if (!std::isfinite(x[i]))
      return Error(ErrorCode::invalid_value, name, fmt::format("element {} is {}", i, x[i]),
                   "remove samples with NaN and infinite values first");
  return result;
}

} // namespace

CrossMoment::CrossMoment(std::int64_t left, std::int64_t right)
    : left_(std::max<std::int64_t>(left, 0)), right_(std::max<std::int64_t>(right, 0)) {
  sum_.assign(index(left_ * right_), 0.0);
}

void CrossMoment::add_block(const float* a, const float* b, std::int64_t count, std::vector<double>& sum,
                            Executor& executor) const {
  const std::int64_t across = (right_ + strip - 1) / strip;
  executor.run(index((left_ + strip - 1) / strip * across), [&](std::size_t task) {
    const std::int64_t row = static_cast<std::int64_t>(task) / across * strip,
                       column = static_cast<std::int64_t>(task) % across * strip;
    const std::int64_t rows = std::min(strip, left_ - row), columns = std::min(strip, right_ - column);
    const auto tile = std::make_unique<float[]>(index(rows * columns));
    mcomp::detail::add_product({.rows = rows,
                                .columns = columns,
                                .depth = count,
                                .a = a + row,
                                .a_stride = left_,
                                .b = b + column,
                                .b_stride = right_,
                                .c = tile.get(),
                                .c_stride = columns});
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        sum[index((row + r) * right_ + column + c)] += static_cast<double>(tile[index(r * columns + c)]);
  });
}

Status CrossMoment::update(const TensorView& a, const TensorView& b, const Context& context) {
  Tensor a_copy, b_copy;
  MCOMP_TRY(left, samples_of(a, "left samples", left_, a_copy));
  MCOMP_TRY(right, samples_of(b, "right samples", right_, b_copy));
  if (left.size(0) != right.size(0))
    return Error(ErrorCode::invalid_shape, "samples",
                 fmt::format("{} on the left and {} on the right", left.size(0), right.size(0)),
                 "pass pairs: as many rows on both sides");
  const auto *x = static_cast<const float*>(left.data()), *y = static_cast<const float*>(right.data());
  const std::int64_t rows = left.size(0);
  for (std::int64_t done = 0; done < rows;) {
    const auto buffered = static_cast<std::int64_t>(a_.size()) / left_;
    const std::int64_t take = std::min(block_samples - buffered, rows - done);
    a_.insert(a_.end(), x + done * left_, x + (done + take) * left_);
    b_.insert(b_.end(), y + done * right_, y + (done + take) * right_);
    done += take;
    if (buffered + take < block_samples) break;
    add_block(a_.data(), b_.data(), block_samples, sum_, context.executor_or_serial());
    a_.clear(), b_.clear();
  }
  count_ += rows;
  return {};
}

Tensor CrossMoment::mean() const {
  std::vector<double> sum = sum_;
  if (!a_.empty())
    add_block(a_.data(), b_.data(), static_cast<std::int64_t>(a_.size()) / left_, sum, serial_executor());
  Tensor result = Tensor::zeros(DType::f64, {left_, right_}).value();
  auto out = result.mutable_values<double>();
  if (count_ > 0)
    for (std::size_t i = 0; i < sum.size(); ++i) out[i] = sum[i] / static_cast<double>(count_);
  return result;
}

} // namespace mcomp::inline v0::stats
