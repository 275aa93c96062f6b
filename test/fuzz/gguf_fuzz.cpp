// libFuzzer program for the GGUF reader: a refusal is a whole Error, and whatever is accepted lies within the file, has
// the size of its shape, and is the same content when copied. A file that is a Llama decoder is read as one.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "mcomp/io/gguf_llama.hpp"

namespace {

bool whole(const mcomp::Error& error) {
  return !error.subject().empty() && !error.rule().empty() && !error.remedy().empty();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::shared_ptr<std::byte[]> bytes(new std::byte[size]);
  if (size > 0) std::memcpy(bytes.get(), data, size);
  const mcomp::io::GgufReadOptions options{.model = false};
  const auto file = mcomp::io::parse_gguf({bytes.get(), size}, bytes, "fuzz", options);
  if (!file) {
    if (!whole(file.error())) std::abort();
    return 0;
  }
  const auto copied = mcomp::io::parse_gguf({bytes.get(), size}, nullptr, "fuzz", options);
  if (!copied || copied->tensors.size() != file->tensors.size()) std::abort();
  for (std::size_t i = 0; i < file->tensors.size(); ++i) {
    const auto &a = file->tensors[i], &b = copied->tensors[i];
    const auto expected = mcomp::io::gguf_bytes(a.type, a.shape, a.name);
    if (!expected || static_cast<std::size_t>(*expected) != a.bytes.size() || a.bytes.size() != b.bytes.size())
      std::abort();
    if (!a.bytes.empty() && std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) != 0) std::abort();
    static_cast<void>(mcomp::io::as_numbers(a));
  }
  if (const auto decoder = mcomp::io::llama_from_gguf(*file); !decoder && !whole(decoder.error())) std::abort();
  return 0;
}
