// Whether memory grows with the number of calibration samples: observes the ranges of all values of a residual network
// and quantizes it by GPTQ, once on few images of Fashion-MNIST and once on many, each in a process of its own, and
// compares the most memory that was resident.
//
//     calibration_memory FASHION_MNIST_FOLDER WEIGHTS [FEW MANY]     default: 32 and 10,000; exit code 77: skipped
//
// Images are decompressed from the publisher's file as they are asked for.

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <zlib.h>

#include "mcomp/compress/layerwise.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/quant/gptq.hpp"
#include "mcomp/quant/observer.hpp"

namespace {

using namespace mcomp;

constexpr std::int64_t side = 28, header_bytes = 16;

/// The images of a compressed IDX file, from `begin` to `end`.
class Images {
 public:
  explicit Images(const std::filesystem::path& path) : file_(gzopen(path.c_str(), "rb"), gzclose) {}

  Result<Tensor> read(std::int64_t begin, std::int64_t end) {
    auto images = Tensor::uninitialized(DType::uint8, {end - begin, 1, side, side});
    if (!images) return images.error();
    const auto offset = static_cast<z_off_t>(header_bytes + begin * side * side);
    if (!file_ || gzseek(file_.get(), offset, SEEK_SET) != offset ||
        gzread(file_.get(), images->data(), static_cast<unsigned>(images->bytes())) != images->bytes())
      return Error(ErrorCode::io_failure, "training images", "they cannot be read", "install the data set again");
    return std::move(*images);
  }

 private:
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

/// Observers of every value, then GPTQ of every layer.
Status calibrate(const std::filesystem::path& folder, const std::filesystem::path& weights_file, std::int64_t samples) {
  const auto network =
      graph::cifar_resnet({.depth = 8, .image = {1, side, side}, .mean = {0.2860}, .stddev = {0.3530}}).value();
  const auto weights = io::read_safetensors(weights_file).value().tensors;
  Images images(folder / "train-images-idx3-ubyte.gz");
  const auto runner = graph::reference_runner(network, weights).value();
  std::map<std::string, std::unique_ptr<quant::Observer>, std::less<>> observers;
  constexpr std::int64_t batch = 8;
  for (std::int64_t at = 0; at < samples; at += batch) {
    const auto raw = images.read(at, std::min(samples, at + batch));
    if (!raw) return raw.error();
    const auto tap = [&](std::string_view name, const TensorView& output) {
      auto& observer = observers[std::string(name)];
      if (!observer) observer = quant::make_observer({.kind = quant::ObserverKind::mean_squared_error}).value();
      observer->update(output).value();
    };
    runner->run(graph::normalize(network.input, *raw).value(), tap).value();
  }
  for (const auto& [name, observer] : observers) observer->range(DType::uint8, false).value();
  const compress::LayerMethod method = [](const compress::LayerProblem& problem,
                                          const Context& context) -> Result<compress::QuantizedWeight> {
    auto q = quant::gptq(problem.weight, *problem.inputs, {.scheme = {.dtype = DType::int4}}, context);
    if (!q) return q.error();
    return compress::QuantizedWeight(std::move(q->tensor));
  };
  const compress::SampleSource source{samples,
                                      [&](std::int64_t begin, std::int64_t end) { return images.read(begin, end); }};
  const auto result = compress::quantize_layers(network, weights, source, method, {.sequential = false});
  if (!result) return result.error();
  return {};
}

/// The most memory that this process had resident, in kB; 0 where the system does not say.
long peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
  return 0;
}

std::int64_t number(const char* text) {
  std::int64_t value = 0;
  const std::string_view digits = text;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return code == std::errc() && end == digits.data() + digits.size() ? value : 0;
}

/// What a process of its own takes. 0: it failed.
long peak_of(const std::string& program, const std::string& folder, const std::string& weights, std::int64_t samples) {
  const std::string command = fmt::format("'{}' '{}' '{}' {}", program, folder, weights, samples);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  long kilobytes = 0;
  if (!pipe || std::fscanf(pipe.get(), "%ld", &kilobytes) != 1) return 0;
  return kilobytes;
}

} // namespace

int main(int argc, char** argv) {
  const std::int64_t first = argc > 3 ? number(argv[3]) : 32, second = argc > 4 ? number(argv[4]) : 10000;
  if (argc < 3 || argc > 5 || first < 1 || second < 1) {
    fmt::print(stderr, "usage: {} FASHION_MNIST_FOLDER WEIGHTS [FEW MANY]\n", argv[0]);
    return 2;
  }
  if (argc == 4) { // one process
    if (const Status done = calibrate(argv[1], argv[2], first); !done)
      return fmt::print(stderr, "{}\n", done.error()), 1;
    fmt::print("{}\n", peak());
    return 0;
  }
  if (!std::filesystem::exists(std::filesystem::path(argv[1]) / "train-images-idx3-ubyte.gz") || peak() == 0) {
    fmt::print("skipped: no Fashion-MNIST in {}, or a system that does not tell peak memory\n", argv[1]);
    return 77;
  }
  const auto few = static_cast<double>(peak_of(argv[0], argv[1], argv[2], first)),
             many = static_cast<double>(peak_of(argv[0], argv[1], argv[2], second));
  const double change = few > 0 ? many / few - 1 : 1;
  fmt::print("peak resident memory: {} samples {:.1f} MB, {} samples {:.1f} MB: {:+.2f} %\n", first, few / 1e3, second,
             many / 1e3, 100 * change);
  return few > 0 && many > 0 && change < 0.02 ? 0 : 1;
}
