#pragma once

// Lower bounds for partial allocations: what the classes that are still open can contribute at best.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "search/state_list.hpp"

namespace mcomp::inline v0::search::detail {

/// An option other than the base, as a difference from the base.
template <std::size_t K> struct CoreOption {
  std::size_t option = 0; ///< in the knapsack
  double loss = 0;
  double reduced = 0; ///< loss + prices . cost, >= 0
  std::array<double, K> cost{};
};

template <std::size_t K> struct CoreClass {
  std::size_t index = 0; ///< in the knapsack
  double rounding = 0;   ///< min(0, least loss + prices . cost): the base is the best option but for rounding
  double size = 0;       ///< the largest change of its price
  std::vector<CoreOption<K>> options{}; ///< the most doubtful first
};

/// Bounds after a level. For any prices mu >= 0 a state cannot end below
/// loss + mu . excess + sum over open classes of min(0, min_o (loss_o + mu . cost_o)).
template <std::size_t K> struct LevelBounds {
  static constexpr std::size_t directions = K <= 2 ? (K == 1 ? 2 : 8) : 2 * K + 2;
  static constexpr std::size_t block = K == 2 ? 8 : 6; ///< of bounds at a time; divides count
  static constexpr std::size_t count = 3 * directions;

  const std::array<double, K>* base = nullptr; ///< the relaxation's prices
  double base_open = 0;                        ///< what open classes contribute at them: 0 but for rounding
  std::array<double, K> least_cost{};          ///< of all open classes together, <= 0
  const std::array<std::array<double, count>, K>* prices = nullptr; ///< by budget
  std::array<double, count> open{};

  /// Whether a state may still become better than the threshold; sets its bound.
  [[nodiscard]] bool admits(State<K>& state, double threshold) const {
    double bound = state.loss + base_open;
    for (std::size_t k = 0; k < K; ++k) bound += (*base)[k] * state.excess[k];
    if (!(bound < threshold)) return false;
    for (std::size_t k = 0; k < K; ++k)
      if (state.excess[k] + least_cost[k] > 0) return false;
    // Four at a time, so that the maximum is no chain of dependent comparisons.
    for (std::size_t j = 0; j < count; j += block) {
      std::array<double, block> other;
      for (std::size_t i = 0; i < block; ++i) other[i] = state.loss + open[j + i];
      for (std::size_t k = 0; k < K; ++k)
        for (std::size_t i = 0; i < block; ++i) other[i] += (*prices)[k][j + i] * state.excess[k];
      for (std::size_t i = 0; i < block; ++i) bound = std::max(bound, other[i]);
      if (!(bound < threshold)) return false;
    }
    state.bound = bound;
    return true;
  }
};

/// The prices of the relaxation are the best for the root; for states that are off the capacities others are better.
/// Which ones depends on how dear it is for the open classes to move, so they are chosen anew every few levels: the
/// relaxation's prices, moved in every direction by 1, 2 and 4 times what the cheapest open class withstands.
template <std::size_t K> class BoundTable {
 public:
  BoundTable(const std::vector<CoreClass<K>>& core, const std::array<double, K>& prices) : base_(prices) {
    levels_.resize(core.size() + 1);
    const std::size_t step = std::max<std::size_t>(8, core.size() / 24 + 1);
    epochs_.resize(core.size() / step + 1);
    for (std::size_t e = 0; e < epochs_.size(); ++e)
      fill_epoch(core, e * step, std::min(core.size() + 1, (e + 1) * step), epochs_[e]);
  }
  BoundTable(const BoundTable&) = delete;
  BoundTable& operator=(const BoundTable&) = delete;

  /// Bounds for states that have decided on the classes 0 .. level.
  [[nodiscard]] const LevelBounds<K>& after(std::size_t level) const { return levels_[level + 1]; }

 private:
  using Level = LevelBounds<K>;
  using Prices = std::array<std::array<double, Level::count>, K>;

  void fill_epoch(const std::vector<CoreClass<K>>& core, std::size_t from, std::size_t to, Prices& prices) {
    choose_prices(core, from, to, prices);
    std::array<double, Level::count> open{};
    std::array<double, K> least_cost{};
    double base_open = 0;
    for (std::size_t level = core.size() + 1; level-- > from;) {
      if (level < core.size()) {
        add_class(core[level], prices, open);
        base_open += core[level].rounding;
        for (std::size_t k = 0; k < K; ++k) {
          double least = 0;
          for (const CoreOption<K>& option : core[level].options) least = std::min(least, option.cost[k]);
          least_cost[k] += least;
        }
      }
      if (level < to) levels_[level] = {&base_, base_open, least_cost, &prices, open};
    }
  }

  static void add_class(const CoreClass<K>& core_class, const Prices& prices, std::array<double, Level::count>& open) {
    for (std::size_t j = 0; j < Level::count; ++j) {
      double least = 0;
      for (const CoreOption<K>& option : core_class.options) {
        double value = option.loss;
        for (std::size_t k = 0; k < K; ++k) value += prices[k][j] * option.cost[k];
        least = std::min(least, value);
      }
      open[j] += least;
    }
  }

  void choose_prices(const std::vector<CoreClass<K>>& core, std::size_t from, std::size_t to, Prices& prices) const {
    std::array<double, K> mean{};
    double options = 0;
    for (std::size_t c = from; c < core.size(); ++c)
      for (const CoreOption<K>& option : core[c].options) {
        ++options;
        for (std::size_t k = 0; k < K; ++k) mean[k] += std::abs(option.cost[k]);
      }
    double withstands = core.empty() ? 0 : core.back().options[0].reduced;
    for (std::size_t c = to; c < core.size(); ++c) withstands = std::min(withstands, core[c].options[0].reduced);
    std::size_t j = 0;
    for (const double scale : {1.0, 2.0, 4.0})
      for (std::size_t d = 0; d < Level::directions; ++d, ++j)
        for (std::size_t k = 0; k < K; ++k) {
          const double move = mean[k] > 0 ? scale * withstands * options / mean[k] : 0;
          prices[k][j] = std::max(0.0, base_[k] + direction(d, k) * move);
        }
  }

  /// All of {-1, 0, 1}^K but 0 for one and two budgets; the axes and the diagonal for more.
  static double direction(std::size_t d, std::size_t k) {
    if constexpr (K == 1) return d == 0 ? 1 : -1;
    if constexpr (K == 2) {
      const std::size_t cell = d < 4 ? d : d + 1;
      return static_cast<double>(k == 0 ? cell % 3 : cell / 3) - 1;
    }
    if (d >= 2 * K) return d % 2 == 0 ? 1 : -1;
    return d / 2 == k ? (d % 2 == 0 ? 1 : -1) : 0;
  }

  std::array<double, K> base_;
  std::vector<Level> levels_{};
  std::vector<Prices> epochs_{};
};

} // namespace mcomp::inline v0::search::detail
