#include <algorithm>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/search/allocation.hpp"
#include "random_allocation.hpp"

using namespace mcomp;
using namespace mcomp::search;
using mcomp_test::Family;
using mcomp_test::random_problem;

TEST_CASE("The Pareto front of a problem that fits on a page is all its undominated allocations") {
  // Totals (cost, loss): (2,10) (3,8) (4,5) (5,9) (6,6) (7,3): undominated are (2,10) (3,8) (4,5) (7,3).
  const AllocationProblem problem{
      .items = {{.choices = {{"", 4, {1}}, {"", 2, {2}}}}, {.choices = {{"", 6, {1}}, {"", 3, {2}}, {"", 1, {5}}}}},
      .budgets = {{"bytes", 0}}};
  const std::vector<double> limits{1, 2, 3, 4, 5, 6, 7, 100};
  const auto front = pareto_front(problem, 0, limits).value();
  std::vector<std::pair<double, double>> points;
  for (const Allocation& a : front) points.emplace_back(a.costs[0], a.loss);
  CHECK(points == std::vector<std::pair<double, double>>{{2, 10}, {3, 7}, {4, 5}, {7, 3}});
}

TEST_CASE("The Pareto front is the same on many threads and holds the optimum of every limit") {
  const AllocationProblem problem =
      random_problem({.family = Family::bits, .items = 60, .choices = 6, .budgets = 2, .tightness = .5, .seed = 3});
  std::vector<double> limits;
  for (int i = 0; i < 24; ++i) limits.push_back(problem.budgets[0].limit * (.3 + .05 * i));
  ThreadPool pool(3);
  Context context;
  context.executor = &pool;
  const auto front = pareto_front(problem, 0, limits, {}, context).value();
  const auto serial = pareto_front(problem, 0, limits).value();
  REQUIRE(front.size() == serial.size());
  for (std::size_t i = 0; i < front.size(); ++i) CHECK(front[i].choices == serial[i].choices);
  for (std::size_t i = 1; i < front.size(); ++i) {
    CHECK(front[i].costs[0] > front[i - 1].costs[0]);
    CHECK(front[i].loss < front[i - 1].loss);
  }
  for (const double limit : limits) {
    AllocationProblem limited = problem;
    limited.budgets[0].limit = limit;
    const auto one = allocate(limited);
    double best = std::numeric_limits<double>::infinity();
    for (const Allocation& a : front)
      if (a.costs[0] <= limit) best = std::min(best, a.loss);
    if (one) CHECK(best <= one->loss);
    if (!one) CHECK(best == std::numeric_limits<double>::infinity());
  }
}

TEST_CASE("Every corner of the convex hull is what allocate finds at its cost, and none is below the hull") {
  const AllocationProblem problem =
      random_problem({.family = Family::bits, .items = 12, .choices = 6, .budgets = 1, .tightness = .5, .seed = 4});
  const Hull hull = convex_hull(problem).value();
  REQUIRE(hull.points.size() > 12);
  for (std::size_t p = 0; p < hull.points.size(); ++p) {
    CAPTURE(p);
    AllocationProblem limited = problem;
    limited.budgets[0].limit = hull.points[p].cost;
    const Allocation best = allocate(limited).value();
    CHECK(best.loss == Approx(hull.points[p].loss).epsilon(1e-12));
    double loss = 0, cost = 0;
    const auto choices = hull.choices_at(p);
    for (std::size_t i = 0; i < choices.size(); ++i) {
      loss += problem.items[i].choices[choices[i]].loss;
      cost += problem.items[i].choices[choices[i]].costs[0];
    }
    CHECK(loss == Approx(hull.points[p].loss).epsilon(1e-12));
    CHECK(cost == Approx(hull.points[p].cost).epsilon(1e-12));
  }
  for (std::size_t p = 2; p < hull.points.size(); ++p) {
    const auto slope = [&](std::size_t q) {
      return (hull.points[q].loss - hull.points[q - 1].loss) / (hull.points[q].cost - hull.points[q - 1].cost);
    };
    CHECK(slope(p) >= slope(p - 1) * (1 + 1e-6));
    CHECK(slope(p) < 0);
  }
}

TEST_CASE("Tied items change together along the hull") {
  const AllocationProblem problem{.items = {{.choices = {{"a", 4, {1}}, {"b", 1, {2}}}, .tie = "t"},
                                            {.choices = {{"b", 1, {2}}, {"a", 4, {1}}}, .tie = "t"}},
                                  .budgets = {{"bytes", 4}}};
  const Hull hull = convex_hull(problem).value();
  REQUIRE(hull.points.size() == 2);
  CHECK(hull.cheapest == std::vector<std::size_t>{0, 1});
  CHECK(hull.points[1].changes == std::vector<ChoiceChange>{{0, 1}, {1, 0}});
  CHECK(hull.choices_at(1) == std::vector<std::size_t>{1, 0});
  CHECK(hull.points[1].loss == 2);
}
