/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a plan's process section; for plan.c and plan_exec.c alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/json.h"
#include "svc/plan.h"
#include "sys/accounts.h"

struct plan_env {
	const char **v; /* "K=V", each key once */
	size_t n;
};
/* PATH, HOSTNAME, TERM and HOME under the image's, under the user's own variables. home: NULL:
 * none. */
[[nodiscard]] int plan_env(const struct workload_config *c, const struct plan_image *image,
			   const char *hostname, const char *home, struct arena *a,
			   struct plan_env *ret, struct err *e);

/* The capabilities a workload gets here: bit n is capability n. */
[[nodiscard]] int plan_caps(struct svc *s, const struct workload_config *c, uint64_t *ret_caps,
			    struct err *e);
[[nodiscard]] int plan_cap_names(uint64_t caps, struct arena *a, const char ***ret, struct err *e);
void plan_caps_write(struct json_writer *w, const char *const *names);
void plan_user_write(struct json_writer *w, const struct account *u);
/* The same by names, for a machine's agent to look up (proto/agent.h). user: NULL or "": root. */
void plan_names_write(struct json_writer *w, const char *user, const char *const *groups,
		      size_t groups_n);
/* As the caller may set it; otherwise the nearest that may be, with a notice. */
int64_t plan_oom_score(struct svc *s, int64_t wanted);
void plan_limits_write(struct svc *s, struct json_writer *w, const struct workload_config *c);

struct plan_security {
	bool no_new_privileges, unmasked;
	const char *seccomp;  /* NULL: the default profile; "unconfined"; JSON text of a profile */
	const char *apparmor; /* or NULL */
};
[[nodiscard]] int plan_security(const struct workload_config *c, struct plan_security *ret,
				struct err *e);

/* linux.seccomp from a profile of the user's in docker's or OCI's form. */
[[nodiscard]] int plan_seccomp_profile(struct json_writer *w, const char *key, const char *text,
				       const char *const *caps, struct err *e);
