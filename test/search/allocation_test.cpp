#include "mcomp/search/allocation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "random_allocation.hpp"

using namespace mcomp;
using namespace mcomp::search;
using mcomp_test::Family;
using mcomp_test::random_problem;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T> void check_error(const Result<T>& result, ErrorCode code) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
}

/// Sums of the choices of the same index over every tie, or over a single item.
std::vector<std::vector<Choice>> tied_sums(const AllocationProblem& problem) {
  std::map<std::string, std::size_t> known;
  std::vector<std::vector<Choice>> groups;
  for (const Item& item : problem.items) {
    const auto entry = item.tie.empty() ? known.end() : known.find(item.tie);
    if (entry == known.end()) {
      if (!item.tie.empty()) known.emplace(item.tie, groups.size());
      groups.push_back(item.choices);
      continue;
    }
    for (std::size_t c = 0; c < item.choices.size(); ++c) {
      Choice& sum = groups[entry->second][c];
      sum.loss += item.choices[c].loss;
      for (std::size_t k = 0; k < sum.costs.size(); ++k) sum.costs[k] += item.choices[c].costs[k];
    }
  }
  return groups;
}

/// The least loss by looking at every allocation; infinity where none is within the budgets. Whole numbers as costs, or
/// limits that no sum hits, since sums are plain.
double brute_force(const AllocationProblem& problem) {
  const auto groups = tied_sums(problem);
  double best = infinity;
  using Costs = std::array<double, max_budgets>;
  const std::size_t budgets = problem.budgets.size();
  const auto visit = [&](const auto& self, std::size_t g, double loss, const Costs& cost) -> void {
    if (g == groups.size()) {
      for (std::size_t k = 0; k < budgets; ++k)
        if (cost[k] > problem.budgets[k].limit) return;
      best = std::min(best, loss);
      return;
    }
    for (const Choice& choice : groups[g]) {
      Costs next = cost;
      for (std::size_t k = 0; k < budgets; ++k) next[k] += choice.costs[k];
      self(self, g + 1, loss + choice.loss, next);
    }
  };
  visit(visit, 0, 0, Costs{});
  return best;
}

/// Loss and costs are those of the choices, the budgets are kept, and the prices give the relaxation's bound.
void check_allocation(const AllocationProblem& problem, const Allocation& allocation) {
  REQUIRE(allocation.choices.size() == problem.items.size());
  REQUIRE(allocation.costs.size() == problem.budgets.size());
  double loss = 0, magnitude = 0;
  std::vector<double> cost(problem.budgets.size(), 0);
  for (std::size_t i = 0; i < problem.items.size(); ++i) {
    REQUIRE(allocation.choices[i] < problem.items[i].choices.size());
    const Choice& choice = problem.items[i].choices[allocation.choices[i]];
    loss += choice.loss;
    magnitude += std::abs(choice.loss);
    for (std::size_t k = 0; k < cost.size(); ++k) cost[k] += choice.costs[k];
  }
  CHECK(std::abs(allocation.loss - loss) <= 1e-12 * magnitude);
  for (std::size_t k = 0; k < cost.size(); ++k) {
    CHECK(allocation.costs[k] == Approx(cost[k]).epsilon(1e-12));
    CHECK(allocation.costs[k] <= problem.budgets[k].limit * (1 + 1e-12));
  }
  const Certificate& c = allocation.certificate;
  CHECK(c.gap == allocation.loss - c.lower_bound);
  CHECK(c.gap >= 0);
  CHECK(c.optimal == (c.gap == 0));
  CHECK(c.lower_bound >= c.relaxation_bound - 1e-11 * magnitude);
}

