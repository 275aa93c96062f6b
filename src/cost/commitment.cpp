#include "mcomp/cost/commitment.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr std::int64_t most_machines = 10'000'000;

Error invalid(const std::string& subject, const std::string& rule, const char* remedy) {
  return Error(ErrorCode::invalid_value, subject, rule, remedy);
}

/// @param what  its name; a rate, a price, a number of months
Status check_number(const char* what, double value) {
  if (std::isfinite(value) && value >= 0) return {};
  return invalid(what, fmt::format("{} is not finite and >= 0", value), "correct it");
}

Status check_cost(double cost) {
  if (std::isfinite(cost)) return {};
  return invalid("cost", "it overflows", "check the units of rates and demand");
}

Status check_demand(std::span<const std::int64_t> demand) {
  if (demand.empty())
    return Error(ErrorCode::insufficient_data, "demand", "there is no hour", "pass a history of hours");
  for (std::size_t i = 0; i < demand.size(); ++i)
    if (demand[i] < 0 || demand[i] > most_machines)
      return invalid("demand", fmt::format("hour {} needs {} machines, not 0 to {}", i, demand[i], most_machines),
                     "pass whole machines by hour");
  return {};
}

/// hours[k] = hours that need more than k machines, for k below the largest demand: the load duration curve.
std::vector<std::int64_t> hours_above(std::span<const std::int64_t> demand) {
  std::vector<std::int64_t> hours(static_cast<std::size_t>(*std::max_element(demand.begin(), demand.end())), 0);
  for (const std::int64_t machines : demand)
    if (machines > 0) ++hours[static_cast<std::size_t>(machines - 1)];
  for (std::size_t k = hours.size(); k-- > 1;) hours[k - 1] += hours[k];
  return hours;
}

/// The number of the offer that must be full before this one.
std::size_t tier_below(std::span<const CommitmentOffer> offers, const CommitmentOffer& offer) {
  return static_cast<std::size_t>(
      std::find_if(offers.begin(), offers.end(), [&](const CommitmentOffer& o) { return o.name == offer.after; }) -
      offers.begin());
}

constexpr std::size_t most_tiers = 10;

Status check_tiers(std::span<const CommitmentOffer> offers) {
  const auto bad = [](const CommitmentOffer& offer, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, fmt::format("offer '{}'", offer.name), rule, remedy);
  };
  std::size_t tiers = 0;
  for (const CommitmentOffer& offer : offers) {
    if (offer.after.empty()) continue;
    if (++tiers > most_tiers)
      return bad(offer, fmt::format("it is the tier number {}", tiers), "leave out tiers that are never reached");
    const CommitmentOffer* below = &offer;
    for (std::size_t steps = 0; !below->after.empty(); ++steps) {
      const std::size_t j = tier_below(offers, *below);
      if (j == offers.size() || !offers[j].most)
        return bad(*below, fmt::format("after: '{}' is no offer with a limit", below->after), "name the tier below");
      if (steps == offers.size())
        return bad(offer, "its tiers lead back to itself", "let the lowest tier follow nothing");
      below = &offers[j];
    }
  }
  return {};
}

Status check_offers(std::span<const CommitmentOffer> offers, std::int64_t largest_demand) {
  if (offers.empty())
    return Error(ErrorCode::insufficient_data, "offers", "there is none", "pass at least the on-demand rate");
  std::set<std::string_view> names;
  std::int64_t capacity = 0;
  for (const CommitmentOffer& offer : offers) {
    const std::string subject = fmt::format("offer '{}'", offer.name);
    if (offer.name.empty() || !names.insert(offer.name).second)
      return Error(ErrorCode::invalid_argument, subject, "its name is empty or stands twice", "name every offer");
    for (const double rate : {offer.always_per_hour, offer.used_per_hour})
      if (!std::isfinite(rate) || rate < 0)
        return invalid(subject, fmt::format("a rate of {} is not finite and >= 0", rate), "correct it");
    if (offer.most && *offer.most < 0)
      return invalid(subject, fmt::format("most is {}", *offer.most), "leave it out where there is no limit");
    capacity = std::min(largest_demand, capacity + std::min(offer.most.value_or(largest_demand), largest_demand));
  }
  MCOMP_CHECK(check_tiers(offers));
  if (capacity < largest_demand)
    return Error(ErrorCode::invalid_argument, "offers",
                 fmt::format("they are limited to {} machines, but the demand reaches {}", capacity, largest_demand),
                 "add an offer without limit, such as on demand");
  return {};
}

