/* SPDX-License-Identifier: Apache-2.0 */
/* The values of flags that are small languages, and a workload's configuration as stored. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "svc/config.h"

static void check_stored(struct arena *a, struct str text)
{
	auto_buf struct buf first = BUF_INIT(1u << 20), second = BUF_INIT(1u << 20);
	struct workload_config config = WORKLOAD_CONFIG_INIT, again = WORKLOAD_CONFIG_INIT;
	struct err e;

	if (workload_config_read(a, text, &config, &e) < 0)
		return;
	(void) workload_config_check(&config, &e); /* refusing is fine */
	workload_config_write(&config, &first);
	if (!buf_ok(&first))
		return;
	if (workload_config_read(a, buf_str(&first), &again, &e) < 0) {
		if (e.kind != ERR_EXHAUSTED)
			abort();
		return;
	}
	workload_config_write(&again, &second);
	if (buf_ok(&second) && !str_eq(buf_str(&first), buf_str(&second)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	struct str text = { (const char *) data, size };
	const char *z = arena_dup(&a, text);
	struct mount_config mount;
	struct ulimit_config ulimit;
	uint32_t kind = 0, max = 0;
	int signo = 0;
	struct err e;

	if (!z)
		return 0;
	if (config_parse_volume(&a, z, &mount, &e) == 0 && mount.target[0] != '/')
		abort();
	if (config_parse_mount(&a, z, &mount, &e) == 0 && mount.target[0] != '/')
		abort();
	if (config_parse_tmpfs(&a, z, &mount, &e) == 0 && mount.target[0] != '/')
		abort();
	(void) config_parse_ulimit(&a, z, &ulimit, &e); /* refusing is fine, here and below */
	(void) config_parse_restart(z, &kind, &max, &e);
	if (config_parse_signal(z, &signo, &e) == 0 && (signo < 1 || signo > 64))
		abort();
	(void) config_name_ok(z);
	check_stored(&a, text);
	return 0;
}
