/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/test.h"
#include "bench/chart.h"
#include "bench/report.h"
#include "fmt/json.h"

static void texts(void)
{
	char text[FIGURE_TEXT_MAX];
	struct figure f = figure_of(999);

	figure_text(FIGURE_EXIT, &f, false, text);
	CHECK_STR(text, "999 ns");
	f = figure_of(1234);
	figure_text(FIGURE_EXIT, &f, false, text);
	CHECK_STR(text, "1.23 us");
	f = figure_of(98765432);
	figure_text(FIGURE_EXIT, &f, false, text);
	CHECK_STR(text, "98.7 ms");
	f = figure_of(640 * 1000);
	figure_text(FIGURE_MEMORY, &f, false, text);
	CHECK_STR(text, "640 kB");
	f = figure_of(12);
	figure_text(FIGURE_CAPS, &f, false, text);
	CHECK_STR(text, "12");
	f = (struct figure){ .known = false };
	figure_text(FIGURE_CAPS, &f, false, text);
	CHECK_STR(text, "-");
}

static struct report example(void)
{
	struct report r = { .image = "a<b>", .runs = 3, .rows_n = 3, .host = "Linux" };

	r.rows[0].name = "bare metal";
	r.rows[1].name = "container";
	r.rows[2].name = "microvm";
	(void) snprintf(r.rows[2].why, sizeof(r.rows[2].why), "no /dev/kvm");
	r.rows[0].figures[FIGURE_EXIT] =
		(struct figure){ .known = true, .median = 1000, .p99 = 2000, .n = 3 };
	r.rows[1].figures[FIGURE_EXIT] =
		(struct figure){ .known = true, .median = 2500, .p99 = 9000, .n = 3 };
	r.rows[0].figures[FIGURE_SYSCALL] = figure_of(100);
	r.rows[1].figures[FIGURE_SYSCALL] = figure_of(110);
	return r;
}

static void forms(void)
{
	auto_buf struct buf out = BUF_INIT(1u << 20);
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct report r = example();
	const struct json *root = NULL, *rows;
	uint64_t ratio = 0, median = 0;
	struct err e;

	CHECK(report_ratio(&r, 1, FIGURE_EXIT, &ratio) && ratio == 250);
	CHECK(!report_ratio(&r, 0, FIGURE_EXIT, &ratio));
	CHECK(!report_ratio(&r, 2, FIGURE_EXIT, &ratio));

	report_table(&r, &out);
	CHECK(buf_ok(&out));
	CHECK(strstr(buf_z(&out), "2.50 us (9.00 us)") != NULL);
	CHECK(strstr(buf_z(&out), "110 ns (1.10x)") != NULL);
	CHECK(strstr(buf_z(&out), "microvm: no /dev/kvm\n") != NULL);
	CHECK(strstr(buf_z(&out), " \n") == NULL);

	buf_clear(&out);
	report_json(&r, &out);
	CHECK(json_parse(&a, buf_str(&out), &root, &e) == 0);
	rows = json_get(root, "rows");
	CHECK(rows && rows->n == 3);
	CHECK(json_u64(json_get(json_get(json_get(&rows->items[1], "figures"), "start_exit"),
				"median"),
		       &median) == 0 &&
	      median == 2500);
	CHECK_STR(json_string(json_get(&rows->items[2], "why_not")), "no /dev/kvm");

	buf_clear(&out);
	chart_svg(&r, &out);
	CHECK(buf_ok(&out));
	CHECK(strstr(buf_z(&out), "a&lt;b&gt;") != NULL && strstr(buf_z(&out), "a<b>") == NULL);
	CHECK(str_ends(buf_str(&out), "</svg>\n"));
	buf_clear(&out);
	chart_html(&r, &out);
	CHECK(str_ends(buf_str(&out), "</html>\n"));
}

int main(void)
{
	texts();
	forms();
	return test_done();
}
