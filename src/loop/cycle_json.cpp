// The JSON of a cycle's state.

#include <algorithm>
#include <array>

#include "core/json_fields.hpp"
#include "mcomp/loop/cycle.hpp"

namespace mcomp::inline v0::loop {

namespace {

using mcomp::detail::Is;

constexpr const char* cycle_schema = "mcomp-cycle-1";

constexpr std::array<std::pair<Phase, const char*>, 6> phase_words = {{{Phase::trying, "trying"},
                                                                       {Phase::searching, "searching"},
                                                                       {Phase::deciding, "deciding"},
                                                                       {Phase::releasing, "releasing"},
                                                                       {Phase::watching, "watching"},
                                                                       {Phase::closed, "closed"}}};
constexpr std::array<std::pair<CandidateState, const char*>, 5> candidate_words = {
    {{CandidateState::waiting, "waiting"},
     {CandidateState::compressed, "compressed"},
     {CandidateState::proxied, "proxied"},
     {CandidateState::passed, "passed"},
     {CandidateState::dropped, "dropped"}}};

} // namespace

// Found by the types of their arguments, and so not in a namespace without name.

static mcomp::detail::Words<Phase> words(Phase) {
  return phase_words;
}
static mcomp::detail::Words<CandidateState> words(CandidateState) {
  return candidate_words;
}

template <class Fields, Is<Spending> T> static void describe(Fields& f, T& s) {
  f("evaluations", s.evaluations), f("money", s.money), f("seconds", s.seconds);
}
template <class Fields, Is<Budget> T> static void describe(Fields& f, T& b) {
  f("evaluations", b.evaluations), f("money", b.money), f("seconds", b.seconds);
}
template <class Fields, Is<MarginUse> T> static void describe(Fields& f, T& m) {
  f("criterion", m.criterion), f("allowed", m.allowed), f("used", m.used);
}
template <class Fields, Is<Proposal> T> static void describe(Fields& f, T& p) {
  f("recipe_id", p.recipe_id), f.document("recipe", p.recipe), f("fingerprint", p.fingerprint), f("reason", p.reason);
  f("changes", p.changes), f("promise", p.promise);
}
template <class Fields, Is<Candidate> T> static void describe(Fields& f, T& c) {
  f("id", c.id), f("proposal", c.proposal), f("state", c.state), f("artifact", c.artifact), f("proxies", c.proxies);
  f("evaluation", c.evaluation), f("margins", c.margins), f("saving_per_month", c.saving_per_month);
  f("saving_lower", c.saving_lower), f("reason", c.reason);
}
template <class Fields, Is<Attempt> T> static void describe(Fields& f, T& a) {
  f("step", a.step), f("begun", a.begun), f("done", a.done);
}
template <class Fields, Is<CycleOptions> T> static void describe(Fields& f, T& o) {
  f("id", o.id), f("family", o.family), f("model", o.model), f.document("recipe", o.recipe), f("baseline", o.baseline);
  f("alias", o.alias), f("author", o.author), f("budget", o.budget), f("candidates", o.candidates);
  f("side_by_side", o.side_by_side), f("search_for_money", o.search_for_money), f("least_saving", o.least_saving);
  f("suite", o.suite), f.value("policy", o.policy), f("watch_seconds", o.watch_seconds);
}
template <class Fields, Is<CycleState> T> static void describe(Fields& f, T& s) {
  f("options", s.options), f.value("trigger", s.trigger), f("phase", s.phase), f("began", s.began);
  f("changed", s.changed), f("candidates", s.candidates), f("attempts", s.attempts), f("spent", s.spent);
  f("searched", s.searched), f("chosen", s.chosen), f.document("rollout", s.rollout);
  f("rollout_events", s.rollout_events), f("outcome", s.outcome), f("last", s.last), f("steps", s.steps);
}

std::string to_string(Phase phase) {
  return mcomp::detail::word_of(words(phase), phase);
}
std::string to_string(CandidateState state) {
  return mcomp::detail::word_of(words(state), state);
}

namespace {

/// What a cycle that goes on from a state takes for granted.
Status sound(const CycleState& state) {
  const auto wrong = [](const char* subject, const char* rule) {
    return Error(ErrorCode::invalid_value, subject, rule, "take the version before, or begin another cycle");
  };
  if (state.options.side_by_side < 1) return wrong("options.side_by_side", "it is below 1");
  if (state.phase != Phase::releasing && state.phase != Phase::watching) return {};
  if (std::ranges::find(state.candidates, state.chosen, &Candidate::id) == state.candidates.end())
    return wrong("chosen", "a release is under way, and it is none of the candidates");
  const auto rollout = rollout::RolloutState::parse(state.rollout, "rollout");
  return rollout ? Status() : rollout.error();
}

} // namespace

Result<CycleState> CycleState::parse(std::string_view json, const std::string& subject) {
  return mcomp::detail::read_document<CycleState>(json, cycle_schema, subject, sound);
}
std::string to_json(const CycleState& state) {
  return mcomp::detail::write_document(state, cycle_schema);
}

} // namespace mcomp::inline v0::loop
