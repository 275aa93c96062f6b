#include "mcomp/core/tensor.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/minifloat.hpp"

namespace mcomp::inline v0 {

namespace {

Shape contiguous_strides(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.rank(), 1);
  for (std::size_t i = shape.rank(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return Shape(std::move(strides));
}

void* allocate(std::int64_t bytes) {
  const std::size_t size = bytes == 0 ? Tensor::alignment : static_cast<std::size_t>(bytes);
  return ::operator new (size, std::align_val_t{Tensor::alignment});
}

void release(void* data) noexcept {
  if (data) ::operator delete (data, std::align_val_t{Tensor::alignment});
}

std::size_t element_bytes(DType dtype) {
  return static_cast<std::size_t>(bit_width(dtype)) / 8;
}

template <class T> float element_as_float(T value) {
  if constexpr (std::is_same_v<T, half> || std::is_same_v<T, bfloat16>)
    return to_float(value);
  else
    return static_cast<float>(value);
}

template <class T> void convert(const void* source, float* target, std::int64_t count) {
  const T* from = static_cast<const T*>(source);
  for (std::int64_t i = 0; i < count; ++i) target[i] = element_as_float(from[i]);
}

template <class Decode> void convert_bytes(const void* source, float* target, std::int64_t count, Decode decode_byte) {
  const auto* from = static_cast<const std::uint8_t*>(source);
  for (std::int64_t i = 0; i < count; ++i) target[i] = decode_byte(from[i]);
}

/// Elements of less than eight bits, without gaps from the lowest bit of the first byte; signed ones are two's
/// complement.
void convert_packed(const void* source, float* target, std::int64_t count, int bits, bool is_signed) {
  const auto* from = static_cast<const std::uint8_t*>(source);
  const int mask = (1 << bits) - 1, negative = 1 << (bits - 1);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = i * bits;
    const int shift = static_cast<int>(at % 8);
    int word = from[at / 8];
    if (shift + bits > 8) word |= from[at / 8 + 1] << 8;
    const int code = (word >> shift) & mask;
    target[i] = static_cast<float>(is_signed && (code & negative) != 0 ? code - mask - 1 : code);
  }
}

} // namespace

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.rank(); ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

Result<std::int64_t> byte_size(DType dtype, const Shape& shape, std::string_view subject) {
  constexpr std::int64_t limit = std::int64_t{1} << 62;
  std::int64_t bits = bit_width(dtype);
  bool overflow = false, empty = false;
  for (const std::int64_t size : shape.sizes()) {
    if (size < 0)
      return Error(ErrorCode::invalid_shape, std::string(subject), fmt::format("shape {} has a negative size", shape),
                   "give sizes of zero or more");
    if (size == 0)
      empty = true;
    else if (!overflow && bits > limit / size)
      overflow = true;
    else if (!overflow)
      bits *= size;
  }
  if (overflow)
    return Error(ErrorCode::invalid_shape, std::string(subject),
                 fmt::format("shape {} of {} exceeds 2^62 bits", shape, dtype), "give a shape that memory can hold");
  return empty ? 0 : (bits + 7) / 8;
}

TensorView::TensorView(const void* data, DType dtype, Shape shape)
    : data_(data), dtype_(dtype), shape_(std::move(shape)), strides_(contiguous_strides(shape_)) {}

TensorView::TensorView(const void* data, DType dtype, Shape shape, Shape strides)
    : data_(data), dtype_(dtype), shape_(std::move(shape)), strides_(std::move(strides)) {}

bool TensorView::contiguous() const noexcept {
  std::int64_t expected = 1;
  for (std::size_t i = shape_.rank(); i-- > 0;) {
    if (shape_[i] != 1 && strides_[i] != expected) return shape_.elements() == 0;
    expected *= shape_[i];
  }
  return true;
}

Result<TensorView> TensorView::rows(std::int64_t begin, std::int64_t end) const {
  if (rank() == 0 || begin < 0 || end < begin || end > shape_[0] || bit_width(dtype_) < 8)
    return Error(ErrorCode::invalid_argument, to_string(*this),
                 fmt::format("rows [{}, {}) are not within it", begin, end),
                 "pass 0 <= begin <= end <= the size of the first axis, of a tensor with whole bytes");
  Shape shape = shape_;
  shape[0] = end - begin;
  const auto offset = static_cast<std::size_t>(begin * strides_[0]) * element_bytes(dtype_);
  return TensorView(static_cast<const std::byte*>(data_) + offset, dtype_, std::move(shape), strides_);
}

Error TensorView::wrong_size(const Shape& shape, std::size_t values) {
  return Error(ErrorCode::invalid_shape, "view",
               fmt::format("shape {} needs {} elements, the span has {}", shape, shape.elements(), values),
               "pass a shape whose product is the number of elements");
}

Status TensorView::check_access(DType wanted, std::string_view subject) const {
  if (dtype_ != wanted)
    return Error(ErrorCode::invalid_dtype, std::string(subject),
                 fmt::format("elements are {}, {} is needed", dtype_, wanted),
                 fmt::format("pass a tensor of {}", wanted));
  if (!contiguous())
    return Error(ErrorCode::invalid_shape, std::string(subject),
                 fmt::format("shape {} with strides {} is not contiguous", shape_, strides_),
                 "copy it with Tensor::copy_of first");
  if (data_ == nullptr && elements() != 0)
    return Error(ErrorCode::invalid_argument, std::string(subject), "the view has no memory",
                 "pass a view of live memory");
  return {};
}

std::string to_string(const TensorView& view) {
  return fmt::format("{} {}", view.dtype(), view.shape());
}

Tensor::Tensor() noexcept = default;
Tensor::~Tensor() {
  release(data_);
}

Tensor::Tensor(const Tensor& other) : dtype_(other.dtype_), shape_(other.shape_) {
  if (!other.data_) return;
  data_ = allocate(other.bytes());
  std::memcpy(data_, other.data_, static_cast<std::size_t>(other.bytes()));
}

Tensor::Tensor(Tensor&& other) noexcept
    : dtype_(other.dtype_), shape_(std::exchange(other.shape_, Shape{0})), data_(std::exchange(other.data_, nullptr)) {}

Tensor& Tensor::operator=(const Tensor& other) {
  if (this != &other) *this = Tensor(other);
  return *this;
}

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  std::swap(dtype_, other.dtype_);
  std::swap(shape_, other.shape_);
  std::swap(data_, other.data_);
  return *this;
}

