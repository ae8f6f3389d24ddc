// Runs out of CSV files, what laws need of them, and runs as CSV. Study folders: runs_study.cpp.
#include "fit/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/options.h"
#include "base/statistics.h"
#include "base/units.h"
#include "fit/csv.h"

namespace moebius::fit {

namespace {

constexpr std::size_t kColumns = 10;

struct Column {
  const char* name;
  double LawPoint::*field;
  bool zero_allowed;
  bool whole;
  std::vector<const char*> also;  // other headers that are taken as this column
};

// `leverage` is the law's measured quantity like `loss`, so it lands in the same field.
// The last one is the measured quantity.
const std::vector<Column>& columns_known() {
  static const std::vector<Column> table = {
      {"parameters_total", &LawPoint::parameters_total, false, false, {"Model Size"}},
      {"parameters_active", &LawPoint::parameters_active, false, false, {}},
      {"tokens", &LawPoint::tokens, false, false, {}},
      {"flops", &LawPoint::flops, false, false, {"Training FLOP"}},
      {"experts", &LawPoint::experts, true, true, {}},
      {"top_k", &LawPoint::top_k, true, false, {}},
      {"experts_shared", &LawPoint::experts_shared, true, false, {}},
      {"granularity", &LawPoint::granularity, false, false, {}},
      {"parameters_embedding", &LawPoint::parameters_embedding, true, false, {}},
      {"loss", &LawPoint::loss, false, false, {"leverage"}},
  };
  return table;
}

std::vector<std::string> column_names() {
  std::vector<std::string> names;
  for (const Column& column : columns_known()) names.emplace_back(column.name);
  return names;
}

i64 header_find(const CsvTable& table, std::string_view name) {
  const auto found = std::ranges::find(table.header, name);
  return found == table.header.end() ? -1 : found - table.header.begin();
}

// The file's column for one of ours; -1 when it has none. A mapped one must be there.
i64 column_find(const CsvTable& table, const Column& column, const ColumnMap& map) {
  const auto mapped = map.find(column.name);
  if (mapped != map.end()) {
    const i64 at = header_find(table, mapped->second);
    if (at >= 0) return at;
    throw Error(
        {.where = fmt::format("{}, line 1", table.where),
         .what = fmt::format("column '{}' is missing (--column {}={})", mapped->second, column.name, mapped->second),
         .got = fmt::format("{}", fmt::join(table.header, ", ")),
         .fix = nearest_advice(mapped->second, table.header)});
  }
  i64 at = header_find(table, column.name);
  for (const char* name : column.also) {
    if (at < 0) at = header_find(table, name);
  }
  return at;
}

void number_check(double value, const Column& column, const std::string& where, const std::string& text) {
  if (std::isnan(value) && text.find_first_not_of(" \t") == std::string::npos) return;  // an empty field
  const bool whole = !column.whole || value == std::floor(value);
  const bool fine = std::isfinite(value) && whole && (value > 0 || (value == 0 && column.zero_allowed));
  if (fine) return;
  throw Error({.where = where,
               .what = fmt::format("{} is not {}", column.name,
                                   !std::isfinite(value) ? "finite"
                                   : !whole              ? "a whole number"
                                                         : "positive"),
               .wanted = column.whole          ? "a whole number of at least 0"
                         : column.zero_allowed ? "a finite number of at least 0"
                                               : "a finite number above 0",
               .got = text.substr(0, 60),
               .fix = "correct the line or remove it"});
}

void tokens_derive(Runs& runs, i64 first, const std::string& where) {
  i64 derived = 0;
  for (i64 i = first; i < runs.count(); ++i) {
    LawPoint& p = runs.points[static_cast<std::size_t>(i)];
    const double parameters = std::isnan(p.parameters_active) ? p.parameters_total : p.parameters_active;
    if (!std::isnan(p.tokens) || std::isnan(p.flops) || std::isnan(parameters)) continue;
    p.tokens = p.flops / (6 * parameters);
    ++derived;
  }
  if (derived > 0)
    runs.notes.push_back(fmt::format("{}: tokens = flops/(6 N) for {}", where, format_plural(derived, "run")));
}

}  // namespace

ColumnMap column_map(const std::vector<std::string>& texts) {
  ColumnMap map;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    const std::string ours = text.substr(0, equals);
    std::vector<std::string> names = column_names();
    names.emplace_back("leverage");
    if (equals == std::string::npos || equals + 1 == text.size() || std::ranges::find(names, ours) == names.end()) {
      throw Error({.where = "--column",
                   .what = fmt::format("'{}' is not a column mapping", text),
                   .wanted = fmt::format("OURS=THEIRS, OURS one of {}", fmt::join(names, ", "))});
    }
    if (!map.emplace(ours, text.substr(equals + 1)).second) {
      throw Error({.where = "--column", .what = fmt::format("'{}' is mapped twice", ours)});
    }
  }
  if (map.contains("loss") && map.contains("leverage")) {
    throw Error(
        {.where = "--column", .what = "both 'loss' and 'leverage' are mapped", .wanted = "one measured quantity"});
  }
  return map;
}

