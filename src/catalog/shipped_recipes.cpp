#include "mcomp/catalog/shipped_recipes.hpp"

#include "core/try.hpp"

namespace mcomp::inline v0::catalog {

namespace {

constexpr const char* classifier_int8 = R"({
  "schema": "mcomp-recipe-1",
  "name": "classifier-int8",
  "description": "int8 weights per channel, uint8 activations with ranges of least squared error; nothing is lost but size and time",
  "calibration": {"samples": 512, "seed": 1},
  "steps": [
    {"strategy": "fold_batch_norm"},
    {"strategy": "quantize", "activations": {"observer": "mean_squared_error"}},
    {"strategy": "calibrate_temperature"}
  ],
  "criteria": {"max_accuracy_loss": 0.01, "max_size_ratio": 0.3, "max_ece_increase": 0.01, "min_samples": 1000}
})";

constexpr const char* classifier_w6a8 = R"({
  "schema": "mcomp-recipe-1",
  "name": "classifier-w6a8",
  "description": "int6 weights by GPTQ with refinement, fitted so that each layer makes up for what earlier ones have lost",
  "calibration": {"samples": 512, "seed": 1},
  "steps": [
    {"strategy": "fold_batch_norm"},
    {"strategy": "quantize",
     "weights": {"dtype": "int6", "method": "gptq", "refine": 10, "target": "residual_sum"},
     "activations": {"observer": "mean_squared_error"}},
    {"strategy": "calibrate_temperature"}
  ],
  "criteria": {"max_accuracy_loss": 0.01, "max_size_ratio": 0.22, "max_ece_increase": 0.01, "min_samples": 1000}
})";

constexpr const char* classifier_mixed = R"({
  "schema": "mcomp-recipe-1",
  "name": "classifier-mixed-5",
  "description": "5 bits a weight in all: every layer takes the width at which the whole network loses least",
  "calibration": {"samples": 512, "seed": 1},
  "steps": [
    {"strategy": "fold_batch_norm"},
    {"strategy": "quantize",
     "weights": {"method": "gptq", "refine": 10, "target": "residual_sum", "budget": {"bits_per_weight": 5}},
     "activations": {"observer": "mean_squared_error"}},
    {"strategy": "calibrate_temperature"}
  ],
  "criteria": {"max_accuracy_loss": 0.01, "max_size_ratio": 0.19, "max_ece_increase": 0.01, "min_samples": 1000}
})";

constexpr const char* classifier_w4a8 = R"({
  "schema": "mcomp-recipe-1",
  "name": "classifier-w4a8",
  "description": "int4 weights by GPTQ with refinement, fitted so that each layer makes up for what earlier ones have lost",
  "calibration": {"samples": 512, "seed": 1},
  "steps": [
    {"strategy": "fold_batch_norm"},
    {"strategy": "quantize",
     "weights": {"dtype": "int4", "method": "gptq", "refine": 10, "target": "residual_sum"},
     "activations": {"observer": "mean_squared_error"}},
    {"strategy": "calibrate_temperature"}
  ],
  "criteria": {"max_accuracy_loss": 0.01, "max_size_ratio": 0.16, "max_ece_increase": 0.01, "min_samples": 1000}
})";

constexpr const char* decoder_w8 = R"({
  "schema": "mcomp-recipe-1",
  "name": "decoder-w8",
  "description": "int8 weights in groups of 32, rounded to nearest: no samples are needed",
  "steps": [{"strategy": "quantize_weights", "format": "int8:g32"}],
  "criteria": {"max_loss_increase": 0.01, "max_size_ratio": 0.3}
})";

constexpr const char* decoder_w5 = R"({
  "schema": "mcomp-recipe-1",
  "name": "decoder-w5",
  "description": "int5 weights in groups of 32 by GPTQ with refinement",
  "calibration": {"samples": 48, "seed": 1},
  "steps": [
    {"strategy": "quantize_weights", "format": "int5:g32", "method": "gptq", "refine": 10, "target": "residual_sum"}
  ],
  "criteria": {"max_loss_increase": 0.05, "max_size_ratio": 0.2}
})";

