// libFuzzer program for archives: whatever is accepted comes into a store whole, and out of it again.

#include <fstream>

#include "mcomp/catalog/artifact_store.hpp"
#include "property.hpp"
#include "scratch_folder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::catalog;
  static const mcomp_fuzz::ScratchFolder folder;
  const std::string path = folder.path + "/a.tar";
  {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << mcomp_fuzz::text(data, size);
  }
  const auto report = verify_archive(path);
  mcomp_fuzz::demand(report.has_value());
  for (const auto& problem : report->problems) mcomp_fuzz::demand(!problem.where.empty() && !problem.rule.empty());
  // Importing syncs: the archives that cannot come in are told apart before.
  if (!report->sound() && report->problems[0].where.find("archive, byte") != std::string::npos) return 0;
  const auto store = ArtifactStore::open(folder.path + "/store").value();
  const auto ids = store.import_archive(path);
  if (!ids) return mcomp_fuzz::demand_whole(ids.error()), 0;
  mcomp_fuzz::demand(store.verify().value().sound());
  mcomp_fuzz::demand(store.export_archive(path, *ids).has_value() && verify_archive(path)->sound());
  for (const auto& id : *ids) mcomp_fuzz::demand(store.remove(id).has_value());
  mcomp_fuzz::demand(store.collect_garbage({.grace = 0}).has_value());
  return 0;
}
