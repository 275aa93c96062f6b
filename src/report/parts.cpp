// The parts of a report that all readers share, each with its figures and tables.

#include <algorithm>
#include <cmath>
#include <set>

#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"
#include "report/page.hpp"
#include "report/scale.hpp"

namespace mcomp::inline v0::report::detail {

namespace {

constexpr std::size_t most_entries = 200; ///< of the log that are shown

std::string day_of(std::int64_t time) {
  return time == 0 ? std::string("none") : date_of(static_cast<double>(time));
}

/// @param count  two and four stand in pairs
std::string figures(const std::string& inside, std::size_t count = 0) {
  return fmt::format("<div class=\"figures{}\">\n", count == 2 || count == 4 ? " pairs" : "") + inside + "</div>\n";
}

/// A name of several words without blanks may break between them.
Cell breakable(const std::string& name) {
  std::string markup;
  for (const char c : escape_markup(name)) {
    if (c == '[') markup += "<wbr>";
    markup += c;
    if (c == '_' || c == '/') markup += "<wbr>";
  }
  return {name, markup};
}

std::string sentence(const std::string& text) {
  return text.empty() ? "" : element("p", text);
}

std::string verdict_part(const VerdictSection& v) {
  PageTable checks{.columns = {"criterion", "answer", "what was found"}, .numeric = {}, .rows = {}};
  for (const auto& check : v.checks)
    checks.rows.push_back({breakable(check.name),
                           {outcome_word(check.outcome), badge(outcome_word(check.outcome), tone_of(check.outcome))},
                           {check.sentence}});
  return fmt::format("<p>{} {}</p>\n", badge(outcome_word(v.outcome), tone_of(v.outcome)),
                     escape_markup(fmt::format("{} against {}, {} rows of {}.", v.candidate, v.baseline,
                                               compact(static_cast<double>(v.rows)),
                                               v.suite.empty() ? "the suite" : v.suite))) +
         table(checks, "Criteria and answers");
}

std::string trial_part(const TrialSection& section) {
  std::vector<Measure> measures = {section.up, section.across};
  measures.insert(measures.end(), section.others.begin(), section.others.end());
  PageTable rows{.columns = {"trial", "status"}, .numeric = {false, false}, .rows = {}};
  for (const Measure& m : measures) rows.columns.push_back(label_of(m)), rows.numeric.push_back(true);
  // Only parameters that differ between trials tell them apart.
  std::set<std::string> differing;
  for (const auto& trial : section.trials)
    for (const auto& [name, value] : trial.parameters)
      if (std::any_of(section.trials.begin(), section.trials.end(), [&, &n = name, &v = value](const auto& other) {
            const auto found = other.parameters.find(n);
            return found == other.parameters.end() || found->second != v;
          }))
        differing.insert(name);
  for (const std::string& name : differing) rows.columns.push_back(name), rows.numeric.push_back(false);
  const std::vector<std::string> front = pareto_front(trial_chart(section));
  for (const auto& trial : section.trials) {
    const std::string name = trial.name.empty() ? trial.id : trial.name;
    const bool best = std::find(front.begin(), front.end(), name) != front.end();
    std::vector<Cell> row = {
        {name, best ? "<strong>" + escape_markup(name) + "</strong> " + badge("front", Tone::none) : ""},
        {trial.status, badge(trial.status.empty() ? "not known" : trial.status, tone_of(trial.status))}};
    for (const Measure& m : measures) {
      const auto found = trial.metrics.find(m.name);
      row.push_back({format_number(found == trial.metrics.end() ? not_known : found->second, m.unit)});
    }
    for (const std::string& parameter : differing) {
      const auto found = trial.parameters.find(parameter);
      row.push_back({found == trial.parameters.end() ? "" : found->second});
    }
    rows.rows.push_back(std::move(row));
  }
  return figure(trial_chart(section), {.id = "trials-chart", .wide = true}) + table(rows, "Trials");
}

std::string layer_part(const std::vector<LayerSection>& sections) {
  std::string html;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    html += figure(layer_chart(sections[i]), {.id = fmt::format("layers-{}", i),
                                              .wide = sections[i].measures.size() > 4 || sections.size() == 1});
    const bool actions = std::any_of(sections[i].layers.begin(), sections[i].layers.end(),
                                     [](const auto& l) { return !l.action.empty(); });
    if (!actions) continue;
    PageTable rows{.columns = {"layer", "what happens to it"}, .numeric = {}, .rows = {}};
    for (const auto& layer : sections[i].layers) rows.rows.push_back({{layer.name}, {layer.action}});
    html += "<div>" + table(rows, sections[i].subject + ", actions") + "</div>\n";
  }
  return figures(html);
}

std::string latency_part(const LatencySection& section) {
  PageTable rows{.columns = {"model", "requests", "mean", "p50", "p95", "p99"},
                 .numeric = {false, true, true, true, true, true},
                 .rows = {}};
  for (const auto& m : section.models)
    rows.rows.push_back({{m.name},
                         {compact(static_cast<double>(m.count))},
                         {estimate_text(m.mean, "seconds")},
                         {estimate_text(m.p50, "seconds")},
                         {estimate_text(m.p95, "seconds")},
                         {estimate_text(m.p99, "seconds")}});
  const bool drawn =
      std::any_of(section.models.begin(), section.models.end(), [](const auto& m) { return !m.bins.empty(); });
  return (drawn ? figures(figure(latency_histogram(section), {.id = "latency-histogram"}) +
                              figure(latency_distribution(section), {.id = "latency-cumulative"}),
                          2)
                : "") +
         table(rows, "Latency with intervals");
}

std::string slice_part(const SliceSection& section, bool service) {
  const char* id = service ? "service" : "slices";
  std::string charts;
  std::size_t drawn = 0;
  for (std::size_t m = 0; m < section.measures.size(); ++m) {
    // One number alone is no comparison; the table has it.
    const auto known = std::count_if(section.slices.begin(), section.slices.end(), [&](const auto& s) {
      return m < s.values.size() && std::isfinite(s.values[m].value);
    });
    if (known < 2 && section.slices.size() > 1) continue;
    charts += figure(slice_chart(section, m), {.id = fmt::format("{}-{}", id, m)});
    ++drawn;
  }
  PageTable rows{.columns = {"slice", "rows"}, .numeric = {false, true}, .rows = {}};
  for (const Measure& m : section.measures) {
    rows.columns.push_back(label_of(m) + (m.limit ? fmt::format(" (limit {})", format_number(*m.limit, m.unit)) : ""));
    rows.numeric.push_back(true);
  }
  for (const auto& slice : section.slices) {
    std::vector<Cell> row = {{slice.name}, {compact(static_cast<double>(slice.rows))}};
    for (std::size_t m = 0; m < section.measures.size(); ++m)
      row.push_back({estimate_text(m < slice.values.size() ? slice.values[m] : Estimate{}, section.measures[m].unit)});
    rows.rows.push_back(std::move(row));
  }
  const std::string compared =
      fmt::format("{} less {}, on the same rows.", section.candidate.empty() ? "Candidate" : section.candidate,
                  section.baseline.empty() ? "baseline" : section.baseline);
  const std::string served =
      section.candidate.empty() ? "What was measured in service." : section.candidate + ", measured in service.";
  return element("p", service ? served : compared) + figures(charts, drawn) +
         table(rows, "Slices by metrics with intervals");
}

std::string cost_part(const CostSection& section) {
  std::string html = sentence(section.advice) + list(section.concerns);
  std::string charts = figure(cost_chart(section), {.id = "cost-waterfall"});
  if (!section.levers.empty()) charts += figure(lever_chart(section), {.id = "cost-levers"});
  if (!section.hours.empty()) charts += figure(hour_chart(section), {.id = "cost-hours"});
  return html + figures(charts);
}

std::string audit_part(const AuditSection& section) {
  const std::string proof = !section.verified ? badge("not verified", Tone::warn)
                            : section.problems.empty()
                                ? badge("every event proven", Tone::good)
                                : badge(fmt::format("{} problems", section.problems.size()), Tone::bad);
  std::string html =
      fmt::format("<p>{} {}</p>\n", proof,
                  escape_markup(fmt::format("{} events ({} redacted), {} record versions, {} alias states.",
                                            section.events, section.redacted, section.records, section.aliases)));
  if (!section.root.empty())
    html += "<p class=\"small\">Root of the log: <code>" + escape_markup(section.root) + "</code></p>\n";
  html += list(section.problems);
  PageTable rows{.columns = {"event", "time, UTC", "what", "about", "by", "digest"},
                 .numeric = {true, false, false, false, false, false},
                 .rows = {}};
  const std::size_t first = section.entries.size() > most_entries ? section.entries.size() - most_entries : 0;
  for (std::size_t i = first; i < section.entries.size(); ++i) {
    const auto& e = section.entries[i];
    rows.rows.push_back({{std::to_string(e.index)},
                         {e.redacted ? "" : time_of(static_cast<double>(e.time))},
                         {e.redacted ? "redacted" : e.kind},
                         {e.subject},
                         {e.actor},
                         {e.digest.substr(0, 12), "<code>" + escape_markup(e.digest.substr(0, 12)) + "</code>"}});
  }
  if (first > 0)
    html += element("p", fmt::format("The last {} events; the JSON of this report has all.", most_entries), "small");
  return html + table(rows, "Events of the log");
}

std::string decision_part(const std::vector<DecisionEntry>& decisions) {
  std::string html;
  for (const auto& d : decisions) {
    html += "<div class=\"card\">\n<h3>" + escape_markup(d.title) + "</h3>\n<p>" +
            badge(d.status.empty() ? "not known" : d.status, Tone::none) + " <span class=\"soft small\">" +
            escape_markup(fmt::format("{}, {}, to be reviewed: {}", d.owner.empty() ? "nobody" : d.owner,
                                      day_of(d.time), day_of(d.review_by))) +
            "</span></p>\n" + sentence(d.rationale);
    if (!d.consequences.empty()) html += element("p", "Consequences: " + d.consequences, "soft");
    std::string evidence;
    for (const auto& id : d.evidence) evidence += (evidence.empty() ? "Evidence: " : ", ") + id;
    if (!evidence.empty()) html += element("p", evidence, "small soft");
    html += "</div>\n";
  }
  return html;
}

std::string review_part(const Review& review) {
  std::string html = element("p", fmt::format("From {} to {}.", day_of(review.from), day_of(review.until)), "soft");
  if (review.findings.empty())
    html += "<p>" + badge("nothing found", Tone::good) + " No rule was broken in this period.</p>\n";
  for (const Finding& f : review.findings) {
    html += "<div class=\"card finding\">\n<h3>" + badge(to_string(f.kind), Tone::warn) + " " +
            escape_markup(f.subject) + "</h3>\n" + sentence(f.sentence) + "<dl>\n";
    for (const Evidence& e : f.evidence)
      html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_markup(e.name),
                          escape_markup(e.text.empty() ? format_number(e.value, e.unit) : e.text));
    html += "</dl>\n" + element("p", "Rule: " + f.rule, "small soft");
    if (!f.next.empty()) html += element("p", "To try: " + f.next);
    html += "</div>\n";
  }
  if (!review.targets.empty()) {
    PageTable rows{.columns = {"target", "metric", "asked", "mean", "last", "broken", "answer"},
                   .numeric = {false, false, true, true, true, true, false},
                   .rows = {}};
    for (const auto& t : review.targets)
      rows.rows.push_back({{t.name},
                           {t.slice.empty() ? t.metric : t.metric + ", " + t.slice},
                           {t.bound + " " + format_number(t.limit, t.unit)},
                           {format_number(t.mean, t.unit)},
                           {format_number(t.last, t.unit)},
                           {fmt::format("{} of {}", t.missed, t.readings)},
                           {t.answer, badge(t.answer, tone_of(t.answer))}});
    html += element("h3", "Targets against results") + table(rows, "Targets against results");
  }
  if (!review.lines.empty()) {
    PageTable rows{.columns = {"about", "answer", "what was found"}, .numeric = {}, .rows = {}};
    for (const auto& l : review.lines)
      rows.rows.push_back({breakable(l.topic + ": " + l.subject),
                           {"", l.finding ? badge("finding", Tone::warn) : badge("in order", Tone::good)},
                           {l.sentence}});
    html += element("h3", "What was looked at") + table(rows, "What was looked at");
  }
  if (!review.next.empty()) html += element("h3", "What to try next") + list(review.next, true);
  return html + "<details><summary>The rules of this review</summary>\n" + list(review.rules) + "</details>\n";
}

} // namespace

