// PostgreSQL under the catalogue: how its writers take turns, what a lost commit came to, and what it checks.

#include "catalog/database.hpp"

#ifdef MCOMP_WITH_POSTGRESQL

#include <poll.h>

#include <bit>
#include <map>
#include <utility>

#include "catalog/postgres_session.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

struct FreeSettings {
  void operator()(PQconninfoOption* settings) const noexcept { PQconninfoFree(settings); }
};
using Settings = std::unique_ptr<PQconninfoOption, FreeSettings>;

/// "mcmp": the first half of the keys of our advisory locks.
constexpr std::int32_t lock_class = 0x6d636d70;
constexpr int scan_rows = 1000;

/// The second half of the key of the lock: FNV-1a of the schema's name. Two schemas that share one only take turns.
std::int32_t lock_of(std::string_view schema) {
  std::uint32_t hash = 2166136261U;
  for (const char c : schema) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return std::bit_cast<std::int32_t>(hash);
}

class PostgresDatabase final : public Database {
 public:
  using Database::query;
  explicit PostgresDatabase(PostgresSession session) : session_(std::move(session)) {}

  Result<std::int64_t> run(std::string_view sql, std::span<const Value> values) override {
    MCOMP_TRY(answer, session_.execute(sql, values));
    const std::string changed = PQcmdTuples(answer.get());
    return changed.empty() ? 0 : static_cast<std::int64_t>(std::stoll(changed));
  }

  Status query(std::string_view sql, std::span<const Value> values, const RowSink& sink) override {
    MCOMP_TRY(answer, session_.execute(sql, values));
    return session_.each_row(answer.get(), sink);
  }

  Status scan(std::string_view sql, std::span<const Value> values, const RowSink& sink) override {
    if (session_.state() != PostgresSession::State::none) return scan_within(sql, values, sink);
    MCOMP_TRY(transaction, Transaction::reading(*this));
    MCOMP_CHECK(scan_within(sql, values, sink));
    return transaction.commit();
  }

  Status post(std::string_view sql, std::span<const Value> values) override { return session_.send(sql, values); }

  void confirm_by(std::string_view sql, std::span<const Value> values) override {
    confirmation_ = {std::string(sql), {values.begin(), values.end()}};
  }

  /// Writers take turns by a lock that ends with the transaction. Every statement behind it sees what was committed
  /// before (read committed), and nobody commits meanwhile: one state, without the conflicts of serializable ones. A
  /// client that stops in the middle is cut off by the server, so that others may go on.
  Status begin() override {
    return session_.begin(fmt::format("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
                                      "SET LOCAL idle_in_transaction_session_timeout = 60000;"
                                      "SELECT pg_advisory_xact_lock({}, {})",
                                      lock_class, lock_of(schema())),
                          PostgresSession::State::writing);
  }
  Status begin_reading() override {
    return session_.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", PostgresSession::State::reading);
  }

  Status commit() override {
    const bool wrote = session_.state() == PostgresSession::State::writing;
    bool answer_lost = false;
    const auto status = session_.commit(answer_lost);
    if (answer_lost && wrote) return settle(status.error());
    return status;
  }

  void rollback() noexcept override { session_.rollback(); }

  /// What PostgreSQL has in place of SQLite's own check: that nothing was added that changes what statements do, that
  /// indexes are valid, and, where the extension amcheck is installed and allowed, that tables and indexes agree.
  Result<std::vector<std::string>> check_structure() override {
    std::vector<std::string> problems;
    MCOMP_CHECK(query(foreign_code, {schema()}, [&](const Row& row) -> Status {
      problems.push_back(row.text(0));
      return {};
    }));
    MCOMP_CHECK(query("SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                      " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND NOT i.indisvalid"
                      " ORDER BY c.relname",
                      {schema()}, [&](const Row& row) -> Status {
                        problems.push_back("index " + row.text(0) + " is not valid");
                        return {};
                      }));
    MCOMP_CHECK(check_pages(problems));
    return problems;
  }