/// The bound that the prices of a certificate give; for problems without ties.
double price_bound(const AllocationProblem& problem, const std::vector<double>& prices) {
  double bound = 0;
  for (const Item& item : problem.items) {
    double least = infinity;
    for (const Choice& choice : item.choices) {
      double value = choice.loss;
      for (std::size_t k = 0; k < prices.size(); ++k) value += prices[k] * choice.costs[k];
      least = std::min(least, value);
    }
    bound += least;
  }
  for (std::size_t k = 0; k < prices.size(); ++k) bound -= prices[k] * problem.budgets[k].limit;
  return bound;
}

/// The least loss for one or two budgets with small whole numbers as costs, by a table over all totals.
double by_table(const AllocationProblem& problem) {
  const auto rows = static_cast<std::size_t>(problem.budgets[0].limit) + 1;
  const auto columns = problem.budgets.size() > 1 ? static_cast<std::size_t>(problem.budgets[1].limit) + 1 : 1;
  std::vector<double> table(rows * columns, 0);
  for (const Item& item : problem.items) {
    std::vector<double> next(table.size(), infinity);
    for (const Choice& choice : item.choices) {
      const auto r0 = static_cast<std::size_t>(choice.costs[0]);
      const auto c0 = columns > 1 ? static_cast<std::size_t>(choice.costs[1]) : 0;
      for (std::size_t r = r0; r < rows; ++r)
        for (std::size_t c = c0; c < columns; ++c) {
          double& entry = next[r * columns + c];
          entry = std::min(entry, table[(r - r0) * columns + c - c0] + choice.loss);
        }
    }
    table = std::move(next);
  }
  return table.back();
}

/// HAWQ-V3's ResNet-18 (test data, search/README.md): gain as negative loss, 4 or 8 bits.
AllocationProblem hawq(const std::filesystem::path& path, const std::string& budget) {
  std::ifstream file(path);
  std::string line;
  AllocationProblem problem;
  double low = 0, high = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#' || line.rfind("layer", 0) == 0) continue;
    std::vector<double> v;
    std::stringstream fields(line);
    for (std::string field; std::getline(fields, field, ',');) v.push_back(std::stod(field));
    REQUIRE(v.size() == 8);
    const double gain = v[1] * (v[3] - v[2]);
    const double cost8 = budget == "size" ? v[4] : budget == "bops" ? v[5] / 16 : v[7];
    const double cost4 = budget == "size" ? v[4] / 2 : budget == "bops" ? v[5] / 64 : v[6];
    low += cost4;
    high += cost8;
    const std::string layer = line.substr(0, line.find(','));
    const std::map<std::string, std::string> ties{{"4", "4=6"},   {"6", "4=6"},    {"9", "9=11"},
                                                  {"11", "9=11"}, {"14", "14=16"}, {"16", "14=16"}};
    const auto tie = ties.find(layer);
    problem.items.push_back({.name = layer,
                             .choices = {{"4", 0, {cost4}}, {"8", -gain, {cost8}}},
                             .tie = tie == ties.end() ? "" : tie->second});
  }
  problem.budgets = {{budget, (low + high) / 2}};
  return problem;
}

} // namespace

TEST_CASE("The published optima of HAWQ-V3 for ResNet-18 are reproduced") {
  const auto path = mcomp_test::data("search/hawq_resnet18.csv");
  if (!path) return;
  struct Case {
    std::string budget, bits;
    double gain, cost, limit;
  };
  for (const auto& [budget, bits, gain, cost, limit] :
       std::vector<Case>{{"size", "8888888888888884844", 1.2332071989, 7.265625, 7.98046875},
                         {"bops", "8884888848884444444", 1.0920238055, 65.028096, 66.23232},
                         {"latency", "8888848848884484844", 1.1050393345, 4.220095090, 4.246179795}}) {
    CAPTURE(budget);
    const AllocationProblem problem = hawq(*path, budget);
    REQUIRE(problem.items.size() == 19);
    CHECK(problem.budgets[0].limit == Approx(limit).epsilon(1e-9));
    const Allocation allocation = allocate(problem).value();
    std::string chosen;
    for (std::size_t i = 0; i < 19; ++i) chosen += problem.items[i].choices[allocation.choices[i]].name;
    CHECK(chosen == bits);
    CHECK(-allocation.loss == Approx(gain).epsilon(1e-9));
    CHECK(allocation.costs[0] == Approx(cost).epsilon(1e-9));
    CHECK(allocation.certificate.optimal);
    check_allocation(problem, allocation);
  }
}

