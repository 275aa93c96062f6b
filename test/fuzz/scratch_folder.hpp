#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include "property.hpp"

namespace mcomp_fuzz {

/// A folder of this process, removed at its end.
class ScratchFolder {
 public:
  ScratchFolder() : path((std::filesystem::temp_directory_path() / "mcomp-fuzz-XXXXXX").string()) {
    demand(mkdtemp(path.data()) != nullptr);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

} // namespace mcomp_fuzz
