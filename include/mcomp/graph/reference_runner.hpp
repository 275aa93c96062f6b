#pragma once

#include <memory>

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

} // namespace mcomp::inline v0::graph
