#include "mcomp/monitor/alert_rules.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "core/json_schema.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/monitor/burn_rate.hpp"

namespace mcomp::inline v0::monitor {

namespace {

using evaluate::Criteria;
using mcomp::detail::Json;

bool is_name(const std::string& text) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) == 0 &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; });
}

Status check(const RuleOptions& options) {
  const auto bad = [](const char* name, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, name, rule, remedy);
  };
  if (!is_name(options.prefix)) return bad("prefix", fmt::format("'{}'", options.prefix), "pass that of the metrics");
  if (!is_name(options.version_dimension))
    return bad("version_dimension", fmt::format("'{}' is no name of a label", options.version_dimension),
               "pass that of the instruments");
  constexpr int week = 7 * 24 * 60;
  if (options.window_minutes < 1 || options.window_minutes > week)
    return bad("window_minutes", fmt::format("{}", options.window_minutes), "pass 1 to 10,080");
  if (options.hold_minutes < 0 || options.hold_minutes > week)
    return bad("hold_minutes", fmt::format("{}", options.hold_minutes), "pass 0 to 10,080");
  if (options.objective && !(*options.objective > 0 && *options.objective < 1))
    return bad("objective", fmt::format("{} is not within (0, 1)", *options.objective), "pass for example 0.999");
  if (!options.candidate.empty() && options.candidate == options.baseline)
    return bad("candidate", "it is the baseline", "name two versions");
  return {};
}

/// A string of PromQL or YAML in double quotes; JSON's escapes serve both.
std::string quoted(const std::string& text) {
  return mcomp::detail::dumped(Json(text));
}

/// "max_latency_p99_seconds[region=eu]" as "McompMaxLatencyP99SecondsRegionEu".
std::string alert_name(const std::string& criterion) {
  std::string name = "Mcomp";
  bool upper = true;
  for (const char c : criterion) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) {
      upper = true;
      continue;
    }
    name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return name;
}

/// Expressions over the exported metrics.
struct Expressions {
  const RuleOptions& options;

  /// {model_version="v8",region="eu"}
  [[nodiscard]] std::string matchers(const std::string& version, const std::string& dimension = {},
                                     const std::string& value = {}) const {
    std::string text;
    if (!version.empty()) text += fmt::format("{}={}", options.version_dimension, quoted(version));
    if (!dimension.empty()) text += fmt::format("{}{}={}", text.empty() ? "" : ",", dimension, quoted(value));
    return text.empty() ? text : "{" + text + "}";
  }
  [[nodiscard]] std::string rate(const char* metric, const std::string& of) const {
    return fmt::format("sum(rate({}_{}{}[{}m]))", options.prefix, metric, of, options.window_minutes);
  }
  [[nodiscard]] std::string quantile(double probability, const std::string& of) const {
    return fmt::format("histogram_quantile({}, sum by (le) (rate({}_latency_seconds_bucket{}[{}m])))", probability,
                       options.prefix, of, options.window_minutes);
  }
  /// The mean of a gauge over series, by their labels.
  [[nodiscard]] std::string by_labels(const char* gauge, const std::string& of) const {
    return fmt::format("(sum({0}_{1}{2} * {0}_labels_total{2}) / sum({0}_labels_total{2}))", options.prefix, gauge, of);
  }
  [[nodiscard]] std::string cost(const std::string& of) const {
    return fmt::format("({} / {})", rate("cost_total", of), rate("requests_total", of));
  }
};

struct Slice {
  std::string dimension, value;
};
Result<Slice> slice_of(const std::string& name) {
  const std::size_t equals = name.find('=');
  if (equals == std::string::npos || !is_name(name.substr(0, equals)) || equals + 1 == name.size())
    return Error(ErrorCode::invalid_argument, fmt::format("slice '{}'", name), "it is not dimension=value",
                 "name slices by a dimension of the instruments, such as region=eu");
  return Slice{name.substr(0, equals), name.substr(equals + 1)};
}

struct Watch {
  std::vector<WatchedCriterion> watched;
  std::vector<std::string> not_watched;
};

