#pragma once

#include <cstdint>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/tensor.hpp"

// Products of two streams that run side by side, such as the error of a layer's output and its input: what a linear
// regression of the one on the other needs beside the Gram matrix.
//
//     mcomp::stats::CrossMoment moment(out_features, in_features);
//     for (each batch) moment.update(output_errors, inputs).value();
//     auto better = mcomp::quant::compensate(weight, gram, moment).value();

namespace mcomp::inline v0::stats {

/// Sum of a b^T over pairs of samples (a, b). Summed as `Gram` does: in f32 within blocks of 1,024 samples counted from
/// the first one, and the blocks in f64. Memory: left * right doubles and one block of both.
class MCOMP_API CrossMoment {
 public:
  /// @param left, right lengths of the samples; anything below 1 makes every update an error
  CrossMoment(std::int64_t left, std::int64_t right);

  /// Adds f32 samples a [samples, left] and b [samples, right]. Nothing is added unless all values are finite.
  /// Cost: samples * left * right multiply-adds.
  /// Errors: invalid_dtype, invalid_shape, invalid_value (NaN, infinity).
  [[nodiscard]] Status update(const TensorView& a, const TensorView& b, const Context& context = {});

  [[nodiscard]] std::int64_t left() const noexcept { return left_; }
  [[nodiscard]] std::int64_t right() const noexcept { return right_; }
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }

  /// Sum of a b^T / count as f64 [left, right]; zeros before the first sample.
  [[nodiscard]] Tensor mean() const;

 private:
  void add_block(const float* a, const float* b, std::int64_t count, std::vector<double>& sum,
                 Executor& executor) const;

  std::int64_t left_ = 0, right_ = 0, count_ = 0;
  std::vector<double> sum_;
  std::vector<float> a_, b_; ///< an unfinished block
};

} // namespace mcomp::inline v0::stats
