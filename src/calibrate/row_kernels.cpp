#include "calibrate/row_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "mcomp/core/cpu.hpp"

#if defined(__GNUC__)
#define MCOMP_INLINE inline __attribute__((always_inline))
#else
#define MCOMP_INLINE inline
#endif

namespace mcomp::inline v0::calibrate::detail {

namespace {

constexpr double largest_logit = 1e300; // differences of logits stay finite
constexpr std::size_t lanes = 16;       // two registers of doubles at the widest, to hide the latency of an addition
constexpr double least_exponent = -708; // exp of it is the last normal number

template <bool fused> MCOMP_INLINE double multiply_add(double a, double b, double c) {
#if defined(__GNUC__)
  if constexpr (fused) return __builtin_fma(a, b, c);
#endif
  return a * b + c;
}

/// exp(t) for -708 <= t <= 0 within 2e-16 of itself: t = k log 2 + r, Taylor in r to the 12th power, k into the
/// exponent.
template <bool fused> MCOMP_INLINE double exponential(double t) {
  constexpr double log2e = 1.4426950408889634, shift = 0x1.8p52; // adding `shift` rounds to a whole number
  constexpr double log2_high = 6.93147180369123816490e-01, log2_low = 1.90821492927058770002e-10;
  const double shifted = multiply_add<fused>(t, log2e, shift), k = shifted - shift;
  const double r = multiply_add<fused>(k, -log2_low, multiply_add<fused>(k, -log2_high, t));
  // Written out: as a loop over coefficients it keeps GCC from vectorizing the loop around it.
  double p = multiply_add<fused>(1. / 479001600, r, 1. / 39916800);
  p = multiply_add<fused>(p, r, 1. / 3628800);
  p = multiply_add<fused>(p, r, 1. / 362880);
  p = multiply_add<fused>(p, r, 1. / 40320);
  p = multiply_add<fused>(p, r, 1. / 5040);
  p = multiply_add<fused>(p, r, 1. / 720);
  p = multiply_add<fused>(p, r, 1. / 120);
  p = multiply_add<fused>(p, r, 1. / 24);
  p = multiply_add<fused>(p, r, 1. / 6);
  p = multiply_add<fused>(p, r, 1. / 2);
  p = multiply_add<fused>(p, r, 1.);
  p = multiply_add<fused>(p, r, 1.);
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(p) + (std::bit_cast<std::uint64_t>(shifted) << 52));
}

/// Calls `body` with 16 elements at a time, the last time filled up with minus infinity.
template <class T, class Body> MCOMP_INLINE void for_each_block(const T* row, std::size_t classes, const Body& body) {
  std::size_t j = 0;
  for (; j + lanes <= classes; j += lanes) body(row + j, j, lanes);
  if (j == classes) return;
  T last[lanes];
  for (std::size_t l = 0; l < lanes; ++l) last[l] = j + l < classes ? row[j + l] : -std::numeric_limits<T>::infinity();
  body(last, j, classes - j);
}

/// The same for a row with infinities, NaN, or a sum out of range: rare, so in plain steps.
template <class T> RowRange range_of_special(const T* row, std::size_t classes) noexcept {
  RowRange range{.maximum = -std::numeric_limits<double>::infinity(),
                 .minimum = std::numeric_limits<double>::infinity(),
                 .valid = true};
  for (std::size_t j = 0; j < classes; ++j) {
    const double z = static_cast<double>(row[j]);
    range.valid = range.valid && z < largest_logit; // false for NaN
    if (!std::isfinite(z)) continue;
    range.valid = range.valid && z > -largest_logit;
    range.maximum = std::max(range.maximum, z);
    range.minimum = std::min(range.minimum, z);
    ++range.finite;
  }
  range.valid = range.valid && range.finite > 0;
  if (!range.valid) return range;
  for (std::size_t j = 0; j < classes; ++j)
    if (std::isfinite(row[j]))
      range.mean_below += (static_cast<double>(row[j]) - range.maximum) / static_cast<double>(range.finite);
  return range;
}

template <class T> MCOMP_INLINE RowRange range_of(const T* row, std::size_t classes) {
  T high[lanes], low[lanes];
  double sum[lanes] = {};
  std::fill_n(high, lanes, row[0]);
  std::fill_n(low, lanes, row[0]);
  const std::size_t whole = classes - classes % lanes;
  for (std::size_t j = 0; j < whole; j += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) high[l] = row[j + l] > high[l] ? row[j + l] : high[l];
    for (std::size_t l = 0; l < lanes; ++l) low[l] = row[j + l] < low[l] ? row[j + l] : low[l];
    for (std::size_t l = 0; l < lanes; ++l) sum[l] += static_cast<double>(row[j + l]);
  }
  for (std::size_t j = whole; j < classes; ++j) {
    high[0] = row[j] > high[0] ? row[j] : high[0];
    low[0] = row[j] < low[0] ? row[j] : low[0];
    sum[0] += static_cast<double>(row[j]);
  }
  double total = 0;
  for (std::size_t l = 0; l < lanes; ++l) total += sum[l];
  if (!std::isfinite(total)) return range_of_special(row, classes);
  const auto maximum = static_cast<double>(*std::max_element(high, high + lanes));
  const auto minimum = static_cast<double>(*std::min_element(low, low + lanes));
  return {.maximum = maximum,
          .minimum = minimum,
          .mean_below = minimum == maximum ? 0 : total / static_cast<double>(classes) - maximum,
          .finite = classes,
          .valid = maximum < largest_logit && minimum > -largest_logit};
}

