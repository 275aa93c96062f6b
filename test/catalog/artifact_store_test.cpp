#include "mcomp/catalog/artifact_store.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "catalog/archive.hpp"
#include "catalog/bit_flip.hpp"
#include "catalog/faults.hpp"
#include "catalog/killed_process.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::catalog;
namespace fs = std::filesystem;

namespace {

ArtifactStore fresh_store() {
  return ArtifactStore::open(mcomp_test::temporary_folder() / "store").value();
}

ArtifactManifest manifest_of(const ArtifactStore& store, const std::string& weights = "some weights",
                             const std::string& name = "resnet20") {
  ArtifactManifest manifest{.name = name,
                            .parts = {},
                            .baseline = std::string(64, 'a'),
                            .data = {{"calibration", std::string(64, 'b')}},
                            .device_profile = {},
                            .library_version = "0.1.0",
                            .seed = 18446744073709551615U,
                            .instruction_set_cap = "avx2",
                            .hardware = {{"avx2"}, "w8a8", 1 << 20}};
  manifest.parts.push_back({PartRole::recipe, "recipe.json", store.put("{}").value()});
  manifest.parts.push_back({PartRole::weights, "model.safetensors", store.put(weights).value()});
  return manifest;
}

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().filename() != "mcomp.lock") files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

void overwrite(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
}

} // namespace

TEST_CASE("an artifact's id is the same everywhere") {
  // No machine, compiler or kind of build enters: these digests are the same wherever the test runs. The config is by
  // hand.
  const ArtifactManifest manifest = manifest_of(fresh_store());
  const EncodedManifest encoded = encode(manifest).value();
  CHECK(
      encoded.config ==
      R"({"baseline":")" + std::string(64, 'a') + R"(","data":{"calibration":")" + std::string(64, 'b') +
          R"("},"device_profile":"","hardware":{"instruction_sets":["avx2"],"memory_bytes":1048576,"precision":"w8a8"},)"
          R"("instruction_set_cap":"avx2","library_version":"0.1.0","name":"resnet20",)"
          R"("schema":"mcomp-artifact-config-1","seed":"18446744073709551615"})");
  CHECK(encoded.manifest ==
        R"({"artifactType":"application/vnd.mcomp.artifact.v1","config":{"digest":")" + digest_of(encoded.config) +
            R"(","mediaType":"application/vnd.mcomp.artifact.config.v1+json","size":)" +
            std::to_string(encoded.config.size()) +
            R"(},"layers":[{"annotations":{"org.opencontainers.image.title":"model.safetensors"},"digest":")" +
            digest_of("some weights") + R"(","mediaType":"application/vnd.mcomp.weights.v1","size":12},)" +
            R"({"annotations":{"org.opencontainers.image.title":"recipe.json"},"digest":")" + digest_of("{}") +
            R"(","mediaType":"application/vnd.mcomp.recipe.v1+json","size":2}],)"
            R"("mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2})");
  CHECK(encoded.id == "sha256:303bc2f5b35aa97f4503ea85527f2a40cdcac1457400fa34643b34f578cd3bba");
  // Another order of the parts is the same artifact; any other input is another one.
  ArtifactManifest other = manifest;
  std::ranges::reverse(other.parts);
  CHECK(encode(other).value().id == encoded.id);
  other.seed = 1;
  CHECK(encode(other).value().id != encoded.id);
  const ArtifactManifest decoded = decode(encoded.manifest, encoded.config).value();
  CHECK(encode(decoded).value().id == encoded.id);
  CHECK(decoded.seed == manifest.seed);
  CHECK(decoded.hardware == manifest.hardware);
}

