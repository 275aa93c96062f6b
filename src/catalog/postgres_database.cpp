// PostgreSQL under the catalogue, by libpq.
//
// Every value has its type in the statement and goes over in binary form, so that nothing depends on how a server
// prints numbers or bytes. Statements are sent in libpq's pipeline: what `post` was given goes along with the next
// statement that is waited for, and a batch of a thousand events takes as many round trips as one.

#include "catalog/database.hpp"

#ifdef MCOMP_WITH_POSTGRESQL

#include <poll.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include <libpq-fe.h>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

using Clock = std::chrono::steady_clock;

struct Finish {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
struct Clear {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
struct FreeSettings {
  void operator()(PQconninfoOption* settings) const noexcept { PQconninfoFree(settings); }
};
using Connection = std::unique_ptr<PGconn, Finish>;
using Answer = std::unique_ptr<PGresult, Clear>;
using Settings = std::unique_ptr<PQconninfoOption, FreeSettings>;

// Types by their numbers in pg_type.dat, which are part of the protocol.
constexpr Oid bool_type = 16, bytea_type = 17, name_type = 19, int8_type = 20, int2_type = 21, int4_type = 23,
              text_type_number = 25, float4_type = 700, float8_type = 701, unknown_type = 705, varchar_type = 1043;

/// "mcmp": the first half of the keys of our advisory locks.
constexpr std::int32_t lock_class = 0x6d636d70;
constexpr int scan_rows = 1000;
/// Answers that are waited for at the latest, so that those of a long batch do not pile up.
constexpr std::size_t most_pending = 1024;

template <class Unsigned> std::string big_endian(Unsigned bits) {
  std::string bytes(sizeof bits, '\0');
  for (std::size_t i = 0; i < sizeof bits; ++i)
    bytes[i] = static_cast<char>(static_cast<unsigned char>(bits >> (8 * (sizeof bits - 1 - i))));
  return bytes;
}
template <class Unsigned> Unsigned from_big_endian(const char* bytes) {
  Unsigned bits = 0;
  for (std::size_t i = 0; i < sizeof bits; ++i)
    bits = static_cast<Unsigned>(static_cast<Unsigned>(bits << 8) | static_cast<unsigned char>(bytes[i]));
  return bits;
}

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == '\n' || c == '\t' || c == ' ';
    if (space && (line.empty() || line.back() == ' ')) continue;
    line += space ? ' ' : c;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string identifier(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

/// The second half of the key of the lock: FNV-1a of the schema's name. Two schemas that share one only take turns.
std::int32_t lock_of(std::string_view schema) {
  std::uint32_t hash = 2166136261U;
  for (const char c : schema) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return std::bit_cast<std::int32_t>(hash);
}

class PostgresDatabase final : public Database {
 public:
  using Database::query;
  PostgresDatabase(std::string connection, const CatalogOptions& options, std::string name,
                   std::vector<std::string> secrets)
      : string_(std::move(connection)), options_(options), name_(std::move(name)), secrets_(std::move(secrets)) {}

  Result<std::int64_t> run(std::string_view sql, std::span<const Value> values) override {
    MCOMP_TRY(answer, execute(sql, values));
    const std::string changed = PQcmdTuples(answer.get());
    return changed.empty() ? 0 : static_cast<std::int64_t>(std::stoll(changed));
  }

  Status query(std::string_view sql, std::span<const Value> values, const RowSink& sink) override {
    MCOMP_TRY(answer, execute(sql, values));
    return each_row(answer.get(), sink);
  }

  Status scan(std::string_view sql, std::span<const Value> values, const RowSink& sink) override {
    if (transaction_ != State::none) return scan_within(sql, values, sink);
    MCOMP_TRY(transaction, Transaction::reading(*this));
    MCOMP_CHECK(scan_within(sql, values, sink));
    return transaction.commit();
  }

  Status post(std::string_view sql, std::span<const Value> values) override {
    MCOMP_CHECK(ready());
    MCOMP_CHECK(send(sql, values, true));
    if (pending_.size() < most_pending) return {};
    MCOMP_TRY(answer, receive());
    static_cast<void>(answer);
    return {};
  }

  void confirm_by(std::string_view sql, std::span<const Value> values) override {
    confirmation_ = {std::string(sql), {values.begin(), values.end()}};
  }

  /// Writers take turns by a lock that ends with the transaction. Every statement behind it sees what was committed
  /// before (read committed), and nobody commits meanwhile: one state, without the conflicts of serializable ones. A
  /// client that stops in the middle is cut off by the server, so that others may go on.
  Status begin() override {
    return begin_by(fmt::format("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
                                "SET LOCAL idle_in_transaction_session_timeout = 60000;"
                                "SELECT pg_advisory_xact_lock({}, {})",
                                lock_class, lock_of(options_.postgresql.schema)),
                    State::writing);
  }
  Status begin_reading() override {
    return begin_by("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", State::reading);
  }

  Status commit() override {
    if (!pending_.empty()) {
      MCOMP_TRY(answer, receive());
      static_cast<void>(answer);
    }
    if (failed_) return *failed_;
    Answer answer(PQexec(connection_.get(), "COMMIT"));
    if (lost(answer.get()) && transaction_ == State::writing) return settle(error_of(answer.get()));
    const bool done = PQresultStatus(answer.get()) == PGRES_COMMAND_OK;
    const bool kept = done && std::string_view(PQcmdStatus(answer.get())) == "COMMIT";
    if (!done) return failure(answer.get());
    end_transaction();
    if (kept) return {};
    return Error(ErrorCode::io_failure, name_, "the server has rolled the transaction back", "try again");
  }

  void rollback() noexcept override {
    if (transaction_ == State::none) return;
    leave_pipeline();
    if (connection_) undo();
    end_transaction();
  }

  /// What PostgreSQL has in place of SQLite's own check: that nothing was added that changes what statements do, that
  /// indexes are valid, and, where the extension amcheck is installed and allowed, that tables and indexes agree.
  Result<std::vector<std::string>> check_structure() override {
    std::vector<std::string> problems;
    MCOMP_CHECK(query(foreign_code, {options_.postgresql.schema}, [&](const Row& row) -> Status {
      problems.push_back(row.text(0));
      return {};
    }));
    MCOMP_CHECK(query("SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                      " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND NOT i.indisvalid"
                      " ORDER BY c.relname",
                      {options_.postgresql.schema}, [&](const Row& row) -> Status {
                        problems.push_back("index " + row.text(0) + " is not valid");
                        return {};
                      }));
    MCOMP_CHECK(check_pages(problems));
    return problems;
  }

  /// Dead rows are removed. What may stay is told in the documentation of `redact`.
  Status forget_deleted() override {
    MCOMP_CHECK(ready());
    const auto told = [&](const Error& error) {
      return Error(error.code(), name_,
                   fmt::format("what was deleted is deleted, but its old rows were not vacuumed: {}", error.rule()),
                   "run VACUUM on the tables event and record, or leave it to autovacuum");
    };
    Answer answer(PQexec(connection_.get(), "VACUUM event, record"));
    if (PQresultStatus(answer.get()) != PGRES_COMMAND_OK) return told(error_of(answer.get()));
    return {};
  }

  std::string_view name() const noexcept override { return name_; }
  std::string_view bytes_type() const noexcept override { return "BYTEA"; }
  std::string_view text_type() const noexcept override { return "TEXT COLLATE \"C\""; }
  std::string_view sequence_key() const noexcept override { return "BIGINT PRIMARY KEY"; }
  bool searches_index() const noexcept override { return false; } // it prefers to read the table in parallel

  /// Connects, and looks whether this is a server and a schema for a catalogue; makes the schema where there is none.
  Status open() {
    MCOMP_CHECK(connect(Clock::now() + std::chrono::milliseconds(options_.postgresql.connect_timeout_ms)));
    bool there = false;
    MCOMP_CHECK(query("SELECT nspname FROM pg_namespace WHERE nspname = $1", {options_.postgresql.schema},
                      [&](const Row&) -> Status {
                        there = true;
                        return {};
                      }));
    if (!there) {
      MCOMP_TRY(transaction, Transaction::writing(*this));
      MCOMP_TRY(made, run("CREATE SCHEMA IF NOT EXISTS " + identifier(options_.postgresql.schema), {}));
      static_cast<void>(made);
      MCOMP_CHECK(transaction.commit());
    }
    return query(foreign_code, {options_.postgresql.schema}, [&](const Row& row) -> Status {
      return Error(ErrorCode::corrupt, name_, row.text(0) + ", which no catalogue has",
                   "name the schema of a catalogue, or remove what is not the catalogue's");
    });
  }

 private:
  enum class State { none, reading, writing };

  /// Code in the schema that runs when a catalogue's statements do, or hides rows from them.
  static constexpr std::string_view foreign_code =
      "SELECT 'table ' || c.relname || ' has the trigger ' || t.tgname FROM pg_trigger t"
      " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
      " WHERE n.nspname = $1 AND NOT t.tgisinternal"
      " UNION ALL SELECT 'table ' || c.relname || ' has the rule ' || r.rulename FROM pg_rewrite r"
      " JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1"
      " UNION ALL SELECT 'table ' || c.relname || ' has row security' FROM pg_class c"
      " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relrowsecurity ORDER BY 1";

  // --- Errors

  /// libpq names no password; this is for the day on which it does.
  [[nodiscard]] std::string without_secrets(std::string text) const {
    for (const std::string& secret : secrets_)
      for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos; at += 3)
        text.replace(at, secret.size(), "***");
    return text;
  }

  [[nodiscard]] bool lost(const PGresult* answer) const {
    const char* state = answer ? PQresultErrorField(answer, PG_DIAG_SQLSTATE) : nullptr;
    // Every error of a server has its SQLSTATE; one without is libpq's own.
    if (PQstatus(connection_.get()) == CONNECTION_BAD || (!state && failed_status(answer))) return true;
    // The server says farewell before it closes: administrator, crash of another process, time-out of the session.
    return state && (std::string_view(state).starts_with("57P0") || std::string_view(state) == "25P03");
  }
  static bool failed_status(const PGresult* answer) {
    const auto status = PQresultStatus(answer);
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
  }

  [[nodiscard]] Error error_of(const PGresult* answer) const {
    const char* state_field = answer ? PQresultErrorField(answer, PG_DIAG_SQLSTATE) : nullptr;
    const char* message = answer ? PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
    const std::string_view state = state_field ? state_field : "";
    const std::string text = without_secrets(one_line(message ? message : PQerrorMessage(connection_.get())));
    const auto error = [&](ErrorCode code, std::string_view before, const char* remedy) {
      return Error(code, name_, fmt::format("{}{}", before, text.empty() ? "it gives no reason" : text), remedy);
    };
    if (lost(answer))
      return error(ErrorCode::io_failure, "the connection was lost: ", "try again: nothing of the call was kept");
    const std::string_view kind = state.substr(0, 2);
    if (state == "25P02" && failed_) return *failed_;
    if (state == "55P03" || state == "40P01" || state == "40001")
      return error(ErrorCode::io_failure, "another writer holds it: ", "try again, or give it more time to wait");
    if (state == "57014")
      return error(ErrorCode::io_failure, "the server has stopped the statement: ", "give it more time");
    if (state == "53100")
      return error(ErrorCode::io_failure,
                   "there is no room: ", "make room; what was acknowledged is there, nothing else was changed");
    if (state == "54000")
      return error(ErrorCode::invalid_argument, "",
                   "shorten names, ids, owners, statuses and fingerprints to 2,600 bytes");
    if (state == "22021") return error(ErrorCode::invalid_value, "", "give text in UTF-8");
    if (kind == "23")
      return error(ErrorCode::invalid_argument, "", "read the record again, and change what is there now");
    if (kind == "XX") return error(ErrorCode::corrupt, "", "restore the catalogue from a copy or from its export");
    if (kind == "42" && state != "42501")
      return error(ErrorCode::corrupt, "", "restore the catalogue's tables from a copy, or name another schema");
    if (state == "42501")
      return error(ErrorCode::io_failure, "", "let the role use and create what the catalogue needs");
    if (state == "25006") return error(ErrorCode::io_failure, "", "connect to the server that takes writes");
    return error(ErrorCode::io_failure, "", "check the server's log; nothing was changed");
  }

  /// Notes that the transaction will come to nothing.
  Error fail(Error error) {
    if (transaction_ != State::none && !failed_) failed_ = error;
    return error;
  }
  /// The error of an answer, or of none; a connection that is lost is given up.
  Error failure(const PGresult* answer) {
    const Error error = fail(error_of(answer));
    if (lost(answer)) connection_.reset();
    return error;
  }

  // --- The connection

  Status connect(Clock::time_point deadline) {
    connection_.reset();
    statements_.clear();
    // What stands before the string is a default that it may change; what stands behind holds in any case.
    const std::array<const char*, 8> keys = {
        "application_name", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout", "dbname",          "client_encoding",     nullptr};
    const std::array<const char*, 8> values = {
        options_.postgresql.application_name.c_str(), "30", "10", "3", "60000", string_.c_str(), "UTF8", nullptr};
    Connection connection(PQconnectStartParams(keys.data(), values.data(), 1));
    if (!connection) return Error(ErrorCode::io_failure, name_, "there is no memory for a connection", "free memory");
    // Notices would go to standard error.
    PQsetNoticeReceiver(
        connection.get(), [](void*, const PGresult*) {}, nullptr);
    const auto refused = [&](const std::string& why) {
      const bool absent = why.find("database \"") != std::string::npos && why.ends_with("does not exist");
      return Error(absent ? ErrorCode::not_found : ErrorCode::io_failure, name_, "no connection: " + why,
                   "check host, port, database, user and password, and that the server runs and lets you in");
    };
    PostgresPollingStatusType next =
        PQstatus(connection.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
      if (next == PGRES_POLLING_FAILED) return refused(without_secrets(one_line(PQerrorMessage(connection.get()))));
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      pollfd file{PQsocket(connection.get()), static_cast<short>(next == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
      if (left <= 0 || ::poll(&file, 1, static_cast<int>(std::min<std::int64_t>(left, 3'600'000))) == 0)
        return refused("no answer within the time-out");
      next = PQconnectPoll(connection.get());
    }
    connection_ = std::move(connection);
    if (const auto status = begin_session(); !status) {
      connection_.reset();
      return status;
    }
    return {};
  }

  Status begin_session() {
    const auto& o = options_.postgresql;
    MCOMP_CHECK(simple(fmt::format(
        // The schema alone, so that no other one can put its tables or operators in place of the catalogue's.
        "SET search_path = {}, pg_temp; SET standard_conforming_strings = on;"
        "SET lock_timeout = {}; SET statement_timeout = {};"
        // Compiling a statement takes longer than any of these runs.
        "SET jit = off",
        identifier(o.schema), std::max<std::int64_t>(options_.busy_timeout_ms, 1), o.statement_timeout_ms)));
    std::int64_t version = 0;
    std::string encoding, fsync, full_pages, commit;
    MCOMP_CHECK(query("SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),"
                      " current_setting('fsync'), current_setting('full_page_writes'),"
                      " current_setting('synchronous_commit')",
                      {}, [&](const Row& row) -> Status {
                        version = row.integer(0), encoding = row.text(1), fsync = row.text(2);
                        full_pages = row.text(3), commit = row.text(4);
                        return {};
                      }));
    if (version < 130000)
      return Error(ErrorCode::unsupported, name_, fmt::format("the server is PostgreSQL {}", version / 10000),
                   "use PostgreSQL 13 or newer");
    if (encoding != "UTF8")
      return Error(ErrorCode::unsupported, name_, "the database is encoded in " + encoding,
                   "create one with the encoding UTF8");
    if (o.require_fsync && (fsync != "on" || full_pages != "on"))
      return Error(ErrorCode::unsupported, name_,
                   "the server runs with fsync or full_page_writes off, and a power cut takes what it acknowledged",
                   "turn them on, or set require_fsync = false where that does not matter");
    if (commit == "on" || commit == "remote_apply") return {};
    return simple("SET synchronous_commit = on");
  }

  /// Whether a call may begin: where the connection is gone between two calls, there is a new one.
  Status ready() {
    if (failed_) return *failed_;
    if (transaction_ != State::none || !pending_.empty()) return {};
    if (connection_ && alive()) return {};
    return connect(Clock::now() + std::chrono::milliseconds(options_.postgresql.connect_timeout_ms));
  }
  /// What has come in unasked, such as a server's farewell and the end behind it, is read without waiting.
  bool alive() {
    constexpr int most_messages = 8;
    for (int i = 0; i < most_messages; ++i) {
      pollfd file{PQsocket(connection_.get()), POLLIN, 0};
      if (::poll(&file, 1, 0) == 0) break;
      if (PQconsumeInput(connection_.get()) != 1) return false;
    }
    return PQstatus(connection_.get()) == CONNECTION_OK;
  }

  /// Whether a transaction was committed whose answer was lost: whoever has the lock of the writers knows.
  Status settle(Error error) {
    const auto [sql, values] = std::exchange(confirmation_, {});
    connection_.reset();
    end_transaction();
    const auto unknown = [&](const Error& why) {
      return Error(ErrorCode::io_failure, name_,
                   fmt::format("the connection was lost while the server committed: the change is there as a whole or "
                               "not at all, and asking which was in vain ({})",
                               why.rule()),
                   "look whether it is there before you try again");
    };
    if (sql.empty()) return unknown(error);
    // A server that is just starting again refuses at first.
    const auto deadline = Clock::now() + std::chrono::milliseconds(options_.postgresql.connect_timeout_ms);
    for (;;) {
      const auto status = connect(deadline);
      if (status) break;
      if (status.error().code() != ErrorCode::io_failure || Clock::now() + retry_after > deadline)
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

  void end_transaction() noexcept {
    transaction_ = State::none;
    failed_.reset();
    pending_.clear();
    confirmation_ = {};
  }

  /// Several statements without values, outside of the pipeline.
  Status simple(const std::string& sql) {
    const Answer answer(PQexec(connection_.get(), sql.c_str()));
    if (failed_status(answer.get())) return failure(answer.get());
    return {};
  }
  void undo() noexcept {
    const Answer answer(PQexec(connection_.get(), "ROLLBACK"));
    if (PQtransactionStatus(connection_.get()) != PQTRANS_IDLE) connection_.reset();
  }

  Status begin_by(const std::string& sql, State state) {
    MCOMP_CHECK(ready());
    if (const auto status = simple(sql); !status) {
      if (connection_) undo();
      return status;
    }
    transaction_ = state;
    return {};
  }

  // --- Statements

  /// Sends a statement behind those that are still unanswered; a kept one is prepared once for the connection.
  Status send(std::string_view sql, std::span<const Value> values, bool keep) {
    std::vector<Oid> types;
    std::vector<std::string> encoded(values.size());
    std::vector<const char*> bytes;
    std::vector<int> sizes, formats(values.size(), 1);
    std::string key(sql);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::string* text = &encoded[i];
      Oid type = 0; // null: of the type that the server finds
      if (const auto* integer = std::get_if<std::int64_t>(&values[i])) {
        type = int8_type;
        encoded[i] = big_endian(std::bit_cast<std::uint64_t>(*integer));
      } else if (const auto* number = std::get_if<double>(&values[i])) {
        type = float8_type;
        encoded[i] = big_endian(std::bit_cast<std::uint64_t>(*number));
      } else if (const auto* words = std::get_if<std::string>(&values[i])) {
        type = text_type_number;
        text = words;
        if (words->find('\0') != std::string::npos)
          return fail(Error(ErrorCode::invalid_value, name_, "a text holds a NUL byte, which PostgreSQL cannot store",
                            "take it out"));
      } else if (const auto* blob = std::get_if<Bytes>(&values[i])) {
        type = bytea_type;
        text = &blob->value;
      }
      if (text->size() > largest_value)
        return fail(Error(ErrorCode::invalid_value, name_, "a value has more than 1,000,000,000 bytes",
                          "store it as a file of an artifact"));
      types.push_back(type);
      sizes.push_back(static_cast<int>(text->size()));
      bytes.push_back(type == 0 ? nullptr : text->data());
      key += fmt::format("|{}", type);
    }
    if (pending_.empty() && PQenterPipelineMode(connection_.get()) != 1) return failure(nullptr);
    const int count = static_cast<int>(values.size());
    if (!keep) {
      if (PQsendQueryParams(connection_.get(), std::string(sql).c_str(), count, types.data(), bytes.data(),
                            sizes.data(), formats.data(), 1) != 1)
        return failure(nullptr);
      pending_.emplace_back();
      return {};
    }
    auto found = statements_.find(key);
    if (found == statements_.end()) {
      found = statements_.emplace(key, fmt::format("mcomp{}", ++names_)).first;
      if (PQsendPrepare(connection_.get(), found->second.c_str(), std::string(sql).c_str(), count, types.data()) != 1)
        return failure(nullptr);
      pending_.push_back(key);
    }
    if (PQsendQueryPrepared(connection_.get(), found->second.c_str(), count, bytes.data(), sizes.data(), formats.data(),
                            1) != 1)
      return failure(nullptr);
    pending_.emplace_back();
    return {};
  }

  /// Waits for the answers to all that was sent; that of the last. The first failure is the error.
  Result<Answer> receive() {
    Answer last;
    std::optional<Error> error;
    synced_ = PQpipelineSync(connection_.get()) == 1;
    if (!synced_) error = failure(nullptr);
    for (std::size_t i = 0; i < pending_.size() && !error; ++i) {
      last.reset(PQgetResult(connection_.get()));
      if (failed_status(last.get())) error = failure(last.get());
      if (!error) Answer(PQgetResult(connection_.get())); // the null that ends the answer
    }
    if (error) // prepared or not, they are prepared anew
      for (const std::string& key : pending_) statements_.erase(key);
    leave_pipeline();
    if (error) return *error;
    return Result<Answer>(std::move(last));
  }

  /// Reads on to the end of all that was sent. Where that cannot be, the connection is given up.
  void leave_pipeline() noexcept {
    if (connection_ && PQpipelineStatus(connection_.get()) != PQ_PIPELINE_OFF) {
      bool ended = synced_ || PQpipelineSync(connection_.get()) == 1;
      for (int nulls = 0; ended;) {
        const Answer answer(PQgetResult(connection_.get()));
        if (PQresultStatus(answer.get()) == PGRES_PIPELINE_SYNC) break;
        nulls = answer ? 0 : nulls + 1; // one null ends an answer, two the connection
        ended = nulls < 2 && PQstatus(connection_.get()) == CONNECTION_OK;
      }
      if (!ended || PQexitPipelineMode(connection_.get()) != 1) connection_.reset();
    }
    synced_ = false;
    pending_.clear();
  }

  Result<Answer> execute(std::string_view sql, std::span<const Value> values, bool keep = true) {
    MCOMP_CHECK(ready());
    MCOMP_CHECK(send(sql, values, keep));
    return receive();
  }

  Status scan_within(std::string_view sql, std::span<const Value> values, const RowSink& sink) {
    const std::string cursor = fmt::format("scan{}", ++names_);
    MCOMP_TRY(declared, execute(fmt::format("DECLARE {} NO SCROLL CURSOR FOR {}", cursor, sql), values, false));
    static_cast<void>(declared);
    for (;;) {
      MCOMP_TRY(answer, execute(fmt::format("FETCH {} FROM {}", scan_rows, cursor), {}, false));
      MCOMP_CHECK(each_row(answer.get(), sink));
      if (PQntuples(answer.get()) < scan_rows) break;
    }
    MCOMP_TRY(closed, execute("CLOSE " + cursor, {}, false));
    static_cast<void>(closed);
    return {};
  }

  Status each_row(const PGresult* answer, const RowSink& sink) {
    std::vector<Value> row(static_cast<std::size_t>(PQnfields(answer)));
    for (int i = 0; i < PQntuples(answer); ++i) {
      for (std::size_t c = 0; c < row.size(); ++c) {
        MCOMP_TRY(value, value_at(answer, i, static_cast<int>(c)));
        row[c] = std::move(value);
      }
      MCOMP_CHECK(sink(Row(row)));
    }
    return {};
  }

  Result<Value> value_at(const PGresult* answer, int row, int column) {
    if (PQgetisnull(answer, row, column) == 1) return Value();
    const char* bytes = PQgetvalue(answer, row, column);
    const auto size = static_cast<std::size_t>(PQgetlength(answer, row, column));
    const auto integer = [](auto bits) { return Value(static_cast<std::int64_t>(bits)); };
    switch (const Oid type = PQftype(answer, column)) {
    case int8_type:
      if (size == 8) return integer(std::bit_cast<std::int64_t>(from_big_endian<std::uint64_t>(bytes)));
      break;
    case int4_type:
      if (size == 4) return integer(std::bit_cast<std::int32_t>(from_big_endian<std::uint32_t>(bytes)));
      break;
    case int2_type:
      if (size == 2) return integer(std::bit_cast<std::int16_t>(from_big_endian<std::uint16_t>(bytes)));
      break;
    case bool_type:
      if (size == 1) return integer(*bytes != 0 ? 1 : 0);
      break;
    case float8_type:
      if (size == 8) return Value(std::bit_cast<double>(from_big_endian<std::uint64_t>(bytes)));
      break;
    case float4_type:
      if (size == 4) return Value(double{std::bit_cast<float>(from_big_endian<std::uint32_t>(bytes))});
      break;
    case text_type_number:
    case varchar_type:
    case name_type:
    case unknown_type:
      return Value(std::string(bytes, size));
    case bytea_type:
      return Value(Bytes{std::string(bytes, size)});
    default:
      return fail(Error(ErrorCode::corrupt, name_, fmt::format("a column has the type number {}", type),
                        "restore the catalogue's tables from a copy"));
    }
    return fail(Error(ErrorCode::corrupt, name_, "a value has another size than its type", "use a newer libpq"));
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
    if (transaction_ != State::none) return check_pages_by(schema, problems);
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
              {options_.postgresql.schema}, [&](const Row& row) -> Status {
                problems.push_back(row.text(0));
                return {};
              }));
    std::vector<std::string> indexes;
    MCOMP_CHECK(query("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                      " JOIN pg_am a ON a.oid = c.relam WHERE n.nspname = $1 AND c.relkind = 'i' AND a.amname = 'btree'"
                      " ORDER BY c.relname",
                      {options_.postgresql.schema}, [&](const Row& row) -> Status {
                        indexes.push_back(row.text(0));
                        return {};
                      }));
    for (const std::string& index : indexes) {
      MCOMP_CHECK(simple("SAVEPOINT check_index"));
      const auto status = query(fmt::format("SELECT c.relname FROM pg_class c"
                                            " JOIN pg_namespace n ON n.oid = c.relnamespace"
                                            " CROSS JOIN LATERAL {}.bt_index_check(c.oid::regclass)"
                                            " WHERE n.nspname = $1 AND c.relname = $2",
                                            extension),
                                {options_.postgresql.schema, index}, [](const Row&) -> Status { return {}; });
      if (!status && status.error().code() != ErrorCode::corrupt) return status;
      if (!status) {
        problems.push_back(status.error().rule());
        failed_.reset();
        MCOMP_CHECK(simple("ROLLBACK TO SAVEPOINT check_index"));
      }
      MCOMP_CHECK(simple("RELEASE SAVEPOINT check_index"));
    }
    return {};
  }

  static constexpr std::size_t largest_value = 1'000'000'000; ///< PostgreSQL's own limit is a little higher

  std::string string_;
  CatalogOptions options_;
  std::string name_;
  std::vector<std::string> secrets_;
  Connection connection_;
  std::map<std::string, std::string, std::less<>> statements_; ///< of this connection: text and types, name
  std::uint64_t names_ = 0;
  std::vector<std::string> pending_; ///< what was sent and not yet answered: the key of what it prepares, or nothing
  bool synced_ = false;              ///< and that this is all of it
  State transaction_ = State::none;
  std::optional<Error> failed_; ///< what has ended the transaction before its time
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
  auto database = std::make_unique<PostgresDatabase>(connection, options, std::move(name), std::move(secrets));
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
