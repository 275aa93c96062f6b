#include "mcomp/stats/group_sequential.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "stats/interval.hpp"
#include "stats/root.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double reach = 9;           // standard deviations; P(|Z| > 9) is 2e-19
constexpr double least_spend = 1e-18; // a look that may spend less cannot stop

/// Nodes and weights of Gauss and Legendre on [-1, 1].
struct GaussLegendre {
  static constexpr int points = 12;
  double node[points], weight[points];

  GaussLegendre() {
    for (int i = 0; i < points; ++i) {
      double x = std::cos(std::numbers::pi * (i + 0.75) / (points + 0.5)), slope = 1;
      for (int step = 0; step < 20; ++step) {
        double before = 1, now = x;
        for (int k = 2; k <= points; ++k) {
          const double next = ((2 * k - 1) * x * now - (k - 1) * before) / k;
          before = now;
          now = next;
        }
        slope = points * (x * now - before) / (x * x - 1);
        const double change = now / slope;
        x -= change;
        if (std::abs(change) < 1e-16) break;
      }
      node[i] = x;
      weight[i] = 2 / ((1 - x * x) * slope * slope);
    }
  }
};

/// The distribution of the score B = Z sqrt(t) at a look among the paths that have not stopped before it.
class Paths {
 public:
  Paths(const std::vector<double>& information, double drift) : information_(&information), drift_(drift) {}

  /// P(not stopped before look k, Z_k < z).
  [[nodiscard]] double below(double z) const { return tail(z, -1); }
  [[nodiscard]] double above(double z) const { return tail(z, 1); }
  [[nodiscard]] double alive() const {
    double sum = 0;
    for (const double m : mass_) sum += m;
    return sum;
  }
  /// The z with `above(z)` = probability; infinite where that is too small to be reached.
  [[nodiscard]] double upper_boundary(double probability) const {
    if (probability < least_spend) return infinity;
    return detail::find_root([&](double z) { return above(z) - probability; }, -40, 40);
  }
  [[nodiscard]] double lower_boundary(double probability) const {
    if (probability < least_spend) return -infinity;
    return detail::find_root([&](double z) { return below(z) - probability; }, -40, 40);
  }

  /// Goes on to the next look with the paths that have low <= Z < high at this one.
  void next(double low, double high) {
    const double t = information(look_), step = t - previous(), deviation = std::sqrt(step);
    const double root = std::sqrt(t), centre = drift_ * t;
    const double from = std::max(low * root, centre - reach * root), to = std::min(high * root, centre + reach * root);
    std::vector<double> score, mass;
    if (from < to) {
      // As many panels as resolve the increments on both sides of this look.
      const double finest = std::min(deviation, std::sqrt(information(look_ + 1) - t));
      const auto panels = static_cast<std::size_t>(std::ceil((to - from) / (1.5 * finest)));
      const double half = 0.5 * (to - from) / static_cast<double>(panels);
      score.reserve(panels * GaussLegendre::points);
      mass.reserve(panels * GaussLegendre::points);
      for (std::size_t panel = 0; panel < panels; ++panel)
        for (int i = 0; i < GaussLegendre::points; ++i) {
          const double y = from + half * (2 * static_cast<double>(panel) + 1 + rule_.node[i]);
          double density = 0;
          for (std::size_t j = 0; j < score_.size(); ++j) {
            const double z = (y - score_[j] - drift_ * step) / deviation;
            if (std::abs(z) < reach) density += mass_[j] * std::exp(-0.5 * z * z);
          }
          score.push_back(y);
          mass.push_back(density * half * rule_.weight[i] / (deviation * std::sqrt(2 * std::numbers::pi)));
        }
    }
    score_ = std::move(score);
    mass_ = std::move(mass);
    ++look_;
  }

 private:
  [[nodiscard]] double information(std::size_t k) const { return (*information_)[k]; }
  [[nodiscard]] double previous() const { return look_ == 0 ? 0 : information(look_ - 1); }
  /// P(sign Z_k > sign z).
  [[nodiscard]] double tail(double z, int sign) const {
    const double step = information(look_) - previous(), edge = z * std::sqrt(information(look_)) - drift_ * step;
    double sum = 0;
    for (std::size_t j = 0; j < score_.size(); ++j)
      sum += mass_[j] * normal_cdf(sign * (score_[j] - edge) / std::sqrt(step));
    return sum;
  }