std::string playbook_body(const Playbook& page, int level) {
  const AlertFacts& a = page.alert;
  const std::string heading = fmt::format("h{}", level);
  std::string html = "<dl>\n";
  const auto fact = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_markup(name), escape_markup(value));
  };
  fact("kind", to_string(a.kind));
  fact("slice", a.slice);
  fact("layer", a.layer);
  fact("cost item", a.cost_item);
  fact("version", a.version);
  fact("goes back to", a.baseline);
  if (a.time != 0) fact("since", time_of(static_cast<double>(a.time)) + " UTC");
  fact("value", format_number(a.value, a.unit));
  fact("limit", format_number(a.limit, a.unit));
  for (const Evidence& e : a.numbers) fact(e.name, e.text.empty() ? format_number(e.value, e.unit) : e.text);
  html += "</dl>\n";
  const auto block = [&](const char* title, const std::string& inside) {
    html += "<div>" + element(heading, title) + inside + "</div>\n";
  };
  html += element("p", page.meaning, "lead") + "<div class=\"two\">\n";
  block("What to look at", list(page.look_at, true));
  block("What to recompress", list(page.recompress));
  block("How to go back", list(page.roll_back, true));
  block("It is over when", sentence(page.closed_when));
  html += "</div>\n";
  if (!a.links.empty()) {
    html += element(heading, "Links") + "<ul>\n";
    for (const Link& each : a.links) html += "<li>" + link(each) + "</li>\n";
    html += "</ul>\n";
  }
  return html;
}

