#include "mcomp/quant/block_format.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/closest_name.hpp"
#include "core/simd_dispatch.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "quant/block_bytes.hpp"
#include "quant/block_codecs.hpp"
#include "quant/block_rounding.hpp"
#include "quant/importance.hpp"

namespace mcomp::inline v0::quant {

namespace {

constexpr std::array<BlockLayout, block_formats.size()> layouts{{
    {"Q4_0", 2, 32, 32, 18, false, true},
    {"Q4_1", 3, 32, 32, 20, true, true},
    {"Q5_0", 6, 32, 32, 22, false, true},
    {"Q5_1", 7, 32, 32, 24, true, true},
    {"Q8_0", 8, 32, 32, 34, false, true},
    {"Q2_K", 10, 256, 16, 84, true, false},
    {"Q3_K", 11, 256, 16, 110, false, false},
    {"Q4_K", 12, 256, 32, 144, true, false},
    {"Q5_K", 13, 256, 32, 176, true, false},
    {"Q6_K", 14, 256, 16, 210, false, false},
    {"IQ4_NL", 20, 32, 32, 18, false, false},
    {"IQ4_XS", 23, 256, 32, 136, false, false},
    {"MXFP4", 39, 32, 32, 17, false, true},
}};

constexpr std::size_t longest_block = 256;

/// A tensor as rows of whole blocks.
struct Rows {
  std::int64_t rows = 0, columns = 0, blocks = 0; ///< blocks of a row

