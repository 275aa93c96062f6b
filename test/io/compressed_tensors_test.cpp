#include "catch.hpp"

#include <cmath>
#include <vector>

#include "mcomp/core/random.hpp"
#include "mcomp/io/compressed_tensors.hpp"

// The bytes are derived by hand from the format's rules, never from what the writer gives: code i at bit i * bits, the
// lowest bit first, across words, after adding 2^(bits - 1); zero points the same along the rows.

using namespace mcomp;
using namespace mcomp::io;
using quant::Granularity;

namespace {
using Words = std::vector<std::uint32_t>;

Words words(const TensorStore& store, const std::string& name) {
  const auto v = store.find(name).value().values<std::int32_t>(name).value();
  Words out;
  for (const std::int32_t w : v) out.push_back(static_cast<std::uint32_t>(w));
  return out;
}
template <class T> std::vector<T> values(const TensorStore& store, const std::string& name) {
  const auto v = store.find(name).value().values<T>(name).value();
  return {v.begin(), v.end()};
}
std::vector<float> floats(const Tensor& t) {
  const auto v = t.values<float>("floats").value();
  return {v.begin(), v.end()};
}

/// A layer of one row with given codes and scale 0.5.
CompressedLayer one_row(DType dtype, std::vector<int> codes, bool symmetric = true, std::int32_t zero = 0) {
  quant::QuantizedTensor q;
  q.scheme = {.dtype = dtype, .symmetric = symmetric, .granularity = Granularity::per_channel};
  const auto n = static_cast<std::int64_t>(codes.size());
  q.codes = Tensor::zeros(is_signed_integer(dtype) ? DType::int8 : DType::uint8, {1, n}).value();
  for (std::size_t i = 0; i < codes.size(); ++i)
    static_cast<std::uint8_t*>(q.codes.data())[i] = static_cast<std::uint8_t>(codes[i]);
  q.scales = Tensor::from(std::vector<float>{0.5f}, Shape{1, 1}).value();
  q.zero_points = Tensor::from(std::vector<std::int32_t>{zero}, Shape{1, 1}).value();
  return {"layer", std::move(q)};
}
CompressedTensorsFile written(const CompressedLayer& layer, const CompressedTensorsOptions& options = {}) {
  return to_compressed_tensors(std::span(&layer, 1), options).value();
}
CompressedLayer read_back(const CompressedTensorsFile& file) {
  auto layers = from_compressed_tensors(file.tensors, file.quantization_config, "config").value();
  REQUIRE(layers.size() == 1);
  return layers[0];
}
/// A configuration with one group.
std::string config(const std::string& weights, const std::string& format = "pack-quantized",
                   const std::string& targets = "\"Linear\"") {
  return R"({"quant_method": "compressed-tensors", "format": ")" + format + R"(", "quantization_status": "compressed",
    "ignore": ["lm_head"], "config_groups": {"group_0": {"targets": [)" +
         targets + R"(], "weights": )" + weights + R"(, "input_activations": null, "output_activations": null}}})";
}
TensorStore packed_store(const Words& packed, std::int64_t rows, std::int64_t columns, std::int64_t scales) {
  TensorStore store;
  Tensor t = Tensor::zeros(DType::int32, {rows, static_cast<std::int64_t>(packed.size()) / rows}).value();
  for (std::size_t i = 0; i < packed.size(); ++i) static_cast<std::uint32_t*>(t.data())[i] = packed[i];
  store.put("layer.weight_packed", std::move(t));
  store.put("layer.weight_shape", Tensor::from(std::vector<std::int64_t>{rows, columns}, Shape{2}).value());
  Tensor s = Tensor::zeros(DType::f32, {rows, scales}).value();
  for (float& v : s.mutable_values<float>()) v = 1;
  store.put("layer.weight_scale", std::move(s));
  return store;
}
template <class T> ErrorCode code(const Result<T>& result) {
  return result.error().code(); // which throws where there is no error
}
} // namespace

TEST_CASE("codes of every width lie end to end from the lowest bit") {
  struct Fixture {
    DType dtype;
    std::vector<int> codes; ///< with the offset already added
    Words expected;
  };
  const Fixture fixtures[] = {
      {DType::int2, {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 1}, {0xE4E4E4E4u, 1}},
      {DType::int3, {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3}, {0x88FAC688u, 6}},
      {DType::int4, {0, 1, 2, 3, 4, 5, 6, 7, 9}, {0x76543210u, 9}},
      {DType::int5, {0, 1, 2, 3, 4, 5, 6}, {0x8A418820u, 1}},
      {DType::int6, {1, 2, 3, 4, 5, 6}, {0x85103081u, 1}},
      {DType::int7, {1, 2, 3, 4, 0x7f}, {0xF080C101u, 7}},
      {DType::int8, {1, 2, 3, 4, 0xfe}, {0x04030201u, 0xfe}},
  };
  for (const Fixture& f : fixtures) {
    const int bits = bit_width(f.dtype), offset = 1 << (bits - 1);
    std::vector<int> codes;
    for (const int c : f.codes) codes.push_back(c - offset);
    const CompressedLayer layer = one_row(f.dtype, codes);
    const auto file = written(layer, {.packed_int8 = true});
    INFO(to_string(f.dtype));
    CHECK(words(file.tensors, "layer.weight_packed") == f.expected);
    CHECK(values<std::int64_t>(file.tensors, "layer.weight_shape") ==
          std::vector<std::int64_t>{1, static_cast<std::int64_t>(codes.size())});
    CHECK_FALSE(file.tensors.contains("layer.weight_zero_point"));
    std::vector<float> expected;
    for (const int c : codes) expected.push_back(0.5f * static_cast<float>(c));
    CHECK(floats(dequantize(read_back(file)).value()) == expected);
  }
}

TEST_CASE("weights of one bit are read") {
  // Bits 1 1 0 1: codes 0 0 -1 0 under the offset of one.
  const auto layers =
      from_compressed_tensors(packed_store({0xBu}, 1, 4, 1), config(R"({"num_bits": 1, "strategy": "channel"})"), "c")
          .value();
  CHECK(floats(dequantize(layers.at(0)).value()) == std::vector<float>{0, 0, -1, 0});
}

TEST_CASE("older releases did not let a code cross a word") {
  // Three bits, ten to a word: elements 10 .. 12 begin the second. 33 codes take 4 words so, and densely 99 bits: also
  // 4; 64 codes take 7 against 6.
  Words packed(7, 0);
  for (std::uint32_t i = 0; i < 64; ++i) packed[i / 10] |= (i % 8) << (i % 10 * 3);
  const auto layers =
      from_compressed_tensors(packed_store(packed, 1, 64, 1), config(R"({"num_bits": 3, "strategy": "channel"})"), "c")
          .value();
  const auto w = floats(dequantize(layers.at(0)).value());
  for (std::size_t i = 0; i < 64; ++i) CHECK(w[i] == static_cast<float>(i % 8) - 4);
}

TEST_CASE("zero points are packed along the rows") {
  // Nine rows of two columns in uint4, zero points 1 .. 9: eight nibbles in the first word, the ninth in the second.
  quant::QuantizedTensor q;
  q.scheme = {.dtype = DType::uint4, .symmetric = false, .granularity = Granularity::per_channel};
  std::vector<std::uint8_t> codes;
  std::vector<std::int32_t> zeros;
  for (int r = 0; r < 9; ++r) codes.insert(codes.end(), {15, 0}), zeros.push_back(r + 1);
  q.codes = Tensor::from(codes, Shape{9, 2}).value();
  q.scales = Tensor::from(std::vector<float>(9, 2.0f), Shape{9, 1}).value();
  q.zero_points = Tensor::from(zeros, Shape{9, 1}).value();
  const auto file = written({"layer", q});
  CHECK(words(file.tensors, "layer.weight_zero_point") == Words{0x87654321u, 9});
  CHECK(file.tensors.find("layer.weight_zero_point").value().shape() == Shape{2, 1});
  CHECK(words(file.tensors, "layer.weight_packed") == Words(9, 0x0Fu));
  const auto w = floats(dequantize(read_back(file)).value());
  CHECK(w[0] == 2.0f * (15 - 1));
  CHECK(w[17] == 2.0f * (0 - 9));
  CHECK(file.quantization_config.find("\"symmetric\": false") != std::string::npos);

  // Signed affine codes get the same offset as their zero points.
  const auto affine = written(one_row(DType::int4, {-8, 7, 0}, false, -3));
  CHECK(words(affine.tensors, "layer.weight_packed") == Words{0x8F0u});
  CHECK(words(affine.tensors, "layer.weight_zero_point") == Words{5});
  CHECK(floats(dequantize(read_back(affine)).value()) == std::vector<float>{-2.5f, 5.0f, 1.5f});
}

TEST_CASE("activation order is kept in a group index") {
  quant::QuantizedTensor q;
  q.scheme = {.dtype = DType::int4, .granularity = Granularity::per_group, .group_size = 2};
  q.codes = Tensor::from(std::vector<std::int8_t>{1, 2, 3, 4}, Shape{1, 4}).value();
  q.scales = Tensor::from(std::vector<float>{1, 10}, Shape{1, 2}).value();
  q.zero_points = Tensor::zeros(DType::int32, {1, 2}).value();
  const CompressedLayer layer{"layer", q, {0, 1, 0, 1}};
  CHECK(floats(dequantize(layer).value()) == std::vector<float>{1, 20, 3, 40});
  const auto file = written(layer);
  CHECK(values<std::int32_t>(file.tensors, "layer.weight_g_idx") == std::vector<std::int32_t>{0, 1, 0, 1});
  CHECK(file.quantization_config.find("\"actorder\": \"group\"") != std::string::npos);
  CHECK(floats(dequantize(read_back(file)).value()) == std::vector<float>{1, 20, 3, 40});

  CHECK(code(to_compressed_tensors(std::vector<CompressedLayer>{{"l", q, {0, 1, 2, 0}}})) == ErrorCode::invalid_value);
  CHECK(code(to_compressed_tensors(std::vector<CompressedLayer>{{"l", q, {0, 1}}})) == ErrorCode::invalid_shape);
  CHECK(code(dequantize(CompressedLayer{"l", q, {0, 1, 2, 0}})) == ErrorCode::invalid_value);
}

TEST_CASE("int8 and e4m3 weights stand as they are") {
  const auto file = written(one_row(DType::int8, {-127, 0, 5}), {.dynamic_activations = true});
  CHECK(values<std::int8_t>(file.tensors, "layer.weight") == std::vector<std::int8_t>{-127, 0, 5});
  CHECK(file.quantization_config.find("int-quantized") != std::string::npos);
  CHECK(file.quantization_config.find("\"strategy\": \"token\"") != std::string::npos);
  CHECK(floats(dequantize(read_back(file)).value()) == std::vector<float>{-63.5f, 0, 2.5f});
  // Unsigned codes move down by 128 with their zero point.
  const auto affine = written(one_row(DType::uint8, {0, 255, 100}, false, 100));
  CHECK(values<std::int8_t>(affine.tensors, "layer.weight") == std::vector<std::int8_t>{-128, 127, -28});
  CHECK(values<std::int8_t>(affine.tensors, "layer.weight_zero_point") == std::vector<std::int8_t>{-28});
  CHECK(floats(dequantize(read_back(affine)).value()) == std::vector<float>{-50, 77.5f, 0});

  const Tensor weight = Tensor::from(std::vector<float>{448, 1, -0.5f, 224, 448, 0}, Shape{2, 3}).value();
  for (const Granularity g : {Granularity::per_tensor, Granularity::per_channel, Granularity::per_block}) {
    const auto q = quant::quantize_scaled_float(weight, {.granularity = g,
                                                         .group_size = g == Granularity::per_block ? 2 : 0,
                                                         .group_rows = g == Granularity::per_block ? 2 : 0})
                       .value();
    const auto fp8 = written({"layer", q});
    CHECK(fp8.tensors.find("layer.weight").value().dtype() == DType::f8_e4m3);
    const auto first = *static_cast<const std::uint8_t*>(fp8.tensors.find("layer.weight").value().data());
    CHECK(first == 0x7e); // 448 under scale 1
    CHECK(floats(dequantize(read_back(fp8)).value()) == floats(quant::dequantize(q).value()));
  }
}

TEST_CASE("NVFP4 and MXFP4 put the first code into the low nibble") {
  std::vector<float> w(32, 0.0f);
  w[0] = 6.0f, w[1] = -0.5f, w[2] = 1.5f;
  const Tensor weight = Tensor::from(w, Shape{1, 32}).value();
  // E2M1: 6 is 7, -.5 is 8 + 1, 1.5 is 3.
  const auto mx = written({"layer", quant::quantize_microscaled(weight, {.rule = quant::ScaleRule::floor}).value()});
  const auto bytes = values<std::uint8_t>(mx.tensors, "layer.weight_packed");
  REQUIRE(bytes.size() == 16);
  CHECK(bytes[0] == 0x97);
  CHECK(bytes[1] == 0x03);
  CHECK(values<std::uint8_t>(mx.tensors, "layer.weight_scale") == std::vector<std::uint8_t>{127});
  CHECK(mx.quantization_config.find("mxfp4-pack-quantized") != std::string::npos);
  CHECK(floats(dequantize(read_back(mx)).value()) == w);

  const auto nv = written({"layer", quant::quantize_microscaled(
                                        weight, {.format = quant::microscaling::nvfp4, .rule = quant::ScaleRule::floor})
                                        .value()});
  CHECK(values<std::uint8_t>(nv.tensors, "layer.weight_packed")[0] == 0x97);
  CHECK(values<float>(nv.tensors, "layer.weight_global_scale") == std::vector<float>{448});
  const auto scale = nv.tensors.find("layer.weight_scale").value();
  CHECK(scale.dtype() == DType::f8_e4m3);
  CHECK(*static_cast<const std::uint8_t*>(scale.data()) == 0x7e);
  CHECK(floats(dequantize(read_back(nv)).value()) == w);
}

TEST_CASE("every scheme that can be written comes back as it was") {
  Tensor weight = Tensor::zeros(DType::f32, {6, 96}).value();
  Random random(4);
  for (float& v : weight.mutable_values<float>()) v = static_cast<float>(random.normal());
  for (const int bits : {2, 3, 4, 5, 6, 7, 8})
    for (const bool symmetric : {true, false})
      for (const bool is_signed : {true, false})
        for (const Granularity g : {Granularity::per_tensor, Granularity::per_channel, Granularity::per_group}) {
          const quant::Scheme scheme{.dtype = integer_dtype(bits, is_signed),
                                     .symmetric = symmetric,
                                     .granularity = g,
                                     .group_size = g == Granularity::per_group ? 32 : 0};
          const auto q = quant::quantize(weight, scheme).value();
          for (const bool packed : {true, false}) {
            INFO(to_string(scheme));
            const auto back = read_back(written({"layer", q}, {.packed_int8 = packed}));
            CHECK(floats(dequantize(back).value()) == floats(quant::dequantize(q).value()));
          }
        }
}

TEST_CASE("scales are stored in a narrower type only where it holds them exactly") {
  const CompressedLayer exact = one_row(DType::int4, {1, 2});
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const auto file = written(exact, {.scale_dtype = dtype});
    CHECK(file.tensors.find("layer.weight_scale").value().dtype() == dtype);
    CHECK(floats(dequantize(read_back(file)).value()) == std::vector<float>{0.5f, 1.0f});
  }
  CompressedLayer rounded = exact;
  std::get<quant::QuantizedTensor>(rounded.weight).scales = Tensor::from(std::vector<float>{0.1f}, Shape{1, 1}).value();
  CHECK(code(to_compressed_tensors(std::span(&rounded, 1), {.scale_dtype = DType::bf16})) == ErrorCode::invalid_value);
}

TEST_CASE("layers find their scheme by name, expression or class") {
  std::vector<CompressedLayer> layers{one_row(DType::int4, {1}), one_row(DType::int4, {2}), one_row(DType::int8, {3})};
  layers[0].name = "a.q", layers[1].name = "b.q", layers[2].name = "b.down";
  const auto file = to_compressed_tensors(layers).value();
  CHECK(file.quantization_config.find("mixed-precision") != std::string::npos);
  const auto back = from_compressed_tensors(file.tensors, file.quantization_config, "c").value();
  REQUIRE(back.size() == 3);
  CHECK(back[0].name == "a.q");
  CHECK(back[1].name == "b.down");
  CHECK(std::get<quant::QuantizedTensor>(back[1].weight).scheme.dtype == DType::int8);

  const std::string four = R"({"num_bits": 4, "strategy": "channel"})";
  CHECK(from_compressed_tensors(packed_store({1}, 1, 1, 1), config(four, "pack-quantized", R"("re:lay.*")"), "c"));
  CHECK(code(from_compressed_tensors(packed_store({1}, 1, 1, 1), config(four, "pack-quantized", R"("re:other")"),
                                     "c")) == ErrorCode::corrupt);
  CHECK(code(from_compressed_tensors(packed_store({1}, 1, 1, 1), config(four, "pack-quantized", R"("re:(")"), "c")) ==
        ErrorCode::corrupt);
  // A preset by its name.
  const std::string preset = R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
    "config_groups": {"W4A16": ["Linear"]}, "unknown": 1})";
  CHECK(from_compressed_tensors(packed_store({1}, 1, 1, 1), preset, "c"));
}

