// continuous_compression from end to end: released, recompressed after drift, taken back by itself, verified.

#include "mcomp/catalog/event.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/kernels/capabilities.hpp"
#include "mcomp/monitor/metrics_text.hpp"
#include "mcomp/report/report.hpp"
#include "run_program.hpp"

#ifdef MCOMP_CONTINUOUS_COMPRESSION

TEST_CASE("a classifier is compressed again and again", "[slow]") {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) return mcomp_test::skip("Fashion-MNIST is absent");
  if (const auto ready = mcomp::kernels::require_execution(); !ready) return mcomp_test::skip(ready.error().what());
  std::filesystem::path out;
  const auto report = mcomp_test::run_program(MCOMP_CONTINUOUS_COMPRESSION, "--requests-per-hour 200", 0, &out);
  CHECK(report["first_outcome"] == "released");
  CHECK(report["drift_outcome"] == "released");
  CHECK(report["bad_outcome"] == "rolled back");
  CHECK(report["audit_sound"] == true);
  CHECK(report["requests"].get<int>() > 10'000);
  const auto text = [&](const char* name) { return mcomp::read_file(out / name, 1 << 26).value(); };
  std::string story;
  for (const auto& row : report["story"]) story += row["text"].get<std::string>() + "\n";
  INFO(story);
  CHECK(story.find("alert: InputDrift {feature=lit pixels, region=south} firing") != std::string::npos);
  CHECK(story.find("trigger: traffic") != std::string::npos);
  CHECK(story.find("below the floor") != std::string::npos);
  // What it leaves behind is whole.
  CHECK(mcomp::monitor::parse_open_metrics(text("metrics.txt")));
  const auto page = mcomp::report::Report::parse(text("story.json"), "story.json").value();
  CHECK(page.rollout);
  CHECK(page.cost);
  CHECK(page.drift->series.size() == 3);
  CHECK(page.audit->verified);
  CHECK(page.decisions.size() == 4);
  CHECK(text("report.html").find("<svg") != std::string::npos);
  CHECK(text("CHANGES.md").find("approved by ana") != std::string::npos);
}

#endif
