// libFuzzer program for the GGUF reader: a refusal is a whole Error, and whatever is accepted lies within the file, has
// the size of its shape, and is the same content when copied. A file that is a Llama decoder is read as one.

#include <cstring>
#include <memory>

#include "mcomp/io/gguf_llama.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp_fuzz::demand, mcomp_fuzz::demand_whole;
  const std::shared_ptr<std::byte[]> bytes(new std::byte[size]);
  if (size > 0) std::memcpy(bytes.get(), data, size);
  const mcomp::io::GgufReadOptions options{.model = false};
  const auto file = mcomp::io::parse_gguf({bytes.get(), size}, bytes, "fuzz", options);
  if (!file) {
    demand_whole(file.error());
    return 0;
  }
  const auto copied = mcomp::io::parse_gguf({bytes.get(), size}, nullptr, "fuzz", options);
  demand(copied && copied->tensors.size() == file->tensors.size());
  for (std::size_t i = 0; i < file->tensors.size(); ++i) {
    const auto &a = file->tensors[i], &b = copied->tensors[i];
    const auto expected = mcomp::io::gguf_bytes(a.type, a.shape, a.name);
    demand(expected && static_cast<std::size_t>(*expected) == a.bytes.size() && a.bytes.size() == b.bytes.size());
    demand(a.bytes.empty() || std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0);
    static_cast<void>(mcomp::io::as_numbers(a));
  }
  if (const auto decoder = mcomp::io::llama_from_gguf(*file); !decoder) demand_whole(decoder.error());
  return 0;
}
