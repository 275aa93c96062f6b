#pragma once

#include "core/try.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/graph/reference_runner.hpp"

// The fp32 meaning of every operation, one function each. Activations are NCHW, [samples, features] or
// [samples, length, features], contiguous.

namespace mcomp::inline v0::graph::detail {

/// Everything that a layer needs at run time.
struct LayerInputs {
  const Layer& layer;
  const TensorStore& weights; ///< f32
  const Shape& output_shape;  ///< of one sample
  Executor& executor;
  const LinearInput* before_linear = nullptr; ///< null: linear layers see their inputs as they are
};

/// Computes one layer. `inputs` are the outputs of its input layers.
[[nodiscard]] Result<Tensor> run_reference_layer(const LayerInputs& context, const std::vector<const Tensor*>& inputs);

/// All weights of a network converted to f32 (shared where they are f32 already).
[[nodiscard]] Result<TensorStore> weights_as_f32(const Network& network, const TensorStore& weights);

} // namespace mcomp::inline v0::graph::detail
