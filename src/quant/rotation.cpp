#include "mcomp/quant/rotation.hpp"

#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::quant {

namespace {

/// Orthogonal rows by Gram-Schmidt, twice for full accuracy, on normal numbers.
std::vector<double> random_orthogonal(std::int64_t n, Random& random) {
  std::vector<double> q(static_cast<std::size_t>(n * n));
  for (double& x : q) x = random.normal();
  for (std::int64_t i = 0; i < n; ++i) {
    double* row = q.data() + i * n;
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t j = 0; j < i; ++j) {
        const double* other = q.data() + j * n;
        double dot = 0;
        for (std::int64_t k = 0; k < n; ++k) dot += row[k] * other[k];
        for (std::int64_t k = 0; k < n; ++k) row[k] -= dot * other[k];
      }
    double square = 0;
    for (std::int64_t k = 0; k < n; ++k) square += row[k] * row[k];
    for (std::int64_t k = 0; k < n; ++k) row[k] /= std::sqrt(square);
  }
  return q;
}

} // namespace

Result<Rotation> Rotation::random(std::int64_t size, std::uint64_t seed) {
  constexpr std::int64_t largest_odd = 4096;
  std::int64_t odd = size;
  while (odd > 0 && odd % 2 == 0) odd /= 2;
  if (size < 1 || odd > largest_odd)
    return Error(ErrorCode::invalid_argument, "rotation", fmt::format("size {} with the odd part {}", size, odd),
                 fmt::format("use a positive size whose odd part is at most {}", largest_odd));
  Random random(seed);
  Rotation rotation;
  for (std::int64_t i = 0; i < size; ++i) rotation.signs_.push_back(random.next() % 2 == 0 ? 1.0f : -1.0f);
  rotation.odd_ = odd;
  rotation.orthogonal_ = odd == 1 ? std::vector<double>{1} : random_orthogonal(odd, random);
  return rotation;
}

void Rotation::rotate(const float* x, double* scratch, float* y) const {
  const std::int64_t n = size(), power = n / odd_;
  for (std::int64_t i = 0; i < n; ++i)
    scratch[i] = static_cast<double>(x[i]) * static_cast<double>(signs_[static_cast<std::size_t>(i)]);
  // Fast Walsh-Hadamard transform over the first factor of the index, [power, odd].
  for (std::int64_t half = 1; half < power; half *= 2)
    for (std::int64_t i = 0; i < power; i += 2 * half)
      for (std::int64_t j = i * odd_; j < (i + half) * odd_; ++j) {
        const double a = scratch[j], b = scratch[j + half * odd_];
        scratch[j] = a + b;
        scratch[j + half * odd_] = a - b;
      }
  const double scale = 1 / std::sqrt(static_cast<double>(power));
  for (std::int64_t i = 0; i < power; ++i)
    for (std::int64_t c = 0; c < odd_; ++c) {
      double sum = 0;
      for (std::int64_t k = 0; k < odd_; ++k)
        sum += scratch[i * odd_ + k] * orthogonal_[static_cast<std::size_t>(k * odd_ + c)];
      y[i * odd_ + c] = static_cast<float>(sum * scale);
    }
}

Result<Tensor> Rotation::rotate_columns(const TensorView& x) const {
  const std::int64_t n = size();
  if (x.rank() == 0 || x.size(x.rank() - 1) != n)
    return Error(ErrorCode::invalid_shape, "tensor", fmt::format("shape {} does not end in {}", x.shape(), n),
                 "pass rows of the rotation's size");
  MCOMP_TRY(from, x.values<float>("tensor"));
  MCOMP_TRY(result, Tensor::uninitialized(DType::f32, x.shape()));
  float* to = static_cast<float*>(result.data());
  std::vector<double> scratch(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < x.elements(); i += n) rotate(from.data() + i, scratch.data(), to + i);
  return std::move(result);
}

Result<Tensor> Rotation::rotate_rows(const TensorView& weight) const {
  const std::int64_t n = size();
  if (weight.rank() == 0 || weight.size(0) != n)
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("shape {} does not begin with {}", weight.shape(), n),
                 "pass the weight or bias of a layer with as many outputs as the rotation's size");
  MCOMP_TRY(from, weight.values<float>("weight"));
  MCOMP_TRY(result, Tensor::uninitialized(DType::f32, weight.shape()));
  float* to = static_cast<float*>(result.data());
  const std::int64_t columns = weight.elements() / n;
  // (R^T W)^T = W^T R: every column of W is a row to rotate.
  std::vector<float> column(static_cast<std::size_t>(n)), rotated(column);
  std::vector<double> scratch(static_cast<std::size_t>(n));
  for (std::int64_t c = 0; c < columns; ++c) {
    for (std::int64_t r = 0; r < n; ++r)
      column[static_cast<std::size_t>(r)] = from[static_cast<std::size_t>(r * columns + c)];
    rotate(column.data(), scratch.data(), rotated.data());
    for (std::int64_t r = 0; r < n; ++r) to[r * columns + c] = rotated[static_cast<std::size_t>(r)];
  }
  return std::move(result);
}

} // namespace mcomp::inline v0::quant
