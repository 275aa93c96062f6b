#include "mcomp/compress/put_back.hpp"

#include "catch.hpp"
#include "models.hpp"

using namespace mcomp;
using namespace mcomp::compress;
using namespace mcomp_test;

namespace {

struct Pair {
  Model reference, model;
};

Pair compressed(const Model& original, const Samples& samples, const std::string& before, const std::string& step) {
  const auto applied = [&](const std::string& steps) {
    return steps.empty() ? original
                         : apply(plan(original, recipe_of(steps), {.calibration = &samples}).value(), original).value();
  };
  return {applied(before), applied(before.empty() ? step : before + ", " + step)};
}

} // namespace

TEST_CASE("layers are put back as they were, all or one, in integers and weight-only") {
  struct Case {
    Model model;
    Samples samples;
    std::string before, step;
    bool tied;
  };
  const std::string fold = R"({"strategy": "fold_batch_norm"})";
  for (const Case& c :
       {Case{random_resnet(), random_images(16), fold, R"({"strategy": "quantize", "weights": {"dtype": "int3"}})",
             false},
        Case{random_resnet(), random_images(16), fold, R"({"strategy": "quantize_weights", "format": "int3"})", false},
        Case{random_decoder(grouped_decoder(true)), random_tokens(8, 16, 23), "",
             R"({"strategy": "quantize_weights", "format": "int4"})", true}}) {
    INFO(c.step);
    const auto [reference, model] = compressed(c.model, c.samples, c.before, c.step);
    const std::vector<std::string> layers = compressed_layers(model);
    REQUIRE(layers.size() > 2);
    CHECK(compressed_layers(reference).empty());

    const Model original = put_back(model, reference, layers).value();
    CHECK(original.in_full_precision());
    CHECK(outputs(original, c.samples) == outputs(reference, c.samples));
    CHECK(with_only(model, reference, {}).value().in_full_precision());
    CHECK(fingerprint(with_only(model, reference, layers).value()) == fingerprint(model));
    CHECK(fingerprint(put_back(model, reference, {}).value()) == fingerprint(model));

    const Tensor expected = outputs(reference, c.samples), all = outputs(model, c.samples);
    CHECK(relative_difference(expected, all) > 0.01);
    // The layer in the middle alone: the others are gone from the list, and the function lies between.
    const std::string middle = layers[layers.size() / 2];
    const Model alone = with_only(model, reference, {middle}).value();
    CHECK(compressed_layers(alone) == std::vector<std::string>{middle});
    const double alone_difference = relative_difference(expected, outputs(alone, c.samples));
    CHECK(alone_difference > 0);
    CHECK(alone_difference < relative_difference(expected, all));
    const Model without = put_back(model, reference, {middle}).value();
    CHECK(compressed_layers(without).size() == layers.size() - 1);
    CHECK(without.stored_bytes() > model.stored_bytes());
    if (c.tied) {
      // Table and head are one tensor.
      const Model head = put_back(model, reference, {layers.back()}).value();
      CHECK(compressed_layers(head).size() == layers.size() - 2);
    }

    // In higher precision instead: the reference is compressed too, and its form of the layer is taken.
    std::string finer = c.step;
    finer.replace(finer.find("int"), 4, "int8");
    const Model fine = compressed(c.model, c.samples, c.before, finer).model;
    const Model mixed = put_back(model, fine, {middle}).value();
    CHECK(compressed_layers(mixed) == layers);
    CHECK(mixed.stored_bytes() > model.stored_bytes());
    CHECK(mixed.stored_bytes() < without.stored_bytes());
    CHECK(fingerprint(put_back(model, fine, layers).value()) == fingerprint(fine));

    const auto refused = [](const auto& result, ErrorCode code) {
      REQUIRE_FALSE(result);
      CHECK(result.error().code() == code);
      CHECK(well_formed(result.error()));
    };
    refused(put_back(model, reference, {"nothing"}), ErrorCode::not_found);
    refused(with_only(model, reference, {"nothing"}), ErrorCode::not_found);
    CHECK(fingerprint(put_back(model, model, {middle}).value()) == fingerprint(model));
    if (!c.before.empty()) refused(put_back(model, c.model, {middle}), ErrorCode::invalid_argument);
  }
}
