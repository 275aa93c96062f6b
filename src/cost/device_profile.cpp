#include "mcomp/cost/device_profile.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "core/json.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::cost {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;
using Clock = std::chrono::steady_clock;

constexpr const char* schema = "mcomp-device-profile-1";
constexpr std::size_t most_layers = 100'000;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

bool is_positive(double value) {
  return std::isfinite(value) && value > 0;
}

Result<DType> read_dtype(ObjectReader& reader, const char* key, const char* fallback) {
  return dtype_from_string(reader.text(key, fallback));
}

Result<std::array<std::int64_t, 2>> read_pair(ObjectReader& reader, const char* key,
                                              std::array<std::int64_t, 2> fallback) {
  if (!reader.has(key)) return fallback;
  const std::vector<std::int64_t> values = reader.integers(key);
  if (values.size() == 2) return std::array{values[0], values[1]};
  return Error(ErrorCode::corrupt, reader.where(key), fmt::format("{} numbers", values.size()),
               "write height and width: [3, 3]");
}

Result<MeasuredLayer> read_layer(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  MeasuredLayer layer;
  LayerShape& s = layer.shape;
  const std::string kind = reader.text("kind");
  if (kind == "linear")
    s.kind = LayerKind::linear;
  else if (kind == "convolution")
    s.kind = LayerKind::convolution;
  else
    reader.fail("kind", fmt::format("'{}' is not known", kind), "write linear or convolution");
  s.samples = reader.integer("samples", 1);
  s.in_channels = reader.integer("in");
  s.out_channels = reader.integer("out");
  s.height = reader.integer("height", 1);
  s.width = reader.integer("width", 1);
  MCOMP_TRY(kernel, read_pair(reader, "kernel", s.kernel));
  MCOMP_TRY(stride, read_pair(reader, "stride", s.stride));
  MCOMP_TRY(padding, read_pair(reader, "padding", s.padding));
  s.kernel = kernel, s.stride = stride, s.padding = padding;
  s.groups = reader.integer("groups", 1);
  MCOMP_TRY(weights, read_dtype(reader, "weights", "f32"));
  MCOMP_TRY(input, read_dtype(reader, "input", "f32"));
  MCOMP_TRY(output, read_dtype(reader, "output", "f32"));
  s.weights = weights, s.input = input, s.output = output;
  s.residual = reader.boolean("residual", false);
  layer.seconds = reader.number("seconds");
  layer.spread = reader.number("spread", 1);
  MCOMP_CHECK(reader.finish());
  return layer;
}

Json layer_json(const MeasuredLayer& layer) {
  const LayerShape& s = layer.shape;
  Json json = {{"kind", to_string(s.kind)}, {"samples", s.samples}, {"in", s.in_channels}, {"out", s.out_channels}};
  if (s.kind == LayerKind::convolution) {
    json["height"] = s.height;
    json["width"] = s.width;
    json["kernel"] = s.kernel;
    json["stride"] = s.stride;
    json["padding"] = s.padding;
    json["groups"] = s.groups;
  }
  json["weights"] = to_string(s.weights);
  json["input"] = to_string(s.input);
  json["output"] = to_string(s.output);
  if (s.residual) json["residual"] = true;
  json["seconds"] = layer.seconds;
  json["spread"] = layer.spread;
  return json;
}

Result<DeclaredDevice> read_declared(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  DeclaredDevice device;
  for (const Json& item : reader.array("peaks")) {
    ObjectReader peak(item, fmt::format("{}: peaks[{}]", where, device.peaks.size()));
    MCOMP_TRY(weights, dtype_from_string(peak.text("weights")));
    device.peaks.push_back({weights, peak.number("multiply_adds_per_second")});
    MCOMP_CHECK(peak.finish());
  }
  device.bytes_per_second = reader.number("bytes_per_second");
  device.launch_seconds = reader.number("launch_seconds", 0);
  device.efficiency_lower = reader.number("efficiency_lower", device.efficiency_lower);
  device.efficiency_upper = reader.number("efficiency_upper", device.efficiency_upper);
  MCOMP_CHECK(reader.finish());
  return device;
}