Result<Watch> watch(const Criteria& criteria, const RuleOptions& options) {
  MCOMP_CHECK(evaluate::check(criteria));
  MCOMP_CHECK(check(options));
  Watch result;
  const Expressions e{options};
  const std::string candidate = e.matchers(options.candidate), baseline = e.matchers(options.baseline);
  std::string compared; // the first criterion that needs a baseline
  const auto add = [&](const std::string& criterion, std::string expression, const char* comparison, double bound,
                       std::string summary) {
    result.watched.push_back(
        {criterion, alert_name(criterion), std::move(expression), comparison, bound, std::move(summary)});
  };
  const auto compare = [&](const std::string& criterion, std::string expression, const char* comparison, double bound,
                           std::string summary) {
    if (compared.empty()) compared = criterion;
    add(criterion, std::move(expression), comparison, bound, std::move(summary));
  };
  const auto skip = [&](const char* criterion, bool is_set, const char* reason) {
    if (is_set) result.not_watched.push_back(fmt::format("{}: {}", criterion, reason));
  };
  const auto difference = [&](const char* gauge, bool rise, const std::string& dimension, const std::string& value) {
    const std::string of_candidate = e.by_labels(gauge, e.matchers(options.candidate, dimension, value)),
                      of_baseline = e.by_labels(gauge, e.matchers(options.baseline, dimension, value));
    return rise ? of_candidate + " - " + of_baseline : of_baseline + " - " + of_candidate;
  };

  if (criteria.max_accuracy_loss)
    compare("max_accuracy_loss", difference("label_accuracy_ratio", false, "", ""), ">", *criteria.max_accuracy_loss,
            "Accuracy on labels that came fell by more than the margin.");
  if (criteria.min_speedup)
    compare("min_speedup", e.quantile(0.5, baseline) + " / " + e.quantile(0.5, candidate), "<", *criteria.min_speedup,
            "The median request is not as much faster than the baseline as was demanded.");
  if (criteria.max_latency_p99_seconds)
    add("max_latency_p99_seconds", e.quantile(0.99, candidate), ">", *criteria.max_latency_p99_seconds,
        "The 99th percentile of latency is above its bound.");
  skip("max_size_ratio", criteria.max_size_ratio.has_value(), "the size of a model does not change in service");
  if (criteria.max_ece_increase)
    compare("max_ece_increase", difference("calibration_error_ratio", true, "", ""), ">", *criteria.max_ece_increase,
            "Confidence is further from accuracy than that of the baseline by more than the margin.");
  if (criteria.max_monthly_cost_ratio)
    compare("max_monthly_cost_ratio", e.cost(candidate) + " / " + e.cost(baseline), ">",
            *criteria.max_monthly_cost_ratio, "A request costs more, against the baseline, than was demanded.");
  skip("max_memory_ratio", criteria.max_memory_ratio.has_value(),
       "the memory of a process is not that of one of its models");
  skip("max_loss_increase", criteria.max_loss_increase.has_value(), "instruments do not count the loss");
  skip("max_negative_flip_fraction", criteria.max_negative_flip_fraction.has_value(),
       "requests are answered by one model only");
  if (criteria.max_slice_accuracy_loss)
    compare(
        "max_slice_accuracy_loss",
        fmt::format("max without ({0}) ({1}_label_accuracy_ratio{2}) - max without ({0}) ({1}_label_accuracy_ratio{3})",
                    options.version_dimension, options.prefix, baseline, candidate),
        ">", *criteria.max_slice_accuracy_loss, "Accuracy of a slice fell by more than the margin.");
  for (const auto& [name, margin] : criteria.protected_slices) {
    MCOMP_TRY(slice, slice_of(name));
    compare(fmt::format("protected_slices[{}]", name),
            difference("label_accuracy_ratio", false, slice.dimension, slice.value), ">", margin,
            fmt::format("Accuracy of the protected slice {} fell by more than its margin.", name));
  }
  if (criteria.max_slice_ece_increase)
    compare("max_slice_ece_increase",
            fmt::format("max without ({0}) ({1}_calibration_error_ratio{3}) - max without ({0}) "
                        "({1}_calibration_error_ratio{2})",
                        options.version_dimension, options.prefix, baseline, candidate),
            ">", *criteria.max_slice_ece_increase,
            "Confidence of a slice is further from accuracy than the margin allows.");
  for (const auto& [name, bound] : criteria.slice_latency_p99_seconds) {
    MCOMP_TRY(slice, slice_of(name));
    add(fmt::format("slice_latency_p99_seconds[{}]", name),
        e.quantile(0.99, e.matchers(options.candidate, slice.dimension, slice.value)), ">", bound,
        fmt::format("The 99th percentile of latency of {} is above its bound.", name));
  }
  skip("max_demographic_parity_increase", criteria.max_demographic_parity_increase.has_value(),
       "instruments do not count predicted classes");
  skip("max_equalized_odds_increase", criteria.max_equalized_odds_increase.has_value(),
       "instruments do not count predicted classes");
  skip("max_disparate_flip_ratio", criteria.max_disparate_flip_ratio.has_value(),
       "requests are answered by one model only");
  if (!compared.empty() && (options.baseline.empty() || options.candidate.empty()))
    return Error(ErrorCode::invalid_argument, "baseline",
                 fmt::format("{} compares versions, and baseline or candidate has no name", compared),
                 "name both, as their requests are counted");
  return result;
}

