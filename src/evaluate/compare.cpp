#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <set>

#include "core/try.hpp"
#include "evaluate/paired_bootstrap.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/version.hpp"
#include "mcomp/evaluate/evaluation.hpp"
#include "mcomp/evaluate/fairness.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

Error impossible(const char* option, const std::string& rule, const char* remedy) {
  return {ErrorCode::invalid_argument, option, rule, remedy};
}

/// Two-sided level whose one-sided confidence is that of the criteria, and not so small that intervals mean nothing.
double level_of(const Criteria& criteria) {
  return std::max(0.5, 2 * criteria.confidence - 1);
}

Status check_options(const CompareOptions& options, const Suite& suite) {
  if (options.batch < 1) return impossible("batch", fmt::format("it is {}", options.batch), "use at least 1");
  if (options.warm_up < 0) return impossible("warm_up", fmt::format("it is {}", options.warm_up), "use at least 0");
  if (options.exemplars < 0)
    return impossible("exemplars", fmt::format("it is {}", options.exemplars), "use at least 0");
  if (options.resamples < 0 || options.resamples > 1000000)
    return impossible("resamples", fmt::format("it is {}, 0 .. 1000000 are possible", options.resamples),
                      "use some hundreds");
  if (options.ece_bins < 1 || options.ece_bins > 10000)
    return impossible("ece_bins", fmt::format("it is {}, 1 .. 10000 are possible", options.ece_bins), "use 15");
  for (const std::string& dimension : options.fairness_dimensions)
    if (const auto known = suite.slicing(dimension); !known) return known.error().within("fairness_dimensions");
  return {};
}

std::vector<std::int32_t> labels_of(const Suite& suite) {
  std::vector<std::int32_t> labels;
  labels.reserve(static_cast<std::size_t>(suite.rows()));
  if (const auto wide = suite.labels().values<std::int64_t>("labels")) {
    for (const std::int64_t label : *wide)
      labels.push_back(
          static_cast<std::int32_t>(std::min<std::int64_t>(label, std::numeric_limits<std::int32_t>::max())));
  } else if (const auto narrow = suite.labels().values<std::int32_t>("labels")) {
    labels.assign(narrow->begin(), narrow->end());
  }
  return labels;
}

void count(stats::PairedCounts& counts, bool before, bool after) {
  ++(before ? (after ? counts.both_right : counts.only_baseline_right)
            : (after ? counts.only_candidate_right : counts.both_wrong));
}

/// Groups that a row belongs to, by the names of their slices.
std::vector<std::string> slices_of(const Suite& suite, std::size_t row) {
  std::vector<std::string> names;
  for (const Slicing& slicing : suite.slicings())
    if (const std::int32_t g = slicing.group[row]; g >= 0)
      names.push_back(slice_name(slicing, static_cast<std::size_t>(g)));
  return names;
}

std::vector<Exemplar> find_exemplars(const RowScores& baseline, const RowScores& candidate,
                                     const std::vector<std::int32_t>& labels, const Suite& suite, int most) {
  std::vector<std::size_t> flipped;
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (baseline.correct[i] != 0 && candidate.correct[i] == 0) flipped.push_back(i);
  const bool confident = !baseline.confidence.empty();
  const auto weight = [&](std::size_t i) {
    return confident ? baseline.confidence[i] : candidate.loss[i] - baseline.loss[i];
  };
  std::stable_sort(flipped.begin(), flipped.end(), [&](std::size_t a, std::size_t b) { return weight(a) > weight(b); });
  if (flipped.size() > static_cast<std::size_t>(most)) flipped.resize(static_cast<std::size_t>(most));
  std::vector<Exemplar> exemplars;
  for (const std::size_t i : flipped) {
    Exemplar e{.row = static_cast<std::int64_t>(i), .label = labels[i], .slices = slices_of(suite, i)};
    if (!baseline.predicted.empty()) e.baseline_class = baseline.predicted[i];
    if (!candidate.predicted.empty()) e.candidate_class = candidate.predicted[i];
    if (confident) e.baseline_confidence = baseline.confidence[i];
    if (!candidate.confidence.empty()) e.candidate_confidence = candidate.confidence[i];
    if (const double increase = candidate.loss[i] - baseline.loss[i]; std::isfinite(increase))
      e.loss_increase = increase;
    exemplars.push_back(std::move(e));
  }
  return exemplars;
}

