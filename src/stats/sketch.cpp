#include "mcomp/stats/sketch.hpp"

#include <algorithm>
#include <cstring>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "stats/interval.hpp"
#include "stats/quantile.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// The cubic approximation P(s) of log2(1 + s). Its slope against the natural logarithm, (1 + s) P'(s), is at least
/// 10 / 7 everywhere (least at s = 0 and 2/3), so that a bin of width 10/7 log(gamma) spans a ratio of at most gamma.
double cubic(double s) {
  return s * (10. / 7 + s * (-3. / 5 + s * (6. / 35)));
}
double inverse_cubic(double value) {
  double s = value;
  for (int step = 0; step < 8; ++step) s -= (cubic(s) - value) / (10. / 7 + s * (-6. / 5 + s * (18. / 35)));
  return std::clamp(s, 0.0, 1.0);
}

Status check(const SketchOptions& options) {
  if (!(options.relative_accuracy >= 1e-5 && options.relative_accuracy <= 0.5))
    return Error(ErrorCode::invalid_argument, "relative_accuracy",
                 fmt::format("it must lie within 1e-5 .. 0.5, it is {}", options.relative_accuracy),
                 "pass a fraction such as 0.01");
  if (options.max_bins < 16 || options.max_bins > 1 << 20)
    return Error(ErrorCode::invalid_argument, "max_bins",
                 fmt::format("it must lie within 16 .. 2^20, it is {}", options.max_bins), "pass 2048");
  return {};
}

} // namespace

QuantileSketch::QuantileSketch(const SketchOptions& options) : options_(options) {
  // What rounding may move a border by, 2e-12 on the scale of logarithms, is taken off the width of a bin.
  const double width = std::log1p(options.relative_accuracy) - std::log1p(-options.relative_accuracy) - 2e-12;
  bins_per_octave_ = 0.7 / width;
  lowest_ = options.negative_values ? -std::numeric_limits<double>::max() : 0;
  positive_.counts.resize(static_cast<std::size_t>(options.max_bins));
  if (options.negative_values) negative_.counts.resize(positive_.counts.size());
}

Result<QuantileSketch> QuantileSketch::create(const SketchOptions& options) {
  MCOMP_CHECK(check(options));
  return QuantileSketch(options);
}

std::int32_t QuantileSketch::Store::first() const noexcept {
  const auto found = std::find_if(counts.begin(), counts.end(), [](std::int64_t n) { return n != 0; });
  return low + static_cast<std::int32_t>(found - counts.begin());
}
std::int32_t QuantileSketch::Store::last() const noexcept {
  const auto found = std::find_if(counts.rbegin(), counts.rend(), [](std::int64_t n) { return n != 0; });
  return low + static_cast<std::int32_t>(counts.rend() - found) - 1;
}

void QuantileSketch::Store::move_to(std::int32_t new_low) noexcept {
  const auto size = static_cast<std::int64_t>(counts.size());
  const std::int64_t shift = std::int64_t{new_low} - low;
  if (shift > 0) {
    const std::int64_t gone = std::min(shift, size);
    std::int64_t below = 0;
    for (std::int64_t i = 0; i < gone; ++i) below += counts[static_cast<std::size_t>(i)];
    std::move(counts.begin() + gone, counts.end(), counts.begin());
    std::fill(counts.end() - gone, counts.end(), 0);
    counts[0] += below;
    collapsed |= below > 0;
  } else if (shift < 0) {
    const std::int64_t fresh = std::min(-shift, size); // the caller sees to it that these bins are empty
    std::move_backward(counts.begin(), counts.end() - fresh, counts.end());
    std::fill(counts.begin(), counts.begin() + fresh, 0);
  }
  low = new_low;
}

void QuantileSketch::Store::add_outside(std::int32_t key, std::int64_t count) noexcept {
  const auto size = static_cast<std::int32_t>(counts.size());
  if (!used) {
    used = true;
    low = key - size / 2;
    counts[static_cast<std::size_t>(size / 2)] = count;
    return;
  }
  if (pinned && key < low) {
    counts[0] += count;
    collapsed = true;
    return;
  }
  const std::int32_t least = std::min(first(), key), most = std::max(last(), key), span = most - least + 1;
  if (span <= size) { // room for all, with as much to spare on either side
    move_to(least - (size - span) / 2);
  } else {
    move_to(most - size + 1);
    pinned = true;
  }
  if (key < low) {
    counts[0] += count;
    collapsed = true;
  } else {
    counts[static_cast<std::size_t>(key - low)] += count;
  }
}

