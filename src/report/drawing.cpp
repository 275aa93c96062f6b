#include "report/drawing.hpp"

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"

namespace mcomp::inline v0::report::detail {

namespace {

bool continues(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

} // namespace

std::string shortened(std::string_view text, std::size_t most) {
  if (characters(text) <= most) return std::string(text);
  std::size_t seen = 0, end = 0;
  while (end < text.size() && (continues(text[end]) || seen + 1 < most)) {
    if (!continues(text[end])) ++seen;
    ++end;
  }
  return std::string(text.substr(0, end)) + "\u2026";
}

double text_width(std::string_view text) {
  double width = 0;
  for (const char c : text) {
    if (continues(c)) continue;
    // As wide as DejaVu Sans, the widest of the usual fonts.
    const bool narrow = c == 'i' || c == 'l' || c == 'j' || c == 't' || c == 'f' || c == 'r' || c == '.' || c == ',' ||
                        c == ' ' || c == '\'' || c == '|' || c == ':' || c == '(' || c == ')' || c == '[' || c == ']';
    width += narrow ? 4.3 : (c >= 'A' && c <= 'Z') || c == 'm' || c == 'w' || c == '%' ? 9.6 : 7.5;
  }
  return width;
}

std::string fitted_tail(std::string_view text, double width) {
  std::string result(text);
  std::size_t begin = 0;
  while (begin < text.size() && text_width(result) > width) {
    do ++begin;
    while (begin < text.size() && continues(text[begin]));
    result = "\u2026" + std::string(text.substr(begin));
  }
  return result;
}

std::string fitted(std::string_view text, double width) {
  std::size_t most = characters(text);
  std::string result(text);
  while (most > 1 && text_width(result) > width) result = shortened(text, --most);
  return result;
}

void Drawing::line(double x1, double y1, double x2, double y2, std::string_view css) {
  elements_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2,
                           y2, css);
}

void Drawing::rectangle(double x, double y, double width, double tall, std::string_view css) {
  elements_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"{}\"/>\n", x, y,
                           std::max(width, 0.), std::max(tall, 0.), css);
}

void Drawing::text(double x, double y, std::string_view anchor, std::string_view content, std::string_view css) {
  elements_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}{}>{}</text>\n", x, y,
                           anchor == "start" ? "" : fmt::format(" text-anchor=\"{}\"", anchor),
                           css.empty() ? "" : fmt::format(" class=\"{}\"", css), escape_markup(content));
}

void Drawing::upright_text(double x, double y, std::string_view content) {
  elements_ += fmt::format("<text transform=\"translate({:.1f} {:.1f}) rotate(-90)\" text-anchor=\"middle\" "
                           "class=\"axis\">{}</text>\n",
                           x, y, escape_markup(content));
}

void Drawing::circle(double x, double y, double radius, std::string_view css) {
  elements_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" class=\"{}\"/>\n", x, y, radius, css);
}

void Drawing::path(const std::string& commands, std::string_view css) {
  elements_ += fmt::format("<path d=\"{}\" class=\"{}\"/>\n", commands, css);
}

void Drawing::marker(double x, double y, std::size_t series, double size) {
  const std::size_t style = series % series_styles;
  const std::string css = fmt::format("f{}", style);
  const double s = size;
  switch (style) {
  case 0:
    return circle(x, y, s, css);
  case 1:
    return rectangle(x - s * 0.9, y - s * 0.9, s * 1.8, s * 1.8, css);
  case 2:
    return path(fmt::format("M{:.1f} {:.1f}l{:.1f} {:.1f}h{:.1f}z", x, y - s * 1.2, s * 1.15, s * 2, -s * 2.3), css);
  case 3:
    return path(fmt::format("M{:.1f} {:.1f}l{:.1f} {:.1f}l{:.1f} {:.1f}l{:.1f} {:.1f}z", x, y - s * 1.3, s * 1.3,
                            s * 1.3, -s * 1.3, s * 1.3, -s * 1.3, -s * 1.3),
                css);
  case 4:
    return path(fmt::format("M{0:.1f} {1:.1f}l{2:.1f} {2:.1f}M{3:.1f} {1:.1f}l{4:.1f} {2:.1f}", x - s, y - s, 2 * s,
                            x + s, -2 * s),
                fmt::format("s{} whole", style));
  default:
    return circle(x, y, s, fmt::format("s{} whole", style));
  }
}

void Drawing::sample(double x, double y, std::size_t series, bool with_marker) {
  line(x, y, x + 26, y, fmt::format("line s{}", series % series_styles));
  if (with_marker) marker(x + 13, y, series, 3.4);
}

