#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/report/playbook.hpp"
#include "mcomp/report/review.hpp"

using namespace mcomp;
using namespace mcomp::report;

namespace {

constexpr std::int64_t day = 86400, start = 1'780'272'000;
constexpr int days = 90;

struct Planted {
  bool stale_recipe = false, missed_target = false, unused_margin = false, forecast_miss = false;
};

double binomial_share(Random& random, int n, double p) {
  int hits = 0;
  for (int i = 0; i < n; ++i) hits += random.uniform() < p ? 1 : 0;
  return static_cast<double>(hits) / n;
}

/// 90 days of a service: labelled answers by day and region, latencies with weekly load, feedback, costs by month
/// against their forecasts, judgements every week, recipes that are used now and then, alerts that fire rarely.
ReviewInputs simulate(std::uint64_t seed, const Planted& planted) {
  Random random(seed);
  ReviewInputs in{.from = start, .until = start + days * day};
  const auto target = [&](const std::string& name, const std::string& metric, const std::string& slice,
                          const char* bound, double value, const char* unit, const auto& of_day) {
    TargetHistory history{
        .target =
            {.name = name, .status = "in force", .metric = metric, .slice = slice, .bound = bound, .value = value},
        .unit = unit,
        .readings = {}};
    for (int d = 0; d < days; ++d)
      if (random.uniform() > 0.03)
        history.readings.push_back({start + d * day + 43200, of_day(d)}); // some days are lost
    in.targets.push_back(std::move(history));
  };
  const auto load = [](int d) { return d % 7 >= 5 ? 0.7 : 1.1; };
  for (const char* region : {"eu", "us", "apac"})
    target(fmt::format("accuracy of {}", region), "accuracy", fmt::format("region={}", region), "at least", 0.90,
           "fraction", [&](int) { return binomial_share(random, 800, 0.925); });
  for (const char* region : {"eu", "us"}) {
    const bool late = planted.missed_target && std::string(region) == "eu";
    target(fmt::format("p99 of {}", region), "p99 latency", fmt::format("region={}", region), "at most", 0.100,
           "seconds", [&](int d) {
             return (0.070 + 0.012 * load(d)) * std::exp(0.03 * random.normal()) * (late && d >= 50 ? 1.3 : 1);
           });
  }
  // Proposals and retired targets are nobody's duty, however badly they do.
  in.targets.push_back({.target = {.name = "a wish", .status = "proposed", .metric = "accuracy", .value = 0.99},
                        .unit = "fraction",
                        .readings = in.targets[0].readings});
  in.targets.push_back({.target = {.name = "an old one", .status = "retired", .metric = "accuracy", .value = 0.99},
                        .unit = "fraction",
                        .readings = in.targets[0].readings});

  for (int d = 0; d < days; ++d) {
    const int answers = 40 + static_cast<int>(random.below(30));
    in.satisfaction.push_back({start + d * day, std::lround(binomial_share(random, answers, 0.86) * answers), answers});
  }
  for (const char* item : {"machines", "storage"})
    in.benchmarks.push_back(
        {.name = item, .unit = "USD", .measured = 200 * std::exp(0.02 * random.normal()), .benchmark = 200});

  for (int month = 0; month < 3; ++month) {
    cost::ForecastRecord record{.date = fmt::format("2026-{:02}-01", 6 + month), .recipe = "w4a8", .currency = "USD"};
    record.baseline.per_month = 1260, record.candidate.per_month = 702, record.saving_per_month = 558;
    record.saving_interval = stats::Interval{500, 616, 0.95};
    const double growth = planted.forecast_miss && month == 1 ? 1.35 : 1;
    record.measured_baseline.per_month = 1260 * growth * std::exp(0.03 * random.normal());
    record.measured_candidate.per_month = 702 * growth * std::exp(0.03 * random.normal());
    in.forecasts.push_back(std::move(record));
  }
  in.forecasts.push_back({.date = "2026-08-20", .currency = "USD"}); // too early to measure

  const auto margin = [&](const char* name, double bound, double usual, double noise) {
    MarginUse use{.name = name, .unit = "fraction", .margin = bound, .used = {}};
    for (int week = 0; week < 13; ++week) use.used.push_back({start + week * 7 * day, usual + noise * random.normal()});
    in.margins.push_back(std::move(use));
  };
  margin("max_accuracy_loss", 0.01, 0.0075, 0.001);
  margin("max_slice_accuracy_loss[region=latam]", 0.02, planted.unused_margin ? 0.004 : 0.014, 0.001);
  margin("max_ece_increase", 0.01, 0.007, 0.0008);

  const auto recipe = [&](const char* id, int last, double wins) {
    RecipeHistory history{.id = id, .name = id, .since = start - 200 * day, .uses = {}};
    for (int d = -60; d <= last; d += 5 + static_cast<int>(random.below(6)))
      history.uses.push_back({start + d * day, "classifier", random.uniform() < wins});
    history.uses.push_back({start + last * day, "classifier", true});
    in.recipes.push_back(std::move(history));
  };
  recipe("w4a8", 85, 0.7);
  recipe("w8a8", planted.stale_recipe ? 20 : 70, 0.8);
  recipe("w6a8", 80, 0.6);
  in.recipes.push_back({.id = "w3a8", .status = "proposed", .since = start - 300 * day, .uses = {}});
  in.recipes.push_back(
      {.id = "nvfp4", .status = "standard", .since = start + 80 * day, .uses = {}}); // too new to be stale

  in.alerts = {{.name = "drift", .fired = {start + static_cast<std::int64_t>(random.below(90)) * day}, .open = false},
               {.name = "burn rate", .fired = {start + 87 * day}, .open = true}};
  in.decisions = {
      {.id = "d1", .decision = {.title = "w4a8 everywhere", .status = "accepted", .review_by = start + 200 * day}},
      {.id = "d2", .decision = {.title = "w8a8 everywhere", .status = "superseded", .review_by = start + 10 * day}}};
  return in;
}

using Names = std::set<std::pair<FindingKind, std::string>>;

Names names_of(const Review& review) {
  Names names;
  for (const Finding& f : review.findings) names.emplace(f.kind, f.subject);
  return names;
}

bool evident(const Finding& f) {
  return !f.sentence.empty() && !f.rule.empty() && !f.evidence.empty() && !f.next.empty();
}

} // namespace

