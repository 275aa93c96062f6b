// libFuzzer program for the manifest of an artifact in the catalogue and its config, divided by a NUL: what is accepted
// encodes to the same bytes.

#include "mcomp/catalog/artifact_manifest.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::catalog;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const std::size_t divider = input.find('\0');
  std::string manifest(input.substr(0, divider));
  const std::string_view config = divider == std::string_view::npos ? std::string_view() : input.substr(divider + 1);
  if (const auto blob = config_of(manifest)) {
    // A mutated config fits the manifest, so that what lies behind the digest is reached too.
    const std::size_t at = manifest.find(blob->digest);
    if (at != std::string::npos) manifest.replace(at, blob->digest.size(), digest_of(config));
  }
  const auto decoded = decode(manifest, config);
  if (!decoded) return mcomp_fuzz::demand_whole(decoded.error()), 0;
  const auto encoded = encode(*decoded).value();
  mcomp_fuzz::demand(encoded.manifest == manifest && encoded.config == config && encoded.id == digest_of(manifest));
  return 0;
}
