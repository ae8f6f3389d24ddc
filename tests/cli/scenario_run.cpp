// Runs one scenario file (tests/cli/README.md says how they are written) and says which expectation failed.
// In: the file, the folder of the program, the project's folder, a scratch folder. Out: exit code 0, 1 (an expectation
// failed) or 2 (the file itself is wrong). Not a shell: commands are passed to sh unchanged.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Command {
  std::string text;
  int line = 0;
  std::vector<std::pair<int, std::string>> expected;  // line, text
};

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

std::string file_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

[[noreturn]] void scenario_wrong(const std::string& path, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", path.c_str(), line, what.c_str());
  std::exit(2);
}

std::vector<Command> scenario_read(const std::string& path) {
  std::ifstream in(path);
  if (!in) scenario_wrong(path, 0, "cannot be read");
  std::vector<Command> commands;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    if (line.rfind("$ ", 0) == 0) {
      commands.push_back({line.substr(2), number, {}});
    } else if (line.rfind("> ", 0) == 0 && !commands.empty() && commands.back().expected.empty()) {
      commands.back().text += "\n" + line.substr(2);
    } else if (commands.empty()) {
      scenario_wrong(path, number, "a line before the first command");
    } else {
      commands.back().expected.emplace_back(number, line);
    }
  }
  if (commands.empty()) scenario_wrong(path, number, "no command");
  return commands;
}

Outcome command_run(const std::string& text, const fs::path& scratch) {
  const fs::path out = scratch / "stdout.txt";
  const fs::path err = scratch / "stderr.txt";
  const fs::path script = scratch / "command.sh";
  std::ofstream(script) << text << "\n";
  // The command runs in scratch/here, so that its own files do not meet these three.
  const std::string line = "cd '" + (scratch / "here").string() + "' && sh '" + script.string() + "' >'" +
                           out.string() + "' 2>'" + err.string() + "' </dev/null";
  const int status = std::system(line.c_str());
  Outcome outcome;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = file_text(out);
  outcome.err = file_text(err);
  return outcome;
}

// The rest of `line` after `start`, if it begins so.
bool begins(const std::string& line, const std::string& start, std::string* rest) {
  if (line.rfind(start, 0) != 0) return false;
  *rest = line.substr(start.size());
  return true;
}

long lines_of(const std::string& text) {
  long count = 0;
  for (const char c : text) count += c == '\n';
  return count + (!text.empty() && text.back() != '\n');
}

std::size_t columns_of(const std::string& text) {
  std::size_t widest = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) widest = std::max(widest, line.size());
  return widest;
}

bool some_line_matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (std::regex_search(line, regex)) return true;
  }
  return false;
}

// Does the expectation about standard output or error (`stream`: its name, then a space) hold? -1: it is none.
int stream_holds(const std::string& line, const std::string& stream, const std::string& text) {
  std::string rest;
  if (line == stream + "empty") return text.empty() ? 1 : 0;
  if (begins(line, stream + "has ", &rest)) return text.find(rest) != std::string::npos ? 1 : 0;
  if (begins(line, stream + "lacks ", &rest)) return text.find(rest) == std::string::npos ? 1 : 0;
  if (begins(line, stream + "match ", &rest)) return some_line_matches(text, rest) ? 1 : 0;
  if (begins(line, stream + "lines ", &rest)) return lines_of(text) <= std::atol(rest.c_str()) ? 1 : 0;
  if (begins(line, stream + "columns ", &rest))
    return columns_of(text) <= std::strtoul(rest.c_str(), nullptr, 10) ? 1 : 0;
  return -1;
}

// The same for expectations about files. -1: it is none.
int file_holds(const std::string& line, const fs::path& here) {
  std::istringstream in(line);
  std::string first, path, word;
  in >> first;
  if (first == "no" && in >> word >> path && word == "file") return fs::exists(here / path) ? 0 : 1;
  if (first == "same" && in >> path >> word) {
    return fs::exists(here / path) && fs::exists(here / word) && file_text(here / path) == file_text(here / word) ? 1
                                                                                                                  : 0;
  }
  if (first != "file" || !(in >> path)) return -1;
  if (!fs::exists(here / path)) return 0;
  if (!(in >> word)) return 1;
  if (word != "has") return -1;
  std::string text;
  std::getline(in >> std::ws, text);
  return file_text(here / path).find(text) != std::string::npos ? 1 : 0;
}

// How many expectations of one command failed.
int command_check(const std::string& path, const Command& command, const fs::path& scratch) {
  const Outcome outcome = command_run(command.text, scratch);
  int failures = 0;
  int exit_wanted = 0;
  const auto fail = [&](int line, const std::string& what) {
    ++failures;
    std::fprintf(stderr, "%s:%d: %s\n", path.c_str(), line, what.c_str());
  };
  for (const auto& [number, line] : command.expected) {
    std::string rest;
    if (begins(line, "exit ", &rest)) {
      exit_wanted = std::atoi(rest.c_str());
      continue;
    }
    int holds = stream_holds(line, "stdout ", outcome.out);
    if (holds < 0) holds = stream_holds(line, "stderr ", outcome.err);
    if (holds < 0) holds = file_holds(line, scratch / "here");
    if (holds < 0) scenario_wrong(path, number, "not understood: " + line);
    if (holds == 0) fail(number, "does not hold: " + line);
  }
  if (outcome.exit_code != exit_wanted) {
    fail(command.line, "exit code " + std::to_string(outcome.exit_code) + ", wanted " + std::to_string(exit_wanted));
  }
  if (failures > 0) {
    std::fprintf(stderr, "$ %s\n--- standard output\n%s\n--- standard error\n%s\n", command.text.c_str(),
                 outcome.out.substr(0, 6000).c_str(), outcome.err.substr(0, 6000).c_str());
  }
  return failures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: scenario_run FILE PROGRAM_FOLDER SOURCE_FOLDER SCRATCH_FOLDER\n");
    return 2;
  }
  const fs::path scratch = argv[4];
  fs::remove_all(scratch);
  fs::create_directories(scratch / "here");
  const char* path = std::getenv("PATH");
  setenv("PATH", (std::string(argv[2]) + ":" + (path == nullptr ? "/usr/bin:/bin" : path)).c_str(), 1);
  setenv("SOURCE", argv[3], 1);
  int failures = 0;
  for (const Command& command : scenario_read(argv[1])) failures += command_check(argv[1], command, scratch);
  if (failures == 0) fs::remove_all(scratch);
  return failures == 0 ? 0 : 1;
}
