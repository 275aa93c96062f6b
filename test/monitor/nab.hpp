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

} // namespace mcomp_test::nab
