#include "mcomp/loop/cycle.hpp"

#include <algorithm>
#include <cmath>

#include "core/json.hpp"
#include "loop/outcome.hpp"
#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/compress/recipe.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::loop {

using catalog::Record;
using catalog::RecordDraft;

namespace {

constexpr const char* cycle_kind = "cycle";
constexpr int most_begun = 2;
constexpr std::size_t most_pending = 1000; ///< heartbeats and clocks that a version of the record may hold

/// Triggers that are about money: what is released for them must save some.
bool about_money(TriggerKind kind) {
  return kind == TriggerKind::cost || kind == TriggerKind::price || kind == TriggerKind::traffic ||
         kind == TriggerKind::hardware;
}

} // namespace

Status CycleOptions::check() const {
  const auto wrong = [](const char* subject, const char* rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, std::string("cycle: ") + subject, rule, remedy);
  };
  if (id.empty() || family.empty() || author.empty() || alias.empty())
    return wrong("id, family, author, alias", "one of them is empty", "say what is compressed, and who says so");
  if (budget.evaluations < 0 || candidates < 0 || watch_seconds < 0)
    return wrong("budget, candidates, watch_seconds", "one of them is negative", "give 0 or more");
  if (side_by_side < 1) return wrong("side_by_side", "it is below 1", "give 1 or more");
  for (const auto& limit : {budget.money, budget.seconds, search_for_money})
    if (limit && !(std::isfinite(*limit) && *limit >= 0))
      return wrong("budget, search_for_money", "it is negative or not finite", "leave it out for no limit");
  if (!std::isfinite(least_saving)) return wrong("least_saving", "it is not finite", "give an amount");
  if (!recipe.empty()) {
    const auto parsed = compress::Recipe::parse(recipe, "cycle: recipe");
    if (!parsed) return parsed.error();
  }
  return policy.check();
}

namespace {

/// Numbers that are none would make the record one that nobody can read again.
Error not_finite(const char* what) {
  return Error(ErrorCode::invalid_value, std::string("workshop: ") + what, "it is not finite",
               "return what was measured, or an Error");
}
Result<Workshop::Compressed> checked(Result<Workshop::Compressed> made) {
  if (!made) return made;
  if (!catalog::is_digest(made->artifact))
    return Error(ErrorCode::invalid_value, "workshop: artifact", fmt::format("'{}' is no id", made->artifact),
                 "publish it, and return what `publish` returned");
  if (!std::isfinite(made->money) || !std::isfinite(made->seconds)) return not_finite("money or seconds");
  return made;
}
Result<Workshop::Proxies> checked(Result<Workshop::Proxies> measured) {
  if (!measured) return measured;
  for (const auto& [name, value] : measured->measures)
    if (!std::isfinite(value)) return not_finite(("proxy " + name).c_str());
  return measured;
}
Result<Workshop::Judged> checked(Result<Workshop::Judged> judged) {
  if (!judged) return judged;
  for (const double number : {judged->saving_per_month, judged->saving_lower, judged->money, judged->seconds})
    if (!std::isfinite(number)) return not_finite("saving, money or seconds");
  return judged;
}

std::string recipe_name(const Proposal& proposal) {
  const auto recipe = compress::Recipe::parse(proposal.recipe, "recipe");
  if (recipe && !recipe->name.empty()) return recipe->name;
  return proposal.recipe_id.empty() ? proposal.fingerprint : proposal.recipe_id;
}

} // namespace

Workshop::~Workshop() = default;
Result<Workshop::Proxies> Workshop::proxies(const CycleState&, const Candidate&) {
  return Proxies{};
}
double Workshop::promise(const CycleState&) {
  return 0;
}
Spending Workshop::price_of_evaluation(const CycleState&, const Candidate&) {
  return {.evaluations = 1};
}

std::string to_string(const CycleStep& step) {
  return fmt::format("{}: {}{}", to_string(step.phase), step.what, step.waiting ? " (waiting)" : "");
}

/// One step at a time. What a step changes is made on a copy and becomes the state once the catalogue has it.
class Cycle::Worker {
 public:
  Worker(catalog::Catalog& catalog, Workshop& workshop, const SearchStep* search, const Context& context,
         CycleState state, std::int64_t version)
      : catalog_(&catalog), workshop_(&workshop), search_(search ? search : &default_search_), context_(context),
        state_(std::move(state)), version_(version) {}

  [[nodiscard]] const CycleState& state() const noexcept { return state_; }

