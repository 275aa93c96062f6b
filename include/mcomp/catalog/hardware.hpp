#pragma once

// What an artifact needs of a machine, and which of several artifacts is right for the machine at hand.
//
//     auto best = catalog::choose(candidates, catalog::Machine::here()).value();

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

/// The instruction sets that a requirement may name, from the oldest to the newest; a machine is asked for each by
/// itself. "sse4.1", "avx2" (with FMA), "avx512" (F, BW, DQ, VL), "avx-vnni", "avx512-vnni", "avx512-bf16", "amx-int8".
[[nodiscard]] MCOMP_WORKFLOW_API std::span<const std::string_view> instruction_sets() noexcept;

struct HardwareRequirement {
  std::vector<std::string> instruction_sets; ///< all of them are needed; none: runs anywhere
  std::string precision;                     ///< what it computes in, for the reader: "w8a8", "w4a16", "fp32"
  std::int64_t memory_bytes = 0;             ///< that it needs while it runs
  friend bool operator==(const HardwareRequirement&, const HardwareRequirement&) = default;
};

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const HardwareRequirement& hardware);

struct Machine {
  std::vector<std::string> instruction_sets;
  std::int64_t memory_bytes = 0;

  /// This one: what processor and operating system allow, and all of the physical memory. A caller that may use less
  /// says so.
  [[nodiscard]] MCOMP_WORKFLOW_API static Machine here();
  friend bool operator==(const Machine&, const Machine&) = default;
};

/// Success where the machine has what is needed. Error: unsupported, naming what is missing.
[[nodiscard]] MCOMP_WORKFLOW_API Status fits(const HardwareRequirement& hardware, const Machine& machine);

struct HardwareCandidate {
  std::string id;
  HardwareRequirement hardware;
};

/// Of those that fit, the one that asks for the newest instruction set (it was made for this machine), then the one
/// that asks for more of them, then for less memory, then the smaller id: the same answer in any order of the
/// candidates. Error: unsupported, with each candidate's reason, where none fits; not_found without candidates.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> choose(std::span<const HardwareCandidate> candidates,
                                                            const Machine& machine);

} // namespace mcomp::inline v0::catalog

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<catalog::HardwareRequirement> = true;
} // namespace mcomp::inline v0