Status check_declared(const DeclaredDevice& device, const std::string& subject) {
  const auto bad = [&](const char* rule, const char* remedy) {
    return Error(ErrorCode::invalid_value, subject + ": declared", rule, remedy);
  };
  for (const DeclaredPeak& peak : device.peaks)
    if (!is_positive(peak.multiply_adds_per_second))
      return bad("multiply_adds_per_second must be finite and > 0", "correct it");
  for (std::size_t i = 0; i < device.peaks.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (device.peaks[i].weights == device.peaks[j].weights) return bad("a type of weights has two peaks", "keep one");
  if (!is_positive(device.bytes_per_second)) return bad("bytes_per_second must be finite and > 0", "correct it");
  if (!std::isfinite(device.launch_seconds) || device.launch_seconds < 0)
    return bad("launch_seconds must be finite and >= 0", "correct it");
  if (!(device.efficiency_lower > 0 && device.efficiency_lower <= device.efficiency_upper &&
        device.efficiency_upper <= 1))
    return bad("efficiencies must ascend within (0, 1]", "write for example 0.3 and 0.85");
  return {};
}

/// A whole number, log-uniformly within [lower, upper].
std::int64_t draw_size(Random& random, std::int64_t lower, std::int64_t upper) {
  const double low = std::log(static_cast<double>(lower)), high = std::log(static_cast<double>(upper));
  return std::clamp<std::int64_t>(std::llround(std::exp(low + random.uniform() * (high - low))), lower, upper);
}

/// The same; half of them multiples of 8.
std::int64_t draw_channels(Random& random, std::int64_t lower, std::int64_t upper) {
  const std::int64_t drawn = draw_size(random, lower, upper);
  const std::int64_t rounded = (drawn + 4) / 8 * 8;
  return random.below(2) == 0 && rounded >= lower && rounded <= upper && rounded > 0 ? rounded : drawn;
}

LayerShape draw_layer(const LayerFamily& family, const LayerRange& range, Random& random) {
  for (;;) {
    LayerShape s{.kind = family.kind, .weights = family.weights, .input = family.input};
    s.output = family.outputs[random.below(family.outputs.size())];
    s.residual = family.residuals && random.below(4) == 0;
    if (family.kind == LayerKind::linear) {
      s.samples = draw_size(random, 1, range.linear_samples_upper);
      s.in_channels = draw_channels(random, range.features_lower, range.features_upper);
      s.out_channels = draw_channels(random, range.features_lower, range.features_upper);
    } else {
      s.samples = draw_size(random, 1, range.convolution_samples_upper);
      s.in_channels = draw_channels(random, range.channels_lower, range.channels_upper);
      s.out_channels = draw_channels(random, range.channels_lower, range.channels_upper);
      s.height = s.width = draw_size(random, range.size_lower, range.size_upper);
      constexpr std::array<std::int64_t, 5> kernels{1, 3, 3, 5, 7}; // 3 x 3 as often as it is met
      std::int64_t kernel = kernels[random.below(kernels.size())];
      while (kernel > s.height) kernel -= 2;
      s.kernel = {kernel, kernel};
      s.padding = {kernel / 2, kernel / 2};
      if (random.below(4) == 0) s.stride = {2, 2};
    }
    if (static_cast<double>(s.multiply_adds()) <= range.multiply_adds_upper) return s;
  }
}

std::vector<LayerFamily> families_or_default(const ProfileOptions& options) {
  if (!options.families.empty()) return options.families;
  return {
      {.kind = LayerKind::linear, .outputs = {DType::f32}},
      {.kind = LayerKind::linear, .weights = DType::int8, .input = DType::uint8, .outputs = {DType::uint8, DType::f32}},
      {.kind = LayerKind::convolution, .outputs = {DType::f32}, .residuals = true},
      {.kind = LayerKind::convolution,
       .weights = DType::int8,
       .input = DType::uint8,
       .outputs = {DType::uint8, DType::uint8, DType::uint8, DType::f32},
       .residuals = true}};
}

Status check_options(const ProfileOptions& o) {
  const auto bad = [](const char* name, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, name, rule, remedy);
  };
  for (const LayerFamily& family : o.families) {
    if (family.kind != LayerKind::linear && family.kind != LayerKind::convolution)
      return bad("families", "only linear layers and convolutions are drawn", "leave movements out");
    if (family.outputs.empty()) return bad("families", "a family has no type of output", "give at least one");
  }
  const LayerRange& r = o.range;
  constexpr std::int64_t most = 1 << 20;
  const auto within = [](std::int64_t lower, std::int64_t upper) {
    return lower >= 1 && lower <= upper && upper <= most;
  };
  if (!within(1, r.linear_samples_upper) || !within(1, r.convolution_samples_upper) ||
      !within(r.features_lower, r.features_upper) || !within(r.channels_lower, r.channels_upper) ||
      !within(r.size_lower, r.size_upper))
    return bad("range", "bounds do not ascend within 1 and 2^20", "correct them");
  const auto smallest = [](std::int64_t a) { return static_cast<double>(a); };
  if (!(r.multiply_adds_upper >= smallest(r.features_lower) * smallest(r.features_lower) * 4) ||
      !(r.multiply_adds_upper >=
        64 * smallest(r.channels_lower) * smallest(r.channels_lower) * smallest(r.size_lower) * smallest(r.size_lower)))
    return bad("range", fmt::format("multiply_adds_upper {} leaves no layers", r.multiply_adds_upper), "raise it");
  constexpr std::int64_t most_per_family = 2000;
  if (o.layers_per_family < 10 || o.layers_per_family > most_per_family)
    return bad("layers_per_family", fmt::format("{}", o.layers_per_family), "give 10 to 2000");
  if (o.passes < 1 || o.passes > 100) return bad("passes", fmt::format("{}", o.passes), "give 1 to 100");
  if (!is_positive(o.seconds_per_layer)) return bad("seconds_per_layer", "it is not finite and > 0", "give 0.008");
  if (!(o.seconds_limit >= 0)) return bad("seconds_limit", "it is not >= 0", "give 0 for no limit");
  return {};
}

