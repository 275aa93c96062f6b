#include "search/core_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "search/core_program.hpp"

namespace mcomp::inline v0::search::detail {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Rounds of the dynamic program: the threshold rises while rounds are complete, the width while they are not.
template <std::size_t K> class Deepening {
 public:
  Deepening(const Knapsack& knapsack, const Relaxation& relaxation, const SearchLimits& limits, const Context& context)
      : knapsack_(knapsack), relaxation_(relaxation), limits_(limits), context_(context), core_(knapsack, relaxation) {}

  Result<SearchOutcome> run(std::vector<std::size_t> first) {
    lower_ = core_.root_bound();
    if (!first.empty()) core_.offer(first);
    SearchOutcome outcome;
    if (!done()) {
      outcome.searched = true;
      MCOMP_CHECK(deepen());
    }
    if (core_.has_best()) {
      outcome.options = core_.best_options();
      outcome.optimal = core_.best() - core_.improvement() <= lower_;
    } else {
      outcome.optimal = exhausted_;
    }
    outcome.lower_bound = core_.base_loss() + lower_;
    outcome.nodes = core_.nodes();
    return outcome;
  }

 private:
  /// By how much an allocation must be better than the best one to matter. A bit less than the caller's gap, so that
  /// the certified one is within it after rounding.
  [[nodiscard]] double tolerance() const {
    const double relative = limits_.relative_gap * std::abs(core_.base_loss() + core_.best());
    return std::max(core_.improvement(), std::max(limits_.absolute_gap, relative) - core_.resolution());
  }
  [[nodiscard]] bool done() const { return core_.has_best() && core_.best() - tolerance() <= lower_; }

  [[nodiscard]] bool stopped() const {
    return core_.nodes() >= limits_.node_limit || context_.cancellation.cancelled();
  }

  /// Narrow rounds find good allocations early, which make all further rounds shorter.
  void look_ahead() {
    constexpr std::size_t narrow = 512, most_doubts = 512;
    for (std::size_t wanted = 32; wanted <= most_doubts && !done() && !stopped(); wanted *= 2) {
      if (core_.has_best() && core_.best() <= core_.threshold_of(wanted / 2)) break;
      lower_ = std::max(lower_, round(core_.threshold_of(wanted), narrow).lower_bound);
    }
    if (core_.has_best()) core_.offer(repair_and_improve(knapsack_, relaxation_, core_.best_options()));
  }

  /// Three changes at once: where losses follow costs closely they find what rounds do not find for long.
  void kick() {
    constexpr std::size_t most_kicks = 24;
    std::vector<std::size_t> kicked;
    for (std::size_t d = 0; d < most_kicks && !done() && core_.kick(d, kicked); ++d)
      core_.offer(repair_and_improve(knapsack_, relaxation_, kicked));
  }

  Round round(double threshold, std::size_t width) {
    context_.report("allocate", core_.nodes(), limits_.node_limit);
    return core_.round(threshold, width, limits_.node_limit, context_.cancellation,
                       [this] { return core_.best() - tolerance(); });
  }

  Status deepen() {
    constexpr std::int64_t kick_after = 200'000;
    look_ahead();
    bool kicked = false;
    std::size_t width = first_width;
    std::size_t wanted = first_doubts;
    while (!done() && !stopped()) {
      if (!kicked && core_.has_best() && core_.nodes() > kick_after) {
        kicked = true;
        kick();
        if (done()) break;
      }
      double threshold = core_.threshold_of(wanted);
      while (threshold <= lower_ && threshold < infinity) threshold = core_.threshold_of(wanted += wanted / 2);
      const Round round = this->round(threshold, width);
      lower_ = std::max(lower_, round.lower_bound);
      if (round.complete) {
        wanted = wanted + wanted / 2 + 1;
        exhausted_ = threshold == infinity;
        if (exhausted_) break;
      } else if (width < most_width()) {
        width *= 4;
      } else {
        break;
      }
    }
    return context_.check("allocate");
  }

  static constexpr std::size_t first_width = 65536, first_doubts = 16;
  /// Memory grows with the node limit, by a few bytes a node.
  [[nodiscard]] std::size_t most_width() const {
    return std::min<std::size_t>(static_cast<std::size_t>(limits_.node_limit) / 64, std::size_t{1} << 24);
  }
  const Knapsack& knapsack_;
  const Relaxation& relaxation_;
  const SearchLimits& limits_;
  const Context& context_;
  CoreProgram<K> core_;
  double lower_ = 0;
  bool exhausted_ = false;
};

template <std::size_t K>
Result<SearchOutcome> dispatch(const Knapsack& knapsack, const Relaxation& relaxation, const SearchLimits& limits,
                               const Context& context) {
  if constexpr (K < max_budgets)
    if (knapsack.budgets != K) return dispatch<K + 1>(knapsack, relaxation, limits, context);
  return Deepening<K>(knapsack, relaxation, limits, context)
      .run(repair_and_improve(knapsack, relaxation, relaxation.base));
}

} // namespace

Result<SearchOutcome> search_core(const Knapsack& knapsack, const Relaxation& relaxation, const SearchLimits& limits,
                                  const Context& context) {
  return dispatch<1>(knapsack, relaxation, limits, context);
}

} // namespace mcomp::inline v0::search::detail
