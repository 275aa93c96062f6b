#include "mcomp/io/safetensors.hpp"

#include <cstring>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/sha256.hpp"

using namespace mcomp;
using mcomp::io::parse_safetensors;
using mcomp::io::read_safetensors;
using mcomp::io::SafetensorsFile;
using mcomp::io::write_safetensors;

namespace {

std::string bytes_of(const std::filesystem::path& path) {
  return read_file(path).value();
}

std::string header_length(std::uint64_t length) {
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, 8);
  return text;
}

const std::vector<DType> dtypes{DType::f64,  DType::f32,   DType::f16,   DType::bf16,  DType::boolean,
                                DType::int8, DType::uint8, DType::int16, DType::int32, DType::int64};

/// Random bytes of every dtype under several shapes, among them a scalar and empty tensors.
TensorStore every_dtype() {
  Random random(1);
  TensorStore store;
  for (const DType dtype : dtypes)
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 5}, Shape{0}, Shape{2, 0, 7}, Shape{1, 1, 1, 1, 3}}) {
      Tensor tensor = Tensor::zeros(dtype, shape).value();
      auto* bytes = static_cast<unsigned char*>(tensor.data());
      for (std::int64_t i = 0; i < tensor.bytes(); ++i)
        bytes[i] = static_cast<unsigned char>(random.below(dtype == DType::boolean ? 2 : 256));
      store.put(fmt::format("{}.{}", dtype, shape), std::move(tensor));
    }
  return store;
}

void check_aligned(const TensorStore& store) {
  for (const std::string& name : store.names()) {
    const TensorView view = store.find(name).value();
    INFO(name);
    CHECK(reinterpret_cast<std::uintptr_t>(view.data()) % (static_cast<unsigned>(bit_width(view.dtype())) / 8) == 0);
  }
}

} // namespace

TEST_CASE("every dtype and shape survives a file, and metadata with it") {
  const auto path = mcomp_test::temporary_folder() / "all.safetensors";
  const TensorStore store = every_dtype();
  const std::map<std::string, std::string> metadata{
      {"", ""}, {"a\"b\\", "line\nbreak, \xc3\xa9\xe2\x82\xac"}, {"z", "1"}};
  write_safetensors(path, store, metadata).value();
  const SafetensorsFile file = read_safetensors(path).value();
  CHECK(file.metadata == metadata);
  CHECK(file.tensors.names() == store.names());
  CHECK(fingerprint(file.tensors) == fingerprint(store));
  check_aligned(file.tensors);
  CHECK(fmt::format("{}", SafetensorsFile{.tensors = {}, .metadata = {{"a", "1"}, {"b", "2"}}}) ==
        "0 tensors, 0 bytes, metadata: a, b");
}

TEST_CASE("the written bytes are the ones a reader computes by hand") {
  const auto path = mcomp_test::temporary_folder() / "hand.safetensors";
  TensorStore store;
  store.put("b", Tensor::from(std::vector<std::uint8_t>{7, 8, 9}, {3}).value());
  store.put("a", Tensor::from(std::vector<std::uint8_t>{1}, {}).value());
  store.put("c", Tensor::from(std::vector<float>{1, -2}, {1, 2}).value());
  write_safetensors(path, store, {{"format", "pt"}}).value();
  // Widest dtype first, then by name; 1.0f is 00 00 80 3f, -2.0f is 00 00 00 c0.
  std::string header = R"({"__metadata__":{"format":"pt"},"c":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                       R"("a":{"dtype":"U8","shape":[],"data_offsets":[8,9]},)"
                       R"("b":{"dtype":"U8","shape":[3],"data_offsets":[9,12]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string data("\x00\x00\x80\x3f\x00\x00\x00\xc0\x01\x07\x08\x09", 12);
  CHECK(bytes_of(path) == header_length(header.size()) + header + data);
}

TEST_CASE("a fixture by hand reads as what it says") {
  const std::string header = R"({"w":{"dtype":"I16","shape":[2,1],"data_offsets":[1,5]},)"
                             R"("flag":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]},"__metadata__":{"k":"v"}})";
  const auto bytes = std::make_shared<const std::string>(header_length(header.size()) + header +
                                                         std::string("\x01\x05\x00\xff\xff", 5));
  const auto file = parse_safetensors(std::as_bytes(std::span(*bytes)), bytes, "fixture").value();
  CHECK(file.metadata == std::map<std::string, std::string>{{"k", "v"}});
  const TensorView w = file.tensors.find("w").value();
  CHECK(w.shape() == Shape{2, 1});
  CHECK(w.values<std::int16_t>("w").value()[0] == 5);
  CHECK(w.values<std::int16_t>("w").value()[1] == -1);
  CHECK(file.tensors.find("flag").value().values<bool>("flag").value()[0]);
}

TEST_CASE("the same content gives the same bytes, in whatever order it was put and from whatever memory") {
  const auto folder = mcomp_test::temporary_folder();
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  TensorStore forward, backward;
  forward.put("x", Tensor::from(values, {2, 3}).value());
  forward.put("y", Tensor::from(std::vector<float>{1, 4, 2, 5, 3, 6}, {3, 2}).value());
  backward.put("y", TensorView(values.data(), DType::f32, {3, 2}, {1, 3}), nullptr); // strided: x transposed
  backward.put("x", TensorView(values.data(), DType::f32, {2, 3}), nullptr);
  write_safetensors(folder / "a", forward).value();
  write_safetensors(folder / "b", backward).value();
  CHECK(bytes_of(folder / "a") == bytes_of(folder / "b"));
  const auto again = read_safetensors(folder / "a").value();
  write_safetensors(folder / "c", again.tensors, again.metadata).value();
  CHECK(bytes_of(folder / "a") == bytes_of(folder / "c"));
  CHECK(bytes_of(folder / "a").find("__metadata__") == std::string::npos);
}

