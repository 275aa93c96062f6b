// The JSON of the options and answers of this room's watchers.

#include <algorithm>
#include <limits>

#include "core/json_schema.hpp"
#include "mcomp/monitor/burn_rate.hpp"
#include "mcomp/monitor/change_detector.hpp"
#include "mcomp/monitor/heartbeat.hpp"
#include "mcomp/monitor/online_drift.hpp"
#include "mcomp/monitor/sketch_window.hpp"

namespace mcomp::inline v0::monitor {

namespace {

using mcomp::detail::dumped;
using mcomp::detail::Json;
using mcomp::detail::ObjectReader;
using mcomp::detail::parse_as;

constexpr const char* burn_schema = "mcomp-burn-rate-1";
constexpr const char* answer_schema = "mcomp-burn-answer-1";
constexpr const char* heartbeat_schema = "mcomp-heartbeat-1";
constexpr const char* change_schema = "mcomp-change-detector-1";
constexpr const char* windows_schema = "mcomp-sketch-windows-1";
constexpr const char* adwin_schema = "mcomp-adwin-1";
constexpr const char* page_hinkley_schema = "mcomp-page-hinkley-1";
constexpr const char* drift_schema = "mcomp-drift-detection-1";
constexpr const char* cusum_schema = "mcomp-cusum-1";

std::int32_t small(ObjectReader& object, const char* key, std::int32_t fallback) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const std::int64_t value = object.integer(key, fallback);
  if (value < 0 || value > most) object.fail(key, "it is negative or too large", "give a count");
  return static_cast<std::int32_t>(std::clamp(value, std::int64_t{0}, most));
}

/// Options are sound where something can be created of them.
template <class Watcher>
constexpr auto creates = [](const auto& options) -> Status {
  MCOMP_CHECK(Watcher::create(options));
  return {};
};

template <class Value, class Read>
Result<std::vector<Value>> list(ObjectReader& object, const char* key, const Read& read) {
  std::vector<Value> values;
  for (const Json& json : object.array(key)) {
    ObjectReader inner(json, fmt::format("{}: {}", object.where(key), values.size()));
    values.push_back(read(inner));
    MCOMP_CHECK(inner.finish());
  }
  return values;
}

} // namespace

Result<BurnRateOptions> BurnRateOptions::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<BurnRateOptions> {
    BurnRateOptions options;
    options.objective = object.number("objective", options.objective);
    options.period_seconds = object.number("period_seconds", options.period_seconds);
    if (object.has("windows")) {
      MCOMP_TRY(rows, list<BurnWindow>(object, "windows", [](ObjectReader& window) {
                  return BurnWindow{.long_seconds = window.number("long_seconds"),
                                    .short_seconds = window.number("short_seconds"),
                                    .factor = window.number("factor")};
                }));
      options.windows = std::move(rows);
    }
    options.resolution_seconds = object.number("resolution_seconds", options.resolution_seconds);
    options.least_events = object.integer("least_events", options.least_events);
    return options;
  };
  return parse_as(text, subject, burn_schema, read, creates<BurnRate>);
}

std::string to_json(const BurnRateOptions& options) {
  Json windows = Json::array();
  for (const BurnWindow& window : options.windows)
    windows.push_back(
        {{"long_seconds", window.long_seconds}, {"short_seconds", window.short_seconds}, {"factor", window.factor}});
  return dumped({{"schema", burn_schema},
                 {"objective", options.objective},
                 {"period_seconds", options.period_seconds},
                 {"windows", windows},
                 {"resolution_seconds", options.resolution_seconds},
                 {"least_events", options.least_events}});
}

Result<BurnAnswer> BurnAnswer::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<BurnAnswer> {
    BurnAnswer answer;
    answer.fires = object.boolean("fires", false);
    answer.no_data = object.boolean("no_data", false);
    MCOMP_TRY(rows, list<WindowBurn>(object, "windows", [](ObjectReader& window) {
                WindowBurn burn;
                burn.long_rate = window.number("long_rate");
                burn.short_rate = window.number("short_rate");
                burn.long_events = window.integer("long_events");
                burn.short_events = window.integer("short_events");
                burn.fires = window.boolean("fires", false);
                return burn;
              }));
    answer.windows = std::move(rows);
    return answer;
  };
  const auto check = [](const BurnAnswer& answer) -> Status {
    const auto wrong = [](const char* rule) {
      return Error(ErrorCode::invalid_value, "windows", rule, "give the answer as it was written");
    };
    bool any = false;
    for (const WindowBurn& window : answer.windows) {
      if (window.long_rate < 0 || window.short_rate < 0 || window.long_events < 0 || window.short_events < 0)
        return wrong("a rate or count is negative");
      any = any || window.fires;
    }
    if (any != answer.fires || (answer.no_data && any)) return wrong("the answer is not what its windows say");
    return {};
  };
  return parse_as(text, subject, answer_schema, read, check);
}

std::string to_json(const BurnAnswer& answer) {
  Json windows = Json::array();
  for (const WindowBurn& window : answer.windows)
    windows.push_back({{"long_rate", window.long_rate},
                       {"short_rate", window.short_rate},
                       {"long_events", window.long_events},
                       {"short_events", window.short_events},
                       {"fires", window.fires}});
  return dumped(
      {{"schema", answer_schema}, {"fires", answer.fires}, {"no_data", answer.no_data}, {"windows", windows}});
}