TEST_CASE("review: of 90 days it names exactly what was planted, and nothing on clean days") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    const Review clean = review(simulate(seed, {})).value();
    INFO(to_string(clean));
    REQUIRE(clean.findings.empty());
    const Review all = review(simulate(seed, {true, true, true, true})).value();
    INFO(to_string(all));
    REQUIRE(names_of(all) == Names{{FindingKind::missed_target, "p99 of eu"},
                                   {FindingKind::forecast_miss, "forecast of 2026-07-01"},
                                   {FindingKind::stale_recipe, "w8a8"},
                                   {FindingKind::unused_margin, "max_slice_accuracy_loss[region=latam]"}});
    REQUIRE(all.findings.size() == 4);
    for (const Finding& f : all.findings) REQUIRE(evident(f));
    REQUIRE(all.next.size() == 4);
  }
  // One at a time.
  CHECK(names_of(review(simulate(7, {.stale_recipe = true})).value()) == Names{{FindingKind::stale_recipe, "w8a8"}});
  CHECK(names_of(review(simulate(7, {.missed_target = true})).value()) ==
        Names{{FindingKind::missed_target, "p99 of eu"}});
  CHECK(names_of(review(simulate(7, {.unused_margin = true})).value()) ==
        Names{{FindingKind::unused_margin, "max_slice_accuracy_loss[region=latam]"}});
  CHECK(names_of(review(simulate(7, {.forecast_miss = true})).value()) ==
        Names{{FindingKind::forecast_miss, "forecast of 2026-07-01"}});
}

