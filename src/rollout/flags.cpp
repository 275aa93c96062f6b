#include "mcomp/rollout/flags.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

#include "mcomp/rollout/hash.hpp"
#include "rollout/conditions.hpp"
#include "rollout/salted_hash.hpp"

namespace mcomp::inline v0::rollout {

namespace {

constexpr std::uint32_t none = 0xffffffffU;
constexpr std::uint32_t whole = 100000; ///< of a share

Error wrong(const std::string& subject, std::string rule, std::string remedy) {
  return Error(ErrorCode::invalid_argument, subject, std::move(rule), std::move(remedy));
}

struct CompiledVariant {
  std::string_view name, value;
};

/// Where a split's positions end, in order, and which variant they get.
struct CompiledSplit {
  std::vector<std::uint64_t> ends;
  std::vector<std::uint32_t> variants;
  detail::SaltedHash hash;
  std::uint32_t bucket_by = none; ///< number of the attribute

  [[nodiscard]] std::uint32_t variant(std::uint32_t position) const noexcept {
    const auto found = std::upper_bound(ends.begin(), ends.end(), std::uint64_t{position});
    return variants[static_cast<std::size_t>(found - ends.begin())];
  }
};

struct CompiledRule {
  std::string_view id;
  std::vector<std::pair<std::uint32_t, detail::CompiledCondition>> conditions; ///< by number of the attribute
  std::uint32_t share = whole;
  detail::SaltedHash share_hash;
  std::uint32_t variant = none;
  std::optional<CompiledSplit> split;
};

struct CompiledFlag {
  std::string_view key;
  std::size_t hash = 0;
  bool enabled = true;
  std::uint32_t default_variant = 0, off_variant = 0;
  std::vector<CompiledVariant> variants;
  std::vector<std::string_view> attributes; ///< those that rules look at, each once
  std::vector<CompiledRule> rules;
};

Result<std::uint32_t> variant_number(const Flag& flag, const std::string& name, const std::string& subject) {
  const auto found = std::ranges::find(flag.variants, name, &Variant::name);
  if (found == flag.variants.end())
    return wrong(subject, "there is no variant \"" + name + "\"", "name one of the flag's variants");
  return static_cast<std::uint32_t>(found - flag.variants.begin());
}

std::uint32_t attribute_number(CompiledFlag& flag, std::string_view name) {
  const auto found = std::ranges::find(flag.attributes, name);
  if (found != flag.attributes.end()) return static_cast<std::uint32_t>(found - flag.attributes.begin());
  flag.attributes.push_back(name);
  return static_cast<std::uint32_t>(flag.attributes.size() - 1);
}

Result<CompiledRule> compile_rule(const Flag& flag, const Rule& rule, CompiledFlag& out, const std::string& subject) {
  CompiledRule compiled;
  compiled.id = rule.id;
  for (std::size_t i = 0; i < rule.conditions.size(); ++i) {
    MCOMP_TRY(condition,
              detail::CompiledCondition::compile(rule.conditions[i], fmt::format("{}: condition {}", subject, i)));
    compiled.conditions.emplace_back(attribute_number(out, rule.conditions[i].attribute), std::move(condition));
  }
  if (rule.share > whole) return wrong(subject, "its share is above 100,000", "give parts of 100,000");
  compiled.share = rule.share;
  compiled.share_hash = detail::SaltedHash(flag.key + "." + rule.id);
  if (!rule.split) {
    MCOMP_TRY(number, variant_number(flag, rule.variant, subject));
    compiled.variant = number;
    return compiled;
  }
  if (!rule.variant.empty()) return wrong(subject, "it has a variant and a split", "give one of them");
  if (const Status status = rule.split->check(subject); !status)
    return wrong(subject, status.error().rule(), status.error().remedy());
  std::vector<std::uint32_t> numbers;
  for (const std::string& arm : rule.split->arms) {
    MCOMP_TRY(number, variant_number(flag, arm, subject));
    numbers.push_back(number);
  }
  CompiledSplit& split = compiled.split.emplace();
  for (const LedgerInterval& interval : rule.split->intervals) {
    split.ends.push_back(interval.end);
    split.variants.push_back(numbers[interval.arm]);
  }
  split.hash = detail::SaltedHash(rule.salt.empty() ? flag.key : rule.salt);
  if (!rule.bucket_by.empty()) split.bucket_by = attribute_number(out, rule.bucket_by);
  return compiled;
}

Result<CompiledFlag> compile_flag(const Flag& flag) {
  const std::string subject = "flag " + flag.key;
  if (flag.key.empty()) return wrong("flag", "it has no key", "name it");
  CompiledFlag compiled;
  compiled.key = flag.key;
  compiled.hash = FlagKey(flag.key).hash();
  compiled.enabled = flag.enabled;
  std::set<std::string_view> names;
  for (const Variant& variant : flag.variants) {
    if (variant.name.empty() || !names.insert(variant.name).second)
      return wrong(subject, "a variant has no name, or one that stands twice", "name each variant once");
    compiled.variants.push_back({variant.name, variant.value});
  }
  MCOMP_TRY(usual, variant_number(flag, flag.default_variant, subject + ": default"));
  MCOMP_TRY(
      off, variant_number(flag, flag.off_variant.empty() ? flag.default_variant : flag.off_variant, subject + ": off"));
  compiled.default_variant = usual;
  compiled.off_variant = off;
  std::set<std::string_view> ids;
  for (const Rule& rule : flag.rules) {
    if (rule.id.empty() || !ids.insert(rule.id).second)
      return wrong(subject, "a rule has no id, or one that stands twice", "give each rule an id of its own");
    MCOMP_TRY(one, compile_rule(flag, rule, compiled, subject + ": rule " + rule.id));
    compiled.rules.push_back(std::move(one));
  }
  return compiled;
}

const Attribute* find(std::span<const Attribute> attributes, std::string_view name) noexcept {
  for (const Attribute& attribute : attributes)
    if (detail::same(attribute.name, name)) return &attribute;
  return nullptr;
}

/// The attributes of a decision that a flag looks at, each sought at most once.
class Sought {
 public:
  Sought(const CompiledFlag& flag, std::span<const Attribute> attributes) noexcept
      : flag_(flag), attributes_(attributes) {}
  const Attribute* operator[](std::uint32_t number) noexcept {
    if (number >= kept) return find(attributes_, flag_.attributes[number]);
    if (!(known_ >> number & 1U)) {
      found_[number] = find(attributes_, flag_.attributes[number]);
      known_ |= 1U << number;
    }
    return found_[number];
  }

