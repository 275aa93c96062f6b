#include <utility>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/monitor/anomaly.hpp"

namespace mcomp::inline v0::monitor {

namespace {
constexpr const char* options_schema = "mcomp-anomaly-options-1";
}

Result<AnomalyOptions> AnomalyOptions::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  mcomp::detail::ObjectReader object(json, subject);
  if (const std::string name = object.text("schema"); object.has("schema") && name != options_schema)
    return Error(ErrorCode::version_mismatch, subject,
                 fmt::format("its schema is \"{}\", not \"{}\"", name, options_schema),
                 "use the version of the library that wrote it");
  AnomalyOptions o;
  for (const auto& [key, member] : {std::pair{"threshold", &o.threshold},
                                    {"fatigue", &o.fatigue},
                                    {"fatigue_memory", &o.fatigue_memory},
                                    {"long_memory", &o.long_memory},
                                    {"short_memory", &o.short_memory},
                                    {"season_period", &o.season_period},
                                    {"season_learning", &o.season_learning},
                                    {"tail_slope", &o.tail_slope},
                                    {"tail_weight", &o.tail_weight},
                                    {"step_back", &o.step_back}})
    *member = object.number(key, *member);
  for (const auto& [key, member] : {std::pair{"warm_up", &o.warm_up},
                                    {"quiet", &o.quiet},
                                    {"level_window", &o.level_window},
                                    {"season_window", &o.season_window},
                                    {"season_bins", &o.season_bins},
                                    {"block", &o.block},
                                    {"blocks", &o.blocks},
                                    {"tail", &o.tail}})
    *member = object.integer(key, *member);
  MCOMP_CHECK(object.finish());
  if (const Status status = o.check(); !status)
    return Error(ErrorCode::corrupt, subject + ": " + status.error().subject(), status.error().rule(),
                 status.error().remedy());
  return o;
}

std::string to_json(const AnomalyOptions& o) {
  return mcomp::detail::Json({{"schema", options_schema},
                              {"threshold", o.threshold},
                              {"warm_up", o.warm_up},
                              {"quiet", o.quiet},
                              {"fatigue", o.fatigue},
                              {"fatigue_memory", o.fatigue_memory},
                              {"level_window", o.level_window},
                              {"season_window", o.season_window},
                              {"long_memory", o.long_memory},
                              {"short_memory", o.short_memory},
                              {"season_period", o.season_period},
                              {"season_bins", o.season_bins},
                              {"season_learning", o.season_learning},
                              {"block", o.block},
                              {"blocks", o.blocks},
                              {"tail", o.tail},
                              {"tail_slope", o.tail_slope},
                              {"tail_weight", o.tail_weight},
                              {"step_back", o.step_back}})
      .dump();
}

} // namespace mcomp::inline v0::monitor
