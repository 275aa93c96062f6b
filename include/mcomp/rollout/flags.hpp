#pragma once

// Feature flags with targeting rules, decided in process. A set of flags is plain data; compiled it is an immutable
// snapshot; a store swaps the pointer to the current one in a single atomic step, so that a decision takes no lock and
// a rollback is one pointer away. The first rule whose conditions all hold decides, by naming a variant or by splitting
// units over variants with a ledger; where none does the flag's default is served. Every decision says why.
//
//     rollout::FlagStore store(rollout::FlagSnapshot::compile(rollout::FlagSet::parse(text).value()).value());
//     auto reader = store.reader();                                          // one for each thread
//     const rollout::Attribute who[] = {{"region", "eu"}, {"tier", "gold"}};
//     if (auto flags = reader.pin(); flags->decide("ranker", {.unit = user, .attributes = who}).variant == "int8") ...
//
// A decision is a few string comparisons, one hash and one search of a ledger; no allocation. Reclaiming old snapshots
// follows hazard pointers (Michael 2004): a snapshot lives as long as it is current or a reader has it pinned.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/rollout/bucketing.hpp"

namespace mcomp::inline v0::rollout {

/// How the attribute of a unit is compared with a condition's values. All but `exists` need a value; those of order
/// take one, the others hold where any value matches.
enum class Comparison {
  equals,                   ///< text, number or truth value; a list equals where one of its elements does
  less,                     ///< numbers, as the next three
  less_or_equal,            ///<
  greater,                  ///<
  greater_or_equal,         ///<
  starts_with,              ///< text, as the next two
  ends_with,                ///<
  contains,                 ///< as a part of the text; a list contains where one of its elements is equal
  version_equals,           ///< semantic versions by precedence, as the next four
  version_less,             ///<
  version_less_or_equal,    ///<
  version_greater,          ///<
  version_greater_or_equal, ///<
  exists,                   ///< whether the unit has the attribute at all
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(Comparison comparison);

using ConditionValue = std::variant<bool, double, std::string>;

/// One demand on an attribute (region, cohort, tier, device, ...). A unit that lacks the attribute, or has one of
/// another type, does not fulfil it, negated or not: what is not known is no reason to expose somebody.
struct Condition {
  std::string attribute{};
  Comparison comparison = Comparison::equals;
  std::vector<ConditionValue> values{};
  bool negated = false;
  friend bool operator==(const Condition&, const Condition&) = default;
};

/// Serves one variant, or splits the units that fulfil all conditions (none: everybody) over variants.
struct Rule {
  std::string id{};
  std::vector<Condition> conditions{};
  /// Parts in 100,000 of the units that the rule is for, drawn by flag and rule alone, so that they stay the same
  /// whatever else changes; the others pass it, and so do decisions without a unit where it is not for all.
  std::uint32_t share = 100000;
  std::string variant{};         ///< served to all, where there is no split
  std::optional<Ledger> split{}; ///< its arms are names of variants
  std::string salt{};            ///< of the split; empty: the flag's key
  std::string bucket_by{}; ///< attribute (text) that is split by; empty: the unit. Where it lacks the rule is passed
  friend bool operator==(const Rule&, const Rule&) = default;
};

struct Variant {
  std::string name{};
  std::string value = "null"; ///< JSON
  friend bool operator==(const Variant&, const Variant&) = default;
};

struct Flag {
  std::string key{};
  bool enabled = true;
  std::vector<Variant> variants{};
  std::string default_variant{}; ///< where no rule decides
  std::string off_variant{};     ///< of a flag that is not enabled; empty: the default
  std::vector<Rule> rules{};     ///< in this order
  friend bool operator==(const Flag&, const Flag&) = default;
};

/// All flags of an application.
struct FlagSet {
  std::int64_t revision = 1;
  std::vector<Flag> flags{};

  /// Reads schema "mcomp-flags-1"; unknown keys are errors. Errors: corrupt, naming flag, rule and condition;
  /// version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<FlagSet> parse(std::string_view json,
                                                                const std::string& subject = "flags");
  friend bool operator==(const FlagSet&, const FlagSet&) = default;
};
/// Error: corrupt for a variant whose value is no JSON.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const FlagSet& flags);

/// What is known of a unit. Names and texts are only looked at during the decision.
struct Attribute {
  using Value = std::variant<bool, double, std::string_view, std::span<const std::string_view>>;
  std::string_view name;
  Value value;