TEST_CASE("what is published is found again, in another object of the same folder") {
  const ArtifactStore store = fresh_store();
  const auto manifest = manifest_of(store);
  const std::string id = store.publish(manifest).value();
  const std::string index = read_file(store.folder() / "index.json").value();
  CHECK(store.publish(manifest).value() == id); // twice is once
  CHECK(read_file(store.folder() / "index.json").value() == index);
  const ArtifactStore again = ArtifactStore::open(store.folder()).value();
  CHECK(again.manifest(id).value().name == "resnet20");
  REQUIRE(again.tag("resnet20:8", id));
  const auto list = again.list().value();
  REQUIRE(list.size() == 1);
  CHECK(list[0].id == id);
  CHECK(list[0].tags == std::vector<std::string>{"resnet20:8"});
  CHECK(again.tagged("resnet20:8").value() == id);
  CHECK(again.get(digest_of("some weights")).value() == "some weights");
  const auto out = mcomp_test::temporary_folder() / "out";
  REQUIRE(again.extract(id, out));
  CHECK(read_file(out / "model.safetensors").value() == "some weights");
  CHECK(files_of(out).size() == 2);
  CHECK(again.verify().value().sound());
  CHECK(again.remove(id).error().code() == ErrorCode::invalid_argument); // it has a tag
  REQUIRE(again.untag("resnet20:8"));
  REQUIRE(again.remove(id));
  CHECK(again.manifest(id).error().code() == ErrorCode::not_found);
}

TEST_CASE("what cannot be published is refused before anything is written") {
  const ArtifactStore store = fresh_store();
  const auto refused = [&](auto change) {
    ArtifactManifest manifest = manifest_of(store);
    change(manifest);
    const auto result = store.publish(manifest);
    REQUIRE(!result);
    CHECK(mcomp_test::well_formed(result.error()));
    return result.error().code();
  };
  CHECK(refused([](auto& m) { m.parts.pop_back(); }) == ErrorCode::invalid_argument); // no weights
  CHECK(refused([](auto& m) { m.name.clear(); }) == ErrorCode::invalid_argument);
  CHECK(refused([](auto& m) { m.name = "\xff"; }) == ErrorCode::invalid_value);
  CHECK(refused([](auto& m) { m.parts[0].title = "../recipe"; }) == ErrorCode::invalid_argument);
  CHECK(refused([](auto& m) { m.parts[0].title = ".x"; }) == ErrorCode::invalid_argument);
  CHECK(refused([](auto& m) { m.parts[0].title = m.parts[1].title; }) == ErrorCode::invalid_argument);
  CHECK(refused([](auto& m) {
          m.parts.push_back({PartRole::recipe, "b", m.parts[0].blob});
        }) == ErrorCode::invalid_argument);
  CHECK(refused([](auto& m) { m.parts[0].blob.digest = "sha256:0"; }) == ErrorCode::invalid_argument);
  CHECK(refused([](auto& m) { m.parts[0].blob.digest = digest_of("never put"); }) == ErrorCode::not_found);
  CHECK(refused([](auto& m) { m.parts[0].blob.size = 3; }) == ErrorCode::corrupt);
  CHECK(refused([](auto& m) { m.hardware.instruction_sets = {"avx3"}; }) == ErrorCode::invalid_argument);
  CHECK(store.list().value().empty());
  CHECK(store.get("sha256:../../etc/passwd").error().code() == ErrorCode::invalid_argument);
  CHECK(store.get(digest_of("never put")).error().code() == ErrorCode::not_found);
  CHECK(store.get(digest_of("{}"), 1).error().code() == ErrorCode::corrupt);
  CHECK(store.tag("a b", digest_of("x")).error().code() == ErrorCode::invalid_argument);
  CHECK(store.tag("a", digest_of("x")).error().code() == ErrorCode::not_found);
}

TEST_CASE("a blob is written in pieces of any size, and an unfinished one leaves nothing") {
  const ArtifactStore store = fresh_store();
  Random random(1);
  std::string bytes(3'000'000, '\0');
  for (char& c : bytes) c = static_cast<char>(random.below(256));
  auto writer = store.writer().value();
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t count = std::min<std::size_t>(bytes.size() - at, random.below(100000));
    REQUIRE(writer.write(std::as_bytes(std::span(bytes).subspan(at, count))));
    at += count;
  }
  const Blob blob = writer.finish().value();
  CHECK(blob == Blob{digest_of(bytes), 3'000'000});
  CHECK(store.get(blob.digest).value() == bytes);
  CHECK(!writer.finish());
  const auto path = mcomp_test::temporary_folder() / "file";
  overwrite(path, bytes);
  CHECK(store.put_file(path).value() == blob);
  const std::size_t before = files_of(store.folder()).size();
  {
    auto unfinished = store.writer().value();
    CHECK(unfinished.write(std::as_bytes(std::span(bytes))));
  }
  CHECK(files_of(store.folder()).size() == before);
}