TEST_CASE("review: each rule finds on one side of its threshold and not on the other") {
  const auto found = [](const ReviewInputs& in, const ReviewOptions& options = {}) {
    return names_of(review(in, options).value());
  };
  const ReviewInputs empty{.from = 0, .until = 90 * day};
  REQUIRE(found(empty).empty());

  SECTION("a target is missed by share or by run, and a gap is a risk") {
    const auto readings = [](int n, int broken, bool last) {
      TargetHistory history{
          .target = {.name = "t", .status = "in force", .metric = "m", .bound = "at least", .value = 1},
          .unit = "",
          .readings = {}};
      for (int i = 0; i < n; ++i)
        history.readings.push_back({(90 - n + i) * day, last ? (i >= n - broken ? 0. : 1.) : (i < broken ? 0. : 1.)});
      return ReviewInputs{.from = 0, .until = 90 * day, .targets = {history}};
    };
    CHECK(found(readings(90, 9, false)).empty()); // 10 % is not more than 10 %
    CHECK(found(readings(90, 10, false)) == Names{{FindingKind::missed_target, "t"}});
    CHECK(found(readings(90, 6, true)).empty());
    CHECK(found(readings(90, 7, true)) == Names{{FindingKind::missed_target, "t"}});
    CHECK(found(readings(6, 5, false)).empty()); // too few readings to say
    CHECK(found(readings(0, 0, false)) == Names{{FindingKind::risk, "t"}});
    auto late = readings(90, 0, false);
    std::erase_if(late.targets[0].readings, [](const Reading& r) { return r.time >= 75 * day; });
    CHECK(found(late) == Names{{FindingKind::risk, "t"}});
    late.targets[0].readings.push_back({76 * day, not_known}); // not taken
    CHECK(found(late) == Names{{FindingKind::risk, "t"}});
    late.targets[0].readings.push_back({76 * day, 1});
    CHECK(found(late).empty());
    CHECK(review(late).value().targets[0].answer == "met");
  }
  SECTION("satisfaction falls by more than the threshold and beyond chance") {
    const auto feedback = [](std::int64_t first, std::int64_t last, std::int64_t all) {
      return ReviewInputs{
          .from = 0, .until = 90 * day, .satisfaction = {{0, first, all}, {45 * day, 0, 1000}, {89 * day, last, all}}};
    };
    CHECK(found(feedback(9000, 8600, 10000)) == Names{{FindingKind::satisfaction_fell, "user satisfaction"}});
    CHECK(found(feedback(9000, 8800, 10000)).empty()); // two points
    CHECK(found(feedback(90, 86, 100)).empty());       // could be chance
    CHECK(found(feedback(90, 60, 99)).empty());        // too few answers
    CHECK(found(feedback(8600, 9000, 10000)).empty()); // a rise
  }
  SECTION("costs and forecasts") {
    ReviewInputs in = empty;
    in.benchmarks = {{.name = "a", .measured = 1.099, .benchmark = 1},
                     {.name = "b", .measured = 1.11, .benchmark = 1},
                     {.name = "c", .benchmark = 1}};
    CHECK(found(in) == Names{{FindingKind::cost_above_benchmark, "b"}});
    in = empty;
    cost::ForecastRecord record{.date = "2026-06-01", .currency = "USD"};
    record.baseline.per_month = 114, record.measured_baseline.per_month = 100;
    in.forecasts = {record};
    CHECK(found(in).empty());
    in.forecasts[0].baseline.per_month = 116;
    CHECK(found(in).size() == 1);
    // The saving: outside of its interval, and far off.
    record.baseline.per_month = 100, record.candidate.per_month = 60, record.measured_candidate.per_month = 66;
    record.saving_per_month = 40, record.saving_interval = stats::Interval{36, 44, 0.95};
    in.forecasts = {record};
    CHECK(found(in).empty()); // 6 of 40 is 15 %
    in.forecasts[0].measured_candidate.per_month = 69, in.forecasts[0].measured_baseline.per_month = 97;
    CHECK(found(in).size() == 1); // 28 in place of 40
    in.forecasts[0].saving_interval = stats::Interval{20, 60, 0.95};
    CHECK(found(in).empty());
  }
  SECTION("margins, recipes, alerts, decisions") {
    ReviewInputs in = empty;
    const auto used = [](std::initializer_list<double> values) {
      MarginUse use{.name = "m", .margin = 1, .used = {}};
      std::int64_t time = 0;
      for (const double v : values) use.used.push_back({time += day, v});
      return use;
    };
    in.margins = {used({0.1, 0.5, 0.2, -1})};
    CHECK(found(in) == Names{{FindingKind::unused_margin, "m"}});
    in.margins = {used({0.1, 0.51, 0.2, 0})};
    CHECK(found(in).empty());
    in.margins = {used({0.1, 0.2, 0.2})};
    CHECK(found(in).empty()); // three judgements
    in = empty;
    in.recipes = {{.id = "r", .since = 0, .uses = {{44 * day, "x", true}}}};
    CHECK(found(in) == Names{{FindingKind::stale_recipe, "r"}});
    in.recipes[0].uses[0].time = 45 * day;
    CHECK(found(in).empty());
    in.recipes = {{.id = "r", .since = 80 * day, .uses = {{81 * day, "x", false}, {82 * day, "x", false}}}};
    CHECK(found(in).empty());
    in.recipes[0].uses.push_back({83 * day, "x", false});
    CHECK(found(in) == Names{{FindingKind::stale_recipe, "r"}});
    in.recipes[0].uses.push_back({84 * day, "x", true});
    CHECK(found(in).empty());
    in = empty;
    in.alerts = {{.name = "a", .fired = {1 * day, 2 * day, 3 * day, 4 * day}}};
    CHECK(found(in).empty());
    in.alerts[0].fired.push_back(5 * day);
    CHECK(found(in) == Names{{FindingKind::risk, "a"}});
    in.alerts = {{.name = "a", .fired = {84 * day}, .open = true}};
    CHECK(found(in).empty());
    in.alerts[0].fired[0] = 82 * day;
    CHECK(found(in) == Names{{FindingKind::risk, "a"}});
    in = empty;
    in.decisions = {{.id = "d", .decision = {.title = "late", .status = "accepted", .review_by = 89 * day}}};
    CHECK(found(in) == Names{{FindingKind::risk, "late"}});
    in.decisions[0].decision.review_by = 91 * day;
    CHECK(found(in).empty());
  }
}

