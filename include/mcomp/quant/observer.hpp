#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mcomp/quant/scheme.hpp"

// Observers watch a stream of activations and propose the range that its codes should cover. Their memory does not grow
// with the number of samples: extremes, or a histogram of fixed size whose width doubles when a value falls outside.
//
//     auto observer = mcomp::quant::make_observer({.kind = ObserverKind::percentile}).value();
//     for (TensorView batch : activations) observer->update(batch).value();
//     auto range = observer->range(DType::uint8, /*symmetric=*/false).value();

namespace mcomp::inline v0::quant {

enum class ObserverKind {
  min_max,            ///< smallest and largest value seen
  moving_average,     ///< of the extremes of each update
  percentile,         ///< cuts off the outermost (1 - percentile) / 2 of the values to each side
  mean_squared_error, ///< least expected squared error of rounding and clipping
  kl_entropy,         ///< least divergence between the histogram and its quantized form (Migacz 2017)
};

[[nodiscard]] MCOMP_API std::string to_string(ObserverKind kind);
/// Error: not_found, naming the known kinds.
[[nodiscard]] MCOMP_API Result<ObserverKind> observer_kind_from_string(std::string_view name);

struct ObserverOptions {
  ObserverKind kind = ObserverKind::min_max;
  double averaging_constant = 0.01; ///< weight of the newest update in the moving average, in (0, 1]
  double percentile = 0.9999;       ///< share of the values that stays inside, in (0.5, 1]
  std::int64_t bins = 4096;         ///< of the histogram, a power of two in 256 .. 65536
};

class MCOMP_API Observer {
 public:
  virtual ~Observer();
  /// Takes f32 values of any shape. Values do not reach the state unless all are finite.
  /// Errors: invalid_dtype, invalid_value (NaN, infinity).
  [[nodiscard]] virtual Status update(const TensorView& values) = 0;
  /// The range for codes of `dtype`. Errors: insufficient_data before the first value.
  [[nodiscard]] virtual Result<Range> range(DType dtype, bool symmetric) const = 0;
  /// Number of values seen.
  [[nodiscard]] virtual std::int64_t count() const noexcept = 0;
};

/// Errors: invalid_argument for options outside their bounds.
[[nodiscard]] MCOMP_API Result<std::unique_ptr<Observer>> make_observer(const ObserverOptions& options);

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::ObserverKind> = true;
} // namespace mcomp::inline v0
