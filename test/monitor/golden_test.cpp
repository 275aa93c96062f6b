// The JSON of version 1 of every type of the room that has one.

#include "golden.hpp"

#include <limits>

#include "mcomp/monitor/burn_rate.hpp"
#include "mcomp/monitor/change_detector.hpp"
#include "mcomp/monitor/heartbeat.hpp"
#include "mcomp/monitor/metrics_text.hpp"
#include "mcomp/monitor/online_drift.hpp"
#include "mcomp/monitor/sketch_window.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {

template <class Value> void check(const std::string& name, const Value& value) {
  mcomp_test::check_golden(
      MCOMP_TEST_MONITOR_DIR, name, value, [](std::string_view text) { return Value::parse(text); },
      [](const Value& one) { return to_json(one); });
}

} // namespace

TEST_CASE("golden files of version 1 read as the values that they were written from") {
  check("burn_rate", BurnRateOptions{});
  check("heartbeat", HeartbeatOptions{.timeout_seconds = 12.5});
  check("change_detector", ChangeDetectorOptions{.mean = 0.02, .run_length = 2.5e6});
  check("sketch_windows", SketchWindowOptions{.sketch = {.relative_accuracy = 0.02, .negative_values = false}});
  check("adwin", AdwinOptions{.variant = AdwinVariant::river});
  check("page_hinkley", PageHinkleyOptions{});
  check("drift_detection", DriftDetectionOptions{.warning = 2.5});
  check("cusum", CusumOptions{.mean = -3, .deviation = 0.5});
  BurnRate burn = BurnRate::create().value();
  for (double t = 0; t < 7200; t += 30) burn.add(t, 960, 40).value();
  check("burn_answer", burn.answer(7170));

  const std::vector<MetricFamily> families = {
      {.name = "requests",
       .type = MetricType::counter,
       .help = "answered",
       .samples = {{.suffix = "_total",
                    .labels = {{"region", "eu"}},
                    .value = 12,
                    .timestamp = 1800000000.25,
                    .exemplar = MetricExemplar{.labels = {{"trace", "abc"}}, .value = 1, .timestamp = 1800000000}}}},
      {.name = "wait_seconds",
       .type = MetricType::histogram,
       .unit = "seconds",
       .samples = {{.suffix = "_bucket", .labels = {{"le", "1"}}, .value = 3},
                   {.suffix = "_bucket", .labels = {{"le", "+Inf"}}, .value = 4}}},
      {.name = "limit", .type = MetricType::gauge, .samples = {{.value = -std::numeric_limits<double>::infinity()}}}};
  mcomp_test::check_golden(
      MCOMP_TEST_MONITOR_DIR, "metrics", families, [](std::string_view text) { return parse_metrics_json(text); },
      [](const std::vector<MetricFamily>& all) { return to_json(all).value(); });
  // NaN is not equal to itself, and comes back all the same.
  const MetricFamily nan{
      .name = "n", .type = MetricType::gauge, .samples = {{.value = std::numeric_limits<double>::quiet_NaN()}}};
  const std::string text = to_json(std::span(&nan, 1)).value();
  CHECK(text.find(R"("value":"NaN")") != std::string::npos);
  CHECK(to_json(parse_metrics_json(text).value()).value() == text);
}

TEST_CASE("readers of options refuse what nothing can be created of") {
  const auto refused = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  refused(BurnRateOptions::parse(R"({"schema":"mcomp-burn-rate-1","objective":1})"));
  refused(BurnRateOptions::parse(R"({"schema":"mcomp-burn-rate-1","windows":[{"long_seconds":60}]})"));
  refused(BurnRateOptions::parse(R"({"schema":"mcomp-burn-rate-1","windows":[]})"));
  refused(HeartbeatOptions::parse(R"({"schema":"mcomp-heartbeat-1","timeout_seconds":0})"));
  refused(ChangeDetectorOptions::parse(R"({"schema":"mcomp-change-detector-1","mean":2})"));
  refused(SketchWindowOptions::parse(R"({"schema":"mcomp-sketch-windows-1","windows":0})"));
  refused(SketchWindowOptions::parse(R"({"schema":"mcomp-sketch-windows-1","max_bins":4294967296})"));
  refused(AdwinOptions::parse(R"({"schema":"mcomp-adwin-1","variant":"moa"})"));
  refused(AdwinOptions::parse(R"({"schema":"mcomp-adwin-1","delta":0})"));
  refused(PageHinkleyOptions::parse(R"({"schema":"mcomp-page-hinkley-1","forgetting":2})"));
  refused(DriftDetectionOptions::parse(R"({"schema":"mcomp-drift-detection-1","least":0})"));
  refused(CusumOptions::parse(R"({"schema":"mcomp-cusum-1","deviation":-1})"));
  refused(BurnAnswer::parse(R"({"schema":"mcomp-burn-answer-1","fires":true,"windows":[]})"));
  refused(parse_metrics_json(R"({"schema":"mcomp-metrics-1","families":[{"name":"a","type":"b","samples":[]}]})"));
  refused(parse_metrics_json(
      R"({"schema":"mcomp-metrics-1","families":[{"name":"a","type":"counter","samples":[{"value":-1}]}]})"));
}
