#include "mcomp/core/dtype.hpp"

#include <array>
#include <utility>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0 {

namespace {
constexpr std::array<std::pair<DType, std::string_view>, 25> names{{
    {DType::f64, "f64"},         {DType::f32, "f32"},         {DType::f16, "f16"},         {DType::bf16, "bf16"},
    {DType::f8_e4m3, "f8_e4m3"}, {DType::f8_e5m2, "f8_e5m2"}, {DType::f8_e8m0, "f8_e8m0"}, {DType::boolean, "bool"},
    {DType::int8, "int8"},       {DType::uint8, "uint8"},     {DType::int16, "int16"},     {DType::int32, "int32"},
    {DType::int64, "int64"},     {DType::int4, "int4"},       {DType::uint4, "uint4"},     {DType::int2, "int2"},
    {DType::uint2, "uint2"},     {DType::int3, "int3"},       {DType::uint3, "uint3"},     {DType::int5, "int5"},
    {DType::uint5, "uint5"},     {DType::int6, "int6"},       {DType::uint6, "uint6"},     {DType::int7, "int7"},
    {DType::uint7, "uint7"},
}};
} // namespace

std::string to_string(DType dtype) {
  for (const auto& [value, name] : names)
    if (value == dtype) return std::string(name);
  return "invalid dtype";
}

Result<DType> dtype_from_string(std::string_view text) {
  std::string known;
  for (const auto& [value, name] : names) {
    if (name == text) return value;
    known += known.empty() ? "" : ", ";
    known += name;
  }
  return Error(ErrorCode::not_found, fmt::format("dtype '{}'", text), "there is no such element type",
               "use one of " + known);
}

half to_half(float value) noexcept {
  const auto x = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((x >> 16) & 0x8000u);
  const std::uint32_t magnitude = x & 0x7fffffffu;
  if (magnitude > 0x7f800000u) // NaN: keep the top of the payload, make it quiet
    return {static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu))};
  if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)}; // rounds to 65536 or more
  if (magnitude < 0x38800000u) {
    // Subnormal: let the float adder round at the position of 2^-24.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u))};
  }
  const std::uint32_t odd = (magnitude >> 13) & 1u;
  return {static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13))};
}

float to_float(half value) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = value.bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float subnormal = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(subnormal));
}

bfloat16 to_bfloat16(float value) noexcept {
  const auto x = std::bit_cast<std::uint32_t>(value);
  if ((x & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((x >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((x + 0x7fffu + ((x >> 16) & 1u)) >> 16)};
}

} // namespace mcomp::inline v0
