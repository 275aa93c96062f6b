#include "mcomp/quant/block_format.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "quant/block_codecs.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {

Tensor normal_weights(Shape shape, std::uint64_t seed = 1, double scale = 1) {
  Tensor t = Tensor::uninitialized(DType::f32, std::move(shape)).value();
  Random random(seed);
  for (float& x : t.mutable_values<float>()) x = static_cast<float>(scale * random.normal());
  return t;
}

Tensor filled(float value, std::int64_t n = 256) {
  return Tensor::from(std::vector<float>(static_cast<std::size_t>(n), value), {n}).value();
}

std::vector<std::uint8_t> bytes_of(const BlockTensor& q) {
  const auto bytes = q.bytes.values<std::uint8_t>("bytes").value();
  return {bytes.begin(), bytes.end()};
}

std::vector<float> values_of(const BlockTensor& q) {
  const Tensor back = dequantize_blocks(q).value();
  const auto values = back.values<float>("values").value();
  return {values.begin(), values.end()};
}

constexpr std::array searches{BlockSearch::nearest, BlockSearch::fast, BlockSearch::thorough};

} // namespace

TEST_CASE("formats have the sizes and numbers of the GGUF specification") {
  struct Row {
    const char* name;
    std::uint32_t type;
    double bits;
  };
  constexpr std::array<Row, 13> rows{{{"Q4_0", 2, 4.5},
                                      {"Q4_1", 3, 5.0},
                                      {"Q5_0", 6, 5.5},
                                      {"Q5_1", 7, 6.0},
                                      {"Q8_0", 8, 8.5},
                                      {"Q2_K", 10, 2.625},
                                      {"Q3_K", 11, 3.4375},
                                      {"Q4_K", 12, 4.5},
                                      {"Q5_K", 13, 5.5},
                                      {"Q6_K", 14, 6.5625},
                                      {"IQ4_NL", 20, 4.5},
                                      {"IQ4_XS", 23, 4.25},
                                      {"MXFP4", 39, 4.25}}};
  for (const Row& row : rows) {
    INFO(row.name);
    const BlockFormat format = block_format_from_string(row.name).value();
    CHECK(fmt::format("{}", format) == row.name);
    CHECK(block_layout(format).gguf_type == row.type);
    CHECK(block_layout(format).bits_per_weight() == row.bits);
    CHECK(block_format_from_gguf_type(row.type).value() == format);
    CHECK(codec(format).block_bytes() == static_cast<std::size_t>(block_layout(format).block_bytes));
  }
  CHECK(block_format_from_string("q4_k").value() == BlockFormat::q4_k);
  CHECK(block_format_from_string("Q4_Q").error().code() == ErrorCode::not_found);
  CHECK(mcomp_test::well_formed(block_format_from_string("Q4_Q").error()));
  CHECK(mcomp_test::well_formed(block_format_from_gguf_type(41).error()));
}

TEST_CASE("a Q4_0 block is what a reader computes by hand") {
  std::vector<float> x(32, 0.0f);
  x[0] = -8;    // largest magnitude: scale 1, code 0
  x[1] = 7;     // code 15
  x[16] = 2.5f; // 10.5 rounds up to 11, in the high nibble of byte 0
  const BlockTensor q =
      quantize_blocks(Tensor::from(x, {32}).value(), BlockFormat::q4_0, {.search = BlockSearch::nearest}).value();
  auto bytes = bytes_of(q);
  CHECK(bytes[0] == 0x00); // fp16 1.0
  CHECK(bytes[1] == 0x3c);
  CHECK(bytes[2] == 0xb0);
  CHECK(bytes[3] == 0x8f);
  CHECK(bytes[4] == 0x88);
  CHECK(q.stored_bytes() == 18);
  CHECK(q.compression() == Approx(128.0 / 18));
  CHECK(fmt::format("{}", q) == "[32] Q4_0, 18 bytes (7.11x smaller than f32)");
}

TEST_CASE("codes and scales taken apart give the same bytes again where a block has one scale") {
  Random random(4);
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    const auto& layout = block_layout(format);
    const BlockTensor q = quantize_blocks(normal_weights({3, 512}), format, {.search = BlockSearch::fast}).value();
    const BlockParts parts = unpack_blocks(q).value();
    CHECK(parts.scales.shape() == Shape{3, 512 / layout.sub_block_size});
    const auto values = values_of(q);
    const auto codes = parts.codes.values<std::uint8_t>("codes").value();
    const auto scales = parts.scales.values<float>("scales").value(),
               offsets = parts.offsets.values<float>("o").value();
    const Tensor level_tensor = block_levels(format);
    const auto levels = level_tensor.values<float>("levels").value();
    CHECK(std::is_sorted(levels.begin(), levels.end()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t s = i / static_cast<std::size_t>(layout.sub_block_size);
      if (scales[s] * levels[codes[i]] + offsets[s] != values[i]) FAIL("weight " << i);
    }
    const BlockTensor again = pack_blocks(parts).value();
    if (layout.block_size == 32) {
      CHECK(bytes_of(again) == bytes_of(q));
    } else {
      const auto near = values_of(again);
      const float step = *std::max_element(scales.begin(), scales.end());
      for (std::size_t i = 0; i < values.size(); ++i)
        if (!(std::abs(near[i] - values[i]) <= 0.5f * step)) FAIL("weight " << i << " moved by more than half a step");
    }
  }
}