  Status begin(std::int64_t now) {
    CycleState next = state_;
    next.began = next.changed = now;
    if (next.options.recipe.empty()) {
      next.phase = Phase::searching;
    } else {
      Proposal same{.recipe = next.options.recipe, .reason = "the recipe in service: one thing has changed, not two"};
      MCOMP_TRY(mark, catalog::fingerprint(catalog::RecipeEntry{.name = "recipe", .recipe = same.recipe}));
      same.fingerprint = mark;
      catalog::RecordQuery query{.kind = "recipe", .fingerprint = mark};
      MCOMP_TRY(known, catalog_->find(query));
      if (!known.empty()) same.recipe_id = known.front().id;
      next.candidates.push_back({.id = "c1", .proposal = std::move(same)});
    }
    return keep(std::move(next), now, "began: " + to_string(state_.trigger));
  }

  /// Traffic may not be as the state says: the process died before, or another one served meanwhile.
  Status go_on(std::int64_t now) {
    if (state_.phase != Phase::releasing && state_.phase != Phase::watching) return {};
    MCOMP_TRY(state, rollout_state());
    // Gates are asked first: what has failed meanwhile is not exposed again, not even for a moment.
    auto events = workshop_->observe(state_, state, now);
    if (!events) {
      traffic_due_ = true; // with the step that sees again; until then an operator can still take it back
      return {};
    }
    rollout::RolloutEvent event;
    event.kind = rollout::EventKind::restart;
    event.time = now;
    events->push_back(event);
    MCOMP_TRY(step, happen(*events, now));
    static_cast<void>(step);
    return {};
  }

  Result<CycleStep> step(std::int64_t now) {
    switch (state_.phase) {
    case Phase::trying:
      return try_next(now);
    case Phase::searching:
      return search(now);
    case Phase::deciding:
      return decide(now);
    case Phase::releasing:
    case Phase::watching:
      return release(now);
    case Phase::closed:
      break;
    }
    return CycleStep{Phase::closed, state_.last, true};
  }

  Result<CycleStep> roll_back(std::int64_t now, const std::string& reason) {
    const std::string why = reason.empty() ? "taken back by an operator" : reason;
    if (state_.phase == Phase::closed) return CycleStep{Phase::closed, state_.last, true};
    if (state_.phase != Phase::releasing && state_.phase != Phase::watching) {
      CycleState next = state_;
      next.phase = Phase::closed;
      next.outcome = "kept";
      return done(std::move(next), now, "ended: " + why);
    }
    rollout::RolloutEvent event;
    event.kind = rollout::EventKind::rollback;
    event.time = now;
    event.text = why;
    return happen({event}, now);
  }

 private:
  /// Writes the next state, with records that belong to it: all or none.
  Status keep(CycleState next, std::int64_t now, std::string what, std::vector<RecordDraft> more = {}) {
    next.changed = std::max(next.changed, now);
    next.last = std::move(what);
    ++next.steps;
    RecordDraft draft{.kind = cycle_kind,
                      .id = next.options.id,
                      .expected_version = version_,
                      .name = fmt::format("{} for {}", to_string(next.trigger.kind), next.options.family),
                      .owner = next.options.author,
                      .status = to_string(next.phase),
                      .author = next.options.author,
                      .time = now,
                      .body = to_json(next)};
    for (const Candidate& candidate : next.candidates)
      if (!candidate.artifact.empty()) draft.links.push_back(candidate.artifact);
    if (!next.options.baseline.empty()) draft.links.push_back(next.options.baseline);
    more.insert(more.begin(), std::move(draft));
    MCOMP_TRY(records, catalog_->put(more));
    version_ = records.front().version;
    state_ = std::move(next);
    return {};
  }

  Result<CycleStep> done(CycleState next, std::int64_t now, const std::string& what,
                         std::vector<RecordDraft> more = {}) {
    MCOMP_CHECK(keep(std::move(next), now, what, std::move(more)));
    return CycleStep{state_.phase, what, false};
  }

  static void drop(Candidate& candidate, std::string reason) {
    candidate.state = CandidateState::dropped;
    candidate.reason = std::move(reason);
  }

  static Attempt& attempt(CycleState& state, const std::string& step) {
    const auto found = std::ranges::find(state.attempts, step, &Attempt::step);
    return found != state.attempts.end() ? *found : state.attempts.emplace_back(Attempt{.step = step});
  }

