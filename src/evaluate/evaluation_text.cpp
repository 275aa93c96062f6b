// Evaluations for people: text, Markdown for pull requests, JUnit XML for the servers of continuous integration.

#include <algorithm>

#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"
#include "mcomp/evaluate/evaluation.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

std::string percent(double fraction) {
  return fmt::format("{:.2f} %", 100 * fraction);
}

std::string points(double fraction) {
  return fmt::format("{:+.2f}", 100 * fraction);
}

std::string interval_of(const std::optional<Increase>& increase) {
  if (!increase) return "";
  std::string text = fmt::format("{:+.4f}", increase->value);
  if (increase->interval)
    text += fmt::format(" [{:+.4f}, {:+.4f}]", increase->interval->lower, increase->interval->upper);
  return text;
}

std::string both(const std::optional<double>& before, const std::optional<double>& after,
                 const char* format = "{:.4f}") {
  if (!before || !after) return "";
  return fmt::format(fmt::runtime(format), *before) + " -> " + fmt::format(fmt::runtime(format), *after);
}

std::string milliseconds(const std::optional<stats::LatencySummary>& latency) {
  return latency ? fmt::format("{:.3f}", latency->p99.value * 1e3) : "";
}

/// Text in a cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|')
      escaped += "\\|";
    else if (c == '\n' || c == '\r')
      escaped += ' ';
    else if (c == '<')
      escaped += "&lt;";
    else
      escaped += c;
  }
  return escaped;
}

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::string slice_table(const Evaluation& e) {
  const bool latencies = std::any_of(e.evidence.slices.begin(), e.evidence.slices.end(),
                                     [](const SliceEvidence& s) { return s.candidate_latency.has_value(); });
  std::string text = "| slice | rows | accuracy | loss, points | only baseline / candidate right | ECE | mean loss |";
  text += latencies ? " p99 ms |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
                    : "\n| --- | --- | --- | --- | --- | --- | --- |\n";
  const auto line = [&](const std::string& name, const stats::PairedCounts& counts, const auto& numbers,
                        const std::optional<stats::LatencySummary>& before,
                        const std::optional<stats::LatencySummary>& after) {
    const std::string accuracy =
        counts.pairs() == 0 ? "no rows"
                            : percent(counts.baseline_accuracy()) + " -> " + percent(counts.candidate_accuracy());
    text += fmt::format("| {} | {} | {} | {} | {} / {} | {} | {} |", cell(name), counts.pairs(), accuracy,
                        counts.pairs() == 0 ? "" : points(counts.loss()), counts.only_baseline_right,
                        counts.only_candidate_right, both(numbers.baseline_ece, numbers.candidate_ece),
                        both(numbers.baseline_loss, numbers.candidate_loss));
    if (latencies)
      text += fmt::format(" {} |", before && after ? milliseconds(before) + " -> " + milliseconds(after) : "");
    text += "\n";
  };
  if (e.evidence.accuracy)
    line("(all)", *e.evidence.accuracy, e.evidence, e.evidence.baseline_latency, e.evidence.candidate_latency);
  for (const SliceEvidence& slice : e.evidence.slices)
    line(slice.name, slice.accuracy, slice, slice.baseline_latency, slice.candidate_latency);
  return text;
}

std::string fairness_lines(const Evaluation& e) {
  std::string text;
  for (const FairnessEvidence& f : e.evidence.fairness) {
    text += fmt::format("- by {}:", f.dimension);
    if (f.demographic_parity_increase)
      text += fmt::format(" demographic parity difference {}, {};",
                          both(f.baseline_demographic_parity, f.candidate_demographic_parity),
                          interval_of(f.demographic_parity_increase));
    if (f.equalized_odds_increase)
      text +=
          fmt::format(" equalized odds difference {}, {};", both(f.baseline_equalized_odds, f.candidate_equalized_odds),
                      interval_of(f.equalized_odds_increase));
    if (f.disparate_flip_ratio)
      text += fmt::format(" {:.2f} times as many negative flips in the worst group{} as in all rows",
                          *f.disparate_flip_ratio, f.worst_flip_group.empty() ? "" : " (" + f.worst_flip_group + ")");
    text += "\n";
  }
  return text;
}