/// The burn rates of an objective as rules: the long and the short window both.
void add_burn_rates(std::string& yaml, const RuleOptions& options, const std::string& runbook) {
  const Expressions e{options};
  const std::string of = e.matchers(options.candidate);
  const auto share = [&](double seconds) {
    const auto minutes = static_cast<std::int64_t>(seconds / 60);
    return fmt::format("(sum(rate({0}_request_errors_total{1}[{2}m])) / sum(rate({0}_requests_total{1}[{2}m])))",
                       options.prefix, of, minutes);
  };
  const double budget = 1 - *options.objective;
  const BurnRateOptions defaults;
  for (const BurnWindow& window : defaults.windows) {
    const double limit = window.factor * budget;
    const auto hours = static_cast<int>(window.long_seconds / 3600);
    yaml += fmt::format(
        "      - alert: McompErrorBudgetBurn{}h\n        expr: {}\n        labels:\n          severity: "
        "{}\n        annotations:\n          summary: {}\n",
        hours,
        quoted(fmt::format("{0} > {2} and {1} > {2}", share(window.long_seconds), share(window.short_seconds), limit)),
        quoted(window.factor > 1 ? "page" : "ticket"),
        quoted(fmt::format("Errors burn the budget of {} at {} times its rate, for {} h.", *options.objective,
                           window.factor, hours)));
    if (!runbook.empty())
      yaml +=
          fmt::format("          runbook_url: {}\n", quoted(runbook + fmt::format("McompErrorBudgetBurn{}h", hours)));
  }
}

} // namespace

Result<PrometheusRules> prometheus_rules(const Criteria& criteria, const RuleOptions& options) {
  MCOMP_TRY(found, watch(criteria, options));
  PrometheusRules result;
  std::string& yaml = result.yaml;
  yaml = "# Generated from the criteria of the release.\n";
  for (const std::string& line : found.not_watched) yaml += fmt::format("# Not watched: {}.\n", line);
  if (found.watched.empty() && !options.objective) {
    yaml += "groups: []\n";
  } else {
    yaml += "groups:\n  - name: mcomp\n    rules:\n";
    for (const WatchedCriterion& w : found.watched) {
      yaml += fmt::format("      - alert: {}\n        expr: {}\n        for: {}m\n        labels:\n          severity: "
                          "{}\n          criterion: {}\n        annotations:\n          summary: {}\n          "
                          "description: {}\n",
                          w.alert, quoted(fmt::format("{} {} {}", w.expression, w.comparison, w.bound)),
                          options.hold_minutes, quoted(options.severity), quoted(w.criterion), quoted(w.summary),
                          quoted(fmt::format("{{{{ $value }}}} breaks the bound {} of {}.", w.bound, w.criterion)));
      if (!options.playbook.empty())
        yaml += fmt::format("          runbook_url: {}\n", quoted(options.playbook + w.alert));
    }
    if (options.objective) add_burn_rates(yaml, options, options.playbook);
  }
  result.watched = std::move(found.watched);
  result.not_watched = std::move(found.not_watched);
  return result;
}

