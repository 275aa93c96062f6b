#include "mcomp/quant/gptq.hpp"

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "quant/block_codecs.hpp"
#include "quant/clip_options.hpp"
#include "quant/codebook_values.hpp"
#include "quant/coordinate_descent.hpp"
#include "quant/error_feedback.hpp"
#include "quant/microscaled_values.hpp"
#include "quant/output_error.hpp"
#include "quant/scheme_codes.hpp"
#include "quant/weight_matrix.hpp"

namespace mcomp::inline v0::quant {

namespace {

Status check_refine(const RefineOptions& refine) {
  if (refine.rounds < 0 || refine.sweeps < 1)
    return Error(ErrorCode::invalid_argument, "refinement",
                 fmt::format("{} rounds of {} sweeps", refine.rounds, refine.sweeps),
                 "use 0 or more rounds of 1 or more sweeps");
  return {};
}

Status check_feedback(double damping, std::int64_t block) {
  if (!(damping >= 0) || !std::isfinite(damping) || block < 1)
    return Error(ErrorCode::invalid_argument, "GPTQ options", fmt::format("damping {}, blocks of {}", damping, block),
                 "use a damping of 0 or more (usual: 0.01) and blocks of at least 1 column (usual: 128)");
  return {};
}

/// `h` with the diagonal near 1, which keeps f32 far from its ends. Returns what it was divided by.
double normalize(Tensor& h) {
  const std::int64_t n = h.size(0);
  auto values = h.mutable_values<float>();
  double sum = 0;
  std::int64_t live = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(values[static_cast<std::size_t>(i * n + i)]);
    sum += d;
    live += d > 0;
  }
  if (!(sum > 0)) return 1;
  const double unit = sum / static_cast<double>(live);
  for (float& x : values) x = static_cast<float>(static_cast<double>(x) / unit);
  return unit;
}

/// Refines and fills the report's errors.
Status finish(const detail::WeightMatrix& w, const stats::Gram& gram, const BlockValues& values,
              const RefineOptions& refine, bool refit_scales, bool relative, detail::BlockCodes& codes,
              GptqReport& report, const Context& context) {
  if (refine.rounds == 0 && !relative) return {};
  MCOMP_TRY(h, detail::hessian(gram, w.columns, context));
  const double unit = normalize(h);
  const auto* moments = static_cast<const float*>(h.data());
  if (refine.rounds > 0) {
    MCOMP_TRY(
        descent,
        detail::descend(
            w.data, moments, values,
            {.rounds = refine.rounds, .sweeps = refine.sweeps, .pairs = refine.pairs, .refit_scales = refit_scales},
            codes, context));
    report.error = std::max(descent.after, 0.0) * unit;
    report.gptq_error = std::max(descent.before, 0.0) * unit;
    report.code_changes = descent.code_changes;
    report.scale_changes = descent.scale_changes;
    report.converged = descent.converged;
  }
  if (relative) {
    const double signal =
        unit * detail::quadratic_form(w.data, w.rows, w.columns, moments, context.executor_or_serial());
    report.output_error = signal > 0 ? report.error / signal : 0;
  }
  return {};
}

struct Feedback {
  bool act_order, static_grids;
  double damping;
  std::int64_t block;
};

/// GPTQ proper: codes, and grids where they are not static. `h` is used up.
Status compensate(const detail::WeightMatrix& w, Tensor h, const BlockValues& values, std::span<const float> importance,
                  const Feedback& options, detail::BlockCodes& codes, GptqReport& report, const Context& context) {
  const auto* moments = static_cast<const float*>(h.data());
  std::vector<float> diagonal(static_cast<std::size_t>(w.columns));
  for (std::int64_t i = 0; i < w.columns; ++i) diagonal[static_cast<std::size_t>(i)] = moments[i * w.columns + i];
  const detail::HessianFactor factor = detail::factor_hessian(
      std::move(h), detail::column_order(diagonal, codes.block_size, options.act_order, !options.static_grids),
      options.damping, context.executor_or_serial());
  MCOMP_TRY(loss,
            detail::feed_back_errors(w.data, factor, values, importance,
                                     {.static_grids = options.static_grids, .block = options.block}, codes, context));
  report.error = report.gptq_error = std::max(loss, 0.0) * factor.unit;
  report.damping = factor.damping;
  report.attempts = factor.attempts;
  report.dead_columns = factor.dead;
  return {};
}

/// Second moments of the columns relative to the largest, or nothing.
Result<std::vector<float>> importance_of(const stats::Gram& gram, bool weighted) {
  if (!weighted) return std::vector<float>();
  return detail::check_importance(gram.diagonal(), gram.features());
}

void fit_blocks(const detail::WeightMatrix& w, std::span<const float> importance, const BlockValues& values,
                detail::BlockCodes& codes, Executor& executor) {
  executor.run(static_cast<std::size_t>(w.rows), [&](std::size_t task) {
    const auto r = static_cast<std::int64_t>(task);
    for (std::int64_t b = 0; b < codes.blocks(); ++b) {
      const auto first = static_cast<std::size_t>(b * codes.block_size), size = static_cast<std::size_t>(codes.size(b));
      values.fit({w.row(r) + first, size}, importance.empty() ? importance : importance.subspan(first, size),
                 codes.grid(r, b));
    }
  });
}

/// GPTQ and its refinement for values whose scales belong to one row each.
template <class Options>
Result<GptqReport> solve(const detail::WeightMatrix& w, const stats::Gram& gram, const BlockValues& values,
                         const Options& options, detail::BlockCodes& codes, const Context& context) {
  MCOMP_TRY(h, detail::hessian(gram, w.columns, context));
  MCOMP_TRY(importance, importance_of(gram, options.weighted_search));
  if (options.static_groups) fit_blocks(w, importance, values, codes, context.executor_or_serial());
  GptqReport report;
  MCOMP_CHECK(compensate(w, std::move(h), values, importance,
                         {options.act_order, options.static_groups, options.damping, options.block}, codes, report,
                         context));
  MCOMP_CHECK(finish(w, gram, values, options.refine, true, options.relative_error, codes, report, context));
  return report;
}

Result<BlockTensor> pack(const detail::BlockCodes& codes, const BlockCodec& values, BlockFormat format,
                         const Shape& shape) {
  const auto bytes_a_block = static_cast<std::int64_t>(values.block_bytes());
  MCOMP_TRY(bytes, Tensor::uninitialized(DType::uint8, {codes.rows, codes.blocks() * bytes_a_block}));
  auto* out = static_cast<std::byte*>(bytes.data());
  for (std::int64_t r = 0; r < codes.rows; ++r)
    for (std::int64_t b = 0; b < codes.blocks(); ++b, out += bytes_a_block)
      values.pack(codes.grid(r, b),
                  {codes.row_codes(r) + b * codes.block_size, static_cast<std::size_t>(codes.block_size)}, out);
  return BlockTensor{format, shape, std::move(bytes)};
}

} // namespace

