#include "mcomp/cost/prices.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <set>
#include <tuple>

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

/// A share within [0, 1]; false for NaN.
bool is_share(double value) {
  return value >= 0 && value <= 1;
}

bool is_price(double value) {
  return std::isfinite(value) && value > 0;
}

constexpr std::array payments{Payment::no_upfront, Payment::partial_upfront, Payment::all_upfront};

Result<ReservedPrice> read_reserved(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  ReservedPrice price{.months = reader.integer("months"), .kind = reader.text("kind", "standard")};
  const std::string payment = reader.text("payment");
  const auto found = std::find_if(payments.begin(), payments.end(), [&](Payment p) { return to_string(p) == payment; });
  if (found == payments.end())
    reader.fail("payment", fmt::format("'{}' is not known", payment),
                "write no upfront, partial upfront or all upfront");
  else
    price.payment = *found;
  price.per_hour = reader.number("per_hour");
  MCOMP_CHECK(reader.finish());
  return price;
}

Result<SpotPrice> read_spot(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  SpotPrice spot{.per_hour = reader.number("per_hour")};
  if (reader.has("interrupted_per_month")) {
    const std::vector<double> shares = reader.numbers("interrupted_per_month");
    if (shares.size() == 2) {
      spot.interrupted_lower = shares[0];
      spot.interrupted_upper = shares[1];
    } else {
      reader.fail("interrupted_per_month", fmt::format("{} numbers", shares.size()),
                  "write the least and the largest share: [0.05, 0.1]");
    }
  }
  MCOMP_CHECK(reader.finish());
  return spot;
}

Result<InstancePrice> read_instance(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  InstancePrice price{.name = reader.text("name"), .on_demand_per_hour = reader.number("on_demand_per_hour")};
  if (reader.has("vcpus")) price.vcpus = reader.integer("vcpus");
  if (reader.has("memory_gib")) price.memory_gib = reader.number("memory_gib");
  if (reader.has("reserved_per_hour")) price.reserved_per_hour = reader.number("reserved_per_hour");
  price.term = reader.text("term", std::string());
  if (reader.has("reserved")) {
    for (const Json& item : reader.array("reserved")) {
      MCOMP_TRY(reserved, read_reserved(item, fmt::format("{}: reserved[{}]", where, price.reserved.size())));
      price.reserved.push_back(std::move(reserved));
    }
  }
  if (reader.has("spot")) {
    MCOMP_TRY(spot, read_spot(*reader.child("spot"), where + ": spot"));
    price.spot = spot;
  }
  MCOMP_CHECK(reader.finish());
  return price;
}

Status check_instance(const InstancePrice& price, const std::string& subject) {
  const auto bad = [&](const char* rule, const char* remedy) {
    return Error(ErrorCode::invalid_value, fmt::format("{}: instance '{}'", subject, price.name), rule, remedy);
  };
  if (price.name.empty()) return bad("it has no name", "name it");
  if (price.vcpus && *price.vcpus < 1)
    return bad("vcpus must be at least 1", "give the number of processors that it is sold with");
  if (price.memory_gib && !is_price(*price.memory_gib)) return bad("memory_gib must be finite and > 0", "correct it");
  if (!is_price(price.on_demand_per_hour)) return bad("on_demand_per_hour must be finite and > 0", "correct it");
  if (price.reserved_per_hour && !is_price(*price.reserved_per_hour))
    return bad("reserved_per_hour must be finite and > 0", "correct it, or leave it out where there is none");
  if (price.reserved_per_hour.has_value() == price.term.empty())
    return bad("reserved_per_hour and term must stand together", "say what the reserved price binds to");
  std::set<std::tuple<std::int64_t, Payment, std::string_view>> seen;
  for (const ReservedPrice& reserved : price.reserved) {
    if (reserved.months < 1 || reserved.months > 1200)
      return bad("reserved months must be within 1 and 1200", "write 12");
    if (!is_price(reserved.per_hour)) return bad("reserved per_hour must be finite and > 0", "correct it");
    if (!seen.insert({reserved.months, reserved.payment, reserved.kind}).second)
      return bad("a reserved term, payment and kind stands twice", "remove one");
  }
  if (price.spot) {
    if (!is_price(price.spot->per_hour)) return bad("spot per_hour must be finite and > 0", "correct it");
    if (!is_share(price.spot->interrupted_lower) || !is_share(price.spot->interrupted_upper) ||
        price.spot->interrupted_lower > price.spot->interrupted_upper)
      return bad("interrupted_per_month must ascend within [0, 1]", "write for example [0.05, 0.1]");
  }
  return {};
}

