#include "rollout/guardrail_rules.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::rollout::detail {

namespace {

Error wrong(const std::string& subject, const char* rule, const char* remedy) {
  return Error(ErrorCode::invalid_argument, subject, rule, remedy);
}

Status check_margin(const char* name, double margin) {
  if (margin >= 0 && margin < 1) return {};
  return wrong(std::string(name) + ": margin", "it is not within [0, 1)", "give a loss as a fraction");
}

Status check_planned(const char* name, double planned) {
  if (planned > 0 && std::isfinite(planned)) return {};
  return wrong(std::string(name) + ": planned", "it is not positive and finite", "give a number of observations");
}

Status check_least(const char* name, std::int64_t least) {
  if (least >= 0) return {};
  return wrong(std::string(name) + ": least", "it is negative", "give 0 or more");
}

} // namespace

Result<PairedLoss> PairedLoss::create(const PairedAccuracyRule& rule, double alpha) {
  MCOMP_CHECK(check_margin("pairs", rule.margin));
  MCOMP_CHECK(check_least("pairs", rule.least));
  // Whoever shows that the loss is greater than the margin has shown harm.
  MCOMP_TRY(test, stats::SequentialPairedDifference::create({.null_loss = rule.margin,
                                                             .alternative = stats::Alternative::greater,
                                                             .alpha = alpha,
                                                             .planned_pairs = rule.planned_pairs,
                                                             .expected_disagreement = rule.expected_disagreement}));
  return PairedLoss(rule, test);
}

void PairedLoss::take(const GuardrailCounts& counts) {
  // Counts that the test would refuse were refused before.
  static_cast<void>(test_.update(counts.pairs));
}

std::string PairedLoss::breach() const {
  if (!test_.rejects()) return {};
  return fmt::format("accuracy of pairs: the loss {:.4f} on {} pairs is above the margin {:.4f}", test_.counts().loss(),
                     test_.counts().pairs(), rule_.margin);
}

Result<BadShare> BadShare::create(const Kind& kind, double limit, double planned, std::int64_t least, double alpha) {
  if (!(limit > 0 && limit < 1)) return wrong(kind.name, "its share or floor is not within (0, 1)", "give a fraction");
  MCOMP_CHECK(check_planned(kind.name, planned));
  MCOMP_CHECK(check_least(kind.name, least));
  MCOMP_TRY(mixture, stats::BetaBinomialMixture::create({.variance = limit * (1 - limit) * planned, .alpha = alpha},
                                                        limit, 1 - limit, true));
  return BadShare(kind, limit, least, alpha, mixture);
}

void BadShare::take(const GuardrailCounts& counts) {
  const stats::SuccessCounts look = kind_.bad(counts);
  bad_.successes += look.successes;
  bad_.trials += look.trials;
  if (bad_.trials == 0) return;
  const double p = limit_, q = 1 - p;
  const double sum = q * static_cast<double>(bad_.successes) - p * static_cast<double>(bad_.trials - bad_.successes);
  evidence_.update(std::exp(std::min(mixture_.log_mixture(sum, p * q * static_cast<double>(bad_.trials)), 640.0)));
}

std::string BadShare::breach() const {
  if (evidence_.p_value() > alpha_) return {};
  if (kind_.floor)
    return fmt::format("{}: {} of {} is below the floor {:.4f}", kind_.name, bad_.trials - bad_.successes, bad_.trials,
                       1 - limit_);
  return fmt::format("{}: {} of {} requests are above the limit, {:.4f} of them may be", kind_.name, bad_.successes,
                     bad_.trials, limit_);
}

Result<GroupLoss> GroupLoss::create(const Kind& kind, const GroupRule& rule, double alpha) {
  MCOMP_CHECK(check_margin(kind.name, rule.margin));
  MCOMP_CHECK(check_planned(kind.name, rule.planned));
  MCOMP_CHECK(check_least(kind.name, rule.least));
  MCOMP_TRY(test, stats::SequentialDifferenceTest::create({.null_loss = rule.margin,
                                                           .alternative = stats::Alternative::greater,
                                                           .alpha = alpha,
                                                           .planned_trials = rule.planned,
                                                           .expected_success = rule.expected}));
  return GroupLoss(kind, rule, test);
}

void GroupLoss::take(const GuardrailCounts& counts) {
  // Counts that the test would refuse were refused before.
  static_cast<void>(test_.update(counts.*kind_.baseline, counts.*kind_.candidate));
}

