#include "mcomp/cost/forecast_log.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>

#include "core/json.hpp"
#include "core/try.hpp"
#include "cost/forecast_parts.hpp"
#include "cost/replay_parts.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/quantile.hpp"

namespace mcomp::inline v0::cost {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

constexpr double day_seconds = 86400;

std::optional<std::chrono::sys_days> day_of(const std::string& text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  std::array<unsigned, 3> parts{};
  for (const auto& [at, length, place] : {std::tuple(0, 4, 0), std::tuple(5, 2, 1), std::tuple(8, 2, 2)}) {
    const char* const begin = text.data() + at;
    const auto [end, code] = std::from_chars(begin, begin + length, parts[static_cast<std::size_t>(place)]);
    if (code != std::errc() || end != begin + length) return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(parts[0])), std::chrono::month(parts[1]),
                                         std::chrono::day(parts[2])};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

Error no_date(const std::string& what, const std::string& text) {
  return Error(ErrorCode::invalid_value, what, fmt::format("'{}' is no date", text),
               "write year-month-day, for example 2026-07-20");
}

std::vector<double> hour_shares(const RequestTrace& trace) {
  const double interval = trace.interval_seconds;
  double all = 0;
  for (const double requests : trace.requests) all += requests;
  if (all <= 0 || static_cast<double>(trace.requests.size()) * interval < day_seconds || interval > 3600) return {};
  std::vector<double> shares(24);
  const double start = std::fmod(detail::clock_of(trace), day_seconds);
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    const double clock = std::fmod(start + static_cast<double>(i) * interval + 1e-6, day_seconds);
    shares[std::min<std::size_t>(23, static_cast<std::size_t>(clock / 3600))] += trace.requests[i] / all;
  }
  return shares;
}

} // namespace

std::vector<double> detail::level_shares(const RequestTrace& trace, const std::vector<double>& edges) {
  std::vector<double> shares(edges.size() + 1);
  for (const double requests : trace.requests) {
    const double rate = requests / trace.interval_seconds;
    const auto at = std::lower_bound(edges.begin(), edges.end(), rate) - edges.begin();
    shares[static_cast<std::size_t>(at)] += 1 / static_cast<double>(trace.requests.size());
  }
  return shares;
}

Result<TrafficMix> traffic_mix(const RequestTrace& trace) {
  MCOMP_TRY(summary, trace.summary());
  TrafficMix mix{.mean_per_second = summary.mean_per_second, .hour_share = hour_shares(trace)};
  std::vector<double> rates = trace.requests;
  std::sort(rates.begin(), rates.end());
  for (int decile = 1; decile < 10; ++decile) {
    const auto rank = static_cast<std::size_t>(std::ceil(static_cast<double>(rates.size()) * decile / 10 - 1e-9));
    const double edge = rates[std::max<std::size_t>(rank, 1) - 1] / trace.interval_seconds;
    if (mix.level_edges.empty() || edge > mix.level_edges.back()) mix.level_edges.push_back(edge);
  }
  mix.level_share = detail::level_shares(trace, mix.level_edges);
  return mix;
}

Result<double> population_stability(const std::vector<double>& expected, const std::vector<double>& actual) {
  if (expected.size() != actual.size() || expected.empty())
    return Error(ErrorCode::invalid_shape, "population stability",
                 fmt::format("{} and {} bins are not the same number, 1 or more", expected.size(), actual.size()),
                 "count both over the same bins");
  double sums[2] = {};
  for (const auto& [bins, sum] : {std::pair(&expected, &sums[0]), std::pair(&actual, &sums[1])}) {
    for (const double share : *bins) {
      if (!(share >= 0) || !std::isfinite(share))
        return Error(ErrorCode::invalid_value, "population stability",
                     fmt::format("a share of {} is not finite and >= 0", share), "pass counts or shares");
      *sum += share;
    }
    if (!(*sum > 0) || !std::isfinite(*sum))
      return Error(ErrorCode::invalid_value, "population stability", "the shares are all 0 or overflow",
                   "pass counts or shares");
  }
  constexpr double least = 1e-4;
  double index = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double e = std::max(least, expected[i] / sums[0]), a = std::max(least, actual[i] / sums[1]);
    index += (a - e) * std::log(a / e);
  }
  return index;
}

