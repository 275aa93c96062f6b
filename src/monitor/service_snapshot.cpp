#include "mcomp/monitor/service_snapshot.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "core/json_schema.hpp"
#include "mcomp/core/format.hpp"
#include "monitor/latency_bin.hpp"

namespace mcomp::inline v0::monitor {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

constexpr const char* schema = "mcomp-service-snapshot-1";
constexpr std::int64_t most = std::int64_t{1} << 62, billion = 1'000'000'000;
constexpr double unit = 1e-6; // of sums of numbers in [0, 1]
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

/// Ends at 2^62, in whatever order and grouping.
void add(std::int64_t& sum, std::int64_t value) {
  sum = value >= most - sum ? most : sum + value;
}
template <std::size_t n> void add(std::array<std::int64_t, n>& sums, const std::array<std::int64_t, n>& values) {
  for (std::size_t i = 0; i < n; ++i) add(sums[i], values[i]);
}

std::int64_t sum_of(const std::array<std::int64_t, confidence_bins>& values) {
  std::int64_t sum = 0;
  for (const std::int64_t value : values) add(sum, value);
  return sum;
}

double quotient(std::int64_t a, std::int64_t b) {
  return static_cast<double>(a) / static_cast<double>(b);
}

/// Merges sorted rows of one key each into others.
template <class Row, class Key, class Merge>
void merge_rows(std::vector<Row>& into, const std::vector<Row>& from, const Key& key, const Merge& merge) {
  std::vector<Row> all;
  all.reserve(into.size() + from.size());
  auto a = into.begin();
  for (const Row& row : from) {
    while (a != into.end() && key(*a) < key(row)) all.push_back(std::move(*a++));
    if (a != into.end() && key(*a) == key(row)) {
      all.push_back(std::move(*a++));
      merge(all.back(), row);
    } else {
      all.push_back(row);
    }
  }
  std::move(a, into.end(), std::back_inserter(all));
  into = std::move(all);
}

} // namespace

std::uint32_t LatencyBins::bin(double seconds) noexcept {
  return detail::latency_bin(seconds);
}

double LatencyBins::upper_border(std::uint32_t bin) noexcept {
  if (bin >= bins - 1) return std::numeric_limits<double>::infinity();
  return std::ldexp(1 + static_cast<double>(bin % bins_per_octave) / bins_per_octave,
                    static_cast<int>(bin / bins_per_octave) - 20);
}

std::int64_t LatencyBins::count() const noexcept {
  std::int64_t n = 0;
  for (const Bin& b : counts) add(n, b.count);
  return n;
}

double LatencyBins::mean_seconds() const noexcept {
  const std::int64_t n = count();
  if (n == 0) return nan_value;
  return (static_cast<double>(seconds) + 1e-9 * static_cast<double>(nanoseconds)) / static_cast<double>(n);
}

Result<double> LatencyBins::quantile(double probability) const {
  if (!(probability >= 0 && probability <= 1))
    return Error(ErrorCode::invalid_argument, "probability", fmt::format("{} is not within [0, 1]", probability),
                 "pass for example 0.99");
  const std::int64_t n = count();
  if (n == 0) return Error(ErrorCode::insufficient_data, "latency", "there are no values", "record some first");
  const auto rank =
      std::clamp(static_cast<std::int64_t>(std::ceil(probability * static_cast<double>(n))), std::int64_t{1}, n);
  std::int64_t below = 0;
  std::uint32_t index = 0;
  for (const Bin& b : counts) {
    index = b.index;
    if (b.count >= rank - below) break;
    below += b.count;
  }
  if (index == 0) return lowest / 2;
  if (index >= bins - 1) return highest;
  const double lower = upper_border(index - 1), upper = upper_border(index);
  return 2 * lower * (upper / (lower + upper));
}

std::int64_t LatencyBins::at_most(double border) const noexcept {
  std::int64_t n = 0;
  if (!(border >= 0)) return n;
  const std::uint32_t last = bin(border);
  for (const Bin& b : counts)
    if (b.index <= last) add(n, b.count);
  return n;
}

