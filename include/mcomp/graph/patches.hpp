#pragma once

#include "mcomp/graph/network.hpp"

namespace mcomp::inline v0::graph {

/// The inputs of a convolution as the rows of a matrix product: f32 [samples * out_height * out_width,
/// in_channels / groups * kernel_height * kernel_width], in the order of the weight's own axes, so that the layer is
/// patches * W^T with W as [out, the rest]. Zeros lie outside the image.
///
///     auto rows = mcomp::graph::convolution_patches(convolution, input, 0).value();
///     gram.update(rows).value();
///
/// @param input f32 [samples, channels, height, width]
/// @param group which group of input channels; its weights are those of output channels
///              [group, group + 1) * out_channels / groups
/// Errors: invalid_dtype, invalid_shape, invalid_argument.
[[nodiscard]] MCOMP_API Result<Tensor> convolution_patches(const Convolution& convolution, const TensorView& input,
                                                           std::int64_t group = 0);

} // namespace mcomp::inline v0::graph
