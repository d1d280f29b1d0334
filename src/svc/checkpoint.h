/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: a running workload as files, and the start of one from them. They lie in the
 * workload's own directory (or below another, as docker's --checkpoint-dir), by name; an archive
 * takes one with the workload's configuration and the files it changed to another installation,
 * which needs the image and the volumes of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/workload.h"
#include "svc/svc.h"
#include "sys/spawn.h"

struct attach_options; /* svc/attach.h */
struct shim_conn;      /* svc/supervise.h */

#define CHECKPOINT_DEFAULT "checkpoint" /* the name that is replaced when it is there */

struct checkpoint_options {		/* of both ways; each takes what it knows */
	const char *name;		/* NULL: CHECKPOINT_DEFAULT */
	const char *dir;		/* NULL: the workload's own */
	bool leave_running, link_remap; /* of a checkpoint */
	bool tcp_close;			/* of a restore */
	bool tcp_established, ext_unix_sk, file_locks;
	bool files; /* of a checkpoint: with the workload's own files, for another workload */
	bool diff;  /* of a checkpoint: on top of the last one */
};

/*
 * The program that does it, where the caller has it: the shim's own PATH is of another time and
 * place. "": the engine of that isolation needs none. UNSUPPORTED: there is no CRIU.
 */
[[nodiscard]] int checkpoint_program(const char *isolation, char path[static SPAWN_PATH_MAX],
				     struct err *e);
/*
 * CONFLICT: it does not run, or would be removed at its end; `lost` is what that does, for the
 * message.
 */
[[nodiscard]] int checkpoint_possible(const struct workload_record *w,
				      const struct checkpoint_options *o, const char *lost,
				      struct err *e);

/*
 * Returns when the workload has ended (exit code 137) and its record says so, unless it is left
 * running; on failure it goes on as before, and no checkpoint is left. Fails: CONFLICT it does not
 * run, or the name is in use; UNSUPPORTED no CRIU; REMOTE what CRIU says.
 */
[[nodiscard]] int workload_checkpoint(struct svc *s, const char *ref,
				      const struct checkpoint_options *o, struct err *e);
/* As workload_start, from a checkpoint instead of the beginning. NOT_FOUND: there is none. */
[[nodiscard]] int workload_restore(struct svc *s, const char *ref,
				   const struct checkpoint_options *o,
				   const struct attach_options *attach, struct shim_conn *ret_conn,
				   int *ret_exit_code, struct err *e);

struct checkpoint_names {
	const char **v; /* sorted */
	size_t n;
};
[[nodiscard]] int workload_checkpoints(struct svc *s, const char *ref, const char *dir,
				       struct arena *a, struct checkpoint_names *ret,
				       struct err *e);
[[nodiscard]] int workload_checkpoint_rm(struct svc *s, const char *ref, const char *name,
					 const char *dir, struct err *e);

/*
 * A checkpoint of its own, into a tar (uncompressed) on out_fd: atoll-checkpoint.json, the images,
 * the workload's own layer. No checkpoint is kept in the workload's directory.
 */
[[nodiscard]] int workload_checkpoint_export(struct svc *s, const char *ref,
					     const struct checkpoint_options *o, int out_fd,
					     struct err *e);
/*
 * A new workload from an archive (gzip and zstd are seen), restored. name: NULL takes the
 * archive's. The archive is read by the confined worker; its configuration is checked as a
 * create's. Fails: NOT_FOUND the image is not here; INVALID no such archive; and as
 * workload_restore. On failure nothing of it is left.
 */
[[nodiscard]] int workload_checkpoint_import(struct svc *s, const char *path, const char *name,
					     const struct checkpoint_options *o,
					     char ret_id[static WORKLOAD_ID_MAX], struct err *e);

/* ---- between the files of this module --------------------------------------------------- */

/*
 * The start of a workload from images in dir_fd (borrowed). What it had of files comes to their
 * places before: a disk that is there, and what is in files_fd (borrowed; FD_NONE: they are there).
 */
struct restore_point {
	int dir_fd, files_fd;
	const struct checkpoint_options *options;
};
[[nodiscard]] int workload_start_from(struct svc *s, const char *ref,
				      const struct restore_point *from,
				      const struct attach_options *attach,
				      struct shim_conn *ret_conn, int *ret_exit_code,
				      struct err *e);
/* Those files, of a workload whose start has its turn: in place of what was there. */
[[nodiscard]] int checkpoint_put_files(struct svc *s, const struct restore_point *from,
				       const char *id, struct err *e);
/* Dump into dir_fd (borrowed), and wait for its end unless it is left running. */
[[nodiscard]] int checkpoint_dump(struct svc *s, const struct workload_record *w,
				  const struct checkpoint_options *o, int dir_fd, struct err *e);
/*
 * The very image that a workload ran from: its id, or the name it had if that still means it.
 * NOT_FOUND: it is not here.
 */
[[nodiscard]] int checkpoint_image(struct svc *s, const char *name, const char *image_id,
				   const char **ret_ref, struct err *e);
