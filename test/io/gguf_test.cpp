// What the GGUF reader and writer keep, against files built byte by byte.

#include "mcomp/io/gguf.hpp"

#include <fstream>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "io/gguf_bytes.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::io;
using namespace mcomp_test;

namespace {

Result<GgufFile> parse(const std::string& bytes, const GgufReadOptions& options = {}) {
  return parse_gguf(std::as_bytes(std::span(bytes.data(), bytes.size())), nullptr, "test", options);
}

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Every value type, as a scalar and as an array.
GgufMetadata every_value() {
  return {{"general.architecture", std::string("llama")},
          {"u8", std::uint8_t{200}},
          {"i8", std::int8_t{-100}},
          {"u16", std::uint16_t{60000}},
          {"i16", std::int16_t{-30000}},
          {"u32", std::uint32_t{4000000000}},
          {"i32", std::int32_t{-2000000000}},
          {"f32", 1.5f},
          {"yes", true},
          {"text", std::string("\xe2\x96\x81once\0upon", 12)},
          {"u64", std::numeric_limits<std::uint64_t>::max()},
          {"i64", std::numeric_limits<std::int64_t>::min()},
          {"f64", 0.1},
          {"a.u8", GgufArray(std::vector<std::uint8_t>{1, 2})},
          {"a.i8", GgufArray(std::vector<std::int8_t>{-1})},
          {"a.u16", GgufArray(std::vector<std::uint16_t>{500})},
          {"a.i16", GgufArray(std::vector<std::int16_t>{-500})},
          {"a.u32", GgufArray(std::vector<std::uint32_t>{1, 70000})},
          {"a.i32", GgufArray(std::vector<std::int32_t>{-70000})},
          {"a.f32", GgufArray(std::vector<float>{0.5f, -2})},
          {"a.bool", GgufArray(std::vector<bool>{true, false, true})},
          {"a.text", GgufArray(std::vector<std::string>{"", "a", "bc"})},
          {"a.u64", GgufArray(std::vector<std::uint64_t>{1})},
          {"a.i64", GgufArray(std::vector<std::int64_t>{-1})},
          {"a.f64", GgufArray(std::vector<double>{})}};
}

} // namespace

TEST_CASE("a file built byte by byte is read as it was meant") {
  const std::string values = raw(1.0f) + raw(2.0f) + raw(3.0f) + raw(4.0f) + raw(5.0f) + raw(6.0f);
  const std::string block(18, '\x11');
  const std::string bytes =
      gguf({architecture(), kv("general.quantization_version", 4, u32(2)), kv("general.alignment", 4, u32(64)),
            kv("list", 9, u32(8) + u64(2) + str("x") + str("yz"))},
           {tensor_info("a", {3, 2}, 0, 0), tensor_info("b", {32}, 2, 64), tensor_info("empty", {0, 7}, 0, 128),
            tensor_info("scalar", {}, 1, 128)},
           values + std::string(40, '\0') + block + std::string(46, '\0') + raw(std::uint16_t{0x3c00}), 64);
  const GgufFile file = parse(bytes).value();
  CHECK(file.alignment == 64);
  CHECK(file.get<std::string>("general.architecture").value() == "llama");
  CHECK(file.get_array<std::string>("list").value() == std::vector<std::string>{"x", "yz"});
  CHECK(file.get_integer("general.alignment").value() == 64);
  REQUIRE(file.tensors.size() == 4);
  const GgufTensor a = file.find_tensor("a").value();
  CHECK(a.shape == Shape{2, 3}); // outermost first
  CHECK(as_numbers(a).value() == Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}).value());
  CHECK(file.tensors[1].type == GgufType::q4_0);
  CHECK(text_of(file.tensors[1].bytes) == block);
  CHECK(as_numbers(file.tensors[1]).error().code() == ErrorCode::unsupported);
  CHECK(file.tensors[2].bytes.empty());
  CHECK(as_numbers(file.tensors[2]).value().shape() == Shape{7, 0});
  CHECK(to_float(as_numbers(file.tensors[3]).value().values<half>("s").value()[0]) == 1.0f);
  CHECK(fmt::format("{}", file) == "4 tensors (F32 2 F16 1 Q4_0 1), 4 keys");
  CHECK(file.find_tensor("A").error().code() == ErrorCode::not_found);
  CHECK(file.get<std::string>("lost").error().code() == ErrorCode::not_found);
  CHECK(file.get<float>("list").error().code() == ErrorCode::invalid_dtype);
  CHECK(file.get_integer("list").error().code() == ErrorCode::invalid_dtype);
  // The padding behind the last tensor may be there or not; version 2 differs in its number only.
  CHECK(parse(bytes + std::string(62, '\0')));
  std::string version2 = bytes;
  version2[4] = 2;
  CHECK(parse(version2));
}

