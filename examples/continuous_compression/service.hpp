#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/compress/model.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/monitor/drift.hpp"
#include "mcomp/monitor/instruments.hpp"
#include "mcomp/monitor/live_samples.hpp"
#include "mcomp/rollout/bucketing.hpp"
#include "mcomp/rollout/guardrail.hpp"
#include "mcomp/stats/sketch.hpp"

namespace example {

/// A classifier in this process, under the traffic of made-up users with real images. Users live in three regions and
/// are new or regular; what they send is counted by instruments, sampled where they consent, and held against what was
/// usual. Labels come hours later. Time is simulated; latencies are real.
class Service {
 public:
  /// @param live images and labels that users send
  [[nodiscard]] static mcomp::Result<std::unique_ptr<Service>> create(const mcomp::compress::Samples& live,
                                                                      const mcomp::compress::Samples& reference,
                                                                      std::int64_t requests_per_hour,
                                                                      std::uint64_t seed);

  /// Makes a model ready to serve.
  [[nodiscard]] mcomp::Status deploy(const std::string& artifact, const mcomp::compress::Model& model);
  [[nodiscard]] bool deployed(const std::string& artifact) const { return deployments_.contains(artifact); }
  [[nodiscard]] const mcomp::compress::Model& model(const std::string& artifact) const {
    return deployments_.at(artifact).model;
  }
  [[nodiscard]] mcomp::quant::ProgramRunner& runner(const std::string& artifact) const {
    return *deployments_.at(artifact).runner;
  }
  /// From now on the machines that serve this artifact to users prepare its images wrongly.
  void misconfigure(const std::string& artifact) { misconfigured_ = artifact; }

  /// So many parts of 100,000 of the users see the candidate, so many are shadowed; everybody else the baseline.
  [[nodiscard]] mcomp::Status set_traffic(const std::string& candidate, std::uint32_t share, std::uint32_t shadow);
  /// The candidate is the baseline now.
  void settle();
  [[nodiscard]] const std::string& baseline() const { return baseline_; }

  /// From now on images of one region are what another camera makes of them.
  [[nodiscard]] mcomp::Status change_camera(const std::string& region);
  void scale_traffic(double factor) { scale_ = factor; }

  /// Serves an hour's requests, which begin at that time. Latencies above the limit count as slow.
  [[nodiscard]] mcomp::Status serve(std::int64_t time, double slow_seconds);
  /// What was seen of the candidate since the last time it was asked.
  [[nodiscard]] mcomp::rollout::GuardrailCounts take_counts();

  /// Drift since the last time it was asked.
  [[nodiscard]] mcomp::Result<mcomp::monitor::DriftAnswer> take_drift();
  /// Requests of the last hours, by slice and model.
  [[nodiscard]] mcomp::Result<mcomp::monitor::ServiceSnapshot> last(std::int64_t time, double hours) const;
  [[nodiscard]] mcomp::monitor::ServiceSnapshot since_start() const { return instruments_.since_start(); }
  /// Images that users let be kept, with their labels as far as they have come; every second one for each of the two.
  struct Fresh {
    mcomp::compress::Samples calibration, evaluation;
    std::vector<std::int32_t> regions; ///< of the rows of `evaluation`
  };
  [[nodiscard]] mcomp::Result<Fresh> fresh_samples(std::int64_t count, std::int64_t time) const;
  [[nodiscard]] const mcomp::monitor::LiveSampleCounts live_counts() const { return samples_.counts(); }
  [[nodiscard]] const mcomp::stats::QuantileSketch* latencies(const std::string& artifact) const {
    const auto found = latencies_.find(artifact);
    return found == latencies_.end() ? nullptr : &found->second;
  }

  static const std::vector<std::string>& regions();

 private:
  struct Deployment {
    mcomp::compress::Model model;
    std::unique_ptr<mcomp::quant::ProgramRunner> runner;
  };
  struct Answer {
    std::int32_t predicted = 0;
    double confidence = 0, seconds = 0;
  };
  /// A label that is on its way.
  struct Pending {
    std::uint64_t request = 0;
    std::int64_t due = 0; ///< hour
    std::int32_t label = 0;
    bool by_candidate = false, right = false;
    std::optional<bool> baseline_right{}, candidate_right{}; ///< both, of shadowed requests
  };

  Service(mcomp::monitor::Instruments instruments, mcomp::monitor::Recorder recorder,
          mcomp::monitor::DriftWindow window, mcomp::monitor::LiveSamples samples, std::uint64_t seed)
      : instruments_(std::move(instruments)), recorder_(std::move(recorder)), window_(std::move(window)),
        samples_(std::move(samples)), random_(seed) {}
  [[nodiscard]] mcomp::Result<Answer> answer(const std::string& artifact, const mcomp::TensorView& image,
                                             bool to_user) const;
  [[nodiscard]] mcomp::Status request(std::int64_t time, double slow_seconds);

  mcomp::monitor::Instruments instruments_;
  mcomp::monitor::Recorder recorder_;
  mcomp::monitor::DriftWindow window_;
  mcomp::monitor::LiveSamples samples_;
  mcomp::Random random_;
  std::map<std::string, Deployment> deployments_;
  mcomp::Tensor images_, changed_; ///< raw, uint8
  std::vector<std::int32_t> labels_;
  std::int64_t requests_per_hour_ = 0;
  double scale_ = 1;
  std::string baseline_, candidate_, misconfigured_, changed_region_;
  mcomp::rollout::Ledger ledger_;
  std::uint32_t shadow_ = 0;
  std::uint64_t next_request_ = 0;
  std::deque<Pending> pending_;
  std::map<std::string, std::int32_t> known_labels_; ///< of requests whose label has come
  mcomp::rollout::GuardrailCounts counts_;
  std::map<std::string, mcomp::stats::QuantileSketch> latencies_;
};

/// Mean brightness and the share of lit pixels of a raw image, from 0 to 1: what drift is looked for in, with the
/// confidence of the answer.
struct ImageFeatures {
  double brightness = 0, lit = 0;
};
[[nodiscard]] ImageFeatures features_of(std::span<const std::uint8_t> pixels);

} // namespace example
