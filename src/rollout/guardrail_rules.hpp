#pragma once

// The rules of a guardrail, one class each with the same functions: `take` a look that was checked, say whether
// anything was `seen` and whether it is `enough`, and what the `breach` is, if there is one. Never part of the
// interface.

#include <cstdint>
#include <string>

#include "mcomp/monitor/change_detector.hpp"
#include "mcomp/rollout/guardrail.hpp"
#include "mcomp/stats/confidence_sequence.hpp"
#include "mcomp/stats/sequential_test.hpp"
#include "mcomp/stats/uniform_boundary.hpp"

namespace mcomp::inline v0::rollout::detail {

class PairedLoss {
 public:
  [[nodiscard]] static Result<PairedLoss> create(const PairedAccuracyRule& rule, double alpha);
  void take(const GuardrailCounts& counts);
  [[nodiscard]] bool seen() const noexcept { return test_.counts().pairs() > 0; }
  [[nodiscard]] bool enough() const noexcept { return test_.counts().pairs() >= rule_.least; }
  [[nodiscard]] std::string breach() const;
  [[nodiscard]] const char* name() const noexcept { return "accuracy of pairs"; }

 private:
  PairedLoss(const PairedAccuracyRule& rule, const stats::SequentialPairedDifference& test)
      : rule_(rule), test_(test) {}
  PairedAccuracyRule rule_;
  stats::SequentialPairedDifference test_;
};

/// Whether more than a share of something is bad.
class BadShare {
 public:
  /// What is counted, and how a breach is told.
  struct Kind {
    const char* name;
    stats::SuccessCounts (*bad)(const GuardrailCounts&);
    bool floor; ///< told as good ones against a floor, 1 - limit
  };
  [[nodiscard]] static Result<BadShare> create(const Kind& kind, double limit, double planned, std::int64_t least,
                                               double alpha);
  void take(const GuardrailCounts& counts);
  [[nodiscard]] bool seen() const noexcept { return bad_.trials > 0; }
  [[nodiscard]] bool enough() const noexcept { return bad_.trials >= least_; }
  [[nodiscard]] std::string breach() const;
  [[nodiscard]] const char* name() const noexcept { return kind_.name; }

 private:
  BadShare(const Kind& kind, double limit, std::int64_t least, double alpha, const stats::BetaBinomialMixture& mixture)
      : kind_(kind), limit_(limit), alpha_(alpha), least_(least), mixture_(mixture) {}
  Kind kind_;
  double limit_, alpha_;
  std::int64_t least_;
  stats::BetaBinomialMixture mixture_;
  stats::EProcess evidence_;
  stats::SuccessCounts bad_;
};

/// Two groups of which each was answered by one version.
class GroupLoss {
 public:
  struct Kind {
    const char* name;
    stats::SuccessCounts GuardrailCounts::*baseline;
    stats::SuccessCounts GuardrailCounts::*candidate;
  };
  [[nodiscard]] static Result<GroupLoss> create(const Kind& kind, const GroupRule& rule, double alpha);
  void take(const GuardrailCounts& counts);
  [[nodiscard]] bool seen() const noexcept { return test_.baseline().trials + test_.candidate().trials > 0; }
  [[nodiscard]] bool enough() const noexcept;
  [[nodiscard]] std::string breach() const;
  [[nodiscard]] const char* name() const noexcept { return kind_.name; }

 private:
  GroupLoss(const Kind& kind, const GroupRule& rule, const stats::SequentialDifferenceTest& test)
      : kind_(kind), rule_(rule), test_(test) {}
  Kind kind_;
  GroupRule rule_;
  stats::SequentialDifferenceTest test_;
};

class ConfidenceFloor {
 public:
  [[nodiscard]] static Result<ConfidenceFloor> create(const ConfidenceRule& rule, double alpha);
  void take(const GuardrailCounts& counts);
  [[nodiscard]] bool seen() const noexcept { return sequence_.count() > 0; }
  [[nodiscard]] bool enough() const noexcept { return sequence_.count() >= rule_.least; }
  [[nodiscard]] std::string breach() const;
  [[nodiscard]] const char* name() const noexcept { return "confidence"; }

 private:
  ConfidenceFloor(const ConfidenceRule& rule, stats::BettingSequence sequence)
      : rule_(rule), sequence_(std::move(sequence)) {}
  ConfidenceRule rule_;
  stats::BettingSequence sequence_;
};

class Anomalies {
 public:
  [[nodiscard]] static Result<Anomalies> create(const AnomalyRule& rule, double alpha);
  void take(const GuardrailCounts& counts);
  [[nodiscard]] bool seen() const noexcept { return detector_.values() > 0; }
  [[nodiscard]] bool enough() const noexcept { return detector_.values() >= rule_.least; }
  [[nodiscard]] std::string breach() const { return breach_; }
  [[nodiscard]] const char* name() const noexcept { return "anomaly"; }

 private:
  Anomalies(const AnomalyRule& rule, const monitor::ChangeDetector& detector) : rule_(rule), detector_(detector) {}
  AnomalyRule rule_;
  monitor::ChangeDetector detector_;
  std::string breach_; ///< of the first alarm
};

class Burning {
 public:
  [[nodiscard]] static Result<Burning> create(const monitor::BurnRateOptions& options);
  void take(const GuardrailCounts& counts);
  [[nodiscard]] bool seen() const noexcept { return seen_; }
  [[nodiscard]] bool enough() const noexcept { return !answer_.no_data; }
  [[nodiscard]] std::string breach() const;
  [[nodiscard]] const char* name() const noexcept { return "burn rate"; }

 private:
  explicit Burning(monitor::BurnRate rate) : rate_(std::move(rate)) { answer_.no_data = true; }
  monitor::BurnRate rate_;
  monitor::BurnAnswer answer_;
  bool seen_ = false;
};

class Heart {
 public:
  [[nodiscard]] static Result<Heart> create(const monitor::HeartbeatOptions& options);
  void take(const GuardrailCounts& counts);
  [[nodiscard]] bool seen() const noexcept { return heart_ && heart_->beats() > 0; }
  [[nodiscard]] bool enough() const noexcept { return pulse_ == monitor::Pulse::alive; }
  [[nodiscard]] std::string breach() const;
  [[nodiscard]] const char* name() const noexcept { return "heartbeat"; }

 private:
  explicit Heart(const monitor::HeartbeatOptions& options) : options_(options) {}
  monitor::HeartbeatOptions options_;
  std::optional<monitor::Heartbeat> heart_; ///< from the first look on
  monitor::Pulse pulse_ = monitor::Pulse::unknown;
  double last_ = 0, now_ = 0; ///< beat or begin, and look
};

} // namespace mcomp::inline v0::rollout::detail