TEST_CASE("Allocation equals brute force on random problems of 7 layers with 4 choices and one to four budgets") {
  int feasible = 0;
  for (std::uint64_t seed = 0; seed < 800; ++seed) {
    const auto family = static_cast<Family>(seed % mcomp_test::family_count);
    const std::size_t budgets = 1 + seed % 4;
    const AllocationProblem problem = random_problem(
        {.family = family, .items = 7, .budgets = budgets, .tightness = .1 + .1 * double(seed % 7), .seed = seed});
    CAPTURE(seed, budgets, static_cast<int>(family));
    const double best = brute_force(problem);
    const auto allocation = allocate(problem);
    if (best == infinity) {
      check_error(allocation, ErrorCode::invalid_argument);
      continue;
    }
    ++feasible;
    REQUIRE(allocation);
    CHECK(allocation->loss == Approx(best).epsilon(1e-12).margin(1e-12));
    CHECK(allocation->certificate.optimal);
    check_allocation(problem, *allocation);
  }
  CHECK(feasible > 400);
}

TEST_CASE("Allocation equals brute force on 1,000 problems of 10 layers with 4 choices and two budgets") {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const auto family = static_cast<Family>(seed % mcomp_test::family_count);
    const AllocationProblem problem = random_problem(
        {.family = family, .items = 10, .budgets = 2, .tightness = .2 + .1 * double(seed % 6), .seed = 1000 + seed});
    CAPTURE(seed, static_cast<int>(family));
    const double best = brute_force(problem);
    const auto allocation = allocate(problem);
    if (best == infinity) {
      check_error(allocation, ErrorCode::invalid_argument);
      continue;
    }
    REQUIRE(allocation);
    CHECK(allocation->loss == Approx(best).epsilon(1e-12).margin(1e-12));
    CHECK(allocation->certificate.optimal);
  }
}

TEST_CASE("Allocation equals a table over all totals where costs are small whole numbers") {
  for (std::uint64_t seed = 0; seed < 12; ++seed)
    for (const std::size_t budgets : {std::size_t{1}, std::size_t{2}}) {
      CAPTURE(seed, budgets);
      AllocationProblem problem = random_problem({.family = seed % 2 == 0 ? Family::integer : Family::bits,
                                                  .items = budgets == 1 ? 60u : 25u,
                                                  .choices = 5,
                                                  .budgets = budgets,
                                                  .tightness = .3,
                                                  .seed = seed});
      for (Item& item : problem.items)
        for (Choice& choice : item.choices)
          for (double& cost : choice.costs) cost = std::floor(20 * cost / 1000);
      for (Budget& budget : problem.budgets) budget.limit = std::floor(20 * budget.limit / 1000);
      if (seed % 2 == 1)
        for (Budget& budget : problem.budgets) budget.limit = 150;
      const double best = by_table(problem);
      const auto allocation = allocate(problem);
      if (best == infinity) {
        check_error(allocation, ErrorCode::invalid_argument);
        continue;
      }
      REQUIRE(allocation);
      CHECK(allocation->loss == Approx(best).epsilon(1e-12));
      CHECK(allocation->certificate.optimal);
    }
}

