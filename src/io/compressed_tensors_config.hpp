#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.hpp"

namespace mcomp::inline v0::io::detail {

enum class WeightKind { integer, floating };
enum class Strategy { tensor, channel, group, block };

/// The part of a scheme that says how weights are stored.
struct WeightScheme {
  std::string format; ///< "pack-quantized" ...
  std::vector<std::string> targets;
  WeightKind kind = WeightKind::integer;
  int bits = 8;
  bool symmetric = true;
  Strategy strategy = Strategy::channel;
  std::int64_t group_size = 0;
  std::int64_t block_rows = 0;   ///< with group_size as its columns
  bool activation_order = false; ///< the layer has a group index
};

/// The schemes of a quantization_config, in its order.
/// Errors: corrupt, unsupported, naming `subject` and the key.
[[nodiscard]] Result<std::vector<WeightScheme>> read_config(std::string_view json, const std::string& subject);

/// Whether a target ("Linear", a layer's name, "re:" and a regular expression) names a layer.
[[nodiscard]] Result<bool> matches(const std::string& target, const std::string& layer, const std::string& subject);

} // namespace mcomp::inline v0::io::detail
