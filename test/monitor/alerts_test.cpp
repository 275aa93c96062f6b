// Alerts: when they are raised, told and cleared, what they name, and the rules and dashboard of the gates.

#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/monitor/alert_rules.hpp"
#include "mcomp/monitor/alerts.hpp"
#include "room_golden.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

const AlertRule errors{.name = "HighErrorRate",
                       .raise = 0.02,
                       .clear = 0.01,
                       .raise_seconds = 60,
                       .clear_seconds = 120,
                       .severity = "page",
                       .summary = "Too many requests fail.",
                       .playbook = "https://example.org/errors"};

/// A sink that remembers, and refuses while it is told to.
struct Memory {
  std::vector<AlertNotice> notices;
  bool refuses = false;
  AlertSink sink() {
    return [this](const AlertNotice& notice) -> Status {
      if (refuses) return Error(ErrorCode::io_failure, "sink", "it is down", "try again");
      notices.push_back(notice);
      return {};
    };
  }
};

SeriesSnapshot series(std::size_t dimension, const std::string& label, std::int64_t events, std::int64_t failed) {
  SeriesSnapshot s;
  s.labels[dimension] = label;
  s.events = events;
  s.errors = failed;
  return s;
}

ServiceSnapshot snapshot(std::vector<SeriesSnapshot> rows) {
  ServiceSnapshot result;
  result.dimensions = {"model_version", "region", "cohort", "latency_tier", "edge_case", "device"};
  result.series = std::move(rows);
  return result;
}

} // namespace

TEST_CASE("an alert is pending, fires once and is resolved, each after its time", "[alerts]") {
  Memory memory;
  Alerts alerts = Alerts::create({errors}, {memory.sink()}).value();
  const AlertLabels eu{{"region", "eu"}};
  const auto at = [&](double now, double value) { return alerts.observe("HighErrorRate", eu, value, now).value(); };
  CHECK(at(0, 0.015) == AlertState::inactive);
  CHECK(at(10, 0.03) == AlertState::pending);
  CHECK(at(50, 0.015) == AlertState::inactive); // a spike
  CHECK(at(100, 0.03) == AlertState::pending);
  CHECK(at(159, 0.03) == AlertState::pending);
  CHECK(memory.notices.empty());
  CHECK(at(160, 0.03) == AlertState::firing);
  for (int t = 161; t < 300; ++t) CHECK(at(t, 0.05) == AlertState::firing);
  REQUIRE(memory.notices.size() == 1); // once
  CHECK(memory.notices[0].state == AlertState::firing);
  CHECK(memory.notices[0].started == 100);
  CHECK(at(300, 0.015) == AlertState::firing); // between the levels: neither bad nor good
  CHECK(at(500, 0.015) == AlertState::firing);
  CHECK(at(510, 0.005) == AlertState::firing);
  CHECK(at(560, 0.015) == AlertState::firing); // and the time begins anew
  CHECK(at(570, 0.005) == AlertState::firing);
  CHECK(at(689, 0.005) == AlertState::firing);
  CHECK(at(690, 0.005) == AlertState::resolved);
  REQUIRE(memory.notices.size() == 2);
  CHECK(memory.notices[1].state == AlertState::resolved);
  CHECK(memory.notices[1].fingerprint() == memory.notices[0].fingerprint());
  CHECK(alerts.state("HighErrorRate", eu) == AlertState::resolved);
  CHECK(at(700, 0.005) == AlertState::inactive);
}

TEST_CASE("alerts of other labels are others, and no data changes nothing", "[alerts]") {
  Memory memory;
  AlertRule rule = errors;
  rule.raise_seconds = rule.clear_seconds = 0;
  rule.repeat_seconds = 100;
  Alerts alerts = Alerts::create({rule}, {memory.sink()}).value();
  const auto observe = [&](const char* region, double value, double now) {
    return alerts.observe("HighErrorRate", {{"region", region}}, value, now).value();
  };
  CHECK(observe("eu", 0.02, 0) == AlertState::firing); // at the level itself
  CHECK(observe("us", 0.5, 1) == AlertState::firing);
  CHECK(memory.notices.size() == 2);
  CHECK(memory.notices[0].fingerprint() != memory.notices[1].fingerprint());
  CHECK(alerts.firing().size() == 2);
  CHECK(observe("eu", nan_value, 50) == AlertState::firing);
  CHECK(observe("aq", nan_value, 50) == AlertState::inactive);
  CHECK(memory.notices.size() == 2);
  CHECK(observe("eu", 0.03, 100) == AlertState::firing); // repeated
  CHECK(memory.notices.size() == 3);
  CHECK(observe("eu", 0.03, 199) == AlertState::firing);
  CHECK(memory.notices.size() == 3);
  CHECK(observe("eu", 0.01, 200) == AlertState::resolved);
  CHECK(alerts.firing().size() == 1);
  CHECK_FALSE(alerts.observe("Other", {}, 1, 1));
  CHECK_FALSE(alerts.observe("HighErrorRate", {}, 1, nan_value));
}