  const std::vector<double>* information_;
  double drift_;
  GaussLegendre rule_{};
  std::size_t look_ = 0;
  std::vector<double> score_{0}, mass_{1}; ///< of the look before: all paths start at 0
};

Status check_spending(const ErrorSpending& spending, const char* name) {
  if (!std::isfinite(spending.parameter) || (spending.family == SpendingFamily::power && !(spending.parameter > 0)))
    return Error(
        ErrorCode::invalid_argument, name,
        fmt::format("its parameter must be finite, and positive for the power family; it is {}", spending.parameter),
        "pass gamma between -4 and 1, or rho between 1 and 3");
  return {};
}

Status check_information(const std::vector<double>& information) {
  constexpr double least_step = 1e-3;
  if (information.empty() || information.size() > 100)
    return Error(ErrorCode::invalid_argument, "information",
                 fmt::format("a design has 1 to 100 looks, this one {}", information.size()),
                 "pass the fraction of the information at every look");
  double before = 0;
  for (std::size_t k = 0; k < information.size(); ++k) {
    if (!(information[k] >= before + least_step * (1 - 1e-9)))
      return Error(ErrorCode::invalid_argument, "information",
                   fmt::format("it must increase by at least {} from look to look, look {} has {} after {}", least_step,
                               k + 1, information[k], before),
                   "pass increasing fractions");
    before = information[k];
  }
  if (std::abs(before - 1) > 1e-12)
    return Error(ErrorCode::invalid_argument, "information",
                 fmt::format("the last look has all of it, here {}", before), "divide the fractions by the last");
  return {};
}

Status check(const GroupSequentialOptions& options) {
  MCOMP_CHECK(detail::check_level(options.alpha, "alpha"));
  MCOMP_CHECK(detail::check_level(options.power, "power"));
  MCOMP_CHECK(check_information(options.information));
  if (!(options.power > options.alpha))
    return Error(ErrorCode::invalid_argument, "power",
                 fmt::format("it must exceed alpha, it is {} with alpha {}", options.power, options.alpha),
                 "pass a power such as 0.9");
  MCOMP_CHECK(check_spending(options.alpha_spending, "alpha_spending"));
  if (options.beta_spending) {
    MCOMP_CHECK(check_spending(*options.beta_spending, "beta_spending"));
    if (options.two_sided)
      return Error(ErrorCode::invalid_argument, "beta_spending", "a two-sided design has no futility boundary here",
                   "make the design one-sided, or leave out beta_spending");
  }
  if (options.classical) {
    const auto& t = options.information;
    for (std::size_t k = 0; k < t.size(); ++k)
      if (std::abs(t[k] - static_cast<double>(k + 1) / static_cast<double>(t.size())) > 1e-9)
        return Error(ErrorCode::invalid_argument, "classical",
                     fmt::format("classical boundaries are for evenly spread looks, look {} is at {}", k + 1, t[k]),
                     "use alpha_spending");
  }
  return {};
}

/// The mirror image of the efficacy boundary, or that of futility, or none.
double lower_edge(const GroupSequentialDesign& design, std::size_t k) {
  return design.two_sided ? -design.efficacy[k] : design.futility.empty() ? -infinity : design.futility[k];
}

GroupSequentialOutcome evaluate(const GroupSequentialDesign& design, double drift) {
  GroupSequentialOutcome outcome;
  Paths paths(design.information, drift);
  const std::size_t looks = design.information.size();
  for (std::size_t k = 0; k < looks; ++k) {
    const bool last = k + 1 == looks;
    const double high = design.efficacy[k], low = lower_edge(design, k);
    outcome.reject.push_back(paths.above(high));
    outcome.reject_low.push_back(design.two_sided ? paths.below(low) : 0);
    const double below = design.two_sided || (design.futility.empty() && !last) ? 0 : paths.below(last ? high : low);
    outcome.accept.push_back(design.two_sided && last ? std::max(0.0, paths.below(high) - outcome.reject_low[k])
                                                      : below);
    outcome.power += outcome.reject[k];
    outcome.expected_information +=
        design.information[k] * (outcome.reject[k] + outcome.reject_low[k] + outcome.accept[k]);
    if (!last) paths.next(low, high);
  }
  return outcome;
}

