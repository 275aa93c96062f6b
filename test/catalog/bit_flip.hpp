#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <utility>

namespace mcomp_test {

/// One bit of a file, flipped in place for as long as it lives.
class BitFlip {
 public:
  BitFlip(std::filesystem::path path, std::uint64_t bit) : path_(std::move(path)), bit_(bit) { flip(); }
  ~BitFlip() { flip(); }
  BitFlip(const BitFlip&) = delete;
  BitFlip& operator=(const BitFlip&) = delete;

 private:
  void flip() const {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    const auto at = static_cast<std::streamoff>(bit_ / 8);
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ (1 << (bit_ % 8))));
  }
  std::filesystem::path path_;
  std::uint64_t bit_;
};

} // namespace mcomp_test
