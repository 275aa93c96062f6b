#include "mcomp/compress/quantized_weight.hpp"

#include "mcomp/core/format.hpp"

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

} // namespace mcomp::inline v0::compress
