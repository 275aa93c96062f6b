#include "catalog/faults.hpp"

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"

TEST_CASE("faults reach the library") {
  const auto folder = mcomp_test::temporary_folder();
  for (std::int64_t at = 0;; ++at) {
    const mcomp_test::Fault fault(at);
    const auto status = mcomp::write_file(folder / "a", "text");
    if (!fault.happened()) {
      CHECK(status);
      CHECK(at == 4); // write, sync, rename, sync of the folder
      break;
    }
    CHECK(status.has_value() == (at == 3)); // core takes a folder that cannot be synced for no error
  }
}
