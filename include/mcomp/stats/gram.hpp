#pragma once

#include <cstdint>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/tensor.hpp"

// Second moments of a stream of activations: the Hessian of a layer's squared output error, up to a factor. Its
// diagonal is what llama.cpp calls an importance matrix.
//
//     mcomp::stats::Gram gram(in_features);
//     for (TensorView batch : activations) gram.update(batch).value();
//     auto q = mcomp::quant::gptq(weights, gram, {.scheme = {.dtype = DType::int4}}).value();

namespace mcomp::inline v0::stats {

/// Sum of x x^T over samples x, and of x. Memory does not grow with the number of samples: features^2 doubles and a
/// buffer of 1,024 samples. Products are summed in f32 within such a block and the blocks in f64; the blocks are
/// counted from the first sample, so that the sums do not depend on how the stream is cut into updates, nor on the
/// number of threads.
class MCOMP_API Gram {
 public:
  /// @param features length of a sample; anything below 1 makes every update an error
  explicit Gram(std::int64_t features);

  /// Adds f32 samples [samples, features]. Nothing is added unless all values are finite.
  /// Cost: samples * features^2 multiply-adds, half of them saved by symmetry. Reports no progress.
  /// Errors: invalid_dtype, invalid_shape, invalid_value (NaN, infinity).
  [[nodiscard]] Status update(const TensorView& samples, const Context& context = {});

  /// Adds what another stream has seen; the sum of blocks then runs in the order of the calls. Error: invalid_shape.
  [[nodiscard]] Status merge(const Gram& other);

  [[nodiscard]] std::int64_t features() const noexcept { return features_; }
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }

  /// Sum of x x^T / count as f64 [features, features], symmetric; zeros before the first sample.
  [[nodiscard]] Tensor second_moment() const;
  /// The same rounded to f32: what quantizers work on.
  [[nodiscard]] Tensor second_moment_f32(const Context& context = {}) const;
  /// Diagonal of `second_moment`: mean of x_i^2, f64.
  [[nodiscard]] std::vector<double> diagonal() const;
  /// Mean of x_i, f64.
  [[nodiscard]] std::vector<double> mean() const;

 private:
  void add_block(const float* samples, std::int64_t count, Executor& executor);
  /// Sum of x x^T over the buffer, f32 [features, features], lower triangle.
  [[nodiscard]] Tensor unfinished_block(Executor& executor) const;

  std::int64_t features_ = 0;
  std::int64_t count_ = 0;    ///< with those in the buffer
  std::int64_t buffered_ = 0; ///< samples at the start of `buffer_`
  std::vector<double> sum_;   ///< upper triangle of [features, features]
  std::vector<double> total_; ///< sum of x
  std::vector<float> buffer_; ///< an unfinished block
};

} // namespace mcomp::inline v0::stats
