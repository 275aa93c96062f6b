#pragma once

// The multiple-choice knapsack that a problem comes down to: ties merged, choices that cannot be part of an optimum
// dropped, costs as whole numbers, so that sums of costs are exact in any order.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mcomp/search/allocation.hpp"

namespace mcomp::inline v0::search::detail {

template <class T> using PerBudget = std::array<T, max_budgets>;

/// A sum of doubles to about twice their precision (Neumaier 1974).
class ExactSum {
 public:
  void add(double x) noexcept {
    const double sum = sum_ + x;
    correction_ += (sum_ < 0 ? -sum_ : sum_) >= (x < 0 ? -x : x) ? (sum_ - sum) + x : (x - sum) + sum_;
    sum_ = sum;
  }
  [[nodiscard]] double value() const noexcept { return sum_ + correction_; }

 private:
  double sum_ = 0, correction_ = 0;
};

/// Items of one tie, or a single item. `options` are what all its members offer.
struct MergedItem {
  std::vector<std::size_t> members{};
  std::size_t first_option = 0;
  std::size_t option_count = 0;
};

/// The options of all merged items in one array; option o has the costs costs[o * budgets ..].
struct MergedProblem {
  std::size_t budgets = 0;
  std::vector<MergedItem> items{};
  std::vector<double> losses{};
  std::vector<double> costs{};
  std::vector<std::size_t> choices{}; ///< the choice of the item's first member that an option stands for
};

[[nodiscard]] Status check_options(const AllocationOptions& options);
/// Checks a problem (every error of `allocate` that needs no search) and merges its ties.
[[nodiscard]] Result<MergedProblem> merge(const AllocationProblem& problem);
/// The choice of `member` that option `option` of a merged item stands for.
[[nodiscard]] std::size_t choice_of(const AllocationProblem& problem, const MergedProblem& merged,
                                    const MergedItem& item, std::size_t member, std::size_t option);

/// Whole-number costs above the least of each class; one class a merged item.
struct Knapsack {
  std::size_t budgets = 0;                  ///< those with a finite limit
  PerBudget<std::size_t> budget{};          ///< their index in the problem
  PerBudget<double> units{};                ///< whole-number units in one unit of the caller's cost
  PerBudget<double> capacity{};             ///< what may be spent above the least costs
  std::vector<std::size_t> first{};         ///< options of class i are [first[i], first[i + 1])
  std::vector<double> losses{};             ///< per option
  std::vector<double> costs{};              ///< per option and budget, whole numbers whose total is exact
  std::vector<std::size_t> merged_option{}; ///< per option: its index in MergedProblem

  [[nodiscard]] std::size_t classes() const noexcept { return first.size() - 1; }
  [[nodiscard]] std::span<const double> cost(std::size_t option) const noexcept {
    return {costs.data() + option * budgets, budgets};
  }
};

/// Error: invalid_argument where one budget alone cannot be kept.
[[nodiscard]] Result<Knapsack> reduce(const AllocationProblem& problem, const MergedProblem& merged);

/// "no allocation keeps ...", with the least possible total of every budget.
[[nodiscard]] Error infeasible(const AllocationProblem& problem, const MergedProblem& merged);

} // namespace mcomp::inline v0::search::detail
