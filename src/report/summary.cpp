// Sentences by rules. Each rule is one function, so that it can be read and tested by itself.
#include "report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>

#include "base/linear_statistics.h"
#include "base/units.h"
#include "records/item_scores.h"
#include "report/figure_bench.h"
#include "report/tables.h"

namespace moebius::report {

namespace {

constexpr double kClearlyOffChance = 5;  // standard errors above guessing, for a grade that was picked afterwards

std::string range_text(const Range& range, std::string (*format)(double)) {
  return range.low == range.high ? format(range.low) : format(range.low) + " to " + format(range.high);
}

// Adds the sentence with the names in the place of its {}; nothing when there are none.
void say_names(std::vector<std::string>& out, const char* sentence, const std::vector<std::string>& names) {
  if (!names.empty()) out.push_back(fmt::format(fmt::runtime(sentence), joined(names)));
}

std::string three_digits(double value) { return fmt::format("{:.3g}", value); }

Range range_of(const std::vector<const RunRecords*>& runs, const std::string& path) {
  Range range;
  for (const RunRecords* run : runs) range.add(metric_of(*run, path).value);
  return range;
}

std::vector<std::string> names_with(const StudyRecords& study, RunStatus status) {
  std::vector<std::string> names;
  for (const RunRecords& run : study.runs) {
    if (run.status == status) names.push_back(run.name);
  }
  return names;
}

// "8 of 12 runs are done", "all 12 runs are done".
std::string count_text(i64 done, i64 all, const char* what) {
  return done == all && all > 1
             ? fmt::format("all {} are done", format_plural(all, what))
             : fmt::format("{} of {} {} done", done, format_plural(all, what), all == 1 ? "is" : "are");
}

void say_runs(const StudyRecords& study, Summary& out) {
  if (study.runs.empty() && !study.is_study) {
    out.done.emplace_back(study.has_fit ? "Laws were fitted to runs outside this folder."
                                        : "The folder has measurements of speed, but no training runs.");
    if (!study.fit.data.empty()) out.done.push_back("The data: " + joined(study.fit.data) + ".");
    return;
  }
  const RunCounts counts = run_counts(study);
  const i64 all = counts.runs + counts.trials, done = counts.runs_done + counts.trials_done;
  std::string text = count_text(counts.runs_done, counts.runs, "run");
  if (counts.trials > 0) text += ", " + count_text(counts.trials_done, counts.trials, "learning-rate trial");
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  out.done.push_back(done == all ? text + "." : text + ": this report is preliminary.");
  if (all == 1) {
    out.done.back() = done == 1 ? "The run is done." : "The run is not finished: this report is preliminary.";
  }
  if (all > 1) {
    say_names(out.done, "Unfinished: {}.", names_with(study, RunStatus::unfinished));
    say_names(out.done, "Not started: {}.", names_with(study, RunStatus::missing));
  }
  for (const RunRecords& run : study.runs) {
    if (run.status == RunStatus::broken) {
      out.done.push_back(fmt::format("The records of {} cannot be read; the run is left out of everything: {}",
                                     run.name, error_line(Error(run.problem))));
    }
  }
}

void say_sizes(const StudyRecords& study, const std::vector<const RunRecords*>& runs, Summary& out) {
  const std::vector<Configuration> points = configurations_of(runs);
  const Range total = range_of(runs, "parameters_total"), active = range_of(runs, "parameters_active");
  const Range tokens = range_of(runs, "tokens_total"), tpp = range_of(runs, "tpp");
  if (study.is_study && points.size() > 1) {
    std::string text = format_plural(std::ssize(points), "configuration");
    if (total.known()) text += fmt::format(" of {} parameters", range_text(total, format_count));
    if (active.known()) text += fmt::format(", {} of them active", range_text(active, format_count));
    out.done.push_back(text + ".");
  } else if (total.known()) {
    out.done.push_back(
        fmt::format("{} parameters{}.", range_text(total, format_count),
                    active.known() ? fmt::format(", {} of them active", range_text(active, format_count)) : ""));
  }
  if (tokens.known()) {
    out.done.push_back(
        fmt::format("{} training tokens per model{}.", range_text(tokens, format_count),
                    tpp.known() ? fmt::format(", {} per total parameter (TPP)", range_text(tpp, three_digits)) : ""));
  }
  double seconds = 0;
  for (const RunRecords& run : study.runs) seconds += std::isfinite(run.seconds) ? run.seconds : 0;
  const std::string cpu = study.machine.get_string("cpu", "");
  if (seconds > 0) {
    out.done.push_back(
        fmt::format("{} of training in total{}.", format_seconds(seconds), cpu.empty() ? "" : " on " + cpu));
  }
  if (study.wall_seconds > 0) {
    out.done.push_back(
        fmt::format("Over its whole time, training reached {:.1f} % of the roofline of its steps and {:.1f} % of the "
                    "machine's roof.",
                    100 * study.roofline_seconds / (study.wall_seconds + study.idle_seconds),
                    100 * study.roof_seconds / (study.wall_seconds + study.idle_seconds)));
  }
}

void say_seeds(const std::vector<Configuration>& points, Summary& out) {
  if (points.empty()) return;
  const i64 seeds = seeds_min(points);
  if (seeds == 1) {
    out.shows.emplace_back(
        "One seed per configuration: this report states no trend. Intervals cover the choice of test items only; "
        "another seed could change the order of the models.");
    out.shows_not.emplace_back(
        "Whether any difference would hold with another seed: that needs at least three seeds per configuration.");
  } else if (seeds < records::kSeedsForVerdict) {
    out.shows.push_back(fmt::format("Some configurations have only {} seeds: too few for a verdict, which needs {}.",
                                    seeds, records::kSeedsForVerdict));
  } else {
    out.done.push_back(fmt::format("At least {} seeds per configuration.", seeds));
  }
}

void say_verdicts(const StudyRecords& study, Summary& out) {
  const i64 count = std::ssize(study.study.get_array("hypotheses"));
  if (count == 0) return;
  const std::string command = fmt::format("'moebius fit {} --hypotheses' tests them", study.folder);
  if (!study.verdicts) {
    out.shows.push_back(
        fmt::format("{}: not tested yet; {}.", format_plural(count, "hypothesis", "hypotheses"), command));
    return;
  }
  i64 counts[3] = {0, 0, 0};
  for (const records::HypothesisVerdict& one : study.verdicts->hypotheses) ++counts[static_cast<int>(one.outcome)];
  out.shows.push_back(
      fmt::format("Hypotheses: {} supported, {} refuted, {} unresolved.", counts[0], counts[1], counts[2]));
  if (study.verdicts->runs_done != std::ssize(study.done_runs())) {
    out.shows_not.push_back(fmt::format("The verdicts on the hypotheses are based on {}, but {} are finished now ({}).",
                                        format_plural(study.verdicts->runs_done, "finished run"),
                                        study.done_runs().size(), command));
  }
}

struct Seeds {
  std::vector<double> values, errors;
};

Seeds seeds_of(const Configuration& point, const std::string& path) {
  Seeds seeds;
  for (const RunRecords* run : point.runs) {
    const Measured measure = metric_of(*run, path);
    if (!std::isfinite(measure.value)) continue;
    seeds.values.push_back(measure.value);
    seeds.errors.push_back(measure.se);
  }
  return seeds;
}

// Differences of configurations' means (b - a), with seeds and held-out documents paired.
class SeedDifferences {
 public:
  SeedDifferences(const std::vector<std::pair<const Configuration*, Seeds>>& points, const std::string& path) {
    std::vector<const RunRecords*> runs;
    std::vector<std::size_t> configuration;
    for (const auto& [point, seeds] : points) {
      numbers_.emplace_back();
      for (const RunRecords* run : point->runs) {
        if (!std::isfinite(metric_of(*run, path).value)) continue;
        numbers_.back().push_back(run->number("seed"));
        runs.push_back(run);
        configuration.push_back(values_.size());
      }
      values_.push_back(seeds.values);
      errors_.push_back(seeds.errors);
    }
    const records::Measure* measure = records::measure_at(*runs.front(), path);
    const bool documents = measure != nullptr && measure->unit == records::Unit::bits_per_byte;
    if (documents) paired_.emplace(runs, configuration, std::vector{path});
  }

