#include <algorithm>
#include <cmath>
#include <map>
#include <regex>
#include <string>

#include "catch.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/report/chart.hpp"
#include "report/drawing.hpp"
#include "report/scale.hpp"

using namespace mcomp;
using namespace mcomp::report;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

/// What is drawn at each kind of chart, small.
std::vector<Chart> all_charts() {
  return {
      LineChart{.text = {"lines", "two lines"},
                .x = {.label = "day", .unit = "count"},
                .y = {.label = "p99", .unit = "seconds"},
                .lines = {{.name = "a",
                           .x = {0, 1, 2},
                           .y = {0.01, not_known, 0.02},
                           .lower = {0.009, 0.01, 0.018},
                           .upper = {0.011, 0.012, 0.022}},
                          {.name = "b", .x = {0, 2}, .y = {0.015, 0.015}, .step = true}},
                .limits = {{"limit", 0.018}},
                .spans = {{0, 1, "before"}},
                .marks = {{1, "release", "w4a8"}}},
      ScatterChart{.text = {"points", ""},
                   .x = {"size", "bytes"},
                   .y = {"accuracy", "fraction"},
                   .points = {{"a", 100, 0.9, "won"}, {"b", 200, 0.95, "lost"}}},
      BarChart{.text = {"bars", ""},
               .value = {"loss", "fraction"},
               .bars = {{"eu", {0.01, stats::Interval{0.005, 0.02, 0.9}}}, {"us", {}}},
               .reference = 0.01,
               .reference_name = "limit"},
      HeatMap{.text = {"heat", ""},
              .columns = {{"int8", ""}, {"int4", ""}},
              .rows = {"stem", "head"},
              .values = {{1, 2}, {3, not_known}}},
      ReliabilityChart{.text = {"reliability", ""},
                       .bins = {{0, 0.5, 10, 0.4, 0.3, stats::Interval{0.2, 0.6, 0.95}}, {0.5, 1, 90, 0.8, 0.9, {}}}},
      Histogram{.text = {"histogram", ""},
                .x = {"latency", "seconds", Scale::logarithmic},
                .samples = {{"a", {{0.001, 0.002, 5}, {0.002, 0.004, 15}}}}},
      Waterfall{.text = {"waterfall", ""}, .unit = "USD", .begin = 100, .steps = {{"machines", -40}, {"storage", 2}}}};
}

double luminance(const std::string& hex) {
  double sum = 0;
  const double weights[] = {0.2126, 0.7152, 0.0722};
  for (std::size_t i = 0; i < 3; ++i) {
    const double c = std::stoi(hex.substr(1 + 2 * i, 2), nullptr, 16) / 255.;
    sum += weights[i] * (c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4));
  }
  return sum;
}

/// WCAG 2.1, definition of contrast ratio.
double contrast(const std::string& a, const std::string& b) {
  const double x = luminance(a), y = luminance(b);
  return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

} // namespace

TEST_CASE("report: numbers read well in the unit that suits them") {
  CHECK(format_number(0.00125, "seconds") == "1.25 ms");
  CHECK(format_number(90, "seconds") == "90 s");
  CHECK(format_number(402112, "bytes") == "402.1 kB");
  CHECK(format_number(0.9217, "fraction") == "92.17 %");
  CHECK(format_number(12300, "USD") == "12,300 USD");
  CHECK(format_number(-1234567.0, "USD") == "-1.235 M USD");
  CHECK(format_number(-1234, "") == "-1,234");
  CHECK(format_number(999.99, "") == "1,000");
  CHECK(format_number(-0.0, "") == "0");
  CHECK(format_number(1e-9, "seconds") == "1 ns");
  CHECK(format_number(0, "seconds") == "0 s");
  for (const double v : {not_known, HUGE_VAL, -HUGE_VAL}) CHECK(format_number(v, "seconds") == "not known");
}

