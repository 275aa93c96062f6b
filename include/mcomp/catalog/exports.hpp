#pragma once

// What the outside world reads of an artifact: a model card, a bill of materials (CycloneDX 1.6 ML-BOM) and a statement
// of how it was made (in-toto Statement v1 with SLSA Provenance v1, to be wrapped by `Envelope`s of
// catalog/signature.hpp or any DSSE signer).
//
//     catalog::ArtifactDescription text{.id = id, .manifest = store.manifest(id).value(), .version = "3",
//                                       .metrics = {{.name = "top-1", .value = 0.917}}, .time = now};
//     write_file("model.cdx.json", catalog::to_cyclonedx(text).value()).value();

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

struct DescribedMetric {
  std::string name; ///< "top-1 accuracy"
  double value = 0;
  std::optional<double> lower{}, upper{}; ///< of its interval, both or neither
  std::string slice{};                    ///< empty: over all
  friend bool operator==(const DescribedMetric&, const DescribedMetric&) = default;
};

/// Sentences for people; empty ones are left out.
struct ArtifactDescription {
  std::string id; ///< of the artifact, "sha256:..."
  ArtifactManifest manifest{};
  std::string version = "1";
  std::string owner{};
  /// Identifier of the SPDX list, "Apache-2.0". Taken as given: another word makes the bill of materials invalid.
  std::string licence{};
  std::string task{};         ///< "image-classification"
  std::string architecture{}; ///< "resnet20"
  std::string intended_use{};
  std::vector<std::string> limitations{};
  std::vector<std::string> considerations{}; ///< ethical ones: whom it may harm, and what was done about that
  std::vector<DescribedMetric> metrics{};
  std::map<std::string, std::string> details{}; ///< whatever else, name and value
  std::int64_t time = 0;                        ///< seconds since 1970 UTC, of the document
};

/// Errors of all: invalid_argument for an id that is no digest, a missing name, a metric without a name or with half an
/// interval, a time before 1970 or after 9999; invalid_value for numbers that are not finite and text that is not
/// UTF-8.

/// Sections in the order of Mitchell et al., Model Cards for Model Reporting (FAT* 2019); tables for metrics and files.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_model_card(const ArtifactDescription& artifact);
/// The same as JSON, schema "mcomp-model-card-1".
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_model_card_json(const ArtifactDescription& artifact);
/// A CycloneDX 1.6 document: the model as its subject, its files, the baseline and the data as components.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_cyclonedx(const ArtifactDescription& artifact);

struct ProvenanceOptions {
  std::string builder = "urn:mcomp:builder:library"; ///< who answers for the build, as a URI
  std::string invocation{};                          ///< names the run
  std::optional<std::int64_t> started{}, finished{}; ///< seconds since 1970 UTC
};
/// The parts are the subjects; recipe, seed and cap of instruction sets the parameters; baseline and data the
/// dependencies. Errors: as above; invalid_argument for a builder without a scheme, or an end before the start.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_provenance(const ArtifactDescription& artifact,
                                                                   const ProvenanceOptions& options = {});

} // namespace mcomp::inline v0::catalog
