#pragma once

#include "mcomp/core/cpu.hpp"

// One loop, written once in plain C++, compiled for several instruction sets and chosen at run time. The loop body is
// an always-inlined function; MCOMP_DISPATCH makes one copy of it for each instruction set. Contraction is off for the
// whole library, so that all copies give the same bits.
//
//     MCOMP_ALWAYS_INLINE void scale_body(const float* x, float* y, std::int64_t n, float s) { ... }
//     MCOMP_DISPATCH(scale, (const float* x, float* y, std::int64_t n, float s), (x, y, n, s))
//     ... scale(x, y, n, s);

#if defined(__GNUC__)
#define MCOMP_ALWAYS_INLINE [[gnu::always_inline]] static inline
#else
#define MCOMP_ALWAYS_INLINE static inline
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#if defined(__clang__)
#define MCOMP_TARGET_AVX512 "avx512f,avx512bw,avx512vl,avx512dq,avx2"
#else
#define MCOMP_TARGET_AVX512 "avx512f,avx512bw,avx512vl,avx512dq,avx2,prefer-vector-width=512"
#endif
#define MCOMP_DISPATCH(name, parameters, arguments)                                                                    \
  [[gnu::target(MCOMP_TARGET_AVX512)]] static void name##_avx512 parameters {                                          \
    name##_body arguments;                                                                                             \
  }                                                                                                                    \
  [[gnu::target("avx2")]] static void name##_avx2 parameters {                                                         \
    name##_body arguments;                                                                                             \
  }                                                                                                                    \
  static void name##_baseline parameters {                                                                             \
    name##_body arguments;                                                                                             \
  }                                                                                                                    \
  static void name parameters {                                                                                        \
    if (cpu_features().avx512)                                                                                         \
      name##_avx512 arguments;                                                                                         \
    else if (cpu_features().avx2)                                                                                      \
      name##_avx2 arguments;                                                                                           \
    else                                                                                                               \
      name##_baseline arguments;                                                                                       \
  }
#else
#define MCOMP_DISPATCH(name, parameters, arguments)                                                                    \
  static void name parameters {                                                                                        \
    name##_body arguments;                                                                                             \
  }
#endif
