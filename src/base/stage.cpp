// Words to options by CLI11 (the only file that includes it), and the help texts.
#include "base/stage.h"

#include <fmt/format.h>

#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/parallel.h"

namespace moebius {

namespace {

std::string default_text(const Option& option) {
  const auto text = [&](const auto& field) -> std::string {
    if constexpr (std::is_same_v<decltype(field), const EnumField&>) {
      return option.notes.choices.at(field.get(field.field));
    } else if constexpr (std::is_same_v<decltype(*field), bool&>) {
      return "";  // a flag
    } else if constexpr (requires { field->begin(); } && !std::is_same_v<decltype(*field), std::string&>) {
      return fmt::format("{}", fmt::join(*field, ","));
    } else {
      return fmt::format("{}", *field);
    }
  };
  return std::visit(text, option.target);
}

bool is_list(const Option& option) {
  return std::holds_alternative<std::vector<std::string>*>(option.target) ||
         std::holds_alternative<std::vector<i64>*>(option.target) ||
         std::holds_alternative<std::vector<double>*>(option.target);
}

void print_option(const Option& option) {
  std::string left = "--" + option.key;
  if (!std::holds_alternative<bool*>(option.target)) left += option.notes.unit.empty() ? " X" : " " + option.notes.unit;
  std::string text = option.help;
  if (!option.notes.choices.empty()) text += fmt::format(" ({})", fmt::join(option.notes.choices, ", "));
  const std::string standard = default_text(option);
  if (!standard.empty()) text += fmt::format(" [{}]", standard);
  fmt::print("  {:<28} {}\n", left, text);
}

void print_help(const StageHelp& help, const OptionList& options, const OptionList& common) {
  fmt::print("moebius {}: {}\n\nusage: {}\n", help.name, help.summary, help.usage);
  if (!help.reads.empty()) fmt::print("\nreads:  {}\n", help.reads);
  if (!help.writes.empty()) fmt::print("writes: {}\n", help.writes);
  if (!options.options().empty()) fmt::print("\noptions (the same names in a TOML file given by --config):\n");
  for (const Option& option : options.options()) print_option(option);
  fmt::print("\noptions of every stage:\n");
  for (const Option& option : common.options()) print_option(option);
  if (!help.json_keys.empty()) fmt::print("\n--json prints: {}\n", help.json_keys);
  if (!help.examples.empty()) fmt::print("\nexamples:\n{}\n", help.examples);
}

// A cell of a Markdown table: bars would end it.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string range_text(const OptionNotes& notes) {
  if (!notes.choices.empty()) return fmt::format("{}", fmt::join(notes.choices, ", "));
  const bool from = notes.min > -1e300;
  const bool to = notes.max < 1e300;
  if (from && to) return fmt::format("{} to {}", notes.min, notes.max);
  if (from) return fmt::format("{} or more", notes.min);
  return to ? fmt::format("{} or less", notes.max) : "";
}

void print_options_table(const OptionList& options) {
  fmt::print("| key | default | unit | range | description |\n|---|---|---|---|---|\n");
  for (const Option& option : options.options()) {
    const bool flag = std::holds_alternative<bool*>(option.target);
    const std::string standard = flag ? (*std::get<bool*>(option.target) ? "true" : "false") : default_text(option);
    fmt::print("| `{}` | {} | {} | {} | {} |\n", option.key, cell(standard), cell(option.notes.unit),
               cell(range_text(option.notes)), cell(option.help));
  }
  fmt::print("\n");
}

// One stage's part of docs/options.md.
void print_options_page(const StageHelp& help, const OptionList& options) {
  fmt::print("## {}\n\n`{}`\n\n{}\n\n", help.name, help.usage, help.summary);
  if (!options.options().empty()) print_options_table(options);
}

void describe_common(StageCommon& common, OptionList& list) {
  list.add("json", &common.json, "print the result as one JSON object on standard output");
  list.add("dry-run", &common.dry_run, "print the resolved options and derived numbers, then exit");
  list.add("threads", &common.threads, "threads; 0: one per core", {.unit = "N", .min = 0, .max = 1024});
  list.add("isa", &common.isa, "instruction set of the kernels",
           {.choices = {"auto", "portable", "avx2", "avx512", "amx"}});
  list.add("config", &common.config, "TOML file with options of this stage; flags take precedence", {.unit = "FILE"});
  list.add("log", &common.log, "lowest level of messages to print", {.choices = {"debug", "info", "warning", "error"}});
}

// A flag's text as CLI11 found it.
struct Given {
  const Option* option;
  bool common;
  CLI::Option* flag;
  std::vector<std::string> texts;
};

[[noreturn]] void unknown_word(const std::string& word, const OptionList& options, const OptionList& common,
                               const StageHelp& help) {
  std::vector<std::string> known;
  for (const Option& option : options.options()) known.push_back("--" + option.key);
  for (const Option& option : common.options()) known.push_back("--" + option.key);
  throw Error(
      {.where = "moebius " + help.name,
       .what = fmt::format("{} '{}'", word[0] == '-' ? "unknown option" : "unexpected argument", word),
       .fix = nearest_advice(word.substr(0, word.find('=')), known, fmt::format("see moebius {} --help", help.name))});
}

}  // namespace

