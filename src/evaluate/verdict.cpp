// Criteria and verdicts as values: what they demand of themselves, as text and as JSON.

#include "mcomp/evaluate/verdict.hpp"

#include <algorithm>
#include <cmath>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

using mcomp::detail::Json;

struct NumberCriterion {
  const char* name;
  std::optional<double> Criteria::*member;
  bool any_sign;
};

struct CountCriterion {
  const char* name;
  std::optional<std::int64_t> Criteria::*member;
};

/// Numbers of single slices.
struct SliceCriterion {
  const char* name;
  std::map<std::string, double> Criteria::*member;
};

constexpr NumberCriterion number_criteria[] = {
    {"max_accuracy_loss", &Criteria::max_accuracy_loss, false},
    {"min_speedup", &Criteria::min_speedup, false},
    {"max_latency_p99_seconds", &Criteria::max_latency_p99_seconds, false},
    {"max_size_ratio", &Criteria::max_size_ratio, false},
    {"max_ece_increase", &Criteria::max_ece_increase, true},
    {"max_monthly_cost_ratio", &Criteria::max_monthly_cost_ratio, false},
    {"max_memory_ratio", &Criteria::max_memory_ratio, false},
    {"max_loss_increase", &Criteria::max_loss_increase, true},
    {"max_negative_flip_fraction", &Criteria::max_negative_flip_fraction, false},
    {"max_slice_accuracy_loss", &Criteria::max_slice_accuracy_loss, false},
    {"max_slice_ece_increase", &Criteria::max_slice_ece_increase, true},
    {"max_demographic_parity_increase", &Criteria::max_demographic_parity_increase, true},
    {"max_equalized_odds_increase", &Criteria::max_equalized_odds_increase, true},
    {"max_disparate_flip_ratio", &Criteria::max_disparate_flip_ratio, false}};
constexpr CountCriterion count_criteria[] = {{"min_samples", &Criteria::min_samples},
                                             {"min_slice_samples", &Criteria::min_slice_samples}};
constexpr SliceCriterion slice_criteria[] = {{"protected_slices", &Criteria::protected_slices},
                                             {"slice_latency_p99_seconds", &Criteria::slice_latency_p99_seconds}};

Error impossible(const std::string& name, const std::string& rule, double value) {
  return Error(ErrorCode::invalid_argument, "criteria: " + name, fmt::format("{}, it is {}", rule, value),
               "correct it, or leave it out");
}

} // namespace

std::string to_string(Outcome outcome) {
  switch (outcome) {
  case Outcome::pass:
    return "pass";
  case Outcome::fail:
    return "fail";
  case Outcome::insufficient_data:
    return "insufficient_data";
  }
  return "unknown";
}

std::optional<double> Check::number(std::string_view measurement) const {
  for (const Measurement& m : numbers)
    if (m.name == measurement) return m.value;
  return std::nullopt;
}

const Check* Verdict::find(std::string_view name) const {
  const auto found = std::find_if(checks.begin(), checks.end(), [&](const Check& c) { return c.name == name; });
  return found == checks.end() ? nullptr : &*found;
}

std::string to_string(const Check& check) {
  return fmt::format("{} {}: {}", check.outcome, check.name, check.sentence);
}

std::string to_string(const Verdict& verdict) {
  std::string text = to_string(verdict.outcome);
  for (const Check& check : verdict.checks) text += "\n  " + to_string(check);
  return text;
}

std::string to_string(const Criteria& criteria) {
  std::string text;
  for (const auto& [name, member, any_sign] : number_criteria)
    if (criteria.*member) text += fmt::format("{} {}, ", name, *(criteria.*member));
  for (const auto& [name, member] : count_criteria)
    if (criteria.*member) text += fmt::format("{} {}, ", name, *(criteria.*member));
  for (const auto& [name, member] : slice_criteria)
    for (const auto& [slice, value] : criteria.*member) text += fmt::format("{}[{}] {}, ", name, slice, value);
  return text + fmt::format("confidence {}", criteria.confidence);
}

