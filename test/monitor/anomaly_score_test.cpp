#include "mcomp/monitor/anomaly_score.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "monitor/nab.hpp"

using namespace mcomp;
using namespace mcomp::monitor;
namespace nab = mcomp_test::nab;

namespace {

using Json = nlohmann::json;

const std::vector<ScoreProfile> profiles = {ScoreProfile::standard(), ScoreProfile::reward_low_false_positives(),
                                            ScoreProfile::reward_low_false_negatives()};

DetectionCounts counts(const Json& json) {
  return {json.at("tp"), json.at("fn"), json.at("fp"), json.at("tn")};
}

void check_score(const AnomalyScore& score, const Json& expected) {
  CHECK(score.threshold == expected.at("threshold").get<double>());
  CHECK(std::abs(score.raw - expected.at("raw").get<double>()) < 1e-9);
  CHECK(std::abs(score.normalized - expected.at("normalized").get<double>()) < 1e-9);
  CHECK(score.totals == counts(expected.at("totals")));
  REQUIRE(score.series.size() == expected.at("series").size());
  for (const SeriesScore& one : score.series) {
    const Json& row = expected.at("series").at(one.name);
    INFO(one.name);
    CHECK(std::abs(one.score - row.at("score").get<double>()) < 1e-9);
    CHECK(one.counts == counts(row));
  }
}

void check_sweep(const ThresholdSweep& sweep, const Json& expected) {
  const Json& best = expected.at("best");
  CHECK(sweep.points.size() == expected.at("sweep_size").get<std::size_t>());
  CHECK(sweep.points[sweep.best].threshold == best.at("threshold").get<double>());
  CHECK(std::abs(sweep.points[sweep.best].raw - best.at("raw_from_sweep").get<double>()) < 1e-9);
  std::map<double, SweepPoint> by_threshold;
  for (const SweepPoint& point : sweep.points) by_threshold.emplace(point.threshold, point);
  for (const Json& sample : expected.at("sweep_samples")) {
    const auto found = by_threshold.find(sample.at("threshold").get<double>());
    REQUIRE(found != by_threshold.end());
    CHECK(std::abs(found->second.raw - sample.at("raw").get<double>()) < 1e-9);
    CHECK(found->second.counts == counts(sample));
  }
  // The run of thresholds with the same total, and the best beyond it.
  const double raw = sweep.points[sweep.best].raw;
  std::size_t end = sweep.best;
  while (end + 1 < sweep.points.size() && std::abs(sweep.points[end + 1].raw - raw) < 1e-9) ++end;
  CHECK(sweep.points[end].threshold == best.at("lowest_threshold_with_same_raw").get<double>());
  double next = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < sweep.points.size(); ++i)
    if (i < sweep.best || i > end) next = std::max(next, sweep.points[i].raw);
  CHECK(std::abs(next - best.at("next_best_raw").get<double>()) < 1e-9);
}

} // namespace

TEST_CASE("The scorer gives every score of the Numenta benchmark's own", "[anomaly]") {
  const auto folder = mcomp_test::data("nab");
  if (!folder) return;
  const Json expected = nab::read_json(*folder / "expected_scores.json");
  const auto series = nab::read(*folder);
  REQUIRE(series.size() == expected.at("series").size());
  std::int64_t windows = 0;
  for (const auto& one : series) {
    const Json& row = expected.at("series").at(one.name);
    INFO(one.name);
    const auto rows = static_cast<std::int64_t>(one.values.size());
    CHECK(rows == row.at("rows").get<std::int64_t>());
    CHECK(probation_rows(rows) == row.at("probation_rows").get<std::int64_t>());
    REQUIRE(one.windows.size() == row.at("windows").size());
    for (std::size_t k = 0; k < one.windows.size(); ++k)
      CHECK(one.windows[k] == RowWindow{row.at("windows")[k][0], row.at("windows")[k][1]});
    windows += static_cast<std::int64_t>(one.windows.size());
  }
  CHECK(windows == expected.at("windows_total").get<std::int64_t>());

  for (const Json& pair : expected.at("sigmoid"))
    CHECK(std::abs(anomaly_sigmoid(pair[0].get<double>()) - pair[1].get<double>()) < 1e-15);
  for (const ScoreProfile& profile : profiles) {
    const Json& row = expected.at("profiles").at(profile.name);
    CHECK(profile.true_positive == row.at("tpWeight").get<double>());
    CHECK(profile.false_positive == row.at("fpWeight").get<double>());
    CHECK(profile.false_negative == row.at("fnWeight").get<double>());
    for (const auto& entry : expected.at("row_weights").items()) {
      const auto one = std::find_if(series.begin(), series.end(), [&](const auto& s) { return s.name == entry.key(); });
      REQUIRE(one != series.end());
      const auto rows = static_cast<std::int64_t>(one->values.size());
      const auto weights = anomaly_row_weights(rows, one->windows, profile).value();
      for (const Json& pair : entry.value().at(profile.name))
        CHECK(std::abs(weights[pair[0].get<std::size_t>()] - pair[1].get<double>()) < 1e-12);
    }
  }

  for (const auto& [detector, record] : expected.at("detectors").items()) {
    const auto scores = nab::recorded(*folder, detector, series);
    const auto scored = nab::scored(series, scores);
    for (const ScoreProfile& profile : profiles) {
      INFO(detector << ", " << profile.name);
      const Json& row = record.at("profiles").at(profile.name);
      const double published = row.at("published").at("threshold").get<double>();
      check_score(anomaly_score_at(scored, published, profile).value(), row.at("published"));
      check_score(best_anomaly_score(scored, profile).value(), row.at("best"));
      check_sweep(sweep_thresholds(scored, profile).value(), row);
      if (detector == "null")
        CHECK(anomaly_score_at(scored, published, profile).value().raw ==
              expected.at("baseline").at(profile.name).at("null").get<double>());
    }
  }
}