  /// Up to `most` candidates of a state.
  [[nodiscard]] std::vector<std::size_t> candidates(CandidateState wanted, std::size_t most) const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < state_.candidates.size() && found.size() < most; ++i)
      if (state_.candidates[i].state == wanted) found.push_back(i);
    return found;
  }

  [[nodiscard]] bool any_passed() const {
    return std::ranges::find(state_.candidates, CandidateState::passed, &Candidate::state) != state_.candidates.end();
  }

  Result<CycleStep> try_next(std::int64_t now) {
    MCOMP_CHECK(context_.check("cycle"));
    const auto side_by_side = static_cast<std::size_t>(state_.options.side_by_side);
    // Candidates go through abreast: what is cheap for all, before anything that is dear for one.
    if (const auto found = candidates(CandidateState::waiting, side_by_side); !found.empty())
      return compress(found, now);
    if (const auto found = candidates(CandidateState::compressed, state_.candidates.size()); !found.empty())
      return look(found, now);
    if (const auto found = candidates(CandidateState::proxied, state_.candidates.size()); !found.empty())
      return evaluate(found, side_by_side, now);
    CycleState next = state_;
    if (!state_.searched && !any_passed()) {
      next.phase = Phase::searching;
      return done(std::move(next), now, "a search: nothing has passed yet");
    }
    if (!state_.searched && state_.options.search_for_money) {
      const double promised = workshop_->promise(state_);
      if (promised >= *state_.options.search_for_money) {
        next.phase = Phase::searching;
        return done(std::move(next), now, fmt::format("a search: {:.4g} a month are promised", promised));
      }
    }
    next.phase = Phase::deciding;
    return done(std::move(next), now, "every candidate has been looked at");
  }

  /// Notes that the steps begin, before they do. Candidates whose step was begun too often are dropped; the others are
  /// returned.
  Result<std::vector<std::size_t>> begin_steps(const char* verb, const std::vector<std::size_t>& which,
                                               std::int64_t now) {
    CycleState next = state_;
    std::vector<std::size_t> begun;
    std::string names;
    for (const std::size_t i : which) {
      Attempt& a = attempt(next, fmt::format("{} {}", verb, next.candidates[i].id));
      if (a.begun >= most_begun && !a.done) {
        drop(next.candidates[i], fmt::format("to {} it was begun {} times and never ended", verb, a.begun));
        continue;
      }
      ++a.begun;
      a.done = false;
      names += " " + next.candidates[i].id;
      begun.push_back(i);
    }
    MCOMP_CHECK(
        keep(std::move(next), now,
             begun.empty() ? fmt::format("nothing left to {}", verb) : fmt::format("begins to {}{}", verb, names)));
    return begun;
  }

  /// Runs a call of the workshop for each candidate, side by side where there are several.
  template <class T, class Call>
  std::vector<std::optional<Result<T>>> run(const std::vector<std::size_t>& which, const Call& call) {
    std::vector<std::optional<Result<T>>> results(which.size());
    const auto task = [&](std::size_t k) { results[k].emplace(call(state_, state_.candidates[which[k]])); };
    if (which.size() == 1)
      task(0);
    else
      context_.executor_or_serial().run(which.size(), task);
    return results;
  }

  Result<CycleStep> compress(const std::vector<std::size_t>& which, std::int64_t now) {
    MCOMP_TRY(begun, begin_steps("compress", which, now));
    if (begun.empty()) return CycleStep{state_.phase, state_.last, false};
    const auto results = run<Workshop::Compressed>(
        begun, [this](const CycleState& s, const Candidate& c) { return checked(workshop_->compress(s, c)); });
    CycleState next = state_;
    std::string what;
    for (std::size_t k = 0; k < begun.size(); ++k) {
      Candidate& candidate = next.candidates[begun[k]];
      attempt(next, "compress " + candidate.id).done = true;
      const Result<Workshop::Compressed>& made = *results[k];
      if (!made) {
        drop(candidate, "it cannot be compressed so: " + to_string(made.error()));
      } else {
        next.spent.money += made->money, next.spent.seconds += made->seconds;
        candidate.artifact = made->artifact;
        candidate.state = CandidateState::compressed;
        candidate.reason = "compressed";
        if (made->artifact == next.options.baseline) {
          drop(candidate, "it is what is in service already");
        } else {
          MCOMP_TRY(before, lost_before(made->artifact));
          if (!before.empty()) drop(candidate, "the same artifact was evaluated as " + before + ", and lost");
        }
      }
      what += fmt::format("{}{}: {}", what.empty() ? "" : "; ", candidate.id, candidate.reason);
    }
    return done(std::move(next), now, what);
  }

  /// The trial in which this very artifact lost on the same suite, whoever made it; empty where there is none.
  Result<std::string> lost_before(const std::string& artifact) {
    catalog::RecordQuery query{.kind = "experiment", .status = "lost"};
    query.links_to = artifact;
    MCOMP_TRY(records, catalog_->find(query));
    for (const Record& record : records) {
      if (record.redacted) continue;
      MCOMP_TRY(experiment, catalog::parse_experiment(record.body));
      const auto suite = experiment.inputs.find("suite");
      const bool same =
          suite == experiment.inputs.end() || state_.options.suite.empty() || suite->second == state_.options.suite;
      if (experiment.artifact == artifact && same) return record.id;
    }
    return std::string();
  }

  Result<CycleStep> look(const std::vector<std::size_t>& which, std::int64_t now) {
    CycleState next = state_;
    std::string what;
    for (const std::size_t i : which) {
      Candidate& candidate = next.candidates[i];
      const auto measured = checked(workshop_->proxies(state_, candidate));
      if (!measured) {
        drop(candidate, "its proxies cannot be measured: " + to_string(measured.error()));
      } else {
        candidate.proxies = measured->measures;
        candidate.state = CandidateState::proxied;
        candidate.reason = measured->reason.empty() ? "worth an evaluation" : measured->reason;
        if (!measured->worth_it)
          drop(candidate,
               measured->reason.empty() ? "cheap measures say that it is not worth an evaluation" : measured->reason);
      }
      what += fmt::format("{}{}: {}", what.empty() ? "" : "; ", candidate.id, candidate.reason);
    }
    return done(std::move(next), now, what);
  }

  /// Whether the budget bears so much more.
  [[nodiscard]] bool affordable(const Spending& more) const {
    const Budget& budget = state_.options.budget;
    const Spending& spent = state_.spent;
    return spent.evaluations + more.evaluations <= budget.evaluations &&
           (!budget.money || spent.money + more.money <= *budget.money) &&
           (!budget.seconds || spent.seconds + more.seconds <= *budget.seconds);
  }

  /// The first `most` of these that the budget bears.
  Result<CycleStep> evaluate(const std::vector<std::size_t>& which, std::size_t most, std::int64_t now) {
    std::vector<std::size_t> borne;
    Spending more{};
    for (const std::size_t i : which) {
      if (borne.size() >= most) break;
      const Spending price = workshop_->price_of_evaluation(state_, state_.candidates[i]);
      const Spending all{more.evaluations + 1, more.money + price.money, more.seconds + price.seconds};
      if (!affordable(all)) continue;
      more = all;
      borne.push_back(i);
    }
    if (borne.empty()) {
      CycleState next = state_;
      for (Candidate& candidate : next.candidates)
        if (candidate.state == CandidateState::proxied) drop(candidate, "the budget does not bear its evaluation");
      return done(std::move(next), now, "the budget is used up");
    }
    MCOMP_TRY(begun, begin_steps("evaluate", borne, now));
    if (begun.empty()) return CycleStep{state_.phase, state_.last, false};
    const auto results = run<Workshop::Judged>(
        begun, [this](const CycleState& s, const Candidate& c) { return checked(workshop_->evaluate(s, c)); });
    CycleState next = state_;
    std::vector<RecordDraft> records;
    std::string what;
    for (std::size_t k = 0; k < begun.size(); ++k) {
      Candidate& candidate = next.candidates[begun[k]];
      attempt(next, "evaluate " + candidate.id).done = true;
      ++next.spent.evaluations;
      MCOMP_CHECK(judge(next, candidate, *results[k], now, records));
      what += fmt::format("{}{}: {}", what.empty() ? "" : "; ", candidate.id, candidate.reason);
    }
    return done(std::move(next), now, what, std::move(records));
  }

  /// What an evaluation says of a candidate, and the records of it.
  Status judge(CycleState& next, Candidate& candidate, const Result<Workshop::Judged>& judged, std::int64_t now,
               std::vector<RecordDraft>& records) {
    catalog::Experiment trial = detail::trial_of(next, candidate, recipe_name(candidate.proposal));
    candidate.evaluation = fmt::format("{}.{}", next.options.id, candidate.id);
    if (!judged) {
      trial.status = "failed";
      trial.attribution = to_string(judged.error());
      drop(candidate, "it cannot be evaluated: " + to_string(judged.error()));
    } else {
      next.spent.money += judged->money, next.spent.seconds += judged->seconds;
      const evaluate::Evaluation& evaluation = judged->evaluation;
      candidate.saving_per_month = judged->saving_per_month;
      candidate.saving_lower = judged->saving_lower;
      candidate.margins = detail::margins_of(evaluation);
      detail::describe_trial(trial, evaluation, *judged);
      const std::string broken = detail::broken_rule(evaluation);
      const CycleOptions& options = next.options;
      if (!options.suite.empty() && evaluation.suite_fingerprint != options.suite)
        drop(candidate, "it was evaluated on another suite than the frozen one");
      else if (!evaluation.verdict.passed())
        drop(candidate, "it does not pass: " + broken);
      else if (about_money(next.trigger.kind) && !(judged->saving_lower > options.least_saving))
        drop(candidate, fmt::format("it saves {:.4g} a month at least, {:.4g} are needed", judged->saving_lower,
                                    options.least_saving));
      else
        candidate.state = CandidateState::passed;
      if (candidate.state == CandidateState::passed)
        candidate.reason = fmt::format("it passes, and saves {:.4g} a month", judged->saving_per_month);
      trial.status = candidate.state == CandidateState::passed ? "won" : "lost";
      trial.attribution = candidate.reason;
      records.push_back({.kind = "evaluation",
                         .id = candidate.evaluation,
                         .name = fmt::format("{} against {}", evaluation.candidate, evaluation.baseline),
                         .owner = options.author,
                         .status = to_string(evaluation.verdict.outcome),
                         .author = options.author,
                         .time = now,
                         .body = evaluate::to_json(evaluation),
                         .links = {candidate.artifact}});
    }
    MCOMP_TRY(record, catalog::draft(trial, {.id = candidate.evaluation, .author = next.options.author, .time = now}));
    records.push_back(std::move(record));
    return {};
  }

  Result<CycleStep> search(std::int64_t now) {
    CycleState next = state_;
    Attempt& a = attempt(next, "search");
    if (a.begun >= most_begun && !a.done) {
      next.searched = true;
      next.phase = Phase::trying;
      return done(std::move(next), now, fmt::format("the search was begun {} times and never ended", a.begun));
    }
    ++a.begun;
    MCOMP_CHECK(keep(next, now, "begins to search"));
    SearchRequest request{
        .family = state_.options.family, .model = state_.options.model, .recipe = state_.options.recipe};
    request.limit = state_.options.candidates;
    for (const Candidate& candidate : state_.candidates) request.tried.insert(candidate.proposal.fingerprint);
    const auto proposals = search_->propose(*catalog_, request);
    next = state_;
    attempt(next, "search").done = true;
    next.searched = true;
    next.phase = Phase::trying;
    if (!proposals) return done(std::move(next), now, "the search has failed: " + to_string(proposals.error()));
    for (const Proposal& proposal : *proposals) {
      if (!request.tried.insert(proposal.fingerprint).second) continue;
      next.candidates.push_back({.id = fmt::format("c{}", next.candidates.size() + 1), .proposal = proposal});
    }
    const auto added = next.candidates.size() - state_.candidates.size();
    return done(std::move(next), now, fmt::format("the search proposes {} recipes", added));
  }

  Result<CycleStep> decide(std::int64_t now) {
    CycleState next = state_;
    const Candidate* best = nullptr;
    for (const Candidate& candidate : next.candidates)
      if (candidate.state == CandidateState::passed && (!best || candidate.saving_lower > best->saving_lower))
        best = &candidate;
    catalog::Decision decision = detail::decision_of(next, best);
    std::string what = "nothing is released: no candidate has passed";
    if (best) {
      next.chosen = best->id;
      next.phase = Phase::releasing;
      next.rollout = rollout::to_json(rollout::begin_rollout(best->artifact, next.options.baseline, now));
      what = fmt::format("{} is to be released: {}", best->id, best->reason);
    } else {
      next.phase = Phase::closed;
      next.outcome = "kept";
    }
    MCOMP_TRY(record, catalog::draft(decision, {.id = next.options.id, .author = next.options.author, .time = now}));
    return done(std::move(next), now, what, {std::move(record)});
  }

  [[nodiscard]] const Candidate& chosen() const {
    return *std::ranges::find(state_.candidates, state_.chosen, &Candidate::id);
  }

  Result<rollout::RolloutState> rollout_state() const {
    return pending_ ? *pending_ : rollout::RolloutState::parse(state_.rollout, "cycle: rollout");
  }

  Result<CycleStep> release(std::int64_t now) {
    MCOMP_TRY(state, rollout_state());
    if (goes_back(state)) return happen({}, now); // decided before, and not served or written yet
    // What is seen counts even where approvals cannot be asked for: without them nothing goes forward, back it goes.
    MCOMP_TRY(seen, workshop_->observe(state_, state, now));
    Result<std::vector<rollout::RolloutEvent>> approved = std::vector<rollout::RolloutEvent>();
    if (state_.phase == Phase::releasing) approved = approvals(state, now);
    std::vector<rollout::RolloutEvent> all = approved ? *approved : std::vector<rollout::RolloutEvent>();
    if (approved && state.stage == rollout::Stage::draft) {
      rollout::RolloutEvent start;
      start.kind = rollout::EventKind::start;
      start.time = now;
      all.push_back(start);
    }
    all.insert(all.end(), seen.begin(), seen.end());
    rollout::RolloutEvent clock;
    clock.time = now;
    all.push_back(clock);
    MCOMP_TRY(step, happen(all, now));
    if (!approved && state_.phase != Phase::closed) return approved.error();
    return step;
  }

  /// Approvals that count, as events of the release, each once.
  Result<std::vector<rollout::RolloutEvent>> approvals(const rollout::RolloutState& state, std::int64_t now) {
    MCOMP_TRY(envelopes, workshop_->approvals(state_, state.artifact));
    MCOMP_TRY(governance, catalog_->governance());
    std::vector<rollout::RolloutEvent> events;
    for (const catalog::Approval& approval :
         detail::counting_approvals(governance, state_.options, state.artifact, envelopes, now))
      for (const rollout::ApprovalNeed& need : state_.options.policy.approvals) {
        const rollout::GivenApproval given{.change = need.change, .approver = approval.signer, .role = approval.role};
        if (std::ranges::find(state.approvals, given) != state.approvals.end()) continue;
        rollout::RolloutEvent event;
        event.kind = rollout::EventKind::approve;
        event.time = now;
        event.artifact = state.artifact;
        event.stage = need.change;
        event.approver = approval.signer, event.role = approval.role;
        events.push_back(event);
      }
    return events;
  }

  /// Whether a state says anything that must not be lost: not the times of heartbeats and clocks alone.
  static bool matters(rollout::RolloutState before, const rollout::RolloutState& after) {
    before.now = after.now, before.alive = after.alive, before.events = after.events;
    return before != after;
  }

  static bool goes_back(const rollout::RolloutState& state) {
    return state.stage == rollout::Stage::rolled_back || state.stage == rollout::Stage::failed;
  }

  Result<CycleStep> happen(const std::vector<rollout::RolloutEvent>& events, std::int64_t now) {
    MCOMP_TRY(written, rollout::RolloutState::parse(state_.rollout, "cycle: rollout"));
    MCOMP_TRY(state, rollout_state());
    for (const rollout::RolloutEvent& event : events) {
      if (goes_back(state)) break; // for the first reason; nothing comes after
      rollout::Transition transition = rollout::advance(state, event, state_.options.policy);
      // What was refused, or has changed nothing but the time, is not history.
      if (transition.refusal.empty() && (transition.state.alive != state.alive || matters(state, transition.state)))
        pending_events_.push_back(rollout::to_json(event));
      state = std::move(transition.state);
      for (const rollout::RolloutAction& action : transition.actions)
        traffic_due_ = traffic_due_ || action.kind == rollout::RolloutAction::Kind::set_traffic;
    }
    // Kept until it is written and served: what has been observed is not told again when that fails.
    pending_ = state;
    const bool watched = state_.phase == Phase::watching && state.stage == rollout::Stage::full &&
                         now - state.since >= state_.options.watch_seconds;
    if (!matters(written, state) && !traffic_due_ && !watched && pending_events_.size() < most_pending)
      return CycleStep{state_.phase, to_string(state), true};
    return settle(state, watched, now);
  }

  /// Writes what the release has come to, and lets it become true.
  Result<CycleStep> settle(const rollout::RolloutState& state, bool watched, std::int64_t now) {
    using rollout::Stage;
    CycleState next = state_;
    next.rollout = rollout::to_json(state);
    next.rollout_events = pending_events_;
    std::vector<RecordDraft> records;
    // Going back is never kept waiting: first what serves, then what is written of it.
    if (goes_back(state)) {
      MCOMP_CHECK(workshop_->set_traffic(state_, state.artifact, 0, 0));
      MCOMP_CHECK(take_back(state.reason, now));
      next.phase = Phase::closed;
      next.outcome = "rolled back";
      MCOMP_CHECK(conclude(next, false, state.reason, now, records));
      MCOMP_TRY(step, done(std::move(next), now, "rolled back: " + state.reason, std::move(records)));
      pending_.reset(), pending_events_.clear(), traffic_due_ = false;
      return step;
    }
    if (state.stage == Stage::full && state_.phase == Phase::releasing) {
      // Refused by the policy, the release goes back: nothing serves everybody that was not approved.
      if (const Status promoted = promote(state, now); !promoted) {
        if (promoted.error().code() != ErrorCode::invalid_argument) return promoted.error();
        rollout::RolloutEvent event;
        event.kind = rollout::EventKind::rollback;
        event.time = now;
        event.text = "it may not be promoted: " + to_string(promoted.error());
        return happen({event}, now);
      }
      next.phase = Phase::watching;
    }
    std::string what = to_string(state);
    const bool retired = state.stage == Stage::retired;
    if (watched || retired) {
      // Retired before it was promoted, it never served everybody, and says nothing of its recipe.
      const bool served = state_.phase == Phase::watching;
      next.phase = Phase::closed;
      next.outcome = served ? "released" : "kept";
      if (served)
        MCOMP_CHECK(conclude(next, true, retired ? state.reason : "released, and watched in service", now, records));
      what = retired ? to_string(state) : fmt::format("released: {} serves everybody", state.artifact);
    }
    MCOMP_CHECK(keep(std::move(next), now, what, std::move(records)));
    pending_.reset(), pending_events_.clear();
    if (retired) return CycleStep{state_.phase, what, false}; // the traffic is another's
    if (const Status set = workshop_->set_traffic(state_, state.artifact, exposed_share(state, state_.options.policy),
                                                  shadow_share(state, state_.options.policy));
        !set) {
      rollout::RolloutEvent event;
      event.kind = rollout::EventKind::breakdown;
      event.time = now;
      event.text = to_string(set.error());
      if (state_.phase == Phase::closed) return set.error();
      return happen({event}, now);
    }
    traffic_due_ = false;
    return CycleStep{state_.phase, what, false};
  }

  Status promote(const rollout::RolloutState& state, std::int64_t now) {
    const std::string& alias = state_.options.alias;
    if (const auto named = catalog_->alias(alias)) {
      if (named->artifact == state.artifact) return {}; // before a crash
    } else if (named.error().code() != ErrorCode::not_found) {
      return named.error();
    }
    MCOMP_TRY(envelopes, workshop_->approvals(state_, state.artifact));
    const auto promoted = catalog_->promote({.alias = alias,
                                             .artifact = state.artifact,
                                             .author = state_.options.author,
                                             .time = now,
                                             .reason = promotion_reason()},
                                            envelopes);
    if (!promoted) return promoted.error();
    return {};
  }

  [[nodiscard]] std::string promotion_reason() const { return "cycle " + state_.options.id; }

  Status take_back(const std::string& reason, std::int64_t now) {
    const auto named = catalog_->alias(state_.options.alias);
    if (!named && named.error().code() == ErrorCode::not_found) return {};
    if (!named) return named.error();
    // Promoted by this cycle, though its record may not know yet: the process may have died between the two.
    if (named->artifact != chosen().artifact || named->reason != promotion_reason()) return {};
    const auto back = catalog_->rollback(
        {.alias = state_.options.alias, .author = state_.options.author, .time = now, .reason = reason});
    if (!back && back.error().code() != ErrorCode::not_found) return back.error();
    return {};
  }

  /// The next versions of the trial and, where it won, of the recipe, which is how later cycles know of it.
  Status conclude(const CycleState& next, bool won, const std::string& reason, std::int64_t now,
                  std::vector<RecordDraft>& records) {
    const Candidate& candidate = chosen();
    MCOMP_TRY(record, catalog_->get("experiment", candidate.evaluation));
    if (!record.redacted) {
      MCOMP_TRY(trial, catalog::parse_experiment(record.body));
      trial.status = won ? "won" : "lost";
      trial.attribution += "; " + reason;
      MCOMP_TRY(draft,
                catalog::draft(
                    trial,
                    {.id = record.id, .author = next.options.author, .time = now, .expected_version = record.version}));
      records.push_back(std::move(draft));
    }
    if (candidate.proposal.recipe_id.empty()) return {};
    const auto recipe = catalog_->get("recipe", candidate.proposal.recipe_id);
    if (!recipe && recipe.error().code() == ErrorCode::not_found) return {};
    if (!recipe) return recipe.error();
    if (recipe->redacted) return {};
    MCOMP_TRY(entry, catalog::parse_recipe_entry(recipe->body));
    entry.uses.push_back({fmt::format("{} {}", next.options.family, next.options.alias),
                          fmt::format("{}: {}", won ? "released" : "rolled back", won ? candidate.reason : reason)});
    entry.change = "used by cycle " + next.options.id;
    MCOMP_TRY(draft,
              catalog::draft(
                  entry,
                  {.id = recipe->id, .author = next.options.author, .time = now, .expected_version = recipe->version}));
    records.push_back(std::move(draft));
    return {};
  }

  RecipeSearch default_search_;
  catalog::Catalog* catalog_;
  Workshop* workshop_;
  const SearchStep* search_;
  Context context_;
  CycleState state_;
  std::int64_t version_;
  /// What has happened to the release since the last version: heartbeats and clocks, which are written with the next
  /// change that matters, and what could not be written or served yet.
  std::optional<rollout::RolloutState> pending_;
  std::vector<std::string> pending_events_;
  bool traffic_due_ = false; ///< it may not be as the state says
};