Result<ForecastRecord> record(const Forecast& f, const std::string& date) {
  if (!day_of(date)) return no_date("forecast record: date", date);
  const auto figures = [&](const SideForecast& side) {
    SideFigures result{
        .mean_instances = side.mean_instances, .peak_instances = side.peak_instances, .per_month = side.per_month};
    if (side.per_million_requests) result.p95_seconds = side.response.p95;
    return result;
  };
  return ForecastRecord{.date = date,
                        .recipe = f.recipe,
                        .currency = f.currency,
                        .price_date = f.price_date,
                        .baseline_instance = f.baseline.instance,
                        .candidate_instance = f.candidate.instance,
                        .baseline_price_per_hour = f.baseline.price_per_hour,
                        .candidate_price_per_hour = f.candidate.price_per_hour,
                        .mix = f.mix,
                        .baseline = figures(f.baseline),
                        .candidate = figures(f.candidate),
                        .saving_per_month = f.saving.per_month,
                        .saving_interval = f.saving.per_month_interval};
}

std::string to_string(ForecastReason reason) {
  switch (reason) {
  case ForecastReason::schedule:
    return "schedule";
  case ForecastReason::recipe:
    return "recipe";
  case ForecastReason::prices:
    return "prices";
  case ForecastReason::traffic:
    return "traffic";
  }
  return "unknown";
}

Result<DueForecast> needs_new_forecast(const ForecastRecord& last, const ForecastState& now,
                                       const ForecastRules& rules) {
  const auto made = day_of(last.date), today = day_of(now.date);
  if (!made) return no_date("forecast record: date", last.date);
  if (!today) return no_date("date", now.date);
  const std::int64_t age = (*today - *made).count();
  if (age < 0)
    return Error(ErrorCode::invalid_value, "date", fmt::format("{} is before the forecast of {}", now.date, last.date),
                 "pass today");
  for (const auto& [name, limit] : {std::pair{"every_days", static_cast<double>(rules.every_days)},
                                    {"price_change", rules.price_change},
                                    {"stability_index", rules.stability_index},
                                    {"mean_change", rules.mean_change}})
    if (!(limit > 0) || !std::isfinite(limit))
      return Error(ErrorCode::invalid_value, name, fmt::format("{} is not finite and > 0", limit),
                   "pass a limit, a large one to ignore the change");
  DueForecast due;
  const auto because = [&](ForecastReason reason, std::string sentence, double value, double limit) {
    due.needed = true;
    due.reasons.push_back({reason, std::move(sentence), value, limit});
  };
  if (age >= rules.every_days)
    because(ForecastReason::schedule, fmt::format("it is {} days old, the schedule is every {}", age, rules.every_days),
            static_cast<double>(age), static_cast<double>(rules.every_days));
  if (now.recipe && *now.recipe != last.recipe)
    because(ForecastReason::recipe, fmt::format("the recipe is '{}', it was '{}'", *now.recipe, last.recipe), 1, 0);
  if (now.prices) {
    MCOMP_CHECK(now.prices->check("prices"));
    if (now.prices->currency != last.currency)
      return Error(ErrorCode::invalid_argument, "prices",
                   fmt::format("they are in {}, the forecast is in {}", now.prices->currency, last.currency),
                   "pass prices in the same currency");
    const auto compare_price = [&](const std::string& instance, double before) -> Status {
      MCOMP_TRY(machine, now.prices->find(instance));
      const double change = machine.on_demand_per_hour / before - 1;
      if (std::abs(change) > rules.price_change)
        because(ForecastReason::prices,
                fmt::format("{} costs {} an hour, {:+.1f}% of the {} in the forecast", instance,
                            machine.on_demand_per_hour, 100 * change, before),
                std::abs(change), rules.price_change);
      return {};
    };
    MCOMP_CHECK(compare_price(last.baseline_instance, last.baseline_price_per_hour));
    if (last.candidate_instance != last.baseline_instance)
      MCOMP_CHECK(compare_price(last.candidate_instance, last.candidate_price_per_hour));
  }
  if (now.trace) {
    MCOMP_TRY(mix, traffic_mix(*now.trace));
    const double before = last.mix.mean_per_second;
    const double change = before > 0 ? mix.mean_per_second / before - 1 : (mix.mean_per_second > 0 ? 1e300 : 0);
    if (std::abs(change) > rules.mean_change)
      because(ForecastReason::traffic,
              fmt::format("traffic is {:.4g} a second, {:.4g} in the forecast", mix.mean_per_second, before),
              std::abs(change), rules.mean_change);
    const auto compare_mix = [&](const char* what, const std::vector<double>& expected,
                                 const std::vector<double>& actual) -> Status {
      MCOMP_TRY(index, population_stability(expected, actual));
      if (index > rules.stability_index)
        because(ForecastReason::traffic,
                fmt::format("the {} of the traffic have shifted (stability index {:.3f})", what, index), index,
                rules.stability_index);
      return {};
    };
    if (!last.mix.level_share.empty())
      MCOMP_CHECK(compare_mix("levels", last.mix.level_share, detail::level_shares(*now.trace, last.mix.level_edges)));
    if (!last.mix.hour_share.empty() && !mix.hour_share.empty())
      MCOMP_CHECK(compare_mix("hours of the day", last.mix.hour_share, mix.hour_share));
  }
  return due;
}