/// How many machines of an offer must and may be taken.
struct Range {
  std::int64_t least = 0, most = 0;
};

/// How many levels each offer serves, and the lowest of them; at what cost.
struct Assignment {
  double cost = std::numeric_limits<double>::infinity();
  std::vector<std::int64_t> begins, counts;
};

/// The borders between the ranges of offers that are sorted by what use costs. Let V_j(X) be the least cost of serving
/// the lowest X levels with the first j offers, and c_j(X) that of serving them all with offer j. Then
///   V_j(X) = c_j(X) + min { W_j(Y) : X - most_j <= Y <= X - least_j },   W_j = V_{j-1} - c_j.
/// c_{j-1} - c_j is convex, since use costs no less in j and higher levels are used less; so by induction W_j is
/// convex, and the minimum over the window is at its least point, or at the end of the window next to that.
class Stack {
 public:
  /// @param spare_levels  above the demand, never used: for machines that are taken to fill a tier
  Stack(std::span<const CommitmentOffer> offers, std::span<const std::int64_t> hours_above_level, std::int64_t hours,
        std::int64_t spare_levels)
      : offers_(offers), needed_(static_cast<std::int64_t>(hours_above_level.size())), levels_(needed_ + spare_levels),
        used_(1, 0.0), hours_(static_cast<double>(hours)) {
    for (const std::int64_t count : hours_above_level) used_.push_back(used_.back() + static_cast<double>(count));
    used_.resize(static_cast<std::size_t>(levels_) + 1, used_.back());
    order_.resize(offers.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::size_t a, std::size_t b) { return offers[a].used_per_hour < offers[b].used_per_hour; });
  }

  /// Hours that `count` levels from `begin` are used.
  [[nodiscard]] double used(std::int64_t begin, std::int64_t count) const {
    return used_[static_cast<std::size_t>(begin + count)] - used_[static_cast<std::size_t>(begin)];
  }

  /// The best assignment with every offer in its range; of infinite cost where there is none.
  [[nodiscard]] Assignment solve(std::span<const Range> ranges) const {
    std::vector<Stage> stages;
    // V is finite from `low` to `high`; of no offer at level 0 alone.
    std::int64_t low = 0, high = 0;
    std::vector<double> v(static_cast<std::size_t>(levels_) + 1, 0.0), w(v.size());
    for (const std::size_t j : order_) {
      Stage stage{.range = {ranges[j].least, std::min(ranges[j].most, levels_)}, .low = low, .high = high, .best = low};
      for (std::int64_t y = low; y <= high; ++y) {
        w[static_cast<std::size_t>(y)] = v[static_cast<std::size_t>(y)] - alone(j, y);
        // The larger border on a tie where this offer has a fee: fewer of it.
        const double best = w[static_cast<std::size_t>(stage.best)], here = w[static_cast<std::size_t>(y)];
        if (here < best || (here == best && offers_[j].always_per_hour > 0)) stage.best = y;
      }
      low += stage.range.least;
      high = std::min(levels_, high + stage.range.most);
      if (low > high) return {};
      for (std::int64_t x = low; x <= high; ++x)
        v[static_cast<std::size_t>(x)] = alone(j, x) + w[static_cast<std::size_t>(stage.border(x))];
      stages.push_back(stage);
    }
    if (high < needed_) return {};
    std::int64_t x = std::max(low, needed_);
    for (std::int64_t above = x; above <= high; ++above)
      if (v[static_cast<std::size_t>(above)] < v[static_cast<std::size_t>(x)]) x = above;
    Assignment result{.begins = std::vector<std::int64_t>(offers_.size()),
                      .counts = std::vector<std::int64_t>(offers_.size())};
    for (std::size_t i = stages.size(); i-- > 0;) {
      const std::int64_t y = stages[i].border(x);
      result.begins[order_[i]] = y;
      result.counts[order_[i]] = x - y;
      x = y;
    }
    result.cost = 0;
    for (std::size_t j = 0; j < offers_.size(); ++j) {
      // Of an offer without a fee nothing is taken that is not used.
      if (offers_[j].always_per_hour == 0)
        result.counts[j] = std::max<std::int64_t>(0, std::min(result.counts[j], needed_ - result.begins[j]));
      result.cost += cost(j, result);
    }
    return result;
  }

  /// Of one offer's share.
  [[nodiscard]] double cost(std::size_t j, const Assignment& assignment) const {
    return offers_[j].always_per_hour * hours_ * static_cast<double>(assignment.counts[j]) +
           offers_[j].used_per_hour * used(assignment.begins[j], assignment.counts[j]);
  }

 private:
  struct Stage {
    Range range;
    std::int64_t low = 0, high = 0; ///< where W is finite
    std::int64_t best = 0;          ///< where it is least

    [[nodiscard]] std::int64_t border(std::int64_t x) const {
      return std::clamp(best, std::max(low, x - range.most), std::min(high, x - range.least));
    }
  };

  [[nodiscard]] double alone(std::size_t j, std::int64_t x) const {
    return offers_[j].always_per_hour * hours_ * static_cast<double>(x) + offers_[j].used_per_hour * used(0, x);
  }

  std::span<const CommitmentOffer> offers_;
  std::int64_t needed_, levels_;
  std::vector<double> used_; ///< hours that the levels below x are used
  double hours_ = 0;
  std::vector<std::size_t> order_;
};

