#include "mcomp/monitor/alerts.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "core/json_schema.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::monitor {

namespace {

using mcomp::detail::Json;

constexpr double latest = 1e11; // seconds since 1970 that have a date of four digits
constexpr const char* rules_schema = "mcomp-alert-rules-1";
constexpr const char* notice_schema = "mcomp-alert-notice-1";

bool is_low_bad(const AlertRule& rule) {
  return rule.raise < rule.clear || (rule.raise == rule.clear && rule.low_is_bad);
}
bool beyond(double value, double level, bool low_is_bad) {
  return low_is_bad ? value <= level : value >= level;
}

Status check(std::span<const AlertRule> rules) {
  const auto bad = [](const AlertRule& rule, const std::string& what, const char* remedy) {
    return Error(ErrorCode::invalid_argument, fmt::format("rule '{}'", rule.name), what, remedy);
  };
  std::set<std::string> once;
  for (const AlertRule& rule : rules) {
    if (rule.name.empty() || !once.insert(rule.name).second)
      return bad(rule, "its name is empty or comes twice", "give each its own name");
    if (!std::isfinite(rule.raise) || !std::isfinite(rule.clear))
      return bad(rule, fmt::format("levels {} and {}", rule.raise, rule.clear), "pass finite numbers");
    if (rule.low_is_bad && rule.raise > rule.clear)
      return bad(rule, "low values are bad, and it is raised above the level at which it is cleared",
                 "exchange the levels, or leave low_is_bad out");
    for (const double seconds : {rule.raise_seconds, rule.clear_seconds, rule.repeat_seconds})
      if (!(seconds >= 0 && seconds <= latest))
        return bad(rule, fmt::format("a time of {} seconds", seconds), "pass 0 or more");
  }
  return {};
}

const char* name_of(PartKind kind) {
  switch (kind) {
  case PartKind::slice:
    return "slice";
  case PartKind::layer:
    return "layer";
  case PartKind::cost_item:
    return "cost item";
  }
  return "part";
}

} // namespace

std::string to_string(AlertState state) {
  switch (state) {
  case AlertState::inactive:
    return "inactive";
  case AlertState::pending:
    return "pending";
  case AlertState::firing:
    return "firing";
  case AlertState::resolved:
    return "resolved";
  }
  return "unknown";
}

std::string to_string(const MovedPart& part) {
  return fmt::format("{} {}: {:.4g} -> {:.4g}", name_of(part.kind), part.name, part.before, part.after);
}

// What moved most.

namespace {

/// A sum over events: its mean, and the variance of that mean.
struct Mean {
  double events = 0, sum = 0;
  bool money = false;
  [[nodiscard]] double value() const { return events > 0 ? sum / events : 0; }
  [[nodiscard]] double variance() const {
    if (events <= 0) return 0;
    const double m = value();
    // Of a share, a little more than its own so that none at all is not certain; of money as large as the mean.
    const double share = (sum + 0.5) / (events + 1);
    return (money ? m * m : share * (1 - share)) / events;
  }
};

Mean mean_of(const SeriesSnapshot& s, ServiceMetric metric, double slow) {
  const auto whole = [](std::int64_t n) { return static_cast<double>(n); };
  switch (metric) {
  case ServiceMetric::slow_share: {
    const double n = whole(s.latency.count());
    return {n, n - whole(s.latency.at_most(slow))};
  }
  case ServiceMetric::error_rate:
    return {whole(s.events), whole(s.errors)};
  case ServiceMetric::confidence: // of being wrong, so that more is worse
    return {whole(s.confident), whole(s.confident) - 1e-6 * whole(s.confidence)};
  case ServiceMetric::accuracy: {
    const double n = whole(s.labels_seen());
    return {n, n - n * s.accuracy().value_or(0)};
  }
  case ServiceMetric::cost_per_request:
    return {whole(s.events), s.total_cost(), true};
  case ServiceMetric::activation_overflow:
    break;
  }
  return {};
}

/// How far the change of a part is above that of the rest, in standard errors.
double stands_out(const Mean& before, const Mean& after, const Mean& all_before, const Mean& all_after) {
  const auto rest = [](const Mean& all, const Mean& part) {
    return Mean{all.events - part.events, all.sum - part.sum, all.money};
  };
  const Mean rest_before = rest(all_before, before), rest_after = rest(all_after, after);
  const double change = after.value() - before.value();
  double others = 0, variance = before.variance() + after.variance();
  if (rest_before.events > 0 && rest_after.events > 0) {
    others = rest_after.value() - rest_before.value();
    variance += rest_before.variance() + rest_after.variance();
  } else {
    return 0; // it is everything, and says nothing of a part
  }
  return change > 0 && variance > 0 ? (change - others) / std::sqrt(variance) : 0;
}

std::optional<MovedPart> moved_layer(const ServiceSnapshot& before, const ServiceSnapshot& after, double least) {
  const auto all = [](const ServiceSnapshot& snapshot) {
    std::map<std::string, Mean> layers;
    for (const LayerSnapshot& l : snapshot.layers)
      layers[l.layer] = {static_cast<double>(l.values), static_cast<double>(l.overflows)};
    return layers;
  };
  const auto then = all(before);
  std::optional<MovedPart> best;
  double most = 0;
  for (const auto& [name, now] : all(after)) {
    const auto was = then.find(name);
    if (was == then.end() || now.events < least || was->second.events < least) continue;
    // Layers are not parts of one population: each stands against its own past.
    const double change = now.value() - was->second.value();
    const double z = change / std::sqrt(now.variance() + was->second.variance());
    if (z > most) {
      most = z;
      best = MovedPart{PartKind::layer, name, was->second.value(), now.value()};
    }
  }
  return best;
}

} // namespace

