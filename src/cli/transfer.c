/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/auto.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/human.h"
#include "fmt/json.h"
#include "fmt/reference.h"

#define BAR_CELLS  50u
#define SHOW_EVERY (100 * NSEC_PER_MSEC)
#define LINE_BYTES 256

static const char *const pulled[] = {
	[SVC_LAYERS_BEGIN] = "Pulling",
	[SVC_LAYER_EXISTS] = "Already exists",
	[SVC_LAYER_WAITS] = "Pulling fs layer",
	[SVC_LAYER_GOES_ON] = "Downloading",
	[SVC_LAYER_FETCHED] = "Download complete",
	[SVC_LAYER_COMPLETE] = "Pull complete",
	[SVC_LAYER_MOUNTED] = "",
};
static const char *const pushed[] = {
	[SVC_LAYERS_BEGIN] = "Pushing",	 [SVC_LAYER_EXISTS] = "Layer already exists",
	[SVC_LAYER_WAITS] = "Waiting",	 [SVC_LAYER_GOES_ON] = "Pushing",
	[SVC_LAYER_FETCHED] = "",	 [SVC_LAYER_MOUNTED] = "Mounted from ",
	[SVC_LAYER_COMPLETE] = "Pushed",
};

static const char *word(const struct transfer *v, const struct svc_layer_step *step)
{
	return v->push ? pushed[step->kind] : pulled[step->kind];
}

/* What is said besides: of a layer where it is mounted from. */
static const char *tail(const struct svc_layer_step *step)
{
	return step->kind == SVC_LAYER_MOUNTED ? step->from : "";
}

static void put(const struct transfer *v, const char *text)
{
	(void) fd_write_all(v->fd, text, strlen(text)); /* nobody looks: that is no failure */
}

/* As docker's: "ab12: Downloading [====>     ]  12.3MB/45.6MB" */
static void add_bar(char *text, size_t size, const struct svc_layer_step *step)
{
	char cells[BAR_CELLS + 1];
	unsigned int n = step->total ? (unsigned int) (step->bytes * BAR_CELLS / step->total) : 0;

	for (unsigned int i = 0; i < BAR_CELLS; i++)
		cells[i] = i < n ? '=' : i == n ? '>' : ' ';
	cells[BAR_CELLS] = '\0';
	(void) snprintf(text, size, " [%s]  %s/%s", cells, human_size(step->bytes).z,
			human_size(step->total).z);
}

static void show_bar(const struct transfer *v, const struct svc_layer_step *step)
{
	char bar[LINE_BYTES] = "", line[2 * LINE_BYTES];
	size_t up = v->lines - step->i;

	if (step->kind == SVC_LAYER_GOES_ON)
		add_bar(bar, sizeof(bar), step);
	(void) snprintf(line, sizeof(line), "\033[%zuA\r\033[K%s: %s%s%s\033[%zuB\r", up,
			step->layer, word(v, step), tail(step), bar, up);
	put(v, line);
}

static void show_json(const struct transfer *v, const struct svc_layer_step *step)
{
	auto_buf struct buf text = BUF_INIT(4096), status = BUF_INIT(1024);
	struct json_writer w = JSON_WRITER(&text);

	json_w_object(&w, NULL);
	buf_addf(&status, "%s%s", word(v, step), tail(step));
	json_w_str(&w, "status", buf_str(&status));
	json_w_string(&w, "id", step->kind == SVC_LAYERS_BEGIN ? step->name : step->layer);
	if (step->kind == SVC_LAYERS_BEGIN && step->from)
		json_w_string(&w, "from", step->from);
	if (step->kind == SVC_LAYER_GOES_ON) {
		json_w_object(&w, "progressDetail");
		json_w_u64(&w, "current", step->bytes);
		json_w_u64(&w, "total", step->total);
		json_w_end(&w);
	}
	json_w_end(&w);
	buf_addc(&text, '\n');
	put(v, buf_z(&text));
}

static void show_plain(const struct transfer *v, const struct svc_layer_step *step)
{
	char line[2 * LINE_BYTES];

	if (step->kind == SVC_LAYER_GOES_ON || (v->push && step->kind == SVC_LAYER_WAITS))
		return;
	(void) snprintf(line, sizeof(line), "%s: %s%s\n", step->layer, word(v, step), tail(step));
	put(v, line);
}

/* A terminal that has fewer lines than there are layers scrolls: then none is gone back to. */
static bool has_room(int fd, size_t lines)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > lines + 1 &&
	       size.ws_col > BAR_CELLS + 50;
}

static void begin(struct transfer *v, const struct svc_layer_step *step)
{
	char line[2 * REFERENCE_MAX + 32];

	(void) snprintf(line, sizeof(line), "%s %s%s%s\n", word(v, step), step->name,
			step->from ? " from " : "", step->from ? step->from : "");
	put(v, line);
	if (v->how != TRANSFER_BARS)
		return;
	if (!has_room(v->fd, step->n)) {
		v->how = TRANSFER_PLAIN;
		return;
	}
	v->lines = step->n;
	for (size_t i = 0; i < step->n; i++)
		put(v, "\n");
}

void transfer_told(void *user, const struct svc_layer_step *step)
{
	struct transfer *v = user;
	nsec_t now = clock_mono();

	if (step->kind == SVC_LAYER_GOES_ON) {
		if (now - v->shown < SHOW_EVERY)
			return;
		v->shown = now;
	}
	if (v->how == TRANSFER_JSON)
		show_json(v, step);
	else if (step->kind == SVC_LAYERS_BEGIN)
		begin(v, step);
	else if (v->how == TRANSFER_BARS)
		show_bar(v, step);
	else
		show_plain(v, step);
}

int transfer_init(struct transfer *v, int fd, const char *progress, bool push, struct err *e)
{
	*v = (struct transfer){ .fd = fd, .push = push };
	if (!progress || streq(progress, "auto"))
		v->how = cli_is_tty(fd) ? TRANSFER_BARS : TRANSFER_PLAIN;
	else if (streq(progress, "plain"))
		v->how = TRANSFER_PLAIN;
	else if (streq(progress, "json"))
		v->how = TRANSFER_JSON;
	else if (streq(progress, "none"))
		v->how = TRANSFER_NONE;
	else
		return err_set(e, ERR_INVALID, EINVAL, "--progress '%.60s': auto, plain or json",
			       progress);
	return 0;
}
