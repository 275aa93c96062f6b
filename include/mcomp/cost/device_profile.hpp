#pragma once

// What a device can do, as data: measured layers, or what its maker declares. A profile is an input with a fingerprint,
// never a hidden influence; a latency model (cost/latency_model.hpp) is made of it.
//
// Who can run layers measures: the callable makes one layer ready and returns what runs it once, so that mcomp's
// kernels (kernels/synthetic_layer.hpp), an engine or an accelerator are measured alike.
//
//     mcomp::cost::DeviceIdentity device{.name = mcomp::cpu_features().name, .engine = "oneDNN 2.6.3", .threads = 1};
//     auto profile = mcomp::cost::cached_profile("profile.json", device, make_layer).value(); // measures once
//     auto model = mcomp::cost::LatencyModel::fit(profile).value();

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/layer_shape.hpp"

namespace mcomp::inline v0::cost {

/// What a measurement is valid for. Two profiles of equal identity may stand in for each other.
struct DeviceIdentity {
  std::string name{};            ///< "AMD EPYC"
  std::string instruction_set{}; ///< "AVX-512 VNNI"; may be empty
  std::string engine{};          ///< who runs the layers, with its version
  std::int64_t threads = 1;      ///< that one call may use

  friend bool operator==(const DeviceIdentity&, const DeviceIdentity&) = default;
};
/// "AMD EPYC, AVX-512 VNNI, oneDNN 2.6.3, 1 thread"
[[nodiscard]] MCOMP_API std::string to_string(const DeviceIdentity& device);

struct MeasuredLayer {
  LayerShape shape;
  double seconds = 0; ///< of one call, memory in place
  double spread = 1;  ///< the slowest of the passes over the fastest: how far the measurement can be trusted
  friend bool operator==(const MeasuredLayer&, const MeasuredLayer&) = default;
};

/// How fast memory is copied when so many bytes are worked on: caches, then memory.
struct CopySpeed {
  std::int64_t bytes = 0;      ///< read and written together
  double bytes_per_second = 0; ///< read and written together
  friend bool operator==(const CopySpeed&, const CopySpeed&) = default;
};

/// Most multiply-adds per second for layers with weights of one type, all threads together.
struct DeclaredPeak {
  DType weights = DType::f32;
  double multiply_adds_per_second = 0;
  friend bool operator==(const DeclaredPeak&, const DeclaredPeak&) = default;
};

/// What a data sheet says, for devices that nobody here can measure. Times follow from the roofline of Williams,
/// Waterman and Patterson (CACM 52, 2009): launch + max(work / peak, bytes / bandwidth), with an efficiency that lies
/// between the two shares.
struct DeclaredDevice {
  std::vector<DeclaredPeak> peaks{};
  double bytes_per_second = 0;
  double launch_seconds = 0;      ///< of one layer
  double efficiency_lower = 0.3;  ///< within (0, 1]
  double efficiency_upper = 0.85; ///< within [efficiency_lower, 1]
  friend bool operator==(const DeclaredDevice&, const DeclaredDevice&) = default;
};

struct DeviceProfile {
  DeviceIdentity device{};
  std::string date{}; ///< year-month-day of the measurement or of the data sheet; may be empty
  std::vector<MeasuredLayer> layers{};
  std::vector<CopySpeed> copies{}; ///< ascending in bytes; what movements are predicted from
  std::optional<DeclaredDevice> declared{};
  std::optional<double> watts{}; ///< while it works, where known

  /// Errors: not_found, io_failure; corrupt for content that breaks the rules below.
  [[nodiscard]] MCOMP_API static Result<DeviceProfile> read(const std::filesystem::path& path);
  [[nodiscard]] MCOMP_API static Result<DeviceProfile> parse(std::string_view json, const std::string& subject);
  /// The rules: a name, valid shapes, times within [10^-12, 10^6], ascending copies, and measured layers or a declared
  /// device. Errors: invalid_value, invalid_shape, insufficient_data.
  [[nodiscard]] MCOMP_API Status check() const;
  /// SHA-256 of the profile's own text, in hex: what a forecast is traced back to.
  [[nodiscard]] MCOMP_API std::string fingerprint() const;