double draw_legend(Drawing& drawing, const std::vector<LegendEntry>& entries, double left, double width, double y) {
  if (entries.empty()) return y;
  constexpr double row = 18;
  double x = left;
  y += row - 5;
  for (const LegendEntry& entry : entries) {
    const bool wide = entry.kind != LegendEntry::Kind::marker && entry.kind != LegendEntry::Kind::area;
    const double swatch = wide ? 32 : 18;
    const std::string name = fitted(entry.name, width - swatch);
    const double needed = swatch + text_width(name) + 16;
    if (x > left && x + needed - 16 > left + width) x = left, y += row;
    const double middle = y - 4;
    using Kind = LegendEntry::Kind;
    if (entry.kind == Kind::line || entry.kind == Kind::line_and_marker)
      drawing.sample(x, middle, entry.series, entry.kind == Kind::line_and_marker);
    if (entry.kind == Kind::marker) drawing.marker(x + 7, middle, entry.series);
    if (entry.kind == Kind::dotted) drawing.line(x, middle, x + 26, middle, "limit");
    if (entry.kind == Kind::front) drawing.line(x, middle, x + 26, middle, "front");
    if (entry.kind == Kind::area)
      drawing.rectangle(x, middle - 6, 12, 12, fmt::format("f{}", entry.series % series_styles));
    drawing.text(x + swatch, y, "start", name);
    x += needed;
  }
  return y + 8;
}

int ticks_across(double width, Scale scale) {
  return std::max(2, static_cast<int>(width / (scale == Scale::time ? 66 : 58)));
}

void draw_x_axis(Drawing& drawing, const Frame& frame, const AxisScale& x, bool grid) {
  double free_from = -1e9;
  for (const Tick& tick : x.ticks()) {
    const double at = x.at(tick.value), half = text_width(tick.label) / 2;
    if (grid) drawing.line(at, frame.top, at, frame.bottom, "grid");
    drawing.line(at, frame.bottom, at, frame.bottom + 4, "frame");
    if (at - half < free_from) continue;
    // Labels at the ends stay within the picture.
    const double centre = std::min(at, frame.right + 12 - half);
    drawing.text(centre, frame.bottom + 17, "middle", tick.label, "tick");
    free_from = at + half + 6;
  }
  drawing.text((frame.left + frame.right) / 2, frame.bottom + 35, "middle", fitted(x.label(), frame.width() + 40),
               "axis");
}

void draw_axes(Drawing& drawing, const Frame& frame, const AxisScale& x, const AxisScale& y) {
  drawing.rectangle(frame.left, frame.top, frame.width(), frame.height(), "plot");
  for (const Tick& tick : y.ticks()) {
    const double at = y.at(tick.value);
    drawing.line(frame.left, at, frame.right, at, "grid");
    drawing.text(frame.left - 7, at + 4, "end", tick.label, "tick");
  }
  drawing.upright_text(12, (frame.top + frame.bottom) / 2, fitted(y.label(), frame.height() + 30));
  draw_x_axis(drawing, frame, x);
  drawing.rectangle(frame.left, frame.top, frame.width(), frame.height(), "frame");
}

Drawing draw_nothing(double width) {
  Drawing drawing;
  drawing.height = 70;
  drawing.rectangle(0.5, 0.5, width - 1, 69, "plot");
  drawing.text(width / 2, 40, "middle", "no data", "axis");
  return drawing;
}