void LatencyBins::merge(const LatencyBins& other) {
  if (counts.empty())
    counts = other.counts;
  else
    merge_rows(
        counts, other.counts, [](const Bin& b) { return b.index; },
        [](Bin& into, const Bin& from) { add(into.count, from.count); });
  add(seconds, other.seconds);
  nanoseconds += other.nanoseconds; // both below 10^9
  if (nanoseconds >= billion) {
    nanoseconds -= billion;
    add(seconds, 1);
  }
}

std::int64_t SeriesSnapshot::labels_seen() const noexcept {
  return sum_of(labelled);
}
std::optional<double> SeriesSnapshot::mean_confidence() const noexcept {
  if (confident == 0) return std::nullopt;
  return unit * quotient(confidence, confident);
}
std::optional<double> SeriesSnapshot::accuracy() const noexcept {
  const std::int64_t n = labels_seen();
  if (n == 0) return std::nullopt;
  return quotient(sum_of(labelled_right), n);
}
std::optional<double> SeriesSnapshot::calibration_error() const noexcept {
  const std::int64_t n = labels_seen();
  if (n == 0) return std::nullopt;
  double gaps = 0;
  for (std::size_t b = 0; b < labelled.size(); ++b)
    gaps += std::abs(unit * static_cast<double>(labelled_confidence[b]) - static_cast<double>(labelled_right[b]));
  return gaps / static_cast<double>(n);
}
std::optional<double> SeriesSnapshot::mean_satisfaction() const noexcept {
  if (feedbacks == 0) return std::nullopt;
  return unit * quotient(satisfaction, feedbacks);
}
double SeriesSnapshot::total_cost() const noexcept {
  return 1e-9 * static_cast<double>(cost);
}

void SeriesSnapshot::merge(const SeriesSnapshot& other) {
  add(events, other.events);
  add(errors, other.errors);
  latency.merge(other.latency);
  if (stages.size() < other.stages.size()) stages.resize(other.stages.size());
  for (std::size_t s = 0; s < other.stages.size(); ++s) stages[s].merge(other.stages[s]);
  add(confident, other.confident);
  add(confidence, other.confidence);
  add(confidence_variance, other.confidence_variance);
  add(confidences, other.confidences);
  add(labelled, other.labelled);
  add(labelled_right, other.labelled_right);
  add(labelled_confidence, other.labelled_confidence);
  add(feedbacks, other.feedbacks);
  add(satisfaction, other.satisfaction);
  add(cost, other.cost);
}

Status ServiceSnapshot::merge(const ServiceSnapshot& other) {
  if (other.dimensions != dimensions || other.stages != stages)
    return Error(ErrorCode::invalid_argument, "other", "its dimensions or stages are other ones",
                 "merge what instruments of the same options counted");
  if (&other == this) return merge(ServiceSnapshot(other));
  const bool none = begin == end, none_there = other.begin == other.end;
  begin = none ? other.begin : none_there ? begin : std::min(begin, other.begin);
  end = none ? other.end : none_there ? end : std::max(end, other.end);
  merge_rows(
      series, other.series, [](const SeriesSnapshot& s) -> const auto& { return s.labels; },
      [](SeriesSnapshot& into, const SeriesSnapshot& from) { into.merge(from); });
  merge_rows(
      layers, other.layers, [](const LayerSnapshot& l) -> const auto& { return l.layer; },
      [](LayerSnapshot& into, const LayerSnapshot& from) {
        add(into.values, from.values);
        add(into.overflows, from.overflows);
      });
  const auto order = [](const ProcessUsage& p) { return std::tuple(p.seconds, p.cpu_seconds, p.resident_bytes); };
  if (other.process && (!process || order(*process) < order(*other.process))) process = other.process;
  add(losses.overflow_events, other.losses.overflow_events);
  add(losses.rejected_values, other.losses.rejected_values);
  add(losses.labels_unmatched, other.losses.labels_unmatched);
  add(losses.labels_repeated, other.losses.labels_repeated);
  add(losses.requests_displaced, other.losses.requests_displaced);
  add(losses.layers_unknown, other.losses.layers_unknown);
  return {};
}

