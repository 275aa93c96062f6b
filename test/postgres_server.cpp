#include "postgres_server.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.hpp"

namespace mcomp_test {

namespace fs = std::filesystem;

namespace {

/// The newest of those that are installed.
fs::path newest_programs() {
  int newest = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored))
    if (fs::exists(entry.path() / "bin" / "initdb", ignored))
      newest = std::max(newest, std::atoi(entry.path().filename().c_str()));
  return newest == 0 ? fs::path() : fs::path("/usr/lib/postgresql") / std::to_string(newest) / "bin";
}

/// Who runs the server: it refuses to be root.
const passwd* other_user() {
  if (::geteuid() != 0) return nullptr;
  const passwd* user = ::getpwnam("postgres");
  return user ? user : ::getpwnam("nobody");
}

bool ended_well(pid_t process) {
  int status = 0;
  return process > 0 && ::waitpid(process, &status, 0) == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

PostgresServer* PostgresServer::shared() {
  static const std::unique_ptr<PostgresServer> server = []() -> std::unique_ptr<PostgresServer> {
    const fs::path programs = newest_programs();
    if (programs.empty()) return skip("no PostgreSQL server is installed (Debian: postgresql)"), nullptr;
    std::string folder = (fs::temp_directory_path() / "mcomp-pg-XXXXXX").string();
    constexpr std::size_t longest = 80; // the path of a socket has at most 107 bytes
    if (folder.size() > longest) folder = "/tmp/mcomp-pg-XXXXXX";
    if (!mkdtemp(folder.data())) return skip("no folder for a PostgreSQL server"), nullptr;
    if (const passwd* user = other_user(); user && ::chown(folder.c_str(), user->pw_uid, user->pw_gid) != 0)
      return skip("no folder for a PostgreSQL server"), nullptr;
    std::unique_ptr<PostgresServer> made(new PostgresServer(programs, folder));
    if (!made->initialize() || !made->start()) {
      skip("the PostgreSQL server does not start: " + made->log());
      return nullptr;
    }
    return made;
  }();
  return server.get();
}

PostgresServer::~PostgresServer() {
  crash();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string PostgresServer::connection(const std::string& database) const {
  return "postgresql:///" + database + "?user=postgres&host=" + folder_.string();
}

bool PostgresServer::initialize() const {
  const std::vector<std::string> plain = {
      "-D",   (folder_ / "data").string(), "-U",       "postgres", "-A", "trust", "-E",
      "UTF8", "--locale=C.UTF-8",          "--no-sync"};
  // With a locale in which "a" comes before "B": the catalogue's order must not depend on it.
  std::vector<std::string> people = plain;
  people.insert(people.end(), {"--locale-provider=icu", "--icu-locale=en-US"});
  if (!ended_well(launch("initdb", people)) && !ended_well(launch("initdb", plain))) return false; // before version 15
  std::ofstream settings(folder_ / "data" / "postgresql.conf", std::ios::app);
  settings << "include_if_exists = 'sync.conf'\n";
  return static_cast<bool>(settings.flush());
}

bool PostgresServer::sql(const std::string& text) const {
  return ended_well(launch("psql", {"-X", "-q", "-h", folder_.string(), "-U", "postgres", "-c", text}));
}

bool PostgresServer::start() {
  const fs::path state = folder_ / "data" / "postmaster.pid";
  std::error_code ignored;
  fs::remove(state, ignored);
  // Before it recovers from a crash a server syncs all files that it has, which says nothing here and takes seconds.
  { std::ofstream(folder_ / "data" / "sync.conf") << "fsync = off\n"; }
  process_ = launch("postgres", {"-D", (folder_ / "data").string(), "-k", folder_.string(), "-h", "", "-c",
                                 "max_connections=40", "-c", "shared_buffers=32MB"});
  constexpr int tries = 1200, milliseconds = 50;
  for (int i = 0; i < tries && process_ > 0; ++i) {
    // The eighth line says how far it is (pg_ctl waits for the same).
    std::ifstream file(state);
    std::string line;
    for (int number = 0; number < 8; ++number) std::getline(file, line);
    if (file && line.starts_with("ready")) return sync();
    if (::waitpid(process_, nullptr, WNOHANG) == process_) process_ = -1;
    ::poll(nullptr, 0, milliseconds);
  }
  return false;
}

/// From now on it syncs, as it says in its log.
bool PostgresServer::sync() const {
  std::error_code ignored;
  fs::remove(folder_ / "data" / "sync.conf", ignored);
  const std::string before = log();
  ::kill(process_, SIGHUP);
  constexpr int tries = 1000, milliseconds = 10;
  for (int i = 0; i < tries; ++i) {
    if (log().find("\"fsync\"", before.size()) != std::string::npos) return true;
    ::poll(nullptr, 0, milliseconds);
  }
  return false;
}

void PostgresServer::crash() {
  if (process_ <= 0) return;
  ::kill(process_, SIGQUIT);
  ::waitpid(process_, nullptr, 0);
  process_ = -1;
}

pid_t PostgresServer::launch(const std::string& program, std::vector<std::string> arguments) const {
  const std::string path = (programs_ / program).string(), log_path = (folder_ / "log").string();
  std::vector<char*> argv = {const_cast<char*>(path.c_str())};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const passwd* user = other_user();
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child != 0) return child;
  if (user && (::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)) ::_exit(1);
  // Should this program be killed, the server ends too.
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (::getppid() != parent) ::_exit(1);
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (log < 0 || ::chdir(folder_.c_str()) != 0) ::_exit(1);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execv(path.c_str(), argv.data());
  ::_exit(1);
}

std::string PostgresServer::log() const {
  std::ifstream file(folder_ / "log");
  return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace mcomp_test
