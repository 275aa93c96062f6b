#include "calibrate/row_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "mcomp/core/cpu.hpp"

#if defined(__GNUC__)
#define MCOMP_INLINE inline __attribute__((always_inline))
#define MCOMP_RESTRICT __restrict__
#else
#define MCOMP_INLINE inline
#define MCOMP_RESTRICT
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

template <bool fused> MCOMP_INLINE float multiply_add(float a, float b, float c) {
#if defined(__GNUC__)
  if constexpr (fused) return __builtin_fmaf(a, b, c);
#endif
  return a * b + c;
}

/// exp(t) for -87.3 <= t <= 0, as above with 7 powers.
template <bool fused> MCOMP_INLINE float exponential(float t) {
  constexpr float log2e = 1.44269504F, shift = 0x1.8p23F, log2_high = 0.693359375F, log2_low = -2.12194440e-4F;
  const float shifted = multiply_add<fused>(t, log2e, shift), k = shifted - shift;
  const float r = multiply_add<fused>(k, -log2_low, multiply_add<fused>(k, -log2_high, t));
  float p = multiply_add<fused>(1.F / 5040, r, 1.F / 720);
  p = multiply_add<fused>(p, r, 1.F / 120);
  p = multiply_add<fused>(p, r, 1.F / 24);
  p = multiply_add<fused>(p, r, 1.F / 6);
  p = multiply_add<fused>(p, r, 1.F / 2);
  p = multiply_add<fused>(p, r, 1.F);
  p = multiply_add<fused>(p, r, 1.F);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) + (std::bit_cast<std::uint32_t>(shifted) << 23));
}

constexpr std::size_t wide = single_precision_block; // four registers of 16

MCOMP_INLINE bool maximum_of(const float* row, std::size_t classes, float& maximum) {
  float high[wide], odd[wide] = {}; // odd: zero, or NaN where an element is not finite
  std::fill_n(high, wide, row[0]);
  std::size_t j = 0;
  for (; j + wide <= classes; j += wide)
    for (std::size_t l = 0; l < wide; ++l) {
      high[l] = row[j + l] > high[l] ? row[j + l] : high[l];
      odd[l] += row[j + l] - row[j + l];
    }
  if (classes < wide) {
    for (; j < classes; ++j) {
      high[0] = row[j] > high[0] ? row[j] : high[0];
      odd[0] += row[j] - row[j];
    }
  } else if (j < classes) { // the last ones, some of them once more
    for (std::size_t l = 0; l < wide; ++l) {
      const float z = row[classes - wide + l];
      high[l] = z > high[l] ? z : high[l];
      odd[l] += z - z;
    }
  }
  // In halves: one after the other they would take longer than the row.
  for (std::size_t half = wide / 2; half > 0; half /= 2)
    for (std::size_t l = 0; l < half; ++l) {
      high[l] = high[l] > high[l + half] ? high[l] : high[l + half];
      odd[l] += odd[l + half];
    }
  maximum = high[0];
  return odd[0] == 0;
}

template <bool fused>
MCOMP_INLINE RowWeights single_weights_of(const float* row, std::size_t classes, float maximum, float scale,
                                          float* out) {
  constexpr std::size_t run = 4096;
  RowWeights result;
  const auto weight = [&](float z) {
    const float t = scale * (z - maximum);
    return exponential<fused>(t > -87.3F ? t : -87.3F);
  };
  for (std::size_t j = 0; j < classes;) {
    float sum[wide] = {}, squares[wide] = {};
    const auto add = [&](const float* z) {
      for (std::size_t l = 0; l < wide; ++l) {
        const float e = weight(z[l]);
        out[j + l] = e;
        sum[l] += e;
        squares[l] = multiply_add<fused>(e, e, squares[l]);
      }
    };
    const std::size_t end = std::min(classes, j + run);
    for (; j + wide <= end; j += wide) add(row + j);
    if (j < classes && end == classes) {
      float last[wide];
      for (std::size_t l = 0; l < wide; ++l)
        last[l] = j + l < classes ? row[j + l] : std::numeric_limits<float>::lowest();
      add(last);
      j += wide;
    }
    double s[wide / 2], q[wide / 2];
    for (std::size_t l = 0; l < wide / 2; ++l) {
      s[l] = static_cast<double>(sum[l]) + static_cast<double>(sum[l + wide / 2]);
      q[l] = static_cast<double>(squares[l]) + static_cast<double>(squares[l + wide / 2]);
    }
    for (std::size_t half = wide / 4; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) s[l] += s[l + half], q[l] += q[l + half];
    result.sum += s[0], result.squares += q[0];
  }
  return result;
}

template <bool fused, class E>
MCOMP_INLINE std::size_t add_probabilities_of(const E* MCOMP_RESTRICT e, std::size_t classes, E factor, E limit,
                                              E* MCOMP_RESTRICT totals, std::uint32_t* above) {
  std::size_t found = 0, j = 0;
  for (; j + wide <= classes; j += wide) {
    for (std::size_t l = 0; l < wide; ++l) totals[j + l] = multiply_add<fused>(factor, e[j + l], totals[j + l]);
    int count = 0; // of a whole number the sum has any order, so that it vectorizes
    for (std::size_t l = 0; l < wide; ++l) count += e[j + l] > limit ? 1 : 0;
    for (std::size_t k = j; count > 0; ++k)
      if (e[k] > limit) above[found++] = static_cast<std::uint32_t>(k), --count;
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
    attributes static std::size_t add(const T* e, std::size_t classes, T factor, T limit, T* totals,                   \
                                      std::uint32_t* above) noexcept {                                                 \
      return add_probabilities_of<fused>(e, classes, factor, limit, totals, above);                                    \
    }                                                                                                                  \
    attributes static bool maximum(const float* row, std::size_t classes, float& maximum) noexcept {                   \
      return maximum_of(row, classes, maximum);                                                                        \
    }                                                                                                                  \
    attributes static RowWeights single_weights(const float* row, std::size_t classes, float maximum, float scale,     \
                                                float* out) noexcept {                                                 \
      return single_weights_of<fused>(row, classes, maximum, scale, out);                                              \
    }                                                                                                                  \
    static constexpr RowKernels<T> table{                                                                              \
        range, moments, exponentials, weights, contains, add, {maximum, single_weights}};                              \
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

template std::span<const RowKernels<float>* const> available_row_kernels<float>() noexcept;
template std::span<const RowKernels<double>* const> available_row_kernels<double>() noexcept;

} // namespace mcomp::inline v0::calibrate::detail
