// A stage is a sub-command: `moebius NAME [words] [--options]`. This is what every stage shares: help that names the
// files in and out, the options that all stages take, the TOML file, --json and --dry-run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/options.h"

namespace moebius {

struct StageHelp {
  std::string name;       // "train"
  std::string summary;    // one line
  std::string usage;      // "moebius train --data FOLDER --out FOLDER [options]"
  std::string reads;      // files in
  std::string writes;     // files out
  std::string json_keys;  // what --json prints, key by key
  std::string examples;
};

// The options that every stage takes.
struct StageCommon {
  bool json = false;         // the result as one JSON object on standard output
  bool dry_run = false;      // print the resolved options and derived numbers, then exit
  i64 threads = 0;           // 0: one for each core
  std::string isa = "auto";  // instruction set for the kernels
  std::string config;        // TOML file with the stage's options
  std::string log = "info";  // debug, info, warning, error
};

// Thrown by stage_parse after --help was printed; main returns `code`.
struct StageExit {
  int code;
};

// Reads `words` (all after the stage's name): sets `options` and the common ones, returns the latter; words that are
// not options go to `positional`, at most `positional_max` words. Applies --threads and --log.
StageCommon stage_parse(const StageHelp& help, OptionList& options, const std::vector<std::string>& words,
                        std::vector<std::string>* positional, i64 positional_max);

// Standard output: with --json the object on one line, else the text as it is.
void stage_print(const StageCommon& common, const Json& result, const std::string& text);

// The hidden word that makes a stage print its part of docs/options.md; stage_parse answers it. A stage whose first
// word is an action lets each action answer by stage_options_page.
inline constexpr const char* kOptionsPage = "--options-markdown";
void stage_options_page(const std::function<int(const std::vector<std::string>& words)>& run);

// One row of main's table.
struct Stage {
  const char* name;
  const char* summary;
  int (*run)(const std::vector<std::string>& words);
};

// main's body: picks the stage, catches Error, prints help. Returns the exit code: 0, 1 (error), 2 (invalid arguments),
// 130 (interrupted).
int stage_main(const std::vector<Stage>& stages, int argc, char** argv);

}  // namespace moebius
