#include "inputs.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/cost/price_import.hpp"

namespace example {

namespace {

using namespace mcomp;
using namespace mcomp::cost;
using Json = nlohmann::ordered_json;

std::string_view without_mark(std::string_view text) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  return text;
}

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Fields between commas, without the blanks and the quotes around them.
std::vector<std::string> fields_of(std::string_view line) {
  std::vector<std::string> fields;
  for (;;) {
    std::size_t begin = line.find_first_not_of(" \t"), comma = line.find(',');
    if (begin != std::string_view::npos && line[begin] == '"')
      if (const std::size_t close = line.find('"', begin + 1); close != std::string_view::npos)
        comma = line.find(',', close);
    std::string_view field = trimmed(line.substr(0, comma));
    if (field.size() >= 2 && field.front() == '"' && field.back() == '"') field = field.substr(1, field.size() - 2);
    fields.emplace_back(field);
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

/// The first line that is not empty.
std::vector<std::string> header_of(std::string_view text) {
  text = without_mark(text);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (!trimmed(line).empty()) return fields_of(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 12; ++i) text += (i > 0 ? ", '" : "'") + names[i].substr(0, 40) + "'";
  return names.size() > 12 ? text + ", ..." : text;
}

std::string fingerprinted(const std::string& file, std::string_view text) {
  return fmt::format("{} (sha256 {})", std::filesystem::path(file).filename().string(), sha256(text).substr(0, 12));
}

Result<Gaps> gaps_of(const std::string& name) {
  for (const Gaps gaps : {Gaps::fill, Gaps::silence, Gaps::refuse})
    if (name == to_string(gaps)) return gaps;
  return Error(ErrorCode::invalid_argument, "--gaps", fmt::format("'{}' is no treatment", name),
               "pass fill, silence or refuse");
}

/// "requests" or "arrivals".
Result<std::string> kind_of(const TraceArguments& arguments, const std::vector<std::string>& header) {
  if (arguments.kind != "auto") return arguments.kind;
  const bool counts = holds(header, arguments.requests_column);
  const bool arrivals =
      holds(header, arguments.prompt_column.empty() ? "ContextTokens" : arguments.prompt_column) ||
      holds(header, arguments.generated_column.empty() ? "GeneratedTokens" : arguments.generated_column) ||
      holds(header, "TIMESTAMP");
  if (counts != arrivals) return std::string(counts ? "requests" : "arrivals");
  return Error(ErrorCode::invalid_argument, arguments.file,
               fmt::format("its columns {} {}", listed(header),
                           counts ? "are those of counts and of arrivals both" : "tell neither counts nor arrivals"),
               "pass --trace-kind requests with --time-column and --requests-column, or --trace-kind arrivals");
}

Result<Trace> synthetic_trace() {
  auto made = diurnal_trace({.mean_per_second = 120, .swing = 0.7, .weekend_factor = 0.75, .noise = 0.06, .days = 14});
  if (!made) return made.error();
  auto summary = made->summary();
  if (!summary) return summary.error();
  return Trace{.requests = std::move(*made),
               .arrivals = {},
               .tokens_per_request = {},
               .sources = {{"T", "trace", to_string(*summary),
                            "made up: diurnal, mean 120/s, swing 70%, weekends 75%, noise 6%, seed 1"}}};
}

Result<Trace> counted_trace(const TraceArguments& arguments, const std::string& text) {
  const auto gaps = gaps_of(arguments.gaps);
  if (!gaps) return gaps.error();
  const std::string time = arguments.time_column.empty() ? "minute" : arguments.time_column;
  auto read = RequestTrace::parse(text, arguments.file,
                                  {.columns = {.time = time, .requests = arguments.requests_column},
                                   .interval_seconds = arguments.interval_seconds,
                                   .gaps = *gaps});
  if (!read) return read.error();
  const auto summary = read->summary();
  if (!summary) return summary.error();
  return Trace{.requests = std::move(*read),
               .arrivals = {},
               .tokens_per_request = {},
               .sources = {{"T", "trace", to_string(*summary),
                            fmt::format("{}, columns '{}', '{}'", fingerprinted(arguments.file, text), time,
                                        arguments.requests_column)}}};
}

Result<Trace> arrival_trace(const TraceArguments& arguments, const std::string& text,
                            const std::vector<std::string>& header) {
  // A column that was not named is read where it is there.
  const auto column = [&](const std::string& named, const char* usual) {
    return !named.empty() ? named : holds(header, usual) ? std::string(usual) : std::string();
  };
  const ArrivalColumns columns{.time = arguments.time_column.empty() ? "TIMESTAMP" : arguments.time_column,
                               .prompt_tokens = column(arguments.prompt_column, "ContextTokens"),
                               .generated_tokens = column(arguments.generated_column, "GeneratedTokens")};
  auto read = ArrivalTrace::parse(text, arguments.file, columns);
  if (!read) return read.error();
  auto counts = read->per_interval(arguments.interval_seconds);
  if (!counts) return counts.error();
  const auto summary = counts->summary();
  if (!summary) return summary.error();
  double tokens = 0;
  for (const auto* list : {&read->prompt_tokens, &read->generated_tokens})
    for (const std::int64_t count : *list) tokens += static_cast<double>(count);
  Trace trace{
      .requests = std::move(*counts),
      .arrivals = {},
      .tokens_per_request = {},
      .sources = {{"T", "trace", to_string(*summary),
                   fmt::format("{}, arrivals in '{}', counted every {:g} s", fingerprinted(arguments.file, text),
                               columns.time, arguments.interval_seconds)}}};
  if (tokens > 0) {
    trace.tokens_per_request = tokens / static_cast<double>(read->seconds.size());
    trace.sources.push_back(
        {"K", "tokens", fmt::format("{:.6g} a request", *trace.tokens_per_request),
         fmt::format("the same file, mean of '{}' and '{}'", columns.prompt_tokens, columns.generated_tokens)});
  }
  trace.arrivals = std::move(*read);
  return trace;
}

} // namespace

std::string example_file(const char* name) {
  return std::string(MCOMP_EXAMPLE_FOLDER) + "/" + name;
}

Result<std::string> described(const std::string& file) {
  const auto text = read_file(file);
  if (!text) return text.error();
  return fingerprinted(file, *text);
}

Result<Trace> read_trace(const TraceArguments& arguments) {
  if (arguments.file.empty()) return synthetic_trace();
  const auto text = read_file(arguments.file);
  if (!text) return text.error();
  const auto header = header_of(*text);
  if (header.empty())
    return Error(ErrorCode::insufficient_data, arguments.file, "it is empty",
                 "write a line of column names and a line an interval or an arrival");
  const auto kind = kind_of(arguments, header);
  if (!kind) return kind.error();
  return *kind == "requests" ? counted_trace(arguments, *text) : arrival_trace(arguments, *text, header);
}

namespace {

/// "json" for our own format, "list" for one that is imported.
Result<std::string> price_kind(const PriceArguments& arguments, std::string_view text) {
  if (arguments.kind != "auto") return arguments.kind;
  text = without_mark(text);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || (text[first] != '{' && text[first] != '[')) return std::string("list");
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded())
    return Error(ErrorCode::corrupt, arguments.file, "it begins like JSON and is none", "pass a whole file");
  const bool own = json.is_object() && json.contains("instances");
  const bool terms = json.is_array() || (json.is_object() && json.contains("pricing"));
  if (own != terms) return std::string(own ? "json" : "list");
  return Error(ErrorCode::invalid_argument, arguments.file,
               own ? "it has 'instances' as our format and 'pricing' as a list of terms"
                   : "it has neither 'instances', as our format, nor 'pricing', as a list of terms",
               "pass --prices-kind json or --prices-kind list");
}

} // namespace

