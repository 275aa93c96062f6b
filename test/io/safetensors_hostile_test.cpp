// Safetensors files that break one rule each, by name, and what the machine can refuse.

#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/io/safetensors.hpp"

using namespace mcomp;
using mcomp::io::parse_safetensors;
using mcomp::io::read_safetensors;
using mcomp::io::SafetensorsFile;
using mcomp::io::write_safetensors;

namespace {

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, 8);
  return text + rest;
}
std::string file_of(const std::string& header, std::size_t data = 0) {
  return with_length(header.size(), header + std::string(data, '\0'));
}
/// One tensor "w" with the given members, and four bytes of data.
std::string entry(const std::string& members) {
  return file_of("{\"w\":{" + members + "}}", 4);
}
std::string shaped(const std::string& shape, const std::string& offsets = "[0,4]") {
  return entry(R"("dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets);
}
std::string typed(const std::string& dtype) {
  return entry(R"("dtype":)" + dtype + R"(,"shape":[4],"data_offsets":[0,4])");
}
/// Two U8 tensors "a" and "b" of four bytes, and `data` bytes.
std::string pair(const std::string& a, const std::string& b, std::size_t data) {
  return file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
                     R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}",
                 data);
}
std::string nested(std::size_t depth) {
  return file_of("{\"w\":" + std::string(depth, '[') + std::string(depth, ']') + "}");
}
std::string whole() {
  return shaped("[1]");
}

/// The bytes in memory of exactly their size, so that an address sanitizer sees any access beyond them.
Result<SafetensorsFile> parse(const std::string& bytes) {
  const std::shared_ptr<std::byte[]> exact(new std::byte[bytes.size()]);
  if (!bytes.empty()) std::memcpy(exact.get(), bytes.data(), bytes.size());
  return parse_safetensors({exact.get(), bytes.size()}, exact, "hostile");
}

/// Reads every element through its type.
double touch(const TensorStore& store) {
  double sum = 0;
  for (const std::string& name : store.names()) {
    const Tensor tensor = to_f32(store.find(name).value(), name).value();
    for (const float x : tensor.values<float>(name).value()) sum += x == x ? 1 : 0;
  }
  return sum;
}

struct Hostile {
  const char* name;
  std::string bytes;
  ErrorCode code;
  const char* word; ///< must stand in the message
};

