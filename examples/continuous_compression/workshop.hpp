#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "mcomp/calibrate/reliability_diagram.hpp"
#include "mcomp/catalog/artifact_store.hpp"
#include "mcomp/compress/plan.hpp"
#include "mcomp/cost/forecast.hpp"
#include "mcomp/evaluate/suite.hpp"
#include "mcomp/loop/cycle.hpp"
#include "service.hpp"

namespace example {

/// What the loop asks of this application: compressing the classifier, comparing it with the uncompressed one on the
/// suite of the day, pricing it on a week of traffic, and releasing it in the service under guardrails.
class FashionWorkshop final : public mcomp::loop::Workshop {
 public:
  FashionWorkshop(Service& service, const mcomp::catalog::ArtifactStore& store, mcomp::compress::Model original,
                  mcomp::cost::PriceCatalogue prices, std::filesystem::path folder)
      : service_(service), store_(store), original_(std::move(original)), prices_(std::move(prices)),
        folder_(std::move(folder)) {}

  /// Samples and suite of the next cycle.
  void prepare(mcomp::compress::Samples calibration, mcomp::evaluate::Suite suite) {
    calibration_ = std::move(calibration);
    suite_ = std::move(suite);
  }
  void sign_with(const mcomp::catalog::SigningKey& reviewer) { reviewer_ = reviewer; }
  /// The service's traffic as the fleet would see it, so many times that of this process.
  void forecast_on(mcomp::cost::RequestTrace trace) { trace_ = std::move(trace); }
  /// Where more than so many candidate requests are slower, the release goes back.
  void slow_seconds(double seconds) { slow_seconds_ = seconds; }
  [[nodiscard]] double slow_seconds() const { return slow_seconds_; }

  /// The artifact of a model, published and ready to serve.
  [[nodiscard]] mcomp::Result<std::string> publish(const mcomp::compress::Model& model,
                                                   const mcomp::compress::Recipe& recipe,
                                                   const mcomp::compress::Plan& plan, const std::string& precision);
  /// What one side costs on the trace, with reservations that run out where they are given.
  [[nodiscard]] mcomp::Result<mcomp::cost::Forecast>
  forecast(const std::string& artifact, std::optional<mcomp::cost::ExpiringReservations> reservations = {});

  mcomp::Result<Compressed> compress(const mcomp::loop::CycleState& cycle,
                                     const mcomp::loop::Candidate& candidate) override;
  mcomp::Result<Proxies> proxies(const mcomp::loop::CycleState& cycle,
                                 const mcomp::loop::Candidate& candidate) override;
  mcomp::Result<Judged> evaluate(const mcomp::loop::CycleState& cycle,
                                 const mcomp::loop::Candidate& candidate) override;
  mcomp::Result<std::vector<mcomp::catalog::Envelope>> approvals(const mcomp::loop::CycleState& cycle,
                                                                 const std::string& artifact) override;
  mcomp::Result<std::vector<mcomp::rollout::RolloutEvent>>
  observe(const mcomp::loop::CycleState& cycle, const mcomp::rollout::RolloutState& state, std::int64_t now) override;
  mcomp::Status set_traffic(const mcomp::loop::CycleState& cycle, const std::string& artifact, std::uint32_t share,
                            std::uint32_t shadow) override;

  // For the report.
  [[nodiscard]] const std::map<std::string, mcomp::compress::Plan>& plans() const { return plans_; }
  [[nodiscard]] const std::map<std::string, mcomp::evaluate::Evaluation>& evaluations() const { return evaluations_; }
  [[nodiscard]] const std::map<std::string, mcomp::cost::Forecast>& forecasts() const { return forecasts_; }
  [[nodiscard]] mcomp::Result<mcomp::calibrate::ReliabilityDiagram> reliability(const std::string& artifact) const;

 private:
  [[nodiscard]] mcomp::Result<std::vector<double>> service_times(const std::string& artifact) const;

  Service& service_;
  const mcomp::catalog::ArtifactStore& store_;
  mcomp::compress::Model original_;
  mcomp::cost::PriceCatalogue prices_;
  std::filesystem::path folder_;
  mcomp::compress::Samples calibration_;
  std::optional<mcomp::evaluate::Suite> suite_;
  std::optional<mcomp::catalog::SigningKey> reviewer_;
  mcomp::cost::RequestTrace trace_;
  double slow_seconds_ = 1;
  std::string original_artifact_;
  std::optional<mcomp::rollout::Guardrail> guard_;
  std::string guarded_;                                            ///< cycle
  std::map<std::string, mcomp::compress::Plan> plans_;             ///< by artifact
  std::map<std::string, mcomp::evaluate::Evaluation> evaluations_; ///< by artifact
  std::map<std::string, mcomp::cost::Forecast> forecasts_;         ///< by artifact
};

} // namespace example
