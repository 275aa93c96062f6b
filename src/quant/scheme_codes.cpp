#include "quant/scheme_codes.hpp"

#include "mcomp/core/executor.hpp"
#include "quant/grouping.hpp"

namespace mcomp::inline v0::quant::detail {

namespace {

/// Rows whose grid is stored together, from the first row on.
std::int64_t shared_rows(const Scheme& scheme, std::int64_t rows) {
  switch (scheme.granularity) {
  case Granularity::per_tensor:
    return rows;
  case Granularity::per_block:
    return std::min(scheme.group_rows, rows);
  default:
    return 1;
  }
}

} // namespace

std::int64_t block_columns(const Scheme& scheme, std::int64_t columns) noexcept {
  return scheme.group_size > 0 ? std::min(scheme.group_size, columns) : columns;
}

void fit_scales(const float* weight, std::span<const float> importance, const Scheme& scheme,
                const SchemeValues& values, BlockCodes& codes, Executor& executor) {
  const std::int64_t together = shared_rows(scheme, codes.rows), blocks = codes.blocks();
  const std::int64_t units = (codes.rows + together - 1) / together * blocks;
  const std::int64_t chunk = std::max<std::int64_t>(1, (std::int64_t{1} << 14) / (codes.block_size * together));
  executor.run(static_cast<std::size_t>((units + chunk - 1) / chunk), [&](std::size_t task) {
    const std::int64_t begin = static_cast<std::int64_t>(task) * chunk, end = std::min(units, begin + chunk);
    std::vector<float> w, h;
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t row = unit / blocks * together, last_row = std::min(codes.rows, row + together);
      const std::int64_t block = unit % blocks, first = block * codes.block_size, n = codes.size(block);
      w.clear(), h.clear();
      for (std::int64_t r = row; r < last_row; ++r) {
        const float* from = weight + r * codes.columns + first;
        w.insert(w.end(), from, from + n);
        if (!importance.empty()) h.insert(h.end(), importance.begin() + first, importance.begin() + first + n);
      }
      BlockGrid grid;
      values.fit(w, h, grid);
      for (std::int64_t r = row; r < last_row; ++r) codes.grid(r, block) = grid;
    }
  });
}

QuantizedTensor to_quantized(const BlockCodes& codes, const Scheme& scheme, const SchemeValues& values,
                             const Shape& shape) {
  const Grouping g(shape, scheme);
  const DType byte = is_signed_integer(scheme.dtype) ? DType::int8 : DType::uint8;
  QuantizedTensor q{scheme, Tensor::uninitialized(byte, shape).value(),
                    Tensor::uninitialized(DType::f32, {g.row_groups, g.groups}).value(),
                    Tensor::uninitialized(DType::int32, {g.row_groups, g.groups}).value()};
  auto* out = static_cast<std::uint8_t*>(q.codes.data());
  const std::int32_t lowest = values.range().lowest;
  for (std::size_t i = 0; i < codes.codes.size(); ++i) out[i] = static_cast<std::uint8_t>(lowest + codes.codes[i]);
  auto scales = q.scales.mutable_values<float>();
  auto zeros = q.zero_points.mutable_values<std::int32_t>();
  const std::int64_t together = shared_rows(scheme, codes.rows);
  for (std::int64_t i = 0; i < g.row_groups * g.groups; ++i) {
    const BlockGrid& grid = codes.grid(i / g.groups * together, i % g.groups);
    scales[static_cast<std::size_t>(i)] = grid.scale[0];
    zeros[static_cast<std::size_t>(i)] = values.zero_point(grid);
  }
  return q;
}

BlockCodes from_quantized(const QuantizedTensor& q, const SchemeValues& values) {
  const Grouping g(q.shape(), q.scheme);
  const std::int64_t rows = q.shape()[0], columns = q.shape().elements() / rows;
  BlockCodes codes(rows, columns, values);
  const auto* from = static_cast<const std::uint8_t*>(q.codes.data());
  const std::int32_t lowest = values.range().lowest;
  for (std::size_t i = 0; i < codes.codes.size(); ++i) codes.codes[i] = static_cast<std::uint8_t>(from[i] - lowest);
  const auto* scales = static_cast<const float*>(q.scales.data());
  const auto* zeros = static_cast<const std::int32_t*>(q.zero_points.data());
  const std::int64_t together = shared_rows(q.scheme, rows);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t b = 0; b < codes.blocks(); ++b) {
      const std::int64_t at = r / together * g.groups + b;
      codes.grid(r, b) = values.grid(scales[at], zeros[at]);
    }
  return codes;
}

} // namespace mcomp::inline v0::quant::detail
