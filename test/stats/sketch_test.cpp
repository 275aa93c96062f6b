#include "mcomp/stats/sketch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

QuantileSketch sketch_of(const std::vector<double>& values, const SketchOptions& options = {}) {
  auto sketch = QuantileSketch::create(options).value();
  for (const double value : values) sketch.add(value);
  return sketch;
}

/// The largest relative error of 201 quantiles; 0 must be met exactly.
double worst_error(const QuantileSketch& sketch, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  double worst = 0;
  for (int i = 0; i <= 200; ++i) {
    const double p = i / 200.0, estimate = sketch.quantile(p).value();
    const double n = static_cast<double>(values.size());
    const auto rank = static_cast<std::size_t>(std::clamp(std::ceil(n * p * (1 - 1e-15)), 1.0, n));
    const double x = values[rank - 1];
    worst = std::max(worst, x == estimate ? 0 : std::abs(estimate - x) / std::abs(x));
  }
  return worst;
}

} // namespace

TEST_CASE("every quantile is within the promised relative error, whatever the values and their order") {
  Random random(1);
  for (const double accuracy : {.001, .01, .1}) {
    std::vector<std::vector<double>> cases;
    std::vector<double> values;
    for (int i = 0; i < 20000; ++i) values.push_back(std::exp(random.normal()));
    cases.push_back(values);
    std::sort(values.begin(), values.end());
    cases.push_back(values);
    std::reverse(values.begin(), values.end());
    cases.push_back(values);
    values.clear();
    for (int i = 0; i < 5000; ++i) values.push_back(random.normal()); // both signs
    values.insert(values.end(), 500, 0.0);
    cases.push_back(values);
    cases.push_back({1, 1, 1, 1});
    cases.push_back({-3});
    values.clear();
    for (int i = 0; i < 2000; ++i) values.push_back(i % 2 == 0 ? 1e-3 : 1e3 + i); // leaps between far ends
    cases.push_back(values);
    const SketchOptions options{.relative_accuracy = accuracy, .max_bins = 1 << 15};
    for (const auto& each : cases) {
      const auto sketch = sketch_of(each, options);
      CHECK(worst_error(sketch, each) <= accuracy);
      CHECK(sketch.count() == static_cast<std::int64_t>(each.size()));
      CHECK_FALSE(sketch.collapsed());
    }
  }
}

TEST_CASE("the promise holds at the borders of bins and at both ends of the numbers") {
  // The neighbours of borders, where rounding could put a value on the wrong side.
  auto sketch = QuantileSketch::create({.max_bins = 1 << 17}).value();
  Random random(4);
  for (int i = 0; i < 3000; ++i)
    sketch.add(std::ldexp(1 + random.uniform(), static_cast<int>(random.below(2040)) - 1020));
  double worst = 0;
  for (const SketchBin& bin : sketch.bins())
    for (const double border : {bin.lower, bin.upper})
      for (const double x : {std::nextafter(border, 0), border, std::nextafter(border, infinity)}) {
        if (!(x >= 2 * std::numeric_limits<double>::min() && x <= std::numeric_limits<double>::max() / 2)) continue;
        // Between two other values, so that x is a middle rank and not an exact extreme.
        const auto three = sketch_of({.5 * x, x, 2 * x});
        worst = std::max(worst, std::abs(three.quantile(.5).value() - x) / x);
      }
  CHECK(worst <= .01);
  CHECK(worst > .0099); // the whole of the promise is used
  const double normal = std::numeric_limits<double>::min(), most = std::numeric_limits<double>::max();
  CHECK(sketch_of({0, normal, normal}).quantile(.5).value() == Approx(normal).epsilon(.01));
  CHECK(sketch_of({0, most, most}).quantile(.5).value() == Approx(most).epsilon(.01));
  CHECK(sketch_of({-most, -most, 0}).quantile(.5).value() == Approx(-most).epsilon(.01));
  CHECK(sketch_of({-1, 1e-310, 1}).quantile(.5).value() == 0); // below the least normal number
}

