#include <algorithm>

#include "calibrate/probability_map.hpp"
#include "core/try.hpp"

namespace mcomp::inline v0::calibrate {

Result<MapFit> fit_isotonic(std::span<const double> scores, std::span<const std::uint8_t> outcomes,
                            const IsotonicOptions& options) {
  MCOMP_CHECK(detail::check_scores(scores, outcomes));
  struct Block {
    double first = 0, last = 0, count = 0, events = 0;
  };
  std::vector<Block> blocks;
  for (const detail::ScoreGroup& group : detail::merge_ties(scores, outcomes)) {
    blocks.push_back({group.score, group.score, group.count, group.events});
    // Pools while the block before has no smaller mean; equal means are one block. Products of counts are exact.
    while (blocks.size() > 1) {
      Block& before = blocks[blocks.size() - 2];
      const Block& last = blocks.back();
      if (before.events * last.count < last.events * before.count) break;
      before.last = last.last;
      before.count += last.count;
      before.events += last.events;
      blocks.pop_back();
    }
  }
  ProbabilityMap map{.kind = ProbabilityMap::Kind::linear};
  for (const Block& block : blocks)
    for (const double end : {block.first, block.last}) {
      if (!map.x.empty() && map.x.back() == end) continue; // a block of one score
      map.x.push_back(end);
      map.y.push_back(block.events / block.count);
    }
  if (options.clip) map.least = 1 / (static_cast<double>(scores.size()) + 2), map.most = 1 - map.least;
  MapFit fit = detail::judged(std::move(map), scores, outcomes, static_cast<std::int64_t>(blocks.size()));
  fit.blocks = static_cast<std::int64_t>(blocks.size());
  return fit;
}

} // namespace mcomp::inline v0::calibrate
