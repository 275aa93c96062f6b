// registry as a team uses it: publish, approve, promote, take back, verify, export.

#include "mcomp/core/file.hpp"
#include "run_program.hpp"

#ifdef MCOMP_REGISTRY

#include "mcomp/catalog/catalog.hpp"
#include "postgres_server.hpp"

namespace {

using nlohmann::json;

class Team {
 public:
  json run(const std::string& arguments, int expected = 0) const {
    const std::string where = server.empty() ? "--catalog '" + at("team.mcomp") + "' "
                                             : "--catalog '" + server + "' --store '" + at("artifacts") + "' ";
    return mcomp_test::run_program(MCOMP_REGISTRY, where + arguments, expected, &out);
  }
  [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
  void write(const std::string& name, const std::string& text) const {
    REQUIRE(mcomp::write_file(folder / name, text));
  }

  std::string server; ///< connection string; empty: a file
  const std::filesystem::path folder = mcomp_test::temporary_folder();
  mutable std::filesystem::path out;
};

} // namespace

TEST_CASE("a model is published, approved, promoted, taken back and exported") {
  const Team team;
  for (const char* name : {"one", "two"}) team.write(name + std::string(".safetensors"), name);
  team.write("recipe.json", "{}");
  const auto publish = [&](const std::string& name) {
    return team
        .run("--time 1000000000 publish --name resnet20 --owner ana --precision w8a8 --recipe '" +
             team.at("recipe.json") + "' --weights '" + team.at(name) + "'")["artifact"]
        .get<std::string>();
  };
  const std::string one = publish("one.safetensors"), two = publish("two.safetensors");
  CHECK(one != two);
  CHECK(publish("one.safetensors") == one); // nothing new
  CHECK(team.run("list")["records"].size() == 2);
  CHECK(team.run("show " + one.substr(7, 10))["artifact"]["id"] == one);
  const json differences = team.run("compare " + one + " " + two)["differences"];
  CHECK(differences.size() == 3); // the id and the two files of weights

  const std::string ana = team.run("keygen ana --key-file '" + team.at("ana.key") + "'")["public_key"];
  const std::string bob = team.run("keygen bob --key-file '" + team.at("bob.key") + "'")["public_key"];
  const auto status = std::filesystem::status(team.folder / "ana.key").permissions();
  CHECK((status & std::filesystem::perms::group_read) == std::filesystem::perms::none);
  CHECK((status & std::filesystem::perms::others_read) == std::filesystem::perms::none);
  team.run("keygen ana --key-file '" + team.at("ana.key") + "'", 1); // no key is replaced

  const std::string governance = "govern --key '" + ana + "=reviewer,owner' --key '" + bob + "=reviewer'";
  team.run("promote production " + one, 1); // nobody may approve yet
  team.run(governance);
  team.run(governance + " --approvals 2", 1); // a later one needs the owner
  team.run("promote production " + one, 1);
  const auto approve = [&](const std::string& who, const std::string& what, const std::string& file) {
    return team.run("approve " + what + " --key-file '" + team.at(who + ".key") + "' --file '" + team.at(file) + "'");
  };
  approve("ana", one, "one.json");
  const std::string with_one = " --approval '" + team.at("one.json") + "'";
  team.run("--author ana promote production " + one + with_one, 1); // four eyes
  team.run("--author ci promote production " + two + with_one, 1);  // another artifact
  team.run("--author ci promote candidate " + one + with_one, 1);   // another alias
  CHECK(team.run("--author ci promote production " + one + with_one)["alias"]["version"] == 1);
  team.run("--author ci promote production " + one + with_one, 1); // counts once
  approve("bob", two, "two.json");
  team.run("--author ci promote production " + two + " --approval '" + team.at("two.json") + "'");
  CHECK(team.run("show production")["artifact"]["id"] == two);
  CHECK(team.run("rollback production --reason slow")["alias"]["artifact"] == one);
  CHECK(team.run("show production")["artifact"]["id"] == one);

  // What happened to the first one: promoted, and gone back to.
  const json lineage = team.run("lineage " + one)["lineage"];
  REQUIRE(lineage["aliases"].size() == 2);
  CHECK(lineage["aliases"][1]["rollback"] == true);
  const json changes = team.run("changelog")["changelog"];
  REQUIRE(changes.size() == 4);
  CHECK(changes[0]["kind"] == "governance");
  CHECK(changes[1]["approved_by"] == json::array({"ana"}));
  CHECK(changes[3]["kind"] == "rollback");
  const std::size_t shipped = team.run("recipes")["installed"].size();
  CHECK(shipped >= 6);
  CHECK(team.run("recipes")["installed"].empty());
  CHECK(team.run("list --kind recipe")["records"].size() == shipped);

  CHECK(team.run("verify")["problems"].empty());
  const json exported = team.run("export --documents --archive '" + team.at("all.tar") + "' --log '" +
                                 team.at("audit.jsonl") + "' --key-file '" + team.at("ana.key") + "'");
  CHECK(exported["documents"].size() == 8);
  for (const auto& document : exported["documents"]) CHECK(std::filesystem::exists(document.get<std::string>()));
  const Team other;
  CHECK(other.run("import '" + team.at("all.tar") + "'")["artifacts"].size() == 2);
  CHECK(other.run("resolve resnet20")["artifact"].get<std::string>().starts_with("sha256:"));
  CHECK(other.run("list")["records"].size() == 2);

  const auto blob = team.folder / "team.mcomp.artifacts/blobs/sha256" /
                    team.run("show " + one)["artifact"]["parts"][0]["digest"].get<std::string>().substr(7);
  std::filesystem::permissions(blob, std::filesystem::perms::owner_all);
  REQUIRE(mcomp::write_file(blob, "onf"));
  const json damaged = team.run("verify", 3);
  REQUIRE(damaged["problems"].size() == 1);
  CHECK(damaged["problems"][0]["artifacts"] == json::array({one}));
}

TEST_CASE("a registry on a server is used as one in a file") {
  if (!mcomp::catalog::Catalog::with_postgresql()) return;
  auto* server = mcomp_test::PostgresServer::shared();
  if (!server) return;
  Team team;
  team.server = server->connection();
  team.write("one.safetensors", "one");
  const auto one =
      team.run("publish --name resnet20 --weights '" + team.at("one.safetensors") + "'")["artifact"].get<std::string>();
  const std::string ana = team.run("keygen ana --key-file '" + team.at("ana.key") + "'")["public_key"];
  team.run("govern --key '" + ana + "=reviewer,owner'");
  team.run("promote production " + one, 1);
  team.run("approve " + one + " --key-file '" + team.at("ana.key") + "' --file '" + team.at("a.json") + "'");
  team.run("promote production " + one + " --author ci --approval '" + team.at("a.json") + "'");
  CHECK(team.run("show production")["artifact"]["id"] == one);
  CHECK(team.run("list")["records"].size() == 1);
  CHECK(team.run("verify")["problems"].empty());
  team.run("export --log '" + team.at("log") + "' --key-file '" + team.at("ana.key") + "'");
  team.server = "postgresql://ana:s3cr3t@127.0.0.1:1/models";
  team.run("list", 1);
  CHECK(!std::filesystem::exists("postgresql:"));
}

TEST_CASE("wrong use of the registry says what is wrong") {
  const Team team;
  team.run("", 2);
  team.run("publish --name x", 2);
  team.run("publish --name x --weights absent.safetensors", 1);
  CHECK(team.run("list")["records"].empty());
  team.run("show nothing", 1);
  team.run("rollback production", 1);
  team.run("export", 1);
  team.write("note.txt", "text");
  team.run("publish --name x --weights '" + team.at("note.txt") + "' --evaluation '" + team.at("note.txt") + "'", 1);
  CHECK(team.run("list")["records"].empty());
  team.run("govern --key nonsense", 1);
}

#endif
