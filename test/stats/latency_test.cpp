#include "mcomp/stats/latency.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
} // namespace

TEST_CASE("the least number of queries is that of MLPerf's early stopping") {
  const int late[] = {0, 1, 2, 5, 10, 50, 100};
  const struct {
    double percentile;
    int queries[7];
  } rows[] = {{.90, {44, 64, 81, 127, 197, 681, 1246}},
              {.95, {90, 130, 165, 259, 398, 1372, 2504}},
              {.97, {152, 219, 277, 433, 667, 2293, 4182}},
              {.99, {459, 662, 838, 1307, 2010, 6898, 12571}},
              {.999, {4603, 6636, 8403, 13105, 20140, 69058, 125826}}};
  for (const auto& row : rows)
    for (int i = 0; i < 7; ++i) {
      INFO("p " << row.percentile << ", late " << late[i]);
      CHECK(tail_queries_needed(late[i], row.percentile).value() == row.queries[i]);
      const auto met =
          tail_objective({.late = late[i], .queries = row.queries[i], .percentile = row.percentile}).value();
      CHECK(met.verdict == TailVerdict::met);
      CHECK(tail_objective({.late = late[i], .queries = row.queries[i] - 1, .percentile = row.percentile})
                .value()
                .verdict == TailVerdict::insufficient_data);
    }
}

TEST_CASE("MLPerf's numbers of queries follow from the margin") {
  const std::int64_t expected[][2] = {{23886, 24576}, {50425, 57344}, {85811, 90112}, {262742, 270336}};
  const double percentiles[] = {.90, .95, .97, .99};
  for (int i = 0; i < 4; ++i) {
    CHECK(tail_sample_size(percentiles[i]).value() == expected[i][0]);
    CHECK(tail_sample_size(percentiles[i], .99, 0, 8192).value() == expected[i][1]);
  }
}

TEST_CASE("a tail objective is met, missed, or not decided") {
  const auto verdict = [](std::int64_t late, std::int64_t queries) {
    return tail_objective({.late = late, .queries = queries, .percentile = .99, .confidence = .95}).value().verdict;
  };
  CHECK(verdict(0, 0) == TailVerdict::insufficient_data);
  CHECK(verdict(0, 100) == TailVerdict::insufficient_data);
  CHECK(verdict(1, 1000) == TailVerdict::met);
  CHECK(verdict(10, 1000) == TailVerdict::insufficient_data); // exactly on the limit
  CHECK(verdict(30, 1000) == TailVerdict::missed);
  CHECK(verdict(3, 3) == TailVerdict::missed);
  CHECK(fmt::format("{}", TailVerdict::insufficient_data) == "insufficient data");
  CHECK(tail_objective({.late = 5, .queries = 100}).value().late_fraction == .05);
  // Simulated: p99 exactly at the limit is called met in at most 5% of runs.
  Random random(8);
  int met = 0;
  for (int run = 0; run < 3000; ++run) {
    std::int64_t late = 0;
    for (int i = 0; i < 700; ++i) late += random.uniform() < .01;
    met += verdict(late, 700) == TailVerdict::met;
  }
  CHECK(met <= 3000 * .05 + 3 * std::sqrt(3000 * .05 * .95));
}

