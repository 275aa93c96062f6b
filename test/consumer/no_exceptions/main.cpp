#include <cstdio>
#include <vector>

#include "mcomp/core/sha256.hpp"
#include "mcomp/core/tensor_store.hpp"

namespace {
mcomp::Result<std::int64_t> bytes_of(const mcomp::TensorStore& store, const char* name) {
  auto view = store.find(name);
  if (!view) return view.error().within("store");
  return view->bytes();
}
} // namespace

int main() {
  mcomp::TensorStore store;
  auto tensor = mcomp::Tensor::from(std::vector<float>{1, 2, 3, 4}, mcomp::Shape{2, 2});
  if (!tensor) return 1;
  store.put("weight", *std::move(tensor));
  const auto known = bytes_of(store, "weight");
  const auto unknown = bytes_of(store, "weights");
  if (!known || *known != 16) return 2;
  if (unknown || unknown.error().code() != mcomp::ErrorCode::not_found) return 3;
  if (unknown.value_or(-1) != -1) return 4;
  std::puts(mcomp::to_string(unknown.error()).c_str());
  return 0;
}
