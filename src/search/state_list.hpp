#pragma once

// Lists of partial allocations, sorted by cost: merging, dominance and truncation.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace mcomp::inline v0::search::detail {

/// A partial allocation, as a difference from the base.
template <std::size_t K> struct State {
  static constexpr std::int32_t dropped = -2;

  double loss = 0;
  std::array<double, K> excess{}; ///< of the costs over the capacities, whole numbers
  double bound = 0;               ///< no completion has a smaller loss
  std::int32_t link = -1;         ///< its last change that is recorded

  [[nodiscard]] bool fits() const {
    return std::all_of(excess.begin(), excess.end(), [](double e) { return e <= 0; });
  }
  friend bool operator<(const State& a, const State& b) {
    for (std::size_t k = 0; k < K; ++k)
      if (a.excess[k] != b.excess[k]) return a.excess[k] < b.excess[k];
    return a.loss < b.loss;
  }
};

/// Working memory of keep_undominated.
struct Dominance {
  std::vector<double> tree{};
};

/// Removes states that another one of no more cost in any budget and no more loss makes superfluous: all of them for
/// one budget, nearly all for two, some for more. `states` are sorted.
template <std::size_t K> void keep_undominated(std::vector<State<K>>& states, Dominance& memory) {
  std::size_t kept = 0;
  if constexpr (K == 1) {
    double least = std::numeric_limits<double>::infinity();
    for (const State<K>& state : states)
      if (state.loss < least) {
        least = state.loss;
        states[kept++] = state;
      }
  } else if constexpr (K == 2) {
    // Sorted by the first cost, a state is dominated by an earlier one of less second cost and loss: a Fenwick tree
    // over the second cost, cut into cells, holds the least loss up to each cell.
    constexpr std::size_t cells = 1024;
    if (states.size() < 2) return;
    double low = states[0].excess[1], high = low;
    for (const State<K>& state : states) {
      low = std::min(low, state.excess[1]);
      high = std::max(high, state.excess[1]);
    }
    const double scale = high > low ? (static_cast<double>(cells) - 1) / (high - low) : 0;
    memory.tree.assign(cells + 1, std::numeric_limits<double>::infinity());
    std::array<State<K>, cells> last;
    for (State<K>& entry : last) entry.loss = std::numeric_limits<double>::infinity();
    for (const State<K>& state : states) {
      const auto cell = static_cast<std::size_t>((state.excess[1] - low) * scale);
      double least = std::numeric_limits<double>::infinity();
      for (std::size_t c = cell; c > 0; c &= c - 1) least = std::min(least, memory.tree[c]);
      if (least <= state.loss) continue;
      State<K>& same = last[cell];
      if (same.loss <= state.loss && same.excess[1] <= state.excess[1]) continue;
      if (state.loss < same.loss) same = state;
      for (std::size_t c = cell + 1; c <= cells; c += c & (~c + 1))
        memory.tree[c] = std::min(memory.tree[c], state.loss);
      states[kept++] = state;
    }
  } else {
    constexpr std::size_t neighbours = 24;
    for (const State<K>& state : states) {
      bool dominated = false;
      for (std::size_t n = kept > neighbours ? kept - neighbours : 0; n < kept && !dominated; ++n) {
        dominated = states[n].loss <= state.loss;
        for (std::size_t k = 1; k < K; ++k) dominated = dominated && states[n].excess[k] <= state.excess[k];
      }
      if (!dominated) states[kept++] = state;
    }
  }
  states.resize(kept);
}

/// Keeps the `width` states of least bound, of equal ones those that are nearest to the capacities; returns the least
/// bound among those that it drops, or infinity.
template <std::size_t K>
double keep_best(std::vector<State<K>>& states, std::size_t width, const std::array<double, K>& prices) {
  if (states.size() <= width) return std::numeric_limits<double>::infinity();
  struct Rank {
    double bound;
    double distance;
    std::size_t index;
  };
  std::vector<Rank> ranks;
  ranks.reserve(states.size());
  for (std::size_t s = 0; s < states.size(); ++s) {
    double distance = 0;
    for (std::size_t k = 0; k < K; ++k) distance += prices[k] * std::abs(states[s].excess[k]);
    ranks.push_back({states[s].bound, distance, s});
  }
  const auto nth = ranks.begin() + static_cast<std::ptrdiff_t>(width);
  std::nth_element(ranks.begin(), nth, ranks.end(), [](const Rank& a, const Rank& b) {
    if (a.bound != b.bound) return a.bound < b.bound;
    if (a.distance != b.distance) return a.distance < b.distance;
    return a.index < b.index;
  });
  double least_dropped = std::numeric_limits<double>::infinity();
  for (auto dropped = nth; dropped != ranks.end(); ++dropped) {
    least_dropped = std::min(least_dropped, dropped->bound);
    states[dropped->index].link = State<K>::dropped;
  }
  std::erase_if(states, [](const State<K>& state) { return state.link == State<K>::dropped; });
  return least_dropped;
}

} // namespace mcomp::inline v0::search::detail
