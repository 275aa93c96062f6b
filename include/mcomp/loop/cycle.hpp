#pragma once

// One turn of the loop, from a trigger to a model in service or to the reason why there is none. Every step is written
// to the catalogue before and after it happens, with its reason, so that a process that died at any point goes on where
// it was, and no expensive step is done more than twice.
//
//     trying:    for each candidate: compress -> cheap proxies -> paired evaluation -> gate
//     searching: only where nothing has passed yet, or money is promised that the budget is worth
//     deciding -> releasing (shadow, canary steps, full; back at once where a guardrail says so) -> watching -> closed
//
//     loop::Cycle cycle = loop::Cycle::begin(catalog, trigger, options, workshop, now).value();
//     while (!cycle.closed()) fmt::print("{}\n", cycle.step(now()).value());
//     ...
//     loop::Cycle cycle = loop::Cycle::resume(catalog, id, workshop, now).value();   // after a crash
//
// What a cycle cannot do itself stands in a Workshop: compressing, measuring, serving. The first candidate changes one
// thing alone: the recipe in service on the new model, or with fresh samples.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/catalog.hpp"
#include "mcomp/core/context.hpp"
#include "mcomp/evaluate/evaluation.hpp"
#include "mcomp/loop/search_step.hpp"
#include "mcomp/loop/trigger.hpp"
#include "mcomp/rollout/stage_machine.hpp"

namespace mcomp::inline v0::loop {

enum class Phase { trying, searching, deciding, releasing, watching, closed };
/// "trying", "searching", ...
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(Phase phase);

enum class CandidateState {
  waiting,    ///< nothing has been done yet
  compressed, ///< its artifact is there
  proxied,    ///< cheap measures say that it is worth an evaluation
  passed,     ///< evaluated, and the criteria are met
  dropped,    ///< not good enough, or not worth the budget; see its reason
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(CandidateState state);

/// Money is that of the price list.
struct Spending {
  std::int64_t evaluations = 0;
  double money = 0;
  double seconds = 0;
  friend bool operator==(const Spending&, const Spending&) = default;
};

/// What a cycle may use up; what would go beyond it is not begun.
struct Budget {
  std::int64_t evaluations = 8; ///< paired ones, the expensive step
  std::optional<double> money{}, seconds{};
  friend bool operator==(const Budget&, const Budget&) = default;
};

/// How much of a criterion's margin the chosen candidate used.
struct MarginUse {
  std::string criterion{};
  double allowed = 0, used = 0;
  friend bool operator==(const MarginUse&, const MarginUse&) = default;
};

struct Candidate {
  std::string id{}; ///< within the cycle: "c1", "c2", ...
  Proposal proposal{};
  CandidateState state = CandidateState::waiting;
  std::string artifact{};                  ///< id in the store
  std::map<std::string, double> proxies{}; ///< cheap measures
  std::string evaluation{};                ///< id of its record of kind "evaluation", and of that of its trial
  std::vector<MarginUse> margins{};        ///< of the criteria
  double saving_per_month = 0, saving_lower = 0;
  std::string reason{}; ///< of its state
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// How often a step that costs was begun. One that was begun twice and never ended is given up.
struct Attempt {
  std::string step{}; ///< "compress c1", "evaluate c1", "search"
  int begun = 0;
  bool done = false;
  friend bool operator==(const Attempt&, const Attempt&) = default;
};

struct CycleOptions {
  std::string id{};       ///< of the record; new for each cycle
  std::string family{};   ///< as recipes name it
  std::string model{};    ///< fingerprint of what is compressed
  std::string recipe{};   ///< JSON of the recipe in service; empty: none, the search comes first
  std::string baseline{}; ///< artifact in service, which candidates are compared with
  std::string alias = "production";
  std::string author = "loop"; ///< of all that is written
  Budget budget{};
  std::int64_t candidates = 4; ///< that a search may add
  int side_by_side = 1;        ///< candidates whose expensive steps run at once, on the context's executor
  /// What a search must promise to save a month (Workshop::promise) to take place though something has passed already;
  /// absent: it does not.
  std::optional<double> search_for_money{};
  double least_saving = 0; ///< a month (lower end), that a candidate must exceed where the trigger is about money
  std::string suite{};     ///< fingerprint of the frozen suite that every evaluation must be of; empty: any
  rollout::RolloutPolicy policy{};
  std::int64_t watch_seconds = 86400; ///< that a full release is watched before the cycle is closed

  /// Errors: invalid_argument for a name that is empty, a limit that is negative or not finite, and those of
  /// `RolloutPolicy::check`; corrupt for a recipe that is none.
  [[nodiscard]] MCOMP_WORKFLOW_API Status check() const;
  friend bool operator==(const CycleOptions&, const CycleOptions&) = default;
};

/// All that is known of a cycle, as its record in the catalogue holds it.
struct CycleState {
  CycleOptions options{};
  Trigger trigger{};
  Phase phase = Phase::trying;
  std::int64_t began = 0, changed = 0; ///< seconds since 1970
  std::vector<Candidate> candidates{};
  std::vector<Attempt> attempts{};
  Spending spent{};
  bool searched = false;
  std::string chosen{};                      ///< candidate
  std::string rollout{};                     ///< JSON of rollout::RolloutState; empty before a release
  std::vector<std::string> rollout_events{}; ///< JSON of those that led here from the version before
  std::string outcome{};                     ///< of a closed cycle: "released", "rolled back", "kept" (what was)
  std::string last{};                        ///< what happened last, and why
  std::int64_t steps = 0;

