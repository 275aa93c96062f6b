#pragma once

// JsonLogic (jsonlogic.com/operations.html) with the operators that flagd adds; never part of the interface.

#include <string>

#include "rollout/schema.hpp"

namespace mcomp::inline v0::rollout::detail {

/// Evaluates rules over one context. Rules are hostile: steps, depth and what they build are bounded.
class JsonLogic {
 public:
  /// `data` is what "var" sees; `evaluators` are what "$ref" names; all must outlive this.
  JsonLogic(const Json& data, const Json& evaluators, std::string subject)
      : data_(&data), evaluators_(evaluators), subject_(std::move(subject)) {}
  /// Error: unsupported for an operator that is not known, or too much work.
  [[nodiscard]] Result<Json> evaluate(const Json& rule);

 private:
  [[nodiscard]] Result<Json> apply(const std::string& name, const Json& arguments);
  [[nodiscard]] Result<Json> lazy(const std::string& name, const Json& arguments, bool& known);
  [[nodiscard]] Result<Json> choose(const Json& arguments);
  [[nodiscard]] Result<Json> over_elements(const std::string& name, const Json& arguments);
  [[nodiscard]] Result<Json> reduce(const Json& list, const Json& rule, Json accumulator);
  [[nodiscard]] Result<Json> fractional(const Json& arguments);
  [[nodiscard]] Result<Json> variable(const Json& arguments);
  [[nodiscard]] Result<Json> missing(const Json& names);
  [[nodiscard]] Status charge(std::size_t steps);
  [[nodiscard]] Error unsupported(std::string rule, std::string remedy) const;

  const Json* data_;
  const Json& evaluators_;
  std::string subject_;
  std::size_t steps_ = 0;
  int depth_ = 0;
};

/// JsonLogic's truth: as JavaScript's, but an empty array is false.
[[nodiscard]] bool logic_truth(const Json& value);

} // namespace mcomp::inline v0::rollout::detail