TEST_CASE("a checkpoint that contradicts its configuration is an error") {
  const std::string four = R"({"num_bits": 4, "strategy": "channel"})";
  const TensorStore good = packed_store({0x21}, 1, 2, 1);
  REQUIRE(from_compressed_tensors(good, config(four), "c"));
  const auto with = [&](const std::string& name, Tensor tensor) {
    TensorStore store = good;
    store.put("layer." + name, std::move(tensor));
    return store;
  };
  const auto broken = [&](const TensorStore& store, const std::string& text) {
    return code(from_compressed_tensors(store, text, "c"));
  };
  CHECK(broken(with("weight_shape", Tensor::from(std::vector<std::int64_t>{1, 9}, Shape{2}).value()), config(four)) ==
        ErrorCode::corrupt);
  CHECK(broken(with("weight_shape", Tensor::from(std::vector<std::int64_t>{1, -2}, Shape{2}).value()), config(four)) ==
        ErrorCode::corrupt);
  CHECK(
      broken(with("weight_shape", Tensor::from(std::vector<std::int64_t>{1, std::int64_t{1} << 61}, Shape{2}).value()),
             config(four)) == ErrorCode::corrupt);
  CHECK(broken(with("weight_shape", Tensor::from(std::vector<std::int64_t>{2}, Shape{1}).value()), config(four)) ==
        ErrorCode::corrupt);
  CHECK(broken(with("weight_scale", Tensor::zeros(DType::f32, {1, 2}).value()), config(four)) == ErrorCode::corrupt);
  CHECK(broken(with("weight_scale", Tensor::zeros(DType::int8, {1, 1}).value()), config(four)) == ErrorCode::corrupt);
  CHECK(broken(with("weight_packed", Tensor::zeros(DType::int64, {1, 1}).value()), config(four)) == ErrorCode::corrupt);
  CHECK(broken(with("weight_g_idx", Tensor::zeros(DType::int32, {2}).value()), config(four)) == ErrorCode::corrupt);
  TensorStore missing = good;
  missing.erase("layer.weight_packed");
  CHECK(broken(missing, config(four)) == ErrorCode::not_found);
  CHECK(broken(good, config(R"({"num_bits": 4, "symmetric": false, "strategy": "channel"})")) == ErrorCode::not_found);
  CHECK(broken(good, config(R"({"num_bits": 9, "strategy": "channel"})")) == ErrorCode::corrupt);
  CHECK(broken(good, config(R"({"num_bits": 4, "strategy": "group"})")) == ErrorCode::corrupt);
  CHECK(broken(good, config(R"({"num_bits": 4, "strategy": "token"})")) == ErrorCode::unsupported);
  CHECK(broken(good, config(R"({"num_bits": 4, "strategy": "channel", "bits": 4})")) == ErrorCode::corrupt);
  CHECK(broken(good, config(R"({"num_bits": 4, "strategy": "channel", "dynamic": true})")) == ErrorCode::corrupt);
  CHECK(broken(good, config(R"({"num_bits": 4, "type": "float", "strategy": "channel"})")) == ErrorCode::corrupt);
  CHECK(broken(good, config(four, "marlin-24")) == ErrorCode::unsupported);
  CHECK(broken(good, config(four, "nvfp4-pack-quantized")) == ErrorCode::corrupt);
  CHECK(broken(good, "{") == ErrorCode::corrupt);
  CHECK(broken(good, "[]") == ErrorCode::corrupt);
  CHECK(broken(good, R"({"quant_method": "gptq"})") == ErrorCode::unsupported);
  CHECK(broken(good, R"({"quant_method": "compressed-tensors", "config_groups": {}})") == ErrorCode::corrupt);
}