StageCommon stage_parse(const StageHelp& help, OptionList& options, const std::vector<std::string>& words,
                        std::vector<std::string>* positional, i64 positional_max) {
  StageCommon common;
  OptionList common_list;
  describe_common(common, common_list);
  for (const std::string& word : words) {
    if (word == "--help" || word == "-h") {
      print_help(help, options, common_list);
      throw StageExit{0};
    }
    if (word == kOptionsPage) {
      print_options_page(help, options);
      throw StageExit{0};
    }
  }
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::vector<Given> given;
  given.reserve(options.options().size() + common_list.options().size());
  const auto declare = [&](const OptionList& list, bool is_common) {
    for (const Option& option : list.options()) {
      given.push_back({&option, is_common, nullptr, {}});
      Given& entry = given.back();
      entry.flag = app.add_option("--" + option.key, entry.texts);
      entry.flag->expected(std::holds_alternative<bool*>(option.target) ? 0 : 1, 1);
      entry.flag->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
  };
  declare(options, false);
  declare(common_list, true);
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    throw Error(
        {.where = "moebius " + help.name, .what = e.what(), .fix = fmt::format("see moebius {} --help", help.name)});
  }
  const std::string where = "command line";
  for (const Given& entry : given) {
    if (entry.flag->count() == 0 || entry.option->key != "config") continue;
    if (!entry.common) continue;
    const std::string path = entry.texts.front();
    options.set_from_json(toml_parse_file(path), path);
  }
  for (const Given& entry : given) {
    if (entry.flag->count() == 0) continue;
    if (entry.texts.size() > 1 && !is_list(*entry.option)) {
      throw Error({.where = where, .what = fmt::format("--{} is given twice", entry.option->key)});
    }
    const std::string text = fmt::format("{}", fmt::join(entry.texts, ","));  // lists: repeated or with commas
    (entry.common ? common_list : options).set_from_text(entry.option->key, text, where);
  }
  for (const std::string& word : app.remaining()) {
    const bool is_flag = word.size() > 1 && word[0] == '-';
    if (is_flag || positional == nullptr || static_cast<i64>(positional->size()) >= positional_max) {
      unknown_word(word, options, common_list, help);
    }
    positional->push_back(word);
  }
  log_set_level(log_level_of(common.log));
  parallel_set_threads(static_cast<int>(common.threads));
  return common;
}

namespace {

// A result that could not be written must not look like success.
void flush_output() {
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  if (failed) throw_system_error("standard output", "writing", errno);
}

// Were 0, 1 or 2 closed, the next file opened would get that number, and text for the user would go into it.
void open_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) return;
  }
}

}  // namespace

void stage_print(const StageCommon& common, const Json& result, const std::string& text) {
  const std::string out = common.json ? result.dump() + "\n" : text;
  std::fwrite(out.data(), 1, out.size(), stdout);
  flush_output();
}

void stage_options_page(const std::function<int(const std::vector<std::string>& words)>& run) {
  try {
    run({kOptionsPage});
  } catch (const StageExit&) {
    // stage_parse has printed the page and leaves so.
  }
}

namespace {

void print_stages(const std::vector<Stage>& stages) {
  fmt::print(
      "moebius: plan, train, evaluate and compare Mixture-of-Experts language models on CPUs\n\n"
      "usage: moebius STAGE [arguments] [--options]\n\nstages, in the order in which data flows:\n");
  for (const Stage& stage : stages) fmt::print("  {:<8} {}\n", stage.name, stage.summary);
  fmt::print(
      "\nget started:       moebius study quick\n"
      "help of a stage:   moebius STAGE --help\n"
      "for scripts:       every stage takes --json; results go to standard output, everything else to standard error\n");
}

void print_all_options(const std::vector<Stage>& stages) {
  fmt::print(
      "# Options\n\nGenerated by `moebius {}`; a test compares it with the program. A key is the flag `--key`, and the same key\n"
      "in the TOML file given by `--config` (with hyphens or underscores). Flags override the file, which overrides the\n"
      "default. Counts may be written as 4096, 2M or 1e6.\n\n",
      kOptionsPage);
  for (const Stage& stage : stages) stage_options_page(stage.run);
  StageCommon common;
  OptionList list;
  describe_common(common, list);
  fmt::print("## every stage\n\n");
  print_options_table(list);
}

// Not fmt::print: it throws when standard error cannot be written (a log file on a full disk).
void error_print(const char* text) { std::fputs(fmt::format("error: {}\n", text).c_str(), stderr); }

int run_stage(const std::vector<Stage>& stages, const std::vector<std::string>& words) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print_stages(stages);
    return words.empty() ? 2 : 0;
  }
  if (words[0] == kOptionsPage) {
    print_all_options(stages);
    return 0;
  }
  if (words[0] == "--version") {
    fmt::print("moebius 0.1.0\n");
    return 0;
  }
  std::vector<std::string> names;
  for (const Stage& stage : stages) {
    if (words[0] == stage.name) return stage.run({words.begin() + 1, words.end()});
    names.push_back(stage.name);
  }
  throw Error({.where = "moebius",
               .what = fmt::format("unknown stage '{}'", words[0]),
               .fix = nearest_advice(words[0], names, "see moebius --help")});
}

}  // namespace

int stage_main(const std::vector<Stage>& stages, int argc, char** argv) {
  open_standard_streams();
  interrupt_install();
  try {
    const int code = run_stage(stages, {argv + 1, argv + argc});
    flush_output();
    return code;
  } catch (const StageExit& exit) {
    return exit.code;
  } catch (const Error& e) {
    error_print(e.what());
    return interrupt_requested() ? 130 : 1;
  } catch (const std::system_error& e) {  // fmt::print, when standard output cannot be written
    error_print(e.what());
  } catch (const std::bad_alloc&) {
    error_print(
        "out of memory\n  to do:  use a smaller model, micro-batch or sequence; everything saved before is intact");
  }
  return 1;
}

}  // namespace moebius
