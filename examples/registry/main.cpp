// A registry of compressed models on the command line: what a team publishes, approves, serves and takes back, in one
// catalogue (a file, or a PostgreSQL server) and one folder of artifacts.

#include <cstdio>

#include "mcomp/core/format.hpp"
#include "registry.hpp"

namespace {

using namespace example;
using mcomp::Result;

/// The command that was given, once it is known.
using Command = std::function<Result<ExitStatus>(Registry&)>;

CLI::App* add(CLI::App& app, Command& chosen, const char* name, const char* text, Command command) {
  CLI::App* sub = app.add_subcommand(name, text);
  sub->fallthrough();
  sub->callback([&chosen, command = std::move(command)] { chosen = command; });
  return sub;
}

} // namespace

int main(int argc, char** argv) {
  Program program("registry", "Publishes, approves, promotes and takes back compressed models.", "registry-report");
  Registry::Place place;
  CLI::App& app = program.options();
  app.add_option("--catalog", place.catalog, "A file, made where there is none, or postgresql://...")
      ->capture_default_str();
  app.add_option("--store", place.store, "Folder of the artifacts; default: the file's path and .artifacts");
  app.add_option("--author", place.author, "Who does this")->capture_default_str();
  app.add_option("--time", place.time, "Seconds since 1970, UTC; default: now");
  app.add_flag("--json", place.json, "Print the report in place of tables");
  app.require_subcommand(1);
  Command command;

  Registry::Publish publish;
  auto* sub =
      add(app, command, "publish", "Stores files as an artifact", [&](Registry& r) { return r.publish(publish); });
  sub->add_option("--name", publish.name, "Of the model")->required();
  sub->add_option("--weights", publish.weights, "Files of tensors")->required();
  sub->add_option("--model", publish.model, "Description of network and quantization");
  sub->add_option("--calibrator", publish.calibrator, "Of its confidence");
  sub->add_option("--recipe", publish.recipe, "That it was made by");
  sub->add_option("--plan", publish.plan, "That the recipe came to");
  sub->add_option("--device-profile", publish.device_profile, "That the plan was made for");
  sub->add_option("--evaluation", publish.evaluation, "Against its baseline (JSON of mcomp::evaluate)");
  sub->add_option("--attachment", publish.attachments, "Other files that belong to it");
  sub->add_option("--owner", publish.owner, "Who answers for it");
  sub->add_option("--precision", publish.precision, "What it computes in: w8a8, w4a16, ...");
  sub->add_option("--needs", publish.needs, "Instruction sets that it needs: avx2, avx512-vnni, ...");
  sub->add_option("--memory-bytes", publish.memory_bytes, "That it needs while it runs");
  sub->add_option("--baseline", publish.baseline, "Fingerprint of the model that was compressed");
  sub->add_option("--data", publish.data, "USE=FINGERPRINT of data that decided about bytes");
  sub->add_option("--seed", publish.seed, "That it was made with");

  std::string kind = "artifact", text;
  std::int64_t limit = 100;
  sub = add(app, command, "list", "What is in the catalogue, the newest first",
            [&](Registry& r) { return r.list(kind, text, limit); });
  sub->add_option("--kind", kind, "artifact, or another kind of record")->capture_default_str();
  sub->add_option("--text", text, "Part of the name or id");
  sub->add_option("--limit", limit, "At most so many")->capture_default_str()->check(CLI::Range(1, 100000));

  std::string what, other;
  sub = add(app, command, "show", "One artifact, by id, beginning of an id, alias or tag",
            [&](Registry& r) { return r.show(what); });
  sub->add_option("artifact", what)->required();
  sub = add(app, command, "compare", "Where two artifacts differ", [&](Registry& r) { return r.compare(what, other); });
  sub->add_option("first", what)->required();
  sub->add_option("second", other)->required();

  sub = add(app, command, "lineage", "Where an artifact comes from, and what became of it",
            [&](Registry& r) { return r.lineage(what); });
  sub->add_option("artifact", what)->required();
  std::int64_t since = 0;
  sub = add(app, command, "changelog", "What has changed, as Markdown", [&](Registry& r) { return r.changelog(since); });
  sub->add_option("--since", since, "Seconds since 1970, UTC")->check(CLI::NonNegativeNumber);
  add(app, command, "recipes", "Takes the recipes that come with the library into the catalogue",
      [&](Registry& r) { return r.install_recipes(); });

  Registry::Key key;
  sub = add(app, command, "keygen", "Makes a key to sign with", [&](Registry& r) { return r.make_key(key); });
  sub->add_option("name", key.name, "Of its holder, without white space")->required();
  sub->add_option("--key-file", key.file, "Where the private key goes")->required();

  Registry::Govern govern;
  sub = add(app, command, "govern", "Puts keys, roles and the policy in force",
            [&](Registry& r) { return r.govern(govern); });
  sub->add_option("--key", govern.keys, "PUBLIC_KEY=ROLE[,ROLE] of everybody who may speak")->required();
  sub->add_option("--role", govern.role, "Who approves promotions")->capture_default_str();
  sub->add_option("--approvals", govern.approvals, "How many of them")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  sub->add_option("--governing-role", govern.governing_role, "Who approves changes of these rules")
      ->capture_default_str();
  sub->add_option("--approval", govern.approved, "Approvals of this change, after the first time");

  Registry::Approve approve;
  sub = add(app, command, "approve", "Signs an approval", [&](Registry& r) { return r.approve(approve); });
  sub->add_option("artifact", approve.what, "Or the digest of a governance")->required();
  sub->add_option("--change", approve.change, "What is approved: promote:ALIAS, or govern")->capture_default_str();
  sub->add_option("--role", approve.role, "In which role")->capture_default_str();
  sub->add_option("--key-file", approve.key, "The signer's private key")->required();
  sub->add_option("--file", approve.file, "Where the approval goes")->required();
  sub->add_option("--hours", approve.hours, "How long it counts")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 8760.0));
  sub->add_option("--comment", approve.comment, "Why");

  std::string alias, reason;
  std::vector<std::filesystem::path> approvals;
  sub = add(app, command, "promote", "Lets an alias name an artifact",
            [&](Registry& r) { return r.promote(alias, what, reason, approvals); });
  sub->add_option("alias", alias, "production, candidate, ...")->required();
  sub->add_option("artifact", what)->required();
  sub->add_option("--approval", approvals, "Files of `approve`");
  sub->add_option("--reason", reason, "Why");
  sub = add(app, command, "rollback", "Lets an alias name again what it did before: always permitted",
            [&](Registry& r) { return r.rollback(alias, reason); });
  sub->add_option("alias", alias)->required();
  sub->add_option("--reason", reason, "Why");

  add(app, command, "verify", "Holds everything against the log; exit status 3 where something does not hold",
      [&](Registry& r) { return r.verify(); });
  Registry::Export what_to_export;
  sub = add(app, command, "export", "Artifacts, audit log and documents for others",
            [&](Registry& r) { return r.export_all(what_to_export, program.out()); });
  sub->add_option("artifacts", what_to_export.artifacts, "Which; default: all");
  sub->add_option("--archive", what_to_export.archive, "An OCI image layout as a tar file");
  auto* log = sub->add_option("--log", what_to_export.log, "The audit log, verifiable offline");
  log->needs(sub->add_option("--key-file", what_to_export.key, "Signs the log's checkpoint"));
  sub->add_option("--origin", what_to_export.origin, "Name of the log")->capture_default_str();
  sub->add_flag("--documents", what_to_export.documents,
                "Model card, bill of materials and provenance of each artifact");
  sub->add_option("--licence", what_to_export.licence, "Of the models, as SPDX names it");
  std::filesystem::path archive;
  sub = add(app, command, "import", "Takes the artifacts of an archive in",
            [&](Registry& r) { return r.import(archive); });
  sub->add_option("archive", archive)->required();
  std::string name;
  sub = add(app, command, "resolve", "The artifact of a name that is right for this machine",
            [&](Registry& r) { return r.resolve(name); });
  sub->add_option("name", name)->required();

  return program.run(argc, argv, [&](Report& report) -> Result<ExitStatus> {
    auto registry = Registry::open(place, report);
    if (!registry) return registry.error();
    auto status = command(*registry);
    if (place.json && status) fmt::print("{}\n", report.content().dump(2));
    return status;
  });
}