std::string Runs::where() const { return fmt::format("{}", fmt::join(sources, ", ")); }

bool Runs::has(std::string_view column) const {
  return std::ranges::any_of(points, [&](const LawPoint& p) { return !std::isnan(point_number(p, column)); });
}

void runs_add_csv_text(Runs& runs, std::string_view text, const std::string& where, const ColumnMap& map) {
  const CsvTable table = csv_parse(text, where);
  ColumnMap mapped = map;
  if (map.contains("leverage")) mapped["loss"] = map.at("leverage");
  const bool leverage = map.contains("leverage") || (!map.contains("loss") && header_find(table, "loss") < 0 &&
                                                     header_find(table, "leverage") >= 0);
  if (runs.count() > 0 && (runs.measures_leverage != leverage || (runs.measures_loss && leverage))) {
    throw Error({.where = where,
                 .what = "some data measure a loss and some the efficiency leverage",
                 .wanted = "one of the two"});
  }
  runs.measures_leverage = leverage;
  runs.has_csv = true;
  if (!leverage && !map.contains("loss") && header_find(table, "leverage") >= 0) {
    runs.notes.push_back(fmt::format(
        "{}: the column 'loss' was read and 'leverage' was not; use --column leverage=leverage to read it", where));
  }
  std::vector<i64> places;
  for (const Column& column : columns_known()) places.push_back(column_find(table, column, mapped));
  if (std::ranges::all_of(places, [](i64 at) { return at < 0; })) {
    throw Error(
        {.where = fmt::format("{}, line 1", where),
         .what = "the header has none of the known columns",
         .wanted = fmt::format("some of {}; separated by commas, semicolons or tabs", fmt::join(column_names(), ", ")),
         .got = fmt::format("{}", fmt::join(table.header, ", ")).substr(0, 200),
         .fix = "name your columns: --column loss=NAME --column tokens=NAME ..."});
  }
  const i64 run_at = header_find(table, "run"), name_at = run_at < 0 ? header_find(table, "name") : run_at;
  const i64 first = runs.count();
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    const std::vector<std::string>& fields = table.rows[row];
    LawPoint point;
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (places[i] < 0) continue;
      const std::string& field = fields[static_cast<std::size_t>(places[i])];
      const std::string at = fmt::format("{}, line {}, column '{}'", where, table.lines[row],
                                         table.header[static_cast<std::size_t>(places[i])]);
      const double value = csv_number(field, at);
      number_check(value, columns_known()[i], at, field);
      point.*columns_known()[i].field = value;
    }
    if (point.experts > 1 && !std::isnan(point.top_k) && !(point.top_k > 0 && point.top_k <= point.experts)) {
      throw Error({.where = fmt::format("{}, line {}", where, table.lines[row]),
                   .what = "top_k is not between 1 and the number of experts",
                   .wanted = fmt::format("above 0, at most {:g}", point.experts),
                   .got = fmt::format("{:g}", point.top_k)});
    }
    if (places.back() >= 0 && std::isnan(point.loss)) {
      throw Error({.where = fmt::format("{}, line {}", where, table.lines[row]),
                   .what = "the loss is missing",
                   .fix = "give the run's loss or remove the line"});
    }
    runs.points.push_back(point);
    runs.names.push_back(name_at >= 0 ? fields[static_cast<std::size_t>(name_at)]
                                      : fmt::format("line {}", table.lines[row]));
  }
  if (table.rows.empty()) {
    throw Error({.where = where, .what = "the file has a header but no runs", .wanted = "one line for each run"});
  }
  tokens_derive(runs, first, where);
}

