// How soon drift is seen, how often it is only imagined, and how far off accuracy without labels is: on simulated
// streams, and on real images with real corruptions. Prints Markdown.
//
//     bench_drift FASHION_WEIGHTS FASHION_FOLDER DATA_DIR [--small]

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "fashion_classifier.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/calibrate/temperature.hpp"
#include "mcomp/compress/model.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/evaluate/corruption.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/graph/runner.hpp"
#include "mcomp/kernels/runner.hpp"
#include "mcomp/monitor/drift.hpp"
#include "mcomp/monitor/label_free.hpp"
#include "mcomp/monitor/online_drift.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {

using Detector = std::function<bool(double)>;
using Maker = std::function<Detector()>;

/// Detectors of the rate of errors, 0 or 1, that is about `rate` while all is well.
std::vector<std::pair<const char*, Maker>> online(double rate) {
  std::vector<std::pair<const char*, Maker>> all;
  all.emplace_back("ADWIN (delta .002)",
                   [] { return [d = Adwin::create().value()](double x) mutable { return d.add(x); }; });
  all.emplace_back("Page-Hinkley (50, .005)",
                   [] { return [d = PageHinkley::create().value()](double x) mutable { return d.add(x); }; });
  all.emplace_back("DDM (2, 3)", [] {
    return
        [d = DriftDetectionMethod::create().value()](double x) mutable { return d.add(x > 0.5) == DriftLevel::drift; };
  });
  all.emplace_back("CUSUM (slack .25, limit 20)", [rate] {
    const CusumOptions options{.mean = rate, .deviation = std::sqrt(rate * (1 - rate)), .slack = 0.25, .limit = 20};
    return [d = Cusum::create(options).value()](double x) mutable { return d.add(x) == Shift::up; };
  });
  return all;
}

struct Delays {
  std::vector<double> found;
  int runs = 0;
  void add(std::int64_t delay) {
    ++runs;
    if (delay >= 0) found.push_back(static_cast<double>(delay));
  }
  [[nodiscard]] std::string text() {
    if (found.empty()) return fmt::format("none of {}", runs);
    std::sort(found.begin(), found.end());
    const double median = found[found.size() / 2];
    return static_cast<int>(found.size()) == runs ? fmt::format("{:.0f}", median)
                                                  : fmt::format("{:.0f} ({} of {})", median, found.size(), runs);
  }
};

