#pragma once

#include <cstdint>
#include <string>

#include "mcomp/core/tensor.hpp"

// How well a language model predicts, and how far a compressed one has moved from the original. Both measures take
// batch after batch and keep nothing but sums, so that a text of any length fits.
//
//     mcomp::evaluate::NextTokenLoss loss;
//     mcomp::evaluate::LogitsDivergence divergence;
//     for (each batch of token rows) {
//       loss.update(candidate_logits, tokens).value();
//       divergence.update(reference_logits, candidate_logits).value();
//     }
//     fmt::print("{}\n{}\n", loss.report().value(), divergence.report().value());
//
// Sums are in double and in the order of the rows: the same logits give the same bytes.

namespace mcomp::inline v0::evaluate {

struct NextTokenReport {
  std::int64_t positions = 0; ///< tokens that were predicted
  double nll = 0;             ///< mean negative log-likelihood, nats
  double perplexity = 1;      ///< exp(nll)
  double accuracy = 0;        ///< fraction of tokens with the largest logit (the first of equal ones)
};

[[nodiscard]] MCOMP_API std::string to_string(const NextTokenReport& report);

/// Loss of logits against the token that came next.
class MCOMP_API NextTokenLoss {
 public:
  /// Logits at position i predict token i + 1.
  /// @param logits f32 [samples, length, vocabulary]
  /// @param tokens int32 [samples, length + 1], or [samples, length]: then the last position predicts nothing
  /// Errors: invalid_dtype, invalid_shape; invalid_value for a token outside the vocabulary and for logits that are
  /// NaN, plus infinity, or minus infinity throughout a row. After an error nothing of the batch is counted. A token
  /// whose logit is minus infinity makes the loss infinite.
  [[nodiscard]] Status update(const TensorView& logits, const TensorView& tokens);
  /// Error: insufficient_data without a position.
  [[nodiscard]] Result<NextTokenReport> report() const;

 private:
  std::int64_t positions_ = 0, correct_ = 0;
  double sum_ = 0;
};

struct DivergenceReport {
  std::int64_t positions = 0;
  double mean_kl = 0;        ///< sum_k p_k ln(p_k / q_k), p of the reference, q of the candidate; nats
  double largest_kl = 0;     ///< over all positions
  double top1_agreement = 0; ///< fraction of positions where both have the same largest logit
};

[[nodiscard]] MCOMP_API std::string to_string(const DivergenceReport& report);

/// Kullback-Leibler divergence of a candidate's distribution from that of a reference, row by row.
class MCOMP_API LogitsDivergence {
 public:
  /// Both f32, of one shape [..., vocabulary]. Errors: invalid_dtype, invalid_shape, invalid_value as of
  /// `NextTokenLoss::update`. A class that the reference excludes (minus infinity) adds nothing; one that only the
  /// candidate excludes makes the divergence infinite.
  [[nodiscard]] Status update(const TensorView& reference, const TensorView& candidate);
  /// Error: insufficient_data without a position.
  [[nodiscard]] Result<DivergenceReport> report() const;

 private:
  std::int64_t positions_ = 0, agreeing_ = 0;
  double sum_ = 0, largest_ = 0;
};

} // namespace mcomp::inline v0::evaluate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<evaluate::NextTokenReport> = true;
template <> inline constexpr bool enable_format<evaluate::DivergenceReport> = true;
} // namespace mcomp::inline v0
