#include "mcomp/rollout/guardrail.hpp"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "rollout/guardrail_rules.hpp"

namespace mcomp::inline v0::rollout {

namespace {

using AnyRule = std::variant<detail::PairedLoss, detail::BadShare, detail::GroupLoss, detail::ConfidenceFloor,
                             detail::Anomalies, detail::Burning, detail::Heart>;

constexpr detail::BadShare::Kind slow = {"latency",
                                         [](const GuardrailCounts& counts) {
                                           return stats::SuccessCounts{counts.slow, counts.requests};
                                         },
                                         false};
constexpr detail::BadShare::Kind wrong_answers = {
    "accuracy floor",
    [](const GuardrailCounts& counts) {
      return stats::SuccessCounts{counts.candidate.trials - counts.candidate.successes, counts.candidate.trials};
    },
    true};
constexpr detail::BadShare::Kind unsatisfied = {"satisfaction floor",
                                                [](const GuardrailCounts& counts) {
                                                  return stats::SuccessCounts{counts.candidate_users.trials -
                                                                                  counts.candidate_users.successes,
                                                                              counts.candidate_users.trials};
                                                },
                                                true};
constexpr detail::GroupLoss::Kind accuracy = {"accuracy", &GuardrailCounts::baseline, &GuardrailCounts::candidate};
constexpr detail::GroupLoss::Kind satisfaction = {"satisfaction", &GuardrailCounts::baseline_users,
                                                  &GuardrailCounts::candidate_users};

constexpr std::int64_t most = std::int64_t{1} << 40;

/// What is wrong with counts, empty where nothing is.
const char* fault(const GuardrailCounts& counts) {
  const stats::PairedCounts& pairs = counts.pairs;
  for (const std::int64_t count :
       {pairs.both_right, pairs.only_baseline_right, pairs.only_candidate_right, pairs.both_wrong, counts.requests,
        counts.slow, counts.failed, counts.anomalous, counts.estimates})
    if (count < 0 || count > most) return "a count is negative or above 2^40";
  if (std::max({counts.slow, counts.failed, counts.anomalous}) > counts.requests)
    return "more requests are slow, failed or anomalous than there are";
  for (const stats::SuccessCounts& group :
       {counts.baseline, counts.candidate, counts.baseline_users, counts.candidate_users})
    if (!(group.successes >= 0 && group.successes <= group.trials && group.trials <= most))
      return "a group has more successes than trials, or one of them is negative or above 2^40";
  if (!(counts.time >= 0 && counts.time <= 1e15)) return "the time is not within 0 and 10^15 seconds";
  if (!(counts.confidence >= 0 && counts.confidence <= 1)) return "the confidence is not within [0, 1]";
  return "";
}

int tests_of(const GuardrailOptions& options) {
  return int{options.pairs.has_value()} + int{options.latency.has_value()} + int{options.accuracy.has_value()} +
         int{options.accuracy_floor.has_value()} + int{options.confidence.has_value()} +
         int{options.satisfaction.has_value()} + int{options.satisfaction_floor.has_value()} +
         int{options.anomaly.has_value()};
}

} // namespace

Status GuardrailCounts::check() const {
  if (const char* rule = fault(*this); *rule != '\0')
    return Error(ErrorCode::invalid_value, "counts", rule, "give what was seen since the last look");
  return {};
}

struct Guardrail::State {
  int tests = 0;
  std::vector<AnyRule> rules; ///< that are on
  std::string breach;
};

Guardrail::Guardrail(std::unique_ptr<State> state) : state_(std::move(state)) {}
Guardrail::~Guardrail() = default;
Guardrail::Guardrail(Guardrail&&) noexcept = default;
Guardrail& Guardrail::operator=(Guardrail&&) noexcept = default;
Guardrail::Guardrail(const Guardrail& other) : state_(std::make_unique<State>(*other.state_)) {}
Guardrail& Guardrail::operator=(const Guardrail& other) {
  if (this != &other) state_ = std::make_unique<State>(*other.state_);
  return *this;
}

Result<Guardrail> Guardrail::create(const GuardrailOptions& options) {
  const auto wrong = [](const char* subject, const char* rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, subject, rule, remedy);
  };
  if (!(options.alpha > 0 && options.alpha < 0.5))
    return wrong("alpha", "it is not within (0, 1/2)", "give a probability");
  const int tests = tests_of(options);
  if (tests == 0 && !options.burn && !options.heartbeat)
    return wrong("guardrail", "no rule is switched on", "switch one on: without, no release ever goes back");
  const double alpha = options.alpha / std::max(tests, 1);
  auto state = std::make_unique<State>();
  state->tests = tests;
  const auto add = [&](auto rule) -> Status {
    if (!rule) return rule.error();
    state->rules.emplace_back(std::move(*rule));
    return {};
  };
  if (const auto& o = options.pairs) MCOMP_CHECK(add(detail::PairedLoss::create(*o, alpha)));
  if (const auto& o = options.accuracy) MCOMP_CHECK(add(detail::GroupLoss::create(accuracy, *o, alpha)));
  if (const auto& o = options.accuracy_floor)
    MCOMP_CHECK(add(detail::BadShare::create(wrong_answers, 1 - o->floor, o->planned, o->least, alpha)));
  if (const auto& o = options.confidence) MCOMP_CHECK(add(detail::ConfidenceFloor::create(*o, alpha)));
  if (const auto& o = options.latency) {
    if (!(o->tail < 0.5)) return wrong("latency: tail", "it is not within (0, 1/2)", "give a share");
    MCOMP_CHECK(add(detail::BadShare::create(slow, o->tail, o->planned_requests, o->least, alpha)));
  }
  if (const auto& o = options.satisfaction) MCOMP_CHECK(add(detail::GroupLoss::create(satisfaction, *o, alpha)));
  if (const auto& o = options.satisfaction_floor)
    MCOMP_CHECK(add(detail::BadShare::create(unsatisfied, 1 - o->floor, o->planned, o->least, alpha)));
  if (const auto& o = options.anomaly) MCOMP_CHECK(add(detail::Anomalies::create(*o, alpha)));
  if (const auto& o = options.burn) MCOMP_CHECK(add(detail::Burning::create(*o)));
  if (const auto& o = options.heartbeat) MCOMP_CHECK(add(detail::Heart::create(*o)));
  return Guardrail(std::move(state));
}

