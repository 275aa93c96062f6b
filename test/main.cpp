#ifdef MCOMP_CATCH2_V3
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <cstdio>

#include "data.hpp"

int main(int argc, char** argv) {
  const int result = Catch::Session().run(argc, argv);
  const int skips = mcomp_test::skipped();
  if (skips > 0) std::fprintf(stderr, "skipped for want of data: %d\n", skips);
  // With the test data at hand, a test that skips is a failure.
  return result != 0 ? result : (skips > 0 && mcomp_test::data_expected() ? 1 : 0);
}