void QuantileSketch::Store::merge(const Store& other) noexcept {
  if (!other.used) return;
  // The largest key first, so that the bins are where they will stay.
  const std::int32_t from = other.first(), to = other.last();
  for (std::int32_t key = to; key >= from; --key)
    if (const std::int64_t n = other.counts[static_cast<std::size_t>(key - other.low)]; n != 0) add(key, n);
  collapsed |= other.collapsed;
  if (collapsed) {
    move_to(last() - static_cast<std::int32_t>(counts.size()) + 1);
    pinned = true;
  }
}

Status QuantileSketch::merge(const QuantileSketch& other) {
  if (!(options_ == other.options_))
    return Error(
        ErrorCode::invalid_argument, "sketch",
        fmt::format("accuracy {}, {} bins{} here and {}, {}{} there: sketches merge only with the same options",
                    options_.relative_accuracy, options_.max_bins,
                    options_.negative_values ? "" : " without negative values", other.options_.relative_accuracy,
                    other.options_.max_bins, other.options_.negative_values ? "" : " without negative values"),
        "create both with the same options");
  constexpr std::int64_t most = std::int64_t{1} << 62;
  if (count_ > most - other.count_ || rejected_ > most - other.rejected_)
    return Error(ErrorCode::invalid_argument, "sketch",
                 fmt::format("together they would have more than 2^62 values, {} and {}", count_, other.count_),
                 "start a new sketch");
  if (&other == this) return merge(QuantileSketch(other));
  count_ += other.count_;
  zeros_ += other.zeros_;
  rejected_ += other.rejected_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_.add(other.sum_);
  positive_.merge(other.positive_);
  negative_.merge(other.negative_);
  return {};
}

double QuantileSketch::min() const noexcept {
  return count_ == 0 ? nan : min_;
}
double QuantileSketch::max() const noexcept {
  return count_ == 0 ? nan : max_;
}
double QuantileSketch::mean() const noexcept {
  return count_ == 0 ? nan : sum() / static_cast<double>(count_);
}

double QuantileSketch::lower_border(std::int32_t key) const noexcept {
  const double log = static_cast<double>(key) / bins_per_octave_, octave = std::floor(log);
  return std::ldexp(1 + inverse_cubic(log - octave), static_cast<int>(octave) - 1023);
}

double QuantileSketch::representative(std::int32_t key) const noexcept {
  // 2 / (1 / lower + 1 / upper) without overflow in the last bin.
  const double lower = lower_border(key), below = static_cast<double>(key) / bins_per_octave_;
  const double above = static_cast<double>(key + 1) / bins_per_octave_;
  const double ratio = std::exp2(std::floor(above) - std::floor(below)) *
                       (1 + inverse_cubic(above - std::floor(above))) / (1 + inverse_cubic(below - std::floor(below)));
  return lower * (2 * ratio / (1 + ratio));
}

Result<double> QuantileSketch::at_rank(std::int64_t rank) const {
  if (rank <= 1) return min_;
  if (rank >= count_) return max_;
  const auto joined = [this] {
    return Error(ErrorCode::invalid_argument, "probability",
                 fmt::format("the quantile lies among bins that were joined, since the values span more than {} bins",
                             options_.max_bins),
                 "take more bins or a coarser relative_accuracy");
  };
  const auto inside = [this](double value) { return std::clamp(value, min_, max_); };
  // From the most negative value up.
  for (std::size_t i = negative_.counts.size(); i-- > 0;) {
    if (negative_.counts[i] == 0) continue;
    if ((rank -= negative_.counts[i]) > 0) continue;
    if (i == 0 && negative_.collapsed) return joined();
    return inside(-representative(negative_.low + static_cast<std::int32_t>(i)));
  }
  if ((rank -= zeros_) <= 0) return 0.0;
  for (std::size_t i = 0; i < positive_.counts.size(); ++i) {
    if (positive_.counts[i] == 0) continue;
    if ((rank -= positive_.counts[i]) > 0) continue;
    if (i == 0 && positive_.collapsed) return joined();
    return inside(representative(positive_.low + static_cast<std::int32_t>(i)));
  }
  return max_;
}

