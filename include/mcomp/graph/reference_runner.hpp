#pragma once

#include <functional>
#include <memory>
#include <span>

#include "mcomp/core/executor.hpp"
#include "mcomp/graph/runner.hpp"

namespace mcomp::inline v0::graph {

/// Executes every layer in fp32 as it stands, on Eigen: the yardstick for all other runners. Needs nothing but the
/// weights; makes no claim to speed.
///
///     auto runner = mcomp::graph::reference_runner(network, weights).value();
///     mcomp::Tensor logits = runner->run(images).value();
///
/// @param executor runs samples side by side; null: the calling thread. The result does not depend on it.
/// Errors: those of `infer_shapes` and `check_weights`.
[[nodiscard]] MCOMP_API Result<std::unique_ptr<Runner>> reference_runner(Network network, TensorStore weights,
                                                                         Executor* executor = nullptr);

/// Changes in place what a linear layer is about to multiply: the rows [rows.size() / features, features] of one
/// sample. Called from the executor's threads.
using LinearInput = std::function<void(const Layer& layer, std::span<float> rows, std::int64_t features)>;

struct ReferenceOptions {
  Executor* executor = nullptr;
  /// Simulates an engine that rounds activations before it multiplies; other layers see them unrounded. Applies to
  /// linear layers over [samples, length, features].
  LinearInput before_linear{};
};

/// The same, with simulated arithmetic of linear layers.
[[nodiscard]] MCOMP_API Result<std::unique_ptr<Runner>> reference_runner(Network network, TensorStore weights,
                                                                         const ReferenceOptions& options);

} // namespace mcomp::inline v0::graph
