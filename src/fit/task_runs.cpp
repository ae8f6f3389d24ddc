// The scores of studies' runs, and grouping them.
#include "fit/task_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/units.h"
#include "records/metric.h"

namespace moebius::fit {

namespace {

// The configuration without what adding experts changes.
std::string family_of(const records::RunRecords& run, double tokens) {
  const auto part = [&](const char* key) {
    const double value = run.config_number(key);
    return std::isfinite(value) ? fmt::format("{}", value) : std::string("?");
  };
  const std::string shape = fmt::format("d{} L{}", part("d_model"), part("layers"));
  const std::string size = std::isfinite(tokens) ? format_exact(static_cast<i64>(tokens)) + " tokens" : "";
  if (run.dense()) return fmt::format("{} dense, {}", shape, size);
  return fmt::format("{} k{} F{}, {}", shape, part("top_k"), part("expert_width"), size);
}

// The measures that the task is judged by: its score, its loss, its knowledge share.
void take_scores(const records::EvalRecord& eval, std::vector<TaskScore>& scores) {
  TaskScore score;
  score.task = eval.name;
  score.skill = eval.skill;
  for (const records::Measure& measure : eval.measures) {
    const records::Measured measured = records::measured_in(eval.fields, measure.name);
    if (!measure.main || !measured.known()) continue;
    score.measure = measure.name;
    score.is_loss = !measure.higher_is_better;
    score.can_be_guessed = measure.unit == records::Unit::share_of_items;
    score.value = measured.value;
    score.se = measured.se;
    score.chance = std::isfinite(measure.chance) ? measure.chance : 0;
    score.chance_best = score.can_be_guessed
                            ? std::max(score.chance, eval.fields.get_double("chance_best", score.chance))
                            : score.chance;
    const auto known = std::ranges::find_if(
        scores, [&](const TaskScore& other) { return other.task == score.task && other.measure == score.measure; });
    if (known == scores.end()) {
      scores.push_back(score);
    } else {
      *known = score;  // the later record is the final one
    }
  }
}

TaskRun task_run_of(const records::RunRecords& records) {
  TaskRun run;
  run.name = records.name;
  run.model = records.model;
  run.train_loss = records.train_end.get_double("loss_final", kUnknown);
  run.tokens = records.number("tokens_total");
  run.parameters_total = records.number("parameters_total");
  run.parameters_active = records.number("parameters_active");
  run.tpp = records.number("tpp");
  run.flops = records.number("flops_per_token_megatron") * run.tokens;
  run.family = family_of(records, run.tokens);
  for (const records::EvalRecord& eval : records.evals) {
    if (eval.kind == "task" && eval.part == "all" && records.is_final(eval)) take_scores(eval, run.scores);
  }
  for (const TaskScore& mean : skill_means(run.scores)) run.scores.push_back(mean);
  return run;
}

void load_study(const std::string& folder, bool several, std::vector<TaskRun>& runs,
                std::vector<std::string>& left_out) {
  const std::size_t before = runs.size();
  for (const records::RunRecords& records : records::study_read(folder).runs) {
    std::string problem = records.status == records::RunStatus::done ? "" : records::enum_name(records.status);
    if (records.status == records::RunStatus::broken)
      problem = fmt::format("{}: {}", records.problem.where, records.problem.what);
    try {
      if (problem.empty()) runs.push_back(task_run_of(records));
    } catch (const Error& e) {
      problem = e.parts().what;
    }
    if (!problem.empty()) {
      left_out.push_back(fmt::format("{}, {}: {}", folder, records.name, problem));
    } else if (several) {
      runs.back().model = folder + ": " + runs.back().model;
    }
  }
  if (runs.size() > before) return;
  throw Error({.where = folder, .what = "no run of the study is finished", .fix = "'moebius study' resumes it"});
}

bool same_measure(const TaskScore& a, const TaskScore& b) {
  return a.task == b.task && a.measure == b.measure && (a.task != "all" || a.skill == b.skill);
}

bool usable(const TaskRun& run) {
  return std::isfinite(run.train_loss) && run.flops > 0 && run.tpp > 0 && std::isfinite(run.flops);
}

}  // namespace

std::vector<TaskRun> task_runs_load(const std::vector<std::string>& folders, std::vector<std::string>* left_out) {
  std::vector<TaskRun> runs;
  std::vector<std::string> lines;
  for (const std::string& folder : folders) load_study(folder, folders.size() > 1, runs, lines);
  if (left_out != nullptr) *left_out = std::move(lines);
  return runs;
}

std::vector<TaskScore> skill_means(const std::vector<TaskScore>& scores) {
  std::vector<TaskScore> means;
  for (const TaskScore& score : scores) {
    const bool loss = score.is_loss;
    if (score.skill.empty() || (!loss && !score.can_be_guessed)) continue;
    const std::string measure = loss ? "task_loss" : "score";
    auto at = std::ranges::find_if(
        means, [&](const TaskScore& mean) { return mean.skill == score.skill && mean.measure == measure; });
    if (at == means.end()) {
      means.push_back({.task = "all",
                       .skill = score.skill,
                       .measure = measure,
                       .value = 0,
                       .se = 0,
                       .tasks = 0,
                       .is_loss = loss,
                       .can_be_guessed = !loss});
      at = means.end() - 1;
    }
    const double room = loss ? 1 : 1 - score.chance;
    at->value += (score.value - score.chance) / room;
    at->se += std::isfinite(score.se) ? score.se * score.se / (room * room) : 0;  // squares, until the end
    at->chance_best += loss ? 0 : (score.chance_best - score.chance) / room;
    ++at->tasks;
  }
  std::erase_if(means, [](const TaskScore& mean) { return mean.tasks < 2; });
  for (TaskScore& mean : means) {
    const double n = static_cast<double>(mean.tasks);
    mean.value /= n;
    mean.se = std::sqrt(mean.se) / n;
    mean.chance_best /= n;
  }
  return means;
}

std::vector<TaskScore> task_measures(const std::vector<TaskRun>& runs) {
  std::vector<TaskScore> measures;
  for (const TaskRun& run : runs) {
    for (TaskScore score : run.scores) {
      const auto same = [&](const TaskScore& m) { return same_measure(m, score); };
      if (std::ranges::any_of(measures, same)) continue;
      score.value = score.se = kUnknown;
      measures.push_back(std::move(score));
    }
  }
  return measures;
}

const TaskScore* score_of(const TaskRun& run, const TaskScore& measure) {
  for (const TaskScore& score : run.scores) {
    if (same_measure(score, measure)) return &score;
  }
  return nullptr;
}

std::vector<TaskPoint> task_points(const std::vector<TaskRun>& runs, const TaskScore& measure) {
  std::vector<TaskPoint> points;
  for (const TaskRun& run : runs) {
    const TaskScore* score = score_of(run, measure);
    if (score == nullptr || !std::isfinite(score->value) || !usable(run)) continue;
    auto at = std::ranges::find(points, run.model, &TaskPoint::model);
    if (at == points.end()) {
      points.push_back({run.model, run.family, {}});
      at = points.end() - 1;
    }
    at->runs.push_back(&run);
  }
  return points;
}

}  // namespace moebius::fit
