#pragma once

// The catalogue of a team: a log of everything that happened, records that are looked up (recipes, experiments,
// targets, decisions, whatever has a kind and a JSON value), and aliases that say which artifact is served. One SQLite
// file in WAL mode, on a local file system; or a schema of a PostgreSQL server, by its connection string. Several
// processes and threads may use it at once.
//
// The log is what counts: records and aliases are views of it, and `verify` finds where they are not what it says. What
// a call has returned is durable. An alias moves forward by approvals that the policy in the catalogue asks for, and
// back to what it was at any time.
//
//     auto catalog = catalog::Catalog::open("team.mcomp").value();
//     auto recipe  = catalog.put({.kind = "recipe", .id = "w4a8", .author = "ana", .time = now, .body = json}).value();
//     catalog.promote({.alias = "production", .artifact = id, .author = "ci", .time = now}, approvals).value();

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/event.hpp"
#include "mcomp/catalog/governance.hpp"
#include "mcomp/core/context.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

/// How a catalogue on a PostgreSQL server (13 or newer) is used. Further settings (host, user, TLS, several hosts,
/// keep-alive) are those of libpq's connection strings; what a string leaves open is taken from libpq's environment
/// variables, password file and service file, as all of its programs do.
struct PostgresqlOptions {
  std::string schema = "mcomp"; ///< that holds the catalogue; made where there is none and the role may
  std::string application_name = "mcomp";
  std::int64_t connect_timeout_ms = 10000; ///< for all hosts together
  /// For one statement; 0: without end. It bounds how long a call waits for a server that is slow, not for one that is
  /// cut off: that is for keep-alive to tell.
  std::int64_t statement_timeout_ms = 0;
  /// Refuses a server that runs with fsync or full_page_writes off: a power cut takes what it acknowledged.
  bool require_fsync = true;
};

struct CatalogOptions {
  /// True: what was acknowledged survives a power cut. False: it survives the end of the process, and a power cut may
  /// take the last moments, but no half record (SQLite's synchronous = NORMAL). On PostgreSQL commits are always
  /// synced: synchronous_commit is held on.
  bool full_sync = true;
  std::int64_t busy_timeout_ms = 5000; ///< how long to wait for other writers
  PostgresqlOptions postgresql{};      ///< of a catalogue that a connection string names
};

/// What is to be stored under a kind and an id.
struct RecordDraft {
  std::string kind; ///< "recipe", "experiment", "target", "decision", ...; not "governance"
  std::string id;
  std::int64_t expected_version = 0; ///< that this one follows; 0: there is none yet
  std::string name{};                ///< for people, and for search
  std::string owner{};
  std::string status{};      ///< "proposed", "standard", "retired", ...
  std::string fingerprint{}; ///< of what makes two records equivalent, such as a trial's parameters
  std::string author{};
  std::int64_t time = 0;
  std::string body = "{}"; ///< a JSON object
  bool personal = false;   ///< may hold data of a person: can be redacted without being guessed
  /// What it refers to: ids of artifacts, fingerprints, other records as "KIND/ID". At most 1000, of
  /// at most 1000 bytes each.
  std::vector<std::string> links{};
  friend bool operator==(const RecordDraft&, const RecordDraft&) = default;
};

struct Record {
  std::string kind, id;
  std::int64_t version = 0;
  std::string name{}, owner{}, status{}, fingerprint{}, author{};
  std::int64_t time = 0;
  std::string body{}; ///< canonical JSON; "{}" where it was redacted
  bool redacted = false;
  std::uint64_t event = 0;          ///< index in the log
  std::vector<std::string> links{}; ///< sorted, each once
  friend bool operator==(const Record&, const Record&) = default;
};

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const Record& record);

/// Records of one kind; empty strings ask for nothing.
struct RecordQuery {
  std::string kind;
  std::string status{}, owner{}, fingerprint{};
  std::string text{};                           ///< part of name or id
  std::string links_to{};                       ///< one of their links
  std::optional<std::int64_t> since{}, until{}; ///< by time, the second not included
  bool all_versions = false;                    ///< false: of each record the newest version alone
  std::int64_t limit = 100;
  std::int64_t offset = 0;
  friend bool operator==(const RecordQuery&, const RecordQuery&) = default;
};

struct AliasState {
  std::string name;
  std::int64_t version = 0; ///< from 1, one more with every change
  std::string artifact{};
  std::string author{}, reason{};
  std::int64_t time = 0;
  bool rollback = false;   ///< it went back
  std::uint64_t event = 0; ///< index in the log
  friend bool operator==(const AliasState&, const AliasState&) = default;
};

