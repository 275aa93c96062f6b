#include <algorithm>
#include <array>
#include <cctype>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/io/gguf.hpp"

namespace mcomp::inline v0::io {

namespace {

constexpr std::array<GgufTypeInfo, 35> types{{
    {GgufType::f32, "F32", 1, 4},
    {GgufType::f16, "F16", 1, 2},
    {GgufType::q4_0, "Q4_0", 32, 18},
    {GgufType::q4_1, "Q4_1", 32, 20},
    {GgufType::q5_0, "Q5_0", 32, 22},
    {GgufType::q5_1, "Q5_1", 32, 24},
    {GgufType::q8_0, "Q8_0", 32, 34},
    {GgufType::q8_1, "Q8_1", 32, 36},
    {GgufType::q2_k, "Q2_K", 256, 84},
    {GgufType::q3_k, "Q3_K", 256, 110},
    {GgufType::q4_k, "Q4_K", 256, 144},
    {GgufType::q5_k, "Q5_K", 256, 176},
    {GgufType::q6_k, "Q6_K", 256, 210},
    {GgufType::q8_k, "Q8_K", 256, 292},
    {GgufType::iq2_xxs, "IQ2_XXS", 256, 66},
    {GgufType::iq2_xs, "IQ2_XS", 256, 74},
    {GgufType::iq3_xxs, "IQ3_XXS", 256, 98},
    {GgufType::iq1_s, "IQ1_S", 256, 50},
    {GgufType::iq4_nl, "IQ4_NL", 32, 18},
    {GgufType::iq3_s, "IQ3_S", 256, 110},
    {GgufType::iq2_s, "IQ2_S", 256, 82},
    {GgufType::iq4_xs, "IQ4_XS", 256, 136},
    {GgufType::i8, "I8", 1, 1},
    {GgufType::i16, "I16", 1, 2},
    {GgufType::i32, "I32", 1, 4},
    {GgufType::i64, "I64", 1, 8},
    {GgufType::f64, "F64", 1, 8},
    {GgufType::iq1_m, "IQ1_M", 256, 56},
    {GgufType::bf16, "BF16", 1, 2},
    {GgufType::tq1_0, "TQ1_0", 256, 54},
    {GgufType::tq2_0, "TQ2_0", 256, 66},
    {GgufType::mxfp4, "MXFP4", 32, 17},
    {GgufType::nvfp4, "NVFP4", 64, 36},
    {GgufType::q1_0, "Q1_0", 128, 18},
    {GgufType::q2_0, "Q2_0", 64, 18},
}};

const GgufTypeInfo* find_info(GgufType type) noexcept {
  const auto found = std::find_if(types.begin(), types.end(), [&](const GgufTypeInfo& t) { return t.type == type; });
  return found == types.end() ? nullptr : &*found;
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

} // namespace

std::span<const GgufTypeInfo> gguf_types() noexcept {
  return types;
}

const GgufTypeInfo& gguf_type_info(GgufType type) noexcept {
  const GgufTypeInfo* found = find_info(type);
  return found ? *found : types.front();
}

std::string to_string(GgufType type) {
  const GgufTypeInfo* found = find_info(type);
  return found ? std::string(found->name) : fmt::format("type {}", static_cast<std::uint32_t>(type));
}

Result<GgufType> gguf_type_from_string(std::string_view name) {
  std::vector<std::string> known;
  for (const GgufTypeInfo& t : types) {
    if (t.name == upper(name)) return t.type;
    known.emplace_back(t.name);
  }
  return Error(ErrorCode::not_found, fmt::format("GGUF type '{}'", name), "there is no such type",
               mcomp::detail::did_you_mean(upper(name), known));
}

bool is_quantized(GgufType type) noexcept {
  return gguf_type_info(type).block_size > 1;
}

Result<std::int64_t> gguf_bytes(GgufType type, const Shape& shape, const std::string& subject) {
  const GgufTypeInfo* t = find_info(type);
  const auto refuse = [&](std::string rule) {
    return Error(ErrorCode::invalid_shape, subject, std::move(rule), "use a shape that the type can hold");
  };
  if (!t) return refuse(fmt::format("there is no {}", to_string(type)));
  if (shape.rank() > 4) return refuse(fmt::format("shape {} has {} axes, at most 4 are allowed", shape, shape.rank()));
  MCOMP_TRY(of_f64, byte_size(DType::f64, shape, subject)); // sizes not negative, the product far from overflow
  static_cast<void>(of_f64);
  const std::int64_t row = shape.rank() == 0 ? 1 : shape.sizes().back();
  if (row % t->block_size != 0)
    return refuse(
        fmt::format("rows of {} elements are not whole blocks of {}, which {} needs", row, t->block_size, t->name));
  return shape.elements() / t->block_size * t->block_bytes;
}

} // namespace mcomp::inline v0::io
