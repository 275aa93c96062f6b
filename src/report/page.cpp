#include "report/page.hpp"

#include <algorithm>
#include <array>

#include "catalog/base64.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"
#include "mcomp/core/sha256.hpp"
#include "report/drawing.hpp"

namespace mcomp::inline v0::report {

namespace detail {

namespace {

constexpr double narrow_width = 400, wide_width = 1120;
constexpr std::size_t most_rows = 400; ///< of a figure's data

constexpr std::string_view page_rules = R"(*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Helvetica,Arial,sans-serif}
a{color:var(--link)}a:focus-visible,summary:focus-visible,.scroll:focus-visible,input:focus-visible+label{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:8px;top:-60px;background:var(--card);padding:8px 14px;border-radius:6px;z-index:2}.skip:focus{top:8px}
header,main,footer{max-width:1240px;margin:0 auto;padding:0 16px}
header{padding-top:28px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px}h2{font-size:1.35rem;margin:0 0 10px;line-height:1.25}
h3{font-size:1.05rem;margin:0 0 4px;line-height:1.3}h4{font-size:1rem;margin:14px 0 4px}
h1,h2,h3,h4,p,li,dd,td{overflow-wrap:break-word}
p{margin:0 0 8px}.soft{color:var(--soft)}.lead{font-size:1.06rem;max-width:75ch}
.small{font-size:.87rem}ul,ol{margin:0 0 8px;padding-left:22px}li{margin:2px 0}
code{font:.86em ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
fieldset.pages{border:0;margin:16px 0 0;padding:0;display:flex;flex-wrap:wrap;gap:8px;align-items:center}
fieldset.pages legend{float:left;padding:0;margin:0 4px 0 0;color:var(--soft);font-size:.9rem;width:100%}
fieldset.pages input{position:absolute;opacity:0;width:1px;height:1px}
fieldset.pages label{border:1px solid var(--frame);border-radius:8px;padding:7px 14px;background:var(--card);cursor:pointer}
fieldset.pages input:checked+label{background:var(--ink);color:var(--page);border-color:var(--ink);font-weight:600}
section{margin:20px 0 34px;scroll-margin-top:12px}
@supports selector(:has(*)){@media not print{.page{display:none}
body:has(#reader-0:checked) #page-0,body:has(#reader-1:checked) #page-1,body:has(#reader-2:checked) #page-2{display:block}}}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:12px 0 16px;padding:0;list-style:none}
.tile{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:10px 12px;margin:0}
.tile b{display:block;font-size:1.3rem;line-height:1.25;margin:2px 0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.tile span{display:block;font-size:.84rem;color:var(--soft)}
.tile .badge{display:inline-block;font-size:1rem}.tile b.long{font-size:1.02rem;padding:3px 0}
.badge{display:inline-block;border-radius:6px;padding:0 7px;font-size:.84rem;font-weight:600;white-space:nowrap;border:1px solid var(--edge);color:var(--ink)}
.badge.good{color:var(--good);background:var(--goodbg);border-color:var(--good)}
.badge.bad{color:var(--bad);background:var(--badbg);border-color:var(--bad)}
.badge.warn{color:var(--warn);background:var(--warnbg);border-color:var(--warn)}
.attention{list-style:none;padding:0;margin:0 0 16px}
.attention li{background:var(--card);border:1px solid var(--edge);border-left:5px solid var(--frame);border-radius:8px;padding:8px 12px;margin:6px 0}
.attention li.bad{border-left-color:var(--bad)}.attention li.warn{border-left-color:var(--warn)}.attention li.good{border-left-color:var(--good)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:14px;align-items:start;margin-bottom:14px}.figures.pairs{grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr))}
figure,.card{margin:0 0 14px;background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:12px 12px 8px;min-width:0}
.figures figure{margin:0}figure.wide{grid-column:1/-1}figcaption{margin-bottom:8px}figcaption p{color:var(--soft);font-size:.9rem;margin:0}
.draw-narrow{display:none}@media (max-width:900px){.draw-wide{display:none}.draw-narrow{display:block}}
figure svg.chart{max-width:480px;margin:0 auto}figure.wide svg.chart{max-width:none}@media (max-width:900px){figure.wide svg.chart{max-width:560px}}
details{margin:8px 0 4px}summary{cursor:pointer;color:var(--link);font-size:.9rem;padding:3px 0}
.scroll{overflow-x:auto;max-width:100%;margin:4px 0 10px;border:1px solid var(--edge);border-radius:8px;background:var(--card)}
details .scroll{max-height:360px;overflow-y:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--edge);vertical-align:top;white-space:nowrap}
td.text{white-space:normal;min-width:13ch}td.long{white-space:normal;min-width:34ch}
tr:last-child td{border-bottom:0}th{color:var(--soft);font-weight:600;font-size:.84rem}
th.n,td.n{text-align:right;font-variant-numeric:tabular-nums}
ol.marks{font-size:.9rem;padding-left:26px}ol.marks time{color:var(--soft)}
nav.parts{margin:6px 0 0}nav.parts ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:4px 14px;font-size:.94rem}
.finding{border-left:5px solid var(--warn)}
dl{display:grid;grid-template-columns:minmax(10ch,max-content) 1fr;gap:2px 14px;margin:6px 0;font-size:.92rem}dt{color:var(--soft)}dd{margin:0}
footer{color:var(--soft);font-size:.85rem;padding-bottom:30px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:0 26px}
@media (max-width:520px){body{font-size:15px}h1{font-size:1.4rem}header,main,footer{padding-left:12px;padding-right:12px}figure,.card{padding:10px 8px 6px}dl{grid-template-columns:minmax(0,46%) 1fr}th,td{padding:5px 6px}td.text{min-width:10ch}td.long{min-width:16ch}
fieldset.pages label{padding:6px 10px}}
@media print{body{background:#fff}.skip,fieldset.pages,nav.parts{display:none}section,figure,.card{break-inside:avoid}}
)";

std::string attribute(std::string_view name, std::string_view value) {
  return value.empty() ? "" : fmt::format(" {}=\"{}\"", name, escape_markup(value));
}

} // namespace

std::string element(std::string_view tag, std::string_view text, std::string_view css) {
  return fmt::format("<{}{}>{}</{}>\n", tag, attribute("class", css), escape_markup(text), tag);
}

std::string badge(std::string_view text, Tone tone) {
  static constexpr std::array signs = {"", "\u2713 ", "\u2717 ", "! "};
  static constexpr std::array names = {"badge", "badge good", "badge bad", "badge warn"};
  const auto at = static_cast<std::size_t>(tone);
  return fmt::format("<span class=\"{}\">{}{}</span>", names[at], signs[at], escape_markup(text));
}

std::string table(const PageTable& content, std::string_view label) {
  std::string html = fmt::format("<div class=\"scroll\" role=\"region\" tabindex=\"0\"{}>\n<table>\n<thead><tr>",
                                 attribute("aria-label", label));
  const auto css = [&](std::size_t c, const std::string& text) -> const char* {
    if (c < content.numeric.size() && content.numeric[c]) return " class=\"n\"";
    return text.size() > 70 ? " class=\"long\"" : text.size() > 16 ? " class=\"text\"" : "";
  };
  for (std::size_t c = 0; c < content.columns.size(); ++c)
    html += fmt::format("<th scope=\"col\"{}>{}</th>",
                        c < content.numeric.size() && content.numeric[c] ? " class=\"n\"" : "",
                        escape_markup(content.columns[c]));
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : content.rows) {
    html += "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c)
      html += fmt::format("<td{}>{}</td>", css(c, row[c].text),
                          row[c].markup.empty() ? escape_markup(row[c].text) : row[c].markup);
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table>\n</div>\n";
}

std::string figure(const Chart& chart, const FigureOptions& options) {
  const ChartText& text = text_of(chart);
  std::string html =
      fmt::format("<figure id=\"{}\"{}>\n<figcaption>", options.id, options.wide ? " class=\"wide\"" : "");
  html += element("h3", text.title) + (text.summary.empty() ? "" : element("p", text.summary)) + "</figcaption>\n";
  const auto drawn = [&](double width, const char* size) {
    return to_svg(chart, {.width = width, .id = options.id + size, .standalone = false});
  };
  if (options.wide)
    html += "<div class=\"draw-wide\">" + drawn(wide_width, "-w") + "</div>\n<div class=\"draw-narrow\">" +
            drawn(narrow_width, "-n") + "</div>\n";
  else
    html += drawn(narrow_width, "-n") + "\n";
  if (const auto* lines = std::get_if<LineChart>(&chart); lines != nullptr && !lines->marks.empty()) {
    html += "<ol class=\"marks\">\n";
    for (const ChartMark& mark : lines->marks) {
      const std::string when = lines->x.scale == Scale::time ? moment_of(mark.x) : format_number(mark.x, lines->x.unit);
      html += fmt::format("<li><strong>{}</strong> <time>{}</time>{}</li>\n", escape_markup(mark.label),
                          escape_markup(when), mark.detail.empty() ? "" : " \u2013 " + escape_markup(mark.detail));
    }
    html += "</ol>\n";
  }
  const DataTable data = data_table(chart);
  PageTable shown{.columns = data.columns, .numeric = data.numeric, .rows = {}};
  for (std::size_t r = 0; r < std::min(data.rows.size(), most_rows); ++r) {
    std::vector<Cell> row;
    for (const std::string& cell : data.rows[r]) row.push_back({cell});
    shown.rows.push_back(std::move(row));
  }
  html += fmt::format("<details><summary>Data of \u201c{}\u201d</summary>\n", escape_markup(text.title));
  if (data.rows.size() > most_rows)
    html += element(
        "p", fmt::format("The first {} of {} rows; the JSON of this report has all.", most_rows, data.rows.size()),
        "small");
  return html + table(shown, text.title + ", data") + "</details>\n</figure>\n";
}

std::string list(const std::vector<std::string>& lines, bool ordered) {
  if (lines.empty()) return "";
  const char* tag = ordered ? "ol" : "ul";
  std::string html = fmt::format("<{}>\n", tag);
  for (const std::string& line : lines) html += element("li", line);
  return html + fmt::format("</{}>\n", tag);
}

std::string link(const Link& link) {
  const std::string& to = link.address;
  const bool trusted = to.starts_with("https://") || to.starts_with("http://") || to.starts_with("#");
  if (!trusted) return escape_markup(link.label) + " (" + escape_markup(to) + ")";
  return fmt::format("<a{} rel=\"noreferrer\">{}</a>", attribute("href", to), escape_markup(link.label));
}

std::string document(std::string_view title, std::string_view language, std::string_view body) {
  const std::string style = std::string(colour_variables()) + std::string(drawing_rules()) + std::string(page_rules);
  Sha256 hash;
  hash.update(style);
  const Sha256::Digest digest = hash.finish();
  const std::string hashed = catalog::detail::to_base64(std::span<const std::uint8_t>(digest));
  return fmt::format(
      "<!DOCTYPE html>\n<html{}>\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; "
      "base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n"
      "<a class=\"skip\" href=\"#content\">Skip to content</a>\n{}</body>\n</html>\n",
      attribute("lang", language.empty() ? "en" : language), hashed, escape_markup(title), style, body);
}

} // namespace detail

} // namespace mcomp::inline v0::report
