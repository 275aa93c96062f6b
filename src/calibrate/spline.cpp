#include <algorithm>
#include <cmath>

#include <Eigen/Core>
#include <Eigen/QR>

#include "calibrate/probability_map.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

/// The natural cubic spline basis with knots i / (K - 1) (Hastie, Tibshirani and Friedman, eq. 5.4 and 5.5): linear
/// beyond the outermost knots, K functions.
class NaturalSpline {
 public:
  explicit NaturalSpline(int knots) : knots_(knots) {}

  [[nodiscard]] Eigen::RowVectorXd values(double t) const { return basis(t, false); }
  [[nodiscard]] Eigen::RowVectorXd slopes(double t) const { return basis(t, true); }

 private:
  [[nodiscard]] double knot(int i) const { return static_cast<double>(i) / (knots_ - 1); }
  [[nodiscard]] double truncated(double t, int i, bool slope) const {
    const double u = std::max(0., t - knot(i));
    return slope ? 3 * u * u : u * u * u;
  }
  [[nodiscard]] double d(double t, int i, bool slope) const {
    return (truncated(t, i, slope) - truncated(t, knots_ - 1, slope)) / (knot(knots_ - 1) - knot(i));
  }
  [[nodiscard]] Eigen::RowVectorXd basis(double t, bool slope) const {
    Eigen::RowVectorXd N(knots_);
    N[0] = slope ? 0 : 1;
    N[1] = slope ? 1 : t;
    for (int i = 0; i + 2 < knots_; ++i) N[i + 2] = d(t, i, slope) - d(t, knots_ - 2, slope);
    return N;
  }

  int knots_;
};

} // namespace

Result<MapFit> fit_spline(std::span<const double> scores, std::span<const std::uint8_t> outcomes, int knots) {
  MCOMP_CHECK(detail::check_scores(scores, outcomes));
  if (knots < 3 || knots > 100)
    return Error(ErrorCode::invalid_argument, "knots", fmt::format("3 .. 100 are possible, {} are asked", knots),
                 "take 6, as the paper does");
  if (scores.size() < static_cast<std::size_t>(knots))
    return Error(ErrorCode::insufficient_data, "scores", fmt::format("{} rows for {} knots", scores.size(), knots),
                 "fit on more rows, or take fewer knots");
  const NaturalSpline spline(knots);
  const double n = static_cast<double>(scores.size());
  const std::vector<detail::ScoreGroup> groups = detail::merge_ties(scores, outcomes);
  // Least squares of every row's cumulative fraction; rows of equal score are one, with their weight.
  Eigen::MatrixXd A(static_cast<Eigen::Index>(groups.size()) + 1, knots);
  Eigen::VectorXd h(A.rows());
  A.row(0) = spline.values(0); // no events before the first row
  h[0] = 0;
  double rows = 0, events = 0;
  std::vector<double> middle; // fraction of rows up to the middle of a group
  for (std::size_t g = 0; g < groups.size(); ++g) {
    middle.push_back((rows + groups[g].count / 2) / n);
    rows += groups[g].count, events += groups[g].events;
    const double weight = std::sqrt(groups[g].count);
    const auto row = static_cast<Eigen::Index>(g) + 1;
    A.row(row) = weight * spline.values(rows / n);
    h[row] = weight * events / n;
  }
  const Eigen::VectorXd coefficients = A.colPivHouseholderQr().solve(h);

  constexpr std::size_t most_points = 1024;
  ProbabilityMap map{.kind = ProbabilityMap::Kind::linear};
  map.least = 1 / (n + 2), map.most = 1 - map.least;
  const std::size_t points = std::min(groups.size(), most_points);
  for (std::size_t i = 0; i < points; ++i) {
    const std::size_t g = points == 1 ? 0 : i * (groups.size() - 1) / (points - 1);
    map.x.push_back(groups[g].score);
    map.y.push_back(std::clamp(spline.slopes(middle[g]).dot(coefficients), map.least, map.most));
  }
  return detail::judged(std::move(map), scores, outcomes, knots);
}

} // namespace mcomp::inline v0::calibrate