  /// Dead rows are removed. What may stay is told in the documentation of `redact`.
  Status forget_deleted() override {
    std::string warning, tables;
    const auto told = [&](ErrorCode code, const std::string& why) {
      return Error(code, session_.name(),
                   fmt::format("what was deleted is deleted, but its old rows were not vacuumed: {}", why),
                   "run VACUUM on the tables of the catalogue as their owner, or leave it to autovacuum");
    };
    const auto listed = query("SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY tablename", {schema()},
                              [&](const Row& row) -> Status {
                                tables += (tables.empty() ? "" : ", ") + identifier(row.text(0));
                                return {};
                              });
    if (!listed) return told(listed.error().code(), listed.error().rule());
    // Who is not the owner is told so by a warning.
    const auto status = session_.simple("VACUUM " + tables, &warning);
    if (!status) return told(status.error().code(), status.error().rule());
    if (!warning.empty()) return told(ErrorCode::io_failure, warning);
    return {};
  }

  std::string_view name() const noexcept override { return session_.name(); }
  std::string_view bytes_type() const noexcept override { return "BYTEA"; }
  std::string_view text_type() const noexcept override { return "TEXT COLLATE \"C\""; }
  std::string_view sequence_key() const noexcept override { return "BIGINT PRIMARY KEY"; }
  bool searches_index() const noexcept override { return false; } // it prefers to read the table in parallel

  /// Connects, and looks whether this is a server and a schema for a catalogue; makes the schema where there is none.
  Status open() {
    MCOMP_CHECK(session_.connect(session_.deadline()));
    bool there = false;
    MCOMP_CHECK(query("SELECT nspname FROM pg_namespace WHERE nspname = $1", {schema()}, [&](const Row&) -> Status {
      there = true;
      return {};
    }));
    if (!there) {
      MCOMP_TRY(transaction, Transaction::writing(*this));
      MCOMP_TRY(made, run("CREATE SCHEMA IF NOT EXISTS " + identifier(schema()), {}));
      static_cast<void>(made);
      MCOMP_CHECK(transaction.commit());
    }
    return query(foreign_code, {schema()}, [&](const Row& row) -> Status {
      return Error(ErrorCode::corrupt, session_.name(), row.text(0) + ", which no catalogue has",
                   "name the schema of a catalogue, or remove what is not the catalogue's");
    });
  }

 private:
  /// Code in the schema that runs when a catalogue's statements do, or hides rows from them.
  static constexpr std::string_view foreign_code =
      "SELECT 'table ' || c.relname || ' has the trigger ' || t.tgname FROM pg_trigger t"
      " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
      " WHERE n.nspname = $1 AND NOT t.tgisinternal"
      " UNION ALL SELECT 'table ' || c.relname || ' has the rule ' || r.rulename FROM pg_rewrite r"
      " JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1"
      " UNION ALL SELECT 'table ' || c.relname || ' has row security' FROM pg_class c"
      " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relrowsecurity ORDER BY 1";

  /// Whether a transaction was committed whose answer was lost: whoever has the lock of the writers knows.
  Status settle(Error error) {
    const auto [sql, values] = std::exchange(confirmation_, {});
    const auto unknown = [&](const Error& why) {
      return Error(ErrorCode::io_failure, session_.name(),
                   fmt::format("the connection was lost while the server committed: the change is there as a whole or "
                               "not at all, and asking which was in vain ({})",
                               why.rule()),
                   "look whether it is there before you try again");
    };
    if (sql.empty()) return unknown(error);
    // A server that is just starting again refuses at first.
    const auto deadline = session_.deadline();
    for (;;) {
      const auto status = session_.connect(deadline);
      if (status) break;
      if (status.error().code() != ErrorCode::io_failure || PostgresSession::Clock::now() + retry_after > deadline)
        return unknown(status.error());
      ::poll(nullptr, 0, static_cast<int>(retry_after.count()));
    }
    if (const auto status = begin(); !status) return unknown(status.error());
    bool there = false;
    const auto status = query(sql, values, [&](const Row&) -> Status {
      there = true;
      return {};
    });
    rollback();
    if (!status) return unknown(status.error());
    if (there) return {};
    return error;
  }
  static constexpr std::chrono::milliseconds retry_after{50};

