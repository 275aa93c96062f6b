// Instruments: what is counted, by whom, and that counting costs neither memory nor locks.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <numeric>
#include <thread>

#include "allocations.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "room_golden.hpp"
#include "mcomp/calibrate/calibration_error.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/monitor/instruments.hpp"
#include "mcomp/stats/quantile.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

/// Requests with every kind of count, as of shard `shard`.
void serve(Instruments& instruments, Recorder& recorder, int shard, int requests) {
  Random random(7, static_cast<std::uint64_t>(shard));
  const std::vector<NameId> regions{instruments.name(Dimension::region, "eu").value(),
                                    instruments.name(Dimension::region, "us").value()};
  const NameId version = instruments.name(Dimension::model_version, "v1").value();
  const std::uint32_t layer = instruments.layer("conv1").value();
  for (int i = 0; i < requests; ++i) {
    const std::array<double, 2> stages{0.001 * random.uniform(), 0.01 * random.uniform()};
    const double p = 0.5 + 0.5 * random.uniform();
    const auto id = static_cast<std::uint64_t>(shard) << 32 | static_cast<std::uint64_t>(i + 1);
    const SeriesKey key{.model_version = version, .region = regions[random.below(2)]};
    recorder.record(key, {.seconds = stages[0] + stages[1],
                          .stage_seconds = stages,
                          .error = random.below(50) == 0,
                          .confidence = p,
                          .cost = 1e-6 * random.uniform(),
                          .request = id,
                          .predicted = 3});
    if (i % 3 == 0) recorder.label(id, random.uniform() < p ? 3 : 4);
    if (i % 5 == 0) recorder.feedback(id, random.uniform());
    recorder.activations(layer, 1000, static_cast<std::int64_t>(random.below(4)));
  }
}

const InstrumentOptions two_stages{
    .stages = {"queue", "compute"}, .max_series = 8, .waiting = 1024, .window_seconds = 10, .windows = 60};

ServiceSnapshot without_process(ServiceSnapshot snapshot) {
  snapshot.process.reset();
  return snapshot;
}

} // namespace

