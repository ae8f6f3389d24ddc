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
                  {{{"run", false}, [](Run run) { return run->name; }},
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
  Table table{.title = "Training",
              .note = "Held-out losses in bits per byte, \u00b1 one standard error over documents."};
  const std::vector<TaskPart> parts = loss_parts(study);
  table.columns = {
      {"run", false}, {"state", false}, {"final loss", true, "nats per token, mean over the last 5 % of the tokens"}};
  for (const TaskPart& part : parts)
    table.columns.push_back({part.part, true, "held-out " + part.part + ", bits per byte"});
  for (const Column& column :
       std::vector<Column>{{"load max/mean", true, "busiest expert over the mean, worst layer, last step"},
                           {"dead", true, "unused experts, summed over layers"},
                           {"tokens/s"},
                           {"roofline", true, "share of the steps' roofline that training reached"},
                           {"MFU", true, "share of the machine's roof"},
                           {"time", true, "wall time of the training"},
                           {"memory", true, "peak"}}) {
    table.columns.push_back(column);
  }
  for (const RunRecords* run : runs_in_table(study)) {
    const bool done = run->status == RunStatus::done;
    std::vector<Cell> row = {run->name, Cell(records::enum_name(run->status), done ? "" : "warn"),
                             number_text(metric_of(*run, "train.loss_final").value)};
    for (const TaskPart& part : parts) {
      row.emplace_back(measure_text(metric_of(*run, part.path(part.with_unit(records::Unit::bits_per_byte)))));
    }
    const double dead = metric_of(*run, "load.dead_experts").value,
                 bytes = metric_of(*run, "train.peak_memory_bytes").value;
    row.emplace_back(number_text(metric_of(*run, "load.max_over_mean").value));
    row.emplace_back(plain_text(dead), dead > 0 ? "warn" : "");
    row.emplace_back(count_text(metric_of(*run, "train.tokens_per_s").value));
    row.emplace_back(percent_text(metric_of(*run, "train.roofline_ratio_wall").value));
    row.emplace_back(percent_text(metric_of(*run, "train.mfu").value));
    row.emplace_back(seconds_text(run->seconds));
    row.emplace_back(std::isfinite(bytes) ? format_bytes(bytes) : "-");
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table table_scores(const StudyRecords& study) {
  Table table{.title = "Scores",
              .note =
                  "\u00b1 one standard error over items. Task loss in nats per answer token. \u00b0 less than three "
                  "standard errors above chance.",
              .columns = {{"run", false}}};
  std::vector<std::pair<TaskPart, std::string>> columns;
  for (const TaskPart& part : task_parts(study)) {
    if (part.part != "all") continue;
    const std::string chance = std::isfinite(part.chance) ? fmt::format(", chance {:.3g}", part.chance) : "";
    for (const std::string& score : part.scores()) {
      columns.emplace_back(part, score);
      table.columns.push_back(
          {part.name + " " + metric_label(score), true, fmt::format("{} items{}", part.items, chance)});
    }
    if (!part.loss().empty()) {
      columns.emplace_back(part, part.loss());
      table.columns.push_back({part.name + " loss", true, "nats per answer token"});
    }
    if (!part.with_unit(records::Unit::bits).empty()) {
      columns.emplace_back(part, part.with_unit(records::Unit::bits));
      table.columns.push_back({part.name + " bits", true, "knowledge, bits"});
    }
  }
  if (columns.empty()) return table;
  for (const RunRecords* run : study.main_runs()) {
    std::vector<Cell> row = {run->name};
    for (const auto& [part, key] : columns) row.push_back(score_cell(*run, part, key));
    table.rows.push_back(std::move(row));
  }
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
    std::vector<std::string> keys = part.scores();
    if (!part.loss().empty()) keys.push_back(part.loss());
    for (const std::string& key : keys) {
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
                  {{{"model", false}, [](Run run) { return run->model; }},
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
  Table table{.title = "Data mixture"};
  table.columns = {{"source", false}, {"weight"}, {"unique tokens"}, {"tokens seen"}, {"passes"}, {"note", false}};
  const Json* data = study.study.find("data");
  for (i64 i = 0; data != nullptr && i < data->count(); ++i) {
    const Json& source = (*data)[i];
    const double unique = source.get_double("tokens_unique", kUnknown),
                 seen = source.get_double("tokens_seen", kUnknown);
    const double passes = seen / unique;
    table.rows.push_back({source.get_string("source", "?"), percent_text(source.get_double("weight", kUnknown)),
                          count_text(unique), count_text(seen),
                          std::isfinite(passes) ? fmt::format("{:.2f}", passes) : "-", source.get_string("note", "")});
  }
  return table;
}

Table table_evaluations(const StudyRecords& study) {
  Table table{.title = "Evaluations"};
  table.columns = {{"task", false}, {"skill", false}, {"items"}, {"chance"}, {"grades", false}, {"note", false}};
  std::map<std::string, std::string> notes;
  const Json* evaluations = study.study.find("evaluations");
  for (i64 i = 0; evaluations != nullptr && i < evaluations->count(); ++i) {
    notes[(*evaluations)[i].get_string("name", "")] = (*evaluations)[i].get_string("note", "");
  }
  const std::vector<TaskPart> parts = task_parts(study);
  for (const TaskPart& whole : parts) {
    const bool first = std::none_of(parts.begin(), parts.end(),
                                    [&](const TaskPart& p) { return p.name == whole.name && &p < &whole; });
    if (!first) continue;
    std::vector<std::string> grades;
    TaskPart shown = whole;
    for (const TaskPart& part : parts) {
      if (part.name != whole.name) continue;
      if (part.part == "all") shown = part;
      if (part.part != "all") grades.push_back(part.part);
    }
    table.rows.push_back({whole.name, whole.skill, count_text(static_cast<double>(shown.items)),
                          number_text(shown.chance), grades.empty() ? "-" : joined(grades), notes[whole.name]});
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
    std::replace(name.begin(), name.end(), '_', ' ');
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
  std::vector<std::string> header = {"run", "model", "role", "status", "seed"};
  header.insert(header.end(), config.begin(), config.end());
  header.insert(header.end(), numbers.begin(), numbers.end());
  header.emplace_back("balance_scope");
  header.insert(header.end(), train.begin(), train.end());
  for (const char* last : {"seconds", "load_max_over_mean", "dead_experts"}) header.emplace_back(last);
  CsvTable csv(header);
  for (const RunRecords& run : study.runs) {
    std::vector<std::string> row = {run.name, run.model, run.role == RunRole::sweep ? "sweep" : "main",
                                    records::enum_name(run.status), csv_number(seed_of(run))};
    for (const std::string& key : config) row.push_back(csv_number(run.config_number(key)));
    for (const std::string& key : numbers) row.push_back(csv_number(run.number(key)));
    row.push_back(run.text("balance_scope"));
    for (const std::string& key : train) row.push_back(csv_number(metric_of(run, "train." + key).value));
    row.push_back(csv_number(run.seconds));
    row.push_back(csv_number(metric_of(run, "load.max_over_mean").value));
    row.push_back(csv_number(metric_of(run, "load.dead_experts").value));
    csv.row(row);
  }
  return csv.text();
}

std::string scores_csv(const StudyRecords& study) {
  CsvTable csv({"run", "model", "seed", "tokens", "kind", "name", "grade_or_source", "skill", "items", "shots",
                "chance", "measure", "value", "se"});
  for (const RunRecords* run : study.main_runs()) {
    for (const EvalRecord& eval : run->evals) {
      const auto number = [&](const std::string& name) {
        return csv_number(records::measured_in(eval.fields, name).value);
      };
      for (const records::Measure& one : eval.measures) {
        const Measured measured = records::measured_in(eval.fields, one.name);
        if (!measured.known()) continue;
        csv.row({run->name, run->model, run->text("seed"), csv_number(eval.tokens), eval.kind, eval.name, eval.part,
                 eval.skill, number("items"), number("shots"), number("chance"), one.name, csv_number(measured.value),
                 csv_number(measured.se)});
      }
    }
  }
  return csv.text();
}

}  // namespace moebius::report