/// Boundaries whose only freedom is a constant, for error `alpha` of one side.
void classical_boundaries(GroupSequentialDesign& design, ClassicalBoundary shape, double alpha) {
  const auto set = [&](double c) {
    for (std::size_t k = 0; k < design.information.size(); ++k)
      design.efficacy[k] = shape == ClassicalBoundary::pocock ? c : c / std::sqrt(design.information[k]);
  };
  const double single = -normal_quantile(alpha);
  set(detail::find_root(
      [&](double c) {
        set(c);
        return evaluate(design, 0).power - alpha;
      },
      single - 1e-6, single + 3, 1e-13));
}

/// What may be spent at look k.
double share(const ErrorSpending& spending, const std::vector<double>& information, std::size_t k, double level) {
  return spending.spent(information[k], level) - (k == 0 ? 0 : spending.spent(information[k - 1], level));
}

void spend_alpha(GroupSequentialDesign& design, const ErrorSpending& spending, double alpha) {
  Paths null(design.information, 0);
  for (std::size_t k = 0; k < design.information.size(); ++k) {
    design.efficacy[k] = null.upper_boundary(share(spending, design.information, k, alpha));
    if (k + 1 < design.information.size()) null.next(lower_edge(design, k), design.efficacy[k]);
  }
}

/// Futility boundaries under `drift`, and binding ones for efficacy with them. Returns the error of the second kind
/// less what is allowed.
double spend_beta(GroupSequentialDesign& design, const GroupSequentialOptions& options, double drift) {
  const double beta = 1 - options.power;
  const std::size_t looks = design.information.size();
  Paths null(design.information, 0), alternative(design.information, drift);
  double error = 0;
  for (std::size_t k = 0; k + 1 < looks; ++k) {
    if (options.binding_futility)
      design.efficacy[k] = null.upper_boundary(share(options.alpha_spending, design.information, k, options.alpha));
    const double allowed = share(*options.beta_spending, design.information, k, beta);
    // Where so few paths are left that all may be given up, the boundaries meet.
    design.futility[k] =
        allowed >= alternative.below(design.efficacy[k]) ? design.efficacy[k] : alternative.lower_boundary(allowed);
    error += alternative.below(design.futility[k]);
    if (options.binding_futility) null.next(design.futility[k], design.efficacy[k]);
    alternative.next(design.futility[k], design.efficacy[k]);
  }
  if (options.binding_futility) {
    const double left = share(options.alpha_spending, design.information, looks - 1, options.alpha);
    design.efficacy[looks - 1] = null.alive() > left ? null.upper_boundary(left) : -infinity;
  }
  design.futility[looks - 1] = design.efficacy[looks - 1];
  return error + alternative.below(design.efficacy[looks - 1]) - beta;
}

void accumulate(std::vector<double>& values) {
  for (std::size_t k = 1; k < values.size(); ++k) values[k] += values[k - 1];
}

} // namespace

