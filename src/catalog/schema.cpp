// The tables of the catalogue, as numbered migrations. One that was released is never changed: what is to be different
// comes as the next number. {bytes}, {text} and {key} stand for what the database calls them, {search} for the text
// that is searched, where it is in the index.

#include <array>

#include "catalog/database.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

namespace {

struct Migration {
  std::string_view what;
  std::vector<std::string_view> statements;
};

const std::array<Migration, 2>& migrations() {
  static const std::array<Migration, 2> list = {{
      {"the log, records, aliases, spent nonces",
       {
           // The log: the leaf is SHA-256(0x00 || body); a body that was removed by a redaction is null.
           "CREATE TABLE event (seq {key}, leaf {bytes} NOT NULL, body {text})",
           "CREATE TABLE log_state (id {key}, size BIGINT NOT NULL, frontier {bytes} NOT NULL)",
           // Views of the log for look-ups: every row repeats what its event says, and the event is what counts.
           "CREATE TABLE record (kind {text} NOT NULL, id {text} NOT NULL, version BIGINT NOT NULL,"
           " latest BIGINT NOT NULL, name {text} NOT NULL, search {text} NOT NULL, owner {text} NOT NULL,"
           " status {text} NOT NULL, fingerprint {text} NOT NULL, time BIGINT NOT NULL,"
           " seq BIGINT NOT NULL UNIQUE REFERENCES event (seq), PRIMARY KEY (kind, id, version))",
           // Where the text that is searched is in it, a search reads the index alone.
           "CREATE INDEX record_by_time ON record (kind, latest, time, seq{search})",
           "CREATE INDEX record_by_status ON record (kind, latest, status, time, seq)",
           "CREATE INDEX record_by_owner ON record (kind, latest, owner, time, seq)",
           "CREATE INDEX record_by_fingerprint ON record (kind, latest, fingerprint, time, seq)",
           "CREATE TABLE alias (name {text} NOT NULL, version BIGINT NOT NULL, artifact {text} NOT NULL,"
           " rollback BIGINT NOT NULL, seq BIGINT NOT NULL UNIQUE REFERENCES event (seq), PRIMARY KEY (name, version))",
           "CREATE TABLE nonce (nonce {text} NOT NULL PRIMARY KEY, seq BIGINT NOT NULL REFERENCES event (seq))",
       }},
      {"links of records",
       {
           "CREATE TABLE link (target {text} NOT NULL, seq BIGINT NOT NULL REFERENCES event (seq),"
           " PRIMARY KEY (target, seq))",
           "CREATE INDEX link_by_seq ON link (seq)",
       }},
  }};
  return list;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result(text);
  for (std::size_t at = 0; (at = result.find(from, at)) != std::string::npos; at += to.size())
    result.replace(at, from.size(), to);
  return result;
}

} // namespace

Status migrate(Database& database) {
  const auto newest = static_cast<std::int64_t>(migrations().size());
  const auto current = [&]() -> Result<std::int64_t> {
    std::int64_t number = 0;
    const auto status = database.query("SELECT max(number) FROM migration", {}, [&](const Row& row) -> Status {
      number = row.integer(0);
      return {};
    });
    if (!status) return status.error();
    return number;
  };
  // Looked at first without a lock: a catalogue that is up to date opens while others write.
  if (const auto number = current(); number && *number == newest) return {};
  MCOMP_TRY(transaction, Transaction::writing(database));
  MCOMP_TRY(made, database.run(
                      "CREATE TABLE IF NOT EXISTS migration (number BIGINT NOT NULL PRIMARY KEY, what TEXT NOT NULL)"));
  static_cast<void>(made);
  MCOMP_TRY(number, current());
  if (number > newest)
    return Error(ErrorCode::version_mismatch, "catalogue",
                 fmt::format("its schema is number {}, this library knows {}", number, newest),
                 "use a newer version of the library");
  for (std::int64_t next = number + 1; next <= newest; ++next) {
    const Migration& migration = migrations()[static_cast<std::size_t>(next - 1)];
    for (const std::string_view statement : migration.statements) {
      std::string sql = replaced(statement, "{bytes}", database.bytes_type());
      sql = replaced(replaced(sql, "{text}", database.text_type()), "{key}", database.sequence_key());
      sql = replaced(sql, "{search}", database.searches_index() ? ", search" : "");
      MCOMP_TRY(done, database.run(sql));
      static_cast<void>(done);
    }
    MCOMP_TRY(noted, database.run("INSERT INTO migration (number, what) VALUES ($1, $2)",
                                  {next, std::string(migration.what)}));
    static_cast<void>(noted);
  }
  return transaction.commit();
}

} // namespace mcomp::inline v0::catalog::detail
