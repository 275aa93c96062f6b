#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "cost/variates.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::cost::detail {

inline constexpr double never = std::numeric_limits<double>::infinity();

struct Request {
  double arrival = 0;
  double work = -1; ///< seconds of service alone; negative: to be drawn
  std::int32_t attempts = 0;
};

/// First in, first out, but for requests that come back after an interruption. A ring of a power of two.
class Line {
 public:
  Line() : ring_(64) {}
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const Request& front() const noexcept { return ring_[head_]; }
  void push_back(const Request& request) {
    if (size_ == ring_.size()) grow();
    ring_[(head_ + size_++) & (ring_.size() - 1)] = request;
  }
  void push_front(const Request& request) {
    if (size_ == ring_.size()) grow();
    head_ = (head_ - 1) & (ring_.size() - 1);
    ring_[head_] = request;
    ++size_;
  }
  Request pop() noexcept {
    const Request request = ring_[head_];
    head_ = (head_ + 1) & (ring_.size() - 1);
    --size_;
    return request;
  }

 private:
  void grow() {
    std::vector<Request> larger(2 * ring_.size());
    for (std::size_t i = 0; i < size_; ++i) larger[i] = ring_[(head_ + i) & (ring_.size() - 1)];
    ring_ = std::move(larger);
    head_ = 0;
  }
  std::vector<Request> ring_;
  std::size_t head_ = 0, size_ = 0;
};

struct EngineRules {
  std::size_t slots = 1; ///< servers of an instance
  std::size_t max_batch = 1;
  double max_wait = 0;
  std::size_t queue_limit = std::numeric_limits<std::size_t>::max();
  double boot = 0;
  double mean_between_losses = 0; ///< of an instance; 0: never
  std::int32_t retries = 0;
};

