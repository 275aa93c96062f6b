#include "mcomp/compress/quantized_weight.hpp"

#include <bit>

#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::compress {

namespace {
template <class... F> struct Overloaded : F... { using F::operator()...; };
template <class... F> Overloaded(F...) -> Overloaded<F...>;
} // namespace

Result<Tensor> dequantize(const QuantizedWeight& weight) {
  return std::visit(Overloaded{[](const quant::BlockTensor& q) { return quant::dequantize_blocks(q); },
                               [](const auto& q) { return quant::dequantize(q); }},
                    weight);
}

std::int64_t stored_bytes(const QuantizedWeight& weight) noexcept {
  return std::visit([](const auto& q) { return q.stored_bytes(); }, weight);
}

std::string format_name(const QuantizedWeight& weight) {
  return std::visit(
      Overloaded{[](const quant::QuantizedTensor& q) { return to_string(q.scheme); },
                 [](const quant::BlockTensor& q) { return to_string(q.format); },
                 [](const quant::MicroscaledTensor& q) { return to_string(q.format); },
                 [](const quant::ScaledFloatTensor& q) {
                   return fmt::format("{} {}", q.format.element, q.format.granularity);
                 },
                 [](const quant::CodebookTensor& q) { return fmt::format("codebook of {} bits", q.bits); }},
      weight);
}

std::string fingerprint(const QuantizedWeight& weight) {
  Sha256 hash;
  const auto add = [&](const std::string& text, std::initializer_list<const Tensor*> parts) {
    hash.update(text);
    for (const Tensor* part : parts) hash.update(mcomp::fingerprint(*part));
  };
  std::visit(
      Overloaded{
          [&](const quant::QuantizedTensor& q) {
            add(fmt::format("integers {} {}", q.scheme, q.scheme.full_range), {&q.codes, &q.scales, &q.zero_points});
          },
          [&](const quant::BlockTensor& q) { add(fmt::format("blocks {} {}", q.format, q.shape), {&q.bytes}); },
          [&](const quant::MicroscaledTensor& q) {
            add(fmt::format("microscaling {} {}", q.format, std::bit_cast<std::uint32_t>(q.global_scale)),
                {&q.codes, &q.scales});
          },
          [&](const quant::ScaledFloatTensor& q) {
            add(fmt::format("scaled_float {} {} {} {}", q.format.element, q.format.granularity, q.format.group_size,
                            q.format.group_rows),
                {&q.codes, &q.scales});
          },
          [&](const quant::CodebookTensor& q) {
            add(fmt::format("codebook {} {} {}", q.bits, q.group_size, q.scale_dtype),
                {&q.codes, &q.codebook, &q.scales});
          }},
      weight);
  return to_hex(hash.finish());
}

} // namespace mcomp::inline v0::compress
