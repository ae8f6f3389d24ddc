// One pipe per child: it transfers the answer, and end of file means that the child has exited.
// In, out: children.h.
#include "base/children.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <new>

#include "base/check.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/stage.h"

namespace moebius {

namespace {

constexpr int kPollMilliseconds = 100;  // until Ctrl-C is seen
const char* const kResume = "run the same command again: it resumes from the last checkpoint";

constexpr std::pair<const char*, std::string ErrorParts::*> kParts[] = {{"where", &ErrorParts::where},
                                                                        {"what", &ErrorParts::what},
                                                                        {"wanted", &ErrorParts::wanted},
                                                                        {"got", &ErrorParts::got},
                                                                        {"fix", &ErrorParts::fix}};

Json error_answer(const ErrorParts& parts) {
  Json error = Json::object();
  for (const auto& [key, part] : kParts) error.set(key, parts.*part);
  return Json::object({{"error", std::move(error)}});
}

Error error_from_json(const Json& json) {
  ErrorParts parts;
  for (const auto& [key, part] : kParts) parts.*part = json.get_string(key, "");
  return Error(std::move(parts));
}

// Between fork and exec: only calls that are safe there. SIGTERM waits until child_main() handles it.
[[noreturn]] void exec_child(int parent, int answer_fd, char* const* words, const std::string& failed) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  interrupt_block_for_child();
  ::dup2(answer_fd, 1);
  ::execv(words[0], words);
  if (::write(1, failed.data(), failed.size()) < 0) ::_exit(1);
  ::_exit(0);
}

// Why a child ended without an answer.
Error silent_end(const std::string& name, int status) {
  if (!WIFSIGNALED(status)) {
    return Error({.where = name,
                  .what = fmt::format("the process exited with code {} without a result", WEXITSTATUS(status)),
                  .fix = kResume});
  }
  const int signal = WTERMSIG(status);
  return Error({.where = name,
                .what = fmt::format("the process was killed by signal {} ({})", signal, ::strsignal(signal)),
                .fix = signal == SIGKILL
                           ? fmt::format("if memory ran out, run fewer side by side (--jobs); {}", kResume)
                           : kResume});
}

}  // namespace

Children::~Children() {
  for (const Child& child : children_) {
    ::kill(child.pid, SIGKILL);
    ::close(child.answer_fd);
    while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {}
  }
}

void Children::start(i64 id, std::string name, const std::vector<std::string>& words) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_system_error(name, "make a pipe for", errno);
  std::vector<std::string> all = {program_};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> pointers;
  for (std::string& word : all) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const std::string failed =
      error_answer({.where = program_, .what = "the program could not start itself for a run"}).dump();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) exec_child(parent, ends[1], pointers.data(), failed);
  const int error = errno;
  ::close(ends[1]);
  if (pid < 0) {
    ::close(ends[0]);
    throw_system_error(name, "start a process for", error);
  }
  children_.push_back({.id = id, .name = std::move(name), .pid = pid, .answer_fd = ends[0], .answer = {}});
}

void Children::stop_all() {
  if (stopping_) return;
  stopping_ = true;
  for (const Child& child : children_) ::kill(child.pid, SIGTERM);
}

// Reads answers until one is complete; returns the index of that child.
std::size_t Children::wait_for_end() {
  for (;;) {
    if (interrupt_requested()) stop_all();
    std::vector<pollfd> fds;
    for (const Child& child : children_) fds.push_back({.fd = child.answer_fd, .events = POLLIN, .revents = 0});
    if (::poll(fds.data(), fds.size(), kPollMilliseconds) <= 0) continue;
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      char part[4096];
      const ssize_t got = ::read(fds[i].fd, part, sizeof(part));
      if (got > 0) children_[i].answer.append(part, static_cast<std::size_t>(got));
      if (got == 0 || (got < 0 && errno != EINTR)) return i;
    }
  }
}

// Removes an exited child from the list; throws its Error.
Children::Ended Children::collect(std::size_t index) {
  const Child child = children_[index];
  children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index));
  ::close(child.answer_fd);
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {}
  if (status != 0 || child.answer.empty()) throw silent_end(child.name, status);
  const Json answer = Json::parse(child.answer, child.name);
  if (const Json* error = answer.find("error")) throw error_from_json(*error);
  return {child.id, answer.at("value")};
}

Children::Ended Children::wait() {
  CHECK(!children_.empty(), "wait() needs a running child");
  try {
    return collect(wait_for_end());
  } catch (const Error& first) {
    stop_all();
    while (!children_.empty()) {
      try {
        collect(wait_for_end());
      } catch (const Error&) {  // they were told to stop: their errors add nothing to the first
      }
    }
    throw Error(first.parts());
  }
}

int child_main(const std::string& name, const std::function<Json()>& work) {
  interrupt_install_in_child();
  Json answer;
  try {
    answer = Json::object({{"value", work()}});
  } catch (const Error& e) {
    answer = error_answer(e.parts());
  } catch (const std::bad_alloc&) {
    answer = error_answer({.where = name, .what = "out of memory", .fix = "run fewer side by side (--jobs)"});
  } catch (const std::exception& e) {
    answer = error_answer({.where = name, .what = e.what()});
  }
  StageCommon common;
  common.json = true;
  stage_print(common, answer, "");
  return 0;
}

}  // namespace moebius
