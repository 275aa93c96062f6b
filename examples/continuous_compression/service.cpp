#include "service.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/corruption.hpp"
#include "mcomp/graph/network.hpp"
#include "mcomp/kernels/runner.hpp"

namespace example {

using namespace mcomp;

namespace {

constexpr std::uint32_t everybody = 100'000;
constexpr std::int64_t users = 5000;
constexpr const char* salt = "release";

/// Of a user, for good.
struct Traits {
  std::size_t region = 0;
  bool regular = false, consents = false;
};
Traits traits_of(std::int64_t user) {
  const std::uint32_t hash = rollout::unit_hash("traits", std::to_string(user));
  return {hash % 3, (hash >> 8) % 10 < 7, (hash >> 16) % 10 < 6};
}

/// Requests of an hour of the day as a share of the mean: quiet nights, busy afternoons.
double load_of(std::int64_t hour) {
  constexpr double pi = 3.141592653589793;
  return 1 + 0.5 * std::cos(2 * pi * (static_cast<double>(hour % 24) - 15) / 24);
}

} // namespace

const std::vector<std::string>& Service::regions() {
  static const std::vector<std::string> names = {"north", "west", "south"};
  return names;
}

ImageFeatures features_of(std::span<const std::uint8_t> pixels) {
  ImageFeatures features;
  for (const std::uint8_t pixel : pixels) {
    features.brightness += pixel / 255.0;
    features.lit += pixel > 0 ? 1 : 0;
  }
  features.brightness /= static_cast<double>(pixels.size());
  features.lit /= static_cast<double>(pixels.size());
  return features;
}

Result<std::unique_ptr<Service>> Service::create(const compress::Samples& live, const compress::Samples& reference,
                                                 std::int64_t requests_per_hour, std::uint64_t seed) {
  const auto images = live.images(), usual = reference.images();
  if (!images) return images.error();
  if (!usual) return usual.error();
  auto labels = live.labels();
  if (!labels) return labels.error();
  auto instruments = monitor::Instruments::create({.window_seconds = 3600, .windows = 24 * 30});
  if (!instruments) return instruments.error();
  auto recorder = instruments->recorder();
  if (!recorder) return recorder.error();

  // What is usual: the images that calibration is done on.
  const std::int64_t rows = usual->size(0), size = usual->elements() / rows;
  const auto pixels = usual->values<std::uint8_t>("images");
  if (!pixels) return pixels.error();
  std::vector<double> features;
  for (std::int64_t i = 0; i < rows; ++i) {
    const ImageFeatures f =
        features_of(pixels->subspan(static_cast<std::size_t>(i * size), static_cast<std::size_t>(size)));
    features.insert(features.end(), {f.brightness, f.lit});
  }
  auto drift_reference = monitor::DriftReference::build({{.name = "brightness"}, {.name = "lit pixels"}},
                                                        TensorView(features.data(), DType::f64, Shape{rows, 2}));
  if (!drift_reference) return drift_reference.error();
  auto window = monitor::DriftWindow::create(std::move(*drift_reference));
  if (!window) return window.error();
  const Shape shape{images->size(1), images->size(2), images->size(3)};
  constexpr double week = 7 * 86400;
  auto samples = monitor::LiveSamples::create(
      {.shape = shape, .per_slice = 1500, .retention_seconds = week, .periods = 7, .seed = seed});
  if (!samples) return samples.error();

  std::unique_ptr<Service> service(
      new Service(std::move(*instruments), std::move(*recorder), std::move(*window), std::move(*samples), seed));
  auto copy = Tensor::copy_of(*images);
  if (!copy) return copy.error();
  service->images_ = std::move(*copy);
  service->labels_ = std::move(*labels);
  service->requests_per_hour_ = requests_per_hour;
  return service;
}

Status Service::deploy(const std::string& artifact, const compress::Model& model) {
  auto program = model.program();
  if (!program) return program.error();
  auto runner = kernels::executed_runner(std::move(*program), {.threads = 1});
  if (!runner) return runner.error();
  deployments_.insert_or_assign(artifact, Deployment{model, std::move(*runner)});
  auto sketch = stats::QuantileSketch::create();
  if (!sketch) return sketch.error();
  latencies_.insert_or_assign(artifact, std::move(*sketch));
  if (baseline_.empty()) baseline_ = artifact;
  return {};
}

Status Service::set_traffic(const std::string& candidate, std::uint32_t share, std::uint32_t shadow) {
  if (!deployments_.contains(candidate))
    return Error(ErrorCode::not_found, candidate, "it is not deployed", "deploy it first");
  candidate_ = candidate;
  shadow_ = shadow;
  const std::vector<rollout::ArmWeight> weights = {{"baseline", everybody - share}, {"candidate", share}};
  auto ledger = ledger_.arms.empty() ? rollout::Ledger::create(weights) : ledger_.reweighed(weights);
  if (!ledger) return ledger.error();
  ledger_ = std::move(*ledger);
  return {};
}

void Service::settle() {
  if (!candidate_.empty()) baseline_ = candidate_;
  candidate_.clear();
  ledger_ = {};
  shadow_ = 0;
}

Status Service::change_camera(const std::string& region) {
  constexpr int severity = 5;
  auto images = evaluate::corrupt(images_, evaluate::Corruption::gaussian_noise, severity, 7);
  if (!images) return images.error();
  changed_ = std::move(*images);
  changed_region_ = region;
  return {};
}

Result<Service::Answer> Service::answer(const std::string& artifact, const TensorView& image, bool to_user) const {
  const Deployment& deployment = deployments_.at(artifact);
  auto input = graph::normalize(deployment.model.network.input, image);
  if (!input) return input.error();
  // Wrong preparation: the negative of the image.
  if (to_user && artifact == misconfigured_)
    for (float& x : input->mutable_values<float>()) x = -x;
  const auto begin = std::chrono::steady_clock::now();
  const auto output = deployment.runner->run(*input);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (!output) return output.error();
  const auto probabilities = deployment.model.probabilities(*output);
  if (!probabilities) return probabilities.error();
  const auto row = probabilities->view().values<double>("probabilities");
  if (!row) return row.error();
  const auto best = std::ranges::max_element(*row);
  return Answer{static_cast<std::int32_t>(best - row->begin()), std::clamp(*best, 0.0, 1.0), seconds.count()};
}

Status Service::serve(std::int64_t time, double slow_seconds) {
  const std::int64_t hour = time / 3600;
  const auto requests =
      static_cast<std::int64_t>(std::lround(static_cast<double>(requests_per_hour_) * load_of(hour) * scale_));
  for (std::int64_t i = 0; i < requests; ++i)
    if (const Status served = request(time + i * 3600 / std::max<std::int64_t>(1, requests), slow_seconds); !served)
      return served;
  // Labels that are due.
  while (!pending_.empty() && pending_.front().due <= hour) {
    const Pending& p = pending_.front();
    recorder_.label(p.request, static_cast<std::uint32_t>(p.label));
    known_labels_[std::to_string(p.request)] = p.label;
    if (p.baseline_right && p.candidate_right) {
      const bool before = *p.baseline_right, after = *p.candidate_right;
      stats::PairedCounts& pairs = counts_.pairs;
      ++(before ? (after ? pairs.both_right : pairs.only_baseline_right)
                : (after ? pairs.only_candidate_right : pairs.both_wrong));
    }
    if (p.by_candidate) {
      ++counts_.candidate.trials;
      counts_.candidate.successes += p.right ? 1 : 0;
    }
    pending_.pop_front();
  }
  return instruments_.collect(static_cast<double>(time));
}

Status Service::request(std::int64_t time, double slow_seconds) {
  const auto user = static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(users)));
  const Traits traits = traits_of(user);
  const std::string name = "user-" + std::to_string(user);
  const std::string& region = regions()[traits.region];
  const auto row = static_cast<std::int64_t>(random_.below(labels_.size()));
  const Tensor& source = region == changed_region_ ? changed_ : images_;
  const auto image = TensorView(source).rows(row, row + 1);
  if (!image) return image.error();
  const std::uint32_t position = rollout::unit_hash(salt, name);
  const bool by_candidate = !candidate_.empty() && !ledger_.arms.empty() && ledger_.arm(position) == "candidate";
  const bool shadowed = !candidate_.empty() && !by_candidate && shadow_ > 0 && random_.below(everybody) < shadow_;
  const std::string& artifact = by_candidate ? candidate_ : baseline_;
  const auto served = answer(artifact, *image, true);
  if (!served) return served.error();
  latencies_.at(artifact).add(served->seconds);
  const std::int32_t label = labels_[static_cast<std::size_t>(row)];
  const std::uint64_t id = ++next_request_;

  const auto number = [&](monitor::Dimension dimension, const std::string& value) -> monitor::NameId {
    const auto known = instruments_.name(dimension, value);
    return known ? *known : monitor::NameId{0};
  };
  monitor::SeriesKey key;
  key.model_version = number(monitor::Dimension::model_version, artifact.substr(7, 8));
  key.region = number(monitor::Dimension::region, region);
  key.cohort = number(monitor::Dimension::cohort, traits.regular ? "regular" : "new");
  monitor::Event event{.seconds = served->seconds, .confidence = served->confidence, .request = id};
  event.predicted = static_cast<std::uint32_t>(served->predicted);
  recorder_.record(key, event);

  Pending pending{.request = id, .label = label, .by_candidate = by_candidate, .right = served->predicted == label};
  pending.due = time / 3600 + 1;
  if (by_candidate) {
    ++counts_.requests;
    counts_.slow += served->seconds > slow_seconds ? 1 : 0;
  }
  if (shadowed) {
    const auto unseen = answer(candidate_, *image, false);
    if (!unseen) return unseen.error();
    latencies_.at(candidate_).add(unseen->seconds);
    ++counts_.requests;
    counts_.slow += unseen->seconds > slow_seconds ? 1 : 0;
    pending.baseline_right = pending.right;
    pending.candidate_right = unseen->predicted == label;
  }
  pending_.push_back(pending);

  const auto pixels = image->values<std::uint8_t>("image");
  if (!pixels) return pixels.error();
  const ImageFeatures features = features_of(*pixels);
  if (const Status added = window_.add(std::array{features.brightness, features.lit}, "region=" + region); !added)
    return added;
  const std::string request_id = std::to_string(id);
  const TensorView one(image->data(), image->dtype(), Shape{image->size(1), image->size(2), image->size(3)});
  const auto fate =
      samples_.offer({.request = request_id, .user = name, .slice = region, .consent = traits.consents, .input = one},
                     static_cast<double>(time));
  if (!fate) return fate.error();
  return {};
}

