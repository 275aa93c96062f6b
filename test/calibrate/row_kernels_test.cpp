#include "calibrate/row_kernels.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate::detail;

namespace {

template <class T> std::vector<T> row_of(std::size_t classes, std::uint64_t seed) {
  Random random(seed);
  std::vector<T> row(classes);
  for (T& z : row) z = static_cast<T>(4 * random.normal());
  return row;
}

} // namespace

TEMPLATE_TEST_CASE("the kernels of every instruction set are the formulas of a plain loop", "", float, double) {
  for (const RowKernels<TestType>* kernels : available_row_kernels<TestType>())
    for (const std::size_t classes : {1u, 3u, 15u, 16u, 17u, 40u, 1000u}) {
      const std::vector<TestType> row = row_of<TestType>(classes, classes);
      const RowRange range = kernels->range(row.data(), classes);
      const double scale = 0.7;
      double maximum = -1e300, minimum = 1e300, below = 0, zeroth = 0, first = 0, second = 0, third = 0, worst = 0;
      for (const TestType z : row) {
        maximum = std::max<double>(maximum, z);
        minimum = std::min<double>(minimum, z);
      }
      std::vector<double> e(classes);
      kernels->exponentials(row.data(), classes, maximum, scale, e.data());
      for (std::size_t j = 0; j < classes; ++j) {
        const double t = scale * (static_cast<double>(row[j]) - maximum), exact = std::exp(t);
        below += (static_cast<double>(row[j]) - maximum) / static_cast<double>(classes);
        zeroth += exact;
        first += t * exact;
        second += t * t * exact;
        third += t * t * t * exact;
        worst = std::max(worst, std::abs(e[j] / exact - 1));
      }
      const RowMoments moments = kernels->moments(row.data(), classes, maximum, scale);
      INFO(classes << " classes");
      CHECK(range.valid);
      CHECK(range.finite == classes);
      CHECK(range.maximum == maximum);
      CHECK(range.minimum == minimum);
      CHECK(range.mean_below == Approx(below).margin(1e-13));
      CHECK(worst < 5e-16);
      CHECK(moments.zeroth == Approx(zeroth).epsilon(1e-13));
      CHECK(moments.first == Approx(first).epsilon(1e-13).margin(1e-290));   // filled-up lanes add exp(-708)
      CHECK(moments.second == Approx(second).epsilon(1e-13).margin(1e-290)); // filled-up lanes add exp(-708)
      CHECK(moments.third == Approx(third).epsilon(1e-13).margin(1e-290));   // filled-up lanes add exp(-708)
    }
}

TEMPLATE_TEST_CASE("the kernels of metrics are those of a plain loop, for every instruction set", "", float, double) {
  for (const RowKernels<TestType>* kernels : available_row_kernels<TestType>())
    for (const std::size_t classes : {1u, 15u, 63u, 64u, 65u, 200u, 5000u}) {
      const std::vector<TestType> row = row_of<TestType>(classes, classes);
      const double maximum = kernels->range(row.data(), classes).maximum;
      std::vector<double> e(classes), plain(classes);
      const RowWeights w = kernels->weights(row.data(), classes, maximum, .7, e.data());
      kernels->exponentials(row.data(), classes, maximum, .7, plain.data());
      CHECK(e == plain);
      double sum = 0, squares = 0;
      for (const double x : e) sum += x, squares += x * x;
      CHECK(w.sum == Approx(sum).epsilon(1e-13));
      CHECK(w.squares == Approx(squares).epsilon(1e-13));
      for (const std::size_t at : {std::size_t{0}, classes / 2, classes - 1}) {
        CHECK(kernels->contains(row.data(), classes, row[at]));
        CHECK(!kernels->contains(row.data(), at, row[at]));
      }
      // Single precision, padded to whole blocks.
      const std::vector<float> z(row.begin(), row.end());
      std::vector<float> single((classes + single_precision_block - 1) / single_precision_block *
                                single_precision_block);
      float largest = 0;
      CHECK(kernels->single.maximum(z.data(), classes, largest));
      CHECK(largest == static_cast<float>(maximum));
      const RowWeights s = kernels->single.weights(z.data(), classes, largest, .7F, single.data());
      CHECK(s.sum == Approx(sum).epsilon(3e-7));
      CHECK(s.squares == Approx(squares).epsilon(6e-7));
      for (std::size_t j = 0; j < classes; ++j)
        CHECK(single[j] == Approx(e[j]).epsilon(1e-5).margin(1e-37)); // of which rounding of t is most
      auto odd = z;
      odd[classes / 2] = std::numeric_limits<float>::quiet_NaN();
      CHECK(!kernels->single.maximum(odd.data(), classes, largest));
      odd[classes / 2] = -std::numeric_limits<float>::infinity();
      CHECK(!kernels->single.maximum(odd.data(), classes, largest));
      // Totals, and where the larger half lies.
      std::vector<TestType> x(row), totals(classes, 1);
      std::vector<std::uint32_t> above(classes), expected;
      for (TestType& v : x) v = std::abs(v);
      for (std::size_t j = 0; j < classes; ++j)
        if (x[j] > 3) expected.push_back(static_cast<std::uint32_t>(j));
      above.resize(
          kernels->add_probabilities(x.data(), classes, TestType{2}, TestType{3}, totals.data(), above.data()));
      CHECK(above == expected);
      for (std::size_t j = 0; j < classes; ++j)
        CHECK(totals[j] == Approx(1 + 2 * static_cast<double>(x[j])).epsilon(1e-6));
    }
}

