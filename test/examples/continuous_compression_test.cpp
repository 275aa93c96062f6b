// continuous_compression from end to end: released, recompressed after drift, taken back by itself, verified; and
// scraped by a real Prometheus while it runs, where there is one.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <optional>

#include "mcomp/core/file.hpp"
#include "mcomp/kernels/capabilities.hpp"
#include "mcomp/monitor/alerts.hpp"
#include "mcomp/monitor/metrics_text.hpp"
#include "mcomp/report/report.hpp"
#include "run_program.hpp"

#ifdef MCOMP_CONTINUOUS_COMPRESSION

namespace {

/// A port of the loopback interface that nobody uses now.
int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(socket >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

std::string output_of(const std::string& command) {
  std::string text;
  FILE* const pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
  REQUIRE(pipe);
  char buffer[4096];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, count);
  ::pclose(pipe);
  return text;
}

/// A Prometheus that scrapes a port every second, until it ends.
class Prometheus {
 public:
  explicit Prometheus(int target) : folder_(mcomp_test::temporary_folder()), port_(free_port()) {
    REQUIRE(mcomp::write_file(folder_ / "prometheus.yml", "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
                                                          "scrape_configs:\n"
                                                          "  - job_name: mcomp\n"
                                                          "    static_configs: [{targets: ['127.0.0.1:" +
                                                              std::to_string(target) + "']}]\n"));
    const std::string folder = folder_.string();
    const std::string pid = output_of("prometheus --config.file='" + folder + "/prometheus.yml' --storage.tsdb.path='" +
                                      folder + "/data' --web.listen-address=127.0.0.1:" + std::to_string(port_) +
                                      " >'" + folder + "/log' 2>&1 & echo $!");
    pid_ = std::stoi(pid);
  }
  ~Prometheus() { ::kill(pid_, SIGTERM); }
  Prometheus(const Prometheus&) = delete;
  Prometheus& operator=(const Prometheus&) = delete;

  /// The value of an expression; nothing where it has none.
  [[nodiscard]] std::optional<double> ask(const std::string& expression) const {
    const std::string answer = output_of("curl -sG --max-time 5 'http://127.0.0.1:" + std::to_string(port_) +
                                         "/api/v1/query' --data-urlencode 'query=" + expression + "'");
    const auto json = nlohmann::json::parse(answer, nullptr, false);
    if (json.is_discarded() || json.value("status", "") != "success" || json["data"]["result"].empty())
      return std::nullopt;
    return std::stod(json["data"]["result"][0]["value"][1].get<std::string>());
  }

 private:
  std::filesystem::path folder_;
  int port_, pid_ = 0;
};

} // namespace

TEST_CASE("a classifier is compressed again and again", "[slow]") {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) return mcomp_test::skip("Fashion-MNIST is absent");
  if (const auto ready = mcomp::kernels::require_execution(); !ready) return mcomp_test::skip(ready.error().what());
  std::filesystem::path out;
  const int port = free_port();
  std::optional<Prometheus> prometheus;
  if (!output_of("command -v prometheus").empty() && !output_of("command -v curl").empty())
    prometheus.emplace(port);
  else
    mcomp_test::skip("no Prometheus or curl (Debian: prometheus, curl): nothing scrapes the example");
  const auto report =
      mcomp_test::run_program(MCOMP_CONTINUOUS_COMPRESSION,
                              "--requests-per-hour 200 --linger 3 --serve-metrics " + std::to_string(port), 0, &out);
  if (prometheus) {
    CHECK(report["scrapes"].get<int>() > 2);
    CHECK(prometheus->ask("max_over_time(up{job=\"mcomp\"}[10m])") == 1);
    const auto requests = prometheus->ask("sum(max_over_time(mcomp_requests_total[10m]))");
    REQUIRE(requests);
    CHECK(*requests == Approx(report["requests"].get<double>()));
  }
  CHECK(report["first_outcome"] == "released");
  CHECK(report["drift_outcome"] == "released");
  CHECK(report["bad_outcome"] == "rolled back");
  CHECK(report["audit_sound"] == true);
  CHECK(report["requests"].get<int>() > 10'000);
  const auto text = [&](const char* name) { return mcomp::read_file(out / name, 1 << 26).value(); };
  std::string story;
  for (const auto& row : report["story"]) story += row["text"].get<std::string>() + "\n";
  INFO(story);
  CHECK(story.find("alert: InputDrift {region=south} firing") != std::string::npos);
  CHECK(story.find("trigger: traffic") != std::string::npos);
  CHECK(story.find("below the floor") != std::string::npos);
  // What it leaves behind is whole.
  CHECK(mcomp::monitor::parse_open_metrics(text("metrics.txt"), "metrics.txt"));
  const auto page = mcomp::report::Report::parse(text("story.json"), "story.json").value();
  CHECK(page.rollout);
  CHECK(page.cost);
  CHECK(page.drift->series.size() == 4); // all inputs, and three regions
  CHECK(page.service->slices.size() == 4);
  REQUIRE(page.playbooks.size() == 1);
  CHECK(page.playbooks[0].alert.slice == "region=south");
  CHECK(page.playbooks[0].alert.version != page.playbooks[0].alert.baseline);
  const std::string alerts = text("alerts.jsonl");
  const auto notice = mcomp::monitor::AlertNotice::parse(alerts.substr(0, alerts.find('\n')), "alerts.jsonl").value();
  REQUIRE(notice.moved);
  CHECK(notice.moved->name == "region=south");
  CHECK(page.audit->verified);
  CHECK(page.decisions.size() == 4);
  CHECK(text("report.html").find("<svg") != std::string::npos);
  CHECK(text("CHANGES.md").find("approved by ana") != std::string::npos);
}

TEST_CASE("continuous_compression removes nothing that is not its own") {
  const auto out = mcomp_test::temporary_folder();
  REQUIRE(std::filesystem::create_directories(out / "work"));
  REQUIRE(mcomp::write_file(out / "work" / "thesis.txt", "years of it"));
  const std::string command = std::string("'") + MCOMP_CONTINUOUS_COMPRESSION + "' --out '" + out.string() + "' >'" +
                              (out / "log").string() + "' 2>&1";
  CHECK(std::system(command.c_str()) == 1 * 256);
  CHECK(mcomp::read_file(out / "work" / "thesis.txt", 100).value() == "years of it");
}

#endif