/// The range of every offer if the tiers in `open`, a bit each, are reached and the others are not; empty where one is
/// reached without that below it.
std::vector<Range> ranges(std::span<const CommitmentOffer> offers, std::uint64_t open, std::int64_t unlimited) {
  std::vector<Range> result(offers.size());
  for (std::size_t j = 0; j < offers.size(); ++j)
    result[j].most = std::min(offers[j].most.value_or(unlimited), unlimited);
  std::uint64_t bit = 1;
  for (std::size_t j = 0; j < offers.size(); ++j) {
    if (offers[j].after.empty()) continue;
    if ((open & bit) == 0)
      result[j].most = 0;
    else
      result[tier_below(offers, offers[j])].least = *offers[tier_below(offers, offers[j])].most;
    bit <<= 1;
  }
  for (const Range& range : result)
    if (range.least > range.most) return {};
  return result;
}

} // namespace

Result<Newsvendor> newsvendor(std::span<const double> demand, double on_demand_per_hour, double reserved_per_hour) {
  if (demand.empty())
    return Error(ErrorCode::insufficient_data, "demand", "there is no hour", "pass a history of hours");
  for (std::size_t i = 0; i < demand.size(); ++i)
    if (!std::isfinite(demand[i]) || demand[i] < 0)
      return invalid("demand", fmt::format("hour {} is {}, not finite and >= 0", i, demand[i]),
                     "pass machines needed by hour");
  MCOMP_CHECK(check_number("on_demand_per_hour", on_demand_per_hour));
  MCOMP_CHECK(check_number("reserved_per_hour", reserved_per_hour));
  if (on_demand_per_hour == 0)
    return invalid("on_demand_per_hour", "it is 0, so that nothing is worth reserving", "pass the price of an hour");
  std::vector<double> sorted(demand.begin(), demand.end());
  std::sort(sorted.begin(), sorted.end());
  const auto n = static_cast<double>(sorted.size());
  // Least R with at most a share r / o of hours above it, compared without a division.
  Newsvendor result;
  double total = 0, cost = 0;
  for (const double d : sorted) total += d;
  result.on_demand_cost = on_demand_per_hour * total;
  std::size_t above = sorted.size();
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (on_demand_per_hour * static_cast<double>(above) <= reserved_per_hour * n) break;
    result.reserved = sorted[i];
    while (above > 0 && sorted[sorted.size() - above] <= result.reserved) --above;
  }
  for (const double d : sorted) cost += std::max(0.0, d - result.reserved);
  result.cost = reserved_per_hour * n * result.reserved + on_demand_per_hour * cost;
  MCOMP_CHECK(check_cost(result.cost));
  MCOMP_CHECK(check_cost(result.on_demand_cost));
  return result;
}