std::string to_string(const GptqReport& r) {
  std::string text =
      fmt::format("output error {:.3e} ({:.3g} of the signal), damping {:.2g}", r.error, r.output_error, r.damping);
  if (r.attempts > 1) text += fmt::format(" after {} attempts", r.attempts);
  if (r.dead_columns > 0) text += fmt::format(", {} dead columns", r.dead_columns);
  if (r.code_changes + r.scale_changes > 0)
    text += fmt::format("; refined from {:.3e} by {} codes and {} scales{}", r.gptq_error, r.code_changes,
                        r.scale_changes, r.converged ? "" : ", not converged");
  return text;
}

Result<GptqResult> gptq(const TensorView& weight, const stats::Gram& gram, const GptqOptions& options,
                        const Context& context) {
  MCOMP_CHECK(check(options.scheme));
  MCOMP_CHECK(detail::check_clip(options.clip));
  MCOMP_CHECK(check_refine(options.refine));
  MCOMP_CHECK(check_feedback(options.damping, options.block));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  MCOMP_TRY(h, detail::hessian(gram, w.columns, context));
  MCOMP_TRY(importance, importance_of(gram, options.weighted_clip));
  const bool shared = detail::shares_rows(options.scheme), fixed = options.static_groups || shared;
  const detail::SchemeValues values(options.scheme, detail::block_columns(options.scheme, w.columns), options.clip);
  detail::BlockCodes codes(w.rows, w.columns, values);
  if (fixed) detail::fit_scales(w.data, importance, options.scheme, values, codes, context.executor_or_serial());
  GptqReport report;
  MCOMP_CHECK(compensate(w, std::move(h), values, importance,
                         {options.act_order, fixed, options.damping, options.block}, codes, report, context));
  MCOMP_CHECK(finish(w, gram, values, options.refine, !shared, options.relative_error, codes, report, context));
  return GptqResult{detail::to_quantized(codes, options.scheme, values, weight.shape()), report};
}

