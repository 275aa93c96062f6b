#include "mcomp/loop/trigger.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/json_fields.hpp"

namespace mcomp::inline v0::loop {

namespace {

constexpr std::array<std::pair<TriggerKind, const char*>, 10> kind_words = {{{TriggerKind::new_model, "new_model"},
                                                                             {TriggerKind::drift, "drift"},
                                                                             {TriggerKind::calibration, "calibration"},
                                                                             {TriggerKind::cost, "cost"},
                                                                             {TriggerKind::price, "price"},
                                                                             {TriggerKind::traffic, "traffic"},
                                                                             {TriggerKind::hardware, "hardware"},
                                                                             {TriggerKind::target, "target"},
                                                                             {TriggerKind::cadence, "cadence"},
                                                                             {TriggerKind::manual, "manual"}}};
constexpr const char* trigger_schema = "mcomp-trigger-1";
constexpr const char* observation_schema = "mcomp-observation-1";
constexpr const char* rules_schema = "mcomp-trigger-rules-1";
constexpr const char* state_schema = "mcomp-watch-state-1";

} // namespace

// Found by the types of their arguments, and so not in a namespace without name.

static mcomp::detail::Words<TriggerKind> words(TriggerKind) {
  return kind_words;
}

using mcomp::detail::Is;

template <class Fields, Is<Trigger> T> static void describe(Fields& f, T& t) {
  f("kind", t.kind), f("subject", t.subject), f("reason", t.reason);
  f("value", t.value), f("limit", t.limit), f("time", t.time);
}
template <class Fields, Is<TargetStatus> T> static void describe(Fields& f, T& t) {
  f("id", t.id), f("version", t.version), f("at_least", t.at_least), f("bound", t.bound), f("measured", t.measured);
}
template <class Fields, Is<Situation> T> static void describe(Fields& f, T& s) {
  f("decided", s.decided), f("model", s.model), f("calibration_error", s.calibration_error);
  f("cost_per_million", s.cost_per_million), f("cost_upper", s.cost_upper), f("prices", s.prices);
  f("hours", s.hours), f("traffic_per_second", s.traffic_per_second), f("hardware", s.hardware);
  f("targets", s.targets);
}
template <class Fields, Is<DriftSignal> T> static void describe(Fields& f, T& d) {
  f("subject", d.subject), f("distance", d.distance), f("p_value", d.p_value), f("samples", d.samples);
}
template <class Fields, Is<CalibrationSignal> T> static void describe(Fields& f, T& c) {
  f("error", c.error), f("lower", c.lower), f("samples", c.samples);
}
template <class Fields, Is<CostSignal> T> static void describe(Fields& f, T& c) {
  f("per_million", c.per_million), f("requests", c.requests);
}
template <class Fields, Is<HardwareOffer> T> static void describe(Fields& f, T& h) {
  f("fingerprint", h.fingerprint), f("name", h.name), f("per_million", h.per_million);
  f("other_per_million", h.other_per_million);
}
template <class Fields, Is<ManualRequest> T> static void describe(Fields& f, T& m) {
  f("id", m.id), f("author", m.author), f("reason", m.reason);
}
template <class Fields, Is<Observation> T> static void describe(Fields& f, T& o) {
  f("time", o.time), f("model", o.model), f.maybe("drift", o.drift), f("calibration", o.calibration);
  f("cost", o.cost), f.maybe("prices", o.prices), f("traffic_per_second", o.traffic_per_second);
  f.maybe("hardware", o.hardware), f.maybe("targets", o.targets), f.maybe("requests", o.requests);
}
template <class Fields, Is<TriggerRules> T> static void describe(Fields& f, T& r) {
  f.maybe("drift_distance", r.drift_distance), f.maybe("drift_p_value", r.drift_p_value);
  f.maybe("drift_samples", r.drift_samples), f.maybe("drift_windows", r.drift_windows);
  f.maybe("calibration_increase", r.calibration_increase), f.maybe("calibration_samples", r.calibration_samples);
  f.maybe("cost_increase", r.cost_increase), f.maybe("cost_requests", r.cost_requests);
  f.maybe("price_change", r.price_change), f.maybe("least_money", r.least_money);
  f.maybe("traffic_change", r.traffic_change), f.maybe("traffic_periods", r.traffic_periods);
  f.maybe("hardware_saving", r.hardware_saving), f.maybe("target_room", r.target_room);
  f.maybe("cadence_seconds", r.cadence_seconds);
}
template <class Fields, Is<WatchState> T> static void describe(Fields& f, T& s) {
  f("situation", s.situation), f("drift_row", s.drift_row), f("traffic_row", s.traffic_row), f("fired", s.fired);
  f("latest", s.latest);
}

namespace {

Error bad_value(std::string subject, const char* rule) {
  return Error(ErrorCode::invalid_value, std::move(subject), rule, "leave it out, or give what was measured");
}

Status check(const Observation& o) {
  const auto amount = [](const std::string& what, double value) -> Status {
    if (std::isfinite(value) && value >= 0) return {};
    return bad_value(what, "it is negative or not finite");
  };
  for (const DriftSignal& signal : o.drift) {
    MCOMP_CHECK(amount("drift of " + signal.subject + ": distance", signal.distance));
    if (!(signal.p_value >= 0 && signal.p_value <= 1))
      return bad_value("drift of " + signal.subject + ": p_value", "it is not within 0 and 1");
  }
  if (o.calibration && !(std::isfinite(o.calibration->error) && std::isfinite(o.calibration->lower)))
    return bad_value("calibration", "it is not finite");
  if (o.cost) MCOMP_CHECK(amount("cost", o.cost->per_million));
  for (const auto& [instance, price] : o.prices) MCOMP_CHECK(amount("price of " + instance, price));
  if (o.traffic_per_second) MCOMP_CHECK(amount("traffic_per_second", *o.traffic_per_second));
  for (const HardwareOffer& offer : o.hardware) {
    MCOMP_CHECK(amount("hardware " + offer.name + ": per_million", offer.per_million));
    MCOMP_CHECK(amount("hardware " + offer.name + ": other_per_million", offer.other_per_million));
  }
  for (const TargetStatus& target : o.targets)
    if (!std::isfinite(target.bound) || !std::isfinite(target.measured))
      return bad_value("target " + target.id, "bound or measured value is not finite");
  return {};
}

class Watch {
 public:
  Watch(const WatchState& state, const Observation& observation, const TriggerRules& rules)
      : step_{.state = state, .triggers = {}}, now_(observation), rules_(rules), was_(step_.state.situation) {
    step_.state.latest = std::max(state.latest, observation.time);
  }

