#include "rollout/growthbook_condition.hpp"

#include <algorithm>
#include <cmath>
#include <compare>
#include <limits>

#include "mcomp/rollout/growthbook.hpp"
#include "rollout/pattern.hpp"
#include "rollout/text.hpp"

namespace mcomp::inline v0::rollout {

namespace detail {

namespace {

bool value_holds(const Json& condition, const Json& value, const Json& groups, bool ignore_case = false);

/// The attribute behind a path with dots; null where there is none.
const Json& at_path(const Json& attributes, std::string_view path) {
  static const Json absent;
  const Json* value = &attributes;
  while (true) {
    const std::size_t dot = path.find('.');
    if (!value->is_object()) return absent;
    const auto found = value->find(std::string(path.substr(0, dot)));
    if (found == value->end()) return absent;
    value = &*found;
    if (dot == std::string_view::npos) return *value;
    path.remove_prefix(dot + 1);
  }
}

/// JavaScript's number of a value in a comparison; NaN compares with nothing.
double number_of(const Json& value) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (value.is_number()) return value.get<double>();
  if (value.is_null()) return 0;
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (value.is_string()) return parse_number(value.get_ref<const std::string&>()).value_or(nan);
  return nan;
}

std::partial_ordering order_of(const Json& a, const Json& b) {
  if (a.is_string() && b.is_string()) return a.get_ref<const std::string&>() <=> b.get_ref<const std::string&>();
  return number_of(a) <=> number_of(b);
}

/// Versions as texts that compare in their order: numbers padded, a release behind its prereleases.
std::string padded_version(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.is_number() ? text_of(value) : "";
  if (text.empty()) text = "0";
  if (text[0] == 'v') text.erase(0, 1);
  text = text.substr(0, text.find('+'));
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == '.' || c == '-')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  if (parts.size() == 3) parts.emplace_back("~");
  std::string result;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool digits = !parts[i].empty() && std::ranges::all_of(parts[i], [](char c) { return c >= '0' && c <= '9'; });
    if (i > 0) result += '-';
    if (digits && parts[i].size() < 5) result.append(5 - parts[i].size(), ' ');
    result += parts[i];
  }
  return result;
}

Json folded(const Json& value, bool ignore_case) {
  if (!ignore_case || !value.is_string()) return value;
  return lower_case(value.get_ref<const std::string&>());
}

bool is_in(const Json& list, const Json& value, bool ignore_case) {
  const auto among = [&](const Json& one) {
    return std::ranges::any_of(list, [&](const Json& other) {
      return one.type() != Json::value_t::discarded && folded(one, ignore_case) == folded(other, ignore_case);
    });
  };
  return value.is_array() ? std::ranges::any_of(value, among) : among(value);
}

bool has_all(const Json& wanted, const Json& value, const Json& groups, bool ignore_case) {
  return wanted.is_array() && value.is_array() && std::ranges::all_of(wanted, [&](const Json& one) {
           return std::ranges::any_of(
               value, [&](const Json& element) { return value_holds(one, element, groups, ignore_case); });
         });
}

bool operator_object(const Json& condition) {
  if (!condition.is_object() || condition.empty()) return false;
  for (const auto& [key, value] : condition.items())
    if (!key.starts_with('$')) return false;
  return true;
}

bool element_matches(const Json& condition, const Json& value, const Json& groups) {
  return value.is_array() && std::ranges::any_of(value, [&](const Json& element) {
           return operator_object(condition) ? value_holds(condition, element, groups)
                                             : condition_holds(condition, element, groups);
         });
}

bool pattern_found(const Json& pattern, const Json& value, bool ignore_case, bool wanted) {
  if (!pattern.is_string()) return false;
  const auto compiled = Pattern::compile(pattern.get_ref<const std::string&>(), ignore_case);
  return compiled && compiled->found_in(text_of(value)) == wanted;
}

std::string type_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "boolean";
  if (value.is_number()) return "number";
  if (value.is_string()) return "string";
  return value.is_array() ? "array" : "object";
}

bool in_group(const Json& name, const Json& value, const Json& groups) {
  if (!name.is_string() || !groups.is_object()) return false;
  const auto found = groups.find(name.get_ref<const std::string&>());
  return found != groups.end() && found->is_array() && is_in(*found, value, false);
}