/// Copies of sizes from a first-level cache to memory.
Result<std::vector<CopySpeed>> measure_copies(double seconds) {
  constexpr std::int64_t smallest = 16 << 10, largest = 64 << 20, step = 4;
  MCOMP_TRY(from, Tensor::zeros(DType::uint8, {largest / 2}));
  MCOMP_TRY(to, Tensor::zeros(DType::uint8, {largest / 2}));
  std::vector<CopySpeed> copies;
  for (std::int64_t bytes = smallest; bytes <= largest; bytes *= step) {
    const auto copy = [&]() -> Status {
      std::memcpy(to.data(), from.data(), static_cast<std::size_t>(bytes / 2));
      return {};
    };
    MCOMP_TRY(time, time_call(copy, seconds));
    copies.push_back({bytes, static_cast<double>(bytes) / time});
  }
  return copies;
}

} // namespace

std::string to_string(const DeviceIdentity& device) {
  std::string text = device.name;
  for (const std::string* part : {&device.instruction_set, &device.engine})
    if (!part->empty()) text += ", " + *part;
  return text + fmt::format(", {} thread{}", device.threads, device.threads == 1 ? "" : "s");
}

Status DeviceProfile::check() const {
  const std::string subject = fmt::format("device profile '{}'", device.name);
  const auto bad = [&](const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_value, subject, rule, remedy);
  };
  if (device.name.empty()) return bad("the device has no name", "name it");
  constexpr std::int64_t most_threads = 1 << 20;
  if (device.threads < 1 || device.threads > most_threads)
    return bad(fmt::format("{} threads", device.threads), "give 1 to 2^20");
  if (layers.empty() && !declared)
    return Error(ErrorCode::insufficient_data, subject, "it has no measured layers and declares nothing",
                 "measure layers, or fill in `declared`");
  if (layers.size() > most_layers) return bad(fmt::format("{} layers", layers.size()), "keep at most 100,000");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (const Status status = layers[i].shape.check(); !status)
      return status.error().within(fmt::format("{}: layers[{}]", subject, i));
    if (layers[i].shape.kind == LayerKind::movement)
      return bad(fmt::format("layers[{}] is a movement", i), "give the speed of copies instead");
    if (!(layers[i].seconds >= 1e-12 && layers[i].seconds <= 1e6))
      return bad(fmt::format("layers[{}] took {} seconds", i, layers[i].seconds), "give a time within [10^-12, 10^6]");
    if (!(std::isfinite(layers[i].spread) && layers[i].spread >= 1))
      return bad(fmt::format("layers[{}] has a spread of {}", i, layers[i].spread), "give slowest over fastest, >= 1");
  }
  for (std::size_t i = 0; i < copies.size(); ++i)
    if (copies[i].bytes < 1 || !is_positive(copies[i].bytes_per_second) ||
        (i > 0 && copies[i].bytes <= copies[i - 1].bytes))
      return bad(fmt::format("copies[{}] is not ascending and > 0", i), "sort them by bytes");
  if (declared) MCOMP_CHECK(check_declared(*declared, subject));
  if (watts && !is_positive(*watts))
    return bad("watts must be finite and > 0", "leave them out where they are not known");
  return {};
}

