#pragma once

#include "mcomp/core/tensor.hpp"
#include "mcomp/graph/network.hpp"
#include "mcomp/kernels/capabilities.hpp"

// The scalar references: the meaning of the integer layers in plain loops. They are what tests hold the fast kernels
// against, and what remains in a build without oneDNN.

namespace mcomp::inline v0::kernels::reference {

/// acc[n, y, x, o] = sum (x[...] - zero_point) * w[...], zero outside the image. O(samples * multiply-adds).
/// @param x      uint8 or int8 codes [samples, height, width, channels]
/// @param weight int8 codes [out, channels / groups, kernel height, kernel width]
/// @return int32 [samples, out height, out width, out]. Errors: invalid_dtype, invalid_shape.
[[nodiscard]] MCOMP_KERNELS_API Result<Tensor>
convolution(const TensorView& x, std::int32_t zero_point, const TensorView& weight, const graph::Convolution& geometry);

/// acc[n, o] = sum (x[n, i] - zero_point) * w[o, i].
/// @param x      uint8 or int8 codes [samples, in]
/// @param weight int8 codes [out, in]
/// @return int32 [samples, out]. Errors: invalid_dtype, invalid_shape.
[[nodiscard]] MCOMP_KERNELS_API Result<Tensor> linear(const TensorView& x, std::int32_t zero_point,
                                                      const TensorView& weight);

} // namespace mcomp::inline v0::kernels::reference