TEST_CASE("no tensor is misaligned, wherever the buffer begins") {
  const auto path = mcomp_test::temporary_folder() / "all.safetensors";
  write_safetensors(path, every_dtype()).value();
  const std::string content = bytes_of(path);
  for (std::size_t shift = 0; shift < 8; ++shift) {
    const auto buffer = std::make_shared<std::vector<std::byte>>(shift + content.size());
    std::memcpy(buffer->data() + shift, content.data(), content.size());
    const auto file = parse_safetensors(std::span(*buffer).subspan(shift), buffer, "shifted").value();
    check_aligned(file.tensors);
    CHECK(fingerprint(file.tensors) == fingerprint(every_dtype()));
  }
}

TEST_CASE("tensors outlive the file object, the file's name and a buffer without owner") {
  const auto path = mcomp_test::temporary_folder() / "x.safetensors";
  TensorStore store;
  store.put("x", Tensor::from(std::vector<float>{1, 2, 3}, {3}).value());
  write_safetensors(path, store).value();
  std::string content = bytes_of(path);
  const TensorStore copied = parse_safetensors(std::as_bytes(std::span(content)), nullptr, "buffer").value().tensors;
  std::fill(content.begin(), content.end(), '\xee');
  const TensorStore mapped = read_safetensors(path).value().tensors;
  std::filesystem::remove(path);
  CHECK(fingerprint(copied) == fingerprint(store));
  CHECK(fingerprint(mapped) == fingerprint(store));
}

TEST_CASE("an empty store is a legal file") {
  const auto path = mcomp_test::temporary_folder() / "empty.safetensors";
  write_safetensors(path, {}).value();
  CHECK(bytes_of(path) == header_length(8) + "{}      ");
  CHECK(read_safetensors(path).value().tensors.size() == 0);
}

TEST_CASE("what a safetensors file cannot say is refused before anything is written") {
  const auto folder = mcomp_test::temporary_folder();
  const Tensor one = Tensor::zeros(DType::f32, {1}).value();
  const unsigned char two = 2;
  const auto refused = [&](const char* name, const TensorView& view, ErrorCode code, const std::string& word,
                           const std::map<std::string, std::string>& metadata = {}) {
    TensorStore store;
    store.put(name, view, nullptr);
    const auto status = write_safetensors(folder / "x", store, metadata);
    INFO(word);
    REQUIRE_FALSE(status);
    CHECK(status.error().code() == code);
    CHECK(std::string(status.error().what()).find(word) != std::string::npos);
    CHECK(mcomp_test::well_formed(status.error()));
    CHECK(std::filesystem::is_empty(folder));
  };
  const Tensor int4 = Tensor::zeros(DType::int4, {2}).value(), uint4 = Tensor::zeros(DType::uint4, {2}).value();
  refused("w4", int4, ErrorCode::unsupported, "uint8");
  refused("w4", uint4, ErrorCode::unsupported, "\"w4\"");
  refused("__metadata__", one, ErrorCode::invalid_argument, "reserves");
  refused("\xff", one, ErrorCode::invalid_argument, "UTF-8");
  refused("x", one, ErrorCode::invalid_argument, "UTF-8", {{"k", "\xc3"}});
  refused("x", one, ErrorCode::invalid_argument, "NUL", {{std::string("k\0", 2), "v"}});
  refused("x", TensorView(nullptr, DType::f32, {3}), ErrorCode::invalid_argument, "memory");
  refused("x", TensorView(&two, DType::boolean, {1}), ErrorCode::invalid_value, "boolean");
  refused("x", TensorView(&two, DType::uint8, {-1}), ErrorCode::invalid_shape, "negative");
}

TEST_CASE("every tensor file of the test data reads, and reads again as written") {
  const auto path = mcomp_test::temporary_folder() / "copy.safetensors";
  for (const char* name : {"vision", "language", "calibration"}) {
    const auto folder = mcomp_test::data(name);
    if (!folder) continue;
    int files = 0;
    for (const auto& item : std::filesystem::directory_iterator(*folder)) {
      if (item.path().extension() != ".safetensors") continue;
      INFO(item.path());
      const auto file = read_safetensors(item.path()).value();
      CHECK(file.tensors.size() > 0);
      CHECK(file.metadata.contains("source"));
      check_aligned(file.tensors);
      write_safetensors(path, file.tensors, file.metadata).value();
      const auto again = read_safetensors(path).value();
      CHECK(again.metadata == file.metadata);
      CHECK(fingerprint(again.tensors) == fingerprint(file.tensors));
      ++files;
    }
    CHECK(files > 0);
  }
}

TEST_CASE("a trained network has the tensors that its paper describes") {
  const auto path = mcomp_test::data("vision/resnet20_cifar10.safetensors");
  if (!path) return;
  const auto file = read_safetensors(*path).value();
  CHECK(file.tensors.find("conv1.weight").value().shape() == Shape{16, 3, 3, 3});
  // He et al. 2016, table 6: ResNet-20 has 0.27 M parameters (running statistics are not parameters).
  std::int64_t parameters = 0;
  for (const std::string& name : file.tensors.names())
    if (name.find("running_") == std::string::npos && name.find("num_batches") == std::string::npos)
      parameters += file.tensors.find(name).value().elements();
  CHECK(parameters == Approx(270000).epsilon(0.02));
}