TEST_CASE("a request counts under its six names, by stage, confidence, cost and label", "[instruments]") {
  Instruments instruments = Instruments::create(two_stages).value();
  Recorder recorder = instruments.recorder().value();
  const NameId v1 = instruments.name(Dimension::model_version, "v1").value();
  const NameId eu = instruments.name(Dimension::region, "eu").value();
  const NameId old = instruments.name(Dimension::cohort, "old users").value();
  const NameId fast = instruments.name(Dimension::latency_tier, "fast").value();
  const NameId dark = instruments.name(Dimension::edge_case, "dark").value();
  const NameId cpu = instruments.name(Dimension::device, "cpu").value();
  CHECK(instruments.name(Dimension::region, "eu").value() == eu);
  const SeriesKey key{v1, eu, old, fast, dark, cpu};
  const std::array<double, 2> stages{0.25, Event::none};
  recorder.record(
      key, {.seconds = 0.5, .stage_seconds = stages, .confidence = 0.8, .cost = 0.002, .request = 9, .predicted = 1});
  recorder.record(key, {.seconds = 1.5, .error = true});
  recorder.record(SeriesKey{}, {.confidence = 0.6, .request = 10, .predicted = 2});
  recorder.label(9, 1);
  recorder.label(10, 1);
  recorder.feedback(9, 0.75);
  recorder.feedback(recorder.series(key), 0.25);
  const std::uint32_t layer = instruments.layer("conv1").value();
  recorder.activations(layer, 100, 7);
  CHECK(instruments.last(105, 10).value().series.empty()); // nothing has been collected
  REQUIRE(instruments.collect(105));
  const ServiceSnapshot now = instruments.last(105, 5).value();
  CHECK(now.begin == 100);
  CHECK(now.end == 110);
  REQUIRE(now.series.size() == 2);
  CHECK(now.series[0].labels == std::array<std::string, 6>{});
  const SeriesSnapshot& s = now.series[1];
  CHECK(s.labels == std::array<std::string, 6>{"v1", "eu", "old users", "fast", "dark", "cpu"});
  CHECK(s.events == 2);
  CHECK(s.errors == 1);
  CHECK(s.latency.count() == 2);
  CHECK(s.latency.mean_seconds() == 1.0);
  CHECK(s.stages[0].count() == 1);
  CHECK(s.stages[0].quantile(1).value() == Approx(0.25).epsilon(LatencyBins::relative_error));
  CHECK(s.stages[1].count() == 0);
  CHECK(s.mean_confidence().value() == Approx(0.8));
  CHECK(s.accuracy().value() == 1);
  CHECK(s.calibration_error().value() == Approx(0.2));
  CHECK(s.mean_satisfaction().value() == Approx(0.5));
  CHECK(s.total_cost() == Approx(0.002));
  CHECK(now.series[0].accuracy().value() == 0);
  CHECK(now.series[0].calibration_error().value() == Approx(0.6));
  REQUIRE(now.layers.size() == 1);
  CHECK(now.layers[0] == LayerSnapshot{"conv1", 100, 7});
  CHECK(now.losses == ServiceLosses{});
  CHECK(now.events_per_second() == Approx(0.3));
  CHECK(now.by("region").value()[1].labels[1] == "eu");
  CHECK_FALSE(now.by("planet"));
#ifdef __linux__
  REQUIRE(now.process);
  CHECK(now.process->cpu_seconds > 0);
  CHECK(now.process->resident_bytes > 100'000);
#endif
  CHECK(to_string(now).find("model_version=v1 & region=eu & cohort=old users") != std::string::npos);
}

TEST_CASE("recording, labels and feedback allocate nothing", "[instruments]") {
  Instruments instruments =
      Instruments::create({.stages = {"queue", "compute"}, .max_series = 4, .waiting = 64}).value();
  Recorder recorder = instruments.recorder().value();
  std::vector<NameId> cohorts;
  for (int c = 0; c < 8; ++c) cohorts.push_back(instruments.name(Dimension::cohort, "c" + std::to_string(c)).value());
  const std::uint32_t layer = instruments.layer("conv1").value();
  const std::array<double, 2> stages{0.1, 0.2};
  const std::int64_t before = mcomp_test::allocations();
  for (std::uint64_t i = 1; i < 2000; ++i) { // new series, the overflow, displaced requests and refusals among them
    recorder.record({.cohort = cohorts[i % 8]},
                    {.seconds = 0.3, .stage_seconds = stages, .confidence = 0.7, .cost = 1, .request = i});
    recorder.label(i, 0);
    recorder.label(i, 0);
    recorder.feedback(i, 0.5);
    recorder.record(recorder.series({.cohort = cohorts[0]}), {.seconds = nan_value});
    recorder.activations(layer, 10, 1);
  }
  CHECK(mcomp_test::allocations() == before);
  auto probe = std::make_unique<int>(1); // the counter counts
  CHECK(mcomp_test::allocations() == before + (mcomp_test::counts_allocations ? 1 : 0));
  REQUIRE(instruments.collect(1));
  CHECK(instruments.since_start().total().events == 2 * 1999);
}

TEST_CASE("eight threads count every request once while a reader collects", "[instruments]") {
  constexpr int threads = 8, requests = 3000;
  Instruments instruments =
      Instruments::create({.stages = {"queue", "compute"}, .max_series = 8, .waiting = 1 << 15}).value();
  std::atomic<int> running{threads};
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&instruments, &running, t] {
      Recorder recorder = instruments.recorder().value();
      serve(instruments, recorder, t, requests);
      --running;
    });
  double now = 0;
  while (running > 0) REQUIRE(instruments.collect(now += 0.01));
  for (std::thread& thread : pool) thread.join();
  REQUIRE(instruments.collect(now));
  const ServiceSnapshot all = without_process(instruments.since_start());

  // The same requests by one recorder, in one go.
  Instruments alone =
      Instruments::create({.stages = {"queue", "compute"}, .max_series = 8, .waiting = 1 << 15}).value();
  Recorder recorder = alone.recorder().value();
  for (int t = 0; t < threads; ++t) serve(alone, recorder, t, requests);
  REQUIRE(alone.collect(0));
  const ServiceSnapshot expected = without_process(alone.since_start());
  CHECK(all.series.size() == 2);
  CHECK(all.total().events == threads * requests);
  CHECK(all.layers == expected.layers);
  CHECK(all.losses.rejected_values == 0);
  // Which request is displaced where places are short may differ; all else is the same.
  SeriesSnapshot a = all.total(), b = expected.total();
  if (all.losses.labels_unmatched == 0 && expected.losses.labels_unmatched == 0) {
    CHECK(all.series == expected.series);
  } else {
    CHECK(a.latency == b.latency);
    CHECK(a.confidences == b.confidences);
  }
  // Windows hold the same as the whole.
  CHECK(without_process(instruments.last(now, 3600).value()).series == all.series);
}