TEST_CASE("the writer's bytes are those of the format, whatever order and type") {
  const auto path = temporary_folder() / "small.gguf";
  const std::string data = raw(1.0f) + raw(-1.0f), block(34, '\x7f');
  const std::vector<GgufSource> tensors{
      {.name = "w", .type = GgufType::q8_0, .shape = {1, 32}, .bytes = as_bytes(block)},
      {.name = "v", .shape = {2}, .make = [&]() -> Result<std::vector<std::byte>> {
         const auto bytes = as_bytes(data);
         return std::vector<std::byte>(bytes.begin(), bytes.end());
       }}};
  const GgufMetadata metadata{{"general.architecture", std::string("llama")},
                              {"general.quantization_version", std::uint32_t{2}},
                              {"n", GgufArray(std::vector<std::uint16_t>{7, 8})}};
  write_gguf(path, metadata, tensors).value();
  const std::string expected = gguf({architecture(), kv("general.quantization_version", 4, u32(2)),
                                     kv("n", 9, u32(2) + u64(2) + raw(std::uint16_t{7}) + raw(std::uint16_t{8}))},
                                    {tensor_info("w", {32, 1}, 8, 0), tensor_info("v", {2}, 0, 64)},
                                    block + std::string(30, '\0') + data + std::string(24, '\0'));
  CHECK(read_file(path).value() == expected);
  CHECK(gguf_file_bytes(metadata, tensors).value() == static_cast<std::int64_t>(expected.size()));
  // The mapping outlives the file.
  const GgufFile file = read_gguf(path).value();
  std::filesystem::remove(path);
  CHECK(text_of(file.find_tensor("w").value().bytes) == block);
}

TEST_CASE("every value type survives, as a scalar and as an array") {
  const auto path = temporary_folder() / "values.gguf";
  write_gguf(path, every_value(), {}).value();
  const GgufFile file = read_gguf(path).value();
  CHECK(file.metadata == every_value());
  CHECK(file.get_integer("u8").value() == 200);
  CHECK(file.get_integer("i64").value() == std::numeric_limits<std::int64_t>::min());
  CHECK(file.get_integer("u64").error().code() == ErrorCode::invalid_value);
  CHECK(file.get_integer("yes").error().code() == ErrorCode::invalid_dtype);
  CHECK(file.get_array<bool>("a.bool").value() == std::vector<bool>{true, false, true});
  CHECK(file.get_array<float>("a.bool").error().code() == ErrorCode::invalid_dtype);
}

