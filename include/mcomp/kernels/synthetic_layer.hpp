#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "mcomp/core/dtype.hpp"
#include "mcomp/kernels/capabilities.hpp"

// A layer of any shape with made-up weights, to be timed: what a device profile (cost/device_profile.hpp) is measured
// with.
//
//     auto call = mcomp::kernels::synthetic_layer({.in_channels = 256, .out_channels = 512, .samples = 8}).value();
//     call().value();                                                     // runs it once, in memory that is kept

namespace mcomp::inline v0::kernels {

struct SyntheticLayer {
  bool convolution = false; ///< false: linear, and height, width, kernel, stride, padding and groups are not used
  bool integer = false;     ///< int8 weights on uint8 activations; false: f32
  std::int64_t in_channels = 1;
  std::int64_t out_channels = 1;
  std::int64_t samples = 1;
  std::int64_t height = 1, width = 1; ///< of the input
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> padding{0, 0};
  std::int64_t groups = 1;
  DType output = DType::f32; ///< f32 or uint8
  bool residual = false;     ///< of the output's type
  int threads = 1;           ///< of oneDNN
};

/// The layer with bias and relu, its input, and memory for its output. Calls must not overlap. Errors: unsupported (no
/// oneDNN, or an output that is neither f32 nor uint8), invalid_argument and invalid_shape for sizes that are no layer.
[[nodiscard]] MCOMP_KERNELS_API Result<std::function<Status()>> synthetic_layer(const SyntheticLayer& layer);

} // namespace mcomp::inline v0::kernels