struct Promotion {
  std::string alias;
  std::string artifact; ///< id
  std::string author{};
  std::int64_t time = 0;
  std::string reason{};
  /// Version of the alias that this one follows, where the caller knows it; 0: there is none yet.
  std::optional<std::int64_t> expected_version{};
  friend bool operator==(const Promotion&, const Promotion&) = default;
};

struct Rollback {
  std::string alias;
  std::string author{};
  std::int64_t time = 0;
  std::string reason{};
  friend bool operator==(const Rollback&, const Rollback&) = default;
};

/// An event that a rule of retention says is to be deleted.
struct DueEvent {
  std::uint64_t index = 0;
  std::string kind{};    ///< of the record, or of the event that is none
  std::string subject{}; ///< "experiment/e42", or the event's subject
  std::int64_t time = 0;
  std::int64_t since = 0; ///< when it became due
  friend bool operator==(const DueEvent&, const DueEvent&) = default;
};

struct CatalogReport {
  std::uint64_t events = 0, redacted = 0;
  std::int64_t records = 0, aliases = 0; ///< all of their versions
  Hash root = empty_root();
  std::vector<LogProblem> problems{}; ///< at most 1000 of them
  [[nodiscard]] bool sound() const noexcept { return problems.empty(); }
  friend bool operator==(const CatalogReport&, const CatalogReport&) = default;
};

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const CatalogReport& report);

/// Errors of all functions: io_failure (full disk, lock held for longer than the time-out, connection lost), corrupt. A
/// call that fails has changed nothing. One object may be used by several threads; they take turns.
///
/// On PostgreSQL: a lost connection is the error of the call that finds it, and the next call makes a new one. Where it
/// is lost while the server commits, the server is asked again, within the time-out to connect, whether it did; where
/// nobody can say, the error says so ("is there as a whole or not at all"). A pooler between must pool sessions.
class MCOMP_WORKFLOW_API Catalog {
 public:
  /// Opens a catalogue, and makes it where there is none. Errors: not_found for a missing folder; corrupt for another
  /// kind of file; version_mismatch for the schema of a newer library.
  /// A path that begins with "postgresql://" or "postgres://" is a connection string: see `open_postgresql`.
  [[nodiscard]] static Result<Catalog> open(const std::filesystem::path& path, const CatalogOptions& options = {});
  /// Opens a catalogue on a PostgreSQL server, and makes it where there is none. What it promises is what it promises
  /// on SQLite: writers take turns (an advisory lock that ends with the transaction), readers see one state
  /// (repeatable read), texts are ordered by their bytes whatever the server's locale. What differs: texts hold no NUL
  /// byte, and what is looked up as a whole (kind, id, owner, status, fingerprint, alias) has at most some 2,600 bytes.
  /// The database must be encoded in UTF-8. Passwords stand in no error.
  ///
  ///     auto catalog = Catalog::open_postgresql("postgresql://ci@db.example.com/models?sslmode=verify-full").value();
  ///
  /// @param connection a URI, or words like "host=db dbname=models" (libpq, "Connection Strings")
  /// Errors: invalid_argument for a string or options that are none; unsupported where this library was built without
  /// libpq (ask `with_postgresql`), for an older server, another encoding, or one without fsync; not_found for a
  /// database that is not there; io_failure where no connection comes about; corrupt for a schema with triggers, rules
  /// or row security, which no catalogue has; version_mismatch for the schema of a newer library.
  [[nodiscard]] static Result<Catalog> open_postgresql(const std::string& connection,
                                                       const CatalogOptions& options = {});
  [[nodiscard]] static bool with_postgresql() noexcept;
  ~Catalog();
  Catalog(Catalog&&) noexcept;
  Catalog& operator=(Catalog&&) noexcept;

  /// Appends events in one transaction; the index of the first. Errors: those of `to_json`; invalid_argument for a kind
  /// of the catalogue's own.
  [[nodiscard]] Result<std::uint64_t> append(std::span<const Event> events);
  [[nodiscard]] Result<std::uint64_t> append(const Event& event) { return append({&event, 1}); }
  [[nodiscard]] Result<std::uint64_t> size() const;
  /// At most `count` events from `first` on.
  [[nodiscard]] Result<std::vector<LoggedEvent>> events(std::uint64_t first, std::int64_t count = 1000) const;
  /// Origin, size and root of the log as it is.
  [[nodiscard]] Result<Checkpoint> checkpoint(std::string origin) const;
  [[nodiscard]] Result<std::vector<Hash>> inclusion_proof(std::uint64_t index, std::uint64_t size) const;
  [[nodiscard]] Result<std::vector<Hash>> consistency_proof(std::uint64_t size1, std::uint64_t size2) const;
  /// The whole log with a checkpoint that these keys sign, for `verify_log_export`.
  [[nodiscard]] Status export_log(const std::filesystem::path& path, const std::string& origin,
                                  std::span<const SigningKey> keys) const;

