#include "mcomp/catalog/hardware.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include <unistd.h>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "mcomp/core/cpu.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

constexpr std::array<std::string_view, 7> sets = {"sse4.1",      "avx2",        "avx512",  "avx-vnni",
                                                  "avx512-vnni", "avx512-bf16", "amx-int8"};

/// The place of the newest of them, from 1; 0 for none.
std::ptrdiff_t newest(const HardwareRequirement& hardware) {
  std::ptrdiff_t place = 0;
  for (const std::string& name : hardware.instruction_sets)
    place = std::max(place, std::ranges::find(sets, name) - sets.begin() + 1);
  return place;
}

} // namespace

std::span<const std::string_view> instruction_sets() noexcept {
  return sets;
}

std::string to_string(const HardwareRequirement& hardware) {
  return fmt::format("{}, {} bytes of memory, {}",
                     hardware.precision.empty() ? std::string("any precision") : hardware.precision,
                     hardware.memory_bytes,
                     hardware.instruction_sets.empty() ? std::string("any processor")
                                                       : fmt::format("{}", fmt::join(hardware.instruction_sets, " ")));
}

Machine Machine::here() {
  const CpuFeatures& cpu = cpu_features();
  const std::array<bool, sets.size()> has = {cpu.sse41,       cpu.avx2,        cpu.avx512,  cpu.avx_vnni,
                                             cpu.avx512_vnni, cpu.avx512_bf16, cpu.amx_int8};
  Machine machine;
  for (std::size_t i = 0; i < sets.size(); ++i)
    if (has[i]) machine.instruction_sets.emplace_back(sets[i]);
  machine.memory_bytes = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  return machine;
}

Status fits(const HardwareRequirement& hardware, const Machine& machine) {
  for (const std::string& name : hardware.instruction_sets)
    if (std::ranges::find(machine.instruction_sets, name) == machine.instruction_sets.end())
      return Error(ErrorCode::unsupported, "machine", "the processor has no " + name,
                   "take an artifact for an older processor");
  if (hardware.memory_bytes > machine.memory_bytes)
    return Error(
        ErrorCode::unsupported, "machine",
        fmt::format("{} bytes of memory are needed, there are {}", hardware.memory_bytes, machine.memory_bytes),
        "take a smaller artifact, or a larger machine");
  return {};
}

Result<std::string> choose(std::span<const HardwareCandidate> candidates, const Machine& machine) {
  if (candidates.empty())
    return Error(ErrorCode::not_found, "artifact", "there are no candidates", "publish one first");
  const HardwareCandidate* best = nullptr;
  std::string reasons;
  const auto rank = [](const HardwareCandidate& candidate) {
    return std::tuple(-newest(candidate.hardware), -std::ssize(candidate.hardware.instruction_sets),
                      candidate.hardware.memory_bytes, std::string_view(candidate.id));
  };
  for (const HardwareCandidate& candidate : candidates) {
    if (const auto status = fits(candidate.hardware, machine); !status) {
      reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", candidate.id, status.error().rule());
      continue;
    }
    if (!best || rank(candidate) < rank(*best)) best = &candidate;
  }
  if (!best)
    return Error(ErrorCode::unsupported, "artifact", "none fits this machine: " + reasons,
                 "publish one for this kind of machine");
  return best->id;
}

} // namespace mcomp::inline v0::catalog
