#include "mcomp/cost/prices.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <set>

#include "core/closest_name.hpp"
#include "core/json.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

bool is_date(const std::string& text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const auto number = [&](std::size_t begin, std::size_t length) {
    unsigned value = 0;
    const char* const first = text.data() + begin;
    const auto [end, code] = std::from_chars(first, first + length, value);
    return code == std::errc() && end == first + length ? value : 0;
  };
  return std::chrono::year_month_day(std::chrono::year(static_cast<int>(number(0, 4))),
                                     std::chrono::month(number(5, 2)), std::chrono::day(number(8, 2)))
      .ok();
}

bool is_currency(const std::string& text) {
  return text.size() == 3 && std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool is_price(double value) {
  return std::isfinite(value) && value > 0;
}

InstancePrice read_instance(ObjectReader& reader) {
  InstancePrice price{.name = reader.text("name"),
                      .vcpus = reader.integer("vcpus"),
                      .on_demand_per_hour = reader.number("on_demand_per_hour")};
  if (reader.has("memory_gib")) price.memory_gib = reader.number("memory_gib");
  if (reader.has("reserved_per_hour")) price.reserved_per_hour = reader.number("reserved_per_hour");
  price.term = reader.text("term", std::string());
  return price;
}

Status check_instance(const InstancePrice& price, const std::string& subject) {
  const auto bad = [&](const char* rule, const char* remedy) {
    return Error(ErrorCode::invalid_value, fmt::format("{}: instance '{}'", subject, price.name), rule, remedy);
  };
  if (price.name.empty()) return bad("it has no name", "name it");
  if (price.vcpus < 1) return bad("vcpus must be at least 1", "give the number of processors that it is sold with");
  if (price.memory_gib && !is_price(*price.memory_gib)) return bad("memory_gib must be finite and > 0", "correct it");
  if (!is_price(price.on_demand_per_hour)) return bad("on_demand_per_hour must be finite and > 0", "correct it");
  if (price.reserved_per_hour && !is_price(*price.reserved_per_hour))
    return bad("reserved_per_hour must be finite and > 0", "correct it, or leave it out where there is none");
  if (price.reserved_per_hour.has_value() == price.term.empty())
    return bad("reserved_per_hour and term must stand together", "say what the reserved price binds to");
  return {};
}

} // namespace

Status PriceCatalogue::check(const std::string& subject) const {
  const auto bad = [&](const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_value, subject, rule, remedy);
  };
  if (!is_currency(currency))
    return bad(fmt::format("the currency '{}' is not three capital letters", currency), "write for example USD");
  if (!is_date(date)) return bad(fmt::format("'{}' is no date", date), "write year-month-day, for example 2026-07-20");
  if (source.empty()) return bad("the source is empty", "say where the prices come from");
  if (!is_price(hours_per_month) || hours_per_month > 31 * 24)
    return bad(fmt::format("{} hours per month are not within 0 and 744", hours_per_month), "write 730");
  if (instances.empty()) return bad("there is no instance", "list at least one");
  std::set<std::string_view> names;
  for (const InstancePrice& price : instances) {
    MCOMP_CHECK(check_instance(price, subject));
    if (!names.insert(price.name).second)
      return bad(fmt::format("the instance '{}' stands twice", price.name), "remove one");
  }
  return {};
}

Result<PriceCatalogue> PriceCatalogue::parse(std::string_view json, const std::string& subject) {
  MCOMP_TRY(root, mcomp::detail::parse_json(json, subject));
  ObjectReader reader(root, subject);
  PriceCatalogue catalogue{.currency = reader.text("currency"),
                           .date = reader.text("date"),
                           .source = reader.text("source"),
                           .hours_per_month = reader.number("hours_per_month", 730)};
  for (const Json& item : reader.array("instances")) {
    ObjectReader instance(item, fmt::format("{}: instances[{}]", subject, catalogue.instances.size()));
    catalogue.instances.push_back(read_instance(instance));
    MCOMP_CHECK(instance.finish());
  }
  MCOMP_CHECK(reader.finish());
  if (const Status valid = catalogue.check(subject); !valid)
    return Error(ErrorCode::corrupt, valid.error().subject(), valid.error().rule(), valid.error().remedy());
  return catalogue;
}

Result<PriceCatalogue> PriceCatalogue::read(const std::filesystem::path& path) {
  MCOMP_TRY(text, read_file(path));
  return parse(text, path.string());
}

Result<InstancePrice> PriceCatalogue::find(std::string_view instance) const {
  std::vector<std::string> names;
  for (const InstancePrice& price : instances) {
    if (price.name == instance) return price;
    names.push_back(price.name);
  }
  return Error(ErrorCode::not_found, fmt::format("instance '{}'", instance),
               fmt::format("it is not among the {} of {}", instances.size(), source),
               mcomp::detail::did_you_mean(instance, names));
}

std::string to_json(const PriceCatalogue& catalogue) {
  Json root = {{"currency", catalogue.currency},
               {"date", catalogue.date},
               {"source", catalogue.source},
               {"hours_per_month", catalogue.hours_per_month}};
  Json& list = root["instances"] = Json::array();
  for (const InstancePrice& price : catalogue.instances) {
    Json item = {{"name", price.name}, {"vcpus", price.vcpus}, {"on_demand_per_hour", price.on_demand_per_hour}};
    if (price.memory_gib) item["memory_gib"] = *price.memory_gib;
    if (price.reserved_per_hour) item["reserved_per_hour"] = *price.reserved_per_hour;
    if (!price.term.empty()) item["term"] = price.term;
    list.push_back(std::move(item));
  }
  return root.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string to_string(const PriceCatalogue& catalogue) {
  return fmt::format("{} instances, {}, {}, {}", catalogue.instances.size(), catalogue.currency, catalogue.date,
                     catalogue.source);
}

std::string to_string(const InstancePrice& price) {
  std::string text = fmt::format("{}: {} vCPUs, {} per hour", price.name, price.vcpus, price.on_demand_per_hour);
  if (price.reserved_per_hour) text += fmt::format(", reserved {} ({})", *price.reserved_per_hour, price.term);
  return text;
}

} // namespace mcomp::inline v0::cost
