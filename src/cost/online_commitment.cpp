#include "mcomp/cost/online_commitment.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <queue>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr std::int64_t most = 10'000'000;

Error invalid(const char* subject, const std::string& rule, const char* remedy) {
  return Error(ErrorCode::invalid_value, subject, rule, remedy);
}

Status check(std::span<const std::int64_t> demand, const OnlinePrices& prices) {
  if (demand.empty())
    return Error(ErrorCode::insufficient_data, "demand", "there is no hour", "pass a history of hours");
  double total = 0;
  for (std::size_t i = 0; i < demand.size(); ++i) {
    if (demand[i] < 0 || demand[i] > most)
      return invalid("demand", fmt::format("hour {} needs {} machines, not 0 to {}", i, demand[i], most),
                     "pass whole machines by hour");
    total += static_cast<double>(demand[i]);
  }
  // No rule and no optimum costs more than every hour on demand and a fee for each.
  if (!std::isfinite(total * (prices.on_demand_per_hour + prices.fee)))
    return invalid("cost", "it overflows", "check the units of prices and demand");
  return {};
}

double on_demand_cost(std::span<const std::int64_t> demand, const OnlinePrices& prices) {
  double hours = 0;
  for (const std::int64_t machines : demand) hours += static_cast<double>(machines);
  return hours * prices.on_demand_per_hour;
}

/// The rule with the threshold in whole hours: one more reservation as soon as more than `threshold_hours` hours of the
/// last term needed more machines than were reserved.
///
/// A reservation is booked for its term to come, and in the books also for the hours behind, so that spending that has
/// led to one reservation does not lead to the next one.
class Rule {
 public:
  Rule(std::span<const std::int64_t> demand, std::int64_t term, std::int64_t threshold_hours)
      : demand_(demand), hours_(static_cast<std::int64_t>(demand.size())), term_(term), threshold_(threshold_hours),
        booked_(demand.size(), 0) {}

  OnlineRun run() {
    OnlineRun result;
    result.reserved.assign(demand_.size(), 0);
    std::int64_t standing = 0; // booked for this hour by reservations that were made before
    std::vector<std::int64_t> ending(demand_.size() + 1, 0);
    for (std::int64_t t = 0; t < hours_; ++t) {
      const auto now = static_cast<std::size_t>(t);
      standing -= ending[now];
      booked_[now] = standing;
      uncovered_ += demand_[now] > booked_[now] ? 1 : 0;
      if (const std::int64_t gone = t - term_; gone >= 0)
        uncovered_ -= demand_[static_cast<std::size_t>(gone)] > booked_[static_cast<std::size_t>(gone)] ? 1 : 0;
      while (uncovered_ > threshold_) {
        ++result.reserved[now];
        ++result.reservations;
        ++standing;
        if (t + term_ < hours_) ++ending[static_cast<std::size_t>(t + term_)];
        for (std::int64_t i = std::max<std::int64_t>(0, t - term_ + 1); i <= t; ++i) {
          const auto at = static_cast<std::size_t>(i);
          uncovered_ -= demand_[at] > booked_[at] ? 1 : 0;
          ++booked_[at];
          uncovered_ += demand_[at] > booked_[at] ? 1 : 0;
        }
      }
      result.on_demand_hours += static_cast<double>(std::max<std::int64_t>(0, demand_[now] - standing));
    }
    return result;
  }

 private:
  std::span<const std::int64_t> demand_;
  std::int64_t hours_, term_, threshold_;
  std::int64_t uncovered_ = 0; ///< hours of the last term with more demand than is booked
  std::vector<std::int64_t> booked_;
};

/// The number of hours whose on-demand cost does not exceed `threshold`: the rule is then `uncovered > hours`.
std::int64_t threshold_hours(const OnlinePrices& prices, double threshold) {
  const double hours = threshold / prices.on_demand_per_hour;
  if (hours >= static_cast<double>(prices.term_hours)) return prices.term_hours;
  // A threshold of n hours' price, computed with rounding, is n hours.
  return static_cast<std::int64_t>(std::floor(hours * (1 + 1e-12)));
}

OnlineRun run(std::span<const std::int64_t> demand, const OnlinePrices& prices, std::int64_t hours) {
  OnlineRun result = Rule(demand, prices.term_hours, hours).run();
  double used = 0;
  for (const std::int64_t machines : demand) used += static_cast<double>(machines);
  result.cost = prices.fee * static_cast<double>(result.reservations) +
                prices.on_demand_per_hour * result.on_demand_hours +
                prices.reserved_per_hour * (used - result.on_demand_hours);
  return result;
}

/// P(threshold < z). Above the break-even point it stays where it is: the rest never reserves.
double below(const CompetitiveRatios& ratios, double z) {
  const double share = std::min(z / ratios.break_even, 1.0);
  return std::expm1(share) / (std::numbers::e - 1 + ratios.alpha);
}

