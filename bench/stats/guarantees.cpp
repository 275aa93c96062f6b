// What the room `stats` promises, by simulation with fixed seeds: false alarms of tests that are looked at after every
// observation, coverage of intervals, power and length of designs, the error of sketches. Prints Markdown; ends with
// status 1 where a promise is not kept. The short form of each is a test in test/stats.
//
//     bench_guarantees [--scale S]      S = 1: about ten minutes of one core; .01 for a look
//
// bench/guarantees.sh writes the result into bench/results/guarantees.md.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/bootstrap.hpp"
#include "mcomp/stats/confidence_sequence.hpp"
#include "mcomp/stats/distributions.hpp"
#include "mcomp/stats/group_sequential.hpp"
#include "mcomp/stats/latency.hpp"
#include "mcomp/stats/mean_difference.hpp"
#include "mcomp/stats/paired.hpp"
#include "mcomp/stats/paired_mean.hpp"
#include "mcomp/stats/power.hpp"
#include "mcomp/stats/proportion.hpp"
#include "mcomp/stats/quantile.hpp"
#include "mcomp/stats/sequential_quantile.hpp"
#include "mcomp/stats/sequential_test.hpp"
#include "mcomp/stats/sketch.hpp"
#include "mcomp/stats/uniform_boundary.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::stats;

double scale = 1;
bool kept = true; ///< every promise so far
constexpr double alpha = 0.05;

std::int64_t scaled(double runs) {
  return std::max<std::int64_t>(50, static_cast<std::int64_t>(runs * scale));
}

ThreadPool& pool() {
  static ThreadPool threads;
  return threads;
}

/// Sums of what `run` adds to its array, over independent runs. Each has its own random numbers, so that the sum does
/// not depend on the number of threads (whole numbers and few fractions are added in blocks of fixed size).
template <std::size_t N, class Run>
std::array<double, N> simulate(std::int64_t runs, std::uint64_t seed, const Run& run) {
  constexpr std::int64_t block = 200;
  const auto blocks = static_cast<std::size_t>((runs + block - 1) / block);
  std::vector<std::array<double, N>> sums(blocks);
  pool().run(blocks, [&](std::size_t b) {
    sums[b].fill(0);
    const auto first = static_cast<std::int64_t>(b) * block;
    for (std::int64_t r = first; r < std::min(runs, first + block); ++r) {
      Random random(seed, static_cast<std::uint64_t>(r));
      run(random, sums[b]);
    }
  });
  std::array<double, N> total{};
  for (const auto& sum : sums)
    for (std::size_t i = 0; i < N; ++i) total[i] += sum[i];
  return total;
}

/// A share with its bound: at most `allowed` up to three standard errors.
std::string at_most(double count, std::int64_t runs, double allowed) {
  const double share = count / static_cast<double>(runs);
  const bool good = share <= allowed + 3 * std::sqrt(allowed * (1 - allowed) / static_cast<double>(runs));
  kept &= good;
  return fmt::format("{:.4f}{}", share, good ? "" : " **too many**");
}

/// Successes of probability p by comparing whole numbers.
struct Coin {
  std::uint64_t threshold;
  explicit Coin(double p) : threshold(static_cast<std::uint64_t>(p * 0x1p64)) {}
  bool operator()(Random& random) const { return random.next() < threshold; }
};

void table_head(const std::vector<std::string>& names) {
  std::string line = "|", rule = "|";
  for (const auto& name : names) {
    line += " " + name + " |";
    rule += " --- |";
  }
  fmt::print("{}\n{}\n", line, rule);
}

// --- False alarms
// -----------------------------------------------------------------------------------------------------

constexpr int observations = 2000;

/// How often a test that is fed `observations` observations alarms at any of its looks.
using NullTest = std::function<bool(Random&, double accuracy)>;

bool paired_alarm(Random& random, double accuracy) {
  auto test = SequentialPairedDifference::create().value();
  const Coin right(accuracy);
  for (int i = 0; i < observations && !test.rejects(); ++i) {
    const bool a = right(random), b = right(random);
    test.update(a, b);
  }
  return test.rejects();
}

/// At the edge of the null hypothesis "loses 2% or more".
bool margin_alarm(Random& random, double accuracy) {
  auto test = SequentialPairedDifference::create({.null_loss = .02, .alternative = Alternative::less}).value();
  const Coin base(accuracy), candidate(accuracy - .02);
  for (int i = 0; i < observations && !test.rejects(); ++i) {
    const bool a = base(random), b = candidate(random);
    test.update(a, b);
  }
  return test.rejects();
}