std::optional<MovedPart> most_moved(const ServiceSnapshot& before, const ServiceSnapshot& after, ServiceMetric metric,
                                    std::int64_t least) {
  const auto enough = static_cast<double>(least);
  if (metric == ServiceMetric::activation_overflow) return moved_layer(before, after, enough);
  const SeriesSnapshot total_before = before.total(), total_after = after.total();
  const double slow = total_before.latency.counts.empty() ? 0 : total_before.latency.quantile(0.99).value();
  const Mean all_before = mean_of(total_before, metric, slow), all_after = mean_of(total_after, metric, slow);
  std::optional<MovedPart> best;
  double most = 0;
  for (std::size_t d = 0; d < after.dimensions.size(); ++d) {
    const auto was = before.by(after.dimensions[d]), is = after.by(after.dimensions[d]);
    if (!was || !is) continue; // another service's dimensions
    for (const SeriesSnapshot& slice : *is) {
      const auto same = std::find_if(was->begin(), was->end(),
                                     [&](const SeriesSnapshot& s) { return s.labels[d] == slice.labels[d]; });
      if (slice.labels[d].empty() || same == was->end()) continue;
      const Mean then = mean_of(*same, metric, slow), now = mean_of(slice, metric, slow);
      if (then.events < enough || now.events < enough) continue;
      const double z = stands_out(then, now, all_before, all_after);
      if (z > most) {
        most = z;
        const bool falling = metric == ServiceMetric::confidence || metric == ServiceMetric::accuracy;
        best = MovedPart{PartKind::slice, after.dimensions[d] + "=" + slice.labels[d],
                         falling ? 1 - then.value() : then.value(), falling ? 1 - now.value() : now.value()};
      }
    }
  }
  return best;
}

std::optional<MovedPart> most_moved(const std::map<std::string, double>& cost_before,
                                    const std::map<std::string, double>& cost_after) {
  std::optional<MovedPart> best;
  for (const auto& [name, after] : cost_after) {
    const auto found = cost_before.find(name);
    const double before = found == cost_before.end() ? 0 : found->second;
    if (after > before && (!best || after - before > best->after - best->before))
      best = MovedPart{PartKind::cost_item, name, before, after};
  }
  return best;
}

// Notices.

namespace {

/// "2026-01-31T12:00:00.250Z" (days from civil by Howard Hinnant's algorithm, backwards).
std::string date_of(double seconds) {
  const auto milliseconds = static_cast<std::int64_t>(std::floor(seconds * 1000 + 0.5));
  constexpr std::int64_t day = 86'400'000;
  const std::int64_t days = milliseconds / day, rest = milliseconds % day, z = days + 719468;
  const std::int64_t era = z / 146097, doe = z - era * 146097;
  const std::int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const std::int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  const std::int64_t d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
  const std::int64_t y = yoe + era * 400 + (m <= 2 ? 1 : 0);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", y, m, d, rest / 3'600'000, rest / 60'000 % 60,
                     rest / 1000 % 60, rest % 1000);
}