rollout::GuardrailCounts Service::take_counts() {
  return std::exchange(counts_, {});
}

Result<monitor::DriftAnswer> Service::take_drift() {
  auto answer = window_.answer();
  window_.clear();
  return answer;
}

Result<monitor::ServiceSnapshot> Service::last(std::int64_t time, double hours) const {
  return instruments_.last(static_cast<double>(time), hours * 3600);
}

Result<Service::Fresh> Service::fresh_samples(std::int64_t count, std::int64_t time) const {
  const auto set = samples_.calibration_set({.count = count, .edge_share = 0}, static_cast<double>(time));
  if (!set) return set.error();
  Fresh fresh;
  const std::int64_t size = set->inputs.elements() / std::max<std::int64_t>(1, set->inputs.size(0));
  const auto* pixels = static_cast<const std::uint8_t*>(set->inputs.data());
  std::array<std::vector<std::uint8_t>, 2> bytes;
  std::array<std::vector<std::int32_t>, 2> labels;
  std::size_t taken = 0;
  for (std::size_t i = 0; i < set->requests.size(); ++i) {
    const auto label = known_labels_.find(set->requests[i]);
    if (label == known_labels_.end()) continue; // its label is still on its way
    const std::size_t which = taken++ % 4 == 0 ? 0 : 1;
    const auto* image = pixels + static_cast<std::int64_t>(i) * size;
    bytes[which].insert(bytes[which].end(), image, image + size);
    labels[which].push_back(label->second);
    if (which == 1) {
      const auto region = std::ranges::find(regions(), set->slices[i]);
      fresh.regions.push_back(static_cast<std::int32_t>(region - regions().begin()));
    }
  }
  for (std::size_t which = 0; which < 2; ++which) {
    Shape shape = set->inputs.shape();
    shape[0] = static_cast<std::int64_t>(labels[which].size());
    auto images = Tensor::from(bytes[which], shape);
    auto truth = Tensor::from(labels[which], Shape{shape[0]});
    if (!images) return images.error();
    if (!truth) return truth.error();
    compress::Samples& samples = which == 0 ? fresh.calibration : fresh.evaluation;
    samples.tensors.put("images", std::move(*images));
    samples.tensors.put("labels", std::move(*truth));
  }
  return fresh;
}

} // namespace example
