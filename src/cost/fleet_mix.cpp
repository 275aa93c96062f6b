#include "mcomp/cost/fleet_mix.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/json.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double most_machines = 1e7;

Status check(std::span<const double> rates, std::span<const MachineType> types, const FleetMixOptions& options) {
  const auto bad = [](ErrorCode code, const std::string& subject, const std::string& rule, const char* remedy) {
    return Error(code, subject, rule, remedy);
  };
  const auto natural = [](double value) { return std::isfinite(value) && value >= 0; };
  if (rates.empty() || types.empty())
    return bad(ErrorCode::insufficient_data, rates.empty() ? "rates" : "types", "there is none", "pass at least one");
  if (options.slices < 1 || options.slices > 1000)
    return bad(ErrorCode::invalid_argument, "slices", fmt::format("{} is not within 1 and 1000", options.slices),
               "pass 1 to assign classes whole");
  if (options.most_steps < 1)
    return bad(ErrorCode::invalid_argument, "most_steps", fmt::format("{} is not > 0", options.most_steps),
               "leave the default");
  for (std::size_t i = 0; i < rates.size(); ++i)
    if (!natural(rates[i]))
      return bad(ErrorCode::invalid_value, "rates", fmt::format("class {} has {} requests per second", i, rates[i]),
                 "pass rates that are finite and >= 0");
  for (const MachineType& type : types) {
    const std::string subject = fmt::format("type '{}'", type.name);
    if (!natural(type.price_per_hour) || type.price_per_hour == 0)
      return bad(ErrorCode::invalid_value, subject,
                 fmt::format("its price {} is not finite and > 0", type.price_per_hour), "pass the price of an hour");
    if (type.throughput.size() != rates.size())
      return bad(ErrorCode::invalid_argument, subject,
                 fmt::format("{} throughputs for {} classes", type.throughput.size(), rates.size()),
                 "pass one for every class, 0 where it cannot serve it");
    if (!std::all_of(type.throughput.begin(), type.throughput.end(), natural))
      return bad(ErrorCode::invalid_value, subject, "a throughput is not finite and >= 0", "pass what was measured");
    if (type.most && *type.most < 0)
      return bad(ErrorCode::invalid_value, subject, fmt::format("most is {}", *type.most),
                 "leave it out without limit");
  }
  for (std::size_t i = 0; i < rates.size(); ++i)
    if (rates[i] > 0 && std::none_of(types.begin(), types.end(), [&](const MachineType& type) {
          return type.throughput[i] > 0 && (!type.most || *type.most > 0);
        }))
      return bad(ErrorCode::invalid_argument, "types", fmt::format("none serves class {}", i),
                 "add one, or leave the class out");
  return {};
}

/// Machines that a load needs. A load that is whole but for rounding is whole.
double whole(double load) {
  return std::ceil(load - 1e-9);
}

class Search {
 public:
  Search(std::span<const double> rates, std::span<const MachineType> types, const FleetMixOptions& options)
      : types_(types), options_(options), load_(types.size(), 0.0), left_(1, 0.0) {
    for (std::size_t i = 0; i < rates.size(); ++i)
      if (rates[i] > 0) classes_.push_back(make_class(i, rates[i]));
    // What costs most is decided first: the bound then bites early.
    std::stable_sort(classes_.begin(), classes_.end(),
                     [](const Class& a, const Class& b) { return a.least_price > b.least_price; });
    for (std::size_t i = classes_.size(); i-- > 0;)
      left_.push_back(left_.back() + classes_[i].least_price * static_cast<double>(options.slices));
    std::reverse(left_.begin(), left_.end());
    for (Class& c : classes_) c.parts.assign(types.size(), 0);
  }

  Result<FleetMix> run(std::size_t classes) {
    for (const Class& c : classes_)
      if (!(static_cast<double>(options_.slices) * c.least_load <= most_machines))
        return Error(ErrorCode::invalid_value, "rates",
                     fmt::format("class {} needs more than {} machines", c.index, most_machines),
                     "check the units: rates and throughputs are per second");
    branch(0, options_.slices, 0);
    if (steps_ > options_.most_steps)
      return Error(ErrorCode::unsupported, "fleet mix",
                   fmt::format("{} steps did not suffice for {} types and {} slices", options_.most_steps,
                               types_.size(), classes_.size() * static_cast<std::size_t>(options_.slices)),
                   "take fewer slices or raise most_steps");
    if (best_ == infinity)
      return Error(ErrorCode::invalid_argument, "types", "no assignment fits the limits of machines", "raise a limit");
    return result(classes);
  }

 private:
  struct Class {
    std::size_t index;
    std::vector<double> load;      ///< of one slice on a machine of every type; infinite where it cannot serve it
    double least_price = infinity; ///< of one slice, with machines that are used to the full
    double least_load = infinity;
    std::vector<std::int64_t> parts{}; ///< slices assigned to every type
  };

