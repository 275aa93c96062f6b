#pragma once

#include <string>

#include "mcomp/core/export.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0 {

/// What this processor and its operating system allow. Read once; the same for the life of the process.
struct CpuFeatures {
  std::string name; ///< brand string, for device profiles
  bool sse41 = false;
  bool avx2 = false;   ///< with FMA
  bool avx512 = false; ///< F, BW, DQ and VL, and the system saves the registers
  bool avx_vnni = false;
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool amx_int8 = false;
  bool sha = false;
};

[[nodiscard]] MCOMP_API const CpuFeatures& cpu_features() noexcept;
/// "AMD EPYC: sse4.1 avx2 avx512 avx512-vnni sha"
[[nodiscard]] MCOMP_API std::string to_string(const CpuFeatures& features);

template <> inline constexpr bool enable_format<CpuFeatures> = true;

} // namespace mcomp::inline v0
