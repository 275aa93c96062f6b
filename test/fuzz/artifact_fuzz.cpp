// libFuzzer program for the manifest of an artifact, beside the weights of a small one. What is accepted is the same
// when written and read again.

#include <fstream>

#include "property.hpp"
#include "scratch_folder.hpp"
#include "small_artifact.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::compress;
  static const mcomp_fuzz::ScratchFolder hostile, copy;
  static const bool made = (mcomp_fuzz::write_small_artifact(hostile.path), true);
  static_cast<void>(made);
  {
    std::ofstream manifest(hostile.path + "/manifest.json", std::ios::binary | std::ios::trunc);
    manifest << mcomp_fuzz::text(data, size);
  }
  const auto artifact = read_artifact(hostile.path);
  if (!artifact) return mcomp_fuzz::demand_whole(artifact.error()), 0;
  mcomp_fuzz::demand(write_artifact(copy.path, artifact->model, artifact->recipe, artifact->plan).has_value());
  const auto again = read_artifact(copy.path);
  mcomp_fuzz::demand(again && again->recipe == artifact->recipe && again->plan == artifact->plan &&
                     fingerprint(again->model) == fingerprint(artifact->model));
  return 0;
}
