#include "mcomp/cost/price_import.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "core/closest_name.hpp"
#include "core/json.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

using mcomp::detail::Json;

constexpr double hours_per_month = 730;

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

/// Digits with a point and nothing else: no sign, exponent, NaN or infinity, which no price list has.
std::optional<double> plain_number(std::string_view text) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; }))
    return std::nullopt;
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// True for what lists write in place of a price.
bool is_absent(std::string_view text) {
  const std::string word = lower_case(text);
  return word.empty() || word == "unavailable" || word == "n/a";
}

Error corrupt(const std::string& where, const std::string& rule, const char* remedy) {
  return Error(ErrorCode::corrupt, where, rule, remedy);
}

/// The price in `cell`, or nothing where it is absent.
Result<std::optional<double>> read_price(std::string_view cell, const std::string& where, const std::string& column) {
  if (is_absent(cell)) return std::optional<double>();
  const std::optional<double> value = plain_number(cell);
  if (!value) return corrupt(where, fmt::format("{}: '{}' is not a number", column, cell), "correct the cell");
  if (!(*value > 0)) return corrupt(where, fmt::format("{}: {} is not > 0", column, cell), "correct the cell");
  return value;
}

/// A CSV as rows of trimmed cells, with the column numbers of the header.
class Table {
 public:
  static Result<Table> parse(std::string_view text, const std::string& subject) {
    Table table(subject);
    std::int64_t number = 0;
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
      ++number;
      if (trimmed(line).empty()) continue;
      Row row{number, {}};
      MCOMP_CHECK(table.split(line, row));
      if (table.header_.cells.empty()) {
        table.header_ = std::move(row);
        continue;
      }
      if (row.cells.size() != table.header_.cells.size())
        return corrupt(table.where(row),
                       fmt::format("{} cells, but the header has {}", row.cells.size(), table.header_.cells.size()),
                       "give every row a cell for every column");
      table.rows_.push_back(std::move(row));
    }
    if (table.header_.cells.empty()) return corrupt(subject, "it is empty", "pass a price list");
    return table;
  }

  struct Row {
    std::int64_t line = 0;
    std::vector<std::string> cells;
  };

  [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }
  [[nodiscard]] const std::vector<std::string>& header() const { return header_.cells; }
  [[nodiscard]] std::string where(const Row& row) const { return fmt::format("{}:{}", subject_, row.line); }
  [[nodiscard]] Result<std::size_t> column(const std::string& name) const {
    const auto& cells = header_.cells;
    const auto same = [&](const std::string& cell) { return lower_case(cell) == lower_case(name); };
    const auto found = std::find_if(cells.begin(), cells.end(), same);
    if (found == cells.end())
      return corrupt(where(header_), fmt::format("there is no column '{}'", name), "add it, or correct the header");
    if (std::find_if(found + 1, cells.end(), same) != cells.end())
      return corrupt(where(header_), fmt::format("the column '{}' stands twice", name), "remove one");
    return static_cast<std::size_t>(found - cells.begin());
  }

 private:
  explicit Table(std::string subject) : subject_(std::move(subject)) {}

  /// Cells at commas; a quoted cell may hold some, and a doubled quote for one (RFC 4180), but no line break.
  [[nodiscard]] Status split(std::string_view line, Row& row) const {
    std::size_t at = 0;
    for (;;) {
      while (at < line.size() && line[at] == ' ') ++at;
      std::string cell;
      if (at < line.size() && line[at] == '"') {
        for (++at;; ++at) {
          if (at == line.size()) return corrupt(where(row), "a quote is not closed", "close it in the same line");
          if (line[at] == '"') {
            if (at + 1 == line.size() || line[at + 1] != '"') break;
            ++at;
          }
          cell += line[at];
        }
        const std::size_t comma = std::min(line.find(',', ++at), line.size());
        if (!trimmed(line.substr(at, comma - at)).empty())
          return corrupt(where(row), "text follows a closed quote", "quote the whole cell");
        at = comma;
      } else {
        const std::size_t comma = std::min(line.find(',', at), line.size());
        cell = trimmed(line.substr(at, comma - at));
        at = comma;
      }
      row.cells.push_back(std::move(cell));
      if (at == line.size()) return {};
      ++at;
    }
  }

  std::string subject_;
  Row header_;
  std::vector<Row> rows_;
};

