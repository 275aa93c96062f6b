#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0 {

/// Named tensors: the weights of a network, or the content of a file. An entry is either owned or a view kept alive by
/// a shared owner (a memory-mapped file), so that a store may describe more than fits into memory. Copies share
/// entries; entries are never changed in place, only replaced.
class MCOMP_API TensorStore {
 public:
  /// Adds or replaces.
  void put(std::string name, Tensor tensor);
  /// Adds or replaces a view whose memory lives as long as `owner`.
  void put(std::string name, TensorView view, std::shared_ptr<const void> owner);
  void erase(std::string_view name);

  [[nodiscard]] bool contains(std::string_view name) const;
  /// Error: not_found, naming the tensor and, where one is close, the name that was probably meant.
  [[nodiscard]] Result<TensorView> find(std::string_view name) const;
  /// In alphabetical order.
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// Bytes of all tensors.
  [[nodiscard]] std::int64_t bytes() const noexcept;
  /// True where both hold equal tensors under the same names.
  friend MCOMP_API bool operator==(const TensorStore& a, const TensorStore& b);

 private:
  struct Entry {
    TensorView view;
    std::shared_ptr<const void> owner;
  };
  std::map<std::string, Entry, std::less<>> entries_;
};

} // namespace mcomp::inline v0
