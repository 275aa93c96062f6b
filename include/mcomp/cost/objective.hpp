#pragma once

// Money as the objective of a search: what a request costs for a choice of precision in every layer, and what one bit
// less is worth in each.
//
//     auto table = mcomp::cost::latency_table(model, layers, mcomp::cost::executed_precisions()).value();
//     auto objective = mcomp::cost::CostObjective::create(table, {.price_per_hour = 0.17}).value();
//     objective(choices).value();   // money for a million requests; objective.seconds(choices) bounds the latency
//
// A search that wants the cheapest network within a loss of accuracy and a latency: compress/cheapest.hpp.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/latency_model.hpp"

namespace mcomp::inline v0::cost {

/// What a second of a worker costs in a fleet.
struct ServingCost {
  double price_per_hour = 0;             ///< of an instance, in the currency of its catalogue
  std::int64_t workers_per_instance = 1; ///< that serve side by side
  double utilization = 0.6;              ///< share of its time that a worker is busy, within (0, 1]
  friend bool operator==(const ServingCost&, const ServingCost&) = default;
};

/// Money for a million requests that keep a worker busy for so long each. Errors: invalid_value for seconds that are
/// not finite and >= 0, a price or workers that are not > 0, a utilization outside (0, 1].
[[nodiscard]] MCOMP_API Result<double> cost_per_million(double seconds_per_request, const ServingCost& serving);

/// One way to hold and run a layer.
struct LatencyChoice {
  std::string name;   ///< "int8"
  double bits = 0;    ///< of a weight
  double seconds = 0; ///< of the layer, for one request
  friend bool operator==(const LatencyChoice&, const LatencyChoice&) = default;
};
struct LayerChoices {
  std::string layer;
  std::int64_t weights = 0; ///< number of elements
  std::vector<LatencyChoice> choices;
  friend bool operator==(const LayerChoices&, const LayerChoices&) = default;
};

/// How long every layer takes in every precision: measured, predicted or declared.
struct LatencyTable {
  std::string source;       ///< who says so: a device and the fingerprint of its profile
  double other_seconds = 0; ///< of a request, for all that has no choice
  std::vector<LayerChoices> layers;

  /// Errors: not_found, io_failure, corrupt.
  [[nodiscard]] MCOMP_API static Result<LatencyTable> read(const std::filesystem::path& path);
  [[nodiscard]] MCOMP_API static Result<LatencyTable> parse(std::string_view json, const std::string& subject);
  /// The rules: layers and choices with names of their own, times finite and > 0, bits within (0, 64]. Errors:
  /// invalid_value, insufficient_data for no layer or a layer without choices.
  [[nodiscard]] MCOMP_API Status check() const;

  friend bool operator==(const LatencyTable&, const LatencyTable&) = default;
};
/// Schema "mcomp-latency-table-1"; `parse` reads it as the same table.
[[nodiscard]] MCOMP_API std::string to_json(const LatencyTable& table);

/// A precision that layers may be run in.
struct Precision {
  std::string name;
  double bits = 32; ///< of a stored weight
  DType weights = DType::f32, input = DType::f32, output = DType::f32;
};
/// f32 with 32 bits, and int8 weights on uint8 activations with 8: what mcomp's kernels execute.
[[nodiscard]] MCOMP_API std::vector<Precision> executed_precisions();

struct NamedLayer {
  std::string name;
  LayerShape shape; ///< its types are replaced by those of each precision
};
/// What a model predicts, for layers one call of which serves `shape.samples` requests. Movements have no choice and
/// count as other time. Errors: as LatencyModel::predict; invalid_argument for no layer, no precision, two of one name,
/// or shapes with different samples.
[[nodiscard]] MCOMP_API Result<LatencyTable>
latency_table(const LatencyModel& model, std::span<const NamedLayer> layers, std::span<const Precision> precisions);

/// A callable; a plain value.
class MCOMP_API CostObjective {
 public:
  /// Errors: as LatencyTable::check and cost_per_million.
  [[nodiscard]] static Result<CostObjective> create(LatencyTable table, const ServingCost& serving);

  /// Money for a million requests. @param choices index of the choice of every layer. Errors: invalid_argument for a
  /// wrong number of choices or one that is not there; invalid_value for a cost that overflows.
  [[nodiscard]] Result<double> operator()(std::span<const std::size_t> choices) const;
  /// Of a request without waiting. Error: as above.
  [[nodiscard]] Result<double> seconds(std::span<const std::size_t> choices) const;
  [[nodiscard]] const LatencyTable& table() const noexcept { return table_; }
  /// Money for a million requests that take a second each.
  [[nodiscard]] double per_million_seconds() const noexcept { return rate_; }

 private:
  CostObjective(LatencyTable table, double rate) : table_(std::move(table)), rate_(rate) {}
  LatencyTable table_;
  double rate_ = 0;
};

/// What a step from one choice to the next one with fewer bits is worth in one layer.
struct BitValue {
  std::string layer;
  std::string from, to;
  double seconds_saved = 0;   ///< of a request; negative where fewer bits are slower
  double saved_per_month = 0; ///< money
  double saved_per_bit = 0;   ///< money a month for one bit less in every weight of the layer
  double bytes_saved = 0;     ///< of stored weights

  friend bool operator==(const BitValue&, const BitValue&) = default;
};
/// Every layer's steps from many bits to few, the most valuable first. Errors: as CostObjective::create; invalid_value
/// for requests that are not finite and >= 0, and for what overflows.
[[nodiscard]] MCOMP_API Result<std::vector<BitValue>>
value_of_bits(const LatencyTable& table, const ServingCost& serving, double requests_per_month);
/// "layer2.0.conv1: f32 -> int8 saves 12.5 us a request, 31.2 a month (1.3 a bit), 13824 bytes"
[[nodiscard]] MCOMP_API std::string to_string(const BitValue& value);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::BitValue> = true;
} // namespace mcomp::inline v0