SeriesSnapshot ServiceSnapshot::total() const {
  SeriesSnapshot sum;
  sum.stages.resize(stages.size());
  for (const SeriesSnapshot& s : series) sum.merge(s);
  return sum;
}

Result<std::vector<SeriesSnapshot>> ServiceSnapshot::by(std::string_view dimension) const {
  const auto found = std::find(dimensions.begin(), dimensions.end(), dimension);
  if (found == dimensions.end())
    return Error(ErrorCode::not_found, fmt::format("dimension '{}'", dimension),
                 fmt::format("there are {}", fmt::join(dimensions, ", ")), "name one of them");
  const auto place = static_cast<std::size_t>(found - dimensions.begin());
  std::map<std::string, SeriesSnapshot> slices;
  for (const SeriesSnapshot& s : series) {
    SeriesSnapshot& slice = slices[s.labels[place]];
    slice.labels[place] = s.labels[place];
    slice.stages.resize(stages.size());
    slice.merge(s);
  }
  std::vector<SeriesSnapshot> result;
  for (auto& [name, slice] : slices) result.push_back(std::move(slice));
  return result;
}

// JSON.

namespace {

Json latency_json(const LatencyBins& latency) {
  Json index = Json::array(), counts = Json::array();
  for (const LatencyBins::Bin& b : latency.counts) index.push_back(b.index), counts.push_back(b.count);
  return {{"seconds", latency.seconds}, {"nanoseconds", latency.nanoseconds}, {"bins", index}, {"counts", counts}};
}

std::int64_t count_of(ObjectReader& object, const char* key) {
  const std::int64_t value = object.integer(key);
  if (value < 0 || value > most) object.fail(key, "it is negative or beyond 2^62", "correct the count");
  return std::clamp(value, std::int64_t{0}, most);
}

LatencyBins latency_of(ObjectReader& object, bool& ordered) {
  LatencyBins latency;
  latency.seconds = count_of(object, "seconds");
  latency.nanoseconds = count_of(object, "nanoseconds");
  if (latency.nanoseconds >= billion) object.fail("nanoseconds", "they are a second or more", "carry it to seconds");
  const std::vector<std::int64_t> index = object.integers("bins"), counts = object.integers("counts");
  ordered = index.size() == counts.size();
  std::int64_t last = -1;
  for (std::size_t i = 0; ordered && i < index.size(); ++i) {
    ordered = index[i] > last && index[i] < LatencyBins::bins && counts[i] > 0 && counts[i] <= most;
    if (ordered) latency.counts.push_back({static_cast<std::uint32_t>(index[i]), counts[i]});
    last = index[i];
  }
  if (!ordered)
    object.fail("bins", fmt::format("bins do not ascend below {}, or their counts are not > 0", LatencyBins::bins),
                "give every bin that is not empty once");
  return latency;
}

std::array<std::int64_t, confidence_bins> bins_of(ObjectReader& object, const char* key) {
  std::array<std::int64_t, confidence_bins> bins{};
  const std::vector<std::int64_t> values = object.integers(key);
  const auto sound = [](std::int64_t value) { return value >= 0 && value <= most; };
  if (values.size() != bins.size() || !std::all_of(values.begin(), values.end(), sound))
    object.fail(key, fmt::format("it holds no {} counts", confidence_bins), "give a count for each bin");
  else
    std::copy(values.begin(), values.end(), bins.begin());
  return bins;
}

Result<SeriesSnapshot> series_of(const Json& json, const std::string& where, std::size_t stages) {
  ObjectReader object(json, where);
  SeriesSnapshot s;
  const std::vector<std::string> labels = object.texts("labels");
  if (labels.size() != s.labels.size())
    object.fail("labels", "there are not six", "give one for each dimension");
  else
    std::copy(labels.begin(), labels.end(), s.labels.begin());
  s.events = count_of(object, "events");
  s.errors = count_of(object, "errors");
  bool sound = true;
  if (const Json* latency = object.child("latency")) {
    ObjectReader inner(*latency, object.where("latency"));
    s.latency = latency_of(inner, sound);
    MCOMP_CHECK(inner.finish());
  } else {
    object.fail("latency", "it is missing", "give the bins of latencies");
  }
  for (const Json& stage : object.array("stages")) {
    ObjectReader inner(stage, object.where("stages"));
    s.stages.push_back(latency_of(inner, sound));
    MCOMP_CHECK(inner.finish());
  }
  if (s.stages.size() != stages) object.fail("stages", "there are more or fewer than names", "give one for each name");
  s.confident = count_of(object, "confident");
  s.confidence = count_of(object, "confidence");
  s.confidence_variance = count_of(object, "confidence_variance");
  s.confidences = bins_of(object, "confidences");
  s.labelled = bins_of(object, "labelled");
  s.labelled_right = bins_of(object, "labelled_right");
  s.labelled_confidence = bins_of(object, "labelled_confidence");
  s.feedbacks = count_of(object, "feedbacks");
  s.satisfaction = count_of(object, "satisfaction");
  s.cost = count_of(object, "cost");
  MCOMP_CHECK(object.finish());
  return s;
}

} // namespace

