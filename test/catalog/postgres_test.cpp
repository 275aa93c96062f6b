// What is a server's own: its errors, its crashes, its clients in other processes. What a catalogue does on either
// database, catalog_test.cpp has.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <map>
#include <thread>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/place.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::catalog;
using catalog::detail::Row;
using mcomp_test::Kind;
using mcomp_test::Place;
using mcomp_test::PostgresServer;

namespace {

constexpr std::int64_t now = 1'800'000'000;

PostgresServer* server() {
  return Catalog::with_postgresql() ? PostgresServer::shared() : nullptr;
}

Event note(const std::string& subject) {
  return {.kind = "note", .subject = subject, .actor = "ana", .time = now};
}

std::string text_of(catalog::detail::Database& database, const std::string& sql) {
  std::string text;
  REQUIRE(database.query(sql, {}, [&](const Row& row) -> Status {
    text += row.text(0) + ";";
    return {};
  }));
  return text;
}

} // namespace

TEST_CASE("a connection string is refused where the library has no PostgreSQL, and says what to do") {
  if (Catalog::with_postgresql()) return;
  for (const char* string : {"postgresql://db/models", "postgres://db/models"}) {
    const auto catalog = Catalog::open(string);
    REQUIRE(!catalog);
    CHECK(catalog.error().code() == ErrorCode::unsupported);
    CHECK(catalog.error().remedy().find("MCOMP_WITH_POSTGRESQL") != std::string::npos);
  }
}