/// The name of a row's type, which must be there and new.
Status check_name(const std::string& name, const std::string& where, std::set<std::string>& names) {
  if (name.empty()) return corrupt(where, "the instance type is empty", "name it");
  if (!is_printable(name)) return corrupt(where, "the instance type is not printable ASCII", "correct the cell");
  if (!names.insert(name).second)
    return corrupt(where, fmt::format("'{}' stands twice", name), "remove one of the rows");
  return {};
}

void add(PriceImport& result, InstancePrice price, const std::optional<double>& on_demand) {
  if (!on_demand) {
    result.without_on_demand.push_back(std::move(price.name));
    return;
  }
  price.on_demand_per_hour = *on_demand;
  result.catalogue.instances.push_back(std::move(price));
}

constexpr std::string_view on_demand_middle = "_per_hour_ondemand";

/// The place of "_per_hour_ondemand" behind three letters of a currency, in the one column that has it.
std::optional<std::size_t> on_demand_column(const Table& table) {
  for (std::size_t i = 0; i < table.header().size(); ++i)
    if (lower_case(table.header()[i]).find(on_demand_middle) == 3) return i;
  return std::nullopt;
}

Result<PriceImport> parse_hourly(const Table& table, std::size_t price_column, const std::string& subject) {
  MCOMP_TRY(name_column, table.column("instance_type"));
  const std::string& column = table.header()[price_column];
  MCOMP_TRY(only_column, table.column(column)); // of this name
  if (only_column != price_column || !is_printable(column))
    return corrupt(subject + ":1", "the column of the prices is not printable ASCII",
                   "name it usd_per_hour_ondemand_linux");
  PriceImport result;
  std::string currency = column.substr(0, 3);
  for (char& c : currency)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  result.catalogue.currency = currency;
  std::string system = column.substr(3 + on_demand_middle.size());
  if (!system.empty() && system.front() == '_') system.erase(0, 1);
  result.catalogue.source = subject + ", on-demand" + (system.empty() ? "" : ", " + system);
  std::set<std::string> names;
  for (const Table::Row& row : table.rows()) {
    InstancePrice price{.name = row.cells[name_column]};
    MCOMP_CHECK(check_name(price.name, table.where(row), names));
    MCOMP_TRY(on_demand, read_price(row.cells[price_column], table.where(row), column));
    add(result, std::move(price), on_demand);
  }
  return result;
}

/// "16.0 GiB" with the unit "GiB" is 16.
Result<double> read_amount(const std::string& cell, const char* unit, const std::string& where,
                           const std::string& column) {
  std::string_view text = cell;
  const std::string_view word = unit;
  const bool has_unit = text.size() > word.size() && text.substr(text.size() - word.size()) == word;
  if (has_unit) text = trimmed(text.substr(0, text.size() - word.size()));
  const std::optional<double> value = has_unit ? plain_number(text) : std::nullopt;
  if (!value || !(*value > 0))
    return corrupt(where, fmt::format("{}: '{}' is not a number > 0 of {}", column, cell, unit), "correct the cell");
  return *value;
}

/// "$148.92 monthly", per hour.
Result<std::optional<double>> read_monthly(const std::string& cell, const std::string& where,
                                           const std::string& column) {
  if (is_absent(cell)) return std::optional<double>();
  constexpr std::string_view word = "monthly";
  std::string_view text = cell;
  if (text.front() != '$' || text.size() <= word.size() || text.substr(text.size() - word.size()) != word)
    return corrupt(where, fmt::format("{}: '{}' is not of the form '$148.92 monthly'", column, cell),
                   "correct the cell, or write unavailable");
  text = trimmed(text.substr(1, text.size() - 1 - word.size()));
  std::string digits(text);
  // A comma between thousands, which only a quoted cell can have.
  std::erase(digits, ',');
  if (digits.empty()) return corrupt(where, fmt::format("{}: '{}' has no amount", column, cell), "correct the cell");
  MCOMP_TRY(month, read_price(digits, where, column));
  if (!month) return corrupt(where, fmt::format("{}: '{}' has no amount", column, cell), "correct the cell");
  return std::optional<double>(*month / hours_per_month);
}

