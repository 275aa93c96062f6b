#pragma once

#include <memory>

#include "core/json.hpp"
#include "mcomp/compress/strategy.hpp"

// The built-in strategies, and what they share.

namespace mcomp::inline v0::compress::detail {

[[nodiscard]] std::unique_ptr<Strategy> make_fold_batch_norm();
[[nodiscard]] std::unique_ptr<Strategy> make_prune_filters();
[[nodiscard]] std::unique_ptr<Strategy> make_quantize();
[[nodiscard]] std::unique_ptr<Strategy> make_calibrate_temperature();

/// An error where a strategy without options is given some.
[[nodiscard]] Status check_no_options(const std::string& strategy, const std::string& options);

/// The rows of a tensor by index, in that order.
[[nodiscard]] Result<Tensor> gather_rows(const TensorView& view, const std::vector<std::int64_t>& rows,
                                         std::int64_t begin, std::int64_t end);

/// Runs raw rows of the calibration images in batches of a constant size; `each` sees the output of every batch.
[[nodiscard]] Status run_rows(const Workbench& bench, graph::Runner& runner, const std::vector<std::int64_t>& rows,
                              const char* stage, const graph::Tap& tap,
                              const std::function<Status(const Tensor& output)>& each);

[[nodiscard]] mcomp::detail::Json to_json_value(const quant::Parameters& parameters);
[[nodiscard]] Result<quant::Parameters> parameters_from_json(const mcomp::detail::Json& json, const std::string& where);

} // namespace mcomp::inline v0::compress::detail