std::string use_line(const char* name, const ResourceUse& use) {
  std::string text = fmt::format("- {}: p50 {:.3f} ms, p99 {:.3f} ms, processor {:.3f} ms a request", name,
                                 use.latency.p50.value * 1e3, use.latency.p99.value * 1e3, use.processor_seconds * 1e3);
  for (const auto& [stage, latency] : use.stages)
    text += fmt::format("; {} p50 {:.3f} ms, p99 {:.3f} ms", stage, latency.p50.value * 1e3, latency.p99.value * 1e3);
  return text + "\n";
}

std::string exemplar_table(const Evaluation& e) {
  std::string text = "| row | label | baseline | candidate | slices |\n| --- | --- | --- | --- | --- |\n";
  const auto answer = [](const std::optional<std::int32_t>& predicted, const std::optional<double>& confidence) {
    std::string said = predicted ? fmt::format("{}", *predicted) : "";
    if (confidence) said += fmt::format(" ({:.1f} %)", 100 * *confidence);
    return said;
  };
  for (const Exemplar& x : e.exemplars)
    text += fmt::format("| {} | {} | {} | {} | {} |\n", x.row, x.label, answer(x.baseline_class, x.baseline_confidence),
                        answer(x.candidate_class, x.candidate_confidence), cell(join(x.slices)));
  return text;
}

std::string title(const Evaluation& e) {
  return fmt::format("{} against {} on suite {}{}{}, {} rows", e.candidate.empty() ? "candidate" : e.candidate,
                     e.baseline.empty() ? "baseline" : e.baseline, e.suite, e.suite_version.empty() ? "" : " ",
                     e.suite_version, e.rows);
}

std::string measured(const Evaluation& e) {
  std::string text = slice_table(e);
  if (const auto harmed = harmed_slices(e.evidence); harmed && !harmed->empty()) {
    std::vector<std::string> names;
    for (const SliceLoss& loss : *harmed)
      names.push_back(fmt::format("{} ({} points, p {:.2g})", loss.name, points(loss.loss), loss.adjusted_p_value));
    text += fmt::format("\nShown to have lost accuracy, of all slices tested together: {}\n", join(names));
  }
  if (const std::string lines = fairness_lines(e); !lines.empty()) text += "\nFairness\n\n" + lines;
  if (e.baseline_use && e.candidate_use)
    text += "\nRequests\n\n" + use_line("baseline", *e.baseline_use) + use_line("candidate", *e.candidate_use);
  if (!e.exemplars.empty()) text += "\nRight before, wrong after\n\n" + exemplar_table(e);
  return text;
}

} // namespace

std::string to_string(const Evaluation& e) {
  return fmt::format("{}\n{}\n\n{}", title(e), e.verdict, measured(e));
}

std::string to_markdown(const Evaluation& e) {
  std::string text = fmt::format("## {}: {}\n\n| outcome | criterion | found |\n| --- | --- | --- |\n",
                                 to_string(e.verdict.outcome), cell(title(e)));
  for (const Check& check : e.verdict.checks)
    text += fmt::format("| {} | `{}` | {} |\n", to_string(check.outcome), cell(check.name), cell(check.sentence));
  return text + "\n" + measured(e) + fmt::format("\nSuite `{}`; mcomp {}.\n", e.suite_fingerprint, e.library_version);
}

std::string to_junit_xml(const Evaluation& e) {
  const auto number = [&](Outcome outcome) {
    return std::count_if(e.verdict.checks.begin(), e.verdict.checks.end(),
                         [&](const Check& check) { return check.outcome == outcome; });
  };
  std::string text = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" "
      "errors=\"0\" skipped=\"{}\" time=\"0\">\n",
      escape_markup(title(e)), e.verdict.checks.size(), number(Outcome::fail), number(Outcome::insufficient_data));
  for (const Check& check : e.verdict.checks) {
    text += fmt::format("    <testcase classname=\"mcomp.evaluate\" name=\"{}\" time=\"0\"", escape_markup(check.name));
    switch (check.outcome) {
    case Outcome::pass:
      text += fmt::format(">\n      <system-out>{}</system-out>\n    </testcase>\n", escape_markup(check.sentence));
      break;
    case Outcome::fail:
      text += fmt::format(">\n      <failure message=\"{}\"/>\n    </testcase>\n", escape_markup(check.sentence));
      break;
    case Outcome::insufficient_data:
      text += fmt::format(">\n      <skipped message=\"insufficient data: {}\"/>\n    </testcase>\n",
                          escape_markup(check.sentence));
      break;
    }
  }
  return text + "  </testsuite>\n</testsuites>\n";
}

} // namespace mcomp::inline v0::evaluate
