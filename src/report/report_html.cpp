// The front pages, and the report as one document.

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"
#include "report/page.hpp"
#include "report/scale.hpp"

namespace mcomp::inline v0::report {

namespace detail {

namespace {

struct ReaderText {
  const char* label;
  const char* heading;
  const char* lead;
};
constexpr std::array<ReaderText, 3> readers = {{
    {"Build models", "For those who build models",
     "What was tried, what it cost in quality, and which layers pay for it."},
    {"Run them", "For those who run them", "What serves, how fast, whether it drifts, and what to do when it rings."},
    {"Answer for the product", "For those who answer for the product",
     "Whether it is good enough, what it is worth, and whether that is proven."},
}};

/// Collects what a front page shows.
class FrontPage {
 public:
  FrontPage(const Report& report, Reader reader) : r_(report), reader_(reader) {}

  std::string html() {
    const ReaderText& text = readers[static_cast<std::size_t>(reader_)];
    if (reader_ == Reader::builder) builder();
    if (reader_ == Reader::runner) operating();
    if (reader_ == Reader::owner) accountable();
    std::string result = element("h2", text.heading) + element("p", text.lead, "lead");
    if (!tiles_.empty()) result += "<ul class=\"tiles\">\n" + tiles_ + "</ul>\n";
    result += element("h3", "What needs attention");
    result += attention_.empty() ? "<p>" + badge("nothing", Tone::good) + " No part of this report asks for it.</p>\n"
                                 : "<ul class=\"attention\">\n" + attention_ + "</ul>\n";
    if (!figures_.empty()) result += "<div class=\"figures\">\n" + figures_ + "</div>\n";
    return result;
  }

 private:
  void tile(const std::string& name, const std::string& value, const std::string& note) {
    tiles_ += fmt::format("<li class=\"tile\"><span>{}</span><b{}>{}</b><span>{}</span></li>\n", escape_markup(name),
                          value.size() > 11 ? " class=\"long\"" : "", escape_markup(value), escape_markup(note));
  }
  void outcome_tile(const std::string& name, const std::string& word, Tone tone, const std::string& note) {
    tiles_ += fmt::format("<li class=\"tile\"><span>{}</span><b>{}</b><span>{}</span></li>\n", escape_markup(name),
                          badge(word, tone), escape_markup(note));
  }
  void attend(Tone tone, const std::string& word, const std::string& text, const std::string& part) {
    if (++attended_ > most_attended) return;
    attention_ += fmt::format("<li class=\"{}\">{} {} <a href=\"#{}\">More</a></li>\n",
                              tone == Tone::bad ? "bad" : "warn", badge(word, tone), escape_markup(text), part);
  }
  void draw(const Chart& chart, const char* id, bool wide = false) {
    figures_ += figure(chart, {.id = fmt::format("front-{}-{}", static_cast<int>(reader_), id), .wide = wide});
  }

  /// As many rows as a front page has room for: those with the greatest values.
  template <class Row, class Value> static bool shorten(std::vector<Row>& rows, const Value& value) {
    if (rows.size() <= most_rows) return false;
    std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
      const double x = value(a), y = value(b);
      return std::isfinite(x) && (!std::isfinite(y) || x > y);
    });
    rows.resize(most_rows);
    return true;
  }

  void verdict_tile() {
    if (!r_.verdict) return;
    const auto passed = std::count_if(r_.verdict->checks.begin(), r_.verdict->checks.end(),
                                      [](const auto& c) { return c.outcome == "pass"; });
    outcome_tile("verdict", outcome_word(r_.verdict->outcome), tone_of(r_.verdict->outcome),
                 fmt::format("{} of {} criteria", passed, r_.verdict->checks.size()));
  }
  void failed_checks() {
    if (!r_.verdict) return;
    for (const auto& check : r_.verdict->checks)
      if (check.outcome != "pass")
        attend(tone_of(check.outcome), outcome_word(check.outcome), check.name + ": " + check.sentence, "verdict");
  }
  void findings(std::initializer_list<FindingKind> kinds) {
    if (!r_.review) return;
    for (const Finding& f : r_.review->findings)
      if (std::find(kinds.begin(), kinds.end(), f.kind) != kinds.end())
        attend(Tone::warn, to_string(f.kind), f.subject + ": " + f.sentence, "review");
  }
  void saving_tile() {
    if (!r_.cost) return;
    tile("saving per month", number_text(r_.cost->saving.value, r_.cost->currency, 3),
         r_.cost->saving.interval ? fmt::format("{} to {}", compact(r_.cost->saving.interval->lower, 3),
                                                compact(r_.cost->saving.interval->upper, 3))
                                  : "without interval");
  }

