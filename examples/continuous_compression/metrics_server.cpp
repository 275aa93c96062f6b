#include "metrics_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "mcomp/core/format.hpp"

namespace example {

using mcomp::Error;
using mcomp::ErrorCode;

namespace {

constexpr int poll_milliseconds = 100, patience_milliseconds = 1000;
constexpr std::size_t longest_request = 8192;

void send_all(int connection, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const auto now = ::send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) return; // whoever asked has gone
    sent += static_cast<std::size_t>(now);
  }
}

} // namespace

mcomp::Result<std::unique_ptr<MetricsServer>> MetricsServer::start(std::uint16_t port) {
  const auto failed = [&](const char* what) {
    return Error(ErrorCode::io_failure, fmt::format("port {}", port), fmt::format("{}: {}", what, std::strerror(errno)),
                 "choose another port, or 0 for any");
  };
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return failed("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK); // nobody else's business
  const int yes = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  socklen_t size = sizeof address;
  constexpr int backlog = 8;
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(socket, backlog) != 0 ||
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    const Error error = failed("bind");
    ::close(socket);
    return error;
  }
  std::unique_ptr<MetricsServer> server(new MetricsServer(socket, ntohs(address.sin_port)));
  server->thread_ = std::thread([raw = server.get()] { raw->run(); });
  return server;
}

MetricsServer::~MetricsServer() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  ::close(socket_);
}

void MetricsServer::set(std::string page) {
  const std::lock_guard lock(mutex_);
  page_ = std::move(page);
}

void MetricsServer::run() {
  while (!stop_) {
    pollfd waiting{socket_, POLLIN, 0};
    if (::poll(&waiting, 1, poll_milliseconds) <= 0) continue;
    const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    answer(connection);
    ::close(connection);
  }
}

void MetricsServer::answer(int connection) {
  std::string request;
  char buffer[1024];
  while (request.find("\r\n\r\n") == std::string::npos && request.size() < longest_request) {
    pollfd waiting{connection, POLLIN, 0};
    if (::poll(&waiting, 1, patience_milliseconds) <= 0) return;
    const auto received = ::recv(connection, buffer, sizeof buffer, 0);
    if (received <= 0) return;
    request.append(buffer, static_cast<std::size_t>(received));
  }
  if (!request.starts_with("GET /metrics ")) {
    send_all(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return;
  }
  std::string page;
  {
    const std::lock_guard lock(mutex_);
    page = page_;
  }
  send_all(connection, fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; "
                                   "charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                                   page.size(), page));
  ++scrapes_;
}

} // namespace example
