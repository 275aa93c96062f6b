#pragma once

// Random allocation problems of several families, shared by tests and the benchmark.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "mcomp/core/random.hpp"
#include "mcomp/search/allocation.hpp"

namespace mcomp_test {

enum class Family {
  uniform,     ///< loss and costs independent, real-valued
  integer,     ///< loss and costs independent, whole numbers up to 1,000
  bits,        ///< loss ~ 4^-bits, bytes and real-valued latency ~ bits
  transformer, ///< as bits, few shapes that repeat, latency in steps
  weak,        ///< loss falls with the first cost, with noise, whole numbers
  lattice,     ///< loss ~ 4^-bits, costs are small multiples of bits
  concave,     ///< real-valued, every further bit saves more: most choices are off the convex hull
  heavy,       ///< loss and costs independent and log-normal: a few large items decide
};
inline constexpr std::uint64_t family_count = 8;

struct RandomProblem {
  Family family = Family::uniform;
  std::size_t items = 10;
  std::size_t choices = 4;
  std::size_t budgets = 2;
  double tightness = .5; ///< of the way from the least to the greatest total; a bit more for every further budget
  std::uint64_t seed = 0;
};

inline mcomp::search::Item random_item(const RandomProblem& p, std::size_t i, mcomp::Random& random) {
  constexpr double shapes[] = {16.8e6, 4.2e6, 4.2e6, 16.8e6, 58.7e6, 58.7e6, 58.7e6};
  const double weights =
      p.family == Family::transformer ? shapes[i % 7] : std::round(std::exp(8 + 4 * random.uniform()));
  const double sensitivity = std::exp(3 * random.normal());
  std::vector<double> rate(p.budgets), total(p.budgets, 0);
  for (double& r : rate) r = std::exp(random.uniform());
  double saved = 0;
  mcomp::search::Item item;
  for (std::size_t c = 0; c < p.choices; ++c) {
    const double bits = static_cast<double>(c) + 2;
    const double error = sensitivity * std::pow(4.0, -bits) * (1 + .1 * random.uniform());
    const auto whole = [&](std::uint64_t bound) { return static_cast<double>(random.below(bound)); };
    mcomp::search::Choice choice{.name = {}, .loss = error, .costs = std::vector<double>(p.budgets)};
    const double level = 100 + whole(900);
    saved += random.uniform() * bits;
    for (std::size_t k = 0; k < p.budgets; ++k) {
      double& cost = choice.costs[k];
      switch (p.family) {
      case Family::uniform:
        cost = random.uniform();
        break;
      case Family::integer:
        cost = 1 + whole(1000);
        break;
      case Family::bits:
        cost = k == 0 ? weights * bits / 8 : weights * (.3 + rate[k] * bits * (1 + .05 * random.uniform()));
        break;
      case Family::transformer:
        cost = k == 0 ? weights * bits / 8 : weights * (bits <= 4 ? 1 : bits <= 6 ? 1.5 : 2);
        break;
      case Family::weak:
        cost = k == 0 ? level : std::max(1.0, level + whole(201) - 100);
        break;
      case Family::lattice:
        cost = bits * static_cast<double>(1 + (i + k) % 3);
        break;
      case Family::heavy:
        cost = std::exp(3 * random.normal());
        break;
      case Family::concave:
        cost = total[k] += random.uniform();
        break;
      }
    }
    if (p.family == Family::uniform) choice.loss = random.uniform();
    if (p.family == Family::integer) choice.loss = whole(1000);
    if (p.family == Family::weak) choice.loss = 1000 - level + whole(200);
    if (p.family == Family::concave) choice.loss = 40 - saved;
    if (p.family == Family::heavy) choice.loss = std::exp(3 * random.normal());
    item.choices.push_back(std::move(choice));
  }
  return item;
}

inline mcomp::search::AllocationProblem random_problem(const RandomProblem& p) {
  mcomp::Random random(p.seed, static_cast<std::uint64_t>(p.family));
  mcomp::search::AllocationProblem problem;
  std::vector<double> low(p.budgets, 0), high(p.budgets, 0);
  for (std::size_t i = 0; i < p.items; ++i) {
    problem.items.push_back(random_item(p, i, random));
    for (std::size_t k = 0; k < p.budgets; ++k) {
      const auto [least, most] =
          std::minmax_element(problem.items.back().choices.begin(), problem.items.back().choices.end(),
                              [k](const auto& a, const auto& b) { return a.costs[k] < b.costs[k]; });
      low[k] += least->costs[k];
      high[k] += most->costs[k];
    }
  }
  for (std::size_t k = 0; k < p.budgets; ++k)
    problem.budgets.push_back({{}, low[k] + (p.tightness + .03 * static_cast<double>(k)) * (high[k] - low[k])});
  return problem;
}

} // namespace mcomp_test