TEST_CASE("a recorder that ends hands its memory on, and its counts stay", "[instruments]") {
  Instruments instruments = Instruments::create({.max_series = 4, .max_recorders = 2, .waiting = 0}).value();
  for (int i = 0; i < 10; ++i) {
    std::thread([&] {
      Recorder recorder = instruments.recorder().value();
      recorder.record(SeriesKey{}, {.seconds = 1});
    }).join();
  }
  const std::int64_t bytes = instruments.fixed_bytes();
  Recorder first = instruments.recorder().value(), second = instruments.recorder().value();
  CHECK(instruments.fixed_bytes() < 3 * bytes);
  const auto third = instruments.recorder();
  REQUIRE_FALSE(third);
  CHECK(mcomp_test::well_formed(third.error()));
  Recorder moved = std::move(first);
  first = std::move(moved);
  CHECK_FALSE(instruments.recorder());
  { const Recorder gone = std::move(second); }
  CHECK(instruments.recorder());
  REQUIRE(instruments.collect(0));
  CHECK(instruments.since_start().total().events == 10);
  second.record(SeriesKey{}, {.seconds = 1}); // of a recorder that was moved from: nothing
  second.label(1, 1);
  second.feedback(1, 1);
  second.activations(0, 1, 1);
  CHECK(second.series({}).index == 0);
}

TEST_CASE("too many names and combinations count as overflow, in fixed memory", "[instruments]") {
  Instruments instruments = Instruments::create({.max_names = 3, .max_series = 5, .waiting = 16}).value();
  Recorder recorder = instruments.recorder().value();
  std::vector<NameId> regions, cohorts;
  for (int i = 0; i < 6; ++i) regions.push_back(instruments.name(Dimension::region, "r" + std::to_string(i)).value());
  for (int i = 0; i < 3; ++i) cohorts.push_back(instruments.name(Dimension::cohort, "c" + std::to_string(i)).value());
  CHECK(regions[3] == regions[5]);
  CHECK(regions[3] == instruments.name(Dimension::region, "overflow").value());
  const std::int64_t bytes = instruments.fixed_bytes();
  for (int round = 0; round < 50; ++round)
    for (const NameId region : regions)
      for (const NameId cohort : cohorts) recorder.record({.region = region, .cohort = cohort}, {.seconds = 0.1});
  recorder.record({.region = 500}, {.seconds = 0.1}); // a number that no name has
  CHECK(instruments.fixed_bytes() == bytes);
  REQUIRE(instruments.collect(1));
  const ServiceSnapshot all = instruments.since_start();
  CHECK(all.series.size() == 6);
  CHECK(all.total().events == 50 * 18 + 1);
  const std::array<std::string, 6> overflow{"overflow", "overflow", "overflow", "overflow", "overflow", "overflow"};
  const auto rest =
      std::find_if(all.series.begin(), all.series.end(), [&](const auto& s) { return s.labels == overflow; });
  REQUIRE(rest != all.series.end());
  CHECK(rest->events == all.losses.overflow_events);
  // Twelve combinations (three regions and "overflow", three cohorts), five of which have room.
  CHECK(all.losses.overflow_events == 50 * (18 - 5) + 1);
}

