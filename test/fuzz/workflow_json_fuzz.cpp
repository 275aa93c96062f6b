// libFuzzer program for the options, counts, answers and decisions of the rooms monitor and rollout; a guardrail that
// is read watches what is read.

#include "mcomp/monitor/burn_rate.hpp"
#include "mcomp/monitor/change_detector.hpp"
#include "mcomp/monitor/heartbeat.hpp"
#include "mcomp/monitor/metrics_text.hpp"
#include "mcomp/monitor/online_drift.hpp"
#include "mcomp/monitor/sketch_window.hpp"
#include "mcomp/rollout/flagd.hpp"
#include "mcomp/rollout/guardrail.hpp"
#include "mcomp/rollout/hash.hpp"
#include "mcomp/rollout/unleash.hpp"
#include "property.hpp"

namespace {

template <class... Values> void round_trips(std::string_view input) {
  (mcomp_fuzz::round_trip(
       input, [](std::string_view text) { return Values::parse(text); },
       [](const Values& value) { return to_json(value); }),
   ...);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::monitor;
  using namespace mcomp::rollout;
  const std::string_view input = mcomp_fuzz::text(data, size);
  round_trips<BurnRateOptions, BurnAnswer, HeartbeatOptions, ChangeDetectorOptions, SketchWindowOptions, AdwinOptions,
              PageHinkleyOptions, DriftDetectionOptions, CusumOptions>(input);
  round_trips<GuardrailOptions, GuardrailCounts, RolloutAction, Transition, Assignment, FlagdDecision, UnleashVariant,
              UnleashContext, LaunchDarklyRollout>(input);
  // Metrics may hold NaN, which is not equal to itself: they are compared as they are written.
  if (const auto metrics = parse_metrics_json(input)) {
    const std::string text = to_json(*metrics).value();
    mcomp_fuzz::demand(to_json(parse_metrics_json(text).value()).value() == text);
  } else {
    mcomp_fuzz::demand_whole(metrics.error());
  }
  if (const auto options = GuardrailOptions::parse(input)) {
    Guardrail guard = Guardrail::create(*options).value();
    mcomp_fuzz::demand(guard.verdict() == Gate::no_data && guard.breach().empty());
    for (int look = 0; look < 3; ++look)
      guard
          .observe({.time = 60.0 * look,
                    .pairs = {.both_right = 5, .only_baseline_right = 5},
                    .requests = 100,
                    .slow = 50,
                    .failed = 10,
                    .anomalous = 20,
                    .baseline = {9, 10},
                    .candidate = {3, 10},
                    .baseline_users = {9, 10},
                    .candidate_users = {3, 10},
                    .estimates = 10,
                    .confidence = 0.5,
                    .beat = true})
          .value();
    mcomp_fuzz::demand((guard.verdict() == Gate::fail) == !guard.breach().empty());
  }
  if (const auto counts = GuardrailCounts::parse(input))
    mcomp_fuzz::demand(Guardrail::create().value().observe(*counts).has_value());
  return 0;
}
