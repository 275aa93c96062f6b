// Metrics and temperature fit on the synthetic logits of the comparison with PyTorch: z = 2 N(0, 1) [rows, classes],
// the true class + 6, then times 2. calibration_peer.py starts this program and lets both work in turns:
//
//     bench_calibration_speed --serve FILE    writes the logits and labels to FILE, then answers each line of standard
//                                             input (metrics, ece or temperature) with seconds and a result
//     bench_calibration_speed                 the medians of this library alone

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/calibrate/temperature.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace {

using namespace mcomp;

constexpr std::int64_t rows = 50'000, classes = 1'000;

struct Data {
  Tensor logits = Tensor::uninitialized(DType::f32, {rows, classes}).value();
  Tensor labels = Tensor::uninitialized(DType::int64, {rows}).value();
};

Data synthetic() {
  Data data;
  const auto z = data.logits.mutable_values<float>();
  const auto labels = data.labels.mutable_values<std::int64_t>();
  Random random(1);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto row = z.subspan(i * classes, classes);
    for (float& logit : row) logit = static_cast<float>(4 * random.normal());
    labels[i] = static_cast<std::int64_t>(random.below(classes));
    row[static_cast<std::size_t>(labels[i])] += 12;
  }
  return data;
}

/// Seconds and what was found.
std::pair<double, std::string> measure(const Data& data, const std::string& what) {
  const auto start = std::chrono::steady_clock::now();
  std::string found;
  if (what == "temperature") {
    const auto scaling = calibrate::fit_temperature(data.logits, data.labels).value();
    found = fmt::format("{:.9f}", scaling.temperature);
  } else {
    const auto metrics =
        calibrate::measure_logits(data.logits, data.labels, 1, {.classwise = what == "metrics"}).value();
    found = fmt::format("{:.9f}", metrics.ece);
  }
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), found};
}

} // namespace

int main(int argc, char** argv) {
  const Data data = synthetic();
  if (argc == 3 && std::strcmp(argv[1], "--serve") == 0) {
    std::ofstream file(argv[2], std::ios::binary);
    file.write(static_cast<const char*>(data.logits.data()), data.logits.bytes());
    file.write(static_cast<const char*>(data.labels.data()), data.labels.bytes());
    file.close();
    if (!file) return 1;
    fmt::print("{} {}\n", rows, classes);
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) {
      const auto [seconds, found] = measure(data, line);
      fmt::print("{:.6f} {}\n", seconds, found);
      std::fflush(stdout);
    }
    return 0;
  }
  if (argc != 1) return fmt::print(stderr, "usage: bench_calibration_speed [--serve FILE]\n"), 2;
  for (const char* const what : {"metrics", "ece", "temperature"}) {
    std::vector<double> seconds;
    std::string found;
    for (int n = 0; n < 7; ++n) {
      const auto [took, result] = measure(data, what);
      seconds.push_back(took);
      found = result;
    }
    std::sort(seconds.begin(), seconds.end());
    fmt::print("{:<12} {:.1f} ms (median of 7), {}\n", what, 1e3 * seconds[3], found);
  }
}
