// The JSON and text of version 1 of the types of this room that are stored or exchanged, as files.

#include "golden.hpp"

#include "mcomp/catalog/approval.hpp"
#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/catalog/changelog.hpp"
#include "mcomp/catalog/checkpoint.hpp"
#include "mcomp/catalog/event.hpp"
#include "mcomp/catalog/governance.hpp"
#include "mcomp/catalog/records.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

namespace {

template <class Value, class Read> void check(const std::string& name, const Value& value, const Read& read) {
  mcomp_test::check_golden(MCOMP_TEST_CATALOG_DIR, name, value, read,
                           [](const Value& one) { return to_json(one).value(); });
}

SigningKey key() {
  return SigningKey::from_seed("ana", std::vector<std::uint8_t>(32, 1)).value();
}

} // namespace

TEST_CASE("golden files of records") {
  check("experiment",
        Experiment{.name = "w4a8 trial",
                   .owner = "ana",
                   .status = "won",
                   .parameters = {{"bits", "4"}},
                   .inputs = {{"data", "d"}},
                   .metrics = {{"accuracy", 0.93}},
                   .slices = {{"region=eu", {{"accuracy", 0.9}}}},
                   .environment = {{"cpu", "x"}},
                   .duration_seconds = 12.5,
                   .parent = "e41",
                   .investigation = "i1",
                   .artifact = "sha256:a",
                   .attribution = "layer3 lost"},
        [](std::string_view text) { return parse_experiment(text); });
  check("target",
        Target{.name = "floor",
               .owner = "ana",
               .status = "in force",
               .metric = "accuracy",
               .slice = "region=eu",
               .bound = "at least",
               .value = 0.9,
               .suite = "s1",
               .source = "product",
               .reason = "contract"},
        [](std::string_view text) { return parse_target(text); });
  check("decision",
        Decision{.title = "Ship w4",
                 .owner = "ana",
                 .status = "accepted",
                 .context = "b",
                 .options = {"w4", "w8"},
                 .evidence = {"e42"},
                 .rationale = "r",
                 .consequences = "c",
                 .review_by = 1800000000},
        [](std::string_view text) { return parse_decision(text); });
  check("recipe",
        RecipeEntry{.name = "w4a8",
                    .owner = "ana",
                    .status = "retired",
                    .recipe = R"({"schema":"mcomp-recipe-1"})",
                    .change = "finer groups",
                    .reason = "slower",
                    .uses = {{"resnet20", "3.9x"}}},
        [](std::string_view text) { return parse_recipe_entry(text); });
  check("investigation",
        Investigation{.question = "Why is layer3 so sensitive?",
                      .owner = "ana",
                      .status = "concluded",
                      .trials = {"e41", "e42"},
                      .conclusion = "groups of 32"},
        [](std::string_view text) { return parse_investigation(text); });
  check("suite",
        BenchmarkSuite{.name = "cifar10-a", .owner = "ana", .fingerprint = "abc", .rows = 5000, .purpose = "release"},
        [](std::string_view text) { return parse_benchmark_suite(text); });
  check("changelog",
        std::vector<ChangelogEntry>{{.event = 7,
                                     .time = 1800000000,
                                     .kind = "promotion",
                                     .subject = "production",
                                     .actor = "ci",
                                     .approved_by = {"ana", "ben"},
                                     .text = "production is sha256:a"}},
        [](std::string_view text) { return parse_changelog(text); });
}

TEST_CASE("golden files of events, governance, approvals and their envelopes") {
  check("event",
        Event{.kind = "rollout-step",
              .subject = "r42",
              .actor = "ana",
              .time = 1800000000,
              .body = R"({"share":1000})",
              .salt = "00ff"},
        [](std::string_view text) { return Event::parse(text); });
  check("governance",
        Governance{.keys = {{.key = key().public_key(),
                             .roles = {"owner", "reviewer"},
                             .valid_from = 1,
                             .valid_until = 2000000000}},
                   .policy = {.rules = {{.change = "promote", .roles = {"reviewer"}, .approvals = 2}}}},
        [](std::string_view text) { return Governance::parse(text); });
  const Approval approval{.subject = "sha256:a",
                          .change = "promote:production",
                          .role = "reviewer",
                          .signer = "ana",
                          .issued = 1800000000,
                          .expires = 1800086400,
                          .nonce = "n",
                          .comment = "looks good"};
  check("approval", approval, [](std::string_view text) { return Approval::parse(text); });
  // Ed25519 is deterministic: the envelope is the same wherever it is signed, and has the form of DSSE, not ours.
  const Envelope envelope = sign_approval(approval, key()).value();
  const std::string text = mcomp_test::golden(MCOMP_TEST_CATALOG_DIR, "envelope");
  CHECK(Envelope::parse(text).value() == envelope);
  CHECK(to_json(envelope).value() == text);
}

TEST_CASE("golden files of an artifact and a checkpoint") {
  ArtifactManifest manifest{.name = "resnet20",
                            .baseline = std::string(64, 'a'),
                            .data = {{"calibration", std::string(64, 'b')}},
                            .device_profile = std::string(64, 'c'),
                            .library_version = "0.1.0",
                            .seed = 18446744073709551615U,
                            .instruction_set_cap = "avx2",
                            .hardware = {{"avx2"}, "w8a8", 1 << 20}};
  manifest.parts.push_back({PartRole::recipe, "recipe.json", {digest_of("{}"), 2}});
  manifest.parts.push_back({PartRole::weights, "model.safetensors", {digest_of("weights"), 7}});
  const std::string config = mcomp_test::golden(MCOMP_TEST_CATALOG_DIR, "artifact_config");
  const std::string document = mcomp_test::golden(MCOMP_TEST_CATALOG_DIR, "artifact_manifest");
  const EncodedManifest encoded = encode(manifest).value();
  CHECK(encoded.config == config);
  CHECK(encoded.manifest == document);
  CHECK(encode(decode(document, config).value()).value().id == encoded.id);

  const Checkpoint checkpoint{
      .origin = "models.example.com/audit", .size = 42, .root = leaf_hash("x"), .extensions = {"an extension"}};
  const SigningKey keys[] = {key()};
  // A note is text of several lines; the last line feed is a part of it.
  const std::string note = mcomp_test::golden(MCOMP_TEST_CATALOG_DIR, "checkpoint") + "\n";
  CHECK(sign_checkpoint(checkpoint, keys).value() == note);
  const PublicKey trusted[] = {key().public_key()};
  CHECK(open_checkpoint(note, trusted, "models.example.com/audit").value() == checkpoint);
}