  Status scan_within(std::string_view sql, std::span<const Value> values, const RowSink& sink) {
    const std::string cursor = fmt::format("scan{}", ++scans_);
    MCOMP_TRY(declared,
              session_.execute(fmt::format("DECLARE {} NO SCROLL CURSOR FOR {}", cursor, sql), values, false));
    static_cast<void>(declared);
    for (;;) {
      MCOMP_TRY(answer, session_.execute(fmt::format("FETCH {} FROM {}", scan_rows, cursor), {}, false));
      MCOMP_CHECK(session_.each_row(answer.get(), sink));
      if (PQntuples(answer.get()) < scan_rows) break;
    }
    MCOMP_TRY(closed, session_.execute("CLOSE " + cursor, {}, false));
    static_cast<void>(closed);
    return {};
  }

  /// By the extension amcheck, where there is one and the role may use it.
  Status check_pages(std::vector<std::string>& problems) {
    std::string schema;
    MCOMP_CHECK(query("SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
                      " JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname IN ('bt_index_check', 'verify_heapam')"
                      " WHERE e.extname = 'amcheck' GROUP BY n.nspname"
                      " HAVING bool_and(has_function_privilege(p.oid, 'EXECUTE')) AND count(DISTINCT p.proname) = 2",
                      {}, [&](const Row& row) -> Status {
                        schema = identifier(row.text(0));
                        return {};
                      }));
    if (schema.empty()) return {};
    if (session_.state() != PostgresSession::State::none) return check_pages_by(schema, problems);
    MCOMP_TRY(transaction, Transaction::reading(*this));
    MCOMP_CHECK(check_pages_by(schema, problems));
    return transaction.commit();
  }

  /// The check of an index reports by failing, which must not end the transaction of the caller.
  Status check_pages_by(const std::string& extension, std::vector<std::string>& problems) {
    MCOMP_CHECK(
        query(fmt::format("SELECT 'table ' || c.relname || ', block ' || coalesce(h.blkno::text, '-') || ': ' ||"
                          " h.msg FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                          " CROSS JOIN LATERAL {}.verify_heapam(c.oid::regclass) h"
                          " WHERE n.nspname = $1 AND c.relkind = 'r'",
                          extension),
              {schema()}, [&](const Row& row) -> Status {
                problems.push_back(row.text(0));
                return {};
              }));
    std::vector<std::string> indexes;
    MCOMP_CHECK(query("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                      " JOIN pg_am a ON a.oid = c.relam WHERE n.nspname = $1 AND c.relkind = 'i' AND a.amname = 'btree'"
                      " ORDER BY c.relname",
                      {schema()}, [&](const Row& row) -> Status {
                        indexes.push_back(row.text(0));
                        return {};
                      }));
    for (const std::string& index : indexes) {
      MCOMP_CHECK(session_.simple("SAVEPOINT check_index"));
      const auto status = query(fmt::format("SELECT c.relname FROM pg_class c"
                                            " JOIN pg_namespace n ON n.oid = c.relnamespace"
                                            " CROSS JOIN LATERAL {}.bt_index_check(c.oid::regclass)"
                                            " WHERE n.nspname = $1 AND c.relname = $2",
                                            extension),
                                {schema(), index}, [](const Row&) -> Status { return {}; });
      if (!status && status.error().code() != ErrorCode::corrupt) return status;
      if (!status) {
        problems.push_back(status.error().rule());
        MCOMP_CHECK(session_.rollback_to("check_index"));
      }
      MCOMP_CHECK(session_.simple("RELEASE SAVEPOINT check_index"));
    }
    return {};
  }

  [[nodiscard]] const std::string& schema() const { return session_.options().postgresql.schema; }

