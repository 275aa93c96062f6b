#pragma once

#include <string>

#include "mcomp/core/export.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::kernels {

/// What this build and this machine can execute, so that nobody is surprised at run time.
struct Capabilities {
  bool onednn = false;         ///< layers can be executed; without it the scalar references remain
  std::string onednn_version;  ///< "2.6.3"; empty without
  std::string instruction_set; ///< highest that oneDNN uses, "AVX-512 VNNI"; empty without
  bool bounds_threads = false; ///< the number of oneDNN's threads can be bounded by the caller
};

[[nodiscard]] MCOMP_KERNELS_API Capabilities capabilities();
[[nodiscard]] MCOMP_KERNELS_API std::string to_string(const Capabilities& capabilities);

/// Success where layers can be executed. Errors: unsupported (built without oneDNN), version_mismatch (compiled for
/// another major version of oneDNN than is loaded).
[[nodiscard]] MCOMP_KERNELS_API Status require_execution();

} // namespace mcomp::inline v0::kernels

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<kernels::Capabilities> = true;
} // namespace mcomp::inline v0
