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

constexpr NumberCriterion number_criteria[] = {{"max_accuracy_loss", &Criteria::max_accuracy_loss, false},
                                               {"min_speedup", &Criteria::min_speedup, false},
                                               {"max_latency_p99_seconds", &Criteria::max_latency_p99_seconds, false},
                                               {"max_size_ratio", &Criteria::max_size_ratio, false},
                                               {"max_ece_increase", &Criteria::max_ece_increase, true},
                                               {"max_monthly_cost_ratio", &Criteria::max_monthly_cost_ratio, false}};

Error impossible(const char* name, const std::string& rule, double value) {
  return Error(ErrorCode::invalid_argument, std::string("criteria: ") + name, fmt::format("{}, it is {}", rule, value),
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
  if (criteria.min_samples) text += fmt::format("min_samples {}, ", *criteria.min_samples);
  return text + fmt::format("confidence {}", criteria.confidence);
}

Status check(const Criteria& criteria) {
  bool any = criteria.min_samples.has_value();
  for (const auto& [name, member, any_sign] : number_criteria) {
    const std::optional<double>& value = criteria.*member;
    if (!value) continue;
    any = true;
    if (!std::isfinite(*value)) return impossible(name, "a finite number is needed", *value);
    if (!any_sign && *value <= 0) return impossible(name, "it must be positive", *value);
  }
  if (criteria.max_accuracy_loss && *criteria.max_accuracy_loss >= 1)
    return impossible("max_accuracy_loss", "a fraction below 1 is needed", *criteria.max_accuracy_loss);
  if (!(criteria.confidence >= 0.5 && criteria.confidence < 1))
    return impossible("confidence", "it must lie within [0.5, 1)", criteria.confidence);
  if (criteria.min_samples && *criteria.min_samples < 1)
    return impossible("min_samples", "at least 1 is needed", static_cast<double>(*criteria.min_samples));
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
  if (object.has("min_samples")) criteria.min_samples = object.integer("min_samples");
  MCOMP_CHECK(object.finish());
  if (const Status valid = check(criteria); !valid) return valid.error().within(subject);
  return criteria;
}

std::string to_json(const Criteria& criteria) {
  Json json = Json::object();
  for (const auto& [name, member, any_sign] : number_criteria)
    if (criteria.*member) json[name] = *(criteria.*member);
  json["confidence"] = criteria.confidence;
  if (criteria.min_samples) json["min_samples"] = *criteria.min_samples;
  return json.dump();
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
  // A caller's own verdict may hold any bytes; what is not UTF-8 is replaced rather than thrown over.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::evaluate