/// Storage may cost nothing, as a free tier does.
Status check_transfer(const PriceCatalogue& catalogue, const std::string& subject) {
  const auto bad = [&](const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_value, subject, rule, remedy);
  };
  const auto free_or_more = [](double value) { return std::isfinite(value) && value >= 0; };
  std::set<std::string_view> names;
  for (const StoragePrice& storage : catalogue.storage) {
    if (storage.name.empty()) return bad("a storage price has no name", "name it");
    if (!free_or_more(storage.per_gib_month))
      return bad(fmt::format("storage '{}': per_gib_month must be finite and >= 0", storage.name), "correct it");
    if (!names.insert(storage.name).second)
      return bad(fmt::format("the storage '{}' stands twice", storage.name), "remove one");
  }
  for (std::size_t i = 0; i < catalogue.egress.size(); ++i) {
    const EgressTier& tier = catalogue.egress[i];
    if (!free_or_more(tier.per_gib))
      return bad(fmt::format("egress tier {}: per_gib must be finite and >= 0", i), "correct it");
    if (!std::isfinite(tier.from_gib) ||
        (i == 0 ? tier.from_gib != 0 : tier.from_gib <= catalogue.egress[i - 1].from_gib))
      return bad(fmt::format("egress tier {} begins at {} GiB", i, tier.from_gib),
                 "let the first begin at 0 and each later one above the one before");
  }
  return {};
}

Result<double> checked_size(double gib, double cost, const char* what) {
  if (!(gib >= 0) || !std::isfinite(gib))
    return Error(ErrorCode::invalid_value, what, fmt::format("{} GiB is not finite and >= 0", gib),
                 "pass the GiB of a month");
  if (!std::isfinite(cost))
    return Error(ErrorCode::invalid_value, what, fmt::format("the cost of {} GiB overflows", gib), "check the units");
  return cost;
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
  return check_transfer(*this, subject);
}