 private:
  static constexpr std::uint32_t kept = 8;
  const CompiledFlag& flag_;
  std::span<const Attribute> attributes_;
  std::uint32_t known_ = 0;
  const Attribute* found_[kept];
};

} // namespace

struct FlagSnapshot::Compiled {
  FlagSet source;
  std::vector<CompiledFlag> flags;
  std::vector<std::uint32_t> table; ///< open addressing by the hash of the key; a power of two, at most half full

  [[nodiscard]] const CompiledFlag* find(FlagKey key) const noexcept {
    const std::size_t mask = table.size() - 1;
    for (std::size_t at = key.hash() & mask; table[at] != none; at = (at + 1) & mask) {
      const CompiledFlag& flag = flags[table[at]];
      if (flag.hash == key.hash() && flag.key == key.name()) return &flag;
    }
    return nullptr;
  }
};

FlagSnapshot::FlagSnapshot(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
FlagSnapshot::~FlagSnapshot() = default;

Result<std::shared_ptr<const FlagSnapshot>> FlagSnapshot::compile(FlagSet flags) {
  auto compiled = std::make_unique<Compiled>();
  compiled->source = std::move(flags); // the views below point into it
  const FlagSet& source = compiled->source;
  std::size_t size = 2;
  while (size < 2 * source.flags.size() + 1) size *= 2;
  compiled->table.assign(size, none);
  for (const Flag& flag : source.flags) {
    MCOMP_TRY(one, compile_flag(flag));
    if (compiled->find(FlagKey(flag.key))) return wrong("flag " + flag.key, "its key stands twice", "rename one");
    std::size_t at = one.hash & (size - 1);
    while (compiled->table[at] != none) at = (at + 1) & (size - 1);
    compiled->table[at] = static_cast<std::uint32_t>(compiled->flags.size());
    compiled->flags.push_back(std::move(one));
  }
  return std::shared_ptr<const FlagSnapshot>(new FlagSnapshot(std::move(compiled)));
}

const FlagSet& FlagSnapshot::flags() const noexcept {
  return compiled_->source;
}

Decision FlagSnapshot::decide(FlagKey key, const FlagContext& context) const noexcept {
  const CompiledFlag* flag = compiled_->find(key);
  if (!flag) return {};
  constexpr std::size_t no_rule = ~std::size_t{0};
  const auto served = [&](std::uint32_t variant, Reason reason, std::size_t rule, std::uint32_t position) {
    return Decision{.variant = flag->variants[variant].name,
                    .value = flag->variants[variant].value,
                    .reason = reason,
                    .rule = static_cast<std::int32_t>(rule),
                    .rule_id = rule == no_rule ? std::string_view() : flag->rules[rule].id,
                    .position = position};
  };
  if (!flag->enabled) return served(flag->off_variant, Reason::disabled, no_rule, 0);
  Sought attributes(*flag, context.attributes);
  for (std::size_t i = 0; i < flag->rules.size(); ++i) {
    const CompiledRule& rule = flag->rules[i];
    const bool holds = std::ranges::all_of(
        rule.conditions, [&](const auto& condition) { return condition.second.holds(attributes[condition.first]); });
    if (!holds) continue;
    if (rule.share < whole && (context.unit.empty() || slot_of(rule.share_hash(context.unit), whole) >= rule.share))
      continue;
    if (!rule.split) return served(rule.variant, Reason::target, i, 0);
    std::string_view unit = context.unit;
    if (rule.split->bucket_by != none) {
      const Attribute* by = attributes[rule.split->bucket_by];
      const auto* text = by ? std::get_if<std::string_view>(&by->value) : nullptr;
      unit = text ? *text : std::string_view();
    }
    if (unit.empty()) continue;
    const std::uint32_t position = rule.split->hash(unit);
    return served(rule.split->variant(position), Reason::split, i, position);
  }
  return served(flag->default_variant, Reason::default_variant, no_rule, 0);
}

bool fulfils(std::span<const Condition> conditions, const FlagContext& context) {
  return std::ranges::all_of(conditions, [&](const Condition& condition) {
    const auto compiled = detail::CompiledCondition::compile(condition, "condition");
    return compiled && compiled->holds(find(context.attributes, condition.attribute));
  });
}

Status check(const Condition& condition, const std::string& subject) {
  MCOMP_TRY(compiled, detail::CompiledCondition::compile(condition, subject));
  static_cast<void>(compiled);
  return {};
}

std::string to_string(Reason reason) {
  switch (reason) {
  case Reason::unknown_flag:
    return "unknown flag";
  case Reason::disabled:
    return "disabled";
  case Reason::default_variant:
    return "default";
  case Reason::target:
    return "target";
  case Reason::split:
    return "split";
  }
  return "unknown";
}

} // namespace mcomp::inline v0::rollout