/// Flow of least cost on the nodes 0 .. hours: of the machines that are paid for, as many cross from t to t + 1 as hour
/// t needs. Arcs: one hour on demand, a reservation's term, and back by one hour for machines that stand idle.
class Timeline {
 public:
  Timeline(std::int64_t hours, std::int64_t term, double hour_cost, double term_cost)
      : nodes_(static_cast<std::size_t>(hours) + 1), first_(nodes_), potential_(nodes_, 0.0) {
    for (std::int64_t t = 0; t < hours; ++t) {
      add(t, t + 1, hour_cost);
      add(t, std::min(t + term, hours), term_cost);
      add(t + 1, t, 0);
    }
  }

  /// Sends every surplus along the cheapest way to where a deficit is left. The cost of it all.
  double satisfy(std::vector<std::int64_t>& balance) {
    double cost = 0;
    for (std::size_t source = 0; source < nodes_; ++source)
      while (balance[source] > 0) cost += augment(source, balance);
    return cost;
  }

 private:
  struct Arc {
    std::size_t to;
    std::int64_t capacity;
    double cost;
  };
  static constexpr double infinity = std::numeric_limits<double>::infinity();

  void add(std::int64_t from, std::int64_t to, double cost) {
    first_[static_cast<std::size_t>(from)].push_back(arcs_.size());
    arcs_.push_back({static_cast<std::size_t>(to), std::numeric_limits<std::int64_t>::max() / 2, cost});
    first_[static_cast<std::size_t>(to)].push_back(arcs_.size());
    arcs_.push_back({static_cast<std::size_t>(from), 0, -cost});
  }

  /// Dijkstra on reduced costs, which rounding may leave slightly negative: those count as 0.
  double augment(std::size_t source, std::vector<std::int64_t>& balance) {
    std::vector<double> distance(nodes_, infinity);
    std::vector<std::size_t> by(nodes_, 0);
    using Entry = std::pair<double, std::size_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    std::vector<bool> done(nodes_, false);
    distance[source] = 0;
    queue.push({0, source});
    std::size_t sink = nodes_;
    while (!queue.empty()) {
      const auto [d, node] = queue.top();
      queue.pop();
      if (done[node]) continue;
      done[node] = true;
      if (balance[node] < 0) {
        sink = node;
        break;
      }
      for (const std::size_t a : first_[node]) {
        const Arc& arc = arcs_[a];
        if (arc.capacity <= 0 || done[arc.to]) continue;
        const double next = d + std::max(0.0, arc.cost + potential_[node] - potential_[arc.to]);
        if (next < distance[arc.to]) {
          distance[arc.to] = next;
          by[arc.to] = a;
          queue.push({next, arc.to});
        }
      }
    }
    // The balances add up to zero and idle arcs lead back, so a deficit is always found.
    const double reached = distance[sink];
    for (std::size_t node = 0; node < nodes_; ++node) potential_[node] += done[node] ? distance[node] : reached;
    std::int64_t amount = std::min(balance[source], -balance[sink]);
    for (std::size_t node = sink; node != source; node = arcs_[by[node] ^ 1].to)
      amount = std::min(amount, arcs_[by[node]].capacity);
    double cost = 0;
    for (std::size_t node = sink; node != source; node = arcs_[by[node] ^ 1].to) {
      arcs_[by[node]].capacity -= amount;
      arcs_[by[node] ^ 1].capacity += amount;
      cost += arcs_[by[node]].cost;
    }
    balance[source] -= amount;
    balance[sink] += amount;
    return cost * static_cast<double>(amount);
  }

  std::size_t nodes_;
  std::vector<std::vector<std::size_t>> first_;
  std::vector<Arc> arcs_;
  std::vector<double> potential_;
};

double offline(std::span<const std::int64_t> demand, const OnlinePrices& prices) {
  // Every hour of use costs the reserved rate; on demand adds the difference, a reservation its fee.
  const auto hours = static_cast<std::int64_t>(demand.size());
  double cost = on_demand_cost(demand, prices) / prices.on_demand_per_hour * prices.reserved_per_hour;
  Timeline timeline(hours, std::min(prices.term_hours, hours), prices.on_demand_per_hour - prices.reserved_per_hour,
                    prices.fee);
  std::vector<std::int64_t> balance(demand.size() + 1, 0);
  for (std::size_t t = 0; t < demand.size(); ++t) {
    balance[t] += demand[t];
    balance[t + 1] -= demand[t];
  }
  return cost + timeline.satisfy(balance);
}

double expected(std::span<const std::int64_t> demand, const OnlinePrices& prices, const CompetitiveRatios& ratios) {
  const std::int64_t last = threshold_hours(prices, ratios.break_even);
  double sum = 0, before = 0;
  for (std::int64_t hours = 0; hours <= last; ++hours) {
    // All thresholds from `hours` up to the next whole hour act alike.
    const double until = below(ratios, static_cast<double>(hours + 1) * prices.on_demand_per_hour);
    sum += (until - before) * run(demand, prices, hours).cost;
    before = until;
  }
  // Thresholds between the last hour within the term and the break-even point never reserve either.
  sum += (1 - before) * on_demand_cost(demand, prices);
  return sum;
}

} // namespace

