#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/catalog/artifact_store.hpp"
#include "mcomp/catalog/catalog.hpp"
#include "program.hpp"
#include "report.hpp"

namespace example {

/// A catalogue and the store of its artifacts, and what a team does with them. Each function is a command: it
/// fills the report, and prints tables unless `json` asks for the report alone.
class Registry {
 public:
  struct Place {
    std::string catalog = "team.mcomp"; ///< a file, or the connection string of a PostgreSQL server
    std::filesystem::path store;        ///< default: the file's path and ".artifacts"; of a server "team.artifacts"
    std::string author = "unnamed";
    std::optional<std::int64_t> time; ///< seconds since 1970; default: now
    bool json = false;
  };
  [[nodiscard]] static mcomp::Result<Registry> open(const Place& place, Report& report);

  struct Publish {
    std::string name, owner, precision, baseline;
    std::vector<std::filesystem::path> weights, attachments;
    std::filesystem::path model, calibrator, recipe, plan, device_profile, evaluation;
    std::vector<std::string> data; ///< use=fingerprint
    std::vector<std::string> needs;
    std::int64_t memory_bytes = 0;
    std::uint64_t seed = 0;
  };
  mcomp::Result<ExitStatus> publish(const Publish& what);
  mcomp::Result<ExitStatus> list(const std::string& kind, const std::string& text, std::int64_t limit);
  mcomp::Result<ExitStatus> show(const std::string& what);
  mcomp::Result<ExitStatus> compare(const std::string& first, const std::string& second);
  mcomp::Result<ExitStatus> lineage(const std::string& what);
  mcomp::Result<ExitStatus> changelog(std::int64_t since);
  mcomp::Result<ExitStatus> install_recipes();

  struct Key {
    std::string name;
    std::filesystem::path file;
  };
  mcomp::Result<ExitStatus> make_key(const Key& key);
  struct Govern {
    std::vector<std::string> keys; ///< public key, '=', roles separated by commas
    std::string role = "reviewer", governing_role = "owner";
    int approvals = 1;
    std::vector<std::filesystem::path> approved;
  };
  mcomp::Result<ExitStatus> govern(const Govern& what);
  struct Approve {
    std::string what, change = "promote:production", role = "reviewer", comment;
    std::filesystem::path key, file;
    double hours = 24;
  };
  mcomp::Result<ExitStatus> approve(const Approve& what);
  mcomp::Result<ExitStatus> promote(const std::string& alias, const std::string& what, const std::string& reason,
                                    const std::vector<std::filesystem::path>& approvals);
  mcomp::Result<ExitStatus> rollback(const std::string& alias, const std::string& reason);
  mcomp::Result<ExitStatus> verify();
  struct Export {
    std::vector<std::string> artifacts; ///< none: all
    std::filesystem::path archive, log, key;
    std::string origin = "mcomp/registry", licence;
    bool documents = false;
  };
  mcomp::Result<ExitStatus> export_all(const Export& what, const std::filesystem::path& out);
  mcomp::Result<ExitStatus> import(const std::filesystem::path& archive);
  mcomp::Result<ExitStatus> resolve(const std::string& name);

 private:
  Registry(mcomp::catalog::Catalog catalog, mcomp::catalog::ArtifactStore store, Place place, Report& report)
      : catalog_(std::move(catalog)), store_(std::move(store)), place_(std::move(place)), report_(&report) {}
  /// The artifact that an id, the beginning of one, an alias or a tag names.
  [[nodiscard]] mcomp::Result<std::string> find(const std::string& what) const;
  [[nodiscard]] mcomp::Result<Report::Json> describe(const std::string& id) const;
  [[nodiscard]] std::int64_t now() const;
  void print(const std::string& text) const;

  mcomp::catalog::Catalog catalog_;
  mcomp::catalog::ArtifactStore store_;
  Place place_;
  Report* report_;
};

} // namespace example
