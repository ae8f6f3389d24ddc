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

// spdlog has `trace` below our first level; its names of the others are ours.
spdlog::level::level_enum to_spdlog(LogLevel level) {
  return static_cast<spdlog::level::level_enum>(static_cast<int>(level) + spdlog::level::debug);
}

}  // namespace

void log_set_level(LogLevel level) { logger().set_level(to_spdlog(level)); }

std::string log_level_name() {
  const spdlog::string_view_t name = spdlog::level::to_string_view(logger().level());
  return {name.data(), name.size()};
}

LogLevel log_level_of(const std::string& name) {
  const int level = spdlog::level::from_str(name) - spdlog::level::debug;
  return level < 0 || level > static_cast<int>(LogLevel::error) ? LogLevel::info : static_cast<LogLevel>(level);
}

void log_message(LogLevel level, std::string_view text) {
  logger().log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace moebius