constexpr const char* decoder_mixed = R"({
  "schema": "mcomp-recipe-1",
  "name": "decoder-mixed-4.5",
  "description": "4.5 bits a weight in all, scales included: every tensor takes the format at which the network's output moves least",
  "calibration": {"samples": 48, "seed": 1},
  "steps": [
    {"strategy": "quantize_weights", "method": "gptq", "refine": 10, "target": "residual_sum",
     "budget": {"bits_per_weight": 4.5}}
  ],
  "criteria": {"max_loss_increase": 0.1, "max_size_ratio": 0.16}
})";

constexpr const char* decoder_mixed_small = R"({
  "schema": "mcomp-recipe-1",
  "name": "decoder-mixed-3.5",
  "description": "3.5 bits a weight in all, scales included: the smallest, for where memory is short",
  "calibration": {"samples": 48, "seed": 1},
  "steps": [
    {"strategy": "quantize_weights", "method": "gptq", "refine": 10, "target": "residual_sum",
     "budget": {"bits_per_weight": 3.5}}
  ],
  "criteria": {"max_loss_increase": 0.3, "max_size_ratio": 0.13}
})";

ShippedRecipe shipped(std::string id, std::string name, std::string family, const char* json,
                      std::vector<RecipeEntry::Use> uses) {
  RecipeEntry entry{.name = std::move(name), .owner = std::string(shipped_owner), .status = "standard", .recipe = json};
  entry.change = "as shipped";
  entry.uses = std::move(uses);
  entry.families = {std::move(family)};
  return {std::move(id), std::move(entry)};
}

} // namespace

const std::vector<ShippedRecipe>& shipped_recipes() {
  static const std::vector<ShippedRecipe> recipes = {
      shipped("classifier-int8", "int8 classifier", "image-classifier", classifier_int8,
              {{"2,000 images of CIFAR-10, ResNet-20", "91.65 -> 91.65 % top-1, 0.25 of the size"}}),
      shipped("classifier-w6a8", "int6 weights, 8-bit activations", "image-classifier", classifier_w6a8,
              {{"2,000 images of CIFAR-10, ResNet-20", "91.65 -> 91.70 % top-1, 0.19 of the size"}}),
      shipped("classifier-mixed-5", "mixed widths of 5 bits", "image-classifier", classifier_mixed,
              {{"2,000 images of CIFAR-10, ResNet-20", "91.65 -> 91.80 % top-1, 0.16 of the size"}}),
      shipped("classifier-w4a8", "int4 weights, 8-bit activations", "image-classifier", classifier_w4a8,
              {{"2,000 images of CIFAR-10, ResNet-20", "91.65 -> 92.10 % top-1, 0.13 of the size"}}),
      shipped("decoder-w8", "int8 weights in groups", "decoder", decoder_w8,
              {{"TinyStories, stories260K", "perplexity 4.499 -> 4.505, 0.28 of the size"}}),
      shipped("decoder-w5", "int5 weights in groups", "decoder", decoder_w5,
              {{"TinyStories, stories260K", "perplexity 4.499 -> 4.555, 0.19 of the size"}}),
      shipped("decoder-mixed-4.5", "mixed formats of 4.5 bits", "decoder", decoder_mixed,
              {{"TinyStories, stories260K", "perplexity 4.499 -> 4.662, 0.14 of the size"}}),
      shipped("decoder-mixed-3.5", "mixed formats of 3.5 bits", "decoder", decoder_mixed_small,
              {{"TinyStories, stories260K", "perplexity 4.499 -> 5.352, 0.11 of the size"}}),
  };
  return recipes;
}

Result<std::vector<Record>> install_shipped_recipes(Catalog& catalog, const std::string& author, std::int64_t time) {
  std::vector<RecordDraft> drafts;
  for (const ShippedRecipe& shipped : shipped_recipes()) {
    DraftInfo info{.id = shipped.id, .author = author, .time = time};
    const auto there = catalog.get("recipe", shipped.id);
    if (!there && there.error().code() != ErrorCode::not_found) return there.error();
    if (there) {
      if (there->redacted || there->owner != shipped_owner || there->status != shipped.entry.status) continue;
      MCOMP_TRY(json, to_json(shipped.entry));
      if (there->body == json) continue;
      info.expected_version = there->version;
    }
    MCOMP_TRY(next, draft(shipped.entry, info));
    drafts.push_back(std::move(next));
  }
  if (drafts.empty()) return std::vector<Record>();
  return catalog.put(drafts);
}

} // namespace mcomp::inline v0::catalog
