#include <algorithm>
#include <limits>
#include <numeric>

#include "search/core_search.hpp"

namespace mcomp::inline v0::search::detail {

namespace {

/// A choice of options with what it leaves of every capacity.
class Choosing {
 public:
  Choosing(const Knapsack& knapsack, const Relaxation& relaxation, std::vector<std::size_t> options)
      : knapsack_(knapsack), prices_(relaxation.prices), options_(std::move(options)), left_(knapsack.capacity) {
    for (const std::size_t o : options_)
      for (std::size_t k = 0; k < knapsack.budgets; ++k) left_[k] -= knapsack.cost(o)[k];
  }

  [[nodiscard]] double excess() const { return excess_of(left_); }
  [[nodiscard]] std::vector<std::size_t> take() && { return std::move(options_); }

  /// The change that lowers the excess at the least loss, prices considered, per excess that it removes.
  bool repair() {
    const double now = excess();
    double best = std::numeric_limits<double>::infinity();
    return change([&](std::size_t from, std::size_t to) {
      const double removed = now - excess_of(left_after(from, to));
      if (!(removed > 0)) return false;
      double loss = knapsack_.losses[to] - knapsack_.losses[from];
      for (std::size_t k = 0; k < knapsack_.budgets; ++k)
        loss += prices_[k] * (knapsack_.cost(to)[k] - knapsack_.cost(from)[k]);
      if (!(loss / removed < best)) return false;
      best = loss / removed;
      return true;
    });
  }

  /// The change that lowers the loss most and stays within the capacities.
  bool improve() {
    double best = 0;
    return change([&](std::size_t from, std::size_t to) {
      const double gain = knapsack_.losses[from] - knapsack_.losses[to];
      if (!(gain > best) || excess_of(left_after(from, to)) > 0) return false;
      best = gain;
      return true;
    });
  }

  /// The two changes, or one, that together lead within two capacities at the least loss, which must fall where the
  /// choice is within them already. In the order of the first cost, a Fenwick tree over the second one answers which
  /// change goes best with another: O(c log c).
  bool improve_by_two() {
    list_changes();
    const double enough = excess() > 0 ? std::numeric_limits<double>::infinity() : 0;
    double best = enough;
    std::pair<std::size_t, std::size_t> chosen{};
    std::size_t inserted = 0;
    for (auto a = by_first_cost_.rbegin(); a != by_first_cost_.rend(); ++a) {
      const Change& one = changes_[*a];
      for (; inserted < by_first_cost_.size(); ++inserted) {
        const Change& other = changes_[by_first_cost_[inserted]];
        if (other.cost[0] > left_[0] - one.cost[0]) break;
        insert(by_first_cost_[inserted]);
      }
      const std::size_t partner = best_partner(one, left_[1] - one.cost[1]);
      if (partner == none || !(one.loss + changes_[partner].loss < best)) continue;
      best = one.loss + changes_[partner].loss;
      chosen = {*a, partner};
    }
    if (!(best < enough)) return false;
    for (const std::size_t c : {chosen.first, chosen.second})
      if (changes_[c].index != none) {
        left_ = left_after(options_[changes_[c].index], changes_[c].option);
        options_[changes_[c].index] = changes_[c].option;
      }
    return true;
  }

 private:
  [[nodiscard]] double excess_of(const PerBudget<double>& left) const {
    double sum = 0;
    for (std::size_t k = 0; k < knapsack_.budgets; ++k)
      if (left[k] < 0) sum -= left[k] / (knapsack_.capacity[k] + 1);
    return sum;
  }
  [[nodiscard]] PerBudget<double> left_after(std::size_t from, std::size_t to) const {
    PerBudget<double> left = left_;
    for (std::size_t k = 0; k < knapsack_.budgets; ++k) left[k] += knapsack_.cost(from)[k] - knapsack_.cost(to)[k];
    return left;
  }

  /// Makes the last change of one class that `better` accepted; false where it accepted none.
  template <class Better> bool change(const Better& better) {
    std::size_t chosen_class = options_.size(), chosen = 0;
    for (std::size_t i = 0; i < options_.size(); ++i)
      for (std::size_t o = knapsack_.first[i]; o < knapsack_.first[i + 1]; ++o)
        if (o != options_[i] && better(options_[i], o)) {
          chosen_class = i;
          chosen = o;
        }
    if (chosen_class == options_.size()) return false;
    left_ = left_after(options_[chosen_class], chosen);
    options_[chosen_class] = chosen;
    return true;
  }