Cycle::Cycle(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}
Cycle::~Cycle() = default;
Cycle::Cycle(Cycle&&) noexcept = default;
Cycle& Cycle::operator=(Cycle&&) noexcept = default;

Result<Cycle> Cycle::begin(catalog::Catalog& catalog, const Trigger& trigger, const CycleOptions& options,
                           Workshop& workshop, std::int64_t now, const SearchStep* search, const Context& context) {
  MCOMP_CHECK(options.check());
  if (!std::isfinite(trigger.value) || !std::isfinite(trigger.limit))
    return Error(ErrorCode::invalid_argument, "cycle: trigger", "value or limit is not finite",
                 "give 0 where there is none");
  CycleState state;
  state.options = options;
  state.trigger = trigger;
  auto worker = std::make_unique<Worker>(catalog, workshop, search, context, std::move(state), 0);
  MCOMP_CHECK(worker->begin(now));
  return Cycle(std::move(worker));
}

Result<Cycle> Cycle::resume(catalog::Catalog& catalog, const std::string& id, Workshop& workshop, std::int64_t now,
                            const SearchStep* search, const Context& context) {
  MCOMP_TRY(record, catalog.get(cycle_kind, id));
  if (record.redacted)
    return Error(ErrorCode::not_found, "cycle " + id, "its record was redacted", "begin another one");
  MCOMP_TRY(state, CycleState::parse(record.body, "cycle " + id));
  auto worker = std::make_unique<Worker>(catalog, workshop, search, context, std::move(state), record.version);
  MCOMP_CHECK(worker->go_on(now));
  return Cycle(std::move(worker));
}

