#pragma once

// A condition made ready for decisions, and conditions as JSON; never part of the interface.

#include <string>
#include <string_view>
#include <vector>

#include "mcomp/rollout/flags.hpp"
#include "rollout/schema.hpp"
#include "rollout/semver.hpp"

namespace mcomp::inline v0::rollout::detail {

/// Most texts that differ do so in size or first character: then no function is called.
[[nodiscard]] inline bool same(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && (a.empty() || (a.front() == b.front() && a == b));
}

/// Holds its own copy of the values, by type; texts are sorted, so that long lists are searched and not run through.
class CompiledCondition {
 public:
  [[nodiscard]] static Result<CompiledCondition> compile(const Condition& condition, const std::string& subject);
  /// `attribute` is null where the unit lacks it.
  [[nodiscard]] bool holds(const Attribute* attribute) const noexcept;

 private:
  /// Nothing where the type does not fit: then it does not hold, negated or not.
  [[nodiscard]] std::optional<bool> matches(const Attribute::Value& value) const noexcept;
  [[nodiscard]] bool has_text(std::string_view text) const noexcept;
  [[nodiscard]] std::optional<bool> matches_text(std::string_view text) const noexcept;
  [[nodiscard]] std::optional<bool> matches_number(double number) const noexcept;

  Comparison comparison_ = Comparison::equals;
  bool negated_ = false;
  bool equals_true_ = false, equals_false_ = false;
  std::vector<double> numbers_;
  std::vector<std::string> texts_;
  std::unique_ptr<const std::string> version_text_; ///< stays where it is when this moves: `version_` looks into it
  std::optional<Semver> version_;
};

[[nodiscard]] Json json_of(const std::vector<Condition>& conditions);
/// Reads the array under "conditions"; absent means none.
[[nodiscard]] Result<std::vector<Condition>> read_conditions(ObjectReader& object);

} // namespace mcomp::inline v0::rollout::detail