  [[nodiscard]] std::int64_t all_blocks() const noexcept { return rows * blocks; }
};

Result<Rows> rows_of(const Shape& shape, BlockFormat format, const char* subject) {
  const BlockLayout& layout = block_layout(format);
  if (shape.rank() == 0 || shape.elements() == 0)
    return Error(ErrorCode::invalid_shape, subject, fmt::format("shape {} has no rows of weights", shape),
                 "pass a tensor with elements");
  const std::int64_t columns = shape[shape.rank() - 1];
  if (columns % layout.block_size != 0)
    return Error(
        ErrorCode::invalid_shape, subject,
        fmt::format("rows of {} are not whole blocks of {} weights, as {} demands", columns, layout.block_size, format),
        "choose a format whose block divides the row, or keep the tensor in f16");
  return Rows{shape.elements() / columns, columns, columns / layout.block_size};
}

/// NaN and infinity have all exponent bits set; counted without a branch.
MCOMP_ALWAYS_INLINE void count_not_finite_body(const float* x, std::int64_t n, std::int32_t* count) {
  std::int32_t found = 0;
  for (std::int64_t i = 0; i < n; ++i) found += std::fabs(x[i]) <= std::numeric_limits<float>::max() ? 0 : 1;
  *count = found;
}
MCOMP_DISPATCH(count_not_finite, (const float* x, std::int64_t n, std::int32_t* count), (x, n, count))

Status check_finite(const float* w, const Shape& shape) {
  constexpr std::int64_t run = 1 << 20;
  for (std::int64_t begin = 0; begin < shape.elements(); begin += run) {
    std::int32_t count = 0;
    count_not_finite(w + begin, std::min(run, shape.elements() - begin), &count);
    if (count > 0) return require_finite(TensorView(w, DType::f32, shape), "weight");
  }
  return {};
}

/// Runs `task(begin, end)` on runs of `run` blocks, in a few slices between which it reports and can be cancelled.
template <class Task>
Status over_blocks(std::int64_t blocks, std::int64_t run, const char* stage, const Context& context, const Task& task) {
  const std::int64_t runs = (blocks + run - 1) / run;
  const std::int64_t slice = std::max<std::int64_t>(64, (runs + 15) / 16);
  for (std::int64_t first = 0; first < runs; first += slice) {
    MCOMP_CHECK(context.check(stage));
    const std::int64_t n = std::min(slice, runs - first);
    context.executor_or_serial().run(static_cast<std::size_t>(n), [&](std::size_t i) {
      const std::int64_t begin = (first + static_cast<std::int64_t>(i)) * run;
      task(begin, std::min(blocks, begin + run));
    });
    context.report(stage, std::min(blocks, (first + n) * run), blocks);
  }
  return {};
}

Result<std::span<const float>> check_importance(const BlockOptions& options, BlockFormat format, std::int64_t columns) {
  const TensorView& importance = options.importance;
  if (importance.elements() == 0) return std::span<const float>{};
  if (options.search == BlockSearch::nearest && block_layout(format).has_rounding)
    return Error(ErrorCode::invalid_argument, "importance",
                 fmt::format("the published rounding of {} has no place for importance", format),
                 "choose the search `fast` or `thorough`, or leave importance empty");
  return detail::importance_values(importance, columns);
}

/// Rows, bytes and format that belong together. Error: invalid_shape.
Result<Rows> check_tensor(const BlockTensor& tensor) {
  MCOMP_TRY(rows, rows_of(tensor.shape, tensor.format, "block tensor"));
  const Shape bytes{rows.rows, rows.blocks * block_layout(tensor.format).block_bytes};
  if (tensor.bytes.dtype() != DType::uint8 || tensor.bytes.shape() != bytes)
    return Error(
        ErrorCode::invalid_shape, "block tensor",
        fmt::format("bytes are {}, {} of shape {} takes uint8 {}", tensor.bytes, tensor.format, tensor.shape, bytes),
        "pass the bytes of whole rows");
  return std::move(rows);
}

const std::byte* bytes_of(const BlockTensor& tensor) {
  return static_cast<const std::byte*>(tensor.bytes.data());
}

Status check_parts(const BlockParts& parts, const Rows& rows) {
  const BlockCodec& of = codec(parts.format);
  const Shape scales{rows.rows, rows.columns / static_cast<std::int64_t>(of.sub_block_size())};
  if (parts.codes.dtype() != DType::uint8)
    return Error(ErrorCode::invalid_dtype, "codes", fmt::format("elements are {}", parts.codes.dtype()),
                 "pass uint8 indices into the levels");
  if (parts.scales.dtype() != DType::f32 || parts.offsets.dtype() != DType::f32)
    return Error(ErrorCode::invalid_dtype, "scales",
                 fmt::format("scales are {}, offsets {}", parts.scales.dtype(), parts.offsets.dtype()), "pass f32");
  if (parts.scales.shape() != scales || parts.offsets.shape() != scales)
    return Error(ErrorCode::invalid_shape, "scales",
                 fmt::format("scales are {}, offsets {}", parts.scales, parts.offsets),
                 fmt::format("pass one of each for every sub-block, shape {}", scales));
  MCOMP_CHECK(require_finite(parts.scales, "scales"));
  MCOMP_CHECK(require_finite(parts.offsets, "offsets"));
  MCOMP_TRY(codes, parts.codes.values<std::uint8_t>("codes"));
  if (std::any_of(codes.begin(), codes.end(), [&](std::uint8_t c) { return c >= of.levels().size(); }))
    return Error(ErrorCode::invalid_value, "codes", fmt::format("a code beyond the {} levels", of.levels().size()),
                 "pass indices into block_levels");
  MCOMP_TRY(offsets, parts.offsets.values<float>("offsets"));
  if (!of.has_offset() && std::any_of(offsets.begin(), offsets.end(), [](float o) { return o != 0; }))
    return Error(ErrorCode::invalid_value, "offsets", fmt::format("{} has no offsets", parts.format),
                 "pass zeros, or choose a format with offsets");
  return {};
}

} // namespace

const BlockLayout& block_layout(BlockFormat format) noexcept {
  return layouts[static_cast<std::size_t>(format)];
}

std::string to_string(BlockFormat format) {
  return std::string(block_layout(format).name);
}

Result<BlockFormat> block_format_from_string(std::string_view name) {
  std::string upper(name);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  std::vector<std::string> known;
  for (const BlockFormat format : block_formats) {
    known.push_back(to_string(format));
    if (known.back() == upper) return format;
  }
  return Error(ErrorCode::not_found, fmt::format("block format '{}'", name), "there is no such format",
               mcomp::detail::did_you_mean(upper, known));
}

Result<BlockFormat> block_format_from_gguf_type(std::uint32_t type) {
  for (const BlockFormat format : block_formats)
    if (block_layout(format).gguf_type == type) return format;
  return Error(ErrorCode::not_found, fmt::format("GGUF tensor type {}", type), "it is no block format of this library",
               "see block_formats for those that are");
}

std::string to_string(BlockSearch search) {
  switch (search) {
  case BlockSearch::nearest:
    return "nearest";
  case BlockSearch::fast:
    return "fast";
  case BlockSearch::thorough:
    return "thorough";
  }
  return "unknown search";
}

double BlockTensor::compression() const noexcept {
  return stored_bytes() == 0 ? 1.0 : static_cast<double>(shape.elements() * 4) / static_cast<double>(stored_bytes());
}

std::string to_string(const BlockTensor& tensor) {
  return fmt::format("{} {}, {} bytes ({:.2f}x smaller than f32)", tensor.shape, tensor.format, tensor.stored_bytes(),
                     tensor.compression());
}

Result<BlockTensor> quantize_blocks(const TensorView& weight, BlockFormat format, const BlockOptions& options,
                                    const Context& context) {
  if (!is_floating(weight.dtype()))
    return Error(ErrorCode::invalid_dtype, "weight", fmt::format("elements are {}", weight.dtype()),
                 "pass f32, f16, bf16 or f64");
  MCOMP_TRY(rows, rows_of(weight.shape(), format, "weight"));
  MCOMP_TRY(importance, check_importance(options, format, rows.columns));
  Tensor converted;
  const float* w = static_cast<const float*>(weight.data());
  if (weight.dtype() != DType::f32 || !weight.contiguous()) {
    MCOMP_TRY(copy, to_f32(weight, "weight"));
    converted = std::move(copy);
    w = static_cast<const float*>(converted.data());
  }
  MCOMP_CHECK(check_finite(w, weight.shape()));
  const BlockLayout& layout = block_layout(format);
  MCOMP_TRY(bytes, Tensor::uninitialized(DType::uint8, {rows.rows, rows.blocks * layout.block_bytes}));
  auto* out = static_cast<std::byte*>(bytes.data());

  if (options.search == BlockSearch::nearest && layout.has_rounding) {
    MCOMP_CHECK(over_blocks(rows.all_blocks(), 2048, "quantize blocks", context, [&](auto begin, auto end) {
      detail::round_blocks(format, w + begin * layout.block_size, static_cast<std::size_t>(end - begin),
                           out + begin * layout.block_bytes);
    }));
    return BlockTensor{format, weight.shape(), std::move(bytes)};
  }
  const BlockSearch search = options.search == BlockSearch::nearest ? BlockSearch::fast : options.search;
  const auto size = static_cast<std::size_t>(layout.block_size);
  MCOMP_CHECK(over_blocks(rows.all_blocks(), 4096 / layout.block_size, "quantize blocks", context,
                          [&](std::int64_t begin, std::int64_t end) {
                            BlockGrid grid;
                            std::array<std::uint8_t, longest_block> codes;
                            for (std::int64_t b = begin; b < end; ++b) {
                              const std::span x(w + b * layout.block_size, size);
                              const auto column = static_cast<std::size_t>(b % rows.blocks) * size;
                              detail::fit_block(format, search, x,
                                                importance.empty() ? importance : importance.subspan(column, size),
                                                grid);
                              detail::nearest_codes(format, grid, x, codes.data());
                              detail::pack_bytes(format, grid, codes.data(), out + b * layout.block_bytes);
                            }
                          }));
  return BlockTensor{format, weight.shape(), std::move(bytes)};
}

Result<Tensor> dequantize_blocks(const BlockTensor& tensor, const Context& context) {
  MCOMP_TRY(rows, check_tensor(tensor));
  MCOMP_TRY(result, Tensor::uninitialized(DType::f32, tensor.shape));
  const BlockLayout& layout = block_layout(tensor.format);
  const auto levels = detail::levels_of(tensor.format);
  float* out = static_cast<float*>(result.data());
  MCOMP_CHECK(over_blocks(rows.all_blocks(), 8192 / layout.block_size, "dequantize blocks", context,
                          [&](std::int64_t begin, std::int64_t end) {
                            BlockGrid grid;
                            std::array<std::uint8_t, longest_block> codes;
                            const auto n = static_cast<std::size_t>(layout.sub_block_size);
                            for (std::int64_t b = begin; b < end; ++b) {
                              detail::unpack_bytes(tensor.format, bytes_of(tensor) + b * layout.block_bytes, grid,
                                                   codes.data());
                              float* values = out + b * layout.block_size;
                              for (std::size_t i = 0; i < static_cast<std::size_t>(layout.block_size); ++i)
                                values[i] = block_value(grid.scale[i / n], levels[codes[i]], grid.offset[i / n]);
                            }
                          }));
  return std::move(result);
}

Tensor block_levels(BlockFormat format) {
  const auto levels = detail::levels_of(format);
  Tensor result = Tensor::uninitialized(DType::f32, {static_cast<std::int64_t>(levels.size())}).value();
  std::copy(levels.begin(), levels.end(), result.mutable_values<float>().begin());
  return result;
}

Result<BlockParts> unpack_blocks(const BlockTensor& tensor) {
  MCOMP_TRY(rows, check_tensor(tensor));
  const BlockLayout& layout = block_layout(tensor.format);
  const std::int64_t sub_blocks = layout.block_size / layout.sub_block_size;
  const Shape scales{rows.rows, rows.blocks * sub_blocks};
  BlockParts parts{tensor.format, *Tensor::uninitialized(DType::uint8, tensor.shape),
                   *Tensor::uninitialized(DType::f32, scales), *Tensor::uninitialized(DType::f32, scales)};
  auto* codes = static_cast<std::uint8_t*>(parts.codes.data());
  auto* scale = static_cast<float*>(parts.scales.data());
  auto* offset = static_cast<float*>(parts.offsets.data());
  for (std::int64_t b = 0; b < rows.all_blocks(); ++b) {
    BlockGrid grid;
    detail::unpack_bytes(tensor.format, bytes_of(tensor) + b * layout.block_bytes, grid, codes + b * layout.block_size);
    std::copy_n(grid.scale.begin(), sub_blocks, scale + b * sub_blocks);
    std::copy_n(grid.offset.begin(), sub_blocks, offset + b * sub_blocks);
  }
  return parts;
}

Result<BlockTensor> pack_blocks(const BlockParts& parts) {
  MCOMP_TRY(rows, rows_of(parts.codes.shape(), parts.format, "codes"));
  MCOMP_CHECK(check_parts(parts, rows));
  const BlockLayout& layout = block_layout(parts.format);
  const std::int64_t sub_blocks = layout.block_size / layout.sub_block_size;
  BlockTensor result{parts.format, parts.codes.shape(),
                     *Tensor::uninitialized(DType::uint8, {rows.rows, rows.blocks * layout.block_bytes})};
  const auto* codes = static_cast<const std::uint8_t*>(parts.codes.data());
  const auto* scale = static_cast<const float*>(parts.scales.data());
  const auto* offset = static_cast<const float*>(parts.offsets.data());
  for (std::int64_t b = 0; b < rows.all_blocks(); ++b) {
    BlockGrid grid;
    std::copy_n(scale + b * sub_blocks, sub_blocks, grid.scale.begin());
    std::copy_n(offset + b * sub_blocks, sub_blocks, grid.offset.begin());
    codec(parts.format).round_scales({}, grid);
    detail::pack_bytes(parts.format, grid, codes + b * layout.block_size,
                       static_cast<std::byte*>(result.bytes.data()) + b * layout.block_bytes);
  }
  return result;
}

} // namespace mcomp::inline v0::quant