Result<CommitmentPlan> commit(std::span<const std::int64_t> demand, std::span<const CommitmentOffer> offers) {
  MCOMP_CHECK(check_demand(demand));
  const std::int64_t largest = *std::max_element(demand.begin(), demand.end());
  MCOMP_CHECK(check_offers(offers, largest));
  // Machines that are not needed are taken for a full tier only; one beyond every fleet is never filled.
  std::int64_t spare = 0;
  std::uint64_t choices = 1;
  for (const CommitmentOffer& offer : offers) {
    if (offer.after.empty()) continue;
    choices *= 2;
    spare = std::min(most_machines, spare + std::min(most_machines, *offers[tier_below(offers, offer)].most));
  }
  const double hours = static_cast<double>(demand.size()), levels = static_cast<double>(largest + spare);
  // No sum on the way is larger than this one, so none overflows if it does not.
  for (const CommitmentOffer& offer : offers)
    MCOMP_CHECK(check_cost((offer.always_per_hour + offer.used_per_hour) * hours * levels * 4));
  const Stack stack(offers, hours_above(demand), static_cast<std::int64_t>(demand.size()), spare);
  Assignment best;
  for (std::uint64_t open = 0; open < choices; ++open)
    if (const std::vector<Range> allowed = ranges(offers, open, largest + spare); !allowed.empty())
      if (Assignment assignment = stack.solve(allowed); assignment.cost < best.cost) best = std::move(assignment);
  if (best.counts.empty())
    return Error(ErrorCode::invalid_argument, "offers", "their limits and tiers do not serve the largest demand",
                 "add an offer without limit, such as on demand");
  CommitmentPlan plan{.shares = {}, .hours = static_cast<std::int64_t>(demand.size()), .cost = best.cost};
  for (std::size_t j = 0; j < offers.size(); ++j) {
    const CommitmentOffer& offer = offers[j];
    plan.shares.push_back({.name = offer.name,
                           .count = best.counts[j],
                           .used_hours = stack.used(best.begins[j], best.counts[j]),
                           .cost = stack.cost(j, best)});
    if (offer.always_per_hour > 0 || offer.most || !offer.after.empty()) continue;
    const double alone = offer.used_per_hour * stack.used(0, largest);
    plan.uncommitted_cost = std::min(plan.uncommitted_cost.value_or(alone), alone);
  }
  MCOMP_CHECK(check_cost(plan.cost));
  return plan;
}

Result<FamiliesPlan> commit_families(std::span<const CommitmentFamily> families) {
  FamiliesPlan result;
  if (families.empty()) return Error(ErrorCode::insufficient_data, "families", "there is none", "pass at least one");
  for (const CommitmentFamily& family : families) {
    if (family.demand.size() != families[0].demand.size())
      return Error(
          ErrorCode::invalid_argument, fmt::format("family '{}'", family.name),
          fmt::format("its history has {} hours, the first one {}", family.demand.size(), families[0].demand.size()),
          "pass the same hours for every family");
    auto plan = commit(family.demand, family.offers);
    if (!plan) return plan.error().within(fmt::format("family '{}'", family.name));
    result.cost += plan->cost;
    result.families.push_back({family.name, *std::move(plan)});
  }
  MCOMP_CHECK(check_cost(result.cost));
  return result;
}

namespace {

/// Today's value of one unit a month for `months` months, paid at the end of each and starting after `delay` months.
double annuity(double monthly_interest, double delay, double months) {
  if (monthly_interest == 0) return months;
  return std::pow(1 + monthly_interest, -delay) * -std::expm1(-months * std::log1p(monthly_interest)) /
         monthly_interest;
}

/// What one hour of the horizon costs with a reservation that is bought as often as needed.
double spread_rate(const ReservedPrice& price, std::int64_t horizon_months, double annual_interest) {
  const double monthly = std::pow(1 + annual_interest, 1.0 / 12) - 1;
  const double upfront = price.payment == Payment::all_upfront       ? 1
                         : price.payment == Payment::partial_upfront ? 0.5
                                                                     : 0;
  const auto months = static_cast<double>(price.months);
  double value = 0; // of all payments, in units of an hour's price for a month
  for (std::int64_t start = 0; start < horizon_months; start += price.months) {
    const auto delay = static_cast<double>(start);
    value += upfront * months * std::pow(1 + monthly, -delay);
    value += (1 - upfront) * annuity(monthly, delay, months);
  }
  return price.per_hour * value / annuity(monthly, 0, static_cast<double>(horizon_months));
}

} // namespace

