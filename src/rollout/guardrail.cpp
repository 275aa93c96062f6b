#include "mcomp/rollout/guardrail.hpp"

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::rollout {

namespace {

Error wrong(const char* subject, const char* rule, const char* remedy) {
  return Error(ErrorCode::invalid_argument, subject, rule, remedy);
}

} // namespace

Guardrail::Guardrail(const GuardrailOptions& options, const stats::SequentialPairedDifference& accuracy,
                     const stats::BetaBinomialMixture& tail)
    : options_(options), accuracy_(accuracy), tail_(tail) {}

Result<Guardrail> Guardrail::create(const GuardrailOptions& options) {
  if (!(options.accuracy_margin >= 0 && options.accuracy_margin < 1))
    return wrong("accuracy_margin", "it is not within [0, 1)", "give a loss of accuracy as a fraction");
  if (!(options.tail > 0 && options.tail < 0.5)) return wrong("tail", "it is not within (0, 1/2)", "give a share");
  if (!(options.alpha > 0 && options.alpha < 0.5))
    return wrong("alpha", "it is not within (0, 1/2)", "give a probability");
  if (!(options.planned_requests > 0) || !std::isfinite(options.planned_requests))
    return wrong("planned_requests", "it is not positive", "give a number of requests");
  if (options.least_pairs < 0 || options.least_requests < 0)
    return wrong("least_pairs, least_requests", "a count is negative", "give 0 or more");
  // Whoever shows that the loss is greater than the margin has shown harm.
  MCOMP_TRY(accuracy,
            stats::SequentialPairedDifference::create({.null_loss = options.accuracy_margin,
                                                       .alternative = stats::Alternative::greater,
                                                       .alpha = options.alpha,
                                                       .planned_pairs = options.planned_pairs,
                                                       .expected_disagreement = options.expected_disagreement}));
  const double p = options.tail, q = 1 - p;
  MCOMP_TRY(tail, stats::BetaBinomialMixture::create(
                      {.variance = p * q * options.planned_requests, .alpha = options.alpha}, p, q, true));
  return Guardrail(options, accuracy, tail);
}

Status Guardrail::observe(const GuardrailCounts& counts) {
  const stats::PairedCounts& pairs = counts.pairs;
  if (std::min({pairs.both_right, pairs.only_baseline_right, pairs.only_candidate_right, pairs.both_wrong, counts.slow,
                counts.requests - counts.slow}) < 0)
    return Error(ErrorCode::invalid_value, "counts", "one is negative, or more requests are slow than there are",
                 "give what was seen since the last look");
  const auto take = [&](std::int64_t count, bool baseline_right, bool candidate_right) {
    for (std::int64_t i = 0; i < count; ++i) accuracy_.update(baseline_right, candidate_right);
  };
  // What speaks for the candidate first: on the way the evidence is then never above that at both ends, so that no
  // order within a look, which nobody knows, makes a breach.
  const std::int64_t both = std::min(pairs.only_baseline_right, pairs.only_candidate_right);
  for (std::int64_t i = 0; i < both; ++i) {
    accuracy_.update(false, true);
    accuracy_.update(true, false);
  }
  take(pairs.both_right, true, true);
  take(pairs.both_wrong, false, false);
  take(pairs.only_candidate_right - both, false, true);
  take(pairs.only_baseline_right - both, true, false);
  requests_ += counts.requests;
  slow_ += counts.slow;
  const double p = options_.tail, q = 1 - p;
  if (requests_ > 0) {
    const double sum = q * static_cast<double>(slow_) - p * static_cast<double>(requests_ - slow_);
    tail_evidence_.update(std::exp(std::min(tail_.log_mixture(sum, p * q * static_cast<double>(requests_)), 640.0)));
  }
  if (!breach_.empty()) return {};
  if (accuracy_.rejects())
    breach_ = fmt::format("accuracy: the loss {:.4f} on {} pairs is above the margin {:.4f}", this->pairs().loss(),
                          this->pairs().pairs(), options_.accuracy_margin);
  else if (tail_evidence_.p_value() <= options_.alpha)
    breach_ = fmt::format("latency: {} of {} requests are above the limit, {:.4f} of them may be", slow_, requests_,
                          options_.tail);
  return {};
}

Gate Guardrail::verdict() const noexcept {
  if (!breach_.empty()) return Gate::fail;
  if (requests_ == 0 && pairs().pairs() == 0) return Gate::no_data;
  return requests_ >= options_.least_requests && pairs().pairs() >= options_.least_pairs ? Gate::pass
                                                                                         : Gate::inconclusive;
}

RolloutEvent Guardrail::gate_event(const RolloutState& state, std::int64_t time) const {
  RolloutEvent event;
  event.kind = EventKind::gate;
  event.time = time;
  event.text = breach_;
  event.stage = state.stage == Stage::paused ? state.held : state.stage;
  event.step = state.step;
  event.verdict = verdict();
  return event;
}

} // namespace mcomp::inline v0::rollout
