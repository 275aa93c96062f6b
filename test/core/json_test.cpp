#include "core/json.hpp"

#include <sys/stat.h>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/cpu.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using mcomp::detail::ObjectReader;
using mcomp::detail::parse_json;

TEST_CASE("JSON that other parsers let pass is refused") {
  for (const std::string text : {R"({"a":1,"a":2})", R"({"a":{"b":1,"b":1}})", R"([1e999])", R"({"a":})", "", "{",
                                 "[1] 2", "\xff", R"({"a":"\ud800"})"}) {
    const auto parsed = parse_json(text, "file.json");
    INFO(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(parsed.error()));
  }
  CHECK_FALSE(parse_json(std::string_view("{}\0{}", 5), "file.json"));
  CHECK_FALSE(parse_json("\xef\xbb\xbf{}", "file.json"));
  CHECK(parse_json(std::string(64, '[') + std::string(64, ']'), "deep"));
  CHECK_FALSE(parse_json(std::string(65, '[') + std::string(65, ']'), "deep"));
  CHECK_FALSE(parse_json(std::string(1000000, '['), "deep"));
}

TEST_CASE("an object reader keeps order and nesting, and refuses what nobody asked for") {
  const auto json = parse_json(R"({"n": 3, "list": [1, 2], "s": "x", "inner": {"deep": [{"a": true}]}})", "f").value();
  ObjectReader reader(json, "f");
  CHECK(reader.integer("n") == 3);
  CHECK(reader.integers("list") == std::vector<std::int64_t>{1, 2});
  CHECK(reader.text("s") == "x");
  CHECK(reader.number("absent", 2.5) == 2.5);
  const auto unknown = reader.finish();
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().subject() == "f: inner");
  REQUIRE(reader.child("inner"));
  CHECK(reader.finish());
  CHECK((*reader.child("inner"))["deep"][0]["a"] == true);
  CHECK(reader.text("n").empty());
  CHECK_FALSE(reader.finish());
}

TEST_CASE("files are replaced whole or not at all") {
  const auto folder = mcomp_test::temporary_folder();
  const auto path = folder / "a.txt";
  CHECK(write_file(path, "one"));
  CHECK(read_file(path).value() == "one");
  {
    auto file = AtomicFile::create(path).value();
    CHECK(file.write("two"));
  }
  CHECK(read_file(path).value() == "one");
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);
  CHECK_FALSE(write_file(folder / "absent" / "a.txt", "x"));
  CHECK_FALSE(read_file(folder / "b.txt"));
  CHECK_FALSE(read_file(folder));
  CHECK_FALSE(read_file(path, 2));
  CHECK(MappedFile::open(path).value()->bytes().size() == 3);
  CHECK_FALSE(MappedFile::open(folder / "b.txt"));
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(read_file(folder / "pipe").error().code() == ErrorCode::io_failure);
  CHECK(MappedFile::open(folder / "pipe").error().code() == ErrorCode::io_failure);
  CHECK(read_file("/dev/null").error().code() == ErrorCode::io_failure);
}

TEST_CASE("CPU features are consistent") {
  const CpuFeatures& f = cpu_features();
  CHECK_FALSE(fmt::format("{}", f).empty());
  if (f.avx512_vnni) CHECK(f.avx512);
  if (f.avx512) CHECK(f.avx2);
  if (f.avx2) CHECK(f.sse41);
}