Result<PriceImport> parse_monthly(const Table& table, const std::string& subject) {
  MCOMP_TRY(name_column, table.column("Instance-Type"));
  MCOMP_TRY(memory_column, table.column("Memory"));
  MCOMP_TRY(cpu_column, table.column("CPUs"));
  MCOMP_TRY(paid_column, table.column("Linux On Demand cost"));
  MCOMP_TRY(reserved_column, table.column("Linux Reserved cost"));
  PriceImport result;
  result.catalogue.currency = "USD";
  result.catalogue.source =
      subject + ", Linux, months of 730 hours; the term of the reserved prices is not stated in the list, taken as one "
                "year, no upfront";
  std::set<std::string> names;
  for (const Table::Row& row : table.rows()) {
    const std::string where = table.where(row);
    InstancePrice price{.name = row.cells[name_column]};
    MCOMP_CHECK(check_name(price.name, where, names));
    MCOMP_TRY(memory, read_amount(row.cells[memory_column], "GiB", where, "Memory"));
    price.memory_gib = memory;
    // "8 vCPUs for a 4h 4.8m burst": how long they run at full speed is not a price.
    const std::string& processors = row.cells[cpu_column];
    MCOMP_TRY(cpus, read_amount(processors.substr(0, processors.find(" for a ")), "vCPUs", where, "CPUs"));
    if (cpus != std::floor(cpus) || cpus > 1e6)
      return corrupt(where, fmt::format("CPUs: {} is not a whole number up to a million", cpus), "correct the cell");
    price.vcpus = static_cast<std::int64_t>(cpus);
    MCOMP_TRY(on_demand, read_monthly(row.cells[paid_column], where, "Linux On Demand cost"));
    MCOMP_TRY(reserved, read_monthly(row.cells[reserved_column], where, "Linux Reserved cost"));
    if (reserved) {
      price.reserved_per_hour = *reserved;
      price.term = "1 year, no upfront (term not stated in the source)";
      price.reserved = {{.months = 12, .payment = Payment::no_upfront, .kind = "standard", .per_hour = *reserved}};
    }
    add(result, std::move(price), on_demand);
  }
  return result;
}

/// A price that a JSON list writes as text or number; null and "N/A" are absent.
Result<std::optional<double>> json_price(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::optional<double>();
  if (found->is_string()) return read_price(trimmed(found->get_ref<const std::string&>()), where, key);
  const double value = found->is_number() ? found->get<double>() : 0;
  if (!std::isfinite(value) || !(value > 0))
    return corrupt(where, fmt::format("{} is not a price > 0", key), "correct it");
  return std::optional<double>(value);
}

/// "yrTerm3Convertible.allUpfront"
Result<ReservedPrice> read_term(const std::string& key, const std::string& where) {
  const auto unknown = [&] {
    return corrupt(where, fmt::format("the term '{}' is not known", key), "write it as yrTerm1Standard.noUpfront");
  };
  constexpr std::string_view prefix = "yrTerm";
  const std::size_t point = key.find('.');
  if (key.compare(0, prefix.size(), prefix) != 0 || point == std::string::npos) return unknown();
  std::int64_t years = 0;
  const char* const last = key.data() + point;
  const auto [end, code] = std::from_chars(key.data() + prefix.size(), last, years);
  if (code != std::errc() || years < 1 || years > 100 || end == last) return unknown();
  ReservedPrice price{.months = 12 * years,
                      .kind = lower_case(std::string_view(end, static_cast<std::size_t>(last - end)))};
  const std::string payment = key.substr(point + 1);
  if (payment == "noUpfront")
    price.payment = Payment::no_upfront;
  else if (payment == "partialUpfront")
    price.payment = Payment::partial_upfront;
  else if (payment == "allUpfront")
    price.payment = Payment::all_upfront;
  else
    return unknown();
  return price;
}

