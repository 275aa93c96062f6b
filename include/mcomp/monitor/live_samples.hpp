#pragma once

// Real inputs of a service, few and chosen fairly, for evaluation and for fresh calibration sets. They stay in the
// memory of the application; nothing here writes a file. An input is kept only where its user consents, after the
// caller's redaction, and not longer than the caller allows.
//
//     auto samples = monitor::LiveSamples::create({.dtype = DType::uint8, .shape = {3, 32, 32},
//                        .edge_cases = {"dark"}}, redact).value();
//     samples.offer({.request = id, .user = user, .slice = "region=eu", .consent = true, .input = image}, now);
//     auto set = samples.calibration_set({.count = 512, .edge_share = 0.1}, now).value();   // set.inputs
//     samples.forget_user(user);

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/dtype.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::monitor {

struct LiveSampleOptions {
  DType dtype = DType::uint8;
  Shape shape{};                         ///< of one input, without an axis for samples
  std::vector<std::string> edge_cases{}; ///< names of those that are kept on their own
  std::int64_t per_slice = 256;          ///< samples of a slice, at most 10^6
  std::int64_t per_edge_case = 64;
  std::int64_t max_slices = 64;      ///< further ones are "overflow"
  std::int64_t max_bytes = 64 << 20; ///< of all inputs together
  double retention_seconds = 7 * 86400.0;
  int periods = 4;        ///< parts of the retention, 1 .. 1000, each with samples of its own: see `LiveSamples`
  std::uint64_t seed = 1; ///< the same in all shards that are merged

  /// Schema "mcomp-live-sample-options-1". Errors: corrupt, version_mismatch; what `create` demands.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<LiveSampleOptions> parse(std::string_view json,
                                                                          const std::string& subject = "live samples");
  friend bool operator==(const LiveSampleOptions&, const LiveSampleOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const LiveSampleOptions& options);

/// An input that was served.
struct SampleOffer {
  std::string_view request{}; ///< its id, the same wherever it is offered again
  std::string_view user{};    ///< by whom, for deletion; "" where that is not known
  std::string_view slice{};
  std::string_view edge_case{}; ///< one of the options' names: it is kept as that, and not in its slice
  bool consent = false;
  TensorView input{};
};

/// What became of an offer.
enum class SampleFate {
  kept,
  passed_over, ///< others were drawn, or it is held already
  without_consent,
  redaction_failed,
};

/// Takes what is secret out of an input, before it is kept. Whatever fails here drops the sample.
using Redaction = std::function<Result<Tensor>(const TensorView& input, std::string_view request)>;

/// What was done with the offers, and what is held.
struct LiveSampleCounts {
  std::int64_t offered = 0, kept = 0, passed_over = 0, without_consent = 0, redaction_failed = 0;
  std::int64_t displaced = 0;       ///< kept, and others were drawn in their place later
  std::int64_t expired = 0;         ///< older than the retention
  std::int64_t evicted_by_size = 0; ///< displaced for want of room in max_bytes
  std::int64_t forgotten = 0;       ///< deleted by request or user
  std::int64_t held = 0, bytes = 0; ///< now
  friend bool operator==(const LiveSampleCounts&, const LiveSampleCounts&) = default;
};
/// Schema "mcomp-live-sample-counts-1".
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const LiveSampleCounts& counts);

struct CalibrationSetOptions {
  std::int64_t count = 512;
  double edge_share = 0.1; ///< of edge cases, by turns over their names; as many as there are, where they are fewer
  bool by_traffic = false; ///< slices by how many requests with consent they had; otherwise each slice alike
};

struct CalibrationSet {
  Tensor inputs{};                     ///< [samples, shape]
  std::vector<std::string> requests{}; ///< by row
  std::vector<std::string> slices{};   ///< by row; of an edge case "edge_case=dark"
  std::int64_t edge_cases = 0;         ///< rows
};

/// Of each slice and period the requests with the least hash of their id and the seed (bottom-k): a uniform sample of
/// the requests, and the same whatever order they came in and whichever shards they came through, until `max_bytes`
/// makes samples go (those with the largest hash first, counted). A period is retention / periods long, so that what
/// expires leaves a fair sample of what came later. A sample that is older than the retention is in no answer, and
/// `expire` removes it.
/// May be used from several threads, one of which works at a time.
class MCOMP_WORKFLOW_API LiveSamples {
 public:
  /// Errors: invalid_argument for options out of range, or names that are empty or come twice; invalid_shape.
  [[nodiscard]] static Result<LiveSamples> create(const LiveSampleOptions& options, Redaction redaction = {});
  LiveSamples(LiveSamples&&) noexcept;
  LiveSamples& operator=(LiveSamples&&) noexcept;
  ~LiveSamples();

  /// Without consent the input is neither looked at nor copied. Redaction runs only for what would be kept. Errors:
  /// invalid_argument for an id that is empty, invalid_dtype and invalid_shape for another kind of input, not_found for
  /// an edge case that the options do not name, invalid_value for a time outside [0, 10^15].
  [[nodiscard]] Result<SampleFate> offer(const SampleOffer& offer, double now);
  /// Takes in the samples of another shard, which stays as it is. Error: invalid_argument for other options.
  [[nodiscard]] Status merge(const LiveSamples& other);

  /// Draws by the order of the hashes, so that the same samples give the same set. Fewer rows than `count` where fewer
  /// are held. Errors: insufficient_data for none, invalid_argument for the options.
  [[nodiscard]] Result<CalibrationSet> calibration_set(const CalibrationSetOptions& options, double now) const;

  /// Removes what is older than the retention; the number of samples. `offer` does so too, now and then.
  std::int64_t expire(double now);
  /// Removes the samples of a request or a user, whose bytes are overwritten; the number of samples. Of other shards
  /// they are removed there.
  std::int64_t forget_request(std::string_view request);
  std::int64_t forget_user(std::string_view user);

  [[nodiscard]] LiveSampleCounts counts() const;
  [[nodiscard]] const LiveSampleOptions& options() const noexcept;

 private:
  struct State;
  explicit LiveSamples(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

} // namespace mcomp::inline v0::monitor