namespace {

std::string csv_read(const std::string& path) {
  std::string text = file_read(path);
  static constexpr FileKind kUtf16 = {"text in UTF-16", "convert it: iconv -f utf-16le -t utf-8 FILE > NEW"};
  const FileKind* kind = file_kind(text);
  if (kind == nullptr && text.size() > 1 && text[0] != 0 && text[1] == 0) kind = &kUtf16;  // without byte order mark
  if (kind == nullptr) return text;
  const bool text_inside =
      kind->fix.starts_with("unpack") || kind->fix.starts_with("convert it: iconv") || kind->fix.starts_with("fetch");
  throw Error({.where = path,
               .what = fmt::format("the file is {}", kind->name),
               .wanted = "a CSV file with the columns of the runs",
               .fix = std::string(text_inside ? kind->fix : "save the table as CSV")});
}

}  // namespace

void runs_add(Runs& runs, const std::string& path, const ColumnMap& columns) {
  if (folder_exists(path)) {
    runs_add_study(runs, path, columns);
  } else {
    runs_add_csv_text(runs, csv_read(path), path, columns);
  }
  runs.sources.push_back(path);
}

void refuse_repeated(const std::vector<std::string>& paths) {
  for (std::size_t i = 0; i < paths.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      std::error_code unknown;  // a path that does not exist is refused when it is read
      if (paths[i] != paths[j] && !std::filesystem::equivalent(paths[i], paths[j], unknown)) continue;
      throw Error({.where = paths[i],
                   .what = paths[i] == paths[j] ? "the path is given twice"
                                                : fmt::format("the path is the same as {}", paths[j]),
                   .fix = "give each file or folder once"});
    }
  }
}

namespace {

// The fine-grained law's N is without embedding and head: they are taken off where all runs say how large they are.
void embedding_take_off(Runs& runs) {
  const auto known = [](const LawPoint& p) { return !std::isnan(p.parameters_embedding); };
  const i64 count = std::ranges::count_if(runs.points, known);
  const bool nothing = std::ranges::all_of(runs.points, [](const LawPoint& p) { return p.parameters_embedding == 0; });
  if (count == 0 || nothing) return;
  if (count < runs.count()) {
    runs.notes.push_back(fmt::format("only {} of {} runs {} parameters_embedding: N is unchanged", count, runs.count(),
                                     count == 1 ? "has" : "have"));
    return;
  }
  for (std::size_t i = 0; i < runs.points.size(); ++i) {
    LawPoint& p = runs.points[i];
    if (p.parameters_embedding >= p.parameters_total) {
      throw Error({.where = fmt::format("run '{}'", runs.names[i]),
                   .what = "parameters_embedding is not less than parameters_total",
                   .wanted = fmt::format("less than {:g}", p.parameters_total),
                   .got = fmt::format("{:g}", p.parameters_embedding)});
    }
    p.parameters_total -= p.parameters_embedding;
    p.parameters_embedding = 0;
  }
  runs.notes.push_back("N is parameters_total without parameters_embedding, as the law defines it");
}

// Where the leverage is yet to be derived, dense runs are what it is compared with, and have no granularity.
bool lacks(const Runs& runs, Law law, const LawPoint& p, const std::string& need) {
  if (law == Law::leverage && !runs.measures_leverage && p.experts <= 1 && need == "granularity") return false;
  return std::isnan(point_number(p, need));
}

}  // namespace