namespace {

/// Flips random bits of random files of a store, one at a time.
void flip_store(int rounds, std::uint64_t seed) {
  const ArtifactStore store = fresh_store();
  const std::string one = store.publish(manifest_of(store, std::string(300, 'x'))).value();
  const std::string two = store.publish(manifest_of(store, std::string(500, 'y'))).value();
  REQUIRE(store.tag("one", one));
  REQUIRE(store.verify().value().sound());
  const auto files = files_of(store.folder());
  REQUIRE(files.size() == 8); // two manifests and weights, one config and recipe; index.json, oci-layout
  Random random(seed);
  for (int round = 0; round < rounds; ++round) {
    const fs::path& path = files[random.below(files.size())];
    const std::string before = read_file(path).value();
    const mcomp_test::BitFlip flip(path, random.below(before.size() * 8));
    const StoreReport report = store.verify().value();
    REQUIRE(report.problems.size() >= 1);
    const std::string where = path.lexically_relative(store.folder()).string();
    const auto found = std::ranges::find(report.problems, where, &StoreProblem::where);
    REQUIRE(found != report.problems.end());
    REQUIRE(!found->rule.empty());
    if (!where.starts_with("blobs/")) continue;
    // The artifacts that need the blob are named: both need config and recipe.
    const bool shared = before == "{}" || before.starts_with("{\"baseline\"");
    REQUIRE(found->artifacts.size() == (shared ? 2U : 1U));
    if (before == std::string(300, 'x')) REQUIRE(found->artifacts == std::vector{one});
    REQUIRE(store.get("sha256:" + path.filename().string()).error().code() == ErrorCode::corrupt);
  }
  CHECK(store.verify().value().sound());
}

/// The same with an archive; one in 20 is imported too.
void flip_archive(int rounds, std::uint64_t seed) {
  const ArtifactStore store = fresh_store();
  REQUIRE(store.publish(manifest_of(store, std::string(700, 'x'))));
  REQUIRE(store.publish(manifest_of(store, std::string(200, 'y'))));
  const fs::path path = mcomp_test::temporary_folder() / "a.tar";
  REQUIRE(store.export_archive(path));
  CHECK(verify_archive(path).value().sound());
  const std::uint64_t bits = fs::file_size(path) * 8;
  Random random(seed);
  const ArtifactStore target = fresh_store();
  for (int round = 0; round < rounds; ++round) {
    const mcomp_test::BitFlip flip(path, random.below(bits));
    const StoreReport report = verify_archive(path).value();
    REQUIRE(report.problems.size() >= 1);
    REQUIRE(!report.problems[0].where.empty());
    if (round % 20 != 0) continue;
    const auto imported = target.import_archive(path);
    if (imported) { // an index of other tools comes without a seal, and the flip is in the name of the seal
      REQUIRE(report.problems[0].where == "index.json");
      for (const std::string& id : *imported) REQUIRE(target.remove(id));
    }
    REQUIRE(target.list().value().empty());
  }
  CHECK(verify_archive(path).value().sound());
}

} // namespace

TEST_CASE("every flipped bit of a store is found and located") {
  flip_store(2000, 4);
  const ArtifactStore store = fresh_store();
  const std::string one = store.publish(manifest_of(store, "x")).value(),
                    two = store.publish(manifest_of(store, "y")).value();
  // A missing blob.
  fs::remove(store.folder() / ("blobs/sha256/" + digest_of("{}").substr(7)));
  const auto report = store.verify().value();
  REQUIRE(report.problems.size() == 1);
  CHECK(report.problems[0].rule == "it is missing");
  CHECK(report.problems[0].artifacts == (one < two ? std::vector{one, two} : std::vector{two, one}));
  CHECK(store.put("{}")); // repairs it
  CHECK(store.verify().value().sound());
}

