#pragma once

// Builds GGUF files byte by byte, independent of the library's writer, right or wrong.

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace mcomp_test {

template <class T> std::string raw(T value) {
  std::string text(sizeof(T), '\0');
  std::memcpy(text.data(), &value, sizeof(T));
  return text;
}
inline std::string u32(std::uint32_t value) {
  return raw(value);
}
inline std::string u64(std::uint64_t value) {
  return raw(value);
}
inline std::string str(const std::string& text) {
  return u64(text.size()) + text;
}
/// A key with a value of a type number.
inline std::string kv(const std::string& key, std::uint32_t type, const std::string& value) {
  return str(key) + u32(type) + value;
}
/// Sizes as the file has them: the fastest first.
inline std::string tensor_info(const std::string& name, const std::vector<std::uint64_t>& sizes, std::uint32_t type,
                               std::uint64_t offset) {
  std::string text = str(name) + u32(static_cast<std::uint32_t>(sizes.size()));
  for (const std::uint64_t size : sizes) text += u64(size);
  return text + u32(type) + u64(offset);
}
inline std::string gguf(const std::vector<std::string>& keys, const std::vector<std::string>& tensors,
                        const std::string& data, std::size_t alignment = 32, std::uint32_t version = 3) {
  std::string text = "GGUF" + u32(version) + u64(tensors.size()) + u64(keys.size());
  for (const std::string& key : keys) text += key;
  for (const std::string& tensor : tensors) text += tensor;
  if (!tensors.empty()) text.resize((text.size() + alignment - 1) / alignment * alignment, '\0');
  return text + data;
}
inline std::string architecture() {
  return kv("general.architecture", 8, str("llama"));
}

} // namespace mcomp_test
