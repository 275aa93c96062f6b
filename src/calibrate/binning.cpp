// Maps that are constant on bins: histogram binning, Bayesian binning into quantiles, scaling-binning.

#include <algorithm>
#include <cmath>
#include <limits>

#include "calibrate/labelled_rows.hpp"
#include "calibrate/probability_map.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

/// Borders 0 = x_0 < ... = 1 of equal-mass bins, halfway between the scores of neighbouring groups.
std::vector<double> equal_mass_borders(std::span<const detail::ScoreGroup> groups, std::size_t bins) {
  std::vector<double> borders{0};
  const std::vector<std::size_t> ends = detail::equal_mass_ends(groups, bins);
  for (std::size_t b = 0; b + 1 < ends.size(); ++b) {
    const double below = groups[ends[b] - 1].score, middle = below + (groups[ends[b]].score - below) / 2;
    borders.push_back(middle < groups[ends[b]].score ? middle : below);
  }
  borders.push_back(1);
  return borders;
}

struct BinSums {
  double count = 0, events = 0, score = 0;
};

std::vector<BinSums> sum_bins(std::span<const double> borders, std::span<const detail::ScoreGroup> groups) {
  std::vector<BinSums> sums(borders.size() - 1);
  std::size_t b = 0;
  for (const detail::ScoreGroup& group : groups) {
    while (b + 1 < sums.size() && group.score > borders[b + 1]) ++b;
    sums[b].count += group.count;
    sums[b].events += group.events;
    sums[b].score += group.count * group.score;
  }
  return sums;
}

} // namespace

Result<MapFit> fit_histogram(std::span<const double> scores, std::span<const std::uint8_t> outcomes,
                             const HistogramOptions& options) {
  MCOMP_CHECK(detail::check_scores(scores, outcomes));
  MCOMP_CHECK(detail::check_bins(options.bins));
  if (!(options.pseudo_count >= 0 && options.pseudo_count <= 1e15))
    return Error(ErrorCode::invalid_argument, "pseudo_count",
                 fmt::format("it must be at least 0, it is {}", options.pseudo_count), "leave it at 1");
  const std::vector<detail::ScoreGroup> groups = detail::merge_ties(scores, outcomes);
  ProbabilityMap map{.kind = ProbabilityMap::Kind::constant};
  if (options.binning == Binning::equal_mass)
    map.x = equal_mass_borders(groups, static_cast<std::size_t>(options.bins));
  else
    for (int b = 0; b <= options.bins; ++b) map.x.push_back(static_cast<double>(b) / options.bins);
  const std::vector<BinSums> sums = sum_bins(map.x, groups);
  for (std::size_t b = 0; b < sums.size(); ++b) {
    const double middle = (map.x[b] + map.x[b + 1]) / 2;
    const double prior = sums[b].count > 0 ? sums[b].score / sums[b].count : middle;
    const double weight = sums[b].count + options.pseudo_count;
    map.y.push_back(weight > 0 ? (sums[b].events + options.pseudo_count * prior) / weight : middle);
  }
  const auto bins = static_cast<std::int64_t>(map.y.size());
  MapFit fit = detail::judged(std::move(map), scores, outcomes, bins);
  fit.blocks = bins;
  return fit;
}