  void builder() {
    verdict_tile();
    if (r_.trials) {
      const ScatterChart chart = trial_chart(*r_.trials);
      const std::vector<std::string> front = pareto_front(chart);
      tile("trials", std::to_string(r_.trials->trials.size()), fmt::format("{} on the Pareto front", front.size()));
      // The least (or greatest) of the front that won.
      const ScatterChart::Point* best = nullptr;
      for (const auto& p : chart.points) {
        if (std::find(front.begin(), front.end(), p.name) == front.end() || p.group != "won") continue;
        if (best == nullptr || (chart.higher_x_better ? p.x > best->x : p.x < best->x)) best = &p;
      }
      if (best != nullptr)
        tile(fmt::format("best {} that won", label_of(r_.trials->across)), number_text(best->x, chart.x.unit, 3),
             fmt::format("{}, {} {}", best->name, label_of(r_.trials->up), format_number(best->y, chart.y.unit)));
      draw(chart, "trials");
    }
    if (r_.reliability.size() > 0) {
      const auto& last = r_.reliability.back();
      tile("calibration error", number_text(last.ece, "", 3), last.name);
    }
    if (r_.slices && !r_.slices->measures.empty()) {
      BarChart chart = slice_chart(*r_.slices, 0);
      shorten(chart.bars, [](const auto& bar) { return bar.value.value; });
      tile("worst slice", worst_slice(chart).first, worst_slice(chart).second);
      draw(chart, "slices");
    }
    if (!r_.layers.empty()) {
      LayerSection section = r_.layers[0];
      if (shorten(section.layers, [](const auto& l) { return l.values.empty() ? not_known : l.values.back(); }))
        section.subject += fmt::format(" (the {} greatest)", most_rows);
      draw(layer_chart(section), "layers", section.measures.size() > 4);
    }
    failed_checks();
    findings({FindingKind::stale_recipe, FindingKind::unused_margin, FindingKind::missed_target});
  }

  void operating() {
    if (r_.rollout) {
      const std::string stage = r_.rollout->stages.empty() ? "not known" : r_.rollout->stages.back().name;
      tile("rollout", stage,
           r_.rollout->stages.empty() ? ""
                                      : format_number(r_.rollout->stages.back().share, "fraction") + " of the users");
      if (stage == "rolled back" || stage == "paused" || stage == "failed")
        attend(stage == "paused" ? Tone::warn : Tone::bad, stage, r_.rollout->state, "rollout");
    }
    if (r_.latency)
      for (const auto& model : r_.latency->models)
        tile("p99 of " + model.name, number_text(model.p99.value, "seconds", 3),
             r_.latency->p99_limit ? "limit " + format_number(*r_.latency->p99_limit, "seconds") : "no limit is set");
    if (r_.drift) {
      std::size_t above = 0;
      for (const auto& s : r_.drift->series)
        if (s.limit && !s.readings.empty() && s.readings.back().value > *s.limit) {
          ++above;
          attend(Tone::bad, "drift",
                 fmt::format("{} is {}, above its limit of {}.", s.name, format_number(s.readings.back().value, s.unit),
                             format_number(*s.limit, s.unit)),
                 "drift");
        }
      tile("drift now", std::to_string(above), fmt::format("of {} series above their limit", r_.drift->series.size()));
    }
    tile("alerts with a playbook", std::to_string(r_.playbooks.size()), r_.playbooks.empty() ? "none" : "see below");
    for (const Playbook& p : r_.playbooks)
      attend(Tone::bad, to_string(p.alert.kind),
             fmt::format("{}: {}, limit {}.", p.alert.name, format_number(p.alert.value, p.alert.unit),
                         format_number(p.alert.limit, p.alert.unit)),
             "playbooks");
    if (r_.rollout) draw(rollout_chart(*r_.rollout), "rollout", true);
    if (r_.latency && std::any_of(r_.latency->models.begin(), r_.latency->models.end(),
                                  [](const auto& m) { return !m.bins.empty(); }))
      draw(latency_distribution(*r_.latency), "latency");
    if (r_.drift && !r_.drift->series.empty()) {
      // The series that is furthest above its limit.
      std::size_t worst = 0;
      double most = -1;
      for (std::size_t i = 0; i < r_.drift->series.size(); ++i) {
        const auto& s = r_.drift->series[i];
        if (!s.limit || !(*s.limit > 0) || s.readings.empty()) continue;
        if (const double over = s.readings.back().value / *s.limit; over > most) most = over, worst = i;
      }
      draw(drift_chart(*r_.drift, worst), "drift");
    }
    if (r_.service && !r_.service->measures.empty()) {
      BarChart chart = slice_chart(*r_.service, 0);
      shorten(chart.bars, [](const auto& bar) { return bar.value.value; });
      draw(chart, "service");
    }
    if (r_.cost && !r_.cost->hours.empty()) draw(hour_chart(*r_.cost), "hours");
    findings({FindingKind::risk, FindingKind::forecast_miss});
  }