TEMPLATE_TEST_CASE("instruction sets that fuse alike give the same bits", "", float, double) {
  const auto kernels = available_row_kernels<TestType>();
  if (kernels.size() < 3) return; // needs AVX2 and AVX-512
  const std::vector<TestType> row = row_of<TestType>(333, 5);
  const double maximum = kernels[0]->range(row.data(), row.size()).maximum;
  const RowMoments a = kernels[1]->moments(row.data(), row.size(), maximum, 0.3);
  const RowMoments b = kernels[2]->moments(row.data(), row.size(), maximum, 0.3);
  CHECK(a.zeroth == b.zeroth);
  CHECK(a.first == b.first);
  CHECK(a.second == b.second);
  CHECK(a.third == b.third);
}

TEMPLATE_TEST_CASE("exponentials are right down to where they vanish", "", float, double) {
  const auto infinity = std::numeric_limits<TestType>::infinity();
  const std::vector<TestType> row{0, -700, -707, -709, static_cast<TestType>(-1e30), -infinity};
  for (const RowKernels<TestType>* kernels : available_row_kernels<TestType>()) {
    std::vector<double> e(row.size());
    kernels->exponentials(row.data(), row.size(), 0, 1, e.data());
    CHECK(e[0] == 1);
    CHECK(e[1] == Approx(std::exp(-700.0)).epsilon(1e-15).scale(0));
    CHECK(e[2] == Approx(std::exp(-707.0)).epsilon(1e-15).scale(0));
    for (std::size_t j = 3; j < row.size(); ++j) CHECK(e[j] == 0);
    const RowMoments moments = kernels->moments(row.data(), row.size(), 0, 1);
    CHECK(moments.zeroth == 1);
    CHECK(std::abs(moments.third) < 1e-290);
  }
}

TEMPLATE_TEST_CASE("rows with infinities and NaN are told apart", "", float, double) {
  const auto infinity = std::numeric_limits<TestType>::infinity();
  const auto nan = std::numeric_limits<TestType>::quiet_NaN();
  for (const RowKernels<TestType>* kernels : available_row_kernels<TestType>())
    for (const std::size_t at : {0u, 8u, 16u, 19u}) {
      std::vector<TestType> row(20, 1);
      row[(at + 1) % 20] = 3;
      row[at] = -infinity;
      const RowRange range = kernels->range(row.data(), row.size());
      CHECK(range.valid);
      CHECK(range.finite == 19);
      CHECK(range.maximum == 3);
      CHECK(range.minimum == 1);
      CHECK(range.mean_below == Approx(-2.0 * 18 / 19));
      for (const TestType bad : {infinity, nan}) {
        row[at] = bad;
        CHECK_FALSE(kernels->range(row.data(), row.size()).valid);
      }
    }
}
