#include "mcomp/evaluate/fairness.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::evaluate;

namespace {

std::vector<std::int32_t> digits(std::string_view text) {
  std::vector<std::int32_t> values;
  for (const char c : text) values.push_back(c - '0');
  return values;
}

Slicing letters(std::string_view text) {
  std::vector<std::string> names;
  for (const char c : text) names.emplace_back(1, c);
  return slice_by("group", names).value();
}

/// The example of Fairlearn's documentation.
const std::vector<std::int32_t> labels = digits("011110101000111111");
const std::vector<std::int32_t> predicted = digits("001011100111100110");
const Slicing groups = letters("bbabbcccaacabccbcc");

RowScores scores(const std::vector<std::int32_t>& classes, const std::vector<std::int32_t>& truth) {
  RowScores s;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    s.correct.push_back(classes[i] == truth[i]);
    s.loss.push_back(classes[i] == truth[i] ? 0.1 : 2);
    s.predicted.push_back(classes[i]);
    s.confidence.push_back(0.9);
  }
  return s;
}

} // namespace

TEST_CASE("group fairness: the example of Fairlearn's documentation", "[fairness]") {
  const auto fairness = group_fairness(labels, predicted, groups).value();
  REQUIRE(fairness.groups.size() == 3);
  CHECK(fairness.groups[0].selection_rate == 0.75);
  CHECK(fairness.groups[1].selection_rate == 0.5);
  CHECK(fairness.groups[2].selection_rate == 0.5);
  CHECK(fairness.demographic_parity_difference == 0.25);
  CHECK(fairness.demographic_parity_ratio == Approx(2.0 / 3).epsilon(1e-15));
  CHECK(fairness.groups[0].true_positive_rate == 0.5);
  CHECK(fairness.groups[1].true_positive_rate == 0.6);
  CHECK(fairness.groups[2].true_positive_rate == 0.4);
  CHECK(fairness.groups[0].false_positive_rate == 1);
  CHECK(fairness.groups[1].false_positive_rate == 0);
  CHECK(fairness.groups[2].false_positive_rate == Approx(2.0 / 3).epsilon(1e-15));
  CHECK(fairness.equalized_odds_difference == 1);
  CHECK(fairness.equalized_odds_ratio == 0);
  CHECK(fairness.equal_opportunity_difference == Approx(0.2).epsilon(1e-14));
  CHECK(fairness.equal_opportunity_ratio == Approx(0.4 / 0.6).epsilon(1e-15));
  CHECK(fmt::format("{}", fairness).find("equalized odds 1") != std::string::npos);
}

TEST_CASE("metric frame: any metric, against each other and overall", "[fairness]") {
  const RowMetric rows = [](std::span<const std::int64_t> r) { return static_cast<double>(r.size()); };
  const RowMetric accuracy = [](std::span<const std::int64_t> r) {
    double right = 0;
    for (const auto i : r) right += labels[static_cast<std::size_t>(i)] == predicted[static_cast<std::size_t>(i)];
    return right / static_cast<double>(r.size());
  };
  const auto frame = metric_frame({{"count", rows}, {"accuracy", accuracy}}, groups).value();
  CHECK(frame.overall[0] == 18);
  CHECK(frame.groups[0].values[0] == 4);
  CHECK(frame.groups[1].values[0] == 6);
  CHECK(frame.groups[2].values[0] == 8);
  CHECK(frame.difference(0) == 4);
  CHECK(frame.ratio(0) == 0.5);
  CHECK(frame.difference(0, Against::overall) == 14);
  CHECK(frame.ratio(0, Against::overall) == Approx(4.0 / 18));
  // a: 1 of 4 right, b: 4 of 6, c: 3 of 8; all: 8 of 18
  CHECK(frame.overall[1] == Approx(8.0 / 18));
  CHECK(frame.smallest(1) == 0.25);
  CHECK(frame.largest(1) == Approx(4.0 / 6));
  CHECK(frame.group_mean(1) == Approx((0.25 + 4.0 / 6 + 0.375) / 3));
  CHECK(std::isnan(frame.difference(7)));
  CHECK(fmt::format("{}", frame).find("| a | 4 | 4 | 0.25 |") != std::string::npos);

  // Within a control: the same numbers as of the intersection.
  const Slicing halves = letters("xxxxxxxxxyyyyyyyyy");
  const auto within = metric_frames_within(halves, {{"accuracy", accuracy}}, groups).value();
  Slicing control = halves;
  control.dimension = "half";
  const auto crossed = intersect(control, groups).value();
  CHECK(crossed.dimension == "half & group");
  const auto together = metric_frame({{"accuracy", accuracy}}, crossed).value();
  std::size_t found = 0;
  for (const auto& [half, part] : within)
    for (const auto& group : part.groups)
      for (const auto& both : together.groups)
        if (both.group == half + " & " + group.group) {
          CHECK(both.values == group.values);
          CHECK(both.rows == group.rows);
          ++found;
        }
  CHECK(found == together.groups.size());
}

TEST_CASE("metric frame: empty groups and single groups are defined", "[fairness]") {
  Slicing slicing{.dimension = "d", .groups = {"full", "empty"}, .group = {0, 0, -1}};
  const RowMetric rows = [](std::span<const std::int64_t> r) { return static_cast<double>(r.size()); };
  const auto frame = metric_frame({{"count", rows}}, slicing).value();
  CHECK(frame.groups[1].rows == 0);
  CHECK(std::isnan(frame.groups[1].values[0]));
  CHECK(std::isnan(frame.difference(0)));
  CHECK(frame.difference(0, Against::overall) == 1);
  CHECK_FALSE(metric_frame({}, slicing));
  CHECK_FALSE(metric_frame({{"none", RowMetric{}}}, slicing));
  slicing.group[0] = 2;
  const auto wrong = metric_frame({{"count", rows}}, slicing);
  REQUIRE_FALSE(wrong);
  CHECK(mcomp_test::well_formed(wrong.error()));
  CHECK(wrong.error().code() == ErrorCode::invalid_value);
}