/// The clock of a pool of instances with `slots` servers each. What arrives, how long service takes, what is recorded
/// and how many instances there shall be is up to `Hooks`:
///   double next_arrival()                                 time of the next request, `never` at the end
///   Request request(double time)                          that request
///   double service(const Request* batch, std::size_t n)   seconds
///   void done(double arrival, double start, double now)
///   void dropped(double arrival); void lost(double arrival)
///   double control(Engine&, double now)                   called at the times that it returned before; the next time
template <class Hooks> class EventEngine {
 public:
  EventEngine(const EngineRules& rules, Hooks& hooks, std::uint64_t seed)
      : rules_(rules), hooks_(hooks), random_(seed, 1) {}

  /// Another instance, which serves after `delay` seconds.
  void launch(double delay) {
    account();
    std::size_t id = 0;
    if (free_ids_.empty()) {
      id = instances_.size();
      instances_.emplace_back();
      slot_.resize(slot_.size() + rules_.slots);
      if (rules_.max_batch > 1) others_.resize(others_.size() + rules_.slots * (rules_.max_batch - 1));
    } else {
      id = free_ids_.back();
      free_ids_.pop_back();
    }
    Instance& instance = instances_[id];
    instance.state = State::booting;
    ++on_;
    instance.order = launches_++;
    ++booting_;
    if (delay > 0)
      push({now_ + delay, static_cast<std::uint32_t>(id), instance.epoch, Kind::ready});
    else
      ready(id);
  }

  /// Takes one instance away: the youngest that boots, else the one with the least to do, which ends what it serves.
  void retire() {
    std::size_t best = instances_.size();
    const auto better = [&](const Instance& a, const Instance& b) {
      if ((a.state == State::booting) != (b.state == State::booting)) return a.state == State::booting;
      if (a.state == State::booting || a.busy == b.busy) return a.order > b.order;
      return a.busy < b.busy;
    };
    for (std::size_t i = 0; i < instances_.size(); ++i) {
      const State state = instances_[i].state;
      if (state != State::booting && state != State::up) continue;
      if (best == instances_.size() || better(instances_[i], instances_[best])) best = i;
    }
    if (best == instances_.size()) return;
    Instance& instance = instances_[best];
    if (instance.state == State::booting) {
      --booting_;
      end(best);
      return;
    }
    account();
    --up_;
    instance.state = State::draining;
    if (instance.busy == 0) end(best);
  }

  void run() {
    double arrival = hooks_.next_arrival(), control = hooks_.control(*this, 0);
    for (;;) {
      const double event = heap_.empty() ? never : heap_.front().time;
      if (arrival < event && arrival < timer_ && arrival < control) {
        now_ = arrival;
        arrive(hooks_.request(arrival));
        arrival = hooks_.next_arrival();
        continue;
      }
      const double next = std::min({event, timer_, control});
      if (arrival == never && in_system_ == 0 && control == never) break;
      now_ = next;
      if (next == event)
        handle(pop());
      else if (next == timer_)
        dispatch();
      else
        control = hooks_.control(*this, now_);
    }
    account();
  }

  [[nodiscard]] double now() const noexcept { return now_; }
  [[nodiscard]] std::int64_t up() const noexcept { return up_; }
  [[nodiscard]] std::int64_t booting() const noexcept { return booting_; }
  [[nodiscard]] std::size_t waiting() const noexcept { return line_.size(); }
  /// Until now: seconds that servers were busy, and that they were up.
  [[nodiscard]] double busy_seconds() { return account(), busy_area_; }
  [[nodiscard]] double up_seconds() { return account(), up_area_; }
  [[nodiscard]] double billed_seconds() { return account(), billed_area_; } ///< of instances that are not off
  /// Seconds that requests waited in the line.
  [[nodiscard]] double waiting_seconds() { return account(), waiting_area_; }
  [[nodiscard]] std::int64_t interruptions() const noexcept { return interruptions_; }
  [[nodiscard]] std::int64_t services() const noexcept { return services_; }
  [[nodiscard]] std::int64_t served() const noexcept { return served_; }

 private:
  enum class State : std::uint8_t { off, booting, up, draining };
  enum class Kind : std::uint8_t { complete, ready, loss };
  struct Instance {
    State state = State::off;
    std::uint32_t epoch = 0; ///< events of an earlier life of the instance do not count
    std::uint32_t busy = 0;
    std::int64_t order = 0;
  };
  struct Slot {
    Request first;
    double start = 0;
    std::uint32_t size = 0; ///< requests in service; 0: idle
  };
  struct Idle {
    std::uint32_t slot, epoch;
  };
  struct Event {
    double time;
    std::uint32_t id, epoch; ///< slot or instance
    Kind kind;
  };

  void push(const Event& event) {
    heap_.push_back(event);
    std::size_t i = heap_.size() - 1;
    for (; i > 0; i = (i - 1) / 2) {
      Event& parent = heap_[(i - 1) / 2];
      if (parent.time <= event.time) break;
      heap_[i] = parent;
    }
    heap_[i] = event;
  }
  Event pop() {
    const Event top = heap_.front(), last = heap_.back();
    heap_.pop_back();
    const std::size_t n = heap_.size();
    if (n > 0) {
      std::size_t i = 0;
      for (std::size_t child = 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && heap_[child + 1].time < heap_[child].time) ++child;
        if (heap_[child].time >= last.time) break;
        heap_[i] = heap_[child];
        i = child;
      }
      heap_[i] = last;
    }
    return top;
  }

  void account() noexcept {
    const double passed = now_ - last_;
    busy_area_ += static_cast<double>(busy_) * passed;
    up_area_ += static_cast<double>(up_) * static_cast<double>(rules_.slots) * passed;
    billed_area_ += static_cast<double>(on_) * passed;
    waiting_area_ += static_cast<double>(line_.size()) * passed;
    last_ = now_;
  }

  void ready(std::size_t id) {
    account();
    Instance& instance = instances_[id];
    instance.state = State::up;
    ++up_;
    --booting_;
    if (rules_.mean_between_losses > 0)
      push({now_ + rules_.mean_between_losses * exponential(random_), static_cast<std::uint32_t>(id), instance.epoch,
            Kind::loss});
    for (std::size_t k = 0; k < rules_.slots; ++k)
      idle_.push_back({static_cast<std::uint32_t>(id * rules_.slots + k), instance.epoch});
    dispatch();
  }

  void end(std::size_t id) {
    account();
    Instance& instance = instances_[id];
    instance.state = State::off;
    ++instance.epoch;
    --on_;
    free_ids_.push_back(id);
  }

  /// A free slot, or nothing: entries of instances that are gone are thrown away on the way.
  [[nodiscard]] bool has_idle() noexcept {
    while (!idle_.empty()) {
      const Instance& instance = instances_[idle_.back().slot / rules_.slots];
      if (instance.epoch == idle_.back().epoch && instance.state == State::up) return true;
      idle_.pop_back();
    }
    return false;
  }

  void arrive(const Request& request) {
    if (rules_.max_batch == 1 && line_.size() == 0 && has_idle()) {
      ++in_system_;
      const std::uint32_t slot = idle_.back().slot;
      idle_.pop_back();
      start(slot, request, 1);
      return;
    }
    // With batches the last request of one need not wait: a free server takes it at once.
    if (line_.size() >= rules_.queue_limit && !(line_.size() + 1 >= rules_.max_batch && has_idle())) {
      hooks_.dropped(request.arrival);
      return;
    }
    account();
    ++in_system_;
    line_.push_back(request);
    if (rules_.max_batch > 1) dispatch();
  }

  void dispatch() {
    timer_ = never;
    while (line_.size() > 0 && has_idle()) {
      if (line_.size() < rules_.max_batch && now_ < line_.front().arrival + rules_.max_wait) {
        timer_ = line_.front().arrival + rules_.max_wait;
        return;
      }
      const std::uint32_t slot = idle_.back().slot;
      idle_.pop_back();
      account();
      const std::size_t n = std::min(line_.size(), rules_.max_batch);
      const Request first = line_.pop();
      for (std::size_t k = 1; k < n; ++k) others_[slot * (rules_.max_batch - 1) + k - 1] = line_.pop();
      start(slot, first, n);
    }
  }

  void start(std::uint32_t id, const Request& first, std::size_t n) {
    account();
    Slot& slot = slot_[id];
    slot.first = first;
    slot.start = now_;
    slot.size = static_cast<std::uint32_t>(n);
    double work = first.work;
    for (std::size_t k = 1; k < n; ++k) work = std::max(work, others_[id * (rules_.max_batch - 1) + k - 1].work);
    Instance& instance = instances_[id / rules_.slots];
    ++instance.busy;
    ++busy_;
    push({now_ + hooks_.service(first.arrival, work, n), id, instance.epoch, Kind::complete});
  }

  void handle(const Event& event) {
    if (event.kind == Kind::complete) {
      const std::size_t owner = event.id / rules_.slots;
      Instance& instance = instances_[owner];
      if (instance.epoch != event.epoch) return;
      account();
      Slot& slot = slot_[event.id];
      const std::size_t n = slot.size;
      hooks_.done(slot.first.arrival, slot.start, now_);
      for (std::size_t k = 1; k < n; ++k)
        hooks_.done(others_[event.id * (rules_.max_batch - 1) + k - 1].arrival, slot.start, now_);
      in_system_ -= static_cast<std::int64_t>(n);
      served_ += static_cast<std::int64_t>(n);
      ++services_;
      slot.size = 0;
      --instance.busy;
      --busy_;
      if (instance.state == State::draining) {
        if (instance.busy == 0) end(owner);
        return;
      }
      if (rules_.max_batch == 1 && line_.size() > 0) {
        start(event.id, line_.pop(), 1);
        return;
      }
      idle_.push_back({event.id, event.epoch});
      if (line_.size() > 0) dispatch();
      return;
    }
    Instance& instance = instances_[event.id];
    if (instance.epoch != event.epoch) return;
    if (event.kind == Kind::ready)
      ready(event.id);
    else
      lose(event.id);
  }

  void lose(std::size_t id) {
    account();
    ++interruptions_;
    Instance& instance = instances_[id];
    const bool replaced = instance.state == State::up;
    if (replaced) --up_;
    for (std::size_t s = id * rules_.slots; s < (id + 1) * rules_.slots; ++s) {
      Slot& slot = slot_[s];
      for (std::size_t k = slot.size; k-- > 0;)
        give_back(k == 0 ? slot.first : others_[s * (rules_.max_batch - 1) + k - 1]);
      if (slot.size > 0) --busy_;
      slot.size = 0;
    }
    instance.busy = 0;
    end(id);
    if (replaced) launch(rules_.boot);
    dispatch();
  }

  void give_back(Request request) {
    if (++request.attempts > rules_.retries) {
      --in_system_;
      hooks_.lost(request.arrival);
    } else {
      line_.push_front(request);
    }
  }

  EngineRules rules_;
  Hooks& hooks_;
  Random random_;
  double now_ = 0, last_ = 0, timer_ = never;
  double busy_area_ = 0, up_area_ = 0, billed_area_ = 0, waiting_area_ = 0;
  std::int64_t on_ = 0, up_ = 0, booting_ = 0, busy_ = 0, in_system_ = 0, launches_ = 0;
  std::int64_t interruptions_ = 0, services_ = 0, served_ = 0;
  std::vector<Instance> instances_;
  std::vector<std::size_t> free_ids_;
  std::vector<Slot> slot_;
  std::vector<Request> others_; ///< of batches, but for the first request
  std::vector<Idle> idle_;
  std::vector<Event> heap_;
  Line line_;
};

} // namespace mcomp::inline v0::cost::detail