template <bool fused, class T>
MCOMP_INLINE RowMoments moments_of(const T* row, std::size_t classes, double maximum, double scale) {
  double zeroth[lanes] = {}, first[lanes] = {}, second[lanes] = {}, third[lanes] = {};
  for_each_block(row, classes, [&](const T* z, std::size_t, std::size_t) {
    for (std::size_t l = 0; l < lanes; ++l) {
      const double scaled = scale * (static_cast<double>(z[l]) - maximum);
      const double t = scaled > least_exponent ? scaled : least_exponent;
      const double e = exponential<fused>(t), te = t * e, t2e = t * te;
      zeroth[l] += e;
      first[l] += te;
      second[l] += t2e;
      third[l] = multiply_add<fused>(t, t2e, third[l]);
    }
  });
  RowMoments sums;
  for (std::size_t l = 0; l < lanes; ++l) {
    sums.zeroth += zeroth[l];
    sums.first += first[l];
    sums.second += second[l];
    sums.third += third[l];
  }
  return sums;
}

template <bool fused, class T>
MCOMP_INLINE void exponentials_of(const T* row, std::size_t classes, double maximum, double scale, double* out) {
  for_each_block(row, classes, [&](const T* z, std::size_t at, std::size_t count) {
    double e[lanes];
    for (std::size_t l = 0; l < lanes; ++l) {
      const double scaled = scale * (static_cast<double>(z[l]) - maximum);
      const double t = scaled > least_exponent ? scaled : least_exponent;
      e[l] = scaled > least_exponent ? exponential<fused>(t) : 0.0;
    }
    std::copy_n(e, count, out + at);
  });
}

template <bool fused, class T>
MCOMP_INLINE RowWeights weights_of(const T* row, std::size_t classes, double maximum, double scale, double* out) {
  double sum[lanes] = {}, squares[lanes] = {};
  for_each_block(row, classes, [&](const T* z, std::size_t at, std::size_t count) {
    double e[lanes];
    for (std::size_t l = 0; l < lanes; ++l) {
      const double scaled = scale * (static_cast<double>(z[l]) - maximum);
      const double t = scaled > least_exponent ? scaled : least_exponent;
      e[l] = scaled > least_exponent ? exponential<fused>(t) : 0.0;
      sum[l] += e[l];
      squares[l] = multiply_add<fused>(e[l], e[l], squares[l]);
    }
    if (count == lanes)
      std::copy_n(e, lanes, out + at); // of a constant length: registers, not memory
    else
      std::copy_n(e, count, out + at);
  });
  RowWeights result;
  for (std::size_t l = 0; l < lanes; ++l) result.sum += sum[l], result.squares += squares[l];
  return result;
}

