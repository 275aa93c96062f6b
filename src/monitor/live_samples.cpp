#include "mcomp/monitor/live_samples.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

#include "core/json_schema.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::monitor {

namespace {

constexpr double latest = 1e15; // seconds: periods stay whole numbers

std::uint64_t mixed(std::uint64_t x) noexcept { // the finalizer of SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// The rank of a request: eight bytes at a time, and the length.
std::uint64_t hash_of(std::string_view text, std::uint64_t seed) noexcept {
  constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;
  std::uint64_t h = mixed(seed + golden * (text.size() + 1));
  for (std::size_t i = 0; i < text.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t chunk = 0; // little-endian on every machine
    for (std::size_t k = std::min(text.size() - i, sizeof chunk); k-- > 0;)
      chunk = chunk << 8 | static_cast<unsigned char>(text[i + k]);
    h = mixed(h ^ (chunk + golden));
  }
  return h;
}

struct Sample {
  std::string user;
  double time = 0;
  Tensor input;
};
/// By hash, then by request: the first `k` stay.
using Reservoir = std::map<std::pair<std::uint64_t, std::string>, Sample>;

struct Place {
  bool edge_case = false;
  std::string name;
  std::int64_t period = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

Error bad(const char* name, const std::string& rule, const char* remedy) {
  return Error(ErrorCode::invalid_argument, name, rule, remedy);
}

Result<std::int64_t> check(const LiveSampleOptions& options) {
  const auto within = [](const char* name, std::int64_t value, std::int64_t least, std::int64_t most) -> Status {
    if (value < least || value > most)
      return bad(name, fmt::format("{} is not within {} and {}", value, least, most), "pass a number within");
    return {};
  };
  constexpr std::int64_t million = 1'000'000, largest = std::int64_t{1} << 40;
  MCOMP_CHECK(within("per_slice", options.per_slice, 1, million));
  MCOMP_CHECK(within("per_edge_case", options.per_edge_case, 1, million));
  MCOMP_CHECK(within("max_slices", options.max_slices, 1, 10'000));
  MCOMP_CHECK(within("periods", options.periods, 1, 1000));
  MCOMP_CHECK(within("max_bytes", options.max_bytes, 1, largest));
  if (!(options.retention_seconds >= 1 && options.retention_seconds <= latest))
    return bad("retention_seconds", fmt::format("{} is not at least a second", options.retention_seconds),
               "pass for example a week");
  if (options.seed >> 63 != 0) return bad("seed", fmt::format("{} is beyond 2^63", options.seed), "pass a smaller one");
  std::set<std::string> once;
  for (const std::string& name : options.edge_cases)
    if (name.empty() || !once.insert(name).second)
      return bad("edge_cases", fmt::format("the name '{}' is empty or comes twice", name), "give each its own name");
  MCOMP_TRY(bytes, byte_size(options.dtype, options.shape, "shape"));
  if (bytes < 1 || bytes > options.max_bytes)
    return bad("max_bytes", fmt::format("an input has {} bytes, there is room for {}", bytes, options.max_bytes),
               "raise max_bytes");
  return bytes;
}

/// Overwrites what is about to be freed; volatile, so that it is done.
void wipe(Tensor& tensor) {
  volatile auto* bytes = static_cast<unsigned char*>(tensor.data());
  for (std::int64_t i = 0; i < tensor.bytes(); ++i) bytes[i] = 0;
}

} // namespace

struct LiveSamples::State {
  State(LiveSampleOptions o, Redaction r, std::int64_t bytes)
      : options(std::move(o)), redaction(std::move(r)), input_bytes(bytes),
        period_seconds(options.retention_seconds / options.periods) {}

  const LiveSampleOptions options;
  const Redaction redaction;
  const std::int64_t input_bytes;
  const double period_seconds;

  mutable std::mutex lock;
  std::map<Place, Reservoir> held;
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> traffic; ///< requests with consent, by slice and period
  std::set<std::string, std::less<>> slices;
  std::int64_t newest_period = -1;
  LiveSampleCounts counts;

  [[nodiscard]] std::int64_t room(const Place& place) const {
    return place.edge_case ? options.per_edge_case : options.per_slice;
  }
  /// Whether a request would be among the first of its place.
  [[nodiscard]] bool drawn(const Place& place, const Reservoir::key_type& key) const {
    const auto found = held.find(place);
    if (found == held.end()) return true;
    const Reservoir& there = found->second;
    if (there.contains(key)) return false; // the same request again
    return static_cast<std::int64_t>(there.size()) < room(place) || key < there.rbegin()->first;
  }
  void remove(Reservoir& from, Reservoir::iterator sample) {
    --counts.held;
    counts.bytes -= input_bytes;
    from.erase(sample);
  }
  /// Puts a sample that is drawn in its place; false where there was no room in bytes for it.
  bool put(const Place& place, const Reservoir::key_type& key, Sample sample) {
    Reservoir& there = held[place];
    there.emplace(key, std::move(sample));
    ++counts.held;
    counts.bytes += input_bytes;
    if (static_cast<std::int64_t>(there.size()) > room(place)) {
      remove(there, std::prev(there.end()));
      ++counts.displaced;
    }
    while (counts.bytes > options.max_bytes) {
      Reservoir* largest = nullptr;
      for (auto& [name, reservoir] : held)
        if (!reservoir.empty() && (largest == nullptr || largest->rbegin()->first < reservoir.rbegin()->first))
          largest = &reservoir;
      remove(*largest, std::prev(largest->end()));
      ++counts.evicted_by_size;
    }
    return there.contains(key);
  }
  std::int64_t remove_if(const auto& wanted, bool wiped) {
    std::int64_t removed = 0;
    for (auto place = held.begin(); place != held.end();) {
      Reservoir& reservoir = place->second;
      for (auto sample = reservoir.begin(); sample != reservoir.end();) {
        const auto next = std::next(sample);
        if (wanted(*sample)) {
          if (wiped) wipe(sample->second.input);
          remove(reservoir, sample);
          ++removed;
        }
        sample = next;
      }
      place = reservoir.empty() ? held.erase(place) : std::next(place);
    }
    return removed;
  }
  std::int64_t expire(double now) {
    const double oldest = now - options.retention_seconds;
    const auto old = [oldest](const auto& sample) { return sample.second.time < oldest; };
    const std::int64_t removed = remove_if(old, true);
    std::erase_if(
        traffic, [&](const auto& row) { return static_cast<double>(row.first.second + 1) * period_seconds <= oldest; });
    counts.expired += removed;
    return removed;
  }
  std::string slice_of(std::string_view slice) {
    if (slices.contains(slice)) return std::string(slice);
    if (static_cast<std::int64_t>(slices.size()) >= options.max_slices) return "overflow";
    return *slices.emplace(slice).first;
  }
};

LiveSamples::LiveSamples(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
LiveSamples::LiveSamples(LiveSamples&&) noexcept = default;
LiveSamples& LiveSamples::operator=(LiveSamples&&) noexcept = default;
LiveSamples::~LiveSamples() = default;

Result<LiveSamples> LiveSamples::create(const LiveSampleOptions& options, Redaction redaction) {
  MCOMP_TRY(bytes, check(options));
  return LiveSamples(std::make_unique<State>(options, std::move(redaction), bytes));
}

const LiveSampleOptions& LiveSamples::options() const noexcept {
  return state_->options;
}

Result<SampleFate> LiveSamples::offer(const SampleOffer& offer, double now) {
  State& state = *state_;
  if (offer.request.empty()) return bad("request", "its id is empty", "pass the id by which it can be deleted");
  if (!(now >= 0 && now <= latest))
    return Error(ErrorCode::invalid_value, "now", fmt::format("{} is not within [0, 10^15]", now),
                 "pass the time of a clock");
  const auto& names = state.options.edge_cases;
  if (!offer.edge_case.empty() && std::find(names.begin(), names.end(), offer.edge_case) == names.end())
    return Error(ErrorCode::not_found, fmt::format("edge case '{}'", offer.edge_case), "the options do not name it",
                 "name it when the samples are created");
  if (offer.input.dtype() != state.options.dtype)
    return Error(ErrorCode::invalid_dtype, "input", fmt::format("{}, not {}", offer.input.dtype(), state.options.dtype),
                 "offer inputs of one kind");
  if (offer.input.shape() != state.options.shape)
    return Error(ErrorCode::invalid_shape, "input", fmt::format("{}, not {}", offer.input.shape(), state.options.shape),
                 "offer inputs of one shape");
  const auto key = std::pair(hash_of(offer.request, state.options.seed), std::string(offer.request));
  Place place{.edge_case = !offer.edge_case.empty(),
              .name = std::string(offer.edge_case),
              .period = static_cast<std::int64_t>(now / state.period_seconds)};
  {
    const std::lock_guard guard(state.lock);
    ++state.counts.offered;
    if (!offer.consent) {
      ++state.counts.without_consent;
      return SampleFate::without_consent;
    }
    if (place.period > state.newest_period) {
      state.newest_period = place.period;
      state.expire(now);
    }
    const std::string slice = state.slice_of(offer.slice);
    if (!place.edge_case) place.name = slice;
    ++state.traffic[{slice, place.period}];
    if (!state.drawn(place, key)) {
      ++state.counts.passed_over;
      return SampleFate::passed_over;
    }
  }
  // The caller's function runs without the lock, so that it may take its time or ask for counts.
  Result<Tensor> input = [&]() -> Result<Tensor> {
    if (!state.redaction) return Tensor::copy_of(offer.input);
    try {
      return state.redaction(offer.input, offer.request);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& thrown) {
      return bad("redaction", thrown.what(), "let it return an Error");
    }
  }();
  const std::lock_guard guard(state.lock);
  if (!input || input->dtype() != state.options.dtype || input->shape() != state.options.shape) {
    ++state.counts.redaction_failed;
    return SampleFate::redaction_failed;
  }
  if (!state.drawn(place, key) ||
      !state.put(place, key, {.user = std::string(offer.user), .time = now, .input = std::move(*input)})) {
    ++state.counts.passed_over;
    return SampleFate::passed_over;
  }
  ++state.counts.kept;
  return SampleFate::kept;
}

Status LiveSamples::merge(const LiveSamples& other) {
  if (&other == this) return bad("other", "it is this one itself", "merge another one");
  if (!(other.state_->options == state_->options))
    return bad("other", "its options are other ones", "create all shards with the same, the seed among them");
  State& state = *state_;
  const State& from = *other.state_;
  const std::scoped_lock guard(state.lock, from.lock);
  state.newest_period = std::max(state.newest_period, from.newest_period);
  for (const std::string& slice : from.slices) static_cast<void>(state.slice_of(slice));
  for (const auto& [row, count] : from.traffic) state.traffic[{state.slice_of(row.first), row.second}] += count;
  LiveSampleCounts& counts = state.counts;
  for (const auto& [place, reservoir] : from.held) {
    Place here = place;
    if (!here.edge_case) here.name = state.slice_of(place.name);
    for (const auto& [key, sample] : reservoir) {
      if (state.drawn(here, key))
        static_cast<void>(state.put(here, key, sample));
      else if (!state.held[here].contains(key))
        ++counts.displaced;
    }
  }
  counts.offered += from.counts.offered;
  counts.kept += from.counts.kept;
  counts.passed_over += from.counts.passed_over;
  counts.without_consent += from.counts.without_consent;
  counts.redaction_failed += from.counts.redaction_failed;
  counts.displaced += from.counts.displaced;
  counts.expired += from.counts.expired;
  counts.evicted_by_size += from.counts.evicted_by_size;
  counts.forgotten += from.counts.forgotten;
  return {};
}

namespace {

struct Chosen {
  const Reservoir::key_type* key = nullptr;
  const Sample* sample = nullptr;
};
using Queues = std::map<std::string, std::vector<Chosen>>; ///< of each name, by hash

/// Takes from each queue by turns until there are `count` or all are empty; `taken` holds how many of each.
void by_turns(const Queues& queues, std::map<std::string, std::size_t>& taken, std::int64_t count) {
  for (bool any = true; any && count > 0;) {
    any = false;
    for (const auto& [name, queue] : queues) {
      if (count == 0) break;
      std::size_t& n = taken[name];
      if (n == queue.size()) continue;
      ++n;
      --count;
      any = true;
    }
  }
}

} // namespace

Result<CalibrationSet> LiveSamples::calibration_set(const CalibrationSetOptions& options, double now) const {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  if (options.count < 1 || options.count > most)
    return bad("count", fmt::format("{}", options.count), "pass how many samples are wanted");
  if (!(options.edge_share >= 0 && options.edge_share <= 1))
    return bad("edge_share", fmt::format("{} is not within [0, 1]", options.edge_share), "pass for example 0.1");
  const State& state = *state_;
  const std::lock_guard guard(state.lock);
  Queues slices, edges;
  for (const auto& [place, reservoir] : state.held)
    for (const auto& [key, sample] : reservoir)
      if (sample.time >= now - state.options.retention_seconds)
        (place.edge_case ? edges : slices)[place.name].push_back({&key, &sample});
  for (Queues* queues : {&slices, &edges})
    for (auto& [name, queue] : *queues)
      std::sort(queue.begin(), queue.end(), [](const Chosen& a, const Chosen& b) { return *a.key < *b.key; });

  std::map<std::string, std::size_t> of_slices, of_edges;
  by_turns(edges, of_edges, std::llround(options.edge_share * static_cast<double>(options.count)));
  std::int64_t left = options.count;
  for (const auto& [name, n] : of_edges) left -= static_cast<std::int64_t>(n);
  if (options.by_traffic) {
    // Whole parts of the shares first, then one more to the largest remainders; what is short goes by turns.
    std::map<std::string, double> share;
    double all = 0;
    for (const auto& [row, count] : state.traffic)
      if (slices.contains(row.first)) {
        share[row.first] += static_cast<double>(count);
        all += static_cast<double>(count);
      }
    std::vector<std::pair<double, std::string>> remainders;
    std::int64_t given = 0;
    for (const auto& [name, count] : share) {
      const double wanted = static_cast<double>(left) * count / all, whole = std::floor(wanted);
      of_slices[name] = std::min(static_cast<std::size_t>(whole), slices[name].size());
      given += static_cast<std::int64_t>(of_slices[name]);
      remainders.emplace_back(whole - wanted, name);
    }
    std::sort(remainders.begin(), remainders.end());
    for (const auto& [remainder, name] : remainders)
      if (given < left && remainder < 0 && of_slices[name] < slices[name].size()) ++of_slices[name], ++given;
    left -= given;
  }
  by_turns(slices, of_slices, left);

  CalibrationSet set;
  std::vector<const Sample*> chosen;
  const auto take = [&](const Queues& queues, const std::map<std::string, std::size_t>& taken, const char* prefix) {
    for (const auto& [name, n] : taken)
      for (std::size_t i = 0; i < n; ++i) {
        const Chosen& one = queues.at(name)[i];
        chosen.push_back(one.sample);
        set.requests.push_back(one.key->second);
        set.slices.push_back(prefix + name);
      }
  };
  take(slices, of_slices, "");
  const std::size_t ordinary = chosen.size();
  take(edges, of_edges, "edge_case=");
  set.edge_cases = static_cast<std::int64_t>(chosen.size() - ordinary);
  if (chosen.empty())
    return Error(ErrorCode::insufficient_data, "samples", "none are held", "offer inputs, with consent, first");
  std::vector<std::int64_t> sizes{static_cast<std::int64_t>(chosen.size())};
  for (const std::int64_t size : state.options.shape.sizes()) sizes.push_back(size);
  MCOMP_TRY(inputs, Tensor::uninitialized(state.options.dtype, Shape(std::move(sizes))));
  for (std::size_t i = 0; i < chosen.size(); ++i)
    std::memcpy(static_cast<char*>(inputs.data()) + static_cast<std::int64_t>(i) * state.input_bytes,
                chosen[i]->input.data(), static_cast<std::size_t>(state.input_bytes));
  set.inputs = std::move(inputs);
  return set;
}

std::int64_t LiveSamples::expire(double now) {
  const std::lock_guard guard(state_->lock);
  return state_->expire(now);
}

std::int64_t LiveSamples::forget_request(std::string_view request) {
  const std::lock_guard guard(state_->lock);
  const std::int64_t n = state_->remove_if([&](const auto& s) { return s.first.second == request; }, true);
  state_->counts.forgotten += n;
  return n;
}

std::int64_t LiveSamples::forget_user(std::string_view user) {
  const std::lock_guard guard(state_->lock);
  const std::int64_t n = state_->remove_if([&](const auto& s) { return s.second.user == user; }, true);
  state_->counts.forgotten += n;
  return n;
}

LiveSampleCounts LiveSamples::counts() const {
  const std::lock_guard guard(state_->lock);
  return state_->counts;
}

// JSON.

namespace {
constexpr const char* options_schema = "mcomp-live-sample-options-1";
}

std::string to_json(const LiveSampleOptions& o) {
  return mcomp::detail::dumped({{"schema", options_schema},
                                {"dtype", to_string(o.dtype)},
                                {"shape", std::vector<std::int64_t>(o.shape.sizes().begin(), o.shape.sizes().end())},
                                {"edge_cases", o.edge_cases},
                                {"per_slice", o.per_slice},
                                {"per_edge_case", o.per_edge_case},
                                {"max_slices", o.max_slices},
                                {"max_bytes", o.max_bytes},
                                {"retention_seconds", o.retention_seconds},
                                {"periods", o.periods},
                                {"seed", o.seed}});
}

Result<LiveSampleOptions> LiveSampleOptions::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  mcomp::detail::ObjectReader object(json, subject);
  MCOMP_CHECK(mcomp::detail::check_schema(object, subject, options_schema));
  LiveSampleOptions o;
  if (const auto dtype = dtype_from_string(object.text("dtype")))
    o.dtype = *dtype;
  else
    object.fail("dtype", dtype.error().rule(), "name one that there is");
  o.shape = Shape(object.integers("shape"));
  if (object.has("edge_cases")) o.edge_cases = object.texts("edge_cases");
  o.per_slice = object.integer("per_slice", o.per_slice);
  o.per_edge_case = object.integer("per_edge_case", o.per_edge_case);
  o.max_slices = object.integer("max_slices", o.max_slices);
  o.max_bytes = object.integer("max_bytes", o.max_bytes);
  o.retention_seconds = object.number("retention_seconds", o.retention_seconds);
  o.periods = static_cast<int>(std::clamp(object.integer("periods", o.periods), std::int64_t{0}, std::int64_t{1001}));
  const std::int64_t seed = object.integer("seed", static_cast<std::int64_t>(o.seed));
  if (seed < 0) object.fail("seed", "it is negative", "give 0 or more");
  o.seed = static_cast<std::uint64_t>(seed);
  MCOMP_CHECK(object.finish());
  if (const auto checked = check(o); !checked)
    return Error(ErrorCode::corrupt, subject + ": " + checked.error().subject(), checked.error().rule(),
                 checked.error().remedy());
  return o;
}

std::string to_json(const LiveSampleCounts& c) {
  return mcomp::detail::dumped({{"schema", "mcomp-live-sample-counts-1"},
                                {"offered", c.offered},
                                {"kept", c.kept},
                                {"passed_over", c.passed_over},
                                {"without_consent", c.without_consent},
                                {"redaction_failed", c.redaction_failed},
                                {"displaced", c.displaced},
                                {"expired", c.expired},
                                {"evicted_by_size", c.evicted_by_size},
                                {"forgotten", c.forgotten},
                                {"held", c.held},
                                {"bytes", c.bytes}});
}

} // namespace mcomp::inline v0::monitor
