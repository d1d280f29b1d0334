/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a program: mains, the shim, the API and the CLI write it; libraries return errors
 * instead. One line per message on the log's descriptor, text ("time level msg") or JSON
 * ({"level","msg","time"}, what conmon and containerd read).
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON,
	LOG_FORMAT_SYSLOG,   /* fd: a datagram socket that leads to syslog (RFC 3164) */
	LOG_FORMAT_JOURNALD, /* fd: one to journald (its native protocol) */
};

struct log_config {
	int fd; /* borrowed; must outlive the log */
	enum log_level level;
	enum log_format format;
	const char *ident; /* borrowed: who says it, for SYSLOG and JOURNALD */
};

void log_configure(const struct log_config *c);
bool log_enabled(enum log_level level);
[[gnu::format(printf, 2, 3)]] void log_write(enum log_level level, const char *fmt, ...);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
