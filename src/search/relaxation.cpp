#include "search/relaxation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mcomp::inline v0::search::detail {

namespace {

constexpr std::size_t max_rows = max_budgets + 1;
using Row = std::array<double, max_rows>;

/// A column of the master problem: what it costs and, per row, how much of it it takes. The last row is convexity.
struct Column {
  double loss = 0;
  Row takes{};
};

/// Solves the square system a x = b by elimination with row pivoting; false where it is singular.
bool solve(std::array<Row, max_rows> a, Row b, std::size_t n, Row& x) {
  for (std::size_t p = 0; p < n; ++p) {
    std::size_t pivot = p;
    for (std::size_t r = p + 1; r < n; ++r)
      if (std::abs(a[r][p]) > std::abs(a[pivot][p])) pivot = r;
    if (std::abs(a[pivot][p]) < 1e-14) return false;
    std::swap(a[p], a[pivot]);
    std::swap(b[p], b[pivot]);
    for (std::size_t r = p + 1; r < n; ++r) {
      const double factor = a[r][p] / a[p][p];
      for (std::size_t c = p; c < n; ++c) a[r][c] -= factor * a[p][c];
      b[r] -= factor * b[p];
    }
  }
  for (std::size_t p = n; p-- > 0;) {
    double sum = b[p];
    for (std::size_t c = p + 1; c < n; ++c) sum -= a[p][c] * x[c];
    x[p] = sum / a[p][p];
  }
  return true;
}

/// The master problem. Costs are measured in capacities here and losses in the largest loss, so that all is near 1.
class Master {
 public:
  explicit Master(const Knapsack& knapsack) : knapsack_(knapsack), rows_(knapsack.budgets + 1) {
    for (std::size_t k = 0; k < knapsack.budgets; ++k) {
      double largest = 0;
      for (std::size_t o = 0; o < knapsack.losses.size(); ++o) largest = std::max(largest, knapsack.cost(o)[k]);
      unit_[k] = std::max({knapsack.capacity[k], largest, 1.0});
      right_[k] = knapsack.capacity[k] / unit_[k];
    }
    right_[knapsack.budgets] = 1;
    double range = 0;
    for (std::size_t i = 0; i < knapsack.classes(); ++i) {
      double low = knapsack.losses[knapsack.first[i]], high = low;
      for (std::size_t o = knapsack.first[i]; o < knapsack.first[i + 1]; ++o) {
        low = std::min(low, knapsack.losses[o]);
        high = std::max(high, knapsack.losses[o]);
      }
      offset_.push_back(low);
      range += high - low;
    }
    loss_unit_ = range > 0 ? range : 1;
    options_.resize(knapsack.classes());
  }

  Relaxation solve_relaxation() {
    for (double penalty = 100; penalty < 1e9; penalty *= 1000) {
      start(penalty);
      iterate(penalty);
      if (!artificial_in_use()) break;
      if (prove_infeasible()) return {.infeasible = true};
    }
    Relaxation result{.prices = {}, .base = {}, .infeasible = false};
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) result.prices[k] = best_[k] * loss_unit_ / unit_[k];
    (void)price(best_, 1);
    center();
    result.base = options_;
    return result;
  }

