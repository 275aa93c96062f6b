#pragma once

// What the catalogue asks of a database, and no more: statements with values, rows, and transactions that write. SQLite
// is the one that is embedded, PostgreSQL the one of a server; the catalogue's SQL keeps to what both share. Parameters
// are written $1, $2, ... in the order in which they first stand.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/try.hpp"
#include "mcomp/catalog/catalog.hpp"

namespace mcomp::inline v0::catalog::detail {

/// Bytes that are no text.
struct Bytes {
  std::string value;
  friend bool operator==(const Bytes&, const Bytes&) = default;
};
using Value = std::variant<std::monostate, std::int64_t, double, std::string, Bytes>;

/// A value of another type than is asked for, as only a damaged file has, reads as empty: what is read is checked
/// against the log.
class Row {
 public:
  explicit Row(std::span<const Value> values) : values_(values) {}
  [[nodiscard]] std::int64_t integer(std::size_t column) const { return get<std::int64_t>(column); }
  [[nodiscard]] double number(std::size_t column) const { return get<double>(column); }
  [[nodiscard]] std::string text(std::size_t column) const { return get<std::string>(column); }
  [[nodiscard]] std::string bytes(std::size_t column) const { return get<Bytes>(column).value; }
  [[nodiscard]] bool null(std::size_t column) const { return std::holds_alternative<std::monostate>(values_[column]); }

 private:
  template <class T> T get(std::size_t column) const {
    const T* value = std::get_if<T>(&values_[column]);
    return value ? *value : T{};
  }
  std::span<const Value> values_;
};

using RowSink = std::function<Status(const Row&)>;

/// Errors of all: io_failure (a full disk, a lock that others hold for too long), corrupt, invalid_argument for a
/// constraint that is broken. After an error within a transaction nothing of it stays.
class Database {
 public:
  virtual ~Database() = default;
  /// Runs a statement; the number of rows that it changed.
  [[nodiscard]] virtual Result<std::int64_t> run(std::string_view sql, std::span<const Value> values = {}) = 0;
  /// The sink may ask further queries. The rows may all be in memory at once: see `scan`.
  [[nodiscard]] virtual Status query(std::string_view sql, std::span<const Value> values, const RowSink& sink) = 0;
  /// A query whose rows may be too many for the memory: of one state, a part at a time.
  [[nodiscard]] virtual Status scan(std::string_view sql, std::span<const Value> values, const RowSink& sink) {
    return query(sql, values, sink);
  }
  /// A statement of a transaction whose answer nobody needs: a server may get it without being waited for, and what
  /// fails then is the error of a later call, at the latest of `commit`.
  [[nodiscard]] virtual Status post(std::string_view sql, std::span<const Value> values) {
    const auto changed = run(sql, values);
    if (!changed) return changed.error();
    return {};
  }
  /// A query that has a row where this transaction was committed, and none where it was not: a server whose answer to a
  /// commit was lost is asked by it.
  virtual void confirm_by(std::string_view /*sql*/, std::span<const Value> /*values*/) {}
  /// A transaction that will write: it waits for other writers here, and never later.
  [[nodiscard]] virtual Status begin() = 0;
  [[nodiscard]] virtual Status commit() = 0;
  virtual void rollback() noexcept = 0;
  /// A transaction that reads one state.
  [[nodiscard]] virtual Status begin_reading() = 0;
  /// What the database itself finds wrong with its structure, a line each.
  [[nodiscard]] virtual Result<std::vector<std::string>> check_structure() = 0;
  /// Overwrites what was deleted, where the database keeps it around.
  [[nodiscard]] virtual Status forget_deleted() = 0;
  /// For errors: a path, or a server and its database.
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  /// The names of column types for bytes, and for text that is ordered by its bytes; the declaration of a key of whole
  /// numbers.
  [[nodiscard]] virtual std::string_view bytes_type() const noexcept = 0;
  [[nodiscard]] virtual std::string_view text_type() const noexcept = 0;
  [[nodiscard]] virtual std::string_view sequence_key() const noexcept = 0;
  /// True where a part of a text is looked for in an index that holds the text; else it is not in there, and may be of
  /// any length.
  [[nodiscard]] virtual bool searches_index() const noexcept = 0;

  [[nodiscard]] Result<std::int64_t> run(std::string_view sql, std::initializer_list<Value> values) {
    return run(sql, std::span(values.begin(), values.size()));
  }
  [[nodiscard]] Status query(std::string_view sql, std::initializer_list<Value> values, const RowSink& sink) {
    return query(sql, std::span(values.begin(), values.size()), sink);
  }
  [[nodiscard]] Status scan(std::string_view sql, std::initializer_list<Value> values, const RowSink& sink) {
    return scan(sql, std::span(values.begin(), values.size()), sink);
  }
  [[nodiscard]] Status post(std::string_view sql, std::initializer_list<Value> values) {
    return post(sql, std::span(values.begin(), values.size()));
  }
};

struct SqliteOptions {
  bool full_sync = true;
  std::int64_t busy_timeout_ms = 5000;
};

[[nodiscard]] Result<std::unique_ptr<Database>> open_sqlite(const std::filesystem::path& path,
                                                            const SqliteOptions& options);

/// Error: unsupported where the library was built without PostgreSQL.
[[nodiscard]] Result<std::unique_ptr<Database>> open_postgresql(const std::string& connection,
                                                                const CatalogOptions& options);
[[nodiscard]] bool built_with_postgresql() noexcept;

/// Brings the schema to the newest of the numbered migrations, each in its own transaction. Error: version_mismatch
/// where the database is ahead of this library.
[[nodiscard]] Status migrate(Database& database);

/// Rolls back at its end, unless committed.
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> writing(Database& database) {
    MCOMP_CHECK(database.begin());
    return Transaction(database);
  }
  [[nodiscard]] static Result<Transaction> reading(Database& database) {
    MCOMP_CHECK(database.begin_reading());
    return Transaction(database);
  }
  ~Transaction() {
    if (database_) database_->rollback();
  }
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  [[nodiscard]] Status commit() {
    MCOMP_CHECK(database_->commit());
    database_ = nullptr;
    return {};
  }

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

} // namespace mcomp::inline v0::catalog::detail
