#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/compress/model.hpp"
#include "mcomp/core/context.hpp"

// A strategy is one swappable step of a recipe. It decides first, on a model and samples, and its decision is a plain
// value that prints and serializes; applying a decision needs no samples and gives the same bytes every time.
//
// Built in:
//
//   fold_batch_norm        no options. Moves batch normalization into the layer before it.
//   prune_filters          "fraction" (required), "score" ("l1", "l2", "batch_norm_scale"), "scope" ("uniform",
//                          "global"), "channel_multiple" (1). Use it before fold_batch_norm for batch_norm_scale.
//   rotate                 "seed" (1). Decoders: a randomized Hadamard rotation of the residual stream, folded into
//                          the weights (QuaRot), so that outliers spread over all channels. Weights of normalizations
//                          move into the layers behind them, and a tied head gets a table of its own: the plan says
//                          what that costs.
//   equalize               no options. Cross-layer equalization (DFQ) of convolutions and linear layers with nothing
//                          between them but ReLU, pooling or flattening; batch normalization must be folded.
//   smooth                 "alpha" (0.5). SmoothQuant: scales move from activations into the weights that take them,
//                          and out of the normalization or the layer that makes them.
//   awq                    "format" (integers, "int4:g32"; required), "steps" (20). AWQ's scales, searched for that
//                          format where linear layers take the inputs; a later step quantizes.
//   quantize               "weights": {"dtype" ("int2" ... "int8"), "granularity" ("per_channel" or "per_tensor"),
//                          "method" ("nearest", "clipped", "adaround", "gptq"), "refine" (0; rounds),
//                          "target" and "budget" as below, with formats int2 ... int8},
//                          "activations": {"observer", "percentile", "averaging_constant", "bins"}, "keep_f32":
//                          [layers], "never_slower" (true). Runs convolutions and linear layers in integers with uint8
//                          activations; where the workbench can time layers, those that would not become faster stay.
//   quantize_weights       "format" (compress/weight_format.hpp: "Q4_K", "int4:g32", "nvfp4" ...), "formats": {tensor:
//                          format}, at least one of both; "method" ("nearest", "search", "hqq", "adaround", "gptq"),
//                          "refine" (0; rounds), "fallback" (a format, or "keep", for tensors whose rows the blocks of
//                          theirs do not divide), "keep": [tensors], "linear_only" (false; embedding and head stay),
//                          "sequential" (true: later weights see what earlier ones have become), "target" (what they
//                          are fitted to: "own_output", or "original_output" and "residual_sum", which make up for the
//                          errors of earlier ones), "budget": {"bits_per_weight", "formats" (to choose from), "measure"
//                          ("output_divergence"; of `quantize` "network_error"; "output_error", "weight_error"),
//                          "samples" (32)} in the place of "format": the allocation of least loss
//                          (compress/sensitivity.hpp). Stores weights in few bits; all is computed in floating point.
//                          Tensors in "formats" take that one, the others "format", or stay where there is none.
//   bias_correction        no options. Takes back what the rounding of weights shifted in the mean of every output, on
//                          the inputs of the network before it was quantized.
//   calibrate_temperature  "held_out" (false): whether the network was not trained on the calibration samples. Fits the
//                          temperature on calibration samples that set no range, with labels. Samples that give none
//                          (all right, or no better than chance) leave it, and so does a temperature below 1 from
//                          samples that are not held out: on what it was trained on, a network always seems to deserve
//                          more confidence. The plan says so.
//   calibrate_confidence   "method" ("select": by cross-validation; or a word of calibrate::Method), "held_out"
//   (false),
//                          "folds" (5), "seed" (1). Fits a calibrator on the same samples, and takes the identity where
//                          it makes NLL worse on rows that it was not fitted on; without "held_out" also where it would
//                          raise the mean confidence. It takes the place of a temperature.
//
// Combinations that make no sense are errors of `plan` before the first step works: see StepKind and
// Strategy::check_place.

namespace mcomp::inline v0::compress {

/// What happens to one tensor, and why.
struct PlanEntry {
  std::string subject; ///< tensor, or what else is decided about
  std::string action;  ///< "int8 symmetric per channel", "kept in f32", "16 -> 11 filters"
  std::string reason;
  std::int64_t bytes_before = 0;
  std::int64_t bytes_after = 0;
  std::optional<double> seconds_before, seconds_after; ///< measured, of the layer

