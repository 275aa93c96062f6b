#include <bit>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/quant/block_format.hpp"
#include "oracle/ggml.hpp"
#include "quant/q4_0_rounding.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {

constexpr std::int64_t columns = 1024, rows = 1200; // above 10^6 weights a format

/// A block of one of the kinds that quantizers stumble over.
void fill_block(std::span<float> x, Random& random) {
  const auto normal = [&] { return static_cast<float>(random.normal()); };
  const float unit = static_cast<float>(std::ldexp(0.5 + random.uniform(), static_cast<int>(random.below(20)) - 10));
  const std::uint64_t kind = random.below(16);
  for (std::size_t i = 0; i < x.size(); ++i) {
    switch (kind) {
    case 0: // zeros of both signs
      x[i] = random.below(2) ? 0.0f : -0.0f;
      break;
    case 1: // denormal in f32
      x[i] =
          std::bit_cast<float>(static_cast<std::uint32_t>(random.below(1u << 22))) * (random.below(2) ? 1.0f : -1.0f);
      break;
    case 2: // scales near and below the smallest fp16
      x[i] = std::ldexp(normal(), -20 - static_cast<int>(random.below(12)));
      break;
    case 3: // scales beyond the largest fp16, up to the end of f32
      x[i] = std::ldexp(unit, 30 + static_cast<int>(random.below(86))) * (random.below(2) ? 1.0f : -1.0f);
      break;
    case 4: // alternating signs, equal magnitudes
      x[i] = i % 2 ? unit : -unit;
      break;
    case 5:
      x[i] = unit;
      break;
    case 6: // ties: whole and half steps of every format's scale
      x[i] = unit * 0.5f * static_cast<float>(static_cast<int>(random.below(33)) - 16);
      break;
    case 7:
      x[i] = unit / 127 * 0.5f * static_cast<float>(static_cast<int>(random.below(509)) - 254);
      break;
    case 8: // one far outlier
      x[i] = i == 3 ? 1000 * unit : unit * normal();
      break;
    case 9: // just below, at and above powers of two
      x[i] = std::bit_cast<float>(static_cast<std::uint32_t>((60 + random.below(120)) << 23) +
                                  static_cast<std::uint32_t>(random.below(9)) - 4u);
      break;
    case 10: // heavy tails
      x[i] = unit * normal() * normal() * normal() * normal();
      break;
    case 11: // all of one sign
      x[i] = -unit * std::abs(normal());
      break;
    default:
      x[i] = unit * normal();
    }
  }
}

std::vector<float> adversarial(std::uint64_t seed, std::size_t block) {
  Random random(seed);
  std::vector<float> x(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < x.size(); i += block) fill_block(std::span(x).subspan(i, block), random);
  return x;
}

BlockTensor as_tensor(BlockFormat format, const std::vector<std::uint8_t>& bytes) {
  const auto& layout = block_layout(format);
  const auto blocks = static_cast<std::int64_t>(bytes.size()) / layout.block_bytes;
  return {format, Shape{blocks * layout.block_size},
          Tensor::from(bytes, {1, static_cast<std::int64_t>(bytes.size())}).value()};
}

/// Index of the first value that differs in a bit, NaN being equal to NaN.
std::size_t first_difference(std::span<const float> a, std::span<const float> b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]) && !(a[i] != a[i] && b[i] != b[i]))
      return i;
  return a.size();
}

} // namespace

TEST_CASE("block sizes and bytes are ggml's") {
  const auto* ggml = mcomp_test::Ggml::load();
  if (!ggml) return mcomp_test::skip(mcomp_test::no_ggml);
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    CHECK(ggml->row_size(format, 512) ==
          static_cast<std::size_t>(512 / block_layout(format).block_size * block_layout(format).block_bytes));
  }
}

