/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/agent.h"

#include <assert.h>
#include <errno.h>

#include "base/auto.h"
#include "base/err.h"

#define COUNT_BYTES  2
#define WINDOW_BYTES 4
#define SIGNAL_MAX   64
#define TERMINAL_MAX 65535

static const struct field hello_fields[] = {
	FIELD_NUMBER(agent_hello, version),	     FIELD(agent_hello, build, FIELD_STRING),
	FIELD(agent_hello, kernel, FIELD_STRING),    FIELD_NUMBER(agent_hello, boot_ns),
	FIELD(agent_hello, problems, FIELD_STRINGS),
};
static const struct field address_fields[] = {
	FIELD(agent_address, address, FIELD_STRING),
	FIELD(agent_address, peer, FIELD_STRING),
	FIELD(agent_address, broadcast, FIELD_STRING),
};
static const struct field_layout address_layout = FIELD_LAYOUT(agent_address, address_fields);
static const struct field route_fields[] = {
	FIELD(agent_route, to, FIELD_STRING),
	FIELD(agent_route, gateway, FIELD_STRING),
	FIELD(agent_route, source, FIELD_STRING),
	FIELD_NUMBER_MAX(agent_route, metric, UINT32_MAX),
	FIELD_NUMBER_MAX(agent_route, scope, UINT8_MAX),
	FIELD(agent_route, on_link, FIELD_BOOL),
};
static const struct field_layout route_layout = FIELD_LAYOUT(agent_route, route_fields);
static const struct field interface_fields[] = {
	FIELD(agent_interface, mac, FIELD_STRING),
	FIELD(agent_interface, name, FIELD_STRING),
	FIELD_NUMBER_MAX(agent_interface, mtu, UINT32_MAX),
	FIELD_LIST_OF(agent_interface, addresses, &address_layout),
	FIELD_LIST_OF(agent_interface, routes, &route_layout),
	FIELD(agent_interface, was, FIELD_STRING),
};
static const struct field_layout interface_layout = FIELD_LAYOUT(agent_interface, interface_fields);
static const struct field setup_fields[] = {
	FIELD_NUMBER(agent_setup, version),
	FIELD(agent_setup, hostname, FIELD_STRING),
	FIELD_NUMBER_MAX(agent_setup, realtime_ns, INT64_MAX),
	FIELD(agent_setup, entropy, FIELD_DATA),
	FIELD_LIST_OF(agent_setup, interfaces, &interface_layout),
};
static const struct field create_fields[] = {
	FIELD(agent_create, id, FIELD_STRING),
	FIELD(agent_create, config, FIELD_STRING),
	FIELD_NUMBER_MAX(agent_create, rows, TERMINAL_MAX),
	FIELD_NUMBER_MAX(agent_create, cols, TERMINAL_MAX),
	FIELD(agent_create, stdin_open, FIELD_BOOL),
	FIELD(agent_create, lower, FIELD_STRING),
	FIELD(agent_create, lower_type, FIELD_STRING),
	FIELD(agent_create, upper, FIELD_STRING),
	FIELD(agent_create, work, FIELD_STRING),
	FIELD(agent_create, scratch, FIELD_BOOL),
	FIELD(agent_create, pids_of, FIELD_STRING),
	FIELD(agent_create, upper_disk, FIELD_STRING),
	FIELD(agent_create, files_only, FIELD_BOOL),
};
static const struct field exec_fields[] = {
	FIELD(agent_exec, id, FIELD_STRING),
	FIELD(agent_exec, process, FIELD_STRING),
	FIELD_NUMBER_MAX(agent_exec, rows, TERMINAL_MAX),
	FIELD_NUMBER_MAX(agent_exec, cols, TERMINAL_MAX),
	FIELD(agent_exec, stdin_open, FIELD_BOOL),
	FIELD(agent_exec, cgroups, FIELD_STRINGS),
};
static const struct field id_fields[] = { FIELD(agent_id, id, FIELD_STRING) };
static const struct field signal_fields[] = {
	FIELD(agent_signal, id, FIELD_STRING),
	FIELD_NUMBER_MAX(agent_signal, signo, SIGNAL_MAX),
	FIELD(agent_signal, all, FIELD_BOOL),
};
static const struct field update_fields[] = {
	FIELD(agent_update, id, FIELD_STRING),
	FIELD(agent_update, resources, FIELD_STRING),
};
static const struct field processors_fields[] = {
	FIELD_NUMBER_MAX(agent_processors, online, 1024),
};
static const struct field reseed_fields[] = {
	FIELD(agent_reseed, entropy, FIELD_DATA),
	FIELD_NUMBER_MAX(agent_reseed, realtime_ns, INT64_MAX),
};
static const struct field error_fields[] = {
	FIELD_NUMBER_MAX(agent_error, kind, ERR_INTERNAL),
	FIELD_NUMBER_MAX(agent_error, sys, 4095),
	FIELD(agent_error, message, FIELD_STRING),
};
static const struct field started_fields[] = { FIELD_NUMBER_MAX(agent_started, pid, INT32_MAX) };
static const struct field state_fields[] = {
	FIELD_NUMBER_MAX(agent_state, state, 16),
	FIELD_NUMBER_MAX(agent_state, pid, INT32_MAX),
	FIELD_NUMBER_MAX(agent_state, code, 255),
	FIELD(agent_state, oom, FIELD_BOOL),
};
static const struct field processes_fields[] = {
	FIELD_LIST_OF(agent_processes, list, &process_layout),
};
static const struct field machine_usage_fields[] = {
	FIELD_NUMBER(agent_machine_usage, uptime_ns),
	FIELD_NUMBER(agent_machine_usage, cpu_ns),
	FIELD_NUMBER(agent_machine_usage, cpus),
	FIELD_NUMBER(agent_machine_usage, memory_total_bytes),
	FIELD_NUMBER(agent_machine_usage, memory_free_bytes),
	FIELD_NUMBER(agent_machine_usage, memory_available_bytes),
	FIELD_NUMBER(agent_machine_usage, memory_cache_bytes),
	FIELD_NUMBER(agent_machine_usage, swap_total_bytes),
	FIELD_NUMBER(agent_machine_usage, swap_free_bytes),
	FIELD_NUMBER(agent_machine_usage, processes),
	FIELD_NUMBER(agent_machine_usage, load_milli),
};
static const struct field resize_fields[] = {
	FIELD_NUMBER_MAX(agent_resize, rows, TERMINAL_MAX),
	FIELD_NUMBER_MAX(agent_resize, cols, TERMINAL_MAX),
};
static const struct field exited_fields[] = {
	FIELD_NUMBER_MAX(agent_exited, code, 255),
	FIELD(agent_exited, oom, FIELD_BOOL),
};
static const struct field attach_fields[] = {
	FIELD(agent_attach, id, FIELD_STRING),
	FIELD(agent_attach, as, FIELD_STRING),
	FIELD(agent_attach, hostname, FIELD_STRING),
	FIELD_NUMBER_MAX(agent_attach, rows, TERMINAL_MAX),
	FIELD_NUMBER_MAX(agent_attach, cols, TERMINAL_MAX),
};
static const struct field attached_fields[] = {
	FIELD_NUMBER_MAX(agent_attached, pid, INT32_MAX),
	FIELD_NUMBER_MAX(agent_attached, stdin_credit, AGENT_WINDOW),
	FIELD(agent_attached, stdin_open, FIELD_BOOL),
};
static const struct field files_fields[] = {
	FIELD(agent_files, id, FIELD_STRING),
	FIELD(agent_files, hold, FIELD_BOOL),
};

