// Compiled only where there is libpq.

#include "catalog/postgres_session.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

// Types by their numbers in pg_type.dat, which are part of the protocol.
constexpr Oid bool_type = 16, bytea_type = 17, name_type = 19, int8_type = 20, int2_type = 21, int4_type = 23,
              text_type_number = 25, float4_type = 700, float8_type = 701, unknown_type = 705, varchar_type = 1043;

/// Answers that are waited for at the latest, so that those of a long batch do not pile up.
constexpr std::size_t most_pending = 1024;
constexpr std::size_t largest_value = 1'000'000'000; ///< PostgreSQL's own limit is a little higher

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

void ignore(void* /*to*/, const PGresult* /*notice*/) {}

bool failed_status(const PGresult* answer) {
  const auto status = PQresultStatus(answer);
  return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
}

} // namespace

std::string identifier(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

// --- Errors

/// libpq names no password; this is for the day on which it does.
std::string PostgresSession::without_secrets(std::string text) const {
  for (const std::string& secret : secrets_)
    for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos; at += 3)
      text.replace(at, secret.size(), "***");
  return text;
}

bool PostgresSession::lost(const PGresult* answer) const {
  const char* state = answer ? PQresultErrorField(answer, PG_DIAG_SQLSTATE) : nullptr;
  // Every error of a server has its SQLSTATE; one without is libpq's own.
  if (PQstatus(connection_.get()) == CONNECTION_BAD || (!state && failed_status(answer))) return true;
  // The server says farewell before it closes: administrator, crash of another process, time-out of the session.
  return state && (std::string_view(state).starts_with("57P0") || std::string_view(state) == "25P03");
}

Error PostgresSession::error_of(const PGresult* answer) const {
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
  if (state == "42501") return error(ErrorCode::io_failure, "", "let the role use and create what the catalogue needs");
  if (state == "25006") return error(ErrorCode::io_failure, "", "connect to the server that takes writes");
  return error(ErrorCode::io_failure, "", "check the server's log; nothing was changed");
}

/// Notes that the transaction will come to nothing.
Error PostgresSession::fail(Error error) {
  if (state_ != State::none && !failed_) failed_ = error;
  return error;
}
/// The error of an answer, or of none; a connection that is lost is given up.
Error PostgresSession::failure(const PGresult* answer) {
  const Error error = fail(error_of(answer));
  if (lost(answer)) drop();
  return error;
}

// --- The connection

void PostgresSession::drop() noexcept {
  connection_.reset();
  statements_.clear();
  pending_.clear();
  synced_ = false;
}

Status PostgresSession::connect(Clock::time_point deadline) {
  drop();
  // What stands before the string is a default that it may change; what stands behind holds in any case.
  const std::array<const char*, 8> keys = {
      "application_name", "keepalives_idle", "keepalives_interval", "keepalives_count",
      "tcp_user_timeout", "dbname",          "client_encoding",     nullptr};
  const std::array<const char*, 8> values = {
      options_.postgresql.application_name.c_str(), "30", "10", "3", "60000", string_.c_str(), "UTF8", nullptr};
  Connection connection(PQconnectStartParams(keys.data(), values.data(), 1));
  if (!connection) return Error(ErrorCode::io_failure, name_, "there is no memory for a connection", "free memory");
  // Notices would go to standard error.
  PQsetNoticeReceiver(connection.get(), ignore, nullptr);
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
  setting_up_ = true;
  const auto status = begin_session();
  setting_up_ = false;
  if (!status) drop();
  return status;
}