Result<std::vector<CommitmentOffer>> offers(const InstancePrice& price, const OfferOptions& options) {
  const auto bad = [](const char* what, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, what, rule, remedy);
  };
  if (options.horizon_months < 1 || options.horizon_months > 1200)
    return bad("horizon_months", fmt::format("{} is not within 1 and 1200", options.horizon_months), "pass 36");
  if (!std::isfinite(options.annual_interest) || options.annual_interest < 0 || options.annual_interest > 10)
    return bad("annual_interest", fmt::format("{} is not within 0 and 10", options.annual_interest),
               "pass 0.08 for 8%");
  if (!std::isfinite(options.cost_per_interruption) || options.cost_per_interruption < 0)
    return bad("cost_per_interruption", fmt::format("{} is not finite and >= 0", options.cost_per_interruption),
               "pass what one interruption costs");
  if (options.most_spot && *options.most_spot < 0)
    return bad("most_spot", fmt::format("{} is negative", *options.most_spot), "leave it out to use no spot machines");
  const PriceCatalogue alone{.currency = "USD", .date = "2000-01-01", .source = "argument", .instances = {price}};
  MCOMP_CHECK(alone.check("price"));
  std::vector<CommitmentOffer> result{{.name = "on demand", .used_per_hour = price.on_demand_per_hour}};
  for (const ReservedPrice& reserved : price.reserved)
    result.push_back(
        {.name = fmt::format("{} months, {}, {}", reserved.months, to_string(reserved.payment), reserved.kind),
         .always_per_hour = spread_rate(reserved, options.horizon_months, options.annual_interest)});
  if (options.most_spot) {
    if (!price.spot) return bad("most_spot", fmt::format("{} has no spot price", price.name), "leave it out");
    MCOMP_TRY(interruptions, interruptions_per_hour(*price.spot));
    result.push_back({.name = "spot",
                      .used_per_hour = price.spot->per_hour + interruptions * options.cost_per_interruption,
                      .most = options.most_spot});
  }
  return result;
}

namespace {

/// Hours of excess demand over every capacity, E(D - c)+ for c = 0, 1, ..., as a mean over the history.
class Excess {
 public:
  explicit Excess(std::span<const std::int64_t> demand) : above_(hours_above(demand)) {
    const auto n = static_cast<double>(demand.size());
    share_.resize(above_.size());
    mean_.assign(above_.size() + 1, 0.0);
    for (std::size_t k = above_.size(); k-- > 0;) {
      share_[k] = static_cast<double>(above_[k]) / n;
      mean_[k] = mean_[k + 1] + share_[k];
    }
  }
  /// E(D - capacity)+
  [[nodiscard]] double mean(std::int64_t capacity) const {
    return capacity < static_cast<std::int64_t>(above_.size()) ? mean_[static_cast<std::size_t>(capacity)] : 0;
  }
  /// Mean cost of an hour that begins with `capacity` and where more may be reserved at `reserved`.
  [[nodiscard]] double mean_cost(std::int64_t capacity, double on_demand, double reserved, bool reserve_again) const {
    if (!reserve_again) return on_demand * mean(capacity);
    // Worth reserving as long as the share of hours above is over r / o; shares fall with the level.
    const auto worth =
        std::partition_point(share_.begin(), share_.end(), [&](double share) { return on_demand * share > reserved; });
    const std::int64_t target = std::max(capacity, static_cast<std::int64_t>(worth - share_.begin()));
    return reserved * static_cast<double>(target - capacity) + on_demand * mean(target);
  }

 private:
  std::vector<std::int64_t> above_;
  std::vector<double> share_, mean_;
};

Status check(const ExpiryQuestion& question) {
  MCOMP_CHECK(check_demand(question.demand));
  for (const auto& [name, value] :
       {std::pair("on_demand_per_hour", question.on_demand_per_hour),
        std::pair("reserved_per_hour", question.reserved_per_hour), std::pair("months_until", question.months_until)})
    MCOMP_CHECK(check_number(name, value));
  for (const auto& [name, value] :
       {std::pair("term_months", question.term_months), std::pair("hours_per_month", question.hours_per_month)})
    if (!std::isfinite(value) || !(value > 0))
      return invalid(name, fmt::format("{} is not finite and > 0", value), "correct it");
  for (const auto& [name, value] : {std::pair("staying", question.staying), std::pair("expiring", question.expiring)})
    if (value < 0 || value > most_machines)
      return invalid(name, fmt::format("{} is not within 0 and {}", value, most_machines), "pass a number of machines");
  if (!(question.reduction >= 0 && question.reduction < 1))
    return invalid("reduction", fmt::format("{} is not within [0, 1)", question.reduction), "pass 0.5 for half");
  if (!(question.probability >= 0 && question.probability <= 1))
    return invalid("probability", fmt::format("{} is not within [0, 1]", question.probability), "pass a probability");
  // The largest cost that can come up.
  return check_cost((question.on_demand_per_hour + question.reserved_per_hour) * question.term_months *
                    question.hours_per_month * 4 * static_cast<double>(most_machines));
}

} // namespace