/// Shares of "<5%", "5-10%", ">20%".
Status read_interruption(const Json& product, const std::string& where, SpotPrice& spot) {
  const auto found = product.find("pct_interrupt");
  if (found == product.end() || found->is_null()) return {};
  const auto bad = [&] {
    return corrupt(
        where,
        fmt::format("pct_interrupt: {} is not known", found->dump(-1, ' ', true, Json::error_handler_t::replace)),
        "write it as <5%, 5-10% or >20%");
  };
  if (!found->is_string()) return bad();
  std::string_view text = found->get_ref<const std::string&>();
  if (is_absent(trimmed(text))) return {};
  if (text.back() != '%') return bad();
  text.remove_suffix(1);
  std::optional<double> lower = 0, upper = 100;
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    lower = plain_number(text.substr(0, dash));
    upper = plain_number(text.substr(dash + 1));
  } else if (!text.empty() && text.front() == '<') {
    upper = plain_number(text.substr(1));
  } else if (!text.empty() && text.front() == '>') {
    lower = plain_number(text.substr(1));
  } else {
    lower = upper = plain_number(text);
  }
  if (!lower || !upper || *lower > *upper || *upper > 100) return bad();
  spot.interrupted_lower = *lower / 100;
  spot.interrupted_upper = *upper / 100;
  return {};
}

Result<std::optional<double>> read_product(const Json& product, const std::string& where, InstancePrice& price) {
  if (!product.is_object()) return corrupt(where, "it is not an object", "write the prices of a system as an object");
  MCOMP_TRY(on_demand, json_price(product, "ondemand", where));
  if (const auto reserved = product.find("reserved"); reserved != product.end() && !reserved->is_null()) {
    if (!reserved->is_object()) return corrupt(where, "reserved is not an object", "write terms with their prices");
    for (const auto& [key, value] : reserved->items()) {
      MCOMP_TRY(per_hour, json_price(*reserved, key.c_str(), where + ": reserved"));
      if (!per_hour) continue;
      MCOMP_TRY(term, read_term(key, where + ": reserved"));
      term.per_hour = *per_hour;
      price.reserved.push_back(std::move(term));
    }
  }
  const auto plain = std::find_if(price.reserved.begin(), price.reserved.end(), [](const ReservedPrice& r) {
    return r.months == 12 && r.payment == Payment::no_upfront && r.kind == "standard";
  });
  if (plain != price.reserved.end()) {
    price.reserved_per_hour = plain->per_hour;
    price.term = "1 year, no upfront";
  }
  MCOMP_TRY(spot, json_price(product, "spot_avg", where));
  if (spot) {
    price.spot = SpotPrice{.per_hour = *spot};
    MCOMP_CHECK(read_interruption(product, where, *price.spot));
  }
  return std::optional<double>(on_demand);
}

Status read_type(const Json& type, const std::string& where, const PriceImportOptions& options, PriceImport& result,
                 std::set<std::string>& regions, std::set<std::string>& systems) {
  const auto name = type.is_object() ? type.find("instance_type") : type.end();
  if (!type.is_object() || name == type.end() || !name->is_string())
    return corrupt(where, "there is no instance_type", "name the type");
  InstancePrice price{.name = name->get<std::string>()};
  const std::string place = fmt::format("{}: {}", where, price.name);
  const auto pricing = type.find("pricing");
  if (pricing == type.end() || !pricing->is_object())
    return corrupt(place, "there is no object 'pricing'", "give its prices by region");
  const auto processors = type.find("vCPU");
  if (processors != type.end() && !processors->is_null()) {
    if (!processors->is_number_unsigned() || processors->get<std::uint64_t>() < 1 ||
        processors->get<std::uint64_t>() > 1'000'000)
      return corrupt(place, "vCPU is not a whole number within 1 and a million", "correct it");
    price.vcpus = processors->get<std::int64_t>();
  }
  if (type.contains("memory")) {
    MCOMP_TRY(memory, json_price(type, "memory", place));
    price.memory_gib = memory;
  }
  for (const auto& [key, value] : pricing->items()) regions.insert(key);
  const auto region = pricing->find(options.region);
  std::optional<double> on_demand;
  if (region != pricing->end()) {
    if (!region->is_object()) return corrupt(place + ": " + options.region, "it is not an object", "give systems");
    for (const auto& [key, value] : region->items()) systems.insert(key);
    if (const auto product = region->find(options.operating_system); product != region->end()) {
      MCOMP_TRY(read, read_product(*product, fmt::format("{}: {}: {}", place, options.region, options.operating_system),
                                   price));
      on_demand = read;
    }
  }
  add(result, std::move(price), on_demand);
  return {};
}