bool proportion_alarm(Random& random, double accuracy) {
  auto test = SequentialProportion::create({.null_value = accuracy}).value();
  const Coin right(accuracy);
  for (int i = 0; i < observations && !test.rejects(); ++i) test.update(right(random));
  return test.rejects();
}

/// The one-sided test by its boundary, which the test reaches at the same observation.
bool one_sided_proportion_alarm(Random& random, double accuracy) {
  static std::mutex mutex;
  static std::map<double, std::vector<double>> boundaries;
  const std::vector<double>& boundary = [&]() -> const std::vector<double>& {
    const std::lock_guard lock(mutex);
    auto& found = boundaries[accuracy];
    if (found.empty()) {
      const double v = accuracy * (1 - accuracy);
      const auto mixture =
          BetaBinomialMixture::create({.variance = 1000 * v, .alpha = alpha}, 1 - accuracy, accuracy, true).value();
      for (int i = 1; i <= observations; ++i) {
        const double s = mixture.boundary(v * i, alpha), largest = accuracy * i;
        // Where even failures alone are no evidence, the boundary is their sum, and not crossed.
        const bool reachable = mixture.log_mixture(largest, v * i) >= -std::log(alpha);
        found.push_back(reachable ? s : std::numeric_limits<double>::infinity());
      }
    }
    return found;
  }();
  const Coin right(accuracy);
  double failures = 0;
  for (int i = 1; i <= observations; ++i) {
    failures += !right(random);
    if (failures - (1 - accuracy) * i >= boundary[static_cast<std::size_t>(i - 1)] - 1e-9) return true;
  }
  return false;
}

template <int baseline_share> bool ab_alarm(Random& random, double accuracy) {
  auto test = SequentialABTest::create().value();
  const Coin right(accuracy), baseline(baseline_share / 100.0);
  for (int i = 0; i < observations && !test.rejects(); ++i) {
    const bool success = right(random);
    baseline(random) ? test.update_baseline(success) : test.update_candidate(success);
  }
  return test.rejects();
}

bool asymptotic_mean_alarm(Random& random, double accuracy) {
  auto test = AsymptoticMeanSequence::create().value();
  const Coin right(accuracy);
  for (int i = 0; i < observations && !test.rejects(); ++i) {
    const int a = right(random), b = right(random);
    test.update(a - b);
  }
  return test.rejects();
}

bool asymptotic_difference_alarm(Random& random, double accuracy) {
  auto test = AsymptoticDifferenceSequence::create().value();
  const Coin right(accuracy), half(.5);
  for (int i = 0; i < observations && !test.rejects(); ++i) {
    const bool success = right(random);
    half(random) ? test.update_baseline(success) : test.update_candidate(success);
  }
  return test.rejects();
}

bool bernstein_alarm(Random& random, double accuracy) {
  auto sequence = EmpiricalBernsteinSequence::create().value();
  const Coin right(accuracy);
  for (int i = 0; i < observations && sequence.interval().contains(accuracy); ++i) sequence.update(right(random));
  return !sequence.interval().contains(accuracy);
}

bool betting_alarm(Random& random, double accuracy) {
  auto sequence = BettingSequence::create({.grid = 199}).value();
  const Coin right(accuracy);
  for (int i = 0; i < observations && sequence.interval().contains(accuracy); ++i) sequence.update(right(random));
  return !sequence.interval().contains(accuracy);
}

/// Two arms of equal size at five planned looks, pooled z.
bool group_sequential_alarm(Random& random, double accuracy) {
  static const GroupSequentialDesign design =
      design_group_sequential({.alpha = alpha, .two_sided = true, .information = {.2, .4, .6, .8, 1}}).value();
  const Coin right(accuracy);
  double a = 0, b = 0, n = 0;
  for (std::size_t k = 0; k < 5; ++k) {
    for (; n < .5 * observations * design.information[k]; ++n) {
      a += right(random);
      b += right(random);
    }
    const double p = (a + b) / (2 * n), variance = 2 * p * (1 - p) / n;
    if (variance > 0 && std::abs(b - a) / n >= design.efficacy[k] * std::sqrt(variance)) return true;
  }
  return false;
}