/// Fills everything that follows from scores; slices that are in `evidence` already (with latencies) are completed.
Status add_scores(Evidence& evidence, const RowScores& baseline, const RowScores& candidate,
                  const std::vector<std::int32_t>& labels, const Suite& suite, const Criteria& criteria,
                  const CompareOptions& options, const Context& context) {
  stats::PairedCounts all;
  std::vector<std::vector<stats::PairedCounts>> by_slice;
  std::vector<std::vector<std::int64_t>> changed;
  for (const Slicing& slicing : suite.slicings()) {
    by_slice.emplace_back(slicing.groups.size());
    changed.emplace_back(slicing.groups.size());
  }
  const bool classes = !baseline.predicted.empty() && !candidate.predicted.empty();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const bool before = baseline.correct[i] != 0, after = candidate.correct[i] != 0;
    count(all, before, after);
    for (std::size_t s = 0; s < by_slice.size(); ++s)
      if (const std::int32_t g = suite.slicings()[s].group[i]; g >= 0) {
        count(by_slice[s][static_cast<std::size_t>(g)], before, after);
        if (classes && baseline.predicted[i] != candidate.predicted[i]) ++changed[s][static_cast<std::size_t>(g)];
      }
  }
  detail::BootstrapInput input{.baseline = baseline,
                               .candidate = candidate,
                               .labels = labels,
                               .slicings = suite.slicings(),
                               .fair = {},
                               .positive_class = options.positive_class,
                               .min_group_rows = options.min_group_rows,
                               .ece_bins = options.ece_bins,
                               .resamples = options.resamples,
                               .seed = options.seed,
                               .level = level_of(criteria)};
  for (const Slicing& slicing : suite.slicings())
    input.fair.push_back(options.fairness_dimensions.empty() ||
                         std::find(options.fairness_dimensions.begin(), options.fairness_dimensions.end(),
                                   slicing.dimension) != options.fairness_dimensions.end());
  MCOMP_TRY(numbers, detail::paired_bootstrap(input, context));

  const auto take = [](auto& into, const detail::TargetNumbers& from) {
    into.baseline_ece = from.baseline_ece;
    into.candidate_ece = from.candidate_ece;
    into.ece_increase = from.ece_increase;
    into.baseline_loss = from.baseline_loss;
    into.candidate_loss = from.candidate_loss;
    into.loss_increase = from.loss_increase;
  };
  evidence.accuracy = all;
  take(evidence, numbers.all);
  for (std::size_t s = 0; s < by_slice.size(); ++s)
    for (std::size_t g = 0; g < by_slice[s].size(); ++g) {
      const std::string name = slice_name(suite.slicings()[s], g);
      auto slice =
          std::find_if(evidence.slices.begin(), evidence.slices.end(), [&](const auto& e) { return e.name == name; });
      if (slice == evidence.slices.end()) slice = evidence.slices.insert(slice, SliceEvidence{.name = name});
      slice->accuracy = by_slice[s][g];
      slice->changed = changed[s][g];
      take(*slice, numbers.slices[s][g]);
    }
  evidence.fairness = std::move(numbers.fairness);
  for (FairnessEvidence& fairness : evidence.fairness) {
    MCOMP_TRY(slicing, suite.slicing(fairness.dimension));
    MCOMP_TRY(flips, compression_fairness(baseline, candidate, *slicing, options.min_group_rows));
    fairness.worst_flip_group = flips.worst_group;
  }
  return {};
}

Evaluation record_of(const Suite& suite, const Criteria& criteria) {
  return {.suite = suite.name(),
          .suite_version = suite.version(),
          .suite_fingerprint = suite.fingerprint(),
          .suite_versions = suite.versions(),
          .rows = suite.rows(),
          .library_version = MCOMP_VERSION_STRING,
          .criteria = criteria};
}

// --- Running models

/// One model while it runs.
struct Run {
  const Contender& contender;
  const char* side;
  std::vector<double> seconds{}, processor_seconds{};
  std::vector<std::pair<std::string, std::vector<double>>> stages{};
  RowScores scores{};

  [[nodiscard]] Error named(const Error& error) const {
    return error.within(fmt::format("{} '{}'", side, contender.name));
  }
};

