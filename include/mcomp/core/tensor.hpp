#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/dtype.hpp"

namespace mcomp::inline v0 {

/// Sizes of a tensor, outermost first. A scalar has rank 0 and one element.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes) : sizes_(sizes) {}
  explicit Shape(std::vector<std::int64_t> sizes) : sizes_(std::move(sizes)) {}

  [[nodiscard]] std::size_t rank() const noexcept { return sizes_.size(); }
  [[nodiscard]] std::int64_t operator[](std::size_t axis) const noexcept { return sizes_[axis]; }
  [[nodiscard]] std::int64_t& operator[](std::size_t axis) noexcept { return sizes_[axis]; }
  [[nodiscard]] std::span<const std::int64_t> sizes() const noexcept { return sizes_; }
  void push_back(std::int64_t size) { sizes_.push_back(size); }

  /// Number of elements of a shape that `check` accepts.
  [[nodiscard]] std::int64_t elements() const noexcept {
    std::int64_t n = 1;
    for (const std::int64_t size : sizes_) n *= size;
    return n;
  }

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<std::int64_t> sizes_;
};

[[nodiscard]] MCOMP_API std::string to_string(const Shape& shape);

/// Number of bytes that `shape` of `dtype` takes when contiguous, with overflow-checked arithmetic.
/// Errors: invalid_shape for a negative size or a product above 2^62.
[[nodiscard]] MCOMP_API Result<std::int64_t> byte_size(DType dtype, const Shape& shape, std::string_view subject);

class Tensor;

/// Reads a tensor that somebody else owns: pointer, element type, shape, and strides counted in elements.
/// Four-bit tensors are always contiguous.
class TensorView {
 public:
  TensorView() = default;
  /// A contiguous view in C order.
  MCOMP_API TensorView(const void* data, DType dtype, Shape shape);
  MCOMP_API TensorView(const void* data, DType dtype, Shape shape, Shape strides);
  /// Views the elements of a vector or span as one tensor. `values.size()` must be `shape.elements()`.
  template <class T> [[nodiscard]] static Result<TensorView> of(std::span<const T> values, Shape shape) {
    auto bytes = byte_size(dtype_of<T>, shape, "view");
    if (!bytes) return bytes.error();
    if (shape.elements() != static_cast<std::int64_t>(values.size())) return wrong_size(shape, values.size());
    return TensorView(values.data(), dtype_of<T>, std::move(shape));
  }

  [[nodiscard]] const void* data() const noexcept { return data_; }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] const Shape& strides() const noexcept { return strides_; }
  [[nodiscard]] std::size_t rank() const noexcept { return shape_.rank(); }
  [[nodiscard]] std::int64_t size(std::size_t axis) const noexcept { return shape_[axis]; }
  [[nodiscard]] std::int64_t elements() const noexcept { return shape_.elements(); }
  /// Bytes of the elements when contiguous.
  [[nodiscard]] std::int64_t bytes() const noexcept { return (elements() * bit_width(dtype_) + 7) / 8; }
  /// True where the elements lie one behind the other in C order.
  [[nodiscard]] MCOMP_API bool contiguous() const noexcept;

  /// The elements of a contiguous tensor of type T. Errors name `subject`: invalid_dtype, invalid_shape.
  template <class T> [[nodiscard]] Result<std::span<const T>> values(std::string_view subject) const {
    auto ok = check_access(dtype_of<T>, subject);
    if (!ok) return ok.error();
    return std::span<const T>(static_cast<const T*>(data_), static_cast<std::size_t>(elements()));
  }

  /// Rows [begin, end) along the first axis, of a tensor with rank >= 1. Errors: invalid_argument.
  [[nodiscard]] MCOMP_API Result<TensorView> rows(std::int64_t begin, std::int64_t end) const;

 private:
  [[nodiscard]] MCOMP_API Status check_access(DType wanted, std::string_view subject) const;
  [[nodiscard]] MCOMP_API static Error wrong_size(const Shape& shape, std::size_t values);

  const void* data_ = nullptr;
  DType dtype_ = DType::f32;
  Shape shape_{0};
  Shape strides_{1};
};

