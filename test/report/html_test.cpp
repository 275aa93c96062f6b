// What hostile and incomplete records make of a report.

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>
#include <string>

#include "catch.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/markup.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/report/report.hpp"
#include "report/fields.hpp"

using namespace mcomp;
using namespace mcomp::report;

namespace {

/// Gives every text of a report the same content, every list one or two entries, every number a value.
class Filler {
 public:
  Filler(std::string text, double number) : text_(std::move(text)), number_(number) {}
  template <class T> void operator()(const char*, T& value) { fill(value); }

  void fill(std::string& value) { value = text_; }
  void fill(double& value) { value = number_; }
  void fill(std::int64_t& value) { value = std::isfinite(number_) ? static_cast<std::int64_t>(number_) : 7; }
  void fill(std::uint64_t& value) { value = 7; }
  void fill(int& value) { value = 7; }
  void fill(bool& value) { value = true; }
  void fill(FindingKind& value) { value = FindingKind::forecast_miss; }
  void fill(AlertKind& value) { value = AlertKind::cost; }
  template <class T> void fill(std::optional<T>& value) { fill(value.emplace()); }
  template <class T> void fill(std::vector<T>& values) {
    values.resize(2);
    for (T& value : values) fill(value);
  }
  template <class T> void fill(std::map<std::string, T>& values) { fill(values[text_]); }
  template <class T> void fill(T& value) { report::detail::fields(*this, value); }

 private:
  std::string text_;
  double number_;
};

Report filled(const std::string& text, double number = 7) {
  Report r;
  Filler(text, number).fill(r);
  for (Measure* m : {&r.trials->across, &r.trials->up}) m->unit = "";
  return r;
}

/// Tags that stand in a page, without their attributes.
std::set<std::string> tags_of(const std::string& html) {
  std::set<std::string> tags;
  const std::regex tag("<([A-Za-z!][A-Za-z0-9]*)");
  for (std::sregex_iterator at(html.begin(), html.end(), tag), end; at != end; ++at) tags.insert((*at)[1]);
  return tags;
}

bool within(const std::set<std::string>& a, const std::set<std::string>& b) {
  return std::includes(b.begin(), b.end(), a.begin(), a.end());
}

} // namespace

