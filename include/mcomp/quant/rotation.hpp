#pragma once

#include <cstdint>
#include <vector>

#include "mcomp/core/tensor.hpp"

// Randomized Hadamard rotation: an orthogonal change of the basis in which a network carries its activations. Outliers
// in single channels spread over all of them, and the network computes the same. Ashkboos et al. 2024 (QuaRot), section
// 4; Chee et al. 2023 (QuIP).
//
//     const auto r = quant::Rotation::random(features, seed).value();
//     embedding = r.rotate_columns(embedding).value();           // what writes x now writes x R
//     up = r.rotate_columns(up).value();                         // W x = (W R) (R^T x)
//     down = r.rotate_rows(down).value(); ...                    // R^T W
//
// A normalization in between must not have a weight of its own: fold it into the layers behind it first
// (`scale_columns`). RMS normalization without a weight commutes with rotations.

namespace mcomp::inline v0::quant {

/// R = diag(signs) (H kron O) with the Hadamard matrix H of the largest power of two that divides the size, scaled to
/// be orthogonal, and a random orthogonal O of the odd rest.
class MCOMP_API Rotation {
 public:
  /// Errors: invalid_argument for a size below 1 or an odd part above 4096.
  [[nodiscard]] static Result<Rotation> random(std::int64_t size, std::uint64_t seed);

  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(signs_.size()); }
  /// Rows x of a tensor [..., size] as x R, f32: activations, the columns of weights that take them, embeddings.
  /// Cost: size * (log2 size + odd part) a row. Errors: invalid_dtype, invalid_shape.
  [[nodiscard]] Result<Tensor> rotate_columns(const TensorView& x) const;
  /// R^T W for W [size, ...] or a bias [size]: a layer that writes rotated activations.
  [[nodiscard]] Result<Tensor> rotate_rows(const TensorView& weight) const;

 private:
  void rotate(const float* x, double* scratch, float* y) const;

  std::vector<float> signs_;
  std::vector<double> orthogonal_; ///< O, [odd, odd]
  std::int64_t odd_ = 1;
};

} // namespace mcomp::inline v0::quant
