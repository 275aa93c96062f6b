// GGUF files that break one rule each, by name, and files with any byte changed.

#include <cstring>
#include <memory>

#include "catch.hpp"
#include "data.hpp"
#include "io/gguf_bytes.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/io/gguf.hpp"

using namespace mcomp;
using namespace mcomp::io;
using namespace mcomp_test;

namespace {

constexpr auto corrupt = ErrorCode::corrupt;
constexpr auto unsupported = ErrorCode::unsupported;
constexpr std::uint64_t huge = std::uint64_t{1} << 63;
constexpr std::uint64_t all_ones = ~std::uint64_t{0};

/// The bytes in memory of exactly their size, so that an address sanitizer sees any access beyond them.
Result<GgufFile> parse(const std::string& bytes) {
  const std::shared_ptr<std::byte[]> exact(new std::byte[bytes.size()]);
  if (!bytes.empty()) std::memcpy(exact.get(), bytes.data(), bytes.size());
  return parse_gguf({exact.get(), bytes.size()}, exact, "hostile");
}

/// One key besides the architecture.
std::string keyed(const std::string& key) {
  return gguf({architecture(), key}, {}, "");
}
/// One tensor with 64 bytes of data.
std::string with_tensor(const std::string& tensor) {
  return gguf({architecture(), kv("general.quantization_version", 4, u32(2))}, {tensor}, std::string(64, '\0'));
}
/// Two F32 tensors of 4 elements; the second at an offset.
std::string pair(std::uint64_t first, std::uint64_t second, std::size_t data) {
  return gguf({architecture()}, {tensor_info("a", {4}, 0, first), tensor_info("b", {4}, 0, second)},
              std::string(data, '\0'));
}
/// A header with counts of its own.
std::string counted(std::uint64_t tensors, std::uint64_t keys, const std::string& rest = "") {
  return "GGUF" + u32(3) + u64(tensors) + u64(keys) + rest;
}
std::string aligned_to(const std::string& key, std::size_t alignment = 32) {
  return gguf({architecture(), key}, {tensor_info("a", {4}, 0, 0)}, std::string(64, '\0'), alignment);
}
std::string whole() {
  return gguf({architecture(), kv("general.quantization_version", 4, u32(2)), kv("yes", 7, "\x01"),
               kv("list", 9, u32(8) + u64(2) + str("ab") + str("")), kv("x", 12, raw(1.5))},
              {tensor_info("a", {4, 2}, 0, 0), tensor_info("b", {32}, 2, 32)},
              std::string(32, '\x3f') + std::string(18, '\x20'));
}

struct Hostile {
  const char* name;
  std::string bytes;
  ErrorCode code;
  const char* word; ///< must stand in the message
};

std::vector<Hostile> header_cases() {
  std::string big = whole();
  std::swap(big[4], big[7]);
  return {
      {"empty file", "", corrupt, "magic"},
      {"half of the magic", "GG", corrupt, "magic"},
      {"another magic", "GGML" + whole().substr(4), corrupt, "GGUF"},
      {"magic in lower case", "gguf" + whole().substr(4), corrupt, "GGUF"},
      {"no version", "GGUF", corrupt, "version"},
      {"version 0", gguf({architecture()}, {}, "", 32, 0), ErrorCode::version_mismatch, "version 0"},
      {"version 1", gguf({architecture()}, {}, "", 32, 1), ErrorCode::version_mismatch, "version 1"},
      {"version 4", gguf({architecture()}, {}, "", 32, 4), ErrorCode::version_mismatch, "version 4"},
      {"big-endian", big, unsupported, "endian"},
      {"no counts", "GGUF" + u32(3), corrupt, "number of tensors"},
      {"no number of keys", "GGUF" + u32(3) + u64(0), corrupt, "number of keys"},
      {"more keys than bytes", counted(0, 100, architecture()), corrupt, "keys"},
      {"2^63 keys", counted(0, huge), corrupt, "keys"},
      {"2^64 - 1 keys", counted(0, all_ones), corrupt, "keys"},
      {"more tensors than bytes", counted(1000, 0, std::string(100, '\0')), corrupt, "tensors"},
      {"2^63 tensors", counted(huge, 0), corrupt, "tensors"},
      {"2^64 - 1 tensors", counted(all_ones, 0), corrupt, "tensors"},
      {"one key fewer than promised", counted(0, 2, architecture() + std::string(13, '\0')), corrupt, "key"},
  };
}

std::vector<Hostile> metadata_cases() {
  return {
      {"key longer than the file", keyed(u64(1000) + "k"), corrupt, "string of 1000 bytes"},
      {"key of 2^64 - 1 bytes", keyed(u64(all_ones) + std::string(10, 'k')), corrupt, "string"},
      {"empty key", keyed(kv("", 4, u32(1))), corrupt, "keys have"},
      {"key of 65536 bytes", keyed(kv(std::string(65536, 'k'), 4, u32(1))), corrupt, "keys have"},
      {"key with NUL", keyed(kv(std::string("a\0b", 3), 4, u32(1))), corrupt, "NUL"},
      {"key that stands twice", gguf({architecture(), kv("n", 4, u32(1)), kv("n", 4, u32(1))}, {}, ""), corrupt,
       "twice"},
      {"key twice with different types", gguf({architecture(), kv("n", 4, u32(1)), kv("n", 7, "\x01")}, {}, ""),
       corrupt, "twice"},
      {"key without a type", keyed(str("key of thirty-two bytes and more") + "ab"), corrupt, "value type"},
      {"value type 13", keyed(kv("n", 13, u64(0))), corrupt, "13"},
      {"value type 2^32 - 1", keyed(kv("n", ~std::uint32_t{0}, u64(0))), corrupt, "4294967295"},
      {"value cut off", keyed(kv("n", 10, u32(0))), corrupt, "value"},
      {"bool of 2", keyed(kv("n", 7, "\x02")), corrupt, "bool is 2"},
      {"string longer than the file", keyed(kv("n", 8, u64(17) + "sixteen bytes ..")), corrupt, "string of 17"},
      {"string of 2^63 bytes", keyed(kv("n", 8, u64(huge))), corrupt, "string"},
      {"array longer than the file", keyed(kv("n", 9, u32(4) + u64(5) + std::string(16, '\0'))), corrupt, "5 elements"},
      {"array whose bytes overflow", keyed(kv("n", 9, u32(10) + u64(std::uint64_t{1} << 61))), corrupt, "elements"},
      {"array of 2^64 - 1 bytes", keyed(kv("n", 9, u32(0) + u64(all_ones))), corrupt, "elements"},
      {"array of more strings than lengths fit", keyed(kv("n", 9, u32(8) + u64(3) + str("") + str(""))), corrupt,
       "3 elements"},
      {"string in an array longer than the file", keyed(kv("n", 9, u32(8) + u64(1) + u64(9) + "abc")), corrupt,
       "string of 9"},
      {"array of value type 13", keyed(kv("n", 9, u32(13) + u64(0))), corrupt, "13"},
      {"array of arrays", keyed(kv("n", 9, u32(9) + u64(1) + u32(4) + u64(0))), unsupported, "array of arrays"},
      {"array of bools of 7", keyed(kv("n", 9, u32(7) + u64(1) + "\x07")), corrupt, "bool is 7"},
      {"array without a length", keyed(kv("n", 9, u32(4))), corrupt, "length of an array"},
      {"alignment of another type", aligned_to(kv("general.alignment", 10, u64(32))), corrupt, "uint32"},
      {"alignment 0", aligned_to(kv("general.alignment", 4, u32(0))), corrupt, "power of two"},
      {"alignment 4", aligned_to(kv("general.alignment", 4, u32(4)), 4), corrupt, "power of two"},
      {"alignment 33", aligned_to(kv("general.alignment", 4, u32(33))), corrupt, "power of two"},
      {"alignment beyond the file", aligned_to(kv("general.alignment", 4, u32(1u << 31))), corrupt, "before the data"},
      {"no architecture", gguf({kv("n", 4, u32(1))}, {}, ""), corrupt, "general.architecture"},
      {"architecture that is a number", gguf({kv("general.architecture", 4, u32(1))}, {}, ""), corrupt,
       "general.architecture"},
      {"quantized without a version", gguf({architecture()}, {tensor_info("a", {32}, 2, 0)}, std::string(18, '\0')),
       corrupt, "quantization_version"},
  };
}

std::vector<Hostile> tensor_cases() {
  const auto sized = [](std::vector<std::uint64_t> sizes, std::uint32_t type = 0) {
    return with_tensor(tensor_info("w", sizes, type, 0));
  };
  return {
      {"tensor without a name", with_tensor(tensor_info("", {4}, 0, 0)), corrupt, "0 bytes"},
      {"tensor name of 64 bytes", with_tensor(tensor_info(std::string(64, 'n'), {4}, 0, 0)), corrupt, "64 bytes"},
      {"tensor name with NUL", with_tensor(tensor_info(std::string("a\0b", 3), {4}, 0, 0)), corrupt, "NUL"},
      {"tensor name longer than the file", with_tensor(u64(5000) + std::string(40, 'n')), corrupt, "string of 5000"},
      {"tensor named twice",
       gguf({architecture()}, {tensor_info("a", {4}, 0, 0), tensor_info("a", {4}, 0, 32)}, std::string(64, '\0')),
       corrupt, "twice"},
      {"five axes", sized({1, 1, 1, 1, 1}), corrupt, "5 axes"},
      {"2^32 - 1 axes", with_tensor(str("w") + u32(~std::uint32_t{0}) + std::string(60, '\0')), corrupt, "axes"},
      {"axis of 2^63", sized({huge}), corrupt, "2^63"},
      {"axis of 2^64 - 1", sized({all_ones}), corrupt, "2^63"},
      {"elements overflow", sized({std::uint64_t{1} << 32, std::uint64_t{1} << 32}), corrupt, "shape"},
      {"bytes overflow", sized({std::uint64_t{1} << 61}), corrupt, "shape"},
      {"elements overflow to zero", sized({std::uint64_t{1} << 40, std::uint64_t{1} << 24}), corrupt, "shape"},
      {"type that was removed", sized({32}, 4), unsupported, "number 4"},
      {"type 31 (repacked)", sized({32}, 31), unsupported, "number 31"},
      {"type 43", sized({32}, 43), unsupported, "number 43"},
      {"type 2^32 - 1", sized({32}, ~std::uint32_t{0}), unsupported, "4294967295"},
      {"row that blocks of 32 do not divide", sized({33}, 2), corrupt, "33"},
      {"row that blocks of 256 do not divide", sized({32, 8}, 12), corrupt, "256"},
      {"first tensor not at 0", pair(32, 64, 96), corrupt, "offset is 32"},
      {"offset that is not aligned", pair(0, 16, 64), corrupt, "offset is 16"},
      {"hole before a tensor", pair(0, 64, 128), corrupt, "offset is 64"},
      {"tensors that overlap", pair(0, 0, 64), corrupt, "offset is 0"},
      {"offset of 2^64 - 32", pair(0, all_ones - 31, 64), corrupt, "offset"},
      {"tensor beyond the file", pair(0, 32, 47), corrupt, "beyond the file"},
      {"no data at all", pair(0, 32, 0), corrupt, "beyond the file"},
      {"file that ends before the data", gguf({architecture()}, {tensor_info("a", {4}, 0, 0)}, "", 1), corrupt,
       "before the data"},
      {"sizes whose sum would overflow",
       gguf({architecture()},
            {tensor_info("a", {std::uint64_t{1} << 55}, 0, 0), tensor_info("b", {4}, 0, std::uint64_t{1} << 60)},
            std::string(64, '\0')),
       corrupt, "beyond the file"},
      {"bytes behind the last tensor", whole() + std::string(15, '\0'), corrupt, "behind the last"},
      {"bytes behind a file without tensors", gguf({architecture()}, {}, std::string(64, 'x')), corrupt, "behind"},
      {"tensor list cut off", with_tensor(str("w") + u32(1) + u64(4) + u32(0)).substr(0, 100), corrupt, ""},
  };
}

} // namespace