TEST_CASE("1,000 layers with 8 choices: one budget is proven optimal, two have a certified gap of 1e-6") {
  for (const Family family : {Family::uniform, Family::integer, Family::bits, Family::transformer, Family::weak,
                              Family::lattice, Family::concave, Family::heavy})
    for (const std::size_t budgets : {std::size_t{1}, std::size_t{2}}) {
      CAPTURE(static_cast<int>(family), budgets);
      const AllocationProblem problem = random_problem({.family = family,
                                                        .items = 1000,
                                                        .choices = 8,
                                                        .budgets = budgets,
                                                        .tightness = family == Family::heavy ? .003 : .3,
                                                        .seed = 5});
      const auto allocation = allocate(problem, {.relative_gap = budgets == 1 ? 0 : 1e-6});
      REQUIRE(allocation);
      check_allocation(problem, *allocation);
      const Certificate& c = allocation->certificate;
      CHECK(c.relative_gap <= 1e-6);
      CHECK((budgets == 2 || c.optimal));
      CHECK(c.relaxation_bound == Approx(price_bound(problem, c.prices)).epsilon(1e-11));
      CHECK(c.relaxation_bound <= allocation->loss);
    }
}

TEST_CASE("A certified lower bound is never above the optimum, however early the search ends") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const AllocationProblem problem = random_problem({.family = static_cast<Family>(seed % mcomp_test::family_count),
                                                      .items = 40,
                                                      .choices = 6,
                                                      .budgets = 1 + seed % 3,
                                                      .tightness = .4,
                                                      .seed = seed});
    const auto best = allocate(problem, {.node_limit = 3'000'000});
    REQUIRE(best);
    for (const std::int64_t nodes : {0, 50, 1000, 20'000}) {
      CAPTURE(seed, nodes);
      const auto early = allocate(problem, {.node_limit = nodes});
      if (!early) {
        CHECK(early.error().code() == ErrorCode::insufficient_data);
        continue;
      }
      check_allocation(problem, *early);
      const double rounding = 1e-12 * std::abs(best->loss);
      CHECK(early->certificate.lower_bound <= best->loss + rounding);
      CHECK(early->loss >= best->certificate.lower_bound - rounding);
    }
    for (const double gap : {1e-2, 1e-4}) {
      const auto rough = allocate(problem, {.relative_gap = gap, .node_limit = 3'000'000});
      REQUIRE(rough);
      CHECK(rough->certificate.lower_bound <= best->loss + 1e-12 * std::abs(best->loss));
      if (best->certificate.optimal) CHECK(rough->certificate.relative_gap <= gap * (1 + 1e-9));
    }
  }
}

TEST_CASE("Tied items take the same choice, and the best one for all of them") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    AllocationProblem problem = random_problem({.family = static_cast<Family>(seed % mcomp_test::family_count),
                                                .items = 9,
                                                .budgets = 2,
                                                .tightness = .5,
                                                .seed = seed});
    problem.items[1].tie = problem.items[4].tie = problem.items[7].tie = "a";
    problem.items[0].tie = problem.items[8].tie = "b";
    const double best = brute_force(problem);
    const auto allocation = allocate(problem);
    if (best == infinity) {
      check_error(allocation, ErrorCode::invalid_argument);
      continue;
    }
    REQUIRE(allocation);
    CHECK(allocation->choices[1] == allocation->choices[4]);
    CHECK(allocation->choices[1] == allocation->choices[7]);
    CHECK(allocation->choices[0] == allocation->choices[8]);
    CHECK(allocation->loss == Approx(best).epsilon(1e-12).margin(1e-12));
  }
}

TEST_CASE("Named choices of tied items go together by name, those that one does not offer are out") {
  const AllocationProblem problem{
      .items = {{.name = "query",
                 .choices = {{"int3", 3, {3}}, {"int4", 2, {4}}, {"int8", 0, {8}}},
                 .tie = "attention"},
                {.name = "key", .choices = {{"int8", 0, {8}}, {"int4", 5, {4}}}, .tie = "attention"}},
      .budgets = {{"bytes", 15}}};
  const Allocation allocation = allocate(problem).value();
  CHECK(allocation.choices == std::vector<std::size_t>{1, 1});
  CHECK(allocation.loss == 7);
  CHECK(allocation.costs == std::vector<double>{8});
  CHECK(fmt::format("{}", allocation) == "loss 7, costs 8, optimal (independent, 0 nodes)");
}

