// libFuzzer program for the compressed-tensors reader. An input is a quantization_config, a NUL, and a safetensors
// file. What is accepted has values, and is the same when written and read again.

#include <cstring>
#include <memory>
#include <vector>

#include "mcomp/io/compressed_tensors.hpp"
#include "mcomp/io/safetensors.hpp"
#include "property.hpp"

namespace {

using namespace mcomp;
using mcomp_fuzz::demand;

std::vector<Tensor> values(const std::vector<io::CompressedLayer>& layers) {
  std::vector<Tensor> result;
  for (const io::CompressedLayer& layer : layers) {
    auto value = io::dequantize(layer);
    demand(value.has_value());
    result.push_back(std::move(*value));
  }
  return result;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = mcomp_fuzz::text(data, size), config = input.substr(0, input.find('\0'));
  const std::string_view rest = config.size() < input.size() ? input.substr(config.size() + 1) : std::string_view();
  const std::shared_ptr<std::byte[]> bytes(new std::byte[rest.size()]);
  if (!rest.empty()) std::memcpy(bytes.get(), rest.data(), rest.size());
  const auto file = io::parse_safetensors({bytes.get(), rest.size()}, bytes, "fuzz");
  // The configuration is read even where the tensors are none.
  const auto layers = io::from_compressed_tensors(file ? file->tensors : TensorStore(), config, "fuzz");
  if (!layers) return mcomp_fuzz::demand_whole(layers.error()), 0;
  if (layers->empty()) return 0;
  const std::vector<Tensor> before = values(*layers);
  const auto written = io::to_compressed_tensors(*layers, {.packed_int8 = true});
  if (!written) return mcomp_fuzz::demand_whole(written.error()), 0;
  const auto again = io::from_compressed_tensors(written->tensors, written->quantization_config, "written");
  demand(again && again->size() == layers->size());
  demand(values(*again) == before);
  return 0;
}