TEST_CASE("every flipped bit of an exported archive is found, and none of it comes in") {
  flip_archive(3000, 6);
}

TEST_CASE("100,000 flipped bits of stores and exports are found", "[.flips][slow]") {
  flip_store(50000, 14);
  flip_archive(50000, 16);
}

TEST_CASE("an export has the same bytes every time, is read by tar, and comes back whole") {
  const ArtifactStore store = fresh_store();
  const std::string one = store.publish(manifest_of(store, "x")).value();
  const std::string two = store.publish(manifest_of(store, "y")).value();
  REQUIRE(store.tag("production", one));
  const auto folder = mcomp_test::temporary_folder();
  REQUIRE(store.export_archive(folder / "a.tar"));
  REQUIRE(store.export_directory(folder / "layout"));
  CHECK(verify_directory(folder / "layout").value().sound());
  CHECK(store.export_directory(folder / "layout").error().code() == ErrorCode::invalid_argument);
  // The archive of a store that got its artifacts in another way.
  const ArtifactStore copy = fresh_store();
  REQUIRE(copy.import_directory(folder / "layout").value().size() == 2);
  REQUIRE(copy.export_archive(folder / "b.tar"));
  CHECK(read_file(folder / "a.tar").value() == read_file(folder / "b.tar").value());
  // Tags are nobody's to import.
  CHECK(copy.tagged("production").error().code() == ErrorCode::not_found);
  const ArtifactStore third = fresh_store();
  REQUIRE(third.export_archive(folder / "empty.tar"));
  CHECK(third.import_archive(folder / "empty.tar").value().empty());
  CHECK(third.import_archive(folder / "a.tar").value() == (one < two ? std::vector{one, two} : std::vector{two, one}));
  CHECK(third.verify().value().sound());
  REQUIRE(third.export_archive(folder / "one.tar", {&one, 1}));
  CHECK(fresh_store().import_archive(folder / "one.tar").value() == std::vector{one});
  // Another reader of the same format, and another writer.
  const auto shell = [](const std::string& command) { return std::system(command.c_str()) == 0; };
  if (!shell("tar --version >/dev/null 2>&1")) return mcomp_test::skip("no tar here");
  fs::create_directory(folder / "untarred");
  REQUIRE(shell(fmt::format("tar -xf '{0}/a.tar' -C '{0}/untarred'", folder.string())));
  CHECK(verify_directory(folder / "untarred").value().sound());
  REQUIRE(shell(fmt::format("tar -cf '{0}/theirs.tar' -C '{0}/layout' .", folder.string())));
  CHECK(verify_archive(folder / "theirs.tar").value().sound());
  CHECK(fresh_store().import_archive(folder / "theirs.tar").value().size() == 2);
}