TEST_CASE("A limit that is a sum of decimal costs admits them in any order of summation") {
  AllocationProblem problem{.budgets = {{"ms", 0}}};
  for (int i = 0; i < 7; ++i) {
    problem.items.push_back({.choices = {{"", 1, {.1}}, {"", 0, {.7}}}});
    problem.budgets[0].limit += i < 4 ? .1 : .7; // its rounded value is below the sum that it stands for
  }
  for (const double nudge : {1 - 3e-16, 1.0, 1 + 3e-16}) {
    AllocationProblem nudged = problem;
    nudged.budgets[0].limit *= nudge;
    CHECK(allocate(nudged).value().loss == 4);
  }
  problem.budgets[0].limit *= 1 - 1e-9;
  CHECK(allocate(problem).value().loss == 5);
}

TEST_CASE("Whole-number budgets are kept to the last unit") {
  const double large = 1e12;
  AllocationProblem problem{.budgets = {{"bytes", 3 * large + 2}}};
  for (int i = 0; i < 3; ++i) problem.items.push_back({.choices = {{"", 1, {large}}, {"", 0, {large + 1}}}});
  CHECK(allocate(problem).value().loss == 1);
  problem.budgets[0].limit += 1;
  CHECK(allocate(problem).value().loss == 0);
  problem.budgets[0].limit = 3 * large - .5;
  check_error(allocate(problem), ErrorCode::invalid_argument);
}

TEST_CASE("Budgets that nothing keeps are an error that names the least possible totals") {
  AllocationProblem problem{.items = {{.name = "a", .choices = {{"", 0, {5, 1}}, {"", 0, {2, 7}}}},
                                      {.name = "b", .choices = {{"", 0, {6, 1}}, {"", 0, {3, 7}}}}},
                            .budgets = {{"bytes", 4}, {"ms", 100}}};
  const auto one = allocate(problem);
  check_error(one, ErrorCode::invalid_argument);
  CHECK(one.error().rule().find("bytes 5 of 4, ms 2 of 100") != std::string::npos);
  // Each budget alone can be kept, and both by the relaxation, but not by whole choices.
  problem.budgets = {{"bytes", 8}, {"ms", 7.9}};
  const auto both = allocate(problem);
  check_error(both, ErrorCode::invalid_argument);
  CHECK(both.error().rule().find("bytes 5 of 8, ms 2 of 7.9") != std::string::npos);
  problem.budgets = {{"bytes", 8}, {"ms", 8}};
  CHECK(allocate(problem).value().costs == std::vector<double>{8, 8});
  // Not even by the relaxation.
  problem.budgets = {{"bytes", 6}, {"ms", 3}};
  check_error(allocate(problem), ErrorCode::invalid_argument);
  problem.budgets = {{"bytes", -1}, {"ms", 3}};
  check_error(allocate(problem), ErrorCode::invalid_argument);
}

TEST_CASE("No budgets and unlimited ones leave every item its best choice") {
  AllocationProblem problem{.items = {{.choices = {{"", 4, {}}, {"", -1, {}}}}}};
  CHECK(allocate(problem).value().loss == -1);
  problem = {.items = {{.choices = {{"", 4, {1}}, {"", -1, {1e9}}}}}, .budgets = {{"bytes", infinity}}};
  const Allocation allocation = allocate(problem).value();
  CHECK(allocation.loss == -1);
  CHECK(allocation.certificate.method == AllocationMethod::independent);
  CHECK(allocation.certificate.relaxation_bound == -1);
}