bool GroupLoss::enough() const noexcept {
  return std::min(test_.baseline().trials, test_.candidate().trials) >= rule_.least;
}

std::string GroupLoss::breach() const {
  if (!test_.rejects()) return {};
  const stats::SuccessCounts a = test_.baseline(), b = test_.candidate();
  return fmt::format("{}: the loss {:.4f}, {} of {} against {} of {}, is above the margin {:.4f}", kind_.name,
                     test_.loss(), b.successes, b.trials, a.successes, a.trials, rule_.margin);
}

Result<ConfidenceFloor> ConfidenceFloor::create(const ConfidenceRule& rule, double alpha) {
  if (!(rule.floor > 0 && rule.floor < 1))
    return wrong("confidence: floor", "it is not within (0, 1)", "give an accuracy as a fraction");
  if (!(rule.calibration_error >= 0 && rule.calibration_error < rule.floor))
    return wrong("confidence: calibration_error", "it is not within 0 and the floor", "give a fraction");
  MCOMP_CHECK(check_least("confidence", rule.least));
  // One end of an interval of level 1 - 2 alpha.
  MCOMP_TRY(sequence, stats::BettingSequence::create({.level = 1 - 2 * alpha, .grid = 2000}));
  return ConfidenceFloor(rule, std::move(sequence));
}

void ConfidenceFloor::take(const GuardrailCounts& counts) {
  if (counts.estimates > 0) sequence_.update(counts.confidence);
}

std::string ConfidenceFloor::breach() const {
  const double upper = sequence_.interval().upper + rule_.calibration_error;
  if (upper >= rule_.floor) return {};
  return fmt::format("confidence: accuracy is at most {:.4f} by the confidences of {} looks (mean {:.4f}, calibrated "
                     "within {:.4f}), below the floor {:.4f}",
                     upper, sequence_.count(), sequence_.mean(), rule_.calibration_error, rule_.floor);
}

Result<Anomalies> Anomalies::create(const AnomalyRule& rule, double alpha) {
  if (!(rule.looks >= 1 && std::isfinite(rule.looks)))
    return wrong("anomaly: looks", "it is not at least 1 and finite", "give how many looks there will be");
  if (!(rule.share > 0 && rule.share < 1))
    return wrong("anomaly: share", "it is not within (0, 1)", "give the share that is usual");
  MCOMP_CHECK(check_least("anomaly", rule.least));
  MCOMP_TRY(detector, monitor::ChangeDetector::create({.mean = rule.share, .run_length = rule.looks / alpha}));
  return Anomalies(rule, detector);
}

void Anomalies::take(const GuardrailCounts& counts) {
  if (counts.requests == 0) return;
  const bool alarm = detector_.add(static_cast<double>(counts.anomalous) / static_cast<double>(counts.requests));
  if (alarm && breach_.empty())
    breach_ = fmt::format("anomaly: more than {:.4f} of the answers are anomalous since look {} of {}", rule_.share,
                          detector_.since() + 1, detector_.values());
}

Result<Burning> Burning::create(const monitor::BurnRateOptions& options) {
  MCOMP_TRY(rate, monitor::BurnRate::create(options));
  return Burning(std::move(rate));
}

void Burning::take(const GuardrailCounts& counts) {
  static_cast<void>(rate_.add(counts.time, counts.requests - counts.failed, counts.failed));
  seen_ = seen_ || counts.requests > 0;
  answer_ = rate_.answer(counts.time);
}

std::string Burning::breach() const {
  return answer_.fires ? "burn rate: " + to_string(answer_) : std::string();
}

Result<Heart> Heart::create(const monitor::HeartbeatOptions& options) {
  MCOMP_CHECK(monitor::Heartbeat::create(options, 0));
  return Heart(options);
}

void Heart::take(const GuardrailCounts& counts) {
  if (!heart_) {
    heart_ = monitor::Heartbeat::create(options_, counts.time).value();
    last_ = counts.time;
  }
  now_ = std::max(now_, counts.time);
  // One that comes too late does not undo the silence before it.
  pulse_ = heart_->pulse(now_);
  if (pulse_ == monitor::Pulse::lost || !counts.beat) return;
  heart_->beat(counts.time);
  last_ = std::max(last_, counts.time);
  pulse_ = heart_->pulse(now_);
}

std::string Heart::breach() const {
  if (pulse_ != monitor::Pulse::lost) return {};
  return fmt::format("heartbeat: nothing was heard for {} seconds", now_ - last_);
}

} // namespace mcomp::inline v0::rollout::detail
