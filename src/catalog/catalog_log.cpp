// The log of a catalogue: appending, reading, proofs and export.

#include <algorithm>

#include "catalog/catalog_state.hpp"
#include "catalog/log_export.hpp"
#include "catalog/random_text.hpp"
#include "catalog/store_files.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

using detail::Transaction;

Result<std::uint64_t> Catalog::append(std::span<const Event> events) {
  std::vector<std::string> texts;
  for (const Event& given : events) {
    if (given.kind == detail::record_kind || given.kind == detail::alias_kind || given.kind == detail::redaction_kind)
      return Error(ErrorCode::invalid_argument, "event: kind", "\"" + given.kind + "\" is the catalogue's own",
                   "name another kind");
    Event event = given;
    if (event.personal && event.salt.empty()) {
      MCOMP_TRY(salt, detail::random_text());
      event.salt = salt;
    }
    MCOMP_TRY(text, to_json(event));
    texts.push_back(std::move(text));
  }
  const std::lock_guard lock(state_->mutex);
  MCOMP_TRY(transaction, Transaction::writing(*state_->database));
  MCOMP_TRY(log, detail::LogAppender::begin(*state_->database));
  std::optional<std::uint64_t> first;
  for (const std::string& text : texts) {
    MCOMP_TRY(index, log.append(text));
    if (!first) first = index;
  }
  MCOMP_CHECK(log.finish());
  MCOMP_TRY(state, detail::read_log_state(*state_->database));
  MCOMP_CHECK(transaction.commit());
  return first.value_or(state.frontier.size());
}

Result<std::uint64_t> Catalog::size() const {
  const std::lock_guard lock(state_->mutex);
  MCOMP_TRY(state, detail::read_log_state(*state_->database));
  return state.frontier.size();
}

Result<std::vector<LoggedEvent>> Catalog::events(std::uint64_t first, std::int64_t count) const {
  constexpr std::uint64_t largest = std::uint64_t{1} << 62;
  if (count < 0 || first > largest)
    return Error(ErrorCode::invalid_argument, "events", "the range is none", "ask within the log");
  const std::lock_guard lock(state_->mutex);
  std::vector<LoggedEvent> events;
  MCOMP_CHECK(state_->database->query("SELECT seq, leaf, body FROM event WHERE seq >= $1 ORDER BY seq LIMIT $2",
                                      {static_cast<std::int64_t>(first), count}, [&](const detail::Row& row) -> Status {
                                        MCOMP_TRY(logged, detail::read_logged(row));
                                        events.push_back(std::move(logged));
                                        return {};
                                      }));
  return events;
}

Result<Checkpoint> Catalog::checkpoint(std::string origin) const {
  const std::lock_guard lock(state_->mutex);
  MCOMP_TRY(state, detail::read_log_state(*state_->database));
  return Checkpoint{std::move(origin), state.frontier.size(), state.frontier.root(), {}};
}

namespace {

/// Reads the leaves that the tree does not have yet.
Status catch_up(detail::Database& database, MerkleTree& tree) {
  return database.scan("SELECT seq, leaf FROM event WHERE seq >= $1 ORDER BY seq",
                       {static_cast<std::int64_t>(tree.size())}, [&](const detail::Row& row) -> Status {
                         const std::int64_t seq = row.integer(0);
                         if (static_cast<std::uint64_t>(seq) != tree.size())
                           return Error(ErrorCode::corrupt, fmt::format("event {}", tree.size()), "it is missing",
                                        "restore the catalogue from a copy");
                         MCOMP_TRY(leaf, detail::read_leaf(row, 1, seq));
                         tree.append(leaf);
                         return {};
                       });
}

} // namespace

Result<std::vector<Hash>> Catalog::inclusion_proof(std::uint64_t index, std::uint64_t size) const {
  const std::lock_guard lock(state_->mutex);
  MCOMP_CHECK(catch_up(*state_->database, state_->tree));
  return state_->tree.inclusion_proof(index, size);
}

Result<std::vector<Hash>> Catalog::consistency_proof(std::uint64_t size1, std::uint64_t size2) const {
  const std::lock_guard lock(state_->mutex);
  MCOMP_CHECK(catch_up(*state_->database, state_->tree));
  return state_->tree.consistency_proof(size1, size2);
}

Status Catalog::export_log(const std::filesystem::path& path, const std::string& origin,
                           std::span<const SigningKey> keys) const {
  const std::lock_guard lock(state_->mutex);
  // One state of the database: the checkpoint is that of the events that follow it.
  MCOMP_TRY(transaction, Transaction::reading(*state_->database));
  static_cast<void>(transaction);
  MCOMP_TRY(state, detail::read_log_state(*state_->database));
  MCOMP_TRY(note, sign_checkpoint({origin, state.frontier.size(), state.frontier.root(), {}}, keys));
  MCOMP_TRY(file,
            detail::IncomingFile::create(path.has_parent_path() ? path.parent_path() : std::filesystem::path(".")));
  std::string buffer = detail::log_export_head(state.frontier.size(), note);
  std::uint64_t events = 0;
  const auto write_line = [&](const detail::Row& row) -> Status {
    MCOMP_TRY(leaf, detail::read_leaf(row, 1, row.integer(0)));
    const std::string body = row.text(2);
    buffer += detail::log_export_line(leaf, row.null(2) ? nullptr : &body);
    ++events;
    if (buffer.size() < (std::size_t{1} << 20)) return {};
    MCOMP_CHECK(file.write(buffer));
    buffer.clear();
    return {};
  };
  MCOMP_CHECK(state_->database->scan("SELECT seq, leaf, body FROM event ORDER BY seq", {}, write_line));
  if (events != state.frontier.size())
    return Error(ErrorCode::corrupt, state_->path,
                 fmt::format("{} events, the log has {}", events, state.frontier.size()),
                 "verify the catalogue, and restore it from a copy");
  MCOMP_CHECK(file.write(buffer));
  MCOMP_CHECK(file.sync());
  return file.rename(path);
}

} // namespace mcomp::inline v0::catalog