TEST_CASE("Scores of a small series, by hand", "[anomaly]") {
  // Twenty rows, of which three are probation; a window of five rows.
  std::vector<double> scores(20, 0);
  const std::vector<RowWindow> windows = {{10, 14}};
  const auto at = [&](double threshold) {
    return anomaly_score_at(std::vector<ScoredSeries>{{"s", windows, scores}}, threshold).value();
  };
  const auto s = [](double x) { return 2 / (1 + std::exp(5 * x)) - 1; };

  AnomalyScore score = at(0.5);
  CHECK(score.raw == -1);
  CHECK(score.normalized == 0);
  CHECK(score.totals == DetectionCounts{0, 5, 0, 12});
  CHECK(score.windows_found == 0);

  scores[10] = scores[13] = 1; // the first row is worth 1, another adds nothing
  score = at(0.5);
  CHECK(score.raw == Approx(1).epsilon(1e-15));
  CHECK(score.normalized == Approx(100).epsilon(1e-15));
  CHECK(score.totals == DetectionCounts{2, 3, 0, 12});
  CHECK(to_string(score) == "normalized 100.00 at threshold 0.5: 1 of 1 windows found, 0 false positives in 12 rows");

  scores[10] = 0;                    // two rows from the end of five
  scores[1] = 1;                     // in probation: nothing
  scores[5] = 0.7, scores[16] = 0.7; // before the window, and two rows behind it
  CHECK(at(0.8).raw == Approx(s(-0.4) / s(-1)).epsilon(1e-14));
  CHECK(at(0.7).raw == Approx(s(-0.4) / s(-1) - 0.11 + 0.11 * s(0.5)).epsilon(1e-14));

  const auto sweep = sweep_thresholds(std::vector<ScoredSeries>{{"s", windows, scores}}).value();
  REQUIRE(sweep.points.size() == 4);
  CHECK(sweep.points[0].threshold == 1.1);
  CHECK(sweep.best == 1);
  CHECK(sweep.points[3].counts == DetectionCounts{5, 0, 12, 0});
  CHECK(best_anomaly_score(std::vector<ScoredSeries>{{"s", windows, scores}}).value().threshold == 1);

  // A window of one row; and one in probation, which cannot be found but stands in the labels.
  const auto weights = anomaly_row_weights(6, std::vector<RowWindow>{{2, 2}}).value();
  CHECK(weights == std::vector<double>{-0.11, -0.11, 1, -0.11, -0.11, -0.11});
  const auto early = anomaly_score_at(std::vector<ScoredSeries>{{"s", {{0, 1}}, scores}}, 2).value();
  CHECK(early.raw == 0);
  CHECK(early.windows == 0);
  CHECK(std::isnan(anomaly_score_at(std::vector<ScoredSeries>{{"s", {}, scores}}, 2).value().normalized));
  CHECK(sweep_thresholds({}).value().points.size() == 1);
}

TEST_CASE("Labels and scores that make no sense are errors", "[anomaly]") {
  std::vector<double> scores(20, 0);
  const auto error = [&](std::vector<RowWindow> windows) {
    return anomaly_score_at(std::vector<ScoredSeries>{{"orders", std::move(windows), scores}}, 0.5).error();
  };
  for (const auto& windows :
       std::vector<std::vector<RowWindow>>{{{-1, 3}}, {{4, 3}}, {{4, 20}}, {{4, 8}, {8, 9}}, {{10, 12}, {4, 5}}}) {
    CHECK(mcomp_test::well_formed(error(windows)));
    CHECK(error(windows).code() == ErrorCode::invalid_argument);
    CHECK(error(windows).subject().find("orders") != std::string::npos);
  }
  scores[4] = std::nan("");
  CHECK(error({}).code() == ErrorCode::invalid_value);
  CHECK(sweep_thresholds(std::vector<ScoredSeries>{{"orders", {}, scores}}).error().code() == ErrorCode::invalid_value);
  scores[4] = 0;
  CHECK(anomaly_score_at({}, std::nan("")).error().code() == ErrorCode::invalid_argument);
  CHECK(anomaly_row_weights(5, {}, {.false_positive = -1}).error().code() == ErrorCode::invalid_argument);
  CHECK(anomaly_row_weights(5, {}, {.true_positive = std::nan("")}).error().code() == ErrorCode::invalid_argument);
  CHECK(anomaly_row_weights(-1, {}).error().code() == ErrorCode::invalid_argument);
}
