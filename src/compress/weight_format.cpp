#include "mcomp/compress/weight_format.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/adaround.hpp"
#include "mcomp/quant/clip.hpp"
#include "mcomp/quant/gptq.hpp"
#include "mcomp/quant/hqq.hpp"

namespace mcomp::inline v0::compress {

namespace {

template <class... F> struct Overloaded : F... { using F::operator()...; };
template <class... F> Overloaded(F...) -> Overloaded<F...>;

constexpr std::array<std::pair<std::string_view, quant::Microscaling>, 6> microscaling_words{
    {{"mxfp4", quant::microscaling::mxfp4},
     {"mxfp6_e2m3", quant::microscaling::mxfp6_e2m3},
     {"mxfp6_e3m2", quant::microscaling::mxfp6_e3m2},
     {"mxfp8_e4m3", quant::microscaling::mxfp8_e4m3},
     {"mxfp8_e5m2", quant::microscaling::mxfp8_e5m2},
     {"nvfp4", quant::microscaling::nvfp4}}};

constexpr std::array<std::pair<std::string_view, WeightAlgorithm>, 5> algorithm_words{
    {{"nearest", WeightAlgorithm::nearest},
     {"search", WeightAlgorithm::search},
     {"hqq", WeightAlgorithm::hqq},
     {"adaround", WeightAlgorithm::adaround},
     {"gptq", WeightAlgorithm::gptq}}};

Error unknown_format(std::string_view word) {
  return {ErrorCode::invalid_argument, fmt::format("format '{}'", word), "there is no such format",
          "use a GGUF format (Q4_K, IQ4_NL ...), int2 ... int8 or uint2 ... uint8 (with :tensor, :gN or :bRxC for the "
          "weights that share a scale), mxfp4, mxfp6_e2m3, mxfp6_e3m2, mxfp8_e4m3, mxfp8_e5m2, nvfp4, fp8, fp8_e5m2, "
          "nf4, codebook2 ... codebook8 or normal2 ... normal8; integers and normal may end in :f16 or :bf16 for their "
          "scales, integers in :full"};
}

std::optional<std::int64_t> positive(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

/// "channel", "tensor", "g32", "b128x64"; nothing where it is none of these.
std::optional<quant::Scheme> sharing(std::string_view text) {
  quant::Scheme scheme;
  if (text == "channel") return scheme;
  if (text == "tensor") {
    scheme.granularity = quant::Granularity::per_tensor;
    return scheme;
  }
  if (text.starts_with("g")) {
    const auto size = positive(text.substr(1));
    if (!size) return std::nullopt;
    scheme.granularity = quant::Granularity::per_group;
    scheme.group_size = *size;
    return scheme;
  }
  const std::size_t times = text.find('x');
  if (!text.starts_with("b") || times == std::string_view::npos) return std::nullopt;
  const auto rows = positive(text.substr(1, times - 1)), columns = positive(text.substr(times + 1));
  if (!rows || !columns) return std::nullopt;
  scheme.granularity = quant::Granularity::per_block;
  scheme.group_rows = *rows;
  scheme.group_size = *columns;
  return scheme;
}

/// What a word says behind its kind.
struct Suffixes {
  std::string_view kind;
  quant::Scheme scheme{}; ///< granularity, full_range and scale_dtype
  bool sharing = false;   ///< whether the word says which weights share a scale
  bool typed = false;     ///< whether it says anything else
};

/// Nothing where a suffix is not known or stands twice.
std::optional<Suffixes> suffixes(std::string_view word) {
  std::size_t colon = word.find(':');
  Suffixes result{word.substr(0, colon)};
  while (colon != std::string_view::npos) {
    const std::size_t next = word.find(':', colon + 1);
    const std::string_view part = word.substr(colon + 1, next == std::string_view::npos ? next : next - colon - 1);
    if (part == "full" && !result.scheme.full_range) {
      result.scheme.full_range = result.typed = true;
    } else if ((part == "f16" || part == "bf16") && result.scheme.scale_dtype == DType::f32) {
      result.scheme.scale_dtype = part == "f16" ? DType::f16 : DType::bf16;
      result.typed = true;
    } else {
      const auto shared = sharing(part);
      if (!shared || result.sharing) return std::nullopt;
      result.scheme.granularity = shared->granularity;
      result.scheme.group_size = shared->group_size;
      result.scheme.group_rows = shared->group_rows;
      result.sharing = true;
    }
    colon = next;
  }
  return result;
}

std::string scale_suffix(DType dtype) {
  return dtype == DType::f32 ? std::string() : fmt::format(":{}", dtype);
}

std::string sharing_suffix(quant::Granularity granularity, std::int64_t group_size, std::int64_t group_rows) {
  switch (granularity) {
  case quant::Granularity::per_tensor:
    return ":tensor";
  case quant::Granularity::per_channel:
    return "";
  case quant::Granularity::per_group:
    return fmt::format(":g{}", group_size);
  case quant::Granularity::per_block:
    return fmt::format(":b{}x{}", group_rows, group_size);
  }
  return "";
}

std::int64_t packed(std::int64_t codes, std::int64_t bits) {
  return (codes * bits + 7) / 8;
}
std::int64_t parts(std::int64_t size, std::int64_t part) {
  return (size + part - 1) / part;
}
/// Scales of a weight [rows, columns], as `QuantizedTensor::scales` has them.
std::int64_t scale_count(std::int64_t rows, std::int64_t columns, const quant::Scheme& scheme) {
  switch (scheme.granularity) {
  case quant::Granularity::per_tensor:
    return 1;
  case quant::Granularity::per_channel:
    return rows;
  case quant::Granularity::per_group:
    return rows * parts(columns, scheme.group_size);
  case quant::Granularity::per_block:
    return parts(rows, scheme.group_rows) * parts(columns, scheme.group_size);
  }
  return 0;
}
quant::Scheme scheme_of(const quant::ScaledFloatOptions& f) {
  return {.granularity = f.granularity, .group_size = f.group_size, .group_rows = f.group_rows};
}

/// What a call of `quant` gives, as the walk over layers wants it.
template <class T> Result<QuantizedWeight> as_weight(Result<T> result) {
  if (!result) return result.error();
  return QuantizedWeight(std::move(*result));
}
template <class T> Result<QuantizedWeight> tensor_of(Result<T> result) {
  if (!result) return result.error();
  return QuantizedWeight(std::move(result->tensor));
}

/// The second moments of a layer's inputs in f32; none where they do not count.
struct Importance {
  std::vector<float> values{};
  Importance(const LayerProblem& problem, const WeightMethod& method) {
    if (method.algorithm != WeightAlgorithm::search) return;
    for (const double moment : problem.inputs->diagonal()) values.push_back(static_cast<float>(moment));
  }
  [[nodiscard]] TensorView view() const {
    if (values.empty()) return {};
    return TensorView(values.data(), DType::f32, Shape{static_cast<std::int64_t>(values.size())});
  }
};

Result<QuantizedWeight> quantize(const quant::BlockFormat& format, const WeightMethod& method, const LayerProblem& p,
                                 const Context& context) {
  if (method.algorithm == WeightAlgorithm::gptq)
    return tensor_of(quant::gptq(p.weight, *p.inputs, format, {.refine = {.rounds = method.refine}}, context));
  const Importance importance(p, method);
  const auto search =
      method.algorithm == WeightAlgorithm::nearest ? quant::BlockSearch::nearest : quant::BlockSearch::thorough;
  return as_weight(
      quant::quantize_blocks(p.weight, format, {.search = search, .importance = importance.view()}, context));
}

/// Integers by one of the methods, before the refinement that GPTQ itself brings.
Result<quant::QuantizedTensor> integers(const quant::Scheme& scheme, const WeightMethod& method, const LayerProblem& p,
                                        const Context& context) {
  const auto tensor = [](auto result) -> Result<quant::QuantizedTensor> {
    if (!result) return result.error();
    return std::move(result->tensor);
  };
  switch (method.algorithm) {
  case WeightAlgorithm::nearest:
    return quant::quantize(p.weight, scheme, context);
  case WeightAlgorithm::search:
    return tensor(quant::quantize_clipped(p.weight, scheme, {.importance = p.inputs->diagonal()}, context));
  case WeightAlgorithm::hqq:
    return tensor(quant::hqq(p.weight, {.scheme = scheme}, context));
  case WeightAlgorithm::adaround:
    return tensor(quant::adaround(p.weight, *p.inputs, {.scheme = scheme}, context));
  case WeightAlgorithm::gptq:
    break;
  }
  return tensor(quant::gptq(p.weight, *p.inputs, {.scheme = scheme, .refine = {.rounds = method.refine}}, context));
}

Result<QuantizedWeight> quantize(const quant::Scheme& scheme, const WeightMethod& method, const LayerProblem& p,
                                 const Context& context) {
  auto q = integers(scheme, method, p, context);
  if (!q || method.refine == 0 || method.algorithm == WeightAlgorithm::gptq) return as_weight(std::move(q));
  return tensor_of(quant::refine(p.weight, *q, *p.inputs, {.rounds = method.refine}, context));
}

Result<QuantizedWeight> quantize(const quant::Microscaling& format, const WeightMethod& method, const LayerProblem& p,
                                 const Context& context) {
  if (method.algorithm == WeightAlgorithm::gptq)
    return tensor_of(
        quant::gptq_microscaled(p.weight, *p.inputs, {.format = format, .refine = {.rounds = method.refine}}, context));
  const Importance importance(p, method);
  const auto rule =
      method.algorithm == WeightAlgorithm::nearest ? quant::ScaleRule::floor : quant::ScaleRule::minimum_error;
  return as_weight(quant::quantize_microscaled(
      p.weight, {.format = format, .rule = rule, .importance = importance.view()}, context));
}

Result<QuantizedWeight> quantize(const quant::ScaledFloatOptions& format, const WeightMethod&, const LayerProblem& p,
                                 const Context& context) {
  return as_weight(quant::quantize_scaled_float(p.weight, format, context));
}

/// Levels of a table by any method but the nearest one of NF4.
Result<QuantizedWeight> levels(const NormalLevels& format, std::vector<float> table, const WeightMethod& method,
                               const LayerProblem& p, const Context& context) {
  if (method.algorithm == WeightAlgorithm::gptq)
    return tensor_of(quant::gptq_codebook(p.weight, *p.inputs,
                                          {.levels = std::move(table),
                                           .group_size = format.group_size,
                                           .scale_dtype = format.scale_dtype,
                                           .refine = {.rounds = method.refine}},
                                          context));
  const Importance importance(p, method);
  return as_weight(quant::quantize_levels(p.weight,
                                          {.levels = std::move(table),
                                           .group_size = format.group_size,
                                           .scale_dtype = format.scale_dtype,
                                           .importance = importance.view()},
                                          context));
}

Result<QuantizedWeight> quantize(const quant::Nf4Options& format, const WeightMethod& method, const LayerProblem& p,
                                 const Context& context) {
  if (method.algorithm == WeightAlgorithm::nearest) return as_weight(quant::quantize_nf4(p.weight, format, context));
  return levels({.group_size = format.group_size}, {}, method, p, context);
}

Result<QuantizedWeight> quantize(const NormalLevels& format, const WeightMethod& method, const LayerProblem& p,
                                 const Context& context) {
  MCOMP_TRY(table, quant::normal_levels(format.bits));
  return levels(format, std::move(table), method, p, context);
}

Result<QuantizedWeight> quantize(const FittedCodebook& format, const WeightMethod& method, const LayerProblem& p,
                                 const Context& context) {
  const Importance importance(p, method);
  return as_weight(quant::quantize_codebook(
      p.weight, {.bits = format.bits, .per_channel = format.per_channel, .importance = importance.view()}, context));
}

/// The methods of a format, for the table above and the remedy of errors.
std::vector<WeightAlgorithm> algorithms(const WeightFormat& format) {
  using enum WeightAlgorithm;
  using Algorithms = std::vector<WeightAlgorithm>;
  return std::visit(Overloaded{[](quant::BlockFormat) {
                                 return Algorithms{nearest, search, gptq};
                               },
                               [](const quant::Scheme& s) {
                                 const bool own_rows = s.granularity == quant::Granularity::per_channel ||
                                                       s.granularity == quant::Granularity::per_group;
                                 return own_rows ? Algorithms{nearest, search, hqq, adaround, gptq}
                                                 : Algorithms{nearest, search, adaround, gptq};
                               },
                               [](const quant::Microscaling&) {
                                 return Algorithms{nearest, search, gptq};
                               },
                               [](const FittedCodebook&) {
                                 return Algorithms{nearest, search};
                               },
                               [](const quant::ScaledFloatOptions&) { return Algorithms{nearest}; },
                               [](const auto&) {
                                 return Algorithms{nearest, search, gptq};
                               }},
                    format);
}

} // namespace

Result<WeightFormat> weight_format_from_string(std::string_view word) {
  for (const auto& [name, format] : microscaling_words)
    if (word == name) return WeightFormat(format);
  if (const auto block = quant::block_format_from_string(word)) return WeightFormat(*block);
  const auto read = suffixes(word);
  if (!read) return unknown_format(word);
  const auto& [kind, scheme, shared_by_word, typed] = *read;
  if (kind.starts_with("normal")) {
    const auto bits = positive(kind.substr(6));
    if (!bits || *bits < 2 || *bits > 8 || scheme.full_range || scheme.group_rows > 0 ||
        scheme.granularity == quant::Granularity::per_tensor)
      return unknown_format(word);
    return WeightFormat(NormalLevels{static_cast<int>(*bits), scheme.group_size, scheme.scale_dtype});
  }
  const auto dtype = dtype_from_string(std::string(kind));
  if (dtype && is_integer(*dtype) && bit_width(*dtype) <= 8) {
    quant::Scheme result = scheme;
    result.dtype = *dtype;
    result.symmetric = is_signed_integer(*dtype);
    if (result.full_range && !result.symmetric) return unknown_format(word);
    return WeightFormat(result);
  }
  if (typed) return unknown_format(word);
  if (kind == "fp8" || kind == "fp8_e5m2")
    return WeightFormat(quant::ScaledFloatOptions{.element = kind == "fp8" ? e4m3 : e5m2,
                                                  .granularity = scheme.granularity,
                                                  .group_size = scheme.group_size,
                                                  .group_rows = scheme.group_rows});
  if (kind == "nf4") {
    if (!shared_by_word) return WeightFormat(quant::Nf4Options{});
    if (scheme.granularity != quant::Granularity::per_group) return unknown_format(word);
    return WeightFormat(quant::Nf4Options{.group_size = scheme.group_size});
  }
  if (kind.starts_with("codebook")) {
    const auto bits = positive(kind.substr(8));
    const bool shared = scheme.granularity == quant::Granularity::per_tensor;
    if (!bits || *bits < 2 || *bits > 8 || (!shared && scheme.granularity != quant::Granularity::per_channel))
      return unknown_format(word);
    return WeightFormat(FittedCodebook{static_cast<int>(*bits), !shared});
  }
  return unknown_format(word);
}

std::string to_string(const WeightFormat& format) {
  return std::visit(
      Overloaded{
          [](quant::BlockFormat f) { return quant::to_string(f); },
          [](const quant::Scheme& s) {
            if (s.symmetric != is_signed_integer(s.dtype)) return quant::to_string(s);
            return fmt::format("{}{}{}{}", s.dtype, sharing_suffix(s.granularity, s.group_size, s.group_rows),
                               s.full_range ? ":full" : "", scale_suffix(s.scale_dtype));
          },
          [](const quant::Microscaling& f) {
            for (const auto& [name, known] : microscaling_words)
              if (f == known) return std::string(name);
            return quant::to_string(f);
          },
          [](const quant::ScaledFloatOptions& f) {
            const std::string kind = f.element == e4m3 ? "fp8" : f.element == e5m2 ? "fp8_e5m2" : to_string(f.element);
            return kind + sharing_suffix(f.granularity, f.group_size, f.group_rows);
          },
          [](const quant::Nf4Options& f) {
            return f.group_size == quant::Nf4Options{}.group_size ? std::string("nf4")
                                                                  : fmt::format("nf4:g{}", f.group_size);
          },
          [](const NormalLevels& f) {
            return fmt::format("normal{}{}{}", f.bits, f.group_size > 0 ? fmt::format(":g{}", f.group_size) : "",
                               scale_suffix(f.scale_dtype));
          },
          [](const FittedCodebook& f) { return fmt::format("codebook{}{}", f.bits, f.per_channel ? "" : ":tensor"); }},
      format);
}

Result<std::int64_t> stored_bytes(const WeightFormat& format, const Shape& shape) {
  MCOMP_CHECK(byte_size(DType::f64, shape, "weight").has_value() ? Status()
                                                                 : byte_size(DType::f64, shape, "weight").error());
  if (shape.rank() == 0 || shape.elements() == 0)
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("shape {} has no rows", shape),
                 "give [out, ...] with elements");
  const std::int64_t n = shape.elements(), rows = shape[0], columns = n / rows;
  if (const auto* block = std::get_if<quant::BlockFormat>(&format)) {
    const quant::BlockLayout& layout = quant::block_layout(*block);
    const std::int64_t row = shape[shape.rank() - 1];
    if (row % layout.block_size != 0)
      return Error(
          ErrorCode::invalid_shape, "weight",
          fmt::format("rows of {} are no whole number of {}'s blocks of {}", row, layout.name, layout.block_size),
          "use a format whose blocks divide the rows");
    return n / layout.block_size * layout.block_bytes;
  }
  if (const auto* scheme = std::get_if<quant::Scheme>(&format)) {
    MCOMP_CHECK(quant::check(*scheme));
    const std::int64_t scales = scale_count(rows, columns, *scheme), bits = bit_width(scheme->dtype);
    return packed(n, bits) + bit_width(scheme->scale_dtype) / 8 * scales +
           (scheme->symmetric ? 0 : packed(scales, bits));
  }
  if (const auto* f = std::get_if<quant::Microscaling>(&format)) {
    if (f->group_size < 1)
      return Error(ErrorCode::invalid_argument, "group_size", fmt::format("{} is not positive", f->group_size),
                   "use 32 for the MX formats and 16 for NVFP4");
    return packed(n, f->element.bits()) + rows * parts(columns, f->group_size) +
           (f->scale == quant::ScaleType::e4m3_global ? 4 : 0);
  }
  if (const auto* f = std::get_if<quant::ScaledFloatOptions>(&format)) {
    MCOMP_CHECK(quant::check(scheme_of(*f)));
    return packed(n, f->element.bits()) + 4 * scale_count(rows, columns, scheme_of(*f));
  }
  if (const auto* f = std::get_if<quant::Nf4Options>(&format)) {
    if (f->group_size < 1)
      return Error(ErrorCode::invalid_argument, "group_size", fmt::format("{} is not positive", f->group_size),
                   "use 64, as QLoRA does");
    return packed(n, 4) + 4 * rows * parts(columns, f->group_size);
  }
  if (const auto* f = std::get_if<NormalLevels>(&format)) {
    MCOMP_CHECK(quant::check({.scale_dtype = f->scale_dtype}));
    if (f->bits < 2 || f->bits > 8 || f->group_size < 0)
      return Error(ErrorCode::invalid_argument, "levels",
                   fmt::format("{} bits in groups of {}", f->bits, f->group_size),
                   "use 2 to 8 bits, and groups of 0 (whole rows) or more");
    const std::int64_t size = f->group_size > 0 ? std::min(f->group_size, columns) : columns;
    return packed(n, f->bits) + bit_width(f->scale_dtype) / 8 * rows * parts(columns, size);
  }
  const auto& f = std::get<FittedCodebook>(format);
  if (f.bits < 2 || f.bits > 8)
    return Error(ErrorCode::invalid_argument, "bits", fmt::format("{} is not within 2 and 8", f.bits),
                 "use 2 to 8 bits");
  return packed(n, f.bits) + 4 * (std::int64_t{1} << f.bits) * (f.per_channel ? rows : 1);
}

std::string to_string(WeightAlgorithm algorithm) {
  for (const auto& [word, value] : algorithm_words)
    if (value == algorithm) return std::string(word);
  return "";
}

Result<WeightAlgorithm> weight_algorithm_from_string(std::string_view word) {
  for (const auto& [name, value] : algorithm_words)
    if (word == name) return value;
  return Error(ErrorCode::invalid_argument, fmt::format("method '{}'", word), "there is no such method",
               "use nearest, search, hqq, adaround or gptq");
}

std::string to_string(const WeightMethod& method) {
  return to_string(method.algorithm) + (method.refine > 0 ? " refined" : "");
}

bool needs_samples(const WeightMethod& method) noexcept {
  const bool data_free = method.algorithm == WeightAlgorithm::nearest || method.algorithm == WeightAlgorithm::hqq;
  return !data_free || method.refine > 0;
}

Result<LayerMethod> layer_method(const WeightFormat& format, const WeightMethod& method) {
  const std::vector<WeightAlgorithm> possible = algorithms(format);
  if (std::find(possible.begin(), possible.end(), method.algorithm) == possible.end()) {
    std::string words;
    for (const WeightAlgorithm a : possible) words += fmt::format("{}{}", words.empty() ? "" : ", ", a);
    return Error(ErrorCode::invalid_argument, fmt::format("method '{}'", method.algorithm),
                 fmt::format("the format {} does not have it", to_string(format)),
                 fmt::format("use {} {}", possible.size() > 1 ? "one of" : "the method", words));
  }
  if (method.refine < 0 || method.refine > 1000)
    return Error(ErrorCode::invalid_argument, "refine", fmt::format("{} rounds", method.refine),
                 "use 16, or 0 for none");
  if (method.refine > 0 && method.algorithm != WeightAlgorithm::gptq && !std::holds_alternative<quant::Scheme>(format))
    return Error(ErrorCode::invalid_argument, "refine",
                 fmt::format("codes of {} by {} are not refined", to_string(format), method.algorithm),
                 "use the method gptq, or integers");
  return std::visit(
      [&](const auto& f) {
        return LayerMethod([f, method](const LayerProblem& problem, const Context& context) -> Result<QuantizedWeight> {
          if (needs_samples(method) && !problem.inputs)
            return Error(ErrorCode::insufficient_data, problem.tensor,
                         fmt::format("the method {} needs the second moments of its inputs", method),
                         "give LayerProblem::inputs");
          return quantize(f, method, problem, context);
        });
      },
      format);
}

} // namespace mcomp::inline v0::compress
