#pragma once

#include <functional>
#include <string_view>

#include "mcomp/graph/network.hpp"

namespace mcomp::inline v0::graph {

/// Sees the f32 output of a layer (NCHW, [samples, features] or [samples, length, features]) while a network runs;
/// first that of `network_input` (int32 where it is tokens). The view lives until the call returns. A runner that works
/// on parts of a batch calls it for each part, in order.
using Tap = std::function<void(std::string_view layer, const TensorView& output)>;

/// Executes a network. The library runs networks only through this interface, so that an engine can bring its own.
class MCOMP_API Runner {
 public:
  virtual ~Runner();
  [[nodiscard]] virtual const Network& network() const noexcept = 0;
  /// @param input f32 [samples, network().input.shape], normalized; for token networks int32 [samples, length] with a
  ///              length from 1 to network().input.shape[0]
  /// @param tap   called for every layer where given, which may make the run slower; runners that fuse layers report
  ///              those that exist as values
  /// @return f32 output of the network. Errors: invalid_shape, invalid_dtype, invalid_value for a token outside the
  ///         vocabulary.
  [[nodiscard]] virtual Result<Tensor> run(const TensorView& input, const Tap& tap = {}) = 0;
};

/// Index of the largest logit of each row of f32 [samples, classes]; the first of equal ones. NaN never wins.
/// Errors: invalid_dtype, invalid_shape.
[[nodiscard]] MCOMP_API Result<std::vector<std::int32_t>> predicted_classes(const TensorView& logits);

/// Runs raw samples (see `normalize`) in batches and returns the outputs of all of them.
[[nodiscard]] MCOMP_API Result<Tensor> run_batches(Runner& runner, const TensorView& raw, std::int64_t batch_size,
                                                   const std::function<void(std::int64_t)>& done = {});

} // namespace mcomp::inline v0::graph
