#pragma once

// Where a catalogue of a test is kept: a file of its own, or a schema of its own on this program's server.

#include <array>
#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include <unistd.h>

#include "catalog/catalog_state.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "mcomp/catalog/catalog.hpp"
#include "mcomp/core/format.hpp"
#include "postgres_server.hpp"

namespace mcomp_test {

enum class Kind { sqlite, postgresql };

/// Those that can be had here. A test case of them: `const Place place(GENERATE(from_range(kinds())));`
inline std::vector<Kind> kinds() {
  if (!mcomp::catalog::Catalog::with_postgresql() || !PostgresServer::shared()) return {Kind::sqlite};
  return {Kind::sqlite, Kind::postgresql};
}

class Place {
 public:
  explicit Place(Kind kind) : kind_(kind), folder_(temporary_folder()) {
    static std::atomic<int> places{0};
    schema_ = fmt::format("place {} of {}", ++places, ::getpid());
  }

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  /// Of the catalogue in a file.
  [[nodiscard]] std::filesystem::path path() const { return folder_ / "team.mcomp"; }
  [[nodiscard]] const std::string& schema() const { return schema_; }
  [[nodiscard]] mcomp::catalog::CatalogOptions options() const {
    return {.busy_timeout_ms = 60000, .postgresql = {.schema = schema_}};
  }

  [[nodiscard]] mcomp::Result<mcomp::catalog::Catalog> open(std::int64_t busy_timeout_ms = 60000) const {
    auto chosen = options();
    chosen.busy_timeout_ms = busy_timeout_ms;
    if (kind_ == Kind::sqlite) return mcomp::catalog::Catalog::open(path(), chosen);
    return mcomp::catalog::Catalog::open(PostgresServer::shared()->connection(), chosen);
  }
  /// What lies below, to do to it what no catalogue does.
  [[nodiscard]] std::unique_ptr<mcomp::catalog::detail::Database> database() const {
    namespace detail = mcomp::catalog::detail;
    if (kind_ == Kind::sqlite) return detail::open_sqlite(path(), {}).value();
    return detail::open_postgresql(PostgresServer::shared()->connection(), options()).value();
  }
  /// Another one with the same rows; without the rule that one table refers to another, so that it can be broken.
  [[nodiscard]] Place copy() const {
    Place other(kind_);
    if (kind_ == Kind::sqlite) {
      std::filesystem::copy_file(path(), other.path());
      return other;
    }
    const auto database = other.database();
    auto transaction = mcomp::catalog::detail::Transaction::writing(*database).value();
    std::vector<std::string> tables;
    REQUIRE(database->query("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = $1 ORDER BY tablename",
                            {schema_}, [&](const mcomp::catalog::detail::Row& row) -> mcomp::Status {
                              tables.push_back(row.text(0));
                              return {};
                            }));
    for (const std::string& table : tables)
      for (const char* sql : {"CREATE TABLE \"{0}\".{2} (LIKE \"{1}\".{2} INCLUDING ALL)",
                              "INSERT INTO \"{0}\".{2} SELECT * FROM \"{1}\".{2}"})
        REQUIRE(database->run(fmt::format(fmt::runtime(sql), other.schema_, schema_, table)));
    REQUIRE(transaction.commit());
    return other;
  }

 private:
  Kind kind_;
  std::filesystem::path folder_;
  std::string schema_;
};

} // namespace mcomp_test