Json moved_json(const MovedPart& part) {
  return {{"kind", name_of(part.kind)}, {"name", part.name}, {"before", part.before}, {"after", part.after}};
}

Json labels_json(const AlertNotice& notice) {
  Json labels = {{"alertname", notice.rule.name}, {"severity", notice.rule.severity}};
  for (const auto& [name, value] : notice.labels) labels[name] = value;
  return labels;
}

Json annotations_json(const AlertNotice& notice) {
  Json annotations = {{"summary", notice.rule.summary}, {"value", fmt::format("{:.6g}", notice.value)}};
  if (!notice.rule.playbook.empty()) annotations["runbook_url"] = notice.rule.playbook;
  if (notice.moved) annotations["moved_most"] = to_string(*notice.moved);
  return annotations;
}

/// What all objects have alike.
Json common(const std::vector<Json>& objects) {
  Json result = objects.empty() ? Json::object() : objects.front();
  for (const Json& object : objects) {
    Json kept = Json::object();
    for (const auto& [key, value] : result.items())
      if (object.contains(key) && object[key] == value) kept[key] = value;
    result = std::move(kept);
  }
  return result;
}

} // namespace

std::string AlertNotice::fingerprint() const {
  std::string text = rule.name;
  for (const auto& [key, label] : labels) text += fmt::format("\n{}:{}={}:{}", key.size(), key, label.size(), label);
  constexpr std::size_t digits = 16;
  return sha256(text).substr(0, digits);
}

std::string to_json(const AlertNotice& notice) {
  Json json = {{"schema", notice_schema},
               {"alert", notice.rule.name},
               {"fingerprint", notice.fingerprint()},
               {"state", to_string(notice.state)},
               {"severity", notice.rule.severity},
               {"labels", notice.labels},
               {"value", notice.value},
               {"raise", notice.rule.raise},
               {"clear", notice.rule.clear},
               {"started", notice.started},
               {"at", notice.at},
               {"summary", notice.rule.summary},
               {"playbook", notice.rule.playbook}};
  json["moved"] = notice.moved ? moved_json(*notice.moved) : Json(nullptr);
  return mcomp::detail::dumped(json);
}

Result<AlertNotice> AlertNotice::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  mcomp::detail::ObjectReader object(json, subject);
  MCOMP_CHECK(mcomp::detail::check_schema(object, subject, notice_schema));
  AlertNotice notice;
  notice.rule.name = object.text("alert");
  notice.rule.severity = object.text("severity");
  notice.rule.raise = object.number("raise"), notice.rule.clear = object.number("clear");
  notice.rule.low_is_bad = notice.rule.raise < notice.rule.clear;
  notice.rule.summary = object.text("summary"), notice.rule.playbook = object.text("playbook");
  const std::string state = object.text("state");
  if (state == to_string(AlertState::resolved))
    notice.state = AlertState::resolved;
  else if (state != to_string(AlertState::firing))
    object.fail("state", "it is neither firing nor resolved", "write what `to_json` writes");
  // JSON has no infinite numbers: a ratio to nothing is written as null.
  const auto number = [](mcomp::detail::ObjectReader& reader, const char* key) {
    const Json* found = reader.child(key);
    return found && found->is_null() ? std::nan("") : reader.number(key);
  };
  notice.value = number(object, "value");
  notice.started = object.number("started"), notice.at = object.number("at");
  for (const double time : {notice.started, notice.at})
    if (!(time >= 0 && time <= latest)) object.fail("at", "a time is not within [0, 10^11]", "give seconds since 1970");
  if (const Json* labels = object.child("labels"); labels && labels->is_object()) {
    for (const auto& [name, label] : labels->items()) {
      if (!label.is_string()) object.fail("labels", "one is no text", "write it in quotes");
      if (label.is_string()) notice.labels[name] = label.get<std::string>();
    }
  } else {
    object.fail("labels", "it is no object", "write { ... }");
  }
  if (const Json* moved = object.child("moved"); moved && !moved->is_null()) {
    mcomp::detail::ObjectReader inner(*moved, object.where("moved"));
    MovedPart& part = notice.moved.emplace();
    const std::string kind = inner.text("kind");
    for (const PartKind known : {PartKind::slice, PartKind::layer, PartKind::cost_item})
      if (kind == name_of(known)) part.kind = known;
    if (kind != name_of(part.kind)) inner.fail("kind", "it is none of slice, layer and cost item", "write one of them");
    part.name = inner.text("name");
    part.before = number(inner, "before"), part.after = number(inner, "after");
    MCOMP_CHECK(inner.finish());
  }
  if (const std::string fingerprint = object.text("fingerprint"); fingerprint != notice.fingerprint())
    object.fail("fingerprint", "it is not that of alert and labels", "write what `to_json` writes");
  MCOMP_CHECK(object.finish());
  return notice;
}