TEST_CASE("Bad problems are errors") {
  const AllocationProblem good{.items = {{.name = "a", .choices = {{"x", 0, {1}}, {"y", 1, {0}}}},
                                         {.name = "b", .choices = {{"x", 0, {1}}, {"y", 1, {0}}}}},
                               .budgets = {{"bytes", 1}}};
  REQUIRE(allocate(good));
  const auto broken = [&](auto&& change, ErrorCode code) {
    AllocationProblem problem = good;
    change(problem);
    check_error(allocate(problem), code);
    check_error(convex_hull(problem), code);
  };
  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
  broken([](auto& p) { p.items.clear(); }, ErrorCode::invalid_argument);
  broken([](auto& p) { p.items[0].choices.clear(); }, ErrorCode::invalid_argument);
  broken([](auto& p) { p.items[1].name = "a"; }, ErrorCode::invalid_argument);
  broken([](auto& p) { p.items[1].choices[1].name = "x"; }, ErrorCode::invalid_argument);
  broken([](auto& p) { p.items[1].choices[1].name = ""; }, ErrorCode::invalid_argument);
  broken([](auto& p) { p.items[1].choices[0].costs = {1, 2}; }, ErrorCode::invalid_argument);
  broken([](auto& p) { p.items[1].choices[0].costs = {-1}; }, ErrorCode::invalid_value);
  broken([](auto& p) { p.items[1].choices[0].costs = {infinity}; }, ErrorCode::invalid_value);
  broken([](auto& p) { p.items[1].choices[0].loss = not_a_number; }, ErrorCode::invalid_value);
  broken([](auto& p) { p.items[0].choices[0].loss = p.items[1].choices[0].loss = 1e308; }, ErrorCode::invalid_value);
  broken([](auto& p) { p.budgets[0].limit = not_a_number; }, ErrorCode::invalid_value);
  broken([](auto& p) { p.budgets.resize(9, {"", 1}); }, ErrorCode::invalid_argument);
  broken(
      [](auto& p) {
        p.items[0].tie = p.items[1].tie = "t";
        p.items[1].choices = {{"z", 0, {1}}};
      },
      ErrorCode::invalid_argument);
  broken(
      [](auto& p) {
        p.items[0].tie = p.items[1].tie = "t";
        p.items[1].choices = {{"", 0, {1}}};
      },
      ErrorCode::invalid_argument);
  broken(
      [](auto& p) {
        p.items[0].tie = p.items[1].tie = "t";
        for (Item& item : p.items)
          for (Choice& choice : item.choices) choice.name.clear();
        p.items[1].choices.pop_back();
      },
      ErrorCode::invalid_argument);
  check_error(allocate(good, {.relative_gap = -1}), ErrorCode::invalid_argument);
  check_error(allocate(good, {.absolute_gap = not_a_number}), ErrorCode::invalid_argument);
  check_error(allocate(good, {.node_limit = -1}), ErrorCode::invalid_argument);
  check_error(pareto_front(good, 1, std::vector<double>{1}), ErrorCode::invalid_argument);
  check_error(pareto_front(good, 0, {}), ErrorCode::invalid_argument);
  check_error(pareto_front(good, 0, std::vector<double>{-1, -2}), ErrorCode::invalid_argument);
  check_error(pareto_front(good, 0, std::vector<double>{not_a_number}), ErrorCode::invalid_value);
  check_error(convex_hull(good, 1), ErrorCode::invalid_argument);
}

TEST_CASE("The same problem gives the same allocation again, and cancelled work ends") {
  const AllocationProblem problem =
      random_problem({.family = Family::uniform, .items = 300, .choices = 8, .budgets = 2, .tightness = .3, .seed = 9});
  const Allocation first = allocate(problem).value();
  const Allocation second = allocate(problem).value();
  CHECK(first.choices == second.choices);
  CHECK(first.certificate.nodes == second.certificate.nodes);
  Context context;
  context.cancellation.cancel();
  check_error(allocate(problem, {}, context), ErrorCode::cancelled);

  // Cancelled from a progress report in the middle.
  Context later;
  int reports = 0;
  later.progress = [&](const ProgressEvent&) {
    ++reports;
    later.cancellation.cancel();
  };
  check_error(allocate(problem, {}, later), ErrorCode::cancelled);
  CHECK(reports == 1);
}