TEST_CASE("every code of every format survives packing at every place of a block") {
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    const BlockCodec& of = codec(format);
    std::vector<std::uint8_t> codes(of.block_size()), back(of.block_size());
    std::vector<std::byte> bytes(of.block_bytes());
    const std::size_t sub_blocks = of.block_size() / of.sub_block_size();
    const unsigned scale_codes = format == BlockFormat::q2_k ? 16 : format == BlockFormat::q6_k ? 256 : 64;
    for (std::size_t shift = 0; shift < of.levels().size(); ++shift) {
      BlockGrid grid, unpacked;
      grid.super = {static_cast<std::uint16_t>(format == BlockFormat::mxfp4 ? 120 + shift : 0x2c00 + shift), 0};
      if (of.has_offset()) grid.super[1] = static_cast<std::uint16_t>(0x2d00 + shift);
      if (sub_blocks > 1)
        for (std::size_t s = 0; s < sub_blocks; ++s) {
          grid.small[2 * s] = static_cast<std::uint8_t>((7 * s + 11 * shift) % scale_codes);
          if (of.has_offset()) grid.small[2 * s + 1] = static_cast<std::uint8_t>((5 * s + 3 * shift) % scale_codes);
        }
      for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = static_cast<std::uint8_t>((i * 7 + shift) % of.levels().size());
      of.pack(grid, codes, bytes.data());
      of.unpack(bytes.data(), unpacked, back);
      CHECK(back == codes);
      CHECK(unpacked.super == grid.super);
      CHECK(unpacked.small == grid.small);
    }
  }
}

TEST_CASE("representable scales stay, and wished ones move to the nearest") {
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    const BlockCodec& of = codec(format);
    const std::size_t n = of.block_size() / of.sub_block_size();
    BlockGrid wished;
    Random random(9);
    for (std::size_t s = 0; s < n; ++s) {
      wished.scale[s] = static_cast<float>(0.5 + random.uniform());
      if (of.has_offset()) wished.offset[s] = static_cast<float>(-random.uniform());
    }
    BlockGrid rounded = wished;
    of.round_scales({}, rounded);
    // Half of a scale code of the largest scale; fp16 alone is finer, powers of two are coarser.
    const float allowed = format == BlockFormat::mxfp4 ? 0.5f : format == BlockFormat::q2_k ? 0.06f : 0.03f;
    for (std::size_t s = 0; s < n; ++s) {
      CHECK(std::abs(rounded.scale[s] - wished.scale[s]) <= allowed);
      CHECK(std::abs(rounded.offset[s] - wished.offset[s]) <= allowed);
    }
  }
}

TEST_CASE("the bytes do not depend on the number of threads, nor on how the weight is stored") {
  const Tensor w = normal_weights({40, 1024}, 3);
  std::vector<half> halves;
  for (const float x : w.values<float>("w").value()) halves.push_back(to_half(x));
  const Tensor as_half = Tensor::from(halves, {40, 1024}).value();
  const Tensor widened = to_f32(as_half, "w").value();
  ThreadPool two(2), eight(8);
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    for (const BlockSearch search : {BlockSearch::nearest, BlockSearch::fast}) {
      const BlockOptions options{.search = search};
      const auto expected = bytes_of(quantize_blocks(w, format, options).value());
      CHECK(bytes_of(quantize_blocks(w, format, options, {.executor = &two}).value()) == expected);
      CHECK(bytes_of(quantize_blocks(w, format, options, {.executor = &eight}).value()) == expected);
    }
    CHECK(bytes_of(quantize_blocks(as_half, format, {.search = BlockSearch::nearest}).value()) ==
          bytes_of(quantize_blocks(widened, format, {.search = BlockSearch::nearest}).value()));
  }
}