TEST_CASE("what cannot be connected to is refused without its password") {
  if (!server()) return;
  const std::string secret = "s3cr3t-w0rd";
  const std::string folder = mcomp_test::temporary_folder().string();
  const auto refused = [&](const std::string& string, ErrorCode code, PostgresqlOptions options = {}) {
    INFO(string);
    options.connect_timeout_ms = 2000;
    const auto catalog = Catalog::open_postgresql(string, {.postgresql = options});
    REQUIRE(!catalog);
    const std::string text = catalog.error().what();
    INFO(text);
    CHECK(catalog.error().code() == code);
    CHECK(mcomp_test::well_formed(catalog.error()));
    CHECK(text.find(secret) == std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  };
  refused("", ErrorCode::invalid_argument);
  refused("team.mcomp", ErrorCode::invalid_argument);
  refused("postgresql://[" + secret, ErrorCode::invalid_argument);
  refused("postgresql://ana:" + secret + "@[::1/models", ErrorCode::invalid_argument);
  refused("postgresql://ana:" + secret + "@db/models?nonsense=" + secret, ErrorCode::invalid_argument);
  refused("password=" + secret + " " + secret, ErrorCode::invalid_argument);
  refused("postgresql://ana:" + secret + "@db/models", ErrorCode::invalid_argument, {.schema = ""});
  refused("postgresql://ana:" + secret + "@db/models", ErrorCode::invalid_argument, {.schema = "pg_x"});
  refused("postgresql://ana:" + secret + "@db/models", ErrorCode::invalid_argument, {.statement_timeout_ms = -1});
  refused("postgresql://ana:" + secret + "@/models?host=" + folder, ErrorCode::io_failure); // nobody listens
  refused("postgresql://ana:" + secret + "@127.0.0.1:1/models", ErrorCode::io_failure);
  refused(server()->connection("absent") + "&password=" + secret, ErrorCode::not_found);
  refused("user=nobody_here password=" + secret +
              " dbname=postgres host=" + server()->connection().substr(server()->connection().find("host=") + 5),
          ErrorCode::io_failure);
}

TEST_CASE("a database or a schema that is none for a catalogue is refused") {
  if (!server()) return;
  const Place place(Kind::postgresql);
  REQUIRE(place.open());
  const auto database = place.database();
  const auto refused = [&](const Result<Catalog>& catalog, ErrorCode code, const std::string& words) {
    REQUIRE(!catalog);
    INFO(catalog.error().what());
    CHECK(catalog.error().code() == code);
    CHECK(catalog.error().rule().find(words) != std::string::npos);
    CHECK(mcomp_test::well_formed(catalog.error()));
  };
  // Another encoding; and a server that forgets.
  const std::string ascii = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0";
  REQUIRE((server()->sql(ascii + " LOCALE_PROVIDER libc") || server()->sql(ascii))); // the provider since version 15
  refused(Catalog::open_postgresql(server()->connection("ascii")), ErrorCode::unsupported, "SQL_ASCII");
  REQUIRE(server()->sql("DROP DATABASE ascii"));
  REQUIRE(server()->sql("ALTER SYSTEM SET fsync = off"));
  REQUIRE(database->run("SELECT pg_reload_conf()"));
  const auto unsafe = [&] { return place.open(); };
  for (int i = 0; i < 100 && unsafe(); ++i) ::poll(nullptr, 0, 20);
  refused(unsafe(), ErrorCode::unsupported, "fsync");
  CatalogOptions careless = place.options();
  careless.postgresql.require_fsync = false;
  CHECK(Catalog::open_postgresql(server()->connection(), careless));
  REQUIRE(server()->sql("ALTER SYSTEM RESET fsync"));
  REQUIRE(database->run("SELECT pg_reload_conf()"));
  for (int i = 0; i < 100 && !unsafe(); ++i) ::poll(nullptr, 0, 20);
  REQUIRE(unsafe());
  // Code that would run within the catalogue's statements, and rows that it would not see.
  REQUIRE(database->run("CREATE RULE forget AS ON INSERT TO nonce DO INSTEAD NOTHING"));
  refused(place.open(), ErrorCode::corrupt, "nonce has the rule forget");
  REQUIRE(database->run("DROP RULE forget ON nonce"));
  REQUIRE(database->run("ALTER TABLE alias ENABLE ROW LEVEL SECURITY"));
  refused(place.open(), ErrorCode::corrupt, "alias has row security");
  REQUIRE(database->run("ALTER TABLE alias DISABLE ROW LEVEL SECURITY"));
  REQUIRE(database->run("CREATE TRIGGER again BEFORE UPDATE ON event FOR EACH ROW EXECUTE FUNCTION "
                        "suppress_redundant_updates_trigger()"));
  refused(place.open(), ErrorCode::corrupt, "event has the trigger again");
  REQUIRE(database->run("DROP TRIGGER again ON event"));
  REQUIRE(place.open());
  REQUIRE(database->run("INSERT INTO migration (number, what) VALUES (99, 'of the future')"));
  CHECK(place.open().error().code() == ErrorCode::version_mismatch);
}

TEST_CASE("a session is what the catalogue needs, whatever the connection string or the server's defaults say") {
  if (!server()) return;
  const Place place(Kind::postgresql);
  CatalogOptions options = place.options();
  options.postgresql.application_name = "sweep";
  const auto database =
      catalog::detail::open_postgresql(server()->connection() + "&options=-c%20synchronous_commit%3Doff%20-c%20"
                                                                "standard_conforming_strings%3Doff%20-c%20"
                                                                "default_transaction_isolation%3Dserializable",
                                       options)
          .value();
  CHECK(text_of(*database, "SELECT current_setting('synchronous_commit')") == "on;");
  CHECK(text_of(*database, "SELECT current_setting('standard_conforming_strings')") == "on;");
  CHECK(text_of(*database, "SELECT current_setting('application_name')") == "sweep;");
  CHECK(text_of(*database, "SELECT current_setting('client_encoding')") == "UTF8;");
  CHECK(text_of(*database, "SELECT current_schema()") == place.schema() + ";");
  {
    const auto transaction = catalog::detail::Transaction::writing(*database);
    REQUIRE(transaction);
    CHECK(text_of(*database, "SELECT current_setting('transaction_isolation')") == "read committed;");
  }
  // Every text of every table is ordered by its bytes, those of later migrations too.
  REQUIRE(place.open());
  CHECK(text_of(*database, "SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c"
                           " WHERE c.table_schema = current_schema() AND c.data_type = 'text'"
                           " AND c.collation_name IS DISTINCT FROM 'C' AND c.table_name <> 'migration'") == "");
}

TEST_CASE("texts that PostgreSQL cannot keep are refused, and nothing of them stays") {
  if (!server()) return;
  const Place place(Kind::postgresql);
  Catalog catalog = place.open().value();
  RecordDraft draft{.kind = "recipe", .id = "a", .name = std::string("x\0y", 3), .author = "ana", .time = now};
  CHECK(catalog.put(draft).error().code() == ErrorCode::invalid_value);
  CHECK(catalog.get("recipe", std::string("\0", 1)).error().code() == ErrorCode::invalid_value);
  CHECK(catalog.get("recipe", "\xff").error().code() == ErrorCode::invalid_value);
  // Longer than an index takes, in text that does not compress.
  Random random(1);
  draft.name = "x";
  while (draft.id.size() < 9000) draft.id += fmt::format("{:016x}", random.next());
  const auto long_id = catalog.put(draft);
  REQUIRE(!long_id);
  CHECK(long_id.error().code() == ErrorCode::invalid_argument);
  CHECK(long_id.error().remedy().find("2,600 bytes") != std::string::npos);
  CHECK(catalog.size().value() == 0);
  // A name may be longer: it is searched, but in no index.
  draft.name = std::exchange(draft.id, "a");
  CHECK(catalog.put(draft));
  CHECK(catalog.find({.kind = "recipe", .text = draft.name.substr(4000, 100)}).value().size() == 1);
  CHECK(catalog.verify().value().sound());
}

TEST_CASE("a log that is read in parts is read as a whole") {
  if (!server()) return;
  const Place place(Kind::postgresql);
  Catalog catalog = place.open().value();
  std::vector<Event> events;
  for (int i = 0; i < 2500; ++i) events.push_back(note(fmt::format("{}", i)));
  REQUIRE(catalog.append(events).value() == 0);
  const auto report = catalog.verify().value();
  CHECK(report.sound());
  CHECK(report.events == 2500);
  const Checkpoint checkpoint = catalog.checkpoint("x").value();
  const auto read = catalog.events(0, 3000).value();
  REQUIRE(read.size() == 2500);
  CHECK(verify_inclusion(1999, 2500, read[1999].leaf, catalog.inclusion_proof(1999, 2500).value(), checkpoint.root));
}

TEST_CASE("after a redaction no query finds what was said, and no row of the pages holds it") {
  if (!server()) return;
  const Place place(Kind::postgresql);
  Catalog catalog = place.open().value();
  const auto database = place.database();
  REQUIRE(database->run("CREATE EXTENSION IF NOT EXISTS pageinspect SCHEMA public"));
  const auto record = catalog
                          .put({.kind = "feedback",
                                .id = "someone",
                                .name = "Erika Mustermann",
                                .author = "erika",
                                .time = now,
                                .body = R"({"words": "typed too"})",
                                .personal = true})
                          .value();
  const auto found = [&] {
    std::int64_t count = 0;
    for (const char* table : {"event", "record"})
      for (const char* words : {"Erika", "erika m", "typed too"})
        REQUIRE(database->query(fmt::format("SELECT count(*) FROM public.heap_page_items(public.get_raw_page('{}', 0))"
                                            " WHERE position('{}'::bytea in t_data) > 0",
                                            table, words),
                                {}, [&](const Row& row) -> Status {
                                  count += row.integer(0);
                                  return {};
                                }));
    return count;
  };
  CHECK(found() > 0);
  REQUIRE(catalog.redact(record.event, "dpo", now, "asked to be forgotten"));
  CHECK(found() == 0);
  CHECK(catalog.verify().value().sound());
  REQUIRE(database->run("DROP EXTENSION pageinspect"));
  // Who may write and not vacuum is told so; the redaction stands.
  const auto event = catalog.append(note("typed again")).value();
  for (const std::string& sql :
       {std::string("CREATE ROLE guest LOGIN"), "GRANT USAGE ON SCHEMA \"" + place.schema() + "\" TO guest",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"" + place.schema() + "\" TO guest"})
    REQUIRE(database->run(sql));
  std::string guest = server()->connection();
  guest.replace(guest.find("user=postgres"), 13, "user=guest");
  {
    Catalog other = Catalog::open_postgresql(guest, place.options()).value();
    const auto redacted = other.redact(event, "dpo", now, "asked to be forgotten");
    REQUIRE(!redacted);
    INFO(redacted.error().what());
    CHECK(redacted.error().rule().starts_with("what was deleted is deleted"));
    CHECK(!other.events(event, 1).value().at(0).event);
  }
  CHECK(catalog.verify().value().sound());
  REQUIRE(database->run("DROP OWNED BY guest"));
  REQUIRE(database->run("DROP ROLE guest"));
}

TEST_CASE("damaged pages of the server are found by the log, and by amcheck where it is installed") {
  if (!server()) return;
  const Place place(Kind::postgresql);
  {
    Catalog catalog = place.open().value();
    for (int i = 0; i < 50; ++i) {
      REQUIRE(
          catalog.put(RecordDraft{.kind = "recipe", .id = fmt::format("r{}", i), .author = "ana", .time = now + i}));
    }
  }
  std::string folder, event_file, index_file;
  {
    const auto database = place.database();
    REQUIRE(database->run("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public"));
    CHECK(place.open().value().verify().value().sound());
    const auto name = [&](const std::string& sql) {
      std::string text = text_of(*database, sql);
      text.pop_back();
      return text;
    };
    folder = name("SELECT current_setting('data_directory')");
    event_file = name("SELECT pg_relation_filepath('event')");
    index_file = name("SELECT pg_relation_filepath('record_by_time')");
    REQUIRE(database->run("CHECKPOINT"));
  }
  // One bit at a time, while nobody has the page in memory.
  const auto found = [&](const std::string& file, const std::string& word, std::size_t behind) {
    server()->crash();
    const std::string path = folder + "/" + file;
    std::fstream stream(path, std::ios::binary | std::ios::in | std::ios::out);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    const std::size_t at = word.empty() ? behind : bytes.find(word) + behind;
    REQUIRE(at < bytes.size());
    const auto flip = [&](char byte) {
      stream.clear();
      stream.seekp(static_cast<std::streamoff>(at));
      stream.put(byte).flush();
      REQUIRE(stream);
    };
    flip(static_cast<char>(bytes[at] ^ 1));
    REQUIRE(server()->start());
    const auto report = place.open().value().verify();
    std::string text;
    if (report)
      for (const LogProblem& problem : report->problems) text += problem.where + "; ";
    else
      text = report.error().what();
    server()->crash();
    flip(bytes[at]);
    REQUIRE(server()->start());
    return text;
  };
  CHECK(found(event_file, "recipe/r20", 8).find("event 20; ") != std::string::npos);
  // The flags of the second page, the tree's root or a leaf: only amcheck reads them.
  constexpr std::size_t page = 8192, flags_from_end = 4;
  CHECK(found(index_file, "", 2 * page - flags_from_end).find("database; ") != std::string::npos);
  CHECK(place.open().value().verify().value().sound());
  REQUIRE(place.database()->run("DROP EXTENSION amcheck"));
}

TEST_CASE("a server that was lost is an error of the call, and the next call goes on") {
  if (!server()) return;
  const Place place(Kind::postgresql);
  auto options = place.options();
  options.postgresql.connect_timeout_ms = 300;
  Catalog catalog = Catalog::open_postgresql(server()->connection(), options).value();
  REQUIRE(catalog.append(note("before")));
  server()->crash();
  const auto refused = catalog.append(note("while"));
  REQUIRE(!refused);
  CHECK(refused.error().code() == ErrorCode::io_failure);
  CHECK(mcomp_test::well_formed(refused.error()));
  CHECK(!catalog.events(0));
  REQUIRE(server()->start());
  CHECK(catalog.append(note("after")).value() == 1);
  // And in the middle of a transaction, which comes to nothing.
  const auto database = place.database();
  {
    auto transaction = catalog::detail::Transaction::writing(*database).value();
    auto log = catalog::detail::LogAppender::begin(*database).value();
    REQUIRE(log.append(to_json(note("lost")).value()));
    server()->crash();
    REQUIRE(server()->start());
    const auto finished = log.finish();
    REQUIRE(!finished);
    INFO(finished.error().what());
    CHECK(finished.error().rule().starts_with("the connection was lost"));
    CHECK(!transaction.commit());
  }
  CHECK(catalog.size().value() == 2);
  CHECK(database->run("SELECT 1"));
  // An administrator who ends the session.
  const auto admin = place.database();
  REQUIRE(admin->run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
                     "backend_type = 'client backend'"));
  for (int i = 0; i < 2; ++i)
    if (catalog.append(note("again"))) break;
  CHECK(catalog.size().value() == 3);
  CHECK(catalog.verify().value().sound());
}

