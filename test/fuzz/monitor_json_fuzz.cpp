// libFuzzer program for the JSON of the room monitor: snapshots merge and export, references compare.

#include "mcomp/monitor/alerts.hpp"
#include "mcomp/monitor/drift.hpp"
#include "mcomp/monitor/instruments.hpp"
#include "mcomp/monitor/label_free.hpp"
#include "mcomp/monitor/live_samples.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::monitor;
  const std::string_view input = mcomp_fuzz::text(data, size);
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return ServiceSnapshot::parse(text); },
      [](const ServiceSnapshot& value) { return to_json(value); });
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return InstrumentOptions::parse(text); },
      [](const InstrumentOptions& value) { return to_json(value); });
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return drift_options_from_json(text); },
      [](const DriftOptions& value) { return to_json(value); });
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return LiveSampleOptions::parse(text); },
      [](const LiveSampleOptions& value) { return to_json(value); });
  mcomp_fuzz::round_trip(
      input, [](std::string_view text) { return alert_rules_from_json(text); },
      [](const std::vector<AlertRule>& value) { return to_json(value); });
  if (auto snapshot = ServiceSnapshot::parse(input)) {
    ServiceSnapshot twice = *snapshot;
    mcomp_fuzz::demand(twice.merge(*snapshot).has_value() && ServiceSnapshot::parse(to_json(twice)).value() == twice);
    static_cast<void>(to_string(twice));
    static_cast<void>(estimate_accuracy(twice.total()));
    if (const auto families = metric_families(twice)) static_cast<void>(to_open_metrics(*families));
  }
  // Missing values are NaN, which equals nothing: what is written is compared.
  if (const auto notice = AlertNotice::parse(input)) {
    const std::string written = to_json(*notice);
    mcomp_fuzz::demand(to_json(AlertNotice::parse(written).value()) == written);
  } else {
    mcomp_fuzz::demand_whole(notice.error());
  }
  if (const auto reference = DriftReference::parse(input)) {
    const std::string written = to_json(*reference);
    mcomp_fuzz::demand(to_json(DriftReference::parse(written).value()) == written);
    DriftWindow window = DriftWindow::create(*reference, {.least = 2, .permutations = 1}).value();
    const std::vector<double> row(reference->features.size(), 0.5);
    for (int i = 0; i < 3; ++i) mcomp_fuzz::demand(window.add(row, "a").has_value());
    if (const auto answer = window.answer())
      static_cast<void>(to_json(*answer));
    else
      mcomp_fuzz::demand_whole(answer.error());
  }
  return 0;
}