TEST_CASE("low values can be the bad ones", "[alerts]") {
  Alerts alerts = Alerts::create({{.name = "LowAccuracy", .raise = 0.8, .clear = 0.85}}).value();
  CHECK(alerts.observe("LowAccuracy", {}, 0.82, 0).value() == AlertState::inactive);
  CHECK(alerts.observe("LowAccuracy", {}, 0.79, 1).value() == AlertState::firing);
  CHECK(alerts.observe("LowAccuracy", {}, 0.82, 2).value() == AlertState::firing);
  CHECK(alerts.observe("LowAccuracy", {}, 0.86, 3).value() == AlertState::resolved);
  Alerts one_level = Alerts::create({{.name = "a", .raise = 5, .clear = 5, .low_is_bad = true}}).value();
  CHECK(one_level.observe("a", {}, 6, 0).value() == AlertState::inactive);
  CHECK(one_level.observe("a", {}, 5, 0).value() == AlertState::firing);
}

TEST_CASE("a sink that is down is told later, in order", "[alerts]") {
  Memory good, down;
  down.refuses = true;
  AlertRule rule = errors;
  rule.raise_seconds = rule.clear_seconds = 0;
  Alerts alerts = Alerts::create({rule}, {good.sink(), down.sink()}).value();
  alerts.observe("HighErrorRate", {}, 1, 0).value();
  alerts.observe("HighErrorRate", {}, 0, 1).value();
  CHECK(good.notices.size() == 2);
  CHECK(alerts.retry() == 2);
  down.refuses = false;
  CHECK(alerts.retry() == 0);
  CHECK(down.notices == good.notices);
  down.refuses = true;
  for (int i = 0; i < 600; ++i) { // fires and is resolved: two notices
    alerts.observe("HighErrorRate", {}, 1, 2 + i).value();
    alerts.observe("HighErrorRate", {}, 0, 2 + i).value();
  }
  CHECK(alerts.retry() == 1000);
  CHECK(alerts.lost() == 200);
}

TEST_CASE("burn rates fire as alerts where both windows burn", "[alerts]") {
  const BurnRateOptions options{
      .objective = 0.99, .windows = {{600, 60, 10}, {3600, 600, 2}}, .resolution_seconds = 10};
  BurnRate burn = BurnRate::create(options).value();
  Memory memory;
  Alerts alerts =
      Alerts::create({{.name = "Burn", .raise = 1, .clear = 0.5, .severity = "page"}}, {memory.sink()}).value();
  const auto observe = [&](double now) {
    return alerts.observe("Burn", {}, burn.answer(now), options.windows, now).value();
  };
  std::vector<BurnWindow> nonsense = options.windows;
  nonsense[0].factor = 0;
  CHECK(alerts.observe("Burn", {}, burn.answer(0), nonsense, 0).error().code() == ErrorCode::invalid_argument);
  CHECK(observe(0) == AlertState::inactive); // no data
  for (double t = 0; t < 600; t += 10) REQUIRE(burn.add(t, 1000, 0));
  CHECK(observe(595) == AlertState::inactive);
  bool agreed = true;
  for (double t = 600; t < 1200; t += 10) {
    REQUIRE(burn.add(t, 850, 150)); // 15 times the budget
    agreed = agreed && (observe(t) == AlertState::firing) == burn.answer(t).fires;
  }
  CHECK(agreed);
  REQUIRE(memory.notices.size() == 1);
  CHECK(memory.notices[0].value >= 1);
  CHECK_FALSE(alerts.observe("Burn", {}, burn.answer(1200), {}, 1200));
}