template <class T> MCOMP_INLINE bool contains_of(const T* row, std::size_t count, T value) {
  std::size_t j = 0;
  constexpr std::size_t step = 64;
  for (; j + step <= count; j += step) {
    int found = 0;
    for (std::size_t l = 0; l < step; ++l) found |= row[j + l] == value;
    if (found) return true;
  }
  for (; j < count; ++j)
    if (row[j] == value) return true;
  return false;
}

template <bool fused>
MCOMP_INLINE std::size_t add_probabilities_of(const double* e, std::size_t classes, double factor, double limit,
                                              double* totals, std::uint32_t* above) {
  std::size_t found = 0, j = 0;
  for (; j + lanes <= classes; j += lanes) {
    int any = 0;
    for (std::size_t l = 0; l < lanes; ++l) {
      totals[j + l] = multiply_add<fused>(factor, e[j + l], totals[j + l]);
      any |= e[j + l] > limit;
    }
    if (any)
      for (std::size_t l = 0; l < lanes; ++l)
        if (e[j + l] > limit) above[found++] = static_cast<std::uint32_t>(j + l);
  }
  for (; j < classes; ++j) {
    totals[j] = multiply_add<fused>(factor, e[j], totals[j]);
    if (e[j] > limit) above[found++] = static_cast<std::uint32_t>(j);
  }
  return found;
}

// The kernels for one instruction set: the same source, compiled for it.
#define MCOMP_ROW_KERNELS(name, fused, attributes)                                                                     \
  template <class T> struct name {                                                                                     \
    attributes static RowRange range(const T* row, std::size_t classes) noexcept { return range_of(row, classes); }    \
    attributes static RowMoments moments(const T* row, std::size_t classes, double maximum, double scale) noexcept {   \
      return moments_of<fused>(row, classes, maximum, scale);                                                          \
    }                                                                                                                  \
    attributes static void exponentials(const T* row, std::size_t classes, double maximum, double scale,               \
                                        double* out) noexcept {                                                        \
      exponentials_of<fused>(row, classes, maximum, scale, out);                                                       \
    }                                                                                                                  \
    attributes static RowWeights weights(const T* row, std::size_t classes, double maximum, double scale,              \
                                         double* out) noexcept {                                                       \
      return weights_of<fused>(row, classes, maximum, scale, out);                                                     \
    }                                                                                                                  \
    attributes static bool contains(const T* row, std::size_t count, T value) noexcept {                               \
      return contains_of(row, count, value);                                                                           \
    }                                                                                                                  \
    attributes static std::size_t add(const double* e, std::size_t classes, double factor, double limit,               \
                                      double* totals, std::uint32_t* above) noexcept {                                 \
      return add_probabilities_of<fused>(e, classes, factor, limit, totals, above);                                    \
    }                                                                                                                  \
    static constexpr RowKernels<T> table{range, moments, exponentials, weights, contains};                             \
  }

MCOMP_ROW_KERNELS(Portable, false, );
#if defined(__x86_64__) && defined(__GNUC__)
MCOMP_ROW_KERNELS(Avx2, true, __attribute__((target("avx2,fma"))));
MCOMP_ROW_KERNELS(Avx512, true, __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma"))));
#endif
#undef MCOMP_ROW_KERNELS

} // namespace

template <class T> std::span<const RowKernels<T>* const> available_row_kernels() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  static constexpr const RowKernels<T>* all[] = {&Portable<T>::table, &Avx2<T>::table, &Avx512<T>::table};
  return {all, cpu_features().avx512 ? std::size_t{3} : cpu_features().avx2 ? std::size_t{2} : std::size_t{1}};
#else
  static constexpr const RowKernels<T>* all[] = {&Portable<T>::table};
  return all;
#endif
}

AddProbabilities add_probabilities() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  if (cpu_features().avx512) return Avx512<double>::add;
  if (cpu_features().avx2) return Avx2<double>::add;
#endif
  return Portable<double>::add;
}

template std::span<const RowKernels<float>* const> available_row_kernels<float>() noexcept;
template std::span<const RowKernels<double>* const> available_row_kernels<double>() noexcept;

} // namespace mcomp::inline v0::calibrate::detail