  Attribute(std::string_view n, bool v) : name(n), value(v) {}
  Attribute(std::string_view n, double v) : name(n), value(v) {}
  Attribute(std::string_view n, int v) : name(n), value(static_cast<double>(v)) {}
  Attribute(std::string_view n, std::string_view v) : name(n), value(v) {}
  Attribute(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  Attribute(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  Attribute(std::string_view n, std::span<const std::string_view> v) : name(n), value(v) {}
};

struct FlagContext {
  std::string_view unit; ///< what is split by; empty: unknown, and splits are passed
  std::span<const Attribute> attributes;
};
/// Schema "mcomp-flag-context-1", for logs: it is written only, since everything in it is a view. Numbers that JSON has
/// not are null.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const FlagContext& context);

enum class Reason {
  unknown_flag, ///< there is none of that key; the variant is empty
  disabled,
  default_variant, ///< no rule decided
  target,          ///< a rule named the variant
  split,           ///< a rule's ledger did
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(Reason reason);

/// What is served, and why. Names and values belong to the snapshot.
struct Decision {
  std::string_view variant;
  std::string_view value; ///< JSON; empty for an unknown flag
  Reason reason = Reason::unknown_flag;
  std::int32_t rule = -1;     ///< number of the rule that decided
  std::string_view rule_id;   ///< its id
  std::uint32_t position = 0; ///< of the unit in the split
};
/// Schema "mcomp-flag-decision-1", for logs: it is written only, since the views belong to a snapshot.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Decision& decision);

/// A flag's key with its hash: where a flag is asked for often, make it once.
class FlagKey {
 public:
  FlagKey(std::string_view name) noexcept : name_(name), hash_(std::hash<std::string_view>{}(name)) {}
  FlagKey(const char* name) noexcept : FlagKey(std::string_view(name)) {}
  FlagKey(const std::string& name) noexcept : FlagKey(std::string_view(name)) {}
  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] std::size_t hash() const noexcept { return hash_; }

 private:
  std::string_view name_;
  std::size_t hash_;
};

/// Flags made ready for decisions; never changes.
class MCOMP_WORKFLOW_API FlagSnapshot {
 public:
  /// Errors: invalid_argument, naming flag, rule and condition: a key or id given twice or empty, a variant that does
  /// not exist, a condition whose values do not fit its comparison, a split that is no whole ledger.
  [[nodiscard]] static Result<std::shared_ptr<const FlagSnapshot>> compile(FlagSet flags);
  ~FlagSnapshot();
  FlagSnapshot(const FlagSnapshot&) = delete;
  FlagSnapshot& operator=(const FlagSnapshot&) = delete;

  /// O(rules and attributes of the flag), no allocation; any number of threads.
  [[nodiscard]] Decision decide(FlagKey flag, const FlagContext& context) const noexcept;
  [[nodiscard]] const FlagSet& flags() const noexcept;

 private:
  struct Compiled;
  explicit FlagSnapshot(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

/// Whether a unit fulfils conditions, decided as by a flag's rule; for other users of them. Slower than a snapshot.
[[nodiscard]] MCOMP_WORKFLOW_API bool fulfils(std::span<const Condition> conditions, const FlagContext& context);
/// Error: invalid_argument, where the values do not fit the comparison.
[[nodiscard]] MCOMP_WORKFLOW_API Status check(const Condition& condition, const std::string& subject);

/// The current snapshot of an application, shared by its threads.
class MCOMP_WORKFLOW_API FlagStore {
  struct Slot;
  struct State;

 public:
  class Reader;

  /// A snapshot held in place: current when it was pinned, and whole until this ends.
  class MCOMP_WORKFLOW_API Pin {
   public:
    ~Pin() {
      if (reader_) reader_->unpin();
    }
    Pin(Pin&& other) noexcept : reader_(std::exchange(other.reader_, nullptr)), snapshot_(other.snapshot_) {}
    Pin& operator=(Pin&&) = delete;
    const FlagSnapshot* operator->() const noexcept { return snapshot_; }
    const FlagSnapshot& operator*() const noexcept { return *snapshot_; }

   private:
    friend class Reader;
    Pin(Reader* reader, const FlagSnapshot* snapshot) noexcept : reader_(reader), snapshot_(snapshot) {}
    Reader* reader_;
    const FlagSnapshot* snapshot_;
  };

  /// One thread's way to the snapshot. Not to be used by two threads at once, nor moved while it is pinned; the store
  /// may go first.
  class MCOMP_WORKFLOW_API Reader {
   public:
    ~Reader();
    Reader(Reader&& other) noexcept;
    Reader& operator=(Reader&&) = delete;
    /// Lock-free. A pin inside of a pin shows the same snapshot.
    [[nodiscard]] Pin pin() noexcept {
      if (depth_++ == 0) {
        pinned_ = current_->load(std::memory_order_acquire);
        while (true) {
          // In the one order of all sequentially consistent operations: whoever retires this snapshot later sees the
          // hazard, whoever did so before is seen here.
          hazard_->store(pinned_, std::memory_order_seq_cst);
          const FlagSnapshot* again = current_->load(std::memory_order_seq_cst);
          if (again == pinned_) break;
          pinned_ = again;
        }
      }
      return {this, pinned_};
    }

   private:
    friend class FlagStore;
    friend class Pin;
    explicit Reader(std::shared_ptr<State> state);
    void unpin() noexcept {
      if (--depth_ == 0) hazard_->store(nullptr, std::memory_order_release);
    }
    std::shared_ptr<State> state_;
    const std::atomic<const FlagSnapshot*>* current_ = nullptr;
    std::atomic<const FlagSnapshot*>* hazard_ = nullptr;
    const FlagSnapshot* pinned_ = nullptr;
    int depth_ = 0;
  };

  /// `first` must not be null; error of `value()` otherwise is the caller's, so there is a snapshot of no flags
  /// instead.
  explicit FlagStore(std::shared_ptr<const FlagSnapshot> first);
  ~FlagStore();
  FlagStore(const FlagStore&) = delete;
  FlagStore& operator=(const FlagStore&) = delete;

  [[nodiscard]] Reader reader();
  /// Makes a snapshot the current one: one atomic store, after which every new pin sees it. A null pointer changes
  /// nothing. Frees old snapshots that nobody has pinned.
  void publish(std::shared_ptr<const FlagSnapshot> snapshot);
  [[nodiscard]] std::shared_ptr<const FlagSnapshot> current() const;

 private:
  std::shared_ptr<State> state_;
};

} // namespace mcomp::inline v0::rollout

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<rollout::Comparison> = true;
template <> inline constexpr bool enable_format<rollout::Reason> = true;
} // namespace mcomp::inline v0
