// A pipe a child: its answer, and by its end the sign that the child has ended.
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
#include "base/parallel.h"

namespace moebius {

namespace {

constexpr int kLookMilliseconds = 100;  // how soon Ctrl-C is seen
const char* const kGoOn = "the same command goes on from the last checkpoint";

Json error_to_json(const ErrorParts& parts) {
  return Json::object(
      {{"where", parts.where}, {"what", parts.what}, {"wanted", parts.wanted}, {"got", parts.got}, {"fix", parts.fix}});
}

Error error_from_json(const Json& json) {
  return Error({.where = json.get_string("where", ""),
                .what = json.get_string("what", ""),
                .wanted = json.get_string("wanted", ""),
                .got = json.get_string("got", ""),
                .fix = json.get_string("fix", "")});
}

Json answer_of(const std::string& name, const std::function<Json()>& work) {
  try {
    return Json::object({{"value", work()}});
  } catch (const Error& e) {
    return Json::object({{"error", error_to_json(e.parts())}});
  } catch (const std::bad_alloc&) {
    return Json::object(
        {{"error",
          error_to_json({.where = name, .what = "no memory left", .fix = "run fewer side by side (--jobs)"})}});
  } catch (const std::exception& e) {
    return Json::object({{"error", error_to_json({.where = name, .what = e.what()})}});
  }
}

[[noreturn]] void be_child(int parent, int answer_fd, const std::string& name, const std::function<Json()>& work) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  interrupt_install_in_child();
  const std::string answer = answer_of(name, work).dump();
  for (std::size_t sent = 0; sent < answer.size();) {
    const ssize_t now = ::write(answer_fd, answer.data() + sent, answer.size() - sent);
    if (now < 0 && errno != EINTR) ::_exit(1);
    if (now > 0) sent += static_cast<std::size_t>(now);
  }
  ::_exit(0);  // the parent's buffers and objects are not this process's to flush and to destroy
}

// Why a child ended without an answer.
Error silent_end(const std::string& name, int status) {
  if (!WIFSIGNALED(status)) {
    return Error({.where = name,
                  .what = fmt::format("its process ended with code {} and no result", WEXITSTATUS(status)),
                  .fix = kGoOn});
  }
  const int signal = WTERMSIG(status);
  return Error({.where = name,
                .what = fmt::format("its process was ended by signal {} ({})", signal, ::strsignal(signal)),
                .fix = signal == SIGKILL ? fmt::format("if memory ran out, run fewer side by side (--jobs); {}", kGoOn)
                                         : kGoOn});
}

}  // namespace

Children::~Children() {
  for (const Child& child : children_) {
    ::kill(child.pid, SIGKILL);
    ::close(child.answer_fd);
    while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {}
  }
}

void Children::start(i64 id, std::string name, const std::function<Json()>& work) {
  CHECK(parallel_threads() == 1, "a fork copies no thread but its own");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_system_error(name, "make a pipe for", errno);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    be_child(parent, ends[1], name, work);
  }
  const int error = errno;
  ::close(ends[1]);
  if (pid < 0) {
    ::close(ends[0]);
    throw_system_error(name, "start a process for", error);
  }
  children_.push_back({.id = id, .name = std::move(name), .pid = pid, .answer_fd = ends[0], .answer = {}});
}

void Children::ask_to_stop() {
  if (asked_) return;
  asked_ = true;
  for (const Child& child : children_) ::kill(child.pid, SIGTERM);
}

// Reads answers until one of them is whole; its index.
std::size_t Children::wait_for_end() {
  for (;;) {
    if (interrupt_requested()) ask_to_stop();
    std::vector<pollfd> fds;
    for (const Child& child : children_) fds.push_back({.fd = child.answer_fd, .events = POLLIN, .revents = 0});
    if (::poll(fds.data(), fds.size(), kLookMilliseconds) <= 0) continue;
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      char part[4096];
      const ssize_t got = ::read(fds[i].fd, part, sizeof(part));
      if (got > 0) children_[i].answer.append(part, static_cast<std::size_t>(got));
      if (got == 0 || (got < 0 && errno != EINTR)) return i;
    }
  }
}

// Takes an ended child out of the list; throws its Error.
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
  CHECK(!children_.empty(), "nobody to wait for");
  try {
    return collect(wait_for_end());
  } catch (const Error& first) {
    ask_to_stop();
    while (!children_.empty()) {
      try {
        collect(wait_for_end());
      } catch (const Error&) {  // they were told to stop: what they say of it adds nothing to the first
      }
    }
    throw Error(first.parts());
  }
}

}  // namespace moebius