Result<HeartbeatOptions> HeartbeatOptions::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<HeartbeatOptions> {
    HeartbeatOptions options;
    options.timeout_seconds = object.number("timeout_seconds", options.timeout_seconds);
    options.first_timeout_seconds = object.number("first_timeout_seconds", options.first_timeout_seconds);
    return options;
  };
  return parse_as(text, subject, heartbeat_schema, read, [](const HeartbeatOptions& options) -> Status {
    MCOMP_CHECK(Heartbeat::create(options, 0));
    return {};
  });
}

std::string to_json(const HeartbeatOptions& options) {
  return dumped({{"schema", heartbeat_schema},
                 {"timeout_seconds", options.timeout_seconds},
                 {"first_timeout_seconds", options.first_timeout_seconds}});
}

Result<ChangeDetectorOptions> ChangeDetectorOptions::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<ChangeDetectorOptions> {
    ChangeDetectorOptions options;
    options.mean = object.number("mean", options.mean);
    options.run_length = object.number("run_length", options.run_length);
    return options;
  };
  return parse_as(text, subject, change_schema, read, creates<ChangeDetector>);
}

std::string to_json(const ChangeDetectorOptions& options) {
  return dumped({{"schema", change_schema}, {"mean", options.mean}, {"run_length", options.run_length}});
}

Result<SketchWindowOptions> SketchWindowOptions::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<SketchWindowOptions> {
    SketchWindowOptions options;
    options.window_seconds = object.number("window_seconds", options.window_seconds);
    options.windows = object.integer("windows", options.windows);
    options.sketch.relative_accuracy = object.number("relative_accuracy", options.sketch.relative_accuracy);
    options.sketch.max_bins = small(object, "max_bins", options.sketch.max_bins);
    options.sketch.negative_values = object.boolean("negative_values", options.sketch.negative_values);
    return options;
  };
  return parse_as(text, subject, windows_schema, read, creates<SketchWindows>);
}

std::string to_json(const SketchWindowOptions& options) {
  return dumped({{"schema", windows_schema},
                 {"window_seconds", options.window_seconds},
                 {"windows", options.windows},
                 {"relative_accuracy", options.sketch.relative_accuracy},
                 {"max_bins", options.sketch.max_bins},
                 {"negative_values", options.sketch.negative_values}});
}

Result<AdwinOptions> AdwinOptions::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<AdwinOptions> {
    AdwinOptions options;
    options.delta = object.number("delta", options.delta);
    options.clock = object.integer("clock", options.clock);
    options.least_part = object.integer("least_part", options.least_part);
    options.least_window = object.integer("least_window", options.least_window);
    options.buckets_a_row = small(object, "buckets_a_row", options.buckets_a_row);
    const std::string name = object.text("variant", "bifet");
    if (name != "bifet" && name != "river")
      object.fail("variant", "\"" + name + "\" is none", "write \"bifet\" or \"river\"");
    options.variant = name == "river" ? AdwinVariant::river : AdwinVariant::bifet;
    return options;
  };
  return parse_as(text, subject, adwin_schema, read, creates<Adwin>);
}

std::string to_json(const AdwinOptions& options) {
  return dumped({{"schema", adwin_schema},
                 {"delta", options.delta},
                 {"clock", options.clock},
                 {"least_part", options.least_part},
                 {"least_window", options.least_window},
                 {"buckets_a_row", options.buckets_a_row},
                 {"variant", options.variant == AdwinVariant::river ? "river" : "bifet"}});
}

Result<PageHinkleyOptions> PageHinkleyOptions::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<PageHinkleyOptions> {
    PageHinkleyOptions options;
    options.threshold = object.number("threshold", options.threshold);
    options.tolerance = object.number("tolerance", options.tolerance);
    options.forgetting = object.number("forgetting", options.forgetting);
    options.least = object.integer("least", options.least);
    return options;
  };
  return parse_as(text, subject, page_hinkley_schema, read, creates<PageHinkley>);
}

std::string to_json(const PageHinkleyOptions& options) {
  return dumped({{"schema", page_hinkley_schema},
                 {"threshold", options.threshold},
                 {"tolerance", options.tolerance},
                 {"forgetting", options.forgetting},
                 {"least", options.least}});
}

Result<DriftDetectionOptions> DriftDetectionOptions::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<DriftDetectionOptions> {
    DriftDetectionOptions options;
    options.warning = object.number("warning", options.warning);
    options.drift = object.number("drift", options.drift);
    options.least = object.integer("least", options.least);
    return options;
  };
  return parse_as(text, subject, drift_schema, read, creates<DriftDetectionMethod>);
}

std::string to_json(const DriftDetectionOptions& options) {
  return dumped(
      {{"schema", drift_schema}, {"warning", options.warning}, {"drift", options.drift}, {"least", options.least}});
}

Result<CusumOptions> CusumOptions::parse(std::string_view text, const std::string& subject) {
  const auto read = [](ObjectReader& object) -> Result<CusumOptions> {
    CusumOptions options;
    options.mean = object.number("mean", options.mean);
    options.deviation = object.number("deviation", options.deviation);
    options.slack = object.number("slack", options.slack);
    options.limit = object.number("limit", options.limit);
    return options;
  };
  return parse_as(text, subject, cusum_schema, read, creates<Cusum>);
}

std::string to_json(const CusumOptions& options) {
  return dumped({{"schema", cusum_schema},
                 {"mean", options.mean},
                 {"deviation", options.deviation},
                 {"slack", options.slack},
                 {"limit", options.limit}});
}

} // namespace mcomp::inline v0::monitor
