#pragma once

// The layers of a residual network, forward and backward, on blocks of `n` images in NCHW order. All run in the calling
// thread and sum in an order that only the sizes decide. Gradients of weights are added to what is there, gradients of
// inputs are overwritten unless the name says otherwise. In a backward function, `dy` is the loss's gradient with
// respect to the layer's output.

#include <cstdint>

namespace example {

/// A plane of features for each channel.
struct Planes {
  std::int64_t channels, height, width;
  [[nodiscard]] std::int64_t area() const noexcept { return height * width; }
  [[nodiscard]] std::int64_t size() const noexcept { return channels * area(); }
};

/// A 3 x 3 convolution with one pixel of zero padding and no bias. Weights are [out, in, 3, 3].
struct Convolution {
  Planes input;
  std::int64_t out_channels;
  std::int64_t stride; ///< 1 or 2

  [[nodiscard]] Planes output() const noexcept {
    return {out_channels, (input.height - 1) / stride + 1, (input.width - 1) / stride + 1};
  }
  [[nodiscard]] std::int64_t weight_size() const noexcept { return out_channels * input.channels * 9; }
  /// Floats of scratch memory (one image as a matrix [in * 9, output area]).
  [[nodiscard]] std::int64_t columns_size() const noexcept { return input.channels * 9 * output().area(); }

  void forward(std::int64_t n, const float* x, const float* weight, float* y, float* columns) const;
  /// @param dx null where nobody asks for the gradient of the input
  void backward(std::int64_t n, const float* x, const float* weight, const float* dy, float* dweight, float* dx,
                float* columns) const;
};

/// Batch normalization (Ioffe and Szegedy 2015).
struct BatchNorm {
  static constexpr float epsilon = 1e-5F;
  Planes planes;

  /// Normalizes with the block's own mean and (biased) variance, which are handed back, each [channels].
  void forward(std::int64_t n, const float* x, const float* gamma, const float* beta, float* mean, float* variance,
               float* y) const;
  /// `dx` may be `dy`.
  void backward(std::int64_t n, const float* x, const float* gamma, const float* mean, const float* variance,
                const float* dy, float* dgamma, float* dbeta, float* dx) const;
  /// Normalizes with given statistics. `y` may be `x`.
  void infer(std::int64_t n, const float* x, const float* gamma, const float* beta, const float* mean,
             const float* variance, float* y) const;
};

/// In place; the output is all that the backward pass needs.
void relu_forward(std::int64_t size, float* x);
void relu_backward(std::int64_t size, const float* y, float* dy);

/// The parameter-free shortcut of He et al. 2015, option A: every `stride`-th pixel, and channels of zeros in equal
/// number in front and behind where the output has more of them. Adds to `y`; its gradient is added to `dx`.
struct Shortcut {
  Planes input, output;
  std::int64_t stride;

  void forward_add(std::int64_t n, const float* x, float* y) const;
  void backward_add(std::int64_t n, const float* dy, float* dx) const;
};

/// Mean of every plane: [n, channels].
void average_pool_forward(std::int64_t n, const Planes& planes, const float* x, float* y);
void average_pool_backward(std::int64_t n, const Planes& planes, const float* dy, float* dx);

/// y = x weight' + bias with weight [out, in].
struct Linear {
  std::int64_t in, out;

  void forward(std::int64_t n, const float* x, const float* weight, const float* bias, float* y) const;
  void backward(std::int64_t n, const float* x, const float* weight, const float* dy, float* dweight, float* dbias,
                float* dx) const;
};

/// Sum over the images of the cross-entropy of softmax(logits) with the labels; `dlogits` is the gradient of that sum
/// times `scale`, and may be `logits`.
[[nodiscard]] double cross_entropy(std::int64_t n, std::int64_t classes, const float* logits, const int* labels,
                                   float scale, float* dlogits);

} // namespace example
