/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"

#include "base/auto.h"
#include "base/test.h"
#include "cli/human.h"

static const struct format_column columns[] = { { "ID", "ROW ID" }, { "Name", "NAME" } };

static char got[1024];

static const char *show(const char *format)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_buf struct buf out = BUF_INIT(sizeof(got) - 1);
	auto_format struct format f = { 0 };
	struct json *row = row_new(&a), *hidden = row_new(&a);
	struct err e;
	int r;

	row_text(&a, row, "ID", "1");
	row_text(&a, row, "Name", "näme-of-twelve");
	row_value(&a, hidden, "Label", *row_labels(&a, "{\"k\":\"v\",\"l\":\"w\"}"));
	r = format_init(&f, &a, format, "table {{.Name}}\t{{.ID}}", columns, ARRAY_SIZE(columns),
			&e);
	if (r == 0)
		r = format_row(&f, row, hidden, &out, &e);
	if (r == 0)
		r = format_end(&f, &out, &e);
	(void) snprintf(got, sizeof(got), "%s", r < 0 ? e.msg : buf_z(&out));
	return got;
}

static void test_formats(void)
{
	CHECK_STR(show(NULL), "NAME             ROW ID\nnäme-of-twelve   1\n");
	CHECK_STR(show("table"), "NAME             ROW ID\nnäme-of-twelve   1\n");
	CHECK_STR(show("table {{.ID}}\\t{{upper .Name}}"),
		  "ROW ID    NAME\n1         NäME-OF-TWELVE\n");
	CHECK_STR(show("json"), "{\"ID\":\"1\",\"Name\":\"näme-of-twelve\"}\n");
	CHECK_STR(show("{{json .}}"), "{\"ID\":\"1\",\"Name\":\"näme-of-twelve\"}\n");
	CHECK_STR(show("{{.Label \"k\"}}-{{.Label \"none\"}}"), "v-\n");
	CHECK_STR(show("{{.Nope}}"), "--format: template: 1:3: there is no field .Nope");
	CHECK_STR(show("table {{.Nope}}"), "--format: template: 1:3: there is no field .Nope");
	CHECK_STR(show("{{.ID"), "--format: template: 1:3: unclosed action: no \"}}\"");
}

static void test_human(void)
{
	auto_arena struct arena a = ARENA_INIT(1u << 16);

	CHECK_STR(human_size(0).z, "0B");
	CHECK_STR(human_size(999).z, "999B");
	CHECK_STR(human_size(1980000).z, "1.98MB");
	CHECK_STR(human_size(124000000).z, "124MB");
	CHECK_STR(human_memory(820 << 10).z, "820KiB");
	CHECK_STR(human_memory(7864320).z, "7.5MiB");
	CHECK_STR(human_percent(1, 8).z, "12.50%");
	CHECK_STR(human_percent(1, 0).z, "0.00%");
	CHECK_STR(human_time(0).z, "1970-01-01 00:00:00 +0000 UTC");
	CHECK_STR(human_ago(0, 5).z, "N/A");
	CHECK_STR(human_id(&a, "sha256:0123456789abcdef", true), "0123456789ab");
	CHECK_STR(human_id(&a, "sha256:0123456789abcdef", false), "sha256:0123456789abcdef");
	CHECK_STR(human_ellipsis(&a, "short", 5), "short");
	CHECK_STR(human_ellipsis(&a, "äöüß-longer", 5), "äöüß…");
	CHECK_STR(human_clean(&a, "a\033[2Jb\n"), "a^[[2Jb^J");
}

int main(void)
{
	test_formats();
	test_human();
	return test_done();
}