Result<CompetitiveRatios> competitive_ratios(const OnlinePrices& prices) {
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  if (!positive(prices.on_demand_per_hour))
    return invalid("on_demand_per_hour", fmt::format("{} is not finite and > 0", prices.on_demand_per_hour),
                   "correct it");
  if (!positive(prices.fee)) return invalid("fee", fmt::format("{} is not finite and > 0", prices.fee), "correct it");
  if (!(prices.reserved_per_hour >= 0 && prices.reserved_per_hour < prices.on_demand_per_hour))
    return invalid("reserved_per_hour",
                   fmt::format("{} is not within [0, {})", prices.reserved_per_hour, prices.on_demand_per_hour),
                   "do not reserve what is no cheaper by the hour");
  if (prices.term_hours < 1 || prices.term_hours > most)
    return invalid("term_hours", fmt::format("{} is not within 1 and {}", prices.term_hours, most),
                   "pass 8760 for a year");
  CompetitiveRatios ratios{.alpha = prices.reserved_per_hour / prices.on_demand_per_hour};
  ratios.break_even = prices.fee / (1 - ratios.alpha);
  ratios.break_even_hours = ratios.break_even / prices.on_demand_per_hour;
  ratios.deterministic = 2 - ratios.alpha;
  ratios.randomized = std::numbers::e / (std::numbers::e - 1 + ratios.alpha);
  if (!std::isfinite(ratios.break_even_hours))
    return invalid("fee", "the break-even point overflows", "check the units of the prices");
  return ratios;
}

Result<double> random_threshold(const OnlinePrices& prices, double uniform) {
  MCOMP_TRY(ratios, competitive_ratios(prices));
  if (!(uniform >= 0 && uniform < 1))
    return Error(ErrorCode::invalid_argument, "uniform", fmt::format("{} is not within [0, 1)", uniform),
                 "pass a uniform random number");
  // The inverse of `below`, in units of the break-even point.
  const double share = std::log1p(uniform * (std::numbers::e - 1 + ratios.alpha));
  return share < 1 ? ratios.break_even * share : std::numeric_limits<double>::infinity();
}

Result<OnlineRun> reserve_online(std::span<const std::int64_t> demand, const OnlinePrices& prices, double threshold) {
  MCOMP_TRY(ratios, competitive_ratios(prices));
  static_cast<void>(ratios);
  MCOMP_CHECK(check(demand, prices));
  if (!(threshold >= 0))
    return invalid("threshold", fmt::format("{} is not >= 0", threshold), "pass the break-even point");
  return run(demand, prices, threshold_hours(prices, threshold));
}

Result<double> offline_commitment_cost(std::span<const std::int64_t> demand, const OnlinePrices& prices) {
  MCOMP_TRY(ratios, competitive_ratios(prices));
  static_cast<void>(ratios);
  MCOMP_CHECK(check(demand, prices));
  return offline(demand, prices);
}

Result<double> expected_online_cost(std::span<const std::int64_t> demand, const OnlinePrices& prices) {
  MCOMP_TRY(ratios, competitive_ratios(prices));
  MCOMP_CHECK(check(demand, prices));
  return expected(demand, prices, ratios);
}

Result<Regret> regret(std::span<const std::int64_t> demand, const OnlinePrices& prices) {
  MCOMP_TRY(ratios, competitive_ratios(prices));
  MCOMP_CHECK(check(demand, prices));
  return Regret{.offline = offline(demand, prices),
                .deterministic = run(demand, prices, threshold_hours(prices, ratios.break_even)).cost,
                .randomized = expected(demand, prices, ratios),
                .on_demand = on_demand_cost(demand, prices),
                .ratios = ratios};
}

std::string to_string(const Regret& regret) {
  return fmt::format(
      "{:.6g} with foresight, {:.6g} by the rule (at most {:.6g}), {:.6g} expected with a random threshold "
      "(at most {:.6g})",
      regret.offline, regret.deterministic, regret.offline * regret.ratios.deterministic, regret.randomized,
      regret.offline * regret.ratios.randomized);
}

std::string to_json(const Regret& regret) {
  const CompetitiveRatios& ratios = regret.ratios;
  const mcomp::detail::Json root = {{"offline", regret.offline},
                                    {"deterministic", regret.deterministic},
                                    {"randomized", regret.randomized},
                                    {"on_demand", regret.on_demand},
                                    {"ratios",
                                     {{"alpha", ratios.alpha},
                                      {"break_even", ratios.break_even},
                                      {"break_even_hours", ratios.break_even_hours},
                                      {"deterministic", ratios.deterministic},
                                      {"randomized", ratios.randomized}}}};
  return root.dump(2, ' ', false, mcomp::detail::Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::cost
