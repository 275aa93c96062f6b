#include <algorithm>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/quant/block_format.hpp"
#include "quant/block_codecs.hpp"
#include "quant/lane_search.hpp"
#include "quant/scale_sweep.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {

struct WeightedBlock {
  std::vector<float> w, h;
};

/// Normal, heavy-tailed, one-sided, constant-like and coarse weights, with log-normal importance.
WeightedBlock random_block(std::uint64_t seed, std::size_t n) {
  Random random(seed);
  WeightedBlock block{std::vector<float>(n), std::vector<float>(n)};
  for (std::size_t i = 0; i < n; ++i) {
    const double z = random.normal();
    const double x = seed % 5 == 0   ? z * z * z
                     : seed % 5 == 1 ? std::abs(z)
                     : seed % 5 == 2 ? 1 + 0.05 * z
                     : seed % 5 == 3 ? std::round(2 * z)
                                     : z;
    block.w[i] = static_cast<float>(std::ldexp(x, static_cast<int>(seed % 13) - 6));
    block.h[i] = static_cast<float>(std::exp(random.normal()));
  }
  return block;
}

double nearest_distance(double x, double scale, std::span<const float> levels) {
  const double at = scale == 0 ? 0 : x / scale;
  const auto above = std::lower_bound(levels.begin(), levels.end(), at,
                                      [](float level, double value) { return static_cast<double>(level) < value; });
  double least = std::numeric_limits<double>::infinity();
  if (above != levels.end()) least = std::abs(x - scale * static_cast<double>(*above));
  if (above != levels.begin()) least = std::min(least, std::abs(x - scale * static_cast<double>(*(above - 1))));
  return least;
}

double error_at(const WeightedBlock& block, double scale, std::span<const float> levels, double enough) {
  double sum = 0;
  for (std::size_t i = 0; i < block.w.size() && sum < enough; ++i) {
    const double r = nearest_distance(static_cast<double>(block.w[i]), scale, levels);
    sum += static_cast<double>(block.h[i]) * r * r;
  }
  return sum;
}

/// The least error over all finite fp16 scales, each evaluated until it exceeds `start` or the least so far.
double exhaustive(const WeightedBlock& block, std::span<const float> levels, double start) {
  double least = start;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits)
    if ((bits & 0x7c00u) != 0x7c00u) {
      const auto scale = static_cast<double>(to_float(half{static_cast<std::uint16_t>(bits)}));
      least = std::min(least, error_at(block, scale, levels, least));
    }
  return least;
}

} // namespace

TEST_CASE("the sweep over one scale equals an exhaustive search over all fp16 scales", "[slow]") {
  const auto compare = [](BlockFormat format, std::uint64_t blocks) {
    const auto levels = codec(format).levels();
    for (std::uint64_t seed = 0; seed < blocks; ++seed) {
      INFO(fmt::format("{} block {}", format, seed));
      const WeightedBlock block = random_block(seed, 32);
      const auto found = quant::detail::best_scale(block.w, block.h, levels);
      const double infinite = std::numeric_limits<double>::infinity();
      const double error = error_at(block, static_cast<double>(to_float(found.scale)), levels, infinite);
      CHECK(found.error == Approx(error).epsilon(1e-8));
      CHECK(error <= exhaustive(block, levels, error * (1 + 1e-8)) * (1 + 1e-8));
    }
  };
  compare(BlockFormat::q4_0, 1000);
  compare(BlockFormat::iq4_nl, 1000);
  compare(BlockFormat::q5_0, 200);
  compare(BlockFormat::q8_0, 50);
  compare(BlockFormat::q3_k, 200);
}

TEST_CASE("MXFP4 takes the best of all exponents") {
  const auto levels = codec(BlockFormat::mxfp4).levels();
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    INFO("block " << seed);
    const WeightedBlock block = random_block(seed, 32);
    const auto error = [&](int e) {
      double sum = 0;
      for (std::size_t i = 0; i < 32; ++i)
        sum += static_cast<double>(block.h[i]) *
               std::pow(nearest_distance(static_cast<double>(block.w[i]), std::ldexp(1.0, e - 128), levels), 2);
      return sum;
    };
    double least = std::numeric_limits<double>::infinity();
    for (int e = 0; e < 255; ++e) least = std::min(least, error(e));
    CHECK(error(quant::detail::best_exponent(block.w, block.h, levels)) == Approx(least));
  }
}

