#include "mcomp/core/tensor_store.hpp"

#include <algorithm>
#include <numeric>

#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0 {

void TensorStore::put(std::string name, Tensor tensor) {
  auto owner = std::make_shared<const Tensor>(std::move(tensor));
  TensorView view = owner->view();
  put(std::move(name), std::move(view), std::move(owner));
}

void TensorStore::put(std::string name, TensorView view, std::shared_ptr<const void> owner) {
  entries_.insert_or_assign(std::move(name), Entry{std::move(view), std::move(owner)});
}

void TensorStore::erase(std::string_view name) {
  if (const auto found = entries_.find(name); found != entries_.end()) entries_.erase(found);
}

bool TensorStore::contains(std::string_view name) const {
  return entries_.find(name) != entries_.end();
}

Result<TensorView> TensorStore::find(std::string_view name) const {
  if (const auto found = entries_.find(name); found != entries_.end()) return found->second.view;
  return Error(ErrorCode::not_found, fmt::format("tensor '{}'", name),
               fmt::format("it is not among the {} tensors", size()), detail::did_you_mean(name, names()));
}

std::vector<std::string> TensorStore::names() const {
  std::vector<std::string> result;
  result.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) result.push_back(name);
  return result;
}

std::int64_t TensorStore::bytes() const noexcept {
  std::int64_t total = 0;
  for (const auto& [name, entry] : entries_) total += entry.view.bytes();
  return total;
}

bool operator==(const TensorStore& a, const TensorStore& b) {
  if (a.size() != b.size()) return false;
  for (auto x = a.entries_.begin(), y = b.entries_.begin(); x != a.entries_.end(); ++x, ++y) {
    if (x->first != y->first) return false;
    const auto left = Tensor::copy_of(x->second.view), right = Tensor::copy_of(y->second.view);
    if (!left || !right || !(*left == *right)) return false;
  }
  return true;
}

} // namespace mcomp::inline v0