  PostgresSession session_;
  std::uint64_t scans_ = 0;
  std::pair<std::string, std::vector<Value>> confirmation_;
};

Error bad_option(const char* name, const char* rule, const char* remedy) {
  return Error(ErrorCode::invalid_argument, name, rule, remedy);
}

Status check(const CatalogOptions& options) {
  constexpr std::int64_t longest = 3'600'000;
  const PostgresqlOptions& o = options.postgresql;
  const char* rule = "it is not within 0 and one hour";
  if (options.busy_timeout_ms < 0 || options.busy_timeout_ms > longest)
    return bad_option("busy_timeout_ms", rule, "give milliseconds");
  if (o.connect_timeout_ms < 1 || o.connect_timeout_ms > longest)
    return bad_option("connect_timeout_ms", "it is not within 1 and one hour", "give milliseconds");
  if (o.statement_timeout_ms < 0 || o.statement_timeout_ms > longest)
    return bad_option("statement_timeout_ms", rule, "give milliseconds, or 0 for no end");
  constexpr std::size_t longest_name = 63; // NAMEDATALEN - 1
  const auto nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  if (o.schema.empty() || o.schema.size() > longest_name || nul(o.schema) || o.schema.starts_with("pg_"))
    return bad_option("schema", "it is no name: 1 to 63 bytes, and not pg_...", "name another schema");
  if (o.application_name.size() > longest_name || nul(o.application_name))
    return bad_option("application_name", "it has more than 63 bytes, or a NUL byte", "shorten it");
  return {};
}

} // namespace

Result<std::unique_ptr<Database>> open_postgresql(const std::string& connection, const CatalogOptions& options) {
  MCOMP_CHECK(check(options));
  char* message = nullptr;
  const Settings settings(PQconninfoParse(connection.c_str(), &message));
  PQfreemem(message); // it may repeat parts of the string, and so a password
  if (!settings || connection.empty() || connection.find('\0') != std::string::npos)
    return Error(ErrorCode::invalid_argument, "connection string",
                 "libpq does not understand it (what is wrong is not "
                 "repeated here, it may hold a password)",
                 "write postgresql://USER@HOST:PORT/DATABASE?KEY=VALUE with special characters as %XX, or KEY=VALUE "
                 "words with '...' around values that have spaces");
  std::map<std::string, std::string> given;
  for (const PQconninfoOption* setting = settings.get(); setting->keyword; ++setting)
    if (setting->val && *setting->val) given.emplace(setting->keyword, setting->val);
  std::string name = "postgresql://" + given["host"];
  if (!given["port"].empty()) name += ":" + given["port"];
  name += "/" + given["dbname"];
  if (options.postgresql.schema != PostgresqlOptions{}.schema)
    name += fmt::format(" (schema {})", options.postgresql.schema);
  std::vector<std::string> secrets;
  constexpr std::size_t least = 4; // shorter ones would take the letters out of every word
  for (const char* key : {"password", "sslpassword"})
    if (given[key].size() >= least) secrets.push_back(given[key]);
  auto database =
      std::make_unique<PostgresDatabase>(PostgresSession(connection, options, std::move(name), std::move(secrets)));
  MCOMP_CHECK(database->open());
  return std::unique_ptr<Database>(std::move(database));
}

bool built_with_postgresql() noexcept {
  return true;
}

} // namespace mcomp::inline v0::catalog::detail

#else

namespace mcomp::inline v0::catalog::detail {

Result<std::unique_ptr<Database>> open_postgresql(const std::string& /*connection*/,
                                                  const CatalogOptions& /*options*/) {
  return Error(ErrorCode::unsupported, "connection string", "this library was built without PostgreSQL",
               "build it with libpq 14 or newer (Debian: libpq-dev) and MCOMP_WITH_POSTGRESQL=ON, or name a file");
}

bool built_with_postgresql() noexcept {
  return false;
}

} // namespace mcomp::inline v0::catalog::detail

#endif
