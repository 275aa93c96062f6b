#include "mcomp/evaluate/language.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

/// What the softmax of a row needs: ln p_k = logit_k - log_sum.
struct RowSum {
  std::size_t top = 0;
  double log_sum = 0;
};

/// Nothing where the row is no distribution: NaN, plus infinity, or minus infinity throughout.
std::optional<RowSum> row_sum(std::span<const float> row) {
  std::size_t top = 0;
  for (std::size_t k = 0; k < row.size(); ++k) {
    if (std::isnan(row[k])) return std::nullopt;
    if (row[k] > row[top]) top = k;
  }
  if (!std::isfinite(row[top])) return std::nullopt;
  const double largest = static_cast<double>(row[top]);
  double sum = 0;
  for (const float x : row) sum += std::exp(static_cast<double>(x) - largest);
  return RowSum{top, largest + std::log(sum)};
}

Error no_distribution(const char* subject, std::int64_t row) {
  return {ErrorCode::invalid_value, subject,
          fmt::format("row {} holds NaN or plus infinity, or is minus infinity throughout", row),
          "check the network's weights and inputs"};
}

} // namespace

Status NextTokenLoss::update(const TensorView& logits, const TensorView& tokens) {
  MCOMP_CHECK(require(logits, "logits", DType::f32, 3));
  MCOMP_CHECK(require(tokens, "tokens", DType::int32, 2));
  MCOMP_TRY(values, logits.values<float>("logits"));
  MCOMP_TRY(ids, tokens.values<std::int32_t>("tokens"));
  const std::int64_t length = logits.size(1), vocabulary = logits.size(2), width = tokens.size(1);
  if (logits.size(0) != tokens.size(0) || (width != length && width != length + 1) || vocabulary == 0)
    return Error(ErrorCode::invalid_shape, "tokens",
                 fmt::format("{} for logits {}: [samples, length + 1] or [samples, length] is needed", tokens.shape(),
                             logits.shape()),
                 "pass the tokens that the logits belong to");
  NextTokenLoss loss = *this; // so that an error leaves this one as it was
  for (std::int64_t n = 0; n < logits.size(0); ++n)
    for (std::int64_t i = 0; i + 1 < width; ++i) {
      const std::int64_t row = n * length + i;
      const std::int32_t next = ids[static_cast<std::size_t>(n * width + i + 1)];
      if (next < 0 || next >= vocabulary)
        return Error(
            ErrorCode::invalid_value, "tokens",
            fmt::format("token {} of sample {}, position {} is not in a vocabulary of {}", next, n, i + 1, vocabulary),
            "use the tokens of this network's vocabulary");
      const auto x = values.subspan(static_cast<std::size_t>(row * vocabulary), static_cast<std::size_t>(vocabulary));
      const auto sum = row_sum(x);
      if (!sum) return no_distribution("logits", row);
      loss.sum_ += sum->log_sum - static_cast<double>(x[static_cast<std::size_t>(next)]);
      loss.correct_ += sum->top == static_cast<std::size_t>(next);
      ++loss.positions_;
    }
  *this = loss;
  return {};
}

Result<NextTokenReport> NextTokenLoss::report() const {
  if (positions_ == 0)
    return Error(ErrorCode::insufficient_data, "next-token loss", "no token was predicted", "pass rows of two or more");
  const auto count = static_cast<double>(positions_);
  const double nll = sum_ / count;
  return NextTokenReport{positions_, nll, std::exp(nll), static_cast<double>(correct_) / count};
}

Status LogitsDivergence::update(const TensorView& reference, const TensorView& candidate) {
  MCOMP_TRY(p, reference.values<float>("reference logits"));
  MCOMP_TRY(q, candidate.values<float>("candidate logits"));
  if (reference.rank() == 0 || reference.shape() != candidate.shape() || reference.shape().sizes().back() == 0)
    return Error(
        ErrorCode::invalid_shape, "candidate logits",
        fmt::format("{} against {}: one shape [..., vocabulary] is needed", candidate.shape(), reference.shape()),
        "compare networks on the same rows");
  const auto vocabulary = static_cast<std::size_t>(reference.shape().sizes().back());
  LogitsDivergence next = *this; // so that an error leaves this one as it was
  for (std::size_t begin = 0; begin < p.size(); begin += vocabulary) {
    const auto a = p.subspan(begin, vocabulary), b = q.subspan(begin, vocabulary);
    const auto of_a = row_sum(a), of_b = row_sum(b);
    if (!of_a || !of_b)
      return no_distribution(of_a ? "candidate logits" : "reference logits",
                             static_cast<std::int64_t>(begin / vocabulary));
    double kl = 0;
    for (std::size_t k = 0; k < vocabulary; ++k) {
      const double log_p = static_cast<double>(a[k]) - of_a->log_sum, log_q = static_cast<double>(b[k]) - of_b->log_sum;
      if (const double probability = std::exp(log_p); probability > 0) kl += probability * (log_p - log_q);
    }
    kl = std::max(kl, 0.0); // rounding may leave -1e-17
    next.sum_ += kl;
    next.largest_ = std::max(next.largest_, kl);
    next.agreeing_ += of_a->top == of_b->top;
    ++next.positions_;
  }
  *this = next;
  return {};
}

Result<DivergenceReport> LogitsDivergence::report() const {
  if (positions_ == 0)
    return Error(ErrorCode::insufficient_data, "divergence of logits", "no row was compared", "pass at least one row");
  const auto count = static_cast<double>(positions_);
  return DivergenceReport{positions_, sum_ / count, largest_, static_cast<double>(agreeing_) / count};
}

std::string to_string(const NextTokenReport& report) {
  return fmt::format("perplexity {:.4f} (NLL {:.4f} nats) over {} tokens, {:.2f} % of them predicted",
                     report.perplexity, report.nll, report.positions, 100 * report.accuracy);
}

std::string to_string(const DivergenceReport& report) {
  return fmt::format("KL divergence {:.6f} nats (largest {:.4f}) over {} positions, same first choice at {:.2f} %",
                     report.mean_kl, report.largest_kl, report.positions, 100 * report.top1_agreement);
}

} // namespace mcomp::inline v0::evaluate
