#pragma once

// What is computed for every row of logits, for the best instruction set of this processor. Sums are over 16
// interleaved parts, so that they do not depend on the width of a register; only whether a multiplication and an
// addition are fused differs between instruction sets.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mcomp::inline v0::calibrate::detail {

/// Of the elements that are not minus infinity.
struct RowRange {
  double maximum = 0;
  double minimum = 0;
  double mean_below = 0; ///< mean of z - maximum
  std::size_t finite = 0;
  bool valid = false; ///< no NaN, no plus infinity, nothing finite beyond 1e300, and not all minus infinity
};

/// Sums over a row of e, t e, t^2 e and t^3 e with t = scale (z - maximum) and e = exp(t).
struct RowMoments {
  double zeroth = 0, first = 0, second = 0, third = 0;
};

/// Sums of e and e^2.
struct RowWeights {
  double sum = 0, squares = 0;
};

/// totals[k] += factor e[k]; writes the positions of e above `limit` to `above`, and returns how many there are.
template <class E>
using AddProbabilities = std::size_t (*)(const E* e, std::size_t classes, E factor, E limit, E* totals,
                                         std::uint32_t* above) noexcept;

/// Metrics of many classes in single precision, at twice the speed: exponentials within 2e-7 of themselves, sums of 64
/// interleaved parts that go to double precision every 4096 classes.
inline constexpr std::size_t single_precision_block = 64;
struct SinglePrecisionKernels {
  /// False where an element is not finite; then the kernels above say why.
  bool (*maximum)(const float* row, std::size_t classes, float& maximum) noexcept;
  /// As RowKernels::weights; e below 1e-38 is 1e-38. `out` has room for classes rounded up to a multiple of the block;
  /// what is beyond the classes is set to 1e-38 too.
  RowWeights (*weights)(const float* row, std::size_t classes, float maximum, float scale, float* out) noexcept;
};

template <class T> struct RowKernels {
  RowRange (*range)(const T* row, std::size_t classes) noexcept;
  /// `scale` positive and finite.
  RowMoments (*moments)(const T* row, std::size_t classes, double maximum, double scale) noexcept;
  /// e of every element; those below exp(-708) are zero.
  void (*exponentials)(const T* row, std::size_t classes, double maximum, double scale, double* out) noexcept;
  /// The same with their sums.
  RowWeights (*weights)(const T* row, std::size_t classes, double maximum, double scale, double* out) noexcept;
  /// Whether an element is `value`.
  bool (*contains)(const T* row, std::size_t count, T value) noexcept;
  AddProbabilities<T> add_probabilities;
  SinglePrecisionKernels single;
};

/// Those that this processor can run, the portable ones first and the best last.
template <class T> [[nodiscard]] std::span<const RowKernels<T>* const> available_row_kernels() noexcept;
template <class T> [[nodiscard]] const RowKernels<T>& row_kernels() noexcept {
  return *available_row_kernels<T>().back();
}

/// exp((z - maximum) / temperature) with its limits: at T = 0 one for the largest elements, at T = infinity one for all
/// but minus infinity, zero for the others.
template <class T>
void exponentials_at(double temperature, const T* row, std::size_t classes, double maximum, double* out) noexcept {
  const double scale = 1 / temperature;
  if (scale > 0 && std::isfinite(scale)) return row_kernels<T>().exponentials(row, classes, maximum, scale, out);
  for (std::size_t j = 0; j < classes; ++j) {
    const auto z = static_cast<double>(row[j]);
    out[j] = (scale > 0 ? z == maximum : std::isfinite(z)) ? 1 : 0;
  }
}

/// Rows that one task works on. A constant, since it decides the order of sums.
inline constexpr std::size_t rows_per_block = 128;

} // namespace mcomp::inline v0::calibrate::detail