Result<Tensor> Tensor::uninitialized(DType dtype, Shape shape) {
  MCOMP_TRY(bytes, byte_size(dtype, shape, "tensor"));
  Tensor tensor;
  tensor.data_ = allocate(bytes);
  tensor.dtype_ = dtype;
  tensor.shape_ = std::move(shape);
  return tensor;
}

Result<Tensor> Tensor::zeros(DType dtype, Shape shape) {
  MCOMP_TRY(tensor, uninitialized(dtype, std::move(shape)));
  std::memset(tensor.data_, 0, static_cast<std::size_t>(tensor.bytes()));
  return std::move(tensor);
}

Result<Tensor> Tensor::copy_of(const TensorView& view) {
  MCOMP_TRY(tensor, uninitialized(view.dtype(), view.shape()));
  const std::int64_t count = view.elements();
  if (count == 0) return std::move(tensor);
  if (view.contiguous()) {
    std::memcpy(tensor.data_, view.data(), static_cast<std::size_t>(tensor.bytes()));
    return std::move(tensor);
  }
  if (bit_width(view.dtype()) < 8)
    return Error(ErrorCode::invalid_shape, to_string(view), "a view of less than eight bits has strides",
                 "pass a contiguous view");
  const std::size_t width = element_bytes(view.dtype());
  const auto* source = static_cast<const std::byte*>(view.data());
  auto* target = static_cast<std::byte*>(tensor.data_);
  std::vector<std::int64_t> index(view.rank(), 0);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < index.size(); ++axis) offset += index[axis] * view.strides()[axis];
    std::memcpy(target + static_cast<std::size_t>(i) * width, source + offset * static_cast<std::int64_t>(width),
                width);
    for (std::size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < view.size(axis)) break;
      index[axis] = 0;
    }
  }
  return std::move(tensor);
}

