#include "mcomp/monitor/instruments.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <utility>

#include "core/json_schema.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "monitor/latency_bin.hpp"
#include "monitor/process_usage.hpp"
#include "monitor/utf8.hpp"

namespace mcomp::inline v0::monitor {

namespace detail {

using Count = std::atomic<std::uint32_t>; // of one recorder: wraps, and the reader takes differences
using Sum = std::atomic<std::uint64_t>;

constexpr NameId overflow_name = 1;
constexpr int id_bits = 10;
constexpr std::uint64_t id_mask = (1 << id_bits) - 1;

/// Six ids in one number, and one more so that no key is 0.
std::uint64_t packed(const SeriesKey& key) noexcept {
  std::uint64_t k = 0;
  for (const NameId id : {key.model_version, key.region, key.cohort, key.latency_tier, key.edge_case, key.device})
    k = k << id_bits | (id & id_mask);
  return k + 1;
}

std::uint64_t mixed(std::uint64_t x) noexcept { // the finalizer of SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Where the counts of a series lie, in 32 and in 64 bits.
struct Layout {
  static constexpr std::size_t touched = 0, events = 1, errors = 2, feedbacks = 3, confident = 4;
  static constexpr std::size_t confidences = 5, labelled = confidences + confidence_bins,
                               labelled_right = labelled + confidence_bins, latency = labelled_right + confidence_bins;
  static constexpr std::size_t nanoseconds = 0, confidence = 1, variance = 2, satisfaction = 3, cost = 4,
                               labelled_confidence = 5, stage_nanoseconds = labelled_confidence + confidence_bins;
  std::size_t stages = 0, counts = 0, sums = 0;

  explicit Layout(std::size_t stage_count)
      : stages(stage_count), counts(latency + (1 + stage_count) * LatencyBins::bins),
        sums(stage_nanoseconds + stage_count) {
    constexpr std::size_t line = 16; // counts in 64 bytes: a series begins at a cache line
    counts = (counts + line - 1) / line * line;
  }
};

struct Losses {
  Sum overflow_events{0}, rejected_values{0}, labels_unmatched{0}, labels_repeated{0}, requests_displaced{0},
      layers_unknown{0};
};

/// The counts of one recorder. Only it writes; the reader reads.
struct alignas(128) Shard {
  Shard(const Layout& layout, std::size_t series, std::size_t layers)
      : counts(layout.counts * series), sums(layout.sums * series), layer_counts(2 * layers), seen(counts.size()),
        seen_sums(sums.size()), seen_layers(2 * layers) {
    std::size_t slots = 16;
    while (slots < 2 * series) slots *= 2;
    keys.resize(slots);
    places.resize(slots);
    refused.resize(refused_slots);
  }
  [[nodiscard]] std::int64_t bytes() const {
    return static_cast<std::int64_t>(
        2 * (counts.size() * sizeof(Count) + (sums.size() + layer_counts.size()) * sizeof(Sum)) +
        keys.size() * (sizeof(std::uint64_t) + sizeof(std::uint32_t)) + refused.size() * sizeof(std::uint64_t));
  }

  // Of the recorder.
  std::vector<Count> counts; ///< a row for each series, the last of the overflow
  std::vector<Sum> sums, layer_counts;
  Losses losses;
  std::vector<std::uint64_t> keys; ///< series that this recorder has met: open addressing
  std::vector<std::uint32_t> places;
  static constexpr std::size_t refused_slots = 1024;
  std::vector<std::uint64_t> refused; ///< keys that found no room, the latest of each slot

  // Of the reader.
  alignas(128) bool in_use = false;
  std::vector<std::uint32_t> seen;
  std::vector<std::uint64_t> seen_sums, seen_layers;
  ServiceLosses seen_losses;
};

/// A request that waits for its label. Whoever makes `turn` odd has it to himself until he makes it even again; nobody
/// waits for that.
struct alignas(32) Waiting {
  std::atomic<std::uint32_t> turn{0}, age{0};
  std::atomic<std::uint64_t> request{0};
  std::atomic<std::uint64_t> answer{0}; ///< predicted class, above it the series and a bit for "has its label"
  std::atomic<std::uint32_t> confidence{0};
};
constexpr std::uint64_t labelled_bit = std::uint64_t{1} << 63;
constexpr std::size_t ways = 4; ///< places that a request may have
constexpr std::uint32_t no_confidence = 0xffffffff;

struct Window {
  std::int64_t index = -1;
  ServiceSnapshot snapshot{};
};

struct InstrumentState {
  explicit InstrumentState(const InstrumentOptions& o)
      : options(o), layout(o.stages.size()), series(static_cast<std::size_t>(o.max_series)),
        keys(static_cast<std::size_t>(o.max_series)), ring(static_cast<std::size_t>(o.windows)) {
    std::size_t slots = ways;
    while (slots < static_cast<std::size_t>(o.waiting)) slots *= 2;
    if (o.waiting > 0) waiting = std::vector<Waiting>(slots);
    for (auto& names : name_of) names = {"", "overflow"};
    for (auto& n : names_known) n.store(2, std::memory_order_relaxed);
    whole.dimensions = o.dimensions;
    whole.stages = o.stages;
  }

  const InstrumentOptions options;
  const Layout layout;
  const std::size_t series; ///< without that of the overflow, which has this index

  // Shared by recorders, without locks.
  std::vector<std::atomic<std::uint64_t>>
      keys; ///< of series, in the order in which they came; 0 where there is none yet
  std::vector<Waiting> waiting;
  std::array<std::atomic<std::uint32_t>, service_dimensions> names_known{};
  std::atomic<std::uint32_t> layers_known{0}, collections{0};

  // Under the lock of the readers.
  mutable std::mutex lock;
  std::array<std::vector<std::string>, service_dimensions> name_of;
  std::array<std::map<std::string, NameId, std::less<>>, service_dimensions> ids;
  std::vector<std::string> layers;
  std::deque<Shard> shards;
  std::vector<Window> ring;
  std::int64_t newest = -1;
  double first_time = -1;
  ServiceSnapshot whole;
};

namespace {

/// Only one thread writes, so a plain addition will do; the atomic makes it one piece for the reader.
void bump(Count& count, std::uint32_t by = 1) noexcept {
  count.store(count.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}
void bump(Sum& sum, std::uint64_t by = 1) noexcept {
  sum.store(sum.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

constexpr double million = 1e6, billion = 1e9, longest = 1e6 /* seconds */, dearest = 1e9 /* cost of a request */;

std::uint64_t rounded(double value) noexcept {
  return static_cast<std::uint64_t>(value + 0.5);
}

bool within_one(double value) noexcept {
  return value >= 0 && value <= 1;
}

/// The bin of calibrate's metrics: (k / 15, (k + 1) / 15].
std::size_t confidence_bin(double p) noexcept {
  const auto b = static_cast<std::size_t>(std::ceil(confidence_bins * p));
  return b == 0 ? 0 : b - 1;
}

/// Ends a change of a row: a reader that sees the new number sees the change.
void touch(Count* row) noexcept {
  row[Layout::touched].store(row[Layout::touched].load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

bool known(const InstrumentState& state, std::uint64_t key) noexcept {
  key -= 1;
  for (std::size_t d = service_dimensions; d-- > 0; key >>= id_bits)
    if ((key & id_mask) >= state.names_known[d].load(std::memory_order_acquire)) return false;
  return true;
}

/// The place of a key among those of all recorders, claimed where it is new.
std::uint32_t claimed(InstrumentState& state, std::uint64_t key) noexcept {
  std::uint32_t place = 0;
  for (std::atomic<std::uint64_t>& there : state.keys) {
    std::uint64_t found = there.load(std::memory_order_acquire);
    if (found == 0 && there.compare_exchange_strong(found, key, std::memory_order_acq_rel)) return place;
    if (found == key) return place; // also where another recorder was quicker with the same key
    ++place;
  }
  return place;
}

std::uint32_t place_of(InstrumentState& state, Shard& shard, std::uint64_t key) noexcept {
  const std::size_t mask = shard.keys.size() - 1;
  const std::uint64_t hash = mixed(key);
  std::size_t slot = static_cast<std::size_t>(hash) & mask;
  for (; shard.keys[slot] != 0; slot = (slot + 1) & mask) // at most half of the slots are taken
    if (shard.keys[slot] == key) return shard.places[slot];
  const auto overflow = static_cast<std::uint32_t>(state.series);
  std::uint64_t& refused = shard.refused[static_cast<std::size_t>(hash >> 32) & (Shard::refused_slots - 1)];
  if (refused == key) return overflow;
  if (!known(state, key)) return overflow;
  const std::uint32_t place = claimed(state, key);
  if (place == overflow) {
    refused = key;
  } else {
    shard.keys[slot] = key;
    shard.places[slot] = place;
  }
  return place;
}

/// Takes one of the places of a request; null where others are at them just now.
bool take(Waiting& w, std::uint32_t& turn) noexcept {
  turn = w.turn.load(std::memory_order_relaxed);
  return (turn & 1) == 0 && w.turn.compare_exchange_strong(turn, turn + 1, std::memory_order_acquire);
}
void give_back(Waiting& w, std::uint32_t turn) noexcept {
  w.turn.store(turn + 2, std::memory_order_release);
}

void await_label(InstrumentState& state, Shard& shard, std::uint32_t series, const Event& event,
                 std::uint32_t confidence) noexcept {
  const std::size_t first = static_cast<std::size_t>(mixed(event.request)) & (state.waiting.size() - 1) & ~(ways - 1);
  const std::uint32_t now = state.collections.load(std::memory_order_relaxed);
  // An empty place, or the oldest. What is read here may change until the place is taken; then the request that is
  // displaced is another one, and still counted.
  std::size_t chosen = 0;
  std::uint32_t oldest = 0;
  bool empty = false;
  for (std::size_t w = 0; w < ways && !empty; ++w) {
    const Waiting& place = state.waiting[first + w];
    const std::uint64_t request = place.request.load(std::memory_order_relaxed);
    empty = request == 0 || request == event.request;
    const std::uint32_t age = now - place.age.load(std::memory_order_relaxed);
    if (empty || age > oldest) chosen = w, oldest = age;
  }
  for (std::size_t w = 0; w < ways; ++w) {
    Waiting& place = state.waiting[first + ((chosen + w) & (ways - 1))];
    std::uint32_t turn = 0;
    if (!take(place, turn)) continue;
    const std::uint64_t before = place.request.load(std::memory_order_relaxed);
    if (before != 0 && before != event.request && (place.answer.load(std::memory_order_relaxed) & labelled_bit) == 0)
      bump(shard.losses.requests_displaced);
    place.request.store(event.request, std::memory_order_relaxed);
    place.answer.store(std::uint64_t{series} << 32 | event.predicted, std::memory_order_relaxed);
    place.confidence.store(confidence, std::memory_order_relaxed);
    place.age.store(now, std::memory_order_relaxed);
    give_back(place, turn);
    return;
  }
  bump(shard.losses.requests_displaced); // this one
}

struct Answer {
  std::uint32_t series = 0, predicted = 0, confidence = no_confidence;
  bool labelled = false;
};

/// What waits under a request; with `mark` it has its label from then on.
std::optional<Answer> answer_of(InstrumentState& state, std::uint64_t request, bool mark) noexcept {
  if (request == 0 || state.waiting.empty()) return std::nullopt;
  const std::size_t first = static_cast<std::size_t>(mixed(request)) & (state.waiting.size() - 1) & ~(ways - 1);
  constexpr int tries = 64; // against the rare writer that is at the place just now; it is done in nanoseconds
  for (std::size_t w = 0; w < ways; ++w) {
    Waiting& place = state.waiting[first + w];
    for (int i = 0; i < tries && place.request.load(std::memory_order_relaxed) == request; ++i) {
      std::uint32_t turn = 0;
      if (!take(place, turn)) continue;
      std::optional<Answer> result;
      if (place.request.load(std::memory_order_relaxed) == request) {
        const std::uint64_t answer = place.answer.load(std::memory_order_relaxed);
        result = Answer{.series = static_cast<std::uint32_t>(answer >> 32 & 0x7fffffff),
                        .predicted = static_cast<std::uint32_t>(answer),
                        .confidence = place.confidence.load(std::memory_order_relaxed),
                        .labelled = (answer & labelled_bit) != 0};
        if (mark) place.answer.store(answer | labelled_bit, std::memory_order_relaxed);
      }
      give_back(place, turn);
      if (result) return result;
    }
  }
  return std::nullopt;
}

void count(InstrumentState& state, Shard& shard, std::uint32_t series, const Event& event) noexcept {
  const Layout& layout = state.layout;
  Count* row = shard.counts.data() + layout.counts * series;
  Sum* sums = shard.sums.data() + layout.sums * series;
  bump(row[Layout::events]);
  if (event.error) bump(row[Layout::errors]);
  if (series == state.series) bump(shard.losses.overflow_events);
  const auto latency = [&](double seconds, std::size_t bins, std::size_t sum) {
    if (seconds >= 0 && seconds <= longest) {
      bump(row[bins + latency_bin(seconds)]);
      bump(sums[sum], rounded(seconds * billion));
    } else if (seconds != Event::none) {
      bump(shard.losses.rejected_values);
    }
  };
  latency(event.seconds, Layout::latency, Layout::nanoseconds);
  const std::size_t stages = std::min(event.stage_seconds.size(), layout.stages);
  for (std::size_t s = 0; s < stages; ++s)
    latency(event.stage_seconds[s], Layout::latency + (1 + s) * LatencyBins::bins, Layout::stage_nanoseconds + s);
  if (event.stage_seconds.size() > layout.stages) bump(shard.losses.rejected_values);
  std::uint32_t confidence = no_confidence;
  if (const double p = event.confidence; within_one(p)) {
    bump(row[Layout::confident]);
    bump(row[Layout::confidences + confidence_bin(p)]);
    confidence = static_cast<std::uint32_t>(rounded(p * million));
    bump(sums[Layout::confidence], confidence);
    bump(sums[Layout::variance], rounded(p * (1 - p) * million));
  } else if (p != Event::none) {
    bump(shard.losses.rejected_values);
  }
  if (event.cost >= 0 && event.cost <= dearest) {
    if (event.cost > 0) bump(sums[Layout::cost], rounded(event.cost * billion));
  } else {
    bump(shard.losses.rejected_values);
  }
  touch(row);
  if (event.request != 0 && !state.waiting.empty()) await_label(state, shard, series, event, confidence);
}

/// What a row has gained since it was last seen.
std::optional<SeriesSnapshot> gained(Shard& shard, const Layout& layout, std::size_t series) {
  const Count* row = shard.counts.data() + layout.counts * series;
  const Sum* sums = shard.sums.data() + layout.sums * series;
  std::uint32_t* seen = shard.seen.data() + layout.counts * series;
  std::uint64_t* seen_sums = shard.seen_sums.data() + layout.sums * series;
  const std::uint32_t touched = row[Layout::touched].load(std::memory_order_acquire);
  if (touched == seen[Layout::touched]) return std::nullopt;
  seen[Layout::touched] = touched;
  const auto counted = [&](std::size_t place) {
    const std::uint32_t now = row[place].load(std::memory_order_relaxed), gain = now - seen[place];
    seen[place] = now;
    return static_cast<std::int64_t>(gain);
  };
  const auto summed = [&](std::size_t place) {
    const std::uint64_t now = sums[place].load(std::memory_order_relaxed), gain = now - seen_sums[place];
    seen_sums[place] = now;
    return static_cast<std::int64_t>(gain);
  };
  const auto latency = [&](std::size_t bins, std::size_t sum) {
    LatencyBins result;
    for (std::uint32_t b = 0; b < LatencyBins::bins; ++b)
      if (const std::int64_t n = counted(bins + b); n > 0) result.counts.push_back({b, n});
    const std::int64_t total = summed(sum);
    constexpr std::int64_t second = 1'000'000'000;
    result.seconds = total / second;
    result.nanoseconds = total % second;
    return result;
  };
  SeriesSnapshot s;
  s.events = counted(Layout::events);
  s.errors = counted(Layout::errors);
  s.feedbacks = counted(Layout::feedbacks);
  s.confident = counted(Layout::confident);
  for (std::size_t b = 0; b < confidence_bins; ++b) {
    s.confidences[b] = counted(Layout::confidences + b);
    s.labelled[b] = counted(Layout::labelled + b);
    s.labelled_right[b] = counted(Layout::labelled_right + b);
    s.labelled_confidence[b] = summed(Layout::labelled_confidence + b);
  }
  s.latency = latency(Layout::latency, Layout::nanoseconds);
  for (std::size_t k = 0; k < layout.stages; ++k)
    s.stages.push_back(latency(Layout::latency + (1 + k) * LatencyBins::bins, Layout::stage_nanoseconds + k));
  s.confidence = summed(Layout::confidence);
  s.confidence_variance = summed(Layout::variance);
  s.satisfaction = summed(Layout::satisfaction);
  s.cost = summed(Layout::cost);
  return s;
}

std::array<std::string, service_dimensions> labels_of(const InstrumentState& state, std::size_t series) {
  std::array<std::string, service_dimensions> labels;
  if (series == state.series) {
    labels.fill("overflow");
    return labels;
  }
  std::uint64_t key = state.keys[series].load(std::memory_order_acquire) - 1;
  for (std::size_t d = service_dimensions; d-- > 0; key >>= id_bits)
    labels[d] = state.name_of[d][static_cast<std::size_t>(key & id_mask)];
  return labels;
}

ServiceLosses gained_losses(Shard& shard) {
  const auto gain = [](const Sum& sum, std::int64_t& seen) {
    const auto now = static_cast<std::int64_t>(sum.load(std::memory_order_relaxed));
    return now - std::exchange(seen, now);
  };
  ServiceLosses& seen = shard.seen_losses;
  return {.overflow_events = gain(shard.losses.overflow_events, seen.overflow_events),
          .rejected_values = gain(shard.losses.rejected_values, seen.rejected_values),
          .labels_unmatched = gain(shard.losses.labels_unmatched, seen.labels_unmatched),
          .labels_repeated = gain(shard.losses.labels_repeated, seen.labels_repeated),
          .requests_displaced = gain(shard.losses.requests_displaced, seen.requests_displaced),
          .layers_unknown = gain(shard.losses.layers_unknown, seen.layers_unknown)};
}

} // namespace

} // namespace detail

using detail::InstrumentState;
using detail::Layout;
using detail::Shard;

namespace {

constexpr double latest = 1e15; // seconds: indices of windows stay whole numbers

bool is_name(const std::string& text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && letter(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

Status check_name(std::string_view name, const char* subject) {
  constexpr std::size_t longest_name = 256;
  if (name.empty() || name.size() > longest_name || !detail::is_utf8(name))
    return Error(ErrorCode::invalid_argument, subject,
                 fmt::format("a name of {} bytes is empty, longer than 256 bytes or no UTF-8", name.size()),
                 "pass a short text");
  return {};
}

Status check(const InstrumentOptions& options) {
  const auto within = [](const char* name, std::int64_t value, std::int64_t least, std::int64_t most) -> Status {
    if (value < least || value > most)
      return Error(ErrorCode::invalid_argument, name, fmt::format("{} is not within {} and {}", value, least, most),
                   "pass a number within");
    return {};
  };
  MCOMP_CHECK(within("max_names", options.max_names, 1, 1022));
  MCOMP_CHECK(within("max_series", options.max_series, 1, 65000));
  MCOMP_CHECK(within("max_recorders", options.max_recorders, 1, 1024));
  MCOMP_CHECK(within("max_layers", options.max_layers, 0, 4096));
  MCOMP_CHECK(within("waiting", options.waiting, 0, std::int64_t{1} << 24));
  MCOMP_CHECK(within("windows", options.windows, 1, 100'000));
  MCOMP_CHECK(within("stages", static_cast<std::int64_t>(options.stages.size()), 0, 8));
  if (!(options.window_seconds >= 1e-3 && options.window_seconds <= latest))
    return Error(ErrorCode::invalid_argument, "window_seconds", fmt::format("{}", options.window_seconds),
                 "pass at least a millisecond");
  std::set<std::string> once;
  for (const std::string& name : options.dimensions) {
    if (!is_name(name) || name == "le" || name == "quantile" || name == "stage" || name.starts_with("__"))
      return Error(ErrorCode::invalid_argument, "dimensions", fmt::format("'{}' is no name of a label", name),
                   "pass letters, digits and underscores; le, quantile and stage are taken");
    if (!once.insert(name).second)
      return Error(ErrorCode::invalid_argument, "dimensions", fmt::format("'{}' comes twice", name), "rename one");
  }
  once.clear();
  for (const std::string& name : options.stages) {
    MCOMP_CHECK(check_name(name, "stages"));
    if (!once.insert(name).second)
      return Error(ErrorCode::invalid_argument, "stages", fmt::format("'{}' comes twice", name), "rename one");
  }
  return {};
}

Status check_time(double now) {
  if (now >= 0 && now <= latest) return {};
  return Error(ErrorCode::invalid_value, "now", fmt::format("{} is not within [0, 10^15]", now),
               "pass the time of a clock");
}

} // namespace

// Recorder.

Recorder::Recorder(std::shared_ptr<InstrumentState> state, Shard* shard) noexcept
    : state_(std::move(state)), shard_(shard) {}
Recorder::Recorder(Recorder&& other) noexcept
    : state_(std::move(other.state_)), shard_(std::exchange(other.shard_, nullptr)) {}
Recorder& Recorder::operator=(Recorder&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
    shard_ = std::exchange(other.shard_, nullptr);
  }
  return *this;
}
Recorder::~Recorder() {
  release();
}
void Recorder::release() noexcept {
  if (shard_ == nullptr) return;
  const std::lock_guard guard(state_->lock);
  shard_->in_use = false;
  shard_ = nullptr;
}

SeriesHandle Recorder::series(const SeriesKey& key) noexcept {
  if (shard_ == nullptr) return {};
  return {detail::place_of(*state_, *shard_, detail::packed(key))};
}

void Recorder::record(const SeriesKey& key, const Event& event) noexcept {
  if (shard_ == nullptr) return;
  detail::count(*state_, *shard_, detail::place_of(*state_, *shard_, detail::packed(key)), event);
}

void Recorder::record(SeriesHandle series, const Event& event) noexcept {
  if (shard_ == nullptr) return;
  detail::count(*state_, *shard_, std::min(series.index, static_cast<std::uint32_t>(state_->series)), event);
}

void Recorder::label(std::uint64_t request, std::uint32_t label) noexcept {
  if (shard_ == nullptr) return;
  const auto answer = detail::answer_of(*state_, request, true);
  if (!answer || answer->confidence == detail::no_confidence) {
    detail::bump(shard_->losses.labels_unmatched);
    return;
  }
  if (answer->labelled) {
    detail::bump(shard_->losses.labels_repeated);
    return;
  }
  detail::Count* row = shard_->counts.data() + state_->layout.counts * answer->series;
  detail::Sum* sums = shard_->sums.data() + state_->layout.sums * answer->series;
  const std::size_t bin = detail::confidence_bin(1e-6 * answer->confidence);
  detail::bump(row[Layout::labelled + bin]);
  if (answer->predicted == label) detail::bump(row[Layout::labelled_right + bin]);
  detail::bump(sums[Layout::labelled_confidence + bin], answer->confidence);
  detail::touch(row);
}

void Recorder::feedback(std::uint64_t request, double satisfaction) noexcept {
  if (shard_ == nullptr) return;
  if (const auto answer = detail::answer_of(*state_, request, false))
    feedback(SeriesHandle{answer->series}, satisfaction);
  else
    detail::bump(shard_->losses.labels_unmatched);
}

void Recorder::feedback(SeriesHandle series, double satisfaction) noexcept {
  if (shard_ == nullptr) return;
  if (!detail::within_one(satisfaction)) {
    detail::bump(shard_->losses.rejected_values);
    return;
  }
  const std::size_t place = std::min<std::size_t>(series.index, state_->series);
  detail::Count* row = shard_->counts.data() + state_->layout.counts * place;
  detail::bump(row[Layout::feedbacks]);
  detail::bump(shard_->sums[state_->layout.sums * place + Layout::satisfaction],
               detail::rounded(satisfaction * detail::million));
  detail::touch(row);
}

void Recorder::activations(std::uint32_t layer, std::int64_t values, std::int64_t overflows) noexcept {
  if (shard_ == nullptr) return;
  if (layer >= state_->layers_known.load(std::memory_order_acquire)) {
    detail::bump(shard_->losses.layers_unknown);
    return;
  }
  constexpr std::int64_t most = std::int64_t{1} << 40;
  if (overflows < 0 || values < overflows || values > most) {
    detail::bump(shard_->losses.rejected_values);
    return;
  }
  detail::bump(shard_->layer_counts[2 * layer], static_cast<std::uint64_t>(values));
  detail::bump(shard_->layer_counts[2 * layer + 1], static_cast<std::uint64_t>(overflows));
}

// Instruments.

Instruments::Instruments(std::shared_ptr<InstrumentState> state) noexcept : state_(std::move(state)) {}
Instruments::Instruments(Instruments&&) noexcept = default;
Instruments& Instruments::operator=(Instruments&&) noexcept = default;
Instruments::~Instruments() = default;

Result<Instruments> Instruments::create(const InstrumentOptions& options) {
  MCOMP_CHECK(check(options));
  return Instruments(std::make_shared<InstrumentState>(options));
}

const InstrumentOptions& Instruments::options() const noexcept {
  return state_->options;
}

Result<NameId> Instruments::name(Dimension dimension, std::string_view name) {
  MCOMP_CHECK(check_name(name, "name"));
  const auto d = static_cast<std::size_t>(dimension);
  if (d >= service_dimensions)
    return Error(ErrorCode::invalid_argument, "dimension", "it is none of the six", "pass one of Dimension");
  const std::lock_guard guard(state_->lock);
  if (name == "overflow") return detail::overflow_name;
  auto& ids = state_->ids[d];
  if (const auto found = ids.find(name); found != ids.end()) return found->second;
  auto& names = state_->name_of[d];
  if (static_cast<std::int64_t>(ids.size()) >= state_->options.max_names) return detail::overflow_name;
  const auto id = static_cast<NameId>(names.size());
  names.emplace_back(name);
  ids.emplace(name, id);
  state_->names_known[d].store(static_cast<std::uint32_t>(names.size()), std::memory_order_release);
  return id;
}

Result<std::uint32_t> Instruments::layer(std::string_view name) {
  MCOMP_CHECK(check_name(name, "layer"));
  const std::lock_guard guard(state_->lock);
  auto& layers = state_->layers;
  const auto found = std::find(layers.begin(), layers.end(), name);
  const auto number = static_cast<std::uint32_t>(found - layers.begin());
  if (found == layers.end() && static_cast<std::int64_t>(layers.size()) < state_->options.max_layers) {
    layers.emplace_back(name);
    state_->layers_known.store(number + 1, std::memory_order_release);
  }
  return number;
}

Result<Recorder> Instruments::recorder() {
  const std::lock_guard guard(state_->lock);
  for (Shard& shard : state_->shards)
    if (!shard.in_use) {
      shard.in_use = true;
      return Recorder(state_, &shard);
    }
  if (static_cast<std::int64_t>(state_->shards.size()) >= state_->options.max_recorders)
    return Error(ErrorCode::invalid_argument, "recorders",
                 fmt::format("{} are in use, as many as max_recorders allows", state_->shards.size()),
                 "keep one for each thread, end those that are not used, or raise max_recorders");
  Shard& shard = state_->shards.emplace_back(state_->layout, state_->series + 1,
                                             static_cast<std::size_t>(state_->options.max_layers));
  shard.in_use = true;
  return Recorder(state_, &shard);
}

Status Instruments::collect(double now) {
  MCOMP_CHECK(check_time(now));
  const std::lock_guard guard(state_->lock);
  InstrumentState& state = *state_;
  ServiceSnapshot gain;
  gain.dimensions = state.options.dimensions;
  gain.stages = state.options.stages;
  for (std::size_t s = 0; s <= state.series; ++s) {
    std::optional<SeriesSnapshot> row;
    for (Shard& shard : state.shards)
      if (std::optional<SeriesSnapshot> part = detail::gained(shard, state.layout, s)) {
        if (row)
          row->merge(*part);
        else
          row = std::move(part);
      }
    if (!row) continue;
    row->labels = detail::labels_of(state, s);
    gain.series.push_back(std::move(*row));
  }
  // Two rows may bear the same labels, as the names of all six dimensions may be "overflow".
  std::sort(gain.series.begin(), gain.series.end(),
            [](const SeriesSnapshot& a, const SeriesSnapshot& b) { return a.labels < b.labels; });
  for (std::size_t s = 1; s < gain.series.size();)
    if (gain.series[s].labels == gain.series[s - 1].labels) {
      gain.series[s - 1].merge(gain.series[s]);
      gain.series.erase(gain.series.begin() + static_cast<std::ptrdiff_t>(s));
    } else {
      ++s;
    }
  for (std::size_t l = 0; l < state.layers.size(); ++l) {
    LayerSnapshot layer{.layer = state.layers[l]};
    for (Shard& shard : state.shards) {
      const auto take = [&](std::size_t place) {
        const std::uint64_t value = shard.layer_counts[place].load(std::memory_order_relaxed);
        return static_cast<std::int64_t>(value - std::exchange(shard.seen_layers[place], value));
      };
      layer.values += take(2 * l);
      layer.overflows += take(2 * l + 1);
    }
    if (layer.values > 0) gain.layers.push_back(std::move(layer));
  }
  std::sort(gain.layers.begin(), gain.layers.end(),
            [](const LayerSnapshot& a, const LayerSnapshot& b) { return a.layer < b.layer; });
  for (Shard& shard : state.shards) {
    ServiceSnapshot only;
    only.dimensions = gain.dimensions;
    only.stages = gain.stages;
    only.losses = detail::gained_losses(shard);
    MCOMP_CHECK(gain.merge(only));
  }
  gain.process = detail::process_usage();
  if (gain.process) gain.process->seconds = now;

  if (state.first_time < 0) state.first_time = now;
  state.whole.begin = std::min(state.first_time, now);
  state.whole.end = std::max(state.whole.end, now);
  MCOMP_CHECK(state.whole.merge(gain));
  const double width = state.options.window_seconds;
  const std::int64_t index = std::max(state.newest, static_cast<std::int64_t>(now / width));
  state.newest = index;
  detail::Window& window = state.ring[static_cast<std::size_t>(index % state.options.windows)];
  if (window.index != index) {
    window.index = index;
    window.snapshot = ServiceSnapshot{};
    window.snapshot.dimensions = gain.dimensions;
    window.snapshot.stages = gain.stages;
    window.snapshot.begin = static_cast<double>(index) * width;
    window.snapshot.end = static_cast<double>(index + 1) * width;
  }
  MCOMP_CHECK(window.snapshot.merge(gain));
  state.collections.fetch_add(1, std::memory_order_relaxed);
  return {};
}

Result<ServiceSnapshot> Instruments::last(double now, double seconds) const {
  MCOMP_CHECK(check_time(now));
  const InstrumentState& state = *state_;
  const double width = state.options.window_seconds, kept = width * static_cast<double>(state.options.windows);
  if (!(seconds > 0 && seconds <= kept))
    return Error(ErrorCode::invalid_argument, "seconds", fmt::format("{} of {} that are kept", seconds, kept),
                 "ask for less, or keep more windows");
  const auto last = static_cast<std::int64_t>(now / width);
  const double begin = std::floor((now - seconds) / width);
  const std::int64_t first = begin < 0 ? 0 : static_cast<std::int64_t>(begin);
  ServiceSnapshot result;
  result.dimensions = state.options.dimensions;
  result.stages = state.options.stages;
  const std::lock_guard guard(state.lock);
  for (const detail::Window& window : state.ring)
    if (window.index >= first && window.index <= last) {
      MCOMP_CHECK(result.merge(window.snapshot));
    }
  return result;
}

ServiceSnapshot Instruments::since_start() const {
  const std::lock_guard guard(state_->lock);
  return state_->whole;
}

std::int64_t Instruments::fixed_bytes() const {
  const std::lock_guard guard(state_->lock);
  auto bytes = static_cast<std::int64_t>(state_->waiting.size() * sizeof(detail::Waiting) +
                                         state_->keys.size() * sizeof(std::uint64_t));
  for (const Shard& shard : state_->shards) bytes += shard.bytes();
  return bytes;
}

// Options.

namespace {
constexpr const char* options_schema = "mcomp-instrument-options-1";
}

std::string to_json(const InstrumentOptions& o) {
  return mcomp::detail::dumped({{"schema", options_schema},
                                {"dimensions", o.dimensions},
                                {"stages", o.stages},
                                {"max_names", o.max_names},
                                {"max_series", o.max_series},
                                {"max_recorders", o.max_recorders},
                                {"max_layers", o.max_layers},
                                {"waiting", o.waiting},
                                {"window_seconds", o.window_seconds},
                                {"windows", o.windows}});
}

Result<InstrumentOptions> InstrumentOptions::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  mcomp::detail::ObjectReader object(json, subject);
  MCOMP_CHECK(mcomp::detail::check_schema(object, subject, options_schema));
  InstrumentOptions o;
  if (object.has("dimensions")) {
    const std::vector<std::string> names = object.texts("dimensions");
    if (names.size() != o.dimensions.size())
      object.fail("dimensions", "there are not six", "give a name for each");
    else
      std::copy(names.begin(), names.end(), o.dimensions.begin());
  }
  if (object.has("stages")) o.stages = object.texts("stages");
  o.max_names = object.integer("max_names", o.max_names);
  o.max_series = object.integer("max_series", o.max_series);
  o.max_recorders = object.integer("max_recorders", o.max_recorders);
  o.max_layers = object.integer("max_layers", o.max_layers);
  o.waiting = object.integer("waiting", o.waiting);
  o.window_seconds = object.number("window_seconds", o.window_seconds);
  o.windows = object.integer("windows", o.windows);
  MCOMP_CHECK(object.finish());
  if (const Status status = check(o); !status)
    return Error(ErrorCode::corrupt, subject + ": " + status.error().subject(), status.error().rule(),
                 status.error().remedy());
  return o;
}

} // namespace mcomp::inline v0::monitor
