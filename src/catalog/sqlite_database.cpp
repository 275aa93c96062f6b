#include <map>
#include <utility>

#include <sqlite3.h>

#include "catalog/database.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

/// "mcmp": tells our files from other databases (sqlite.org/pragma.html#pragma_application_id).
constexpr std::int64_t application_id = 0x6d636d70;

struct Close {
  void operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using Handle = std::unique_ptr<sqlite3, Close>;
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

Error error_of(const std::string& path, int code, const char* text) {
  switch (code & 0xff) {
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return Error(ErrorCode::corrupt, path, text, "restore the catalogue from a copy or from its export");
  case SQLITE_CONSTRAINT:
    return Error(ErrorCode::invalid_argument, path, text, "read the record again, and change what is there now");
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return Error(ErrorCode::io_failure, path, fmt::format("another writer holds it: {}", text),
                 "try again, or give it more time to wait");
  case SQLITE_FULL:
    return Error(ErrorCode::io_failure, path, fmt::format("there is no room: {}", text),
                 "make room; what was acknowledged is there, nothing else was changed");
  case SQLITE_CANTOPEN:
    return Error(ErrorCode::not_found, path, text, "check the path and its folder");
  case SQLITE_NOMEM:
    return Error(ErrorCode::io_failure, path, text, "free memory");
  default:
    return Error(ErrorCode::io_failure, path, text, "check disk and permissions; nothing was changed");
  }
}

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(Handle handle, std::string path) : path_(std::move(path)), handle_(std::move(handle)) {}

  Result<std::int64_t> run(std::string_view sql, std::span<const Value> values) override {
    MCOMP_CHECK(query(sql, values, [](const Row&) -> Status { return {}; }));
    return static_cast<std::int64_t>(sqlite3_changes(handle_.get()));
  }

  Status query(std::string_view sql, std::span<const Value> values, const RowSink& sink) override {
    MCOMP_TRY(statement, prepare(sql));
    // Whatever happens, the statement is free for the next time.
    struct Reset {
      sqlite3_stmt* statement;
      ~Reset() {
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
      }
    } const reset{statement};
    for (std::size_t i = 0; i < values.size(); ++i)
      if (const int code = bind(statement, static_cast<int>(i + 1), values[i]); code != SQLITE_OK) return failure(code);
    std::vector<Value> row(static_cast<std::size_t>(sqlite3_column_count(statement)));
    for (;;) {
      const int code = sqlite3_step(statement);
      if (code == SQLITE_DONE) return {};
      if (code != SQLITE_ROW) return failure(code);
      for (std::size_t i = 0; i < row.size(); ++i) row[i] = column(statement, static_cast<int>(i));
      MCOMP_CHECK(sink(Row(row)));
    }
  }

  Status begin() override { return simple("BEGIN IMMEDIATE"); }
  Status begin_reading() override { return simple("BEGIN"); }
  Status commit() override { return simple("COMMIT"); }
  void rollback() noexcept override {
    if (sqlite3_get_autocommit(handle_.get()) == 0) sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  std::string_view name() const noexcept override { return path_; }
  std::string_view bytes_type() const noexcept override { return "BLOB"; }
  std::string_view text_type() const noexcept override { return "TEXT"; }
  std::string_view sequence_key() const noexcept override { return "INTEGER PRIMARY KEY"; }
  bool searches_index() const noexcept override { return true; }

  Result<std::vector<std::string>> check_structure() override {
    std::vector<std::string> problems;
    MCOMP_CHECK(query("PRAGMA integrity_check", {}, [&](const Row& row) -> Status {
      if (row.text(0) != "ok") problems.push_back(row.text(0));
      return {};
    }));
    return problems;
  }
  Status forget_deleted() override { return simple("PRAGMA wal_checkpoint(TRUNCATE)"); }

  Status simple(const char* sql) {
    const auto changed = run(sql, {});
    if (!changed) return changed.error();
    return {};
  }
  Result<std::int64_t> pragma(const char* sql) {
    std::int64_t value = 0;
    MCOMP_CHECK(query(sql, {}, [&](const Row& row) -> Status {
      value = row.integer(0);
      return {};
    }));
    return value;
  }
  [[nodiscard]] Error failure(int code) const { return error_of(path_, code, sqlite3_errmsg(handle_.get())); }

 private:
  /// Statements are few and their texts constants: each is prepared once.
  Result<sqlite3_stmt*> prepare(std::string_view sql) {
    if (const auto found = statements_.find(sql); found != statements_.end()) return found->second.get();
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    Statement owned(statement);
    if (code != SQLITE_OK) return failure(code);
    return statements_.emplace(std::string(sql), std::move(owned)).first->second.get();
  }

  /// The bytes outlive the statement's run: they are the caller's.
  static int bind(sqlite3_stmt* statement, int index, const Value& value) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) return sqlite3_bind_int64(statement, index, *integer);
    if (const auto* number = std::get_if<double>(&value)) return sqlite3_bind_double(statement, index, *number);
    if (const auto* text = std::get_if<std::string>(&value))
      return sqlite3_bind_text64(statement, index, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
    if (const auto* bytes = std::get_if<Bytes>(&value))
      return sqlite3_bind_blob64(statement, index, bytes->value.data(), bytes->value.size(), SQLITE_STATIC);
    return sqlite3_bind_null(statement, index);
  }