  Class make_class(std::size_t index, double rate) const {
    Class c{.index = index, .load = {}};
    for (const MachineType& type : types_) {
      const double throughput = type.throughput[index];
      const double load = throughput > 0 ? rate / throughput / static_cast<double>(options_.slices) : infinity;
      c.load.push_back(load);
      c.least_price = std::min(c.least_price, load * type.price_per_hour);
      c.least_load = std::min(c.least_load, load);
    }
    return c;
  }

  [[nodiscard]] double price() const {
    double sum = 0;
    for (std::size_t j = 0; j < types_.size(); ++j) sum += types_[j].price_per_hour * whole(load_[j]);
    return sum;
  }

  /// No completion is cheaper: neither than the machines that are needed already, nor than all load at its least price
  /// on machines that are used to the full.
  [[nodiscard]] double bound(std::size_t level, std::int64_t slices_left) const {
    double machines = 0, full = 0;
    for (std::size_t j = 0; j < types_.size(); ++j) {
      machines += types_[j].price_per_hour * whole(load_[j]);
      full += types_[j].price_per_hour * load_[j];
    }
    const double rest = left_[level + 1] + classes_[level].least_price * static_cast<double>(slices_left);
    return std::max(machines, full + rest);
  }

  /// Slices of one class are alike, so types take them in ascending order.
  void branch(std::size_t level, std::int64_t slices_left, std::size_t first_type) {
    if (steps_ > options_.most_steps) return;
    ++steps_;
    if (level == classes_.size()) {
      // By more than rounding, so that the first of equal ones is kept whatever the order of the sums.
      if (const double total = price(); total < best_ * (1 - 1e-12) || best_ == infinity) {
        best_ = total;
        best_classes_ = classes_;
        best_load_ = load_;
      }
      return;
    }
    if (slices_left == 0) return branch(level + 1, options_.slices, 0);
    if (best_ < infinity && bound(level, slices_left) >= best_ * (1 - 1e-12)) return;
    Class& c = classes_[level];
    // The cheapest type first, so that a good mix is found early.
    std::vector<std::size_t> order(types_.size() - first_type);
    std::iota(order.begin(), order.end(), first_type);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return c.load[a] * types_[a].price_per_hour < c.load[b] * types_[b].price_per_hour;
    });
    for (const std::size_t j : order) {
      const double before = load_[j], after = before + c.load[j];
      if (!(after <= most_machines) || (types_[j].most && whole(after) > static_cast<double>(*types_[j].most)))
        continue;
      load_[j] = after;
      ++c.parts[j];
      branch(level, slices_left - 1, j);
      --c.parts[j];
      load_[j] = before;
    }
  }

  [[nodiscard]] FleetMix result(std::size_t classes) const {
    FleetMix mix{.shares = {}, .price_per_hour = best_, .steps = steps_};
    for (std::size_t j = 0; j < types_.size(); ++j) {
      FleetShare share{.name = types_[j].name, .machines = static_cast<std::int64_t>(whole(best_load_[j]))};
      if (share.machines > 0) share.utilization = std::min(1.0, best_load_[j] / static_cast<double>(share.machines));
      share.class_share.assign(classes, 0.0);
      for (const Class& c : best_classes_)
        share.class_share[c.index] = static_cast<double>(c.parts[j]) / static_cast<double>(options_.slices);
      mix.shares.push_back(std::move(share));
    }
    return mix;
  }

  std::span<const MachineType> types_;
  FleetMixOptions options_;
  std::vector<Class> classes_;
  std::vector<double> load_; ///< on every type so far
  std::vector<double> left_; ///< [level], least price of all classes from there on
  std::int64_t steps_ = 0;
  double best_ = infinity;
  std::vector<Class> best_classes_;
  std::vector<double> best_load_;
};

} // namespace

Result<FleetMix> fleet_mix(std::span<const double> rates, std::span<const MachineType> types,
                           const FleetMixOptions& options) {
  MCOMP_CHECK(check(rates, types, options));
  return Search(rates, types, options).run(rates.size());
}

std::string to_string(const FleetMix& mix) {
  std::string text;
  for (const FleetShare& share : mix.shares)
    if (share.machines > 0)
      text += fmt::format("{}{} x {} ({:.0f}%)", text.empty() ? "" : ", ", share.machines, share.name,
                          100 * share.utilization);
  if (text.empty()) text = "nothing";
  return text + fmt::format(": {:.6g} per hour", mix.price_per_hour);
}

std::string to_json(const FleetMix& mix) {
  using mcomp::detail::Json;
  Json shares = Json::array();
  for (const FleetShare& share : mix.shares)
    shares.push_back({{"name", share.name},
                      {"machines", share.machines},
                      {"utilization", share.utilization},
                      {"class_share", share.class_share}});
  const Json root = {{"shares", shares}, {"price_per_hour", mix.price_per_hour}, {"steps", mix.steps}};
  return root.dump(2, ' ', false, mcomp::detail::Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::cost
