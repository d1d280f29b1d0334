/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/check_user.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "fmt/spec.h"
#include "sys/caps.h"

static bool mapped(const struct spec_id_map *m, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (id >= m[i].container_id && id - m[i].container_id < m[i].size)
			return true;
	}
	return n == 0; /* no mappings at all: every id stays what it is */
}

/* devpts with gid=5 above all: where a single group is mapped, it cannot be mounted. */
static int check_mount(const struct spec_linux *l, const struct spec_mount *m, size_t i,
		       struct err *e)
{
	for (size_t k = 0; k < m->options_n; k++) {
		struct str value, key = str_cut(str_of(m->options[k]), '=', &value);
		bool uid = str_is(key, "uid"), gid = str_is(key, "gid");
		uint32_t id;

		if ((!uid && !gid) || !value.p ||
		    num_parse_u32(value, 0, UINT32_MAX - 1, &id) < 0 ||
		    (uid ? mapped(l->uid_maps, l->uid_maps_n, id)
			 : mapped(l->gid_maps, l->gid_maps_n, id)))
			continue;
		return err_set(e, ERR_INVALID, EINVAL,
			       "mounts[%zu].options: '%.40s' of '%.100s': %u is not mapped in the "
			       "user namespace: leave the option out, or map it in %s",
			       i, m->options[k], m->destination, id,
			       uid ? "linux.uidMappings" : "linux.gidMappings");
	}
	return 0;
}

static int check_process(const struct spec_linux *l, const struct spec_process *p, struct err *e)
{
	if (!mapped(l->uid_maps, l->uid_maps_n, p->user.uid))
		return err_set(e, ERR_INVALID, EINVAL,
			       "process.user.uid: %u is not mapped in linux.uidMappings",
			       p->user.uid);
	if (!mapped(l->gid_maps, l->gid_maps_n, p->user.gid))
		return err_set(e, ERR_INVALID, EINVAL,
			       "process.user.gid: %u is not mapped in linux.gidMappings",
			       p->user.gid);
	for (size_t i = 0; i < p->user.additional_gids.n; i++) {
		if (!mapped(l->gid_maps, l->gid_maps_n, p->user.additional_gids.v[i]))
			return err_set(e, ERR_INVALID, EINVAL,
				       "process.user.additionalGids[%zu]: %u is not mapped in "
				       "linux.gidMappings",
				       i, p->user.additional_gids.v[i]);
	}
	return 0;
}

int check_user(const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;
	int r = 0;

	if (!l->ns[SPEC_NS_USER].present)
		return caps_effective(CAP_SYS_ADMIN)
			       ? 0
			       : err_set(e, ERR_INVALID, EPERM,
					 "linux.namespaces: rootless containers require user "
					 "namespaces: add one of type 'user' with "
					 "linux.uidMappings and linux.gidMappings (as `spec "
					 "--rootless` does), or run it as root");
	if (l->ns[SPEC_NS_USER].path)
		return 0; /* its maps are what they are */
	if (s->process)
		r = check_process(l, s->process, e);
	for (size_t i = 0; i < s->mounts_n && r == 0; i++)
		r = check_mount(l, &s->mounts[i], i, e);
	return r;
}
