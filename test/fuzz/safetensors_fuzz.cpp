// libFuzzer program for the safetensors reader: a refusal is a whole Error, and whatever is accepted can be read
// through its types and is the same content when copied.

#include <cstring>
#include <memory>

#include "mcomp/core/sha256.hpp"
#include "mcomp/io/safetensors.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::shared_ptr<std::byte[]> bytes(new std::byte[size]);
  if (size > 0) std::memcpy(bytes.get(), data, size);
  const auto file = mcomp::io::parse_safetensors({bytes.get(), size}, bytes, "fuzz");
  if (!file) {
    mcomp_fuzz::demand_whole(file.error());
    return 0;
  }
  for (const std::string& name : file->tensors.names())
    mcomp_fuzz::demand(mcomp::to_f32(file->tensors.find(name).value(), name).has_value());
  const auto copied = mcomp::io::parse_safetensors({bytes.get(), size}, nullptr, "fuzz");
  mcomp_fuzz::demand(copied && mcomp::fingerprint(copied->tensors) == mcomp::fingerprint(file->tensors));
  return 0;
}
