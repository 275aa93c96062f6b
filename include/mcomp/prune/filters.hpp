#pragma once

#include <map>
#include <string>
#include <vector>

#include "mcomp/graph/network.hpp"

// Structured pruning: whole convolution filters are removed and the tensors shrink, so that every runner becomes faster
// without sparse kernels. Channels that meet in a residual add, pass through batch normalization or a shortcut are one
// unit and go together (dependency groups, Fang et al. 2023).
//
//     auto selection = mcomp::prune::select_filters(network, weights, {.fraction = 0.3}).value();
//     auto small = mcomp::prune::remove_filters(network, weights, selection).value();

namespace mcomp::inline v0::prune {

enum class FilterScore {
  l1,               ///< sum of absolute weights (Li et al. 2017)
  l2,               ///< root of the sum of squares
  batch_norm_scale, ///< |gamma| of the batch normalization behind the filter (Liu et al. 2017); needs one everywhere
};

[[nodiscard]] MCOMP_API std::string to_string(FilterScore score);
/// Error: not_found, naming the known scores.
[[nodiscard]] MCOMP_API Result<FilterScore> filter_score_from_string(std::string_view name);

enum class PruningScope {
  uniform, ///< the same fraction of every coupling group
  global,  ///< the lowest scores of the whole network, each relative to the mean of its layer
};

struct FilterPruningOptions {
  double fraction = 0.3; ///< of the removable units, in [0, 1)
  FilterScore score = FilterScore::l1;
  PruningScope scope = PruningScope::uniform;
  std::int64_t channel_multiple = 1; ///< a group keeps a multiple of this many units where it can (vector width)
};

/// Channels that must be removed together.
struct CouplingGroup {
  std::vector<std::string> layers; ///< convolutions that share these units
  std::int64_t units = 0;
  std::int64_t removed = 0;
  friend bool operator==(const CouplingGroup&, const CouplingGroup&) = default;
};

[[nodiscard]] MCOMP_API std::string to_string(const CouplingGroup& group);

/// Which channels stay. Printable, and complete: every layer is in it.
struct FilterSelection {
  std::map<std::string, std::vector<bool>> keep; ///< by layer: for each channel (or feature) of its output
  std::vector<CouplingGroup> groups;
  std::int64_t filters = 0;         ///< convolution filters of the network
  std::int64_t removed_filters = 0; ///< of them
};

[[nodiscard]] MCOMP_API std::string to_string(const FilterSelection& selection);

/// Chooses the filters to remove. Every group keeps at least one unit. Inputs and outputs of the network, outputs of
/// linear layers and grouped convolutions (other than depthwise) stay whole. Ties keep the lower channel.
/// Errors: invalid_argument, not_found (a batch-normalization score without batch normalization), unsupported for
/// layers of decoders, and those of graph::check_weights.
[[nodiscard]] MCOMP_API Result<FilterSelection>
select_filters(const graph::Network& network, const TensorStore& weights, const FilterPruningOptions& options = {});

struct PrunedNetwork {
  graph::Network network;
  TensorStore weights;
};

/// The smaller dense network. Its output equals that of the masked network but for the order of sums.
/// Errors: invalid_argument where the selection does not belong to the network.
[[nodiscard]] MCOMP_API Result<PrunedNetwork> remove_filters(const graph::Network& network, const TensorStore& weights,
                                                             const FilterSelection& selection);

/// The network of the same shape in which the removed channels are zero: weights, biases and batch normalization.
[[nodiscard]] MCOMP_API Result<TensorStore> mask_filters(const graph::Network& network, const TensorStore& weights,
                                                         const FilterSelection& selection);

} // namespace mcomp::inline v0::prune

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<prune::FilterScore> = true;
template <> inline constexpr bool enable_format<prune::CouplingGroup> = true;
template <> inline constexpr bool enable_format<prune::FilterSelection> = true;
} // namespace mcomp::inline v0
