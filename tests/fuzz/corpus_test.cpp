// Runs a target on its committed corpus and on mutations of it, for builds without libFuzzer: corpus_test TARGET SECONDS.
// The mutations come from a fixed seed, so every run makes the same inputs; SECONDS only ends the sequence early. The
// input at work is kept in a file that survives a crash, and its path is printed first.
// Out: exit code 0, or 1 for a corpus that is missing; a finding ends the process by a signal or a sanitizer's exit.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/rng.h"
#include "targets.h"

namespace moebius::fuzz {
namespace {

constexpr std::size_t kInputMax = std::size_t{1} << 16;
constexpr int kMutationsMax = 200000;
constexpr unsigned kSecondsPerInput = 60;  // longer is a finding, too: SIGALRM ends the process

// A shared map: what is copied into it is in the file even when this process dies in the next instruction.
class LastInput {
 public:
  explicit LastInput(std::string path) : path_(std::move(path)) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
    require(fd_ >= 0 && ::ftruncate(fd_, kInputMax) == 0, "the file of the last input can be made");
    map_ = ::mmap(nullptr, kInputMax, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    require(map_ != MAP_FAILED, "the file of the last input can be mapped");
  }
  ~LastInput() {
    ::munmap(map_, kInputMax);
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  // The file always has the length of the input: a system call, cheap beside a parser.
  void keep(const std::string& input) {
    require(::ftruncate(fd_, static_cast<off_t>(input.size())) == 0, "the file of the last input can be cut");
    std::memcpy(map_, input.data(), input.size());
  }

 private:
  std::string path_;
  int fd_ = -1;
  void* map_ = nullptr;
};

const std::vector<std::string> kTokens = {"0",
                                          "-1",
                                          "1e999",
                                          "9223372036854775807",
                                          "18446744073709551616",
                                          "null",
                                          "true",
                                          "[]",
                                          "{}",
                                          "\"\"",
                                          "\\u0000",
                                          std::string(8, '\0'),
                                          std::string(8, '\xff'),
                                          std::string("\xff\xff\xff\x7f", 4),
                                          std::string("\x01\0\0\0", 4),
                                          "\xed\xa0\x80",
                                          "\xf4\x90\x80\x80",
                                          "\n",
                                          "[[[[[[[[[[[[[[[["};

// One to four edits: bytes, pieces, tokens that parsers stumble over, and pieces of other inputs of the corpus.
void mutate(Rng& rng, std::string& input, const std::vector<std::string>& corpus) {
  const auto below = [&](std::size_t bound) { return static_cast<std::size_t>(rng.next_below(bound)); };
  for (std::size_t i = 0, n = 1 + below(4); i < n; ++i) {
    const std::size_t at = below(input.size() + 1), left = input.size() - at;
    switch (below(8)) {
      case 0:
        if (left > 0) input[at] = static_cast<char>(below(256));
        break;
      case 1:
        if (left > 0) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 2: input.erase(at, 1 + below(9)); break;
      case 3: input.insert(at, input.substr(below(input.size() + 1), below(40))); break;
      case 4: input.insert(at, kTokens[below(kTokens.size())]); break;
      case 5: {
        const std::string& token = kTokens[below(kTokens.size())];
        input.replace(at, std::min(left, token.size()), token);
        break;
      }
      case 6: {
        const std::string& other = corpus[below(corpus.size())];
        input.insert(at, other.substr(below(other.size() + 1), below(200)));
        break;
      }
      default:
        if (below(4) == 0) input.resize(at);
        break;
    }
  }
  if (input.size() > kInputMax) input.resize(kInputMax);
}

std::vector<std::string> corpus_read(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());  // the order of a folder is the file system's
  std::vector<std::string> corpus;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    if (corpus.back().size() > kInputMax) corpus.back().resize(kInputMax);
  }
  return corpus;
}

int run(const NamedTarget& target, double seconds) {
  const std::string folder = std::string(MOEBIUS_SOURCE_DIR) + "/tests/fuzz/corpus/" + target.name;
  const std::vector<std::string> corpus = corpus_read(folder);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s holds no inputs\n", folder.c_str());
    return 1;
  }
  const std::string last = std::string("fuzz-last-input-") + target.name;
  std::printf("the input at work: %s\n", std::filesystem::absolute(last).c_str());
  std::fflush(stdout);
  LastInput kept(last);
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  const auto one = [&](const std::string& input) {
    kept.keep(input);
    ::alarm(kSecondsPerInput);
    target.run(input);
  };
  for (const std::string& input : corpus) one(input);
  Rng rng(1, RngStream::test);
  int mutations = 0;
  for (; mutations < kMutationsMax && elapsed() < seconds; ++mutations) {
    std::string input = corpus[static_cast<std::size_t>(rng.next_below(corpus.size()))];
    mutate(rng, input, corpus);
    one(input);
  }
  ::alarm(0);
  std::printf("%s: %zu inputs and %d mutations in %.1f s\n", target.name, corpus.size(), mutations, elapsed());
  return 0;
}

}  // namespace
}  // namespace moebius::fuzz

int main(int argc, char** argv) {
  for (const auto& target : moebius::fuzz::kTargets) {
    if (argc == 3 && std::strcmp(target.name, argv[1]) == 0) return moebius::fuzz::run(target, std::atof(argv[2]));
  }
  std::fprintf(stderr, "usage: corpus_test TARGET SECONDS; targets:");
  for (const auto& target : moebius::fuzz::kTargets) std::fprintf(stderr, " %s", target.name);
  std::fprintf(stderr, "\n");
  return 2;
}