Result<DeviceProfile> DeviceProfile::parse(std::string_view json, const std::string& subject) {
  MCOMP_TRY(root, mcomp::detail::parse_json(json, subject));
  ObjectReader reader(root, subject);
  if (const std::string found = reader.text("schema"); found != schema)
    reader.fail("schema", fmt::format("'{}' is not {}", found, schema), "measure the profile anew");
  DeviceProfile profile;
  profile.device.name = reader.text("device");
  profile.device.instruction_set = reader.text("instruction_set", std::string());
  profile.device.engine = reader.text("engine", std::string());
  profile.device.threads = reader.integer("threads", 1);
  profile.date = reader.text("date", std::string());
  if (reader.has("watts")) profile.watts = reader.number("watts");
  if (reader.has("copies"))
    for (const Json& item : reader.array("copies")) {
      ObjectReader copy(item, fmt::format("{}: copies[{}]", subject, profile.copies.size()));
      profile.copies.push_back({copy.integer("bytes"), copy.number("bytes_per_second")});
      MCOMP_CHECK(copy.finish());
    }
  if (reader.has("declared")) {
    MCOMP_TRY(declared, read_declared(*reader.child("declared"), subject + ": declared"));
    profile.declared = std::move(declared);
  }
  if (reader.has("layers"))
    for (const Json& item : reader.array("layers")) {
      MCOMP_TRY(layer, read_layer(item, fmt::format("{}: layers[{}]", subject, profile.layers.size())));
      profile.layers.push_back(layer);
    }
  MCOMP_CHECK(reader.finish());
  if (const Status status = profile.check(); !status) {
    const Error& e = status.error();
    return Error(ErrorCode::corrupt, subject, fmt::format("{}: {}", e.subject(), e.rule()), e.remedy());
  }
  return profile;
}

Result<DeviceProfile> DeviceProfile::read(const std::filesystem::path& path) {
  constexpr std::int64_t most_bytes = 64 << 20;
  MCOMP_TRY(text, read_file(path, most_bytes));
  return parse(text, path.string());
}

std::string to_json(const DeviceProfile& profile) {
  Json root = {{"schema", schema},
               {"device", profile.device.name},
               {"instruction_set", profile.device.instruction_set},
               {"engine", profile.device.engine},
               {"threads", profile.device.threads},
               {"date", profile.date}};
  if (profile.watts) root["watts"] = *profile.watts;
  Json copies = Json::array(), layers = Json::array();
  for (const CopySpeed& copy : profile.copies)
    copies.push_back({{"bytes", copy.bytes}, {"bytes_per_second", copy.bytes_per_second}});
  root["copies"] = std::move(copies);
  if (profile.declared) {
    const DeclaredDevice& d = *profile.declared;
    Json peaks = Json::array();
    for (const DeclaredPeak& peak : d.peaks)
      peaks.push_back(
          {{"weights", to_string(peak.weights)}, {"multiply_adds_per_second", peak.multiply_adds_per_second}});
    root["declared"] = {{"peaks", std::move(peaks)},
                        {"bytes_per_second", d.bytes_per_second},
                        {"launch_seconds", d.launch_seconds},
                        {"efficiency_lower", d.efficiency_lower},
                        {"efficiency_upper", d.efficiency_upper}};
  }
  for (const MeasuredLayer& layer : profile.layers) layers.push_back(layer_json(layer));
  root["layers"] = std::move(layers);
  return root.dump(1, ' ', false, Json::error_handler_t::replace);
}

std::string DeviceProfile::fingerprint() const {
  return sha256(to_json(*this));
}

std::string to_string(const DeviceProfile& profile) {
  return fmt::format("{}: {} measured layers{}", profile.device, profile.layers.size(),
                     profile.declared ? ", a declared roofline" : "");
}

Result<std::vector<LayerShape>> draw_layers(const ProfileOptions& options) {
  MCOMP_CHECK(check_options(options));
  const std::vector<LayerFamily> families = families_or_default(options);
  std::vector<Random> streams;
  for (std::size_t f = 0; f < families.size(); ++f) streams.emplace_back(options.seed, f);
  std::vector<LayerShape> result;
  for (std::int64_t i = 0; i < options.layers_per_family; ++i)
    for (std::size_t f = 0; f < families.size(); ++f)
      result.push_back(draw_layer(families[f], options.range, streams[f]));
  return result;
}

