/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the agent's protocol, one after the other; each that decodes is encoded again. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "proto/agent.h"

static void one(struct str frame)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_buf struct buf b = BUF_INIT(AGENT_HEADER + AGENT_TEXT_MAX);
	struct agent_msg m, again;

	if (agent_decode(&a, frame, &m) < 0)
		return;
	if (agent_encode(&m, &b) < 0)
		abort();
	/* Fields that say nothing may have been there: they are not written. */
	if (agent_decode(&a, buf_str(&b), &again) < 0 || again.type != m.type ||
	    again.stream != m.stream || b.n > frame.n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = { (const char *) data, size };
	size_t len;

	while (agent_frame(bytes, &len) == 1) {
		if (len < AGENT_HEADER || len > bytes.n)
			abort();
		one((struct str){ bytes.p, len });
		bytes.p += len;
		bytes.n -= len;
	}
	return 0;
}
