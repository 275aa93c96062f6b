#include "mcomp/kernels/synthetic_layer.hpp"

#include "catch.hpp"
#include "data.hpp"

using namespace mcomp;
using namespace mcomp::kernels;

TEST_CASE("layers of every kind are made ready and run") {
  if (const Status ready = require_execution(); !ready) {
    WARN(ready.error().what());
    return;
  }
  for (const bool integer : {false, true})
    for (const bool convolution : {false, true})
      for (const DType output : {DType::f32, DType::uint8})
        for (const bool residual : {false, true}) {
          const auto call = synthetic_layer({.convolution = convolution,
                                             .integer = integer,
                                             .in_channels = 6,
                                             .out_channels = 10,
                                             .samples = 3,
                                             .height = 5,
                                             .width = 7,
                                             .kernel = {3, 3},
                                             .stride = {2, 1},
                                             .padding = {1, 0},
                                             .groups = 2,
                                             .output = output,
                                             .residual = residual});
          INFO("integer " << integer << ", convolution " << convolution << ", residual " << residual);
          REQUIRE(call);
          CHECK((*call)());
          CHECK((*call)());
        }
}

TEST_CASE("sizes that are no layer are errors") {
  if (!require_execution()) return;
  const auto rejected = [](const SyntheticLayer& layer) {
    const auto call = synthetic_layer(layer);
    return !call && mcomp_test::well_formed(call.error());
  };
  CHECK(rejected({.in_channels = 0}));
  CHECK(rejected({.samples = -1}));
  CHECK(rejected({.output = DType::int8}));
  CHECK(rejected({.threads = 0}));
  CHECK(rejected({.convolution = true, .kernel = {3, 3}}));
  CHECK(rejected({.convolution = true, .kernel = {0, 1}}));
  CHECK(rejected({.convolution = true, .stride = {1, 0}}));
  CHECK(rejected({.convolution = true, .padding = {-1, 0}}));
  CHECK(rejected({.convolution = true, .in_channels = 4, .out_channels = 4, .groups = 3}));
}