TEST_CASE("report: ticks are round, lie on the axis, and are few") {
  const auto labels = [](const Axis& axis, double lower, double upper, int most) {
    std::vector<std::string> result;
    const detail::AxisScale scale(axis, lower, upper, 0, 100, most);
    for (const auto& tick : scale.ticks()) result.push_back(tick.label);
    return result;
  };
  CHECK(labels({}, 0, 10, 5) == std::vector<std::string>{"0", "2", "4", "6", "8", "10"});
  CHECK(labels({.label = "", .unit = "fraction"}, 0, 0.05, 5) ==
        std::vector<std::string>{"0", "1", "2", "3", "4", "5"});
  CHECK(labels({}, -0.3, 0.2, 5) == std::vector<std::string>{"-0.3", "-0.2", "-0.1", "0", "0.1", "0.2"});
  CHECK(labels({.label = "", .unit = "seconds", .scale = Scale::logarithmic}, 0.001, 1, 8) ==
        std::vector<std::string>{"0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"});
  CHECK(labels({.label = "", .unit = "", .scale = Scale::time}, 1780272000, 1780272000 + 4 * 86400., 5) ==
        std::vector<std::string>{"1 Jun", "2 Jun", "3 Jun", "4 Jun", "5 Jun"});
  CHECK(labels({.label = "", .unit = "", .scale = Scale::time}, 1780272000, 1780272000 + 7200., 5) ==
        std::vector<std::string>{"1 Jun", "00:30", "01:00", "01:30", "02:00"});
  // Whatever the data, ticks are between the ends, ascend and are no crowd.
  Random random(4);
  for (int i = 0; i < 3000; ++i) {
    const double a = random.normal() * std::pow(10, 40 * random.uniform() - 20),
                 b = i % 7 == 0 ? a : a + std::abs(random.normal()) * std::pow(10, 40 * random.uniform() - 20);
    for (const Scale scale : {Scale::linear, Scale::logarithmic, Scale::time}) {
      const detail::AxisScale axis({.label = "", .unit = "", .scale = scale}, a, b, 0, 300, 6);
      INFO(a << " .. " << b);
      CHECK(axis.ticks().size() <= 40);
      double last = -HUGE_VAL;
      for (const auto& tick : axis.ticks()) {
        REQUIRE(tick.value > last);
        last = tick.value;
        REQUIRE(axis.at(tick.value) >= 0);
        REQUIRE(axis.at(tick.value) <= 300);
      }
    }
  }
}

TEST_CASE("report: times are calendar dates in UTC") {
  CHECK(detail::time_of(0) == "1970-01-01 00:00");
  CHECK(detail::time_of(951782400) == "2000-02-29 00:00"); // date -u -d @951782400
  CHECK(detail::time_of(-1) == "1969-12-31 23:59");
  CHECK(detail::moment_of(1780272000) == "2026-06-01");
  CHECK(detail::moment_of(1780279200) == "2026-06-01 02:00");
  CHECK(detail::date_of(1e300) == "not known");
  CHECK(detail::date_of(not_known) == "not known");
}

TEST_CASE("report: the Pareto front holds what nothing beats, and equal points together") {
  ScatterChart chart{.text = {},
                     .points = {{"small", 1, 1},
                                {"good", 3, 5},
                                {"beaten", 4, 4},
                                {"middle", 2, 3},
                                {"twin", 2, 3},
                                {"odd", not_known, 9},
                                {"worse x", 4, 5}}};
  CHECK(pareto_front(chart) == std::vector<std::string>{"small", "middle", "twin", "good"});
  chart.higher_x_better = true, chart.higher_y_better = false;
  CHECK(pareto_front(chart) == std::vector<std::string>{"small", "middle", "twin", "beaten"});
  chart.points[2].contends = false;
  CHECK(pareto_front(chart) == std::vector<std::string>{"small", "middle", "twin", "worse x"});
  // Against the definition, on random points with many ties.
  Random random(2);
  for (int round = 0; round < 50; ++round) {
    ScatterChart many{.text = {}};
    for (int i = 0; i < 40; ++i)
      many.points.push_back(
          {std::to_string(i), static_cast<double>(random.below(8)), static_cast<double>(random.below(8))});
    const auto front = pareto_front(many);
    for (const auto& p : many.points) {
      const bool beaten = std::any_of(many.points.begin(), many.points.end(), [&](const auto& q) {
        return q.x <= p.x && q.y >= p.y && (q.x < p.x || q.y > p.y);
      });
      REQUIRE((std::find(front.begin(), front.end(), p.name) == front.end()) == beaten);
    }
  }
}

