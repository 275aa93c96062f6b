#pragma once

#include <cstddef>
#include <cstring>

#include "core/simd_dispatch.hpp"

#ifndef MCOMP_LANES_TARGET
#error "a source defines MCOMP_LANES_TARGET, the name of its instruction set, and sets the target of what follows"
#endif

// Sixteen floats that are computed with side by side, in registers of `Width` floats. Every lane does the same
// operations in the same order whatever the width, so that all widths give the same bits; width 1 is the portable
// reference. Compilers lower the vector types of GCC to the instruction set of the function they are inlined into.

namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET {

inline constexpr std::size_t lane_count = 16;

template <int Width> struct NativeLanes;
template <> struct NativeLanes<1> { using Float = float; };
#if defined(__GNUC__)
template <> struct NativeLanes<8> { typedef float Float __attribute__((vector_size(32))); };
template <> struct NativeLanes<16> { typedef float Float __attribute__((vector_size(64))); };
#define MCOMP_INLINE [[gnu::always_inline]] inline
#else
#define MCOMP_INLINE inline
#endif

template <int Width> struct Lanes {
  using Native = typename NativeLanes<Width>::Float;
  static constexpr int parts = static_cast<int>(lane_count) / Width;
  Native v[parts];

  MCOMP_INLINE static void set(Native& part, float x) {
    if constexpr (Width == 1)
      part = x;
    else
      part = Native{} + x;
  }
  MCOMP_INLINE static Lanes all(float x) {
    Lanes r;
    for (int i = 0; i < parts; ++i) set(r.v[i], x);
    return r;
  }
  /// From or to 16 floats.
  MCOMP_INLINE static Lanes load(const float* x) {
    Lanes r;
    std::memcpy(r.v, x, sizeof r.v);
    return r;
  }
  MCOMP_INLINE void store(float* x) const { std::memcpy(x, v, sizeof v); }
};

#define MCOMP_LANES_OPERATOR(op)                                                                                       \
  template <int W> MCOMP_INLINE Lanes<W> operator op(const Lanes<W>& a, const Lanes<W>& b) {                           \
    Lanes<W> r;                                                                                                        \
    for (int i = 0; i < Lanes<W>::parts; ++i) r.v[i] = a.v[i] op b.v[i];                                               \
    return r;                                                                                                          \
  }
MCOMP_LANES_OPERATOR(+)
MCOMP_LANES_OPERATOR(-)
MCOMP_LANES_OPERATOR(*)
MCOMP_LANES_OPERATOR(/)
#undef MCOMP_LANES_OPERATOR

/// a < b ? x : y
template <int W>
MCOMP_INLINE Lanes<W> where_less(const Lanes<W>& a, const Lanes<W>& b, const Lanes<W>& x, const Lanes<W>& y) {
  Lanes<W> r;
  for (int i = 0; i < Lanes<W>::parts; ++i) r.v[i] = a.v[i] < b.v[i] ? x.v[i] : y.v[i];
  return r;
}
template <int W> MCOMP_INLINE Lanes<W> smaller(const Lanes<W>& a, const Lanes<W>& b) {
  return where_less(a, b, a, b);
}
template <int W> MCOMP_INLINE Lanes<W> larger(const Lanes<W>& a, const Lanes<W>& b) {
  return where_less(b, a, a, b);
}
/// Half to even, of magnitudes up to 2^22.
template <int W> MCOMP_INLINE Lanes<W> rounded(const Lanes<W>& a) {
  const Lanes<W> magic = Lanes<W>::all(12582912.0f);
  return (a + magic) - magic;
}
template <int W> MCOMP_INLINE Lanes<W> clamped(const Lanes<W>& x, const Lanes<W>& low, const Lanes<W>& high) {
  return smaller(larger(x, low), high);
}
/// 1 / x, and 0 for 0.
template <int W> MCOMP_INLINE Lanes<W> inverse(const Lanes<W>& x) {
  const Lanes<W> zero = Lanes<W>::all(0.0f), one = Lanes<W>::all(1.0f);
  Lanes<W> r;
  for (int i = 0; i < Lanes<W>::parts; ++i) r.v[i] = x.v[i] == zero.v[i] ? zero.v[i] : one.v[i] / x.v[i];
  return r;
}

} // namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET
