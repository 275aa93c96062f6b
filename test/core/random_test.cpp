#include "mcomp/core/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "catch.hpp"

using mcomp::Random;

TEST_CASE("SplitMix64 gives the sequence of its authors' reference code for seed 1234567") {
  std::uint64_t state = 1234567;
  for (const std::uint64_t expected :
       std::initializer_list<std::uint64_t>{6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                            4593380528125082431u, 16408922859458223821u})
    CHECK(mcomp::splitmix64(state) == expected);
}

TEST_CASE("xoshiro256++ gives the sequence of its authors' reference code for state 1 2 3 4") {
  Random random = Random::from_state({1, 2, 3, 4});
  for (const std::uint64_t expected : std::initializer_list<std::uint64_t>{
           41943041u, 58720359u, 3588806011781223u, 3591011842654386u, 9228616714210784205u, 9973669472204895162u,
           14011001112246962877u, 12406186145184390807u, 15849039046786891736u, 10450023813501588000u})
    CHECK(random.next() == expected);
}

TEST_CASE("the same seed gives the same numbers, another stream others") {
  Random a(7), b(7), c(7, 0), d(7, 1);
  CHECK(a.next() == b.next());
  CHECK(c.next() != d.next());
}

TEST_CASE("below is within its bound, reaches every value and survives a bound of zero") {
  Random random(3);
  std::array<int, 5> counts{};
  for (int i = 0; i < 5000; ++i) ++counts.at(random.below(5));
  for (const int count : counts) CHECK(std::abs(count - 1000) < 150); // 5 standard deviations are 141
  CHECK(random.below(0) == 0);
}

TEST_CASE("normal numbers have mean 0 and variance 1 within five standard errors") {
  Random random(11);
  constexpr int n = 20000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  CHECK(std::abs(sum / n) < 5 / std::sqrt(double{n}));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
}

TEST_CASE("shuffle keeps the elements") {
  std::vector<int> items(50);
  std::iota(items.begin(), items.end(), 0);
  std::vector<int> shuffled = items;
  Random(5).shuffle(std::span(shuffled));
  CHECK(shuffled != items);
  std::sort(shuffled.begin(), shuffled.end());
  CHECK(shuffled == items);
}
