#include "measurement.hpp"

#include <chrono>
#include <cmath>

#include "mcomp/core/format.hpp"

namespace example {

namespace {

using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
using mcomp::Tensor;

/// Raw rows [begin, begin + count) of the samples as the network's input; rows start anew at the end.
Result<Tensor> input_batch(const mcomp::graph::Network& network, const mcomp::TensorView& images, std::int64_t begin,
                           std::int64_t count) {
  const std::int64_t first = begin % std::max<std::int64_t>(1, images.size(0) - count + 1);
  const auto rows = images.rows(first, first + count);
  if (!rows) return rows.error();
  return mcomp::graph::normalize(network.input, *rows);
}

Result<double> seconds_of(mcomp::graph::Runner& runner, const Tensor& input) {
  const auto begin = std::chrono::steady_clock::now();
  const auto output = runner.run(input);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  if (!output) return output.error();
  return elapsed.count();
}

} // namespace

Result<Predictions> predict(mcomp::graph::Runner& runner, const mcomp::compress::Samples& samples,
                            const Ticker& ticker) {
  const auto images = samples.images();
  if (!images) return images.error();
  constexpr std::int64_t batch = 64;
  auto logits =
      mcomp::graph::run_batches(runner, *images, batch, [&](std::int64_t done) { ticker(done, samples.count()); });
  if (!logits) return logits.error();
  auto classes = mcomp::graph::predicted_classes(*logits);
  if (!classes) return classes.error();
  return Predictions{std::move(*logits), std::move(*classes)};
}

Result<mcomp::calibrate::CalibrationMetrics> measure_confidence(const mcomp::compress::Model& model,
                                                                const Predictions& predictions,
                                                                const std::vector<std::int32_t>& labels,
                                                                double temperature) {
  const mcomp::TensorView truth(labels.data(), mcomp::DType::int32, {static_cast<std::int64_t>(labels.size())});
  const mcomp::graph::Layer* last = model.network.find(model.network.output);
  if (!last || !std::holds_alternative<mcomp::graph::Softmax>(last->operation))
    return mcomp::calibrate::measure_logits(predictions.logits, truth, temperature);
  Tensor logarithms = predictions.logits;
  for (float& p : logarithms.mutable_values<float>()) p = std::log(p);
  return mcomp::calibrate::measure_logits(logarithms, truth, temperature);
}

Result<Latencies> measure_latencies(mcomp::graph::Runner& baseline, mcomp::graph::Runner& candidate,
                                    const mcomp::compress::Samples& samples, std::int64_t batch, int rounds,
                                    const Ticker& ticker) {
  const auto images = samples.images();
  if (!images) return images.error();
  if (batch > samples.count())
    return Error(ErrorCode::insufficient_data, "--batch", fmt::format("{} of {} samples", batch, samples.count()),
                 "use a smaller batch");
  Latencies result;
  result.batch = batch;
  std::vector<double> ratios;
  constexpr int warm_up = 3;
  for (int round = -warm_up; round < rounds; ++round) {
    const auto input = input_batch(baseline.network(), *images, (round + warm_up) * batch, batch);
    if (!input) return input.error();
    const bool swapped = round % 2 != 0;
    const auto first = seconds_of(swapped ? candidate : baseline, *input);
    if (!first) return first.error();
    const auto second = seconds_of(swapped ? baseline : candidate, *input);
    if (!second) return second.error();
    if (round < 0) continue;
    result.baseline.push_back(swapped ? *second : *first);
    result.candidate.push_back(swapped ? *first : *second);
    ratios.push_back(result.baseline.back() / result.candidate.back());
    ticker(round + 1, rounds);
  }
  const auto baseline_summary = mcomp::stats::summarize_latencies(result.baseline);
  if (!baseline_summary) return baseline_summary.error();
  const auto candidate_summary = mcomp::stats::summarize_latencies(result.candidate);
  if (!candidate_summary) return candidate_summary.error();
  const auto speedup = mcomp::stats::estimate_quantile(ratios, 0.5);
  if (!speedup) return speedup.error();
  result.baseline_summary = *baseline_summary;
  result.candidate_summary = *candidate_summary;
  result.speedup = *speedup;
  return result;
}

} // namespace example
