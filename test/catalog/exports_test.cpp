#include "mcomp/catalog/exports.hpp"

#include <cstdlib>
#include <limits>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/sha256.hpp"

using namespace mcomp;
using namespace mcomp::catalog;
using Json = nlohmann::json;

namespace {

ArtifactDescription description() {
  const auto blob = [](const std::string& bytes) {
    return Blob{digest_of(bytes), static_cast<std::int64_t>(bytes.size())};
  };
  ArtifactDescription a;
  a.manifest = {.name = "resnet20 | w8a8",
                .parts = {{PartRole::weights, "model.safetensors", blob("weights")},
                          {PartRole::recipe, "recipe.json", blob("{}")}},
                .baseline = sha256("baseline"),
                .data = {{"calibration", sha256("images")}, {"evaluation", "rows 0 to 4999"}},
                .library_version = "0.1.0",
                .seed = std::numeric_limits<std::uint64_t>::max(),
                .instruction_set_cap = "avx2",
                .hardware = {{"avx512-vnni"}, "w8a8", 1000}};
  a.id = digest_of("manifest");
  a.version = "3";
  a.owner = "ana";
  a.licence = "Apache-2.0";
  a.task = "image-classification";
  a.architecture = "resnet20";
  a.intended_use = "Small images.\nNothing else.";
  a.limitations = {"never tried at night"};
  a.considerations = {"trained on ten classes"};
  a.metrics = {{.name = "top-1 accuracy", .value = 0.9173, .lower = 0.91, .upper = 0.92},
               {.name = "top-1 accuracy", .value = 0.9, .slice = "region=eu"}};
  a.details = {{"note", "a <b> | c"}};
  a.time = 1'735'689'600; // 2025-01-01
  return a;
}

/// What the public schemas say; true where they cannot be asked, after saying why.
bool valid(const std::string& kind, const std::string& document) {
  const auto validate = mcomp_test::data("schemas/validate.py");
  if (!validate) return true;
  if (std::system("/usr/bin/python3 -c 'import jsonschema' 2>/dev/null") != 0) {
    mcomp_test::skip("python3-jsonschema is not installed");
    return true;
  }
  const auto path = mcomp_test::temporary_folder() / "document.json";
  REQUIRE(write_file(path, document));
  const std::string command = "/usr/bin/python3 '" + validate->string() + "' " + kind + " '" + path.string() + "'";
  return std::system((command + " >/dev/null").c_str()) == 0;
}

} // namespace

TEST_CASE("the bill of materials is CycloneDX, and says what the artifact is made of") {
  const ArtifactDescription a = description();
  const std::string text = to_cyclonedx(a).value();
  CHECK(valid("cyclonedx", text));
  CHECK(to_cyclonedx(a).value() == text);
  const Json bom = Json::parse(text);
  CHECK(bom["metadata"]["timestamp"] == "2025-01-01T00:00:00Z");
  const Json& model = bom["metadata"]["component"];
  CHECK(model["hashes"][0]["content"] == a.id.substr(7));
  CHECK(model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["confidenceInterval"]["lowerBound"] ==
        "0.91");
  REQUIRE(bom["components"].size() == 5); // baseline, two data sets, two files
  CHECK(bom["components"][0]["hashes"][0]["content"] == a.manifest.baseline);
  CHECK_FALSE(bom["components"][2].contains("hashes")); // "rows 0 to 4999" is no digest
  CHECK(bom["dependencies"][0]["dependsOn"].size() == 5);
  ArtifactDescription other = a;
  other.version = "4";
  CHECK(Json::parse(to_cyclonedx(other).value())["serialNumber"] != bom["serialNumber"]);
  ArtifactDescription least;
  least.id = a.id;
  least.manifest = {.name = "m", .parts = {{PartRole::weights, "w", {digest_of("w"), 1}}}};
  CHECK(valid("cyclonedx", to_cyclonedx(least).value()));
}

TEST_CASE("the statement of provenance is in-toto and SLSA") {
  const ArtifactDescription a = description();
  const std::string text =
      to_provenance(a, {.builder = "https://example.com/build", .invocation = "run-1", .started = 10, .finished = 20})
          .value();
  CHECK(valid("slsa-provenance", text));
  CHECK(valid("slsa-provenance", to_provenance(a).value()));
  const Json statement = Json::parse(text);
  CHECK(statement["subject"][0]["digest"]["sha256"] == digest_of("weights").substr(7));
  const Json& predicate = statement["predicate"];
  CHECK(predicate["buildDefinition"]["externalParameters"]["seed"] == "18446744073709551615");
  CHECK(predicate["buildDefinition"]["externalParameters"]["recipe"] == digest_of("{}"));
  CHECK(predicate["buildDefinition"]["resolvedDependencies"].size() == 3);
  CHECK(predicate["runDetails"]["metadata"]["startedOn"] == "1970-01-01T00:00:10Z");
  CHECK_FALSE(to_provenance(a, {.builder = "nobody"}));
  CHECK_FALSE(to_provenance(a, {.started = 20, .finished = 10}));
  CHECK_FALSE(to_provenance(a, {.started = -1}));
}

TEST_CASE("the model card reads in a line what was given, and nothing in it is markup") {
  const ArtifactDescription a = description();
  const std::string text = to_model_card(a).value();
  CHECK(text.find("# resnet20 \\| w8a8\n") == 0);
  CHECK(text.find("- note: a \\<b\\> \\| c\n") != std::string::npos);
  CHECK(text.find("Small images. Nothing else.") != std::string::npos);
  CHECK(text.find("| top-1 accuracy | all | 0.9173 | 0.91 to 0.92 |") != std::string::npos);
  CHECK(text.find("| top-1 accuracy | region=eu | 0.9 |  |") != std::string::npos);
  CHECK(text.find("- Size: 9 bytes\n") != std::string::npos);
  CHECK(text.find("never tried at night") != std::string::npos);
  const Json card = Json::parse(to_model_card_json(a).value());
  CHECK(card["schema"] == "mcomp-model-card-1");
  CHECK(card["metrics"][0]["interval"] == Json::array({0.91, 0.92}));
  CHECK(card["files"][1]["role"] == "recipe");
  CHECK(card["seed"] == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("descriptions that cannot be exported are errors") {
  const auto rejected = [](const auto& change) {
    ArtifactDescription a = description();
    change(a);
    const auto card = to_model_card(a);
    return !card && mcomp_test::well_formed(card.error()) && !to_cyclonedx(a) && !to_provenance(a);
  };
  CHECK(rejected([](ArtifactDescription& a) { a.id = "sha256:12"; }));
  CHECK(rejected([](ArtifactDescription& a) { a.manifest.name.clear(); }));
  CHECK(rejected([](ArtifactDescription& a) { a.version.clear(); }));
  CHECK(rejected([](ArtifactDescription& a) { a.metrics[0].name.clear(); }));
  CHECK(rejected([](ArtifactDescription& a) { a.metrics[0].upper.reset(); }));
  CHECK(rejected([](ArtifactDescription& a) { a.metrics[0].value = std::numeric_limits<double>::quiet_NaN(); }));
  CHECK(rejected([](ArtifactDescription& a) { a.time = -1; }));
  CHECK(rejected([](ArtifactDescription& a) { a.manifest.name = "\xff"; }));
}
