// Filling the tables.
#include "report/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/units.h"
#include "report/figure_parts.h"

namespace moebius::report {

namespace {

std::string count_text(double value) { return std::isfinite(value) ? format_exact(std::llround(value)) : "-"; }
std::string short_text(double value) { return std::isfinite(value) ? format_count(value) : "-"; }
std::string plain_text(double value) { return std::isfinite(value) ? fmt::format("{:g}", value) : "-"; }
std::string percent_text(double value) { return std::isfinite(value) ? fmt::format("{:.1f} %", 100 * value) : "-"; }
std::string seconds_text(double value) { return std::isfinite(value) ? format_seconds(value) : "-"; }

bool is_number_or_text(const Json& value) { return value.is_number() || value.is_string() || value.is_bool(); }

Cell score_cell(const RunRecords& run, const TaskPart& part, const std::string& key) {
  const Measured value = metric_of(run, part.path(key)), chance = records::chance_of(run, part.path(""));
  const bool near_chance =
      value.known() && chance.known() && value.se > 0 && !records::above_chance(value.value, value.se, chance.value);
  return near_chance ? Cell(measure_text(value) + " \u00b0", "muted") : Cell(measure_text(value));
}

double seed_of(const RunRecords& run) {
  const double seed = run.number("seed");
  return std::isfinite(seed) ? seed : run.number("seed_init");
}

std::vector<const RunRecords*> runs_in_table(const StudyRecords& study) {
  std::vector<const RunRecords*> runs;
  for (const RunRecords& run : study.runs) {
    if (run.role != RunRole::sweep) runs.push_back(&run);
  }
  return runs;
}

}  // namespace

Table table_models(const StudyRecords& study) {
  using Run = const RunRecords*;
  using Text = std::string (*)(double);
  const auto config = [](const char* key, bool of_experts = false) {
    return
        [key, of_experts](Run run) { return of_experts && run->dense() ? "-" : plain_text(run->config_number(key)); };
  };
  const auto number = [](Text text, const char* key) {
    return [text, key](Run run) { return text(run->number(key)); };
  };
  const auto balance = [](Run run) {
    const std::string scope = run->text("balance_scope");
    return run->dense() ? "-" : plain_text(run->number("balance_coefficient")) + (scope.empty() ? "" : ", " + scope);
  };
  Table table{.title = "Models"};
  table.fill<Run>(runs_in_table(study),
                  {{{"run", false}, &RunRecords::name},
                   {{"d", true, "model width"}, config("d_model")},
                   {{"layers"}, config("layers")},
                   {{"E", true, "experts in a layer"},
                    [](Run run) { return run->dense() ? "dense" : plain_text(run->config_number("experts")); }},
                   {{"k", true, "active experts"}, config("top_k", true)},
                   {{"F", true, "width of an expert"}, config("expert_width")},
                   {{"parameters", true, "all, embeddings included"}, number(count_text, "parameters_total")},
                   {{"active", true, "parameters used for one token"}, number(count_text, "parameters_active")},
                   {{"sparsity", true, "1 - k/E"}, number(number_text, "sparsity")},
                   {{"FLOPs/token", true, "forward and backward, Megatron's formula"},
                    number(short_text, "flops_per_token_megatron")},
                   {{"6N", true, "6 x active parameters"}, number(short_text, "flops_per_token_6n")},
                   {{"tokens"}, number(short_text, "tokens_total")},
                   {{"TPP", true, "tokens per total parameter"}, number(number_text, "tpp")},
                   {{"learning rate", true, "peak"}, number(plain_text, "learning_rate")},
                   {{"balance", false, "coefficient of the load-balance loss and its scope"}, balance},
                   {{"seed"}, [](Run run) { return plain_text(seed_of(*run)); }}});
  return table;
}

Table table_training(const StudyRecords& study) {
  using Run = const RunRecords*;
  const auto metric = [](const char* path, std::string (*text)(double)) {
    return [path, text](Run run) { return text(metric_of(*run, path).value); };
  };
  const auto state = [](Run run) {
    return Cell(records::enum_name(run->status), run->status == RunStatus::done ? "" : "warn");
  };
  const auto dead = [](Run run) {
    const double count = metric_of(*run, "load.dead_experts").value;
    return Cell(plain_text(count), count > 0 ? "warn" : "");
  };
  const auto memory = [](double bytes) { return std::isfinite(bytes) ? format_bytes(bytes) : "-"; };
  std::vector<Table::Field<Run>> fields = {
      {{"run", false}, &RunRecords::name},
      {{"state", false}, state},
      {{"final loss", true, "nats per token, mean over the last 5 % of the tokens"},
       metric("train.loss_final", number_text)}};
  for (const TaskPart& part : loss_parts(study)) {
    const std::string path = part.path(part.with_unit(records::Unit::bits_per_byte));
    fields.push_back({{part.part, true, "held-out " + part.part + ", bits per byte"},
                      [path](Run run) { return measure_text(metric_of(*run, path)); }});
  }
  const std::initializer_list<Table::Field<Run>> rest = {
      {{"load max/mean", true, "busiest expert over the mean, worst layer, last step"},
       metric("load.max_over_mean", number_text)},
      {{"dead", true, "unused experts, summed over layers"}, dead},
      {{"tokens/s"}, metric("train.tokens_per_s", count_text)},
      {{"roofline", true, "share of the steps' roofline that training reached"},
       metric("train.roofline_ratio_wall", percent_text)},
      {{"MFU", true, "share of the machine's roof"}, metric("train.mfu", percent_text)},
      {{"time", true, "wall time of the training"}, [](Run run) { return seconds_text(run->seconds); }},
      {{"memory", true, "peak"}, metric("train.peak_memory_bytes", memory)}};
  fields.insert(fields.end(), rest);
  Table table{.title = "Training",
              .note = "Held-out losses in bits per byte, \u00b1 one standard error over documents."};
  table.fill<Run>(runs_in_table(study), fields);
  return table;
}

Table table_scores(const StudyRecords& study) {
  Table table{.title = "Scores",
              .note =
                  "\u00b1 one standard error over items. Task loss in nats per answer token. \u00b0 less than three "
                  "standard errors above chance."};
  using Run = const RunRecords*;
  std::vector<Table::Field<Run>> fields = {{{"run", false}, &RunRecords::name}};
  for (const TaskPart& part : task_parts(study)) {
    if (part.part != "all") continue;
    const auto add = [&](const std::string& key, const std::string& title, const std::string& hint) {
      if (!key.empty())
        fields.push_back({{part.name + " " + title, true, hint}, [=](Run run) { return score_cell(*run, part, key); }});
    };
    const std::string chance = std::isfinite(part.chance) ? fmt::format(", chance {:.3g}", part.chance) : "";
    add(part.score(), metric_label(part.score()), fmt::format("{} items{}", part.items, chance));
    add(part.loss(), "loss", "nats per answer token");
    add(part.with_unit(records::Unit::bits), "bits", "knowledge, bits");
  }
  if (fields.size() > 1) table.fill<Run>(study.main_runs(), fields);
  return table;
}

Table table_grades(const StudyRecords& study) {
  Table table{
      .title = "Scores by grade",
      .note = "Mean over seeds; \u00b1 one standard error, over seeds where there are several, else over items.",
      .columns = {{"task", false}, {"grade", false}, {"measure", false}, {"chance"}}};
  const std::vector<Configuration> points = configurations_of(study.main_runs());
  for (const Configuration& point : points) table.columns.push_back({point.model, true, ""});
  for (const TaskPart& part : task_parts(study)) {
    for (const std::string& key : {part.score(), part.loss()}) {
      if (key.empty()) continue;
      std::vector<Cell> row = {part.name, part.part, metric_label(key),
                               key == part.loss() ? "-" : number_text(part.chance)};
      for (const Configuration& point : points) {
        std::vector<double> values;
        double se = kUnknown;
        for (const RunRecords* run : point.runs) {
          const Measured one = metric_of(*run, part.path(key));
          if (!one.known()) continue;
          values.push_back(one.value);
          se = one.se;
        }
        if (values.size() > 1) se = deviation_of(values) / std::sqrt(static_cast<double>(values.size()));
        row.emplace_back(measure_text({mean_of(values), se}));
      }
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

Table table_sweep(const StudyRecords& study) {
  using Run = const RunRecords*;
  const auto loss_of = [](Run run) { return metric_of(*run, "train.loss_final").value; };
  std::map<std::string, Range> losses;
  for (Run run : study.sweep_runs()) losses[run->model].add(loss_of(run));
  Table table{.title = "Learning-rate sweep"};
  table.fill<Run>(study.sweep_runs(),
                  {{{"model", false}, &RunRecords::model},
                   {{"learning rate"}, [](Run run) { return plain_text(run->number("learning_rate")); }},
                   {{"final loss"},
                    [&](Run run) {
                      const bool chosen = loss_of(run) == losses[run->model].low;
                      return Cell(number_text(loss_of(run)) + (chosen ? " (lowest)" : ""), chosen ? "good" : "");
                    }},
                   {{"tokens"}, [](Run run) { return short_text(run->number("tokens_total")); }},
                   {{"state", false}, [](Run run) { return records::enum_name(run->status); }}});
  return table;
}

Table table_data(const StudyRecords& study) {
  const auto number = [](std::string (*text)(double), const char* key) {
    return [text, key](const Json& source) { return text(source.get_double(key, kUnknown)); };
  };
  const auto passes = [](const Json& source) {
    const double times = source.get_double("tokens_seen", kUnknown) / source.get_double("tokens_unique", kUnknown);
    return std::isfinite(times) ? fmt::format("{:.2f}", times) : "-";
  };
  Table table{.title = "Data mixture"};
  table.fill<Json>(study.study.get_array("data"),
                   {{{"source", false}, [](const Json& source) { return source.get_string("source", "?"); }},
                    {{"weight"}, number(percent_text, "weight")},
                    {{"unique tokens"}, number(count_text, "tokens_unique")},
                    {{"tokens seen"}, number(count_text, "tokens_seen")},
                    {{"passes"}, passes},
                    {{"note", false}, [](const Json& source) { return source.get_string("note", ""); }}});
  return table;
}

Table table_evaluations(const StudyRecords& study) {
  Table table{.title = "Evaluations"};
  table.columns = {{"task", false}, {"skill", false}, {"items"}, {"chance"}, {"grades", false}, {"note", false}};
  std::map<std::string, std::string> notes;
  for (const Json& entry : study.study.get_array("evaluations"))
    notes[entry.get_string("name", "")] = entry.get_string("note", "");
  std::vector<TaskPart> parts = task_parts(study);  // a task's parts are together, the whole first
  for (auto part = parts.begin(); part != parts.end();) {
    const TaskPart& whole = *part;
    std::vector<std::string> grades;
    for (; part != parts.end() && part->name == whole.name; ++part) {
      if (part->part != "all") grades.push_back(part->part);
    }
    table.rows.push_back({whole.name, whole.skill, count_text(static_cast<double>(whole.items)),
                          number_text(whole.chance), grades.empty() ? "-" : joined(grades), notes[whole.name]});
  }
  return table;
}

Table table_spreads(const Summary& summary) {
  Table table{
      .title = "How far the configurations differ",
      .note =
          "Difference from the worst to the best configuration with its 95 % interval; best and worst were picked "
          "after the fact, so this "
          "flatters the difference. Pairs: of all pairs of configurations, those whose difference is within noise.",
      .columns = {{"measure", false}, {"best", false}, {"worst", false}, {"difference"}, {"pairs within noise"}}};
  for (const Spread& spread : summary.spreads) {
    const bool noise = spread.difference.known() && spread.difference.low <= 0 && spread.difference.high >= 0;
    const bool unknown = spread.pairs_unknown == spread.pairs;
    table.rows.push_back(
        {spread.measure, spread.best, spread.worst,
         Cell(interval_text(spread.difference) + (noise ? " within noise" : ""), noise ? "muted" : ""),
         unknown ? std::string("noise unknown") : fmt::format("{} of {}", spread.pairs_within_noise, spread.pairs)});
  }
  return table;
}

std::vector<std::pair<std::string, std::string>> machine_facts(const StudyRecords& study) {
  std::vector<std::pair<std::string, std::string>> facts;
  for (const auto& [key, value] : study.machine.as_object()) {
    std::string name = key;
    std::ranges::replace(name, '_', ' ');
    if (key == "memory_bytes" && value.is_number()) {
      facts.emplace_back("memory", format_bytes(value.as_double()));
    } else if (is_number_or_text(value)) {
      facts.emplace_back(name, value.is_string() ? value.as_string() : value.dump());
    }
  }
  if (!study.roof.is_null()) {
    const auto roof = [&](const char* key, const char* name, std::string (*format)(double), const char* unit) {
      const double value = study.roof.get_double(key, kUnknown);
      if (std::isfinite(value)) facts.emplace_back(name, format(value) + unit);
    };
    facts.emplace_back("instruction set", study.roof.get_string("isa", "?"));
    if (study.roof.contains("threads")) facts.emplace_back("threads", study.roof.at("threads").dump());
    roof("bf16_flops_per_s", "roof, bf16", format_flops, "/s");
    roof("f32_flops_per_s", "roof, f32", format_flops, "/s");
    roof("dram_bytes_per_s", "roof, memory", format_bytes, "/s");
  }
  const Json* seeds = study.study.find("seeds");
  if (seeds != nullptr && seeds->is_object()) {
    for (const auto& [key, value] : seeds->as_object()) facts.emplace_back("seeds of " + key, value.dump());
  } else if (seeds != nullptr) {
    facts.emplace_back("seeds", seeds->dump());
  }
  return facts;
}

std::string runs_csv(const StudyRecords& study) {
  const std::vector<std::string> config = {"d_model",      "layers",         "heads", "experts", "top_k",
                                           "expert_width", "shared_experts", "vocab", "sequence"};
  const std::vector<std::string> numbers = {
      "parameters_total", "parameters_active", "flops_per_token_megatron", "flops_per_token_6n", "tokens_total", "tpp",
      "sparsity",         "learning_rate",     "balance_coefficient",      "z_coefficient"};
  const std::vector<std::string> train = {"loss_final", "tokens_per_s",        "roof_share",
                                          "mfu",        "roofline_ratio_wall", "peak_memory_bytes"};
  std::vector<CsvField> header = {"run", "model", "role", "status", "seed"};
  header.insert(header.end(), config.begin(), config.end());
  header.insert(header.end(), numbers.begin(), numbers.end());
  header.emplace_back("balance_scope");
  header.insert(header.end(), train.begin(), train.end());
  header.insert(header.end(), {"seconds", "load_max_over_mean", "dead_experts"});
  CsvTable csv(header);
  for (const RunRecords& run : study.runs) {
    std::vector<CsvField> row = {run.name, run.model, run.role == RunRole::sweep ? "sweep" : "main",
                                 records::enum_name(run.status), seed_of(run)};
    for (const std::string& key : config) row.emplace_back(run.config_number(key));
    for (const std::string& key : numbers) row.emplace_back(run.number(key));
    row.emplace_back(run.text("balance_scope"));
    for (const std::string& key : train) row.emplace_back(metric_of(run, "train." + key).value);
    row.emplace_back(run.seconds);
    row.emplace_back(metric_of(run, "load.max_over_mean").value);
    row.emplace_back(metric_of(run, "load.dead_experts").value);
    csv.row(row);
  }
  return csv.text();
}

std::string scores_csv(const StudyRecords& study) {
  CsvTable csv({"run", "model", "seed", "tokens", "kind", "name", "grade_or_source", "skill", "items", "shots",
                "chance", "measure", "value", "se"});
  for (const RunRecords* run : study.main_runs()) {
    for (const EvalRecord& eval : run->evals) {
      const auto number = [&](const std::string& name) { return records::measured_in(eval.fields, name).value; };
      for (const records::Measure& one : eval.measures) {
        const Measured measured = records::measured_in(eval.fields, one.name);
        if (!measured.known()) continue;
        csv.row({run->name, run->model, run->text("seed"), eval.tokens, eval.kind, eval.name, eval.part, eval.skill,
                 number("items"), number("shots"), number("chance"), one.name, measured.value, measured.se});
      }
    }
  }
  return csv.text();
}

}  // namespace moebius::report
