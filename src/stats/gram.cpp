#include "mcomp/stats/gram.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/matrix_product.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr std::int64_t block_samples = 1024;
constexpr std::int64_t strip = 256; // rows and columns of the part of the matrix that one task works on
constexpr std::int64_t square = 64; // the same where work is copying

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

} // namespace

Gram::Gram(std::int64_t features) : features_(std::max<std::int64_t>(features, 0)) {
  sum_.assign(index(features_ * features_), 0.0);
  total_.assign(index(features_), 0.0);
}

void Gram::add_block(const float* samples, std::int64_t count, Executor& executor) {
  const std::int64_t n = features_, strips = (n + strip - 1) / strip;
  executor.run(index(strips * (strips + 1) / 2), [&](std::size_t task) {
    std::int64_t j = 0, i = static_cast<std::int64_t>(task); // tile (i, j) with i <= j
    while (i > j) i -= ++j;
    const std::int64_t row = i * strip, column = j * strip;
    const std::int64_t rows = std::min(strip, n - row), columns = std::min(strip, n - column);
    const auto tile = std::make_unique<float[]>(index(rows * columns));
    mcomp::detail::add_product({.rows = rows,
                                .columns = columns,
                                .depth = count,
                                .a = samples + row,
                                .a_stride = n,
                                .b = samples + column,
                                .b_stride = n,
                                .c = tile.get(),
                                .c_stride = columns});
    for (std::int64_t r = 0; r < rows; ++r) {
      double* to = sum_.data() + (row + r) * n + column;
      const float* from = tile.get() + r * columns;
      for (std::int64_t c = 0; c < columns; ++c) to[c] += static_cast<double>(from[c]);
    }
    if (i != j) return;
    for (std::int64_t k = 0; k < count; ++k)
      for (std::int64_t c = 0; c < columns; ++c)
        total_[index(column + c)] += static_cast<double>(samples[k * n + column + c]);
  });
}

Status Gram::update(const TensorView& samples, const Context& context) {
  MCOMP_CHECK(require(samples, "samples", DType::f32, 2));
  if (features_ == 0 || samples.size(1) != features_)
    return Error(ErrorCode::invalid_shape, "samples",
                 fmt::format("shape {}, {} features are needed", samples.shape(), features_),
                 "pass [samples, features] with the features that the Gram matrix was made for, at least one");
  Tensor contiguous;
  if (!samples.contiguous()) {
    MCOMP_TRY(copy, Tensor::copy_of(samples));
    contiguous = std::move(copy);
  }
  const auto* x = static_cast<const float*>(samples.contiguous() ? samples.data() : contiguous.data());
  const std::int64_t rows = samples.size(0), n = features_;
  for (std::int64_t i = 0; i < rows * n; ++i)
    if (!std::isfinite(x[i]))
      return Error(ErrorCode::invalid_value, "samples", fmt::format("element {} is {}", i, x[i]),
                   "remove samples with NaN and infinite values first");
  Executor& executor = context.executor_or_serial();
  for (std::int64_t done = 0; done < rows;) {
    if (buffered_ == 0 && rows - done >= block_samples) {
      add_block(x + done * n, block_samples, executor);
      done += block_samples;
      continue;
    }
    const std::int64_t take = std::min(block_samples - buffered_, rows - done);
    buffer_.resize(index(block_samples * n));
    std::copy_n(x + done * n, take * n, buffer_.data() + buffered_ * n);
    done += take;
    buffered_ += take;
    if (buffered_ < block_samples) break;
    add_block(buffer_.data(), block_samples, executor);
    buffered_ = 0;
  }
  count_ += rows;
  return {};
}

Tensor Gram::unfinished_block(Executor& executor) const {
  Tensor tail = Tensor::zeros(DType::f32, {features_, features_}).value();
  mcomp::detail::add_self_product(features_, buffered_, buffer_.data(), features_, tail.mutable_values<float>().data(),
                                  features_, 1, executor);
  return tail;
}

Status Gram::merge(const Gram& other) {
  if (other.features_ != features_)
    return Error(ErrorCode::invalid_shape, "Gram matrix",
                 fmt::format("{} features cannot be added to {}", other.features_, features_),
                 "merge streams of the same layer");
  if (buffered_ > 0) {
    add_block(buffer_.data(), buffered_, serial_executor());
    buffered_ = 0;
  }
  for (std::size_t i = 0; i < sum_.size(); ++i) sum_[i] += other.sum_[i];
  for (std::size_t i = 0; i < total_.size(); ++i) total_[i] += other.total_[i];
  if (other.buffered_ > 0) add_block(other.buffer_.data(), other.buffered_, serial_executor());
  count_ += other.count_;
  return {};
}

Tensor Gram::second_moment() const {
  const std::int64_t n = features_;
  const Tensor tail = unfinished_block(serial_executor());
  const auto* t = static_cast<const float*>(tail.data());
  Tensor result = Tensor::zeros(DType::f64, {n, n}).value();
  auto out = result.mutable_values<double>();
  const double scale = count_ == 0 ? 0 : 1 / static_cast<double>(count_);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i; j < n; ++j)
      out[index(i * n + j)] = out[index(j * n + i)] =
          (sum_[index(i * n + j)] + static_cast<double>(t[j * n + i])) * scale;
  return result;
}

Tensor Gram::second_moment_f32(const Context& context) const {
  const std::int64_t n = features_;
  Executor& executor = context.executor_or_serial();
  Tensor result = unfinished_block(executor); // and then the whole, in place
  float* out = static_cast<float*>(result.data());
  const double scale = count_ == 0 ? 0 : 1 / static_cast<double>(count_);
  // In squares, so that both the row read and the column written stay in the cache. A pair of elements belongs to the
  // task of the smaller index.
  executor.run(index((n + square - 1) / square), [&](std::size_t task) {
    const std::int64_t ib = static_cast<std::int64_t>(task) * square;
    for (std::int64_t jb = ib; jb < n; jb += square)
      for (std::int64_t i = ib; i < std::min(n, ib + square); ++i)
        for (std::int64_t j = std::max(i, jb); j < std::min(n, jb + square); ++j)
          out[i * n + j] = out[j * n + i] =
              static_cast<float>((sum_[index(i * n + j)] + static_cast<double>(out[j * n + i])) * scale);
  });
  return result;
}

std::vector<double> Gram::diagonal() const {
  std::vector<double> result(index(features_), 0.0);
  for (std::int64_t i = 0; i < features_; ++i) {
    double sum = sum_[index(i * features_ + i)];
    for (std::int64_t k = 0; k < buffered_; ++k) {
      const double x = static_cast<double>(buffer_[index(k * features_ + i)]);
      sum += x * x;
    }
    result[index(i)] = count_ == 0 ? 0 : sum / static_cast<double>(count_);
  }
  return result;
}

std::vector<double> Gram::mean() const {
  std::vector<double> result = total_;
  for (std::int64_t k = 0; k < buffered_; ++k)
    for (std::int64_t i = 0; i < features_; ++i)
      result[index(i)] += static_cast<double>(buffer_[index(k * features_ + i)]);
  if (count_ > 0)
    for (double& m : result) m /= static_cast<double>(count_);
  return result;
}

} // namespace mcomp::inline v0::stats
