/* SPDX-License-Identifier: Apache-2.0 */
#include "image/policy_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/home.h"

static int take(struct policy *p, const char *path, bool *ret_there, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(POLICY_TEXT_MAX);
	int r = file_read(AT_FDCWD, path, &text);

	*ret_there = r != -ENOENT && r != -ENOTDIR;
	if (!*ret_there)
		return 0;
	return r < 0 ? err_sys(e, -r, "read %s", path) : policy_parse(p, buf_str(&text), path, e);
}

static int accept_anything(struct policy *p, struct err *e)
{
	p->otherwise.requirements = arena_alloc(&p->arena, sizeof(*p->otherwise.requirements));
	if (!p->otherwise.requirements)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	p->otherwise.n = 1; /* zeroed it is POLICY_ACCEPT */
	return 0;
}

int policy_read(struct policy *p, struct err *e)
{
	const char *named = secure_getenv("ATOLL_POLICY");
	char own[1024];
	bool there = false;
	int r;

	if (named && *named) {
		r = take(p, named, &there, e);
		return r == 0 && !there ? err_sys(e, ENOENT, "read %s", named) : r;
	}
	(void) snprintf(own, sizeof(own), "%s/.config/containers/policy.json", home_user());
	r = take(p, own, &there, e);
	if (r == 0 && !there)
		r = take(p, "/etc/containers/policy.json", &there, e);
	return r < 0 || there ? r : accept_anything(p, e);
}