Result<double> QuantileSketch::quantile(double probability) const {
  if (!(probability >= 0 && probability <= 1))
    return Error(ErrorCode::invalid_argument, "probability",
                 fmt::format("it must lie within 0 .. 1, it is {}", probability), "pass a fraction such as 0.99");
  if (count_ == 0)
    return Error(ErrorCode::insufficient_data, "sketch", "no values, so no quantile", "add at least one");
  return at_rank(static_cast<std::int64_t>(detail::nearest_rank(static_cast<std::size_t>(count_), probability)));
}

Result<QuantileEstimate> QuantileSketch::estimate_quantile(double probability, double level) const {
  MCOMP_CHECK(detail::check_level(probability, "probability"));
  MCOMP_CHECK(detail::check_level(level));
  MCOMP_TRY(value, quantile(probability));
  QuantileEstimate estimate{.probability = probability, .value = value, .level = level, .count = count_};
  const auto n = static_cast<std::size_t>(count_);
  const double tail = (1 - level) / 2, a = options_.relative_accuracy;
  if (const std::size_t rank = detail::lower_rank(n, probability, tail); rank > 0) {
    MCOMP_TRY(limit, at_rank(static_cast<std::int64_t>(rank)));
    estimate.lower = std::max(min_, limit > 0 ? limit / (1 + a) : limit / (1 - a));
  }
  if (const std::size_t rank = detail::lower_rank(n, 1 - probability, tail); rank > 0) {
    MCOMP_TRY(limit, at_rank(count_ + 1 - static_cast<std::int64_t>(rank)));
    estimate.upper = std::min(max_, limit > 0 ? limit / (1 - a) : limit / (1 + a));
  }
  return estimate;
}

std::vector<SketchBin> QuantileSketch::bins() const {
  std::vector<SketchBin> bins;
  const auto borders = [this](const Store& store, std::size_t i) {
    const std::int32_t key = store.low + static_cast<std::int32_t>(i);
    return std::pair(i == 0 && store.collapsed ? 0 : lower_border(key), lower_border(key + 1));
  };
  for (std::size_t i = negative_.counts.size(); i-- > 0;)
    if (negative_.counts[i] != 0) {
      const auto [near, far] = borders(negative_, i);
      bins.push_back({-far, -near, negative_.counts[i]});
    }
  if (zeros_ != 0) bins.push_back({0, 0, zeros_});
  for (std::size_t i = 0; i < positive_.counts.size(); ++i)
    if (positive_.counts[i] != 0) {
      const auto [near, far] = borders(positive_, i);
      bins.push_back({near, far, positive_.counts[i]});
    }
  return bins;
}

// The form of the bytes: "mcsk", version 1, then the options, scalars, the sum as sign and limbs, and of both signs
// the collapse mark, least key, number of keys up to the last in use and their counts in LEB128.

namespace {

constexpr char magic[4] = {'m', 'c', 's', 'k'};
constexpr std::uint8_t version = 1;

class Writer {
 public:
  template <class T> void number(T value) {
    const auto bits = static_cast<std::uint64_t>(value);
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<std::byte>(bits >> (8 * i)));
  }
  void real(double value) { number(std::bit_cast<std::uint64_t>(value)); }
  void variable(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<std::byte>(value | 0x80));
    bytes_.push_back(static_cast<std::byte>(value));
  }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

Error corrupt(const char* rule) {
  return {ErrorCode::corrupt, "sketch", rule, "pass the bytes that to_bytes gave, whole"};
}

