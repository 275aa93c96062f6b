#pragma once

// How long layers and networks take on a device, before they are built or run there.
//
//     auto model = mcomp::cost::LatencyModel::fit(profile).value();
//     auto layer = model.predict(shape).value();                    // seconds, with an interval
//     auto network = model.predict(shapes, {.samples = 32}).value(); // latency, throughput, memory
//
// The model, for each family (kind of layer, types of weights and input):
//
//     seconds = (launch + multiply-adds / P + bytes / B) x efficiency(multiply-adds) x exp(residual(shape))
//
// launch, P and B >= 0 are the best fit to the measured layers in relative error (a roofline whose parts add up, which
// is what small layers do), the efficiency is a monotone function of the size (isotonic regression, interpolated), and
// the residual is a Gaussian process (Rasmussen and Williams 2006, Matern 5/2, a length scale for each property of the
// shape by marginal likelihood): channels that fill registers or waste them, rows, caches. Far from all that was
// measured the residual fades and the roofline remains, with a wide interval. Intervals are scaled by the
// leave-one-out errors of the measured layers, so that they hold for layers drawn as those were.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/device_profile.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::cost {

struct LatencyOptions {
  double level = 0.95; ///< of the intervals, within (0, 1)
  /// Of the electricity, where known: CO2 equivalent. With the profile's watts it gives carbon (cost/carbon.hpp has the
  /// whole of the SCI, with what making the machine took).
  std::optional<double> grams_per_kwh{};
};

struct LayerLatency {
  double seconds = 0;
  stats::Interval interval{};
  friend bool operator==(const LayerLatency&, const LayerLatency&) = default;
};

struct NetworkLatency {
  std::string device;
  std::int64_t samples = 0;
  double seconds = 0; ///< of all samples
  /// Errors of layers are taken to be alike (they lean the same way in one network), so lower and upper ends add up.
  stats::Interval interval{};
  double samples_per_second = 0; ///< of one worker that is always busy
  std::vector<LayerLatency> layers{};
  std::int64_t weight_bytes = 0;
  std::int64_t activation_bytes = 0;         ///< inputs and output of the layer that needs most
  std::optional<double> joules_per_sample{}; ///< where the profile has watts
  std::optional<double> grams_per_sample{};  ///< where the options have grams_per_kwh too: energy x intensity

  friend bool operator==(const NetworkLatency&, const NetworkLatency&) = default;
};

/// How well the model knows one family: errors of measured layers, each predicted from all others, of the half that had
/// no part in the choice of the length scales.
struct FamilyFit {
  LayerFamily family;
  std::int64_t layers = 0;
  double median_error = 0;             ///< relative
  double within_a_fifth = 0;           ///< share of layers whose error is at most 20%
  double roofline_error = 0;           ///< median error without the residual
  double multiply_adds_per_second = 0; ///< P; infinite where they do not matter
  double bytes_per_second = 0;         ///< B; infinite where bytes do not matter
  double launch_seconds = 0;

  friend bool operator==(const FamilyFit&, const FamilyFit&) = default;
};

/// A value; copies share what does not change. Safe from many threads.
class MCOMP_API LatencyModel {
 public:
  /// Takes O(n^3) for n layers of a family: about a second for 600. Errors: as DeviceProfile::check; insufficient_data
  /// for a family with fewer than 10 layers, unsupported for one with more than 4000; invalid_argument for a level or
  /// grams that are out of range.
  [[nodiscard]] static Result<LatencyModel> fit(const DeviceProfile& profile, const LatencyOptions& options = {});

  [[nodiscard]] const DeviceIdentity& device() const noexcept;
  /// Of the profile that it was fitted to.
  [[nodiscard]] const std::string& profile_fingerprint() const noexcept;
  [[nodiscard]] const std::vector<FamilyFit>& families() const noexcept;

  /// Errors: as LayerShape::check; unsupported for a family that was neither measured nor declared.
  [[nodiscard]] Result<LayerLatency> predict(const LayerShape& shape) const;
  /// All layers of a network, one after the other, as they run for `samples` samples in parts of `micro_batch`: the
  /// shapes are those of a part, and a last part that is not full counts by its share. 0: the samples of the shapes.
  /// Errors: as above; invalid_argument for no layers, shapes with different samples, samples below 0, or layers that
  /// take no time or an infinite one.
  [[nodiscard]] Result<NetworkLatency> predict(std::span<const LayerShape> layers, std::int64_t samples = 0) const;

 private:
  struct State;
  explicit LatencyModel(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

/// The same network on several devices, the fastest first. Errors: as `predict`, naming the device.
[[nodiscard]] MCOMP_API Result<std::vector<NetworkLatency>>
side_by_side(std::span<const LatencyModel> devices, std::span<const LayerShape> layers, std::int64_t samples = 0);

/// "linear, int8 weights, uint8 input: 600 layers, median error 3.4%, 98.5% within 20% (roofline alone 17.4%)"
[[nodiscard]] MCOMP_API std::string to_string(const FamilyFit& fit);
/// "AMD EPYC: 32 samples in 2.12 ms [1.98, 2.31], 15094 per second, 274 KiB of weights, 1 MiB of activations"
[[nodiscard]] MCOMP_API std::string to_string(const NetworkLatency& latency);
/// One JSON object with the members above.
[[nodiscard]] MCOMP_API std::string to_json(const NetworkLatency& latency);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::FamilyFit> = true;
template <> inline constexpr bool enable_format<cost::NetworkLatency> = true;
} // namespace mcomp::inline v0