std::string_view colour_variables() {
  // Contrast to the background: text 4.5 : 1 and better, lines and markers 3 : 1 and better, in both schemes (a test
  // computes it). Series differ in lightness too. h0 .. h4 are steps of the heat map, each with its ink.
  return R"(:root{color-scheme:light dark;
--page:#f6f7f9;--card:#ffffff;--ink:#1c2127;--soft:#535c68;--edge:#c9ced6;--grid:#e6e9ed;--frame:#7a828d;--link:#0a58a6;
--c0:#0b5cad;--c1:#b3430b;--c2:#0a7a53;--c3:#8a3a9c;--c4:#6f5b00;--c5:#596270;
--good:#0a6b47;--goodbg:#e2f4ec;--bad:#a3241b;--badbg:#fdeae8;--warn:#7a5000;--warnbg:#fdf1d8;
--h0:#f1f5fa;--h0i:#1c2127;--h1:#cfe0f1;--h1i:#1c2127;--h2:#9cc1e3;--h2i:#14191e;--h3:#1f6cb0;--h3i:#ffffff;--h4:#0a3f73;--h4i:#ffffff}
@media (prefers-color-scheme:dark){:root{
--page:#12161b;--card:#1a2027;--ink:#e8ebef;--soft:#aeb7c2;--edge:#3b444f;--grid:#2a323b;--frame:#87909b;--link:#82bcff;
--c0:#6fb3ff;--c1:#ff9b63;--c2:#4ecf9d;--c3:#dd9ff0;--c4:#e2c644;--c5:#b4bdc8;
--good:#63d6a5;--goodbg:#12352a;--bad:#ff9c92;--badbg:#46201d;--warn:#f0c265;--warnbg:#3d2f10;
--h0:#202832;--h0i:#e8ebef;--h1:#243d58;--h1i:#eef2f6;--h2:#2b5a87;--h2i:#ffffff;--h3:#86bdf2;--h3i:#0d1217;--h4:#cfe5fb;--h4i:#0d1217}}
)";
}

std::string_view drawing_rules() {
  return R"(svg.chart{display:block;width:100%;height:auto;font:12px system-ui,"Segoe UI",Helvetica,Arial,sans-serif}
svg.chart text{fill:var(--ink);font-variant-numeric:tabular-nums}
svg.chart .tick{fill:var(--soft);font-size:11px}
svg.chart .axis{fill:var(--soft)}
svg.chart .strong{font-weight:600}
svg.chart .small{font-size:11px}
svg.chart .over{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
svg.chart .plot{fill:var(--card);stroke:none}
svg.chart .frame{fill:none;stroke:var(--frame);stroke-width:1}
svg.chart .grid{stroke:var(--grid);stroke-width:1}
svg.chart .limit{stroke:var(--bad);stroke-width:1.6;stroke-dasharray:2 3;fill:none}
svg.chart .front{stroke:var(--soft);stroke-width:1.4;stroke-dasharray:6 3;fill:none}
svg.chart .ink{stroke:var(--ink);stroke-width:1.4;fill:none}
svg.chart .zero{stroke:var(--ink);stroke-width:1}
svg.chart .connector{stroke:var(--frame);stroke-width:1;stroke-dasharray:2 2}
svg.chart .halo{fill:none;stroke:var(--ink);stroke-width:1.6}
svg.chart .span0{fill:var(--h1)}svg.chart .span1{fill:var(--h0)}
svg.chart .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}
svg.chart .flag{fill:var(--ink)}svg.chart .flagtext{fill:var(--card);font-size:10px;font-weight:700}
svg.chart .line{fill:none;stroke-width:2;stroke-linejoin:round}
svg.chart .s0{stroke:var(--c0)}svg.chart .s1{stroke:var(--c1);stroke-dasharray:7 3}
svg.chart .s2{stroke:var(--c2);stroke-dasharray:2 2.5}svg.chart .s3{stroke:var(--c3);stroke-dasharray:9 3 2 3}
svg.chart .s4{stroke:var(--c4);stroke-dasharray:12 4}svg.chart .s5{stroke:var(--c5);stroke-dasharray:4 2 1 2}
svg.chart .whole{stroke-dasharray:none;stroke-width:2;fill:none}
svg.chart .f0{fill:var(--c0)}svg.chart .f1{fill:var(--c1)}svg.chart .f2{fill:var(--c2)}
svg.chart .f3{fill:var(--c3)}svg.chart .f4{fill:var(--c4)}svg.chart .f5{fill:var(--c5)}
svg.chart .band{stroke:none;fill-opacity:.16}
svg.chart .gap{fill:var(--c1);fill-opacity:.3;stroke:var(--c1);stroke-width:1;stroke-dasharray:3 2}
svg.chart .modest{fill:var(--c4);fill-opacity:.3;stroke:var(--c4);stroke-width:1}
svg.chart .diagonal{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:5 4}
svg.chart .h0{fill:var(--h0)}svg.chart .h1{fill:var(--h1)}svg.chart .h2{fill:var(--h2)}svg.chart .h3{fill:var(--h3)}
svg.chart .h4{fill:var(--h4)}svg.chart .unknown{fill:none;stroke:var(--edge);stroke-dasharray:3 3}
svg.chart .h0i{fill:var(--h0i)}svg.chart .h1i{fill:var(--h1i)}svg.chart .h2i{fill:var(--h2i)}
svg.chart .h3i{fill:var(--h3i)}svg.chart .h4i{fill:var(--h4i)}
)";
}

} // namespace mcomp::inline v0::report::detail
