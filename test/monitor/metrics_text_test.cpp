#include "mcomp/monitor/metrics_text.hpp"

#include <cstdlib>
#include <filesystem>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {

std::string rule_of(const std::string& page) {
  const auto read = parse_open_metrics(page, "page");
  if (read) return "";
  CHECK(read.error().code() == ErrorCode::corrupt);
  CHECK(mcomp_test::well_formed(read.error()));
  return read.error().rule();
}

/// One family of every type, with all that may be in it.
std::vector<MetricFamily> everything() {
  return {
      {.name = "requests",
       .type = MetricType::counter,
       .help = "What \"came\",\nand \\ went",
       .samples = {{"_total", {{"region", "eu\n\"x\"\\"}}, 12, {}, MetricExemplar{{{"trace", "4bf9"}}, 0.5, 1.5}},
                   {"_created", {{"region", "eu\n\"x\"\\"}}, 1'700'000'000}}},
      {.name = "queue",
       .type = MetricType::gauge,
       .samples = {{"", {{"a", "1"}}, -3, 10.25}, {"", {{"a", "1"}}, 4, 11}}},
      {.name = "latency_seconds",
       .type = MetricType::histogram,
       .unit = "seconds",
       .samples =
           {{"_bucket", {{"le", "0.1"}}, 1}, {"_bucket", {{"le", "+Inf"}}, 3}, {"_count", {}, 3}, {"_sum", {}, 1.25}}},
      {.name = "depth",
       .type = MetricType::gaugehistogram,
       .samples = {{"_bucket", {{"le", "+Inf"}}, 2}, {"_gcount", {}, 2}, {"_gsum", {}, 5}}},
      {.name = "size_bytes",
       .type = MetricType::summary,
       .unit = "bytes",
       .samples = {{"", {{"quantile", "0.5"}}, 7}, {"_count", {}, 2}, {"_sum", {}, 14}}},
      {.name = "build", .type = MetricType::info, .samples = {{"_info", {{"version", "1"}}, 1}}},
      {.name = "state",
       .type = MetricType::stateset,
       .samples = {{"", {{"state", "on"}}, 1}, {"", {{"state", "off"}}, 0}}},
      {.name = "other", .samples = {{"", {}, std::numeric_limits<double>::infinity()}}},
  };
}

} // namespace

TEST_CASE("the specification's own cases are accepted or rejected as they say") {
  const auto folder = mcomp_test::data("openmetrics");
  if (!folder) return;
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    if (!std::filesystem::exists(entry.path() / "metrics")) continue;
    const std::string name = entry.path().filename().string();
    const std::string page = read_file(entry.path() / "metrics").value();
    const auto read = parse_open_metrics(page, name);
    INFO(name);
    CHECK(read.has_value() == !name.starts_with("bad_"));
    ++cases;
    if (read) {
      const auto again = to_open_metrics(*read);
      REQUIRE(again);
      CHECK(parse_open_metrics(*again, name).value() == *read);
    }
  }
  CHECK(cases == 153);
}

TEST_CASE("more that the specification forbids") {
  for (const char* page :
       {"a 1\n# EOF\nblah",
        "a\n# EOF\n",
        "a a\n# EOF\n",
        "a 1_2\n# EOF\n",
        "a 0B1\n# EOF\n",
        "a 0O1\n# EOF\n",
        "a 1 z\n# EOF\n",
        "a 1 1z\n# EOF\n",
        "a 1 1_2\n# EOF\n",
        "a 1 1.1.1\n# EOF\n",
        "a 1 -Inf\n# EOF\n",
        "a{a=\"1\"b=\"2\"} 1\n# EOF\n",
        "a{1=\"1\"} 1\n# EOF\n",
        "# HELP a\n# EOF\n",
        "# TYPE a meh\n# EOF\n",
        "# UNIT a seconds\n# EOF\n",
        "# TYPE a stateset\na 2.0\n# EOF\n",
        "# TYPE a summary\na 0\n# EOF\n",
        "# TYPE a summary\na{quantile=\"1.01\"} 0\n# EOF\n",
        "# TYPE a histogram\na_bucket 0\n# EOF\n",
        "# TYPE a stateset\na 0\n# EOF\n",
        "# TYPE a histogram\na_sum 1\n# EOF\n",
        "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gcount -1\na_gsum 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"0\"} 0\na_bucket{le=\"+Inf\"} 3\na_count 2\na_sum 1\n# EOF\n",
        "# TYPE a counter\n# TYPE a counter\n# EOF\n",
        "# TYPE a gauge\na 0 -1\na 0 -1.1\n# EOF\n",
        "# TYPE a gauge\na 0 1.1\na 0 1\n# EOF\n",
        "# TYPE a info\na_info 2\n# EOF\n",
        "a 1\nb 1\na 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {} 1_2\n# EOF\n",
        "a 1\r\n# EOF\n",
        "a{b=\"\xff\"} 1\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a counter\na_total 1\n# TYPE a_total gauge\n# EOF\n",
        "# EOF \n",
        "",
        "a 1",
        "a 1\n",
        "a 1\na 1\n# EOF\n"}) {
    INFO(page);
    CHECK_FALSE(rule_of(page).empty());
  }
  CHECK(rule_of("# EOF").empty());
  CHECK(rule_of("# TYPE a counter\na_total 1e400\n# EOF\n").empty());
}

TEST_CASE("a page that is written reads as the same families") {
  const auto families = everything();
  const std::string page = to_open_metrics(families).value();
  CHECK(parse_open_metrics(page, "page").value() == families);
  CHECK(page.find("# HELP requests What \\\"came\\\",\\nand \\\\ went\n") != std::string::npos);
  CHECK(page.find("requests_total{region=\"eu\\n\\\"x\\\"\\\\\"} 12 # {trace=\"4bf9\"} 0.5 1.5\n") !=
        std::string::npos);
  CHECK(page.ends_with("# EOF\n"));
}

TEST_CASE("the older format is what promtool accepts") {
  const std::string page = to_prometheus_text(everything()).value();
  CHECK(page.find("# TYPE requests_total counter\n") != std::string::npos);
  CHECK(page.find("# TYPE requests_created gauge\n") != std::string::npos);
  CHECK(page.find("queue{a=\"1\"} -3 10250\n") != std::string::npos);
  CHECK(page.find("# TYPE other untyped\nother +Inf\n") != std::string::npos);
  CHECK(page.find("EOF") == std::string::npos);
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
    mcomp_test::skip("promtool is not installed (Debian: prometheus)");
    return;
  }
  // A page as a service would write it: promtool also checks names and help texts for good style.
  std::vector<MetricFamily> service{
      {.name = "mcomp_requests",
       .type = MetricType::counter,
       .help = "Requests.",
       .samples = {{"_total", {{"region", "eu"}}, 12}}},
      {.name = "mcomp_latency_seconds",
       .type = MetricType::histogram,
       .unit = "seconds",
       .help = "Latency.",
       .samples = {
           {"_bucket", {{"le", "0.1"}}, 1}, {"_bucket", {{"le", "+Inf"}}, 3}, {"_count", {}, 3}, {"_sum", {}, 1.25}}}};
  const auto path = mcomp_test::temporary_folder() / "page.txt";
  REQUIRE(write_file(path, to_prometheus_text(service).value()));
  CHECK(std::system(("promtool check metrics <'" + path.string() + "' >/dev/null").c_str()) == 0);
}

TEST_CASE("families that break a rule are not written") {
  const auto rejected = [](MetricFamily family) {
    const std::vector<MetricFamily> one{std::move(family)};
    const auto page = to_open_metrics(one);
    return !page && page.error().code() == ErrorCode::invalid_value && !to_prometheus_text(one);
  };
  CHECK(rejected({.name = "0a"}));
  CHECK(rejected({.name = "a", .unit = "seconds"}));
  CHECK(rejected({.name = "a", .type = MetricType::counter, .samples = {{"", {}, 1}}}));
  CHECK(rejected({.name = "a", .type = MetricType::counter, .samples = {{"_total", {}, -1}}}));
  CHECK(rejected({.name = "a", .help = "\xff"}));
  CHECK(rejected({.name = "a", .samples = {{"", {{"b c", ""}}, 1}}}));
  CHECK(rejected({.name = "a", .samples = {{"", {}, 1}, {"", {}, 1}}}));
  const std::vector<MetricFamily> late{{.name = "a", .samples = {{"", {}, 1, 1e300}}}};
  CHECK(to_open_metrics(late));
  CHECK_FALSE(to_prometheus_text(late));
}
