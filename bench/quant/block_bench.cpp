// Block formats beside ggml's own library in the same run, one thread. The counters: "of_ggml" is the speed relative to
// ggml's quantizer of the same format with the same importance, "error_of_ggml" the weighted error relative to its
// result; both are absent where the library was not fetched (test/oracle/fetch.sh, MCOMP_TEST_ORACLE_DIR).

#include <algorithm>
#include <cmath>
#include <ctime>
#include <vector>

#include <benchmark/benchmark.h>

#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/quant/block_format.hpp"
#include "oracle/ggml.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::quant;

constexpr std::int64_t rows = 64, columns = 2048;

struct Problem {
  std::vector<float> w, h;
};

const Problem& problem() {
  static const Problem made = [] {
    Problem p{std::vector<float>(rows * columns), std::vector<float>(columns)};
    Random random(1);
    for (float& x : p.w) x = static_cast<float>(random.normal());
    for (float& h : p.h) h = static_cast<float>(std::exp(random.normal()));
    return p;
  }();
  return made;
}

double weighted_error(const std::vector<float>& values) {
  const Problem& p = problem();
  double sum = 0;
  for (std::size_t i = 0; i < p.w.size(); ++i)
    sum += static_cast<double>(p.h[i % columns]) *
           std::pow(static_cast<double>(p.w[i]) - static_cast<double>(values[i]), 2);
  return sum;
}

/// Median processor time of several runs, as the benchmark's own rates are of processor time.
template <class Work> double median_seconds(const Work& work) {
  std::vector<double> seconds;
  for (int i = 0; i < 7; ++i) {
    const std::clock_t begin = std::clock();
    for (int k = 0; k < 5; ++k) work();
    seconds.push_back(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC / 5);
  }
  std::nth_element(seconds.begin(), seconds.begin() + 3, seconds.end());
  return seconds[3];
}

void quantize(benchmark::State& state, BlockFormat format, BlockSearch search) {
  const Problem& p = problem();
  const Tensor w = Tensor::from(p.w, {rows, columns}).value();
  const bool weighted = search != BlockSearch::nearest;
  BlockOptions options{.search = search};
  if (weighted) options.importance = TensorView::of(std::span(p.h), {columns}).value();
  const mcomp_test::Ggml* ggml = mcomp_test::Ggml::load();
  const std::vector<float> importance = weighted ? p.h : std::vector<float>{};
  const double theirs =
      ggml ? median_seconds([&] { benchmark::DoNotOptimize(ggml->quantize(format, p.w, columns, importance).data()); })
           : 0;
  for (auto _ : state) benchmark::DoNotOptimize(quantize_blocks(w, format, options).value().bytes.data());
  state.SetItemsProcessed(state.iterations() * rows * columns);
  if (!ggml) return;
  state.counters["of_ggml"] = benchmark::Counter(theirs, benchmark::Counter::kIsIterationInvariantRate);
  const Tensor back = dequantize_blocks(quantize_blocks(w, format, options).value()).value();
  const auto ours = back.values<float>("values").value();
  state.counters["error_of_ggml"] =
      weighted_error({ours.begin(), ours.end()}) /
      weighted_error(ggml->dequantize(format, ggml->quantize(format, p.w, columns, importance)));
}

void dequantize(benchmark::State& state, BlockFormat format) {
  const Tensor w = Tensor::from(problem().w, {rows, columns}).value();
  const BlockTensor q = quantize_blocks(w, format, {.search = BlockSearch::fast}).value();
  for (auto _ : state) benchmark::DoNotOptimize(dequantize_blocks(q).value().data());
  state.SetItemsProcessed(state.iterations() * rows * columns);
}

} // namespace

int main(int argc, char** argv) {
  for (const BlockFormat format : block_formats) {
    for (const BlockSearch search : {BlockSearch::nearest, BlockSearch::fast, BlockSearch::thorough})
      if (search != BlockSearch::nearest || block_layout(format).has_rounding)
        benchmark::RegisterBenchmark(fmt::format("{}/{}", format, search).c_str(), quantize, format, search)
            ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(fmt::format("{}/dequantize", format).c_str(), dequantize, format)
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
