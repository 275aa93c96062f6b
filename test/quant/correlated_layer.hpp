#pragma once

#include <vector>

#include "data.hpp"
#include "mcomp/core/eigen.hpp"
#include "mcomp/stats/gram.hpp"
#include "random_network.hpp"

namespace mcomp_test {

using Matrix = mcomp::RowMajorMatrix<double>;

inline mcomp::Tensor tensor(std::vector<float> values, mcomp::Shape shape) {
  return mcomp::Tensor::from(values, std::move(shape)).value();
}

inline Matrix matrix(const mcomp::Tensor& t) {
  return mcomp::as_matrix<float>(t, "matrix")->cast<double>();
}

/// Correlated inputs: each feature remembers the one before it.
inline mcomp::Tensor inputs(mcomp::Random& random, std::int64_t samples, std::int64_t features, double memory = 0.8) {
  mcomp::Tensor x = normals(random, {samples, features});
  auto v = x.mutable_values<float>();
  for (std::size_t i = 0; i < v.size(); ++i)
    if (i % static_cast<std::size_t>(features) != 0) v[i] += static_cast<float>(memory) * v[i - 1];
  return x;
}

inline mcomp::stats::Gram gram_of(const mcomp::Tensor& x) {
  mcomp::stats::Gram gram(x.size(1));
  gram.update(x).value();
  return gram;
}

/// ||X (W - Q)^T||^2 / ||X W^T||^2
inline double relative_error(const Matrix& x, const Matrix& w, const Matrix& q) {
  return (x * (w - q).transpose()).squaredNorm() / (x * w.transpose()).squaredNorm();
}

template <class T> mcomp::ErrorCode error_code(const mcomp::Result<T>& result) {
  REQUIRE_FALSE(result);
  CHECK(well_formed(result.error()));
  return result.error().code();
}

} // namespace mcomp_test