TEST_CASE("every tensor type has a name, and its bytes follow from its blocks") {
  for (const GgufTypeInfo& type : gguf_types()) {
    CHECK(gguf_type_from_string(to_string(type.type)).value() == type.type);
    CHECK(gguf_bytes(type.type, {3, 2 * type.block_size}, "t").value() == 6 * type.block_bytes);
    CHECK(gguf_bytes(type.type, {3, 0}, "t").value() == 0);
    if (type.block_size > 1) CHECK_FALSE(gguf_bytes(type.type, {2, type.block_size + 1}, "t"));
  }
  CHECK(gguf_type_from_string("q4_k").value() == GgufType::q4_k);
  CHECK(gguf_type_from_string("Q4_Q").error().code() == ErrorCode::not_found);
  CHECK_FALSE(gguf_bytes(GgufType::f32, {1, 1, 1, 1, 1}, "t"));
  CHECK_FALSE(gguf_bytes(GgufType::f32, {-1}, "t"));
  CHECK_FALSE(gguf_bytes(static_cast<GgufType>(99), {1}, "t"));
  CHECK(gguf_type_info(GgufType::q4_k).bits_per_weight() == 4.5);
}

TEST_CASE("the writer refuses what a reader would") {
  const auto folder = temporary_folder();
  const auto path = folder / "wrong.gguf";
  const std::string data(64, '\0');
  const GgufSource good{.name = "w", .shape = {16}, .bytes = as_bytes(data)};
  const auto code = [&](const GgufMetadata& metadata, std::vector<GgufSource> tensors) {
    const Status status = write_gguf(path, metadata, tensors);
    REQUIRE_FALSE(status);
    CHECK(well_formed(status.error()));
    return status.error().code();
  };
  const auto with = [&](auto change) {
    GgufSource source = good;
    change(source);
    return std::vector<GgufSource>{source};
  };
  constexpr auto argument = ErrorCode::invalid_argument;
  constexpr auto shape = ErrorCode::invalid_shape;
  CHECK(code({{"", 1.0f}}, {}) == argument);
  CHECK(code({{"a", 1.0f}, {"a", 2.0f}}, {}) == argument);
  CHECK(code({{std::string("a\0b", 3), 1.0f}}, {}) == argument);
  CHECK(code({{std::string(65536, 'k'), 1.0f}}, {}) == argument);
  CHECK(code({{"general.alignment", std::uint32_t{48}}}, {}) == argument);
  CHECK(code({{"general.alignment", std::uint32_t{4}}}, {}) == argument);
  CHECK(code({{"general.alignment", std::uint64_t{32}}}, {}) == argument);
  CHECK(code({}, {good, good}) == argument);
  CHECK(code({}, with([](GgufSource& s) { s.name = ""; })) == argument);
  CHECK(code({}, with([](GgufSource& s) { s.name = std::string(64, 'n'); })) == argument);
  CHECK(code({}, with([](GgufSource& s) { s.name = std::string("a\0b", 3); })) == argument);
  CHECK(code({}, with([](GgufSource& s) { s.shape = {15}; })) == shape);
  CHECK(code({}, with([](GgufSource& s) { s.shape = {1, 1, 1, 1, 16}; })) == shape);
  CHECK(code({}, with([](GgufSource& s) { s.type = GgufType::q4_0; })) == shape);
  CHECK(code({}, with([](GgufSource& s) { s.shape = {std::int64_t{1} << 40, std::int64_t{1} << 40}; })) == shape);
  CHECK(code({}, with([](GgufSource& s) { s.make = [] { return Result<std::vector<std::byte>>({}); }; })) == shape);
  CHECK(code({}, with([](GgufSource& s) {
               s.make = []() -> Result<std::vector<std::byte>> {
                 return Error(ErrorCode::cancelled, "quantization", "stopped", "start again");
               };
             })) == ErrorCode::cancelled);
  CHECK(std::filesystem::is_empty(folder));
  CHECK(write_gguf(folder / "missing" / "x.gguf", {}, {}).error().code() == ErrorCode::not_found);
  // An older file stays where a tensor fails half way.
  write_gguf(path, {}, std::vector{good}).value();
  const std::string before = read_file(path).value();
  CHECK(code({}, {good, with([](GgufSource& s) {
                    s.name = "x";
                    s.make = [] { return Result<std::vector<std::byte>>({}); };
                  })[0]}) == shape);
  CHECK(read_file(path).value() == before);
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);
}
