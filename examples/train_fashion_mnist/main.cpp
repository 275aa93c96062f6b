// Trains a residual network of depth 8 on Fashion-MNIST and writes its weights as safetensors: the network that
// compress_classifier makes smaller. The test images are looked at once, behind the last step.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "fashion_mnist.hpp"
#include "gemm.hpp"
#include "mcomp/core/cpu.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/core/version.hpp"
#include "mcomp/io/safetensors.hpp"
#include "program.hpp"
#include "progress_line.hpp"
#include "residual_network.hpp"
#include "training.hpp"

namespace {

using namespace example;

struct Options {
  std::filesystem::path data = fashion_mnist_folder;
  TrainingOptions training;
  std::size_t validation_images = 5000;
  std::size_t training_images = 0;
  double least_accuracy = 0.91;
  int threads = 0;
};

void add_options(CLI::App& app, Options& options) {
  TrainingOptions& training = options.training;
  app.add_option("--data", options.data, "Folder of the four Fashion-MNIST files")->capture_default_str();
  app.add_option("--seed", training.seed, "Same seed, same bytes, whatever the number of threads")
      ->capture_default_str();
  app.add_option("--epochs", training.epochs, "Passes over the training images")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--batch", training.batch, fmt::format("Images a step, a multiple of {}", training.block))
      ->capture_default_str();
  app.add_option("--learning-rate", training.learning_rate, "The highest of the schedule")->capture_default_str();
  app.add_option("--weight-decay", training.weight_decay, "Of the weights, not of scales and biases")
      ->capture_default_str();
  app.add_option("--shift", training.largest_shift, "Augmentation: pixels in either direction")->capture_default_str();
  app.add_option("--validation-images", options.validation_images, "Training images to hold back for the report")
      ->capture_default_str();
  app.add_option("--training-images", options.training_images, "Train on so many of the others; 0: on all")
      ->capture_default_str();
  app.add_option("--min-test-accuracy", options.least_accuracy, "Reject a network below this fraction")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--threads", options.threads, "Threads to run on; 0: one a processor")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
}

mcomp::Result<ExitStatus> run(const Options& options, const std::filesystem::path& out, Report& report) {
  const auto data = read_fashion_mnist(options.data);
  if (!data) return data.error();

  std::vector<std::int64_t> order(static_cast<std::size_t>(data->training.count()));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  mcomp::Random(options.training.seed, 1).shuffle(std::span(order));
  if (options.validation_images > order.size())
    return mcomp::Error(mcomp::ErrorCode::invalid_argument, "--validation-images",
                        fmt::format("{} of {} training images", options.validation_images, order.size()), "pass fewer");
  const auto validation = std::span<const std::int64_t>(order).first(options.validation_images);
  auto training = std::span<const std::int64_t>(order).subspan(options.validation_images);
  if (options.training_images != 0) training = training.first(std::min(options.training_images, training.size()));

  mcomp::ThreadPool pool(options.threads);
  ProgressLine progress;
  const mcomp::Context context{.executor = &pool, .progress = progress.sink(), .cancellation = {}};
  ResidualNetwork network({.height = data->training.height(), .width = data->training.width()}, options.training.seed);

  report.keep("processor", mcomp::to_string(mcomp::cpu_features()));
  report.keep("matrix_products", gemm_library());
  report.keep("threads", pool.concurrency());
  report.keep("seed", options.training.seed);
  report.keep("batch_images", options.training.batch);
  report.keep("learning_rate", options.training.learning_rate);
  report.keep("weight_decay", options.training.weight_decay);
  report.say("training_images", training.size(), fmt::format("training images    {:>8}", training.size()));
  report.say("validation_images", validation.size(), fmt::format("validation images  {:>8}", validation.size()));
  report.say("parameters", network.parameters().size(),
             fmt::format("parameters         {:>8}\n\nepoch  training loss  validation accuracy  seconds",
                         network.parameters().size()));

  const auto begin = std::chrono::steady_clock::now();
  const auto trained =
      train(network, data->training, training, validation, options.training, context, [&](const EpochReport& epoch) {
        progress.clear();
        report.row("epochs",
                   {{"epoch", epoch.epoch},
                    {"training_loss_nats", epoch.training_loss},
                    {"validation_accuracy_fraction", epoch.validation_accuracy},
                    {"wall_seconds", epoch.seconds}},
                   fmt::format("{:5}  {:13.4f}  {:17.2f} %  {:7.1f}", epoch.epoch, epoch.training_loss,
                               100 * epoch.validation_accuracy, epoch.seconds));
      });
  if (!trained) return trained.error();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  std::vector<std::int64_t> all(static_cast<std::size_t>(data->test.count()));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  const double test_accuracy = accuracy(network, data->test, all, context);
  progress.clear();

  const auto tensors = network.tensors();
  if (!tensors) return tensors.error();
  const std::filesystem::path weights = out / "fashion_mnist.safetensors";
  // No time and no place in here: the same training gives the same file.
  const auto written = mcomp::io::write_safetensors(
      weights, *tensors,
      {{"format", "pt"},
       {"program", "train_fashion_mnist of mcomp " MCOMP_VERSION_STRING},
       {"architecture", "ResNet of depth 8 for one channel of 28 x 28 (He et al. 2015, option A shortcuts)"},
       {"data", "Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)"},
       {"input", fmt::format("grey/255, mean {:.3f}, std {:.3f}", fashion_mean, fashion_deviation)},
       {"seed", std::to_string(options.training.seed)},
       {"epochs", std::to_string(options.training.epochs)},
       {"test_accuracy", fmt::format("{:.4f}", test_accuracy)}});
  if (!written) return written.error();

  std::error_code failure;
  const auto bytes = std::filesystem::file_size(weights, failure);
  if (failure) return mcomp::Error(mcomp::ErrorCode::io_failure, weights.string(), failure.message(), "check the disk");
  fmt::print("\n");
  report.say("training_wall_seconds", seconds, fmt::format("training time      {:8.1f} s", seconds));
  report.say("weights_bytes", bytes, fmt::format("weights            {:8.1f} kB", static_cast<double>(bytes) / 1e3));
  report.say("weights_sha256", mcomp::fingerprint(*tensors),
             fmt::format("fingerprint        {}", mcomp::fingerprint(*tensors)));
  report.say("min_test_accuracy_fraction", options.least_accuracy,
             fmt::format("demanded accuracy  {:8.2f} %", 100 * options.least_accuracy));
  report.say("test_accuracy_fraction", test_accuracy, fmt::format("test accuracy      {:8.2f} %", 100 * test_accuracy));
  return test_accuracy >= options.least_accuracy ? ExitStatus::done : ExitStatus::rejected;
}

} // namespace

int main(int argc, char** argv) {
  Program program("train_fashion_mnist", "Trains a small residual network on Fashion-MNIST and writes its weights.");
  Options options;
  add_options(program.options(), options);
  return program.run(argc, argv, [&](Report& report) { return run(options, program.out(), report); });
}