bool operator_holds(const std::string& name, const Json& value, const Json& wanted, const Json& groups) {
  if (name == "$eq") return value == wanted;
  if (name == "$ne") return value != wanted;
  if (name == "$lt") return order_of(value, wanted) < 0;
  if (name == "$lte") return order_of(value, wanted) <= 0;
  if (name == "$gt") return order_of(value, wanted) > 0;
  if (name == "$gte") return order_of(value, wanted) >= 0;
  if (name == "$veq") return padded_version(value) == padded_version(wanted);
  if (name == "$vne") return padded_version(value) != padded_version(wanted);
  if (name == "$vlt") return padded_version(value) < padded_version(wanted);
  if (name == "$vlte") return padded_version(value) <= padded_version(wanted);
  if (name == "$vgt") return padded_version(value) > padded_version(wanted);
  if (name == "$vgte") return padded_version(value) >= padded_version(wanted);
  if (name == "$in") return wanted.is_array() && is_in(wanted, value, false);
  if (name == "$nin") return wanted.is_array() && !is_in(wanted, value, false);
  if (name == "$ini") return wanted.is_array() && is_in(wanted, value, true);
  if (name == "$nini") return wanted.is_array() && !is_in(wanted, value, true);
  if (name == "$inGroup") return in_group(wanted, value, groups);
  if (name == "$notInGroup") return !in_group(wanted, value, groups);
  if (name == "$regex") return pattern_found(wanted, value, false, true);
  if (name == "$regexi") return pattern_found(wanted, value, true, true);
  if (name == "$notRegex") return pattern_found(wanted, value, false, false);
  if (name == "$notRegexi") return pattern_found(wanted, value, true, false);
  if (name == "$exists") return truthy(wanted) != value.is_null();
  if (name == "$type") return wanted == type_of(value);
  if (name == "$size") return value.is_array() && value_holds(wanted, Json(value.size()), groups);
  if (name == "$elemMatch") return element_matches(wanted, value, groups);
  if (name == "$all") return has_all(wanted, value, groups, false);
  if (name == "$alli") return has_all(wanted, value, groups, true);
  if (name == "$not") return !value_holds(wanted, value, groups);
  return false;
}

bool value_holds(const Json& condition, const Json& value, const Json& groups, bool ignore_case) {
  if (operator_object(condition)) {
    for (const auto& [name, wanted] : condition.items())
      if (!operator_holds(name, value, wanted, groups)) return false;
    return true;
  }
  if (condition.is_string())
    return !value.is_null() && folded(text_of(value), ignore_case) == folded(condition, ignore_case);
  if (condition.is_number()) return !value.is_null() && number_of(value) == condition.get<double>();
  if (condition.is_boolean()) return !value.is_null() && truthy(value) == condition.get<bool>();
  return value == condition;
}

} // namespace

bool truthy(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.is_null();
}

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  // Whole numbers have no point in JavaScript.
  if (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()) &&
      std::abs(value.get<double>()) < 1e15)
    return fmt::format("{}", static_cast<std::int64_t>(value.get<double>()));
  return dumped(value);
}

bool condition_holds(const Json& condition, const Json& attributes, const Json& groups) {
  if (!condition.is_object()) return false;
  const auto holds = [&](const Json& one) { return condition_holds(one, attributes, groups); };
  const auto any = [&](const Json& list) {
    return list.is_array() && (list.empty() || std::ranges::any_of(list, holds));
  };
  for (const auto& [key, wanted] : condition.items()) {
    bool passes = false;
    if (key == "$or")
      passes = any(wanted);
    else if (key == "$nor")
      passes = !any(wanted);
    else if (key == "$and")
      passes = wanted.is_array() && std::ranges::all_of(wanted, holds);
    else if (key == "$not")
      passes = !holds(wanted);
    else
      passes = value_holds(wanted, at_path(attributes, key), groups);
    if (!passes) return false;
  }
  return true;
}

} // namespace detail

Result<bool> growthbook_condition(std::string_view condition, std::string_view attributes,
                                  std::string_view saved_groups) {
  MCOMP_TRY(wanted, detail::parse_json(condition, "condition"));
  MCOMP_TRY(known, detail::parse_json(attributes, "attributes"));
  MCOMP_TRY(groups, detail::parse_json(saved_groups, "saved groups"));
  if (!wanted.is_object())
    return Error(ErrorCode::corrupt, "condition", "an object is needed", "write {\"attribute\": value}");
  return detail::condition_holds(wanted, known, groups);
}

} // namespace mcomp::inline v0::rollout
