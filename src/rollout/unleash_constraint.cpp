#include "rollout/unleash_constraint.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

#include "rollout/ip_network.hpp"
#include "rollout/semver.hpp"
#include "rollout/text.hpp"

namespace mcomp::inline v0::rollout::detail {

namespace {

using Value = const std::optional<std::string>&;

bool texts_hold(const UnleashConstraint& c, Value value) {
  if (!value) return false;
  const std::string text = c.ignore_case ? lower_case(*value) : *value;
  return std::ranges::any_of(c.values, [&](const std::string& given) {
    const std::string wanted = c.ignore_case ? lower_case(given) : given;
    if (c.operation == "STR_STARTS_WITH") return text.starts_with(wanted);
    if (c.operation == "STR_ENDS_WITH") return text.ends_with(wanted);
    return text.find(wanted) != std::string::npos;
  });
}

/// What stands behind the first underscore of an operator of order, applied.
template <class Order> bool order_holds(const std::string& operation, Order order) {
  const std::string name = operation.substr(operation.find('_') + 1);
  if (name == "EQ") return order == 0;
  if (name == "GT" || name == "AFTER") return order > 0;
  if (name == "GTE") return order >= 0;
  if (name == "LT" || name == "BEFORE") return order < 0;
  return name == "LTE" && order <= 0;
}

bool numbers_hold(const UnleashConstraint& c, Value value) {
  const auto x = value ? parse_number(*value) : std::nullopt, y = parse_number(c.value);
  return x && y && order_holds(c.operation, *x <=> *y);
}

bool versions_hold(const UnleashConstraint& c, Value value) {
  if (!value) return false;
  const auto x = Semver::parse(*value), y = Semver::parse(c.value);
  return x && y && order_holds(c.operation, compare(*x, *y));
}

bool dates_hold(const UnleashConstraint& c, Value value) {
  std::optional<std::int64_t> x;
  if (value)
    x = parse_time(*value);
  else if (c.field == "currentTime")
    x = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
  const auto y = parse_time(c.value);
  return x && y && order_holds(c.operation, *x <=> *y);
}

bool networks_hold(const UnleashConstraint& c, Value value) {
  const auto address = value ? IpAddress::parse(trimmed(*value)) : std::nullopt;
  return address && std::ranges::any_of(
                        c.values, [&](const std::string& network) { return in_network(*address, trimmed(network)); });
}

/// Nothing for an operator that is not known.
std::optional<bool> holds_plainly(const UnleashConstraint& c, Value value) {
  const auto among = [&] { return value && std::ranges::find(c.values, *value) != c.values.end(); };
  if (c.operation == "IN") return among();
  if (c.operation == "NOT_IN") return !among();
  if (c.operation == "STR_STARTS_WITH" || c.operation == "STR_ENDS_WITH" || c.operation == "STR_CONTAINS")
    return texts_hold(c, value);
  if (c.operation.starts_with("NUM_")) return numbers_hold(c, value);
  if (c.operation.starts_with("SEMVER_")) return versions_hold(c, value);
  if (c.operation == "DATE_AFTER" || c.operation == "DATE_BEFORE") return dates_hold(c, value);
  if (c.operation == "IN_CIDR") return networks_hold(c, value);
  if (c.operation == "REGEX") {
    if (!c.pattern) return std::nullopt;
    return value && c.pattern->found_in(*value);
  }
  return std::nullopt;
}

} // namespace

std::optional<std::string> field_of(const UnleashContext& context, const std::string& name) {
  if (name == "userId") return context.user_id;
  if (name == "sessionId") return context.session_id;
  if (name == "remoteAddress") return context.remote_address;
  if (name == "environment") return context.environment;
  if (name == "appName") return context.app_name;
  if (name == "currentTime") return context.current_time;
  const auto found = context.properties.find(name);
  if (found == context.properties.end()) return std::nullopt;
  return found->second;
}

Result<UnleashConstraint> UnleashConstraint::read(const Json& json, const std::string& where) {
  Fields fields(json, where);
  UnleashConstraint constraint;
  constraint.field = fields.needed_text("contextName");
  constraint.operation = fields.needed_text("operator");
  constraint.values = fields.texts("values");
  if (const Json* value = fields.get("value"))
    constraint.value = value->is_number() ? value->dump() : fields.text("value");
  constraint.inverted = fields.boolean("inverted", false);
  constraint.ignore_case = fields.boolean("caseInsensitive", false);
  MCOMP_CHECK(fields.status());
  if (constraint.operation == "REGEX") constraint.pattern = Pattern::compile(constraint.value, constraint.ignore_case);
  return constraint;
}

bool UnleashConstraint::holds(const UnleashContext& context) const {
  // One that cannot be judged does not hold, inverted or not.
  const auto plainly = holds_plainly(*this, field_of(context, field));
  return plainly && *plainly != inverted;
}

std::optional<std::int64_t> parse_time(std::string_view text) noexcept {
  const auto digits = [&](std::size_t count) -> std::optional<int> {
    int value = 0;
    if (text.size() < count) return std::nullopt;
    for (std::size_t i = 0; i < count; ++i) {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      value = value * 10 + (text[i] - '0');
    }
    text.remove_prefix(count);
    return value;
  };
  const auto take = [&](char c) {
    if (text.empty() || text[0] != c) return false;
    text.remove_prefix(1);
    return true;
  };
  const auto year = digits(4);
  if (!year || !take('-')) return std::nullopt;
  const auto month = digits(2);
  if (!month || !take('-')) return std::nullopt;
  const auto day = digits(2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  std::int64_t time = std::chrono::sys_days(date).time_since_epoch().count() * std::int64_t{86400000};
  if (text.empty()) return time;
  if (!take('T') && !take(' ')) return std::nullopt;
  const auto hour = digits(2);
  if (!hour || *hour > 24 || !take(':')) return std::nullopt;
  const auto minute = digits(2);
  if (!minute || *minute > 59) return std::nullopt;
  time += (*hour * std::int64_t{60} + *minute) * 60000;
  if (take(':')) {
    const auto second = digits(2);
    if (!second || *second > 60) return std::nullopt;
    time += *second * std::int64_t{1000};
    if (take('.')) {
      int scale = 100;
      bool any = false;
      while (const auto digit = digits(1)) {
        time += *digit * scale;
        scale /= 10; // beyond milliseconds they count nothing
        any = true;
      }
      if (!any) return std::nullopt;
    }
  }
  if (text.empty() || text == "Z" || text == "z") return time;
  const int sign = take('+') ? 1 : take('-') ? -1 : 0;
  const auto zone_hour = digits(2);
  take(':');
  const auto zone_minute = text.empty() ? std::optional(0) : digits(2);
  if (sign == 0 || !zone_hour || !zone_minute || !text.empty() || *zone_hour > 23 || *zone_minute > 59)
    return std::nullopt;
  return time - sign * (*zone_hour * std::int64_t{60} + *zone_minute) * 60000;
}

} // namespace mcomp::inline v0::rollout::detail