TEST_CASE("hostile archives are refused with their place") {
  using namespace mcomp::catalog::detail;
  const auto folder = mcomp_test::temporary_folder();
  const std::string blob = "blobs/sha256/" + digest_of("{}").substr(7);
  const auto file = [](const std::string& name, const std::string& text) {
    return archive_header(name, text.size()) + text + archive_padding(text.size());
  };
  const auto typed = [&](char type, const std::string& name, const std::string& link) {
    std::string header = archive_header(name, 0);
    header[156] = type;
    std::ranges::copy(link, header.begin() + 157);
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header[i]);
    std::ranges::copy(fmt::format("{:06o}", sum), header.begin() + 148);
    return header;
  };
  const std::string start = file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  const auto read = [&](const std::string& text) {
    const auto bytes = std::as_bytes(std::span(text));
    return read_archive(bytes);
  };
  CHECK(read(start + archive_end()).value().size() == 1);
  CHECK(read(start + archive_end() + std::string(8192, '\0')).value().size() == 1); // GNU tar fills its records
  for (const std::string& bad :
       std::vector<std::string>{"",
                                start,
                                start + std::string(512, '\0'),
                                std::string(511, '\0'),
                                start + archive_end() + "x",
                                start + start + archive_end(),
                                file("../oci-layout", "x") + archive_end(),
                                file("/etc/passwd", "x") + archive_end(),
                                file("blobs/sha256/../../x", "x") + archive_end(),
                                file("blobs/sha256/" + std::string(64, 'A'), "x") + archive_end(),
                                file("./././index.json", "x") + archive_end(),
                                typed('1', blob, "/etc/passwd") + archive_end(),
                                typed('2', blob, "/etc/passwd") + archive_end(),
                                typed('0', blob, "x") + archive_end(),
                                typed('3', blob, "") + archive_end(),
                                typed('6', blob, "") + archive_end(),
                                typed('x', "x", "") + archive_end(),
                                typed('g', "x", "") + archive_end(),
                                typed('L', "x", "") + archive_end(),
                                typed('5', "other/", "") + archive_end(),
                                archive_header(blob, 5000) + std::string(512, 'x') + archive_end(),
                                archive_header(blob, std::uint64_t{1} << 62) + archive_end(),
                                archive_header(blob, ~std::uint64_t{0}) + archive_end(),
                                archive_header(blob, 1) + "x" + std::string(511, 'y') + archive_end(),
                                std::string(1024, 'x')}) {
    const auto result = read(bad);
    REQUIRE(!result);
    CHECK(mcomp_test::well_formed(result.error()));
  }
  // A layout whose index names what is not there, or is something else.
  const ArtifactStore store = fresh_store();
  const std::string entry =
      R"({"digest":")" + digest_of("{}") + R"(","mediaType":"application/vnd.oci.image.manifest.v1+json","size":)";
  for (const std::string& index : std::vector<std::string>{
           "", "{}", R"({"schemaVersion":1,"manifests":[]})", R"({"schemaVersion":2,"manifests":[)" + entry + "2}]}",
           R"({"schemaVersion":2,"manifests":[)" + entry + "9007199254740992}]}",
           R"({"schemaVersion":2,"manifests":[)" + entry + "-1}]}",
           R"({"schemaVersion":2,"manifests":[)" + entry + "2}," + entry + "3}]}"}) {
    overwrite(folder / "c.tar", start + file("index.json", index) + file(blob, "{}") + archive_end());
    const auto result = store.import_archive(folder / "c.tar");
    REQUIRE(!result);
    CHECK(mcomp_test::well_formed(result.error()));
    CHECK(!verify_archive(folder / "c.tar").value().sound());
  }
  CHECK(store.import_archive(folder / "none.tar").error().code() == ErrorCode::not_found);
  CHECK(store.import_directory(folder / "none").error().code() == ErrorCode::not_found);
  CHECK(store.list().value().empty());
  // Sizes beyond 8 GiB, as others write them.
  const std::string large = archive_header(blob, std::uint64_t{20} << 30);
  CHECK(static_cast<unsigned char>(large[124]) == 0x80);
  CHECK(read(large + archive_end()).error().rule().find("ends early") != std::string::npos);
}

