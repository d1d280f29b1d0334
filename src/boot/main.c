/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-kernel: makes a distribution's kernel ready for microVMs, once. Started by whoever starts
 * one and does not find it prepared.
 */
#include <stdio.h>

#include "base/auto.h"
#include "base/str.h"
#include "boot/prepare.h"

static const char usage[] =
	"usage: atoll-kernel prepare --kernel FILE [--name PATH] --modules DIR --agent FILE "
	"--cache DIR\n"
	"Each FILE or DIR is a path or fd:N. Prints the name of the directory in the cache that "
	"has\nthe kernel's vmlinux and initramfs.\n";

int main(int argc, char **argv)
{
	struct prepare p = {};
	const struct {
		const char *name, **value;
	} options[] = {
		{ "--kernel", &p.kernel }, { "--name", &p.shown },  { "--modules", &p.modules },
		{ "--agent", &p.agent },   { "--cache", &p.cache },
	};
	char hex[DIGEST_HEX_MAX];
	bool good = argc >= 2 && argc % 2 == 0 && streq(argv[1], "prepare");
	struct err e = {};

	for (int i = 2; good && i < argc; i += 2) {
		good = false;
		for (size_t j = 0; j < ARRAY_SIZE(options); j++)
			if (streq(argv[i], options[j].name)) {
				*options[j].value = argv[i + 1];
				good = true;
			}
	}
	if (!good || !p.kernel || !p.modules || !p.agent || !p.cache) {
		(void) fputs(usage, stderr);
		return 2;
	}
	if (prepare(&p, hex, &e) < 0) {
		(void) fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	return puts(hex) < 0 || fflush(stdout) != 0 ? 1 : 0;
}