namespace {

Result<SideError> side_error(const SideFigures& forecast, const SideFigures& measured, const char* side) {
  SideError error;
  for (const auto& [name, figure, target] :
       {std::tuple("mean instances", &SideFigures::mean_instances, &SideError::mean_instances),
        std::tuple("peak instances", &SideFigures::peak_instances, &SideError::peak_instances),
        std::tuple("cost per month", &SideFigures::per_month, &SideError::per_month),
        std::tuple("p95", &SideFigures::p95_seconds, &SideError::p95_seconds)}) {
    const auto& value = measured.*figure;
    if (!value) continue;
    if (!std::isfinite(*value) || *value <= 0)
      return Error(ErrorCode::invalid_value, fmt::format("measured {} of the {}", name, side),
                   fmt::format("{} is not finite and > 0", *value), "leave out what was not measured");
    if (forecast.*figure) error.*target = *(forecast.*figure) / *value - 1;
  }
  return error;
}

} // namespace

Result<ForecastError> forecast_error(const ForecastRecord& r) {
  if (r.measured_baseline == SideFigures{} && r.measured_candidate == SideFigures{})
    return Error(ErrorCode::insufficient_data, fmt::format("forecast of {}", r.date), "nothing was measured after it",
                 "fill measured_baseline or measured_candidate");
  MCOMP_TRY(baseline, side_error(r.baseline, r.measured_baseline, "baseline"));
  MCOMP_TRY(candidate, side_error(r.candidate, r.measured_candidate, "candidate"));
  ForecastError error{.date = r.date, .baseline = baseline, .candidate = candidate};
  if (r.measured_baseline.per_month && r.measured_candidate.per_month) {
    const double measured = *r.measured_baseline.per_month - *r.measured_candidate.per_month;
    error.saving_error = r.saving_per_month - measured;
    if (r.saving_interval) error.within_interval = r.saving_interval->contains(measured);
  }
  return error;
}

