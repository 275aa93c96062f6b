#include "mcomp/compress/cheapest.hpp"

#include <cmath>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;

TEST_CASE("the cheapest choice within loss and latency is that of trying all") {
  Random random(5);
  for (int trial = 0; trial < 40; ++trial) {
    cost::LatencyTable table{.source = "random", .other_seconds = 1e-4, .layers = {}};
    std::vector<compress::LayerLosses> losses;
    constexpr std::size_t layers = 6, choices = 3;
    for (std::size_t i = 0; i < layers; ++i) {
      const std::string name = "layer" + std::to_string(i);
      table.layers.push_back({.layer = name, .weights = 10, .choices = {}});
      losses.push_back({name, {}});
      for (std::size_t c = 0; c < choices; ++c) {
        table.layers.back().choices.push_back(
            {"choice" + std::to_string(c), 8.0 - 2 * static_cast<double>(c), 1e-4 * (1 + random.uniform())});
        losses.back().losses.push_back(random.uniform());
      }
    }
    const auto objective = cost::CostObjective::create(table, {.price_per_hour = 2}).value();
    const compress::CheapestLimits limits{.loss = 1.5 + random.uniform(), .seconds = 9e-4 + 2e-4 * random.uniform()};
    double best = std::numeric_limits<double>::infinity();
    std::vector<std::size_t> picked(layers);
    for (std::size_t code = 0; code < 729; ++code) {
      double loss = 0;
      for (std::size_t i = 0, rest = code; i < layers; ++i, rest /= choices) {
        picked[i] = rest % choices;
        loss += losses[i].losses[picked[i]];
      }
      if (loss <= limits.loss && objective.seconds(picked).value() <= limits.seconds)
        best = std::min(best, objective(picked).value());
    }
    const auto found = compress::cheapest(objective, losses, limits);
    if (!std::isfinite(best)) {
      REQUIRE_FALSE(found);
      CHECK(found.error().code() == ErrorCode::invalid_argument);
      continue;
    }
    REQUIRE(found);
    CHECK(found->cost_per_million == Approx(best).epsilon(1e-12));
    CHECK(found->loss <= limits.loss);
    CHECK(found->seconds <= limits.seconds * (1 + 1e-12));
    CHECK(found->certificate.optimal);
    CHECK(found->choices.size() == layers);
  }
}

TEST_CASE("losses that do not fit the table are errors") {
  const cost::LatencyTable table{.source = "", .layers = {{"a", 1, {{"f32", 32, 1e-3}, {"int8", 8, 1e-4}}}}};
  const auto objective = cost::CostObjective::create(table, {.price_per_hour = 1}).value();
  const std::vector<compress::LayerLosses> none, few{{"a", {0.0}}}, right{{"a", {0.0, 0.1}}};
  CHECK(compress::cheapest(objective, none, {}).error().code() == ErrorCode::not_found);
  CHECK(compress::cheapest(objective, few, {}).error().code() == ErrorCode::invalid_argument);
  CHECK(compress::cheapest(objective, right, {}).value().choices[0] == "int8");
  CHECK(compress::cheapest(objective, right, {.loss = 0.05}).value().choices[0] == "f32");
  CHECK_FALSE(compress::cheapest(objective, right, {.loss = 0.05, .seconds = 5e-4}));
}