TEST_CASE("count, sum and extremes are exact") {
  std::vector<double> values(10, 0.1);
  values.push_back(1e20);
  values.push_back(-1e20);
  const auto sketch = sketch_of(values);
  CHECK(sketch.sum() == 1); // ten times the double nearest to .1 is 1 + 5e-17, rounded once
  CHECK(sketch.min() == -1e20);
  CHECK(sketch.max() == 1e20);
  CHECK(sketch.count() == 12);
  CHECK(sketch.quantile(0).value() == -1e20);
  CHECK(sketch.quantile(1).value() == 1e20);
}

TEST_CASE("sketches merge without loss: any order and grouping gives the same bytes") {
  Random random(7);
  for (const std::int32_t bins : {64, 2048}) { // with and without joined bins
    const SketchOptions options{.max_bins = bins};
    std::vector<double> values;
    for (int i = 0; i < 5000; ++i) {
      const double value = std::exp(4 * random.normal());
      values.push_back(random.below(5) == 0 ? -value : value);
    }
    values.push_back(0);
    const auto whole = sketch_of(values, options);
    CHECK(whole.collapsed() == (bins == 64));
    for (int trial = 0; trial < 10; ++trial) {
      random.shuffle(std::span(values));
      CHECK(sketch_of(values, options) == whole);
      std::vector<QuantileSketch> parts(1 + random.below(9), QuantileSketch::create(options).value());
      for (const double value : values) parts[random.below(parts.size())].add(value);
      while (parts.size() > 1) {
        const auto i = random.below(parts.size() - 1);
        parts[i].merge(parts.back()).value();
        parts.pop_back();
      }
      CHECK(parts.front() == whole);
      CHECK(parts.front().quantile(.9999).value() == whole.quantile(.9999).value());
    }
  }
  auto twice = sketch_of({1, 2, -3}), copy = twice;
  twice.merge(twice).value();
  copy.merge(sketch_of({1, 2, -3})).value();
  CHECK(twice == copy);
  CHECK(twice.count() == 6);
}

TEST_CASE("with too few bins the largest magnitudes keep the promise and the others are refused") {
  Random random(3);
  std::vector<double> values;
  for (int i = 0; i < 20000; ++i) values.push_back(std::exp(8 * random.normal()));
  const auto sketch = sketch_of(values, {.max_bins = 256}); // 256 bins of 2%: a ratio of e^5
  CHECK(sketch.collapsed());
  std::sort(values.begin(), values.end());
  const double top = values[static_cast<std::size_t>(.9999 * 20000) - 1];
  CHECK(sketch.quantile(.9999).value() == Approx(top).epsilon(.01));
  const auto refused = sketch.quantile(.5);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::invalid_argument);
  CHECK(mcomp_test::well_formed(refused.error()));
  CHECK(sketch.quantile(0).value() == values.front()); // exact all the same
  // Values that come below the joined bins later on.
  auto late = sketch_of({1e10}, {.max_bins = 16});
  for (int i = 0; i < 1000; ++i) late.add(i % 2 == 0 ? 1e-300 : 1e10);
  CHECK(late.count() == 1001);
  CHECK(late.bins().size() == 2);
  CHECK(late.quantile(.9).value() == Approx(1e10).epsilon(.01));
}

TEST_CASE("bins tell where the values are") {
  const auto bins = sketch_of({-2, -2, 0, 1, 1, 1, 5}).bins();
  REQUIRE(bins.size() == 4);
  CHECK(bins[0].count == 2);
  CHECK(bins[1] == SketchBin{0, 0, 1});
  CHECK(bins[2].count == 3);
  CHECK((bins[0].lower <= -2 && -2 <= bins[0].upper));
  CHECK((bins[2].lower <= 1 && 1 <= bins[2].upper));
  CHECK((bins[3].lower <= 5 && 5 <= bins[3].upper));
  CHECK(bins[3].upper / bins[3].lower <= 1.01 / .99);
  for (std::size_t i = 1; i < bins.size(); ++i) CHECK(bins[i - 1].upper <= bins[i].lower);
}

TEST_CASE("limits of a quantile allow for the relative error") {
  Random random(9);
  std::vector<double> values;
  for (int i = 0; i < 3000; ++i) values.push_back(std::exp(random.normal()));
  const auto exact = estimate_quantile(values, .9).value(), estimate = sketch_of(values).estimate_quantile(.9).value();
  CHECK(*estimate.lower <= *exact.lower);
  CHECK(*estimate.upper >= *exact.upper);
  CHECK(*estimate.lower >= *exact.lower * .98);
  CHECK(*estimate.upper <= *exact.upper * 1.0203);
  CHECK_FALSE(sketch_of({1, 2, 3}).estimate_quantile(.99).value().upper.has_value());
}

