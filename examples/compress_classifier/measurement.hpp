#pragma once

#include <functional>
#include <vector>

#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/compress/model.hpp"
#include "mcomp/stats/quantile.hpp"

namespace example {

/// Called with the share of the work that is done.
using Ticker = std::function<void(std::int64_t done, std::int64_t total)>;

/// What a model says about all samples.
struct Predictions {
  mcomp::Tensor logits; ///< f32 [samples, classes]
  std::vector<std::int32_t> classes;
};

/// Errors: those of running, and invalid_shape where the network is no classifier.
[[nodiscard]] mcomp::Result<Predictions> predict(mcomp::graph::Runner& runner, const mcomp::compress::Samples& samples,
                                                 const Ticker& ticker);

/// Probabilities against labels; logits are divided by the temperature. A network that ends in a softmax is taken at
/// its word: its output are the probabilities.
[[nodiscard]] mcomp::Result<mcomp::calibrate::CalibrationMetrics>
measure_confidence(const mcomp::compress::Model& model, const Predictions& predictions,
                   const std::vector<std::int32_t>& labels, double temperature);

/// Seconds of baseline and candidate for the same batches, one after the other, the order changing every round.
struct Latencies {
  std::int64_t batch = 1;
  std::vector<double> baseline, candidate; ///< one a round
  mcomp::stats::LatencySummary baseline_summary, candidate_summary;
  mcomp::stats::QuantileEstimate speedup; ///< median over rounds of baseline by candidate

  [[nodiscard]] double baseline_samples_per_second() const {
    return static_cast<double>(batch) / baseline_summary.p50.value;
  }
  [[nodiscard]] double candidate_samples_per_second() const {
    return static_cast<double>(batch) / candidate_summary.p50.value;
  }
};

[[nodiscard]] mcomp::Result<Latencies> measure_latencies(mcomp::graph::Runner& baseline,
                                                         mcomp::graph::Runner& candidate,
                                                         const mcomp::compress::Samples& samples, std::int64_t batch,
                                                         int rounds, const Ticker& ticker);

} // namespace example