/// "f32 [64, 3, 3, 3]"
[[nodiscard]] MCOMP_API std::string to_string(const TensorView& view);

/// Owns a contiguous tensor whose first element lies on a 64-byte boundary. Copying copies the elements.
class MCOMP_API Tensor {
 public:
  static constexpr std::size_t alignment = 64;

  Tensor() noexcept;
  ~Tensor();
  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(const Tensor& other);
  Tensor& operator=(Tensor&& other) noexcept;

  /// All elements zero. Errors: invalid_shape; throws std::bad_alloc where memory is short.
  [[nodiscard]] static Result<Tensor> zeros(DType dtype, Shape shape);
  /// Elements undefined: for results that are written whole.
  [[nodiscard]] static Result<Tensor> uninitialized(DType dtype, Shape shape);
  /// A contiguous copy. Four-bit views must be contiguous.
  [[nodiscard]] static Result<Tensor> copy_of(const TensorView& view);
  template <class T> [[nodiscard]] static Result<Tensor> from(std::span<const T> values, Shape shape) {
    auto view = TensorView::of(values, std::move(shape));
    if (!view) return view.error();
    return copy_of(*view);
  }
  template <class T> [[nodiscard]] static Result<Tensor> from(const std::vector<T>& values, Shape shape) {
    return from(std::span<const T>(values), std::move(shape));
  }

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::size_t rank() const noexcept { return shape_.rank(); }
  [[nodiscard]] std::int64_t size(std::size_t axis) const noexcept { return shape_[axis]; }
  [[nodiscard]] std::int64_t elements() const noexcept { return shape_.elements(); }
  [[nodiscard]] std::int64_t bytes() const noexcept { return (elements() * bit_width(dtype_) + 7) / 8; }
  [[nodiscard]] const void* data() const noexcept { return data_; }
  [[nodiscard]] void* data() noexcept { return data_; }
  [[nodiscard]] TensorView view() const { return TensorView(data_, dtype_, shape_); }
  operator TensorView() const { return view(); }

  /// The elements as T. Errors: invalid_dtype.
  template <class T> [[nodiscard]] Result<std::span<const T>> values(std::string_view subject) const {
    return view().template values<T>(subject);
  }
  /// The elements as T, to be written; an empty span where T is not the element type.
  template <class T> [[nodiscard]] std::span<T> mutable_values() noexcept {
    if (dtype_of<T> != dtype_) return {};
    return {static_cast<T*>(data_), static_cast<std::size_t>(elements())};
  }
  /// The same elements under another shape with the same number of elements. Errors: invalid_shape.
  [[nodiscard]] Result<Tensor> reshaped(Shape shape) &&;

 private:
  DType dtype_ = DType::f32;
  Shape shape_{0};
  void* data_ = nullptr;
};

[[nodiscard]] MCOMP_API std::string to_string(const Tensor& tensor);
/// True where element type, shape and every byte agree.
[[nodiscard]] MCOMP_API bool operator==(const Tensor& a, const Tensor& b);

/// A copy of any tensor with elements converted to f32 (integers by value, boolean to 0 and 1).
[[nodiscard]] MCOMP_API Result<Tensor> to_f32(const TensorView& view, std::string_view subject);

/// Demands an element type and a rank. Errors: invalid_dtype, invalid_shape, naming `subject`.
[[nodiscard]] MCOMP_API Status require(const TensorView& view, std::string_view subject, DType dtype, std::size_t rank);
/// Demands that no element of a floating tensor is NaN or infinite. Error: invalid_value with the first index.
[[nodiscard]] MCOMP_API Status require_finite(const TensorView& view, std::string_view subject);

template <> inline constexpr bool enable_format<Shape> = true;
template <> inline constexpr bool enable_format<TensorView> = true;
template <> inline constexpr bool enable_format<Tensor> = true;

} // namespace mcomp::inline v0