static const struct field_layout none = {}, id_layout = FIELD_LAYOUT(agent_id, id_fields),
				 started_layout = FIELD_LAYOUT(agent_started, started_fields),
				 hello_layout = FIELD_LAYOUT(agent_hello, hello_fields),
				 setup_layout = FIELD_LAYOUT(agent_setup, setup_fields),
				 create_layout = FIELD_LAYOUT(agent_create, create_fields),
				 exec_layout = FIELD_LAYOUT(agent_exec, exec_fields),
				 signal_layout = FIELD_LAYOUT(agent_signal, signal_fields),
				 update_layout = FIELD_LAYOUT(agent_update, update_fields),
				 processors_layout = FIELD_LAYOUT(agent_processors,
								  processors_fields),
				 reseed_layout = FIELD_LAYOUT(agent_reseed, reseed_fields),
				 error_layout = FIELD_LAYOUT(agent_error, error_fields),
				 state_layout = FIELD_LAYOUT(agent_state, state_fields),
				 processes_layout = FIELD_LAYOUT(agent_processes, processes_fields),
				 machine_layout = FIELD_LAYOUT(agent_machine_usage,
							       machine_usage_fields),
				 resize_layout = FIELD_LAYOUT(agent_resize, resize_fields),
				 exited_layout = FIELD_LAYOUT(agent_exited, exited_fields),
				 attach_layout = FIELD_LAYOUT(agent_attach, attach_fields),
				 attached_layout = FIELD_LAYOUT(agent_attached, attached_fields),
				 files_layout = FIELD_LAYOUT(agent_files, files_fields);

/* NULL: DATA, EOF and WINDOW_MORE, which have no fields. */
static const struct field_layout *const layouts[AGENT_TYPES_N] = {
	[AGENT_HELLO] = &hello_layout,
	[AGENT_SETUP] = &setup_layout,
	[AGENT_CREATE] = &create_layout,
	[AGENT_START] = &none,
	[AGENT_EXEC] = &exec_layout,
	[AGENT_SIGNAL] = &signal_layout,
	[AGENT_STATE] = &id_layout,
	[AGENT_PAUSE] = &id_layout,
	[AGENT_RESUME] = &id_layout,
	[AGENT_UPDATE] = &update_layout,
	[AGENT_PROCESSORS] = &processors_layout,
	[AGENT_USAGE] = &id_layout,
	[AGENT_PROCESSES] = &id_layout,
	[AGENT_DELETE] = &id_layout,
	[AGENT_MACHINE_USAGE] = &none,
	[AGENT_RESEED] = &reseed_layout,
	[AGENT_POWER_OFF] = &none,
	[AGENT_OK] = &none,
	[AGENT_ERROR] = &error_layout,
	[AGENT_CREATED] = &started_layout,
	[AGENT_STARTED] = &started_layout,
	[AGENT_STATE_IS] = &state_layout,
	[AGENT_USAGE_IS] = &usage_layout,
	[AGENT_PROCESSES_ARE] = &processes_layout,
	[AGENT_MACHINE_USAGE_IS] = &machine_layout,
	[AGENT_RESIZE] = &resize_layout,
	[AGENT_EXITED] = &exited_layout,
	[AGENT_HOLD] = &none,
	[AGENT_HELD] = &none,
	[AGENT_RELEASE] = &none,
	[AGENT_ATTACH] = &attach_layout,
	[AGENT_ATTACHED] = &attached_layout,
	[AGENT_FILES] = &files_layout,
};