/// Reads what `Writer` wrote; after the end it gives zeros and remembers.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <class T> T number() {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) bits |= static_cast<std::uint64_t>(byte()) << (8 * i);
    return static_cast<T>(bits);
  }
  double real() { return std::bit_cast<double>(number<std::uint64_t>()); }
  std::uint64_t variable() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      const std::uint8_t next = byte();
      value |= static_cast<std::uint64_t>(next & 0x7f) << shift;
      if (next < 0x80) {
        if (next == 0 && shift > 0) failed_ = true; // the same number has a shorter form
        return value;
      }
    }
    failed_ = true;
    return 0;
  }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }

 private:
  std::uint8_t byte() {
    if (bytes_.empty()) {
      failed_ = true;
      return 0;
    }
    const auto value = static_cast<std::uint8_t>(bytes_.front());
    bytes_ = bytes_.subspan(1);
    return value;
  }
  std::span<const std::byte> bytes_;
  bool failed_ = false;
};

} // namespace

std::vector<std::byte> QuantileSketch::to_bytes() const {
  Writer out;
  for (const char letter : magic) out.number(static_cast<std::uint8_t>(letter));
  out.number(version);
  out.real(options_.relative_accuracy);
  out.number(static_cast<std::uint32_t>(options_.max_bins));
  out.number(static_cast<std::uint8_t>(options_.negative_values));
  out.number(static_cast<std::uint64_t>(count_));
  out.number(static_cast<std::uint64_t>(zeros_));
  out.number(static_cast<std::uint64_t>(rejected_));
  out.real(count_ == 0 ? 0 : min_ + 0.0); // no difference between the zeros
  out.real(count_ == 0 ? 0 : max_ + 0.0);
  const ExactSum::Digits digits = sum_.digits();
  std::size_t first = 0, end = ExactSum::limbs;
  while (end > 0 && digits.magnitude[end - 1] == 0) --end;
  while (first < end && digits.magnitude[first] == 0) ++first;
  out.number(static_cast<std::uint8_t>(digits.negative));
  out.number(static_cast<std::uint8_t>(first));
  out.number(static_cast<std::uint8_t>(end));
  for (std::size_t i = first; i < end; ++i) out.number(digits.magnitude[i]);
  for (const Store* store : {&positive_, &negative_}) {
    const std::int32_t low = store->used ? store->first() : 0, high = store->used ? store->last() + 1 : 0;
    out.number(static_cast<std::uint8_t>(store->collapsed));
    out.number(static_cast<std::uint32_t>(low));
    out.number(static_cast<std::uint32_t>(high - low));
    for (std::int32_t key = low; key < high; ++key)
      out.variable(static_cast<std::uint64_t>(store->counts[static_cast<std::size_t>(key - store->low)]));
  }
  return out.take();
}

