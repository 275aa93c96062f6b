#include "mcomp/core/cpu.hpp"

#include <array>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#define MCOMP_X86 1
#endif

namespace mcomp::inline v0 {

namespace {

#ifdef MCOMP_X86
struct Registers {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
  return r;
}

/// XCR0: which register files the operating system saves.
std::uint64_t saved_registers() {
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

constexpr bool bit(std::uint64_t word, int index) {
  return ((word >> index) & 1u) != 0;
}

std::string brand() {
  std::array<char, 49> text{};
  for (std::uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i);
    std::memcpy(text.data() + 16 * i, &r, 16);
  }
  std::string name(text.data());
  const auto begin = name.find_first_not_of(' ');
  if (begin == std::string::npos) return "x86-64";
  return name.substr(begin, name.find_last_not_of(' ') - begin + 1);
}
#endif

CpuFeatures detect() {
  CpuFeatures f;
#ifdef MCOMP_X86
  f.name = brand();
  const Registers one = cpuid(1), seven = cpuid(7), seven_one = cpuid(7, 1);
  const std::uint64_t saved = bit(one.c, 27) ? saved_registers() : 0;
  const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
  f.sse41 = bit(one.c, 19);
  f.avx2 = ymm && bit(one.c, 28) && bit(one.c, 12) && bit(seven.b, 5);
  f.avx512 = zmm && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 30) && bit(seven.b, 31);
  f.avx_vnni = ymm && bit(seven_one.a, 4);
  f.avx512_vnni = f.avx512 && bit(seven.c, 11);
  f.avx512_bf16 = f.avx512 && bit(seven_one.a, 5);
  f.amx_int8 = tiles && bit(seven.d, 25);
  f.sha = f.sse41 && bit(seven.b, 29);
#else
  f.name = "generic";
#endif
  return f;
}

} // namespace

const CpuFeatures& cpu_features() noexcept {
  static const CpuFeatures features = detect();
  return features;
}

std::string to_string(const CpuFeatures& f) {
  std::string text = f.name + ":";
  const auto add = [&](bool present, const char* name) {
    if (present) (text += ' ') += name;
  };
  add(f.sse41, "sse4.1");
  add(f.avx2, "avx2");
  add(f.avx_vnni, "avx-vnni");
  add(f.avx512, "avx512");
  add(f.avx512_vnni, "avx512-vnni");
  add(f.avx512_bf16, "avx512-bf16");
  add(f.amx_int8, "amx-int8");
  add(f.sha, "sha");
  return text;
}

} // namespace mcomp::inline v0
