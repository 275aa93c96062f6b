// What a program does with the library: tensors, fingerprints, formatted values, and errors both as values and as
// exceptions thrown inside the library and caught here.

#include <cstdio>
#include <string>
#include <vector>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/core/tensor.hpp"
#include "mcomp/core/version.hpp"
#include "mcomp/kernels/capabilities.hpp"

namespace {
int failures = 0;
void expect(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "consumer: %s does not hold\n", what);
  ++failures;
}

// An executor of the host: its virtual functions are called from inside the library's interface.
class Reversed final : public mcomp::Executor {
 public:
  int concurrency() const noexcept override { return 1; }
  void run(std::size_t count, const std::function<void(std::size_t)>& task) override {
    for (std::size_t i = count; i-- > 0;) task(i);
  }
};
} // namespace

int main() {
  const std::vector<float> numbers{1, 2, 3, 4, 5, 6};
  const mcomp::Tensor tensor = mcomp::Tensor::from(numbers, mcomp::Shape{2, 3}).value();
  expect(fmt::format("{}", tensor.view()) == "f32 [2, 3]", "a tensor prints as its type and shape");
  // FIPS 180-4, the example "abc".
  expect(mcomp::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256 of abc");
  expect(mcomp::fingerprint(tensor) !=
             mcomp::fingerprint(mcomp::to_f32(tensor.view().rows(0, 1).value(), "row").value()),
         "different tensors have different fingerprints");

  const auto wrong = mcomp::Tensor::from(numbers, mcomp::Shape{4, 4});
  expect(!wrong && wrong.error().code() == mcomp::ErrorCode::invalid_shape, "a wrong shape is an error value");
  try {
    (void)wrong.value();
    expect(false, "value() of an error throws");
  } catch (const mcomp::Error& error) {
    expect(fmt::format("{}", error.code()) == "invalid shape", "the exception caught is the error");
  }
  try {
    (void)tensor.values<double>("tensor").value();
    expect(false, "value() of an error throws");
  } catch (const std::exception& error) {
    expect(dynamic_cast<const mcomp::Error*>(&error) != nullptr, "an Error is recognised behind std::exception");
  }

  Reversed reversed;
  std::string order;
  static_cast<mcomp::Executor&>(reversed).run(3, [&](std::size_t i) { order += static_cast<char>('0' + i); });
  expect(order == "210", "an executor derived here works");

  const mcomp::kernels::Capabilities capabilities = mcomp::kernels::capabilities();
  expect(capabilities.onednn == !capabilities.onednn_version.empty(),
         "the oneDNN that is loaded fits the one compiled for");
  if (failures == 0) fmt::print("mcomp {}: {}; {}\n", MCOMP_VERSION_STRING, tensor.view(), capabilities);
  return failures;
}