Result<QuantileSketch> QuantileSketch::from_bytes(std::span<const std::byte> bytes) {
  Reader in(bytes);
  for (const char letter : magic)
    if (in.number<std::uint8_t>() != static_cast<std::uint8_t>(letter)) return corrupt("it must start with \"mcsk\"");
  if (const auto found = in.number<std::uint8_t>(); found != version || in.failed()) {
    if (found <= version || in.failed()) return corrupt("it has no version");
    return Error(ErrorCode::version_mismatch, "sketch", fmt::format("version {}, this library reads 1", found),
                 "read it with the version of mcomp that wrote it");
  }
  SketchOptions options;
  options.relative_accuracy = in.real();
  options.max_bins = in.number<std::int32_t>();
  const auto negative_values = in.number<std::uint8_t>();
  options.negative_values = negative_values != 0;
  if (in.failed() || negative_values > 1 || !check(options)) return corrupt("its options cannot be");
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  const auto count = in.number<std::uint64_t>(), zeros = in.number<std::uint64_t>(),
             rejected = in.number<std::uint64_t>();
  const double min = in.real(), max = in.real();
  if (in.failed() || count > most || zeros > count || rejected > most) return corrupt("its counts cannot be");
  if (!std::isfinite(min) || !std::isfinite(max) || min > max || (count == 0 && (min != 0 || max != 0)) ||
      (!options.negative_values && min < 0))
    return corrupt("its extremes cannot be");

  ExactSum::Digits digits;
  digits.negative = in.number<std::uint8_t>() != 0;
  const std::size_t first = in.number<std::uint8_t>(), end = in.number<std::uint8_t>();
  if (in.failed() || end > ExactSum::limbs || first > end) return corrupt("its sum has no such digits");
  for (std::size_t i = first; i < end; ++i) digits.magnitude[i] = in.number<std::uint32_t>();

  // The counts stand before anything is allocated: each takes at least a byte.
  struct Range {
    bool collapsed;
    std::int64_t low, size;
    Reader counts;
  };
  std::vector<Range> ranges;
  std::uint64_t total = zeros;
  for (int side = 0; side < 2; ++side) {
    const auto collapsed = in.number<std::uint8_t>();
    const std::int64_t low = in.number<std::int32_t>(), size = in.number<std::uint32_t>();
    if (in.failed() || collapsed > 1 || size > options.max_bins || size > static_cast<std::int64_t>(in.left()) ||
        low < 0 || (side == 1 && size > 0 && !options.negative_values) || (size == 0 && (low != 0 || collapsed != 0)))
      return corrupt("it has more bins than it may");
    ranges.push_back({collapsed != 0, low, size, in});
    for (std::int64_t i = 0; i < size; ++i) {
      const std::uint64_t n = in.variable();
      if (n > most - std::min(total, most) || ((i == 0 || i + 1 == size) && n == 0))
        return corrupt("its bins cannot be");
      total += n;
    }
  }
  if (in.failed()) return corrupt("it ends before its last number");
  if (in.left() != 0) return corrupt("there is more behind its end");
  if (total != count) return corrupt("its bins do not add up to its count");

  QuantileSketch sketch(options);
  sketch.count_ = static_cast<std::int64_t>(count);
  sketch.zeros_ = static_cast<std::int64_t>(zeros);
  sketch.rejected_ = static_cast<std::int64_t>(rejected);
  if (count != 0) {
    sketch.min_ = min;
    sketch.max_ = max;
  }
  sketch.sum_ = ExactSum::from_digits(digits);
  for (int side = 0; side < 2; ++side) {
    Range& range = ranges[static_cast<std::size_t>(side)];
    if (range.size == 0) continue;
    Store& store = side == 0 ? sketch.positive_ : sketch.negative_;
    const std::int64_t last = range.low + range.size - 1;
    if (last > static_cast<std::int64_t>(2047 * sketch.bins_per_octave_))
      return corrupt("it has bins beyond all numbers");
    // The extremes stand in the outermost bins.
    const double extreme = side == 0 ? max : -min;
    if (!(extreme > 0) || sketch.key(extreme) != last) return corrupt("its largest value is not in its last bin");
    if (range.collapsed && range.size != options.max_bins) return corrupt("it joined bins without need");
    store.used = true;
    store.collapsed = store.pinned = range.collapsed;
    store.low = static_cast<std::int32_t>(range.low);
    for (std::int64_t i = 0; i < range.size; ++i)
      store.counts[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(range.counts.variable());
  }
  const bool has_positive = ranges[0].size > 0, has_negative = ranges[1].size > 0;
  constexpr double normal = std::numeric_limits<double>::min();
  if (count != 0 && ((!has_positive && max >= normal) || (!has_negative && min <= -normal)))
    return corrupt("its extremes are in no bin");
  const double sum = sketch.sum(), n = static_cast<double>(count),
               slack = 1e-9 * std::max(std::abs(min), std::abs(max));
  if (std::isfinite(sum) && (count == 0 ? sum != 0 : sum / n < min - slack || sum / n > max + slack))
    return corrupt("its sum lies outside its extremes");
  if (sketch.to_bytes() != std::vector<std::byte>(bytes.begin(), bytes.end()))
    return corrupt("the same values are written in another form");
  return sketch;
}

std::string to_string(const QuantileSketch& sketch) {
  if (sketch.count() == 0) return "no values";
  std::string text = fmt::format("{} values, {:.4g} .. {:.4g}, mean {:.4g}", sketch.count(), sketch.min(), sketch.max(),
                                 sketch.mean());
  for (const int percent : {50, 95, 99})
    if (const auto value = sketch.quantile(percent / 100.0)) text += fmt::format(", p{} {:.4g}", percent, *value);
  return text + fmt::format(" (within {:.4g}%)", 100 * sketch.options().relative_accuracy);
}

} // namespace mcomp::inline v0::stats