TEST_CASE("windows, shards and processes merge to the same bytes in any order", "[instruments]") {
  std::vector<ServiceSnapshot> parts;
  for (int process = 0; process < 3; ++process) {
    Instruments instruments = Instruments::create(two_stages).value();
    for (int window = 0; window < 4; ++window) {
      Recorder recorder = instruments.recorder().value();
      serve(instruments, recorder, process * 10 + window, 300);
      REQUIRE(instruments.collect(10 * window + 1));
      parts.push_back(instruments.last(10 * window + 1, 0.5).value());
    }
    ServiceSnapshot sum = parts[parts.size() - 4];
    for (std::size_t w = parts.size() - 3; w < parts.size(); ++w) REQUIRE(sum.merge(parts[w]));
    ServiceSnapshot whole = without_process(instruments.since_start());
    whole.begin = sum.begin;
    whole.end = sum.end;
    CHECK(to_json(without_process(sum)) == to_json(whole));
  }
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(4);
  std::string bytes;
  for (int round = 0; round < 10; ++round) {
    ServiceSnapshot forward = parts[order[0]], grouped = parts[order[6]];
    for (std::size_t i = 1; i < 6; ++i) REQUIRE(forward.merge(parts[order[i]]));
    for (std::size_t i = 7; i < 12; ++i) REQUIRE(grouped.merge(parts[order[i]]));
    REQUIRE(forward.merge(grouped));
    if (bytes.empty()) bytes = to_json(forward);
    CHECK(to_json(forward) == bytes);
    random.shuffle(std::span(order));
  }
  CHECK(ServiceSnapshot::parse(bytes).value() == ServiceSnapshot::parse(bytes).value());
  CHECK(to_json(ServiceSnapshot::parse(bytes).value()) == bytes);
  ServiceSnapshot other = parts[0];
  other.stages[0] = "another";
  CHECK_FALSE(parts[0].merge(other));
  const ServiceSnapshot before = parts[0];
  REQUIRE(parts[0].merge(parts[0]));
  CHECK(parts[0].total().events == 2 * before.total().events);
}

TEST_CASE("labels that come late give the calibration error of the same rows", "[instruments]") {
  Instruments instruments = Instruments::create({.waiting = 1 << 16}).value();
  Recorder serving = instruments.recorder().value(), labelling = instruments.recorder().value();
  Random random(3);
  std::vector<double> confidences;
  std::vector<std::uint8_t> correct;
  std::vector<std::uint32_t> labels;
  for (std::uint64_t id = 1; id <= 2000; ++id) {
    const double p = std::round(1e6 * random.uniform()) / 1e6; // as finely as it is kept
    const auto predicted = static_cast<std::uint32_t>(random.below(10));
    serving.record(SeriesKey{}, {.confidence = p, .request = id * 977, .predicted = predicted});
    confidences.push_back(p);
    const bool right = random.uniform() < p * p;
    correct.push_back(right ? 1 : 0);
    labels.push_back(right ? predicted : predicted + 1);
  }
  REQUIRE(instruments.collect(10));
  for (std::uint64_t id = 1; id <= 2000; ++id) labelling.label(id * 977, labels[id - 1]); // windows later
  labelling.label(977, labels[0]);
  labelling.label(5, 1);
  REQUIRE(instruments.collect(1000));
  const ServiceSnapshot late = instruments.last(1000, 1).value();
  REQUIRE(late.series.size() == 1);
  CHECK(late.series[0].events == 0);
  REQUIRE(instruments.since_start().losses.requests_displaced == 0);
  CHECK(late.series[0].labels_seen() == 2000);
  CHECK(late.series[0].calibration_error().value() ==
        Approx(calibrate::calibration_error(confidences, correct).value()).epsilon(1e-9));
  CHECK(late.losses.labels_repeated == 1);
  CHECK(late.losses.labels_unmatched == 1);
  const double mean = std::accumulate(confidences.begin(), confidences.end(), 0.0) / 2000;
  CHECK(instruments.since_start().total().mean_confidence().value() == Approx(mean).epsilon(1e-9));
}