std::string to_string(const AlertNotice& notice) {
  std::string labels;
  for (const auto& [name, value] : notice.labels)
    labels += fmt::format("{}{}={}", labels.empty() ? "" : ", ", name, value);
  std::string text = fmt::format("{}{} {}: {:.4g} of {:.4g}", notice.rule.name,
                                 labels.empty() ? "" : " {" + labels + "}", notice.state, notice.value,
                                 notice.state == AlertState::resolved ? notice.rule.clear : notice.rule.raise);
  if (notice.moved) text += "; moved most: " + to_string(*notice.moved);
  return text;
}

std::string to_webhook_json(std::span<const AlertNotice> notices, const std::string& receiver,
                            const std::string& external_url) {
  Json alerts = Json::array();
  std::vector<Json> labels, annotations;
  bool firing = false;
  for (const AlertNotice& notice : notices) {
    labels.push_back(labels_json(notice));
    annotations.push_back(annotations_json(notice));
    const bool fires = notice.state != AlertState::resolved;
    firing = firing || fires;
    alerts.push_back({{"status", fires ? "firing" : "resolved"},
                      {"labels", labels.back()},
                      {"annotations", annotations.back()},
                      {"startsAt", date_of(notice.started)},
                      {"endsAt", fires ? "0001-01-01T00:00:00Z" : date_of(notice.at)},
                      {"generatorURL", ""},
                      {"fingerprint", notice.fingerprint()}});
  }
  const Json common_labels = common(labels);
  Json group = Json::object();
  if (common_labels.contains("alertname")) group["alertname"] = common_labels["alertname"];
  const std::string group_key = fmt::format(
      "{{}}:{{{}}}",
      group.empty() ? std::string() : fmt::format("alertname={}", mcomp::detail::dumped(group["alertname"])));
  return mcomp::detail::dumped({{"version", "4"},
                                {"groupKey", group_key},
                                {"truncatedAlerts", 0},
                                {"status", firing ? "firing" : "resolved"},
                                {"receiver", receiver},
                                {"groupLabels", group},
                                {"commonLabels", common_labels},
                                {"commonAnnotations", common(annotations)},
                                {"externalURL", external_url},
                                {"alerts", alerts}});
}

// Sinks.

AlertSink file_sink(std::filesystem::path path) {
  return [path = std::move(path)](const AlertNotice& notice) -> Status {
    std::string line = to_json(notice) + "\n";
    const auto failed = [&](const char* what) {
      return Error(ErrorCode::io_failure, path.string(), fmt::format("{}: {}", what, std::strerror(errno)),
                   "check the folder, its permissions and the room on the disk");
    };
    constexpr mode_t mode = 0644;
    const int file = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, mode);
    if (file < 0) return failed("it cannot be opened");
    const off_t before = ::lseek(file, 0, SEEK_END);
    char last = 0;
    if (before > 0 && ::pread(file, &last, 1, before - 1) == 1 && last != '\n')
      line.insert(0, 1, '\n'); // after half a line of a program that was killed
    std::size_t written = 0;
    while (written < line.size()) {
      const ssize_t n = ::write(file, line.data() + written, line.size() - written);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      written += static_cast<std::size_t>(n);
    }
    const bool whole = written == line.size() && ::fsync(file) == 0;
    const Error error = failed("it cannot be written");
    // Half a line is taken back, as the notice will be told again.
    if (!whole && before >= 0 && ::ftruncate(file, before) != 0) {
      ::close(file);
      return error;
    }
    ::close(file);
    if (!whole) return error;
    return {};
  };
}