Result<Prices> read_prices(const PriceArguments& arguments) {
  const std::string file = arguments.file.empty() ? example_file("prices.json") : arguments.file;
  const auto text = read_file(file);
  if (!text) return text.error();
  const auto kind = price_kind({file, arguments.kind, {}, {}, {}, {}}, *text);
  if (!kind) return kind.error();
  Prices result;
  std::string left_out;
  if (*kind == "json") {
    auto read = PriceCatalogue::parse(*text, file);
    if (!read) return read.error();
    if (!arguments.date.empty())
      return Error(ErrorCode::invalid_argument, "--price-date",
                   fmt::format("{} says its own date, {}", file, read->date), "leave the option out");
    result.catalogue = std::move(*read);
  } else {
    auto read = parse_price_list(*text, std::filesystem::path(file).filename().string(),
                                 {.date = arguments.date,
                                  .region = arguments.region,
                                  .operating_system = arguments.system,
                                  .currency = arguments.currency});
    if (!read) {
      const Error& error = read.error();
      const bool date = error.code() == ErrorCode::invalid_argument && arguments.date.empty();
      return Error(error.code(), error.subject(), error.rule(),
                   date ? "pass the day of the list: --price-date 2026-07-20" : error.remedy());
    }
    result.catalogue = std::move(read->catalogue);
    result.unpriced = std::move(read->without_on_demand);
    if (!result.unpriced.empty())
      left_out = fmt::format("; {} types without an on-demand price left out", result.unpriced.size());
  }
  const PriceCatalogue& c = result.catalogue;
  result.sources.push_back({"P", "prices",
                            fmt::format("{} instance type{}, {}, of {}{}", c.instances.size(),
                                        c.instances.size() == 1 ? "" : "s", c.currency, c.date, left_out),
                            fingerprinted(file, *text) + (arguments.file.empty() ? ", of the example" : "")});
  return result;
}