std::vector<Hostile> hostile_files() {
  constexpr auto corrupt = ErrorCode::corrupt;
  const std::string good = whole();
  const std::size_t header = good.size() - 8 - 4;
  return {
      {"empty", "", corrupt, "0 bytes"},
      {"cut within the header length", good.substr(0, 7), corrupt, "7 bytes"},
      {"cut behind the header length", good.substr(0, 8), corrupt, "ends 0 bytes behind"},
      {"cut within the header", good.substr(0, 20), corrupt, "ends 12 bytes behind"},
      {"cut one byte before the header's end", good.substr(0, 8 + header - 1), corrupt, "header length"},
      {"cut behind the header", good.substr(0, 8 + header), corrupt, "beyond the file"},
      {"cut within the data", good.substr(0, good.size() - 1), corrupt, "3 bytes of data"},
      {"header length 0", with_length(0, good.substr(8)), corrupt, "'{'"},
      {"header length one too short", with_length(header - 1, good.substr(8)), corrupt, "JSON"},
      {"header length one too long", with_length(header + 1, good.substr(8)), corrupt, "NUL"},
      {"header length beyond the file", with_length(1000, good.substr(8)), corrupt, "1000"},
      {"header length above the limit", with_length(100'000'001, good.substr(8)), corrupt, "at most 100000000"},
      {"header length that overflows with 8 added", with_length(~std::uint64_t{0} - 3, good.substr(8)), corrupt,
       "18446744073709551612"},
      {"header length 2^63", with_length(std::uint64_t{1} << 63, good.substr(8)), corrupt, "9223372036854775808"},
      {"header length in big-endian order", std::string("\0\0\0\0\0\0\0\x02{}", 10), corrupt, "header length"},
      {"header is not JSON", file_of("{hello}"), corrupt, "JSON"},
      {"header is binary", file_of("\x80\x02}q\x01."), corrupt, "'{'"},
      {"header is an array", file_of("[]"), corrupt, "'{'"},
      {"header is a string", file_of("\"{}\""), corrupt, "'{'"},
      {"header is only white space", file_of("   \n"), corrupt, "'{'"},
      {"header begins with a byte order mark", file_of("\xef\xbb\xbf{}"), corrupt, "'{'"},
      {"header in UTF-16", file_of(std::string("{\0}\0", 4)), corrupt, "NUL"},
      {"header with text behind the object", file_of("{} {}"), corrupt, "JSON"},
      {"header with a hidden part behind NUL", file_of(std::string("{}\0{\"w\":1}", 10)), corrupt, "NUL"},
      {"header padded with NUL", file_of(std::string("{}\0\0\0\0\0\0", 8)), corrupt, "NUL"},
      {"header with invalid UTF-8", file_of("{\"\xff\":1}"), corrupt, "UTF-8"},
      {"header with a comment", file_of("{/**/}"), corrupt, "JSON"},
      {"header with a trailing comma", file_of("{\"__metadata__\":{},}"), corrupt, "JSON"},
      {"tensor named twice",
       file_of(
           R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
           8),
       corrupt, "twice"},
      {"tensor named twice through an escape",
       file_of(
           R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\u0077":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
           8),
       corrupt, "twice"},
      {"dtype twice", entry(R"("dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4])"), corrupt, "twice"},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})"), corrupt, "twice"},
      {"metadata key twice", file_of(R"({"__metadata__":{"a":"1","a":"2"}})"), corrupt, "twice"},
      {"entry is a number", file_of(R"({"w":1})"), corrupt, "object"},
      {"entry is null", file_of(R"({"w":null})"), corrupt, "object"},
      {"entry is empty", file_of(R"({"w":{}})"), corrupt, "dtype"},
      {"dtype missing", entry(R"("shape":[1],"data_offsets":[0,4])"), corrupt, "missing"},
      {"shape missing", entry(R"("dtype":"F32","data_offsets":[0,4])"), corrupt, "shape"},
      {"offsets missing", entry(R"("dtype":"F32","shape":[1])"), corrupt, "data_offsets"},
      {"unknown key in an entry", entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1])"), corrupt,
       "strides"},
      {"dtype is a number", typed("3"), corrupt, "string"},
      {"dtype unknown", typed("\"F31\""), corrupt, "F31"},
      {"dtype in lower case", typed("\"u8\""), corrupt, "u8"},
      {"dtype empty", typed("\"\""), corrupt, "dtype"},
      {"dtype F8_E4M3FNUZ", typed("\"F8_E4M3FNUZ\""), ErrorCode::unsupported, "\"w\""},
      {"dtype U16", typed("\"U16\""), ErrorCode::unsupported, "U16"},
      {"dtype F4", typed("\"F4\""), ErrorCode::unsupported, "F4"},
      {"dtype C64", typed("\"C64\""), ErrorCode::unsupported, "C64"},
      {"shape is a number", shaped("1"), corrupt, "array"},
      {"shape is null", shaped("null"), corrupt, "array"},
      {"shape of strings", shaped("[\"1\"]"), corrupt, "whole numbers"},
      {"shape nested", shaped("[[1]]"), corrupt, "whole numbers"},
      {"shape with true", shaped("[true]"), corrupt, "whole numbers"},
      {"shape negative", shaped("[-1]"), corrupt, "negative"},
      {"shape doubly negative", shaped("[-1,-1]"), corrupt, "negative"},
      {"shape fractional", shaped("[1.0]"), corrupt, "whole numbers"},
      {"shape with an exponent", shaped("[1e0]"), corrupt, "whole numbers"},
      {"shape 2^64", shaped("[18446744073709551616]"), corrupt, "whole numbers"},
      {"shape 2^64 - 1", shaped("[18446744073709551615]"), corrupt, "2^53"},
      {"shape beyond every number", shaped("[1e999]"), corrupt, "range"},
      {"shape whose product overflows to 1", shaped("[4294967297,4294967297]"), corrupt, "2^62"},
      {"shape whose product overflows to 0", shaped("[4294967296,4294967296]", "[0,0]"), corrupt, "2^62"},
      {"shape whose bytes overflow", shaped("[4503599627370496,2048]"), corrupt, "2^62"},
      {"empty shape whose other sizes overflow", shaped("[4294967296,4294967296,0]", "[0,0]"), corrupt, "2^62"},
      {"shape larger than the file", shaped("[1000000000]", "[0,4000000000]"), corrupt, "beyond the file"},
      {"shape too small for its bytes", shaped("[]", "[0,3]"), corrupt, "takes 4 bytes"},
      {"shape too large for its bytes", shaped("[2]"), corrupt, "takes 8 bytes"},
      {"empty shape with bytes", shaped("[0]"), corrupt, "takes 0 bytes"},
      {"offsets are a string", shaped("[1]", "\"0,4\""), corrupt, "array"},
      {"offsets with one number", shaped("[1]", "[4]"), corrupt, "2 are needed"},
      {"offsets with three numbers", shaped("[1]", "[0,4,8]"), corrupt, "2 are needed"},
      {"offsets empty", shaped("[1]", "[]"), corrupt, "2 are needed"},
      {"offsets reversed", shaped("[1]", "[4,0]"), corrupt, "reversed"},
      {"offsets negative", shaped("[1]", "[-4,0]"), corrupt, "negative"},
      {"offsets fractional", shaped("[1]", "[0,4.5]"), corrupt, "whole numbers"},
      {"offsets 2^63", shaped("[1]", "[9223372036854775808,9223372036854775812]"), corrupt, "2^53"},
      {"offsets beyond the file", shaped("[1]", "[4,8]"), corrupt, "beyond the file"},
      {"offsets far beyond the file", shaped("[1]", "[9007199254740988,9007199254740992]"), corrupt, "beyond the file"},
      {"tensors overlap", pair("[0,4]", "[3,7]", 7), corrupt, "overlap"},
      {"tensors share their bytes", pair("[0,4]", "[0,4]", 4), corrupt, "overlap"},
      {"hole before the first tensor", pair("[1,5]", "[5,9]", 9), corrupt, "hole"},
      {"hole between tensors", pair("[0,4]", "[5,9]", 9), corrupt, "hole"},
      {"bytes behind the last tensor", pair("[0,4]", "[4,8]", 9), corrupt, "1 bytes stand behind"},
      {"data without a tensor", file_of("{}", 4), corrupt, "4 bytes stand behind"},
      {"metadata is null", file_of(R"({"__metadata__":null})"), corrupt, "__metadata__"},
      {"metadata is an array", file_of(R"({"__metadata__":["a"]})"), corrupt, "object"},
      {"metadata is a tensor", file_of(R"({"__metadata__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), corrupt,
       "string"},
      {"metadata with a number", file_of(R"({"__metadata__":{"epoch":3}})"), corrupt, "epoch"},
      {"metadata nested", file_of(R"({"__metadata__":{"a":{"b":"c"}}})"), corrupt, "string"},
      {"name with an escaped NUL", file_of(R"({"w\u0000":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), corrupt,
       "NUL"},
      {"name with a raw line break", file_of("{\"w\n\":{}}"), corrupt, "JSON"},
      {"name with half a surrogate pair", file_of(R"({"\ud800":{}})"), corrupt, "JSON"},
      {"nested deeper than 64", nested(100), corrupt, "nested"},
      {"nested a million deep", nested(1'000'000), corrupt, "nested"},
      {"boolean element 2", file_of(R"({"w":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})") + "\x02", corrupt,
       "neither 0 nor 1"},
  };
}

} // namespace

