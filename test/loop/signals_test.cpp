#include "mcomp/loop/signals.hpp"

#include <cmath>

#include "catch.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/monitor/instruments.hpp"

using namespace mcomp;
using namespace mcomp::loop;

TEST_CASE("the feature that moved most speaks for its slice", "[loop]") {
  monitor::DriftAnswer answer;
  answer.features = {
      {.feature = "country", .slice = "region=eu", .count = 800, .population_stability = 0.1, .p_value = 0.5},
      {.feature = "brightness", .slice = "region=eu", .count = 800, .population_stability = 0.4, .p_value = 1e-5},
      {.feature = "brightness", .slice = "", .count = 2000, .population_stability = 0.05, .p_value = 0.2}};
  const auto signals = drift_signals(answer);
  CHECK(signals == std::vector<DriftSignal>{{"all inputs", 0.05, 0.2, 2000}, {"region=eu", 0.4, 1e-5, 800}});
  CHECK(drift_signals({}).empty());
}

TEST_CASE("a calibration signal of honest confidences has a lower end of 0, and one of proud ones has not", "[loop]") {
  auto instruments = monitor::Instruments::create({.waiting = 1 << 14}).value();
  auto recorder = instruments.recorder().value();
  double now = 1;
  const auto serve = [&](double pride, int requests) {
    static std::uint64_t id = 0;
    Random random(5);
    for (int i = 0; i < requests; ++i) {
      const double p = 0.3 + 0.6 * random.uniform();
      recorder.record(monitor::SeriesKey{}, {.confidence = p, .cost = 0.002, .request = ++id, .predicted = 1});
      recorder.label(id, random.uniform() < p - pride ? 1 : 0);
    }
    REQUIRE(instruments.collect(now));
    const auto series = instruments.last(now, 60).value().total();
    now += 600;
    return series;
  };
  const auto honest = serve(0, 4000);
  const auto signal = calibration_signal(honest);
  REQUIRE(signal);
  CHECK(signal->samples == 4000);
  CHECK(signal->error > 0); // which is noise alone
  CHECK(signal->lower < 0.001);
  const auto proud = calibration_signal(serve(0.1, 4000));
  REQUIRE(proud);
  CHECK(proud->error == Approx(0.1).margin(0.02));
  CHECK(proud->lower > 0.03);
  CHECK(proud->lower < proud->error);
  CHECK(calibration_signal(serve(0.1, 30))->lower < proud->lower); // few labels say less
  CHECK_FALSE(calibration_signal({}));
  CHECK_FALSE(calibration_signal(honest, 1));
  // What a rule of triggers makes of it.
  WatchState state;
  state.situation.calibration_error = 0.005;
  Observation seen{.time = 1, .calibration = signal};
  CHECK(watch(state, seen).value().triggers.empty());
  seen.calibration = proud;
  CHECK(watch(state, seen).value().triggers.size() == 1);

  const auto cost = cost_signal(honest);
  REQUIRE(cost);
  CHECK(cost->requests == 4000);
  CHECK(cost->per_million == Approx(2000));
  CHECK_FALSE(cost_signal({}));
}

TEST_CASE("the lower end of a calibration signal is above the truth in no more than a twentieth of the cases",
          "[loop]") {
  constexpr int cases = 1000, labels = 1000;
  for (const double pride : {0.0, 0.05}) {
    int above = 0;
    for (int seed = 0; seed < cases; ++seed) {
      Random random(static_cast<std::uint64_t>(seed) + 1);
      monitor::SeriesSnapshot series;
      for (int i = 0; i < labels; ++i) {
        const double p = 0.3 + 0.6 * random.uniform();
        const auto bin = static_cast<std::size_t>(std::ceil(p * monitor::confidence_bins)) - 1;
        ++series.labelled[bin];
        series.labelled_right[bin] += random.uniform() < p - pride ? 1 : 0;
        series.labelled_confidence[bin] += std::llround(p * 1e6);
      }
      above += calibration_signal(series).value().lower > pride ? 1 : 0;
    }
    INFO("pride " << pride << ": above in " << above);
    CHECK(above <= cases / 20);
  }
}