Status check(const Criteria& criteria) {
  // min_slice_samples alone asks nothing.
  bool any = criteria.min_samples.has_value();
  for (const auto& [name, member, any_sign] : number_criteria) {
    const std::optional<double>& value = criteria.*member;
    if (!value) continue;
    any = true;
    if (!std::isfinite(*value)) return impossible(name, "a finite number is needed", *value);
    if (!any_sign && *value <= 0) return impossible(name, "it must be positive", *value);
  }
  for (const auto& [name, value] : {std::pair{"max_accuracy_loss", criteria.max_accuracy_loss},
                                    std::pair{"max_slice_accuracy_loss", criteria.max_slice_accuracy_loss},
                                    std::pair{"max_negative_flip_fraction", criteria.max_negative_flip_fraction}})
    if (value && *value >= 1) return impossible(name, "a fraction below 1 is needed", *value);
  if (criteria.max_disparate_flip_ratio && *criteria.max_disparate_flip_ratio < 1)
    return impossible("max_disparate_flip_ratio", "the worst group has at least the rate of all: at least 1 is needed",
                      *criteria.max_disparate_flip_ratio);
  for (const auto& [name, member] : slice_criteria)
    for (const auto& [slice, value] : criteria.*member) {
      any = true;
      const std::string which = fmt::format("{}[{}]", name, slice);
      if (!(std::isfinite(value) && value > 0)) return impossible(which, "a positive finite number is needed", value);
      if (member == &Criteria::protected_slices && value >= 1)
        return impossible(which, "a fraction below 1 is needed", value);
    }
  if (!(criteria.confidence >= 0.5 && criteria.confidence < 1))
    return impossible("confidence", "it must lie within [0.5, 1)", criteria.confidence);
  for (const auto& [name, member] : count_criteria)
    if (criteria.*member && *(criteria.*member) < 1)
      return impossible(name, "at least 1 is needed", static_cast<double>(*(criteria.*member)));
  if (!any)
    return Error(ErrorCode::invalid_argument, "criteria", "none is set, so everything would pass", "set at least one");
  return {};
}

Result<Criteria> criteria_from_json(std::string_view json, std::string subject) {
  MCOMP_TRY(document, mcomp::detail::parse_json(json, subject));
  mcomp::detail::ObjectReader object(document, subject);
  Criteria criteria;
  for (const auto& [name, member, any_sign] : number_criteria)
    if (object.has(name)) criteria.*member = object.number(name);
  criteria.confidence = object.number("confidence", criteria.confidence);
  for (const auto& [name, member] : count_criteria)
    if (object.has(name)) criteria.*member = object.integer(name);
  for (const auto& [name, member] : slice_criteria)
    if (const Json* slices = object.child(name)) {
      if (!slices->is_object()) {
        object.fail(name, "an object of slice names and numbers is needed", "write {\"region=eu\": 0.01}");
        break;
      }
      for (const auto& [slice, value] : slices->items()) {
        if (!value.is_number()) {
          object.fail(name, fmt::format("'{}' has no number", slice), "write {\"region=eu\": 0.01}");
          break;
        }
        (criteria.*member)[slice] = value.get<double>();
      }
    }
  MCOMP_CHECK(object.finish());
  if (const Status valid = check(criteria); !valid) return valid.error().within(subject);
  return criteria;
}

std::string to_json(const Criteria& criteria) {
  Json json = Json::object();
  for (const auto& [name, member, any_sign] : number_criteria)
    if (criteria.*member) json[name] = *(criteria.*member);
  json["confidence"] = criteria.confidence;
  for (const auto& [name, member] : count_criteria)
    if (criteria.*member) json[name] = *(criteria.*member);
  for (const auto& [name, member] : slice_criteria)
    if (!(criteria.*member).empty()) json[name] = criteria.*member;
  // A caller's own slice may be called by any bytes; what is not UTF-8 is replaced rather than thrown over.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json(const Verdict& verdict) {
  Json checks = Json::array();
  for (const Check& check : verdict.checks) {
    Json numbers = Json::object();
    for (const Measurement& m : check.numbers) numbers[m.name] = m.value;
    checks.push_back({{"name", check.name},
                      {"outcome", to_string(check.outcome)},
                      {"sentence", check.sentence},
                      {"numbers", std::move(numbers)}});
  }
  const Json json{{"outcome", to_string(verdict.outcome)}, {"checks", std::move(checks)}};
  // As above: a caller's own verdict may hold any bytes.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::evaluate