/// McNemar's test after every pair, from the tenth disagreement on.
bool naive_paired_alarm(Random& random, double accuracy) {
  const Coin right(accuracy);
  double b = 0, c = 0;
  for (int i = 0; i < observations; ++i) {
    const bool first = right(random), second = right(random);
    b += first && !second;
    c += second && !first;
    if (b + c >= 10 && (b - c) * (b - c) > 3.841458820694124 * (b + c)) return true;
  }
  return false;
}

/// The pooled z test of two proportions after every observation, from the hundredth on.
bool naive_ab_alarm(Random& random, double accuracy) {
  const Coin right(accuracy), half(.5);
  double n[2] = {}, s[2] = {};
  for (int i = 0; i < observations; ++i) {
    const int arm = half(random);
    ++n[arm];
    s[arm] += right(random);
    if (i < 100 || n[0] == 0 || n[1] == 0) continue;
    const double p = (s[0] + s[1]) / (n[0] + n[1]), variance = p * (1 - p) * (1 / n[0] + 1 / n[1]);
    const double difference = s[0] / n[0] - s[1] / n[1];
    if (difference * difference > 3.841458820694124 * variance) return true;
  }
  return false;
}

void false_alarms() {
  fmt::print("## False alarms of tests looked at after every observation\n\n"
             "Share of A/B tests without any difference that alarm at one of their looks, alpha .05. Each test has {} "
             "observations (paired: pairs) and is looked at after every one; allowed are alpha and three standard "
             "errors (.0521 at 100,000 tests).\n\n",
             observations);
  table_head({"test", "runs each", "accuracy .5", ".9", ".99"});
  const struct {
    const char* name;
    double runs;
    NullTest test;
    bool promised;
  } rows[] = {
      {"paired answers, no loss", 1e5, paired_alarm, true},
      {"paired answers, loss at the margin of 2%, non-inferiority", 1e5, margin_alarm, true},
      {"two streams, half of the traffic each", 1e5, ab_alarm<50>, true},
      {"two streams, 5% to the candidate", 1e5, ab_alarm<95>, true},
      {"one stream against its accuracy", 1e5, proportion_alarm, true},
      {"one stream, one-sided (by its boundary)", 1e5, one_sided_proportion_alarm, true},
      {"asymptotic sequence, paired differences", 1e5, asymptotic_mean_alarm, true},
      {"asymptotic sequence, two streams", 1e5, asymptotic_difference_alarm, true},
      {"empirical Bernstein sequence of one stream misses its mean", 1e5, bernstein_alarm, true},
      {"betting sequence of one stream misses its mean", 1e5, betting_alarm, true},
      {"group sequential, five looks, O'Brien-Fleming spending", 1e5, group_sequential_alarm, true},
      {"*naive: McNemar's test after every pair*", 1e5, naive_paired_alarm, false},
      {"*naive: z test of two streams after every observation*", 1e5, naive_ab_alarm, false},
  };
  std::uint64_t seed = 100;
  for (const auto& row : rows) {
    const std::int64_t runs = scaled(row.runs);
    std::string line = fmt::format("| {} | {} |", row.name, runs);
    for (const double accuracy : {.5, .9, .99}) {
      const auto alarms = simulate<1>(
          runs, ++seed, [&](Random& random, std::array<double, 1>& sum) { sum[0] += row.test(random, accuracy); });
      line += row.promised ? fmt::format(" {} |", at_most(alarms[0], runs, alpha))
                           : fmt::format(" {:.4f} |", alarms[0] / static_cast<double>(runs));
      if (!row.promised) kept &= alarms[0] / static_cast<double>(runs) > .1; // it must be seen to fail
    }
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }
  // Quantiles take ten microseconds a look: every eightieth observation.
  const std::int64_t runs = scaled(1e5);
  std::string line;
  for (const double p : {.5, .9, .99}) {
    const auto alarms = simulate<1>(runs, ++seed, [&](Random& random, std::array<double, 1>& sum) {
      auto a = QuantileSketch::create({.negative_values = false}).value(), b = a;
      EProcess evidence;
      for (int i = 1; i <= observations / 2; ++i) {
        a.add(std::exp(random.normal()));
        b.add(std::exp(random.normal()));
        if (i % 40 == 0)
          evidence.update(quantile_ab_test(a, b, p, {.planned_count = observations / 2.}).value().e_value);
      }
      sum[0] += evidence.p_value() <= alpha;
    });
    line += fmt::format(" {} |", at_most(alarms[0], runs, alpha));
  }
  fmt::print("\nLatency quantiles of two streams (log-normal), looked at after every 80th of {} observations:\n\n",
             observations);
  table_head({"test", "runs each", "p50", "p90", "p99"});
  fmt::print("| sequential quantile test on sketches | {} |{}\n\n", runs, line);
}

