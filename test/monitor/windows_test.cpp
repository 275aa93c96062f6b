// Burn rates, heartbeats and windows of sketches.

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/monitor/burn_rate.hpp"
#include "mcomp/monitor/heartbeat.hpp"
#include "mcomp/monitor/sketch_window.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
}

TEST_CASE("the workbook's windows use up 2, 5 and 10 percent of thirty days") {
  const BurnRateOptions options;
  const std::vector<double> shares{0.02, 0.05, 0.10};
  for (std::size_t i = 0; i < shares.size(); ++i)
    CHECK(BurnRate::consumed(options.windows[i], options.period_seconds) == Approx(shares[i]).epsilon(1e-12));
}

TEST_CASE("a burn fires where both windows burn, and stops with the short one") {
  BurnRate burn = BurnRate::create({.objective = 0.999}).value();
  CHECK(burn.answer(0).no_data);
  CHECK_FALSE(burn.answer(0).fires);
  // An hour at 0.1% errors: rate 1. Then 2% errors: rate 20 in the short window at once, in the long one
  // after 1 - (1 - x/3600) ... : (20 - 1) x / 3600 + 1 >= 14.4 from x = 2539 s on.
  double fired = -1;
  for (double t = 0; t < 7200; t += 30) {
    const bool good = t < 3600;
    REQUIRE(burn.add(t, good ? 999 : 980, good ? 1 : 20));
    if (t == 3570) {
      CHECK(burn.answer(t).windows[0].long_rate == Approx(1));
      CHECK_FALSE(burn.answer(t).fires);
    }
    if (fired < 0 && burn.answer(t).windows[0].fires) fired = t - 3600;
  }
  CHECK(fired == Approx(2539).margin(30));
  CHECK(burn.answer(7170).fires);
  CHECK(burn.answer(7170).windows[0].short_rate == Approx(20));
  for (double t = 7200; t < 7200 + 330; t += 30) REQUIRE(burn.add(t, 1000, 0));
  CHECK_FALSE(burn.answer(7500).windows[0].fires); // the last five minutes are good
  CHECK(burn.answer(7500).windows[0].long_rate > 14.4);
  CHECK(burn.answer(7500 + 400).windows[0].short_events == 0);
  CHECK_FALSE(burn.answer(7500 + 400).windows[0].fires);
}

TEST_CASE("events that come late count where they belong, or not at all") {
  BurnRate burn = BurnRate::create({.windows = {{600, 60, 1}}, .resolution_seconds = 10}).value();
  REQUIRE(burn.add(1000, 5, 0));
  REQUIRE(burn.add(950, 0, 5)); // out of order
  CHECK(burn.answer(1000).windows[0].short_events == 10);
  REQUIRE(burn.add(100, 0, 7));
  CHECK(burn.late() == 7);
  CHECK(burn.answer(1000).windows[0].long_events == 10);
  CHECK_FALSE(burn.add(nan_value, 1, 1));
  CHECK_FALSE(burn.add(-1, 1, 1));
  CHECK_FALSE(burn.add(1, -1, 1));
  CHECK_FALSE(burn.add(1, std::numeric_limits<std::int64_t>::max(), 1));
  CHECK(burn.answer(nan_value).no_data);
  CHECK(burn.answer(1e300).no_data);
  const auto rejected = [](const BurnRateOptions& options) {
    const auto made = BurnRate::create(options);
    return !made && mcomp_test::well_formed(made.error());
  };
  CHECK(rejected({.objective = 1}));
  CHECK(rejected({.objective = nan_value}));
  CHECK(rejected({.windows = {}}));
  CHECK(rejected({.windows = {{60, 600, 1}}}));
  CHECK(rejected({.windows = {{600, 60, 0}}}));
  CHECK(rejected({.resolution_seconds = 1e-6}));
  CHECK(rejected({.least_events = 0}));
}

TEST_CASE("a heartbeat is unknown, alive or lost, and never revived by an old beat") {
  Heartbeat heart = Heartbeat::create({.timeout_seconds = 10, .first_timeout_seconds = 20}, 100).value();
  CHECK(heart.pulse(110) == Pulse::unknown);
  CHECK(heart.pulse(121) == Pulse::lost);
  heart.beat(115);
  CHECK(heart.pulse(125) == Pulse::alive);
  CHECK(heart.pulse(125.1) == Pulse::lost);
  heart.beat(90);
  heart.beat(nan_value);
  CHECK(heart.beats() == 1);
  CHECK(heart.pulse(nan_value) == Pulse::lost);
  CHECK_FALSE(Heartbeat::create({.timeout_seconds = 0}, 0));
  CHECK_FALSE(Heartbeat::create({}, nan_value));
}

TEST_CASE("windows of several shards merge to the same bytes in any order") {
  const SketchWindowOptions options{.window_seconds = 10, .windows = 6};
  SketchWindows whole = SketchWindows::create(options).value(), a = whole, b = whole, c = whole;
  Random random(2);
  for (int i = 0; i < 3000; ++i) {
    const double t = 100 + 55 * random.uniform(), value = std::exp(random.normal());
    whole.add(t, value);
    (i % 3 == 0 ? a : i % 3 == 1 ? b : c).add(t, value);
  }
  SketchWindows forward = a, backward = c;
  REQUIRE(forward.merge(b));
  REQUIRE(forward.merge(c));
  REQUIRE(backward.merge(b));
  REQUIRE(backward.merge(a));
  for (const double seconds : {5.0, 20.0, 60.0}) {
    const auto bytes = whole.last(154, seconds).value().to_bytes();
    CHECK(forward.last(154, seconds).value().to_bytes() == bytes);
    CHECK(backward.last(154, seconds).value().to_bytes() == bytes);
  }
  CHECK(whole.last(154, 60).value().count() == 3000);
}

TEST_CASE("old windows make room, and the last seconds are those asked for") {
  SketchWindows ring = SketchWindows::create({.window_seconds = 1, .windows = 5}).value();
  for (int t = 0; t < 20; ++t) ring.add(t + 0.5, t);
  CHECK(ring.last(19.9, 1).value().count() == 2); // of the window before what is left of it counts whole
  CHECK(ring.last(19.9, 0.5).value().count() == 1);
  CHECK(ring.last(19.9, 0.5).value().min() == 19);
  CHECK(ring.last(19.9, 5).value().count() == 5);
  CHECK(ring.last(19.9, 5).value().min() == 15);
  CHECK(ring.last(40, 5).value().count() == 0);
  ring.add(3, 1);
  CHECK(ring.late() == 1);
  ring.add(nan_value, 1);
  ring.add(-1, 1);
  CHECK(ring.rejected() == 2);
  CHECK_FALSE(ring.last(19.9, 6));
  CHECK_FALSE(ring.last(19.9, 0));
  CHECK_FALSE(ring.last(nan_value, 1));
  CHECK_FALSE(ring.merge(ring));
  CHECK_FALSE(ring.merge(SketchWindows::create({.window_seconds = 2, .windows = 5}).value()));
  CHECK_FALSE(SketchWindows::create({.window_seconds = 0}));
  CHECK_FALSE(SketchWindows::create({.windows = 0}));
}
