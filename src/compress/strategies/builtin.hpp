#pragma once

#include <memory>

#include "core/json.hpp"
#include "mcomp/compress/layerwise.hpp"
#include "mcomp/compress/strategy.hpp"

// The built-in strategies, and what they share.

namespace mcomp::inline v0::compress::detail {

[[nodiscard]] std::unique_ptr<Strategy> make_fold_batch_norm();
[[nodiscard]] std::unique_ptr<Strategy> make_prune_filters();
[[nodiscard]] std::unique_ptr<Strategy> make_rotate();
[[nodiscard]] std::unique_ptr<Strategy> make_equalize();
[[nodiscard]] std::unique_ptr<Strategy> make_smooth();
[[nodiscard]] std::unique_ptr<Strategy> make_awq();
[[nodiscard]] std::unique_ptr<Strategy> make_quantize();
[[nodiscard]] std::unique_ptr<Strategy> make_quantize_weights();
[[nodiscard]] std::unique_ptr<Strategy> make_bias_correction();
[[nodiscard]] std::unique_ptr<Strategy> make_calibrate_temperature();
[[nodiscard]] std::unique_ptr<Strategy> make_calibrate_confidence();

/// An error where a strategy without options is given some.
[[nodiscard]] Status check_no_options(const std::string& strategy, const std::string& options);

/// The rows of a tensor by index, in that order.
[[nodiscard]] Result<Tensor> gather_rows(const TensorView& view, const std::vector<std::int64_t>& rows,
                                         std::int64_t begin, std::int64_t end);

/// An error where there are no calibration samples. @param purpose "set ranges on"
[[nodiscard]] Status require_samples(const std::string& strategy, const Workbench& bench, const char* purpose);
/// An error where weights are quantized already; what `plan` finds too, for those who call strategies themselves.
[[nodiscard]] Status require_full_precision(const std::string& strategy, const Model& model);
/// An error for token networks. @param remedy what to use instead
[[nodiscard]] Status require_images(const std::string& strategy, const Model& model, const char* remedy);
/// An error where batch normalization could still be folded. @param place null: look at the model alone
[[nodiscard]] Status require_folded(const std::string& strategy, const Model& model, const StepPlace* place);

/// The network as it will be when a step's turn comes, where that is known before the steps before it work: none where
/// steps of others come first.
[[nodiscard]] Result<std::optional<graph::Network>> network_at(const StepPlace& place);

/// The calibration rows that set ranges, raw.
[[nodiscard]] Result<SampleSource> range_samples(const Model& model, const Workbench& bench);

/// Options of a walk that runs the workbench's runners.
[[nodiscard]] LayerwiseOptions walk_options(const Workbench& bench);

/// Runs raw rows of the calibration samples in batches of a constant size; `each` sees the output of every batch.
[[nodiscard]] Status run_rows(const Workbench& bench, graph::Runner& runner, const std::vector<std::int64_t>& rows,
                              const char* stage, const graph::Tap& tap,
                              const std::function<Status(const Tensor& output)>& each);

/// What a classifier says about calibration samples, with their labels: what confidence is calibrated on.
struct LabelledLogits {
  Tensor logits;         ///< f32 [samples, classes]; of a network that ends in a softmax the logarithms of its output
  Tensor labels;         ///< int32 [samples]
  bool separate = false; ///< the samples set no range

  /// "512 calibration samples", and whether they also set ranges
  [[nodiscard]] std::string samples() const;
};
/// Runs the calibration samples that set no range, where there are enough of them, and otherwise those that do.
/// Errors: unsupported where the network gives no [samples, classes]; those of running and of labels.
[[nodiscard]] Result<LabelledLogits> labelled_logits(const std::string& strategy, const Model& model,
                                                     const Workbench& bench, const char* stage);

[[nodiscard]] mcomp::detail::Json to_json_value(const quant::Parameters& parameters);
[[nodiscard]] Result<quant::Parameters> parameters_from_json(const mcomp::detail::Json& json, const std::string& where);

} // namespace mcomp::inline v0::compress::detail