TEST_CASE("every instruction set finds the same grid, bit for bit") {
  const auto searches = quant::detail::available_lane_searches();
  if (searches.size() < 2) return mcomp_test::skip("vector instructions: this processor has none to compare");
  for (const BlockFormat format : block_formats) {
    const auto& layout = block_layout(format);
    if (layout.block_size == layout.sub_block_size && !layout.has_offset) continue;
    for (std::uint64_t seed = 0; seed < 20; ++seed)
      for (const BlockSearch search : {BlockSearch::fast, BlockSearch::thorough}) {
        INFO(fmt::format("{} {} block {}", format, search, seed));
        const WeightedBlock block = random_block(seed, static_cast<std::size_t>(layout.block_size));
        const auto effort = quant::detail::effort_of(format, search);
        BlockGrid portable;
        searches.front()(format, block.w, block.h, effort, portable);
        for (const auto& vectorized : searches.subspan(1)) {
          BlockGrid grid;
          vectorized(format, block.w, block.h, effort, grid);
          CHECK(grid.super == portable.super);
          CHECK(grid.small == portable.small);
        }
      }
  }
}

namespace {

double weighted_error(const BlockTensor& q, const WeightedBlock& block) {
  const Tensor back = dequantize_blocks(q).value();
  const auto values = back.values<float>("values").value();
  double sum = 0;
  for (std::size_t i = 0; i < block.w.size(); ++i)
    sum +=
        static_cast<double>(block.h[i]) * std::pow(static_cast<double>(block.w[i]) - static_cast<double>(values[i]), 2);
  return sum;
}

BlockTensor quantized(const WeightedBlock& block, BlockFormat format, BlockSearch search) {
  const auto n = static_cast<std::int64_t>(block.w.size());
  return quantize_blocks(Tensor::from(block.w, {n}).value(), format,
                         {.search = search, .importance = TensorView::of(std::span(block.h), {n}).value()})
      .value();
}

} // namespace

TEST_CASE("signed K formats come within a hundredth of what exact scales of each sub-block would give") {
  // Each sub-block alone, with a scale that is not a code of anything: no storable block is better.
  for (const auto& [format, slack] :
       {std::pair{BlockFormat::q3_k, 1.02}, std::pair{BlockFormat::iq4_xs, 1.03}, std::pair{BlockFormat::q6_k, 1.06}}) {
    const auto n = static_cast<std::size_t>(block_layout(format).sub_block_size);
    double found = 0, bound = 0;
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      WeightedBlock block = random_block(seed * 5 + 4, 256);
      // Large enough that fp16 is fine beside the codes.
      for (float& x : block.w) x = std::ldexp(x, 10);
      const double error = weighted_error(quantized(block, format, BlockSearch::thorough), block);
      double least = 0;
      for (std::size_t i = 0; i < 256; i += n)
        least += quant::detail::best_scale(std::span(block.w).subspan(i, n), std::span(block.h).subspan(i, n),
                                           codec(format).levels())
                     .error;
      CHECK(error >= least * 0.995);
      found += error / least;
      bound += 1;
    }
    INFO(fmt::format("{}: {:.4f} of the bound", format, found / bound));
    CHECK(found / bound < slack);
  }
}

TEST_CASE("a search is never worse than the published rounding, nor `thorough` than `fast` on average") {
  for (const BlockFormat format : block_formats) {
    INFO(fmt::format("{}", format));
    double fast = 0, thorough = 0;
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
      WeightedBlock block = random_block(seed, 256);
      const double f = weighted_error(quantized(block, format, BlockSearch::fast), block);
      const double t = weighted_error(quantized(block, format, BlockSearch::thorough), block);
      if (block_layout(format).has_rounding) {
        const BlockTensor nearest =
            quantize_blocks(Tensor::from(block.w, {256}).value(), format, {.search = BlockSearch::nearest}).value();
        CHECK(t <= weighted_error(nearest, block) * (1 + 1e-6) + 1e-30);
      }
      fast += std::log(std::max(f, 1e-30));
      thorough += std::log(std::max(t, 1e-30));
    }
    CHECK(thorough <= fast + 1e-9);
  }
}

TEST_CASE("importance decides where a block is exact") {
  // One weight counts a million times more than the others: it is hit within a thousandth of its size.
  for (const BlockFormat format : block_formats) {
    if (format == BlockFormat::mxfp4) continue; // powers of two reach no weight exactly
    INFO(fmt::format("{}", format));
    WeightedBlock block = random_block(14, 256);
    std::fill(block.h.begin(), block.h.end(), 1.0f);
    block.h[77] = 1e6f;
    const Tensor back = dequantize_blocks(quantized(block, format, BlockSearch::thorough)).value();
    const auto value = static_cast<double>(back.values<float>("values").value()[77]);
    CHECK(value == Approx(static_cast<double>(block.w[77])).epsilon(2e-3));
  }
}
