// Compression that goes on: a classifier is served under simulated traffic while the loop compresses it, releases it
// step by step, notices that the inputs have changed, compresses it anew with samples of what users send now, takes a
// bad release back by itself, and changes its advice when traffic falls. Days pass in seconds; images, compression,
// answers and latencies are real.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <thread>
#include <utility>

#include "fashion_classifier.hpp"
#include "fashion_mnist.hpp"
#include "mcomp/catalog/changelog.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/catalog/shipped_recipes.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/kernels/capabilities.hpp"
#include "mcomp/loop/signals.hpp"
#include "mcomp/loop/trigger.hpp"
#include "mcomp/monitor/alerts.hpp"
#include "mcomp/monitor/label_free.hpp"
#include "mcomp/monitor/metrics_text.hpp"
#include "mcomp/report/sections.hpp"
#include "metrics_server.hpp"
#include "program.hpp"
#include "service.hpp"
#include "story_report.hpp"
#include "workshop.hpp"

namespace {

using namespace example;
using namespace mcomp;

constexpr std::int64_t hour = 3600, day = 24 * hour;
constexpr std::int64_t start = 1'780'272'000; // 2026-06-01, UTC
constexpr const char* origin = "example/continuous_compression";

struct Options {
  std::filesystem::path weights = MCOMP_FASHION_WEIGHTS;
  std::filesystem::path prices = MCOMP_EXAMPLE_PRICES;
  std::filesystem::path fashion_mnist = fashion_mnist_folder;
  std::int64_t requests_per_hour = 300;
  std::uint64_t seed = 1;
  std::optional<std::uint16_t> metrics_port{};
  std::int64_t linger_seconds = 0;
};

// The value of a Result under a name, or the Error to the caller.
#define STORY_TRY(name, ...)                                                                                           \
  auto name##_result = (__VA_ARGS__);                                                                                  \
  if (!name##_result) return name##_result.error();                                                                    \
  auto& name = *name##_result
#define STORY_CHECK(...)                                                                                               \
  if (auto story_status = (__VA_ARGS__); !story_status) return story_status.error()

/// Rows [begin, end) of samples.
Result<compress::Samples> part(const compress::Samples& samples, std::int64_t begin, std::int64_t end) {
  STORY_TRY(images, samples.images());
  STORY_TRY(labels, samples.labels());
  STORY_TRY(rows, images.rows(begin, end));
  STORY_TRY(copy, Tensor::copy_of(rows));
  const std::vector<std::int32_t> truth(labels.begin() + begin, labels.begin() + end);
  STORY_TRY(label_tensor, Tensor::from(truth, Shape{end - begin}));
  compress::Samples result;
  result.tensors.put("images", std::move(copy));
  result.tensors.put("labels", std::move(label_tensor));
  return result;
}

Result<evaluate::Suite> freeze(const std::string& name, const compress::Samples& samples,
                               std::vector<std::int32_t> regions = {}) {
  STORY_TRY(images, samples.images());
  STORY_TRY(labels, samples.labels());
  STORY_TRY(inputs, Tensor::copy_of(images));
  STORY_TRY(truth, Tensor::from(labels, Shape{static_cast<std::int64_t>(labels.size())}));
  evaluate::SuiteParts parts{.name = name, .version = "1", .inputs = std::move(inputs), .labels = std::move(truth)};
  evaluate::Slicing garment{.dimension = "garment", .groups = {}, .group = labels};
  for (const std::string_view one : fashion_classes) garment.groups.emplace_back(one);
  parts.slicings.push_back(std::move(garment));
  // Users of the frozen images are nobody in particular: spread over the regions.
  if (regions.empty())
    for (std::size_t i = 0; i < labels.size(); ++i) regions.push_back(static_cast<std::int32_t>(i % 3));
  parts.slicings.push_back({.dimension = "region", .groups = Service::regions(), .group = std::move(regions)});
  return evaluate::Suite::freeze(std::move(parts));
}

/// Makes room for what this run writes. Only what an earlier run has left, its catalogue says so, is removed.
Status clear_folder(const std::filesystem::path& out) {
  constexpr const char* catalogue = "team.mcomp";
  std::error_code failure;
  const bool earlier = std::filesystem::exists(out / catalogue, failure) && catalog::Catalog::open(out / catalogue);
  for (const char* name : {"team.mcomp-wal", "team.mcomp-shm", "artifacts", "work", "alerts.jsonl", catalogue}) {
    if (!std::filesystem::exists(out / name, failure)) continue;
    if (!earlier)
      return Error(ErrorCode::invalid_argument, (out / name).string(), "it is there, and not of an earlier run",
                   "name another folder with --out");
    std::filesystem::remove_all(out / name, failure);
    if (failure)
      return Error(ErrorCode::io_failure, (out / name).string(), failure.message(), "name another folder with --out");
  }
  std::filesystem::create_directories(out / "work" / "artifact", failure);
  if (failure)
    return Error(ErrorCode::io_failure, (out / "work").string(), failure.message(), "choose a writable --out");
  return {};
}

class Story {
 public:
  Story(const Options& options, std::filesystem::path out, Report& report)
      : options_(options), out_(std::move(out)), report_(report) {}

  Result<ExitStatus> operator()() {
    STORY_CHECK(begin());
    STORY_CHECK(first_compression());
    STORY_CHECK(changed_inputs());
    STORY_CHECK(bad_release());
    STORY_CHECK(falling_traffic());
    return end();
  }

 private:
  void say(const std::string& text) {
    const std::int64_t since = now_ - start;
    report_.row("story", {{"time", now_}, {"text", text}},
                fmt::format("day {} {:02}:00  {}", since / day + 1, since % day / hour, text));
  }
  void chapter(const std::string& title) { fmt::print("\n{}\n", title); }

  Status begin();
  Status first_compression();
  Status changed_inputs();
  Status bad_release();
  Status falling_traffic();
  Result<ExitStatus> end();

  Status serve(std::int64_t hours) {
    for (std::int64_t i = 0; i < hours; ++i) {
      STORY_CHECK(service_->serve(now_, workshop_->slow_seconds()));
      now_ += hour;
      if (!metrics_server_) continue;
      STORY_TRY(page, metrics());
      metrics_server_->set(page);
    }
    return {};
  }

  Result<std::string> metrics() const {
    STORY_TRY(families, monitor::metric_families(service_->since_start()));
    return monitor::to_open_metrics(families);
  }

  /// Accuracy by what labels and what confidence say, of the last hours.
  Status say_quality(double hours) {
    STORY_TRY(snapshot, service_->last(now_, hours));
    STORY_TRY(slices, snapshot.by("region"));
    std::string text;
    for (const auto& slice : slices) {
      if (slice.labels_seen() == 0) continue;
      text += fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", slice.labels[1], 100 * *slice.accuracy());
    }
    const auto total = snapshot.total();
    const auto estimate = monitor::estimate_accuracy(total, {.calibration_rows = 2000});
    say(fmt::format("accuracy of the last {:g} hours by labels: {}; without labels {:.1f} % (if confidence is still "
                    "calibrated)",
                    hours, text, estimate ? 100 * estimate->accuracy : 0.0));
    return {};
  }

  Result<std::vector<loop::Trigger>> watch(loop::Observation observation) {
    observation.time = now_;
    STORY_TRY(step, loop::watch(watch_, observation));
    watch_ = std::move(step.state);
    for (const auto& trigger : step.triggers) say(short_ids(fmt::format("trigger: {}", trigger)));
    return step.triggers;
  }

  [[nodiscard]] loop::CycleOptions options(const std::string& id, const std::string& recipe,
                                           const std::string& suite) const {
    loop::CycleOptions o{.id = id, .family = "image-classifier", .model = watch_.situation.model};
    o.recipe = recipe, o.baseline = service_->baseline(), o.suite = suite;
    o.candidates = 2;
    o.budget.evaluations = 3;
    o.policy.shadow_duration = 2 * hour, o.policy.shadow_share = 50'000;
    o.policy.steps = {{1000, 2 * hour}, {5000, 2 * hour}, {25000, 2 * hour}};
    o.policy.heartbeat = 3 * hour, o.policy.undecided = 24;
    o.watch_seconds = 4 * hour;
    return o;
  }

  /// A cycle to its end, an hour a step while it is released.
  Result<loop::CycleState> run(const loop::Trigger& trigger, const loop::CycleOptions& o, bool misconfigured = false) {
    STORY_TRY(cycle, loop::Cycle::begin(*catalog_, trigger, o, *workshop_, now_));
    std::string last;
    while (!cycle.closed()) {
      STORY_TRY(step, cycle.step(now_));
      if (misconfigured)
        for (const auto& candidate : cycle.state().candidates)
          if (!candidate.artifact.empty()) service_->misconfigure(candidate.artifact);
      const std::string text = fmt::format("{}", step);
      if (!step.waiting && text != last) say(short_ids(text));
      last = text;
      const bool in_service = step.phase == loop::Phase::releasing || step.phase == loop::Phase::watching;
      if (in_service) STORY_CHECK(serve(1));
    }
    chronicle_.cycles.push_back(o.id);
    if (cycle.state().outcome == "released") service_->settle();
    if (cycle.state().outcome != "released") STORY_CHECK(service_->set_traffic(o.baseline, 0, 0));
    return cycle.state();
  }

  /// For people: digests by their first digits, and without the times that the line begins with.
  static std::string short_ids(std::string text) {
    constexpr std::size_t digits = 8, whole = 64;
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    for (std::size_t at = 0; at < text.size(); ++at) {
      std::size_t end = at;
      while (end < text.size() && is_digit(text[end])) ++end;
      if (end - at == whole) text.erase(at + digits, whole - digits);
      at = std::max(at, std::min(end, at + digits));
    }
    if (const auto since = text.find(" since 1"); since != std::string::npos)
      text.erase(since, text.find_first_not_of("0123456789", since + 7) - since);
    return text;
  }

  void settle_watch() {
    loop::Situation situation{.decided = now_, .model = fingerprint(own_.model)};
    situation.traffic_per_second = traffic_per_second;
    watch_ = loop::settle(watch_, std::move(situation));
  }

  static constexpr double traffic_per_second = 20'000; ///< of the whole fleet; this process is a small part of it

  const Options& options_;
  std::filesystem::path out_;
  Report& report_;
  std::int64_t now_ = start;
  FashionClassifier own_;
  std::unique_ptr<Service> service_;
  std::optional<catalog::Catalog> catalog_;
  std::optional<catalog::ArtifactStore> store_;
  std::unique_ptr<FashionWorkshop> workshop_;
  std::optional<catalog::SigningKey> reviewer_, log_key_;
  std::optional<evaluate::Suite> suite_;
  cost::RequestTrace trace_;
  loop::WatchState watch_;
  Chronicle chronicle_;
  std::string served_recipe_;
  std::unique_ptr<MetricsServer> metrics_server_;
};

Status Story::begin() {
  STORY_CHECK(kernels::require_execution());
  if (options_.metrics_port) {
    STORY_TRY(server, MetricsServer::start(*options_.metrics_port));
    metrics_server_ = std::move(server);
    fmt::print("metrics at http://127.0.0.1:{}/metrics\n", metrics_server_->port());
    std::fflush(stdout);
  }
  chapter("The service");
  watch_.situation.decided = start;
  STORY_TRY(own, read_fashion_classifier(options_.weights, options_.fashion_mnist));
  own_ = std::move(own);
  constexpr std::int64_t frozen = 4000;
  STORY_TRY(rows, own_.test.images());
  STORY_TRY(suite_rows, part(own_.test, 0, frozen));
  STORY_TRY(live, part(own_.test, frozen, rows.size(0)));
  STORY_TRY(suite, freeze("frozen test images", suite_rows));
  suite_ = suite;
  STORY_TRY(service, Service::create(live, own_.calibration, options_.requests_per_hour, options_.seed));
  service_ = std::move(service);

  STORY_CHECK(clear_folder(out_));
  STORY_TRY(catalog, catalog::Catalog::open(out_ / "team.mcomp"));
  catalog_.emplace(std::move(catalog));
  STORY_TRY(store, catalog::ArtifactStore::open(out_ / "artifacts"));
  store_.emplace(std::move(store));
  STORY_TRY(prices, cost::PriceCatalogue::read(options_.prices));
  workshop_ = std::make_unique<FashionWorkshop>(*service_, *store_, own_.model, std::move(prices), out_ / "work");

  STORY_TRY(reviewer, catalog::SigningKey::generate("ana"));
  STORY_TRY(log_key, catalog::SigningKey::generate(origin));
  reviewer_ = reviewer, log_key_ = log_key;
  workshop_->sign_with(*reviewer_);
  STORY_TRY(governed, catalog_->govern({.keys = {{.key = reviewer_->public_key(), .roles = {"reviewer", "owner"}}},
                                        .policy = {.rules = {{.change = "promote", .roles = {"reviewer"}},
                                                             {.change = "govern", .roles = {"owner"}}}}},
                                       "ana", now_));
  STORY_TRY(recipes, catalog::install_shipped_recipes(*catalog_, "ana", now_));
  STORY_TRY(floor, catalog::draft(catalog::Target{.name = "accuracy floor",
                                                  .owner = "ana",
                                                  .status = "in force",
                                                  .metric = "accuracy",
                                                  .value = 0.85,
                                                  .suite = suite_->fingerprint(),
                                                  .source = "product",
                                                  .reason = "what the search page promises"},
                                  {.id = "floor", .author = "ana", .time = now_}));
  STORY_TRY(target, catalog_->put(floor));
  static_cast<void>(governed), static_cast<void>(target);

  // What is served at first: the network as it was trained.
  STORY_TRY(recipe,
            compress::Recipe::parse(
                R"({"schema": "mcomp-recipe-1", "name": "f32", "steps": [{"strategy": "fold_batch_norm"}]})", "f32"));
  STORY_TRY(plan, compress::plan(own_.model, recipe, {}));
  STORY_TRY(folded, compress::apply(plan, own_.model));
  STORY_TRY(artifact, workshop_->publish(folded, recipe, plan, "f32"));
  STORY_TRY(approval, catalog::sign_approval({.subject = artifact,
                                              .change = "promote:production",
                                              .role = "reviewer",
                                              .issued = now_,
                                              .expires = now_ + day},
                                             *reviewer_));
  STORY_TRY(
      promoted,
      catalog_->promote(
          {.alias = "production", .artifact = artifact, .author = "ci", .time = now_, .reason = "as it was trained"},
          {&approval, 1}));
  static_cast<void>(promoted);
  STORY_TRY(trace,
            cost::diurnal_trace({.mean_per_second = traffic_per_second, .noise = 0.05, .interval_seconds = 600}));
  trace_ = std::move(trace);
  workshop_->forecast_on(trace_);
  workshop_->prepare(own_.calibration, *suite_);
  STORY_CHECK(serve(6));
  const auto* latencies = service_->latencies(artifact);
  STORY_TRY(p99, latencies->quantile(0.99));
  constexpr double slower = 3; // than the slowest hundredth of now
  workshop_->slow_seconds(slower * p99);
  say(fmt::format("serving {} in f32: {} requests, p99 {:.0f} us, {} recipes in the catalogue", short_ids(artifact),
                  latencies->count(), 1e6 * p99, recipes.size()));
  return say_quality(6);
}

Status Story::first_compression() {
  chapter("A model that nobody has compressed yet");
  loop::Observation seen;
  seen.model = fingerprint(own_.model);
  STORY_TRY(triggers, watch(seen));
  watch_.situation.model = *seen.model;
  STORY_TRY(state, run(triggers.front(), options("cycle-1", "", suite_->fingerprint())));
  report_.keep("first_outcome", state.outcome);
  for (const auto& candidate : state.candidates)
    if (candidate.id == state.chosen) served_recipe_ = candidate.proposal.recipe;
  settle_watch();
  return say_quality(4);
}

Status Story::changed_inputs() {
  chapter("The inputs change: another camera in the south");
  constexpr std::int64_t window = 8;
  STORY_TRY(usual, service_->take_drift());
  static_cast<void>(usual);
  auto sink = [this](const monitor::AlertNotice& notice) -> Status {
    chronicle_.alerts.push_back(notice);
    say(fmt::format("alert: {}", notice));
    return {};
  };
  STORY_TRY(alerts, monitor::Alerts::create({{.name = "InputDrift",
                                              .raise = 0.2,
                                              .clear = 0.1,
                                              .raise_seconds = static_cast<double>(window * hour),
                                              .summary = "inputs are not those that the model was calibrated on"}},
                                            {sink, monitor::file_sink(out_ / "alerts.jsonl")}));
  std::map<std::string, double> before; // of each slice, in the last window in which all was well
  std::optional<loop::Trigger> trigger;
  for (int i = 0; i < 12 && !trigger; ++i) {
    if (i == 2) {
      STORY_CHECK(service_->change_camera("south"));
      chronicle_.drift.marks.push_back({now_, "another camera", "in the south"});
      say("from now on the south sends noisy pictures");
    }
    STORY_CHECK(serve(window));
    STORY_TRY(answer, service_->take_drift());
    report::add_window(chronicle_.drift, now_, answer);
    loop::Observation seen;
    for (loop::DriftSignal& signal : loop::drift_signals(answer)) {
      const auto equals = signal.subject.find('=');
      if (equals == std::string::npos) continue; // all inputs together, of which regions say more
      double& well = before.try_emplace(signal.subject, signal.distance).first->second;
      STORY_TRY(raised,
                alerts.observe("InputDrift", {{"region", signal.subject.substr(equals + 1)}}, signal.distance,
                               static_cast<double>(now_),
                               monitor::MovedPart{.name = signal.subject, .before = well, .after = signal.distance}));
      if (raised == monitor::AlertState::inactive) well = signal.distance;
      seen.drift.push_back(std::move(signal));
    }
    STORY_TRY(triggers, watch(seen));
    if (!triggers.empty()) trigger = triggers.front();
  }
  if (!trigger)
    return Error(ErrorCode::insufficient_data, "story", "the drift was not noticed", "raise --requests-per-hour");
  STORY_CHECK(say_quality(window));
  // What users send now, as far as they let it be kept: a quarter to calibrate on, the rest to judge by.
  STORY_TRY(fresh, service_->fresh_samples(4000, now_));
  STORY_TRY(suite, freeze("live samples", fresh.evaluation, fresh.regions));
  STORY_TRY(calibration_rows, fresh.calibration.labels());
  say(fmt::format("{} fresh images to calibrate on, {} to judge by ({} offers without consent were not looked at)",
                  calibration_rows.size(), suite.rows(), service_->live_counts().without_consent));
  workshop_->prepare(std::move(fresh.calibration), suite);
  const auto say_confidence = [this](const std::string& who) -> Status {
    STORY_TRY(diagram, workshop_->reliability(service_->baseline()));
    say(fmt::format(
        "on these images {} is right in {:.1f} % and sure of {:.1f} %: a calibration error of {:.1f} points", who,
        100 * diagram.metrics.accuracy, 100 * diagram.metrics.confidence, 100 * diagram.metrics.ece));
    return {};
  };
  STORY_CHECK(say_confidence("what serves"));
  STORY_TRY(state, run(*trigger, options("cycle-2", served_recipe_, suite.fingerprint())));
  report_.keep("drift_outcome", state.outcome);
  chronicle_.drift.marks.push_back({now_, "recompressed", state.outcome});
  settle_watch();
  STORY_CHECK(say_confidence("what serves now"));
  return say_quality(4);
}

Status Story::bad_release() {
  chapter("A release that does harm");
  loop::Observation seen;
  seen.requests = {{"request-1", "ben", "try int4, which saves memory"}};
  STORY_TRY(triggers, watch(seen));
  workshop_->prepare(own_.calibration, *suite_);
  std::string recipe;
  for (const auto& shipped : catalog::shipped_recipes())
    if (shipped.id == "classifier-w4a8") recipe = shipped.entry.recipe;
  // It passes every gate; the machines that serve it then prepare its images wrongly.
  STORY_TRY(state, run(triggers.front(), options("cycle-3", recipe, suite_->fingerprint()), true));
  report_.keep("bad_outcome", state.outcome);
  STORY_TRY(alias, catalog_->alias("production"));
  say(fmt::format("production still names {}", short_ids(alias.artifact)));
  settle_watch();
  return {};
}

Status Story::falling_traffic() {
  chapter("Traffic falls");
  STORY_TRY(alias, catalog_->alias("production"));
  const cost::ExpiringReservations expiring{.expiring = 10, .reserved_per_hour = 0.054};
  STORY_TRY(before, workshop_->forecast(alias.artifact, expiring));
  say(fmt::format("10 reservations run out; as things are: {}", *before.reservations));
  constexpr double factor = 0.4;
  service_->scale_traffic(factor);
  std::optional<loop::Trigger> trigger;
  for (int i = 0; i < 6 && !trigger; ++i) {
    STORY_CHECK(serve(24));
    STORY_TRY(snapshot, service_->last(now_, 24));
    const double share =
        static_cast<double>(snapshot.total().events) / (24.0 * static_cast<double>(options_.requests_per_hour));
    loop::Observation seen;
    seen.traffic_per_second = share * traffic_per_second;
    STORY_TRY(triggers, watch(seen));
    if (!triggers.empty()) trigger = triggers.front();
  }
  STORY_TRY(less, trace_.scaled(factor));
  workshop_->forecast_on(less);
  STORY_TRY(after, workshop_->forecast(alias.artifact, expiring));
  say(fmt::format("the forecast anew: {:.0f} {} a month saved, {:.0f} before; {}", after.saving.per_month,
                  after.currency, before.saving.per_month, *after.reservations));
  report_.keep("renew_before", before.reservations->renew);
  report_.keep("renew_after", after.reservations->renew);
  STORY_TRY(decision, catalog::draft(catalog::Decision{.title = "Reservations that run out",
                                                       .owner = "ana",
                                                       .status = "accepted",
                                                       .context = trigger ? to_string(*trigger) : "traffic fell",
                                                       .options = {"renew all", "renew none"},
                                                       .evidence = {alias.artifact},
                                                       .rationale = to_string(*after.reservations)},
                                     {.id = "reservations", .author = "ana", .time = now_}));
  STORY_TRY(put, catalog_->put(decision));
  static_cast<void>(put);
  return {};
}

Result<ExitStatus> Story::end() {
  chapter("What is left of it");
  STORY_TRY(verified, catalog_->verify());
  const std::array keys = {*log_key_};
  STORY_CHECK(catalog_->export_log(out_ / "audit.jsonl", origin, keys));
  const std::array trusted = {log_key_->public_key()};
  STORY_TRY(offline, catalog::verify_log_export(out_ / "audit.jsonl", trusted, origin));
  say(fmt::format("catalogue: {}; its log, exported: {} events, {}", verified, offline.events,
                  offline.sound() ? "verified offline" : "NOT what was signed"));
  STORY_TRY(page_of_metrics, metrics());
  STORY_CHECK(write_file(out_ / "metrics.txt", page_of_metrics));
  STORY_TRY(changes, catalog::changelog(*catalog_));
  STORY_CHECK(write_file(out_ / "CHANGES.md", catalog::to_markdown(changes)));
  STORY_TRY(page, story_report(*catalog_, verified, *service_, *workshop_, chronicle_, now_));
  STORY_CHECK(write_file(out_ / "report.html", report::to_html(page)));
  STORY_CHECK(write_file(out_ / "story.json", report::to_json(page)));
  const auto total = service_->since_start().total();
  report_.keep("requests", total.events);
  report_.keep("audit_sound", verified.sound() && offline.sound());
  say(fmt::format("{} requests were answered; read {}", total.events, (out_ / "report.html").string()));
  if (metrics_server_) {
    for (std::int64_t second = 0; second < options_.linger_seconds; ++second)
      std::this_thread::sleep_for(std::chrono::seconds(1));
    report_.keep("scrapes", metrics_server_->scrapes());
  }
  return verified.sound() && offline.sound() ? ExitStatus::done : ExitStatus::rejected;
}

} // namespace

int main(int argc, char** argv) {
  Program program("continuous_compression", "Serves a classifier and compresses it again and again.",
                  "continuous_compression");
  Options options;
  CLI::App& app = program.options();
  app.add_option("--fashion-mnist", options.fashion_mnist, "Folder of the four Fashion-MNIST files")
      ->capture_default_str();
  app.add_option("--requests-per-hour", options.requests_per_hour, "That this process serves, on average")
      ->capture_default_str()
      ->check(CLI::Range(100, 100000));
  app.add_option("--seed", options.seed, "Of users and their requests")->capture_default_str();
  app.add_option("--serve-metrics", options.metrics_port,
                 "Answer scrapes of /metrics on this port of the loopback interface meanwhile; 0: any port");
  app.add_option("--linger", options.linger_seconds, "Seconds for which scrapes are answered at the end")
      ->capture_default_str()
      ->check(CLI::Range(0, 86400));
  return program.run(argc, argv, [&](Report& report) { return Story(options, program.out(), report)(); });
}
