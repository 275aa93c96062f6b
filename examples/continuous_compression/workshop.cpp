#include "workshop.hpp"

#include <chrono>

#include "mcomp/compress/artifact.hpp"
#include "mcomp/compress/recipe.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/version.hpp"
#include "mcomp/graph/network.hpp"

namespace example {

using namespace mcomp;
using loop::Candidate;
using loop::CycleState;

namespace {

constexpr std::int64_t timed_requests = 300, proxy_rows = 200;
constexpr const char* instance = "c5.large";

double since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// A deployed model as a contender.
evaluate::Contender contender(const Service& service, const std::string& artifact, const std::string& name) {
  evaluate::Contender c{.name = name, .probabilities = true};
  c.bytes = service.model(artifact).stored_bytes();
  c.predict = [&service, artifact](const TensorView& raw) -> Result<evaluate::Answer> {
    const compress::Model& model = service.model(artifact);
    const auto input = graph::normalize(model.network.input, raw);
    if (!input) return input.error();
    const auto outputs = service.runner(artifact).run(*input);
    if (!outputs) return outputs.error();
    auto probabilities = model.probabilities(*outputs);
    if (!probabilities) return probabilities.error();
    return evaluate::Answer{.outputs = std::move(*probabilities)};
  };
  return c;
}

} // namespace

Result<std::string> FashionWorkshop::publish(const compress::Model& model, const compress::Recipe& recipe,
                                             const compress::Plan& plan, const std::string& precision) {
  const auto folder = folder_ / "artifact";
  if (const Status written = compress::write_artifact(folder, model, recipe, plan); !written) return written.error();
  catalog::ArtifactManifest manifest{.name = "fashion-classifier",
                                     .baseline = fingerprint(original_),
                                     .library_version = MCOMP_VERSION_STRING,
                                     .seed = recipe.seed};
  manifest.hardware.precision = precision;
  if (!plan.calibration_fingerprint.empty()) manifest.data["calibration"] = plan.calibration_fingerprint;
  const auto weights = store_.put_file(folder / "model.safetensors");
  const auto description = store_.put_file(folder / "manifest.json");
  const auto steps = store_.put(to_json(recipe));
  for (const auto* part : {&weights, &description, &steps})
    if (!*part) return part->error();
  manifest.parts = {{catalog::PartRole::weights, "model.safetensors", *weights},
                    {catalog::PartRole::model, "manifest.json", *description},
                    {catalog::PartRole::recipe, "recipe.json", *steps}};
  const auto id = store_.publish(manifest);
  if (!id) return id.error();
  if (const Status ready = service_.deploy(*id, model); !ready) return ready.error();
  plans_.insert_or_assign(*id, plan);
  if (original_artifact_.empty()) original_artifact_ = *id;
  return *id;
}

Result<loop::Workshop::Compressed> FashionWorkshop::compress(const CycleState&, const Candidate& candidate) {
  const auto begin = std::chrono::steady_clock::now();
  const auto recipe = compress::Recipe::parse(candidate.proposal.recipe, "recipe of " + candidate.id);
  if (!recipe) return recipe.error();
  const auto plan = compress::plan(original_, *recipe, {.calibration = &calibration_});
  if (!plan) return plan.error();
  const auto small = compress::apply(*plan, original_);
  if (!small) return small.error();
  const auto artifact = publish(*small, *recipe, *plan, recipe->name);
  if (!artifact) return artifact.error();
  const double seconds = since(begin);
  return Compressed{*artifact, 0, seconds};
}

Result<loop::Workshop::Proxies> FashionWorkshop::proxies(const CycleState&, const Candidate& candidate) {
  const auto images = calibration_.images();
  if (!images) return images.error();
  const auto rows = images->rows(0, std::min(proxy_rows, images->size(0)));
  if (!rows) return rows.error();
  const auto before = graph::run_batches(service_.runner(original_artifact_), *rows, 50);
  const auto after = graph::run_batches(service_.runner(candidate.artifact), *rows, 50);
  if (!before) return before.error();
  if (!after) return after.error();
  const auto a = graph::predicted_classes(*before), b = graph::predicted_classes(*after);
  if (!a) return a.error();
  if (!b) return b.error();
  std::int64_t same = 0;
  for (std::size_t i = 0; i < a->size(); ++i) same += (*a)[i] == (*b)[i];
  const double agreement = static_cast<double>(same) / static_cast<double>(a->size());
  const double ratio = static_cast<double>(service_.model(candidate.artifact).stored_bytes()) /
                       static_cast<double>(service_.model(original_artifact_).stored_bytes());
  constexpr double least_agreement = 0.9;
  return Proxies{{{"agreement", agreement}, {"size_ratio", ratio}},
                 agreement >= least_agreement,
                 fmt::format("{:.1f} % the same answers as the original on {} images, {:.2f} of its size",
                             100 * agreement, a->size(), ratio)};
}

Result<std::vector<double>> FashionWorkshop::service_times(const std::string& artifact) const {
  const auto images = calibration_.images();
  if (!images) return images.error();
  std::vector<double> seconds;
  for (std::int64_t i = 0; i < timed_requests; ++i) {
    const auto row = images->rows(i % images->size(0), i % images->size(0) + 1);
    if (!row) return row.error();
    const auto input = graph::normalize(original_.network.input, *row);
    if (!input) return input.error();
    const auto begin = std::chrono::steady_clock::now();
    const auto output = service_.runner(artifact).run(*input);
    if (!output) return output.error();
    seconds.push_back(since(begin));
  }
  return seconds;
}

Result<cost::Forecast> FashionWorkshop::forecast(const std::string& artifact,
                                                 std::optional<cost::ExpiringReservations> reservations) {
  auto before = service_times(original_artifact_);
  auto after = service_times(artifact);
  if (!before) return before.error();
  if (!after) return after.error();
  cost::ForecastInputs inputs{.trace = trace_, .prices = prices_};
  inputs.baseline = {.label = "f32", .service_seconds = std::move(*before), .instance = instance};
  inputs.candidate = {.label = "compressed", .service_seconds = std::move(*after), .instance = instance};
  inputs.objective.p95_seconds = 0.05;
  inputs.reservations = reservations;
  return cost::forecast(inputs, {.replicates = 20});
}

Result<loop::Workshop::Judged> FashionWorkshop::evaluate(const CycleState&, const Candidate& candidate) {
  const auto begin = std::chrono::steady_clock::now();
  const auto recipe = compress::Recipe::parse(candidate.proposal.recipe, "recipe of " + candidate.id);
  if (!recipe) return recipe.error();
  auto evaluation = evaluate::compare(contender(service_, original_artifact_, "f32"),
                                      contender(service_, candidate.artifact, recipe->name), *suite_, recipe->criteria,
                                      {.resamples = 200, .fairness_dimensions = {"region"}});
  if (!evaluation) return evaluation.error();
  auto worth = forecast(candidate.artifact);
  if (!worth) return worth.error();
  const auto& interval = worth->saving.per_month_interval;
  Judged judged{.evaluation = *evaluation, .saving_per_month = worth->saving.per_month};
  judged.saving_lower = interval ? interval->lower : worth->saving.per_month;
  judged.seconds = since(begin);
  evaluations_.insert_or_assign(candidate.artifact, std::move(*evaluation));
  forecasts_.insert_or_assign(candidate.artifact, std::move(*worth));
  return judged;
}

Result<std::vector<catalog::Envelope>> FashionWorkshop::approvals(const CycleState& cycle,
                                                                  const std::string& artifact) {
  // Here a key at hand approves whatever has passed its gates; elsewhere people do.
  constexpr std::int64_t day = 86400;
  auto envelope = catalog::sign_approval({.subject = artifact,
                                          .change = "promote:" + cycle.options.alias,
                                          .role = "reviewer",
                                          .issued = cycle.began,
                                          .expires = cycle.began + 7 * day,
                                          .nonce = cycle.options.id + artifact,
                                          .comment = "gates passed"},
                                         *reviewer_);
  if (!envelope) return envelope.error();
  return std::vector{std::move(*envelope)};
}

Result<std::vector<rollout::RolloutEvent>>
FashionWorkshop::observe(const CycleState& cycle, const rollout::RolloutState& state, std::int64_t now) {
  if (guarded_ != cycle.options.id) {
    // Shadow pairs while both answer, a floor of accuracy on what users are told, and a tail of latency.
    rollout::GuardrailOptions options;
    options.pairs = rollout::PairedAccuracyRule{.margin = 0.03, .planned_pairs = 1000, .least = 200};
    options.latency = rollout::LatencyRule{.tail = 0.1, .planned_requests = 1000, .least = 100};
    options.accuracy_floor = rollout::FloorRule{.floor = 0.7, .planned = 100, .least = 0};
    auto guard = rollout::Guardrail::create(options);
    if (!guard) return guard.error();
    guard_ = std::move(*guard);
    guarded_ = cycle.options.id;
    static_cast<void>(service_.take_counts()); // of whatever served before
  }
  rollout::GuardrailCounts counts = service_.take_counts();
  counts.time = static_cast<double>(now);
  if (const Status seen = guard_->observe(counts); !seen) return seen.error();
  rollout::RolloutEvent beat;
  beat.kind = rollout::EventKind::heartbeat;
  beat.time = now;
  return std::vector{beat, guard_->gate_event(state, now)};
}

Status FashionWorkshop::set_traffic(const CycleState&, const std::string& artifact, std::uint32_t share,
                                    std::uint32_t shadow) {
  return service_.set_traffic(artifact, share, shadow);
}

Result<calibrate::ReliabilityDiagram> FashionWorkshop::reliability(const std::string& artifact) const {
  const auto logits = graph::run_batches(service_.runner(artifact), suite_->inputs(), 100);
  if (!logits) return logits.error();
  const auto probabilities = service_.model(artifact).probabilities(*logits);
  if (!probabilities) return probabilities.error();
  const auto rows = calibrate::outcomes_of_probabilities(*probabilities, suite_->labels());
  if (!rows) return rows.error();
  return calibrate::reliability_diagram(*rows, {.title = artifact.substr(0, 15), .resamples = 200});
}

} // namespace example