Result<PriceImport> parse_terms(std::string_view text, const std::string& subject, const PriceImportOptions& options) {
  MCOMP_TRY(root, mcomp::detail::parse_json(text, subject));
  PriceImport result;
  result.catalogue.currency = options.currency;
  result.catalogue.source = fmt::format("{}, {}, {}", subject, options.region, options.operating_system);
  std::set<std::string> regions, systems, names;
  const Json list = root.is_array() ? std::move(root) : Json::array({std::move(root)});
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string where = list.size() == 1 ? subject : fmt::format("{}[{}]", subject, i);
    MCOMP_CHECK(read_type(list[i], where, options, result, regions, systems));
    MCOMP_CHECK(check_name(list[i]["instance_type"].get<std::string>(), where, names));
  }
  const auto missing = [&](const char* what, const std::string& name, const std::set<std::string>& known) {
    return Error(ErrorCode::not_found, fmt::format("{}: {} '{}'", subject, what, name), "no type of the list has it",
                 mcomp::detail::did_you_mean(name, {known.begin(), known.end()}));
  };
  if (!regions.contains(options.region)) return missing("region", options.region, regions);
  if (!systems.contains(options.operating_system)) return missing("system", options.operating_system, systems);
  return result;
}

/// The first year-month-day in `text`.
std::string find_date(std::string_view text) {
  constexpr std::string_view form = "0000-00-00";
  for (std::size_t at = 0; at + form.size() <= text.size(); ++at) {
    bool fits = true;
    for (std::size_t i = 0; i < form.size(); ++i) {
      const char c = text[at + i];
      fits = fits && (form[i] == '-' ? c == '-' : c >= '0' && c <= '9');
    }
    if (fits) return std::string(text.substr(at, form.size()));
  }
  return {};
}

Result<PriceImport> parse_any(std::string_view text, const std::string& subject, const PriceImportOptions& options) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && (text[first] == '{' || text[first] == '['))
    return parse_terms(text, subject, options);
  MCOMP_TRY(table, Table::parse(text, subject));
  if (const auto column = on_demand_column(table)) return parse_hourly(table, *column, subject);
  if (table.column("Instance-Type")) return parse_monthly(table, subject);
  return corrupt(subject + ":1", "there is neither a column 'usd_per_hour_ondemand_linux' nor one 'Instance-Type'",
                 "pass one of the lists that price_import.hpp describes");
}

} // namespace

Result<PriceImport> parse_price_list(std::string_view text, const std::string& subject,
                                     const PriceImportOptions& options) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.substr(0, byte_order_mark.size()) == byte_order_mark) text.remove_prefix(byte_order_mark.size());
  const std::string date = options.date.empty() ? find_date(subject) : options.date;
  if (date.empty())
    return Error(ErrorCode::invalid_argument, subject, "its name has no date, and prices are worth nothing without",
                 "pass the day of the list in the options: .date = \"2026-07-20\"");
  MCOMP_TRY(result, parse_any(text, subject, options));
  result.catalogue.date = date;
  result.catalogue.hours_per_month = hours_per_month;
  if (result.catalogue.instances.empty())
    return corrupt(subject, "no type has an on-demand price", "pass a list that has one");
  if (const Status valid = result.catalogue.check(subject); !valid)
    return Error(ErrorCode::corrupt, valid.error().subject(), valid.error().rule(), valid.error().remedy());
  return std::move(result);
}

Result<PriceImport> import_prices(const std::filesystem::path& path, const PriceImportOptions& options) {
  MCOMP_TRY(text, read_file(path));
  MCOMP_TRY(result, parse_price_list(text, path.filename().string(), options));
  return std::move(result);
}

std::string to_string(const PriceImport& prices) {
  std::string text = to_string(prices.catalogue);
  if (!prices.without_on_demand.empty())
    text += fmt::format("; {} without an on-demand price", prices.without_on_demand.size());
  return text;
}

} // namespace mcomp::inline v0::cost