TEST_CASE("the slice, the layer and the cost item that moved most are named", "[alerts]") {
  // Region eu fails ten times as often; us, which has most requests, a little more by chance; cohort labels are mixed.
  std::vector<SeriesSnapshot> before{series(1, "eu", 1000, 10), series(1, "us", 9000, 90)},
      after{series(1, "eu", 1000, 100), series(1, "us", 9000, 99)};
  for (auto* rows : {&before, &after})
    for (SeriesSnapshot& s : *rows) s.labels[0] = "v1"; // everything has it: it names nothing
  const auto moved = most_moved(snapshot(before), snapshot(after), ServiceMetric::error_rate);
  REQUIRE(moved);
  CHECK(moved->name == "region=eu");
  CHECK(moved->before == Approx(0.01));
  CHECK(moved->after == Approx(0.1));
  CHECK(to_string(*moved) == "slice region=eu: 0.01 -> 0.1");
  CHECK_FALSE(most_moved(snapshot(after), snapshot(before), ServiceMetric::error_rate));       // it became better
  CHECK_FALSE(most_moved(snapshot(before), snapshot(after), ServiceMetric::error_rate, 5000)); // too few
  CHECK_FALSE(most_moved(snapshot(before), snapshot({}), ServiceMetric::error_rate));

  // Confidence falls in one cohort, cost rises in another, one tier becomes slow.
  auto calm = snapshot({series(2, "a", 500, 0), series(2, "b", 500, 0)}), storm = calm;
  for (auto* s : {&calm, &storm})
    for (SeriesSnapshot& row : s->series) {
      row.confident = 500;
      row.confidence = 450'000'000;
      row.cost = 500 * 1000;
      row.latency.counts = {{500, 495}, {600, 5}};
    }
  storm.series[0].confidence = 350'000'000;
  storm.series[1].cost = 900 * 1000;
  storm.series[1].latency.counts = {{500, 400}, {700, 100}};
  CHECK(most_moved(calm, storm, ServiceMetric::confidence)->name == "cohort=a");
  CHECK(most_moved(calm, storm, ServiceMetric::confidence)->after == Approx(0.7));
  CHECK(most_moved(calm, storm, ServiceMetric::cost_per_request)->name == "cohort=b");
  CHECK(most_moved(calm, storm, ServiceMetric::slow_share)->name == "cohort=b");
  CHECK_FALSE(most_moved(calm, storm, ServiceMetric::accuracy)); // no labels

  calm.layers = {{"conv1", 10'000, 10}, {"conv2", 10'000, 20}};
  storm.layers = {{"conv1", 10'000, 12}, {"conv2", 10'000, 400}, {"conv3", 10'000, 9000}};
  const auto layer = most_moved(calm, storm, ServiceMetric::activation_overflow);
  REQUIRE(layer);
  CHECK(layer->kind == PartKind::layer);
  CHECK(layer->name == "conv2"); // conv3 has no past

  const auto item = most_moved({{"compute", 100}, {"storage", 10}, {"support", 5}},
                               {{"compute", 104}, {"storage", 9}, {"egress", 6}});
  REQUIRE(item);
  CHECK(to_string(*item) == "cost item egress: 0 -> 6");
  CHECK_FALSE(most_moved({{"compute", 2}}, {{"compute", 1}}));
}

TEST_CASE("the file is appended a line at a time, also after half a line", "[alerts]") {
  const auto path = mcomp_test::temporary_folder() / "alerts.jsonl";
  REQUIRE(write_file(path, "{\"half\":"));
  const AlertSink sink = file_sink(path);
  AlertNotice notice{.rule = errors, .labels = {{"region", "eu\n"}}, .value = 0.5, .started = 1, .at = 2};
  REQUIRE(sink(notice));
  notice.state = AlertState::resolved;
  REQUIRE(sink(notice));
  const std::string text = read_file(path).value();
  CHECK(text ==
        "{\"half\":\n" +
            to_json(AlertNotice{.rule = errors, .labels = {{"region", "eu\n"}}, .value = 0.5, .started = 1, .at = 2}) +
            "\n" + to_json(notice) + "\n");
  const auto failed = file_sink(path / "no folder")(notice);
  REQUIRE_FALSE(failed);
  CHECK(mcomp_test::well_formed(failed.error()));
}

TEST_CASE("the webhook's body is that of Alertmanager's version 4", "[alerts]") {
  AlertNotice first{.rule = errors,
                    .labels = {{"region", "eu"}},
                    .value = 0.5,
                    .started = 1'800'000'000,
                    .at = 1'800'000'060.25,
                    .moved = MovedPart{PartKind::layer, "conv1", 0.01, 0.5}};
  AlertNotice second = first;
  second.labels = {{"region", "us"}};
  second.state = AlertState::resolved;
  const auto json = nlohmann::json::parse(to_webhook_json(std::vector{first, second}, "team", "https://example.org"));
  // The keys of template.Data and webhook.Message of Alertmanager.
  const std::set<std::string> keys{"version",     "groupKey",     "truncatedAlerts",   "status",      "receiver",
                                   "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "alerts"};
  std::set<std::string> found;
  for (const auto& [key, value] : json.items()) found.insert(key);
  CHECK(found == keys);
  CHECK(json["version"] == "4");
  CHECK(json["status"] == "firing");
  CHECK(json["receiver"] == "team");
  CHECK(json["commonLabels"] == nlohmann::json{{"alertname", "HighErrorRate"}, {"severity", "page"}});
  CHECK(json["groupLabels"] == nlohmann::json{{"alertname", "HighErrorRate"}});
  CHECK(json["groupKey"] == "{}:{alertname=\"HighErrorRate\"}");
  const auto& alert = json["alerts"][0];
  CHECK(alert["status"] == "firing");
  CHECK(alert["startsAt"] == "2027-01-15T08:00:00.000Z");
  CHECK(alert["endsAt"] == "0001-01-01T00:00:00Z");
  CHECK(alert["annotations"]["moved_most"] == "layer conv1: 0.01 -> 0.5");
  CHECK(alert["annotations"]["runbook_url"] == "https://example.org/errors");
  CHECK(json["alerts"][1]["status"] == "resolved");
  CHECK(json["alerts"][1]["endsAt"] == "2027-01-15T08:01:00.250Z");
  CHECK(alert["fingerprint"].get<std::string>().size() == 16);
  std::string sent;
  REQUIRE(webhook_sink([&](const std::string& body) -> Status {
    sent = body;
    return {};
  })(first));
  CHECK(sent == to_webhook_json({&first, 1}));
}

TEST_CASE("rules that cannot be are refused", "[alerts]") {
  const auto refused = [](const AlertRule& rule) {
    const auto made = Alerts::create({rule});
    return !made && mcomp_test::well_formed(made.error());
  };
  CHECK(refused({.name = ""}));
  CHECK(refused({.name = "a", .raise = nan_value}));
  CHECK(refused({.name = "a", .raise = 2, .clear = 1, .low_is_bad = true}));
  CHECK(refused({.name = "a", .raise_seconds = -1}));
  CHECK_FALSE(Alerts::create({errors, errors}));
  CHECK_FALSE(Alerts::create({errors}, {AlertSink{}}));
}

namespace {

evaluate::Criteria gates() {
  evaluate::Criteria criteria;
  criteria.max_accuracy_loss = 0.01;
  criteria.min_speedup = 1.5;
  criteria.max_latency_p99_seconds = 0.05;
  criteria.max_size_ratio = 0.5;
  criteria.max_ece_increase = 0.02;
  criteria.max_monthly_cost_ratio = 0.8;
  criteria.max_memory_ratio = 1;
  criteria.max_loss_increase = 0.1;
  criteria.max_negative_flip_fraction = 0.05;
  criteria.max_slice_accuracy_loss = 0.03;
  criteria.protected_slices = {{"region=e\"u", 0.02}};
  criteria.max_slice_ece_increase = 0.05;
  criteria.slice_latency_p99_seconds = {{"latency_tier=fast", 0.02}};
  criteria.max_demographic_parity_increase = 0.1;
  criteria.max_equalized_odds_increase = 0.1;
  criteria.max_disparate_flip_ratio = 2;
  return criteria;
}

const RuleOptions versions{.baseline = "v7", .candidate = "v8", .objective = 0.999, .playbook = "https://example.org/"};

} // namespace

TEST_CASE("every criterion is watched or said not to be, and promtool accepts the rules", "[alerts]") {
  const PrometheusRules rules = prometheus_rules(gates(), versions).value();
  // Sixteen are set; seven of them no metric can tell.
  CHECK(rules.watched.size() == 9);
  CHECK(rules.not_watched.size() == 7);
  CHECK(rules.yaml.find("histogram_quantile(0.99, sum by (le) (rate(mcomp_latency_seconds_bucket{model_version="
                        "\\\"v8\\\"}[5m]))) > 0.05") != std::string::npos);
  CHECK(rules.yaml.find("# Not watched: max_size_ratio: ") != std::string::npos);
  CHECK(rules.yaml.find("McompErrorBudgetBurn72h") != std::string::npos);
  evaluate::Criteria one;
  one.max_latency_p99_seconds = 0.1;
  CHECK(prometheus_rules(one).value().watched[0].alert == "McompMaxLatencyP99Seconds");
  CHECK_FALSE(prometheus_rules(gates())); // compares with nobody
  CHECK_FALSE(prometheus_rules(one, {.prefix = "0"}));
  CHECK_FALSE(prometheus_rules(one, {.window_minutes = 0}));
  CHECK_FALSE(prometheus_rules(one, {.baseline = "v8", .candidate = "v8"}));
  CHECK_FALSE(prometheus_rules(one, {.objective = 1}));
  CHECK_FALSE(prometheus_rules(evaluate::Criteria{})); // demands nothing
  one.slice_latency_p99_seconds = {{"fast", 1}};
  CHECK_FALSE(prometheus_rules(one));
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
    mcomp_test::skip("promtool is not installed (Debian: prometheus)");
    return;
  }
  const auto path = mcomp_test::temporary_folder() / "mcomp.rules.yml";
  REQUIRE(write_file(path, rules.yaml));
  CHECK(std::system(("promtool check rules '" + path.string() + "'").c_str()) == 0);
  REQUIRE(write_file(path, "groups:\n  - name: a\n    rules:\n      - alert: B\n        expr: \"sum(\"\n"));
  CHECK(std::system(("promtool check rules '" + path.string() + "' >/dev/null 2>&1").c_str()) != 0); // it does look
}

TEST_CASE("the dashboard is JSON with a panel for each criterion, none on another", "[alerts]") {
  const auto json = nlohmann::json::parse(grafana_dashboard(gates(), versions).value());
  CHECK(json["schemaVersion"] == 39);
  CHECK(json["title"] == "mcomp");
  CHECK(json["templating"]["list"][0]["type"] == "datasource");
  REQUIRE(json["panels"].size() == 6 + 9);
  std::set<int> ids;
  std::set<std::pair<int, int>> places;
  for (const auto& panel : json["panels"]) {
    CHECK(panel["type"] == "timeseries");
    CHECK(ids.insert(panel["id"].get<int>()).second);
    const auto& at = panel["gridPos"];
    CHECK(places.insert({at["x"].get<int>(), at["y"].get<int>()}).second);
    CHECK(at["x"].get<int>() + at["w"].get<int>() <= 24);
    std::set<std::string> letters;
    for (const auto& target : panel["targets"]) {
      CHECK(letters.insert(target["refId"].get<std::string>()).second);
      CHECK_FALSE(target["expr"].get<std::string>().empty());
    }
    for (const auto& step : panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) CHECK(step.contains("value"));
  }
  const auto& speed = json["panels"][7];
  CHECK(speed["title"] == "min_speedup");
  CHECK(speed["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] == "red");
  CHECK(speed["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"] == 1.5);
}

TEST_CASE("after a restart what fired fires still, and nobody is told anew", "[alerts]") {
  const AlertRule rule{.name = "Errors", .raise = 0.1, .clear = 0.05, .raise_seconds = 60, .repeat_seconds = 3600};
  std::vector<AlertNotice> told;
  const auto start = [&] {
    return Alerts::create({rule}, {[&](const AlertNotice& notice) -> Status {
                            told.push_back(notice);
                            return {};
                          }})
        .value();
  };
  Alerts before = start();
  for (const char* region : {"eu", "us"})
    for (const double now : {0.0, 100.0}) REQUIRE(before.observe("Errors", {{"region", region}}, 0.2, now));
  REQUIRE(before.observe("Errors", {{"region", "us"}}, 0.01, 200));
  REQUIRE(told.size() == 3);
  std::vector<AlertNotice> lines; // as a file would hold them
  for (const AlertNotice& notice : told) lines.push_back(AlertNotice::parse(to_json(notice)).value());
  told.clear();

  Alerts after = start();
  AlertNotice old = lines.front();
  old.rule.name = "a rule that there is no more";
  lines.insert(lines.begin(), old);
  REQUIRE(after.resume(lines));
  REQUIRE(after.firing().size() == 1);
  CHECK(after.firing().front().rule == rule);
  CHECK(after.observe("Errors", {{"region", "eu"}}, 0.2, 300).value() == AlertState::firing);
  CHECK(after.state("Errors", {{"region", "us"}}) == AlertState::inactive);
  CHECK(told.empty());
  CHECK(after.observe("Errors", {{"region", "eu"}}, 0.2, 3800).value() == AlertState::firing);
  CHECK(told.size() == 1); // repeated in its time, counted from when it was told last
  CHECK(after.observe("Errors", {{"region", "eu"}}, 0.01, 3900).value() == AlertState::resolved);
  REQUIRE(told.size() == 2);
  CHECK(told.back().started == 0);
  lines.back().at = -1;
  Alerts other = start();
  CHECK(other.resume(lines).error().code() == ErrorCode::invalid_value);
  CHECK(other.firing().empty());
}

TEST_CASE("rules and notices of version 1 are written as they were", "[alerts]") {
  const std::vector<AlertRule> rules{errors, {.name = "LowAccuracy", .raise = 0.8, .clear = 0.85, .low_is_bad = true}};
  CHECK(to_json(rules) == mcomp_test::golden("alert_rules"));
  CHECK(alert_rules_from_json(mcomp_test::golden("alert_rules")).value() == rules);
  const AlertNotice notice{.rule = errors,
                           .labels = {{"region", "eu"}},
                           .value = 0.5,
                           .started = 100,
                           .at = 160,
                           .moved = MovedPart{PartKind::slice, "cohort=new", 0.01, 0.2}};
  CHECK(to_json(notice) == mcomp_test::golden("alert_notice"));
  CHECK(to_string(notice) ==
        "HighErrorRate {region=eu} firing: 0.5 of 0.02; moved most: slice cohort=new: 0.01 -> 0.2");
  AlertNotice read = notice; // which does not tell the times of its rule
  read.rule.raise_seconds = read.rule.clear_seconds = read.rule.repeat_seconds = 0;
  CHECK(AlertNotice::parse(mcomp_test::golden("alert_notice")).value() == read);
  read.state = AlertState::resolved;
  read.moved.reset();
  CHECK(AlertNotice::parse(to_json(read)).value() == read);
  read.value = std::numeric_limits<double>::infinity(); // a ratio to nothing
  CHECK(std::isnan(AlertNotice::parse(to_json(read)).value().value));
  mcomp_test::check_strict(mcomp_test::golden("alert_notice"),
                           [](std::string_view text) { return AlertNotice::parse(text); });
  const auto changed = [](const std::string& from, const std::string& to) {
    std::string text = mcomp_test::golden("alert_notice");
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    const auto result = AlertNotice::parse(text.replace(at, from.size(), to));
    REQUIRE_FALSE(result);
    return result.error().subject();
  };
  CHECK(changed("HighErrorRate", "LowErrorRate") == "alert notice: fingerprint");
  CHECK(changed("firing", "pending") == "alert notice: state");
  CHECK(changed("\"slice\"", "\"cohort\"") == "alert notice: moved: kind");
  CHECK(changed("\"eu\"", "1") == "alert notice: labels");
  CHECK(changed("160.0", "-1") == "alert notice: at");
  CHECK_FALSE(alert_rules_from_json("{\"schema\":\"mcomp-alert-rules-2\",\"rules\":[]}"));
  CHECK_FALSE(alert_rules_from_json("{\"schema\":\"mcomp-alert-rules-1\",\"rules\":[{\"name\":\"\",\"raise\":1}]}"));
}
