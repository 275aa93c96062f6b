#include <array>
#include <cstring>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/io/gguf.hpp"

namespace mcomp::inline v0::io {

namespace {

std::string subject_of(const GgufTensor& tensor) {
  return fmt::format("tensor '{}'", tensor.name);
}

} // namespace

Result<Tensor> as_numbers(const GgufTensor& tensor) {
  constexpr std::array<std::pair<GgufType, DType>, 8> plain{{{GgufType::f32, DType::f32},
                                                             {GgufType::f16, DType::f16},
                                                             {GgufType::bf16, DType::bf16},
                                                             {GgufType::f64, DType::f64},
                                                             {GgufType::i8, DType::int8},
                                                             {GgufType::i16, DType::int16},
                                                             {GgufType::i32, DType::int32},
                                                             {GgufType::i64, DType::int64}}};
  for (const auto& [type, dtype] : plain) {
    if (type != tensor.type) continue;
    MCOMP_TRY(result, Tensor::uninitialized(dtype, tensor.shape));
    if (result.bytes() != static_cast<std::int64_t>(tensor.bytes.size()))
      return Error(ErrorCode::invalid_shape, fmt::format("tensor '{}'", tensor.name),
                   fmt::format("{} bytes, {} needed", tensor.bytes.size(), result.bytes()),
                   "pass a tensor as it was read");
    if (!tensor.bytes.empty()) std::memcpy(result.data(), tensor.bytes.data(), tensor.bytes.size());
    return std::move(result);
  }
  return Error(ErrorCode::unsupported, fmt::format("tensor '{}'", tensor.name),
               fmt::format("{} holds blocks, no plain numbers", tensor.type), "use `as_f32`, or `as_blocks`");
}

Result<quant::BlockTensor> as_blocks(const GgufTensor& tensor) {
  const auto format = quant::block_format_from_gguf_type(static_cast<std::uint32_t>(tensor.type));
  if (!format)
    return Error(ErrorCode::unsupported, subject_of(tensor), fmt::format("{} is no block format here", tensor.type),
                 "use `as_numbers` for plain numbers; other block types are not decoded");
  MCOMP_TRY(size, gguf_bytes(tensor.type, tensor.shape, subject_of(tensor)));
  if (size != static_cast<std::int64_t>(tensor.bytes.size()))
    return Error(ErrorCode::invalid_shape, subject_of(tensor),
                 fmt::format("{} bytes, {} needed", tensor.bytes.size(), size), "pass a tensor as it was read");
  const std::int64_t columns = tensor.shape.rank() == 0 ? 1 : tensor.shape.sizes().back();
  const std::int64_t rows = columns == 0 ? 0 : tensor.shape.elements() / columns;
  MCOMP_TRY(bytes, Tensor::uninitialized(DType::uint8, {rows, rows == 0 ? 0 : size / rows}));
  if (size > 0) std::memcpy(bytes.data(), tensor.bytes.data(), tensor.bytes.size());
  return quant::BlockTensor{*format, tensor.shape, std::move(bytes)};
}

Result<Tensor> as_f32(const GgufTensor& tensor) {
  if (is_quantized(tensor.type)) {
    MCOMP_TRY(blocks, as_blocks(tensor));
    return quant::dequantize_blocks(blocks);
  }
  MCOMP_TRY(numbers, as_numbers(tensor));
  return to_f32(numbers, subject_of(tensor));
}

GgufType gguf_type(quant::BlockFormat format) noexcept {
  return static_cast<GgufType>(quant::block_layout(format).gguf_type);
}

} // namespace mcomp::inline v0::io