TEST_CASE("requests that wait too long make room, the oldest first, and are counted", "[instruments]") {
  Instruments instruments = Instruments::create({.waiting = 64}).value();
  Recorder recorder = instruments.recorder().value();
  const auto send = [&](std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t id = first; id < first + count; ++id)
      recorder.record(SeriesKey{}, {.confidence = 0.5, .request = id});
    REQUIRE(instruments.collect(static_cast<double>(first)));
  };
  send(1, 40);
  send(1001, 64);
  const std::int64_t displaced = instruments.since_start().losses.requests_displaced;
  CHECK(displaced >= 40); // of 104 requests at most 64 wait
  std::int64_t matched = 0, matched_old = 0;
  for (std::uint64_t id = 1; id <= 40; ++id) recorder.label(id, 0);
  REQUIRE(instruments.collect(2000));
  matched_old = instruments.last(2000, 1).value().total().labels_seen();
  for (std::uint64_t id = 1001; id < 1065; ++id) recorder.label(id, 0);
  REQUIRE(instruments.collect(3000));
  matched = instruments.last(3000, 1).value().total().labels_seen();
  CHECK(matched_old + matched + displaced == 104);
  CHECK(matched > 40);     // of 64 young ones
  CHECK(matched_old < 20); // of 40 old ones
}

TEST_CASE("quantiles of bins are within the error that is promised", "[instruments]") {
  Instruments instruments = Instruments::create({.waiting = 0}).value();
  Recorder recorder = instruments.recorder().value();
  Random random(11);
  std::vector<double> values;
  for (int i = 0; i < 5000; ++i) {
    values.push_back(0.02 * std::exp(1.5 * random.normal()));
    recorder.record(SeriesKey{}, {.seconds = values.back()});
  }
  REQUIRE(instruments.collect(0));
  const LatencyBins bins = instruments.since_start().total().latency;
  for (const double p : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double exact = stats::quantile(values, p).value();
    CHECK(std::abs(bins.quantile(p).value() - exact) <= LatencyBins::relative_error * exact * (1 + 1e-12));
  }
  CHECK(bins.mean_seconds() == Approx(std::accumulate(values.begin(), values.end(), 0.0) / 5000).epsilon(1e-7));
  for (const double border : {0x1p-6, 0x1p-5, 1.25})
    CHECK(bins.at_most(border) == std::count_if(values.begin(), values.end(), [&](double v) { return v <= border; }));
  // Borders belong to the bin below, and every bin holds what lies between its borders.
  CHECK(LatencyBins::bin(0) == 0);
  CHECK(LatencyBins::bin(0x1p-20) == 0);
  CHECK(LatencyBins::bin(0x1p10) == LatencyBins::bins - 2);
  CHECK(LatencyBins::bin(0x1.000001p10) == LatencyBins::bins - 1);
  for (std::uint32_t b = 1; b < LatencyBins::bins - 1; ++b) {
    const double upper = LatencyBins::upper_border(b), lower = LatencyBins::upper_border(b - 1);
    REQUIRE(LatencyBins::bin(upper) == b);
    REQUIRE(LatencyBins::bin(std::nextafter(lower, 2 * lower)) == b);
  }
  CHECK_FALSE(bins.quantile(1.5));
  CHECK_FALSE(LatencyBins{}.quantile(0.5));
}