// --- Power
// ------------------------------------------------------------------------------------------------------------

/// One line: rejections by n, 1.5 n and 4 n of the fixed sample, and the mean number of observations until the test
/// stops, at most 4 n.
template <class Step>
void power_line(const char* name, std::int64_t fixed, double fixed_power, std::uint64_t seed, const Step& step) {
  const std::int64_t runs = scaled(4000), most = 4 * fixed;
  const auto sums = simulate<4>(runs, seed, [&](Random& random, std::array<double, 4>& sum) {
    const std::int64_t stop = step(random, most);
    sum[0] += stop <= fixed;
    sum[1] += 2 * stop <= 3 * fixed;
    sum[2] += stop <= most;
    sum[3] += static_cast<double>(std::min(stop, most)) / static_cast<double>(fixed);
  });
  const auto n = static_cast<double>(runs);
  fmt::print("| {} | {} | {:.3f} | {:.3f} | {:.3f} | {:.3f} | {:.2f} |\n", name, fixed, fixed_power, sums[0] / n,
             sums[1] / n, sums[2] / n, sums[3] / n);
  std::fflush(stdout);
}

void power() {
  fmt::print("## Power and length beside the fixed-sample test\n\n"
             "A true difference, alpha .05 two-sided. n is the fixed sample with power .8; a sequential test may go on "
             "to 4 n. It stops early where the difference is clear and needs more than n where it is not; a planned "
             "group sequential design costs a few percent. Mean length in units of n.\n\n");
  table_head({"test", "n", "power fixed", "by n", "by 1.5 n", "by 4 n", "mean length"});
  for (const auto& truth : {std::pair{.06, .02}, {.03, .01}}) {
    const double discordant = truth.first, loss = truth.second;
    const std::int64_t pairs = sample_size_paired({.discordant = discordant, .loss = loss}).value();
    const double b = .5 * (discordant + loss);
    const auto name = fmt::format("paired answers, {}% disagree, loss {}%", 100 * discordant, 100 * loss);
    power_line(name.c_str(), pairs, power_paired(pairs, {.discordant = discordant, .loss = loss}).value(), 301,
               [&](Random& random, std::int64_t most) {
                 auto test = SequentialPairedDifference::create().value();
                 for (std::int64_t i = 1; i <= most; ++i) {
                   const double u = random.uniform();
                   test.update(u < b || u >= discordant, u >= b);
                   if (test.rejects()) return i;
                 }
                 return most + 1;
               });
    const auto asymptotic = fmt::format("the same by the asymptotic sequence planned for n");
    power_line(asymptotic.c_str(), pairs, power_paired(pairs, {.discordant = discordant, .loss = loss}).value(), 302,
               [&](Random& random, std::int64_t most) {
                 auto test =
                     AsymptoticMeanSequence::create({.planned_observations = static_cast<double>(pairs)}).value();
                 for (std::int64_t i = 1; i <= most; ++i) {
                   const double u = random.uniform();
                   test.update(u < b ? 1 : u < discordant ? -1 : 0);
                   if (test.rejects()) return i;
                 }
                 return most + 1;
               });
  }
  const double p = .90, q = .88;
  const std::int64_t each = sample_size_proportions(p, q).value();
  power_line("two streams, accuracies .90 and .88", 2 * each, power_proportions(each, p, q).value(), 303,
             [&](Random& random, std::int64_t most) {
               auto test = SequentialABTest::create().value();
               const Coin first(p), second(q), half(.5);
               for (std::int64_t i = 1; i <= most; ++i) {
                 half(random) ? test.update_baseline(first(random)) : test.update_candidate(second(random));
                 if (test.rejects()) return i;
               }
               return most + 1;
             });
  const std::int64_t single = sample_size_mean(.02, std::sqrt(.9 * .1)).value();
  power_line(
      "one stream, accuracy .88 against .90", single, power_mean(single, .02, std::sqrt(.9 * .1)).value(), 304,
      [&](Random& random, std::int64_t most) {
        auto test =
            SequentialProportion::create({.null_value = .9, .planned_trials = static_cast<double>(single)}).value();
        const Coin right(.88);
        for (std::int64_t i = 1; i <= most; ++i) {
          test.update(right(random));
          if (test.rejects()) return i;
        }
        return most + 1;
      });

  fmt::print("\n## Group sequential designs: simulated against calculated\n\n"
             "Two streams of accuracies .90 and .88, looks at the design's fractions of its largest sample; wanted: "
             "power within one point of the calculation. Length in units of the fixed sample.\n\n");
  table_head({"design", "runs", "power calculated", "simulated", "length calculated", "simulated"});
  const struct {
    const char* name;
    GroupSequentialOptions options;
  } designs[] = {
      {"O'Brien-Fleming, 5 looks", {.power = .9, .information = {.2, .4, .6, .8, 1}}},
      {"Pocock spending, 3 looks", {.power = .8, .alpha_spending = {SpendingFamily::pocock}}},
      {"Hwang-Shih-DeCani -4, futility -2, looks at .1, .5, 1",
       {.power = .9,
        .information = {.1, .5, 1},
        .alpha_spending = {SpendingFamily::hwang_shih_decani, -4},
        .beta_spending = ErrorSpending{SpendingFamily::hwang_shih_decani, -2}}},
      {"Kim-DeMets 2, binding futility 3, 4 looks",
       {.power = .8,
        .information = {.25, .5, .75, 1},
        .alpha_spending = {SpendingFamily::power, 2},
        .beta_spending = ErrorSpending{SpendingFamily::power, 3},
        .binding_futility = true}},
  };
  for (const auto& [name, options] : designs) {
    const GroupSequentialDesign design = design_group_sequential(options).value();
    const double deviation = std::sqrt(p * (1 - p) + q * (1 - q));
    const double most = std::ceil(std::pow(design.drift * deviation / (p - q), 2)); // of each arm
    const std::int64_t runs = scaled(40000);
    const auto sums = simulate<2>(runs, 400, [&](Random& random, std::array<double, 2>& sum) {
      const Coin first(p), second(q);
      double a = 0, b = 0, n = 0;
      for (std::size_t k = 0; k < design.information.size(); ++k) {
        for (; n < std::round(most * design.information[k]); ++n) {
          a += first(random);
          b += second(random);
        }
        const double x = a / n, y = b / n, z = (x - y) / std::sqrt((x * (1 - x) + y * (1 - y)) / n);
        const bool reject = z >= design.efficacy[k], last = k + 1 == design.information.size();
        if (reject || last || (!design.futility.empty() && z < design.futility[k])) {
          sum[0] += reject;
          sum[1] += n / most;
          return;
        }
      }
    });
    const double simulated = sums[0] / static_cast<double>(runs);
    const bool good =
        std::abs(simulated - design.power) <= .01 + 3 * std::sqrt(.25 / static_cast<double>(runs)) * (scale < 1);
    kept &= good;
    fmt::print("| {} | {} | {:.4f} | {:.4f}{} | {:.3f} | {:.3f} |\n", name, runs, design.power, simulated,
               good ? "" : " **off**", design.expected_alternative,
               sums[1] / static_cast<double>(runs) * design.inflation);
    std::fflush(stdout);
  }
}

