#include <set>

#include "catch.hpp"
#include "mcomp/core/file.hpp"
#include "report/sample.hpp"

using namespace mcomp;

TEST_CASE("report: the example is written, and its JSON reads back to an equal value") {
  const report::Report r = report_sample::whole();
  const std::string json = to_json(r);
  const auto back = report::Report::parse(json);
  REQUIRE(back);
  CHECK(*back == r);
  CHECK(to_json(*back) == json);
  const std::filesystem::path folder = MCOMP_TEST_REPORT_DIR;
  std::filesystem::create_directories(folder);
  REQUIRE(write_file(folder / "report.html", to_html(r)));
  REQUIRE(write_file(folder / "report.json", json));
  REQUIRE(write_file(folder / "playbook.html", to_html(r.playbooks[0])));
  CHECK(to_html(*back) == to_html(r));
}
