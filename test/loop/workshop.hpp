#pragma once

// A workshop that serves nobody: what compressing and evaluating come to is written down beforehand, by recipe.

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/loop/cycle.hpp"

namespace mcomp_test {

inline constexpr std::int64_t hour = 3600, start_time = 1'800'000'000;

inline std::string recipe_json(const std::string& name, const std::string& dtype = "int8", double bits = 0) {
  const std::string weights =
      bits > 0 ? fmt::format(R"("budget": {{"bits_per_weight": {}}})", bits) : fmt::format(R"("dtype": "{}")", dtype);
  return fmt::format(R"({{"schema": "mcomp-recipe-1", "name": "{}", "steps": [{{"strategy": "fold_batch_norm"}},)"
                     R"({{"strategy": "quantize", "weights": {{{}}}}}], "criteria": {{"max_accuracy_loss": 0.01}}}})",
                     name, weights);
}

inline std::string mark_of(const std::string& recipe) {
  return mcomp::catalog::fingerprint(mcomp::catalog::RecipeEntry{.name = "r", .recipe = recipe}).value();
}

/// The evaluation of a candidate that loses `loss` of 10,000 answers.
inline mcomp::evaluate::Evaluation evaluation_of(const std::string& artifact, std::int64_t lost,
                                                 const std::string& suite = "suite-1") {
  mcomp::evaluate::Evaluation e;
  e.baseline = "old", e.candidate = artifact;
  e.suite = "frozen", e.suite_version = "1", e.suite_fingerprint = suite;
  e.rows = 10'000;
  e.library_version = "0";
  e.criteria.max_accuracy_loss = 0.01;
  e.evidence.accuracy = mcomp::stats::PairedCounts{
      .both_right = 9000, .only_baseline_right = lost + 20, .only_candidate_right = 20, .both_wrong = 960 - lost};
  e.evidence.slices.push_back({.name = "region=eu", .accuracy = {900, 3, 2, 95}});
  e.verdict = mcomp::evaluate::judge(e.criteria, e.evidence).value();
  return e;
}

class FakeWorkshop : public mcomp::loop::Workshop {
 public:
  struct Fate {
    std::int64_t lost = 0; ///< answers of 10,000
    double saving = 100;
    bool compresses = true, worth_it = true, evaluates = true;
    double proxy = 0.25;
    std::string artifact{}; ///< in place of the right one
    std::string suite = "suite-1";
    /// Of its release: what the gate says at a stage.
    std::function<mcomp::rollout::Gate(const mcomp::rollout::RolloutState&)> gate{};
  };
  std::map<std::string, Fate> fates; ///< by name of the recipe; absent: all goes well
  bool approves = true, approvals_can_be_asked = true, sees = true;
  bool traffic_fails = false, nothing_can_be_set = false;
  bool silent = false;                                       ///< nothing is observed
  std::optional<mcomp::rollout::RolloutEvent> operator_says; ///< observed once
  std::map<std::string, double> evaluation_money;            ///< that is known before, by name of the recipe
  double promised = 0;
  std::atomic<int> compressed = 0, evaluated = 0;
  std::vector<std::pair<std::uint32_t, std::string>> traffic; ///< share and artifact
  mcomp::catalog::SigningKey reviewer =
      mcomp::catalog::SigningKey::from_seed("ana", std::vector<std::uint8_t>(32, 1)).value();

  [[nodiscard]] mcomp::catalog::Governance governance() const {
    return {
        .keys = {{.key = reviewer.public_key(), .roles = {"reviewer", "owner"}}},
        .policy = {.rules = {{.change = "promote", .roles = {"reviewer"}}, {.change = "govern", .roles = {"owner"}}}}};
  }

  static std::string name_of(const mcomp::loop::Candidate& candidate) {
    const std::string& json = candidate.proposal.recipe;
    const auto at = json.find("\"name\":") + 7;
    const auto begin = json.find('"', at) + 1;
    return json.substr(begin, json.find('"', begin) - begin);
  }
  [[nodiscard]] Fate fate(const mcomp::loop::Candidate& candidate) const {
    const auto found = fates.find(name_of(candidate));
    return found == fates.end() ? Fate{} : found->second;
  }
  static std::string artifact_of(const mcomp::loop::CycleState& cycle, const mcomp::loop::Candidate& candidate) {
    return mcomp::catalog::digest_of(cycle.options.model + candidate.proposal.fingerprint);
  }