Result<std::string> choose_instance(const Prices& prices, const std::string& named) {
  const std::vector<InstancePrice>& instances = prices.catalogue.instances;
  if (!named.empty()) {
    const auto found = prices.catalogue.find(named);
    if (found) return named;
    const Error& error = found.error();
    if (!holds(prices.unpriced, named)) return error;
    return Error(error.code(), error.subject(), "the price list has it, but its on-demand price is unavailable",
                 error.remedy());
  }
  if (instances.size() == 1) return instances.front().name;
  std::vector<std::string> names;
  for (const InstancePrice& instance : instances) names.push_back(instance.name);
  return Error(ErrorCode::invalid_argument, "--instance",
               fmt::format("the prices have {} instance types, and none is named", names.size()),
               fmt::format("pass one of {}", listed(names)));
}

namespace {

Result<double> factor_of(const std::string& unit, const std::string& column, const std::string& file) {
  const auto ends = [&](std::string_view end) {
    return column.size() >= end.size() && std::string_view(column).substr(column.size() - end.size()) == end;
  };
  if (unit.empty() && (ends("_ms") || ends("_us") || ends("milliseconds") || ends("microseconds")))
    return Error(ErrorCode::invalid_argument, file,
                 fmt::format("the column '{}' does not seem to be in seconds", column),
                 "pass --latency-unit s, ms or us");
  if (unit.empty() || unit == "s") return 1.0;
  if (unit == "ms") return 1e-3;
  if (unit == "us") return 1e-6;
  return Error(ErrorCode::invalid_argument, "--latency-unit", fmt::format("'{}' is no unit", unit), "pass s, ms or us");
}

std::optional<double> number_in(const std::string& text) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<std::vector<double>> json_latencies(const std::string& file, std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  const auto corrupt = [&](const std::string& rule) {
    return Error(ErrorCode::corrupt, file, rule, "write an array of numbers, or {\"seconds\": [...]}");
  };
  if (json.is_discarded()) return corrupt("it begins like JSON and is none");
  const Json* list = &json;
  if (json.is_object()) {
    if (!json.contains("seconds") || json.size() != 1) return corrupt("it is an object with other keys than 'seconds'");
    list = &json["seconds"];
  }
  if (!list->is_array()) return corrupt("it holds no array");
  std::vector<double> values;
  for (const Json& item : *list) {
    if (!item.is_number()) return corrupt(fmt::format("item {} is no number", values.size()));
    values.push_back(item.get<double>());
  }
  return values;
}

} // namespace