std::string to_json(const ServiceSnapshot& snapshot) {
  Json series = Json::array(), layers = Json::array();
  for (const SeriesSnapshot& s : snapshot.series) {
    Json stages = Json::array();
    for (const LatencyBins& stage : s.stages) stages.push_back(latency_json(stage));
    series.push_back({{"labels", s.labels},
                      {"events", s.events},
                      {"errors", s.errors},
                      {"latency", latency_json(s.latency)},
                      {"stages", stages},
                      {"confident", s.confident},
                      {"confidence", s.confidence},
                      {"confidence_variance", s.confidence_variance},
                      {"confidences", s.confidences},
                      {"labelled", s.labelled},
                      {"labelled_right", s.labelled_right},
                      {"labelled_confidence", s.labelled_confidence},
                      {"feedbacks", s.feedbacks},
                      {"satisfaction", s.satisfaction},
                      {"cost", s.cost}});
  }
  for (const LayerSnapshot& l : snapshot.layers)
    layers.push_back({{"layer", l.layer}, {"values", l.values}, {"overflows", l.overflows}});
  Json json = {{"schema", schema},          {"dimensions", snapshot.dimensions},
               {"stages", snapshot.stages}, {"begin", snapshot.begin},
               {"end", snapshot.end},       {"series", series},
               {"layers", layers}};
  if (snapshot.process)
    json["process"] = {{"seconds", snapshot.process->seconds},
                       {"cpu_seconds", snapshot.process->cpu_seconds},
                       {"resident_bytes", snapshot.process->resident_bytes}};
  const ServiceLosses& losses = snapshot.losses;
  json["losses"] = {{"overflow_events", losses.overflow_events},       {"rejected_values", losses.rejected_values},
                    {"labels_unmatched", losses.labels_unmatched},     {"labels_repeated", losses.labels_repeated},
                    {"requests_displaced", losses.requests_displaced}, {"layers_unknown", losses.layers_unknown}};
  return mcomp::detail::dumped(json);
}