TEST_CASE("garbage is what nothing reaches, and what is young stays") {
  const ArtifactStore store = fresh_store();
  const std::string id = store.publish(manifest_of(store, "kept")).value();
  const std::string gone = store.publish(manifest_of(store, "gone")).value();
  const Blob loose = store.put("loose").value();
  overwrite(store.folder() / "blobs/sha256/.incoming-abcdef", "half");
  overwrite(store.folder() / "blobs/sha256/README", "not ours");
  REQUIRE(store.remove(gone));
  CHECK(store.collect_garbage().value().removed == 0); // all of it is younger than an hour
  CHECK(store.get(loose.digest));
  const auto report = store.collect_garbage({.grace = 0}).value();
  CHECK(report.removed == 4); // loose, half, and manifest and weights of the one removed
  CHECK(report.bytes > 9);
  CHECK(store.get(loose.digest).error().code() == ErrorCode::not_found);
  CHECK(store.manifest(id));
  CHECK(fs::exists(store.folder() / "blobs/sha256/README"));
  fs::remove(store.folder() / "blobs/sha256/README");
  CHECK(store.verify().value().sound());
  // A manifest that cannot be read might reach anything.
  overwrite(store.folder() / ("blobs/sha256/" + id.substr(7)), "{}");
  CHECK(store.collect_garbage({.grace = 0}).error().code() == ErrorCode::corrupt);
  CHECK(store.collect_garbage({.grace = -1}).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("several writers, a reader and a collector use one store at once") {
  const ArtifactStore store = fresh_store();
  std::atomic<int> failures{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> writers;
  for (int w = 0; w < 3; ++w)
    writers.emplace_back([&, w] {
      const ArtifactStore mine = ArtifactStore::open(store.folder()).value();
      for (int i = 0; i < 12; ++i) {
        const auto id = mine.publish(manifest_of(mine, fmt::format("weights {} of {}", i, w)));
        if (!id || !mine.tag(fmt::format("last-{}", w), *id)) ++failures;
      }
    });
  std::thread others([&] {
    while (!done) {
      if (!store.collect_garbage()) ++failures;
      if (!store.list()) ++failures;
    }
  });
  for (auto& writer : writers) writer.join();
  done = true;
  others.join();
  CHECK(failures == 0);
  CHECK(store.list().value().size() == 36);
  CHECK(store.verify().value().sound());
}

TEST_CASE("every write, sync and rename that fails leaves the store whole, and the next try goes through") {
  const ArtifactStore store = fresh_store();
  const std::string before = store.publish(manifest_of(store, "before")).value();
  std::int64_t at = 0;
  for (;; ++at) {
    const std::string weights = fmt::format("after {}", at);
    Result<std::string> id = std::string();
    bool happened = false;
    {
      const mcomp_test::Fault fault(at);
      const auto blob = store.put(weights);
      if (blob) {
        ArtifactManifest manifest = store.manifest(before).value();
        manifest.parts[0].blob = *blob;
        id = store.publish(manifest);
        if (id)
          if (const auto tagged = store.tag("t", *id); !tagged) id = tagged.error();
      } else {
        id = blob.error();
      }
      happened = fault.happened();
    }
    REQUIRE(id.has_value() == !happened);
    if (!id) CHECK(id.error().code() == ErrorCode::io_failure);
    REQUIRE(store.verify().value().sound());
    CHECK(store.manifest(before));
    if (!happened) break;
  }
  CHECK(at == 20); // put, config, manifest, index, tag: write, sync, rename and sync of the folder each
  CHECK(store.tagged("t"));
  // The faults have left nothing but blobs that nothing reaches.
  REQUIRE(store.collect_garbage({.grace = 0}));
  for (const auto& path : files_of(store.folder()))
    CHECK(path.filename().string().find("incoming") == std::string::npos);
  const auto target = mcomp_test::temporary_folder();
  for (at = 0;; ++at) {
    const mcomp_test::Fault fault(at);
    const auto status = store.export_archive(target / "a.tar");
    if (!fault.happened()) break;
    REQUIRE(!status);
    // It is not there, or whole where the last step, the sync of the folder, has failed.
    if (fs::exists(target / "a.tar")) CHECK(verify_archive(target / "a.tar").value().sound());
  }
  CHECK(at > 20);
  CHECK(files_of(target).size() == 1);
}

namespace {

/// Runs a process that publishes and tags until it is killed in the middle of a write, sync or rename, and looks at
/// what it leaves.
void kill_publishers(int rounds, std::uint64_t seed) {
  const ArtifactStore store = fresh_store();
  Random random(seed);
  int acknowledged = 0, half_written = 0;
  for (int round = 0; round < rounds; ++round) {
    const mcomp_test::Death death{.file_call = static_cast<std::int64_t>(random.below(60))};
    int step = 0;
    const std::string told = mcomp_test::told_until_killed(death, [&](const auto& tell) {
      const auto id = store.publish(manifest_of(store, fmt::format("round {} step {}", round, step++)));
      if (!id || !store.tag("current", *id)) return false;
      tell(id->substr(7));
      return true;
    });
    const auto report = store.verify().value();
    INFO(to_string(report));
    REQUIRE(report.sound());
    if (const auto current = store.tagged("current")) CHECK(store.manifest(*current));
    for (std::size_t at = 0; at + 64 <= told.size(); at += 64) {
      REQUIRE(store.manifest("sha256:" + told.substr(at, 64)));
      ++acknowledged;
    }
    for (const auto& path : files_of(store.folder()))
      half_written += path.filename().string().starts_with(".incoming-");
    if (round % 10 == 9) {
      for (const auto& artifact : store.list().value())
        if (artifact.tags.empty()) REQUIRE(store.remove(artifact.id));
      REQUIRE(store.collect_garbage({.grace = 0}));
      for (const auto& path : files_of(store.folder())) CHECK(!path.filename().string().starts_with(".incoming-"));
    }
  }
  CHECK(acknowledged > rounds / 4);
  CHECK(half_written > rounds / 4); // the kills do come in the middle
}

} // namespace

TEST_CASE("a process that is killed at any point loses nothing that it was told is stored") {
  kill_publishers(15, 8);
}

TEST_CASE("2,000 processes that are killed lose nothing that they were told is stored", "[.crash][slow]") {
  kill_publishers(2000, 18);
}

TEST_CASE("the right artifact is resolved for the machine") {
  const ArtifactStore store = fresh_store();
  const auto publish = [&](const std::string& weights, std::vector<std::string> sets, std::int64_t memory) {
    ArtifactManifest manifest = manifest_of(store, weights);
    manifest.hardware = {std::move(sets), "w8a8", memory};
    return store.publish(manifest).value();
  };
  const std::string any = publish("any", {}, 100), avx2 = publish("avx2", {"avx2"}, 100),
                    vnni = publish("vnni", {"avx512-vnni", "avx512"}, 100), small = publish("small", {"avx2"}, 50),
                    huge = publish("huge", {"amx-int8"}, 1000);
  const Machine modern{{"sse4.1", "avx2", "avx512", "avx512-vnni", "amx-int8"}, 500};
  CHECK(store.resolve("resnet20", modern).value() == vnni); // amx needs more memory than there is
  CHECK(store.resolve("resnet20", {{"sse4.1", "avx2"}, 500}).value() == small);
  CHECK(store.resolve("resnet20", {{}, 500}).value() == any);
  CHECK(store.resolve("resnet20", {{"avx2", "amx-int8"}, 5000}).value() == huge);
  const auto none = store.resolve("resnet20", {{}, 10});
  CHECK(none.error().code() == ErrorCode::unsupported);
  CHECK(none.error().rule().find(avx2 + ": the processor has no avx2") != std::string::npos);
  CHECK(store.resolve("resnet21", modern).error().code() == ErrorCode::not_found);
  const Machine here = Machine::here();
  CHECK(here.memory_bytes > 0);
  CHECK(fits({}, here));
  CHECK(!fits({{}, "", here.memory_bytes + 1}, here));
}

TEST_CASE("layout, index and manifest are valid under the schemas of OCI") {
  const auto validate = mcomp_test::data("schemas/validate.py");
  if (!validate) return;
  if (std::system("python3 -c 'import jsonschema' >/dev/null 2>&1") != 0) {
    std::fprintf(stderr, "not validated: python3 has no jsonschema (Debian: python3-jsonschema)\n");
    return;
  }
  const ArtifactStore store = fresh_store();
  const std::string id = store.publish(manifest_of(store)).value();
  REQUIRE(store.tag("production", id));
  const auto valid = [&](const std::string& kind, const fs::path& path) {
    return std::system(
               fmt::format("python3 '{}' {} '{}' >/dev/null", validate->string(), kind, path.string()).c_str()) == 0;
  };
  CHECK(valid("oci-layout", store.folder() / "oci-layout"));
  CHECK(valid("oci-index", store.folder() / "index.json"));
  CHECK(valid("oci-manifest", store.folder() / ("blobs/sha256/" + id.substr(7))));
  CHECK(!valid("oci-manifest", store.folder() / "index.json")); // the validator does look
}