static size_t payload_max(unsigned type)
{
	return type == AGENT_CREATE || type == AGENT_EXEC || type == AGENT_PROCESSES_ARE
		       ? AGENT_TEXT_MAX
		       : AGENT_FRAME_MAX;
}

/* All members of the union begin there. */
#define BODY(m) ((void *) &(m)->hello)

struct agent_msg agent_msg_of(enum agent_type type)
{
	struct agent_msg m = { .type = type };

	if (layouts[type])
		fields_init(layouts[type], BODY(&m));
	return m;
}

static void put_payload(const struct agent_msg *m, struct buf *out)
{
	const struct field_layout *l = layouts[m->type];
	int no_fds[FIELD_FDS_MAX];
	size_t pos = out->n, count, none_n = 0;

	if (m->type == AGENT_DATA)
		buf_addstr(out, m->data);
	if (m->type == AGENT_WINDOW_MORE)
		field_put_le(out, m->window, WINDOW_BYTES);
	if (!l)
		return;
	field_put_le(out, 0, COUNT_BYTES);
	count = fields_encode(l, &m->hello, out, no_fds, &none_n);
	if (buf_ok(out))
		out->p[pos] = (char) count;
}

int agent_encode(const struct agent_msg *m, struct buf *out)
{
	size_t begin = out->n, length;
	int r;

	if (m->type <= AGENT_NONE || m->type >= AGENT_TYPES_N)
		return -EINVAL;
	field_put_le(out, 0, 4);
	field_put_le(out, m->type, 2);
	field_put_le(out, layouts[m->type] ? 0 : m->stream, 2);
	put_payload(m, out);
	if (!buf_ok(out)) {
		r = buf_error(out);
		return r == -EFBIG ? -EMSGSIZE : r;
	}
	length = out->n - begin - AGENT_HEADER;
	if (length > payload_max(m->type)) {
		out->n = begin;
		out->p[begin] = 0;
		return -EMSGSIZE;
	}
	for (size_t i = 0; i < 4; i++)
		out->p[begin + i] = (char) (length >> (8 * i));
	return 0;
}

int agent_frame(struct str bytes, size_t *ret_len)
{
	uint64_t length, type, stream;

	*ret_len = AGENT_HEADER;
	if (bytes.n < AGENT_HEADER)
		return 0;
	length = field_get_le(bytes.p, 4);
	type = field_get_le(bytes.p + 4, 2);
	stream = field_get_le(bytes.p + 6, 2);
	if (type == AGENT_NONE || type >= AGENT_TYPES_N || length > payload_max((unsigned) type) ||
	    stream >= (layouts[type] ? 1 : AGENT_STREAMS))
		return -EBADMSG;
	*ret_len = AGENT_HEADER + length;
	return bytes.n >= *ret_len;
}

int agent_decode(struct arena *a, struct str frame, struct agent_msg *ret_m)
{
	struct agent_msg m;
	struct str payload;
	size_t len;
	int r = agent_frame(frame, &len);

	if (r <= 0 || len != frame.n)
		return -EBADMSG;
	m = agent_msg_of((enum agent_type) field_get_le(frame.p + 4, 2));
	m.stream = (enum agent_stream) field_get_le(frame.p + 6, 2);
	payload = (struct str){ frame.p + AGENT_HEADER, frame.n - AGENT_HEADER };
	r = 0;
	if (m.type == AGENT_DATA) {
		m.data = payload;
	} else if (m.type == AGENT_EOF) {
		r = payload.n ? -EBADMSG : 0;
	} else if (m.type == AGENT_WINDOW_MORE) {
		if (payload.n != WINDOW_BYTES)
			return -EBADMSG;
		m.window = (uint32_t) field_get_le(payload.p, WINDOW_BYTES);
	} else if (payload.n < COUNT_BYTES) {
		r = -EBADMSG;
	} else {
		struct str fields = { payload.p + COUNT_BYTES, payload.n - COUNT_BYTES };

		r = fields_decode(layouts[m.type], a, fields, field_get_le(payload.p, COUNT_BYTES),
				  NULL, 0, BODY(&m));
	}
	if (r == 0)
		*ret_m = m;
	return r;
}