TEST_CASE("what is no value is counted apart, and an empty sketch has no quantiles") {
  auto sketch = sketch_of({nan_value, infinity, -infinity});
  CHECK(sketch.rejected() == 3);
  CHECK(sketch.count() == 0);
  CHECK(sketch.sum() == 0);
  CHECK(std::isnan(sketch.min()));
  CHECK(std::isnan(sketch.mean()));
  CHECK(sketch.quantile(.5).error().code() == ErrorCode::insufficient_data);
  CHECK(fmt::format("{}", sketch) == "no values");
  sketch.add(-1);
  sketch.add(5e-324);
  CHECK(sketch.quantile(1).value() == 5e-324);
  auto times = sketch_of({1, -1, -0.0}, {.negative_values = false});
  CHECK(times.rejected() == 1);
  CHECK(times.count() == 2);
  for (const double p : {-.1, 1.1, nan_value}) CHECK_FALSE(sketch.quantile(p));
  CHECK_FALSE(sketch.estimate_quantile(.5, 1));
  CHECK_FALSE(sketch.merge(times));
  CHECK(mcomp_test::well_formed(sketch.merge(sketch_of({}, {.max_bins = 99})).error()));
  for (const double bad : {0.0, .9, nan_value, -1.0}) CHECK_FALSE(QuantileSketch::create({.relative_accuracy = bad}));
  CHECK_FALSE(QuantileSketch::create({.max_bins = 15}));
  CHECK_FALSE(QuantileSketch::create({.max_bins = (1 << 20) + 1}));
  CHECK(fmt::format("{}", sketch_of({1, 2, 4})) == "3 values, 1 .. 4, mean 2.333, p50 1.988, p95 4, p99 4 (within 1%)");
}

TEST_CASE("a sketch survives its bytes, and goes on as if nothing had been") {
  Random random(5);
  for (const std::int32_t bins : {32, 2048})
    for (const int n : {0, 1, 3000}) {
      auto sketch = QuantileSketch::create({.max_bins = bins}).value();
      for (int i = 0; i < n; ++i) sketch.add(random.normal() * std::exp(3 * random.normal()));
      sketch.add(nan_value);
      if (n > 1) sketch.add(0);
      auto read = QuantileSketch::from_bytes(sketch.to_bytes()).value();
      CHECK(read == sketch);
      for (int i = 0; i < 100; ++i) {
        const double value = std::exp(9 * random.normal());
        read.add(value);
        sketch.add(value);
      }
      CHECK(read == sketch);
      CHECK(read.sum() == sketch.sum());
    }
}

TEST_CASE("bytes that no sketch writes are refused") {
  Random random(6);
  auto sketch = QuantileSketch::create({.max_bins = 32}).value();
  for (int i = 0; i < 500; ++i) sketch.add(random.normal() * std::exp(2 * random.normal()));
  const auto good = sketch.to_bytes();
  const auto code = [](std::vector<std::byte> bytes) {
    const auto read = QuantileSketch::from_bytes(bytes);
    if (read) return ErrorCode::cancelled; // stands for success
    CHECK(mcomp_test::well_formed(read.error()));
    return read.error().code();
  };
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK(code({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}) == ErrorCode::corrupt);
  auto longer = good;
  longer.push_back(std::byte{0});
  CHECK(code(longer) == ErrorCode::corrupt);
  auto later = good;
  later[4] = std::byte{2};
  CHECK(code(later) == ErrorCode::version_mismatch);
  // Any other byte: refused, or a sketch that writes these very bytes.
  int refused = 0;
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const int flip : {1, 0x80, 0xff}) {
      auto changed = good;
      changed[i] ^= static_cast<std::byte>(flip);
      const auto read = QuantileSketch::from_bytes(changed);
      if (read) CHECK(read->to_bytes() == changed);
      refused += !read;
    }
  CHECK(refused > static_cast<int>(good.size()));
}
