#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/result.hpp"

// Which tensor gets how many bits: one choice for every item, so that the sum of losses is least and no budget (bytes,
// bit operations, milliseconds, ...) is exceeded. This is the multiple-choice knapsack problem; mixed-precision papers
// (HAWQ-V3, Yao et al. 2021, section 3.4) hand it to an integer-programming library, here it is solved exactly.
//
//     search::AllocationProblem problem{.items = {{.name = "conv1", .choices = {{"int4", .31, {864}}, {"int8", .02,
//     {1728}}}},
//                                                 ...},
//                                       .budgets = {{.name = "bytes", .limit = 270'000}}};
//     auto allocation = search::allocate(problem).value();
//     fmt::print("{}: {}\n", problem.items[0].choices[allocation.choices[0]].name, allocation);
//
// Method. (1) Tied items are merged and dominated choices dropped. (2) The linear relaxation gives one price per unit
// of each budget (Dantzig and Wolfe 1960; for one budget the convex hull of Sinha and Zoltners 1979) and with them a
// first lower bound. (3) A dynamic program over the choices that are in doubt, the largest items first, keeps only
// partial allocations that are not dominated and whose bound is below the best allocation (the core of Pisinger, A
// minimal algorithm for the multiple-choice knapsack problem, 1995, here for several budgets). It deepens: a round that
// finds nothing below its threshold raises the lower bound to it. Real-valued losses and costs are welcome.

namespace mcomp::inline v0::search {

/// One way to store one item.
struct Choice {
  std::string name{};          ///< "int4"; may be empty in all choices of an item
  double loss = 0;             ///< what it does to the objective; any finite number
  std::vector<double> costs{}; ///< one per budget, finite and >= 0
};

/// A tensor, a layer or whatever takes exactly one of its choices.
struct Item {
  std::string name{};
  std::vector<Choice> choices{};
  /// Items with the same non-empty tie take the same choice: the one of the same name, or of the same index where the
  /// choices have no names. A name that one of them does not offer is offered by none.
  std::string tie{};
};

/// An upper bound of the sum of one kind of cost; infinity bounds nothing.
struct Budget {
  std::string name{};
  double limit = 0;
};

struct AllocationProblem {
  std::vector<Item> items{};
  std::vector<Budget> budgets{}; ///< none to `max_budgets`
};

inline constexpr std::size_t max_budgets = 8;

struct AllocationOptions {
  /// The search ends when the certified gap is at most this share of the loss; 0 proves optimality.
  double relative_gap = 0;
  /// Or when it is at most this, in units of loss.
  double absolute_gap = 0;
  /// Partial allocations that may be looked at, roughly 20 million a second. Where they do not suffice the best
  /// allocation found is returned with the gap that is certified.
  std::int64_t node_limit = 20'000'000;
};

/// What ended the search.
enum class AllocationMethod {
  independent, ///< the best choice of every item fits all budgets
  relaxation,  ///< the linear relaxation is integral, or the gap that it certifies is small enough
  core,        ///< the dynamic program over the core
};

[[nodiscard]] MCOMP_API std::string to_string(AllocationMethod method);

/// Why an allocation can be believed.
struct Certificate {
  /// No allocation within the budgets has a smaller loss, up to the rounding of the sum of losses.
  bool optimal = false;
  double lower_bound = 0;  ///< of the loss of any allocation within the budgets
  double gap = 0;          ///< loss - lower_bound
  double relative_gap = 0; ///< gap / |loss|; 0 where the gap is, infinite where only the loss is
  AllocationMethod method = AllocationMethod::independent;
  std::int64_t nodes = 0; ///< partial allocations looked at
  /// Price of a unit of each budget. Anyone can check the bound that they give:
  /// sum over items (ties merged) of min over choices (loss + sum_k price_k cost_k) - sum_k price_k limit_k.
  std::vector<double> prices{};
  double relaxation_bound = 0; ///< that bound
};

struct Allocation {
  std::vector<std::size_t> choices{}; ///< index of the choice of every item, in the order of the items
  double loss = 0;
  std::vector<double> costs{}; ///< one per budget
  Certificate certificate{};
};

/// "loss 1.2332, costs 7.26562, optimal (core, 512 nodes)"
[[nodiscard]] MCOMP_API std::string to_string(const Allocation& allocation);

/// The allocation of least loss within all budgets. The same problem gives the same allocation on every machine.
///
/// Budgets are kept exactly where all costs of a budget are multiples of a power of two that is not below 2^-52 of the
/// largest total, as integers are; elsewhere up to the rounding of a sum of doubles, so that a limit that is itself the
/// sum of costs, in any order, admits them. Time for 1,000 items with 8 choices: 2 to 10 ms for one or two budgets;
/// with three or more the gap may stay open within the node limit. Hard are losses that are linear in the costs (subset
/// sum: the gap is tiny, but may stay open) and losses and costs that each spread over more than ten orders of
/// magnitude. Memory: some 5 bytes a node of the limit at worst, a few MB as a rule.
///
/// Errors: invalid_argument for no items, an item without choices, two items or two choices of an item with the same
/// name, tied items without a common choice, a wrong number of costs, too many budgets, a negative or NaN option, and
/// for budgets that no allocation keeps: the text gives the least possible total of each. invalid_value for a loss that
/// is not finite, a cost that is negative or not finite, a limit that is NaN. insufficient_data where the node limit
/// ends before any allocation within the budgets was found. cancelled.
[[nodiscard]] MCOMP_API Result<Allocation> allocate(const AllocationProblem& problem,
                                                    const AllocationOptions& options = {}, const Context& context = {});

/// Least loss for several limits of one budget, the others held: one `allocate` each, in parallel on the context's
/// executor. Limits that no allocation keeps give no point, and of the rest those that another one dominates (no more
/// loss and no more of this budget's cost) are left out; sorted by cost, so loss falls.
/// Errors: as allocate, and invalid_argument for a `budget` that is not there, no limits, or where no limit can be
/// kept.
[[nodiscard]] MCOMP_API Result<std::vector<Allocation>> pareto_front(const AllocationProblem& problem,
                                                                     std::size_t budget, std::span<const double> limits,
                                                                     const AllocationOptions& options = {},
                                                                     const Context& context = {});

/// One item takes another choice.
struct ChoiceChange {
  std::size_t item = 0;
  std::size_t choice = 0;
  friend bool operator==(const ChoiceChange&, const ChoiceChange&) = default;
};

/// A corner of the lower convex hull of all (cost, loss) pairs.
struct HullPoint {
  double cost = 0;
  double loss = 0;
  std::vector<ChoiceChange> changes{}; ///< from the point before: one item, or all items of a tie
};

/// The whole convex hull of loss against the cost of one budget, other budgets ignored.
struct Hull {
  std::vector<std::size_t> cheapest{}; ///< the choices of points[0], the least cost that is possible
  std::vector<HullPoint> points{};     ///< cost rises, loss falls; points[0] changes nothing

  /// The choice of every item at a point, which must be below points.size().
  [[nodiscard]] MCOMP_API std::vector<std::size_t> choices_at(std::size_t point) const;
};

/// Every corner is an optimal allocation at its own cost; between two of them `allocate` finds what is possible.
/// O(c log c) for c choices. Errors: as allocate, and invalid_argument for a `budget` that is not there.
[[nodiscard]] MCOMP_API Result<Hull> convex_hull(const AllocationProblem& problem, std::size_t budget = 0);

} // namespace mcomp::inline v0::search

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<search::AllocationMethod> = true;
template <> inline constexpr bool enable_format<search::Allocation> = true;
} // namespace mcomp::inline v0
