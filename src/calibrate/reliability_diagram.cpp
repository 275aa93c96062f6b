#include "mcomp/calibrate/reliability_diagram.hpp"

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

// In user units; the plot is a square, with the histogram of counts below it on the same axis.
constexpr double side = 300, left = 64, top = 46, gap = 16, histogram = 74, right = 24, foot = 84;
constexpr double width = left + side + right, height = top + side + gap + histogram + foot;

std::string text(double x, double y, const char* anchor, const std::string& content, const char* extra = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, extra, content);
}

std::string rectangle(double x, double y, double w, double h, const char* style) {
  return fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" {}/>\n", x, y, std::max(w, 0.),
                     std::max(h, 0.), style);
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return fmt::format("<line x1=\"{:.2f}\" y1=\"{:.2f}\" x2=\"{:.2f}\" y2=\"{:.2f}\" {}/>\n", x1, y1, x2, y2, style);
}

/// "12,345"
std::string grouped(std::int64_t count) {
  std::string digits = std::to_string(count);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::string one(const ReliabilityDiagram& diagram, double offset) {
  const CalibrationMetrics& m = diagram.metrics;
  const auto px = [&](double p) { return left + side * std::clamp(p, 0., 1.); };
  const auto py = [&](double p) { return top + side * (1 - std::clamp(p, 0., 1.)); };
  const double floor = top + side, base = floor + gap + histogram;
  std::string svg = fmt::format("<g transform=\"translate({:.0f} 0)\">\n", offset);
  svg += text(left + side / 2, 26, "middle", escape_markup(diagram.title), " font-size=\"15\" font-weight=\"600\"");

  // Frames, grid and ticks.
  svg += rectangle(left, top, side, side, "fill=\"#fafafa\" stroke=\"none\"");
  for (int tick = 0; tick <= 5; ++tick) {
    const double p = tick / 5.;
    const char* const grid = "stroke=\"#e4e4e4\"";
    svg += line(px(p), top, px(p), floor, grid) + line(left, py(p), left + side, py(p), grid);
    svg += text(left - 8, py(p) + 4, "end", fmt::format("{:.1f}", p));
    svg += text(px(p), base + 16, "middle", fmt::format("{:.1f}", p));
  }
  // Accuracy as bars; the gap to the mean confidence on top of or within them.
  std::int64_t most = 1;
  for (const ReliabilityBin& bin : m.bins) most = std::max(most, bin.count);
  for (std::size_t b = 0; b < m.bins.size(); ++b) {
    const ReliabilityBin& bin = m.bins[b];
    if (bin.count == 0) continue;
    const double x = px(bin.lower) + 0.75, w = px(bin.upper) - px(bin.lower) - 1.5;
    svg += rectangle(x, py(bin.accuracy), w, floor - py(bin.accuracy), "fill=\"#4c78a8\"");
    const double high = std::max(bin.accuracy, bin.confidence), low = std::min(bin.accuracy, bin.confidence);
    svg += rectangle(x, py(high), w, py(low) - py(high),
                     bin.confidence > bin.accuracy
                         ? "fill=\"#e45756\" fill-opacity=\"0.35\" stroke=\"#e45756\" stroke-width=\"0.8\""
                         : "fill=\"#f4cf6b\" stroke=\"#b88b00\" stroke-width=\"0.8\"");
    const double part = static_cast<double>(bin.count) / static_cast<double>(most);
    svg += rectangle(x, base - histogram * part, w, histogram * part, "fill=\"#9aa5b1\"");
  }
  svg += line(left, floor, left + side, top, "stroke=\"#555\" stroke-width=\"1.2\" stroke-dasharray=\"5 4\"");
  // What chance allows around the mean confidence of a bin.
  for (std::size_t b = 0; b < std::min(m.bins.size(), diagram.bands.size()); ++b) {
    if (m.bins[b].count == 0) continue;
    const double x = (px(m.bins[b].lower) + px(m.bins[b].upper)) / 2;
    const double lower = py(diagram.bands[b].lower), upper = py(diagram.bands[b].upper);
    const char* const style = "stroke=\"#222\" stroke-width=\"1.1\"";
    svg += line(x, lower, x, upper, style) + line(x - 3, lower, x + 3, lower, style) +
           line(x - 3, upper, x + 3, upper, style);
  }
  svg += rectangle(left, top, side, side, "fill=\"none\" stroke=\"#777\"");
  svg += line(left, base, left + side, base, "stroke=\"#777\"");
  svg += text(left - 8, base - histogram + 8, "end", m.count > 0 ? grouped(most) : "");
  svg += text(left - 8, base + 1, "end", "0");
  // Where the means lie, over the histogram.
  if (m.count > 0) {
    svg +=
        line(px(m.confidence), base - histogram - 6, px(m.confidence), base, "stroke=\"#e45756\" stroke-width=\"1.4\"");
    svg += line(px(m.accuracy), base - histogram - 6, px(m.accuracy), base,
                "stroke=\"#1b4d7a\" stroke-width=\"1.4\" stroke-dasharray=\"4 2\"");
  }
  svg += text(left + side / 2, base + 34, "middle", "confidence");
  svg += fmt::format("<text transform=\"translate(20 {:.0f}) rotate(-90)\" text-anchor=\"middle\">accuracy</text>\n",
                     top + side / 2);
  svg += fmt::format("<text transform=\"translate(20 {:.0f}) rotate(-90)\" text-anchor=\"middle\">rows</text>\n",
                     base - histogram / 2);
  const std::string caption = m.count == 0 ? std::string("no rows")
                                           : fmt::format("ECE {:.4f} ({} bins), NLL {:.4f}, {} rows", m.ece,
                                                         m.bins.size(), m.nll, grouped(m.count));
  svg += text(left + side / 2, base + 54, "middle", caption, " font-weight=\"600\"");
  if (m.count > 0)
    svg += text(left + side / 2, base + 71, "middle",
                fmt::format("<tspan fill=\"#c23b3a\">mean confidence {:.2f}%</tspan>, <tspan fill=\"#1b4d7a\">accuracy "
                            "{:.2f}%</tspan>",
                            100 * m.confidence, 100 * m.accuracy));
  return svg + "</g>\n";
}

} // namespace

