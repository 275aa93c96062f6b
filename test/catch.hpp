#pragma once

// The one place that knows which major version of Catch2 this is.
#ifdef MCOMP_CATCH2_V3
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