  friend bool operator==(const DeviceProfile&, const DeviceProfile&) = default;
};

/// A file that `parse` reads as the same profile (schema "mcomp-device-profile-1").
[[nodiscard]] MCOMP_API std::string to_json(const DeviceProfile& profile);
/// "AMD EPYC, oneDNN 2.6.3, 1 thread: 1600 measured layers"
[[nodiscard]] MCOMP_API std::string to_string(const DeviceProfile& profile);

/// Runs a layer once; what it needs was made ready before.
using LayerCall = std::function<Status()>;
/// Makes a layer of this shape ready, with weights and inputs of its own.
using LayerMaker = std::function<Result<LayerCall>(const LayerShape& shape)>;

/// Layers that are alike but in their sizes.
struct LayerFamily {
  LayerKind kind = LayerKind::linear;
  DType weights = DType::f32;
  DType input = DType::f32;
  std::vector<DType> outputs{DType::f32}; ///< drawn with equal chance
  bool residuals = false;                 ///< true: a fourth of the layers has one
  friend bool operator==(const LayerFamily&, const LayerFamily&) = default;
};

/// From where layers are drawn, log-uniformly. Half of the channel counts are multiples of 8, as in most networks.
struct LayerRange {
  std::int64_t linear_samples_upper = 256;
  std::int64_t features_lower = 8, features_upper = 4096;
  std::int64_t convolution_samples_upper = 16;
  std::int64_t channels_lower = 3, channels_upper = 512;
  std::int64_t size_lower = 4, size_upper = 64; ///< height and width
  double multiply_adds_upper = 1e9;
};

struct ProfileOptions {
  /// Empty: linear layers and convolutions, in f32 and with int8 weights on uint8 activations.
  std::vector<LayerFamily> families{};
  LayerRange range{};
  std::int64_t layers_per_family = 800; ///< at most 2000
  std::int64_t passes = 2;              ///< over all layers; a layer's time is the best of them
  double seconds_per_layer = 0.008;     ///< of one pass; a layer runs at least five times
  /// Ends the first pass after so long, with as many layers of each family as there are by then; 0: no limit.
  double seconds_limit = 0;
  std::uint64_t seed = 1;
};

/// The layers of a profile or of a check of one, family by family in turn. The same seed draws the same layers.
/// Errors: invalid_argument for options out of their range.
[[nodiscard]] MCOMP_API Result<std::vector<LayerShape>> draw_layers(const ProfileOptions& options);

/// Seconds of one call: the lower quartile of batches of calls, each long enough for the clock. Errors: those of the
/// call; invalid_argument for seconds that are not > 0.
[[nodiscard]] MCOMP_API Result<double> time_call(const LayerCall& call, double seconds = 0.008);

/// Measures drawn layers and the speed of memory on this machine. With the defaults it takes one to two minutes a
/// processor core; other load on the machine makes it worse, `spread` tells. Errors: of `make` and of the layers, with
/// the shape; invalid_argument; insufficient_data where the limit ends before ten layers of each family; cancelled.
[[nodiscard]] MCOMP_API Result<DeviceProfile> measure_profile(const DeviceIdentity& device, const LayerMaker& make,
                                                              const ProfileOptions& options = {},
                                                              const Context& context = {});

/// The profile of `path` where it is of this device, with however many layers it was measured; otherwise it is measured
/// and written there, also over that of another device. A file that is there and cannot be read as a profile is an
/// Error, not overwritten. Errors: as `read` and `measure_profile`.
[[nodiscard]] MCOMP_API Result<DeviceProfile> cached_profile(const std::filesystem::path& path,
                                                             const DeviceIdentity& device, const LayerMaker& make,
                                                             const ProfileOptions& options = {},
                                                             const Context& context = {});

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::DeviceIdentity> = true;
template <> inline constexpr bool enable_format<cost::DeviceProfile> = true;
} // namespace mcomp::inline v0
