#pragma once

// The files of the Numenta anomaly benchmark in the test data (nab/README.md there), read for tests and for
// bench/monitor. Whatever series the folder holds are read.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "mcomp/io/safetensors.hpp"
#include "mcomp/monitor/anomaly.hpp"
#include "mcomp/monitor/anomaly_score.hpp"

namespace mcomp_test::nab {

struct Series {
  std::string name; ///< "realTweets/Twitter_volume_UPS.csv"
  std::vector<double> times, values;
  std::vector<mcomp::monitor::RowWindow> windows;
};

/// Seconds since 1970 of "2014-02-26 13:45:00", with or without a fraction, which is left out.
inline double seconds(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (std::sscanf(text.c_str(), "%d-%d-%d %d:%d:%d", &year, &month, &day, &hour, &minute, &second) != 6)
    throw std::runtime_error(text + " is no time");
  // Days by the civil calendar, with years that begin in March.
  const int y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;
  const long days = 365L * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719469;
  return static_cast<double>(days * 86400 + hour * 3600 + minute * 60 + second);
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

/// All series that have labels, by name. An edge of a window is the first row with exactly its time.
inline std::vector<Series> read(const std::filesystem::path& folder) {
  std::vector<Series> all;
  const nlohmann::json labels = read_json(folder / "combined_windows.json");
  for (const auto& entry : labels.items()) {
    Series series{entry.key(), {}, {}, {}};
    std::ifstream file(folder / "data" / series.name);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      const auto comma = line.find(',');
      if (comma == std::string::npos) continue;
      series.times.push_back(seconds(line));
      series.values.push_back(std::stod(line.substr(comma + 1)));
    }
    const auto row = [&](const std::string& time) {
      const double wanted = seconds(time);
      for (std::size_t i = 0; i < series.times.size(); ++i)
        if (series.times[i] == wanted) return static_cast<std::int64_t>(i);
      throw std::runtime_error(series.name + ": no row has the time " + time);
    };
    for (const auto& window : entry.value()) series.windows.push_back({row(window.at(0)), row(window.at(1))});
    all.push_back(std::move(series));
  }
  return all;
}

/// The recorded scores of a detector of the benchmark, in the order of `series`; "null" says 0.5 everywhere.
inline std::vector<std::vector<double>> recorded(const std::filesystem::path& folder, const std::string& detector,
                                                 const std::vector<Series>& series) {
  std::vector<std::vector<double>> all;
  if (detector == "null") {
    for (const Series& one : series) all.emplace_back(one.values.size(), 0.5);
    return all;
  }
  const auto file = mcomp::io::read_safetensors(folder / "detectors" / (detector + ".safetensors")).value();
  for (const Series& one : series) {
    const auto tensor = file.tensors.find(one.name).value();
    if (tensor.dtype() == mcomp::DType::f64) {
      const auto values = tensor.values<double>(one.name).value();
      all.emplace_back(values.begin(), values.end());
    } else {
      const auto values = tensor.values<float>(one.name).value();
      all.emplace_back(values.begin(), values.end());
    }
  }
  return all;
}

/// What mcomp's own detector says, each series in one pass from a fresh detector.
inline std::vector<std::vector<double>> detect(const std::vector<Series>& series,
                                               const mcomp::monitor::AnomalyOptions& options = {}) {
  std::vector<std::vector<double>> all;
  for (const Series& one : series) {
    auto detector = mcomp::monitor::AnomalyDetector::create(options).value();
    std::vector<double> scores;
    for (std::size_t i = 0; i < one.values.size(); ++i)
      scores.push_back(detector.update(one.times[i], one.values[i]).value().score);
    all.push_back(std::move(scores));
  }
  return all;
}

inline std::vector<mcomp::monitor::ScoredSeries> scored(const std::vector<Series>& series,
                                                        const std::vector<std::vector<double>>& scores) {
  std::vector<mcomp::monitor::ScoredSeries> all;
  for (std::size_t i = 0; i < series.size(); ++i) all.push_back({series[i].name, series[i].windows, scores[i]});
  return all;
}

} // namespace mcomp_test::nab
