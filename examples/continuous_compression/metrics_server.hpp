#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "mcomp/core/result.hpp"

namespace example {

/// Answers GET /metrics on the loopback interface with the page that was set last, in a thread of its own: what a
/// Prometheus scrapes. One connection at a time, HTTP/1.1, nothing else.
class MetricsServer {
 public:
  /// @param port 0: any that is free
  /// Error: io_failure, where it cannot be had.
  [[nodiscard]] static mcomp::Result<std::unique_ptr<MetricsServer>> start(std::uint16_t port);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  /// @param page OpenMetrics text
  void set(std::string page);
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] std::int64_t scrapes() const noexcept { return scrapes_; }

 private:
  MetricsServer(int socket, std::uint16_t port) : socket_(socket), port_(port) {}
  void run();
  void answer(int connection);

  int socket_;
  std::uint16_t port_;
  std::atomic<bool> stop_{false};
  std::atomic<std::int64_t> scrapes_{0};
  std::mutex mutex_;
  std::string page_ = "# EOF\n";
  std::thread thread_;
};

} // namespace example
