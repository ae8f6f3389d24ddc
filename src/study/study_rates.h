// Learning rates of a study with a sweep: which models the trials are made for, and the rate of every run from the losses
// of the trials. In: configurations, losses of finished trials; out: rates and the sentence that the report prints.
// Trains nothing.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "study/study_plan.h"

namespace moebius::study {

// Indices of the configurations that the rate is swept for. At each width (d-model): those with the fewest and the most
// experts, and of these the ones with the smallest and the largest k; then the smallest and the largest k of all routed
// models of the width. One configuration for each pair of E and k.
std::vector<std::size_t> trial_models(const std::vector<model::ModelConfig>& configs);

// Learning rate of every main run from the trials' losses (run name -> final loss): the best one of its own trials, or
// interpolated in (log E, log k) from those of its width. Returns the sentence that the report prints. Throws Error when
// no trial of a model ended with a finite loss.
std::string choose_learning_rates(StudyPlan& plan, const std::map<std::string, double>& trial_losses);

}  // namespace moebius::study
