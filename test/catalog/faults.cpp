#include "catalog/faults.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>

#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

namespace {
thread_local std::int64_t countdown = 0, calls_made = 0;
thread_local bool armed = false, fired = false, kills = false;

void kill_if_asked() noexcept {
  if (kills) ::kill(::getpid(), SIGKILL);
}

/// Whether this is the call that fails.
bool fails() noexcept {
  if (!armed) return false;
  ++calls_made;
  if (countdown-- != 0) return false;
  fired = true;
  return true;
}

template <class Function> Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}
} // namespace

// In place of libc's for everything in this process.
#define MCOMP_INTERPOSED extern "C" __attribute__((visibility("default")))

MCOMP_INTERPOSED ssize_t write(int file, const void* bytes, size_t count) {
  static const auto next = real<ssize_t(int, const void*, size_t)>("write");
  if (!fails()) return next(file, bytes, count);
  if (count > 1) static_cast<void>(next(file, bytes, count / 2));
  kill_if_asked();
  errno = ENOSPC;
  return -1;
}
MCOMP_INTERPOSED ssize_t pwrite64(int file, const void* bytes, size_t count, off64_t at) {
  static const auto next = real<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  if (!fails()) return next(file, bytes, count, at);
  if (count > 1) static_cast<void>(next(file, bytes, count / 2, at));
  kill_if_asked();
  errno = ENOSPC;
  return -1;
}
// A message that is cut off in its middle, or an answer that does not come: the connection is gone.
MCOMP_INTERPOSED ssize_t send(int file, const void* bytes, size_t count, int flags) {
  static const auto next = real<ssize_t(int, const void*, size_t, int)>("send");
  if (!fails()) return next(file, bytes, count, flags);
  if (count > 1) static_cast<void>(next(file, bytes, count / 2, flags));
  kill_if_asked();
  ::shutdown(file, SHUT_RDWR);
  errno = ECONNRESET;
  return -1;
}
MCOMP_INTERPOSED ssize_t recv(int file, void* bytes, size_t count, int flags) {
  static const auto next = real<ssize_t(int, void*, size_t, int)>("recv");
  if (!fails()) return next(file, bytes, count, flags);
  kill_if_asked();
  ::shutdown(file, SHUT_RDWR);
  errno = ECONNRESET;
  return -1;
}
MCOMP_INTERPOSED int fsync(int file) {
  static const auto next = real<int(int)>("fsync");
  if (!fails()) return next(file);
  kill_if_asked();
  errno = EIO;
  return -1;
}
MCOMP_INTERPOSED int fdatasync(int file) {
  static const auto next = real<int(int)>("fdatasync");
  if (!fails()) return next(file);
  kill_if_asked();
  errno = EIO;
  return -1;
}
MCOMP_INTERPOSED int rename(const char* from, const char* to) noexcept {
  static const auto next = real<int(const char*, const char*)>("rename");
  if (!fails()) return next(from, to);
  kill_if_asked();
  errno = EIO;
  return -1;
}

namespace mcomp_test {

Fault::Fault(std::int64_t at, FaultKind kind) noexcept {
  countdown = at, calls_made = 0, armed = true, fired = false, kills = kind == FaultKind::kill;
}
Fault::~Fault() {
  armed = false;
}
std::int64_t Fault::calls() const noexcept {
  return calls_made;
}
bool Fault::happened() const noexcept {
  return fired;
}

} // namespace mcomp_test