  void accountable() {
    verdict_tile();
    if (r_.review) {
      const auto met = std::count_if(r_.review->targets.begin(), r_.review->targets.end(),
                                     [](const auto& t) { return t.answer == "met"; });
      if (!r_.review->targets.empty())
        outcome_tile("targets", fmt::format("{} of {} met", met, r_.review->targets.size()),
                     met == static_cast<std::ptrdiff_t>(r_.review->targets.size()) ? Tone::good : Tone::bad,
                     "in the reviewed period");
      tile("findings", std::to_string(r_.review->findings.size()), "of the periodic review");
    }
    saving_tile();
    if (r_.cost)
      tile("pays for itself",
           r_.cost->break_even_months ? fmt::format("{} months", compact(*r_.cost->break_even_months, 2)) : "never",
           r_.cost->decision.empty() ? "" : "advice: " + r_.cost->decision);
    if (r_.audit) {
      const bool sound = r_.audit->verified && r_.audit->problems.empty();
      outcome_tile("audit log",
                   !r_.audit->verified ? "not verified"
                   : sound             ? "proven"
                                       : "broken",
                   !r_.audit->verified ? Tone::warn
                   : sound             ? Tone::good
                                       : Tone::bad,
                   fmt::format("{} events", r_.audit->events));
      for (const std::string& problem : r_.audit->problems) attend(Tone::bad, "audit", problem, "audit");
    }
    failed_checks();
    findings({FindingKind::missed_target, FindingKind::satisfaction_fell, FindingKind::cost_above_benchmark,
              FindingKind::forecast_miss, FindingKind::risk});
    if (r_.cost)
      for (const std::string& concern : r_.cost->concerns) attend(Tone::warn, "cost", concern, "cost");
    if (r_.cost) draw(cost_chart(*r_.cost), "cost");
    if (r_.slices && !r_.slices->measures.empty()) {
      BarChart chart = slice_chart(*r_.slices, 0);
      shorten(chart.bars, [](const auto& bar) { return bar.value.value; });
      draw(chart, "slices");
    }
    if (!r_.reliability.empty()) draw(reliability_chart(r_.reliability.back()), "reliability");
  }

  static std::pair<std::string, std::string> worst_slice(const BarChart& chart) {
    const BarChart::Bar* worst = nullptr;
    for (const auto& bar : chart.bars)
      if (std::isfinite(bar.value.value) && (worst == nullptr || bar.value.value > worst->value.value)) worst = &bar;
    if (worst == nullptr) return {"not known", ""};
    return {worst->name, number_text(worst->value.value, chart.value.unit, 3) + " " + chart.value.label};
  }

  static constexpr int most_attended = 12;
  static constexpr std::size_t most_rows = 16;
  const Report& r_;
  Reader reader_;
  std::string tiles_, attention_, figures_;
  int attended_ = 0;
};

} // namespace

std::string front_page(const Report& report, Reader reader) {
  return FrontPage(report, reader).html();
}

} // namespace detail

std::string to_html(const Report& report, const HtmlOptions& options) {
  using detail::element;
  std::string body = "<header>\n" + element("h1", report.title.empty() ? "Report" : report.title);
  std::string line = report.subject;
  if (report.time != 0) line += (line.empty() ? "" : ", ") + detail::time_of(static_cast<double>(report.time)) + " UTC";
  if (!line.empty()) body += element("p", line, "soft");
  if (!report.summary.empty()) body += element("p", report.summary, "lead");
  const std::vector<detail::Part> parts = detail::parts_of(report);
  body += "<nav class=\"parts\" aria-label=\"Parts of this report\">\n<ul>\n";
  for (const auto& part : parts)
    body += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", part.id, escape_markup(part.heading));
  body += "</ul>\n</nav>\n<fieldset class=\"pages\">\n<legend>Front page for those who</legend>\n";
  for (std::size_t i = 0; i < detail::readers.size(); ++i)
    body += fmt::format(
        "<input type=\"radio\" name=\"reader\" id=\"reader-{0}\"{1}><label for=\"reader-{0}\">{2}</label>\n", i,
        i == static_cast<std::size_t>(options.first) ? " checked" : "", escape_markup(detail::readers[i].label));
  body += "</fieldset>\n</header>\n<main id=\"content\" tabindex=\"-1\">\n";
  for (std::size_t i = 0; i < detail::readers.size(); ++i)
    body += fmt::format("<section class=\"page\" id=\"page-{}\" aria-label=\"{}\">\n", i, detail::readers[i].heading) +
            detail::front_page(report, static_cast<Reader>(i)) + "</section>\n";
  for (const auto& part : parts)
    body += fmt::format("<section id=\"{0}\" aria-labelledby=\"{0}-heading\">\n<h2 id=\"{0}-heading\">{1}</h2>\n",
                        part.id, escape_markup(part.heading)) +
            part.body + "</section>\n";
  body += "</main>\n<footer>\n<p>One file without script or network. Numbers that nobody knows read \u201cnot "
          "known\u201d; intervals are "
          "those of the records, at their own levels. Times are UTC.</p>\n</footer>\n";
  return detail::document(report.title.empty() ? "Report" : report.title, options.language, body);
}

std::string to_html(const Playbook& page) {
  const std::string title = "Playbook: " + page.alert.name;
  Playbook alone = page; // places of a report are not here
  std::erase_if(alone.alert.links, [](const Link& each) { return each.address.starts_with("#"); });
  return detail::document(title, "en",
                          "<main id=\"content\" tabindex=\"-1\">\n<section>\n" + detail::element("h1", title) +
                              detail::playbook_body(alone, 2) + "</section>\n</main>\n");
}

} // namespace mcomp::inline v0::report
