// study.json: the description of a study in its folder, for the report, for fitting and for the study itself when it is
// run again. In: the plan, the shared data; out: the file of docs/formats.md, compared with the one that is there.
#pragma once

#include <optional>
#include <string>

#include "study/study_data.h"
#include "study/study_fit.h"
#include "study/study_plan.h"

namespace moebius::study {

// A study with precision "auto" keeps the one with which it began in `folder`.
void keep_precision(StudySpec& spec, const std::string& folder);

// Throws Error when the folder holds runs of another study, or of this one before its file was changed.
void check_same_study(const StudyPlan& plan, const std::string& folder);

// `rule`: how the learning rates were chosen.
void write_study_json(const StudyPlan& plan, const StudyFiles& files, const std::string& rule,
                      const std::string& folder);

// The decision made when the study began (without a time limit: everything runs); nothing when it has not begun or was
// changed.
std::optional<StudyFit> read_fit(const StudySpec& spec, const std::string& folder);

// Takes over the times that were estimated when the study began. False: there are none.
bool read_times(StudyPlan& plan, const std::string& folder);

}  // namespace moebius::study
