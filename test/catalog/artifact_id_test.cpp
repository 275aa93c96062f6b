// The same inputs give the same artifact id: in every build type, with every compiler and any number of threads. The
// ids below were written down once, and each build of the tests holds itself to them.

#include "catch.hpp"
#include "compress/models.hpp"
#include "mcomp/catalog/artifact_store.hpp"
#include "mcomp/compress/artifact.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

namespace {

struct Case {
  const char* steps;
  bool decoder;
  const char* id;
};

const Case cases[] = {
    {R"({"strategy": "fold_batch_norm"}, {"strategy": "quantize"})", false,
     "sha256:50a0e7cf2c35b4902003c8648866c10da2f64eee2775ff5754159e9465880469"},
    {R"({"strategy": "fold_batch_norm"}, {"strategy": "quantize", "weights": {"method": "gptq", "refine": 3,
        "target": "residual_sum", "budget": {"bits_per_weight": 5, "samples": 8}},
        "activations": {"observer": "mean_squared_error"}})",
     false, "sha256:c592373df12c82a2c0c6a024665d0a8427b763f5337f2065ffab1ab3c82a1a10"},
    {R"({"strategy": "prune_filters", "fraction": 0.25}, {"strategy": "fold_batch_norm"}, {"strategy": "equalize"},
        {"strategy": "quantize", "weights": {"dtype": "int4", "method": "adaround"}}, {"strategy": "bias_correction"})",
     false, "sha256:ea3337ca02a0bf279028e7c5cbb0e90b32d4d0a347b0433a37af00485921dcff"},
    {R"({"strategy": "rotate"}, {"strategy": "quantize_weights", "format": "int4:g16", "method": "gptq", "refine": 3})",
     true, "sha256:e0edf623c6054c8ec25c78644d2b61a62359d8133ab9ac42f55d4106ed8e3202"},
    {R"({"strategy": "quantize_weights", "method": "gptq", "refine": 3, "target": "residual_sum",
        "budget": {"bits_per_weight": 4.5, "samples": 8}})",
     true, "sha256:72edb22a86e10a41ad1e674435f4ea1685b24f63598f743e93ff59795596f1bf"},
};

/// Of an artifact of weights, recipe and plan. What may differ between two versions of the library is not part of it.
std::string id_of(const Case& what, int threads) {
  const compress::Model model =
      what.decoder ? mcomp_test::random_decoder(mcomp_test::grouped_decoder(false)) : mcomp_test::random_resnet();
  const compress::Samples samples =
      what.decoder ? mcomp_test::random_tokens(32, 16, 23) : mcomp_test::random_images(64);
  ThreadPool pool(threads);
  const Context context{.executor = &pool};
  const compress::Recipe recipe = mcomp_test::recipe_of(what.steps);
  const compress::Plan plan = compress::plan(model, recipe, {.calibration = &samples, .context = context}).value();
  const compress::Model small = compress::apply(plan, model, context).value();
  const auto folder = mcomp_test::temporary_folder();
  REQUIRE(compress::write_artifact(folder, small, recipe, plan));
  const ArtifactStore store = ArtifactStore::open(folder / "store").value();
  ArtifactManifest manifest{.name = "random",
                            .baseline = fingerprint(model),
                            .data = {{"calibration", plan.calibration_fingerprint}},
                            .library_version = "any",
                            .seed = recipe.seed};
  manifest.parts = {{PartRole::weights, "model.safetensors", store.put_file(folder / "model.safetensors").value()},
                    {PartRole::recipe, "recipe.json", store.put(to_json(recipe)).value()},
                    {PartRole::plan, "plan.json", store.put(to_json(plan)).value()}};
  return store.publish(manifest).value();
}

} // namespace

TEST_CASE("the same inputs give the same artifact id in every build", "[catalog]") {
  for (const Case* what : {&cases[0], &cases[3]}) {
    INFO(what->steps);
    CHECK(id_of(*what, 1) == what->id);
  }
}

TEST_CASE("and with every algorithm and any number of threads", "[catalog][slow]") {
  for (const Case& what : cases) {
    INFO(what.steps);
    CHECK(id_of(what, 1) == what.id);
    CHECK(id_of(what, 3) == what.id);
  }
}
