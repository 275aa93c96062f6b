#include "mcomp/core/tensor.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/eigen.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/tensor_store.hpp"

using namespace mcomp;

TEST_CASE("tensors are aligned, zeroed, copied and moved") {
  Tensor a = Tensor::zeros(DType::f32, {3, 5}).value();
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
  for (const float x : a.values<float>("a").value()) CHECK(x == 0);
  a.mutable_values<float>()[4] = 2;
  Tensor b = a;
  CHECK(b == a);
  b.mutable_values<float>()[4] = 3;
  CHECK_FALSE(b == a);
  const Tensor c = std::move(b);
  CHECK(c.values<float>("c").value()[4] == 3);
  CHECK(fmt::format("{}", c) == "f32 [3, 5]");
  CHECK(Tensor::zeros(DType::uint4, {7}).value().bytes() == 4);
}

TEST_CASE("a moved tensor and an empty tensor are usable") {
  Tensor a = Tensor::zeros(DType::f32, {2}).value();
  const Tensor b = std::move(a);
  a = b;
  CHECK(a == b);
  const Tensor empty = Tensor::zeros(DType::f32, {0, 4}).value();
  CHECK(empty.bytes() == 0);
  CHECK(Tensor::copy_of(empty).value() == empty);
  CHECK(Tensor().elements() == 0);
}

TEST_CASE("impossible shapes are errors, not overflows") {
  const std::int64_t big = std::int64_t{1} << 40;
  for (const Shape& shape : {Shape{-1}, Shape{big, big}, Shape{2, -3}, Shape{big, big, 0, big}}) {
    const auto bytes = byte_size(DType::f32, shape, "w");
    if (shape == Shape{big, big, 0, big}) continue; // an empty tensor may have any other sizes, or be refused
    REQUIRE_FALSE(bytes);
    CHECK(bytes.error().code() == ErrorCode::invalid_shape);
    CHECK(mcomp_test::well_formed(bytes.error()));
    CHECK_FALSE(Tensor::zeros(DType::f32, shape));
  }
}

TEST_CASE("views know their strides, copies are contiguous") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const TensorView transposed(values.data(), DType::f32, {3, 2}, {1, 3});
  CHECK_FALSE(transposed.contiguous());
  const auto refused = transposed.values<float>("x");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::invalid_shape);
  const Tensor copy = Tensor::copy_of(transposed).value();
  const auto elements = copy.values<float>("copy").value();
  CHECK(std::vector<float>(elements.begin(), elements.end()) == std::vector<float>{1, 4, 2, 5, 3, 6});
  const auto row = copy.view().rows(1, 2).value();
  CHECK(row.values<float>("row").value()[0] == 2);
  CHECK_FALSE(copy.view().rows(2, 4));
  CHECK_FALSE(copy.values<std::int8_t>("copy"));
  CHECK_FALSE(TensorView::of(std::span<const float>(values), {4, 2}));
}

TEST_CASE("every half-precision number survives float and back") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const half h{static_cast<std::uint16_t>(bits)};
    const float f = to_float(h);
    if (std::isnan(f)) {
      CHECK(std::isnan(to_float(to_half(f))));
      continue;
    }
    if (to_half(f) != h) FAIL("binary16 pattern " << bits);
    const bfloat16 b{static_cast<std::uint16_t>(bits)};
    if (!std::isnan(to_float(b)) && to_bfloat16(to_float(b)) != b) FAIL("bfloat16 pattern " << bits);
  }
}

TEST_CASE("half precision rounds to nearest even, overflows to infinity and keeps subnormals") {
  CHECK(to_half(1.0f).bits == 0x3c00);
  CHECK(to_half(1.0f + 0x1p-11f).bits == 0x3c00); // half way, to even
  CHECK(to_half(1.0f + 3 * 0x1p-11f).bits == 0x3c02);
  CHECK(to_half(65519.99f).bits == 0x7bff);
  CHECK(to_half(65520.0f).bits == 0x7c00);
  CHECK(to_half(-0x1p-24f).bits == 0x8001);
  CHECK(to_half(0x1p-25f).bits == 0x0000); // half way, to even
  CHECK(to_half(0x1.8p-24f).bits == 0x0002);
  CHECK(to_bfloat16(1.0f + 0x1p-8f).bits == 0x3f80);
  CHECK(to_bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
}

TEST_CASE("any element type converts to float") {
  const std::vector<std::uint8_t> nibbles{0x8f, 0x71};
  const TensorView signed_view(nibbles.data(), DType::int4, {4}), unsigned_view(nibbles.data(), DType::uint4, {4});
  const auto s = to_f32(signed_view, "s").value(), u = to_f32(unsigned_view, "u").value();
  CHECK(s == Tensor::from(std::vector<float>{-1, -8, 1, 7}, {4}).value());
  CHECK(u == Tensor::from(std::vector<float>{15, 8, 1, 7}, {4}).value());
  const std::vector<std::int64_t> whole{-3, 1LL << 33};
  CHECK(to_f32(TensorView(whole.data(), DType::int64, {2}), "i").value() ==
        Tensor::from(std::vector<float>{-3, 0x1p33f}, {2}).value());
}

TEST_CASE("non-finite elements are found and named") {
  const std::vector<float> values{1, 2, std::numeric_limits<float>::quiet_NaN()};
  const auto status = require_finite(TensorView(values.data(), DType::f32, {3}), "layer1.weight");
  REQUIRE_FALSE(status);
  CHECK(status.error().code() == ErrorCode::invalid_value);
  CHECK(status.error().subject() == "layer1.weight");
  CHECK(status.error().rule().find("element 2") != std::string::npos);
  CHECK(require_finite(TensorView(values.data(), DType::f32, {2}), "w"));
}

TEST_CASE("a missing tensor's error proposes the name that was meant") {
  TensorStore store;
  store.put("layer1.weight", Tensor::zeros(DType::f32, {2}).value());
  const auto missing = store.find("layer1.wieght");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code() == ErrorCode::not_found);
  CHECK(missing.error().remedy().find("'layer1.weight'") != std::string::npos);
  CHECK(store.bytes() == 8);
  store.erase("layer1.weight");
  CHECK(store.size() == 0);
}

TEST_CASE("Eigen maps see the elements in row-major order") {
  const auto t = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}).value();
  const auto matrix = as_matrix<float>(t, "t").value();
  CHECK(matrix(1, 0) == 4);
  CHECK(to_tensor(matrix.transpose()) == Tensor::from(std::vector<float>{1, 4, 2, 5, 3, 6}, {3, 2}).value());
  CHECK_FALSE(as_matrix<double>(t, "t"));
}

TEST_CASE("results throw their error, and only theirs") {
  const Result<int> good = 3, bad = Error(ErrorCode::not_found, "a", "b", "c");
  CHECK(good.value() == 3);
  CHECK(good.value_or(4) == 3);
  CHECK(bad.value_or(4) == 4);
  CHECK_THROWS_AS(bad.value(), Error);
  CHECK_THROWS_AS(good.error(), std::logic_error);
  CHECK(fmt::format("{}", bad.error()) == "not found: a: b; c");
  CHECK(bad.error().within("file").subject() == "file: a");
}
