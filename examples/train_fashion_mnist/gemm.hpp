#pragma once

#include <cstdint>

namespace example {

enum class Transpose : bool { no, yes };

/// c [m, n] = op(a) [m, k] * op(b) [k, n] + beta * c, all row-major and without gaps; `op` transposes where asked.
/// Always runs in the calling thread, so that its result does not depend on how many threads there are.
/// Throws std::bad_alloc.
void gemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
          const float* b, float beta, float* c);

/// The name of the library behind `gemm`, for reports.
[[nodiscard]] const char* gemm_library() noexcept;

} // namespace example