// --- Coverage
// ---------------------------------------------------------------------------------------------------------

/// Misses of an interval; where it is exact they are bounded, else only reported, and bounded by one and a half times.
template <class Run>
void coverage_line(const char* name, const char* where, double runs_wanted, std::uint64_t seed, bool exact,
                   const Run& run) {
  const std::int64_t runs = scaled(runs_wanted);
  const auto missed =
      simulate<1>(runs, seed, [&](Random& random, std::array<double, 1>& sum) { sum[0] += !run(random); });
  const double share = missed[0] / static_cast<double>(runs);
  const double allowed = exact ? alpha : 1.5 * alpha;
  const std::string text = at_most(missed[0], runs, allowed);
  fmt::print("| {} | {} | {} | {} | {} |\n", name, where, runs, exact ? "at least .95" : "about .95",
             text.find('*') == std::string::npos ? fmt::format("{:.4f}", 1 - share)
                                                 : fmt::format("{:.4f} **too low**", 1 - share));
  std::fflush(stdout);
}

double exponential(Random& random) {
  return -std::log1p(-random.uniform());
}

void coverage() {
  fmt::print("\n## Coverage of 95% intervals\n\n"
             "How often the interval holds the truth. \"At least\" is a guarantee, \"about\" is what an approximation "
             "aims at; sequences count as covering only where they do so at every look.\n\n");
  table_head({"interval", "simulated", "runs", "promise", "coverage"});
  for (const auto& [n, p] : {std::pair{50, .9}, {1000, .99}}) {
    const auto where = fmt::format("{} trials, p {}", n, p);
    const auto successes = [n = n, p = p](Random& random) {
      const Coin coin(p);
      std::int64_t s = 0;
      for (int i = 0; i < n; ++i) s += coin(random);
      return s;
    };
    coverage_line("Wilson", where.c_str(), 50000, 501, false,
                  [&, n = n, p = p](Random& r) { return wilson_interval(successes(r), n).value().contains(p); });
    coverage_line("Clopper-Pearson", where.c_str(), 50000, 502, true, [&, n = n, p = p](Random& r) {
      return clopper_pearson_interval(successes(r), n).value().contains(p);
    });
  }
  for (const auto& [n, b, c] : {std::tuple{100, .12, .05}, {2000, .02, .01}}) {
    const auto where = fmt::format("{} pairs, {} and {} disagree", n, b, c);
    coverage_line("Tango, paired accuracy", where.c_str(), 20000, 503, false, [n = n, b = b, c = c](Random& random) {
      PairedCounts counts;
      for (int i = 0; i < n; ++i) {
        const double u = random.uniform();
        ++(u < b ? counts.only_baseline_right : u < b + c ? counts.only_candidate_right : counts.both_right);
      }
      return tango_interval(counts).value().contains(b - c);
    });
  }
  coverage_line("paired mean, Student's t", "30 pairs, normal differences", 50000, 504, false, [](Random& random) {
    std::vector<double> a(30), b(30);
    for (std::size_t i = 0; i < 30; ++i) b[i] = (a[i] = random.normal()) + random.normal() + .3;
    return paired_mean(a, b).value().interval.contains(.3);
  });
  coverage_line("the same", "200 pairs, exponential losses", 20000, 505, false, [](Random& random) {
    std::vector<double> a(200), b(200);
    for (std::size_t i = 0; i < 200; ++i) b[i] = (a[i] = exponential(random)) * (.5 + random.uniform());
    return paired_mean(a, b).value().interval.contains(0);
  });
  coverage_line("CUPED, mean", "50 pairs, rho .9, covariate of 500", 20000, 506, false, [](Random& random) {
    std::vector<double> x(50), y(50);
    double mean = 0;
    for (std::size_t i = 0; i < 50; ++i) {
      mean += (x[i] = random.normal()) / 500;
      y[i] = .9 * x[i] + std::sqrt(.19) * random.normal();
    }
    mean += std::sqrt(450.) * random.normal() / 500;
    return cuped_mean(x, y, {.baseline_mean = mean, .baseline_count = 500}).value().interval.contains(0);
  });
  coverage_line("CUPED, two arms", "50 and 80 outcomes, rho .9", 20000, 507, false, [](Random& random) {
    std::vector<double> x[2], y[2];
    for (const std::size_t arm : {0U, 1U})
      for (int i = 0; i < (arm == 0 ? 50 : 80); ++i) {
        x[arm].push_back(random.normal());
        y[arm].push_back(.9 * x[arm].back() + std::sqrt(.19) * random.normal() + .2 * static_cast<double>(arm));
      }
    return cuped_difference({y[0], x[0]}, {y[1], x[1]}).value().interval.contains(.2);
  });
  coverage_line("Welch, relative lift", "200 and 300 exponential values", 20000, 508, false, [](Random& random) {
    double sums[2][2] = {};
    for (int i = 0; i < 500; ++i) {
      const int arm = i < 200 ? 0 : 1;
      const double value = (arm == 0 ? 1 : 1.2) * exponential(random);
      sums[arm][0] += value;
      sums[arm][1] += value * value;
    }
    return compare_means(SampleMoments::from_sums(200, sums[0][0], sums[0][1]).value(),
                         SampleMoments::from_sums(300, sums[1][0], sums[1][1]).value(), {.relative = true})
        .value()
        .interval.contains(.2);
  });
  for (const double p : {.5, .95}) {
    const auto where = fmt::format("p{}, 300 exponential values", 100 * p);
    coverage_line("quantile by order statistics", where.c_str(), 20000, 509, true, [p](Random& random) {
      std::vector<double> values(300);
      for (double& value : values) value = exponential(random);
      const auto q = estimate_quantile(values, p).value();
      const double truth = -std::log1p(-p);
      return *q.lower <= truth && truth <= *q.upper;
    });
    coverage_line("quantile of a sketch", where.c_str(), 20000, 510, true, [p](Random& random) {
      auto sketch = QuantileSketch::create({.negative_values = false}).value();
      for (int i = 0; i < 300; ++i) sketch.add(exponential(random));
      const auto q = sketch.estimate_quantile(p).value();
      const double truth = -std::log1p(-p);
      return *q.lower <= truth && truth <= *q.upper;
    });
    coverage_line("difference and ratio of quantiles", where.c_str(), 20000, 511, true, [p](Random& random) {
      std::vector<double> a(300), b(300);
      for (double& value : a) value = exponential(random);
      for (double& value : b) value = 1.5 * exponential(random);
      const auto compared = compare_quantiles(a, b, p).value();
      return compared.difference->contains(-.5 * std::log1p(-p)) && compared.ratio->contains(1.5);
    });
  }
  coverage_line(
      "tail objective, 95% confidence", "p99 exactly at its limit, 700 queries", 20000, 512, true, [](Random& random) {
        const Coin late(.01);
        std::int64_t count = 0;
        for (int i = 0; i < 700; ++i) count += late(random);
        return tail_objective({.late = count, .queries = 700, .confidence = .95}).value().verdict != TailVerdict::met;
      });
  for (const auto method : {BootstrapMethod::percentile, BootstrapMethod::bca})
    coverage_line(method == BootstrapMethod::bca ? "cluster bootstrap, BCa" : "cluster bootstrap, percentile",
                  "mean of 60 users with 1 to 9 requests, 500 replicates", 2000, 513, false, [method](Random& random) {
                    std::vector<std::int64_t> user;
                    std::vector<double> value;
                    for (int u = 0; u < 60; ++u) {
                      const double level = random.normal();
                      for (std::uint64_t r = random.below(9) + 1; r > 0; --r) {
                        user.push_back(u);
                        value.push_back(level + random.normal());
                      }
                    }
                    const auto mean = [&](std::span<const std::int64_t> rows) {
                      double sum = 0;
                      for (const auto row : rows) sum += value[static_cast<std::size_t>(row)];
                      return sum / static_cast<double>(rows.size());
                    };
                    return cluster_bootstrap(user, mean, {.replicates = 500, .method = method, .seed = random.next()})
                        .value()
                        .interval.contains(0);
                  });
  coverage_line("Bernoulli sequence", "p .9, 2,000 looks (by its equivalent test)", 20000, 514, true,
                [](Random& random) {
                  // The interval at a look holds p where the mixture against p is below 1 / alpha: the test with null
                  // value p.
                  return !proportion_alarm(random, .9);
                });
  coverage_line("Bernoulli sequence", "p .97, every 50th of 1,000 looks", 2000, 515, true, [](Random& random) {
    const Coin coin(.97);
    std::int64_t s = 0;
    for (int i = 1; i <= 1000; ++i) {
      s += coin(random);
      if (i % 50 == 0 && !bernoulli_confidence_interval(s, i).value().contains(.97)) return false;
    }
    return true;
  });
  coverage_line("paired loss, sequence", "loss .03, every 50th of 2,000 looks", 1000, 516, true, [](Random& random) {
    auto test = SequentialPairedDifference::create().value();
    for (int i = 1; i <= 2000; ++i) {
      const double u = random.uniform();
      test.update(u < .05 || u >= .07, u >= .05);
      if (i % 50 == 0 && !test.loss_interval().contains(.03)) return false;
    }
    return true;
  });
  coverage_line("difference of two streams, sequence", ".90 and .85, every 200th of 2,000 looks", 1000, 517, true,
                [](Random& random) {
                  auto test = SequentialABTest::create({.planned_observations = 2000}).value();
                  const Coin a(.90), b(.85);
                  for (int i = 1; i <= 1000; ++i) {
                    test.update_baseline(a(random));
                    test.update_candidate(b(random));
                    if (i % 100 == 0 && !test.difference_interval().contains(-.05)) return false;
                  }
                  return true;
                });
  coverage_line("asymptotic sequence, mean", "exponential values, 2,000 looks", 20000, 518, true, [](Random& random) {
    auto sequence = AsymptoticMeanSequence::create({.null_value = 1}).value();
    for (int i = 0; i < observations; ++i) sequence.update(exponential(random));
    return !sequence.rejects();
  });
  coverage_line("empirical Bernstein sequence", "u^3, 2,000 looks", 20000, 519, true, [](Random& random) {
    auto sequence = EmpiricalBernsteinSequence::create().value();
    for (int i = 0; i < observations; ++i) {
      const double u = random.uniform();
      sequence.update(u * u * u);
    }
    return sequence.interval().contains(.25);
  });
  coverage_line("betting sequence", "u^3, 2,000 looks", 2000, 520, true, [](Random& random) {
    auto sequence = BettingSequence::create({.grid = 199}).value();
    for (int i = 0; i < observations; ++i) {
      const double u = random.uniform();
      sequence.update(u * u * u);
    }
    return sequence.interval().contains(.25);
  });
  coverage_line("sequential quantile", "p90, every 40th of 1,000 sizes", 2000, 521, true, [](Random& random) {
    std::vector<double> values;
    for (int i = 1; i <= 1000; ++i) {
      values.push_back(random.uniform());
      if (i % 40 != 0) continue;
      const auto q = sequential_quantile(values, .9).value();
      if (q.lower.value_or(0) > .9 || q.upper.value_or(1) < .9) return false;
    }
    return true;
  });
}