Result<std::string> grafana_dashboard(const Criteria& criteria, const RuleOptions& options) {
  MCOMP_TRY(found, watch(criteria, options));
  Json panels = Json::array();
  const Json source = {{"type", "prometheus"}, {"uid", "${datasource}"}};
  constexpr int width = 12, height = 8, a_row = 24 / width;
  const auto add = [&](const std::string& title, const std::string& description, const std::string& unit,
                       const std::vector<std::pair<std::string, std::string>>& queries,
                       std::optional<double> bound = {}, bool below = false) {
    Json targets = Json::array();
    char letter = 'A';
    for (const auto& [expression, legend] : queries)
      targets.push_back({{"refId", std::string(1, letter++)},
                         {"datasource", source},
                         {"expr", expression},
                         {"legendFormat", legend}});
    Json steps = Json::array({{{"color", bound && below ? "red" : "green"}, {"value", nullptr}}});
    if (bound) steps.push_back({{"color", below ? "green" : "red"}, {"value", *bound}});
    const auto n = static_cast<int>(panels.size());
    panels.push_back(
        {{"id", n + 1},
         {"type", "timeseries"},
         {"title", title},
         {"description", description},
         {"datasource", source},
         {"gridPos", {{"x", n % a_row * width}, {"y", n / a_row * height}, {"w", width}, {"h", height}}},
         {"fieldConfig",
          {{"defaults",
            {{"unit", unit},
             {"thresholds", {{"mode", "absolute"}, {"steps", steps}}},
             {"custom", {{"thresholdsStyle", {{"mode", bound ? "line+area" : "off"}}}}}}},
           {"overrides", Json::array()}}},
         {"options", {{"legend", {{"displayMode", "table"}, {"placement", "bottom"}, {"showLegend", true}}}}},
         {"targets", targets}});
  };
  const std::string by = options.version_dimension, legend = "{{" + by + "}}";
  const auto rate_by = [&](const char* metric) {
    return fmt::format("sum by ({}) (rate({}_{}[{}m]))", by, options.prefix, metric, options.window_minutes);
  };
  const auto quantile_by = [&](double p) {
    return fmt::format("histogram_quantile({}, sum by (le, {}) (rate({}_latency_seconds_bucket[{}m])))", p, by,
                       options.prefix, options.window_minutes);
  };
  add("Requests", "Requests a second, by version.", "reqps", {{rate_by("requests_total"), legend}});
  add("Errors", "Share of requests that failed, by version.", "percentunit",
      {{rate_by("request_errors_total") + " / " + rate_by("requests_total"), legend}},
      options.objective ? std::optional<double>(1 - *options.objective) : std::nullopt);
  add("Latency", "Median and 99th percentile, by version.", "s",
      {{quantile_by(0.5), "p50 " + legend}, {quantile_by(0.99), "p99 " + legend}});
  add("Confidence", "Mean probability of the predicted class, by version.", "percentunit",
      {{fmt::format("avg by ({}) ({}_confidence_mean)", by, options.prefix), legend}});
  add("Cost of a request", "In the currency of the service, by version.", "none",
      {{rate_by("cost_total") + " / " + rate_by("requests_total"), legend}});
  add("Activations beyond their range", "Share, by quantized layer.", "percentunit",
      {{fmt::format("rate({0}_activation_overflows_total[{1}m]) / rate({0}_activations_total[{1}m])", options.prefix,
                    options.window_minutes),
        "{{layer}}"}});
  for (const WatchedCriterion& w : found.watched)
    add(w.criterion, w.summary, w.criterion.find("seconds") != std::string::npos ? "s" : "none",
        {{w.expression, w.criterion}}, w.bound, w.comparison == "<");

  Json json = {
      {"title", options.title},
      {"uid", alert_name(options.title + "_" + options.candidate).substr(0, 40)},
      {"schemaVersion", 39},
      {"version", 1},
      {"editable", true},
      {"tags", {"mcomp"}},
      {"time", {{"from", "now-6h"}, {"to", "now"}}},
      {"refresh", "1m"},
      {"timezone", "utc"},
      {"annotations", {{"list", Json::array()}}},
      {"templating",
       {{"list",
         Json::array(
             {{{"name", "datasource"}, {"label", "Data source"}, {"type", "datasource"}, {"query", "prometheus"}}})}}},
      {"panels", panels}};
  return mcomp::detail::dumped(json);
}

} // namespace mcomp::inline v0::monitor