  /// Stores the next version of a record. Errors: version_mismatch where `expected_version` is not the newest;
  /// invalid_argument, corrupt and invalid_value for a draft that is none.
  [[nodiscard]] Result<Record> put(const RecordDraft& draft);
  /// Several in one transaction: all or none.
  [[nodiscard]] Result<std::vector<Record>> put(std::span<const RecordDraft> drafts);
  /// A version, or the newest. Error: not_found.
  [[nodiscard]] Result<Record> get(const std::string& kind, const std::string& id,
                                   std::optional<std::int64_t> version = {}) const;
  /// All versions, oldest first.
  [[nodiscard]] Result<std::vector<Record>> history(const std::string& kind, const std::string& id) const;
  /// The newest first, by time and then by place in the log.
  [[nodiscard]] Result<std::vector<Record>> find(const RecordQuery& query) const;
  [[nodiscard]] Result<std::int64_t> count(const RecordQuery& query) const;

  /// Deletes what an event or a record's version said; its leaf stays, so that the log can still be verified, and the
  /// redaction is an event itself. SQLite overwrites the bytes in its files. On PostgreSQL the old rows are vacuumed
  /// and no query reaches them; bytes of them may stay in free space of the server's files until that is used again, in
  /// its write-ahead log and in replicas, archives and backups, until those expire (`VACUUM FULL` rewrites the files).
  /// Where the vacuum alone fails, the error says that the redaction stands. Errors: not_found; invalid_argument for
  /// events of aliases, governance and redactions.
  [[nodiscard]] Result<std::uint64_t> redact(std::uint64_t event, const std::string& author, std::int64_t time,
                                             const std::string& reason);

  /// What the rules of retention in force would delete at that time, oldest event first, at most `limit` of them. Reads
  /// the log once. Error: cancelled.
  [[nodiscard]] Result<std::vector<DueEvent>> due(std::int64_t now, std::int64_t limit = 1'000'000,
                                                  const Context& context = {}) const;
  /// Redacts what is due, as `redact` does, a thousand a transaction; what was redacted. After a failure in between
  /// what was done stays done, and the next call goes on. Errors: those of `due` and `redact`.
  [[nodiscard]] Result<std::vector<DueEvent>> apply_retention(const std::string& author, std::int64_t now,
                                                              const Context& context = {});

  /// Keys, roles and policy in force; empty before the first `govern`.
  [[nodiscard]] Result<Governance> governance() const;
  /// Puts others in force. The first needs no approval; every later one needs what the rule "govern" of the one in
  /// force says, about `digest_of(to_json(governance))`. Error: invalid_argument without such a rule in it, or
  /// approvals.
  [[nodiscard]] Result<Record> govern(const Governance& governance, const std::string& author, std::int64_t time,
                                      std::span<const Envelope> approvals = {});

  /// Error: not_found for an alias that was never set.
  [[nodiscard]] Result<AliasState> alias(const std::string& name) const;
  [[nodiscard]] Result<std::vector<std::string>> aliases() const;
  /// All of its states, oldest first.
  [[nodiscard]] Result<std::vector<AliasState>> alias_history(const std::string& name) const;
  /// Lets an alias name an artifact. The class of change is "promote:ALIAS"; the rule of that name, or else the rule
  /// "promote", says what approvals are needed. Approvals are spent in the same transaction. Errors: those of
  /// `authorize`; version_mismatch.
  [[nodiscard]] Result<AliasState> promote(const Promotion& promotion, std::span<const Envelope> approvals);
  /// Lets the alias name again what it did before its current artifact was promoted: approved then, and always
  /// permitted. Error: not_found where there was nothing before.
  [[nodiscard]] Result<AliasState> rollback(const Rollback& rollback);

  /// Holds everything against the log: events against their leaves, leaves against the root, records and aliases
  /// against their events, every promotion against the governance that was in force and the approvals in its event, and
  /// the whole against a checkpoint that was kept elsewhere. Error: cancelled.
  [[nodiscard]] Result<CatalogReport> verify(const std::optional<Checkpoint>& trusted = {},
                                             const Context& context = {}) const;

 private:
  struct State;
  explicit Catalog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

} // namespace mcomp::inline v0::catalog

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<catalog::Record> = true;
template <> inline constexpr bool enable_format<catalog::CatalogReport> = true;
} // namespace mcomp::inline v0
