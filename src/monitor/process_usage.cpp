#include "monitor/process_usage.hpp"

#ifdef __linux__
#include <cstdio>
#include <ctime>
#include <memory>

#include <unistd.h>
#endif

namespace mcomp::inline v0::monitor::detail {

std::optional<ProcessUsage> process_usage() {
#ifdef __linux__
  timespec cpu{};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) != 0) return std::nullopt;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/statm", "re"), std::fclose);
  long long size = 0, resident = 0; // pages
  if (!file || std::fscanf(file.get(), "%lld %lld", &size, &resident) != 2) return std::nullopt;
  return ProcessUsage{.seconds = 0,
                      .cpu_seconds = static_cast<double>(cpu.tv_sec) + 1e-9 * static_cast<double>(cpu.tv_nsec),
                      .resident_bytes = static_cast<std::int64_t>(resident) * sysconf(_SC_PAGESIZE)};
#else
  return std::nullopt;
#endif
}

} // namespace mcomp::inline v0::monitor::detail
