/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a trace, as the CLI takes them from a sandbox's kernel that it does not trust. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "trace/choice.h"
#include "trace/lines.h"
#include "trace/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct line_style style = {
		.text = 32, .clock = true, .relative = true, .durations = true
	};
	static struct summary summary;
	struct lines l = LINES_INIT(style);
	struct buf out = BUF_INIT(8u << 20);
	char *text = malloc(n + 1);
	struct trace_call *c = malloc(sizeof(*c));
	struct str rest = { (const char *) data, n };
	struct choice choice;
	struct err e;

	if (!text || !c)
		abort();
	while (trace_next(&rest, c) > 0) {
		lines_add(&l, c, &out);
		summary_add(&summary, c);
		lines_tell(&l, c->head.at, &out);
	}
	for (size_t i = 0; i < out.n; i++)
		if (out.p[i] != '\n' && (out.p[i] < 0x20 || out.p[i] > 0x7e))
			abort(); /* what is printed to a terminal */
	buf_clear(&out);
	summary_print(&summary, &out);
	lines_fini(&l);
	buf_fini(&out);
	memcpy(text, data, n);
	text[n] = 0;
	choice_all(&choice);
	(void) choice_parse(&choice, text, &e); /* any outcome is fine */
	free(text);
	free(c);
	return 0;
}