TEST_CASE("review: it says its rules, prints, and refuses what cannot be") {
  const Review all = review(simulate(3, {true, true, true, true})).value();
  CHECK(all.rules.size() == 9);
  const std::string text = to_string(all);
  for (const Finding& f : all.findings) {
    CHECK(text.find(f.subject) != std::string::npos);
    CHECK(text.find(f.rule) != std::string::npos);
    CHECK(std::find(all.rules.begin(), all.rules.end(), f.rule) != all.rules.end());
  }
  CHECK(Review::parse(to_json(all)).value() == all);
  CHECK(review(simulate(3, {}), {.missed_share = 0}).value().rules[0].find("more than 0 %") != std::string::npos);

  const auto refused = [](const ReviewInputs& in, const ReviewOptions& options, ErrorCode code) {
    const auto result = review(in, options);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == code);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  const ReviewInputs sound{.from = 0, .until = day};
  refused({.from = 1, .until = 1}, {}, ErrorCode::invalid_argument);
  refused(sound, {.missed_share = not_known}, ErrorCode::invalid_argument);
  refused(sound, {.stale_days = 0}, ErrorCode::invalid_argument);
  refused({.from = 0, .until = day, .margins = {{.name = "m", .margin = 0}}}, {}, ErrorCode::invalid_argument);
  refused({.from = 0, .until = day, .satisfaction = {{0, 3, 2}}}, {}, ErrorCode::invalid_value);
  refused({.from = 0, .until = day, .targets = {{.target = {.name = "t", .metric = "m", .bound = "about"}}}}, {},
          ErrorCode::invalid_argument);
  refused({.from = 0, .until = day, .benchmarks = {{.name = "b", .benchmark = 0}}}, {}, ErrorCode::invalid_argument);
}

TEST_CASE("playbook: every kind says what it means, what to look at, what to recompress and how to go back") {
  for (const char* name : {"drift", "calibration", "accuracy", "latency", "errors", "overflow", "cost", "satisfaction",
                           "anomaly", "other"}) {
    INFO(name);
    const AlertKind kind = alert_kind_from_string(name).value();
    CHECK(to_string(kind) == name);
    const Playbook page = playbook({.name = "an alert",
                                    .kind = kind,
                                    .slice = "region=eu",
                                    .layer = "stage3.conv1",
                                    .cost_item = "machines",
                                    .version = "w4a8",
                                    .baseline = "fp32",
                                    .value = 2,
                                    .limit = 1});
    CHECK(page.meaning.find("{}") == std::string::npos);
    CHECK(page.look_at.size() >= 3);
    CHECK(page.recompress.size() >= 1);
    CHECK(page.roll_back.size() == 3);
    CHECK_FALSE(page.closed_when.empty());
    const std::string text = to_string(page), html = to_html(page);
    for (const char* part : {"region=eu", "stage3.conv1", "machines", "w4a8", "fp32"}) {
      CHECK(html.find(part) != std::string::npos);
      CHECK(text.find(part) != std::string::npos);
    }
    CHECK(Playbook::parse(to_json(page)).value() == page);
  }
  const auto unknown = alert_kind_from_string("latancy");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().remedy().find("latency") != std::string::npos);
  // Without parts it speaks of the service, and of what the alias named before.
  const std::string bare = to_string(playbook({.name = "x", .kind = AlertKind::latency}));
  CHECK(bare.find("the service") != std::string::npos);
  CHECK(bare.find("what it named before") != std::string::npos);
  // Only addresses that cannot run anything lead somewhere.
  Playbook links = playbook({.name = "x"});
  links.alert.links = {
      {"good", "https://example.org/a?b=\"c\""}, {"bad", "javascript:alert(1)"}, {"data", "data:text/html,x"}};
  const std::string html = to_html(links);
  CHECK(html.find("href=\"https://example.org/a?b=&quot;c&quot;\"") != std::string::npos);
  CHECK(html.find("href=\"javascript") == std::string::npos);
  CHECK(html.find("href=\"data") == std::string::npos);
}