  friend bool operator==(const PlanEntry&, const PlanEntry&) = default;
};

struct Decision {
  std::string strategy;
  std::string options;    ///< JSON, as the recipe gave them
  std::string parameters; ///< JSON, what was found; with `tensors` all that `apply` needs
  std::vector<PlanEntry> entries;
  /// What was computed from samples: codes and scales of weights. Not part of a plan's JSON; an artifact holds the
  /// weights that they became.
  TensorStore tensors{};

  friend bool operator==(const Decision&, const Decision&) = default;
};

using RunnerFactory = std::function<Result<std::unique_ptr<graph::Runner>>(const Model&)>;
/// Seconds of every step of a program, by layer.
using LayerTimer = std::function<Result<std::map<std::string, double>>(const quant::Program&)>;

/// What strategies work with. The library never runs a network but through `make_runner`.
struct Workbench {
  const Samples* calibration = nullptr; ///< ranges are set on rows drawn from it
  RunnerFactory make_runner{}; ///< default: the reference in f32, and the simulation where layers run in integers
  LayerTimer time_layers{};    ///< optional; without it nothing is left in f32 for being slow
  Context context{};

  /// Rows of `calibration` for ranges, drawn by the recipe's seed; and the others, in order. Set by `plan`.
  std::vector<std::int64_t> range_rows{};
  std::vector<std::int64_t> other_rows{};

  [[nodiscard]] MCOMP_API Result<std::unique_ptr<graph::Runner>> runner(const Model& model) const;
};

/// What a step does to a model, by which the order of steps is judged. After weights were quantized nothing may change
/// their shapes or values or quantize them again; a correction needs quantized weights; what fits the confidence of a
/// network comes after all that changes its outputs.
enum class StepKind : std::uint8_t {
  other,        ///< no rule
  structure,    ///< changes shapes or removes layers
  transform,    ///< changes weights, not what the network computes
  quantization, ///< gives weights codes
  correction,   ///< makes up for errors of the quantization
  confidence,   ///< fits how sure the outputs are
};

class Strategy;

/// Where a step stands, before any step works.
struct StepPlace {
  const Model& model; ///< that the recipe starts from
  const Workbench& bench;
  const std::vector<const Strategy*>& steps; ///< of the recipe
  std::size_t step;                          ///< this one
  const std::string& options;                ///< its options

  /// Whether a step of that name comes before this one.
  [[nodiscard]] MCOMP_API bool follows(std::string_view name) const;
  /// Whether a step of that kind comes after this one.
  [[nodiscard]] MCOMP_API bool precedes(StepKind kind) const;
};

/// Derive from it to add a step; nothing in the library has to change.
class MCOMP_API Strategy {
 public:
  virtual ~Strategy();
  /// The word by which recipes call it.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Whether the options make sense, before any work. Errors name the key.
  [[nodiscard]] virtual Status check(const std::string& options) const = 0;
  /// By which the order of steps is judged; default: `other`.
  [[nodiscard]] virtual StepKind kind() const;
  /// Whether the step makes sense for this kind of network, with this workbench, at its place in the recipe; on top of
  /// the rules of its kind. The default has no objection.
  [[nodiscard]] virtual Status check_place(const StepPlace& place) const;
  [[nodiscard]] virtual Result<Decision> decide(const Model& model, const std::string& options,
                                                const Workbench& bench) const = 0;
  [[nodiscard]] virtual Result<Model> apply(const Model& model, const Decision& decision) const = 0;
};

/// Strategies by name.
class MCOMP_API StrategyRegistry {
 public:
  /// With the built-in strategies.
  StrategyRegistry();
  ~StrategyRegistry();
  StrategyRegistry(StrategyRegistry&&) noexcept;
  StrategyRegistry& operator=(StrategyRegistry&&) noexcept;

  /// Error: invalid_argument where the name is taken or empty, or there is no strategy.
  [[nodiscard]] Status add(std::unique_ptr<Strategy> strategy);
  /// Error: not_found, with the name that was probably meant.
  [[nodiscard]] Result<const Strategy*> find(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::map<std::string, std::unique_ptr<Strategy>> strategies_;
};

} // namespace mcomp::inline v0::compress