Result<PriceCatalogue> PriceCatalogue::parse(std::string_view json, const std::string& subject) {
  MCOMP_TRY(root, mcomp::detail::parse_json(json, subject));
  ObjectReader reader(root, subject);
  PriceCatalogue catalogue{.currency = reader.text("currency"),
                           .date = reader.text("date"),
                           .source = reader.text("source"),
                           .hours_per_month = reader.number("hours_per_month", 730)};
  for (const Json& item : reader.array("instances")) {
    MCOMP_TRY(instance, read_instance(item, fmt::format("{}: instances[{}]", subject, catalogue.instances.size())));
    catalogue.instances.push_back(std::move(instance));
  }
  if (reader.has("storage")) {
    for (const Json& item : reader.array("storage")) {
      ObjectReader storage(item, fmt::format("{}: storage[{}]", subject, catalogue.storage.size()));
      catalogue.storage.push_back({.name = storage.text("name"), .per_gib_month = storage.number("per_gib_month")});
      MCOMP_CHECK(storage.finish());
    }
  }
  if (reader.has("egress")) {
    for (const Json& item : reader.array("egress")) {
      ObjectReader tier(item, fmt::format("{}: egress[{}]", subject, catalogue.egress.size()));
      catalogue.egress.push_back({.from_gib = tier.number("from_gib"), .per_gib = tier.number("per_gib")});
      MCOMP_CHECK(tier.finish());
    }
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

Result<double> PriceCatalogue::storage_per_month(std::string_view name, double gib) const {
  std::vector<std::string> names;
  for (const StoragePrice& price : storage) {
    if (price.name == name) return checked_size(gib, gib * price.per_gib_month, "storage");
    names.push_back(price.name);
  }
  return Error(ErrorCode::not_found, fmt::format("storage '{}'", name),
               fmt::format("it is not among the {} of {}", storage.size(), source),
               mcomp::detail::did_you_mean(name, names));
}

Result<double> PriceCatalogue::egress_per_month(double gib) const {
  if (egress.empty())
    return Error(ErrorCode::not_found, "egress", fmt::format("{} has no egress prices", source),
                 "add egress to the catalogue");
  double cost = 0;
  for (std::size_t i = 0; i < egress.size() && gib > egress[i].from_gib; ++i) {
    const double end = i + 1 < egress.size() ? std::min(gib, egress[i + 1].from_gib) : gib;
    cost += (end - egress[i].from_gib) * egress[i].per_gib;
  }
  return checked_size(gib, cost, "egress");
}

Result<double> interruptions_per_hour(const SpotPrice& spot, double hours_per_month) {
  if (!is_share(spot.interrupted_lower) || !is_share(spot.interrupted_upper) ||
      spot.interrupted_lower > spot.interrupted_upper)
    return Error(ErrorCode::invalid_value, "spot", "the interrupted shares do not ascend within [0, 1]",
                 "pass for example 0.05 and 0.1");
  if (!is_price(hours_per_month))
    return Error(ErrorCode::invalid_value, "hours_per_month", fmt::format("{} is not finite and > 0", hours_per_month),
                 "pass 730");
  const double share = (spot.interrupted_lower + spot.interrupted_upper) / 2;
  if (share == 1)
    return Error(ErrorCode::invalid_value, "spot", "every machine is taken back at once", "do not plan with it");
  return -std::log1p(-share) / hours_per_month;
}

std::string to_json(const PriceCatalogue& catalogue) {
  Json root = {{"currency", catalogue.currency},
               {"date", catalogue.date},
               {"source", catalogue.source},
               {"hours_per_month", catalogue.hours_per_month}};
  Json& list = root["instances"] = Json::array();
  for (const InstancePrice& price : catalogue.instances) {
    Json item = {{"name", price.name}};
    if (price.vcpus) item["vcpus"] = *price.vcpus;
    item["on_demand_per_hour"] = price.on_demand_per_hour;
    if (price.memory_gib) item["memory_gib"] = *price.memory_gib;
    if (price.reserved_per_hour) item["reserved_per_hour"] = *price.reserved_per_hour;
    if (!price.term.empty()) item["term"] = price.term;
    for (const ReservedPrice& reserved : price.reserved)
      item["reserved"].push_back({{"months", reserved.months},
                                  {"payment", to_string(reserved.payment)},
                                  {"kind", reserved.kind},
                                  {"per_hour", reserved.per_hour}});
    if (price.spot)
      item["spot"] = {{"per_hour", price.spot->per_hour},
                      {"interrupted_per_month", {price.spot->interrupted_lower, price.spot->interrupted_upper}}};
    list.push_back(std::move(item));
  }
  for (const StoragePrice& storage : catalogue.storage)
    root["storage"].push_back({{"name", storage.name}, {"per_gib_month", storage.per_gib_month}});
  for (const EgressTier& tier : catalogue.egress)
    root["egress"].push_back({{"from_gib", tier.from_gib}, {"per_gib", tier.per_gib}});
  return root.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string to_string(const PriceCatalogue& catalogue) {
  return fmt::format("{} instances, {}, {}, {}", catalogue.instances.size(), catalogue.currency, catalogue.date,
                     catalogue.source);
}

std::string to_string(Payment payment) {
  switch (payment) {
  case Payment::no_upfront:
    return "no upfront";
  case Payment::partial_upfront:
    return "partial upfront";
  case Payment::all_upfront:
    return "all upfront";
  }
  return "unknown payment";
}

std::string to_string(const InstancePrice& price) {
  std::string text = price.name + ": ";
  if (price.vcpus) text += fmt::format("{} vCPUs, ", *price.vcpus);
  text += fmt::format("{} per hour", price.on_demand_per_hour);
  if (price.reserved_per_hour) text += fmt::format(", reserved {} ({})", *price.reserved_per_hour, price.term);
  if (price.spot) text += fmt::format(", spot {}", price.spot->per_hour);
  return text;
}

} // namespace mcomp::inline v0::cost