  /// Reads schema "mcomp-cycle-1". Errors: corrupt, also for a release that names none of its candidates or has no
  /// state; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<CycleState> parse(std::string_view json,
                                                                   const std::string& subject = "cycle");
  friend bool operator==(const CycleState&, const CycleState&) = default;
};

/// What the application does for a cycle. Calls may be repeated once after a crash, and are made from several threads
/// where candidates run side by side.
class MCOMP_WORKFLOW_API Workshop {
 public:
  virtual ~Workshop();

  struct Compressed {
    std::string artifact; ///< published in the store
    double money = 0, seconds = 0;
  };
  /// Expensive. Makes the artifact of a candidate's recipe. A recipe that cannot be applied is an Error, and the
  /// candidate is dropped with it; so it is where a number of any of these calls is not finite, or the artifact no id.
  [[nodiscard]] virtual Result<Compressed> compress(const CycleState& cycle, const Candidate& candidate) = 0;

  struct Proxies {
    std::map<std::string, double> measures{};
    bool worth_it = true; ///< an evaluation
    std::string reason{};
  };
  /// Cheap: size, errors of layers, agreement on few samples. Default: every candidate is worth an evaluation.
  [[nodiscard]] virtual Result<Proxies> proxies(const CycleState& cycle, const Candidate& candidate);

  struct Judged {
    evaluate::Evaluation evaluation{};
    double saving_per_month = 0, saving_lower = 0; ///< against the baseline; the lower end of its interval
    double money = 0, seconds = 0;
  };
  /// Expensive. Candidate against baseline, paired, on cohorts and the frozen suite.
  [[nodiscard]] virtual Result<Judged> evaluate(const CycleState& cycle, const Candidate& candidate) = 0;

  /// What a search may save a month beyond what has passed, by a forecast. Default: nothing.
  [[nodiscard]] virtual double promise(const CycleState& cycle);
  /// What an evaluation will cost, as far as it is known before; it counts as one evaluation whatever is said here.
  /// Default: nothing else.
  [[nodiscard]] virtual Spending price_of_evaluation(const CycleState& cycle, const Candidate& candidate);

  /// Approvals for the release that are there by now: nobody has to wait for them here.
  [[nodiscard]] virtual Result<std::vector<catalog::Envelope>> approvals(const CycleState& cycle,
                                                                         const std::string& artifact) = 0;

  /// What has happened to the release since the last call: verdicts of gates, heartbeats, what operators did.
  [[nodiscard]] virtual Result<std::vector<rollout::RolloutEvent>>
  observe(const CycleState& cycle, const rollout::RolloutState& state, std::int64_t now) = 0;
  /// Sends so many parts of 100,000 to the artifact, and shadows so many. The same again changes nothing.
  [[nodiscard]] virtual Status set_traffic(const CycleState& cycle, const std::string& artifact, std::uint32_t share,
                                           std::uint32_t shadow) = 0;
};

/// What one step did: phase, what, and why.
struct CycleStep {
  Phase phase = Phase::trying; ///< after it
  std::string what{};
  bool waiting = false; ///< nothing to do until approvals come or time passes
};

class MCOMP_WORKFLOW_API Cycle {
 public:
  /// Writes the record of a new cycle. Errors: invalid_argument for options that are none, or an id that is taken.
  [[nodiscard]] static Result<Cycle> begin(catalog::Catalog& catalog, const Trigger& trigger,
                                           const CycleOptions& options, Workshop& workshop, std::int64_t now,
                                           const SearchStep* search = nullptr, const Context& context = {});
  /// Goes on with a cycle of the catalogue; traffic is set again as its state says, where the workshop cannot observe
  /// only with the step that can, so that nothing is exposed unseen. Errors: not_found; as `step`.
  [[nodiscard]] static Result<Cycle> resume(catalog::Catalog& catalog, const std::string& id, Workshop& workshop,
                                            std::int64_t now, const SearchStep* search = nullptr,
                                            const Context& context = {});
  ~Cycle();
  Cycle(Cycle&&) noexcept;
  Cycle& operator=(Cycle&&) noexcept;

  /// The next step. Errors: those of the catalogue; of the workshop only where it observes or serves. After an error
  /// the step can be repeated, and what was observed before it is not forgotten: a release that is to go back goes back
  /// with the next step that can. What fails in compressing or evaluating drops the candidate, with the error as its
  /// reason.
  [[nodiscard]] Result<CycleStep> step(std::int64_t now);
  /// An operator takes the release back, whatever phase it is in; before a release it ends the cycle.
  [[nodiscard]] Result<CycleStep> roll_back(std::int64_t now, const std::string& reason);

  [[nodiscard]] const CycleState& state() const noexcept;
  [[nodiscard]] bool closed() const noexcept { return state().phase == Phase::closed; }

 private:
  class Worker;
  explicit Cycle(std::unique_ptr<Worker> worker);
  std::unique_ptr<Worker> worker_;
};

/// Margins that no cycle has used more than a share of, over the last `cycles` closed ones that released something:
/// what may be tightened, or what a search may spend. Errors: those of the catalogue.
struct UnusedMargin {
  std::string criterion{};
  double allowed = 0, most_used = 0;
  std::int64_t cycles = 0;
  friend bool operator==(const UnusedMargin&, const UnusedMargin&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<UnusedMargin>>
unused_margins(const catalog::Catalog& catalog, std::int64_t cycles = 5, double share = 0.5);

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const CycleState& state);
/// "releasing: canary step 2 of ...".
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const CycleStep& step);

} // namespace mcomp::inline v0::loop

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<loop::Phase> = true;
template <> inline constexpr bool enable_format<loop::CandidateState> = true;
template <> inline constexpr bool enable_format<loop::CycleStep> = true;
} // namespace mcomp::inline v0