std::string to_string(const DueForecast& due) {
  if (!due.needed) return "not due";
  std::string text = "due: ";
  for (std::size_t i = 0; i < due.reasons.size(); ++i) text += (i > 0 ? "; " : "") + due.reasons[i].sentence;
  return text;
}

std::string to_string(const ForecastError& error) {
  std::string text;
  for (const auto& [name, side] : {std::pair("baseline", &error.baseline), std::pair("candidate", &error.candidate)}) {
    std::string items;
    for (const auto& [what, value] :
         {std::pair("cost", side->per_month), std::pair("mean instances", side->mean_instances),
          std::pair("peak instances", side->peak_instances), std::pair("p95", side->p95_seconds)})
      if (value) items += fmt::format("{}{} {:+.1f}%", items.empty() ? "" : ", ", what, 100 * *value);
    if (!items.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", name, items);
  }
  if (error.saving_error)
    text += fmt::format(
        "; saving {:.6g} too {}{}", std::abs(*error.saving_error), *error.saving_error < 0 ? "low" : "high",
        error.within_interval ? *error.within_interval ? ", within its interval" : ", outside its interval" : "");
  return text;
}

namespace {

Json value_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

template <class Side> Json side_json(const Side& side) {
  return {{"mean_instances", value_or_null(side.mean_instances)},
          {"peak_instances", value_or_null(side.peak_instances)},
          {"per_month", value_or_null(side.per_month)},
          {"p95_seconds", value_or_null(side.p95_seconds)}};
}

std::string dump(const Json& root) {
  return root.dump(2, ' ', false, Json::error_handler_t::replace);
}

Result<SideFigures> read_side(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  SideFigures side;
  for (const auto& [name, member] :
       {std::pair("mean_instances", &SideFigures::mean_instances),
        std::pair("peak_instances", &SideFigures::peak_instances), std::pair("per_month", &SideFigures::per_month),
        std::pair("p95_seconds", &SideFigures::p95_seconds)}) {
    const Json* value = reader.child(name);
    if (value && !value->is_null()) side.*member = reader.number(name);
  }
  MCOMP_CHECK(reader.finish());
  return side;
}

Result<ForecastRecord> read_record(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  ForecastRecord r{.date = reader.text("date"),
                   .recipe = reader.text("recipe"),
                   .currency = reader.text("currency"),
                   .price_date = reader.text("price_date"),
                   .baseline_instance = reader.text("baseline_instance"),
                   .candidate_instance = reader.text("candidate_instance"),
                   .baseline_price_per_hour = reader.number("baseline_price_per_hour"),
                   .candidate_price_per_hour = reader.number("candidate_price_per_hour")};
  r.mix.mean_per_second = reader.number("mean_per_second");
  r.mix.hour_share = reader.numbers("hour_share");
  r.mix.level_edges = reader.numbers("level_edges");
  r.mix.level_share = reader.numbers("level_share");
  r.saving_per_month = reader.number("saving_per_month");
  if (const Json* interval = reader.child("saving_interval"); interval && !interval->is_null()) {
    ObjectReader own(*interval, reader.where("saving_interval"));
    r.saving_interval =
        stats::Interval{.lower = own.number("lower"), .upper = own.number("upper"), .level = own.number("level")};
    MCOMP_CHECK(own.finish());
  }
  for (const auto& [name, member] :
       {std::pair("baseline", &ForecastRecord::baseline), std::pair("candidate", &ForecastRecord::candidate),
        std::pair("measured_baseline", &ForecastRecord::measured_baseline),
        std::pair("measured_candidate", &ForecastRecord::measured_candidate)})
    if (const Json* side = reader.child(name); side && !side->is_null()) {
      MCOMP_TRY(figures, read_side(*side, reader.where(name)));
      r.*member = figures;
    }
  MCOMP_CHECK(reader.finish());
  const auto corrupt = [&](const std::string& rule) {
    return Error(ErrorCode::corrupt, where, rule, "write the log as mcomp wrote it");
  };
  if (!day_of(r.date)) return corrupt(fmt::format("'{}' is no date", r.date));
  if (!(r.baseline_price_per_hour > 0) || !(r.candidate_price_per_hour > 0)) return corrupt("a price is not > 0");
  if (!r.mix.hour_share.empty() && r.mix.hour_share.size() != 24)
    return corrupt(fmt::format("hour_share has {} numbers, not 24 or none", r.mix.hour_share.size()));
  if (r.mix.level_share.size() != r.mix.level_edges.size() + 1 && !r.mix.level_share.empty())
    return corrupt("level_share does not have one number more than level_edges");
  return r;
}

} // namespace

std::string to_json(const DueForecast& due) {
  Json reasons = Json::array();
  for (const DueReason& reason : due.reasons)
    reasons.push_back({{"reason", to_string(reason.reason)},
                       {"sentence", reason.sentence},
                       {"value", reason.value},
                       {"limit", reason.limit}});
  return dump({{"needed", due.needed}, {"reasons", reasons}});
}

std::string to_json(const ForecastError& error) {
  return dump({{"date", error.date},
               {"baseline", side_json(error.baseline)},
               {"candidate", side_json(error.candidate)},
               {"saving_error", value_or_null(error.saving_error)},
               {"within_interval", error.within_interval ? Json(*error.within_interval) : Json()}});
}

std::string to_json(const ForecastLog& log) {
  Json records = Json::array();
  for (const ForecastRecord& r : log.records) {
    Json interval;
    if (r.saving_interval)
      interval = {{"lower", r.saving_interval->lower},
                  {"upper", r.saving_interval->upper},
                  {"level", r.saving_interval->level}};
    records.push_back({{"date", r.date},
                       {"recipe", r.recipe},
                       {"currency", r.currency},
                       {"price_date", r.price_date},
                       {"baseline_instance", r.baseline_instance},
                       {"candidate_instance", r.candidate_instance},
                       {"baseline_price_per_hour", r.baseline_price_per_hour},
                       {"candidate_price_per_hour", r.candidate_price_per_hour},
                       {"mean_per_second", r.mix.mean_per_second},
                       {"hour_share", r.mix.hour_share},
                       {"level_edges", r.mix.level_edges},
                       {"level_share", r.mix.level_share},
                       {"saving_per_month", r.saving_per_month},
                       {"saving_interval", interval},
                       {"baseline", side_json(r.baseline)},
                       {"candidate", side_json(r.candidate)},
                       {"measured_baseline", side_json(r.measured_baseline)},
                       {"measured_candidate", side_json(r.measured_candidate)}});
  }
  return dump({{"schema", ForecastLog::schema}, {"records", records}});
}

Result<ForecastLog> ForecastLog::parse(std::string_view json, const std::string& subject) {
  MCOMP_TRY(root, mcomp::detail::parse_json(json, subject));
  ObjectReader reader(root, subject);
  const std::string found = reader.text("schema");
  const Json& records = reader.array("records");
  MCOMP_CHECK(reader.finish());
  if (found != schema)
    return Error(ErrorCode::corrupt, subject, fmt::format("its schema is '{}', not '{}'", found, schema),
                 "read it with the version of mcomp that wrote it");
  ForecastLog log;
  for (std::size_t i = 0; i < records.size(); ++i) {
    MCOMP_TRY(one, read_record(records[i], fmt::format("{}: record {}", subject, i)));
    if (!log.records.empty() && one.date < log.records.back().date)
      return Error(ErrorCode::corrupt, fmt::format("{}: record {}", subject, i),
                   fmt::format("its date {} is before that of the record above", one.date), "sort the records by date");
    log.records.push_back(std::move(one));
  }
  return log;
}

Result<ForecastLog> ForecastLog::read(const std::filesystem::path& path) {
  MCOMP_TRY(text, read_file(path));
  return parse(text, path.string());
}

} // namespace mcomp::inline v0::cost
