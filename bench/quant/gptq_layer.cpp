// GPTQ of one layer, for bench/quant/gptq_vs_torch.py: seconds, output error and memory as a line of JSON.
//
//     bench_gptq_layer LAYER.safetensors THREADS      tensors "weight" [out, in] and "x" [samples, in]
//
// Memory: the most that was resident during the call beyond what was before it (weight and Gram matrix), in copies of
// the weight.

#include <charconv>
#include <chrono>
#include <fstream>
#include <string>

#include <fmt/format.h>

#include "mcomp/core/format.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/quant/gptq.hpp"

namespace {

using namespace mcomp;

/// A line of /proc/self/status in bytes, or 0.
double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return 1024 * std::stod(line.substr(key.size() + 1));
  return 0;
}

/// Makes VmHWM count from now on.
void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

} // namespace

int main(int argc, char** argv) {
  int threads = 0;
  if (argc != 3 || std::from_chars(argv[2], argv[2] + std::string_view(argv[2]).size(), threads).ec != std::errc() ||
      threads < 1) {
    fmt::print(stderr, "usage: {} LAYER.safetensors THREADS\n", argv[0]);
    return 2;
  }
  ThreadPool pool(threads);
  const Context context{.executor = &pool};
  Tensor weight;
  stats::Gram gram(0);
  {
    const auto file = io::read_safetensors(argv[1]).value();
    weight = Tensor::copy_of(file.tensors.find("weight").value()).value();
    const TensorView x = file.tensors.find("x").value();
    gram = stats::Gram(x.size(1));
    gram.update(x, context).value();
  }
  const quant::Scheme scheme{.dtype = DType::int4, .granularity = quant::Granularity::per_group, .group_size = 128};
  const auto measure = [&](const char* name, const quant::GptqOptions& options) {
    reset_peak();
    const double before = status_bytes("VmRSS");
    const auto begin = std::chrono::steady_clock::now();
    const auto q = quant::gptq(weight, gram, options, context).value();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double copies = (status_bytes("VmHWM") - before) / static_cast<double>(weight.bytes());
    const double error = quant::output_error(weight, quant::dequantize(q.tensor).value(), gram, context).value();
    return fmt::format(R"("{}": {{"seconds": {}, "output_error": {}, "copies": {}}})", name, seconds, error, copies);
  };
  const std::string same = measure("same", {.scheme = scheme,
                                            .act_order = false,
                                            .clip = {.lowest = 1, .steps = 1, .refit = false},
                                            .weighted_clip = false,
                                            .relative_error = false});
  const std::string defaults = measure("defaults", {.scheme = scheme, .relative_error = false});
  fmt::print("{{{}, {}}}\n", same, defaults);
  return 0;
}
