#pragma once

// A session with a PostgreSQL server by libpq: the connection and its settings, statements through libpq's pipeline,
// transactions, and errors. For code that is compiled where there is libpq.
//
// Every value has its type in the statement and goes over in binary form, so that nothing depends on how a server
// prints numbers or bytes. What is sent is answered in order: a batch of a thousand statements takes as many round
// trips as one.

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <libpq-fe.h>

#include "catalog/database.hpp"

namespace mcomp::inline v0::catalog::detail {

struct FinishConnection {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
struct ClearAnswer {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Connection = std::unique_ptr<PGconn, FinishConnection>;
using Answer = std::unique_ptr<PGresult, ClearAnswer>;

/// A name within double quotes.
[[nodiscard]] std::string identifier(std::string_view name);

class PostgresSession {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State { none, reading, writing };

  /// @param name what errors call it; @param secrets what stands in no error
  PostgresSession(std::string connection, const CatalogOptions& options, std::string name,
                  std::vector<std::string> secrets)
      : string_(std::move(connection)), options_(options), name_(std::move(name)), secrets_(std::move(secrets)) {}

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const CatalogOptions& options() const noexcept { return options_; }
  [[nodiscard]] State state() const noexcept { return state_; }
  /// When a connection must have come about that is begun now.
  [[nodiscard]] Clock::time_point deadline() const {
    return Clock::now() + std::chrono::milliseconds(options_.postgresql.connect_timeout_ms);
  }

  /// A new connection with the catalogue's settings.
  [[nodiscard]] Status connect(Clock::time_point deadline);
  /// Gives the connection up.
  void drop() noexcept;

  /// A statement and its answer, behind those that were sent before; a kept one is prepared once for the connection.
  [[nodiscard]] Result<Answer> execute(std::string_view sql, std::span<const Value> values, bool keep = true);
  /// Sends a statement, whose failure is then that of a later call.
  [[nodiscard]] Status send(std::string_view sql, std::span<const Value> values);
  /// Several statements without values, outside of the pipeline. Warnings go to `warning`, where it is given.
  [[nodiscard]] Status simple(const std::string& sql, std::string* warning = nullptr);
  [[nodiscard]] Status each_row(const PGresult* answer, const RowSink& sink);

  /// By a text that begins the transaction.
  [[nodiscard]] Status begin(const std::string& sql, State state);
  /// `answer_lost` where nobody knows whether the server has committed; the session is then without a transaction.
  [[nodiscard]] Status commit(bool& answer_lost);
  void rollback() noexcept;
  /// What failed since a savepoint was set is undone.
  [[nodiscard]] Status rollback_to(const std::string& savepoint);

 private:
  [[nodiscard]] Status ready();
  [[nodiscard]] bool alive();
  [[nodiscard]] Status begin_session();
  [[nodiscard]] Status enqueue(std::string_view sql, std::span<const Value> values, bool keep);
  [[nodiscard]] Result<Answer> receive();
  void leave_pipeline() noexcept;
  void undo() noexcept;
  void end_transaction() noexcept;
  [[nodiscard]] Result<Value> value_at(const PGresult* answer, int row, int column);

  [[nodiscard]] std::string without_secrets(std::string text) const;
  [[nodiscard]] bool lost(const PGresult* answer) const;
  [[nodiscard]] Error error_of(const PGresult* answer) const;
  /// Notes that the transaction will come to nothing.
  Error fail(Error error);
  /// The error of an answer, or of none; a connection that is lost is given up.
  Error failure(const PGresult* answer);

  std::string string_;
  CatalogOptions options_;
  std::string name_;
  std::vector<std::string> secrets_;
  Connection connection_;
  bool setting_up_ = false;
  std::map<std::string, std::string, std::less<>> statements_; ///< of this connection: text and types, name
  std::uint64_t names_ = 0;
  std::vector<std::string> pending_; ///< what was sent and not yet answered: the key of what it prepares, or nothing
  bool synced_ = false;              ///< and that this is all of it
  State state_ = State::none;
  std::optional<Error> failed_; ///< what has ended the transaction before its time
};

} // namespace mcomp::inline v0::catalog::detail
