#include "registry.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "mcomp/catalog/changelog.hpp"
#include "mcomp/catalog/exports.hpp"
#include "mcomp/catalog/lineage.hpp"
#include "mcomp/catalog/shipped_recipes.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/version.hpp"
#include "mcomp/evaluate/evaluation.hpp"

namespace example {

using namespace mcomp;
using namespace mcomp::catalog;
using Json = Report::Json;

namespace {

constexpr std::size_t short_digits = 19; // "sha256:" and twelve digits

std::string short_id(const std::string& id) {
  return id.substr(0, short_digits);
}

std::string date(std::int64_t seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day d(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", static_cast<int>(d.year()), static_cast<unsigned>(d.month()),
                     static_cast<unsigned>(d.day()), clock.hours().count(), clock.minutes().count());
}

/// Rows of text under a heading, every column as wide as it must be.
std::string table(std::vector<std::vector<std::string>> rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

Result<std::vector<Envelope>> read_envelopes(const std::vector<std::filesystem::path>& paths) {
  std::vector<Envelope> envelopes;
  for (const auto& path : paths) {
    const auto text = read_file(path, 1 << 20);
    if (!text) return text.error();
    auto envelope = Envelope::parse(*text, path.string());
    if (!envelope) return envelope.error();
    envelopes.push_back(std::move(*envelope));
  }
  return envelopes;
}

Result<SigningKey> read_key(const std::filesystem::path& path) {
  auto text = read_file(path, 1 << 16);
  if (!text) return text.error();
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
  auto key = SigningKey::parse(*text);
  if (!key) return key.error().within(path.string());
  return key;
}

/// A new file that nobody but its owner reads, at no moment.
Status write_private(const std::filesystem::path& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0 && errno == EEXIST)
    return Error(ErrorCode::invalid_argument, path.string(), "the file exists",
                 "name a new one: keys are not replaced");
  if (file < 0)
    return Error(ErrorCode::io_failure, path.string(), std::strerror(errno), "choose a folder that may be written");
  const bool done = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  const int failure = errno;
  ::close(file);
  if (done) return {};
  ::unlink(path.c_str());
  return Error(ErrorCode::io_failure, path.string(), std::strerror(failure), "make room for it");
}

Json alias_json(const AliasState& state) {
  return {{"alias", state.name},    {"version", state.version}, {"artifact", state.artifact}, {"author", state.author},
          {"reason", state.reason}, {"time", state.time},       {"rollback", state.rollback}};
}

/// What an evaluation says of the candidate, by name.
Json metrics_of(const evaluate::Evaluation& evaluation) {
  Json metrics = Json::object();
  const evaluate::Evidence& e = evaluation.evidence;
  if (e.accuracy && e.accuracy->pairs() > 0) metrics["accuracy"] = e.accuracy->candidate_accuracy();
  if (e.candidate_ece) metrics["ece"] = *e.candidate_ece;
  if (e.candidate_loss) metrics["loss"] = *e.candidate_loss;
  if (e.candidate_latency) metrics["latency_p50_seconds"] = e.candidate_latency->p50.value;
  if (e.candidate_bytes) metrics["bytes"] = *e.candidate_bytes;
  if (e.candidate_monthly_cost) metrics["monthly_cost"] = *e.candidate_monthly_cost;
  metrics["outcome"] = to_string(evaluation.verdict.outcome);
  return metrics;
}

} // namespace

Result<Registry> Registry::open(const Place& place, Report& report) {
  Place full = place;
  // A connection string names no folder, and may hold a password.
  const bool server = full.catalog.starts_with("postgresql://") || full.catalog.starts_with("postgres://");
  if (full.store.empty()) full.store = (server ? "team" : full.catalog) + ".artifacts";
  auto catalog = Catalog::open(full.catalog);
  if (!catalog) return catalog.error();
  auto store = ArtifactStore::open(full.store);
  if (!store) return store.error();
  return Registry(std::move(*catalog), std::move(*store), std::move(full), report);
}

std::int64_t Registry::now() const {
  if (place_.time) return *place_.time;
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void Registry::print(const std::string& text) const {
  if (!place_.json) fmt::print("{}{}", text, text.empty() || text.back() == '\n' ? "" : "\n");
}

Result<std::string> Registry::find(const std::string& what) const {
  if (const auto alias = catalog_.alias(what)) return alias->artifact;
  if (const auto tagged = store_.tagged(what)) return *tagged;
  const auto all = store_.list();
  if (!all) return all.error();
  std::vector<std::string> found;
  constexpr std::size_t least = 4; // digits of an abbreviation
  const std::string digits = what.starts_with("sha256:") ? what.substr(7) : what;
  for (const StoredArtifact& artifact : *all)
    if (digits.size() >= least && artifact.id.substr(7).starts_with(digits)) found.push_back(artifact.id);
  if (found.size() == 1) return found.front();
  return Error(ErrorCode::not_found, fmt::format("artifact '{}'", what),
               found.empty() ? "no artifact, alias or tag has this name" : "several artifacts begin like this",
               "look at what `registry list` names");
}

Result<Json> Registry::describe(const std::string& id) const {
  const auto manifest = store_.manifest(id);
  if (!manifest) return manifest.error();
  Json parts = Json::array();
  std::int64_t bytes = 0;
  for (const ArtifactPart& part : manifest->parts) {
    bytes += part.blob.size;
    parts.push_back({{"role", to_string(part.role)},
                     {"title", part.title},
                     {"bytes", part.blob.size},
                     {"digest", part.blob.digest}});
  }
  Json json = {{"id", id},
               {"name", manifest->name},
               {"precision", manifest->hardware.precision},
               {"needs", manifest->hardware.instruction_sets},
               {"memory_bytes", manifest->hardware.memory_bytes},
               {"bytes", bytes},
               {"baseline", manifest->baseline},
               {"data", manifest->data},
               {"seed", manifest->seed},
               {"made_by", manifest->library_version},
               {"parts", std::move(parts)}};
  if (const auto record = catalog_.get("artifact", id); record && !record->redacted) {
    json["owner"] = record->owner;
    json["author"] = record->author;
    json["published"] = record->time;
    json["metrics"] = Json::parse(record->body).value("metrics", Json::object());
  }
  Json aliases = Json::array();
  const auto names = catalog_.aliases();
  if (!names) return names.error();
  for (const std::string& name : *names)
    if (const auto alias = catalog_.alias(name); alias && alias->artifact == id) aliases.push_back(name);
  json["aliases"] = std::move(aliases);
  return json;
}

Result<ExitStatus> Registry::publish(const Publish& what) {
  ArtifactManifest manifest{.name = what.name};
  manifest.baseline = what.baseline;
  manifest.library_version = MCOMP_VERSION_STRING;
  manifest.seed = what.seed;
  manifest.hardware = {what.needs, what.precision, what.memory_bytes};
  for (const std::string& pair : what.data) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
      return Error(ErrorCode::invalid_argument, "--data", fmt::format("'{}' is not USE=FINGERPRINT", pair),
                   "write calibration=sha256:...");
    manifest.data[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  // Read before anything is stored: a wrong file leaves the registry as it was.
  Json body = {{"name", what.name}};
  if (!what.evaluation.empty()) {
    const auto text = read_file(what.evaluation);
    if (!text) return text.error();
    const auto evaluation = evaluate::evaluation_from_json(*text, what.evaluation.string());
    if (!evaluation) return evaluation.error();
    body["metrics"] = metrics_of(*evaluation);
    body["suite"] = {{"name", evaluation->suite}, {"fingerprint", evaluation->suite_fingerprint}};
  }
  const auto add = [&](PartRole role, const std::filesystem::path& path) -> Status {
    if (path.empty()) return {};
    const auto blob = store_.put_file(path);
    if (!blob) return blob.error();
    manifest.parts.push_back({role, path.filename().string(), *blob});
    return {};
  };
  std::vector<std::pair<PartRole, std::filesystem::path>> files{{PartRole::model, what.model},
                                                                {PartRole::calibrator, what.calibrator},
                                                                {PartRole::recipe, what.recipe},
                                                                {PartRole::plan, what.plan},
                                                                {PartRole::device_profile, what.device_profile}};
  for (const auto& path : what.weights) files.emplace_back(PartRole::weights, path);
  for (const auto& path : what.attachments) files.emplace_back(PartRole::attachment, path);
  if (!what.evaluation.empty()) files.emplace_back(PartRole::attachment, what.evaluation);
  for (const auto& [role, path] : files)
    if (const Status status = add(role, path); !status) return status.error();
  const auto id = store_.publish(manifest);
  if (!id) return id.error();
  if (catalog_.get("artifact", *id)) {
    print(fmt::format("{} is there already: the same inputs, the same artifact.", *id));
  } else {
    const auto record = catalog_.put({.kind = "artifact",
                                      .id = *id,
                                      .name = what.name,
                                      .owner = what.owner,
                                      .author = place_.author,
                                      .time = now(),
                                      .body = body.dump()});
    if (!record) return record.error();
    print(fmt::format("{} published", *id));
  }
  report_->keep("artifact", *id);
  return ExitStatus::done;
}

Result<ExitStatus> Registry::list(const std::string& kind, const std::string& text, std::int64_t limit) {
  const auto records = catalog_.find({.kind = kind, .text = text, .limit = limit});
  if (!records) return records.error();
  Json rows = Json::array();
  std::vector<std::vector<std::string>> lines{{"id", "version", "name", "owner", "author", "time", "aliases"}};
  for (const Record& record : *records) {
    std::string served;
    if (kind == "artifact") {
      const auto json = describe(record.id);
      if (!json) return json.error();
      for (const auto& alias : (*json)["aliases"]) served += (served.empty() ? "" : ", ") + alias.get<std::string>();
    }
    rows.push_back({{"id", record.id},
                    {"version", record.version},
                    {"name", record.name},
                    {"owner", record.owner},
                    {"author", record.author},
                    {"time", record.time},
                    {"aliases", served}});
    lines.push_back({kind == "artifact" ? short_id(record.id) : record.id, fmt::format("{}", record.version),
                     record.name, record.owner, record.author, date(record.time), served});
  }
  report_->keep("records", std::move(rows));
  print(lines.size() == 1 ? fmt::format("No {} is in the catalogue yet.", kind) : table(std::move(lines)));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::show(const std::string& what) {
  const auto id = find(what);
  if (!id) return id.error();
  auto json = describe(*id);
  if (!json) return json.error();
  std::vector<std::vector<std::string>> lines;
  for (const auto& [key, value] : json->items())
    if (key != "parts")
      lines.push_back({key, value.is_string()    ? value.get<std::string>()
                            : key == "published" ? date(value.get<std::int64_t>())
                                                 : value.dump()});
  print(table(std::move(lines)));
  lines = {{"role", "file", "bytes", "digest"}};
  for (const auto& part : (*json)["parts"])
    lines.push_back({part["role"], part["title"], part["bytes"].dump(), short_id(part["digest"])});
  print("\n" + table(std::move(lines)));
  report_->keep("artifact", std::move(*json));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::compare(const std::string& first, const std::string& second) {
  std::vector<Json> sides;
  for (const std::string& what : {first, second}) {
    const auto id = find(what);
    if (!id) return id.error();
    auto json = describe(*id);
    if (!json) return json.error();
    const Json parts = (*json)["parts"];
    for (const auto& part : parts)
      (*json)["part " + part["role"].get<std::string>() + " " + part["title"].get<std::string>()] = part["digest"];
    json->erase("parts");
    if (json->contains("metrics")) {
      const Json metrics = (*json)["metrics"];
      json->erase("metrics");
      for (const auto& [name, value] : metrics.items()) (*json)["metric " + name] = value;
    }
    sides.push_back(std::move(*json));
  }
  std::vector<std::string> keys;
  for (const Json& side : sides)
    for (const auto& [key, value] : side.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  Json rows = Json::array();
  std::vector<std::vector<std::string>> lines{{"", short_id(sides[0]["id"]), short_id(sides[1]["id"]), "change"}};
  const auto text = [](const Json& value) {
    const std::string full = value.is_string() ? value.get<std::string>() : value.is_null() ? "-" : value.dump();
    return full.starts_with("sha256:") ? short_id(full) : full;
  };
  for (const std::string& key : keys) {
    const Json a = sides[0].value(key, Json()), b = sides[1].value(key, Json());
    if (a == b) continue;
    std::string change;
    if (key == "published") {
      lines.push_back(
          {key, a.is_null() ? "-" : date(a.get<std::int64_t>()), b.is_null() ? "-" : date(b.get<std::int64_t>()), ""});
      rows.push_back({{"what", key}, {"first", a}, {"second", b}});
      continue;
    }
    if (a.is_number() && b.is_number() && a.get<double>() != 0)
      change = fmt::format("{:+.2f}%", 100 * (b.get<double>() / a.get<double>() - 1));
    rows.push_back({{"what", key}, {"first", a}, {"second", b}});
    lines.push_back({key, text(a), text(b), change});
  }
  report_->keep("differences", std::move(rows));
  print(lines.size() == 1 ? "They are the same artifact." : table(std::move(lines)));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::lineage(const std::string& what) {
  const auto id = find(what);
  if (!id) return id.error();
  const auto line = artifact_lineage(catalog_, *id);
  if (!line) return line.error();
  const auto json = to_json(*line);
  if (!json) return json.error();
  report_->keep("lineage", Json::parse(*json));
  print(to_string(*line));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::changelog(std::int64_t since) {
  const auto entries = catalog::changelog(catalog_, {.since = since});
  if (!entries) return entries.error();
  const auto json = to_json(*entries);
  if (!json) return json.error();
  report_->keep("changelog", Json::parse(*json)["entries"]);
  print(to_markdown(*entries));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::install_recipes() {
  const auto records = install_shipped_recipes(catalog_, place_.author, now());
  if (!records) return records.error();
  Json ids = Json::array();
  for (const Record& record : *records) ids.push_back(record.id);
  report_->keep("installed", std::move(ids));
  print(records->empty() ? std::string("All of them are there.") : fmt::format("{} recipes put.", records->size()));
  return list("recipe", {}, 100);
}

Result<ExitStatus> Registry::make_key(const Key& what) {
  const auto key = SigningKey::generate(what.name);
  if (!key) return key.error();
  if (const Status written = write_private(what.file, key->private_text() + "\n"); !written) return written.error();
  report_->keep("public_key", to_string(key->public_key()));
  print(fmt::format("{}\nThe private key is in {}: keep it to yourself.", to_string(key->public_key()),
                    what.file.string()));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::govern(const Govern& what) {
  Governance governance;
  for (const std::string& text : what.keys) {
    const auto equals = text.rfind('=');
    // Base64 may end in '='; roles follow the last one.
    if (equals == std::string::npos || equals + 1 == text.size())
      return Error(ErrorCode::invalid_argument, "--key", fmt::format("'{}' is not PUBLIC_KEY=ROLE[,ROLE]", text),
                   "write what `registry keygen` printed, '=' and roles");
    const auto key = PublicKey::parse(text.substr(0, equals));
    if (!key) return key.error().within("--key");
    KeyRecord record{.key = *key, .roles = {}};
    std::string rest = text.substr(equals + 1);
    for (std::size_t comma = 0; comma != std::string::npos;) {
      comma = rest.find(',');
      record.roles.push_back(rest.substr(0, comma));
      if (comma != std::string::npos) rest = rest.substr(comma + 1);
    }
    governance.keys.push_back(std::move(record));
  }
  governance.policy.rules = {{.change = "promote", .roles = {what.role}, .approvals = what.approvals},
                             {.change = std::string(govern_change), .roles = {what.governing_role}}};
  const auto approvals = read_envelopes(what.approved);
  if (!approvals) return approvals.error();
  const auto text = to_json(governance);
  if (!text) return text.error();
  report_->keep("governance", digest_of(*text));
  const auto record = catalog_.govern(governance, place_.author, now(), *approvals);
  if (!record) {
    print(fmt::format("The new governance has the digest {}.", digest_of(*text)));
    return record.error();
  }
  report_->keep("version", record->version);
  print(fmt::format("Version {} is in force: {} of role {} approve a promotion, {} change the rules.", record->version,
                    what.approvals, what.role, what.governing_role));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::approve(const Approve& what) {
  const bool artifact = what.change != govern_change;
  const auto id = artifact ? find(what.what) : Result<std::string>(what.what);
  if (!id) return id.error();
  const auto key = read_key(what.key);
  if (!key) return key.error();
  constexpr double seconds_per_hour = 3600;
  const std::int64_t issued = now();
  const auto envelope = sign_approval({.subject = *id,
                                       .change = what.change,
                                       .role = what.role,
                                       .issued = issued,
                                       .expires = issued + static_cast<std::int64_t>(what.hours * seconds_per_hour),
                                       .comment = what.comment},
                                      *key);
  if (!envelope) return envelope.error();
  const auto text = to_json(*envelope);
  if (!text) return text.error();
  if (const Status written = write_file(what.file, *text); !written) return written.error();
  report_->keep("approval", what.file.string());
  report_->keep("subject", *id);
  print(fmt::format("{} approves {} of {} for {} hours: {}", key->public_key().name, what.change, short_id(*id),
                    what.hours, what.file.string()));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::promote(const std::string& alias, const std::string& what, const std::string& reason,
                                     const std::vector<std::filesystem::path>& approvals) {
  const auto id = find(what);
  if (!id) return id.error();
  const auto envelopes = read_envelopes(approvals);
  if (!envelopes) return envelopes.error();
  const auto state = catalog_.promote(
      {.alias = alias, .artifact = *id, .author = place_.author, .time = now(), .reason = reason}, *envelopes);
  if (!state) return state.error();
  report_->keep("alias", alias_json(*state));
  print(fmt::format("{} is {} now (version {})", alias, short_id(*id), state->version));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::rollback(const std::string& alias, const std::string& reason) {
  const auto state = catalog_.rollback({.alias = alias, .author = place_.author, .time = now(), .reason = reason});
  if (!state) return state.error();
  report_->keep("alias", alias_json(*state));
  print(fmt::format("{} is {} again (version {})", alias, short_id(state->artifact), state->version));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::verify() {
  const auto log = catalog_.verify();
  if (!log) return log.error();
  const auto store = store_.verify();
  if (!store) return store.error();
  Json problems = Json::array();
  for (const LogProblem& problem : log->problems)
    problems.push_back({{"where", problem.where}, {"rule", problem.rule}});
  for (const StoreProblem& problem : store->problems)
    problems.push_back({{"where", problem.where}, {"rule", problem.rule}, {"artifacts", problem.artifacts}});
  // Every alias must name an artifact that is there.
  const auto names = catalog_.aliases();
  if (!names) return names.error();
  for (const std::string& name : *names)
    if (const auto alias = catalog_.alias(name); alias && !store_.manifest(alias->artifact))
      problems.push_back({{"where", "alias " + name}, {"rule", "its artifact is not in the store"}});
  const bool sound = problems.empty();
  report_->keep("events", log->events);
  report_->keep("root", to_hex(log->root));
  report_->keep("artifacts", store->artifacts);
  report_->keep("problems", std::move(problems));
  print(to_string(*log));
  print(to_string(*store));
  return sound ? ExitStatus::done : ExitStatus::rejected;
}

Result<ExitStatus> Registry::export_all(const Export& what, const std::filesystem::path& out) {
  std::vector<std::string> ids;
  for (const std::string& name : what.artifacts) {
    auto id = find(name);
    if (!id) return id.error();
    ids.push_back(std::move(*id));
  }
  if (what.archive.empty() && what.log.empty() && !what.documents)
    return Error(ErrorCode::invalid_argument, "export", "nothing is asked for", "give --archive, --log or --documents");
  if (!what.archive.empty()) {
    if (const Status done = store_.export_archive(what.archive, ids); !done) return done.error();
    report_->keep("archive", what.archive.string());
    print(fmt::format("artifacts: {}", what.archive.string()));
  }
  if (!what.log.empty()) {
    const auto key = read_key(what.key);
    if (!key) return key.error();
    if (const Status done = catalog_.export_log(what.log, what.origin, {&*key, 1}); !done) return done.error();
    report_->keep("log", what.log.string());
    print(fmt::format("audit log: {}, signed by {}", what.log.string(), to_string(key->public_key())));
  }
  if (!what.documents) return ExitStatus::done;
  if (ids.empty()) {
    const auto all = store_.list();
    if (!all) return all.error();
    for (const StoredArtifact& artifact : *all) ids.push_back(artifact.id);
  }
  Json documents = Json::array();
  for (const std::string& id : ids) {
    auto manifest = store_.manifest(id);
    if (!manifest) return manifest.error();
    ArtifactDescription text{.id = id, .manifest = std::move(*manifest), .licence = what.licence, .time = now()};
    if (const auto record = catalog_.get("artifact", id); record && !record->redacted) {
      text.owner = record->owner;
      const Json metrics = Json::parse(record->body).value("metrics", Json::object());
      for (const auto& [name, value] : metrics.items())
        if (value.is_number()) text.metrics.push_back({.name = name, .value = value.get<double>()});
    }
    const std::string stem = id.substr(7, 12);
    const auto write = [&](const std::string& name, const Result<std::string>& document) -> Status {
      if (!document) return document.error();
      documents.push_back((out / name).string());
      print((out / name).string());
      return write_file(out / name, *document);
    };
    for (const Status& status :
         {write(stem + ".model-card.md", to_model_card(text)),
          write(stem + ".model-card.json", to_model_card_json(text)), write(stem + ".cdx.json", to_cyclonedx(text)),
          write(stem + ".provenance.json", to_provenance(text))})
      if (!status) return status.error();
  }
  report_->keep("documents", std::move(documents));
  return ExitStatus::done;
}

Result<ExitStatus> Registry::import(const std::filesystem::path& archive) {
  const auto ids = store_.import_archive(archive);
  if (!ids) return ids.error();
  for (const std::string& id : *ids) {
    if (catalog_.get("artifact", id)) continue;
    const auto manifest = store_.manifest(id);
    if (!manifest) return manifest.error();
    const auto record = catalog_.put({.kind = "artifact",
                                      .id = id,
                                      .name = manifest->name,
                                      .author = place_.author,
                                      .time = now(),
                                      .body = Json({{"name", manifest->name}, {"imported", true}}).dump()});
    if (!record) return record.error();
    print(fmt::format("{} imported", id));
  }
  report_->keep("artifacts", *ids);
  return ExitStatus::done;
}

Result<ExitStatus> Registry::resolve(const std::string& name) {
  const auto id = store_.resolve(name, Machine::here());
  if (!id) return id.error();
  report_->keep("artifact", *id);
  print(*id);
  return ExitStatus::done;
}

} // namespace example