TEST_CASE("every hostile file is an error that says why") {
  const auto path = mcomp_test::temporary_folder() / "hostile.safetensors";
  const auto files = hostile_files();
  CHECK(files.size() >= 45);
  for (const Hostile& hostile : files) {
    INFO(hostile.name);
    const auto parsed = parse(hostile.bytes);
    REQUIRE_FALSE(parsed);
    INFO(parsed.error().what());
    CHECK(parsed.error().code() == hostile.code);
    CHECK(std::string(parsed.error().what()).find(hostile.word) != std::string::npos);
    CHECK(parsed.error().subject().substr(0, 7) == "hostile");
    CHECK(mcomp_test::well_formed(parsed.error()));
    write_file(path, hostile.bytes).value();
    const auto read = read_safetensors(path);
    REQUIRE_FALSE(read);
    CHECK(read.error().rule() == parsed.error().rule());
    CHECK(read.error().subject().find("hostile.safetensors") != std::string::npos);
  }
}

TEST_CASE("unusual but legal files are accepted") {
  const std::string entry_text = R"("w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  for (const auto& [name, bytes] : std::vector<std::pair<const char*, std::string>>{
           {"plain", whole()},
           {"header behind white space", file_of(" \t\r\n{" + entry_text + "}", 4)},
           {"header before line breaks", file_of("{" + entry_text + "}\n\r\t ", 4)},
           {"header padded to a page", file_of("{" + entry_text + "}" + std::string(4096, ' '), 4)},
           {"empty metadata", file_of(R"({"__metadata__":{},)" + entry_text + "}", 4)},
           {"metadata last", file_of("{" + entry_text + R"(,"__metadata__":{"a":"b"}})", 4)},
           {"keys in another order", entry(R"("data_offsets":[0,4],"shape":[1],"dtype":"F32")")},
           {"scalar", shaped("[]")},
           {"many axes", shaped("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]")},
           {"tensors in reverse order", pair("[4,8]", "[0,4]", 8)},
           {"empty name", file_of(R"({"":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4)},
           {"empty tensors at the same place",
            file_of(R"({"a":{"dtype":"F64","shape":[0],"data_offsets":[4,4]},)" + entry_text +
                        R"(,"b":{"dtype":"F64","shape":[3,0],"data_offsets":[0,0]}})",
                    4)},
           {"no tensors", file_of("{}")},
           {"one boolean", file_of(R"({"w":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", 1)},
       }) {
    INFO(name);
    const auto parsed = parse(bytes);
    if (!parsed) FAIL(parsed.error().what());
    touch(parsed->tensors);
  }
}

TEST_CASE("a message stays one short line whatever the tensor is called") {
  const auto parsed = parse(file_of(R"({"\n\u001b[2J)" + std::string(100000, 'x') +
                                    R"(":{"dtype":"F31","shape":[0],"data_offsets":[0,0]}})"));
  REQUIRE_FALSE(parsed);
  const std::string message = parsed.error().what();
  CHECK(message.size() < 500);
  CHECK(message.find('\n') == std::string::npos);
  CHECK(message.find('\x1b') == std::string::npos);
}

TEST_CASE("random damage to a valid file is an error or other content, never a crash") {
  TensorStore store;
  store.put("layer.weight", Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}).value());
  store.put("mask", Tensor::zeros(DType::boolean, {5}).value());
  store.put("index", Tensor::from(std::vector<std::int64_t>{1, -1}, {2}).value());
  store.put("empty", Tensor::zeros(DType::f16, {0, 4}).value());
  const auto path = mcomp_test::temporary_folder() / "valid.safetensors";
  write_safetensors(path, store, {{"format", "pt"}}).value();
  const std::string valid = read_file(path).value();
  const std::string alphabet = "{}[]\":,0123456789-.eE \\\"truefalsnFIBU_";
  Random random(7);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string bytes = valid;
    for (std::uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      const std::size_t at = random.below(bytes.size());
      switch (random.below(6)) {
      case 0: // flip a bit
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1: // any byte
        bytes[at] = static_cast<char>(random.below(256));
        break;
      case 2: // a byte that JSON knows
        bytes[at] = alphabet[random.below(alphabet.size())];
        break;
      case 3: // cut, but never to nothing
        bytes.resize(at + 1);
        break;
      case 4: // take some bytes out
        bytes.erase(at, std::min<std::size_t>(random.below(9), bytes.size() - at - (at == 0 ? 1 : 0)));
        break;
      default: // repeat a part
        bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(40)));
      }
    }
    const auto parsed = parse(bytes);
    if (parsed)
      touch(parsed->tensors), ++accepted;
    else if (mcomp_test::well_formed(parsed.error()))
      ++refused;
  }
  CHECK(accepted + refused == 6000);
  CHECK(accepted > 100); // changed elements and names are content, not damage
  CHECK(refused > 1000);
}