 private:
  /// The column of least loss + prices . cost, into options_ too. @param losses 0 looks at the costs alone
  Column price(const Row& prices, double losses) {
    PerBudget<double> scaled{};
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) scaled[k] = prices[k] * loss_unit_ / unit_[k];
    Column column;
    for (std::size_t i = 0; i < knapsack_.classes(); ++i) {
      std::size_t best = knapsack_.first[i];
      double least = std::numeric_limits<double>::infinity();
      for (std::size_t o = knapsack_.first[i]; o < knapsack_.first[i + 1]; ++o) {
        double value = losses * (knapsack_.losses[o] - offset_[i]);
        for (std::size_t k = 0; k < knapsack_.budgets; ++k) value += scaled[k] * knapsack_.cost(o)[k];
        if (value < least) {
          least = value;
          best = o;
        }
      }
      options_[i] = best;
      column.loss += losses * (knapsack_.losses[best] - offset_[i]) / loss_unit_;
      for (std::size_t k = 0; k < knapsack_.budgets; ++k) column.takes[k] += knapsack_.cost(best)[k] / unit_[k];
    }
    column.takes[knapsack_.budgets] = 1;
    return column;
  }

  /// Of options that are equally good at the best prices takes those that bring the totals near the capacities: all
  /// others would do for the bound, but a search that starts there has far to go.
  void center() {
    constexpr double equal = 1e-12;
    PerBudget<double> excess{};
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) excess[k] = -right_[k];
    for (const std::size_t o : options_)
      for (std::size_t k = 0; k < knapsack_.budgets; ++k) excess[k] += knapsack_.cost(o)[k] / unit_[k];
    for (std::size_t i = 0; i < options_.size(); ++i) {
      const double least = value_of(options_[i], i);
      for (std::size_t o = knapsack_.first[i]; o < knapsack_.first[i + 1]; ++o) {
        if (value_of(o, i) > least + equal) continue;
        PerBudget<double> after = excess;
        double before_sum = 0, after_sum = 0;
        for (std::size_t k = 0; k < knapsack_.budgets; ++k) {
          after[k] += (knapsack_.cost(o)[k] - knapsack_.cost(options_[i])[k]) / unit_[k];
          before_sum += std::abs(excess[k]);
          after_sum += std::abs(after[k]);
        }
        if (!(after_sum < before_sum)) continue;
        options_[i] = o;
        excess = after;
      }
    }
  }

  /// Loss and price of an option at the best prices, in units of loss_unit_.
  [[nodiscard]] double value_of(std::size_t option, std::size_t i) const {
    double value = (knapsack_.losses[option] - offset_[i]) / loss_unit_;
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) value += best_[k] * knapsack_.cost(option)[k] / unit_[k];
    return value;
  }

  /// Basis: the choice of least loss, and for every budget its slack or, where that choice exceeds it, an artificial
  /// column that pays `penalty` for the excess.
  void start(double penalty) {
    const Column first = price(Row{}, 1);
    basis_.assign(rows_, Column{});
    artificial_.assign(rows_, false);
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) {
      artificial_[k] = first.takes[k] > right_[k];
      basis_[k].takes[k] = artificial_[k] ? -1 : 1;
      basis_[k].loss = artificial_[k] ? penalty : 0;
    }
    basis_.back() = first;
    best_bound_ = -std::numeric_limits<double>::infinity();
  }

  [[nodiscard]] bool solve_rows(const Row& right, Row& x) const {
    std::array<Row, max_rows> a{};
    for (std::size_t c = 0; c < rows_; ++c)
      for (std::size_t r = 0; r < rows_; ++r) a[r][c] = basis_[c].takes[r];
    return solve(a, right, rows_, x);
  }

  /// Duals of the rows: negative prices for the budgets, the value of convexity.
  [[nodiscard]] bool solve_duals(Row& duals) const {
    std::array<Row, max_rows> a{};
    Row losses{};
    for (std::size_t c = 0; c < rows_; ++c) {
      a[c] = basis_[c].takes;
      losses[c] = basis_[c].loss;
    }
    return solve(a, losses, rows_, duals);
  }

  void iterate(double penalty) {
    constexpr int most_iterations = 2000;
    for (int iteration = 0; iteration < most_iterations; ++iteration) {
      Row duals{};
      if (!solve_duals(duals)) return;
      Column entering;
      if (!entering_column(duals, penalty, entering)) return;
      if (!pivot(entering)) return;
    }
  }

  bool entering_column(const Row& duals, double penalty, Column& entering) {
    constexpr double tolerance = 1e-13;
    Row prices{};
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) {
      prices[k] = -duals[k];
      if (prices[k] < -tolerance) { // the slack of a budget that seems to have a negative price
        entering = {};
        entering.takes[k] = 1;
        return true;
      }
      prices[k] = std::clamp(prices[k], 0.0, penalty);
    }
    entering = price(prices, 1);
    double bound = entering.loss;
    double reduced = entering.loss - duals[knapsack_.budgets];
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) {
      bound += prices[k] * (entering.takes[k] - right_[k]);
      reduced += prices[k] * entering.takes[k];
    }
    if (bound > best_bound_) {
      best_bound_ = bound;
      best_ = prices;
    }
    return reduced < -tolerance;
  }

  bool pivot(const Column& entering) {
    Row values{}, direction{};
    if (!solve_rows(right_, values) || !solve_rows(entering.takes, direction)) return false;
    std::size_t leaving = rows_;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t r = 0; r < rows_; ++r) {
      if (direction[r] < 1e-12) continue;
      const double ratio = std::max(values[r], 0.0) / direction[r];
      if (ratio < least) {
        least = ratio;
        leaving = r;
      }
    }
    if (leaving == rows_) return false;
    basis_[leaving] = entering;
    artificial_[leaving] = false;
    return true;
  }

  [[nodiscard]] bool artificial_in_use() const {
    Row values{};
    if (!solve_rows(right_, values)) return true;
    for (std::size_t r = 0; r < rows_; ++r)
      if (artificial_[r] && values[r] > 1e-12) return true;
    return false;
  }

  /// Whether some prices make even the cheapest choice dearer than all capacities together: then none is within them.
  bool prove_infeasible() {
    const Column cheapest = price(best_, 0);
    double excess = 0, magnitude = 0;
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) {
      excess += best_[k] * (cheapest.takes[k] - right_[k]);
      magnitude += best_[k] * (cheapest.takes[k] + right_[k]);
    }
    return excess > 1e-9 * magnitude;
  }

  const Knapsack& knapsack_;
  std::size_t rows_;
  PerBudget<double> unit_{};
  Row right_{};
  double loss_unit_ = 1;
  std::vector<double> offset_{};
  std::vector<std::size_t> options_{};
  std::vector<Column> basis_{};
  std::vector<bool> artificial_{};
  Row best_{};
  double best_bound_ = 0;
};

} // namespace

Relaxation relax(const Knapsack& knapsack) {
  return Master(knapsack).solve_relaxation();
}

} // namespace mcomp::inline v0::search::detail
