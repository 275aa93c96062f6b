#pragma once

// Instruments for code that serves: what each request took, answered and cost, counted by six dimensions. Recording
// allocates nothing, takes no lock and reads no clock; every thread has a recorder of its own, whose counts the reader
// collects while it goes on.
//
//     auto instruments = monitor::Instruments::create({.stages = {"queue", "compute"}}).value();
//     const auto eu = instruments.name(monitor::Dimension::region, "eu").value();     // once
//     monitor::Recorder recorder = instruments.recorder().value();                    // one for each thread
//     recorder.record({.region = eu}, {.seconds = took, .confidence = p, .request = id, .predicted = answer});
//     recorder.label(id, right_answer);                                               // hours later, on any recorder
//     instruments.collect(now);                                                       // every few seconds, by one
//     reader monitor::ServiceSnapshot minutes = instruments.last(now, 600).value();

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/monitor/service_snapshot.hpp"

namespace mcomp::inline v0::monitor {

enum class Dimension { model_version, region, cohort, latency_tier, edge_case, device };

/// The number of a name within its dimension; 0 where an event has none.
using NameId = std::uint16_t;

/// One combination of names, each from `Instruments::name` of its dimension.
struct SeriesKey {
  NameId model_version = 0, region = 0, cohort = 0, latency_tier = 0, edge_case = 0, device = 0;
  friend bool operator==(const SeriesKey&, const SeriesKey&) = default;
};

/// A combination that was looked up once, for recorders of the instruments that gave it.
struct SeriesHandle {
  std::uint32_t index = 0;
};

/// One request. What is left at its default is not counted.
struct Event {
  static constexpr double none = -1;
  double seconds = none;                   ///< end to end
  std::span<const double> stage_seconds{}; ///< in the order of the options' stages; `none` for one that was skipped
  bool error = false;
  double confidence = none;    ///< calibrated probability of the predicted class, within [0, 1]
  double cost = 0;             ///< in the currency, counted in billionths
  std::uint64_t request = 0;   ///< id by which label and feedback come later; 0 for none
  std::uint32_t predicted = 0; ///< class, to compare with the label
};

struct InstrumentOptions {
  /// Names of the dimensions in exports and reports, in the order of `Dimension`.
  std::array<std::string, service_dimensions> dimensions{"model_version", "region",    "cohort",
                                                         "latency_tier",  "edge_case", "device"};
  std::vector<std::string> stages{}; ///< at most 8
  std::int64_t max_names = 256;      ///< of one dimension, at most 1022; further ones are "overflow"
  std::int64_t max_series = 128;     ///< combinations, at most 65,000; events of further ones are "overflow" in all six
  std::int64_t max_recorders = 64;   ///< at a time, at most 1024
  std::int64_t max_layers = 256;     ///< at most 4096
  /// Requests that wait for a label (rounded up to a power of two). Each may lie in four places, where the oldest makes
  /// room: with half as many under way at a time, one of 27 is displaced; with an eighth, one of 2,700.
  std::int64_t waiting = 1 << 16; ///< at most 2^24
  double window_seconds = 60;
  std::int64_t windows = 60; ///< that are kept, at most 10^5

  /// Schema "mcomp-instrument-options-1". Errors: corrupt, version_mismatch; what `create` demands.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<InstrumentOptions> parse(std::string_view json,
                                                                          const std::string& subject = "instruments");
  friend bool operator==(const InstrumentOptions&, const InstrumentOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const InstrumentOptions& options);

namespace detail {
struct InstrumentState;
struct Shard;
} // namespace detail

/// Writes the counts of one thread. May be handed to another thread, but not used by two at once. When it ends, its
/// counts stay and its memory goes to the next recorder. Nothing here allocates, locks or throws.
class MCOMP_WORKFLOW_API Recorder {
 public:
  Recorder(Recorder&&) noexcept;
  Recorder& operator=(Recorder&&) noexcept;
  ~Recorder();

  void record(const SeriesKey& key, const Event& event) noexcept;
  void record(SeriesHandle series, const Event& event) noexcept;
  /// The series of a key; that of the overflow where there is no room.
  [[nodiscard]] SeriesHandle series(const SeriesKey& key) noexcept;

  /// The right answer of a request, from whichever recorder it came: counts under its series, in the window in which
  /// the label came. A request has one label.
  void label(std::uint64_t request, std::uint32_t label) noexcept;
  /// How content a user was, within [0, 1]: counts under the series of the request, which must still wait.
  void feedback(std::uint64_t request, double satisfaction) noexcept;
  void feedback(SeriesHandle series, double satisfaction) noexcept;
  /// Of one run of a quantized layer: so many activations, of which so many lay beyond the range. Layers are numbered
  /// by `Instruments::layer`.
  void activations(std::uint32_t layer, std::int64_t values, std::int64_t overflows) noexcept;

 private:
  friend class Instruments;
  Recorder(std::shared_ptr<detail::InstrumentState> state, detail::Shard* shard) noexcept;
  void release() noexcept;
  std::shared_ptr<detail::InstrumentState> state_;
  detail::Shard* shard_ = nullptr;
};

/// Memory is fixed by the options: for each recorder that was ever in use at the same time about 4 kB a series and
/// stage, twice; windows hold only the bins that were hit. All functions may be called from any thread; they take a
/// lock that recorders never take.
class MCOMP_WORKFLOW_API Instruments {
 public:
  /// Errors: invalid_argument for options out of range, names of dimensions that are not [a-zA-Z_][a-zA-Z0-9_]*, or
  /// names that come twice. Throws std::bad_alloc where memory is short.
  [[nodiscard]] static Result<Instruments> create(const InstrumentOptions& options = {});
  Instruments(Instruments&&) noexcept;
  Instruments& operator=(Instruments&&) noexcept;
  ~Instruments();

  /// The number of a name, the same for the same name. Beyond `max_names` it is that of "overflow". Error:
  /// invalid_argument for a name that is empty, longer than 256 bytes or no UTF-8.
  [[nodiscard]] Result<NameId> name(Dimension dimension, std::string_view name);
  /// The number of a layer. Beyond `max_layers` reports of it are counted as unknown. Error: as `name`.
  [[nodiscard]] Result<std::uint32_t> layer(std::string_view name);
  /// Error: invalid_argument where `max_recorders` are in use.
  [[nodiscard]] Result<Recorder> recorder();

  /// Takes over what recorders have counted since the last time, into the window of `now`, and samples the process
  /// (Linux; elsewhere there is no sample). Counts lie in the window in which they were collected, so collect a few
  /// times a window. An event that is being recorded meanwhile may come half now and half the next time; none is lost
  /// or counted twice. Between two calls at most 2^32 - 1 events of a recorder and series may come. Error:
  /// invalid_value for a time outside [0, 10^15]; one before the newest window counts in that one.
  [[nodiscard]] Status collect(double now);
  /// Windows that end after now - seconds and begin at or before now. Errors: invalid_argument for seconds that are not
  /// > 0 or more than are kept, or a time as above.
  [[nodiscard]] Result<ServiceSnapshot> last(double now, double seconds) const;
  /// Everything that was collected.
  [[nodiscard]] ServiceSnapshot since_start() const;

  [[nodiscard]] const InstrumentOptions& options() const noexcept;
  /// Bytes that recorders, their copies and waiting requests take now, but for windows.
  [[nodiscard]] std::int64_t fixed_bytes() const;

 private:
  explicit Instruments(std::shared_ptr<detail::InstrumentState> state) noexcept;
  std::shared_ptr<detail::InstrumentState> state_;
};

} // namespace mcomp::inline v0::monitor