TEST_CASE("what cannot be is refused and counted", "[instruments]") {
  Instruments instruments = Instruments::create({.stages = {"a"}, .max_layers = 1, .waiting = 4}).value();
  Recorder recorder = instruments.recorder().value();
  const std::array<double, 2> stages{nan_value, 1};
  recorder.record(SeriesKey{}, {.seconds = nan_value, .stage_seconds = stages, .confidence = 1.5, .cost = -1});
  recorder.record(SeriesKey{}, {.seconds = -3, .confidence = nan_value, .cost = nan_value});
  recorder.feedback(recorder.series({}), 2);
  const std::uint32_t layer = instruments.layer("a").value();
  recorder.activations(layer, 5, 6);
  recorder.activations(layer, -1, -2);
  recorder.activations(instruments.layer("b").value(), 5, 1);
  recorder.feedback(7, 1);
  REQUIRE(instruments.collect(0));
  const ServiceSnapshot all = instruments.since_start();
  CHECK(all.total().events == 2);
  CHECK(all.total().latency.counts.empty());
  CHECK(all.losses.rejected_values == 5 + 3 + 1 + 2);
  CHECK(all.losses.layers_unknown == 1);
  CHECK(all.losses.labels_unmatched == 1);
  CHECK_FALSE(instruments.name(Dimension::region, ""));
  CHECK_FALSE(instruments.name(Dimension::region, "\xff"));
  CHECK_FALSE(instruments.name(static_cast<Dimension>(6), "a"));
  CHECK_FALSE(instruments.collect(nan_value));
  CHECK_FALSE(instruments.last(0, 0));
  CHECK_FALSE(instruments.last(0, 1e9));
  const auto rejected = [](const InstrumentOptions& options) {
    const auto made = Instruments::create(options);
    return !made && mcomp_test::well_formed(made.error());
  };
  CHECK(rejected({.dimensions = {"a", "b", "c", "d", "e", "e"}}));
  CHECK(rejected({.dimensions = {"a", "b", "c", "d", "e", "0"}}));
  CHECK(rejected({.dimensions = {"a", "b", "c", "d", "e", "le"}}));
  CHECK(rejected({.stages = {"a", "a"}}));
  CHECK(rejected({.max_names = 0}));
  CHECK(rejected({.max_series = 0}));
  CHECK(rejected({.max_recorders = 0}));
  CHECK(rejected({.waiting = -1}));
  CHECK(rejected({.window_seconds = nan_value}));
  CHECK(rejected({.windows = 0}));
}

TEST_CASE("old windows make room for new ones", "[instruments]") {
  Instruments instruments = Instruments::create({.waiting = 0, .window_seconds = 1, .windows = 5}).value();
  Recorder recorder = instruments.recorder().value();
  for (int t = 0; t < 20; ++t) {
    recorder.record(SeriesKey{}, {.seconds = 1});
    REQUIRE(instruments.collect(t + 0.5));
  }
  CHECK(instruments.last(19.9, 5).value().total().events == 5);
  CHECK(instruments.last(19.9, 0.5).value().total().events == 1);
  CHECK(instruments.last(40, 5).value().total().events == 0);
  CHECK(instruments.since_start().total().events == 20);
  recorder.record(SeriesKey{}, {.seconds = 1});
  REQUIRE(instruments.collect(3)); // a clock that went back: counted in the newest window
  CHECK(instruments.last(19.9, 0.5).value().total().events == 2);
}

