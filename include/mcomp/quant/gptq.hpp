#pragma once

#include <string>

#include "mcomp/quant/block_format.hpp"
#include "mcomp/quant/clip.hpp"
#include "mcomp/quant/codebook.hpp"
#include "mcomp/quant/microscaling.hpp"
#include "mcomp/stats/gram.hpp"

// Error-compensating quantization: every column of a weight is rounded such that it makes up for the errors of the
// columns before it, as far as the inputs of the layer are correlated. Frantar, Ashkboos, Hoefler and Alistarh 2022
// (GPTQ), which is Babai's nearest plane on the lattice of the layer's Hessian; then a descent on codes and scales.
//
//     stats::Gram gram(in_features);
//     for (TensorView batch : activations) gram.update(batch).value();
//     auto q = quant::gptq(weights, gram, {.scheme = {.dtype = DType::int4, .granularity = Granularity::per_group,
//                                          .group_size = 128}, .refine = {.rounds = 16}}).value();
//     fmt::print("{}\n{}\n", q.tensor, q.report);

namespace mcomp::inline v0::quant {

/// After GPTQ: alternate, row by row, the closed-form fit of the scales (and zero points) to the layer's output with
/// all codes fixed, and steps of one or two codes, until no step lowers the output error any more.
struct RefineOptions {
  int rounds = 0;  ///< of codes and scales at most; 0: no refinement. 16 is plenty
  int sweeps = 64; ///< over all codes of a row in one round, at most
  /// Whether to try steps of two codes where single ones no longer help. Worth a tenth of the error; its cost for every
  /// row and sweep is up to in^2, less where inputs are weakly correlated: leave it to layers of some thousand inputs
  /// at most.
  bool pairs = true;
};

struct GptqOptions {
  Scheme scheme{.dtype = DType::int4};
  bool act_order = true; ///< columns with the largest inputs first
  /// Fixes all scales before the first column is rounded. Otherwise a group is scaled when its turn comes, on weights
  /// that already make up for the groups before it, which is a little better; `act_order` then orders whole groups, and
  /// columns within them. Schemes whose scales belong to several rows are always static.
  bool static_groups = false;
  double damping = 0.01;     ///< added to the diagonal of the Hessian, as a share of its mean; raised where needed
  std::int64_t block = 128;  ///< columns whose errors are fed back to the later ones at once; changes only speed
  ClipOptions clip{};        ///< ranges tried for scales
  bool weighted_clip = true; ///< whether the search for scales weighs columns by their second moment
  RefineOptions refine{};
  bool relative_error = true; ///< whether to compute `output_error`: more work than the quantization itself
};

struct GptqReport {
  double error = 0;        ///< tr((W - Q) H (W - Q)^T) with H the second moment of the inputs: mean squared output
                           ///< error of a sample, summed over outputs
  double output_error = 0; ///< `error` / tr(W H W^T); 0 where that is 0 or was not asked for
  double gptq_error = 0;   ///< `error` before the refinement
  double damping = 0;      ///< used, as a share of the mean diagonal
  int attempts = 1;        ///< factorizations until one succeeded
  std::int64_t dead_columns = 0;  ///< inputs that were always zero: rounded to nearest
  std::int64_t code_changes = 0;  ///< steps of codes in the refinement
  std::int64_t scale_changes = 0; ///< re-fits of scales in the refinement
  bool converged = true;          ///< no step helps any more; true without a refinement
};

[[nodiscard]] MCOMP_API std::string to_string(const GptqReport& report);

struct GptqResult {
  QuantizedTensor tensor;
  GptqReport report;
};

/// @param weight [out, ...] with gram.features() columns in the matrix [out, the rest]
/// Complexity: in^3 / 6 + out * in^2 / 2 multiply-adds, nearly all in matrix products; out * in^2 more for
/// `output_error`; refinement: out * in^2 and in for every accepted step. Memory beside the Gram matrix: 2 in^2 floats,
/// the codes, and 1 kB * in for every thread. The result does not depend on the number of threads.
/// A singular Hessian, even an empty one, is no error: damping raises itself until the factorization succeeds.
/// Errors, before any work: those of `quantize`; invalid_shape where the features differ; invalid_argument for options
/// outside their bounds; invalid_value where second moments overflow f32; cancelled.
[[nodiscard]] MCOMP_API Result<GptqResult> gptq(const TensorView& weight, const stats::Gram& gram,
                                                const GptqOptions& options = {}, const Context& context = {});

struct BlockGptqOptions {
  bool act_order = true;      ///< as in `GptqOptions`, by whole blocks unless groups are static
  bool static_groups = false; ///< whether scales are searched on the weights as they are, before the first is rounded
  double damping = 0.01;
  std::int64_t block = 128;    ///< columns whose errors are fed back at once, at least a block of the format
  bool weighted_search = true; ///< whether the search for scales weighs columns by their second moment
  RefineOptions refine{};
  bool relative_error = true;
};

struct BlockGptqResult {
  BlockTensor tensor;
  GptqReport report;
};

/// GPTQ into a format of GGUF files, scales rounded to what the format stores before any code is chosen.
///
///     auto q = quant::gptq(weights, gram, BlockFormat::q4_k, {.refine = {.rounds = 16}}).value();
///
/// @param weight [rows, columns], columns a whole number of blocks. Complexity and errors: as above, and those of
/// `quantize_blocks`.
[[nodiscard]] MCOMP_API Result<BlockGptqResult> gptq(const TensorView& weight, const stats::Gram& gram,
                                                     BlockFormat format, const BlockGptqOptions& options = {},
                                                     const Context& context = {});

struct CodebookGptqOptions {
  /// Ascending, 4 to 256 and a power of two. Empty: `nf4_values`.
  std::vector<float> levels{};
  std::int64_t group_size = 0; ///< consecutive weights that share a scale; 0: a whole row
  DType scale_dtype = DType::f32;
  bool act_order = true; ///< these as in `GptqOptions`
  bool static_groups = false;
  double damping = 0.01;
  std::int64_t block = 128;
  bool weighted_search = true;
  RefineOptions refine{};
  bool relative_error = true;
};

struct CodebookGptqResult {
  CodebookTensor tensor;
  GptqReport report;
};

/// GPTQ into values of a table, such as NF4:
///
///     auto q = quant::gptq_codebook(weights, gram, {.levels = quant::normal_levels(3).value(),
///                                                   .refine = {.rounds = 16}}).value();
///
/// Scales may be negative where the table is not symmetric. Complexity and errors: as above; invalid_argument for
/// levels that are no table.
[[nodiscard]] MCOMP_API Result<CodebookGptqResult> gptq_codebook(const TensorView& weight, const stats::Gram& gram,
                                                                 const CodebookGptqOptions& options,
                                                                 const Context& context = {});

struct MicroscaledGptqOptions {
  Microscaling format = microscaling::nvfp4;
  /// E4M3 scales: the tensor's scale, for layers that must share one. 0: 448 x the largest element / the largest
  /// magnitude of the tensor.
  float global_scale = 0;
  bool act_order = true; ///< these as in `GptqOptions`
  bool static_groups = false;
  double damping = 0.01;
  std::int64_t block = 128;
  bool weighted_search = true;
  RefineOptions refine{};
  bool relative_error = true;
};

struct MicroscaledGptqResult {
  MicroscaledTensor tensor;
  GptqReport report;
};

/// GPTQ into microscaling formats: MXFP4, MXFP6, MXFP8, NVFP4. Complexity and errors: as above, and those of
/// `quantize_microscaled`.
[[nodiscard]] MCOMP_API Result<MicroscaledGptqResult> gptq_microscaled(const TensorView& weight,
                                                                       const stats::Gram& gram,
                                                                       const MicroscaledGptqOptions& options = {},
                                                                       const Context& context = {});

/// The refinement alone, from a tensor of any method (round-to-nearest included).
/// Errors: as `gptq`, and invalid_shape where weight and tensor differ.
[[nodiscard]] MCOMP_API Result<GptqResult> refine(const TensorView& weight, const QuantizedTensor& start,
                                                  const stats::Gram& gram,
                                                  const RefineOptions& options = {.rounds = 16},
                                                  const Context& context = {});

/// ||X (W - Q)^T||^2 / ||X W^T||^2 over the samples X of a Gram matrix; W and Q of one shape [out, ...]. 0 where the
/// layer's output is zero. Errors: invalid_dtype, invalid_shape, invalid_value.
[[nodiscard]] MCOMP_API Result<double> output_error(const TensorView& weight, const TensorView& quantized,
                                                    const stats::Gram& gram, const Context& context = {});

} // namespace mcomp::inline v0::quant

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<quant::GptqReport> = true;
} // namespace mcomp::inline v0