Result<MapFit> fit_bbq(std::span<const double> scores, std::span<const std::uint8_t> outcomes) {
  MCOMP_CHECK(detail::check_scores(scores, outcomes));
  constexpr double strength = 2, range = 10;
  const std::vector<detail::ScoreGroup> groups = detail::merge_ties(scores, outcomes);
  const double root = std::cbrt(static_cast<double>(scores.size()));
  const auto fewest = static_cast<std::size_t>(std::max(1., std::floor(root / range)));
  const auto most = std::min(static_cast<std::size_t>(std::ceil(root * range)), groups.size());

  struct Model {
    ProbabilityMap map{.kind = ProbabilityMap::Kind::constant};
    double log_score = 0;
  };
  std::vector<Model> models;
  double best = -std::numeric_limits<double>::infinity();
  for (std::size_t bins = fewest; bins <= std::max(fewest, most); ++bins) {
    Model model;
    model.map.x = equal_mass_borders(groups, bins);
    if (!models.empty() && models.back().map.x.size() == model.map.x.size()) continue; // ties leave no more bins
    const std::vector<BinSums> sums = sum_bins(model.map.x, groups);
    const double share = strength / static_cast<double>(sums.size());
    for (std::size_t b = 0; b < sums.size(); ++b) {
      const double p = std::clamp((model.map.x[b] + model.map.x[b + 1]) / 2, 1e-6, 1 - 1e-6);
      const double alpha = share * p, beta = share * (1 - p), m = sums[b].events, n = sums[b].count;
      int sign = 0; // the re-entrant lgamma: std::lgamma writes a global
      const auto log_gamma = [&sign](double v) { return ::lgamma_r(v, &sign); };
      model.log_score += log_gamma(share) - log_gamma(n + share) + log_gamma(m + alpha) - log_gamma(alpha) +
                         log_gamma(n - m + beta) - log_gamma(beta);
      model.map.y.push_back((m + alpha) / (n + share));
    }
    best = std::max(best, model.log_score);
    models.push_back(std::move(model));
  }
  // The average is constant between all borders of the models that count.
  ProbabilityMap map{.kind = ProbabilityMap::Kind::constant};
  double total = 0;
  for (const Model& model : models) {
    total += std::exp(model.log_score - best);
    if (model.log_score - best > -40) map.x.insert(map.x.end(), model.map.x.begin(), model.map.x.end());
  }
  std::sort(map.x.begin(), map.x.end());
  map.x.erase(std::unique(map.x.begin(), map.x.end()), map.x.end());
  for (std::size_t b = 0; b + 1 < map.x.size(); ++b) {
    double sum = 0;
    for (const Model& model : models) sum += std::exp(model.log_score - best) / total * model.map(map.x[b + 1]);
    map.y.push_back(sum);
  }
  const auto bins = static_cast<std::int64_t>(map.y.size());
  MapFit fit = detail::judged(std::move(map), scores, outcomes, bins);
  fit.blocks = bins;
  return fit;
}

Result<MapFit> fit_scaling_binning(std::span<const double> scores, std::span<const std::uint8_t> outcomes, int bins) {
  MCOMP_CHECK(detail::check_scores(scores, outcomes));
  MCOMP_CHECK(detail::check_bins(bins));
  if (scores.size() < 4)
    return Error(ErrorCode::insufficient_data, "scores", fmt::format("4 rows are needed, there are {}", scores.size()),
                 "fit on more");
  std::vector<double> scaling_scores, binning_scores;
  std::vector<std::uint8_t> scaling_outcomes, binning_outcomes;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    (i % 2 == 0 ? scaling_scores : binning_scores).push_back(scores[i]);
    (i % 2 == 0 ? scaling_outcomes : binning_outcomes).push_back(outcomes[i]);
  }
  MCOMP_TRY(scaling, fit_platt(scaling_scores, scaling_outcomes));
  const std::vector<detail::ScoreGroup> groups = detail::merge_ties(binning_scores, binning_outcomes);
  ProbabilityMap map{.kind = ProbabilityMap::Kind::constant};
  map.x = equal_mass_borders(groups, static_cast<std::size_t>(bins));
  std::size_t g = 0;
  for (std::size_t b = 0; b + 1 < map.x.size(); ++b) {
    double sum = 0, count = 0;
    for (; g < groups.size() && (groups[g].score <= map.x[b + 1] || b + 2 == map.x.size()); ++g) {
      sum += groups[g].count * scaling.map(groups[g].score);
      count += groups[g].count;
    }
    map.y.push_back(sum / count); // equal-mass bins hold at least one score
  }
  const auto count = static_cast<std::int64_t>(map.y.size());
  MapFit fit = detail::judged(std::move(map), scores, outcomes, count + 2);
  fit.report.gradient_norm = scaling.report.gradient_norm;
  fit.report.iterations = scaling.report.iterations;
  fit.blocks = count;
  return fit;
}

} // namespace mcomp::inline v0::calibrate