Result<ReliabilityDiagram> reliability_diagram(const RowOutcomes& rows, const DiagramOptions& options) {
  ReliabilityDiagram diagram{.title = options.title};
  MCOMP_TRY(metrics, metrics_of(rows, options.bins));
  diagram.metrics = std::move(metrics);
  if (!options.bands || rows.size() == 0) return diagram;
  MCOMP_TRY(bands, consistency_bands(rows.confidence, {.resamples = options.resamples,
                                                       .level = options.level,
                                                       .bins = options.bins,
                                                       .seed = options.seed,
                                                       .executor = options.executor}));
  diagram.bands = std::move(bands);
  return diagram;
}

std::string to_svg(const ReliabilityDiagram& diagram) {
  return to_svg(std::span(&diagram, 1));
}

std::string to_svg(std::span<const ReliabilityDiagram> diagrams) {
  constexpr double legend = 26;
  const double total = std::max(width * static_cast<double>(diagrams.size()), 1.), tall = height + legend;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">\n",
      total, tall);
  svg += rectangle(0, 0, total, tall, "fill=\"#fff\"");
  for (std::size_t i = 0; i < diagrams.size(); ++i) svg += one(diagrams[i], width * static_cast<double>(i));
  const struct {
    const char* style;
    const char* label;
    double room;
  } entries[] = {{"fill=\"#4c78a8\"", "accuracy", 84},
                 {"fill=\"#e45756\" fill-opacity=\"0.35\" stroke=\"#e45756\"", "too confident", 114},
                 {"fill=\"#f4cf6b\" stroke=\"#b88b00\"", "too modest", 100}};
  double x = std::max(8., (total - 386) / 2);
  for (const auto& entry : entries) {
    svg += rectangle(x, tall - 22, 11, 11, entry.style) + text(x + 16, tall - 12, "start", entry.label);
    x += entry.room;
  }
  const bool bands = std::any_of(diagrams.begin(), diagrams.end(), [](const auto& d) { return !d.bands.empty(); });
  if (bands) {
    const char* const style = "stroke=\"#222\" stroke-width=\"1.1\"";
    svg += line(x + 5, tall - 22, x + 5, tall - 11, style) + line(x + 2, tall - 22, x + 8, tall - 22, style) +
           line(x + 2, tall - 11, x + 8, tall - 11, style);
    svg += text(x + 14, tall - 12, "start", "if calibrated");
  }
  return svg + "</svg>\n";
}

} // namespace mcomp::inline v0::calibrate
