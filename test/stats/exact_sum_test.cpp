#include "mcomp/stats/exact_sum.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
double exact(const std::vector<double>& values) {
  ExactSum sum;
  for (const double value : values) sum.add(value);
  return sum.value();
}
constexpr double largest = std::numeric_limits<double>::max(), smallest = std::numeric_limits<double>::denorm_min();
} // namespace

TEST_CASE("an exact sum loses nothing, whatever is added and in whatever order") {
  CHECK(exact({}) == 0);
  CHECK(exact({1e100, 1, -1e100}) == 1);
  CHECK(exact({largest, largest, -largest, -largest, smallest}) == smallest);
  CHECK(exact({largest, largest}) == std::numeric_limits<double>::infinity());
  CHECK(exact({-largest, -largest}) == -std::numeric_limits<double>::infinity());
  CHECK(exact({1, 0x1p-53}) == 1);                     // half a unit: to even
  CHECK(exact({1, 0x1p-53, smallest}) == 1 + 0x1p-52); // a little more than half
  CHECK(exact({1, 0x1p-52, 0x1p-53}) == 1 + 0x1p-51);
  CHECK(exact({smallest, smallest, -3 * smallest}) == -smallest);
  CHECK(exact({std::numeric_limits<double>::quiet_NaN(), 2, std::numeric_limits<double>::infinity()}) == 2);
}

TEST_CASE("whole numbers and dyadic fractions are summed as by integers") {
  Random random(2);
  for (int trial = 0; trial < 200; ++trial) {
    ExactSum sum, halves[2];
    std::int64_t expected = 0;
    for (int i = 0; i < 100; ++i) {
      const auto value = static_cast<std::int64_t>(random.next() >> 20) - (std::int64_t{1} << 43);
      expected += value;
      sum.add(static_cast<double>(value) * 0x1p-70);
      halves[i % 2].add(static_cast<double>(value) * 0x1p-70);
    }
    CHECK(sum.value() == std::ldexp(static_cast<double>(expected), -70));
    halves[0].add(halves[1]);
    CHECK(halves[0] == sum);
    CHECK(ExactSum::from_digits(sum.digits()) == sum);
  }
}
