#include "gemm.hpp"

#ifdef MCOMP_EXAMPLE_ONEDNN
#include <new>

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#else
#include <Eigen/Core>
#endif

namespace example {

#ifdef MCOMP_EXAMPLE_ONEDNN

void gemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
          const float* b, float beta, float* c) {
  omp_set_num_threads(1); // a setting of the calling thread alone, and cheap
  const bool ta = transpose_a == Transpose::yes, tb = transpose_b == Transpose::yes;
  const dnnl_status_t status =
      dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1.0F, a, ta ? m : k, b, tb ? k : n, beta, c, n);
  if (status != dnnl_success) throw std::bad_alloc(); // the sizes are right, so only memory can be short
}

const char* gemm_library() noexcept {
  return "oneDNN";
}

#else

void gemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
          const float* b, float beta, float* c) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const bool ta = transpose_a == Transpose::yes, tb = transpose_b == Transpose::yes;
  const Eigen::Map<const Matrix> am(a, ta ? k : m, ta ? m : k), bm(b, tb ? n : k, tb ? k : n);
  Eigen::Map<Matrix> cm(c, m, n);
  if (beta == 0.0F)
    cm.setZero();
  else
    cm *= beta;
  if (ta && tb)
    cm.noalias() += am.transpose() * bm.transpose();
  else if (ta)
    cm.noalias() += am.transpose() * bm;
  else if (tb)
    cm.noalias() += am * bm.transpose();
  else
    cm.noalias() += am * bm;
}

const char* gemm_library() noexcept {
  return "Eigen";
}

#endif

} // namespace example
