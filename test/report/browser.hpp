#pragma once

// A headless Chromium at the other end of a pipe (DevTools protocol: JSON messages that end in a zero byte, read from
// descriptor 3, written to 4). No port, no network, no library.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "data.hpp"

namespace mcomp_test {

class Browser {
 public:
  using Json = nlohmann::json;

  /// The program, or nothing where it is not installed.
  static std::optional<std::string> find() {
    for (const char* path : {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"})
      if (access(path, X_OK) == 0) return path;
    return {};
  }

  explicit Browser(const std::string& program) {
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0) throw std::runtime_error("no pipe");
    const std::string profile = "--user-data-dir=" + (temporary_folder() / "chromium").string();
    child_ = fork();
    if (child_ == 0) {
      setpgid(0, 0);
      // Moved out of the way first: the pipes may themselves be 3 and 4.
      const int in = fcntl(to[0], F_DUPFD, 10), out = fcntl(from[1], F_DUPFD, 10), null = open("/dev/null", O_RDWR);
      dup2(null, 0), dup2(null, 1), dup2(null, 2);
      dup2(in, 3), dup2(out, 4);
      execl(program.c_str(), program.c_str(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-extensions", "--disable-default-apps", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe", profile.c_str(), "about:blank",
            static_cast<char*>(nullptr));
      _exit(127);
    }
    setpgid(child_, child_);
    close(to[0]), close(from[1]);
    write_ = to[1], read_ = from[0];
  }
  ~Browser() {
    close(write_), close(read_);
    if (child_ <= 0) return;
    ::kill(-child_, SIGKILL); // the group that this object made
    int status = 0;
    waitpid(child_, &status, 0);
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  /// Opens a page and attaches to it.
  void open_page() {
    const Json target = call("Target.createTarget", {{"url", "about:blank"}});
    session_ = call("Target.attachToTarget", {{"targetId", target["targetId"]}, {"flatten", true}})["sessionId"];
    for (const char* domain : {"Page.enable", "Runtime.enable", "Log.enable", "Network.enable", "DOM.enable"})
      call(domain, Json::object());
  }
  void navigate(const std::string& url) {
    loaded_ = false;
    call("Page.navigate", {{"url", url}});
    while (!loaded_) receive();
  }
  /// The value of an expression.
  Json evaluate(const std::string& expression) {
    const Json answer = call("Runtime.evaluate", {{"expression", expression}, {"returnByValue", true}});
    if (answer.contains("exceptionDetails")) throw std::runtime_error(answer["exceptionDetails"].dump());
    return answer["result"].value("value", Json());
  }
  void press(const std::string& key, int code) {
    for (const char* type : {"rawKeyDown", "keyUp"})
      call("Input.dispatchKeyEvent", {{"type", type}, {"key", key}, {"code", key}, {"windowsVirtualKeyCode", code}});
  }
  Json call(const std::string& method, const Json& parameters) {
    const int id = ++last_;
    Json message = {{"id", id}, {"method", method}, {"params", parameters}};
    if (!session_.empty()) message["sessionId"] = session_;
    const std::string text = message.dump() + '\0';
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t n = ::write(write_, text.data() + at, text.size() - at);
      if (n <= 0) throw std::runtime_error("the browser is gone");
      at += static_cast<std::size_t>(n);
    }
    while (true) {
      const Json answer = receive();
      if (answer.value("id", 0) != id) continue;
      if (answer.contains("error")) throw std::runtime_error(method + ": " + answer["error"].dump());
      return answer["result"];
    }
  }

  std::vector<std::string> complaints; ///< of console, log and scripts
  std::vector<std::string> requests;   ///< addresses

 private:
  Json receive() {
    std::size_t end = 0;
    while ((end = buffer_.find('\0')) == std::string::npos) {
      pollfd wait{read_, POLLIN, 0};
      if (poll(&wait, 1, 60000) <= 0) throw std::runtime_error("the browser does not answer");
      char part[65536];
      const ssize_t n = ::read(read_, part, sizeof part);
      if (n <= 0) throw std::runtime_error("the browser is gone");
      buffer_.append(part, static_cast<std::size_t>(n));
    }
    const Json message = Json::parse(buffer_.substr(0, end));
    buffer_.erase(0, end + 1);
    const std::string method = message.value("method", "");
    if (method == "Page.loadEventFired") loaded_ = true;
    if (method == "Network.requestWillBeSent") requests.push_back(message["params"]["request"]["url"]);
    if (method == "Runtime.exceptionThrown" || method == "Runtime.consoleAPICalled" || method == "Log.entryAdded")
      complaints.push_back(message["params"].dump());
    return message;
  }

  pid_t child_ = -1;
  int read_ = -1, write_ = -1, last_ = 0;
  bool loaded_ = false;
  std::string session_, buffer_;
};

} // namespace mcomp_test