AlertSink webhook_sink(std::function<Status(const std::string& body)> send, std::string receiver,
                       std::string external_url) {
  return [send = std::move(send), receiver = std::move(receiver),
          external_url = std::move(external_url)](const AlertNotice& notice) {
    return send(to_webhook_json({&notice, 1}, receiver, external_url));
  };
}

// The states.

Result<Alerts> Alerts::create(std::vector<AlertRule> rules, std::vector<AlertSink> sinks) {
  MCOMP_CHECK(check(rules));
  for (const AlertSink& sink : sinks)
    if (!sink) return Error(ErrorCode::invalid_argument, "sinks", "one is empty", "pass functions");
  return Alerts(std::move(rules), std::move(sinks));
}

std::size_t Alerts::retry() {
  std::size_t left = 0;
  for (std::size_t s = 0; s < sinks_.size(); ++s) {
    std::vector<AlertNotice>& queue = waiting_[s];
    std::size_t told = 0;
    while (told < queue.size() && sinks_[s](queue[told])) ++told; // in their order
    queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(told));
    left += queue.size();
  }
  return left;
}

void Alerts::tell(const AlertNotice& notice) {
  constexpr std::size_t most = 1000;
  for (std::vector<AlertNotice>& queue : waiting_) {
    if (queue.size() == most) {
      queue.erase(queue.begin());
      ++lost_;
    }
    queue.push_back(notice);
  }
  retry();
}

Result<AlertState> Alerts::observe(std::string_view name, const AlertLabels& labels, double value, double now,
                                   std::optional<MovedPart> moved) {
  const auto rule = std::find_if(rules_.begin(), rules_.end(), [&](const AlertRule& r) { return r.name == name; });
  if (rule == rules_.end())
    return Error(ErrorCode::not_found, fmt::format("rule '{}'", name), "there is none of that name", "add it");
  if (!(now >= 0 && now <= latest))
    return Error(ErrorCode::invalid_value, "now", fmt::format("{} is not within [0, 10^11]", now),
                 "pass seconds since 1970");
  const auto found = alerts_.find({std::string(name), labels});
  const bool low_is_bad = is_low_bad(*rule);
  const bool bad = !std::isnan(value) && beyond(value, rule->raise, low_is_bad);
  if (found == alerts_.end() && !bad) return AlertState::inactive; // nothing is kept of what is well
  Alert& alert = found != alerts_.end() ? found->second : alerts_[{std::string(name), labels}];
  if (std::isnan(value)) return alert.state;

  // At the level itself of a rule without hysteresis it is bad, and hence not good.
  const bool good = !bad && beyond(value, rule->clear, !low_is_bad);
  AlertNotice& notice = alert.notice;
  notice.rule = *rule;
  notice.labels = labels;
  notice.value = value;
  notice.at = now;
  if (alert.state != AlertState::firing) {
    if (!bad) {                                   // between the levels it neither begins nor goes on
      alerts_.erase({std::string(name), labels}); // also what was resolved before: only what is bad is kept
      return AlertState::inactive;
    }
    if (alert.bad_since < 0) alert.bad_since = now;
    alert.state = AlertState::pending;
    notice.moved = std::move(moved);
    if (now - alert.bad_since < rule->raise_seconds) return alert.state;
    alert.state = AlertState::firing;
    alert.good_since = -1;
    alert.told = now;
    notice.started = alert.bad_since;
    notice.state = AlertState::firing;
    tell(notice);
    return alert.state;
  }
  if (moved) notice.moved = std::move(moved);
  if (good) {
    if (alert.good_since < 0) alert.good_since = now;
    if (now - alert.good_since >= rule->clear_seconds) {
      alert.state = AlertState::resolved;
      alert.bad_since = -1;
      notice.state = AlertState::resolved;
      tell(notice);
      return alert.state;
    }
  } else {
    alert.good_since = -1;
  }
  if (rule->repeat_seconds > 0 && now - alert.told >= rule->repeat_seconds) {
    alert.told = now;
    tell(notice);
  }
  return alert.state;
}

