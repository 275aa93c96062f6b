// The log in the database.

#include <algorithm>
#include <array>

#include "catalog/catalog_state.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace detail {

namespace {

Error damaged(std::int64_t seq, std::string rule) {
  return Error(ErrorCode::corrupt, fmt::format("event {}", seq), std::move(rule), "restore the catalogue from a copy");
}

} // namespace

Result<LogState> read_log_state(Database& database) {
  std::int64_t size = 0;
  std::string bytes;
  MCOMP_CHECK(database.query("SELECT size, frontier FROM log_state WHERE id = 1", {}, [&](const Row& row) -> Status {
    size = row.integer(0);
    bytes = row.bytes(1);
    return {};
  }));
  std::vector<Hash> hashes(bytes.size() / sizeof(Hash));
  for (std::size_t i = 0; i < hashes.size(); ++i)
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(i * sizeof(Hash)), sizeof(Hash), hashes[i].begin());
  if (size < 0 || bytes.size() % sizeof(Hash) != 0) return damaged(size, "the state of the log is none");
  MCOMP_TRY(frontier, MerkleFrontier::from(static_cast<std::uint64_t>(size), std::move(hashes)));
  return LogState{frontier};
}

Result<LogAppender> LogAppender::begin(Database& database) {
  MCOMP_TRY(state, read_log_state(database));
  return LogAppender(database, std::move(state.frontier));
}

Result<std::uint64_t> LogAppender::append(const std::string& text) {
  const std::uint64_t index = frontier_.size();
  const Hash leaf = leaf_hash(text);
  MCOMP_CHECK(database_->post("INSERT INTO event (seq, leaf, body) VALUES ($1, $2, $3)",
                              {static_cast<std::int64_t>(index), Bytes{std::string(leaf.begin(), leaf.end())}, text}));
  frontier_.append(leaf);
  last_ = leaf;
  return index;
}

Status LogAppender::finish() {
  std::string bytes;
  for (const Hash& hash : frontier_.hashes()) bytes.append(hash.begin(), hash.end());
  const auto size = static_cast<std::int64_t>(frontier_.size());
  MCOMP_TRY(changed,
            database_->run("UPDATE log_state SET size = $1, frontier = $2 WHERE id = 1", {size, Bytes{bytes}}));
  const std::array<Value, 2> last = {size - 1, Bytes{std::string(last_.begin(), last_.end())}};
  database_->confirm_by("SELECT seq FROM event WHERE seq = $1 AND leaf = $2", last);
  if (changed == 1) return {};
  MCOMP_TRY(made,
            database_->run("INSERT INTO log_state (id, size, frontier) VALUES (1, $1, $2)", {size, Bytes{bytes}}));
  static_cast<void>(made);
  return {};
}

Result<Hash> read_leaf(const Row& row, std::size_t column, std::int64_t seq) {
  const std::string bytes = row.bytes(column);
  Hash leaf{};
  if (bytes.size() != leaf.size()) return damaged(seq, "its leaf is no hash");
  std::copy(bytes.begin(), bytes.end(), leaf.begin());
  return leaf;
}

Result<LoggedEvent> read_logged(const Row& row) {
  const std::int64_t seq = row.integer(0);
  LoggedEvent logged{.index = static_cast<std::uint64_t>(seq), .leaf = {}, .event = {}};
  MCOMP_TRY(leaf, read_leaf(row, 1, seq));
  logged.leaf = leaf;
  if (row.null(2)) return logged;
  const std::string body = row.text(2);
  if (leaf_hash(body) != leaf) return damaged(seq, "it is not the one that its leaf stands for");
  const auto event = Event::parse(body);
  if (!event) return damaged(seq, event.error().rule());
  logged.event = *event;
  return logged;
}

Result<LoggedEvent> read_event(Database& database, std::uint64_t index) {
  std::optional<LoggedEvent> found;
  MCOMP_CHECK(database.query("SELECT seq, leaf, body FROM event WHERE seq = $1", {static_cast<std::int64_t>(index)},
                             [&](const Row& row) -> Status {
                               MCOMP_TRY(logged, read_logged(row));
                               found = std::move(logged);
                               return {};
                             }));
  if (!found)
    return Error(ErrorCode::not_found, fmt::format("event {}", index), "there is no such event", "ask within the log");
  return *found;
}

} // namespace detail

} // namespace mcomp::inline v0::catalog