  static Value column(sqlite3_stmt* statement, int index) {
    const auto size = [&] { return static_cast<std::size_t>(sqlite3_column_bytes(statement, index)); };
    switch (sqlite3_column_type(statement, index)) {
    case SQLITE_INTEGER:
      return static_cast<std::int64_t>(sqlite3_column_int64(statement, index));
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, index);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, index));
      return text ? std::string(text, size()) : std::string();
    }
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, index));
      return Bytes{bytes ? std::string(bytes, size()) : std::string()};
    }
    default:
      return std::monostate();
    }
  }

  std::string path_;
  Handle handle_;
  std::map<std::string, Statement, std::less<>> statements_; // gone before the handle
};

} // namespace

Result<std::unique_ptr<Database>> open_sqlite(const std::filesystem::path& path, const SqliteOptions& options) {
  if (options.busy_timeout_ms < 0 || options.busy_timeout_ms > 3'600'000)
    return Error(ErrorCode::invalid_argument, "busy_timeout_ms", "it is not within 0 and one hour",
                 "give milliseconds");
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  Handle handle(raw);
  if (code != SQLITE_OK) return error_of(path.string(), code, raw ? sqlite3_errmsg(raw) : sqlite3_errstr(code));
  sqlite3_busy_timeout(raw, static_cast<int>(options.busy_timeout_ms));
  // A file from elsewhere may hold anything: its schema runs no code, and SQL cannot damage the file's structure.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  auto database = std::make_unique<SqliteDatabase>(std::move(handle), path.string());
  MCOMP_CHECK(database->simple("PRAGMA cell_size_check = ON"));
  MCOMP_CHECK(database->simple("PRAGMA foreign_keys = ON"));
  MCOMP_CHECK(database->simple("PRAGMA secure_delete = ON"));
  MCOMP_CHECK(database->simple(options.full_sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
  MCOMP_TRY(id, database->pragma("PRAGMA application_id"));
  MCOMP_TRY(objects, database->pragma("SELECT count(*) FROM sqlite_schema"));
  if (id != application_id) {
    if (id != 0 || objects != 0)
      return Error(ErrorCode::corrupt, path.string(), "it is a database of something else", "name a catalogue");
    MCOMP_CHECK(database->simple("PRAGMA journal_mode = WAL"));
    MCOMP_CHECK(database->simple(fmt::format("PRAGMA application_id = {}", application_id).c_str()));
  } else {
    MCOMP_CHECK(database->simple("PRAGMA journal_mode = WAL"));
  }
  // Triggers and views are code that comes with a file; a catalogue has none.
  MCOMP_TRY(code_objects, database->pragma("SELECT count(*) FROM sqlite_schema WHERE type IN ('trigger', 'view')"));
  if (code_objects != 0)
    return Error(ErrorCode::corrupt, path.string(), "it has triggers or views, which no catalogue has",
                 "restore the catalogue from a copy");
  return std::unique_ptr<Database>(std::move(database));
}

} // namespace mcomp::inline v0::catalog::detail