TEST_CASE("round-to-nearest gives ggml's bytes for ordinary and adversarial weights") {
  const auto* ggml = mcomp_test::Ggml::load();
  if (!ggml) return mcomp_test::skip(mcomp_test::no_ggml);
  for (const BlockFormat format : block_formats) {
    if (!block_layout(format).has_rounding) continue;
    INFO(fmt::format("{}", format));
    const auto x = adversarial(7 + static_cast<std::uint64_t>(format), 32);
    const auto expected = ggml->quantize(format, x, columns);
    const auto q = quantize_blocks(Tensor::from(x, {rows, columns}).value(), format, {.search = BlockSearch::nearest});
    const auto bytes = q.value().bytes.values<std::uint8_t>("bytes").value();
    REQUIRE(bytes.size() == expected.size());
    std::size_t different = 0, first = 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
      if (bytes[i] != expected[i]) first = i, ++different;
    const auto stride = static_cast<std::size_t>(block_layout(format).block_bytes);
    INFO("first difference at byte " << first % stride << " of block " << first / stride << ", largest weight "
                                     << *std::max_element(x.begin() + static_cast<std::ptrdiff_t>(first / stride * 32),
                                                          x.begin() +
                                                              static_cast<std::ptrdiff_t>(first / stride * 32 + 32)));
    CHECK(different == 0);
  }
}

TEST_CASE("every instruction set rounds Q4_0 to the same bytes") {
  const auto roundings = quant::detail::available_q4_0_roundings();
  if (roundings.size() < 2) return mcomp_test::skip("vector instructions: this processor has none to compare");
  const auto x = adversarial(11, 32);
  constexpr std::size_t blocks = 20001; // no whole number of batches
  std::vector<std::uint8_t> expected(blocks * 18), bytes(blocks * 18);
  roundings.front()(x.data(), blocks, expected.data());
  for (const auto& rounding : roundings.subspan(1)) {
    rounding(x.data(), blocks, bytes.data());
    CHECK(bytes == expected);
  }
}

TEST_CASE("dequantization has ggml's bits for any bytes") {
  const auto* ggml = mcomp_test::Ggml::load();
  if (!ggml) return mcomp_test::skip(mcomp_test::no_ggml);
  Random random(3);
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    const auto& layout = block_layout(format);
    std::vector<std::uint8_t> bytes(
        static_cast<std::size_t>((std::int64_t{1} << 20) / layout.block_size * layout.block_bytes));
    for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random.next());
    const auto expected = ggml->dequantize(format, bytes);
    const Tensor values = dequantize_blocks(as_tensor(format, bytes)).value();
    REQUIRE(static_cast<std::size_t>(values.elements()) == expected.size());
    CHECK(first_difference(values.values<float>("values").value(), expected) == expected.size());
  }
}

TEST_CASE("ggml decodes what a search wrote, with our values") {
  const auto* ggml = mcomp_test::Ggml::load();
  if (!ggml) return mcomp_test::skip(mcomp_test::no_ggml);
  auto x = adversarial(5, 256);
  x.resize(64 * columns);
  const Tensor w = Tensor::from(x, {64, columns}).value();
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    const BlockTensor q = quantize_blocks(w, format, {.search = BlockSearch::fast}).value();
    const auto bytes = q.bytes.values<std::uint8_t>("bytes").value();
    const auto expected = ggml->dequantize(format, {bytes.begin(), bytes.end()});
    const Tensor back = dequantize_blocks(q).value();
    const auto values = back.values<float>("values").value();
    CHECK(first_difference(values, expected) == expected.size());
    CHECK(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
  }
}

TEST_CASE("ggml's own error limits hold") {
  // tests/test-quantize-fns.cpp: x = 0.1 + 2 cos(i), n = 4096, sqrt(sum of squares) / n
  std::vector<float> x(4096);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.1f + 2 * std::cos(static_cast<float>(i));
  const Tensor w = Tensor::from(x, {4096}).value();
  for (const BlockFormat format : block_formats)
    for (const BlockSearch search : {BlockSearch::nearest, BlockSearch::fast, BlockSearch::thorough}) {
      INFO(fmt::format("{} {}", format, search));
      const Tensor back = dequantize_blocks(quantize_blocks(w, format, {.search = search}).value()).value();
      const auto values = back.values<float>("values").value();
      double sum = 0;
      for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(static_cast<double>(x[i] - values[i]), 2);
      const double limit = format == BlockFormat::q2_k ? 0.0075 : format == BlockFormat::q3_k ? 0.0040 : 0.002;
      CHECK(std::sqrt(sum) / 4096 < limit);
    }
}