TEST_CASE("quantiles of two samples are compared by their order statistics") {
  Random random(2);
  std::vector<double> a, b;
  for (int i = 0; i < 4000; ++i) {
    a.push_back(std::exp(random.normal()));
    b.push_back(.7 * std::exp(random.normal()));
  }
  const auto comparison = compare_quantiles(a, b, .95).value();
  CHECK(comparison.ratio.value().contains(.7));
  CHECK(comparison.ratio->upper < 1);
  CHECK(comparison.difference.value().upper < 0);
  CHECK(comparison.difference->lower == *comparison.candidate.lower - *comparison.baseline.upper);
  CHECK(comparison.baseline.level == Approx(std::sqrt(.95)));
  auto sketch_a = QuantileSketch::create().value(), sketch_b = sketch_a;
  for (const double x : a) sketch_a.add(x);
  for (const double x : b) sketch_b.add(x);
  const auto sketched = compare_quantiles(sketch_a, sketch_b, .95).value();
  CHECK(sketched.ratio->lower <= comparison.ratio->lower);
  CHECK(sketched.ratio->upper >= comparison.ratio->upper);
  CHECK(sketched.ratio->width() < comparison.ratio->width() + .05);
  CHECK(fmt::format("{}", comparison).find("p95: ") == 0);

  const std::vector<double> few{1, 2, 3}, centred{-1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
  CHECK_FALSE(compare_quantiles(few, a, .5).value().difference.has_value());
  CHECK(fmt::format("{}", compare_quantiles(few, a, .5).value()).find("too few") != std::string::npos);
  const auto signs = compare_quantiles(centred, a, .5).value();
  CHECK(signs.difference.has_value());
  CHECK_FALSE(signs.ratio.has_value());
  CHECK(compare_quantiles({}, a, .5).error().code() == ErrorCode::insufficient_data);
  CHECK(compare_quantiles(a, b, .5, 1).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("the comparison of quantiles covers the true difference") {
  Random random(19);
  int missed = 0;
  for (int run = 0; run < 800; ++run) {
    std::vector<double> a(300), b(200);
    for (double& x : a) x = -std::log1p(-random.uniform());
    for (double& x : b) x = -1.5 * std::log1p(-random.uniform());
    const auto comparison = compare_quantiles(a, b, .9).value();
    missed += !comparison.difference->contains(.5 * std::log(10.)) || !comparison.ratio->contains(1.5);
  }
  CHECK(missed <= 800 * .05 + 3 * std::sqrt(800 * .05 * .95));
}

TEST_CASE("latencies by stage add up to the whole") {
  auto latencies = StageLatencies::create().value();
  CHECK(latencies.stages() == std::vector<std::string>{"queue", "preprocessing", "model", "postprocessing"});
  Random random(3);
  for (int i = 0; i < 1000; ++i) latencies.add(std::vector<double>{.001 * random.uniform(), .002, .01, .001}).value();
  CHECK(latencies.count() == 1000);
  CHECK((*latencies.stage("model"))->quantile(.5).value() == Approx(.01).epsilon(.01));
  double shares = 0;
  for (const auto& name : latencies.stages()) shares += *latencies.share(name);
  CHECK(shares == Approx(1).epsilon(1e-12));
  auto other = latencies;
  other.add(std::vector<double>{0, 0, 1, 0}, 2).value(); // a gap between the stages
  CHECK(other.end_to_end().max() == 2);
  CHECK_FALSE(other == latencies);
  latencies.merge(other).value();
  CHECK(latencies.count() == 2001);
  CHECK(fmt::format("{}", latencies).find("\n  model: mean") != std::string::npos);

  CHECK(latencies.stage("gpu").error().code() == ErrorCode::not_found);
  CHECK(latencies.add(std::vector<double>{1, 2}).error().code() == ErrorCode::invalid_shape);
  for (const double bad : {-1.0, nan_value, std::numeric_limits<double>::infinity()}) {
    const auto refused = latencies.add(std::vector<double>{0, 0, bad, 0}, 1);
    CHECK(refused.error().code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(refused.error()));
    CHECK(latencies.add(std::vector<double>{0, 0, 0, 0}, bad).error().code() == ErrorCode::invalid_value);
  }
  CHECK(latencies.count() == 2001); // nothing by halves
  CHECK_FALSE(latencies.merge(StageLatencies::create({"one"}).value()));
  CHECK_FALSE(StageLatencies::create({}));
  CHECK_FALSE(StageLatencies::create({"a", "a"}));
  CHECK_FALSE(StageLatencies::create({""}));
  CHECK(fmt::format("{}", StageLatencies::create().value()) == "no requests");
}

TEST_CASE("tail questions without an answer are refused") {
  for (const double bad : {0.0, 1.0, nan_value}) {
    CHECK(tail_queries_needed(0, bad).error().code() == ErrorCode::invalid_argument);
    CHECK(tail_queries_needed(0, .9, bad).error().code() == ErrorCode::invalid_argument);
    CHECK_FALSE(tail_sample_size(bad));
  }
  CHECK_FALSE(tail_queries_needed(-1, .9));
  CHECK_FALSE(tail_queries_needed(0, 1 - 0x1p-53));
  CHECK_FALSE(tail_objective({.late = 5, .queries = 4}));
  CHECK_FALSE(tail_objective({.late = 0, .queries = (std::int64_t{1} << 53) + 1}));
  CHECK(mcomp_test::well_formed(tail_sample_size(.9, .99, 0, 0).error()));
  CHECK_FALSE(tail_sample_size(.9, .99, 2));
}