TEST_CASE("report: every chart describes itself, has its data as a table, and is one well-formed picture") {
  for (const Chart& chart : all_charts()) {
    const std::string svg = to_svg(chart, {.id = "x<1"});
    INFO(svg);
    CHECK(svg.find("role=\"img\"") != std::string::npos);
    CHECK(svg.find("aria-labelledby=\"x1-t x1-d\"") != std::string::npos);
    CHECK(svg.find("<title id=\"x1-t\">" + text_of(chart).title + "</title>") != std::string::npos);
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
    CHECK(count(svg, "<text") == count(svg, "</text>"));
    CHECK(count(svg, "<g") == count(svg, "</g>"));
    const DataTable table = data_table(chart);
    CHECK(table.rows.size() > 1);
    for (const auto& row : table.rows) CHECK(row.size() == table.columns.size());
    CHECK(table.numeric.size() == table.columns.size());
  }
  const DataTable lines = data_table(all_charts()[0]);
  CHECK(lines.rows[1] == std::vector<std::string>{"a", "1", "not known", "10 ms", "12 ms"});
  CHECK(data_table(all_charts()[2]).rows[0] == std::vector<std::string>{"eu", "", "1 %", "0.5 % to 2 % (90 %)"});
  CHECK(data_table(all_charts()[6]).rows[2] == std::vector<std::string>{"storage", "2 USD", "62 USD"});
}

TEST_CASE("report: charts of nothing, of one point and of absurd numbers are pictures too") {
  const double huge[] = {0, -0.0, 1e308, -1e308, 5e-324, not_known, HUGE_VAL, -HUGE_VAL};
  const std::vector<Chart> empty = {LineChart{},        ScatterChart{}, BarChart{}, HeatMap{},
                                    ReliabilityChart{}, Histogram{},    Waterfall{}};
  for (const Chart& chart : empty) CHECK(to_svg(chart).find("</svg>") != std::string::npos);
  for (const double a : huge)
    for (const double b : huge)
      for (const Scale scale : {Scale::linear, Scale::logarithmic, Scale::time}) {
        const std::vector<Chart> charts = {
            LineChart{.text = {},
                      .x = {"", "seconds", scale},
                      .y = {"", "bytes", scale == Scale::time ? Scale::linear : scale},
                      .lines = {{.name = "", .x = {a, b}, .y = {b, a}, .lower = {a, a}, .upper = {b, b}}},
                      .limits = {{"", a}},
                      .spans = {{a, b, "x"}},
                      .marks = {{a, "m"}}},
            ScatterChart{.text = {}, .x = {"", "bytes", scale}, .points = {{"p", a, b}, {"q", b, a}}},
            BarChart{.text = {},
                     .value = {"", "USD", scale},
                     .bars = {{"a", {a, stats::Interval{a, b, 0.9}}}},
                     .reference = b},
            HeatMap{.text = {}, .columns = {{"c", "seconds"}}, .rows = {"a", "b", "missing"}, .values = {{a}, {b}}},
            ReliabilityChart{.text = {}, .bins = {{a, b, 3, a, b, stats::Interval{a, b, 0.9}}}},
            Histogram{.text = {}, .x = {"", "seconds", scale}, .samples = {{"s", {{a, b, 3}, {b, a, -1}}}}},
            Waterfall{.text = {}, .unit = "USD", .begin = a, .steps = {{"s", b}}}};
        for (const Chart& chart : charts) {
          const std::string svg = to_svg(chart);
          std::smatch match;
          const bool unfit = std::regex_search(svg, match, std::regex("=\"[^\"]*(nan|inf)"));
          INFO(chart.index() << ", " << a << ", " << b << ": " << (unfit ? match.prefix().str() + match.str() : ""));
          REQUIRE_FALSE(unfit);
          REQUIRE(data_table(chart).rows.size() < 10);
        }
      }
}

