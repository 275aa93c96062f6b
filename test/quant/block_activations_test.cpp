#include "mcomp/quant/block_activations.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {

std::vector<float> rounded(BlockFormat weights, std::vector<float> values) {
  round_activations(weights, values);
  return values;
}

} // namespace

TEST_CASE("activations beside blocks of 32 become multiples of an fp16 scale for each 32") {
  std::vector<float> x(64, 0.0f);
  x[0] = 254, x[1] = 3, x[2] = 5, x[3] = -0.9f; // scale 2: 1.5 and 2.5 round to 2
  x[40] = 1;                                    // scale 1/127, which fp16 cannot hold
  const std::vector<float> y = rounded(BlockFormat::q4_0, x);
  CHECK(y[0] == 254);
  CHECK(y[1] == 4);
  CHECK(y[2] == 4);
  CHECK(y[3] == 0);
  CHECK(y[4] == 0);
  CHECK(y[40] == 127 * to_float(to_half(1.0f / 127)));
  CHECK(y[40] != 1);
  CHECK(rounded(BlockFormat::q8_0, x) == y);
  CHECK(rounded(BlockFormat::iq4_nl, x) == y);
}

TEST_CASE("activations beside blocks of 256 become multiples of one f32 scale, the largest among them exactly") {
  for (const float largest : {254.0f, -254.0f}) {
    std::vector<float> x(256, 0.0f);
    x[0] = largest, x[1] = 3, x[2] = -5, x[200] = 0.9f;
    const std::vector<float> y = rounded(BlockFormat::q4_k, x);
    CHECK(y[0] == Approx(largest).epsilon(1e-6));
    CHECK(y[1] == Approx(4));
    CHECK(y[2] == Approx(-4));
    CHECK(y[200] == 0);
  }
}

TEST_CASE("zeros stay zeros, and what is not a number stays in its block") {
  const std::vector<float> zeros(256, 0.0f);
  CHECK(rounded(BlockFormat::q4_0, zeros) == zeros);
  CHECK(rounded(BlockFormat::q6_k, zeros) == zeros);
  std::vector<float> x(64, 1.0f);
  x[3] = NAN;
  const std::vector<float> y = rounded(BlockFormat::q5_1, x);
  CHECK(std::isnan(y[3]));
  CHECK(y[40] == Approx(1).epsilon(1e-3));
}