TEST_CASE("what compressed-tensors cannot express is refused before anything is written") {
  const auto write = [](const CompressedLayer& layer, const CompressedTensorsOptions& options = {}) {
    return code(to_compressed_tensors(std::span(&layer, 1), options));
  };
  CHECK(code(to_compressed_tensors({})) == ErrorCode::invalid_argument);
  const std::vector<CompressedLayer> twice{one_row(DType::int4, {1}), one_row(DType::int4, {1})};
  CHECK(code(to_compressed_tensors(twice)) == ErrorCode::invalid_argument);
  CHECK(write(one_row(DType::int4, {1}), {.scale_dtype = DType::int8}) == ErrorCode::invalid_argument);
  const Tensor odd = Tensor::zeros(DType::f32, {2, 33}).value();
  CHECK(write({"l", quant::quantize_microscaled(odd).value()}) == ErrorCode::invalid_shape);
  CHECK(write({"l", quant::quantize_microscaled(Tensor::zeros(DType::f32, {1, 32}).value(),
                                                {.format = quant::microscaling::mxfp8_e4m3})
                        .value()}) == ErrorCode::unsupported);
  CHECK(write({"l", quant::quantize_scaled_float(odd, {.element = e5m2}).value()}) == ErrorCode::unsupported);
  CHECK(
      write({"l", quant::quantize(odd, {.dtype = DType::int4, .granularity = Granularity::per_group, .group_size = 32})
                      .value()}) == ErrorCode::unsupported);
  CHECK(write({"l", quant::quantize(Tensor::zeros(DType::f32, {2, 2, 2}).value(), {}).value()}) ==
        ErrorCode::invalid_shape);
  CHECK(write({"l", quant::quantize_microscaled(Tensor::zeros(DType::f32, {1, 32}).value()).value()},
              {.dynamic_activations = true}) == ErrorCode::invalid_argument);
}
