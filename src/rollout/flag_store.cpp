#include <algorithm>
#include <mutex>
#include <utility>

#include "mcomp/rollout/flags.hpp"

namespace mcomp::inline v0::rollout {

/// One reader's announcement of what it is looking at, on a cache line of its own.
struct alignas(64) FlagStore::Slot {
  std::atomic<const FlagSnapshot*> hazard = nullptr;
  bool used = false; ///< guarded by the state's mutex
};

struct FlagStore::State {
  std::atomic<const FlagSnapshot*> current = nullptr;
  mutable std::mutex mutex;
  std::vector<std::shared_ptr<const FlagSnapshot>> alive; ///< the current one is the last
  std::vector<std::unique_ptr<Slot>> slots;

  /// Those that nobody can be looking at any more; they are freed by the caller, outside of the lock.
  std::vector<std::shared_ptr<const FlagSnapshot>> reclaimed() {
    std::vector<std::shared_ptr<const FlagSnapshot>> free;
    const auto pinned = [&](const FlagSnapshot* snapshot) {
      return std::ranges::any_of(slots, [&](const auto& slot) { return slot->hazard.load() == snapshot; });
    };
    for (auto& snapshot : alive)
      if (snapshot != alive.back() && !pinned(snapshot.get())) free.push_back(std::move(snapshot));
    std::erase(alive, nullptr);
    return free;
  }
};

FlagStore::FlagStore(std::shared_ptr<const FlagSnapshot> first) : state_(std::make_shared<State>()) {
  if (!first) first = FlagSnapshot::compile({}).value();
  state_->alive.push_back(first);
  state_->current.store(first.get());
}
FlagStore::~FlagStore() = default;

void FlagStore::publish(std::shared_ptr<const FlagSnapshot> snapshot) {
  if (!snapshot) return;
  std::vector<std::shared_ptr<const FlagSnapshot>> free;
  const std::lock_guard lock(state_->mutex);
  // One that is published again, as a rollback does, moves to the end and is not held twice.
  std::erase(state_->alive, snapshot);
  state_->alive.push_back(snapshot);
  state_->current.store(snapshot.get(), std::memory_order_seq_cst);
  free = state_->reclaimed();
}

std::shared_ptr<const FlagSnapshot> FlagStore::current() const {
  const std::lock_guard lock(state_->mutex);
  return state_->alive.back();
}

FlagStore::Reader FlagStore::reader() {
  return Reader(state_);
}

FlagStore::Reader::Reader(std::shared_ptr<State> state) : state_(std::move(state)), current_(&state_->current) {
  const std::lock_guard lock(state_->mutex);
  auto unused = std::ranges::find_if(state_->slots, [](const auto& slot) { return !slot->used; });
  if (unused == state_->slots.end()) {
    state_->slots.push_back(std::make_unique<Slot>());
    unused = state_->slots.end() - 1;
  }
  (*unused)->used = true;
  hazard_ = &(*unused)->hazard;
}

FlagStore::Reader::Reader(Reader&& other) noexcept
    : state_(std::move(other.state_)), current_(other.current_), hazard_(std::exchange(other.hazard_, nullptr)),
      pinned_(other.pinned_), depth_(other.depth_) {}

FlagStore::Reader::~Reader() {
  if (!hazard_) return;
  const std::lock_guard lock(state_->mutex);
  hazard_->store(nullptr);
  for (const auto& slot : state_->slots)
    if (&slot->hazard == hazard_) slot->used = false;
}

} // namespace mcomp::inline v0::rollout