Result<std::vector<double>> read_latencies(const std::string& file, const std::string& column,
                                           const std::string& unit) {
  const auto text = read_file(file);
  if (!text) return text.error();
  std::string_view rest = without_mark(*text);
  std::vector<double> values;
  std::string name;
  const std::size_t first = rest.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && (rest[first] == '[' || rest[first] == '{')) {
    auto read = json_latencies(file, rest);
    if (!read) return read.error();
    values = std::move(*read);
  } else {
    std::size_t place = 0;
    std::int64_t line = 0;
    bool begun = false;
    while (!rest.empty()) {
      ++line;
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view own = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (trimmed(own).empty()) continue;
      const auto fields = fields_of(own);
      if (!begun) {
        begun = true;
        const bool names = !number_in(fields.front()) || !column.empty();
        if (names) {
          if (!column.empty()) {
            const auto found = std::find(fields.begin(), fields.end(), column);
            if (found == fields.end())
              return Error(ErrorCode::corrupt, file, fmt::format("there is no column '{}'", column),
                           fmt::format("choose of {}", listed(fields)));
            place = static_cast<std::size_t>(found - fields.begin());
          } else if (fields.size() > 1) {
            return Error(ErrorCode::invalid_argument, file, fmt::format("it has the columns {}", listed(fields)),
                         "name one with --latency-column");
          }
          name = fields[place];
          continue;
        }
        if (fields.size() > 1)
          return Error(ErrorCode::invalid_argument, file, "it has several columns without names",
                       "write a line of names, and choose with --latency-column");
      }
      const auto bad = [&](const std::string& rule) {
        return Error(ErrorCode::corrupt, fmt::format("{}: line {}", file, line), rule,
                     "correct the line or leave it out");
      };
      if (place >= fields.size())
        return bad(fmt::format("it has {} fields, column {} is needed", fields.size(), place + 1));
      const auto value = number_in(fields[place]);
      if (!value) return bad(fmt::format("'{}' is no number", fields[place].substr(0, 40)));
      values.push_back(*value);
    }
  }
  const auto factor = factor_of(unit, name, file);
  if (!factor) return factor.error();
  if (values.empty())
    return Error(ErrorCode::insufficient_data, file, "it holds no latency", "write one number a request");
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i]) || values[i] <= 0)
      return Error(ErrorCode::invalid_value, file,
                   fmt::format("latency {} is {}, not finite and > 0", i + 1, values[i]),
                   "leave out what was not measured");
    values[i] *= *factor;
  }
  return values;
}

Result<std::vector<ForecastSlice>> read_slices(const std::string& file) {
  const auto text = read_file(file);
  if (!text) return text.error();
  const Json json = Json::parse(*text, nullptr, false);
  const auto corrupt = [&](const std::string& rule) {
    return Error(ErrorCode::corrupt, file, rule,
                 "write [{\"name\": \"night\", \"traffic_share\": 0.03, \"accuracy_loss\": 0.02}]");
  };
  if (!json.is_array()) return corrupt("it is no JSON array");
  std::vector<ForecastSlice> slices;
  for (const Json& item : json) {
    const auto number = [&](const char* key) { return item.contains(key) && item[key].is_number(); };
    if (!item.is_object() || !item.contains("name") || !item["name"].is_string() || !number("traffic_share") ||
        !number("accuracy_loss") || item.size() != 3)
      return corrupt(
          fmt::format("slice {} does not have a name, a traffic_share and an accuracy_loss alone", slices.size()));
    slices.push_back({.name = item["name"].get<std::string>(),
                      .traffic_share = item["traffic_share"].get<double>(),
                      .accuracy_loss = item["accuracy_loss"].get<double>()});
  }
  return slices;
}

} // namespace example
