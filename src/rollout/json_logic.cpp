#include "rollout/json_logic.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mcomp/rollout/hash.hpp"
#include "rollout/growthbook_condition.hpp"
#include "rollout/semver.hpp"
#include "rollout/text.hpp"

namespace mcomp::inline v0::rollout::detail {

namespace {

constexpr std::size_t most_steps = 100000;
constexpr int deepest = 200;

/// What a copy of the value costs.
std::size_t size_of(const Json& value) {
  if (value.is_string()) return 1 + value.get_ref<const std::string&>().size() / 64;
  std::size_t size = 1;
  if (value.is_structured())
    for (const Json& child : value) size += size_of(child);
  return size;
}

double number_of(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_null()) return 0;
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (trimmed(text).empty()) return 0;
    return parse_number(text).value_or(std::numeric_limits<double>::quiet_NaN());
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// A number as JSON; whole ones without a point. What is no number is null.
Json json_number(double value) {
  constexpr double exact = 9007199254740992.0; // 2^53
  if (!std::isfinite(value)) return nullptr;
  if (value == std::floor(value) && std::abs(value) < exact) return static_cast<std::int64_t>(value);
  return value;
}

/// JavaScript's ==.
bool loosely_equal(const Json& a, const Json& b) {
  if (a.is_null() || b.is_null()) return a.is_null() && b.is_null();
  if (a.type() == b.type() || (a.is_number() && b.is_number())) return !a.is_structured() && a == b;
  if (a.is_structured() || b.is_structured()) return false;
  return number_of(a) == number_of(b);
}

bool strictly_equal(const Json& a, const Json& b) {
  return !a.is_structured() && !b.is_structured() && a == b;
}

std::partial_ordering order_of(const Json& a, const Json& b) {
  if (a.is_string() && b.is_string()) return a.get_ref<const std::string&>() <=> b.get_ref<const std::string&>();
  return number_of(a) <=> number_of(b);
}

/// The arguments of an operator: those of a list, or the one that stands alone.
const Json& argument(const Json& arguments, std::size_t index) {
  static const Json absent;
  if (!arguments.is_array()) return index == 0 ? arguments : absent;
  return index < arguments.size() ? arguments[index] : absent;
}
std::size_t count_of(const Json& arguments) {
  return arguments.is_array() ? arguments.size() : 1;
}

/// The part of `data` behind a path with dots, null where there is none.
const Json* at_path(const Json& data, const std::string& path) {
  const Json* value = &data;
  if (path.empty()) return value;
  std::string_view rest = path;
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string name(rest.substr(0, dot));
    if (value->is_object()) {
      const auto found = value->find(name);
      if (found == value->end()) return nullptr;
      value = &*found;
    } else if (value->is_array()) {
      const auto index = parse_number(name);
      if (!index || *index < 0 || *index >= static_cast<double>(value->size()) || *index != std::floor(*index))
        return nullptr;
      value = &(*value)[static_cast<std::size_t>(*index)];
    } else {
      return nullptr;
    }
    if (dot == std::string_view::npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

Json compared(const std::string& name, const Json& arguments) {
  const auto holds = [&](const Json& a, const Json& b) {
    const auto order = order_of(a, b);
    if (name == "<") return order < 0;
    if (name == "<=") return order <= 0;
    if (name == ">") return order > 0;
    return order >= 0;
  };
  const bool first = holds(argument(arguments, 0), argument(arguments, 1));
  if (count_of(arguments) < 3) return first;
  return first && holds(argument(arguments, 1), argument(arguments, 2)); // between
}

Json arithmetic(const std::string& name, const Json& arguments) {
  const double a = number_of(argument(arguments, 0)), b = number_of(argument(arguments, 1));
  if (name == "-") return json_number(count_of(arguments) == 1 ? -a : a - b);
  if (name == "/") return json_number(a / b);
  if (name == "%") return json_number(std::fmod(a, b));
  if (count_of(arguments) == 0) return name == "+" ? Json(0) : Json();
  double result = a;
  for (std::size_t i = 1; i < count_of(arguments); ++i) {
    const double x = number_of(argument(arguments, i));
    if (name == "+") result += x;
    if (name == "*") result *= x;
    if (name == "min") result = std::min(result, x);
    if (name == "max") result = std::max(result, x);
  }
  return json_number(result);
}

Json in_operator(const Json& needle, const Json& hay) {
  if (hay.is_array()) return std::ranges::any_of(hay, [&](const Json& one) { return strictly_equal(one, needle); });
  if (hay.is_string()) return hay.get_ref<const std::string&>().find(text_of(needle)) != std::string::npos;
  return false;
}

Json affix(const std::string& name, const Json& text, const Json& part) {
  if (!text.is_string() || !part.is_string()) return nullptr;
  const auto &whole = text.get_ref<const std::string&>(), &other = part.get_ref<const std::string&>();
  return name == "starts_with" ? whole.starts_with(other) : whole.ends_with(other);
}

Json sem_ver(const Json& arguments) {
  const Json& operation = argument(arguments, 1);
  if (count_of(arguments) != 3 || !operation.is_string()) return nullptr;
  constexpr SemverSyntax syntax{.leading_v = true, .partial = true};
  const std::string left = text_of(argument(arguments, 0)), right = text_of(argument(arguments, 2));
  const auto a = Semver::parse(left, syntax), b = Semver::parse(right, syntax);
  if (!a || !b) return nullptr;
  const auto order = compare(*a, *b);
  const auto& name = operation.get_ref<const std::string&>();
  if (name == "=") return order == 0;
  if (name == "!=") return order != 0;
  if (name == "<") return order < 0;
  if (name == "<=") return order <= 0;
  if (name == ">") return order > 0;
  if (name == ">=") return order >= 0;
  if (name == "^") return a->core[0] == b->core[0];
  if (name == "~") return a->core[0] == b->core[0] && a->core[1] == b->core[1];
  return nullptr;
}

/// JavaScript's substr, on bytes.
Json substring(const Json& arguments) {
  const std::string text = text_of(argument(arguments, 0));
  const auto size = static_cast<double>(text.size());
  const auto whole = [](double x) { return std::isfinite(x) ? std::trunc(x) : 0; };
  double begin = whole(number_of(argument(arguments, 1)));
  if (begin < 0) begin = std::max(0.0, size + begin);
  begin = std::min(begin, size);
  double end = size;
  if (count_of(arguments) > 2) {
    const double length = whole(number_of(argument(arguments, 2)));
    end = std::clamp(length < 0 ? size + length : begin + length, begin, size);
  }
  return text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}

} // namespace

bool logic_truth(const Json& value) {
  return value.is_array() ? !value.empty() : truthy(value);
}

Error JsonLogic::unsupported(std::string rule, std::string remedy) const {
  return Error(ErrorCode::unsupported, subject_, std::move(rule), std::move(remedy));
}

Status JsonLogic::charge(std::size_t steps) {
  steps_ += steps;
  if (steps_ <= most_steps) return {};
  return unsupported("its targeting takes more than 100,000 steps", "make the rule simpler");
}

Result<Json> JsonLogic::evaluate(const Json& rule) {
  MCOMP_CHECK(charge(1));
  if (!rule.is_structured()) {
    MCOMP_CHECK(charge(size_of(rule)));
    return rule;
  }
  if (depth_ >= deepest) return unsupported("its targeting is nested deeper than 200", "make the rule simpler");
  ++depth_;
  Result<Json> result = Json();
  if (rule.is_array()) {
    Json list = Json::array();
    for (const Json& element : rule) {
      auto value = evaluate(element);
      if (!value) return value;
      list.push_back(std::move(*value));
    }
    result = std::move(list);
  } else if (rule.size() == 1) {
    result = apply(rule.begin().key(), *rule.begin());
  } else {
    MCOMP_CHECK(charge(size_of(rule)));
    result = rule; // an object of none or several keys is a value
  }
  --depth_;
  return result;
}

Result<Json> JsonLogic::apply(const std::string& name, const Json& rules) {
  bool known = true;
  Result<Json> result = lazy(name, rules, known);
  if (known) return result;
  MCOMP_TRY(arguments, evaluate(rules));
  const Json &a = argument(arguments, 0), &b = argument(arguments, 1);
  if (name == "var") return variable(arguments);
  if (name == "missing") return missing(arguments.size() == 1 && a.is_array() ? a : arguments);
  if (name == "missing_some") {
    MCOMP_TRY(absent, missing(b));
    const double there = static_cast<double>(count_of(b)) - static_cast<double>(absent.size());
    return there >= number_of(a) ? Json::array() : absent;
  }
  if (name == "==") return Json(loosely_equal(a, b));
  if (name == "!=") return Json(!loosely_equal(a, b));
  if (name == "===") return Json(strictly_equal(a, b));
  if (name == "!==") return Json(!strictly_equal(a, b));
  if (name == "!") return Json(!logic_truth(a));
  if (name == "!!") return Json(logic_truth(a));
  if (name == "<" || name == "<=" || name == ">" || name == ">=") return compared(name, arguments);
  if (name == "+" || name == "-" || name == "*" || name == "/" || name == "%" || name == "min" || name == "max")
    return arithmetic(name, arguments);
  if (name == "in") return in_operator(a, b);
  if (name == "starts_with" || name == "ends_with") return affix(name, a, b);
  if (name == "sem_ver") return sem_ver(arguments);
  if (name == "substr") return substring(arguments);
  if (name == "log") return a;
  if (name == "cat") {
    std::string text;
    for (std::size_t i = 0; i < count_of(arguments); ++i)
      if (!argument(arguments, i).is_null()) text += text_of(argument(arguments, i));
    MCOMP_CHECK(charge(1 + text.size() / 64));
    return Json(std::move(text));
  }
  if (name == "merge") {
    Json list = Json::array();
    for (std::size_t i = 0; i < count_of(arguments); ++i) {
      const Json& one = argument(arguments, i);
      if (one.is_array())
        list.insert(list.end(), one.begin(), one.end());
      else
        list.push_back(one);
    }
    return list;
  }
  return unsupported("its targeting uses the operator \"" + name + "\"", "use JsonLogic's operators and flagd's");
}

/// Operators that decide themselves which of their arguments are evaluated.
Result<Json> JsonLogic::lazy(const std::string& name, const Json& arguments, bool& known) {
  if (name == "if" || name == "?:") return choose(arguments);
  if (name == "and" || name == "or") {
    Json value;
    for (std::size_t i = 0; i < count_of(arguments); ++i) {
      MCOMP_TRY(next, evaluate(argument(arguments, i)));
      value = std::move(next);
      if (logic_truth(value) == (name == "or")) break;
    }
    return value;
  }
  if (name == "fractional") return fractional(arguments);
  if (name == "$ref") {
    const auto found =
        arguments.is_string() ? evaluators_.find(arguments.get_ref<const std::string&>()) : evaluators_.end();
    if (found == evaluators_.end())
      return unsupported("its targeting refers to an evaluator that is not here", "define it");
    return evaluate(*found);
  }
  if (name == "map" || name == "filter" || name == "all" || name == "some" || name == "none" || name == "reduce")
    return over_elements(name, arguments);
  known = false;
  return Json();
}

Result<Json> JsonLogic::choose(const Json& arguments) {
  const std::size_t count = count_of(arguments);
  std::size_t i = 0;
  for (; i + 1 < count; i += 2) {
    MCOMP_TRY(condition, evaluate(argument(arguments, i)));
    if (logic_truth(condition)) return evaluate(argument(arguments, i + 1));
  }
  return i < count ? evaluate(argument(arguments, i)) : Json();
}

Result<Json> JsonLogic::over_elements(const std::string& name, const Json& arguments) {
  MCOMP_TRY(list, evaluate(argument(arguments, 0)));
  const Json& rule = argument(arguments, 1);
  if (name == "reduce") {
    MCOMP_TRY(start, evaluate(argument(arguments, 2)));
    return list.is_array() ? reduce(list, rule, std::move(start)) : std::move(start);
  }
  const bool builds = name == "map" || name == "filter";
  if (!list.is_array() || list.empty()) return builds ? Json::array() : Json(name == "none");
  Json built = Json::array();
  const Json* outside = data_;
  for (const Json& element : list) {
    data_ = &element;
    auto value = evaluate(rule);
    data_ = outside;
    if (!value) return value;
    const bool truth = logic_truth(*value);
    if (name == "map") built.push_back(std::move(*value));
    if (name == "filter" && truth) built.push_back(element);
    if ((name == "all" && !truth) || (name == "none" && truth)) return Json(false);
    if (name == "some" && truth) return Json(true);
  }
  return builds ? built : Json(name != "some");
}

Result<Json> JsonLogic::reduce(const Json& list, const Json& rule, Json accumulator) {
  const Json* outside = data_;
  for (const Json& element : list) {
    const Json inside = {{"current", element}, {"accumulator", std::move(accumulator)}};
    data_ = &inside;
    auto value = evaluate(rule);
    data_ = outside;
    if (!value) return value;
    accumulator = std::move(*value);
  }
  return accumulator;
}

Result<Json> JsonLogic::fractional(const Json& arguments) {
  if (!arguments.is_array() || arguments.empty()) return Json();
  MCOMP_TRY(first, evaluate(arguments[0]));
  std::size_t begin = 1;
  std::string key;
  if (first.is_string()) {
    key = first.get<std::string>();
  } else if (first.is_array()) {
    // The shorthand: flag and targeting key.
    const Json *flag = at_path(*data_, "$flagd.flagKey"), *unit = at_path(*data_, "targetingKey");
    if (!flag || !unit || !unit->is_string()) return Json();
    key = flag->get<std::string>() + unit->get<std::string>();
    begin = 0;
  } else {
    return Json();
  }
  std::vector<std::pair<Json, std::uint64_t>> buckets;
  std::uint64_t total = 0;
  for (std::size_t i = begin; i < arguments.size(); ++i) {
    MCOMP_TRY(bucket, i == 0 ? std::move(first) : evaluate(arguments[i]));
    if (!bucket.is_array() || bucket.empty() || bucket.size() > 2) return Json();
    double weight = 1;
    if (bucket.size() == 2) {
      if (!bucket[1].is_number()) return Json();
      weight = bucket[1].get<double>();
    }
    constexpr double heaviest = 2147483647;
    if (weight > heaviest || weight != std::floor(weight)) return Json();
    buckets.emplace_back(bucket[0], static_cast<std::uint64_t>(std::max(weight, 0.0)));
    total += buckets.back().second;
  }
  if (total == 0 || total > 2147483647U) return Json();
  const std::uint32_t slot = slot_of(murmur3_32(key), static_cast<std::uint32_t>(total));
  std::uint64_t end = 0;
  for (auto& [value, weight] : buckets) {
    end += weight;
    if (slot < end) return std::move(value);
  }
  return Json();
}

Result<Json> JsonLogic::variable(const Json& arguments) {
  const Json& name = argument(arguments, 0);
  const Json* found = name.is_null() || name.is_string() || name.is_number()
                          ? at_path(*data_, name.is_null() ? std::string() : text_of(name))
                          : nullptr;
  const Json& value = found && !found->is_null() ? *found : argument(arguments, 1);
  // A variable is the one thing that can be there twice: what is copied is paid for.
  MCOMP_CHECK(charge(size_of(value)));
  return count_of(arguments) < 2 && !found ? Json() : value;
}

Result<Json> JsonLogic::missing(const Json& names) {
  Json absent = Json::array();
  for (std::size_t i = 0; i < count_of(names); ++i) {
    const Json& name = argument(names, i);
    const Json* found = name.is_string() || name.is_number() ? at_path(*data_, text_of(name)) : nullptr;
    if (!found || found->is_null() || (found->is_string() && found->get_ref<const std::string&>().empty()))
      absent.push_back(name);
  }
  return absent;
}

} // namespace mcomp::inline v0::rollout::detail
