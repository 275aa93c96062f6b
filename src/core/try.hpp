#pragma once

#include "mcomp/core/result.hpp"

// MCOMP_TRY(name, expression): `name` becomes the value of a Result, or the enclosing function returns its Error.
// MCOMP_CHECK(expression): the same for a Status.
#define MCOMP_TRY(name, ...)                                                                                           \
  auto name##_result = (__VA_ARGS__);                                                                                  \
  if (!name##_result) return name##_result.error();                                                                    \
  auto& name = *name##_result
#define MCOMP_CHECK(...)                                                                                               \
  if (auto mcomp_status = (__VA_ARGS__); !mcomp_status) return mcomp_status.error()
