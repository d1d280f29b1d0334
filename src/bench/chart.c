/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/chart.h"

#include "base/auto.h"

enum {
	PANEL_WIDTH = 440,
	PANEL_GAP = 24,
	COLUMNS = 2,
	TITLE_HEIGHT = 64,
	HEAD_HEIGHT = 28,
	BAR_HEIGHT = 22,
	NAME_WIDTH = 96,
	VALUE_WIDTH = 84,
	BAR_WIDTH = PANEL_WIDTH - NAME_WIDTH - VALUE_WIDTH,
};

/* Text of users (image names, commands) in XML. */
static void add_escaped(struct buf *out, const char *z)
{
	for (; *z; z++) {
		switch (*z) {
		case '<':
			buf_adds(out, "&lt;");
			break;
		case '>':
			buf_adds(out, "&gt;");
			break;
		case '&':
			buf_adds(out, "&amp;");
			break;
		case '"':
			buf_adds(out, "&quot;");
			break;
		default:
			buf_addc(out, *z);
		}
	}
}

static uint64_t largest(const struct report *r, enum figure_id id)
{
	uint64_t max = 0;

	for (size_t i = 0; i < r->rows_n; i++)
		if (r->rows[i].figures[id].known && r->rows[i].figures[id].median > max)
			max = r->rows[i].figures[id].median;
	return max;
}

static void add_bar(const struct report *r, size_t row, enum figure_id id, uint64_t max, unsigned y,
		    struct buf *out)
{
	/* Distinguishable also without colours: every bar has its name before it. */
	static const char *const colours[] = { "#8a8f98", "#2563a8", "#2f8f5b", "#b8752a",
					       "#7a4fa3", "#a83c4c", "#3f8f92", "#6b7a2a" };
	const struct figure *f = &r->rows[row].figures[id];
	unsigned width = f->known && max ? (unsigned) (f->median * BAR_WIDTH / max) : 0;
	char value[FIGURE_TEXT_MAX];

	figure_text(id, f, false, value);
	buf_addf(out, "<text x=\"0\" y=\"%u\">", y + 15);
	add_escaped(out, r->rows[row].name);
	buf_adds(out, report_row_mark(&r->rows[row]));
	buf_adds(out, "</text>");
	buf_addf(out, "<rect x=\"%d\" y=\"%u\" width=\"%u\" height=\"%d\" rx=\"2\" fill=\"%s\"/>",
		 NAME_WIDTH, y + 3, f->known && width < 2 ? 2 : width, BAR_HEIGHT - 6,
		 colours[row % ARRAY_SIZE(colours)]);
	buf_addf(out, "<text x=\"%u\" y=\"%u\" class=\"v\">%s</text>\n", NAME_WIDTH + width + 6,
		 y + 15, value);
}

static void add_panel(const struct report *r, enum figure_id id, unsigned x, unsigned y,
		      struct buf *out)
{
	uint64_t max = largest(r, id);

	buf_addf(out, "<g transform=\"translate(%u %u)\"><text y=\"16\" class=\"h\">", x, y);
	add_escaped(out, figure_kind(id)->words);
	buf_adds(out, "</text>\n");
	for (size_t i = 0; i < r->rows_n; i++)
		add_bar(r, i, id, max, (unsigned) (HEAD_HEIGHT + i * BAR_HEIGHT), out);
	buf_adds(out, "</g>\n");
}

static bool is_known(const struct report *r, enum figure_id id)
{
	for (size_t i = 0; i < r->rows_n; i++)
		if (r->rows[i].figures[id].known)
			return true;
	return false;
}

static void add_title(const struct report *r, struct buf *out)
{
	add_escaped(out, r->image);
	if (r->command[0]) {
		buf_adds(out, " -- ");
		add_escaped(out, r->command);
	}
}

static void add_subtitle(const struct report *r, struct buf *out)
{
	char when[CLOCK_RFC3339_MAX];

	clock_rfc3339(r->when, when);
	add_escaped(out, r->host);
	buf_addf(out, ", medians of %u runs, %.10s", r->runs, when);
}

