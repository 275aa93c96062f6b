#include "quant/kmeans.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace mcomp::inline v0::quant::detail {

namespace {

/// Costs of making points [i, j) one cluster, from running sums.
class Clusters {
 public:
  explicit Clusters(std::span<const WeightedPoint> points)
      : weight_(points.size() + 1), first_(weight_), second_(weight_) {
    // Around the middle of the points, so that the difference of large sums loses less.
    origin_ = points.empty() ? 0 : points[points.size() / 2].x;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const double x = points[i].x - origin_, w = points[i].weight;
      weight_[i + 1] = weight_[i] + w;
      first_[i + 1] = first_[i] + w * x;
      second_[i + 1] = second_[i] + w * x * x;
    }
  }
  double cost(std::size_t begin, std::size_t end) const {
    const double w = weight_[end] - weight_[begin], s = first_[end] - first_[begin];
    return std::max(0.0, second_[end] - second_[begin] - s * s / w);
  }
  double centre(std::size_t begin, std::size_t end) const {
    return origin_ + (first_[end] - first_[begin]) / (weight_[end] - weight_[begin]);
  }

 private:
  double origin_ = 0;
  std::vector<double> weight_, first_, second_;
};

/// One more cluster: best[j] = min over i < j of before[i] + cost(i, j), where the best i grows with j, so that halving
/// the range of j halves the range of i.
void add_cluster(const Clusters& clusters, const std::vector<double>& before, std::vector<double>& best,
                 std::vector<std::uint32_t>& cut, std::size_t low, std::size_t high, std::size_t cut_low,
                 std::size_t cut_high) {
  while (low <= high) {
    const std::size_t j = low + (high - low) / 2;
    double least = std::numeric_limits<double>::infinity();
    std::size_t where = cut_low;
    for (std::size_t i = cut_low; i <= std::min(cut_high, j - 1); ++i) {
      const double cost = before[i] + clusters.cost(i, j);
      if (cost < least) least = cost, where = i;
    }
    best[j] = least;
    cut[j] = static_cast<std::uint32_t>(where);
    if (j > low) add_cluster(clusters, before, best, cut, low, j - 1, cut_low, where);
    low = j + 1;
    cut_low = where;
  }
}

} // namespace

std::vector<double> optimal_centres(std::span<const WeightedPoint> points, std::size_t clusters) {
  const std::size_t n = points.size();
  if (n <= clusters) {
    std::vector<double> all;
    for (const WeightedPoint& p : points) all.push_back(p.x);
    return all;
  }
  const Clusters sums(points);
  std::vector<double> best(n + 1, std::numeric_limits<double>::infinity()), before;
  std::vector<std::vector<std::uint32_t>> cuts(clusters, std::vector<std::uint32_t>(n + 1, 0));
  best[0] = 0;
  for (std::size_t j = 1; j <= n; ++j) best[j] = sums.cost(0, j);
  for (std::size_t k = 1; k < clusters; ++k) {
    before = best;
    add_cluster(sums, before, best, cuts[k], k + 1, n, k, n - 1);
  }
  std::vector<double> centres(clusters);
  std::size_t end = n;
  for (std::size_t k = clusters; k-- > 0;) {
    const std::size_t begin = k == 0 ? 0 : cuts[k][end];
    centres[k] = sums.centre(begin, end);
    end = begin;
  }
  return centres;
}

} // namespace mcomp::inline v0::quant::detail