/// Calls the model once. Times are kept where `timed`.
Result<Tensor> call(Run& run, const TensorView& inputs, bool timed) {
  const std::clock_t processor = std::clock();
  const auto begin = std::chrono::steady_clock::now();
  auto answer = run.contender.predict(inputs);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  const std::clock_t processor_end = std::clock();
  if (!answer) return run.named(answer.error());
  if (answer->outputs.rank() == 0 || answer->outputs.size(0) != inputs.size(0))
    return run.named({ErrorCode::invalid_shape, "outputs",
                      fmt::format("{} for {} rows of input", answer->outputs, inputs.size(0)),
                      "give one row of output for every row of input"});
  if (!timed) return std::move(answer->outputs);
  if (run.stages.empty() && run.seconds.empty())
    for (const auto& [name, seconds] : answer->stages) run.stages.push_back({name, {}});
  const bool same = std::equal(run.stages.begin(), run.stages.end(), answer->stages.begin(), answer->stages.end(),
                               [](const auto& a, const auto& b) { return a.first == b.first; });
  if (!same)
    return run.named({ErrorCode::invalid_value, "stages", "an answer names other stages than the first one",
                      "name the same stages in the same order in every answer"});
  for (std::size_t s = 0; s < run.stages.size(); ++s) run.stages[s].second.push_back(answer->stages[s].second);
  run.seconds.push_back(elapsed.count());
  run.processor_seconds.push_back(static_cast<double>(processor_end - processor) / CLOCKS_PER_SEC);
  return std::move(answer->outputs);
}

Status append_scores(Run& run, const Tensor& outputs, const TensorView& labels, const CompareOptions& options) {
  auto scored = options.score                 ? options.score(outputs, labels)
                : run.contender.probabilities ? score_probabilities(outputs, labels, "outputs")
                                              : score_logits(outputs, labels, run.contender.temperature, "outputs");
  if (!scored) return run.named(scored.error());
  if (const Status valid = check(*scored, "scores"); !valid) return run.named(valid.error());
  if (scored->rows() != labels.size(0))
    return run.named({ErrorCode::invalid_shape, "scores", fmt::format("{} for {} rows", scored->rows(), labels.size(0)),
                      "score every row"});
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(run.scores.correct, scored->correct);
  append(run.scores.loss, scored->loss);
  append(run.scores.predicted, scored->predicted);
  append(run.scores.confidence, scored->confidence);
  return {};
}

Result<ResourceUse> use_of(const Run& run, double level) {
  ResourceUse use;
  MCOMP_TRY(latency, stats::summarize_latencies(run.seconds, level));
  use.latency = latency;
  for (const double seconds : run.processor_seconds)
    use.processor_seconds += seconds / static_cast<double>(run.processor_seconds.size());
  for (const auto& [name, seconds] : run.stages) {
    auto summary = stats::summarize_latencies(seconds, level);
    if (!summary) return run.named(summary.error().within("stage '" + name + "'"));
    use.stages.emplace_back(name, *std::move(summary));
  }
  return use;
}

/// Requests whose rows all belong to one group, by slicing and group.
Status add_slice_latencies(Evidence& evidence, const Suite& suite, const Run& before, const Run& after,
                           std::int64_t batch, double level) {
  for (const Slicing& slicing : suite.slicings()) {
    std::vector<std::vector<double>> baseline(slicing.groups.size()), candidate(slicing.groups.size());
    for (std::size_t r = 0; r < before.seconds.size(); ++r) {
      const std::size_t first = r * static_cast<std::size_t>(batch);
      const std::size_t last = std::min(first + static_cast<std::size_t>(batch), slicing.group.size());
      const std::int32_t g = slicing.group[first];
      if (g < 0 || !std::all_of(slicing.group.begin() + static_cast<std::ptrdiff_t>(first),
                                slicing.group.begin() + static_cast<std::ptrdiff_t>(last),
                                [&](std::int32_t other) { return other == g; }))
        continue;
      baseline[static_cast<std::size_t>(g)].push_back(before.seconds[r]);
      candidate[static_cast<std::size_t>(g)].push_back(after.seconds[r]);
    }
    for (std::size_t g = 0; g < slicing.groups.size(); ++g) {
      SliceEvidence slice{.name = slice_name(slicing, g)};
      if (!baseline[g].empty()) {
        MCOMP_TRY(slow, stats::summarize_latencies(baseline[g], level));
        MCOMP_TRY(fast, stats::summarize_latencies(candidate[g], level));
        slice.baseline_latency = slow;
        slice.candidate_latency = fast;
      }
      evidence.slices.push_back(std::move(slice));
    }
  }
  return {};
}

} // namespace

