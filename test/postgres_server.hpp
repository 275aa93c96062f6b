#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace mcomp_test {

/// A PostgreSQL server of this program's own, from Debian's package, in a temporary folder: it listens on a socket
/// there and nowhere else, syncs as one in production does, orders text as people do (where it can), and ends with the
/// program. As root it runs as the user postgres, or nobody.
///
///     auto* server = mcomp_test::PostgresServer::shared();
///     if (!server) return; // no such package: that was printed and counted as a skip
class PostgresServer {
 public:
  /// Started at the first call, from the main thread; null where there is none to start.
  [[nodiscard]] static PostgresServer* shared();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  /// Of a superuser who needs no password.
  [[nodiscard]] std::string connection(const std::string& database = "postgres") const;
  /// Runs statements outside of any transaction.
  [[nodiscard]] bool sql(const std::string& text) const;
  /// Ends it at once, as a crash does: what was not synced is not there after the next start.
  void crash();
  [[nodiscard]] bool start();

 private:
  PostgresServer(std::filesystem::path programs, std::filesystem::path folder)
      : programs_(std::move(programs)), folder_(std::move(folder)) {}
  [[nodiscard]] bool initialize() const;
  [[nodiscard]] bool sync() const;
  /// Runs a program of the package as who may run it; its process id, or -1.
  [[nodiscard]] pid_t launch(const std::string& program, std::vector<std::string> arguments) const;
  [[nodiscard]] std::string log() const;
  std::filesystem::path programs_, folder_;
  pid_t process_ = -1;
};

} // namespace mcomp_test