  mcomp::Result<Compressed> compress(const mcomp::loop::CycleState& cycle,
                                     const mcomp::loop::Candidate& candidate) override {
    ++compressed;
    if (!fate(candidate).compresses)
      return mcomp::Error(mcomp::ErrorCode::unsupported, "conv1", "it has no such scheme", "use another");
    const Fate f = fate(candidate);
    return Compressed{f.artifact.empty() ? artifact_of(cycle, candidate) : f.artifact, 1, 60};
  }
  mcomp::Result<Proxies> proxies(const mcomp::loop::CycleState&, const mcomp::loop::Candidate& candidate) override {
    const Fate f = fate(candidate);
    return Proxies{{{"size_ratio", f.proxy}}, f.worth_it, {}};
  }
  double promise(const mcomp::loop::CycleState&) override { return promised; }
  mcomp::loop::Spending price_of_evaluation(const mcomp::loop::CycleState&,
                                            const mcomp::loop::Candidate& candidate) override {
    const auto found = evaluation_money.find(name_of(candidate));
    return {.money = found == evaluation_money.end() ? 0 : found->second};
  }
  mcomp::Result<Judged> evaluate(const mcomp::loop::CycleState&, const mcomp::loop::Candidate& candidate) override {
    ++evaluated;
    const Fate f = fate(candidate);
    if (!f.evaluates)
      return mcomp::Error(mcomp::ErrorCode::io_failure, "suite", "it cannot be read", "look at the disk");
    return Judged{evaluation_of(candidate.artifact, f.lost, f.suite), f.saving, f.saving * 0.9, 5, 600};
  }
  mcomp::Result<std::vector<mcomp::catalog::Envelope>> approvals(const mcomp::loop::CycleState& cycle,
                                                                 const std::string& artifact) override {
    if (!approvals_can_be_asked)
      return mcomp::Error(mcomp::ErrorCode::io_failure, "approvals", "nobody answers", "look at it");
    if (!approves) return std::vector<mcomp::catalog::Envelope>();
    // One approval for each cycle, the same whenever it is asked for.
    return std::vector{mcomp::catalog::sign_approval({.subject = artifact,
                                                      .change = "promote:production",
                                                      .role = "reviewer",
                                                      .issued = cycle.began,
                                                      .expires = cycle.began + 1000 * hour,
                                                      .nonce = cycle.options.id + artifact},
                                                     reviewer)
                           .value()};
  }
  mcomp::Result<std::vector<mcomp::rollout::RolloutEvent>>
  observe(const mcomp::loop::CycleState& cycle, const mcomp::rollout::RolloutState& state, std::int64_t now) override {
    using namespace mcomp::rollout;
    if (!sees) return mcomp::Error(mcomp::ErrorCode::io_failure, "monitor", "it does not answer", "look at it");
    if (silent) return std::vector<RolloutEvent>();
    if (operator_says) return std::vector{*std::exchange(operator_says, std::nullopt)};
    RolloutEvent beat, gate;
    beat.kind = EventKind::heartbeat, beat.time = now;
    gate.kind = EventKind::gate, gate.time = now;
    gate.stage = state.stage == Stage::paused ? state.held : state.stage;
    gate.step = state.step;
    gate.verdict = Gate::pass;
    for (const auto& candidate : cycle.candidates)
      if (candidate.id == cycle.chosen && fate(candidate).gate) gate.verdict = fate(candidate).gate(state);
    if (gate.verdict == Gate::fail) gate.text = "accuracy: the loss is above the margin";
    return std::vector{beat, gate};
  }
  mcomp::Status set_traffic(const mcomp::loop::CycleState&, const std::string& artifact, std::uint32_t share,
                            std::uint32_t) override {
    if (nothing_can_be_set || (traffic_fails && share > 0))
      return mcomp::Error(mcomp::ErrorCode::io_failure, "router", "it does not answer", "look at it");
    traffic.emplace_back(share, artifact);
    return {};
  }
};

inline mcomp::rollout::RolloutPolicy quick_policy() {
  mcomp::rollout::RolloutPolicy policy;
  policy.shadow_duration = hour;
  policy.steps = {{1000, hour}, {25000, hour}};
  policy.heartbeat = 2 * hour;
  return policy;
}

inline mcomp::loop::CycleOptions cycle_options(const std::string& id = "cycle-1") {
  mcomp::loop::CycleOptions options{.id = id, .family = "image-classifier", .model = "model-1"};
  options.recipe = recipe_json("w8");
  options.baseline = mcomp::catalog::digest_of("the model in service");
  options.suite = "suite-1";
  options.policy = quick_policy();
  options.watch_seconds = 3 * hour;
  return options;
}

inline mcomp::loop::Trigger a_trigger(mcomp::loop::TriggerKind kind = mcomp::loop::TriggerKind::drift) {
  return {
      .kind = kind, .subject = "region=eu", .reason = "it has moved", .value = 0.3, .limit = 0.1, .time = start_time};
}

} // namespace mcomp_test