double ErrorSpending::spent(double t, double level) const noexcept {
  if (!(level > 0 && level < 1 && t >= 0) || !std::isfinite(parameter) ||
      (family == SpendingFamily::power && !(parameter > 0)))
    return std::numeric_limits<double>::quiet_NaN();
  if (t >= 1) return level;
  if (t == 0) return 0;
  switch (family) {
  case SpendingFamily::obrien_fleming:
    return 2 * normal_cdf(normal_quantile(level / 2) / std::sqrt(t));
  case SpendingFamily::pocock:
    return level * std::log1p((std::numbers::e - 1) * t);
  case SpendingFamily::hwang_shih_decani:
    return std::abs(parameter) < 1e-12 ? level * t : level * std::expm1(-parameter * t) / std::expm1(-parameter);
  case SpendingFamily::power:
    return level * std::pow(t, parameter);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

Result<GroupSequentialDesign> design_group_sequential(const GroupSequentialOptions& options) {
  MCOMP_CHECK(check(options));
  const double one_side = options.two_sided ? options.alpha / 2 : options.alpha;
  GroupSequentialDesign design;
  design.alpha = options.alpha;
  design.power = options.power;
  design.two_sided = options.two_sided;
  design.information = options.information;
  design.information.back() = 1;
  const std::size_t looks = design.information.size();
  design.efficacy.assign(looks, infinity);

  if (options.classical)
    classical_boundaries(design, *options.classical, one_side);
  else
    spend_alpha(design, options.alpha_spending, one_side);

  const double fixed_drift = normal_quantile(options.power) - normal_quantile(one_side);
  if (options.beta_spending) {
    if (options.classical && options.binding_futility)
      return Error(ErrorCode::invalid_argument, "binding_futility", "classical boundaries are not lowered by futility",
                   "use alpha_spending, or non-binding futility");
    design.futility.assign(looks, -infinity);
    double low = 0.5 * fixed_drift, high = fixed_drift;
    for (int step = 0; spend_beta(design, options, high) > 0; ++step) {
      low = high;
      high *= 1.25;
      if (step == 20)
        return Error(ErrorCode::invalid_argument, "beta_spending",
                     "it gives up so early that no effect has the power asked for",
                     "spend later: a smaller gamma or a larger rho");
    }
    design.drift =
        detail::find_root([&](double drift) { return spend_beta(design, options, drift); }, low, high, 1e-11);
    spend_beta(design, options, design.drift);
  } else {
    double high = fixed_drift;
    while (evaluate(design, high).power < options.power) high *= 1.25;
    design.drift = detail::find_root([&](double drift) { return evaluate(design, drift).power - options.power; },
                                     0.5 * fixed_drift, high, 1e-11);
  }

  GroupSequentialDesign no_futility = design;
  if (!options.binding_futility) no_futility.futility.clear();
  design.alpha_spent = evaluate(no_futility, 0).reject;
  const GroupSequentialOutcome null = evaluate(design, 0), alternative = evaluate(design, design.drift);
  design.power_by = alternative.reject;
  design.beta_spent = alternative.accept;
  for (auto* values : {&design.alpha_spent, &design.power_by, &design.beta_spent}) accumulate(*values);
  design.fixed_information = fixed_drift * fixed_drift;
  design.inflation = design.drift * design.drift / design.fixed_information;
  design.expected_null = null.expected_information * design.inflation;
  design.expected_alternative = alternative.expected_information * design.inflation;
  return design;
}

Result<GroupSequentialOutcome> evaluate_design(const GroupSequentialDesign& design, double drift) {
  MCOMP_CHECK(check_information(design.information));
  const std::size_t looks = design.information.size();
  if (design.efficacy.size() != looks || (!design.futility.empty() && design.futility.size() != looks))
    return Error(ErrorCode::invalid_argument, "design",
                 fmt::format("{} looks, {} efficacy and {} futility boundaries", looks, design.efficacy.size(),
                             design.futility.size()),
                 "pass a design of design_group_sequential");
  for (std::size_t k = 0; k < looks; ++k)
    if (std::isnan(design.efficacy[k]) || !(lower_edge(design, k) <= design.efficacy[k]))
      return Error(ErrorCode::invalid_argument, "design",
                   fmt::format("look {}: the lower boundary must not exceed the upper one", k + 1),
                   "pass a design of design_group_sequential");
  if (!std::isfinite(drift))
    return Error(ErrorCode::invalid_argument, "drift", fmt::format("it must be finite, it is {}", drift),
                 "pass the mean of Z at the last look");
  return evaluate(design, drift);
}

Result<double> repeated_test_error(const std::vector<double>& information, double z) {
  if (!(z > 0))
    return Error(ErrorCode::invalid_argument, "z", fmt::format("it must be positive, it is {}", z),
                 "pass a critical value such as 1.96");
  GroupSequentialDesign design;
  design.two_sided = true;
  design.information = information;
  design.efficacy.assign(information.size(), z);
  MCOMP_TRY(outcome, evaluate_design(design, 0));
  return 2 * outcome.power;
}

std::string to_string(const GroupSequentialDesign& design) {
  const auto list = [](const std::vector<double>& values) {
    std::string text;
    for (const double value : values) text += fmt::format("{}{:.4g}", text.empty() ? "" : ", ", value);
    return text;
  };
  std::string text =
      fmt::format("{} looks, {} alpha {:.4g}, power {:.4g}: reject at Z {}", design.information.size(),
                  design.two_sided ? "two-sided" : "one-sided", design.alpha, design.power, list(design.efficacy));
  if (!design.futility.empty()) text += fmt::format("; give up below {}", list(design.futility));
  return text + fmt::format("; inflation {:.4g}, expected {:.4g} without effect, {:.4g} with it", design.inflation,
                            design.expected_null, design.expected_alternative);
}

} // namespace mcomp::inline v0::stats