void chart_svg(const struct report *r, struct buf *out)
{
	unsigned panel = (unsigned) (HEAD_HEIGHT + r->rows_n * BAR_HEIGHT + PANEL_GAP);
	unsigned shown = 0, at = 0;

	for (unsigned id = 0; id < FIGURE_COUNT; id++)
		shown += is_known(r, (enum figure_id) id);
	buf_addf(out,
		 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %u\" role=\"img\">\n",
		 COLUMNS * PANEL_WIDTH + (COLUMNS + 1) * PANEL_GAP,
		 TITLE_HEIGHT + (shown + COLUMNS - 1) / COLUMNS * panel);
	buf_adds(out, "<style>text{font:13px system-ui,sans-serif;fill:#1c2230}"
		      ".t{font-size:18px;font-weight:600}.h{font-weight:600}"
		      ".v,.s{fill:#5a6372}</style>\n"
		      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
	buf_addf(out, "<text x=\"%d\" y=\"30\" class=\"t\">", PANEL_GAP);
	add_title(r, out);
	buf_addf(out, "</text>\n<text x=\"%d\" y=\"50\" class=\"s\">", PANEL_GAP);
	add_subtitle(r, out);
	buf_adds(out, "</text>\n");
	for (unsigned id = 0; id < FIGURE_COUNT; id++) {
		if (!is_known(r, (enum figure_id) id))
			continue;
		add_panel(r, (enum figure_id) id,
			  PANEL_GAP + at % COLUMNS * (PANEL_WIDTH + PANEL_GAP),
			  TITLE_HEIGHT + at / COLUMNS * panel, out);
		at++;
	}
	buf_adds(out, "</svg>\n");
}

static void add_table(const struct report *r, struct buf *out)
{
	buf_adds(out, "<table><tr><th></th>");
	for (size_t i = 0; i < r->rows_n; i++) {
		buf_adds(out, "<th>");
		add_escaped(out, r->rows[i].name);
		buf_adds(out, report_row_mark(&r->rows[i]));
		buf_adds(out, "</th>");
	}
	buf_adds(out, "</tr>\n");
	for (unsigned id = 0; id < FIGURE_COUNT; id++) {
		if (!is_known(r, (enum figure_id) id))
			continue;
		buf_adds(out, "<tr><td>");
		add_escaped(out, figure_kind((enum figure_id) id)->words);
		buf_adds(out, "</td>");
		for (size_t i = 0; i < r->rows_n; i++) {
			const struct figure *f = &r->rows[i].figures[id];
			char median[FIGURE_TEXT_MAX], p99[FIGURE_TEXT_MAX];

			figure_text((enum figure_id) id, f, false, median);
			figure_text((enum figure_id) id, f, true, p99);
			buf_addf(out, "<td>%s", median);
			if (f->known && f->n > 1)
				buf_addf(out, " <small>p99 %s</small>", p99);
			buf_adds(out, "</td>");
		}
		buf_adds(out, "</tr>\n");
	}
	buf_adds(out, "</table>\n");
}

void chart_html(const struct report *r, struct buf *out)
{
	buf_adds(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
	add_title(r, out);
	buf_adds(out,
		 "</title><style>body{font:15px system-ui,sans-serif;color:#1c2230;"
		 "max-width:62rem;margin:2rem auto;padding:0 1rem}"
		 "table{border-collapse:collapse}td,th{padding:.3rem .8rem;text-align:left;"
		 "border-bottom:1px solid #d9dde3}small{color:#5a6372}</style></head><body>\n");
	chart_svg(r, out);
	buf_adds(out, "<h2>Figures</h2>\n");
	add_table(r, out);
	for (size_t i = 0; i < r->rows_n; i++) {
		if (!r->rows[i].why[0])
			continue;
		buf_adds(out, "<p>");
		add_escaped(out, r->rows[i].name);
		buf_adds(out, ": ");
		add_escaped(out, r->rows[i].why);
		buf_adds(out, "</p>\n");
	}
	buf_adds(out, "</body></html>\n");
}
