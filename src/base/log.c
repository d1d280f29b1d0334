/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"

#define FACILITY_DAEMON (3 << 3)

static struct log_config config = { .fd = STDERR_FILENO, .level = LOG_LEVEL_WARN };

void log_configure(const struct log_config *c)
{
	config = *c;
}

bool log_enabled(enum log_level level)
{
	return level <= config.level;
}

static const char *level_name(enum log_level level)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARN] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	return names[level];
}

/* Quoted as JSON does it, which logfmt readers understand too. */
static void add_quoted(struct buf *b, const char *z)
{
	buf_addc(b, '"');
	for (; *z; z++) {
		unsigned char c = (unsigned char) *z;

		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_addf(b, "\\u%04x", c);
		else
			buf_addc(b, (char) c);
	}
	buf_addc(b, '"');
}

/* syslog(3)'s severities. */
static int severity(enum log_level level)
{
	static const int numbers[] = {
		[LOG_LEVEL_ERROR] = 3,
		[LOG_LEVEL_WARN] = 4,
		[LOG_LEVEL_INFO] = 6,
		[LOG_LEVEL_DEBUG] = 7,
	};

	return numbers[level];
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char msg[2048], time[CLOCK_RFC3339_MAX];
	auto_buf struct buf line = BUF_INIT(8 * sizeof(msg));
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	(void) vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	clock_rfc3339(clock_wall(), time);
	switch (config.format) {
	case LOG_FORMAT_JSON:
		buf_addf(&line, "{\"level\":\"%s\",\"msg\":", level_name(level));
		add_quoted(&line, msg);
		buf_addf(&line, ",\"time\":\"%s\"}\n", time);
		break;
	case LOG_FORMAT_TEXT:
		buf_addf(&line, "time=\"%s\" level=%s msg=", time, level_name(level));
		add_quoted(&line, msg);
		buf_addc(&line, '\n');
		break;
	case LOG_FORMAT_SYSLOG:
		buf_addf(&line, "<%d>%s[%d]: %s", FACILITY_DAEMON | severity(level),
			 config.ident ? config.ident : "atoll", getpid(), msg);
		break;
	case LOG_FORMAT_JOURNALD:
		/* A value ends with its line. */
		for (char *c = msg; *c; c++)
			*c = *c == '\n' ? ' ' : *c;
		buf_addf(&line, "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=%s\n", msg,
			 severity(level), config.ident ? config.ident : "atoll");
		break;
	}
	if (buf_ok(&line) && write(config.fd, line.p, line.n) < 0) {
		/* Nowhere to say that the log cannot be written. */
	}
	errno = saved;
}