std::vector<Part> parts_of(const Report& r) {
  std::vector<Part> parts;
  if (r.verdict) parts.push_back({"verdict", "Verdict", verdict_part(*r.verdict)});
  if (r.trials) parts.push_back({"trials", "Trials", trial_part(*r.trials)});
  if (!r.layers.empty()) parts.push_back({"layers", "Layers", layer_part(r.layers)});
  if (!r.reliability.empty()) {
    std::string charts;
    for (std::size_t i = 0; i < r.reliability.size(); ++i)
      charts += figure(reliability_chart(r.reliability[i]), {.id = fmt::format("reliability-{}", i)});
    parts.push_back({"reliability", "Reliability of the confidence", figures(charts, r.reliability.size())});
  }
  if (r.latency) parts.push_back({"latency", "Latency", latency_part(*r.latency)});
  if (r.slices) parts.push_back({"slices", "Slices", slice_part(*r.slices, false)});
  if (r.service) parts.push_back({"service", "In service", slice_part(*r.service, true)});
  if (r.rollout)
    parts.push_back(
        {"rollout", "Rollout",
         sentence(r.rollout->state) + figure(rollout_chart(*r.rollout), {.id = "rollout-chart", .wide = true})});
  if (r.drift) {
    std::string charts;
    for (std::size_t i = 0; i < r.drift->series.size(); ++i)
      charts += figure(drift_chart(*r.drift, i), {.id = fmt::format("drift-{}", i), .wide = true});
    parts.push_back({"drift", "Drift", figures(charts)});
  }
  if (r.cost) parts.push_back({"cost", "Cost", cost_part(*r.cost)});
  if (r.review) parts.push_back({"review", "Periodic review", review_part(*r.review)});
  if (!r.playbooks.empty()) {
    std::string html;
    for (const Playbook& p : r.playbooks)
      html += "<div class=\"card\">\n" + element("h3", "Alert: " + p.alert.name) + playbook_body(p, 4) + "</div>\n";
    parts.push_back({"playbooks", "Playbooks", std::move(html)});
  }
  if (!r.decisions.empty()) parts.push_back({"decisions", "Decisions", decision_part(r.decisions)});
  if (r.audit) parts.push_back({"audit", "Audit", audit_part(*r.audit)});
  return parts;
}

} // namespace mcomp::inline v0::report::detail