  Interval operator()(std::size_t a, std::size_t b) const {
    std::vector<double> weights(values_.size()), of_runs;
    weights[a] = -1;
    weights[b] = 1;
    for (std::size_t g = 0; g < values_.size(); ++g) {
      of_runs.insert(of_runs.end(), values_[g].size(), weights[g] / static_cast<double>(values_[g].size()));
    }
    const double paired = paired_ ? paired_->standard_error(of_runs) : kUnknown;
    return linear_estimate(weights, values_, std::isfinite(paired) ? paired : unpaired_item_se(weights, errors_),
                           numbers_)
        .interval();
  }

 private:
  std::vector<std::vector<double>> values_, errors_, numbers_;  // numbers of the seeds
  std::optional<records::PairedItems> paired_;  // items are not: reading them for every score takes too long
};

void spread_add(const std::vector<Configuration>& points, const std::string& path, bool higher_is_better,
                const std::string& name, Summary& out) {
  std::vector<std::pair<const Configuration*, Seeds>> known;
  for (const Configuration& point : points) {
    Seeds seeds = seeds_of(point, path);
    if (!seeds.values.empty()) known.emplace_back(&point, std::move(seeds));
  }
  if (known.size() < 2) return;
  std::vector<std::size_t> order =
      order_by(known.size(), [&](std::size_t i) { return mean_of(known[i].second.values); });
  if (!higher_is_better) std::ranges::reverse(order);
  const std::size_t worst = order.front(), best = order.back();
  const auto text = [&](std::size_t i) {
    return fmt::format("{} ({})", known[i].first->model, number_text(mean_of(known[i].second.values)));
  };
  Spread spread{.measure = name, .best = text(best), .worst = text(worst), .difference = {}};
  const SeedDifferences difference(known, path);
  spread.difference = difference(worst, best);
  for (std::size_t i = 0; i < known.size(); ++i) {
    for (std::size_t j = i + 1; j < known.size(); ++j) {
      const Interval gap = difference(i, j);
      ++spread.pairs;
      spread.pairs_unknown += gap.known() ? 0 : 1;
      spread.pairs_within_noise += gap.known() && gap.low <= 0 && gap.high >= 0 ? 1 : 0;
    }
  }
  out.spreads.push_back(std::move(spread));
}

void say_spreads(const StudyRecords& study, const std::vector<Configuration>& points, Summary& out) {
  if (points.size() < 2) return;
  spread_add(points, "train.loss_final", false, "training loss, nats per token", out);
  for (const TaskPart& part : loss_parts(study)) {
    spread_add(points, part.path(part.with_unit(records::Unit::bits_per_byte)), false,
               fmt::format("held-out {}, bits per byte", part.part), out);
  }
  for (const TaskPart& part : task_parts(study)) {
    if (part.part != "all") continue;
    const auto add = [&](const std::string& key, bool higher_is_better) {
      spread_add(points, part.path(key), higher_is_better, metric_label(part.path(key)), out);
    };
    if (!part.loss().empty()) add(part.loss(), false);
    if (!part.score().empty()) add(part.score(), true);
  }
  i64 pairs = 0, noise = 0;
  std::vector<std::string> extremes;
  for (const Spread& spread : out.spreads) {
    pairs += spread.pairs - spread.pairs_unknown;
    noise += spread.pairs_within_noise;
    if (spread.difference.known() && spread.difference.low <= 0 && spread.difference.high >= 0)
      extremes.push_back(spread.measure);
  }
  if (pairs > 0) {
    out.shows.push_back(fmt::format(
        "In {} of {} comparisons of two configurations in one measure, the difference is within noise (its 95 % interval "
        "includes zero{}). This is not corrected for multiple testing: about {} differences would be outside noise even "
        "if all configurations were equal.",
        noise, pairs, seeds_min(points) == 1 ? " and covers the choice of items only, not the seed" : "",
        static_cast<i64>(std::lround(0.05 * static_cast<double>(pairs)))));
  }
  say_names(out.shows_not, "Any ranking by {}: even the best and the worst configuration differ by less than noise.",
            extremes);
}

// The best configuration at a part, by its distance from chance.
OffChance best_of(const std::vector<const RunRecords*>& runs, const TaskPart& part, const std::string& score) {
  OffChance best{.task = part.name, .part = part.part, .score = score, .model = ""};
  for (const RunRecords* run : runs) {
    const std::string path = fmt::format("eval.{}.{}.", part.name, part.part);
    const Measured value = metric_of(*run, path + score), chance = records::chance_of(*run, path);
    if (!value.known() || !chance.known() || !(value.se > 0)) continue;
    OffChance here = best;
    here.model = run->name;
    here.value = value.value;
    here.se = value.se;
    here.chance = chance.value;
    if (best.model.empty() || here.distance() > best.distance()) best = here;
  }
  return best;
}

void say_chance(const StudyRecords& study, const std::vector<const RunRecords*>& runs, Summary& out) {
  const std::vector<TaskPart> parts = task_parts(study);
  std::vector<std::string> flat;
  for (const TaskPart& whole : parts) {
    if (whole.part != "all") continue;
    const std::string score = whole.score();
    if (score.empty()) continue;
    const OffChance best = best_of(runs, whole, score);
    if (best.model.empty()) continue;
    out.off_chance.push_back(best);
    const std::string what = metric_label(whole.path(score));
    if (records::above_chance(best.value, best.se, best.chance)) {
      out.shows.push_back(fmt::format("{}: at most {} ({}); guessing reaches {:.3g}.", what,
                                      measure_text({best.value, best.se}), best.model, best.chance));
      continue;
    }
    std::vector<std::string> grades;
    for (const TaskPart& part : parts) {
      if (part.name != whole.name || part.part == "all") continue;
      if (best_of(runs, part, score).distance() >= kClearlyOffChance) grades.push_back(part.part);
    }
    if (grades.empty()) {
      flat.push_back(what);
    } else {
      out.shows.push_back(fmt::format("{}: overall within {:g} standard errors of guessing, but above it at grade {}.",
                                      what, records::kChanceErrors, joined(grades)));
    }
  }
  say_names(
      out.shows_not,
      "Anything about {}: no run is three standard errors above guessing, so these scores cannot tell models apart "
      "(their task losses still may).",
      flat);
}

void say_loads(const std::vector<const RunRecords*>& runs, Summary& out) {
  std::vector<std::string> dead, uneven;
  for (const RunRecords* run : runs) {
    const double count = metric_of(*run, "load.dead_experts").value, load = metric_of(*run, "load.max_over_mean").value;
    if (count > 0) dead.push_back(fmt::format("{} ({:g})", run->name, count));
    if (load >= 4) uneven.push_back(fmt::format("{} ({:.1f})", run->name, load));
  }
  say_names(out.shows_not,
            "How these models would perform without dead experts. Models with dead experts, and their number over all "
            "layers: {}.",
            dead);
  say_names(out.shows_not,
            "How balanced routing would perform: the busiest expert has at least four times the mean load in {}.",
            uneven);
}

void say_limits(const StudyRecords& study, const std::vector<const RunRecords*>& runs, Summary& out) {
  std::vector<std::string> infinite;
  for (const RunRecords* run : runs) {
    if (run->status == RunStatus::done && !metric_of(*run, "train.loss_final").known()) infinite.push_back(run->name);
  }
  say_names(out.shows_not, "Anything about {}: training did not end with a finite loss.", infinite);
  const Range total = range_of(runs, "parameters_total"), tokens = range_of(runs, "tokens_total"),
              tpp = range_of(runs, "tpp");
  if (total.known() && tokens.known()) {
    out.shows_not.push_back(
        fmt::format("How larger models or longer training would perform: the largest model here has {} parameters, the "
                    "longest training run {} tokens.",
                    format_count(total.high), format_count(tokens.high)));
  }
  if (tokens.known() && tokens.low < 0.99 * tokens.high) {
    out.shows_not.emplace_back("A comparison at equal tokens: the runs were trained on different numbers of tokens.");
  }
  if (study.is_study && tpp.known() && configurations_of(runs).size() > 1 && (tpp.low > 10 || tpp.high < 40)) {
    out.shows_not.push_back(fmt::format(
        "Anything about a turning point near 20 tokens per parameter: TPP is {} here, too narrow a range around 20.",
        range_text(tpp, three_digits)));
  }
  const Range rates = range_of(runs, "learning_rate"), widths = range_of(runs, "config.d_model");
  if (study.sweep_runs().empty() && study.study.get_string("learning_rate_rule", "").empty() &&
      configurations_of(runs).size() > 1) {
    out.shows_not.push_back(fmt::format(
        "How each model would perform at its own best learning rate: there was no sweep, and no rule is given{}.",
        rates.known() && rates.low == rates.high && widths.low != widths.high
            ? "; all widths use one rate, which favours some of them"
            : ""));
  }
}

void say_data(const StudyRecords& study, Summary& out) {
  std::vector<std::string> repeated;
  for (const Json& source : study.study.get_array("data")) {
    const double passes = source.get_double("tokens_seen", 0) / source.get_double("tokens_unique", kUnknown);
    if (passes > 1.5) repeated.push_back(fmt::format("{} ({:.1f} times)", source.get_string("source", "?"), passes));
  }
  say_names(out.shows_not, "The effect of repeated data: some sources were seen more than 1.5 times: {}.", repeated);
  if (study.runs_left_out > 0) {
    const std::string runs = format_plural(study.runs_left_out, "run that was", "runs that were");
    out.shows_not.push_back(fmt::format("The results of the {} left out to stay within the time limit.", runs));
  }
  for (const Json& evaluation : study.study.get_array("evaluations")) {
    const std::string note = evaluation.get_string("note", "");
    if (!note.empty()) out.shows_not.push_back(fmt::format("{}: {}", evaluation.get_string("name", "?"), note));
  }
  for (const Json& note : study.study.get_array("notes")) out.shows_not.push_back(note.as_string());
}

}  // namespace

RunCounts run_counts(const StudyRecords& study) {
  RunCounts counts;
  for (const RunRecords& run : study.runs) {
    const bool trial = run.role == records::RunRole::sweep, done = run.status == RunStatus::done;
    ++(trial ? counts.trials : counts.runs);
    if (done) ++(trial ? counts.trials_done : counts.runs_done);
  }
  return counts;
}

Summary summary_build(const StudyRecords& study) {
  Summary out;
  const std::vector<const RunRecords*> runs = study.main_runs(), finished = study.done_runs();
  const std::vector<Configuration> points = configurations_of(finished);
  say_runs(study, out);
  say_sizes(study, runs, out);
  if (study.is_study) say_seeds(points, out);
  say_verdicts(study, out);
  if (!study.steps.empty()) out.shows.push_back(step_summary(study.steps.back()));
  if (!study.grids.empty()) out.shows.push_back(grid_summary(study.grids.back()));
  if (!study.operations.empty()) out.shows.push_back(operations_summary(study.operations));
  if (const std::string laws = study.has_fit ? fit_summary(study.fit) : ""; !laws.empty()) out.shows.push_back(laws);
  say_chance(study, finished.empty() ? runs : finished, out);
  if (study.is_study) say_spreads(study, points, out);
  say_loads(runs, out);
  say_limits(study, runs, out);
  say_data(study, out);
  if (out.shows.empty()) {
    const bool evaluated = std::ranges::any_of(runs, [](const RunRecords* run) { return !run->evals.empty(); });
    out.shows.emplace_back(evaluated ? "Nothing beyond the numbers in the tables."
                                     : "Nothing yet: no evaluation has been recorded.");
  }
  return out;
}

std::string number_text(double value) {
  if (!std::isfinite(value)) return "-";
  if (value == 0) return "0";
  const double magnitude = std::fabs(value);
  if (magnitude >= 1e15 || magnitude < 1e-3) return fmt::format("{:.2e}", value);
  if (magnitude >= 1e5) return format_count(value);
  const int digits = std::clamp(3 - static_cast<int>(std::floor(std::log10(magnitude))), 0, 5);
  return fmt::format("{:.{}f}", value, digits);
}

std::string interval_text(const Interval& interval) {
  if (!std::isfinite(interval.estimate)) return "-";
  if (!interval.known()) return number_text(interval.estimate) + " (no interval)";
  return fmt::format("{} [{}, {}]", number_text(interval.estimate), number_text(interval.low),
                     number_text(interval.high));
}

std::string measure_text(const Measured& measure) {
  if (!measure.known()) return "-";
  if (!std::isfinite(measure.se)) return number_text(measure.value);
  // As many decimals as two digits of the standard error need.
  const int digits = measure.se > 0 ? std::clamp(1 - static_cast<int>(std::floor(std::log10(measure.se))), 0, 5) : 3;
  return fmt::format("{:.{}f} \u00b1 {:.{}f}", measure.value, digits, measure.se, digits);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace moebius::report
