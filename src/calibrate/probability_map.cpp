#include "calibrate/probability_map.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace detail {

double log_score(double score) noexcept {
  return std::log(std::clamp(score, 1e-38, 1.0));
}
double log_complement(double score) noexcept {
  return std::log1p(-std::clamp(score, 0.0, 1 - 0x1p-53));
}

Status check_scores(std::span<const double> scores, std::span<const std::uint8_t> outcomes) {
  if (scores.size() != outcomes.size())
    return Error(ErrorCode::invalid_shape, "scores",
                 fmt::format("{} scores and {} outcomes: the numbers must agree", scores.size(), outcomes.size()),
                 "pass both for the same rows");
  if (scores.empty()) return Error(ErrorCode::insufficient_data, "scores", "there are no rows", "pass at least one");
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (!(scores[i] >= 0 && scores[i] <= 1 + 1e-12))
      return Error(ErrorCode::invalid_value, "scores", fmt::format("score {} is {}, outside [0, 1]", i, scores[i]),
                   "pass probabilities");
  return {};
}

MapFit judged(ProbabilityMap map, std::span<const double> scores, std::span<const std::uint8_t> outcomes,
              std::int64_t parameters) {
  MapFit fit{.map = std::move(map)};
  fit.report.count = static_cast<std::int64_t>(scores.size());
  fit.report.parameters = parameters;
  fit.report.optimum_reached = true;
  const double n = static_cast<double>(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double y = outcomes[i] != 0, before = std::min(scores[i], 1.0), after = fit.map(scores[i]);
    fit.report.nll_before -= (y != 0 ? std::log(before) : std::log1p(-before)) / n;
    fit.report.nll_after -= (y != 0 ? std::log(after) : std::log1p(-after)) / n;
    fit.mse_before += (before - y) * (before - y) / n;
    fit.mse_after += (after - y) * (after - y) / n;
  }
  return fit;
}

std::vector<ScoreGroup> merge_ties(std::span<const double> scores, std::span<const std::uint8_t> outcomes) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  std::vector<ScoreGroup> groups;
  for (const std::size_t i : order) {
    if (groups.empty() || groups.back().score != scores[i]) groups.push_back({.score = scores[i]});
    ++groups.back().count;
    groups.back().events += outcomes[i] != 0;
  }
  return groups;
}

std::vector<std::size_t> equal_mass_ends(std::span<const ScoreGroup> groups, std::size_t bins) {
  double total = 0, before = 0;
  for (const ScoreGroup& group : groups) total += group.count;
  std::vector<std::size_t> ends;
  double next = 1;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    before += groups[g].count;
    if (before * static_cast<double>(bins) < next * total) continue;
    ends.push_back(g + 1);
    next = std::floor(before * static_cast<double>(bins) / total) + 1;
  }
  if (ends.empty() || ends.back() != groups.size()) ends.push_back(groups.size());
  return ends;
}

} // namespace detail

double ProbabilityMap::operator()(double score) const noexcept {
  if (std::isnan(score)) return score;
  double value = 0;
  switch (kind) {
  case Kind::logistic:
    value = 1 / (1 + std::exp(-(c + a * detail::log_score(score) - b * detail::log_complement(score))));
    break;
  case Kind::linear: {
    const auto above = std::upper_bound(x.begin(), x.end(), score);
    if (above == x.begin())
      value = y.front();
    else if (above == x.end())
      value = y.back();
    else {
      const auto j = static_cast<std::size_t>(above - x.begin());
      value = y[j - 1] + (y[j] - y[j - 1]) * (score - x[j - 1]) / (x[j] - x[j - 1]);
    }
    break;
  }
  case Kind::constant: {
    const auto at_least = std::lower_bound(x.begin() + 1, x.end() - 1, score);
    value = y[static_cast<std::size_t>(at_least - x.begin()) - 1];
    break;
  }
  }
  return std::clamp(value, least, most);
}

std::string to_string(const ProbabilityMap& map) {
  if (map.kind == ProbabilityMap::Kind::logistic)
    return fmt::format("logit {:.4g} {:+.4g} log x {:+.4g} log(1 - x)", map.c, map.a, -map.b);
  return map.kind == ProbabilityMap::Kind::linear ? fmt::format("linear between {} points", map.x.size())
                                                  : fmt::format("{} bins", map.y.size());
}

std::string to_string(const MapFit& fit) {
  return fmt::format("{}: {}; mean squared error {:.4f} -> {:.4f}", fit.map, fit.report, fit.mse_before, fit.mse_after);
}

std::string to_string(Binning binning) {
  return binning == Binning::equal_width ? "equal_width" : "equal_mass";
}

} // namespace mcomp::inline v0::calibrate