Result<Evaluation> compare(const Contender& baseline, const Contender& candidate, const Suite& suite,
                           const Criteria& criteria, const CompareOptions& options, const Context& context) {
  MCOMP_CHECK(check(criteria));
  MCOMP_CHECK(check_options(options, suite));
  if (!suite.has_inputs())
    return impossible("suite", "it has labels and no inputs",
                      "freeze it with inputs, or compare scores that were recorded");
  for (const auto& [contender, side] : {std::pair{&baseline, "baseline"}, std::pair{&candidate, "candidate"}})
    if (!contender->predict) return impossible(side, "it has no `predict`", "give a callable that runs the model");

  Run before{.contender = baseline, .side = "baseline"}, after{.contender = candidate, .side = "candidate"};
  const TensorView inputs = suite.inputs(), labels = suite.labels();
  const std::int64_t rows = suite.rows();
  MCOMP_TRY(first, inputs.rows(0, std::min(options.batch, rows)));
  for (int i = 0; i < options.warm_up; ++i)
    for (Run* run : {&before, &after}) {
      MCOMP_CHECK(context.check("warming up"));
      MCOMP_TRY(ignored, call(*run, first, false));
      static_cast<void>(ignored);
    }
  for (std::int64_t at = 0, request = 0; at < rows; at += options.batch, ++request) {
    MCOMP_CHECK(context.check("comparing"));
    context.report("comparing", at, rows);
    const std::int64_t end = std::min(rows, at + options.batch);
    MCOMP_TRY(part, inputs.rows(at, end));
    MCOMP_TRY(part_labels, labels.rows(at, end));
    Run* order[2] = {&before, &after};
    if (request % 2 == 1) std::swap(order[0], order[1]);
    // Both answer before either is scored, so that they meet the same caches.
    MCOMP_TRY(one, call(*order[0], part, true));
    MCOMP_TRY(other, call(*order[1], part, true));
    MCOMP_CHECK(append_scores(*order[0], one, part_labels, options));
    MCOMP_CHECK(append_scores(*order[1], other, part_labels, options));
  }
  context.report("comparing", rows, rows);

  const double level = level_of(criteria);
  Evaluation evaluation = record_of(suite, criteria);
  evaluation.baseline = baseline.name;
  evaluation.candidate = candidate.name;
  Evidence& evidence = evaluation.evidence;
  MCOMP_TRY(before_use, use_of(before, level));
  MCOMP_TRY(after_use, use_of(after, level));
  evidence.baseline_latency = before_use.latency;
  evidence.candidate_latency = after_use.latency;
  evaluation.baseline_use = std::move(before_use);
  evaluation.candidate_use = std::move(after_use);
  std::vector<double> ratios;
  for (std::size_t r = 0; r < before.seconds.size(); ++r)
    if (after.seconds[r] > 0) ratios.push_back(before.seconds[r] / after.seconds[r]);
  if (ratios.size() == before.seconds.size()) {
    MCOMP_TRY(speedup, stats::estimate_quantile(ratios, 0.5, level));
    evidence.paired_speedup = speedup;
  }
  MCOMP_CHECK(add_slice_latencies(evidence, suite, before, after, options.batch, level));
  evidence.baseline_bytes = baseline.bytes;
  evidence.candidate_bytes = candidate.bytes;
  evidence.baseline_memory_bytes = baseline.memory_bytes;
  evidence.candidate_memory_bytes = candidate.memory_bytes;
  evidence.baseline_monthly_cost = baseline.monthly_cost;
  evidence.candidate_monthly_cost = candidate.monthly_cost;
  const auto classes = labels_of(suite);
  MCOMP_CHECK(add_scores(evidence, before.scores, after.scores, classes, suite, criteria, options, context));
  evaluation.exemplars = find_exemplars(before.scores, after.scores, classes, suite, options.exemplars);
  MCOMP_TRY(verdict, judge(criteria, evidence));
  evaluation.verdict = std::move(verdict);
  return evaluation;
}

