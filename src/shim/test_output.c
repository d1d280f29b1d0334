/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/test.h"
#include "fmt/json.h"

static char *dir_name;
static int dir_fd;

static void begin(struct output *o, uint64_t max_bytes, uint64_t max_files)
{
	struct shim_msg m = shim_msg_of(SHIM_CREATE);
	struct err e = {};

	m.create.log_max_bytes = max_bytes;
	m.create.log_max_files = max_files;
	CHECK(output_open(o, &m.create, dir_fd, &e) == 0);
}

static void put(struct output *o, enum shim_stream stream, const char *text)
{
	output_bytes(o, stream, str_of(text));
}

/* The n-th line's member `key`, "" when there is none. */
static const char *line_of(struct arena *a, const char *file, size_t n, const char *key)
{
	auto_buf struct buf text = BUF_INIT(16u << 20);
	const struct json *v;
	struct err e = {};
	struct str rest, line;
	const char *z;

	if (file_read(dir_fd, file, &text) < 0)
		return "";
	rest = buf_str(&text);
	for (size_t i = 0; i <= n; i++)
		line = str_cut(rest, '\n', &rest);
	if (!line.n || json_parse(a, line, &v, &e) < 0)
		return "";
	z = json_string(json_get(v, key));
	return z ? z : "";
}

static uint64_t size_of(const char *file)
{
	struct stat st;

	return fstatat(dir_fd, file, &st, 0) < 0 ? UINT64_MAX : (uint64_t) st.st_size;
}

static void empty_dir(void)
{
	(void) unlinkat(dir_fd, "workload.log", 0);
	(void) unlinkat(dir_fd, "workload.log.1", 0);
	(void) unlinkat(dir_fd, "workload.log.2", 0);
}

static void test_lines(void)
{
	auto_arena struct arena a = ARENA_INIT(8 << 20);
	struct output o;

	begin(&o, 0, 1);
	put(&o, SHIM_STREAM_STDOUT, "one\ntw");
	put(&o, SHIM_STREAM_STDERR, "err\"\\\x01\xff\n");
	put(&o, SHIM_STREAM_STDOUT, "o\n\nlast");
	CHECK_STR(line_of(&a, "workload.log", 0, "log"), "one\n");
	CHECK_STR(line_of(&a, "workload.log", 0, "stream"), "stdout");
	CHECK_STR(line_of(&a, "workload.log", 1, "log"), "err\"\\\x01\xef\xbf\xbd\n");
	CHECK_STR(line_of(&a, "workload.log", 1, "stream"), "stderr");
	CHECK_STR(line_of(&a, "workload.log", 2, "log"), "two\n");
	CHECK_STR(line_of(&a, "workload.log", 3, "log"), "\n");
	CHECK_STR(line_of(&a, "workload.log", 4, "log"), "");
	output_end(&o, SHIM_STREAM_STDOUT);
	CHECK_STR(line_of(&a, "workload.log", 4, "log"), "last");
	CHECK(strlen(line_of(&a, "workload.log", 4, "time")) >= 20);
	output_close(&o);
	begin(&o, 0, 1); /* goes on at the end */
	put(&o, SHIM_STREAM_STDOUT, "more\n");
	CHECK_STR(line_of(&a, "workload.log", 5, "log"), "more\n");
	output_close(&o);
	empty_dir();
}

static void test_parts(void)
{
	static char bytes[3 * OUTPUT_LINE_MAX];
	auto_arena struct arena a = ARENA_INIT(8 << 20);
	struct output o;

	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes + OUTPUT_LINE_MAX - 1, "\xe2\x82\xac", 3); /* across the border */
	bytes[sizeof(bytes) - 1] = '\n';
	begin(&o, 0, 1);
	for (size_t i = 0; i < sizeof(bytes); i += 1000)
		output_bytes(&o, SHIM_STREAM_STDOUT,
			     (struct str){ bytes + i,
					   sizeof(bytes) - i < 1000 ? sizeof(bytes) - i : 1000 });
	CHECK(strlen(line_of(&a, "workload.log", 0, "log")) == OUTPUT_LINE_MAX - 1);
	CHECK(str_starts(str_of(line_of(&a, "workload.log", 1, "log")), "\xe2\x82\xacxx"));
	CHECK(strlen(line_of(&a, "workload.log", 1, "log")) == OUTPUT_LINE_MAX);
	CHECK(strlen(line_of(&a, "workload.log", 2, "log")) == OUTPUT_LINE_MAX);
	CHECK_STR(line_of(&a, "workload.log", 3, "log"), "\n");
	output_close(&o);
	empty_dir();
}

static void test_rotation(void)
{
	auto_arena struct arena a = ARENA_INIT(8 << 20);
	struct output o;
	char text[32];

	begin(&o, 1000, 3);
	for (int i = 0; i < 100; i++) {
		(void) snprintf(text, sizeof(text), "line %03d\n", i);
		put(&o, SHIM_STREAM_STDOUT, text);
	}
	CHECK(size_of("workload.log") <= 1100);
	CHECK(size_of("workload.log.1") <= 1100 && size_of("workload.log.1") > 800);
	CHECK(size_of("workload.log.2") <= 1100 && size_of("workload.log.2") > 800);
	CHECK(size_of("workload.log.3") == UINT64_MAX);
	CHECK(str_starts(str_of(line_of(&a, "workload.log", 0, "log")), "line 0"));
	CHECK(strcmp(line_of(&a, "workload.log", 0, "log"),
		     line_of(&a, "workload.log.1", 0, "log")) > 0);
	output_close(&o);
	empty_dir();
	begin(&o, 1000, 1);
	for (int i = 0; i < 100; i++)
		put(&o, SHIM_STREAM_STDOUT, "line\n");
	CHECK(size_of("workload.log") <= 1100 && size_of("workload.log.1") == UINT64_MAX);
	output_close(&o);
	empty_dir();
}

/* A file that takes no more: lines are lost and counted, the file stays whole. */
static void test_full(void)
{
	struct output o;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	begin(&o, 0, 1);
	(void) close(o.file.fd);
	o.file.fd = full;
	put(&o, SHIM_STREAM_STDOUT, "a\nb\n");
	CHECK(output_lost(&o) == 2);
	output_close(&o);
	empty_dir();
}

int main(void)
{
	char name[] = "/tmp/atoll-test-output-XXXXXX";

	dir_name = mkdtemp(name);
	if (!dir_name)
		return 1;
	dir_fd = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_lines();
	test_parts();
	test_rotation();
	test_full();
	(void) close(dir_fd);
	CHECK(rmdir(dir_name) == 0);
	return test_done();
}