Result<double> time_call(const LayerCall& call, double seconds) {
  if (!is_positive(seconds))
    return Error(ErrorCode::invalid_argument, "seconds", fmt::format("{}", seconds), "give for example 0.008");
  MCOMP_CHECK(call()); // makes what is made at the first call
  const auto first = Clock::now();
  MCOMP_CHECK(call());
  constexpr double batch_seconds = 1e-4; // long for the clock, short for a slice of the scheduler
  constexpr double least_seconds = 1e-8;
  const auto batch =
      static_cast<std::int64_t>(std::ceil(batch_seconds / std::max(seconds_since(first), least_seconds)));
  constexpr std::size_t fewest = 5;
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.size() < fewest || seconds_since(begin) < seconds) {
    const auto start = Clock::now();
    for (std::int64_t i = 0; i < batch; ++i) MCOMP_CHECK(call());
    times.push_back(seconds_since(start) / static_cast<double>(batch));
  }
  const auto quartile = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 4);
  std::nth_element(times.begin(), quartile, times.end());
  return std::max(*quartile, least_seconds / 10);
}

Result<DeviceProfile> measure_profile(const DeviceIdentity& device, const LayerMaker& make,
                                      const ProfileOptions& options, const Context& context) {
  if (!make)
    return Error(ErrorCode::invalid_argument, "make", "it is empty", "pass a function that makes layers ready");
  MCOMP_TRY(shapes, draw_layers(options));
  const std::size_t families = families_or_default(options).size();
  DeviceProfile profile{.device = device, .date = {}};
  if (device.name.empty())
    return Error(ErrorCode::invalid_argument, "device", "it has no name", "name it, for example by cpu_features()");
  MCOMP_TRY(copies, measure_copies(options.seconds_per_layer));
  profile.copies = std::move(copies);
  const auto begin = Clock::now();
  std::vector<double> slowest;
  const auto total = static_cast<std::int64_t>(shapes.size()) * options.passes;
  for (std::int64_t pass = 0; pass < options.passes; ++pass)
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      MCOMP_CHECK(context.check("profile"));
      if (pass == 0 && i % families == 0 && options.seconds_limit > 0 &&
          seconds_since(begin) * static_cast<double>(options.passes) > options.seconds_limit) {
        shapes.resize(i);
        break;
      }
      const auto named = [&](const Error& error) { return error.within(to_string(shapes[i])); };
      const auto call = make(shapes[i]);
      if (!call) return named(call.error());
      const auto seconds = time_call(*call, options.seconds_per_layer);
      if (!seconds) return named(seconds.error());
      if (pass == 0) {
        profile.layers.push_back({shapes[i], *seconds, 1});
        slowest.push_back(*seconds);
      } else {
        profile.layers[i].seconds = std::min(profile.layers[i].seconds, *seconds);
        slowest[i] = std::max(slowest[i], *seconds);
      }
      context.report("profile", pass * static_cast<std::int64_t>(shapes.size()) + static_cast<std::int64_t>(i) + 1,
                     total);
    }
  for (std::size_t i = 0; i < slowest.size(); ++i) profile.layers[i].spread = slowest[i] / profile.layers[i].seconds;
  constexpr std::size_t fewest = 10;
  if (profile.layers.size() < fewest * families)
    return Error(ErrorCode::insufficient_data, fmt::format("device profile '{}'", device.name),
                 fmt::format("{} seconds were enough for {} layers of each of {} families, {} are needed",
                             options.seconds_limit, profile.layers.size() / families, families, fewest),
                 "raise seconds_limit");
  const std::chrono::year_month_day today(std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()));
  profile.date = fmt::format("{:04}-{:02}-{:02}", static_cast<int>(today.year()), static_cast<unsigned>(today.month()),
                             static_cast<unsigned>(today.day()));
  return profile;
}

Result<DeviceProfile> cached_profile(const std::filesystem::path& path, const DeviceIdentity& device,
                                     const LayerMaker& make, const ProfileOptions& options, const Context& context) {
  auto kept = DeviceProfile::read(path);
  if (kept && kept->device == device) return kept;
  if (!kept && kept.error().code() != ErrorCode::not_found) return kept.error();
  MCOMP_TRY(profile, measure_profile(device, make, options, context));
  MCOMP_CHECK(write_file(path, to_json(profile)));
  return std::move(profile);
}

} // namespace mcomp::inline v0::cost