TEST_CASE("a snapshot leaves as metrics that the parser and promtool accept", "[instruments]") {
  Instruments instruments = Instruments::create(two_stages).value();
  Recorder recorder = instruments.recorder().value();
  serve(instruments, recorder, 0, 500);
  recorder.record({.cohort = instruments.name(Dimension::cohort, "a \"b\"\n").value()}, {.seconds = 100});
  REQUIRE(instruments.collect(1));
  const ServiceSnapshot all = instruments.since_start();
  const auto families = metric_families(all).value();
  const std::string page = to_open_metrics(families).value();
  CHECK(parse_open_metrics(page, "page").value() == families);
  const SeriesSnapshot eu = all.by("region").value()[1];
  CHECK(page.find("mcomp_requests_total{model_version=\"v1\",region=\"eu\"} " + std::to_string(eu.events) + "\n") !=
        std::string::npos);
  CHECK(page.find("mcomp_latency_seconds_bucket{model_version=\"v1\",region=\"eu\",le=\"0.0078125\"} " +
                  std::to_string(eu.latency.at_most(0x1p-7)) + "\n") != std::string::npos);
  CHECK(page.find("mcomp_not_counted_total{reason=\"series_overflow\"} 0\n") != std::string::npos);
  CHECK_FALSE(metric_families(all, {.prefix = "0"}));
  CHECK_FALSE(metric_families(all, {.latency_buckets = {0.1}}));
  CHECK_FALSE(metric_families(all, {.latency_buckets = {1, 0.5}}));
  const std::string text = to_prometheus_text(families).value();
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
    mcomp_test::skip("promtool is not installed (Debian: prometheus)");
    return;
  }
  const auto path = mcomp_test::temporary_folder() / "page.txt";
  REQUIRE(write_file(path, text));
  CHECK(std::system(("promtool check metrics <'" + path.string() + "'").c_str()) == 0);
}

TEST_CASE("snapshots and options of version 1 read as the values that they were written from", "[instruments]") {
  ServiceSnapshot snapshot;
  snapshot.dimensions = InstrumentOptions{}.dimensions;
  snapshot.stages = {"queue"};
  snapshot.begin = 10;
  snapshot.end = 20.5;
  SeriesSnapshot s;
  s.labels = {"v1", "eu", "", "", "dark", "cpu"};
  s.events = 3;
  s.errors = 1;
  s.latency = {.counts = {{5, 1}, {700, 2}}, .seconds = 4, .nanoseconds = 999'999'999};
  s.stages = {LatencyBins{.counts = {{1, 3}}, .nanoseconds = 3000}};
  s.confident = 2;
  s.confidence = 1'500'000;
  s.confidence_variance = 340'000;
  s.confidences[11] = 2;
  s.labelled[11] = 1;
  s.labelled_right[11] = 1;
  s.labelled_confidence[11] = 750'000;
  s.feedbacks = 1;
  s.satisfaction = 500'000;
  s.cost = 7;
  snapshot.series = {s};
  snapshot.layers = {{"conv1", 100, 3}};
  snapshot.process = ProcessUsage{.seconds = 20, .cpu_seconds = 1.25, .resident_bytes = 4096};
  snapshot.losses = {1, 2, 3, 4, 5, 6};
  CHECK(to_json(snapshot) == mcomp_test::golden("service_snapshot"));
  CHECK(ServiceSnapshot::parse(mcomp_test::golden("service_snapshot")).value() == snapshot);
  CHECK(to_json(two_stages) == mcomp_test::golden("instrument_options"));
  CHECK(InstrumentOptions::parse(mcomp_test::golden("instrument_options")).value() == two_stages);

  const auto refused = [](std::string text, const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
    const auto made = ServiceSnapshot::parse(text);
    return !made && mcomp_test::well_formed(made.error());
  };
  const std::string good = to_json(snapshot);
  CHECK(refused(good, "snapshot-1", "snapshot-2"));
  CHECK(refused(good, "[5,700]", "[700,5]"));
  CHECK(refused(good, "[5,700]", "[5,70000]"));
  CHECK(refused(good, "\"counts\":[1,2]", "\"counts\":[1,0]"));
  CHECK(refused(good, "999999999", "1000000000"));
  CHECK(refused(good, "\"events\":3", "\"events\":-3"));
  CHECK(refused(good, "\"begin\":10.0", "\"begin\":30.0"));
  CHECK(refused(good, "\"stages\":[\"queue\"]", "\"stages\":[]"));
  CHECK(refused(good, "\"cost\":7", "\"costs\":7"));
  CHECK_FALSE(InstrumentOptions::parse("{\"schema\":\"mcomp-instrument-options-1\",\"windows\":0}"));
  CHECK_FALSE(InstrumentOptions::parse("[]"));
}
