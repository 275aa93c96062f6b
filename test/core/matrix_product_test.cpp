#include "core/matrix_product.hpp"

#include <array>
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;

TEST_CASE("the transposed product equals sums in double, for sizes beside the tiles") {
  Random random(1);
  for (const auto& [m, n, k] : std::vector<std::array<std::int64_t, 3>>{
           {1, 1, 1}, {8, 32, 5}, {9, 33, 257}, {131, 259, 40}, {7, 300, 512}, {200, 31, 3}}) {
    const std::int64_t a_stride = m + 3, b_stride = n + 1, c_stride = n + 2;
    std::vector<float> a(static_cast<std::size_t>(k * a_stride)), b(static_cast<std::size_t>(k * b_stride)),
        c(static_cast<std::size_t>(m * c_stride), 7.0f);
    for (float& x : a) x = static_cast<float>(random.normal());
    for (float& x : b) x = static_cast<float>(random.normal());
    detail::add_product({m, n, k, a.data(), a_stride, b.data(), b_stride, c.data(), c_stride, -1});
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < c_stride; ++j) {
        double expected = 7;
        if (j < n)
          for (std::int64_t d = 0; d < k; ++d)
            expected -= static_cast<double>(a[static_cast<std::size_t>(d * a_stride + i)]) *
                        static_cast<double>(b[static_cast<std::size_t>(d * b_stride + j)]);
        if (!(std::abs(static_cast<double>(c[static_cast<std::size_t>(i * c_stride + j)]) - expected) < 1e-4))
          FAIL(m << " " << n << " " << k << " at " << i << ", " << j);
      }
  }
}

TEST_CASE("the self product fills the lower triangle, the same for every executor") {
  Random random(2);
  const std::int64_t n = 600, k = 50;
  std::vector<float> a(static_cast<std::size_t>(n * k)), serial(static_cast<std::size_t>(n * n)), parallel = serial;
  for (float& x : a) x = static_cast<float>(random.normal());
  detail::add_self_product(n, k, a.data(), n, serial.data(), n, 1, serial_executor());
  ThreadPool pool(3);
  detail::add_self_product(n, k, a.data(), n, parallel.data(), n, 1, pool);
  CHECK(serial == parallel);
  for (const auto& [j, i] : std::vector<std::array<std::int64_t, 2>>{{0, 0}, {0, 599}, {255, 256}, {300, 590}}) {
    double expected = 0;
    for (std::int64_t d = 0; d < k; ++d)
      expected += static_cast<double>(a[static_cast<std::size_t>(d * n + i)]) *
                  static_cast<double>(a[static_cast<std::size_t>(d * n + j)]);
    CHECK(serial[static_cast<std::size_t>(i * n + j)] == Approx(expected).margin(1e-4));
  }
}