Result<BlockGptqResult> gptq(const TensorView& weight, const stats::Gram& gram, BlockFormat format,
                             const BlockGptqOptions& options, const Context& context) {
  MCOMP_CHECK(check_refine(options.refine));
  MCOMP_CHECK(check_feedback(options.damping, options.block));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  const BlockCodec& values = codec(format);
  if (weight.rank() != 2 || w.columns % static_cast<std::int64_t>(values.block_size()) != 0)
    return Error(ErrorCode::invalid_shape, "weight",
                 fmt::format("shape {} does not consist of blocks of {}", weight.shape(), values.block_size()),
                 "pass [rows, columns] with whole blocks, or choose a format with smaller ones");
  detail::BlockCodes codes(w.rows, w.columns, values);
  MCOMP_TRY(report, solve(w, gram, values, options, codes, context));
  MCOMP_TRY(tensor, pack(codes, values, format, weight.shape()));
  return BlockGptqResult{std::move(tensor), report};
}

Result<CodebookGptqResult> gptq_codebook(const TensorView& weight, const stats::Gram& gram,
                                         const CodebookGptqOptions& options, const Context& context) {
  MCOMP_CHECK(check_refine(options.refine));
  MCOMP_CHECK(check_feedback(options.damping, options.block));
  MCOMP_CHECK(check(Scheme{.scale_dtype = options.scale_dtype}));
  MCOMP_TRY(levels, detail::checked_levels(options.levels, options.group_size));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  const std::int64_t size = options.group_size > 0 ? std::min(options.group_size, w.columns) : w.columns;
  const detail::CodebookValues values(levels, size, options.scale_dtype);
  detail::BlockCodes codes(w.rows, w.columns, values);
  MCOMP_TRY(report, solve(w, gram, values, options, codes, context));
  return CodebookGptqResult{detail::to_codebook(codes, values, options.scale_dtype, weight.shape()), report};
}

Result<MicroscaledGptqResult> gptq_microscaled(const TensorView& weight, const stats::Gram& gram,
                                               const MicroscaledGptqOptions& options, const Context& context) {
  MCOMP_CHECK(check_refine(options.refine));
  MCOMP_CHECK(check_feedback(options.damping, options.block));
  MCOMP_CHECK(detail::check_microscaling(weight, {.format = options.format, .global_scale = options.global_scale}));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  float global = 1;
  if (options.format.scale == ScaleType::e4m3_global) {
    float largest = 0;
    for (std::int64_t i = 0; i < w.rows * w.columns; ++i) largest = std::max(largest, std::abs(w.data[i]));
    global = options.global_scale > 0 ? options.global_scale : detail::global_scale_for(options.format, largest);
  }
  const detail::MicroscaledValues values(options.format, global);
  detail::BlockCodes codes(w.rows, w.columns, values);
  MCOMP_TRY(report, solve(w, gram, values, options, codes, context));
  return MicroscaledGptqResult{values.to_microscaled(codes, weight.shape()), report};
}

Result<GptqResult> refine(const TensorView& weight, const QuantizedTensor& start, const stats::Gram& gram,
                          const RefineOptions& options, const Context& context) {
  MCOMP_CHECK(check_refine(options));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  MCOMP_TRY(checked, dequantize(start));
  if (checked.shape() != weight.shape())
    return Error(ErrorCode::invalid_shape, "quantized weight",
                 fmt::format("shape {}, that of the weight is {}", checked.shape(), weight.shape()),
                 "pass two forms of one weight");
  const detail::SchemeValues values(start.scheme, detail::block_columns(start.scheme, w.columns));
  detail::BlockCodes codes = detail::from_quantized(start, values);
  GptqReport report;
  MCOMP_CHECK(finish(w, gram, values, options, !detail::shares_rows(start.scheme), true, codes, report, context));
  return GptqResult{detail::to_quantized(codes, start.scheme, values, weight.shape()), report};
}

} // namespace mcomp::inline v0::quant
