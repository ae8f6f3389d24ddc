// Expanding a study into runs, and what they cost.
#include "study/study_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/units.h"
#include "study/study_rates.h"
#include "train/run_roof.h"
#include "train/schedule.h"

namespace moebius::study {

namespace {

constexpr std::size_t kNameBytes = 200;  // of a run; file systems allow 255
constexpr double kDecayMin = 0.05;  // a run's final loss is the mean over its last 5 %: none of it may lie in the trunk

// Every number of steps before a decay is met: as the total grows by one, it grows by one or stays.
i64 steps_that_decay_from(i64 begin, const train::OptimizerOptions& optimizer) {
  i64 total = static_cast<i64>(std::floor(static_cast<double>(begin) / (1 - optimizer.decay_fraction))) - 2;
  for (total = std::max(total, begin + 1);; ++total) {
    const train::Schedule schedule = train::make_schedule(optimizer, total);
    CHECK(schedule.total - schedule.decay <= begin, "the search began below and goes up in steps of one at most");
    if (schedule.total - schedule.decay == begin) return total;
  }
}

// Keys that other parts of the study file set: here they would have no effect.
void refuse_keys(const Json& table, const std::vector<std::pair<const char*, const char*>>& keys,
                 const std::string& where) {
  for (const auto& [given, value] : table.as_object()) {
    std::string key = given;
    std::replace(key.begin(), key.end(), '_', '-');
    for (const auto& [refused, instead] : keys) {
      if (key != refused) continue;
      throw Error({.where = where,
                   .what = fmt::format("'{}' has no effect here", given),
                   .fix = fmt::format("remove it; {}", instead)});
    }
  }
}

model::ModelConfig resolve_model(const StudySpec& spec, const StudyModel& entry) {
  model::ModelConfig config;
  for (const Json& table : {spec.model, entry.overrides}) {
    refuse_keys(table, {{"vocab", "the size of the vocabulary is vocab under [data]"}},
                fmt::format("{}, model '{}'", spec.path, entry.name));
  }
  {
    OptionList list;
    config.describe(list);
    list.set_from_json(spec.model, spec.path + ", [model]");
    list.set_from_json(entry.overrides, fmt::format("{}, model '{}'", spec.path, entry.name));
  }
  config.vocab = spec.data.vocab;
  config.sequence_max = std::max(config.sequence_max, spec.data.sequence);
  config.name = entry.name;
  config.resolve(fmt::format("{}, model '{}'", spec.path, entry.name));
  return config;
}

std::string underscored(std::string key) {
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

// The options of training and the shares that any model of the study has of its own, with their values for `run`.
Json settings_of(const StudySpec& spec, const PlannedRun& run) {
  train::TrainOptions options = train_options(spec, run);
  OptionList list;
  options.describe(list);
  const Json resolved = list.to_json();
  Json settings = Json::object(), shares = Json::object();
  bool data_differs = false;
  for (const StudyModel& model : spec.models) {
    data_differs = data_differs || !model.shares.empty();
    for (const auto& [key, value] : model.train.as_object()) {
      const std::string name = underscored(key);
      if (name != "learning_rate") settings.set(name, resolved.at(name));
    }
  }
  if (!data_differs) return settings;
  const auto add = [&](const std::string& name, double share) {
    const auto own = run.shares.find(name);
    shares.set(name, own == run.shares.end() ? share : own->second);
    settings.set(underscored(name) + "_share", shares.at(name));
  };
  for (const StudyText& text : spec.data.text) add(text.name, text.share);
  for (const StudyTask& task : spec.data.tasks) add(task.family.name, task.share);
  settings.set("data", shares);
  return settings;
}

const StudyModel& model_of(const StudySpec& spec, const std::string& name) {
  const auto found =
      std::find_if(spec.models.begin(), spec.models.end(), [&](const StudyModel& m) { return m.name == name; });
  CHECK(found != spec.models.end(), "configurations come from the study's models");
  return *found;
}

bool has_own_rate(const StudyModel& model) {
  return model.train.contains("learning-rate") || model.train.contains("learning_rate");
}

PlannedRun plan_run(const StudySpec& spec, const model::ModelConfig& config, i64 seed) {
  PlannedRun run;
  run.model = config.name;
  run.name = spec.seeds.size() > 1 ? fmt::format("{}-s{}", config.name, seed) : config.name;
  run.seed = seed;
  run.tokens = spec.tokens;
  run.config = config;
  run.counts = model::count_model(config, spec.data.sequence);
  const StudyModel& entry = model_of(spec, config.name);
  run.train = entry.train;
  run.shares = entry.shares;
  run.settings = settings_of(spec, run);
  run.rate_fixed = has_own_rate(entry);
  run.learning_rate = run.rate_fixed ? train_options(spec, run).optimizer.learning_rate : spec.learning_rate.value;
  return run;
}

// The trunk of one configuration and seed, then its branches.
void add_branched(StudyPlan& plan, const model::ModelConfig& config, i64 seed) {
  const StudySpec& spec = plan.spec;
  PlannedRun plain = plan_run(spec, config, seed);
  const train::TrainOptions options = train_options(spec, plain);
  const BranchPlan steps = plan_branches(spec.branches, options, spec.path);
  const auto set_tokens = [&](PlannedRun& run, i64 steps_total) {
    run.tokens = steps_total * options.batch_tokens;
    run.warmup_steps = steps.warmup_steps;
  };
  const std::string seed_part = spec.seeds.size() > 1 ? fmt::format("-s{}", seed) : "";
  PlannedRun trunk = plain;
  trunk.role = records::RunRole::trunk;
  trunk.name = config.name + "-trunk" + seed_part;
  set_tokens(trunk, steps.trunk_steps);
  for (const Branch& branch : steps.branches) trunk.branch_steps.push_back(branch.step_begin);
  plan.runs.push_back(trunk);
  for (const Branch& branch : steps.branches) {
    PlannedRun run = plain;
    run.model = fmt::format("{}-b{:g}", config.name, 100 * branch.at);
    run.name = run.model + seed_part;
    set_tokens(run, branch.steps_total);
    run.branch_of = trunk.name;
    run.branch_step = branch.step_begin;
    run.tokens_shared = branch.step_begin * options.batch_tokens;
    plan.runs.push_back(std::move(run));
  }
}

void add_trials(StudyPlan& plan, const std::vector<model::ModelConfig>& configs) {
  const StudySpec& spec = plan.spec;
  std::vector<model::ModelConfig> to_tune;
  for (const model::ModelConfig& config : configs) {
    if (!has_own_rate(model_of(spec, config.name))) to_tune.push_back(config);
  }
  for (const std::size_t index : trial_models(to_tune)) {
    for (const double rate : spec.learning_rate.sweep) {
      PlannedRun run = plan_run(spec, to_tune[index], spec.seeds.front());
      run.name = fmt::format("sweep-{}-lr{:g}", to_tune[index].name, rate);
      run.role = records::RunRole::sweep;
      run.tokens = spec.learning_rate.sweep_tokens > 0 ? spec.learning_rate.sweep_tokens : spec.tokens / 5;
      run.learning_rate = rate;
      plan.runs.push_back(std::move(run));
    }
  }
}

// Keys of [train], and of the `train` of models, that the study sets itself.
void check_train_keys(const StudySpec& spec) {
  std::vector<std::pair<const char*, const char*>> keys = {
      {"tokens", "the tokens of each run are tokens at the top of the file"},
      {"steps", "the length of each run is tokens at the top of the file"},
      {"sequence", "the length of a sequence is sequence under [data]"},
      {"attend-across-documents", "the key belongs under [data]"},
      {"seed-init", "the seeds of the runs are seeds at the top of the file"},
      {"seed-data", "the seed of the data is seed under [data]"},
      {"data", "the sources are the tables of [data]"},
      {"mixture", "the sources are the tables of [data]"},
      {"tokenizer", "the study trains its tokenizer on its data"},
      {"out", "each run has its folder in the study's"},
      {"learning-rate", "the learning rate is value or sweep under [learning-rate]"}};
  refuse_keys(spec.train, keys, spec.path + ", [train]");
  keys.back() = {"precision", "all runs have the precision of [train]"};
  for (const StudyModel& model : spec.models) {
    refuse_keys(model.train, keys, fmt::format("{}, model '{}', train", spec.path, model.name));
  }
}

// What would stop a run only when it starts: its name as a folder, and the options of [train].
void check_runs(const StudyPlan& plan) {
  std::set<std::string> names;
  for (const PlannedRun& run : plan.runs) {
    const bool control = std::any_of(run.name.begin(), run.name.end(), [](unsigned char c) { return c < ' '; });
    if (run.name[0] == '.' || run.name.find('/') != std::string::npos || run.name.size() > kNameBytes || control ||
        !names.insert(run.name).second) {
      throw Error({.where = plan.spec.path,
                   .what = fmt::format("'{}' is not a valid run name", run.name),
                   .wanted = fmt::format("a folder name of at most {} bytes that is unique in the study", kNameBytes),
                   .fix = "rename the model, or remove what is given twice (a seed, a learning rate)"});
    }
    train::TrainOptions options = train_options(plan.spec, run);
    options.out = run.name;
    try {
      train::check_options(options);
    } catch (const Error& e) {
      ErrorParts parts = e.parts();
      parts.where = run.train.count() == 0
                        ? fmt::format("{}, [train], {}", plan.spec.path, parts.where)
                        : fmt::format("{}, [train] and model '{}', {}", plan.spec.path, run.config.name, parts.where);
      throw Error(std::move(parts));
    }
  }
}

}  // namespace

BranchPlan plan_branches(const StudyBranches& branches, const train::TrainOptions& options, const std::string& where) {
  const train::OptimizerOptions& given = options.optimizer;
  if (given.schedule != "wsd") {
    throw Error({.where = where + ", [branches]",
                 .what = "branches require the schedule wsd",
                 .wanted = "schedule = \"wsd\" in [train]",
                 .got = given.schedule});
  }
  if (given.decay_fraction < kDecayMin || given.decay_fraction > 0.95) {
    throw Error({.where = where + ", [branches]",
                 .what = "decay-fraction is too small or too large for branches",
                 .wanted = fmt::format("{} to 0.95 of a branch's steps", kDecayMin),
                 .got = fmt::format("{}", given.decay_fraction)});
  }
  const i64 steps = train::steps_total(options);
  BranchPlan plan;
  plan.warmup_steps = train::make_schedule(given, steps).warmup;
  train::OptimizerOptions optimizer = given;
  optimizer.warmup_steps = plan.warmup_steps;
  for (const double at : branches.at) {
    Branch branch;
    branch.at = at;
    branch.step_begin = std::llround(at * static_cast<double>(steps));
    if (branch.step_begin < std::max<i64>(1, plan.warmup_steps)) {
      throw Error({.where = where + ", [branches]",
                   .what = fmt::format("the branch at {} begins within the warm-up", at),
                   .wanted = fmt::format("at least {} of {} steps", std::max<i64>(1, plan.warmup_steps), steps),
                   .got = fmt::format("{} steps", branch.step_begin)});
    }
    branch.steps_total = steps_that_decay_from(branch.step_begin, optimizer);
    plan.trunk_steps = std::max(plan.trunk_steps, branch.step_begin);
    plan.branches.push_back(branch);
  }
  return plan;
}

StudyPlan plan_study(const StudySpec& spec) {
  StudyPlan plan;
  plan.spec = spec;
  check_train_keys(spec);
  std::vector<model::ModelConfig> configs;
  for (const StudyModel& entry : spec.models) configs.push_back(resolve_model(spec, entry));
  if (!spec.learning_rate.sweep.empty()) add_trials(plan, configs);
  // Seeds outermost: when a study is cut short, every model has as many seeds as any other, or one fewer.
  for (const i64 seed : spec.seeds) {
    for (const model::ModelConfig& config : configs) {
      if (spec.branches.at.empty()) {
        plan.runs.push_back(plan_run(spec, config, seed));
      } else {
        add_branched(plan, config, seed);
      }
    }
  }
  check_runs(plan);
  return plan;
}

i64 tokens_most(const StudyPlan& plan) {
  i64 most = 0;
  for (const PlannedRun& run : plan.runs) most = std::max(most, run.tokens);
  return most;
}

double roofline_seconds_per_token(const StudyPlan& plan, const PlannedRun& run) {
  const train::TrainOptions options = train_options(plan.spec, run);
  const i64 micro = options.micro_batch_tokens > 0 ? options.micro_batch_tokens : options.batch_tokens;
  return train::step_roofline_seconds(run.config, options, options.batch_tokens / micro,
                                      static_cast<double>(options.sequence), plan.roof) /
         static_cast<double>(options.batch_tokens);
}

train::TrainOptions train_options(const StudySpec& spec, const PlannedRun& run) {
  train::TrainOptions options;
  OptionList list;
  options.describe(list);
  list.set_from_json(spec.train, spec.path + ", [train]");
  list.set_from_json(run.train, fmt::format("{}, model '{}', train", spec.path, run.config.name));
  train::resolve_precision(options);
  options.tokens = run.tokens;
  options.sequence = spec.data.sequence;
  options.attend_across_documents = spec.data.attend_across_documents;
  options.seed_init = spec.seed_init(run.seed);
  options.seed_data = spec.seed_data(run.seed);
  if (run.learning_rate > 0) options.optimizer.learning_rate = run.learning_rate;
  if (run.warmup_steps >= 0) options.optimizer.warmup_steps = run.warmup_steps;
  if (run.role == records::RunRole::trunk) options.optimizer.schedule = "constant";
  return options;
}

std::vector<i64> evaluation_steps(const StudyPlan& plan, const PlannedRun& run) {
  std::vector<i64> at;
  if (run.role == records::RunRole::sweep) return at;
  if (run.role == records::RunRole::trunk) {
    for (const PlannedRun& branch : plan.runs) {
      if (branch.branch_of != run.name) continue;
      const std::vector<i64> wanted = evaluation_steps(plan, branch);
      std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(at),
                   [&](i64 step) { return step <= branch.branch_step; });
    }
    return at;
  }
  const i64 steps = train::steps_total(train_options(plan.spec, run));
  for (const double fraction : plan.spec.evaluate.at) {
    at.push_back(std::llround(fraction * static_cast<double>(steps)));
  }
  return at;
}

void PlannedRun::visit(records::Fields& f) {
  Json shape = config.to_json();
  std::string scope = "micro-batch";
  double of_tokens = tpp(), idle = sparsity();
  double rate = learning_rate > 0 ? learning_rate : kUnknown;
  f("name", name)("model", model)("role", role)("seed", seed)("config", shape);
  f("parameters_total", counts.parameters_total)("parameters_active", counts.parameters_active);
  f("flops_per_token_megatron", counts.flops_per_token_megatron)("flops_per_token_6n", counts.flops_per_token_6n);
  f("tokens_total", tokens)("tpp", of_tokens)("sparsity", idle)("learning_rate", rate);
  f("balance_coefficient", config.losses.balance_coefficient)("balance_scope", scope);
  f("seconds_estimated", seconds_estimated);
  for (const auto& [key, value] : settings.as_object()) {
    Json copy = value;
    f(key.c_str(), copy);
  }
  if (left_out) f("left_out", left_out);
  if (branch_of.empty()) return;
  f("branch_of", branch_of)("branch_step", branch_step)("tokens_shared", tokens_shared);
}

// Of each seed of the study, in their order: what it means for each part.
Json seeds_json(const StudySpec& spec) {
  const auto list = [&](const auto& seed_of) {
    Json seeds = Json::array();
    for (const i64 seed : spec.seeds) seeds.push_back(seed_of(seed));
    return seeds;
  };
  Json seeds = Json::object({{"init", list([&](i64 seed) { return spec.seed_init(seed); })},
                             {"order", list([&](i64 seed) { return spec.seed_data(seed); })}});
  for (const StudyTask& task : spec.data.tasks) {
    seeds.set(task.family.name, list([&](i64 seed) { return spec.seed_task(task, seed); }));
  }
  return seeds;
}

Json plan_to_json(const StudyPlan& plan) {
  std::vector<PlannedRun> all = plan.runs;
  Json runs;
  records::Fields(&runs).value(all);
  const StudySpec& spec = plan.spec;
  Json notes = spec.notes;
  if (!plan.fitted_text.empty()) notes.push_back(plan.fitted_text);
  return Json::object({{"name", spec.name},
                       {"title", spec.title.empty() ? spec.name : spec.title},
                       {"question", spec.question},
                       {"budget_tokens", spec.tokens},
                       {"precision", plan.runs.empty() ? "" : train_options(spec, plan.runs.front()).precision},
                       {"runs", runs},
                       {"vary", spec.vary},
                       {"seeds", seeds_json(spec)},
                       {"branches", spec.branches.at},
                       {"hypotheses", spec.hypotheses},
                       {"fitted", plan.fitted},
                       {"notes", notes}});
}

std::string plan_table(const StudyPlan& plan) {
  std::string text = fmt::format("{:<22} {:>12} {:>12} {:>11} {:>8} {:>8} {:>9} {:>10}\n", "run", "parameters",
                                 "active", "FLOP/token", "TPP", "tokens", "rate", "time here");
  for (const PlannedRun& run : plan.runs) {
    text += fmt::format("{:<22} {:>12} {:>12} {:>11} {:>8.2f} {:>8} {:>9} {:>10}\n", run.name,
                        format_exact(run.counts.parameters_total), format_exact(run.counts.parameters_active),
                        format_count(run.counts.flops_per_token_megatron), run.tpp(),
                        format_count(static_cast<double>(run.tokens)),
                        run.learning_rate > 0 ? fmt::format("{:.2g}", run.learning_rate) : "sweep",
                        run.left_out                ? "left out"
                        : run.seconds_estimated > 0 ? format_seconds(run.seconds_estimated)
                                                    : "?");
  }
  const auto left_out =
      std::count_if(plan.runs.begin(), plan.runs.end(), [](const PlannedRun& r) { return r.left_out; });
  text += fmt::format("{} runs", plan.runs.size() - static_cast<std::size_t>(left_out));
  const auto trials = std::count_if(plan.runs.begin(), plan.runs.end(),
                                    [](const PlannedRun& r) { return r.role == records::RunRole::sweep; });
  if (trials > 0) text += fmt::format(" ({} of them learning rate trials)", trials);
  if (plan.jobs > 1) text += fmt::format(", {} side by side", plan.jobs);
  if (plan.seconds_estimated > 0) {
    const std::string precision = train_options(plan.spec, plan.runs.front()).precision;
    text += fmt::format(
        ": about {} with their evaluations on this machine (roof {}/s in {})", format_seconds(plan.seconds_estimated),
        format_flops(precision == "f32" ? plan.roof.f32_flops_per_s : plan.roof.bf16_flops_per_s), precision);
  }
  text += plan.spec.branches.at.empty()
              ? "\n"
              : "; the time of a branch is that of its own steps, the trunk is counted once\n";
  if (!plan.fitted_text.empty()) text += plan.fitted_text + "\n";
  return text;
}

}  // namespace moebius::study
