#include "mcomp/stats/latency.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "stats/interval.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr std::int64_t most_queries = std::int64_t{1} << 53;

Status check_tail(std::int64_t late, double percentile, double confidence) {
  MCOMP_CHECK(detail::check_level(percentile, "percentile"));
  MCOMP_CHECK(detail::check_level(confidence, "confidence"));
  if (late < 0 || late > most_queries)
    return Error(ErrorCode::invalid_argument, "late", fmt::format("a count lies within 0 .. 2^53, it is {}", late),
                 "pass the number of queries over the limit");
  return {};
}

/// P(at most `late` of n queries are late) where exactly 1 - percentile of all are.
double chance_of_so_few(std::int64_t late, std::int64_t n, double percentile) {
  if (late >= n) return 1;
  return incomplete_beta(static_cast<double>(n - late), static_cast<double>(late) + 1, percentile);
}

/// Both estimates at the square root of the level.
Result<QuantileComparison> compare(const QuantileEstimate& baseline, const QuantileEstimate& candidate, double level) {
  QuantileComparison comparison{.baseline = baseline, .candidate = candidate, .level = level};
  if (!baseline.lower || !baseline.upper || !candidate.lower || !candidate.upper) return comparison;
  comparison.difference = Interval{*candidate.lower - *baseline.upper, *candidate.upper - *baseline.lower, level};
  if (*baseline.lower > 0 && *candidate.lower > 0)
    comparison.ratio = Interval{*candidate.lower / *baseline.upper, *candidate.upper / *baseline.lower, level};
  return comparison;
}

} // namespace

std::string to_string(TailVerdict verdict) {
  switch (verdict) {
  case TailVerdict::met:
    return "met";
  case TailVerdict::missed:
    return "missed";
  case TailVerdict::insufficient_data:
    return "insufficient data";
  }
  return "unknown";
}

Result<std::int64_t> tail_queries_needed(std::int64_t late, double percentile, double confidence) {
  MCOMP_CHECK(check_tail(late, percentile, confidence));
  const double allowed = 1 - confidence;
  const auto enough = [&](std::int64_t n) { return chance_of_so_few(late, n, percentile) <= allowed; };
  std::int64_t no = late, yes = late + 1;
  while (!enough(yes)) {
    no = yes;
    if (yes >= most_queries)
      return Error(ErrorCode::invalid_argument, "percentile",
                   fmt::format("{} late queries at percentile {} take more than 2^53", late, percentile),
                   "ask for a percentile further from 1");
    yes = std::min(most_queries, 2 * yes);
  }
  while (yes - no > 1) (enough(no + (yes - no) / 2) ? yes : no) = no + (yes - no) / 2;
  return yes;
}

Result<TailAnswer> tail_objective(const TailObjective& objective) {
  MCOMP_CHECK(check_tail(objective.late, objective.percentile, objective.confidence));
  if (objective.queries < objective.late || objective.queries > most_queries)
    return Error(
        ErrorCode::invalid_argument, "queries",
        fmt::format("they lie within the {} late ones .. 2^53, there are {}", objective.late, objective.queries),
        "pass the number of all queries");
  TailAnswer answer;
  MCOMP_TRY(needed, tail_queries_needed(objective.late, objective.percentile, objective.confidence));
  answer.queries_needed = needed;
  if (objective.queries == 0) return answer;
  answer.late_fraction = static_cast<double>(objective.late) / static_cast<double>(objective.queries);
  if (objective.queries >= needed)
    answer.verdict = TailVerdict::met;
  else if (objective.late > 0) {
    // P(at least `late` are late), should the objective just be met.
    const double chance =
        incomplete_beta(static_cast<double>(objective.late),
                        static_cast<double>(objective.queries - objective.late) + 1, 1 - objective.percentile);
    if (chance <= 1 - objective.confidence) answer.verdict = TailVerdict::missed;
  }
  return answer;
}

Result<std::int64_t> tail_sample_size(double percentile, double confidence, double margin, std::int64_t multiple) {
  MCOMP_CHECK(detail::check_level(percentile, "percentile"));
  MCOMP_CHECK(detail::check_level(confidence, "confidence"));
  if (margin == 0) margin = (1 - percentile) / 20;
  MCOMP_CHECK(detail::check_level(margin, "margin"));
  const double z = normal_quantile((1 + confidence) / 2), n = z * z * percentile * (1 - percentile) / (margin * margin);
  if (multiple < 1 || multiple > most_queries || !(n < 0x1p53))
    return Error(ErrorCode::invalid_argument, "multiple",
                 fmt::format("{} queries in multiples of {}: both must lie within 1 .. 2^53", n, multiple),
                 "pass a larger margin, or MLPerf's multiple 8192");
  const std::int64_t least = std::max<std::int64_t>(1, std::llround(n));
  return (least + multiple - 1) / multiple * multiple;
}

Result<QuantileComparison> compare_quantiles(std::span<const double> baseline, std::span<const double> candidate,
                                             double probability, double level) {
  MCOMP_CHECK(detail::check_level(level));
  MCOMP_TRY(first, estimate_quantile(baseline, probability, std::sqrt(level)));
  MCOMP_TRY(second, estimate_quantile(candidate, probability, std::sqrt(level)));
  return compare(first, second, level);
}