Runs runs_usable(const Runs& runs, Law law) {
  std::vector<i64> kept;
  std::set<std::array<double, kColumns>> seen;
  i64 dense = 0, repeated = 0;
  for (i64 i = 0; i < runs.count(); ++i) {
    const LawPoint& p = runs.points[static_cast<std::size_t>(i)];
    std::array<double, kColumns> numbers{};
    for (std::size_t c = 0; c < numbers.size(); ++c) {
      const double value = p.*columns_known()[c].field;
      numbers[c] = std::isnan(value) ? -1 : value;  // no known number is negative
    }
    if (!seen.insert(numbers).second) {
      ++repeated;
    } else if (law == Law::fine_grained && p.experts <= 1 && std::isnan(p.granularity)) {
      ++dense;
    } else {
      kept.push_back(i);
    }
  }
  if (kept.empty()) return runs;  // what is lacking is said by runs_for_law
  Runs usable = std::ssize(kept) == runs.count() ? runs : runs_subset(runs, kept);
  if (dense > 0) {
    usable.notes.push_back(format_plural(dense, "dense run was left out: it has no granularity",
                                         "dense runs were left out: they have no granularity"));
  }
  if (repeated > 0) {
    usable.notes.push_back(format_plural(repeated, "duplicate run was left out", "duplicate runs were left out"));
  }
  if (law == Law::fine_grained) embedding_take_off(usable);
  return usable;
}

std::string runs_lack(const Runs& all, Law law) {
  const Runs runs = runs_usable(all, law);
  std::vector<std::string> needs = law_needs(law);
  needs.emplace_back("loss");
  const auto lacking = std::ranges::find_if(needs, [&](const std::string& need) {
    return std::ranges::any_of(runs.points, [&](const LawPoint& p) { return lacks(runs, law, p, need); });
  });
  return lacking == needs.end() ? "" : *lacking;
}

std::vector<LawPoint> runs_for_law(const Runs& runs, Law law) {
  if (runs.measures_leverage && law != Law::leverage) {
    throw Error(
        {.where = runs.where(),
         .what = fmt::format("the data are efficiency leverages, and the law '{}' describes a loss", law_name(law)),
         .fix = "use --law leverage, or name the column of the loss: --column loss=NAME"});
  }
  const std::string lacking = runs_lack(runs, law);
  if (!lacking.empty()) {
    const bool none = !runs.has(lacking);
    std::string name = "?";
    for (std::size_t i = 0; i < runs.points.size() && name == "?"; ++i) {
      if (lacks(runs, law, runs.points[i], lacking)) name = runs.names[i];
    }
    throw Error({.where = runs.where(),
                 .what = none
                             ? fmt::format("column '{}' is missing; the law '{}' needs it", lacking, law_name(law))
                             : fmt::format("run '{}' has no '{}'; the law '{}' needs it", name, lacking, law_name(law)),
                 .wanted = fmt::format("{}, loss", fmt::join(law_needs(law), ", ")),
                 .fix = fmt::format("add it, or name the column that holds it: --column {}=NAME", lacking)});
  }
  if (law == Law::leverage && !runs.measures_leverage) {
    throw Error({.where = runs.where(),
                 .what = "the data are losses, and the law 'leverage' describes C_dense/C_moe at equal loss",
                 .fix = "derive it from dense runs (leverage_of_losses), or give a column leverage"});
  }
  return runs.points;
}

std::vector<i64> runs_without_highest_loss(const Runs& runs, i64 count) {
  const auto order = order_by(runs.points.size(), [&](std::size_t i) { return -runs.points[i].loss; });
  std::vector<i64> kept(order.begin() + std::min<std::ptrdiff_t>(count, std::ssize(order)), order.end());
  std::ranges::sort(kept);
  return kept;
}

Runs runs_subset(const Runs& runs, const std::vector<i64>& kept) {
  Runs subset = runs;
  subset.names.clear();
  subset.points.clear();
  for (const i64 i : kept) {
    const std::size_t at = static_cast<std::size_t>(i);
    subset.names.push_back(runs.names[at]);
    subset.points.push_back(runs.points[at]);
  }
  return subset;
}

double run_compute(const LawPoint& p) {
  if (!std::isnan(p.flops)) return p.flops;
  return 6 * (std::isnan(p.parameters_active) ? p.parameters_total : p.parameters_active) * p.tokens;
}

std::string runs_to_csv(const Runs& runs) {
  std::string text = "run";
  for (const Column& column : columns_known()) text += fmt::format(",{}", column.name);
  text += '\n';
  for (std::size_t i = 0; i < runs.points.size(); ++i) {
    text += csv_field(runs.names[i]);
    for (const Column& column : columns_known()) {
      const double value = runs.points[i].*column.field;
      text += std::isnan(value) ? "," : fmt::format(",{}", value);
    }
    text += '\n';
  }
  return text;
}

}  // namespace moebius::fit
