#include "core/matrix_product.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "mcomp/core/cpu.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define MCOMP_X86_KERNELS
#include <immintrin.h>
#endif

namespace mcomp::inline v0::detail {

namespace {

// A tile of C of 8 x 32 stays in registers: with AVX-512 sixteen sums, enough to hide the latency of two multiply-add
// units four cycles deep. A panel of B of 256 x 32 fits the first cache, 256 x 256 the second.
constexpr std::int64_t tile_rows = 8, tile_columns = 32, block_depth = 256, block_rows = 128, block_columns = 256;

using Tile = std::array<float, tile_rows * tile_columns>;

/// tile = a^T b with a [depth, 8] and b [depth, 32].
using Kernel = void (*)(std::int64_t depth, const float* a, const float* b, float* tile);

void kernel_baseline(std::int64_t depth, const float* a, const float* b, float* tile) {
  constexpr std::int64_t rows = 4, columns = 8;
  for (std::int64_t i = 0; i < tile_rows; i += rows)
    for (std::int64_t j = 0; j < tile_columns; j += columns) {
      float sum[rows][columns] = {};
      for (std::int64_t k = 0; k < depth; ++k)
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t c = 0; c < columns; ++c)
            sum[r][c] += a[k * tile_rows + i + r] * b[k * tile_columns + j + c];
      for (std::int64_t r = 0; r < rows; ++r) std::copy_n(sum[r], columns, tile + (i + r) * tile_columns + j);
    }
}

#ifdef MCOMP_X86_KERNELS
[[gnu::target("avx2,fma")]] void kernel_avx2(std::int64_t depth, const float* a, const float* b, float* tile) {
  constexpr int rows = 4; // 4 x 16: eight sums, two parts of B and one of A in sixteen registers
  for (int i = 0; i < tile_rows; i += rows)
    for (int j = 0; j < tile_columns; j += 16) {
      __m256 sum[rows][2];
      for (int r = 0; r < rows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
      for (std::int64_t k = 0; k < depth; ++k) {
        const __m256 b0 = _mm256_loadu_ps(b + k * tile_columns + j), b1 = _mm256_loadu_ps(b + k * tile_columns + j + 8);
        for (int r = 0; r < rows; ++r) {
          const __m256 x = _mm256_set1_ps(a[k * tile_rows + i + r]);
          sum[r][0] = _mm256_fmadd_ps(x, b0, sum[r][0]);
          sum[r][1] = _mm256_fmadd_ps(x, b1, sum[r][1]);
        }
      }
      for (int r = 0; r < rows; ++r) {
        _mm256_storeu_ps(tile + (i + r) * tile_columns + j, sum[r][0]);
        _mm256_storeu_ps(tile + (i + r) * tile_columns + j + 8, sum[r][1]);
      }
    }
}

[[gnu::target("avx512f")]] void kernel_avx512(std::int64_t depth, const float* a, const float* b, float* tile) {
  __m512 sum[tile_rows][2];
  for (int r = 0; r < tile_rows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  for (std::int64_t k = 0; k < depth; ++k) {
    const __m512 b0 = _mm512_loadu_ps(b + k * tile_columns), b1 = _mm512_loadu_ps(b + k * tile_columns + 16);
    for (int r = 0; r < tile_rows; ++r) {
      const __m512 x = _mm512_set1_ps(a[k * tile_rows + r]);
      sum[r][0] = _mm512_fmadd_ps(x, b0, sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(x, b1, sum[r][1]);
    }
  }
  for (int r = 0; r < tile_rows; ++r) {
    _mm512_storeu_ps(tile + r * tile_columns, sum[r][0]);
    _mm512_storeu_ps(tile + r * tile_columns + 16, sum[r][1]);
  }
}
#endif

Kernel best_kernel() {
#ifdef MCOMP_X86_KERNELS
  if (cpu_features().avx512) return kernel_avx512;
  if (cpu_features().avx2) return kernel_avx2;
#endif
  return kernel_baseline;
}

/// Rows of a part of a matrix as panels of `width` columns, [columns / width][depth][width], filled up with zeros.
template <std::int64_t width>
void pack(const float* from, std::int64_t stride, std::int64_t depth, std::int64_t columns, float* to) {
  constexpr std::int64_t line = 16; // floats of a cache line, which is read once where it fills several panels
  std::int64_t j = 0;
  if constexpr (width < line)
    for (; j + line <= columns; j += line, to += (line / width - 1) * depth * width)
      for (std::int64_t k = 0; k < depth; ++k, to += width)
        for (std::int64_t part = 0; part < line / width; ++part)
          std::memcpy(to + part * depth * width, from + k * stride + j + part * width, width * sizeof(float));
  for (; j < columns; j += width) {
    const std::int64_t n = std::min(width, columns - j);
    for (std::int64_t k = 0; k < depth; ++k, to += width) {
      const float* row = from + k * stride + j;
      if (n == width) {
        std::memcpy(to, row, width * sizeof(float));
      } else {
        std::copy_n(row, n, to);
        std::fill(to + n, to + width, 0.0f);
      }
    }
  }
}

void add_tile(const Tile& tile, std::int64_t rows, std::int64_t columns, float sign, float* c, std::int64_t stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* to = c + r * stride;
    const float* from = tile.data() + r * tile_columns;
    if (columns == tile_columns)
      for (std::int64_t j = 0; j < tile_columns; ++j) to[j] += sign * from[j];
    else
      for (std::int64_t j = 0; j < columns; ++j) to[j] += sign * from[j];
  }
}

std::int64_t round_up(std::int64_t x, std::int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

} // namespace

void add_product(const TransposedProduct& p) {
  if (p.rows <= 0 || p.columns <= 0 || p.depth <= 0) return;
  const Kernel kernel = best_kernel();
  const std::int64_t most_rows = std::min(block_rows, round_up(p.rows, tile_rows)),
                     most_columns = std::min(block_columns, round_up(p.columns, tile_columns)),
                     most_depth = std::min(block_depth, p.depth);
  // Uninitialized on purpose: `pack` writes whatever is read.
  const std::unique_ptr<float[]> panels(new float[static_cast<std::size_t>((most_rows + most_columns) * most_depth)]);
  float* packed_b = panels.get();
  float* packed_a = packed_b + most_columns * most_depth;
  alignas(64) Tile tile;
  for (std::int64_t k = 0; k < p.depth; k += block_depth) {
    const std::int64_t depth = std::min(block_depth, p.depth - k);
    for (std::int64_t jb = 0; jb < p.columns; jb += block_columns) {
      const std::int64_t columns = std::min(block_columns, p.columns - jb);
      pack<tile_columns>(p.b + k * p.b_stride + jb, p.b_stride, depth, columns, packed_b);
      for (std::int64_t ib = 0; ib < p.rows; ib += block_rows) {
        const std::int64_t rows = std::min(block_rows, p.rows - ib);
        pack<tile_rows>(p.a + k * p.a_stride + ib, p.a_stride, depth, rows, packed_a);
        for (std::int64_t j = 0; j < columns; j += tile_columns)
          for (std::int64_t i = 0; i < rows; i += tile_rows) {
            kernel(depth, packed_a + i * depth, packed_b + j * depth, tile.data());
            add_tile(tile, std::min(tile_rows, rows - i), std::min(tile_columns, columns - j), p.sign,
                     p.c + (ib + i) * p.c_stride + jb + j, p.c_stride);
          }
      }
    }
  }
}

void add_self_product(std::int64_t n, std::int64_t depth, const float* a, std::int64_t a_stride, float* c,
                      std::int64_t c_stride, float sign, Executor& executor) {
  constexpr std::int64_t side = 256;
  const std::int64_t tiles = (n + side - 1) / side;
  executor.run(static_cast<std::size_t>(tiles * (tiles + 1) / 2), [&](std::size_t task) {
    // Task t is tile (i, j), j <= i, counted row by row of tiles.
    std::int64_t i = 0, j = static_cast<std::int64_t>(task);
    while (j > i) j -= ++i;
    const std::int64_t row = i * side, column = j * side;
    add_product({.rows = std::min(side, n - row),
                 .columns = std::min(side, n - column),
                 .depth = depth,
                 .a = a + row,
                 .a_stride = a_stride,
                 .b = a + column,
                 .b_stride = a_stride,
                 .c = c + row * c_stride + column,
                 .c_stride = c_stride,
                 .sign = sign});
  });
}

} // namespace mcomp::inline v0::detail
