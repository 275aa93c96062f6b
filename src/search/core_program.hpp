#pragma once

// One round of the dynamic program over the core, for K budgets. All losses and costs are differences from the base,
// the choice that is best at the prices of the relaxation, so that nothing is lost in large sums.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "search/bound_table.hpp"
#include "search/core_search.hpp"
#include "search/state_list.hpp"

namespace mcomp::inline v0::search::detail {

struct Round {
  bool complete = false; ///< no partial allocation was dropped for want of room or nodes
  /// No allocation below it exists, relative to the base, but those at or above the best one.
  double lower_bound = 0;
};

/// The largest number that all differences of losses within a class are multiples of; 0 where doubles do not tell.
inline double step_of_losses(const Knapsack& knapsack) {
  double largest = 0;
  for (const double loss : knapsack.losses) largest = std::max(largest, std::abs(loss));
  if (largest == 0) return 0;
  const int exponent = std::min(52 - std::ilogb(largest), 1000);
  std::int64_t divisor = 0;
  for (std::size_t i = 0; i < knapsack.classes(); ++i)
    for (std::size_t o = knapsack.first[i]; o < knapsack.first[i + 1]; ++o) {
      const double scaled = std::ldexp(knapsack.losses[o], exponent);
      if (scaled != std::nearbyint(scaled)) return 0;
      divisor =
          std::gcd(divisor, static_cast<std::int64_t>(scaled) -
                                static_cast<std::int64_t>(std::ldexp(knapsack.losses[knapsack.first[i]], exponent)));
    }
  return std::ldexp(static_cast<double>(divisor), -exponent);
}

template <std::size_t K> class CoreProgram {
 public:
  CoreProgram(const Knapsack& knapsack, const Relaxation& relaxation) : knapsack_(knapsack), base_(relaxation.base) {
    for (std::size_t k = 0; k < K; ++k) {
      prices_[k] = relaxation.prices[k];
      excess_[k] = -knapsack.capacity[k];
    }
    ExactSum loss, magnitude;
    for (const std::size_t o : base_) {
      loss.add(knapsack.losses[o]);
      magnitude.add(std::abs(knapsack.losses[o]));
      for (std::size_t k = 0; k < K; ++k) excess_[k] += knapsack.cost(o)[k];
    }
    base_loss_ = loss.value();
    double scale = magnitude.value();
    for (std::size_t k = 0; k < K; ++k) {
      root_bound_ += prices_[k] * excess_[k];
      scale += prices_[k] * knapsack.capacity[k];
    }
    resolution_ = std::ldexp(scale, -50);
    step_ = step_of_losses(knapsack);
    collect_doubts();
  }

  [[nodiscard]] double base_loss() const noexcept { return base_loss_; }
  [[nodiscard]] double root_bound() const noexcept { return root_bound_; }
  /// By how much a better allocation must be better: by a step of the losses, where all are multiples of one.
  [[nodiscard]] double improvement() const noexcept { return std::max(resolution_, step_ - resolution_); }
  /// What the rounding of sums may amount to.
  [[nodiscard]] double resolution() const noexcept { return resolution_; }
  [[nodiscard]] std::int64_t nodes() const noexcept { return nodes_; }
  [[nodiscard]] bool has_best() const noexcept { return !best_options_.empty(); }
  [[nodiscard]] double best() const noexcept { return best_; }
  [[nodiscard]] const std::vector<std::size_t>& best_options() const noexcept { return best_options_; }

  /// Takes a choice within the capacities as the best so far, where it is better.
  void offer(const std::vector<std::size_t>& options) {
    ExactSum loss;
    for (std::size_t i = 0; i < options.size(); ++i)
      loss.add(knapsack_.losses[options[i]] - knapsack_.losses[base_[i]]);
    if (options.empty() || (has_best() && loss.value() >= best_)) return;
    best_ = loss.value();
    best_options_ = options;
  }

  /// The best choice with its most doubtful class but `rank` changed to the most doubtful other option; false where
  /// there are no more classes.
  bool kick(std::size_t rank, std::vector<std::size_t>& options) const {
    if (rank >= doubts_.size()) return false;
    options = best_options_;
    const CoreClass<K>& doubt = doubts_[rank];
    const std::size_t changed = doubt.options[0].option;
    options[doubt.index] = options[doubt.index] == changed ? base_[doubt.index] : changed;
    return true;
  }

  /// The bound below which `wanted` options are in doubt; infinite where there are no more.
  [[nodiscard]] double threshold_of(std::size_t wanted) const {
    return wanted < reduced_losses_.size() ? root_bound_ + reduced_losses_[wanted]
                                           : std::numeric_limits<double>::infinity();
  }

  /// Looks at all allocations whose bound is below `threshold` and below `cutoff()`, which falls with the best one.
  /// @param width at most so many partial allocations are kept, those of least bound
  Round round(double threshold, std::size_t width, std::int64_t node_limit, const CancellationToken& cancellation,
              const std::function<double()>& cutoff) {
    threshold_ = has_best() ? std::min(threshold, cutoff()) : threshold;
    const std::vector<CoreClass<K>> core = core_below(threshold_);
    const BoundTable<K> bounds(core, prices_);
    links_.clear();
    states_.assign(1, State<K>{0, excess_, root_bound_, no_link});
    reduced_.assign(1, root_bound_);
    sorted_ = 1;
    rest_ = 0;
    dropped_ = std::numeric_limits<double>::infinity();
    std::size_t tidied = 0;
    for (std::size_t level = 0; level < core.size() && !states_.empty(); ++level) {
      if (nodes_ >= node_limit || cancellation.cancelled())
        return {false, std::min({threshold_, dropped_, least_bound()})};
      expand(core[level], bounds.after(level), room_a_width * width, cutoff);
      // Going over all states costs more than it saves where few are new. For one budget dominance saves most.
      if (K > 1 && states_.size() - sorted_ < sorted_ / 2 && level - tidied < 12) continue;
      tidy(bounds.after(level), width);
      tidied = level;
    }
    return {dropped_ >= threshold_, std::min(threshold_, dropped_)};
  }

 private:
  static constexpr std::int32_t no_link = -1;
  struct Link {
    std::int32_t parent;
    std::uint32_t option; ///< of the knapsack
    std::uint32_t index;  ///< its class
  };

  /// Options other than the base by their reduced losses, the most doubtful class first.
  void collect_doubts() {
    for (std::size_t i = 0; i < base_.size(); ++i) {
      CoreClass<K> doubt{.index = i};
      const std::size_t b = base_[i];
      for (std::size_t o = knapsack_.first[i]; o < knapsack_.first[i + 1]; ++o) {
        if (o == b) continue;
        CoreOption<K> option{.option = o, .loss = knapsack_.losses[o] - knapsack_.losses[b]};
        option.reduced = option.loss;
        for (std::size_t k = 0; k < K; ++k) {
          option.cost[k] = knapsack_.cost(o)[k] - knapsack_.cost(b)[k];
          option.reduced += prices_[k] * option.cost[k];
        }
        doubt.rounding = std::min(doubt.rounding, option.reduced);
        option.reduced = std::max(option.reduced, 0.0);
        reduced_losses_.push_back(option.reduced);
        doubt.options.push_back(option);
      }
      if (doubt.options.empty()) continue;
      rounding_ += doubt.rounding;
      std::stable_sort(doubt.options.begin(), doubt.options.end(),
                       [](const auto& a, const auto& c) { return a.reduced < c.reduced; });
      doubts_.push_back(std::move(doubt));
    }
    std::stable_sort(doubts_.begin(), doubts_.end(),
                     [](const auto& a, const auto& c) { return a.options[0].reduced < c.options[0].reduced; });
    std::sort(reduced_losses_.begin(), reduced_losses_.end());
    root_bound_ += rounding_;
  }

  /// Reduction by bound: an option whose reduced loss alone lifts the bound to the threshold is out.
  [[nodiscard]] std::vector<CoreClass<K>> core_below(double threshold) const {
    std::vector<CoreClass<K>> core;
    for (const CoreClass<K>& doubt : doubts_) {
      CoreClass<K> kept{.index = doubt.index, .rounding = doubt.rounding};
      for (const CoreOption<K>& option : doubt.options)
        if (root_bound_ + option.reduced < threshold) kept.options.push_back(option);
      if (kept.options.empty()) break;
      core.push_back(std::move(kept));
    }
    largest_first(core);
    return core;
  }

  /// What decides most comes first; what is left then is so small that the relaxation is nearly exact for it.
  void largest_first(std::vector<CoreClass<K>>& core) const {
    for (CoreClass<K>& c : core)
      for (const CoreOption<K>& option : c.options)
        for (std::size_t k = 0; k < K; ++k) c.size = std::max(c.size, prices_[k] * std::abs(option.cost[k]));
    std::stable_sort(core.begin(), core.end(), [](const auto& a, const auto& b) { return a.size > b.size; });
  }

  /// Adds the states that take another option of the class; those that keep its base stay as they are.
  void expand(const CoreClass<K>& core_class, const LevelBounds<K>& bounds, std::size_t room,
              const std::function<double()>& cutoff) {
    const std::size_t count = states_.size();
    for (const CoreOption<K>& option : core_class.options)
      for (std::size_t s = 0; s < count; ++s) {
        if (!(reduced_[s] + option.reduced < threshold_)) continue;
        ++nodes_;
        State<K> next = states_[s];
        next.loss += option.loss;
        for (std::size_t k = 0; k < K; ++k) next.excess[k] += option.cost[k];
        if (!bounds.admits(next, threshold_)) continue;
        if (states_.size() >= room && !next.fits()) {
          dropped_ = std::min(dropped_, next.bound);
          continue;
        }
        links_.push_back(
            {next.link, static_cast<std::uint32_t>(option.option), static_cast<std::uint32_t>(core_class.index)});
        next.link = static_cast<std::int32_t>(links_.size() - 1);
        states_.push_back(next);
        reduced_.push_back(reduced_[s] + option.reduced);
        if (next.fits()) consider(next, cutoff);
      }
  }

  /// Sorts the new states in and drops what newer bounds, dominance or the width forbid.
  void tidy(const LevelBounds<K>& bounds, std::size_t width) {
    nodes_ += static_cast<std::int64_t>(sorted_);
    const auto middle = states_.begin() + static_cast<std::ptrdiff_t>(sorted_);
    std::sort(middle, states_.end());
    merged_.resize(states_.size());
    std::merge(states_.begin(), middle, middle, states_.end(), merged_.begin());
    std::erase_if(merged_, [&](State<K>& state) { return !bounds.admits(state, threshold_); });
    std::swap(states_, merged_);
    if (K == 1 || --rest_ < 0) {
      const std::size_t before = states_.size();
      keep_undominated(states_, dominance_);
      rest_ = states_.size() > before - before / 32 ? 3 : 0;
    }
    dropped_ = std::min(dropped_, keep_best(states_, width, prices_));
    if (links_.size() > most_links) forget_unused_links();
    sorted_ = states_.size();
    reduced_.resize(sorted_);
    for (std::size_t s = 0; s < sorted_; ++s) reduced_[s] = reduced_of(states_[s]);
  }

  [[nodiscard]] double reduced_of(const State<K>& state) const {
    double bound = state.loss + rounding_;
    for (std::size_t k = 0; k < K; ++k) bound += prices_[k] * state.excess[k];
    return bound;
  }

  /// The state is an allocation when all further classes keep their base.
  void consider(const State<K>& state, const std::function<double()>& cutoff) {
    if (has_best() && state.loss >= best_) return;
    best_ = state.loss;
    best_options_ = base_;
    for (std::int32_t l = state.link; l != no_link; l = links_[static_cast<std::size_t>(l)].parent) {
      const Link& link = links_[static_cast<std::size_t>(l)];
      best_options_[link.index] = link.option;
    }
    threshold_ = std::min(threshold_, cutoff());
  }

  /// Keeps what the living states reach; links only point backwards, so one pass renumbers them.
  void forget_unused_links() {
    std::vector<std::int32_t> renumbered(links_.size(), no_link);
    for (const State<K>& state : states_)
      for (std::int32_t l = state.link; l != no_link && renumbered[static_cast<std::size_t>(l)] == no_link;
           l = links_[static_cast<std::size_t>(l)].parent)
        renumbered[static_cast<std::size_t>(l)] = 0;
    std::int32_t kept = 0;
    for (std::size_t l = 0; l < links_.size(); ++l) {
      if (renumbered[l] == no_link) continue;
      Link moved = links_[l];
      if (moved.parent != no_link) moved.parent = renumbered[static_cast<std::size_t>(moved.parent)];
      renumbered[l] = kept;
      links_[static_cast<std::size_t>(kept++)] = moved;
    }
    links_.resize(static_cast<std::size_t>(kept));
    for (State<K>& state : states_)
      if (state.link != no_link) state.link = renumbered[static_cast<std::size_t>(state.link)];
  }

  [[nodiscard]] double least_bound() const {
    double least = std::numeric_limits<double>::infinity();
    for (const State<K>& state : states_) least = std::min(least, state.bound);
    return least;
  }

  static constexpr std::size_t most_links = std::size_t{1} << 21;
  static constexpr std::size_t room_a_width = 4; ///< for new states, until they are tidied
  const Knapsack& knapsack_;
  const std::vector<std::size_t>& base_;
  std::array<double, K> prices_{}, excess_{};
  double step_ = 0, rounding_ = 0;
  double base_loss_ = 0, root_bound_ = 0, resolution_ = 0, threshold_ = 0, best_ = 0;
  double dropped_ = 0; ///< least bound of what had to go for want of room
  std::vector<std::size_t> best_options_{};
  std::vector<CoreClass<K>> doubts_{};
  std::vector<double> reduced_losses_{};
  std::vector<State<K>> states_{};
  std::vector<Link> links_{};
  std::vector<State<K>> merged_{};
  std::vector<double> reduced_{}; ///< per state: its bound by the prices of the relaxation
  int rest_ = 0;                  ///< so many times dominance is not worth looking for
  std::size_t sorted_ = 0;        ///< so many states at the front are sorted and tidy
  Dominance dominance_{};
  std::int64_t nodes_ = 0;
};

} // namespace mcomp::inline v0::search::detail
