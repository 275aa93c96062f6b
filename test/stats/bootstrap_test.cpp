#include "mcomp/stats/bootstrap.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {

/// The mean of `values` over rows.
RowStatistic mean_of(const std::vector<double>& values) {
  return [&values](std::span<const std::int64_t> rows) {
    double sum = 0;
    for (const std::int64_t row : rows) sum += values[static_cast<std::size_t>(row)];
    return sum / static_cast<double>(rows.size());
  };
}

struct Users {
  std::vector<std::int64_t> user;
  std::vector<double> value;
};
/// Users with a level of their own, and requests that vary little about it.
Users users(Random& random, int count, int requests) {
  Users data;
  for (int u = 0; u < count; ++u) {
    const double level = random.normal();
    for (int r = 0; r < requests; ++r) {
      data.user.push_back(1000 - u);
      data.value.push_back(level + .3 * random.normal());
    }
  }
  return data;
}

} // namespace

TEST_CASE("the bootstrap's standard error of a mean is the known one") {
  Random random(1);
  std::vector<double> values(400);
  for (double& value : values) value = random.normal();
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / 400;
  for (const double value : values) squares += (value - mean) * (value - mean);
  for (const auto method : {BootstrapMethod::percentile, BootstrapMethod::bca}) {
    const auto estimate = bootstrap(400, mean_of(values), {.method = method}).value();
    CHECK(estimate.estimate == Approx(mean));
    CHECK(estimate.standard_error == Approx(std::sqrt(squares) / 400).epsilon(.06));
    CHECK(std::abs(estimate.bias) < 5 * estimate.standard_error / std::sqrt(2000));
    CHECK(estimate.interval.lower == Approx(mean - 1.96 * estimate.standard_error).margin(.01));
    CHECK(estimate.interval.upper == Approx(mean + 1.96 * estimate.standard_error).margin(.01));
  }
}

TEST_CASE("clusters are drawn whole: the error is that of the users, not of the requests") {
  Random random(6);
  const Users data = users(random, 50, 40);
  const auto clustered = cluster_bootstrap(data.user, mean_of(data.value)).value();
  const auto rows = bootstrap(2000, mean_of(data.value)).value();
  CHECK(clustered.clusters == 50);
  CHECK(clustered.rows == 2000);
  CHECK(clustered.standard_error == Approx(1 / std::sqrt(50.)).epsilon(.3));
  CHECK(rows.standard_error < clustered.standard_error / 4);
  CHECK(fmt::format("{}", clustered).find(" of 2000 rows in 50 clusters") != std::string::npos);
}

TEST_CASE("cluster intervals cover, intervals that ignore the clusters do not; BCa follows a skewed statistic") {
  Random random(9);
  constexpr int runs = 250;
  int percentile = 0, bca = 0, naive = 0, low_percentile = 0, high_percentile = 0, low_bca = 0, high_bca = 0;
  for (int run = 0; run < runs; ++run) {
    const Users data = users(random, 40, 5);
    const BootstrapOptions options{.replicates = 400, .level = .9, .seed = static_cast<std::uint64_t>(run)};
    auto plain = options;
    plain.method = BootstrapMethod::percentile;
    percentile += !cluster_bootstrap(data.user, mean_of(data.value), plain).value().interval.contains(0);
    bca += !cluster_bootstrap(data.user, mean_of(data.value), options).value().interval.contains(0);
    naive += !bootstrap(200, mean_of(data.value), plain).value().interval.contains(0);
    std::vector<double> skewed(30);
    for (double& value : skewed) value = -std::log1p(-random.uniform());
    const auto p = bootstrap(30, mean_of(skewed), plain).value().interval,
               b = bootstrap(30, mean_of(skewed), options).value().interval;
    low_percentile += p.upper < 1;
    high_percentile += p.lower > 1;
    low_bca += b.upper < 1;
    high_bca += b.lower > 1;
  }
  INFO(percentile << " " << bca << " " << naive << "; " << low_percentile << " " << high_percentile << " " << low_bca
                  << " " << high_bca);
  const double allowed = .1 * runs + 4 * std::sqrt(.09 * runs);
  CHECK(percentile <= allowed);
  CHECK(bca <= allowed);
  CHECK(naive > 1.5 * allowed);
  CHECK(std::abs(low_bca - high_bca) <= std::abs(low_percentile - high_percentile));
}

TEST_CASE("the same seed gives the same result on any number of threads") {
  Random random(2);
  const Users data = users(random, 30, 3);
  ThreadPool pool(3);
  const auto serial = cluster_bootstrap(data.user, mean_of(data.value)).value();
  CHECK(cluster_bootstrap(data.user, mean_of(data.value), {}, {.executor = &pool}).value() == serial);
  CHECK_FALSE(cluster_bootstrap(data.user, mean_of(data.value), {.seed = 2}).value() == serial);
}

TEST_CASE("BCa corrects by the jackknife's skewness, worked by hand") {
  // Two clusters: replicates are the means 0, 1/2, 1 with weights 1/4, 1/2, 1/4; left out, 1 and 0: no skewness, and no
  // bias since ties count half. So both methods give the same quantiles.
  const std::vector<double> values{0, 1};
  const BootstrapOptions bca{.replicates = 100000, .level = .8};
  auto percentile = bca;
  percentile.method = BootstrapMethod::percentile;
  CHECK(bootstrap(2, mean_of(values), bca).value().interval == Interval{0, 1, .8});
  CHECK(bootstrap(2, mean_of(values), percentile).value().interval == Interval{0, 1, .8});
  const std::vector<double> same(10, 3.0);
  const auto constant = bootstrap(10, mean_of(same)).value();
  CHECK(constant.interval == Interval{3, 3, .95});
  CHECK(constant.standard_error == 0);
}

TEST_CASE("the bootstrap refuses what it cannot answer") {
  const std::vector<double> values{1, 2, 3};
  const std::vector<std::int64_t> one{7, 7, 7}, none, three{1, 2, 3};
  CHECK(cluster_bootstrap(one, mean_of(values)).error().code() == ErrorCode::insufficient_data);
  CHECK(cluster_bootstrap(none, mean_of(values)).error().code() == ErrorCode::insufficient_data);
  CHECK(bootstrap(1, mean_of(values)).error().code() == ErrorCode::insufficient_data);
  CHECK(bootstrap(-5, mean_of(values)).error().code() == ErrorCode::insufficient_data);
  CHECK(cluster_bootstrap(three, mean_of(values), {.replicates = 19}).error().code() == ErrorCode::invalid_argument);
  CHECK(cluster_bootstrap(three, mean_of(values), {.replicates = 100, .level = .999}).error().code() ==
        ErrorCode::invalid_argument);
  CHECK_FALSE(cluster_bootstrap(three, mean_of(values), {.level = 1}));
  // Not finite for the whole sample, for some replicates, and without some cluster.
  const RowStatistic never = [](std::span<const std::int64_t>) { return std::numeric_limits<double>::quiet_NaN(); };
  const RowStatistic needs_all = [](std::span<const std::int64_t> rows) {
    std::int64_t seen = 0;
    for (const std::int64_t row : rows) seen |= std::int64_t{1} << row;
    return seen == 7 ? 1.0 : std::numeric_limits<double>::infinity();
  };
  for (const auto& statistic : {never, needs_all}) {
    const auto refused = cluster_bootstrap(three, statistic);
    CHECK(refused.error().code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(refused.error()));
  }
  Context cancelled;
  cancelled.cancellation.cancel();
  CHECK(cluster_bootstrap(three, mean_of(values), {}, cancelled).error().code() == ErrorCode::cancelled);
}
