#include "mcomp/catalog/lineage.hpp"

#include <algorithm>
#include <set>

#include "catalog/canonical.hpp"
#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

using detail::Json;

constexpr std::string_view schema = "mcomp-artifact-lineage-1";
constexpr std::int64_t most = 10'000; ///< records of one kind for one link

void add(std::vector<Record>& records, const Record& record) {
  const bool there =
      std::ranges::any_of(records, [&](const Record& r) { return r.kind == record.kind && r.id == record.id; });
  if (!there) records.push_back(record);
}

Status add_linked(const Catalog& catalog, std::vector<Record>& records, const char* kind, const std::string& target) {
  RecordQuery query{.kind = kind};
  query.links_to = target, query.limit = most;
  MCOMP_TRY(found, catalog.find(query));
  for (const Record& record : found) add(records, record);
  return {};
}

Status add_by_fingerprint(const Catalog& catalog, std::vector<Record>& records, const char* kind,
                          const std::string& fingerprint) {
  if (fingerprint.empty()) return {};
  MCOMP_TRY(found, catalog.find({.kind = kind, .fingerprint = fingerprint, .limit = most}));
  for (const Record& record : found) add(records, record);
  return {};
}

} // namespace

Result<ArtifactLineage> artifact_lineage(const Catalog& catalog, const std::string& artifact) {
  if (!is_digest(artifact))
    return Error(ErrorCode::invalid_argument, "artifact", fmt::format("'{}' is no digest", artifact),
                 "pass what `publish` returned");
  ArtifactLineage line{.artifact = artifact,
                       .trials = {},
                       .recipes = {},
                       .suites = {},
                       .investigations = {},
                       .decisions = {},
                       .aliases = {}};
  RecordQuery made{.kind = "experiment"};
  made.links_to = artifact, made.limit = most;
  MCOMP_TRY(makers, catalog.find(made));
  for (const Record& maker : makers) {
    // A link may also be that of an input: a trial that continues from this artifact has not made it.
    if (maker.redacted) continue;
    MCOMP_TRY(experiment, parse_experiment(maker.body));
    if (experiment.artifact != artifact) continue;
    MCOMP_TRY(chain, lineage(catalog, maker.id));
    for (const Record& trial : chain) add(line.trials, trial);
  }
  MCOMP_CHECK(add_linked(catalog, line.decisions, "decision", artifact));
  for (const Record& trial : line.trials) {
    MCOMP_CHECK(add_linked(catalog, line.investigations, "investigation", "experiment/" + trial.id));
    MCOMP_CHECK(add_linked(catalog, line.decisions, "decision", trial.id));
    MCOMP_CHECK(add_linked(catalog, line.decisions, "decision", "experiment/" + trial.id));
    if (trial.redacted) continue;
    MCOMP_TRY(experiment, parse_experiment(trial.body));
    for (const auto& [name, input] : experiment.inputs) {
      MCOMP_CHECK(add_by_fingerprint(catalog, line.recipes, "recipe", input));
      MCOMP_CHECK(add_by_fingerprint(catalog, line.suites, "suite", input));
    }
    if (experiment.investigation.empty()) continue;
    const auto investigation = catalog.get("investigation", experiment.investigation);
    if (!investigation && investigation.error().code() != ErrorCode::not_found) return investigation.error();
    if (investigation) add(line.investigations, *investigation);
  }
  MCOMP_TRY(names, catalog.aliases());
  for (const std::string& name : names) {
    MCOMP_TRY(states, catalog.alias_history(name));
    for (const AliasState& state : states)
      if (state.artifact == artifact) line.aliases.push_back(state);
  }
  std::ranges::sort(line.aliases, {}, &AliasState::event);
  return line;
}

std::string to_string(const ArtifactLineage& lineage) {
  std::string text = lineage.artifact + "\n";
  const auto records = [&](const char* what, const std::vector<Record>& list) {
    for (const Record& record : list)
      text +=
          fmt::format("  {} {} (version {}{}){}{}\n", what, record.id, record.version,
                      record.status.empty() ? "" : ", " + record.status, record.name.empty() ? "" : ": ", record.name);
  };
  records("trial", lineage.trials);
  records("recipe", lineage.recipes);
  records("suite", lineage.suites);
  records("investigation", lineage.investigations);
  records("decision", lineage.decisions);
  for (const AliasState& state : lineage.aliases)
    text += fmt::format("  alias {} version {}, {} by {}{}{}\n", state.name, state.version,
                        state.rollback ? "went back to it" : "promoted", state.author, state.reason.empty() ? "" : ": ",
                        state.reason);
  return text;
}

Result<std::string> to_json(const ArtifactLineage& lineage) {
  const auto records = [](const std::vector<Record>& list) {
    Json json = Json::array();
    for (const Record& r : list)
      json.push_back(
          {{"id", r.id}, {"version", r.version}, {"name", r.name}, {"status", r.status}, {"event", r.event}});
    return json;
  };
  Json aliases = Json::array();
  for (const AliasState& state : lineage.aliases)
    aliases.push_back({{"alias", state.name},
                       {"version", state.version},
                       {"rollback", state.rollback},
                       {"author", state.author},
                       {"reason", state.reason},
                       {"time", state.time},
                       {"event", state.event}});
  return detail::canonical_text({{"schema", schema},
                                 {"artifact", lineage.artifact},
                                 {"trials", records(lineage.trials)},
                                 {"recipes", records(lineage.recipes)},
                                 {"suites", records(lineage.suites)},
                                 {"investigations", records(lineage.investigations)},
                                 {"decisions", records(lineage.decisions)},
                                 {"aliases", std::move(aliases)}});
}

} // namespace mcomp::inline v0::catalog
