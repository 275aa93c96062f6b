#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mcomp/compress/quantized_weight.hpp"
#include "mcomp/core/context.hpp"
#include "mcomp/graph/runner.hpp"
#include "mcomp/stats/gram.hpp"

// Walks a network layer by layer and quantizes each weight on the inputs that it will really see: those of the network
// whose earlier layers are quantized already ("true sequential", Frantar et al. 2022), so that later layers make up for
// the errors of earlier ones.
//
//     auto result = compress::quantize_layers(network, weights, samples,
//         [](const compress::LayerProblem& p, const Context& context) -> Result<compress::QuantizedWeight> {
//           auto q = quant::gptq(p.weight, *p.inputs, {.scheme = {.dtype = DType::int4}}, context);
//           if (!q) return q.error();
//           return compress::QuantizedWeight(std::move(q->tensor));
//         }).value();
//
// Memory does not grow with the number of samples: they run through the network in batches, a layer keeps the Gram
// matrix of its inputs alone, and a `SampleSource` reads them batch by batch.

namespace mcomp::inline v0::compress {

/// One weight to quantize.
struct LayerProblem {
  std::string layer;  ///< the first layer that multiplies by it
  std::string tensor; ///< name of the weight
  TensorView weight;  ///< [out, in] or [out, in / groups, kernel height, kernel width]; what to quantize
  /// Second moments of what the matrix [out, the rest] is multiplied by. Of an embedding's table that no layer
  /// multiplies by, the identity: its rows are looked up, not summed.
  const stats::Gram* inputs = nullptr;
};

/// What the layers of a sequential walk are made to reproduce. All but the first are regressions on what the samples
/// show of a layer's inputs: give several times as many rows of them (tokens, or positions of images) as it has
/// features.
enum class LayerTarget {
  own_output,      ///< what its weight makes of the inputs that it sees
  original_output, ///< what the layer gave in the original network: it makes up for errors of the layers before it
  residual_sum, ///< the same behind the sum that follows the layer, where one does, so that what the other summand has
                ///< lost is made up for too
};

/// Quantizes one weight; an error ends the walk.
using LayerMethod = std::function<Result<QuantizedWeight>(const LayerProblem& problem, const Context& context)>;

struct LayerwiseOptions {
  /// Names of weights to quantize. Empty: those of all convolutions, linear layers and embeddings.
  std::vector<std::string> tensors{};
  /// Whether a layer sees the inputs of the network as quantized so far. Otherwise all see those of the original one,
  /// which takes one pass over the samples instead of one for every input, and all Gram matrices at once in memory.
  bool sequential = true;
  /// All but `own_output` replace a weight by quant::compensate before it is quantized; needs `sequential`. Each costs
  /// another pass of the original network.
  LayerTarget target = LayerTarget::own_output;
  double target_damping = 0.01; ///< of quant::compensate
  /// False: every layer is shown to the method and none is replaced, so that each sees the original network.
  bool replace = true;
  std::int64_t batch = 8; ///< samples that run at once; a constant, since sums depend on it
  /// Runs a network; default: graph::reference_runner.
  std::function<Result<std::unique_ptr<graph::Runner>>(graph::Network, TensorStore)> make_runner{};
  /// To resume: weights that are quantized already, by name.
  std::map<std::string, QuantizedWeight> done{};
  /// Told of every weight as soon as it is quantized, so that a caller can keep it for a resumed walk.
  std::function<void(const LayerProblem& problem, const QuantizedWeight& weight)> solved{};
};

struct LayerwiseResult {
  std::map<std::string, QuantizedWeight> tensors; ///< by name
  TensorStore weights; ///< of the whole network: in f32 what the quantized ones stand for, the others as they were
};

/// Samples that are read as they are needed, from a file or a generator, so that only a batch of them is in memory.
struct SampleSource {
  std::int64_t count = 0;
  /// The raw samples [begin, end), [end - begin, ...]. Called from one thread, batch after batch from the first to the
  /// last, and again so for every pass.
  std::function<Result<Tensor>(std::int64_t begin, std::int64_t end)> read{};
};

/// The rows of one tensor, which must outlive it.
[[nodiscard]] MCOMP_API SampleSource source_of(const TensorView& samples);

/// Tables of embeddings come first (a tied head's inputs are then those of the original network), the others in the
/// order of the layers. Progress counts weights.
/// The errors that `method` sees are those of the compensated weight where the target asks for one.
/// @param samples raw, [samples, ...] as `graph::normalize` takes them: images or int32 tokens
/// Errors: invalid_argument for a target that asks for a sequential walk without one; not_found for a weight that is
/// named but has no layer; insufficient_data without samples; unsupported for convolutions in groups and for weights
/// that several layers with different inputs share; those of the method, of the runner, and of check_weights;
/// cancelled.
[[nodiscard]] MCOMP_API Result<LayerwiseResult>
quantize_layers(const graph::Network& network, const TensorStore& weights, const TensorView& samples,
                const LayerMethod& method, const LayerwiseOptions& options = {}, const Context& context = {});
/// The same of samples that are read part by part. Errors: those of `read` too.
[[nodiscard]] MCOMP_API Result<LayerwiseResult>
quantize_layers(const graph::Network& network, const TensorStore& weights, const SampleSource& samples,
                const LayerMethod& method, const LayerwiseOptions& options = {}, const Context& context = {});

} // namespace mcomp::inline v0::compress