Status Guardrail::observe(const GuardrailCounts& counts) {
  MCOMP_CHECK(counts.check());
  for (AnyRule& rule : state_->rules) {
    std::visit([&](auto& one) { one.take(counts); }, rule);
    if (state_->breach.empty()) state_->breach = std::visit([](const auto& one) { return one.breach(); }, rule);
  }
  return {};
}

Gate Guardrail::verdict() const noexcept {
  if (!state_->breach.empty()) return Gate::fail;
  const auto seen = [](const AnyRule& rule) { return std::visit([](const auto& one) { return one.seen(); }, rule); };
  const auto enough = [](const AnyRule& rule) {
    return std::visit([](const auto& one) { return one.enough(); }, rule);
  };
  if (std::ranges::none_of(state_->rules, seen)) return Gate::no_data;
  return std::ranges::all_of(state_->rules, enough) ? Gate::pass : Gate::inconclusive;
}

const std::string& Guardrail::breach() const noexcept {
  return state_->breach;
}

int Guardrail::tests() const noexcept {
  return state_->tests;
}

std::string Guardrail::undecided() const {
  std::string names;
  for (const AnyRule& rule : state_->rules)
    std::visit(
        [&](const auto& one) {
          if (!one.enough()) names += (names.empty() ? "" : ", ") + std::string(one.name());
        },
        rule);
  return names;
}

RolloutEvent Guardrail::gate_event(const RolloutState& state, std::int64_t time) const {
  RolloutEvent event;
  event.kind = EventKind::gate;
  event.time = time;
  event.text = breach();
  event.stage = state.stage == Stage::paused ? state.held : state.stage;
  event.step = state.step;
  event.verdict = verdict();
  return event;
}

RolloutEvent heartbeat_event(const monitor::Heartbeat& heart, std::int64_t now) {
  RolloutEvent event;
  event.time = now;
  switch (heart.pulse(static_cast<double>(now))) {
  case monitor::Pulse::alive:
    event.kind = EventKind::heartbeat;
    break;
  case monitor::Pulse::lost:
    event.kind = EventKind::rollback;
    event.text = fmt::format("the heartbeat is lost after {} beats", heart.beats());
    break;
  case monitor::Pulse::unknown:
    event.kind = EventKind::clock;
    break;
  }
  return event;
}

} // namespace mcomp::inline v0::rollout
