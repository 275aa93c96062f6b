#pragma once

// Eigen maps over tensors. Inline on purpose: the layout of Eigen's types follows the compiler flags of the file that
// includes them, so none of them may cross the compiled interface. Include this header only where Eigen is used.

#include <Eigen/Core>

#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0 {

template <class T> using RowMajorMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A contiguous tensor of rank >= 1 as a matrix [first axis, all other axes]. Errors: invalid_dtype, invalid_shape.
template <class T>
[[nodiscard]] Result<Eigen::Map<const RowMajorMatrix<T>>> as_matrix(const TensorView& view, std::string_view subject) {
  auto values = view.values<T>(subject);
  if (!values) return values.error();
  if (view.rank() == 0)
    return Error(ErrorCode::invalid_shape, std::string(subject), "a scalar is no matrix", "pass a tensor of rank >= 1");
  const std::int64_t rows = view.size(0);
  const std::int64_t columns = rows == 0 ? 0 : view.elements() / rows;
  return Eigen::Map<const RowMajorMatrix<T>>(values->data(), rows, columns);
}

/// Copies any Eigen expression into a tensor [rows, columns] of its scalar type.
template <class Derived> [[nodiscard]] Tensor to_tensor(const Eigen::DenseBase<Derived>& expression) {
  using T = typename Derived::Scalar;
  Tensor tensor = Tensor::uninitialized(dtype_of<T>, Shape{expression.rows(), expression.cols()}).value();
  Eigen::Map<RowMajorMatrix<T>>(static_cast<T*>(tensor.data()), expression.rows(), expression.cols()) = expression;
  return tensor;
}

} // namespace mcomp::inline v0