Status PostgresSession::begin_session() {
  const auto& o = options_.postgresql;
  MCOMP_CHECK(simple(fmt::format(
      // The schema alone, so that no other one can put its tables or operators in place of the catalogue's.
      "SET search_path = {}, pg_temp; SET standard_conforming_strings = on;"
      "SET lock_timeout = {}; SET statement_timeout = {};"
      // Compiling a statement takes longer than any of these runs.
      "SET jit = off",
      identifier(o.schema), std::max<std::int64_t>(options_.busy_timeout_ms, 1), o.statement_timeout_ms)));
  std::int64_t version = 0;
  std::string encoding, fsync, full_pages, synchronous;
  MCOMP_TRY(answer, execute("SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),"
                            " current_setting('fsync'), current_setting('full_page_writes'),"
                            " current_setting('synchronous_commit')",
                            {}));
  MCOMP_CHECK(each_row(answer.get(), [&](const Row& row) -> Status {
    version = row.integer(0), encoding = row.text(1), fsync = row.text(2);
    full_pages = row.text(3), synchronous = row.text(4);
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
  if (synchronous == "on" || synchronous == "remote_apply") return {};
  return simple("SET synchronous_commit = on");
}

/// Whether a call may begin: where the connection is gone between two calls, there is a new one.
Status PostgresSession::ready() {
  if (failed_) return *failed_;
  if (state_ != State::none || !pending_.empty() || setting_up_) return {};
  if (connection_ && alive()) return {};
  return connect(Clock::now() + std::chrono::milliseconds(options_.postgresql.connect_timeout_ms));
}
/// What has come in unasked, such as a server's farewell and the end behind it, is read without waiting.
bool PostgresSession::alive() {
  constexpr int most_messages = 8;
  for (int i = 0; i < most_messages; ++i) {
    pollfd file{PQsocket(connection_.get()), POLLIN, 0};
    if (::poll(&file, 1, 0) == 0) break;
    if (PQconsumeInput(connection_.get()) != 1) return false;
  }
  return PQstatus(connection_.get()) == CONNECTION_OK;
}

// --- Statements

void PostgresSession::end_transaction() noexcept {
  state_ = State::none;
  failed_.reset();
  pending_.clear();
}

Status PostgresSession::simple(const std::string& sql, std::string* warning) {
  MCOMP_CHECK(ready());
  const auto listen = [](void* to, const PGresult* notice) {
    const char* text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    *static_cast<std::string*>(to) = one_line(text ? text : "a warning");
  };
  if (warning) PQsetNoticeReceiver(connection_.get(), listen, warning);
  const Answer answer(PQexec(connection_.get(), sql.c_str()));
  if (warning) PQsetNoticeReceiver(connection_.get(), ignore, nullptr);
  if (failed_status(answer.get())) return failure(answer.get());
  return {};
}
void PostgresSession::undo() noexcept {
  const Answer answer(PQexec(connection_.get(), "ROLLBACK"));
  if (PQtransactionStatus(connection_.get()) != PQTRANS_IDLE) drop();
}

Status PostgresSession::begin(const std::string& sql, State state) {
  MCOMP_CHECK(ready());
  if (const auto status = simple(sql); !status) {
    if (connection_) undo();
    return status;
  }
  state_ = state;
  return {};
}

/// Sends a statement behind those that are still unanswered; a kept one is prepared once for the connection.
Status PostgresSession::enqueue(std::string_view sql, std::span<const Value> values, bool keep) {
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
    if (PQsendQueryParams(connection_.get(), std::string(sql).c_str(), count, types.data(), bytes.data(), sizes.data(),
                          formats.data(), 1) != 1)
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
Result<Answer> PostgresSession::receive() {
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
void PostgresSession::leave_pipeline() noexcept {
  if (connection_ && PQpipelineStatus(connection_.get()) != PQ_PIPELINE_OFF) {
    bool ended = synced_ || PQpipelineSync(connection_.get()) == 1;
    for (int nulls = 0; ended;) {
      const Answer answer(PQgetResult(connection_.get()));
      if (PQresultStatus(answer.get()) == PGRES_PIPELINE_SYNC) break;
      nulls = answer ? 0 : nulls + 1; // one null ends an answer, two the connection
      ended = nulls < 2 && PQstatus(connection_.get()) == CONNECTION_OK;
    }
    if (!ended || PQexitPipelineMode(connection_.get()) != 1) drop();
  }
  synced_ = false;
  pending_.clear();
}

Result<Answer> PostgresSession::execute(std::string_view sql, std::span<const Value> values, bool keep) {
  MCOMP_CHECK(ready());
  MCOMP_CHECK(enqueue(sql, values, keep));
  return receive();
}

Status PostgresSession::send(std::string_view sql, std::span<const Value> values) {
  MCOMP_CHECK(ready());
  MCOMP_CHECK(enqueue(sql, values, true));
  if (pending_.size() < most_pending) return {};
  MCOMP_TRY(answer, receive());
  static_cast<void>(answer);
  return {};
}

Status PostgresSession::commit(bool& answer_lost) {
  answer_lost = false;
  if (!pending_.empty()) {
    MCOMP_TRY(answer, receive());
    static_cast<void>(answer);
  }
  if (failed_) return *failed_;
  const Answer answer(PQexec(connection_.get(), "COMMIT"));
  if (failed_status(answer.get())) {
    answer_lost = lost(answer.get());
    const Error error = failure(answer.get());
    if (answer_lost) end_transaction();
    return error;
  }
  end_transaction();
  // A transaction that has failed is "committed" as a rollback.
  if (std::string_view(PQcmdStatus(answer.get())) == "COMMIT") return {};
  return Error(ErrorCode::io_failure, name_, "the server has rolled the transaction back", "try again");
}

void PostgresSession::rollback() noexcept {
  if (state_ == State::none) return;
  leave_pipeline();
  if (connection_) undo();
  end_transaction();
}

Status PostgresSession::rollback_to(const std::string& savepoint) {
  failed_.reset();
  return simple("ROLLBACK TO SAVEPOINT " + savepoint);
}

Status PostgresSession::each_row(const PGresult* answer, const RowSink& sink) {
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

Result<Value> PostgresSession::value_at(const PGresult* answer, int row, int column) {
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

} // namespace mcomp::inline v0::catalog::detail
