#include "rollout/conditions.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/closest_name.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr std::array<std::pair<Comparison, std::string_view>, 14> comparison_names = {{
    {Comparison::equals, "equals"},
    {Comparison::less, "less"},
    {Comparison::less_or_equal, "less_or_equal"},
    {Comparison::greater, "greater"},
    {Comparison::greater_or_equal, "greater_or_equal"},
    {Comparison::starts_with, "starts_with"},
    {Comparison::ends_with, "ends_with"},
    {Comparison::contains, "contains"},
    {Comparison::version_equals, "version_equals"},
    {Comparison::version_less, "version_less"},
    {Comparison::version_less_or_equal, "version_less_or_equal"},
    {Comparison::version_greater, "version_greater"},
    {Comparison::version_greater_or_equal, "version_greater_or_equal"},
    {Comparison::exists, "exists"},
}};

bool of_numbers(Comparison c) noexcept {
  return c >= Comparison::less && c <= Comparison::greater_or_equal;
}
bool of_versions(Comparison c) noexcept {
  return c >= Comparison::version_equals && c <= Comparison::version_greater_or_equal;
}

/// `order` is that of the attribute against the condition's value.
bool fits(Comparison c, std::partial_ordering order) noexcept {
  switch (c) {
  case Comparison::version_equals:
    return order == 0;
  case Comparison::less:
  case Comparison::version_less:
    return order < 0;
  case Comparison::less_or_equal:
  case Comparison::version_less_or_equal:
    return order <= 0;
  case Comparison::greater:
  case Comparison::version_greater:
    return order > 0;
  default:
    return order >= 0;
  }
}

} // namespace

std::string to_string(Comparison comparison) {
  for (const auto& [value, name] : comparison_names)
    if (value == comparison) return std::string(name);
  return "unknown";
}

