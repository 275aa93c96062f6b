// libFuzzer program for the JSON of reports: what is read is written to equal text, and becomes a page.

#include "mcomp/report/report.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::report::Report;
  const auto report = Report::parse(mcomp_fuzz::text(data, size), "fuzz");
  if (!report) {
    mcomp_fuzz::demand_whole(report.error());
    return 0;
  }
  const std::string json = to_json(*report);
  const auto again = Report::parse(json, "fuzz");
  mcomp_fuzz::demand(again && to_json(*again) == json);
  const std::string html = to_html(*report);
  mcomp_fuzz::demand(html.find("<script") == std::string::npos && to_html(*again) == html);
  return 0;
}