  WatchStep run() {
    new_model();
    drift();
    calibration();
    cost();
    price();
    traffic();
    hardware();
    target();
    cadence();
    manual();
    return std::move(step_);
  }

 private:
  /// @param cause what is named once only
  void fire(TriggerKind kind, const std::string& cause, std::string subject, std::string reason, double value,
            double limit) {
    if (!step_.state.fired.insert(fmt::format("{}:{}", to_string(kind), cause)).second) return;
    step_.triggers.push_back({kind, std::move(subject), std::move(reason), value, limit, step_.state.latest});
  }

  void new_model() {
    if (!now_.model || now_.model->empty() || *now_.model == was_.model) return;
    fire(TriggerKind::new_model, *now_.model, *now_.model,
         fmt::format("model {} was delivered, {} is served", *now_.model, was_.model.empty() ? "none" : was_.model), 0,
         0);
  }

  void drift() {
    for (const DriftSignal& signal : now_.drift) {
      if (signal.samples < rules_.drift_samples) continue;
      int& row = step_.state.drift_row[signal.subject];
      // A large sample makes every difference significant: it must also be large.
      const bool moved = signal.distance >= rules_.drift_distance && signal.p_value <= rules_.drift_p_value;
      row = moved ? std::min(row + 1, rules_.drift_windows) : 0;
      if (row >= rules_.drift_windows)
        fire(TriggerKind::drift, signal.subject, signal.subject,
             fmt::format("{} has moved by {:.3f} (from {:.3f} on it matters; p = {:.2g}) for {} windows in a row",
                         signal.subject, signal.distance, rules_.drift_distance, signal.p_value, row),
             signal.distance, rules_.drift_distance);
    }
  }

  void calibration() {
    if (!now_.calibration || !was_.calibration_error || now_.calibration->samples < rules_.calibration_samples) return;
    const double limit = *was_.calibration_error + rules_.calibration_increase;
    if (now_.calibration->lower <= limit) return;
    fire(TriggerKind::calibration, "error", "confidence",
         fmt::format("the calibration error is {:.4f} (at least {:.4f}), it was {:.4f} and may be {:.4f}",
                     now_.calibration->error, now_.calibration->lower, *was_.calibration_error, limit),
         now_.calibration->error, limit);
  }

