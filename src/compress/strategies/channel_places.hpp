#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compress/strategies/builtin.hpp"
#include "mcomp/stats/gram.hpp"

// Where scales can move from one side of a channel to the other without changing what a network computes: what
// `equalize`, `smooth` and `awq` share.

namespace mcomp::inline v0::compress::detail {

/// Makes channels, which reach the consumers through operations that commute with positive factors.
struct ChannelPlace {
  std::string producer; ///< layer: RMS normalization, linear or convolution
  std::string weight;   ///< tensor [channels, ...] of the producer
  std::string bias;     ///< tensor [channels]; empty: none
  bool normalization = false;
  bool linear = false; ///< all consumers are linear layers, which see each channel once
  std::int64_t channels = 0;
  std::string value;                  ///< layer whose output the consumers take
  std::vector<std::string> consumers; ///< tensors [out, channels * k, ...]
};

/// In order of the producers. A tensor that several layers use has no place: scaling it would change all of them.
[[nodiscard]] Result<std::vector<ChannelPlace>> channel_places(const graph::Network& network);

/// Whether `find` finds places, where the network is known before the steps before this one work.
[[nodiscard]] Status require_places(const StepPlace& place,
                                    Result<std::vector<ChannelPlace>> (*find)(const graph::Network&));

/// The consumers' weights as [out, channels, the rest], f32.
[[nodiscard]] Result<std::vector<Tensor>> consumer_weights(const Model& model, const ChannelPlace& place);

/// Divides what the producer makes by scales [channels] and multiplies the consumers' weights by them.
[[nodiscard]] Status scale_place(Model& model, const ChannelPlace& place, const TensorView& scales);

/// Scales by producer, as a decision keeps them: powers of two, by their exponents.
struct PlaceScales {
  std::string producer;
  Tensor scales; ///< f32 [channels]
};
[[nodiscard]] std::string scales_to_json(const std::vector<PlaceScales>& scales);
/// Finds the places again and scales them. Errors: corrupt for what is not there or does not fit.
[[nodiscard]] Result<Model> apply_scales(const std::string& strategy, const Model& model, const std::string& json);

/// Entries for the producer and its consumers. @param before the model as it is when this place's turn comes
void add_entries(std::vector<PlanEntry>& entries, const Model& before, const ChannelPlace& place,
                 const PlaceScales& scales, const std::string& reason);

/// Inputs of a layer, as rows.
struct GramRequest {
  std::string value;                               ///< layer whose output they are, or `network_input`
  std::optional<graph::Convolution> convolution{}; ///< that cuts them into patches
  std::int64_t group = 0;                          ///< of the convolution
  std::int64_t features = 0;
};
/// Runs the calibration rows and hands over the second moments of every request, in order: in one pass, or in several
/// where the matrices of all would take more than a constant of memory.
[[nodiscard]] Status observe_grams(const Model& model, const Workbench& bench, const std::vector<GramRequest>& requests,
                                   const char* stage,
                                   const std::function<Status(std::size_t, const stats::Gram&)>& each);

} // namespace mcomp::inline v0::compress::detail