Result<Tensor> Tensor::reshaped(Shape shape) && {
  MCOMP_CHECK(byte_size(dtype_, shape, "reshape"));
  if (shape.elements() != elements())
    return Error(ErrorCode::invalid_shape, to_string(view()), fmt::format("cannot become {}", shape),
                 "give a shape with the same number of elements");
  Tensor result = std::move(*this);
  result.shape_ = std::move(shape);
  return result;
}

std::string to_string(const Tensor& tensor) {
  return to_string(tensor.view());
}

bool operator==(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.bytes())) == 0);
}

Result<Tensor> to_f32(const TensorView& view, std::string_view subject) {
  if (view.data() == nullptr && view.elements() != 0)
    return Error(ErrorCode::invalid_argument, std::string(subject), "the view has no memory",
                 "pass a view of live memory");
  if (!view.contiguous()) {
    MCOMP_TRY(copy, Tensor::copy_of(view));
    return to_f32(copy, subject);
  }
  MCOMP_TRY(tensor, Tensor::uninitialized(DType::f32, view.shape()));
  float* target = static_cast<float*>(tensor.data());
  const std::int64_t count = view.elements();
  switch (view.dtype()) {
  case DType::f64:
    convert<double>(view.data(), target, count);
    break;
  case DType::f32:
    convert<float>(view.data(), target, count);
    break;
  case DType::f16:
    convert<half>(view.data(), target, count);
    break;
  case DType::bf16:
    convert<bfloat16>(view.data(), target, count);
    break;
  case DType::f8_e4m3:
    convert_bytes(view.data(), target, count, [](std::uint8_t code) { return decode(e4m3, code); });
    break;
  case DType::f8_e5m2:
    convert_bytes(view.data(), target, count, [](std::uint8_t code) { return decode(e5m2, code); });
    break;
  case DType::f8_e8m0:
    convert_bytes(view.data(), target, count, decode_e8m0);
    break;
  case DType::boolean: {
    // Bytes other than 0 and 1 may come from a file; reading them as bool would be undefined.
    const auto* from = static_cast<const std::uint8_t*>(view.data());
    for (std::int64_t i = 0; i < count; ++i) target[i] = from[i] != 0 ? 1.0f : 0.0f;
    break;
  }
  case DType::int8:
    convert<std::int8_t>(view.data(), target, count);
    break;
  case DType::uint8:
    convert<std::uint8_t>(view.data(), target, count);
    break;
  case DType::int16:
    convert<std::int16_t>(view.data(), target, count);
    break;
  case DType::int32:
    convert<std::int32_t>(view.data(), target, count);
    break;
  case DType::int64:
    convert<std::int64_t>(view.data(), target, count);
    break;
  case DType::int2:
  case DType::uint2:
  case DType::int3:
  case DType::uint3:
  case DType::int4:
  case DType::uint4:
  case DType::int5:
  case DType::uint5:
  case DType::int6:
  case DType::uint6:
  case DType::int7:
  case DType::uint7:
    convert_packed(view.data(), target, count, bit_width(view.dtype()), is_signed_integer(view.dtype()));
    break;
  }
  return std::move(tensor);
}

Status require(const TensorView& view, std::string_view subject, DType dtype, std::size_t rank) {
  if (view.dtype() != dtype)
    return Error(ErrorCode::invalid_dtype, std::string(subject),
                 fmt::format("elements are {}, {} is needed", view.dtype(), dtype),
                 fmt::format("pass a tensor of {}", dtype));
  if (view.rank() != rank)
    return Error(ErrorCode::invalid_shape, std::string(subject),
                 fmt::format("shape {} has rank {}, rank {} is needed", view.shape(), view.rank(), rank),
                 fmt::format("pass a tensor of rank {}", rank));
  return {};
}

Status require_finite(const TensorView& view, std::string_view subject) {
  if (!is_floating(view.dtype())) return {};
  MCOMP_TRY(values, to_f32(view, subject));
  const float* data = static_cast<const float*>(values.data());
  // Exponent bits all set is NaN or infinity; a double beyond the range of float counts as infinite as well.
  for (std::int64_t i = 0; i < values.elements(); ++i)
    if (!std::isfinite(data[i]))
      return Error(ErrorCode::invalid_value, std::string(subject), fmt::format("element {} is {}", i, data[i]),
                   "remove NaN and infinite values first");
  return {};
}

} // namespace mcomp::inline v0