Result<ServiceSnapshot> ServiceSnapshot::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  MCOMP_CHECK(mcomp::detail::check_schema(object, subject, schema));
  ServiceSnapshot snapshot;
  const std::vector<std::string> dimensions = object.texts("dimensions");
  if (dimensions.size() != snapshot.dimensions.size())
    object.fail("dimensions", "there are not six", "give a name for each");
  else
    std::copy(dimensions.begin(), dimensions.end(), snapshot.dimensions.begin());
  snapshot.stages = object.texts("stages");
  snapshot.begin = object.number("begin");
  snapshot.end = object.number("end");
  if (!(snapshot.begin <= snapshot.end)) object.fail("end", "it lies before the begin", "exchange them");
  for (const Json& one : object.array("series")) {
    MCOMP_TRY(s, series_of(one, fmt::format("{}: {}", object.where("series"), snapshot.series.size()),
                           snapshot.stages.size()));
    if (!snapshot.series.empty() && !(snapshot.series.back().labels < s.labels))
      object.fail("series", "their labels do not ascend", "sort them, each once");
    snapshot.series.push_back(std::move(s));
  }
  for (const Json& one : object.array("layers")) {
    ObjectReader inner(one, object.where("layers"));
    LayerSnapshot l;
    l.layer = inner.text("layer");
    l.values = count_of(inner, "values");
    l.overflows = count_of(inner, "overflows");
    MCOMP_CHECK(inner.finish());
    if (!snapshot.layers.empty() && !(snapshot.layers.back().layer < l.layer))
      object.fail("layers", "their names do not ascend", "sort them, each once");
    snapshot.layers.push_back(std::move(l));
  }
  if (const Json* process = object.child("process")) {
    ObjectReader inner(*process, object.where("process"));
    ProcessUsage usage;
    usage.seconds = inner.number("seconds");
    usage.cpu_seconds = inner.number("cpu_seconds");
    usage.resident_bytes = count_of(inner, "resident_bytes");
    MCOMP_CHECK(inner.finish());
    snapshot.process = usage;
  }
  if (const Json* losses = object.child("losses")) {
    ObjectReader inner(*losses, object.where("losses"));
    snapshot.losses.overflow_events = count_of(inner, "overflow_events");
    snapshot.losses.rejected_values = count_of(inner, "rejected_values");
    snapshot.losses.labels_unmatched = count_of(inner, "labels_unmatched");
    snapshot.losses.labels_repeated = count_of(inner, "labels_repeated");
    snapshot.losses.requests_displaced = count_of(inner, "requests_displaced");
    snapshot.losses.layers_unknown = count_of(inner, "layers_unknown");
    MCOMP_CHECK(inner.finish());
  } else {
    object.fail("losses", "it is missing", "say what could not be counted");
  }
  MCOMP_CHECK(object.finish());
  return snapshot;
}

std::string to_string(const ServiceSnapshot& snapshot) {
  const auto line = [](const SeriesSnapshot& s) {
    std::string text = fmt::format("{} requests, {} errors", s.events, s.errors);
    if (!s.latency.counts.empty())
      text += fmt::format(", p50 {:.3g} s, p99 {:.3g} s", s.latency.quantile(0.5).value(),
                          s.latency.quantile(0.99).value());
    if (const auto mean = s.mean_confidence()) text += fmt::format(", confidence {:.4f}", *mean);
    if (const auto right = s.accuracy())
      text += fmt::format(", {} labels: accuracy {:.4f}, ECE {:.4f}", s.labels_seen(), *right,
                          s.calibration_error().value_or(0));
    if (const auto mean = s.mean_satisfaction()) text += fmt::format(", satisfaction {:.3f}", *mean);
    if (s.cost > 0) text += fmt::format(", cost {:.6g}", s.total_cost());
    return text;
  };
  std::string text = fmt::format("{:.6g} s: {}", snapshot.end - snapshot.begin, line(snapshot.total()));
  for (const SeriesSnapshot& s : snapshot.series) {
    std::string labels;
    for (std::size_t d = 0; d < s.labels.size(); ++d)
      if (!s.labels[d].empty())
        labels += fmt::format("{}{}={}", labels.empty() ? "" : " & ", snapshot.dimensions[d], s.labels[d]);
    text += fmt::format("\n  {}: {}", labels.empty() ? "no dimension" : labels, line(s));
  }
  for (const LayerSnapshot& l : snapshot.layers)
    if (l.overflows > 0)
      text += fmt::format("\n  layer {}: {} of {} activations beyond the range", l.layer, l.overflows, l.values);
  if (snapshot.losses.overflow_events > 0)
    text += fmt::format("\n  {} requests of further combinations are counted as \"overflow\"",
                        snapshot.losses.overflow_events);
  return text;
}

} // namespace mcomp::inline v0::monitor
