#pragma once

// Which part of a compression causes the loss: every compressed layer is put back in turn (what would be won), and
// compressed alone (what it costs by itself); and which step of a recipe brought which gain at which loss. Everything
// is paired, row by row, and may be asked of one slice.
//
//     auto guilty = evaluate::attribute_layers(layers, [&](const std::vector<std::string>& compressed) {
//                     return score(with_only(compressed)); }, {.rows = evaluate::rows_of(cohort, 2)}).value();
//     fmt::print("{}\n", guilty); // a table, the guiltiest layer first

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/evaluate/scores.hpp"
#include "mcomp/stats/interval.hpp"
#include "mcomp/stats/paired.hpp"

namespace mcomp::inline v0::evaluate {

/// The network in which exactly these parts are compressed, scored on the same rows every time.
using VariantScorer = std::function<Result<RowScores>(const std::vector<std::string>& compressed)>;

struct AttributionOptions {
  std::vector<std::int64_t> rows{}; ///< those that are asked about, of one slice for instance; empty: all
  bool alone = true;                ///< whether every part is compressed alone too, for as many runs again
  double level = 0.95;
};

/// Between two networks, second less first, over the rows that were asked about.
struct AttributedChange {
  stats::PairedCounts accuracy{}; ///< of the first as baseline
  double loss_increase = 0;       ///< mean; may be infinite
  stats::Interval accuracy_loss{};

  friend bool operator==(const AttributedChange&, const AttributedChange&) = default;
};

struct LayerAttribution {
  std::string layer{};
  AttributedChange put_back{};             ///< from the compressed network to the one with this layer as it was:
                                           ///< negative losses are what it would win
  std::optional<AttributedChange> alone{}; ///< from the original network to the one with only this layer compressed

  friend bool operator==(const LayerAttribution&, const LayerAttribution&) = default;
};

struct Attribution {
  AttributedChange total{};               ///< from the original to the compressed network
  std::vector<LayerAttribution> layers{}; ///< the largest gain in mean loss when put back first

  friend bool operator==(const Attribution&, const Attribution&) = default;
};

/// A Markdown table.
[[nodiscard]] MCOMP_API std::string to_string(const Attribution& attribution);

/// Complexity: two runs, and one or two for every layer. Errors: invalid_argument for no layers, a layer named twice,
/// or a row that is not there; those of the scorer; invalid_shape where runs score different numbers of rows;
/// cancelled.
[[nodiscard]] MCOMP_API Result<Attribution> attribute_layers(const std::vector<std::string>& layers,
                                                             const VariantScorer& scorer,
                                                             const AttributionOptions& options = {},
                                                             const Context& context = {});

/// A network after one more step of a recipe.
struct StepMeasurement {
  RowScores scores{};
  std::optional<std::int64_t> bytes{};
  std::optional<double> latency_seconds{}; ///< median, on the machine that all steps were timed on
};

struct StepAttribution {
  std::string step{};
  AttributedChange change{};           ///< by this step
  AttributedChange so_far{};           ///< by all steps up to it
  std::optional<double> bytes_ratio{}; ///< after by before this step
  std::optional<double> speedup{};     ///< before by after

  friend bool operator==(const StepAttribution&, const StepAttribution&) = default;
};

/// A Markdown table.
[[nodiscard]] MCOMP_API std::string to_string(const std::vector<StepAttribution>& steps);

/// @param measure called with 0 (the original) .. steps.size() steps done
/// Errors: invalid_argument without steps or for a row that is not there; those of `measure`; invalid_shape; cancelled.
[[nodiscard]] MCOMP_API Result<std::vector<StepAttribution>>
attribute_steps(const std::vector<std::string>& steps,
                const std::function<Result<StepMeasurement>(std::size_t done)>& measure,
                const AttributionOptions& options = {}, const Context& context = {});

} // namespace mcomp::inline v0::evaluate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<evaluate::Attribution> = true;
} // namespace mcomp::inline v0