Result<QuantileComparison> compare_quantiles(const QuantileSketch& baseline, const QuantileSketch& candidate,
                                             double probability, double level) {
  MCOMP_CHECK(detail::check_level(level));
  MCOMP_TRY(first, baseline.estimate_quantile(probability, std::sqrt(level)));
  MCOMP_TRY(second, candidate.estimate_quantile(probability, std::sqrt(level)));
  return compare(first, second, level);
}

std::string to_string(const QuantileComparison& comparison) {
  std::string text = fmt::format("p{:.6g}: {:.4g} -> {:.4g}", 100 * comparison.baseline.probability,
                                 comparison.baseline.value, comparison.candidate.value);
  if (!comparison.difference) return text + ", too few observations for an interval";
  text += fmt::format(", difference [{:.4g}, {:.4g}]", comparison.difference->lower, comparison.difference->upper);
  if (comparison.ratio)
    text += fmt::format(", ratio [{:.4g}, {:.4g}]", comparison.ratio->lower, comparison.ratio->upper);
  return text + fmt::format(" ({:.4g}%)", 100 * comparison.level);
}

StageLatencies::StageLatencies(std::vector<std::string> stages, const QuantileSketch& empty)
    : stages_(std::move(stages)), sketches_(stages_.size(), empty), end_to_end_(empty) {}

Result<StageLatencies> StageLatencies::create(std::vector<std::string> stages, const SketchOptions& options) {
  if (stages.empty())
    return Error(ErrorCode::invalid_argument, "stages", "there must be at least one", "name the stages of a request");
  for (std::size_t i = 0; i < stages.size(); ++i)
    if (stages[i].empty() || std::find(stages.begin(), stages.begin() + static_cast<std::ptrdiff_t>(i), stages[i]) !=
                                 stages.begin() + static_cast<std::ptrdiff_t>(i))
      return Error(ErrorCode::invalid_argument, "stages",
                   fmt::format("names must differ and not be empty, stage {} is \"{}\"", i, stages[i]),
                   "name every stage once");
  SketchOptions times = options;
  times.negative_values = false;
  MCOMP_TRY(empty, QuantileSketch::create(times));
  return StageLatencies(std::move(stages), empty);
}

Status StageLatencies::add(std::span<const double> seconds, double end_to_end) {
  if (seconds.size() != stages_.size())
    return Error(ErrorCode::invalid_shape, "seconds",
                 fmt::format("{} stages, {} times", stages_.size(), seconds.size()), "pass one time for every stage");
  const auto is_time = [](double value) { return value >= 0 && value <= std::numeric_limits<double>::max(); };
  for (std::size_t i = 0; i <= seconds.size(); ++i) {
    const double value = i < seconds.size() ? seconds[i] : end_to_end;
    if (!is_time(value))
      return Error(ErrorCode::invalid_value, i < seconds.size() ? stages_[i] : "end to end",
                   fmt::format("a time is finite and at least 0, it is {}", value), "use a monotonic clock");
  }
  for (std::size_t i = 0; i < seconds.size(); ++i) sketches_[i].add(seconds[i]);
  end_to_end_.add(end_to_end);
  return {};
}

Status StageLatencies::add(std::span<const double> seconds) {
  double sum = 0;
  for (const double value : seconds) sum += value;
  return add(seconds, sum);
}

Status StageLatencies::merge(const StageLatencies& other) {
  if (stages_ != other.stages_)
    return Error(ErrorCode::invalid_argument, "stages", "only latencies of the same stages in the same order merge",
                 "create both with the same names");
  MCOMP_CHECK(end_to_end_.merge(other.end_to_end_)); // the options of all are those of this one
  for (std::size_t i = 0; i < sketches_.size(); ++i) MCOMP_CHECK(sketches_[i].merge(other.sketches_[i]));
  return {};
}

Result<const QuantileSketch*> StageLatencies::stage(const std::string& name) const {
  const auto found = std::find(stages_.begin(), stages_.end(), name);
  if (found == stages_.end())
    return Error(ErrorCode::not_found, name, "no stage has this name", "ask for one of stages()");
  return &sketches_[static_cast<std::size_t>(found - stages_.begin())];
}

Result<double> StageLatencies::share(const std::string& name) const {
  MCOMP_TRY(sketch, stage(name));
  return sketch->sum() / end_to_end_.sum();
}

std::string to_string(const StageLatencies& latencies) {
  if (latencies.count() == 0) return "no requests";
  const auto line = [&](const std::string& name, const QuantileSketch& sketch) {
    std::string text = fmt::format("{}: mean {:.4g} ms", name, 1e3 * sketch.mean());
    for (const int percent : {50, 95, 99})
      if (const auto value = sketch.quantile(percent / 100.0))
        text += fmt::format(", p{} {:.4g}", percent, 1e3 * *value);
    return text;
  };
  std::string text = line(fmt::format("{} requests, end to end", latencies.count()), latencies.end_to_end());
  for (const std::string& name : latencies.stages())
    text += fmt::format("\n  {} ({:.3g}%)", line(name, **latencies.stage(name)), 100 * *latencies.share(name));
  return text;
}

} // namespace mcomp::inline v0::stats
