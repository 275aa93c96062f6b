#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <zlib.h>

#include "catch.hpp"
#include "data.hpp"
#include "fashion_mnist.hpp"
#include "idx.hpp"
#include "mcomp/core/file.hpp"
#include "program.hpp"

using namespace example;

namespace {

std::string compressed(const std::string& bytes) {
  const auto path = mcomp_test::temporary_folder() / "packed.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) == static_cast<int>(bytes.size()));
  REQUIRE(gzclose(file) == Z_OK);
  return mcomp::read_file(path).value();
}

/// An IDX header of unsigned bytes with the given sizes.
std::string header(const std::vector<std::uint32_t>& sizes) {
  std::string bytes{0, 0, 8, static_cast<char>(sizes.size())};
  for (const std::uint32_t size : sizes)
    for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(size >> shift & 255U);
  return bytes;
}

mcomp::Result<mcomp::Tensor> read_bytes(const std::string& bytes, std::size_t rank) {
  const auto path = mcomp_test::temporary_folder() / "file.gz";
  REQUIRE(mcomp::write_file(path, bytes));
  return read_idx(path, rank);
}

int run(const std::vector<std::string>& arguments, const Program::Body& body) {
  Program program("program", "A test.");
  std::vector<const char*> argv{"program"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return program.run(static_cast<int>(argv.size()), argv.data(), body);
}

Report::Json read_report(const std::filesystem::path& folder) {
  return Report::Json::parse(mcomp::read_file(folder / "report.json").value());
}

} // namespace

TEST_CASE("IDX files are read plain and compressed") {
  const std::string bytes = header({2, 1, 3}) + "abcdef";
  for (const std::string& file : {bytes, compressed(bytes)}) {
    const auto tensor = read_bytes(file, 3).value();
    CHECK(tensor.shape() == mcomp::Shape{2, 1, 3});
    CHECK(tensor.values<std::uint8_t>("t").value()[5] == 'f');
  }
  CHECK(read_bytes(header({0}), 1).value().elements() == 0);
}

TEST_CASE("damaged IDX files are errors that name the file") {
  const std::string good = header({2, 2}) + "abcd", packed = compressed(good);
  std::string wrong_checksum = packed;
  wrong_checksum[packed.size() - 8] ^= 1;
  std::string wrong_type = good;
  wrong_type[2] = 0x0D; // float
  std::vector<std::string> files{"",
                                 "abc",
                                 std::string("\x01\x00\x08\x02", 4) + good.substr(4),
                                 wrong_type,
                                 good.substr(0, 7),
                                 good.substr(0, good.size() - 1),
                                 good + "e",
                                 header({2, 2, 1}) + "abcd",
                                 header({0xffffffffU, 0xffffffffU}),
                                 header({0x40000000U, 2}),
                                 wrong_checksum};
  for (std::size_t end = 1; end < packed.size(); ++end) files.push_back(packed.substr(0, end));
  for (const std::string& bytes : files) {
    const auto tensor = read_bytes(bytes, 2);
    INFO("file of " << bytes.size() << " bytes");
    REQUIRE_FALSE(tensor);
    CHECK(tensor.error().code() == mcomp::ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(tensor.error()));
  }
  CHECK(read_idx(mcomp_test::temporary_folder() / "absent.gz", 2).error().code() == mcomp::ErrorCode::not_found);
  CHECK(read_idx(mcomp_test::temporary_folder(), 2).error().code() == mcomp::ErrorCode::not_found);
}

TEST_CASE("labels must fit their images") {
  const auto folder = mcomp_test::temporary_folder();
  const auto labels = [&](const std::string& bytes) {
    REQUIRE(mcomp::write_file(folder / "labels", bytes));
    return read_labelled_images(folder / "images", folder / "labels");
  };
  REQUIRE(mcomp::write_file(folder / "images", header({2, 1, 2}) + "abcd"));
  const auto set = labels(header({2}) + std::string("\x03\x09", 2)).value();
  CHECK(set.count() == 2);
  CHECK(set.label(1) == 9);
  CHECK(set.image(1)[0] == 'c');
  CHECK(labels(header({1}) + "\x03").error().code() == mcomp::ErrorCode::corrupt);
  CHECK(labels(header({2}) + "\x03\x0a").error().code() == mcomp::ErrorCode::corrupt);
  CHECK(read_fashion_mnist(folder).error().code() == mcomp::ErrorCode::not_found);
}

TEST_CASE("a program's status is its exit status and stands in its report") {
  for (const ExitStatus status : {ExitStatus::done, ExitStatus::rejected, ExitStatus::undecided}) {
    const auto out = mcomp_test::temporary_folder() / "new" / "folder";
    CHECK(run({"--out", out.string()}, [&](Report& report) -> mcomp::Result<ExitStatus> {
            report.say("size_bytes", 12, "size 12 bytes");
            report.row("steps", {{"step", 1}}, "step 1");
            report.row("steps", {{"step", 2}}, "step 2");
            return status;
          }) == static_cast<int>(status));
    CHECK(read_report(out).dump() == R"({"program":"program","status":")" + to_string(status) +
                                         R"(","size_bytes":12,"steps":[{"step":1},{"step":2}]})");
  }
}

TEST_CASE("an error of a program is status 1 and stands in its report") {
  const mcomp::Error error(mcomp::ErrorCode::not_found, "weights", "are absent", "train first");
  for (const bool thrown : {false, true}) {
    const auto out = mcomp_test::temporary_folder();
    CHECK(run({"--out", out.string()}, [&](Report& report) -> mcomp::Result<ExitStatus> {
            report.keep("seed", 1);
            if (thrown) throw error;
            return error;
          }) == 1);
    const auto report = read_report(out);
    CHECK(report["status"] == "failed");
    CHECK(report["seed"] == 1);
    CHECK(report["error"]["subject"] == "weights");
  }
  const auto out = mcomp_test::temporary_folder();
  CHECK(run({"--out", out.string()}, [](Report&) -> mcomp::Result<ExitStatus> { throw std::bad_alloc(); }) == 1);
  CHECK(run({"--out", out.string()}, [](Report& report) -> mcomp::Result<ExitStatus> {
          report.keep("loss", {1.0, std::numeric_limits<double>::quiet_NaN()});
          return ExitStatus::done;
        }) == 1);
}

TEST_CASE("a wrong command line is status 2, help is status 0, and neither runs the program") {
  bool ran = false;
  const auto body = [&](Report&) -> mcomp::Result<ExitStatus> {
    ran = true;
    return ExitStatus::done;
  };
  CHECK(run({}, body) == 2);
  CHECK(run({"--out"}, body) == 2);
  CHECK(run({"--out", "x", "--unknown"}, body) == 2);
  CHECK(run({"--help"}, body) == 0);
  const auto file = mcomp_test::temporary_folder() / "file";
  REQUIRE(mcomp::write_file(file, "x"));
  CHECK(run({"--out", file.string()}, body) == 1); // no folder can be made there
  CHECK_FALSE(ran);
}