Result<Evaluation> compare_scores(const RowScores& baseline, const RowScores& candidate, const Suite& suite,
                                  const Criteria& criteria, const CompareOptions& options, Evidence measured) {
  MCOMP_CHECK(check(criteria));
  MCOMP_CHECK(check_options(options, suite));
  for (const auto& [scores, side] : {std::pair{&baseline, "baseline"}, std::pair{&candidate, "candidate"}}) {
    MCOMP_CHECK(check(*scores, side));
    if (scores->rows() != suite.rows())
      return Error(ErrorCode::invalid_shape, side,
                   fmt::format("{} rows were scored, the suite has {}", scores->rows(), suite.rows()),
                   "score the rows of the suite, in order");
  }
  Evaluation evaluation = record_of(suite, criteria);
  evaluation.evidence = std::move(measured);
  const auto classes = labels_of(suite);
  MCOMP_CHECK(add_scores(evaluation.evidence, baseline, candidate, classes, suite, criteria, options, {}));
  evaluation.exemplars = find_exemplars(baseline, candidate, classes, suite, options.exemplars);
  return judge_again(std::move(evaluation), criteria);
}

Result<Evaluation> judge_again(Evaluation evaluation, const Criteria& criteria) {
  MCOMP_TRY(verdict, judge(criteria, evaluation.evidence));
  evaluation.criteria = criteria;
  evaluation.verdict = std::move(verdict);
  return evaluation;
}

Result<std::vector<EvaluationChange>> changes(const Evaluation& before, const Evaluation& after) {
  if (before.suite_fingerprint != after.suite_fingerprint)
    return Error(ErrorCode::invalid_argument, "evaluations",
                 fmt::format("one ran on suite '{}' ({}), the other on '{}' ({})", before.suite,
                             before.suite_fingerprint, after.suite, after.suite_fingerprint),
                 "evaluate both candidates on the same frozen suite");
  std::vector<EvaluationChange> found;
  const auto add = [&](std::string name, std::optional<double> a, std::optional<double> b) {
    if (a && b && std::isfinite(*a) && std::isfinite(*b)) found.push_back({std::move(name), *a, *b});
  };
  const auto number = [](const auto& optional) {
    return optional ? std::optional(static_cast<double>(*optional)) : std::nullopt;
  };
  const auto median = [](const auto& latency) { return latency ? std::optional(latency->p50.value) : std::nullopt; };
  const auto tail = [](const auto& latency) { return latency ? std::optional(latency->p99.value) : std::nullopt; };
  const auto accuracy = [](const auto& counts) {
    return counts ? std::optional(counts->candidate_accuracy()) : std::nullopt;
  };
  const auto loss = [](const auto& counts) { return counts ? std::optional(counts->loss()) : std::nullopt; };
  const Evidence &a = before.evidence, &b = after.evidence;
  add("candidate_accuracy", accuracy(a.accuracy), accuracy(b.accuracy));
  add("accuracy_loss", loss(a.accuracy), loss(b.accuracy));
  add("candidate_loss", a.candidate_loss, b.candidate_loss);
  add("candidate_ece", a.candidate_ece, b.candidate_ece);
  add("candidate_p50_seconds", median(a.candidate_latency), median(b.candidate_latency));
  add("candidate_p99_seconds", tail(a.candidate_latency), tail(b.candidate_latency));
  add("candidate_bytes", number(a.candidate_bytes), number(b.candidate_bytes));
  add("candidate_memory_bytes", number(a.candidate_memory_bytes), number(b.candidate_memory_bytes));
  add("candidate_monthly_cost", a.candidate_monthly_cost, b.candidate_monthly_cost);
  for (const SliceEvidence& slice : a.slices) {
    const auto same =
        std::find_if(b.slices.begin(), b.slices.end(), [&](const auto& s) { return s.name == slice.name; });
    if (same == b.slices.end()) continue;
    const auto both = [&](const char* what, std::optional<double> x, std::optional<double> y) {
      add(fmt::format("{}[{}]", what, slice.name), x, y);
    };
    both("candidate_accuracy", slice.accuracy.candidate_accuracy(), same->accuracy.candidate_accuracy());
    both("accuracy_loss", slice.accuracy.loss(), same->accuracy.loss());
    both("candidate_ece", slice.candidate_ece, same->candidate_ece);
    both("candidate_p99_seconds", tail(slice.candidate_latency), tail(same->candidate_latency));
  }
  return found;
}

} // namespace mcomp::inline v0::evaluate