Result<CycleStep> Cycle::step(std::int64_t now) {
  return worker_->step(now);
}
Result<CycleStep> Cycle::roll_back(std::int64_t now, const std::string& reason) {
  return worker_->roll_back(now, reason);
}
const CycleState& Cycle::state() const noexcept {
  return worker_->state();
}

Result<std::vector<UnusedMargin>> unused_margins(const catalog::Catalog& catalog, std::int64_t cycles, double share) {
  if (cycles < 1 || !(share >= 0 && share < 1))
    return Error(ErrorCode::invalid_argument, "unused_margins", "no cycle, or a share outside [0, 1)",
                 "give at least one cycle");
  std::map<std::string, UnusedMargin> found;
  std::int64_t released = 0;
  constexpr std::int64_t page = 100;
  for (std::int64_t offset = 0; released < cycles; offset += page) {
    catalog::RecordQuery query{.kind = cycle_kind, .status = to_string(Phase::closed), .limit = page};
    query.offset = offset;
    MCOMP_TRY(records, catalog.find(query));
    for (const Record& record : records) {
      if (record.redacted || released >= cycles) continue;
      MCOMP_TRY(state, CycleState::parse(record.body, "cycle " + record.id));
      if (state.outcome != "released") continue;
      ++released;
      const auto chosen = std::ranges::find(state.candidates, state.chosen, &Candidate::id);
      if (chosen == state.candidates.end()) continue;
      for (const MarginUse& margin : chosen->margins) {
        UnusedMargin& all = found[margin.criterion];
        // The newest says what is allowed.
        if (all.cycles++ == 0) all.criterion = margin.criterion, all.allowed = margin.allowed;
        all.most_used = std::max(all.most_used, margin.used);
      }
    }
    if (std::ssize(records) < page) break;
  }
  std::vector<UnusedMargin> unused;
  for (const auto& [name, margin] : found)
    if (margin.cycles >= cycles && margin.most_used <= share * margin.allowed) unused.push_back(margin);
  return unused;
}

} // namespace mcomp::inline v0::loop
