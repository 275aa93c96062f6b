#pragma once

// The frame of every page and what stands in it; never part of the interface. Text is escaped where it enters.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/report/report.hpp"

namespace mcomp::inline v0::report::detail {

/// <tag class="css">text</tag>
[[nodiscard]] std::string element(std::string_view tag, std::string_view text, std::string_view css = "");

/// A word with a sign, so that it needs no colour: good, bad, warn or none.
enum class Tone { none, good, bad, warn };
[[nodiscard]] std::string badge(std::string_view text, Tone tone);

struct Cell {
  std::string text;
  std::string markup{}; ///< in place of the text, escaped already
};
struct PageTable {
  std::vector<std::string> columns;
  std::vector<bool> numeric;
  std::vector<std::vector<Cell>> rows;
};
/// In a box of its own that scrolls, and can be reached by the keyboard.
[[nodiscard]] std::string table(const PageTable& table, std::string_view label);

struct FigureOptions {
  std::string id;
  bool wide = false; ///< has the whole width of the page, and a second drawing for narrow screens
};
/// Title, summary, picture, notes of its marks, and the data as a table that opens.
[[nodiscard]] std::string figure(const Chart& chart, const FigureOptions& options);

/// A list of paragraphs; empty for none.
[[nodiscard]] std::string list(const std::vector<std::string>& lines, bool ordered = false);

/// A link that leads somewhere only where its address may be trusted not to run anything.
[[nodiscard]] std::string link(const Link& link);

/// The whole document; its policy allows the style sheet by hash and nothing else.
[[nodiscard]] std::string document(std::string_view title, std::string_view language, std::string_view body);

/// The inside of a playbook, for its page and for reports. @param level of its headings
[[nodiscard]] std::string playbook_body(const Playbook& playbook, int level);

// Charts of sections.
[[nodiscard]] ScatterChart trial_chart(const TrialSection& section);
[[nodiscard]] HeatMap layer_chart(const LayerSection& section);
[[nodiscard]] ReliabilityChart reliability_chart(const ReliabilitySection& section);
[[nodiscard]] Histogram latency_histogram(const LatencySection& section);
[[nodiscard]] LineChart latency_distribution(const LatencySection& section);
[[nodiscard]] BarChart slice_chart(const SliceSection& section, std::size_t measure);
[[nodiscard]] LineChart drift_chart(const DriftSection& section, std::size_t series);
[[nodiscard]] LineChart rollout_chart(const RolloutSection& section);
[[nodiscard]] Waterfall cost_chart(const CostSection& section);
[[nodiscard]] BarChart lever_chart(const CostSection& section);
[[nodiscard]] LineChart hour_chart(const CostSection& section);

[[nodiscard]] std::string label_of(const Measure& measure);
/// "1.2 % (0.4 % to 2.1 %)"
[[nodiscard]] std::string estimate_text(const Estimate& estimate, const std::string& unit);
[[nodiscard]] Tone tone_of(std::string_view outcome);
[[nodiscard]] std::string outcome_word(std::string_view outcome);

/// The three front pages, and the parts that they lead to.
[[nodiscard]] std::string front_page(const Report& report, Reader reader);
struct Part {
  std::string id, heading, body;
};
[[nodiscard]] std::vector<Part> parts_of(const Report& report);

} // namespace mcomp::inline v0::report::detail
