#include "data.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include <unistd.h>

namespace mcomp_test {

namespace {
std::atomic<int> skips{0};
const std::filesystem::path folder = MCOMP_TEST_DATA_DIR;

struct Temporary {
  std::mutex mutex;
  std::vector<std::filesystem::path> folders;
  ~Temporary() {
    std::error_code ignored;
    for (const auto& path : folders) std::filesystem::remove_all(path, ignored);
  }
} temporary;
} // namespace

void skip(const std::string& reason) {
  ++skips;
  std::fprintf(stderr, "skipped: %s\n", reason.c_str());
}

std::optional<std::filesystem::path> data(const std::string& name) {
  if (folder.empty()) return skip(name + ": no test data (set MCOMP_TEST_DATA_DIR)"), std::nullopt;
  if (!std::filesystem::exists(folder / name)) return skip(name + ": not in the test data"), std::nullopt;
  return folder / name;
}

int skipped() {
  return skips;
}
bool data_expected() {
  return !folder.empty();
}

std::filesystem::path temporary_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "mcomp-test-XXXXXX").string();
  if (!mkdtemp(name.data())) std::abort();
  const std::lock_guard lock(temporary.mutex);
  temporary.folders.emplace_back(name);
  return name;
}

bool well_formed(const mcomp::Error& error) {
  return !error.subject().empty() && !error.rule().empty() && !error.remedy().empty();
}

} // namespace mcomp_test
