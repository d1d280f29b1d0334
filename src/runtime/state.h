/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory: ROOT/ID/ with `status` (a line of JSON that says what a container is, and
 * after it config.json as it was when it was created) and the engine's own files. Made by create,
 * removed by delete; whoever changes a container holds its lock, whoever looks at it does not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"
#include "fmt/json.h"
#include "runtime/runtime.h"

struct spec;

struct container {
	const char *id; /* borrowed from the arguments or the arena */
	int dir_fd;	/* owned: ROOT/ID, and the lock */
	const char *oci_version, *bundle, *rootfs, *engine, *owner;
	nsec_t created;
	const struct json *annotations; /* an object, or NULL */
	struct instance *in;		/* owned: forgotten, not ended, with the container */
	enum engine_state state;
	pid_t pid; /* of container_show, which gives no instance */
};

#define CONTAINER_INIT ((struct container){ .dir_fd = FD_NONE })

enum container_open {
	CONTAINER_LOOK,	  /* no lock */
	CONTAINER_CHANGE, /* locked: waits for its turn, TIMEOUT after a while */
	CONTAINER_END,	  /* locked, and also when its files are damaged: then ENGINE_FAILED */
};

/* 1 to 128 of [A-Za-z0-9_.+-], not "." or "..". */
[[nodiscard]] int container_check_id(const char *id, struct err *e);

/*
 * Make ROOT/ID, locked, and write what is known before anything else happens. CONFLICT: the id is
 * in use.
 */
[[nodiscard]] int container_new(struct runtime *rt, const char *id, const char *bundle,
				const char *engine, const struct spec *s, const struct json *config,
				struct str config_text, struct container *ret_c, struct err *e);

/*
 * Take one up, with its engine's instance and its state now. NOT_FOUND: no such container. A
 * container whose creation was cut short has state ENGINE_FAILED, one being created by another
 * process right now ENGINE_CREATING; both may have no instance.
 */
[[nodiscard]] int container_open(struct runtime *rt, const char *id, enum container_open how,
				 struct container *ret_c, struct err *e);

/* Others may change it while we wait for its end. */
void container_unlock(const struct container *c);
/* 1, locked again; 0: somebody removed it meanwhile. */
[[nodiscard]] int container_relock(struct runtime *rt, const struct container *c, struct err *e);

enum container_part {
	CONTAINER_ROW,	     /* no annotations, even where it has some */
	CONTAINER_ANNOTATED, /* all that lists show */
	CONTAINER_WHOLE,     /* the same, and its `status` is sound */
};

/*
 * What is shown of one: no lock, in most cases no instance and no dir_fd. root_fd: ROOT
 * (container_cache).
 */
[[nodiscard]] int container_show(struct runtime *rt, int root_fd, const char *id,
				 enum container_part part, struct container *ret_c, struct err *e);

/*
 * What the engine is to note of it (struct bundle), so that container_show reads one file and not
 * two; in the runtime's arena, NULL where it cannot be said so.
 */
const char *container_note(struct runtime *rt, const struct container *c);

/* ROOT, where engines keep what is the same for many (struct bundle); FD_NONE when it is not there.
 */
int container_cache(const struct runtime *rt);

/* The spec as it was created, in the runtime's arena. */
[[nodiscard]] int container_spec(struct runtime *rt, const struct container *c,
				 const struct spec **ret_s, struct err *e);

/* Remove the directory; the engine's part is done before. The container is closed afterwards. */
void container_remove(struct runtime *rt, struct container *c);
void container_close(struct container *c); /* the workload lives on */
#define auto_container __attribute__((cleanup(container_close)))

/* OCI's word for the state as callers see it: a failed creation is "stopped". */
const char *container_status(const struct container *c);
/* The pid to show: 0 when it is not running. */
pid_t container_pid(const struct container *c);

/* All ids below the root, sorted, in the arena; none when there is no root. */
[[nodiscard]] int container_ids(struct runtime *rt, const char ***ret_ids, size_t *ret_n,
				struct err *e);
