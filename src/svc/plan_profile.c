/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp profile of the user's. Docker's form differs from the OCI's in three points: rules may
 * hang on capabilities and architectures (includes, excludes), architectures may be a map, and a
 * rule may have one `name`. What is left is written as it came.
 */
#include <errno.h>

#include "base/auto.h"
#include "svc/plan_process.h"

#if defined(__x86_64__)
#define ARCH_DOCKER  "amd64"
#define ARCH_SECCOMP "SCMP_ARCH_X86_64"
#elif defined(__aarch64__)
#define ARCH_DOCKER  "arm64"
#define ARCH_SECCOMP "SCMP_ARCH_AARCH64"
#else
#define ARCH_DOCKER  "riscv64"
#define ARCH_SECCOMP "SCMP_ARCH_RISCV64"
#endif

static bool list_meets(const struct json *list, const char *const *caps, bool *ret_given)
{
	*ret_given = list && list->type == JSON_ARRAY && list->n > 0;
	for (size_t i = 0; *ret_given && i < list->n; i++) {
		const char *want = json_string(&list->items[i]);

		for (const char *const *c = caps; want && *c; c++) {
			if (streq(*c, want))
				return true;
		}
	}
	return false;
}

static bool applies(const struct json *rule, const char *const *caps)
{
	static const char *const arch[] = { ARCH_DOCKER, NULL };
	const struct json *in = json_get(rule, "includes"), *out = json_get(rule, "excludes");
	bool given;

	if (!list_meets(json_get(in, "caps"), caps, &given) && given)
		return false;
	if (!list_meets(json_get(in, "arches"), arch, &given) && given)
		return false;
	return !list_meets(json_get(out, "caps"), caps, &given) &&
	       !list_meets(json_get(out, "arches"), arch, &given);
}

static void architectures(struct json_writer *w, const struct json *root)
{
	const struct json *map = json_get(root, "archMap");

	if (json_get(root, "architectures")) {
		json_w_value(w, "architectures", json_get(root, "architectures"));
		return;
	}
	for (size_t i = 0; map && map->type == JSON_ARRAY && i < map->n; i++) {
		const char *arch = json_string(json_get(&map->items[i], "architecture"));
		const struct json *subs = json_get(&map->items[i], "subArchitectures");

		if (!arch || !streq(arch, ARCH_SECCOMP))
			continue;
		json_w_array(w, "architectures");
		json_w_string(w, NULL, arch);
		for (size_t j = 0; subs && subs->type == JSON_ARRAY && j < subs->n; j++)
			json_w_value(w, NULL, &subs->items[j]);
		json_w_end(w);
	}
}

static void rule(struct json_writer *w, const struct json *from)
{
	static const char *const kept[] = { "names", "action", "errnoRet", "args" };

	json_w_object(w, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		const struct json *v = json_get(from, kept[i]);

		if (v && v->type != JSON_NULL)
			json_w_value(w, kept[i], v);
	}
	if (!json_get(from, "names") && json_get(from, "name")) {
		json_w_array(w, "names");
		json_w_value(w, NULL, json_get(from, "name"));
		json_w_end(w);
	}
	json_w_end(w);
}

int plan_seccomp_profile(struct json_writer *w, const char *key, const char *text,
			 const char *const *caps, struct err *e)
{
	static const char *const kept[] = { "defaultAction", "defaultErrnoRet", "flags",
					    "listenerPath", "listenerMetadata" };
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	const struct json *root;
	int r = json_parse(&a, str_of(text), &root, e);

	if (r < 0)
		return err_ctx(e, "seccomp profile");
	if (!json_string(json_get(root, "defaultAction")))
		return err_set(e, ERR_INVALID, EINVAL, "seccomp profile: it has no defaultAction");
	const struct json *rules = json_get(root, "syscalls");
	json_w_object(w, key);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		if (json_get(root, kept[i]))
			json_w_value(w, kept[i], json_get(root, kept[i]));
	}
	architectures(w, root);
	json_w_array(w, "syscalls");
	for (size_t i = 0; rules && rules->type == JSON_ARRAY && i < rules->n; i++) {
		if (applies(&rules->items[i], caps))
			rule(w, &rules->items[i]);
	}
	json_w_end(w);
	json_w_end(w);
	return 0;
}
