#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mcomp/compress/layerwise.hpp"
#include "mcomp/search/allocation.hpp"

// Mixed precision: what each way to store each weight costs, in bytes and in what the network loses, and from this
// table the allocation of least loss within a budget.
//
//     auto table = compress::sensitivity(network, weights, samples, candidates).value();
//     auto mixed = compress::allocate(table, {.bits_per_weight = 4.5}).value();
//     fmt::print("{}\n{}\n", mixed, table);
//     auto result = compress::quantize_layers(network, weights, samples, mixed.method(candidates)).value();

namespace mcomp::inline v0::compress {

/// One way to store a weight.
struct FormatCandidate {
  std::string name; ///< not empty; names the choice in tables and plans
  LayerMethod quantize;
  /// Bytes when stored; default: those of what `quantize` gives.
  std::function<std::int64_t(const QuantizedWeight& weight)> bytes{};
};

/// What stands for the network's loss when one weight W becomes Q and all others stay.
enum class SensitivityMeasure {
  weight_error,      ///< ||W - Q||^2
  output_error,      ///< tr((W - Q) H (W - Q)^T), H the second moment of the layer's inputs: mean squared error of the
                     ///< layer's output, which is the second-order loss with the Hessian of that layer
  curvature,         ///< ||W - Q||^2 / 2 times the mean diagonal of the loss's Hessian that the caller gives
                     ///< (search/curvature.hpp; Dong et al. 2020, HAWQ-V2)
  gradient,          ///< sum (g (W - Q))^2 with the gradient g that the caller gives: the empirical Fisher information
  output_divergence, ///< Kullback-Leibler divergence of the network's output from the original's, nats: the surest, at
                     ///< the cost of one run of the network for every weight and candidate
  network_error,     ///< squared error of the network's output relative to the original's square, at the same cost. For
                     ///< classifiers on images that they were trained on: their probabilities there are 0 and 1, and
                     ///< hardly diverge whatever is done to the weights
};

[[nodiscard]] MCOMP_API std::string to_string(SensitivityMeasure measure);
/// The inverse of `to_string`. Error: not_found, with what was probably meant.
[[nodiscard]] MCOMP_API Result<SensitivityMeasure> sensitivity_measure_from_string(std::string_view name);

struct SensitivityOptions {
  /// Names of weights. Empty: those of all convolutions, linear layers and embeddings.
  std::vector<std::string> tensors{};
  SensitivityMeasure measure = SensitivityMeasure::output_divergence;
  /// Samples that the divergence is measured on, from the first one; they and their outputs are kept in memory.
  std::int64_t divergence_samples = 32;
  std::int64_t batch = 8; ///< samples that run at once
  /// Whether the second moments of all layers are taken in one pass and kept in memory together; otherwise one pass for
  /// every input of a layer.
  bool single_pass = true;
  std::map<std::string, double> curvature{}; ///< by weight
  TensorStore gradients{};                   ///< f32, by weight and of its shape
  /// Runs a network; default: graph::reference_runner.
  std::function<Result<std::unique_ptr<graph::Runner>>(graph::Network, TensorStore)> make_runner{};
};

/// One candidate for one weight.
struct SensitivityEntry {
  std::string candidate;
  double loss = 0;
  std::int64_t bytes = 0;
  friend bool operator==(const SensitivityEntry&, const SensitivityEntry&) = default;
};

struct TensorSensitivity {
  std::string tensor;
  std::int64_t elements = 0;
  std::vector<SensitivityEntry> entries;      ///< in the order of the candidates
  std::map<std::string, std::string> refused; ///< candidates that the weight's shape or type does not admit, and why
  friend bool operator==(const TensorSensitivity&, const TensorSensitivity&) = default;
};

struct SensitivityTable {
  SensitivityMeasure measure = SensitivityMeasure::output_divergence;
  std::vector<TensorSensitivity> tensors;
  friend bool operator==(const SensitivityTable&, const SensitivityTable&) = default;
};

/// Markdown: weights by candidates, loss and bytes.
[[nodiscard]] MCOMP_API std::string to_string(const SensitivityTable& table);

/// Second moments are those of the original network's inputs. The table does not depend on the number of threads.
/// Complexity: every candidate quantizes every weight once; the last two measures run the network as often on their
/// samples. Errors, before any work: invalid_argument for no candidates or two of one name, for a measure whose
/// curvature or gradient is missing; those of quantize_layers. A candidate's error about shape, element type or options
/// of one weight refuses it there; where all are refused the first one's error is returned, and any other error is
/// returned at once.
[[nodiscard]] MCOMP_API Result<SensitivityTable> sensitivity(const graph::Network& network, const TensorStore& weights,
                                                             const TensorView& samples,
                                                             const std::vector<FormatCandidate>& candidates,
                                                             const SensitivityOptions& options = {},
                                                             const Context& context = {});
/// The same of samples that are read part by part. Errors: those of `read` too.
[[nodiscard]] MCOMP_API Result<SensitivityTable> sensitivity(const graph::Network& network, const TensorStore& weights,
                                                             const SampleSource& samples,
                                                             const std::vector<FormatCandidate>& candidates,
                                                             const SensitivityOptions& options = {},
                                                             const Context& context = {});

struct MixedPrecisionOptions {
  double bits_per_weight = 0;                  ///< of all weights of the table, scales included; 0: no such budget
  std::map<std::string, std::string> forced{}; ///< candidate by weight: what a rule or a kernel demands
  std::map<std::string, std::string> ties{};   ///< weights of one non-empty tie take the same candidate
  /// Further budgets, with the cost of every candidate for every weight: costs[weight][candidate] has one number for
  /// each.
  std::vector<search::Budget> budgets{};
  std::map<std::string, std::map<std::string, std::vector<double>>> costs{};
  search::AllocationOptions allocation{};
};

/// Which candidate each weight takes.
struct MixedPrecision {
  std::map<std::string, std::string> candidates; ///< by weight
  double bits_per_weight = 0;                    ///< of all weights, scales included
  std::int64_t bytes = 0;
  double loss = 0; ///< sum of the table's, as if losses of single weights added up
  search::Certificate certificate;

  /// Quantizes each weight with its candidate, for quantize_layers. Error of the method: not_found for a weight that is
  /// not among `candidates`.
  [[nodiscard]] MCOMP_API LayerMethod method(const std::vector<FormatCandidate>& formats) const;
};

/// "4.498 bits a weight, loss 0.0123, optimal"
[[nodiscard]] MCOMP_API std::string to_string(const MixedPrecision& mixed);

/// The allocation of least loss within all budgets, exact: search::allocate.
/// Errors: invalid_argument for bits that are negative or not finite, or fewer than any allocation has; not_found for
/// weights and candidates that are forced, tied or priced and not in the table; those of search::allocate.
[[nodiscard]] MCOMP_API Result<MixedPrecision>
allocate(const SensitivityTable& table, const MixedPrecisionOptions& options, const Context& context = {});

} // namespace mcomp::inline v0::compress

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<compress::SensitivityMeasure> = true;
template <> inline constexpr bool enable_format<compress::SensitivityTable> = true;
template <> inline constexpr bool enable_format<compress::MixedPrecision> = true;
} // namespace mcomp::inline v0
