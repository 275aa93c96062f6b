// The recipes that come with the library, on trained networks: each meets its own criteria, and what its entry says of
// where it was used is what is measured.

#include "mcomp/catalog/shipped_recipes.hpp"

#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/compress/plan.hpp"
#include "mcomp/compress/recipe.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/evaluate/verdict.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/io/safetensors.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

namespace {

compress::Recipe recipe_of(const ShippedRecipe& shipped) {
  return compress::Recipe::parse(shipped.entry.recipe, shipped.id).value();
}

std::vector<ShippedRecipe> of_family(const std::string& family) {
  std::vector<ShippedRecipe> found;
  for (const ShippedRecipe& shipped : shipped_recipes())
    if (shipped.entry.families == std::vector{family}) found.push_back(shipped);
  return found;
}

/// Those that round to nearest take seconds; those that make up for errors, or allocate bits, minutes.
std::vector<ShippedRecipe> of_family(const std::string& family, bool compensate) {
  std::vector<ShippedRecipe> found = of_family(family);
  std::erase_if(found, [&](const ShippedRecipe& shipped) {
    return (shipped.entry.recipe.find("\"gptq\"") != std::string::npos) != compensate;
  });
  return found;
}

ThreadPool& pool() {
  static ThreadPool threads(2);
  return threads;
}

struct Compressed {
  compress::Model model;
  double size_ratio = 0;
};
Compressed compressed(const compress::Model& model, const compress::Recipe& recipe,
                      const compress::Samples& calibration) {
  const Context context{.executor = &pool()};
  const compress::Plan made = compress::plan(model, recipe, {.calibration = &calibration, .context = context}).value();
  return {compress::apply(made, model, context).value(),
          static_cast<double>(made.bytes_after) / static_cast<double>(made.bytes_before)};
}

std::vector<std::int32_t> predictions(const compress::Model& model, const TensorView& images) {
  auto runner = compress::Workbench{.context = {.executor = &pool()}}.runner(model).value();
  return graph::predicted_classes(graph::run_batches(*runner, images, 50).value()).value();
}

double loss_of(const compress::Model& model, const compress::Samples& samples) {
  auto runner = compress::Workbench{.context = {.executor = &pool()}}.runner(model).value();
  const TensorView tokens = samples.tokens().value();
  evaluate::NextTokenLoss loss;
  for (std::int64_t begin = 0; begin < tokens.size(0); begin += 8) {
    const TensorView rows = tokens.rows(begin, std::min<std::int64_t>(begin + 8, tokens.size(0))).value();
    loss.update(runner->run(rows).value(), rows).value();
  }
  return std::log(loss.report().value().perplexity);
}

void check_classifiers(bool compensate) {
  const auto weights = mcomp_test::data("vision/resnet20_cifar10.safetensors"),
             calibration_file = mcomp_test::data("vision/cifar10_calib.safetensors"),
             test_file = mcomp_test::data("vision/cifar10_test_a.safetensors");
  if (!weights || !calibration_file || !test_file) return;
  const compress::Model model = compress::load(*weights, graph::cifar_resnet({.depth = 20}).value()).value();
  const compress::Samples calibration = compress::load_samples(*calibration_file).value(),
                          test = compress::load_samples(*test_file).value();
  // Enough for a margin of a point, in a fifth of the time that all of them take.
  constexpr std::int64_t rows = 2000;
  const TensorView images = test.images().value().rows(0, rows).value();
  auto labels = test.labels().value();
  labels.resize(rows);
  const auto before = predictions(model, images);
  for (const ShippedRecipe& shipped : of_family("image-classifier", compensate)) {
    const compress::Recipe recipe = recipe_of(shipped);
    const Compressed small = compressed(model, recipe, calibration);
    const auto after = predictions(small.model, images);
    stats::PairedCounts counts;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const bool was = before[i] == labels[i], is = after[i] == labels[i];
      ++(was ? (is ? counts.both_right : counts.only_baseline_right)
             : (is ? counts.only_candidate_right : counts.both_wrong));
    }
    const std::string result =
        fmt::format("{:.2f} -> {:.2f} % top-1, {:.2f} of the size", 100 * counts.baseline_accuracy(),
                    100 * counts.candidate_accuracy(), small.size_ratio);
    fmt::print("{}: ResNet-20 on CIFAR-10: {}\n", shipped.id, result);
    evaluate::Evidence evidence;
    evidence.accuracy = counts;
    evidence.baseline_bytes = 1'000'000, evidence.candidate_bytes = static_cast<std::int64_t>(1e6 * small.size_ratio);
    evaluate::Criteria criteria = recipe.criteria;
    criteria.max_ece_increase.reset(); // of other rows than these
    const evaluate::Verdict verdict = evaluate::judge(criteria, evidence).value();
    INFO(shipped.id << ": " << to_string(verdict));
    CHECK(verdict.passed());
    const RecipeEntry::Use use{"2,000 images of CIFAR-10, ResNet-20", result};
    CHECK(std::ranges::find(shipped.entry.uses, use) != shipped.entry.uses.end());
  }
}