  void cost() {
    if (!now_.cost || !was_.cost_per_million || now_.cost->requests < rules_.cost_requests) return;
    const double forecast = std::max(*was_.cost_per_million, was_.cost_upper.value_or(*was_.cost_per_million));
    const double limit = forecast * (1 + rules_.cost_increase);
    if (now_.cost->per_million <= limit) return;
    fire(TriggerKind::cost, "per_million", "cost of a request",
         fmt::format("a million requests cost {:.4g}, {:.4g} was forecast (at most {:.4g})", now_.cost->per_million,
                     *was_.cost_per_million, forecast),
         now_.cost->per_million, limit);
  }

  void price() {
    for (const auto& [instance, price] : now_.prices) {
      const auto before = was_.prices.find(instance);
      if (before == was_.prices.end()) continue;
      const double change = price - before->second;
      const auto hours = was_.hours.find(instance);
      const double money = std::abs(change) * (hours == was_.hours.end() ? 0 : hours->second);
      if (std::abs(change) < rules_.price_change * before->second || money < rules_.least_money) continue;
      // A second change of the same price is another cause.
      fire(TriggerKind::price, fmt::format("{}:{}", instance, price), instance,
           fmt::format("an hour of {} costs {:.4g}, {:.4g} before: {:.4g} a month", instance, price, before->second,
                       money),
           price, before->second);
    }
  }

  void traffic() {
    if (!now_.traffic_per_second || !was_.traffic_per_second) return;
    const double before = *was_.traffic_per_second, after = *now_.traffic_per_second;
    int& row = step_.state.traffic_row;
    const double change = after - before;
    const bool moved = std::abs(change) > 0 && std::abs(change) >= rules_.traffic_change * before;
    const int way = change > 0 ? 1 : -1;
    if (!moved)
      row = 0;
    else
      row = row * way > 0 ? std::clamp(row + way, -rules_.traffic_periods, rules_.traffic_periods) : way;
    if (std::abs(row) < rules_.traffic_periods) return;
    fire(TriggerKind::traffic, way > 0 ? "more" : "less", "the service",
         fmt::format("{:.6g} requests a second for {} periods in a row, {:.6g} were forecast", after, std::abs(row),
                     before),
         after, before);
  }

  void hardware() {
    for (const HardwareOffer& offer : now_.hardware) {
      if (was_.hardware.contains(offer.fingerprint)) continue;
      // Both predictions come from one model of latency, so that its error cancels.
      const double saving = offer.other_per_million - offer.per_million;
      if (offer.other_per_million <= 0 || saving < rules_.hardware_saving * offer.other_per_million) continue;
      if (const auto money = monthly(saving); money && *money < rules_.least_money) continue;
      fire(TriggerKind::hardware, offer.fingerprint, offer.name,
           fmt::format("on {} a million requests would cost {:.4g}, where they run now {:.4g}", offer.name,
                       offer.per_million, offer.other_per_million),
           offer.per_million, offer.other_per_million);
    }
  }

  /// What an amount a million requests is in a month, where the traffic is known.
  [[nodiscard]] std::optional<double> monthly(double per_million) const {
    const auto traffic = now_.traffic_per_second ? now_.traffic_per_second : was_.traffic_per_second;
    if (!traffic) return std::nullopt;
    constexpr double month_seconds = 30.0 * 86400;
    return per_million * *traffic * month_seconds / 1e6;
  }

  void target() {
    for (const TargetStatus& target : now_.targets) {
      const auto before = std::ranges::find(was_.targets, target.id, &TargetStatus::id);
      const bool known = before != was_.targets.end();
      if (known && before->version == target.version) continue;
      const double sign = target.at_least ? 1 : -1;
      const double room = sign * (target.measured - target.bound); // >= 0: met
      const std::string cause = fmt::format("{}:{}", target.id, target.version);
      if (room < 0) {
        fire(TriggerKind::target, cause, target.id,
             fmt::format("target {} is {} {:.4g} now, {:.4g} is measured", target.id,
                         target.at_least ? "at least" : "at most", target.bound, target.measured),
             target.measured, target.bound);
        continue;
      }
      if (!known || before->at_least != target.at_least) continue;
      const double old_room = sign * (target.measured - before->bound);
      const double added = room - old_room; // by which the bound is looser
      if (added <= 0 || added < rules_.target_room * std::abs(old_room)) continue;
      fire(TriggerKind::target, cause, target.id,
           fmt::format("target {} was {:.4g} and is {:.4g} now: {:.4g} is measured, which leaves room", target.id,
                       before->bound, target.bound, target.measured),
           target.measured, target.bound);
    }
  }

