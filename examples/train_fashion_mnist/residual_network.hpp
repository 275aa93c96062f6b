#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "layers.hpp"
#include "mcomp/core/tensor_store.hpp"

namespace example {

/// A residual network of depth 8 in the manner of He et al. 2015, section 4.2 (CIFAR networks, 6n + 2 layers with
/// n = 1): a 3 x 3 convolution, three basic blocks of two convolutions each, the second and third with stride 2, global
/// average pooling and a linear classifier. Tensors are named as PyTorch's ResNet for CIFAR names them.
///
/// All parameters lie one behind the other in one vector, the running statistics of the batch normalizations in
/// another: an optimizer, a sum of gradients or a copy is then one loop.
class ResidualNetwork {
 public:
  struct Options {
    std::int64_t height = 28, width = 28;
    std::array<std::int64_t, 3> channels{16, 32, 64}; ///< of the three blocks; each even and not below the one before
    std::int64_t classes = 10;
  };

  /// One named tensor: elements [offset, offset + size) of the vector it lies in.
  struct Slice {
    std::string name;
    mcomp::Shape shape;
    std::size_t offset;
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(shape.elements()); }
  };

  /// What one block of images needs in memory; reused from block to block. One for each task that runs at once.
  struct Workspace {
    std::vector<float> input;                 ///< [n, height, width], filled by the caller
    std::vector<int> labels;                  ///< [n], filled by the caller
    std::array<std::vector<float>, 7> before; ///< output of each convolution
    std::array<std::vector<float>, 7> after;  ///< the same after normalization, shortcut and ReLU
    std::vector<float> statistics;            ///< mean and biased variance of the block, laid out as `statistics()`
    std::vector<float> pooled, logits, columns;
    std::array<std::vector<float>, 3> gradients; ///< of activations
    std::vector<float> parameter_gradient;       ///< laid out as `parameters()`
  };

  /// Weights are drawn as by He et al. 2015 (normal, variance 2 / inputs), the classifier's with variance 1 / inputs.
  ResidualNetwork(const Options& options, std::uint64_t seed);

  [[nodiscard]] std::span<float> parameters() noexcept { return parameters_; }
  [[nodiscard]] std::span<const float> parameters() const noexcept { return parameters_; }
  [[nodiscard]] const std::vector<Slice>& parameter_slices() const noexcept { return parameter_slices_; }
  /// Running means and variances.
  [[nodiscard]] std::span<float> statistics() noexcept { return statistics_; }
  [[nodiscard]] std::span<const float> statistics() const noexcept { return statistics_; }
  [[nodiscard]] const std::vector<Slice>& statistic_slices() const noexcept { return statistic_slices_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }

  [[nodiscard]] Workspace workspace(std::int64_t images) const;

  /// Forward pass of `n` images that normalizes with their own statistics; leaves logits and statistics in `work`.
  void forward(std::int64_t n, Workspace& work) const;
  /// Behind `forward`: the sum of the losses. Leaves the gradient of that sum times `scale` in
  /// `work.parameter_gradient`, and overwrites the logits.
  [[nodiscard]] double backward(std::int64_t n, float scale, Workspace& work) const;
  /// Forward pass with the running statistics; leaves logits in `work`.
  void infer(std::int64_t n, Workspace& work) const;

  /// All parameters and running statistics as fp32 tensors.
  [[nodiscard]] mcomp::Result<mcomp::TensorStore> tensors() const;

 private:
  struct Stage { ///< a convolution and the batch normalization behind it
    Convolution convolution;
    BatchNorm norm;
    std::size_t weight, gamma, beta, mean, variance; ///< offsets
  };

  std::size_t add_parameter(std::string name, mcomp::Shape shape);
  std::size_t add_statistic(std::string name, std::int64_t channels);
  void add_stage(const std::string& convolution, const std::string& norm, const Convolution& shape);
  [[nodiscard]] const float* parameter(std::size_t offset) const noexcept { return parameters_.data() + offset; }
  template <class Normalize> void run(std::int64_t n, Workspace& work, const Normalize& normalize) const;
  void convolution_backward(std::size_t stage, std::int64_t n, const float* x, const float* dy, float* dx,
                            Workspace& work) const;
  void norm_backward(std::size_t stage, std::int64_t n, const float* dy, float* dx, Workspace& work) const;

  Options options_;
  std::vector<float> parameters_, statistics_;
  std::vector<Slice> parameter_slices_, statistic_slices_;
  std::vector<Stage> stages_;       ///< stem, then two a block
  std::vector<Shortcut> shortcuts_; ///< one a block
  Planes last_{};
  Linear linear_{};
  std::size_t linear_weight_ = 0, linear_bias_ = 0;
};

} // namespace example
