#include "mcomp/monitor/sketch_window.hpp"

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::monitor {

namespace {

constexpr double latest = 1e15; // seconds: window indices stay whole numbers

} // namespace

Result<SketchWindows> SketchWindows::create(const SketchWindowOptions& options) {
  constexpr double shortest = 1e-3;
  if (!(std::isfinite(options.window_seconds) && options.window_seconds >= shortest))
    return Error(ErrorCode::invalid_argument, "window_seconds", fmt::format("{}", options.window_seconds),
                 "pass at least a millisecond");
  constexpr std::int64_t most = 100'000;
  if (options.windows < 1 || options.windows > most)
    return Error(ErrorCode::invalid_argument, "windows", fmt::format("{}", options.windows), "pass 1 to 100,000");
  MCOMP_TRY(empty, stats::QuantileSketch::create(options.sketch));
  return SketchWindows(options, std::move(empty));
}

stats::QuantileSketch* SketchWindows::at(std::int64_t index) {
  if (index <= newest_ - options_.windows) return nullptr;
  newest_ = std::max(newest_, index);
  Window& window = ring_[static_cast<std::size_t>(index % options_.windows)];
  if (window.index != index) {
    window.index = index;
    if (window.sketch.empty())
      window.sketch.push_back(empty_);
    else
      window.sketch.front() = empty_;
  }
  return &window.sketch.front();
}

void SketchWindows::add(double seconds, double value) {
  if (!(seconds >= 0 && seconds <= latest)) {
    ++rejected_;
    return;
  }
  if (stats::QuantileSketch* sketch = at(static_cast<std::int64_t>(seconds / options_.window_seconds)))
    sketch->add(value);
  else
    ++late_;
}

Result<stats::QuantileSketch> SketchWindows::last(double now, double seconds) const {
  if (!(now >= 0 && now <= latest))
    return Error(ErrorCode::invalid_argument, "now", fmt::format("{}", now), "pass the time of the clock that adds");
  const double kept = options_.window_seconds * static_cast<double>(options_.windows);
  if (!(seconds > 0 && seconds <= kept))
    return Error(ErrorCode::invalid_argument, "seconds", fmt::format("{} of {} that are kept", seconds, kept),
                 "ask for less, or keep more windows");
  const auto last = static_cast<std::int64_t>(now / options_.window_seconds);
  // The first window that ends after now - seconds.
  const double begin = std::floor((now - seconds) / options_.window_seconds);
  const auto first = static_cast<std::int64_t>(std::max(begin, -1.0)) + (begin < 0 ? 1 : 0);
  stats::QuantileSketch result = empty_;
  for (const Window& window : ring_)
    if (window.index >= first && window.index <= last) {
      MCOMP_CHECK(result.merge(window.sketch.front()));
    }
  return result;
}

Status SketchWindows::merge(const SketchWindows& other) {
  if (other.options_.window_seconds != options_.window_seconds || other.options_.windows != options_.windows ||
      other.options_.sketch != options_.sketch)
    return Error(ErrorCode::invalid_argument, "other", "its options are other ones", "create both with the same");
  if (&other == this) return Error(ErrorCode::invalid_argument, "other", "it is this ring itself", "merge another one");
  if (other.newest_ > newest_) newest_ = other.newest_; // what is older than its ring is not kept here either
  for (const Window& window : other.ring_) {
    if (window.index < 0) continue;
    if (stats::QuantileSketch* sketch = at(window.index)) {
      MCOMP_CHECK(sketch->merge(window.sketch.front()));
    } else {
      late_ += window.sketch.front().count();
    }
  }
  late_ += other.late_;
  rejected_ += other.rejected_;
  return {};
}

} // namespace mcomp::inline v0::monitor