TEST_CASE("what is no file is an error that names it") {
  const auto folder = mcomp_test::temporary_folder();
  const auto check = [](const Status& status, ErrorCode code, const std::string& word) {
    REQUIRE_FALSE(status);
    CHECK(status.error().code() == code);
    CHECK(status.error().subject().find(word) != std::string::npos);
    CHECK(mcomp_test::well_formed(status.error()));
  };
  const auto reading = [](const std::filesystem::path& path) -> Status {
    if (const auto file = read_safetensors(path); !file) return file.error();
    return {};
  };
  write_file(folder / "empty", "").value();
  check(reading(folder / "absent.safetensors"), ErrorCode::not_found, "absent");
  check(reading(folder), ErrorCode::io_failure, folder.filename().string());
  check(reading(folder / "empty"), ErrorCode::corrupt, "empty");
  check(reading(folder / "empty" / "x"), ErrorCode::not_found, "x");
  check(reading("/dev/zero"), ErrorCode::io_failure, "zero");
  check(write_safetensors(folder / "absent" / "x", {}), ErrorCode::not_found, "absent");
  std::filesystem::create_directory(folder / "taken");
  check(write_safetensors(folder / "taken", {}), ErrorCode::io_failure, "taken");
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 2);
}

TEST_CASE("a folder that may not be written is an error") {
  const auto folder = mcomp_test::temporary_folder();
  std::filesystem::permissions(folder, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  // The superuser may write anywhere, so the attempt is made as nobody.
  constexpr uid_t nobody = 65534;
  const bool superuser = ::geteuid() == 0;
  if (superuser) REQUIRE(::seteuid(nobody) == 0);
  const auto status = write_safetensors(folder / "x", {});
  if (superuser) REQUIRE(::seteuid(0) == 0);
  REQUIRE_FALSE(status);
  CHECK(status.error().code() == ErrorCode::io_failure);
  CHECK(mcomp_test::well_formed(status.error()));
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
  CHECK(std::filesystem::is_empty(folder));
}

namespace {

/// Writes a small file, then one that does not fit, and checks that the small one is all that remains.
template <class Restrict, class Release>
void check_full(const std::filesystem::path& folder, Restrict restrict_size, Release release) {
  const auto path = folder / "model.safetensors";
  TensorStore small, large;
  small.put("w", Tensor::from(std::vector<float>{1, 2}, {2}).value());
  large.put("w", Tensor::zeros(DType::f32, {100'000}).value());
  write_safetensors(path, small).value();
  restrict_size();
  const auto status = write_safetensors(path, large);
  release();
  REQUIRE_FALSE(status);
  CHECK(status.error().code() == ErrorCode::io_failure);
  CHECK(status.error().subject() == path.string());
  CHECK(mcomp_test::well_formed(status.error()));
  CHECK(fingerprint(read_safetensors(path).value().tensors) == fingerprint(small));
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);
}

} // namespace

TEST_CASE("a file that may not grow leaves the old content and no temporary file") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{.rlim_cur = 4096, .rlim_max = before.rlim_max};
  check_full(
      mcomp_test::temporary_folder(), [&] { ::setrlimit(RLIMIT_FSIZE, &tight); },
      [&] { ::setrlimit(RLIMIT_FSIZE, &before); });
  std::signal(SIGXFSZ, handler);
}

TEST_CASE("a full disk leaves the old content and no temporary file") {
  const auto folder = mcomp_test::temporary_folder();
  // Only the superuser may mount; elsewhere the test above has shown the same through a limit.
  if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") != 0) return;
  check_full(
      folder, [] {}, [] {});
  CHECK(::umount(folder.c_str()) == 0);
}