void simulated_errors(bool small) {
  const std::int64_t quiet = small ? 20'000 : 100'000;
  const int runs = small ? 3 : 20;
  const double rate = 0.1;
  fmt::print(
      "## Online detectors, simulated\n\nErrors of a classifier, independent, rate {}. False alarms per 10^5 answers "
      "over {} runs of {}; then the rate rises after 5,000 answers to another one: the median delay in answers, "
      "where fewer than all runs saw it within 20,000 with how many did. CUSUM is told the rate.\n\n",
      rate, runs, quiet);
  fmt::print("| detector | false alarms per 10^5 | to .12 | to .15 | to .2 | to .4 |\n| --- | --- | --- | --- | --- | "
             "--- |\n");
  for (const auto& [name, make] : online(rate)) {
    std::int64_t alarms = 0;
    for (int run = 0; run < runs; ++run) {
      Random random(11, static_cast<std::uint64_t>(run));
      const Detector detector = make();
      for (std::int64_t i = 0; i < quiet; ++i) alarms += detector(random.uniform() < rate ? 1 : 0);
    }
    std::string row =
        fmt::format("| {} | {:.1f} |", name, 1e5 * static_cast<double>(alarms) / static_cast<double>(quiet * runs));
    for (const double after : {0.12, 0.15, 0.2, 0.4}) {
      Delays delays;
      for (int run = 0; run < runs; ++run) {
        Random random(12, static_cast<std::uint64_t>(run));
        const Detector detector = make();
        for (int i = 0; i < 5000; ++i) static_cast<void>(detector(random.uniform() < rate ? 1 : 0));
        std::int64_t delay = -1;
        for (std::int64_t i = 1; i <= 20'000 && delay < 0; ++i)
          if (detector(random.uniform() < after ? 1 : 0)) delay = i;
        delays.add(delay);
      }
      row += " " + delays.text() + " |";
    }
    fmt::print("{}\n", row);
  }
}

/// The distances one by one: a window alarms where the distance passes its threshold and its test rejects.
const std::vector<std::pair<const char*, std::function<bool(const FeatureDrift&)>>> distances{
    {"PSI > .2", [](const FeatureDrift& d) { return d.population_stability >= 0.2; }},
    {"Jensen-Shannon > .15", [](const FeatureDrift& d) { return d.jensen_shannon >= 0.15; }},
    {"Kolmogorov-Smirnov > .15", [](const FeatureDrift& d) { return d.kolmogorov_smirnov.value_or(0) >= 0.15; }},
    {"Kolmogorov-Smirnov, p < .001", [](const FeatureDrift& d) { return d.kolmogorov_smirnov_p.value_or(1) < 0.001; }},
    {"chi-squared, p < .001", [](const FeatureDrift& d) { return d.chi_squared_p < 0.001; }},
    {"Wasserstein > .3 deviations", [](const FeatureDrift& d) { return d.wasserstein.value_or(0) >= 0.3; }},
    {"a distance and a test together (the default)", [](const FeatureDrift& d) { return d.drifted; }}};

bool any(const DriftAnswer& answer, const std::function<bool(const FeatureDrift&)>& alarms) {
  return std::any_of(answer.features.begin(), answer.features.end(), alarms);
}

void simulated_windows(bool small) {
  constexpr int window = 250;
  const int quiet = small ? 40 : 400, runs = small ? 5 : 20;
  fmt::print(
      "\n## Windows, simulated\n\nOne normal feature, a reference of 5,000 values, windows of {}. False alarms per "
      "10^5 values over {} windows; the median delay in values, to the end of the window that alarms, after the "
      "mean has moved by so many deviations ({} runs of 20 windows).\n\n",
      window, quiet, runs);
  std::vector<double> before(5000);
  Random random(21);
  for (double& v : before) v = random.normal();
  const auto reference =
      DriftReference::build({{.name = "x"}}, TensorView::of<double>(std::span<const double>(before), {5000, 1}).value(),
                            {.sample = 500})
          .value();
  DriftWindow windows = DriftWindow::create(reference, {.permutations = small ? 0 : 99}).value();
  const auto next = [&](double shift) {
    windows.clear();
    for (int i = 0; i < window; ++i) {
      const double x = shift + random.normal();
      windows.add({&x, 1}).value();
    }
    return windows.answer().value();
  };
  const std::vector<double> shifts{0.1, 0.25, 0.5, 1};
  // All distances see the same windows; the last row is MMD.
  std::vector<std::int64_t> alarms(distances.size() + 1);
  std::vector<std::vector<Delays>> delays(alarms.size(), std::vector<Delays>(shifts.size()));
  const auto seen = [&](const DriftAnswer& answer, std::size_t d) {
    if (d < distances.size()) return any(answer, distances[d].second);
    return !answer.joint.empty() && answer.joint.front().drifted;
  };
  for (int w = 0; w < quiet; ++w) {
    const DriftAnswer answer = next(0);
    for (std::size_t d = 0; d < alarms.size(); ++d) alarms[d] += seen(answer, d);
  }
  for (std::size_t s = 0; s < shifts.size(); ++s)
    for (int run = 0; run < runs; ++run) {
      std::vector<std::int64_t> first(alarms.size(), -1);
      for (int w = 1; w <= 20 && std::count(first.begin(), first.end(), -1) > 0; ++w) {
        const DriftAnswer answer = next(shifts[s]);
        for (std::size_t d = 0; d < first.size(); ++d)
          if (first[d] < 0 && seen(answer, d)) first[d] = std::int64_t{w} * window;
      }
      for (std::size_t d = 0; d < first.size(); ++d) delays[d][s].add(first[d]);
    }
  fmt::print(
      "| window alarms by | false alarms per 10^5 | .1 | .25 | .5 | 1 |\n| --- | --- | --- | --- | --- | --- |\n");
  for (std::size_t d = 0; d < alarms.size(); ++d) {
    if (d == distances.size() && small) break;
    std::string row = fmt::format("| {} | {:.1f} |", d < distances.size() ? distances[d].first : "MMD, p < .01",
                                  1e5 * static_cast<double>(alarms[d]) / (static_cast<double>(quiet) * window));
    for (Delays& delay : delays[d]) row += " " + delay.text() + " |";
    fmt::print("{}\n", row);
  }
}

// Real images.

struct Network {
  const char* name;
  compress::Model model;
  Tensor images, reference_images; ///< uint8, those that are corrupted and those that calibrate
  std::vector<std::int32_t> labels, reference_labels;
};

/// Every second row from `first` on, at most `most`.
Tensor every_second(const TensorView& images, std::int64_t first, std::int64_t most) {
  Shape shape = images.shape();
  shape[0] = std::min((images.size(0) - first + 1) / 2, most);
  Tensor result = Tensor::uninitialized(images.dtype(), shape).value();
  const std::int64_t bytes = images.bytes() / images.size(0);
  for (std::int64_t i = 0; i < shape[0]; ++i)
    std::memcpy(static_cast<char*>(result.data()) + i * bytes,
                static_cast<const char*>(images.data()) + (first + 2 * i) * bytes, static_cast<std::size_t>(bytes));
  return result;
}
std::vector<std::int32_t> every_second(const std::vector<std::int32_t>& labels, std::size_t first, std::int64_t most) {
  std::vector<std::int32_t> result;
  for (std::size_t i = first; i < labels.size() && static_cast<std::int64_t>(result.size()) < most; i += 2)
    result.push_back(labels[i]);
  return result;
}

/// What is watched of an image: mean and deviation of its pixels, confidence in the answer, and whether it is right.
struct Rows {
  std::vector<double> features; ///< three of each
  calibrate::RowOutcomes outcomes;
};

Rows rows_of(graph::Runner& runner, const TensorView& images, const std::vector<std::int32_t>& labels,
             double temperature) {
  Rows rows;
  const Tensor logits = graph::run_batches(runner, images, 50).value();
  rows.outcomes =
      calibrate::outcomes_of_logits(
          logits, TensorView::of<std::int32_t>(std::span<const std::int32_t>(labels), {images.size(0)}).value(),
          temperature)
          .value();
  const std::int64_t pixels = images.bytes() / images.size(0);
  const auto* p = static_cast<const std::uint8_t*>(images.data());
  for (std::int64_t i = 0; i < images.size(0); ++i, p += pixels) {
    double sum = 0, squares = 0;
    for (std::int64_t k = 0; k < pixels; ++k) sum += p[k], squares += static_cast<double>(p[k]) * p[k];
    const double mean = sum / static_cast<double>(pixels);
    rows.features.insert(rows.features.end(),
                         {mean, std::sqrt(std::max(squares / static_cast<double>(pixels) - mean * mean, 0.0)),
                          rows.outcomes.confidence[static_cast<std::size_t>(i)]});
  }
  return rows;
}

double share(const std::vector<std::uint8_t>& correct) {
  return static_cast<double>(std::count(correct.begin(), correct.end(), 1)) / static_cast<double>(correct.size());
}

void real_images(Network& network, bool small) {
  const auto runner = kernels::executed_runner(network.model.program().value(), {.threads = 1}).value();
  const auto n = network.reference_images.size(0);
  const auto fitted =
      calibrate::fit_temperature(
          graph::run_batches(*runner, network.reference_images, 50).value(),
          TensorView::of<std::int32_t>(std::span<const std::int32_t>(network.reference_labels), {n}).value())
          .value();
  const Rows reference_rows = rows_of(*runner, network.reference_images, network.reference_labels, fitted.temperature);
  const Rows clean = rows_of(*runner, network.images, network.labels, fitted.temperature);
  const auto reference =
      DriftReference::build({{.name = "brightness"}, {.name = "contrast"}, {.name = "confidence"}},
                            TensorView::of<double>(std::span<const double>(reference_rows.features), {n, 3}).value())
          .value();
  constexpr std::int64_t window = 250;
  DriftWindow windows = DriftWindow::create(reference).value();
  const std::int64_t images = network.images.size(0), whole = images / window;
  const auto window_of = [&](const Rows& rows, std::int64_t w) {
    windows.clear();
    for (std::int64_t i = w * window; i < (w + 1) * window; ++i)
      windows.add(std::span(rows.features).subspan(static_cast<std::size_t>(3 * i), 3)).value();
    return windows.answer().value();
  };

  fmt::print(
      "\n## {}: accuracy without labels\n\nTemperature {:.3f} of {} other clean images with labels; {} images each. "
      "Clean: estimate {:.4f}, accuracy {:.4f}, error {:.4f}. Error of the estimate in points (100 = everything), and "
      "the "
      "accuracy in brackets.\n\n",
      network.name, fitted.temperature, n, images,
      estimate_accuracy(clean.outcomes.confidence, {.calibration_rows = n}).value().accuracy,
      share(clean.outcomes.correct),
      std::abs(estimate_accuracy(clean.outcomes.confidence).value().accuracy - share(clean.outcomes.correct)));
  fmt::print("| corruption | 1 | 2 | 3 | 4 | 5 |\n| --- | --- | --- | --- | --- | --- |\n");

  // Windows and detectors follow the clean images with corrupted ones.
  std::vector<std::string> table;
  double worst = 0, sum = 0;
  std::int64_t cells = 0, held = 0, above = 0;
  for (const evaluate::Corruption corruption : evaluate::all_corruptions()) {
    std::string row = fmt::format("| {} |", corruption), delay = row;
    for (int severity = 1; severity <= 5; ++severity) {
      const Tensor corrupted = evaluate::corrupt(network.images, corruption, severity, 1).value();
      const Rows rows = rows_of(*runner, corrupted, network.labels, fitted.temperature);
      const AccuracyEstimate estimate = estimate_accuracy(rows.outcomes.confidence, {.calibration_rows = n}).value();
      const double truth = share(rows.outcomes.correct), error = std::abs(estimate.accuracy - truth);
      row += fmt::format(" {:.1f} ({:.1f}) |", 100 * error, 100 * truth);
      worst = std::max(worst, error);
      sum += error;
      ++cells;
      held += estimate.interval.contains(truth);
      above += estimate.accuracy > truth;

      std::string first = "-", name;
      for (std::int64_t w = 0; w < whole && first == "-"; ++w)
        if (const DriftAnswer answer = window_of(rows, w); answer.most_moved() != nullptr) {
          first = fmt::format("{}", (w + 1) * window);
          name = answer.most_moved()->feature.substr(0, 4);
        }
      std::string online_delays;
      for (const auto& [detector_name, make] : online(1 - share(reference_rows.outcomes.correct))) {
        const Detector detector = make();
        for (const auto c : clean.outcomes.correct) static_cast<void>(detector(c != 0 ? 0 : 1));
        std::string found = "-";
        for (std::size_t i = 0; i < rows.outcomes.correct.size() && found == "-"; ++i)
          if (detector(rows.outcomes.correct[i] != 0 ? 0 : 1)) found = fmt::format("{}", i + 1);
        online_delays += "/" + found;
      }
      delay += fmt::format(" {}{} {} |", first, name.empty() ? "" : " " + name, online_delays.substr(1));
    }
    fmt::print("{}\n", row);
    table.push_back(delay);
  }
  fmt::print("\nMean error {:.2f} points, largest {:.1f}; the estimate is too high in {} of {} cells. The 95% "
             "interval, which holds "
             "under the assumption, has the accuracy in {}. The assumption: {}.\n",
             100 * sum / static_cast<double>(cells), 100 * worst, above, cells, held, label_free_assumption);

  std::int64_t false_windows = 0;
  for (std::int64_t w = 0; w < whole; ++w) false_windows += window_of(clean, w).drifted();
  std::string quiet;
  for (const auto& [detector_name, make] : online(1 - share(reference_rows.outcomes.correct))) {
    const Detector detector = make();
    std::int64_t alarms = 0;
    // Clean images in many orders, as there are no more of them.
    const int rounds = small ? 4 : 40;
    std::vector<std::uint8_t> correct = clean.outcomes.correct;
    Random random(31);
    for (int round = 0; round < rounds; ++round) {
      random.shuffle(std::span(correct));
      for (const auto c : correct) alarms += detector(c != 0 ? 0 : 1);
    }
    quiet += fmt::format("{}{} {:.1f}", quiet.empty() ? "" : ", ", detector_name,
                         1e5 * static_cast<double>(alarms) / (static_cast<double>(correct.size()) * rounds));
  }
  fmt::print(
      "\n## {}: delay on real corruptions\n\nClean images, then corrupted ones. First the images until a window of {} "
      "(brightness, "
      "contrast, confidence; no labels) alarms, and which feature moved most; then, of the errors, "
      "ADWIN/Page-Hinkley/DDM/CUSUM; - where {} images were not enough. Alarms on clean images: {} of {} windows; per "
      "10^5 answers {}.\n\n| corruption | 1 | 2 | 3 | 4 | 5 |\n| --- | --- | --- | --- | --- | --- |\n",
      network.name, window, images, false_windows, whole, quiet);
  for (const std::string& row : table) fmt::print("{}\n", row);
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 4) return fmt::print(stderr, "usage: {} FASHION_WEIGHTS FASHION_FOLDER DATA_DIR [--small]\n", argv[0]), 2;
  const bool small = argc > 4 && std::strcmp(argv[4], "--small") == 0;
  const std::int64_t most = small ? 500 : 5000;
  simulated_errors(small);
  simulated_windows(small);
  {
    auto fashion = example::read_fashion_classifier(argv[1], argv[2]).value();
    Network network{.name = "Fashion-MNIST, ResNet-8",
                    .model = std::move(fashion.model),
                    .images = every_second(fashion.test.images().value(), 0, most),
                    .reference_images = every_second(fashion.calibration.images().value(), 0, most),
                    .labels = every_second(fashion.test.labels().value(), 0, most),
                    .reference_labels = every_second(fashion.calibration.labels().value(), 0, most)};
    real_images(network, small);
  }
  {
    const std::string vision = std::string(argv[3]) + "/vision/";
    const auto test = compress::load_samples(vision + "cifar10_test_a.safetensors").value();
    Network network{
        .name = "CIFAR-10, ResNet-20",
        .model =
            compress::load(vision + "resnet20_cifar10.safetensors", graph::cifar_resnet({.depth = 20}).value()).value(),
        .images = every_second(test.images().value(), 0, most),
        .reference_images = every_second(test.images().value(), 1, most),
        .labels = every_second(test.labels().value(), 0, most),
        .reference_labels = every_second(test.labels().value(), 1, most)};
    real_images(network, small);
  }
  return 0;
}