  static constexpr std::size_t none = ~std::size_t{0};
  struct Change {
    std::size_t index = none; ///< of the class; the first change is none
    std::size_t option = 0;
    double loss = 0;
    std::array<double, 2> cost{};
  };
  /// The two best changes, of different classes, in a part of the tree.
  struct BestTwo {
    std::size_t first = none, second = none;
  };

  void list_changes() {
    changes_.assign(1, Change{});
    for (std::size_t i = 0; i < options_.size(); ++i)
      for (std::size_t o = knapsack_.first[i]; o < knapsack_.first[i + 1]; ++o) {
        if (o == options_[i]) continue;
        Change change{i, o, knapsack_.losses[o] - knapsack_.losses[options_[i]], {}};
        for (std::size_t k = 0; k < knapsack_.budgets; ++k)
          change.cost[k] = knapsack_.cost(o)[k] - knapsack_.cost(options_[i])[k];
        changes_.push_back(change);
      }
    by_first_cost_.resize(changes_.size());
    std::iota(by_first_cost_.begin(), by_first_cost_.end(), std::size_t{0});
    std::stable_sort(by_first_cost_.begin(), by_first_cost_.end(),
                     [this](std::size_t a, std::size_t b) { return changes_[a].cost[0] < changes_[b].cost[0]; });
    second_costs_.clear();
    for (const Change& change : changes_) second_costs_.push_back(change.cost[1]);
    std::sort(second_costs_.begin(), second_costs_.end());
    tree_.assign(changes_.size() + 1, BestTwo{});
  }

  [[nodiscard]] std::size_t count_up_to(double cost) const {
    return static_cast<std::size_t>(std::upper_bound(second_costs_.begin(), second_costs_.end(), cost) -
                                    second_costs_.begin());
  }

  void insert(std::size_t c) {
    for (std::size_t t = count_up_to(changes_[c].cost[1]); t < tree_.size(); t += t & (~t + 1)) {
      BestTwo& two = tree_[t];
      if (two.first == none || changes_[c].loss < changes_[two.first].loss) {
        if (two.first != none && changes_[two.first].index != changes_[c].index) two.second = two.first;
        two.first = c;
      } else if (changes_[two.first].index != changes_[c].index &&
                 (two.second == none || changes_[c].loss < changes_[two.second].loss)) {
        two.second = c;
      }
    }
  }

  /// The inserted change of least loss and of another class whose second cost is at most `cost`.
  [[nodiscard]] std::size_t best_partner(const Change& one, double cost) const {
    std::size_t best = none;
    for (std::size_t t = count_up_to(cost); t > 0; t &= t - 1)
      for (const std::size_t c : {tree_[t].first, tree_[t].second})
        if (c != none && (changes_[c].index != one.index || one.index == none) &&
            (best == none || changes_[c].loss < changes_[best].loss))
          best = c;
    return best;
  }

  const Knapsack& knapsack_;
  const PerBudget<double>& prices_;
  std::vector<std::size_t> options_;
  PerBudget<double> left_;
  std::vector<Change> changes_{};
  std::vector<std::size_t> by_first_cost_{};
  std::vector<double> second_costs_{};
  std::vector<BestTwo> tree_{};
};

} // namespace

std::vector<std::size_t> repair_and_improve(const Knapsack& knapsack, const Relaxation& relaxation,
                                            std::vector<std::size_t> options) {
  // From the relaxation's choice a few changes do; the limits bound the time where it is far from any allocation.
  constexpr int most_repairs = 500, most_improvements = 24;
  const bool by_two = knapsack.budgets <= 2;
  Choosing choosing(knapsack, relaxation, std::move(options));
  if (choosing.excess() > 0 && !(by_two && choosing.improve_by_two()))
    for (int i = 0; i < most_repairs && choosing.excess() > 0; ++i)
      if (!choosing.repair()) return {};
  if (choosing.excess() > 0) return {};
  for (int i = 0; i < most_improvements; ++i)
    if (!(by_two ? choosing.improve_by_two() : choosing.improve())) break;
  return std::move(choosing).take();
}

} // namespace mcomp::inline v0::search::detail
