// The only file that includes spdlog.
#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace moebius {

namespace {

spdlog::logger& logger() {
  static const auto instance = [] {
    auto log = spdlog::stderr_color_mt("moebius");
    log->set_pattern("%^%L%$ %v");
    log->flush_on(spdlog::level::trace);
    return log;
  }();
  return *instance;
}

// In the order of LogLevel.
struct Level {
  const char* name;
  spdlog::level::level_enum level;
};
constexpr Level kLevels[] = {{"debug", spdlog::level::debug},
                             {"info", spdlog::level::info},
                             {"warning", spdlog::level::warn},
                             {"error", spdlog::level::err}};

spdlog::level::level_enum to_spdlog(LogLevel level) { return kLevels[static_cast<std::size_t>(level)].level; }

}  // namespace

void log_set_level(LogLevel level) { logger().set_level(to_spdlog(level)); }

const char* log_level_name() {
  for (const Level& one : kLevels) {
    if (one.level == logger().level()) return one.name;
  }
  return "info";
}

LogLevel log_level_of(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kLevels); ++i) {
    if (name == kLevels[i].name) return static_cast<LogLevel>(i);
  }
  return LogLevel::info;
}

void log_message(LogLevel level, std::string_view text) {
  logger().log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace moebius