// --- Sketches
// ---------------------------------------------------------------------------------------------------------

void sketches() {
  const auto n = static_cast<std::size_t>(scaled(1e7));
  fmt::print("\n## Sketches: the largest relative error\n\n"
             "{} values in each row, 1,001 quantiles against the sorted values; promised: relative_accuracy.\n\n",
             n);
  table_head({"values and order", "accuracy .001", ".01", ".05"});
  const struct {
    const char* name;
    std::function<double(Random&)> value;
    int order; ///< 0 as they come, 1 ascending, -1 descending, 2 from both ends in turn
  } rows[] = {
      {"log-normal", [](Random& r) { return std::exp(r.normal()); }, 0},
      {"log-normal, ascending", [](Random& r) { return std::exp(r.normal()); }, 1},
      {"log-normal, descending", [](Random& r) { return std::exp(r.normal()); }, -1},
      {"Pareto .5, from both ends in turn", [](Random& r) { return std::pow(1 - r.uniform(), -2.); }, 2},
      {"latencies with a slow mode",
       [](Random& r) { return r.below(100) < 3 ? 1 + r.uniform() : .01 + .002 * r.uniform(); }, 0},
      {"normal, both signs", [](Random& r) { return r.normal(); }, 2},
      {"whole numbers with zeros", [](Random& r) { return static_cast<double>(r.below(50)) - 10; }, 0},
      {"ten values in powers of ten", [](Random& r) { return std::pow(10., static_cast<double>(r.below(10))); }, -1},
      {"borders of bins and their neighbours",
       [](Random& r) {
         const double border = std::pow(1.01 / .99, static_cast<double>(r.below(700)) - 350);
         return border * (1 + (static_cast<double>(r.below(3)) - 1) * 0x1p-52);
       },
       0},
      {"one value", [](Random&) { return 3.14; }, 0},
  };
  std::uint64_t seed = 700;
  for (const auto& row : rows) {
    Random random(++seed);
    std::vector<double> values(n), ordered;
    for (double& value : values) value = row.value(random);
    ordered = values;
    std::sort(ordered.begin(), ordered.end());
    if (row.order == 1) values = ordered;
    if (row.order == -1) std::reverse_copy(ordered.begin(), ordered.end(), values.begin());
    if (row.order == 2)
      for (std::size_t i = 0; i < n; ++i) values[i] = ordered[i % 2 == 0 ? i / 2 : n - 1 - i / 2];
    std::string line = fmt::format("| {} |", row.name);
    for (const double accuracy : {.001, .01, .05}) {
      auto sketch = QuantileSketch::create({.relative_accuracy = accuracy, .max_bins = 1 << 16}).value();
      for (const double value : values) sketch.add(value);
      double worst = 0;
      for (int i = 0; i <= 1000; ++i) {
        const double p = i / 1000.0, m = static_cast<double>(n);
        const auto rank = static_cast<std::size_t>(std::clamp(std::ceil(m * p * (1 - 1e-15)), 1.0, m));
        const double x = ordered[rank - 1], estimate = sketch.quantile(p).value();
        worst = std::max(worst, x == estimate ? 0 : std::abs(estimate - x) / std::abs(x));
      }
      const bool good = worst <= accuracy && sketch.count() == static_cast<std::int64_t>(n);
      kept &= good;
      line += fmt::format(" {:.6f}{} |", worst, good ? "" : " **too large**");
    }
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }
}

} // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--scale") == 0) scale = std::stod(argv[2]);
  false_alarms();
  power();
  coverage();
  sketches();
  fmt::print("\n{}\n", kept ? "Every promise is kept." : "**A promise is not kept.**");
  return kept ? 0 : 1;
}