Result<AlertState> Alerts::observe(std::string_view rule, const AlertLabels& labels, const BurnAnswer& answer,
                                   std::span<const BurnWindow> windows, double now, std::optional<MovedPart> moved) {
  if (windows.size() != answer.windows.size())
    return Error(ErrorCode::invalid_argument, "windows",
                 fmt::format("{} for an answer of {}", windows.size(), answer.windows.size()),
                 "pass those that the burn rate was created with");
  for (const BurnWindow& window : windows)
    if (!(window.factor > 0 && std::isfinite(window.factor)))
      return Error(ErrorCode::invalid_argument, "windows", fmt::format("a factor is {}", window.factor),
                   "pass those that the burn rate was created with");
  double value = answer.no_data ? std::nan("") : 0;
  for (std::size_t w = 0; w < windows.size() && !answer.no_data; ++w)
    value = std::max(value, std::min(answer.windows[w].long_rate, answer.windows[w].short_rate) / windows[w].factor);
  return observe(rule, labels, value, now, std::move(moved));
}

Status Alerts::resume(std::span<const AlertNotice> notices) {
  for (const AlertNotice& notice : notices)
    for (const double time : {notice.started, notice.at})
      if (!(time >= 0 && time <= latest))
        return Error(ErrorCode::invalid_value, "notice of " + notice.rule.name,
                     fmt::format("the time {} is not within [0, 10^11]", time), "pass seconds since 1970");
  for (const AlertNotice& notice : notices) {
    const auto rule = std::ranges::find(rules_, notice.rule.name, &AlertRule::name);
    if (rule == rules_.end()) continue;
    const auto key = std::pair(notice.rule.name, notice.labels);
    alerts_.erase(key);
    if (notice.state != AlertState::firing) continue;
    Alert& alert = alerts_[key];
    alert.state = AlertState::firing;
    alert.bad_since = notice.started;
    alert.told = notice.at;
    alert.notice = notice;
    alert.notice.rule = *rule;
  }
  return {};
}

AlertState Alerts::state(std::string_view rule, const AlertLabels& labels) const {
  const auto found = alerts_.find({std::string(rule), labels});
  return found == alerts_.end() ? AlertState::inactive : found->second.state;
}

std::vector<AlertNotice> Alerts::firing() const {
  std::vector<AlertNotice> result;
  for (const auto& [key, alert] : alerts_)
    if (alert.state == AlertState::firing) result.push_back(alert.notice);
  return result;
}

// JSON of rules.

std::string to_json(std::span<const AlertRule> rules) {
  Json all = Json::array();
  for (const AlertRule& r : rules)
    all.push_back({{"name", r.name},
                   {"raise", r.raise},
                   {"clear", r.clear},
                   {"low_is_bad", r.low_is_bad},
                   {"raise_seconds", r.raise_seconds},
                   {"clear_seconds", r.clear_seconds},
                   {"repeat_seconds", r.repeat_seconds},
                   {"severity", r.severity},
                   {"summary", r.summary},
                   {"playbook", r.playbook}});
  return mcomp::detail::dumped({{"schema", rules_schema}, {"rules", all}});
}

Result<std::vector<AlertRule>> alert_rules_from_json(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  mcomp::detail::ObjectReader object(json, subject);
  MCOMP_CHECK(mcomp::detail::check_schema(object, subject, rules_schema));
  std::vector<AlertRule> rules;
  for (const Json& one : object.array("rules")) {
    mcomp::detail::ObjectReader inner(one, fmt::format("{}: {}", object.where("rules"), rules.size()));
    AlertRule r;
    r.name = inner.text("name");
    r.raise = inner.number("raise");
    r.clear = inner.number("clear", r.raise);
    r.low_is_bad = inner.boolean("low_is_bad", r.low_is_bad);
    r.raise_seconds = inner.number("raise_seconds", r.raise_seconds);
    r.clear_seconds = inner.number("clear_seconds", r.clear_seconds);
    r.repeat_seconds = inner.number("repeat_seconds", r.repeat_seconds);
    r.severity = inner.text("severity", r.severity);
    r.summary = inner.text("summary", r.summary);
    r.playbook = inner.text("playbook", r.playbook);
    MCOMP_CHECK(inner.finish());
    rules.push_back(std::move(r));
  }
  MCOMP_CHECK(object.finish());
  if (const Status status = check(rules); !status)
    return Error(ErrorCode::corrupt, subject + ": " + status.error().subject(), status.error().rule(),
                 status.error().remedy());
  return rules;
}

} // namespace mcomp::inline v0::monitor