TEST_CASE("report: a line of many points stays small, and keeps its peaks and gaps") {
  LineChart chart{.text = {"many", ""},
                  .x = {.label = "second"},
                  .y = {.label = "load"},
                  .lines = {{.name = "a", .x = {}, .y = {}}}};
  for (int i = 0; i < 200000; ++i) {
    chart.lines[0].x.push_back(i);
    chart.lines[0].y.push_back(i == 123456 ? 1000 : i > 150000 && i < 160000 ? not_known : i % 7);
    chart.lines[0].lower.push_back(0), chart.lines[0].upper.push_back(10);
  }
  const std::string svg = to_svg(chart);
  CHECK(svg.size() < 100000);
  const auto line = svg.find("class=\"line s0\""), begin = svg.rfind("d=\"", line);
  const std::string path = svg.substr(begin, line - begin);
  CHECK(count(path, "M") == 2); // the gap
  const Axis axis = chart.y;
  const detail::AxisScale y(axis, 0, 1000, 190 + 4, 4, 5);
  CHECK(path.find(fmt::format(" {:.1f}", y.at(1000))) != std::string::npos);
}

TEST_CASE("report: text and lines stand out in both schemes") {
  const std::string css(detail::colour_variables());
  const std::size_t dark_begins = css.find("@media");
  REQUIRE(dark_begins != std::string::npos);
  for (const bool dark : {false, true}) {
    std::map<std::string, std::string> colours;
    const std::string part = dark ? css.substr(dark_begins) : css.substr(0, dark_begins);
    const std::regex variable("--([a-z0-9]+):(#[0-9a-f]{6})");
    for (std::sregex_iterator at(part.begin(), part.end(), variable), end; at != end; ++at)
      colours[(*at)[1]] = (*at)[2];
    INFO((dark ? "dark" : "light"));
    REQUIRE(colours.size() == 30);
    for (const char* back : {"page", "card"}) {
      for (const char* text : {"ink", "soft", "link"}) CHECK(contrast(colours[text], colours[back]) >= 4.5);
      for (const char* line : {"c0", "c1", "c2", "c3", "c4", "c5", "bad", "frame"})
        CHECK(contrast(colours[line], colours[back]) >= 3);
    }
    for (const char* tone : {"good", "bad", "warn"})
      CHECK(contrast(colours[tone], colours[tone + std::string("bg")]) >= 4.5);
    for (int level = 0; level < 5; ++level)
      CHECK(contrast(colours[fmt::format("h{}", level)], colours[fmt::format("h{}i", level)]) >= 4.5);
    // Steps of the heat map follow one another in lightness, so that they read without colour.
    for (int level = 1; level < 5; ++level) {
      const double step =
          luminance(colours[fmt::format("h{}", level)]) - luminance(colours[fmt::format("h{}", level - 1)]);
      CHECK((dark ? step > 0 : step < 0));
    }
  }
  CHECK(contrast("#ffffff", "#000000") == Approx(21)); // by definition
}

TEST_CASE("report: names are cut between characters") {
  CHECK(detail::shortened("abcdef", 6) == "abcdef");
  CHECK(detail::shortened("abcdefg", 6) == "abcde\u2026");
  CHECK(detail::shortened("\u00e4\u00f6\u00fc\u00df\u00e4\u00f6\u00fc", 4) == "\u00e4\u00f6\u00fc\u2026");
  CHECK(detail::fitted_tail("stage1.block1.conv1", 40).ends_with("1"));
  CHECK(detail::text_width(detail::fitted("a long name that has no room", 60)) <= 60);
}