namespace {

/// What a writer in another process says about one event.
struct Word {
  std::uint64_t number = 0, index = 0;
  char outcome = 'l'; ///< 'k'ept, 'l'eft out, 'u'nknown
};

/// A process that appends events of its own until its pipe is closed.
struct Writer {
  pid_t process = -1;
  int pipe = -1;
};

Writer start_writer(const Place& place, std::uint64_t first) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGPIPE, SIG_IGN);
    ::close(ends[0]);
    auto catalog = place.open();
    for (std::uint64_t number = first;; ++number) {
      Word word{.number = number};
      if (!catalog) {
        catalog = place.open();
        ::poll(nullptr, 0, 20);
      }
      if (catalog) {
        const auto kept = catalog->append(note(fmt::format("{}", number)));
        if (kept) word.outcome = 'k', word.index = *kept;
        if (!kept && kept.error().rule().find("as a whole or not at all") != std::string::npos) word.outcome = 'u';
      }
      if (::write(ends[1], &word, sizeof word) != sizeof word) ::_exit(0);
    }
  }
  ::close(ends[1]);
  return {child, ends[0]};
}

/// Lets writers of several processes append while the server crashes again and again.
void crash_server(int crashes, int writers) {
  const Place place(Kind::postgresql);
  REQUIRE(place.open());
  std::vector<Writer> processes;
  for (int w = 0; w < writers; ++w)
    processes.push_back(start_writer(place, static_cast<std::uint64_t>(w + 1) * 1'000'000));
  std::vector<Word> words;
  const auto listen = [&](const Writer& writer) {
    Word word;
    if (::read(writer.pipe, &word, sizeof word) == sizeof word) words.push_back(word);
  };
  std::atomic<bool> done{false};
  std::thread reader([&] {
    std::vector<pollfd> files;
    for (const Writer& writer : processes) files.push_back({writer.pipe, POLLIN, 0});
    while (!done) {
      ::poll(files.data(), files.size(), 20);
      for (std::size_t w = 0; w < files.size(); ++w)
        if ((files[w].revents & POLLIN) != 0) listen(processes[w]);
    }
  });
  Random random(5);
  for (int crash = 0; crash < crashes; ++crash) {
    ::poll(nullptr, 0, 100 + static_cast<int>(random.below(200)));
    server()->crash();
    REQUIRE(server()->start());
  }
  ::poll(nullptr, 0, 200);
  done = true;
  reader.join();
  for (const Writer& writer : processes) {
    ::kill(writer.process, SIGKILL);
    ::waitpid(writer.process, nullptr, 0);
    for (std::size_t known = words.size() + 1; known != words.size();) {
      known = words.size();
      listen(writer);
    }
    ::close(writer.pipe);
  }
  // Whoever was cut off has come to an end when the lock of the writers is free.
  REQUIRE(catalog::detail::Transaction::writing(*place.database()));
  const Catalog catalog = place.open().value();
  std::map<std::string, std::vector<std::uint64_t>> there;
  for (const LoggedEvent& event : catalog.events(0, 1'000'000).value())
    there[event.event->subject].push_back(event.index);
  std::map<char, int> outcomes;
  for (const Word& word : words) {
    INFO(word.number << " " << word.outcome);
    const auto found = there.find(fmt::format("{}", word.number));
    if (word.outcome == 'k') REQUIRE((found != there.end() && found->second == std::vector{word.index}));
    if (word.outcome == 'l') REQUIRE(found == there.end());
    ++outcomes[word.outcome];
  }
  CHECK(outcomes['k'] > 5 * crashes);
  CHECK(catalog.verify().value().sound());
}

} // namespace