void check_decoders(bool compensate) {
  const auto weights = mcomp_test::data("language/stories260k.safetensors"),
             rows = mcomp_test::data("language/tinystories_tokens.safetensors");
  if (!weights || !rows) return;
  const auto file = io::read_safetensors(*weights).value();
  const compress::Model model =
      compress::load(*weights, graph::llama(graph::llama_options(file.tensors, file.metadata).value()).value()).value();
  const compress::Samples calibration = compress::load_samples(*rows, "calibration").value(),
                          evaluation = compress::load_samples(*rows, "evaluation").value();
  const double before = loss_of(model, evaluation);
  for (const ShippedRecipe& shipped : of_family("decoder", compensate)) {
    const compress::Recipe recipe = recipe_of(shipped);
    const Compressed small = compressed(model, recipe, calibration);
    const double after = loss_of(small.model, evaluation);
    const std::string result = fmt::format("perplexity {:.3f} -> {:.3f}, {:.2f} of the size", std::exp(before),
                                           std::exp(after), small.size_ratio);
    fmt::print("{}: stories260K on TinyStories: {}\n", shipped.id, result);
    INFO(shipped.id << ": " << result);
    CHECK(after - before <= recipe.criteria.max_loss_increase.value());
    CHECK(small.size_ratio <= recipe.criteria.max_size_ratio.value());
    const RecipeEntry::Use use{"TinyStories, stories260K", result};
    CHECK(std::ranges::find(shipped.entry.uses, use) != shipped.entry.uses.end());
  }
}

} // namespace

TEST_CASE("every shipped recipe is one that compress reads, and names itself", "[catalog]") {
  CHECK(shipped_recipes().size() >= 6);
  for (const ShippedRecipe& shipped : shipped_recipes()) {
    INFO(shipped.id);
    const compress::Recipe recipe = recipe_of(shipped);
    CHECK(recipe.name == shipped.id);
    CHECK_FALSE(recipe.description.empty());
    CHECK(recipe.criteria.max_size_ratio);
    CHECK((recipe.criteria.max_accuracy_loss || recipe.criteria.max_loss_increase));
    CHECK(shipped.entry.status == "standard");
    CHECK_FALSE(shipped.entry.uses.empty());
    CHECK(parse_recipe_entry(to_json(shipped.entry).value()).value().families == shipped.entry.families);
  }
}

TEST_CASE("shipped recipes are taken in once, and a team's own changes stay", "[catalog]") {
  Catalog catalog = Catalog::open(mcomp_test::temporary_folder() / "c").value();
  const auto first = install_shipped_recipes(catalog, "ana", 1000).value();
  CHECK(first.size() == shipped_recipes().size());
  CHECK(install_shipped_recipes(catalog, "ana", 1001).value().empty());
  CHECK(catalog.find({.kind = "recipe", .status = "standard", .links_to = "family/decoder"}).value().size() ==
        of_family("decoder").size());
  // An older library had shipped another form of one; the team has retired a second and changed a third.
  RecipeEntry old = shipped_recipes()[0].entry, retired = shipped_recipes()[1].entry, own = shipped_recipes()[2].entry;
  old.change = "an older form";
  retired.status = "retired", retired.reason = "too slow here";
  own.owner = "ana", own.change = "more samples";
  const auto put = [&](const RecipeEntry& entry, std::size_t index) {
    const DraftInfo info{.id = shipped_recipes()[index].id, .author = "ana", .time = 1002, .expected_version = 1};
    REQUIRE(catalog.put(draft(entry, info).value()));
  };
  put(old, 0), put(retired, 1), put(own, 2);
  const auto again = install_shipped_recipes(catalog, "ana", 1003).value();
  REQUIRE(again.size() == 1);
  CHECK(again[0].id == shipped_recipes()[0].id);
  CHECK(again[0].version == 3);
}

TEST_CASE("shipped recipes that round to nearest keep what they promise on ResNet-20 and a small decoder",
          "[catalog][slow]") {
  check_classifiers(false);
  check_decoders(false);
}

TEST_CASE("shipped recipes that make up for errors, or allocate bits, keep what they promise too", "[.shipped][slow]") {
  check_classifiers(true);
  check_decoders(true);
}