TEST_CASE("malformed GGUF files are refused by name of the rule they break") {
  std::size_t count = 0;
  for (const auto& cases : {header_cases(), metadata_cases(), tensor_cases()})
    for (const Hostile& hostile : cases) {
      INFO(hostile.name);
      const auto file = parse(hostile.bytes);
      REQUIRE_FALSE(file);
      CHECK(well_formed(file.error()));
      CHECK(file.error().code() == hostile.code);
      INFO(file.error().what());
      CHECK(std::string(file.error().what()).find(hostile.word) != std::string::npos);
      CHECK(std::string(file.error().what()).find("hostile") != std::string::npos);
      ++count;
    }
  CHECK(count >= 75);
  CHECK(parse(whole()));
}

TEST_CASE("a file cut at any byte is refused, but for its last padding") {
  const std::string good = whole();
  for (std::size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    CHECK_FALSE(parse(good.substr(0, size)));
  }
}

TEST_CASE("files with changed bytes are refused, or read within their bounds") {
  const std::string good = whole();
  Random random(9);
  std::size_t accepted = 0;
  const auto attempt = [&](const std::string& bytes) {
    const auto file = parse(bytes);
    if (!file) {
      REQUIRE(well_formed(file.error()));
      return;
    }
    ++accepted;
    std::size_t total = 0;
    for (const GgufTensor& tensor : file->tensors) {
      REQUIRE(static_cast<std::int64_t>(tensor.bytes.size()) ==
              gguf_bytes(tensor.type, tensor.shape, tensor.name).value());
      for (const std::byte b : tensor.bytes) total += static_cast<std::size_t>(b);
    }
    REQUIRE(total < bytes.size() * 256);
  };
  for (std::size_t at = 0; at < good.size(); ++at) // every byte to every value of a few, and every bit
    for (const int value : {0, 1, 2, 9, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at] ^ 16, good[at] ^ 128}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(value);
      attempt(bytes);
    }
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes = good;
    for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
      const auto at = static_cast<std::size_t>(random.below(bytes.size()));
      if (random.below(8) == 0)
        bytes.erase(at, static_cast<std::size_t>(random.below(9)));
      else
        bytes[at] = static_cast<char>(random.below(256));
      if (bytes.empty()) break;
    }
    attempt(bytes);
  }
  CHECK(accepted > 1000); // changed names and elements are still files
}

TEST_CASE("files of other kinds than models are read where the caller says so") {
  const std::string bytes = gguf({kv("general.type", 8, str("imatrix"))}, {tensor_info("x", {1}, 0, 0)}, raw(1.0f));
  CHECK_FALSE(parse(bytes));
  CHECK(parse_gguf(std::as_bytes(std::span(bytes.data(), bytes.size())), nullptr, "imatrix", {.model = false}));
}