TEST_CASE("generalized entropy: the values of AIF360's tests", "[fairness]") {
  const auto truth = digits("1001001011");
  auto answer = truth;
  answer[3] = answer[9] = 0;
  answer[4] = answer[5] = 1;
  CHECK(generalized_entropy_of_decisions(truth, answer).value() == Approx(0.2).epsilon(1e-14));
  CHECK(generalized_entropy_of_decisions(truth, answer, 1, 1).value() == Approx(4 * std::log(2) / 10).epsilon(1e-14));
  // Labels of that test: 1 0 0 1 0 0 1 0 1 1.
  CHECK(generalized_entropy_of_decisions(truth, digits("0110000111")).value() == Approx(0.3).epsilon(1e-14));
  CHECK(generalized_entropy(std::vector<double>{3, 3, 3}).value() == 0);
  // Mean log deviation of 1 and 3 about 2.
  CHECK(generalized_entropy(std::vector<double>{1, 3}, 0).value() == Approx(-0.5 * std::log(0.75)));
  CHECK_FALSE(generalized_entropy(std::vector<double>{}));
  CHECK_FALSE(generalized_entropy(std::vector<double>{0, 0}));
  CHECK_FALSE(generalized_entropy(std::vector<double>{1, -1}));
  CHECK_FALSE(generalized_entropy(std::vector<double>{1, std::nan("")}));
  CHECK_FALSE(generalized_entropy(std::vector<double>{1}, std::nan("")));
}

TEST_CASE("compression fairness: flips by group", "[fairness]") {
  // 100 rows of a: one flips. 50 rows of b: four flip, one is won. Three rows of c: all flip, and they are too few.
  std::vector<std::int32_t> truth(153, 1), before(153, 1), after(153, 1);
  Slicing slicing{.dimension = "g", .groups = {"a", "b", "c"}, .group = std::vector<std::int32_t>(153, 0)};
  for (std::size_t i = 100; i < 153; ++i) slicing.group[i] = i < 150 ? 1 : 2;
  after[0] = 0;
  for (std::size_t i = 100; i < 104; ++i) after[i] = 0;
  before[149] = 0;
  for (std::size_t i = 150; i < 153; ++i) after[i] = 0;
  const auto fairness = compression_fairness(scores(before, truth), scores(after, truth), slicing).value();
  CHECK(fairness.overall.negative_flip_rate == Approx(8.0 / 153));
  CHECK(fairness.worst_group == "b");
  CHECK(fairness.disparate_flip_ratio == Approx((4.0 / 50) / (8.0 / 153)));
  CHECK(fairness.groups[1].accuracy == stats::PairedCounts{45, 4, 1, 0});
  CHECK(fairness.groups[1].changed == 5);
  REQUIRE(fairness.groups[1].loss);
  CHECK(fairness.groups[1].loss->contains(0.06));
  const auto same = compression_fairness(scores(truth, truth), scores(truth, truth), slicing).value();
  CHECK(same.disparate_flip_ratio == 1);
  CHECK(same.worst_group.empty());
  CHECK_FALSE(compression_fairness(scores(truth, truth), RowScores{}, slicing));
}

TEST_CASE("compression exemplars: rows on which the modes differ", "[fairness]") {
  const std::vector<std::vector<std::int32_t>> baselines{{0, 1, 2, 3}, {0, 1, 2, 0}, {0, 1, 1, 3}};
  const std::vector<std::vector<std::int32_t>> candidates{{0, 4, 2, 1}, {0, 4, 1, 1}};
  // Row 2: candidates are split between 1 and 2, the smaller counts.
  const auto exemplars = compression_exemplars(baselines, candidates).value();
  REQUIRE(exemplars.size() == 3);
  CHECK(exemplars[0] == CompressionExemplar{1, 1, 4, 1, 1});
  CHECK(exemplars[1] == CompressionExemplar{3, 3, 1, 2.0 / 3, 1});
  CHECK(exemplars[2] == CompressionExemplar{2, 2, 1, 2.0 / 3, 0.5});
  CHECK_FALSE(compression_exemplars({}, candidates));
  CHECK_FALSE(compression_exemplars(baselines, {{1}}));
}

TEST_CASE("worst class: the class whose rates differ most", "[fairness]") {
  Random random(7);
  std::vector<std::int32_t> truth, answer;
  Slicing slicing{.dimension = "g", .groups = {"a", "b"}};
  for (int i = 0; i < 600; ++i) {
    const auto c = static_cast<std::int32_t>(random.below(3));
    slicing.group.push_back(i % 2);
    truth.push_back(c);
    answer.push_back(c == 2 && i % 2 == 1 && random.uniform() < 0.7 ? 0 : c);
  }
  const auto worst = worst_class_fairness(truth, answer, slicing, 3).value();
  double parity = 0, odds = 0;
  for (int c = 0; c < 3; ++c) {
    const auto one = group_fairness(truth, answer, slicing, c).value();
    parity = std::max(parity, one.demographic_parity_difference);
    odds = std::max(odds, one.equalized_odds_difference);
  }
  CHECK(worst.positive_class == 2);
  CHECK(worst.demographic_parity_difference == parity);
  CHECK(worst.equalized_odds_difference == odds);
  CHECK(odds > 0.5);
  CHECK_FALSE(worst_class_fairness(truth, answer, slicing, 0));
}