  void cadence() {
    const double since = static_cast<double>(step_.state.latest) - static_cast<double>(was_.decided);
    const auto limit = static_cast<double>(rules_.cadence_seconds);
    if (limit <= 0 || since < limit) return;
    constexpr double day = 86400;
    fire(TriggerKind::cadence, "due", "schedule", fmt::format("{:.1f} days since the last decision", since / day),
         since, limit);
  }

  void manual() {
    for (const ManualRequest& request : now_.requests)
      if (!request.id.empty())
        fire(TriggerKind::manual, request.id, request.id,
             fmt::format("{} asks for it{}{}", request.author.empty() ? "somebody" : request.author,
                         request.reason.empty() ? "" : ": ", request.reason),
             0, 0);
  }

  WatchStep step_;
  const Observation& now_;
  const TriggerRules& rules_;
  const Situation& was_;
};

} // namespace

std::string to_string(TriggerKind kind) {
  return mcomp::detail::word_of(words(kind), kind);
}

std::string to_string(const Trigger& trigger) {
  return fmt::format("{} of {}: {}", to_string(trigger.kind), trigger.subject, trigger.reason);
}

Status TriggerRules::check() const {
  const auto wrong = [](const char* subject, const char* rule) {
    return Error(ErrorCode::invalid_argument, subject, rule, "change the rules of triggers");
  };
  const std::array<std::pair<const char*, double>, 13> amounts = {
      {{"drift_distance", drift_distance},
       {"drift_samples", static_cast<double>(drift_samples)},
       {"calibration_increase", calibration_increase},
       {"calibration_samples", static_cast<double>(calibration_samples)},
       {"cost_increase", cost_increase},
       {"cost_requests", static_cast<double>(cost_requests)},
       {"price_change", price_change},
       {"least_money", least_money},
       {"traffic_change", traffic_change},
       {"hardware_saving", hardware_saving},
       {"target_room", target_room},
       {"cadence_seconds", static_cast<double>(cadence_seconds)},
       {"drift_p_value", drift_p_value}}};
  for (const auto& [name, value] : amounts)
    if (!(std::isfinite(value) && value >= 0)) return wrong(name, "it is negative or not finite");
  if (!(drift_p_value > 0 && drift_p_value < 1)) return wrong("drift_p_value", "it is not within (0, 1)");
  if (drift_windows < 1 || traffic_periods < 1)
    return wrong("drift_windows, traffic_periods", "a row is shorter than one");
  return {};
}

Result<WatchStep> watch(const WatchState& state, const Observation& observation, const TriggerRules& rules) {
  MCOMP_CHECK(rules.check());
  MCOMP_CHECK(check(observation));
  return Watch(state, observation, rules).run();
}

WatchState settle(const WatchState& state, Situation situation) {
  WatchState next{.situation = std::move(situation), .latest = state.latest};
  const std::string manual = to_string(TriggerKind::manual) + ":";
  for (const std::string& cause : state.fired)
    if (cause.starts_with(manual)) next.fired.insert(cause);
  return next;
}

Result<Trigger> Trigger::parse(std::string_view json, const std::string& subject) {
  return mcomp::detail::read_document<Trigger>(json, trigger_schema, subject);
}
Result<Observation> Observation::parse(std::string_view json, const std::string& subject) {
  return mcomp::detail::read_document<Observation>(json, observation_schema, subject,
                                                   [](const Observation& observation) { return check(observation); });
}
Result<TriggerRules> TriggerRules::parse(std::string_view json, const std::string& subject) {
  return mcomp::detail::read_document<TriggerRules>(json, rules_schema, subject,
                                                    [](const TriggerRules& rules) { return rules.check(); });
}
Result<WatchState> WatchState::parse(std::string_view json, const std::string& subject) {
  return mcomp::detail::read_document<WatchState>(json, state_schema, subject);
}

std::string to_json(const Trigger& trigger) {
  return mcomp::detail::write_document(trigger, trigger_schema);
}
std::string to_json(const Observation& observation) {
  return mcomp::detail::write_document(observation, observation_schema);
}
std::string to_json(const TriggerRules& rules) {
  return mcomp::detail::write_document(rules, rules_schema);
}
std::string to_json(const WatchState& state) {
  return mcomp::detail::write_document(state, state_schema);
}

} // namespace mcomp::inline v0::loop