TEST_CASE("markup: what is special is escaped, and what is no text is replaced") {
  CHECK(escape_markup("a<b> & \"c\" 'd'") == "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  CHECK(escape_markup("tab\tline\n") == "tab\tline\n");
  CHECK(escape_markup(std::string_view("a\0b\x1b", 4)) == "a\uFFFDb\uFFFD");
  CHECK(escape_markup("\xE4\xB8\xAD \xF0\x9F\x98\x80") == "\xE4\xB8\xAD \xF0\x9F\x98\x80");
  CHECK(escape_markup("\xC0\xBC") == "\uFFFD\uFFFD");           // an overlong <
  CHECK(escape_markup("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD"); // a surrogate
  CHECK(escape_markup("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");
  CHECK(escape_markup("\xEF\xBF\xBF") == "\uFFFD\uFFFD\uFFFD"); // U+FFFF
  CHECK(escape_markup("cut \xE4\xB8") == "cut \uFFFD\uFFFD");
}

TEST_CASE("report: no name of a record becomes markup, in any place of the page") {
  // The same page with harmless text is what the tags are held against.
  const std::set<std::string> harmless = tags_of(to_html(filled("a_plain[text]"))),
                              alone = tags_of(to_html(filled("a_plain[text]").playbooks[0]));
  for (const std::string hostile :
       {"<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)",
        "</title></style><script>", "]]><!--", "<svg onload=alert(1)>", "javascript:alert(1)",
        "</textarea><iframe src=https://example.org>", "\xff\xfe<b>"}) {
    const Report r = filled(hostile);
    for (const std::string& html : {to_html(r), to_html(r.playbooks[0])}) {
      INFO(hostile);
      CHECK(html.find("<script") == std::string::npos);
      CHECK(html.find("<img") == std::string::npos);
      CHECK(html.find("<iframe") == std::string::npos);
      CHECK(html.find("<!--") == std::string::npos);
      // Outside of quoted values.
      const std::string bare = std::regex_replace(html, std::regex("\"[^\"]*\""), "\"\"");
      CHECK_FALSE(std::regex_search(bare, std::regex("<[^>]*\\son[a-z]+\\s*=")));
      CHECK_FALSE(std::regex_search(html, std::regex("href=[\"']?javascript")));
    }
    CHECK(within(tags_of(to_html(r)), harmless));
    CHECK(within(tags_of(to_html(r.playbooks[0])), alone));
    const auto back = Report::parse(to_json(r));
    REQUIRE(back);
    if (hostile[0] != '\xff') CHECK(*back == r);
  }
}

TEST_CASE("report: numbers that nobody knows read so, and never as nan") {
  for (const double number : {not_known, HUGE_VAL, -HUGE_VAL}) {
    const Report r = filled("x", number);
    const std::string html = to_html(r);
    CHECK(html.find("not known") != std::string::npos);
    CHECK_FALSE(std::regex_search(html, std::regex("[^a-z](nan|inf)[^a-z]")));
    const auto back = Report::parse(to_json(r));
    REQUIRE(back);
    CHECK(back->drift->series[0].readings[0].time == 7);
    CHECK(std::isnan(back->reliability[0].ece));
  }
}

TEST_CASE("report: a page for an empty report, and for each part alone") {
  const std::string empty = to_html(Report{});
  CHECK(empty.find("<h1>Report</h1>") != std::string::npos);
  CHECK(empty.find("nothing") != std::string::npos);
  const Report full = filled("x");
  std::vector<Report> parts(12);
  parts[0].verdict = full.verdict, parts[1].trials = full.trials, parts[2].layers = full.layers;
  parts[3].reliability = full.reliability, parts[4].latency = full.latency, parts[5].slices = full.slices;
  parts[6].drift = full.drift, parts[7].rollout = full.rollout, parts[8].cost = full.cost;
  parts[9].audit = full.audit, parts[10].review = full.review, parts[11].playbooks = full.playbooks;
  for (const Report& each : parts) {
    const std::string html = to_html(each);
    CHECK(html.size() > empty.size());
    CHECK(Report::parse(to_json(each)).value() == each);
  }
  // Emptied parts are pages too.
  Report hollow;
  hollow.verdict.emplace(), hollow.trials.emplace(), hollow.layers.resize(1), hollow.reliability.resize(1);
  hollow.latency.emplace(), hollow.slices.emplace(), hollow.drift.emplace(), hollow.rollout.emplace();
  hollow.cost.emplace(), hollow.audit.emplace(), hollow.review.emplace(), hollow.playbooks.resize(1);
  CHECK(to_html(hollow).find("no data") != std::string::npos);
  CHECK(to_html(hollow).find("not verified") != std::string::npos);
  hollow.drift->series.resize(1), hollow.slices->measures.resize(2), hollow.slices->slices.resize(2);
  CHECK(to_html(hollow).size() > 1000);
}

TEST_CASE("report: the policy of the page names its style by hash, and nothing else may load") {
  const std::string html = to_html(Report{.title = "t"}, {.first = Reader::owner, .language = "de"});
  CHECK(html.find("<html lang=\"de\">") != std::string::npos);
  CHECK(html.find("default-src 'none'; style-src 'sha256-") != std::string::npos);
  CHECK(html.find("id=\"reader-2\" checked") != std::string::npos);
  for (const char* outside : {"http:", "https:", "@import", "url(", "src="})
    CHECK(html.find(outside) == std::string::npos);
  CHECK(html.find(" style=") == std::string::npos);
  CHECK(html.find("href=\"#content\"") != std::string::npos);
}

TEST_CASE("report: front pages show the greatest of many rows, the parts all") {
  Report r{.title = "t"};
  r.layers.resize(1), r.layers[0].measures = {{.name = "int4"}};
  for (int i = 0; i < 100; ++i)
    r.layers[0].layers.push_back({.name = fmt::format("layer-{}-", i), .values = {i == 3 ? not_known : i}});
  const std::string html = to_html(r);
  const std::size_t parts = html.find("<section id=\"layers\"");
  REQUIRE(parts != std::string::npos);
  const std::string front = html.substr(0, parts), rest = html.substr(parts);
  CHECK(front.find("layer-99-") != std::string::npos);
  CHECK(front.find("layer-84-") != std::string::npos);
  CHECK(front.find("layer-83-") == std::string::npos);
  CHECK(rest.find("layer-3-") != std::string::npos);
}

TEST_CASE("report: JSON of another schema, with unknown keys or wrong types is refused by name") {
  const auto refused = [](const std::string& json, ErrorCode code, const std::string& word) {
    const auto result = Report::parse(json, "file.json");
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == code);
    INFO(result.error().what());
    CHECK(std::string(result.error().what()).find(word) != std::string::npos);
  };
  refused(R"({"schema":"mcomp-report-2"})", ErrorCode::version_mismatch, "mcomp-report-2");
  refused(R"({"title":"x"})", ErrorCode::corrupt, "schema");
  refused(R"({"schema":"mcomp-report-1","titel":"x"})", ErrorCode::corrupt, "titel");
  refused(R"({"schema":"mcomp-report-1","time":1.5})", ErrorCode::corrupt, "time");
  refused(R"({"schema":"mcomp-report-1","cost":{"saving":{"value":"much"}}})", ErrorCode::corrupt, "value");
  refused(R"({"schema":"mcomp-report-1","review":{"findings":[{"kind":"fault"}]}})", ErrorCode::corrupt, "kind");
  refused(R"({"schema":"mcomp-report-1","layers":[{"layers":[{"values":[1,"2"]}]}]})", ErrorCode::corrupt, "values");
  refused(R"({"schema":"mcomp-report-1","audit":{"entries":[{"index":-1}]}})", ErrorCode::corrupt, "index");
  refused("[]", ErrorCode::corrupt, "file.json");
  refused("{", ErrorCode::corrupt, "file.json");
  CHECK(Report::parse(R"({"schema":"mcomp-report-1"})").value() == Report{});
  CHECK(Review::parse(to_json(*filled("x").review)).value() == *filled("x").review);
  CHECK(Playbook::parse(to_json(filled("x").playbooks[0])).value() == filled("x").playbooks[0]);
}
