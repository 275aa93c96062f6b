#include "catch.hpp"
#include "mcomp/kernels/capabilities.hpp"

// A second run of these tests against another oneDNN means something only if that one is executed.
TEST_CASE("the oneDNN that executes is the one that the build found") {
  CHECK(mcomp::kernels::capabilities().onednn_version == MCOMP_TEST_ONEDNN_VERSION);
}