TEST_CASE("a server that crashes under writers of several processes has lost nothing that they were told of") {
  if (!server()) return;
  crash_server(3, 3);
}

TEST_CASE("a server that crashes a hundred times under writers has lost nothing that they were told of",
          "[.crash][slow]") {
  if (!server()) return;
  crash_server(100, 4);
}

TEST_CASE("writers of several processes take turns") {
  const Place place(GENERATE(from_range(mcomp_test::kinds())));
  REQUIRE(place.open());
  std::vector<pid_t> children;
  for (int w = 0; w < 4; ++w) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto catalog = place.open();
      int failures = catalog ? 0 : 1;
      for (int i = 0; i < 25 && failures == 0; ++i) {
        // All change one record: who comes late reads again.
        for (;;) {
          const auto before = catalog->get("recipe", "shared");
          const auto after = catalog->put(RecordDraft{.kind = "recipe",
                                                      .id = "shared",
                                                      .expected_version = before ? before->version : 0,
                                                      .author = "ana",
                                                      .time = now});
          if (after) break;
          if (after.error().code() != ErrorCode::version_mismatch) {
            ++failures;
            break;
          }
        }
      }
      ::_exit(failures);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  }
  const Catalog catalog = place.open().value();
  CHECK(catalog.get("recipe", "shared").value().version == 100);
  CHECK(catalog.verify().value().sound());
}
