// Rooms that know images and feature rows refuse decoders when they plan.

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/prune/filters.hpp"
#include "mcomp/quant/program.hpp"
#include "random_network.hpp"

using namespace mcomp;

TEST_CASE("integer programs and filter pruning refuse decoders and rows of a sequence") {
  Random random(1);
  const auto decoder =
      graph::llama({.vocabulary = 5, .features = 8, .hidden = 8, .layers = 1, .heads = 2, .context = 4}).value();
  graph::Network rows;
  rows.name = "rows";
  rows.input.shape = {3, 8};
  rows.layers = {{"fc", graph::Linear{4, "w", ""}, {"input"}}};
  rows.output = "fc";
  graph::Network gate = rows;
  gate.input.shape = {8};
  gate.layers.push_back({"gate", graph::Multiply{}, {"fc", "fc"}});
  gate.output = "gate";
  for (const graph::Network& network : {decoder, rows, gate}) {
    const TensorStore weights = mcomp_test::random_weights(network, random);
    const auto program = quant::lower(network, weights);
    REQUIRE_FALSE(program);
    CHECK(program.error().code() == ErrorCode::unsupported);
    CHECK(mcomp_test::well_formed(program.error()));
    const auto selection = prune::select_filters(network, weights);
    REQUIRE_FALSE(selection);
    CHECK(selection.error().code() == ErrorCode::unsupported);
    CHECK_FALSE(prune::remove_filters(network, weights, {}));
    CHECK_FALSE(prune::mask_filters(network, weights, {}));
  }
}