namespace detail {

Result<CompiledCondition> CompiledCondition::compile(const Condition& condition, const std::string& subject) {
  const auto wrong = [&](std::string rule, std::string remedy) {
    return Error(ErrorCode::invalid_argument, subject, std::move(rule), std::move(remedy));
  };
  const Comparison c = condition.comparison;
  if (condition.attribute.empty()) return wrong("it names no attribute", "name one");
  if ((c == Comparison::exists) != condition.values.empty())
    return wrong(fmt::format("\"{}\" with {} values", to_string(c), condition.values.size()),
                 c == Comparison::exists ? "leave the values out" : "give at least one value");
  if ((of_numbers(c) || of_versions(c)) && condition.values.size() != 1)
    return wrong("an order needs one value", "write one condition for each");
  CompiledCondition compiled;
  compiled.comparison_ = c;
  compiled.negated_ = condition.negated;
  for (const ConditionValue& value : condition.values) {
    if (const auto* number = std::get_if<double>(&value)) {
      if (!std::isfinite(*number)) return wrong("a number is NaN or infinite", "give a finite one");
      if (!of_numbers(c) && c != Comparison::equals) return wrong("a number where text is compared", "give text");
      compiled.numbers_.push_back(*number);
    } else if (const auto* truth = std::get_if<bool>(&value)) {
      if (c != Comparison::equals) return wrong("a truth value where text or numbers are compared", "use \"equals\"");
      (*truth ? compiled.equals_true_ : compiled.equals_false_) = true;
    } else {
      const auto& text = std::get<std::string>(value);
      if (of_numbers(c)) return wrong("text where numbers are compared", "give a number");
      if (of_versions(c)) {
        compiled.version_text_ = std::make_unique<const std::string>(text);
        compiled.version_ = Semver::parse(*compiled.version_text_);
        if (!compiled.version_) return wrong("\"" + text + "\" is no semantic version", "write major.minor.patch");
      } else {
        compiled.texts_.push_back(text);
      }
    }
  }
  std::ranges::sort(compiled.texts_);
  return compiled;
}

bool CompiledCondition::has_text(std::string_view text) const noexcept {
  constexpr std::size_t few = 8; // below, running through is faster than searching
  if (texts_.size() <= few) return std::ranges::any_of(texts_, [&](const std::string& t) { return same(t, text); });
  return std::binary_search(texts_.begin(), texts_.end(), text, std::less<>());
}

std::optional<bool> CompiledCondition::matches_text(std::string_view text) const noexcept {
  const auto any = [&](const auto& one) { return std::ranges::any_of(texts_, one); };
  switch (comparison_) {
  case Comparison::equals:
    if (texts_.empty()) return std::nullopt;
    return has_text(text);
  case Comparison::starts_with:
    return any([&](const std::string& t) { return text.starts_with(t); });
  case Comparison::ends_with:
    return any([&](const std::string& t) { return text.ends_with(t); });
  case Comparison::contains:
    return any([&](const std::string& t) { return text.find(t) != std::string_view::npos; });
  default: {
    if (!of_versions(comparison_)) return std::nullopt;
    const auto version = Semver::parse(text);
    if (!version) return std::nullopt;
    return fits(comparison_, compare(*version, *version_));
  }
  }
}

std::optional<bool> CompiledCondition::matches_number(double number) const noexcept {
  if (numbers_.empty() || std::isnan(number)) return std::nullopt;
  if (comparison_ == Comparison::equals) return std::ranges::find(numbers_, number) != numbers_.end();
  return fits(comparison_, number <=> numbers_[0]);
}

std::optional<bool> CompiledCondition::matches(const Attribute::Value& value) const noexcept {
  if (const auto* text = std::get_if<std::string_view>(&value)) return matches_text(*text);
  if (const auto* number = std::get_if<double>(&value)) return matches_number(*number);
  if (const auto* truth = std::get_if<bool>(&value)) {
    if (!equals_true_ && !equals_false_) return std::nullopt;
    return *truth ? equals_true_ : equals_false_;
  }
  // A list: one of its elements is equal.
  if (texts_.empty() || (comparison_ != Comparison::equals && comparison_ != Comparison::contains)) return std::nullopt;
  const auto& list = *std::get_if<std::span<const std::string_view>>(&value);
  return std::ranges::any_of(list, [&](std::string_view element) { return has_text(element); });
}

bool CompiledCondition::holds(const Attribute* attribute) const noexcept {
  if (comparison_ == Comparison::exists) return (attribute != nullptr) != negated_;
  if (!attribute) return false;
  const auto matched = matches(attribute->value);
  return matched && *matched != negated_;
}

Json json_of(const std::vector<Condition>& conditions) {
  Json array = Json::array();
  for (const Condition& condition : conditions) {
    Json one = {{"attribute", condition.attribute}, {"comparison", to_string(condition.comparison)}};
    if (!condition.values.empty()) {
      Json values = Json::array();
      for (const ConditionValue& value : condition.values)
        std::visit([&](const auto& v) { values.push_back(v); }, value);
      one["values"] = values;
    }
    if (condition.negated) one["negated"] = true;
    array.push_back(one);
  }
  return array;
}

namespace {

Result<Condition> read_condition(const Json& json, const std::string& where) {
  ObjectReader object(json, where);
  Condition condition;
  condition.attribute = object.text("attribute");
  const std::string name = object.text("comparison");
  const auto found = std::ranges::find(comparison_names, name, [](const auto& row) { return row.second; });
  if (found != comparison_names.end()) {
    condition.comparison = found->first;
  } else {
    std::vector<std::string> names;
    for (const auto& row : comparison_names) names.emplace_back(row.second);
    object.fail("comparison", "\"" + name + "\" is none", mcomp::detail::did_you_mean(name, names));
  }
  condition.negated = object.boolean("negated", false);
  if (object.has("values")) {
    for (const Json& value : object.array("values")) {
      if (value.is_boolean())
        condition.values.emplace_back(value.get<bool>());
      else if (value.is_number())
        condition.values.emplace_back(value.get<double>());
      else if (value.is_string())
        condition.values.emplace_back(value.get<std::string>());
      else
        object.fail("values", "a value is no text, number or truth value", "write one of these");
    }
  }
  MCOMP_CHECK(object.finish());
  if (const Status status = check(condition, where); !status)
    return Error(ErrorCode::corrupt, where, status.error().rule(), status.error().remedy());
  return condition;
}

} // namespace

Result<std::vector<Condition>> read_conditions(ObjectReader& object) {
  std::vector<Condition> conditions;
  if (!object.has("conditions")) return conditions;
  for (const Json& json : object.array("conditions")) {
    MCOMP_TRY(one, read_condition(json, fmt::format("{}: {}", object.where("conditions"), conditions.size())));
    conditions.push_back(std::move(one));
  }
  return conditions;
}

} // namespace detail

} // namespace mcomp::inline v0::rollout