TEST_CASE("zeros, constants, denormals and scales beyond fp16 give defined values") {
  for (const BlockFormat format : block_formats)
    for (const BlockSearch search : searches) {
      INFO(fmt::format("{} {}", format, search));
      const auto quantized = [&](const Tensor& w) {
        return values_of(quantize_blocks(w, format, {.search = search}).value());
      };
      for (const float v : quantized(filled(0))) CHECK(v == 0);
      for (const float v : quantized(filled(1e-42f))) CHECK(std::abs(v) <= 1e-42f);
      // Below half of the smallest fp16 nothing can be stored but zero; MXFP4 reaches further down.
      for (const float v : quantized(filled(0x1p-60f))) CHECK(std::abs(v) <= 0x1.8p-60f);
      for (const float sign : {1.0f, -1.0f})
        for (const float v : quantized(filled(sign * 0.7f))) CHECK(v == Approx(sign * 0.7f).epsilon(0.15));
      if (search != BlockSearch::nearest) {
        // 1e30 is far beyond what fp16 reaches: a large value with the right sign, at least fp16's largest.
        for (const float v : quantized(filled(1e30f))) CHECK((std::isfinite(v) && v >= 65504.0f));
        for (const float v : quantized(normal_weights({512}, 2, 1e37))) CHECK(std::isfinite(v));
      }
    }
}

TEST_CASE("scales that underflow fp16 cost no more than leaving the block at zero") {
  for (const BlockFormat format : block_formats)
    for (const double scale : {1e-4, 1e-5, 1e-6, 1e-7, 1e-8}) {
      INFO(fmt::format("{} {}", format, scale));
      const Tensor w = normal_weights({512}, 6, scale);
      const auto x = w.values<float>("w").value();
      const auto v = values_of(quantize_blocks(w, format).value());
      double error = 0, power = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        error += std::pow(static_cast<double>(x[i]) - static_cast<double>(v[i]), 2);
        power += std::pow(static_cast<double>(x[i]), 2);
      }
      CHECK(error <= power * (1 + 1e-6));
    }
}

TEST_CASE("importance of zero everywhere counts as equal importance") {
  const Tensor w = normal_weights({256}, 8);
  const std::vector<float> none(256, 0.0f), equal(256, 3.0f);
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    const auto with = [&](const std::vector<float>& h) {
      return bytes_of(quantize_blocks(w, format, {.importance = TensorView::of(std::span(h), {256}).value()}).value());
    };
    CHECK(with(none) == bytes_of(quantize_blocks(w, format).value()));
    CHECK(with(equal) == with(none));
  }
}

TEST_CASE("what cannot be served is an error that names the remedy") {
  const auto fails = [](const auto& result, ErrorCode code) {
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code() == code);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  const std::vector<float> negative(256, -1.0f), ones(256, 1.0f);
  const auto importance = [](const std::vector<float>& h) {
    return TensorView::of(std::span(h), {static_cast<std::int64_t>(h.size())}).value();
  };
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    fails(quantize_blocks(normal_weights({2, 250}), format), ErrorCode::invalid_shape);
    fails(quantize_blocks(normal_weights({2, 16}), format), ErrorCode::invalid_shape);
    fails(quantize_blocks(Tensor::zeros(DType::f32, {4, 0}).value(), format), ErrorCode::invalid_shape);
    fails(quantize_blocks(Tensor::zeros(DType::f32, Shape{}).value(), format), ErrorCode::invalid_shape);
    fails(quantize_blocks(filled(nan), format), ErrorCode::invalid_value);
    fails(quantize_blocks(filled(infinite), format), ErrorCode::invalid_value);
    fails(quantize_blocks(Tensor::zeros(DType::int8, {256}).value(), format), ErrorCode::invalid_dtype);
    fails(quantize_blocks(filled(1), format, {.importance = importance(negative)}), ErrorCode::invalid_value);
    fails(quantize_blocks(filled(1, 512), format, {.importance = importance(ones)}), ErrorCode::invalid_shape);
    if (block_layout(format).has_rounding)
      fails(quantize_blocks(filled(1), format, {.search = BlockSearch::nearest, .importance = importance(ones)}),
            ErrorCode::invalid_argument);
    const BlockTensor q = quantize_blocks(filled(1), format, {.search = BlockSearch::fast}).value();
    fails(dequantize_blocks({format, Shape{512}, q.bytes}), ErrorCode::invalid_shape);
    fails(unpack_blocks({format, Shape{100}, q.bytes}), ErrorCode::invalid_shape);
    BlockParts parts = unpack_blocks(q).value();
    parts.scales = Tensor::zeros(DType::f32, {1, 1000}).value();
    fails(pack_blocks(parts), ErrorCode::invalid_shape);
    parts = unpack_blocks(q).value();
    if (codec(format).levels().size() < 256) {
      parts.codes.mutable_values<std::uint8_t>()[5] = 255;
      fails(pack_blocks(parts), ErrorCode::invalid_value);
    }
    CancellationToken cancelled;
    cancelled.cancel();
    fails(quantize_blocks(filled(1), format, {}, {.cancellation = cancelled}), ErrorCode::cancelled);
  }
}
