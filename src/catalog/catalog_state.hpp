#pragma once

// What the parts of the catalogue's code share: the open database, and reading and appending the log in it.

#include <mutex>

#include "catalog/catalog_events.hpp"
#include "catalog/database.hpp"
#include "mcomp/catalog/catalog.hpp"

namespace mcomp::inline v0::catalog {

struct Catalog::State {
  std::mutex mutex;
  std::unique_ptr<detail::Database> database;
  std::string path;
  MerkleTree tree; ///< all leaves that were read so far, for proofs
};

namespace detail {

struct LogState {
  MerkleFrontier frontier;
};
[[nodiscard]] Result<LogState> read_log_state(Database& database);

/// Appends within a transaction of the caller.
class LogAppender {
 public:
  [[nodiscard]] static Result<LogAppender> begin(Database& database);
  /// The index of the event of this canonical text.
  [[nodiscard]] Result<std::uint64_t> append(const std::string& text);
  /// The index of the next event.
  [[nodiscard]] std::uint64_t size() const noexcept { return frontier_.size(); }
  [[nodiscard]] Status finish();

 private:
  LogAppender(Database& database, MerkleFrontier frontier) : database_(&database), frontier_(std::move(frontier)) {}
  Database* database_;
  MerkleFrontier frontier_;
  Hash last_{}; ///< leaf that was appended
};

/// A column `leaf` as a hash. Error: corrupt.
[[nodiscard]] Result<Hash> read_leaf(const Row& row, std::size_t column, std::int64_t seq);
/// A row of seq, leaf, body. Error: corrupt, where body and leaf do not fit.
[[nodiscard]] Result<LoggedEvent> read_logged(const Row& row);
[[nodiscard]] Result<LoggedEvent> read_event(Database& database, std::uint64_t index);

} // namespace detail

} // namespace mcomp::inline v0::catalog