Result<ExpiryAdvice> advise_expiry(const ExpiryQuestion& question) {
  MCOMP_CHECK(check(question));
  std::vector<std::int64_t> reduced;
  for (const std::int64_t machines : question.demand)
    // Less a rounding error, so that half of 10 is 5 also where 1 - x is not exact.
    reduced.push_back(
        static_cast<std::int64_t>(std::ceil((1 - question.reduction) * static_cast<double>(machines) * (1 - 1e-12))));
  const Excess now(question.demand), then(reduced);
  const double o = question.on_demand_per_hour, r = question.reserved_per_hour;
  const double before = std::min(question.months_until, question.term_months) * question.hours_per_month;
  const double after = question.term_months * question.hours_per_month - before;
  struct Costs {
    double adopted, not_adopted;
  };
  const auto costs = [&](std::int64_t renewed) {
    const std::int64_t capacity = question.staying + renewed;
    const double common = r * (before + after) * static_cast<double>(renewed) + before * o * now.mean(capacity);
    return Costs{common + after * then.mean_cost(capacity, o, r, question.reserve_again),
                 common + after * now.mean_cost(capacity, o, r, question.reserve_again)};
  };
  const auto expected = [&](std::int64_t renewed, double probability) {
    const Costs c = costs(renewed);
    return probability * c.adopted + (1 - probability) * c.not_adopted;
  };
  const auto optimum = [&](double probability) {
    std::int64_t best = 0;
    double least = expected(0, probability);
    for (std::int64_t n = 1; n <= question.expiring; ++n)
      // By more than rounding, so that of equally cheap numbers the least is kept.
      if (const double cost = expected(n, probability); cost < least * (1 - 1e-14)) {
        least = cost;
        best = n;
      }
    return best;
  };
  ExpiryAdvice advice;
  advice.renew = optimum(question.probability);
  advice.let_expire = question.expiring - advice.renew;
  advice.expected_cost = expected(advice.renew, question.probability);
  const Costs chosen = costs(advice.renew);
  advice.cost_if_adopted = chosen.adopted;
  advice.cost_if_not = chosen.not_adopted;
  advice.renew_uninformed = optimum(0);
  advice.expected_cost_uninformed = expected(advice.renew_uninformed, question.probability);
  advice.expected_cost_all_renewed = expected(question.expiring, question.probability);
  advice.expected_cost_none_renewed = expected(0, question.probability);
  advice.at_stake = std::max(0.0, advice.expected_cost_uninformed - advice.expected_cost);
  return advice;
}

std::string to_string(const CommitmentPlan& plan) {
  std::string text;
  for (const CommitmentShare& share : plan.shares)
    if (share.count > 0) text += fmt::format("{}{} of {}", text.empty() ? "" : ", ", share.count, share.name);
  if (text.empty()) text = "nothing";
  text += fmt::format(": {:.6g} for {} hours", plan.cost, plan.hours);
  if (plan.uncommitted_cost) text += fmt::format(", {:.6g} without commitment", *plan.uncommitted_cost);
  return text;
}

std::string to_string(const ExpiryAdvice& advice) {
  return fmt::format(
      "renew {}, let {} expire: {:.6g} expected over the term, {:.6g} less than without knowing of the candidate",
      advice.renew, advice.let_expire, advice.expected_cost, advice.at_stake);
}

std::string to_json(const CommitmentPlan& plan) {
  using mcomp::detail::Json;
  Json shares = Json::array();
  for (const CommitmentShare& share : plan.shares)
    shares.push_back(
        {{"name", share.name}, {"count", share.count}, {"used_hours", share.used_hours}, {"cost", share.cost}});
  const Json root = {{"shares", shares},
                     {"hours", plan.hours},
                     {"cost", plan.cost},
                     {"uncommitted_cost", plan.uncommitted_cost ? Json(*plan.uncommitted_cost) : Json()}};
  return root.dump(2, ' ', false, mcomp::detail::Json::error_handler_t::replace);
}

std::string to_json(const ExpiryAdvice& advice) {
  const mcomp::detail::Json root = {{"renew", advice.renew},
                                    {"let_expire", advice.let_expire},
                                    {"expected_cost", advice.expected_cost},
                                    {"cost_if_adopted", advice.cost_if_adopted},
                                    {"cost_if_not", advice.cost_if_not},
                                    {"renew_uninformed", advice.renew_uninformed},
                                    {"expected_cost_uninformed", advice.expected_cost_uninformed},
                                    {"expected_cost_all_renewed", advice.expected_cost_all_renewed},
                                    {"expected_cost_none_renewed", advice.expected_cost_none_renewed},
                                    {"at_stake", advice.at_stake}};
  return root.dump(2, ' ', false, mcomp::detail::Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::cost
